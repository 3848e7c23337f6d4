# SPDX-License-Identifier: Apache-2.0
"""The brake on evictions: many machines that vanish at once keep their units until they are back, or given up."""

import json
import unittest

import harness
from harness import let_pass, service, wait_for

UNITS = [f"b{i}.service" for i in range(10)]


class Brake(harness.ClusterTest):
    """Five machines with two units each; at most two may vanish at once."""

    n_machines = 5
    store_apart = True

    def placed(self):
        """Where each unit runs, with its main process."""
        return {unit: (machine.name, machine.main_pid(unit)) for unit in UNITS for machine in self.machines if machine.is_active(unit)}

    def held(self, witness):
        return {machine["id"] for machine in json.loads(witness.fleetctl("list-machines", "-o", "json").ok()) if machine.get("missingSince")}

    def test_the_brake(self):
        self.cluster.start({name: service() for name in UNITS}).ok()
        before = self.placed()
        leader = wait_for(self.cluster.leader)
        others = [machine for machine in self.machines if machine is not leader]
        cut, ids = others[:3], {machine.id for machine in others[:3]}

        # Three of five at once: nobody is evicted, and whoever asks is told.
        for machine in cut:
            machine.cut()
        wait_for(lambda: self.held(leader) == ids, 15, "the three are shown as missing")
        let_pass(2)
        self.assertEqual(self.placed(), before)
        present = leader.fleetctl("list-machines", "--no-legend", "-l").ok()
        self.assertEqual({line.split()[0] for line in present.splitlines()}, {machine.id for machine in self.machines} - ids)
        shown = leader.fleetctl("list-machines")
        self.assertRegex(shown.err, r"Missing, 3, and keep their units, since more than 2 vanished at once")
        self.assertIn("fleetctl evict MACHINE", shown.err)
        rows = leader.fleetctl("list-machines", "--no-legend", "-l", "--fields=machine,state").ok()
        self.assertEqual(rows.count("missing since"), 3)
        self.assertIn("fleet_engine_evictions_held 1", leader.api("GET", "/metrics").data.decode())
        self.assertEqual(leader.journal().count("no unit is moved away from them"), 1)

        # What is there is not given up, nor what nobody knows.
        refused = leader.fleetctl("evict", others[3].id)
        self.assertEqual(refused.rc, 1)
        self.assertIn("is in the cluster, and not given up", refused.err)
        self.assertEqual(leader.fleetctl("evict", "f" * 32).rc, 1)
        self.assertEqual(leader.fleetctl("evict", "0123").rc, 1)

        # One is given up, by the beginning of its ID: its units run elsewhere, the others' stay.
        gone = cut[1]
        its = {unit for unit, (name, _) in before.items() if name == gone.name}
        told = leader.fleetctl("evict", gone.id[:12])
        self.assertEqual(told.rc, 0, str(told))
        for unit in its:
            self.assertIn(unit, told.out)
        rest = {unit: where for unit, where in before.items() if unit not in its}
        self.assertEqual({unit: where for unit, where in self.placed().items() if unit in rest}, rest)

        # Back: those that kept their units run on with the same processes, the others once.
        for machine in cut:
            machine.heal()
        self.cluster.wait_for_machines(self.machines)
        wait_for(lambda: not self.held(leader))
        wait_for(lambda: not any(gone.is_active(unit) for unit in its), 20, "the copies that are too many end")
        self.assertEqual({unit: where for unit, where in self.placed().items() if unit in rest}, rest)
        wait_for(lambda: len(self.placed()) == len(UNITS))

    def test_the_store_stands_still(self):
        """For longer than all leases: whoever is back first leaves the others' units to them."""
        self.cluster.start({name: service() for name in UNITS}).ok()
        before = self.placed()
        store = self.cluster.members[0]
        store.pause()
        let_pass(3 * harness.TTL_S)
        store.resume()
        self.cluster.wait_for_machines(self.machines, 30)
        let_pass(8)
        self.assertEqual(self.placed(), before)


if __name__ == "__main__":
    unittest.main()
