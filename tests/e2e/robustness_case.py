"""What the robustness tests share: waiting for events, half uploads, and errors that tell nothing.

Not a test itself.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import random
import re
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402

KIB, MIB, GIB = 1 << 10, 1 << 20, 1 << 30
DEADLINE = 30.0  # seconds until an awaited event is a failure; a healthy server takes milliseconds

# What an operating system says about a failed call; none of it concerns a client.
ERRNO_TEXTS = tuple(
    os.strerror(number)
    for number in (
        errno.EACCES,
        errno.EBADF,
        errno.EEXIST,
        errno.EIO,
        errno.EISDIR,
        errno.EMFILE,
        errno.ENOENT,
        errno.ENOSPC,
        errno.ENOTDIR,
        errno.EPERM,
        errno.EPIPE,
        errno.ECONNRESET,
    )
)


def await_event(happened: Callable[[], bool], what: str, deadline: float = DEADLINE) -> None:
    """Returns as soon as `happened()`; there is nothing to block on for what these tests await."""
    end = time.monotonic() + deadline
    while not happened():
        if time.monotonic() > end:
            raise AssertionError(f"did not happen in {deadline} s: {what}")
        select.select([], [], [], 0.005)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def noise(size: int, seed: int = 1) -> bytes:
    """Incompressible bytes."""
    return random.Random(seed).randbytes(size)


def small_artifact(key: str, text: str = "hello") -> bytes:
    return artifact.build(key, {"stdout.txt": text.encode()})


def big_artifact(key: str, size: int, seed: int = 1) -> bytes:
    """A valid artifact of a little more than `size` bytes."""
    return artifact.build(key, {"stdout.txt": noise(size, seed)})


class HalfUpload(harness.RawConnection):
    """An upload of which only the first half has been sent."""

    def __init__(self, server: harness.CacheServer, key: str, body: bytes) -> None:
        super().__init__(server.port)
        middle = len(body) // 2
        self.rest = body[middle:]
        self.send(put_head(key, len(body)), body[:middle])

    def send_rest(self) -> None:
        self.send(self.rest)

    def has_answer(self) -> bool:
        """True when the server has sent something, or closed."""
        return bool(select.select([self.socket], [], [], 0)[0])


def put_head(key: str, length: int) -> bytes:
    lines = f"PUT /v1/artifacts/{key} HTTP/1.1\r\nHost: test\r\nContent-Length: {length}\r\n\r\n"
    return lines.encode()


def get_head(key: str) -> bytes:
    return f"GET /v1/artifacts/{key} HTTP/1.1\r\nHost: test\r\n\r\n".encode()


class RobustnessTest(harness.ServerTest):
    """Claims that every one of these tests makes."""

    def mount_small(self, options: str) -> Path:
        """A storage directory on a file system of its own; `options` say how small that is."""
        if os.geteuid() != 0:
            self.skipTest("a small file system needs root to be mounted")
        target = Path(tempfile.mkdtemp(prefix="small-", dir=self.directory))
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.skipTest(f"no small file system: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(target)], check=False)
        return target / "storage"

    def assert_error(
        self, response: harness.Response | None, status: int, *secrets: str | Path
    ) -> None:
        """The answer is this error, as JSON, and tells nothing about the inside of the server."""
        self.assertIsNotNone(response, f"no answer where {status} was expected")
        assert response is not None  # for type checkers
        self.assertEqual(response.status, status, response.body)
        self.assertEqual(response.header("content-type"), "application/json")
        self.assertTrue(response.complete)
        text = response.body.decode()
        error = json.loads(text)
        self.assertEqual(list(error), ["error"])
        self.assertTrue(error["error"])
        for secret in (str(self.directory), *map(str, secrets), *ERRNO_TEXTS):
            self.assertNotIn(secret.lower(), text.lower())
        self.assertNotRegex(error["error"], r"Error|errno|0x[0-9a-f]{6}|std::|::")

    def assert_miss(self, server: harness.CacheServer, key: str) -> None:
        """GET and HEAD both say so."""
        self.assert_error(server.get(key), 404)
        self.assertEqual(server.head(key).status, 404)

    def assert_hit(self, server: harness.CacheServer, key: str, body: bytes) -> None:
        """GET gives exactly these bytes, and GET and HEAD the right digest and length."""
        got, head = server.get(key), server.head(key)
        self.assertEqual((got.status, head.status), (200, 200), got.body[:200])
        self.assertTrue(got.complete)
        self.assertTrue(got.body == body, f"{len(got.body)} other bytes than the {len(body)} sent")
        for response in (got, head):
            self.assertEqual(response.header("x-artifact-hash"), sha256(body))
            self.assertEqual(response.header("content-length"), str(len(body)))

    def assert_stored(self, server: harness.CacheServer, key: str, body: bytes) -> None:
        """Blob and sidecar on disk are of this upload."""
        self.assertTrue(server.blob_path(key).read_bytes() == body)
        sidecar = json.loads(server.sidecar_path(key).read_bytes())
        self.assertEqual(
            (sidecar["hash"], sidecar["size"], sidecar["cache_key_hash"]),
            (sha256(body), len(body), key),
        )

    def await_upload_began(self, server: harness.CacheServer, uploads: int = 1) -> None:
        await_event(lambda: len(server.temp_files()) >= uploads, "uploads have their temp files")

    def await_no_temp_files(self, server: harness.CacheServer) -> None:
        await_event(lambda: not server.temp_files(), f"tmp/ is empty: {server.temp_files()}")

    def metric(self, server: harness.CacheServer, name: str) -> int:
        """The value of an unlabelled counter; 0 when it is not shown."""
        text = server.request("GET", "/metrics").body.decode()
        found = re.search(rf"^{name} (\d+)$", text, re.MULTILINE)
        return int(found[1]) if found else 0

    def quarantined(self, server: harness.CacheServer, key: str) -> list[str]:
        """The kinds of files that lie in quarantine for the key."""
        return sorted(p.suffix for p in (server.storage / "quarantine").glob(f"{key}.*"))
