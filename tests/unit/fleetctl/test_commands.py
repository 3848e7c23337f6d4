# SPDX-License-Identifier: Apache-2.0
"""test_commands.py FLEETCTL: runs every command of the real program against an API in memory (stub_api.py), and compares what
a person or a script sees: stdout, stderr and exit code, to the byte."""

import hashlib
import json
import os
import pty
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

import stub_api

FLEETCTL = None
M1 = "0c1f1a2b.../10.77.0.11"
M2 = "1d2e3f4a.../10.77.0.12"
LOG_TIME = r"\d{4}/\d\d/\d\d \d\d:\d\d:\d\d "  # what log lines begin with
PLAIN = "[Service]\nExecStart=/bin/true\n"


def outcome(kind):
    return PLAIN + "[Stub]\nOutcome=%s\n" % kind


class CommandTest(unittest.TestCase):
    tcp = False

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="fleetctl-test-")
        self.addCleanup(shutil.rmtree, self.directory)
        self.stub = stub_api.Stub(self.directory, self.tcp)
        self.addCleanup(self.stub.stop)
        self.cluster = self.stub.cluster

    def environment(self, **extra):
        env = {k: v for k, v in os.environ.items() if not k.startswith("FLEETCTL_")}
        return dict(env, FLEETCTL_ENDPOINT=self.stub.endpoint, **extra)

    def file(self, name, text):
        path = os.path.join(self.directory, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)

    def run_raw(self, *args, **env):
        return subprocess.run([FLEETCTL, *args], cwd=self.directory, env=self.environment(**env), capture_output=True,
                              text=True, timeout=60, check=False)

    def run_on_terminal(self, *args, answer=""):
        """What a person sees who types `answer` when asked."""
        pid, terminal = pty.fork()
        if pid == 0:
            os.chdir(self.directory)
            os.execve(FLEETCTL, [FLEETCTL, *args], self.environment())
        text = b""
        os.write(terminal, answer.encode())
        try:
            while chunk := os.read(terminal, 4096):
                text += chunk
        except OSError:
            pass  # the other end has closed
        os.close(terminal)
        os.waitpid(pid, 0)
        return text.decode()

    def check(self, command, out="", err="", code=0, **env):
        done = self.run_raw(*command.split(), **env)
        said = re.sub(r"(?m)^%s(?=[A-Z]+ )" % LOG_TIME, "", done.stderr)
        self.assertEqual((done.stdout, said, done.returncode), (out, err, code), command)

    def sent(self, method, path):
        """Bodies of the requests that arrived there."""
        return [body for m, p, body in self.cluster.requests if m == method and p == path]


class Submit(CommandTest):
    def test_creates(self):
        """A missing unit is created inactive; a known one is left, silently."""
        self.file("a.service", PLAIN)
        self.check("submit a", out="Unit a.service inactive\n")
        self.assertEqual(self.cluster.units["a.service"]["desiredState"], "inactive")
        self.check("submit a.service")
        self.assertEqual(len(self.sent("POST", "/fleet/v1/units")), 1)

    def test_many_are_one_request(self):
        """Units of one command arrive together, so that all are created or none."""
        for i in range(3):
            self.file("dir/u%d.service" % i, PLAIN)
        self.check("submit dir/u0 dir/u1 dir/u2", out="".join("Unit u%d.service inactive\n" % i for i in range(3)))
        (body,) = self.sent("POST", "/fleet/v1/units")
        self.assertEqual([u["name"] for u in body["units"]], ["u0.service", "u1.service", "u2.service"])

    def test_one_bad_file_stops_all(self):
        """A file that does not parse is named with its line, and nothing is created."""
        self.file("a.service", PLAIN)
        self.file("b.service", "[Unit]\nDescription=x\n[Service\n")
        self.check("submit a b", code=1,
                   err="Error creating units: failed getting Unit(b.service) from file: line 3: unable to find end of section\n")
        self.assertEqual(self.cluster.units, {})

    def test_a_fifo_is_no_unit_file(self):
        """What is no regular file is refused, not waited for."""
        os.mkfifo(os.path.join(self.directory, "p.service"))
        self.check("submit p", code=1,
                   err="Error creating units: failed getting Unit(p.service) from file: it is no regular file\n")

    def test_instances(self):
        """Instances come from the template beside them, under their own names."""
        self.file("web@.service", PLAIN)
        self.check("submit web@1 web@2.service", out="Unit web@1.service inactive\nUnit web@2.service inactive\n")
        self.assertEqual(sorted(self.cluster.units), ["web@1.service", "web@2.service"])

    def test_missing(self):
        self.check("submit nope", code=1,
                   err="Error creating units: unable to find Unit(nope.service) in Registry or on filesystem\n")

    def test_unknown_key_warns(self):
        self.file("a.service", PLAIN + "[X-Fleet]\nBogus=1\n")
        self.check("submit a", out="Unit a.service inactive\n",
                   err='WARN Unit a.service: unrecognized requirement in [X-Fleet] section: "Bogus"\n')

    def test_misspelt_key_and_section_warn(self):
        """With what may have been meant."""
        self.file("a.service", PLAIN + "[X-Fleet]\nMachineMeta=a=b\n[X-Flet]\nGlobal=true\n")
        self.check("submit a", out="Unit a.service inactive\n",
                   err='WARN Unit a.service: unrecognized requirement in [X-Fleet] section: "MachineMeta"; did you mean '
                       "MachineMetadata?\nWARN Unit a.service: unknown section [X-Flet]; did you mean [X-Fleet]?\n")

    def test_differing_file_warns(self):
        self.cluster.add("a.service", PLAIN)
        self.file("a.service", "[Service]\nExecStart=/bin/false\n")
        self.check("submit a", err="WARNING: Unit a.service in registry differs from local unit file a.service. "
                                   "Add --replace to override.\n")

    def test_replace(self):
        self.cluster.add("a.service", PLAIN)
        self.file("a.service", "[Service]\nExecStart=/bin/false\n")
        self.check("submit --replace a", out="Unit a.service inactive\n")
        self.assertEqual(self.cluster.units["a.service"]["options"][0]["value"], "/bin/false")
        self.check("submit --replace a", out="Found same Unit(a.service) in Registry, nothing to do\n")

    def test_replace_leaves_running_units(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.file("a.service", "[Service]\nExecStart=/bin/false\n")
        self.check("submit --replace a", err="Warning: can not replace Unit(a.service) in state 'launched', "
                                             "use the appropriate command: fleetctl start --replace\n")
        self.assertEqual(self.cluster.units["a.service"]["options"][0]["value"], "/bin/true")

    def test_replace_goes_on_with_the_others(self):
        """One that may not be replaced in its state does not stop the command; nor does the name of a unit change what it is."""
        self.cluster.add("start.service", PLAIN, "launched")
        self.cluster.add("b.service", PLAIN)
        for name in ("start", "b", "c"):
            self.file(name + ".service", "[Service]\nExecStart=/bin/false\n")
        self.check("submit --replace start b c", out="Unit b.service inactive\nUnit c.service inactive\n",
                   err="Warning: can not replace Unit(start.service) in state 'launched', use the appropriate command: fleetctl start --replace\n")

    def test_instance_in_a_directory_that_is_not_there(self):
        self.cluster.add("web@.service", PLAIN + "[X-Fleet]\nMachineMetadata=i=%i\n")
        self.check("submit no/where/web@1", out="Unit web@1.service inactive\n")
        self.assertEqual(self.cluster.units["web@1.service"]["options"], self.cluster.units["web@.service"]["options"])

    def test_options_that_cannot_be_combined(self):
        self.file("a.service", PLAIN + "[X-Fleet]\nGlobal=true\nMachineID=0c1f1a2b\n")
        self.check("submit a", err="Error creating units: a.service: MachineID cannot be used with Global\n", code=1)
        self.assertEqual(self.cluster.units, {})

    def test_sign_is_ignored(self):
        self.file("a.service", PLAIN)
        self.check("submit --sign a", out="Unit a.service inactive\n")
        self.check("start --sign=true a", out="Unit a.service launched on %s\n" % M1)

    def test_files_too_large_for_one_request(self):
        self.file("big@.service", PLAIN + "Environment=A=%s\n" % ("x" * 900000))
        self.check("submit big@{1..100}", code=1,
                   err="Error creating units: the files of the 100 units are more than one request can hold, which is 4 MiB: "
                       "name fewer at a time\n")
        self.assertEqual(self.cluster.units, {})

    def test_names_are_encoded(self):
        """Whatever a name may hold arrives as that name."""
        self.file("a:b-c_d.e\\x2d@1.service", PLAIN)
        done = self.run_raw("submit", "a:b-c_d.e\\x2d@1.service")
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertIn("a:b-c_d.e\\x2d@1.service", self.cluster.units)
        self.assertEqual(self.cluster.requests[0][1], "/fleet/v1/units/a%3Ab-c_d.e%5Cx2d%401.service")


class Words(CommandTest):
    """Braces and patterns, which a shell left to fleetctl."""

    def three(self, desired="launched"):
        for i in (1, 2, 3):
            self.cluster.add("web@%d.service" % i, PLAIN, desired)
        self.cluster.add("db.service", PLAIN, desired)

    def run_words(self, *words):
        done = self.run_raw(*words)
        return done.returncode, done.stdout, done.stderr

    def test_ranges_make_units(self):
        self.file("d/web@.service", PLAIN)
        self.assertEqual(self.run_words("submit", "d/web@{1..2}", "d/web@{x,y}.service"),
                         (0, "".join("Unit web@%s.service inactive\n" % i for i in "12xy"), ""))

    def test_too_large_a_range(self):
        rc, out, err = self.run_words("submit", "web@{1..1000000000}")
        self.assertEqual((rc, out, err), (1, "", "Error creating units: web@{1..1000000000}: the braces stand for more than "
                                                 "10000 units\n"))
        self.assertEqual(self.cluster.requests, [])
        self.assertEqual(self.run_words("stop", "web@{1..1000000000}")[0], 1)

    def test_more_than_one_request_holds(self):
        """Nothing is asked of the server, and nothing is done."""
        self.file("web@.service", PLAIN)
        rc, out, err = self.run_words("submit", "web@{1..5000}")
        self.assertEqual((rc, out), (1, ""))
        self.assertEqual(err, "Error creating units: 5000 units are more than one request can hold, which is 4096, and they are "
                              "changed in one, all or none: name fewer at a time\n")
        self.assertEqual(self.cluster.requests, [])

    def test_patterns_match_the_cluster(self):
        """In byte order, each once, and never the names of files."""
        self.three()
        self.file("web@9.service", PLAIN)
        self.assertEqual(self.run_words("stop", "web@[12]", "web@*"),
                         (0, "".join("Unit web@%d.service loaded on %s\n" % (i, M1) for i in (1, 2, 3)),
                          "Successfully stopped units [web@1.service web@2.service web@3.service].\n"))
        self.assertEqual(self.cluster.units["db.service"]["desiredState"], "launched")

    def test_more_than_one_request_holds_can_be_taken_down(self):
        """In parts: ten thousand units are stopped by one command, too."""
        self.cluster.page_size = 10000
        for i in range(5000):
            self.cluster.add("u%d.service" % i, PLAIN, "launched")
        done = self.run_raw("unload", "u*")
        self.assertEqual((done.returncode, done.stdout.count(" inactive\n")), (0, 5000))
        for path in ("units", "wait"):
            self.assertEqual([len(body["units"]) for body in self.sent("POST", "/fleet/v1/" + path)], [4096, 904])

    def test_patterns_cost_one_list(self):
        self.cluster.page_size = 1000
        self.three()
        self.assertEqual(self.run_words("destroy", "--no-block", "*")[0], 0)
        self.assertEqual([path for method, path, _ in self.cluster.requests if method == "GET"], ["/fleet/v1/units"])
        self.assertEqual(self.cluster.units, {})

    def test_a_thousand_names_cost_one_list(self):
        self.cluster.page_size = 10000
        for i in range(0, 1200, 2):
            self.cluster.add("u%d.service" % i, PLAIN)
        rc, out, err = self.run_words("destroy", "--no-block", "u{0..1199}")
        self.assertEqual((rc, out, err), (0, "".join("Destroyed u%d.service\n" % i for i in range(0, 1200, 2)), ""))
        self.assertEqual([path for method, path, _ in self.cluster.requests if method == "GET"], ["/fleet/v1/units"])

    def test_pattern_without_a_match(self):
        """Like an unknown name, but told of: where those are dropped it is dropped, where they are an error it is one."""
        self.three()
        self.assertEqual(self.run_words("stop", "zz*"), (0, "", "No unit matches zz*\nUnits not found in registry\n"))
        self.assertEqual(self.run_words("destroy", "zz*", "db"), (0, "Destroyed db.service\n", "No unit matches zz*\n"))
        self.assertEqual(self.run_words("start", "web@1", "zz*"),
                         (1, "", "Error creating units: no unit in the cluster matches zz*\n"))
        self.assertEqual(self.run_words("cat", "zz*"), (1, "", "No unit matches zz*\n"))
        self.assertEqual(self.run_words("unload", "a["), (1, "", "Error retrieving units: a[: not a pattern: a [ has no ]\n"))

    def test_start_skips_templates_that_match(self):
        self.three("loaded")
        self.cluster.add("web@.service", PLAIN)
        self.assertEqual(self.run_words("start", "web@*"),
                         (0, "".join("Unit web@%d.service launched on %s\n" % (i, M1) for i in (1, 2, 3)), ""))

    def test_stop_skips_inactive_units_that_match(self):
        """Only who names one is told that it cannot be stopped."""
        self.three()
        self.cluster.add("idle.service", PLAIN)
        self.assertEqual(self.run_words("stop", "*")[0], 0)
        self.assertEqual(self.run_words("stop", "idle*", "idle"), (1, "", "Unable to stop unit idle.service in state inactive\n"))

    def test_submit_of_a_pattern(self):
        """Units that are there already are left, or with --replace compared with the files in that directory."""
        self.three("inactive")
        self.file("d/web@.service", "[Service]\nExecStart=/bin/false\n")
        self.assertEqual(self.run_words("submit", "web@*"), (0, "", ""))
        self.assertEqual(self.run_words("submit", "--replace", "d/web@*"),
                         (0, "".join("Unit web@%d.service inactive\n" % i for i in (1, 2, 3)), ""))
        self.assertEqual(self.cluster.units["web@3.service"]["options"][0]["value"], "/bin/false")

    def test_cat_of_several(self):
        self.three()
        one = "[Service]\nExecStart=/bin/true\n"
        self.assertEqual(self.run_words("cat", "web@{1,2}"), (0, "# web@1.service\n%s\n# web@2.service\n%s" % (one, one), ""))
        self.assertEqual(self.run_words("cat", "web@[1]"), (0, one, ""))


class Start(CommandTest):
    def test_new_unit(self):
        """Three requests: look, write, wait."""
        self.file("a.service", PLAIN)
        self.check("start a", out="Unit a.service inactive\nUnit a.service launched on %s\n" % M1)
        self.assertEqual([(m, p) for m, p, _ in self.cluster.requests],
                         [("GET", "/fleet/v1/units/a.service"), ("POST", "/fleet/v1/units"), ("POST", "/fleet/v1/wait")])

    def test_known_unit_is_asked_for_again(self):
        """A unit that is already meant to run is sent again: that revives a dead one."""
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("start a", out="Unit a.service launched on %s\n" % M1)
        self.assertEqual(self.sent("POST", "/fleet/v1/units"), [{"units": [{"desiredState": "launched", "name": "a.service"}]}])

    def test_global(self):
        self.file("g.service", PLAIN + "[X-Fleet]\nGlobal=true\n")
        self.check("start g", out="Unit g.service inactive\nTriggered global unit g.service start\n")
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"), [])

    def test_no_block(self):
        self.cluster.add("a.service", PLAIN)
        self.check("start --no-block a", out="Triggered unit a.service start\n")
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"), [])

    def test_failed(self):
        self.cluster.add("a.service", outcome("failed"))
        self.check("start a", code=1,
                   err="Unit a.service failed on %s: %s\nError waiting for unit states, exit status: unit a.service did not "
                       "reach state launched\n" % (M1, stub_api.WHY_FAILED))

    def test_one_of_several_fails(self):
        self.cluster.add("a.service", outcome("failed"))
        self.cluster.add("b.service", PLAIN)
        self.check("start a b", code=1, out="Unit b.service launched on %s\n" % M1,
                   err="Unit a.service failed on %s: %s\nError waiting for unit states, exit status: 1 of 2 units did not "
                       "reach state launched\n" % (M1, stub_api.WHY_FAILED))

    def test_destroyed_meanwhile(self):
        """Who waits for a unit to run and finds it destroyed has not got it."""
        self.cluster.add("a.service", outcome("destroyed"))
        self.check("start a", code=1, err="Unit a.service was destroyed meanwhile\nError waiting for unit states, exit status: unit "
                                          "a.service did not reach state launched\n")

    def test_unplaced_gives_up(self):
        """The reason comes at once, the end two seconds later."""
        self.cluster.add("a.service", outcome("unplaced"))
        begin = time.monotonic()
        self.check("start a", code=1,
                   err="Unit a.service cannot be placed: %s\nThe request stands: fleet goes on looking for a machine. "
                       "--block-attempts=0 waits for that, 'fleetctl unload' takes it back.\nError waiting for unit states, "
                       "exit status: unit a.service did not reach state launched\n" % stub_api.WHY_UNPLACED)
        self.assertTrue(2.0 <= time.monotonic() - begin < 4.0)

    def test_unplaced_is_placed_soon(self):
        self.cluster.add("a.service", outcome("late"))
        self.check("start a", out="Unit a.service launched on %s\n" % M2,
                   err="Unit a.service cannot be placed: %s\n" % stub_api.WHY_UNPLACED)

    def test_placed_but_slow(self):
        """A unit that got a machine after all is waited for, however long it takes to start."""
        self.cluster.add("a.service", outcome("hidden"))
        self.check("start a", out="Unit a.service launched on %s\n" % M2,
                   err="Unit a.service cannot be placed: %s\n" % stub_api.WHY_UNPLACED)

    def test_block_attempts(self):
        """N attempts are N times two seconds, told to the server."""
        self.cluster.add("a.service", outcome("silent"))
        self.check("start --block-attempts=1 a", code=1,
                   err="Error waiting for units: timed out waiting for unit a.service to report state launched\nError waiting "
                       "for unit states, exit status: unit a.service did not reach state launched\n")
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"),
                         [{"state": "launched", "timeoutMs": 2000, "units": [{"name": "a.service"}]}])

    def test_block_attempts_0_waits_on(self):
        """Also for a unit that no machine takes: it says so, and goes on."""
        self.cluster.add("a.service", outcome("unplaced"))
        process = subprocess.Popen([FLEETCTL, "start", "--block-attempts=0", "a"], stderr=subprocess.PIPE, text=True,
                                   env=self.environment(), cwd=self.directory)
        self.assertEqual(process.stderr.readline(), "Unit a.service cannot be placed: %s\n" % stub_api.WHY_UNPLACED)
        with self.assertRaises(subprocess.TimeoutExpired):
            process.wait(timeout=3)
        process.terminate()
        process.communicate(timeout=60)

    def test_template(self):
        self.file("x@.service", PLAIN)
        self.check("start x@.service", code=1,
                   err='Error starting units: googleapi: Error 400: cannot activate template "x@.service"\n')

    def test_replace_gets_the_commands_state(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.file("a.service", "[Service]\nExecStart=/bin/false\n")
        self.check("start --replace a", out="Unit a.service launched on %s\n" % M1)
        self.assertEqual(self.cluster.units["a.service"]["desiredState"], "launched")
        self.assertEqual(self.cluster.units["a.service"]["options"][0]["value"], "/bin/false")

    def test_thousand(self):
        """Many units are looked up over few connections, and written in one request."""
        self.cluster.page_size = 100
        self.file("web@.service", PLAIN)
        done = self.run_raw("start", *["web@%d" % i for i in range(999)])
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertEqual(done.stdout.count("launched on"), 999)
        self.assertLessEqual(self.cluster.connections, 33)
        self.assertEqual(len(self.sent("POST", "/fleet/v1/units")), 1)

    def test_interrupted_wait(self):
        """Waiting can be interrupted."""
        self.cluster.add("a.service", outcome("silent"))
        process = subprocess.Popen([FLEETCTL, "start", "a"], stdout=subprocess.PIPE, text=True, env=self.environment(),
                                   cwd=self.directory)
        while not self.sent("POST", "/fleet/v1/wait"):
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual(process.returncode, -signal.SIGINT)

    def test_progress_on_a_terminal(self):
        """A long wait shows a count on a terminal and clears it."""
        self.cluster.add("a.service", PLAIN)
        self.cluster.add("b.service", outcome("silent"))
        text = self.run_on_terminal("start", "--block-attempts=1", "a", "b")
        self.assertIn("1/2 units launched", text)
        self.assertIn("\r\033[KError waiting for units: timed out waiting for unit b.service", text)


class ReplaceTemplate(CommandTest):
    """Instances that have the old content of a template that is replaced."""

    NEW = "[Service]\nExecStart=/bin/false\n"

    def setUp(self):
        super().setUp()
        self.cluster.add("web@.service", PLAIN)
        self.cluster.add("web@1.service", PLAIN, "launched")
        self.cluster.add("web@2.service", PLAIN)
        self.cluster.add("web@3.service", PLAIN, "loaded")
        self.cluster.add("web@4.service", PLAIN, "launched")
        self.cluster.add("web@own.service", "[Service]\nExecStart=/bin/sleep 9\n", "launched")
        self.cluster.add("db@1.service", PLAIN, "launched")
        self.file("d/web@.service", self.NEW)

    def content(self, name):
        return self.cluster.units[name]["options"][0]["value"]

    def test_a_script_is_told(self):
        """Which keep the old content, and the commands that replace them, which do."""
        told = ("4 instances of what was replaced still have the old content. To replace them, too:\n"
                "  fleetctl start --replace d/web@1.service d/web@4.service\n  fleetctl load --replace d/web@3.service\n"
                "  fleetctl submit --replace d/web@2.service\n")
        self.check("submit --replace d/web@.service", out="Unit web@.service inactive\n", err=told)
        self.assertEqual((self.content("web@.service"), self.content("web@1.service")), ("/bin/false", "/bin/true"))
        for line in told.splitlines()[1:]:
            self.assertEqual(self.run_raw(*line.split()[1:]).returncode, 0, line)
        for i, desired in enumerate(("launched", "inactive", "loaded", "launched"), 1):
            self.assertEqual((self.content("web@%d.service" % i), self.cluster.units["web@%d.service" % i]["desiredState"]),
                             ("/bin/false", desired))
        self.assertEqual((self.content("web@own.service"), self.content("db@1.service")), ("/bin/sleep 9", "/bin/true"))
        self.check("submit --replace d/web@.service", out="Found same Unit(web@.service) in Registry, nothing to do\n")

    def test_a_person_is_asked(self):
        """Yes replaces all in one request, each in its desired state."""
        text = self.run_on_terminal("start", "--replace", "d/web@.service", answer="y\n")
        self.assertIn("  web@3.service (loaded)\r\n", text)
        self.assertIn("Replace them, too? Those that run are restarted. [y/N] ", text)
        self.assertIn("Unit web@1.service launched on", text)
        self.assertNotIn("Unit web@3.service launched", text)
        (body,) = self.sent("POST", "/fleet/v1/units")
        self.assertEqual([(u["name"], u["desiredState"]) for u in body["units"]],
                         [("web@.service", "inactive"), ("web@1.service", "launched"), ("web@2.service", "inactive"),
                          ("web@3.service", "loaded"), ("web@4.service", "launched")])
        self.assertEqual(self.content("web@2.service"), "/bin/false")

    def test_no_is_the_default(self):
        text = self.run_on_terminal("submit", "--replace", "d/web@.service", answer="\n")
        self.assertIn("  fleetctl load --replace d/web@3.service\r\n", text)
        self.assertEqual((self.content("web@.service"), self.content("web@1.service")), ("/bin/false", "/bin/true"))

    def test_named_instances_follow(self):
        """Who names them need not be asked."""
        self.check("start --replace d/web@.service d/web@1 d/web@{2..4}", out="Unit web@.service inactive\n" + "".join(
            "Unit web@%d.service launched on %s\n" % (i, M1) for i in (1, 2, 3, 4)))
        self.assertEqual({self.content("web@%d.service" % i) for i in (1, 2, 3, 4)}, {"/bin/false"})

    def test_an_instance_never_gets_the_old_content(self):
        """Its template beside it counts before that in the cluster; without one, that in the cluster."""
        self.check("start --replace d/web@1", out="Unit web@1.service launched on %s\n" % M1)
        self.assertEqual(self.content("web@1.service"), "/bin/false")
        self.cluster.add("web@.service", "[Service]\nExecStart=/bin/cat\n")
        self.check("start --replace web@1", out="Unit web@1.service launched on %s\n" % M1)
        self.assertEqual(self.content("web@1.service"), "/bin/cat")

    def test_a_new_template_cannot_be_started(self):
        self.file("x@.service", PLAIN)
        self.check("start --replace x@.service", code=1,
                   err='Error starting units: googleapi: Error 400: cannot activate template "x@.service"\n')


class Load(CommandTest):
    def test_load(self):
        self.file("a.service", PLAIN)
        self.check("load a", out="Unit a.service inactive\nUnit a.service loaded on %s\n" % M1)

    def test_launched_is_loaded(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("load a", out="Unit a.service loaded on %s\n" % M1)
        self.assertEqual(self.cluster.units["a.service"]["desiredState"], "loaded")

    def test_global_and_no_block(self):
        self.cluster.add("g.service", PLAIN + "[X-Fleet]\nGlobal=true\n")
        self.cluster.add("a.service", PLAIN)
        self.check("load g", out="Triggered global unit g.service load\n")
        self.check("load --no-block a", out="Triggered unit a.service load\n")

    def test_errors(self):
        self.file("x@.service", PLAIN)
        self.check("load x@.service", code=1,
                   err='Error loading units: googleapi: Error 400: cannot activate template "x@.service"\n')
        self.cluster.add("a.service", outcome("silent"))
        self.check("load --block-attempts=1 a", code=1,
                   err="Error waiting for units: timed out waiting for unit a.service to report state loaded\nError waiting for "
                       "unit states, exit status: unit a.service did not reach state loaded\n")

    def test_replace_replaces(self):
        """Also what runs: it is replaced, and loaded as asked."""
        self.cluster.add("a.service", PLAIN, "launched")
        self.file("a.service", "[Service]\nExecStart=/bin/false\n")
        self.check("load --replace a", out="Unit a.service loaded on %s\n" % M1)
        self.assertEqual(self.cluster.units["a.service"]["options"][0]["value"], "/bin/false")


class Stop(CommandTest):
    def test_stop(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.cluster.add("b.service", PLAIN, "launched")
        self.check("stop a unknown b", out="Unit a.service loaded on %s\nUnit b.service loaded on %s\n" % (M1, M1),
                   err="Successfully stopped units [a.service b.service].\n")
        self.assertEqual(self.cluster.units["a.service"]["desiredState"], "loaded")

    def test_already_stopped(self):
        self.cluster.add("a.service", PLAIN, "loaded")
        self.check("stop a", err="Successfully stopped units [].\n")

    def test_inactive_is_refused(self):
        self.cluster.add("a.service", PLAIN)
        self.check("stop a", err="Unable to stop unit a.service in state inactive\n", code=1)
        self.assertEqual(self.sent("POST", "/fleet/v1/units"), [])

    def test_inactive_among_others(self):
        """The others are stopped all the same."""
        self.cluster.add("a.service", PLAIN, "launched")
        self.cluster.add("b.service", PLAIN)
        self.cluster.add("c.service", PLAIN, "launched")
        self.check("stop a b c", code=1, out="Unit a.service loaded on %s\nUnit c.service loaded on %s\n" % (M1, M1),
                   err="Unable to stop unit b.service in state inactive\nSuccessfully stopped units [a.service c.service].\n")

    def test_errors(self):
        self.cluster.add("a.service", outcome("silent"), "launched")
        self.check("stop --block-attempts=1 a", code=1,
                   err="Error waiting for units: timed out waiting for unit a.service to report state loaded\nFailed to stop "
                       "units [a.service]. err: unit a.service did not reach state loaded\n")
        self.cluster.refuse[("POST", "/fleet/v1/units")] = (500, "disk full")
        self.cluster.add("b.service", PLAIN, "launched")
        self.check("stop b", code=1, err="Failed to stop units [b.service]. err: googleapi: Error 500: disk full\n")

    def test_never_placed(self):
        """What was asked for and never found a machine can be stopped."""
        self.cluster.add("a.service", outcome("unplaced"), "launched")
        self.check("stop a", out="Unit a.service inactive\n", err="Successfully stopped units [a.service].\n")
        self.assertEqual(self.cluster.units["a.service"]["desiredState"], "loaded")

    def test_not_found(self):
        self.check("stop zz", err="Units not found in registry\n")

    def test_global_and_no_block(self):
        self.cluster.add("g.service", PLAIN + "[X-Fleet]\nGlobal=true\n", "launched")
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("stop --no-block g a", out="Triggered global unit g.service stop\nTriggered unit a.service stop\n")
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"), [])


class Unload(CommandTest):
    def test_unload(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("unload a", out="Unit a.service inactive\n", err="Successfully unloaded units [a.service].\n")

    def test_destroyed_meanwhile(self):
        """Who wants a unit off its machine and finds it destroyed has what was asked for."""
        self.cluster.add("a.service", outcome("destroyed"), "launched")
        self.check("unload a", out="Unit a.service inactive\n", err="Successfully unloaded units [a.service].\n")

    def test_never_placed(self):
        self.cluster.add("a.service", outcome("unplaced"), "launched")
        self.check("unload a", out="Unit a.service inactive\n", err="Successfully unloaded units [a.service].\n")
        self.assertEqual(self.cluster.units["a.service"]["desiredState"], "inactive")

    def test_inactive_is_nothing_to_do(self):
        self.cluster.add("a.service", PLAIN)
        self.check("unload a", err="Successfully unloaded units [].\n")
        self.assertEqual(self.sent("POST", "/fleet/v1/units"), [])

    def test_global(self):
        self.cluster.add("g.service", PLAIN + "[X-Fleet]\nGlobal=true\n", "launched")
        self.check("unload g", out="Triggered global unit g.service unload\nUnit g.service inactive\n",
                   err="Successfully unloaded units [g.service].\n")

    def test_refused_by_the_server(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.cluster.refuse[("POST", "/fleet/v1/units")] = (500, "")
        self.check("unload a", code=1,
                   err="Failed to unload units [a.service]. err: googleapi: got HTTP response code 500 with body: "
                       '{"error": {"code": 500, "message": ""}}\n')


class Restart(CommandTest):
    def add(self, **units):
        for name, text in units.items():
            self.cluster.add(name + ".service", text, "launched")

    def asked(self):
        """What was to be restarted, request by request."""
        posts = [body["units"] for body in self.sent("POST", "/fleet/v1/units")]
        self.assertTrue(all(unit["restart"] and "desiredState" not in unit for units in posts for unit in units), posts)
        return [[unit["name"] + ("@" + unit["machineID"][:2] if "machineID" in unit else "") for unit in units] for units in posts]

    def add_copies(self):
        self.add(g=PLAIN + "[X-Fleet]\nGlobal=true\n")
        self.cluster.states = [{"name": "g.service", "machineID": m["id"], "systemdActiveState": "active"} for m in self.cluster.machines]

    def test_one_after_the_other(self):
        self.add(a=PLAIN, b=PLAIN, c=PLAIN)
        self.check("restart c a b", out="".join("Unit %s.service launched on %s\n" % (name, M1) for name in "cab"))
        self.assertEqual(self.asked(), [["c.service"], ["a.service"], ["b.service"]])
        self.assertEqual([path for method, path, _ in self.cluster.requests if method == "POST"], ["/fleet/v1/units", "/fleet/v1/wait"] * 3)

    def test_several_at_a_time(self):
        self.add(a=PLAIN, b=PLAIN, c=PLAIN)
        self.check("restart --parallel=2 a b c", out="".join("Unit %s.service launched on %s\n" % (name, M1) for name in "abc"))
        self.assertEqual(self.asked(), [["a.service", "b.service"], ["c.service"]])

    def test_a_failure_ends_it(self):
        self.add(a=PLAIN, b=outcome("failed"), c=PLAIN, d=PLAIN)
        self.check("restart a b c d", code=1, out="Unit a.service launched on %s\n" % M1,
                   err="Unit b.service failed on %s: %s\nError restarting units: unit b.service did not reach state launched\n"
                       "Not restarted, because of that: c.service, d.service\n" % (M1, stub_api.WHY_FAILED))
        self.assertEqual(self.asked(), [["a.service"], ["b.service"]])

    def test_those_that_began_with_one_that_fails_are_waited_for(self):
        self.add(a=outcome("failed"), b=PLAIN, c=PLAIN)
        self.check("restart --parallel=2 a b c", code=1, out="Unit b.service launched on %s\n" % M1,
                   err="Unit a.service failed on %s: %s\nError restarting units: 1 of 2 units did not reach state launched\n"
                       "Not restarted, because of that: c.service\n" % (M1, stub_api.WHY_FAILED))

    def test_copies_of_a_global_unit(self):
        self.add_copies()
        done = self.run_raw("restart", "g")
        self.assertEqual((done.returncode, done.stderr), (0, ""))
        self.assertEqual([line.split()[-1][:2] for line in done.stdout.splitlines()], ["0c", "1d", "2e"])
        self.assertEqual(self.asked(), [["g.service@0c"], ["g.service@1d"], ["g.service@2e"]])
        self.assertEqual([body["units"][0]["machineID"][:2] for body in self.sent("POST", "/fleet/v1/wait")], ["0c", "1d", "2e"])

    def test_copies_on_some_machines(self):
        self.add_copies()
        self.add(a=PLAIN)
        self.check("restart --machine=1d2e,2e3f --parallel=2 g a", code=1,
                   out="Unit g.service launched on %s\nUnit g.service launched on 2e3f4a5b...\n" % M2,
                   err="Unable to restart unit a.service on that machine: it is not there\n")
        self.assertEqual(self.asked(), [["g.service@1d"], ["g.service@2e"]])

    def test_a_loaded_global_unit_is_started_as_a_whole(self):
        self.add_copies()
        self.cluster.units["g.service"]["desiredState"] = "loaded"
        self.check("restart --machine=1d g", code=1, err="Unable to restart unit g.service on one machine: it is not launched, and can only be as a whole\n")
        done = self.run_raw("restart", "g")
        self.assertEqual((done.returncode, done.stderr, len(done.stdout.splitlines())), (0, "", 3))
        self.assertEqual(self.asked(), [["g.service"]])

    def test_what_cannot_be_restarted(self):
        self.cluster.add("i.service", PLAIN)
        self.add(a=PLAIN)
        self.check("restart i a", code=1, out="Unit a.service launched on %s\n" % M1, err="Unable to restart unit i.service in state inactive\n")
        self.check("restart *", out="Unit a.service launched on %s\n" % M1)
        self.check("restart nowhere", code=1, err="Error creating units: unable to find Unit(nowhere.service) in Registry or on filesystem\n")
        self.cluster.refuse[("POST", "/fleet/v1/units")] = (500, "disk full")
        self.check("restart a", code=1, err="Error restarting units: googleapi: Error 500: disk full\n")

    def test_no_block(self):
        self.add_copies()
        self.add(a=PLAIN)
        self.check("restart --no-block g a", out="Triggered global unit g.service restart\nTriggered unit a.service restart\n")
        self.assertEqual(self.asked(), [["g.service", "a.service"]])
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"), [])

    def test_flags(self):
        self.add(a=PLAIN)
        self.check("restart --parallel=0 a", code=2, err="Error: --parallel must be at least 1\nRun 'fleetctl restart --help' for usage.\n")
        self.check("restart --machine=xyz a", code=2, err="Error: xyz is not the beginning of a machine ID, as list-machines shows them\n"
                                                          "Run 'fleetctl restart --help' for usage.\n")
        self.check("restart", err="No units given\n")
        self.assertEqual(self.asked(), [])

    def test_a_machine_that_waits_is_told_of(self):
        self.add(a=outcome("waiting"))
        self.check("restart a", out="Unit a.service launched on %s\n" % M1, err="Unit a.service on %s waits for machine 2e3f4a5b to end it\n" % M1)


class Destroy(CommandTest):
    def test_destroy(self):
        """It waits until the unit is gone from where it was."""
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("destroy a unknown", out="Destroyed a.service\n")
        self.assertEqual(self.cluster.units, {})
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"),
                         [{"state": "gone", "timeoutMs": 0,
                           "units": [{"machineID": stub_api.MACHINES[0]["id"], "name": "a.service"}]}])

    def test_no_block(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("destroy --no-block a", out="Destroyed a.service\n")
        self.assertEqual(self.sent("POST", "/fleet/v1/wait"), [])

    def test_gone_meanwhile(self):
        """Who is destroyed by somebody else first is destroyed."""
        self.cluster.add("a.service", PLAIN)
        self.cluster.refuse[("DELETE", "/fleet/v1/units/a.service")] = (404, "unit does not exist")
        self.check("destroy a", out="Destroyed a.service\n")

    def test_goes_on_after_a_failure(self):
        self.cluster.add("a.service", PLAIN)
        self.cluster.add("b.service", PLAIN)
        self.cluster.refuse[("DELETE", "/fleet/v1/units/a.service")] = (500, "disk full")
        self.check("destroy a b", out="Destroyed b.service\n", code=1,
                   err="Error destroying units: googleapi: Error 500: disk full\n")

    def test_not_found(self):
        self.check("destroy zz", err="Units not found in registry\n")

    def test_thousand(self):
        for i in range(1000):
            self.cluster.add("u%d.service" % i, PLAIN)
        done = self.run_raw("destroy", *["u%d" % i for i in range(1000)])
        self.assertEqual((done.stderr, done.returncode, done.stdout.count("Destroyed ")), ("", 0, 1000))
        self.assertEqual(self.cluster.units, {})


class Cat(CommandTest):
    def test_cat(self):
        """The output is the canonical form: its SHA-1 is the hash of the lists."""
        self.cluster.add("a.service", "[Unit]\nDescription=A\n[Service]\nExecStart=/bin/true\n", "launched")
        done = self.run_raw("cat", "a")
        self.assertEqual(done.stdout, "[Unit]\nDescription=A\n\n[Service]\nExecStart=/bin/true\n")
        self.check("list-unit-files --fields=hash --full --no-legend",
                   out=hashlib.sha1(done.stdout.encode()).hexdigest() + "\n")

    def test_errors(self):
        self.check("cat nope", err="Unit nope.service not found\n", code=1)
        self.check("cat", err="One unit file must be provided\n", code=1)
        self.check("cat a b", err="One unit file must be provided\n", code=1)


class Verify(CommandTest):
    """The systemd-analyze that is found is one that the test wrote."""

    def analyze(self, script):
        self.file("bin/systemd-analyze", "#!/bin/sh\n" + script)
        os.chmod(os.path.join(self.directory, "bin/systemd-analyze"), 0o755)
        return {"PATH": os.path.join(self.directory, "bin")}

    def test_fine(self):
        """Nothing to say, and no cluster is asked."""
        env = self.analyze('[ "$*" = "verify --man=no --recursive-errors=no -- d/a.service" ] || echo "$*"\n')
        self.file("d/a.service", PLAIN + "[X-Fleet]\nGlobal=true\n")
        self.check("verify d/a", **env)
        self.assertEqual(self.cluster.requests, [])

    def test_findings(self):
        """All of all files, each with its file's name."""
        env = self.analyze('echo "/x/${5##*/}:2: systemd does not like it" >&2\n')
        self.file("a.service", PLAIN + "[X-Fleet]\nConflict=x\nGlobal=1\nMachineID=abc\n")
        self.file("b.service", "[Service\n")
        self.check("verify a b c", code=1, **env,
                   err="a.service: MachineID cannot be used with Global\n"
                       'a.service: unrecognized requirement in [X-Fleet] section: "Conflict"; did you mean Conflicts?\n'
                       "a.service: MachineID=abc: it is not a machine ID: 32 digits of 0-9a-f, or the first 8 of them\n"
                       "/x/a.service:2: systemd does not like it\n"
                       "b.service: line 1: unable to find end of section\nc.service: there is no such file\n")

    def test_instances(self):
        """An instance without a file of its own is made from the template beside it."""
        env = self.analyze('echo "$5: seen"\n')
        self.file("d/web@.service", PLAIN)
        self.check("verify d/web@{1..2}", err="d/web@.service: seen\n" * 2, code=1, **env)
        self.check("verify x@1", err="x@.service: there is no such file\n", code=1, **env)

    def test_silent_failure(self):
        self.file("a.service", PLAIN)
        self.check("verify a", code=1, err="a.service: systemd-analyze verify fails, and does not say why\n",
                   **self.analyze("exit 3\n"))

    def test_older_systemd(self):
        """One that does not know an option is asked without it."""
        env = self.analyze('case "$*" in *recursive*) echo "unrecognized option \'--recursive-errors=no\'" >&2; exit 1;; esac\n')
        self.file("a.service", PLAIN)
        self.check("verify a", **env)

    def test_without_systemd(self):
        self.file("a.service", PLAIN)
        self.file("b.service", PLAIN + "[X-Fleet]\nBogus=1\n")
        note = "systemd-analyze is not installed here: what systemd would say of these files was not checked\n"
        self.check("verify a", err=note, PATH="/nonexistent")
        self.check("verify b", code=1, PATH="/nonexistent",
                   err='b.service: unrecognized requirement in [X-Fleet] section: "Bogus"\n' + note)

    def test_nothing_to_verify(self):
        self.check("verify", err="No unit files given\n", code=1)


class Lists(CommandTest):
    def test_list_units(self):
        """All pages, sorted by unit, then machine."""
        m1, m2 = (m["id"] for m in stub_api.MACHINES[:2])
        state = {"hash": "8bde0000" + "0" * 32, "systemdLoadState": "loaded", "systemdActiveState": "active", "systemdSubState": "running"}
        self.cluster.states = [dict(state, name="b.service", machineID=m2), dict(state, name="b.service", machineID=m1),
                               dict(state, name="a.service", machineID="9" * 32)]
        self.check("list-units", out="UNIT\t\tMACHINE\t\t\tACTIVE\tSUB\n"
                                     "a.service\t99999999...\t\tactive\trunning\n"
                                     "b.service\t%s\tactive\trunning\n"
                                     "b.service\t%s\tactive\trunning\n" % (M1, M2))
        self.check("list-units --fields=hash,load,unit --no-legend",
                   out="8bde000\tloaded\ta.service\n8bde000\tloaded\tb.service\n8bde000\tloaded\tb.service\n")

    def test_full_in_all_spellings(self):
        self.cluster.add("a.service", PLAIN, "launched")
        for flag in ("-l", "--l", "--full"):
            self.check("list-units --no-legend --fields=machine " + flag, out=stub_api.MACHINES[0]["id"] + "/10.77.0.11\n")

    def test_list_unit_files(self):
        self.cluster.add("b.service", "[Unit]\nDescription=B b\n" + PLAIN, "launched")
        self.cluster.add("a.service", outcome("unplaced"), "launched")
        self.cluster.add("g.service", PLAIN + "[X-Fleet]\nGlobal=true\n", "launched")
        self.check("list-unit-files --fields=unit,dstate,state,target",
                   out="UNIT\t\tDSTATE\t\tSTATE\t\tTARGET\na.service\tlaunched\tinactive\t-\n"
                       "b.service\tlaunched\tlaunched\t%s\ng.service\tlaunched\t-\t\tglobal\n" % M1)
        self.check("list-unit-files --fields=desc,global,why --no-legend",
                   out="-\tfalse\t%s\nB b\tfalse\t-\n-\ttrue\t-\n" % stub_api.WHY_UNPLACED)
        self.check("list-unit-files --fields=tmachine --no-legend", out="-\n%s\nglobal\n" % M1,
                   err='WARNING: The "tmachine" field is deprecated. Use "target" instead\n')

    def test_full_hash_and_all_fields(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.check("list-units --full --fields=active,hash,load,machine,sub,unit,why --no-legend",
                   out="active\t8bde%s\tloaded\t%s/10.77.0.11\trunning\ta.service\t-\n" % ("0" * 36, stub_api.MACHINES[0]["id"]))

    def test_list_machines(self):
        self.cluster.machines.reverse()  # they are sorted by ID
        self.check("list-machines", out="MACHINE\t\tIP\t\tMETADATA\n0c1f1a2b...\t10.77.0.11\tdisk=ssd,zone=z1\n"
                                        "1d2e3f4a...\t10.77.0.12\t-\n2e3f4a5b...\t-\t\t-\n")

    def test_json(self):
        """One array of what the API says of each, all of it, in the order of the table."""
        self.cluster.add("b.service", PLAIN, "launched")
        self.cluster.add("a.service", outcome("unplaced"), "launched")
        for flag in ("-o json", "--output=json", "--output json --fields=unit --no-legend"):
            done = self.run_raw("list-unit-files", *flag.split())
            self.assertEqual((done.stderr, done.returncode), ("", 0))
            self.assertEqual(json.loads(done.stdout), [self.cluster.units["a.service"], self.cluster.units["b.service"]])
        self.assertEqual(json.loads(self.run_raw("list-units", "-o", "json").stdout), self.cluster.unit_states())
        self.assertEqual(json.loads(self.run_raw("list-machines", "-o", "json").stdout), stub_api.MACHINES)
        self.check("list-units -o json nothing", out="[]\n")
        self.check("list-units -o yaml", code=2,
                   err='Error: invalid value "yaml" for flag --output: expected table or json\n'
                       "Run 'fleetctl list-units --help' for usage.\n")

    def test_filters(self):
        m1, m2 = (m["id"] for m in stub_api.MACHINES[:2])
        state = {"systemdLoadState": "loaded", "systemdActiveState": "active", "systemdSubState": "running"}
        self.cluster.states = [dict(state, name="web@1.service", machineID=m1), dict(state, name="web@2.service", machineID=m2),
                               dict(state, name="db.service", machineID=m1, systemdActiveState="failed", systemdSubState="failed")]
        for words, units in (("web@*", "web@1 web@2"), ("web@{2..3} db", "db web@2"), ("--state=failed", "db"),
                             ("--state=running,failed", "db web@1 web@2"), ("--machine=0c1f", "db web@1"),
                             ("--machine=%s web@?" % M1, "web@1"), ("zz", "")):
            self.check("list-units --no-legend --fields=unit " + words, out="".join("%s.service\n" % u for u in units.split()))
        self.check("list-units --machine=web1", code=2,
                   err="Error: web1 is not the beginning of a machine ID, as list-machines shows them\n"
                       "Run 'fleetctl list-units --help' for usage.\n")

    def test_filters_of_unit_files(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.cluster.add("b.service", PLAIN, "loaded")
        self.cluster.add("c.service", outcome("unplaced"), "launched")
        for words, units in (("--state=inactive", "c"), ("--dstate=launched", "a c"), ("--dstate=launched --state=launched", "a"),
                             ("{a,b}", "a b"), ("--machine=0c", "a b")):
            self.check("list-unit-files --no-legend --fields=unit " + words,
                       out="".join("%s.service\n" % u for u in units.split()))
        for flag in ("state", "dstate"):
            self.check("list-unit-files --%s=lauched" % flag, code=2,
                       err="Error: lauched is no state of a unit: expected inactive, loaded or launched\n"
                           "Run 'fleetctl list-unit-files --help' for usage.\n")

    def test_filters_of_machines(self):
        m1, m2, _ = ("%s...\n" % m["id"][:8] for m in stub_api.MACHINES)
        self.check("list-machines --no-legend --fields=machine 0c1f 1d2e3f4a...", out=m1 + m2)
        self.check("list-machines --no-legend --fields=machine --metadata=zone=z1,disk=ssd", out=m1)
        self.check("list-machines --no-legend --fields=machine --metadata=zone=z2")

    def test_reasons_on_a_terminal(self):
        """A person is told what a program asks a column for."""
        for i in range(12):
            self.cluster.add("u%02d.service" % i, outcome("unplaced"), "launched")
        self.cluster.add("fine.service", PLAIN, "launched")
        text = self.run_on_terminal("list-unit-files", "--fields=unit").replace("\r\n", "\n")
        names = ["u%02d.service" % i for i in range(12)]
        self.assertEqual(text, "UNIT\nfine.service\n" + "".join(n + "\n" for n in names) + "\n" +
                         "".join("%s: %s\n" % (n, stub_api.WHY_UNPLACED) for n in names[:10]) +
                         "... and 2 more: --fields=unit,why\n")
        text = self.run_on_terminal("list-unit-files", "--fields=why", "u00.service").replace("\r\n", "\n")
        self.assertEqual(text, "WHY\n%s\n" % stub_api.WHY_UNPLACED)
        text = self.run_on_terminal("list-unit-files", "--fields=unit", "--no-legend", "u00.service")
        self.assertEqual(text, "u00.service\r\n")

    def test_machine_column(self):
        """Short or whole, with the address if there is one, and the ID alone of a machine that has left."""
        ids = [m["id"] for m in stub_api.MACHINES] + ["9" * 32]
        self.cluster.states = [{"name": "u%d.service" % i, "machineID": machine} for i, machine in enumerate(ids)]
        self.check("list-units --no-legend --fields=machine", out="%s\n%s\n2e3f4a5b...\n99999999...\n" % (M1, M2))
        self.check("list-units --no-legend --fields=machine -l",
                   out="%s/10.77.0.11\n%s/10.77.0.12\n%s\n%s\n" % tuple(ids))

    def test_empty(self):
        self.check("list-units", out="UNIT\tMACHINE\tACTIVE\tSUB\n")
        self.check("list-unit-files", out="UNIT\tHASH\tDSTATE\tSTATE\tTARGET\n")

    def test_fields(self):
        self.check("list-units --fields=bogus", err='Invalid key in output format: "bogus"\n', code=1)
        self.check("list-units --fields=", err="Must define output format\n", code=1)

    def test_errors(self):
        unavailable = (503, "fleet server unable to communicate with etcd")
        for kind in ("state", "units", "machines"):
            self.cluster.refuse[("GET", "/fleet/v1/" + kind)] = unavailable
        cause = "googleapi: Error 503: fleet server unable to communicate with etcd; see: fleetctl doctor"
        soon = {"FLEETCTL_REQUEST_TIMEOUT": "0.2"}
        self.check("list-units", err="Error retrieving list of units from repository: %s\n" % cause, code=1, **soon)
        self.check("list-unit-files", err="Error retrieving list of units from repository: %s\n" % cause, code=1, **soon)
        self.check("list-machines", code=1, **soon,
                   err="Error retrieving list of active machines from fleet API (%s)\nPossible issues:\n"
                       "  etcd is unhealthy and/or lost quorum\n"
                       "  connection cannot be established to any etcd servers\n" % cause)

    def test_full_disk(self):
        """Output that cannot be written is a failure."""
        with open("/dev/full", "w", encoding="utf-8") as full:
            done = subprocess.run([FLEETCTL, "list-machines"], env=self.environment(), stdout=full, stderr=subprocess.PIPE,
                                  text=True, timeout=60, check=False)
        self.assertEqual((done.stderr, done.returncode), ("Error writing output: No space left on device\n", 1))


class Usage(CommandTest):
    def test_version(self):
        """Needs no cluster."""
        for words in ("version", "--version", "-v", "--v", "--endpoint=nonsense version", "list-units --version", "start -v x", "version x"):
            done = self.run_raw(*words.split())
            self.assertRegex(done.stdout, r"^fleetctl version \d+\.\d+\.\d+\n$")
            self.assertEqual(done.returncode, 0)

    def test_help(self):
        for words in ("", "help", "--help", "-h", "--h"):
            done = self.run_raw(*words.split())
            self.assertEqual((done.stderr, done.returncode), ("", 0))
            for title in ("NAME:", "USAGE:", "VERSION:", "COMMANDS:", "GLOBAL OPTIONS:"):
                self.assertIn(title, done.stdout)

        for words in ("help", "--help", "-h"):
            self.check(words, out=self.run_raw().stdout)

    def test_help_names_every_command_and_flag(self):
        """What the tables have, help shows, but for what is only accepted."""
        out = self.run_raw("help").stdout
        for command in ("submit", "load", "start", "stop", "unload", "destroy", "cat", "list-units", "list-unit-files", "list-machines"):
            self.assertRegex(out, r"\n    %s  " % command)
        for flag, variable in (("endpoint=URL", "ENDPOINT"), ("driver=NAME", "DRIVER"), ("ca-file=FILE", "CA_FILE"),
                               ("cert-file=FILE", "CERT_FILE"), ("key-file=FILE", "KEY_FILE"),
                               ("request-timeout=SECONDS", "REQUEST_TIMEOUT"), ("debug", "DEBUG")):
            self.assertRegex(out, r"\n    --%s [^\[]*\[FLEETCTL_%s\]\n" % (flag, variable))
        for hidden in ("etcd-cafile", "etcd-key-prefix", "experimental-api"):
            self.assertNotIn(hidden, out)

    def test_bad_values(self):
        for words, err in (
            ("list-units --full=maybe", 'invalid value "maybe" for flag --full: expected true or false'),
            ("list-units --request-timeout 0", 'invalid value "0" for flag --request-timeout: expected seconds, from 0.001 to a day'),
            ("list-units --endpoint", "flag --endpoint needs a value: --endpoint=URL"),
        ):
            self.check(words, err="Error: %s\nRun 'fleetctl list-units --help' for usage.\n" % err, code=2)
        self.check("help start stop", err="At most one command can be explained at a time\n", code=2)

    def test_help_of_commands(self):
        for words in ("help list-units", "list-units --help", "list-units -h", "--help list-units"):
            done = self.run_raw(*words.split())
            self.assertEqual((done.stderr, done.returncode), ("", 0))
            for title in ("NAME:", "USAGE:", "DESCRIPTION:", "\nOPTIONS:", "GLOBAL OPTIONS:", "-l, --full", "--fields=LIST"):
                self.assertIn(title, done.stdout)

    def test_help_fits_a_terminal(self):
        """80 columns, whatever is told; the way in and the global flags by their names only."""
        names = re.findall(r"^    ([a-z-]+)  ", self.run_raw("help").stdout, re.MULTILINE)
        self.assertGreater(len(names), 15)
        for words in (("help",), *(("help", name) for name in names)):
            out = self.run_raw(*words).stdout
            self.assertLessEqual(max(len(line) for line in out.splitlines()), 80, words)
            self.assertNotRegex(out, r"[ \t]\n|\n\n\n", words)
        out = self.run_raw("help", "start").stdout
        self.assertIn("\n    fleetctl start [--no-block] [--block-attempts=N] [--replace] UNIT...\n", out)
        self.assertIn("says why if it fails. A\n    unit that fits", out)
        self.assertNotIn("FLEETCTL_ENDPOINT", out)

    def test_no_units(self):
        for command in ("submit", "load", "start", "stop", "unload", "destroy"):
            self.check(command, err="No units given\n")

    def test_unknown_command(self):
        self.check("strat x", code=2,
                   err='Error: unknown command "strat" for "fleetctl"\nDid you mean this?\n\tstart\n'
                       "Run 'fleetctl --help' for usage.\n")
        self.check("help strat", code=2,
                   err='Error: unknown command "strat" for "fleetctl"\nDid you mean this?\n\tstart\n'
                       "Run 'fleetctl --help' for usage.\n")

    def test_unknown_flag(self):
        self.check("list-units --ful", code=2,
                   err="Error: unknown flag: --ful\nDid you mean this?\n\t--full\nRun 'fleetctl list-units --help' for usage.\n")
        self.check("start --xyzzy=host a", code=2,
                   err="Error: unknown flag: --xyzzy\nRun 'fleetctl start --help' for usage.\n")

    def test_log_lines(self):
        """Time, level, text."""
        done = self.run_raw("--debug", "list-units", TZ="UTC")
        self.assertRegex(done.stderr.splitlines()[0], "^%sDEBUG HTTP GET http" % LOG_TIME)

    def test_debug(self):
        """The flag works as the environment variable does, and says what was asked and answered."""
        base = self.stub.endpoint if self.tcp else "http://domain-sock"
        err = "DEBUG HTTP GET %s/fleet/v1/state\nDEBUG HTTP GET %s/fleet/v1/state 200\n" % (base, base)
        self.check("--debug list-units --fields=unit --no-legend", err=err)
        self.check("list-units --fields=unit --no-legend", err=err, FLEETCTL_DEBUG="true")
        self.check("list-units --fields=unit --no-legend --debug=false", FLEETCTL_DEBUG="true")


class OverTcp(CommandTest):
    tcp = True

    def test_start_and_list(self):
        self.file("web@.service", PLAIN)
        done = self.run_raw("start", *["web@%d" % i for i in range(100)])
        self.assertEqual((done.stderr, done.returncode, done.stdout.count("launched on")), ("", 0, 100))
        done = self.run_raw("list-units", "--no-legend")
        self.assertEqual((done.stderr, done.returncode, done.stdout.count("running\n")), ("", 0, 100))


if __name__ == "__main__":
    FLEETCTL = os.path.abspath(sys.argv.pop(1))
    unittest.main()
