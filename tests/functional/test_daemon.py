# SPDX-License-Identifier: Apache-2.0
"""The daemon may crash, restart, leave or lose the store: what healthy units notice of it is nothing."""

import json

from harness import TTL_S, ClusterTest, let_pass, service, wait_for


class Daemon(ClusterTest):
    store_apart = True

    def start_units(self, n=6):
        units = {f"u{i}.service": service() for i in range(n)}
        self.cluster.start(units).ok()
        return {name: (m, m.main_pid(name)) for name in units for m in [self.assert_active_once(name)]}

    def assert_untouched(self, before):
        for name, (machine, pid) in before.items():
            self.assertEqual(machine.main_pid(name), pid, f"{name} on {machine}")
            self.assert_active_once(name, machine)

    def leases(self):
        return {row["id"] for row in json.loads(self.cluster.etcdctl("lease", "list", "-w", "json"))["leases"]}

    def wait_joined(self, machine):
        wait_for(lambda: self.cluster.machine_ids(machine) == {m.id for m in self.machines}, 10, f"{machine} is back in the cluster")

    def wait_reported(self, before):
        wait_for(lambda: {s["name"] for s in self.cluster.states() if s["systemdActiveState"] == "active"} >= set(before), what="all states are reported")

    def test_what_stopped_while_the_daemon_was_away_is_reported(self):
        before = self.start_units(1)
        (name, (machine, _)), = before.items()
        machine.end_daemon()
        machine.exec("systemctl", "stop", name).ok()
        machine.begin_daemon()
        wait_for(lambda: self.cluster.states() and self.cluster.states()[0]["systemdActiveState"] == "inactive", 10, "the stop is reported")

    def test_a_signal_ends_the_daemon_cleanly_and_touches_no_unit(self):
        before = self.start_units()
        machine = self.machines[1]
        machine.end_daemon()
        self.assertEqual(machine.show("fleet.service", "Result", "ExecMainStatus"), ["success", "0"])
        machine.begin_daemon()  # within the ttl, or the units move
        self.wait_joined(machine)
        self.wait_reported(before)
        self.assert_untouched(before)

    def test_an_idle_cluster_writes_nothing(self):
        before = self.start_units(30)
        self.wait_reported(before)
        # Reports of the last starts may be on their way: idle begins when one ttl brings nothing new.
        history = []

        def is_still():
            history.append(self.cluster.revision())
            return len(history) > 30 and len(set(history[-30:])) == 1

        wait_for(is_still, 15, "the store's revision stands still")
        still = self.cluster.revision()
        pids = [m.daemon_pid() for m in self.machines]
        leases = self.leases()
        # Two ttl, so that every lease must have been renewed meanwhile.
        let_pass(2 * TTL_S)
        self.assertEqual(self.cluster.revision(), still)
        self.assertEqual(self.leases(), leases)
        self.assertEqual([m.daemon_pid() for m in self.machines], pids)
        self.assert_untouched(before)

    def test_a_silent_store_stops_nothing(self):
        before = self.start_units()
        self.cluster.members[0].pause()
        try:
            # Whoever meets the silence first hears of it from the daemon, and before fleetctl has had enough.
            for machine, command in zip(self.machines, (("list-machines",), ("list-units",), ("cat", next(iter(before))))):
                result = machine.fleetctl(*command)
                self.assertNotEqual(result.rc, 0)
                self.assertIn("fleet server unable to communicate with etcd", result.err)
            let_pass(2 * TTL_S)
            for name, (machine, pid) in before.items():
                self.assertEqual(machine.main_pid(name), pid)
            self.assertEqual(self.machines[0].api("GET", "/fleet/v1/units").status, 503)
        finally:
            self.cluster.members[0].resume()
        self.cluster.wait_for_machines(self.machines)
        self.wait_reported(before)
        for name in before:
            wait_for(lambda name=name: self.assert_active_once(name), 10)

    def test_a_leader_that_was_stopped_finds_another_and_harms_nothing(self):
        before = self.start_units()
        old = wait_for(self.cluster.leader, what="someone leads")
        old.exec("systemctl", "kill", "--signal=STOP", "fleet.service").ok()
        others = [m for m in self.machines if m is not old]
        try:
            new = wait_for(lambda: (self.cluster.leader() or old) is not old and self.cluster.leader(), 2 * TTL_S + 2, "another leads")
            # The new one schedules.
            others[0].put_unit("later.service", service())
            others[0].fleetctl("start", "later.service").ok()
        finally:
            old.exec("systemctl", "kill", "--signal=CONT", "fleet.service").ok()
        self.wait_joined(old)
        self.assertIs(self.cluster.leader(), new)
        # One copy of each, wherever, when the dust has settled; those of the others never moved.
        for name in before:
            wait_for(lambda name=name: self.assert_active_once(name), 10)
        self.assert_untouched({name: at for name, at in before.items() if at[0] is not old})
