# SPDX-License-Identifier: Apache-2.0
"""The file of the built-in store: what a disk and other programs can do to it while fleetd runs, and its care by hand. In all of it
units run on, and fleetd is restarted only where a test says so."""

import unittest

from harness import TTL_S, Cluster, ClusterTest, keep_journals_if_failed, let_pass, service, wait_for

STATE = "/var/lib/fleet"
STORE = f"{STATE}/store.db"
BACKUP = "/root/store.backup"
UNITS = {f"unit{number}.service": service() for number in range(3)}

# Holds the file against writing until it is ended.
LOCK = f"""
import sqlite3, time
db = sqlite3.connect('{STORE}', isolation_level=None)
db.execute('BEGIN IMMEDIATE')
print('locked', flush=True)
time.sleep(600)
"""
SET_VERSION = "import sqlite3, sys; db = sqlite3.connect('{}'); db.execute('PRAGMA user_version = ' + sys.argv[1]); db.commit()"


class StoreFile(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(ClusterTest.install_root, 1, n_etcd=0, configured=False)
        cls.machine = cls.cluster.machines[0]
        cls.machine.exec("mkdir", "-p", STATE).ok()
        cls.machine.exec("mount", "-t", "tmpfs", "-o", "size=8m,mode=0700", "fleet-test", STATE).ok()
        cls.machine.exec("systemctl", "start", "fleet.socket", "fleet.service", timeout_s=30).ok()
        wait_for(cls.is_up, 10, "the API answers")
        cls.cluster.start(UNITS).ok()
        cls.cluster.wait_active(*UNITS)

    @classmethod
    def tearDownClass(cls):
        cls.cluster.down()

    @classmethod
    def is_up(cls):
        return cls.machine.api("GET", "/fleet/v1/machines").status == 200

    def setUp(self):
        self.addCleanup(keep_journals_if_failed, self, self.cluster)
        wait_for(self.is_up, 10, "the API answers")
        self.pids = {unit: self.machine.main_pid(unit) for unit in UNITS}
        self.daemon = self.machine.daemon_pid()
        self.n_lines = len(self.machine.journal().splitlines())

    def tearDown(self):
        self.assertEqual({unit: self.machine.main_pid(unit) for unit in UNITS}, self.pids, "units run on")
        new = self.cluster.new_sanitizer_reports()
        self.assertFalse(new, "a sanitizer complained:\n" + "\n".join(new))

    def sh(self, text, *arguments):
        return self.machine.exec("sh", "-c", text, "sh", *arguments)

    def news(self):
        return "\n".join(self.machine.journal().splitlines()[self.n_lines :])

    def said(self, text):
        return wait_for(lambda: text in self.news(), 10, f"the log says: {text}")

    def put(self, name="new.service"):
        """Asks for a unit that only lies there; the status of the answer."""
        options = [{"section": "Service", "name": "ExecStart", "value": "/bin/true"}]
        return self.machine.api("PUT", f"/fleet/v1/units/{name}", {"desiredState": "inactive", "options": options})

    def remove(self, name="new.service"):
        return self.machine.api("DELETE", f"/fleet/v1/units/{name}").status

    def goes_on(self):
        """Everything works again, by itself."""
        wait_for(lambda: self.put().status in (201, 204), 10, "units can be made again")
        self.assertEqual(self.remove(), 204)
        self.cluster.wait_active(*UNITS)
        self.assertEqual(self.machine.daemon_pid(), self.daemon, "fleetd was not restarted")

    def test_a_full_disk(self):
        self.sh(f"cat /dev/zero >{STATE}/filler")
        self.addCleanup(self.sh, f"rm -f {STATE}/filler")

        def refused():
            reply = self.put()
            if reply.status == 201:
                self.remove()
            return reply if reply.status >= 500 else None

        reply = wait_for(refused, 20, "a change is refused")
        self.assertRegex(str(reply), "full")
        self.said(f"the disk of {STORE} is full")
        self.assertEqual(set(self.cluster.units()) & set(UNITS), set(UNITS))
        told = self.cluster.fleetctl("doctor")
        self.assertEqual(told.rc, 1, str(told))
        self.assertRegex(told.out, "full")
        let_pass(TTL_S + 1)
        self.assertEqual(len(self.cluster.machine_ids()), 1)

        # It still is when fleetd begins anew, and what it has can be read all the same.
        self.machine.exec("systemctl", "kill", "-s", "KILL", "fleet.service").ok()
        wait_for(lambda: self.machine.daemon_pid() not in (self.daemon, 0), 10, "another fleetd runs")
        self.daemon = self.machine.daemon_pid()
        wait_for(lambda: self.machine.api("GET", "/fleet/v1/units").status == 200, 10, "the units can be listed")
        self.assertEqual(set(self.cluster.units()) & set(UNITS), set(UNITS))
        self.sh(f"rm -f {STATE}/filler").ok()
        self.goes_on()

    def test_a_read_only_disk(self):
        # A file system that is written to cannot be made so, and a daemon that has ended is back soon. The file system is meant, as after an
        # error of its disk, and not the mount: the service has one of its own.
        self.addCleanup(self.sh, f"mount -o remount,rw {STATE}")
        self.sh(f"systemctl kill -s KILL fleet.service; for i in $(seq 200); do mount -o remount,ro {STATE} && mount -o remount,bind,rw {STATE} && exit; "
                "sleep 0.02; done 2>/dev/null; exit 1").ok()
        self.said(f"cannot write {STORE}.lock: Read-only file system")
        self.assertEqual(self.put().status, 503)
        self.daemon = self.machine.daemon_pid()
        self.sh(f"mount -o remount,rw {STATE}").ok()
        self.goes_on()

    def test_a_locked_file(self):
        self.machine.exec("systemd-run", "--unit=locker", "python3", "-c", LOCK).ok()
        self.addCleanup(self.machine.exec, "systemctl", "stop", "locker.service")
        wait_for(lambda: "locked" in self.machine.journal("locker.service"), 10, "another program has locked the file")
        self.assertEqual(self.put().status, 503)
        self.said(f"another process has locked {STORE}")
        let_pass(TTL_S + 1)
        self.assertEqual(len(self.cluster.machine_ids()), 1)
        self.assertEqual(set(self.cluster.units()) & set(UNITS), set(UNITS))
        self.assertNotIn("is a member of the cluster as", self.news())
        self.machine.exec("systemctl", "stop", "locker.service").ok()
        self.goes_on()

    def test_a_file_of_a_newer_version(self):
        self.machine.exec("python3", "-c", SET_VERSION.format(STORE), "9").ok()
        self.machine.exec("systemctl", "kill", "-s", "KILL", "fleet.service").ok()
        self.said(f"{STORE} has version 9, and this fleetd knows version 2: install the newer fleet again; the file was left as it is")
        self.assertEqual(self.machine.api("GET", "/fleet/v1/units").status, 503)
        self.daemon = self.machine.daemon_pid()
        self.machine.exec("python3", "-c", SET_VERSION.format(STORE), "2").ok()
        self.goes_on()

    def test_check_backup_and_restore(self):
        self.assertRegex(self.machine.exec("fleetd", "store", "check").ok(), rf"^{STORE} is sound: revision \d+, \d+ keys, ")
        self.sh(f"rm -f {BACKUP}")
        self.assertRegex(self.machine.exec("fleetd", "store", "backup", BACKUP).ok(), rf"^Copied {STORE}, as of revision \d+, to {BACKUP}: \d+ keys, .*, sound\n$")
        again = self.machine.exec("fleetd", "store", "backup", BACKUP)
        self.assertEqual((again.rc, again.err), (1, f"fleetd store backup: {BACKUP} is there already; --force replaces it\n"))
        self.machine.exec("fleetd", "store", "backup", "--force", BACKUP).ok()

        self.cluster.start({"late.service": service()}).ok()
        self.cluster.wait_active("late.service")
        refused = self.machine.exec("fleetd", "store", "restore", BACKUP)
        self.assertEqual(refused.rc, 1)
        self.assertIn(f"{STORE} is in use by another process, of number {self.daemon}\nWith --wait it waits", refused.err)
        said = self.sh(f"fleetd store restore --wait {BACKUP} & systemctl restart fleet.service; wait $!").ok()
        self.assertRegex(said, rf"^{STORE} is as in {BACKUP}, of revision \d+; revisions go on from \d+\nWhat was there is kept as {STORE}.replaced\n")
        self.daemon = self.machine.daemon_pid()
        wait_for(self.is_up, 10, "the API answers")
        wait_for(lambda: "late.service" not in self.machine.unit_files(), 10, "what the backup does not have is gone")
        self.goes_on()
        self.assertEqual(self.machine.exec("fleetd", "store", "check", f"--store={STORE}.replaced").rc, 0)
        self.assertEqual(self.machine.exec("fleetd", "store", "check").rc, 0)

    def test_a_corrupt_file_and_a_restore(self):
        self.machine.exec("fleetd", "store", "backup", "--force", BACKUP).ok()
        self.machine.exec("kill", "-STOP", self.daemon).ok()
        self.sh(f"echo nonsense >{STORE}; rm -f {STORE}-wal; kill -KILL {self.daemon}").ok()
        self.said(f"{STORE} is corrupt and was moved aside as {STORE}.corrupt")
        self.daemon = self.machine.daemon_pid()
        self.assertRegex(self.machine.exec("fleetd", "store", "restore", "--wait", BACKUP).ok(), "How far the store had come is not to be read any more")
        self.goes_on()
        self.sh(f"rm {STORE}.corrupt").ok()
