"""What the tests behind a proxy share: a server, one of the proxies with its packaged configuration
in front of it, and clients. nginx_front_case.py and caddy_front_case.py start the proxies.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import re
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from handover_case import HandoverTest
from robustness_case import harness

PACKAGING = HERE.parent.parent / "packaging"
NAME = "cache.example"  # as in the packaged files
CERTIFICATE, KEY = "/etc/polykit-cache/fullchain.pem", "/etc/polykit-cache/privkey.pem"
SOCKET = "/run/polykit-cache/http.sock"
NETWORKS = ("tcp", "unix")
CURL_TIMEOUT = 300  # seconds; 2 GiB on a machine that does much else


@dataclass(frozen=True)
class Mode:
    """One way to connect a proxy with the server."""

    network: str = "unix"
    buffering: str | None = None  # nothing: as packaged, which is off
    request_buffering: str | None = None

    def __str__(self) -> str:
        return f"{self.network}, buffering {self.buffering}, request {self.request_buffering}"

    @property
    def streams_downloads(self) -> bool:
        return self.buffering != "on"

    @property
    def streams_uploads(self) -> bool:
        return self.request_buffering != "on"


class Behind(harness.CacheServer):
    """A server whose connections can be told apart."""

    def sockets(self) -> set[str]:
        """The connections and listeners it holds now; no two ever share a name."""
        return {link for link in links_of(self.pid) if link.startswith("socket:")}


@dataclass
class Fetched:
    """What curl got."""

    status: int
    version: str  # of HTTP: 1.1 or 2
    connects: int  # new connections that it needed
    headers: dict[str, str]  # names in lower case
    body: bytes


class CurlError(AssertionError):
    """curl ended with an error, of which an answer may be the reason; its status, or 0, is known."""

    def __init__(self, code: int, told: str) -> None:
        super().__init__(f"curl ends with {code}: {told}")
        self.status = int(told.split()[-2])


class Front:
    """A proxy with its packaged configuration, and the server behind it."""

    def __init__(
        self, proxy: harness.Process, port: int, server: Behind, directory: Path, certificate: Path
    ) -> None:
        self.proxy, self.port, self.server = proxy, port, server
        self.directory, self.certificate = directory, certificate
        self.tls_file = directory / "tls.sock"

    # What differs between the proxies.

    def workers(self) -> list[int]:
        """The processes that move bytes."""
        raise NotImplementedError

    def spooled(self) -> set[str]:
        """Bodies that the proxy keeps in files."""
        raise NotImplementedError

    def reload(self) -> None:
        """Returns when new connections are served by the configuration as it is read anew."""
        raise NotImplementedError

    # HTTP/1.1, byte for byte, without TLS

    def connect(self) -> harness.RawConnection:
        return harness.RawConnection(self.port)

    def connect_from(self, address: str) -> harness.RawConnection:
        """From another address of this machine, which Linux has without being told."""
        return harness.RawConnection(self.port, source=address)

    def ask(self, head: bytes, *body: bytes) -> harness.Response:
        """One request on a connection of its own."""
        with self.connect() as connection:
            connection.send(head, *body)
            answer = connection.response(head=head.startswith(b"HEAD "))
        assert answer is not None, head
        return answer

    def get(self, key: str, method: str = "GET", **fields: str) -> harness.Response:
        return self.ask(head_of(method, key, **fields))

    def get_from(self, address: str, key: str, **fields: str) -> harness.Response | None:
        with self.connect_from(address) as connection:
            connection.send(head_of("GET", key, **fields))
            return connection.response()

    def put(self, key: str, body: bytes) -> harness.Response:
        return self.ask(head_of("PUT", key, content_length=str(len(body))), body)

    # TLS, with both versions of HTTP

    def connect_tls(self) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(self.certificate))
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(harness.IO_TIMEOUT)
        plain.connect(str(self.tls_file))
        return context.wrap_socket(plain, server_hostname=NAME)

    def curl_command(self, version: str, *arguments: str | Path) -> list[str]:
        """curl in this version of HTTP; fails where it is not spoken."""
        option = {"1.1": "--http1.1", "2": "--http2"}[version]
        return [
            *(require_curl(), option, "--silent", "--show-error", "--max-time", str(CURL_TIMEOUT)),
            *("--cacert", str(self.certificate), "--unix-socket", str(self.tls_file)),
            *map(str, arguments),
        ]

    def curl(self, version: str, key: str, *arguments: str | Path, stdin: bytes = b"") -> Fetched:
        """One request on a connection of its own. An error of curl is a failure, also when it has
        an answer by then."""
        heads = self.directory / "heads"
        told = "%{stderr}%{http_version} %{http_code} %{num_connects}"
        done = subprocess.run(  # noqa: S603
            self.curl_command(version, "-D", heads, "-w", told, *arguments, url_of(key)),
            input=stdin,
            capture_output=True,
            check=False,
            env=harness.clean_environment(),
        )
        if done.returncode != 0:
            raise CurlError(done.returncode, done.stderr.decode())
        spoken, status, connects = done.stderr.decode().split()
        if spoken != version:
            raise AssertionError(f"HTTP/{spoken} where HTTP/{version} was wanted")
        last = heads.read_text().strip().split("\r\n\r\n")[-1]
        pairs = (line.partition(": ") for line in last.splitlines()[1:])
        headers = {name.lower(): value.strip() for name, _, value in pairs}
        return Fetched(int(status), spoken, int(connects), headers, done.stdout)


@functools.cache
def require_curl() -> str:
    """Skips what needs curl, where it is not or speaks HTTP/1.1 only."""
    binary = shutil.which("curl")
    if binary is None:
        harness.skip("curl is not installed")
    command = [binary, "--version"]
    told = subprocess.run(command, capture_output=True, text=True, check=True)  # noqa: S603
    if "HTTP2" not in told.stdout.split():
        harness.skip("this curl does not speak HTTP/2")
    return binary


def url_of(key: str) -> str:
    """`key` may be a whole path as well."""
    return f"https://{NAME}{key if key.startswith('/') else f'/v1/artifacts/{key}'}"


def links_of(pid: int) -> set[str]:
    """What the descriptors of a process are."""
    links: set[str] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.add(os.readlink(link))
    return links


def peak_rss(pid: int) -> int:
    """The most resident memory that a process ever had, in bytes."""
    found = re.search(r"^VmHWM:\s+(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def head_of(method: str, key: str, **fields: str) -> bytes:
    """A request on an artifact; `if_none_match` is the header If-None-Match."""
    lines = [f"{method} /v1/artifacts/{key} HTTP/1.1", f"Host: {NAME}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunked(body: bytes, size: int = 100_000) -> list[bytes]:
    """The body in chunks, as curl sends what it reads from a pipe."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]


def replaced(text: str, packaged: str, here: str) -> str:
    """A packaged file with one place changed, which must be there."""
    if text.count(packaged) != 1:
        raise AssertionError(f"the packaged file has {text.count(packaged)} times {packaged!r}")
    return text.replace(packaged, here)


def in_every_mode(test: Callable[[FrontTest, Mode], None]) -> Callable[[FrontTest], None]:
    @functools.wraps(test)
    def run(self: FrontTest) -> None:
        for mode in self.modes:
            with self.subTest(str(mode)):
                test(self, mode)

    return run


class FrontTest(HandoverTest):
    """A claim about every proxy; a subclass for each proxy makes it a test."""

    modes: Sequence[Mode] = [Mode(network) for network in NETWORKS]
    certificate: Path

    def setUp(self) -> None:
        super().setUp()
        openssl = shutil.which("openssl")
        if openssl is None:
            self.skipTest("openssl is not installed")
        self.certificate, self.key = self.directory / "fullchain.pem", self.directory / "key.pem"
        subprocess.run(  # noqa: S603
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-subj", f"/CN={NAME}", "-days", "2"]
            + ["-addext", f"subjectAltName=DNS:{NAME}"]
            + ["-keyout", str(self.key), "-out", str(self.certificate)],
            check=True,
            capture_output=True,
        )
        self.fronts = 0

    def start_front(self, mode: Mode, *arguments: str, trusted: bool = True) -> Front:
        """A server of its own behind a proxy of its own."""
        self.fronts += 1
        directory = self.directory / f"front{self.fronts}"
        directory.mkdir()
        if trusted:
            peer = "unix" if mode.network == "unix" else "127.0.0.1"
            arguments += ("--trusted-proxies", peer)
        server = self.start_behind(mode, directory, *arguments)
        return self.start_proxy(mode, directory, server)

    def start_behind(
        self, mode: Mode, directory: Path, *arguments: str, port: int = 0
    ) -> Behind:
        server = Behind(
            *arguments,
            file=directory / "http.sock" if mode.network == "unix" else None,
            storage=directory / "storage",
            binary=self.binary,
            port=port,
        )
        self.addCleanup(server.kill)
        return server

    def start_proxy(self, mode: Mode, directory: Path, server: Behind) -> Front:
        """The proxy with its packaged file, in which no more is changed than must be: where the
        server and the certificate are, and what it listens on, which is directory/tls.sock for
        TLS, and a plain port."""
        raise NotImplementedError

    def assert_pasted(self, language: str, packaged: Path) -> None:
        """README shows no line that is not in the packaged file, however far it is indented."""
        readme = (PACKAGING.parent / "README.md").read_text()
        block = re.search(rf"^```{language}\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        assert block is not None
        lines = set(map(str.strip, packaged.read_text().splitlines()))
        self.assertEqual(set(map(str.strip, block[1].splitlines())) - lines, set())
