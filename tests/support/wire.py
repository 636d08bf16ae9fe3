"""HTTP as bytes on a socket, for tests that want to see what a library would hide. Not a test itself."""

from __future__ import annotations

import contextlib
import socket
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import BinaryIO

IO_TIMEOUT = 60.0  # seconds


@dataclass
class Response:
    """One answer as it came over the wire."""

    status: int
    headers: list[tuple[str, str]]
    body: bytes = b""
    complete: bool = True  # the body had its announced length
    interim: list[int] = field(default_factory=list)  # 1xx answers before it

    def header(self, name: str) -> str | None:
        """The first value, or nothing."""
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)

    def header_values(self, name: str) -> list[str]:
        return [v for k, v in self.headers if k.lower() == name.lower()]


def read_response(stream: BinaryIO, *, head: bool = False) -> Response | None:
    """Reads one answer from a socket file; nothing when the peer closed before a status line.

    `head` says that the request was HEAD, so no body follows.
    """
    interim: list[int] = []
    while True:
        try:
            status_line = stream.readline()
        except ConnectionResetError:
            return None
        if not status_line.endswith(b"\n"):
            return None
        status = int(status_line.split(None, 2)[1])
        headers = list(_header_lines(stream))
        if status >= 200:
            break
        interim.append(status)
    response = Response(status, headers, interim=interim)
    if not head and status not in (204, 304):
        response.body, response.complete = _read_body(stream, response)
    return response


def _header_lines(stream: BinaryIO) -> Iterator[tuple[str, str]]:
    while (line := stream.readline()).rstrip(b"\r\n"):
        name, _, value = line.decode("latin-1").partition(":")
        yield name, value.strip()


def _read_body(stream: BinaryIO, response: Response) -> tuple[bytes, bool]:
    try:
        if (response.header("transfer-encoding") or "").lower() == "chunked":
            return _read_chunked(stream)
        length = response.header("content-length")
        if length is None:
            return stream.read(), True
        body = stream.read(int(length))
        return body, len(body) == int(length)
    except ConnectionResetError:
        return b"", False


def _read_chunked(stream: BinaryIO) -> tuple[bytes, bool]:
    pieces: list[bytes] = []
    while size_line := stream.readline():
        size = int(size_line.split(b";")[0], 16)
        if size == 0:
            list(_header_lines(stream))
            return b"".join(pieces), True
        pieces.append(stream.read(size))
        stream.readline()
    return b"".join(pieces), False


class RawConnection:
    """A socket on which the test writes the bytes itself. `source` is another loopback address to
    connect from, say 127.0.0.2."""

    def __init__(
        self, port: int, *, timeout: float = IO_TIMEOUT, source: str | None = None
    ) -> None:
        self.socket = socket.create_connection(
            ("127.0.0.1", port), timeout, None if source is None else (source, 0)
        )
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream: BinaryIO = self.socket.makefile("rb")

    def __enter__(self) -> RawConnection:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        self.stream.close()
        self.socket.close()

    def reset(self) -> None:
        """Closes with RST, as a client that was killed does."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        self.close()

    def send(self, *pieces: bytes) -> None:
        """Sends; a peer that has already answered and closed is no error here."""
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            for piece in pieces:
                self.socket.sendall(piece)

    def end_sending(self) -> None:
        """Half-closes: the server reads end of file."""
        with contextlib.suppress(OSError):
            self.socket.shutdown(socket.SHUT_WR)

    def response(self, *, head: bool = False) -> Response | None:
        return read_response(self.stream, head=head)

    def closed_by_peer(self, *, timeout: float = IO_TIMEOUT) -> bool:
        """True when the peer closes (or resets) within `timeout` and sends nothing more."""
        self.socket.settimeout(timeout)
        try:
            return self.stream.read(1) == b""
        except ConnectionResetError:
            return True
        except TimeoutError:
            return False
