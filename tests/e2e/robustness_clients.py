"""Slow, stalled, vanished and idle clients: nobody else notices, and nothing of them stays."""

from __future__ import annotations

import contextlib
import itertools
import socket
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    KIB,
    MIB,
    HalfUpload,
    RobustnessTest,
    artifact,
    await_event,
    big_artifact,
    get_head,
    harness,
    put_head,
    small_artifact,
)

WORKERS = 8
UPLOADS = 6  # that the server takes at once with so many workers
TWO_WORKERS = ("--workers-min", "2", "--workers-max", "2")
LONG = "600s"  # a timeout that no test reaches


class ClientTest(RobustnessTest):
    def setUp(self) -> None:
        super().setUp()
        self.open = contextlib.ExitStack()
        self.addCleanup(self.open.close)
        self.others = itertools.count()

    def check_others_are_served(self, server: harness.CacheServer, rounds: int = 20) -> None:
        """Uploads, hits and misses of well-behaved clients, one after the other."""
        for number in itertools.islice(self.others, rounds):
            key = artifact.key_for(f"other {number}")
            body = small_artifact(key)
            self.assertEqual(server.put(key, body).status, 201)
            self.assert_hit(server, key, body)
            self.assert_miss(server, artifact.key_for(f"absent {number}"))


class StalledUploads(ClientTest):
    def test_fewer_than_the_places_for_uploads_do_not_stop_others(self) -> None:
        server = self.start_server("--workers-max", str(WORKERS), "--body-timeout", LONG)
        stalled = [
            self.open.enter_context(HalfUpload(server, key, big_artifact(key, MIB)))
            for key in (artifact.key_for(f"stalled {number}") for number in range(UPLOADS - 1))
        ]
        self.await_upload_began(server, len(stalled))

        self.check_others_are_served(server)

        self.assertFalse(any(upload.has_answer() for upload in stalled), "the stalls are open")
        for upload in stalled:
            upload.send_rest()
        self.assertEqual(
            [answer.status if answer else None for answer in (u.response() for u in stalled)],
            [201] * len(stalled),
        )

    def test_more_than_the_places_are_refused_and_downloads_go_on(self) -> None:
        server = self.start_server(*TWO_WORKERS, "--body-timeout", LONG)
        stored, stalled = artifact.key_for("stored"), artifact.key_for("stalled")
        body = small_artifact(stored)
        self.assertEqual(server.put(stored, body).status, 201)
        upload = self.open.enter_context(HalfUpload(server, stalled, big_artifact(stalled, MIB)))
        self.await_upload_began(server)

        for number in range(6):
            key = artifact.key_for(f"refused {number}")
            refused = self.open.enter_context(HalfUpload(server, key, big_artifact(key, MIB)))
            answer = refused.response()
            self.assert_error(answer, 503)
            self.assertEqual(answer.header("retry-after") if answer else None, "1")
            self.assert_hit(server, stored, body)
            self.assert_miss(server, key)

        self.assertFalse(upload.has_answer(), "the stall is open")
        upload.send_rest()
        answer = upload.response()
        self.assertEqual(answer.status if answer else None, 201)
        self.check_others_are_served(server, rounds=3)

    def test_more_than_the_workers_are_given_up_and_uploads_go_on(self) -> None:
        server = self.start_server(*TWO_WORKERS, "--body-timeout", "300ms")
        for number in range(6):
            key = artifact.key_for(f"stalled {number}")
            self.open.enter_context(HalfUpload(server, key, big_artifact(key, MIB)))
        key = artifact.key_for("other")
        body = small_artifact(key)

        await_event(lambda: server.put(key, body).status == 201, "there is room for an upload")

        self.check_others_are_served(server, rounds=3)

    def test_one_is_answered_400_and_closed_and_leaves_nothing(self) -> None:
        server = self.start_server("--body-timeout", "300ms")
        key = artifact.key_for("stalled")
        body = big_artifact(key, MIB)
        with HalfUpload(server, key, body) as upload:
            answer = upload.response()

            self.assert_error(answer, 400)
            self.assertTrue(upload.closed_by_peer())
        self.await_no_temp_files(server)
        self.assert_miss(server, key)
        self.assertEqual(server.put(key, body).status, 201)
        self.assert_hit(server, key, body)

    def test_one_that_moves_now_and_then_is_not_given_up(self) -> None:
        server = self.start_server("--body-timeout", "2s")
        key = artifact.key_for("slow")
        body = small_artifact(key)
        with server.connect() as connection:
            connection.send(put_head(key, len(body)))
            for at in range(0, len(body), 16):
                connection.send(body[at : at + 16])
            answer = connection.response()

        self.assertEqual(answer.status if answer else None, 201)


class DrippedHeads(ClientTest):
    def test_many_more_than_the_workers_do_not_stop_others(self) -> None:
        server = self.start_server("--workers-max", str(WORKERS), "--head-timeout", LONG)
        drips = [self.open.enter_context(server.connect()) for _ in range(5 * WORKERS)]
        head = get_head(artifact.key_for("dripped"))

        for number, byte in enumerate(head):
            for connection in drips:
                connection.send(bytes((byte,)))
            if number % 16 == 0:
                self.check_others_are_served(server, rounds=1)

        for connection in drips:
            self.assert_error(connection.response(), 404)

    def test_one_is_closed_at_the_timeout(self) -> None:
        server = self.start_server("--head-timeout", "300ms")
        with server.connect() as connection:
            connection.send(b"GET /v1/artifacts/")

            answer = connection.response()

            if answer is not None:
                self.assert_error(answer, 408)
            self.assertTrue(connection.closed_by_peer())


class VanishedClients(ClientTest):
    def check_leaves_nothing(self, end: str) -> None:
        server = self.start_server("--body-timeout", LONG)
        key = artifact.key_for(f"vanished {end}")
        body = big_artifact(key, 2 * MIB)
        upload = HalfUpload(server, key, body)
        self.await_upload_began(server)

        getattr(upload, end)()

        self.await_no_temp_files(server)
        self.assert_miss(server, key)
        self.assertEqual(server.put(key, body).status, 201)
        self.assert_hit(server, key, body)
        upload.close()

    def test_a_reset_in_the_middle_of_an_upload_leaves_nothing(self) -> None:
        self.check_leaves_nothing("reset")

    def test_a_close_in_the_middle_of_an_upload_leaves_nothing(self) -> None:
        self.check_leaves_nothing("close")

    def test_a_half_close_in_the_middle_of_an_upload_leaves_nothing(self) -> None:
        self.check_leaves_nothing("end_sending")

    def test_one_that_leaves_while_it_downloads_harms_nobody(self) -> None:
        server = self.start_server()
        key = artifact.key_for("download")
        body = big_artifact(key, 8 * MIB)
        self.assertEqual(server.put(key, body).status, 201)
        for _ in range(2 * WORKERS):
            connection = server.connect()
            connection.send(get_head(key))
            connection.stream.read(1)
            connection.reset()

        self.assert_hit(server, key, body)


class IdleAndSlowClients(ClientTest):
    def test_64_idle_connections_and_slow_readers_do_not_stop_others(self) -> None:
        server = self.start_server("--write-timeout", LONG, "--idle-timeout", LONG)
        key = artifact.key_for("shared")
        body = big_artifact(key, 32 * MIB)  # more than the kernel takes off the server
        self.assertEqual(server.put(key, body).status, 201)
        idle = [self.open.enter_context(server.connect()) for _ in range(64)]
        for connection in idle:
            connection.send(get_head(artifact.key_for("absent")))
            self.assert_error(connection.response(), 404)
        slow = [self.open.enter_context(slow_reader(server, key)) for _ in range(16)]

        self.check_others_are_served(server)

        for connection in slow:
            answer = connection.response()
            self.assertTrue(answer is not None and answer.complete and answer.body == body)
        for connection in idle:
            connection.send(get_head(key))
            answer = connection.response()
            self.assertTrue(answer is not None and answer.complete and answer.body == body)

    def test_idle_connections_outnumber_the_workers(self) -> None:
        server = self.start_server(*TWO_WORKERS)
        idle = [self.open.enter_context(server.connect()) for _ in range(64)]

        self.check_others_are_served(server, rounds=3)

        for connection in reversed(idle):
            connection.send(get_head(artifact.key_for("absent")))
            self.assert_error(connection.response(), 404)


class SlowReaders(ClientTest):
    def test_one_that_takes_bytes_all_the_time_is_not_given_up(self) -> None:
        server = self.start_server("--write-timeout", "1s")
        key = artifact.key_for("slowly read")
        body = big_artifact(key, 8 * MIB)
        self.assertEqual(server.put(key, body).status, 201)
        with server.connect() as connection:
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16 * KIB)
            connection.send(get_head(key))
            received = b""
            for _ in range(60):  # three write timeouts
                received += connection.socket.recv(8 * KIB)
                threading.Event().wait(0.05)
            connection.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, MIB)
            while piece := connection.socket.recv(min(MIB, len(body))):
                received += piece
                if received.endswith(body[-64:]):
                    break

        self.assertTrue(received.endswith(body))

    def test_one_that_takes_nothing_is_given_up(self) -> None:
        server = self.start_server("--write-timeout", "300ms")
        key = artifact.key_for("never read")
        body = big_artifact(key, 32 * MIB)
        self.assertEqual(server.put(key, body).status, 201)
        with slow_reader(server, key) as connection:
            await_event(lambda: "aborted" in server.output_text(), "the transfer is given up")

            answer = connection.response()

        self.assertFalse(answer is not None and answer.complete)


def slow_reader(server: harness.CacheServer, key: str) -> harness.RawConnection:
    """A client that has asked for the object and takes nothing but its head."""
    connection = server.connect()
    connection.send(get_head(key))
    connection.stream.peek(1)  # type: ignore[attr-defined]
    return connection


if __name__ == "__main__":
    harness.main()
