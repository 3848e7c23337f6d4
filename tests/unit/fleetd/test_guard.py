# SPDX-License-Identifier: Apache-2.0
"""test_guard.py FLEET-GUARD: the guard of Exclusive units, as systemd runs it."""

import os
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

GUARD = os.path.abspath(sys.argv.pop())


def now():
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Guard(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fleet-guard-")
        self.addCleanup(folder.cleanup)
        self.file = Path(folder.name) / "guard"
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(Path(folder.name) / "notify"))
        self.manager.settimeout(10)
        self.addCleanup(self.manager.close)

    def write(self, until):
        """As fleetd does: readers see the old time or the new one."""
        new = self.file.with_suffix(".new")
        new.write_text(f"{int(until * 1e6)}\n")
        new.rename(self.file)

    def start(self, *arguments):
        environment = {**os.environ, "NOTIFY_SOCKET": self.manager.getsockname()}
        guard = subprocess.Popen([GUARD, *(arguments or [str(self.file)])], stderr=subprocess.PIPE, text=True, env=environment)
        self.addCleanup(guard.stderr.close)
        self.addCleanup(guard.wait)
        self.addCleanup(guard.kill)
        return guard

    def assert_refused(self, why):
        guard = self.start()
        self.assertEqual(guard.wait(10), 1)
        self.assertIn(why, guard.stderr.read())
        self.manager.setblocking(False)
        with self.assertRaises(BlockingIOError):
            self.manager.recv(100)

    def test_without_a_time_it_does_not_start(self):
        self.assert_refused("No such file")

    def test_with_a_time_that_is_none_it_does_not_start(self):
        self.file.write_text("soon\n")
        self.assert_refused("Exclusive units cannot run here")

    def test_after_its_time_it_does_not_start(self):
        self.write(now() - 0.001)
        self.assert_refused("Exclusive units cannot run here")

    def test_it_ends_when_its_time_has_come(self):
        until = now() + 0.4
        self.write(until)
        guard = self.start()
        self.assertEqual(self.manager.recv(100), b"READY=1")
        self.assertEqual(guard.wait(10), 1)
        self.assertGreaterEqual(now(), until)
        self.assertIn("has not renewed", guard.stderr.read())

    def test_it_goes_on_while_the_time_is_renewed(self):
        self.write(now() + 0.3)
        guard = self.start()
        self.assertEqual(self.manager.recv(100), b"READY=1")
        until = now() + 0.9
        self.write(until)
        self.assertEqual(guard.wait(10), 1)
        self.assertGreaterEqual(now(), until)

    def test_it_ends_when_the_file_is_gone(self):
        self.write(now() + 0.3)
        guard = self.start()
        self.assertEqual(self.manager.recv(100), b"READY=1")
        self.file.unlink()
        self.assertEqual(guard.wait(10), 1)

    def test_it_says_how_it_is_used(self):
        guard = self.start("a", "b")
        self.assertEqual(guard.wait(10), 1)
        self.assertIn("usage:", guard.stderr.read())


if __name__ == "__main__":
    unittest.main()
