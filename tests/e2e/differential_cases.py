"""The requests that differential.py sends to the original server and to ours.

A case is a few steps, each on a connection of its own: bytes to send, or a change made to the storage
directory between two requests. Every case has a key of its own, so that cases share the servers.
"""

from __future__ import annotations

import functools
import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import artifact
import harness
from differential_bodies import FILES, all_bodies

MAX_SIZE = 65536  # of both servers, so that "too large" is cheap
HOST = b"Host: cache.test\r\n"


@dataclass(frozen=True)
class Send:
    """One request. `expect`: the body waits for 100 Continue. `half_close`: nothing more will come."""

    head: bytes
    body: bytes = b""
    expect: bool = False
    half_close: bool = False
    methods: tuple[str, ...] = ()  # of several pipelined requests

    def answers_of(self) -> tuple[str, ...]:
        """The method of each answer that will come."""
        return self.methods or (self.head.split(b" ", 1)[0].decode("latin-1"),)


@dataclass(frozen=True)
class Damage:
    """Changes what is stored under the key."""

    apply: Callable[[harness.CacheServer], None]


Step = Send | Damage


@dataclass(frozen=True)
class Case:
    name: str
    steps: Sequence[Step]
    key: str  # whose files are compared at the end


def key_of(name: str) -> str:
    return artifact.key_for(f"differential {name}")


# --- requests -----------------------------------------------------------------------------------


def request(
    method: str, target: str, *headers: str, body: bytes | None = None, version: str = "1.1", **flags: bool
) -> Send:
    head = f"{method} {target} HTTP/{version}\r\n".encode() + HOST
    head += "".join(f"{line}\r\n" for line in headers).encode("latin-1")
    if body is not None:
        head += f"Content-Length: {len(body)}\r\n".encode()
    return Send(head + b"\r\n", body or b"", **flags)


def put(key: str, body: bytes, *headers: str, **flags: bool) -> Send:
    return request("PUT", f"/v1/artifacts/{key}", *headers, body=body, **flags)


def get(key: str, *headers: str) -> Send:
    return request("GET", f"/v1/artifacts/{key}", *headers)


def head(key: str, *headers: str) -> Send:
    return request("HEAD", f"/v1/artifacts/{key}", *headers)


def put_chunked(key: str, *chunks: bytes, extra: bytes = b"", trailer: bytes = b"") -> Send:
    encoded = b"".join(b"%x%s\r\n%s\r\n" % (len(c), extra, c) for c in chunks)
    line = f"PUT /v1/artifacts/{key} HTTP/1.1\r\n".encode()
    return Send(
        line + HOST + b"Transfer-Encoding: chunked\r\n\r\n", encoded + b"0\r\n" + trailer + b"\r\n"
    )


def body_for(key: str, files: dict[str, bytes] | None = None) -> bytes:
    return artifact.build(key, FILES if files is None else files)


def raw(text: str, body: bytes = b"", **flags: bool) -> Send:
    return Send(text.replace("\n", "\r\n").encode("latin-1"), body, **flags)


# --- keys and routes ----------------------------------------------------------------------------


def key_cases() -> Iterator[Case]:
    for length in (32, 40, 63, 64, 65, 128, 129, 250, 251, 252):
        key = (key_of(str(length)) * 4)[:length]
        yield Case(f"key of {length}", [put(key, body_for(key)), head(key), get(key)], key)
    bad = {
        "31 characters": "a" * 31,
        "one letter": "a",
        "not hex": "g" * 64,
        "a dash": "a" * 63 + "-",
        "dots": "..",
        "dots, encoded": "%2e%2e" + "a" * 40,
        "a slash, encoded": "a" * 40 + "%2f" + "b" * 23,
        "NUL, encoded": "a" * 63 + "%00",
        "a space, encoded": "a" * 63 + "%20",
        "two-byte letter, encoded": "a" * 63 + "%c3%a9",
        "broken encoding": "a" * 63 + "%zz",
        "cut encoding": "a" * 63 + "%6",
        "not UTF-8, encoded": "a" * 63 + "%ff",
        "plus": "a" * 63 + "+",
    }
    for name, key in bad.items():
        steps = [get(key), head(key), put(key, b"short body")]
        yield Case(f"bad key: {name}", steps, "a" * 64)


def route_cases() -> Iterator[Case]:
    k = key_of("route")
    targets = {
        "root": "/",
        "collection": "/v1/artifacts",
        "collection with slash": "/v1/artifacts/",
        "slash after the key": f"/v1/artifacts/{k}/",
        "segment after the key": f"/v1/artifacts/{k}/more",
        "other version": f"/v2/artifacts/{k}",
        "upper case": f"/V1/Artifacts/{k}",
        "two slashes inside": f"/v1//artifacts/{k}",
        "dot segment": f"/v1/./artifacts/{k}",
    }
    for name, target in targets.items():
        steps = [request("GET", target), request("HEAD", target), request("PUT", target, body=b"x")]
        yield Case(f"route: {name}", steps, k)

    for target in ("/health", "/up", "/metrics"):
        steps = [request("GET", target), request("HEAD", target), request("PUT", target, body=b"x")]
        yield Case(f"operator: {target}", steps, k)

    for method in ("POST", "DELETE", "PATCH", "OPTIONS", "TRACE", "PROPFIND", "get"):
        name = f"method: {method}"
        k = key_of(name)
        steps = [put(k, body_for(k)), request(method, f"/v1/artifacts/{k}"), get(k)]
        yield Case(name, steps, k)
    yield Case("method: POST with a bad key", [request("POST", "/v1/artifacts/bad", body=b"x")], k)

    name = "targets that are the same object"
    k = key_of(name)
    path = f"/v1/artifacts/{k}"
    yield Case(
        name,
        [
            put(k, body_for(k)),
            request("GET", f"{path}?query=1&other"),
            request("GET", f"{path}?"),
            request("GET", f"/v1/artifacts/%{ord(k[0]):02x}{k[1:]}"),
            request("GET", f"/v1/artifacts/%{ord(k[0]):02X}{k[1:]}"),
            request("GET", f"http://cache.test{path}"),
            request("GET", f"http://other.test:81{path}?query"),
            request("HEAD", f"{path}?query"),
        ],
        k,
    )
    name = "put through odd targets"
    k, other = key_of(name), key_of(name + " 2")
    yield Case(
        name,
        [
            request("PUT", f"/v1/artifacts/%{ord(k[0]):02x}{k[1:]}?q", body=body_for(k)),
            request("PUT", f"http://cache.test/v1/artifacts/{other}", body=body_for(other)),
            get(k),
            get(other),
        ],
        k,
    )
    name = "leading slashes"
    k = key_of(name)
    steps = [put(k, body_for(k)), request("GET", f"//v1/artifacts/{k}")]
    yield Case(name, steps, k)

    name = "two cases are two keys"
    k = key_of(name)
    upper = k.upper()
    steps = [put(k, body_for(k)), get(upper), put(upper, body_for(upper)), get(upper), get(k)]
    yield Case(name, steps, upper)


# --- the life of an object ----------------------------------------------------------------------


def object_cases() -> Iterator[Case]:
    def case(name: str, steps: Callable[[str, bytes], list[Step]]) -> Case:
        key = key_of(name)
        return Case(name, steps(key, body_for(key)), key)

    yield case("miss", lambda k, _: [get(k), head(k)])
    yield case("hit", lambda k, b: [put(k, b), get(k), head(k)])
    yield case(
        "headers that change nothing",
        lambda k, b: [
            put(
                k,
                b,
                "Content-Type: text/html",
                "Authorization: Bearer x",
                "Content-Encoding: gzip",
                "X-Artifact-Hash: 00",
                "If-None-Match: *",
            ),
            get(k, "Authorization: Basic dTpw", "Accept: text/html", "Accept-Encoding: gzip, br"),
            head(k, "Accept: nothing/here"),
        ],
    )
    yield case("range", lambda k, b: [put(k, b), get(k, "Range: bytes=0-9")])
    yield case("range out of bounds", lambda k, b: [put(k, b), get(k, "Range: bytes=999999-")])
    yield case("range of another unit", lambda k, b: [put(k, b), get(k, "Range: lines=1-2")])
    yield case(
        "if-none-match",
        lambda k, b: [
            put(k, b),
            get(k, f'If-None-Match: "{hashlib.sha256(b).hexdigest()}"'),
            get(k, 'If-None-Match: "other"'),
            head(k, "If-None-Match: *"),
        ],
    )
    yield case(
        "second put, other bytes",
        lambda k, b: [put(k, b), put(k, body_for(k, {"stdout.txt": b"other\n"})), get(k)],
    )
    yield case("second put, same bytes", lambda k, b: [put(k, b), put(k, b), get(k)])
    yield case("second put, garbage", lambda k, b: [put(k, b), put(k, b"garbage"), get(k)])
    yield case("second put, too large", lambda k, b: [put(k, b), put(k, bytes(MAX_SIZE + 1)), get(k)])
    yield case(
        "put after a refusal", lambda k, b: [put(k, b"garbage"), get(k), put(k, b), get(k)]
    )
    yield case("largest size", lambda k, _: [put(k, body_of_size(k, MAX_SIZE)), head(k)])
    yield case("one byte too large", lambda k, _: [put(k, body_of_size(k, MAX_SIZE + 1)), head(k)])
    yield case(
        "one byte too large, chunked",
        lambda k, _: [put_chunked(k, *pieces(body_of_size(k, MAX_SIZE + 1), 9000)), head(k)],
    )

    def damage(name: str, action: Callable[[harness.CacheServer, str], None]) -> Case:
        full = f"damaged: {name}"
        key = key_of(full)
        body = body_for(key)
        change = Damage(lambda server: action(server, key))
        return Case(full, [put(key, body), change, get(key), head(key), put(key, body)], key)

    yield damage("flipped byte", lambda s, k: flip(s.blob_path(k)))
    yield damage("cut blob", lambda s, k: cut(s.blob_path(k)))
    yield damage("no sidecar", lambda s, k: s.sidecar_path(k).unlink())
    yield damage("torn sidecar", lambda s, k: cut(s.sidecar_path(k)))
    yield damage("no blob", lambda s, k: s.blob_path(k).unlink())
    yield damage("nothing left", lambda s, k: (s.blob_path(k).unlink(), s.sidecar_path(k).unlink()))


def flip(path: harness.Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


def cut(path: harness.Path) -> None:
    path.write_bytes(path.read_bytes()[:-9])


def body_of_size(key: str, size: int) -> bytes:
    """A correct artifact of exactly `size` bytes, filled up by a skippable frame."""
    body = body_for(key)
    return body + artifact.skippable_frame(bytes(size - len(body) - 8))


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[start : start + size] for start in range(0, len(data), size)]


# --- HTTP ---------------------------------------------------------------------------------------


def http_cases() -> Iterator[Case]:
    def case(name: str, steps: Callable[[str, bytes, str], list[Step]]) -> Case:
        key = key_of(name)
        return Case(name, steps(key, body_for(key), f"/v1/artifacts/{key}"), key)

    yield case("chunked", lambda k, b, _: [put_chunked(k, *pieces(b, 100)), get(k)])
    yield case(
        "chunked with extensions and a trailer",
        lambda k, b, _: [put_chunked(k, *pieces(b, 50), extra=b";x=1", trailer=b"X-T: 1\r\n"), get(k)],
    )
    yield case("chunked, empty", lambda k, b, _: [put_chunked(k), get(k)])
    yield case(
        "chunked, bad size line",
        lambda k, b, p: [
            raw(f"PUT {p} HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n", b"zz\r\nabc\r\n0\r\n\r\n"),
            head(k),
        ],
    )
    yield case("no length", lambda k, b, p: [raw(f"PUT {p} HTTP/1.1\nHost: h\n\n"), head(k)])
    yield case(
        "expect, accepted",
        lambda k, b, _: [put(k, b, "Expect: 100-continue", expect=True), get(k)],
    )
    yield case(
        "expect, bad key",
        lambda k, b, _: [put("bad", b, "Expect: 100-continue", expect=True)],
    )
    yield case(
        "expect, exists",
        lambda k, b, _: [put(k, b), put(k, b, "Expect: 100-continue", expect=True)],
    )
    yield case(
        "expect, too large",
        lambda k, _, __: [put(k, bytes(MAX_SIZE + 1), "Expect: 100-continue", expect=True)],
    )
    yield case(
        "expect, no route",
        lambda k, b, _: [
            request("PUT", "/nowhere", "Expect: 100-continue", body=b, expect=True),
        ],
    )
    yield case(
        "HTTP/1.0",
        lambda k, b, p: [
            request("PUT", p, body=b, version="1.0"),
            request("GET", p, version="1.0"),
            request("HEAD", p, version="1.0"),
            request("GET", p, "Connection: keep-alive", version="1.0"),
        ],
    )
    yield case("HTTP/1.0 without Host", lambda k, b, p: [raw(f"GET {p} HTTP/1.0\n\n")])
    yield case("no Host", lambda k, b, p: [raw(f"GET {p} HTTP/1.1\n\n")])
    yield case("two Hosts", lambda k, b, p: [raw(f"GET {p} HTTP/1.1\nHost: a\nHost: b\n\n")])
    yield case("connection: close", lambda k, b, p: [put(k, b), get(k, "Connection: close")])
    yield case(
        "bare line feeds", lambda k, b, p: [Send(f"GET {p} HTTP/1.1\nHost: h\n\n".encode())]
    )
    broken = {
        "request line": "nonsense\n\n",
        "version": "GET {p} HTTP/9.9\nHost: h\n\n",
        "header without colon": "GET {p} HTTP/1.1\nHost: h\nnonsense\n\n",
        "space in a header name": "GET {p} HTTP/1.1\nHost: h\nA B: c\n\n",
        "NUL in a header": "GET {p} HTTP/1.1\nHost: h\nA: b\0c\n\n",
        "length not a number": "PUT {p} HTTP/1.1\nHost: h\nContent-Length: ten\n\n",
        "negative length": "PUT {p} HTTP/1.1\nHost: h\nContent-Length: -1\n\n",
        "huge length": "PUT {p} HTTP/1.1\nHost: h\nContent-Length: 99999999999999999999\n\n",
        "conflicting lengths": "PUT {p} HTTP/1.1\nHost: h\nContent-Length: 1\nContent-Length: 2\n\n",
        "coding": "PUT {p} HTTP/1.1\nHost: h\nTransfer-Encoding: gzip\n\n",
        "head half sent": "GET {p} HTTP/1.1\nHost:",
    }
    for name, text in broken.items():
        yield case(
            f"broken: {name}",
            lambda k, b, p, text=text: [raw(text.replace("{p}", p), half_close=True), head(k)],
        )
    yield case(
        "broken: body half sent",
        lambda k, b, p: [
            raw(f"PUT {p} HTTP/1.1\nHost: h\nContent-Length: {len(b)}\n\n", b[:50], half_close=True),
            head(k),
        ],
    )
    yield case(
        "broken: chunk half sent",
        lambda k, b, p: [
            raw(
                f"PUT {p} HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
                b"%x\r\n%s" % (len(b), b[:50]),
                half_close=True,
            ),
            head(k),
        ],
    )
    yield case(
        "broken: last chunk missing",
        lambda k, b, p: [
            raw(
                f"PUT {p} HTTP/1.1\nHost: h\nTransfer-Encoding: chunked\n\n",
                b"%x\r\n%s\r\n" % (len(b), b),
                half_close=True,
            ),
            head(k),
        ],
    )
    yield case(
        "length and chunked",
        lambda k, b, p: [
            raw(
                f"PUT {p} HTTP/1.1\nHost: h\nContent-Length: 3\nTransfer-Encoding: chunked\n\n",
                b"%x\r\n%s\r\n0\r\n\r\n" % (len(b), b),
            ),
            head(k),
        ],
    )
    yield case(
        "two equal lengths",
        lambda k, b, p: [
            raw(f"PUT {p} HTTP/1.1\nHost: h\n" + f"Content-Length: {len(b)}\n" * 2 + "\n", b),
            head(k),
        ],
    )
    for count in (90, 101):
        yield case(
            f"{count} headers",
            lambda k, b, p, count=count: [get(k, *(f"X-{n}: y" for n in range(count - 1)))],
        )
    yield case("long header", lambda k, b, p: [get(k, "X-Long: " + "x" * 1_000_000)])
    yield case("long query", lambda k, b, p: [request("GET", f"{p}?{'q' * 4000}")])
    yield case("very long query", lambda k, b, p: [request("GET", f"{p}?{'q' * 70000}")])
    yield case(
        "HTTP/2 preface", lambda k, b, p: [raw("PRI * HTTP/2.0\n\nSM\n\n", half_close=True)]
    )
    yield case(
        "upgrade to h2c",
        lambda k, b, p: [
            get(k, "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c", "HTTP2-Settings: AAMAAABk")
        ],
    )
    yield case(
        "pipelined",
        lambda k, b, p: [
            Send(put(k, b).head + b + get(k).head + head(k).head, methods=("PUT", "GET", "HEAD"))
        ],
    )


def artifact_cases() -> Iterator[Case]:
    for name in all_bodies(key_of("names")):
        key = key_of(name)
        yield Case(f"artifact: {name}", [put(key, all_bodies(key)[name]), get(key)], key)


@functools.cache
def all_cases() -> tuple[Case, ...]:
    tables = (key_cases, route_cases, object_cases, http_cases, artifact_cases)
    return tuple(case for table in tables for case in table())
