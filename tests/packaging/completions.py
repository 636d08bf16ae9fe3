"""The completions that the program prints, asked for in real shells."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import shutil
import signal
import struct
import subprocess
import sys
import termios
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "support"))

import harness  # noqa: E402

# What is typed, with <TAB> as \t, and the arguments that the command then gets. One candidate each.
TYPED = {
    "--dur\t": ["--durability"],
    "--durability f\tu\t": ["--durability", "full"],
    "--durability=n\t": ["--durability=none"],
    "--access-log t\t": ["--access-log", "true"],
    "conf\tsh\t--js\t": ["config", "show", "--json"],
    "--port 80 conf\tch\t": ["--port", "80", "config", "check"],
    "--port=80 --access-log=true ver\t": ["--port=80", "--access-log=true", "version"],
    "comp\tfi\t": ["completion", "fish"],
    "--config sett\t": ["--config", "settings.yaml"],
    "--tls-key a\t": ["--tls-key", "a key.pem"],
    "--storage-dir d\t": ["--storage-dir", "data"],
    "--port 1\t": ["--port", "1"],  # no file, though there is one
    "warm sett\t": ["warm", "settings.yaml"],
    "--port 1 warm --jso\ta\t": ["--port", "1", "warm", "--json", "a key.pem"],
    "config sample --js\t": ["config", "sample", "--js"],
}
LISTS = {
    "--durability ": {"none", "file", "full"},
    "--verify-reads=": {"first", "always", "never"},
    "config ": {"show", "check", "sample"},
    "completion ": {"bash", "zsh", "fish"},
    "--port 1 config ": {"show", "check", "sample"},
    "--bind ": set(),
}
FUNCTION = 'polykit-cache() { printf "<%s>\\n" "$@"; echo end""ed; }'


class Terminal:
    """A shell at a terminal, and somebody who types."""

    def __init__(self, command: list[str], directory: Path) -> None:
        environment = harness.clean_environment({"HOME": str(directory), "TERM": "xterm"})
        self.pid, self._terminal = pty.fork()
        if self.pid == 0:
            os.chdir(directory)
            os.execvpe(command[0], command, environment)  # noqa: S606
        size = struct.pack("4H", 50, 1000, 0, 0)  # no line breaks of the terminal's own
        fcntl.ioctl(self._terminal, termios.TIOCSWINSZ, size)

    def type(self, text: str) -> None:
        os.write(self._terminal, text.encode())

    def read_until(self, *wanted: str) -> str:
        """What the shell prints up to the moment when all of these have been printed."""
        printed, end = "", time.monotonic() + harness.IO_TIMEOUT
        while any(word not in printed for word in wanted):
            if not select.select([self._terminal], [], [], max(0.0, end - time.monotonic()))[0]:
                raise AssertionError(f"the shell did not print {wanted}, but {printed!r}")
            printed += os.read(self._terminal, 65536).decode(errors="replace")
        return printed

    def close(self) -> None:
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)
        os.close(self._terminal)


class ShellTest(harness.ServerTest):
    shell = ""

    def setUp(self) -> None:
        super().setUp()
        if shutil.which(self.shell) is None:
            self.skipTest(f"{self.shell} is not installed")
        binary = harness.environment_path("PKC_SERVER")
        if binary is None:
            raise harness.ServerError("PKC_SERVER does not name the server's binary")
        for name in ("settings.yaml", "a key.pem", "dull.txt", "1file", "none.txt"):
            (self.directory / name).touch()
        (self.directory / "data").mkdir()
        command = [str(binary), "completion", self.shell]
        script = subprocess.run(command, stdout=subprocess.PIPE, check=True).stdout  # noqa: S603
        self.script = self.directory / "completion"
        self.script.write_bytes(script)

    def output(self, script: str) -> list[str]:
        """The lines that the shell prints when it runs a script, in which it may not complain."""
        done = subprocess.run(  # noqa: S603
            [self.shell, "-c", script],
            cwd=self.directory,
            capture_output=True,
            text=True,
            timeout=harness.IO_TIMEOUT,
            check=False,
        )
        self.assertEqual((done.returncode, done.stderr), (0, ""), script)
        return done.stdout.splitlines()

    def terminal(self, *command: str) -> Terminal:
        terminal = Terminal([self.shell, *command], self.directory)
        self.addCleanup(terminal.close)
        return terminal

    def assert_typed(self, terminal: Terminal) -> None:
        for typed, expected in TYPED.items():
            terminal.type(f"polykit-cache {typed}\n")
            printed = terminal.read_until("ended")
            given = re.findall(r"<([^<>]*)>\r?\n", printed)
            # zsh takes the slash away that it put behind a directory.
            self.assertEqual([word.rstrip("/") for word in given], expected, typed)


class Bash(ShellTest):
    shell = "bash"

    def test_what_is_typed_is_completed(self) -> None:
        terminal = self.terminal("--norc", "--noprofile", "-i")
        terminal.type(f"bind 'set enable-bracketed-paste off'; source {self.script}; {FUNCTION}\n")

        self.assert_typed(terminal)

    def test_the_candidates_are_those_of_the_tables(self) -> None:
        for typed, expected in LISTS.items():
            words = " ".join(["polykit-cache", *typed.replace("=", " = ").split()])
            words += "" if typed.endswith("=") else " ''"
            ask = f"source {self.script}; COMP_WORDS=({words}); COMP_CWORD=$((${{#COMP_WORDS[@]}} - 1))"
            found = self.output(f'{ask}; _polykit_cache; printf "%s\\n" "${{COMPREPLY[@]}}"')
            self.assertEqual({word for word in found if word}, expected, typed)

    def test_every_flag_is_offered(self) -> None:
        ask = f"source {self.script}; COMP_WORDS=(polykit-cache --); COMP_CWORD=1; _polykit_cache"

        found = self.output(f'{ask}; printf "%s\\n" "${{COMPREPLY[@]}}"')

        self.assertEqual(set(found), {*flags(), "--help", "--version"})


class Zsh(ShellTest):
    shell = "zsh"

    def ready(self, load: str) -> Terminal:
        terminal = self.terminal("-f", "-i")
        terminal.type(f"PS1='> '; unsetopt beep; bindkey -e; {load}; {FUNCTION}\n")
        return terminal

    def installed(self) -> str:
        """As a file in the search path."""
        folder = self.directory / "functions"
        folder.mkdir()
        self.script.rename(folder / "_polykit-cache")
        return f"fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D"

    def test_what_is_typed_is_completed(self) -> None:
        self.assert_typed(self.ready(self.installed()))

    def test_it_can_be_sourced_too(self) -> None:
        load = f"autoload -Uz compinit; compinit -u -D; source {self.script}"

        self.assert_typed(self.ready(load))

    def test_the_candidates_are_those_of_the_tables(self) -> None:
        terminal = self.ready(self.installed())
        for typed, expected in LISTS.items():
            terminal.type(f"polykit-cache {typed}\t")
            if expected:
                terminal.read_until(*expected)
            terminal.type("\x15echo on''wards\n")  # what was typed is deleted
            terminal.read_until("onwards")

    def test_every_flag_is_offered(self) -> None:
        terminal = self.ready(self.installed())

        terminal.type("LISTMAX=1000; polykit-cache --\t")

        terminal.read_until(*flags(), "--help", "--version")


class Fish(ShellTest):
    shell = "fish"

    def candidates(self, typed: str) -> list[str]:
        ask = f"source {self.script}; complete --do-complete 'polykit-cache {typed}'"
        return [line.split("\t")[0] for line in self.output(ask)]

    def test_what_is_typed_is_completed(self) -> None:
        for typed, expected in TYPED.items():
            begun = ""
            for piece in typed.split("\t")[:-1]:
                begun += piece
                word = begun.rsplit(" ", 1)[1] if " " in begun else begun
                found = [each for each in self.candidates(begun) if each.startswith(word)]
                if found and len(found) == 1:
                    begun = begun.removesuffix(word) + found[0] + " "
            given = begun.rstrip().replace("\\ ", " ").rstrip("/")
            self.assertEqual(given, " ".join(expected), typed)

    def test_the_candidates_are_those_of_the_tables(self) -> None:
        for typed, expected in LISTS.items():
            found = {word.removeprefix(typed) for word in self.candidates(typed)}
            self.assertEqual(found, expected, typed)

    def test_every_flag_is_offered(self) -> None:
        self.assertEqual(set(self.candidates("--")), {*flags(), "--help", "--version"})


def flags() -> list[str]:
    """All that take a value."""
    binary = str(harness.environment_path("PKC_SERVER"))
    shown = subprocess.run([binary, "--help"], stdout=subprocess.PIPE, text=True, check=True)  # noqa: S603
    return re.findall(r"(?m)^  (--[a-z-]+) ", shown.stdout)


if __name__ == "__main__":
    # The class above the three is none of them.
    del ShellTest
    harness.main()
