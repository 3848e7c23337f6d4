# SPDX-License-Identifier: Apache-2.0
"""Four machines over three etcd members, and what is taken from them."""

import time

from harness import TTL_S, ClusterTest, let_pass, needs_etcd, service, wait_for

# What systemd, and this host under load, may take on top of what the daemon promises.
START_S = 1.0


class PowerAndCables(ClusterTest):
    n_machines = 4
    n_etcd = 3
    store_apart = True

    def start_units(self, n=8):
        units = {f"u{i}.service": service() for i in range(n)}
        self.cluster.start(units).ok()
        return {name: (m, m.main_pid(name)) for name in units for m in [self.assert_active_once(name)]}

    def start_while_etcd_elects(self, name):
        """A unit starts although a member is missing; until the others have a leader the API may answer 503."""
        wait_for(lambda: self.cluster.start({name: service()}).ok(), 10, f"{name} starts")

    def lose_power(self, victim, limit_s):
        before = self.start_units()
        its = [name for name, (machine, _) in before.items() if machine is victim]
        self.assertTrue(its)
        victim_id = victim.id
        started = time.monotonic()
        victim.power_off()
        witness = next(m for m in self.machines if m is not victim)

        def all_elsewhere():
            active = {s["name"] for s in self.cluster.states(witness) if s["systemdActiveState"] == "active" and s["machineID"] != victim_id}
            return set(its) <= active

        wait_for(all_elsewhere, limit_s + 20, f"{' '.join(its)} run elsewhere")
        took = time.monotonic() - started
        for name, (machine, pid) in before.items():
            if name not in its:
                self.assertEqual(machine.main_pid(name), pid, f"{name} never moved")
        self.assertLessEqual(took, limit_s)

    def test_power_cut_of_a_machine_that_does_not_lead(self):
        leader = wait_for(self.cluster.leader)
        self.lose_power(next(m for m in self.machines if m is not leader), TTL_S + 1 + START_S)

    def test_power_cut_of_the_leader(self):
        self.lose_power(wait_for(self.cluster.leader), 2 * TTL_S + START_S)

    def test_a_short_cut_moves_nothing(self):
        before = self.start_units()
        victim = self.machines[2]
        victim.cut()
        let_pass(0.8)
        victim.heal()
        let_pass(TTL_S)
        self.cluster.wait_for_machines(self.machines)
        for name, (machine, pid) in before.items():
            self.assertEqual(machine.main_pid(name), pid, name)

    @needs_etcd("its members stop in turn")
    def test_each_etcd_member_may_stop_in_turn(self):
        before = self.start_units()
        for member in (1, 2, 3):
            self.cluster.lab.call("etcd-stop", member).ok()
            self.start_while_etcd_elects(f"during{member}.service")
            self.cluster.lab.call("etcd-start", member).ok()
            self.cluster.wait_for_etcd()
        for name, (machine, pid) in before.items():
            self.assertEqual(machine.main_pid(name), pid, name)

    @needs_etcd("one of its members falls silent")
    def test_a_silent_etcd_member_is_left_for_another(self):
        before = self.start_units()
        for member in (1, 2, 3):
            self.cluster.lab.call("etcd-pause", member).ok()
            try:
                self.start_while_etcd_elects(f"silent{member}.service")
                for name, (machine, pid) in before.items():
                    if member == 1:
                        self.assertEqual(machine.main_pid(name), pid, name)
            finally:
                self.cluster.lab.call("etcd-resume", member).ok()
            self.cluster.wait_for_etcd()
        # An etcd leader that was frozen longer than a ttl may, when it wakes, end leases whose renewal it slept through:
        # units may have moved then, and each is there once.
        self.cluster.wait_for_machines(self.machines)
        for name in before:
            wait_for(lambda name=name: self.assert_active_once(name), 10)

    def test_two_machines_lose_power_together(self):
        before = self.start_units()
        leader = wait_for(self.cluster.leader)
        victims = [m for m in self.machines if m is not leader][:2]
        gone = {m.id for m in victims}
        its = [name for name, (machine, _) in before.items() if machine in victims]
        for victim in victims:
            victim.power_off()
        wait_for(lambda: all(self.cluster.active_on(name, leader) - gone for name in its), 4 * TTL_S, "their units run elsewhere")
        for name, (machine, pid) in before.items():
            if name not in its:
                self.assertEqual(machine.main_pid(name), pid, name)
