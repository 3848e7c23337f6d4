# SPDX-License-Identifier: Apache-2.0
"""status, journal, ssh, --tunnel and fd-forward, with OpenSSH's own client and server. m1 is the admin's machine."""

import json
import os
import re
import subprocess
import tempfile
import threading
import time
from pathlib import Path

import harness
from harness import ClusterTest, service, wait_for

SSHD_CONFIG = """\
HostKey /root/sshd/host_key
AuthorizedKeysFile /root/sshd/authorized_keys
PidFile none
UsePAM no
StrictModes no
PasswordAuthentication no
SetEnv PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin
"""


def new_key(folder, name):
    path = Path(folder) / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", path], check=True)
    return path


def put(machine, path, text, mode=0o600):
    target = machine.root / path.lstrip("/")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text)
    target.chmod(mode)


def start_sshd(machine, key, port=22):
    """One that answers to `key` for root and core; returns when it listens."""
    put(machine, f"/root/sshd/config{port}", f"Port {port}\n" + SSHD_CONFIG)
    put(machine, "/root/sshd/authorized_keys", key, 0o644)
    (machine.root / "root").chmod(0o711)
    (machine.root / "root/sshd").chmod(0o755)
    (machine.root / "run/sshd").mkdir(exist_ok=True)
    machine.exec("systemd-run", f"--unit=sshd-{port}", "-p", "Type=notify", "/usr/sbin/sshd", "-D", "-f", f"/root/sshd/config{port}").ok()


class Remote(ClusterTest):
    store_apart = True

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.admin, cls.near, cls.far = cls.cluster.machines
        try:
            with tempfile.TemporaryDirectory() as folder:
                key = new_key(folder, "admin")
                put(cls.admin, "/root/.ssh/id_ed25519", key.read_text())
                for machine in cls.cluster.machines:
                    machine.exec("useradd", "--create-home", "--password", "*", "--shell", "/bin/bash", "core").ok()
                    put(machine, "/root/sshd/host_key", new_key(folder, machine.name).read_text())
                    start_sshd(machine, key.with_suffix(".pub").read_text())
        except BaseException:
            cls.cluster.down()
            raise

    def setUp(self):
        super().setUp()
        self.admin.exec("rm", "-rf", "/root/.fleetctl", "/root/.ssh/config", "/root/.ssh/known_hosts").ok()

    def fleetctl(self, *words, answer=None, **how):
        """As the admin types it, with `answer` on stdin, as root over there."""
        return self.admin.exec("env", "FLEETCTL_SSH_USERNAME=root", "fleetctl", *words, stdin=answer, **how)

    def known_hosts(self):
        path = self.admin.root / "root/.fleetctl/known_hosts"
        return path.read_text().splitlines() if path.exists() else []

    def know(self, *machines):
        """Accept the keys of these."""
        for machine in machines:
            self.fleetctl("ssh", machine.id, "true", answer="yes\n").ok()

    def run_on(self, machine, name="one.service", text=None):
        self.cluster.start({name: (text or service()) + f"\n[X-Fleet]\nMachineID={machine.id}\n"}).ok()

    def test_status_of_another_machine(self):
        self.run_on(self.far)
        self.know(self.far)
        done = self.fleetctl("status", "one")
        self.assertIn("Active: active (running)", done.ok())
        self.far.exec("systemctl", "stop", "one.service").ok()
        done = self.fleetctl("status", "one")
        self.assertEqual(done.rc, 3, str(done))
        self.assertIn("Active: inactive (dead)", done.out)

    def test_status_here_needs_no_ssh(self):
        self.run_on(self.admin)
        self.assertIn("Active: active (running)", self.fleetctl("status", "one").ok())
        self.assertEqual(self.known_hosts(), [])

    def test_status_says_why_a_unit_is_nowhere(self):
        self.cluster.put_unit("nowhere.service", service(fleet_lines=["MachineMetadata=color=plaid"]))
        self.cluster.fleetctl("start", "--no-block", "nowhere.service").ok()
        wait_for(lambda: self.cluster.units()["nowhere.service"].get("why"))
        done = self.fleetctl("status", "nowhere")
        self.assertEqual((done.rc, done.out), (1, ""), str(done))
        self.assertRegex(done.err, r"^Unit nowhere\.service does not appear to be loaded\.\n.*color=plaid")

    def test_global_unit_on_all_machines(self):
        self.cluster.start({"all.service": service(fleet_lines=["Global=true"])}).ok()
        wait_for(lambda: len(self.cluster.active_on("all.service")) == 3)
        self.know(self.near, self.far)
        done = self.fleetctl("status", "all")
        headings = re.findall(r"^==> (.*) <==$", done.ok(), re.M)
        self.assertEqual(headings, [f"{m.id[:8]}.../{m.address}" for m in sorted(self.machines, key=lambda m: m.id)])
        self.assertEqual(done.out.count("Active: active (running)"), 3)

        self.far.exec("systemctl", "stop", "all.service").ok()
        self.assertEqual(self.fleetctl("status", "all").rc, 3)
        self.assertEqual(self.fleetctl("status", "all", "--machine", self.near.id[:6]).rc, 0)
        done = self.fleetctl("status", "all", f"--machine={self.far.id}")
        self.assertEqual(done.rc, 3)
        self.assertEqual(done.out.count("==>"), 1)

        done = self.fleetctl("journal", "--lines=1", "all")
        self.assertEqual(done.ok().count("==>"), 3)

    def test_journal(self):
        self.run_on(self.far, text=service('/bin/sh -c "for i in 1 2 3 4 5; do echo line-$$i; done; exec sleep infinity"'))
        self.know(self.far)
        wait_for(lambda: "line-5" in self.far.journal("one.service"))
        every = self.far.exec("journalctl", "--no-pager", "--output=cat", "--unit=one").ok().splitlines()
        lines = self.fleetctl("journal", "--lines=2", "--output", "cat", "one").ok().splitlines()
        self.assertEqual(lines, every[-2:])
        self.assertRegex(self.fleetctl("journal", "one").ok(), r"m3 sh\[\d+\]: line-1\n")
        newest = json.loads(self.fleetctl("journal", "--lines=1", "--output=json", "one").ok())
        self.assertEqual(newest["MESSAGE"], every[-1])

    def test_journal_follows(self):
        """Lines come as they are written, until the unit's machine hears that nobody reads any more."""
        self.run_on(self.far, text=service('/bin/sh -c "exec 3<>/run/lines; while read line; do echo got-$$line; done <&3"', service_lines=["ExecStartPre=/usr/bin/mkfifo /run/lines"]))
        self.addCleanup(self.far.exec, "rm", "-f", "/run/lines")
        self.know(self.far)
        command = [harness.LAB, "exec", self.admin.name, "env", "FLEETCTL_SSH_USERNAME=root", "fleetctl", "journal", "-f", "--output=cat", "one"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, env={**os.environ, "LAB_NAME": self.cluster.lab.name}) as process:
            seen = []
            reader = threading.Thread(target=lambda: seen.extend(iter(process.stdout.readline, "")))
            reader.start()
            try:
                self.far.exec("sh", "-c", "echo a >/run/lines").ok()
                wait_for(lambda: "got-a\n" in seen)
                self.far.exec("sh", "-c", "echo b >/run/lines").ok()
                wait_for(lambda: "got-b\n" in seen)
            finally:
                self.admin.exec("pkill", "-INT", "-o", "-x", "fleetctl")
            self.assertNotEqual(process.wait(timeout=10), 0)
            reader.join(timeout=10)
        wait_for(lambda: not self.far.exec("pgrep", "-x", "journalctl").out, what="journalctl has ended")
        self.assertEqual(self.admin.exec("pgrep", "-x", "ssh").out, "")

    def test_ssh_by_machine_and_by_unit(self):
        self.run_on(self.far)
        self.know(self.near, self.far)
        for words in ([self.far.id], [self.far.id[:7]], [f"--machine={self.far.id[:7]}"], ["one"], ["one.service"], ["--unit", "one"]):
            done = self.fleetctl("ssh", *words, "cat", "/etc/hostname")
            self.assertEqual(done.ok(), "m3\n", words)
        done = self.fleetctl("ssh", self.near.id, "echo out; echo err >&2; exit 42")
        self.assertEqual((done.rc, done.out, done.err), (42, "out\n", "err\n"))
        self.assertIn(" /etc/hostname\n", self.fleetctl("ssh", self.near.id, "--", "ls", "-l", "/etc/hostname").ok())
        self.assertEqual(self.fleetctl("ssh", self.near.id, "cat; exit 255", answer="text").rc, 255)
        self.assertEqual(self.fleetctl("ssh", self.near.id, answer="echo shell; exit 9\n").ok(), "shell\n")

    def test_ssh_to_itself(self):
        """Also to the own machine it is SSH."""
        self.know(self.admin)
        self.assertEqual(len(self.known_hosts()), 1)

    def test_ssh_user(self):
        """core, unless the configuration, the environment or a flag names another."""
        self.know(self.near)
        whoami = ("ssh", self.near.id, "id -un")
        self.assertEqual(self.admin.fleetctl(*whoami).ok(), "core\n")
        self.assertEqual(self.fleetctl(*whoami).ok(), "root\n")
        put(self.admin, "/root/.ssh/config", f"Host {self.near.address}\n    User root\n")
        self.assertEqual(self.admin.fleetctl(*whoami).ok(), "root\n")
        self.assertEqual(self.admin.fleetctl("--ssh-username=core", *whoami).ok(), "core\n")

    def test_ssh_port(self):
        start_sshd(self.near, (self.near.root / "root/sshd/authorized_keys").read_text(), 2222)
        self.addCleanup(self.near.exec, "systemctl", "stop", "sshd-2222")
        self.fleetctl("ssh", "--ssh-port=2222", self.near.id, "true", answer="yes\n").ok()
        self.fleetctl("--tunnel", f"{self.near.address}:2222", "list-machines").ok()
        self.assertEqual(len(self.known_hosts()), 1)

    def test_forward_agent(self):
        self.know(self.near)
        with_agent = 'ssh-agent sh -c \'ssh-add -q && fleetctl --ssh-username=root ssh "$@" -- ssh-add -l\' -- '
        done = self.admin.exec("sh", "-c", with_agent + f"-A {self.near.id}")
        self.assertIn("admin (ED25519)", done.ok())
        self.assertNotEqual(self.admin.exec("sh", "-c", with_agent + self.near.id).rc, 0)

    def test_jump_host_of_the_configuration(self):
        """Its key is asked for, too, although its ssh has a connection for standard input."""
        put(self.admin, "/root/.ssh/config", f"Host {self.far.address}\n    ProxyJump root@{self.near.address}\n")
        done = self.fleetctl("ssh", self.far.id, "echo $SSH_CLIENT", answer="yes\nyes\n")
        self.assertEqual(done.ok().split()[0], self.near.address)
        self.assertEqual(done.err.count("(yes/no)? "), 2)

    def test_unknown_key(self):
        """Asked for on stderr and answered on stdin, without a terminal; only a yes stores it."""
        for answer in ("no\n", "", "what\n"):
            done = self.fleetctl("ssh", self.near.id, "true", answer=answer)
            self.assertEqual(done.rc, 1)
            self.assertRegex(
                done.err,
                rf"^The authenticity of host '{self.near.address}.*' can't be established\.\nED25519 key fingerprint is SHA256:\S+\.\n"
                r"(?s:.*)Are you sure you want to continue connecting \(yes/no\)\? \n?Host key verification failed\.\n",
            )
            self.assertEqual(self.known_hosts(), [])

        done = self.fleetctl("ssh", self.near.id, "cat", answer="y\nfor the command\n")
        self.assertEqual(done.ok(), "for the command\n")
        self.assertIn(f"Warning: Permanently added '{self.near.address}' (ED25519) to the list of known hosts.", done.err)
        self.assertEqual(len(self.known_hosts()), 1)
        done = self.fleetctl("ssh", self.near.id, "true")
        self.assertEqual((done.rc, done.err), (0, ""))

    def test_changed_key_is_refused(self):
        self.know(self.near)
        before = self.known_hosts()
        with tempfile.TemporaryDirectory() as folder:
            other = new_key(folder, "other")
            put(self.admin, "/root/.fleetctl/known_hosts", f"{self.near.address} {other.with_suffix('.pub').read_text()}")
        changed = self.known_hosts()
        self.assertNotEqual(before, changed)
        done = self.fleetctl("ssh", self.near.id, "true", answer="yes\nyes\n")
        self.assertEqual(done.rc, 1)
        self.assertIn("REMOTE HOST IDENTIFICATION HAS CHANGED", done.err)
        self.assertIn("Host key verification failed.", done.err)
        self.assertEqual(self.known_hosts(), changed)

    def test_keys_unchecked(self):
        done = self.fleetctl("--strict-host-key-checking=false", "ssh", self.near.id, "echo", "in")
        self.assertEqual((done.rc, done.out, done.err), (0, "in\n", ""))
        self.assertEqual(self.known_hosts(), [])

    def test_known_hosts_file(self):
        self.fleetctl("--known-hosts-file=~/kept here", "ssh", self.near.id, "true", answer="yes\n").ok()
        self.addCleanup(self.admin.exec, "rm", "-f", "/root/kept here")
        self.assertEqual(len((self.admin.root / "root/kept here").read_text().splitlines()), 1)
        self.assertEqual(self.known_hosts(), [])

    def test_dead_host(self):
        """The time limit is the one that was given, and the exit codes are those of a failed connection."""
        self.know(self.far)
        self.run_on(self.far)
        self.far.cut()
        begin = time.monotonic()
        done = self.fleetctl("--ssh-timeout=1", "ssh", self.far.id, "true")
        self.assertEqual(done.rc, 1, str(done))
        self.assertIn(f"no SSH connection to {self.far.address}", done.err)
        self.assertLess(time.monotonic() - begin, 3)
        done = self.fleetctl("--ssh-timeout=1", "--tunnel=10.77.250.250", "status", "one")
        self.assertEqual(done.rc, 1)
        self.assertIn("no SSH connection to 10.77.250.250", done.err)

    def test_status_without_a_connection(self):
        self.run_on(self.near)
        done = self.fleetctl("status", "one", answer="no\n")
        self.assertEqual(done.rc, 255)
        self.assertIn(f"Unable to SSH to remote host: no SSH connection to {self.near.address}", done.err)

    def test_tunnel(self):
        """Everything works through one: lists, changes, waiting, and status of a machine behind it."""
        self.admin.exec("systemctl", "stop", "fleet.service", "fleet.socket").ok()
        tunnel = ("--tunnel", self.near.address)
        done = self.fleetctl(*tunnel, "list-machines", "--full", answer="yes\n")
        self.assertIn(self.far.id, done.ok())
        put(self.admin, "/root/t.service", service(fleet_lines=[f"MachineID={self.far.id}"]), 0o644)
        done = self.fleetctl(*tunnel, "start", "/root/t.service")
        self.assertIn(f"Unit t.service launched on {self.far.id[:8]}.../{self.far.address}\n", done.ok())
        done = self.fleetctl(*tunnel, "status", "t", answer="yes\n")
        self.assertIn("Active: active (running)", done.ok())
        self.assertEqual(len(self.known_hosts()), 2)
        done = self.fleetctl(*tunnel, "ssh", "t", "echo $SSH_CLIENT")
        self.assertEqual(done.ok().split()[0], self.near.address)
        self.assertIn("Destroyed t.service", self.fleetctl(*tunnel, "destroy", "t").ok())
        self.assertEqual(self.admin.exec("pgrep", "-x", "ssh").out, "")
        self.assertEqual([path.name for path in (self.admin.root / "tmp").glob("fleetctl-*")], [])

    def test_tunnel_tcp(self):
        """A TCP endpoint is connected to from the tunnel's host, where its name and its loopback are."""
        self.know(self.near)
        self.near.exec("systemd-run", "--unit=api-tcp", "--socket-property=ListenStream=127.0.0.1:49153",
                       "/lib/systemd/systemd-socket-proxyd", "/run/fleet.sock").ok()
        self.addCleanup(self.near.exec, "systemctl", "stop", "api-tcp.socket", "api-tcp.service")
        done = self.fleetctl("--tunnel", self.near.address, "--endpoint=http://localhost:49153", "list-machines", "--full")
        self.assertIn(self.far.id, done.ok())
        done = self.fleetctl("--tunnel", self.near.address, "--endpoint=http://localhost:49154", "list-units")
        self.assertEqual(done.rc, 1)
        self.assertIn(f"unable to talk to fleet at http://localhost:49154 through {self.near.address}: ", done.err)

    def test_tunnel_without_fleetctl(self):
        self.know(self.near)
        self.near.exec("mv", "/usr/bin/fleetctl", "/usr/bin/fleetctl-away").ok()
        self.addCleanup(self.near.exec, "mv", "/usr/bin/fleetctl-away", "/usr/bin/fleetctl")
        done = self.fleetctl("--tunnel", self.near.address, "list-units")
        self.assertEqual(done.rc, 1)
        self.assertIn(f"fleetctl was not found there; install it on {self.near.address}", done.err)

    def test_fd_forward(self):
        done = self.admin.exec("fleetctl", "fd-forward", "/run/fleet.sock", stdin="GET /fleet/v1/machines HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        self.assertIn(self.far.id, done.ok())
        done = self.admin.exec("fleetctl", "fd-forward", "/run/nothing.sock")
        self.assertEqual(done.rc, 1)
        self.assertIn("Failed dialing remote address: ", done.err)
