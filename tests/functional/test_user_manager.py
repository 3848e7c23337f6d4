# SPDX-License-Identifier: Apache-2.0
"""fleetd in the service manager of a user."""

from harness import ClusterTest, service, wait_for


class UserManager(ClusterTest):
    n_machines = 2

    def test_systemd_user(self):
        """fleetd as an ordinary user, over the user's own service manager: units run there as that user, and not in the system's."""
        other, machine = self.machines  # the first may be the one that serves the store
        home = "/run/user-test"
        machine.exec("systemctl", "stop", "fleet.socket", "fleet.service").ok()
        self.addCleanup(machine.exec, "systemctl", "stop", "user-fleetd", "user-manager")
        machine.exec("sh", "-c", f"install -d -o nobody -m 700 {home}").ok()
        run = ["systemd-run", "--quiet", "-p", "User=nobody", "-E", f"XDG_RUNTIME_DIR={home}", "-E", f"HOME={home}"]
        machine.exec(*run, "--unit=user-manager", "-p", "Type=notify", "-p", "Delegate=yes", "/lib/systemd/systemd", "--user").ok()
        settings = [line for line in (machine.root / "etc/fleet/fleet.conf").read_text(encoding="utf-8").splitlines() if line.startswith(("etcd_", "agent_"))]
        settings += ["systemd_user=true", f"units_directory={home}/fleet/units/"]
        (machine.root / "run/user.conf").write_text("\n".join(settings), encoding="utf-8")
        machine.exec(*run, "--unit=user-fleetd", "-E", f"RUNTIME_DIRECTORY={home}/fleet", "/usr/sbin/fleetd", "--config", "/run/user.conf").ok()
        wait_for(lambda: self.cluster.machine_ids(other) == {machine.id, other.id}, what="the user's fleetd is in the cluster")

        other.put_unit("mine.service", service(fleet_lines=[f"MachineID={machine.id}"]))
        other.fleetctl("start", "mine.service").ok()
        pid = machine.exec("cat", "/sys/fs/cgroup/system.slice/user-manager.service/app.slice/mine.service/cgroup.procs").ok().strip()
        self.assertIn("nobody", machine.exec("ps", "-o", "user=", "-p", pid).out)
        self.assertEqual(machine.show("mine.service", "LoadState"), "not-found")
        self.assertEqual(sorted(path.name for path in (machine.root / f"{home.lstrip('/')}/fleet/units").iterdir()), ["mine.service"])
        other.fleetctl("destroy", "mine.service").ok()
        wait_for(lambda: not list((machine.root / f"{home.lstrip('/')}/fleet/units").iterdir()), what="its file is gone")
