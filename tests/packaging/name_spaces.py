"""Runs a test script in name spaces of its own: a loopback that nobody shares, mounts that nobody sees.

Not a test itself.
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

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import harness  # noqa: E402

INSIDE = "PKC_TEST_INSIDE"  # set in the name spaces


def why_not(*, root: bool = False) -> str | None:
    """The reason why enter() cannot work here, or nothing. `root`: as the root that it is outside, too."""
    if shutil.which("unshare") is None:
        return "unshare is not installed"
    if root and os.geteuid() != 0:
        return "this needs root"
    command = [*_alone(root=root), "mount", "-t", "tmpfs", "tmpfs", "/var/cache"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return None if tried.returncode == 0 else f"no name spaces for this user: {tried.stderr.strip()}"


def enter(*, root: bool = False) -> None:
    """Runs the calling script again inside and exits as it did; returns when it is inside already."""
    if INSIDE in os.environ:
        _raise_loopback()
        return
    command = [*_alone(root=root), sys.executable, *sys.argv]
    env = {**os.environ, INSIDE: "yes"}
    sys.exit(subprocess.run(command, env=env, check=False).returncode)  # noqa: S603


def _alone(*, root: bool) -> list[str]:
    return ["unshare", *([] if root else ["--map-root-user"]), "--net", "--mount", "--"]


def _raise_loopback() -> None:
    """As `ip link set lo up`, which not every machine has."""
    set_flags, is_up = 0x8914, 0x1  # SIOCSIFFLAGS, IFF_UP
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_flags, struct.pack("16sH14x", b"lo", is_up))
