"""What people download with, through /fetch: curl, wget, aria2c, Python requests, Ansible get_url."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    BEFORE_HEAD,
    KIB,
    MIB,
    Answer,
    FetchTest,
    Gate,
    Origin,
    harness,
    noise,
    prose,
    sha256,
    target_of,
)

TOOL_TIMEOUT = 120  # seconds
SIZE = 8 * MIB + 12_345


class ToolTest(FetchTest):
    """A cache, an origin with one file, and a folder to download to."""

    def setUp(self) -> None:
        super().setUp()
        self.files = self.directory / "files"
        self.files.mkdir()

    def tool(self, name: str) -> str:
        program = shutil.which(name)
        if program is None:
            self.skipTest(f"{name} is not installed")
        return program

    def call(
        self, *command: str | Path, env: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            [str(word) for word in command],
            cwd=self.files,
            capture_output=True,
            text=True,
            check=False,
            timeout=TOOL_TIMEOUT,
            env={**harness.clean_environment(env), "HOME": str(self.directory)},
        )

    def url(self, server: harness.CacheServer, source: str, **parameters: str) -> str:
        return server.url + target_of(source, **parameters)

    def assert_file(self, name: str, body: bytes) -> None:
        self.assertTrue((self.files / name).read_bytes() == body, f"{name} is another file")

    def assert_done(self, done: subprocess.CompletedProcess[str]) -> None:
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)

    def broken_once(self, origin: Origin, path: str, body: bytes) -> str:
        """The first download breaks in the middle, and cannot be resumed by the cache."""
        return origin.program(path, Answer(body=body, cut_at=SIZE // 2), Answer(body=body))


class Curl(ToolTest):
    def curl(
        self, server: harness.CacheServer, source: str, *options: str, **parameters: str
    ) -> subprocess.CompletedProcess[str]:
        return self.call(
            *(self.tool("curl"), "--silent", "--show-error", "--noproxy", "*", *options),
            self.url(server, source, **parameters),
        )

    def test_o_and_capital_o(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        source = origin.program("/a.tar.gz", Answer(body=body))

        self.assert_done(self.curl(server, source, "-o", "miss"))
        self.assert_done(self.curl(server, source, "-o", "hit", "--http1.0"))
        self.assert_done(self.curl(server, source, "-O", sha256=sha256(body)))

        for name in ("miss", "hit", "fetch"):
            self.assert_file(name, body)
        self.assertEqual(origin.count(), 1)

    def test_a_broken_transfer_is_an_error_and_goes_on_where_it_was(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        source = self.broken_once(origin, "/a", body)

        broken = self.curl(server, source, "-o", "file")

        self.assertIn(broken.returncode, (18, 56))  # partial file, or a failure to receive
        half = (self.files / "file").stat().st_size
        self.assertGreater(half, 0)
        self.assertLess(half, SIZE)
        self.assert_done(self.curl(server, source, "-C", "-", "-o", "file"))
        self.assert_file("file", body)
        # Once more, when it is stored.
        os.truncate(self.files / "file", SIZE // 3)
        self.assert_done(self.curl(server, source, "-C", "-", "-o", "file"))
        self.assert_file("file", body)
        self.assertEqual(origin.count(), 2)

    def test_compressed(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        if "zstd" not in self.call(self.tool("curl"), "--version").stdout:
            self.skipTest("this curl has no zstd")
        for name, body in (("prose", prose(SIZE)), ("noise", noise(SIZE))):
            source = origin.program(f"/{name}", Answer(body=body))
            for number in range(2):
                file = f"{name}{number}"
                self.assert_done(self.curl(server, source, "--compressed", "-o", file))
                self.assert_file(file, body)
        told = self.curl(
            *(server, origin.url("/prose"), "--compressed", "-o", "x", "-w", "%{size_download}")
        )
        self.assertLess(int(told.stdout), SIZE // 2)

    def test_retry_helps_itself_over_a_failure_of_the_origin(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        failing = origin.program("/a", Answer(status=500), Answer(body=body))
        missing = origin.program("/missing", Answer(status=404))

        self.assert_done(self.curl(server, failing, "--fail", "--retry", "3", "-o", "file"))
        refused = self.curl(server, missing, "--fail", "-o", "missing")

        self.assert_file("file", body)
        self.assertEqual(refused.returncode, 22)
        self.assertFalse((self.files / "missing").exists())

    def test_the_time_condition_of_curl(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(100 * KIB)
        source = origin.program(
            "/a", Answer(body=body, last_modified="Sun, 06 Nov 1994 08:49:37 GMT")
        )
        self.assert_done(self.curl(server, source, "-R", "-o", "file"))
        self.assertEqual(int((self.files / "file").stat().st_mtime), 784_111_777)

        told = self.curl(server, source, "-z", "file", "-o", "again", "-w", "%{http_code}")

        self.assertEqual(told.stdout, "304")


class Wget(ToolTest):
    def wget(
        self, server: harness.CacheServer, source: str, *options: str, **parameters: str
    ) -> subprocess.CompletedProcess[str]:
        return self.call(
            *(self.tool("wget"), "--no-verbose", "--no-proxy", *options),
            self.url(server, source, **parameters),
        )

    def test_capital_o_cold_and_warm(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        for framing in ("length", "chunked"):
            source = origin.program(f"/{framing}", Answer(body=body, framing=framing))
            for name in ("miss", "hit"):
                self.assert_done(self.wget(server, source, "-O", name))
                self.assert_file(name, body)

    def test_c_goes_on_where_it_was_cold_and_warm(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        source = origin.program("/a", Answer(body=body))
        for _ in range(2):
            (self.files / "file").write_bytes(body[: SIZE // 2])

            self.assert_done(self.wget(server, source, "-c", "-O", "file"))

            self.assert_file("file", body)
        self.assert_done(self.wget(server, source, "-c", "-O", "file"))  # nothing is left to do
        self.assert_file("file", body)
        self.assertEqual(origin.count(), 1)

    def test_it_sees_a_break_and_helps_itself(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        source = self.broken_once(origin, "/a", body)
        # Without its own tries a break is an error.
        self.assertNotEqual(self.wget(server, source, "--tries=1", "-O", "file").returncode, 0)
        source = self.broken_once(origin, "/b", body)

        self.assert_done(self.wget(server, source, "--tries=3", "--waitretry=0", "-O", "file"))

        self.assert_file("file", body)

    def test_an_error_is_one(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        source = origin.program("/a", Answer(status=404))

        self.assertEqual(self.wget(server, source, "--tries=1", "-O", "file").returncode, 8)


class Aria2(ToolTest):
    def aria2(
        self, server: harness.CacheServer, source: str, name: str, body: bytes
    ) -> subprocess.CompletedProcess[str]:
        return self.call(
            *(self.tool("aria2c"), "--no-conf", "--quiet", "--file-allocation=none"),
            *("-x", "8", "-s", "8", "-k", "1M", "--max-tries=1", "--out", name),
            *(f"--checksum=sha-256={sha256(body)}", self.url(server, source)),
        )

    def test_eight_connections_cold_and_warm(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for kind, body in (("noise", noise(3 * SIZE)), ("prose", prose(3 * SIZE))):
            source = origin.program(f"/{kind}", Answer(body=body))

            for name in (f"{kind}-cold", f"{kind}-warm"):
                self.assert_done(self.aria2(server, source, name, body))
                self.assert_file(name, body)

            self.assertEqual(origin.count(f"/{kind}"), 1)

    def test_a_break_is_no_end(self) -> None:
        """It asks again by itself where one of its connections broke, or says that it failed."""
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        for number in range(5):
            source = self.broken_once(origin, f"/{number}", body)
            name = f"file{number}"

            if self.aria2(server, source, name, body).returncode != 0:
                self.assert_done(self.aria2(server, source, name, body))  # it goes on

            self.assert_file(name, body)


REQUESTS = """
import hashlib, sys, requests
answer = requests.get(sys.argv[1], stream=True, timeout=60)
answer.raise_for_status()
digest = hashlib.sha256()
try:
    for piece in answer.iter_content(65536):
        digest.update(piece)
except (requests.exceptions.ChunkedEncodingError, requests.exceptions.ConnectionError):
    sys.exit("broken")
print(digest.hexdigest())
"""


class Requests(ToolTest):
    """Of Debian's Python: the package belongs to that."""

    def setUp(self) -> None:
        super().setUp()
        candidates = (sys.executable, "/usr/bin/python3")
        self.python = next(
            (p for p in candidates if Path(p).exists() and self.has_requests(p)), None
        )
        if self.python is None:
            self.skipTest("Python's requests is not installed")

    def has_requests(self, python: str) -> bool:
        return self.call(python, "-c", "import requests").returncode == 0

    def run_requests(
        self, server: harness.CacheServer, source: str, **parameters: str
    ) -> subprocess.CompletedProcess[str]:
        return self.call(str(self.python), "-c", REQUESTS, self.url(server, source, **parameters))

    def test_a_stream_cold_and_warm(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for kind, body in (("noise", noise(SIZE)), ("prose", prose(SIZE))):
            for framing in ("length", "chunked"):
                source = origin.program(f"/{kind}-{framing}", Answer(body=body, framing=framing))
                for _ in range(2):
                    done = self.run_requests(server, source)
                    self.assert_done(done)
                    self.assertEqual(done.stdout.strip(), sha256(body))

    def test_a_break_is_an_exception(self) -> None:
        """This client does not count bytes by itself: only a reset can tell it."""
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        for framing in ("length", "chunked"):
            fault = Answer(body=body, framing=framing, cut_at=SIZE // 2)
            source = origin.program(f"/{framing}", fault)

            done = self.run_requests(server, source)

            self.assertEqual((done.returncode, done.stderr.strip()), (1, "broken"), done.stdout)


class Ansible(ToolTest):
    def get_url(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        # Its temporary files would lie in the home directory, and its locale has to be UTF-8.
        env = {
            "ANSIBLE_LOCAL_TEMP": str(self.directory / "local"),
            "ANSIBLE_REMOTE_TEMP": str(self.directory / "remote"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_PYTHON_INTERPRETER": "/usr/bin/python3",
            "LC_ALL": "C.UTF-8",
        }
        return self.call(
            *(self.tool("ansible"), "localhost", "-c", "local", "-i", "localhost,"),
            *("-m", "get_url", "-a", " ".join(arguments)),
            env=env,
        )

    def test_with_the_right_checksum_twice_and_with_a_wrong_one(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        source = origin.program("/a.tar.gz", Answer(body=body))
        file = self.files / "file"
        url = self.url(server, source)

        first = self.get_url(f"url={url}", f"dest={file}", f"checksum=sha256:{sha256(body)}")
        second = self.get_url(f"url={url}", f"dest={file}", f"checksum=sha256:{sha256(body)}")
        wrong = self.get_url(
            f"url={url}", f"dest={self.files / 'wrong'}", f"checksum=sha256:{sha256(b'other')}"
        )

        self.assert_done(first)
        self.assertIn('"changed": true', first.stdout)
        self.assert_file("file", body)
        self.assert_done(second)
        self.assertIn('"changed": false', second.stdout)
        self.assertNotEqual(wrong.returncode, 0)
        self.assertFalse((self.files / "wrong").exists())
        self.assertEqual(origin.count(), 1)

    def test_a_checksum_for_the_cache_as_well(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        source = origin.program("/a.tar.gz", Answer(body=body))

        wrong = self.get_url(
            f"url={self.url(server, source, sha256=sha256(b'other'))}", f"dest={self.files / 'file'}"
        )

        self.assertNotEqual(wrong.returncode, 0)
        self.assertIn("409", wrong.stdout + wrong.stderr)
        self.assertFalse((self.files / "file").exists())


class Together(ToolTest):
    def test_all_at_once_on_a_cold_file_make_one_request(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        gate = Gate()
        source = origin.program("/a", Answer(body=body, gates={BEFORE_HEAD: gate}))
        url = self.url(server, source)
        commands = {
            "curl": (self.tool("curl"), "--silent", "--noproxy", "*", "-o", "curl", url),
            "wget": (self.tool("wget"), "--quiet", "--no-proxy", "-O", "wget", url),
        }
        running = [
            subprocess.Popen(command, cwd=self.files, env=harness.clean_environment())  # noqa: S603
            for command in commands.values()
        ]
        gate.await_reached()
        gate.open()

        for process in running:
            self.assertEqual(process.wait(TOOL_TIMEOUT), 0)
        for name in commands:
            self.assert_file(name, body)
        self.assertEqual(origin.count(), 1)


if __name__ == "__main__":
    harness.main()
