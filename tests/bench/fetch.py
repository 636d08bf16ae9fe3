#!/usr/bin/env python3
"""Compares /fetch with what it stands in front of: the engine's own GET, and the origin itself.

    python3 tests/bench/fetch.py                  about six minutes, 5 GiB of disk
    python3 tests/bench/fetch.py --only "cold 1" --rounds 3
    python3 tests/bench/fetch.py --markdown       the table for the README
    python3 tests/bench/fetch.py --quick          does it all run, and right?

"hit": requests a second for files that are stored, against GET /v1/artifacts/<key> of the same
server for bodies of the same size. The client takes zstd. Noise leaves as it is; text was
compressed, and leaves so. Server and load generator each have a core.

"cold": curl -o of a file that nobody has fetched yet, through a new server with an empty store,
against curl -o of the same file straight from its origin, an nginx. curl ends when the file is
verified and on stable storage. "at 1 Gbit/s" the origin sends no faster than that; without, it
sends over loopback as fast as it goes, and beside the ratio stands that of an nginx as the cache,
which verifies and syncs nothing. Noise cannot be compressed; sources are a tar of this repository,
over and over. All share all cores. Beside the ratio stands the CPU time of the server.

"waiters": the memory of the server while clients wait for one cold file and then get it, at its
highest, less what it was before.

Over loopback the kernel's congestion control shows: cubic, the usual one, sends as fast as it can,
bbr paces, which makes rounds with large files differ by a third. The one in use is printed.

What is printed is the median over the rounds of the ratio within a round. Every file is compared
with the original. The bars are shown, and no time makes this fail.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tarfile
import tempfile
import unittest
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

import run as bench
from origin import Answer, Gate, Origin, prose

harness = bench.harness
KIB, MIB, GIB = bench.KIB, bench.MIB, 1024 * bench.MIB

OPTIONS = ("--upstream-allow-addresses", "127.0.0.0/8", "--upstream-proxy", "none")
MBIT = 125_000  # bytes a second
PATTERN = 16 * MIB  # large contents repeat it: no frame of 1 MiB sees that


@dataclass(frozen=True)
class Line:
    """Of the table."""

    name: str
    measured: str
    bar: str
    met: bool
    note: str = ""


@dataclass(frozen=True)
class HitRow:
    size: int  # of the body as it leaves, about
    kind: str  # "noise" or "text"
    objects: int
    connections: int
    longer: int = 1  # than others it takes, as so few answers fit into a run

    @property
    def name(self) -> str:
        unit = f"{self.size // MIB} MiB" if self.size >= MIB else f"{self.size // KIB} KiB"
        return f"hit {unit}, {self.kind}"


@dataclass(frozen=True)
class ColdRow:
    kind: str  # "noise" or "sources"
    limit: int = 0  # bytes a second

    @property
    def name(self) -> str:
        pace = f"at {self.limit / MBIT / 1000:g} Gbit/s" if self.limit else "over loopback"
        return f"cold 1 GiB, {self.kind}, {pace}"


@dataclass(frozen=True)
class WaitersRow:
    kind: str  # "noise" or "text"
    count: int = 1000

    @property
    def name(self) -> str:
        return f"{self.count:,} waiters, cold 64 MiB, {self.kind}"


HITS = tuple(
    HitRow(size, kind, objects, connections, longer)
    for size, objects, connections, longer in (
        (KIB, 128, 32, 1),
        (64 * KIB, 32, 32, 1),
        (MIB, 8, 16, 1),
        (64 * MIB, 2, 4, 4),
    )
    for kind in ("noise", "text")
)
COLDS = tuple(
    ColdRow(kind, limit * MBIT) for limit in (1000, 2500, 0) for kind in ("noise", "sources")
)
WAITERS = (WaitersRow("noise"), WaitersRow("text"))


@dataclass(frozen=True)
class Plan:
    """How much of it is done."""

    rounds: int
    seconds: float
    cold_size: int
    waited_size: int
    quick: bool


# --- contents -----------------------------------------------------------------------------------


def repeated(pattern: bytes, size: int) -> Iterator[bytes]:
    while size > 0:
        yield pattern[:size]
        size -= len(pattern)


def noise(size: int, name: str) -> bytes:
    return random.Random(name).randbytes(size)


def text(size: int, name: str) -> bytes:
    """Becomes about `size` bytes of zstd."""
    return noise(size, name).hex().encode()


def sources() -> bytes:
    """A tar of what lies around here; the same as long as nobody edits it."""
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as tar:
        for name in ("include", "src", "tests"):
            tar.add(bench.REPOSITORY / name, name, filter=without_traces)
    return target.getvalue()


def without_traces(member: tarfile.TarInfo) -> tarfile.TarInfo | None:
    return None if "__pycache__" in member.name else member


def write_file(path: Path, pattern: bytes, size: int) -> str:
    """Returns the SHA-256."""
    digest = hashlib.sha256()
    with path.open("wb") as file:
        for piece in repeated(pattern, size):
            digest.update(piece)
            file.write(piece)
    return digest.hexdigest()


def digest_of(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(MIB):
            digest.update(piece)
    return digest.hexdigest()


# --- servers ------------------------------------------------------------------------------------


@dataclass
class Tools:
    """What all rows need."""

    server: Path
    load: Path
    directory: Path
    server_prefix: list[str]
    load_prefix: list[str]
    plan: Plan
    served: int = 0  # how many servers there were

    @contextmanager
    def cache(self, *options: str, prefix: list[str] | None = None) -> Iterator[harness.CacheServer]:
        """A server with an empty store, which goes with it."""
        self.served += 1
        storage = self.directory / f"store{self.served}"
        server = harness.CacheServer(
            *OPTIONS, *options, storage=storage, binary=self.server, prefix=prefix or ()
        )
        try:
            yield server
        finally:
            server.kill()
            shutil.rmtree(storage)

    @contextmanager
    def nginx(self, limit: int = 0) -> Iterator[harness.Nginx]:
        """An origin for the files of `directory`/origin."""
        configuration = f"root {self.directory}/origin; sendfile on; tcp_nopush on;"
        if limit:
            configuration += f" limit_rate {limit};"
        # One process, so that ending it leaves no worker behind.
        main = ("worker_processes 1;", "master_process off;")
        nginx = harness.Nginx(self.directory / f"nginx{limit}", configuration, main=main)
        try:
            yield nginx
        finally:
            nginx.stop()

    @contextmanager
    def caching_nginx(self, origin: harness.Nginx) -> Iterator[harness.Nginx]:
        """Another in front of it, with an empty cache, which goes with it."""
        directory = self.directory / "caching"
        configuration = f"""location / {{
            proxy_pass {origin.url};
            proxy_http_version 1.1;
            proxy_cache files;
            proxy_cache_valid 200 1h;
            proxy_buffer_size 64k;
            proxy_buffers 16 64k;
            proxy_busy_buffers_size 128k;
        }}"""
        nginx = harness.Nginx(
            directory,
            configuration,
            main=("worker_processes 1;", "master_process off;"),
            http_lines=(
                "sendfile on;",
                "tcp_nopush on;",
                f"proxy_cache_path {directory}/cache keys_zone=files:1m use_temp_path=off;",
            ),
        )
        try:
            yield nginx
        finally:
            nginx.stop()
            shutil.rmtree(directory)

    def load_command(self, port: int, *options: str, prefix: list[str]) -> list[str]:
        return [*prefix, str(self.load), "--port", str(port), "--mode", "get", *options]


def fetch_path(url: str) -> str:
    return "/fetch?url=" + urllib.parse.quote(url, safe="")


def loaded(command: list[str], output: str | None, errors: str | None, status: int) -> dict:
    if status != 0:
        raise bench.BenchError(f"{command}: {(errors or '').strip()}")
    return json.loads(output or "")


def run_load(command: list[str]) -> dict[str, float]:
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return loaded(command, done.stdout, done.stderr, done.returncode)


# --- hits ---------------------------------------------------------------------------------------


class Hits:
    """Warm files of /fetch against warm artifacts."""

    def __init__(self, tools: Tools) -> None:
        self.tools, self.plan = tools, tools.plan

    def fetch_once(self, server: harness.CacheServer, path: str, content: bytes, kind: str) -> int:
        """Stores it; returns the size of the answer that a client gets who takes zstd."""
        for headers in ({}, {"Accept-Encoding": "zstd"}, {"Accept-Encoding": "zstd"}):
            answer = server.request("GET", path, headers=headers)
            if answer.status != 200:
                raise bench.BenchError(f"{path}: {answer}")
            encoded = answer.header("content-encoding") == "zstd"
            if encoded != (kind == "text" and bool(headers)):
                raise bench.BenchError(f"{path}: answered in the other encoding")
            if (unzstd(answer.body) if encoded else answer.body) != content:
                raise bench.BenchError(f"{path}: other bytes than the origin's")
        return len(answer.body)

    def prepare(self, server: harness.CacheServer, origin: Origin, row: HitRow) -> list[Path]:
        """Stores the files, and for each an artifact of the size of its answer. Returns the files
        of paths for load: /fetch, artifacts."""
        target = bench.Target("ours", server.port, "", Path(), server)
        paths: tuple[list[str], list[str]] = ([], [])
        for number in range(row.objects):
            name = f"{row.kind}-{row.size}-{number}"
            content = (text if row.kind == "text" else noise)(row.size, name)
            path = fetch_path(origin.program(f"/{name}", Answer(body=content)))
            size = self.fetch_once(server, path, content, row.kind)
            key = bench.artifact.key_for(name)
            bench.store(target, key, bench.exact_artifact(key, size))
            paths[0].append(path)
            paths[1].append(f"/v1/artifacts/{key}")
        files = [self.tools.directory / f"paths-{side}" for side in ("fetch", "artifact")]
        for file, lines in zip(files, paths):
            file.write_text("\n".join(lines) + "\n")
        return files

    def rate(self, server: harness.CacheServer, row: HitRow, file: Path, seconds: float) -> float:
        options = ("--paths", str(file), "--header", "Accept-Encoding: zstd")
        limits = ("--connections", str(row.connections), "--duration-ms", str(int(seconds * 1000)))
        command = self.tools.load_command(
            server.port, *options, *limits, prefix=self.tools.load_prefix
        )
        return run_load(command)["requests_per_second"]

    def run(self, row: HitRow) -> Line:
        seconds = self.plan.seconds * row.longer
        ratios = []
        with ExitStack() as stack:
            server = stack.enter_context(self.tools.cache(prefix=self.tools.server_prefix))
            files = self.prepare(server, stack.enter_context(Origin()), row)
            for file in files:
                self.rate(server, row, file, seconds / 4)
            for number in range(self.plan.rounds):
                order = (0, 1) if number % 2 else (1, 0)
                rates = {side: self.rate(server, row, files[side], seconds) for side in order}
                ratios.append(rates[0] / rates[1])
        ratio = statistics.median(ratios)
        return Line(row.name, f"{ratio:.2f} of the rate", ">= 0.95", ratio >= 0.95)


def unzstd(data: bytes) -> bytes:
    if shutil.which("zstd") is None:
        raise bench.BenchError("zstd is not installed")
    return subprocess.run(["zstd", "-dc"], input=data, capture_output=True, check=True).stdout


# --- cold downloads -----------------------------------------------------------------------------


class Colds:
    """curl through a server that has nothing against curl alone."""

    def __init__(self, tools: Tools) -> None:
        self.tools, self.plan = tools, tools.plan
        self.output = tools.directory / "downloaded"

    def download(self, url: str, digest: str) -> float:
        """The seconds that curl takes."""
        self.output.unlink(missing_ok=True)
        os.sync()  # nobody pays for what another left to be written
        command = ["curl", "-sS", "--fail", "--noproxy", "*", "-o", str(self.output)]
        command += ["-w", "%{time_total}", url]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise bench.BenchError(f"curl {url}: {done.stderr.strip()}")
        if digest_of(self.output) != digest:
            raise bench.BenchError(f"{url}: other bytes than the origin's")
        return float(done.stdout)

    def through(self, url: str, digest: str) -> tuple[float, float]:
        """The seconds that curl takes through /fetch, and the CPU seconds of the server."""
        with self.tools.cache() as server:
            before = cpu_seconds(server)
            seconds = self.download(server.url + fetch_path(url), digest)
            return seconds, cpu_seconds(server) - before

    def run(self, row: ColdRow) -> Line:
        origin = self.tools.directory / "origin"
        origin.mkdir()
        pattern = sources() if row.kind == "sources" else noise(PATTERN, row.name)
        digest = write_file(origin / "file", pattern, self.plan.cold_size)
        ratios, seconds, costs, peers = [], [], [], []
        try:
            with self.tools.nginx(row.limit) as nginx:
                url = f"{nginx.url}/file"
                for number in range(self.plan.rounds):
                    before = [self.download(url, digest)] if number % 2 else []
                    taken, cost = self.through(url, digest)
                    [direct] = before or [self.download(url, digest)]
                    ratios.append(taken / direct)
                    seconds.append((direct, taken))
                    costs.append(cost)
                    if not row.limit:
                        with self.tools.caching_nginx(nginx) as peer:
                            peers.append(self.download(f"{peer.url}/file", digest) / direct)
        finally:
            shutil.rmtree(origin)
            self.output.unlink(missing_ok=True)
        ratio = statistics.median(ratios)
        direct, taken = (statistics.median(side) for side in zip(*seconds))
        note = f"{direct:.1f} s alone, {taken:.1f} s through; {statistics.median(costs):.1f} s of CPU"
        if peers:
            note += f"; nginx as the cache {statistics.median(peers):.2f}"
        return Line(row.name, f"{ratio:.2f} of the time", "<= 1.10", ratio <= 1.10, note)


def cpu_seconds(process: harness.Process) -> float:
    """User and system time of all its threads."""
    fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


# --- waiters ------------------------------------------------------------------------------------


class Waiters:
    """Memory of the server while many wait for one file that is on its way."""

    def __init__(self, tools: Tools) -> None:
        self.tools, self.plan = tools, tools.plan

    def run(self, row: WaitersRow) -> Line:
        size, gate = self.plan.waited_size, Gate()
        pattern = prose(4 * MIB) if row.kind == "text" else noise(4 * MIB, row.name)
        body = b"".join(repeated(pattern, size))
        with ExitStack() as stack:
            server = stack.enter_context(self.tools.cache("--max-connections-per-client", "0"))
            origin = stack.enter_context(Origin())
            stack.callback(gate.open)
            url = origin.program("/file", Answer(body=body, gates={size // 64: gate}))
            extra = self.extra_memory(server, fetch_path(url), row.count, gate)
            if origin.count() != 1:
                raise bench.BenchError(f"{row.name}: {origin.count()} requests at the origin")
        measured = f"{extra / MIB:.0f} MiB"
        return Line(row.name, measured, "<= 64 MiB", extra <= 64 * MIB)

    def extra_memory(
        self, server: harness.CacheServer, path: str, count: int, gate: Gate
    ) -> int:
        server.reset_peak_rss()
        before = server.rss()
        command = self.tools.load_command(
            server.port,
            *("--path", path, "--connections", str(count), "--requests", str(count)),
            *("--size", str(self.plan.waited_size)),
            prefix=[],
        )
        clients = subprocess.Popen(  # noqa: S603
            command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

        def all_wait() -> bool:
            if clients.poll() is not None:
                raise bench.BenchError(f"waiters: {clients.communicate()[1].strip()}")
            return active_connections(server) > count  # and the one that asks

        try:
            server.wait_until(all_wait, f"{count} clients wait", harness.START_DEADLINE)
        except BaseException:
            clients.kill()
            clients.communicate()
            raise
        gate.open()
        output, errors = clients.communicate()
        report = loaded(command, output, errors, clients.returncode)
        if report["requests"] != count:
            raise bench.BenchError(f"{report['requests']} of {count} waiters were answered")
        return server.peak_rss() - before


def active_connections(server: harness.CacheServer) -> float:
    wanted = 'polykit_cache_connections{state="active"} '
    with urllib.request.urlopen(f"{server.url}/metrics") as answer:  # noqa: S310
        for line in answer.read().decode().splitlines():
            if line.startswith(wanted):
                return float(line[len(wanted) :])
    raise bench.BenchError("/metrics does not tell of connections")


# --- the table ----------------------------------------------------------------------------------

COLUMNS = ("", "measured", "bar", "met")


def format_table(lines: list[Line], *, markdown: bool) -> str:
    rows = [[*COLUMNS, ""]]
    rows += [[x.name, x.measured, x.bar, "yes" if x.met else "NO", x.note] for x in lines]
    widths = [max(len(row[i]) for row in rows) for i in range(5)]
    padded = [
        [cell.ljust(w) if i in (0, 4) else cell.rjust(w) for i, (cell, w) in enumerate(zip(r, widths))]
        for r in rows
    ]
    if not markdown:
        return "\n".join("  ".join(row).rstrip() for row in padded)
    rule = ["-" * w if i in (0, 4) else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [padded[0], rule, *padded[1:]])


# --- command line -------------------------------------------------------------------------------


def parse_arguments() -> argparse.Namespace:
    parser = bench.common_parser(__doc__, rounds=5)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run of a hit row")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--directory", type=Path, help="where files go (default: beside load)")
    parser.add_argument("--markdown", action="store_true")
    return bench.parse(parser)


def plan_of(arguments: argparse.Namespace) -> Plan:
    if arguments.quick:
        return Plan(1, 0.1, 8 * MIB, 4 * MIB, quick=True)
    return Plan(arguments.rounds, arguments.seconds, GIB, 64 * MIB, quick=False)


def quick_hit(row: HitRow) -> HitRow:
    return HitRow(row.size, row.kind, objects=1, connections=4)


def tasks(tools: Tools) -> Iterator[tuple[str, Callable[[], Line]]]:
    """All rows by name, each with what measures it."""
    quick = tools.plan.quick
    for hit in HITS:
        row = quick_hit(hit) if quick else hit
        yield row.name, lambda row=row: Hits(tools).run(row)  # type: ignore[misc]
    for cold in COLDS:
        yield cold.name, lambda row=cold: Colds(tools).run(row)  # type: ignore[misc]
    for waiters in WAITERS:
        row = WaitersRow(waiters.kind, 50) if quick else waiters
        yield row.name, lambda row=row: Waiters(tools).run(row)  # type: ignore[misc]


def run(arguments: argparse.Namespace, directory: Path) -> list[Line]:
    tools = Tools(
        arguments.server.resolve(),
        arguments.load.resolve(),
        directory,
        *bench.prefixes(arguments),
        plan_of(arguments),
    )
    lines = []
    for name, measure in tasks(tools):
        if arguments.only.lower() not in name.lower():
            continue
        try:
            lines.append(measure())
        except unittest.SkipTest as reason:
            print(f"{name}: left out, {reason}", file=sys.stderr, flush=True)
            continue
        print(f"{name}: done", file=sys.stderr, flush=True)
    return lines


def main() -> int:
    arguments = parse_arguments()
    parent = arguments.directory or arguments.load.resolve().parent
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        lines = run(arguments, directory)
    except (bench.BenchError, harness.ServerError) as error:
        print(f"fetch.py: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    congestion = Path("/proc/sys/net/ipv4/tcp_congestion_control").read_text().strip()
    print(f"\ncongestion control: {congestion}\n")
    print(format_table(lines, markdown=arguments.markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
