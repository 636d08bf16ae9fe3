"""A store with very many objects: how soon the server answers, what it keeps in memory, and that its books are right.

PKC_OBJECTS says how many, 20,000 if nothing else is said; a million take 8 GB of disk and some minutes.
Times are printed and judge nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import artifact  # noqa: E402
import harness  # noqa: E402
from robustness_case import await_event  # noqa: E402

OBJECTS = int(os.environ.get("PKC_OBJECTS", "20000"))
PATIENCE = 1500.0  # seconds, for what takes a few even with a million objects
IDLE_MEMORY_MAX = 100 << 20
SETTLED = "the index has been brought in step with the files"


def fill(root: Path, count: int) -> None:
    """Pairs as the original server leaves them, each of one small zstd frame, in directories that are listed once."""
    keys = sorted(hashlib.sha256(str(number).encode()).hexdigest() for number in range(count))
    place = ""
    for number, key in enumerate(keys):
        if key[:4] != place:
            place = key[:4]
            folder = f"{root}/{place[:2]}/{place[2:]}"
            os.makedirs(folder)
        content = b"%d" % number
        # RFC 8878: magic number, one segment of known size, one raw block, the last one.
        blob = b"\x28\xb5\x2f\xfd\x20" + bytes([len(content)])
        blob += ((len(content) << 3) | 1).to_bytes(3, "little") + content
        facts = {
            "hash": hashlib.sha256(blob).hexdigest(),
            "size": len(blob),
            "created_at": 1_700_000_000,
            "cache_key_hash": key,
        }
        with open(f"{folder}/{key}.zst", "xb", buffering=0) as file:
            file.write(blob)
        with open(f"{folder}/{key}.json", "xb", buffering=0) as file:
            file.write(json.dumps(facts).encode())


class Million(harness.ServerTest):
    def started(self, what: str) -> harness.CacheServer:
        begun = time.monotonic()
        server = self.start_server("--access-log", "false", storage=self.storage)
        self.assertEqual(server.request("GET", "/up").status, 200)
        print(f"{OBJECTS} objects, {what}: answers after {time.monotonic() - begun:.2f} s", flush=True)
        return server

    def stats(self, server: harness.CacheServer) -> dict[str, Any]:
        return json.loads(server.request("GET", "/api/stats").body)

    def assert_books(self, server: harness.CacheServer, objects: int) -> None:
        """Once the index says of itself that it is complete."""
        server.wait_until(
            lambda: self.stats(server)["index"]["complete"], "the index is complete", PATIENCE
        )
        spaces = self.stats(server)["spaces"]
        space = next(space for space in spaces if space["space"] == "polykit")
        self.assertEqual(space["objects"], objects)
        self.assertEqual(space["disk_size"], space["taken"])

    def assert_small(self, server: harness.CacheServer, what: str) -> None:
        print(f"{OBJECTS} objects, {what}: {server.rss() >> 20} MiB resident", flush=True)
        self.assertLessEqual(server.rss(), IDLE_MEMORY_MAX)

    def test_start_memory_and_books(self) -> None:
        self.storage = self.directory / "storage"
        self.storage.mkdir()
        fill(self.storage, OBJECTS)

        server = self.started("first start, without an index")
        begun = time.monotonic()
        await_event(lambda: SETTLED in server.output_text(), "the index is in step", PATIENCE)
        print(f"{OBJECTS} objects: in the index after {time.monotonic() - begun:.1f} s", flush=True)
        self.assert_books(server, OBJECTS)
        self.assert_small(server, "after that")
        self.assertEqual(server.stop(), 0)

        server = self.started("after a clean stop")
        self.assert_books(server, OBJECTS)
        self.assert_small(server, "after a clean stop")
        for number in range(10):
            key = artifact.key_for(f"late {number}")
            self.assertEqual(server.put(key, artifact.build(key, {"stdout.txt": b"x"})).status, 201)
        server.kill()

        server = self.started("after kill -9")
        self.assert_books(server, OBJECTS + 10)
        self.assert_small(server, "after kill -9")
        self.assertEqual(server.stop(), 0)


if __name__ == "__main__":
    harness.main()
