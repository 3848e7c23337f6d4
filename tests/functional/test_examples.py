# SPDX-License-Identifier: Apache-2.0
"""Every example of README.md and docs/, run."""

import json
import os
import subprocess
import tempfile
import unittest
from pathlib import Path

import examples
import harness
from harness import LAB, ClusterTest, needs_etcd


class OnAMachine(ClusterTest):
    def test_every_transcript_prints_what_it_shows(self):
        self.machines[2].power_off()  # as the demo leaves its cluster
        self.cluster.wait_for_machines(self.machines[:2])
        found = examples.find("console")
        for path in sorted({example.path for example in found}):
            # The transcripts of a document go on from each other.
            folder = self.machines[0].exec("mktemp", "-d").ok().strip()
            for example in (example for example in found if example.path == path):
                with self.subTest(str(example)):
                    for step in examples.steps(example):
                        done = self.machines[0].exec("bash", "-c", f"cd {folder} && {{ {step.command}\n}} 2>&1")
                        self.assertEqual(examples.same(done.out), examples.same(step.output), step.command)
            for name in self.cluster.units():
                self.cluster.fleetctl("destroy", name).ok()

    def put_certificates(self, text):
        """Those with which it serves are read when it starts."""
        sources = {"store_cafile": "ca.pem", "store_certfile": "store.pem", "store_keyfile": "store.key"}
        paths = [line.split("=", 1) for line in text.splitlines() if line.split("=")[0] in sources]
        if not paths:
            return
        with tempfile.TemporaryDirectory() as folder:
            for words in (("authority", "ca"), ("server", "store", "ca", "IP:10.0.0.1")):
                subprocess.run([LAB.parent / "certificates", folder, *words], capture_output=True, check=True)
            for key, path in paths:
                self.machines[0].exec("sh", "-c", 'cat >"$0"', path, stdin=(Path(folder) / sources[key]).read_text(encoding="ascii")).ok()
                self.addCleanup(self.machines[0].exec, "rm", "-f", path)

    def test_every_configuration_is_accepted(self):
        # The address at which the examples serve.
        self.machines[0].exec("ip", "address", "add", "10.0.0.1/32", "dev", "lo").ok()
        self.addCleanup(self.machines[0].exec, "ip", "address", "delete", "10.0.0.1/32", "dev", "lo")
        for example in examples.find("ini"):
            self.put_certificates(example.text)
            with self.subTest(str(example)):
                # It gets as far as waiting for the store, which is not there.
                script = 'cat >/tmp/example.conf && RUNTIME_DIRECTORY=$(mktemp -d) STATE_DIRECTORY=$(mktemp -d) timeout 1 fleetd --config /tmp/example.conf 2>&1; true'
                out = self.machines[0].exec("sh", "-c", script, stdin=example.text).ok()
                self.assertNotIn("Cannot start", out)

    @needs_etcd("its users")
    def test_every_command_of_a_host_is_one(self):
        """etcdctl's are carried out on the lab's etcd, etcd's flags must exist, and our own scripts are run elsewhere."""
        etcd_help = subprocess.run(["etcd", "--help"], capture_output=True, text=True, check=False)
        for example in examples.find("sh"):
            for line in example.text.replace("\\\n", " ").splitlines():
                with self.subTest(f"{example}: {line}"):
                    words = line.split("#")[0].split()
                    if words[0] == "etcdctl":
                        self.cluster.etcdctl(*words[1:])
                    elif words[0] == "etcd":
                        for flag in (word for word in words if word.startswith("--")):
                            self.assertIn(f"{flag} ", etcd_help.stdout + etcd_help.stderr)
                    else:
                        self.assertIn(words, [["sudo", "scripts/demo"], ["sudo", "scripts/test"]])

    def test_every_command_line_of_the_manual_is_understood(self):
        [example] = examples.find("fleetctl")
        for line in example.text.splitlines():
            with self.subTest(line):
                program, *words = line.split()
                self.assertEqual(program, "fleetctl")
                self.assertIn("USAGE:", self.cluster.fleetctl("--help", *words).ok())

    def test_every_unit_file_is_accepted(self):
        for example in examples.find("ini-unit"):
            with self.subTest(str(example)):
                self.cluster.put_unit("example.service", example.text)
                self.cluster.fleetctl("submit", "example.service").ok()
                self.cluster.fleetctl("destroy", "example.service").ok()


class OnThisHost(unittest.TestCase):
    install_root = None  # set by `run`

    def test_every_fence_says_what_it_holds(self):
        for example in examples.find():
            self.assertIn(example.kind, examples.KINDS, str(example))

    def test_every_body_is_json(self):
        for example in examples.find("json"):
            for line in example.text.splitlines():
                json.loads(line)

    def test_every_piece_of_c_compiles(self):
        for example in examples.find("c"):
            done = subprocess.run(["gcc", "-std=gnu17", "-D_GNU_SOURCE", "-fsyntax-only", "-x", "c", f"-I{examples.TOP}", "-"], input=example.text, capture_output=True, text=True, check=False)
            self.assertEqual(done.stderr, "", str(example))

    def test_the_demo(self):
        environment = {**os.environ, "LAB_NAME": f"test-{os.getpid()}-demo"}
        demo = str(examples.TOP / "scripts/demo")
        self.addCleanup(subprocess.run, [demo, "down"], env=environment, capture_output=True, check=True)
        # One of the two stores in each of the stages of scripts/test.
        words = [demo] if harness.STORE == "served" else [demo, "--etcd"]
        done = subprocess.run(words, env=environment, capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
        self.assertRegex(done.stdout, r"== all of them are active elsewhere after \d+\.\d s")
        [shown] = [example.text for example in examples.find("text") if "power cut" in example.text]
        for line in shown.splitlines():
            if line.startswith("$ "):
                self.assertIn(line, done.stdout)
        listed = subprocess.run([demo, "fleetctl", "list-machines", "--no-legend"], env=environment, capture_output=True, text=True, check=True).stdout
        self.assertEqual(len(listed.splitlines()), 2)
        # They are never on one machine: one of them is reached by SSH.
        status = subprocess.run([demo, "exec", "m1", "fleetctl", "status", "edge@1", "edge@2"], env=environment, capture_output=True, text=True, check=False)
        self.assertEqual((status.returncode, status.stdout.count("Active: active (running)")), (0, 2), str(status))
