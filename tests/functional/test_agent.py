# SPDX-License-Identifier: Apache-2.0
"""What the agent does with the units of its machine, on one machine."""

from harness import ClusterTest, let_pass, service, wait_for


class OneMachine(ClusterTest):
    n_machines = 1

    def test_foreign_files_are_taken_away(self):
        machine = self.machines[0]
        self.cluster.start({"ours.service": service()}).ok()
        pid = machine.main_pid("ours.service")
        machine.end_daemon()
        (machine.root / "run/fleet/units/theirs.service").write_text(service())
        machine.exec("systemctl", "link", "--runtime", "/run/fleet/units/theirs.service").ok()
        machine.exec("systemctl", "start", "theirs.service").ok()
        machine.begin_daemon()
        wait_for(lambda: machine.unit_files() == ["ours.service"], what="the foreign file is gone")
        wait_for(lambda: machine.show("theirs.service", "LoadState", "ActiveState") == ["not-found", "inactive"])
        self.assertEqual(machine.main_pid("ours.service"), pid)
        self.assertIn("theirs.service runs here, and the cluster has it on no machine: stopping it", machine.journal())

    def test_files_that_somebody_changed_are_mended_and_the_units_run_on(self):
        machine = self.machines[0]
        folder = machine.root / "run/fleet/units"
        text = service("/bin/sleep infinity", description="as submitted")
        self.cluster.start({"runs.service": text, "ended.service": service("/bin/true")}).ok()
        wait_for(lambda: not machine.is_active("ended.service"))
        as_written = (folder / "runs.service").read_text()
        pid, ended = machine.main_pid("runs.service"), machine.show("ended.service", "ActiveEnterTimestampMonotonic")

        def is_mended():
            return (folder / "runs.service").read_text() == as_written and machine.show("runs.service", "Description", "NeedDaemonReload") == ["as submitted", "no"]

        self.assertTrue(is_mended())
        damages = {
            "changed in place": lambda: (folder / "runs.service").write_text(service("/bin/sleep 1", description="by hand")),
            "replaced": lambda: machine.exec("sh", "-c", "cp /etc/hostname /run/x && mv /run/x /run/fleet/units/runs.service").ok(),
            "removed": (folder / "runs.service").unlink,
            "a link": lambda: machine.exec("ln", "-sf", "/etc/hostname", "/run/fleet/units/runs.service").ok(),
            "the folder removed": lambda: machine.exec("sh", "-c", "mv /run/fleet/units /run/fleet/gone && rm -r /run/fleet/gone").ok(),
            "reloaded meanwhile": lambda: ((folder / "runs.service").write_text(service("/bin/sleep 1", description="by hand")), machine.exec("systemctl", "daemon-reload")),
        }
        for what, damage in damages.items():
            with self.subTest(what):
                damage()
                wait_for(is_mended, 10, what)
                self.assertEqual(machine.main_pid("runs.service"), pid, "not restarted")
        self.assertIn("The file of runs.service was changed or removed by hand", machine.journal())
        wait_for(lambda: "ended.service" in machine.unit_files(), what="the other one is back, too")
        self.assertEqual(machine.show("ended.service", "ActiveEnterTimestampMonotonic"), ended, "what had ended is not started")
        # What nobody scheduled goes, also while fleet runs.
        (folder / "theirs.service").write_text(service())
        machine.exec("ln", "-s", "/etc/hostname", "/run/fleet/units/link.service").ok()
        wait_for(lambda: machine.unit_files() == ["ended.service", "runs.service"], what="foreign files are gone")
        self.assertEqual([s["systemdActiveState"] for s in self.cluster.states()], ["inactive", "active"])

    def test_a_boot_starts_everything_once_though_the_files_are_still_there(self):
        machine = self.machines[0]
        dropin = "/etc/systemd/system/fleet.service.d/units.conf"
        machine.exec("sh", "-c", f"mkdir -p /var/fleet-units ${{0%/*}} && printf '[Service]\\nReadWritePaths=/var/fleet-units\\n' >$0 && systemctl daemon-reload", dropin).ok()
        try:
            machine.configure("units_directory=/var/fleet-units")
            self.cluster.start({"runs.service": service(), "counts.service": service("/bin/sh -c 'echo x >>/var/tmp/counts; exec sleep infinity'")}).ok()
            machine.power_off()
            machine.power_on()
            self.cluster.wait_active("runs.service", "counts.service", timeout_s=20)
            wait_for(lambda: machine.is_active("runs.service") and machine.is_active("counts.service"), 20, "they run after the boot")
            self.assertEqual((machine.root / "var/tmp/counts").read_text(), "x\nx\n", "once per boot")
        finally:
            machine.exec("rm", dropin)
            machine.configure()

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
