"""Where /fetch goes and where it does not: addresses however they are written, lists of hosts,
redirects, proxies, certificates."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    KIB,
    Answer,
    Authority,
    FetchTest,
    Got,
    Origin,
    RefusingPort,
    harness,
    noise,
)

# Each leads to this machine, if anybody went there.
LOOPBACK_FORMS = (
    *("127.0.0.1", "127.1", "127.0.1", "127.255.255.254", "2130706433", "0x7f000001", "0x7F.1"),
    *("0177.0.0.1", "017700000001", "0177.0x0.0.1", "localhost", "LOCALHOST", "localhost."),
    *("[::1]", "[0:0:0:0:0:0:0:1]", "[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::127.0.0.1]"),
    *("[64:ff9b::127.0.0.1]", "[2002:7f00:1::]", "0.0.0.0", "0", "[::]", "%6cocalhost", "127.0.0.1."),
)
# Nobody's business: nothing of it is ever asked in these tests.
ELSEWHERE = (
    *("10.0.0.1", "10.255.255.255", "172.16.0.1", "172.31.255.255", "192.168.0.1", "192.168.255.1"),
    *("169.254.169.254", "0xa9fea9fe", "2852039166", "[::ffff:169.254.169.254]", "169.254.1.1"),
    *("100.64.0.1", "100.100.100.200", "168.63.129.16", "192.0.0.192", "198.18.0.1", "192.0.2.1"),
    *("224.0.0.1", "239.255.255.250", "240.0.0.1", "255.255.255.255", "[fe80::1]", "[fc00::1]"),
    *("[fd00:ec2::254]", "[fd12:3456::1]", "[ff02::1]", "[2001:db8::1]", "[100::1]", "[fec0::1]"),
)


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


class AddressTest(FetchTest):
    def assert_refused(self, got: Got) -> None:
        """403, or 400 where it is no host at all."""
        told = got.json()
        if got.status == 400:
            self.assert_fetch_error(got, 400, error="invalid_parameter", parameter="url")
        else:
            self.assert_forbidden(got, told.get("source_url"))


class ByDefault(AddressTest):
    def test_this_machine_is_not_asked_however_it_is_written(self) -> None:
        server, origin = self.start_cache(addresses=None), self.start_origin(host="0.0.0.0")
        origin.program("/a", Answer(body=b"internal"))
        for host in LOOPBACK_FORMS:
            with self.subTest(host):
                self.assert_refused(self.fetch(server, f"http://{host}:{origin.port}/a"))
                self.assert_refused(self.fetch(server, f"https://{host}:{origin.port}/a"))
        self.assertEqual(origin.connections, 0)
        self.assert_nothing_stored(server)

    def test_ipv6_loopback_is_not_asked(self) -> None:
        if not has_ipv6():
            self.skipTest("this machine has no IPv6")
        server, origin = self.start_cache(addresses=None), self.start_origin(host="::1")
        for host in ("[::1]", "localhost", "[0::1]"):
            self.assert_refused(self.fetch(server, f"http://{host}:{origin.port}/a"))
        self.assertEqual(origin.connections, 0)

    def test_the_name_of_this_machine_is_not_asked(self) -> None:
        name = socket.gethostname()
        try:
            addresses = {info[4][0] for info in socket.getaddrinfo(name, 80)}
        except OSError:
            self.skipTest(f"{name} has no address")
        private = [a for a in addresses if str(a).startswith(("127.", "10.", "192.168.", "172.", "::1", "f"))]
        if len(private) < len(addresses):
            self.skipTest(f"{name} has a public address")
        server, origin = self.start_cache(addresses=None), self.start_origin(host="0.0.0.0")

        self.assert_refused(self.fetch(server, f"http://{name}:{origin.port}/a"))

        self.assertEqual(origin.connections, 0)

    def test_private_link_local_and_metadata_addresses_are_not_asked(self) -> None:
        server = self.start_cache(addresses=None)
        for host in ELSEWHERE:
            with self.subTest(host):
                url = f"http://{host}/latest/meta-data/"
                got = self.fetch(server, url)
                self.assertEqual(got.status, 403, got.body)
                self.assert_refused(got)

    def test_a_refused_address_is_refused_with_a_checksum_and_refresh_too(self) -> None:
        server, origin = self.start_cache(addresses=None), self.start_origin()
        url = origin.program("/a", Answer(body=b"internal"))
        for parameters in ({"sha256": "0" * 64}, {"refresh": "1"}):
            self.assert_forbidden(self.fetch(server, url, **parameters), url)
        self.assertEqual(origin.connections, 0)


class Allowed(AddressTest):
    def test_an_allowed_block_is_asked_in_every_spelling_of_its_addresses(self) -> None:
        server, origin = self.start_cache(addresses="127.0.0.0/8"), self.start_origin()
        origin.program("/a", Answer(body=b"content"))
        for host in ("127.0.0.1", "127.1", "2130706433", "0x7f000001", "0177.0.0.1", "localhost"):
            with self.subTest(host):
                got = self.fetch(server, f"http://{host}:{origin.port}/a")
                self.assert_body(got, b"content")

    def test_ipv6_and_an_ipv4_address_written_as_ipv6(self) -> None:
        if not has_ipv6():
            self.skipTest("this machine has no IPv6")
        server, origin = self.start_cache(addresses="::1"), self.start_origin(host="::1")
        url = origin.program("/a", Answer(body=b"content"))
        self.assertEqual(self.fetch(server, url).body, b"content")
        self.assert_refused(self.fetch(server, "http://127.0.0.1/a"))

        server, origin = self.start_cache(addresses="127.0.0.1"), self.start_origin()
        origin.program("/a", Answer(body=b"content"))
        got = self.fetch(server, f"http://[::ffff:127.0.0.1]:{origin.port}/a")
        self.assert_body(got, b"content")

    def test_only_the_allowed_addresses_are_asked(self) -> None:
        server = self.start_cache(addresses="127.0.0.1/32")
        origin, other = self.start_origin(), self.start_origin(host="127.0.0.2")
        for site in (origin, other):
            site.program("/a", Answer(body=b"content"))

        self.assert_body(self.fetch(server, origin.url("/a")), b"content")
        self.assert_forbidden(self.fetch(server, other.url("/a")), other.url("/a"))

        self.assertEqual(other.connections, 0)

    def test_metadata_services_are_not_allowed_by_a_block_around_them(self) -> None:
        server = self.start_cache(addresses="169.254.0.0/16,0.0.0.0/0,::/0")
        for host in ("169.254.169.254", "[fd00:ec2::254]", "100.100.100.200"):
            self.assert_refused(self.fetch(server, f"http://{host}/latest/meta-data/"))

    def test_only_hosts_on_the_list_are_asked(self) -> None:
        server = self.start_cache("--upstream-allow-hosts", "localhost,*.example.org")
        origin = self.start_origin()
        origin.program("/a", Answer(body=b"content"))
        for host in ("127.0.0.1", "127.0.0.2", "2130706433", "localhost.evil.org", "notlocalhost"):
            with self.subTest(host):
                self.assert_refused(self.fetch(server, f"http://{host}:{origin.port}/a"))
        self.assertEqual(origin.connections, 0)

        for host in ("localhost", "LocalHost", "localhost."):
            with self.subTest(host):
                self.assert_body(self.fetch(server, f"http://{host}:{origin.port}/a"), b"content")

    def test_hosts_on_the_other_list_are_never_asked(self) -> None:
        server = self.start_cache(
            *("--upstream-allow-hosts", "localhost,127.0.0.1"),
            *("--upstream-deny-hosts", "localhost,127.0.0.2,*.invalid"),
        )
        origin = self.start_origin(host="0.0.0.0")
        origin.program("/a", Answer(body=b"content"))
        for host in ("localhost", "LOCALHOST.", "127.0.0.2", "0x7f000002", "x.invalid"):
            with self.subTest(host):
                self.assert_refused(self.fetch(server, f"http://{host}:{origin.port}/a"))
        self.assertEqual(origin.connections, 0)

        self.assert_body(self.fetch(server, f"http://127.0.0.1:{origin.port}/a"), b"content")

    def test_what_was_stored_before_a_rule_is_still_served(self) -> None:
        """A hit never touches the network, so no rule for the network concerns it."""
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))
        self.assert_body(self.fetch(server, url), b"content")
        self.assertEqual(server.stop(), 0)

        again = self.start_cache(addresses=None, storage=server.storage)

        self.assert_hit(again, url, b"content")
        self.assert_forbidden(self.fetch(again, url, refresh="1"), url)
        self.assert_hit(again, url, b"content")


class Redirects(AddressTest):
    def redirect(self, origin: Origin, path: str, location: str | None, status: int = 302) -> str:
        fields = {} if location is None else {"Location": location}
        body = b"<html>moved</html>"
        return origin.program(path, Answer(status=status, body=body, headers=fields))

    def test_every_kind_of_redirect_and_of_reference_is_followed(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(100 * KIB)
        for path in ("/dir/b", "/b", "/dir/with%20space", "/dir/up"):
            origin.program(path, Answer(body=body))
        references = {
            "absolute": origin.url("/b"),
            "path": "/b",
            "relative": "b",
            "up": "../b",
            "dots": "./sub/../up",
            "scheme-relative": f"//127.0.0.1:{origin.port}/b",
            "fragment": "/b#part",
            "space": "with space",
        }
        for name, reference in references.items():
            with self.subTest(name):
                url = self.redirect(origin, f"/dir/{name}", reference)
                self.assert_body(self.fetch(server, url), body, "MISS")
                self.assert_hit(server, url, body)
        for status in (301, 302, 303, 307, 308):
            with self.subTest(status):
                url = self.redirect(origin, f"/{status}", "/b", status)
                self.assert_body(self.fetch(server, url), body, "MISS")
        self.assert_stored_contents(server, body)

    def test_it_is_kept_by_the_url_that_was_asked_for(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = self.redirect(origin, "/a", "/b")
        origin.program("/b", Answer(body=b"content"))
        self.assert_body(self.fetch(server, url), b"content", "MISS")

        self.assertEqual(self.head(server, origin.url("/b")).status, 404)
        self.assert_hit(server, url, b"content")

        self.assertEqual(origin.count(), 2)

    def test_ten_redirects_are_followed_and_eleven_are_not(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for number in range(11):
            self.redirect(origin, f"/{number}", f"/{number + 1}")
        origin.program("/11", Answer(body=b"content"))

        self.assert_body(self.fetch(server, origin.url("/1")), b"content", "MISS")
        too_many = origin.url("/0")
        got = self.fetch(server, too_many)

        self.assert_no_use(got, too_many)
        self.assert_stored_contents(server, b"content")

    def assert_no_use(self, got: Got, url: str) -> None:
        """The origin answered, and never with the file."""
        self.assertEqual(got.status, 502, got.body)
        told = got.json()
        self.assertEqual(list(told), ["error", "status_code", "source_url", "message"])
        self.assertEqual((told["error"], told["source_url"]), ("upstream_error", url))

    def test_circles_end(self) -> None:
        server, origin = self.start_cache(retries=3), self.start_origin()
        for name, place in {"itself": "/itself", "pair": "/other", "query": "?x"}.items():
            with self.subTest(name):
                url = self.redirect(origin, f"/{name}", place)
                self.redirect(origin, "/other", "/pair")

                self.assert_no_use(self.fetch(server, url), url)

                self.assertLessEqual(origin.count(), 40)  # and is not tried again and again
        self.assert_nothing_stored(server)

    def test_a_redirect_to_what_is_no_url_of_ours(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        places = {
            "none": None,
            "empty": "",
            "file": "file:///etc/passwd",
            "ftp": "ftp://127.0.0.1/a",
            "mail": "mailto:a@example.org",
            "broken": "http://[::1",
            "user": f"http://user:secret@127.0.0.1:{origin.port}/b",
        }
        origin.program("/b", Answer(body=b"content"))
        for name, place in places.items():
            with self.subTest(name):
                url = self.redirect(origin, f"/{name}", place)

                got = self.fetch(server, url)

                self.assert_no_use(got, url)
                self.assertNotIn(b"secret", got.body)
        self.assertEqual(origin.count("/b"), 0)
        self.assert_nothing_stored(server)

    def test_no_redirect_leads_to_a_refused_address(self) -> None:
        server = self.start_cache(addresses="127.0.0.1/32")
        origin, inside = self.start_origin(), self.start_origin(host="127.0.0.2")
        inside.program("/a", Answer(body=b"internal"))
        port = inside.port
        for number, place in enumerate(
            (
                *(f"http://127.0.0.2:{port}/a", f"//127.0.0.2:{port}/a", f"http://0x7f.2:{port}/a"),
                *(f"http://[::ffff:127.0.0.2]:{port}/a", f"http://2130706434:{port}/a"),
                *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "http://[fe80::1]/"),
            )
        ):
            with self.subTest(place):
                url = self.redirect(origin, f"/{number}", place)
                hop = self.redirect(origin, f"/hop{number}", f"/{number}")

                self.assert_forbidden(self.fetch(server, url), url)
                self.assert_forbidden(self.fetch(server, hop), hop)
        self.assertEqual(inside.connections, 0)
        self.assert_nothing_stored(server)

    def test_no_redirect_leads_to_a_refused_host(self) -> None:
        server = self.start_cache("--upstream-deny-hosts", "localhost")
        origin = self.start_origin()
        origin.program("/b", Answer(body=b"content"))
        url = self.redirect(origin, "/a", f"http://localhost:{origin.port}/b")
        self.assert_forbidden(self.fetch(server, url), url)
        self.assertEqual(origin.count("/b"), 0)

        server = self.start_cache("--upstream-allow-hosts", "localhost")
        start = self.redirect(origin, "/c", origin.url("/b")).replace("127.0.0.1", "localhost")
        self.assert_forbidden(self.fetch(server, start), start)
        self.assertEqual(origin.count("/b"), 0)

    def test_to_https_and_not_back(self) -> None:
        authority = Authority(self.directory)
        server = self.start_cache("--upstream-ca-file", str(authority.file))
        plain, secure = self.start_origin(), self.start_origin(tls=authority.issue("IP:127.0.0.1"))
        for origin in (plain, secure):
            origin.program("/b", Answer(body=b"content"))

        up = self.redirect(plain, "/up", secure.url("/b"))
        down = self.redirect(secure, "/down", plain.url("/b"))

        self.assert_body(self.fetch(server, up), b"content", "MISS")
        self.assert_forbidden(self.fetch(server, down), down)
        self.assertEqual(plain.count("/b"), 0)

    def test_the_end_of_the_chain_decides(self) -> None:
        server, origin, closed = self.start_cache(), self.start_origin(), RefusingPort()
        self.addCleanup(closed.close)
        missing = self.redirect(origin, "/a", "/missing")
        dead = self.redirect(origin, "/b", f"http://127.0.0.1:{closed.port}/")

        self.assert_upstream_error(self.fetch(server, missing), missing, 404)
        self.assert_unavailable(self.fetch(server, dead), dead)

        self.assert_nothing_stored(server)

    def test_a_resume_follows_redirects_as_well(self) -> None:
        server, origin, body = self.start_cache(retries=1), self.start_origin(), noise(500 * KIB)
        url = self.redirect(origin, "/a", "/b")
        first = Answer(body=body, etag='"1"', cut_at=300 * KIB, ending="close")
        origin.program("/b", first, Answer(body=body, etag='"1"', ranges=True))

        self.assert_body(self.fetch(server, url), body, "MISS")

        self.assertEqual(origin.seen("/b")[1].header("if-range"), '"1"')


class Certificates(AddressTest):
    def setUp(self) -> None:
        super().setUp()
        self.authority = Authority(self.directory)

    def start_trusting(self) -> harness.CacheServer:
        return self.start_cache("--upstream-ca-file", str(self.authority.file))

    def test_a_known_authority_and_the_right_name(self) -> None:
        server = self.start_trusting()
        origin = self.start_origin(tls=self.authority.issue("IP:127.0.0.1,DNS:localhost"))
        url = origin.program("/a", Answer(body=noise(300 * KIB)))

        self.assert_body(self.fetch(server, url), noise(300 * KIB), "MISS")
        by_name = origin.url("/a", host="localhost")
        self.assert_body(self.fetch(server, by_name), noise(300 * KIB), "MISS")

    def test_no_certificate_that_is_wrong_is_taken(self) -> None:
        stranger = Authority(self.directory, "stranger")
        server = self.start_trusting()
        for name, context in {
            "unknown authority": stranger.issue("IP:127.0.0.1"),
            "another address": self.authority.issue("IP:127.0.0.2"),
            "a name": self.authority.issue("DNS:example.org"),
            "the address as a name": self.authority.issue("DNS:127.0.0.1"),
            "expired": self.authority.issue("IP:127.0.0.1", expired=True),
        }.items():
            with self.subTest(name):
                origin = self.start_origin(tls=context)
                url = origin.program("/a", Answer(body=b"content"))

                self.assert_unavailable(self.fetch(server, url), url)

                self.assertEqual(origin.count(), 0)
        self.assert_nothing_stored(server)

    def test_without_the_file_our_authority_is_unknown(self) -> None:
        server = self.start_cache()
        origin = self.start_origin(tls=self.authority.issue("IP:127.0.0.1"))
        url = origin.program("/a", Answer(body=b"content"))

        self.assert_unavailable(self.fetch(server, url), url)

        self.assertEqual(origin.count(), 0)

    def test_tls_where_there_is_none_and_none_where_there_is(self) -> None:
        server = self.start_trusting()
        plain = self.start_origin()
        secure = self.start_origin(tls=self.authority.issue("IP:127.0.0.1"))
        wrong = [
            plain.program("/a", Answer(body=b"content")).replace("http:", "https:"),
            secure.program("/a", Answer(body=b"content")).replace("https:", "http:"),
        ]
        for url in wrong:
            self.assert_unavailable(self.fetch(server, url), url)


class Proxied(AddressTest):
    def start_behind(self, proxy: Origin, *arguments: str) -> harness.CacheServer:
        return self.start_server(
            *("--upstream-proxy", f"http://127.0.0.1:{proxy.port}", "--upstream-retries", "0"),
            *("--upstream-allow-addresses", "127.0.0.1/32"),
            *arguments,
        )

    def test_requests_go_through_the_proxy(self) -> None:
        """Which resolves names that nobody knows here."""
        proxy = self.start_origin()
        server = self.start_behind(proxy)
        url = "http://files.invalid/a?x=1"
        proxy.program("http://files.invalid/a", Answer(body=b"by the proxy"))

        self.assert_body(self.fetch(server, url), b"by the proxy", "MISS")

        (seen,) = proxy.seen()
        self.assertEqual((seen.target, seen.header("host")), (url, "files.invalid"))

    def test_this_machine_is_asked_directly(self) -> None:
        proxy, origin = self.start_origin(), self.start_origin()
        server = self.start_behind(proxy)
        url = origin.program("/a", Answer(body=b"content"))

        self.assert_body(self.fetch(server, url), b"content", "MISS")

        self.assertEqual(proxy.connections, 0)

    def test_the_rules_hold_before_the_proxy(self) -> None:
        proxy = self.start_origin()
        server = self.start_behind(proxy, "--upstream-deny-hosts", "denied.example")
        for host in ("10.0.0.1", "169.254.169.254", "[::1]", "127.0.0.2", "denied.example"):
            with self.subTest(host):
                self.assert_refused(self.fetch(server, f"http://{host}/a"))
        self.assertEqual(proxy.connections, 0)

    def test_a_proxy_that_is_gone_is_503(self) -> None:
        proxy = self.start_origin()
        server = self.start_behind(proxy)
        proxy.close()

        url = "http://files.invalid/a"
        self.assert_unavailable(self.fetch(server, url), url)


if __name__ == "__main__":
    harness.main()
