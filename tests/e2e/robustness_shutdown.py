"""SIGTERM: what is in flight ends well, what does not end is cut, and the next start finds all."""

from __future__ import annotations

import signal
import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    MIB,
    HalfUpload,
    RobustnessTest,
    artifact,
    await_event,
    big_artifact,
    get_head,
    harness,
    small_artifact,
)

LONG = "600s"


def refuses_connections(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) != 0


class Shutdown(RobustnessTest):
    def begin_upload(self, server: harness.CacheServer) -> HalfUpload:
        self.key = artifact.key_for("in flight")
        self.body = big_artifact(self.key, 2 * MIB)
        upload = HalfUpload(server, self.key, self.body)
        self.addCleanup(upload.close)
        self.await_upload_began(server)
        return upload

    def check_upload_finishes(self, number: signal.Signals) -> None:
        server = self.start_server("--shutdown-grace", LONG)
        upload = self.begin_upload(server)
        server.signal(number)
        await_event(lambda: refuses_connections(server.port), "new connections are refused")
        self.assertTrue(server.running())

        upload.send_rest()
        answer = upload.response()

        self.assertEqual(answer.status if answer else None, 201)
        self.assertEqual(server.wait(), 0)
        again = self.start_server(storage=server.storage)
        self.assert_hit(again, self.key, self.body)

    def test_an_upload_in_flight_finishes_after_sigterm(self) -> None:
        self.check_upload_finishes(signal.SIGTERM)

    def test_an_upload_in_flight_finishes_after_sigint(self) -> None:
        self.check_upload_finishes(signal.SIGINT)

    def test_a_download_in_flight_finishes(self) -> None:
        server = self.start_server("--shutdown-grace", LONG)
        key = artifact.key_for("download")
        body = big_artifact(key, 32 * MIB)  # more than the kernel takes off the server
        self.assertEqual(server.put(key, body).status, 201)
        with server.connect() as connection:
            connection.send(get_head(key))
            connection.stream.peek(1)  # type: ignore[attr-defined]
            server.terminate()
            await_event(lambda: refuses_connections(server.port), "new connections are refused")

            answer = connection.response()

        self.assertTrue(answer is not None and answer.complete and answer.body == body)
        self.assertEqual(server.wait(), 0)

    def test_a_stalled_upload_is_cut_at_the_end_of_the_grace(self) -> None:
        server = self.start_server("--shutdown-grace", "500ms", "--body-timeout", LONG)
        upload = self.begin_upload(server)

        server.terminate()

        self.assertEqual(server.wait(), 0)
        answer = upload.response()
        self.assertTrue(answer is None or answer.status >= 400, answer)
        again = self.start_server(storage=server.storage)
        self.assertEqual(again.temp_files(), [])
        self.assert_miss(again, self.key)
        self.assertEqual(again.put(self.key, self.body).status, 201)

    def test_a_second_signal_ends_at_once(self) -> None:
        server = self.start_server("--shutdown-grace", LONG, "--body-timeout", LONG)
        self.begin_upload(server)
        server.terminate()
        await_event(lambda: refuses_connections(server.port), "new connections are refused")
        self.assertTrue(server.running())

        server.terminate()

        self.assertEqual(server.wait(), 0)

    def test_idle_and_silent_connections_do_not_delay_it(self) -> None:
        server = self.start_server("--shutdown-grace", LONG, "--idle-timeout", LONG)
        with server.connect() as idle, server.connect() as silent:
            idle.send(get_head(artifact.key_for("absent")))
            self.assert_error(idle.response(), 404)

            self.assertEqual(server.stop(), 0)

            self.assertTrue(idle.closed_by_peer())
            self.assertTrue(silent.closed_by_peer())

    def test_the_port_is_free_for_the_next_start_at_once(self) -> None:
        server = self.start_server()
        key = artifact.key_for("restart")
        body = small_artifact(key)
        self.assertEqual(server.put(key, body).status, 201)
        with server.connect() as idle:
            idle.send(get_head(key))
            idle.response()
            # The server closes this connection first, so that its end lingers in TIME_WAIT.
            self.assertEqual(server.stop(), 0)
            self.assertTrue(idle.closed_by_peer())
        for _ in range(3):
            again = self.start_server(port=server.port, storage=server.storage)
            self.assertEqual(again.port, server.port)
            self.assert_hit(again, key, body)
            self.assertEqual(again.stop(), 0)


if __name__ == "__main__":
    harness.main()
