"""The generator of artifacts and cache keys in tests/support agrees with what is known of the client."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402

HELLO_PACKAGE = "hello-" + hashlib.sha256(b"./packages/hello").hexdigest()[:8]


class CacheKeys(unittest.TestCase):
    """Keys that the client computed."""

    def test_inputs_of_the_client_give_its_keys(self) -> None:
        vectors = {
            "de4d5c60d8d21a4c2ccd99bdfaa0ff92f25fff1cd51dee01ec02c55d53a76c37": artifact.CacheKey(),
            "680c95b79cc7f198c0e0423e4eb0938d32403afcef1b2d43ddafbab17406693e": artifact.CacheKey(
                "p", "build", "c", env_vars={"A": "1"}, input_file=("src/x", "h")
            ),
            "5652b51596db72d778eb6944b6939ba206580b0fe605d01397e121eb7ec33179": artifact.CacheKey(
                HELLO_PACKAGE,
                "build",
                "echo built hello",
                dependency_graph_hash=hashlib.sha256(b"hello:build").hexdigest(),
                toolchain_version="python3-Python 3.11.7",
            ),
        }
        for expected, inputs in vectors.items():
            with self.subTest(expected[:8]):
                self.assertEqual(inputs.hash(), expected)


class Artifacts(unittest.TestCase):
    def test_a_frame_begins_as_the_clients(self) -> None:
        body = artifact.build(artifact.key_for(1), {"stdout.txt": b"hello\n"})

        self.assertEqual(body[:6].hex(), "28b52ffd0058")

    def test_a_file_of_any_size_has_the_bytes_of_the_one_in_memory(self) -> None:
        key = artifact.key_for(2)
        content = artifact.Pattern(3_000_000)
        with tempfile.TemporaryDirectory(prefix="pkc-") as directory:
            path = Path(directory) / "artifact"

            size = artifact.write_file(path, key, {"stdout.txt": content})

            self.assertEqual(size, path.stat().st_size)
            self.assertEqual(
                artifact.decompress(path.read_bytes()),
                artifact.decompress(artifact.build(key, {"stdout.txt": b"".join(content.chunks())})),
            )

    def test_a_bomb_is_small_and_decodes_to_its_size(self) -> None:
        bomb = artifact.bomb(artifact.key_for(3), 50 << 20)

        self.assertLess(len(bomb), 10_000)
        self.assertGreater(len(artifact.decompress(bomb)), 50 << 20)

    def test_cut_zstd_does_not_decompress(self) -> None:
        body = artifact.build(artifact.key_for(4), {"stdout.txt": b"hello\n"})

        with self.assertRaises(ValueError):
            artifact.decompress(body[:-3])


if __name__ == "__main__":
    harness.main()
