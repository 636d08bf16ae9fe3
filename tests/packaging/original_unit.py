"""The start line of the original server's systemd unit, word for word, run with our binary.

It names a path, a directory, every address and port 8080. So the test runs in name spaces of its own,
where /usr/local/bin and /var/cache are its, and the network is a loopback that nobody shares.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402

COMMAND = (
    "/usr/local/bin/polykit-cache",
    *("--storage-dir", "/var/cache/polykit"),
    *("--bind", "0.0.0.0"),  # noqa: S104: nobody else is in this network
    *("--port", "8080"),
    *("--log-level", "info"),
)


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


def furnish() -> None:
    """/usr/local/bin with our binary alone, and an empty /var/cache."""
    binary = harness.environment_path("PKC_SERVER")
    if binary is None:
        raise harness.ServerError("PKC_SERVER does not name the server's binary")
    program = binary.read_bytes()
    for folder in ("/var/cache", "/usr/local/bin"):
        mount = ["mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", folder]
        subprocess.run(mount, check=True)  # noqa: S603
    installed = Path(COMMAND[0])
    installed.write_bytes(program)
    installed.chmod(0o755)


if __name__ == "__main__":
    if reason := name_spaces.why_not():
        harness.skip(reason)
    name_spaces.enter()
    furnish()
    harness.main()
