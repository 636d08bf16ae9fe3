"""The units under systemd/, started by a real systemd with all of their hardening in force."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(TESTS / "support"), str(TESTS / "e2e")]

import artifact  # noqa: E402
import booted_systemd  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402
from robustness_case import await_event  # noqa: E402

SERVICE = "polykit-cache.service"
ORIGINAL = """[Service]
Type=simple
User=polykit
Group=polykit
ExecStart=/usr/local/bin/polykit-cache --storage-dir /var/cache/polykit \\
  --bind 0.0.0.0 --port 8080 --log-level info
Restart=always
RestartSec=10
StandardOutput=append:/run/server.log
[Install]
WantedBy=multi-user.target
"""


class Client(harness.CacheServer):
    """The requests of the harness, to a server that somebody else started."""

    def __init__(self) -> None:
        self.port = 8080


class Booted(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        binary = harness.environment_path("PKC_SERVER")
        if binary is None:
            raise harness.ServerError("PKC_SERVER does not name the server's binary")
        self.systemd = booted_systemd.Booted(self.directory, binary)
        self.addCleanup(self.systemd.stop)
        self.systemd.await_boot()
        self.client = Client()
        self.key = artifact.key_for("booted")
        self.body = artifact.build(self.key, {"stdout.txt": b"hello"})

    def control(self, *arguments: str) -> str:
        status, output = self.systemd.run("systemctl", *arguments)
        self.assertEqual(status, 0, f"systemctl {arguments}: {output}\n{self.systemd.log()}")
        return output.strip()

    def shown(self, name: str) -> str:
        return self.control("show", "--property", name, "--value", SERVICE)

    def status_of(self, pid: str) -> dict[str, str]:
        """The kernel's view of a process; nothing when it has ended."""
        status, text = self.systemd.run("cat", f"/proc/{pid}/status")
        return dict(re.findall(r"(?m)^(\w+):\s+(.*)$", text)) if status == 0 else {}

    def assert_serves(self) -> None:
        self.assertEqual(self.client.get(self.key).body, self.body, self.systemd.log())

    def test_it_serves_and_may_do_nothing_else(self) -> None:
        self.control("start", SERVICE)

        self.assertEqual(self.client.put(self.key, self.body).status, 201, self.systemd.log())
        self.assert_serves()
        self.assertTrue(self.systemd.path("/var/cache/polykit").is_dir())
        status = self.status_of(self.shown("MainPID"))
        user = self.systemd.run("id", "--user", "polykit")[1].strip()
        self.assertEqual(status["Uid"].split(), [user] * 4)
        self.assertEqual(int(status["CapBnd"], 16), 0)
        self.assertEqual((status["NoNewPrivs"], status["Seccomp"]), ("1", "2"))
        self.assertNotIn("level=warn", self.systemd.log())

    def test_the_journal_knows_how_grave_a_line_is(self) -> None:
        self.start_journal()
        self.control("start", SERVICE)
        self.assertEqual(self.client.put(self.key, self.body).status, 201)
        self.control("stop", SERVICE)
        blob = next(self.systemd.path("/var/cache/polykit").rglob(f"{self.key}.zst"))
        blob.write_bytes(self.body[:-1] + bytes([self.body[-1] ^ 1]))
        self.control("start", SERVICE)
        self.assertEqual(self.client.get(self.key).status, 404)
        self.control("stop", SERVICE)

        lines = self.journal_lines()

        def priority_of(words: str) -> set[str]:
            return {line["PRIORITY"] for line in lines if words in line["MESSAGE"]}

        self.assertEqual(priority_of("INFO listening"), {"6"}, lines)
        self.assertEqual(priority_of("INFO request method=PUT"), {"6"}, lines)
        self.assertEqual(priority_of("WARN corrupt object quarantined"), {"4"}, lines)
        for line in lines:
            self.assertNotRegex(line["MESSAGE"], r"^(<\d>|\d{4}-)")  # the journal has both itself

    def test_a_logs_directory_is_all_that_an_access_log_needs(self) -> None:
        self.systemd.run("mount", "-t", "tmpfs", "tmpfs", "/var/log")
        drop_in = self.systemd.path("/run/units/polykit-cache.service.d/access.conf")
        drop_in.write_text("[Service]\nLogsDirectory=polykit-cache\n")  # as the README says
        settings = self.systemd.path("/etc/polykit-cache/polykit-cache.yaml")
        with settings.open("a") as file:
            file.write("access_log_file: /var/log/polykit-cache/access.log\n")
        self.control("daemon-reload")
        self.control("start", SERVICE)
        self.assertEqual(self.client.put(self.key, self.body).status, 201)
        log = self.systemd.path("/var/log/polykit-cache/access.log")
        old = log.with_suffix(".1")
        await_event(lambda: "method=PUT" in log.read_text(), "the line is in the file")

        log.rename(old)
        self.control("reload", SERVICE)
        await_event(log.exists, "the file is opened again")

        self.assert_serves()
        await_event(lambda: "method=GET" in log.read_text(), "the next line is in the new file")
        self.assertNotIn("method=GET", old.read_text())
        self.assertNotIn("method=PUT", self.systemd.log())

    def start_journal(self) -> None:
        """A journal of this systemd's own, in memory, that our service writes to."""
        units = self.systemd.path("/run/units")
        names = ["systemd-journald.service", "systemd-journald.socket"]
        for name in [*names, "systemd-journald-dev-log.socket"]:
            (units / name).write_text((self.systemd.path("/lib/systemd/system") / name).read_text())
        self.systemd.path("/etc/systemd/journald.conf").write_text("[Journal]\nStorage=volatile\n")
        folder = units / "polykit-cache.service.d"
        (folder / "log.conf").write_text("[Service]\nStandardOutput=journal\n")
        self.control("daemon-reload")
        self.control("start", *names)

    def journal_lines(self) -> list[dict[str, str]]:
        """What the service itself has said."""
        self.systemd.run("journalctl", "--sync")
        status, text = self.systemd.run(
            "journalctl", "--output=json", f"_SYSTEMD_UNIT={SERVICE}", "--all"
        )
        self.assertEqual(status, 0, text)
        return [json.loads(line) for line in text.splitlines()]

    def test_it_hands_over_under_the_hardening(self) -> None:
        self.control("start", SERVICE)
        self.assertEqual(self.client.put(self.key, self.body).status, 201)
        before = self.shown("MainPID")

        self.control("kill", "--signal=SIGUSR2", "--kill-whom=main", SERVICE)
        await_event(lambda: self.shown("MainPID") != before, "systemd follows to the next process")

        self.assert_serves()
        await_event(lambda: not self.status_of(before), "the old process has ended")
        self.assertEqual((self.shown("ActiveState"), self.shown("NRestarts")), ("active", "0"))
        self.assertEqual(self.status_of(self.shown("MainPID"))["Seccomp"], "2")
        self.control("reload", SERVICE)
        self.assert_serves()
        self.control("stop", SERVICE)
        self.assertEqual(self.shown("Result"), "success", self.systemd.log())

    def test_a_stop_after_a_hand_over_lets_requests_finish(self) -> None:
        self.control("start", SERVICE)
        before = self.shown("MainPID")
        with self.client.connect():  # it waits for a request, so the old process goes on for a while
            self.control("kill", "--signal=SIGUSR2", "--kill-whom=main", SERVICE)
            await_event(lambda: self.shown("MainPID") != before, "systemd follows to the next process")
        await_event(lambda: not self.status_of(before), "the old process has ended")

        with self.client.connect() as upload:
            middle = len(self.body) // 2
            head = f"PUT /v1/artifacts/{self.key} HTTP/1.1\r\nHost: x\r\n"
            head += f"Content-Length: {len(self.body)}\r\n\r\n"
            upload.send(head.encode(), self.body[:middle])
            await_event(lambda: any(self.storage_temp()), "half of the upload has arrived")
            self.control("stop", "--no-block", SERVICE)
            await_event(lambda: "shutting down" in self.systemd.log(), "the stop has begun")
            upload.send(self.body[middle:])
            answer = upload.response()

        self.assertEqual(answer and answer.status, 201, self.systemd.log())
        await_event(lambda: self.shown("ActiveState") == "inactive", "it has stopped")
        self.assertEqual(self.shown("Result"), "success", self.systemd.log())

    def storage_temp(self) -> list[Path]:
        """Uploads in progress."""
        return list(self.systemd.path("/var/cache/polykit/tmp").glob("*"))

    def test_it_comes_back_after_a_crash_and_stays_away_after_a_mistake(self) -> None:
        self.control("start", SERVICE)
        self.assertEqual(self.client.put(self.key, self.body).status, 201)

        self.control("kill", "--signal=SIGKILL", SERVICE)
        await_event(
            lambda: (self.shown("NRestarts"), self.shown("ActiveState")) == ("1", "active"),
            "it is started again",
        )
        self.assert_serves()

        self.control("stop", SERVICE)
        self.systemd.path("/etc/polykit-cache/polykit-cache.yaml").write_text("prot: 1\n")
        self.assertNotEqual(self.systemd.run("systemctl", "start", SERVICE)[0], 0)
        self.assertEqual((self.shown("ActiveState"), self.shown("ExecMainStatus")), ("failed", "2"))

    def test_the_socket_starts_it_with_the_first_request(self) -> None:
        self.control("start", "polykit-cache.socket")
        self.assertEqual(self.shown("ActiveState"), "inactive")

        self.assertEqual(self.client.put(self.key, self.body).status, 201, self.systemd.log())

        self.control("restart", SERVICE)
        self.assert_serves()
        self.control("kill", "--signal=SIGUSR2", "--kill-whom=main", SERVICE)
        self.assert_serves()

    def test_the_unit_of_the_original_starts_ours(self) -> None:
        self.systemd.path(f"/run/units/{SERVICE}").write_text(ORIGINAL)
        self.control("daemon-reload")

        self.control("start", SERVICE)

        await_event(lambda: "listening address=" in self.systemd.log(), "it listens")
        self.assertEqual(self.client.put(self.key, self.body).status, 201, self.systemd.log())
        self.assert_serves()
        self.control("stop", SERVICE)
        self.assertEqual(self.shown("Result"), "success", self.systemd.log())


if __name__ == "__main__":
    if name_spaces.INSIDE not in os.environ and (reason := booted_systemd.why_not()):
        harness.skip(reason)
    name_spaces.enter(root=True)
    harness.main()
