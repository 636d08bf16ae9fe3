#!/usr/bin/env python3
"""Compares our server with nginx (static files and WebDAV) and with the original server.

    python3 tests/bench/run.py                    the whole table, about five minutes
    python3 tests/bench/run.py --only "GET" --rounds 3
    python3 tests/bench/run.py --markdown         the table for the README
    python3 tests/bench/run.py --quick            a few requests of each kind: do all run, and right?

All servers run for the whole time, pinned to one core, and are asked one after another, in another
order each round, by tests/bench/load on another core. A row shows the median over the rounds of the
ratio within a round, so what disturbs the machine for a while disturbs all alike. Every answer is
checked. Access logs are written to a file by ours and by nginx (the original has none).

PUT rows send keys that are new, into shard directories that exist, as a used cache has them. Ours
verifies the artifact and returns when it is on stable storage; the other two sync nothing, and
nginx verifies nothing.

Rows "behind nginx" ask an nginx with packaging/nginx/polykit-cache.conf (without TLS), which asks
ours over a Unix socket, on one core together; nginx, with which they are compared, reads the same
artifacts from files.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import statistics
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPOSITORY / "tests" / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402

KIB, MIB = 1024, 1024 * 1024
SHARDS = 256  # that the keys of load's PUTs fall into
PUT_SHARD = "f0"  # the first level of them


class BenchError(RuntimeError):
    """Something did not answer as it must."""


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    name: str
    mode: str
    size: int = 0  # of the blob, or of the uploaded output
    objects: int = 1  # read in turn
    connections: int = 32
    requests: int = 0  # a round; 0: as many as fit into the time
    behind: bool = False  # ours behind nginx, against nginx alone


ROWS = (
    Row("GET hit 1 KiB", "get", KIB, objects=128),
    Row("GET hit 64 KiB", "get", 64 * KIB, objects=32),
    Row("GET hit 1 MiB", "get", MIB, objects=8, connections=16),
    Row("GET hit 64 MiB", "get", 64 * MIB, objects=2, connections=4),
    Row("GET hit 1 KiB behind nginx", "get", KIB, objects=128, behind=True),
    Row("GET hit 64 KiB behind nginx", "get", 64 * KIB, objects=32, behind=True),
    Row("GET hit 1 MiB behind nginx", "get", MIB, objects=8, connections=16, behind=True),
    Row("HEAD hit", "head", 64 * KIB, objects=32),
    Row("GET miss", "miss"),
    Row("PUT 64 KiB", "put", 64 * KIB, connections=16, requests=768),
    Row("PUT 16 MiB", "put", 16 * MIB, connections=4, requests=16),
)


@dataclass(frozen=True)
class Sample:
    """What one run of load measured."""

    rate: float  # requests a second
    p99: float  # microseconds


@dataclass
class Target:
    """One server under test and where its uploads land."""

    name: str
    port: int
    upload_files: str  # a pattern below `directory`
    directory: Path
    process: harness.Process

    def remove_uploads(self) -> None:
        for path in self.directory.glob(self.upload_files):
            if path.is_file():
                path.unlink()


@dataclass
class Bench:
    """The servers, the load generator and the objects."""

    load: Path
    directory: Path
    load_prefix: list[str]
    targets: list[Target] = field(default_factory=list)
    behind: list[Target] = field(default_factory=list)  # ours behind nginx, if there is one
    processes: list[harness.Process] = field(default_factory=list)  # of all targets, and more
    path_files: dict[tuple[int, int], Path] = field(default_factory=dict)
    runs: int = 0

    def targets_of(self, row: Row) -> list[Target]:
        """Those that a row compares."""
        if not row.behind:
            return self.targets
        return self.behind + [target for target in self.targets if target.name == "nginx"]

    def run_load(self, target: Target, row: Row, *limits: str) -> Sample:
        self.runs += 1
        command = [*self.load_prefix, str(self.load), "--port", str(target.port), "--mode", row.mode]
        command += ["--connections", str(row.connections), "--seed", str(self.runs), *limits]
        if row.size:
            command += ["--size", str(row.size)]
        if row.mode in ("get", "head"):
            command += ["--paths", str(self.path_files[row.size, row.objects])]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            raise BenchError(f"{row.name} on {target.name}: {done.stderr.strip()}")
        report = json.loads(done.stdout)
        if report["requests"] == 0:
            raise BenchError(f"{row.name} on {target.name}: no request was made")
        return Sample(report["requests_per_second"], report["latency_p99_us"])

    def measure(self, target: Target, row: Row, seconds: float) -> Sample:
        if row.mode != "put":
            self.run_load(target, row, "--duration-ms", str(int(seconds * 100)))
            return self.run_load(target, row, "--duration-ms", str(int(seconds * 1000)))
        os.sync()  # nobody pays for what another left to be written
        return self.run_load(target, row, "--requests", str(row.requests))


# --- objects ------------------------------------------------------------------------------------


def exact_artifact(key: str, size: int) -> bytes:
    """A valid artifact of exactly `size` bytes, incompressible; a skippable frame fills it up."""
    content = random.Random(key).randbytes(size)
    room = size - len(artifact.skippable_frame(b""))
    length = max(0, room - 300)
    while len(body := artifact.build(key, {"stdout.txt": content[:length]})) > room:
        if length == 0:
            raise BenchError(f"no artifact fits into {size} bytes")
        length = max(0, length - (len(body) - room))
    return body + artifact.skippable_frame(bytes(room - len(body)))


def prepare_objects(bench: Bench, rows: Iterable[Row]) -> None:
    """Stores the objects of the reading rows in every server and reads each back once."""
    for size, count in {(row.size, row.objects) for row in rows if row.mode in ("get", "head")}:
        paths = []
        for number in range(count):
            key = "00" + artifact.key_for(f"{size} {number}")[2:]
            body = exact_artifact(key, size)
            for target in bench.targets + bench.behind:
                store(target, key, body)
            paths.append(f"/v1/artifacts/{key}")
        bench.path_files[size, count] = bench.directory / f"paths-{size}-{count}"
        bench.path_files[size, count].write_text("\n".join(paths) + "\n")


def store(target: Target, key: str, body: bytes) -> None:
    path = f"/v1/artifacts/{key}"
    with harness.RawConnection(target.port) as connection:
        head = f"PUT {path} HTTP/1.1\r\nHost: bench\r\nContent-Length: {len(body)}\r\n\r\n"
        connection.send(head.encode(), body)
        answer = connection.response()
        if answer is None or answer.status not in (201, 409):
            raise BenchError(f"{target.name} does not store an object: {answer}")
    with harness.RawConnection(target.port) as connection:
        connection.send(f"GET {path} HTTP/1.1\r\nHost: bench\r\n\r\n".encode())
        answer = connection.response()
        if answer is None or hashlib.sha256(answer.body).digest() != hashlib.sha256(body).digest():
            raise BenchError(f"{target.name} gives other bytes than it was given")


def make_shards(bench: Bench) -> None:
    """Lets every server make the directories that the uploads fall into."""
    warm_up = Row("warm-up", "put", KIB, connections=4)
    for target in bench.targets:
        bench.run_load(target, warm_up, "--requests", str(SHARDS))


# --- servers ------------------------------------------------------------------------------------


def start_cache(name: str, binary: Path, directory: Path, prefix: Sequence[str]) -> Target:
    storage = directory / name
    server = harness.CacheServer(storage=storage, binary=binary, prefix=prefix)
    return Target(name, server.port, f"{PUT_SHARD}/*/*", storage, server)


def start_behind(directory: Path, binary: Path, prefix: Sequence[str]) -> list[harness.Process]:
    """nginx with the packaged file, and ours behind it."""
    file = directory / "http.sock"
    server = harness.CacheServer(
        *("--trusted-proxies", "unix"),
        storage=directory / "ours-behind",
        binary=binary,
        file=file,
        prefix=prefix,
    )
    text = (REPOSITORY / "packaging" / "nginx" / "polykit-cache.conf").read_text()
    text = text.replace("unix:/run/polykit-cache/http.sock;\n\n", f"unix:{file};\n\n")
    lines = [line for line in text.splitlines() if not line.startswith(("    listen", "    ssl_"))]
    upstream, inside = "\n".join(lines).split("\nserver {\n")
    inside = inside.rstrip().removesuffix("}") + f"access_log {directory}/behind-access.log;"
    try:
        main = ("worker_processes 1;", "master_process off;")
        nginx = harness.Nginx(
            directory / "behind", inside, main=main, http_lines=(upstream,), prefix=prefix
        )
    except BaseException:
        server.kill()
        raise
    return [nginx, server]


def start_nginx(directory: Path, prefix: Sequence[str]) -> Target | None:
    root = directory / "nginx-root"
    root.mkdir()
    configuration = f"""
        root {root};
        access_log {directory}/nginx-access.log;
        sendfile on;
        tcp_nopush on;
        default_type application/zstd;
        keepalive_requests 1000000000;
        client_max_body_size 0;
        location / {{ dav_methods PUT; create_full_put_path on; }}
    """
    try:
        # One process, so that ending it leaves no worker behind.
        main = ("worker_processes 1;", "master_process off;")
        nginx = harness.Nginx(directory / "nginx", configuration, main=main, prefix=prefix)
    except unittest.SkipTest:
        return None
    return Target("nginx", nginx.port, f"v1/artifacts/{PUT_SHARD}*", root, nginx)


def start_targets(bench: Bench, server: Path, original: Path | None, prefix: list[str]) -> None:
    """Ours first; the others as far as they are there."""

    def add(target: Target) -> None:
        bench.targets.append(target)
        bench.processes.append(target.process)

    add(start_cache("ours", server, bench.directory, prefix))
    nginx = start_nginx(bench.directory, prefix)
    if nginx is not None:
        add(nginx)
        proxy, behind_it = start_behind(bench.directory, server, prefix)
        bench.processes += [proxy, behind_it]
        behind = Target("ours behind nginx", proxy.port, "none", bench.directory, proxy)
        bench.behind.append(behind)
    else:
        print("nginx is not installed: no comparison with it", file=sys.stderr)
    if original is not None:
        add(start_cache("original", original, bench.directory, prefix))
    else:
        print("PKC_ORIGINAL_SERVER is not set: no comparison with it", file=sys.stderr)


def prefixes(arguments: argparse.Namespace) -> tuple[list[str], list[str]]:
    """In front of the commands of servers and load generator: which core, and how urgently."""
    urgency = ["chrt", "--rr", "10"] if arguments.realtime else []
    cores = {arguments.server_cpu, arguments.load_cpu}
    if shutil.which("taskset") is None or not cores <= os.sched_getaffinity(0):
        print("not pinned: no taskset, or not these cores; ratios are rough", file=sys.stderr)
        return urgency, urgency
    return (
        [*urgency, "taskset", "-c", str(arguments.server_cpu)],
        [*urgency, "taskset", "-c", str(arguments.load_cpu)],
    )


# --- the table ----------------------------------------------------------------------------------


Samples = dict[str, list[Sample]]  # by target, one a round


def run_row(bench: Bench, row: Row, rounds: int, seconds: float) -> Samples:
    targets = bench.targets_of(row)
    samples: Samples = {target.name: [] for target in targets}
    for number in range(rounds):
        shift = number % len(targets)
        for target in targets[shift:] + targets[:shift]:
            samples[target.name].append(bench.measure(target, row, seconds))
    # Not between the rounds: ext4 passes over inodes that were freed just now, which costs a CPU.
    for target in targets:
        target.remove_uploads()
    return samples


def median_ratio(ours: list[Sample], theirs: list[Sample], attribute: str) -> str:
    ratios = [getattr(a, attribute) / getattr(b, attribute) for a, b in zip(ours, theirs)]
    return f"{statistics.median(ratios):.2f}"


COLUMNS = ("", "ours, requests/s", "vs nginx", "vs original", "p99 vs nginx", "p99 vs original")


def table_line(row: Row, samples: Samples) -> list[str]:
    ours = samples["ours behind nginx" if row.behind else "ours"]
    cells = [row.name, f"{statistics.median(s.rate for s in ours):,.0f}"]
    for attribute in ("rate", "p99"):
        for name in ("nginx", "original"):
            theirs = samples.get(name)
            cells.append(median_ratio(ours, theirs, attribute) if theirs else "–")
    return cells


def format_table(lines: list[list[str]], *, markdown: bool) -> str:
    rows = [list(COLUMNS), *lines]
    widths = [max(len(row[i]) for row in rows) for i in range(len(COLUMNS))]

    def join(cells: Sequence[str]) -> str:
        padded = [cells[0].ljust(widths[0])]
        padded += [cell.rjust(width) for cell, width in zip(cells[1:], widths[1:])]
        return "| " + " | ".join(padded) + " |" if markdown else "  ".join(padded)

    text = [join(row) for row in rows]
    if markdown:
        rule = ["-" * widths[0]] + ["-" * (width - 1) + ":" for width in widths[1:]]
        text.insert(1, "| " + " | ".join(rule) + " |")
    return "\n".join(text)


# --- command line -------------------------------------------------------------------------------


def common_parser(description: str, rounds: int) -> argparse.ArgumentParser:
    """What every benchmark takes; `rounds` is the default."""
    build = REPOSITORY / "build"
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("--server", type=Path, default=build / "polykit-cache")
    parser.add_argument("--load", type=Path, default=build / "tests" / "bench" / "load")
    parser.add_argument("--rounds", type=int, default=rounds)
    parser.add_argument("--server-cpu", type=int, default=0)
    parser.add_argument("--load-cpu", type=int, default=1)
    parser.add_argument(
        "--realtime", action="store_true", help="ahead of all else on a busy machine (needs root)"
    )
    parser.add_argument("--quick", action="store_true", help="check that everything runs")
    return parser


def parse(parser: argparse.ArgumentParser) -> argparse.Namespace:
    """The arguments, once the programs that they name are there."""
    arguments = parser.parse_args()
    for binary in (arguments.server, arguments.load):
        if not binary.is_file():
            parser.error(f"{binary}: no such file (build it, or name it)")
    return arguments


def parse_arguments() -> argparse.Namespace:
    parser = common_parser(__doc__, rounds=5)
    parser.add_argument(
        "--original", type=Path, default=harness.original_server(), help="PKC_ORIGINAL_SERVER"
    )
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run of a reading row")
    parser.add_argument("--only", default="", help="rows whose name contains this")
    parser.add_argument("--directory", type=Path, help="where objects go (default: beside load)")
    parser.add_argument("--markdown", action="store_true")
    return parse(parser)


def quick_row(row: Row) -> Row:
    requests = 16 if row.size >= MIB else 64
    objects, connections = min(row.objects, 2), min(row.connections, 4)
    return replace(row, objects=objects, connections=connections, requests=requests)


def run(arguments: argparse.Namespace, directory: Path) -> list[list[str]]:
    server_prefix, load_prefix = prefixes(arguments)
    bench = Bench(arguments.load.resolve(), directory, load_prefix)
    rows = [row for row in ROWS if arguments.only.lower() in row.name.lower()]
    rounds, seconds = arguments.rounds, arguments.seconds
    if arguments.quick:
        rows, rounds, seconds = [quick_row(row) for row in rows], 1, 0.1
    try:
        start_targets(bench, arguments.server.resolve(), arguments.original, server_prefix)
        prepare_objects(bench, rows)
        make_shards(bench)
        lines = []
        for row in rows:
            if row.behind and not bench.behind:
                continue
            lines.append(table_line(row, run_row(bench, row, rounds, seconds)))
            print(f"{row.name}: done", file=sys.stderr, flush=True)
        return lines
    finally:
        for process in bench.processes:
            process.kill()


def main() -> int:
    arguments = parse_arguments()
    parent = arguments.directory or arguments.load.resolve().parent
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=parent))
    try:
        lines = run(arguments, directory)
    except (BenchError, harness.ServerError) as error:
        print(f"run.py: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print("\nOver 1 is better in a ratio of rates, under 1 in a ratio of 99th percentiles.\n")
    print(format_table(lines, markdown=arguments.markdown))
    return 0


if __name__ == "__main__":
    sys.exit(main())
