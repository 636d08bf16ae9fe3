"""Restarts on either side of nginx, under load."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import front_restarts
from nginx_front_case import NginxTest
from robustness_case import harness


class Restarts(front_restarts.Restarts, NginxTest):
    pass


if __name__ == "__main__":
    harness.main()
