# SPDX-License-Identifier: Apache-2.0
"""A clock for one process that a test can turn: libfaketime, unpacked by tests/install.

    tlsmend = scene.tlsmend(clock="wall")   # or "both": wall and monotonic clock
    tlsmend.clock.turn("+25h")              # from the next look at the clock on; also "181d", "-1d", seconds
    tlsmend.clock.now()                     # the time that it sees

"wall" is a clock that was set (timers go on as before); "both" is time that has passed, as after a
suspend: timers are due, but the loop sees it only when something wakes it (a connection is enough).
The offset is from the true time, not from the last turn.  A daemon that is started again keeps it.
"""

import os
import pathlib
import re
import time

from .tree import CACHE

_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "": 1}
KINDS = ("wall", "both")


def seconds(offset):
    """Of "+25h", "181d", "-90s", or a number."""
    if isinstance(offset, (int, float)):
        return float(offset)
    m = re.fullmatch(r"([+-]?)(\d+)([smhd]?)", offset)
    if m is None:
        raise ValueError(f"no offset: {offset!r}")
    return (-1 if m[1] == "-" else 1) * int(m[2]) * float(_UNITS[m[3]])


class Clock:
    def __init__(self, directory, kind="wall"):
        if kind not in KINDS:
            raise ValueError(f"no clock {kind!r}; there are {', '.join(KINDS)}")
        self._path, self._kind, self.offset = directory / "faketime", kind, 0.0
        self.turn(0)

    def turn(self, offset):
        self.offset = seconds(offset)
        new = self._path.with_suffix(".new")
        new.write_text(f"{self.offset:+.0f}\n", encoding="ascii")
        os.replace(new, self._path)

    def now(self):
        return time.time() + self.offset

    def explains(self, ms):
        """Whether something that took so long, by the monotonic clock, did so because it was turned."""
        return self._kind == "both" and ms >= 60000

    def environment(self):
        (library,) = CACHE.glob("faketime/usr/lib/*/faketime/libfaketimeMT.so.1")
        only_wall = {"FAKETIME_DONT_FAKE_MONOTONIC": "1", "DONT_FAKE_MONOTONIC": "1"}
        return {"LD_PRELOAD": str(library), "FAKETIME_TIMESTAMP_FILE": str(self._path), "FAKETIME_NO_CACHE": "1",
                "NO_FAKE_STAT": "1", **(only_wall if self._kind == "wall" else {})}

    @staticmethod
    def clean(pid):
        """What libfaketime leaves of a process that was killed (or that ended by _exit)."""
        for name in (f"faketime_shm_{pid}", f"sem.faketime_sem_{pid}"):
            pathlib.Path("/dev/shm", name).unlink(missing_ok=True)


def remove_stale():
    """The same of runs that were killed: a new process with that number would not start."""
    for path in pathlib.Path("/dev/shm").glob("*faketime_s[eh]m_[0-9]*"):
        if not os.path.exists("/proc/" + path.name.rpartition("_")[2]):
            path.unlink(missing_ok=True)
