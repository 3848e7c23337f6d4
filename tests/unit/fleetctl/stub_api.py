# SPDX-License-Identifier: Apache-2.0
"""A fleet API in memory, for running the real fleetctl against.

It keeps units, places every unit on the first machine at once and serves docs/api.md from that, over a unix socket or TCP. What a real cluster
does slowly or badly is asked for in the unit file itself, in a section that fleetctl does not look at:

    [Stub]
    Outcome=failed       the start job fails
    Outcome=unplaced     no machine fits
    Outcome=late         no machine fits at first, one does after a moment
    Outcome=hidden       likewise, but the wait tells nothing until the unit is up
    Outcome=silent       no outcome ever comes
    Outcome=waiting      its machine waits for another one, then it is there
    Outcome=cut          the wait's reply ends before the outcome
    Outcome=destroyed    somebody destroys it during the wait

Trouble with the connection and the store is asked for in Cluster.trouble, see there.
"""

import http.server
import json
import os
import socket
import socketserver
import threading
import time
import urllib.parse

SLOW_S = 0.3

MACHINES = [
    {"id": "0c1f1a2b3c4d5e6f708192a3b4c5d6e7", "primaryIP": "10.77.0.11", "metadata": {"zone": "z1", "disk": "ssd"}},
    {"id": "1d2e3f4a5b6c7d8e9fa0b1c2d3e4f5a6", "primaryIP": "10.77.0.12"},
    {"id": "2e3f4a5b6c7d8e9fa0b1c2d3e4f5a6b7"},
]
WHY_UNPLACED = "0c1f1a2b...: conflicts with a.service; 1d2e3f4a...: metadata zone=z9 is not satisfied"
WHY_FAILED = "the start job failed: main process exited with status 1"


class Cluster:
    """What the stub knows. Tests read and write it directly."""

    def __init__(self):
        self.lock = threading.Lock()
        self.units = {}
        self.machines = [dict(m) for m in MACHINES]
        self.states = None
        self.page_size = 2
        self.requests = []
        self.connections = 0
        self.refuse = {}  # (method, path) -> (status, message)
        # (method, path) -> what happens to the next requests there, one after the other:
        #   "503"    the store cannot be reached, and nobody knows whether anything was done
        #   "done"   likewise, but it was done
        #   "later"  the daemon turns the request away before anything is done
        #   "cut"    the connection breaks before an answer, or, in a wait, after the first outcome
        #   "hang"   no answer comes
        #   "slow"   the answer comes after SLOW_S
        self.trouble = {}

    def add(self, name, text, desired="inactive"):
        self.units[name] = {"name": name, "options": parse(text), "desiredState": desired}
        self.settle(self.units[name])

    def option(self, unit, section, name):
        for o in unit.get("options", []):
            if o["section"] == section and o["name"] == name:
                return o.get("value", "")
        return None

    def outcome(self, unit):
        return self.option(unit, "Stub", "Outcome")

    def is_global(self, unit):
        return self.option(unit, "X-Fleet", "Global") == "true"

    def settle(self, unit):
        """What the engine and an agent would do."""
        for key in ("machineID", "currentState", "why"):
            unit.pop(key, None)
        if self.is_global(unit):
            return
        unit["currentState"] = "inactive"
        if unit["desiredState"] == "inactive":
            return
        if self.outcome(unit) in ("unplaced", "late", "hidden"):
            unit["why"] = WHY_UNPLACED
            return
        unit["machineID"] = self.machines[0]["id"]
        unit["currentState"] = unit["desiredState"]

    def set_units(self, units):
        """All or none, by the rules of contract section 4.6. Returns (status, message)."""
        for u in units:
            known = self.units.get(u["name"])
            if not known and not u.get("options"):
                return 409, u["name"] + ": unit does not exist and options field empty"
            if u.get("desiredState", "inactive") != "inactive" and "@." in u["name"]:
                return 400, '%s: cannot activate template "%s"' % (u["name"], u["name"])
        for u in units:
            if u.get("restart") and self.units[u["name"]]["desiredState"] == "inactive":
                return 409, u["name"] + ": unable to restart a unit in state inactive"
        for u in units:
            if u.get("restart"):
                u = dict(u, desiredState="launched")
            unit = self.units.setdefault(u["name"], {"name": u["name"]})
            if u.get("options"):
                unit["options"] = u["options"]
            unit["desiredState"] = u.get("desiredState", "inactive")
            self.settle(unit)
        return 204, ""

    def unit_states(self):
        if self.states is not None:
            return self.states
        rows = []
        for unit in self.units.values():
            if "machineID" in unit:
                rows.append({"hash": "8bde" + "0" * 36, "machineID": unit["machineID"], "name": unit["name"],
                             "systemdActiveState": "active", "systemdLoadState": "loaded", "systemdSubState": "running"})
        return rows


def parse(text):
    section, options = "", []
    for line in text.splitlines():
        if line.startswith("["):
            section = line.strip("[] ")
        elif "=" in line:
            name, value = line.split("=", 1)
            options.append({"name": name, "section": section, "value": value})
    return options


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = False

    def setup(self):
        super().setup()
        with self.server.cluster.lock:
            self.server.cluster.connections += 1

    def log_message(self, *args):
        pass

    def address_string(self):
        return "client"

    def reply(self, status, body=None, headers=None):
        data = b"" if body is None else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(data)

    def fail(self, status, message, headers=None):
        self.reply(status, {"error": {"code": status, "message": message}}, headers)

    def handle_any(self):
        cluster = self.server.cluster
        url = urllib.parse.urlsplit(self.path)
        size = int(self.headers.get("Content-Length", 0))
        body = json.loads(self.rfile.read(size)) if size else None
        path = urllib.parse.unquote(url.path)
        with cluster.lock:
            cluster.requests.append((self.command, self.path, body))
            refusal = cluster.refuse.get((self.command, path))
            trouble = (cluster.trouble.get((self.command, path)) or [None]).pop(0)
        if trouble == "slow":
            self.server.stopping.wait(SLOW_S)
        elif trouble and not (trouble == "cut" and path == "/fleet/v1/wait"):
            return self.be_in_trouble(cluster, trouble, body)
        if refusal:
            if refusal[1] is None:
                return self.reply(refusal[0])
            return self.fail(*refusal)
        query = urllib.parse.parse_qs(url.query)
        parts = path.split("/")
        if path == "/fleet/v1/wait":
            return self.wait(cluster, body, trouble == "cut")
        if path in ("/fleet/v1/units", "/fleet/v1/state", "/fleet/v1/machines") and self.command == "GET":
            return self.page(cluster, parts[-1], query)
        if path == "/fleet/v1/units" and self.command == "POST":
            with cluster.lock:
                status, message = cluster.set_units(body["units"])
            return self.reply(204) if status == 204 else self.fail(status, message)
        if path.startswith("/fleet/v1/units/"):
            return self.one(cluster, parts[-1])
        return self.fail(404, "")

    def be_in_trouble(self, cluster, trouble, body):
        if trouble == "hang":
            self.server.stopping.wait()
        if trouble in ("hang", "cut"):
            self.close_connection = True
            return None
        if trouble == "done":
            with cluster.lock:
                cluster.set_units(body["units"])
        return self.fail(503, "fleet server unable to communicate with etcd", {"Retry-After": "1"} if trouble == "later" else {})

    def handle(self):
        try:
            super().handle()
        except (BrokenPipeError, ConnectionResetError):
            pass  # fleetctl has heard what it needs

    do_GET = do_POST = do_DELETE = do_PUT = handle_any

    def one(self, cluster, name):
        with cluster.lock:
            unit = cluster.units.get(name)
            if unit and self.command == "DELETE":
                del cluster.units[name]
        if not unit:
            return self.fail(404, "unit does not exist")
        return self.reply(204) if self.command == "DELETE" else self.reply(200, unit)

    def page(self, cluster, kind, query):
        with cluster.lock:
            rows = {"units": list(cluster.units.values()), "state": cluster.unit_states(), "machines": cluster.machines}[kind]
        if kind == "state" and "unitName" in query:
            rows = [row for row in rows if row["name"] == query["unitName"][0]]
        start = int(query.get("nextPageToken", ["0"])[0])
        page = rows[start:start + cluster.page_size]
        body = {}
        if page:
            body["states" if kind == "state" else kind] = page
        if start + cluster.page_size < len(rows):
            body["nextPageToken"] = str(start + cluster.page_size)
        self.reply(200, body)

    def chunk(self, text):
        data = text.encode()
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def line(self, **row):
        self.chunk(json.dumps({k: v for k, v in row.items() if v is not None}, sort_keys=True) + "\n")

    def reached(self, cluster, name, state, machine):
        with_machine = state in ("loaded", "launched") and machine
        address = next((m.get("primaryIP") for m in cluster.machines if m["id"] == machine), None)
        self.line(name=name, outcome="reached", state="inactive" if state == "gone" else state,
                  machineID=machine if with_machine else None, primaryIP=address if with_machine else None)

    def wait(self, cluster, body, is_cut):
        self.send_response(200)
        self.send_header("Content-Type", "application/x-ndjson")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.chunk("\n")
        begin = time.monotonic()
        try:
            for u in body["units"]:
                if not self.wait_one(cluster, body, u, begin) or is_cut:
                    self.close_connection = True
                    return
            self.chunk("")
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True

    def wait_one(self, cluster, body, asked, begin):
        name, state = asked["name"], body["state"]
        with cluster.lock:
            unit = cluster.units.get(name)
            outcome = cluster.outcome(unit) if unit else None
            machine = unit.get("machineID", asked.get("machineID")) if unit else None
            if outcome == "destroyed":
                del cluster.units[name]
        if outcome == "destroyed":
            self.line(name=name, outcome="unknown-unit")
            return True
        if state in ("gone", "inactive") or unit is None:
            if unit is None and state not in ("gone", "inactive"):
                self.line(name=name, outcome="unknown-unit")
            else:
                self.reached(cluster, name, state, machine)
            return True
        if outcome == "failed":
            self.line(name=name, outcome="failed", state="launched", machineID=machine, primaryIP="10.77.0.11", why=WHY_FAILED)
            return True
        if outcome in ("unplaced", "late", "hidden"):
            self.line(name=name, outcome="unplaced", state="inactive", why=WHY_UNPLACED)
        if outcome == "late":
            time.sleep(0.3)
            self.reached(cluster, name, state, cluster.machines[1]["id"])
            return True
        if outcome == "hidden":
            with cluster.lock:
                unit["machineID"] = cluster.machines[1]["id"]
                del unit["why"]
            time.sleep(2.5)
            self.reached(cluster, name, state, cluster.machines[1]["id"])
            return True
        if outcome == "waiting":
            self.line(name=name, outcome="waiting", state="inactive", machineID=machine, primaryIP="10.77.0.11", why="waits for machine 2e3f4a5b to end it")
        if outcome in ("unplaced", "silent"):
            return self.wait_long(body, name, outcome, begin)
        if outcome == "cut":
            self.wfile.write(b"0\r\n\r\n")
            return False
        self.reached(cluster, name, state, machine)
        return True

    def wait_long(self, body, name, outcome, begin):
        timeout = body.get("timeoutMs", 0) / 1000
        while not timeout or time.monotonic() - begin < timeout:
            if self.server.stopping.wait(0.05):
                return False
            self.wfile.flush()
        self.line(name=name, outcome="timeout", state="inactive", why=WHY_UNPLACED if outcome == "unplaced" else None)
        return True


class UnixServer(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 128

    def get_request(self):
        request, _ = super().get_request()
        return request, ("client", 0)


class TcpServer(http.server.ThreadingHTTPServer):
    pass


class Stub:
    """A running API. `endpoint` is its URL. `tls`, an ssl.SSLContext, puts it behind TLS."""

    def __init__(self, directory, tcp=False, tls=None):
        self.cluster = Cluster()
        if tcp or tls:
            self.server = TcpServer(("127.0.0.1", 0), Handler)
            self.endpoint = "%s://127.0.0.1:%d" % ("https" if tls else "http", self.server.server_address[1])
            if tls:
                self.server.socket = tls.wrap_socket(self.server.socket, server_side=True)
        else:
            path = os.path.join(directory, "fleet.sock")
            self.server = UnixServer(path, Handler)
            self.endpoint = "unix://" + path
        self.server.cluster = self.cluster
        self.server.stopping = threading.Event()
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02})
        self.thread.start()

    def stop(self):
        self.server.stopping.set()
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


def closed_port():
    """A TCP port on which nobody listens: bound, not listening, until the socket is closed."""
    holder = socket.socket()
    holder.bind(("127.0.0.1", 0))
    return holder, holder.getsockname()[1]
