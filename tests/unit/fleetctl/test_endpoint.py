# SPDX-License-Identifier: Apache-2.0
"""test_endpoint.py FLEETCTL: the ways in which the API cannot be reached, answers badly or breaks off. What a person reads names the
cause and the remedy, within 3 seconds; nothing is changed twice; and what can go on goes on."""

import os
import shutil
import socket
import ssl
import stat
import subprocess
import sys
import tempfile
import threading
import time
import unittest

import stub_api
import test_commands
from certificates import Authority
from test_commands import M1, PLAIN, CommandTest

LIST = "Error retrieving list of units from repository: "
TALK = LIST + "unable to talk to fleet at %s: "
UNAVAILABLE = "googleapi: Error 503: fleet server unable to communicate with etcd; see: fleetctl doctor"
IN_DOUBT = "what was asked for may have been done: look with 'fleetctl list-unit-files' before trying again\n"
CHECK = "check --endpoint or FLEETCTL_ENDPOINT, and that fleetd listens there\n"
CHECK_API = "check that --endpoint or FLEETCTL_ENDPOINT names the API of fleetd\n"
MAY_WAIT = ("fleetd there may be waiting for its store: look at it with 'systemctl status fleet', or wait longer with "
            "--request-timeout\n")
SCHEMES = "write unix:///PATH, http://HOST:PORT or https://HOST:PORT\n"


class EndpointTest(CommandTest):
    def complaint(self, endpoint, *flags, runner=()):
        """What list-units says of an endpoint, which it must do within 3 seconds and with exit code 1."""
        begin = time.monotonic()
        done = subprocess.run([*runner, test_commands.FLEETCTL, "list-units", "--endpoint", endpoint, *flags], cwd=self.directory,
                              env=self.environment(), capture_output=True, text=True, timeout=60, check=False)
        self.assertLess(time.monotonic() - begin, 3)
        self.assertEqual((done.stdout, done.returncode), ("", 1))
        return done.stderr


class Unreachable(EndpointTest):
    def test_bad_endpoints(self):
        for endpoint, err in (
            ("localhost:80", 'URL scheme undefined in "localhost:80": ' + SCHEMES),
            ("ftp://h", 'unsupported URL scheme "ftp": ' + SCHEMES),
            ("unix://var/run/x", 'unable to connect to host "var" with scheme "unix": the path of a socket begins with a third '
                                 "slash, unix:///PATH\n"),
        ):
            self.assertEqual(self.complaint(endpoint), "Unable to initialize client: " + err)
        self.assertEqual(self.complaint("http://h:99999"), TALK % "http://h:99999" + "URL using bad/illegal format or missing URL; "
                                                                                     "check --endpoint or FLEETCTL_ENDPOINT\n")

    def test_driver(self):
        """Only the API is left to talk to, and whoever asks for etcd is told what to do."""
        self.check("list-units --driver=etcd --endpoint=http://127.0.0.1:2379", code=1,
                   err='Unable to initialize client: the driver "etcd" is gone, only fleetd talks to etcd: leave --driver and '
                       "FLEETCTL_DRIVER out, and name the API of a machine with --endpoint or FLEETCTL_ENDPOINT\n")
        for how in ({"command": "list-units --driver=api"}, {"command": "list-units", "FLEETCTL_DRIVER": "api"}):
            self.check(code=1, err='Unable to initialize client: unrecognized driver "api": the only one is API\n', **how)
        self.check("list-units --driver API --no-legend")

    def test_old_flags(self):
        """What only the etcd driver used is accepted."""
        self.check("list-units --no-legend --etcd-key-prefix=/x/ --experimental-api=false --etcd-keyfile=k --etcd-certfile c "
                   "--etcd-cafile=ca", FLEETCTL_EXPERIMENTAL_API="false", FLEETCTL_ETCD_KEY_PREFIX="/y/")

    def test_several_endpoints(self):
        self.check("list-units --no-legend --endpoint=%s,http://other:1" % self.stub.endpoint,
                   err="WARN multiple endpoints provided but only the first (%s) is used\n" % self.stub.endpoint)

    def test_no_socket(self):
        endpoint = "unix://%s/none.sock" % self.directory
        self.assertEqual(self.complaint(endpoint), TALK % endpoint + (
            "there is no such socket, so fleet.socket does not run on this machine; start it with 'systemctl start fleet.socket', or "
            "name the API of another machine with --endpoint or FLEETCTL_ENDPOINT\n"))

    def test_forsaken_socket(self):
        """The file is there, and nobody behind it."""
        path = os.path.join(self.directory, "left.sock")
        with socket.socket(socket.AF_UNIX) as left:
            left.bind(path)
        self.assertIn("nobody listens on the socket, so fleet.socket does not run on this machine; start it with",
                      self.complaint("unix://" + path, "--request-timeout=0.2"))

    @unittest.skipUnless(os.geteuid() == 0, "only root can become somebody else")
    def test_forbidden_socket(self):
        os.chmod(self.directory, 0o755)
        os.chmod(os.path.join(self.directory, "fleet.sock"), stat.S_IRUSR | stat.S_IWUSR)
        copy = shutil.copy(test_commands.FLEETCTL, self.directory)
        done = subprocess.run(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", copy, "list-units"], cwd="/",
                              env=self.environment(), capture_output=True, text=True, timeout=60, check=False)
        self.assertEqual((done.stderr, done.returncode), (TALK % self.stub.endpoint + (
            "Permission denied; run fleetctl as root, or as a member of the socket's group\n"), 1))

    def test_refused(self):
        holder, port = stub_api.closed_port()
        with holder:
            endpoint = "http://127.0.0.1:%d" % port
            self.assertEqual(self.complaint(endpoint), TALK % endpoint + "Connection refused; " + CHECK)

    def test_unknown_host(self):
        endpoint = "http://nowhere.invalid:80"
        self.assertRegex(self.complaint(endpoint), "nowhere.invalid; " + CHECK)

    def test_no_answer_to_connect(self):
        """A host that drops packets: here, a queue of connections that is full."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen(0)
            address = listener.getsockname()
            fillers = [socket.socket() for _ in range(3)]
            for s in fillers:
                s.setblocking(False)
                s.connect_ex(address)
            message = self.complaint("http://127.0.0.1:%d" % address[1], "--request-timeout=1")
            for s in fillers:
                s.close()
        self.assertIn("there was no connection within 0.9 s; " + CHECK, message)

    def test_silence(self):
        """A server that accepts, and says nothing, over each kind of connection."""
        with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
            tcp.bind(("127.0.0.1", 0))
            unix.bind(os.path.join(self.directory, "silent.sock"))
            for listener in (tcp, unix):
                listener.listen()
            port = tcp.getsockname()[1]
            for endpoint, seconds, cause in (
                ("http://127.0.0.1:%d" % port, 3, "it accepted the request and did not answer within 2.7 s"),
                ("https://127.0.0.1:%d" % port, 0.5, "it accepted the connection and said nothing within 0.45 s"),
                ("unix://%s/silent.sock" % self.directory, 0.5, "it accepted the request and did not answer within 0.45 s"),
            ):
                self.assertEqual(self.complaint(endpoint, "--request-timeout=%g" % seconds), TALK % endpoint + cause + "; " + MAY_WAIT)

    def test_request_timeout(self):
        """Nine tenths of what is asked for is waited, one is for saying so; the variable does what the flag does."""
        self.cluster.trouble[("GET", "/fleet/v1/state")] = ["hang", "hang"]
        err = TALK % self.stub.endpoint + "it accepted the request and did not answer within 0.45 s; " + MAY_WAIT
        self.check("list-units --request-timeout=0.5", err=err, code=1)
        self.check("list-units", err=err, code=1, FLEETCTL_REQUEST_TIMEOUT="0.5")

    def test_a_long_list_takes_its_time(self):
        """What is limited is silence, not how long a reply takes."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            thread = threading.Thread(target=self.answer_slowly, args=(listener,))
            thread.start()
            self.check("list-units --no-legend --fields=unit --request-timeout=0.5 --endpoint=http://127.0.0.1:%d" % listener.getsockname()[1])
            thread.join()

    @staticmethod
    def answer_slowly(listener):
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\n")
            for byte in b"{    }":
                time.sleep(0.2)
                connection.sendall(bytes([byte]))

    def test_not_fleet(self):
        """Somebody else's server."""
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            listener.listen()
            endpoint = "http://127.0.0.1:%d" % listener.getsockname()[1]
            for answer, err in (
                (b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\n<html>",
                 "the reply to GET /fleet/v1/state is not what the fleet API sends"),
                (b"SSH-2.0-OpenSSH_9.2\r\n", "it does not answer in HTTP; write https:// in"),
            ):
                thread = threading.Thread(target=self.answer_once, args=(listener, answer))
                thread.start()
                self.assertIn(err, self.complaint(endpoint))
                thread.join()

    @staticmethod
    def answer_once(listener, answer):
        connection, _ = listener.accept()
        with connection:
            connection.recv(4096)
            connection.sendall(answer)

    def test_errors_of_the_server(self):
        """With a message, and without."""
        self.cluster.refuse[("GET", "/fleet/v1/state")] = (500, "disk full")
        self.check("list-units", err=LIST + "googleapi: Error 500: disk full\n", code=1)
        self.cluster.refuse[("GET", "/fleet/v1/state")] = (502, None)
        self.check("list-units", err=LIST + "googleapi: got HTTP response code 502 with body: \n", code=1)

    def test_files_without_tls(self):
        """Who gives keys expects encryption, and is told that there is none."""
        self.assertIn("WARN http://127.0.0.1:1 is not encrypted: --ca-file, --cert-file and --key-file count for https:// only\n",
                      self.complaint("http://127.0.0.1:1", "--ca-file=/ca.pem", "--request-timeout=0.2"))


class Tls(EndpointTest):
    @classmethod
    def setUpClass(cls):
        cls.files = tempfile.mkdtemp(prefix="fleetctl-tls-")
        cls.addClassCleanup(shutil.rmtree, cls.files)
        cls.authority = Authority(cls.files)
        cls.stranger = Authority(cls.files, "stranger")
        cls.server, cls.client = cls.authority.sign("server"), cls.authority.sign("client")

    def serve(self, certificate=None, ask_clients=False, newest=None):
        """The API behind TLS, up to a version of it. Returns its endpoint."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*(certificate or self.server))
        if newest:
            context.maximum_version = newest
        if ask_clients:
            context.verify_mode = ssl.CERT_REQUIRED
            context.load_verify_locations(self.authority.pem)
        stub = stub_api.Stub(self.directory, tls=context)
        self.addCleanup(stub.stop)
        return stub.endpoint

    def assert_complaint(self, endpoint, message, *flags):
        self.assertEqual(self.complaint(endpoint, *flags), TALK % endpoint + message)

    def test_trusted(self):
        """By flag, by variable and by their old names."""
        endpoint = self.serve()
        for flag in ("--ca-file", "--etcd-cafile"):
            self.check("list-units --no-legend --endpoint=%s %s=%s" % (endpoint, flag, self.authority.pem))
        for name in ("FLEETCTL_CA_FILE", "FLEETCTL_ETCD_CAFILE"):
            self.check("list-units --no-legend --endpoint=" + endpoint, **{name: self.authority.pem})

    def test_unknown_authority(self):
        """Without a file of authorities those of the system count, with one only its own: there is no way without verifying."""
        for flags in ((), ("--ca-file=" + self.stranger.pem,)):
            self.assert_complaint(self.serve(), "its certificate is signed by an authority that is not trusted here; give the "
                                                "certificate of its authority with --ca-file or FLEETCTL_CA_FILE\n", *flags)

    def test_self_signed(self):
        self.assert_complaint(self.serve((self.stranger.pem, self.stranger.path("stranger", "key"))),
                              "its certificate is signed by nobody but itself; give the certificate of its authority with "
                              "--ca-file or FLEETCTL_CA_FILE\n")

    def test_expired(self):
        expired = self.authority.sign("expired", days=-1)
        self.assert_complaint(self.serve(expired), "its certificate has expired; have it renewed, and check the clock of this "
                                                   "machine\n", "--ca-file=" + self.authority.pem)

    def test_other_name(self):
        other = self.authority.sign("other", "DNS:other.example")
        self.assert_complaint(self.serve(other), "its certificate is for another name; write the endpoint with a name that the "
                                                 "certificate has\n", "--ca-file=" + self.authority.pem)

    def test_server_without_tls(self):
        stub = stub_api.Stub(self.directory, tcp=True)
        self.addCleanup(stub.stop)
        self.assert_complaint(stub.endpoint.replace("http:", "https:"),
                              "it does not speak TLS; write http:// in --endpoint or FLEETCTL_ENDPOINT, or name the port of the "
                              "TLS proxy before fleetd\n")

    def test_client_certificate(self):
        endpoint = self.serve(ask_clients=True)
        pem, key = self.client
        self.check("list-units --no-legend --endpoint=%s --ca-file=%s --cert-file=%s --key-file=%s" % (
            endpoint, self.authority.pem, pem, key))
        self.check("list-units --no-legend --endpoint=" + endpoint, FLEETCTL_CA_FILE=self.authority.pem,
                   FLEETCTL_ETCD_CERTFILE=pem, FLEETCTL_ETCD_KEYFILE=key)

    def test_refused_client(self):
        """TLS 1.2 tells it in the handshake; with 1.3 the server's word may get lost behind a broken connection."""
        endpoint = self.serve(ask_clients=True, newest=ssl.TLSVersion.TLSv1_2)
        newest = self.serve(ask_clients=True)
        pem, key = self.stranger.sign("strange-client")
        old_pem, old_key = self.authority.sign("old-client", days=-1)
        for flags, cause in (
            ((), "it refused the TLS handshake, as servers do that want to see a certificate"),
            (("--cert-file=" + pem, "--key-file=" + key), "it does not trust the authority of fleetctl's certificate"),
            (("--cert-file=" + old_pem, "--key-file=" + old_key), "the certificate of fleetctl has expired"),
        ):
            self.assert_complaint(endpoint, cause + "; give a certificate that it accepts with --cert-file and --key-file\n",
                                  "--ca-file=" + self.authority.pem, *flags)
            self.assertRegex(self.complaint(newest, "--request-timeout=2.5", "--ca-file=" + self.authority.pem, *flags),
                             "give a certificate .*with --cert-file and --key-file")

    def test_files_that_cannot_be_used(self):
        """Each is named before anything is connected, or with the reason why it is no use."""
        endpoint = "https://127.0.0.1:1"
        pem, key = self.client
        empty, text, locked = (os.path.join(self.files, name) for name in ("empty", "text", "locked"))
        for path, content in ((empty, ""), (text, "no certificate\n")):
            with open(path, "w", encoding="utf-8") as f:
                f.write(content)
        Authority.openssl("pkcs8", "-topk8", "-in", key, "-out", locked, "-passout", "pass:secret")
        check_ca, check_cert, check_key = ("; check --%s-file or FLEETCTL_%s_FILE\n" % (name, name.upper())
                                           for name in ("ca", "cert", "key"))
        for flags, err in (
            ("--ca-file=/none", "unable to read /none: No such file or directory" + check_ca),
            ("--ca-file=" + self.files, "unable to read %s: Is a directory" % self.files + check_ca),
            ("--ca-file=" + text, "%s holds no certificate in PEM form" % text + check_ca),
            ("--cert-file=%s --key-file=/none" % pem, "unable to read /none: No such file or directory" + check_key),
            ("--cert-file=%s --key-file=%s" % (empty, key), "%s holds no certificate in PEM form" % empty + check_cert),
            ("--cert-file=%s --key-file=%s" % (key, pem), "%s holds no certificate in PEM form" % key + check_cert),
            ("--cert-file=%s --key-file=%s" % (pem, pem), "%s holds no private key in PEM form" % pem + check_key),
            ("--cert-file=%s --key-file=%s" % (pem, locked), "%s has a pass phrase, which fleetctl does not ask for" % locked + check_key),
            ("--cert-file=" + pem, "--cert-file and --key-file go together, and --key-file is missing\n"),
            ("--key-file=" + key, "--cert-file and --key-file go together, and --cert-file is missing\n"),
        ):
            self.assertEqual(self.complaint(endpoint, *flags.split()), "Unable to initialize client: " + err)

    def test_files_that_do_not_fit(self):
        endpoint = self.serve()
        pem, key = self.client
        damaged = os.path.join(self.files, "damaged")
        with open(damaged, "w", encoding="utf-8") as f:
            f.write("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n")
        check_pair = "; check --cert-file and --key-file\n"
        for flags, err in (
            ((self.authority.pem, damaged, key), "the certificate of fleetctl is damaged" + check_pair),
            ((self.authority.pem, pem, self.server[1]),
             "the private key of fleetctl does not belong to its certificate, or is damaged" + check_pair),
            ((damaged, pem, key), "the file of authorities is damaged; check --ca-file or FLEETCTL_CA_FILE\n"),
        ):
            self.assert_complaint(endpoint, err, *("--%s-file=%s" % pair for pair in zip(("ca", "cert", "key"), flags)))


class Retries(CommandTest):
    """While fleetd is being restarted or its store elects a leader, questions are asked again; changes only when nothing was done."""

    def test_questions_are_asked_again(self):
        self.cluster.add("a.service", PLAIN, "launched")
        self.cluster.trouble[("GET", "/fleet/v1/state")] = ["503", "cut", "503"]
        self.check("list-units --no-legend --fields=unit", out="a.service\n")
        self.assertEqual(len(self.sent("GET", "/fleet/v1/state")), 4)

    def test_removals_are_asked_for_again(self):
        self.cluster.add("a.service", PLAIN)
        self.cluster.trouble[("DELETE", "/fleet/v1/units/a.service")] = ["cut", "503"]
        self.check("destroy a", out="Destroyed a.service\n")

    def test_many_removals_take_their_time(self):
        """Each answer, of no body, is a sign of life: all of them together may take longer than --request-timeout."""
        names = ["u%03d.service" % n for n in range(128)]  # 32 are asked for at a time
        for name in names:
            self.cluster.add(name, PLAIN)
            self.cluster.trouble[("DELETE", "/fleet/v1/units/" + name)] = ["slow"]
        timeout_s = 2.5 * stub_api.SLOW_S
        self.check("destroy --no-block --request-timeout=%g u*" % timeout_s, out="".join("Destroyed %s\n" % name for name in names))

    def test_the_answer_is_the_last_one(self):
        """An API that answers 503 until the time is up is quoted, also when it falls silent at the end."""
        self.cluster.trouble[("GET", "/fleet/v1/state")] = ["503", "hang"]
        self.check("list-units --request-timeout=1", err=LIST + UNAVAILABLE + "\n", code=1)

    def test_a_person_is_told(self):
        self.cluster.trouble[("GET", "/fleet/v1/state")] = ["503", "503", "503"]
        text = self.run_on_terminal("list-units", "--no-legend")
        self.assertEqual(text, "fleet at %s: it answers 503 for now; trying again for 2.7 s\r\n" % self.stub.endpoint)

    def test_a_daemon_that_comes_back(self):
        """The socket refuses while nobody listens, as between two daemons."""
        path = os.path.join(self.directory, "late.sock")
        listener = socket.socket(socket.AF_UNIX)
        self.addCleanup(listener.close)
        listener.bind(path)
        process = subprocess.Popen([test_commands.FLEETCTL, "--debug", "list-units", "--fields=unit", "--endpoint=unix://" + path],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment())
        for _ in range(4):  # two tries have been refused
            process.stderr.readline()
        listener.listen()
        Unreachable.answer_once(listener, b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")
        _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 0, err)

    def test_a_change_is_not_made_twice(self):
        """After an answer that leaves open whether it was done, a person has to look; the words say so."""
        self.cluster.add("a.service", PLAIN)
        posts = ("POST", "/fleet/v1/units")
        for trouble, cause in (("503", UNAVAILABLE), ("done", UNAVAILABLE),
                               ("cut", "unable to talk to fleet at %s: Empty reply from server" % self.stub.endpoint)):
            self.cluster.requests.clear()
            self.cluster.trouble[posts] = [trouble]
            self.check("start a", err="Error starting units: %s; %s" % (cause, IN_DOUBT), code=1)
            self.assertEqual(len(self.sent(*posts)), 1)

    def test_a_change_that_was_turned_away(self):
        """"Retry-After" says that nothing was done."""
        self.cluster.add("a.service", PLAIN)
        self.cluster.trouble[("POST", "/fleet/v1/units")] = ["later", "later"]
        self.check("start a", out="Unit a.service launched on %s\n" % M1)
        self.assertEqual(len(self.sent("POST", "/fleet/v1/units")), 3)

    def test_a_slow_change_is_waited_for(self):
        """A daemon may wait for its store before it can say how a change went; what is waited for is said."""
        self.cluster.add("a.service", PLAIN)
        self.cluster.trouble[("POST", "/fleet/v1/units")] = ["hang"]
        process = subprocess.Popen([test_commands.FLEETCTL, "start", "--request-timeout=0.3", "a"], stdout=subprocess.PIPE,
                                   stderr=subprocess.PIPE, text=True, env=self.environment())
        self.assertEqual(process.stderr.readline(), "fleet at %s has the request and does not answer yet; waiting for at most 40 s\n"
                         % self.stub.endpoint)
        self.stub.server.stopping.set()
        _, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, err.endswith(IN_DOUBT)), (1, True), err)


class BrokenWaits(CommandTest):
    """An answer to a wait that breaks off is asked for again, for the units that are still open."""

    broke = "The answer of fleet broke off: %s\nThe units go on; waiting at most %g s for fleet to answer again\n"

    def test_a_wait_goes_on(self):
        for name in ("a.service", "b.service"):
            self.cluster.add(name, PLAIN)
        self.cluster.trouble[("POST", "/fleet/v1/wait")] = ["cut", "503", "later", "cut"]
        done = self.run_raw("start", "a", "b")
        self.assertEqual((done.stdout, done.returncode),
                         ("Unit a.service launched on %s\nUnit b.service launched on %s\n" % (M1, M1), 0))
        self.assertRegex(done.stderr, r"^The answer of fleet broke off: unable to talk to fleet at .*\nThe units go on; "
                                      r"waiting at most 30 s for fleet to answer again\n$")
        self.assertEqual([[u["name"] for u in body["units"]] for body in self.sent("POST", "/fleet/v1/wait")],
                         [["a.service", "b.service"], ["b.service"], ["b.service"], ["b.service"]])

    def test_the_time_that_is_left(self):
        """--block-attempts counts from the beginning, not from the last request."""
        self.cluster.add("a.service", PLAIN)
        self.cluster.trouble[("POST", "/fleet/v1/wait")] = ["503"]
        self.assertEqual(self.run_raw("start", "--block-attempts=2", "a").returncode, 0)
        first, second = (body["timeoutMs"] for body in self.sent("POST", "/fleet/v1/wait"))
        self.assertEqual(first, 4000)
        self.assertTrue(3000 < second <= 3700, second)

    def test_an_answer_that_never_comes(self):
        """After ten times the time-out of a request it is enough."""
        self.cluster.add("a.service", PLAIN + "[Stub]\nOutcome=cut\n")
        cause = ("fleet ended its answer before the outcome of 1 of 1 units was known; 'fleetctl list-units' shows where they are")
        self.check("start a --request-timeout=0.1", code=1,
                   err=self.broke % (cause, 1) + "Error waiting for unit states, exit status: %s\n" % cause)

    def test_a_daemon_that_stays_away(self):
        self.cluster.add("a.service", PLAIN)
        self.cluster.trouble[("POST", "/fleet/v1/wait")] = ["503"] * 100
        self.check("start a --request-timeout=0.1", code=1,
                   err=self.broke % (UNAVAILABLE, 1) + "Error waiting for unit states, exit status: %s\n" % UNAVAILABLE)


if __name__ == "__main__":
    test_commands.FLEETCTL = os.path.abspath(sys.argv.pop(1))
    unittest.main()
