"""`polykit-cache fsck`, with the server stopped and beside a serving one, and the server's own scrub."""

from __future__ import annotations

import fcntl
import json
import os
import pty
import re
import shutil
import signal
import struct
import subprocess
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from archive_files import blob_of, lay_download
from fsck_case import CLEAN, INTERRUPTED, LEFT, NOT_DONE, USAGE, FsckTest, flip, key_of
from robustness_case import HalfUpload, await_event, harness, small_artifact


class Offline(FsckTest):
    def prepare(self, count: int = 30) -> None:
        server = self.start_server(storage=self.storage)
        self.fill(server, count)
        server.stop()

    def test_a_clean_directory_is_exit_code_0(self) -> None:
        self.prepare()

        done = self.fsck("--verify-content")

        self.assertEqual((done.returncode, done.stderr), (CLEAN, ""))
        self.assertRegex(
            done.stdout,
            r"\A30 healthy objects \(\d+\.\d KiB\) in \d+ directories, contents verified\.\n"
            r"No damage\.\n\Z",
        )

    def test_damage_is_told_then_what_would_be_done_then_healed(self) -> None:
        self.prepare()
        expected = self.damage(10)
        before = harness.stored_files(self.storage)

        for arguments, action in (((), "found"), (("--repair", "--dry-run"), "would remove")):
            status, report = self.fsck_json("--verify-content", *arguments)
            self.assertEqual(status, LEFT)
            self.assertEqual({f["subject"]: f["fault"] for f in report["findings"]}, expected)
            actions = {f["action"] for f in report["findings"] if f["fault"] != "wrong content"}
            self.assertEqual(actions, {action})
            self.assertEqual(report["summary"]["left"], 10)
            self.assertEqual(harness.stored_files(self.storage), before)

        plain = self.fsck()
        self.assertEqual(plain.returncode, LEFT)
        self.assertIn("8 damages, 0 repaired, 8 left.\n", plain.stdout)
        self.assertIn("--repair heals", plain.stdout)

        status, report = self.fsck_json("--verify-content", "--repair", "--jobs", "3")
        self.assertEqual(status, CLEAN)
        self.assertEqual({f["subject"]: f["fault"] for f in report["findings"]}, expected)
        self.assertEqual({f["action"] for f in report["findings"]}, {"removed", "quarantined"})
        self.assertEqual(report["summary"]["quarantined"], 2)

        status, report = self.fsck_json("--verify-content")
        self.assertEqual((status, report["summary"]["objects"]), (CLEAN, 20))
        server = self.start_server(storage=self.storage)
        self.assert_all_hit(server)
        for key in expected:
            self.assert_miss(server, key)

    def test_strangers_are_told_and_not_touched_and_cannot_talk_to_the_terminal(self) -> None:
        self.prepare(1)
        stranger = self.storage / "bad\x1b[2Jname"
        stranger.write_bytes(b"precious")

        done = self.fsck("--repair")

        self.assertEqual(done.returncode, CLEAN)
        self.assertRegex(done.stdout, r"(?m)^stranger +left alone +.*bad\\x1b\[2Jname$")
        self.assertEqual(stranger.read_bytes(), b"precious")

    def test_what_a_killed_server_left_is_repaired(self) -> None:
        self.prepare(1)
        (self.storage / "tmp" / "1-0.tmp").write_bytes(b"half")
        empty = self.storage / "zz" / "zz"
        empty.mkdir(parents=True)

        status, report = self.fsck_json("--repair")

        self.assertEqual(status, CLEAN)
        self.assertEqual(
            {f["fault"]: f["action"] for f in report["findings"]},
            {"stale upload": "removed", "empty shard": "removed"},
        )
        self.assertEqual(list((self.storage / "tmp").iterdir()), [])
        self.assertFalse(empty.parent.exists())

    def test_it_cannot_be_done_is_exit_code_3_and_makes_no_directory(self) -> None:
        done = self.fsck()
        self.assertEqual((done.returncode, done.stdout), (NOT_DONE, ""))
        self.assertRegex(done.stderr, r"\Apolykit-cache: .*No such file or directory\n\Z")
        self.assertFalse(self.storage.exists())

        done = self.fsck("--json")
        self.assertEqual(done.returncode, NOT_DONE)
        self.assertEqual(list(json.loads(done.stdout)), ["version", "findings", "error"])

    def test_wrong_usage_is_exit_code_2(self) -> None:
        for arguments in (("--jobs", "0"), ("--jobs", "x"), ("--repiar",), ("now",)):
            done = self.fsck(*arguments)
            self.assertEqual((done.returncode, done.stdout), (USAGE, ""), arguments)

    def test_root_leaves_nothing_that_the_server_cannot_write(self) -> None:
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        self.prepare(5)
        self.damage(5)
        owner = 12345
        (self.storage / "keys.lock").unlink()
        self.directory.chmod(0o755)
        for path in (self.storage, *self.storage.rglob("*")):
            os.chown(path, owner, owner)

        status, _ = self.fsck_json("--verify-content", "--repair")

        self.assertEqual(status, CLEAN)
        owners = {path.stat().st_uid for path in (self.storage, *self.storage.rglob("*"))}
        self.assertEqual(owners, {owner})

    def test_progress_is_for_terminals(self) -> None:
        self.prepare(3)
        leader, follower = pty.openpty()
        process = subprocess.Popen(  # noqa: S603
            self.command(), stdout=subprocess.PIPE, stderr=follower, env=harness.clean_environment()
        )
        os.close(follower)
        report = process.communicate(timeout=harness.IO_TIMEOUT)[0]
        shown = os.read(leader, 4096).decode()
        os.close(leader)

        self.assertEqual(process.returncode, CLEAN)
        self.assertRegex(shown, r"1 of 3 directories, \d+ objects?")
        self.assertNotIn(b"\r", report)


class Spaces(FsckTest):
    """What is downloaded lies beside the artifacts and is checked with them."""

    def prepare(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 3)
        server.stop()
        self.downloads = {
            url: lay_download(self.storage, url, f"content of {url}".encode())
            for url in (f"http://h.test/{name}" for name in ("good", "flip", "torn", "gone"))
        }

    def damage_downloads(self) -> dict[tuple[str, str], str]:
        """Returns the expected fault of each space and subject."""
        flipped = self.downloads["http://h.test/flip"][1]
        flip(blob_of(self.storage, "cas", flipped))
        torn = self.downloads["http://h.test/torn"][0]
        blob_of(self.storage, "fetch", torn).with_suffix(".json").write_bytes(b"{")
        record, gone = self.downloads["http://h.test/gone"]
        blob_of(self.storage, "cas", gone).unlink()
        blob_of(self.storage, "cas", gone).with_suffix(".json").unlink()
        return {
            ("cas", flipped): "wrong content",
            ("fetch", torn): "torn sidecar",
            ("fetch", record): "content gone",
        }

    def stored(self) -> dict[Path, bytes]:
        """Blobs and sidecars of every space."""
        places = [self.storage / space for space in ("", "cas", "fetch")]
        files = (path for place in places for path in place.glob("??/??/*"))
        return {path: path.read_bytes() for path in files}

    def found(self, report: dict) -> dict[tuple[str, str], str]:
        return {
            (f["space"], f["subject"]): f["fault"]
            for f in report["findings"]
            if "index" not in f["fault"] and f["fault"] != "empty shard"
        }

    def test_all_are_checked_told_apart_and_healed(self) -> None:
        self.prepare()
        status, report = self.fsck_json("--verify-content", "--repair")
        self.assertEqual((status, self.found(report)), (CLEAN, {}))
        objects = {name: of["objects"] for name, of in report["summary"]["spaces"].items()}
        self.assertEqual(objects, {"polykit": 3, "cas": 4, "fetch": 4})
        self.assertEqual(report["summary"]["objects"], 11)
        before = self.stored()
        expected = self.damage_downloads()
        record = next(key for key, fault in expected.items() if fault == "content gone")

        status, report = self.fsck_json("--verify-content")
        self.assertEqual((status, self.found(report)), (LEFT, expected))
        self.assertEqual(report["summary"]["left"], 3)  # and the row of the one that is gone
        self.assertEqual(report["summary"]["spaces"]["polykit"]["damages"], 0)
        self.assertRegex(
            self.fsck("--verify-content").stdout,
            r"(?m)^wrong content +found +cas +[0-9a-f]{64}: should be SHA-256",
        )
        status, report = self.fsck_json("--verify-content", "--repair")
        found = self.found(report)
        # Whether the record of what goes to quarantine is looked at before or after is chance.
        orphan = ("fetch", self.downloads["http://h.test/flip"][0])
        self.assertEqual(found.pop(orphan, "content gone"), "content gone")
        self.assertEqual((status, found), (CLEAN, expected))

        after = self.stored()
        lost = {path.stem for path in before if path not in after}
        gone = self.downloads["http://h.test/gone"][1]
        self.assertEqual(lost, {key for _, key in expected if key != record[1]} | {gone})
        self.assertTrue(all(before[path] == body for path, body in after.items()))
        self.assertEqual(
            {path.name.partition(".")[0] for path in (self.storage / "quarantine").iterdir()},
            {"cas-" + self.downloads["http://h.test/flip"][1]},
        )
        status, report = self.fsck_json("--verify-content")
        self.assertEqual(
            (status, self.found(report)),
            (CLEAN, {record: "content gone", orphan: "content gone"}),
        )
        self.assert_served()

    def assert_served(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.assert_all_hit(server)
        answer = server.request("HEAD", "/fetch?url=http://h.test/good")
        self.assertEqual(answer.status, 200)
        for name in ("flip", "torn", "gone"):
            answer = server.request("HEAD", f"/fetch?url=http://h.test/{name}")
            self.assertEqual(answer.status, 404, name)
        server.stop()

    def test_beside_a_server_and_by_its_scrub(self) -> None:
        self.prepare()
        expected = self.damage_downloads()
        server = self.start_server("--scrub-interval", "1s", storage=self.storage)
        flipped = next(key for (_, key), fault in expected.items() if fault == "wrong content")
        await_event(
            lambda: any((self.storage / "quarantine").glob(f"cas-{flipped}.*")), "the quarantine"
        )
        self.assertEqual(self.metric(server, "polykit_cache_scrub_corrupt_total"), 1)

        status, report = self.fsck_json("--verify-content", "--repair")

        del expected[("cas", flipped)]
        self.assertEqual(status, CLEAN)
        self.assertEqual(
            {key: fault for key, fault in self.found(report).items() if fault != "content gone"},
            {key: fault for key, fault in expected.items() if fault != "content gone"},
        )
        server.stop()
        self.assert_served()


class Interrupted(FsckTest):
    def test_a_signal_ends_it_with_a_report_of_its_own_exit_code(self) -> None:
        server = self.start_server(storage=self.storage)
        self.fill(server, 20)
        server.stop()
        # The key of one that looks damaged is locked by us, so that the check cannot end before
        # the signal: it waits for that lock.
        key = sorted(self.bodies)[0]
        harness.blob_path(self.storage, key).with_suffix(".json").unlink()
        for number in (signal.SIGINT, signal.SIGTERM):
            with self.subTest(signal=number), KeyLock(self.storage / "keys.lock") as lock:
                process = subprocess.Popen(  # noqa: S603
                    self.command("--json", "--repair", "--jobs", "1"),
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    env=harness.clean_environment(),
                )
                self.addCleanup(process.kill)
                await_event(lock.is_awaited, "it waits for the lock")
                process.send_signal(number)
                self.assertRegex(process.stderr.readline(), rb"\Apolykit-cache: interrupted;")
                lock.release()
                out, err = process.communicate(timeout=harness.IO_TIMEOUT)

                self.assertEqual((process.returncode, err), (INTERRUPTED, b""))
                summary = json.loads(out)["summary"]
                self.assertTrue(summary["interrupted"])
                self.assertLess(summary["shards_done"], summary["shards"])
                harness.blob_path(self.storage, key).write_bytes(b"orphan again")


class KeyLock:
    """Locks every key, as an upload of each would."""

    F_OFD_SETLK = 37  # the fcntl module has no name for it

    def __init__(self, path: Path) -> None:
        self._file = path.open("r+b")
        # struct flock: type, whence, start, length (0: to the end), pid.
        everything = struct.pack("hhqqi4x", fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
        fcntl.fcntl(self._file, self.F_OFD_SETLK, everything)
        self._inode = path.stat().st_ino

    def __enter__(self) -> KeyLock:
        return self

    def is_awaited(self) -> bool:
        """Whether somebody waits for a key, as the kernel tells it."""
        locks = Path("/proc/locks").read_text()
        return re.search(rf"(?m)^\d+: -> OFDLCK .*:{self._inode} ", locks) is not None

    def release(self) -> None:
        self._file.close()

    def __exit__(self, *_: object) -> None:
        self.release()


class Online(FsckTest):
    def test_beside_a_server_under_load_no_healthy_object_is_lost(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 60)
        expected = self.damage(30)
        stop = threading.Event()
        failures: list[str] = []

        def read_and_heal() -> None:
            while not stop.is_set():
                for key, body in list(self.bodies.items()):
                    if server.get(key).body != body:
                        failures.append(f"lost {key}")
                for number in range(1000, 1020):
                    key = key_of(number)
                    status = server.put(key, small_artifact(key, str(number))).status
                    if status not in (201, 409):
                        failures.append(f"PUT {status}")

        thread = threading.Thread(target=read_and_heal)
        thread.start()
        try:
            for _ in range(5):
                status, report = self.fsck_json("--verify-content", "--repair")
                self.assertEqual(status, CLEAN, report)
                drift = {f["fault"] for f in report["findings"] if "index" in f["fault"]}
                self.assertEqual(drift, set(), "the server notes what it stores")
        finally:
            stop.set()
            thread.join()

        self.assertEqual(failures, [])
        self.assert_all_hit(server)
        for key in expected:
            self.assert_miss(server, key)
            body = small_artifact(key, "anew")
            self.assertEqual(server.put(key, body).status, 201)
            self.assert_hit(server, key, body)
        self.assertEqual(self.fsck("--verify-content").returncode, CLEAN)

    def test_an_upload_in_progress_is_left_alone(self) -> None:
        server = self.start_server(storage=self.storage)
        key = key_of(1)
        body = small_artifact(key, "x" * 1000)
        with HalfUpload(server, key, body) as upload:
            self.await_upload_began(server)

            status, report = self.fsck_json("--repair")

            self.assertEqual((status, report["summary"]["uploads"]), (CLEAN, 1))
            upload.send_rest()
            self.assertEqual(upload.response().status, 201)
        self.assert_hit(server, key, body)

    def test_an_upload_into_a_directory_that_was_removed_is_stored(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 1)
        (key,) = self.bodies
        shutil.rmtree(server.blob_path(key).parent.parent)
        self.assert_miss(server, key)

        self.assertEqual(server.put(key, self.bodies[key]).status, 201)

        self.assert_hit(server, key, self.bodies[key])


class Scrub(FsckTest):
    def await_log(self, server: harness.CacheServer, pattern: str, count: int = 1) -> None:
        await_event(
            lambda: len(re.findall(pattern, server.output_text())) >= count, f"log: {pattern}"
        )

    def test_a_flipped_byte_is_found_within_a_round(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 12)
        server.stop()
        key = sorted(self.bodies)[7]
        flip(harness.blob_path(self.storage, key))
        del self.bodies[key]

        server = self.start_server("--scrub-interval", "1s", storage=self.storage)
        self.await_log(server, "scrub ends")

        self.assertEqual(self.quarantined(server, key), [".json", ".txt", ".zst"])
        self.assertEqual(self.metric(server, "polykit_cache_scrub_corrupt_total"), 1)
        self.assertEqual(self.metric(server, "polykit_cache_corrupt_objects_total"), 1)
        self.assertGreaterEqual(self.metric(server, "polykit_cache_scrub_objects_total"), 12)
        self.assertGreater(self.metric(server, "polykit_cache_scrub_bytes_total"), 0)
        text = server.request("GET", "/metrics").body.decode()
        self.assertRegex(
            text, r"(?m)^polykit_cache_scrub_last_completed_timestamp_seconds [1-9]"
        )
        self.assertRegex(server.output_text(), r"scrub begins.*interval=1s")
        self.assertRegex(server.output_text(), r"scrub ends.*corrupt=1")
        self.assert_miss(server, key)
        self.assert_all_hit(server)
        self.await_log(server, "scrub ends", 2)  # and again
        server.stop()

    def test_after_a_restart_it_goes_on_where_it_was(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 12)
        server.stop()
        self.assertFalse((self.storage / "scrub.json").exists())
        shards = sorted({key[:4] for key in self.bodies})
        # As a server would have left it that was stopped in the middle of a round of a day, with
        # the time up since.
        state = {
            "version": 1,
            "started_at": 1,
            "next_shard": shards[8],
            "objects": 8,
            "bytes": 0,
            "corrupt": 0,
            "completed_at": 0,
        }
        (self.storage / "scrub.json").write_text(json.dumps(state))

        server = self.start_server("--scrub-interval", "10s", storage=self.storage)
        self.await_log(server, "scrub ends")

        self.assertRegex(server.output_text(), rf"scrub goes on.*shard={shards[8]}")
        self.assertRegex(server.output_text(), r"scrub ends.*objects=12")
        server.stop()
        kept = json.loads((self.storage / "scrub.json").read_text())
        self.assertGreater(kept["completed_at"], 1)

    def test_a_stop_keeps_how_far_it_is(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 6)
        server.stop()

        # Of a round of an hour the first directory is due at once, and the others are not.
        state = {"version": 1, "started_at": 1, "next_shard": "", "objects": 0, "bytes": 0}
        state |= {"corrupt": 0, "completed_at": 1}
        (self.storage / "scrub.json").write_text(json.dumps(state))
        server = self.start_server("--scrub-interval", "20s", storage=self.storage)
        await_event(
            lambda: self.metric(server, "polykit_cache_scrub_objects_total") >= 1, "one object"
        )
        server.stop()

        kept = json.loads((self.storage / "scrub.json").read_text())
        self.assertGreaterEqual(kept["objects"], 1)
        self.assertIn(kept["next_shard"], {key[:4] for key in self.bodies})
        self.assertEqual([p.name for p in (self.storage / "tmp").iterdir()], [])

    def test_it_can_be_turned_off(self) -> None:
        server = self.start_server("--scrub-interval", "0", storage=self.storage)
        self.fill(server, 1)
        self.assertNotIn("scrub", server.request("GET", "/metrics").body.decode())
        server.stop()
        self.assertNotIn("scrub", server.output_text())


if __name__ == "__main__":
    harness.main()
