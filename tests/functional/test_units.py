# SPDX-License-Identifier: Apache-2.0
"""Units on three machines: start, stop, unload, destroy."""

from harness import ClusterTest, service, sha1, wait_for


class Lifecycle(ClusterTest):
    def test_start_runs_it_on_one_machine_and_says_which(self):
        done = self.cluster.start({"one.service": service()})
        done.ok()
        machine = self.assert_active_once("one.service")
        self.assertIn(f"Unit one.service launched on {machine.id[:8]}.../{machine.address}", done.out)
        self.assertIn(f"one.service\t{machine.id[:8]}.../{machine.address}\tactive\trunning", self.cluster.fleetctl("list-units").out)

    def test_suffix_is_added_and_a_second_start_changes_nothing(self):
        self.cluster.start({"one.service": service()}).ok()
        machine = self.assert_active_once("one.service")
        pid = machine.main_pid("one.service")
        self.cluster.fleetctl("start", "one").ok()
        self.assertEqual(machine.main_pid("one.service"), pid)

    def test_submit_load_start_stop_unload_destroy(self):
        self.cluster.put_unit("step.service", service())
        expected = [
            ("submit", "inactive", False, False),
            ("load", "loaded", True, False),
            ("start", "launched", True, True),
            ("stop", "loaded", True, False),
            ("unload", "inactive", False, False),
        ]
        for verb, state, is_there, is_running in expected:
            with self.subTest(verb):
                self.cluster.fleetctl(verb, "step.service").ok()
                unit = self.cluster.units()["step.service"]
                self.assertEqual((unit["desiredState"], unit["currentState"]), (state, state))
                holders = [m for m in self.machines if "step.service" in m.unit_files()]
                self.assertEqual(len(holders), int(is_there))
                self.assertEqual(any(m.is_active("step.service") for m in self.machines), is_running)
        self.cluster.fleetctl("destroy", "step.service").ok()
        self.assertNotIn("step.service", self.cluster.units())

    def test_destroy_of_a_running_unit_stops_it(self):
        self.cluster.start({"gone.service": service()}).ok()
        machine = self.assert_active_once("gone.service")
        done = self.cluster.fleetctl("destroy", "gone.service")
        self.assertIn("Destroyed gone.service", done.ok())
        wait_for(lambda: not machine.is_active("gone.service"), what="the service has ended")
        wait_for(lambda: "gone.service" not in machine.unit_files(), what="its file is gone")
        wait_for(lambda: machine.show("gone.service", "LoadState") == "not-found", what="systemd has forgotten it")

    def test_all_of_ExecStop_runs_before_the_file_goes(self):
        slow = service(service_lines=["ExecStop=/bin/sleep 1", "ExecStopPost=/bin/touch /var/tmp/ended"])
        self.cluster.start({"slow.service": slow}).ok()
        machine = self.assert_active_once("slow.service")
        self.cluster.fleetctl("destroy", "slow.service").ok()
        wait_for(lambda: "slow.service" not in machine.unit_files())
        self.assertTrue((machine.root / "var/tmp/ended").exists())

    def test_start_revives_a_unit_that_died(self):
        self.cluster.start({"dead.service": service()}).ok()
        machine = self.assert_active_once("dead.service")
        machine.exec("systemctl", "kill", "--signal=KILL", "dead.service").ok()
        wait_for(lambda: machine.show("dead.service", "ActiveState") == "failed")
        wait_for(lambda: self.cluster.states()[0]["systemdActiveState"] == "failed", what="the cluster says that it failed")
        self.cluster.fleetctl("start", "dead.service").ok()
        self.assert_active_once("dead.service", machine)

    def test_a_oneshot_that_ends_well_is_a_success(self):
        self.cluster.start({"once.service": service("/bin/true", service_lines=["Type=oneshot"])}).ok()

    def test_a_unit_that_is_slow_to_start_is_waited_for(self):
        done = self.cluster.start({"slow.service": service(service_lines=["ExecStartPre=/bin/sleep 3"])})
        done.ok()
        self.assert_active_once("slow.service")

    def test_a_unit_that_fails_to_start_says_why(self):
        rc, _, err = self.cluster.start({"bad.service": service("/bin/false", service_lines=["Type=oneshot"])})
        self.assertEqual(rc, 1)
        self.assertIn("bad.service", err)
        self.assertRegex(err, "fail|exit")

    def test_one_bad_unit_harms_no_other(self):
        units = {f"good{i}.service": service() for i in range(6)}
        units.update({f"bad{i}.service": service("/no/such/program", service_lines=["Type=exec"]) for i in range(3)})
        rc, _, err = self.cluster.start(units)
        self.assertEqual(rc, 1)
        for i in range(3):
            self.assertIn(f"bad{i}.service", err)
        self.cluster.wait_active(*(name for name in units if name.startswith("good")))

    def test_cat_is_canonical_and_its_sha1_is_the_hash(self):
        self.cluster.put_unit("cat.service", "# a comment\n[Unit]\n  Description = Hello\n\n\n[Service]\nExecStart=/bin/sleep 9\n")
        self.cluster.fleetctl("submit", "cat.service").ok()
        text = self.cluster.fleetctl("cat", "cat.service").ok()
        self.assertEqual(text, "[Unit]\nDescription=Hello\n\n[Service]\nExecStart=/bin/sleep 9\n")
        table = self.cluster.fleetctl("list-unit-files", "--full", "--no-legend", "--fields=unit,hash,desc").ok()
        self.assertEqual(table.split("\t")[0], "cat.service")
        self.assertIn(sha1(text), table)

    def test_the_file_on_disk_is_what_cat_prints(self):
        text = "# gone\n[X-Fleet]\n  Global = maybe\n[Service]\nExecStart=/bin/sleep \\\n  9\n[X-Fleet]\nBogus=1\n"
        self.cluster.put_unit("disk.service", text)
        self.cluster.fleetctl("start", "disk.service").ok()
        machine = self.assert_active_once("disk.service")
        expected = "[X-Fleet]\nGlobal=maybe\nBogus=1\n\n[Service]\nExecStart=/bin/sleep \\\n  9\n"
        self.assertEqual((machine.root / "run/fleet/units/disk.service").read_text(), expected)
        self.assertEqual(self.cluster.fleetctl("cat", "disk.service").ok(), expected)

    def test_links_and_enablement(self):
        self.cluster.start({"plain.service": service(), "wanted.service": service(install=True)}).ok()
        for name, expected in (("plain.service", "linked-runtime"), ("wanted.service", "enabled-runtime")):
            machine = self.assert_active_once(name)
            self.assertEqual(machine.exec("systemctl", "is-enabled", name).out.strip(), expected)
            self.assertEqual((machine.root / "run/fleet/units" / name).stat().st_mode & 0o777, 0o644)

    def test_replace_swaps_the_content(self):
        self.cluster.start({"swap.service": service("/bin/sleep 1001")}).ok()
        self.cluster.put_unit("swap.service", service("/bin/sleep 1002"))
        warned = self.cluster.fleetctl("start", "swap.service")
        self.assertIn("differs from local unit file", warned.err)
        self.cluster.fleetctl("start", "--replace", "swap.service").ok()
        machine = self.assert_active_once("swap.service")
        self.assertIn("1002", machine.show("swap.service", "ExecStart"))
        self.assertIn("1002", (machine.root / f"proc/{machine.main_pid('swap.service')}/cmdline").read_text())

    def test_template_instances(self):
        self.cluster.put_unit("t@.service", service("/bin/sleep 100%i"))
        self.cluster.fleetctl("submit", "t@.service").ok()
        self.cluster.fleetctl("start", "t@1", "t@2.service").ok()
        for instance in "12":
            machine = self.assert_active_once(f"t@{instance}.service")
            self.assertIn(f"100{instance}", machine.show(f"t@{instance}.service", "ExecStart"))
        rc, _, err = self.cluster.fleetctl("start", "t@.service")
        self.assertEqual(rc, 1)
        self.assertIn('cannot activate template "t@.service"', err)
        self.cluster.fleetctl("destroy", "t@.service").ok()  # an instance has content of its own
        for instance in "12":
            self.assert_active_once(f"t@{instance}.service")
            self.assertIn("100%i", self.cluster.fleetctl("cat", f"t@{instance}").ok())

    def test_no_block_returns_at_once(self):
        self.cluster.put_unit("slow.service", service(service_lines=["ExecStartPre=/bin/sleep 2"]))
        done = self.cluster.fleetctl("start", "--no-block", "slow.service", timeout_s=1.5)
        self.assertEqual(done.ok().count("Triggered unit slow.service start"), 1)

    def test_list_machines(self):
        lines = self.cluster.fleetctl("list-machines", "--full", "--no-legend").ok().splitlines()
        self.assertEqual(lines, [f"{m.id}\t{m.address}\t-" for m in sorted(self.machines, key=lambda m: m.id)])
