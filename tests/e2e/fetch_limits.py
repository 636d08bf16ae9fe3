"""The limit of what /fetch sends to one client address. Only the least time is looked at: a transfer may always
take longer."""

from __future__ import annotations

import http.server
import random
import sys
import threading
import time
import urllib.parse
from pathlib import Path

TESTS = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(TESTS / "support"))

import harness

RATE = 512 * 1024
BODY = random.Random(7).randbytes(2 * RATE)  # the second half of it is more than is saved up
LEAST = 0.99


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_: object) -> None:
        pass


class ClientRate(harness.ServerTest):
    def setUp(self) -> None:
        super().setUp()
        origin = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
        self.addCleanup(origin.server_close)
        self.addCleanup(origin.shutdown)
        threading.Thread(target=origin.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{origin.server_address[1]}/file"
        self.target = "/fetch?url=" + urllib.parse.quote(url, safe="")

    def start(self, rate: int) -> harness.CacheServer:
        return self.start_server(
            *("--upstream-allow-addresses", "127.0.0.1"),
            *("--trusted-proxies", "127.0.0.1"),
            *("--fetch-rate-limit-per-client", str(rate)),
        )

    def fetch(self, server: harness.CacheServer, client: str) -> float:
        begun = time.monotonic()
        answer = server.request("GET", self.target, headers={"X-Forwarded-For": client})
        self.assertEqual(answer.status, 200)
        self.assertEqual(answer.body, BODY)
        return time.monotonic() - begun

    def test_a_client_gets_no_more_than_its_limit(self) -> None:
        server = self.start(RATE)
        with self.subTest("while it is downloaded"):
            self.assertGreater(self.fetch(server, "192.0.2.1"), LEAST)
        with self.subTest("from the archive"):
            self.assertGreater(self.fetch(server, "192.0.2.2"), LEAST)
        with self.subTest("two of one client share it"):
            begun, done = time.monotonic(), []
            others = [
                threading.Thread(target=lambda: done.append(self.fetch(server, "192.0.2.3")))
                for _ in range(2)
            ]
            for other in others:
                other.start()
            for other in others:
                other.join()
            self.assertEqual(len(done), 2)
            self.assertGreater(time.monotonic() - begun, 3 * LEAST)


if __name__ == "__main__":
    harness.main()
