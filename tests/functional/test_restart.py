# SPDX-License-Identifier: Apache-2.0
"""Restarts, and moves, on three machines: in which order what ends and what starts, by systemd's own clock."""

import re

from harness import ClusterTest, service, wait_for

BREAK = "/var/tmp/break"  # units of breakable() do not start while this is there


def slow_to_stop(seconds=0.3, **how):
    """A service that takes so long to stop."""
    return service(service_lines=[f"ExecStop=/bin/sleep {seconds}"], **how)


def breakable():
    return service(service_lines=[f"ExecStartPre=/bin/sh -c '! test -e {BREAK}'"])


def note_the_end(seconds):
    """The lines of a service that takes so long to stop, and notes when it has ended."""
    return [f"ExecStop=/bin/sleep {seconds}", "ExecStopPost=/bin/sh -c 'cut -d\" \" -f1 /proc/uptime >/var/tmp/ended'"]


class Interval:
    """From when a copy began to stop, the last time, until it was active again; microseconds that all machines share."""

    def __init__(self, machine, unit):
        names = ("ActiveExit", "InactiveEnter", "InactiveExit", "ActiveEnter")
        found = machine.show(unit, *(f"{name}TimestampMonotonic" for name in names))
        self.stopping, self.stopped, self.starting, self.started = (int(value) for value in found)

    def __repr__(self):
        return f"{self.stopping} {self.stopped} {self.starting} {self.started}"


class RestartTest(ClusterTest):
    def pids(self, units):
        return {unit: (machine := self.assert_active_once(unit), machine.main_pid(unit)) for unit in units}

    def copies(self, unit):
        return {machine.name: machine.main_pid(unit) for machine in self.machines}

    def assert_one_by_one(self, intervals):
        for before, after in zip(intervals, intervals[1:]):
            self.assertLessEqual(before.started, after.stopping, intervals)


class Restart(RestartTest):
    def test_restart_restarts_where_it_is(self):
        self.cluster.start({"one.service": service()}).ok()
        machine = self.assert_active_once("one.service")
        pid = machine.main_pid("one.service")
        done = self.cluster.fleetctl("restart", "one")
        self.assertEqual(done.ok(), f"Unit one.service launched on {machine.id[:8]}.../{machine.address}\n")
        self.assert_active_once("one.service", machine)
        self.assertNotEqual(machine.main_pid("one.service"), pid)

    def test_one_after_the_other_or_several_at_a_time(self):
        names = ["c.service", "a.service", "d.service", "b.service"]
        self.cluster.start({name: slow_to_stop() for name in names}).ok()
        before = self.pids(names)
        out = self.cluster.fleetctl("restart", *names).ok()
        self.assertEqual(re.findall(r"^Unit (\S+) launched on ", out, re.M), names)
        for name, (machine, pid) in before.items():
            self.assertNotEqual(machine.main_pid(name), pid)
        self.assert_one_by_one([Interval(before[name][0], name) for name in names])

        self.cluster.fleetctl("restart", "--parallel=4", "{a..d}").ok()
        intervals = [Interval(before[name][0], name) for name in names]
        self.assertLess(max(i.stopping for i in intervals), min(i.stopped for i in intervals), intervals)
        for name, (machine, pid) in before.items():
            self.assertNotEqual(machine.main_pid(name), pid)

    def test_the_first_that_fails_stops_the_rest(self):
        names = ["a.service", "b.service", "c.service", "d.service"]
        self.cluster.start({name: breakable() if name == "b.service" else service() for name in names}).ok()
        before = self.pids(names)
        (before["b.service"][0].root / BREAK[1:]).touch()
        self.addCleanup((before["b.service"][0].root / BREAK[1:]).unlink)
        rc, out, err = self.cluster.fleetctl("restart", *names)
        self.assertEqual(rc, 1)
        self.assertEqual(re.findall(r"^Unit (\S+) launched on ", out, re.M), ["a.service"])
        self.assertRegex(err, r"Unit b\.service failed on .*: the restart job failed: .*journalctl -u b\.service")
        self.assertIn("Error restarting units: unit b.service did not reach state launched\n", err)
        self.assertIn("Not restarted, because of that: c.service, d.service\n", err)
        self.assertNotEqual(before["a.service"][0].main_pid("a.service"), before["a.service"][1])
        for name in names[2:]:
            machine, pid = before[name]
            self.assertEqual(machine.main_pid(name), pid)

    def test_a_global_unit_machine_by_machine(self):
        unit = "g.service"
        self.cluster.start({unit: slow_to_stop(fleet_lines=["Global=true"])}).ok()
        wait_for(lambda: len(self.cluster.active_on(unit)) == 3)
        before = self.copies(unit)
        out = self.cluster.fleetctl("restart", unit).ok()
        by_id = sorted(self.machines, key=lambda machine: machine.id)
        self.assertEqual(out, "".join(f"Unit {unit} launched on {m.id[:8]}.../{m.address}\n" for m in by_id))
        self.assert_one_by_one([Interval(machine, unit) for machine in by_id])
        middle = self.copies(unit)
        self.assertFalse([name for name in before if before[name] == middle[name]])

        self.cluster.fleetctl("restart", f"--machine={by_id[1].id[:8]}", unit).ok()
        after = self.copies(unit)
        self.assertEqual([name for name in middle if middle[name] != after[name]], [by_id[1].name])

        self.cluster.fleetctl("restart", "--parallel=3", unit).ok()
        intervals = [Interval(machine, unit) for machine in by_id]
        self.assertLess(max(i.stopping for i in intervals), min(i.stopped for i in intervals), intervals)

    def test_what_does_not_run(self):
        for name in ("loaded.service", "inactive.service", "dead.service"):
            self.cluster.put_unit(name, service())
        self.cluster.put_unit("once.service", service("/bin/true", service_lines=["Type=oneshot"]))
        self.cluster.fleetctl("submit", "inactive.service").ok()
        self.cluster.fleetctl("load", "loaded.service").ok()
        self.cluster.fleetctl("start", "dead.service", "once.service").ok()
        machine = self.assert_active_once("dead.service")
        machine.exec("systemctl", "kill", "--signal=KILL", "dead.service").ok()
        wait_for(lambda: machine.show("dead.service", "ActiveState") == "failed")

        rc, out, err = self.cluster.fleetctl("restart", "inactive", "loaded", "dead", "once")
        self.assertEqual((rc, err), (1, "Unable to restart unit inactive.service in state inactive\n"))
        self.assertEqual(re.findall(r"^Unit (\S+) launched on ", out, re.M), ["loaded.service", "dead.service", "once.service"])
        self.assert_active_once("loaded.service")
        self.assert_active_once("dead.service")
        self.assertFalse(any(m.is_active("inactive.service") for m in self.machines))
        self.assertEqual(self.cluster.units()["loaded.service"]["desiredState"], "launched")

        rc, out, err = self.cluster.fleetctl("restart", "*")
        self.assertEqual((rc, err), (0, ""))
        self.assertEqual(sorted(re.findall(r"^Unit (\S+) launched on ", out, re.M)), ["dead.service", "loaded.service", "once.service"])

    def test_unknown_names_are_submitted_or_refused(self):
        self.cluster.put_unit("new.service", service())
        rc, out, err = self.cluster.fleetctl("restart", "new.service")
        self.assertEqual((rc, out, err), (1, "Unit new.service inactive\n", "Unable to restart unit new.service in state inactive\n"))
        rc, out, err = self.cluster.fleetctl("restart", "new.service", "nowhere.service")
        self.assertEqual((rc, out), (1, ""))
        self.assertIn("unable to find Unit(nowhere.service) in Registry or on filesystem", err)

    def test_no_block_and_block_attempts(self):
        self.cluster.start({"one.service": service(), "slow.service": slow_to_stop(2.2)}).ok()
        before = self.pids(["one.service", "slow.service"])
        rc, out, err = self.cluster.fleetctl("restart", "--block-attempts=1", "slow.service", "one.service")
        self.assertEqual((rc, out), (1, ""))
        self.assertIn("timed out waiting for unit slow.service to report state launched", err)
        self.assertIn("Not restarted, because of that: one.service\n", err)
        self.assertEqual(self.cluster.fleetctl("restart", "--no-block", "one.service").ok(), "Triggered unit one.service restart\n")
        for name, (machine, pid) in before.items():
            wait_for(lambda: machine.is_active(name) and machine.main_pid(name) != pid)


class Moves(RestartTest):
    def mark(self, machine):
        """Give the machine what `marked` asks for, and take it from the others."""
        patch = [{"op": "remove", "path": f"/{i}/metadata/on"} for m, i in self.ids.items() if m is not machine]
        if machine:
            patch.append({"op": "add", "path": f"/{machine.id}/metadata/on", "value": "yes"})
        self.assertEqual(self.cluster.api("PATCH", "/fleet/v1/machines", patch).status, 204)

    def setUp(self):
        super().setUp()
        self.ids = {machine: machine.id for machine in self.machines}
        self.addCleanup(self.mark, None)

    def assert_ended_before(self, machine, interval):
        """The copy of note_the_end() has ended on the machine before the other one started."""
        ended_us = float((machine.root / "var/tmp/ended").read_text()) * 1e6
        # The kernel's uptime is told in hundredths of a second.
        self.assertLessEqual(ended_us, interval.starting + 10000)

    def test_a_moved_unit_ends_before_it_starts_elsewhere(self):
        old, new, _ = self.machines
        self.mark(old)
        self.cluster.start({"mv.service": service(service_lines=note_the_end(2), fleet_lines=["MachineMetadata=on=yes"])}).ok()
        self.assert_active_once("mv.service", old)

        self.mark(new)
        waits = f"waits for machine {old.id[:8]} to end it"
        wait_for(lambda: self.cluster.units()["mv.service"].get("why") == waits, what=waits)
        rc, _, err = self.cluster.fleetctl("start", "--block-attempts=0", "mv.service")
        self.assertEqual(rc, 0, err)
        self.assertEqual(err, f"Unit mv.service on {new.id[:8]}.../{new.address} {waits}\n")
        self.assert_active_once("mv.service", new)
        self.assert_ended_before(old, Interval(new, "mv.service"))
        self.assertEqual(old.unit_files(), [])
        self.assertNotIn("why", self.cluster.units()["mv.service"])

    def test_the_old_machine_dies_while_it_stops_the_unit(self):
        old, new, _ = reversed(self.machines)  # the first may be the one that serves the store
        self.mark(old)
        (old.root / "var/tmp/hang").touch()
        lines = ["ExecStop=/bin/sh -c 'while test -e /var/tmp/hang; do sleep 1; done'", "TimeoutStopSec=600"]
        self.cluster.start({"mv.service": service(service_lines=lines, fleet_lines=["MachineMetadata=on=yes"])}).ok()
        self.mark(new)
        wait_for(lambda: "waits for machine" in self.cluster.units()["mv.service"].get("why", ""))
        self.assertFalse(new.is_active("mv.service"))
        old.power_off()
        wait_for(lambda: new.is_active("mv.service"), 10)

    def test_replace_keeps_the_machine_and_the_old_copy_ends_first(self):
        # Its machine is the fullest one, so nothing but its being there speaks for it.
        self.cluster.start({"r.service": service(service_lines=note_the_end(1))}).ok()
        machine = self.assert_active_once("r.service")
        self.cluster.start({f"x{i}.service": service(fleet_lines=["MachineOf=r.service"]) for i in range(3)}).ok()
        self.cluster.put_unit("r.service", service("/bin/sleep 4321"))
        self.cluster.fleetctl("start", "--replace", "r.service").ok()
        self.assert_active_once("r.service", machine)
        self.assertIn("4321", machine.show("r.service", "ExecStart"))
        self.assert_ended_before(machine, Interval(machine, "r.service"))
        for i in range(3):
            self.assert_active_once(f"x{i}.service", machine)
