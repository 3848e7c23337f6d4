# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md: every row names tests, and each of them exists. A name that several files have is written with the
end of its file's path: `api/test-units.test_life`."""

import re
from pathlib import Path

from source import SKIPPED_FOLDERS, Violation

DOCUMENT = "docs/compatibility.md"
DEFINITION = re.compile(r"START_TEST\((\w+)\)|^\s*def (test_\w+)\(", re.MULTILINE)
HEADINGS = {"rule", "here", "test"}


def _defined_tests(root):
    """Name of a test -> the files that have it, as paths without suffix."""
    found = {}
    for path in sorted((Path(root) / "tests").rglob("*")):
        inside = path.relative_to(root)
        if path.suffix in (".c", ".py") and not any(SKIPPED_FOLDERS.match(part) for part in inside.parts):
            for a, b in DEFINITION.findall(path.read_text(encoding="utf-8")):
                found.setdefault(a or b, set()).add(str(inside.with_suffix("")))
    return found


def _fault(tests, file, name):
    """What is wrong with this name of a test, or None."""
    files = tests.get(name, set())
    if file:
        files = {path for path in files if path.endswith("/" + file)}
    if len(files) == 1:
        return None
    written = f"{file}.{name}" if file else name
    return f"{written} is in several files: {' '.join(sorted(files))}" if files else f"there is no test {written}"


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
        named = re.findall(r"`(?:([\w/-]+)\.)?(\w+)`", cells[2])
        if not named:
            violations.append(Violation(DOCUMENT, number, "names no test"))
        faults = (_fault(tests, file, name) for file, name in named)
        violations += [Violation(DOCUMENT, number, fault) for fault in faults if fault]
    return violations
