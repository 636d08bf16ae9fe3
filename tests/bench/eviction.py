#!/usr/bin/env python3
"""Compares the 99th percentile of reads while artifacts are evicted with that of reads without.

    python3 tests/bench/eviction.py               about a minute
    python3 tests/bench/eviction.py --quick       does it all run?

Two servers of ours run on one core, alike but for --cache-max-size. Both are read by load, and
uploaded to by another load, at the same rate. The one with the limit is full, so that each upload
makes an artifact go; that the other one evicts nothing and this one did is checked. What is printed
is the median over the rounds of the ratio of their percentiles: 1 says that evicting costs a reader
nothing.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import urllib.request
from dataclasses import dataclass
from pathlib import Path

import run as bench

harness = bench.harness

SIZE = 16 * bench.KIB
HOT = 64  # artifacts that are read in turn
LIMIT = 32 * bench.MIB
CONNECTIONS = 8
UPLOADERS = 2


@dataclass
class Side:
    name: str
    server: harness.CacheServer
    percentiles: list[float]

    def evicted(self) -> float:
        with urllib.request.urlopen(f"{self.server.url}/metrics") as answer:
            lines = answer.read().decode().splitlines()
        found = [line for line in lines if line.startswith("polykit_cache_evicted_objects_total{")]
        return sum(float(line.rsplit(" ", 1)[1]) for line in found)


class Comparison:
    def __init__(self, arguments: argparse.Namespace, directory: Path) -> None:
        self.load = str(arguments.load.resolve())
        self.milliseconds = 200 if arguments.quick else int(arguments.seconds * 1000)
        self.rounds = 1 if arguments.quick else arguments.rounds
        server_prefix, self.load_prefix = bench.prefixes(arguments)
        self.paths = directory / "paths"
        self.seed = 0
        self.sides = [
            Side(name, self.start(directory / name, arguments.server, server_prefix, options), [])
            for name, options in (
                ("unlimited", ()),
                ("evicting", ("--cache-max-size", str(LIMIT))),
            )
        ]

    @staticmethod
    def start(
        storage: Path, binary: Path, prefix: list[str], options: tuple[str, ...]
    ) -> harness.CacheServer:
        return harness.CacheServer(
            *options, storage=storage, binary=binary.resolve(), prefix=prefix
        )

    def command(self, side: Side, mode: str, *options: str) -> list[str]:
        self.seed += 1
        command = [*self.load_prefix, self.load, "--port", str(side.server.port), "--mode", mode]
        return [*command, "--size", str(SIZE), "--seed", str(self.seed), *options]

    def run_load(self, side: Side, mode: str, *options: str) -> dict[str, float]:
        done = subprocess.run(  # noqa: S603
            self.command(side, mode, *options), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise bench.BenchError(f"{mode} on {side.name}: {done.stderr.strip()}")
        return json.loads(done.stdout)

    def prepare(self) -> None:
        """The artifacts that are read stay, whatever goes; then the limit is reached."""
        keys = ["00" + bench.artifact.key_for(str(number))[2:] for number in range(HOT)]
        self.paths.write_text("".join(f"/v1/artifacts/{key}\n" for key in keys))
        for side in self.sides:
            target = bench.Target(side.name, side.server.port, "", Path(), side.server)
            for key in keys:
                bench.store(target, key, bench.exact_artifact(key, SIZE))
                pin = urllib.request.Request(
                    f"{side.server.url}/api/artifacts/polykit/{key}/pin", method="PUT"
                )
                urllib.request.urlopen(pin).close()
            self.run_load(side, "put", "--requests", str(2 * LIMIT // SIZE))

    def measure(self, side: Side) -> None:
        before = side.evicted()
        options = ("--connections", str(UPLOADERS), "--duration-ms", str(2 * self.milliseconds))
        uploads = subprocess.Popen(  # noqa: S603
            self.command(side, "put", *options), stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )
        try:
            reads = ("--paths", str(self.paths), "--connections", str(CONNECTIONS))
            report = self.run_load(side, "get", *reads, "--duration-ms", str(self.milliseconds))
        finally:
            _, errors = uploads.communicate()
        if uploads.returncode != 0:
            raise bench.BenchError(f"uploads to {side.name}: {errors.decode().strip()}")
        if (side.evicted() > before) != (side.name == "evicting"):
            raise bench.BenchError(f"{side.name}: evicted from {before} to {side.evicted()}")
        side.percentiles.append(report["latency_p99_us"])

    def run(self) -> float:
        self.prepare()
        for number in range(self.rounds):
            for side in self.sides[:: 1 if number % 2 else -1]:
                self.measure(side)
        unlimited, evicting = (side.percentiles for side in self.sides)
        return statistics.median(b / a for a, b in zip(unlimited, evicting))

    def close(self) -> None:
        for side in self.sides:
            side.server.kill()


def parse_arguments() -> argparse.Namespace:
    parser = bench.common_parser(__doc__, rounds=9)
    parser.add_argument("--seconds", type=float, default=2.0, help="of each run")
    return bench.parse(parser)


def main() -> int:
    arguments = parse_arguments()
    directory = Path(tempfile.mkdtemp(prefix="bench-", dir=arguments.load.resolve().parent))
    try:
        comparison = Comparison(arguments, directory)
        try:
            ratio = comparison.run()
        finally:
            comparison.close()
    except (bench.BenchError, harness.ServerError) as error:
        print(f"eviction.py: {error}", file=sys.stderr)
        return 1
    finally:
        shutil.rmtree(directory, ignore_errors=True)
    print(f"p99 of reads while artifacts are evicted, against without: {ratio:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
