"""What the tests behind nginx share: the packaged configuration, with only addresses and paths replaced.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import functools
import os
import shutil
import socket
import ssl
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from handover_case import HandoverTest
from robustness_case import harness

PACKAGED = HERE.parent.parent / "packaging/nginx/polykit-cache.conf"
NAME = "cache.example"  # as in the packaged file
CERTIFICATE, KEY = "/etc/polykit-cache/fullchain.pem", "/etc/polykit-cache/privkey.pem"
NETWORKS = ("tcp", "unix")


@dataclass(frozen=True)
class Mode:
    """One way to connect nginx with the server."""

    network: str = "tcp"
    buffering: str | None = None  # nothing: as packaged
    request_buffering: str | None = None

    def __str__(self) -> str:
        return f"{self.network}, buffering {self.buffering}, request {self.request_buffering}"


MODES = [
    Mode(network, buffering, request_buffering)
    for network in NETWORKS
    for buffering in ("on", "off")
    for request_buffering in ("on", "off")
]


class Behind(harness.CacheServer):
    """A server that listens on a port that the kernel chose, or on a file."""

    def __init__(self, file: Path | None, *arguments: str, **options: object) -> None:
        self.file = file
        bind = () if file is None else ("--bind", f"unix:{file}")
        super().__init__(*bind, *arguments, **options)  # type: ignore[arg-type]

    def _find_port(self) -> bool:
        if self.file is None:
            return super()._find_port()
        self.port = 0
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.file)) == 0

    @property
    def address(self) -> str:
        """As nginx writes it."""
        return f"127.0.0.1:{self.port}" if self.file is None else f"unix:{self.file}"

    def sockets(self) -> set[str]:
        """The connections and listeners it holds now; no two ever share a name."""
        return {link for link in links_of(self.pid) if link.startswith("socket:")}


class Front:
    """nginx with the packaged configuration, and the server behind it."""

    def __init__(self, nginx: harness.Nginx, server: Behind, directory: Path) -> None:
        self.nginx, self.server, self.directory = nginx, server, directory

    def connect(self) -> harness.RawConnection:
        return harness.RawConnection(self.nginx.port)

    def connect_from(self, address: str) -> harness.RawConnection:
        """From another address of this machine, which Linux has without being told."""
        return harness.RawConnection(self.nginx.port, source=address)

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

    def connect_tls(self, certificate: Path) -> ssl.SSLSocket:
        context = ssl.create_default_context(cafile=str(certificate))
        plain = socket.socket(socket.AF_UNIX)
        plain.settimeout(harness.IO_TIMEOUT)
        plain.connect(str(self.directory / "tls.sock"))
        return context.wrap_socket(plain, server_hostname=NAME)

    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.nginx.pid}/task/{self.nginx.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def spooled(self) -> set[str]:
        """Bodies that nginx keeps in files, which have no name any more."""
        links = {link for worker in self.workers() for link in links_of(worker)}
        return {
            link
            for link in links
            if link.startswith((f"{self.directory}/client_body/", f"{self.directory}/proxy/"))
        }


def links_of(pid: int) -> set[str]:
    """What the descriptors of a process are."""
    links: set[str] = set()
    for link in Path(f"/proc/{pid}/fd").iterdir():
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            links.add(os.readlink(link))
    return links


def head_of(method: str, key: str, **fields: str) -> bytes:
    """A request on an artifact; `if_none_match` is the header If-None-Match."""
    lines = [f"{method} /v1/artifacts/{key} HTTP/1.1", f"Host: {NAME}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in fields.items()]
    return "\r\n".join(lines).encode() + b"\r\n\r\n"


def chunked(body: bytes, size: int = 100_000) -> list[bytes]:
    """The body in chunks, as curl sends what it reads from a pipe."""
    pieces = [body[start : start + size] for start in range(0, len(body), size)]
    return [b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces] + [b"0\r\n\r\n"]


def in_every_mode(test: Callable[[FrontTest, Mode], None]) -> Callable[[FrontTest], None]:
    @functools.wraps(test)
    def run(self: FrontTest) -> None:
        for mode in MODES:
            with self.subTest(str(mode)):
                test(self, mode)

    return run


class FrontTest(HandoverTest):
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
        """A server of its own behind an nginx of its own."""
        self.fronts += 1
        directory = self.directory / f"front{self.fronts}"
        directory.mkdir()
        if trusted:
            peer = "unix" if mode.network == "unix" else "127.0.0.1"
            arguments += ("--trusted-proxies", peer)
        server = self.start_behind(mode, directory, *arguments)
        return Front(self.start_packaged(mode, directory, server.address), server, directory)

    def start_behind(self, mode: Mode, directory: Path, *arguments: str) -> Behind:
        server = Behind(
            directory / "http.sock" if mode.network == "unix" else None,
            *arguments,
            storage=directory / "storage",
            binary=self.binary,
        )
        self.addCleanup(server.kill)
        return server

    def start_packaged(self, mode: Mode, directory: Path, address: str) -> harness.Nginx:
        """The packaged file; the harness adds a plain port to its server."""
        text = PACKAGED.read_text()
        text = replaced(text, "server 127.0.0.1:8080;\n", f"server {address};\n")
        text = replaced(text, "listen 443 ssl;", f"listen unix:{directory}/tls.sock ssl;")
        text = replaced(text, CERTIFICATE, str(self.certificate))
        text = replaced(text, KEY, str(self.key))
        for name, value in (
            ("proxy_buffering", mode.buffering),
            ("proxy_request_buffering", mode.request_buffering),
        ):
            if value is not None:
                text = replaced(text, f"    {name} off;\n", f"    {name} {value};\n")
        before, server = text.split("\nserver {\n")
        nginx = harness.Nginx(directory, server.rstrip().removesuffix("}"), http_lines=(before,))
        self.addCleanup(self.check_nginx, nginx)
        return nginx

    def check_nginx(self, nginx: harness.Nginx) -> None:
        nginx.stop()
        self.assertNotRegex(nginx.output_text(), r"\[(alert|crit|emerg)\]")


def replaced(text: str, packaged: str, here: str) -> str:
    if text.count(packaged) != 1:
        raise AssertionError(f"{PACKAGED} has {text.count(packaged)} times {packaged!r}")
    return text.replace(packaged, here)
