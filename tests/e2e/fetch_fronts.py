"""/fetch behind nginx and Caddy, configured as packaging/ says, is what it is without them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import caddy_front_case
import nginx_front_case
from fetch_case import (
    KIB,
    LOOPBACK,
    MIB,
    Answer,
    Client,
    Crowd,
    FetchTest,
    Gate,
    Got,
    harness,
    noise,
    prose,
    sha256,
    target_of,
)
from front_case import Front, FrontTest, Mode, in_every_mode

LONGEST_DOWNLOAD = 600  # seconds: --upstream-timeout


class FetchFrontTest(FrontTest, FetchTest):
    def start_fetching(self, mode: Mode) -> Front:
        return self.start_front(
            mode,
            *("--upstream-allow-addresses", LOOPBACK, "--upstream-retries", "0"),
            *("--upstream-proxy", "none"),
        )

    def through(self, front: Front, url: str, *, method: str = "GET", **options: object) -> Client:
        parameters = options.pop("parameters", {})
        client = Client(
            front.port,
            target_of(url, **parameters),  # type: ignore[arg-type]
            method=method,
            **options,  # type: ignore[arg-type]
        )
        self.addCleanup(client.leave)
        return client


class Claims(FetchFrontTest):
    @in_every_mode
    def test_misses_hits_parts_and_the_stored_bytes(self, mode: Mode) -> None:
        front, origin = self.start_fetching(mode), self.start_origin()
        for kind, body in (("noise", noise(3 * MIB)), ("prose", prose(3 * MIB))):
            for framing in ("length", "chunked"):
                path = f"/{kind}-{framing}?a=1&b=%2F+c"
                origin.program(path.partition("?")[0], Answer(body=body, framing=framing))
                url = origin.url(path)
                self.assertEqual(self.through(front, url, method="HEAD").read().status, 404)

                self.assert_body(self.through(front, url).read(), body, "MISS")
                self.assert_body(self.through(front, url).read(), body, "HIT")

                part = self.through(front, url, headers={"Range": "bytes=1000000-1999999"}).read()
                self.assertTrue(part.status == 206 and part.body == body[1_000_000:2_000_000])
                head = self.through(front, url, method="HEAD").read()
                self.assertEqual(head.header("content-length"), str(len(body)))
                self.assertEqual(head.header("x-content-sha256"), sha256(body))
                tag = head.header("etag") or ""
                same = self.through(front, url, headers={"If-None-Match": tag}).read()
                self.assertEqual((same.status, same.header("etag")), (304, tag))
                self.assertEqual(origin.seen()[-1].target, path)
                if kind == "prose":
                    got = self.through(front, url, headers={"Accept-Encoding": "zstd"}).read()
                    self.assertEqual(got.header("content-encoding"), "zstd")
                    self.assertEqual(got.header("content-length"), str(len(got.body)))
                    self.assertTrue(self.unzstd(got.body) == body)
        self.assertEqual(origin.count(), 4)

    @in_every_mode
    def test_errors_are_those_of_the_server(self, mode: Mode) -> None:
        front, origin = self.start_fetching(mode), self.start_origin()
        missing = origin.program("/missing", Answer(status=404))
        dead = origin.program("/dead", Answer(raw=b"", ending="reset"))
        found = origin.program("/found", Answer(body=b"content"))

        self.assert_upstream_error(self.through(front, missing).read(), missing, 404)
        self.assert_unavailable(self.through(front, dead).read(), dead)
        inside = "http://10.0.0.1/"
        self.assert_forbidden(self.through(front, inside).read(), inside)
        got = self.through(front, found, parameters={"sha256": sha256(b"other")}).read()
        self.assert_fetch_error(
            got,
            409,
            error="checksum_mismatch",
            expected=sha256(b"other"),
            actual=sha256(b"content"),
            source_url=found,
        )
        got = self.through(front, "ftp://x/").read()
        self.assert_fetch_error(got, 400, error="invalid_parameter", parameter="url")

    @in_every_mode
    def test_a_long_url_passes(self, mode: Mode) -> None:
        front, origin = self.start_fetching(mode), self.start_origin()
        origin.program("/a", Answer(body=b"content"))
        url = origin.url("/a?x=" + "%2F" * 1200)  # 6 KiB when it is encoded

        self.assert_body(self.through(front, url).read(), b"content", "MISS")

    @in_every_mode
    def test_what_breaks_is_no_clean_end(self, mode: Mode) -> None:
        front, origin, body = self.start_fetching(mode), self.start_origin(), noise(3 * MIB)
        for framing in ("length", "chunked"):
            for ending in ("close", "reset"):
                fault = Answer(body=body, framing=framing, cut_at=2 * MIB, ending=ending)
                url = origin.program(f"/{framing}-{ending}", fault)

                self.check_broken(self.through(front, url).read(), body)

    def check_broken(self, got: Got, body: bytes) -> None:
        if got.status == 200:
            self.assertIn(got.end, ("closed", "reset"))
            self.assertLess(len(got.body), len(body))
            self.assertTrue(body.startswith(got.body))
        else:  # the proxy had given nothing on when it broke
            self.assertIn(got.status, (502, 503))

    @in_every_mode
    def test_many_clients_are_one_download_and_hear_it_while_it_comes(self, mode: Mode) -> None:
        front, origin, body = self.start_fetching(mode), self.start_origin(), noise(4 * MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
        clients = [self.through(front, url) for _ in range(50)]
        for client in clients:
            client.read_body(MIB)
        gate.open()

        for got in Crowd(clients).read():
            self.assert_body(got, body, "MISS")
        self.assertEqual(origin.count(), 1)

    @in_every_mode
    def test_http_2(self, mode: Mode) -> None:
        front, origin, body = self.start_fetching(mode), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))
        for cached in ("MISS", "HIT"):
            got = front.curl("2", target_of(url))
            self.assertTrue(got.status == 200 and got.body == body)
            self.assertEqual(got.headers["x-cache-status"], cached)


class Nginx(Claims, nginx_front_case.NginxTest):
    def test_it_is_more_patient_than_the_longest_download(self) -> None:
        """With a checksum nothing is sent before all is there."""
        said = re.search(r"proxy_read_timeout (\d+)s;", nginx_front_case.PACKAGED.read_text())
        assert said is not None
        self.assertGreater(int(said[1]), LONGEST_DOWNLOAD)


class Caddy(Claims, caddy_front_case.CaddyTest):
    def test_it_is_more_patient_than_the_longest_download(self) -> None:
        said = re.search(
            r"response_header_timeout (\d+)s", caddy_front_case.PACKAGED.read_text()
        )
        assert said is not None
        self.assertGreater(int(said[1]), LONGEST_DOWNLOAD)


del Claims  # of its own it has no proxy

if __name__ == "__main__":
    harness.main()
