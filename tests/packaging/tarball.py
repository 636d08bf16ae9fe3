"""The tarball of `./dev package`, used: what is in it, and its install.sh in a bare Debian.

Environment: PKC_PACKAGE is the tarball, PKC_DEBIAN_ROOT a minimal Debian of which a copy is used.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import stat
import subprocess
import sys
import tarfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import artifact  # noqa: E402
import debian_root  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402

GLIBC_MAX = (2, 36)  # Debian 12


class PackageTest(harness.ServerTest):
    """The tarball, unpacked in the test's directory."""

    def setUp(self) -> None:
        super().setUp()
        package = harness.environment_path("PKC_PACKAGE")
        assert package is not None  # the script was skipped otherwise
        self.package = package
        self.folder = self.directory / package.name.removesuffix(".tar.gz")
        self.run_in(self.directory, "tar", "--extract", f"--file={package}")

    def run_in(self, directory: Path, *command: str) -> str:
        """What the command printed; a failure of it is one of the test."""
        done = subprocess.run(  # noqa: S603
            command, cwd=directory, capture_output=True, text=True, check=False
        )
        self.assertEqual(done.returncode, 0, f"{command}: {done.stdout}{done.stderr}")
        return done.stdout


class Contents(PackageTest):
    def test_no_entry_tells_who_packed_it_and_when(self) -> None:
        with tarfile.open(self.package) as archive:
            entries = archive.getmembers()

        self.assertEqual({(e.uid, e.gid, e.uname, e.gname) for e in entries}, {(0, 0, "", "")})
        self.assertEqual(len({entry.mtime for entry in entries}), 1)
        self.assertEqual([e.name for e in entries], sorted(e.name for e in entries))
        self.assertEqual({e.mode for e in entries if e.isfile()}, {0o644, 0o755})
        self.assertEqual(self.package.read_bytes()[4:8], bytes(4))  # gzip's own time

    def test_the_sums_are_of_every_file(self) -> None:
        lines = (self.folder / "SHA256SUMS").read_text().splitlines()
        listed = {name: digest for digest, name in (line.split("  ", 1) for line in lines)}
        there = {
            str(path.relative_to(self.folder)): hashlib.sha256(path.read_bytes()).hexdigest()
            for path in self.folder.rglob("*")
            if path.is_file() and path.name != "SHA256SUMS"
        }

        self.assertEqual(listed, there)

    def test_the_program_needs_glibc_and_nothing_else(self) -> None:
        program = str(self.folder / "polykit-cache")
        dynamic = self.run_in(self.folder, "readelf", "--dynamic", "--wide", program)
        symbols = self.run_in(self.folder, "readelf", "--dyn-syms", "--wide", program)
        needed = re.findall(r"\(NEEDED\).*\[(.*)\]", dynamic)
        versions = {
            tuple(map(int, found.split("."))) for found in re.findall(r"@GLIBC_([0-9.]+)", symbols)
        }

        self.assertEqual([n for n in needed if not re.match(r"(libc|libm|ld-linux.*)\.so\.", n)], [])
        self.assertLessEqual(max(versions), GLIBC_MAX)

    def test_its_program_is_the_one_that_all_tests_run(self) -> None:
        tested = harness.environment_path("PKC_SERVER")

        self.assertIsNotNone(tested)
        self.assertEqual((self.folder / "polykit-cache").read_bytes(), tested.read_bytes())

    def test_the_completions_are_those_of_the_program(self) -> None:
        for shell in ("bash", "zsh", "fish"):
            packed = (self.folder / f"completions/polykit-cache.{shell}").read_text()
            self.assertEqual(packed, self.run_in(self.folder, "./polykit-cache", "completion", shell))

    def test_the_program_names_no_folder_it_was_built_in(self) -> None:
        program = (self.folder / "polykit-cache").read_bytes()
        tree = os.fsencode(Path(__file__).resolve().parents[2])

        self.assertNotIn(tree, program)

    def test_every_flag_is_in_the_manual(self) -> None:
        shown = self.run_in(self.folder, "./polykit-cache", "--help")
        manual = (self.folder / "polykit-cache.1").read_text().replace("\\-", "-")
        flags = re.findall(r"^ +(--[a-z-]+)", shown, re.MULTILINE)

        self.assertGreater(len(flags), 20)
        self.assertEqual([flag for flag in flags if f".B {flag}" not in manual], [])

    def test_every_setting_is_in_the_manual(self) -> None:
        manual = (self.folder / "polykit-cache.yaml.5").read_text()
        sample = (self.folder / "polykit-cache.yaml").read_text()
        settings = re.findall(r"(?m)^#([a-z_]+): ", sample)

        self.assertGreater(len(settings), 20)
        self.assertEqual(re.findall(r"(?m)^\.BI ([a-z_]+): ", manual), settings)

    def test_the_licences_are_there(self) -> None:
        texts = {path.name for path in (self.folder / "licenses").iterdir() if path.is_file()}
        named = (self.folder / "licenses" / "VERSIONS").read_text().split("\n")

        self.assertLessEqual({line.split()[0] for line in named if line}, texts)
        self.assertIn("Apache License", (self.folder / "licenses" / "polykit-cache").read_text())
        self.assertIn("libssl-dev", texts)


class Installer(PackageTest):
    """install.sh into an empty directory, as whoever builds an image uses it."""

    def setUp(self) -> None:
        super().setUp()
        self.target = self.directory / "target"

    def install(self, *arguments: str) -> set[str]:
        script = str(self.folder / "install.sh")
        self.run_in(self.directory, script, f"--destdir={self.target}", *arguments)
        return {
            str(path.relative_to(self.target)) for path in self.target.rglob("*") if path.is_file()
        }

    def test_a_prefix_of_systemds_has_the_units_below_it(self) -> None:
        files = self.install("--prefix", "/usr")

        self.assertIn("usr/lib/systemd/system/polykit-cache.service", files)
        self.assertIn("usr/bin/polykit-cache", files)
        self.assertIn("usr/share/bash-completion/completions/polykit-cache", files)
        self.assertIn("usr/share/zsh/site-functions/_polykit-cache", files)
        self.assertIn("usr/share/fish/vendor_completions.d/polykit-cache.fish", files)
        self.assertIn("usr/share/man/man1/polykit-cache.1", files)
        self.assertIn("usr/share/man/man5/polykit-cache.yaml.5", files)
        self.assertIn("etc/polykit-cache/polykit-cache.yaml", files)

    def test_the_unit_starts_what_was_installed(self) -> None:
        self.install("--prefix=/opt/cache")
        unit = (self.target / "etc/systemd/system/polykit-cache.service").read_text()

        self.assertRegex(unit, r"(?m)^ExecStart=/opt/cache/bin/polykit-cache --config /etc/")
        self.assertTrue((self.target / "opt/cache/bin/polykit-cache").is_file())

    def test_the_installed_settings_are_valid_and_name_the_directory(self) -> None:
        self.install()
        program = self.target / "usr/local/bin/polykit-cache"
        file = str(self.target / "etc/polykit-cache/polykit-cache.yaml")

        shown = self.run_in(self.directory, str(program), "--config", file, "config", "show")

        self.assertRegex(shown, r"(?m)^storage-dir +/var/cache/polykit +file ")

    def test_a_second_installation_keeps_settings_and_changes_the_program(self) -> None:
        self.install()
        settings = self.target / "etc/polykit-cache/polykit-cache.yaml"
        settings.write_text("port: 9000\n")
        program = self.target / "usr/local/bin/polykit-cache"
        program.write_text("an old version")
        inode = program.stat().st_ino

        self.install()

        self.assertEqual(settings.read_text(), "port: 9000\n")
        self.assertEqual(program.read_bytes(), (self.folder / "polykit-cache").read_bytes())
        self.assertNotEqual(program.stat().st_ino, inode)  # a running one keeps its file
        self.assertEqual(stat.S_IMODE(program.stat().st_mode), 0o755)

    def test_nothing_is_left_but_what_somebody_made(self) -> None:
        for arguments in ([], ["--prefix=/usr"], ["--prefix=/opt/cache"]):
            self.install(*arguments)
            data = self.target / "var/cache/polykit/aa/bb/blob.zst"
            data.parent.mkdir(parents=True, exist_ok=True)
            data.write_text("precious")

            left = self.install("--uninstall", *arguments)

            self.assertEqual(left, {"var/cache/polykit/aa/bb/blob.zst"})

        self.install()
        (self.target / "etc/polykit-cache/polykit-cache.yaml").write_text("port: 9000\n")
        self.assertIn("etc/polykit-cache/polykit-cache.yaml", self.install("--uninstall"))

    def test_a_changed_file_is_not_installed(self) -> None:
        with (self.folder / "polykit-cache.1").open("a") as page:
            page.write("changed on the way\n")

        done = subprocess.run(  # noqa: S603
            [str(self.folder / "install.sh"), f"--destdir={self.target}"],
            capture_output=True,
            check=False,
        )

        self.assertEqual(done.returncode, 1)
        self.assertFalse(self.target.exists())

    def test_a_mistake_is_told(self) -> None:
        for arguments in (["--prefix"], ["--prefix=relative"], ["--prefix=/a b"], ["--what"]):
            done = subprocess.run(  # noqa: S603
                [str(self.folder / "install.sh"), *arguments], capture_output=True, check=False
            )
            self.assertEqual((done.returncode, done.stdout), (64, b""), arguments)


class BareDebianServer(harness.CacheServer):
    """The installed server, as the installed unit starts it: its line, its user, its directory."""

    def __init__(self, root: Path, log: Path) -> None:
        unit = (root / "usr/local/lib/systemd/system/polykit-cache.service").read_text()
        line = re.search(r"(?m)^ExecStart=(.*)$", unit)
        if line is None:
            raise harness.ServerError("the unit has no ExecStart")
        self.storage, self.original = root / "var/cache/polykit", False
        chroot = ["chroot", "--userspec=polykit:polykit", str(root)]
        harness.Process.__init__(
            self, [*chroot, *line[1].split()], log, {"PATH": os.environ["PATH"]}
        )
        self.wait_until(self._find_port, "start", harness.START_DEADLINE)


class BareDebian(PackageTest):
    """A Debian with nothing installed but what every Debian has, and no network."""

    def setUp(self) -> None:
        super().setUp()
        given = os.environ.get("PKC_DEBIAN_ROOT")
        if not given or name_spaces.INSIDE not in os.environ:
            self.skipTest(SKIPPED_ROOT)
        self.root = debian_root.overlay(self, given)
        debian_root.mount(self, "-t", "proc", "proc", f"{self.root}/proc")
        shutil.copy(self.package, self.root / "opt/package.tar.gz")
        self.inside("tar", "--extract", "--file=/opt/package.tar.gz", "--directory=/opt")
        self.installer = f"/opt/{self.folder.name}/install.sh"

    def inside(self, *command: str) -> str:
        return self.run_in(self.directory, "chroot", str(self.root), *command)

    def test_install_run_put_get_uninstall(self) -> None:
        self.inside(self.installer)
        version = self.inside("/usr/local/bin/polykit-cache", "--version")
        server = BareDebianServer(self.root, self.directory / "server.log")
        self.addCleanup(server.kill)
        key = artifact.key_for("bare debian")
        body = artifact.build(key, {"stdout.txt": b"hello"})

        self.assertIn(self.folder.name.split("-")[2], version)
        self.assertEqual(server.put(key, body).status, 201)
        self.assertEqual(server.get(key).body, body)
        owner = self.inside("stat", "--format=%U:%G %a", "/var/cache/polykit")
        self.assertEqual(owner, "polykit:polykit 750\n")
        self.assertEqual(server.stop(), 0)

        self.inside(self.installer, "--uninstall")
        self.assertEqual(server.blob_path(key).read_bytes(), body)
        left = self.inside("find", "/usr", "/etc", "-xdev", "-name", "*polykit*")
        self.assertEqual(left, "")


SKIPPED_ROOT = "no bare Debian: PKC_DEBIAN_ROOT is not set"

if __name__ == "__main__":
    if "PKC_PACKAGE" not in os.environ:
        harness.skip("no tarball: ./dev test and ./dev package --test make one")
    if "PKC_DEBIAN_ROOT" in os.environ:
        if reason := name_spaces.why_not(root=True):
            SKIPPED_ROOT = reason
        else:
            name_spaces.enter(root=True)
    harness.main()
