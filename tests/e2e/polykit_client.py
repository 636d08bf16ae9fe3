"""The published Polykit client library against our server, and one directory used by both servers.

Needs PKC_SERVER and PKC_POLYKIT_CLIENT (the crate in client/). The tests that move a directory between
the servers also need PKC_ORIGINAL_SERVER.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402

OK, ERROR, MISS = 0, 1, 3
CLIENT_TIMEOUT = 30.0  # seconds for one attempt; the client gives up after it and sends all again
MIB = 1 << 20

OUTPUTS = {
    "stdout.txt": b"built hello\n",
    "stderr.txt": b"",
    "deep/er/data.bin": bytes(range(256)) * 300,
    "größe.txt": "schön\n".encode(),
}


def key_of(seed: str) -> str:
    """The key that the client derives from the seed."""
    return artifact.CacheKey(command=seed).hash()


class ClientTest(harness.ServerTest):
    """Runs the client's binary."""

    def setUp(self) -> None:
        super().setUp()
        self.client_binary = os.environ["PKC_POLYKIT_CLIENT"]

    def client(self, *arguments: str, timeout: float = 150.0) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.client_binary, *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            env=harness.clean_environment(),
            check=False,
        )

    def write_outputs(self, files: Mapping[str, bytes]) -> list[str]:
        """Puts the files on disk and returns them as NAME=FILE arguments."""
        arguments = []
        for name, data in files.items():
            path = self.directory / "outputs" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
            arguments.append(f"{name}={path}")
        return arguments

    def upload(
        self, url: str, seed: str, files: Mapping[str, bytes], *options: str
    ) -> subprocess.CompletedProcess[str]:
        return self.client("upload", url, seed, *options, *self.write_outputs(files))

    def assert_done(self, result: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(result.returncode, OK, result.stderr)

    def assert_fetches(self, url: str, seed: str, files: Mapping[str, bytes], *options: str) -> None:
        """has is a hit, and fetch gives exactly these files."""
        self.assert_done(self.client("has", url, seed, *options))
        target = self.directory / "fetched" / seed
        self.assert_done(self.client("fetch", url, seed, str(target), *options))
        fetched = {
            str(path.relative_to(target)): path.read_bytes()
            for path in target.rglob("*")
            if path.is_file()
        }
        self.assertEqual(fetched, dict(files))


class RealClient(ClientTest):
    def test_its_keys_are_those_of_the_generator(self) -> None:
        result = self.client("key", "echo hello")

        self.assertEqual(result.stdout.strip(), key_of("echo hello"))

    def test_its_artifacts_are_those_of_the_generator(self) -> None:
        server = self.start_server()
        key = key_of("same bytes")
        self.assert_done(self.upload(server.url, "same bytes", OUTPUTS))

        stored = server.get(key).body

        created_at = json.loads(server.sidecar_path(key).read_bytes())["created_at"]
        metadata = artifact.metadata(
            key, package_name="test-package", command="same bytes", created_at=created_at
        )
        self.assertEqual(stored, artifact.build(key, OUTPUTS, metadata_json=metadata))

    def test_what_it_uploads_it_fetches_again(self) -> None:
        server = self.start_server()

        self.assert_done(self.upload(server.url, "round trip", OUTPUTS))

        self.assert_fetches(server.url, "round trip", OUTPUTS)

    def test_a_key_nobody_uploaded_is_a_miss(self) -> None:
        server = self.start_server()
        target = self.directory / "fetched"

        has = self.client("has", server.url, "absent")
        fetch = self.client("fetch", server.url, "absent", str(target))

        self.assertEqual((has.returncode, fetch.returncode), (MISS, MISS), has.stderr + fetch.stderr)
        self.assertFalse(target.exists())

    def test_a_second_upload_is_refused_and_never_written(self) -> None:
        server = self.start_server()
        files = {"stdout.txt": b"".join(artifact.Pattern(8 * MIB).chunks())}
        self.assert_done(self.upload(server.url, "twice", files))
        blob = server.blob_path(key_of("twice"))
        identity, content = blob.stat(), blob.read_bytes()
        written_before = bytes_written(server)

        started = time.monotonic()
        second = self.upload(server.url, "twice", files)
        elapsed = time.monotonic() - started

        self.assertEqual(second.returncode, ERROR)
        self.assertIn("409", second.stderr)
        self.assertGreater(elapsed, 0.7, "the client's three pauses")
        self.assertLess(bytes_written(server) - written_before, MIB, "four bodies of 8 MiB were sent")
        self.assertEqual(blob.stat().st_ino, identity.st_ino)
        self.assertEqual(blob.read_bytes(), content)
        self.assertEqual(server.temp_files(), [])
        self.assert_fetches(server.url, "twice", files)

    def test_trailing_slashes_in_its_url_do_no_harm(self) -> None:
        server = self.start_server()

        self.assert_done(self.upload(f"{server.url}///", "slashes", OUTPUTS))

        self.assert_fetches(f"{server.url}//", "slashes", OUTPUTS)

    def test_a_path_prefix_reaches_us_through_a_reverse_proxy(self) -> None:
        server = self.start_server()
        proxy = self.start_nginx(
            f"client_max_body_size 1g; location /pre/fix/ {{ proxy_pass {server.url}/; }}"
        )

        self.assert_done(self.upload(f"{proxy.url}/pre/fix//", "prefix", OUTPUTS))

        self.assert_fetches(f"{proxy.url}/pre/fix/", "prefix", OUTPUTS)
        self.assert_fetches(server.url, "prefix", OUTPUTS)

    def test_ten_uploads_at_once_all_arrive(self) -> None:
        server = self.start_server()

        result = self.client("swarm", server.url, "swarm", "10", *self.write_outputs(OUTPUTS))

        self.assert_done(result)
        for number in range(10):
            self.assert_fetches(server.url, f"swarm-{number}", OUTPUTS)

    def test_a_task_that_printed_nothing_is_cached(self) -> None:
        server = self.start_server()
        silent = {"stdout.txt": b"", "stderr.txt": b""}

        self.assert_done(self.upload(server.url, "silent", silent))

        self.assert_fetches(server.url, "silent", silent)

    def test_an_upload_survives_a_restart(self) -> None:
        first = self.start_server()
        self.assert_done(self.upload(first.url, "restart", OUTPUTS))
        self.assertEqual(first.stop(), 0)

        second = self.start_server(storage=first.storage)

        self.assert_fetches(second.url, "restart", OUTPUTS)

    def test_an_upload_survives_kill_9(self) -> None:
        first = self.start_server()
        self.assert_done(self.upload(first.url, "killed", OUTPUTS))
        first.kill()

        second = self.start_server(storage=first.storage)

        self.assert_fetches(second.url, "killed", OUTPUTS)

    def test_200_mib_take_less_than_its_time_limit(self) -> None:
        server = self.start_server()
        files = {"stdout.txt": b"".join(artifact.Pattern(200 * MIB).chunks())}

        started = time.monotonic()
        result = self.upload(server.url, "large", files)
        elapsed = time.monotonic() - started

        self.assert_done(result)
        self.assertLess(elapsed, CLIENT_TIMEOUT)
        self.assertGreater(server.blob_path(key_of("large")).stat().st_size, 200 * MIB)
        self.assert_fetches(server.url, "large", files)

    def test_credentials_that_nobody_asked_for_do_no_harm(self) -> None:
        server = self.start_server()
        url = server.url.replace("http://", "http://user:pass@")

        self.assert_done(self.upload(url, "credentials", OUTPUTS, "token=secret"))

        self.assert_fetches(url, "credentials", OUTPUTS, "token=secret")

    def test_a_rotten_blob_is_a_miss_and_can_be_uploaded_again(self) -> None:
        first = self.start_server()
        self.assert_done(self.upload(first.url, "rotten", OUTPUTS))
        first.stop()
        flip_a_byte(first.blob_path(key_of("rotten")))
        second = self.start_server(storage=first.storage)

        fetch = self.client("fetch", second.url, "rotten", str(self.directory / "never"))

        self.assertEqual(fetch.returncode, MISS, fetch.stderr)
        self.assert_done(self.upload(second.url, "rotten", OUTPUTS))
        self.assert_fetches(second.url, "rotten", OUTPUTS)


class SharedDirectory(ClientTest):
    """The same storage directory under the original server and under ours, one after the other."""

    def test_what_the_original_stored_we_serve(self) -> None:
        original = self.start_server(original=True)
        for seed in ("one", "two"):
            self.assert_done(self.upload(original.url, seed, OUTPUTS))
        before = harness.stored_files(original.storage)
        original.stop()

        ours = self.start_server(storage=original.storage)

        for seed in ("one", "two"):
            self.assert_fetches(ours.url, seed, OUTPUTS)
        self.assertEqual(harness.stored_files(ours.storage), before)

    def test_what_the_original_stored_is_not_overwritten(self) -> None:
        original = self.start_server(original=True)
        self.assert_done(self.upload(original.url, "kept", OUTPUTS))
        original.stop()

        ours = self.start_server(storage=original.storage)
        second = self.upload(ours.url, "kept", {"stdout.txt": b"another\n"})

        self.assertEqual(second.returncode, ERROR)
        self.assertIn("409", second.stderr)
        self.assert_fetches(ours.url, "kept", OUTPUTS)

    def test_what_we_stored_the_original_serves(self) -> None:
        ours = self.start_server()
        self.assert_done(self.upload(ours.url, "ours", OUTPUTS))
        self.assertEqual(ours.stop(), 0)

        original = self.start_server(original=True, storage=ours.storage)

        self.assert_fetches(original.url, "ours", OUTPUTS)

    def test_the_directory_goes_back_and_forth(self) -> None:
        storage = self.directory / "shared"
        for turn in range(4):
            server = self.start_server(original=turn % 2 == 0, storage=storage)
            self.assert_done(self.upload(server.url, f"turn-{turn}", OUTPUTS))
            for earlier in range(turn + 1):
                self.assert_fetches(server.url, f"turn-{earlier}", OUTPUTS)
            server.stop()


def bytes_written(server: harness.CacheServer) -> int:
    """What the process has written to files since its start (sockets are not counted)."""
    text = Path(f"/proc/{server.pid}/io").read_text()
    return int(text.split("wchar:")[1].split()[0])


def flip_a_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0x40
    path.write_bytes(data)


if __name__ == "__main__":
    if harness.environment_path("PKC_POLYKIT_CLIENT") is None:
        harness.skip("the Polykit client is not built (PKC_POLYKIT_CLIENT)")
    harness.main()
