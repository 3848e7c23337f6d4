# SPDX-License-Identifier: Apache-2.0
"""docs/compatibility.md, docs/limits.md and docs/reliability.md: every row names tests, and each of them exists. A name that several files have
is written with the end of its file's path: `api/test-units.test_life`."""

import re
from pathlib import Path

from source import SKIPPED_FOLDERS, Violation

DOCUMENTS = {  # the headings of the tables that it may have; the last cell of a row names the tests
    "docs/compatibility.md": [("rule", "here", "test")],
    "docs/limits.md": [("what", "limit", "what happens there", "test")],
    "docs/reliability.md": [("fault", "what the user sees", "how long", "what is guaranteed", "test"), ("promise", "test")],
}
EMPTY = {"what the user sees", "how long"}  # cells that may say nothing
DEFINITION = re.compile(r"START_TEST\((\w+)\)|^\s*def (test_\w+)\(", re.MULTILINE)


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


def _check_row(document, number, headings, cells, tests):
    if len(cells) != len(headings) or not all(cell or heading in EMPTY for heading, cell in zip(headings, cells)):
        return [Violation(document, number, f"a row has {len(headings)} cells: {', '.join(headings)}")]
    named = re.findall(r"`(?:([\w/-]+)\.)?(\w+)`", cells[-1])
    faults = [_fault(tests, file, name) for file, name in named] if named else ["names no test"]
    return [Violation(document, number, fault) for fault in faults if fault]


def _check_document(root, document, tables, tests):
    violations, headings = [], tables[0]
    for number, line in enumerate((root / document).read_text(encoding="utf-8").splitlines(), 1):
        if not line.startswith("|"):
            continue
        cells = _cells(line)
        if tuple(cells) in tables:
            headings = tuple(cells)
        elif not all(set(cell) <= set("-:") for cell in cells):
            violations += _check_row(document, number, headings, cells, tests)
    return violations


def check(root, _law):
    root = Path(root)
    tests = _defined_tests(root)
    present = [document for document in DOCUMENTS if (root / document).is_file()]
    return [violation for document in present for violation in _check_document(root, document, DOCUMENTS[document], tests)]
