"""Hand-overs of the server behind a proxy are not noticed, reloads of the proxy itself only by idle
connections, and the death of the server only while there is none.

Not a test itself: nginx_front_restarts.py and caddy_front_restarts.py run these claims.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from front_case import Front, FrontTest, Mode
from handover_case import Lineage
from handover_load import Broken, Client, Connection, Load, Request
from robustness_case import KIB, MIB, artifact, await_event, big_artifact

RATE = 300  # requests a second, of all clients together
CALM = 0.3  # seconds of load before, between and after restarts

TIME_WAIT = "06"  # of a socket whose side closed first


def closers(port: int) -> dict[tuple[str, str], str]:
    """Who closed the connections to a server's port of which the kernel still knows, by their two
    ends. Some may be of an earlier server with this port, or of whoever asked if it is up."""
    found: dict[tuple[str, str], str] = {}
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if state == TIME_WAIT:
            ports = [int(end.rpartition(":")[2], 16) for end in (local, remote)]
            if port in ports:
                found[local, remote] = "server" if ports[0] == port else "client"
    return found


class RetryingClient(Client):
    """A proxy closes idle connections when it reloads. As RFC 9112 section 9.3.1 has it, a request
    that got nothing but the end of a kept connection is sent once more."""

    load: RetryingLoad

    def send(self, request: Request) -> None:
        kept = self.connection
        try:
            super().send(request)
        except (Broken, ConnectionResetError, BrokenPipeError):
            begun = self.connection is not None and self.connection.begun
            if begun or (kept is None and not self.load.new_connections_break):
                raise
            self.drop()
            super().send(request)


class RetryingLoad(Load):
    client = RetryingClient
    new_connections_break = False  # also such get nothing but their end


class PatientClient(Client):
    """While there is no server, an answer may be 502, or break off; it is never a wrong one."""

    def send(self, request: Request) -> None:
        statuses = request.statuses
        request.statuses = (*statuses, 502)
        try:
            super().send(request)
        except (Broken, ConnectionResetError, BrokenPipeError):
            self.load.results.note(request.method, 0)
            self.drop()
        finally:
            request.statuses = statuses


class PatientLoad(Load):
    client = PatientClient


class Restarts(FrontTest):
    reload_load = RetryingLoad

    def start_load(self, front: Front, kind: type[Load] = Load) -> Load:
        stored = {}
        for name, size in (("small", KIB - 400), ("big", MIB)):
            key = artifact.key_for(name)
            stored[key] = big_artifact(key, size)
            self.assertIn(front.put(key, stored[key]).status, (201, 409))
        load = kind(("127.0.0.1", front.port), stored, RATE)
        load.start()
        return load

    def check_load(self, load: Load, put: int = 201) -> None:
        rate = load.stop()
        results = load.results
        print(f"{rate:.0f} requests/s: {dict(results.statuses)}", file=sys.stderr)
        self.assertEqual(results.failures[:20], [], f"{len(results.failures)} failures")
        for what in ("GET 200", "GET 404", "HEAD 200", f"PUT {put}"):
            self.assertGreater(results.statuses[what], 0)

    def check_hand_over(self, mode: Mode) -> None:
        front = self.start_front(mode)
        server = front.server
        lineage = Lineage(server, server.storage, server.file)
        self.addCleanup(lineage.kill)
        load = self.start_load(front)

        for _ in range(2):
            load.over.wait(CALM)
            before = lineage.newest
            lineage.hand_over()
            lineage.await_end(before)
        load.over.wait(CALM)

        self.check_load(load)
        self.assertEqual(lineage.count("cut off"), 0, server.output_text())
        self.assertEqual(server.temp_files(), [])

    def test_hand_overs_on_a_tcp_port(self) -> None:
        self.check_hand_over(Mode("tcp"))

    def test_hand_overs_on_a_unix_socket(self) -> None:
        self.check_hand_over(Mode("unix"))

    def test_the_proxy_closes_an_idle_connection_before_a_server_that_hands_over_does(self) -> None:
        front = self.start_front(Mode("tcp"))
        server = front.server
        lineage = Lineage(server, server.storage)
        self.addCleanup(lineage.kill)
        self.assertEqual(front.get(artifact.key_for("absent")).status, 404)
        before = closers(server.port)

        lineage.hand_over()
        lineage.await_end(server.pid)

        after = closers(server.port)
        self.assertEqual({after[ends] for ends in after.keys() - before.keys()}, {"client"})

    def test_reloads_of_the_proxy(self) -> None:
        front = self.start_front(Mode())
        load = self.start_load(front, self.reload_load)

        for _ in range(3):
            load.over.wait(CALM)
            front.reload()
        load.over.wait(CALM)

        self.check_load(load)

    def check_death(self, mode: Mode) -> None:
        front = self.start_front(mode)
        load = self.start_load(front, PatientLoad)
        results = load.results

        load.over.wait(CALM)
        front.server.kill()
        await_event(lambda: results.statuses["GET 502"] > 0, "clients are told")
        server = self.start_behind(mode, front.directory, port=front.server.port)
        load.over.wait(CALM)
        self.check_load(load)

        after = self.start_load(front)
        after.over.wait(CALM)
        self.check_load(after, put=409)
        connection = Connection(after.address)
        for key, bodies in results.stored.items():
            answer = connection.ask(Request("GET", key, b"", ()).encode(), is_head=False)
            self.assertEqual([(200, body) for body in bodies], [(answer.status, answer.body)])
        connection.close()
        self.assertEqual(server.temp_files(), [])

    def test_a_server_on_a_tcp_port_dies_and_comes_back(self) -> None:
        self.check_death(Mode("tcp"))

    def test_a_server_on_a_unix_socket_dies_and_comes_back(self) -> None:
        self.check_death(Mode("unix"))
