# SPDX-License-Identifier: Apache-2.0
"""A built-in store that is served by TLS, to machines that prove themselves: three work on it, and who may not is told why, on both sides."""

import shutil
import subprocess
import tempfile
import unittest
from pathlib import Path

from harness import LAB, TTL_S, Cluster, ClusterTest, keep_journals_if_failed, service, wait_for

CERTIFICATES = LAB.parent / "certificates"
PAST = ("20200101000000Z", "20200201000000Z")
PORT = 2379
UNITS = {f"unit{number}.service": service() for number in range(6)}
PEM = ("pem", "key")


class ServedTls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.cluster = Cluster(ClusterTest.install_root, 3, n_etcd=0, configured=False)
        cls.pki = Path(tempfile.mkdtemp(prefix="served-tls-"))
        cls.server, *cls.others = cls.cluster.machines
        cls.url = f"https://{cls.server.address}:{PORT}"
        for words in (
            ("authority", "ca"),
            ("authority", "other"),
            ("server", "store", "ca", f"IP:{cls.server.address}"),
            ("client", "fleet", "ca", "fleet"),
            ("client", "late", "ca", "fleet", *PAST),
            ("client", "strange", "other", "fleet"),
        ):
            subprocess.run([CERTIFICATES, cls.pki, *words], check=True, capture_output=True)
        cls.give(cls.server, "store")
        cls.configure(cls.server, f"store_listen={cls.server.address}:{PORT}",
                      "store_certfile=/etc/fleet/tls.pem", "store_keyfile=/etc/fleet/tls.key", "store_cafile=/etc/fleet/ca.pem")
        for machine in cls.others:
            cls.give(machine, "fleet")
            cls.configure(machine, f"etcd_servers={cls.url}", "etcd_cafile=/etc/fleet/ca.pem", "etcd_certfile=/etc/fleet/tls.pem", "etcd_keyfile=/etc/fleet/tls.key")
        cls.cluster.wait_for_machines(cls.cluster.machines)

    @classmethod
    def tearDownClass(cls):
        shutil.rmtree(cls.pki)
        cls.cluster.down()

    def setUp(self):
        self.addCleanup(keep_journals_if_failed, self, self.cluster)
        # It says five such things a minute, and each test is to have its own.
        self.server.exec("systemctl", "restart", "fleet.service", timeout_s=30).ok()
        self.cluster.wait_for_machines(self.cluster.machines)

    def tearDown(self):
        new = self.cluster.new_sanitizer_reports()
        self.assertFalse(new, "a sanitizer complained:\n" + "\n".join(new))

    @staticmethod
    def configure(machine, *lines):
        text = "\n".join((f"agent_ttl={TTL_S}s", "verbosity=1", *lines, ""))
        machine.exec("sh", "-c", "cat >/etc/fleet/fleet.conf && systemctl start fleet.socket && systemctl restart fleet.service", stdin=text, timeout_s=30).ok()

    @classmethod
    def give(cls, machine, name):
        """The machine shows this certificate from its next connection on."""
        folder = machine.root / "etc/fleet"
        folder.mkdir(parents=True, exist_ok=True)
        for source, target in ((f"{name}.{suffix}", f"tls.{suffix}") for suffix in PEM):
            (folder / target).write_bytes((cls.pki / source).read_bytes())
        (folder / "ca.pem").write_bytes((cls.pki / "ca.pem").read_bytes())

    def etcdctl(self, *words, name=None):
        proof = [f"--cert={self.pki}/{name}.pem", f"--key={self.pki}/{name}.key"] if name else []
        return self.cluster.lab.call("host", "env", "ETCDCTL_API=3", "etcdctl", "--endpoints", self.url, f"--cacert={self.pki}/ca.pem", *proof,
                                     "--command-timeout=3s", "--dial-timeout=3s", *words)

    def test_three_machines_work(self):
        self.cluster.start(UNITS).ok()
        self.cluster.wait_active(*UNITS)
        self.assertEqual({machine.name for machine in self.cluster.machines if any(machine.main_pid(unit) for unit in UNITS)}, {"m1", "m2", "m3"})
        self.assertIn(f"Serving the built-in store at {self.server.address}:{PORT}, by TLS, to clients with a certificate", self.server.journal())
        self.assertNotIn("whoever reaches this address", self.server.journal())
        self.assertIn("fleet-tls.so", self.server.daemon_file("maps"))
        self.cluster.fleetctl("destroy", *UNITS).ok()

    def test_etcdctl_needs_a_certificate_too(self):
        self.etcdctl("endpoint", "health", name="fleet").ok()
        self.assertNotEqual(self.etcdctl("endpoint", "health").rc, 0)

    def assert_refused_on_both_sides(self, name, server_says, client_says):
        machine = self.others[1]
        self.addCleanup(self.cluster.wait_for_machines, self.cluster.machines)
        self.addCleanup(machine.exec, "systemctl", "restart", "fleet.service", timeout_s=30)
        self.addCleanup(self.give, machine, "fleet")
        self.give(machine, name)
        machine.exec("systemctl", "restart", "--no-block", "fleet.service").ok()
        wait_for(lambda: client_says in machine.show("fleet.service", "StatusText"), 20, f"the client says: {client_says}")
        wait_for(lambda: server_says in self.server.journal(), 20, f"the server says: {server_says}")
        said = [line for line in self.server.journal().splitlines() if server_says in line]
        self.assertRegex(said[0], rf"Serving the store to {machine.address}:\d+: ")
        self.assertLessEqual(len(said), 5)

    def test_an_expired_client(self):
        self.assert_refused_on_both_sides(
            "late", "its certificate has expired, on Feb  1 00:00:00 2020 GMT", "it refuses the client certificate /etc/fleet/tls.pem, which has expired, on Feb  1 00:00:00 2020 GMT")

    def test_a_foreign_client(self):
        self.assert_refused_on_both_sides(
            "strange", 'its certificate comes from "other", which is no authority of the CA file /etc/fleet/ca.pem',
            "it refuses the client certificate /etc/fleet/tls.pem: it does not trust the CA that it is from")

    def test_a_client_without_tls(self):
        machine = self.others[1]
        self.addCleanup(self.cluster.wait_for_machines, self.cluster.machines)
        lines = (machine.root / "etc/fleet/fleet.conf").read_text()
        self.addCleanup(machine.exec, "sh", "-c", "cat >/etc/fleet/fleet.conf && systemctl restart fleet.service", stdin=lines, timeout_s=30)
        self.configure(machine, f"etcd_servers={self.url.replace('https', 'http')}")
        wait_for(lambda: "is it https:// in place of http://?" in machine.show("fleet.service", "StatusText"), 20, "the client says what may be wrong")
        wait_for(lambda: "it does not speak TLS; is it http:// in place of https://?" in self.server.journal(), 20, "the server says what may be wrong")
