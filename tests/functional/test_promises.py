# SPDX-License-Identifier: Apache-2.0
"""Nothing healthy stops by accident: what may happen to daemons, to etcd, to cables and clocks, and who runs what all the while.

All of it is watched from outside (watch.py): that nothing stopped means that no look found other processes than the first one.
"""

import subprocess
import tempfile
import threading
import time
from pathlib import Path

from harness import TOP, TTL_S, ClusterTest, let_pass, needs_etcd, service, wait_for
from watch import Watch

RESTART_S = 0.2  # RestartSec of fleet.service


class PromiseTest(ClusterTest):
    n_etcd = 3
    store_apart = True

    def start_units(self, n=9):
        """So many units run; they are watched until the end of the test."""
        self.units = {f"u{i}.service": service() for i in range(n)}
        self.cluster.start(self.units).ok()
        watch = Watch(self.cluster, self.units)
        watch.__enter__()
        self.addCleanup(watch.__exit__)
        return watch

    def assert_nothing_stopped(self, watch):
        self.assertEqual(watch.changed(), {})
        self.assertEqual([unit for unit, copies in watch.all_copies().items() if len(copies) != 1], [])

    def units_of(self, watch, machine):
        its = [unit for unit, copies in watch.all_copies().items() if machine.name in copies]
        self.assertTrue(its, f"{machine} runs something")
        return its

    def wait_alone(self, watch, units, timeout_s=15):
        """Until one copy of each is left."""
        wait_for(lambda: all(len(watch.copies(unit)) == 1 for unit in units), timeout_s, "one copy of each is left")

    def assert_never_twice(self, watch, units):
        self.assertEqual({unit: found for unit in units if (found := watch.doubles(unit))}, {})

    def wait_whole(self):
        """All machines are in the cluster, and units can be started."""
        self.cluster.wait_for_machines(self.machines, 30)
        # Members that have just found each other may elect once more, and whoever asks meanwhile is told so.
        wait_for(lambda: self.cluster.start({"whole.service": service()}).ok() is not None, 20, "units can be started")


class Daemons(PromiseTest):
    def wait_back(self, machine, since, limit_s):
        """Until the machine's API says that it is in the cluster with all others."""
        everyone = {m.id for m in self.machines}
        wait_for(lambda: machine.api("GET", "/fleet/v1/machines").status == 200 and self.cluster.machine_ids(machine) == everyone, 10, f"{machine} is back")
        took_s = time.monotonic() - since
        # A sanitized daemon looks for leaks before it ends.
        self.assertLess(took_s, limit_s * (5 if machine.daemon_is_sanitized() else 1), f"until {machine} was back")

    def everywhere(self, *command):
        """On all machines at the same time."""
        threads = [threading.Thread(target=machine.exec, args=command) for machine in self.machines]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def leases(self):
        return sorted(self.cluster.lab.call("etcdctl", "lease", "list").ok().splitlines())

    def assert_still_the_same(self, watch, leases):
        self.cluster.wait_active(*self.units)
        let_pass(TTL_S)
        self.assertEqual(self.leases(), leases, "for the others no machine was gone")
        self.assert_nothing_stopped(watch)

    def test_restart_keeps_every_process_and_the_identity(self):
        watch, leases = self.start_units(), self.leases()
        for machine in self.machines:
            self.cluster.lab.call("install", self.install_root, machine.name).ok()  # as an upgrade does: the files are other ones now
            old, began = machine.daemon_pid(), time.monotonic()
            machine.exec("systemctl", "restart", "fleet.service").ok()
            self.wait_back(machine, began, 1)
            self.assertNotEqual(machine.daemon_pid(), old)
        for _ in range(2):
            began = time.monotonic()
            self.everywhere("systemctl", "restart", "fleet.service")
            for machine in self.machines:
                self.wait_back(machine, began, 2)
        self.assert_still_the_same(watch, leases)

    def test_kill_9_keeps_every_process(self):
        kill = ("systemctl", "kill", "--signal=KILL", "--kill-whom=main", "fleet.service")
        watch, leases = self.start_units(), self.leases()
        for machine in self.machines:
            old, began = machine.daemon_pid(), time.monotonic()
            machine.exec(*kill).ok()
            wait_for(lambda machine=machine, old=old: machine.daemon_pid() not in (0, old), 10, "systemd restarts fleetd")
            self.wait_back(machine, began, 1 + RESTART_S)
        for _ in range(2):
            old, began = [machine.daemon_pid() for machine in self.machines], time.monotonic()
            self.everywhere(*kill)
            for machine, pid in zip(self.machines, old):
                wait_for(lambda machine=machine, pid=pid: machine.daemon_pid() not in (0, pid), 10, "systemd restarts fleetd")
                self.wait_back(machine, began, 2 + RESTART_S)
        self.assert_still_the_same(watch, leases)

    def test_a_clock_that_jumps_by_an_hour_either_way(self):
        watch = self.start_units()
        library = Path(tempfile.mkdtemp()) / "clock-shift.so"
        subprocess.run(["gcc", "-O2", "-shared", "-fPIC", "-o", library, TOP / "tests/lab/clock-shift.c"], check=True)
        lines = "[Service]\nEnvironment=LD_PRELOAD=/usr/local/lib/clock-shift.so CLOCK_SHIFT_FILE=/run/clock-shift\n"
        machine = wait_for(self.cluster.leader)
        (machine.root / "usr/local/lib/clock-shift.so").write_bytes(library.read_bytes())
        machine.exec("sh", "-c", "mkdir -p /run/systemd/system/fleet.service.d && cat >/run/systemd/system/fleet.service.d/clock.conf", stdin=lines).ok()
        machine.exec("sh", "-c", "systemctl daemon-reload && systemctl restart fleet.service").ok()
        self.cluster.wait_for_machines(self.machines)
        self.assertIn("clock-shift.so", (machine.root / f"proc/{machine.daemon_pid()}/maps").read_text())
        revision = self.cluster.revision()
        for jump_s in (3600, -3600):
            (machine.root / "run/clock-shift").write_text(str(jump_s))
            let_pass(1.5 * TTL_S)
            self.assertEqual(self.cluster.revision(), revision, f"after {jump_s} s nobody has anything to write")
        self.cluster.start({"later.service": service()}).ok()
        self.assert_nothing_stopped(watch)


class Store(PromiseTest):
    def test_answers_that_take_half_a_second(self):
        watch = self.start_units()
        for machine in self.machines:
            machine.delay(250)
        let_pass(TTL_S)
        self.cluster.start({"meanwhile.service": service()}).ok()
        for machine in self.machines:
            machine.delay(0)
        self.wait_whole()
        self.assert_nothing_stopped(watch)

    def test_answers_that_take_five_seconds(self):
        # Longer than any deadline: to the machines it is as if there were no etcd.
        watch = self.start_units()
        for machine in self.machines:
            machine.delay(2500)
        let_pass(4 * TTL_S)
        for machine in self.machines:
            machine.delay(0)
        self.wait_whole()
        let_pass(2 * TTL_S)
        self.assert_nothing_stopped(watch)

    @needs_etcd("its members do not hear each other")
    def test_two_of_three_members_do_not_hear_each_other(self):
        # They depose each other, in turns: there is a leader most of the time.
        watch = self.start_units()
        one, two, _ = self.cluster.members
        one.part(two)
        let_pass(2 * TTL_S)
        one.join(two)
        self.wait_whole()
        self.assert_nothing_stopped(watch)

    @needs_etcd("its members do not hear each other")
    def test_no_member_hears_another(self):
        watch = self.start_units()
        one, two, three = self.cluster.members
        one.part(two, three)
        two.part(three)
        wait_for(lambda: self.cluster.api("GET", "/fleet/v1/units").status == 503, 10, "the API says so")
        let_pass(2 * TTL_S)
        one.join(two, three)
        two.join(three)
        self.wait_whole()
        let_pass(TTL_S)
        self.assert_nothing_stopped(watch)

    @needs_etcd("each machine loses sight of another member")
    def test_each_machine_and_member_has_lost_sight_of_another_one(self):
        watch = self.start_units()
        for machine, member in zip(self.machines, self.cluster.members):
            machine.part(member, *(m for m in self.machines if m is not machine))
        self.wait_whole()
        let_pass(2 * TTL_S)
        self.cluster.start({"meanwhile.service": service()}).ok()
        for machine, member in zip(self.machines, self.cluster.members):
            machine.join(member, *(m for m in self.machines if m is not machine))
        self.assert_nothing_stopped(watch)

    @needs_etcd("its members are replaced")
    def test_every_member_is_replaced(self):
        watch = self.start_units()
        for member in self.cluster.members:
            member.replace()
            self.wait_whole()
        self.assert_nothing_stopped(watch)


class Machines(PromiseTest):
    n_machines = 4

    def not_leading(self):
        leader = wait_for(self.cluster.leader)
        return next(m for m in self.machines if m is not leader)

    def test_the_leaders_machine_is_lost_during_a_batch_of_200_starts(self):
        names = [f"b{i}.service" for i in range(200)]
        leader = wait_for(self.cluster.leader)
        witness = next(m for m in self.machines if m is not leader)
        gone = leader.id
        witness.exec("sh", "-c", "mkdir -p /root/units && cd /root/units && for n; do printf '[Service]\\nExecStart=/bin/sleep infinity\\n' >$n; done", "sh", *names).ok()
        with Watch(self.cluster, names) as watch:
            results = []
            client = threading.Thread(target=lambda: results.append(witness.fleetctl("start", *names, timeout_s=120)))
            client.start()
            wait_for(lambda: sum(bool(c) for c in watch.all_copies().values()) > 40, 20, "some of the 200 run")
            leader.power_off()
            client.join()
            self.assertEqual(results[0].rc, 0, str(results[0]))
            wait_for(lambda: all(len(c) == 1 for c in watch.all_copies().values()), 20, "each runs")
            self.assert_never_twice(watch, names)
        states = {s["name"] for s in self.cluster.states(witness) if s["systemdActiveState"] == "active" and s["machineID"] != gone}
        self.assertEqual(states, set(names))

    def test_a_machine_that_was_cut_off_keeps_its_units_until_it_is_back_and_then_one_copy_remains(self):
        watch = self.start_units()
        victim = self.not_leading()
        its = self.units_of(watch, victim)
        others = set(self.units) - set(its)
        began = time.monotonic()
        victim.cut()
        wait_for(lambda: all(len(watch.copies(unit)) == 2 for unit in its), 3 * TTL_S, "its units run elsewhere, too")
        let_pass(TTL_S)
        before = {unit: watch.copies(unit) for unit in its}
        victim.heal()
        self.wait_whole()
        self.wait_alone(watch, its)
        let_pass(TTL_S)
        for unit in its:
            self.assertEqual(watch.gaps(unit, began), [], unit)
            [(machine, processes)] = watch.copies(unit).items()
            self.assertEqual(before[unit].get(machine), processes, f"{unit}: what is left ran all along")
        self.assertFalse(others & watch.changed().keys(), "units elsewhere did not move")

    def test_a_machine_boots_with_a_schedule_that_is_out_of_date(self):
        watch = self.start_units()
        victim = self.not_leading()
        its = self.units_of(watch, victim)
        victim.power_off()
        wait_for(lambda: all(watch.copies(unit) for unit in its), 3 * TTL_S, "its units run elsewhere")
        victim.power_on()
        self.wait_whole()
        let_pass(TTL_S)
        self.assert_never_twice(watch, its)
        self.wait_alone(watch, self.units)

    def test_a_machine_boots_before_it_is_missed(self):
        watch = self.start_units()
        victim = self.not_leading()
        its = self.units_of(watch, victim)
        victim.power_off()
        victim.power_on()
        wait_for(lambda: all(watch.copies(unit) for unit in its), 3 * TTL_S, "its units run again")
        self.wait_whole()
        let_pass(TTL_S)
        self.assert_never_twice(watch, its)
        self.wait_alone(watch, self.units)

    def test_a_machine_that_was_frozen_goes_on(self):
        watch = self.start_units()
        victim = self.not_leading()
        its = self.units_of(watch, victim)
        victim.pause()
        wait_for(lambda: all(len(watch.copies(unit)) == 2 for unit in its), 3 * TTL_S, "its units run elsewhere, too")
        victim.resume()
        self.wait_whole()
        self.wait_alone(watch, its)
        self.assertEqual({unit: found for unit in its if (found := watch.gaps(unit))}, {})


@needs_etcd("its snapshots")
class OldStore(PromiseTest):
    def etcd_forgets(self, watch, n_times, *snapshot):
        """It knows less than it told before: every machine stays out, says why, and goes on with what runs."""
        self.cluster.lab.call("etcd-restore", *snapshot).ok()
        for machine in self.machines:
            wait_for(lambda machine=machine: machine.journal().count("etcd was emptied or restored") == n_times, 20, f"{machine} says so")
            self.assertNotEqual(machine.fleetctl("list-machines").rc, 0)
        let_pass(TTL_S)
        self.assert_nothing_stopped(watch)

    def restart_all(self):
        for machine in self.machines:
            machine.exec("systemctl", "restart", "fleet.service").ok()
        self.wait_whole()

    def test_restored_from_a_snapshot_and_wiped(self):
        watch = self.start_units()
        folder = tempfile.mkdtemp()
        self.cluster.lab.call("etcd-snapshot", f"{folder}/etcd.snapshot").ok()
        self.cluster.start({"later.service": service()}).ok()
        later = self.assert_active_once("later.service")
        let_pass(TTL_S / 2)  # by renewing its lease each machine has heard how far etcd is
        self.etcd_forgets(watch, 1, f"{folder}/etcd.snapshot")
        self.assert_active_once("later.service", later)

        self.restart_all()
        self.assert_nothing_stopped(watch)
        wait_for(lambda: not later.is_active("later.service"), what="what the snapshot does not know ends with the restart")

        self.etcd_forgets(watch, 2)
        self.restart_all()
