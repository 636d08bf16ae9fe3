"""Memory does not grow with the size of what is sent: bombs, and an upload of 2 GiB."""

from __future__ import annotations

import hashlib
import shutil
import struct
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    GIB,
    KIB,
    MIB,
    RobustnessTest,
    artifact,
    get_head,
    harness,
    noise,
    put_head,
    small_artifact,
)

EXTRA_MAX = 48 * MIB  # resident memory that one request may cost
ZSTD_BLOCK = 128 * KIB
RAW, REPEATED = 0, 1
WINDOW_2_MIB, WINDOW_128_MIB, WINDOW_256_MIB = 0x58, 0x88, 0x90


# --- frames written by hand, so that they cost no time and say exactly what the test means -----------


def frame_header(window: int = WINDOW_2_MIB) -> bytes:
    return b"\x28\xb5\x2f\xfd\x00" + bytes((window,))


def block(kind: int, size: int, content: bytes, *, last: bool = False) -> bytes:
    return struct.pack("<I", size << 3 | kind << 1 | last)[:3] + content


def raw_blocks(content: bytes) -> bytes:
    pieces = (content[at : at + ZSTD_BLOCK] for at in range(0, len(content), ZSTD_BLOCK))
    return b"".join(block(RAW, len(piece), piece) for piece in pieces)


def end_of_frame(zeros: int = 0) -> bytes:
    return block(REPEATED, zeros, b"\0", last=True)


def zero_bomb(key: str, size: int, window: int = WINDOW_2_MIB) -> bytes:
    """A correct artifact whose one output is `size` zeros; a block of 4 bytes makes 128 KiB."""
    files = {"stdout.txt": artifact.Zeros(size)}
    head = artifact.entry("metadata.json", artifact.metadata(key))
    head += artifact.entry("manifest.json", artifact.manifest(files))
    head += artifact.header("outputs/stdout.txt", size)
    zeros = block(REPEATED, ZSTD_BLOCK, b"\0") * (size // ZSTD_BLOCK)
    return frame_header(window) + raw_blocks(head) + zeros + end_of_frame(len(artifact.END))


class MemoryTest(RobustnessTest):
    def start_measured(self, *arguments: str) -> harness.CacheServer:
        """A server that has served one request of each kind."""
        server = self.start_server(*arguments)
        key = artifact.key_for("first")
        body = small_artifact(key)
        self.assertEqual(server.put(key, body).status, 201)
        self.assert_hit(server, key, body)
        self.begin_measure(server)
        return server

    def begin_measure(self, server: harness.CacheServer) -> None:
        server.reset_peak_rss()
        self.resident = server.rss()

    def extra(self, server: harness.CacheServer, what: str) -> int:
        """How far memory rose since begin_measure(), in bytes."""
        extra = server.peak_rss() - self.resident
        print(f"{what}: {extra / MIB:.1f} MiB of extra memory", flush=True)
        return extra


class Bombs(MemoryTest):
    def check_refused(self, body: bytes, what: str) -> None:
        server = self.start_measured()

        answer = server.put(artifact.key_for("bomb"), body)

        self.assert_error(answer, 422)
        self.assertLessEqual(self.extra(server, what), EXTRA_MAX)
        self.assertEqual(server.temp_files(), [])
        self.assert_miss(server, artifact.key_for("bomb"))

    def test_10_kb_that_decode_to_240_mib(self) -> None:
        key = artifact.key_for("bomb")
        body = zero_bomb(key, 240 * MIB)
        self.assertLess(len(body), 11 * KIB)
        server = self.start_measured()

        answer = server.put(key, body)

        # A whole artifact, and no stranger than the log of a build that prints one line for ever.
        self.assertEqual(answer.status, 201)
        self.assertLessEqual(self.extra(server, "10 KB that decode to 240 MiB"), EXTRA_MAX)

    def test_20_kb_that_decode_to_480_mib(self) -> None:
        body = zero_bomb(artifact.key_for("bomb"), 480 * MIB)
        self.assertLess(len(body), 22 * KIB)

        self.check_refused(body, "20 KB that decode to 480 MiB")

    def test_10_kb_of_zeros_in_a_window_of_128_mib(self) -> None:
        body = zero_bomb(artifact.key_for("bomb"), 240 * MIB, WINDOW_128_MIB)

        self.check_refused(body, "bomb of 10 KB, window of 128 MiB")

    def test_a_window_that_is_too_large_is_refused(self) -> None:
        body = zero_bomb(artifact.key_for("bomb"), 128 * KIB, WINDOW_256_MIB)

        self.check_refused(body, "window of 256 MiB")

    def test_a_manifest_without_end(self) -> None:
        key = artifact.key_for("bomb")
        head = artifact.entry("metadata.json", artifact.metadata(key))
        head += artifact.header("manifest.json", GIB)
        zeros = block(REPEATED, ZSTD_BLOCK, b"\0") * (GIB // ZSTD_BLOCK)

        self.check_refused(frame_header() + raw_blocks(head) + zeros + end_of_frame(1024), "manifest")

    def test_8_at_once(self) -> None:
        server = self.start_measured()
        keys = [artifact.key_for(f"bomb {number}") for number in range(8)]
        bodies = {key: zero_bomb(key, 240 * MIB, WINDOW_128_MIB) for key in keys}

        with ThreadPoolExecutor(len(keys)) as pool:
            answers = list(pool.map(lambda key: server.put(key, bodies[key]), keys))

        for answer in answers:
            self.assert_error(answer, 422)
        self.assertLessEqual(self.extra(server, "8 bombs at once"), len(keys) * EXTRA_MAX)
        self.assertEqual(server.temp_files(), [])


class HugeArtifact:
    """A valid artifact of any size as a stream: the manifest, which needs the digest, comes last."""

    def __init__(self, key: str, size: int) -> None:
        self.key = key
        self.digest = hashlib.sha256()  # of all that chunks() gave
        piece = noise(8 * MIB)
        self.pieces = size // len(piece)
        self.content_size = self.pieces * len(piece)
        self.content = piece
        self.framed = raw_blocks(piece)
        head = artifact.entry("metadata.json", artifact.metadata(key))
        head += artifact.header("outputs/stdout.txt", self.content_size)
        self.head = frame_header() + raw_blocks(head)
        self.length = (
            len(self.head) + self.pieces * len(self.framed) + len(self.tail("0" * 64))
        )

    def tail(self, digest: str) -> bytes:
        manifest = {"files": {"stdout.txt": digest}, "total_size": self.content_size}
        entry = artifact.entry("manifest.json", artifact.to_json(manifest))
        return raw_blocks(entry) + end_of_frame(len(artifact.END))

    def chunks(self) -> Iterator[bytes]:
        content = hashlib.sha256()
        yield self._hashed(self.head)
        for _ in range(self.pieces):
            content.update(self.content)
            yield self._hashed(self.framed)
        yield self._hashed(self.tail(content.hexdigest()))

    def _hashed(self, chunk: bytes) -> bytes:
        self.digest.update(chunk)
        return chunk


class TwoGibibytes(MemoryTest):
    def test_go_up_and_come_down_in_bounded_memory(self) -> None:
        if shutil.disk_usage(self.directory).free < 6 * GIB:
            self.skipTest(f"2 GiB need 6 GiB free in {self.directory.parent}")
        # Removed at the end even when the test fails, unlike other directories.
        self.addCleanup(shutil.rmtree, self.directory, ignore_errors=True)
        server = self.start_measured("--max-size", "4GiB")
        huge = HugeArtifact(artifact.key_for("huge"), 2 * GIB)

        self.upload(server, huge)
        self.assertLessEqual(self.extra(server, "upload of 2 GiB"), EXTRA_MAX)

        self.begin_measure(server)
        self.check_download(server, huge)
        self.assertLessEqual(self.extra(server, "download of 2 GiB"), EXTRA_MAX)
        self.assertEqual(server.stop(), 0)

        again = self.start_server("--max-size", "4GiB", storage=server.storage)
        self.begin_measure(again)
        self.check_download(again, huge)
        self.assertLessEqual(self.extra(again, "verified download of 2 GiB"), EXTRA_MAX)

    def upload(self, server: harness.CacheServer, huge: HugeArtifact) -> None:
        with server.connect() as connection:
            connection.send(put_head(huge.key, huge.length), *huge.chunks())
            answer = connection.response()
        self.assertEqual(answer.status if answer else None, 201)

    def check_download(self, server: harness.CacheServer, huge: HugeArtifact) -> None:
        received, length = hashlib.sha256(), 0
        with server.connect() as connection:
            connection.send(get_head(huge.key))
            while connection.stream.readline().rstrip():
                pass
            while chunk := connection.stream.read(min(MIB, huge.length - length)):
                received.update(chunk)
                length += len(chunk)
        self.assertEqual(length, huge.length)
        self.assertEqual(received.hexdigest(), huge.digest.hexdigest())


if __name__ == "__main__":
    harness.main()
