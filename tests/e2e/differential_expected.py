"""Where we differ from the published server 0.2.0 on purpose, and why. differential.py proves the list."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from unittest.mock import ANY


@dataclass(frozen=True)
class Difference:
    """In every case that matches a pattern of `cases`, each fact of `changes` is the first value at the
    original and the second at ours, and no other fact differs that is not listed elsewhere."""

    reason: str
    cases: tuple[str, ...]
    changes: Mapping[str, tuple[object, object]]


@dataclass(frozen=True)
class AddedHeader:
    """A header of every 200 of ours to GET and HEAD, or of every answer, that the original does not send."""

    pattern: str
    reason: str
    everywhere: bool = False


ADDED_HEADERS = {
    "etag": AddedHeader(r'"[0-9a-f]{64}"', "a strong validator: the hash of the stored bytes"),
    "last-modified": AddedHeader(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", "for HTTP caches in front"),
    "accept-ranges": AddedHeader("bytes", "downloads can be resumed"),
    "x-request-id": AddedHeader("[0-9a-f]{24}", "finds the request in the log", everywhere=True),
    "cache-control": AddedHeader("max-age=31536000, immutable", "a key never changes its content"),
}


def _steps(numbers: str, changes: Mapping[str, tuple[object, object]]) -> dict[str, tuple[object, object]]:
    """The same changes in several steps, e.g. _steps("13", …) in the first and the third."""
    return {f"{number}.{fact}": values for number in numbers for fact, values in changes.items()}


_NOT_STORED = {"stored": ("pair", "nothing")}
_REJECTED = {"1.status": (201, 422), "2.status": (200, 404), **_NOT_STORED}
_ACCEPTED = {"1.status": (422, 201), "2.status": (404, 200), "stored": ("nothing", "pair")}
_ERROR_BODY = {
    "body": (b"", "error"),
    "header:content-type": (None, "application/json"),
    "header:content-length": ("0", "right"),
}
_ERROR_HEAD = {"header:content-type": (None, "application/json")}

DIFFERENCES = (
    Difference(
        "A key is at most 128 characters: the original takes any length, and fails or poisons the key "
        "where the file name gets too long.",
        ("key of 129", "key of 250"),
        {"1.status": (201, 400), "2.status": (200, 400), "3.status": (200, 400), **_NOT_STORED},
    ),
    Difference(
        "The same; here the original has stored a blob and failed at its sidecar.",
        ("key of 251",),
        {"1.status": (500, 400), "2.status": (404, 400), "3.status": (500, 400)},
    ),
    Difference(
        "The same; here the original could not store the blob.",
        ("key of 252",),
        {"1.status": (500, 400), "2.status": (404, 400), "3.status": (404, 400)},
    ),
    Difference(
        "Every error is JSON; the original answers a key that is not UTF-8 in plain text.",
        ("bad key: not UTF-8, encoded",),
        {
            **_steps(
                "13",
                {
                    "body": (b"Invalid URL: Invalid UTF-8 in `cache_key`", "error"),
                    "header:content-type": ("text/plain; charset=utf-8", "application/json"),
                    "header:content-length": ("41", "right"),
                },
            ),
            "2.header:content-type": ("text/plain; charset=utf-8", "application/json"),
        },
    ),
    Difference(
        "Every error is JSON; the original's 404 of an unknown path is empty.",
        ("route: *",),
        _steps("13", _ERROR_BODY) | _steps("2", _ERROR_HEAD),
    ),
    Difference(
        "What an operator asks; the original knows none of it.",
        ("operator: *",),
        {"1.status": (404, 200), "2.status": (404, 200), "3.status": (404, 405)},
    ),
    Difference(
        "Every error is JSON, and Allow is a list of distinct methods.",
        (
            "method: POST",
            "method: DELETE",
            "method: PATCH",
            "method: OPTIONS",
            "method: TRACE",
            "method: PROPFIND",
            "method: get",
        ),
        _steps("2", _ERROR_BODY | {"header:allow": ("PUT,GET,HEAD,HEAD", "GET, HEAD, PUT")}),
    ),
    Difference(
        "The same.",
        ("method: POST with a bad key",),
        _steps("1", _ERROR_BODY | {"header:allow": ("PUT,GET,HEAD,HEAD", "GET, HEAD, PUT")}),
    ),
    Difference(
        "Doubled slashes in front are one: a base URL that ends in a slash is a common mistake.",
        ("leading slashes",),
        {"2.status": (404, 200)},
    ),
    Difference(
        "Ranges are served.",
        ("range",),
        {"2.status": (200, 206)},
    ),
    Difference(
        "Ranges are served, and refused when they lie outside.",
        ("range out of bounds",),
        {"2.status": (200, 416)},
    ),
    Difference(
        "Conditional requests save the body.",
        ("if-none-match",),
        {"2.status": (200, 304), "4.status": (200, 304)},
    ),
    Difference(
        "An existing key is refused before its new body is looked at: the client sends it four times.",
        ("second put, garbage",),
        {"2.status": (422, 409)},
    ),
    Difference(
        "The same, before the body is sent; the connection ends, for the client may send it all the same.",
        ("expect, exists",),
        {
            "2.took the body": (True, False),
            "2.interim": ([100], []),
            "2.connection kept": (True, False),
            "2.header:connection": (None, "close"),
        },
    ),
    Difference(
        "A connection that ends is announced.",
        ("expect, bad key", "HTTP/1.0 without Host"),
        {"1.header:connection": (None, "close")},
    ),
    Difference(
        "The same, and every error is JSON.",
        ("expect, no route",),
        _steps("1", _ERROR_BODY | {"header:connection": (None, "close")}),
    ),
    Difference(
        "The same.",
        ("HTTP/1.0",),
        _steps("123", {"header:connection": (None, "close")}),
    ),
    Difference(
        "Too large is 413, as the original's documentation says; its code answers 500.",
        ("one byte too large*",),
        {"1.status": (500, 413)},
    ),
    Difference("The same.", ("second put, too large",), {"2.status": (500, 413)}),
    Difference(
        "The same, before the body is sent.",
        ("expect, too large",),
        {"1.status": (500, 413), "1.took the body": (True, False)},
    ),
    Difference(
        "Damaged bytes are never served: a miss, which the next upload heals.",
        ("damaged: flipped byte", "damaged: cut blob"),
        {"3.status": (200, 404), "4.status": (200, 404), "5.status": (409, 201), "blob": (ANY, ANY)},
    ),
    Difference(
        "A blob without its sidecar is a miss, which the next upload heals; at the original it is an "
        "error to GET, a miss to HEAD and a conflict to PUT, for ever.",
        ("damaged: no sidecar",),
        {"3.status": (500, 404), "5.status": (409, 201), "stored": ("half a pair", "pair")},
    ),
    Difference(
        "So is one with a torn sidecar.",
        ("damaged: torn sidecar",),
        {"3.status": (500, 404), "5.status": (409, 201), "sidecar": (ANY, ANY)},
    ),
    Difference(
        "A broken body is the client's fault, not the server's.",
        (
            "chunked, bad size line",
            "broken: body half sent",
            "broken: chunk half sent",
            "broken: last chunk missing",
        ),
        {"1.status": (500, 400)},
    ),
    Difference(
        "Every error is JSON; the original's refusal of a broken head is empty.",
        (
            "broken: request line",
            "broken: header without colon",
            "broken: space in a header name",
            "broken: NUL in a header",
            "broken: length not a number",
            "broken: negative length",
            "broken: huge length",
            "broken: conflicting lengths",
            "101 headers",
            "long header",
            "very long query",
        ),
        _steps("1", _ERROR_BODY),
    ),
    Difference(
        "An unknown transfer coding is 501 (RFC 9112 section 6.1).",
        ("broken: coding",),
        {"1.status": (400, 501)},
    ),
    Difference(
        "An unknown version is 505 (RFC 9110 section 15.6.6), which tells more.",
        ("broken: version",),
        {"1.status": (400, 505)},
    ),
    Difference("The same; the original closes without a word.", ("HTTP/2 preface",), {"1.status": (None, 505)}),
    Difference(
        "A request has exactly one Host (RFC 9112 section 3.2), and its lines end with CRLF: what two "
        "servers in a row may read differently is refused.",
        ("no Host", "two Hosts", "bare line feeds"),
        {"1.status": (404, 400)},
    ),
    Difference(
        "So is a body whose end is told twice.",
        ("length and chunked", "two equal lengths"),
        {"1.status": (201, 400), "2.status": (200, 404), **_NOT_STORED},
    ),
    Difference(
        "A chunked body with a trailer is read to its end, so the connection lives on.",
        ("chunked with extensions and a trailer",),
        {"1.connection kept": (False, True)},
    ),
    Difference(
        "A silent task is cached: the original refuses an artifact whose files are all empty.",
        ("artifact: outputs: silent task",),
        _ACCEPTED,
    ),
    Difference(
        "Paths that leave the package's directory are refused: the client would follow them.",
        (
            "artifact: outputs: dot-dot",
            "artifact: outputs: dot-dot inside",
            "artifact: outputs: absolute, listed without the slash",
            "artifact: outputs: backslash and dot-dot",
            "artifact: outputs: drive letter",
        ),
        _REJECTED,
    ),
    Difference(
        "A file has one spelling of its path, and no path is a file and a folder: whoever unpacks such "
        "an artifact gets an error, or one file in place of two.",
        (
            "artifact: outputs: doubled slash",
            "artifact: outputs: dot segment",
            "artifact: outputs: file and folder of one name",
        ),
        _REJECTED,
    ),
    Difference(
        "Only files are outputs: a link makes the client write elsewhere.",
        (
            "artifact: outputs: symbolic link",
            "artifact: outputs: hard link",
            "artifact: outputs: device",
            "artifact: outputs: fifo",
            "artifact: outputs: unknown type",
            "artifact: outputs: directory in the manifest*",
            "artifact: outputs: no name",
            "artifact: GNU sparse file",
        ),
        _REJECTED,
    ),
    Difference(
        "The manifest says what is in the artifact, all of it, and once.",
        (
            "artifact: outputs: file missing",
            "artifact: outputs: slash first",
            "artifact: outputs: empty file missing",
            "artifact: outputs: file twice",
            "artifact: outputs: twice, by another path",
            "artifact: manifest: total_size too small",
            "artifact: manifest: total_size too large",
            "artifact: metadata twice",
            "artifact: manifest twice",
        ),
        _REJECTED,
    ),
    Difference(
        "Metadata is an object: a JSON array of the six values is an accident of the original's parser.",
        ("artifact: metadata: array of the values",),
        _REJECTED,
    ),
    Difference(
        "Nesting is bounded before it is parsed; the client's documents have two levels.",
        ("artifact: metadata: deep nesting",),
        _REJECTED,
    ),
    Difference(
        "What a pax record says must be understood: it may name or size the next member.",
        ("artifact: pax malformed",),
        _REJECTED,
    ),
)
