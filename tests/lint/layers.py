# SPDX-License-Identifier: Apache-2.0
"""The layer law, held against every #include: who may include whom, and which adapter owns which library."""

import re

from source import Violation, c_files, is_below, line_of, read, without_comments

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(["<])([^">\n]+)[">]', re.MULTILINE)
_GENERATED = re.compile(r"^[\w-]+\.pb-c\.h$")  # made by protoc-c beside its user, so it has no folder of its own


def check(root, law):
    violations = []
    for path in c_files(root):
        part = law.part_of(path)
        if part is None:
            violations.append(Violation(path, 1, "is in no part of the tree that tests/lint/law names"))
            continue
        text = without_comments(read(root, path), keep_strings=True)
        for match in _INCLUDE.finditer(text):
            kind, header = match.groups()
            why = _wrong_own(header, part, law) if kind == '"' else _wrong_foreign(header, part, law)
            if why:
                violations.append(Violation(path, line_of(text, match.start()), why))
    return violations


def _wrong_own(header, part, law):
    if _GENERATED.match(header):
        return _wrong_foreign("protobuf-c/", part, law)
    if law.part_of(header) is None:
        return f'"{header}" is not a path from the root of the tree'
    if not any(is_below(header, folder) for folder in law.parts[part]):
        return f'{part} may not include "{header}", only {" ".join(law.parts[part])}'
    return None


def _wrong_foreign(header, part, law):
    if part == "tests":
        return None
    for prefix, owners in law.owners:
        if header.startswith(prefix):
            return None if part in owners else f"<{header}> belongs to {' and '.join(owners) or 'nobody here'}, not to {part}"
    return None
