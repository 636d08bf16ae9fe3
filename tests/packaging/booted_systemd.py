"""A systemd of the test's own, as process 1 of a name space, with our units and nothing else to run.

Not a test itself. Wants root. The machine's own systemd, if it has one, is not asked and not touched:
the new one has a control group, a /run, an /etc and a process table to itself, and cannot write to
the kernel's settings.
"""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import harness  # noqa: E402
import name_spaces  # noqa: E402

UNITS = Path(__file__).resolve().parents[2] / "systemd"
SYSTEMD = Path("/lib/systemd/systemd")

# $1 the test's directory, $2 the binary, $3 the units, or nothing. Runs as process 1 of its name space.
BOOT = r"""
set -eu
mkdir "$1/etc"
mount -t tmpfs tmpfs "$1/etc"
mkdir "$1/etc/upper" "$1/etc/work"
mount -t overlay overlay -o "lowerdir=/etc,upperdir=$1/etc/upper,workdir=$1/etc/work" /etc
for folder in /run /var/cache /usr/local; do mount -t tmpfs -o mode=755 tmpfs "$folder"; done
if mountpoint -q /sys/fs/cgroup; then umount -R /sys/fs/cgroup; fi
mount -t cgroup2 none /sys/fs/cgroup
mount -o remount,bind,ro /sys
mount --bind /proc/sys /proc/sys
mount -o remount,bind,ro /proc/sys
mount --bind /dev/null /dev/console

rm -rf /etc/systemd/system
mkdir -p /etc/systemd/system /usr/local/bin /run/units/polykit-cache.service.d
cp "$2" /usr/local/bin/polykit-cache
if [ -n "$3" ]; then # as an installer does it
  mkdir /etc/polykit-cache
  sed 's|/usr/bin/polykit-cache|/usr/local/bin/polykit-cache|' "$3/polykit-cache.service" >/run/units/polykit-cache.service
  cp "$3/polykit-cache.socket" /run/units/
  echo 'storage_dir: /var/cache/polykit' >/etc/polykit-cache/polykit-cache.yaml
  systemd-sysusers "$3/polykit-cache.sysusers"
  systemd-tmpfiles --create "$3/polykit-cache.tmpfiles"
fi

# There is no journal here.
printf '[Service]\nStandardOutput=append:/run/server.log\n' >/run/units/polykit-cache.service.d/log.conf
for target in sysinit basic shutdown network-online sockets multi-user umount final; do
  printf '[Unit]\nDefaultDependencies=no\n' >"/run/units/$target.target"
done
export container=pkc SYSTEMD_UNIT_PATH=/run/units:/etc/systemd/system:/usr/local/lib/systemd/system
exec /lib/systemd/systemd --system --unit=sysinit.target --show-status=0
"""


def why_not(*, own: bool = True) -> str | None:
    """The reason why systemd cannot be started here, or nothing. `own`: this machine's."""
    if reason := name_spaces.why_not(root=True):
        return reason
    programs = ["nsenter", "pivot_root"]
    if own:
        programs += [str(SYSTEMD), "systemctl", "systemd-sysusers", "systemd-tmpfiles"]
    for program in programs:
        if shutil.which(program) is None:
            return f"{program} is not installed"
    command = ["unshare", "--mount", "--", "mount", "-t", "cgroup2", "none", "/sys/fs/cgroup"]
    tried = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return None if tried.returncode == 0 else f"no control groups: {tried.stderr.strip()}"


class Machine:
    """One booted systemd. It shares the network of the test, which is in a name space already.

    `boot` is a command that ends as systemd, in name spaces that are made for it; `target` is what
    await_boot() waits for.
    """

    def __init__(self, directory: Path, boot: Sequence[str], target: str = "sysinit.target") -> None:
        groups = directory / "groups"
        groups.mkdir()
        subprocess.run(["mount", "-t", "cgroup2", "none", str(groups)], check=True)  # noqa: S603
        self._groups, self._group = groups, groups / f"pkc-test-{os.getpid()}-{id(self)}"
        self._group.mkdir()
        self._target = target
        self._init = 0  # its process id, when it has one
        join = f'echo $$ >"{self._group}/cgroup.procs"; exec "$@"'
        alone = ["unshare", "--cgroup", "--pid", "--fork", "--kill-child", "--mount", "--mount-proc"]
        alone += ["--uts", "--ipc", "--"]
        self._outer = harness.Process(
            ["sh", "-c", join, "join", *alone, *boot], directory / "boot.log", os.environ
        )

    def await_boot(self) -> None:
        self._outer.wait_until(self._answers, "boot of systemd", harness.START_DEADLINE)

    def _answers(self) -> bool:
        children = Path(f"/proc/{self._outer.pid}/task/{self._outer.pid}/children").read_text()
        if not children:
            return False
        self._init = int(children.split()[0])
        name = Path(f"/proc/{self._init}/comm").read_text().strip()
        return name == "systemd" and self.run("systemctl", "is-active", self._target)[0] == 0

    def run(self, *command: str, timeout: float = harness.IO_TIMEOUT) -> tuple[int, str]:
        """Runs a command beside it; status and output."""
        inside = ["nsenter", f"--target={self._init}", "--mount", "--pid", "--cgroup", "--"]
        done = subprocess.run(  # noqa: S603
            [*inside, *command],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            check=False,
        )
        return done.returncode, done.stdout

    def path(self, inside: str) -> Path:
        """The file that has this path for systemd."""
        return Path(f"/proc/{self._init}/root{inside}")

    def log(self) -> str:
        """What the server and the boot said."""
        text = self._outer.output_text()
        with contextlib.suppress(OSError):
            text += self.path("/run/server.log").read_text()
        return text

    def stop(self) -> None:
        """Kills everything in it, which ends with its process 1."""
        init = os.pidfd_open(self._init) if self._init else None
        self._outer.kill()  # --kill-child does the rest
        if init is not None:
            select.select([init], [], [], harness.START_DEADLINE)
            os.close(init)
        groups = [path for path in self._group.rglob("*") if path.is_dir()]
        for group in [*sorted(groups, reverse=True), self._group]:
            group.rmdir()
        subprocess.run(["umount", str(self._groups)], check=True)  # noqa: S603


class Booted(Machine):
    """This machine's systemd, and the binary as /usr/local/bin/polykit-cache.

    With our units, as an installer leaves them; or, without `units`, with nothing else of ours.
    """

    def __init__(self, directory: Path, binary: Path, units: Path | None = UNITS) -> None:
        boot = ["sh", "-c", BOOT, "boot", str(directory), str(binary), str(units or "")]
        super().__init__(directory, boot)
