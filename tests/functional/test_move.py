# SPDX-License-Identifier: Apache-2.0
"""A cluster that runs goes over to another store, and back, and no unit notices."""

import unittest

from harness import PREFIX, Cluster, ClusterTest, keep_journals_if_failed, let_pass, service, wait_for
from watch import Watch

ETCD = "http://10.77.0.1:2379"
COUNT = "/bin/sh -c 'echo x >>/var/tmp/%s'"
UNITS = {
    **{f"u{number}.service": service() for number in range(5)},
    "everywhere.service": service(fleet_lines=["Global=true"]),
    "once.service": service(service_lines=["TimeoutStopSec=5"], fleet_lines=["Exclusive=true"]),
}
ENDED = {
    "counts.service": service(COUNT % "counts", service_lines=["Type=oneshot"]),
    "fails.service": service("/bin/sh -c 'echo x >>/var/tmp/fails; exit 1'"),
    "nowhere.service": service(fleet_lines=["MachineMetadata=disk=tape"]),
}


class Moving(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(ClusterTest.install_root, 3, store="served", ttl_s=6)
        cls.machines = cls.cluster.machines

    @classmethod
    def tearDownClass(cls):
        cls.cluster.down()

    def setUp(self):
        self.addCleanup(keep_journals_if_failed, self, self.cluster)

    def lasting(self):
        """What users made, and where it is: key -> value."""
        found = {}
        for kind in ("file/", "hold/", "metadata/", "placement/", "schedule/", "unit/"):
            lines = self.cluster.etcdctl("get", PREFIX + kind, "--prefix").splitlines()
            keys = [index for index, line in enumerate(lines) if line.startswith(PREFIX + kind)]
            found.update({lines[first]: "\n".join(lines[first + 1 : last]) for first, last in zip(keys, keys[1:] + [len(lines)])})
        return found

    def runs(self, name):
        """How often a program has left its mark, on all machines."""
        files = [machine.root / "var/tmp" / name for machine in self.machines]
        return sum(len(file.read_text().split()) for file in files if file.exists())

    def generation(self, unit):
        return self.cluster.record(f"unit/{unit}")["generation"]

    def copy(self, source, target, *options):
        return self.machines[0].exec("fleetd", "store", "copy", "--from", source, "--to", target, *options)

    def go_over(self, serves=""):
        """The configuration line, on one machine after the other."""
        self.cluster.lab.call("serve", serves).ok()
        for machine in self.machines:
            self.cluster.configure(machine)

    def assert_arrived(self, watch, before, pids):
        """All that lasts is there as it was, everybody is there, and nothing was started, stopped or moved."""
        self.cluster.wait_for_machines(self.machines)
        wait_for(self.cluster.leader, what="someone leads")
        self.cluster.wait_active(*UNITS)
        let_pass(2)
        self.assertEqual(self.lasting(), before)
        self.assertEqual(watch.changed(), {})
        self.assertEqual(self.pids(), pids)
        self.assertEqual((self.runs("counts"), self.runs("fails")), (1, 1), "what has ended is not begun again")
        self.assertRegex(self.cluster.units()["nowhere.service"]["why"], "disk=tape")

    def pids(self):
        return {(machine.name, unit): machine.main_pid(unit) for machine in self.machines for unit in UNITS if machine.is_active(unit)}

    def assert_closed(self):
        """Nobody can change anything, and is told; machines stay members."""
        refused = self.cluster.fleetctl("submit", "late.service", machine=self.machines[1])
        self.assertNotEqual(refused.rc, 0)
        self.assertIn("the store is closed: its records are in", refused.err)
        self.assertIn("the store is closed: its records are in", self.machines[0].fleetctl("doctor").out)
        for machine in self.machines:
            wait_for(lambda machine=machine: "The store is closed: its records are in" in machine.journal(), what=f"{machine} says so")

    def test_to_etcd_and_back(self):
        served = f"http://{self.machines[0].address}:2379"
        self.cluster.api("PATCH", "/fleet/v1/machines", [{"op": "add", "path": f"/{self.machines[2].id}/metadata/disk", "value": "ssd"}])
        self.cluster.start(UNITS).ok()
        self.cluster.put_unit("late.service", service())
        for name, text in ENDED.items():
            self.cluster.put_unit(name, text)
            self.cluster.fleetctl("start", "--block-attempts=1" if name == "nowhere.service" else "--no-block", name)
        wait_for(lambda: (self.runs("counts"), self.runs("fails")) == (1, 1), what="they have run")
        wait_for(lambda: {state["systemdActiveState"] for state in self.cluster.states() if state["name"] in ENDED} == {"inactive", "failed"})
        self.cluster.start({"gone.service": service()}).ok()
        old = self.generation("gone.service")
        self.cluster.fleetctl("destroy", "gone.service").ok()
        let_pass(1)
        before, pids = self.lasting(), self.pids()
        self.assertEqual(len(pids), 9)

        with Watch(self.cluster, UNITS) as watch:
            # An empty store is not taken for the cluster's, and one that is in use is not copied over.
            self.cluster.lab.call("serve").ok()
            self.cluster.lab.call("etcd", 1).ok()
            refused = self.copy(ETCD, served, "--replace")
            self.assertEqual(refused.rc, 1)
            self.assertIn("machines are members of the cluster whose records are in", refused.err)
            self.assertIn("in use by another process", self.copy("builtin", ETCD, "--move").err)

            moved = self.copy(served, ETCD, "--move")
            self.assertRegex(moved.ok(), rf"\ACopied \d+ records, 3 machines and \d+ states of units from {served}, as of revision \d+, to {ETCD}\n")
            self.assert_closed()
            let_pass(self.cluster.ttl_s + 1)  # however long that takes
            self.go_over()
            self.assert_arrived(watch, before, pids)

            # A name that comes back has a generation that it never had, although etcd has seen much less.
            self.assertLess(self.cluster.revision(), old)
            self.cluster.start({"gone.service": service()}).ok()
            self.assertGreater(self.generation("gone.service"), old)
            self.cluster.fleetctl("destroy", "gone.service").ok()
            wait_for(lambda: self.lasting() == before, what="it is gone")

            # A machine that is started with the old store by mistake waits there, and its units run.
            self.cluster.lab.call("serve", "m1").ok()
            self.cluster.configure(self.machines[0])
            wait_for(lambda: self.machines[0].journal().count("The store is closed: its records are in") == 2, what="it says so")
            self.assertEqual(self.machines[0].api("GET", "/fleet/v1/units").status, 503)
            self.cluster.lab.call("serve").ok()
            self.cluster.configure(self.machines[0])
            self.assert_arrived(watch, before, pids)

            # Back, over what was left there.
            self.assertIn("--replace removes what is there", self.copy(ETCD, "builtin", "--move").err)
            told = self.copy(ETCD, "builtin", "--move", "--replace").ok()
            self.assertIn("is closed: the daemons that use it wait", told)
            self.assertIn("Have this machine use /var/lib/fleet/store.db now (store=builtin)", told)
            self.go_over("m1")
            self.assert_arrived(watch, before, pids)
