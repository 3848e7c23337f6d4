# SPDX-License-Identifier: Apache-2.0
"""What there is not enough of, and what others do to a machine: descriptors, room for files, a systemd that does not answer."""

import contextlib
import os
import signal
import socket
import time

from harness import TTL_S, ClusterTest, let_pass, service, wait_for

DROP_IN = "etc/systemd/system/fleet.service.d/50-test.conf"


def cpu_s(pid):
    """What a process has used of the processor, as this host counts it."""
    fields = open(f"/proc/{pid}/stat", encoding="ascii").read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class OneMachine(ClusterTest):
    n_machines = 1
    store_apart = True

    @property
    def machine(self):
        return self.machines[0]

    def host_pid(self, unit):
        """The unit's main process by its number on this host."""
        inside = str(self.machine.main_pid(unit))
        init = (self.cluster.lab.state / "machine" / self.machine.name / "pid").read_text().split()[0]
        namespace = os.readlink(f"/proc/{init}/ns/pid")
        for entry in os.scandir("/proc"):
            with contextlib.suppress(OSError):
                if entry.name.isdigit() and os.readlink(f"/proc/{entry.name}/ns/pid") == namespace:
                    status = open(f"/proc/{entry.name}/status", encoding="ascii").read()
                    if status.split("NSpid:")[1].splitlines()[0].split()[-1] == inside:
                        return int(entry.name)
        raise LookupError(f"no process of {unit}")

    def restart_with(self, *lines):
        """Start the daemon with these lines in its unit, until the test is over."""
        path = self.machine.root / DROP_IN
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(["[Service]", *lines]) + "\n")
        self.addCleanup(self.undo_drop_in)
        self.machine.exec("sh", "-c", "systemctl daemon-reload && systemctl restart fleet").ok()
        self.cluster.wait_for_machines(self.machines)

    def undo_drop_in(self):
        (self.machine.root / DROP_IN).unlink()
        self.machine.exec("sh", "-c", "systemctl daemon-reload && systemctl restart fleet").ok()

    def start_one(self, name="well.service"):
        self.cluster.start({name: service()}).ok()
        return self.machine.main_pid(name)


class Scarcity(OneMachine):
    def connect(self):
        client = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        client.connect(str(self.machine.root / "run/fleet.sock"))
        return client

    def test_greedy_clients_leave_the_daemon_what_it_needs(self):
        pid = self.start_one()
        self.restart_with("LimitNOFILE=64")
        daemon, record = self.machine.daemon_pid(), self.cluster.records()[f"machine/{self.machine.id}"]
        host_pid = self.host_pid("fleet.service")
        clients = [self.connect() for _ in range(100)]
        try:
            let_pass(0.7)  # all that fit are in, and have had their turn
            before = cpu_s(host_pid)
            let_pass(TTL_S)
            used = cpu_s(host_pid) - before
            self.assertLess(used, 0.2 * TTL_S, "it does not spin")
            self.assertLess(len(os.listdir(f"/proc/{host_pid}/fd")), 64)
            # A newcomer gets the place of one that says nothing, and the machine's work goes on.
            self.cluster.start({"new.service": service()}).ok()
            self.assert_active_once("new.service")
        finally:
            for client in clients:
                client.close()
        self.assertEqual(self.cluster.api("GET", "/fleet/v1/units").status, 200)
        self.assertEqual(self.machine.daemon_pid(), daemon, "the same daemon all along")
        self.assertEqual(self.cluster.records()[f"machine/{self.machine.id}"], record, "a member all along")
        self.assertEqual(self.machine.main_pid("well.service"), pid)
        self.assertIn("at a time", self.machine.journal())

    def test_etcd_comes_back_while_clients_are_greedy(self):
        pid = self.start_one()
        self.restart_with("LimitNOFILE=64")
        clients = [self.connect() for _ in range(100)]
        try:
            self.cluster.members[0].stop()
            wait_for(lambda: self.cluster.api("GET", "/fleet/v1/units").status == 503, 10)
            self.cluster.members[0].start()
            wait_for(lambda: self.cluster.api("GET", "/fleet/v1/units").status == 200, 20)
        finally:
            for client in clients:
                client.close()
        self.assertEqual(self.machine.main_pid("well.service"), pid)

    def make_folder_small(self):
        """The folder of unit files becomes a file system of its own, of a few pages, until the test is over."""
        self.machine.exec("sh", "-c", "systemctl stop fleet.service && mount -t tmpfs -o size=24k,mode=755 tmpfs /run/fleet/units && systemctl start fleet").ok()
        self.addCleanup(self.give_folder_back)
        self.cluster.wait_for_machines(self.machines)

    def give_folder_back(self):
        self.machine.exec("sh", "-c", "systemctl stop fleet.service; umount -l /run/fleet/units; systemctl start fleet").ok()

    def why(self, name):
        return next((state.get("why", "") for state in self.cluster.states() if state["name"] == name), "")

    def test_a_unit_without_room_says_so_and_starts_when_there_is_room(self):
        self.make_folder_small()
        pid = self.start_one()
        self.machine.exec("sh", "-c", "dd if=/dev/zero of=/run/fleet/units/.filler bs=4k 2>/dev/null; :").ok()
        rc, _, err = self.cluster.start({"late.service": service()})
        self.assertEqual(rc, 1)
        self.assertRegex(err, "late.service.*No space left on device")
        self.cluster.fleetctl("stop", "well.service").ok()
        self.cluster.fleetctl("start", "well.service").ok()
        self.assertNotEqual(self.machine.main_pid("well.service"), pid, "others go on")
        self.machine.exec("rm", "/run/fleet/units/.filler").ok()
        wait_for(lambda: self.machine.is_active("late.service"), 40, "it starts by itself")
        self.cluster.wait_active("late.service", "well.service")
        wait_for(lambda: not self.why("late.service"))

    def test_a_folder_that_is_read_only(self):
        self.make_folder_small()
        pid = self.start_one()
        self.machine.exec("mount", "-o", "remount,ro", "/run/fleet/units").ok()
        rc, _, err = self.cluster.start({"late.service": service()})
        self.assertEqual(rc, 1)
        self.assertRegex(err, "late.service.*Read-only file system")
        self.machine.exec("mount", "-o", "remount,rw", "/run/fleet/units").ok()
        wait_for(lambda: self.machine.is_active("late.service"), 40, "it starts by itself")
        self.assertEqual(self.machine.main_pid("well.service"), pid)


class SystemdAndUnits(OneMachine):
    def signal_init(self, number):
        os.kill(int((self.cluster.lab.state / "machine" / self.machine.name / "pid").read_text().split()[0]), number)

    def test_a_systemd_that_does_not_answer(self):
        pid, daemon = self.start_one(), self.machine.daemon_pid()
        record = self.cluster.records()[f"machine/{self.machine.id}"]
        self.machine.put_unit("late.service", service())
        self.signal_init(signal.SIGSTOP)
        try:
            self.machine.fleetctl("start", "--no-block", "late.service").ok()
            let_pass(10)
            self.assertEqual(self.cluster.records()[f"machine/{self.machine.id}"], record, "a member all along")
            self.assertEqual(self.cluster.api("GET", "/fleet/v1/units").status, 200)
        finally:
            self.signal_init(signal.SIGCONT)
        self.cluster.wait_active("late.service")
        self.assertEqual((self.machine.main_pid("well.service"), self.machine.daemon_pid()), (pid, daemon))

    def test_reexec_and_reloads_while_units_start(self):
        pid, daemon = self.start_one(), self.machine.daemon_pid()
        units = {f"u{i}.service": service() for i in range(20)}
        for name, text in units.items():
            self.machine.put_unit(name, text)
        storm = "for i in 1 2 3; do systemctl daemon-reexec; systemctl daemon-reload; done"
        self.machine.exec("systemd-run", "--quiet", "sh", "-c", storm).ok()
        self.machine.fleetctl("start", *units).ok()
        self.cluster.wait_active(*units)
        wait_for(lambda: self.machine.exec("systemctl", "is-system-running").rc in (0, 1))
        self.assertEqual((self.machine.main_pid("well.service"), self.machine.daemon_pid()), (pid, daemon))
        self.start_one("after.service")

    def test_dbus_and_journald_start_again(self):
        pid, daemon = self.start_one(), self.machine.daemon_pid()
        self.machine.exec("systemctl", "restart", "dbus.service", "systemd-journald.service").ok()
        self.start_one("after.service")
        self.assertEqual((self.machine.main_pid("well.service"), self.machine.daemon_pid()), (pid, daemon))
        self.machine.exec("systemctl", "kill", "--signal=HUP", "fleet.service").ok()
        wait_for(lambda: "onfiguration" in self.machine.exec("journalctl", "-u", "fleet", "--since", "-3s").out, what="it goes on to log")

    def test_over_the_message_bus_which_starts_again(self):
        pid = self.start_one()
        self.restart_with("InaccessiblePaths=/run/systemd/private")
        daemon = self.machine.daemon_pid()
        self.start_one("before.service")
        self.machine.exec("systemctl", "restart", "dbus.service").ok()
        self.start_one("after.service")
        self.assertEqual((self.machine.main_pid("well.service"), self.machine.daemon_pid()), (pid, daemon))

    def test_a_unit_that_flaps_costs_little(self):
        flapping = service("/bin/true", service_lines=["Restart=always", "RestartSec=10ms", "StartLimitIntervalSec=0"])
        self.start_one()
        self.cluster.start({"flap.service": "[Unit]\nStartLimitIntervalSec=0\n" + flapping.replace("StartLimitIntervalSec=0\n", "")})
        host_pid = self.host_pid("fleet.service")
        before, started = cpu_s(host_pid), time.monotonic()
        self.start_one("other.service")
        let_pass(2)
        self.assertLess((cpu_s(host_pid) - before) / (time.monotonic() - started), 0.3)
        lines = [line for line in self.machine.journal().splitlines() if "flap.service" in line]
        self.assertLess(len(lines), 10, "\n".join(lines))

    def test_bad_units_harm_no_other(self):
        """100 units, of which one is broken in each way there is."""
        slow = ["ExecStartPre=/bin/sleep infinity"]
        broken = {
            "empty.service": ("[Unit]\nDescription=nothing to run\n", "bad-setting"),
            "missing.service": (service("/nonexistent/program", service_lines=["Type=exec"]), "exit-code|203|EXEC"),
            "timeout.service": (service(service_lines=[*slow, "TimeoutStartSec=1"]), "timeout|timed out"),
            "masked.service": (service(), "mask"),
            "clash.service": (service(), "takes precedence"),
            "cron.service": (service(), "unit of its own"),
        }
        hanging = {"hang.service": service(service_lines=[*slow, "TimeoutStartSec=infinity"])}
        well = {f"w{i:02}.service": service() for i in range(100 - len(broken) - len(hanging))}
        self.machine.exec("systemctl", "mask", "--runtime", "masked.service").ok()
        (self.machine.root / "etc/systemd/system/clash.service").write_text(service())
        vendor = self.machine.root / "usr/local/lib/systemd/system"
        vendor.mkdir(parents=True, exist_ok=True)
        (vendor / "cron.service").write_text(service("/bin/sleep 1000"))
        self.machine.exec("sh", "-c", "systemctl daemon-reload && systemctl start cron.service clash.service").ok()
        own = self.machine.main_pid("cron.service"), self.machine.main_pid("clash.service")

        for name, text in {**well, **hanging, **{name: text for name, (text, _) in broken.items()}}.items():
            self.machine.put_unit(name, text)
        self.machine.fleetctl("start", "--no-block", *broken, *hanging, *well).ok()
        self.cluster.wait_active(*well)

        def all_say_why():
            found = {state["name"]: state.get("why") or "" for state in self.cluster.states()}
            for name, (_, pattern) in broken.items():
                self.assertRegex(found.get(name, ""), f"(?i){pattern}", name)
            return True

        wait_for(all_say_why, 10)
        self.assertEqual(self.machine.show("hang.service", "ActiveState"), "activating")
        self.assertEqual((self.machine.main_pid("cron.service"), self.machine.main_pid("clash.service")), own, "the machine's own units")
        self.assertRegex(self.machine.fleetctl("start", "template@.service").err, "(?i)template|instance|unable")

    def test_a_unit_file_of_a_megabyte(self):
        lines = [f"Environment=V{i}={'x' * 1000}" for i in range(1000)]
        self.cluster.start({"large.service": service(service_lines=lines), "small.service": service()}).ok()
        self.cluster.wait_active("large.service", "small.service")
