"""What the tests of a hand-over share: servers whose successors the test finds, reaps and kills.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import re
import shutil
import signal
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import RobustnessTest, await_event, harness

PR_SET_CHILD_SUBREAPER = 36


class Lineage:
    """A server and its successors, which write to one log. The newest is the one that serves."""

    def __init__(
        self, server: harness.Process, storage: Path, socket_file: Path | None = None
    ) -> None:
        self.server, self.storage, self.socket_file = server, storage, socket_file

    def successors(self) -> list[int]:
        """Process ids of all that were started, in order, also of those that came to nothing."""
        text = self.server.output_text()
        return [int(pid) for pid in re.findall(r"successor started pid=(\d+)", text)]

    def count(self, text: str) -> int:
        return self.server.output_text().count(text)

    @property
    def newest(self) -> int:
        """The last that lives."""
        return next(pid for pid in reversed([self.server.pid, *self.successors()]) if lives(pid))

    def ask(self) -> None:
        os.kill(self.newest, signal.SIGUSR2)

    def hand_over(self) -> int:
        """Lets the newest hand over; returns the process id of the next, which accepts by then."""
        before, predecessor = self.count("took over from a predecessor"), self.newest
        self.ask()
        # Two processes write the log, so its lines may be in any order.
        await_event(
            lambda: self.count("took over from a predecessor") > before
            and self.newest != predecessor,
            f"a successor took over\n{self.server.output_text()}",
        )
        return self.newest

    def await_end(self, pid: int) -> None:
        await_event(lambda: self.ended(pid), f"process {pid} has ended")

    def ended(self, pid: int) -> bool:
        """Reaps it, too, if it can: the test is the parent of all whose parent has ended."""
        if pid == self.server.pid:
            return not self.server.running()
        with contextlib.suppress(ChildProcessError):
            os.waitpid(pid, os.WNOHANG)
        return not lives(pid)

    def kill(self) -> None:
        for pid in self.successors():
            if not self.ended(pid):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
        self.server.kill()
        for pid in self.successors():
            self.await_end(pid)
        if "Sanitizer" in self.server.output_text():
            raise AssertionError(self.server.output_text())


def lives(pid: int) -> bool:
    """False also for one that waits for its parent to reap it."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return stat.rpartition(")")[2].split()[0] not in "ZX"


class HandoverTest(RobustnessTest):
    """The binary is a copy of the test's own, so that it can be replaced."""

    def setUp(self) -> None:
        super().setUp()
        original = harness.environment_path("PKC_SERVER")
        if original is None:
            raise harness.ServerError("PKC_SERVER does not name the server's binary")
        self.original = original
        self.binary = self.directory / "polykit-cache"
        self.install()
        if ctypes.CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
            raise OSError("cannot become the reaper of successors")

    def install(self) -> None:
        """A new file of the same name, as a package manager installs it."""
        fresh = self.directory / "new"
        shutil.copy2(self.original, fresh)
        fresh.replace(self.binary)

    def install_script(self, text: str, mode: int = 0o755) -> None:
        fresh = self.directory / "new"
        fresh.write_text(text)
        fresh.chmod(mode)
        fresh.replace(self.binary)

    def start_lineage(
        self, *arguments: str, env: Mapping[str, str] | None = None, prefix: Sequence[str] = ()
    ) -> tuple[harness.CacheServer, Lineage]:
        server = self.start_server(*arguments, binary=self.binary, env=env, prefix=prefix)
        lineage = Lineage(server, server.storage)
        self.addCleanup(lineage.kill)
        return server, lineage

    def start_process(
        self, command: Sequence[str], storage: Path, socket_file: Path | None, **options: object
    ) -> Lineage:
        """A server that the harness cannot find by a port of its own."""
        process = harness.Process(
            [*command, "--storage-dir", str(storage)],
            self.directory / "server.log",
            **options,  # type: ignore[arg-type]
        )
        lineage = Lineage(process, storage, socket_file)
        self.addCleanup(lineage.kill)
        self.await_log(lineage, "listening address=")
        return lineage

    def start_lineage_on_file(self, *arguments: str, env: Mapping[str, str] | None = None) -> Lineage:
        path = self.directory / "http.sock"
        return self.start_process(
            [str(self.binary), "--bind", f"unix:{path}", *arguments],
            self.directory / "storage",
            path,
            env=harness.clean_environment(env),
        )

    def await_log(self, lineage: Lineage, text: str) -> None:
        await_event(
            lambda: text in lineage.server.output_text(),
            f"the log says: {text}\n{lineage.server.output_text()}",
        )
