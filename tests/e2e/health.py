"""/health, /up and `polykit-cache healthcheck`, as a load balancer and a container engine ask them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    KIB,
    HalfUpload,
    RobustnessTest,
    artifact,
    await_event,
    harness,
    small_artifact,
)

NOT_WRITABLE = "the storage directory cannot be written"


class HealthTest(RobustnessTest):
    def health(self, server: harness.CacheServer) -> tuple[int, dict[str, str]]:
        answer = server.request("GET", "/health")
        self.assertEqual(answer.header("content-type"), "application/json")
        self.assertEqual(answer.header("cache-control"), "no-store")
        self.assertEqual(server.request("GET", "/up").status, 200)  # whatever /health says
        found = json.loads(answer.body)
        self.assertRegex(found.pop("timestamp"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$")
        for secret in (str(self.directory), "No space", "Read-only", "No such file"):
            self.assertNotIn(secret, answer.body.decode())
        return answer.status, found

    def await_health(
        self, server: harness.CacheServer, status: int, reason: str | None = None
    ) -> None:
        """The disk is tried every few seconds only, so a change is noticed some seconds later."""
        expected = {"status": "unhealthy", "error": reason} if reason else {"status": "healthy"}
        await_event(lambda: self.health(server) == (status, expected), f"{status} {reason}")

    def healthcheck(
        self, *arguments: str, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        binary = harness.environment_path("PKC_SERVER")
        return subprocess.run(  # noqa: S603
            [str(binary), "healthcheck", *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(env),
        )

    def assert_verdict(
        self, done: subprocess.CompletedProcess[str], status: int, pattern: str
    ) -> None:
        self.assertEqual((done.returncode, done.stderr), (status, ""), done.stdout)
        self.assertRegex(done.stdout, rf"\A{pattern}\n\Z")
        self.assertEqual(len(done.stdout.splitlines()), 1)


class Storage(HealthTest):
    def mount(self, target: Path, options: str) -> Path:
        if os.geteuid() != 0:
            self.skipTest("a small file system needs root to be mounted")
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            self.skipTest(f"no small file system: {done.stderr.strip()}")
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(target)], check=False)
        return target

    def new_directory(self) -> Path:
        return Path(tempfile.mkdtemp(prefix="small-", dir=self.directory))

    def test_a_full_disk_is_ill_and_one_with_room_again_is_well(self) -> None:
        server = self.start_server(storage=self.mount(self.new_directory(), "size=8m") / "storage")
        self.assertEqual(self.health(server), (200, {"status": "healthy"}))
        filler = server.storage / "filler"
        with filler.open("wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4 * KIB))
            except OSError:
                pass

        self.await_health(server, 503, "the disk is full")
        self.assertEqual(server.request("HEAD", "/health").status, 503)
        self.assert_verdict(
            self.healthcheck("--port", str(server.port)),
            1,
            r"unhealthy: http://127\.0\.0\.1:\d+/health answers 503: .*the disk is full.*",
        )
        filler.unlink()

        self.await_health(server, 200)
        self.assertEqual(server.temp_files(), [])
        self.assertEqual(server.output_text().count("uploads cannot be stored"), 1)
        again = "uploads can be stored again"
        await_event(lambda: server.output_text().count(again) == 1, "the line of the recovery")

    def test_where_writing_became_impossible_is_ill_and_still_serves(self) -> None:
        server = self.start_server()
        key = artifact.key_for("read-only")
        self.assertEqual(server.put(key, small_artifact(key)).status, 201)
        # Where uploads begin. All of it cannot be made read-only while a lock in it is open.
        self.mount(server.storage / "tmp", "ro")

        self.await_health(server, 503, NOT_WRITABLE)

        self.assert_hit(server, key, small_artifact(key))

    def test_a_directory_that_was_deleted_is_ill(self) -> None:
        server = self.start_server()
        shutil.rmtree(server.storage)

        self.await_health(server, 503, NOT_WRITABLE)


class Stopping(HealthTest):
    def test_a_connection_that_is_open_hears_that_the_server_stops(self) -> None:
        server = self.start_server()
        key = artifact.key_for("in flight")
        upload = HalfUpload(server, key, small_artifact(key))
        self.addCleanup(upload.close)
        with server.connect() as monitor:
            # The server knows of the first half of this request when it is told to stop, so it waits.
            monitor.send(b"GET /up HTTP/1.1\r\nHost: test\r\n\r\nGET /health HTTP/1.1\r\nHost:")
            first = monitor.response()
            server.terminate()
            await_event(lambda: "shutting down" in server.output_text(), "the stop")
            monitor.send(b" test\r\n\r\n")
            answer = monitor.response()
        upload.send_rest()

        assert first is not None and answer is not None
        self.assertEqual(first.status, 200)
        self.assertEqual(answer.status, 503)
        self.assertIn("shutting down", answer.body.decode())
        self.assertEqual(upload.response().status, 201)
        self.assertEqual(server.wait(), 0)


class Healthcheck(HealthTest):
    def certificate(self) -> tuple[str, str]:
        openssl = shutil.which("openssl")
        if openssl is None:
            self.skipTest("openssl is not installed")
        names = str(self.directory / "cert.pem"), str(self.directory / "key.pem")
        subprocess.run(  # noqa: S603
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-subj", "/CN=cache.example", "-out", names[0], "-keyout", names[1]],
            check=True,
            capture_output=True,
        )
        return names

    def test_flags_variables_and_file_tell_where_the_server_is(self) -> None:
        server = self.start_server("--bind", "0.0.0.0")
        file = self.directory / "settings.yaml"
        file.write_text(f"bind: 0.0.0.0\nport: {server.port}\n")
        well = rf"healthy: http://127\.0\.0\.1:{server.port}/health answers 200"

        flags = self.healthcheck("--bind", "0.0.0.0", "--port", str(server.port))
        variables = self.healthcheck(env={"POLYKIT_CACHE_PORT": str(server.port)})
        from_file = self.healthcheck("--config", str(file))

        for done in (flags, variables, from_file):
            self.assert_verdict(done, 0, well)

    def test_ipv6(self) -> None:
        try:
            with socket.socket(socket.AF_INET6) as probe:
                probe.bind(("::1", 0))
        except OSError as error:
            self.skipTest(f"no IPv6 here: {error}")
        server = self.start_server("--bind", "[::]")

        done = self.healthcheck("--bind", "[::]", "--port", str(server.port))

        self.assert_verdict(done, 0, rf"healthy: http://\[::1\]:{server.port}/health answers 200")

    def test_a_unix_socket(self) -> None:
        bind = f"unix:{self.directory}/http.sock"
        binary = harness.environment_path("PKC_SERVER")
        process = harness.Process(
            [str(binary), "--bind", bind, "--storage-dir", str(self.directory / "s")],
            self.directory / "unix.log",
            harness.clean_environment(),
        )
        self.addCleanup(process.kill)
        process.wait_until(
            lambda: "listening" in process.output_text(), "start", harness.START_DEADLINE
        )

        done = self.healthcheck("--bind", bind)

        self.assert_verdict(done, 0, rf"healthy: {re.escape(bind)}/health answers 200")

    def test_a_certificate_is_not_looked_at(self) -> None:
        cert, key = self.certificate()
        tls = ("--tls-cert", cert, "--tls-key", key)
        server = self.start_server(*tls)
        port = ("--port", str(server.port))

        self.assert_verdict(
            self.healthcheck(*port, *tls), 0, r"healthy: https://127\.0\.0\.1:\d+/health answers 200"
        )
        self.assert_verdict(
            self.healthcheck(*port),
            1,
            r"unhealthy: http://127\.0\.0\.1:\d+/health answers 400: .*",
        )

    def test_where_clients_need_a_certificate_the_handshake_counts(self) -> None:
        cert, key = self.certificate()
        tls = ("--tls-cert", cert, "--tls-key", key, "--tls-client-ca", cert)
        server = self.start_server(*tls)
        arguments = ("--port", str(server.port), *tls)

        self.assert_verdict(
            self.healthcheck(*arguments), 0, r"healthy: https://.* speaks TLS; it demands a .*"
        )
        server.stop()
        self.assert_verdict(self.healthcheck(*arguments), 1, r"unhealthy: https://127\.0\.0\.1:.*")

    def test_a_server_that_stands_still_is_unhealthy(self) -> None:
        server = self.start_server()
        server.signal(signal.SIGSTOP)
        self.addCleanup(server.signal, signal.SIGCONT)

        self.assert_verdict(
            self.healthcheck("--port", str(server.port)), 1, r"unhealthy: http://127\.0\.0\.1:.*"
        )

    def test_another_program_on_the_port_is_unhealthy(self) -> None:
        nginx = self.start_nginx('location / { return 200 "welcome"; }')

        self.assert_verdict(
            self.healthcheck("--port", str(nginx.port)),
            1,
            r"unhealthy: http://127\.0\.0\.1:\d+/health answers 200: welcome",
        )

    def test_wrong_settings_are_exit_2(self) -> None:
        for arguments in (("--port", "0"), ("--port", "many"), ("--no-such-flag",)):
            with self.subTest(arguments=arguments):
                done = self.healthcheck(*arguments)

                self.assertEqual((done.returncode, done.stdout), (2, ""))
                self.assertIn("port" if "port" in arguments[0] else "no-such", done.stderr)


if __name__ == "__main__":
    harness.main()
