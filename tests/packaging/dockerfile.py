"""Reads a Dockerfile and a .dockerignore as an engine does, as far as ours go; anything else is an error.

Not a test itself.
"""

from __future__ import annotations

import json
import os
import re
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

KNOWN = frozenset(
    "ARG CMD COPY ENTRYPOINT ENV EXPOSE FROM HEALTHCHECK LABEL RUN STOPSIGNAL USER VOLUME WORKDIR".split()
)
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class DockerfileError(ValueError):
    """It is no Dockerfile, or one that says more than this reader knows."""


@dataclass(frozen=True)
class Instruction:
    line: int
    name: str
    flags: Mapping[str, str]
    value: str

    def listed(self) -> list[str] | None:
        """The words of the form that needs no shell, ["program", "argument"]; nothing for the other."""
        if not self.value.startswith("["):
            return None
        words = json.loads(self.value)
        if not words or not all(isinstance(word, str) for word in words):
            raise DockerfileError(f"line {self.line}: {self.value} is no list of words")
        return words


def parse(text: str) -> list[Instruction]:
    return [_instruction(line, joined) for line, joined in _joined_lines(text)]


def _joined_lines(text: str) -> Iterator[tuple[int, str]]:
    """Comments are dropped first, also between a line and its continuation."""
    begun, first = "", 0
    for number, line in enumerate(text.splitlines(), 1):
        if line.lstrip().startswith("#") or not line.strip():
            continue
        first = first or number
        if line.rstrip().endswith("\\"):
            begun += line.rstrip()[:-1]
            continue
        yield first, (begun + line).strip()
        begun, first = "", 0
    if begun:
        raise DockerfileError(f"line {first}: ends with a continuation")


def _instruction(line: int, text: str) -> Instruction:
    name, _, rest = text.partition(" ")
    name, rest = name.upper(), rest.strip()
    if name not in KNOWN or not rest:
        raise DockerfileError(f"line {line}: {text}")
    flags: dict[str, str] = {}
    while found := re.match(r"--([a-z-]+)=(\S+)\s+", rest):
        flags[found[1]] = found[2]
        rest = rest[found.end() :]
    if "<<" in rest:
        raise DockerfileError(f"line {line}: here-documents are not read")
    return Instruction(line, name, flags, rest)


def expand(text: str, variables: Mapping[str, str]) -> str:
    """Replaces $name, ${name}, ${name:-otherwise} and ${name:+instead}."""

    def value(found: re.Match[str]) -> str:
        here = variables.get(found["plain"] or found["name"], "")
        if found["how"] == ":-":
            return here or found["word"]
        if found["how"] == ":+":
            return found["word"] if here else ""
        return here

    pattern = r"\$(?:(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:[-+])(?P<word>[^}]*))?\})"
    return re.sub(pattern, value, text)


# --- what a stage does --------------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    line: int
    command: list[str]
    environment: Mapping[str, str]
    user: str
    directory: str


@dataclass(frozen=True)
class Copy:
    line: int
    sources: list[str]
    target: str
    stage: str | None  # whose files; nothing for the context's
    owner: str


@dataclass
class Stage:
    """One FROM with what follows: what is done, and what the image says at the end."""

    base: str
    name: str
    steps: list[Run | Copy] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=lambda: {"PATH": PATH})
    arguments: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    user: str = "0:0"
    directory: str = "/"
    volumes: list[str] = field(default_factory=list)
    ports: list[str] = field(default_factory=list)
    stop_signal: str = "SIGTERM"
    health: Instruction | None = None
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)


def stages(
    instructions: list[Instruction], given: Mapping[str, str] | None = None
) -> list[Stage]:
    """`given` are build arguments, as with --build-arg."""
    globals_: dict[str, str] = {}
    result: list[Stage] = []
    for instruction in instructions:
        if instruction.name == "FROM":
            base, *alias = expand(instruction.value, globals_).split()
            if alias and (len(alias) != 2 or alias[0].upper() != "AS"):
                raise DockerfileError(f"line {instruction.line}: {instruction.value}")
            result.append(Stage(base, alias[1] if alias else str(len(result))))
        elif not result:
            _global_argument(instruction, globals_, given or {})
        else:
            _apply(instruction, result[-1], globals_, given or {})
    return result


def _global_argument(
    instruction: Instruction, globals_: dict[str, str], given: Mapping[str, str]
) -> None:
    if instruction.name != "ARG":
        raise DockerfileError(f"line {instruction.line}: {instruction.name} in front of FROM")
    name, _, default = instruction.value.partition("=")
    globals_[name] = given.get(name, default)


def _pairs(text: str) -> dict[str, str]:
    return dict(word.split("=", 1) for word in shlex.split(text))


def _apply(
    instruction: Instruction, stage: Stage, globals_: Mapping[str, str], given: Mapping[str, str]
) -> None:
    variables = {**stage.arguments, **stage.environment}
    value = expand(instruction.value, variables)
    match instruction.name:
        case "ARG":
            name, given_default, default = value.partition("=")
            otherwise = default if given_default else globals_.get(name, "")
            stage.arguments[name] = given.get(name, otherwise)
        case "ENV":
            stage.environment.update(_pairs(value))
        case "LABEL":
            stage.labels.update(_pairs(value))
        case "USER":
            stage.user = value
        case "WORKDIR":
            stage.directory = str(PurePosixPath(stage.directory) / value)
        case "VOLUME":
            stage.volumes += instruction.listed() or value.split()
        case "EXPOSE":
            stage.ports += value.split()
        case "STOPSIGNAL":
            stage.stop_signal = value
        case "HEALTHCHECK":
            stage.health = instruction
        case "ENTRYPOINT":
            stage.entrypoint = _command(instruction)
        case "CMD":
            stage.command = _command(instruction)
        case "RUN":
            command = _command(instruction)
            stage.steps.append(Run(instruction.line, command, variables, stage.user, stage.directory))
        case "COPY":
            stage.steps.append(_copy(instruction, value, stage))


def _command(instruction: Instruction) -> list[str]:
    return instruction.listed() or ["/bin/sh", "-c", instruction.value]


def _copy(instruction: Instruction, value: str, stage: Stage) -> Copy:
    unknown = set(instruction.flags) - {"from", "chown"}
    *sources, target = value.split()
    if unknown or not sources:
        raise DockerfileError(f"line {instruction.line}: COPY {instruction.value}")
    keeps = target.endswith("/") or target in (".", "./")
    target = str(PurePosixPath(stage.directory) / target) + ("/" if keeps else "")
    return Copy(
        instruction.line,
        sources,
        target,
        instruction.flags.get("from"),
        instruction.flags.get("chown", "0:0"),
    )


def health_command(stage: Stage) -> list[str]:
    """What HEALTHCHECK runs, which has to be in the form that needs no shell."""
    if stage.health is None or not stage.health.value.startswith("CMD "):
        raise DockerfileError("no HEALTHCHECK … CMD")
    instruction = Instruction(
        stage.health.line, "CMD", {}, stage.health.value.removeprefix("CMD ").strip()
    )
    words = instruction.listed()
    if words is None:
        raise DockerfileError(f"line {instruction.line}: the health check wants a shell")
    return words


# --- the context --------------------------------------------------------------------------------


class Ignored:
    """The patterns of a .dockerignore. The last one that matches a name, or a folder above it, decides."""

    def __init__(self, text: str) -> None:
        self.patterns: list[tuple[bool, str, re.Pattern[str]]] = []
        for line in text.splitlines():
            pattern = line.strip()
            if pattern and not pattern.startswith("#"):
                negated = pattern.startswith("!")
                name = pattern.lstrip("!").strip("/")
                self.patterns.append((negated, name, re.compile(self._expression(name))))

    @staticmethod
    def _expression(pattern: str) -> str:
        parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
        known = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
        return "".join(known.get(part) or re.escape(part) for part in parts) + r"(?:/.*)?\Z"

    def __call__(self, name: str) -> bool:
        ignored = False
        for negated, _, expression in self.patterns:
            if expression.match(name):
                ignored = not negated
        return ignored

    def may_hold_more(self, folder: str) -> bool:
        """Whether something in an ignored folder could be taken all the same."""
        return any(negated and name.startswith(folder + "/") for negated, name, _ in self.patterns)


def context_files(root: Path) -> list[str]:
    """The files that an engine would be sent, by their names below `root`."""
    ignored = Ignored((root / ".dockerignore").read_text())
    result: list[str] = []
    for folder, folders, files in os.walk(root):
        below = os.path.relpath(folder, root)
        prefix = "" if below == "." else below + "/"
        folders[:] = [
            name
            for name in folders
            if not ignored(prefix + name) or ignored.may_hold_more(prefix + name)
        ]
        result += [prefix + name for name in files if not ignored(prefix + name)]
    return sorted(result)
