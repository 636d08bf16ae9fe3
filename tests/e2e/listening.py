"""What the server can listen on besides a TCP port of its own: a Unix socket, a passed socket.
And what the service manager that passes it hears."""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import stat
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

import artifact
import harness


class FileServer(harness.Process):
    """A server on a Unix socket. It is ready when the socket accepts."""

    def __init__(self, directory: Path, *arguments: str, env: Mapping[str, str] | None = None) -> None:
        binary = harness.environment_path("PKC_SERVER")
        if binary is None:
            raise harness.ServerError("PKC_SERVER does not name the server's binary")
        self.path = directory / "http.sock"
        super().__init__(
            [
                str(binary),
                *("--storage-dir", str(directory / "storage")),
                *("--bind", f"unix:{self.path}", *arguments),
            ],
            directory / "server.log",
            harness.clean_environment(env),
        )

    def await_start(self) -> None:
        self.wait_until(self._accepts, "start", harness.START_DEADLINE)

    def _accepts(self) -> bool:
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.path)) == 0


class UnixSocket(harness.ServerTest):
    def start_on_file(self, *arguments: str) -> FileServer:
        server = FileServer(self.directory, *arguments)
        self.addCleanup(server.kill)
        server.await_start()
        return server

    def curl(self, server: FileServer, *arguments: str) -> bytes:
        binary = shutil.which("curl")
        if binary is None:
            self.skipTest("curl is not installed")
        return subprocess.run(  # noqa: S603
            [binary, "--silent", "--show-error", "--fail", "--max-time", "60"]
            + ["--unix-socket", str(server.path), *arguments],
            check=True,
            capture_output=True,
        ).stdout

    def test_curl_puts_and_gets(self) -> None:
        server = self.start_on_file()
        key = artifact.key_for("unix")
        body = self.directory / "body"
        body.write_bytes(artifact.build(key, {"stdout.txt": key.encode()}))
        url = f"http://localhost/v1/artifacts/{key}"

        self.curl(server, "--upload-file", str(body), url)

        self.assertEqual(self.curl(server, url), body.read_bytes())
        self.assertIn(f"address=unix:{server.path}", server.output_text())
        self.assertEqual(stat.S_IMODE(server.path.stat().st_mode), 0o660)

    def test_the_file_goes_at_a_stop_and_is_replaced_after_a_crash(self) -> None:
        server = self.start_on_file("--socket-mode", "600")
        self.assertEqual(stat.S_IMODE(server.path.stat().st_mode), 0o600)
        server.kill()
        self.assertTrue(server.path.is_socket())

        again = self.start_on_file()
        again.terminate()

        self.assertEqual(again.wait(), 0)
        self.assertFalse(again.path.exists())

    def test_a_file_that_is_no_socket_stops_the_start(self) -> None:
        path = self.directory / "http.sock"
        path.write_text("precious")

        server = FileServer(self.directory)
        self.addCleanup(server.kill)

        self.assertEqual(server.wait(), 1)
        self.assertIn("is no socket", server.output_text())
        self.assertEqual(path.read_text(), "precious")


class Notify(harness.ServerTest):
    """NOTIFY_SOCKET and WATCHDOG_USEC, as systemd sets them for Type=notify."""

    def test_readiness_life_and_the_end_are_told(self) -> None:
        path = self.directory / "notify"
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
            manager.bind(str(path))
            manager.settimeout(harness.IO_TIMEOUT)
            server = FileServer(
                self.directory, env={"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": "100000"}
            )
            self.addCleanup(server.kill)

            heard = [manager.recv(4096).decode() for _ in range(4)]

            ready = f"READY=1\nSTATUS=listening on unix:{server.path}"
            self.assertEqual(heard, [ready] + 3 * ["WATCHDOG=1"])
            with socket.socket(socket.AF_UNIX) as client:  # it listens once it says so
                client.connect(str(server.path))
            server.terminate()
            while (message := manager.recv(4096)) == b"WATCHDOG=1":
                pass
            self.assertTrue(message.startswith(b"STOPPING=1\n"))
            self.assertEqual(server.wait(), 0)


class Activation(harness.ServerTest):
    """LISTEN_FDS and LISTEN_PID, as systemd sets them."""

    def start_activated(
        self, listener: socket.socket, *, count: int = 1, pid: str = "$$"
    ) -> harness.Process:
        """Starts the server with `listener` as descriptor 3. The shell knows the process id that
        it keeps through exec."""
        binary = harness.environment_path("PKC_SERVER")
        copy = fcntl.fcntl(listener.fileno(), fcntl.F_DUPFD, 10)  # not 3 itself
        self.addCleanup(os.close, copy)
        script = (
            f"LISTEN_PID={pid} LISTEN_FDS={count} LISTEN_FDNAMES=a"
            f' exec "$0" "$@" 3<&{copy} {copy}<&-'
        )
        server = harness.Process(
            [
                *("bash", "-c", script, str(binary)),
                *("--storage-dir", str(self.directory / "storage")),
                *("--bind", "address.invalid"),
            ],
            self.directory / "activated.log",
            harness.clean_environment(),
            pass_fds=(copy,),
        )
        self.addCleanup(server.kill)
        return server

    def tcp_listener(self) -> socket.socket:
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)
        return listener

    def status(self, listener: socket.socket) -> int:
        """Of a request: the queue of the socket holds it until a server takes it."""
        with socket.socket(listener.family, socket.SOCK_STREAM) as client:
            client.settimeout(harness.IO_TIMEOUT)
            client.connect(listener.getsockname())
            client.sendall(b"GET /v1/artifacts/" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = harness.read_response(client.makefile("rb"))
        return answer.status if answer else 0

    def test_a_passed_tcp_socket_is_used_and_outlives_a_restart(self) -> None:
        listener = self.tcp_listener()
        for _ in range(2):
            server = self.start_activated(listener)

            self.assertEqual(self.status(listener), 404)
            server.terminate()
            self.assertEqual(server.wait(), 0)
        port = listener.getsockname()[1]
        self.assertIn(f"address=127.0.0.1:{port}", server.output_text())

    def test_the_file_of_a_passed_unix_socket_stays(self) -> None:
        path = self.directory / "http.sock"
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(str(path))
            listener.listen()
            server = self.start_activated(listener)

            self.assertEqual(self.status(listener), 404)
            server.terminate()
            self.assertEqual(server.wait(), 0)
        self.assertTrue(path.is_socket())

    def test_several_sockets_are_refused(self) -> None:
        server = self.start_activated(self.tcp_listener(), count=2)

        self.assertEqual(server.wait(), 1)
        self.assertIn("passed 2 sockets", server.output_text())

    def test_a_socket_for_another_process_is_not_taken(self) -> None:
        server = self.start_activated(self.tcp_listener(), pid="1")

        self.assertEqual(server.wait(), 1)
        self.assertIn("address.invalid", server.output_text())


if __name__ == "__main__":
    harness.main()
