"""The units under systemd/, as far as they can be judged without booting them: systemd's own checks of
syntax and of exposure, and that each option they give to the server exists."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import harness  # noqa: E402

UNITS = ROOT / "systemd"
INSTALLED = "/usr/bin/polykit-cache"  # what an installer replaces by its own prefix
# From 0 to 10; below 5 systemd says "OK". A score above this one means that a line got lost.
EXPOSURE_MAX = 2.0


def settings_of(unit: Path) -> dict[str, list[str]]:
    """Every setting of a unit file with its values in order."""
    values: dict[str, list[str]] = {}
    for line in unit.read_text().replace("\\\n", " ").splitlines():
        name, equals, value = line.partition("=")
        if equals and not line.startswith(("#", ";")):
            values.setdefault(name.strip(), []).append(value.strip())
    return values


class Units(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        binary = harness.environment_path("PKC_SERVER")
        if binary is None:
            raise harness.ServerError("PKC_SERVER does not name the server's binary")
        self.binary = binary
        self.service = UNITS / "polykit-cache.service"
        self.check = UNITS / "polykit-cache-fsck.service"

    def installed(self, *edits: tuple[str, str]) -> list[str]:
        """Copies of the units that name the built binary; their paths."""
        paths = []
        names = ("polykit-cache.socket", "polykit-cache-fsck.service", "polykit-cache-fsck.timer")
        for unit in (self.service, *(UNITS / name for name in names)):
            text = unit.read_text().replace(INSTALLED, str(self.binary))
            for old, new in edits:
                text = text.replace(old, new)
            path = self.directory / unit.name
            path.write_text(text)
            paths.append(str(path))
        return paths

    def analyze(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        tool = shutil.which("systemd-analyze")
        if tool is None:
            self.skipTest("systemd-analyze is not installed")
        return subprocess.run(  # noqa: S603
            [tool, *arguments],
            env={**os.environ, "SYSTEMD_COLORS": "0", "SYSTEMD_PAGER": ""},
            capture_output=True,
            text=True,
            check=False,
        )

    def test_systemd_finds_no_fault_with_them(self) -> None:
        done = self.analyze("verify", "--man=no", "--recursive-errors=no", *self.installed())

        self.assertEqual((done.returncode, done.stdout, done.stderr), (0, "", ""))

    def test_systemd_would_find_a_fault(self) -> None:
        edit = ("ProtectHome=yes", "ProtectHome=maybe")

        done = self.analyze("verify", "--man=no", *self.installed(edit))

        self.assertIn("protect home", done.stdout + done.stderr)

    def exposure(self, *edits: tuple[str, str], name: str = "polykit-cache.service") -> float:
        unit = next(path for path in self.installed(*edits) if Path(path).name == name)
        limit = f"--threshold={round(EXPOSURE_MAX * 10)}"
        done = self.analyze("security", "--offline=true", "--no-pager", limit, unit)
        found = re.search(r"Overall exposure level for \S+: ([0-9.]+)", done.stdout)
        self.assertIsNotNone(found, done.stdout + done.stderr)
        self.assertEqual(done.returncode != 0, float(found[1]) > EXPOSURE_MAX, done.stderr)
        return float(found[1])

    def test_little_is_exposed(self) -> None:
        self.assertLessEqual(self.exposure(), EXPOSURE_MAX)
        self.assertLessEqual(self.exposure(name=self.check.name), EXPOSURE_MAX)

    def test_a_lost_line_shows_in_the_score(self) -> None:
        lost = self.exposure(("CapabilityBoundingSet=\n", ""), ("SystemCallFilter=", "#"))

        self.assertGreater(lost, EXPOSURE_MAX)

    def test_every_option_of_the_start_line_exists(self) -> None:
        lines = settings_of(self.service)["ExecStart"]
        self.assertEqual(len(lines), 1)
        program, *words = shlex.split(lines[0])
        options = [word.partition("=")[0] for word in words if word.startswith("--")]
        shown = subprocess.run(  # noqa: S603
            [str(self.binary), "--help"], capture_output=True, text=True, check=True
        ).stdout
        known = set(re.findall(r"^ +(--[a-z-]+)", shown, re.MULTILINE))

        self.assertEqual(program, INSTALLED)
        self.assertTrue(options)
        self.assertEqual([option for option in options if option not in known], [])

    def test_the_check_is_started_as_the_server_is(self) -> None:
        service, check = settings_of(self.service), settings_of(self.check)

        self.assertEqual(check["ExecStart"], [self.fsck_command(service["ExecStart"][0])])
        self.assertEqual(check["Type"], ["oneshot"])
        for name in ("User", "Group", "CacheDirectory", "CacheDirectoryMode", "UMask"):
            self.assertEqual(check[name], service[name], name)

    def test_the_check_does_what_its_line_says(self) -> None:
        storage = self.directory / "storage"
        (storage / "tmp").mkdir(parents=True)
        settings = self.directory / "polykit-cache.yaml"
        settings.write_text(f"storage_dir: {storage}\n")
        line = settings_of(self.check)["ExecStart"][0].replace(INSTALLED, str(self.binary))
        words = shlex.split(line.replace("/etc/polykit-cache/polykit-cache.yaml", str(settings)))

        done = subprocess.run(words, capture_output=True, text=True, check=False)  # noqa: S603

        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertIn("No damage.", done.stdout)

    @staticmethod
    def fsck_command(server: str) -> str:
        program, _, flags = server.partition(" ")
        return f"{program} fsck {flags}"

    def test_the_service_is_what_a_hand_over_needs(self) -> None:
        settings = settings_of(self.service)

        self.assertEqual(settings["Type"], ["notify"])
        self.assertEqual(settings["NotifyAccess"], ["main"])
        self.assertEqual(settings["ExecReload"], ["/bin/kill -HUP $MAINPID"])
        self.assertIn("WatchdogSec", settings)
        forbidden = {"PrivateNetwork", "RootDirectory", "DynamicUser", "NoExecPaths", "ExecPaths"}
        self.assertEqual(forbidden & settings.keys(), set())

    def test_unit_user_and_directory_are_those_of_the_snippets(self) -> None:
        settings = settings_of(self.service)
        sysusers = (UNITS / "polykit-cache.sysusers").read_text()
        tmpfiles = (UNITS / "polykit-cache.tmpfiles").read_text()

        self.assertRegex(sysusers, r"(?m)^u polykit - .* /var/cache/polykit ")
        self.assertRegex(tmpfiles, r"(?m)^d /var/cache/polykit 0750 polykit polykit -$")
        self.assertEqual((settings["User"], settings["Group"]), (["polykit"], ["polykit"]))
        self.assertEqual(settings["CacheDirectory"], ["polykit"])  # below /var/cache

    def test_systemd_reads_the_snippets(self) -> None:
        root = self.directory / "root"
        for folder, tool in (("sysusers.d", "systemd-sysusers"), ("tmpfiles.d", "systemd-tmpfiles")):
            if shutil.which(tool) is None:
                self.skipTest(f"{tool} is not installed")
            target = root / "usr/lib" / folder / "polykit-cache.conf"
            target.parent.mkdir(parents=True)
            shutil.copy(UNITS / f"polykit-cache.{folder.removesuffix('.d')}", target)
        (root / "etc").mkdir()
        if os.geteuid() != 0:
            self.skipTest("only root may make a user, even in a directory of its own")

        for command in (["systemd-sysusers"], ["systemd-tmpfiles", "--create"]):
            done = subprocess.run(  # noqa: S603
                [*command, f"--root={root}"], capture_output=True, text=True, check=False
            )
            self.assertEqual(done.returncode, 0, done.stderr)

        users = (root / "etc/passwd").read_text()
        entry = re.search(r"(?m)^polykit:x:(\d+):(\d+):.*:/usr/sbin/nologin$", users)
        self.assertIsNotNone(entry, users)
        made = (root / "var/cache/polykit").stat()
        self.assertEqual((made.st_uid, made.st_gid), (int(entry[1]), int(entry[2])))
        self.assertEqual(made.st_mode & 0o7777, 0o750)


if __name__ == "__main__":
    harness.main()
