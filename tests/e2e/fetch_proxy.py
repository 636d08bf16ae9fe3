"""/fetch behind a real proxy: what goes through it and what does not, who sees its credentials, and
what becomes of a download when it refuses, dies or cuts.

Origins have a public address and names, which this machine and the proxy know from our name server:
all of it in a network of its own.
"""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging"))

import name_spaces
from fetch_case import KIB, Answer, Authority, FetchTest, Gate, Origin, await_event, harness, noise
from name_server import NameServer, ask_only, have_address
from tinyproxy import Tinyproxy, why_not

NAME, OTHER = "files.test", "direct.test"
PUBLIC, PRIVATE = "11.0.0.1", "10.0.0.1"
USER = "builder:s3cretWord"  # tinyproxy takes no other characters
SECRETS = ("s3cretWord", "YnVpbGRlcjpzM2NyZXRXb3Jk")  # as it is, and as it is sent


class ProxyTest(FetchTest):
    def setUp(self) -> None:
        super().setUp()
        self.names = NameServer()
        self.addCleanup(self.names.close)
        for name in (NAME, OTHER):
            self.names.program(name, [PUBLIC])
        self.plain = self.start_origin(host=PUBLIC)

    def start_secure(self) -> Origin:
        """An origin that speaks TLS, and the arguments with which a cache trusts it."""
        authority = Authority(self.directory)
        self.trust = ("--upstream-ca-file", str(authority.file))
        return self.start_origin(host=PUBLIC, tls=authority.issue(f"DNS:{NAME},DNS:{OTHER}"))

    def start_proxy(self, **options: Any) -> Tinyproxy:
        proxy = Tinyproxy(self.directory / "proxy", **options)
        self.addCleanup(proxy.kill)
        return proxy

    def start_behind(
        self, proxy: str, *arguments: str, retries: int = 0, **variables: str
    ) -> harness.CacheServer:
        """A server that has its proxy from the environment, as an operator would set it."""
        return self.start_server(
            *("--upstream-retries", str(retries)),
            *arguments,
            env={"http_proxy": proxy, "https_proxy": proxy, **variables},
        )

    def url(self, origin: Origin, path: str = "/a", name: str = NAME) -> str:
        return origin.url(path, host=name)

    def tunnel(self, origin: Origin, name: str = NAME) -> str:
        return f"{name}:{origin.port}"


class Ways(ProxyTest):
    def test_http_goes_through_the_proxy_and_a_hit_does_not(self) -> None:
        proxy = self.start_proxy()
        server, body = self.start_behind(proxy.url()), noise(300 * KIB)
        self.plain.program("/a", Answer(body=body))
        url = self.url(self.plain) + "?x=1"

        self.assert_body(self.fetch(server, url), body, "MISS")
        self.assert_hit(server, url, body)

        self.assertEqual(proxy.requests(), [("GET", url)])
        (seen,) = self.plain.seen()
        self.assertIn("tinyproxy", seen.header("via") or "")
        self.assertEqual(seen.header("host"), self.tunnel(self.plain))
        self.assert_stored_contents(server, body)

    def test_https_goes_through_a_tunnel_which_serves_again(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy()
        server, body = self.start_behind(proxy.url(), *self.trust), noise(300 * KIB)
        for path in ("/a", "/b"):
            secure.program(path, Answer(body=body))
            self.assert_body(self.fetch(server, self.url(secure, path)), body, "MISS")
            self.assert_hit(server, self.url(secure, path), body)

        self.assertEqual(proxy.requests(), [("CONNECT", self.tunnel(secure))])
        self.assertEqual((secure.connections, secure.count()), (1, 2))
        self.assertEqual([seen.header("via") for seen in secure.seen()], [None, None])

    def test_certificates_are_checked_in_a_tunnel_too(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy()
        server = self.start_behind(proxy.url())  # which trusts the authorities of the system alone
        url = self.url(secure)
        secure.program("/a", Answer(body=b"content"))

        self.assert_unavailable(self.fetch(server, url), url)

        self.assertEqual(proxy.tunnels(), [self.tunnel(secure)])
        self.assertEqual(secure.count(), 0)
        self.assert_nothing_stored(server)

    def test_the_setting_beats_the_environment(self) -> None:
        proxy, other = self.start_proxy(), Tinyproxy(self.directory / "other")
        self.addCleanup(other.kill)
        self.plain.program("/a", Answer(body=b"content"))
        for setting, asked in ((other.url(), other), ("none", None)):
            with self.subTest(setting):
                server = self.start_behind(proxy.url(), "--upstream-proxy", setting)
                self.assert_body(self.fetch(server, self.url(self.plain)), b"content", "MISS")
                if asked is not None:
                    self.assertEqual(asked.requests(), [("GET", self.url(self.plain))])
        self.assertEqual((proxy.requests(), len(other.requests())), ([], 1))

    def test_each_scheme_has_its_variables(self) -> None:
        """HTTP_PROXY in capitals is not one of them: a web server may set it from a header."""
        secure, proxy = self.start_secure(), self.start_proxy()
        for origin in (self.plain, secure):
            origin.program("/a", Answer(body=b"content"))
        for variable, asked in (
            ("http_proxy", [("GET", self.url(self.plain))]),
            ("https_proxy", [("CONNECT", self.tunnel(secure))]),
            ("HTTPS_PROXY", [("CONNECT", self.tunnel(secure))]),
            ("HTTP_PROXY", []),
        ):
            with self.subTest(variable):
                before = len(proxy.requests())
                server = self.start_server(
                    *("--upstream-retries", "0", *self.trust), env={variable: proxy.url()}
                )
                for origin in (self.plain, secure):
                    got = self.fetch(server, self.url(origin))
                    self.assert_body(got, b"content", "MISS")
                self.assertEqual(proxy.requests()[before:], asked)

    def test_exceptions_are_asked_directly(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy()
        for origin in (self.plain, secure):
            origin.program("/a", Answer(body=b"content"))
        for variable in ("no_proxy", "NO_PROXY"):
            with self.subTest(variable):
                server = self.start_behind(
                    proxy.url(USER), *self.trust, **{variable: f"example.org, .{OTHER},{PUBLIC}"}
                )
                for url in (
                    *(self.url(self.plain, name=OTHER), self.url(secure, name=OTHER)),
                    self.plain.url("/a"),
                ):
                    self.assert_body(self.fetch(server, url), b"content", "MISS")
        self.assertEqual(proxy.requests(), [])
        for origin in (self.plain, secure):
            for seen in origin.seen():
                self.assertIsNone(seen.header("proxy-authorization"))
                self.assertIsNone(seen.header("via"))

        url = self.url(self.plain)  # all others are not
        self.assert_body(self.fetch(server, url), b"content", "MISS")
        self.assertEqual(proxy.requests(), [("GET", url)])

    def test_each_hop_goes_its_own_way(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy()
        server = self.start_behind(proxy.url(), *self.trust, no_proxy=OTHER)
        direct = {"Location": self.url(secure, "/b", OTHER)}
        self.plain.program("/a", Answer(status=302, headers=direct))
        secure.program("/b", Answer(status=302, headers={"Location": self.url(secure, "/c")}))
        secure.program("/c", Answer(body=b"content"))

        self.assert_body(self.fetch(server, self.url(self.plain)), b"content", "MISS")

        self.assertEqual(
            proxy.requests(), [("GET", self.url(self.plain)), ("CONNECT", self.tunnel(secure))]
        )
        self.assertEqual(secure.connections, 2)


class Credentials(ProxyTest):
    def assert_kept_secret(self, server: harness.CacheServer, *origins: Origin) -> None:
        for origin in origins:
            for seen in origin.seen():
                self.assertIsNone(seen.header("proxy-authorization"))
                self.assertIsNone(seen.header("authorization"))
        told = server.output_text() + server.request("GET", "/metrics").body.decode()
        for secret in SECRETS:
            self.assertNotIn(secret, told)

    def test_the_proxy_gets_its_credentials_and_nobody_else_does(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy(credentials=USER)
        server = self.start_behind(proxy.url(USER), *self.trust, "--log-level", "debug")
        for origin in (self.plain, secure):
            origin.program("/a", Answer(body=b"content"))
            self.assert_body(self.fetch(server, self.url(origin)), b"content", "MISS")
        self.assertEqual([method for method, _ in proxy.requests()], ["GET", "CONNECT"])
        self.assert_kept_secret(server, self.plain, secure)

    def test_without_the_right_credentials_nobody_is_asked(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy(credentials=USER)
        for credentials in ("", "builder:wrong"):
            with self.subTest(credentials):
                server = self.start_behind(proxy.url(credentials), *self.trust)
                for origin in (self.plain, secure):
                    origin.program("/a", Answer(body=b"content"))
                    url = self.url(origin)
                    got = self.fetch(server, url)
                    if credentials and origin is self.plain:  # a 401 may be an origin's as well
                        self.assert_upstream_error(got, url, 401)
                    else:
                        self.assert_unavailable(got, url)
                self.assert_nothing_stored(server)
        self.assertEqual((self.plain.connections, secure.connections), (0, 0))


class Rules(ProxyTest):
    def test_names_that_lead_inwards_are_not_asked_of_the_proxy(self) -> None:
        """Also when one of several addresses does: which one the proxy takes is not ours to say."""
        proxy = self.start_proxy()
        inside = self.start_origin(host=PRIVATE)
        server = self.start_behind(proxy.url(), "--upstream-deny-hosts", "denied.test")
        inside.program("/a", Answer(body=b"internal"))
        self.names.program("denied.test", [PUBLIC])
        self.names.program("inside.test", [PRIVATE])
        self.names.program("mixed.test", [PUBLIC, PRIVATE])
        for host in ("inside.test", "mixed.test", "denied.test", PRIVATE):
            with self.subTest(host):
                url = self.url(inside, name=host)
                self.assert_forbidden(self.fetch(server, url), url)
        self.assertEqual((proxy.requests(), inside.connections), ([], 0))

    def test_no_redirect_leads_inwards_through_the_proxy(self) -> None:
        proxy = self.start_proxy()
        inside = self.start_origin(host=PRIVATE)
        server = self.start_behind(proxy.url())
        inside.program("/a", Answer(body=b"internal"))
        self.names.program("inside.test", [PRIVATE])
        location = {"Location": self.url(inside, name="inside.test")}
        self.plain.program("/a", Answer(status=302, headers=location))
        url = self.url(self.plain)

        self.assert_forbidden(self.fetch(server, url), url)

        self.assertEqual((proxy.requests(), inside.connections), ([("GET", url)], 0))
        self.assert_nothing_stored(server)


class Trouble(ProxyTest):
    def test_a_proxy_that_refuses_tunnels(self) -> None:
        secure = self.start_secure()
        proxy = self.start_proxy(tunnels_to=1)
        server, url = self.start_behind(proxy.url(), *self.trust), self.url(secure)
        secure.program("/a", Answer(body=b"content"))

        self.assert_unavailable(self.fetch(server, url), url)

        await_event(lambda: "the proxy answered 403" in server.output_text(), "the log says why")
        self.assertEqual((proxy.tunnels(), secure.connections), ([self.tunnel(secure)], 0))
        self.assert_nothing_stored(server)
        self.plain.program("/a", Answer(body=b"content"))
        self.assert_body(self.fetch(server, self.url(self.plain)), b"content", "MISS")

    def test_a_proxy_that_does_not_reach_the_origin(self) -> None:
        """In a tunnel it is the proxy who says so; else nobody can tell its page from an origin's,
        but that it is none of a file."""
        secure, proxy = self.start_secure(), self.start_proxy()
        server = self.start_behind(proxy.url(), *self.trust)
        for origin in (self.plain, secure):
            origin.close()
            origin.await_idle()

        url = self.url(secure)
        self.assert_unavailable(self.fetch(server, url), url)
        got = self.fetch(server, self.url(self.plain))
        self.assertEqual(got.status, 502, got.body)
        self.assertIn(got.json()["status_code"], range(500, 600))

        self.assert_nothing_stored(server)

    def test_a_proxy_that_is_gone_and_one_that_is_there_again(self) -> None:
        secure, proxy = self.start_secure(), self.start_proxy()
        server = self.start_behind(proxy.url(), *self.trust)
        proxy.kill()
        for origin in (self.plain, secure):
            origin.program("/a", Answer(body=b"content"))
            url = self.url(origin)
            self.assert_unavailable(self.fetch(server, url), url)
        self.assertEqual((self.plain.connections, secure.connections), (0, 0))
        self.assert_nothing_stored(server)

        self.start_proxy(port=proxy.port)

        for origin in (self.plain, secure):
            self.assert_body(self.fetch(server, self.url(origin)), b"content", "MISS")

    def test_a_proxy_that_dies_in_the_middle(self) -> None:
        """What was downloaded is broken off visibly, nothing is stored, and the next request gets
        the whole through the next proxy."""
        secure, body = self.start_secure(), noise(900 * KIB)
        for origin in (self.plain, secure):
            with self.subTest(origin.url("/a")):
                proxy, gate = self.start_proxy(), Gate()
                server = self.start_behind(proxy.url(), *self.trust)
                origin.program("/a", Answer(body=body, gates={600 * KIB: gate}), Answer(body=body))
                client = self.client(server, self.url(origin))
                client.read_body(300 * KIB)
                gate.await_reached()

                proxy.kill()

                self.assert_broken(client.read(), body)
                gate.open()
                self.assert_nothing_stored(server)
                again = self.start_proxy(port=proxy.port)
                self.assert_body(self.fetch(server, self.url(origin)), body, "MISS")
                self.assert_stored_contents(server, body)
                again.kill()

    def test_what_is_cut_is_resumed_through_the_proxy(self) -> None:
        secure, proxy, body = self.start_secure(), self.start_proxy(), noise(600 * KIB)
        server = self.start_behind(proxy.url(), *self.trust, retries=1)
        for origin in (self.plain, secure):
            for ending in ("close", "abrupt", "reset"):
                with self.subTest(origin.url("/"), ending=ending):
                    before = len(proxy.requests())
                    cut = Answer(body=body, etag='"1"', cut_at=400 * KIB, ending=ending)
                    path = f"/{ending}"
                    origin.program(path, cut, Answer(body=body, etag='"1"', ranges=True))

                    self.assert_body(self.fetch(server, self.url(origin, path)), body, "MISS")

                    first, second = origin.seen(path)
                    self.assertIsNone(first.header("range"))
                    self.assertRegex(second.header("range") or "", r"^bytes=[1-9]\d*-$")
                    self.assertEqual(second.header("if-range"), '"1"')
                    self.assertGreater(len(proxy.requests()), before)
        self.assert_stored_contents(server, body)

    def test_what_is_cut_and_cannot_be_resumed_is_broken(self) -> None:
        secure, proxy, body = self.start_secure(), self.start_proxy(), noise(600 * KIB)
        server = self.start_behind(proxy.url(), *self.trust)
        for origin in (self.plain, secure):
            with self.subTest(origin.url("/")):
                gate = Gate()  # the client has something when it breaks off
                cut = Answer(
                    body=body, cut_at=400 * KIB, ending="close", gates={400 * KIB: gate}
                )
                origin.program("/a", cut)
                client = self.client(server, self.url(origin))
                client.read_body(200 * KIB)
                gate.open()
                self.assert_broken(client.read(), body)
        self.assert_nothing_stored(server)


def furnish() -> None:
    """The network of this script."""
    with tempfile.TemporaryDirectory() as directory:
        if reason := ask_only(Path(directory)):
            harness.skip(reason)
        try:
            for number, address in enumerate((PUBLIC, PRIVATE), start=1):
                have_address(address, number)
        except OSError as error:
            harness.skip(f"the loopback takes no more addresses: {os.strerror(error.errno or 0)}")


if __name__ == "__main__":
    if reason := why_not() or name_spaces.why_not():
        harness.skip(reason)
    name_spaces.enter()
    furnish()
    harness.main()
