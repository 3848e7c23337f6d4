# SPDX-License-Identifier: Apache-2.0
"""The examples of the documentation: what stands in README.md and docs/*.md between fences, and in the manual pages under
EXAMPLE; and how outputs are compared.

A fence says of what kind its text is:

    console   what one types as root on a machine of a cluster, in lines that begin with "# ", and what it prints
    sh        commands of the host
    ini       lines of fleet.conf
    json      bodies of the API, one in a line
    c         C that compiles against the tree
    ini-unit  a unit file
    fleetctl  command lines of fleetctl (in its manual page)
    text      a drawing or an excerpt: nothing that could be run
"""

import re
from dataclasses import dataclass
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
KINDS = {"console", "sh", "ini", "ini-unit", "json", "c", "text", "fleetctl"}
MANUALS = {"fleet.conf.5.in": "ini", "fleet.unit.5.in": "ini-unit", "fleetctl.1.in": "fleetctl"}

# What differs from one cluster to the next.
_VARIABLE = [
    (re.compile(r"\b[0-9a-f]{40}\b"), "HASH"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "ID"),
    (re.compile(r"\b[0-9a-f]{8}(\.\.\.)?(?![0-9a-f])"), "ID"),
    (re.compile(r"\b10\.\d+\.\d+\.\d+\b"), "ADDRESS"),
    (re.compile(r"\b\d+(\.\d+)? m?s\b"), "TIME"),
    (re.compile(r"\b\w{3} \w{3} +\d+ [\d:]+ .*\d{4}$"), "DATE"),
    (re.compile(r"\s+"), " "),
]


@dataclass
class Example:
    path: str
    line: int
    kind: str
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}"


@dataclass
class Step:
    command: str
    output: str


def find(kind=None):
    """The examples of all documents, of one kind or of all."""
    found = []
    for path in [TOP / "README.md", *sorted((TOP / "docs").glob("*.md"))]:
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^```(\S*)\n(.*?)^```$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Example(str(path.relative_to(TOP)), line, match[1], match[2]))
    for name, its_kind in MANUALS.items():
        path = TOP / "docs/manual" / name
        text = path.read_text(encoding="utf-8")
        for match in re.finditer(r"^\.SH EXAMPLES?\n\.nf\n(.*?)^\.fi$", text, re.MULTILINE | re.DOTALL):
            line = text.count("\n", 0, match.start()) + 1
            found.append(Example(str(path.relative_to(TOP)), line, its_kind, match[1].replace("\\-", "-").replace("\\e", "\\")))
    return [example for example in found if kind in (None, example.kind)]


def steps(example):
    """A console's commands, each with what it prints. A command with a here-document goes on to the end of that."""
    found, until = [], None
    for line in example.text.splitlines():
        if until is not None:
            found[-1].command += "\n" + line
            until = None if line == until else until
        elif line.startswith("# "):
            found.append(Step(line[2:], ""))
            here = re.search(r"<<'?(\w+)'?", line)
            until = here[1] if here else None
        else:
            found[-1].output += line + "\n"
    return found


def same(text):
    """The lines of an output without what is different each time, in an order of their own: outcomes come as they come."""
    lines = []
    for line in text.splitlines():
        for pattern, name in _VARIABLE:
            line = pattern.sub(name, line)
        if line.strip():
            lines.append(line.strip())
    return sorted(lines)
