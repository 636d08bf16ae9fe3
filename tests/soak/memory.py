"""Resident memory stays flat: over a million requests, and while 64 large bodies are under way.

PKC_LOAD is the load generator of tests/bench. The figures are the kernel's own high-water mark, so
nothing between two samples is missed.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import artifact  # noqa: E402
import harness  # noqa: E402
from robustness_case import GIB, KIB, MIB, get_head, noise, put_head  # noqa: E402
from robustness_memory import HugeArtifact, MemoryTest  # noqa: E402

EXTRA_MAX = 64 * MIB
PARALLEL = 64
ROUNDS = 10
# In one round, all at once: mode, requests, and how many on one connection (0: all).
MIX = (("get", 40_000, 0), ("head", 20_000, 0), ("miss", 30_000, 0), ("get", 10_000, 10))
# From the first round to the last. The smallest piece of memory is 32 bytes, so if each request lost
# one, it would be twice as much.
GROWTH_MAX = 16 * MIB
HITS = 64  # objects of 1 KiB
UNVERIFIED_SIZE = 128 * MIB
UPLOAD_SIZE = 64 * MIB  # the test takes as much of the disk as 64 of them
SPACE = 8 * GIB
OPTIONS = ("--max-size", "2GiB", "--durability", "none")


def load(server: harness.CacheServer, mode: str, *arguments: str) -> dict[str, float]:
    """Runs the load generator, which checks status and length of every answer."""
    binary = harness.environment_path("PKC_LOAD")
    if binary is None:
        raise harness.ServerError("PKC_LOAD does not name the load generator")
    done = subprocess.run(  # noqa: S603
        [str(binary), "--port", str(server.port), "--mode", mode, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"load {mode}: {done.stderr}")
    return json.loads(done.stdout)


def kibibyte_artifact(key: str, seed: int) -> bytes:
    """Exactly 1 KiB; a skippable frame fills it up."""
    body = artifact.build(key, {"stdout.txt": noise(300, seed)})
    return body + artifact.skippable_frame(bytes(KIB - len(body) - 8))


class Memory(MemoryTest):
    def setUp(self) -> None:
        super().setUp()
        if shutil.disk_usage(self.directory).free < SPACE:
            self.skipTest(f"{SPACE // GIB} GiB are needed in {self.directory.parent}")
        # Removed at the end even when the test fails, unlike other directories.
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)

    def start(self) -> harness.CacheServer:
        """A server that has served one request of each kind. What it writes reaches the disk when
        the kernel likes: memory is measured here."""
        return self.start_measured(*OPTIONS)

    def check_extra(self, server: harness.CacheServer, what: str) -> None:
        idle = self.resident
        self.assertLessEqual(self.extra(server, f"{what}: idle {idle / MIB:.1f} MiB"), EXTRA_MAX)


class Requests(Memory):
    def test_a_million_leave_it_where_it_was(self) -> None:
        server = self.start()
        paths = self.directory / "paths"
        with paths.open("w") as lines:
            for number in range(HITS):
                key = artifact.key_for(f"hit {number}")
                self.assertEqual(server.put(key, kibibyte_artifact(key, number)).status, 201)
                lines.write(f"/v1/artifacts/{key}\n")

        curve = [self.round(server, paths, seed) for seed in range(ROUNDS)]

        requests = ROUNDS * sum(count for _, count, _ in MIX)
        text = ", ".join(f"{size / MIB:.1f}" for size in curve)
        print(f"{requests} requests; MiB after each tenth: {text}", flush=True)
        self.check_extra(server, f"{requests} requests")
        self.assertLessEqual(max(curve[1:]) - curve[0], GROWTH_MAX)

    def round(self, server: harness.CacheServer, paths: Path, seed: int) -> int:
        """One tenth of the requests, all kinds at once; returns the memory that stays."""

        def run(mode: str, requests: int, per_connection: int) -> int:
            arguments = ["--connections", "8", "--seed", str(seed), "--requests", str(requests)]
            if mode != "miss":
                arguments += ["--paths", str(paths), "--size", str(KIB)]
            arguments += ["--requests-per-connection", str(per_connection)]
            return int(load(server, mode, *arguments)["requests"])

        with ThreadPoolExecutor(len(MIX)) as pool:
            done = list(pool.map(lambda row: run(*row), MIX))
        self.assertEqual(done, [requests for _, requests, _ in MIX])
        return server.rss()


class Transfers(Memory):
    def test_64_downloads_of_1_gib_at_once(self) -> None:
        server = self.start()
        huge = HugeArtifact(artifact.key_for("huge"), GIB)
        self.upload(server, huge)
        self.assertEqual(self.digest_of_download(server, huge), huge.digest.hexdigest())
        self.begin_measure(server)  # from here on it is verified and goes by sendfile

        self.download(server, huge, PARALLEL - 1)

        self.check_extra(server, f"{PARALLEL} downloads of {huge.length / GIB:.2f} GiB")

    def test_64_first_downloads_at_once_which_are_verified(self) -> None:
        first = self.start()
        huge = HugeArtifact(artifact.key_for("huge"), UNVERIFIED_SIZE)
        self.upload(first, huge)
        self.assertEqual(first.stop(), 0)
        server = self.start_server(*OPTIONS, storage=first.storage)
        self.begin_measure(server)

        self.download(server, huge, PARALLEL - 1)

        what = f"{PARALLEL} first downloads of {huge.length / MIB:.0f} MiB, verified on the way"
        self.check_extra(server, what)

    def test_64_uploads_of_64_mib_at_once(self) -> None:
        server = self.start()

        counts = ("--connections", str(PARALLEL), "--requests", str(PARALLEL))
        report = load(server, "put", "--size", str(UPLOAD_SIZE), *counts)
        self.assertEqual(report["requests"], PARALLEL)

        self.check_extra(server, f"{PARALLEL} uploads of {UPLOAD_SIZE // MIB} MiB")
        self.assertEqual(server.temp_files(), [])

    def upload(self, server: harness.CacheServer, huge: HugeArtifact) -> None:
        with server.connect() as connection:
            connection.send(put_head(huge.key, huge.length), *huge.chunks())
            answer = connection.response()
        self.assertEqual(answer.status if answer else None, 201)

    def download(self, server: harness.CacheServer, huge: HugeArtifact, others: int) -> None:
        """Once with every byte checked, and as often as `others` says with length and status."""
        with ThreadPoolExecutor(2) as pool:
            digest = pool.submit(self.digest_of_download, server, huge)
            path = f"/v1/artifacts/{huge.key}"
            counts = ("--connections", str(others), "--requests", str(others))
            report = load(server, "get", "--path", path, "--size", str(huge.length), *counts)
            self.assertEqual(report["requests"], others)
            self.assertEqual(digest.result(), huge.digest.hexdigest())
        print(f"{report['bytes_per_second'] / GIB:.1f} GiB/s", flush=True)

    def digest_of_download(self, server: harness.CacheServer, huge: HugeArtifact) -> str:
        received, buffer = hashlib.sha256(), memoryview(bytearray(MIB))
        left = huge.length
        with server.connect() as connection:
            connection.send(get_head(huge.key))
            while connection.stream.readline().rstrip():
                pass
            while left and (count := connection.stream.readinto(buffer[: min(MIB, left)])):
                received.update(buffer[:count])
                left -= count
        self.assertEqual(left, 0)
        return received.hexdigest()


if __name__ == "__main__":
    harness.main()
