"""A tinyproxy with generated configuration, and what its log says of it. Not a test itself."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

import harness


def why_not() -> str | None:
    """The reason why there can be none, or nothing."""
    return None if program() else "tinyproxy is not installed (Debian: tinyproxy-bin)"


def program() -> str | None:
    return shutil.which("tinyproxy", path=f"{os.environ.get('PATH', '')}:/usr/sbin")


class Tinyproxy(harness.Process):
    """On a port of the loopback. `credentials`: "user:password", without which nobody may use it.
    `tunnels_to`: the only port that tunnels may lead to; nothing: to every one. `port` is for a
    successor on the port of one that has ended."""

    def __init__(
        self,
        directory: Path,
        *,
        credentials: str | None = None,
        tunnels_to: int | None = None,
        port: int = 0,
    ) -> None:
        binary = program()
        if binary is None:
            raise harness.ServerError("tinyproxy is not installed")
        directory.mkdir(parents=True, exist_ok=True)
        self.port, self.log = port or harness.free_port(), directory / "requests.log"
        lines = [f"Port {self.port}", "Listen 127.0.0.1", "Timeout 600", "MaxClients 50"]
        lines += [f'LogFile "{self.log}"', "LogLevel Connect"]
        if credentials is not None:
            lines.append(f"BasicAuth {credentials.replace(':', ' ')}")
        if tunnels_to is not None:
            lines.append(f"ConnectPort {tunnels_to}")
        config = directory / "tinyproxy.conf"
        config.write_text("\n".join(lines) + "\n")
        command = [binary, "-d", "-c", str(config)]
        super().__init__(command, directory / "output.log", harness.clean_environment())
        self.wait_until(
            lambda: harness.listening_port(self.pid) == self.port,
            "tinyproxy start",
            harness.START_DEADLINE,
        )

    def url(self, credentials: str = "") -> str:
        return f"http://{credentials}{'@' if credentials else ''}127.0.0.1:{self.port}"

    def requests(self) -> list[tuple[str, str]]:
        """Method and target of all that it was asked for."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return re.findall(r"Request \(file descriptor \d+\): (\S+) (\S+) HTTP/", text)

    def tunnels(self) -> list[str]:
        return [target for method, target in self.requests() if method == "CONNECT"]
