"""What the tests of /fetch share: a cache with an origin that obeys, and clients that see how an
answer ends.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import socket
import subprocess
import sys
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from metrics_text import Family, parse
from robustness_case import KIB, MIB, RobustnessTest, await_event, harness, sha256
from origin import (
    BEFORE_HEAD,
    Answer,
    Authority,
    Gate,
    Origin,
    RefusingPort,
    chunked,
    noise,
    prose,
)

__all__ = [
    *("ALGORITHMS", "Answer", "Authority", "BEFORE_HEAD", "Client", "Crowd", "FetchTest", "Gate"),
    *("Got", "KIB", "LOOPBACK", "MIB", "Origin", "RefusingPort", "await_event", "chunked"),
    *("digest_of", "harness", "noise", "prose", "sha256", "target_of"),
]

LOOPBACK = "127.0.0.0/8,::1"  # what a test lets the cache ask
ALGORITHMS = ("md5", "sha1", "sha256", "sha512")
RETRY_AFTER_MAX = 3600  # seconds; what a client may be told to wait


def target_of(url: str, **parameters: str) -> str:
    """The request target of a fetch."""
    query = {"url": url, **parameters}
    return "/fetch?" + urllib.parse.urlencode(query, quote_via=urllib.parse.quote, safe="")


def digest_of(algorithm: str, body: bytes) -> str:
    return hashlib.new(algorithm, body).hexdigest()


# --- clients ------------------------------------------------------------------------------------


@dataclass
class Got:
    """One answer, and how it ended."""

    status: int = 0
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""
    end: str = "open"  # "whole", "closed" or "reset"; "closed" before its end is broken, too

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def json(self) -> dict[str, Any]:
        return json.loads(self.body)


class Client:
    """One request on a connection of its own, read as the test likes. One thread at a time."""

    def __init__(
        self,
        port: int,
        target: str,
        *,
        method: str = "GET",
        version: str = "HTTP/1.1",
        headers: dict[str, str] | None = None,
        receive_buffer: int | None = None,
        source: str | None = None,
    ) -> None:
        self.method, self.got = method, Got()
        self.socket = socket.socket()
        self.socket.settimeout(harness.IO_TIMEOUT)
        if receive_buffer is not None:  # before connecting: it decides on the window
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        if source is not None:
            self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        lines = [f"{method} {target} {version}", f"Host: 127.0.0.1:{port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        self.socket.sendall("\r\n".join(lines).encode() + b"\r\n\r\n")
        self._raw = bytearray()  # received, and not yet understood
        self._rest: int | None = None  # of the body or the chunk, if it is known
        self._framing = ""
        self._body = bytearray()

    def fileno(self) -> int:
        return self.socket.fileno()

    @property
    def over(self) -> bool:
        return self.got.end != "open"

    def step(self) -> None:
        """Takes what one recv() brings; blocks until there is something."""
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            self._finish("reset")
            return
        if data:
            self._raw += data
            while self._understand():
                pass
        elif self._framing == "until closed":
            self._finish("whole")
        else:
            self._finish("closed")

    def read_head(self) -> Got:
        while self.got.status == 0 and not self.over:
            self.step()
        return self.got

    def read_body(self, size: int) -> Got:
        """Until there is as much, or the end."""
        while len(self._body) < size and not self.over:
            self.step()
        return self.got

    def read(self) -> Got:
        while not self.over:
            self.step()
        return self.got

    def leave(self, *, reset: bool = False) -> None:
        if reset:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.socket.close()

    @property
    def received(self) -> int:
        return len(self._body)

    def _finish(self, how: str) -> None:
        self.got.body, self.got.end = bytes(self._body), how
        self.socket.close()

    def _understand(self) -> bool:
        """One step of parsing; False when more bytes are needed."""
        if self.over:
            return False
        if not self._framing:
            return self._take_head()
        if self._framing == "chunked" and self._rest is None:
            return self._take_chunk_line()
        wanted = len(self._raw) if self._rest is None else min(self._rest, len(self._raw))
        self._body += self._raw[:wanted]
        del self._raw[:wanted]
        if self._rest is None:
            return False
        self._rest -= wanted
        if self._rest:
            return False
        if self._framing == "length":
            self._finish("whole")
            return False
        return self._take_chunk_end()

    def _take_head(self) -> bool:
        end = self._raw.find(b"\r\n\r\n")
        if end < 0:
            return False
        first, *lines = self._raw[:end].decode("latin-1").split("\r\n")
        del self._raw[: end + 4]
        self.got.status = int(first.split(" ", 2)[1])
        pairs = (line.partition(":") for line in lines)
        self.got.headers = [(name, value.strip()) for name, _, value in pairs]
        length = self.got.header("content-length")
        if self.method == "HEAD" or self.got.status in (204, 304):
            self._finish("whole")
        elif (self.got.header("transfer-encoding") or "").lower() == "chunked":
            self._framing = "chunked"
        elif length is not None:
            self._framing, self._rest = "length", int(length)
        else:
            self._framing = "until closed"
        return not self.over

    def _take_chunk_line(self) -> bool:
        end = self._raw.find(b"\r\n")
        if end < 0:
            return False
        size = int(bytes(self._raw[:end]).split(b";")[0], 16)
        if size == 0:
            if not self._raw.startswith(b"\r\n", end + 2):  # no trailers are expected
                return False
            self._finish("whole")
            return False
        del self._raw[: end + 2]
        self._rest = size
        return True

    def _take_chunk_end(self) -> bool:
        if len(self._raw) < 2:
            return False
        if self._raw[:2] != b"\r\n":
            raise AssertionError("a chunk has no end")
        del self._raw[:2]
        self._rest = None
        return True


class Crowd:
    """Many clients of one thread."""

    def __init__(self, clients: Sequence[Client]) -> None:
        self.clients = list(clients)
        self._selector = selectors.DefaultSelector()
        for client in self.clients:
            self._selector.register(client, selectors.EVENT_READ)

    def read(self) -> list[Got]:
        """Until every answer is over; TimeoutError when nothing comes for long."""
        while self._selector.get_map():
            ready = self._selector.select(harness.IO_TIMEOUT)
            if not ready:
                raise TimeoutError(f"{len(self._selector.get_map())} clients wait in vain")
            for key, _ in ready:
                client: Client = key.fileobj  # type: ignore[assignment]
                descriptor = key.fd
                client.step()
                if client.over:
                    self._selector.unregister(descriptor)
        return [client.got for client in self.clients]


# --- tests --------------------------------------------------------------------------------------


class FetchTest(RobustnessTest):
    def start_origin(self, **options: Any) -> Origin:
        origin = Origin(**options)
        self.addCleanup(origin.close)
        return origin

    def start_cache(
        self, *arguments: str, retries: int = 0, addresses: str | None = LOOPBACK, **options: Any
    ) -> harness.CacheServer:
        """A server that may ask this machine. Without retries a failure comes at once."""
        allowed = () if addresses is None else ("--upstream-allow-addresses", addresses)
        return self.start_server(
            *("--upstream-retries", str(retries), "--upstream-proxy", "none"),
            *allowed,
            *arguments,
            **options,
        )

    def client(self, server: harness.CacheServer, url: str, **options: Any) -> Client:
        """`parameters` go into the query."""
        parameters = options.pop("parameters", {})
        client = Client(server.port, target_of(url, **parameters), **options)
        self.addCleanup(client.leave)
        return client

    def fetch(self, server: harness.CacheServer, url: str, **parameters: str) -> Got:
        return self.client(server, url, parameters=parameters).read()

    def fetch_with(
        self, server: harness.CacheServer, url: str, headers: dict[str, str], **parameters: str
    ) -> Got:
        return self.client(server, url, headers=headers, parameters=parameters).read()

    def head(self, server: harness.CacheServer, url: str, **parameters: str) -> Got:
        return self.client(server, url, method="HEAD", parameters=parameters).read()

    # Claims

    def assert_body(self, got: Got, body: bytes, cached: str | None = None) -> None:
        """A clean 200 with these bytes."""
        self.assertEqual((got.status, got.end), (200, "whole"), got.body[:500])
        self.assertTrue(got.body == body, f"{len(got.body)} other bytes than the {len(body)}")
        if cached is not None:
            self.assertEqual(got.header("x-cache-status"), cached)

    def assert_hit(self, server: harness.CacheServer, url: str, body: bytes) -> None:  # type: ignore[override]
        got = self.fetch(server, url)
        self.assert_body(got, body, "HIT")
        self.assertEqual(got.header("x-content-sha256"), sha256(body))

    def assert_broken(self, got: Got, body: bytes) -> None:
        """It began, and did not end: every byte that came is right, some are missing, and the
        connection was reset, so that nobody takes it for an end."""
        self.assertEqual((got.status, got.end), (200, "reset"))
        self.assertLess(len(got.body), len(body))
        self.assertTrue(body.startswith(got.body), "wrong bytes before the break")

    def assert_fetch_error(self, got: Got, status: int, **members: Any) -> dict[str, Any]:
        """The error has exactly these members, in this order, and a message for people at the end,
        or where `message` is named."""
        self.assertEqual((got.status, got.end), (status, "whole"), got.body[:500])
        self.assertEqual(got.header("content-type"), "application/json")
        told = got.json()
        order = list(members) if "message" in members else [*members, "message"]
        self.assertEqual(list(told), order)
        self.assertEqual({**told, "message": ...}, {**members, "message": ...})
        self.assertIsInstance(told["message"], str)
        self.assertGreater(len(told["message"]), 10)
        self.assertNotIn(str(self.directory), got.body.decode())
        self.assertNotIn("errno", told["message"].lower())
        return told

    def assert_upstream_error(self, got: Got, url: str, status: int | None) -> None:
        self.assert_fetch_error(
            got, 502, error="upstream_error", status_code=status, source_url=url
        )

    def assert_unavailable(self, got: Got, url: str) -> None:
        self.assert_fetch_error(got, 503, error="upstream_unavailable", source_url=url)
        self.assertIn(int(got.header("retry-after") or ""), range(1, RETRY_AFTER_MAX))

    def assert_forbidden(self, got: Got, url: str) -> None:
        """`url` is as it is known here, which is not as it was written in every case."""
        self.assert_fetch_error(got, 403, error="forbidden_upstream", source_url=url)

    # The store

    def blobs(self, server: harness.CacheServer) -> list[Path]:
        """Of downloaded content."""
        return sorted((server.storage / "cas").glob("??/??/*.zst"))

    def records(self, server: harness.CacheServer) -> list[Path]:
        """Of URLs."""
        return sorted((server.storage / "fetch").glob("??/??/*.zst"))

    def unfinished(self, server: harness.CacheServer) -> list[str]:
        """Temp files, also those without a name."""
        names = [str(path) for path in server.temp_files()]
        for link in Path(f"/proc/{server.pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(link)
                if target.startswith(str(server.storage)) and target.endswith(" (deleted)"):
                    names.append(target)
        return names

    def await_nothing_unfinished(self, server: harness.CacheServer) -> None:
        await_event(lambda: not self.unfinished(server), "nothing unfinished is left")

    def assert_stored_contents(self, server: harness.CacheServer, *bodies: bytes) -> None:
        """Exactly these are in the store, each with its sidecar, and nothing is left behind."""
        self.await_nothing_unfinished(server)
        names = sorted({sha256(body) for body in bodies})
        self.assertEqual([path.stem for path in self.blobs(server)], names)
        for path in self.blobs(server):
            sidecar = json.loads(path.with_suffix(".json").read_bytes())
            self.assertEqual(sidecar["size"], path.stat().st_size)
        files = [p for p in (server.storage / "cas").rglob("*") if p.is_file()]
        self.assertEqual(len(files), 2 * len(names), files)
        self.assertEqual(list((server.storage / "quarantine").glob("*")), [])

    def assert_nothing_stored(self, server: harness.CacheServer) -> None:
        self.assert_stored_contents(server)
        self.assertEqual(self.records(server), [])

    def assert_sound(self, server: harness.CacheServer) -> None:
        """fsck finds nothing to say against the directory of a server that has ended."""
        done = subprocess.run(  # noqa: S603
            [str(harness.environment_path("PKC_SERVER")), "fsck", "--verify-content"]
            + ["--storage-dir", str(server.storage)],
            capture_output=True,
            text=True,
            check=False,
            env=harness.clean_environment(),
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def decoded(self, path: Path) -> bytes:
        """What the real zstd makes of a stored file."""
        return self.unzstd(path.read_bytes())

    def unzstd(self, data: bytes) -> bytes:
        command = ["zstd", "-dc"]
        return subprocess.run(command, input=data, capture_output=True, check=True).stdout  # noqa: S603

    # Numbers

    def families(self, server: harness.CacheServer) -> dict[str, Family]:
        return parse(server.request("GET", "/metrics").body.decode())

    def value(self, server: harness.CacheServer, name: str, **labels: str) -> float:
        """0 for a sample that is not there; the family has to be."""
        family = self.families(server)[name]
        return family.samples.get((name, frozenset(labels.items())), 0)
