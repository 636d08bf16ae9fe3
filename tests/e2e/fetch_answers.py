"""What /fetch answers: hits and misses, ranges, conditions, compression."""

from __future__ import annotations

import gzip
import shutil
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    KIB,
    MIB,
    Answer,
    FetchTest,
    Got,
    Origin,
    await_event,
    harness,
    noise,
    prose,
    sha256,
)

# Long past, so as good as a strong tag.
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"


class Cached(FetchTest):
    def check_headers(self, got: Got, body: bytes, cached: str, kind: str) -> None:
        header = got.header
        self.assertEqual(header("x-cache-status"), cached)
        self.assertEqual(header("content-length"), str(len(body)))
        self.assertEqual(header("content-type"), kind)
        self.assertEqual(header("accept-ranges"), "bytes")

    def test_a_miss_is_downloaded_once_and_a_hit_asks_nobody(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for name, body in {
            "empty": b"",
            "byte": b"x",
            "prose": prose(3 * MIB + 17),
            "noise": noise(3 * MIB + 17),
            "both": prose(MIB) + noise(MIB) + prose(MIB),
        }.items():
            for framing in ("length", "chunked", "close"):
                with self.subTest(name, framing=framing):
                    url = origin.program(
                        f"/{name}-{framing}",
                        Answer(body=body, framing=framing, headers={"Content-Type": "text/x-test"}),
                    )
                    path = f"/{name}-{framing}"
                    self.assertEqual(self.head(server, url).status, 404)
                    self.assertEqual(origin.count(path), 0)

                    miss, hit, head = (
                        self.fetch(server, url),
                        self.fetch(server, url),
                        self.head(server, url),
                    )

                    self.assert_body(miss, body, "MISS")
                    self.assertEqual(miss.header("content-type"), "text/x-test")
                    if framing == "length":
                        self.check_headers(miss, body, "MISS", "text/x-test")
                    self.assert_body(hit, body)
                    for got in (hit, head):
                        self.assertEqual(got.status, 200)
                        self.check_headers(got, body, "HIT", "text/x-test")
                        self.assertEqual(got.header("x-content-sha256"), sha256(body))
                        self.assertRegex(got.header("etag") or "", rf'^"{sha256(body)}.*"$')
                    self.assertEqual(origin.count(path), 1)
        self.assertEqual(server.stop(), 0)
        self.assert_sound(server)

    def test_a_completed_download_has_the_headers_of_a_hit(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(MIB)
        url = origin.program("/a", Answer(body=body))

        got = self.fetch(server, url, sha256=sha256(body))

        self.assert_body(got, body)
        self.assertEqual(got.header("x-cache-status"), "MISS")
        self.assertEqual(got.header("x-content-sha256"), sha256(body))
        self.assertRegex(got.header("etag") or "", rf'^"{sha256(body)}.*"$')
        self.assertEqual(got.header("accept-ranges"), "bytes")
        self.assertEqual(got.header("content-length"), str(len(body)))

    def test_head_never_downloads(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        for parameters in ({}, {"refresh": "1"}, {"sha256": sha256(b"content")}):
            with self.subTest(**parameters):
                got = self.head(server, url, **parameters)

                self.assertEqual((got.status, got.end), (404, "whole"))
                self.assertEqual(got.header("x-cache-status"), "MISS")
        self.assertEqual(origin.connections, 0)
        self.assertEqual(self.head(server, "ftp://x/").status, 400)

    def test_it_survives_a_restart_and_the_first_read_after_it_is_verified(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        bodies = {"noise": noise(6 * MIB), "prose": prose(6 * MIB), "small": b"content"}
        urls = {name: origin.program(f"/{name}", Answer(body=b)) for name, b in bodies.items()}
        for name, url in urls.items():
            self.assert_body(self.fetch(server, url), bodies[name], "MISS")
        self.assertEqual(server.stop(), 0)
        origin.close()

        again = self.start_cache(storage=server.storage)

        for name, url in urls.items():
            self.assert_hit(again, url, bodies[name])
            self.assert_hit(again, url, bodies[name])

    def test_damage_on_the_disk_is_never_served_and_heals(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(6 * MIB)
        url = origin.program("/a", Answer(body=body))
        self.assert_body(self.fetch(server, url), body)
        (blob,) = self.blobs(server)
        with blob.open("r+b") as file:
            file.seek(3 * MIB)
            old = file.read(1)
            file.seek(3 * MIB)
            file.write(bytes([old[0] ^ 1]))

        first = self.fetch(server, url)
        if first.header("x-cache-status") == "HIT":  # it was verified while it was sent
            self.assertEqual((first.status, first.end), (200, "reset"))
            self.assertLess(len(first.body), len(body))

        await_event(lambda: self.fetch(server, url).end == "whole", "it is downloaded anew")
        self.assert_hit(server, url, body)
        self.assertEqual(origin.count("/a"), 2)

    def test_one_blob_for_two_urls_with_the_same_bytes(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), prose(2 * MIB)
        urls = [
            origin.program(path, Answer(body=body, headers={"Content-Type": kind}))
            for path, kind in (("/a", "text/a"), ("/b", "text/b"))
        ]

        for url in urls:
            self.assert_body(self.fetch(server, url), body, "MISS")

        self.assert_stored_contents(server, body)
        self.assertEqual(len(self.records(server)), 2)
        for url, kind in zip(urls, ("text/a", "text/b"), strict=True):
            self.assert_hit(server, url, body)
            self.assertEqual(self.head(server, url).header("content-type"), kind)

    def test_spellings_of_one_url_are_one_entry(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        origin.program("/a%20b/c", Answer(body=b"content"))
        at = f"127.0.0.1:{origin.port}"
        spellings = [
            *(f"http://{at}/a%20b/c", f"HTTP://{at}/a%20b/c", f"http://{at}/x/../a%20b/./c"),
            *(f"http://{at}/a%20b/c#part", f"http://2130706433:{origin.port}/a%20b/c"),
        ]

        for url in spellings:
            self.assert_body(self.fetch(server, url), b"content")

        self.assertEqual(origin.count(), 1)
        # A query is a part of the name, and is sent as it is.
        self.assert_body(self.fetch(server, spellings[0] + "?x=%2F&y=a+b"), b"content", "MISS")
        self.assertEqual(origin.seen()[-1].target, "/a%20b/c?x=%2F&y=a+b")

    def test_nothing_of_the_client_goes_to_the_origin(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        self.fetch_with(
            server,
            url,
            {
                "Authorization": "Bearer secret",
                "Cookie": "secret=1",
                "X-Forwarded-For": "1.2.3.4",
                "Referer": "http://secret/",
                "User-Agent": "curl/7",
                "Range": "bytes=0-3",
                "Accept-Encoding": "gzip, zstd",
            },
        )

        (seen,) = origin.seen()
        names = {name.lower() for name, _ in seen.headers}
        self.assertNotIn("secret", str(seen.headers))
        self.assertEqual(names & {"authorization", "cookie", "x-forwarded-for", "referer", "range"}, set())
        self.assertIn(seen.header("accept-encoding"), (None, "identity"))
        self.assertRegex(seen.header("user-agent") or "", r"^polykit-cache/\d+\.\d+\.\d+")
        self.assertEqual(seen.header("host"), f"127.0.0.1:{origin.port}")

    def test_what_the_origin_encoded_is_given_as_it_came(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        packed = gzip.compress(prose(MIB))
        url = origin.program("/a", Answer(body=packed, headers={"Content-Encoding": "gzip"}))

        for cached in ("MISS", "HIT", "HIT"):
            got = self.fetch_with(server, url, {"Accept-Encoding": "gzip, zstd"})

            self.assert_body(got, packed, cached)
            self.assertEqual(got.header("content-encoding"), "gzip")
        self.assert_stored_contents(server, packed)

    def test_headers_of_the_origin_that_are_dangerous_are_not_passed_on(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        fields = {
            "Set-Cookie": "secret=1",
            "Strict-Transport-Security": "max-age=1",
            "Access-Control-Allow-Origin": "*",
            "X-Cache-Status": "HIT",
            "X-Content-SHA256": "0" * 64,
            "Content-Type": "text/html",
        }
        url = origin.program("/a", Answer(body=b"<script>", headers=fields))

        for cached in ("MISS", "HIT"):
            got = self.fetch(server, url)
            self.assert_body(got, b"<script>", cached)
            for name in list(fields)[:3]:
                self.assertIsNone(got.header(name))
            self.assertNotEqual(got.header("x-content-sha256"), "0" * 64)
            # It comes from our name, and a browser must not run it there.
            self.assertIn("sandbox", got.header("content-security-policy") or "")
            self.assertEqual(got.header("x-content-type-options"), "nosniff")

    def test_a_type_is_found_where_the_origin_tells_none(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        kinds = {
            "/a.json": (b'{"a":1}', "application/json"),
            "/a.tar.gz": (gzip.compress(b"x"), "application/gzip"),
            "/page.html": (b"<!DOCTYPE html><html></html>", "text/html"),
            "/picture.png": (b"\x89PNG\r\n\x1a\n" + bytes(20), "image/png"),
            "/packed.zip": (b"PK\x03\x04" + bytes(26), "application/zip"),
            "/unknown": (noise(100), "application/octet-stream"),
        }
        for path, (body, kind) in kinds.items():
            with self.subTest(path):
                url = origin.program(path, Answer(body=body))

                for _ in ("MISS", "HIT"):
                    got = self.fetch(server, url)
                    self.assertEqual((got.header("content-type") or "").partition(";")[0], kind)


class Parts(FetchTest):
    RANGES = ("0-0", "0-99", "1-1048576", "1048575-1048576", "1000000-2200000", "3145700-", "-50", "-1")

    def expected(self, body: bytes, wanted: str) -> tuple[int, int]:
        first, _, last = wanted.partition("-")
        if not first:
            return len(body) - int(last), len(body)
        return int(first), int(last) + 1 if last else len(body)

    def test_a_single_range_of_a_hit_is_206(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for name, body in {"noise": noise(3 * MIB + 5), "prose": prose(3 * MIB + 5)}.items():
            url = origin.program(f"/{name}", Answer(body=body))
            self.assert_body(self.fetch(server, url), body)
            for wanted in self.RANGES:
                with self.subTest(name, range=wanted):
                    first, last = self.expected(body, wanted)

                    got = self.fetch_with(
                        server, url, {"Range": f"bytes={wanted}", "Accept-Encoding": "zstd"}
                    )

                    self.assertEqual((got.status, got.end), (206, "whole"))
                    self.assertTrue(got.body == body[first:last])
                    self.assertEqual(
                        got.header("content-range"), f"bytes {first}-{last - 1}/{len(body)}"
                    )
                    self.assertIsNone(got.header("content-encoding"))
                    self.assertEqual(got.header("x-cache-status"), "HIT")
            for wanted in (f"{len(body)}-", "99999999-"):
                got = self.fetch_with(server, url, {"Range": f"bytes={wanted}"})
                self.assertEqual(got.status, 416)
                self.assertEqual(got.header("content-range"), f"bytes */{len(body)}")

    def test_ranges_of_a_file_that_nobody_has_read_since_the_start_are_right(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), prose(6 * MIB)
        url = origin.program("/a", Answer(body=body))
        self.assert_body(self.fetch(server, url), body)
        self.assertEqual(server.stop(), 0)

        again = self.start_cache(storage=server.storage)

        got = self.fetch_with(again, url, {"Range": "bytes=5000000-5000099"})
        self.assertEqual((got.status, got.body), (206, body[5_000_000:5_000_100]))

    def test_a_range_of_a_cold_file_is_that_range_and_stores_the_whole(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for framing in ("length", "chunked"):
            for wanted in (*self.RANGES, "99999999-"):
                with self.subTest(framing, range=wanted):
                    body = noise(3 * MIB + 5, seed=len(origin.seen()))
                    path = f"/{framing}/{wanted}"
                    url = origin.program(path, Answer(body=body, framing=framing))

                    got = self.fetch_with(server, url, {"Range": f"bytes={wanted}"})

                    if wanted == "99999999-":
                        self.assertEqual(got.status, 416)
                    else:
                        first, last = self.expected(body, wanted)
                        self.assertEqual((got.status, got.end), (206, "whole"))
                        self.assertTrue(got.body == body[first:last])
                        self.assertEqual(
                            got.header("content-range"), f"bytes {first}-{last - 1}/{len(body)}"
                        )
                    await_event(lambda: self.head(server, url).status == 200, "it is stored")
                    self.assert_hit(server, url, body)
                    self.assertEqual(origin.count(path), 1)
                    self.assertIsNone(origin.seen(path)[0].header("range"))

    def test_more_than_one_range_is_answered_in_whole(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(100 * KIB)
        url = origin.program("/a", Answer(body=body))
        for cached in ("MISS", "HIT"):
            got = self.fetch_with(server, url, {"Range": "bytes=0-9,20-29"})
            self.assert_body(got, body, cached)

    def test_if_range_and_the_conditions(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(100 * KIB)
        url = origin.program("/a", Answer(body=body, last_modified=MODIFIED))
        self.assert_body(self.fetch(server, url), body)
        hit = self.head(server, url)
        tag = hit.header("etag") or ""
        self.assertEqual(hit.header("last-modified"), MODIFIED)
        part = {"Range": "bytes=10-19"}

        for headers, status in (
            ({**part, "If-Range": tag}, 206),
            ({**part, "If-Range": MODIFIED}, 206),
            ({**part, "If-Range": '"other"'}, 200),
            ({**part, "If-Range": f"W/{tag}"}, 200),
            ({"If-None-Match": tag}, 304),
            ({"If-None-Match": f'"other", W/{tag}'}, 304),
            ({"If-None-Match": "*"}, 304),
            ({"If-None-Match": '"other"'}, 200),
            ({"If-Modified-Since": MODIFIED}, 304),
            ({"If-Match": '"other"'}, 412),
            ({"If-Match": tag}, 200),
        ):
            with self.subTest(headers):
                got = self.fetch_with(server, url, headers)

                self.assertEqual((got.status, got.end), (status, "whole"))
                if status == 206:
                    self.assertEqual(got.body, body[10:20])
                if status == 304:
                    self.assertEqual((got.header("etag"), got.body), (tag, b""))
        self.assertEqual(origin.count(), 1)

    def test_a_condition_on_a_cold_file_is_answered_too(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(100 * KIB)
        tag = f'"{sha256(body)}"'
        for number, (headers, status) in enumerate(
            (
                ({"If-None-Match": tag}, 304),
                ({"If-None-Match": '"other"'}, 200),
                ({"If-Range": tag, "Range": "bytes=10-19"}, 206),
                ({"If-Range": '"other"', "Range": "bytes=10-19"}, 200),
            )
        ):
            with self.subTest(headers):
                url = origin.program(f"/{number}", Answer(body=body))

                got = self.fetch_with(server, url, headers)

                self.assertEqual((got.status, got.end), (status, "whole"))
                if status != 304:
                    self.assertTrue(got.body == (body if status == 200 else body[10:20]))


class Encoded(FetchTest):
    def setUp(self) -> None:
        super().setUp()
        if shutil.which("zstd") is None:
            self.skipTest("zstd is not installed")

    def test_every_stored_file_is_zstd_of_its_content(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        bodies = [
            *(b"", b"x", noise(1), noise(127 * KIB), noise(128 * KIB), noise(128 * KIB + 1)),
            *(prose(MIB - 1), prose(MIB), prose(MIB + 1), noise(MIB + 1), noise(2 * MIB)),
            *(prose(5 * MIB) + noise(5 * MIB), noise(3 * MIB) + prose(3 * MIB), bytes(4 * MIB)),
        ]
        for number, body in enumerate(bodies):
            url = origin.program(f"/{number}", Answer(body=body))
            self.assert_body(self.fetch(server, url), body)
        self.await_nothing_unfinished(server)

        by_name = {path.stem: path for path in self.blobs(server)}
        self.assertEqual(set(by_name), {sha256(body) for body in bodies})
        for body in bodies:
            self.assertTrue(self.decoded(by_name[sha256(body)]) == body)
        self.assertLess(by_name[sha256(bytes(4 * MIB))].stat().st_size, 64 * KIB)
        self.assertLess(by_name[sha256(noise(2 * MIB))].stat().st_size, 2 * MIB + 64 * KIB)

    def test_who_takes_zstd_gets_the_stored_bytes_with_their_length(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), prose(3 * MIB)
        url = origin.program("/a", Answer(body=body))
        self.assert_body(self.fetch(server, url), body)
        (blob,) = self.blobs(server)
        plain = self.head(server, url)

        for restarted in (False, True):
            if restarted:
                self.assertEqual(server.stop(), 0)
                server = self.start_cache(storage=server.storage)
            for accepted in ("zstd", "gzip, zstd", "br;q=1.0, zstd;q=0.5", "ZSTD"):
                with self.subTest(accepted, restarted=restarted):
                    got = self.fetch_with(server, url, {"Accept-Encoding": accepted})

                    self.assertEqual((got.status, got.end), (200, "whole"))
                    self.assertEqual(got.header("content-encoding"), "zstd")
                    self.assertEqual(got.header("content-length"), str(blob.stat().st_size))
                    self.assertIn("accept-encoding", (got.header("vary") or "").lower())
                    self.assertTrue(got.body == blob.read_bytes())
                    self.assertTrue(self.unzstd(got.body) == body)
                    self.assertEqual(got.header("x-content-sha256"), sha256(body))
                    self.assertNotEqual(got.header("etag"), plain.header("etag"))
            for accepted in ("", "gzip", "zstd;q=0", "zstd; q=0.0", "*", "identity"):
                with self.subTest(accepted, restarted=restarted):
                    got = self.fetch_with(server, url, {"Accept-Encoding": accepted})

                    self.assert_body(got, body, "HIT")
                    self.assertIsNone(got.header("content-encoding"))
                    self.assertIn("accept-encoding", (got.header("vary") or "").lower())

    def test_the_tag_of_each_encoding_validates_that_encoding(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), prose(MIB)
        url = origin.program("/a", Answer(body=body))
        self.assert_body(self.fetch(server, url), body)
        encoded = self.fetch_with(server, url, {"Accept-Encoding": "zstd"}).header("etag") or ""

        same = self.fetch_with(server, url, {"Accept-Encoding": "zstd", "If-None-Match": encoded})
        mixed = self.fetch_with(server, url, {"If-Range": encoded, "Range": "bytes=0-9"})

        self.assertEqual((same.status, same.header("etag")), (304, encoded))
        self.assert_body(mixed, body)


if __name__ == "__main__":
    harness.main()
