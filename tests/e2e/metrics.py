"""The names of /metrics are a promise: dashboards and alerts of other people hang on them.

PKC_ACCEPT=1 rewrites the golden list and the table in README. promtool comes with Debian's package
prometheus; without it (PKC_PROMTOOL, or on PATH) the tests that need it are skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tests" / "support"))
sys.path.insert(0, str(ROOT / "tests" / "e2e"))

import artifact  # noqa: E402
import harness  # noqa: E402
from handover_case import HandoverTest  # noqa: E402
from metrics_text import SUFFIXES, Family, grouped_labels, parse, selectors  # noqa: E402
from robustness_case import await_event  # noqa: E402

GOLDEN = ROOT / "tests" / "e2e" / "metrics.golden"
README = ROOT / "README.md"
ALERTS = ROOT / "packaging" / "monitoring" / "alerts.yml"
ALERT_TESTS = ROOT / "tests" / "e2e" / "alerts_test.yml"
DASHBOARD = ROOT / "packaging" / "monitoring" / "grafana-dashboard.json"
TARGET_LABELS = {"instance", "job"}  # Prometheus adds them to everything
KEY = artifact.key_for("metrics")
ACCEPT = os.environ.get("PKC_ACCEPT") == "1"


def promtool(*arguments: str, text: str | None = None) -> subprocess.CompletedProcess[str]:
    program = harness.environment_path("PKC_PROMTOOL") or shutil.which("promtool")
    if program is None:
        raise unittest.SkipTest("promtool is not installed (PKC_PROMTOOL)")
    return subprocess.run(
        [str(program), *arguments], input=text, capture_output=True, text=True, check=False, timeout=60
    )


def scrape(server: harness.CacheServer) -> dict[str, Family]:
    answer = server.request("GET", "/metrics")
    assert answer.header("content-type") == "text/plain; version=0.0.4; charset=utf-8"
    return parse(answer.body.decode())


def golden_lines(families: dict[str, Family]) -> list[str]:
    return [
        f"{family.name}\t{family.type}\t{','.join(sorted(family.labels))}\t{family.help}"
        for _, family in sorted(families.items())
    ]


def readme_table(lines: list[str]) -> str:
    rows = ["| Metric | Type | Labels | Meaning |", "|---|---|---|---|"]
    for line in lines:
        name, kind, labels, said = line.split("\t")
        shown = ", ".join(f"`{label}`" for label in labels.split(",") if label)
        rows.append(f"| `{name}` | {kind} | {shown} | {said} |")
    return "\n".join(rows)


class Metrics(harness.ServerTest):
    def exercise(self, server: harness.CacheServer) -> str:
        """Asks for everything, and for /metrics at last. A request is counted when its answer has
        left; on one connection that is before the next is read."""
        connection = server.http()
        self.addCleanup(connection.close)
        body = artifact.build(KEY, {"a.txt": b"content"})
        path = f"/v1/artifacts/{KEY}"
        connection.connect()
        socket = connection.sock
        for method, target, sent, status in (
            ("GET", path, None, 404),
            ("PUT", path, body, 201),
            ("PUT", path, body, 409),
            ("GET", path, None, 200),
            ("HEAD", path, None, 200),
            ("GET", "/v1/artifacts/short", None, 400),
            ("GET", "/nothing", None, 404),
            ("GET", "/metrics", None, 200),
        ):
            connection.request(method, target, sent)
            answer = connection.getresponse()
            text = answer.read().decode("latin-1")
            self.assertEqual(answer.status, status)
            self.assertIs(connection.sock, socket, "it is still the same connection")
        return text

    def test_names_types_labels_and_help_are_those_of_the_golden_list(self) -> None:
        lines = golden_lines(scrape(self.start_server()))
        if ACCEPT:
            GOLDEN.write_text("\n".join(lines) + "\n")

        self.assertEqual(lines, GOLDEN.read_text().splitlines())

    def test_no_setting_makes_a_family_that_the_golden_list_does_not_know(self) -> None:
        """What the sources can register, and the list, are the same names."""
        literal = re.compile(r'"((?:polykit_cache|artifact_cache|process)_[a-z_]+)"')
        sources = [*(ROOT / "src").rglob("*.[ch]pp"), *(ROOT / "include").rglob("*.hpp")]
        in_sources = {name for path in sources for name in literal.findall(path.read_text())}
        golden = {line.split("\t")[0] for line in GOLDEN.read_text().splitlines()}

        self.assertEqual(in_sources, golden)

    def test_the_table_in_readme_is_the_golden_list(self) -> None:
        marked = re.compile(r"(?<=<!-- metrics -->\n).*?(?=\n<!-- /metrics -->)", re.DOTALL)
        table = readme_table(GOLDEN.read_text().splitlines())
        if ACCEPT:
            README.write_text(marked.sub(lambda _: table, README.read_text()))

        self.assertEqual(marked.findall(README.read_text()), [table])

    def test_promtool_has_nothing_to_say(self) -> None:
        server = self.start_server()

        checked = promtool("check", "metrics", text=self.exercise(server))

        # The name is given: a gauge that is called like a counter by those who asked for it.
        given = 'artifact_cache_items_total non-counter metrics should not have "_total" suffix\n'
        self.assertEqual(checked.stdout + checked.stderr, given)

    def test_requests_are_counted_by_protocol_method_and_outcome(self) -> None:
        server = self.start_server()

        families = parse(self.exercise(server))

        requests = families["polykit_cache_requests_total"]
        for method, outcome in (
            ("get", "miss"),
            ("put", "stored"),
            ("put", "exists"),
            ("get", "hit"),
            ("head", "hit"),
            ("get", "rejected"),
        ):
            self.assertEqual(requests.value(protocol="polykit", method=method, outcome=outcome), 1)
        self.assertEqual(requests.value(protocol="polykit", method="get", outcome="failed"), 0)
        self.assertEqual(requests.value(protocol="none", method="other", outcome="rejected"), 1)
        size = len(artifact.build(KEY, {"a.txt": b"content"}))
        received = families["polykit_cache_received_bytes_total"]
        self.assertEqual(received.value(protocol="polykit"), size)
        self.assertGreater(families["polykit_cache_sent_bytes_total"].value(protocol="polykit"), size)
        durations = families["polykit_cache_request_duration_seconds"]
        count = (durations.name + "_count", frozenset({("protocol", "polykit"), ("method", "get")}))
        self.assertEqual(durations.samples[count], 3)
        self.assertEqual(families["polykit_cache_stored_objects_total"].value(), 1)

    def test_no_client_can_make_series(self) -> None:
        server = self.start_server()
        before = {key for family in scrape(server).values() for key in family.samples}

        for number in range(50):
            given = {"X-Request-Id": f"i{number}"}
            server.request(f"METHOD{number}", f"/path{number}/{'x' * number}", headers=given)
            server.get(artifact.key_for(number))
        server.raw(b"\xff\xfe / HTTP/1.1\r\n\r\n")

        self.assertEqual({key for family in scrape(server).values() for key in family.samples}, before)

    def test_numbers_of_the_machine_are_plausible(self) -> None:
        server = self.start_server("--workers-max", "9", "--max-connections", "77", "--max-uploads", "5")
        usage = os.statvfs(server.storage)
        with server.connect() as idle:
            idle.send(b"GET /up HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertIsNotNone(idle.response())
            families: dict[str, Family] = {}

            def alone() -> bool:
                """Nobody else is connected: the scrape before may not have been taken leave of yet."""
                families.update(scrape(server))
                connections = families["polykit_cache_connections"]
                return connections.value(state="idle") == 1 and connections.value(state="active") == 1

            server.wait_until(alone, "one is idle, one is active", 60)

        self.assertEqual(families["polykit_cache_connections_max"].value(), 77)
        self.assertEqual(families["polykit_cache_workers_max"].value(), 9)
        self.assertGreaterEqual(families["polykit_cache_workers"].value(state="busy"), 1)
        self.assertEqual(families["polykit_cache_uploads_max"].value(), 5)
        self.assertEqual(families["polykit_cache_queued_connections"].value(), 0)
        self.assertEqual(families["polykit_cache_disk_size_bytes"].value(), usage.f_blocks * usage.f_frsize)
        self.assertEqual(families["polykit_cache_disk_inodes"].value(), usage.f_files)
        self.assertGreater(families["polykit_cache_disk_free_bytes"].value(), 0)
        resident = families["process_resident_memory_bytes"].value()
        self.assertAlmostEqual(resident, server.rss(), delta=16 << 20)

    def test_scrapes_at_once_are_all_whole(self) -> None:
        server = self.start_server()
        scraped: list[int] = []

        def scraper() -> None:
            for _ in range(20):
                scraped.append(len(scrape(server)))

        threads = [threading.Thread(target=scraper) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        self.assertEqual(len(scraped), 160)
        self.assertEqual(len(set(scraped)), 1)


class Monitoring(unittest.TestCase):
    """Every query of packaging/monitoring is about metrics that exist, and their labels."""

    def setUp(self) -> None:
        rows = [line.split("\t") for line in GOLDEN.read_text().splitlines()]
        self.labels = {"up": set()}
        for name, kind, labels, _ in rows:
            names = [name + suffix for suffix in SUFFIXES] if kind == "histogram" else [name]
            for sample in names:
                self.labels[sample] = {label for label in labels.split(",") if label}
                if sample.endswith("_bucket"):
                    self.labels[sample].add("le")

    def check(self, query: str) -> None:
        with self.subTest(query=query):
            found = list(selectors(query))
            self.assertTrue(found)
            known = set(TARGET_LABELS)
            for name, matched in found:
                self.assertIn(name, self.labels)
                self.assertLessEqual(matched, self.labels[name] | TARGET_LABELS)
                known |= self.labels[name]
            self.assertLessEqual(grouped_labels(query), known)

    def test_alerts(self) -> None:
        # No YAML in the standard library: an expression is the rest of its line, or an indented block.
        text = ALERTS.read_text()
        queries = re.findall(r"^ +expr: (?:\|\n((?: {10,}.*\n)+)|(.*)\n)", text, re.MULTILINE)

        self.assertEqual(len(queries), text.count("- alert:"))
        for block, line in queries:
            self.check(block or line)

    def test_dashboard(self) -> None:
        dashboard = json.loads(DASHBOARD.read_text())
        queries = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
        asked = {name for query in queries for name, _ in selectors(query)}

        for query in queries:
            self.check(query)
        shown = {name for name in self.labels if not name.endswith(SUFFIXES)} - {"up"}
        self.assertEqual(shown - asked, set(), "each metric is on the dashboard")

    def test_promtool_accepts_the_alerts(self) -> None:
        checked = promtool("check", "rules", str(ALERTS))

        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_the_alerts_fire_when_they_should_and_else_do_not(self) -> None:
        fired = set(re.findall(r'expr: ALERTS{alertname="(\w+)"', ALERT_TESTS.read_text()))
        self.assertEqual(fired, set(re.findall(r"- alert: (\w+)", ALERTS.read_text())))

        tested = promtool("test", "rules", str(ALERT_TESTS))

        self.assertEqual(tested.returncode, 0, tested.stdout + tested.stderr)


class MetricsBind(HandoverTest):
    """--metrics-bind, by a Unix socket, which needs no free port."""

    def start(self) -> tuple[harness.CacheServer, Path]:
        path = self.directory / "metrics.sock"
        server = self.start_server("--metrics-bind", f"unix:{path}")
        server.wait_until(lambda: "metrics are served" in server.output_text(), "listener", 60)
        return server, path

    def curl(self, path: Path, target: str) -> str:
        program = shutil.which("curl")
        if program is None:
            self.skipTest("curl is not installed")
        return subprocess.run(
            [program, "-sS", "-w", "%{http_code}", "--unix-socket", str(path), f"http://x{target}"],
            capture_output=True, text=True, check=True, timeout=60,
        ).stdout

    def test_metrics_are_there_and_only_there(self) -> None:
        server, path = self.start()

        self.assertIn("\npolykit_cache_build_info{", self.curl(path, "/metrics"))
        self.assertTrue(self.curl(path, "/metrics").endswith("200"))
        self.assertTrue(self.curl(path, f"/v1/artifacts/{KEY}").endswith("404"))
        self.assertEqual(server.request("GET", "/metrics").status, 404)
        self.assertEqual(server.request("GET", "/health").status, 200)
        self.assertEqual(server.stop(), 0)
        self.assertFalse(path.exists())

    def test_an_address_in_use_stops_the_start(self) -> None:
        first = self.start_server()
        with self.assertRaisesRegex(harness.ServerError, "metrics-bind: "):
            broken = self.start_server("--metrics-bind", f"127.0.0.1:{first.port}")
            broken.wait_until(lambda: False, "end", 60)

    def test_a_successor_serves_them_at_the_same_address(self) -> None:
        path = self.directory / "metrics.sock"
        _, lineage = self.start_lineage("--metrics-bind", f"unix:{path}")
        self.await_log(lineage, "metrics are served")
        before = self.curl(path, "/metrics")

        successor = lineage.hand_over()
        lineage.await_end(lineage.server.pid)
        await_event(lambda: lineage.count("metrics are served") == 2, "the successor serves them")
        after = self.curl(path, "/metrics")

        self.assertIn("200", before[-3:])
        self.assertIn("200", after[-3:])
        self.assertEqual(lineage.count("metrics are not served"), 0)
        os.kill(successor, signal.SIGTERM)
        lineage.await_end(successor)
        self.assertFalse(path.exists())

    def test_a_successor_that_cannot_serve_them_serves_the_cache(self) -> None:
        taken = self.directory / "taken.sock"
        settings = self.directory / "settings.yaml"
        settings.write_text("metrics_bind: unix:" + str(self.directory / "metrics.sock"))
        server, lineage = self.start_lineage("--config", str(settings))
        self.await_log(lineage, "metrics are served")
        taken.write_text("no socket")
        settings.write_text(f"metrics_bind: unix:{taken}")

        lineage.hand_over()

        self.await_log(lineage, "ERROR metrics are not served reason=")
        lineage.await_end(lineage.server.pid)
        self.assertEqual(server.request("GET", "/health").status, 200)


if __name__ == "__main__":
    harness.main()
