"""docker-compose.yml and the nginx configuration it names, as far as they can be proved without an engine.

PKC_COMPOSE is a folder with docker-compose 1.29 (its JSON schema of the Compose specification), jsonschema and PyYAML,
which `./dev test` installs. What needs none of them runs in any case.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import unittest
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import artifact  # noqa: E402
import dockerfile  # noqa: E402
import harness  # noqa: E402

FILE = ROOT / "docker-compose.yml"
NGINX = ROOT / "packaging" / "nginx"
SOCKET = "/run/polykit-cache/http.sock"
CACHE_ENVIRONMENT = {
    "POLYKIT_CACHE_BIND": f"unix:{SOCKET}",
    "POLYKIT_CACHE_SOCKET_MODE": "0666",
    "POLYKIT_CACHE_TRUSTED_PROXIES": "unix",
}


class ComposeFile(unittest.TestCase):
    def setUp(self) -> None:
        folder = os.environ.get("PKC_COMPOSE")
        if not folder:
            self.skipTest("the schema is not installed (PKC_COMPOSE)")
        sys.path.insert(0, folder)
        self.addCleanup(sys.path.remove, folder)
        import yaml

        self.schema = json.loads((Path(folder) / "compose/config/compose_spec.json").read_text())
        self.text = FILE.read_text()
        self.file = yaml.safe_load(self.text)
        self.services = self.file["services"]
        self.cache = self.services["cache"]
        self.image = dockerfile.stages(dockerfile.parse((ROOT / "Dockerfile").read_text()))[-1]

    def test_it_keeps_to_the_specification(self) -> None:
        import jsonschema

        validator = jsonschema.Draft7Validator(self.schema)

        self.assertEqual([error.message for error in validator.iter_errors(self.file)], [])
        for wrong in (
            {"services": {"cache": {"imagee": "x"}}},
            {"services": {"cache": {"read_only": "maybe"}}},
            {"service": {}},
        ):
            self.assertFalse(validator.is_valid(wrong), wrong)

    def test_every_service_is_confined_and_comes_back(self) -> None:
        for name, service in self.services.items():
            with self.subTest(service=name):
                self.assertEqual(service["restart"], "unless-stopped")
                self.assertIs(service["read_only"], True)
                self.assertEqual(service["cap_drop"], ["ALL"])
                self.assertEqual(service["security_opt"], ["no-new-privileges:true"])
                self.assertGreaterEqual(service["ulimits"]["nofile"]["soft"], 65536)
                self.assertFalse({"privileged", "cap_add"} & set(service))

    def test_what_is_named_exists(self) -> None:
        named = [v for service in self.services.values() for v in service["volumes"]]
        volumes = {v.split(":")[0] for v in named if not v.startswith((".", "$"))}
        files = [v.split(":")[0] for v in named if v.startswith(".")]

        self.assertEqual(volumes, set(self.file["volumes"]))
        self.assertEqual([name for name in files if not (ROOT / name).is_file()], [])
        self.assertTrue((ROOT / self.cache["build"]["context"] / "Dockerfile").is_file())
        text = (ROOT / "Dockerfile").read_text()
        for argument in self.cache["build"]["args"]:
            self.assertRegex(text, rf"(?m)^ARG {argument}\b")

    def test_the_artifacts_are_on_a_volume_of_their_own(self) -> None:
        places = {v.split(":")[1]: v.split(":")[0] for v in self.cache["volumes"]}

        self.assertEqual(places[self.image.volumes[0]], "artifacts")
        self.assertEqual(places[str(Path(SOCKET).parent)], "socket")
        made = " ".join(s.command[-1] for s in self.image.steps if isinstance(s, dockerfile.Run))
        for place in places:  # a new volume begins with the owner and mode that the image has there
            self.assertRegex(made, rf"install --directory --owner=1000 .*{place}\b")

    def test_the_image_has_the_version_of_the_tree(self) -> None:
        version = self.image.labels["org.opencontainers.image.version"]

        self.assertEqual(self.cache["image"], f"polykit-cache:{version}")

    def test_the_server_takes_its_settings(self) -> None:
        self.assertEqual(self.cache["environment"], CACHE_ENVIRONMENT)
        done = subprocess.run(  # noqa: S603
            [os.environ["PKC_SERVER"], "config", "show"],
            env={**self.image.environment, **self.cache["environment"]},
            capture_output=True,
            text=True,
            check=False,
        )
        self.assertEqual(done.returncode, 0, done.stderr)
        grace = re.search(r"(?m)^shutdown-grace +(\d+)s", done.stdout)
        assert grace is not None

        for name, service in self.services.items():
            seconds = int(service["stop_grace_period"].removesuffix("s"))
            self.assertGreater(seconds, int(grace[1]), name)

    def test_nginx_waits_until_the_server_is_healthy(self) -> None:
        self.assertIsNotNone(self.image.health)
        for name in ("nginx", "nginx-tls"):
            service = self.services[name]
            self.assertEqual(service["depends_on"]["cache"], {"condition": "service_healthy"})
            self.assertTrue(service["healthcheck"]["test"][-1].endswith("/up"))

    def test_nginx_listens_where_the_ports_lead(self) -> None:
        for name, file in (("nginx", "plain.conf"), ("nginx-tls", "tls.conf")):
            inside = self.services[name]["ports"][0].rpartition(":")[2]
            self.assertIn(f"    listen {inside}", (NGINX / "compose" / file).read_text())
            self.assertIn(f":{inside}/", self.services[name]["healthcheck"]["test"][-1])

    def test_what_needs_more_is_in_a_profile(self) -> None:
        plain = {name for name, service in self.services.items() if "profiles" not in service}

        self.assertEqual(plain, {"cache", "nginx"})


def directives(*files: str) -> set[str]:
    """What ends with a semicolon, without comments."""
    text = "".join((NGINX / file).read_text() for file in files)
    return {" ".join(d.split()) for d in re.findall(r"(?m)^\s*([a-z][^;{}#]*;)", text)}


class ComposeNginx(harness.Process):
    """The configuration as a container has it, but for the places of its files and its port."""

    def __init__(self, directory: Path, server: str, port: int) -> None:
        binary = shutil.which("nginx", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
        if binary is None:
            raise unittest.SkipTest("nginx is not installed")
        self.port = port
        (directory / "servers").mkdir(exist_ok=True)
        text = (NGINX / "compose" / server).read_text()
        text = re.sub(r"listen \d+", f"listen 127.0.0.1:{port}", text)
        text = text.replace("/etc/polykit-cache/tls/", f"{directory}/")
        (directory / "servers" / server).write_text(text)
        text = (NGINX / "compose" / "nginx.conf").read_text()
        for there, here in (
            ("/tmp/", f"{directory}/"),  # noqa: S108 (first: the others may become names below it)
            (SOCKET, f"{directory}/http.sock"),
            ("/etc/nginx/servers/", f"{directory}/servers/"),
        ):
            if there not in text:
                raise AssertionError(f"nginx.conf does not name {there}")
            text = text.replace(there, here)
        if os.geteuid() == 0:
            text = "user root;\n" + text
        config = directory / "nginx.conf"
        config.write_text(text)
        command = [binary, "-p", str(directory), "-c", str(config), "-g", "daemon off;"]
        super().__init__(command, directory / "nginx.log", harness.clean_environment())


class Front(harness.ServerTest):
    def start_cache(self) -> harness.Process:
        socket = self.directory / "http.sock"
        environment = {**CACHE_ENVIRONMENT, "POLYKIT_CACHE_BIND": f"unix:{socket}"}
        cache = harness.Process(
            [os.environ["PKC_SERVER"], "--storage-dir", str(self.directory / "storage")],
            self.directory / "cache.log",
            harness.clean_environment(environment),
        )
        self.addCleanup(cache.kill)
        cache.wait_until(
            lambda: "listening" in cache.output_text(), "start", harness.START_DEADLINE
        )
        return cache

    def start_front(self, server: str) -> ComposeNginx:
        for _ in range(10):
            front = ComposeNginx(self.directory, server, harness.free_port())
            self.addCleanup(front.kill)
            try:
                front.wait_until(
                    lambda: harness.listening_port(front.pid) == front.port,
                    "nginx",
                    harness.START_DEADLINE,
                )
            except harness.ServerError:
                if "in use" not in front.output_text():
                    raise
            else:
                return front
        raise AssertionError("no free port")

    def use(self, connection: http.client.HTTPConnection) -> None:
        self.addCleanup(connection.close)
        key = artifact.key_for("compose")
        body = artifact.build(key, {"stdout.txt": os.urandom(3_000_000)})
        for method, target, sent, status in (
            ("GET", "/up", None, 200),
            ("GET", "/health", None, 200),
            ("PUT", f"/v1/artifacts/{key}", body, 201),
            ("GET", f"/v1/artifacts/{key}", None, 200),
            ("GET", "/metrics", None, 200),
        ):
            connection.request(method, target, sent)
            answer = connection.getresponse()
            content = answer.read()
            self.assertEqual(answer.status, status, (method, target, content[:200]))
            if target.startswith("/v1") and method == "GET":
                self.assertEqual(content, body)

    def check_end(self, cache: harness.Process, front: ComposeNginx) -> None:
        cache.terminate()
        self.assertEqual(cache.wait(), 0)
        self.assertRegex(cache.output_text(), "method=PUT .* client=127.0.0.1 ")
        front.terminate()
        self.assertEqual(front.wait(), 0)
        self.assertNotRegex(front.output_text(), r"\[(warn|error|alert|crit|emerg)\]")

    def test_put_and_get_through_nginx(self) -> None:
        cache, front = self.start_cache(), self.start_front("plain.conf")
        self.use(http.client.HTTPConnection("127.0.0.1", front.port, timeout=60))
        self.check_end(cache, front)

    def test_put_and_get_through_tls(self) -> None:
        openssl = shutil.which("openssl")
        if openssl is None:
            self.skipTest("openssl is not installed")
        subprocess.run(  # noqa: S603
            [openssl, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
            + ["-nodes", "-subj", "/CN=cache.example", "-addext", "subjectAltName=IP:127.0.0.1"]
            + ["-out", str(self.directory / "fullchain.pem")]
            + ["-keyout", str(self.directory / "privkey.pem")],
            check=True,
            capture_output=True,
        )
        cache, front = self.start_cache(), self.start_front("tls.conf")
        context = ssl.create_default_context(cafile=str(self.directory / "fullchain.pem"))
        self.use(http.client.HTTPSConnection("127.0.0.1", front.port, timeout=60, context=context))
        self.check_end(cache, front)

    def test_the_settings_are_those_of_the_packaged_file(self) -> None:
        places = ("listen ", "server_name ", "ssl_certificate", "allow ::1;")
        packaged = {d for d in directives("polykit-cache.conf") if not d.startswith(places)}

        self.assertGreater(len(packaged), 20)
        for server in ("plain.conf", "tls.conf"):
            missing = packaged - directives("compose/nginx.conf", f"compose/{server}")
            allowed = {d for d in missing if d.startswith("ssl_")} if server == "plain.conf" else set()
            self.assertEqual(missing - allowed, set(), server)


if __name__ == "__main__":
    harness.main()
