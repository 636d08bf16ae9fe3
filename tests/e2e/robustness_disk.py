"""A full disk, damaged files, and a storage directory that cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from robustness_case import (
    KIB,
    MIB,
    RobustnessTest,
    artifact,
    big_artifact,
    harness,
    small_artifact,
)

CORRUPT = "polykit_cache_corrupt_objects_total"
QUARANTINED = [".json", ".txt", ".zst"]
AHEAD_MAX = 4 * MIB  # larger objects are verified while they are sent


def flip(path: Path, position: float) -> None:
    """Changes one bit at a relative position."""
    data = bytearray(path.read_bytes())
    data[int(position * (len(data) - 1))] ^= 1
    path.write_bytes(data)


class FullDisk(RobustnessTest):
    def check_refused(self, server: harness.CacheServer, key: str, body: bytes) -> None:
        before = sorted(harness.stored_files(server.storage))
        self.assert_error(server.put(key, body), 507)
        self.await_no_temp_files(server)
        self.assertEqual(sorted(harness.stored_files(server.storage)), before)
        self.assert_miss(server, key)

    def test_an_upload_without_room_is_507_and_the_rest_goes_on(self) -> None:
        server = self.start_server(storage=self.mount_small("size=8m"))
        kept, large, larger = map(artifact.key_for, ("kept", "large", "larger"))
        kept_body, large_body = big_artifact(kept, MIB), big_artifact(large, 6 * MIB)
        self.assertEqual(server.put(kept, kept_body).status, 201)

        self.check_refused(server, larger, big_artifact(larger, 12 * MIB))
        filler = server.storage / "filler"
        filler.write_bytes(bytes(3 * MIB))
        self.check_refused(server, large, large_body)
        self.assert_hit(server, kept, kept_body)
        filler.unlink()

        self.assertEqual(server.put(large, large_body).status, 201)
        self.assert_hit(server, large, large_body)
        self.assert_hit(server, kept, kept_body)

    def test_not_even_a_small_one_is_half_stored(self) -> None:
        server = self.start_server(storage=self.mount_small("size=8m"))
        kept, small = artifact.key_for("kept"), artifact.key_for("small")
        kept_body, small_body = small_artifact(kept), small_artifact(small)
        self.assertEqual(server.put(kept, kept_body).status, 201)
        filler = server.storage / "filler"
        with filler.open("wb", buffering=0) as out:
            try:
                while True:
                    out.write(bytes(4 * KIB))
            except OSError:
                pass

        self.check_refused(server, small, small_body)
        self.assert_hit(server, kept, kept_body)
        filler.unlink()

        self.assertEqual(server.put(small, small_body).status, 201)
        self.assert_hit(server, small, small_body)

    def test_no_inode_left_is_507_too(self) -> None:
        # Room for the directories of the server, and one blob, but not for its sidecar or shard.
        for inodes in range(6, 12):
            with self.subTest(inodes=inodes):
                server = self.start_server(storage=self.mount_small(f"size=8m,nr_inodes={inodes}"))
                key = artifact.key_for("no inode")
                answer = server.put(key, small_artifact(key))
                if answer.status == 201:
                    self.assert_hit(server, key, small_artifact(key))
                else:
                    self.assert_error(answer, 507)
                    self.assert_miss(server, key)
                self.assertEqual(server.temp_files(), [])


class DamagedBlobs(RobustnessTest):
    def store(self, size: int) -> None:
        """An object in a directory that no server uses now."""
        self.key = artifact.key_for(f"damaged {size}")
        self.body = big_artifact(self.key, size)
        server = self.start_server()
        self.assertEqual(server.put(self.key, self.body).status, 201)
        self.assert_hit(server, self.key, self.body)
        self.assertEqual(server.stop(), 0)
        self.storage = server.storage
        self.blob = server.blob_path(self.key)
        self.sidecar = server.sidecar_path(self.key)

    def restart(self) -> harness.CacheServer:
        return self.start_server(storage=self.storage)

    def check_healed(self, server: harness.CacheServer) -> None:
        self.assertEqual(server.put(self.key, self.body).status, 201)
        self.assert_hit(server, self.key, self.body)
        self.assert_stored(server, self.key, self.body)

    def test_one_flipped_byte_of_a_small_one_is_a_miss_quarantined_and_counted(self) -> None:
        self.store(64 * KIB)
        flip(self.blob, 0.5)
        server = self.restart()
        self.assertEqual(self.metric(server, CORRUPT), 0)

        self.assert_miss(server, self.key)

        self.assertEqual(self.quarantined(server, self.key), QUARANTINED)
        self.assertFalse(self.blob.exists())
        self.assertEqual(self.metric(server, CORRUPT), 1)
        self.check_healed(server)
        self.assertEqual(self.metric(server, CORRUPT), 1)

    def test_head_comes_to_the_same_verdict_as_get(self) -> None:
        self.store(64 * KIB)
        flip(self.blob, 1)
        server = self.restart()

        self.assertEqual(server.head(self.key).status, 404)

        self.assertEqual(self.metric(server, CORRUPT), 1)
        self.assert_miss(server, self.key)

    def test_put_replaces_a_bad_one_that_nobody_has_read(self) -> None:
        self.store(64 * KIB)
        flip(self.blob, 0)

        self.check_healed(self.restart())

    def test_a_byte_flipped_while_the_server_runs_is_found(self) -> None:
        self.store(64 * KIB)
        server = self.restart()
        self.assert_hit(server, self.key, self.body)

        flip(self.blob, 0.5)

        self.assert_miss(server, self.key)
        self.assertEqual(self.metric(server, CORRUPT), 1)
        self.check_healed(server)

    def test_a_large_one_never_ends_cleanly_and_is_a_miss_afterwards(self) -> None:
        for position in (0.0, 0.5, 1.0):
            with self.subTest(position=position):
                self.store(AHEAD_MAX + MIB)
                flip(self.blob, position)
                server = self.restart()

                answer = server.get(self.key)

                self.assertEqual(answer.status, 200)
                self.assertFalse(answer.complete)
                self.assertLess(len(answer.body), len(self.body))
                self.assert_miss(server, self.key)
                self.assertEqual(self.quarantined(server, self.key), QUARANTINED)
                self.assertEqual(self.metric(server, CORRUPT), 1)
                self.check_healed(server)
                self.assertEqual(server.stop(), 0)

    def test_a_range_of_a_large_one_is_not_served_unverified(self) -> None:
        self.store(AHEAD_MAX + MIB)
        flip(self.blob, 0.9)
        server = self.restart()

        answer = server.get(self.key, Range="bytes=0-99")

        self.assert_error(answer, 404)
        self.assertEqual(self.metric(server, CORRUPT), 1)
        self.check_healed(server)

    def test_a_damaged_pair_is_a_miss_and_heals(self) -> None:
        def truncate(path: Path) -> None:
            os.truncate(path, path.stat().st_size // 2)

        def other_size() -> None:
            sidecar = json.loads(self.sidecar.read_bytes())
            self.sidecar.write_text(json.dumps({**sidecar, "size": sidecar["size"] + 1}))

        damages: dict[str, Callable[[], object]] = {
            "blob cut in half": lambda: truncate(self.blob),
            "blob empty": lambda: os.truncate(self.blob, 0),
            "blob gone": lambda: self.blob.unlink(),
            "sidecar cut in half": lambda: truncate(self.sidecar),
            "sidecar empty": lambda: os.truncate(self.sidecar, 0),
            "sidecar gone": lambda: self.sidecar.unlink(),
            "sidecar of other size": other_size,
            "sidecar no JSON": lambda: self.sidecar.write_bytes(b"\xff\0"),
        }
        for name, damage in damages.items():
            with self.subTest(damage=name):
                self.store(8 * KIB)
                damage()
                server = self.restart()

                self.assert_miss(server, self.key)

                self.check_healed(server)
                self.assertEqual(server.stop(), 0)


class UnusableDirectory(RobustnessTest):
    def run_server(
        self, *arguments: str, port: int = 0, prefix: tuple[str, ...] = ()
    ) -> tuple[int, str]:
        """Exit status and output of a server that should not start."""
        binary = harness.environment_path("PKC_SERVER")
        command = [*prefix, str(binary), "--port", str(port), *arguments]
        _, log = tempfile.mkstemp(prefix="refused-", suffix=".log", dir=self.directory)
        process = harness.Process(command, Path(log), harness.clean_environment())
        self.addCleanup(process.kill)
        status = process.wait()
        return status, process.output_text()

    def assert_plain(self, output: str, *words: str) -> None:
        """A person can read it: it names the trouble, and is no crash."""
        for word in words:
            self.assertIn(word.lower(), output.lower())
        self.assertNotRegex(output, r"terminate called|assertion|what\(\)|Aborted|0x[0-9a-f]{6}")
        self.assertLess(len(output.splitlines()), 12, output)

    def test_a_second_server_on_the_directory_does_not_start(self) -> None:
        first = self.start_server()
        key = artifact.key_for("first")
        self.assertEqual(first.put(key, small_artifact(key)).status, 201)

        status, output = self.run_server("--storage-dir", str(first.storage))

        self.assertEqual(status, 1, output)
        self.assert_plain(output, str(first.storage), "another")
        self.assert_hit(first, key, small_artifact(key))

    def test_a_file_in_the_place_of_the_directory_is_named(self) -> None:
        in_the_way = self.directory / "file"
        in_the_way.write_bytes(b"not a directory")
        for path in (in_the_way, in_the_way / "below"):
            with self.subTest(path=path.name):
                status, output = self.run_server("--storage-dir", str(path))

                self.assertEqual(status, 1, output)
                self.assert_plain(output, str(in_the_way))

    def test_a_directory_without_permission_is_named(self) -> None:
        storage = self.directory / "locked"
        storage.mkdir(mode=0o700)
        prefix: tuple[str, ...] = ()
        if os.geteuid() == 0:
            if shutil.which("setpriv") is None:
                self.skipTest("no setpriv to become somebody without permission")
            prefix = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
            self.directory.chmod(0o755)
            if subprocess.run([*prefix, "test", "-x", os.environ["PKC_SERVER"]], check=False).returncode:
                self.skipTest("the binary cannot be run by somebody without permission")
        else:
            storage.chmod(0o500)

        status, output = self.run_server("--storage-dir", str(storage), prefix=prefix)

        self.assertEqual(status, 1, output)
        self.assert_plain(output, str(storage), "permission denied")

    def test_a_port_in_use_is_named(self) -> None:
        first = self.start_server()
        storage = str(self.directory / "second")

        status, output = self.run_server("--storage-dir", storage, port=first.port)

        self.assertEqual(status, 1, output)
        self.assert_plain(output, str(first.port), "in use")

    def test_wrong_arguments_are_exit_2_and_named(self) -> None:
        storage = str(self.directory / "never made")
        for arguments, named in (
            (("--no-such-flag",), "no-such-flag"),
            (("--max-size", "many"), "max-size"),
            (("--max-size", "-1"), "max-size"),
            (("--body-timeout", "soon"), "body-timeout"),
            (("--workers-max", "0"), "workers-max"),
            (("--log-level",), "log-level"),
            (("--config", "/nonexistent.yaml"), "nonexistent.yaml"),
        ):
            with self.subTest(arguments=arguments):
                status, output = self.run_server("--storage-dir", storage, *arguments)

                self.assertEqual(status, 2, output)
                self.assert_plain(output, named)
        self.assertFalse(Path(storage).exists())


if __name__ == "__main__":
    harness.main()
