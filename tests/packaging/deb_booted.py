"""The Debian package in a Debian whose systemd has booted: the service lives through each step.

Environment: PKC_DEB is the package, PKC_DEBIAN_SYSTEMD_ROOT a minimal Debian with systemd of which a copy
is used.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import booted_systemd  # noqa: E402
import debian_root  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402
from deb_case import DATA, SETTINGS, DebTest  # noqa: E402

SERVICE = "polykit-cache.service"
UNIT = f"lib/systemd/system/{SERVICE}"
DPKG_TIMEOUT = 300.0  # seconds; a restart may wait for requests in flight


class Client(harness.CacheServer):
    """The requests of the harness, to the server that the package started."""

    def __init__(self) -> None:
        self.port = 8080


class Booted(DebTest):
    def setUp(self) -> None:
        super().setUp()
        self.root = debian_root.overlay(self, os.environ["PKC_DEBIAN_SYSTEMD_ROOT"])
        shutil.copy(self.package, self.root / "opt/first.deb")
        self.systemd = debian_root.Booted(self.directory, self.root)
        self.addCleanup(self.systemd.stop)
        self.systemd.await_boot()
        self.client = Client()

    def inside(self, *command: str) -> str:
        status, output = self.systemd.run(*command, timeout=DPKG_TIMEOUT)
        self.assertEqual(status, 0, f"{command}: {output}\n{self.systemd.log()}")
        return output.strip()

    def dpkg(self, *arguments: str) -> str:
        return self.inside("env", "DEBIAN_FRONTEND=noninteractive", "dpkg", *arguments)

    def shown(self, name: str) -> str:
        return self.inside("systemctl", "show", "--property", name, "--value", SERVICE)

    def state(self) -> tuple[str, str]:
        return self.shown("ActiveState"), self.shown("UnitFileState")

    def program_of(self, pid: str) -> str:
        """The file that a process runs; it says so when that has been replaced."""
        return self.inside("readlink", f"/proc/{pid}/exe")

    def install(self) -> None:
        self.dpkg("--install", "/opt/first.deb")
        self.assertEqual(self.state(), ("active", "enabled"), self.systemd.log())
        self.assertEqual(self.client.put(self.key, self.body).status, 201, self.systemd.log())

    def assert_serves(self) -> None:
        self.assertEqual(self.client.get(self.key).body, self.body, self.systemd.log())

    @contextlib.contextmanager
    def requests_without_end(self) -> Iterator[list[str]]:
        """Somebody who downloads all the time, each time on a new connection; what went wrong."""
        faults: list[str] = []
        counted = threading.Semaphore(0)
        ended = threading.Event()

        def download() -> None:
            while not ended.is_set():
                try:
                    answer = self.client.get(self.key)
                    if (answer.status, answer.body) != (200, self.body):
                        faults.append(f"{answer.status}")
                except OSError as error:
                    faults.append(repr(error))
                counted.release()

        thread = threading.Thread(target=download)
        thread.start()
        try:
            self.assertTrue(counted.acquire(timeout=harness.IO_TIMEOUT))
            yield faults
        finally:
            ended.set()
            thread.join()

    def test_a_life(self) -> None:
        self.install()
        self.assert_serves()
        settings = self.systemd.path(f"/{SETTINGS}")
        settings.write_text(f"storage_dir: /{DATA}\nmax_size: 5MiB\n")

        self.dpkg("--remove", "polykit-cache")
        self.assertEqual(self.shown("ActiveState"), "inactive")
        self.assertIn("max_size: 5MiB", settings.read_text())
        with self.assertRaises(ConnectionRefusedError):
            self.client.get(self.key)

        self.dpkg("--install", "/opt/first.deb")
        self.assertEqual(self.state(), ("active", "enabled"))
        self.assert_serves()

        self.dpkg("--purge", "polykit-cache")
        self.assertEqual(self.shown("LoadState"), "not-found")
        self.assertFalse(settings.exists())
        wanted = self.inside("find", "/etc", "/var/lib/systemd", "-name", "*polykit*")
        self.assertEqual(wanted, "")
        blob = harness.blob_path(self.systemd.path(f"/{DATA}"), self.key)
        self.assertEqual(blob.read_bytes(), self.body)

    def test_an_upgrade_is_not_noticed(self) -> None:
        self.install()
        self.systemd.path(f"/{SETTINGS}").write_text(f"storage_dir: /{DATA}\nmax_size: 5MiB\n")
        before = self.shown("MainPID")
        following = self.next_package(self.root)

        with self.requests_without_end() as faults:
            self.dpkg("--install", following)

        self.assertEqual(faults, [], self.systemd.log())
        after = self.shown("MainPID")
        self.assertNotEqual(after, before)
        self.assertEqual(self.program_of(after), "/usr/bin/polykit-cache")
        self.assertEqual((*self.state(), self.shown("NRestarts")), ("active", "enabled", "0"))
        self.assertEqual(self.shown("NeedDaemonReload"), "no")
        self.assertIn("took over from a predecessor", self.systemd.log())
        self.assertIn("5MiB", self.systemd.path(f"/{SETTINGS}").read_text())
        self.assert_serves()

    def test_a_new_unit_is_in_force_after_an_upgrade(self) -> None:
        self.install()
        before = self.shown("MainPID")
        edit = (UNIT, "LimitNOFILE=65536", "LimitNOFILE=8192")

        self.dpkg("--install", self.next_package(self.root, edit))

        after = self.shown("MainPID")
        self.assertNotEqual(after, before)
        self.assertRegex(self.inside("cat", f"/proc/{after}/limits"), r"Max open files +8192 ")
        self.assert_serves()

    def test_a_version_that_cannot_start_is_told_and_the_old_one_serves(self) -> None:
        self.install()
        before = self.shown("MainPID")
        self.systemd.path(f"/{SETTINGS}").write_text("prot: 1\n")
        following = self.next_package(self.root)

        with self.requests_without_end() as faults:
            status, output = self.systemd.run("dpkg", "--install", following, timeout=DPKG_TIMEOUT)

        self.assertEqual(status, 0, output)
        self.assertIn("the old version serves on", output)
        self.assertIn('unknown setting "prot"', output)
        self.assertEqual(self.shown("MainPID"), before)
        self.assertEqual(faults, [], self.systemd.log())

    def test_what_the_administrator_stopped_stays_stopped(self) -> None:
        self.install()
        self.inside("systemctl", "stop", SERVICE)
        self.dpkg("--install", self.next_package(self.root))
        self.assertEqual(self.state(), ("inactive", "enabled"))

        self.inside("systemctl", "disable", SERVICE)
        self.dpkg("--install", "/opt/next.deb")
        self.assertEqual(self.state(), ("inactive", "disabled"))

        self.dpkg("--remove", "polykit-cache")
        self.dpkg("--install", "/opt/first.deb")
        self.assertEqual(self.state(), ("inactive", "disabled"))

    def test_the_socket_serves_through_an_upgrade(self) -> None:
        self.install()
        self.inside("systemctl", "disable", "--now", SERVICE)
        self.inside("systemctl", "enable", "--now", "polykit-cache.socket")
        self.assert_serves()
        before = self.shown("MainPID")
        following = self.next_package(self.root)

        with self.requests_without_end() as faults:
            self.dpkg("--install", following)

        self.assertEqual(faults, [], self.systemd.log())
        self.assertNotEqual(self.shown("MainPID"), before)
        self.assertEqual(self.program_of(self.shown("MainPID")), "/usr/bin/polykit-cache")
        self.assertEqual(self.inside("systemctl", "is-enabled", "polykit-cache.socket"), "enabled")

        self.dpkg("--remove", "polykit-cache")
        socket = self.inside("systemctl", "show", "--property=ActiveState", "polykit-cache.socket")
        self.assertEqual(socket, "ActiveState=inactive")

    def test_the_policy_of_the_machine_is_kept(self) -> None:
        policy = self.systemd.path("/usr/sbin/policy-rc.d")
        policy.write_text("#!/bin/sh\nexit 101\n")
        policy.chmod(0o755)

        self.dpkg("--install", "/opt/first.deb")
        self.assertEqual(self.state(), ("inactive", "enabled"))

        self.inside("systemctl", "start", SERVICE)
        before = self.shown("MainPID")
        edit = (UNIT, "LimitNOFILE=65536", "LimitNOFILE=8192")
        self.dpkg("--install", self.next_package(self.root))
        self.assertEqual(self.shown("MainPID"), before)
        shutil.rmtree(self.directory / "next")
        self.dpkg("--install", self.next_package(self.root, edit))
        self.assertEqual(self.shown("MainPID"), before)


if __name__ == "__main__":
    if "PKC_DEB" not in os.environ:
        harness.skip("no Debian package: ./dev test and ./dev package --test make one")
    if "PKC_DEBIAN_SYSTEMD_ROOT" not in os.environ:
        harness.skip("no bare Debian with systemd: PKC_DEBIAN_SYSTEMD_ROOT is not set")
    if name_spaces.INSIDE not in os.environ and (reason := booted_systemd.why_not(own=False)):
        harness.skip(reason)
    name_spaces.enter(root=True)
    harness.main()
