# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md: every row names tests, and each of them exists."""

import re
from pathlib import Path

from source import SKIPPED_FOLDERS, Violation

DOCUMENT = "docs/compatibility.md"
DEFINITION = re.compile(r"START_TEST\((\w+)\)|^\s*def (test_\w+)\(", re.MULTILINE)
HEADINGS = {"rule", "here", "test"}


def _defined_tests(root):
    names = set()
    for path in sorted((Path(root) / "tests").rglob("*")):
        if path.suffix in (".c", ".py") and not any(SKIPPED_FOLDERS.match(part) for part in path.relative_to(root).parts):
            names.update(a or b for a, b in DEFINITION.findall(path.read_text(encoding="utf-8")))
    return names


def _cells(line):
    """The cells of a table row; a `\\|` inside one is not its end."""
    return [cell.strip() for cell in re.split(r"(?<!\\)\|", line.strip())[1:-1]]


def check(root, _law):
    document = Path(root) / DOCUMENT
    if not document.is_file():
        return []
    tests = _defined_tests(root)
    violations = []
    for number, line in enumerate(document.read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            continue
        cells = _cells(line)
        if set(cells) == HEADINGS or all(set(cell) <= set("-:") for cell in cells):
            continue
        if len(cells) != 3 or not all(cells):
            violations.append(Violation(DOCUMENT, number, "a row has three cells: the rule, what holds here, the tests"))
            continue
        named = re.findall(r"`(\w+)`", cells[2])
        if not named:
            violations.append(Violation(DOCUMENT, number, "names no test"))
        violations += [Violation(DOCUMENT, number, f"there is no test {name}") for name in named if name not in tests]
    return violations
