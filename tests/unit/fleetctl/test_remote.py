#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""test_remote.py FLEETCTL: status, journal, ssh, --tunnel and fd-forward of the real program, with an `ssh` on PATH that notes how it
was called and then plays its part on this machine: it runs the command, keeps a master connection up, or asks a question."""

import json
import os
import pty
import select
import signal
import stat
import subprocess
import sys
import time
import unittest

import stub_api
import test_commands
from test_commands import PLAIN

M1, M2, M3 = (machine["id"] for machine in stub_api.MACHINES)
GLOBAL = PLAIN + "[X-Fleet]\nGlobal=true\n"
QUESTION = ("The authenticity of host '%s' can't be established.\nED25519 key fingerprint is SHA256:abc.\n"
            "Are you sure you want to continue connecting (yes/no/[fingerprint])? ")
ASKED = ("The authenticity of host '%s' can't be established.\nED25519 key fingerprint is SHA256:abc.\n"
         "Are you sure you want to continue connecting (yes/no)? ")

FAKE_SSH = r'''#!/usr/bin/python3
import json, os, signal, subprocess, sys, time
argv = sys.argv[1:]
split = argv.index("--")
flags, host, command = argv[:split], argv[split + 1], argv[split + 2:]
options = dict(flags[i + 1].split("=", 1) for i in range(len(flags)) if flags[i] == "-o")
folder = os.path.dirname(os.path.abspath(__file__))
config = open(flags[flags.index("-F") + 1]).read()
with open(folder + "/calls", "a") as f:
    f.write(json.dumps({"argv": argv, "flags": flags, "options": options, "host": host, "command": command, "config": config}) + "\n")
if host in os.environ.get("FAKE_DEAD", "").split():
    sys.stderr.write("ssh: connect to host %s port 22: Connection timed out\n" % host)
    sys.exit(255)
if "FAKE_ASK" in os.environ and options.get("ControlMaster") != "no":
    for question in json.loads(os.environ["FAKE_ASK"]):
        asked = subprocess.run([os.environ["SSH_ASKPASS"], question], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        if os.environ["SSH_ASKPASS_REQUIRE"] != "force" or asked.returncode != 0 or asked.stdout.strip() in ("", "no"):
            sys.stderr.write("Host key verification failed.\n")
            sys.exit(255)
        sys.stderr.write("answer: %s\n" % asked.stdout.strip())
if options.get("ControlMaster") == "yes":
    open(options["ControlPath"].strip('"'), "w").close()
    signal.pause()
if "LocalCommand" in options:
    subprocess.run(options["LocalCommand"].replace("%%", "%"), shell=True, check=True)
if "FAKE_KILLED" in os.environ:
    os.kill(os.getpid(), signal.SIGKILL)
if not command:
    sys.exit(int(os.environ.get("FAKE_LOGIN", "0")))
os.execv("/bin/sh", ["sh", "-c", command[0]])
'''

# systemctl and journalctl: say how they were called; exit as the unit's name says.
FAKE_TOOL = r'''#!/bin/sh
printf '%s' "${0##*/}"
printf ' [%s]' "$@"
echo
case "$*" in *dead*) exit 3 ;; esac
'''


class RemoteTest(test_commands.CommandTest):
    def setUp(self):
        super().setUp()
        self.bin = os.path.join(self.directory, "bin")
        self.tool("ssh", FAKE_SSH)
        self.tool("systemctl", FAKE_TOOL)
        self.tool("journalctl", FAKE_TOOL)
        self.tool("sudo", '#!/bin/sh\nprintf "sudo "\nexec "$@"\n')
        self.home = os.path.join(self.directory, "home")
        os.mkdir(self.home)

    def tool(self, name, text):
        self.file("bin/" + name, text)
        os.chmod(os.path.join(self.bin, name), 0o755)

    def environment(self, **extra):
        extra = {"PATH": self.bin + ":/usr/bin:/bin", "HOME": self.home, "XDG_RUNTIME_DIR": self.directory, **extra}
        return super().environment(**extra)

    def calls(self):
        path = os.path.join(self.bin, "calls")
        if not os.path.exists(path):
            return []
        with open(path, encoding="utf-8") as f:
            return [json.loads(line) for line in f]

    def call(self):
        (only,) = self.calls()
        return only

    def tearDown(self):
        left = [name for name in os.listdir(self.directory) if name.startswith("fleetctl-")]
        self.assertEqual(left, [], "the private folder stays")

    def place(self, unit, machine, text=PLAIN):
        self.cluster.add(unit, text, "launched")
        self.cluster.units[unit]["machineID"] = machine

    def report(self, unit, *machines):
        self.cluster.states = [{"name": unit, "machineID": machine, "systemdActiveState": "active"} for machine in machines] + [
            {"name": "other.service", "machineID": M1, "systemdActiveState": "active"}]


class Status(RemoteTest):
    def test_status_elsewhere(self):
        """systemctl runs where the unit is; an empty line parts units."""
        self.place("a.service", M1)
        self.place("b.service", M2)
        self.check("status a b.service", out="systemctl [status] [-l] [--] [a.service]\n\nsystemctl [status] [-l] [--] [b.service]\n")
        self.assertEqual([call["host"] for call in self.calls()], ["10.77.0.11", "10.77.0.12"])

    def test_status_here(self):
        """Without ssh on the machine itself."""
        with open("/etc/machine-id", encoding="utf-8") as f:
            self.place("a.service", f.read().strip())
        self.check("status a", out="systemctl [status] [-l] [--] [a.service]\n")
        self.assertEqual(self.calls(), [])

    def test_status_code(self):
        """The first code that is not 0 ends it and is fleetctl's."""
        for name in ("a", "dead", "b"):
            self.place(name + ".service", M1)
        self.check("status a dead b", code=3,
                   out="systemctl [status] [-l] [--] [a.service]\n\nsystemctl [status] [-l] [--] [dead.service]\n")

    def test_status_nothing(self):
        self.check("status")

    def test_status_unknown(self):
        self.place("a.service", M1)
        self.check("status a nope b", out="systemctl [status] [-l] [--] [a.service]\n", err="Unit nope.service does not exist.\n", code=1)

    def test_status_unplaced(self):
        """A unit that is nowhere says why."""
        self.cluster.add("a.service", test_commands.outcome("unplaced"), "launched")
        self.cluster.add("b.service", PLAIN)
        self.check("status a", err="Unit a.service does not appear to be loaded.\n%s\n" % stub_api.WHY_UNPLACED, code=1)
        self.check("status b", err="Unit b.service does not appear to be loaded.\n", code=1)

    def test_status_unplaced_among_others(self):
        """The empty line is between what two units show, and this one shows nothing."""
        self.place("a.service", M1)
        self.cluster.add("b.service", PLAIN)
        self.check("status a b", out="systemctl [status] [-l] [--] [a.service]\n",
                   err="Unit b.service does not appear to be loaded.\n", code=1)

    def test_status_why(self):
        """What fleet knows besides of a unit that is somewhere."""
        self.place("a.service", M1)
        self.cluster.units["a.service"]["why"] = stub_api.WHY_FAILED
        self.check("status a", out="systemctl [status] [-l] [--] [a.service]\nfleet: %s\n" % stub_api.WHY_FAILED)

    def test_status_global(self):
        """On each machine that has it, sorted, headed; a code of any is fleetctl's; --machine picks one."""
        self.cluster.add("dead.service", GLOBAL, "launched")
        self.report("dead.service", M2, M1)
        line = "systemctl [status] [-l] [--] [dead.service]\n"
        first, second = "==> 0c1f1a2b.../10.77.0.11 <==\n", "==> 1d2e3f4a.../10.77.0.12 <==\n"
        self.check("status dead", out=first + line + "\n" + second + line, code=3)
        self.check("status dead --machine 1d2e", out=second + line, code=3)
        self.check("status dead --machine 2e3f", err="Unit dead.service is on no machine whose ID begins with 2e3f.\n", code=1)
        self.cluster.states = []
        self.check("status dead", err="Unit dead.service does not appear to be loaded.\n", code=1)

    def test_status_json(self):
        """For programs: the API's unit without its file, and its states; 3 when one is active nowhere, 1 when one is unknown."""
        self.place("a.service", M1)
        self.cluster.add("dead.service", GLOBAL, "launched")
        self.cluster.states = [{"name": name, "machineID": machine, "systemdActiveState": active}
                               for name, machine, active in (("a.service", M1, "active"), ("dead.service", M1, "failed"), ("dead.service", M2, "failed"))]
        done = self.run_raw("status", "-o", "json", "a", "dead", "gone")
        first, second = json.loads(done.stdout)
        self.assertEqual((done.returncode, done.stderr), (1, "Unit gone.service does not exist.\n"))
        self.assertEqual((first["unit"]["name"], "options" in first["unit"]), ("a.service", False))
        self.assertEqual([state["machineID"] for state in first["states"]], [M1])
        self.assertEqual(len(second["states"]), 2)
        self.assertEqual(self.run_raw("status", "-o", "json", "a").returncode, 0)
        done = self.run_raw("status", "-o", "json", "--machine", M2[:4], "dead")
        self.assertEqual((done.returncode, len(json.loads(done.stdout)[0]["states"])), (3, 1))
        self.assertEqual(self.run_raw("status", "-o", "xml", "a").returncode, 2)

    def test_status_many_words(self):
        """Patterns and braces mean units as everywhere."""
        for name in ("web@1", "web@2", "db"):
            self.place(name + ".service", M1)
        both = "systemctl [status] [-l] [--] [web@1.service]\n\nsystemctl [status] [-l] [--] [web@2.service]\n"
        self.check("status web@*", out=both)
        self.check("status web@{1..2}", out=both)
        self.check("status zz*", err="No unit matches zz*\n", code=1)

    def test_status_name_like_a_flag(self):
        """A unit's name is never an option, and no word for a shell."""
        self.place("-x.service", M1)
        self.place("a\\x2db.service", M1)
        self.check("status -- -x", out="systemctl [status] [-l] [--] [-x.service]\n")
        self.check("status a\\x2db", out="systemctl [status] [-l] [--] [a\\x2db.service]\n")

    def test_no_connection(self):
        """255, with the machine and the cause."""
        self.place("a.service", M1)
        done = self.run_raw("status", "a", FAKE_DEAD="10.77.0.11")
        self.assertEqual(done.returncode, 255)
        self.assertIn("ssh: connect to host 10.77.0.11 port 22: Connection timed out\nUnable to SSH to remote host: ", done.stderr)

    def test_no_address(self):
        self.place("a.service", M3)
        self.check("status a", code=255, err="Unable to SSH to remote host: the machine %s is not in the cluster now, or tells no address\n" % M3)

    def test_address_like_a_flag(self):
        """What a machine says of itself is never an option of ssh."""
        self.cluster.machines[0]["primaryIP"] = "-oProxyCommand=reboot"
        self.place("a.service", M1)
        self.check("status a", code=255, err='Unable to SSH to remote host: "-oProxyCommand=reboot" is no name or address of a host\n')
        self.assertEqual(self.calls(), [])

    def test_no_ssh(self):
        """Without OpenSSH the remedy is told."""
        os.unlink(os.path.join(self.bin, "ssh"))
        self.place("a.service", M1)
        done = self.run_raw("status", "a", PATH=self.bin)
        self.assertEqual(done.returncode, 255)
        self.assertIn("the program ssh was not found: install OpenSSH's client", done.stderr)

    def test_stdin_is_left(self):
        """A loop that reads names of units keeps its input."""
        self.place("a.service", M1)
        self.tool("systemctl", "#!/bin/sh\ncat\n")
        done = subprocess.run(["sh", "-c", '"$0" status a; cat', test_commands.FLEETCTL], input="rest\n", env=self.environment(),
                              capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual(done.stdout, "rest\n")


class Journal(RemoteTest):
    def setUp(self):
        super().setUp()
        self.place("a.service", M1)

    def test_journal_words(self):
        for flags, words in (
            ("", "[--no-pager] [--lines=10] [--output=short]"),
            ("--lines=3 --output json", "[--no-pager] [--lines=3] [--output=json]"),
            ("-n 3 -o json", "[--no-pager] [--lines=3] [--output=json]"),
            ("-f", "[--no-pager] [--lines=10] [--output=short] [--follow]"),
            ("--f", "[--no-pager] [--lines=10] [--output=short] [--follow]"),
            ("--follow", "[--no-pager] [--lines=10] [--output=short] [--follow]"),
            ("--output=$(id)", "[--no-pager] [--lines=10] [--output=$(id)]"),
        ):
            self.check("journal %s a" % flags, out="journalctl [--unit=a.service] %s\n" % words)

    def test_journal_sudo(self):
        self.check("journal --sudo a", out="sudo journalctl [--unit=a.service] [--no-pager] [--lines=10] [--output=short]\n")

    def test_journal_one_unit(self):
        for words in ("journal", "journal a b"):
            self.check(words, err="One unit file must be provided.\n", code=1)

    def test_journal_errors(self):
        self.cluster.add("b.service", test_commands.outcome("unplaced"), "launched")
        self.check("journal nope", err="Unit nope.service does not exist.\n", code=1)
        self.check("journal b", err="Unit b.service does not appear to be running.\n%s\n" % stub_api.WHY_UNPLACED, code=1)
        done = self.run_raw("journal", "a", FAKE_DEAD="10.77.0.11")
        self.assertEqual(done.returncode, 255)

    def test_journal_global(self):
        self.cluster.add("g.service", GLOBAL, "launched")
        self.report("g.service", M1, M2)
        line = "journalctl [--unit=g.service] [--no-pager] [--lines=10] [--output=short]\n"
        self.check("journal g", out="==> 0c1f1a2b.../10.77.0.11 <==\n%s\n==> 1d2e3f4a.../10.77.0.12 <==\n%s" % (line, line))
        self.check("journal -f g", code=1, err="Unit g.service is on several machines, and only one can be followed; say which with --machine=ID:\n"
                                               "\t0c1f1a2b.../10.77.0.11\n\t1d2e3f4a.../10.77.0.12\n")
        self.check("journal --machine=1d g", out="==> 1d2e3f4a.../10.77.0.12 <==\n" + line)


class SshCommand(RemoteTest):
    def setUp(self):
        super().setUp()
        self.place("a.service", M2)

    def test_ssh_where(self):
        """By the beginning of an ID or by a unit, named outright or not."""
        for words, host in (("ssh 0c1f true", "10.77.0.11"), ("ssh a true", "10.77.0.12"), ("ssh a.service true", "10.77.0.12"),
                            ("ssh --machine=1d true", "10.77.0.12"), ("ssh --unit a true", "10.77.0.12")):
            self.check(words)
            self.assertEqual(self.calls()[-1]["host"], host, words)

    def test_ssh_refused(self):
        self.cluster.machines.append({"id": "0c1f" + "0" * 28, "primaryIP": "10.77.0.13"})
        self.place("2e3f.service", M1)
        self.cluster.add("g.service", GLOBAL, "launched")
        self.cluster.add("u.service", test_commands.outcome("unplaced"), "launched")
        for words, err in (
            ("ssh --machine=0c1f1 --unit=a", "Both machine and unit flags provided, please specify only one."),
            ("ssh", "Unable to proceed: one machine or unit must be provided"),
            ("ssh zz", "Unable to proceed: could not find matching unit or machine"),
            ("ssh 2e3f", "Unable to proceed: ambiguous argument, both machine and unit found; say which with --machine or --unit"),
            ("ssh 0c1f", "Unable to proceed: found more than one machine"),
            ("ssh --machine=zz", "Unable to proceed: machine does not exist"),
            ("ssh --machine=0c1f", "Unable to proceed: found more than one machine"),
            ("ssh --unit=zz", "Unable to proceed: unit does not exist"),
            ("ssh --unit=g", "Unable to proceed: global units unsupported, name a machine"),
            ("ssh --machine=2e3f", "Could not determine address of machine."),
            ("ssh u", "Unit u.service does not appear to be loaded.\n" + stub_api.WHY_UNPLACED),
        ):
            self.check(words, err=err + "\n", code=1)
        self.assertEqual(self.calls(), [])

    def test_ssh_command(self):
        """Words are joined by blanks for the shell there, whose code is fleetctl's; flags follow a --."""
        done = self.run_raw("ssh", "a", "echo", "$((1 + 1))   3;", "exit 7")
        self.assertEqual((done.stdout, done.stderr, done.returncode), ("2 3\n", "", 7))
        self.check("ssh a -- echo -l", out="-l\n")
        self.check("ssh --unit=a -- echo -l", out="-l\n")
        self.assertEqual(self.run_raw("ssh", "a", "echo", "-l").returncode, 2)

    def test_ssh_255(self):
        """ssh's own failures are 1, the same code of a command is passed on."""
        self.assertEqual(self.run_raw("ssh", "a", "exit 255").returncode, 255)
        done = self.run_raw("ssh", "a", "true", FAKE_DEAD="10.77.0.12")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Unable to establish SSH connection: no SSH connection to 10.77.0.12", done.stderr)

    def test_ssh_login(self):
        """A shell that ended is no failure."""
        done = self.run_raw("ssh", "a", FAKE_LOGIN="5")
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertEqual(self.call()["command"], [])
        self.assertEqual(self.run_raw("ssh", "a", FAKE_DEAD="10.77.0.12").returncode, 1)

    def test_ssh_killed(self):
        """As in a shell, 128 and the signal's number."""
        self.assertEqual(self.run_raw("ssh", "a", "true", FAKE_KILLED="1").returncode, 128 + signal.SIGKILL)

    def test_ssh_agent(self):
        for flag in ("-A", "--A", "--forward-agent"):
            self.check("ssh %s a true" % flag)
            self.assertIn("-A", self.calls()[-1]["flags"], flag)
        self.check("ssh a true")
        self.assertNotIn("-A", self.calls()[-1]["flags"])

    def test_ssh_stdin(self):
        """The command reads fleetctl's input."""
        done = subprocess.run([test_commands.FLEETCTL, "ssh", "a", "cat"], input="text", env=self.environment(), capture_output=True,
                              text=True, timeout=60, check=False)
        self.assertEqual(done.stdout, "text")

    def test_ssh_terminal(self):
        """A terminal there for who has one here, unless the output goes elsewhere."""
        for words, expected in ((["ssh", "a"], "-t"), (["ssh", "a", "true"], "-t"), (["status", "a"], "-t")):
            pid, fd = pty.fork()
            if pid == 0:
                os.execve(test_commands.FLEETCTL, [test_commands.FLEETCTL, *words], self.environment())
            with open(fd, "rb", 0) as terminal:
                try:
                    while terminal.read(1024):
                        pass
                except OSError:
                    pass
            os.waitpid(pid, 0)
            self.assertIn(expected, self.calls()[-1]["flags"], words)
        self.check("ssh a true")
        self.assertIn("-T", self.calls()[-1]["flags"])

    def test_ssh_interrupted(self):
        """The signal ends the child, then fleetctl, and nothing stays."""
        process = subprocess.Popen([test_commands.FLEETCTL, "ssh", "a", "echo up; exec sleep 60"], env=self.environment(),
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.assertEqual(process.stdout.readline(), "up\n")
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=10)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)


class Flags(RemoteTest):
    def options_of(self, *words, **env):
        self.place("a.service", M1)
        done = self.run_raw(*words, "ssh", "a", "true", **env)
        self.assertEqual(done.returncode, 0, done.stderr)
        return self.calls()[-1]

    def test_defaults(self):
        """The user is core where no configuration says otherwise; 10 s; ~/.fleetctl/known_hosts, whose folder is made."""
        call = self.options_of()
        self.assertNotIn("-l", call["flags"])
        self.assertRegex(call["config"], r'Include ".*/\.ssh/config"\nInclude "/etc/ssh/ssh_config"\nHost 10\.77\.0\.11\n    User core\n')
        self.assertEqual(call["options"]["ConnectTimeout"], "10")
        self.assertEqual(call["options"]["StrictHostKeyChecking"], "ask")
        self.assertEqual(call["options"]["UserKnownHostsFile"], '"%s/.fleetctl/known_hosts"' % self.home)
        self.assertEqual(stat.S_IMODE(os.stat(self.home + "/.fleetctl").st_mode), 0o700)

    def test_given(self):
        call = self.options_of("--ssh-username=me", "--ssh-timeout", "0.5", "--known-hosts-file=~/k h")
        self.assertEqual(call["flags"][call["flags"].index("-l") + 1], "me")
        self.assertEqual(call["options"]["ConnectTimeout"], "1")
        self.assertEqual(call["options"]["UserKnownHostsFile"], '"%s/k h"' % self.home)
        self.assertEqual(self.options_of(FLEETCTL_SSH_USERNAME="you")["flags"].count("you"), 1)
        self.assertEqual(self.options_of(FLEETCTL_SSH_TIMEOUT="7")["options"]["ConnectTimeout"], "7")
        self.assertEqual(self.options_of(FLEETCTL_KNOWN_HOSTS_FILE="/k")["options"]["UserKnownHostsFile"], '"/k"')

    def test_home_of_a_user(self):
        self.assertEqual(self.options_of("--known-hosts-file=~root/nowhere/k")["options"]["UserKnownHostsFile"], '"/root/nowhere/k"')
        done = self.run_raw("--known-hosts-file=~nobody-has-this-name/k", "ssh", "a", "true")
        self.assertEqual(done.returncode, 1)
        self.assertIn("--known-hosts-file: no home directory is known for ~nobody-has-this-name/k", done.stderr)

    def test_unchecked(self):
        """=false checks nothing and stores nothing."""
        for call in (self.options_of("--strict-host-key-checking=false"), self.options_of(FLEETCTL_STRICT_HOST_KEY_CHECKING="false")):
            self.assertEqual(call["options"]["StrictHostKeyChecking"], "no")
            self.assertEqual(call["options"]["UserKnownHostsFile"], "/dev/null")
        self.assertFalse(os.path.exists(self.home + "/.fleetctl"))

    def test_port(self):
        self.place("a.service", M1)
        for command in ("ssh", "status", "journal"):
            self.run_raw(command, "--ssh-port", "2222", "a")
            self.assertIn("-p2222", self.calls()[-1]["flags"])
        self.check("ssh --ssh-port=0 a", code=2,
                   err="Error: invalid value \"0\" for flag --ssh-port: expected a port, from 1 to 65535\nRun 'fleetctl ssh --help' for usage.\n")

    def test_bad_timeout(self):
        for value in ("0", "x", "-1", "1e3", ""):
            done = self.run_raw("--ssh-timeout=" + value, "ssh", "a")
            self.assertEqual(done.returncode, 2, value)
            self.assertIn("for flag --ssh-timeout: expected seconds", done.stderr)


class HostKeys(RemoteTest):
    def setUp(self):
        super().setUp()
        self.place("a.service", M1)

    def ask(self, answer, questions=(QUESTION % "h",), words=("ssh", "a", "cat"), **env):
        done = subprocess.run([test_commands.FLEETCTL, *words], input=answer, capture_output=True, text=True, timeout=60, check=False,
                              start_new_session=True, env=self.environment(FAKE_ASK=json.dumps(questions), **env))
        return done.stdout, done.stderr, done.returncode

    def test_key_accepted(self):
        """Asked on stderr, answered on stdin; what follows the answer is the command's."""
        for answer in ("yes\nrest", "y\nrest", "YES\r\nrest"):
            self.assertEqual(self.ask(answer), ("rest", ASKED % "h" + "answer: yes\n", 0))
        self.assertEqual(self.ask("SHA256:abc\n"), ("", ASKED % "h" + "answer: SHA256:abc\n", 0))

    def test_key_refused(self):
        for answer in ("no\n", "n\n", "\n", "maybe\nyes\n"):
            out, err, code = self.ask(answer)
            self.assertEqual((out, code), ("", 1))
            self.assertTrue(err.startswith(ASKED % "h" + "Host key verification failed.\n"), err)
        self.assertEqual(self.ask("no\n", words=("status", "a"))[2], 255)

    def test_no_answer(self):
        """The end of stdin is a no."""
        out, err, code = self.ask("")
        self.assertEqual((out, code), ("", 1))
        self.assertTrue(err.startswith(ASKED % "h" + "\nHost key verification failed.\n"), err)

    def test_two_questions(self):
        """One line for each."""
        self.assertEqual(self.ask("yes\nyes\nrest", (QUESTION % "h", QUESTION % "i")),
                         ("rest", ASKED % "h" + "answer: yes\n" + ASKED % "i" + "answer: yes\n", 0))

    def test_status_asks_too(self):
        """Although systemctl gets no input."""
        out, err, code = self.ask("yes\n", words=("status", "a"))
        self.assertEqual((out, err, code), ("systemctl [status] [-l] [--] [a.service]\n", ASKED % "h" + "answer: yes\n", 0))

    def test_no_password_without_a_terminal(self):
        """stdin is for keys only: a secret in it would end up in a script."""
        self.assertEqual(self.ask("secret\n", ("core@h's password: ",))[2], 1)

    def test_users_own_askpass(self):
        """Without a terminal the user's own helper is asked for secrets, and never for keys."""
        self.tool("askpass", '#!/bin/sh\necho "$1" >>%s/asked\necho secret\n' % self.directory)
        self.assertEqual(self.ask("yes\n", (QUESTION % "h", "password: "), SSH_ASKPASS=self.bin + "/askpass"),
                         ("", ASKED % "h" + "answer: yes\nanswer: secret\n", 0))
        with open(self.directory + "/asked", encoding="utf-8") as f:
            self.assertEqual(f.read(), "password: \n")

    def converse(self, env, typed, words=("ssh", "a", "true")):
        """fleetctl on a terminal: what it showed, when `typed` is typed after each prompt."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(test_commands.FLEETCTL, [test_commands.FLEETCTL, *words], env)
        shown, deadline = b"", time.monotonic() + 20
        while time.monotonic() < deadline:
            if select.select([fd], [], [], 0.1)[0]:
                try:
                    data = os.read(fd, 1024)
                except OSError:
                    break
                shown += data
                if typed and shown.endswith(typed[0][0]):
                    os.write(fd, typed.pop(0)[1])
        os.close(fd)
        return shown.decode().replace("\r\n", "\n"), os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

    def test_on_a_terminal(self):
        """The same for keys; a password is asked for there, and not shown."""
        env = self.environment(FAKE_ASK=json.dumps((QUESTION % "h", "password: ")))
        self.assertEqual(self.converse(env, [(b"(yes/no)? ", b"y\n"), (b"password: ", b"secret\n")]),
                         (ASKED % "h" + "y\nanswer: yes\npassword: \nanswer: secret\n", 0))

    def test_hangup(self):
        """A terminal that goes away takes ssh along."""
        pid, fd = pty.fork()
        if pid == 0:
            os.execve(test_commands.FLEETCTL, [test_commands.FLEETCTL, "ssh", "a", "echo up; exec sleep 60"], self.environment())
        while b"up" not in os.read(fd, 1024):
            pass
        os.close(fd)
        self.assertEqual(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), 128 + signal.SIGHUP)

    def test_interrupted_question(self):
        """Ctrl-C is no answer, and no success of a login that never was."""
        env = self.environment(FAKE_ASK=json.dumps((QUESTION % "h",)))
        shown, code = self.converse(env, [(b"(yes/no)? ", b"\x03")], ("ssh", "a"))
        self.assertTrue(shown.startswith(ASKED % "h" + "^C"), shown)
        self.assertEqual(code, 128 + signal.SIGINT)


class Tunnel(RemoteTest):
    def setUp(self):
        super().setUp()
        self.place("a.service", M1)
        os.symlink(test_commands.FLEETCTL, os.path.join(self.bin, "fleetctl"))

    def environment(self, **extra):
        return super().environment(**{"FLEETCTL_TUNNEL": "bastion:2222", **extra})

    def test_api(self):
        """One login, then a channel to the socket on the other side."""
        self.check("--ssh-username=me list-units", out="UNIT\t\tMACHINE\t\t\tACTIVE\tSUB\na.service\t0c1f1a2b.../10.77.0.11\tactive\trunning\n")
        master, *channels = self.calls()
        self.assertEqual(master["host"], "bastion")
        self.assertEqual(master["options"]["ControlMaster"], "yes")
        self.assertEqual(master["options"]["StrictHostKeyChecking"], "ask")
        self.assertIn("-p2222", master["flags"])
        self.assertIn("me", master["flags"])
        self.assertIn("Host bastion\n    User core\n", master["config"])
        self.assertTrue(channels)
        for channel in channels:
            self.assertEqual(channel["command"], ["fleetctl fd-forward '%s'" % self.stub.endpoint.removeprefix("unix://")])
            self.assertEqual(channel["options"]["ControlPath"], master["options"]["ControlPath"])

    def test_many_requests_few_channels(self):
        """As many at a time as sshd allows by default, and less."""
        for i in range(60):
            self.cluster.add("u%d.service" % i, PLAIN)
        self.check("destroy u{0..59} --no-block", out="".join("Destroyed u%d.service\n" % i for i in range(60)))
        self.assertLessEqual(len(self.calls()), 1 + 8)

    def test_status(self):
        """Through the tunnel to the machine, with the same user and key check."""
        self.check("--ssh-username=me status a", out="systemctl [status] [-l] [--] [a.service]\n")
        last = self.calls()[-1]
        self.assertEqual(last["host"], "10.77.0.11")
        self.assertIn("me", last["flags"])
        self.assertIn("-W' [%h]:%p '--' 'bastion'", last["options"]["ProxyCommand"])
        self.assertIn("Host 10.77.0.11 bastion\n", last["config"])

    def test_asks_once(self):
        done = subprocess.run([test_commands.FLEETCTL, "list-units"], input="yes\n", capture_output=True, text=True, timeout=60, check=False,
                              env=self.environment(FAKE_ASK=json.dumps([QUESTION % "bastion"])))
        self.assertEqual((done.stderr, done.returncode), (ASKED % "bastion" + "answer: yes\n", 0))

    def test_tunnel_fails(self):
        """With the host and the cause, and no request."""
        done = self.run_raw("list-units", FAKE_DEAD="bastion")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Connection timed out\nUnable to initialize client: no SSH connection to bastion", done.stderr)
        self.assertEqual(self.cluster.requests, [])

    def test_no_fleetctl_there(self):
        os.unlink(os.path.join(self.bin, "fleetctl"))
        done = self.run_raw("list-units")
        self.assertEqual(done.returncode, 1)
        self.assertRegex(done.stderr, "unable to talk to fleet at unix:///.* on bastion: fleetctl was not found there; install it on bastion")

    def test_no_socket_there(self):
        done = self.run_raw("--endpoint=unix:///nowhere/fleet.sock", "list-units")
        self.assertEqual(done.returncode, 1)
        self.assertIn("Failed dialing remote address: /nowhere/fleet.sock: No such file or directory\n", done.stderr)
        self.assertIn("unable to talk to fleet at unix:///nowhere/fleet.sock through bastion: ", done.stderr)

    def test_bad_tunnel(self):
        self.check("--tunnel=me@bastion list-units", code=1,
                   err='Unable to initialize client: --tunnel: "me@bastion" is no host: the user is named with --ssh-username\n')
        self.check("--tunnel=bastion:x list-units", code=1,
                   err='Unable to initialize client: --tunnel: "bastion:x" names no port from 1 to 65535: HOST[:PORT]\n')
        self.assertEqual(self.calls(), [])

    def test_interrupted(self):
        """Ctrl-C while waiting ends the tunnel, too."""
        self.cluster.add("s.service", test_commands.outcome("silent"))
        process = subprocess.Popen([test_commands.FLEETCTL, "start", "s"], stdout=subprocess.PIPE, env=self.environment(), cwd=self.directory)
        while not self.sent("POST", "/fleet/v1/wait"):
            self.assertIsNone(process.poll())
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)  # its end of the pipe is the tunnel's, too
        self.assertEqual(process.returncode, -signal.SIGINT)


class FdForward(RemoteTest):
    def test_forwards(self):
        """Also what comes after the end of stdin."""
        done = subprocess.run([test_commands.FLEETCTL, "fd-forward", self.stub.endpoint.removeprefix("unix://")], capture_output=True,
                              input="GET /fleet/v1/units HTTP/1.0\r\n\r\n", text=True, timeout=60, check=False, env=self.environment())
        self.assertEqual((done.stderr, done.returncode), ("", 0))
        self.assertTrue(done.stdout.endswith("{}"), done.stdout)

    def test_reader_goes(self):
        """It ends when nobody reads any more, although the socket stays."""
        process = subprocess.Popen([test_commands.FLEETCTL, "fd-forward", self.stub.endpoint.removeprefix("unix://")],
                                   stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=self.environment())
        process.stdout.close()
        self.assertEqual(process.wait(timeout=60), 0)
        process.stdin.close()

    def test_fd_forward_errors(self):
        self.check("fd-forward /nowhere", err="Failed dialing remote address: /nowhere: No such file or directory\n", code=1)
        for words in ("fd-forward", "fd-forward a b"):
            self.check(words, err="Provide a single argument\n", code=1)


if __name__ == "__main__":
    test_commands.FLEETCTL = os.path.abspath(sys.argv.pop(1))
    for number in (signal.SIGINT, signal.SIGQUIT, signal.SIGHUP):
        signal.signal(number, signal.SIG_DFL)  # a background process ignores them, and fleetctl would
    unittest.main()
