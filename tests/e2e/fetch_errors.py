"""Who is refused by /fetch, and how: each row of its table of errors, and access."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    ALGORITHMS,
    KIB,
    Answer,
    Client,
    FetchTest,
    RefusingPort,
    digest_of,
    harness,
    noise,
    sha256,
    target_of,
)


class Errors(FetchTest):
    def test_no_url_is_400_missing_parameter(self) -> None:
        server = self.start_cache()
        for target in ("/fetch", "/fetch?", "/fetch?url=", "/fetch?sha256=" + "0" * 64):
            with self.subTest(target):
                got = Client(server.port, target).read()

                self.assert_fetch_error(got, 400, error="missing_parameter", parameter="url")

    def test_what_is_no_url_of_http_is_400_invalid_parameter(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        wrong = [
            *("example.org/a", "//example.org/a", "http:/example.org", "http://", "http:///a"),
            *("ftp://example.org/a", "file:///etc/passwd", "gopher://example.org/", "data:,x"),
            *("http://example.org:0/", "http://example.org:65536/", "http://example.org:x/"),
            *("http://exa mple.org/", "http://example.org/a b", "http://example.org/\r\nX: y"),
            *("http://example.org/%zz", "http://[::1/", "http://[v1.x]/", "http://a..b/"),
            *("http://example.org/\x00", "http://example.org\\@evil/", "http://1.2.3.4.5/"),
            f"http://user:secret@127.0.0.1:{origin.port}/a",
            f"http://user@127.0.0.1:{origin.port}/a",
            f"http://@127.0.0.1:{origin.port}/a",
        ]
        for url in wrong:
            with self.subTest(url[:60]):
                got = self.fetch(server, url)

                self.assert_fetch_error(got, 400, error="invalid_parameter", parameter="url")
                self.assertNotIn(b"secret", got.body)
        self.assertEqual(origin.connections, 0)

    def test_a_url_that_is_too_long_is_refused(self) -> None:
        server = self.start_cache()

        got = self.fetch(server, "http://example.org/" + "a" * 8200)

        self.assertEqual((got.status, got.end), (414, "whole"))

    def test_a_malformed_checksum_is_400_and_nobody_is_asked(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))
        for algorithm in ALGORITHMS:
            right = digest_of(algorithm, b"content")
            for wrong in ("", right[:-1], right + "0", "g" + right[1:], right[:-1] + " ", "0x" + right):
                with self.subTest(algorithm=algorithm, checksum=wrong):
                    got = self.fetch(server, url, **{algorithm: wrong})

                    self.assert_fetch_error(
                        got, 400, error="invalid_parameter", parameter=algorithm
                    )
        self.assertEqual(origin.count(), 0)

    def test_a_parameter_that_nobody_knows_is_400_as_it_is_the_rest_of_a_url(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        got = Client(server.port, f"/fetch?url={url}?x=1&y=2").read()

        self.assert_fetch_error(got, 400, error="invalid_parameter", parameter="y")
        self.assertEqual(origin.count(), 0)

    def test_an_address_that_is_not_public_is_403(self) -> None:
        server, origin = self.start_cache(addresses=None), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        self.assert_forbidden(self.fetch(server, url), url)

        self.assertEqual(origin.connections, 0)
        self.assert_nothing_stored(server)

    def test_every_status_that_is_none_of_success_is_502_and_named(self) -> None:
        server, origin = self.start_cache("--fetch-negative-ttl", "0s"), self.start_origin()
        stored: list[bytes] = []
        for status in (400, 401, 403, 404, 405, 410, 416, 418, 429, 451, 500, 501, 502, 503, 504, 599):
            with self.subTest(status):
                url = origin.program(f"/{status}", Answer(status=status, body=b"an error page"))

                self.assert_upstream_error(self.fetch(server, url), url, status)

                self.assert_stored_contents(server, *stored)
                self.assertEqual(self.head(server, url).status, 404)
                origin.program(f"/{status}", Answer(body=b"well again"))
                self.assert_body(self.fetch(server, url), b"well again", "MISS")
                stored = [b"well again"]

    def test_a_success_without_the_whole_file_is_502_as_well(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for status in (201, 202, 203, 204, 205, 206, 207, 226):
            with self.subTest(status):
                fields = {"Content-Range": "bytes 0-6/100"} if status == 206 else {}
                body = b"" if status in (204, 205) else b"content"
                url = origin.program(f"/{status}", Answer(status=status, body=body, headers=fields))

                got = self.fetch(server, url)

                self.assert_upstream_error(got, url, status)
                self.assert_nothing_stored(server)

    def test_an_origin_that_refuses_connections_is_503(self) -> None:
        server, closed = self.start_cache(), RefusingPort()
        self.addCleanup(closed.close)
        url = f"http://127.0.0.1:{closed.port}/a"

        self.assert_unavailable(self.fetch(server, url), url)

        self.assert_nothing_stored(server)

    def test_a_name_that_does_not_exist_is_503(self) -> None:
        server = self.start_cache("--upstream-connect-timeout", "5s")
        url = "http://no-such-name.invalid/a"

        self.assert_unavailable(self.fetch(server, url), url)

        self.assert_nothing_stored(server)

    def test_silence_is_503_before_the_answer_and_within_it(self) -> None:
        server = self.start_cache("--upstream-idle-timeout", "200ms")
        origin, body = self.start_origin(), noise(300 * KIB)
        before = origin.program("/before", Answer(raw=b"", ending="silence"))
        within_head = origin.program("/head", Answer(raw=b"HTTP/1.1 200 OK\r\nX-", ending="silence"))
        within = origin.program("/within", Answer(body=body, cut_at=200 * KIB, ending="silence"))

        self.assert_unavailable(self.fetch(server, before), before)
        self.assert_unavailable(self.fetch(server, within_head), within_head)
        self.assert_unavailable(self.fetch(server, within, sha256=sha256(body)), within)
        self.assert_broken(self.fetch(server, within), body)

        self.assert_nothing_stored(server)

    def test_an_answer_that_is_no_http_is_503(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        answers = {
            "other": b"SSH-2.0-OpenSSH_9.2p1\r\n",
            "nothing": b"",
            "binary": bytes(range(256)),
            "half": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
            "two-lengths": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello!",
            "length": b"HTTP/1.1 200 OK\r\nContent-Length: five\r\n\r\nhello",
            "negative": b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello",
            "endless-head": b"HTTP/1.1 200 OK\r\n" + b"X-A: aaaaaaaaaaaaaaaa\r\n" * 20_000,
        }
        for name, raw in answers.items():
            with self.subTest(name):
                url = origin.program(f"/{name}", Answer(raw=raw, ending="close"))

                self.assert_unavailable(self.fetch(server, url), url)

                self.assert_nothing_stored(server)

    def test_more_than_the_limit_is_413_announced_or_not(self) -> None:
        server, origin = self.start_cache("--fetch-max-size", "100KiB"), self.start_origin()
        body = noise(100 * KIB + 1)
        announced = origin.program("/announced", Answer(body=body))
        streamed = origin.program("/streamed", Answer(body=body, framing="chunked"))

        for url, parameters in (
            (announced, {}),
            (announced, {"sha256": sha256(body)}),
            (streamed, {"sha256": sha256(body)}),
        ):
            with self.subTest(url, **parameters):
                got = self.fetch(server, url, **parameters)

                self.assert_fetch_error(got, 413, error="too_large", source_url=url)
        got = self.fetch(server, streamed)
        if got.status == 200:
            self.assert_broken(got, body)
        else:
            self.assert_fetch_error(got, 413, error="too_large", source_url=streamed)
        self.assert_nothing_stored(server)

        for framing in ("length", "chunked", "close"):
            fits = origin.program(f"/{framing}", Answer(body=body[:-1], framing=framing))
            self.assert_body(self.fetch(server, fits), body[:-1])

    def test_other_methods_are_405(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))
        for method in ("PUT", "POST", "DELETE"):
            with self.subTest(method):
                got = Client(
                    server.port, target_of(url), method=method, headers={"Content-Length": "0"}
                ).read()

                self.assertEqual(got.status, 405)
        self.assertEqual(origin.count(), 0)

    def test_without_fetch_there_is_no_such_path(self) -> None:
        server, origin = self.start_cache("--fetch", "false"), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        self.assertEqual(self.fetch(server, url).status, 404)

        self.assertEqual(origin.count(), 0)


class Access(FetchTest):
    def token(self, space: str, scope: str = "read") -> dict[str, str]:
        done = subprocess.run(  # noqa: S603
            [str(harness.environment_path("PKC_SERVER")), "token", "create", "--name", f"{space}-{scope[-5:]}"]
            + ["--scope", scope, "--space", space, "--auth-file", str(self.directory / "auth.yaml")],
            capture_output=True,
            text=True,
            check=True,
            env=harness.clean_environment(),
        )
        return {"Authorization": f"Bearer {done.stdout.strip()}"}

    def test_only_who_may_read_the_space_fetch_may_fetch(self) -> None:
        other, writer, reader = (
            self.token("polykit", "read,write"),
            self.token("fetch", "write"),
            self.token("fetch"),
        )
        server = self.start_cache("--auth-file", str(self.directory / "auth.yaml"))
        origin = self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        for cached in ("MISS", "HIT"):
            nobody = self.fetch(server, url)
            self.assertEqual(nobody.status, 401)
            self.assertIsNotNone(nobody.header("www-authenticate"))
            for stranger in (other, writer):
                self.assertEqual(self.fetch_with(server, url, stranger).status, 403)
            if cached == "MISS":
                self.assertEqual(origin.connections, 0)
            self.assert_body(self.fetch_with(server, url, reader), b"content", cached)


if __name__ == "__main__":
    harness.main()
