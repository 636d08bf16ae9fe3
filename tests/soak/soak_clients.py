"""64 clients that break off at random, among honest ones that check every byte they get.

    PKC_SOAK_SECONDS   how long, else 12; ./dev check runs 120 under each sanitizer
    PKC_SOAK_SEED      what the clients do, client by client; printed at the start. The scheduler
                       decides how they interleave.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import random
import re
import threading

from soak_abusers import Abuser
from soak_honest import HonestClient, Library, Record, harness, request_head
from process_figures import Figures
from robustness_case import RobustnessTest, await_event

ABUSERS = 64
HONEST = 8
SECONDS = float(os.environ.get("PKC_SOAK_SECONDS", "12"))
LONG = SECONDS >= 60  # then there is time to see idle workers end, too
WORKERS_MIN, WORKERS_MAX = 4, 32
SETTLE_DEADLINE = 120.0  # seconds; a worker ends after 30 s without work
REPORTS = re.compile(r"^.*(Sanitizer|runtime error:).*$", re.MULTILINE)
SANITIZERS = {
    "ASAN_OPTIONS": "detect_stack_use_after_return=1:strict_init_order=1",
    "TSAN_OPTIONS": "second_deadlock_stack=1",
    "UBSAN_OPTIONS": "print_stacktrace=1",
}


class Soak(RobustnessTest):
    def setUp(self) -> None:
        super().setUp()
        given = os.environ.get("PKC_SOAK_SEED")
        self.seed = int(given) if given else int.from_bytes(os.urandom(4))
        print(f"{SECONDS:.0f} s; to repeat: PKC_SOAK_SEED={self.seed}", flush=True)
        self.library = Library.make()
        self.record = Record()

    def test_honest_clients_see_only_right_answers_and_nothing_is_left(self) -> None:
        server = self.start_server(
            *("--workers-min", str(WORKERS_MIN), "--workers-max", str(WORKERS_MAX)),
            *("--max-connections-per-client", "64", "--max-uploads", "16"),
            *("--head-timeout", "2s", "--verify-ahead-max", "1MiB"),
            env=SANITIZERS,
        )
        for key, body in self.library.bodies.items():
            self.assertEqual(server.put(key, body).status, 201)
            self.assert_hit(server, key, body)
        await_event(lambda: Figures(server.pid).sockets < 10, "the clients of the start are gone")
        idle = Figures(server.pid)

        self.let_clients_loose(server)

        self.print_counts()
        self.assertEqual(self.record.failures, [], f"PKC_SOAK_SEED={self.seed}")
        self.check_everything_was_tried()
        self.check_settles(server, idle)
        self.check_objects(server)
        self.assertEqual(server.stop(timeout=60.0), 0, server.output_text()[-10_000:])
        self.check_log(server.output_text())

    def let_clients_loose(self, server: harness.CacheServer) -> None:
        clients: list[HonestClient | Abuser] = [
            HonestClient(
                server.port, name, random.Random(f"{self.seed} {name}"), self.library, self.record
            )
            for name in (f"honest {number}" for number in range(HONEST))
        ]
        clients += [
            Abuser(server.port, n, random.Random(f"{self.seed} {n}"), self.library, self.record)
            for n in range(ABUSERS)
        ]
        threads = [threading.Thread(target=client.run) for client in clients]
        for thread in threads:
            thread.start()
        self.record.over.wait(SECONDS)
        self.record.over.set()
        for thread in threads:
            thread.join()
        self.assertTrue(server.running(), server.output_text()[-10_000:])

    def print_counts(self) -> None:
        for kind in ("honest", "abuse"):
            counts = [
                f"{name.removeprefix(kind).strip()} {count}"
                for name, count in sorted(self.record.counts.items())
                if name.startswith(kind)
            ]
            print(f"{kind}: {', '.join(counts)}", flush=True)

    def check_everything_was_tried(self) -> None:
        """A soak in which nobody got round to something shows nothing about it."""
        rng, record = random.Random(0), Record()
        for action in HonestClient(0, "", rng, self.library, record).actions:
            self.assertIn(f"honest {action.__name__}", self.record.counts)
        for action in Abuser(0, 0, rng, self.library, record).actions:
            self.assertIn(f"abuse {action.__name__}", self.record.counts)

    def check_settles(self, server: harness.CacheServer, idle: Figures) -> None:
        def settled() -> bool:
            now = Figures(server.pid)
            return (
                (now.descriptors, now.sockets) == (idle.descriptors, idle.sockets)
                and now.threads <= (idle.threads if LONG else idle.threads + WORKERS_MAX - WORKERS_MIN)
                and not server.temp_files()
            )

        with contextlib.suppress(AssertionError):
            await_event(settled, "idle again", SETTLE_DEADLINE)
        now = Figures(server.pid)
        print(f"idle: {idle}; afterwards: {now}", flush=True)
        self.assertTrue(settled(), f"{now} and {server.temp_files()}, but {idle} at the start")

    def check_objects(self, server: harness.CacheServer) -> None:
        """All that was acknowledged is there, and nothing was found to be damaged."""
        with server.connect() as connection:
            for key, digest in self.record.stored.items():
                connection.send(request_head("GET", key))
                answer = connection.response()
                self.assertTrue(answer is not None and answer.complete and answer.status == 200, key)
                self.assertEqual(hashlib.sha256(answer.body).hexdigest(), digest)
        self.assertEqual(self.metric(server, "polykit_cache_corrupt_objects_total"), 0)
        self.assertEqual(list((server.storage / "quarantine").glob("*")), [])

    def check_log(self, text: str) -> None:
        self.assertEqual([found[0] for found in REPORTS.finditer(text)], [], text[-20_000:])
        lines = [line for line in text.splitlines() if re.search(r"\b(error|critical)\b", line[:60])]
        self.assertEqual(lines, [])


if __name__ == "__main__":
    harness.main()
