"""The Dockerfile and .dockerignore: how they are read, and what holds of them without an engine.

docker_replay.py does what they say; it costs a build and runs with `./dev package --test`.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import dockerfile  # noqa: E402
import harness  # noqa: E402

EXAMPLE = r"""
# comment
ARG BASE=debian:12
FROM ${BASE} AS build
ENV A=1 B="two words"
RUN one \
# between
  && two --flag="$A" \

  && three
WORKDIR /src
ARG BASE
ARG JOBS=4
COPY --chown=1:2 a b/ sub/
COPY . .
RUN ["make", "-j"]
FROM ${BASE:-scratch}
COPY --from=build /src/out /usr/bin/
LABEL name="a ${A:-none}" \
      other=$A
USER 1000:1000
VOLUME ["/data"]
HEALTHCHECK --interval=5s CMD ["server", "check"]
ENTRYPOINT ["server"]
CMD ["run"]
"""


class Reader(unittest.TestCase):
    """The parser that the other checks, and the replay, rest on."""

    def setUp(self) -> None:
        self.build, self.last = dockerfile.stages(dockerfile.parse(EXAMPLE), {"JOBS": "2"})

    def test_lines_are_joined_and_comments_dropped(self) -> None:
        first = self.build.steps[0]
        assert isinstance(first, dockerfile.Run)

        self.assertEqual(first.line, 6)
        self.assertEqual(first.command[:2], ["/bin/sh", "-c"])
        self.assertEqual(first.command[2].split(), 'one && two --flag="$A" && three'.split())

    def test_run_sees_what_was_set_before_it(self) -> None:
        first, *_, last = self.build.steps
        assert isinstance(first, dockerfile.Run) and isinstance(last, dockerfile.Run)

        self.assertEqual(first.environment, {"PATH": dockerfile.PATH, "A": "1", "B": "two words"})
        self.assertEqual(first.directory, "/")
        self.assertEqual(last.environment["JOBS"], "2")
        self.assertEqual(last.environment["BASE"], "debian:12")
        self.assertEqual((last.command, last.directory), (["make", "-j"], "/src"))

    def test_copy(self) -> None:
        _, owned, everything, _ = self.build.steps

        self.assertEqual(owned, dockerfile.Copy(14, ["a", "b/"], "/src/sub/", None, "1:2"))
        self.assertEqual(everything, dockerfile.Copy(15, ["."], "/src/", None, "0:0"))
        self.assertEqual(
            self.last.steps, [dockerfile.Copy(18, ["/src/out"], "/usr/bin/", "build", "0:0")]
        )

    def test_stages_share_nothing_but_what_stands_in_front(self) -> None:
        self.assertEqual((self.build.base, self.build.name), ("debian:12", "build"))
        self.assertEqual(self.last.base, "debian:12")
        self.assertEqual(self.last.labels, {"name": "a none", "other": ""})
        self.assertEqual(self.last.environment, {"PATH": dockerfile.PATH})

    def test_what_the_image_says(self) -> None:
        last = self.last

        self.assertEqual((last.user, last.volumes), ("1000:1000", ["/data"]))
        self.assertEqual((last.entrypoint, last.command), (["server"], ["run"]))
        self.assertEqual(dockerfile.health_command(last), ["server", "check"])
        assert last.health is not None
        self.assertEqual(last.health.flags, {"interval": "5s"})

    def test_what_it_does_not_know_is_an_error(self) -> None:
        for text in (
            "RUN before from",
            "FROM a\nNONSENSE x",
            "FROM a\nRUN",
            "FROM a\nRUN one \\",
            "FROM a\nRUN cat <<END",
            "FROM a AS",
            "FROM a\nCOPY --link=x a b",
            "FROM a\nCMD []",
        ):
            with self.subTest(text=text), self.assertRaises(dockerfile.DockerfileError):
                dockerfile.stages(dockerfile.parse(text))

    def test_ignored_names(self) -> None:
        ignored = dockerfile.Ignored("*\n!src\n!a.txt\n**/cache\nsrc/x/target\n# comment\n")
        rows = {
            "a.txt": False,
            "b.txt": True,
            "src/a": False,
            "src/x/y/z": False,
            "src/cache/z": True,
            "src/x/target/z": True,
            "other/src/z": True,
            "srcs": True,
        }

        self.assertEqual({name: ignored(name) for name in rows}, rows)

    def test_the_context_is_what_is_not_ignored(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder)
            for name in ("keep/a", "keep/drop/b", "other/c", "other/keep/d", ".git/e"):
                (root / name).parent.mkdir(parents=True, exist_ok=True)
                (root / name).touch()
            (root / ".dockerignore").write_text("*\n!keep\n!other/keep\n**/drop\n")

            self.assertEqual(dockerfile.context_files(root), ["keep/a", "other/keep/d"])


class Ours(unittest.TestCase):
    text = (ROOT / "Dockerfile").read_text()
    instructions = dockerfile.parse(text)
    build, image = dockerfile.stages(instructions, {"REVISION": "abc", "SOURCE": "https://x"})

    def program(self, *arguments: str, extra: dict[str, str] | None = None) -> str:
        """What our binary, with the image's variables, prints."""
        done = subprocess.run(  # noqa: S603
            [os.environ["PKC_SERVER"], *arguments],
            env={**self.image.environment, **(extra or {})},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, f"{arguments}: {done.stdout}{done.stderr}")
        return done.stdout

    def assert_command(self, words: list[str]) -> None:
        self.assertEqual(len(words), 1, words)
        self.assertIn(f"\n  {words[0]} ", self.program("--help"))

    def settings(self) -> dict[str, str]:
        shown = self.program("config", "show")
        return dict(re.findall(r"(?m)^([a-z][a-z-]+) +(\S+)", shown))

    def test_every_base_is_of_one_release(self) -> None:
        self.assertEqual({self.build.base, self.image.base}, {"debian:12-slim"})

    def test_nobody_is_root_at_run_time(self) -> None:
        users = [step.user for step in self.image.steps if isinstance(step, dockerfile.Run)]

        self.assertEqual(set(users), {"0:0"})  # while the image is made
        self.assertRegex(self.image.user, r"\A[1-9]\d*:[1-9]\d*\Z")
        made = " ".join(s.command[-1] for s in self.image.steps if isinstance(s, dockerfile.Run))
        user, group = self.image.user.split(":")
        self.assertIn(f"useradd --uid {user} --gid {group} ", made)

    def test_it_starts_the_program_that_it_brings(self) -> None:
        copies = [step for step in self.image.steps if isinstance(step, dockerfile.Copy)]
        brought = {step.target + Path(step.sources[0]).name for step in copies}

        self.assertEqual(self.image.entrypoint, ["polykit-cache"])
        self.assertIn("/usr/local/bin/polykit-cache", brought)
        self.assertIn("/usr/local/bin", self.image.environment["PATH"].split(":"))
        self.assert_command(self.image.command)

    def test_the_health_check_is_a_command_of_ours_and_asks_where_the_server_listens(self) -> None:
        words = dockerfile.health_command(self.image)

        self.assertEqual(words[0], self.image.entrypoint[0])
        self.assert_command(words[1:])  # without flags, so it sees the settings that the server sees
        assert self.image.health is not None
        self.assertEqual(
            set(self.image.health.flags), {"interval", "timeout", "start-period", "retries"}
        )

    def test_the_settings_agree_with_what_the_image_says(self) -> None:
        settings = self.settings()

        self.assertEqual(self.image.volumes, [settings["storage-dir"]])
        self.assertEqual(self.image.ports, [settings["port"]])
        self.assertEqual(settings["bind"], "0.0.0.0")
        self.assertEqual(self.image.directory, settings["storage-dir"])

    def test_it_stops_as_the_server_does(self) -> None:
        self.assertIn("STOPSIGNAL", [instruction.name for instruction in self.instructions])
        self.assertEqual(self.image.stop_signal, "SIGTERM")

    def test_labels(self) -> None:
        found = re.search(r"VERSION (\S+)", (ROOT / "CMakeLists.txt").read_text().split("project(")[1])
        assert found is not None
        prefix = "org.opencontainers.image."
        self.assertEqual([n for n in self.image.labels if not n.startswith(prefix)], [])
        labels = {name.removeprefix(prefix): text for name, text in self.image.labels.items()}

        self.assertEqual(labels["version"], found[1])
        self.assertEqual((labels["revision"], labels["source"]), ("abc", "https://x"))
        self.assertEqual((labels["title"], labels["licenses"]), ("polykit-cache", "Apache-2.0"))
        self.assertIn("description", labels)

    def test_the_packages_are_those_of_dev(self) -> None:
        found = re.search(r"readonly build_packages=\((.*?)\)", (ROOT / "dev").read_text(), re.DOTALL)
        assert found is not None
        first = self.build.steps[0]
        assert isinstance(first, dockerfile.Run)

        self.assertLessEqual(set(found[1].split()), set(first.command[-1].split()))

    def test_the_runtime_brings_certificates_and_no_tools(self) -> None:
        runs = [s.command[-1] for s in self.image.steps if isinstance(s, dockerfile.Run)]
        installed = re.findall(r"apt-get install --yes --no-install-recommends (.*?) &&", runs[0])

        self.assertEqual([" ".join(words.split()) for words in installed], ["ca-certificates"])
        self.assertNotRegex(self.text, r"\b(curl|wget)\b")
        for line in re.findall(r"apt-get install[^\n]*", " ".join(runs)):
            self.assertIn("--no-install-recommends", line)

    def test_the_tests_run_before_the_program_is_taken(self) -> None:
        commands = [s.command[-1] for s in self.build.steps if isinstance(s, dockerfile.Run)]
        tests = next(i for i, command in enumerate(commands) if command.startswith("ctest "))
        packs = next(i for i, command in enumerate(commands) if "scripts/package " in command)
        labels = re.search(r"-L '\^\((.*)\)\$'", commands[tests])
        assert labels is not None

        self.assertLess(tests, packs)
        self.assertEqual(set(labels[1].split("|")), {"unit", "conformance", "fault", "fuzz", "lint"})
        self.assertNotIn("|| true", commands[tests])

    def test_the_context_is_what_the_build_reads(self) -> None:
        files = dockerfile.context_files(ROOT)
        tracked = subprocess.run(  # noqa: S603
            ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
            capture_output=True,
            text=True,
            check=False,
        )
        copied = [s.sources for s in self.build.steps if isinstance(s, dockerfile.Copy)]

        for name in ("CMakeLists.txt", "src/cli/main.cpp", "packaging/scripts/fetch-httplib"):
            self.assertIn(name, files)
        for sources in copied:
            for source in sources:
                self.assertTrue(source == "." or source in files, source)
        self.assertEqual([f for f in files if f.startswith((".git/", ".deps", "build"))], [])
        if tracked.returncode == 0:
            self.assertLessEqual(set(files), set(tracked.stdout.splitlines()))


if __name__ == "__main__":
    harness.main()
