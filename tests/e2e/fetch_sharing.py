"""One download for all who want it: a thousand clients at once, each at its own pace, some of whom
come late or leave, with checksums and without."""

from __future__ import annotations

import select
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    BEFORE_HEAD,
    KIB,
    MIB,
    Answer,
    Client,
    Crowd,
    FetchTest,
    Gate,
    Origin,
    await_event,
    harness,
    noise,
    prose,
    sha256,
)

HELD_BACK = 64 * KIB  # of each body until all of it is stored
MANY = ("--max-connections-per-client", "0")


def all_arrived(client: Client, size: int) -> bool:
    """Whether the client got as much; reads what there is, and does not wait."""
    while client.received < size and not client.over and select.select([client], [], [], 0)[0]:
        client.step()
    return client.received >= size


class Together(FetchTest):
    def test_a_thousand_clients_make_one_request(self) -> None:
        server, origin = self.start_cache(*MANY), self.start_origin()
        for framing in ("length", "chunked"):
            with self.subTest(framing):
                body = noise(300 * KIB, seed=len(framing))
                before, within = Gate(), Gate()
                gates = {BEFORE_HEAD: before, 200 * KIB: within}
                path = f"/{framing}"
                url = origin.program(path, Answer(body=body, framing=framing, gates=gates))

                crowd = Crowd([self.client(server, url) for _ in range(1000)])
                before.open()
                crowd.clients[0].read_body(100 * KIB)
                within.open()

                for got in crowd.read():
                    self.assert_body(got, body)
                self.assertEqual(origin.count(path), 1)
                self.assert_hit(server, url, body)
        self.assertEqual(server.stop(), 0)

    def test_whoever_comes_at_whatever_moment_there_is_one_request(self) -> None:
        """Before, while and just after it is over: no moment makes a second download."""
        server, origin = self.start_cache(*MANY), self.start_origin()
        for number in range(40):
            body = noise(20_000 if number % 2 else 200, seed=number)
            path = f"/{number}"
            url = origin.program(path, Answer(body=body))

            for got in Crowd([self.client(server, url) for _ in range(60)]).read():
                self.assert_body(got, body)

            self.assertEqual(origin.count(path), 1, f"round {number}")

    def test_a_slow_client_does_not_stop_the_others(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(16 * MIB)
        url = origin.program("/a", Answer(body=body))
        slow = self.client(server, url, receive_buffer=4096)
        slow.read_head()

        for got in Crowd([self.client(server, url) for _ in range(10)]).read():
            self.assert_body(got, body)

        self.assertLess(slow.received, len(body))
        self.assert_body(slow.read(), body)
        self.assertEqual(origin.count(), 1)

    def test_bytes_come_while_the_origin_still_sends(self) -> None:
        """Also when the origin pauses at a bad moment: what it has sent is passed on."""
        server, origin = self.start_cache(), self.start_origin()
        for kind, body in (("noise", noise(4 * MIB)), ("prose", prose(4 * MIB))):
            for framing in ("length", "chunked"):
                for pause in (100 * KIB, 700 * KIB, 2 * MIB + 1):
                    with self.subTest(kind, framing=framing, pause=pause):
                        gate = Gate()
                        path = f"/{kind}-{framing}-{pause}"
                        url = origin.program(
                            path, Answer(body=body, framing=framing, gates={pause: gate})
                        )
                        client = self.client(server, url)
                        try:
                            await_event(
                                lambda: all_arrived(client, pause - HELD_BACK - KIB),  # noqa: B023
                                "what the origin has sent comes through",
                                5,
                            )
                        finally:
                            gate.open()

                        self.assert_body(client.read(), body, "MISS")

    def test_a_late_client_gets_all_from_the_beginning(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for kind, body in (("noise", noise(3 * MIB)), ("prose", prose(3 * MIB))):
            with self.subTest(kind):
                gate = Gate()
                url = origin.program(f"/{kind}", Answer(body=body, gates={2 * MIB: gate}))
                first = self.client(server, url)
                first.read_body(MIB)
                late = self.client(server, url)
                late.read_body(MIB)
                part = self.client(server, url, headers={"Range": "bytes=1000-999999"})
                got = part.read()
                self.assertEqual((got.status, got.end), (206, "whole"))
                self.assertTrue(got.body == body[1000:1_000_000])

                gate.open()

                self.assert_body(first.read(), body, "MISS")
                self.assert_body(late.read(), body, "MISS")
                self.assertEqual(origin.count(f"/{kind}"), 1)

    def test_clients_of_http_1_0_are_served_while_it_comes(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(2 * MIB)
        for framing in ("length", "chunked"):
            gate = Gate()
            url = origin.program(f"/{framing}", Answer(body=body, framing=framing, gates={MIB: gate}))
            client = self.client(server, url, version="HTTP/1.0")
            client.read_body(512 * KIB)
            gate.open()

            got = client.read()

            self.assert_body(got, body)
            self.assertIsNone(got.header("transfer-encoding"))

    def test_urls_with_equal_bytes_at_the_same_time_make_one_blob(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), prose(2 * MIB)
        gate = Gate()
        answer = Answer(body=body, gates={MIB: gate})
        clients = [self.client(server, origin.program(f"/{n}", answer)) for n in range(5)]
        for client in clients:
            client.read_head()
        gate.open()

        for got in Crowd(clients).read():
            self.assert_body(got, body, "MISS")

        self.assert_stored_contents(server, body)
        self.assertEqual(len(self.records(server)), 5)

    def test_downloads_beyond_the_limit_wait_for_their_turn(self) -> None:
        server, origin = self.start_cache("--fetch-downloads-max", "1"), self.start_origin()
        gate = Gate()
        first = self.client(
            server, origin.program("/a", Answer(body=b"first", gates={BEFORE_HEAD: gate}))
        )
        gate.await_reached()
        second = self.client(server, origin.program("/b", Answer(body=b"second")))
        third = self.client(server, origin.program("/c", Answer(body=b"third")))
        # A hit needs no turn, nor does a metric; and the others are known to have come by then.
        await_event(lambda: self.value(server, "artifact_cache_downloads_total") == 1, "one began")
        self.assertEqual((origin.count("/b"), origin.count("/c")), (0, 0))

        gate.open()

        for client, body in ((first, b"first"), (second, b"second"), (third, b"third")):
            self.assert_body(client.read(), body, "MISS")

    def test_refreshes_at_the_same_time_are_one_request_too(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        gate = Gate()
        url = origin.program(
            "/a", Answer(body=b"old"), Answer(body=b"new", gates={BEFORE_HEAD: gate})
        )
        self.assert_body(self.fetch(server, url), b"old")
        clients = [self.client(server, url, parameters={"refresh": "1"}) for _ in range(20)]
        gate.await_reached()
        self.assert_hit(server, url, b"old")  # whoever does not ask for a refresh has a hit
        gate.open()

        for got in Crowd(clients).read():
            self.assert_body(got, b"new", "MISS")
        self.assertLessEqual(origin.count(), 3)
        self.assert_hit(server, url, b"new")


class Leaving(FetchTest):
    def begun(self, server: harness.CacheServer, url: str, number: int, size: int) -> list[Client]:
        clients = [self.client(server, url) for _ in range(number)]
        for client in clients:
            client.read_body(size)
        return clients

    def test_when_half_of_them_leave_the_others_have_it_all(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(4 * MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
        clients = self.begun(server, url, 200, MIB)

        for number, client in enumerate(clients[::2]):
            client.leave(reset=number % 2 == 0)
        gate.open()

        for got in Crowd(clients[1::2]).read():
            self.assert_body(got, body, "MISS")
        self.assertEqual(origin.count(), 1)
        self.assert_stored_contents(server, body)

    def test_the_first_one_may_leave(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(4 * MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
        first, second = self.begun(server, url, 2, MIB)
        first.leave()
        gate.open()

        self.assert_body(second.read(), body, "MISS")

        self.assertEqual(origin.count(), 1)

    def test_when_all_leave_it_finishes_in_the_background(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(4 * MIB)
        for moment in (BEFORE_HEAD, 2 * MIB):
            with self.subTest(moment):
                gate, path = Gate(), f"/{moment}"
                url = origin.program(path, Answer(body=body, gates={moment: gate}))
                clients = [self.client(server, url) for _ in range(5)]
                gate.await_reached()
                for client in clients:
                    client.leave(reset=True)
                gate.open()

                await_event(lambda: self.head(server, url).status == 200, "it is stored")  # noqa: B023

                self.assert_hit(server, url, body)
                self.assertEqual(origin.count(path), 1)
        self.assert_stored_contents(server, body)

    def test_whoever_comes_back_goes_on_with_the_same_download(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(4 * MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
        (first,) = self.begun(server, url, 1, MIB)
        first.leave()
        (second,) = self.begun(server, url, 1, MIB)
        gate.open()

        self.assert_body(second.read(), body, "MISS")

        self.assertEqual(origin.count(), 1)

    def test_beyond_the_time_in_the_background_it_stops_and_leaves_nothing(self) -> None:
        """Also when the origin is silent, so that nothing happens that could remind us."""
        for limit in ("0s", "300ms"):
            with self.subTest(limit):
                server = self.start_cache("--fetch-background", limit)
                origin, body = self.start_origin(), noise(4 * MIB)
                gate = Gate()
                url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}), Answer(body=body))
                clients = self.begun(server, url, 3, MIB)
                self.assertNotEqual(self.unfinished(server), [])

                for client in clients:
                    client.leave(reset=True)

                self.await_nothing_unfinished(server)
                self.assert_nothing_stored(server)
                self.assert_body(self.fetch(server, url), body, "MISS")
                self.assertEqual(origin.count(), 2)
                self.assertEqual(server.stop(), 0)

    def test_whoever_comes_while_it_stops_is_served_all_the_same(self) -> None:
        server = self.start_cache("--fetch-background", "0s")
        origin, body = self.start_origin(), noise(MIB)
        for number in range(60):
            gate, path = Gate(), f"/{number}"
            url = origin.program(path, Answer(body=body, gates={512 * KIB: gate}), Answer(body=body))
            (first,) = self.begun(server, url, 1, 1)
            first.leave(reset=True)
            second = self.client(server, url)  # at once: the stop may be under way, or not begun
            gate.open()

            got = second.read()

            self.assertEqual(got.status, 200, f"round {number}: {got.body[:200]!r}")
            self.assert_body(got, body)


class WithChecksums(FetchTest):
    def test_plain_and_checking_clients_share_one_download(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(4 * MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={3 * MIB: gate}))
        right = self.client(server, url, parameters={"sha256": sha256(body)})
        wrong = self.client(server, url, parameters={"sha256": sha256(b"other")})
        plain = self.client(server, url)
        plain.read_body(2 * MIB)
        # They came first, and know nothing yet: nothing is released before it is verified.
        self.assertEqual(select.select([right, wrong], [], [], 0)[0], [])
        gate.open()

        self.assert_body(plain.read(), body, "MISS")
        self.assert_body(right.read(), body, "MISS")
        self.assert_fetch_error(
            wrong.read(),
            409,
            error="checksum_mismatch",
            expected=sha256(b"other"),
            actual=sha256(body),
            source_url=url,
        )

        self.assertEqual(origin.count(), 1)
        self.assert_stored_contents(server, body)

    def test_when_nobody_wants_these_bytes_nothing_is_stored(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={BEFORE_HEAD: gate}), Answer(body=body))
        wishes = [sha256(str(number).encode()) for number in range(10)]
        clients = [self.client(server, url, parameters={"sha256": wish}) for wish in wishes]
        gate.await_reached()
        gate.open()

        for wish, got in zip(wishes, Crowd(clients).read(), strict=True):
            self.assert_fetch_error(
                got,
                409,
                error="checksum_mismatch",
                expected=wish,
                actual=sha256(body),
                source_url=url,
            )
        self.assert_nothing_stored(server)
        self.assert_body(self.fetch(server, url), body, "MISS")

    def test_a_checking_client_that_leaves_leaves_its_wish_behind_with_it(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(MIB)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={BEFORE_HEAD: gate}))
        wrong = self.client(server, url, parameters={"sha256": sha256(b"other")})
        gate.await_reached()
        right = self.client(server, url, parameters={"sha256": sha256(body)})
        wrong.leave()
        gate.open()

        self.assert_body(right.read(), body, "MISS")

        self.assert_stored_contents(server, body)


class Paced(FetchTest):
    """A limit is checked from one side only: that nothing is faster. Slower is any machine."""

    def seconds(self, server: harness.CacheServer, urls: list[str]) -> float:
        begun = time.monotonic()
        for got in Crowd([self.client(server, url) for url in urls]).read():
            self.assertEqual((got.status, got.end, len(got.body)), (200, "whole", MIB))
        return time.monotonic() - begun

    def program(self, origin: Origin, *names: str) -> list[str]:
        return [origin.program(n, Answer(body=noise(MIB, seed=len(n)))) for n in names]

    def test_all_downloads_together_and_those_of_one_origin(self) -> None:
        for flag, both in (("--fetch-rate-limit", True), ("--fetch-rate-limit-per-origin", False)):
            with self.subTest(flag):
                server = self.start_cache(flag, "2MiB")
                first, second = self.start_origin(), self.start_origin()
                # A quarter of a second's bytes pass at once.
                seconds = self.seconds(server, self.program(first, "/a", "/bb"))
                self.assertGreater(seconds, 0.7)
                if both:
                    two = self.program(first, "/ccc") + self.program(second, "/dddd")
                    self.assertGreater(self.seconds(server, two), 0.7)
                # Hits are not downloads.
                self.assert_hit(server, first.url("/a"), noise(MIB, seed=2))


if __name__ == "__main__":
    harness.main()
