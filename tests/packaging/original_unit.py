"""The start line of the original server's systemd unit, word for word, run with our binary.

It names a path, a directory, every address and port 8080. So the test runs in name spaces of its own, where
/usr/local/bin and /var/cache are its, and the network is a loopback that nobody shares.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import socket
import struct
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import artifact
import harness

COMMAND = (
    "/usr/local/bin/polykit-cache",
    *("--storage-dir", "/var/cache/polykit"),
    *("--bind", "0.0.0.0"),  # noqa: S104: nobody else is in this network
    *("--port", "8080"),
    *("--log-level", "info"),
)
INSIDE = "PKC_TEST_INSIDE"  # set in the name spaces


class Unit(harness.CacheServer):
    """The process that the unit would start; the parent class would add arguments of its own."""

    def __init__(self, log: Path) -> None:
        self.storage, self.original = Path("/var/cache/polykit"), False
        harness.Process.__init__(self, COMMAND, log, harness.clean_environment())
        self.wait_until(self._find_port, "start", harness.START_DEADLINE)


class OriginalUnit(harness.ServerTest):
    def test_its_start_line_serves(self) -> None:
        server = Unit(self.directory / "server.log")
        self.addCleanup(server.kill)
        key = artifact.key_for("original unit")
        body = artifact.build(key, {"stdout.txt": b"hello"})

        stored = server.put(key, body)
        read = server.get(key)

        self.assertEqual(server.port, 8080)
        self.assertEqual((stored.status, read.status, read.body), (201, 200, body))
        self.assertEqual(server.blob_path(key).read_bytes(), body)
        self.assertEqual(server.stop(), 0)


def enter() -> None:
    """Runs this script again in name spaces of its own, as a root that is none outside; exits as it did."""
    if shutil.which("unshare") is None:
        harness.skip("unshare is not installed")
    alone = ["unshare", "--map-root-user", "--net", "--mount", "--"]
    tried = subprocess.run(  # noqa: S603
        [*alone, "mount", "-t", "tmpfs", "tmpfs", "/var/cache"],
        capture_output=True,
        text=True,
        check=False,
    )
    if tried.returncode != 0:
        harness.skip(f"no name spaces for this user: {tried.stderr.strip()}")
    env = {**os.environ, INSIDE: "yes"}
    sys.exit(subprocess.run([*alone, sys.executable, __file__], env=env, check=False).returncode)  # noqa: S603


def furnish() -> None:
    """/usr/local/bin with our binary alone, an empty /var/cache, and the loopback up."""
    binary = harness.environment_path("PKC_SERVER")
    if binary is None:
        raise harness.ServerError("PKC_SERVER does not name the server's binary")
    program = binary.read_bytes()
    for folder in ("/var/cache", "/usr/local/bin"):
        subprocess.run(["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder], check=True)
    installed = Path(COMMAND[0])
    installed.write_bytes(program)
    installed.chmod(0o755)
    raise_loopback()


def raise_loopback() -> None:
    """As `ip link set lo up`, which not every machine has."""
    set_flags, is_up = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", is_up))


if __name__ == "__main__":
    if INSIDE not in os.environ:
        enter()
    furnish()
    harness.main()
