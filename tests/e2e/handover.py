"""SIGUSR2: a new process takes over, or nothing has happened."""

from __future__ import annotations

import array
import fcntl
import json
import os
import re
import signal
import socket
import struct
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from handover_case import HandoverTest, Lineage
from robustness_case import (
    MIB,
    HalfUpload,
    artifact,
    await_event,
    big_artifact,
    get_head,
    harness,
    small_artifact,
)

LONG = "600s"
NEVER_READY = "#!/bin/sh\nexec sleep 600\n"
SERVING_ON = "the successor is given up; serving on"


class Handover(HandoverTest):
    def check_serves(self, server: harness.CacheServer) -> None:
        key = artifact.key_for(os.urandom(8))
        body = small_artifact(key)
        self.assertEqual(server.put(key, body).status, 201)
        self.assert_hit(server, key, body)

    def test_the_new_process_serves_with_the_program_that_lies_there_now(self) -> None:
        server, lineage = self.start_lineage()
        self.install()

        successor = lineage.hand_over()

        lineage.await_end(server.pid)
        self.assertEqual(server.wait(), 0)
        self.check_serves(server)
        self.assertEqual(Path(f"/proc/{successor}/exe").stat().st_ino, self.binary.stat().st_ino)
        os.kill(successor, signal.SIGTERM)
        lineage.await_end(successor)

    def test_a_link_that_was_turned_is_followed(self) -> None:
        link = self.directory / "current"
        link.symlink_to(self.original)
        server = self.start_server(binary=link)
        lineage = Lineage(server, server.storage)
        self.addCleanup(lineage.kill)
        link.unlink()
        link.symlink_to(self.binary)

        successor = lineage.hand_over()

        self.assertEqual(os.readlink(f"/proc/{successor}/exe"), str(self.binary))

    def test_a_program_that_was_away_is_tried_again(self) -> None:
        server, lineage = self.start_lineage()
        self.binary.unlink()
        lineage.ask()
        self.await_log(lineage, SERVING_ON)

        self.install()
        lineage.hand_over()

        lineage.await_end(server.pid)
        self.check_serves(server)

    def test_an_upload_and_a_download_in_flight_finish(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        stored, key = artifact.key_for("download"), artifact.key_for("upload")
        body, other = big_artifact(stored, 32 * MIB), big_artifact(key, 2 * MIB)
        self.assertEqual(server.put(stored, body).status, 201)
        upload = HalfUpload(server, key, other)
        self.addCleanup(upload.close)
        self.await_upload_began(server)
        with server.connect() as connection:
            connection.send(get_head(stored))
            connection.stream.peek(1)  # type: ignore[attr-defined]

            lineage.hand_over()
            self.check_serves(server)

            answer = connection.response()
            self.assertTrue(answer is not None and answer.complete and answer.body == body)
        self.assertTrue(server.running())
        upload.send_rest()
        answer = upload.response()
        self.assertEqual(answer.status if answer else None, 201)
        lineage.await_end(server.pid)
        self.assert_hit(server, key, other)
        self.assertEqual(server.temp_files(), [])

    def test_what_the_predecessor_stores_at_last_counts_for_the_limits(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        key = artifact.key_for("late")
        with HalfUpload(server, key, big_artifact(key, 2 * MIB)) as upload:
            self.await_upload_began(server)
            lineage.hand_over()
            self.check_serves(server)
            upload.send_rest()
            self.assertEqual(upload.response().status, 201)
        lineage.await_end(server.pid)

        def stats() -> dict:
            return json.loads(server.request("GET", "/api/stats").body)

        def artifacts() -> dict:
            return next(space for space in stats()["spaces"] if space["space"] == "polykit")

        await_event(lambda: artifacts()["objects"] == 2, "the index has both")
        expected = artifacts()["disk_size"]
        self.assertGreater(expected, 2 * MIB)
        await_event(lambda: stats()["taken"] == expected, "the account of the room has both")

    def test_only_one_of_two_processes_stores_a_key(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        key = artifact.key_for("contended")
        old, new = big_artifact(key, MIB, seed=1), big_artifact(key, MIB, seed=2)
        with HalfUpload(server, key, old) as upload:
            self.await_upload_began(server)
            lineage.hand_over()
            self.assertEqual(server.put(key, new).status, 201)
            upload.send_rest()
            answer = upload.response()

        self.assertEqual(answer.status if answer else None, 409)
        self.assert_hit(server, key, new)
        self.assert_stored(server, key, new)

    def test_a_chain_of_three_serves_while_the_first_drains(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        key = artifact.key_for("slow")
        body = big_artifact(key, MIB)
        with HalfUpload(server, key, body) as upload:
            self.await_upload_began(server)
            second = lineage.hand_over()
            lineage.hand_over()
            lineage.await_end(second)
            self.check_serves(server)
            self.assertEqual(len(server.temp_files()), 1, "the upload of the first is spared")
            upload.send_rest()
            answer = upload.response()

        self.assertEqual(answer.status if answer else None, 201)
        lineage.await_end(server.pid)
        self.assert_hit(server, key, body)

    def test_a_normal_start_is_refused_while_two_live_and_after(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        key = artifact.key_for("slow")
        with HalfUpload(server, key, big_artifact(key, MIB)) as upload:
            self.await_upload_began(server)
            lineage.hand_over()
            for _ in range(2):
                with self.assertRaisesRegex(harness.ServerError, "another polykit-cache process"):
                    self.start_server(storage=server.storage)
                upload.send_rest()
                upload.response()
                lineage.await_end(server.pid)
        self.check_serves(server)


class Failures(HandoverTest):
    """Whatever is wrong with the successor, the old process serves on and can try again."""

    def check_is_given_up(self, lineage: Lineage, server: harness.CacheServer, reason: str) -> None:
        self.await_log(lineage, SERVING_ON)
        line = next(x for x in server.output_text().splitlines() if SERVING_ON in x)
        self.assertIn(reason, line)
        self.assertTrue(server.running())
        self.assertEqual(server.get(artifact.key_for("absent")).status, 404)
        self.assertTrue(lineage.ended(lineage.successors()[-1]))
        self.install()
        os.kill(server.pid, signal.SIGUSR2)
        self.await_log(lineage, "took over from a predecessor")
        lineage.await_end(server.pid)
        self.assertEqual(server.get(artifact.key_for("absent")).status, 404)

    def test_a_program_that_cannot_be_run(self) -> None:
        server, lineage = self.start_lineage()
        self.install_script("not a program", mode=0o644)

        lineage.ask()

        self.check_is_given_up(lineage, server, "the program cannot be run: Permission denied")

    def test_a_program_that_fails(self) -> None:
        server, lineage = self.start_lineage()
        self.install_script("#!/bin/sh\nexit 7\n")

        lineage.ask()

        self.check_is_given_up(lineage, server, "it ended with status 7")

    def test_a_successor_that_is_killed_before_it_is_ready(self) -> None:
        server, lineage = self.start_lineage()
        self.install_script(NEVER_READY)
        lineage.ask()
        await_event(lambda: bool(lineage.successors()), "the successor has started")

        os.kill(lineage.newest, signal.SIGKILL)

        self.check_is_given_up(lineage, server, "it was ended by signal 9")

    def test_a_second_signal_meanwhile_is_ignored(self) -> None:
        server, lineage = self.start_lineage()
        self.install_script(NEVER_READY)
        lineage.ask()
        await_event(lambda: bool(lineage.successors()), "the successor has started")

        os.kill(server.pid, signal.SIGUSR2)
        self.await_log(lineage, "a hand-over is under way already")

        self.assertEqual(len(lineage.successors()), 1)
        server.terminate()
        self.assertEqual(server.wait(), 0)
        self.assertTrue(lineage.ended(lineage.successors()[-1]), "the one that was not ready is killed")

    def test_settings_that_are_wrong_by_now(self) -> None:
        config = self.directory / "settings.yaml"
        config.write_text("log-level: info\n")
        server, lineage = self.start_lineage("--config", str(config))
        config.write_text("log-level: nonsense\n")

        lineage.ask()
        self.await_log(lineage, SERVING_ON)

        self.assertIn("ended with status 2", server.output_text())
        self.assertEqual(server.get(artifact.key_for("absent")).status, 404)

    def test_the_old_process_is_killed_while_it_drains(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        key = artifact.key_for("slow")
        body = big_artifact(key, MIB)
        upload = HalfUpload(server, key, body)
        self.addCleanup(upload.close)
        self.await_upload_began(server)
        successor = lineage.hand_over()

        server.kill()

        self.await_no_temp_files(server)
        self.assertEqual(server.put(key, body).status, 201)
        self.assert_hit(server, key, body)
        with self.assertRaisesRegex(harness.ServerError, "another polykit-cache process"):
            self.start_server(storage=server.storage)
        os.kill(successor, signal.SIGTERM)
        lineage.await_end(successor)
        self.assert_hit(self.start_server(storage=server.storage), key, body)

    def test_the_old_process_is_killed_before_the_new_one_is_ready(self) -> None:
        server, lineage = self.start_lineage()
        go = self.directory / "go"
        self.install_script(
            f"#!/bin/sh\nuntil test -e '{go}'; do sleep 0.01; done\n"
            f"exec '{self.original}' \"$@\"\n"
        )
        lineage.ask()
        await_event(lambda: bool(lineage.successors()), "the successor has started")

        server.kill()

        with self.assertRaisesRegex(harness.ServerError, "another polykit-cache process"):
            self.start_server(storage=server.storage)
        go.touch()
        self.assertEqual(server.get(artifact.key_for("absent")).status, 404)
        self.await_log(lineage, "took over from a predecessor")

    def test_the_old_process_is_told_to_stop_while_it_drains(self) -> None:
        server, lineage = self.start_lineage("--shutdown-grace", LONG)
        key = artifact.key_for("slow")
        body = big_artifact(key, MIB)
        with HalfUpload(server, key, body) as upload:
            self.await_upload_began(server)
            lineage.hand_over()
            server.terminate()
            upload.send_rest()
            answer = upload.response()

        self.assertEqual(answer.status if answer else None, 201)
        self.assertEqual(server.wait(), 0)

    def test_a_unit_that_would_end_with_the_process_does_not_hand_over(self) -> None:
        script = 'SYSTEMD_EXEC_PID=$$ exec "$0" "$@"'
        server, lineage = self.start_lineage(prefix=("bash", "-c", script))

        lineage.ask()

        self.await_log(lineage, "cannot hand over; serving on")
        self.assertIn("its unit needs Type=notify", server.output_text())
        self.assertEqual(lineage.successors(), [])

    def test_process_1_of_a_container_does_not_hand_over(self) -> None:
        unshare = ["unshare", "--pid", "--fork", "--kill-child"]
        if subprocess.run([*unshare, "true"], check=False, capture_output=True).returncode != 0:  # noqa: S603
            self.skipTest("no namespaces to be had")
        path = self.directory / "http.sock"
        lineage = self.start_process(
            [*unshare, str(self.binary), "--bind", f"unix:{path}"], self.directory / "storage", path
        )
        children = Path(f"/proc/{lineage.server.pid}/task/{lineage.server.pid}/children")

        os.kill(int(children.read_text()), signal.SIGUSR2)

        self.await_log(lineage, "cannot hand over; serving on")
        self.assertIn("this is process 1 of its container", lineage.server.output_text())


class OtherSockets(HandoverTest):
    def status(self, address: str | tuple[str, int]) -> int:
        family = socket.AF_UNIX if isinstance(address, str) else socket.AF_INET
        with socket.socket(family, socket.SOCK_STREAM) as client:
            client.settimeout(harness.IO_TIMEOUT)
            client.connect(address)
            client.sendall(get_head(artifact.key_for("absent")))
            answer = harness.read_response(client.makefile("rb"))
        return answer.status if answer else 0

    def test_the_file_of_a_unix_socket_goes_with_the_last_process(self) -> None:
        lineage = self.start_lineage_on_file()
        path = lineage.socket_file
        assert path is not None
        inode = path.stat().st_ino
        for _ in range(2):
            before = lineage.newest
            lineage.hand_over()
            lineage.await_end(before)

            self.assertEqual(self.status(str(path)), 404)
            self.assertEqual(path.stat().st_ino, inode)

        os.kill(lineage.newest, signal.SIGTERM)
        lineage.await_end(lineage.newest)
        self.assertFalse(path.exists())

    def test_a_passed_socket_stays_the_service_managers(self) -> None:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        copy = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 20)
        self.addCleanup(os.close, copy)
        script = f'LISTEN_PID=$$ LISTEN_FDS=1 exec "$0" "$@" 3<&{copy} {copy}<&-'
        lineage = self.start_process(
            ["bash", "-c", script, str(self.binary)],
            self.directory / "storage",
            None,
            env=harness.clean_environment(),
            pass_fds=(copy,),
        )
        for _ in range(2):
            before = lineage.newest
            lineage.hand_over()
            lineage.await_end(before)

            self.assertEqual(self.status(listener.getsockname()), 404)

        os.kill(lineage.newest, signal.SIGTERM)
        lineage.await_end(lineage.newest)
        with socket.create_connection(listener.getsockname()):
            pass  # waits in the queue for the next start


class Manager:
    """The end of NOTIFY_SOCKET that systemd has, with NotifyAccess=main."""

    def __init__(self, path: Path) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
        self.socket.settimeout(harness.IO_TIMEOUT)
        self.socket.bind(str(path))
        self.main = 0

    def hear(self) -> str:
        """The next message; AssertionError when it is not of the main process."""
        size = struct.calcsize("3i")
        data, control, _, _ = self.socket.recvmsg(4096, socket.CMSG_SPACE(size))
        credentials = array.array("i", control[0][2][:size])
        message = data.decode()
        if credentials[0] != self.main:
            raise AssertionError(f"{credentials[0]} said {message}, but {self.main} is the service")
        if found := re.match(r"MAINPID=(\d+)$", message):
            self.main = int(found[1])
        return message

    def hear_until(self, start: str) -> list[str]:
        """What comes before a message that begins so."""
        heard: list[str] = []
        while not (message := self.hear()).startswith(start):
            heard.append(message)
        return heard


class Notify(HandoverTest):
    def test_the_manager_hears_one_main_process_at_a_time_without_a_gap(self) -> None:
        path = self.directory / "notify"
        manager = Manager(path)
        self.addCleanup(manager.socket.close)
        lineage = self.start_lineage_on_file(
            env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100000"}
        )
        manager.main = lineage.server.pid
        self.assertEqual(manager.hear_until("READY=1"), [])
        self.assertEqual(manager.hear(), "WATCHDOG=1")
        for _ in range(2):
            lineage.ask()
            self.assertLessEqual(set(manager.hear_until("MAINPID=")), {"WATCHDOG=1"})
            self.assertEqual(manager.hear_until("READY=1"), [])
            self.assertEqual(manager.hear(), "WATCHDOG=1")
            self.assertEqual(manager.main, lineage.newest)

        os.kill(lineage.newest, signal.SIGTERM)
        self.assertLessEqual(set(manager.hear_until("STOPPING=1")), {"WATCHDOG=1"})

    def test_a_manager_that_cannot_be_told_keeps_the_old_process(self) -> None:
        path = self.directory / "notify"
        manager = Manager(path)
        lineage = self.start_lineage_on_file(env={"NOTIFY_SOCKET": str(path)})
        manager.main = lineage.server.pid
        self.assertEqual(manager.hear_until("READY=1"), [])
        manager.socket.close()

        lineage.ask()
        self.await_log(lineage, SERVING_ON)

        self.assertIn("the service manager could not be told", lineage.server.output_text())
        self.assertTrue(lineage.server.running())


class ChunkedUpload(harness.RawConnection):
    """An upload whose length nobody knows before its end, and of which half has been sent."""

    def __init__(self, server: harness.CacheServer, key: str, body: bytes, token: str) -> None:
        super().__init__(server.port)
        middle = len(body) // 2
        self.rest = body[middle:]
        head = (
            f"PUT /v1/artifacts/{key} HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer {token}\r\n"
            "Transfer-Encoding: chunked\r\n\r\n"
        )
        self.send(head.encode(), self.chunk(body[:middle]))

    @staticmethod
    def chunk(data: bytes) -> bytes:
        return b"%x\r\n%s\r\n" % (len(data), data)

    def finish(self) -> int:
        """The status of the answer."""
        with self:
            self.send(self.chunk(self.rest), b"0\r\n\r\n")
            answer = self.response()
        assert answer is not None
        return answer.status


class Quotas(HandoverTest):
    """What tokens have written today counts, whoever has taken it."""

    def setUp(self) -> None:
        super().setUp()
        self.auth_file = self.directory / "auth.yaml"
        key = artifact.key_for("late")
        self.late = (key, big_artifact(key, MIB))
        self.key = artifact.key_for("next")
        self.body = small_artifact(self.key)
        self.quota = len(self.late[1]) + len(self.body)
        command = [str(self.binary), "token", "create", "--name", "ci", "--scope", "read,write"]
        self.token = subprocess.run(
            [*command, "--write-bytes-per-day", str(self.quota), "--auth-file", str(self.auth_file)],
            capture_output=True,
            check=True,
            env=harness.clean_environment(),
            text=True,
        ).stdout.strip()
        self.bearer = {"Authorization": f"Bearer {self.token}"}

    def refused_for_its_size(self, server: harness.CacheServer) -> bool:
        """Whether one byte more than is left of a used quota is too much. Until that is so it is
        refused as what it is, no artifact, and does not count."""
        answer = server.put(self.key, bytes(len(self.body) + 1), **self.bearer)
        self.assertIn(answer.status, (403, 422))
        return answer.status == 403

    def test_the_successor_knows_before_it_serves(self) -> None:
        server, lineage = self.start_lineage("--auth-file", str(self.auth_file))
        self.assertEqual(server.put(*self.late, **self.bearer).status, 201)
        first = lineage.newest

        lineage.hand_over()
        lineage.await_end(first)

        self.assertTrue(self.refused_for_its_size(server))
        self.assertEqual(server.put(self.key, self.body, **self.bearer).status, 201)
        self.assertEqual(server.put(self.key, self.body, **self.bearer).status, 403)

    def test_what_a_predecessor_takes_while_it_ends_counts(self) -> None:
        server, lineage = self.start_lineage("--auth-file", str(self.auth_file))
        upload = ChunkedUpload(server, *self.late, self.token)
        first = lineage.newest
        lineage.hand_over()

        self.assertEqual(upload.finish(), 201)
        lineage.await_end(first)

        await_event(lambda: self.refused_for_its_size(server), "the successor counts it")
        self.assertEqual(server.put(self.key, self.body, **self.bearer).status, 201)
        self.assertEqual(server.put(self.key, self.body, **self.bearer).status, 403)

    def test_what_is_taken_during_a_stop_counts(self) -> None:
        server = self.start_server("--auth-file", str(self.auth_file))
        upload = ChunkedUpload(server, *self.late, self.token)
        with server.connect() as idle:
            idle.send(get_head(self.key))
            self.assertIsNotNone(idle.response())
            server.terminate()
            self.assertIsNone(idle.response())  # it is stopping
        self.assertEqual(upload.finish(), 201)
        self.assertEqual(server.wait(), 0)

        again = self.start_server("--auth-file", str(self.auth_file), storage=server.storage)

        self.assertTrue(self.refused_for_its_size(again))


if __name__ == "__main__":
    harness.main()
