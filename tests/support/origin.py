"""An origin server that does what a test tells it, down to the byte and the kind of its end.

    origin = Origin()
    origin.program("/a.tar", Answer(body, etag='"1"', cut_at=1000, ending="reset"),
                   Answer(body, etag='"1"', ranges=True))
    … the first request for /a.tar is cut after 1000 bytes, all later ones are answered in whole …
    origin.count("/a.tar"), origin.seen("/a.tar")[1].header("if-range")
    origin.close()

Nothing in it goes by time: an answer stops at a Gate until the test opens it. Not a test itself.
"""

from __future__ import annotations

import contextlib
import email.utils
import random
import re
import shutil
import socket
import ssl
import subprocess
import threading
import unittest
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

AWAIT_TIMEOUT = 60.0  # seconds; events come in milliseconds unless something is broken
REASONS = {200: "OK", 206: "Partial Content", 302: "Found", 304: "Not Modified", 404: "Not Found"}
LINGER_NOT = b"\1\0\0\0\0\0\0\0"  # struct linger {1, 0}: close() sends RST

Framing = Literal["length", "chunked", "close"]
Ending = Literal["keep", "close", "abrupt", "reset", "silence"]


# --- bodies -------------------------------------------------------------------------------------


def noise(size: int, seed: int = 1) -> bytes:
    """Bytes that nothing compresses."""
    return random.Random(f"noise {seed}").randbytes(size)


def prose(size: int, seed: int = 1) -> bytes:
    """Bytes that compress well, and have no period."""
    chosen = random.Random(f"prose {seed}")
    words = [bytes(chosen.choices(b"abcdefghijklmnop", k=chosen.randint(2, 9))) for _ in range(500)]
    text = bytearray()
    while len(text) < size:
        text += b" ".join(chosen.choices(words, k=1000)) + b"\n"
    return bytes(text[:size])


def chunked(body: bytes, size: int = 65_536) -> bytes:
    """The body in chunks, with the last one."""
    pieces = (body[start : start + size] for start in range(0, len(body), size))
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


# --- programs -----------------------------------------------------------------------------------


class Gate:
    """A place in an answer where the origin stops until the test lets it go on."""

    def __init__(self) -> None:
        self._open, self._reached = threading.Event(), threading.Event()

    def open(self) -> None:
        self._open.set()

    def await_reached(self) -> None:
        if not self._reached.wait(AWAIT_TIMEOUT):
            raise AssertionError("the origin did not get to the gate")

    def pass_through(self) -> None:
        """The origin's side."""
        self._reached.set()
        self._open.wait()


BEFORE_HEAD = -1  # the place of a gate


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What one request gets. Offsets are of the body as it is sent, so with chunk lines if any."""

    body: bytes = b""
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)
    framing: Framing = "length"
    version: str = "HTTP/1.1"
    announced: int | None = None  # a Content-Length that is not the true one
    wire: bytes | None = None  # sent in place of the body in its framing
    raw: bytes | None = None  # sent in place of everything
    cut_at: int | None = None  # nothing is sent from this offset on, and `ending` follows
    ending: Ending = "keep"  # "abrupt" leaves out TLS' close_notify; "silence": the peer has to go
    gates: Mapping[int, Gate] = field(default_factory=dict)  # by offset, or BEFORE_HEAD
    etag: str | None = None
    last_modified: str | None = None
    ranges: bool = False  # honours Range, If-Range and the conditions
    chunk: int = 65_536

    def coded(self, body: bytes) -> bytes:
        if self.wire is not None:
            return self.wire
        return chunked(body, self.chunk) if self.framing == "chunked" else body


@dataclass(frozen=True)
class Seen:
    """A request as it came."""

    method: str
    target: str
    headers: Sequence[tuple[str, str]]
    connection: int  # those of one connection have the same number

    def header(self, name: str) -> str | None:
        return next((v for k, v in self.headers if k.lower() == name.lower()), None)


class Origin:
    """Serves programs, each connection with a thread. Thread-safe."""

    def __init__(
        self, *, host: str = "127.0.0.1", port: int = 0, tls: ssl.SSLContext | None = None
    ) -> None:
        """`port`: only where the network is the test's own."""
        self.host, self.tls = host, tls
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=1024)
        self.port: int = self._listener.getsockname()[1]
        self._changed = threading.Condition()
        self._programs: dict[str, list[Answer]] = {}
        self._seen: list[Seen] = []
        self._open: set[socket.socket] = set()
        self._gates: set[Gate] = set()
        self._connections = 0
        self._closing = False
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> Origin:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # The test's side.

    def url(self, path: str, *, host: str | None = None) -> str:
        name = host or (f"[{self.host}]" if ":" in self.host else self.host)
        return f"{'https' if self.tls else 'http'}://{name}:{self.port}{path}"

    def program(self, path: str, *answers: Answer) -> str:
        """The n-th request for the path (its query does not count) gets the n-th answer, later ones
        the last. Returns the URL. A path without a program is a 404."""
        with self._changed:
            self._programs[path] = list(answers)
            self._gates.update(gate for answer in answers for gate in answer.gates.values())
        return self.url(path)

    def seen(self, path: str | None = None) -> list[Seen]:
        with self._changed:
            return [s for s in self._seen if path is None or path_of(s.target) == path]

    def count(self, path: str | None = None) -> int:
        return len(self.seen(path))

    @property
    def connections(self) -> int:
        """How many were ever accepted."""
        with self._changed:
            return self._connections

    def await_requests(self, path: str, number: int = 1) -> None:
        with self._changed:
            if not self._changed.wait_for(
                lambda: sum(path_of(s.target) == path for s in self._seen) >= number, AWAIT_TIMEOUT
            ):
                raise AssertionError(f"{path} was not asked for {number} times")

    def await_idle(self) -> None:
        """Returns when no connection is open any more."""
        with self._changed:
            if not self._changed.wait_for(lambda: not self._open, AWAIT_TIMEOUT):
                raise AssertionError("connections to the origin stay open")

    def close(self) -> None:
        """Dies: connections are reset and new ones refused."""
        with self._changed:
            self._closing = True
            opened = list(self._open)
            gates = list(self._gates)
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._listener.close()
        for connection in opened:
            with contextlib.suppress(OSError):
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
                connection.shutdown(socket.SHUT_RDWR)
        for gate in gates:
            gate.open()

    # The side of the connections.

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._changed:
                self._connections += 1
                number = self._connections
                self._open.add(connection)
                self._changed.notify_all()
            threading.Thread(target=self._serve, args=(connection, number), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        plain = connection
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self.tls is not None:
                connection = self.tls.wrap_socket(connection, server_side=True)
                with self._changed:
                    self._open.discard(plain)
                    self._open.add(connection)
            with connection.makefile("rb") as stream:
                while (seen := read_request(stream, number)) is not None:
                    if self._answer(connection, seen) != "keep":
                        return
        except OSError:
            pass  # the peer went, as it may
        finally:
            with contextlib.suppress(OSError):
                connection.close()
            with self._changed:
                self._open.discard(plain)
                self._open.discard(connection)
                self._changed.notify_all()

    def _answer(self, connection: socket.socket, seen: Seen) -> Ending:
        path = path_of(seen.target)
        with self._changed:
            program = self._programs.get(path, [Answer(status=404, body=b"no such program\n")])
            answer = program.pop(0) if len(program) > 1 else program[0]
            self._seen.append(seen)
            self._changed.notify_all()
        if BEFORE_HEAD in answer.gates:
            answer.gates[BEFORE_HEAD].pass_through()
        if answer.raw is not None:
            head, coded = b"", answer.raw
        else:
            status, fields, body = representation(answer, seen)
            coded = answer.coded(body)
            fields += framing_fields(answer, status, body)
            head = head_of(answer.version, status, fields)
            if seen.method == "HEAD" or status == 304:
                coded = b""
        send_body(connection, head, coded, answer)
        cut = answer.cut_at is not None and answer.cut_at < len(coded)
        ending = answer.ending
        if ending == "keep" and (cut or answer.framing == "close" or answer.raw is not None):
            ending = "close"
        end(connection, ending)
        return ending


def path_of(target: str) -> str:
    return target.partition("?")[0]


def read_request(stream: object, number: int) -> Seen | None:
    """Nothing at the end, and for what is no HTTP."""
    words = stream.readline().decode("latin-1").split()  # type: ignore[attr-defined]
    if len(words) != 3:
        return None
    method, target, _ = words
    headers: list[tuple[str, str]] = []
    while (line := stream.readline()).rstrip(b"\r\n"):  # type: ignore[attr-defined]
        name, _, value = line.decode("latin-1").partition(":")
        headers.append((name, value.strip()))
    return Seen(method, target, headers, number)


Representation = tuple[int, list[tuple[str, str]], bytes]


def representation(answer: Answer, seen: Seen) -> Representation:
    """Status, headers and body that an honest server of this content gives."""
    fields = [("Date", email.utils.formatdate(usegmt=True)), *answer.headers.items()]
    if answer.etag is not None:
        fields.append(("ETag", answer.etag))
    if answer.last_modified is not None:
        fields.append(("Last-Modified", answer.last_modified))
    if not answer.ranges or answer.status != 200:
        return answer.status, fields, answer.body
    if not_modified(answer, seen):
        return 304, fields, b""
    fields.append(("Accept-Ranges", "bytes"))
    asked = re.fullmatch(r"bytes=(\d+)-(\d*)", seen.header("range") or "")
    condition = seen.header("if-range")
    if asked is None or condition not in (None, answer.etag, answer.last_modified):
        return 200, fields, answer.body
    first, size = int(asked[1]), len(answer.body)
    if first >= size:
        return 416, [*fields, ("Content-Range", f"bytes */{size}")], b""
    last = min(int(asked[2]), size - 1) if asked[2] else size - 1
    fields.append(("Content-Range", f"bytes {first}-{last}/{size}"))
    return 206, fields, answer.body[first : last + 1]


def not_modified(answer: Answer, seen: Seen) -> bool:
    tags, since = seen.header("if-none-match"), seen.header("if-modified-since")
    if tags is not None:
        return answer.etag is not None and answer.etag in map(str.strip, tags.split(","))
    return since is not None and since == answer.last_modified


def framing_fields(answer: Answer, status: int, body: bytes) -> list[tuple[str, str]]:
    if answer.framing == "chunked":
        return [("Transfer-Encoding", "chunked")]
    if answer.framing == "close":
        return [("Connection", "close")]
    if status == 304:
        return []
    return [("Content-Length", str(len(body) if answer.announced is None else answer.announced))]


def head_of(version: str, status: int, fields: Sequence[tuple[str, str]]) -> bytes:
    lines = [f"{version} {status} {REASONS.get(status, 'Status')}"]
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"


def send_body(connection: socket.socket, head: bytes, coded: bytes, answer: Answer) -> None:
    last = len(coded) if answer.cut_at is None else min(answer.cut_at, len(coded))
    position, pending = 0, head
    for offset in stops(answer, last):
        connection.sendall(pending + coded[position:offset])
        position, pending = offset, b""
        answer.gates[offset].pass_through()
    connection.sendall(pending + coded[position:last])


def stops(answer: Answer, last: int) -> Iterator[int]:
    return (offset for offset in sorted(answer.gates) if 0 <= offset <= last)


def end(connection: socket.socket, ending: Ending) -> None:
    if ending == "reset":
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER_NOT)
    elif ending == "silence":
        while connection.recv(4096):
            pass
    elif ending == "close":
        if isinstance(connection, ssl.SSLSocket):
            connection.settimeout(1)  # the peer need not say good-bye as well
            with contextlib.suppress(OSError, ValueError):
                connection.unwrap()
        else:
            # With a request still unread, close() would send RST in place of FIN.
            connection.shutdown(socket.SHUT_WR)


class RefusingPort:
    """A port that belongs to nobody else and refuses connections."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self._socket = socket.socket()
        self._socket.bind((host, 0))
        self.port: int = self._socket.getsockname()[1]

    def close(self) -> None:
        self._socket.close()


# --- certificates -------------------------------------------------------------------------------


class Authority:
    """A certificate authority of the test, made with openssl."""

    def __init__(self, directory: Path, name: str = "test authority") -> None:
        self._directory = directory / name.replace(" ", "-")
        self._directory.mkdir(parents=True)
        self.file, self._key = self._directory / "ca.pem", self._directory / "ca.key"
        self._issued = 0
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-days", "2", "-keyout", str(self._key)),
            *("-out", str(self.file)),
        )

    def issue(self, names: str, *, expired: bool = False) -> ssl.SSLContext:
        """A server's context with a certificate for `names`, say "IP:127.0.0.1,DNS:localhost"."""
        self._issued += 1
        stem = self._directory / f"server{self._issued}"
        key, request, certificate = (stem.with_suffix(s) for s in (".key", ".csr", ".pem"))
        extensions = stem.with_suffix(".ext")
        extensions.write_text(f"subjectAltName={names}\n")
        openssl(
            *("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=origin", "-keyout", str(key), "-out", str(request)),
        )
        openssl(
            *("x509", "-req", "-in", str(request), "-CA", str(self.file), "-CAkey", str(self._key)),
            *("-CAcreateserial", "-days", "-1" if expired else "2"),
            *("-extfile", str(extensions), "-out", str(certificate)),
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        return context


def openssl(*arguments: str) -> None:
    program = shutil.which("openssl")
    if program is None:
        raise unittest.SkipTest("openssl is not installed")
    done = subprocess.run([program, *arguments], capture_output=True, check=False)  # noqa: S603
    if done.returncode != 0:
        raise AssertionError(f"openssl {arguments[0]}: {done.stderr.decode()}")
