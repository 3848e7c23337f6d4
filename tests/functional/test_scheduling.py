# SPDX-License-Identifier: Apache-2.0
"""Where the scheduler puts what, and what it says of units that it puts nowhere, on three machines."""

import re

from harness import ClusterTest, service, wait_for


class Scheduling(ClusterTest):
    store_apart = True
    options = {f"m{i}": [f"metadata=role=r{i},disk=ssd"] for i in (1, 2)}

    def test_units_spread_evenly(self):
        self.cluster.start({f"s{i}.service": service() for i in range(9)}).ok()
        per_machine = [len(m.unit_files()) for m in self.machines]
        self.assertEqual(per_machine, [3, 3, 3])

    def test_the_first_unit_goes_to_the_lowest_machine_id(self):
        self.cluster.start({"first.service": service()}).ok()
        self.assert_active_once("first.service", min(self.machines, key=lambda m: m.id))

    def test_global_runs_everywhere_and_on_machines_that_join(self):
        self.cluster.put_unit("all.service", service(fleet_lines=["Global=true"]))
        self.assertIn("Triggered global unit all.service start", self.cluster.fleetctl("start", "all.service").ok())
        wait_for(lambda: all(m.is_active("all.service") for m in self.machines), what="the global unit runs on every machine")
        # The newcomer is the last machine only for this test.
        newcomer = self.cluster.add_machine("late", "10.77.9.1")
        try:
            wait_for(lambda: newcomer.is_active("all.service"), what="the global unit runs on the newcomer")
            self.assertEqual(len(self.cluster.active_on("all.service")), 4)
        finally:
            newcomer.power_off()
            self.cluster.machines.remove(newcomer)
            self.cluster.wait_for_machines(self.machines)

    def test_global_with_metadata_runs_where_it_fits(self):
        self.cluster.start({"ssd.service": service(fleet_lines=["Global=true", "MachineMetadata=disk=ssd"])}).ok()
        wait_for(lambda: [m.is_active("ssd.service") for m in self.machines] == [True, True, False])

    def test_conflicts_keep_units_apart_and_say_so(self):
        self.cluster.start({f"c{i}.service": service(fleet_lines=["Conflicts=c*.service"]) for i in (1, 2, 3)}).ok()
        self.assertEqual([len(m.unit_files()) for m in self.machines], [1, 1, 1])
        self.cluster.put_unit("c4.service", service(fleet_lines=["Conflicts=c*.service"]))
        rc, out, err = self.cluster.fleetctl("start", "--block-attempts=1", "c4.service")
        self.assertEqual(rc, 1)
        self.assertRegex(out + err, "conflict.* c[123].service")
        self.assertRegex(self.cluster.units()["c4.service"].get("why", ""), "conflict.* c[123].service")
        free = self.assert_active_once("c2.service")
        self.cluster.fleetctl("destroy", "c2.service").ok()
        self.cluster.wait_active("c4.service")
        self.assert_active_once("c4.service", free)

    def test_conflicts_are_symmetric(self):
        self.cluster.start({"x.service": service(fleet_lines=["Conflicts=y.service", "MachineMetadata=role=r1"])}).ok()
        self.cluster.put_unit("y.service", service(fleet_lines=["MachineMetadata=role=r1"]))
        self.assertEqual(self.cluster.fleetctl("start", "--block-attempts=1", "y.service").rc, 1)

    def test_a_companion_follows_its_unit(self):
        self.cluster.start({"filler.service": service(), "main.service": service()}).ok()
        self.cluster.start({"side.service": service(fleet_lines=["MachineOf=main.service"])}).ok()
        home = self.assert_active_once("main.service")
        self.assert_active_once("side.service", home)
        home.power_off()
        self.cluster.wait_active("main.service", "side.service", timeout_s=15)
        wait_for(lambda: self.cluster.placed_on("main.service") is self.cluster.placed_on("side.service") is not home, 10, "both moved together")

    def test_machine_metadata_picks_the_machine(self):
        self.cluster.start({f"on{i}.service": service(fleet_lines=[f"MachineMetadata=role=r{i}"]) for i in (1, 2)}).ok()
        for i in (1, 2):
            self.assert_active_once(f"on{i}.service", self.machines[i - 1])

    def test_machine_id_picks_the_machine(self):
        for machine in self.machines:
            name = f"pin-{machine.name}.service"
            self.cluster.start({name: service(fleet_lines=[f"MachineID={machine.id}"])}).ok()
            self.assert_active_once(name, machine)

    def test_a_unit_that_fits_nowhere_says_why_for_each_machine_and_can_be_taken_back(self):
        self.cluster.put_unit("none.service", service(fleet_lines=["MachineMetadata=disk=tape"]))
        rc, out, err = self.cluster.fleetctl("start", "--block-attempts=1", "none.service")
        self.assertEqual(rc, 1)
        self.assertIn("metadata disk=tape wanted, has disk=ssd", out + err)
        self.assertIn("metadata disk=tape wanted, has no disk", out + err)
        why = self.cluster.units()["none.service"]["why"]
        for machine in self.machines:
            self.assertIn(machine.id[:8], why)
        self.cluster.fleetctl("unload", "none.service").ok()
        self.assertEqual(self.cluster.units()["none.service"]["desiredState"], "inactive")

    def test_metadata_set_over_the_api_moves_nothing_else(self):
        self.cluster.start({"still.service": service()}).ok()
        home = self.assert_active_once("still.service")
        pid = home.main_pid("still.service")
        third = self.machines[2]
        reply = self.cluster.api("PATCH", "/fleet/v1/machines", [{"op": "add", "path": f"/{third.id}/metadata/disk", "value": "tape"}])
        self.assertEqual(reply.status, 204, str(reply))
        try:
            self.cluster.start({"tape.service": service(fleet_lines=["MachineMetadata=disk=tape"])}).ok()
            self.assert_active_once("tape.service", third)
            self.assertEqual(home.main_pid("still.service"), pid)
        finally:
            self.cluster.api("PATCH", "/fleet/v1/machines", [{"op": "remove", "path": f"/{third.id}/metadata/disk"}])

    def test_many_units_at_once(self):
        units = {f"n{i}.service": service() for i in range(100)}
        self.cluster.start(units).ok()
        self.cluster.wait_active(*units, timeout_s=1)
        table = self.cluster.fleetctl("list-units", "--no-legend").ok().splitlines()
        self.assertEqual(len(table), 100)
        self.assertTrue(all(re.search(r"\tactive\trunning$", line) for line in table))

    def test_a_batch_finds_the_only_layout_there_is(self):
        # By name alone a.service takes the machine that b.service needs, and side.service finds main.service on the wrong one.
        self.cluster.start(
            {
                "a.service": service(fleet_lines=["Conflicts=b.service c.service"]),
                "b.service": service(fleet_lines=["MachineMetadata=role=r1", "Conflicts=c.service"]),
                "c.service": service(fleet_lines=["MachineMetadata=disk=ssd"]),
                "main.service": service(),
                "side.service": service(fleet_lines=["MachineOf=main.service", "Conflicts=a.service b.service"]),
                "twin1.service": service(fleet_lines=["MachineOf=twin2.service"]),
                "twin2.service": service(fleet_lines=["MachineOf=twin1.service", "MachineMetadata=role=r2"]),
            }
        ).ok()
        first, second, third = self.machines
        homes = {"a": third, "b": first, "c": second, "main": second, "side": second, "twin1": second, "twin2": second}
        for name, machine in homes.items():
            self.assert_active_once(f"{name}.service", machine)

    def test_a_replaced_unit_moves(self):
        first, second, _ = self.machines
        self.cluster.start({"old.service": service(fleet_lines=["MachineMetadata=disk=ssd"]), "rest.service": service()}).ok()
        home = self.assert_active_once("old.service")
        other = second if home is first else first
        rest = self.assert_active_once("rest.service")
        pid = rest.main_pid("rest.service")
        role = "r1" if home is first else "r2"
        self.cluster.start({"new.service": service(fleet_lines=["Replaces=old*", f"MachineMetadata=role={role}"])}).ok()
        self.assert_active_once("new.service", home)
        wait_for(lambda: self.cluster.placed_on("old.service") is other, what="the replaced unit runs elsewhere")
        self.assert_active_once("old.service", other)
        self.assertEqual(rest.main_pid("rest.service"), pid)

        # There is no other place for it: it says so, nothing goes on moving, and it comes back.
        new_pid = home.main_pid("new.service")
        other_role = "r2" if role == "r1" else "r1"
        self.cluster.start({"newer.service": service(fleet_lines=["Replaces=old*", f"MachineMetadata=role={other_role}"])}).ok()
        wait_for(lambda: not other.is_active("old.service"), what="the replaced unit has left")
        why = wait_for(lambda: self.cluster.units()["old.service"].get("why"))
        self.assertIn(f"replaced by newer.service on {other.id[:8]}", why)
        self.assertIn(f"replaced by new.service on {home.id[:8]}", why)
        self.assertIn("metadata disk=ssd wanted, has no disk", why)
        self.assertEqual(home.main_pid("new.service"), new_pid)
        wait_for(lambda: self.cluster.record(f"state/{other.id}/old.service") is None, what="its machine has told that it left")
        revision = self.cluster.revision()
        self.cluster.fleetctl("list-units").ok()
        self.assertEqual(self.cluster.revision(), revision)
        self.cluster.fleetctl("destroy", "newer.service").ok()
        self.cluster.wait_active("old.service")
        self.assert_active_once("old.service", other)

    def test_start_of_a_unit_that_fits_nowhere_prints_the_reason_within_two_seconds(self):
        self.cluster.put_unit("none.service", service(fleet_lines=["MachineMetadata=disk=tape"]))
        # What was printed when the two seconds are over, although it goes on waiting.
        done = self.machines[0].exec("timeout", "2", "fleetctl", "start", "--block-attempts=5", "/root/units/none.service")
        self.assertEqual(done.rc, 124, str(done))
        self.assertRegex(done.out + done.err, "Unit none.service cannot be placed: .* metadata disk=tape wanted, has disk=ssd")
