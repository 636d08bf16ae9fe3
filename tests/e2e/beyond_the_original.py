"""What our answers offer beyond the original server: validators, ranges, resumed downloads.

Needs PKC_SERVER.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402

SIZE = 20 << 20  # larger than what is verified ahead of the status line


class Additions(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        self.server = self.start_server()
        self.key = artifact.key_for("beyond")
        path = self.directory / "artifact"
        artifact.write_file(path, self.key, {"stdout.txt": artifact.Pattern(SIZE)})
        self.body = path.read_bytes()
        self.etag = f'"{hashlib.sha256(self.body).hexdigest()}"'
        self.assertEqual(self.server.put(self.key, self.body).status, 201)

    def get(self, **headers: str) -> harness.Response:
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        return self.server.request("GET", f"/v1/artifacts/{self.key}", None, named)

    def restart(self) -> None:
        """After it, nothing stored counts as verified."""
        self.assertEqual(self.server.stop(), 0)
        self.server = self.start_server(storage=self.server.storage)

    def test_a_part_is_that_part(self) -> None:
        end = len(self.body) - 1
        for text, first, last in (
            ("bytes=0-0", 0, 0),
            ("bytes=1000-70000", 1000, 70000),
            (f"bytes={end}-", end, end),
            ("bytes=-5", end - 4, end),
            ("bytes=5-99999999999", 5, end),
        ):
            with self.subTest(text):
                answer = self.get(Range=text)

                self.assertEqual(answer.status, 206)
                self.assertEqual(answer.body, self.body[first : last + 1])
                self.assertEqual(
                    answer.header("content-range"), f"bytes {first}-{last}/{len(self.body)}"
                )
                self.assertEqual(answer.header("etag"), self.etag)

    def test_a_part_outside_is_416_with_the_size(self) -> None:
        answer = self.get(Range=f"bytes={len(self.body)}-")

        self.assertEqual(answer.status, 416)
        self.assertEqual(answer.header("content-range"), f"bytes */{len(self.body)}")

    def test_a_part_of_another_version_is_the_whole(self) -> None:
        answer = self.get(Range="bytes=5-", If_Range='"another"')

        self.assertEqual((answer.status, answer.body), (200, self.body))

    def test_what_the_client_has_is_not_sent_again(self) -> None:
        for name, value in (
            ("If_None_Match", self.etag),
            ("If_None_Match", f'"x", W/{self.etag}'),
            ("If_Modified_Since", self.get().header("last-modified") or ""),
        ):
            with self.subTest(value):
                answer = self.get(**{name: value})

                self.assertEqual((answer.status, answer.body), (304, b""))
                self.assertEqual(answer.header("etag"), self.etag)

    def test_curl_resumes_a_download(self) -> None:
        if shutil.which("curl") is None:
            self.skipTest("curl is not installed")
        self.restart()
        target = self.directory / "download"
        target.write_bytes(self.body[: SIZE // 3])
        url = f"{self.server.url}/v1/artifacts/{self.key}"

        subprocess.run(
            ["curl", "--silent", "--fail", "--continue-at", "-", "--output", str(target), url],
            check=True,
            timeout=60,
            env=harness.clean_environment(),
        )

        self.assertEqual(target.read_bytes(), self.body)

    def test_a_part_of_a_rotten_blob_is_a_miss(self) -> None:
        blob = self.server.blob_path(self.key)
        data = bytearray(self.body)
        data[-100] ^= 1
        blob.write_bytes(data)
        self.restart()

        answer = self.get(Range="bytes=0-9")

        self.assertEqual(answer.status, 404)
        self.assertEqual(self.server.head(self.key).status, 404)

    def test_a_large_rotten_blob_never_ends_cleanly(self) -> None:
        blob = self.server.blob_path(self.key)
        data = bytearray(self.body)
        data[-100] ^= 1
        blob.write_bytes(data)
        self.restart()

        first = self.get()

        self.assertFalse(first.status == 200 and first.complete, "wrong bytes in a whole answer")
        self.assertEqual(self.get().status, 404)
        self.assertEqual(self.server.put(self.key, self.body).status, 201)
        self.assertEqual(self.get().body, self.body)


if __name__ == "__main__":
    harness.main()
