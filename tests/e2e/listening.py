"""What the server can listen on besides a TCP port: a Unix socket, behind nginx too."""

from __future__ import annotations

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

    def test_nginx_in_front_serves_and_names_the_client(self) -> None:
        server = self.start_on_file("--trusted-proxies", "unix")
        nginx = self.start_nginx(
            "client_max_body_size 0;"
            "location / { proxy_pass http://cache; proxy_http_version 1.1;"
            ' proxy_set_header Connection ""; proxy_set_header Host $http_host;'
            " proxy_set_header X-Forwarded-For 192.0.2.7; }",
            http_lines=(f"upstream cache {{ server unix:{server.path}; keepalive 4; }}",),
        )
        bodies = {}
        for number in range(20):
            key = artifact.key_for(f"nginx {number}")
            bodies[key] = artifact.build(key, {"stdout.txt": key.encode()})
            answer = self.send(nginx, "PUT", key, bodies[key])
            self.assertEqual(answer.status, 201)

        for key, body in bodies.items():
            self.assertEqual(self.send(nginx, "GET", key).body, body)
        self.assertEqual(self.send(nginx, "GET", artifact.key_for("none")).status, 404)
        server.terminate()
        self.assertEqual(server.wait(), 0)
        self.assertEqual(server.output_text().count("client=192.0.2.7"), 41)

    def send(
        self, nginx: harness.Nginx, method: str, key: str, body: bytes = b""
    ) -> harness.Response:
        with harness.RawConnection(nginx.port) as connection:
            connection.send(
                f"{method} /v1/artifacts/{key} HTTP/1.1\r\nHost: cache\r\n"
                f"Content-Length: {len(body)}\r\n\r\n".encode(),
                body,
            )
            answer = connection.response()
        assert answer is not None
        return answer


if __name__ == "__main__":
    harness.main()
