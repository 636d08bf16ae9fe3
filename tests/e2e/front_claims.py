"""What holds behind every proxy: a request has the answer that it has without.

Not a test itself: nginx_front.py and caddy_front.py run these claims.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import struct
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from front_case import (
    CurlError,
    Fetched,
    Front,
    FrontTest,
    Mode,
    chunked,
    head_of,
    in_every_mode,
    peak_rss,
    url_of,
)
from handover_load import Broken, Connection, Request
from robustness_case import (
    GIB,
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
CLIENTS, REQUESTS = 100, 40


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

        with front.connect() as connection:
            connection.send(head)
            self.assertEqual(connection.stream.readline()[:12], b"HTTP/1.1 100")
            while connection.stream.readline() != b"\r\n":
                pass
            connection.send(body)
            answer = connection.response()

        assert answer is not None
        self.assertEqual(answer.status, 201)
        self.assertLessEqual(set(answer.interim), {100})  # of the server's and the proxy's, one each

    @in_every_mode
    def test_pipelined_requests_are_answered_in_order(self, mode: Mode) -> None:
        front = self.start_front(mode)
        key = artifact.key_for("pipelined")
        body = big_artifact(key, 100 * KIB)

        with front.connect() as connection:
            connection.send(
                get_head(key) + put_head(key, len(body)) + body + get_head(key),
                head_of("GET", key, range="bytes=5-9") + get_head(ABSENT) + get_head(key),
                # The last, as a proxy may close when an answer is faster than its request.
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
                    if mode.streams_uploads:
                        self.await_upload_began(front.server)
                    else:
                        await_event(lambda: bool(front.spooled()), "the proxy has a part")
                    breaks_off(connection)
                await_event(lambda: not front.spooled(), "the proxy has nothing left")
                self.await_no_temp_files(front.server)
                self.assert_error(front.get(key), 404)

        self.assertEqual(front.put(key, body).status, 201)
        self.assertTrue(front.get(key).body == body)
        self.assertEqual(list(harness.stored_files(front.server.storage)), self.pair(key))

    def pair(self, key: str) -> list[str]:
        return [f"{key[:2]}/{key[2:4]}/{key}.{extension}" for extension in ("json", "zst")]

    def test_a_head_as_large_as_the_server_takes_gets_through(self) -> None:
        front = self.start_front(Mode())

        self.assert_error(front.get(ABSENT, x_large="x" * 30 * KIB), 404)
        self.assert_error(front.get(ABSENT, **{f"x_{n}": "x" * 3 * KIB for n in range(10)}), 404)
        # It is the server that says what is too much.
        self.assert_error(front.get(ABSENT, **{f"x_{n}": "x" * 4 * KIB for n in range(9)}), 431)


class Expecting(FrontTest):
    # The interim answers that a client gets although its upload is refused: what of them the proxy
    # sends by itself, before it asks the server.
    interim_of_a_refusal: list[int] = []

    def test_who_waits_for_100_hears_the_refusal_in_its_place(self) -> None:
        front = self.start_front(Mode())
        key = artifact.key_for("taken")
        body = big_artifact(key, 100_000)
        self.assertEqual(front.put(key, body).status, 201)

        with front.connect() as connection:
            connection.send(
                head_of("PUT", key, content_length=str(len(body)), expect="100-continue")
            )
            answer = connection.response()

        assert answer is not None
        self.assertEqual((answer.interim, answer.status), (self.interim_of_a_refusal, 409))


class Tls(FrontTest):
    """TLS ends at the proxy, which speaks both versions of HTTP."""

    # The version of HTTP and the header with which a refusal may get lost that comes when a part
    # of the body has been taken.
    late_refusal_lost: tuple[str, str] | None = None

    def assert_told(self, answer: Fetched, status: int) -> None:
        self.assertEqual(answer.status, status, answer.body)
        self.assertEqual(answer.headers["content-type"], "application/json")
        self.assertEqual(list(json.loads(answer.body)), ["error"])

    def check_every_answer(self, version: str) -> None:
        front = self.start_front(Mode(), "--max-size", "1MiB")
        key, piped = artifact.key_for("length"), artifact.key_for("piped")
        bodies = {name: big_artifact(name, 700 * KIB) for name in (key, piped)}
        file = self.directory / "body"
        file.write_bytes(bodies[key])

        self.assertEqual(front.curl(version, key, "-T", file).status, 201)
        self.assertEqual(front.curl(version, piped, "-T", "-", stdin=bodies[piped]).status, 201)

        tag = f'"{sha256(bodies[key])}"'
        for name, body in bodies.items():
            whole = front.curl(version, name)
            self.assertTrue(whole.status == 200 and whole.body == body)
            self.assertEqual(whole.headers["x-artifact-hash"], sha256(body))
        seen = front.curl(version, key, "--head")
        self.assertEqual((seen.status, seen.headers["etag"]), (200, tag))
        self.assertEqual(seen.headers["content-length"], str(len(bodies[key])))
        part = front.curl(version, key, "--range", "1000-200999")
        self.assertTrue(part.status == 206 and part.body == bodies[key][1000:201_000])
        self.assertEqual(part.headers["content-range"], f"bytes 1000-200999/{len(bodies[key])}")
        same = front.curl(version, key, "-H", f"If-None-Match: {tag}")
        self.assertEqual((same.status, same.body, same.headers["etag"]), (304, b"", tag))
        self.assertEqual(front.curl(version, key, "--range", "9999999-").status, 416)
        self.assertEqual(front.curl(version, ABSENT, "--head").status, 404)
        self.assert_told(front.curl(version, ABSENT), 404)
        self.assert_told(front.curl(version, "short"), 400)
        self.assert_told(front.curl(version, ABSENT, "-T", "-", stdin=b"no artifact"), 422)
        self.assertEqual(front.curl(version, "/metrics").status, 403)

    def test_every_answer_over_http_1(self) -> None:
        self.check_every_answer("1.1")

    def test_every_answer_over_http_2(self) -> None:
        self.check_every_answer("2")

    def test_a_refusal_is_heard_however_much_is_still_to_be_sent(self) -> None:
        """Over HTTP/2 it is followed by RST_STREAM, which must not spoil it for a client."""
        front = self.start_front(Mode(), "--max-size", "2MiB")
        key = artifact.key_for("taken")
        self.assertEqual(front.put(key, small_artifact(key)).status, 201)
        fits, too_large = self.directory / "fits", self.directory / "too large"
        fits.write_bytes(noise(2 * MIB - KIB))
        too_large.write_bytes(noise(16 * MIB))

        for version in ("1.1", "2"):
            for expect in ("Expect:", "Expect: 100-continue"):
                for _ in range(5):
                    asked = ("-H", expect, "-T")
                    self.check_refusal(409, front, version, key, *asked, fits)
                    self.check_refusal(413, front, version, ABSENT, *asked, too_large)
                    # Without a length.
                    body = too_large.read_bytes()
                    self.check_refusal(409, front, version, key, *asked, "-", stdin=body)
                    self.check_late_refusal(front, version, expect)
        self.await_no_temp_files(front.server)
        self.assertEqual(front.get(ABSENT).status, 404)

    def check_refusal(
        self, status: int, front: Front, version: str, *asked: str | Path, stdin: bytes = b""
    ) -> None:
        """The status is heard in any case. Over HTTP/2, where RST_STREAM follows at once, curl 7.88
        on a busy machine once in a great while got no body with it, and ended with an error."""
        try:
            answer = front.curl(version, *map(str, asked), stdin=stdin)
        except CurlError as error:
            if version != "2" or error.status != status:
                raise
        else:
            self.assert_told(answer, status)

    def check_late_refusal(self, front: Front, version: str, expect: str) -> None:
        body = big_artifact(ABSENT, 4 * MIB)
        try:
            self.check_refusal(413, front, version, ABSENT, "-H", expect, "-T", "-", stdin=body)
        except CurlError:
            if (version, expect) != self.late_refusal_lost:
                raise

    def test_an_http_2_upload_that_breaks_off_leaves_nothing(self) -> None:
        front = self.start_front(Mode())
        key = artifact.key_for("broken off")
        curl = subprocess.Popen(  # noqa: S603
            front.curl_command("2", "-T", "-", url_of(key)),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        self.addCleanup(curl.wait)
        self.addCleanup(curl.kill)
        assert curl.stdin is not None

        curl.stdin.write(big_artifact(key, 2 * MIB)[:MIB])
        curl.stdin.flush()
        self.await_upload_began(front.server)
        curl.kill()

        self.await_no_temp_files(front.server)
        self.assertEqual(front.curl("2", key).status, 404)
        curl.stdin.close()

    def test_one_http_2_connection_carries_many_requests_at_once(self) -> None:
        front = self.start_front(Mode())
        idle = front.server.sockets()
        out = self.directory / "out"
        out.mkdir()
        bodies = {}
        for number in range(40):
            key = artifact.key_for(f"parallel {number}")
            bodies[key] = big_artifact(key, number * 10 * KIB)
            self.assertEqual(front.put(key, bodies[key]).status, 201)
        pairs = [(f"{turn}-{key}", url_of(key)) for turn in range(10) for key in bodies]
        config = self.directory / "urls"
        config.write_text("".join(f'url = "{u}"\noutput = "{out}/{n}"\n' for n, u in pairs))
        options = ("--parallel", "--parallel-max", "50", "-w", "%{num_connects} %{http_code}\\n")

        done = subprocess.run(  # noqa: S603
            front.curl_command("2", *options, "--config", str(config)),
            capture_output=True,
            text=True,
            check=True,
        )

        told = sorted(line.split() for line in done.stdout.splitlines())
        self.assertEqual(told, [["0", "200"]] * (len(pairs) - 1) + [["1", "200"]])
        for name, _ in pairs:
            self.assertTrue((out / name).read_bytes() == bodies[name.partition("-")[2]], name)
        await_event(lambda: front.server.sockets() <= idle, "no connection is kept for ever")


class Sampler(threading.Thread):
    """Which connections the server ever had, from start() to stop()."""

    def __init__(self, server: harness.CacheServer) -> None:
        super().__init__()
        self.server, self.idle = server, server.sockets()  # type: ignore[attr-defined]
        self.over, self.seen = threading.Event(), set[str]()

    def run(self) -> None:
        while not self.over.wait(0.002):
            self.seen |= self.server.sockets() - self.idle  # type: ignore[attr-defined]

    def stop(self) -> set[str]:
        self.over.set()
        self.join()
        return self.seen


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
            self.assertTrue(now, "the proxy keeps a connection between requests")
            seen |= now

        self.assertLessEqual(len(seen), 3)

    def test_100_clients_at_once_keep_their_connections(self) -> None:
        front = self.start_front(Mode(), "--durability", "none")
        stored = {}
        for size in (200, 20 * KIB, 300 * KIB):
            key = artifact.key_for(size)
            stored[key] = big_artifact(key, size)
            self.assertEqual(front.put(key, stored[key]).status, 201)
        failures: list[str] = []
        together = threading.Barrier(CLIENTS)

        def run(number: int) -> None:
            try:
                connection = Connection(("127.0.0.1", front.port))
                together.wait(harness.IO_TIMEOUT)
                for request in requests_of(number, stored):
                    answer = connection.ask(request.encode(), is_head=request.method == "HEAD")
                    right = answer.status in request.statuses and not answer.closes
                    if request.method == "GET" and answer.status == 200:
                        right = right and answer.body == request.body
                    if not right:
                        failures.append(f"{request.method}: {answer.status} {answer.body[:99]!r}")
                connection.close()
            except (OSError, Broken, ValueError, KeyError, threading.BrokenBarrierError) as error:
                failures.append(repr(error))

        clients = [threading.Thread(target=run, args=(number,)) for number in range(CLIENTS)]
        sampler = Sampler(front.server)
        for thread in (sampler, *clients):
            thread.start()
        for client in clients:
            client.join()
        upstream = len(sampler.stop())

        self.assertEqual(failures[:20], [], f"{len(failures)} failures")
        print(f"{CLIENTS * REQUESTS} requests, {upstream} connections seen", file=sys.stderr)
        self.assertGreater(upstream, 1)
        self.assertLess(upstream, 3 * CLIENTS)

    def test_the_access_log_names_the_client_if_the_proxy_is_trusted(self) -> None:
        for network, peer in (("tcp", "127.0.0.1"), ("unix", "unix")):
            for trusted in (True, False):
                with self.subTest(network, trusted=trusted):
                    front = self.start_front(Mode(network), trusted=trusted)

                    front.get_from("127.0.0.7", ABSENT)
                    # What a client claims about itself is replaced.
                    front.get_from("127.0.0.8", ABSENT, x_forwarded_for="192.0.2.1")
                    front.get_from("127.0.0.9", ABSENT, x_forwarded_for="127.0.0.1, unix")
                    front.get_from("127.0.0.1", ABSENT, x_forwarded_for="192.0.2.1")

                    self.assertEqual(front.server.stop(), 0)
                    clients = re.findall(r" client=(\S+)", front.server.output_text())
                    named = ["127.0.0.7", "127.0.0.8", "127.0.0.9", "127.0.0.1"]
                    self.assertEqual(clients, named if trusted else 4 * [peer])

    def test_metrics_are_for_this_machine_only(self) -> None:
        front = self.start_front(Mode())

        self.assertEqual(front.ask(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").status, 200)
        for target in (
            *("/metrics", "/metrics?", "/metrics?a=b", "/metrics/", "/METRICS", "//metrics"),
            *("/%6detrics", "/metric%73", "/./metrics", "/v1/../metrics", "/%2e/metrics"),
            *("/metrics%00", "/metrics%3f", "/metrics;", "/metrics#", "http://x/metrics"),
        ):
            with self.subTest(target), front.connect_from("127.0.0.9") as connection:
                spoof = "X-Forwarded-For: 127.0.0.1\r\n"
                connection.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n{spoof}\r\n".encode())
                answer = connection.response()
                assert answer is not None
                self.assertIn(answer.status, (400, 403, 404))
                self.assertNotIn(b"polykit_cache_", answer.body)


def requests_of(number: int, stored: dict[str, bytes]) -> Iterator[Request]:
    """What one of the clients sends; each in another order."""
    keys = list(stored)
    for turn in range(REQUESTS // 4):
        key = keys[(number + turn) % len(keys)]
        own = artifact.key_for(f"{number} {turn}")
        body = small_artifact(own, f"by {number}")
        yield Request("GET", key, stored[key], (200,))
        yield Request("PUT", own, body, (201,))
        yield Request("HEAD", key, b"", (200,))
        yield Request("GET", own, body, (200,))


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
        self.assertEqual(connection.socket.recv(12, socket.MSG_PEEK), b"HTTP/1.1 200")
        return connection

    @in_every_mode
    def test_64_mib_arrive_byte_for_byte_also_when_a_client_breaks_off(self, mode: Mode) -> None:
        front = self.start_front(mode, "--durability", "none")
        idle = front.server.sockets()
        if mode.streams_downloads:
            head = head_of("PUT", BIG, transfer_encoding="chunked")
            status = front.ask(head, *chunked(self.body, MIB)).status
        else:
            status = front.put(BIG, self.body).status
        self.assertEqual(status, 201)

        if mode.streams_uploads:  # which is all the same to a download
            self.start_half_read(front).reset()
            await_event(lambda: front.server.sockets() <= idle, "the server knows")
        answer = front.get(BIG)

        self.assertEqual((answer.status, answer.complete), (200, True))
        self.assertTrue(answer.body == self.body)
        self.assertEqual(front.spooled(), set())
        await_event(lambda: len(front.server.sockets() - idle) <= 1, "one connection is kept")
        self.assertEqual(front.server.stop(), 0)
        aborted = 1 if mode.streams_uploads else 0
        self.assertEqual(front.server.output_text().count("outcome=aborted"), aborted)

    @in_every_mode
    def test_a_killed_server_is_never_a_short_body_that_looks_whole(self, mode: Mode) -> None:
        if not mode.streams_uploads:
            return  # which is all the same to a download
        front = self.start_front(mode, "--durability", "none")
        self.assertEqual(front.put(BIG, self.body).status, 201)
        with self.start_half_read(front) as connection:
            front.server.kill()
            answer = connection.response()

            assert answer is not None
            self.assertEqual((answer.status, answer.complete), (200, False))
            self.assertEqual(answer.header("content-length"), str(len(self.body)))
            self.assertTrue(self.body.startswith(answer.body))
            self.assertTrue(connection.closed_by_peer())
        self.assertEqual(front.get(BIG).status, 502)

    def test_a_download_in_flight_outlives_a_reload_of_the_proxy(self) -> None:
        front = self.start_front(Mode(), "--durability", "none")
        self.assertEqual(front.put(BIG, self.body).status, 201)
        with self.start_half_read(front) as connection:
            front.reload()
            answer = connection.response()

        assert answer is not None
        self.assertTrue(answer.complete and answer.body == self.body)


class Huge(FrontTest):
    """2 GiB, more than a signed 32-bit number of bytes, up in one version of HTTP and down in the
    other, through pipes."""

    up, down = "2", "1.1"
    memory_max = 64 * MIB  # of the proxy

    def test_2_gib_up_and_down_in_bounded_memory(self) -> None:
        front = self.start_front(Mode(), "--max-size", "4GiB", "--durability", "none")
        key = artifact.key_for("huge")
        sent, received = hashlib.sha256(), hashlib.sha256()

        upload = subprocess.Popen(  # noqa: S603
            front.curl_command(self.up, "-w", "%{http_version} %{http_code}", "-T-", url_of(key)),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.addCleanup(upload.kill)
        assert upload.stdin is not None
        for number, piece in enumerate(huge_artifact(key, 2 * GIB)):
            sent.update(piece)
            upload.stdin.write(piece)
            if number % 1000 == 999:
                self.assertEqual(front.spooled(), set())
        told, _ = upload.communicate()
        self.assertTrue(told.decode().endswith(f"{self.up} 201"), told)

        download = subprocess.Popen(  # noqa: S603
            front.curl_command(self.down, "--fail", url_of(key)), stdout=subprocess.PIPE
        )
        self.addCleanup(download.kill)
        assert download.stdout is not None
        with download.stdout:
            while piece := download.stdout.read(MIB):
                received.update(piece)
        self.assertEqual(download.wait(), 0)

        self.assertEqual(received.hexdigest(), sent.hexdigest())
        self.assertEqual(front.spooled(), set())
        for process in front.workers():
            self.assertLess(peak_rss(process), self.memory_max)
        self.assertLess(front.server.peak_rss(), 64 * MIB)
        front.server.kill()
        front.server.blob_path(key).unlink()


def huge_artifact(key: str, size: int) -> Iterator[bytes]:
    """A small artifact, and behind it a frame to be skipped of `size` bytes, no MiB of which is
    like another: nothing is compressed, and only the blob is hashed."""
    yield small_artifact(key)
    yield struct.pack("<II", 0x184D2A50, size)
    rest = noise(MIB - 8)
    for number in range(size // MIB):
        yield struct.pack("<Q", number)
        yield rest
