"""Half-written pairs that a crash of the original leaves behind: a miss to us, and the next upload heals.

Needs PKC_SERVER; whether the original serves what we healed is asked when PKC_ORIGINAL_SERVER is set.
"""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402


def sidecar_of(key: str, blob: bytes, **changes: object) -> bytes:
    """The sidecar as the original writes it, with `changes`."""
    facts = {
        "hash": hashlib.sha256(blob).hexdigest(),
        "size": len(blob),
        "created_at": artifact.CREATED_AT,
        "cache_key_hash": key,
    }
    return artifact.to_json({**facts, **changes})


def damaged_pairs(key: str, body: bytes) -> dict[str, tuple[bytes | None, bytes | None]]:
    """Blob and sidecar (or none) of every kind of damage, by name."""
    good = sidecar_of(key, body)
    flipped = body[:-1] + bytes([body[-1] ^ 1])
    return {
        "blob without sidecar": (body, None),
        "sidecar without blob": (None, good),
        "empty sidecar": (body, b""),
        "torn sidecar": (body, good[: len(good) // 2]),
        "sidecar of another blob": (body, sidecar_of(key, body + b"longer")),
        "same size, other bytes": (flipped, good),
        "cut blob": (body[:-1], good),
        "empty blob": (b"", good),
        "sidecar of another key": (body, sidecar_of("f" * 64, body)),
        "sidecar without size": (body, good.replace(b'"size"', b'"sise"')),
        "size as text": (body, sidecar_of(key, body, size=str(len(body)))),
    }


DAMAGES = tuple(damaged_pairs("0" * 64, b"any"))


class PoisonedKeys(harness.ServerTest):
    """Half-written pairs that the original leaves behind: it never serves or repairs them; we do."""

    def poison(self, name: str) -> tuple[Path, str, bytes]:
        """A storage directory with one damaged key; with its key and its correct body."""
        storage = self.directory / name.replace(" ", "-")
        key = artifact.key_for(name)
        body = artifact.build(key, {"stdout.txt": b"healed\n"})
        blob, sidecar = damaged_pairs(key, body)[name]
        path = harness.blob_path(storage, key)
        path.parent.mkdir(parents=True)
        if blob is not None:
            path.write_bytes(blob)
        if sidecar is not None:
            path.with_suffix(".json").write_bytes(sidecar)
        return storage, key, body

    def test_a_poisoned_key_is_a_miss_that_the_next_upload_heals(self) -> None:
        for name in DAMAGES:
            with self.subTest(name):
                storage, key, body = self.poison(name)
                server = self.start_server(storage=storage)

                self.assertEqual(server.head(key).status, 404, "HEAD")
                self.assertEqual(server.get(key).status, 404, "GET")
                self.assertEqual(server.put(key, body).status, 201, "PUT")
                self.assertEqual(server.get(key).body, body)
                self.assertEqual(server.stop(), 0)
                self.assertEqual(server.blob_path(key).read_bytes(), body)
                facts = json.loads(server.sidecar_path(key).read_bytes())
                self.assertEqual(facts["size"], len(body))

    def test_an_upload_heals_it_without_a_read_before(self) -> None:
        for name in DAMAGES:
            with self.subTest(name):
                storage, key, body = self.poison(name)
                server = self.start_server(storage=storage)

                self.assertEqual(server.put(key, body).status, 201)

                self.assertEqual(server.get(key).body, body)
                server.stop()

    def test_the_original_serves_what_we_healed(self) -> None:
        for name in DAMAGES:
            with self.subTest(name):
                storage, key, body = self.poison(name)
                ours = self.start_server(storage=storage)
                self.assertEqual(ours.put(key, body).status, 201)
                ours.stop()

                original = self.start_server(original=True, storage=storage)

                answer = original.get(key)
                self.assertEqual((answer.status, answer.body), (200, body))
                self.assertEqual(original.head(key).header("content-length"), str(len(body)))
                self.assertEqual(
                    answer.header("x-artifact-hash"), hashlib.sha256(body).hexdigest()
                )
                original.stop()


if __name__ == "__main__":
    harness.main()
