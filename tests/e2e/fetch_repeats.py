"""The same request again and again: the answer of a moment ago is given once more, for as long as it is
true and to whoever asks for just that."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import KIB, MIB, Answer, FetchTest, Got, Origin, await_event, harness, noise, prose, sha256

# The first two open and verify the file, so that the later ones can be repeats.
WARM = 4


class Repeats(FetchTest):
    def setUp(self) -> None:
        super().setUp()
        self.origin: Origin = self.start_origin()
        self.server = self.start_cache()

    def warm(self, body: bytes, path: str = "/file") -> str:
        url = self.origin.program(path, Answer(body=body))
        self.assert_body(self.fetch(self.server, url), body, "MISS")
        for _ in range(WARM):
            self.assert_hit(self.server, url, body)
        return url

    def told(self, got: Got) -> dict[str, str | None]:
        """The header fields that are about the file."""
        names = ("etag", "last-modified", "accept-ranges", "content-type", "content-encoding")
        names += ("x-content-sha256", "x-cache-status", "content-length", "vary")
        names += ("x-content-type-options", "content-security-policy")
        return {name: got.header(name) for name in names}

    def test_bodies_of_every_size_and_kind_are_the_same_each_time(self) -> None:
        sizes = (1, 1 * KIB, 65_535, 64 * KIB, 131_069, 131_070, 256 * KIB, 3 * MIB + 77)
        for number, size in enumerate(sizes):
            for kind in (noise, prose):
                with self.subTest(size=size, kind=kind.__name__):
                    self.warm(kind(size), f"/{number}-{kind.__name__}")

    def test_a_repeat_says_the_same_of_the_file(self) -> None:
        body = noise(100 * KIB)
        url = self.origin.program("/file", Answer(body=body))
        self.fetch(self.server, url)
        first = self.fetch(self.server, url)

        for _ in range(WARM):
            self.assertEqual(self.told(self.fetch(self.server, url)), self.told(first))

    def test_other_wishes_of_the_same_query_get_their_own_answers(self) -> None:
        body = prose(200 * KIB)
        url = self.warm(body)
        etag = f'"{sha256(body)}"'
        for _ in range(WARM):
            coded = self.fetch_with(self.server, url, {"Accept-Encoding": "zstd"})
            self.assertEqual(coded.header("content-encoding"), "zstd")
            self.assertEqual(self.unzstd(coded.body), body)
            self.assert_body(self.fetch(self.server, url), body, "HIT")
            part = self.fetch_with(self.server, url, {"Range": "bytes=5-9"})
            self.assertEqual((part.status, part.body), (206, body[5:10]))
            same = self.fetch_with(self.server, url, {"If-None-Match": etag})
            self.assertEqual((same.status, same.body), (304, b""))
            other = self.fetch_with(self.server, url, {"If-Match": '"other"'})
            self.assertEqual(other.status, 412)
            head = self.head(self.server, url)
            self.assertEqual((head.status, head.body), (200, b""))
            self.assertEqual(head.header("content-length"), str(len(body)))
            digest = self.fetch_with(self.server, url, {"Want-Digest": "SHA-256"})
            self.assertIsNotNone(digest.header("digest"))

    def test_what_is_removed_is_a_miss_at_once(self) -> None:
        body = noise(64 * KIB)
        url = self.warm(body)
        key = sha256(url.encode())

        answer = self.server.request("DELETE", f"/api/artifacts/{key}")

        self.assertEqual(answer.status, 204, answer.body)
        self.assertEqual(self.head(self.server, url).status, 404)
        self.assert_body(self.fetch(self.server, url), body, "MISS")

    def test_what_is_fetched_anew_is_given_at_once(self) -> None:
        old, new = noise(64 * KIB, seed=1), noise(64 * KIB, seed=2)
        url = self.origin.program("/file", Answer(body=old), Answer(body=new))
        self.assert_body(self.fetch(self.server, url), old, "MISS")
        for _ in range(WARM):
            self.assert_hit(self.server, url, old)

        self.assert_body(self.fetch(self.server, url, refresh="1"), new, "MISS")

        for _ in range(WARM):
            self.assert_hit(self.server, url, new)

    def test_damaged_content_is_never_repeated(self) -> None:
        for number, size in enumerate((1 * KIB, 64 * KIB, 3 * MIB)):
            with self.subTest(size=size):
                body = noise(size, seed=number)
                url = self.warm(body, f"/{number}")
                blob = self.server.storage / "cas" / self.place(sha256(body))
                data = bytearray(blob.read_bytes())
                data[len(data) // 2] ^= 1
                blob.write_bytes(data)

                got = self.fetch(self.server, url)

                self.assertTrue(got.end == "whole" and body.startswith(got.body))
                self.assert_body(self.fetch(self.server, url), body)

    @staticmethod
    def place(name: str) -> str:
        return f"{name[:2]}/{name[2:4]}/{name}.zst"

    def test_a_record_that_goes_by_hand_is_gone_a_moment_later(self) -> None:
        body = noise(64 * KIB)
        url = self.warm(body)
        for path in self.records(self.server):
            path.unlink()

        await_event(lambda: self.head(self.server, url).status == 404, "the record is missed")

        self.assert_body(self.fetch(self.server, url), body, "MISS")

    def test_every_repeat_counts(self) -> None:
        body = noise(64 * KIB)
        url = self.warm(body)
        hits = self.value(self.server, "artifact_cache_requests_total", status="hit")
        self.assertEqual(hits, WARM)
        key = sha256(url.encode())

        def accesses() -> int:
            answer = self.server.request("GET", f"/api/artifacts/{key}")
            return int(json.loads(answer.body)["access_count"])

        await_event(lambda: accesses() == WARM, "all accesses are counted")

    def test_checksums_of_the_query_are_those_that_were_compared(self) -> None:
        body = noise(64 * KIB)
        url = self.warm(body)
        for _ in range(WARM):
            self.assert_body(self.fetch(self.server, url, sha256=sha256(body)), body, "HIT")
            self.assertEqual(self.fetch(self.server, url, sha256=sha256(b"x")).status, 409)

    def test_with_verification_of_every_read(self) -> None:
        server = self.start_cache("--verify-reads", "always")
        body = noise(64 * KIB)
        url = self.origin.program("/always", Answer(body=body))
        self.assert_body(self.fetch(server, url), body, "MISS")
        for _ in range(WARM):
            self.assert_hit(server, url, body)


if __name__ == "__main__":
    harness.main()
