# SPDX-License-Identifier: Apache-2.0
"""One machine with nothing configured: the built-in store, from the first start over crashes and a reboot."""

import unittest

from harness import Cluster, ClusterTest, keep_journals_if_failed, service, wait_for

STORE = "/var/lib/fleet/store.db"
LISTENER = "import socket, time; s = socket.create_server(('127.0.0.1', 2379)); print('on', flush=True); time.sleep(600)"
BACKUP = f"import sqlite3; sqlite3.connect('{STORE}').backup(sqlite3.connect('/root/backup.db'))"
UNITS = {f"unit{number}.service": service() for number in range(5)}


class Builtin(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(ClusterTest.install_root, 1, n_etcd=0, configured=False)
        cls.machine = cls.cluster.machines[0]

    @classmethod
    def tearDownClass(cls):
        cls.cluster.down()


    def setUp(self):
        self.fresh()
        self.addCleanup(keep_journals_if_failed, self, self.cluster)

    def tearDown(self):
        new = self.cluster.new_sanitizer_reports()
        self.assertFalse(new, "a sanitizer complained:\n" + "\n".join(new))

    def run_fleet(self):
        self.machine.exec("systemctl", "start", "fleet.socket", "fleet.service", timeout_s=30).ok()

    def rerun_fleet(self):
        self.machine.exec("systemctl", "restart", "fleet.service", timeout_s=30).ok()

    def fresh(self):
        """The machine as a package leaves it: no configuration, no state, no unit."""
        self.machine.exec("systemctl", "daemon-reload").ok()
        if self.machine.exec("systemctl", "is-active", "fleet.service").rc == 0 and self.is_up():
            for name in self.cluster.units():
                self.machine.api("DELETE", f"/fleet/v1/units/{name}")
            wait_for(lambda: not self.machine.unit_files(), 20, "no unit is left")
        self.machine.exec("systemctl", "stop", "fleet.service", timeout_s=30)
        self.machine.exec("sh", "-c", "rm -rf /var/lib/fleet /etc/fleet/fleet.conf /run/fleet/lease").ok()
        self.machine.exec("journalctl", "--rotate")
        self.machine.exec("journalctl", "--vacuum-time=1s")

    def is_up(self):
        return self.machine.api("GET", "/fleet/v1/machines").status == 200

    def up(self):
        wait_for(self.is_up, 10, "the API answers")

    def start_units(self):
        self.cluster.start(UNITS).ok()
        self.cluster.wait_active(*UNITS)

    def pids(self):
        return {unit: self.machine.main_pid(unit) for unit in UNITS}

    def maps(self):
        return self.machine.exec("cat", f"/proc/{self.machine.daemon_pid()}/maps").ok()

    def joined(self):
        return self.machine.journal().count("is a member of the cluster as")

    def said(self, text):
        return wait_for(lambda: text in self.machine.journal(), 10, f"the log says: {text}")

    def test_nothing_to_configure(self):
        self.run_fleet()
        self.up()
        self.start_units()
        self.said(f"Store: built-in, {STORE} (no etcd is configured, and none answers on this machine)")
        self.assertEqual(len(self.cluster.machine_ids()), 1)
        self.assertIn("libsqlite3", self.maps())
        self.assertEqual(self.machine.exec("stat", "-c", "%a", "/var/lib/fleet", STORE).ok().split(), ["700", "600"])

    def test_restarts_and_crashes_touch_no_unit(self):
        self.run_fleet()
        self.up()
        self.start_units()
        pids = self.pids()
        n_joined = self.joined()
        for how in (("restart", "fleet.service"), ("kill", "-s", "KILL", "fleet.service"), ("restart", "fleet.service")):
            before = self.machine.daemon_pid()
            self.machine.exec("systemctl", *how, timeout_s=30).ok()
            wait_for(lambda: self.machine.daemon_pid() not in (before, 0), 10, "another fleetd runs")
            self.up()
            self.cluster.wait_active(*UNITS)
            self.assertEqual(self.pids(), pids)
        self.assertEqual(self.joined() - n_joined, 3)

    def test_a_reboot_brings_everything_back(self):
        self.run_fleet()
        self.up()
        self.start_units()
        self.machine.power_off()
        self.machine.power_on()
        self.run_fleet()
        self.up()
        self.cluster.wait_active(*UNITS, timeout_s=20)

    def test_a_corrupt_file_stops_nothing(self):
        self.run_fleet()
        self.up()
        self.start_units()
        pids = self.pids()
        self.machine.exec("python3", "-c", BACKUP).ok()  # while fleetd has it open
        daemon = self.machine.daemon_pid()
        self.machine.exec("kill", "-STOP", daemon).ok()
        self.machine.exec("sh", "-c", f"echo nonsense >{STORE}; rm {STORE}-wal; kill -KILL {daemon}").ok()
        self.said(f"{STORE} is corrupt and was moved aside as {STORE}.corrupt")
        self.assertEqual(self.machine.api("GET", "/fleet/v1/units").status, 503)
        self.machine.exec("systemctl", "kill", "-s", "KILL", "fleet.service").ok()
        self.said(f"{STORE} was found corrupt and is kept as {STORE}.corrupt")
        self.assertEqual(self.pids(), pids)

        self.machine.exec("mv", "/root/backup.db", STORE).ok()
        self.up()
        self.cluster.wait_active(*UNITS)
        self.assertEqual(self.pids(), pids)
        self.assertEqual(self.machine.exec("cat", f"{STORE}.corrupt").ok(), "nonsense\n")

    def test_what_was_chosen_is_kept_to(self):
        self.machine.exec("systemd-run", "--unit=listener", "python3", "-c", LISTENER).ok()
        self.addCleanup(self.machine.exec, "systemctl", "stop", "listener.service")
        wait_for(lambda: "on" in self.machine.journal("listener.service").split(), 10, "something listens where etcd would")
        self.run_fleet()
        self.said("Store: etcd, http://127.0.0.1:2379 (none is configured, and it answers)")
        self.assertNotIn("libsqlite3", self.maps())
        self.machine.exec("systemctl", "stop", "listener.service").ok()
        self.rerun_fleet()
        self.said("Store: etcd, http://127.0.0.1:2379 (as before)")

    def test_records_are_not_left_for_an_etcd_that_appears(self):
        self.run_fleet()
        self.up()
        self.start_units()
        self.machine.exec("systemd-run", "--unit=listener", "python3", "-c", LISTENER).ok()
        self.addCleanup(self.machine.exec, "systemctl", "stop", "listener.service")
        wait_for(lambda: "on" in self.machine.journal("listener.service").split(), 10, "something listens where etcd would")
        self.rerun_fleet()
        self.said("etcd answers on this machine, but its built-in store has records and stays in use")
        self.up()
        self.cluster.wait_active(*UNITS)
