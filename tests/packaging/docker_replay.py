"""Every line of the Dockerfile, done in a bare Debian in place of an engine, and what comes out, used.

`./dev package --test` runs this; in `./dev test` it would cost a second build of everything. Environment:
PKC_REPLAY says that this is meant; PKC_DEBIAN_ROOT is a minimal Debian that is copied, not changed. Packages come from where the machine's own apt gets
them. A ccache of the machine is used where there is one, without a line of the Dockerfile knowing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests" / "support"))

import artifact  # noqa: E402
import dockerfile  # noqa: E402
import harness  # noqa: E402
import name_spaces  # noqa: E402

BUILT = "PKC_TEST_IMAGE"  # the folder of what the first half made
CCACHE = "/opt/replay-ccache"
ALONE = ("setpriv", "--no-new-privs", "--bounding-set=-all", "--inh-caps=-all", "--clear-groups")


def run(*command: str | Path) -> str:
    done = subprocess.run(  # noqa: S603
        [str(word) for word in command], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command}: {done.stdout}{done.stderr}")
    return done.stdout


# --- the first half: build ------------------------------------------------------------------------


class StageRoot:
    """The files of one stage. What the machine lends is taken away again by finish()."""

    def __init__(self, folder: Path, debian: Path) -> None:
        self.folder = folder
        run("cp", "--archive", "--reflink=auto", debian, folder)
        self.lent: list[Path] = []
        self.mounts: list[Path] = []
        for name in ("proc", "dev", "sys"):
            self._mount(f"/{name}", folder / name)
        self._lend_apt()
        self._lend_ccache()

    def _mount(self, there: str, here: Path) -> None:
        run("mount", "--rbind", there, here)
        self.mounts.append(here)
        run("mount", "--make-rslave", here)

    def finish(self) -> None:
        for mounted in self.mounts:
            run("umount", "--recursive", "--lazy", mounted)
        for path in reversed(self.lent):
            if path.is_dir():
                path.rmdir()  # whole trees are never removed where the machine's own were mounted
            else:
                path.unlink(missing_ok=True)

    def _lend(self, name: str, text: str) -> None:
        path = self.folder / name.lstrip("/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        self.lent.append(path)

    def _lend_apt(self) -> None:
        """An entry for each Debian archive of the machine, and how it is reached."""
        codename = re.search(r"(?m)^VERSION_CODENAME=(\w+)$", Path("/etc/os-release").read_text())
        assert codename is not None
        form = "$(ORIGIN) $(REPO_URI) $(CODENAME) $(COMPONENT)"
        lines = run("apt-get", "indextargets", "--format", form, "Created-By: Packages").splitlines()
        entries = [line.split() for line in lines if line.startswith("Debian ")]
        sources = [
            f"deb {uri} {suite} {component}\n"
            for _, uri, suite, component in entries
            if suite.split("-")[0] == codename[1]
        ]
        if not sources:
            harness.skip("the package lists name no mirror of this release; run apt-get update")
        self._lend("/etc/apt/sources.list.d/replay.list", "".join(sources))
        wanted = re.compile(r"Acquire::(http|https|Check-Valid-Until|Retries)\b")
        options = [o for o in run("apt-config", "dump").splitlines() if wanted.match(o)]
        self._lend("/etc/apt/apt.conf.d/99replay", "\n".join(options) + "\n")
        for name in ("/etc/resolv.conf", "/etc/hosts"):
            self._lend(name, Path(name).read_text())

    def _lend_ccache(self) -> None:
        self.environment: dict[str, str] = {}
        binary = shutil.which("ccache")
        if binary is None:
            return
        folder = self.folder / CCACHE.strip("/")
        (folder / "cache").mkdir(parents=True)
        self.lent += [folder, folder / "cache"]
        libraries = re.findall(r"=> (/\S+/lib(?:hiredis|zstd)\S*) ", run("ldd", binary))
        for file in (binary, *libraries):
            shutil.copy(file, folder)
            self.lent.append(folder / Path(file).name)
        (folder / "ccache").rename(folder / "ccache-program")
        script = folder / "ccache"
        self.lent.append(folder / "ccache-program")
        script.write_text(f'#!/bin/sh\nLD_LIBRARY_PATH={CCACHE} exec {CCACHE}/ccache-program "$@"\n')
        script.chmod(0o755)
        self._mount(run(binary, "-k", "cache_dir").strip(), folder / "cache")
        self.environment = {
            "CMAKE_CXX_COMPILER_LAUNCHER": f"{CCACHE}/ccache",
            "CCACHE_DIR": f"{CCACHE}/cache",
            "CCACHE_BASEDIR": "/",
            "CCACHE_NOHASHDIR": "1",
        }

    def run(self, step: dockerfile.Run) -> None:
        """As an engine does: proxies are passed on, and nothing else of the machine's environment."""
        proxies = {k: v for k, v in os.environ.items() if k.lower().endswith("_proxy")}
        environment = {**proxies, **self.environment, **step.environment, "HOME": "/root"}
        (self.folder / step.directory.lstrip("/")).mkdir(parents=True, exist_ok=True)
        print(f"==> line {step.line}: {step.command[-1][:120]}", flush=True)
        done = subprocess.run(  # noqa: S603
            ["chroot", f"--userspec={step.user}", str(self.folder), "/usr/bin/env", "-i"]
            + [f"--chdir={step.directory}"]
            + [f"{name}={value}" for name, value in environment.items()]
            + step.command,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"line {step.line} of the Dockerfile: exit status {done.returncode}")

    def copy(self, step: dockerfile.Copy, files: Mapping[str, Path]) -> None:
        """`files` are those of the context or of another stage, by name."""
        print(f"==> line {step.line}: copy {' '.join(step.sources)} to {step.target}", flush=True)
        target = self.folder / step.target.lstrip("/")
        for source in step.sources:
            name = source.strip("/").removeprefix("./")
            name = "" if name == "." else name
            below = {
                path.removeprefix(name).lstrip("/"): file
                for path, file in files.items()
                if not name or path == name or path.startswith(name + "/")
            }
            if not below:
                raise RuntimeError(f"line {step.line}: nothing to copy is called {source}")
            for inner, file in below.items():
                into = target / inner if inner else target
                if not inner and step.target.endswith("/"):
                    into = target / Path(name).name
                into.parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(file, into)
                os.chown(into, *map(int, step.owner.split(":")))


def files_below(folder: Path) -> dict[str, Path]:
    return {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}


def build(work: Path, debian: Path) -> None:
    """Leaves the last stage's files in work/image."""
    context = {name: ROOT / name for name in dockerfile.context_files(ROOT)}
    made: dict[str, StageRoot] = {}
    plan = dockerfile.stages(
        dockerfile.parse((ROOT / "Dockerfile").read_text()),
        {"JOBS": os.environ.get("PKC_JOBS", ""), "REVISION": "replayed"},
    )
    for stage in plan:
        root = StageRoot(work / ("image" if stage is plan[-1] else stage.name), debian)
        made[stage.name] = root
        try:
            for step in stage.steps:
                if isinstance(step, dockerfile.Run):
                    root.run(step)
                elif step.stage is None:
                    root.copy(step, context)
                else:
                    first = step.sources[0].strip("/").split("/")[0]  # not a whole Debian
                    other = made[step.stage].folder
                    found = {
                        f"{first}/{name}": path for name, path in files_below(other / first).items()
                    }
                    root.copy(step, found)
        finally:
            root.finish()
    for stage in plan[:-1]:
        shutil.rmtree(work / stage.name)


# --- the second half: run -------------------------------------------------------------------------


class Container(harness.CacheServer):
    """The image, started as an engine does: as its user, process 1, on a root file system that is read-only."""

    def __init__(
        self, image: Path, stage: dockerfile.Stage, log: Path, user: str, *arguments: str
    ) -> None:
        self.image, self.stage, self.user, self.original = image, stage, user, False
        self.storage = image / stage.volumes[0].lstrip("/")
        command = [*stage.entrypoint, *(arguments or stage.command)]
        harness.Process.__init__(
            self,
            ["unshare", "--pid", "--fork", f"--mount-proc={image}/proc"]
            + self.inside(*command),
            log,
            {"PATH": os.environ["PATH"]},
        )
        self.wait_until(self._find_port, "start", harness.START_DEADLINE)

    def inside(self, *command: str) -> list[str]:
        user, group = self.user.split(":")
        variables = [f"{name}={value}" for name, value in self.stage.environment.items()]
        identity = [f"--reuid={user}", f"--regid={group}"]
        place = f"--chdir={self.stage.directory}"
        return ["chroot", str(self.image), *ALONE, *identity, "env", "-i", place, *variables, *command]

    def process(self) -> int:
        """The server; ours is unshare."""
        children = Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split()
        return int(children[0]) if children else 0

    def _find_port(self) -> bool:
        self.port = harness.listening_port(self.process()) or 0
        return self.port != 0

    def health(self) -> subprocess.CompletedProcess[str]:
        return subprocess.run(  # noqa: S603
            self.inside(*dockerfile.health_command(self.stage)),
            capture_output=True,
            text=True,
            check=False,
            timeout=harness.IO_TIMEOUT,
        )

    def kill(self) -> int:
        # Else it outlives unshare, whose --kill-child would end with the change of the user.
        if self.running() and (server := self.process()):
            os.kill(server, signal.SIGKILL)
            self.popen.wait(harness.START_DEADLINE)
        return super().kill()

    def end(self) -> int:
        os.kill(self.process(), getattr(signal, self.stage.stop_signal))
        return self.wait()


class Image(harness.ServerTest):
    image: Path
    stage: dockerfile.Stage

    @classmethod
    def setUpClass(cls) -> None:
        instructions = dockerfile.parse((ROOT / "Dockerfile").read_text())
        cls.stage = dockerfile.stages(instructions)[-1]
        cls.image = Path(os.environ[BUILT]) / "image"
        run("mount", "--bind", cls.image, cls.image)
        run("mount", "-o", "remount,bind,ro", cls.image)
        run("mount", "--rbind", "/dev", cls.image / "dev")

    def setUp(self) -> None:
        super().setUp()
        self.new_volumes()

    def new_volumes(self) -> None:
        """Each begins with what the image has in its place, owner and mode included."""
        for number, name in enumerate(self.stage.volumes):
            place = self.image / name.lstrip("/")
            volume = self.directory / f"volume{number}"
            run("cp", "--archive", place, volume)
            run("mount", "--bind", volume, place)
            self.addCleanup(run, "umount", "--lazy", place)

    def start(self, *arguments: str, user: str | None = None) -> Container:
        log = self.directory / "container.log"
        container = Container(self.image, self.stage, log, user or self.stage.user, *arguments)
        self.addCleanup(container.kill)
        return container

    def use(self, container: Container) -> None:
        key = artifact.key_for("container")
        body = artifact.build(key, {"stdout.txt": b"hello"})
        well = container.health()
        self.assertEqual((well.returncode, well.stderr), (0, ""), well.stdout)
        self.assertRegex(well.stdout, r"\Ahealthy: http://127\.0\.0\.1:\d+/health answers 200\n\Z")
        self.assertEqual(container.put(key, body).status, 201)
        self.assertEqual(container.get(key).body, body)
        self.assertEqual(container.end(), 0)
        ill = container.health()
        self.assertEqual(ill.returncode, 1)
        self.assertRegex(ill.stdout, r"\Aunhealthy: ")

    def test_it_serves_as_its_user_where_only_the_volume_can_be_written(self) -> None:
        with self.assertRaises(OSError):
            (self.image / "tmp" / "file").write_text("the root is not read-only")
        container = self.start()
        status = Path(f"/proc/{container.process()}/status").read_text()

        self.assertRegex(status, r"(?m)^Uid:\t1000\t1000\t1000\t1000$")
        self.assertRegex(status, r"(?m)^CapPrm:\t0+$")
        self.assertRegex(status, r"(?m)^NSpid:\t\d+\t1$")
        self.assertEqual(f"{container.port}", self.stage.ports[0])
        self.use(container)

    def test_it_serves_as_somebody_else(self) -> None:
        self.use(self.start(user="12345:0"))

    def test_flags_take_the_place_of_the_command_and_keep_the_rest(self) -> None:
        self.use(self.start("--storage-dir", "/var/cache/polykit", "--bind", "0.0.0.0"))

    def test_a_volume_outlives_its_container(self) -> None:
        key = artifact.key_for("kept")
        body = artifact.build(key, {"stdout.txt": b"kept"})
        first = self.start()
        self.assertEqual(first.put(key, body).status, 201)
        self.assertEqual(first.end(), 0)

        self.assertEqual(self.start().get(key).body, body)

    def test_the_image_has_nothing_of_the_machine_or_of_the_build(self) -> None:
        for name in ("etc/apt/sources.list.d/replay.list", CCACHE, "src", "usr/bin/c++", "package"):
            self.assertFalse((self.image / name.lstrip("/")).exists(), name)
        self.assertEqual(list((self.image / "var/lib/apt/lists").glob("*_*")), [])
        licences = {p.name for p in (self.image / "usr/share/doc/polykit-cache").iterdir()}
        self.assertLessEqual({"polykit-cache", "cpp-httplib", "libssl-dev"}, licences)
        self.assertTrue((self.image / "etc/ssl/certs/ca-certificates.crt").is_file())


def main() -> None:
    if "PKC_REPLAY" not in os.environ:
        harness.skip("a second build of everything: ./dev package --test runs this")
    given = os.environ.get("PKC_DEBIAN_ROOT")
    if given is None:
        harness.skip("no bare Debian: PKC_DEBIAN_ROOT is not set")
    if reason := name_spaces.why_not(root=True):
        harness.skip(reason)
    if len(sys.argv) == 3 and sys.argv[1] == "--build":
        build(Path(sys.argv[2]), Path(given))
        return
    if BUILT not in os.environ:
        with tempfile.TemporaryDirectory(prefix="pkc-image-") as work:
            command = ["unshare", "--mount", "--", sys.executable, __file__, "--build", work]
            if subprocess.run(command, check=False).returncode != 0:  # noqa: S603
                sys.exit("the Dockerfile could not be replayed")
            again = [sys.executable, *sys.argv]
            env = {**os.environ, BUILT: work}
            sys.exit(subprocess.run(again, env=env, check=False).returncode)  # noqa: S603
    name_spaces.enter(root=True)
    harness.main()


if __name__ == "__main__":
    main()
