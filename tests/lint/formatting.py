# SPDX-License-Identifier: Apache-2.0
"""Every C file is as clang-format with the tree's .clang-format leaves it."""

import re
import subprocess
from pathlib import Path

from source import Violation, c_files

STYLE = Path(__file__).resolve().parent.parent.parent / ".clang-format"
_REPORT = re.compile(r"^(.*?):(\d+):\d+: error: code should be clang-formatted")


def check(root, _law):
    paths = c_files(root)
    if not paths:
        return []
    command = ["clang-format", f"--style=file:{STYLE}", "--dry-run", "-Werror", *paths]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    lines = {}
    for match in filter(None, map(_REPORT.match, done.stderr.splitlines())):
        lines.setdefault(match[1], []).append(int(match[2]))
    violations = [
        Violation(path, places[0], f"{len(set(places))} lines are not as clang-format -i leaves them")
        for path, places in lines.items()
    ]
    if done.returncode != 0 and not violations:
        raise RuntimeError(f"clang-format failed: {done.stderr.strip()}")
    return violations
