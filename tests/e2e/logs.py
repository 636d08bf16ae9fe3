"""What the log says: formats, request ids, the access log's file, and what must never be in it."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import threading
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402

KEY = artifact.key_for("logs")
TIME = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


class LogTest(harness.ServerTest):
    def get(self, server: harness.CacheServer, target: str, **headers: str) -> str:
        """The request id of the answer."""
        answer = server.request("GET", target, None, {k.replace("_", "-"): v for k, v in headers.items()})
        ids = answer.header_values("x-request-id")
        self.assertEqual(len(ids), 1)
        return ids[0]

    def lines_after_stop(self, server: harness.CacheServer) -> list[str]:
        self.assertEqual(server.stop(), 0)
        return server.output_text().splitlines()

    def await_output(self, server: harness.CacheServer, text: str, count: int = 1) -> None:
        server.wait_until(
            lambda: server.output_text().count(text) >= count, f"log says {text!r}", harness.IO_TIMEOUT
        )

    def test_text_lines_carry_the_id_that_the_client_got(self) -> None:
        server = self.start_server()
        given = self.get(server, f"/v1/artifacts/{KEY}", X_Request_Id="build-7.step_2")
        made = self.get(server, f"/v1/artifacts/{KEY}")

        lines = [line for line in self.lines_after_stop(server) if " INFO request " in line]

        self.assertEqual(given, "build-7.step_2")
        self.assertRegex(made, r"^[0-9a-f]{24}$")
        for line in lines:
            self.assertRegex(line, rf"^{TIME} INFO request method=GET path=/v1/artifacts/{KEY} status=404 ")
        # A line is written when its answer has left, so the next request's may come first.
        endings = sorted(line.partition(" outcome=")[2] for line in lines)
        self.assertEqual(endings, sorted(f"complete request_id={name}" for name in (given, made)))

    def test_json_lines_are_objects_with_the_same_fields(self) -> None:
        server = self.start_server("--log-format", "json")
        request_id = self.get(server, f"/v1/artifacts/{KEY}")
        refused = server.raw(b"GET /\xff\xfe\"\\ HTTP/1.1\r\nHost: x\r\n\r\n")
        assert refused is not None

        events = [json.loads(line) for line in self.lines_after_stop(server)]

        for event in events:
            self.assertEqual(list(event)[:3], ["time", "level", "msg"])
            self.assertRegex(event["time"], rf"^{TIME}$")
            self.assertIn(event["level"], ("info", "warn"))
        requests = {event["request_id"]: event for event in events if event["msg"] == "request"}
        self.assertEqual(set(requests), {request_id, refused.header("x-request-id")})
        request = requests[request_id]
        self.assertEqual(request["path"], f"/v1/artifacts/{KEY}")
        self.assertEqual(request["status"], 404)
        self.assertIsInstance(request["duration_us"], int)
        self.assertEqual(events[0]["msg"], "starting")
        self.assertEqual(events[-1]["msg"], "stopped")

    def test_lines_about_a_request_carry_its_id_wherever_they_are_written(self) -> None:
        server = self.start_server("--log-format", "json", "--log-level", "debug")
        body = artifact.build(KEY, {"a.txt": b"content"})
        stored = server.put(KEY, body, **{"X-Request-Id": "upload"})
        self.assertEqual(stored.status, 201)
        blob = server.blob_path(KEY)
        blob.write_bytes(body[:-1] + bytes([body[-1] ^ 1]))
        self.get(server, f"/v1/artifacts/{KEY}", X_Request_Id="finds-the-damage")

        events = [json.loads(line) for line in self.lines_after_stop(server)]

        def of(name: str) -> list[str]:
            return [event["msg"] for event in events if event.get("request_id") == name]

        self.assertEqual(of("upload"), ["artifact stored", "request"])
        damage, request = of("finds-the-damage")
        self.assertNotEqual(damage, "request")  # the store's word, which knows nothing of requests
        self.assertEqual(request, "request")

    def journal_lines(self, *arguments: str) -> list[str]:
        """With its output in a file that JOURNAL_STREAM names."""
        log = self.directory / f"journal{len(arguments)}.log"
        log.touch()
        stat = log.stat()
        server = harness.CacheServer(
            *arguments,
            storage=self.directory / "journal",
            log=log,
            env={"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"},
        )
        self.addCleanup(server.kill)
        self.get(server, f"/v1/artifacts/{KEY}")
        return self.lines_after_stop(server)

    def test_journal_lines_have_a_priority_and_no_time(self) -> None:
        lines = self.journal_lines()

        self.assertTrue(any(line.startswith("<6>INFO request method=GET ") for line in lines), lines)
        self.assertEqual([line for line in lines if not re.match(r"<[3-7]>[A-Z]+ ", line)], [])
        self.assertEqual([line for line in lines if re.search(TIME, line)], [])

    def test_journal_lines_in_json_are_objects_behind_their_priority(self) -> None:
        for line in self.journal_lines("--log-format", "json"):
            self.assertRegex(line, r"^<[3-7]>\{")
            self.assertIn("msg", json.loads(line[3:]))

    def test_output_that_is_no_journal_any_more_is_plain(self) -> None:
        server = self.start_server(env={"JOURNAL_STREAM": "8:12345"})

        lines = self.lines_after_stop(server)

        self.assertEqual([line for line in lines if not re.match(TIME, line)], [])

    def test_secrets_are_in_no_line(self) -> None:
        server = self.start_server("--log-level", "trace")
        self.get(
            server,
            f"/v1/artifacts/{KEY}?token=geheim1&geheim2",
            Authorization="Bearer geheim3",
            Cookie="session=geheim4",
            Proxy_Authorization="Basic geheim5",
        )
        server.raw(b"GET http://geheim6:geheim7@host/x HTTP/1.1\r\nHost: host\r\n\r\n")
        server.raw(b"PUT /x?a=geheim8 HTTP/1.1\r\nHost: host\r\nTransfer-Encoding: geheim9\r\n\r\n")

        text = "\n".join(self.lines_after_stop(server))

        self.assertIn(f"path=\"/v1/artifacts/{KEY}?token=***&***\"", text)
        self.assertIn("path=http://***@host/x", text)
        self.assertNotIn("geheim", text)

    def test_access_log_off_leaves_the_rest(self) -> None:
        access = self.directory / "access.log"
        server = self.start_server("--access-log", "false", "--access-log-file", str(access))
        self.get(server, f"/v1/artifacts/{KEY}")

        lines = self.lines_after_stop(server)

        self.assertEqual([line for line in lines if "INFO request" in line], [])
        self.assertFalse(access.exists())

    def test_access_log_in_a_file_is_not_in_the_output_whatever_the_level(self) -> None:
        access = self.directory / "access.log"
        server = self.start_server("--log-level", "error", "--access-log-file", str(access))
        request_id = self.get(server, f"/v1/artifacts/{KEY}")

        self.assertEqual(self.lines_after_stop(server), [])

        self.assertEqual(access.stat().st_mode & 0o777, 0o640 & ~current_umask())
        (line,) = access.read_text().splitlines()
        self.assertTrue(line.endswith(f"request_id={request_id}"), line)

    def test_access_log_file_that_cannot_be_opened_stops_the_start(self) -> None:
        missing = self.directory / "no" / "access.log"
        with self.assertRaisesRegex(harness.ServerError, "access-log-file: open .*/no/access.log"):
            self.start_server("--access-log-file", str(missing))

    def test_hangup_opens_the_file_again_and_no_line_is_lost(self) -> None:
        access = self.directory / "access.log"
        server = self.start_server("--access-log-file", str(access))
        rotations = 12
        done = threading.Event()
        sent: list[list[str]] = [[], [], []]

        def client(number: int) -> None:
            with server.connect() as connection:
                while not done.is_set():
                    name = f"c{number}-{len(sent[number])}"
                    connection.send(f"GET /up HTTP/1.1\r\nHost: x\r\nX-Request-Id: {name}\r\n\r\n".encode())
                    if connection.response() is None:
                        return
                    sent[number].append(name)

        clients = [threading.Thread(target=client, args=(number,)) for number in range(len(sent))]
        for thread in clients:
            thread.start()
        try:
            for rotation in range(rotations):
                access.rename(self.directory / f"access.log.{rotation}")
                server.signal(signal.SIGHUP)
                self.await_output(server, "access log opened again", rotation + 1)
        finally:
            done.set()
            for thread in clients:
                thread.join()
        self.assertEqual(server.stop(), 0)

        files = [access, *(self.directory / f"access.log.{rotation}" for rotation in range(rotations))]
        lines = [line for file in files for line in file.read_text().splitlines()]
        logged = [line.rpartition("request_id=")[2] for line in lines]
        expected = [name for names in sent for name in names]
        self.assertTrue(all(sent), "each client was answered")
        self.assertEqual(sorted(logged), sorted(expected))

    def test_hangup_that_cannot_open_the_file_goes_on_in_the_old_one(self) -> None:
        folder = self.directory / "logs"
        folder.mkdir()
        server = self.start_server("--access-log-file", str(folder / "access.log"))
        moved = folder.rename(self.directory / "moved")

        server.signal(signal.SIGHUP)
        self.await_output(server, "ERROR access log not opened again")
        request_id = self.get(server, "/up")
        self.assertEqual(server.stop(), 0)

        self.assertIn(request_id, (moved / "access.log").read_text())


def current_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


if __name__ == "__main__":
    harness.main()
