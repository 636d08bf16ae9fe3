"""Whatever an origin does wrong: no client ever sees a clean end of other bytes than the whole file,
nothing wrong is stored, nothing is left behind, and the next request is fine."""

from __future__ import annotations

import gzip
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    KIB,
    MIB,
    Answer,
    Authority,
    FetchTest,
    Gate,
    Got,
    Origin,
    chunked,
    harness,
    noise,
    prose,
    sha256,
)

SIZE = 2 * MIB + 123
# Around every size at which something changes: pieces of the network, what is held back, blocks,
# frames of a MiB, and both ends.
CUTS = sorted(
    {0, 1, 1000, SIZE - 1, SIZE // 2}
    | {around + d for around in (64 * KIB, 128 * KIB, MIB, SIZE - 64 * KIB) for d in (-1, 0, 1)}
)
LONG_PAST = "Sun, 06 Nov 1994 08:49:37 GMT"


class FaultTest(FetchTest):
    def check_fault(
        self, server: harness.CacheServer, origin: Origin, name: str, fault: Answer, body: bytes
    ) -> None:
        """No kind of client is misled; then the origin is well again, and so is everything."""
        for kind, options in {
            "plain": {},
            "old": {"version": "HTTP/1.0"},
            "checking": {"parameters": {"sha256": sha256(body)}},
            "part": {"headers": {"Range": "bytes=1000-"}},
        }.items():
            with self.subTest(name, client=kind):
                url = origin.program(f"/{name}/{kind}", fault)

                got = self.client(server, url, **options).read()

                self.check_not_misled(got, body[1000:] if got.status == 206 else body)
                if kind == "checking":
                    self.assertIn(got.status, (502, 503))
        self.assert_nothing_stored(server)

    def check_not_misled(self, got: Got, body: bytes) -> None:
        """An error, or a transfer that breaks off after right bytes, or before any."""
        if got.status in (0, 200, 206):
            self.assertEqual(got.end, "reset", f"{len(got.body)} of {len(body)} bytes")
            self.assertLess(len(got.body), len(body))
            self.assertTrue(body.startswith(got.body), "wrong bytes before the break")
        else:
            self.assertEqual((got.end, got.header("content-type")), ("whole", "application/json"))
            self.assertIn(got.status, (502, 503))

    def check_well(
        self, server: harness.CacheServer, origin: Origin, name: str, body: bytes, **options: object
    ) -> None:
        """The origin is well again."""
        for kind in ("plain", "checking"):
            path = f"/{name}/{kind}"
            url = origin.program(path, Answer(body=body, **options))  # type: ignore[arg-type]
            self.assert_body(self.fetch(server, url), body, "MISS")
            self.assert_hit(server, url, body)


class Cuts(FaultTest):
    def test_a_body_with_length_that_ends_early_at_every_kind_of_place(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for kind, body in (("noise", noise(SIZE)), ("prose", prose(SIZE))):
            for ending in ("close", "reset"):
                for cut in CUTS:
                    fault = Answer(body=body, cut_at=cut, ending=ending)
                    self.check_fault(server, origin, f"{kind}-{ending}-{cut}", fault, body)
        self.check_well(server, origin, "noise-close-0", noise(SIZE))
        self.assertEqual(server.stop(), 0)
        self.assert_sound(server)

    def test_chunks_that_end_early_at_every_kind_of_place(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300_000)
        coded = chunked(body, 100_000)
        line = len(b"186a0\r\n")
        places = {
            "nothing": 0,
            "size": 2,
            "size-line": line - 1,
            "before-data": line,
            "data": 50_000,
            "after-data": line + 100_000,
            "half-crlf": line + 100_001,
            "between": line + 100_002,
            "last-data": len(coded) - 10,
            "before-last": len(coded) - 5,
            "in-last": len(coded) - 4,
            "in-last-crlf": len(coded) - 3,
            "before-end": len(coded) - 2,
            "in-end": len(coded) - 1,
        }
        for ending in ("close", "reset"):
            for place, cut in places.items():
                fault = Answer(body=body, wire=coded, framing="chunked", cut_at=cut, ending=ending)
                self.check_fault(server, origin, f"{place}-{ending}", fault, body)
        self.check_well(server, origin, "data-close", body, framing="chunked")

    def test_chunks_that_are_none(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(100_000)
        good = b"%x\r\n%b\r\n" % (len(body), body)
        for name, rest in {
            "word": b"zz\r\n\r\n",
            "negative": b"-1\r\nx\r\n0\r\n\r\n",
            "huge": b"fffffffffffffffff\r\nx",
            "overflow": b"10000000000000001\r\nx\r\n0\r\n\r\n",
            "no-crlf": b"1\r\nxx0\r\n\r\n",
            "endless-line": b"1" * 100_000,
            "empty-line": b"\r\n0\r\n\r\n",
            "prefix": b"0x1\r\nx\r\n0\r\n\r\n",
            "space": b" 1\r\nx\r\n0\r\n\r\n",
        }.items():
            fault = Answer(body=body, wire=good + rest, framing="chunked", ending="close")
            # What a lenient reader would take it for must not become the file either.
            self.check_fault(server, origin, name, fault, body + b"x")

    def test_more_announced_than_sent(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300_000)
        for more in (1, 100_000):
            fault = Answer(body=body, announced=len(body) + more, ending="close")
            self.check_fault(server, origin, f"{more}", fault, body + bytes(more))
        self.check_well(server, origin, "1", body)

    def test_less_announced_than_sent_does_not_run_over_into_the_next_answer(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        stowaway = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked"
        url = origin.program("/a", Answer(body=b"honest" + stowaway, announced=6))
        self.fetch(server, url)

        for number in range(5):
            other = origin.program(f"/{number}", Answer(body=b"right"))
            self.assert_body(self.fetch(server, other), b"right", "MISS")

    def test_an_answer_with_two_framings_is_not_read_in_two_ways(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        stowaway = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nhacked"
        raw = (
            b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"6\r\nhonest\r\n0\r\n\r\n" + stowaway
        )
        url = origin.program("/a", Answer(raw=raw))
        got = self.fetch(server, url)
        if got.status == 200:
            self.assert_body(got, b"honest")
        other = origin.program("/b", Answer(body=b"right"))
        self.assert_body(self.fetch(server, other), b"right", "MISS")

    def test_an_encoded_body_that_ends_early(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        body = gzip.compress(prose(3 * MIB))
        fields = {"Content-Encoding": "gzip"}
        for framing in ("length", "chunked"):
            fault = Answer(body=body, headers=fields, framing=framing, cut_at=len(body) // 2)
            self.check_fault(server, origin, framing, fault, body)
        self.check_well(server, origin, "length", body, headers=fields)

    def test_an_end_without_a_mark_counts_only_when_it_is_in_order(self) -> None:
        """Without length and chunks only the kind of end can tell."""
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        for version in ("HTTP/1.0", "HTTP/1.1"):
            cut = {"framing": "close", "cut_at": MIB, "version": version}
            fault = Answer(body=body, ending="reset", **cut)  # type: ignore[arg-type]
            self.check_fault(server, origin, version[-3:], fault, body)
            url = origin.program("/well", Answer(body=body, framing="close", version=version))
            self.assert_body(self.fetch(server, url, refresh="1"), body, "MISS")
            server.stop()
            server = self.start_cache()

    def test_an_old_answer_with_length_that_ends_early(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        for ending in ("close", "reset"):
            fault = Answer(body=body, version="HTTP/1.0", cut_at=MIB, ending=ending)
            self.check_fault(server, origin, ending, fault, body)

    def test_tls_that_ends_without_saying_so(self) -> None:
        authority = Authority(self.directory)
        server = self.start_cache("--upstream-ca-file", str(authority.file))
        origin, body = self.start_origin(tls=authority.issue("IP:127.0.0.1")), noise(SIZE)
        for framing in ("close", "chunked", "length"):
            for ending in ("abrupt", "reset"):
                fault = Answer(body=body, framing=framing, cut_at=MIB, ending=ending)
                self.check_fault(server, origin, f"{framing}-{ending}", fault, body)
        fault = Answer(body=body, framing="close", ending="abrupt")  # whole, but who can know
        self.check_fault(server, origin, "whole", fault, body)
        self.check_well(server, origin, "whole", body, framing="close", ending="close")

    def test_every_client_of_one_download_sees_the_break(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        for ending in ("close", "reset"):
            url = origin.program(f"/{ending}", Answer(body=body, cut_at=SIZE - 1, ending=ending))
            clients = [self.client(server, url) for _ in range(50)]

            for client in clients:
                self.check_not_misled(client.read(), body)
        self.assert_nothing_stored(server)


class Resumed(FaultTest):
    def first(self, body: bytes, cut: int, **options: object) -> Answer:
        return Answer(body=body, cut_at=cut, ending="close", **options)  # type: ignore[arg-type]

    def test_it_goes_on_where_it_broke_at_every_kind_of_place(self) -> None:
        server, origin = self.start_cache(retries=1), self.start_origin()
        for kind, body in (("noise", noise(SIZE)), ("prose", prose(SIZE))):
            for validator in ({"etag": '"1"'}, {"last_modified": LONG_PAST}):
                for cut in CUTS[1:] if kind == "noise" else (1, MIB, SIZE - 1):
                    with self.subTest(kind, cut=cut, **validator):
                        path = f"/{kind}/{cut}/{len(validator)}{list(validator)[0]}"
                        url = origin.program(
                            path,
                            self.first(body, cut, **validator),
                            Answer(body=body, ranges=True, **validator),
                        )

                        self.assert_body(self.fetch(server, url), body, "MISS")

                        self.assert_hit(server, url, body)
                        _, second = origin.seen(path)
                        self.assertEqual(second.header("range"), f"bytes={cut}-")
                        self.assertEqual(second.header("if-range"), *validator.values())
        self.assertEqual(server.stop(), 0)
        self.assert_sound(server)

    def test_it_may_break_as_often_as_retries_are_allowed_and_no_more(self) -> None:
        server, origin, body = self.start_cache(retries=3), self.start_origin(), noise(SIZE)
        part = Answer(body=body, etag='"1"', ranges=True, cut_at=300_000, ending="close")
        whole = Answer(body=body, etag='"1"', ranges=True)

        for breaks, lives in ((3, True), (4, False)):
            with self.subTest(breaks):
                path = f"/{breaks}"
                url = origin.program(path, *[part] * breaks, whole)

                got = self.fetch(server, url)

                self.assertEqual(origin.count(path), 4)
                if lives:
                    self.assert_body(got, body, "MISS")
                else:
                    self.assert_broken(got, body)
        self.assert_stored_contents(server, body)

    def test_what_may_not_be_resumed_is_broken_and_never_mixed(self) -> None:
        body, other = noise(SIZE), noise(SIZE, seed=2)
        tagged = self.first(body, MIB, etag='"1"')
        rest = {"Content-Range": f"bytes {MIB}-{SIZE - 1}/{SIZE}", "ETag": '"1"'}
        part = Answer(status=206, body=body[MIB:], headers=rest)
        cases: dict[str, tuple[Answer, Answer]] = {
            "no validator": (self.first(body, MIB), Answer(body=other)),
            "weak tag": (self.first(body, MIB, etag='W/"1"'), Answer(body=other)),
            "changed": (tagged, Answer(body=other, etag='"2"', ranges=True)),
            "no ranges": (tagged, Answer(body=other, etag='"1"')),
            "another place": (tagged, self.part_from(body, MIB + 1)),
            "an earlier place": (tagged, self.part_from(body, MIB - 1)),
            "another size": (
                tagged,
                Answer(
                    status=206,
                    body=body[MIB:-1],
                    headers={**rest, "Content-Range": f"bytes {MIB}-{SIZE - 2}/{SIZE - 1}"},
                ),
            ),
            "no content-range": (tagged, Answer(status=206, body=body[MIB:])),
            # It took no notice of If-Range.
            "part of another": (
                tagged,
                Answer(status=206, body=other[MIB:], headers={**rest, "ETag": '"2"'}),
            ),
            "part of another by date": (
                self.first(body, MIB, last_modified=LONG_PAST),
                Answer(
                    status=206,
                    body=other[MIB:],
                    headers={
                        "Content-Range": rest["Content-Range"],
                        "Last-Modified": "Mon, 07 Nov 1994 08:49:37 GMT",
                    },
                ),
            ),
            "gone": (tagged, Answer(status=404)),
            "not satisfiable": (tagged, Answer(status=416)),
            "short part": (tagged, Answer(status=206, body=body[MIB:-9], headers=rest)),
            "broken again": (tagged, Answer(status=206, body=body[MIB:], headers=rest, cut_at=9)),
        }
        server, origin = self.start_cache(retries=1), self.start_origin()
        for name, (first, second) in cases.items():
            with self.subTest(name):
                gate = Gate()  # the client has something when it breaks off
                held = replace(first, gates={512 * KIB: gate})
                url = origin.program(f"/{name.replace(' ', '-')}", held, second)
                client = self.client(server, url)
                client.read_body(1)
                gate.open()

                self.assert_broken(client.read(), body)

                self.assert_nothing_stored(server)
        # The same with a part that is right, so that these cases say what they seem to say.
        url = origin.program("/a", tagged, part)
        self.assert_body(self.fetch(server, url), body, "MISS")

    def part_from(self, body: bytes, start: int) -> Answer:
        fields = {"Content-Range": f"bytes {start}-{SIZE - 1}/{SIZE}", "ETag": '"1"'}
        return Answer(status=206, body=body[start:], headers=fields)

    def test_who_has_seen_nothing_may_have_it_from_the_start(self) -> None:
        """A client with a checksum: what came first is thrown away as a whole."""
        server, origin = self.start_cache(retries=1), self.start_origin()
        old, new = noise(SIZE), noise(SIZE, seed=2)
        cases = {
            "no validator": self.first(old, MIB),
            "changed": self.first(old, MIB, etag='"1"'),
        }
        for name, first in cases.items():
            with self.subTest(name):
                path = f"/{len(name)}"
                url = origin.program(path, first, Answer(body=new, etag='"2"', ranges=True))

                self.assert_body(self.fetch(server, url, sha256=sha256(new)), new, "MISS")

                self.assert_hit(server, url, new)
        self.assert_stored_contents(server, new)

    def test_chunks_are_resumed_too(self) -> None:
        server, origin, body = self.start_cache(retries=1), self.start_origin(), noise(SIZE)
        first = Answer(body=body, framing="chunked", etag='"1"', cut_at=MIB, ending="close")
        url = origin.program("/a", first, Answer(body=body, etag='"1"', ranges=True))

        self.assert_body(self.fetch(server, url), body, "MISS")

        self.assert_hit(server, url, body)

    def test_a_failure_that_passes_is_tried_again(self) -> None:
        server, origin, body = self.start_cache(retries=2), self.start_origin(), noise(SIZE)
        for name, fault in {
            "reset": Answer(raw=b"", ending="reset"),
            "closed": Answer(raw=b"", ending="close"),
            "503": Answer(status=503),
            "500": Answer(status=500),
            "429": Answer(status=429, headers={"Retry-After": "1"}),
        }.items():
            with self.subTest(name):
                url = origin.program(f"/{name}", fault, Answer(body=body))

                self.assert_body(self.fetch(server, url), body, "MISS")

                self.assertEqual(origin.count(f"/{name}"), 2)

    def test_a_failure_that_lasts_is_not_tried_again(self) -> None:
        server, origin = self.start_cache(retries=2), self.start_origin()
        for status in (400, 401, 403, 404, 410):
            url = origin.program(f"/{status}", Answer(status=status))

            self.assert_upstream_error(self.fetch(server, url), url, status)

            self.assertEqual(origin.count(f"/{status}"), 1)

    def test_an_origin_that_dies_in_the_middle_for_good(self) -> None:
        server, body = self.start_cache(retries=1), noise(SIZE)
        origin = self.start_origin()
        url = origin.program("/a", self.first(body, MIB, etag='"1"'))
        client = self.client(server, url)
        client.read_body(512 * KIB)
        origin.close()

        self.assert_broken(client.read(), body)

        self.assert_nothing_stored(server)


def every_fault(body: bytes) -> Iterator[Answer]:
    """One of each kind, for a client that asks again and again."""
    yield Answer(raw=b"", ending="reset")
    yield Answer(status=500)
    yield Answer(body=body, cut_at=MIB, ending="close")
    yield Answer(body=body, cut_at=MIB, ending="reset")
    yield Answer(body=body, framing="chunked", cut_at=MIB, ending="close")
    yield Answer(body=body, announced=len(body) + 1, ending="close")
    yield Answer(status=206, body=body[:10], headers={"Content-Range": f"bytes 0-9/{len(body)}"})


class OneAfterTheOther(FaultTest):
    def test_one_url_that_fails_in_every_way_and_then_does_not(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        faults = list(every_fault(body))
        url = origin.program("/a", *faults, Answer(body=body))
        for _ in faults:
            self.check_not_misled(self.fetch(server, url), body)
            self.assert_nothing_stored(server)

        self.assert_body(self.fetch(server, url), body, "MISS")

        self.assert_hit(server, url, body)
        self.assertEqual(origin.count(), len(faults) + 1)

    def test_a_refresh_that_fails_in_every_way_leaves_what_is_stored(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        body, other = noise(SIZE), noise(SIZE, seed=2)
        for number, fault in enumerate(every_fault(other)):
            url = origin.program(f"/{number}", Answer(body=body), fault)
            self.assert_body(self.fetch(server, url), body, "MISS")

            self.check_not_misled(self.fetch(server, url, refresh="1"), other)

            self.assert_hit(server, url, body)
            self.assert_stored_contents(server, body)


if __name__ == "__main__":
    harness.main()
