# SPDX-License-Identifier: Apache-2.0
"""Functions that the law bans, everywhere or outside the files that it names."""

import re

from source import Violation, c_files, is_below, line_of, read, without_comments


def check(root, law):
    rules = [(re.compile(r"(?<![\w.>])(" + "|".join(names) + r")\s*\("), allowed) for names, allowed in law.banned]
    violations = []
    for path in c_files(root):
        text = without_comments(read(root, path))
        for pattern, allowed in rules:
            if any(is_below(path, place) for place in allowed):
                continue
            for match in pattern.finditer(text):
                where = f"; only {' '.join(allowed)} may" if allowed else ""
                violations.append(Violation(path, line_of(text, match.start()), f"calls {match.group(1)}(){where}"))
    return violations
