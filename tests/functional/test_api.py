# SPDX-License-Identifier: Apache-2.0
"""The HTTP API as the clients of fleet 1.0 use it: Python's http.client, curl, and what Go's generated client sends."""

import json
import re
import socket
import threading
import time

import prometheus
from harness import ClusterTest, options_of, service, sha1, wait_for

V1 = "/fleet/v1"
PORT = 49153
ID = "0123456789abcdef0123456789abcdef"

# Runs in the machine: a conversation over one connection, as JSON on standard input, to a unix socket or a port; the replies as JSON.
CONVERSATION = """
import http.client, json, socket, sys
where, requests = json.load(sys.stdin)
connection = http.client.HTTPConnection("127.0.0.1", where if isinstance(where, int) else None, timeout=20)
if isinstance(where, str):
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(where)
else:
    connection.connect()
first, replies = connection.sock, []
for method, path, body, headers in requests:
    connection.request(method, path, body, headers)
    response = connection.getresponse()
    replies.append([response.status, dict(response.getheaders()), response.read().decode()])
    assert connection.sock is first, f"the connection was closed after {method} {path}"
json.dump(replies, sys.stdout)
"""


def error(status, message):
    return json.dumps({"error": {"code": status, "message": message}}, separators=(",", ":"))


class Api(ClusterTest):
    n_machines = 1

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        machine = cls.cluster.machines[0]
        drop_in = "/etc/systemd/system/fleet.socket.d"
        machine.exec("sh", "-c", f"mkdir -p {drop_in} && printf '[Socket]\\nListenStream=127.0.0.1:{PORT}\\n' >{drop_in}/tcp.conf").ok()
        machine.exec("sh", "-c", "systemctl daemon-reload && systemctl stop fleet.socket && systemctl restart fleet.service").ok()
        cls.cluster.wait_for_machines(cls.cluster.machines)
        wait_for(cls.cluster.leader)

    @property
    def machine(self):
        return self.machines[0]

    def converse(self, where, requests):
        rows = [(method, path, json.dumps(body) if body is not None else None, headers or {}) for method, path, body, headers in requests]
        out = self.machine.exec("python3", "-c", CONVERSATION, stdin=json.dumps([where, rows])).ok()
        return [(status, headers, body) for status, headers, body in json.loads(out)]

    def raw(self, data, timeout_s=10):
        """Send bytes, and everything that comes back until the connection ends."""
        with socket.socket(socket.AF_UNIX) as peer:
            peer.settimeout(timeout_s)
            peer.connect(str(self.machine.root / "run/fleet.sock"))
            received = b""
            try:
                peer.sendall(data)
            except OSError:
                pass  # it may have answered before it has read everything
            try:
                while block := peer.recv(65536):
                    received += block
            except ConnectionResetError:
                pass
            return received

    def curl(self, *arguments):
        """Status, head and body of what curl prints."""
        out = self.machine.exec("curl", "-s", "-i", "--unix-socket", "/run/fleet.sock", *arguments).ok()
        blocks = re.split(r"\r?\n\r?\n", out)
        while blocks[0].startswith("HTTP/1.1 100"):
            blocks.pop(0)
        return int(blocks[0].split()[1]), blocks[0], "\n\n".join(blocks[1:])

    def test_the_socket(self):
        out = self.machine.exec("stat", "-c", "%a %U %F", "/run/fleet.sock").ok()
        self.assertEqual(out, "660 root socket\n")
        # Only what was passed, and where it serves its store: nothing else of the daemon's own.
        inodes = set(re.findall(r"socket:\[(\d+)\]", self.machine.exec("sh", "-c", f"ls -l /proc/{self.machine.daemon_pid()}/fd").ok()))
        tcp = [line.split() for name in ("net/tcp", "net/tcp6") for line in self.machine.daemon_file(name).splitlines()[1:]]
        listening = [row[1] for row in tcp if row[3] == "0A" and row[9] in inodes]
        self.assertEqual([where for where in listening if not where.endswith(f":{2379:04X}")], [f"0100007F:{PORT:04X}"])
        self.assertEqual(len(listening), 1 + self.cluster.is_served)

    # Clients

    def test_python_over_one_connection(self):
        json_type = {"Content-Type": "application/json"}
        options = options_of(service())
        for where, name in (("/run/fleet.sock", "a.service"), (PORT, "b.service")):
            with self.subTest(where):
                replies = self.converse(
                    where,
                    [
                        ("PUT", f"{V1}/units/{name}", {"name": name, "desiredState": "inactive", "options": options}, json_type),
                        ("GET", f"{V1}/units/{name}", None, None),
                        ("GET", f"/v1-alpha/units/{name.replace('.', '%2e')}", None, None),
                        ("PUT", f"{V1}/units/{name}", {"desiredState": "loaded"}, {"Content-Type": "application/json; charset=utf-8"}),
                        ("GET", f"{V1}/machines", None, None),
                        ("PATCH", f"{V1}/machines", [{"op": "remove", "path": f"/{ID}/metadata/none"}], None),
                        ("GET", f"{V1}/nothing", None, None),
                        ("HEAD", f"{V1}/units", None, None),
                        ("DELETE", f"{V1}/units/{name}", None, None),
                        ("GET", f"{V1}/units/{name}", None, None),
                    ],
                )
                self.assertEqual([status for status, _, _ in replies], [201, 200, 200, 204, 200, 204, 404, 405, 204, 404])
                for status, headers, body in replies:
                    self.assertRegex(headers["Server"], r"^fleetd/\d")
                    if body:
                        self.assertEqual(headers["Content-Type"], "application/json")
                        self.assertEqual(body, json.dumps(json.loads(body), separators=(",", ":"), ensure_ascii=False))
                self.assertEqual(replies[0][2], "")
                self.assertEqual(replies[1][2], replies[2][2])
                self.assertEqual(json.loads(replies[1][2]), {"currentState": "inactive", "desiredState": "inactive", "name": name, "options": options})
                self.assertEqual(replies[5][1]["Content-Type"], "application/json")

    def test_curl_through_every_route(self):
        unit = json.dumps({"desiredState": "inactive", "options": options_of(service())})
        put = ("-X", "PUT", "-H", "Content-Type: application/json", "-d")
        only_get = "only GET supported against this resource"
        rows = (
            (("",), 405, error(405, "")),
            ((V1,), 405, error(405, "")),
            ((f"{V1}/",), 404, error(404, "")),
            ((f"{V1}/units/",), 404, error(404, "")),
            ((f"{V1}/units/a/b",), 404, error(404, "")),
            (("-X", "POST", f"{V1}/discovery"), 400, error(400, "only HTTP GET supported against this resource")),
            (("-X", "DELETE", f"{V1}/machines"), 405, error(405, "only GET and PATCH supported against this resource")),
            (("-X", "DELETE", f"{V1}/units"), 405, error(405, only_get)),
            (("-X", "PATCH", f"{V1}/units/c.service"), 405, error(405, "only GET, PUT and DELETE supported against this resource")),
            (("-X", "POST", f"{V1}/state"), 405, error(405, only_get)),
            (("-X", "POST", f"{V1}/state/c.service"), 405, error(405, only_get)),
            ((*put, unit, f"{V1}/units/c.service"), 201, ""),
            ((*put, '{"desiredState":"inactive"}', f"{V1}/units/c.service"), 204, ""),
            ((*put, "{}", f"{V1}/units/c.service"), 409, error(409, "must provide DesiredState to update existing unit")),
            (("-X", "PUT", "-d", "{}", f"{V1}/units/c.service"), 415, error(415, "only acceptable Content-Type is application/json")),
            (("-X", "PUT", f"{V1}/units/c.service"), 415, error(415, "expected 1 Content-Type, got 0")),
            ((f"{V1}/units?nextPageToken=%21",), 400, error(400, "illegal base64 data at input byte 0")),
            ((f"{V1}/state/c.service",), 404, error(404, "unit state does not exist")),
            ((f"{V1}/state",), 200, "{}"),
            (("-X", "PATCH", "-d", "", f"{V1}/machines"), 400, error(400, "EOF")),
            (("-X", "PATCH", "-d", "[]", f"{V1}/machines"), 204, ""),
            (("-X", "DELETE", f"{V1}/units/c.service"), 204, ""),
            (("-X", "DELETE", f"{V1}/units/c.service"), 404, error(404, "unit does not exist")),
            ((f"{V1}/units",), 200, "{}"),
        )
        for arguments, status, body in rows:
            with self.subTest(arguments):
                got, head, received = self.curl("--path-as-is", *arguments[:-1], "http://fleet" + arguments[-1])
                self.assertEqual((got, received), (status, body))
                self.assertRegex(head, r"(?m)^Server: fleetd/\d")
        for path, location in ((f"/{V1}/units", f"{V1}/units"), ("/fleet/x/../v1/./units?a=b", f"{V1}/units?a=b")):
            status, head, _ = self.curl("--path-as-is", "http://fleet" + path)
            self.assertEqual(status, 301)
            self.assertIn(f"\nLocation: {location}\n", head.replace("\r", "") + "\n")

    def test_curl_asks_first_with_a_large_body(self):
        text = service(description="x" * 20_000)
        units = [{"name": f"large{n}.service", "desiredState": "inactive", "options": options_of(text.replace("x", "y", n))} for n in range(60)]
        self.machine.exec("sh", "-c", "cat >/tmp/body.json", stdin=json.dumps({"units": units})).ok()
        arguments = ("-H", "Content-Type: application/json", "--data-binary", "@/tmp/body.json", f"http://fleet{V1}/units")
        for more in ((), ("-H", "Transfer-Encoding: chunked"), ("--http1.0",)):
            self.assertEqual(self.curl(*more, *arguments)[0], 204)
        self.assertEqual(len(self.cluster.units()), 60)
        # More than is taken, from a client that asks and one that does not.
        self.machine.exec("sh", "-c", "head -c 6000000 /dev/zero >/tmp/body.json").ok()
        for more in ((), ("-H", "Expect:")):
            status, _, body = self.curl(*more, *arguments)
            self.assertEqual((status, json.loads(body)["error"]["code"]), (413, 413))

    def test_what_gos_generated_client_sends(self):
        body = json.dumps({"name": "go.service", "desiredState": "inactive", "options": options_of(service())}).encode() + b"\n"
        common = b"Host: domain-sock\r\nUser-Agent: google-api-go-client/0.5\r\n"
        put = (
            b"PUT http://domain-sock/fleet/v1/units/go.service?alt=json&prettyPrint=false HTTP/1.1\r\n" + common + b"Transfer-Encoding: chunked\r\n"
            b"Content-Type: application/json\r\nAccept-Encoding: gzip\r\n\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
        )
        get = b"GET http://domain-sock/fleet/v1/units?alt=json HTTP/1.1\r\n" + common + b"Accept-Encoding: gzip\r\n\r\n"
        last = b"DELETE /fleet/v1/units/go.service?alt=json HTTP/1.1\r\n" + common + b"Accept-Encoding: gzip\r\nConnection: close\r\n\r\n"
        # All at once: what is answered last was asked last.
        received = self.raw(put + get + last)
        self.assertEqual(re.findall(rb"HTTP/1\.1 (\d+)", received), [b"201", b"200", b"204"])
        self.assertIn(b'{"units":[{"currentState":"inactive","desiredState":"inactive","name":"go.service",', received)
        self.assertNotIn(b"Content-Encoding", received)

    def test_the_discovery_document_leads_somewhere(self):
        reply = self.machines[0].api("GET", f"{V1}/discovery")
        self.assertEqual((reply.status, reply.headers.get_content_type()), (200, "application/json"))
        document = reply.body
        expected = {
            "kind": "discovery#restDescription", "discoveryVersion": "v1", "id": "fleet:v1", "name": "schema", "version": "v1", "title": "fleet API",
            "description": "", "documentationLink": "http://github.com/coreos/fleet", "protocol": "rest", "icons": {"x16": "", "x32": ""}, "labels": [],
            "baseUrl": "$ENDPOINT/fleet/v1/", "basePath": "/fleet/v1/", "rootUrl": "$ENDPOINT/", "servicePath": "fleet/v1/", "batchPath": "batch",
            "parameters": {}, "auth": {},
        }  # fmt: skip
        self.assertEqual({key: value for key, value in document.items() if key not in ("schemas", "resources")}, expected)
        self.assertEqual(set(document["schemas"]), {"Machine", "MachinePage", "UnitOption", "Unit", "UnitPage", "UnitState", "UnitStatePage"})
        unit = document["schemas"]["Unit"]["properties"]
        self.assertEqual(set(unit), {"name", "options", "desiredState", "currentState", "machineID"})
        self.assertTrue(unit["machineID"]["required"])
        for state in ("desiredState", "currentState"):
            self.assertEqual(unit[state]["enum"], ["inactive", "loaded", "launched"])
        methods = {method["id"]: method for resource in document["resources"].values() for method in resource["methods"].values()}
        shape = {name: (method["httpMethod"], method["path"], set(method.get("parameters", {}))) for name, method in methods.items()}
        self.assertEqual(
            shape,
            {
                "fleet.Machine.List": ("GET", "machines", {"nextPageToken"}),
                "fleet.Unit.List": ("GET", "units", {"nextPageToken"}),
                "fleet.Unit.Get": ("GET", "units/{unitName}", {"unitName"}),
                "fleet.Unit.Delete": ("DELETE", "units/{unitName}", {"unitName"}),
                "fleet.Unit.Set": ("PUT", "units/{unitName}", {"unitName"}),
                "fleet.UnitState.Get": ("GET", "state/{unitName}", {"unitName"}),
                "fleet.UnitState.List": ("GET", "state", {"nextPageToken", "unitName", "machineID"}),
            },
        )
        for method in methods.values():
            reply = self.machines[0].api(method["httpMethod"], document["basePath"] + method["path"].format(unitName="no.service"), {} if method["httpMethod"] == "PUT" else None)
            self.assertIn(reply.status, (200, 404, 409), method["id"])

    def test_the_state_of_a_unit(self):
        text = service()
        self.cluster.start({"s.service": text}).ok()
        expected = {
            "hash": sha1(text), "machineID": self.machine.id, "name": "s.service", "systemdActiveState": "active", "systemdLoadState": "loaded",
            "systemdSubState": "running",
        }  # fmt: skip
        reply = self.machine.api("GET", f"{V1}/state/s.service")
        self.assertEqual((reply.status, reply.data.decode()), (200, json.dumps(expected, separators=(",", ":"))))
        self.assertEqual(self.machine.api("GET", f"{V1}/state").body, {"states": [expected]})
        self.assertEqual(self.machine.api("GET", f"{V1}/machines").body["machines"], [{"id": self.machine.id, "primaryIP": self.machine.address}])

    def test_metadata(self):
        def change(*changes):
            return self.machines[0].api("PATCH", f"{V1}/machines", [{"op": op, "path": path, **({"value": value} if value else {})} for op, path, value in changes])

        def metadata():
            return self.machines[0].api("GET", f"{V1}/machines").body["machines"][0].get("metadata", {})

        mine = f"/{self.machine.id}/metadata/"
        reply = change(("add", mine + "plain", "a"), ("replace", mine + "object", {"value": "b"}), ("add", mine + "capital", {"Value": "c"}), ("add", f"/{ID}/metadata/x", "y"))
        self.assertEqual((reply.status, reply.data, reply.headers["Content-Type"]), (204, b"", "application/json"))
        self.assertEqual(metadata(), {"plain": "a", "object": "b", "capital": "c"})
        # All are checked before one is applied.
        reply = change(("add", mine + "plain", "z"), ("add", mine + "other", None))
        self.assert_refused(reply, 400, "^invalid value: add and replace require a value$")
        self.assertEqual(metadata()["plain"], "a")
        self.machine.exec("systemctl", "restart", "fleet.service").ok()
        self.cluster.wait_for_machines(self.machines)
        self.assertEqual(metadata(), {"plain": "a", "object": "b", "capital": "c"})
        self.assertEqual(change(*(("remove", mine + key, None) for key in ("plain", "object", "capital", "never"))).status, 204)
        self.assertEqual(metadata(), {})

    def test_metrics(self):
        def families():
            reply = self.machines[0].api("GET", "/metrics")
            self.assertEqual((reply.status, reply.headers["Content-Type"]), (200, "text/plain; version=0.0.4; charset=utf-8"))
            return prometheus.parse(reply.body)

        before = families()
        self.assertEqual(prometheus.exposed(before), prometheus.documented())
        self.cluster.start({"m.service": service(), "nowhere.service": service(fleet_lines=["MachineID=none"])})
        wait_for(lambda: families()["fleet_engine_reconcile_failure_count_total"].value(type="schedule") > 0)
        after = families()

        def grown(name, **labels):
            return after[name].value(**labels) - before[name].value(**labels)

        self.assertEqual(grown("fleet_engine_task_count_total", type="attemptscheduleunit"), 1)
        self.assertEqual(grown("fleet_engine_task_failure_count_total", type="attemptscheduleunit"), 0)
        self.assertEqual(after["fleet_engine_unplaced_units"].value(), 1)
        self.assertEqual(after["fleet_engine_units"].value(), 2)
        self.assertEqual(after["fleet_engine_leading"].value(), 1)
        self.assertEqual(after["fleet_engine_leader_start_time"].value(), before["fleet_engine_leader_start_time"].value())
        self.assertTrue(0 <= time.time() - after["fleet_engine_leader_start_time"].value() < 3600)
        self.assertEqual(after["fleet_engine_reconcile_duration_second"].count(), after["fleet_engine_reconcile_count_total"].value())
        self.assertGreater(grown("fleet_registry_operation_count_total", type="txn"), 0)
        self.assertGreater(grown("fleet_http_requests_total", code="2xx", route="units"), 0)

    # Bad input

    def assert_nothing_changes(self, send):
        before = self.cluster.records()
        send()
        after = self.cluster.records()
        kept = {key: revision for key, revision in before.items() if not key.startswith("file/") or key in after}
        self.assertEqual(after, kept)
        self.assertEqual(self.machines[0].api("GET", f"{V1}/units").status, 200)

    def test_bad_bodies_everywhere(self):
        everywhere = (
            b"", b"{", b"7", b'"x"', b"true", b"nul", b"\x00", b'{"a":"\x00"}', b'{"name":"\\u0000"}', b"\xff\xfe", b'{"name":"\xc3\x28"}', b"[" * 100_000,
            b'{"a":' * 100_000, b'{"a":1e999999}', b'[{"a":1e999999}]', b'[{}', b'{"a":1}}', b"{'a':1}", b'{"a":01}', b"[7]",
        )  # fmt: skip
        of_a_route = {
            ("PUT", f"{V1}/units/bad.service"): (
                b"[]", b'{"options":7}', b'{"options":[7]}', b'{"options":{}}', b'{"options":[{"name":7}]}', b'{"name":7}', b'{"desiredState":[]}', b"{}",
                b'{"name":"a.service","name":7}', b'{"desiredState":"launched"}',
            ),
            ("POST", f"{V1}/units"): (
                b"[]", b'{"units":7}', b'{"units":[7]}', b'{"units":[[]]}', b'{"units":[{"name":""}]}', b'{"units":[{}]}', b'{"units":[{"name":7}]}',
                b'{"units":[{"name":"a.service","options":7}]}', b'{"units":[{"name":"a.service"}]}',
            ),
            ("PATCH", f"{V1}/machines"): (b"{}", b'[{"op":7}]', b'[{"op":"add","path":7}]', b"[[]]", b'[{"op":"add","path":"/a/metadata/b","value":{"value":{}}}]'),
            ("POST", f"{V1}/wait"): (
                b"[]", b"{}", b'{"state":7}', b'{"state":"launched","units":7}', b'{"state":"launched","units":[7]}', b'{"state":"flying","units":[]}',
                b'{"state":"launched","timeoutMs":-1,"units":[]}', b'{"state":"launched","timeoutMs":1.5}', b'{"state":"launched","timeoutMs":99999999999999999999}',
            ),
        }  # fmt: skip

        def send():
            for (method, path), bodies in of_a_route.items():
                for body in everywhere + bodies:
                    with self.subTest(f"{method} {path} {body[:40]}"):
                        reply = self.machines[0].api(method, path, body, headers={"Content-Type": "application/json"})
                        self.assertIn(reply.status, (400, 409), str(reply))
                        self.assertTrue(reply.message())

        self.assert_nothing_changes(send)

    def test_bad_requests(self):
        close = b"Connection: close\r\n\r\n"
        rows = (
            (b"GET /fleet/v1/units/%zz HTTP/1.1\r\n" + close, b"400"),
            (b"GET /fleet/v1/units/% HTTP/1.1\r\n" + close, b"400"),
            (b"GET /fleet/v1/units%00 HTTP/1.1\r\n" + close, b"400"),
            (b"GET /fleet/v1/units\x00 HTTP/1.1\r\n" + close, b"400"),
            (b"GET /fleet/v1/units/\xff.service HTTP/1.1\r\n" + close, b"404"),
            (b"DELETE /fleet/v1/units/%ff.service HTTP/1.1\r\n" + close, b"404"),
            (b"GET /fleet/v1/state/a%0ab HTTP/1.1\r\n" + close, b"404"),
            (b"GET /fleet/v1/state?unitName=%ff&machineID=%2f HTTP/1.1\r\n" + close, b"200"),
            (b"GET /fleet/v1/units/" + b"a" * 300 + b".service HTTP/1.1\r\n" + close, b"404"),
            (b"PUT /fleet/v1/units/" + b"a" * 300 + b".service HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}", b"400"),
            (b"GET /fleet/v1/units?nextPageToken=" + b"A" * 60_000 + b" HTTP/1.1\r\n" + close, b"400"),
            (b"GET /" + b"../" * 20_000 + b" HTTP/1.1\r\n" + close, b"301"),
            (b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n" + close, b"400"),
            (b"GET /fleet/v1/units HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(100_000)) + close, b"400"),
            (b"GET /fleet/v1/units HTTP/1.1\r\n" + b"".join(b"X%d: y\r\n" % n for n in range(4_000)) + close, b"200"),
            (b"GET /fleet/v1/units HTTP/1.1\r\nX: " + b"y" * 1_000_000 + b"\r\n" + close, b"400"),
            (b"PUT /fleet/v1/units/a.service HTTP/1.1\r\n" + b"Content-Type: application/json\r\n" * 3 + b"Content-Length: 2\r\nConnection: close\r\n\r\n{}", b"415"),
            (b"PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Length: -5\r\n" + close, b"400"),
            (b"PUT /fleet/v1/units/a.service HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\nfffffffffffffffff\r\n", b"413"),
            (b"GET / HTTP/3.1\r\n" + close, b"400"),
            (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\r\n\r\n", b"400"),
            (b"one line\r\n\r\n", b"400"),
        )

        def send():
            for data, status in rows:
                with self.subTest(data[:60]):
                    received = self.raw(data)
                    self.assertRegex(received, rb"^HTTP/1\.[01] " + status + b" ")
                    if status >= b"4":
                        body = json.loads(received.partition(b"\r\n\r\n")[2])
                        self.assertEqual(body["error"]["code"], int(status))

        self.assert_nothing_changes(send)

    def test_too_much_at_once(self):
        def send():
            units = json.dumps({"units": [{"name": f"u{n}.service", "desiredState": "launched"} for n in range(70_000)]}).encode()
            self.assert_refused(self.machines[0].api("POST", f"{V1}/units", units), 413, "4096")
            units = json.dumps({"units": [{"name": f"u{n}.service", "desiredState": "launched"} for n in range(100_000)]}).encode()
            self.assert_refused(self.machines[0].api("POST", f"{V1}/units", units, timeout_s=30), 413, ".")
            changes = json.dumps([{"op": "add", "path": f"/{n}/metadata/a", "value": "b"} for n in range(10_000)]).encode()
            self.assert_refused(self.machines[0].api("PATCH", f"{V1}/machines", changes), 413, "4096")
            # Read to its end, and not kept.
            before = self.machine.daemon_memory_kb()
            head = b"PUT /fleet/v1/units/a.service HTTP/1.1\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
            self.assertRegex(self.raw(head + b"[" * 100_000_000, timeout_s=30), rb"^HTTP/1\.1 413 ")
            if not self.machine.daemon_is_sanitized():
                self.assertLess(self.machine.daemon_memory_kb() - before, 2000)

        self.assert_nothing_changes(send)

    # Load

    def test_thousands_of_requests_leave_memory_where_it_was(self):
        self.machine.hammer(2_000, 50)
        before = self.machine.daemon_memory_kb()
        self.machine.hammer(10_000, 50)
        if not self.machine.daemon_is_sanitized():
            self.assertLess(self.machine.daemon_memory_kb() - before, 200)

    def test_clients_that_say_next_to_nothing_lock_nobody_out(self):
        peers = []
        try:
            for _ in range(512):
                peer = socket.socket(socket.AF_UNIX)
                peers.append(peer)
                peer.settimeout(10)
                peer.connect(str(self.machine.root / "run/fleet.sock"))
                peer.sendall(b"G")
            for _ in range(10):
                started = time.monotonic()
                self.assertEqual(self.machines[0].api("GET", f"{V1}/units").status, 200)
                self.assertLess(time.monotonic() - started, 3)
            self.assertRegex(peers[0].recv(4096), rb"(?s)^HTTP/1\.1 503 .*too many connections")
        finally:
            for peer in peers:
                peer.close()


class Paging(ClusterTest):
    n_machines = 1
    options = {"m1": ["token_limit=3"]}

    def test_a_list_shows_one_moment(self):
        names = [f"p{n:02}.service" for n in range(20)]
        body = {"desiredState": "inactive", "options": options_of(service())}
        for name in names:
            self.assertEqual(self.machines[0].api("PUT", f"{V1}/units/{name}", body).status, 201)
        is_over = threading.Event()

        def change():
            n = 0
            while not is_over.is_set():
                n += 1
                for name in (names[n % 20], f"p{n % 20:02}x.service"):
                    self.machines[0].api("DELETE", f"{V1}/units/{name}")
                    self.machines[0].api("PUT", f"{V1}/units/{name}", body)

        def walk():
            found, token = [], None
            while token != "":
                reply = self.machines[0].api("GET", f"{V1}/units" + (f"?nextPageToken={token}" if token else ""))
                self.assertEqual(reply.status, 200, str(reply))
                page = [unit["name"] for unit in reply.body.get("units", [])]
                self.assertTrue(0 < len(page) <= 3, page)
                found += page
                token = reply.body.get("nextPageToken", "")
            return found

        self.assertEqual(walk(), names)
        changer = threading.Thread(target=change)
        changer.start()
        try:
            for _ in range(10):
                found = walk()
                self.assertEqual(found, sorted(set(found)))
                # At any moment at most one of them is gone, since they are destroyed and made again one by one.
                self.assertGreaterEqual(len(set(found) & set(names)), len(names) - 1)
        finally:
            is_over.set()
            changer.join()

    def test_tokens_of_fleet_1_0_are_taken(self):
        body = {"desiredState": "inactive", "options": options_of(service())}
        for n in range(5):
            self.machines[0].api("PUT", f"{V1}/units/t{n}.service", body)
        page = self.machines[0].api("GET", f"{V1}/units?nextPageToken=AwACAA==").body
        self.assertEqual([unit["name"] for unit in page["units"]], ["t3.service", "t4.service"])
        self.assertEqual(self.machines[0].api("GET", f"{V1}/units?nextPageToken=AwADAA==").data, b"{}")
