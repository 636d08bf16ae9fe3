"""Backup and restore, with the lines of the README, while the server stores and serves."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import threading
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS / "support"))

sys.path.insert(0, str(TESTS / "e2e"))

import artifact  # noqa: E402
import harness  # noqa: E402
from archive_files import lay_download  # noqa: E402

README = TESTS.parent / "README.md"


def lines_of_readme() -> list[str]:
    """The blocks of commands of the section: backup, list, restore."""
    section = README.read_text().split("**Backup and restore.**")[1].split("\n**")[0]
    return re.findall(r"(?ms)^```sh\n(.*?)^```$", section)


class Backup(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        self.backup, self.listing, self.restore = lines_of_readme()
        self.kept = self.directory / "backup"
        self.kept.mkdir()

    def run_lines(self, lines: str, server: harness.CacheServer, storage: Path) -> None:
        """As an operator does, but for where things lie."""
        binary = harness.environment_path("PKC_SERVER")
        for written, meant in (
            ("http://127.0.0.1:8080", server.url),
            ("/var/cache/polykit", storage),
            ("/backup/", f"{self.kept}/"),
            ("polykit-cache ", f"{binary} "),
        ):
            self.assertIn(written, self.backup + self.listing + self.restore)
            lines = lines.replace(written, str(meant))
        done = subprocess.run(  # noqa: S603
            ["bash", "-eu", "-c", lines],
            capture_output=True,
            text=True,
            check=False,
            env=harness.clean_environment(),
        )
        self.assertEqual(done.returncode, 0, f"{lines}\n{done.stdout}{done.stderr}")

    def stored(self, server: harness.CacheServer, number: int) -> tuple[str, bytes]:
        key = artifact.key_for(f"backup {number}")
        body = artifact.build(key, {"stdout.txt": str(number).encode() * 200})
        self.assertEqual(server.put(key, body).status, 201)
        return key, body

    def test_what_was_stored_before_is_all_there_and_the_rest_is_whole_or_a_miss(self) -> None:
        server = self.start_server()
        before = [self.stored(server, number) for number in range(300)]
        downloads = {f"http://h.test/{n}": f"download {n}".encode() for n in range(10)}
        for url, content in downloads.items():
            lay_download(server.storage, url, content)
        meanwhile: list[tuple[str, bytes]] = []
        done = threading.Event()

        def store() -> None:
            number = 1000
            while not done.is_set():
                meanwhile.append(self.stored(server, number))
                number += 1

        uploads = threading.Thread(target=store)
        uploads.start()
        try:
            self.run_lines(self.listing, server, server.storage)
            self.run_lines(self.backup, server, server.storage)
        finally:
            done.set()
            uploads.join()
        self.assertTrue(meanwhile)
        server.stop()

        elsewhere = self.directory / "elsewhere"
        self.run_lines(self.restore, server, elsewhere)
        again = self.start_server(storage=elsewhere)
        for key, body in before:
            self.assertEqual(again.get(key).body, body)
        for url, content in downloads.items():
            self.assertEqual(again.request("GET", f"/fetch?url={url}").body, content)
        for key, body in meanwhile:
            answer = again.get(key)
            self.assertIn((answer.status, answer.body == body), ((200, True), (404, False)))
        rows = [json.loads(line) for line in (self.kept / "artifacts.jsonl").read_text().splitlines()]
        self.assertLessEqual({key for key, _ in before}, {row["key"] for row in rows})
        self.assertEqual({row["pinned"] for row in rows}, {False})


if __name__ == "__main__":
    harness.main()
