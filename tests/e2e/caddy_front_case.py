"""Caddy with the packaged configuration, with only addresses and paths replaced.

Not a test itself.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from front_case import NAME, PACKAGING, SOCKET, Behind, Front, FrontTest, Mode, links_of, replaced
from robustness_case import harness

PACKAGED = PACKAGING / "caddy/Caddyfile"


def caddy_binary() -> str:
    binary = shutil.which("caddy")
    if binary is None:
        raise unittest.SkipTest("caddy is not installed")
    return binary


def environment(directory: Path) -> dict[str, str]:
    """Caddy writes to no other place than this directory."""
    names = ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR")
    return harness.clean_environment(dict.fromkeys(names, str(directory)))


class Caddy(harness.Process):
    """A running Caddy; `config` has PORT where its plain port is to be, which somebody may take
    before Caddy does: then it is tried again."""

    def __init__(self, directory: Path, config: str) -> None:
        self.file, self.environment = directory / "Caddyfile", environment(directory)
        for attempt in range(10):
            self.port = harness.free_port()
            self.file.write_text(config.replace("PORT", str(self.port)))
            super().__init__(
                [caddy_binary(), "run", "--config", str(self.file), "--adapter", "caddyfile"],
                directory / "caddy.log",
                self.environment,
            )
            try:
                self.wait_until(self._accepts, "caddy start", harness.START_DEADLINE)
            except harness.ServerError:
                self.kill()
                if attempt == 9 or "in use" not in self.output_text():
                    raise
            else:
                return

    def _accepts(self) -> bool:
        return harness.listening_port(self.pid) == self.port

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            self.kill()


class CaddyFront(Front):
    proxy: Caddy

    def workers(self) -> list[int]:
        return [self.proxy.pid]

    def spooled(self) -> set[str]:
        """None: it could keep bodies in memory only."""
        mine = {link for link in links_of(self.proxy.pid) if link.startswith(str(self.directory))}
        return mine - {str(self.proxy.output)}

    def reload(self) -> None:
        """With a new header in its answers, as nothing is done where nothing has changed."""
        file = self.proxy.file
        number = file.read_text().count("X-Reloaded")
        file.write_text(
            file.read_text().replace("(site) {\n", f"(site) {{\n\theader X-Reloaded-{number} yes\n")
        )
        subprocess.run(  # noqa: S603
            [caddy_binary(), "reload", "--config", str(file), "--adapter", "caddyfile"],
            check=True,
            capture_output=True,
            env=self.proxy.environment,
        )
        if self.get("short").header(f"X-Reloaded-{number}") != "yes":
            raise AssertionError("the new configuration is not in use")


class CaddyTest(FrontTest):
    def start_proxy(self, mode: Mode, directory: Path, server: Behind) -> Front:
        """The packaged site twice: with TLS on a Unix socket, and on a plain port."""
        address = f"127.0.0.1:{server.port}" if server.file is None else f"unix/{server.file}"
        text = replaced(
            PACKAGED.read_text(),
            "\n{\n",
            f"\n{{\n\tadmin unix/{directory}/admin.sock\n\tauto_https off\n",
        )
        text = replaced(text, f"reverse_proxy unix/{SOCKET} {{", f"reverse_proxy {address} {{")
        text = replaced(text, f"\n{NAME} {{\n", "\n(site) {\n")
        text += f"""
http://:PORT {{
    bind 127.0.0.1
    import site
}}
https://{NAME} {{
    bind unix/{directory}/tls.sock
    tls {self.certificate} {self.key}
    import site
}}
"""
        caddy = Caddy(directory, text)
        self.addCleanup(self.check_caddy, caddy)
        return CaddyFront(caddy, caddy.port, server, directory, self.certificate)

    def check_caddy(self, caddy: Caddy) -> None:
        self.assertEqual(caddy.stop(), 0)
        self.assertNotIn("panic", caddy.output_text())


def validated(file: Path, directory: Path) -> subprocess.CompletedProcess[str]:
    """What Caddy says to a file as it is."""
    return subprocess.run(  # noqa: S603
        [caddy_binary(), "validate", "--config", str(file), "--adapter", "caddyfile"],
        capture_output=True,
        text=True,
        check=False,
        env={**environment(directory), "PATH": os.environ["PATH"]},
    )
