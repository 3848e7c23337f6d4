# SPDX-License-Identifier: Apache-2.0
"""Every public declaration of a header has a comment.

A comment covers the declarations that follow it without a blank line between; a comment behind a declaration covers that one.
The comment of a struct or an enum covers its members up to the first blank line or comment among them in the same way, and one
whose members all have comments of their own needs none itself. Nothing is asked of forward declarations, DEFINE_CLEANUP() and sentinels (names that start with an underscore).
"""

import re
from dataclasses import dataclass

from source import Violation, c_files, line_of, read, without_comments

_EXEMPT = re.compile(
    r"""^(?: (?:typedef\s+)? (?:struct|union|enum) \s+ \w+ (?:\s+\w+)? \s* ;
          | DEFINE_CLEANUP \b .*
          | \#\s*(?:include|pragma|if|ifdef|ifndef|elif|else|endif|undef)\b .*
          | _\w+ (?:\s*=.*)? ,?
          )$""",
    re.VERBOSE | re.DOTALL,
)
_BODY = re.compile(r"\b(struct|union|enum)\b[^;(){}]*$")


@dataclass
class Item:
    start: int  # offsets into the text
    end: int
    body: tuple = None  # (start, end, separator) of the members of a struct, union or enum

    def text(self, code):
        return code[self.start : self.end].strip()


def check(root, _law):
    violations = []
    for path in c_files(root, (".h",)):
        if not path.startswith("tests/"):
            violations += _check_header(path, read(root, path))
    return violations


def _check_header(path, text):
    """The violations of one header."""
    code = without_comments(text)
    lines = text.split("\n")
    code_lines = code.split("\n")

    def has_comment(line):  # lines count from 1
        return "*/" in lines[line - 1] or "//" in lines[line - 1]

    def is_covered(item, previous_end, previous_covered):
        first, last = line_of(code, item.start), line_of(code, item.end - 1)
        if any(has_comment(line) for line in ({first, last} if item.body else range(first, last + 1))):
            return True
        above = first - 1
        if above >= 1 and not code_lines[above - 1].strip() and has_comment(above):
            return True
        return previous_covered and above == previous_end

    def walk(items, previous_end, previous_covered):
        violations = []
        for item in items:
            covered = is_covered(item, previous_end, previous_covered)
            exempt = bool(_EXEMPT.match(item.text(code)))
            inner = []
            if item.body:
                start, end, separator = item.body
                inner = walk(_items(code, start, end, separator), line_of(code, start - 1), covered)
            if not (covered or exempt or (item.body and not inner)):
                shown = " ".join(item.text(code).split("{")[0].split())
                violations.append(Violation(path, line_of(code, item.start), f"no comment says what `{shown[:60]}` promises"))
            violations += inner
            previous_end, previous_covered = line_of(code, item.end - 1), covered or (exempt and previous_covered)
        return violations

    return walk(_items(code, 0, len(code), ";"), 0, False)


def _items(code, start, end, separator):
    """The declarations between two offsets: each ends with the separator, with a function's body, or with its line (macros)."""
    position = start
    while True:
        while position < end and code[position].isspace():
            position += 1
        if position >= end:
            return
        item = _one_item(code, position, end, separator)
        yield item
        position = item.end


def _one_item(code, start, end, separator):
    if code[start] == "#" or code.startswith("DEFINE_CLEANUP", start):
        return Item(start, _end_of_line(code, start, end))
    depth, body, opened = 0, None, None
    for position in range(start, end):
        character = code[position]
        if character in "({[":
            if depth == 0 and character == "{":
                opened = position
            depth += 1
        elif character in ")}]":
            depth -= 1
            if depth == 0 and character == "}":
                kind = _BODY.search(code[start:opened])
                if kind is None and separator == ";":
                    return Item(start, position + 1)  # an inline function
                if kind:
                    body = (opened + 1, position, "," if kind.group(1) == "enum" else ";")
        elif character == separator and depth == 0:
            return Item(start, position + 1, body)
    return Item(start, end, body)


def _end_of_line(code, start, end):
    position = start
    while position < end and (code[position] != "\n" or code[position - 1] == "\\"):
        position += 1
    return position
