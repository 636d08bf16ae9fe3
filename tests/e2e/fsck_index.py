"""`polykit-cache fsck` and the index: what somebody did to its rows behind the server's back."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fsck_case import CLEAN, LEFT, NOT_DONE, FsckTest
from robustness_case import await_event, harness


class IndexDrift(FsckTest):
    def database(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.storage / "index.db", timeout=harness.IO_TIMEOUT)
        self.addCleanup(database.close)
        return database

    def rows(self) -> dict[str, tuple[int, int, int]]:
        """Size, size on the disk and pin, by key."""
        query = "SELECT object_key, size, disk_size, pinned FROM objects"
        return {key: values for key, *values in self.database().execute(query)}

    def spoil(self) -> dict[str, str]:
        """Makes the rows of three objects wrong, each in its own way, and adds two of nothing."""
        missing, other, disk, *_ = sorted(self.bodies)
        ghosts = [sorted(self.bodies)[5][:4] + "0" * 60, "f" * 64]
        database = self.database()
        with database:
            database.execute("DELETE FROM objects WHERE object_key = ?", (missing,))
            database.execute("UPDATE objects SET size = size + 9 WHERE object_key = ?", (other,))
            database.execute("UPDATE objects SET disk_size = 1 WHERE object_key = ?", (disk,))
            for ghost in ghosts:
                database.execute(
                    "INSERT INTO objects (space_id, object_key, size, disk_size, stored_at,"
                    " accessed_at, hits, pinned, noted_at)"
                    " SELECT id, ?, 5, 8192, 1, 1, 0, 0, 1 FROM spaces",
                    (ghost,),
                )
            # As whoever keeps the books would have written them.
            database.execute(
                "UPDATE spaces SET objects = (SELECT count(*) FROM objects),"
                " size = (SELECT sum(size) FROM objects),"
                " disk_size = (SELECT sum(disk_size) FROM objects),"
                " pinned_objects = (SELECT sum(pinned) FROM objects),"
                " pinned_disk_size = (SELECT sum(pinned * disk_size) FROM objects)"
            )
        return {
            missing: "not in index",
            other: "wrong in index",
            disk: "wrong in index",
        } | dict.fromkeys(ghosts, "only in index")

    def pin(self) -> None:
        """One object whose row stays, and one whose size will be wrong."""
        _, other, _, kept, *_ = sorted(self.bodies)
        for key in (other, kept):
            binary = str(harness.environment_path("PKC_SERVER"))
            subprocess.run(  # noqa: S603
                [binary, "pin", key, "--storage-dir", str(self.storage)],
                check=True,
                capture_output=True,
                env=harness.clean_environment(),
            )

    def prepared(self) -> dict[str, tuple[int, int, int]]:
        server = self.start_server(storage=self.storage)
        self.fill(server, 20)
        server.stop()
        self.pin()
        return self.rows()

    def test_without_a_server_it_is_told_and_healed_and_pins_stay(self) -> None:
        right = self.prepared()
        self.assertEqual(sum(pinned for _, _, pinned in right.values()), 2)
        expected = self.spoil()
        spoilt = self.rows()

        for arguments, action in (((), "found"), (("--dry-run",), "would update index")):
            status, report = self.fsck_json(*arguments)
            self.assertEqual(status, LEFT)
            self.assertEqual({f["subject"]: f["fault"] for f in report["findings"]}, expected)
            self.assertEqual({f["action"] for f in report["findings"]}, {action})
            self.assertTrue(report["summary"]["index_compared"])
            self.assertEqual(self.rows(), spoilt)
        self.assertRegex(self.fsck().stdout, r"(?m)^wrong in index +found +polykit +[0-9a-f]{64}: \d+ bytes")

        status, report = self.fsck_json("--repair")

        self.assertEqual(status, CLEAN)
        self.assertEqual({f["subject"]: f["fault"] for f in report["findings"]}, expected)
        self.assertEqual({f["action"] for f in report["findings"]}, {"index updated"})
        self.assertEqual(self.rows(), right)
        status, report = self.fsck_json()
        self.assertEqual((status, report["findings"]), (CLEAN, []))
        self.assert_all_hit(self.start_server(storage=self.storage))

    def test_a_repair_of_files_tells_the_index(self) -> None:
        right = self.prepared()
        gone = self.damage(5)

        status, report = self.fsck_json("--repair", "--verify-content")

        self.assertEqual(status, CLEAN)
        self.assertEqual({f["subject"]: f["fault"] for f in report["findings"]}, gone)
        self.assertEqual(self.rows(), {k: row for k, row in right.items() if k not in gone})
        self.assertEqual(self.fsck_json()[1]["summary"]["damages"], 0)

    def test_beside_a_server_it_is_healed_and_the_server_counts_right(self) -> None:
        self.prepared()
        server = self.start_server("--cache-max-size", "1GiB", storage=self.storage)
        right = self.rows()
        taken = self.taken(server)
        self.assertEqual(taken, sum(disk_size for _, disk_size, _ in right.values()))
        expected = self.spoil()
        gone = set(sorted(self.bodies)[10:12])
        for key in gone:
            harness.blob_path(self.storage, key).with_suffix(".json").unlink()
            del self.bodies[key]

        status, report = self.fsck_json("--repair")

        self.assertEqual(status, CLEAN, report)
        self.assertEqual(
            {f["subject"]: f["fault"] for f in report["findings"]},
            expected | dict.fromkeys(gone, "orphan blob"),
        )
        left = {key: row for key, row in right.items() if key not in gone}
        self.assertEqual(self.rows(), left)
        taken = sum(disk_size for _, disk_size, _ in left.values())
        await_event(lambda: self.taken(server) == taken, "the server has compared")
        await_event(
            lambda: json.loads(server.request("GET", "/api/stats").body)["index"]["complete"],
            "the index is complete",
        )
        self.assert_all_hit(server)
        status, report = self.fsck_json()
        self.assertEqual((status, report["findings"]), (CLEAN, []))

    def taken(self, server: harness.CacheServer) -> int:
        return json.loads(server.request("GET", "/api/stats").body)["taken"]

    def test_beside_a_server_what_it_has_not_written_yet_is_no_drift(self) -> None:
        server = self.start_server(storage=self.storage)
        for _ in range(3):
            self.fill(server, 5)

            status, report = self.fsck_json()

            self.assertEqual((status, report["findings"]), (CLEAN, []))
            self.assertTrue(report["summary"]["index_compared"], report["summary"])

    def test_a_database_that_is_damaged_is_told_and_a_repair_begins_a_new_one(self) -> None:
        self.prepared()
        path = self.storage / "index.db"
        path.write_bytes(b"x" * 8192)

        status, report = self.fsck_json()
        self.assertEqual(status, LEFT)
        self.assertEqual(
            [(f["fault"], f["subject"]) for f in report["findings"]], [("broken index", "index.db")]
        )
        self.assertFalse(report["summary"]["index_compared"])
        self.assertEqual(path.read_bytes(), b"x" * 8192)

        done = self.fsck("--repair")
        self.assertEqual(done.returncode, CLEAN)
        self.assertRegex(done.stdout, r"(?m)^broken index +index updated +- +index\.db: ")
        self.assertEqual((self.storage / "index.db.broken-1").read_bytes(), b"x" * 8192)
        server = self.start_server(storage=self.storage)
        await_event(lambda: len(self.rows()) == len(self.bodies), "the server has filled it")
        self.assert_all_hit(server)

    def test_no_index_is_nothing_to_compare_with_and_none_is_made(self) -> None:
        self.prepared()
        for path in self.storage.glob("index.db*"):
            path.unlink()

        done = self.fsck("--repair")

        self.assertEqual(done.returncode, CLEAN)
        self.assertIn("The index was not compared with the files: there is none", done.stdout)
        self.assertEqual(list(self.storage.glob("index.db*")), [])

    def test_an_index_of_a_newer_version_is_left_alone_and_exit_code_3(self) -> None:
        self.prepared()
        database = self.database()
        with database:
            database.execute("INSERT INTO schema_steps VALUES (999, 0)")

        status, report = self.fsck_json("--repair")

        self.assertEqual(status, NOT_DONE)
        self.assertIn("newer", report["summary"]["index_skipped"])
        self.assertFalse((self.storage / "index.db.broken-1").exists())


if __name__ == "__main__":
    harness.main()
