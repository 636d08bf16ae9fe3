"""Reads Prometheus' text format and, roughly, its queries. Not a test itself."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

SUFFIXES = ("_bucket", "_sum", "_count")
LABEL = re.compile(r'([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)"')
SAMPLE = re.compile(r'^([a-zA-Z_:][\w:]*)(?:\{((?:[a-zA-Z_]\w*="(?:[^"\\]|\\.)*",?)*)\})? (\S+)$')
# What stands where a metric could, but is part of the language. Functions are told by their parenthesis.
WORDS = {"and", "or", "unless", "bool", "offset", "group_left", "group_right"}


@dataclass
class Family:
    name: str
    help: str
    type: str
    labels: set[str] = field(default_factory=set)
    samples: dict[tuple[str, frozenset[tuple[str, str]]], float] = field(default_factory=dict)

    def value(self, **labels: str) -> float:
        return self.samples[self.name, frozenset(labels.items())]


def parse(text: str) -> dict[str, Family]:
    """ValueError for a line that is not of the format, a sample outside its family, or one twice."""
    families: dict[str, Family] = {}
    help_of: dict[str, str] = {}
    current: Family | None = None
    for line in text.splitlines():
        if line.startswith("# HELP "):
            name, _, said = line[7:].partition(" ")
            help_of[name] = said
        elif line.startswith("# TYPE "):
            name, _, kind = line[7:].partition(" ")
            if name in families:
                raise ValueError(f"family twice: {name}")
            current = families[name] = Family(name, help_of[name], kind)
        else:
            add_sample(line, current)
    return families


def add_sample(line: str, family: Family | None) -> None:
    found = SAMPLE.match(line)
    if not found or family is None:
        raise ValueError(f"not of the format: {line!r}")
    name, labels = found[1], LABEL.findall(found[2] or "")
    suffix = name.removeprefix(family.name)
    if suffix not in (SUFFIXES if family.type == "histogram" else ("",)):
        raise ValueError(f"sample outside its family {family.name}: {line!r}")
    key = (name, frozenset(labels))
    if key in family.samples:
        raise ValueError(f"sample twice: {line!r}")
    family.samples[key] = float(found[3])
    family.labels |= {label for label, _ in labels if label != "le"}


def selectors(query: str) -> Iterator[tuple[str, set[str]]]:
    """The metrics a query names, with the labels that are matched. Rough: enough for ours."""
    bare = re.sub(r"\b(by|without|on|ignoring)\s*\([^)]*\)|\[[^\]]*\]", " ", query)
    for found in re.finditer(r"([a-zA-Z_:][\w:]*)\s*(\(|\{(?:[^}\"]|\"[^\"]*\")*\})?", bare):
        name, behind = found[1], found[2] or ""
        if behind == "(" or name in WORDS:
            continue
        matchers = re.sub(r'"[^"]*"', "", behind)
        yield name, set(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", matchers))


def grouped_labels(query: str) -> set[str]:
    """The labels that a query sums by or ignores."""
    return {
        label.strip()
        for names in re.findall(r"\b(?:by|without|on|ignoring)\s*\(([^)]*)\)", query)
        for label in names.split(",")
    }
