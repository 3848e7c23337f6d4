# SPDX-License-Identifier: Apache-2.0
"""Who runs what, at every moment: a look at the cgroups of all machines of a lab from outside, many times a second. It asks nobody, so it
sees the same whatever is broken inside."""

import os
import threading
import time

PERIOD_S = 0.05


class Watch:
    """Looks as long as its `with` lasts. For each unit there is a history: what each look found, where it differs from the one before."""

    def __init__(self, cluster, units=()):
        self._lab = cluster.lab
        self._top = (cluster.lab.state / "cgroup").read_text().strip()
        self._lock = threading.Lock()
        self._history = {}  # unit -> [(time, {machine: its processes, as this host numbers them})]
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look_on, daemon=True)
        self.n_looks = 0
        self.longest_pause_s = 0
        for unit in units:
            self.add(unit)

    def __enter__(self):
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._ended.set()
        self._thread.join()

    def add(self, *units):
        with self._lock:
            for unit in units:
                self._history.setdefault(unit, [])

    def forget(self, *units):
        with self._lock:
            for unit in units:
                self._history.pop(unit, None)

    def _look_on(self):
        before = time.monotonic()
        while not self._ended.wait(PERIOD_S):
            self._look()
            now = time.monotonic()
            self.longest_pause_s = max(self.longest_pause_s, now - before)
            before = now

    def _look(self):
        now = time.monotonic()
        with self._lock:
            found = {unit: {} for unit in self._history}
            machines = os.listdir(self._lab.state / "machine")
            # One machine is seen after the other: what went over from the second to the first in between is on none. So whoever
            # seems to be nowhere is looked for once more.
            for _ in range(2):
                missing = {unit: copies for unit, copies in found.items() if not copies}
                for machine in machines if missing else ():
                    self._look_at(machine, missing)
            for unit, copies in found.items():
                history = self._history[unit]
                if not history or history[-1][1] != copies:
                    history.append((now, copies))
            self.n_looks += 1

    def _look_at(self, machine, found):
        folder = f"{self._top}/machine-{machine}/system.slice"
        try:
            present = found.keys() & set(os.listdir(folder))
        except OSError:
            return  # it is off
        for unit in present:
            try:
                with open(f"{folder}/{unit}/cgroup.procs", encoding="ascii") as file:
                    processes = tuple(file.read().split())
            except OSError:
                continue  # gone since
            if processes:
                found[unit][machine] = processes

    def history(self, unit, since=0):
        """The states of the unit since that moment, the one that it was in then among them: [(from, to, copies)]."""
        with self._lock:
            steps = list(self._history[unit])
        ends = [start for start, _ in steps[1:]] + [time.monotonic()]
        return [(max(start, since), end, copies) for (start, copies), end in zip(steps, ends) if end > since]

    def copies(self, unit):
        """Which machines run it, with which processes, at the last look."""
        with self._lock:
            return dict(self._history[unit][-1][1]) if self._history[unit] else {}

    def all_copies(self):
        with self._lock:
            return {unit: dict(history[-1][1]) if history else {} for unit, history in self._history.items()}

    def gaps(self, unit, since=0):
        """The times in which nobody ran it."""
        return [(start, end) for start, end, copies in self.history(unit, since) if not copies]

    def doubles(self, unit, since=0):
        """The times in which several machines ran it."""
        return [(start, end, sorted(copies)) for start, end, copies in self.history(unit, since) if len(copies) > 1]

    def changed(self, since=0):
        """The units whose processes are not what they were at that moment: unit -> what they were since then, by seconds."""
        with self._lock:
            began = {unit: max(since, history[0][0]) for unit, history in self._history.items() if history}
        histories = {unit: self.history(unit, since) for unit in began}
        return {unit: [(round(start - began[unit], 2), copies) for start, _, copies in history] for unit, history in histories.items() if len(history) != 1}
