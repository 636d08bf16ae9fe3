"""Badly behaved clients for the soak: they break off at random, at every place of an exchange.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import random
import socket
from collections.abc import Callable

from soak_honest import KIB, Library, Record, Visitor, artifact, chunked, request_head

STALL_MAX = 1.0  # seconds that a stall lasts: how the client behaves, not something awaited
STORM = 40  # connections that are opened and reset in a row
TLS_HELLO = bytes.fromhex("16030100c8010000c40303") + bytes(64)
SMUGGLED = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


class Abuser:
    """One thread that opens connection after connection and treats each badly."""

    def __init__(self, port: int, number: int, rng: random.Random, library: Library, record: Record):
        self.port = port
        self.source = f"127.0.1.{number + 1}"
        self.rng = rng
        self.library = library
        self.record = record
        self.actions: list[Callable[[], None]] = [
            *(self.storm, self.cut_head, self.drip_head, self.cut_body, self.cut_chunks),
            *(self.cut_answer, self.stall_answer, self.pipeline_and_go, self.garbage, self.mutate),
            *(self.expect_and_go, self.half_close, self.smuggle, self.refused_body, self.urgent),
        ]
        self.ends: list[Callable[[Visitor], None]] = [
            *(self.end_close, self.end_reset, self.end_half_close, self.end_stall),
        ]

    def run(self) -> None:
        action = self.storm
        try:
            while not self.record.over.is_set():
                action = self.rng.choice(self.actions)
                with contextlib.suppress(ConnectionError):  # what this client asks for
                    action()
                self.record.count(f"abuse {action.__name__}")
        except (AssertionError, OSError, ValueError) as error:
            name = f"{self.source}, {action.__name__}"
            self.record.fail(f"{name}: {type(error).__name__}: {error}")

    # How a connection ends.

    def end(self, connection: Visitor) -> None:
        self.rng.choice(self.ends)(connection)

    def end_close(self, connection: Visitor) -> None:
        connection.close()

    def end_reset(self, connection: Visitor) -> None:
        connection.reset()

    def end_half_close(self, connection: Visitor) -> None:
        """The server must notice, and say or do something, in its own time."""
        connection.end_sending()
        while self.read_answer(connection):
            pass
        connection.close()

    def end_stall(self, connection: Visitor) -> None:
        self.stall()
        self.rng.choice((self.end_close, self.end_reset))(connection)

    def stall(self) -> None:
        self.record.over.wait(self.rng.uniform(0, STALL_MAX))

    def read_answer(self, connection: Visitor) -> bool:
        """Reads one if there is one. Even a bad client gets HTTP, and never 500."""
        answer = connection.response()
        if answer is not None and answer.status == 500:
            raise AssertionError(f"answered 500: {answer.body[:200]!r}")
        return answer is not None and answer.complete

    # What is done before.

    def visit(self, *, receive_buffer: int = 0) -> Visitor:
        return Visitor(self.port, self.source, receive_buffer=receive_buffer)

    def any_key(self) -> str:
        return self.rng.choice(list(self.library.bodies))

    def large_key(self) -> str:
        return max(self.library.bodies, key=lambda key: len(self.library.bodies[key]))

    def upload(self) -> tuple[str, bytes]:
        """A good one, which is never sent as a whole."""
        key = artifact.key_for(f"abuser {self.rng.random()}")
        content = self.rng.randbytes(self.rng.randrange(1, 300 * KIB))
        return key, artifact.build(key, {"stdout.txt": content})

    def prefix(self, data: bytes) -> bytes:
        return data[: self.rng.randrange(1, len(data))]

    def storm(self) -> None:
        connections = [self.visit() for _ in range(self.rng.randint(1, STORM))]
        for connection in connections:
            connection.reset()

    def cut_head(self) -> None:
        connection = self.visit()
        connection.send(self.prefix(request_head("GET", self.any_key(), "X-Filler: " + "x" * 200)))
        self.end(connection)

    def drip_head(self) -> None:
        connection = self.visit()
        head = request_head("GET", self.any_key())
        for at in range(self.rng.randrange(1, len(head))):
            connection.send(head[at : at + 1])
            if self.record.over.wait(0.01):
                break
        self.end(connection)

    def cut_body(self) -> None:
        key, body = self.upload()
        connection = self.visit()
        connection.send(request_head("PUT", key, f"Content-Length: {len(body)}"), self.prefix(body))
        self.end(connection)

    def cut_chunks(self) -> None:
        key, body = self.upload()
        connection = self.visit()
        connection.send(request_head("PUT", key, "Transfer-Encoding: chunked"))
        connection.send(self.prefix(chunked(self.rng, body)))
        self.end(connection)

    def cut_answer(self) -> None:
        key = self.any_key()
        connection = self.visit()
        connection.send(request_head("GET", key))
        connection.stream.read(self.rng.randrange(1, len(self.library.bodies[key])))
        self.rng.choice((self.end_close, self.end_reset))(connection)

    def stall_answer(self) -> None:
        """The answer is larger than what the two kernels take off the server."""
        connection = self.visit(receive_buffer=4 * KIB)
        connection.send(request_head("GET", self.large_key()))
        self.end_stall(connection)

    def pipeline_and_go(self) -> None:
        connection = self.visit()
        count = self.rng.randint(2, 100)
        connection.send(request_head("GET", self.any_key()) * count)
        for _ in range(self.rng.randrange(3)):
            self.read_answer(connection)
        self.rng.choice((self.end_close, self.end_reset))(connection)

    def garbage(self) -> None:
        connection = self.visit()
        noise = self.rng.randbytes(self.rng.randrange(1, 4 * KIB))
        connection.send(self.rng.choice((noise, TLS_HELLO, b"\r\n" * 50, b"\0" * 99, b"G" * 70_000)))
        self.end(connection)

    def mutate(self) -> None:
        """A good request in which a few bytes are others."""
        key, body = self.upload()
        request = bytearray(request_head("PUT", key, f"Content-Length: {len(body)}") + body)
        for _ in range(self.rng.randint(1, 4)):
            request[self.rng.randrange(min(len(request), 400))] = self.rng.randrange(256)
        connection = self.visit()
        connection.send(bytes(request))
        self.end_half_close(connection)

    def expect_and_go(self) -> None:
        key, body = self.upload()
        connection = self.visit()
        fields = (f"Content-Length: {len(body)}", "Expect: 100-continue")
        connection.send(request_head("PUT", key, *fields))
        if self.rng.random() < 0.5:
            connection.send(self.prefix(body))  # without waiting for leave
        self.end(connection)

    def half_close(self) -> None:
        """Half-closed after whole requests: every answer comes still."""
        connection = self.visit()
        count = self.rng.randint(1, 5)
        connection.send(request_head("GET", self.any_key()) * count)
        connection.end_sending()
        for number in range(count):
            answer = connection.response()
            if answer is None or not answer.complete or answer.status not in (200, 503):
                raise AssertionError(f"half-closed: no whole answer {number + 1} of {count}")
            if answer.status == 503:
                break
        connection.close()

    def smuggle(self) -> None:
        key, body = self.upload()
        fields = self.rng.choice(
            (
                (f"Content-Length: {len(body)}", "Transfer-Encoding: chunked"),
                ("Content-Length: 5", f"Content-Length: {len(body)}"),
                ("Transfer-Encoding: xchunked", f"Content-Length: {len(body)}"),
                ("Transfer-Encoding : chunked",),
            )
        )
        connection = self.visit()
        connection.send(request_head("PUT", key, *fields), b"0\r\n\r\n", SMUGGLED)
        answer = connection.response()
        if answer is not None and answer.status not in (400, 501, 503):
            raise AssertionError(f"an ambiguous request was answered {answer.status}")
        if answer is not None and connection.response() is not None:
            raise AssertionError("what follows an ambiguous request was answered")
        self.end(connection)

    def refused_body(self) -> None:
        """A body that is refused by its head, sent all the same, and cut off."""
        connection = self.visit()
        body = self.rng.randbytes(256 * KIB)
        connection.send(request_head("PUT", self.any_key(), f"Content-Length: {len(body)}"))
        connection.send(self.prefix(body))
        self.end(connection)

    def urgent(self) -> None:
        connection = self.visit()
        connection.socket.send(b"!", socket.MSG_OOB)
        connection.send(request_head("GET", self.any_key()))
        self.end(connection)
