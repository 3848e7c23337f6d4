# SPDX-License-Identifier: Apache-2.0
"""What an admin sees of a daemon that is not there, is being restarted, or has lost its store."""

import threading
import time

from harness import ClusterTest, service, wait_for


class Endpoint(ClusterTest):
    n_machines = 1

    def setUp(self):
        super().setUp()
        self.machine = self.machines[0]

    def complaint(self, *arguments):
        begin = time.monotonic()
        rc, out, err = self.machine.fleetctl(*arguments)
        self.assertLess(time.monotonic() - begin, 3.5)  # 3 s, and what it takes to get into the machine
        self.assertEqual((rc, out), (1, ""), err)
        return err

    def test_nobody_listens_here(self):
        """Without an endpoint, the message says what does not run, how to start it and how to name another machine."""
        self.machine.exec("systemctl", "stop", "fleet.socket", "fleet.service").ok()
        try:
            err = self.complaint("list-units")
        finally:
            self.machine.exec("systemctl", "start", "fleet.socket", "fleet.service").ok()
        self.assertEqual(err, "Error retrieving list of units from repository: unable to talk to fleet at unix:///var/run/fleet.sock: there "
                              "is no such socket, so fleet.socket does not run on this machine; start it with 'systemctl start "
                              "fleet.socket', or name the API of another machine with --endpoint or FLEETCTL_ENDPOINT\n")
        self.cluster.wait_for_machines(self.machines)

    def test_a_daemon_that_hangs(self):
        pid = self.machine.daemon_pid()
        self.machine.exec("kill", "-STOP", str(pid)).ok()
        try:
            err = self.complaint("list-units")
        finally:
            self.machine.exec("kill", "-CONT", str(pid)).ok()
        self.assertIn("it accepted the request and did not answer within 2.7 s; fleetd there may be waiting for its store", err)

    def test_questions_bridge_a_restart(self):
        """Whoever asks while fleetd is being restarted gets an answer."""
        results = []
        done = threading.Event()

        def ask():
            while not done.is_set():
                results.append(self.machine.fleetctl("list-machines", "--no-legend", "--request-timeout=10"))

        asker = threading.Thread(target=ask)
        asker.start()
        try:
            for _ in range(2):
                seen = len(results)
                self.machine.exec("systemctl", "restart", "fleet.service").ok()
                wait_for(lambda seen=seen: len(results) >= seen + 2)
        finally:
            done.set()
            asker.join()
        self.assertEqual([str(r) for r in results if r.rc != 0], [])

    def test_a_wait_outlives_the_daemon(self):
        """What is waited for goes on while fleetd is restarted, and so does the wait."""
        self.machine.put_unit("slow.service", service(service_lines=["Type=oneshot", "RemainAfterExit=yes",
                                                                     "ExecStartPre=/bin/sh -c 'until test -e /run/go; do sleep 0.1; done'"],
                                                      command="/bin/true"))
        results = []
        starter = threading.Thread(target=lambda: results.append(self.machine.fleetctl("start", "slow.service")))
        starter.start()
        wait_for(lambda: self.machine.show("slow.service", "ActiveState") == "activating")
        self.machine.exec("systemctl", "restart", "fleet.service").ok()
        self.machine.exec("touch", "/run/go").ok()
        starter.join()
        self.machine.exec("rm", "/run/go").ok()
        rc, out, err = results[0]
        self.assertEqual((rc, out.splitlines()[-1].split(" on ")[0]), (0, "Unit slow.service launched"), err)
        self.assertRegex(err, "^The answer of fleet broke off: .*\nThe units go on; waiting at most 30 s for fleet to answer again\n")
