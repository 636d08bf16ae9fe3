"""nginx with the packaged configuration, with only addresses and paths replaced.

Not a test itself.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from front_case import (
    CERTIFICATE,
    KEY,
    NETWORKS,
    PACKAGING,
    SOCKET,
    Behind,
    Front,
    FrontTest,
    Mode,
    links_of,
    replaced,
)
from robustness_case import await_event, harness

PACKAGED = PACKAGING / "nginx/polykit-cache.conf"

IN_ALL_WAYS = [
    Mode(network, buffering, request_buffering)
    for network in NETWORKS
    for buffering in ("on", "off")
    for request_buffering in ("on", "off")
]


class NginxFront(Front):
    def workers(self) -> list[int]:
        path = Path(f"/proc/{self.proxy.pid}/task/{self.proxy.pid}/children")
        return [int(pid) for pid in path.read_text().split()]

    def spooled(self) -> set[str]:
        """Files that have no name any more."""
        links = {link for worker in self.workers() for link in links_of(worker)}
        return {
            link
            for link in links
            if link.startswith((f"{self.directory}/client_body/", f"{self.directory}/proxy/"))
        }

    def reload(self) -> None:
        before = set(self.workers())
        self.proxy.signal(signal.SIGHUP)
        await_event(
            lambda: bool(set(self.workers()) - before) and all(map(is_ending, before)),
            "other workers",
        )


def is_ending(worker: int) -> bool:
    """It takes no new connections; it is there as long as it has requests."""
    title = Path(f"/proc/{worker}/cmdline")
    return not title.exists() or b"is shutting down" in title.read_bytes()


class NginxTest(FrontTest):
    def start_proxy(self, mode: Mode, directory: Path, server: Behind) -> Front:
        """The harness adds a plain port to the packaged server."""
        address = f"127.0.0.1:{server.port}" if server.file is None else f"unix:{server.file}"
        text = self.changed(PACKAGED.read_text())
        text = replaced(text, f"    server unix:{SOCKET};\n", f"    server {address};\n")
        text = replaced(text, "    listen 443 ssl http2;\n", "    listen unix:TLS ssl http2;\n")
        text = text.replace("unix:TLS", f"unix:{directory}/tls.sock")
        text = replaced(text, "    listen [::]:443 ssl http2;\n", "")
        text = replaced(text, CERTIFICATE, str(self.certificate))
        text = replaced(text, KEY, str(self.key))
        for name, value in (
            ("proxy_buffering", mode.buffering),
            ("proxy_request_buffering", mode.request_buffering),
        ):
            if value is not None:
                text = replaced(text, f"    {name} off;\n", f"    {name} {value};\n")
        before, inside = text.split("\nserver {\n")
        nginx = harness.Nginx(directory, inside.rstrip().removesuffix("}"), http_lines=(before,))
        self.addCleanup(self.check_nginx, nginx)
        return NginxFront(nginx, nginx.port, server, directory, self.certificate)

    def changed(self, packaged: str) -> str:
        """For a test that wants other limits."""
        return packaged

    def check_nginx(self, nginx: harness.Nginx) -> None:
        nginx.stop()
        self.assertNotRegex(nginx.output_text(), r"\[(alert|crit|emerg)\]")
