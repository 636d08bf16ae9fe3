"""Behind nginx, configured as packaging/nginx says, every request has the answer it has without.

Over TCP and over a Unix socket, with buffering on and off in both directions.
"""

from __future__ import annotations

import re
import socket
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from nginx_front_case import PACKAGED, Front, FrontTest, Mode, chunked, head_of, in_every_mode
from robustness_case import (
    KIB,
    MIB,
    artifact,
    await_event,
    big_artifact,
    get_head,
    harness,
    noise,
    put_head,
    sha256,
    small_artifact,
)

ABSENT = artifact.key_for("absent")
BIG = artifact.key_for("big")


class Answers(FrontTest):
    @in_every_mode
    def test_uploads_of_both_framings_and_every_kind_of_download(self, mode: Mode) -> None:
        front = self.start_front(mode)
        key, piped = artifact.key_for("length"), artifact.key_for("chunked")
        body, piped_body = big_artifact(key, 300 * KIB), big_artifact(piped, 300 * KIB)

        self.assertEqual(front.put(key, body).status, 201)
        head = head_of("PUT", piped, transfer_encoding="chunked")
        self.assertEqual(front.ask(head, *chunked(piped_body)).status, 201)

        tag = f'"{sha256(body)}"'
        whole = front.get(key)
        self.assertTrue(whole.complete and whole.status == 200 and whole.body == body)
        self.assertEqual(whole.header("x-artifact-hash"), sha256(body))
        self.assertEqual(whole.header("etag"), tag)
        self.assertTrue(front.get(piped).body == piped_body)
        seen = front.get(key, "HEAD")
        self.assertEqual((seen.status, seen.header("content-length")), (200, str(len(body))))
        part = front.get(key, range="bytes=1000-200999")
        self.assertTrue(part.status == 206 and part.body == body[1000:201_000])
        self.assertEqual(part.header("content-range"), f"bytes 1000-200999/{len(body)}")
        same = front.get(key, if_none_match=tag)
        self.assertEqual((same.status, same.header("etag")), (304, tag))
        self.assertEqual(front.get(key, range="bytes=9999999-").status, 416)
        self.assert_error(front.get(ABSENT), 404)
        self.assertEqual(front.get(ABSENT, "HEAD").status, 404)
        self.assert_error(front.get("short"), 400)

    @in_every_mode
    def test_a_refusal_is_heard_however_much_is_still_to_be_sent(self, mode: Mode) -> None:
        front = self.start_front(mode, "--max-size", "64KiB")
        key = artifact.key_for("taken")
        self.assertEqual(front.put(key, small_artifact(key)).status, 201)

        for size in (60 * KIB, 4 * MIB):
            body = noise(size)
            for _ in range(3):
                status = 409 if size < 64 * KIB else 413
                self.assert_error(front.put(key, body), status)
                head = head_of("PUT", key, transfer_encoding="chunked")
                self.assertIn(front.ask(head, *chunked(body)).status, (409, 413))
        head = head_of("PUT", ABSENT, transfer_encoding="chunked")
        self.assert_error(front.ask(head, *chunked(big_artifact(ABSENT, MIB))), 413)
        self.assert_error(front.put(ABSENT, b"this is no artifact"), 422)
        self.assert_error(front.get(ABSENT), 404)
        self.await_no_temp_files(front.server)

    @in_every_mode
    def test_a_client_that_expects_100_gets_it_and_then_the_answer(self, mode: Mode) -> None:
        front = self.start_front(mode)
        key = artifact.key_for("expected")
        body = small_artifact(key, "x" * 100_000)
        head = head_of("PUT", key, content_length=str(len(body)), expect="100-continue")
        for status in (201, 409):
            with front.connect() as connection:
                connection.send(head)
                self.assertEqual(connection.stream.readline()[:12], b"HTTP/1.1 100")
                connection.stream.readline()
                connection.send(body)
                answer = connection.response()
            self.assertEqual(answer.status if answer else 0, status)

    @in_every_mode
    def test_pipelined_requests_are_answered_in_order(self, mode: Mode) -> None:
        front = self.start_front(mode)
        key = artifact.key_for("pipelined")
        body = big_artifact(key, 100 * KIB)

        with front.connect() as connection:
            connection.send(
                get_head(key) + put_head(key, len(body)) + body + get_head(key),
                head_of("GET", key, range="bytes=5-9") + get_head(ABSENT) + get_head(key),
                # The last, as nginx may close when an answer is faster than its request.
                put_head(key, len(body)) + body,
            )
            answers = [connection.response() for _ in range(7)]

        statuses = [404, 201, 200, 206, 404, 200, 409]
        self.assertEqual([answer.status if answer else 0 for answer in answers], statuses)
        for answer, expected in ((answers[2], body), (answers[3], body[5:10]), (answers[5], body)):
            self.assertTrue(answer is not None and answer.body == expected)

    @in_every_mode
    def test_an_upload_that_breaks_off_leaves_nothing(self, mode: Mode) -> None:
        front = self.start_front(mode)
        key = artifact.key_for("broken off")
        body = big_artifact(key, 2 * MIB)
        for framed in (
            [put_head(key, len(body)), body],
            [head_of("PUT", key, transfer_encoding="chunked"), *chunked(body)],
        ):
            for breaks_off in (harness.RawConnection.reset, harness.RawConnection.close):
                with front.connect() as connection:
                    connection.send(b"".join(framed)[: len(body) // 2])
                    if mode.request_buffering == "on":
                        await_event(lambda: bool(front.spooled()), "nginx has a part")
                    else:
                        self.await_upload_began(front.server)
                    breaks_off(connection)
                await_event(lambda: not front.spooled(), "nginx has nothing left")
                self.await_no_temp_files(front.server)
                self.assert_error(front.get(key), 404)

        self.assertEqual(front.put(key, body).status, 201)
        self.assertTrue(front.get(key).body == body)
        self.assertEqual(list(harness.stored_files(front.server.storage)), self.pair(key))

    def pair(self, key: str) -> list[str]:
        return [f"{key[:2]}/{key[2:4]}/{key}.{extension}" for extension in ("json", "zst")]


class Readme(unittest.TestCase):
    def test_its_lines_to_paste_are_those_of_the_packaged_file(self) -> None:
        readme = (PACKAGED.parents[2] / "README.md").read_text()
        block = re.search(r"^```nginx\n(.*?)^```$", readme, re.MULTILINE | re.DOTALL)
        assert block is not None
        packaged = PACKAGED.read_text().splitlines()
        self.assertEqual([line for line in block[1].splitlines() if line not in packaged], [])


class Connections(FrontTest):
    @in_every_mode
    def test_one_connection_to_the_server_carries_many_requests(self, mode: Mode) -> None:
        front = self.start_front(mode)
        idle = front.server.sockets()
        key = artifact.key_for("kept")
        self.assertEqual(front.put(key, small_artifact(key)).status, 201)

        seen: set[str] = set()
        for number in range(60):
            method = "HEAD" if number % 3 == 0 else "GET"
            front.get(key if number % 5 else ABSENT, method)
            now = front.server.sockets() - idle
            self.assertTrue(now, "nginx keeps a connection between requests")
            seen |= now

        self.assertLessEqual(len(seen), 3)

    def test_the_access_log_names_the_client_if_the_proxy_is_trusted(self) -> None:
        for network, peer in (("tcp", "127.0.0.1"), ("unix", "unix")):
            for trusted in (True, False):
                with self.subTest(network, trusted=trusted):
                    front = self.start_front(Mode(network), trusted=trusted)

                    front.get_from("127.0.0.7", ABSENT)
                    # What a client claims about itself is replaced.
                    front.get_from("127.0.0.8", ABSENT, x_forwarded_for="192.0.2.1")

                    self.assertEqual(front.server.stop(), 0)
                    clients = re.findall(r" client=(\S+)", front.server.output_text())
                    named = ["127.0.0.7", "127.0.0.8"] if trusted else [peer, peer]
                    self.assertEqual(clients, named)

    def test_tls_ends_at_nginx(self) -> None:
        front = self.start_front(Mode("unix"))
        key = artifact.key_for("tls")
        body = big_artifact(key, 300 * KIB)
        with front.connect_tls(self.certificate) as connection:
            stream = connection.makefile("rb")
            connection.sendall(put_head(key, len(body)) + body)
            stored = harness.read_response(stream)
            connection.sendall(get_head(key))
            got = harness.read_response(stream)

        self.assertEqual(stored.status if stored else 0, 201)
        self.assertTrue(got is not None and got.status == 200 and got.body == body)

    def test_metrics_are_for_this_machine_only(self) -> None:
        front = self.start_front(Mode())

        self.assertEqual(front.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status, 200)
        with front.connect_from("127.0.0.9") as connection:
            connection.send(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
            answer = connection.response()
        self.assertEqual(answer.status if answer else 0, 403)


class BigBody(FrontTest):
    """One artifact that is more than all buffers on the way together hold."""

    def setUp(self) -> None:
        super().setUp()
        path = self.directory / "big"
        artifact.write_file(path, BIG, {"stdout.txt": artifact.Pattern(64 * MIB)}, level=1)
        self.body = path.read_bytes()

    def start_half_read(self, front: Front) -> harness.RawConnection:
        """A download of which nothing but the first bytes has been read."""
        connection = front.connect()
        self.addCleanup(connection.close)
        connection.send(get_head(BIG))
        self.assertEqual(connection.socket.recv(12), b"HTTP/1.1 200")
        return connection

    @in_every_mode
    def test_64_mib_arrive_byte_for_byte_also_when_a_client_breaks_off(self, mode: Mode) -> None:
        front = self.start_front(mode, "--durability", "none")
        idle = front.server.sockets()
        if mode.buffering == "on":
            status = front.put(BIG, self.body).status
        else:
            head = head_of("PUT", BIG, transfer_encoding="chunked")
            status = front.ask(head, *chunked(self.body, MIB)).status
        self.assertEqual(status, 201)

        if mode.request_buffering == "off":  # which is all the same to a download
            self.start_half_read(front).reset()
            await_event(lambda: front.server.sockets() <= idle, "the server knows")
        answer = front.get(BIG)

        self.assertEqual((answer.status, answer.complete), (200, True))
        self.assertTrue(answer.body == self.body)
        self.assertEqual(front.spooled(), set())
        await_event(lambda: len(front.server.sockets() - idle) <= 1, "one connection is kept")
        self.assertEqual(front.server.stop(), 0)
        aborted = 1 if mode.request_buffering == "off" else 0
        self.assertEqual(front.server.output_text().count("outcome=aborted"), aborted)

    def test_a_server_that_is_killed_is_never_a_short_body_that_looks_whole(self) -> None:
        for mode in (Mode("tcp", "on"), Mode("tcp", "off"), Mode("unix", "on"), Mode("unix", "off")):
            with self.subTest(str(mode)):
                front = self.start_front(mode, "--durability", "none")
                self.assertEqual(front.put(BIG, self.body).status, 201)
                with front.connect() as connection:
                    connection.send(get_head(BIG))
                    connection.socket.recv(1, socket.MSG_PEEK)  # the answer has begun
                    front.server.kill()
                    answer = connection.response()

                    assert answer is not None
                    self.assertEqual((answer.status, answer.complete), (200, False))
                    self.assertEqual(answer.header("content-length"), str(len(self.body)))
                    self.assertTrue(self.body.startswith(answer.body))
                    self.assertTrue(connection.closed_by_peer())
                self.assertEqual(front.get(BIG).status, 502)


if __name__ == "__main__":
    harness.main()
