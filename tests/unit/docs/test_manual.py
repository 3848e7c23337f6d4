# SPDX-License-Identifier: Apache-2.0
"""test_manual.py FLEETCTL FLEETD COMPLETION MANUAL..: nothing that the programs know is missing in their manual pages and in
the completion, and both are well-formed."""

import os
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import unittest
from pathlib import Path

TOP = Path(__file__).resolve().parents[3]
FLEETCTL, FLEETD, COMPLETION, *MANUALS = (str(Path(word).resolve()) for word in sys.argv[1:])
del sys.argv[1:]

UNITS = ["web@1.service", "web@2.service", "clock.service"]
MACHINES = ["0c1f1a2b3c4d5e6f0c1f1a2b3c4d5e6f", "77aa1a2b3c4d5e6f0c1f1a2b3c4d5e6f"]


def output(*command, **options):
    return subprocess.run(command, capture_output=True, text=True, check=True, **options).stdout


def manual(name):
    """The page as one reads it, without its line breaks."""
    [path] = [path for path in MANUALS if path.endswith("/" + name)]
    text = Path(path).read_text(encoding="utf-8").replace("\\-", "-").replace("\\e", "\\")
    return re.sub(r"\\f[BIR]", "", text)


def section(text, title):
    found = re.search(rf"^{title}:\n(.*?)(?:^\S|\Z)", text, re.MULTILINE | re.DOTALL)
    return found.group(1) if found else ""


def commands():
    return re.findall(r"^    (\S+)  ", section(output(FLEETCTL, "help"), "COMMANDS"), re.MULTILINE)


def flags(text):
    return re.findall(r"--[a-z][a-z-]+=?", " ".join(line.split("  ")[2] for line in text.splitlines() if line.startswith("    -")))


class Manual(unittest.TestCase):
    def test_every_store_subcommand_is_in_fleetd_8(self):
        page, text = manual("fleetd.8"), output(FLEETD, "store", "--help")
        names = re.findall(r"^  fleetd store (\S+)", text, re.MULTILINE)
        self.assertGreater(len(names), 1)
        for name in names:
            self.assertIn(f"fleetd store {name}", page)
        for option in re.findall(r"^ +(--[a-z-]+)", text, re.MULTILINE):
            self.assertIn(option, page)

    def test_every_command_and_flag_is_in_fleetctl_1(self):
        page, names = manual("fleetctl.1"), commands()
        self.assertGreater(len(names), 10)
        for name in names:
            usage = " ".join(section(output(FLEETCTL, "help", name), "USAGE").split())
            self.assertIn(f".SS {usage}\n" if " " in usage[9:] else f".SS {usage} \n", page)
            for flag in flags(section(output(FLEETCTL, "help", name), "OPTIONS")):
                self.assertIn(flag, page, name)
        for flag in flags(section(output(FLEETCTL, "help"), "GLOBAL OPTIONS")):
            self.assertIn(flag, page)
        for variable in re.findall(r"FLEETCTL_[A-Z_]+", output(FLEETCTL, "help")):
            self.assertIn(variable, page)

    def test_every_key_is_in_fleet_conf_5(self):
        page, text = manual("fleet.conf.5"), output(FLEETD, "--help")
        keys = re.findall(r"^ +([a-z_]{5,})(?: \(default .*\))?$", text, re.MULTILINE)
        self.assertGreater(len(keys), 15)
        for key in keys:
            self.assertRegex(page, rf"(?m)^{key}(=.*)?$")

    def test_every_option_is_in_fleetd_8(self):
        page = manual("fleetd.8")
        for option in re.findall(r"^  (--\S+)", output(FLEETD, "--help"), re.MULTILINE):
            self.assertIn(option, page)

    def test_every_option_of_x_fleet_is_in_fleet_unit_5(self):
        page = manual("fleet.unit.5")
        keys = re.findall(r'\{ "([\w-]+)", KIND_', (TOP / "lib/unit/requirements.c").read_text(encoding="utf-8"))
        self.assertGreater(len(keys), 8)
        for key in keys:
            self.assertRegex(page, rf"\b{key}\b")

    def test_pages_are_well_formed(self):
        if not shutil.which("groff"):
            self.skipTest("groff is not installed")
        for path in MANUALS:
            done = subprocess.run(["groff", "-man", "-Tutf8", "-ww", "-z", path], capture_output=True, text=True, check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), path)
            self.assertNotRegex(Path(path).read_text(encoding="utf-8"), r"@[A-Z_]+@")


class Completion(unittest.TestCase):
    """Bash itself, as it calls the completion; fleetctl is one that answers the two questions and notes what it was asked."""

    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)
        program = Path(self.folder.name) / "fleetctl"
        lines = {"list-unit-files": UNITS, "list-machines": MACHINES}
        cases = "".join(f"*{name}*) printf '%s\\n' {' '.join(items)} ;;\n" for name, items in lines.items())
        program.write_text(f'#!/bin/sh\necho "$@" >>{self.folder.name}/asked\ncase "$*" in\n{cases}esac\n', encoding="utf-8")
        program.chmod(program.stat().st_mode | stat.S_IXUSR)

    def complete(self, line):
        script = 'source "$1"; COMP_LINE=$2 COMP_POINT=${#2}; _fleetctl 2>/dev/null; printf "%s\\n" "${COMPREPLY[@]}"'
        environment = {**os.environ, "PATH": f"{self.folder.name}:{os.environ['PATH']}"}
        return output("bash", "-c", script, "bash", COMPLETION, line, env=environment, cwd=self.folder.name).split()

    def test_every_command_is_offered(self):
        self.assertEqual(sorted(self.complete("fleetctl ")), sorted(commands()))
        self.assertEqual(self.complete("fleetctl subm"), ["submit"])
        self.assertEqual(sorted(self.complete("fleetctl help list-un")), ["list-unit-files", "list-units"])

    def test_every_flag_is_offered(self):
        for name in commands():
            own = flags(section(output(FLEETCTL, "help", name), "OPTIONS"))
            everywhere = flags(section(output(FLEETCTL, "help", name), "GLOBAL OPTIONS"))
            self.assertLessEqual(set(own + everywhere), set(self.complete(f"fleetctl {name} -")), name)

    def test_units_and_machines_come_from_the_cluster(self):
        self.assertEqual(sorted(self.complete("fleetctl destroy ")), sorted(UNITS))
        self.assertEqual(self.complete("fleetctl cat cl"), ["clock.service"])
        # what bash has left of the word, behind "@"
        self.assertEqual(sorted(self.complete("fleetctl stop web@")), ["1.service", "2.service"])

    def test_the_cluster_that_the_line_names_is_asked(self):
        self.complete("fleetctl --endpoint=http://10.0.0.1:49153 stop ")
        asked = (Path(self.folder.name) / "asked").read_text(encoding="utf-8")
        self.assertTrue(asked.startswith("--endpoint=http://10.0.0.1:49153 "), asked)

    def test_files_are_offered_for_start(self):
        (Path(self.folder.name) / "local.service").touch()
        self.assertEqual(sorted(self.complete("fleetctl start ")), sorted([*UNITS, "asked", "fleetctl", "local.service"]))


if __name__ == "__main__":
    unittest.main()
