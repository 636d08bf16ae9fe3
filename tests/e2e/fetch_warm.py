"""`polykit-cache warm`: the real command, a real server, and an origin that obeys."""

from __future__ import annotations

import gzip
import json
import os
import re
import select
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    BEFORE_HEAD,
    KIB,
    Answer,
    FetchTest,
    Gate,
    Origin,
    RefusingPort,
    await_event,
    digest_of,
    harness,
    noise,
    prose,
    sha256,
)
from origin import openssl

Done = subprocess.CompletedProcess[str]
EMPTY = {"downloaded": 0, "present": 0, "failed": 0, "not_done": 0, "repeated": 0}
SERVED = "artifact_cache_bytes_served_total"
ORIGIN_RETRY_AFTER = 5  # seconds that the server tells its clients to wait for an origin


def counts(report: dict[str, Any]) -> dict[str, Any]:
    return {name: report[name] for name in EMPTY}


class WarmTest(FetchTest):
    def manifest(self, *lines: str, name: str = "manifest.txt") -> str:
        path = self.directory / name
        path.write_text("".join(f"{line}\n" for line in lines))
        return str(path)

    def begin(
        self, *words: str, stderr: int = subprocess.PIPE, env: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """The command while it runs; it is killed when the test ends."""
        command = subprocess.Popen(  # noqa: S603
            [str(harness.environment_path("PKC_SERVER")), "warm", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
            env=harness.clean_environment(env),
        )

        def reap() -> None:
            command.kill()
            command.communicate()

        self.addCleanup(reap)
        return command

    def begin_on_a_terminal(self, *words: str) -> tuple[subprocess.Popen[str], int]:
        """With our end of the terminal that its standard error is."""
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        command = self.begin(*words, stderr=theirs)
        os.close(theirs)
        return command, ours

    def await_text(self, terminal: int, pattern: bytes) -> bytes:
        """What came until there was something like this."""
        seen = b""
        while not re.search(pattern, seen):
            ready, _, _ = select.select([terminal], [], [], harness.IO_TIMEOUT)
            self.assertTrue(ready, f"{pattern!r} did not come: {seen!r}")
            seen += os.read(terminal, 4096)
        return seen

    def end(self, command: subprocess.Popen[str], status: int) -> Done:
        out, err = command.communicate(timeout=harness.IO_TIMEOUT)
        self.assertEqual(command.returncode, status, f"{out}{err}")
        return subprocess.CompletedProcess(command.args, command.returncode, out, err)

    def warm(self, *words: str, status: int = 0, text: str | None = None) -> Done:
        done = subprocess.run(  # noqa: S603
            [str(harness.environment_path("PKC_SERVER")), "warm", *words],
            input=text or "",
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(),
        )
        self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def warm_json(self, *words: str, status: int = 0) -> dict[str, Any]:
        done = self.warm("--json", *words, status=status)
        self.assertEqual(done.stderr, "")
        return json.loads(done.stdout)

    def program_files(self, origin: Origin, number: int, **options: Any) -> dict[str, bytes]:
        """URLs with their contents, each of another size."""
        bodies = [noise(20 * KIB + n, seed=n) for n in range(number)]
        return {
            origin.program(f"/file{n}", Answer(body=body, **options)): body
            for n, body in enumerate(bodies)
        }


class Manifests(WarmTest):
    def formats(self, urls: list[str], digests: list[str]) -> dict[str, str]:
        """The same list in each, with an entry that is there twice."""
        entries: list[Any] = [
            urls[0],
            {"url": urls[1], "sha256": digests[1]},
            {"url": urls[2], "checksum": f"sha512:{digests[2]}"},
            urls[0],
        ]
        yaml = f"- {urls[0]}\n- url: {urls[1]}\n  sha256: {digests[1]}\n- {urls[0]}\n"
        return {
            "m.txt": f"# a list\r\n{urls[0]}\r\n\r\n{urls[1]} sha256:{digests[1]} # known\n"
            f"{urls[2]} {digests[2]}\n{urls[0]}\n",
            "m.json": json.dumps(entries),
            "object.json": json.dumps({"artifacts": entries}, indent=2),
            "m.yaml": f"{yaml}- url: {urls[2]}\n  checksum: sha512:{digests[2]}\n",
            "m.yml": f"files:\n{yaml}- {urls[2]} {digests[2]}\n",
        }

    def test_every_format_brings_every_file_once(self) -> None:
        origin = self.start_origin()
        files = self.program_files(origin, 3)
        urls, bodies = list(files), list(files.values())
        digests = [sha256(bodies[0]), sha256(bodies[1]), digest_of("sha512", bodies[2])]
        for number, (name, text) in enumerate(self.formats(urls, digests).items(), 1):
            with self.subTest(name):
                (self.directory / name).write_text(text, newline="")
                server = self.start_cache()

                report = self.warm_json(str(self.directory / name), "--url", server.url)

                self.assertEqual(counts(report), {**EMPTY, "downloaded": 3, "repeated": 1})
                self.assertEqual(report["downloaded_bytes"], sum(map(len, bodies)))
                expected = [
                    {"url": url, "result": "downloaded", "size": len(body), "sha256": sha256(body)}
                    for url, body in files.items()
                ]
                by_url = sorted(report["files"], key=lambda file: file["url"])
                self.assertEqual(by_url, expected)
                self.assertEqual(origin.count(), 3 * number)
                for url, body in files.items():
                    self.assert_hit(server, url, body)

    def test_standard_input_in_the_format_that_is_named(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url, other = self.program_files(origin, 2)

        self.warm("-", "--url", server.url, text=url)
        self.warm("-", "--url", server.url, "--format", "yaml", text=f"urls: [{other}]")

        self.assertEqual(origin.count(), 2)

    def test_a_url_reaches_the_origin_as_it_was_written(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        targets = ["/a?x=1&y=%26+%2B=%25#cut", "/b%2Fc;d='(e)'?f=%C3%A9&g=~*!", "/" + "a" * 7000]
        for target in targets:
            origin.program(target.partition("?")[0].partition("#")[0], Answer(body=b"content"))

        self.warm(self.manifest(*map(origin.url, targets)), "--url", server.url, "--jobs", "1")

        asked = [seen.target for seen in origin.seen()]
        self.assertEqual(asked, [target.partition("#")[0] for target in targets])

    def test_a_wrong_manifest_or_command_line_is_2_and_asks_for_nothing(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))
        path = str(self.directory / "m.txt")
        rows: list[tuple[str, str, list[str]]] = [
            ("m.txt", f"{url}\n{url} sha256:12\n", [f"{path}:2: sha256 takes 64 hex digits"]),
            ("m.txt", f"{url}\nftp://a/\nx\n", [f"{path}:2: ", f"{path}:3: "]),
            ("m.txt", "", [f"{path}: names no file"]),
            ("m.txt", f"{url}\nhttp://u:word@a/\n", [f"{path}:2: "]),
            ("m.json", f'["{url}",', ["m.json:1: not valid JSON"]),
            ("m.json", f'["{url}",\n{{"url":"{url}","sha265":"a"}}]', ["m.json:2: unknown key"]),
            ("m.yaml", f"- {url}\n- [{url}]", ["m.yaml:2: an entry is a URL"]),
        ]
        for name, text, problems in rows:
            with self.subTest(text):
                (self.directory / name).write_text(text)

                done = self.warm(str(self.directory / name), "--url", server.url, status=2)

                self.assertEqual(done.stdout, "")
                for problem, line in zip(problems, done.stderr.splitlines(), strict=True):
                    self.assertIn(problem, line)
                self.assertNotIn("word", done.stderr)
        good = self.manifest(url)
        for words in (
            [str(self.directory / "absent")],
            [str(self.directory)],
            [good, "--jobs", "0"],
            [good, "--format", "xml"],
            [good, "--timeout", "0"],
            [good, "--token-file", str(self.directory / "absent")],
            [good, good],
            [],
        ):
            with self.subTest(words):
                self.warm(*words, "--url", server.url, status=2)
        self.warm(good, "--url", "ftp://127.0.0.1", status=2)
        self.warm(good, "--port", "0", status=2)
        self.assertEqual(origin.connections, 0)


class Servers(WarmTest):
    def test_without_a_url_it_asks_the_server_of_these_settings(self) -> None:
        origin = self.start_origin()
        manifest = self.manifest(*self.program_files(origin, 2))
        socket = self.directory / "socket"

        self.warm(manifest, "--port", str(self.start_cache().port))
        self.start_cache(file=socket)
        self.warm(manifest, "--bind", f"unix:{socket}")

        self.assertEqual(origin.count(), 4)

    def test_the_token_lets_in_and_without_one_it_gives_up_at_once(self) -> None:
        auth, token = self.directory / "auth.yaml", self.directory / "token"
        auth.write_text(
            f'tokens:\n- name: t\n  hash: "sha256:{sha256(b"secret")}"\n'
            "  grants: [{scopes: read, spaces: fetch}]\n"
        )
        auth.chmod(0o600)
        token.write_text("secret\n")
        server, origin = self.start_cache("--auth-file", str(auth)), self.start_origin()
        urls = self.program_files(origin, 5)
        words = [self.manifest(*urls), "--url", server.url, "--jobs", "1"]

        refused = self.warm_json(*words, status=1)
        self.warm(*words, "--token-file", str(token))

        self.assertEqual(counts(refused), {**EMPTY, "failed": 1, "not_done": 4})
        self.assertTrue(refused["given_up"])
        self.assertEqual(refused["files"][0]["status"], 401)
        self.assertEqual(origin.count(), 5)

    def test_tls_with_the_authorities_of_the_machine(self) -> None:
        certificate, key = self.directory / "server.pem", self.directory / "server.key"
        openssl(
            *("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"),
            *("-subj", "/CN=a", "-days", "2", "-addext", "subjectAltName=IP:127.0.0.1"),
            *("-keyout", str(key), "-out", str(certificate)),
        )
        tls = ("--tls-cert", str(certificate), "--tls-key", str(key))
        server, origin, gate = self.start_cache(*tls), self.start_origin(), Gate()
        files = self.program_files(origin, 3)
        body = noise(20 * KIB)
        slow = origin.program("/slow", Answer(body=body, gates={BEFORE_HEAD: gate}))
        words = [self.manifest(*files), "--url", f"https://127.0.0.1:{server.port}"]
        trust = {"SSL_CERT_FILE": str(certificate)}

        self.end(self.begin(*words, "--retries", "0"), 1)
        self.assertEqual(origin.connections, 0)
        self.end(self.begin(*words, env=trust), 0)
        self.assertEqual(origin.count(), 3)

        # By where it listens, it is known.
        self.warm(words[0], "--port", str(server.port), *tls)

        words[0] = self.manifest(f"{slow} {sha256(body)}")
        command = self.begin(*words, env=trust)
        gate.await_reached()
        command.send_signal(signal.SIGINT)
        self.end(command, 130)

    def test_who_is_no_server_of_ours_is_told_apart(self) -> None:
        origin, dead = self.start_origin(), RefusingPort()
        self.addCleanup(dead.close)
        origin.program("/fetch", Answer(body=b"<html>"))
        without = self.start_cache("--fetch", "false")
        words = [self.manifest("http://a/", "http://b/", "http://c/"), "--jobs", "1"]
        for url, reason in (
            (origin.url(""), "no server of ours"),
            (without.url, "has no /fetch"),
            (f"http://127.0.0.1:{dead.port}", f"127.0.0.1:{dead.port}"),
        ):
            with self.subTest(url):
                done = self.warm(*words, "--retries", "0", "--url", url, status=1)

                self.assertIn(reason, done.stderr)
                self.assertIn("polykit-cache: given up", done.stderr)
                self.assertEqual(
                    done.stdout, "downloaded 0 (0 B), already there 0, failed 1, not done 2\n"
                )

    def test_a_server_that_dies_ends_the_run_and_the_next_one_goes_on(self) -> None:
        server, origin, gate = self.start_cache(), self.start_origin(), Gate()
        files = self.program_files(origin, 4)
        body = noise(300 * KIB)
        url = origin.program("/slow", Answer(body=body, gates={150 * KIB: gate}), Answer(body=body))
        urls = list(files)
        manifest = self.manifest(urls[0], url, *urls[1:])
        words = [manifest, "--jobs", "1", "--retries", "0", "--json"]
        command = self.begin(*words, "--url", server.url)
        gate.await_reached()

        server.kill()

        report = json.loads(self.end(command, 1).stdout)
        self.assertEqual(report["files"][0]["result"], "downloaded")
        self.assertEqual(report["files"][1]["result"], "failed")
        self.assertEqual(report["files"][4]["result"], "not_done")
        gate.open()
        again = self.start_cache(storage=server.storage)
        report = self.warm_json(manifest, "--url", again.url)
        self.assertEqual(counts(report), {**EMPTY, "present": 1, "downloaded": 4})
        self.assertEqual([origin.count(f"/file{n}") for n in range(4)], [1] * 4)
        self.assert_hit(again, url, body)


class Files(WarmTest):
    def test_every_kind_of_body_is_taken_and_hashed_as_it_was_stored(self) -> None:
        origin = self.start_origin()
        body = gzip.compress(noise(200 * KIB))
        kinds = [
            Answer(body=body, headers={"Content-Encoding": "gzip"}),
            Answer(body=body, framing="chunked"),
            Answer(body=body, framing="close"),
            Answer(body=prose(3_000_000)),  # stored compressed
            Answer(body=b""),
        ]
        urls = [origin.program(f"/{n}", kind) for n, kind in enumerate(kinds)]
        digests = [sha256(kind.body) for kind in kinds]
        with_digests = [f"{url} {digest}" for url, digest in zip(urls, digests, strict=True)]
        for lines in (urls, with_digests):
            with self.subTest(lines=lines):
                server = self.start_cache()

                report = self.warm_json(self.manifest(*lines), "--url", server.url)

                self.assertEqual([file["sha256"] for file in report["files"]], digests)
                self.assertEqual(counts(report), {**EMPTY, "downloaded": len(kinds)})
                self.assertEqual(report["downloaded_bytes"], sum(len(k.body) for k in kinds))

    def test_what_is_there_is_not_asked_for_again(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        files = self.program_files(origin, 4)
        urls, bodies = list(files), list(files.values())
        self.fetch(server, urls[0])
        self.fetch(server, urls[1])
        lines = [urls[0], f"{urls[1]} sha512:{digest_of('sha512', bodies[1])}", *urls[2:]]
        words = [self.manifest(*lines), "--url", server.url]

        first = self.warm(*words)
        origin.close()
        whole = sum(map(len, bodies))
        # An answer is counted behind its end.
        await_event(lambda: self.value(server, SERVED) == whole, "all that was sent is counted")
        second = self.warm_json(*words)

        size = sum(map(len, bodies[2:])) / 1024
        self.assertEqual(
            first.stdout, f"downloaded 2 ({size:.1f} KiB), already there 2, failed 0\n"
        )
        self.assertEqual(first.stderr, "")
        self.assertEqual(counts(second), {**EMPTY, "present": 4})
        self.assertEqual(self.value(server, SERVED), whole)
        self.assertEqual(second["present_bytes"], whole)
        self.assertEqual([f["sha256"] for f in second["files"]], [sha256(b) for b in bodies])

    def test_failures_are_told_with_their_reasons_and_the_rest_is_brought(self) -> None:
        server, origin, dead = self.start_cache(), self.start_origin(), RefusingPort()
        self.addCleanup(dead.close)
        ((good, body),) = self.program_files(origin, 1).items()
        absent = origin.url("/absent?token=1")
        refused = f"http://127.0.0.1:{dead.port}/"
        forbidden = "http://10.0.0.1/"
        words = [self.manifest(absent, refused, forbidden, good), "--url", server.url]

        done = self.warm(*words, "--retries", "0", status=1)
        report = self.warm_json(*words, "--retries", "0", status=1)
        quiet = self.warm(*words, "--retries", "0", "--quiet", status=1)

        lines = done.stderr.splitlines()
        self.assertEqual(lines[0], f"polykit-cache: {absent}: upstream_error: the origin answered 404")
        self.assertTrue(lines[1].startswith(f"polykit-cache: {refused}: upstream_unavailable: "))
        self.assertTrue(lines[2].startswith(f"polykit-cache: {forbidden}: forbidden_upstream: "))
        self.assertEqual(len(lines), 3)
        self.assertTrue(done.stdout.endswith("already there 0, failed 3\n"), done.stdout)
        self.assertEqual((quiet.stdout, quiet.stderr), ("", done.stderr))
        self.assertEqual(counts(report), {**EMPTY, "present": 1, "failed": 3})
        told = [(file.get("status"), file.get("error")) for file in report["files"][:3]]
        self.assertEqual(
            told, [(502, "upstream_error"), (503, "upstream_unavailable"), (403, "forbidden_upstream")]
        )
        self.assert_hit(server, good, body)

    def test_a_wrong_checksum_is_a_failure_whether_it_is_there_or_not(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        files = self.program_files(origin, 2)
        urls, bodies = list(files), list(files.values())
        wrong = sha256(b"something else")
        words = [self.manifest(f"{urls[0]} {wrong}", urls[1]), "--url", server.url]

        report = self.warm_json(*words, status=1)

        failed = report["files"][0]
        self.assertEqual((failed["status"], failed["error"]), (409, "checksum_mismatch"))
        self.assertIn(f"(expected {wrong}, actual {sha256(bodies[0])})", failed["message"])
        self.assert_stored_contents(server, bodies[1])
        self.fetch(server, urls[0])
        asked = origin.count()
        again = self.warm_json(*words, status=1)
        self.assertEqual(again["files"][0], failed)
        self.assertEqual(origin.count(), asked)
        self.assert_hit(server, urls[0], bodies[0])

    def test_refresh_brings_anew_what_has_changed(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        old, new = b"old content", b"new content"
        url = origin.program("/a", Answer(body=old), Answer(body=new))
        words = [self.manifest(f"{url} {sha256(new)}"), "--url", server.url]
        self.fetch(server, url)

        self.warm(*words, status=1)
        report = self.warm_json(*words, "--refresh")

        self.assertEqual(counts(report), {**EMPTY, "downloaded": 1})
        self.assert_hit(server, url, new)
        self.assertEqual(origin.count(), 2)

    def test_a_transfer_that_ends_short_is_a_failure_and_nothing_is_stored(self) -> None:
        server, origin, gate = self.start_cache(), self.start_origin(), Gate()
        body = noise(500 * KIB)
        broken = Answer(body=body, cut_at=400 * KIB, ending="close", gates={300 * KIB: gate})
        url = origin.program("/a", broken, Answer(body=body))
        words = [self.manifest(url), "--url", server.url]
        command, terminal = self.begin_on_a_terminal(*words)
        self.await_text(terminal, rb"\[-+\] 0 of 1 files, [1-9]")  # so some of it has come

        gate.open()

        done = self.end(command, 1)
        self.assertEqual(done.stdout, "downloaded 0 (0 B), already there 0, failed 1\n")
        told = self.await_text(terminal, rb"the transfer broke off after \d+ bytes")
        self.assertIn(f"polykit-cache: {url}: ".encode(), told)
        self.assertEqual(origin.count(), 1)
        self.assert_nothing_stored(server)
        self.warm(*words)
        self.assert_hit(server, url, body)

    def test_a_server_that_says_later_is_asked_later(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(raw=b"", ending="reset"), Answer(body=b"content"))
        begun = time.monotonic()

        report = self.warm_json(self.manifest(url), "--url", server.url, "--retries", "1")

        self.assertGreaterEqual(time.monotonic() - begun, ORIGIN_RETRY_AFTER)
        self.assertEqual(counts(report), {**EMPTY, "downloaded": 1})
        self.assertEqual(origin.count("/a"), 2)

    def test_a_file_that_takes_longer_than_it_may_is_a_failure(self) -> None:
        server, origin, gate = self.start_cache(), self.start_origin(), Gate()
        body = noise(10 * KIB)
        url = origin.program("/a", Answer(body=body, gates={5 * KIB: gate}))
        line = f"{url} {sha256(body)}"  # so that not a byte comes before the end

        done = self.warm(
            self.manifest(line), "--url", server.url, "--timeout", "50ms", status=1
        )

        self.assertIn("no end within 50ms", done.stderr)
        gate.open()


class Runs(WarmTest):
    def test_as_many_at_once_as_was_wished_and_not_more(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        gates = [Gate() for _ in range(5)]
        urls = [
            origin.program(f"/{n}", Answer(body=b"%d" % n, gates={BEFORE_HEAD: gate}))
            for n, gate in enumerate(gates)
        ]
        command = self.begin(self.manifest(*urls), "--url", server.url, "--jobs", "3")

        for gate in gates[:3]:
            gate.await_reached()
        self.assertEqual(origin.count(), 3)
        gates[1].open()
        gates[3].await_reached()
        self.assertEqual(origin.count(), 4)
        for gate in gates:
            gate.open()

        self.assertIn("downloaded 5", self.end(command, 0).stdout)

    def interrupted(self, number: int) -> None:
        """A signal while one file is on its way and one has not begun."""
        server, origin, gate = self.start_cache(), self.start_origin(), Gate()
        body = noise(300 * KIB)
        first, last = self.program_files(origin, 2)
        slow = origin.program("/slow", Answer(body=body, gates={100 * KIB: gate}))
        # With its checksum it is silent before the end.
        words = [self.manifest(first, f"{slow} {sha256(body)}", last), "--url", server.url]
        command = self.begin(*words, "--jobs", "1")
        gate.await_reached()

        command.send_signal(number)

        done = self.end(command, 128 + number)
        self.assertEqual(
            done.stdout, "downloaded 1 (20.0 KiB), already there 0, failed 0, not done 2\n"
        )
        self.assertEqual(origin.count("/file1"), 0)
        gate.open()
        await_event(lambda: self.head(server, slow).status == 200, "it is there all the same")
        report = self.warm_json(*words)
        self.assertEqual(counts(report), {**EMPTY, "present": 2, "downloaded": 1})
        self.assertEqual(origin.count(), 3)

    def test_ctrl_c_ends_it_with_130_and_a_summary(self) -> None:
        self.interrupted(signal.SIGINT)

    def test_sigterm_likewise(self) -> None:
        self.interrupted(signal.SIGTERM)

    def test_killed_and_run_again_only_the_missing_are_asked_for(self) -> None:
        server, origin, gate = self.start_cache(), self.start_origin(), Gate()
        files = self.program_files(origin, 5)
        body = noise(300 * KIB)
        slow = origin.program("/slow", Answer(body=body, gates={100 * KIB: gate}))
        urls = list(files)
        words = [self.manifest(*urls[:3], slow, *urls[3:]), "--url", server.url]
        command = self.begin(*words, "--jobs", "1")
        gate.await_reached()

        command.kill()
        command.wait()

        gate.open()
        await_event(lambda: self.head(server, slow).status == 200, "it goes on in the background")
        report = self.warm_json(*words)
        self.assertEqual(counts(report), {**EMPTY, "present": 4, "downloaded": 2})
        self.assertEqual(origin.count(), 6)
        for url, content in {**files, slow: body}.items():
            self.assert_hit(server, url, content)

    def test_a_terminal_sees_how_far_it_is(self) -> None:
        server, origin, gate = self.start_cache(), self.start_origin(), Gate()
        first, last = self.program_files(origin, 2)
        slow = origin.program("/slow", Answer(body=b"content", gates={BEFORE_HEAD: gate}))
        words = [self.manifest(first, slow, last), "--url", server.url, "--jobs", "1"]
        command, terminal = self.begin_on_a_terminal(*words)

        self.await_text(terminal, rb"\r\x1b\[K\[#{6}-{14}\] 1 of 3 files, 20\.0 KiB, .*/s")
        gate.open()

        self.assertIn("downloaded 3", self.end(command, 0).stdout)


if __name__ == "__main__":
    harness.main()
