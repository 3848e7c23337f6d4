# SPDX-License-Identifier: Apache-2.0
"""A few machines without etcd: the first serves its built-in store, and the others join it."""

import time
import unittest

from harness import TTL_S, Cluster, ClusterTest, keep_journals_if_failed, let_pass, service, wait_for

PORT = 2379
STORE = "/var/lib/fleet/store.db"
UNITS = {f"unit{number}.service": service() for number in range(6)}
REJOIN_S = 2  # that every machine may take to be back


class Served(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(ClusterTest.install_root, 3, n_etcd=0, configured=False)
        cls.server, *cls.others = cls.cluster.machines
        cls.url = f"http://{cls.server.address}:{PORT}"
        cls.configure(cls.server, f"store_listen=127.0.0.1:{PORT},{cls.server.address}:{PORT}")
        for machine in cls.others:
            cls.configure(machine, f"etcd_servers={cls.url}")
        cls.cluster.wait_for_machines(cls.cluster.machines)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.down()

    @staticmethod
    def configure(machine, *lines):
        text = "\n".join((f"agent_ttl={TTL_S}s", "verbosity=1", *lines, ""))
        machine.exec("sh", "-c", "mkdir -p /etc/fleet && cat >/etc/fleet/fleet.conf", stdin=text).ok()
        machine.exec("sh", "-c", "systemctl start fleet.socket && systemctl restart fleet.service", timeout_s=30).ok()

    def setUp(self):
        self.addCleanup(keep_journals_if_failed, self, self.cluster)

    def tearDown(self):
        for name in self.cluster.units():
            self.cluster.api("DELETE", f"/fleet/v1/units/{name}")
        wait_for(lambda: not any(machine.unit_files() for machine in self.cluster.machines), 20, "no unit is left")
        new = self.cluster.new_sanitizer_reports()
        self.assertFalse(new, "a sanitizer complained:\n" + "\n".join(new))

    def etcdctl(self, *words):
        return self.cluster.lab.call("host", "env", "ETCDCTL_API=3", "etcdctl", "--endpoints", self.url, *words)

    def revision(self):
        header = self.etcdctl("get", "/fleet/", "--prefix", "--keys-only", "--limit=1", "-w", "fields").ok()
        return int(next(line.split(" : ")[1] for line in header.splitlines() if line.startswith('"Revision"')))

    def start_units(self):
        self.cluster.start(UNITS).ok()
        self.cluster.wait_active(*UNITS)

    def pids(self):
        """Of each unit, on each machine that runs it: nothing may begin anew, or anywhere else."""
        return {(unit, machine.name): pid for unit in UNITS for machine in self.cluster.machines if (pid := machine.main_pid(unit))}

    def all_are_there(self, machine):
        """Every machine, and every unit where it runs, as this one sees them."""
        return (machine.api("GET", "/fleet/v1/machines").status == 200 and len(self.cluster.machine_ids(machine)) == 3
                and len([state for state in self.cluster.states(machine) if state["systemdActiveState"] == "active"]) == len(UNITS))

    def test_units_run_and_move(self):
        self.start_units()
        self.assertEqual({name for _, name in self.pids()}, {"m1", "m2", "m3"})
        self.others[1].power_off()
        wait_for(lambda: len(self.cluster.machine_ids()) == 2, 20, "the machine is lost")
        self.cluster.wait_active(*UNITS)
        self.others[1].power_on()
        self.others[1].exec("systemctl", "start", "fleet.socket", "fleet.service", timeout_s=30).ok()
        self.cluster.wait_for_machines(self.cluster.machines)

    def test_the_daemon_that_serves_is_killed(self):
        """tests/soak/serving has more of it, and a load."""
        self.start_units()
        pids, revision = self.pids(), self.revision()
        for how in ("kill -KILL $MAINPID", "systemctl restart fleet", "kill -KILL $MAINPID"):
            before = self.server.daemon_pid()
            self.server.exec("sh", "-c", how.replace("$MAINPID", str(before))).ok()
            wait_for(lambda: self.server.daemon_pid() not in (before, 0), 10, "another fleetd runs")
            started = time.monotonic()
            for machine in self.cluster.machines:
                wait_for(lambda machine=machine: self.all_are_there(machine), 20, f"{machine} is back")
            self.assertLess(time.monotonic() - started, REJOIN_S * (5 if self.server.daemon_is_sanitized() else 1))
            self.assertEqual(self.pids(), pids)
            now = self.revision()
            self.assertGreaterEqual(now, revision)
            revision = now
        self.assertNotIn("corrupt", self.server.journal())

    def test_the_machine_that_serves_is_lost(self):
        self.start_units()
        left = {key: pid for key, pid in self.pids().items() if key[1] != self.server.name}
        self.server.power_off()
        for machine in self.others:
            wait_for(lambda machine=machine: machine.api("GET", "/fleet/v1/units").status == 503, 20, f"{machine} says so")
        let_pass(2 * TTL_S)
        self.assertEqual({key: pid for key in left if (pid := self.machine_named(key[1]).main_pid(key[0]))}, left)
        self.server.power_on()
        self.server.exec("systemctl", "start", "fleet.socket", "fleet.service", timeout_s=30).ok()
        self.cluster.wait_for_machines(self.cluster.machines)
        self.cluster.wait_active(*UNITS, timeout_s=20)
        self.assertEqual({key: pid for key, pid in self.pids().items() if key in left}, left)

    def test_the_store_goes_back_to_a_backup(self):
        self.start_units()
        pids, revision = self.pids(), self.revision()
        self.server.exec("fleetd", "store", "backup", "--force", "/root/backup").ok()
        late = {f"late{number}.service": service() for number in range(3)}
        self.cluster.start(late).ok()
        self.cluster.wait_active(*late)
        # A daemon that is restarted with the older records takes a unit that was stopped since for one that somebody stopped by hand.
        touched = [unit for unit in UNITS if not self.server.is_active(unit)][:2]
        self.cluster.fleetctl("stop", touched[0]).ok()
        self.cluster.fleetctl("destroy", touched[1]).ok()

        self.server.exec("sh", "-c", "fleetd store restore --wait /root/backup & systemctl restart fleet.service; wait $!").ok()
        wait_for(lambda: not any(set(late) & set(machine.unit_files()) for machine in self.cluster.machines), 20, "what the backup does not have is gone")
        wait_for(lambda: all(any(m.is_active(unit) for m in self.cluster.machines) for unit in UNITS), 20, "what it has is back")
        self.assertGreater(self.revision(), revision)
        for machine in self.others:
            machine.exec("systemctl", "restart", "fleet.service", timeout_s=30).ok()
        for machine in self.cluster.machines:
            wait_for(lambda machine=machine: self.all_are_there(machine), 20, f"{machine} is back")
        untouched = {key: pid for key, pid in pids.items() if key[0] not in touched}
        self.assertEqual({key: pid for key, pid in self.pids().items() if key[0] not in touched}, untouched)

    def machine_named(self, name):
        return next(machine for machine in self.cluster.machines if machine.name == name)

    def test_what_is_told_of_it(self):
        journal = self.server.journal()
        self.assertIn(f"Store: built-in, {STORE} (store_listen is configured)", journal)
        self.assertIn(f"Serving the built-in store at {self.server.address}:{PORT}", journal)
        self.assertIn(f"store_listen={self.server.address}:{PORT} has no TLS and no passwords: whoever reaches this address", journal)
        self.assertNotIn(f"store_listen=127.0.0.1:{PORT} has no TLS", journal)
        for library in ("fleet-tls.so", "libssl", "libcrypto"):
            self.assertNotIn(library, self.server.daemon_file("maps"))
        self.assertIn(self.server.address, self.etcdctl("member", "list").ok())
        self.etcdctl("endpoint", "health").ok()

    def test_etcd_and_serving_exclude_each_other(self):
        checked = self.others[0].exec("sh", "-c", f"printf 'etcd_servers={self.url}\\nstore_listen=2379\\n' >/root/both.conf; "
                                      "systemd-run --wait --pipe --quiet fleetd --config=/root/both.conf")
        self.assertNotEqual(checked.rc, 0)
        self.assertIn("store_listen is set, but this machine's records are in etcd, since etcd_servers is set", checked.out + checked.err)


if __name__ == "__main__":
    unittest.main()
