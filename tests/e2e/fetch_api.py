"""What operators ask about downloads: lists by URL, single ones, removal, totals; with an index that
is whole, made anew, or of an older version."""

from __future__ import annotations

import json
import sqlite3
import subprocess
import sys
import urllib.parse
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent))

from fetch_case import Answer, FetchTest, await_event, harness, sha256


def key_of(url: str) -> str:
    return sha256(url.encode())


class ApiTest(FetchTest):
    def setUp(self) -> None:
        super().setUp()
        self.origin = self.start_origin()
        self.server = self.start_cache()

    def keep(self, path: str, body: bytes, *, type: str = "text/plain") -> str:  # noqa: A002
        url = self.origin.program(path, Answer(body=body, headers={"Content-Type": type}))
        self.assert_body(self.fetch(self.server, url), body, "MISS")
        return url

    def get(self, target: str, status: int = 200) -> Any:
        answer = self.server.request("GET", target)
        self.assertEqual(answer.status, status, answer.body)
        return json.loads(answer.body)

    def page(self, **parameters: object) -> dict[str, Any]:
        return self.get("/api/artifacts?" + urllib.parse.urlencode(parameters))

    def urls(self, **parameters: object) -> list[str]:
        """All pages."""
        found: list[str] = []
        while True:
            page = self.page(**parameters)
            found += [row["source_url"] for row in page["artifacts"]]
            if page["next"] is None:
                return found
            parameters["cursor"] = page["next"]

    def await_whole_index(self) -> None:
        await_event(lambda: self.get("/api/stats")["index"]["complete"], "the index is complete")

    def remove(self, identity: str, status: int = 204) -> None:
        answer = self.server.request("DELETE", f"/api/artifacts/{identity}")
        self.assertEqual(answer.status, status, answer.body)

    def command(self, *words: str) -> str:
        done = subprocess.run(  # noqa: S603
            [str(harness.environment_path("PKC_SERVER")), *words],
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(),
        )
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        return done.stdout


class Lists(ApiTest):
    def test_a_row_says_all_that_is_known(self) -> None:
        url = self.keep("/tool.tar", b"content", type="application/x-tar")
        for _ in range(3):
            self.assert_hit(self.server, url, b"content")

        row = self.page(space="fetch")["artifacts"][0]

        digest = sha256(b"content")
        self.assertEqual(
            list(row),
            ["id", "source_url", "content_hash", "storage_path", "file_size", "content_type"]
            + ["first_cached_at", "last_accessed_at", "access_count"],
        )
        self.assertEqual(row["id"], key_of(url))
        self.assertEqual(row["source_url"], url)
        self.assertEqual(row["content_hash"], digest)
        self.assertEqual(row["file_size"], 7)
        self.assertEqual(row["content_type"], "application/x-tar")
        self.assertTrue((self.server.storage / row["storage_path"]).is_file())
        self.assertLessEqual(row["first_cached_at"], row["last_accessed_at"])
        self.assertEqual(row["access_count"], 3)
        self.assertEqual(self.get(f"/api/artifacts/{row['id']}"), row)

    def test_sorted_paged_and_by_prefix(self) -> None:
        # Sizes in another order than URLs, and both in another than they come.
        urls = {n: self.keep(f"/{n % 3}/{n:02}", b"x" * (n * 7 % 10 + 1)) for n in range(10)}
        by_size = [urls[n] for n in sorted(urls, key=lambda n: n * 7 % 10)]
        for limit in (1, 3, 10, 1000):
            with self.subTest(limit=limit):
                self.assertEqual(self.urls(space="fetch", limit=limit), sorted(urls.values()))
                self.assertEqual(self.urls(space="fetch", sort="size", limit=limit), by_size)
                self.assertEqual(
                    self.urls(space="fetch", sort="size", order="desc", limit=limit), by_size[::-1]
                )
                self.assertEqual(
                    sorted(self.urls(space="fetch", sort="age", limit=limit)), sorted(urls.values())
                )
        prefix = self.origin.url("/1/")
        some = [url for url in sorted(urls.values()) if url.startswith(prefix)]
        self.assertEqual(len(some), 3)
        for more in ({}, {"space": "fetch"}):
            self.assertEqual(self.urls(url_prefix=prefix, limit=2, **more), some)
        self.assertEqual(self.urls(url_prefix="http://nowhere.example/"), [])

    def test_sorted_by_access(self) -> None:
        first, second = self.keep("/a", b"a"), self.keep("/b", b"b")

        def read_last() -> bool:  # accesses of one millisecond cannot be told apart
            self.assert_hit(self.server, first, b"a")
            return self.urls(space="fetch", sort="access") == [second, first]

        await_event(read_last, "what was read last stands last")
        self.assertEqual(self.urls(space="fetch", sort="access", order="desc"), [first, second])

    def test_wrong_questions_are_400_and_named(self) -> None:
        self.keep("/a", b"a")
        self.keep("/b", b"b")
        cursor = self.page(space="fetch", sort="size", limit=1)["next"]
        for query, name in (
            ("space=fetch&sort=color", "sort"),
            ("space=fetch&order=up", "order"),
            ("space=fetch&limit=0", "limit"),
            ("space=fetch&limit=1001", "limit"),
            ("space=fetch&cursor=x", "cursor"),
            (f"space=fetch&sort=age&cursor={cursor}", "cursor"),
            ("space=fetch&colour=red", "colour"),
            ("space=polykit&url_prefix=http", "url_prefix"),
            ("url_prefix=" + "a" * 8193, "url_prefix"),
        ):
            with self.subTest(query[:60]):
                told = self.get(f"/api/artifacts?{query}", 400 if len(query) < 8000 else 414)
                if len(query) < 8000:
                    self.assertIn(name + ":", told["error"])

    def test_what_is_not_there_is_404(self) -> None:
        url = self.keep("/a", b"a")
        for identity in (key_of(url)[:-1] + "x", "0" * 64, "x", "%2e%2e"):
            with self.subTest(identity):
                self.assertEqual(
                    self.server.request("GET", f"/api/artifacts/{identity}").status, 404
                )
                self.assertEqual(
                    self.server.request("DELETE", f"/api/artifacts/{identity}").status, 404
                )
        self.assert_hit(self.server, url, b"a")

    def test_totals(self) -> None:
        names = ("total_items", "total_size_bytes", "total_accesses")
        self.assertEqual([self.get("/api/stats")[name] for name in names], [0, 0, 0])
        url = self.keep("/a", b"content")
        self.keep("/b", b"content")
        self.assert_hit(self.server, url, b"content")

        self.assertEqual([self.get("/api/stats")[name] for name in names], [2, 14, 1])

    def test_ls_shows_urls(self) -> None:
        urls = [self.keep("/a/1", b"one"), self.keep("/b/2", b"two")]
        for where in (("--url", self.server.url), ("--storage-dir", str(self.server.storage))):
            with self.subTest(where[0]):
                table = self.command("ls", "--space", "fetch", *where)
                for url in urls:
                    self.assertIn(url, table)
                    self.assertIn(key_of(url), table)
                lines = self.command(
                    *("ls", "--url-prefix", self.origin.url("/b"), "--json"), *where
                ).splitlines()
                self.assertEqual([json.loads(line)["source_url"] for line in lines], urls[1:])


class Removal(ApiTest):
    def test_record_and_content_go(self) -> None:
        url = self.keep("/a", b"content")
        self.await_whole_index()

        self.remove(key_of(url))

        self.assert_nothing_stored(self.server)
        self.assertEqual(self.head(self.server, url).status, 404)
        self.assertEqual(self.page(space="fetch"), {"artifacts": [], "next": None})
        self.remove(key_of(url), 404)
        self.assert_body(self.fetch(self.server, url), b"content", "MISS")

    def test_content_that_another_url_has_stays_until_that_goes(self) -> None:
        first, second = self.keep("/a", b"content"), self.keep("/b", b"content")
        self.await_whole_index()

        self.remove(key_of(first))
        self.assert_hit(self.server, second, b"content")
        self.assertEqual(self.head(self.server, first).status, 404)
        self.remove(f"fetch/{key_of(second)}")  # the longer way leads to the same

        self.assert_nothing_stored(self.server)

    def test_rm_does_the_same(self) -> None:
        url = self.keep("/a", b"content")
        self.await_whole_index()

        self.command("rm", key_of(url), "--space", "fetch", "--url", self.server.url)

        self.assert_nothing_stored(self.server)


class Rights(FetchTest):
    def create(self, name: str, scope: str, space: str) -> dict[str, str]:
        words = ("token", "create", "--name", name, "--scope", scope, "--space", space)
        done = subprocess.run(  # noqa: S603
            [str(harness.environment_path("PKC_SERVER")), *words, "--auth-file", str(self.auth)],
            capture_output=True,
            text=True,
            check=True,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(),
        )
        return {"Authorization": f"Bearer {done.stdout.strip()}"}

    def test_only_an_admin_of_the_space_may(self) -> None:
        self.auth = self.directory / "auth.yaml"
        admin = self.create("admin", "admin,read", "fetch")
        refused = {
            "nobody": ({}, 401),
            "reader": (self.create("reader", "read", "fetch"), 403),
            "admin of another space": (self.create("other", "admin", "polykit"), 403),
        }
        server, origin = self.start_cache("--auth-file", str(self.auth)), self.start_origin()
        url = origin.program("/a", Answer(body=b"content"))
        self.assert_body(self.fetch_with(server, url, admin), b"content")
        one = f"/api/artifacts/{key_of(url)}"
        asks = [
            ("GET", one, 200),
            ("GET", "/api/artifacts?space=fetch", 200),
            ("GET", "/api/artifacts?url_prefix=http", 200),
            ("DELETE", one, 204),
        ]
        for who, (credentials, status) in refused.items():
            for method, target, _ in asks:
                with self.subTest(who=who, method=method, target=target):
                    got = server.request(method, target, headers=credentials)
                    self.assertEqual(got.status, status, got.body)
        for method, target, status in asks:
            with self.subTest(who="admin", method=method, target=target):
                self.assertEqual(server.request(method, target, headers=admin).status, status)


class Rebuilt(ApiTest):
    def restart(self) -> None:
        self.server = self.start_cache(storage=self.server.storage)

    def test_an_index_that_was_lost_knows_everything_again(self) -> None:
        urls = [self.keep("/a", b"one"), self.keep("/b", b"two")]
        before = [{**row, "last_accessed_at": ...} for row in self.page(space="fetch")["artifacts"]]
        self.server.stop()
        for path in self.server.storage.glob("index.db*"):
            path.unlink()

        self.command("index", "rebuild", "--storage-dir", str(self.server.storage))
        self.restart()

        after = [{**row, "last_accessed_at": ...} for row in self.page(space="fetch")["artifacts"]]
        self.assertEqual(after, before)
        self.assertEqual(self.urls(space="fetch"), sorted(urls))

    def test_a_server_fills_an_index_that_was_lost(self) -> None:
        url = self.keep("/a", b"one")
        self.server.stop()
        for path in self.server.storage.glob("index.db*"):
            path.unlink()

        self.restart()

        self.await_whole_index()
        self.assertEqual(self.urls(space="fetch"), [url])

    def test_an_index_of_the_version_before_learns_of_downloads(self) -> None:
        url = self.keep("/a", b"one")
        self.await_whole_index()
        self.server.stop()
        with sqlite3.connect(self.server.storage / "index.db") as database:
            database.execute("DROP TABLE sources")
            database.execute("DROP TABLE source_totals")
            database.execute("DELETE FROM schema_steps WHERE version >= 2")

        self.restart()

        await_event(lambda: self.urls(space="fetch") == [url], "the URL is known again")

    def test_an_index_without_totals_of_downloads_sums_them_up_once(self) -> None:
        names = ("total_items", "total_size_bytes", "total_accesses")
        self.keep("/a", b"one")
        self.keep("/b", b"another")
        self.await_whole_index()
        before = [self.get("/api/stats")[name] for name in names]
        self.server.stop()
        with sqlite3.connect(self.server.storage / "index.db") as database:
            database.execute("DROP TABLE source_totals")
            database.execute("DELETE FROM schema_steps WHERE version = 3")

        self.restart()

        self.assertEqual([self.get("/api/stats")[name] for name in names], before)
        self.assertEqual(before[:2], [2, 10])


if __name__ == "__main__":
    harness.main()
