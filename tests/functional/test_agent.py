# SPDX-License-Identifier: Apache-2.0
"""What the agent does with the units of its machine, on one machine."""

from harness import ClusterTest, let_pass, service, wait_for


class OneMachine(ClusterTest):
    n_machines = 1

    def test_foreign_files_are_taken_away(self):
        machine = self.machines[0]
        self.cluster.start({"ours.service": service()}).ok()
        pid = machine.main_pid("ours.service")
        machine.exec("systemctl", "stop", "fleet.service").ok()
        (machine.root / "run/fleet/units/theirs.service").write_text(service())
        machine.exec("systemctl", "link", "--runtime", "/run/fleet/units/theirs.service").ok()
        machine.exec("systemctl", "start", "theirs.service").ok()
        machine.exec("systemctl", "start", "fleet.service").ok()
        wait_for(lambda: machine.unit_files() == ["ours.service"], what="the foreign file is gone")
        wait_for(lambda: machine.show("theirs.service", "LoadState", "ActiveState") == ["not-found", "inactive"])
        self.assertEqual(machine.main_pid("ours.service"), pid)

    def test_units_of_any_type(self):
        machine = self.machines[0]
        units = {
            "t.target": "[Unit]\nDescription=A target\n",
            "s.slice": "[Slice]\nCPUWeight=50\n",
            "p.path": "[Path]\nPathExists=/var/tmp/nothing\nUnit=t.target\n",
            "c.timer": "[Timer]\nOnActiveSec=1h\nUnit=t.target\n",
        }
        for name, text in units.items():
            options = [{"section": text[1 : text.index("]")], "name": name_, "value": value} for name_, value in (line.split("=") for line in text.splitlines()[1:])]
            self.assertEqual(self.cluster.api("PUT", f"/fleet/v1/units/{name}", {"desiredState": "launched", "options": options}).status, 201)
        self.cluster.wait_active(*units)
        entered = {name: machine.show(name, "ActiveEnterTimestampMonotonic") for name in units}
        let_pass(1)
        self.assertEqual({name: machine.show(name, "ActiveEnterTimestampMonotonic") for name in units}, entered)
        for name in units:
            self.assertEqual(self.cluster.api("DELETE", f"/fleet/v1/units/{name}").status, 204)
        wait_for(lambda: machine.unit_files() == [])
        for name in units:
            self.assertEqual(machine.show(name, "ActiveState"), "inactive")

    def test_a_stop_by_hand_is_not_undone(self):
        machine = self.machines[0]
        self.cluster.start({"hand.service": service()}).ok()
        machine.exec("systemctl", "stop", "hand.service").ok()
        wait_for(lambda: [s["systemdActiveState"] for s in self.cluster.states()] == ["inactive"])
        machine.exec("systemctl", "restart", "fleet.service").ok()
        wait_for(lambda: self.cluster.machine_ids() == {machine.id})
        let_pass(1)
        self.assertFalse(machine.is_active("hand.service"))
        self.cluster.fleetctl("start", "hand.service").ok()
        self.assertTrue(machine.is_active("hand.service"))

    def test_many_are_destroyed_at_once(self):
        names = [f"n{i}.service" for i in range(30)]
        self.cluster.start({name: service() for name in names}).ok()
        self.cluster.fleetctl("destroy", *names, timeout_s=20).ok()
        wait_for(lambda: self.machines[0].unit_files() == [], 5)
