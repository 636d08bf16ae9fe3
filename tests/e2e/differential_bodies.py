"""Bodies of uploads, correct, odd and hostile: what a server accepts or rejects as an artifact.

The names say what is special; differential.py has the verdicts.
"""

from __future__ import annotations

import hashlib
import json
import struct

import artifact

FILES = {"stdout.txt": b"built hello\n", "stderr.txt": b""}


def all_bodies(key: str) -> dict[str, bytes]:
    """Every body, by name, for a key."""
    return {
        **_zstd_bodies(key),
        **_tar_bodies(key),
        **_json_bodies(key),
        **_output_bodies(key),
    }


def _zstd_bodies(key: str) -> dict[str, bytes]:
    tar = artifact.decompress(artifact.build(key, FILES))
    body = artifact.build(key, FILES)
    half = len(tar) // 2
    return {
        "empty body": b"",
        "not zstd": b"not a valid artifact",
        "gzip": b"\x1f\x8b\x08\0\0\0\0\0\0\3",
        "magic only": body[:4],
        "header only": body[:6],
        "cut frame": body[:-4],
        "bytes after the frame": body + b"tail",
        "one byte after the frame": body + b"\0",
        "two frames": artifact.compress(tar[:half]) + artifact.compress(tar[half:]),
        "many frames": b"".join(map(artifact.compress, (tar[at : at + 256] for at in range(0, len(tar), 256)))),
        "an empty frame first": artifact.compress(b"") + body,
        "skippable frames around": artifact.skippable_frame() + body + artifact.skippable_frame(b""),
        "only a skippable frame": artifact.skippable_frame(),
        "cut skippable frame": body + artifact.skippable_frame()[:-2],
        "second frame cut": body + body[:-3],
        "checksum": artifact.compress(tar, checksum=True),
        "wrong checksum": _flip_last(artifact.compress(tar, checksum=True)),
        "content size in the header": artifact.compress(tar, content_size=True),
        "level 1": artifact.compress(tar, level=1),
        "level 9": artifact.compress(tar, level=9),
        "negative level": artifact.compress(tar, level=-5),
        "window log 10": artifact.compress(tar, window_log=10),
        "window log 27": _declare_window(body, 27),
        "window log 28": _declare_window(body, 28),
        "window log 31": _declare_window(body, 31),
        "needs a dictionary": body[:4] + b"\x01" + body[5:6] + b"\x07" + body[6:],
        "reserved bit": body[:4] + b"\x08" + body[5:],
        "a flipped byte": body[:60] + bytes([body[60] ^ 0x10]) + body[61:],
    }


def _declare_window(frame: bytes, log: int) -> bytes:
    """The frame with another window in its header; it needs no more than it did."""
    return frame[:5] + bytes([(log - 10) << 3]) + frame[6:]


def _flip_last(data: bytes) -> bytes:
    return data[:-1] + bytes([data[-1] ^ 1])


def _tar_bodies(key: str) -> dict[str, bytes]:
    entry, tarball, compress = artifact.entry, artifact.tarball, artifact.compress
    meta = entry("metadata.json", artifact.metadata(key))
    mani = entry("manifest.json", artifact.manifest(FILES))
    outputs = artifact.output_entries(FILES)
    whole = [meta, mani, *outputs]
    text = FILES["stdout.txt"]
    long = "outputs/" + "long/" * 30 + "name.txt"
    long_manifest = entry("manifest.json", artifact.manifest({long[8:]: b"x"}))
    name100 = "outputs/" + "n" * 92
    one = entry("manifest.json", artifact.manifest({"stdout.txt": text}))

    def packed(*entries: bytes, end: bytes = artifact.END) -> bytes:
        return compress(tarball(entries, end=end))

    def header(size: int, **options: object) -> bytes:
        return artifact.header("outputs/stdout.txt", size, **options)  # type: ignore[arg-type]

    padded = text + artifact.padding(len(text))
    sparse = bytearray(header(len(text), typeflag=b"S"))
    sparse[386:410] = b"%011o\0%011o\0" % (0, len(text))
    sparse[483:495] = b"%011o\0" % len(text)
    _rechecksum(sparse)
    return {
        "empty tar": packed(),
        "nothing at all": compress(b""),
        "no metadata": packed(mani, *outputs),
        "no manifest": packed(meta, *outputs),
        "manifest before metadata": packed(mani, meta, *outputs),
        "outputs first": packed(*outputs, meta, mani),
        "metadata twice": packed(meta, meta, mani, *outputs),
        "manifest twice": packed(meta, mani, mani, *outputs),
        "metadata with a dot": packed(entry("./metadata.json", artifact.metadata(key)), mani, *outputs),
        "no end blocks": packed(*whole, end=b""),
        "one end block": packed(*whole, end=bytes(512)),
        "garbage after the end": packed(*whole, end=artifact.END + b"garbage" * 100),
        "end blocks for ever": packed(*whole, end=bytes(512 * 100)),
        "cut inside a header": compress(tarball(whole, end=b"") + mani[:100]),
        "cut inside a file": compress(tarball([meta, mani], end=b"") + header(1000) + b"half"),
        "cut inside the padding": compress(tarball([meta, one], end=b"") + header(len(text)) + text),
        "wrong checksum in a header": packed(meta, mani, header(0, checksum=1)),
        "size not octal": packed(meta, mani, header(0, size_field=b"zzzz")),
        "size as base 256": packed(
            meta, one, header(0, size_field=b"\x80" + len(text).to_bytes(11, "big")) + padded
        ),
        "size with spaces": packed(meta, one, header(0, size_field=b"%11o " % len(text)) + padded),
        "size negative": packed(meta, mani, header(0, size_field=b"\xff" * 12)),
        "size beyond the end": packed(meta, mani, header(1 << 30)),
        "ordinary ustar headers": packed(
            entry("metadata.json", artifact.metadata(key), ustar=True),
            entry("manifest.json", artifact.manifest(FILES), ustar=True),
            *(entry(f"outputs/{name}", data, ustar=True) for name, data in sorted(FILES.items())),
        ),
        "old header without magic": packed(meta, one, _changed(header(len(text)), 257, bytes(8)) + padded),
        "ustar prefix": packed(
            meta,
            entry("manifest.json", artifact.manifest({"a/b": text})),
            _changed(artifact.header("b", len(text), ustar=True), 345, b"outputs/a") + padded,
        ),
        "name of 100 bytes": packed(
            meta, entry("manifest.json", artifact.manifest({name100[8:]: b"x"})), entry(name100, b"x")
        ),
        "GNU long name": packed(meta, long_manifest, artifact.long_name(long), entry("cut", b"x")),
        "GNU long name, last": packed(*whole, artifact.long_name(long)),
        "GNU long link": packed(
            *whole, entry("././@LongLink", b"target\0", typeflag=b"K"), entry("other", b"x")
        ),
        "pax path": packed(
            meta, long_manifest, artifact.pax({"path": long}), entry("cut", b"x", ustar=True)
        ),
        "pax size": packed(meta, one, artifact.pax({"size": str(len(text))}), header(0, ustar=True), padded),
        "pax mtime": packed(meta, one, artifact.pax({"mtime": "1.5"}), header(len(text)), padded),
        "pax global": packed(entry("g", b"19 comment=whatever\n", typeflag=b"g", ustar=True), *whole),
        "pax malformed": packed(meta, one, entry("x", b"nonsense", typeflag=b"x"), header(len(text)), padded),
        "GNU sparse file": packed(meta, one, bytes(sparse), padded),
    }


def _rechecksum(header: bytearray) -> None:
    header[148:156] = b" " * 8
    header[148:156] = b"%07o\0" % sum(header)


def _changed(header: bytes, offset: int, field: bytes) -> bytes:
    block = bytearray(header)
    block[offset : offset + len(field)] = field
    _rechecksum(block)
    return bytes(block)


def _json_bodies(key: str) -> dict[str, bytes]:
    def meta(**changes: object) -> bytes:
        members = {**json.loads(artifact.metadata(key)), **changes}
        members = {name: value for name, value in members.items() if value is not ...}
        return artifact.build(key, FILES, metadata_json=artifact.to_json(members))

    def meta_text(old: bytes, new: bytes) -> bytes:
        text = artifact.metadata(key)
        assert old in text
        return artifact.build(key, FILES, metadata_json=text.replace(old, new))

    def mani(**changes: object) -> bytes:
        members = {**json.loads(artifact.manifest(FILES)), **changes}
        members = {name: value for name, value in members.items() if value is not ...}
        return artifact.build(key, FILES, manifest_json=artifact.to_json(members))

    values = list(json.loads(artifact.metadata(key)).values())
    text = artifact.metadata(key)
    return {
        "metadata: key of another": meta(cache_key_hash="f" * 64),
        "metadata: key in upper case": meta(cache_key_hash=key.upper()),
        "metadata: key empty": meta(cache_key_hash=""),
        "metadata: no key": meta(cache_key_hash=...),
        "metadata: no command": meta(command=...),
        "metadata: no version": meta(version=...),
        "metadata: no created_at": meta(created_at=...),
        "metadata: version 99": meta(version=99),
        "metadata: version as text": meta(version="1"),
        "metadata: version too large": meta(version=2**32),
        "metadata: created_at 0": meta(created_at=0),
        "metadata: created_at negative": meta(created_at=-1),
        "metadata: created_at fraction": meta(created_at=1.5),
        "metadata: created_at largest": meta(created_at=2**64 - 1),
        "metadata: created_at too large": meta(created_at=2**64),
        "metadata: created_at null": meta(created_at=None),
        "metadata: command a number": meta(command=7),
        "metadata: unknown members": meta(more={"deep": [1, 2, {"x": None}]}),
        "metadata: not ASCII": meta(command="größe \U0001f600"),
        "metadata: escapes": meta_text(b"echo hello", b"echo\\u0041\\n\\ud83d\\ude00"),
        "metadata: lone surrogate": meta_text(b"echo hello", b"\\ud83d"),
        "metadata: not UTF-8": meta_text(b"echo hello", b"\xff\xfe"),
        "metadata: raw control byte": meta_text(b"echo hello", b"a\x01b"),
        "metadata: member twice": meta_text(b'"version":1', b'"version":1,"version":1'),
        "metadata: white space": artifact.build(key, FILES, metadata_json=b" \n\t" + text + b"\r\n "),
        "metadata: text after": artifact.build(key, FILES, metadata_json=text + b"x"),
        "metadata: comment": artifact.build(key, FILES, metadata_json=b"/* x */" + text),
        "metadata: cut": artifact.build(key, FILES, metadata_json=text[:-1]),
        "metadata: empty": artifact.build(key, FILES, metadata_json=b""),
        "metadata: byte order mark": artifact.build(key, FILES, metadata_json=b"\xef\xbb\xbf" + text),
        "metadata: array of the values": artifact.build(
            key, FILES, metadata_json=artifact.to_json(values)
        ),
        "metadata: deep nesting": meta_text(
            b'"version":1', b'"x":' + b"[" * 300 + b"]" * 300 + b',"version":1'
        ),
        "manifest: no files": mani(files=...),
        "manifest: no total_size": mani(total_size=...),
        "manifest: files is an array": mani(files=[]),
        "manifest: digest is a number": mani(files={"stdout.txt": 1}),
        "manifest: total_size negative": mani(total_size=-1),
        "manifest: total_size too small": mani(total_size=1),
        "manifest: total_size too large": mani(total_size=999_999),
        "manifest: unknown members": mani(more=1),
        "manifest: empty object": artifact.build(key, FILES, manifest_json=b"{}"),
    }


def _output_bodies(key: str) -> dict[str, bytes]:
    entry, build, manifest = artifact.entry, artifact.build, artifact.manifest
    text = FILES["stdout.txt"]

    def with_files(files: dict[str, bytes], *extra: bytes) -> bytes:
        """A manifest of `files`, and only `extra` in the tar."""
        return build(key, {}, manifest_json=manifest(files), extra=extra)

    def with_special(name: str, typeflag: bytes, link: str = "") -> bytes:
        """An entry of another type, listed in the manifest as an empty file."""
        special = entry(f"outputs/{name}", typeflag=typeflag, link=link)
        return build(key, FILES, manifest_json=manifest({**FILES, name: b""}), extra=[special])

    digests = {name: hashlib.sha256(data).hexdigest() for name, data in FILES.items()}
    upper = artifact.to_json({"files": {n: d.upper() for n, d in digests.items()}, "total_size": len(text)})
    short = artifact.to_json({"files": {n: d[:10] for n, d in digests.items()}, "total_size": len(text)})
    return {
        "outputs: one file": build(key, {"stdout.txt": text}),
        "outputs: silent task": build(key, {"stdout.txt": b"", "stderr.txt": b""}),
        "outputs: none": build(key, {}),
        "outputs: deep path": build(key, {"a/b/c/d.txt": text}),
        "outputs: odd names": build(key, {"größe und mehr.txt": text, "-": text, "a=b&c;$(d)": text}),
        "outputs: three dots": build(key, {"...": text}),
        "outputs: backslash": build(key, {"a\\b": text}),
        "outputs: backslash and dot-dot": build(key, {"..\\evil": text}),
        "outputs: drive letter": build(key, {"c:evil": text}),
        "outputs: device name of Windows": build(key, {"nul.txt": text}),
        "outputs: dot at the end": build(key, {"file.": text}),
        "outputs: control byte in a name": build(key, {"a\nb": text}),
        "outputs: not in the manifest": build(key, FILES, extra=[entry("outputs/more", b"x")]),
        "outputs: wrong content": build(key, FILES, manifest_json=manifest({**FILES, "stdout.txt": b"x"})),
        "outputs: upper-case digests": build(key, FILES, manifest_json=upper),
        "outputs: short digests": build(key, FILES, manifest_json=short),
        "outputs: file missing": build(key, FILES, manifest_json=manifest({**FILES, "gone": b"x"})),
        "outputs: empty file missing": build(key, FILES, manifest_json=manifest({**FILES, "gone": b""})),
        "outputs: file twice": build(key, FILES, extra=[entry("outputs/stdout.txt", text)]),
        "outputs: twice, by another path": build(
            key, FILES, extra=[entry("outputs/./stdout.txt", text)]
        ),
        "outputs: dot-dot": with_files({"../../evil": text}, entry("outputs/../../evil", text)),
        "outputs: dot-dot inside": with_files({"a/../b": text}, entry("outputs/a/../b", text)),
        "outputs: absolute": with_files({"/etc/evil": text}, entry("outputs//etc/evil", text)),
        "outputs: absolute, listed without the slash": with_files(
            {"etc/evil": text}, entry("outputs//etc/evil", text)
        ),
        "outputs: doubled slash": with_files({"a/b": text}, entry("outputs/a//b", text)),
        "outputs: dot segment": with_files({"a/b": text}, entry("outputs/a/./b", text)),
        "outputs: slash first": with_files({"a": text}, entry("/outputs/a", text)),
        "outputs: dot first": build(key, FILES, extra=[entry("./outputs/x", b"x")]),
        "outputs: symbolic link": with_special("link", b"2", "/etc"),
        "outputs: hard link": with_special("link", b"1", "outputs/stdout.txt"),
        "outputs: device": with_special("link", b"3"),
        "outputs: fifo": with_special("link", b"6"),
        "outputs: contiguous file": with_special("link", b"7"),
        "outputs: unknown type": with_special("link", b"Z"),
        "outputs: directory": build(key, FILES, extra=[entry("outputs/dir/", typeflag=b"5")]),
        "outputs: directory of outputs": build(key, FILES, extra=[entry("outputs/", typeflag=b"5")]),
        "outputs: directory in the manifest": with_special("dir", b"5"),
        "outputs: directory in the manifest, with a slash": with_special("dir/", b"5"),
        "outputs: no name": with_special("", b"0"),
        "outputs: name not UTF-8": build(key, FILES, extra=[entry(b"outputs/\xff", b"x")]),
        "outputs: file and folder of one name": build(key, {"a": text, "a/b": text}),
        "others: a file elsewhere": build(key, FILES, extra=[entry("other.bin", b"x")]),
        "others: a similar folder": build(key, FILES, extra=[entry("outputs2/x", b"x")]),
        "others: a link elsewhere": build(key, FILES, extra=[entry("l", typeflag=b"2", link="/etc")]),
        "others: dot-dot elsewhere": build(key, FILES, extra=[entry("../evil", b"x")]),
        "others: empty name": build(key, FILES, extra=[entry("", b"x")]),
        "others: tar in tar": build(key, FILES, extra=[entry("inner.tar", struct.pack("<Q", 1) * 200)]),
    }
