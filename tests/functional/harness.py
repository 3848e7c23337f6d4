# SPDX-License-Identifier: Apache-2.0
"""Real clusters for tests: machines with their own systemd (tests/lab/lab), a store for them, fleet installed on each. The store is
etcd, or the built-in one of a machine that serves it to the others.

A test class derives from ClusterTest and says how many machines it wants; its tests share the cluster, and find it empty:
every unit that a test leaves is destroyed after it, and machines that it powered off or unplugged come back.
Conditions are awaited with wait_for(), never slept for.
"""

import base64
import ctypes
import hashlib
import http.client
import itertools
import json
import os
import re
import shutil
import socket
import subprocess
import tempfile
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent.parent
LAB = TOP / "tests" / "lab" / "lab"
TTL_S = 3  # agent_ttl of every test cluster
PREFIX = "/fleet/"
STORE = "etcd"  # of the clusters that do not say; or "served"

SANITIZER_REPORT = re.compile(r"ERROR: (Address|Leak)Sanitizer|runtime error:")

_PR_SET_CHILD_SUBREAPER = 36
_lab_numbers = itertools.count(1)


def adopt_orphans():
    """Become the parent of what the labs leave when they end, so that nothing stays as a zombie where PID 1 does not reap."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _reap_orphans():
    try:
        while os.waitpid(-1, os.WNOHANG) != (0, 0):
            pass
    except ChildProcessError:
        pass


def wait_for(condition, timeout_s=10, what=None):
    """Call until it returns something true, and return that; raise AssertionError after the time-out, with the last exception."""
    deadline = time.monotonic() + timeout_s
    error = None
    while True:
        try:
            value = condition()
            if value:
                return value
            error = None
        except (AssertionError, OSError, http.client.HTTPException, LookupError, ValueError) as caught:
            error = caught
        if time.monotonic() > deadline:
            name = what or getattr(condition, "__name__", "the condition")
            raise AssertionError(f"not within {timeout_s} s: {name}" + (f" ({error})" if error else "")) from error
        time.sleep(0.02)


def let_pass(seconds):
    """For claims that nothing happens in that time, and for nothing else."""
    time.sleep(seconds)


class Result:
    """How a command went. Unpacks as (rc, out, err)."""

    def __init__(self, command, rc, out, err):
        self.command, self.rc, self.out, self.err = command, rc, out, err

    def __iter__(self):
        return iter((self.rc, self.out, self.err))

    def __str__(self):
        return f"`{' '.join(self.command)}` exited with {self.rc}\nstdout: {self.out}\nstderr: {self.err}"

    def ok(self):
        """The standard output of a command that must succeed."""
        if self.rc != 0:
            raise AssertionError(str(self))
        return self.out


def _run(command, stdin=None, timeout_s=60, env=None):
    command = [str(word) for word in command]
    source = {"stdin": subprocess.DEVNULL} if stdin is None else {"input": stdin}
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False, env={**os.environ, **(env or {})}, **source)
    except subprocess.TimeoutExpired as expired:
        shown = [(part or b"").decode(errors="replace") for part in (expired.stdout, expired.stderr)]
        raise AssertionError(f"`{' '.join(command)}` did not end within {timeout_s} s\nstdout: {shown[0]}\nstderr: {shown[1]}") from None
    return Result(command, done.returncode, done.stdout, done.stderr)


class Lab:
    """One lab: the network, the machines, etcd."""

    def __init__(self):
        self.name = f"test-{os.getpid()}-{next(_lab_numbers)}"
        self.state = Path("/run/fleet-lab") / self.name

    def call(self, *arguments, stdin=None, timeout_s=60, env=None):
        return _run([LAB, *map(str, arguments)], stdin=stdin, timeout_s=timeout_s, env={"LAB_NAME": self.name, **(env or {})})

    def down(self):
        result = self.call("down")
        _reap_orphans()
        result.ok()


class _UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout):
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class Reply:
    """What the API answered. Unpacks as (status, body); the body is parsed when it is JSON."""

    def __init__(self, status, headers, data):
        self.status, self.headers, self.data = status, headers, data
        self.body = json.loads(data) if data and headers.get_content_type() == "application/json" else data.decode()

    def __iter__(self):
        return iter((self.status, self.body))

    def __str__(self):
        return f"{self.status} {self.data[:500]!r}"

    def message(self):
        """The text of an error reply."""
        return self.body["error"]["message"] if isinstance(self.body, dict) and "error" in self.body else str(self.body)


class Station:
    """What has a cable to the lab's network: a machine, or a member of etcd."""

    def __init__(self, lab, name):
        self.lab, self.name = lab, name

    def __repr__(self):
        return self.name

    def cut(self):
        self.lab.call("cut", self.name).ok()

    def heal(self):
        self.lab.call("heal", self.name).ok()

    def part(self, *others):
        """Nothing gets from it to those, or from them to it."""
        self.lab.call("part", self.name, *(other.name for other in others)).ok()

    def join(self, *others):
        self.lab.call("join", self.name, *(other.name for other in others)).ok()

    def delay(self, milliseconds):
        """What comes or goes over its cable takes so much longer."""
        self.lab.call("delay", self.name, milliseconds).ok()


class Member(Station):
    """A member of etcd."""

    def __init__(self, lab, number):
        super().__init__(lab, f"etcd-{number}")
        self._number = number

    def stop(self):
        self.lab.call("etcd-stop", self._number).ok()

    def start(self):
        self.lab.call("etcd-start", self._number).ok()

    def kill(self):
        """Power off."""
        self.lab.call("etcd-kill", self._number).ok()

    def pause(self):
        self.lab.call("etcd-pause", self._number).ok()

    def resume(self):
        self.lab.call("etcd-resume", self._number).ok()

    def replace(self):
        """By another one with an empty disk."""
        self.lab.call("etcd-replace", self._number).ok()


class Server(Member):
    """A machine that serves its built-in store, and is no member of the cluster: in the place of a member of etcd."""

    def __init__(self, lab, machine):
        Station.__init__(self, lab, machine.name)
        self.machine = machine

    def stop(self):
        self.machine.end_daemon()

    def start(self):
        if not self.machine.is_on():
            self.machine.power_on()
        self.machine.begin_daemon()

    def kill(self):
        self.machine.power_off()

    def pause(self):
        self.machine.pause()

    def resume(self):
        self.machine.resume()

    def replace(self):
        raise NotImplementedError("a store that one machine has cannot be replaced")


class Machine(Station):
    """One machine of a lab."""

    def __init__(self, lab, name):
        super().__init__(lab, name)
        self.address = (lab.state / "machine" / name / "address").read_text().strip()

    def __repr__(self):
        return f"{self.name} ({self.address})"

    @property
    def id(self):
        return (self.root / "etc/machine-id").read_text().strip()

    @property
    def root(self):
        """The machine's file system as this host sees it, while it runs."""
        pid = (self.lab.state / "machine" / self.name / "pid").read_text().split()[0]
        return Path(f"/proc/{pid}/root")

    def exec(self, *command, stdin=None, timeout_s=60):
        return self.lab.call("exec", self.name, *command, stdin=stdin, timeout_s=timeout_s)

    def fleetctl(self, *arguments, timeout_s=60):
        """fleetctl as an admin on this machine runs it, among the unit files that put_unit() left there."""
        return self.exec("sh", "-c", 'mkdir -p /root/units && cd /root/units && exec fleetctl "$@"', "fleetctl", *arguments, timeout_s=timeout_s)

    def put_unit(self, name, text):
        folder = self.root / "root/units"
        folder.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)

    def api(self, method, path, body=None, headers=None, timeout_s=10):
        """One request to this machine's API. `body` is sent as JSON unless it is bytes."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json", **(headers or {})} if data is not None else headers or {}
        connection = _UnixConnection(str(self.root / "run/fleet.sock"), timeout_s)
        try:
            connection.request(method, path, body=data, headers={k: v for k, v in headers.items() if v is not None})
            response = connection.getresponse()
            return Reply(response.status, response.headers, response.read())
        finally:
            connection.close()

    def hammer(self, n_requests, n_connections):
        """Ask this machine's API for everything that can be read, over and over, on connections that stay."""
        paths = [f"/fleet/v1/{path}" for path in ("units", "state", "machines", "units/none.service", "discovery")] + ["/metrics"]

        def converse(first):
            connection = _UnixConnection(str(self.root / "run/fleet.sock"), 60)
            for n in range(n_requests // n_connections):
                connection.request("GET", paths[(first + n) % len(paths)])
                response = connection.getresponse()
                response.read()
                assert response.status in (200, 404), response.status
            connection.close()

        with ThreadPoolExecutor(n_connections) as pool:
            for done in [pool.submit(converse, n) for n in range(n_connections)]:
                done.result()

    def show(self, unit, *properties):
        """systemd's own view of a unit: a property's value, or a list of several."""
        out = self.exec("systemctl", "show", *(f"-p{name}" for name in properties), unit).ok()
        found = dict(line.split("=", 1) for line in out.splitlines() if "=" in line)
        values = [found.get(name, "") for name in properties]
        return values[0] if len(values) == 1 else values

    def main_pid(self, unit):
        return int(self.show(unit, "MainPID"))

    def is_active(self, unit):
        return self.show(unit, "ActiveState") == "active"

    def unit_files(self):
        """The files that fleet has given to this machine's systemd."""
        folder = self.root / "run/fleet/units"
        return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def journal(self, unit="fleet.service"):
        return self.exec("journalctl", "--no-pager", "-o", "short-precise", "-u", unit).out

    def configure(self, *options, ttl_s=TTL_S, timeout_s=60):
        """Write its fleet.conf (KEY=VALUE ..., besides what every test cluster has) and (re)start fleet there."""
        self.lab.call("configure", self.name, f"agent_ttl={ttl_s}s", "verbosity=1", *options, timeout_s=timeout_s).ok()

    def daemon_pid(self):
        return self.main_pid("fleet.service")

    def daemon_file(self, name):
        """A file of the daemon's in /proc."""
        return (self.root / f"proc/{self.daemon_pid()}" / name).read_text()

    def daemon_is_sanitized(self):
        """AddressSanitizer reserves terabytes for its shadow, and its memory says nothing."""
        return int(re.search(r"VmSize:\s+(\d+)", self.daemon_file("status"))[1]) > 1 << 30

    def daemon_memory_kb(self):
        """Memory of the daemon's own: heap, stack, what it has written of its files' data. Not its code, of which more is mapped as more of
        it has run, and which the kernel takes back when it likes."""
        return int(re.search(r"Anonymous: +(\d+)", self.daemon_file("smaps_rollup"))[1])

    def daemon_descriptors(self):
        """What each file descriptor of the daemon is: number -> target."""
        folder = self.root / f"proc/{self.daemon_pid()}/fd"
        return {int(link.name): os.readlink(link) for link in folder.iterdir()}

    def end_daemon(self):
        """End fleetd as a restart does, which touches no unit, and leave it ended. `systemctl stop` would leave the cluster."""
        drop_in = "mkdir -p /run/systemd/system/fleet.service.d && printf '[Service]\nRestart=no\n' >/run/systemd/system/fleet.service.d/ended.conf"
        self.exec("sh", "-c", f"{drop_in} && systemctl daemon-reload && systemctl stop fleet.socket && systemctl kill --kill-whom=main fleet.service").ok()
        wait_for(lambda: self.show("fleet.service", "ActiveState") == "inactive", what="fleetd has ended")

    def begin_daemon(self):
        """Start it again after end_daemon(); nothing happens where it runs."""
        self.exec("sh", "-c", "rm -f /run/systemd/system/fleet.service.d/ended.conf && systemctl daemon-reload && systemctl start fleet.socket fleet.service").ok()

    def is_on(self):
        return any(line.split() == [self.name, self.address, "running"] for line in self.lab.call("list").ok().splitlines())

    def power_off(self):
        self.lab.call("kill", self.name).ok()

    def power_on(self):
        self.lab.call("boot", self.name).ok()

    def pause(self):
        """Freeze all that runs on it."""
        self.lab.call("pause", self.name).ok()

    def resume(self):
        self.lab.call("resume", self.name).ok()


class Cluster:
    """Machines with fleet on them, over etcd, or over the store that one of them serves.

    `store_apart`: where it is served at all, another machine does, which is no member of the cluster, and stands in for
    etcd: for tests that take machines away whichever they are, or the store.
    """

    def __init__(self, root, n_machines, n_etcd=1, options=None, configured=True, ttl_s=TTL_S, etcd_guard=(), etcd_env=None, store=None, store_apart=False):
        self.is_served = n_etcd > 0 and (store or STORE) == "served"
        self.install_root = root
        self.ttl_s = ttl_s
        self.seen_reports = set()
        self.options = options or {}  # machine name -> extra fleet.conf lines
        self.lab = Lab()
        self.members = []
        try:
            self.lab.call("up", n_machines).ok()
            if n_etcd and not self.is_served:
                self.lab.call("etcd", n_etcd, *etcd_guard, env=etcd_env).ok()
                self.members = [Member(self.lab, number + 1) for number in range(n_etcd)]
            elif self.is_served:
                self._serve(store_apart)
            self.lab.call("install", root).ok()
            self.machines = [Machine(self.lab, f"m{index + 1}") for index in range(n_machines)]
            if configured:
                for member in self.members if self.is_served else ():
                    member.machine.configure("etcd_key_prefix=/apart/")
                for machine in self.machines:
                    self.configure(machine)
                self.wait_for_machines(self.machines)
        except BaseException:
            self.save_journals(tempfile.mkdtemp(prefix="fleet-boot-"))
            self.lab.down()
            raise

    def _serve(self, is_apart):
        if not is_apart:
            self.lab.call("serve", "m1").ok()
            return
        self.lab.call("add", "store", "10.77.0.1").ok()
        self.lab.call("serve", "store").ok()
        self.members = [Server(self.lab, Machine(self.lab, "store"))]

    def configure(self, machine):
        machine.configure(*self.options.get(machine.name, []), ttl_s=self.ttl_s)

    def add_machine(self, name, address):
        """One more machine, in the cluster."""
        self.lab.call("add", name, address).ok()
        self.lab.call("install", self.install_root, name).ok()
        machine = Machine(self.lab, name)
        self.machines.append(machine)
        self.configure(machine)
        return machine

    def running(self):
        on = {line.split()[0] for line in self.lab.call("list").ok().splitlines() if line.endswith(" running")}
        return [machine for machine in self.machines if machine.name in on]

    def api(self, method, path, body=None, machine=None, **how):
        return (machine or self.running()[0]).api(method, path, body, **how)

    def fleetctl(self, *arguments, machine=None, timeout_s=60):
        return (machine or self.running()[0]).fleetctl(*arguments, timeout_s=timeout_s)

    def wait_for_etcd(self):
        wait_for(lambda: self.lab.call("etcdctl", "endpoint", "health").rc == 0, 20, "every member of etcd is healthy")

    def etcdctl(self, *arguments, stdin=None):
        return self.lab.call("etcdctl", *arguments, stdin=stdin).ok()

    def put_unit(self, name, text):
        """Leave a unit file where fleetctl() on any machine finds it."""
        for machine in self.running():
            machine.put_unit(name, text)

    def start(self, units, machine=None):
        """Create and launch units (name -> text), as one `fleetctl start`."""
        for name, text in units.items():
            self.put_unit(name, text)
        return self.fleetctl("start", *units, machine=machine)

    def revision(self):
        """The store's revision."""
        return json.loads(self.etcdctl("get", PREFIX, "--limit=1", "--prefix", "-w", "json"))["header"]["revision"]

    def record(self, key):
        """A record of the store, or None."""
        text = self.etcdctl("get", PREFIX + key, "--print-value-only").strip()
        return json.loads(text) if text else None

    def records(self):
        """All records of the store: key -> the revision of its last change."""
        found = json.loads(self.etcdctl("get", PREFIX, "--prefix", "-w", "json")).get("kvs", [])
        return {base64.b64decode(row["key"]).decode().removeprefix(PREFIX): row["mod_revision"] for row in found}

    def leader(self):
        """The machine whose engine leads."""
        record = self.record("engine/leader")
        return next((machine for machine in self.running() if record and machine.id == record["machine"]), None)

    def machine_by_id(self, machine_id):
        found = [machine for machine in self.running() if machine.id == machine_id]
        if not found:
            raise LookupError(f"no machine that runs has the ID {machine_id}")
        return found[0]

    def _list(self, path, member, machine=None):
        """All pages of a list: the page's member with the entries."""
        found, token = [], ""
        while True:
            reply = self.api("GET", f"/fleet/v1/{path}" + (f"?nextPageToken={token}" if token else ""), machine=machine)
            if reply.status != 200:
                raise AssertionError(f"GET {path}: {reply}")
            found += reply.body.get(member, [])
            token = reply.body.get("nextPageToken")
            if not token:
                return found

    def units(self, machine=None):
        return {unit["name"]: unit for unit in self._list("units", "units", machine)}

    def states(self, machine=None):
        """What the machines report: a list of states, as the API gives them."""
        return self._list("state", "states", machine)

    def machine_ids(self, machine=None):
        return {entry["id"] for entry in self._list("machines", "machines", machine)}

    def active_on(self, unit, machine=None):
        """The IDs of the machines that report the unit as active."""
        return {state["machineID"] for state in self.states(machine) if state["name"] == unit and state["systemdActiveState"] == "active"}

    def placed_on(self, unit):
        """The one machine that runs the unit now, which it must."""
        ids = self.active_on(unit)
        assert len(ids) == 1, f"{unit} is active on {len(ids)} machines"
        return self.machine_by_id(ids.pop())

    def wait_active(self, *units, timeout_s=10):
        def all_are_active():
            active = {state["name"] for state in self.states() if state["systemdActiveState"] == "active"}
            missing = set(units) - active
            assert not missing, f"not active: {' '.join(sorted(missing))}"
            return True

        wait_for(all_are_active, timeout_s, f"active: {' '.join(units)}")

    def wait_for_machines(self, machines, timeout_s=20):
        """Until exactly these are in the cluster, as each of them sees it."""
        expected = {machine.id for machine in machines}
        for machine in machines:
            wait_for(lambda machine=machine: self.machine_ids(machine) == expected, timeout_s, f"{len(expected)} machines, as {machine} sees it")

    def clear(self):
        """Bring every machine and member back, and leave no unit."""
        for member in self.members:
            if self.is_served:
                member.resume()  # it takes part in what follows
            member.start()
            member.heal()
            member.resume()
        for machine in self.machines:
            if machine.is_on():
                machine.resume()
                machine.heal()
            else:
                machine.power_on()
            machine.exec("systemctl", "start", "fleet.socket", "fleet.service", timeout_s=30)
        self.wait_for_machines(self.machines)
        wait_for(self._no_unit_is_left, 30, "no unit is left in the cluster")
        wait_for(lambda: not any(machine.unit_files() for machine in self.machines), 20, "no unit file is left on a machine")
        wait_for(self._nothing_is_left, 20, "no record of a unit is left in the store")

    def _no_unit_is_left(self):
        # A store that has just come back may still elect, and refuse what is asked of it: so it is asked until it is done.
        refused = [reply.status for name in self.units() if (reply := self.api("DELETE", f"/fleet/v1/units/{name}")).status not in (204, 404)]
        left = [state["name"] for state in self.states()]
        assert not refused and not left, f"{len(refused)} not destroyed {sorted(set(refused))}, still reported: {' '.join(left)}"
        return True

    def _nothing_is_left(self):
        # Files go too, but the engine takes its time to sweep them; when names were last destroyed is kept.
        left = [key for key in self.records() if not key.startswith(("machine/", "metadata/", "engine/", "file/", "removed/", "checkup/", "report/"))]
        assert not left, " ".join(left)
        return True

    def new_sanitizer_reports(self):
        """What ASan, LSan or UBSan said in the journals since the last look, for daemons that are built with them."""
        found = {f"{m.name}: {line}" for m in self.running() for line in m.journal().splitlines() if SANITIZER_REPORT.search(line)}
        new = sorted(found - self.seen_reports)
        self.seen_reports |= found
        return new

    def save_journals(self, folder):
        """What fleet said on each machine, and etcd, as files."""
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        for path in (self.lab.state / "machine").glob("*"):
            done = self.lab.call("exec", path.name, "journalctl", "--no-pager", "-o", "short-precise")
            (folder / f"{path.name}.journal").write_text(done.out if done.rc == 0 else f"the machine is off\n{done.err}")
        for path in (self.lab.state / "etcd").glob("*/log"):
            shutil.copy(path, folder / f"etcd-{path.parent.name}.log")

    def down(self):
        self.lab.down()


def keep_journals_if_failed(test, cluster):
    """For addCleanup(): leaves the journals in a folder, test.kept, if the test or a part of it failed."""
    result = test._outcome.result
    if any(getattr(part, "test_case", part) is test for part, _ in result.failures + result.errors):
        test.kept = tempfile.mkdtemp(prefix=f"fleet-{test._testMethodName[:60]}-")
        cluster.save_journals(test.kept)


class ClusterTest(unittest.TestCase):
    """Tests that share one cluster. Set what it is made of in the class."""

    n_machines = 3
    n_etcd = 1
    options = {}  # machine name -> list of fleet.conf lines
    etcd_guard = ()  # ("tls",): it wants client certificates; ("tls", "users"): a user besides, whose tokens expire quickly
    etcd_env = None  # {"LAB_ETCD_QUOTA": bytes}: it is full at so many
    store_apart = False  # a served store is served by a machine that is no member, see Cluster
    install_root = None  # set by `run`

    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(cls.install_root, cls.n_machines, cls.n_etcd, cls.options, etcd_guard=cls.etcd_guard, etcd_env=cls.etcd_env, store_apart=cls.store_apart)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.down()

    def setUp(self):
        # After tearDown, and before the journals are of another test: cleanups run last in, first out.
        self.addCleanup(self.cluster.clear)
        self.addCleanup(keep_journals_if_failed, self, self.cluster)

    def tearDown(self):
        new = self.cluster.new_sanitizer_reports()
        self.assertFalse(new, "a sanitizer complained:\n" + "\n".join(new))

    @property
    def machines(self):
        return self.cluster.machines

    def assert_refused(self, reply, status, pattern):
        """An API reply with this status, whose message says what is wrong."""
        self.assertEqual(reply.status, status, str(reply))
        self.assertRegex(reply.message(), pattern)

    def assert_active_once(self, unit, machine=None):
        """Exactly one machine's systemd runs the unit (asked directly, not by way of fleet)."""
        running = [m for m in self.cluster.running() if m.is_active(unit)]
        self.assertEqual(len(running), 1, f"{unit} is active on {running}")
        if machine is not None:
            self.assertEqual(running[0].name, machine.name)
        return running[0]


def needs_etcd(reason):
    """For a test, or a class of them, that is about what only etcd has: it does not run over a served store."""

    def mark(target):
        target.needs_etcd = reason
        return target

    return mark


def service(command="/bin/sleep infinity", description=None, service_lines=(), fleet_lines=(), install=False):
    """The text of a service's unit file."""
    lines = []
    if description:
        lines += ["[Unit]", f"Description={description}", ""]
    lines += ["[Service]", f"ExecStart={command}", *service_lines]
    if install:
        lines += ["", "[Install]", "WantedBy=multi-user.target"]
    if fleet_lines:
        lines += ["", "[X-Fleet]", *fleet_lines]
    return "\n".join(lines) + "\n"


def options_of(text):
    """The options of a unit file (a simple one: no comments, no continued lines), as the API takes them."""
    options, section = [], None
    for line in text.splitlines():
        if match := re.fullmatch(r"\[(.+)\]", line):
            section = match[1]
        elif line:
            name, value = line.split("=", 1)
            options.append({"name": name, "section": section, "value": value})
    return options


def sha1(text):
    return hashlib.sha1(text.encode()).hexdigest()
