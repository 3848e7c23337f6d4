# SPDX-License-Identifier: Apache-2.0
"""A strict reader of the text format of Prometheus, version 0.0.4, and of the families that docs/metrics.md describes."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).resolve().parent.parent.parent / "docs/metrics.md"
NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
LABEL = r'[a-zA-Z_][a-zA-Z0-9_]*="(?:[^"\\\n]|\\[\\"n])*"'
SAMPLE = re.compile(rf"({NAME})(?:\{{({LABEL}(?:,{LABEL})*)\}})? (\S+)")
SUFFIXES = {"histogram": ("_bucket", "_sum", "_count")}


class Family:
    """A family: its samples by their labels; a histogram's by suffix and labels."""

    def __init__(self, name, kind, text):
        self.name, self.kind, self.text = name, kind, text
        self.samples = {}

    def add(self, name, labels, value):
        suffix = name.removeprefix(self.name)
        assert suffix in SUFFIXES.get(self.kind, ("",)), f"{name} is no sample of the {self.kind} {self.name}"
        key = (suffix, *sorted(labels.items())) if suffix else tuple(sorted(labels.items()))
        assert key not in self.samples, f"{name} {labels} comes twice"
        assert self.kind == "gauge" or value >= 0, f"{name} {labels} is {value}"
        self.samples[key] = value

    def value(self, **labels):
        """The value of the sample with exactly these labels."""
        return self.samples[tuple(sorted(labels.items()))]

    def count(self, **labels):
        """How much a histogram has counted."""
        return self.samples[("_count", *sorted(labels.items()))]

    def check(self):
        """A histogram's buckets grow, up to +Inf, which is the count."""
        assert self.samples, f"{self.name} has no sample"
        if self.kind != "histogram":
            return
        for key, total in self.samples.items():
            if key[0] != "_count":
                continue
            buckets = [
                (float(dict(other[1:])["le"]), value)
                for other, value in self.samples.items()
                if other[0] == "_bucket" and set(other[1:]) - {("le", dict(other[1:])["le"])} == set(key[1:])
            ]
            assert buckets == sorted(buckets) and buckets[-1] == (float("inf"), total), f"{self.name}: {buckets}"
            assert [value for _, value in buckets] == sorted(value for _, value in buckets), f"{self.name}: {buckets}"
            assert ("_sum", *key[1:]) in self.samples, f"{self.name} has no sum"


def parse(text):
    """The families of a text, by name; AssertionError where it breaks the format."""
    assert text.endswith("\n"), "the last line has no end"
    families, family, head = {}, None, None
    for line in text[:-1].split("\n"):
        if match := re.fullmatch(rf"# HELP ({NAME}) (\S.*)", line):
            assert head is None and match[1] not in families, f"again, or in the midst of another: {line}"
            head = match
        elif match := re.fullmatch(rf"# TYPE ({NAME}) (counter|gauge|histogram|summary|untyped)", line):
            assert head and head[1] == match[1], f"not after its HELP: {line}"
            family = families[match[1]] = Family(match[1], match[2], head[2])
            head = None
        else:
            match = SAMPLE.fullmatch(line)
            assert match and family and head is None, f"no sample: {line!r}"
            labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', match[2] or ""))
            family.add(match[1], labels, float(match[3]))
    for found in families.values():
        found.check()
    return families


def documented():
    """What docs/metrics.md says: name -> (type, names of the labels)."""
    rows = re.findall(r"^\| `(\w+)` \| (\w+) \|([^|]*)\|", DOCUMENT.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: (kind, frozenset(re.findall(r"`(\w+)`", labels))) for name, kind, labels in rows}


def exposed(families):
    """The same of what was read."""

    def labels_of(family):
        return frozenset(pair[0] for key in family.samples for pair in key if isinstance(pair, tuple) and pair[0] != "le")

    return {family.name: (family.kind, labels_of(family)) for family in families.values()}
