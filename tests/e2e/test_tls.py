"""TLS as an operator and real clients see it: flags, files, SIGHUP, curl and openssl."""

from __future__ import annotations

import shutil
import signal
import ssl
import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

import artifact
import harness

OPENSSL = shutil.which("openssl")
CURL = shutil.which("curl")


def openssl(*arguments: str, stdin: bytes = b"") -> str:
    assert OPENSSL is not None
    done = subprocess.run(  # noqa: S603
        [OPENSSL, *arguments], input=stdin, capture_output=True, timeout=harness.IO_TIMEOUT
    )
    return (done.stdout + done.stderr).decode(errors="replace")


class Tls(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        if OPENSSL is None:
            self.skipTest("openssl is not installed")
        self.cert = self.directory / "server.pem"
        self.key = self.directory / "server.key"
        self.make_certificate("first")

    def make_certificate(self, name: str) -> None:
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", f"/CN={name}", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(self.key), "-out", str(self.cert)),
        )

    def start_tls(self, *arguments: str) -> harness.CacheServer:
        return self.start_server(
            *("--tls-cert", str(self.cert), "--tls-key", str(self.key), *arguments)
        )

    def curl(self, server: harness.CacheServer, *arguments: str) -> bytes:
        if CURL is None:
            self.skipTest("curl is not installed")
        return subprocess.run(  # noqa: S603
            [CURL, "--silent", "--show-error", "--fail", "--max-time", "60"]
            + ["--noproxy", "*", "--cacert", str(self.cert), *arguments],
            check=True,
            capture_output=True,
        ).stdout

    def shown_certificate(self, server: harness.CacheServer) -> str:
        return openssl("s_client", "-connect", f"127.0.0.1:{server.port}")

    def test_curl_puts_and_gets_and_the_log_says_https(self) -> None:
        server = self.start_tls()
        key = artifact.key_for("tls")
        body = self.directory / "body"
        body.write_bytes(artifact.build(key, {"stdout.txt": b"x" * 300_000}))
        url = f"https://127.0.0.1:{server.port}/v1/artifacts/{key}"

        self.curl(server, "--upload-file", str(body), url)

        self.assertEqual(self.curl(server, url), body.read_bytes())
        self.assertEqual(self.curl(server, "--tls-max", "1.2", url), body.read_bytes())
        self.assertIn(f"address=https://127.0.0.1:{server.port}", server.output_text())
        self.assertIn("TLS is on", server.output_text())

    def test_python_speaks_it_and_old_versions_are_refused(self) -> None:
        server = self.start_tls()
        context = ssl.create_default_context(cafile=str(self.cert))
        with context.wrap_socket(
            server.connect().socket, server_hostname="127.0.0.1"
        ) as connection:
            connection.sendall(b"GET /v1/artifacts/" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = harness.read_response(connection.makefile("rb"))
        assert answer is not None
        self.assertEqual(answer.status, 404)

        output = openssl(
            *("s_client", "-connect", f"127.0.0.1:{server.port}", "-tls1_1"),
            *("-cipher", "DEFAULT:@SECLEVEL=0"),
        )

        self.assertIn("alert protocol version", output)

    def test_plain_http_is_told_so(self) -> None:
        server = self.start_tls()

        answer = server.request("GET", "/metrics")

        self.assertEqual(answer.status, 400)
        self.assertIn(b"speaks TLS", answer.body)

    def test_sighup_takes_the_new_certificate_and_keeps_the_old_one_on_errors(self) -> None:
        server = self.start_tls()
        self.assertIn("CN = first", self.shown_certificate(server))

        self.make_certificate("second")
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: "TLS reloaded" in server.output_text(), "reload", 30)
        self.assertIn("CN = second", self.shown_certificate(server))

        self.cert.write_text("nothing")
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: "TLS not reloaded" in server.output_text(), "reload", 30)
        self.assertIn("holds no certificate in PEM form", server.output_text())
        self.assertIn("CN = second", self.shown_certificate(server))
        self.assertEqual(server.stop(), 0)

    def test_sighup_without_tls_ends_nothing(self) -> None:
        server = self.start_server()

        server.signal(signal.SIGHUP)

        server.wait_until(lambda: "nothing to reload" in server.output_text(), "reload", 30)
        self.assertEqual(server.request("GET", "/metrics").status, 200)

    def test_a_client_certificate_is_asked_for(self) -> None:
        server = self.start_tls("--tls-client-ca", str(self.cert))
        url = f"https://127.0.0.1:{server.port}/metrics"

        with self.assertRaises(subprocess.CalledProcessError):
            self.curl(server, url)

        self.assertIn(
            b"polykit_cache_requests_total",
            self.curl(server, "--cert", str(self.cert), "--key", str(self.key), url),
        )

    def test_wrong_flags_and_files_say_what_is_wrong(self) -> None:
        binary = harness.environment_path("PKC_SERVER")
        cases = [
            (("--tls-cert", str(self.cert)), 2, "tls-cert (flag --tls-cert) needs tls-key"),
            (("--tls-key", str(self.key)), 2, "tls-key (flag --tls-key) needs tls-cert"),
            (("--tls-client-ca", str(self.cert)), 2, "needs tls-cert, which is not set"),
            (("--tls-cert", str(self.cert), "--tls-key", "/nonexistent"), 1, "no such file"),
        ]
        for arguments, status, message in cases:
            with self.subTest(arguments=arguments):
                server = harness.Process(
                    [str(binary), "--storage-dir", str(self.directory / "s"), "--port", "0"]
                    + list(arguments),
                    self.directory / f"{message}.log".replace("/", "_"),
                    harness.clean_environment(),
                )
                self.addCleanup(server.kill)

                self.assertEqual(server.wait(), status)
                self.assertIn(message, server.output_text())


if __name__ == "__main__":
    harness.main()
