# SPDX-License-Identifier: Apache-2.0
"""The daemon under test: configuration, start, records, end.

The program is $TLSMEND_BIN, else build/release/tlsmend of this tree.
"""

import json
import os
import pathlib
import re
import signal
import sqlite3

from .clock import Clock
from .manager import Manager
from .process import Process, wait_for

ROOT = pathlib.Path(__file__).resolve().parents[3]
_SANITIZER_EXIT = 99
_BLOCKED = re.compile(r"^tlsmend: loop blocked for (\d+) ms.*$", re.M)   # proxy/net/loop.h, in test builds
_SANITIZERS = {
    "ASAN_OPTIONS": f"exitcode={_SANITIZER_EXIT}:abort_on_error=0:detect_leaks=1",
    "UBSAN_OPTIONS": f"halt_on_error=1:exitcode={_SANITIZER_EXIT}:print_stacktrace=1",
    "TSAN_OPTIONS": f"exitcode={_SANITIZER_EXIT}",
}


def program():
    return pathlib.Path(os.environ.get("TLSMEND_BIN") or ROOT / "build/release/tlsmend")


def config_text(settings):
    """libconfig text of nested dicts; a list of dicts is a list of groups, other lists are arrays."""
    return "".join(f"{key} = {_value(value)};\n" for key, value in settings.items())


def _value(v):
    if isinstance(v, bool):
        return "true" if v else "false"
    if isinstance(v, (int, float)):
        return repr(v)
    if isinstance(v, dict):
        return "{ " + "".join(f"{k} = {_value(x)}; " for k, x in v.items()) + "}"
    if isinstance(v, (list, tuple)):
        inside = ", ".join(_value(x) for x in v)
        return f"( {inside} )" if v and isinstance(v[0], dict) else f"[ {inside} ]"
    return '"' + str(v).replace("\\", "\\\\").replace('"', '\\"') + '"'


def merged(base, more):
    """`more` over `base`; groups are merged key by key, None removes a key."""
    out = dict(base)
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            value = merged(out[key], value)
        if value is None:
            out.pop(key, None)
        else:
            out[key] = value
    return out


class Tlsmend:
    """One running daemon in the client namespace."""

    def __init__(self, lab, directory, settings=None, *, start=True, clock=None):
        self._lab, self.directory = lab, directory
        directory.mkdir()
        self.clock = clock and Clock(directory, clock)   # "wall" or "both": it can be turned
        self.store_path = directory / "tlsmend.db"
        self.config_path, self.log_path = directory / "tlsmend.conf", directory / "records.json"
        self.settings = merged(self._defaults(), settings or {})
        self._process = self.manager = None
        self._stderr_seen = 0    # bytes of it that were looked through
        self.write_config()
        if start:
            self.start()

    def _defaults(self):
        return {
            "helo_name": "client.lab.example",
            "user": "",
            "workers": 2,
            "listeners": [{"name": "relayhost", "protocol": "smtp", "address": "127.0.0.1", "port": 2525}],
            "tls": {"level": "verify", "trust_store": self._lab.pki.trust_store},
            "resolver": {"stubs": [{"zone": ".", "address": self._lab.dns.address}],
                         "trust_anchor": self._lab.dns.trust_anchor},
            "store": {"path": self.store_path},
            "log": {"format": "json", "sinks": [{"kind": "file", "path": self.log_path}]},
        }

    # -- life ---------------------------------------------------------------------------------

    @property
    def listener(self):
        first = self.settings["listeners"][0]
        return first["address"], first["port"]

    def write_config(self, **changes):
        """The configuration file anew, with these changes; `reload` makes a running one read it."""
        self.settings = merged(self.settings, changes)
        self.config_path.write_text(config_text(self.settings), encoding="utf-8")

    def start(self):
        """Until it says that it serves: rights are dropped, the store is open, the workers run."""
        env = dict(_SANITIZERS)
        if self.clock:
            env |= self.clock.environment()
            env["ASAN_OPTIONS"] += ":verify_asan_link_order=0"
        self.manager = Manager(self.directory / "notify")
        self._process = Process("tlsmend", [str(program()), "run", "-c", str(self.config_path)],
                                self._stderr, ns=self._lab.net.client, env=env | self.manager.environment())
        try:
            assert self.manager.wait(1, 30, self._process) == ["READY=1"]
        except AssertionError:
            self._end(signal.SIGKILL)
            raise
        return self

    @property
    def _stderr(self):
        return self.directory / "stderr.log"

    @property
    def pid(self):
        return self._process.pid

    def running(self):
        return self._process is not None and self._process.running()

    def send(self, number):
        self._process.send(number)

    def reload(self):
        self.send(signal.SIGHUP)

    def stop(self, expect=0, timeout=15):
        """SIGTERM; the exit code has to be `expect` (sanitizers exit with another one)."""
        if self._process is None:
            self.check_stderr()
            return
        ended_before = not self._process.running()
        code = self._end(timeout=timeout)
        if code != expect:
            how = "had ended before" if ended_before else "ended"
            raise AssertionError(f"tlsmend {how} with exit code {code} instead of {expect}:\n{self.tail()}")
        self.check_stderr()

    def wait_end(self, within):
        """It ends by itself in this time, with exit code 0."""
        code = self._process.wait(within)
        self._ended()
        assert code == 0, f"tlsmend ended with exit code {code}:\n{self.tail()}"
        self.check_stderr()

    def kill(self):
        """kill -9 and wait."""
        self._end(signal.SIGKILL)
        self.check_stderr()

    def check_stderr(self):
        """No loop was blocked: the watchdog of test builds has said nothing since the last look."""
        if not self._stderr.exists():
            return
        said = self._stderr.read_bytes()[self._stderr_seen:]
        self._stderr_seen += len(said)
        blocked = [line[0] for line in _BLOCKED.finditer(said.decode("utf-8", errors="backslashreplace"))
                   if self.clock is None or not self.clock.explains(int(line[1]))]
        assert not blocked, "\n".join(["the watchdog says:", *blocked])

    def _end(self, number=signal.SIGTERM, timeout=10):
        code = self._process.stop(timeout, number)
        self._ended()
        return code

    def _ended(self):
        if self.clock:
            self.clock.clean(self.pid)
        self.manager.close()
        self._process = None

    def crash(self):
        """kill -9, and started again on the same store; the records go on in the same file."""
        self.kill()
        return self.start()

    def restart(self):
        """SIGTERM, and started again on the same store."""
        self.stop()
        return self.start()

    def sql(self, query, *values):
        """Rows of the store, read beside a running daemon."""
        connection = sqlite3.connect(f"file:{self.store_path}?mode=ro", uri=True, timeout=5)
        try:
            return connection.execute(query, values).fetchall()
        finally:
            connection.close()

    def rss(self):
        """Resident memory in bytes."""
        with open(f"/proc/{self.pid}/status", encoding="ascii") as f:
            return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmRSS"))

    def open_files(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    # -- records ------------------------------------------------------------------------------

    def records(self, event=None, **fields):
        """The records so far, oldest first, of that event and with these fields."""
        if not self.log_path.exists():
            return []
        lines = self.log_path.read_bytes().split(b"\n")[:-1]   # the last one may be half written
        found = [json.loads(line) for line in lines]
        return [r for r in found if (event is None or r["event"] == event)
                and all(r.get(k) == v for k, v in fields.items())]

    def wait_records(self, event, count=1, timeout=10, **fields):
        """At least `count` such records."""
        wait_for(lambda: f"{count} {event} records with {fields}; there are:\n{self.tail()}",
                 lambda: len(self.records(event, **fields)) >= count, timeout)
        return self.records(event, **fields)

    def attempts(self, count=1, **fields):
        return self.wait_records("attempt", count, **fields)

    def results(self, count=1, **fields):
        return self.wait_records("result", count, **fields)

    def attempt(self, **fields):
        """The one attempt with these fields; more than one is an error (C-OPS-04)."""
        found = self.attempts(**fields)
        assert len(found) == 1, f"{len(found)} attempts with {fields}: {found}"
        return found[0]

    def result(self, **fields):
        found = self.results(**fields)
        assert len(found) == 1, f"{len(found)} results with {fields}: {found}"
        return found[0]

    def tail(self, lines=40):
        """The end of stderr and of the records, for a failure's report."""
        out = []
        for path in (self._stderr, self.log_path):
            if path.exists():
                text = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
                out += [f"-- {path.name}", *text[-lines:]]
        return "\n".join(out)
