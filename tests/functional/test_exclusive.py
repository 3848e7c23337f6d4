# SPDX-License-Identifier: Apache-2.0
"""Exclusive units, while everything that could make two of one goes wrong.

A unit writes the time into a file on its machine over and over; the machines of a lab share the kernel's clock. So what is compared
is when it was last alive on one machine and when it began on the other. Besides, all is watched from outside.
"""

from harness import ClusterTest, let_pass, service, wait_for
from watch import Watch

NAME = "only.service"
CLOCK = "cut -d' ' -f1 /proc/uptime"
STOP_S = 1  # what a stop may take: four times TimeoutStopSec=


def exclusive():
    """It ends by SIGKILL only, so that its stop takes as long as it is given."""
    script = f"trap : TERM; {CLOCK} >>/root/began; while :; do {CLOCK} >/root/now && mv /root/now /root/alive; sleep 0.02; done"
    return service(f'/bin/sh -c "{script}"', service_lines=["TimeoutStopSec=250ms"], fleet_lines=["Exclusive=true"])


class Exclusive(ClusterTest):
    n_machines = 2
    store_apart = True

    def setUp(self):
        super().setUp()
        self.cluster.start({NAME: exclusive()}).ok()
        self.first = self.cluster.placed_on(NAME)
        [self.other] = [machine for machine in self.machines if machine is not self.first]
        self.watch = Watch(self.cluster, [NAME])
        self.watch.__enter__()
        self.addCleanup(self.watch.__exit__)

    def times(self, machine, name):
        return [float(line) for line in (machine.root / "root" / name).read_text().split()]

    def assert_never_twice(self):
        self.assertEqual(self.watch.doubles(NAME), [])

    def began_after(self):
        return self.times(self.other, "began")[-1] > self.times(self.first, "alive")[0]

    def wait_moved(self):
        """It began on the other machine, after its last sign of life on the first one."""
        limit_s = 3 * self.cluster.ttl_s + STOP_S + 5
        wait_for(lambda: self.other.is_active(NAME) and self.began_after(), limit_s, f"{NAME} runs on {self.other}, and began there after its end on {self.first}")
        self.assertFalse(self.first.is_active(NAME))
        self.assertTrue(self.began_after())

    def wait_one_again(self):
        """Everybody is back, and the copy that runs is the one that ran."""
        pid = self.other.main_pid(NAME)
        self.cluster.wait_for_machines(self.machines, 30)
        wait_for(lambda: self.first.unit_files() == [], 10, f"{NAME} is gone from {self.first}")
        self.assertEqual(self.other.main_pid(NAME), pid)
        self.assertEqual(self.cluster.record(f"hold/{NAME}"), {"machine": self.other.id, "stop": STOP_S})
        self.assert_never_twice()

    def test_a_machine_that_is_cut_off_stops_it_before_it_starts_elsewhere(self):
        self.first.cut()
        wait_for(lambda: not self.first.is_active(NAME), self.cluster.ttl_s + 1, f"{NAME} stops on {self.first}")
        self.wait_moved()
        self.first.heal()
        self.wait_one_again()

    def test_restarts_and_crashes_of_fleetd_touch_nothing(self):
        pid = self.first.main_pid(NAME)
        self.first.exec("systemctl", "restart", "fleet.service").ok()
        let_pass(1)
        self.first.exec("systemctl", "kill", "--signal=KILL", "fleet.service").ok()
        self.cluster.wait_for_machines(self.machines, 10)
        let_pass(self.cluster.ttl_s)
        self.assertEqual(self.first.main_pid(NAME), pid)
        self.assert_never_twice()

    def test_a_fleetd_that_is_stopped_or_cannot_start_leaves_it_to_the_guard(self):
        for break_it, mend_it in [
            ("kill -STOP $(systemctl show -P MainPID fleet.service)", "kill -CONT $(systemctl show -P MainPID fleet.service)"),
            (
                "chmod -x /usr/sbin/fleetd && systemctl kill --signal=KILL fleet.service",
                "chmod +x /usr/sbin/fleetd && systemctl restart fleet.service",
            ),
        ]:
            with self.subTest(break_it):
                self.first.exec("sh", "-c", break_it).ok()
                self.wait_moved()
                self.first.exec("sh", "-c", mend_it).ok()
                self.wait_one_again()
                self.first, self.other = self.other, self.first

    def test_without_etcd_it_stops_everywhere_and_comes_back(self):
        self.cluster.members[0].stop()
        wait_for(lambda: not any(machine.is_active(NAME) for machine in self.machines), self.cluster.ttl_s + 2, f"{NAME} stops")
        wait_for(lambda: self.first.exec("systemctl", "start", "fleet-guard.service").rc != 0, 5, "nothing Exclusive starts any more, whoever asks")
        self.cluster.members[0].start()
        wait_for(lambda: any(machine.is_active(NAME) for machine in self.machines), 15, f"{NAME} is back")
        self.assert_never_twice()

    def test_it_is_nowhere_twice_while_it_is_asked_for_again_and_again(self):
        for _ in range(3):
            self.cluster.fleetctl("restart", NAME).ok()
            self.cluster.fleetctl("stop", NAME).ok()
            self.cluster.fleetctl("unload", "--no-block", NAME).ok()
            self.cluster.fleetctl("start", NAME).ok()
            self.cluster.fleetctl("destroy", NAME).ok()
            self.cluster.start({NAME: exclusive()}).ok()
        self.assert_never_twice()
        self.cluster.fleetctl("destroy", NAME).ok()
        wait_for(lambda: not [key for key in self.cluster.records() if key.startswith(("hold/", "held/"))], 10, "no hold is left")
        wait_for(lambda: not any(machine.is_active("fleet-guard.service") for machine in self.machines), 5, "no guard is left")

    def test_what_cannot_be_exclusive_is_refused(self):
        for lines, fleet_lines, why in [
            ([], ["Exclusive=true", "Global=true"], "Global cannot be used with Exclusive"),
            (["TimeoutStopSec=infinity"], ["Exclusive=true"], "Exclusive needs a time within which the unit stops, and TimeoutStopSec=infinity sets none"),
            (["KillMode=process"], ["Exclusive=true"], "Exclusive cannot be used with KillMode=process"),
        ]:
            with self.subTest(why):
                refused = self.cluster.start({"bad.service": service(service_lines=lines, fleet_lines=fleet_lines)})
                self.assertNotEqual(refused.rc, 0)
                self.assertIn(why, refused.err)
                self.assertIn(why, self.cluster.fleetctl("verify", "bad.service").err)
