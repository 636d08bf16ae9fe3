"""`polykit-cache doctor` and a failing start, in the situations they are for.

Runs in name spaces of its own where it may, so that small file systems can be mounted and ports are nobody else's.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import resource
import shutil
import socket
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "packaging"))

import name_spaces  # noqa: E402
from archive_files import lay_download  # noqa: E402
from name_spaces import harness  # noqa: E402
from robustness_case import await_event, small_artifact  # noqa: E402

NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
PATIENCE = 60.0  # seconds


@dataclass
class Report:
    """What a doctor has said."""

    status: int
    findings: list[dict[str, str]] = field(default_factory=list)

    def of(self, check: str) -> list[dict[str, str]]:
        return [finding for finding in self.findings if finding["check"] == check]

    def bad(self) -> dict[str, str]:
        """The checks with warnings or problems."""
        return {f["check"]: f["verdict"] for f in self.findings if f["verdict"] in ("warning", "problem")}


def binary() -> str:
    path = harness.environment_path("PKC_SERVER")
    assert path is not None
    return str(path)


def tree(directory: Path) -> list[tuple[str, int, int]]:
    """Name, mode and size of everything below."""
    found = []
    for path in sorted(directory.rglob("*")):
        status = path.lstat()
        found.append((str(path.relative_to(directory)), status.st_mode, status.st_size))
    return found


class DoctorTest(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        self.directory.chmod(0o755)  # for nobody
        self.storage = self.directory / "storage"

    def run_program(
        self, arguments: Sequence[str], prefix: Sequence[str] = (), files: int | None = None
    ) -> subprocess.CompletedProcess[str]:
        def limit() -> None:
            if files is not None:
                resource.setrlimit(resource.RLIMIT_NOFILE, (files, files))

        return subprocess.run(  # noqa: S603
            [*prefix, binary(), *arguments],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=PATIENCE,
            env=harness.clean_environment(),
            cwd=self.directory,
            preexec_fn=limit,
        )

    def doctor(
        self,
        *arguments: str,
        storage: Path | None = None,
        port: int = 0,
        prefix: Sequence[str] = (),
        files: int | None = None,
    ) -> Report:
        flags = ["--storage-dir", str(storage or self.storage), "--port", str(port), *arguments]
        done = self.run_program(["doctor", "--json", *flags], prefix, files)
        self.assertEqual(done.stderr, "")
        document = json.loads(done.stdout)
        report = Report(done.returncode, document["findings"])
        problems = sum(f["verdict"] == "problem" for f in report.findings)
        self.assertEqual(document["problems"], problems)
        self.assertEqual(report.status, 1 if problems else 0, done.stdout)
        for finding in report.findings:
            self.assertTrue(finding["text"])
            if finding["verdict"] == "problem":
                self.assertTrue(finding["advice"], finding)
        return report

    def assert_problem(self, report: Report, check: str, *words: str) -> None:
        self.assertEqual(report.bad().get(check), "problem", report.findings)
        texts = " ".join(finding["text"] for finding in report.of(check))
        for word in words:
            self.assertIn(word, texts)

    def assert_no_start(
        self,
        *words: str,
        arguments: Sequence[str] = (),
        storage: Path | None = None,
        port: int = 0,
        prefix: Sequence[str] = (),
        files: int | None = None,
    ) -> None:
        """The server ends with 1, and its last line says why and who knows more."""
        flags = ["--storage-dir", str(storage or self.storage), "--port", str(port), *arguments]
        done = self.run_program(flags, prefix, files)
        self.assertEqual(done.returncode, 1, done.stdout + done.stderr)
        last = done.stdout.splitlines()[-1]
        self.assertIn(" ERROR cannot start reason=", last)
        self.assertIn("polykit-cache doctor", last)
        for word in words:
            self.assertIn(word, last)

    def as_nobody(self) -> Sequence[str]:
        """The prefix of a command that runs without any right."""
        if os.geteuid() != 0:
            self.skipTest("only root can become somebody else")
        if shutil.which("setpriv") is None:
            self.skipTest("setpriv is not installed")
        if subprocess.run([*NOBODY, "test", "-x", binary()], check=False).returncode != 0:  # noqa: S603
            self.skipTest("the binary cannot be run by nobody")
        return NOBODY

    def mount(self, options: str) -> Path:
        if name_spaces.INSIDE not in os.environ:
            self.skipTest("a small file system needs root and a name space")
        target = Path(tempfile.mkdtemp(prefix="small-", dir=self.directory))
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(target)], check=True)  # noqa: S603
        self.addCleanup(subprocess.run, ["umount", "--lazy", str(target)], check=False)
        return target


class Healthy(DoctorTest):
    def test_a_first_look_finds_nothing_and_makes_nothing(self) -> None:
        report = self.doctor()

        self.assertEqual(report.status, 0)
        self.assertIn("does not exist yet", report.of("directory")[0]["text"])
        self.assertFalse(self.storage.exists())

    def test_a_look_at_a_directory_leaves_it_as_it_was(self) -> None:
        server = self.start_server(storage=self.storage)
        self.assertEqual(server.stop(), 0)
        before = tree(self.storage)

        report = self.doctor()

        self.assertEqual(report.of("writing")[0]["verdict"], "ok")
        self.assertEqual(report.of("file names")[0]["verdict"], "ok")
        self.assertEqual(report.status, 0)
        self.assertEqual(tree(self.storage), before)

    def test_people_get_a_line_a_check_and_a_last_word(self) -> None:
        done = self.run_program(["doctor", "--storage-dir", str(self.storage), "--port", "0"])

        self.assertEqual(done.returncode, 0, done.stdout)
        lines = done.stdout.splitlines()
        self.assertRegex(lines[0], r"^ok       settings     ")
        self.assertRegex(lines[1], r"^ok       directory    " + str(self.storage))
        self.assertTrue(lines[-1].startswith("Nothing stops the server"), lines[-1])

    def test_wrong_settings_are_exit_2_in_both_forms(self) -> None:
        wrong = ["--prot", "1", "--max-size", "many"]

        text = self.run_program(["doctor", *wrong])
        document = self.run_program(["doctor", "--json", *wrong])

        self.assertEqual((text.returncode, document.returncode), (2, 2))
        for word in ("did you mean --port?", "--max-size"):
            self.assertIn(word, text.stderr)
            self.assertIn(word, document.stdout)
        self.assertEqual(json.loads(document.stdout)["problems"], 2)


class BesideAServer(DoctorTest):
    def test_a_running_server_is_no_problem_and_is_not_disturbed(self) -> None:
        server = self.start_server(storage=self.storage)
        before = tree(self.storage)

        report = self.doctor(port=server.port)

        self.assertEqual(report.status, 0, report.findings)
        self.assertIn(f"process {server.pid}", report.of("server")[0]["text"])
        self.assertIn("by the server that runs", report.of("address")[0]["text"])
        self.assertEqual(tree(self.storage), before)
        self.assertEqual(server.get("0" * 32).status, 404)
        self.assertTrue(server.running())

    def test_nothing_that_a_server_makes_is_foreign(self) -> None:
        server = self.start_server("--scrub-interval", "1s", storage=self.storage)
        key = "0" * 64
        self.assertEqual(server.put(key, small_artifact(key)).status, 201)
        lay_download(self.storage, "http://h.test/", b"content")
        await_event((self.storage / "scrub.json").exists, "the first scrub has begun")

        self.assertEqual(self.doctor(port=server.port).of("contents"), [])
        server.stop()
        self.assertEqual(self.doctor().of("contents"), [])

    def test_it_sees_the_server_of_another_user(self) -> None:
        nobody = self.as_nobody()
        server = self.start_server(storage=self.storage)

        report = self.doctor(port=server.port, prefix=nobody)

        self.assert_problem(report, "directory", "you are nobody")
        self.assertIn("is running", report.of("server")[0]["text"])
        self.assertNotIn("address", report.bad())

    def test_a_server_that_starts_at_the_same_moment_starts(self) -> None:
        server = self.start_server(storage=self.storage)
        port = server.port
        self.assertEqual(server.stop(), 0)
        done = threading.Event()
        looks: list[Report] = []

        def look() -> None:
            while not done.is_set():
                looks.append(self.doctor(port=port))

        watchers = [threading.Thread(target=look) for _ in range(3)]
        for watcher in watchers:
            watcher.start()
        try:
            for _ in range(15):
                server = self.start_server(storage=self.storage, port=port)
                self.assertEqual(server.stop(), 0)
        finally:
            done.set()
            for watcher in watchers:
                watcher.join()
        self.assertGreater(len(looks), 3)
        # What the looks in between say of a server that comes and goes is another matter.
        self.assertEqual(self.doctor(port=port).bad(), {})


class Directory(DoctorTest):
    def test_a_directory_of_somebody_else(self) -> None:
        nobody = self.as_nobody()
        self.storage.mkdir(mode=0o755)

        report = self.doctor(prefix=nobody)

        self.assert_problem(report, "directory", str(self.storage), "belongs to root", "nobody")
        self.assert_no_start(str(self.storage), "Permission denied", prefix=nobody)

    def test_one_that_cannot_be_made(self) -> None:
        nobody = self.as_nobody()
        below = self.directory / "a" / "b"

        report = self.doctor(storage=below, prefix=nobody)

        self.assert_problem(report, "directory", "cannot be made", str(self.directory))
        self.assert_no_start(str(below), "Permission denied", storage=below, prefix=nobody)
        self.assertFalse((self.directory / "a").exists())

    def test_without_any_argument_the_place_is_named(self) -> None:
        nobody = self.as_nobody()

        done = self.run_program([], nobody)

        self.assertEqual(done.returncode, 1)
        self.assertIn(str(self.directory / "cache"), done.stdout)
        self.assertIn("polykit-cache doctor", done.stdout)

    def test_a_file_or_a_dangling_link_in_its_place(self) -> None:
        a_file, a_link = self.directory / "file", self.directory / "link"
        a_file.write_text("x")
        a_link.symlink_to(self.directory / "nowhere")

        self.assert_problem(self.doctor(storage=a_file), "directory", "is no directory")
        self.assert_problem(self.doctor(storage=a_link), "directory", "leads nowhere")
        for storage in (a_file, a_link):
            self.assert_no_start(str(storage), "a file has that name, or a link", storage=storage)

    def test_root_is_told_that_the_service_is_another_user(self) -> None:
        self.as_nobody()
        (self.storage / "tmp").mkdir(parents=True)
        os.chown(self.storage, 65534, 65534)

        report = self.doctor()

        self.assertIn("runuser -u nobody", report.of("user")[0]["advice"])
        self.assertEqual(report.bad(), {"contents": "warning"})
        os.chown(self.storage / "tmp", 65534, 65534)
        self.assertEqual(self.doctor(prefix=NOBODY).bad(), {})

    def test_a_directory_of_another_kind(self) -> None:
        self.storage.mkdir()
        (self.storage / "holiday.jpg").write_text("x")
        (self.storage / "tmp").write_text("a file")

        report = self.doctor()

        self.assert_problem(report, "contents", str(self.storage / "tmp"), "holiday.jpg")
        self.assert_no_start(str(self.storage / "tmp"))

    def test_another_server_in_the_directory(self) -> None:
        self.start_server(storage=self.storage)

        self.assert_no_start(str(self.storage), "another polykit-cache process", "stop it")


class Disk(DoctorTest):
    def test_a_full_one(self) -> None:
        storage = self.mount("size=64k")
        with contextlib.suppress(OSError):
            (storage / "filler").write_bytes(bytes(1 << 20))

        report = self.doctor(storage=storage)

        self.assert_problem(report, "space", "full: 0 bytes of 64 KiB")
        self.assert_problem(report, "writing", "No space left")
        self.assertEqual(report.bad()["file system"], "warning")
        self.assertEqual([name for name, _, _ in tree(storage)], ["filler"])

    def test_one_with_less_room_than_an_upload(self) -> None:
        storage = self.mount("size=8m")

        report = self.doctor("--max-size", "9MiB", storage=storage)

        self.assertEqual(report.bad()["space"], "warning")
        self.assertNotIn("space", self.doctor("--max-size", "7MiB", storage=storage).bad())

    def test_one_without_inodes(self) -> None:
        storage = self.mount("size=8m,nr_inodes=1")

        self.assert_problem(self.doctor(storage=storage), "inodes", "0 of 1 are free")
        self.assert_no_start("No space left", storage=storage)

    def test_one_that_is_read_only(self) -> None:
        storage = self.mount("ro")

        self.assert_problem(self.doctor(storage=storage), "file system", "mounted read-only")
        below = storage / "below"
        self.assert_problem(self.doctor(storage=below), "directory", "mounted read-only")
        self.assert_no_start("Read-only file system", storage=storage)


class Address(DoctorTest):
    @contextlib.contextmanager
    def listener(self) -> Iterator[int]:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            yield taken.getsockname()[1]

    def test_a_port_in_use(self) -> None:
        with self.listener() as port:
            report = self.doctor(port=port)

            self.assert_problem(report, "address", f"127.0.0.1:{port}", f"process {os.getpid()}")
            self.assert_no_start(f"127.0.0.1:{port}", "in use by another program", port=port)

    def test_a_port_in_use_by_somebody_who_is_not_visible(self) -> None:
        nobody = self.as_nobody()
        with self.listener() as port:
            report = self.doctor(port=port, prefix=nobody, storage=Path("/nonexistent"))

        self.assert_problem(report, "address", "in use by another program")

    def test_a_port_of_root(self) -> None:
        nobody = self.as_nobody()
        limit = Path("/proc/sys/net/ipv4/ip_unprivileged_port_start")
        if limit.exists() and int(limit.read_text()) < 80:
            self.skipTest("ports below 80 are for everybody here")
        storage = self.directory / "of-nobody"
        storage.mkdir()
        os.chown(storage, 65534, 65534)

        report = self.doctor(port=79, prefix=nobody, storage=storage)

        self.assert_problem(report, "address", "may not listen on 127.0.0.1:79")
        self.assert_no_start("ports below 1024", port=79, prefix=nobody, storage=storage)

    def test_an_address_of_another_machine_and_none_at_all(self) -> None:
        elsewhere = ("--bind", "192.0.2.1")  # for documentation: nobody has it

        self.assert_problem(self.doctor(*elsewhere), "address", "no network interface")
        self.assert_no_start("192.0.2.1", "no network interface", arguments=elsewhere)
        nowhere = ("--bind", "nowhere.invalid")
        self.assert_problem(self.doctor(*nowhere), "address", "nowhere.invalid")
        self.assert_no_start("nowhere.invalid", arguments=nowhere)

    def test_a_unix_socket(self) -> None:
        path = self.directory / "socket"
        flags = ("--bind", f"unix:{path}", "--trusted-proxies", "unix")
        self.assertIn("is free", self.doctor(*flags).of("address")[0]["text"])
        with socket.socket(socket.AF_UNIX) as stale:
            stale.bind(str(path))

        report = self.doctor(*flags)

        self.assertIn("left by a server that has died", report.of("address")[0]["text"])
        self.assertTrue(stat.S_ISSOCK(path.lstat().st_mode))
        with socket.socket(socket.AF_UNIX) as alive:
            path.unlink()
            alive.bind(str(path))
            alive.listen()
            self.assert_problem(self.doctor(*flags), "address", "another server listens")
        path.unlink()
        path.write_text("precious")
        self.assert_problem(self.doctor(*flags), "address", "is no socket")
        missing = ("--bind", f"unix:{self.directory}/no/socket")
        self.assert_problem(self.doctor(*missing), "address", "no directory")
        self.assert_no_start("there is no directory", "make it first", arguments=missing)
        self.assertEqual(self.doctor(*missing).of("proxies")[0]["verdict"], "note")


class Access(DoctorTest):
    HASH = hashlib.sha256(b"a token").hexdigest()

    def auth_file(self, expires: str = "", more: str = "") -> tuple[Path, tuple[str, ...]]:
        path = self.directory / "auth.yaml"
        path.write_text(
            f'tokens:\n  - name: ci\n    hash: "sha256:{self.HASH}"\n'
            f"    grants: [{{scopes: read}}]\n{expires}{more}"
        )
        path.chmod(0o600)
        return path, ("--auth-file", str(path))

    def test_a_good_auth_file_is_counted(self) -> None:
        _, flags = self.auth_file()

        report = self.doctor(*flags)

        self.assertEqual(report.bad(), {})
        self.assertIn("auth.yaml has 1 token", report.of("tokens")[0]["text"])

    def test_one_that_stops_a_start_is_a_problem(self) -> None:
        path, flags = self.auth_file(more="tokns: []\n")
        self.assert_problem(self.doctor(*flags), "tokens", 'unknown key "tokns"')
        self.assert_no_start("is of no use", arguments=flags)
        path.unlink()
        self.assert_problem(self.doctor(*flags), "tokens", "there is no such file")
        self.assert_no_start("is of no use", arguments=flags)

    def test_one_that_the_server_may_not_read(self) -> None:
        nobody = self.as_nobody()
        storage = self.directory / "of-nobody"
        storage.mkdir()
        os.chown(storage, 65534, 65534)
        path, flags = self.auth_file()

        by_nobody = self.doctor(*flags, storage=storage, prefix=nobody)
        by_root = self.doctor(*flags, storage=storage)

        self.assert_problem(by_nobody, "tokens", "cannot be read", "Permission denied")
        self.assert_problem(by_root, "tokens", "may not read " + str(path))
        self.assert_no_start("is of no use", arguments=flags, storage=storage, prefix=nobody)
        os.chown(path, 65534, 65534)
        self.assertEqual(self.doctor(*flags, storage=storage, prefix=nobody).bad(), {})
        self.assertNotIn("tokens", self.doctor(*flags, storage=storage).bad())

    def test_one_that_everybody_may_read(self) -> None:
        path, flags = self.auth_file()
        path.chmod(0o644)

        report = self.doctor(*flags)

        self.assertEqual(report.bad(), {"tokens": "warning"})
        self.assertIn("everybody on this machine may read", report.of("tokens")[0]["text"])

    def test_tokens_that_have_expired_or_will(self) -> None:
        _, flags = self.auth_file('    expires: "2001-01-31"\n')
        self.assert_problem(self.doctor(*flags), "tokens", "expired tokens only")
        _, flags = self.auth_file('    expires: "2001-01-31"\n', "anonymous: [{scopes: read}]\n")
        report = self.doctor(*flags)
        self.assertEqual(report.bad(), {})
        self.assertEqual([f["verdict"] for f in report.of("tokens")], ["note"])
        soon = time.strftime("%Y-%m-%d", time.gmtime(time.time() + 3 * 86400))
        _, flags = self.auth_file(f'    expires: "{soon}"\n')
        report = self.doctor(*flags)
        self.assertEqual(report.bad(), {"tokens": "warning"})
        self.assertIn("within two weeks: ci", report.of("tokens")[0]["text"])

    def test_who_gets_in_without_a_token(self) -> None:
        self.assertEqual(self.doctor().of("tokens"), [])
        everywhere = ("--bind", "0.0.0.0")
        self.assertEqual([f["verdict"] for f in self.doctor(*everywhere).of("tokens")], ["note"])
        _, flags = self.auth_file()
        report = self.doctor(*everywhere, *flags)
        self.assertEqual(report.bad(), {"tokens": "warning"})
        self.assertIn("in clear", report.of("tokens")[1]["text"])

    def test_the_address_of_the_metrics(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as taken:
            flags = ("--metrics-bind", f"127.0.0.1:{taken.getsockname()[1]}")
            self.assert_problem(self.doctor(*flags), "metrics", "is in use by process")
            self.assert_no_start("metrics-bind: ", "in use", arguments=flags)
        self.assertEqual(self.doctor(*flags).bad(), {})
        self.assertIn("is free", self.doctor(*flags).of("metrics")[0]["text"])
        path = self.directory / "no" / "metrics.sock"
        flags = ("--metrics-bind", f"unix:{path}")
        self.assert_problem(self.doctor(*flags), "metrics", "no directory")
        self.assert_no_start("no directory", arguments=flags)
        report = self.doctor("--metrics-bind", "0.0.0.0:0")
        self.assertEqual(report.bad(), {"metrics": "warning"})
        self.assertIn("no token is asked for", report.of("metrics")[1]["text"])

    def test_a_running_server_has_its_address_for_metrics(self) -> None:
        path = self.directory / "metrics.sock"
        server = self.start_server("--metrics-bind", f"unix:{path}", storage=self.storage)
        server.wait_until(lambda: "metrics are served" in server.output_text(), "listener", 60)

        report = self.doctor("--metrics-bind", f"unix:{path}", port=server.port)

        self.assertEqual(report.bad(), {})
        self.assertIn("a server listens on", report.of("metrics")[0]["text"])


class Limits(DoctorTest):
    def test_few_descriptors_are_a_warning_and_next_to_none_a_problem(self) -> None:
        report = self.doctor(files=512)
        self.assertEqual(report.bad().get("open files"), "warning")
        self.assertEqual(report.status, 0)

        report = self.doctor(files=20)
        self.assert_problem(report, "open files", "20 files, too few")
        self.assert_no_start("only 8 files", "ulimit -n", files=8)


class Certificates(DoctorTest):
    def make(self, begin: str, end: str) -> tuple[str, ...]:
        """Flags for a certificate of these two times."""
        if shutil.which("openssl") is None:
            self.skipTest("openssl is not installed")
        folder = Path(tempfile.mkdtemp(prefix="tls-", dir=self.directory))
        (folder / "index").touch()
        (folder / "ca.cnf").write_text(
            f"[ca]\ndefault_ca=me\n[me]\ndatabase={folder}/index\nnew_certs_dir={folder}\n"
            "default_md=sha256\npolicy=any\nrand_serial=yes\n[any]\ncommonName=supplied\n"
        )
        request = ["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=cache"]
        key, wish, certificate = folder / "key", folder / "csr", folder / "crt"
        sign = ["openssl", "ca", "-batch", "-selfsign", "-notext", "-config", str(folder / "ca.cnf")]
        times = ["-startdate", begin, "-enddate", end]
        for command in (
            [*request, "-keyout", str(key), "-out", str(wish)],
            [*sign, *times, "-keyfile", str(key), "-in", str(wish), "-out", str(certificate)],
        ):
            subprocess.run(command, check=True, capture_output=True)  # noqa: S603
        return "--tls-cert", str(certificate), "--tls-key", str(key)

    def test_an_expired_one_is_a_problem_and_a_good_one_is_none(self) -> None:
        expired = self.make("20200101000000Z", "20200201000000Z")
        good = self.make("20200101000000Z", "21200101000000Z")

        self.assert_problem(self.doctor(*expired), "TLS", "cache expired at 2020-02-01T00:00:00Z")
        self.assertNotIn("TLS", self.doctor(*good).bad())
        mixed = (*good[:3], expired[3])
        self.assert_problem(self.doctor(*mixed), "TLS", "does not belong to the first certificate")
        self.assert_no_start("does not belong to the first certificate", arguments=mixed)


if __name__ == "__main__":
    if os.geteuid() == 0 and name_spaces.why_not(root=True) is None:
        name_spaces.enter(root=True)
    harness.main()
