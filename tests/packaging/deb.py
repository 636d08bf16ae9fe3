"""The Debian package of `./dev package`: what is in it, and its life in a Debian without systemd.

Environment: PKC_DEB is the package, PKC_DEBIAN_ROOT a minimal Debian of which a copy is used.
"""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "support"))

import debian_root  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402
from deb_case import DATA, NEXT_VERSION, SETTINGS, DebTest, run  # noqa: E402


class Contents(DebTest):
    def setUp(self) -> None:
        super().setUp()
        self.tree = self.directory / "tree"
        run("dpkg-deb", "--raw-extract", self.package, self.tree)

    def field(self, name: str) -> str:
        return run("dpkg-deb", "--field", self.package, name).strip()

    def entries(self, kind: str) -> list[tarfile.TarInfo]:
        tar = subprocess.run(  # noqa: S603
            ["dpkg-deb", f"--{kind}-tarfile", str(self.package)], stdout=subprocess.PIPE, check=True
        ).stdout
        with tarfile.open(fileobj=io.BytesIO(tar)) as archive:
            return archive.getmembers()

    def test_lintian_finds_no_fault_with_it(self) -> None:
        if shutil.which("lintian") is None:
            self.skipTest("lintian is not installed")

        told = run("lintian", "--allow-root", "--fail-on", "error,warning", self.package)

        self.assertEqual(told, "")

    def test_no_entry_tells_who_packed_it_and_when(self) -> None:
        for kind in ("fsys", "ctrl"):
            entries = self.entries(kind)
            self.assertEqual({(e.uid, e.gid) for e in entries}, {(0, 0)})
            self.assertEqual(len({entry.mtime for entry in entries}), 1)
            names = [entry.name for entry in entries]
            self.assertEqual(names if kind == "ctrl" else sorted(names), names)
            self.assertLessEqual({e.mode & 0o7777 for e in entries}, {0o644, 0o755})

    def test_its_program_is_the_one_that_all_tests_run(self) -> None:
        tested = harness.environment_path("PKC_SERVER")

        self.assertIsNotNone(tested)
        self.assertEqual((self.tree / "usr/bin/polykit-cache").read_bytes(), tested.read_bytes())

    def test_it_needs_glibc_and_who_makes_the_user(self) -> None:
        needed = re.sub(r" \(>= [0-9.]+\)", "", self.field("Depends"))

        self.assertEqual(set(needed.split(", ")), {"libc6", "adduser"})
        self.assertRegex(self.field("Depends"), r"libc6 \(>= 2\.\d+\)")
        self.assertEqual(self.field("Architecture"), run("dpkg", "--print-architecture").strip())
        version = run(self.tree / "usr/bin/polykit-cache", "--version").split()[1]
        self.assertEqual(self.field("Version"), version)

    def test_the_settings_are_the_administrators_file(self) -> None:
        self.assertEqual((self.tree / "DEBIAN/conffiles").read_text(), f"/{SETTINGS}\n")
        program = self.tree / "usr/bin/polykit-cache"

        shown = run(program, "--config", self.tree / SETTINGS, "config", "show")

        self.assertRegex(shown, rf"(?m)^storage-dir +/{DATA} +file ")

    def test_every_linked_library_has_its_licence(self) -> None:
        text = (self.tree / "usr/share/doc/polykit-cache/copyright").read_text()
        parts = re.findall(r"(?m)^--- (\S+) \S+$", text)

        self.assertLessEqual({"cpp-httplib", "gcc-12-base", "libssl-dev", "libzstd-dev"}, set(parts))
        self.assertIn("GCC RUNTIME LIBRARY EXCEPTION", text)
        self.assertIn("/usr/share/common-licenses/Apache-2.0", text)

    def test_the_manual_pages_are_clean(self) -> None:
        if shutil.which("man") is None or shutil.which("mandoc") is None:
            self.skipTest("man or mandoc is not installed")
        for page in ("man1/polykit-cache.1.gz", "man5/polykit-cache.yaml.5.gz"):
            file = self.tree / "usr/share/man" / page
            self.assertEqual(file.read_bytes()[4:8], bytes(4))  # gzip's own time
            plain = self.directory / file.stem
            plain.write_bytes(run_bytes("gzip", "--decompress", "--stdout", str(file)))
            # In a terminal's width, and to a file, as a pager would be a program more.
            told = subprocess.run(  # noqa: S603
                ["man", "--warnings", "-E", "UTF-8", "-l", "-Tutf8", "-Z", str(plain)],
                env={**os.environ, "MANWIDTH": "80", "LC_ALL": "C.UTF-8"},
                capture_output=True,
                text=True,
                check=True,
            )
            self.assertEqual(told.stderr, "")
            self.assertEqual(run("mandoc", "-T", "lint", "-W", "warning", plain), "")

    def test_every_setting_is_in_the_manual(self) -> None:
        page = run_bytes("gzip", "-dc", str(self.tree / "usr/share/man/man5/polykit-cache.yaml.5.gz"))
        settings = re.findall(r"(?m)^#?([a-z_]+): ", (self.tree / SETTINGS).read_text())

        self.assertGreater(len(settings), 20)
        told = re.findall(r"(?m)^\.BI ([a-z_]+): ", page.decode())
        self.assertEqual(told, settings)

    def test_the_completions_are_those_of_the_program(self) -> None:
        program = self.tree / "usr/bin/polykit-cache"
        for shell, name in (
            ("bash", "bash-completion/completions/polykit-cache"),
            ("zsh", "zsh/vendor-completions/_polykit-cache"),
            ("fish", "fish/vendor_completions.d/polykit-cache.fish"),
        ):
            installed = (self.tree / "usr/share" / name).read_text()
            self.assertEqual(installed, run(program, "completion", shell))


def run_bytes(*command: str) -> bytes:
    return subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603


class InstalledServer(harness.CacheServer):
    """The server as the installed unit starts it: its line, its user, its directory."""

    def __init__(self, root: Path, log: Path) -> None:
        unit = (root / "lib/systemd/system/polykit-cache.service").read_text()
        line = re.search(r"(?m)^ExecStart=(.*)$", unit)
        if line is None:
            raise harness.ServerError("the unit has no ExecStart")
        self.storage, self.original = root / DATA, False
        chroot = ["chroot", "--userspec=polykit:polykit", str(root)]
        environment = {"PATH": os.environ["PATH"]}
        harness.Process.__init__(self, [*chroot, *line[1].split()], log, environment)
        self.wait_until(self._find_port, "start", harness.START_DEADLINE)


class BareDebian(DebTest):
    """A Debian with nothing installed but what every Debian has; no systemd, no network."""

    def setUp(self) -> None:
        super().setUp()
        if SKIPPED_ROOT or name_spaces.INSIDE not in os.environ:
            self.skipTest(SKIPPED_ROOT)
        self.root = debian_root.overlay(self, os.environ["PKC_DEBIAN_ROOT"])
        debian_root.mount(self, "-t", "proc", "proc", str(self.root / "proc"))
        shutil.copy(self.package, self.root / "opt/first.deb")
        self.settings = self.root / SETTINGS

    def inside(self, *command: str) -> str:
        return run("chroot", self.root, *command)

    def dpkg(self, *arguments: str, **environment: str) -> str:
        set_them = [f"{name}={value}" for name, value in environment.items()]
        return self.inside("env", "DEBIAN_FRONTEND=noninteractive", *set_them, "dpkg", *arguments)

    def serve(self) -> InstalledServer:
        server = InstalledServer(self.root, self.directory / "server.log")
        self.addCleanup(server.kill)
        return server

    def store(self) -> Path:
        """Stores the artifact with the installed server; its file."""
        server = self.serve()
        self.assertEqual(server.put(self.key, self.body).status, 201)
        self.assertEqual(server.stop(), 0)
        return server.blob_path(self.key)

    def leftovers(self) -> str:
        """Whatever has our name, but for artifacts and what is a log."""
        find = ("find", "/usr", "/etc", "/var", "/run", "-xdev", "-name", "*polykit*")
        return self.inside(*find, "-not", "-path", "/var/log/*", "-not", "-path", f"/{DATA}*")

    def test_install_serve_upgrade_remove_install_purge(self) -> None:
        self.dpkg("--install", "/opt/first.deb")

        self.assertEqual(self.inside("stat", "-c", "%U:%G %a", f"/{DATA}"), "polykit:polykit 750\n")
        entry = self.inside("getent", "passwd", "polykit").strip().split(":")
        self.assertLess(int(entry[2]), 1000)
        self.assertEqual(entry[5:], [f"/{DATA}", "/usr/sbin/nologin"])
        server = self.serve()
        self.assertEqual(server.put(self.key, self.body).status, 201)
        self.assertEqual(server.get(self.key).body, self.body)
        self.assertEqual(server.stop(), 0)
        blob = server.blob_path(self.key)

        self.settings.write_text(f"storage_dir: /{DATA}\nmax_size: 5MiB\n")
        self.dpkg("--install", self.next_package(self.root))
        self.assertIn("max_size: 5MiB", self.settings.read_text())
        self.assertEqual(self.serve().get(self.key).body, self.body)
        version = self.inside("dpkg-query", "--show", "--showformat=${Version}", "polykit-cache")
        self.assertEqual(version, NEXT_VERSION)

        self.dpkg("--remove", "polykit-cache")
        self.assertFalse((self.root / "usr/bin/polykit-cache").exists())
        self.assertIn("max_size: 5MiB", self.settings.read_text())
        self.assertEqual(blob.read_bytes(), self.body)

        self.dpkg("--install", "/opt/next.deb")
        self.assertIn("max_size: 5MiB", self.settings.read_text())

        said = self.dpkg("--purge", "polykit-cache")
        self.assertIn(f"rm -rf /{DATA}", said)
        self.assertFalse(self.settings.parent.exists())
        self.assertEqual(blob.read_bytes(), self.body)
        self.assertEqual(self.leftovers(), "")
        # Its owner stays as long as it does.
        self.assertEqual(self.inside("stat", "-c", "%U", f"/{DATA}"), "polykit\n")

    def test_purge_deletes_artifacts_when_asked(self) -> None:
        self.dpkg("--install", "/opt/first.deb")
        self.store()

        self.dpkg("--purge", "polykit-cache", POLYKIT_PURGE_DATA="yes")

        self.assertFalse((self.root / DATA).exists())
        for line in ((self.root / name).read_text() for name in ("etc/passwd", "etc/group")):
            self.assertNotIn("polykit", line)
        self.assertEqual(self.leftovers(), "")

    def test_purge_deletes_artifacts_on_another_disk(self) -> None:
        self.dpkg("--install", "/opt/first.deb")
        disk = self.root / "srv/disk"
        (self.root / DATA).rename(disk)
        (self.root / DATA).symlink_to("/srv/disk")
        self.store()
        self.assertTrue(harness.blob_path(disk, self.key).is_file())

        self.dpkg("--purge", "polykit-cache", POLYKIT_PURGE_DATA="yes")

        self.assertEqual(list(disk.iterdir()), [])
        self.assertFalse((self.root / DATA).is_symlink())

    def test_a_user_who_is_there_is_taken(self) -> None:
        self.inside("useradd", "--uid", "4321", "--user-group", "polykit")

        self.dpkg("--install", "/opt/first.deb")

        self.assertEqual(self.inside("stat", "-c", "%u %a", f"/{DATA}"), "4321 750\n")
        self.store()

    def test_it_takes_over_from_the_tarball_without_a_question(self) -> None:
        package = harness.environment_path("PKC_PACKAGE")
        if package is None:
            self.skipTest("PKC_PACKAGE is not set")
        run("tar", "--extract", f"--file={package}", f"--directory={self.root}/opt")
        folder = package.name.removesuffix(".tar.gz")
        self.inside(f"/opt/{folder}/install.sh")

        said = self.dpkg("--install", "/opt/first.deb")

        self.assertNotIn("Configuration file", said)
        self.assertIn("/usr/local/lib/systemd/system/polykit-cache.service counts", said)
        self.inside(f"/opt/{folder}/install.sh", "--uninstall")
        self.assertNotIn("counts", self.dpkg("--install", "/opt/first.deb"))


SKIPPED_ROOT: str | None = None

if __name__ == "__main__":
    if "PKC_DEB" not in os.environ:
        harness.skip("no Debian package: ./dev test and ./dev package --test make one")
    if "PKC_DEBIAN_ROOT" not in os.environ:
        SKIPPED_ROOT = "no bare Debian: PKC_DEBIAN_ROOT is not set"
    elif reason := name_spaces.why_not(root=True):
        SKIPPED_ROOT = reason
    else:
        name_spaces.enter(root=True)
    harness.main()
