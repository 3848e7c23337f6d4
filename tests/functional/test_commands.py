# SPDX-License-Identifier: Apache-2.0
"""What the commands about units do to units on machines, and wait for. What they print without a cluster's help is checked to the byte by
tests/unit/fleetctl/test_commands.py."""

import json
import time

from harness import ClusterTest, service, wait_for

SLOW_STOP_S = 1
STOPS_SLOWLY = [f"ExecStop=/bin/sleep {SLOW_STOP_S}", "ExecStop=/bin/touch /var/tmp/%n.stopped"]


class Words(ClusterTest):
    n_machines = 2

    def test_ranges_and_patterns(self):
        self.cluster.put_unit("web@.service", service())
        done = self.cluster.fleetctl("start", "web@{1..3}", "web@{a,b}.service")
        self.assertEqual(done.ok().count("launched on"), 5)
        self.cluster.start({"db.service": service()}).ok()
        done = self.cluster.fleetctl("stop", "web@*")
        self.assertEqual(done.ok().count("loaded on"), 5)
        self.assertIn("Successfully stopped units [web@1.service web@2.service web@3.service web@a.service web@b.service].", done.err)
        self.assert_active_once("db.service")
        self.cluster.fleetctl("start", "web@[13]").ok()
        running = {f"web@{i}.service" for i in "123ab" if any(m.is_active(f"web@{i}.service") for m in self.machines)}
        self.assertEqual(running, {"web@1.service", "web@3.service"})
        self.cluster.fleetctl("destroy", "*").ok()
        self.assertEqual(self.cluster.units(), {})

    def test_too_many_units_are_refused_before_anything_is_done(self):
        self.cluster.put_unit("web@.service", service())
        for words in (["web@{1..5000}"], [f"web@{i}" for i in range(5000)]):
            rc, out, err = self.cluster.fleetctl("submit", *words)
            self.assertEqual((rc, out), (1, ""))
            self.assertIn("5000 units are more than one request can hold, which is 4096", err)
        self.assertEqual(self.cluster.units(), {})

    def test_lists_are_filtered_and_can_be_json(self):
        self.cluster.start({"a.service": service(), "b.service": service()}).ok()
        self.cluster.put_unit("far.service", service(fleet_lines=["MachineMetadata=disk=tape"]))
        self.cluster.fleetctl("start", "--no-block", "far.service").ok()
        home = self.cluster.placed_on("a.service")
        fields = ["--no-legend", "--fields=unit"]
        for words, expected in ((["--machine", home.id[:10]], ["a.service"]), (["b*"], ["b.service"]), (["--state=failed"], []),
                                (["--state=active", "{a,far}"], ["a.service"])):
            self.assertEqual(self.cluster.fleetctl("list-units", *fields, *words).ok().split(), expected, words)
        self.assertEqual(json.loads(self.cluster.fleetctl("list-units", "-o", "json").ok()),
                         sorted(self.cluster.states(), key=lambda state: state["name"]))
        wait_for(lambda: "why" in self.cluster.units()["far.service"])
        (far,) = json.loads(self.cluster.fleetctl("list-unit-files", "-o", "json", "--dstate=launched", "--state=inactive").ok())
        self.assertEqual(far, self.cluster.units()["far.service"])
        self.assertIn(home.id[:8], far["why"])
        self.assertEqual({m["id"] for m in json.loads(self.cluster.fleetctl("list-machines", "--output=json").ok())}, self.cluster.machine_ids())

    def test_verify_asks_systemd(self):
        machine = self.machines[0]
        machine.put_unit("good.service", service(fleet_lines=["Global=true"]))
        machine.put_unit("bad.service", service(service_lines=["Restrat=always"], fleet_lines=["MachineMeta=a=b"]))
        done = machine.fleetctl("verify", "good")
        self.assertEqual((done.rc, done.out, done.err), (0, "", ""))
        done = machine.fleetctl("verify", "bad")
        self.assertEqual((done.rc, done.out), (1, ""))
        self.assertIn('bad.service: unrecognized requirement in [X-Fleet] section: "MachineMeta"; did you mean MachineMetadata?\n', done.err)
        self.assertIn("Restrat", done.err)


class Replace(ClusterTest):
    def place_on_the_fullest(self, name, text):
        """Have it on a machine that nobody would place it on anew."""
        home = max(self.machines, key=lambda machine: machine.id)
        pins = {f"pin{i}.service": service(fleet_lines=[f"MachineID={home.id}"]) for i in range(2)}
        self.cluster.start({f"fill{i}.service": service() for i in range(2)}).ok()
        self.cluster.start({name: text}).ok()
        self.cluster.start(pins).ok()
        self.cluster.fleetctl("destroy", "fill0", "fill1").ok()
        return self.assert_active_once(name, home)

    def test_start_replace_keeps_machine_and_state_and_ends_the_old_copy_first(self):
        stop = ["ExecStop=/bin/sleep 1", "ExecStopPost=/bin/sh -c 'date +%%s%%N >/var/tmp/old-ended'"]
        home = self.place_on_the_fullest("swap.service", service("/bin/sleep 1001", service_lines=stop))
        new = service("/bin/sleep 1002", service_lines=["ExecStartPre=/bin/sh -c 'date +%%s%%N >/var/tmp/new-begins'"])
        self.cluster.put_unit("swap.service", new)
        done = self.cluster.fleetctl("start", "--replace", "swap.service")
        self.assertEqual(done.ok(), f"Unit swap.service launched on {home.id[:8]}.../{home.address}\n")
        self.assert_active_once("swap.service", home)
        self.assertIn("1002", home.show("swap.service", "ExecStart"))
        ended, begins = (int((home.root / "var/tmp" / name).read_text()) for name in ("old-ended", "new-begins"))
        self.assertLess(ended, begins)
        pid = home.main_pid("swap.service")
        done = self.cluster.fleetctl("start", "--replace", "swap.service")
        self.assertIn("Found same Unit(swap.service) in Registry, nothing to do\n", done.ok())
        self.assertEqual(home.main_pid("swap.service"), pid)

    def test_load_replace_replaces_a_launched_unit_and_leaves_it_loaded(self):
        home = self.place_on_the_fullest("swap.service", service("/bin/sleep 1001"))
        self.cluster.put_unit("swap.service", service("/bin/sleep 1002"))
        done = self.cluster.fleetctl("load", "--replace", "swap.service")
        self.assertEqual(done.ok(), f"Unit swap.service loaded on {home.id[:8]}.../{home.address}\n")
        self.assertIn("1002", (home.root / "run/fleet/units/swap.service").read_text())
        self.assertFalse(any(m.is_active("swap.service") for m in self.machines))
        self.assertEqual(self.cluster.units()["swap.service"]["desiredState"], "loaded")

    def test_submit_replace_leaves_a_launched_unit_alone(self):
        self.cluster.start({"swap.service": service("/bin/sleep 1001")}).ok()
        home = self.assert_active_once("swap.service")
        pid = home.main_pid("swap.service")
        self.cluster.put_unit("swap.service", service("/bin/sleep 1002"))
        done = self.cluster.fleetctl("submit", "--replace", "swap.service")
        self.assertEqual((done.rc, done.out, done.err), (0, "", "Warning: can not replace Unit(swap.service) in state 'launched', use the "
                                                                "appropriate command: fleetctl start --replace\n"))
        self.assertEqual(home.main_pid("swap.service"), pid)
        self.assertIn("1001", self.cluster.fleetctl("cat", "swap").ok())

    def test_instances_of_a_replaced_template_follow_by_the_command_that_is_printed(self):
        self.cluster.put_unit("web@.service", service("/bin/sleep 1001"))
        self.cluster.fleetctl("submit", "web@.service").ok()
        self.cluster.fleetctl("start", "web@{1,2}").ok()
        self.cluster.put_unit("web@.service", service("/bin/sleep 1002"))
        done = self.cluster.fleetctl("start", "--replace", "web@.service")
        self.assertEqual(done.ok(), "Unit web@.service inactive\n")
        command = done.err.splitlines()[1].split()
        self.assertEqual(command, ["fleetctl", "start", "--replace", "web@1.service", "web@2.service"])
        self.cluster.fleetctl(*command[1:]).ok()
        for name in command[3:]:
            self.assertIn("1002", self.assert_active_once(name).show(name, "ExecStart"))


class Ending(ClusterTest):
    n_machines = 2

    def stopped(self, machine, name):
        return (machine.root / f"var/tmp/{name}.stopped").exists()

    def test_stop_unload_and_destroy_return_when_ExecStop_has_run(self):
        for command in ("stop", "unload", "destroy"):
            with self.subTest(command):
                name = f"{command}.service"
                self.cluster.start({name: service(service_lines=STOPS_SLOWLY)}).ok()
                machine = self.assert_active_once(name)
                self.cluster.fleetctl(command, name).ok()
                self.assertTrue(self.stopped(machine, name))
                self.assertIn(machine.show(name, "ActiveState"), ("inactive", "failed"))

    def test_no_block_returns_before_the_unit_has_ended(self):
        for command in ("stop", "unload", "destroy"):
            with self.subTest(command):
                name = f"quick-{command}.service"
                self.cluster.start({name: service(service_lines=["ExecStop=/bin/sleep 3"])}).ok()
                begin = time.monotonic()
                done = self.cluster.fleetctl(command, "--no-block", name)
                self.assertLess(time.monotonic() - begin, 2)
                expected = f"Destroyed {name}\n" if command == "destroy" else f"Triggered unit {name} {command}\n"
                self.assertEqual(done.ok(), expected)

    def test_load_stops_a_launched_unit(self):
        self.cluster.start({"run.service": service()}).ok()
        machine = self.assert_active_once("run.service")
        self.assertEqual(self.cluster.fleetctl("load", "run").ok(), f"Unit run.service loaded on {machine.id[:8]}.../{machine.address}\n")
        self.assertFalse(machine.is_active("run.service"))

    def test_a_unit_that_never_found_a_machine_can_be_stopped_and_unloaded(self):
        self.cluster.put_unit("lost.service", service(fleet_lines=["MachineMetadata=disk=tape"]))
        self.cluster.fleetctl("start", "--no-block", "lost").ok()
        done = self.cluster.fleetctl("stop", "lost")
        self.assertEqual((done.ok(), done.err), ("Unit lost.service inactive\n", "Successfully stopped units [lost.service].\n"))
        self.assertEqual(self.cluster.units()["lost.service"]["desiredState"], "loaded")
        done = self.cluster.fleetctl("unload", "lost")
        self.assertEqual((done.ok(), done.err), ("Unit lost.service inactive\n", "Successfully unloaded units [lost.service].\n"))
        self.assertEqual(self.cluster.units()["lost.service"]["desiredState"], "inactive")
        rc, _, err = self.cluster.fleetctl("stop", "lost")
        self.assertEqual((rc, err), (1, "Unable to stop unit lost.service in state inactive\n"))

    def test_unload_of_a_global_unit_returns_when_no_machine_runs_it(self):
        self.cluster.put_unit("all.service", service(fleet_lines=["Global=true"], service_lines=STOPS_SLOWLY))
        done = self.cluster.fleetctl("start", "all")
        self.assertEqual(done.ok(), "Unit all.service inactive\nTriggered global unit all.service start\n")
        wait_for(lambda: all(m.is_active("all.service") for m in self.machines))
        done = self.cluster.fleetctl("unload", "all")
        self.assertEqual((done.ok(), done.err), ("Triggered global unit all.service unload\nUnit all.service inactive\n",
                                                 "Successfully unloaded units [all.service].\n"))
        for machine in self.machines:
            self.assertTrue(self.stopped(machine, "all.service"))

    def test_start_says_inactive_then_where_it_is_launched(self):
        done = self.cluster.start({"one.service": service()})
        machine = self.assert_active_once("one.service")
        self.assertEqual((done.ok(), done.err), (f"Unit one.service inactive\nUnit one.service launched on {machine.id[:8]}.../{machine.address}\n", ""))
