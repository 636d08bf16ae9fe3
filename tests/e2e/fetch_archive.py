"""What /fetch remembers and compares: checksums, failures, changes at the origin; and what it tells."""

from __future__ import annotations

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import (
    ALGORITHMS,
    KIB,
    MIB,
    Answer,
    FetchTest,
    Got,
    Origin,
    await_event,
    digest_of,
    harness,
    noise,
    sha256,
)

# Long past, so as good as a strong tag.
MODIFIED = "Sun, 06 Nov 1994 08:49:37 GMT"


class Checksums(FetchTest):
    def test_right_ones_of_every_algorithm_and_together_cold_and_warm(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        right = {name: digest_of(name, body) for name in ALGORITHMS}
        wishes = [{name: value} for name, value in right.items()]
        wishes += [right, {name: value.upper() for name, value in right.items()}]
        for number, wish in enumerate(wishes):
            with self.subTest(wish=list(wish)):
                url = origin.program(f"/{number}", Answer(body=body))

                self.assert_body(self.fetch(server, url, **wish), body, "MISS")
                self.assert_body(self.fetch(server, url, **right), body, "HIT")

                self.assertEqual(origin.count(f"/{number}"), 1)

    def test_a_wrong_one_is_409_and_nothing_is_stored(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        right = {name: digest_of(name, body) for name in ALGORITHMS}
        for name in ALGORITHMS:
            for others in ({}, {k: v for k, v in right.items() if k != name}):
                with self.subTest(name, others=list(others)):
                    wrong = digest_of(name, b"other")
                    url = origin.program(f"/{name}-{len(others)}", Answer(body=body))

                    got = self.fetch(server, url, **{**others, name: wrong})

                    self.check_mismatch(got, url, wrong, right[name])
                    self.assert_nothing_stored(server)
                    self.assertEqual(self.head(server, url).status, 404)

    def check_mismatch(self, got: Got, url: str, expected: str, actual: str) -> None:
        self.assert_fetch_error(
            got,
            409,
            error="checksum_mismatch",
            expected=expected,
            actual=actual,
            source_url=url,
        )

    def test_after_a_409_the_right_request_is_fine(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))
        self.assertEqual(self.fetch(server, url, sha256=sha256(b"other")).status, 409)

        self.assert_body(self.fetch(server, url, sha256=sha256(body)), body, "MISS")

        self.assertEqual(origin.count(), 2)
        self.assert_stored_contents(server, body)

    def test_a_wrong_one_of_what_is_stored_is_409_and_it_stays(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))
        self.assert_body(self.fetch(server, url), body)

        for name in ALGORITHMS:
            wrong = digest_of(name, b"other")
            got = self.fetch(server, url, **{name: wrong})
            self.check_mismatch(got, url, wrong, digest_of(name, body))
        self.assertEqual(self.head(server, url, sha256=sha256(b"other")).status, 409)

        self.assert_hit(server, url, body)
        self.assertEqual(origin.count(), 1)

    def test_a_refresh_that_does_not_match_leaves_what_was_stored(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body), Answer(body=b"hacked"))
        self.assert_body(self.fetch(server, url), body)

        got = self.fetch(server, url, sha256=sha256(body), refresh="1")

        self.check_mismatch(got, url, sha256(body), sha256(b"hacked"))
        self.assert_hit(server, url, body)
        self.assert_stored_contents(server, body)

    def test_a_checksum_makes_a_range_and_a_condition_wait_for_the_whole(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))

        got = self.fetch_with(server, url, {"Range": "bytes=10-19"}, sha256=sha256(b"other"))
        self.check_mismatch(got, url, sha256(b"other"), sha256(body))

        got = self.fetch_with(server, url, {"Range": "bytes=10-19"}, sha256=sha256(body))
        self.assertEqual((got.status, got.body), (206, body[10:20]))


class Remembered(FetchTest):
    def test_404_and_410_are_remembered_and_refresh_asks_again(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for status in (404, 410):
            with self.subTest(status):
                path = f"/{status}"
                url = origin.program(path, Answer(status=status, body=b"gone"), Answer(body=b"back"))

                for _ in range(3):
                    self.assert_upstream_error(self.fetch(server, url), url, status)
                self.assertEqual(origin.count(path), 1)

                self.assert_body(self.fetch(server, url, refresh="1"), b"back", "MISS")
                self.assert_hit(server, url, b"back")

    def test_other_failures_are_not_remembered(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        for status in (403, 429, 500, 503):
            url = origin.program(f"/{status}", Answer(status=status), Answer(body=b"back"))

            self.assert_upstream_error(self.fetch(server, url), url, status)
            self.assert_body(self.fetch(server, url), b"back", "MISS")

    def test_what_is_remembered_passes(self) -> None:
        server, origin = self.start_cache("--fetch-negative-ttl", "300ms"), self.start_origin()
        url = origin.program("/a", Answer(status=404), Answer(body=b"back"))
        self.assert_upstream_error(self.fetch(server, url), url, 404)

        await_event(lambda: self.fetch(server, url).status == 200, "the 404 is forgotten")

        self.assert_hit(server, url, b"back")

    def test_a_404_on_refresh_does_not_take_what_is_stored(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"), Answer(status=404))
        self.assert_body(self.fetch(server, url), b"content")

        self.assert_upstream_error(self.fetch(server, url, refresh="1"), url, 404)

        self.assert_hit(server, url, b"content")

    def test_refresh_brings_the_new_content_and_hits_have_it_from_then_on(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        old, new = noise(200 * KIB, 1), noise(300 * KIB, 2)
        url = origin.program("/a", Answer(body=old), Answer(body=new))
        self.assert_body(self.fetch(server, url), old, "MISS")
        self.assert_hit(server, url, old)

        self.assert_body(self.fetch(server, url, refresh="1"), new, "MISS")

        self.assert_hit(server, url, new)
        self.assertEqual(origin.count(), 2)
        self.assertEqual(len(self.records(server)), 1)

    def test_refresh_is_0_or_1(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))

        got = self.fetch(server, url, refresh="yes")
        self.assert_fetch_error(got, 400, error="invalid_parameter", parameter="refresh")
        self.assert_body(self.fetch(server, url, refresh="0"), b"content", "MISS")
        self.assert_body(self.fetch(server, url, refresh="0"), b"content", "HIT")

    def test_with_a_dead_origin_hits_go_on(self) -> None:
        server = self.start_cache("--fetch-revalidate", "1ms")
        origin, body = self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body, etag='"1"'))
        absent = origin.url("/absent")
        self.assert_body(self.fetch(server, url), body)
        origin.close()

        for _ in range(3):
            self.assert_hit(server, url, body)
        self.assert_unavailable(self.fetch(server, absent), absent)
        self.assert_unavailable(self.fetch(server, url, refresh="1"), url)

        self.assert_hit(server, url, body)
        self.assertEqual(self.head(server, url).header("x-cache-status"), "HIT")


class Revalidated(FetchTest):
    CHANGED = "artifact_cache_upstream_changed_total"

    def revalidated(self, *answers: Answer) -> tuple[harness.CacheServer, Origin, str]:
        """Fetches, and hits until the origin was asked once more."""
        server, origin = self.start_cache("--fetch-revalidate", "1ms"), self.start_origin()
        url = origin.program("/a", *answers)
        self.assert_body(self.fetch(server, url), b"content", "MISS")

        def asked_again() -> bool:
            self.assert_hit(server, url, b"content")
            return origin.count() > 1

        await_event(asked_again, "the origin is asked whether it changed")
        return server, origin, url

    def test_an_unchanged_file_is_asked_for_by_its_validators_and_not_counted(self) -> None:
        answer = Answer(body=b"content", etag='"1"', last_modified=MODIFIED, ranges=True)
        server, origin, url = self.revalidated(answer)

        asked = origin.seen()[1]

        self.assertEqual(asked.header("if-none-match"), '"1"')
        self.assertEqual(asked.header("if-modified-since"), MODIFIED)
        self.assert_hit(server, url, b"content")
        self.assertEqual(self.value(server, self.CHANGED), 0)

    def test_a_changed_file_is_counted_once_stays_and_is_fetched_by_refresh(self) -> None:
        server, _, url = self.revalidated(
            Answer(body=b"content", etag='"1"', ranges=True),
            Answer(body=b"other", etag='"2"', ranges=True),
        )

        await_event(lambda: self.value(server, self.CHANGED) == 1, "the change is counted")

        self.assert_hit(server, url, b"content")
        self.assert_body(self.fetch(server, url, refresh="1"), b"other", "MISS")
        self.assert_hit(server, url, b"other")
        self.assertEqual(self.value(server, self.CHANGED), 1)

    def test_an_origin_that_is_broken_or_empty_by_now_changes_nothing(self) -> None:
        for answer in (Answer(status=404), Answer(status=500), Answer(raw=b"", ending="reset")):
            server, _, url = self.revalidated(Answer(body=b"content", etag='"1"'), answer)

            self.assert_hit(server, url, b"content")
            self.assertEqual(self.value(server, self.CHANGED), 0)

    def test_without_the_setting_nobody_is_asked(self) -> None:
        server, origin = self.start_cache(), self.start_origin()
        url = origin.program("/a", Answer(body=b"content", etag='"1"'))
        self.assert_body(self.fetch(server, url), b"content")

        for _ in range(20):
            self.assert_hit(server, url, b"content")

        self.assertEqual(origin.count(), 1)


class Deleted(FetchTest):
    def delete(self, server: harness.CacheServer, space: str, key: str) -> int:
        return server.request("DELETE", f"/api/artifacts/{space}/{key}").status

    def test_what_is_deleted_is_fetched_anew(self) -> None:
        """The record of a URL, whose key is the digest of its text, or the content itself."""
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))
        for number, (space, key) in enumerate(
            (("fetch", sha256(url.encode())), ("cas", sha256(body)), ("fetch", sha256(url.encode())))
        ):
            with self.subTest(space, number=number):
                self.assert_body(self.fetch(server, url), body, "MISS")
                self.assert_hit(server, url, body)

                self.assertEqual(self.delete(server, space, key), 204)

                self.assertEqual(self.delete(server, space, key), 404)
                self.assertEqual(self.head(server, url).status, 404)
                self.assertEqual(origin.count(), number + 1)
        self.assert_body(self.fetch(server, url), body, "MISS")
        self.assert_stored_contents(server, body)

    def test_a_client_that_reads_it_meanwhile_gets_all_of_it(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(16 * MIB)
        url = origin.program("/a", Answer(body=body))
        self.assert_body(self.fetch(server, url), body, "MISS")
        slow = self.client(server, url, receive_buffer=4096)
        slow.read_head()

        self.assertEqual(self.delete(server, "fetch", sha256(url.encode())), 204)
        self.assertEqual(self.blobs(server), [])  # it was of no other URL

        self.assert_body(slow.read(), body, "HIT")
        self.assertEqual(self.head(server, url).status, 404)
        self.assert_nothing_stored(server)


class Told(FetchTest):
    NAMES = {
        "artifact_cache_requests_total": "counter",
        "artifact_cache_downloads_total": "counter",
        "artifact_cache_bytes_downloaded_total": "counter",
        "artifact_cache_bytes_served_total": "counter",
        "artifact_cache_items_total": "gauge",
        "artifact_cache_size_bytes": "gauge",
        "artifact_cache_request_duration_seconds": "histogram",
        "artifact_cache_download_size_bytes": "histogram",
    }

    def test_the_metrics_have_their_names_and_count(self) -> None:
        server, origin, body = self.start_cache(), self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))
        missing = origin.program("/missing", Answer(status=500))
        self.assertLessEqual(set(self.NAMES), set(self.families(server)))
        before = {s: self.requests(server, s) for s in ("hit", "miss", "error")}
        self.assert_body(self.fetch(server, url), body)
        for _ in range(2):
            self.assert_hit(server, url, body)
        self.assert_upstream_error(self.fetch(server, missing), missing, 500)

        await_event(lambda: self.requests(server, "error") == before["error"] + 1, "all is counted")

        families = self.families(server)
        self.assertEqual({n: families[n].type for n in self.NAMES}, self.NAMES)
        self.assertEqual(self.requests(server, "hit"), before["hit"] + 2)
        self.assertEqual(self.requests(server, "miss"), before["miss"] + 1)
        value = families["artifact_cache_downloads_total"].value
        self.assertEqual(value(), 2)
        self.assertEqual(self.value(server, "artifact_cache_bytes_downloaded_total"), len(body))
        self.assertGreaterEqual(
            self.value(server, "artifact_cache_bytes_served_total"), 3 * len(body)
        )
        self.assertEqual(self.sample(server, "artifact_cache_download_size_bytes", "_count"), 1)
        self.assertEqual(self.sample(server, "artifact_cache_download_size_bytes", "_sum"), len(body))
        self.assertGreaterEqual(
            self.sample(server, "artifact_cache_request_duration_seconds", "_count"), 4
        )
        await_event(lambda: self.value(server, "artifact_cache_items_total") == 1, "one item")
        self.assertGreaterEqual(self.value(server, "artifact_cache_size_bytes"), len(body))

    def requests(self, server: harness.CacheServer, status: str) -> float:
        return self.value(server, "artifact_cache_requests_total", status=status)

    def sample(self, server: harness.CacheServer, name: str, suffix: str) -> float:
        samples = self.families(server)[name].samples
        return sum(v for (key, _), v in samples.items() if key == name + suffix)

    def test_the_log_has_a_line_with_these_fields_for_each_outcome(self) -> None:
        server = self.start_cache("--log-format", "json", "--log-level", "debug")
        origin, body = self.start_origin(), noise(300 * KIB)
        url = origin.program("/a", Answer(body=body))
        failing = origin.program("/failing", Answer(status=500))
        self.assert_body(self.fetch(server, url + "?token=secret"), body)
        self.assert_hit(server, url + "?token=secret", body)
        self.assert_upstream_error(self.fetch(server, failing), failing, 500)

        lines = {}
        for message in ("cache HIT", "cache MISS - downloaded from upstream", "fetch failed"):
            await_event(lambda m=message: self.lines(server, m) != [], message)  # type: ignore[misc]
            (lines[message],) = self.lines(server, message)

        told = ["source_url", "size_bytes", "duration_ms", "client_ip", "error"]
        for message, line in lines.items():
            with self.subTest(message):
                unknown = "size_bytes" if message == "fetch failed" else "error"
                fields = [name for name in told if name != unknown]
                line.pop("request_id", None)  # a download is nobody's in particular
                self.assertEqual(list(line), ["time", "level", "msg", *fields])
                self.assertEqual(line["client_ip"], "127.0.0.1")
                self.assertIsInstance(line["duration_ms"], int)
        for message in list(lines)[:2]:
            self.assertEqual(lines[message]["size_bytes"], len(body))
            self.assertTrue(lines[message]["source_url"].startswith(url))
        self.assertTrue(lines["fetch failed"]["error"])
        self.assertNotIn("secret", server.output_text())

    def lines(self, server: harness.CacheServer, message: str) -> list[dict[str, object]]:
        found = []
        for text in server.output_text().splitlines():
            if text.startswith("{") and text.endswith("}") and message in text:
                line = json.loads(text)
                if line.get("msg") == message:
                    found.append(line)
        return found


if __name__ == "__main__":
    harness.main()
