"""REDbot, the public linter for HTTP by an editor of its specifications, finds nothing wrong.

PKC_REDBOT is the folder it is installed in. It checks the answer to each request and then, by more
requests of its own, ranges, conditions and negotiation. A finding that is not in ACCEPTED fails the
test, and so does an entry of ACCEPTED that is not found.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from robustness_case import RobustnessTest, artifact, harness, small_artifact  # noqa: E402

DEADLINE = 120.0
PRECONDITION = "its range request has the failing If-Match too, so 412 is right and no 206"
# (case, request, name of the finding): why it is right as it is.
ACCEPTED: dict[tuple[str, str, str], str] = {
    ("upload", "request", "CREATED_WITHOUT_LOCATION"): "without one, what was created is the target"
    " of the request itself (RFC 9110 section 15.3.2), which is the case for a PUT",
    ("bad key", "request", "STATUS_BAD_REQUEST"): "that is what the case is about",
    ("bad key", "conneg", "STATUS_BAD_REQUEST"): "that is what the case is about",
    ("condition", "request", "RANGE_FULL"): PRECONDITION,
    ("condition", "range", "RANGE_FULL"): PRECONDITION,
}


class Conformance(RobustnessTest):
    def test_redbot_finds_nothing_that_is_not_listed(self) -> None:
        server = self.start_server()
        key, absent, new = (artifact.key_for(name) for name in ("stored", "absent", "new"))
        body = small_artifact(key, "hello " * 100)
        self.assertEqual(server.put(key, body).status, 201)
        good, bad = self.directory / "good", self.directory / "bad"
        good.write_bytes(small_artifact(new))
        bad.write_bytes(b"this is no artifact")
        url = f"{server.url}/v1/artifacts/"
        cases = [
            ("hit", "GET", url + key, [], None, 200),
            ("hit, HEAD", "HEAD", url + key, [], None, 200),
            ("miss", "GET", url + absent, [], None, 404),
            ("miss, HEAD", "HEAD", url + absent, [], None, 404),
            ("range", "GET", url + key, [["Range", "bytes=1-9"]], None, 206),
            ("no such range", "GET", url + key, [["Range", "bytes=99999-"]], None, 416),
            ("condition", "GET", url + key, [["If-Match", '"other"']], None, 412),
            ("upload", "PUT", url + new, self.length(good), good, 201),
            ("upload again", "PUT", url + key, self.length(good), good, 409),
            ("bad upload", "PUT", url + absent, self.length(bad), bad, 422),
            ("bad key", "GET", url + "short", [], None, 400),
            ("wrong method", "DELETE", url + key, [], None, 405),
            ("metrics", "GET", server.url + "/metrics", [], None, 200),
        ]
        found: dict[tuple[str, str, str], str] = {}
        for name, method, target, fields, content, status in cases:
            with self.subTest(name):
                report = self.probe(method, target, fields, content)
                self.assertEqual((report["status"], report["error"]), (status, ""))
                for where, finding, level, summary in report["findings"]:
                    found[name, where, finding] = f"{level}: {summary}"
                if name == "hit":
                    checks = {"conneg", "range", "etag_validate", "lm_validate"}
                    self.assertEqual(set(report["checks"]), checks)

        self.assertEqual({k: v for k, v in found.items() if k not in ACCEPTED}, {}, "not listed")
        self.assertEqual(set(ACCEPTED) - set(found), set(), "listed, and gone")

    def length(self, content: Path) -> list[list[str]]:
        return [["Content-Length", str(content.stat().st_size)]]

    def probe(
        self, method: str, url: str, fields: list[list[str]], content: Path | None
    ) -> dict[str, list]:
        done = subprocess.run(  # noqa: S603
            [
                *(sys.executable, str(HERE / "conformance_probe.py"), method, url),
                *(json.dumps(fields), str(content or "")),
            ],
            env=harness.clean_environment({"PYTHONPATH": os.environ["PKC_REDBOT"]}),
            capture_output=True,
            text=True,
            timeout=DEADLINE,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


if __name__ == "__main__":
    if not os.environ.get("PKC_REDBOT"):
        harness.skip("REDbot is not installed (PKC_REDBOT)")
    harness.main()
