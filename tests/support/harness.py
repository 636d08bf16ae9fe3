"""Starts servers for end-to-end tests and benchmarks, and talks HTTP to them.

A test file is a script that ctest runs:

    import harness

    class Something(harness.ServerTest):
        def test_a_claim(self):
            server = self.start_server("--max-size", "1MiB")
            self.assertEqual(server.request("GET", "/v1/artifacts/00").status, 400)

    if __name__ == "__main__":
        harness.main()

Environment: PKC_SERVER is our binary, PKC_ORIGINAL_SERVER the published one (tests that need it are
skipped without it). Exit status: 0 passed, 1 failed, 125 everything was skipped. The directory of a
failed test is kept and printed.
"""

from __future__ import annotations

import atexit
import contextlib
import http.client
import os
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import BinaryIO, NoReturn

# Tests have all of these from here.
from wire import IO_TIMEOUT, RawConnection, Response, read_response  # noqa: F401

SKIP_EXIT_CODE = 125
START_DEADLINE = 30.0  # seconds; a loaded machine is slow, a healthy start takes a few ms


class ServerError(RuntimeError):
    """The server did not do what a server does: start, listen, end."""


# --- skipping and running -----------------------------------------------------------------------


def skip(reason: str) -> NoReturn:
    """Ends the whole script as skipped."""
    print(f"SKIPPED: {reason}", flush=True)
    sys.exit(SKIP_EXIT_CODE)


def main() -> NoReturn:
    """Runs the tests of the calling script and exits."""
    result = unittest.main(module="__main__", exit=False, verbosity=2).result
    for _, reason in result.skipped:
        print(f"SKIPPED: {reason}", flush=True)
    if not result.wasSuccessful():
        sys.exit(1)
    passed = result.testsRun - len(result.skipped) - len(result.expectedFailures)
    sys.exit(SKIP_EXIT_CODE if result.skipped and passed <= 0 else 0)


def environment_path(variable: str) -> Path | None:
    """The file a variable names, or nothing. A name without a file is an error, not a skip."""
    value = os.environ.get(variable)
    if not value:
        return None
    path = Path(value)
    if not path.is_file():
        raise ServerError(f"{variable}={value}: no such file")
    return path


def original_server() -> Path | None:
    """The published server, when there is one."""
    return environment_path("PKC_ORIGINAL_SERVER")


# --- processes ----------------------------------------------------------------------------------


class Process:
    """A child process with its output in a file. Killed at the latest when the script ends."""

    def __init__(
        self,
        command: Sequence[str],
        output: Path,
        env: Mapping[str, str] | None = None,
        *,
        pass_fds: Sequence[int] = (),
    ) -> None:
        self.output = output
        with output.open("ab") as out:
            self.popen = subprocess.Popen(  # noqa: S603
                command,
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=out,
                env=env,
                pass_fds=pass_fds,
            )
        self._kill_at_exit = atexit.register(self.kill)

    @property
    def pid(self) -> int:
        return self.popen.pid

    def running(self) -> bool:
        return self.popen.poll() is None

    def output_text(self) -> str:
        return self.output.read_text(errors="replace")

    def signal(self, number: int) -> None:
        if self.running():
            self.popen.send_signal(number)

    def terminate(self) -> None:
        self.signal(signal.SIGTERM)

    def wait(self, timeout: float = START_DEADLINE) -> int:
        """The exit status (negative: signal). ServerError after `timeout` seconds."""
        try:
            return self.popen.wait(timeout)
        except subprocess.TimeoutExpired:
            raise ServerError(f"process {self.pid} did not end in {timeout} s") from None

    def kill(self) -> int:
        """SIGKILL and reap; harmless when it has ended."""
        atexit.unregister(self._kill_at_exit)
        if self.running():
            self.popen.kill()
        return self.popen.wait()

    def wait_until(self, ready: Callable[[], bool], what: str, deadline: float) -> None:
        """Returns when `ready()`; ServerError when the process ends first or time is up."""
        pidfd = os.pidfd_open(self.pid)
        try:
            end = time.monotonic() + deadline
            while not ready():
                if select.select([pidfd], [], [], 0.002)[0]:
                    raise ServerError(f"{what}: the process ended\n{self.output_text()}")
                if time.monotonic() > end:
                    raise ServerError(f"{what}: not within {deadline} s\n{self.output_text()}")
        finally:
            os.close(pidfd)

    # Memory, in bytes.

    def rss(self) -> int:
        return self._status_field("VmRSS")

    def peak_rss(self) -> int:
        """The highest resident memory since the start or since reset_peak_rss()."""
        return self._status_field("VmHWM")

    def reset_peak_rss(self) -> None:
        Path(f"/proc/{self.pid}/clear_refs").write_text("5")

    def _status_field(self, name: str) -> int:
        text = Path(f"/proc/{self.pid}/status").read_text()
        found = re.search(rf"^{name}:\s+(\d+) kB$", text, re.MULTILINE)
        if not found:
            raise ServerError(f"/proc/{self.pid}/status has no {name}")
        return int(found[1]) * 1024


def listening_port(pid: int) -> int | None:
    """The TCP port that the process listens on, asked from the kernel; nothing while there is none.

    So a server started with port 0 needs no agreement about its log, and no port is guessed.
    """
    sockets: set[str] = set()
    with contextlib.suppress(FileNotFoundError):
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            with contextlib.suppress(FileNotFoundError):
                target = os.readlink(descriptor)
                if target.startswith("socket:["):
                    sockets.add(target[8:-1])
    for table in ("tcp", "tcp6") if sockets else ():
        with contextlib.suppress(FileNotFoundError):
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
                fields = line.split()
                if fields[3] == "0A" and fields[9] in sockets:
                    return int(fields[1].rpartition(":")[2], 16)
    return None


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without what would configure a server or a client behind our back."""
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith("POLYKIT_CACHE_") and not name.lower().endswith("_proxy")
    }
    return {**env, "NO_COLOR": "1", **(extra or {})}


class CacheServer(Process):
    """One running cache server, ours or the original, on a port that the kernel chose.

    `port` is for a restart on the port of a server that has ended; `file` makes it listen on a
    Unix socket instead, and `port` is 0. `storage` is created when absent. `prefix` goes in front
    of the command (taskset, prlimit, …); it must exec, so that the process id stays the server's.
    """

    file: Path | None = None  # also of a server that somebody else started

    def __init__(
        self,
        *arguments: str,
        storage: Path,
        binary: Path | None = None,
        original: bool = False,
        port: int = 0,
        file: Path | None = None,
        prefix: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
        log: Path | None = None,
    ) -> None:
        binary = binary or (original_server() if original else environment_path("PKC_SERVER"))
        if binary is None:
            name = "PKC_ORIGINAL_SERVER" if original else "PKC_SERVER"
            raise ServerError(f"{name} does not name the server's binary")
        self.storage, self.original, self.file = storage, original, file
        listen = ("--port", str(port)) if file is None else ("--bind", f"unix:{file}")
        super().__init__(
            [*prefix, str(binary), "--storage-dir", str(storage), *listen, *arguments],
            log or storage.with_name(storage.name + ".log"),
            clean_environment(env),
        )
        try:
            self.wait_until(self._find_port, "start", START_DEADLINE)
        except ServerError:
            self.kill()
            raise

    def _find_port(self) -> bool:
        if self.file is None:
            self.port = listening_port(self.pid) or 0
            return self.port != 0
        self.port = 0
        with socket.socket(socket.AF_UNIX) as probe:
            return probe.connect_ex(str(self.file)) == 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def stop(self, timeout: float = START_DEADLINE) -> int:
        """SIGTERM, wait, exit status; kills after `timeout`, which is a ServerError."""
        self.terminate()
        try:
            return self.wait(timeout)
        finally:
            self.kill()

    # HTTP

    def connect(self, *, timeout: float = IO_TIMEOUT) -> RawConnection:
        return RawConnection(self.port, timeout=timeout)

    def http(self, *, timeout: float = IO_TIMEOUT) -> http.client.HTTPConnection:
        """A keep-alive connection of the standard library."""
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)

    def request(
        self,
        method: str,
        target: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        """One request on a connection of its own. A server may answer before it took the body."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: 127.0.0.1:{self.port}"]
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        if body is not None:
            lines.append(f"Content-Length: {len(body)}")
        response = self.raw("\r\n".join(lines).encode() + b"\r\n\r\n", body or b"")
        if response is None:
            raise ServerError(f"{method} {target}: closed without an answer")
        return response

    def raw(self, *pieces: bytes) -> Response | None:
        """Sends the bytes as they are on a new connection and reads one answer."""
        with self.connect() as connection:
            connection.send(*pieces)
            return connection.response(head=pieces[0].startswith(b"HEAD "))

    def put(self, key: str, body: bytes, **headers: str) -> Response:
        return self.request("PUT", f"/v1/artifacts/{key}", body, headers)

    def get(self, key: str, **headers: str) -> Response:
        return self.request("GET", f"/v1/artifacts/{key}", None, headers)

    def head(self, key: str) -> Response:
        return self.request("HEAD", f"/v1/artifacts/{key}")

    # Files

    def blob_path(self, key: str) -> Path:
        return blob_path(self.storage, key)

    def sidecar_path(self, key: str) -> Path:
        return blob_path(self.storage, key).with_suffix(".json")

    def temp_files(self) -> list[Path]:
        """What lies in tmp/: uploads in progress, or leftovers."""
        return sorted(p for p in (self.storage / "tmp").rglob("*") if p.is_file())


def blob_path(storage: Path, key: str) -> Path:
    return storage / key[:2] / key[2:4] / f"{key}.zst"


def stored_files(storage: Path) -> dict[str, bytes]:
    """Every blob and sidecar of the Polykit space, by path below `storage`."""
    return {
        str(path.relative_to(storage)): path.read_bytes()
        for path in sorted(storage.glob("??/??/*"))
        if path.is_file()
    }


# --- nginx, for comparison and as a reverse proxy -------------------------------------------------


def free_port() -> int:
    """A port nobody uses now. Somebody may take it: callers retry."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Nginx(Process):
    """An nginx with generated configuration. `server` is the text inside `server { … }`, in which
    no listen line stands; `main` goes to the top level, `prefix` as for CacheServer."""

    def __init__(
        self,
        directory: Path,
        server: str,
        *,
        main: Iterable[str] = ("worker_processes 1;",),
        http_lines: Iterable[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if binary is None:
            raise unittest.SkipTest("nginx is not installed")
        directory.mkdir(parents=True, exist_ok=True)
        config = directory / "nginx.conf"
        for attempt in range(10):
            self.port = free_port()
            config.write_text(_nginx_config(directory, self.port, server, main, http_lines))
            super().__init__(
                [*prefix, binary, "-p", str(directory), "-c", str(config)],
                directory / "nginx.log",
                clean_environment(),
            )
            try:
                self.wait_until(self._accepts, "nginx start", START_DEADLINE)
            except ServerError:
                self.kill()
                if attempt == 9 or "in use" not in self.output_text():
                    raise
            else:
                return

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def _accepts(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def stop(self) -> int:
        self.signal(signal.SIGTERM)
        try:
            return self.wait()
        finally:
            self.kill()


def _nginx_config(
    directory: Path, port: int, server: str, main: Iterable[str], http_lines: Iterable[str]
) -> str:
    user = ["user root;"] if os.geteuid() == 0 else []
    temp = [
        f"{kind}_temp_path {directory}/{kind};"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    ]
    return "\n".join(
        [
            "daemon off;",
            *user,
            f"pid {directory}/nginx.pid;",
            "error_log stderr warn;",
            *main,
            "events { worker_connections 4096; }",
            "http {",
            "access_log off;",
            *temp,
            *http_lines,
            "server {",
            f"listen 127.0.0.1:{port};",
            server,
            "}",
            "}",
            "",
        ]
    )


# --- test cases ---------------------------------------------------------------------------------


def problems(result: unittest.TestResult | None) -> int:
    """How much has failed so far; unittest has no public way to ask that of the running test."""
    return 0 if result is None else len(result.failures) + len(result.errors)


class ServerTest(unittest.TestCase):
    """A test with a directory of its own and servers that end with it."""

    maxDiff = None

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="pkc-"))
        self.addCleanup(self._remove_directory)
        self._servers = 0

    def run(self, result: unittest.TestResult | None = None) -> unittest.TestResult | None:
        self._result, self._problems_before = result, problems(result)
        return super().run(result)

    def _remove_directory(self) -> None:
        if problems(self._result) > self._problems_before:
            print(f"kept: {self.directory}", file=sys.stderr, flush=True)
        else:
            shutil.rmtree(self.directory, ignore_errors=True)

    def start_server(
        self, *arguments: str, original: bool = False, storage: Path | None = None, **options: object
    ) -> CacheServer:
        """Starts a server that is killed when the test ends. Without PKC_ORIGINAL_SERVER a test
        that wants the original is skipped."""
        if original and original_server() is None:
            self.skipTest("the original server is not installed (PKC_ORIGINAL_SERVER)")
        self._servers += 1
        name = ("original" if original else "ours") + str(self._servers)
        server = CacheServer(
            *arguments,
            original=original,
            storage=storage or self.directory / name,
            log=self.directory / f"{name}.log",
            **options,  # type: ignore[arg-type]
        )
        self.addCleanup(server.kill)
        return server

    def start_nginx(self, server: str, **options: object) -> Nginx:
        nginx = Nginx(self.directory / "nginx", server, **options)  # type: ignore[arg-type]
        self.addCleanup(nginx.stop)
        return nginx
