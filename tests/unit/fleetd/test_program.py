# SPDX-License-Identifier: Apache-2.0
"""test_program.py FLEETD: the program itself: its arguments, what it says when it cannot start, and whole lives of it, without etcd and, if etcd
is installed, with one; the service manager that starts it is played by this test."""

import contextlib
import http.client
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent / "functional"))
import prometheus

FLEETD = os.path.abspath(sys.argv.pop())
HAS_ID = os.path.exists("/etc/machine-id") and len(Path("/etc/machine-id").read_text().strip()) == 32


def run(*arguments, **environment):
    """Exit code, stdout, stderr of a run that has to end by itself."""
    done = subprocess.run([FLEETD, *arguments], capture_output=True, text=True, timeout=20, check=False, env={**clean(), **environment})
    return done.returncode, done.stdout, done.stderr


def clean():
    return {name: value for name, value in os.environ.items() if not name.startswith(("FLEET_", "LISTEN_", "NOTIFY_", "WATCHDOG_", "JOURNAL_", "RUNTIME_DIR"))}


class Arguments(unittest.TestCase):
    def test_version_in_all_spellings(self):
        for argument in ("--version", "version"):
            code, out, err = run(argument)
            self.assertRegex(out, r"\Afleetd version \d+\.\d+\.\d+\n\Z")
            self.assertEqual((code, err), (0, ""))

    def test_anything_else_is_refused_with_the_usage(self):
        for arguments in (["list-units"], ["--config", "/dev/null", "start"], ["version", "now"]):
            code, out, err = run(*arguments)
            self.assertEqual((code, out), (1, ""))
            self.assertTrue(err.startswith(f"{FLEETD} takes no arguments. Did you mean to invoke fleetctl instead?\n"), err)
            self.assertIn("Usage: ", err)
        code, _, err = run("--wings")
        self.assertEqual(code, 1)
        self.assertIn("there is no option --wings", err)
        code, _, err = run("--config")
        self.assertEqual(code, 1)
        self.assertIn("--config needs a file", err)

    def test_store_subcommands(self):
        code, out, err = run("store", "--help")
        self.assertEqual((code, err), (0, ""))
        self.assertLessEqual(max(len(line) for line in out.splitlines()), 100)
        self.assertEqual(run("store", "open", "--help")[1].splitlines()[0], "  fleetd store open [OPTION..] STORE")
        for word in ("fleetd store check", "fleetd store backup [OPTION..] FILE", "--force", "fleetd store restore [OPTION..] FILE", "--wait", "--store PATH", "fleetd store copy", "--from STORE", "--move", "--replace", "fleetd store open"):
            self.assertIn(word, out)
        for arguments, why in (([], "Usage: fleetd store SUBCOMMAND"),
                               (["burn"], "fleetd store has no subcommand burn"),
                               (["copy"], "fleetd store copy: --from is missing"),
                               (["copy", "--from"], "--from needs STORE"),
                               (["copy", "--from=builtin"], "--to is missing"),
                               (["copy", "--from=a", "--to=b", "--wings"], "there is no option --wings"),
                               (["copy", "--from=a", "--to=b", "c"], "c is an argument too many"),
                               (["copy", "--from=a", "--to=b"], "what is a? A store is builtin, a path with a slash, or URLs"),
                               (["copy", "--from=/nowhere/store.db", "--to=/tmp"], "there is no store in /nowhere/store.db: No such file"),
                               (["copy", "--from=http://", "--to=b"], "http://"),
                               (["copy", "--move=yes"], "--move takes no value"),
                               (["open"], "fleetd store open: STORE is missing"),
                               (["check", "/var/lib/fleet/store.db"], "/var/lib/fleet/store.db is an argument too many"),
                               (["backup"], "fleetd store backup: FILE is missing"),
                               (["restore", "a", "b"], "fleetd store restore: b is an argument too many")):
            code, out, err = run("store", *arguments)
            self.assertEqual((code, out), (1, ""), arguments)
            self.assertIn(why, err)

    def test_help_names_every_option_and_key(self):
        code, out, _ = run("--help")
        self.assertEqual(code, 0)
        for word in ("--config", "--print-config", "--version", "--help", "etcd_servers", "agent_ttl (default 15s)", "disable_watches"):
            self.assertIn(word, out)

    def test_full_disk_is_no_success(self):
        with open("/dev/full", "w", encoding="utf-8") as full:
            self.assertEqual(subprocess.run([FLEETD, "--print-config"], stdout=full, check=False, env=clean()).returncode, 1)


class CannotStart(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fleetd-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)

    def refused(self, text, message, option="--config", **environment):
        """With this configuration it ends with status 1 and one line that says why."""
        path = self.folder / "fleet.conf"
        path.write_text(text)
        arguments = ["--config", str(path)] if option == "--config" else [f"--config={path}"]
        code, out, err = run(*arguments, RUNTIME_DIRECTORY=str(self.folder / "run"), **environment)
        self.assertEqual((code, out), (1, ""))
        self.assertEqual(err, f"ERROR Cannot start: {message.format(path=path)}\n")

    def test_bad_configuration(self):
        unknown = '{path}:2: there is no key "wings"; fleetd --help names those that there are'
        self.refused("# a comment\nwings=2\n", unknown)
        self.refused("# a comment\nwings=2\n", unknown, option="--config=")
        self.refused("agent_ttl=fast\n", '{path}:1: agent_ttl: "fast" is not a duration such as 15s, 1m30s or 2500ms')
        self.refused("", 'environment variable FLEET_TOKEN_LIMIT: "x" is not a whole number', FLEET_TOKEN_LIMIT="x")

    def test_missing_configuration(self):
        code, _, err = run("--config", str(self.folder / "none"))
        self.assertEqual(code, 1)
        self.assertEqual(err, f"ERROR Cannot start: cannot read the configuration {self.folder}/none: No such file or directory\n")
        code, _, err = run("--config", str(self.folder))
        self.assertEqual(code, 1)
        self.assertIn("Is a directory", err)

    def test_configuration_that_may_be_read_the_next_time(self):
        # To read one's own memory where nothing is mapped is an error of input and output.
        code, _, err = run("--config", "/proc/self/mem")
        self.assertEqual(err, "ERROR Cannot start: cannot read the configuration /proc/self/mem: Input/output error\n")
        self.assertEqual(code, 75)

    @unittest.skipUnless(HAS_ID, "this host has no machine ID")
    def test_unwritable_runtime_directory(self):
        code, _, err = run("--config", "/dev/null", RUNTIME_DIRECTORY="/proc/fleet")
        self.assertEqual(code, 1)
        self.assertIn("cannot make the runtime directory /proc/fleet", err)


class ServiceManager:
    """Plays the one that starts the daemon: passes a socket, and hears what the daemon tells."""

    def __init__(self, folder, watchdog_us=None, etcd=None, stdout=None):
        self.folder = folder
        self.heard = []
        for left in ("notify", "api"):
            (folder / left).unlink(missing_ok=True)
        self.notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notify.bind(str(folder / "notify"))
        self.api_path = str(folder / "api")
        listener = socket.socket(socket.AF_UNIX)
        listener.bind(self.api_path)
        listener.listen()
        # A port that nobody listens on: bound, and not given away until the daemon has ended.
        self.dead = socket.socket()
        self.dead.bind(("127.0.0.1", 0))
        self.etcd = etcd or f"http://127.0.0.1:{self.dead.getsockname()[1]}"
        (folder / "fleet.conf").write_text(f"etcd_servers={self.etcd}\nunits_directory={folder}/units/\nsystemd_user=yes\nenable_grpc=no\n")
        environment = {
            **clean(), "RUNTIME_DIRECTORY": f"{folder}/run", "NOTIFY_SOCKET": f"{folder}/notify", "LISTEN_FDS": "1",
            "DBUS_SESSION_BUS_ADDRESS": f"unix:path={folder}/no-bus", "XDG_RUNTIME_DIR": str(folder),
        }
        if watchdog_us:
            environment["WATCHDOG_USEC"] = str(watchdog_us)
        # The shell's exec keeps the pid that LISTEN_PID has to name.
        command = 'exec 3<&"$1" && export LISTEN_PID=$$ && exec "$0" --config "$2"'
        self.daemon = subprocess.Popen(["sh", "-c", command, FLEETD, str(listener.fileno()), f"{folder}/fleet.conf"], env=environment,
                                       pass_fds=[listener.fileno()], stdout=stdout, stderr=subprocess.PIPE, text=True)
        listener.close()

    def hear(self, what, timeout_s=10):
        """Wait until the daemon tells something that contains `what`; returns that."""
        end = time.monotonic() + timeout_s
        while True:
            self.notify.settimeout(max(0.001, end - time.monotonic()))
            told = self.notify.recv(4096).decode()
            self.heard.append(told)
            if what in told:
                return told

    def get(self, path):
        connection = http.client.HTTPConnection("fleet")
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.settimeout(10)
        connection.sock.connect(self.api_path)
        with contextlib.closing(connection):
            connection.request("GET", path)
            reply = connection.getresponse()
            return reply.status, dict(reply.getheaders()), reply.read().decode()

    def end(self):
        if self.daemon.poll() is None:
            self.daemon.kill()
        self.daemon.communicate()
        self.notify.close()
        self.dead.close()


@unittest.skipUnless(HAS_ID, "this host has no machine ID")
class Life(unittest.TestCase):
    def start(self, **options):
        folder = tempfile.TemporaryDirectory(prefix="fleetd-")
        self.addCleanup(folder.cleanup)
        manager = ServiceManager(Path(folder.name), **options)
        self.addCleanup(manager.end)
        return manager

    def ends_well(self, manager, number):
        started = time.monotonic()
        manager.daemon.send_signal(number)
        _, err = manager.daemon.communicate(timeout=10)
        self.assertEqual(manager.daemon.returncode, 0, err)
        self.assertLess(time.monotonic() - started, 2)
        manager.hear("STOPPING=1", 1)
        return err

    def test_it_serves_503_without_etcd_and_ends_when_told(self):
        manager = self.start()
        manager.hear("READY=1")
        manager.hear("STATUS=Waiting for etcd")
        status, headers, body = manager.get("/fleet/v1/machines")
        self.assertEqual(status, 503)
        self.assertIn("unable to communicate with etcd", body)
        self.assertNotIn("Server", headers)
        err = self.ends_well(manager, signal.SIGTERM)
        self.assertIn(f"{manager.folder}/fleet.conf:4: Config option enable_grpc is no longer supported - ignoring", err)
        self.assertIn("runs as machine", err)

    def test_it_ends_on_an_interrupt(self):
        manager = self.start()
        manager.hear("READY=1")
        self.ends_well(manager, signal.SIGINT)

    def reload(self, manager, text):
        """With this after what the file had at the start."""
        with open(manager.folder / "fleet.conf", "a", encoding="utf-8") as file:
            file.write(text)
        manager.daemon.send_signal(signal.SIGHUP)
        self.assertRegex(manager.hear("RELOADING=1"), r"\ARELOADING=1\nMONOTONIC_USEC=\d{6,}\Z")
        manager.hear("READY=1")

    def test_a_reload_says_what_changed_and_what_needs_a_restart(self):
        manager = self.start()
        manager.hear("READY=1")
        self.reload(manager, "")
        self.reload(manager, "metadata=a=b\ntoken_limit=7\nunits_directory=/elsewhere\n")
        self.reload(manager, "")
        self.assertEqual(manager.get("/fleet/v1/units")[0], 503)
        err = self.ends_well(manager, signal.SIGTERM)
        self.assertEqual(err.count("The configuration was read again"), 3)
        self.assertEqual(err.count("nothing has changed"), 2)
        self.assertEqual(err.count("in force from now on: metadata, token_limit\n"), 1)
        self.assertEqual(err.count("Not in force before fleet is restarted, which touches no unit: units_directory\n"), 2)

    def test_a_reload_that_fails_keeps_what_is_in_force(self):
        manager = self.start()
        manager.hear("READY=1")
        self.reload(manager, "verbosity=1\nagent_ttl=soon\n")
        err = self.ends_well(manager, signal.SIGTERM)
        self.assertIn(f'ERROR Cannot use the configuration, the one in force stays in force: {manager.folder}/fleet.conf:6: agent_ttl: "soon" is not', err)
        self.assertNotIn("was read again", err)
        self.assertNotIn("DEBUG", err)

    def test_a_reload_of_a_missing_file_fails(self):
        manager = self.start()
        manager.hear("READY=1")
        (manager.folder / "fleet.conf").rename(manager.folder / "moved")
        manager.daemon.send_signal(signal.SIGHUP)
        manager.hear("RELOADING=1")
        manager.hear("READY=1")
        err = self.ends_well(manager, signal.SIGTERM)
        self.assertIn("stays in force: cannot read the configuration", err)

    def test_a_reload_makes_it_talk_of_other_servers(self):
        manager = self.start()
        manager.hear("READY=1")
        self.reload(manager, "verbosity=1\netcd_servers=http://127.0.0.1:1\n")
        for line in manager.daemon.stderr:
            if "trying http://127.0.0.1:1 " in line:
                break
        else:
            self.fail("the new server is not tried")

    def test_a_dump_of_the_state_is_one_line_of_json(self):
        manager = self.start(stdout=subprocess.PIPE)
        manager.hear("READY=1")
        manager.daemon.send_signal(signal.SIGUSR1)
        state = json.loads(manager.daemon.stdout.readline())
        self.assertEqual(state["Agent"], {"Cache": {"TargetStates": {}}})
        self.assertEqual(state["UnitStatePublisher"], {"Cache": {}, "ToPublish": {}})
        self.assertEqual(state["UnitStateGenerator"], {"Subscribed": []})
        self.assertRegex(state["Fleetd"]["Version"], r"\A\d+\.\d+\.\d+\Z")
        self.assertEqual((state["Fleetd"]["StoreConnected"], state["Fleetd"]["Lease"]), (0, ""))
        self.ends_well(manager, signal.SIGTERM)

    def test_nobody_has_to_read_the_dumps(self):
        manager = self.start(stdout=subprocess.PIPE)
        manager.hear("READY=1")
        for _ in range(200):  # far more than a pipe holds
            manager.daemon.send_signal(signal.SIGUSR1)
            self.assertEqual(manager.get("/fleet/v1/units")[0], 503)
        err = self.ends_well(manager, signal.SIGTERM)
        self.assertIn("The last dump of the state is still being written", err)

    def test_a_dump_to_nowhere_is_harmless(self):
        manager = self.start(stdout=subprocess.PIPE)
        manager.hear("READY=1")
        manager.daemon.stdout.close()
        manager.daemon.send_signal(signal.SIGUSR1)
        self.assertEqual(manager.get("/fleet/v1/units")[0], 503)
        err = self.ends_well(manager, signal.SIGTERM)
        self.assertIn("Cannot write the state to standard output", err)

    def test_it_says_that_etcd_cannot_be_reached(self):
        manager = self.start()
        for line in manager.daemon.stderr:
            if "cannot be reached" in line:
                break
        self.assertIn(manager.etcd, line)

    def test_it_feeds_the_watchdog(self):
        manager = self.start(watchdog_us=400000)
        manager.hear("READY=1")
        for _ in range(3):
            manager.hear("WATCHDOG=1", 0.4)

    def test_a_second_one_on_the_same_machine_is_refused(self):
        manager = self.start()
        manager.hear("READY=1")
        code, _, err = run("--config", f"{manager.folder}/fleet.conf", RUNTIME_DIRECTORY=f"{manager.folder}/run")
        self.assertEqual(code, 1)
        self.assertIn("another fleetd runs on this machine", err)
        self.assertEqual(manager.get("/fleet/v1/units")[0], 503)


class Etcd:
    """An etcd of one member on free ports, which can be taken away and come back."""

    def __init__(self, folder):
        self.command = None
        self.log = open(folder / "etcd.log", "ab")
        while True:  # another process may take a port between finding and using it
            with socket.socket() as a, socket.socket() as b:
                a.bind(("127.0.0.1", 0))
                b.bind(("127.0.0.1", 0))
                self.url, peer = (f"http://127.0.0.1:{s.getsockname()[1]}" for s in (a, b))
            self.command = ["etcd", "--data-dir", str(folder / "etcd"), "--listen-client-urls", self.url, "--advertise-client-urls", self.url,
                            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]
            self.start()
            if self.is_healthy():
                return

    def start(self):
        self.process = subprocess.Popen(self.command, stdout=self.log, stderr=self.log)

    def is_healthy(self):
        address = self.url.removeprefix("http://")
        while self.process.poll() is None:
            with contextlib.suppress(OSError), contextlib.closing(http.client.HTTPConnection(address, timeout=5)) as connection:
                connection.request("GET", "/health")
                if connection.getresponse().status == 200:
                    return True
        return False

    def stop(self):
        self.process.kill()
        self.process.wait()

    def end(self):
        self.stop()
        self.log.close()


@unittest.skipUnless(HAS_ID and shutil.which("etcd"), "this host has no machine ID, or no etcd")
class LifeWithEtcd(unittest.TestCase):
    def setUp(self):
        folder = tempfile.TemporaryDirectory(prefix="fleetd-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name)
        self.etcd = Etcd(self.folder)
        self.addCleanup(self.etcd.end)

    def start(self):
        manager = ServiceManager(self.folder, etcd=self.etcd.url)
        self.addCleanup(manager.end)
        manager.joined = manager.hear("STATUS=Member of the cluster")
        return manager

    def end(self, manager):
        manager.daemon.terminate()
        _, err = manager.daemon.communicate(timeout=10)
        self.assertEqual(manager.daemon.returncode, 0, err)
        manager.end()

    def test_a_restarted_daemon_goes_on_with_its_lease(self):
        first = self.start()
        lease = (self.folder / "run" / "lease").read_text()
        self.assertTrue(lease.strip())
        self.end(first)
        second = self.start()
        self.assertEqual((self.folder / "run" / "lease").read_text(), lease)
        status, _, body = second.get("/fleet/v1/machines")
        self.assertEqual(status, 200)
        self.assertEqual([machine["id"] for machine in json.loads(body)["machines"]], [Path("/etc/machine-id").read_text().strip()])
        self.end(second)

    def test_it_leads_and_its_metrics_are_in_order(self):
        manager = self.start()
        if "leading it" not in manager.joined:
            manager.hear("STATUS=Member of the cluster, leading it")
        status, _, body = manager.get("/metrics")
        self.assertEqual(status, 200)
        self.assertIn("\nfleet_engine_leading 1\n", body)
        self.assertIn("\nfleet_agent_units 0\n", body)
        families = prometheus.parse(body)
        self.assertEqual(prometheus.exposed(families), prometheus.documented())
        now = time.time()
        self.assertTrue(now - 60 < families["process_start_time_seconds"].value() <= now)
        self.assertTrue(now - 60 < families["fleet_engine_leader_start_time"].value() <= now)
        self.assertGreater(families["process_resident_memory_bytes"].value(), 1e6)
        self.assertGreater(families["process_virtual_memory_bytes"].value(), families["process_resident_memory_bytes"].value())
        self.assertGreater(families["fleet_registry_operation_duration_second"].count(type="range"), 0)
        self.end(manager)

    def test_etcd_goes_and_comes_back(self):
        manager = self.start()
        self.etcd.stop()
        manager.hear("STATUS=Lost etcd")
        status, headers, body = manager.get("/fleet/v1/units")
        self.assertEqual(status, 503)
        self.assertIn("unable to communicate with etcd", body)
        self.assertNotIn("Server", headers)
        self.etcd.start()
        manager.hear("STATUS=Member of the cluster", 20)
        self.assertEqual(manager.get("/fleet/v1/units")[0], 200)
        self.end(manager)

    def test_it_ends_quickly_without_etcd(self):
        manager = self.start()
        self.etcd.stop()
        manager.hear("STATUS=Lost etcd")
        started = time.monotonic()
        self.end(manager)
        self.assertLess(time.monotonic() - started, 1)


if __name__ == "__main__":
    unittest.main(verbosity=1)
