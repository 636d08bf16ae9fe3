"""Well-behaved clients for the soak: each checks every byte of every answer it gets.

Not a test itself.
"""

from __future__ import annotations

import collections
import random
import socket
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import artifact  # noqa: E402
import harness  # noqa: E402
from robustness_case import KIB, MIB, noise, sha256  # noqa: E402

OWN_SIZE_MAX = 200 * KIB


class Visitor(harness.RawConnection):
    """A connection from a loopback address of the client's own, so that limits by address see many
    clients and ports do not run out."""

    def __init__(self, port: int, source: str, *, receive_buffer: int = 0) -> None:
        self.socket = socket.socket()
        self.socket.settimeout(harness.IO_TIMEOUT)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        # Else a port would be taken for the address alone, and those in TIME_WAIT would be lost.
        self.socket.setsockopt(socket.IPPROTO_IP, getattr(socket, "IP_BIND_ADDRESS_NO_PORT", 24), 1)
        self.socket.bind((source, 0))
        self.socket.connect(("127.0.0.1", port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.stream = self.socket.makefile("rb")


@dataclass
class Record:
    """What all clients of a soak report to. Thread-safe: every step is one call of the interpreter."""

    counts: collections.Counter[str] = field(default_factory=collections.Counter)
    failures: list[str] = field(default_factory=list)
    stored: dict[str, str] = field(default_factory=dict)  # key: SHA-256 of the bytes
    over: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def count(self, what: str) -> None:
        with self.lock:
            self.counts[what] += 1

    def fail(self, what: str) -> None:
        self.failures.append(what)
        self.over.set()


@dataclass(frozen=True)
class Library:
    """Objects that everybody reads."""

    bodies: dict[str, bytes]

    @staticmethod
    def make() -> Library:
        sizes = {"small": 600, "medium": 200 * KIB, "large": 6 * MIB}
        bodies = {}
        for seed, (name, size) in enumerate(sizes.items()):
            key = artifact.key_for(f"shared {name}")
            bodies[key] = artifact.build(key, {"stdout.txt": noise(size, seed)})
        return Library(bodies)


def request_head(method: str, key: str, *fields: str) -> bytes:
    lines = [f"{method} /v1/artifacts/{key} HTTP/1.1", "Host: soak", *fields, "", ""]
    return "\r\n".join(lines).encode()


def chunked(rng: random.Random, body: bytes) -> bytes:
    """The body in chunks of random sizes."""
    pieces = []
    at = 0
    while at < len(body):
        piece = body[at : at + rng.randint(1, 64 * KIB)]
        pieces.append(b"%x\r\n%b\r\n" % (len(piece), piece))
        at += len(piece)
    return b"".join(pieces) + b"0\r\n\r\n"


class WrongAnswerError(Exception):
    """What an honest client must never see."""


class HonestClient:
    """One thread with one connection, kept for as long as the server keeps it."""

    def __init__(self, port: int, name: str, rng: random.Random, library: Library, record: Record):
        self.port = port
        self.name = name
        self.rng = rng
        self.library = library
        self.record = record
        self.connection: Visitor | None = None
        self.uploads = 0
        self.actions: list[Callable[[], None]] = [
            *(self.get, self.head, self.part, self.unchanged, self.miss, self.pipeline),
            *(self.put_new, self.put_existing, self.put_invalid),
        ]

    def run(self) -> None:
        """Until the soak is over or something is wrong."""
        action = self.get
        try:
            while not self.record.over.is_set():
                action = self.rng.choice(self.actions)
                action()
                self.record.count(f"honest {action.__name__}")
        except (WrongAnswerError, OSError, ValueError) as error:
            self.record.fail(f"{self.name}, {action.__name__}: {type(error).__name__}: {error}")
        finally:
            if self.connection:
                self.connection.close()

    # One exchange.

    def open(self) -> Visitor:
        if self.connection is None:
            self.connection = Visitor(self.port, "127.0.0.1")
        return self.connection

    def answer(self, status: int, *, head: bool = False) -> harness.Response:
        """The answer that must come next, and must have this status."""
        answer = self.answer_of_any((status,), head=head)
        if answer.status >= 500:
            raise WrongAnswerError(f"{answer.status} where {status} is right")
        return answer

    def answer_of_any(self, statuses: tuple[int, ...], *, head: bool = False) -> harness.Response:
        connection = self.open()
        answer = connection.response(head=head)
        if answer is None:
            raise WrongAnswerError(f"closed where {statuses} is right")
        if answer.status not in statuses:
            raise WrongAnswerError(f"{answer.status} where {statuses} is right: {answer.body[:200]!r}")
        if not answer.complete:
            raise WrongAnswerError(f"the body of a {answer.status} is short: {len(answer.body)}")
        if (answer.header("connection") or "").lower() == "close":
            connection.close()
            self.connection = None
        return answer

    def check(self, answer: harness.Response, body: bytes, whole: bytes) -> None:
        if answer.body != body:
            raise WrongAnswerError(f"{len(answer.body)} other bytes than the {len(body)} right ones")
        if answer.header("x-artifact-hash") != sha256(whole):
            raise WrongAnswerError("the digest in the head is another one")

    def any_shared(self) -> tuple[str, bytes]:
        return self.rng.choice(list(self.library.bodies.items()))

    # Reading.

    def get(self) -> None:
        key, body = self.any_shared()
        self.open().send(request_head("GET", key))
        self.check(self.answer(200), body, body)

    def head(self) -> None:
        key, body = self.any_shared()
        self.open().send(request_head("HEAD", key))
        answer = self.answer(200, head=True)
        if answer.header("content-length") != str(len(body)):
            raise WrongAnswerError("HEAD has another length")

    def part(self) -> None:
        key, body = self.any_shared()
        first = self.rng.randrange(len(body))
        last = self.rng.randrange(first, len(body))
        self.open().send(request_head("GET", key, f"Range: bytes={first}-{last}"))
        answer = self.answer(206)
        self.check(answer, body[first : last + 1], body)
        if answer.header("content-range") != f"bytes {first}-{last}/{len(body)}":
            raise WrongAnswerError(f"Content-Range: {answer.header('content-range')}")

    def unchanged(self) -> None:
        key, body = self.any_shared()
        self.open().send(request_head("GET", key, f'If-None-Match: "{sha256(body)}"'))
        self.answer(304)

    def miss(self) -> None:
        key = artifact.key_for(f"absent {self.name} {self.rng.random()}")
        self.open().send(request_head("GET", key))
        self.answer(404)

    def pipeline(self) -> None:
        """Several requests in one piece; the answers come in their order."""
        small = min(self.library.bodies.items(), key=lambda item: len(item[1]))
        kinds = self.rng.choices(("GET", "HEAD", "miss"), k=self.rng.randint(2, 12))
        absent = artifact.key_for("absent")
        requests = [request_head(*(("GET", absent) if k == "miss" else (k, small[0]))) for k in kinds]
        self.open().send(b"".join(requests))
        for kind in kinds:
            answer = self.answer(404 if kind == "miss" else 200, head=kind == "HEAD")
            if kind == "GET":
                self.check(answer, small[1], small[1])

    # Writing.

    def put_new(self) -> None:
        self.uploads += 1
        key = artifact.key_for(f"{self.name} {self.uploads}")
        content = self.rng.randbytes(self.rng.randrange(OWN_SIZE_MAX))
        body = artifact.build(key, {"stdout.txt": content})
        while not self.upload(key, body, self.rng.choice(("length", "chunks", "expect"))):
            if self.record.over.wait(0.05):  # less than Retry-After asks for, more than a server likes
                return
        self.record.stored[key] = sha256(body)
        self.open().send(request_head("GET", key))
        self.check(self.answer(200), body, body)

    def upload(self, key: str, body: bytes, way: str) -> bool:
        """False when the server is busy and says so as it should."""
        connection = self.open()
        if way == "chunks":
            head = request_head("PUT", key, "Transfer-Encoding: chunked")
            connection.send(head, chunked(self.rng, body))
        elif way == "length":
            connection.send(request_head("PUT", key, f"Content-Length: {len(body)}"), body)
        elif not self.asks_first(connection, key, body):
            return False
        answer = self.answer_of_any((201, 503))
        if answer.status == 503:
            self.check_busy(answer)
        return answer.status == 201

    def asks_first(self, connection: Visitor, key: str, body: bytes) -> bool:
        """Expect: 100-continue, and the body when it is wanted."""
        head = request_head("PUT", key, f"Content-Length: {len(body)}", "Expect: 100-continue")
        connection.send(head)
        line = connection.stream.readline()
        if line.startswith(b"HTTP/1.1 100 "):
            while connection.stream.readline().rstrip():
                pass
            connection.send(body)
            return True
        if not line.startswith(b"HTTP/1.1 503 "):
            raise WrongAnswerError(f"{line!r} in place of 100 Continue")
        connection.close()  # the rest of the answer is of no interest here
        self.connection = None
        self.record.count("honest 503")
        return False

    def check_busy(self, answer: harness.Response) -> None:
        if answer.header("retry-after") != "1":
            raise WrongAnswerError("503 without Retry-After")
        self.record.count("honest 503")

    def put_existing(self) -> None:
        key, body = self.any_shared()
        self.open().send(request_head("PUT", key, f"Content-Length: {len(body)}"), body)
        answer = self.answer_of_any((409, 503))
        if answer.status == 503:
            self.check_busy(answer)

    def put_invalid(self) -> None:
        key = artifact.key_for(f"invalid {self.rng.random()}")
        body = artifact.compress(self.rng.randbytes(self.rng.randrange(1, 4 * KIB)))
        self.open().send(request_head("PUT", key, f"Content-Length: {len(body)}"), body)
        answer = self.answer_of_any((422, 503))
        if answer.status == 503:
            self.check_busy(answer)
