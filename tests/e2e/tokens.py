"""Tokens as operators make them and as clients send them: the commands, curl, SIGHUP, the audit lines."""

from __future__ import annotations

import base64
import json
import os
import pty
import random
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

import artifact
import harness

CURL = shutil.which("curl")


class Tokens(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        self.auth_file = self.directory / "auth.yaml"

    def command(self, *words: str, status: int = 0) -> subprocess.CompletedProcess[str]:
        binary = harness.environment_path("PKC_SERVER")
        done = subprocess.run(  # noqa: S603
            [str(binary), *words, "--auth-file", str(self.auth_file)],
            capture_output=True,
            text=True,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(),
        )
        self.assertEqual(done.returncode, status, done.stderr)
        return done

    def create(self, name: str, scope: str, *options: str) -> str:
        done = self.command("token", "create", "--name", name, "--scope", scope, *options)
        token = done.stdout.strip()
        self.assertRegex(token, r"^pkc_[A-Za-z0-9_-]{43}$")
        self.assertNotIn(token, done.stderr)
        self.assertNotIn(token, self.auth_file.read_text())
        return token

    def start(self, *arguments: str) -> harness.CacheServer:
        return self.start_server("--auth-file", str(self.auth_file), *arguments)

    def reload(self, server: harness.CacheServer, line: str = "auth file reloaded") -> None:
        before = server.output_text().count(line)
        server.signal(signal.SIGHUP)
        server.wait_until(lambda: server.output_text().count(line) > before, "reload", 30)

    @staticmethod
    def bearer(token: str) -> dict[str, str]:
        return {"Authorization": f"Bearer {token}"}

    def artifact(self, name: str) -> tuple[str, bytes]:
        key = artifact.key_for(name)
        return key, artifact.build(key, {"stdout.txt": name.encode()})

    def test_a_token_is_made_used_listed_and_revoked(self) -> None:
        writer = self.create("ci", "read,write", "--space", "polykit", "--expires", "90d")
        reader = self.create("dev", "read")
        server = self.start()
        key, body = self.artifact("made")

        self.assertEqual(server.put(key, body).status, 401)
        self.assertEqual(server.put(key, body, **self.bearer(reader)).status, 403)
        self.assertEqual(server.put(key, body, **self.bearer(writer)).status, 201)
        self.assertEqual(server.get(key, **self.bearer(reader)).body, body)
        self.assertEqual(server.get(key).status, 401)
        self.assertEqual(server.request("GET", "/metrics").status, 401)
        self.assertEqual(server.request("GET", "/health").status, 200)
        self.assertEqual(server.request("GET", "/up").status, 200)
        listed = self.command("token", "list").stdout
        self.assertRegex(listed, r"(?m)^name +rights +expires +limits$")
        self.assertRegex(listed, r"(?m)^ci +read,write in polykit +2\d{3}-\S+$")
        self.assertRegex(listed, r"(?m)^dev +read in every space +never$")

        self.command("token", "revoke", "dev")
        self.assertEqual(server.get(key, **self.bearer(reader)).status, 200)
        self.reload(server)

        self.assertEqual(server.get(key, **self.bearer(reader)).status, 401)
        self.assertEqual(server.get(key, **self.bearer(writer)).status, 200)
        for secret in (writer, reader):
            self.assertNotIn(secret, server.output_text())

    def test_the_list_as_json_tells_all_but_hashes(self) -> None:
        self.create(
            *("ci", "read,write", "--space", "polykit", "--project", "acme/app", "--user", "bob"),
            *("--expires", "2999-01-31", "--requests-per-second", "7", "--requests-burst", "9"),
            *("--read-bytes-per-second", "1MiB", "--write-bytes-per-second", "2MiB"),
            *("--write-bytes-per-day", "3GiB"),
        )
        self.create("old", "read")
        text = self.auth_file.read_text().rstrip("\n")
        self.auth_file.write_text(
            text + '\n    expires: "2001-01-31"\nanonymous: [{scopes: read}]\n'
            "anonymous_limits: {write_bytes_per_day: 5}\n"
        )
        none = dict.fromkeys(
            (
                *("requests_per_second", "requests_burst", "read_bytes_per_second"),
                *("write_bytes_per_second", "write_bytes_per_day"),
            )
        )
        every = {"scopes": ["read"], "spaces": None, "projects": None}

        listed = self.command("token", "list", "--json").stdout

        self.assertEqual(
            json.loads(listed),
            {
                "tokens": [
                    {
                        "name": "ci",
                        "grants": [
                            {
                                "scopes": ["read", "write"],
                                "spaces": ["polykit"],
                                "projects": ["acme/app"],
                            }
                        ],
                        "expires": "2999-01-31T00:00:00Z",
                        "expired": False,
                        "user": "bob",
                        "limits": {
                            "requests_per_second": 7,
                            "requests_burst": 9,
                            "read_bytes_per_second": 1 << 20,
                            "write_bytes_per_second": 2 << 20,
                            "write_bytes_per_day": 3 << 30,
                        },
                    },
                    {
                        "name": "old",
                        "grants": [every],
                        "expires": "2001-01-31T00:00:00Z",
                        "expired": True,
                        "user": None,
                        "limits": none,
                    },
                ],
                "anonymous": {"grants": [every], "limits": none | {"write_bytes_per_day": 5}},
            },
        )
        table = self.command("token", "list").stdout
        self.assertIn(
            "  7 requests/s, reads 1MiB/s, writes 2MiB/s, writes 3GiB/day\n", table
        )
        self.assertRegex(table, r"(?m)^old .* 2001-01-31T00:00:00Z \(expired\)$")
        self.assertRegex(table, r"(?m)^\(anybody\) .* never +writes 5/day$")

    def test_curl_sends_it_in_every_way(self) -> None:
        if CURL is None:
            self.skipTest("curl is not installed")
        token = self.create("ci", "read")
        server = self.start()
        url = f"{server.url}/v1/artifacts/{'0' * 64}"
        netrc = self.directory / "netrc"
        netrc.write_text(f"machine 127.0.0.1 login anybody password {token}\n")
        unpadded = base64.urlsafe_b64encode(f"u:{token}".encode()).decode().rstrip("=")
        cases = [
            (("-H", f"Authorization: Bearer {token}"), "404"),
            (("-H", f"Authorization: basic {unpadded}"), "404"),
            (("-u", f"anybody:{token}"), "404"),
            (("-u", f"{token}:"), "404"),
            (("--netrc-file", str(netrc)), "404"),
            (("--oauth2-bearer", token), "404"),
            (("--anyauth", "-u", f"anybody:{token}"), "404"),  # waits for the challenge
            (("-u", f"anybody:{token}x"), "401"),
            ((), "401"),
        ]
        for arguments, status in cases:
            with self.subTest(arguments=arguments):
                done = subprocess.run(  # noqa: S603
                    [CURL, "--silent", "--noproxy", "*", "--max-time", "60", "--output", "/dev/null"]
                    + ["--write-out", "%{http_code}", *arguments, url],
                    check=True,
                    capture_output=True,
                    text=True,
                )
                self.assertEqual(done.stdout, status)

    def test_a_refused_upload_is_not_asked_for(self) -> None:
        self.create("ci", "read")
        server = self.start()
        with server.connect() as connection:
            connection.send(
                b"PUT /v1/artifacts/" + b"0" * 64 + b" HTTP/1.1\r\nHost: x\r\n"
                b"Expect: 100-continue\r\nContent-Length: 1000000\r\n\r\n"
            )
            answer = connection.response()
            assert answer is not None
            self.assertEqual((answer.status, answer.interim), (401, []))
            self.assertTrue(connection.closed_by_peer())

    def test_audit_lines_tell_who_did_what(self) -> None:
        writer = self.create("ci", "write")
        reader = self.create("dev", "read")
        server = self.start("--access-log", "false")
        key, body = self.artifact("audit")

        server.put(key, body, **self.bearer(writer))
        server.put(key, body, **self.bearer(writer))
        server.put(key, body, **self.bearer(reader))
        server.put(key, body, **self.bearer("pkc_wrong"))
        server.put(key, body)
        server.get(key, **self.bearer(reader))
        self.assertEqual(server.stop(), 0)

        lines = re.findall(r"INFO audit (.*)", server.output_text())
        expected = [
            ("ci", "done", "none", 201),
            ("ci", "refused", "none", 409),
            ("dev", "denied", "no_right", 403),
            ("unknown", "denied", "bad_credentials", 401),
            ("anonymous", "denied", "no_credentials", 401),
        ]
        self.assertEqual(len(lines), len(expected), lines)
        for line, (who, outcome, reason, status) in zip(lines, expected, strict=True):
            for field in (
                f"who={who} method=PUT space=polykit project=- key={key} outcome={outcome}",
                f"reason={reason} status={status} client=127.0.0.1",
            ):
                self.assertIn(field, line)

    def test_audit_lines_can_be_turned_off(self) -> None:
        writer = self.create("ci", "write")
        server = self.start("--audit-log", "false")
        key, body = self.artifact("quiet")
        self.assertEqual(server.put(key, body, **self.bearer(writer)).status, 201)
        self.assertEqual(server.stop(), 0)
        self.assertNotIn(" audit ", server.output_text())

    def test_a_broken_file_keeps_the_old_rules_and_stops_a_start(self) -> None:
        token = self.create("ci", "read,metrics")
        good = self.auth_file.read_text()
        server = self.start()
        secret = "pkc_pasted-where-the-hash-belongs"
        for text, message in (
            (good + "tokns: []\n", "unknown key"),
            (good.replace("sha256:", secret), "hash must be sha256"),
            ("tokens: [", "not valid YAML"),
        ):
            self.auth_file.write_text(text)
            self.reload(server, "auth file not reloaded, the old rules stay in force")
            self.assertIn(message, server.output_text())
            self.assertEqual(server.request("GET", "/metrics", None, self.bearer(token)).status, 200)
            self.assertEqual(server.request("GET", "/metrics").status, 401)
        self.assertNotIn(secret, server.output_text())

        metrics = server.request("GET", "/metrics", None, self.bearer(token)).body.decode()
        self.assertIn('polykit_cache_denied_requests_total{reason="no_credentials"} 3', metrics)
        self.assertNotIn(token, metrics)

        with self.assertRaises(harness.ServerError) as caught:
            self.start()
        self.assertIn("not valid YAML", str(caught.exception))
        self.auth_file.write_text(good)
        self.auth_file.chmod(0o666)
        with self.assertRaises(harness.ServerError) as caught:
            self.start()
        self.assertIn("everybody may write to it", str(caught.exception))

    def test_reloads_under_load_refuse_nobody_who_is_in_every_version(self) -> None:
        stays = self.create("stays", "read")
        self.create("goes", "read")
        server = self.start()
        wrong: list[int] = []
        asked = [0] * 4
        done = threading.Event()

        def ask(number: int) -> None:
            client = server.http()
            while not done.is_set():
                client.request("GET", f"/v1/artifacts/{'0' * 64}", headers=self.bearer(stays))
                answer = client.getresponse()
                answer.read()
                asked[number] += 1
                if answer.status != 404:
                    wrong.append(answer.status)
            client.close()

        clients = [threading.Thread(target=ask, args=(i,)) for i in range(len(asked))]
        for client in clients:
            client.start()
        try:
            for round_ in range(10):
                if round_ % 2 == 0:
                    self.command("token", "revoke", "goes")
                else:
                    self.create("goes", "read")
                self.reload(server)
        finally:
            done.set()
            for client in clients:
                client.join()

        self.assertEqual(wrong, [])
        self.assertGreater(min(asked), 10)

    def test_limits_of_a_token(self) -> None:
        key, body = self.artifact("limits")
        slow = self.create("slow", "read", "--requests-per-second", "1", "--requests-burst", "2")
        small = self.create("small", "write", "--write-bytes-per-day", str(len(body)))
        server = self.start()

        answers = [server.get(key, **self.bearer(slow)) for _ in range(2)]
        self.assertEqual([answer.status for answer in answers], [404, 404])
        while (answer := server.get(key, **self.bearer(slow))).status != 429:
            self.assertEqual(answer.status, 404)  # a second has passed: the machine is busy
        self.assertEqual(answer.header("Retry-After"), "1")

        self.assertEqual(server.put(key, body, **self.bearer(small)).status, 201)
        other, body = self.artifact("another")
        refused = server.put(other, body, **self.bearer(small))
        self.assertEqual(refused.status, 403)
        self.assertIn(b"as much as it may today", refused.body)

    def test_what_a_token_has_used_survives_every_end_of_the_server(self) -> None:
        bodies = [self.artifact(f"day {number}") for number in range(3)]
        quota = sum(len(body) for _, body in bodies[:2])
        small = self.create("small", "read,write", "--write-bytes-per-day", str(quota))
        server = self.start()
        usage = server.storage / "token-usage"

        self.assertEqual(server.put(*bodies[0], **self.bearer(small)).status, 201)
        self.assertEqual(server.stop(), 0)
        server = self.start_server("--auth-file", str(self.auth_file), storage=usage.parent)
        self.assertEqual(server.put(*bodies[1], **self.bearer(small)).status, 201)
        server.wait_until(lambda: f" small {quota}\n" in usage.read_text(), "it is written", 60)
        server.kill()
        server = self.start_server("--auth-file", str(self.auth_file), storage=usage.parent)

        self.assertEqual(server.put(*bodies[2], **self.bearer(small)).status, 403)
        server.kill()
        usage.write_text("torn")
        server = self.start_server("--auth-file", str(self.auth_file), storage=usage.parent)
        self.assertEqual(server.put(*bodies[2], **self.bearer(small)).status, 201)
        self.assertIn("daily quotas is not known", server.output_text())

    def test_bytes_per_second_of_a_token_and_of_those_without_one(self) -> None:
        """No faster than the limit; how much slower is the machine's affair."""
        key = artifact.key_for("paced")
        body = artifact.build(key, {"noise": random.Random(1).randbytes(1_300_000)})
        writer = self.create("ci", "read,write", "--write-bytes-per-second", "1MiB")
        reader = self.create("dev", "read", "--read-bytes-per-second", "1MiB")
        with self.auth_file.open("a") as file:
            file.write("anonymous:\n- scopes: read\nanonymous_limits: {read_bytes_per_second: 1MiB}\n")
        server = self.start()
        least = len(body) / (1 << 20) - 1 - 0.001

        for ask in (
            lambda: server.put(key, body, **self.bearer(writer)).status == 201,
            lambda: server.get(key, **self.bearer(reader)).body == body,
            lambda: server.get(key).body == body,
        ):
            start = time.monotonic()
            self.assertTrue(ask())
            self.assertGreater(time.monotonic() - start, least)

    def watched(self, *words: str) -> tuple[int, str]:
        """A command with a terminal for its errors: its status, and what the terminal got."""
        ours, theirs = pty.openpty()
        binary = harness.environment_path("PKC_SERVER")
        with subprocess.Popen(  # noqa: S603
            [str(binary), *words], stdout=subprocess.DEVNULL, stderr=theirs, env=harness.clean_environment()
        ) as process:
            os.close(theirs)
            shown = b""
            try:
                while piece := os.read(ours, 1 << 16):
                    shown += piece
            except OSError:  # the other end is closed: that is how a terminal says so
                pass
            os.close(ours)
            return process.wait(harness.IO_TIMEOUT), shown.decode()

    def test_get_and_put_show_a_terminal_how_far_they_are(self) -> None:
        """A limit keeps the transfers slow enough to be seen; sockets hold a few MiB of an upload."""
        key = artifact.key_for("watched")
        body = artifact.build(key, {"noise": random.Random(2).randbytes(24 << 20)})
        source, target = self.directory / "source", self.directory / "target"
        source.write_bytes(body)
        (self.directory / "token").write_text(
            self.create(
                *("ci", "read,write", "--read-bytes-per-second", "8MiB"),
                *("--write-bytes-per-second", "8MiB"),
            )
        )
        server = self.start()
        where = ("--url", server.url, "--token-file", str(self.directory / "token"))
        line = r"\r\x1b\[K\[#*-*\] [\d.]+ [KM]iB of 24\.\d MiB, [\d.]+ [KM]iB/s, \d+ s left"

        for words in (("put", key, str(source)), ("get", key, str(target))):
            with self.subTest(words[0]):
                status, shown = self.watched(*words, *where)
                self.assertEqual(status, 0, shown)
                self.assertRegex(shown, line)
                self.assertTrue(shown.endswith("\r\x1b[K"), shown)
        self.assertEqual(target.read_bytes(), body)
        status, shown = self.watched("put", key, str(source), *where)
        self.assertEqual(status, 1)
        self.assertRegex(shown, r"(^|\x1b\[K)polykit-cache: ")
        binary = harness.environment_path("PKC_SERVER")
        quiet = subprocess.run(  # noqa: S603
            [str(binary), "get", key, str(target), *where], capture_output=True, timeout=60
        )
        self.assertEqual((quiet.returncode, quiet.stdout, quiet.stderr), (0, b"", b""))

    def test_a_misspelt_space_is_pointed_at(self) -> None:
        self.create("ci", "read", "--space", "polykti")
        server = self.start()
        self.assertIn("names a space that does not exist space=polykti", server.output_text())

    def test_mistakes_of_the_commands(self) -> None:
        self.create("ci", "read")
        before = self.auth_file.read_text()
        for words, status, message in (
            (("token",), 2, "token needs to know what: create, list or revoke"),
            (("token", "create"), 2, "token create needs --name NAME"),
            (("token", "create", "--name", "a"), 2, "needs --scope"),
            (("token", "create", "--name", "a", "--scope", "reed"), 2, '"reed" is none of read'),
            (("token", "create", "--name", "a b", "--scope", "read"), 2, "is not 1 to 64 letters"),
            (
                ("token", "create", "--name", "a", "--scope", "read", "--expires", "2001-01-01"),
                2,
                "is neither a duration such as 90d nor a time to come",
            ),
            (
                ("token", "create", "--name", "a", "--scope", "read", "--requests-burst", "3"),
                2,
                "--requests-burst needs --requests-per-second",
            ),
            (
                ("token", "create", "--name", "a", "--scope", "read", "--read-bytes-per-second", "9"),
                2,
                '--read-bytes-per-second: "9" is less than 1KiB',
            ),
            (("token", "create", "--name", "ci", "--scope", "read"), 1, "there is already a token"),
            (("token", "revoke", "nobody"), 1, 'there is no token named "nobody"'),
        ):
            with self.subTest(words=words):
                done = self.command(*words, status=status)
                self.assertIn(message, done.stderr)
                self.assertEqual(done.stdout, "")
        self.assertEqual(self.auth_file.read_text(), before)

    def test_config_check_reads_the_auth_file(self) -> None:
        self.create("ci", "read")
        self.assertIn("valid", self.command("config", "check").stdout)
        with self.auth_file.open("a") as file:
            file.write("tokns: []\nanonymous: 1\n")
        wrong = self.command("config", "check", status=2).stderr
        self.assertIn(f"{self.auth_file}:", wrong)
        self.assertIn('unknown key "tokns"', wrong)
        self.assertIn("anonymous must be a list", wrong)

    def test_without_an_auth_file_everybody_reads_and_writes(self) -> None:
        server = self.start_server()
        key, body = self.artifact("open")
        self.assertEqual(server.put(key, body, **self.bearer("anything")).status, 201)
        self.assertEqual(server.get(key, Authorization="nonsense").status, 200)
        self.assertEqual(server.request("GET", "/metrics").status, 200)


if __name__ == "__main__":
    harness.main()
