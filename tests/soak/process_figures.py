"""What a process holds at the moment: descriptors, sockets, threads.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import re
from pathlib import Path


class Figures:
    """What a process holds at the moment."""

    def __init__(self, pid: int) -> None:
        links = [self._link(path) for path in Path(f"/proc/{pid}/fd").iterdir()]
        self.descriptors = len(links)
        self.sockets = sum(link.startswith("socket:") for link in links)
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"^Threads:\s+(\d+)$", status, re.MULTILINE)
        self.threads = int(found[1]) if found else 0

    @staticmethod
    def _link(path: Path) -> str:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            return str(path.readlink())
        return ""

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.sockets} sockets, {self.threads} threads"
