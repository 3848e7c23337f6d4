# SPDX-License-Identifier: Apache-2.0
"""What all checks share: the C files of a tree, C text without its comments, and the law."""

import os
import re
from dataclasses import dataclass, field
from pathlib import Path

SKIPPED_FOLDERS = re.compile(r"^(\.|build|subprojects$|__pycache__$)")


@dataclass(frozen=True)
class Violation:
    path: str
    line: int
    text: str

    def __str__(self):
        return f"{self.path}:{self.line}: {self.text}"


def c_files(root, suffixes=(".c", ".h")):
    """The C files below `root`, relative to it, sorted; build folders and hidden ones are left out."""
    found = []
    for folder, folders, files in os.walk(root):
        folders[:] = [name for name in folders if not SKIPPED_FOLDERS.match(name)]
        found += [os.path.relpath(os.path.join(folder, name), root) for name in files if name.endswith(suffixes)]
    return sorted(found)


def read(root, path):
    return (Path(root) / path).read_text(encoding="utf-8")


_TOKEN = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|\'(?:\\.|[^\'\\\n])*\'', re.DOTALL)


def _blank(text):
    return re.sub(r"[^\n]", " ", text)


def without_comments(text, keep_strings=False):
    """The text with comments (and the insides of strings) as blanks: every character keeps its place."""

    def replace(match):
        token = match.group()
        if token.startswith("/"):
            return _blank(token)
        return token if keep_strings else token[0] + _blank(token[1:-1]) + token[-1]

    return _TOKEN.sub(replace, text)


def line_of(text, offset):
    return text.count("\n", 0, offset) + 1


@dataclass
class Law:
    layers: list = field(default_factory=list)
    parts: dict = field(default_factory=dict)  # part -> the folders it may include
    owners: list = field(default_factory=list)  # (header prefix, folders), the first match counts
    banned: list = field(default_factory=list)  # (function names, folders or files that may)

    def part_of(self, path):
        """The part of the tree that a file belongs to, or None."""
        return next((part for part in self.parts if is_below(path, part)), None)


def is_below(path, folder):
    return path == folder or path.startswith(folder + "/")


def read_law(path):
    law = Law()
    for number, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines(), 1):
        words = line.split("#")[0].split()
        if not words:
            continue
        kind, rest = words[0], words[1:]
        if kind == "layers":
            for index, layer in enumerate(rest):
                law.layers.append(layer)
                law.parts[layer] = rest[: index + 1]
        elif kind == "part":
            law.parts[rest[0]] = rest
        elif kind == "owner":
            law.owners.append((rest[0], rest[1:]))
        elif kind == "banned":
            names, _, allowed = " ".join(rest).partition(" except ")
            law.banned.append((names.split(), allowed.split()))
        else:
            raise ValueError(f"{path}:{number}: unknown word {kind!r}")
    return law
