"""Runs REDbot on one request and prints its findings as JSON. Run by conformance.py, with REDbot's
folder in PYTHONPATH: one process a request, as its event loop cannot be started twice.

    conformance_probe.py METHOD URL FIELDS CONTENT     FIELDS is JSON, CONTENT a file or ""
"""

from __future__ import annotations

import json
import sys
from configparser import ConfigParser
from pathlib import Path

import thor
from redbot.resource import HttpResource


def findings(fetcher: object, where: str) -> list[list[str]]:
    """What is worse than good to know: [request, name, level, summary]."""
    notes = fetcher.response.notes  # type: ignore[attr-defined]
    return [
        [where, type(note).__name__, note.level.value, note.summary]
        for note in notes
        if note.level.value in ("bad", "warning")
    ]


def main() -> None:
    method, url, fields, content = sys.argv[1:]
    config = ConfigParser()
    config.read_dict({"redbot": {"enable_local_access": "True"}})
    resource = HttpResource(config["redbot"])
    body = Path(content).read_bytes() if content else b""
    resource.set_request(url, method, [tuple(field) for field in json.loads(fields)], body)
    resource.on("check_done", thor.stop)
    resource.check()
    if not resource.check_done:
        thor.run()
    answer = {
        "status": resource.response.status_code,
        "error": str(resource.fetch_error or ""),
        "checks": [],
        "findings": findings(resource, "request"),
    }
    for name, check in resource.subreqs.items():
        if check.fetch_started:
            answer["checks"].append(name)
            answer["findings"] += findings(check, name)
    print(json.dumps(answer))


if __name__ == "__main__":
    main()
