# SPDX-License-Identifier: Apache-2.0
"""How large a function, a source file and a header may be. There is no list of exceptions."""

import subprocess

from source import Violation, c_files, read

FUNCTION_LINES = 70
SOURCE_LINES = 1000
HEADER_LINES = 250


def check(root, _law):
    paths = c_files(root)
    violations = []
    for path in paths:
        limit = HEADER_LINES if path.endswith(".h") else SOURCE_LINES
        n_lines = read(root, path).count("\n")
        if n_lines > limit:
            violations.append(Violation(path, limit + 1, f"has {n_lines} lines; the limit is {limit}"))
    return violations + _long_functions(root, paths)


def _long_functions(root, paths):
    if not paths:
        return []
    # A macro before a body (START_TEST) counts as a function too: ctags goes by the shape of the text.
    command = ["ctags", "-L", "-", "-f", "-", "--languages=C", "--langmap=C:.c.h", "--kinds-C=f", "--fields=ne", "--excmd=number"]
    done = subprocess.run(command, cwd=root, input="\n".join(paths), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"ctags (package universal-ctags) failed: {done.stderr.strip()}")
    violations = []
    for row in done.stdout.splitlines():
        name, path, *_, = row.split("\t")
        marks = dict(mark.split(":", 1) for mark in row.split("\t")[3:] if ":" in mark)
        n_lines = int(marks.get("end", marks["line"])) - int(marks["line"]) + 1
        if n_lines > FUNCTION_LINES:
            violations.append(Violation(path, int(marks["line"]), f"{name}() has {n_lines} lines; the limit is {FUNCTION_LINES}"))
    return violations
