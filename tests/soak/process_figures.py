"""What a process holds at the moment: descriptors, sockets, threads.

Not a test itself.
"""

from __future__ import annotations

import contextlib
import itertools
import re
from pathlib import Path


class Figures:
    """What a process holds at the moment."""

    def __init__(self, pid: int) -> None:
        links = {int(path.name): self._link(path) for path in Path(f"/proc/{pid}/fd").iterdir()}
        self.numbers = links.keys()
        # Without the artifacts that are kept open between reads: those are meant to stay.
        self.descriptors = sum(not link.endswith(".zst") for link in links.values())
        self.sockets = sum(link.startswith("socket:") for link in links.values())
        status = Path(f"/proc/{pid}/status").read_text()
        found = re.search(r"^Threads:\s+(\d+)$", status, re.MULTILINE)
        self.threads = int(found[1]) if found else 0

    def limit_with_one_free(self) -> int:
        """A limit of open files under which one more can be had, wherever numbers are unused."""
        unused = (number for number in itertools.count() if number not in self.numbers)
        next(unused)
        return next(unused)

    @staticmethod
    def _link(path: Path) -> str:
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            return str(path.readlink())
        return ""

    def __str__(self) -> str:
        return f"{self.descriptors} descriptors, {self.sockets} sockets, {self.threads} threads"
