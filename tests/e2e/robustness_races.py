"""Many writers of one key: exactly one wins, and what is kept is wholly the winner's."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import KIB, RobustnessTest, artifact, big_artifact, harness, put_head

WRITERS = 8
KEYS = 200


class Writers:
    """WRITERS threads that upload to one key at the same moment, each its own bytes."""

    def __init__(self, server: harness.CacheServer) -> None:
        self.server = server
        self.barrier = threading.Barrier(WRITERS)

    def body(self, key: str, writer: int) -> bytes:
        # Other sizes for other writers, so that a mixed-up pair shows in the length as well.
        return big_artifact(key, (1 + 3 * writer) * KIB, seed=writer)

    def put(self, key: str, writer: int) -> harness.Response | None:
        """Sends all but the last byte, waits for the others, and sends that."""
        body = self.body(key, writer)
        with self.server.connect() as connection:
            connection.send(put_head(key, len(body)), body[:-1])
            self.barrier.wait(harness.IO_TIMEOUT)
            connection.send(body[-1:])
            return connection.response()


class ConcurrentWriters(RobustnessTest):
    def test_one_of_8_writers_of_each_of_200_keys_wins(self) -> None:
        server = self.start_server()
        writers = Writers(server)
        with ThreadPoolExecutor(WRITERS) as pool:
            for number in range(KEYS):
                key = artifact.key_for(f"race {number}")
                answers = list(pool.map(lambda writer: writers.put(key, writer), range(WRITERS)))
                with self.subTest(key=number):
                    self.check_one_winner(writers, key, answers)
        self.assertEqual(server.temp_files(), [])
        self.assertEqual(len(harness.stored_files(server.storage)), 2 * KEYS)

    def check_one_winner(
        self, writers: Writers, key: str, answers: list[harness.Response | None]
    ) -> None:
        statuses = [answer.status if answer else None for answer in answers]
        self.assertEqual(sorted(map(str, statuses)), ["201"] + ["409"] * (WRITERS - 1))
        for answer in answers:
            if answer and answer.status != 201:
                self.assert_error(answer, 409)
        body = writers.body(key, statuses.index(201))
        self.assert_hit(writers.server, key, body)
        self.assert_stored(writers.server, key, body)


if __name__ == "__main__":
    harness.main()
