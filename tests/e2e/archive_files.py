"""Files of the spaces `cas` and `fetch`, laid into a storage directory as the server would have left them."""

from __future__ import annotations

import hashlib
import json
import struct
from pathlib import Path

STORED_AT = 1_700_000_000


def seekable(content: bytes) -> bytes:
    """Up to 255 bytes as one frame with one raw block, and the table of the seekable format."""
    assert 0 < len(content) < 256
    single_segment, last_raw_block = 0x20, 1
    frame = struct.pack("<IBB", 0xFD2FB528, single_segment, len(content))
    frame += struct.pack("<I", len(content) << 3 | last_raw_block)[:3] + content
    table = struct.pack("<II", len(frame), len(content)) + struct.pack("<IBI", 1, 0, 0x8F92EAB1)
    return frame + struct.pack("<II", 0x184D2A5E, len(table)) + table


def blob_of(storage: Path, space: str, key: str) -> Path:
    return storage / space / key[:2] / key[2:4] / f"{key}.zst"


def lay(storage: Path, space: str, key: str, content: bytes) -> str:
    blob = blob_of(storage, space, key)
    blob.parent.mkdir(parents=True, exist_ok=True)
    stored = seekable(content)
    blob.write_bytes(stored)
    facts = {
        "hash": hashlib.sha256(stored).hexdigest(),
        "size": len(stored),
        "created_at": 0,
        "cache_key_hash": key,
        "version": 1,
        "stored_at": STORED_AT,
        "encoding": "zstd-seekable",
        "content_hash": hashlib.sha256(content).hexdigest(),
        "content_size": len(content),
    }
    blob.with_suffix(".json").write_text(json.dumps(facts))
    return key


def lay_content(storage: Path, content: bytes) -> str:
    """Its key."""
    return lay(storage, "cas", hashlib.sha256(content).hexdigest(), content)


def lay_download(storage: Path, url: str, content: bytes) -> tuple[str, str]:
    """A record and the content of a URL; their keys. The URL is to be short, with its record."""
    content_key = lay_content(storage, content)
    record = {
        "version": 1,
        "source_url": url,
        "content_hash": content_key,
        "file_size": len(content),
        "first_cached_at": STORED_AT,
        "fetched_at": STORED_AT,
        "checked_at": STORED_AT,
    }
    text = json.dumps(record, separators=(",", ":")).encode()
    return lay(storage, "fetch", hashlib.sha256(url.encode()).hexdigest(), text), content_key
