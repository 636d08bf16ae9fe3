"""What the tests of the Debian package share.

Not a test itself. Environment: PKC_DEB is the package.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import artifact  # noqa: E402
import harness  # noqa: E402

SETTINGS = "etc/polykit-cache/polykit-cache.yaml"
DATA = "var/cache/polykit"
NEXT_VERSION = "999.0"


def run(*command: str | Path) -> str:
    """What the command printed; a failure of it is an error."""
    done = subprocess.run(  # noqa: S603
        [str(word) for word in command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        timeout=harness.IO_TIMEOUT,
        check=False,
    )
    if done.returncode != 0:
        raise AssertionError(f"{command}: {done.returncode}: {done.stdout}")
    return done.stdout


class DebTest(harness.ServerTest):
    """The package, and an artifact to store."""

    def setUp(self) -> None:
        super().setUp()
        package = harness.environment_path("PKC_DEB")
        assert package is not None  # the script was skipped otherwise
        self.package = package
        self.key = artifact.key_for("debian package")
        self.body = artifact.build(self.key, {"stdout.txt": b"hello"})

    def next_package(self, root: Path, *edits: tuple[str, str, str]) -> str:
        """Puts the package with a higher version into `root`; its path there. An edit is a file in the
        package, what to replace in it and by what."""
        tree = self.directory / "next"
        run("dpkg-deb", "--raw-extract", self.package, tree)
        control = tree / "DEBIAN/control"
        version = run("dpkg-deb", "--field", self.package, "Version").strip()
        old = f"Version: {version}\n"
        for name, before, after in (("DEBIAN/control", old, f"Version: {NEXT_VERSION}\n"), *edits):
            file = tree / name
            text = file.read_text()
            self.assertIn(before, text)
            file.write_text(text.replace(before, after))
        self.assertIn(NEXT_VERSION, control.read_text())
        run("dpkg-deb", "--root-owner-group", "-Znone", "--build", tree, root / "opt/next.deb")
        return "/opt/next.deb"
