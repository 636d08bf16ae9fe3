"""Behind nginx, configured as packaging/nginx says, every request has the answer it has without.

Over TCP and over a Unix socket, with buffering on and off in both directions.
"""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

import front_claims
from front_case import Mode, replaced
from front_claims import ABSENT
from nginx_front_case import IN_ALL_WAYS, PACKAGED, NginxTest
from robustness_case import artifact, big_artifact, harness, put_head


class Answers(front_claims.Answers, NginxTest):
    modes = IN_ALL_WAYS


class Tls(front_claims.Tls, NginxTest):
    pass


class Connections(front_claims.Connections, NginxTest):
    modes = IN_ALL_WAYS


class BigBody(front_claims.BigBody, NginxTest):
    modes = IN_ALL_WAYS


class Huge(front_claims.Huge, NginxTest):
    pass


class Limits(NginxTest):
    def changed(self, packaged: str) -> str:
        return replaced(packaged, "polykit_cache_client 1000;", "polykit_cache_client 4;")

    def test_one_client_has_so_many_connections_and_others_have_theirs(self) -> None:
        front = self.start_front(Mode())
        keys = [artifact.key_for(number) for number in range(4)]
        body = big_artifact(keys[0], 100_000)
        for number, key in enumerate(keys, 1):
            connection = front.connect_from("127.0.0.7")
            self.addCleanup(connection.close)
            connection.send(put_head(key, len(body)), body[:1000])
            self.await_upload_began(front.server, number)

        refused = front.get_from("127.0.0.7", ABSENT, x_forwarded_for="127.0.0.8")
        served = front.get_from("127.0.0.8", ABSENT)

        assert refused is not None and served is not None
        self.assertEqual((refused.status, served.status), (503, 404))


class Expecting(front_claims.Expecting, NginxTest):
    interim_of_a_refusal = [100]  # nginx says it before it asks the server


class Readme(NginxTest):
    def test_its_lines_to_paste_are_those_of_the_packaged_file(self) -> None:
        self.assert_pasted("nginx", PACKAGED)


if __name__ == "__main__":
    harness.main()
