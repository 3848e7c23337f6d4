# SPDX-License-Identifier: Apache-2.0
"""etcd that has reached its quota: everything runs on, and all goes on when a person has made room."""

from harness import TTL_S, ClusterTest, let_pass, needs_etcd, service, wait_for


@needs_etcd("its quota, and its alarm")
class StoreFull(ClusterTest):
    n_machines = 2
    etcd_env = {"LAB_ETCD_QUOTA": "3000000"}

    def fill(self):
        """Until it takes no more; returns the keys."""
        text = "x" * 400_000
        for n in range(100):
            if self.cluster.lab.call("etcdctl", "put", f"/other/{n}", stdin=text).rc != 0:
                return
        self.fail("etcd takes more than its quota")

    def make_room(self):
        self.cluster.etcdctl("del", "/other/", "--prefix")
        self.cluster.etcdctl("compact", str(self.cluster.revision()))
        self.cluster.etcdctl("defrag")
        self.cluster.etcdctl("alarm", "disarm")

    def test_a_full_store_stops_nothing_and_all_goes_on_after_it(self):
        units = {f"u{i}.service": service() for i in range(4)}
        self.cluster.start(units).ok()
        pids = {name: (m, m.main_pid(name)) for name in units for m in [self.assert_active_once(name)]}
        daemons = [m.daemon_pid() for m in self.machines]
        self.fill()
        told = self.cluster.fleetctl("doctor")
        self.assertEqual(told.rc, 1, str(told))
        self.assertRegex(told.out, r"! http://\S+: the store is full \(alarm NOSPACE\): units keep running")
        self.assertRegex(told.out, r"What to do: compact its history")
        self.assertRegex(told.out, r"! the machines cannot be asked how they are: .*full")

        # What takes space is refused, and says so; a state that changes cannot be told.
        machine, _ = pids["u0.service"]
        machine.exec("systemctl", "stop", "u0.service").ok()
        self.cluster.put_unit("late.service", service())
        refused = self.cluster.fleetctl("start", "late.service")
        self.assertNotEqual(refused.rc, 0)
        self.assertRegex(refused.err, "full")
        # Leases are renewed all the same: no machine is lost.
        let_pass(2 * TTL_S)
        self.assertEqual(self.cluster.machine_ids(), {m.id for m in self.machines})
        for name, (there, pid) in pids.items():
            if name != "u0.service":
                self.assertEqual(there.main_pid(name), pid, name)

        self.make_room()
        wait_for(lambda: self.cluster.fleetctl("start", "late.service").rc == 0, 20, "units start again")
        wait_for(lambda: any(s["name"] == "u0.service" and s["systemdActiveState"] == "inactive" for s in self.cluster.states()), 20, "the state is told")
        self.cluster.fleetctl("start", "u0.service").ok()
        wait_for(lambda: self.cluster.fleetctl("doctor").rc == 0, 20, "doctor finds nothing")
        self.assertEqual([m.daemon_pid() for m in self.machines], daemons, "no daemon was restarted")
        for name, (there, pid) in pids.items():
            if name != "u0.service":
                self.assertEqual(there.main_pid(name), pid, name)
