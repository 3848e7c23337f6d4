# SPDX-License-Identifier: Apache-2.0
"""A machine leaves the cluster: `systemctl stop fleet` has its units run elsewhere before they end here."""

import json
import time

from harness import TTL_S, ClusterTest, service, wait_for

# Units say themselves when they started and stopped, by the clock that all machines of a lab share.
STAMP = "/bin/sh -c 'date +%%s.%%N >> /run/{name}.{what}'"


def stamped(name, start_s=0, stop_s=0, fleet_lines=()):
    """A service that is active once it has written when it started, and writes when it begins to stop."""
    lines = ["Type=notify", "NotifyAccess=all", f"ExecStop={STAMP.format(name=name, what='stop')}"]
    if stop_s:
        lines.append(f"ExecStop=/bin/sleep {stop_s}")
    start = f"sleep {start_s}; date +%%s.%%N >> /run/{name}.start; systemd-notify --ready; exec sleep infinity"
    return service(f"/bin/sh -c '{start}'", service_lines=lines, fleet_lines=fleet_lines)


class Leaving(ClusterTest):
    store_apart = True

    def stamps(self, machine, name, what):
        path = machine.root / f"run/{name}.{what}"
        return [float(line) for line in path.read_text().split()] if path.exists() else []

    def leave(self, machine, timeout_s=30):
        """Stop fleet there as an admin does. Returns how long that took."""
        began = time.monotonic()
        machine.exec("systemctl", "stop", "fleet.socket", "fleet.service", timeout_s=timeout_s).ok()
        return time.monotonic() - began

    def others(self, machine):
        return [m for m in self.machines if m is not machine]

    def assert_empty(self, machine):
        self.assertEqual(machine.unit_files(), [])
        left = [key for key in self.cluster.records() if machine.id in key and not key.startswith(("schedule/", "metadata/"))]
        self.assertEqual(left, [], "what it has left in the store")
        self.assertEqual(machine.show("fleet.service", "Result"), "success")

    def test_units_run_elsewhere_before_they_end_here(self):
        names = [f"u{i}.service" for i in range(6)]
        self.cluster.start({name: stamped(name[:2], start_s=i % 3, stop_s=i % 2) for i, name in enumerate(names)}).ok()
        self.cluster.wait_active(*names)
        leaver = wait_for(self.cluster.leader)
        here = [name for name in names if leaver.is_active(name)]
        self.assertTrue(here)
        self.leave(leaver)
        self.assert_empty(leaver)
        for name in here:
            stopped = self.stamps(leaver, name[:2], "stop")
            started = [stamp for m in self.others(leaver) for stamp in self.stamps(m, name[:2], "start")]
            self.assertEqual((len(stopped), len(started)), (1, 1), name)
            self.assertLess(started[0], stopped[0], f"{name} started elsewhere before it was stopped here")
        wait_for(lambda: self.cluster.machine_ids(self.others(leaver)[0]) == {m.id for m in self.others(leaver)}, what="the others know")
        self.assertIn("This machine has left the cluster", leaver.journal())

        # Back again it is as any other.
        leaver.exec("systemctl", "start", "fleet.socket", "fleet.service").ok()
        self.cluster.wait_for_machines(self.machines)
        self.cluster.start({f"v{i}.service": service() for i in range(6)}).ok()
        self.assertTrue(any(leaver.is_active(f"v{i}.service") for i in range(6)))

    def test_what_fits_nowhere_else_is_stopped_in_the_end(self):
        leaver, other = self.machines[0], self.machines[1]
        # `fails` can start on the machine that leaves only, `moves` takes its time to start and to stop.
        (leaver.root / "run/only-here").touch()
        fails = service(service_lines=["Type=exec", "ExecStartPre=/usr/bin/test -e /run/only-here"], fleet_lines=["MachineMetadata=role=any"])
        for machine in self.machines:
            self.cluster.api("PATCH", "/fleet/v1/machines", [{"op": "add", "path": f"/{machine.id}/metadata/role", "value": "any" if machine is leaver else "none"}])
        self.cluster.start({"fails.service": fails, "pinned.service": stamped("pinned", stop_s=1, fleet_lines=[f"MachineID={leaver.id}"])}).ok()
        self.cluster.start({"everywhere.service": service(fleet_lines=["Global=true"])}).ok()
        self.cluster.api("PATCH", "/fleet/v1/machines", [{"op": "add", "path": f"/{machine.id}/metadata/role", "value": "any"} for machine in self.machines])
        self.assert_active_once("fails.service", leaver)
        self.assertLess(self.leave(leaver), 10)
        self.assert_empty(leaver)
        self.assertEqual(len(self.stamps(leaver, "pinned", "stop")), 1)
        states = {unit["name"]: unit for unit in self.cluster.units(other).values()}
        self.assertEqual(states["pinned.service"]["currentState"], "inactive", states["pinned.service"])
        told = other.fleetctl("list-unit-files", "--fields=unit,why", "--no-legend").ok()
        self.assertRegex(told, rf"pinned\.service.*its machine {leaver.id[:8]} is not there, and no other fits")
        self.assertFalse(other.is_active("pinned.service"))
        self.assertIn("stopped here", leaver.journal())

        leaver.exec("systemctl", "start", "fleet.socket", "fleet.service").ok()
        wait_for(lambda: leaver.is_active("pinned.service") and leaver.is_active("everywhere.service"), what="what belongs there is back")

    def test_it_is_plain_who_leaves_and_two_leave_at_once(self):
        names = [f"w{i}.service" for i in range(6)]
        self.cluster.start({name: stamped(name[:2], start_s=2) for name in names}).ok()
        self.cluster.wait_active(*names)
        stays = self.machines[1]
        leavers = self.others(stays)
        for machine in leavers:
            machine.exec("systemctl", "stop", "--no-block", "fleet.service").ok()
        rows = wait_for(lambda: [row for row in stays.fleetctl("list-machines", "--full", "--fields=machine,state", "--no-legend").ok().splitlines() if "leaving" in row])
        self.assertEqual(sorted(row.split()[0] for row in rows), sorted(m.id for m in leavers))
        entries = json.loads(stays.fleetctl("list-machines", "-o", "json").ok())
        self.assertEqual({entry["id"] for entry in entries if entry.get("leaving")}, {m.id for m in leavers})
        self.assertRegex(leavers[0].show("fleet.service", "StatusText"), r"Leaving the cluster: \d+ units are still here")
        wait_for(lambda: all(m.show("fleet.service", "ActiveState") == "inactive" for m in leavers), 25, "both have left")
        for name in names:
            self.assert_active_once(name, stays)
            started = self.stamps(stays, name[:2], "start")[-1]
            for machine in leavers:
                self.assertTrue(all(started < stamp for stamp in self.stamps(machine, name[:2], "stop")), name)

    def test_a_second_signal_waits_for_no_successor(self):
        leaver = self.machines[2]
        (leaver.root / "run/quick").touch()
        rows = [{"op": "add", "path": f"/{m.id}/metadata/home", "value": "yes" if m is leaver else "no"} for m in self.machines]
        self.cluster.api("PATCH", "/fleet/v1/machines", rows)
        lines = ["Type=exec", "ExecStartPre=/bin/sh -c 'test -e /run/quick || sleep 30'"]
        self.cluster.start({"slow.service": service(service_lines=lines, fleet_lines=["MachineMetadata=home=yes"])}).ok()
        self.cluster.api("PATCH", "/fleet/v1/machines", [{**row, "value": "yes"} for row in rows])
        leaver.exec("systemctl", "stop", "--no-block", "fleet.service").ok()
        wait_for(lambda: any(state["machineID"] != leaver.id for state in self.cluster.states(self.machines[0])), what="the successor is on its way")
        self.assertTrue(leaver.is_active("slow.service"))
        leaver.exec("systemctl", "kill", "--kill-whom=main", "fleet.service").ok()
        wait_for(lambda: leaver.show("fleet.service", "ActiveState") == "inactive", 5, "it has left")
        self.assert_empty(leaver)

    def test_without_etcd_a_stop_touches_no_unit(self):
        leaver = self.machines[0]
        self.cluster.start({f"x{i}.service": service() for i in range(3)}).ok()
        pids = {name: leaver.main_pid(name) for name in leaver.unit_files()}
        self.cluster.members[0].pause()
        try:
            self.assertLess(self.leave(leaver), 12)
        finally:
            self.cluster.members[0].resume()
        self.assertEqual({name: leaver.main_pid(name) for name in pids}, pids)
        self.assertIn("Cannot leave the cluster without etcd; units keep running", leaver.journal())

    def test_a_shutdown_hands_over_without_waiting_for_the_lease(self):
        names = [f"y{i}.service" for i in range(3)]
        self.cluster.start({name: stamped(name[:2]) for name in names}).ok()
        self.cluster.wait_active(*names)
        goes = next(m for m in self.machines if any(m.is_active(name) for name in names))
        here = [name for name in names if goes.is_active(name)]
        others, goes_id = self.others(goes), goes.id
        goes.exec("systemctl", "poweroff")
        began = time.monotonic()
        wait_for(lambda: set(here) <= {s["name"] for s in self.cluster.states(others[0]) if s["systemdActiveState"] == "active" and s["machineID"] != goes_id}, 10)
        self.assertLess(time.monotonic() - began, TTL_S - 0.5, "the lease has not been waited for")
        wait_for(lambda: not goes.is_on(), 20, "the machine is off")
        self.assertNotIn(goes_id, self.cluster.machine_ids(others[0]))
        for name in here:
            self.assertEqual(len([s for s in self.cluster.states(others[0]) if s["name"] == name]), 1, "reported once, and not as failed")
