"""A name server that says what a test tells it, and something else the next time it is asked.

    names = NameServer()                     # in name spaces of its own, where port 53 is free
    names.program("a.test", ["11.0.0.1"], ["127.0.0.1", "::1"])
    … the first lookup of a.test finds 11.0.0.1, all later ones find 127.0.0.1 and ::1 …
    names.lookups("a.test")
    names.close()

A lookup is a question for IPv4 addresses and one for IPv6 addresses, in any order; nothing may be
remembered (TTL 0). Beside it stands what brings a machine to ask this server, and to have addresses
that belong to others. Not a test itself.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import socket
import struct
import subprocess
import threading
from collections.abc import Sequence
from pathlib import Path

ADDRESS = ("127.0.0.1", 53)
KINDS = {1: 4, 28: 6}  # A and AAAA, by the version of IP that they are about
ALIAS = 5  # CNAME
NO_SUCH_NAME = 3


class NameServer:
    """Answers over UDP, with a thread. Thread-safe."""

    def __init__(self, address: tuple[str, int] = ADDRESS) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind(address)
        self._lock = threading.Lock()
        self._programs: dict[str, list[Sequence[str]]] = {}
        self._aliases: dict[str, str] = {}
        self._asked: dict[tuple[str, int], int] = {}
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    # The test's side.

    def program(self, name: str, *answers: Sequence[str]) -> None:
        """The n-th lookup finds the n-th addresses, later ones the last; it begins anew with each
        call. A name without a program does not exist."""
        with self._lock:
            self._programs[name] = list(answers)
            self._asked = {key: n for key, n in self._asked.items() if key[0] != name}

    def alias(self, name: str, target: str) -> None:
        """`name` is another one for `target`, whose addresses come with the answer."""
        with self._lock:
            self._aliases[name] = target

    def lookups(self, name: str) -> int:
        """How many there were; AssertionError when only half of one was."""
        with self._lock:
            v4, v6 = (self._asked.get((name, kind), 0) for kind in KINDS)
        if v4 != v6:
            raise AssertionError(f"{name}: asked {v4} times for IPv4 and {v6} times for IPv6")
        return v4

    def close(self) -> None:
        with contextlib.suppress(OSError):  # not connected, and yet it wakes recvfrom()
            self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    # The side of the network.

    def _serve(self) -> None:
        while True:
            question, peer = self._socket.recvfrom(4096)
            if not question:
                return
            self._socket.sendto(self._answer(question), peer)

    def _answer(self, question: bytes) -> bytes:
        name, end = read_name(question)
        (kind,) = struct.unpack_from("!H", question, end)
        with self._lock:
            target = self._aliases.get(name, name)
            program = self._programs.get(target)
            asked = self._asked.get((target, kind), 0)
            self._asked[target, kind] = asked + 1
        found = program[min(asked, len(program) - 1)] if program else []
        addresses = [a for a in map(ipaddress.ip_address, found) if a.version == KINDS.get(kind)]
        records = []
        if target != name:
            records.append(record(name, ALIAS, encode_name(target)))
        records += [record(target, kind, address.packed) for address in addresses]
        code = NO_SUCH_NAME if program is None else 0
        # An answer, with authority, and recursion as it was wished for.
        head = struct.pack("!HHHHH", 0x8580 | code, 1, len(records), 0, 0)
        return question[:2] + head + question[12 : end + 4] + b"".join(records)


def read_name(question: bytes) -> tuple[str, int]:
    """The name of a question, and where it ends."""
    labels, at = [], 12
    while size := question[at]:
        labels.append(question[at + 1 : at + 1 + size].decode("ascii").lower())
        at += 1 + size
    return ".".join(labels), at + 1


def encode_name(name: str) -> bytes:
    return b"".join(bytes([len(label)]) + label.encode() for label in name.split(".")) + b"\0"


def record(name: str, kind: int, data: bytes) -> bytes:
    internet, lifetime = 1, 0
    return encode_name(name) + struct.pack("!HHIH", kind, internet, lifetime, len(data)) + data


# --- the machine --------------------------------------------------------------------------------
# All of it wants a network and mounts that nobody else sees.


def ask_only(directory: Path, server: str = ADDRESS[0]) -> str | None:
    """From now on names are resolved by `server` alone, whatever this machine does otherwise.
    Returns why that cannot be, or nothing."""
    files = {
        # One attempt, and patience with a loaded machine: a question that is asked again counts.
        "/etc/resolv.conf": f"nameserver {server}\noptions timeout:30 attempts:1\n",
        "/etc/nsswitch.conf": "hosts: dns\n",
    }
    for place, text in files.items():
        source = directory / Path(place).name
        source.write_text(text)
        source.chmod(0o644)
        command = ["mount", "--bind", str(source), place]
        done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
        if done.returncode != 0:
            return f"{place} cannot be replaced: {done.stderr.strip()}"
    cache = Path("/run/nscd/socket")
    return f"{cache} answers in place of the name server" if cache.exists() else None


def have_address(address: str, number: int) -> None:
    """Gives the loopback an IPv4 address of somebody else's. `number`: of each its own."""
    set_address = 0x8916  # SIOCSIFADDR
    name, packed = f"lo:{number}".encode(), socket.inet_aton(address)
    request = struct.pack("16sHH4s8s", name, socket.AF_INET, 0, packed, bytes(8))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as any_socket:
        fcntl.ioctl(any_socket, set_address, request)
