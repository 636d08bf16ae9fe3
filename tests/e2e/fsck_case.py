"""What the tests of `polykit-cache fsck` share."""

from __future__ import annotations

import hashlib
import json
import subprocess
from pathlib import Path

from robustness_case import RobustnessTest, harness, small_artifact

CLEAN, LEFT, USAGE, NOT_DONE, INTERRUPTED = range(5)
FINDING_MEMBERS = {"fault", "damage", "space", "subject", "detail", "action"}
SUMMARY_MEMBERS = {
    "objects",
    "size",
    "shards",
    "shards_done",
    "damages",
    "left",
    "spaces",
    "faults",
    "quarantined",
    "quarantined_size",
    "uploads",
    "interrupted",
    "index_compared",
    "index_skipped",
}


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


class FsckTest(RobustnessTest):
    def setUp(self) -> None:
        super().setUp()
        self.storage = self.directory / "storage"
        self.bodies: dict[str, bytes] = {}

    def fill(self, server: harness.CacheServer, count: int) -> None:
        for number in range(len(self.bodies), len(self.bodies) + count):
            key = key_of(number)
            body = small_artifact(key, f"object {number}")
            self.assertEqual(server.put(key, body).status, 201)
            self.bodies[key] = body

    def command(self, *arguments: str) -> list[str]:
        binary = harness.environment_path("PKC_SERVER")
        return [str(binary), "fsck", "--storage-dir", str(self.storage), *arguments]

    def fsck(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            self.command(*arguments),
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(),
        )

    def fsck_json(self, *arguments: str) -> tuple[int, dict]:
        done = self.fsck("--json", *arguments)
        self.assertEqual(done.stderr, "")
        report = json.loads(done.stdout)
        self.assertEqual(list(report), ["version", "findings", "summary"])
        self.assertEqual(report["version"], 1)
        self.assertEqual(set(report["summary"]), SUMMARY_MEMBERS)
        for finding in report["findings"]:
            self.assertEqual(set(finding) - {"reason"}, FINDING_MEMBERS)
            self.assertIn(finding["fault"], report["summary"]["faults"])
        for fault, counts in report["summary"]["faults"].items():
            found = [f for f in report["findings"] if f["fault"] == fault]
            if fault != "empty shard":  # beside a server they are only counted
                self.assertEqual(counts["found"], len(found), fault)
        return done.returncode, report

    def damage(self, count: int) -> dict[str, str]:
        """Spoils so many objects, each in its own way; returns key and expected fault."""
        expected = {}
        for number, key in enumerate(list(self.bodies)[:count]):
            blob = harness.blob_path(self.storage, key)
            sidecar = blob.with_suffix(".json")
            kind = number % 5
            if kind == 0:
                sidecar.unlink()
                expected[key] = "orphan blob"
            elif kind == 1:
                blob.unlink()
                expected[key] = "orphan sidecar"
            elif kind == 2:
                sidecar.write_bytes(sidecar.read_bytes()[:20])
                expected[key] = "torn sidecar"
            elif kind == 3:
                blob.write_bytes(blob.read_bytes() + b"x")
                expected[key] = "wrong size"
            else:
                flip(blob)
                expected[key] = "wrong content"
            del self.bodies[key]
        return expected

    def assert_all_hit(self, server: harness.CacheServer) -> None:
        for key, body in self.bodies.items():
            self.assert_hit(server, key, body)
