"""Polykit artifacts and cache keys, made in Python, byte for byte as the published client makes them.

An artifact is one zstd frame around a tar of `metadata.json`, `manifest.json` and `outputs/<path>`
entries. Every part can be replaced, so the same functions make the hostile variations:

    body = artifact.build(key, {"stdout.txt": b"hello\n"})                  # what the client sends
    body = artifact.build(key, files, manifest=artifact.manifest(files, total_size=7))
    body = artifact.build(key, files, extra=[artifact.entry("outputs/../evil", b"x")])
    body = artifact.compress(artifact.tarball([...]), window_log=27, checksum=True)

zstd comes from libzstd.so.1 through ctypes, so that no Python package is needed.
"""

from __future__ import annotations

import ctypes
import ctypes.util
import functools
import hashlib
import json
import random
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

BLOCK = 512
CREATED_AT = 1_795_175_916  # any fixed time, so that equal inputs give equal bytes


# --- cache keys ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class CacheKey:
    """The inputs of a task; hash() is the key the client uses in the URL."""

    package_id: str = "test-package"
    task_name: str = "build"
    command: str = "echo test"
    env_vars: Mapping[str, str] = field(default_factory=dict)
    input_file: tuple[str, str] | None = None  # with two, the client's order is a hash map's
    dependency_graph_hash: str = "abc"
    toolchain_version: str = "node-v20"

    def hash(self) -> str:
        """64 lowercase hex: SHA-256 of the bincode 1.3 encoding of the fields in order."""
        encoded = b"".join(map(_bincode_text, (self.package_id, self.task_name, self.command)))
        encoded += _bincode_pairs(sorted(self.env_vars.items()))
        encoded += _bincode_pairs([self.input_file] if self.input_file else [])
        encoded += _bincode_text(self.dependency_graph_hash)
        encoded += _bincode_text(self.toolchain_version)
        return hashlib.sha256(encoded).hexdigest()


def _bincode_text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack("<Q", len(encoded)) + encoded


def _bincode_pairs(pairs: Sequence[tuple[str, str]]) -> bytes:
    return struct.pack("<Q", len(pairs)) + b"".join(
        _bincode_text(text) for pair in pairs for text in pair
    )


def key_for(seed: object) -> str:
    """A key of the usual shape (64 lowercase hex) that depends on nothing but `seed`."""
    return hashlib.sha256(f"key {seed}".encode()).hexdigest()


# --- JSON members -------------------------------------------------------------------------------


def to_json(value: object) -> bytes:
    """Compact, key order kept, non-ASCII left as UTF-8: serde_json's dialect."""
    return json.dumps(value, separators=(",", ":"), ensure_ascii=False).encode()


def metadata(
    key: str,
    *,
    package_name: str = "pkg",
    task_name: str = "build",
    command: str = "echo hello",
    created_at: object = CREATED_AT,
    version: object = 1,
) -> bytes:
    return to_json(
        {
            "package_name": package_name,
            "task_name": task_name,
            "command": command,
            "cache_key_hash": key,
            "created_at": created_at,
            "version": version,
        }
    )


def manifest(files: Mapping[str, Output], *, total_size: object = None) -> bytes:
    """`total_size` replaces the true sum when given."""
    digests = {name: _digest(files[name]) for name in sorted(files)}
    size = sum(_size(data) for data in files.values()) if total_size is None else total_size
    return to_json({"files": digests, "total_size": size})


# --- tar ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Pattern:
    """Incompressible content of any size that needs no memory: a seeded 8 MiB block, repeated.

    The period is longer than the client's zstd window (2 MiB), so compression does not see it.
    """

    size: int
    seed: int = 1

    def chunks(self) -> Iterator[bytes]:
        block = _pattern_block(self.seed)
        for start in range(0, self.size, len(block)):
            yield block[: min(len(block), self.size - start)]


@dataclass(frozen=True)
class Zeros:
    """Content that compresses to nothing: the filling of a decompression bomb."""

    size: int

    def chunks(self) -> Iterator[bytes]:
        block = bytes(1 << 20)
        for start in range(0, self.size, len(block)):
            yield block[: min(len(block), self.size - start)]


Output = bytes | Pattern | Zeros


@functools.lru_cache(maxsize=2)
def _pattern_block(seed: int) -> bytes:
    return random.Random(seed).randbytes(8 << 20)


def _chunks(data: Output) -> Iterator[bytes]:
    return iter((data,)) if isinstance(data, bytes) else data.chunks()


def _size(data: Output) -> int:
    return len(data) if isinstance(data, bytes) else data.size


def _digest(data: Output) -> str:
    digest = hashlib.sha256()
    for chunk in _chunks(data):
        digest.update(chunk)
    return digest.hexdigest()


def header(
    name: str | bytes,
    size: int,
    *,
    typeflag: bytes = b"\0",
    link: str = "",
    ustar: bool = False,
    size_field: bytes | None = None,
    checksum: int | None = None,
) -> bytes:
    """One 512-byte header: GNU magic with NUL mode, uid, gid and type, as the client writes it.

    `ustar` gives the header an ordinary `tar` writes instead. `size_field` and `checksum` put wrong
    values in place. A name over 100 bytes is cut: use long_name() or pax() before the entry.
    """
    raw_name = name.encode() if isinstance(name, str) else name
    block = bytearray(BLOCK)
    block[0 : min(len(raw_name), 100)] = raw_name[:100]
    if ustar:
        block[100:124] = b"0000644\0" + b"0001750\0" + b"0001750\0"
        typeflag = b"0" if typeflag == b"\0" else typeflag
    block[124:136] = size_field.ljust(12, b"\0") if size_field is not None else b"%011o\0" % size
    block[136:148] = b"00000000000\0"
    block[156:157] = typeflag
    block[157 : 157 + len(link.encode())] = link.encode()
    block[257:265] = b"ustar\x0000" if ustar else b"ustar  \0"
    block[148:156] = b" " * 8
    total = sum(block) if checksum is None else checksum
    block[148:156] = b"%07o\0" % total
    return bytes(block)


def padding(size: int) -> bytes:
    return bytes(-size % BLOCK)


def entry(name: str | bytes, data: bytes = b"", **header_options: object) -> bytes:
    """One tar entry: header, content, padding. Options are those of header()."""
    return header(name, len(data), **header_options) + data + padding(len(data))  # type: ignore[arg-type]


def long_name(name: str) -> bytes:
    """A GNU `L` record: the next entry's name, when it is over 100 bytes."""
    return entry("././@LongLink", name.encode() + b"\0", typeflag=b"L")


def pax(records: Mapping[str, str]) -> bytes:
    """A pax extended header for the next entry."""
    lines = b""
    for keyword, value in records.items():
        rest = f" {keyword}={value}\n".encode()
        length = len(rest) + 1
        while len(str(length)) + len(rest) != length:
            length = len(str(length)) + len(rest)
        lines += str(length).encode() + rest
    return entry("PaxHeaders.0/x", lines, typeflag=b"x", ustar=True)


END = bytes(2 * BLOCK)


def tarball(entries: Iterable[bytes], *, end: bytes = END) -> bytes:
    return b"".join(entries) + end


def output_entries(files: Mapping[str, bytes]) -> list[bytes]:
    return [entry(f"outputs/{name}", files[name]) for name in sorted(files)]


def build(
    key: str,
    files: Mapping[str, bytes],
    *,
    metadata_json: bytes | None = None,
    manifest_json: bytes | None = None,
    extra: Iterable[bytes] = (),
    end: bytes = END,
    **zstd_options: object,
) -> bytes:
    """A whole artifact: what the client would send, with the given parts replaced.

    `extra` is raw tar entries after the outputs. `zstd_options` are those of compress().
    """
    members = [
        entry("metadata.json", metadata(key) if metadata_json is None else metadata_json),
        entry("manifest.json", manifest(files) if manifest_json is None else manifest_json),
        *output_entries(files),
        *extra,
    ]
    return compress(tarball(members, end=end), **zstd_options)  # type: ignore[arg-type]


def write_file(
    path: Path, key: str, files: Mapping[str, Output], *, level: int = 3, **metadata_options: object
) -> int:
    """Writes an artifact of any size in constant memory; returns its compressed size."""

    def tar_chunks() -> Iterator[bytes]:
        yield entry("metadata.json", metadata(key, **metadata_options))  # type: ignore[arg-type]
        yield entry("manifest.json", manifest(files))
        for name in sorted(files):
            size = _size(files[name])
            yield header(f"outputs/{name}", size)
            yield from _chunks(files[name])
            yield padding(size)
        yield END

    with path.open("wb") as out:
        return sum(out.write(chunk) for chunk in compress_chunks(tar_chunks(), level=level))


# --- zstd ---------------------------------------------------------------------------------------

_LEVEL, _WINDOW_LOG, _CHECKSUM = 100, 101, 201
_CONTINUE, _FLUSH, _FINISH = 0, 1, 2


class _InBuffer(ctypes.Structure):
    _fields_ = (("src", ctypes.c_char_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


class _OutBuffer(ctypes.Structure):
    _fields_ = (("dst", ctypes.c_void_p), ("size", ctypes.c_size_t), ("pos", ctypes.c_size_t))


@functools.cache
def _libzstd() -> ctypes.CDLL:
    lib = ctypes.CDLL("libzstd.so.1")
    for name, result, arguments in (
        ("ZSTD_createCCtx", ctypes.c_void_p, ()),
        ("ZSTD_freeCCtx", ctypes.c_size_t, (ctypes.c_void_p,)),
        ("ZSTD_createDCtx", ctypes.c_void_p, ()),
        ("ZSTD_freeDCtx", ctypes.c_size_t, (ctypes.c_void_p,)),
        ("ZSTD_CCtx_setParameter", ctypes.c_size_t, (ctypes.c_void_p, ctypes.c_int, ctypes.c_int)),
        ("ZSTD_CCtx_setPledgedSrcSize", ctypes.c_size_t, (ctypes.c_void_p, ctypes.c_ulonglong)),
        (
            "ZSTD_compressStream2",
            ctypes.c_size_t,
            (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int),
        ),
        (
            "ZSTD_decompressStream",
            ctypes.c_size_t,
            (ctypes.c_void_p, ctypes.c_void_p, ctypes.c_void_p),
        ),
        ("ZSTD_isError", ctypes.c_uint, (ctypes.c_size_t,)),
        ("ZSTD_getErrorName", ctypes.c_char_p, (ctypes.c_size_t,)),
    ):
        function = getattr(lib, name)
        function.restype = result
        function.argtypes = arguments
    return lib


def _checked(code: int) -> int:
    if _libzstd().ZSTD_isError(code):
        raise ValueError(f"zstd: {_libzstd().ZSTD_getErrorName(code).decode()}")
    return code


def compress_chunks(
    chunks: Iterable[bytes],
    *,
    level: int = 3,
    window_log: int | None = None,
    checksum: bool = False,
    pledged_size: int | None = None,
) -> Iterator[bytes]:
    """One frame, streamed. Without `pledged_size` it carries no content size, as the client's."""
    lib = _libzstd()
    context = lib.ZSTD_createCCtx()
    try:
        _checked(lib.ZSTD_CCtx_setParameter(context, _LEVEL, level))
        if window_log is not None:
            _checked(lib.ZSTD_CCtx_setParameter(context, _WINDOW_LOG, window_log))
        _checked(lib.ZSTD_CCtx_setParameter(context, _CHECKSUM, int(checksum)))
        if pledged_size is not None:
            _checked(lib.ZSTD_CCtx_setPledgedSrcSize(context, pledged_size))
        room = ctypes.create_string_buffer(1 << 18)

        def drive(data: bytes, operation: int) -> Iterator[bytes]:
            source = _InBuffer(data, len(data), 0)
            while True:
                target = _OutBuffer(ctypes.addressof(room), len(room), 0)
                left = _checked(
                    lib.ZSTD_compressStream2(
                        context, ctypes.byref(target), ctypes.byref(source), operation
                    )
                )
                if target.pos:
                    yield ctypes.string_at(room, target.pos)
                if source.pos == source.size and (operation == _CONTINUE or left == 0):
                    return

        for chunk in chunks:
            yield from drive(chunk, _CONTINUE)
        yield from drive(b"", _FINISH)
    finally:
        lib.ZSTD_freeCCtx(context)


def compress(
    data: bytes,
    *,
    level: int = 3,
    window_log: int | None = None,
    checksum: bool = False,
    content_size: bool = False,
) -> bytes:
    """One frame. `content_size` writes the decoded size into its header."""
    return b"".join(
        compress_chunks(
            (data,),
            level=level,
            window_log=window_log,
            checksum=checksum,
            pledged_size=len(data) if content_size else None,
        )
    )


def decompress(data: bytes) -> bytes:
    """All frames of `data`. Raises ValueError for anything that is not complete zstd."""
    lib = _libzstd()
    context = lib.ZSTD_createDCtx()
    room = ctypes.create_string_buffer(1 << 18)
    source = _InBuffer(data, len(data), 0)
    pieces: list[bytes] = []
    left = 1
    try:
        while source.pos < source.size or left != 0:
            target = _OutBuffer(ctypes.addressof(room), len(room), 0)
            before = source.pos
            left = _checked(
                lib.ZSTD_decompressStream(context, ctypes.byref(target), ctypes.byref(source))
            )
            pieces.append(ctypes.string_at(room, target.pos))
            if left != 0 and source.pos == source.size == before and target.pos == 0:
                raise ValueError("zstd: incomplete frame")
    finally:
        lib.ZSTD_freeDCtx(context)
    return b"".join(pieces)


def skippable_frame(payload: bytes = b"skip me") -> bytes:
    return struct.pack("<II", 0x184D2A50, len(payload)) + payload


def bomb(key: str, decoded_size: int) -> bytes:
    """A small body that is a correct artifact of `decoded_size` zero bytes, or more."""
    files: dict[str, Output] = {"stdout.txt": Zeros(decoded_size)}

    def tar_chunks() -> Iterator[bytes]:
        yield entry("metadata.json", metadata(key))
        yield entry("manifest.json", manifest(files))
        yield header("outputs/stdout.txt", decoded_size)
        yield from files["stdout.txt"].chunks()  # type: ignore[union-attr]
        yield padding(decoded_size) + END

    return b"".join(compress_chunks(tar_chunks(), level=19, window_log=27))
