"""Names that change their mind: /fetch asks a name once for each connection, checks what it found,
and connects to that and to nothing else.

The name server is ours, the address of the public origin is a public one, and the server has the
rules it has by default. All of it is in a network of its own, so the addresses are on nobody's way.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging"))

import name_spaces
from fetch_addresses import has_ipv6
from fetch_case import KIB, Answer, FetchTest, Gate, harness, noise
from name_server import NameServer, ask_only, have_address

NAME = "files.test"
PUBLIC = "11.0.0.1"
# What nobody may reach through the cache, by names; ours here, so that whoever goes there is seen.
INSIDE = {
    "loopback.test": "127.0.0.1",
    "metadata.test": "169.254.169.254",
    "private.test": "10.0.0.1",
    "loopback6.test": "::1",
}
# These and other addresses that lead to the same places.
FORBIDDEN = {
    **INSIDE,
    "mapped-loopback.test": "::ffff:127.0.0.1",
    "mapped-metadata.test": "::ffff:169.254.169.254",
    "unspecified.test": "0.0.0.0",
    "unspecified6.test": "::",
}


class RebindingTest(FetchTest):
    def setUp(self) -> None:
        super().setUp()
        self.names = NameServer()
        self.addCleanup(self.names.close)
        self.public = self.start_origin(host=PUBLIC)
        self.port = self.public.port
        self.inside = [
            self.start_origin(host=host, port=self.port)
            for host in INSIDE.values()
            if has_ipv6() or ":" not in host
        ]
        for origin in self.inside:
            origin.program("/a", Answer(body=b"internal"))

    def start_cache(self, *arguments: str, **options: object) -> harness.CacheServer:  # type: ignore[override]
        """By default it may ask what everybody may."""
        return super().start_cache(*arguments, **{"addresses": None, **options})

    def url(self, path: str = "/a", name: str = NAME) -> str:
        return f"http://{name}:{self.port}{path}"

    def serve(self, body: bytes, *, keep: bool = False) -> None:
        """By default for one request a connection, so that the next one needs a lookup."""
        self.public.program("/a", Answer(body=body, framing="length" if keep else "close"))

    def assert_nobody_inside_was_asked(self) -> None:
        self.assertEqual([origin.connections for origin in self.inside], [0] * len(self.inside))


class Lookups(RebindingTest):
    def test_the_test_itself_resolves_and_reaches_all_of_these(self) -> None:
        """Where they are allowed, that is: else no test here would mean anything."""
        server = self.start_cache(addresses="127.0.0.0/8,10.0.0.0/8,169.254.169.254,::1,11.0.0.0/8")
        for name, origin in zip(INSIDE, self.inside, strict=False):
            with self.subTest(name):
                self.names.program(name, [INSIDE[name]])
                self.assert_body(self.fetch(server, self.url(name=name)), b"internal")
                self.assertEqual(origin.connections, 1)

    def test_a_name_is_looked_up_once_and_what_was_checked_is_asked(self) -> None:
        server = self.start_cache()
        self.serve(noise(100 * KIB))
        for name, address in FORBIDDEN.items():
            with self.subTest(name):
                self.names.program(name, [PUBLIC], [address])

                got = self.fetch(server, self.url(name=name))

                self.assert_body(got, noise(100 * KIB), "MISS")
                self.assertEqual(self.names.lookups(name), 1)
                self.assert_hit(server, self.url(name=name), noise(100 * KIB))
                self.assertEqual(self.names.lookups(name), 1)
        self.assertEqual(self.public.count("/a"), len(FORBIDDEN))
        self.assert_nobody_inside_was_asked()

    def test_a_name_that_has_turned_inwards_is_refused_and_what_was_stored_stays(self) -> None:
        server = self.start_cache()
        self.serve(b"public")
        for name, address in FORBIDDEN.items():
            with self.subTest(name):
                self.names.program(name, [PUBLIC], [address])
                url = self.url(name=name)
                self.assert_body(self.fetch(server, url), b"public", "MISS")

                self.assert_forbidden(self.fetch(server, url, refresh="1"), url)

                self.assertEqual(self.names.lookups(name), 2)
                self.assert_hit(server, url, b"public")
        self.assert_nobody_inside_was_asked()
        self.assert_stored_contents(server, b"public")

    def test_a_name_that_leads_inwards_is_refused_and_nothing_is_stored(self) -> None:
        server = self.start_cache()
        for name, address in FORBIDDEN.items():
            with self.subTest(name):
                self.names.program(name, [address])
                self.assert_forbidden(self.fetch(server, self.url(name=name)), self.url(name=name))
        self.assert_nobody_inside_was_asked()
        self.assert_nothing_stored(server)

    def test_another_name_for_one_that_leads_inwards_is_refused(self) -> None:
        server = self.start_cache()
        self.names.program("inside.test", ["127.0.0.1"])
        self.names.alias(NAME, "inside.test")

        self.assert_forbidden(self.fetch(server, self.url()), self.url())

        self.assert_nobody_inside_was_asked()

    def test_a_name_that_turns_inwards_while_retrying_is_not_asked_there(self) -> None:
        """The first connection is broken off before an answer, so there is a second lookup."""
        server = self.start_cache(retries=1)
        self.names.program(NAME, [PUBLIC], ["127.0.0.1"])
        self.public.program("/a", Answer(raw=b"", ending="close"))

        self.assert_forbidden(self.fetch(server, self.url()), self.url())

        self.assertEqual(self.names.lookups(NAME), 2)
        self.assertEqual(self.public.count("/a"), 1)
        self.assert_nobody_inside_was_asked()
        self.assert_nothing_stored(server)

    def test_a_name_that_turns_inwards_in_the_middle_is_not_resumed_there(self) -> None:
        server, body = self.start_cache(retries=3), noise(600 * KIB)
        self.names.program(NAME, [PUBLIC], ["127.0.0.1"])
        gate = Gate()  # the client has something when it breaks off
        cut = Answer(
            body=body, etag='"1"', cut_at=300 * KIB, ending="close", gates={300 * KIB: gate}
        )
        self.public.program("/a", cut, Answer(body=body, etag='"1"', ranges=True))
        client = self.client(server, self.url())
        client.read_body(100 * KIB)
        gate.open()

        self.assert_broken(client.read(), body)

        self.assertEqual(self.public.count("/a"), 1)
        self.assert_nobody_inside_was_asked()
        self.assert_nothing_stored(server)


class Mixed(RebindingTest):
    def test_of_several_addresses_only_those_that_may_be_asked_are(self) -> None:
        server = self.start_cache()
        self.serve(b"public")
        for first, address in FORBIDDEN.items():
            for name, order in ((first, [address, PUBLIC]), (f"x-{first}", [PUBLIC, address])):
                with self.subTest(name):
                    self.names.program(name, order)
                    got = self.fetch(server, self.url(name=name))
                    self.assert_body(got, b"public", "MISS")
                    self.assertEqual(self.names.lookups(name), 1)
        self.assert_nobody_inside_was_asked()

    def test_when_those_that_may_be_asked_do_not_answer_the_others_are_not_asked(self) -> None:
        server = self.start_cache()
        self.names.program(NAME, [PUBLIC, *FORBIDDEN.values()])
        self.public.close()
        self.public.await_idle()

        self.assert_unavailable(self.fetch(server, self.url()), self.url())

        self.assert_nobody_inside_was_asked()
        self.assert_nothing_stored(server)


class Redirects(RebindingTest):
    def test_each_hop_is_looked_up_and_checked(self) -> None:
        """The same name leads inwards at the second hop, or another one does."""
        server = self.start_cache()
        for name, address in FORBIDDEN.items():
            with self.subTest(name):
                self.names.program(NAME, [PUBLIC], [address])
                self.names.program("other.test", [address])
                for hop, location in (("itself", "/a"), ("other", self.url(name="other.test"))):
                    self.public.program(
                        f"/{hop}",
                        Answer(status=302, headers={"Location": location}, framing="close"),
                    )
                url = self.url("/itself")
                self.assert_forbidden(self.fetch(server, url), url)
                self.assertEqual(self.names.lookups(NAME), 2)

                self.names.program(NAME, [PUBLIC])
                url = self.url("/other")
                self.assert_forbidden(self.fetch(server, url), url)
                self.assertEqual(self.names.lookups(NAME), 1)
        self.assert_nobody_inside_was_asked()
        self.assert_nothing_stored(server)

    def test_a_hop_that_may_be_asked_is(self) -> None:
        server = self.start_cache()
        self.names.program(NAME, [PUBLIC], ["127.0.0.1"])
        self.names.program("other.test", [PUBLIC], ["127.0.0.1"])
        location = {"Location": self.url(name="other.test")}
        self.public.program("/hop", Answer(status=307, headers=location, framing="close"))
        self.serve(b"public")

        self.assert_body(self.fetch(server, self.url("/hop")), b"public", "MISS")

        self.assertEqual((self.names.lookups(NAME), self.names.lookups("other.test")), (1, 1))
        self.assert_nobody_inside_was_asked()


class Kept(RebindingTest):
    def test_a_kept_connection_leads_where_it_led_and_the_next_one_nowhere_else(self) -> None:
        server = self.start_cache()
        self.serve(b"first", keep=True)
        self.names.program(NAME, [PUBLIC], ["127.0.0.1"])
        url = self.url()
        self.assert_body(self.fetch(server, url), b"first", "MISS")

        self.serve(b"second", keep=True)
        self.assert_body(self.fetch(server, url, refresh="1"), b"second")
        self.assertEqual((self.public.connections, self.names.lookups(NAME)), (1, 1))

        self.serve(b"third")  # is the last on that connection
        self.assert_body(self.fetch(server, url, refresh="1"), b"third")
        self.assert_forbidden(self.fetch(server, url, refresh="1"), url)
        self.assertEqual((self.public.connections, self.names.lookups(NAME)), (1, 2))
        self.assert_nobody_inside_was_asked()

    def test_a_kept_connection_that_was_closed_is_no_way_around_the_check(self) -> None:
        """The request on it gets no answer and is sent again, on a new connection."""
        server, url = self.start_cache(), self.url()
        self.names.program(NAME, [PUBLIC], ["127.0.0.1"])
        self.public.program("/a", Answer(body=b"first"), Answer(raw=b"", ending="close"))
        self.assert_body(self.fetch(server, url), b"first", "MISS")

        self.assert_forbidden(self.fetch(server, url, refresh="1"), url)

        self.assertEqual((self.public.connections, self.public.count("/a")), (1, 2))
        self.assertEqual(self.names.lookups(NAME), 2)
        self.assert_hit(server, url, b"first")
        self.assert_nobody_inside_was_asked()

    def test_connections_of_one_name_are_not_used_for_another(self) -> None:
        """Which may be refused by its name, or lead inwards."""
        server = self.start_cache("--upstream-deny-hosts", "denied.test")
        self.serve(b"public", keep=True)
        for name in (NAME, "denied.test"):
            self.names.program(name, [PUBLIC])
        self.names.program("inside.test", ["127.0.0.1"])
        self.assert_body(self.fetch(server, self.url()), b"public", "MISS")

        for name in ("denied.test", "inside.test"):
            self.assert_forbidden(self.fetch(server, self.url(name=name)), self.url(name=name))

        self.assertEqual((self.public.connections, self.public.count("/a")), (1, 1))
        self.assert_nobody_inside_was_asked()


class Unknown(RebindingTest):
    def test_a_name_that_nobody_knows_or_that_has_no_address(self) -> None:
        server = self.start_cache()
        self.names.program("empty.test", [])
        for name in ("nobody.test", "empty.test"):
            with self.subTest(name):
                url = self.url(name=name)
                self.assert_unavailable(self.fetch(server, url), url)
        self.assert_nothing_stored(server)


def furnish() -> None:
    """The network of this script."""
    with tempfile.TemporaryDirectory() as directory:
        if reason := ask_only(Path(directory)):
            harness.skip(reason)
        try:
            for number, address in enumerate((PUBLIC, "169.254.169.254", "10.0.0.1"), start=1):
                have_address(address, number)
        except OSError as error:
            harness.skip(f"the loopback takes no more addresses: {os.strerror(error.errno or 0)}")


if __name__ == "__main__":
    if reason := name_spaces.why_not():
        harness.skip(reason)
    name_spaces.enter()
    furnish()
    harness.main()
