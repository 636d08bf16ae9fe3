"""The end of the server, or of its disk, in the middle of a download."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    KIB,
    LOOPBACK,
    MIB,
    Answer,
    FetchTest,
    Gate,
    await_event,
    harness,
    noise,
    prose,
    sha256,
)
from handover_case import HandoverTest

SIZE = 4 * MIB


class FullDisk(FetchTest):
    def test_a_disk_that_fills_in_the_middle(self) -> None:
        server, origin = self.start_cache(storage=self.mount_small("size=12m")), self.start_origin()
        small = origin.program("/small", Answer(body=noise(100 * KIB)))
        self.assert_body(self.fetch(server, small), noise(100 * KIB))
        for kind, body in (("noise", noise(24 * MIB)), ("prose", prose(24 * MIB))):
            for framing in ("length", "chunked"):
                with self.subTest(kind, framing=framing):
                    path = f"/{kind}-{framing}"
                    url = origin.program(path, Answer(body=body, framing=framing))

                    checking = self.fetch(server, url, sha256=sha256(body))
                    plain = self.fetch(server, url)

                    self.assert_fetch_error(
                        checking, 500, error="internal_error", message=..., details="disk full"
                    )
                    if plain.status == 200:
                        self.assert_broken(plain, body)
                    else:
                        self.assert_fetch_error(
                            plain, 500, error="internal_error", message=..., details="disk full"
                        )
                    self.assert_stored_contents(server, noise(100 * KIB))
                    self.assert_hit(server, small, noise(100 * KIB))
        fits = origin.program("/fits", Answer(body=noise(MIB)))
        self.assert_body(self.fetch(server, fits), noise(MIB), "MISS")
        self.assert_hit(server, fits, noise(MIB))

    def test_a_limit_of_our_own_is_no_different(self) -> None:
        server = self.start_cache("--cache-max-size", "8MiB", "--fetch-background", "0s")
        origin, body = self.start_origin(), noise(24 * MIB)
        url = origin.program("/a", Answer(body=body))

        got = self.fetch(server, url, sha256=sha256(body))

        self.assert_fetch_error(
            got, 500, error="internal_error", message=..., details="disk full"
        )
        self.assert_nothing_stored(server)
        fits = origin.program("/fits", Answer(body=noise(MIB)))
        self.assert_body(self.fetch(server, fits), noise(MIB), "MISS")


class Killed(FetchTest):
    def test_kill_9_in_the_middle_leaves_nothing(self) -> None:
        origin = self.start_origin()
        storage = self.directory / "storage"
        for kind, body in (("noise", noise(SIZE)), ("prose", prose(SIZE))):
            for moment in (1, MIB, SIZE):
                with self.subTest(kind, moment=moment):
                    server = self.start_cache(storage=storage)
                    gate, path = Gate(), f"/{kind}-{moment}"
                    url = origin.program(
                        path,
                        Answer(body=body, gates={moment: gate}, announced=SIZE + 1),
                        Answer(body=body),
                    )
                    client = self.client(server, url)
                    client.read_head()
                    gate.await_reached()

                    server.kill()

                    got = client.read()
                    self.assertIn(got.end, ("closed", "reset"))
                    self.assertTrue(body.startswith(got.body))
                    gate.open()
                    again = self.start_cache(storage=storage)
                    self.await_nothing_unfinished(again)
                    self.assertEqual(self.head(again, url).status, 404)
                    self.assert_body(self.fetch(again, url), body, "MISS")
                    self.assert_hit(again, url, body)
                    self.assertEqual(again.stop(), 0)
                    self.assert_sound(again)
        self.assert_stored_contents_in(storage, noise(SIZE), prose(SIZE))

    def assert_stored_contents_in(self, storage: Path, *bodies: bytes) -> None:
        names = sorted(path.stem for path in (storage / "cas").glob("??/??/*.zst"))
        self.assertEqual(names, sorted(map(sha256, bodies)))
        self.assertEqual([p for p in (storage / "tmp").rglob("*") if p.is_file()], [])

    def test_what_was_answered_is_there_after_kill_9(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        bodies = {f"/{n}": noise(100 * KIB, seed=n) for n in range(10)}
        for path, body in bodies.items():
            self.assert_body(self.fetch(server, origin.program(path, Answer(body=body))), body)
        server.kill()
        origin.close()

        again = self.start_cache(storage=server.storage)

        for path, body in bodies.items():
            self.assert_hit(again, origin.url(path), body)


class Stopped(FetchTest):
    def test_a_stop_waits_for_what_is_under_way(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
        plain = self.client(server, url)
        checking = self.client(server, url, parameters={"sha256": sha256(body)})
        plain.read_body(MIB)

        server.terminate()
        await_event(lambda: self.refuses(server), "no new connections")
        gate.open()

        self.assert_body(plain.read(), body, "MISS")
        self.assert_body(checking.read(), body, "MISS")
        self.assertEqual(server.wait(), 0)
        again = self.start_cache(storage=server.storage)
        self.assert_hit(again, url, body)

    def refuses(self, server: harness.CacheServer) -> bool:
        try:
            server.connect().close()
        except ConnectionRefusedError:
            return True
        return False

    def test_a_stop_that_cannot_wait_breaks_what_is_under_way_and_leaves_nothing(self) -> None:
        for kind, body in (("noise", noise(SIZE)), ("prose", prose(SIZE))):
            with self.subTest(kind):
                server = self.start_cache("--shutdown-grace", "100ms")
                origin = self.start_origin()
                gate = Gate()
                url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
                plain = self.client(server, url)
                checking = self.client(server, url, parameters={"sha256": sha256(body)})
                plain.read_body(MIB)

                self.assertEqual(server.stop(), 0)

                got = plain.read()
                self.assertNotEqual(got.end, "whole")
                self.assertTrue(body.startswith(got.body))
                checked = checking.read()
                if checked.end == "whole":
                    self.assertEqual(checked.status, 503)
                self.assertEqual(list((server.storage / "tmp").iterdir()), [])
                self.assertEqual(self.blobs(server), [])
                self.assert_sound(server)

    def test_a_short_body_never_looks_whole_however_its_end_is_told(self) -> None:
        """The grace is over for three clients: one knows the length, one gets chunks, and for one
        the end of the connection is the end of the body."""
        body = noise(SIZE)
        for end in (signal.SIGTERM, signal.SIGKILL):
            server, origin = self.start_cache("--shutdown-grace", "100ms"), self.start_origin()
            gates = [Gate(), Gate()]
            known = Answer(body=body, gates={2 * MIB: gates[0]})
            unknown = Answer(body=body, gates={2 * MIB: gates[1]}, framing="chunked")
            length, chunks = origin.program("/length", known), origin.program("/chunks", unknown)
            clients = [
                self.client(server, length),
                self.client(server, chunks),
                self.client(server, chunks, version="HTTP/1.0"),
            ]
            for client in clients:
                client.read_body(MIB)
            for gate in gates:
                gate.await_reached()

            server.signal(end)
            server.wait()

            for client, told in zip(clients, ("length", "chunks", "nothing"), strict=True):
                with self.subTest(end=end.name, told=told):
                    got = client.read()
                    names = ("content-length", "transfer-encoding")
                    self.assertEqual(
                        [got.header(name) is not None for name in names],
                        [told == "length", told == "chunks"],
                    )
                    self.assertTrue(body.startswith(got.body))
                    self.assertLess(len(got.body), SIZE)
                    if end == signal.SIGTERM or told == "nothing":
                        self.assertEqual(got.end, "reset")
            for gate in gates:
                gate.open()

    def test_a_stop_ends_a_download_that_nobody_waits_for(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(SIZE)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}))
        client = self.client(server, url)
        client.read_body(MIB)
        client.leave(reset=True)

        self.assertEqual(server.stop(timeout=20), 0)  # the grace is 30 s, and is for clients

        self.assertEqual(self.blobs(server), [])


class HandedOver(FetchTest, HandoverTest):
    def test_a_hand_over_in_the_middle_loses_no_client(self) -> None:
        origin, body = self.start_origin(), noise(SIZE)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}), Answer(body=body))
        server, lineage = self.start_lineage(
            *("--upstream-allow-addresses", LOOPBACK, "--upstream-retries", "0"),
            *("--upstream-proxy", "none"),
        )
        plain = self.client(server, url)
        checking = self.client(server, url, parameters={"sha256": sha256(body)})
        plain.read_body(MIB)
        first = lineage.newest

        lineage.hand_over()
        # The successor knows nothing of the download and makes one of its own; but a connection that
        # the predecessor has accepted at the last moment joins what goes on there.
        newcomer = self.client(server, url)
        gate.open()

        self.assert_body(newcomer.read(), body)
        self.assert_body(plain.read(), body, "MISS")
        self.assert_body(checking.read(), body)
        lineage.await_end(first)
        self.assert_hit(server, url, body)
        self.assertEqual([path.stem for path in self.blobs(server)], [sha256(body)])
        self.assertEqual(server.temp_files(), [])
        last = lineage.newest
        os.kill(last, signal.SIGTERM)
        lineage.await_end(last)
        self.assert_sound(server)

    def test_a_hand_over_that_cannot_wait_breaks_what_is_under_way(self) -> None:
        origin, body = self.start_origin(), noise(SIZE)
        gate = Gate()
        url = origin.program("/a", Answer(body=body, gates={2 * MIB: gate}, framing="chunked"))
        server, lineage = self.start_lineage(
            *("--upstream-allow-addresses", LOOPBACK, "--upstream-retries", "0"),
            *("--upstream-proxy", "none", "--shutdown-grace", "500ms"),
        )
        clients = [self.client(server, url, version=f"HTTP/1.{minor}") for minor in (0, 1)]
        for client in clients:
            client.read_body(MIB)
        first = lineage.newest

        lineage.hand_over()
        lineage.await_end(first)

        for client in clients:
            self.assert_broken(client.read(), body)
        gate.open()


if __name__ == "__main__":
    harness.main()
