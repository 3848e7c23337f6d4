# SPDX-License-Identifier: Apache-2.0
"""A daemon that starts where something is not as it should be."""

import unittest

from harness import TTL_S, Cluster, ClusterTest, keep_journals_if_failed, let_pass, needs_etcd, service, wait_for


@needs_etcd("it comes late")
class EtcdAbsent(unittest.TestCase):
    def test_it_waits_says_so_answers_503_and_joins_when_etcd_appears(self):
        cluster = Cluster(ClusterTest.install_root, n_machines=2, n_etcd=0, configured=False)
        self.addCleanup(cluster.down)
        self.addCleanup(keep_journals_if_failed, self, cluster)
        for machine in cluster.machines:
            machine.configure()  # returns although there is no etcd: the machine's boot must not hang on it
        for machine in cluster.machines:
            reply = wait_for(lambda machine=machine: machine.api("GET", "/fleet/v1/machines"))
            self.assertEqual(reply.status, 503, str(reply))
            self.assertIn("unable to communicate with etcd", reply.message())
            rc, _, err = machine.fleetctl("list-machines")
            self.assertEqual(rc, 1)
            self.assertIn("etcd", err)
            wait_for(lambda machine=machine: "10.77.0.1:2379" in machine.journal(), what="the log says which etcd does not answer")
        cluster.lab.call("etcd", 1).ok()
        cluster.wait_for_machines(cluster.machines)
        cluster.start({"now.service": service()}).ok()


class SameMachineId(ClusterTest):
    n_machines = 3

    def test_the_second_of_two_machines_with_one_id_stays_out_and_says_so(self):
        first, second, third = self.machines
        units = {f"u{i}.service": service() for i in range(3)}
        self.cluster.start(units).ok()
        pids = {name: (m, m.main_pid(name)) for name in units for m in [self.assert_active_once(name)] if m is not second}
        # The clone: given the first's ID, and switched off and on. Afterwards it gets its own back.
        own = second.id
        second.exec("systemctl", "stop", "fleet.socket", "fleet.service").ok()
        for identity, comes_in in ((first.id, False), (own, True)):
            second.exec("sh", "-c", f"echo {identity} >/etc/machine-id").ok()
            second.power_off()
            second.power_on()
            if comes_in:
                self.cluster.wait_for_machines(self.machines, 4 * TTL_S)
                break
            wait_for(lambda: first.id in second.journal(), 10, "the clone's log names the ID")
            self.assertRegex(second.journal(), first.address, "and who has it")
            let_pass(TTL_S)
            # It waits for the members' answers, not for those of a machine that is none.
            told = wait_for(lambda: (told := third.fleetctl("doctor")).rc == 1 and told, 10, "doctor tells of the clone")
            self.assertRegex(told.out, rf"! {first.id}: m2 \({second.address}\) is kept out of the cluster: another machine with its ID .* m1, address")
            machines = {entry["id"]: entry["primaryIP"] for entry in third.api("GET", "/fleet/v1/machines").body["machines"]}
            self.assertEqual(machines, {first.id: first.address, third.id: third.address})
            for name, (machine, pid) in pids.items():
                self.assertEqual(machine.main_pid(name), pid, f"{name} on {machine}")
            self.assertFalse([name for name in units if second.is_active(name)], "the clone runs nothing")
