"""The admin API and the commands of operators, against directories and running servers."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

sys.path.insert(0, str(TESTS / "e2e"))

import artifact
import harness
from archive_files import blob_of, lay_download

MANY = 2500
BLOCK = 4096


def key_of(number: int) -> str:
    return hashlib.sha256(str(number).encode()).hexdigest()


def lay(root: Path, number: int, size: int = 100) -> str:
    """Puts a pair into a directory as the original server would have left it."""
    key = key_of(number)
    body = number.to_bytes(8, "big") * (size // 8)
    place = root / key[:2] / key[2:4]
    place.mkdir(parents=True, exist_ok=True)
    (place / f"{key}.zst").write_bytes(body)
    facts = {
        "hash": hashlib.sha256(body).hexdigest(),
        "size": len(body),
        "created_at": 1_700_000_000,
        "cache_key_hash": key,
    }
    (place / f"{key}.json").write_text(json.dumps(facts))
    return key


def disk_usage(root: Path) -> int:
    """What artifacts and uploads take, in blocks, as the limit counts it."""
    total = 0
    for directory, _, names in os.walk(root):
        for name in names:
            if name.endswith((".zst", ".json", ".tmp")) and name != "scrub.json":
                try:
                    total += os.stat(os.path.join(directory, name)).st_blocks * 512
                except FileNotFoundError:
                    pass
    return total


class AdminTest(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        self.store = self.directory / "store"
        self.store.mkdir()

    def start(self, *arguments: str) -> harness.CacheServer:
        return self.start_server(*arguments, storage=self.store)

    def command(
        self, *words: str, status: int | None = 0
    ) -> subprocess.CompletedProcess[str]:
        binary = harness.environment_path("PKC_SERVER")
        where = [] if "--url" in words else ["--storage-dir", str(self.store)]
        done = subprocess.run(  # noqa: S603
            [str(binary), *words, *where],
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.IO_TIMEOUT,
            env=harness.clean_environment(),
        )
        if status is not None:
            self.assertEqual(done.returncode, status, done.stdout + done.stderr)
        return done

    def stats(self, *where: str) -> dict[str, Any]:
        return json.loads(self.command("stats", "--json", *where).stdout)

    def polykit(self, *where: str) -> dict[str, Any]:
        """What stats says of that space."""
        spaces = self.stats(*where)["spaces"]
        return next(space for space in spaces if space["space"] == "polykit")

    def totals(self, *where: str) -> tuple[int, int]:
        space = self.polykit(*where)
        return space["objects"], space["size"]

    def keys(self, *options: str) -> list[str]:
        lines = self.command("ls", "--json", *options).stdout.splitlines()
        rows = [json.loads(line) for line in lines]
        return [row["id"] if "id" in row else row["key"] for row in rows]  # id: of a download

    def put(self, server: harness.CacheServer, number: int, size: int = 1000) -> tuple[str, bytes]:
        key = key_of(number)
        body = artifact.build(key, {"out.bin": os.urandom(size)})
        self.assertEqual(server.request("PUT", f"/v1/artifacts/{key}", body).status, 201)
        return key, body


class Listing(AdminTest):
    """The same questions to a directory and to a server, with the same answers."""

    def both_forms(self) -> list[tuple[str, ...]]:
        self.all = sorted(lay(self.store, n, 96 + 8 * (n % 7)) for n in range(MANY))
        self.command("index", "rebuild")
        return [(), ("--url", self.start().url)]

    def test_paging_filter_and_sort(self) -> None:
        for where in self.both_forms():
            with self.subTest(where=where):
                self.assertEqual(self.totals(*where)[0], MANY)
                self.assertEqual(self.keys(*where), self.all)
                prefix = self.all[1234][:2]
                expected = [key for key in self.all if key.startswith(prefix)]
                self.assertEqual(self.keys("--prefix", prefix, *where), expected)
                down = self.keys("--order", "desc", "--limit", "1001", *where)
                self.assertEqual(down, self.all[::-1][:1001])
                lines = self.command("ls", "--json", "--sort", "size", *where).stdout.splitlines()
                sizes = [json.loads(line)["size"] for line in lines]
                self.assertEqual(len(sizes), MANY)
                self.assertEqual(sizes, sorted(sizes))

    def test_pages_over_http_are_bounded(self) -> None:
        keys = sorted(lay(self.store, n) for n in range(MANY))
        self.command("index", "rebuild")
        server = self.start()
        found: list[str] = []
        cursor, pages = "", 0
        while cursor is not None:
            answer = server.request("GET", f"/api/artifacts?limit=999&cursor={cursor}")
            self.assertEqual(answer.status, 200)
            page = json.loads(answer.body)
            self.assertLessEqual(len(page["artifacts"]), 999)
            found += [one["key"] for one in page["artifacts"]]
            cursor, pages = page["next"], pages + 1
        self.assertEqual((found, pages), (keys, 3))

    def test_tables_for_people(self) -> None:
        key = lay(self.store, 1, 2048)
        self.command("index", "rebuild")
        for where in ((), ("--url", self.start().url)):
            with self.subTest(where=where):
                row = self.command("ls", *where).stdout.splitlines()[1].split()
                self.assertEqual(row[:3], [key, "2.0", "KiB"])
                self.assertRegex(self.command("stats", *where).stdout, r"polykit +1 +2\.0 KiB ")

    def test_wrong_questions(self) -> None:
        server = self.start()
        for query in ("limit=0", "sort=x", "order=x", "cursor=x", "space=x", "what=x"):
            with self.subTest(query=query):
                answer = server.request("GET", f"/api/artifacts?{query}")
                self.assertEqual(answer.status, 400)
                name = query.partition("=")[0]
                self.assertIn(name + ": ", json.loads(answer.body)["error"])
        for where in ((), ("--url", server.url)):
            done = self.command("ls", "--sort", "age", *where, status=2)
            self.assertIn("sort: takes", done.stderr)
        self.command("ls", "--url", "ftp://x", status=2)
        self.command("ls", "--limit", "0", status=2)
        self.command("rm", status=2)
        self.command("stats", "--url", "http://127.0.0.1:1", status=1)
        absent = self.directory / "absent"
        self.store = absent
        for command in ("stats", "gc"):
            self.assertIn("No such file", self.command(command, status=1).stderr)
        self.assertFalse(absent.exists())


class Changing(AdminTest):
    def test_rm_and_pin_on_a_directory(self) -> None:
        keys = [lay(self.store, n) for n in range(3)]
        self.command("index", "rebuild")
        self.command("pin", keys[0])
        done = self.command("rm", keys[1], key_of(99), keys[2], status=1)
        self.assertEqual(done.stdout, f"removed {keys[1]}\nremoved {keys[2]}\n")
        self.assertIn(key_of(99), done.stderr)
        self.assertEqual(self.keys(), [keys[0]])
        self.assertEqual(self.polykit()["pinned_objects"], 1)
        self.command("unpin", keys[0])
        self.assertEqual(self.polykit()["pinned_objects"], 0)
        self.command("pin", key_of(99), status=1)

    def test_rm_and_pin_on_a_server(self) -> None:
        server = self.start()
        key, body = self.put(server, 1)
        url = ("--url", server.url)
        self.command("pin", key, *url)
        facts = json.loads(server.request("GET", f"/api/artifacts/polykit/{key}").body)
        self.assertEqual((facts["pinned"], facts["size"]), (True, len(body)))
        self.assertEqual(facts["hash"], hashlib.sha256(body).hexdigest())
        self.command("rm", key, *url)
        self.assertEqual(server.request("GET", f"/v1/artifacts/{key}").status, 404)
        self.command("rm", key, *url, status=1)
        self.assertEqual(self.totals(*url), (0, 0))

    def test_a_directory_in_use_is_not_changed(self) -> None:
        server = self.start()
        key, _ = self.put(server, 1)
        for words in (("rm", key), ("pin", key), ("gc",), ("index", "rebuild")):
            with self.subTest(words=words):
                done = self.command(*words, "--port", str(server.port), status=1)
                self.assertIn(f"add --url http://127.0.0.1:{server.port}", done.stderr)
        self.assertEqual(server.request("GET", f"/v1/artifacts/{key}").status, 200)
        # To look at it is allowed, and harms nothing.
        self.assertEqual(self.totals("--url", server.url)[0], 1)
        self.assertEqual(self.totals()[0], 1)

    def test_rm_while_reading(self) -> None:
        server = self.start()
        key, body = self.put(server, 1, 24 << 20)
        with harness.RawConnection(server.port) as connection:
            connection.send(f"GET /v1/artifacts/{key} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode())
            head = connection.stream.peek(1)  # the answer has begun; most of it is not sent yet
            self.assertTrue(head)
            self.command("rm", key, "--url", server.url)
            answer = harness.read_response(connection.stream)
        assert answer is not None
        self.assertEqual((answer.status, answer.complete, answer.body == body), (200, True, True))
        self.assertEqual(server.request("GET", f"/v1/artifacts/{key}").status, 404)

    def test_gc(self) -> None:
        for form in ("directory", "server"):
            with self.subTest(form=form):
                self.store = self.directory / form
                self.store.mkdir()
                keys = {lay(self.store, n) for n in range(20)}
                self.command("index", "rebuild")
                self.command("pin", key_of(7))
                where = () if form == "directory" else ("--url", self.start().url)
                done = self.command("gc", "--json", "--to-size", str(5 * 2 * BLOCK), *where)
                self.assertEqual(
                    json.loads(done.stdout), {"objects": 15, "bytes": 15 * 2 * BLOCK}
                )
                left = set(self.keys(*where))
                self.assertEqual(len(left), 5)
                self.assertLess(left, keys)
                self.assertIn(key_of(7), left)
                self.command("gc", "--older-than", "0s", *where)
                self.assertEqual(self.keys(*where), [key_of(7)])
                self.assertIn("older_than", self.command("gc", "--older-than", "x", *where, status=2).stderr)

    def test_gc_to_the_limits(self) -> None:
        for n in range(20):
            lay(self.store, n)
        limit = str(10 * 2 * BLOCK)
        self.command("gc", "--cache-max-size", limit, "--evict-to", "50")
        self.assertEqual(self.totals()[0], 5)


class Access(AdminTest):
    def token(self, name: str, scope: str) -> Path:
        file = self.directory / f"{name}.token"
        auth = str(self.directory / "auth.yaml")
        words = ("token", "create", "--name", name, "--scope", scope, "--auth-file", auth)
        file.write_text(self.command(*words).stdout)
        return file

    def test_only_an_admin_token_administers(self) -> None:
        admin, writer = self.token("admin", "admin"), self.token("ci", "read,write")
        server = self.start("--auth-file", str(self.directory / "auth.yaml"))
        key = lay(self.store, 1)
        words: tuple[tuple[str, ...], ...] = (
            *(("stats",), ("ls",), ("rm", key), ("pin", key), ("gc",), ("index", "rebuild")),
        )
        for command in words:
            for token in (("--token-file", str(writer)), ()):
                with self.subTest(command=command, token=token):
                    done = self.command(*command, *token, "--url", server.url, status=1)
                    self.assertNotEqual(done.stderr, "")
                    self.assertNotIn(writer.read_text().strip(), done.stderr)
        self.command("stats", "--url", server.url, "--token-file", str(admin))
        self.command("rm", key, "--url", server.url, "--token-file", str(admin))
        line = re.compile(rf"INFO audit .*{key}.* status=204")  # the log is written in pieces
        server.wait_until(lambda: line.search(server.output_text()) is not None, "audit", 30)
        self.command("stats", "--token-file", str(admin), status=2)


class Transfers(AdminTest):
    def test_put_and_get(self) -> None:
        for form in ("directory", "server", "socket"):
            with self.subTest(form=form):
                self.put_and_get(form)

    def where(self, form: str) -> tuple[str, ...]:
        self.store = self.directory / form
        self.store.mkdir()
        if form == "directory":
            return ()
        if form == "server":
            return ("--url", self.start().url)
        file = self.directory / "http.sock"
        self.start_server(storage=self.store, file=file)
        return ("--url", f"unix:{file}")

    def put_and_get(self, form: str) -> None:
        where = self.where(form)
        source, target = self.directory / f"{form}.in", self.directory / f"{form}.out"
        for size in (10, 9 << 20):  # a small one is verified at once, a large one as it is sent
            key = key_of(size)
            source.write_bytes(artifact.build(key, {"out.bin": os.urandom(size)}))
            self.command("put", key, str(source), *where)
            target.write_text("what was there before")
            self.command("get", key, str(target), *where)
            self.assertEqual(target.read_bytes(), source.read_bytes())
            done = self.command("put", key, str(source), *where, status=1)
            self.assertIn("already exists", done.stderr)
        self.assertEqual(self.totals(*where)[0], 2)

        target.unlink()
        self.assertIn(key_of(3), self.command("get", key_of(3), str(target), *where, status=1).stderr)
        self.assertIn("32 to 128", self.command("get", "short", str(target), *where, status=2).stderr)
        (self.directory / "junk").write_bytes(b"junk" * 1000)
        done = self.command("put", key_of(4), str(self.directory / "junk"), *where, status=1)
        self.assertNotEqual(done.stderr, "")
        self.command("put", key_of(4), str(self.directory / "absent"), *where, status=1)
        self.assertEqual(self.totals(*where)[0], 2)
        self.assertEqual(list(self.directory.glob(f"{form}.out*")), [])

    def test_a_damaged_artifact_leaves_the_file_as_it_was(self) -> None:
        key = lay(self.store, 1, 8 << 20)
        blob = self.store / key[:2] / key[2:4] / f"{key}.zst"
        with blob.open("r+b") as file:
            file.seek(7 << 20)
            file.write(b"wrong")
        target = self.directory / "out"
        target.write_text("before")
        server = self.start()
        self.command("get", key, str(target), "--url", server.url, status=1)
        self.assertEqual(target.read_text(), "before")
        self.assertEqual([path.name for path in self.directory.glob("out*")], ["out"])


class Index(AdminTest):
    def test_a_deleted_index_is_rebuilt(self) -> None:
        keys = sorted(lay(self.store, n) for n in range(50))
        self.command("index", "rebuild")
        before = self.totals()
        for path in self.store.glob("index.db*"):
            path.unlink()
        done = self.command("stats", "--json")
        self.assertFalse(json.loads(done.stdout)["index"]["complete"])
        self.assertIn("index rebuild", done.stderr)

        done = self.command("index", "rebuild", "--json")

        self.assertEqual(json.loads(done.stdout), {"objects": 50, "added": 50, "removed": 0})
        self.assertEqual(self.totals(), before)
        self.assertEqual(self.keys(), keys)
        self.assertEqual(self.command("stats", "--json").stderr, "")

    def test_a_server_rebuilds_it_when_asked(self) -> None:
        server = self.start()
        self.put(server, 1)
        self.await_complete(server)
        none = json.loads(server.request("GET", "/api/index/rebuild").body)
        self.assertEqual((none["state"], none["objects"]), ("none", 0))
        for number in range(10, 40):  # behind its back, by a restore of older files for instance
            lay(self.store, number)
        gone = key_of(1)
        for path in (self.store / gone[:2] / gone[2:4]).glob(f"{gone}.*"):
            path.unlink()

        done = self.command("index", "rebuild", "--url", server.url, "--json")

        self.assertEqual(json.loads(done.stdout), {"objects": 30, "added": 30, "removed": 1})
        self.assertEqual(done.stderr, "")
        self.assertEqual(self.totals("--url", server.url)[0], 30)
        again = self.command("index", "rebuild", "--url", server.url)
        self.assertEqual(again.stdout, "30 objects; 0 added to the index, 0 removed\n")
        status = json.loads(server.request("GET", "/api/index/rebuild").body)
        self.assertEqual(
            (status["state"], status["shards_done"]), ("done", status["shards"])
        )
        self.assertEqual(server.request("DELETE", "/api/index/rebuild").status, 405)

    def test_a_server_rebuilds_it_by_itself(self) -> None:
        keys = sorted(lay(self.store, n) for n in range(50))
        self.command("index", "rebuild")
        for path in self.store.glob("index.db*"):
            path.unlink()
        server = self.start()
        self.await_complete(server)
        self.assertEqual(self.keys("--url", server.url), keys)

    def await_complete(self, server: harness.CacheServer) -> None:
        def complete() -> bool:
            answer = server.request("GET", "/api/stats")
            return answer.status == 200 and json.loads(answer.body)["index"]["complete"]

        server.wait_until(complete, "a complete index", 60)

    def test_kill_9_and_the_totals_are_right_again(self) -> None:
        server = self.start()
        sizes = [len(self.put(server, n)[1]) for n in range(30)]
        gone = key_of(29)
        self.assertEqual(server.request("DELETE", f"/api/artifacts/polykit/{gone}").status, 204)
        server.kill()
        self.totals()  # a look in between must not make the index believe that it is whole
        server = self.start()
        self.await_complete(server)
        self.assertEqual(self.totals("--url", server.url), (29, sum(sizes[:29])))


class Downloads(AdminTest):
    """What lies in the spaces cas and fetch, beside the artifacts."""

    def prepare(self) -> None:
        for n in range(3):
            lay(self.store, n)
        self.shared = b"the same bytes of two URLs"
        self.records = {
            url: lay_download(self.store, url, content)
            for url, content in {
                "http://h.test/one": self.shared,
                "http://h.test/two": self.shared,
                "http://h.test/own": b"of one URL only",
            }.items()
        }

    def objects(self, *where: str) -> dict[str, int]:
        return {space["space"]: space["objects"] for space in self.stats(*where)["spaces"]}

    def test_rebuild_stats_and_ls_know_every_space(self) -> None:
        self.prepare()
        done = json.loads(self.command("index", "rebuild", "--json").stdout.splitlines()[-1])
        self.assertEqual((done["objects"], done["added"]), (8, 8))
        for where in ((), ("--url", self.start().url)):
            with self.subTest(where=where):
                self.assertEqual(self.objects(*where), {"cas": 2, "fetch": 3, "polykit": 3})
                contents = sorted({content for _, content in self.records.values()})
                self.assertEqual(self.keys("--space", "cas", *where), contents)
                keys = sorted(record for record, _ in self.records.values())
                self.assertEqual(sorted(self.keys("--space", "fetch", *where)), keys)

    def test_rm_of_a_record_takes_the_content_that_nobody_else_has(self) -> None:
        for running in (False, True):
            with self.subTest(running=running):
                self.prepare()
                self.command("index", "rebuild")
                server = self.start() if running else None
                where = ("--url", server.url) if server else ()
                for name, left in (("one", 2), ("own", 1), ("two", 0)):
                    record, content = self.records[f"http://h.test/{name}"]
                    self.command("rm", "--space", "fetch", record, *where)
                    self.assertFalse(blob_of(self.store, "fetch", record).exists())
                    self.assertEqual(blob_of(self.store, "cas", content).exists(), name == "one")
                    self.assertEqual(self.objects(*where)["cas"], left)
                self.assertEqual(self.objects(*where), {"cas": 0, "fetch": 0, "polykit": 3})
                if server:
                    server.stop()

    def test_what_is_pinned_in_a_space_stays(self) -> None:
        self.prepare()
        self.command("index", "rebuild")
        record, content = self.records["http://h.test/own"]
        self.command("pin", "--space", "cas", content)
        self.command("pin", "--space", "fetch", record)
        self.command("gc", "--older-than", "0s", "--fetch-evict", "true")
        self.assertEqual(self.objects(), {"cas": 1, "fetch": 1, "polykit": 0})
        self.command("unpin", "--space", "cas", content)
        self.command("gc", "--older-than", "0s", "--fetch-evict", "true")
        self.assertEqual(self.objects(), {"cas": 0, "fetch": 1, "polykit": 0})

    def test_facts_of_content_are_those_of_its_own_space(self) -> None:
        self.prepare()
        self.command("index", "rebuild")
        _, content = self.records["http://h.test/own"]
        facts = json.loads(self.start().request("GET", f"/api/artifacts/cas/{content}").body)
        stored = blob_of(self.store, "cas", content).read_bytes()
        self.assertEqual(facts["hash"], hashlib.sha256(stored).hexdigest())

    def test_put_and_get_are_of_artifacts(self) -> None:
        self.prepare()
        file = self.directory / "file"
        file.write_bytes(b"x")
        for words in (("put", key_of(9), str(file)), ("get", key_of(0))):
            done = self.command(*words, "--space", "cas", status=2)
            self.assertIn("only artifacts", done.stderr)
            self.assertIn("/fetch", done.stderr)

    def test_gc_leaves_them_unless_they_are_named(self) -> None:
        self.prepare()
        self.command("index", "rebuild")
        self.command("gc", "--older-than", "0s")
        self.assertEqual(self.objects(), {"cas": 2, "fetch": 3, "polykit": 0})
        self.command("gc", "--to-size", "0", "--space", "cas")
        self.assertEqual(self.objects(), {"cas": 0, "fetch": 3, "polykit": 0})
        self.command("gc", "--older-than", "0s", "--fetch-evict", "true")
        self.assertEqual(self.objects(), {"cas": 0, "fetch": 0, "polykit": 0})


class Eviction(AdminTest):
    LIMIT = 2 << 20

    def archived(self, server: harness.CacheServer) -> int:
        return sum(
            server.request("HEAD", f"/fetch?url=http://h.test/{n}").status == 200 for n in range(20)
        )

    def test_downloads_go_only_when_they_may(self) -> None:
        for setting, left in ((("false",), 20), (("true",), 0)):
            with self.subTest(fetch_evict=setting):
                for n in range(20):
                    lay_download(self.store, f"http://h.test/{n}", f"content {n}".encode())
                self.command("index", "rebuild")
                server = self.start("--cache-max-size", str(self.LIMIT), "--fetch-evict", *setting)
                self.assertEqual(self.archived(server), 20)
                # More than fits, read never again: what was used before them is older.
                keys = [self.put(server, n, 200_000)[0] for n in range(30)]
                self.assertEqual(self.archived(server), left)
                self.assertEqual(server.request("GET", f"/v1/artifacts/{keys[0]}").status, 404)
                self.assertEqual(server.request("GET", f"/v1/artifacts/{keys[-1]}").status, 200)
                self.assertLessEqual(self.stats("--url", server.url)["taken"], self.LIMIT)
                server.stop()

    def test_the_limit_holds_while_uploads_come(self) -> None:
        server = self.start("--cache-max-size", str(self.LIMIT))
        pinned, _ = self.put(server, 1000, 100_000)
        self.command("pin", pinned, "--url", server.url)
        samples: list[int] = []
        over = threading.Event()

        def sample() -> None:
            while not over.is_set():
                samples.append(disk_usage(self.store))

        sampler = threading.Thread(target=sample)
        sampler.start()
        try:
            keys = [self.put(server, n, 100_000)[0] for n in range(100)]  # 10 MB
        finally:
            over.set()
            sampler.join()
        self.assertGreater(len(samples), 10)
        self.assertLessEqual(max(samples), self.LIMIT)
        self.assertGreater(max(samples), self.LIMIT // 2)
        for key in [*keys[-8:], pinned]:
            self.assertEqual(server.request("GET", f"/v1/artifacts/{key}").status, 200)
        self.assertEqual(server.request("GET", f"/v1/artifacts/{keys[0]}").status, 404)
        stats = self.stats("--url", server.url)
        self.assertEqual(stats["limits"]["cache_max_size"], self.LIMIT)
        self.assertLessEqual(stats["taken"], self.LIMIT)

    def test_what_can_never_fit_is_507_with_a_reason(self) -> None:
        server = self.start("--cache-max-size", str(self.LIMIT))
        key = key_of(1)
        body = artifact.build(key, {"out.bin": os.urandom(3 << 20)})
        answer = server.request("PUT", f"/v1/artifacts/{key}", body)
        self.assertEqual(answer.status, 507)
        self.assertEqual(json.loads(answer.body), {"error": "the storage is full"})
        self.put(server, 2)  # the next one fits


if __name__ == "__main__":
    harness.main()
