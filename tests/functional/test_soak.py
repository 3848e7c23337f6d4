# SPDX-License-Identifier: Apache-2.0
"""The programs of tests/soak, in their short form."""

import subprocess
import unittest

from harness import TOP, ClusterTest


class Soak(unittest.TestCase):
    def check(self, program, *options):
        done = subprocess.run([TOP / "tests/soak" / program, "--root", ClusterTest.install_root, *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)
        self.assertRegex(done.stdout, r"\nPASSED, seed \d+\n$")


class Outage(Soak):
    def test_seconds_without_etcd(self):
        self.check("outage", "--seconds", "8")


class Partitions(Soak):
    def test_random_cuts(self):
        self.check("partitions", "--times", "2")


class Faults(Soak):
    def test_random_faults_and_an_admin(self):
        self.check("soak", "--minutes", "0.3")
