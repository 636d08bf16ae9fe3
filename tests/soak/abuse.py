"""Storms of one kind of abuse each, while honest clients are served: resets, half-closed
connections, dripped heads by the hundred, and more clients than there are descriptors."""

from __future__ import annotations

import contextlib
import resource
import select

from process_figures import Figures
from soak_honest import Visitor, artifact, harness, request_head
from robustness_case import (
    MIB,
    RobustnessTest,
    await_event,
    big_artifact,
    get_head,
    small_artifact,
)

STORM = "127.0.1.1"  # where the abuse comes from; honest clients are 127.0.0.1
RESETS = 5_000
HALF_CLOSED = 300
DRIPS = 500
DESCRIPTORS = 128  # for the server with few of them
NEEDS_NO_FILE = b"GET /metrics HTTP/1.1\r\nHost: test\r\n\r\n"
LONG = "600s"


class AbuseTest(RobustnessTest):
    def setUp(self) -> None:
        super().setUp()
        self.open = contextlib.ExitStack()
        self.addCleanup(self.open.close)
        self.key = artifact.key_for("stored")
        self.body = small_artifact(self.key)

    def start_idle(self, *arguments: str, **options: object) -> harness.CacheServer:
        """A server with one object, before any abuse; `idle` is what it holds then."""
        server = self.start_server(*arguments, **options)
        self.assertEqual(server.put(self.key, self.body).status, 201)
        self.assert_hit(server, self.key, self.body)
        await_event(lambda: Figures(server.pid).sockets == 1, "only the listener is left")
        self.idle = Figures(server.pid)
        return server

    def visit(self, server: harness.CacheServer) -> Visitor:
        return self.open.enter_context(Visitor(server.port, STORM))

    def check_served(self, connection: harness.RawConnection) -> None:
        """A hit, a HEAD and a miss on a connection that is kept."""
        connection.send(
            get_head(self.key),
            request_head("HEAD", self.key),
            get_head(artifact.key_for("absent")),
        )
        hit = connection.response()
        self.assertTrue(hit is not None and hit.status == 200 and hit.body == self.body, hit)
        head, miss = connection.response(head=True), connection.response()
        self.assertEqual((head and head.status, miss and miss.status), (200, 404))

    def await_idle(self, server: harness.CacheServer) -> None:
        def idle() -> bool:
            now = Figures(server.pid)
            return (now.descriptors, now.sockets) == (self.idle.descriptors, self.idle.sockets)

        await_event(idle, f"{self.idle} again, from {Figures(server.pid)}")
        self.assertEqual(server.temp_files(), [])


class Resets(AbuseTest):
    def test_a_storm_of_them_costs_nobody_else_anything(self) -> None:
        server = self.start_idle("--max-connections-per-client", "64")
        with server.connect() as honest:
            for number in range(RESETS):
                visitor = Visitor(server.port, STORM)
                if number % 3 == 1:
                    visitor.send(get_head(self.key))
                elif number % 3 == 2:
                    visitor.send(b"GET /v1/")
                visitor.reset()
                if number % 100 == 0:
                    self.check_served(honest)
            self.check_served(honest)

        self.await_idle(server)
        self.check_served(self.visit(server))  # its address has no connections to its name


class HalfClosed(AbuseTest):
    def test_with_a_request_each_is_answered_in_full_and_closed(self) -> None:
        server = self.start_idle()
        key = artifact.key_for("large")
        body = big_artifact(key, MIB)
        self.assertEqual(server.put(key, body).status, 201)
        visitors = [self.visit(server) for _ in range(HALF_CLOSED)]
        for visitor in visitors:
            visitor.send(get_head(key))
            visitor.end_sending()

        for visitor in visitors:
            answer = visitor.response()
            self.assertTrue(answer is not None and answer.complete and answer.body == body)
            self.assertTrue(visitor.closed_by_peer())

        self.await_idle(server)

    def test_without_one_each_is_closed(self) -> None:
        server = self.start_idle("--idle-timeout", LONG, "--head-timeout", LONG)
        visitors = [self.visit(server) for _ in range(HALF_CLOSED)]
        for number, visitor in enumerate(visitors):
            visitor.send(get_head(self.key)[: number % 60])
            visitor.end_sending()

        for visitor in visitors:
            self.assertTrue(visitor.closed_by_peer())

        self.await_idle(server)


class Slowloris(AbuseTest):
    def test_hundreds_hold_no_thread_and_are_given_up_however_they_drip(self) -> None:
        server = self.start_idle("--head-timeout", "3s", "--workers-max", "4")
        drips = [self.visit(server) for _ in range(DRIPS)]
        for drip in drips:
            drip.socket.setblocking(False)
            drip.send(b"GET /v1/artifacts/")

        with server.connect() as honest:
            while drips:
                self.check_served(honest)
                self.assertLessEqual(Figures(server.pid).threads, self.idle.threads)
                drips = [drip for drip in drips if self.drip_goes_on(drip)]

        self.open.close()
        self.await_idle(server)

    def drip_goes_on(self, drip: Visitor) -> bool:
        """Sends one byte more. False when the server has answered 408, or closed."""
        drip.send(b"0")
        try:
            answer = drip.socket.recv(4096)
        except BlockingIOError:
            return True
        except ConnectionResetError:
            return False
        self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 408 "), answer)
        return False


class Descriptors(AbuseTest):
    def test_with_few_those_who_are_in_are_served_and_the_others_told_at_once(self) -> None:
        limit = f"--nofile={DESCRIPTORS}:{DESCRIPTORS}"
        server = self.start_idle("--max-connections-per-client", "0", prefix=("prlimit", limit))
        self.assertIn("max-connections is lowered", server.output_text())
        served = [self.open.enter_context(server.connect()) for _ in range(4)]
        for connection in served:
            self.check_served(connection)
        others = [self.visit(server) for _ in range(2 * DESCRIPTORS)]

        for number in range(20):
            for connection in served:
                self.check_served(connection)
            self.check_upload(served[0], f"upload {number}")
        answers = [self.answer_of(other) for other in others]

        self.assertIn(200, answers)
        self.assertIn(503, answers)
        self.assertEqual(set(answers) - {200, 503, None}, set())
        self.open.close()
        self.await_idle(server)
        self.assert_hit(server, self.key, self.body)

    def test_without_a_free_one_new_clients_wait_their_turn(self) -> None:
        server = self.start_idle()
        served = self.open.enter_context(server.connect())
        self.assertEqual(self.status_of(served), 200)
        self.limit_descriptors(server, Figures(server.pid).limit_with_one_free())
        first, second, third = (self.visit(server) for _ in range(3))
        for visitor in (first, second, third):
            visitor.send(NEEDS_NO_FILE)
        await_event(lambda: "cannot accept connections" in server.output_text(), "it says so")

        for _ in range(50):
            self.assertEqual(self.status_of(served), 200)
        self.assertEqual(self.next_status(first), 200)
        self.assertEqual(select.select([second.socket, third.socket], [], [], 0)[0], [], "they wait")
        first.close()
        self.limit_descriptors(server, 1024)

        self.assertEqual({self.next_status(second), self.next_status(third)}, {200})
        self.check_served(served)
        self.open.close()
        self.await_idle(server)

    def status_of(self, connection: harness.RawConnection) -> int | None:
        connection.send(NEEDS_NO_FILE)
        return self.next_status(connection)

    def next_status(self, connection: harness.RawConnection) -> int | None:
        answer = connection.response()
        return answer.status if answer else None

    def limit_descriptors(self, server: harness.CacheServer, soft: int) -> None:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (soft, hard))

    def check_upload(self, connection: harness.RawConnection, name: str) -> None:
        key = artifact.key_for(name)
        body = small_artifact(key)
        connection.send(request_head("PUT", key, f"Content-Length: {len(body)}"), body)
        answer = connection.response()
        self.assertEqual(answer and answer.status, 201)

    def answer_of(self, visitor: Visitor) -> int | None:
        """The status; nothing for one that the server had not even room to tell, and reset."""
        visitor.send(get_head(self.key))
        return self.next_status(visitor)


if __name__ == "__main__":
    harness.main()
