# SPDX-License-Identifier: Apache-2.0
"""What the programs of this folder share: a cluster that ends with them, whose journals stay when they fail; a random order of things
that a number repeats; and a verdict in the last line."""

import argparse
import contextlib
import random
import sys
import tempfile
import time
import traceback
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "functional"))
import harness


class Failure(Exception):
    """What did not hold, in words."""


def arguments(doc, **numbers):
    """The options of a program: numbers, by name -> (default, help), and what all have."""
    parser = argparse.ArgumentParser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, (default, text) in numbers.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=type(default), default=default, metavar="N", help=f"{text} ({default})")
    parser.add_argument("--seed", type=int, default=int(time.time()), help="what is random follows from this (the time)")
    parser.add_argument("--root", type=Path, default=harness.TOP / "build/root", help="what `DESTDIR=ROOT meson install` made (build/root)")
    return parser.parse_args()


def say(text):
    print(f"{time.strftime('%H:%M:%S')} {text}", flush=True)


def keep(cluster):
    """Leave in a folder what tells how it came to this: the store, the daemons' states, the journals, the notes."""
    folder = Path(tempfile.mkdtemp(prefix="fleet-soak-"))
    for machine in cluster.machines:
        cluster.lab.call("resume", machine.name)
        cluster.lab.call("exec", machine.name, "systemctl", "kill", "--signal=USR1", "--kill-whom=main", "fleet.service")
    (folder / "store").write_text(cluster.lab.call("etcdctl", "get", harness.PREFIX, "--prefix").out)
    (folder / "notes").write_text("".join(f"{line}\n" for line in cluster.notes))
    cluster.save_journals(folder)
    say(f"the journals are in {folder}, with what the store has and what was done")


@contextlib.contextmanager
def cluster_of(options, n_machines, ttl_s):
    """Machines over three members of etcd."""
    harness.adopt_orphans()
    cluster = harness.Cluster(options.root, n_machines, 3, ttl_s=ttl_s)
    cluster.notes = []  # lines that tell what was done
    try:
        yield cluster
    except BaseException:
        keep(cluster)
        raise
    finally:
        cluster.down()


def run(doc, numbers, work):
    """Do it: work(options, rng) returns the figures as text, or raises. Returns the exit code."""
    options = arguments(doc, **numbers)
    say(f"seed {options.seed}")
    try:
        figures = work(options, random.Random(options.seed))
    except (Failure, AssertionError) as failure:
        if not isinstance(failure, Failure):
            traceback.print_exc()
        print(f"FAILED, seed {options.seed}: {failure}", flush=True)
        return 1
    print(f"{figures}\nPASSED, seed {options.seed}", flush=True)
    return 0
