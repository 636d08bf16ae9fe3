"""The same requests to the published server 0.2.0 and to ours: equal but for the differences listed here.

An answer, a header or a stored byte that differs and is not listed fails; a listed difference that no
longer occurs fails as well. Needs PKC_SERVER and PKC_ORIGINAL_SERVER.
"""

from __future__ import annotations

import hashlib
import json
import re
import select
import sys
from collections.abc import Mapping
from fnmatch import fnmatchcase
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "support"))

import artifact  # noqa: E402
import harness  # noqa: E402
from differential_cases import MAX_SIZE, Case, Damage, Send, all_cases  # noqa: E402
from differential_expected import ADDED_HEADERS, DIFFERENCES  # noqa: E402

PROBE = f"GET /v1/artifacts/{artifact.key_for('nobody has this')} HTTP/1.1\r\nHost: h\r\n\r\n".encode()

# What no answer may tell: internal types, paths, errno texts.
INDISCREET = re.compile(r"Adapter|errno|No such file|Permission|\.zst\b|\.json\.|/tmp|std::|::")

Facts = dict[str, object]


# --- observing ----------------------------------------------------------------------------------


def observe(server: harness.CacheServer, case: Case) -> Facts:
    """All that can be seen of a case: "<step>.<fact>" and what is stored at the end."""
    facts: Facts = {}
    for number, step in enumerate(case.steps, 1):
        if isinstance(step, Damage):
            step.apply(server)
        else:
            facts |= {f"{number}.{name}": value for name, value in exchange(server, step).items()}
    return facts | stored(server, case.key)


def exchange(server: harness.CacheServer, step: Send) -> Facts:
    facts: Facts = {}
    with server.connect() as connection:
        if step.expect:
            connection.send(step.head)
            facts["took the body"] = continues(connection)
            if facts["took the body"]:
                connection.send(step.body)
        else:
            # In one piece: whether the original keeps the connection after a refusal depends on what
            # of the body has arrived by then.
            connection.send(step.head + step.body)
        if step.half_close:
            connection.end_sending()
        for position, method in enumerate(step.answers_of()):
            prefix = f"{position}." if position else ""
            response = connection.response(head=method == "HEAD")
            facts |= {prefix + name: value for name, value in answer(response, method).items()}
        if not step.half_close:
            connection.send(PROBE)
            facts["connection kept"] = connection.response() is not None
    return facts


def continues(connection: harness.RawConnection) -> bool:
    """Waits for the server's word on Expect: 100-continue; reads nothing of it."""
    select.select([connection.socket], [], [], harness.IO_TIMEOUT)
    return connection.socket.recv(13, 2).endswith(b"100 ")  # MSG_PEEK


def answer(response: harness.Response | None, method: str) -> Facts:
    if response is None:
        return {"status": None}
    facts: Facts = {"status": response.status, "interim": response.interim, "body": response.body}
    for name, _ in response.headers:
        facts[f"header:{name.lower()}"] = ", ".join(response.header_values(name))
    if "header:date" in facts:
        facts["header:date"] = "present"
    if is_error(response):
        # The words of an error are not compared, only its form.
        facts["body"] = "error"
        facts["words"] = json.loads(response.body)["error"]
        length_is_right = response.header("content-length") == str(len(response.body))
        facts["header:content-length"] = "right" if length_is_right else "wrong"
    elif method == "HEAD" and response.status >= 400:
        facts["header:content-length"] = "of the error"
    return facts


def is_error(response: harness.Response) -> bool:
    """A compact JSON object with one member, "error", a text."""
    try:
        value = json.loads(response.body)
    except ValueError:
        return False
    return (
        isinstance(value, dict)
        and list(value) == ["error"]
        and isinstance(value["error"], str)
        and bool(value["error"])
        and response.body.startswith(b'{"error":"')
    )


def stored(server: harness.CacheServer, key: str) -> Facts:
    blob, sidecar = server.blob_path(key), server.sidecar_path(key)
    facts: Facts = {"stored": "nothing"}
    try:
        present = [path.exists() for path in (blob, sidecar)]
    except OSError:  # a name too long for the file system
        return facts
    if any(present):
        facts["stored"] = "pair" if all(present) else "half a pair"
    if present[0]:
        facts["blob"] = hashlib.sha256(blob.read_bytes()).hexdigest()
    if present[1]:
        facts["sidecar"] = original_fields(sidecar.read_bytes())
    return facts


def original_fields(sidecar: bytes) -> object:
    """The four members of the original's sidecar, in their order, if they come first."""
    try:
        return list(json.loads(sidecar).items())[:4]
    except ValueError:
        return sidecar


# --- comparing ----------------------------------------------------------------------------------


def differing(original: Facts, ours: Facts) -> dict[str, tuple[object, object]]:
    """The facts that differ. Where the status differs, the rest of that answer is not looked at, and
    where a server stored nothing, there is no content to compare."""
    names = [*original, *(name for name in ours if name not in original)]
    found = {
        name: (original.get(name), ours.get(name))
        for name in names
        if original.get(name) != ours.get(name)
        and not name.endswith(".words")
        and not is_added(name, original, ours)
    }
    other_answers = [name.removesuffix("status") for name in found if name.endswith("status")]
    return {
        name: values
        for name, values in found.items()
        if name.endswith((".status", ".took the body"))
        or not (name.startswith(tuple(other_answers)) or ("stored" in found and name in ("blob", "sidecar")))
    }


def is_added(name: str, original: Facts, ours: Facts) -> bool:
    """A header of ADDED_HEADERS, as it must be, in an answer that the original gives without it."""
    step, _, header = name.partition("header:")
    added = ADDED_HEADERS.get(header)
    return (
        added is not None
        and name not in original
        and (added.everywhere or ours.get(f"{step}status") == 200)
        and re.fullmatch(added.pattern, str(ours[name])) is not None
    )


def listed(case: Case) -> dict[str, tuple[object, object]]:
    changes: dict[str, tuple[object, object]] = {}
    for difference in DIFFERENCES:
        if any(fnmatchcase(case.name, pattern) for pattern in difference.cases):
            changes |= difference.changes
    return changes


class Differential(harness.ServerTest):
    """One pass over all cases, then the questions."""

    def test_the_servers_differ_as_listed_and_nowhere_else(self) -> None:
        arguments = ("--max-size", str(MAX_SIZE))
        original = self.start_server(*arguments, original=True)
        ours = self.start_server(*arguments)
        for case in all_cases():
            with self.subTest(case.name):
                theirs, mine = observe(original, case), observe(ours, case)
                self.compare(case, differing(theirs, mine))
                self.check_additions(mine)
                self.check_refusals(mine)
        self.assertEqual(ours.temp_files(), [], "left in tmp/")

    def compare(self, case: Case, found: Mapping[str, tuple[object, object]]) -> None:
        expected = listed(case)
        wrong = [
            f"{name}: original {found[name][0]!r}, ours {found[name][1]!r}"
            for name in found
            if found[name] != expected.get(name)
        ]
        stale = [
            f"{name}: listed as {values[0]!r} -> {values[1]!r}, but there is no difference"
            for name, values in expected.items()
            if name not in found
        ]
        self.assertEqual(wrong + stale, [])

    def check_additions(self, ours: Facts) -> None:
        """Every 200 with a blob has all the added headers, every answer those of everywhere."""
        for name, value in ours.items():
            step, _, fact = name.rpartition(".")
            if fact == "status" and isinstance(value, int):
                always = [h for h, added in ADDED_HEADERS.items() if added.everywhere]
                self.assertEqual([h for h in always if f"{step}.header:{h}" not in ours], [], name)
            if fact == "header:x-artifact-hash":
                missing = [h for h in ADDED_HEADERS if f"{step}.header:{h}" not in ours]
                self.assertEqual(missing, [], name)

    def check_refusals(self, ours: Facts) -> None:
        """Every error is JSON and tells nothing that is only ours to know."""
        for name, value in ours.items():
            step, _, fact = name.rpartition(".")
            if fact == "status" and isinstance(value, int) and value >= 400:
                self.assertEqual(ours[f"{step}.header:content-type"], "application/json", name)
                self.assertIn(
                    (ours[f"{step}.body"], ours[f"{step}.header:content-length"]),
                    (("error", "right"), (b"", "of the error")),
                    name,
                )
            if fact == "words":
                self.assertNotRegex(str(value), INDISCREET)

    def test_every_listed_difference_names_cases_that_exist(self) -> None:
        names = [case.name for case in all_cases()]
        unused = [
            pattern
            for difference in DIFFERENCES
            for pattern in difference.cases
            if not any(fnmatchcase(name, pattern) for name in names)
        ]

        self.assertEqual(unused, [])


if __name__ == "__main__":
    if harness.original_server() is None:
        harness.skip("the original server is not installed (PKC_ORIGINAL_SERVER)")
    harness.main()
