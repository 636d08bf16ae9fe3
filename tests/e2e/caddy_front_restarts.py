"""Restarts on either side of Caddy, under load."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import front_restarts
from caddy_front_case import CaddyTest
from robustness_case import harness


class ReloadLoad(front_restarts.RetryingLoad):
    # Caddy 2.6 listens with SO_REUSEPORT anew, and what waits to be accepted at the old socket is
    # reset when that is closed.
    new_connections_break = True


class Restarts(front_restarts.Restarts, CaddyTest):
    reload_load = ReloadLoad


if __name__ == "__main__":
    harness.main()
