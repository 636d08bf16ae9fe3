"""kill -9 at any moment of many uploads: no key is poisoned, no acknowledged byte is lost.

PKC_SEED repeats a run; it is printed.
"""

from __future__ import annotations

import os
import random
import sys
import threading
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    KIB,
    MIB,
    RobustnessTest,
    artifact,
    await_event,
    big_artifact,
    harness,
    put_head,
    sha256,
)

ROUNDS = 50
UPLOADERS = 6
SIZES = (100, 3 * KIB, 64 * KIB, 64 * KIB, 700 * KIB, 5 * MIB)
UPLOADS_PER_ROUND = 60  # more than a round has time for


@dataclass
class Attempt:
    """One upload, and whether the server said that it has it."""

    key: str
    body: bytes
    acknowledged: bool = False


@dataclass
class Uploads:
    """The uploads of one round, taken one after another by several threads until the server dies."""

    server: harness.CacheServer
    waiting: list[Attempt]
    made: list[Attempt] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)
    sent: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))

    def run(self) -> None:
        while True:
            with self.lock:
                if not self.waiting:
                    return
                attempt = self.waiting.pop()
                self.made.append(attempt)
            try:
                with self.server.connect() as connection:
                    connection.send(put_head(attempt.key, len(attempt.body)), attempt.body)
                    self.sent.release()
                    answer = connection.response()
            except OSError:
                return
            if answer is None:
                return
            if answer.status != 201:
                raise AssertionError(f"upload answered {answer.status}: {answer.body!r}")
            attempt.acknowledged = True


class KillNine(RobustnessTest):
    def setUp(self) -> None:
        super().setUp()
        seed = int(os.environ.get("PKC_SEED") or random.SystemRandom().randrange(1 << 32))
        print(f"PKC_SEED={seed}", flush=True)
        self.random = random.Random(seed)
        self.storage = self.directory / "storage"

    def test_50_kills_in_the_middle_of_uploads_poison_nothing(self) -> None:
        acknowledged: dict[str, str] = {}  # key: digest
        cut_off = 0
        for number in range(ROUNDS):
            server = self.start_server(storage=self.storage)
            made = self.upload_until_killed(server, number)
            again = self.start_server(storage=self.storage)
            self.check_clean_start(again)
            for attempt in made:
                self.check_attempt(again, attempt)
                acknowledged[attempt.key] = sha256(attempt.body)
            cut_off += sum(not attempt.acknowledged for attempt in made)
            again.kill()
        print(f"{len(acknowledged)} uploads, {cut_off} of them cut off", flush=True)
        self.assertGreater(cut_off, 0, "no kill hit an upload")
        last = self.start_server(storage=self.storage)
        for key, digest in acknowledged.items():
            self.assertEqual(sha256(last.get(key).body), digest)

    def upload_until_killed(self, server: harness.CacheServer, number: int) -> list[Attempt]:
        """Kills at a random moment: of the round, or of the little time between the last byte of an
        upload and its answer, when it is verified, synced and renamed."""
        waiting = [self.make_attempt(number, index) for index in range(UPLOADS_PER_ROUND)]
        uploads = Uploads(server, waiting)
        threads = [threading.Thread(target=uploads.run) for _ in range(UPLOADERS)]
        for thread in threads:
            thread.start()
        if number % 2 == 0:
            for _ in range(self.random.randrange(1, 12)):
                uploads.sent.acquire(timeout=harness.IO_TIMEOUT)
            pause = self.random.uniform(0, 0.004)
        else:
            pause = self.random.uniform(0, 0.15)
        threading.Event().wait(pause)
        server.kill()
        for thread in threads:
            thread.join()
        return uploads.made

    def make_attempt(self, number: int, index: int) -> Attempt:
        key = artifact.key_for(f"{number} {index}")
        return Attempt(key, big_artifact(key, self.random.choice(SIZES)))

    def check_clean_start(self, server: harness.CacheServer) -> None:
        self.assertEqual(server.temp_files(), [])
        self.assertEqual(list((server.storage / "quarantine").glob("*")), [])

    def check_attempt(self, server: harness.CacheServer, attempt: Attempt) -> None:
        """The key has its whole object or none, and can be uploaded to."""
        before = server.get(attempt.key)
        if attempt.acknowledged:
            self.assertEqual(before.status, 200, "an acknowledged upload is lost")
        if before.status == 200:
            self.assert_hit(server, attempt.key, attempt.body)
        else:
            self.assert_error(before, 404)
            self.assertEqual(server.head(attempt.key).status, 404)
        again = server.put(attempt.key, attempt.body)
        if before.status == 200:
            self.assert_error(again, 409)
        else:
            self.assertEqual(again.status, 201)
            self.assert_hit(server, attempt.key, attempt.body)
        self.assert_stored(server, attempt.key, attempt.body)


class KilledUpload(RobustnessTest):
    def test_a_half_upload_leaves_a_temp_file_that_the_next_start_removes(self) -> None:
        server = self.start_server()
        key = artifact.key_for("half")
        body = big_artifact(key, MIB)
        with server.connect() as connection:
            connection.send(put_head(key, len(body)), body[: len(body) // 2])
            await_event(lambda: bool(server.temp_files()), "the upload has its temp file")

            server.kill()

        self.assertTrue(server.temp_files(), "otherwise the test shows nothing")
        again = self.start_server(storage=server.storage)
        self.assertEqual(again.temp_files(), [])
        self.assert_miss(again, key)
        self.assertEqual(again.put(key, body).status, 201)
        self.assert_hit(again, key, body)


if __name__ == "__main__":
    harness.main()
