"""The pages of packaging/migration, followed word for word: every block of commands in its order, as root, beside a
systemd of the test's own, on what the server that is replaced has stored.

Environment: PKC_PACKAGE is the tarball, PKC_ORIGINAL_SERVER the published server.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import artifact  # noqa: E402
import booted_systemd  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402
from robustness_case import await_event  # noqa: E402
from systemd_boot import ORIGINAL, Client  # noqa: E402

PAGES = TESTS.parent / "packaging" / "migration"
SERVICE = "polykit-cache.service"
FOLDER = "/run/migration"  # where the operator has put the tarball


def sections(page: Path) -> dict[str, str]:
    """The commands of a page by the title above them."""
    parts = re.split(r"(?m)^## (.+)$", page.read_text())
    titles, texts = parts[1::2], parts[2::2]
    return {
        title: "\n".join(re.findall(r"(?ms)^```sh\n(.*?)^```$", text))
        for title, text in zip(titles, texts, strict=True)
    }


class FromTheOriginal(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        package, original = harness.environment_path("PKC_PACKAGE"), harness.original_server()
        assert package is not None  # the script was skipped otherwise
        assert original is not None
        self.systemd = booted_systemd.Booted(self.directory, original, units=None)
        self.addCleanup(self.systemd.stop)
        self.systemd.await_boot()
        self.run_all(f"mkdir -p {FOLDER} /etc/systemd/system /var/cache/polykit")
        self.run_all("useradd --system --user-group polykit; chown polykit: /var/cache/polykit")
        shutil.copy(package, self.systemd.path(FOLDER))
        self.systemd.path(f"/etc/systemd/system/{SERVICE}").write_text(ORIGINAL)
        self.run_all("systemctl daemon-reload; systemctl enable --now polykit-cache")
        self.client = Client()
        self.commands = sections(PAGES / "from-the-original-server.md")

    def run_all(self, commands: str) -> str:
        """Runs commands as root, in the folder of the tarball once that is there."""
        prelude = f"cd {FOLDER} 2>/dev/null || cd /; export PATH=/usr/local/bin:$PATH\n"
        script = ["bash", "-eu", "-o", "pipefail", "-c", prelude + commands]
        status, output = self.systemd.run(*script)
        self.assertEqual(status, 0, f"{commands}\n{output}\n{self.systemd.log()}")
        return output

    def follow(self, number: str) -> str:
        """Does what the section with this number, or with this title, says."""
        found = [text for title, text in self.commands.items() if title.startswith(number)]
        self.assertEqual(len(found), 1, number)
        self.assertTrue(found[0], f"section {number} has no commands")
        return self.run_all(found[0])

    def await_service(self) -> None:
        await_event(self.answers, "the server answers")

    def answers(self) -> bool:
        """A unit of Type=simple is active before its process listens."""
        try:
            return self.client.get(artifact.key_for("nobody's")).status == 404
        except ConnectionRefusedError:
            return False

    def stored(self, name: str) -> tuple[str, bytes]:
        key = artifact.key_for(name)
        body = artifact.build(key, {"stdout.txt": name.encode()})
        answer = self.client.put(key, body)
        self.assertEqual(answer.status, 201, self.systemd.log())
        return key, body

    def assert_serves(self, *stored: tuple[str, bytes]) -> None:
        for key, body in stored:
            self.assertEqual(self.client.get(key).body, body, self.systemd.log())

    def test_every_step_and_the_way_back(self) -> None:
        self.await_service()
        theirs = [self.stored(f"theirs {n}") for n in range(5)]
        spoiled = self.stored("spoiled")
        blob = self.systemd.path("/var/cache/polykit") / spoiled[0][:2] / spoiled[0][2:4]
        (blob / f"{spoiled[0]}.json").unlink()
        self.assertEqual(self.client.get(spoiled[0]).status, 500)

        self.follow("1.")
        self.follow("2.")
        self.assertNotIn("problem", self.follow("3."))
        self.follow("4.")
        self.await_service()
        self.assertIn("healthy", self.follow("5."))
        self.assert_serves(*theirs)
        self.assertEqual(self.client.get(spoiled[0]).status, 404)
        self.assertEqual(self.client.put(*spoiled).status, 201)
        ours = [self.stored("ours, old unit")]

        self.assertIn("healthy", self.follow("6."))
        shown = self.run_all(f"systemctl show --property=Type,FragmentPath,User {SERVICE}")
        self.assertIn("Type=notify", shown)
        self.assertIn("FragmentPath=/usr/local/lib/systemd/system/", shown)
        self.assert_serves(*theirs, spoiled, *ours)
        ours += [self.stored("ours, new unit")]

        self.follow("The way back")
        self.await_service()
        self.assertIn("Type=simple", self.run_all(f"systemctl show --property=Type {SERVICE}"))
        program = self.systemd.path("/usr/local/bin/polykit-cache").read_bytes()
        self.assertEqual(program, Path(os.environ["PKC_ORIGINAL_SERVER"]).read_bytes())
        self.assert_serves(*theirs, spoiled, *ours)


class Pages(harness.ServerTest):
    def test_every_page_has_the_sections_of_the_template(self) -> None:
        needed = {"1. Unpack", "3. Ask whether ours will work here", "The way back"}

        for page in PAGES.glob("*.md"):
            self.assertLessEqual(needed, sections(page).keys(), page.name)


if __name__ == "__main__":
    if not os.environ.get("PKC_PACKAGE"):
        harness.skip("PKC_PACKAGE names no tarball")
    if harness.original_server() is None:
        harness.skip("PKC_ORIGINAL_SERVER is not set")
    if name_spaces.INSIDE not in os.environ and (reason := booted_systemd.why_not()):
        harness.skip(reason)
    name_spaces.enter(root=True)
    harness.main()
