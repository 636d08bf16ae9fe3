"""Ten thousand idle connections: what they cost in memory, and what active clients notice of them."""

from __future__ import annotations

import contextlib
import resource
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    KIB,
    MIB,
    RobustnessTest,
    artifact,
    await_event,
    big_artifact,
    get_head,
    harness,
)

IDLE = 10_000
SPARE = 500  # descriptors for everything else, here and in the server
EXTRA_MAX = 100 * MIB
REQUESTS = 2_000
RATIO_BAR = 1.5  # of the p99; times are for ./dev bench, so it is printed and not asserted
LONG = "600s"


def raise_descriptor_limit() -> None:
    """For this process and, by inheritance, the server. Ends the script as skipped if impossible."""
    needed = IDLE + SPARE
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        harness.skip(f"{needed} descriptors are needed, and the hard limit is {hard} (ulimit -Hn)")
    if soft != resource.RLIM_INFINITY and soft < needed:
        resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))


class IdleConnections(RobustnessTest):
    def test_10000_cost_little_memory_and_active_clients_are_served(self) -> None:
        server = self.start_server(
            *("--max-connections", str(IDLE + SPARE), "--max-connections-per-client", "0"),
            *("--idle-timeout", LONG, "--access-log", "false"),
        )
        key = artifact.key_for("active")
        body = big_artifact(key, 64 * KIB)
        self.assertEqual(server.put(key, body).status, 201)
        alone = self.measure(server, key, body)
        resident = server.rss()
        with contextlib.ExitStack() as stack:
            idle = [self.idle_connection(stack, server) for _ in range(IDLE)]
            self.assertGreaterEqual(connections(server), IDLE)

            among_idle = self.measure(server, key, body)
            extra = server.rss() - resident

            ratio = among_idle / alone
            print(
                f"{IDLE} idle connections: {extra / MIB:.1f} MiB ({extra / IDLE:.0f} bytes each); "
                f"p99 of active requests {alone * 1e6:.0f} us without, {among_idle * 1e6:.0f} us "
                f"with them: x{ratio:.2f} (bar: {RATIO_BAR})",
                flush=True,
            )
            self.assertLess(extra, EXTRA_MAX)
            for connection in idle[:: IDLE // 100]:  # they are alive still
                connection.send(get_head(key))
                answer = connection.response()
                self.assertTrue(answer is not None and answer.complete and answer.body == body)
        await_event(lambda: connections(server) < SPARE, "the server notices that they have gone")
        self.assert_hit(server, key, body)

    def idle_connection(
        self, stack: contextlib.ExitStack, server: harness.CacheServer
    ) -> harness.RawConnection:
        """One that has had an answer and waits, as a client's pool keeps it."""
        connection = stack.enter_context(server.connect())
        connection.send(get_head(artifact.key_for("absent")))
        answer = connection.response()
        self.assertEqual(answer.status if answer else None, 404)
        return connection

    def measure(self, server: harness.CacheServer, key: str, body: bytes) -> float:
        """The p99 of hits on one connection that is kept, in seconds."""
        times = []
        with server.connect() as connection:
            for _ in range(REQUESTS):
                started = time.perf_counter()
                connection.send(get_head(key))
                answer = connection.response()
                times.append(time.perf_counter() - started)
                self.assertTrue(answer is not None and answer.complete and answer.body == body)
        return statistics.quantiles(times, n=100)[98]


def connections(server: harness.CacheServer) -> int:
    """How many sockets the server has, its listener and the like included."""
    return sum(
        1
        for descriptor in Path(f"/proc/{server.pid}/fd").iterdir()
        if link_of(descriptor).startswith("socket:")
    )


def link_of(descriptor: Path) -> str:
    with contextlib.suppress(FileNotFoundError):  # it was closed meanwhile
        return str(descriptor.readlink())
    return ""


if __name__ == "__main__":
    raise_descriptor_limit()
    harness.main()
