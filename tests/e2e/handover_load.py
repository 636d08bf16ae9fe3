"""Ten restarts under a thousand requests a second, and no client notices.

Every request goes out at its time, whatever became of the one before. A client that keeps its
connection may be told `Connection: close`; a connection that ends in any other way, a refused one,
a 5xx or one wrong byte is a failure.
"""

from __future__ import annotations

import json
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from handover_case import HandoverTest, Lineage
from robustness_case import KIB, MIB, artifact, big_artifact, harness, sha256, small_artifact

RESTARTS = 10
RATE = 1000  # requests a second, of all clients together
CALM = 0.3  # seconds of load before, between and after restarts


Address = tuple[str, int] | str


@dataclass
class Answer:
    status: int
    body: bytes
    closes: bool


class Broken(Exception):
    """The connection ended in the middle of an answer, or before one."""


class Connection:
    """HTTP/1.1 with nothing between the test and the socket."""

    begun = False  # something of the newest answer has come

    def __init__(self, address: Address) -> None:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        self.socket = socket.socket(family, socket.SOCK_STREAM)
        self.socket.settimeout(harness.IO_TIMEOUT)
        self.socket.connect(address)
        if family == socket.AF_INET:
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def ask(self, request: bytes, *, is_head: bool) -> Answer:
        self.begun = False
        self.socket.sendall(request)
        received = b""
        while (end := received.find(b"\r\n\r\n")) < 0:
            received += self._receive(64 * KIB)
        lines = received[:end].lower().split(b"\r\n")
        fields = dict(line.split(b": ", 1) for line in lines[1:])
        length = 0 if is_head else int(fields[b"content-length"])
        pieces = [received[end + 4 :]]
        left = length - len(pieces[0])
        while left > 0:
            pieces.append(self._receive(min(left, MIB)))
            left -= len(pieces[-1])
        return Answer(
            int(lines[0].split()[1]), b"".join(pieces), fields.get(b"connection") == b"close"
        )

    def _receive(self, size: int) -> bytes:
        data = self.socket.recv(size)
        if not data:
            raise Broken("the connection was closed")
        self.begun = True
        return data

    def close(self) -> None:
        self.socket.close()


@dataclass
class Results:
    """What all clients saw."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    statuses: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    stored: dict[str, list[bytes]] = field(default_factory=dict)  # key -> bodies that got 201

    def note(self, what: str, status: int) -> None:
        with self.lock:
            self.statuses[f"{what} {status}"] += 1

    def fail(self, what: str) -> None:
        with self.lock:
            self.failures.append(what)

    def note_stored(self, key: str, body: bytes) -> None:
        with self.lock:
            self.stored.setdefault(key, []).append(body)


@dataclass
class Request:
    method: str
    key: str
    body: bytes  # sent with PUT, expected of GET
    statuses: tuple[int, ...]

    def encode(self) -> bytes:
        head = f"{self.method} /v1/artifacts/{self.key} HTTP/1.1\r\nHost: test\r\n"
        if self.method != "PUT":
            return f"{head}\r\n".encode()
        return f"{head}Content-Length: {len(self.body)}\r\n\r\n".encode() + self.body


class Client(threading.Thread):
    """Sends the next of its requests every `period` seconds."""

    def __init__(
        self,
        load: Load,
        requests: Iterator[Request],
        rate: float,
        *,
        keeps: bool,
    ) -> None:
        super().__init__()
        self.load, self.requests, self.period, self.keeps = load, requests, 1 / rate, keeps
        self.connection: Connection | None = None

    def run(self) -> None:
        due = time.monotonic()
        while not self.load.over.wait(max(0.0, due - time.monotonic())):
            due += self.period
            request = next(self.requests)
            try:
                self.send(request)
            except (OSError, Broken, ValueError, KeyError) as error:
                kept = "kept" if self.keeps else "new"
                self.load.results.fail(f"{request.method} on a {kept} connection: {error!r}")
                self.drop()
        self.drop()

    def drop(self) -> None:
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def send(self, request: Request) -> None:
        if self.connection is None:
            self.connection = Connection(self.load.address)
        answer = self.connection.ask(request.encode(), is_head=request.method == "HEAD")
        if answer.closes or not self.keeps:
            self.drop()
        results = self.load.results
        results.note(request.method, answer.status)
        if answer.status not in request.statuses:
            results.fail(f"{request.method}: status {answer.status}: {answer.body[:200]!r}")
        elif request.method == "GET" and answer.status == 200 and answer.body != request.body:
            results.fail(f"GET: {len(answer.body)} other bytes than the {len(request.body)} stored")
        elif request.method == "PUT" and answer.status == 201:
            results.note_stored(request.key, request.body)


class Load:
    """Clients of every kind, from start() to stop()."""

    client = Client

    def __init__(self, address: Address, stored: dict[str, bytes], rate: int = RATE) -> None:
        self.address = address
        self.results = Results()
        self.over = threading.Event()
        small, big = stored.items()
        hits = rate * 0.7
        self.clients: list[Client] = []
        self.add(10, hits * 0.6, True, lambda n: repeat("GET", *small, 200))
        self.add(6, hits * 0.4, False, lambda n: repeat("GET", *small, 200))
        self.add(1, rate * 0.01, True, lambda n: repeat("GET", *big, 200))
        self.add(1, rate * 0.01, False, lambda n: repeat("GET", *big, 200))
        self.add(2, 1, True, lambda n: repeat("GET", *small, 200))  # mostly idle
        self.add(2, rate * 0.08, True, lambda n: repeat("HEAD", *small, 200))
        absent = (artifact.key_for("absent"), b"")
        self.add(2, rate * 0.06, True, lambda n: repeat("GET", *absent, 404))
        self.add(2, rate * 0.04, False, lambda n: repeat("GET", *absent, 404))
        self.add(2, rate * 0.04, True, lambda n: uploads(f"kept {n}", n))
        self.add(2, rate * 0.03, False, lambda n: uploads(f"new {n}", n))
        # Two clients that upload different bytes under the same keys at about the same time.
        self.add(2, rate * 0.03, False, lambda n: uploads("contended", n))

    def add(
        self, count: int, rate: float, keeps: bool, requests: Callable[[int], Iterator[Request]]
    ) -> None:
        self.clients += [
            self.client(self, requests(number), rate / count, keeps=keeps)
            for number in range(count)
        ]

    def start(self) -> None:
        self.started = time.monotonic()
        for client in self.clients:
            client.start()

    def stop(self) -> float:
        """Returns how many requests a second were answered."""
        self.over.set()
        for client in self.clients:
            client.join()
        return sum(self.results.statuses.values()) / (time.monotonic() - self.started)


def repeat(method: str, key: str, body: bytes, status: int) -> Iterator[Request]:
    while True:
        yield Request(method, key, body, (status,))


def uploads(series: str, who: int) -> Iterator[Request]:
    number = 0
    while True:
        key = artifact.key_for(f"{series}: {number}")
        yield Request("PUT", key, small_artifact(key, f"by {who}"), (201, 409))
        number += 1


class Restarts(HandoverTest):
    def check_restarts(self, lineage: Lineage, address: Address, restarts: int) -> None:
        server = lineage.server
        small, big = (artifact.key_for(name) for name in ("small", "big"))
        stored = {small: big_artifact(small, KIB - 400), big: big_artifact(big, MIB)}
        for key, body in stored.items():
            connection = Connection(address)
            put = Request("PUT", key, body, (201,))
            self.assertEqual(connection.ask(put.encode(), is_head=False).status, 201)
            connection.close()
        load = Load(address, stored)
        load.start()
        for _ in range(restarts):
            load.over.wait(CALM)
            before = lineage.newest
            lineage.hand_over()
            lineage.await_end(before)
        load.over.wait(CALM)
        rate = load.stop()

        results = load.results
        print(f"{rate:.0f} requests/s: {dict(results.statuses)}", file=sys.stderr)
        self.assertEqual(results.failures[:20], [], f"{len(results.failures)} failures")
        self.assertGreater(rate, 0.9 * RATE)
        self.assertEqual(len({server.pid, *lineage.successors()}), 1 + restarts)
        self.assertEqual(lineage.count("cut off"), 0, server.output_text())
        self.assertEqual(list((lineage.storage / "tmp").iterdir()), [])
        self.check_stored(address, lineage.storage, results.stored)
        self.assertGreater(results.statuses["PUT 409"], 0, "two clients wanted one key")

    def check_stored(
        self, address: Address, storage: Path, stored: dict[str, list[bytes]]
    ) -> None:
        """Of each key one upload was acknowledged, and it is what lies on disk and is served."""
        connection = Connection(address)
        for key, bodies in stored.items():
            self.assertEqual(len(bodies), 1, f"{key} was stored twice")
            answer = connection.ask(Request("GET", key, b"", ()).encode(), is_head=False)
            self.assertEqual((answer.status, answer.body), (200, bodies[0]))
        connection.close()
        for blob in storage.glob("??/??/*.zst"):
            sidecar = json.loads(blob.with_suffix(".json").read_bytes())
            self.assertEqual(sidecar["hash"], sha256(blob.read_bytes()), blob)

    def test_ten_under_load_are_not_noticed(self) -> None:
        server, lineage = self.start_lineage()
        self.check_restarts(lineage, ("127.0.0.1", server.port), RESTARTS)

    def test_nor_are_those_on_a_unix_socket(self) -> None:
        lineage = self.start_lineage_on_file()
        self.check_restarts(lineage, str(lineage.socket_file), 3)


if __name__ == "__main__":
    harness.main()
