"""Behind Caddy, configured as packaging/caddy says, every request has the answer it has without.

Over TCP and over a Unix socket.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import front_claims
from caddy_front_case import PACKAGED, CaddyTest, validated
from robustness_case import MIB, harness


class Answers(front_claims.Answers, CaddyTest):
    pass


class Tls(front_claims.Tls, CaddyTest):
    # Go's server closes without waiting for the client to hear it.
    late_refusal_lost = ("1.1", "Expect: 100-continue")


class Connections(front_claims.Connections, CaddyTest):
    pass


class BigBody(front_claims.BigBody, CaddyTest):
    pass


class Huge(front_claims.Huge, CaddyTest):
    up, down = "1.1", "2"
    memory_max = 128 * MIB  # Go collects garbage when there is as much again


class Expecting(front_claims.Expecting, CaddyTest):
    """Caddy asks the server first."""


class Packaged(CaddyTest):
    def test_caddy_takes_the_file_as_it_is(self) -> None:
        done = validated(PACKAGED, self.directory)

        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertIn("Valid configuration", done.stdout)
        self.assertIn("enabling automatic HTTP->HTTPS redirects", done.stderr)

    def test_lines_to_paste_in_readme_are_those_of_the_packaged_file(self) -> None:
        self.assert_pasted("caddyfile", PACKAGED)


if __name__ == "__main__":
    harness.main()
