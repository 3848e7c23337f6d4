# SPDX-License-Identifier: Apache-2.0
"""A daemon that is told to read its configuration again, and one that is asked for its state."""

import contextlib
import json
import re

from harness import TTL_S, ClusterTest, _UnixConnection, let_pass, service, wait_for


class Reload(ClusterTest):
    n_machines = 2

    def setUp(self):
        super().setUp()
        self.addCleanup(self.restore)
        self.texts = {machine: self.config(machine).read_text(encoding="utf-8") for machine in self.machines}
        self.pids = {machine: machine.daemon_pid() for machine in self.machines}

    def restore(self):
        for machine, text in self.texts.items():
            self.config(machine).write_text(text, encoding="utf-8")
            machine.exec("systemctl", "reload", "fleet.service").ok()

    def config(self, machine):
        return machine.root / "etc/fleet/fleet.conf"

    def reload(self, machine, *lines, says="The configuration was read again"):
        """With these lines after what was there at the start of the test; waits until the log has `says` once more."""
        before = machine.journal().count(says)
        self.config(machine).write_text(self.texts[machine] + "".join(f"{line}\n" for line in lines), encoding="utf-8")
        machine.exec("systemctl", "reload", "fleet.service").ok()
        wait_for(lambda: machine.journal().count(says) > before, what=says)

    def assert_same_daemons(self):
        for machine, pid in self.pids.items():
            self.assertEqual(machine.daemon_pid(), pid, f"{machine}: another process")
            self.assertEqual(machine.show("fleet.service", "ActiveState", "SubState"), ["active", "running"])

    def test_metadata_is_there_at_once_and_no_connection_is_lost(self):
        machine = self.machines[0]
        self.cluster.start({"calm.service": service()}).ok()
        home = self.assert_active_once("calm.service")
        pid = home.main_pid("calm.service")
        machine.put_unit("picky.service", service(fleet_lines=["MachineMetadata=disk=ssd"]))
        machine.fleetctl("start", "--no-block", "picky.service").ok()

        kept, stream = (_UnixConnection(str(machine.root / "run/fleet.sock"), 20) for _ in range(2))
        with contextlib.closing(kept), contextlib.closing(stream):
            kept.request("GET", "/fleet/v1/machines")
            kept.getresponse().read()
            body = json.dumps({"state": "launched", "timeoutMs": 0, "units": [{"name": "picky.service"}]})
            stream.request("POST", "/fleet/v1/wait", body=body, headers={"Content-Type": "application/json"})
            lines = stream.getresponse()
            self.assertEqual(json.loads(lines.readline())["outcome"], "unplaced")

            self.reload(machine, "metadata=disk=ssd,rack=7")
            last = json.loads(lines.read().split(b"\n")[-2])
            self.assertEqual((last["outcome"], last["machineID"]), ("reached", machine.id))
            kept.request("GET", "/fleet/v1/machines")
            kept.getresponse().read()
        self.assertRegex(machine.fleetctl("list-machines", "--full").ok(), rf"{machine.id}\t.*\tdisk=ssd,rack=7\n")
        self.assertEqual(home.main_pid("calm.service"), pid)
        self.assert_same_daemons()

        self.reload(machine)
        wait_for(lambda: not self.machines[1].is_active("picky.service") and not machine.is_active("picky.service"), what="it fits nowhere any more")

    def test_what_cannot_be_used_changes_nothing(self):
        machine = self.machines[0]
        self.cluster.start({"calm.service": service()}).ok()
        home = self.assert_active_once("calm.service")
        pid = home.main_pid("calm.service")
        self.reload(machine, "metadata=rack=1")
        for line, why in (("agent_ttl=fast", '"fast" is not a duration'), ("wings=2", 'no key "wings"'), ("metadata=rack", "rack")):
            self.reload(machine, "metadata=rack=2", line, says="the one in force stays in force")
            self.assertIn(why, machine.journal())
        records = [m for m in self.cluster._list("machines", "machines") if m["id"] == machine.id]
        self.assertEqual(records[0]["metadata"], {"rack": "1"})
        self.assertEqual(home.main_pid("calm.service"), pid)
        self.assert_same_daemons()
        self.assertEqual(machine.show("fleet.service", "StatusText").split(",")[0], "Member of the cluster")

    def test_what_needs_a_restart_is_named(self):
        machine = self.machines[0]
        self.reload(machine, "units_directory=/run/fleet/other/", "token_limit=7")
        self.assertIn("Not in force before fleet is restarted, which touches no unit: units_directory", machine.journal())
        self.assertEqual(machine.api("GET", "/fleet/v1/units?nextPageToken=ZAABAA==").message(), "token limit must be 7")
        self.assert_same_daemons()

    def test_another_address_is_known_after_a_reload(self):
        machine = self.machines[0]
        address = lambda: next(m["primaryIP"] for m in self.cluster._list("machines", "machines") if m["id"] == machine.id)  # noqa: E731
        self.reload(machine, "public_ip=192.0.2.7")
        wait_for(lambda: address() == "192.0.2.7", what="the configured address")
        self.reload(machine)
        wait_for(lambda: address() == machine.address, what="the one that it has")
        self.assert_same_daemons()

    def test_another_ttl_moves_no_unit(self):
        units = {f"u{i}.service": service() for i in range(4)}
        self.cluster.start(units).ok()
        pids = {name: (m, m.main_pid(name)) for name in units for m in [self.assert_active_once(name)]}
        leases = {m: (m.root / "run/fleet/lease").read_text() for m in self.machines}
        for machine in self.machines:
            self.reload(machine, f"agent_ttl={2 * TTL_S}s")
            wait_for(lambda machine=machine: (machine.root / "run/fleet/lease").read_text() != leases[machine], what="another lease")
        # The old leases run out meanwhile.
        for _ in range(TTL_S + 1):
            let_pass(1)
            self.assertEqual(self.cluster.machine_ids(), {m.id for m in self.machines})
            for name, (machine, pid) in pids.items():
                self.assertEqual(machine.main_pid(name), pid, f"{name} on {machine}")
            self.assertEqual({s["name"] for s in self.cluster.states() if s["systemdActiveState"] == "active"}, set(units))
        self.assertNotRegex("".join(m.journal() for m in self.machines), "not a member of the cluster any more")
        self.assert_same_daemons()

    def test_the_leader_gives_way_when_it_must_not_lead(self):
        old = wait_for(self.cluster.leader, what="someone leads")
        [other] = [m for m in self.machines if m is not old]
        self.reload(old, "disable_engine=true")
        wait_for(lambda: self.cluster.leader() is other, what="the other leads")
        self.cluster.start({"new.service": service()}).ok()
        self.assert_same_daemons()

    def test_other_servers_are_used_without_losing_the_one_in_use(self):
        machine = self.machines[1]  # the first may be the one that serves
        servers = re.search(r"(?m)^etcd_servers=(.*)$", self.texts[machine])[1]
        lost = machine.journal().count("Lost etcd")
        self.reload(machine, f"etcd_servers={servers},http://10.77.0.250:2379")
        let_pass(TTL_S)
        self.assertEqual(machine.journal().count("Lost etcd"), lost)
        # None of these answers; then those that do are named again.
        self.reload(machine, "etcd_servers=http://10.77.0.1:9")
        wait_for(lambda: machine.api("GET", "/fleet/v1/machines").status == 503, what="the API answers 503")
        self.reload(machine)
        self.cluster.wait_for_machines(self.machines)
        self.assert_same_daemons()

    def test_without_watches_everything_goes_on_slowly(self):
        machine = self.machines[0]
        for other in self.machines:
            self.reload(other, "disable_watches=true", "engine_reconcile_interval=0.5")
        self.cluster.start({"slow.service": service()}).ok()
        home = self.assert_active_once("slow.service")
        machine.fleetctl("destroy", "slow.service").ok()
        wait_for(lambda: not home.is_active("slow.service"), what="it has ended")
        self.assert_same_daemons()


class State(ClusterTest):
    n_machines = 1
    store_apart = True

    def dump(self):
        """The newest dump of the state in the journal, one that is asked for now."""
        [machine] = self.machines
        dumps = lambda: re.findall(r'(?m)^\{"Agent":.*\}$', machine.exec("journalctl", "--no-pager", "-o", "cat", "-u", "fleet.service").out)  # noqa: E731
        n = len(dumps())
        machine.exec("systemctl", "kill", "--signal=USR1", "--kill-whom=main", "fleet.service").ok()
        return json.loads(wait_for(lambda: len(dumps()) > n and dumps(), what="a dump in the journal")[-1])

    def test_sigusr1_dumps_what_is_true(self):
        [machine] = self.machines
        self.cluster.start({"up.service": service()}).ok()
        machine.put_unit("idle.service", service())
        machine.fleetctl("load", "idle.service").ok()
        state = wait_for(lambda: (d := self.dump()) and len(d["UnitStatePublisher"]["Cache"]) == 2 and d)
        self.assertEqual(state["Agent"]["Cache"]["TargetStates"], {"idle.service": "loaded", "up.service": "launched"})
        self.assertEqual(state["UnitStateGenerator"]["Subscribed"], ["idle.service", "up.service"])
        hashes = {s["name"]: s["hash"] for s in self.cluster.states()}
        self.assertEqual(state["UnitStatePublisher"]["Cache"]["up.service"], {
            "activeState": "active", "loadState": "loaded", "machineState": {"ID": machine.id}, "subState": "running", "unitHash": hashes["up.service"]})
        self.assertEqual(state["UnitStatePublisher"]["Cache"]["idle.service"]["activeState"], "inactive")
        self.assertEqual(state["UnitStatePublisher"]["ToPublish"], {})
        ours = state["Fleetd"]
        self.assertEqual((ours["Address"], ours["EngineLeading"], ours["StoreConnected"]), (machine.address, 1, 1))
        self.assertEqual(ours["Lease"], (machine.root / "run/fleet/lease").read_text().strip())
        self.assertEqual(ours["Store"], "http://10.77.0.1:2379")
