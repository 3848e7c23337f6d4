# SPDX-License-Identifier: Apache-2.0
"""Each check is shown a tree with one violation, which it must name, and the same tree without, where it must be silent."""

import tempfile
from pathlib import Path

from source import Violation

CLEAN = {
    "lib/base/a.h": "#pragma once\n\n/* Says what it promises. */\nint a(void);\nint a2(void);\n",
    "lib/loop/b.c": '#include "lib/base/a.h"\n\n#include <event2/event.h>\n\nint a(void) {\n        return 0; /* time() */\n}\n',
}

FUNCTION_OF_71_LINES = "int f(void) {\n" + "        f();\n" * 68 + "        return 0;\n}\n"

# check, file, its text, what the check must say of it
PLANTED = [
    ("layers", "lib/base/x.c", '#include "lib/loop/b.h"\n', "lib/base may not include"),
    ("layers", "agent/x.c", '#include "engine/plan.h"\n', "agent may not include"),
    ("layers", "fleetctl/x.c", '#include "lib/store/store.h"\n', "fleetctl may not include"),
    ("layers", "agent/x.c", "#include <curl/curl.h>\n", "belongs to fleetctl"),
    ("layers", "lib/http/x.c", "#include <systemd/sd-bus.h>\n", "belongs to lib/loop and lib/host"),
    ("layers", "lib/base/x.c", '#include "a.h"\n', "not a path from the root"),
    ("layers", "helpers/x.c", "int x;\n", "is in no part"),
    ("banned", "lib/unit/x.c", "void f(char *a) {\n        strcpy(a, a);\n}\n", "calls strcpy()"),
    ("banned", "engine/x.c", "long f(void) {\n        return time(0);\n}\n", "calls time(); only"),
    ("size", "lib/unit/x.c", FUNCTION_OF_71_LINES.replace("f();\n", "f();\n", 1).replace("return", "f();\n        return"), "f() has 72 lines"),
    ("size", "lib/unit/x.c", "int x;\n" * 1001, "has 1001 lines"),
    ("size", "lib/unit/x.h", "int x;\n" * 251, "has 251 lines"),
    ("comments", "lib/unit/x.h", "int f(void);\n", "`int f(void);`"),
    ("comments", "lib/unit/x.h", "/* Says. */\nint f(void);\n\nint g(void);\n", "`int g(void);`"),
    ("comments", "lib/unit/x.h", "/* Says. */\nstruct S {\n        int a;\n\n        int b;\n};\n", "`int b;`"),
    ("comments", "lib/unit/x.h", "/* Says. */\nenum {\n        A,\n\n        B,\n};\n", "`B,`"),
    ("comments", "lib/unit/x.h", "#define LIMIT 5\n", "`#define LIMIT 5`"),
    ("comments", "lib/unit/x.h", "/* Far. */\n\ntypedef int (*Fn)(int);\n", "`typedef int (*Fn)(int);`"),
    ("compatibility", "docs/compatibility.md", "| rule | here | test |\n|---|---|---|\n| 1.1 x | as it was | |\n", "has 3 cells"),
    ("compatibility", "docs/compatibility.md", "| 1.1 x | as it was | by hand |\n", "names no test"),
    ("compatibility", "docs/compatibility.md", "| 1.1 x | as it was | `test_that_is_not_there` |\n", "there is no test test_that_is_not_there"),
    ("compatibility", "docs/compatibility.md", "| 1.1 x | as it was | `unit/test-x.test_x` |\n", "there is no test unit/test-x.test_x"),
    ("compatibility", "docs/reliability.md", "| a fault | | | | `test_x` |\n", "has 5 cells"),
    ("compatibility", "docs/reliability.md", "| a fault | | | nothing stops | by hand |\n", "names no test"),
    ("format", "lib/unit/x.c", "int  x;\n", "clang-format"),
]

# what a check must let pass
INNOCENT = [
    ("banned", "lib/base/env.c", "long f(void) {\n        return time(0);\n}\n"),
    ("banned", "lib/unit/x.c", 'const char *f(void) {\n        return "strcpy(a, b)";\n}\n'),
    ("banned", "lib/unit/x.c", "long f(T *t) {\n        return t->time(t) + my_time(0);\n}\n"),
    ("size", "lib/unit/x.c", FUNCTION_OF_71_LINES.replace("        f();\n", "", 1)),
    ("layers", "tests/unit/x.c", "#include <nghttp2/nghttp2.h>\n"),
    ("comments", "lib/unit/x.h", "typedef struct S S;\nstruct T;\n\n/* Says. */\nS *s_free(S *s);\nDEFINE_CLEANUP(S, s_free)\n"),
    ("comments", "lib/unit/x.h", "/* Says. */\nstruct S {\n        int a;\n\n        int b; /* says */\n};\n"),
    ("comments", "lib/unit/x.h", "/* Says. */\nenum {\n        _A_OK,\n\n        A, /* says */\n\n        _A_MAX,\n};\n"),
    ("comments", "lib/unit/x.h", "typedef enum A {\n        A, /* says */\n\n        B, /* says */\n} A;\n"),
    ("comments", "lib/unit/x.h", "/* Says. */\nstatic inline int f(void) {\n        return 0;\n}\n"),
]


def run(checks, law):
    """Returns what went wrong, as violations of this file."""
    wrong = []

    def expect(name, files, said, must_say):
        with tempfile.TemporaryDirectory() as root:
            for path, text in files.items():
                (Path(root) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(root) / path).write_text(text, encoding="utf-8")
            found = [str(violation) for violation in checks[name](root, law)]
        if must_say and not any(said in line for line in found):
            wrong.append(Violation("tests/lint/selftest.py", 1, f"{name} did not notice what should give {said!r}: {found}"))
        if not must_say and found:
            wrong.append(Violation("tests/lint/selftest.py", 1, f"{name} complains without cause: {found}"))

    for name in checks:
        expect(name, CLEAN, "", must_say=False)
    for name, path, text, said in PLANTED:
        expect(name, {path: text}, said, must_say=True)
    for name, path, text in INNOCENT:
        expect(name, {path: text}, "", must_say=False)
    return wrong
