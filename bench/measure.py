# SPDX-License-Identifier: Apache-2.0
"""The bench's own programs, and what a peer costs: processor time, memory, descriptors."""

import json
import os
import pathlib
import signal
import subprocess
import threading
import time

from lab.process import wait_for

MX_PORT = 25
PARALLEL = 50
_TICK = os.sysconf("SC_CLK_TCK")


class Ids:
    """Gives every load numbers of its own, so that the sink can tell them apart."""

    def __init__(self):
        self._next = 0

    def take(self, count):
        first, self._next = self._next, self._next + count
        return first


class Sink:
    """A running sink in the internet namespace, on every address of it or on one."""

    def __init__(self, programs, ns, chain, *, delay=0, clear=False, port=MX_PORT, address="::"):
        argv = [str(programs / "sink"), "--port", str(port), "--address", address]
        argv += ["--clear"] if clear else ["--chain", str(chain.path), "--key", str(chain.key_path)]
        if delay:
            argv += ["--delay", str(delay)]
        self._popen = subprocess.Popen(ns.command(argv), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                       start_new_session=True)
        if self._popen.stdout.readline() != "ready\n":
            raise SystemExit("bench: the sink did not start")

    @property
    def pid(self):
        return self._popen.pid

    def counts(self):
        self._popen.send_signal(signal.SIGUSR1)
        return json.loads(self._popen.stdout.readline())

    def wait_messages(self, count, timeout):
        """Until so many have arrived since it started."""
        wait_for(lambda: f"{count} messages at the sink: {self.counts()}",
                 lambda: self.counts()["messages"] >= count, timeout, 0.05)

    def stop(self):
        self._popen.terminate()
        self._popen.communicate(timeout=20)
        if self._popen.returncode != 0:
            raise SystemExit(f"bench: the sink ended with code {self._popen.returncode}")


class Load:
    """A load that runs in the client namespace; `wait()` gives its result."""

    def __init__(self, programs, ns, *, to, port, domain, **options):
        argv = [str(programs / "load"), "--to", to, "--port", str(port), "--domain", domain]
        for key, value in options.items():
            if value is True:
                argv.append(f"--{key}")
            elif value is not None and value is not False:
                argv += [f"--{key}", str(value)]
        self.timeout = options.get("timeout", 300)
        self.argv = ns.command(argv)
        self._popen = subprocess.Popen(self.argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True,
                                       start_new_session=True)

    def parked(self):
        """Waits until every message stands behind its RCPT; how many do."""
        return int(self._popen.stdout.readline().removeprefix("parked "))

    def release(self):
        self._popen.send_signal(signal.SIGUSR1)

    def wait(self):
        out, _ = self._popen.communicate(timeout=self.timeout + 30)
        if self._popen.returncode != 0:
            raise SystemExit(f"bench: the load ended with code {self._popen.returncode}")
        return json.loads(out)


def numbers(ranges):
    return {n for first, last in ranges for n in range(first, last + 1)}


def lost_and_twice(results, counts):
    """How many messages were answered 250 and did not arrive; how many arrived more than once."""
    taken = set().union(*(numbers(r["ids"]) for r in results)) if results else set()
    return len(taken - numbers(counts["ids"])), len(numbers(counts["ids_twice"]))


# -- what a peer costs --------------------------------------------------------------------------


def cpu_of(pids):
    """Seconds of processor time of these processes, their threads and the children they have seen end."""
    total = 0
    for pid in pids:
        try:
            text = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
        except OSError:
            continue
        total += sum(int(f) for f in text.rsplit(")", 1)[1].split()[11:15])
    return total / _TICK


def pss_of(pids):
    """Bytes of memory, shared pages counted by share."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += next(int(line.split()[1]) * 1024 for line in f if line.startswith("Pss:"))
        except OSError:
            continue
    return total


def files_of(pids):
    return sum(len(os.listdir(f"/proc/{pid}/fd")) for pid in pids)


def same_mounts(pid):
    """The processes in the same mount namespace: all of one Postfix."""
    own = os.readlink(f"/proc/{pid}/ns/mnt")
    found = []
    for entry in os.listdir("/proc"):
        try:
            if entry.isdigit() and os.readlink(f"/proc/{entry}/ns/mnt") == own:
                found.append(int(entry))
        except OSError:
            continue
    return found


class PeakMemory:
    """The most memory of some processes while the block runs, in bytes."""

    def __init__(self, pids):
        self._pids, self._stop = pids, threading.Event()
        self.bytes = 0

    def __enter__(self):
        self._thread = threading.Thread(target=self._watch)
        self._thread.start()
        return self

    def _watch(self):
        while not self._stop.is_set():
            self.bytes = max(self.bytes, pss_of(self._pids()))
            self._stop.wait(0.1)

    def __exit__(self, *_):
        self._stop.set()
        self._thread.join()


def quiet(pids, longest=30):
    """Waits until a peer has nothing more to do."""
    deadline, before = time.monotonic() + longest, cpu_of(pids())
    while time.monotonic() < deadline:
        time.sleep(0.3)
        now = cpu_of(pids())
        if now - before < 0.02:
            return
        before = now
