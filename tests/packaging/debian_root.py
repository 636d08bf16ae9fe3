"""A minimal Debian to install packages in: a copy on write of one that packaging/scripts/debian-root made.

Not a test itself. Wants root, and name spaces (name_spaces.enter): the mounts are nobody else's.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import booted_systemd  # noqa: E402
import harness  # noqa: E402

# $1 the mounted root. Runs as process 1 of its name space. What a booting Debian wants of its hardware is left out.
BOOT = r"""
set -eu
root=$1
for folder in dev sys; do mount --rbind "/$folder" "$root/$folder"; done
mount --bind /dev/null "$root/dev/console"
if mountpoint -q "$root/sys/fs/cgroup"; then umount -R "$root/sys/fs/cgroup"; fi
mount -t cgroup2 none "$root/sys/fs/cgroup"
mount -o remount,bind,ro "$root/sys"
mount -t proc proc "$root/proc"
mount --bind "$root/proc/sys" "$root/proc/sys"
mount -o remount,bind,ro "$root/proc/sys"
mount -t tmpfs -o mode=755 tmpfs "$root/run"

rm -rf "$root"/lib/systemd/system/*.target.wants "$root"/etc/systemd/system/*.target.wants
mkdir -p "$root/run/systemd/system/polykit-cache.service.d"
printf '[Service]\nStandardOutput=append:/run/server.log\n' >"$root/run/systemd/system/polykit-cache.service.d/log.conf"

cd "$root"
pivot_root . mnt
umount -l mnt
export container=pkc
exec /lib/systemd/systemd --system --unit=multi-user.target --show-status=0
"""


def overlay(test: harness.ServerTest, lower: str) -> Path:
    """Mounts a copy on write of the Debian `lower` in the test's directory, up to the test's end."""
    base, layers, root = (test.directory / name for name in ("lower", "layers", "root"))
    for folder in (base, layers, root):
        folder.mkdir()
    # Through a bind mount, as the options of an overlay cannot hold every path; one that nobody can write through, so that
    # whatever goes wrong with the test's directory does no harm to what lies behind it.
    mount(test, "--bind", "--options=ro", lower, str(base))
    mount(test, "-t", "tmpfs", "tmpfs", str(layers))
    (layers / "upper").mkdir()
    (layers / "work").mkdir()
    options = f"lowerdir={base},upperdir={layers}/upper,workdir={layers}/work"
    mount(test, "-t", "overlay", "overlay", "-o", options, str(root))
    return root


def mount(test: harness.ServerTest, *arguments: str) -> None:
    """Mounts up to the test's end. The last argument is the place."""
    subprocess.run(["mount", *arguments], check=True)  # noqa: S603
    # Lazy: at once out of the way of whoever removes the directory, even if somebody still uses it.
    command = ["umount", "--recursive", "--lazy", arguments[-1]]
    test.addCleanup(subprocess.run, command, check=True)


class Booted(booted_systemd.Machine):
    """The systemd of the mounted root, booted."""

    def __init__(self, directory: Path, root: Path) -> None:
        super().__init__(directory, ["sh", "-c", BOOT, "boot", str(root)], "multi-user.target")
