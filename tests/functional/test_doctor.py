# SPDX-License-Identifier: Apache-2.0
"""fleetctl doctor: each of its findings, provoked once."""

import json
import time

from harness import PREFIX, TTL_S, ClusterTest, service, wait_for

CHECKS = ["store", "leader", "machines", "clocks", "versions", "units", "records"]


class Doctor(ClusterTest):
    n_machines = 3

    def put(self, key, value):
        """A record by hand, gone with the test."""
        self.addCleanup(self.cluster.etcdctl, "del", PREFIX + key)
        self.cluster.etcdctl("put", PREFIX + key, "--", value)

    def assert_found(self, pattern, machine=None, rc=1):
        told = self.cluster.fleetctl("doctor", machine=machine)
        self.assertEqual(told.rc, rc, str(told))
        self.assertRegex(told.out, pattern)
        return told.out

    def test_a_healthy_cluster(self):
        self.cluster.start({"a.service": service(), "g.service": service(fleet_lines=["Global=true"])}).ok()
        wait_for(lambda: len([s for s in self.cluster.states() if s["systemdActiveState"] == "active"]) == 4, what="all run")
        before = self.cluster.revision()
        out = wait_for(lambda: self.cluster.fleetctl("doctor").ok(), what="the cluster is well")
        lines = out.splitlines()
        self.assertEqual([line.split()[:2] for line in lines], [[check, "ok"] for check in CHECKS], out)
        self.assertIn("3 machines, 3 answers", out)
        answer = json.loads(self.cluster.fleetctl("doctor", "-o", "json").ok())
        self.assertEqual([check["name"] for check in answer["checks"]], CHECKS)
        self.assertEqual(answer["findings"], [])
        self.assertLessEqual(self.cluster.revision() - before, 4 * 10, "a checkup is a record, and one per machine")
        self.assertEqual(self.cluster.fleetctl("doctor", "x").rc, 2)

    def test_units_that_are_not_as_asked(self):
        units = {
            "dies.service": service("/bin/false"),
            "nowhere.service": service(fleet_lines=["MachineMetadata=disk=tape"]),
            "broken.service": service("/no/such/program"),
            "ends.service": service("/bin/true"),
        }
        self.cluster.start(units)
        out = self.assert_found(r"! nowhere.service: no machine fits: .*disk=tape")
        self.assertRegex(out, r"! (dies.service: it has failed on machine|dies.service: on machine)")
        self.assertRegex(out, r"! broken.service: ")
        self.assertRegex(out, r"- ends.service: it is meant to run and does not on machine \w+: it ended by itself")

    def test_records_that_nothing_explains(self):
        self.put("unit/damaged.service", "{nonsense")
        self.put("unit/no/key", "x")
        self.put("metadata/someone", "[]")
        self.put("state/nobody/a.service", '{"active":"active","load":"loaded","state":"launched","sub":"running"}')
        self.put("schedule/nobody/a.service", "{}")
        out = self.assert_found(r"! unit/damaged.service: it does not parse: .+\n    What to do: submit the unit again")
        self.assertRegex(out, r"! /fleet/unit/no/key: it is no key of ours")
        self.assertRegex(out, r"! metadata/someone: it does not parse")
        self.assertRegex(out, r"! state/nobody/a.service: its machine is not there")
        self.assertRegex(out, r"! schedule/nobody/a.service: there is no such unit")

    def test_damage_by_hand_is_repaired_and_nothing_stops(self):
        self.cluster.start({"a.service": service()}).ok()
        where = self.assert_active_once("a.service")
        pid = where.main_pid("a.service")
        keys = [f"schedule/{where.id}/a.service", "placement/a.service", f"state/{where.id}/a.service"]
        right = {key: self.cluster.record(key) for key in keys}
        for key in keys:
            for damage in (["del", PREFIX + key], ["put", PREFIX + key, "{"]):
                with self.subTest(" ".join(damage)):
                    self.cluster.etcdctl(*damage)
                    wait_for(lambda key=key: self.cluster.record(key) == right[key], 10, f"{key} is as it was")
        self.assertEqual(where.main_pid("a.service"), pid)
        wait_for(lambda: self.cluster.fleetctl("doctor").rc == 0, 10, "all is well")

    def test_clocks_and_versions_that_differ(self):
        # All machines of the lab share one clock and one program: another daemon's answer comes by hand.
        there = self.machines[1]
        late = {"asked": 1 << 40, "hostname": "m2", "version": "1.0.0", "storeVersion": "3.9", "wallMs": int(time.time() * 1000) - 3600_000}
        self.put(f"report/{there.id}/abc", json.dumps(late))
        out = self.assert_found(rf"! {there.id}: the clock of m2 is at least \d+\.\d+ s behind")
        self.assertRegex(out, r"- fleetd: machines differ in fleetd: ")
        if not self.cluster.is_served:
            self.assertRegex(out, r"- etcd: machines differ in etcd: ")

    def test_a_daemon_that_hangs(self):
        victim = next(m for m in self.machines[1:] if m is not self.cluster.leader())
        victim.exec("systemctl", "kill", "--signal=STOP", "fleet.service").ok()
        try:
            self.assert_found(rf"! {victim.id}: {victim.name} \({victim.address}\) did not answer within 2 s")
        finally:
            victim.exec("systemctl", "kill", "--signal=CONT", "fleet.service").ok()
        wait_for(lambda: self.cluster.fleetctl("doctor").rc == 0, 10, "all is well again")

    def test_a_machine_without_its_store_and_its_units(self):
        victim = next(m for m in self.machines[1:] if m is not self.cluster.leader())
        self.cluster.start({"pinned.service": service(fleet_lines=[f"MachineID={victim.id}"]), "g.service": service(fleet_lines=["Global=true"])}).ok()
        victim.cut()
        wait_for(lambda: victim.id not in self.cluster.machine_ids(), 4 * TTL_S, "the machine is lost")
        out = self.assert_found(rf"! {victim.id}: the machine is not there, and 1 units that fit nowhere else stay scheduled to it")
        self.assertRegex(out, rf"! pinned.service: it is on machine {victim.id}, which is not there")
        self.assert_found(rf"store +1 problem +out of reach\n  ! {victim.id}: this machine is not in the cluster: .*Its \d units keep running", victim)
        victim.heal()
        self.cluster.wait_for_machines(self.machines)

    def test_without_a_leader(self):
        leader = self.cluster.leader()
        for machine in self.machines:
            machine.configure("disable_engine=true")
        try:
            wait_for(lambda: not self.cluster.record("engine/leader"), 10, "nobody leads")
            self.assert_found(r"leader +1 problem +none\n  ! no machine leads")
        finally:
            for machine in self.machines:
                machine.configure()
        self.assertTrue(leader)
        wait_for(self.cluster.leader, 10, "one leads again")
