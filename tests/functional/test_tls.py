# SPDX-License-Identifier: Apache-2.0
"""etcd behind TLS with client certificates, and users: a cluster works there, and whatever keeps it from etcd is said once, in words."""

import subprocess

from harness import LAB, PREFIX, TTL_S, ClusterTest, let_pass, needs_etcd, service, wait_for

CERTIFICATES = LAB.parent / "certificates"
PAST = ("20200101000000Z", "20200201000000Z")
FUTURE = ("20450101000000Z", "20460101000000Z")
TOKEN_S = 2  # tests/lab/lab
ETCD = "https://10.77.0.1:2379"
TLS_LIBRARIES = ("libssl", "libcrypto", "fleet-tls.so")


@needs_etcd("its certificates and users")
class Tls(ClusterTest):
    n_machines = 2
    etcd_guard = ("tls", "users")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.pki = cls.cluster.lab.state / "pki"
        cls.servers = []

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.terminate()
            server.wait()
        super().tearDownClass()

    def certify(self, *words):
        subprocess.run([CERTIFICATES, self.pki, *words], check=True, capture_output=True)

    def give(self, machine, *names):
        """Copies files of the lab's certificates to where the machine's fleetd looks for its own."""
        for name in names:
            (machine.root / "etc/fleet" / name).write_bytes((self.pki / name).read_bytes())

    def serve(self, *command):
        """A program on the lab's network, for as long as this class runs."""
        self.servers.append(
            subprocess.Popen([LAB, "host", *map(str, command)], env={"LAB_NAME": self.cluster.lab.name, "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"},
                             stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))  # fmt: skip

    def mapped(self, machine):
        """Which of the libraries that only TLS needs are in the daemon's memory."""
        maps = (machine.root / "proc" / str(machine.daemon_pid()) / "maps").read_text()
        return {name for name in TLS_LIBRARIES if name in maps}

    def test_a_cluster_works_and_outlives_its_tokens(self):
        self.cluster.start({"before.service": service()}).ok()
        ids = {machine.id for machine in self.machines}
        lost = sum(machine.journal().count("Lost etcd") for machine in self.machines)
        let_pass(2 * TOKEN_S + TTL_S)
        self.assertEqual(self.cluster.machine_ids(), ids)
        self.cluster.start({"after.service": service()}).ok()
        for name in ("before.service", "after.service"):
            self.assert_active_once(name)
        self.cluster.fleetctl("destroy", "before.service", "after.service").ok()
        self.assertEqual(sum(machine.journal().count("Lost etcd") for machine in self.machines), lost)

    def test_only_a_daemon_with_tls_carries_its_libraries(self):
        machine = self.machines[1]
        self.assertEqual(self.mapped(machine), set(TLS_LIBRARIES))
        plain = (machine.root / "etc/fleet/fleet.conf").read_text().replace("https:", "http:")
        plain = "".join(line + "\n" for line in plain.splitlines() if not line.startswith(("etcd_ca", "etcd_cert", "etcd_key")))
        machine.exec("sh", "-c", "cat >/etc/fleet/fleet.conf && systemctl restart fleet.service", stdin=plain).ok()
        wait_for(lambda: "is it https:// in place of http://?" in machine.show("fleet.service", "StatusText"), what="the daemon has tried to connect")
        self.assertEqual(self.mapped(machine), set())
        self.cluster.configure(machine)
        self.cluster.wait_for_machines(self.machines)

    def test_a_rotated_certificate_counts_from_the_next_connection(self):
        machine = self.machines[1]
        pid = machine.daemon_pid()
        self.addCleanup(self.give, machine, "fleet.pem", "fleet.key")
        self.certify("client", "late", "ca", "fleet", *PAST)
        for suffix in ("pem", "key"):
            (machine.root / f"etc/fleet/fleet.{suffix}").write_bytes((self.pki / f"late.{suffix}").read_bytes())
        self.cluster.lab.call("etcd-stop", 1).ok()
        self.cluster.lab.call("etcd-start", 1).ok()
        wait_for(lambda: "refuses the client certificate /etc/fleet/fleet.pem, which has expired" in machine.show("fleet.service", "StatusText"))
        self.give(machine, "fleet.pem", "fleet.key")
        self.cluster.wait_for_machines(self.machines)
        self.assertEqual(machine.daemon_pid(), pid)

    def prepare_failures(self, machine):
        """Whatever can be wrong: returns kind -> (lines of fleet.conf, what the log says of it)."""
        for words in (
            ("authority", "other"),
            ("client", "late", "ca", "fleet", *PAST),
            ("client", "strange", "other", "fleet"),
            ("server", "expired", "ca", "IP:10.77.0.254", *PAST),
            ("server", "early", "ca", "IP:10.77.0.254", *FUTURE),
            ("server", "elsewhere", "ca", "IP:10.77.0.9,DNS:etcd.example"),
            ("server", "unknown", "other", "IP:10.77.0.254"),
        ):
            self.certify(*words)
        for port, name in ((3001, "expired"), (3002, "early"), (3003, "elsewhere"), (3004, "unknown")):
            self.serve("openssl", "s_server", "-quiet", "-accept", port, "-cert", self.pki / f"{name}.pem", "-key", self.pki / f"{name}.key", "-alpn", "h2")
        self.serve("python3", "-m", "http.server", "--bind", "10.77.0.254", 3005)
        self.serve("etcd", "--data-dir", self.pki / "plain", "--listen-client-urls", "http://10.77.0.254:3006", "--advertise-client-urls", "http://10.77.0.254:3006",
                   "--listen-peer-urls", "http://10.77.0.254:3007", "--initial-advertise-peer-urls", "http://10.77.0.254:3007",
                   "--initial-cluster", "default=http://10.77.0.254:3007")  # fmt: skip
        self.give(machine, "late.pem", "late.key", "strange.pem", "strange.key")
        machine.exec("sh", "-c", "echo 10.77.0.254 etcd.example wrong.example >>/etc/hosts; cd /etc/fleet; cp fleet.key other.key; chmod 600 other.key; chown nobody other.key; "
                     "openssl ec -in fleet.key -aes128 -passout pass:x -out locked.key").ok()  # fmt: skip

        def conf(server=ETCD, ca="ca.pem", cert="fleet.pem", key="fleet.key", password="secret"):
            paths = [f"{name}=/etc/fleet/{value}" for name, value in (("etcd_cafile", ca), ("etcd_certfile", cert), ("etcd_keyfile", key)) if value]
            return [f"etcd_servers={server}", *paths, "etcd_username=fleet", f"etcd_password={password}"]

        none = {"ca": None, "cert": None, "key": None}
        return {
            "missing": (conf(ca="none.pem"), "cannot read the CA file /etc/fleet/none.pem: No such file or directory"),
            "unreadable": (conf(key="other.key"), "cannot read the key file /etc/fleet/other.key: Permission denied, .* let root own it"),
            "no-pem": (conf(ca="../passwd"), "the CA file /etc/fleet/../passwd holds no certificate in PEM form"),
            "folder": (conf(cert="."), "the certificate file /etc/fleet/. is no regular file"),
            "locked": (conf(key="locked.key"), "the key file /etc/fleet/locked.key is protected by a passphrase"),
            "no-pair": (conf(key="late.key"), "the key in /etc/fleet/late.key does not belong to the certificate"),
            "expired": (conf("https://10.77.0.254:3001"), "https://10.77.0.254:3001: its certificate has expired, on Feb  1 00:00:00 2020 GMT"),
            "early": (conf("https://10.77.0.254:3002"), "its certificate is not valid yet, only from Jan  1 00:00:00 2045 GMT; is this machine's clock right?"),
            "address": (conf("https://10.77.0.254:3003"), "its certificate is for 10.77.0.9, etcd.example, not for 10.77.0.254"),
            "name": (conf("https://wrong.example:3003"), "its certificate is for 10.77.0.9, etcd.example, not for wrong.example"),
            "unknown-ca": (conf("https://10.77.0.254:3004"), 'its certificate comes from "other", which is no authority of the CA file /etc/fleet/ca.pem'),
            "system-ca": (conf(ca=None), 'its certificate comes from "ca", which this system does not trust'),
            "no-client": (conf(cert=None, key=None), "it wants a client certificate, and none is configured"),
            "strange-client": (conf(cert="strange.pem", key="strange.key"), "it refuses the client certificate /etc/fleet/strange.pem: is it from the CA"),
            "late-client": (conf(cert="late.pem", key="late.key"), "it refuses the client certificate /etc/fleet/late.pem, which has expired, on Feb  1"),
            "http": (conf("https://10.77.0.254:3005"), "it answers, but not in TLS; is it http:// in place of https://?"),
            "plain-etcd": (conf("https://10.77.0.254:3006"), "it ended the connection when TLS was to begin; is it http:// in place of https://?"),
            "https": (conf("http://10.77.0.1:2379", **none), "it ended the connection before it said anything; is it https:// in place of http://?"),
            "password": (conf(password="wrong"), 'it refuses the user name "fleet" or the password: etcdserver: authentication failed'),
        }

    def test_every_failure_is_said_once_in_words(self):
        machine = self.machines[1]
        kinds = self.prepare_failures(machine)
        for kind, (lines, _) in kinds.items():
            (machine.root / f"etc/fleet/{kind}.conf").write_text("\n".join([*lines, f"units_directory=/run/tls-{kind}/units", "verbosity=1"]) + "\n")
            # As fleet.service runs it, all of them side by side.
            machine.exec("systemd-run", "--quiet", f"--unit=tls-{kind}", f"--property=RuntimeDirectory=tls-{kind}", "--property=CapabilityBoundingSet=CAP_SYS_ADMIN", "--property=Type=notify",
                         "/usr/sbin/fleetd", "--config", f"/etc/fleet/{kind}.conf").ok()  # fmt: skip
            self.addCleanup(machine.exec, "systemctl", "stop", f"tls-{kind}.service")

        def said(kind):
            """What it logged of the cause, and how many attempts came after that; by then there were two at least."""
            lines = machine.journal(f"tls-{kind}.service").splitlines()
            causes = [index for index, line in enumerate(lines) if "etcd cannot be used: " in line]
            assert causes and sum("etcd: gave up" in line for line in lines[causes[0] :]) > 1, "\n".join(lines)
            return [lines[index] for index in causes]

        for kind, (_, words) in kinds.items():
            with self.subTest(kind):
                lines = wait_for(lambda kind=kind: said(kind), 20, what=f"{kind} is logged, and etcd tried again")
                self.assertEqual(len(lines), 1, "\n".join(lines))
                self.assertRegex(lines[0], words.replace("?", r"\?"))
                self.assertRegex(machine.show(f"tls-{kind}.service", "StatusText"), words.replace("?", r"\?"))

    def test_without_a_user_the_certificate_names_one(self):
        machine = self.machines[1]
        self.addCleanup(self.cluster.configure, machine)
        for name, may in (("nobody", False), ("fleet", True)):
            self.certify("client", f"as-{name}", "ca", name)
            self.give(machine, f"as-{name}.pem", f"as-{name}.key")
            machine.configure("etcd_username=", "etcd_password=", f"etcd_certfile=/etc/fleet/as-{name}.pem", f"etcd_keyfile=/etc/fleet/as-{name}.key")
            if may:
                self.cluster.wait_for_machines(self.machines)
            else:
                wait_for(lambda: "it denies us what is asked of it: etcdserver: permission denied" in machine.journal(), what="the user of this name is denied")

    def test_a_user_without_the_right_to_the_prefix_is_told(self):
        machine = self.machines[1]
        self.addCleanup(self.cluster.wait_for_machines, self.machines)
        self.addCleanup(self.cluster.configure, machine)
        machine.configure(f"etcd_key_prefix={PREFIX.rstrip('/')}-not/")
        words = 'it denies user "fleet" what is asked of it: etcdserver: permission denied'
        wait_for(lambda: words in machine.journal(), what="the log says what is denied")
        self.assertIn(words, machine.show("fleet.service", "StatusText"))
