#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""etcdctl against the built-in store and against etcd: the same script, and the same output, line by line.

Usage: etcdctl.py STORE-SERVER

What must differ is replaced by a name before the comparison: the IDs of the cluster, the member and of leases that the
store draws, the endpoints, the member's name and its peers' URL, versions, sizes, the indexes of Raft, how long something
took, and what is left of a lease. The keys of a lease, whose order etcd leaves to chance, are put in order. Nothing else is.
"""

import difflib
import os
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time

LIMIT_S = 20
EXIT_SKIPPED = 77

# What is asked, in order. A row is the words of etcdctl, and perhaps what it reads. Words in braces are what was learnt:
# {lease} is the ID of the lease that was granted last. `watch` rows say how many lines they wait for, and what is done
# meanwhile.
TXN_SUCCESS = 'value("k/a") = "one"\nversion("k/b") > "0"\n\nput k/c "with space"\nget k/a\ndel k/z\nget k/ --prefix --keys-only\n\nput k/c lost\n\n'
TXN_FAILURE = 'create("k/none") > "0"\n\nput k/c never\n\nget k/c\nput k/d made\n\n'
TXN_TESTS = 'mod("k/a") < "1000"\ncreate("k/none") = "0"\nversion("k/none") = "0"\n\nget k/a\n\nget k/b\n\n'
TXN_NO_VALUE = 'value("k/none") != "x"\n\nget k/a\n\nget k/b\n\n'
TXN_TWICE = '\nput k/t 1\nput k/t 2\n\n\n'
TXN_EMPTY = '\n\n\n'


class Step:
    def __init__(self, *words, stdin="", n_lines=None, meanwhile=()):
        self.words, self.stdin, self.n_lines, self.meanwhile = words, stdin, n_lines, meanwhile

    def __str__(self):
        return "etcdctl " + " ".join(self.words)


def script():
    """All steps."""
    for format in ("simple", "json", "fields"):
        w = ("-w", format)
        yield Step("put", f"w/{format}", "value", *w)
        yield Step("put", f"w/{format}", "other", "--prev-kv", *w)
        yield Step("get", f"w/{format}", *w)
        yield Step("get", "w/", "--prefix", "--limit=1", *w)
        yield Step("get", "w/none", *w)
        yield Step("del", f"w/{format}", "--prev-kv", *w)
        yield Step("del", "w/none", *w)
        yield Step("txn", *w, stdin=TXN_EMPTY)

    yield Step("put", "k/a", "one")
    yield Step("put", "k/b", "")
    yield Step("put", "k/b", "two")
    yield Step("put", "k/b", "three")
    yield Step("put", "k/c", "zwei\nlines")
    yield Step("put", "l", "behind")
    yield Step("put", "", "no key")
    yield Step("put", "k/none", "--ignore-value")
    yield Step("put", "k/none", "--ignore-lease", "value")
    yield Step("put", "k/b", "--ignore-value", "--prev-kv")
    yield Step("get", "k/a")
    yield Step("get", "")
    yield Step("get", "k/", "--prefix")
    yield Step("get", "k/", "--prefix", "--keys-only")
    yield Step("get", "k/", "--prefix", "--print-value-only")
    yield Step("get", "k/", "--prefix", "--keys-only", "-w", "json")
    yield Step("get", "k/", "--prefix", "--keys-only", "-w", "fields")
    yield Step("get", "k/b", "--from-key")
    yield Step("get", "k/a", "k/c")
    yield Step("get", "k/c", "k/a")
    yield Step("get", "", "--from-key", "-w", "json")
    yield Step("get", "k/", "--prefix", "--limit=2", "-w", "json")
    yield Step("get", "k/", "--prefix", "--limit=3", "-w", "json")
    for order in ("ASCEND", "DESCEND"):
        for target in ("CREATE", "KEY", "MODIFY", "VALUE", "VERSION"):
            yield Step("get", "k/", "--prefix", f"--order={order}", f"--sort-by={target}")
            yield Step("get", "k/", "--prefix", f"--order={order}", f"--sort-by={target}", "--limit=1", "-w", "json")
    yield Step("get", "k/", "--prefix", "--sort-by=MODIFY", "--limit=2", "-w", "json")
    yield Step("get", "k/", "--prefix", "--sort-by=VALUE", "--keys-only", "-w", "json")
    yield Step("get", "k/", "--prefix", "--rev={revision}")
    yield Step("get", "k/b", "--rev=16", "-w", "json")
    yield Step("get", "k/b", "--rev=100000")
    yield Step("get", "k/b", "--consistency=s")

    yield Step("txn", stdin=TXN_SUCCESS)
    yield Step("txn", stdin=TXN_FAILURE)
    yield Step("txn", "-w", "json", stdin=TXN_SUCCESS)
    yield Step("txn", "-w", "fields", stdin=TXN_FAILURE)
    yield Step("txn", "-w", "json", stdin=TXN_TESTS)
    yield Step("txn", stdin=TXN_NO_VALUE)
    yield Step("txn", stdin=TXN_TWICE)
    yield Step("txn", stdin="\n" + "".join(f"put many/{i:03} v\n" for i in range(128)) + "\n\n")
    yield Step("txn", stdin="\n" + "".join(f"put many/{i:03} v\n" for i in range(129)) + "\n\n")
    yield Step("get", "many/", "--prefix", "--keys-only", "-w", "json")
    yield Step("put", "large", "x" * 100000)
    yield Step("put", "too-large", stdin="x" * (1536 * 1024 + 1))
    yield Step("put", "far-too-large", stdin="x" * (2048 * 1024 + 1))
    yield Step("del", "large")

    yield Step("watch", "k/", "--prefix", "--rev=14", n_lines=22)
    yield Step("watch", "k/", "--prefix", "--rev=14", "--prev-kv", "-w", "json", n_lines=1)
    yield Step("watch", "k/b", "--rev=14", "--prev-kv", n_lines=10)
    yield Step("watch", "k/b", "k/d", "--rev={next}", "--prev-kv", n_lines=12, meanwhile=(
        Step("put", "k/a", "not seen"), Step("put", "k/b", "seen"), Step("del", "k/c"), Step("put", "k/c", "again")))
    # One change each: a line of JSON is an answer, and an etcd that is late puts two changes into one.
    for change in (("put", "live/a", "1"), ("del", "live/", "--prefix")):
        yield Step("watch", "live/", "--prefix", "--rev={next}", "-w", "json", n_lines=1, meanwhile=(Step(*change),))
    yield Step("watch", "k/c", "k/b", n_lines=1)

    yield Step("lease", "grant", "300")
    yield Step("put", "held/b", "v", "--lease={lease}")
    yield Step("put", "held/a", "v", "--lease={lease}")
    yield Step("get", "held/a", "-w", "json")
    yield Step("put", "held/a", "w", "--ignore-lease")
    yield Step("put", "held/none", "w", "--lease=123")
    yield Step("lease", "keep-alive", "--once", "{lease}")
    yield Step("lease", "keep-alive", "--once", "{lease}", "-w", "json")
    yield Step("lease", "keep-alive", "--once", "123")
    yield Step("lease", "timetolive", "{lease}")
    yield Step("lease", "timetolive", "{lease}", "--keys")
    yield Step("lease", "timetolive", "{lease}", "--keys", "-w", "json")
    yield Step("lease", "timetolive", "123")
    yield Step("lease", "timetolive", "123", "-w", "json")
    yield Step("lease", "list")
    yield Step("lease", "revoke", "{lease}")
    yield Step("lease", "revoke", "{lease}")
    yield Step("lease", "list")
    yield Step("lease", "grant", "1", "-w", "json")
    yield Step("lease", "grant", "90000000000")
    yield Step("get", "held/", "--prefix", "-w", "json")

    yield Step("compaction", "20")
    yield Step("compaction", "20")
    yield Step("compaction", "19")
    yield Step("compaction", "100000")
    yield Step("get", "k/b", "--rev=19")
    yield Step("get", "k/b", "--rev=20", "-w", "json")
    yield Step("watch", "k/b", "--rev=5", n_lines=2)
    yield Step("compaction", "{revision}", "--physical")

    yield Step("del", "k/", "--prefix", "--prev-kv")
    yield Step("del", "k/", "--prefix", "--prev-kv", "-w", "json")
    yield Step("del", "many/100", "--from-key", "-w", "json")
    yield Step("del", "many/010", "many/020")
    yield Step("del", "")
    yield Step("del", "", "--from-key", "-w", "fields")

    yield Step("endpoint", "status")
    yield Step("endpoint", "status", "-w", "json")
    yield Step("endpoint", "status", "-w", "fields")
    yield Step("endpoint", "status", "--cluster")
    yield Step("endpoint", "health")
    yield Step("endpoint", "health", "--cluster")
    yield Step("member", "list")
    yield Step("member", "list", "-w", "json")
    yield Step("alarm", "list")
    yield Step("alarm", "disarm")
    yield Step("--user=root:secret", "get", "k/a")


class Server:
    """A store for etcdctl."""

    def __init__(self, name, command):
        self.name, self.folder = name, tempfile.mkdtemp(prefix="etcdctl-")
        self.ports = [free_port(), free_port()]
        self.url = f"http://127.0.0.1:{self.ports[0]}"
        self.learnt = {"lease": "0"}
        self.leases = []
        with open(f"{self.folder}/log", "wb") as log:
            self.process = subprocess.Popen(command(self), stdout=log, stderr=log)
        until = time.monotonic() + LIMIT_S
        while self.run(Step("endpoint", "health")).returncode != 0:
            if time.monotonic() > until:
                raise SystemExit(f"{name} does not start; its log is in {self.folder}/log")
            time.sleep(0.05)
        status = self.run(Step("endpoint", "status", "-w", "json")).stdout
        self.cluster, self.member = (re.search(f'"{key}":(\\d+)', status).group(1) for key in ("cluster_id", "member_id"))

    def stop(self):
        self.process.terminate()
        code = self.process.wait(LIMIT_S)
        shutil.rmtree(self.folder)
        return code

    def words(self, step):
        self.learn()
        return ["etcdctl", "--endpoints", self.url] + [word.format(**self.learnt) for word in step.words]

    def learn(self):
        """What the words of the next step may need."""
        status = subprocess.run(["etcdctl", "--endpoints", self.url, "endpoint", "status", "-w", "json"],
                                capture_output=True, text=True, env=environment()).stdout
        found = re.search(r'"revision":(\d+)', status)
        revision = int(found.group(1)) if found else 0
        self.learnt.update(revision=str(revision), next=str(revision + 1))

    def run(self, step):
        return subprocess.run(self.words(step), input=step.stdin, capture_output=True, text=True, timeout=LIMIT_S,
                              env=environment())

    def watch(self, step):
        """The lines of a watch, and what is done once it is there."""
        process = subprocess.Popen(self.words(step), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                   env=environment())
        lines = [f"{inner}: {line}" for inner in step.meanwhile for line in self.lines_of(self.run(inner))]
        limit = threading.Timer(LIMIT_S, process.kill)
        limit.start()
        while len([line for line in lines if not line.startswith("etcdctl ")]) < step.n_lines:
            line = process.stdout.readline()
            if not line:
                lines.append("(no further line)")
                break
            lines.append(line.rstrip("\n"))
        limit.cancel()
        process.kill()
        process.wait()
        process.stdout.close()
        return lines

    def lines_of(self, result):
        return result.stdout.splitlines() + result.stderr.splitlines() + [f"(exit {result.returncode})"]

    def play(self, step):
        lines = self.watch(step) if step.n_lines else self.lines_of(self.run(step))
        for line in lines:
            found = re.match(r"lease ([0-9a-f]+) granted with TTL\(\d+s\)$", line) or re.search(r'"ID":(\d+),"TTL":2,', line)
            if found:
                self.learnt["lease"] = found.group(1)
                self.leases.append(found.group(1))
        return [self.neutral(line) for line in lines if not line.startswith('{"level":')]

    def neutral(self, line):
        """The line, with names for what must differ."""
        for i, lease in enumerate(self.leases):
            line = line.replace(lease, f"<lease {i}>")
            line = line.replace(str(int(lease, 16)), f"<lease {i}>")
        line = line.replace(self.url, "<endpoint>").replace(f"127.0.0.1:{self.ports[0]}", "<endpoint>")
        line = line.replace(self.cluster, "<cluster>").replace(self.member, "<member>")
        line = line.replace(f"{int(self.member):x}", "<member>")
        line = re.sub(r"(attached keys\(\[)([^]]*)", lambda found: found.group(1) + " ".join(sorted(found.group(2).split())), line)
        line = re.sub(r'("keys":\[)([^]]*)', lambda found: found.group(1) + ",".join(sorted(found.group(2).split(","))), line)
        line = re.sub(r"remaining\(2[89]\ds\)", "remaining(<left>)", line)
        line = re.sub(r'"ttl":2[89]\d,', '"ttl":<left>,', line)
        line = re.sub(r"took = [0-9.µnm]+s", "took = <time>", line)
        line = re.sub(r'"(raftIndex|raftAppliedIndex|dbSize|dbSizeInUse)":\d+', r'"\1":<number>', line)
        line = re.sub(r'"(RaftIndex|RaftAppliedIndex|DBSize|DBSizeInUse)" : \d+', r'"\1" : <number>', line)
        line = re.sub(r'"version":"[^"]*"', '"version":<version>', line)
        line = re.sub(r'"Version" : "[^"]*"', '"Version" : <version>', line)
        line = re.sub(r"(<endpoint>, <member>), [^,]+, [^,]+, (\w+, \w+, \d+), \d+, \d+", r"\1, <version>, <size>, \2, <index>", line)
        line = re.sub(r"(<member>, started), [^,]*, [^,]*", r"\1, <name>, <peers>", line)
        line = re.sub(r'"name":"[^"]*"(,"peerURLs":\[[^]]*\])?', '"name":<name>', line)
        return line


def environment():
    return dict(os.environ, ETCDCTL_API="3")


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def etcd_command(server):
    client, peer = (f"http://127.0.0.1:{port}" for port in server.ports)
    return ["etcd", "--data-dir", f"{server.folder}/data", "--listen-client-urls", client, "--advertise-client-urls", client,
            "--listen-peer-urls", peer, "--initial-advertise-peer-urls", peer, "--initial-cluster", f"default={peer}"]


def main():
    if os.environ.get("FLEET_TEST_NO_ETCD"):
        print("Skipped: FLEET_TEST_NO_ETCD is set")
        return EXIT_SKIPPED
    etcd = Server("etcd", etcd_command)
    ours = Server("the built-in store", lambda server: [sys.argv[1], f"{server.folder}/store.db", f"127.0.0.1:{server.ports[0]}"])
    n_steps = n_lines = n_different = 0
    for step in script():
        wanted, got = etcd.play(step), ours.play(step)
        n_steps += 1
        n_lines += len(wanted)
        if wanted != got:
            n_different += 1
            print(f"== {step}"[:300])
            for line in difflib.unified_diff(wanted, got, "etcd", "the built-in store", lineterm="", n=1):
                print(line[:1000])
    etcd.stop()
    code = ours.stop()
    print(f"{n_steps} commands, {n_lines} lines of etcd's, {n_different} commands with another output")
    return 1 if n_different or code else 0


if __name__ == "__main__":
    sys.exit(main())
