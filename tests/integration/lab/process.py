# SPDX-License-Identifier: Apache-2.0
"""One started server process: its output in a file, ended by its own process id."""

import os
import signal
import subprocess
import time


class Timeout(AssertionError):
    """Something did not happen in time."""


def wait_for(what, condition, timeout=10.0, step=0.01):
    """The first true value of condition(), polled; Timeout when there is none in time."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Timeout(f"timed out after {timeout} s: {what() if callable(what) else what}")
        time.sleep(step)
        step = min(step * 1.3, 0.2)


class Process:
    """A child inside a namespace, in a session of its own with all that it forks."""

    def __init__(self, name, argv, log_path, *, ns, env=None):
        self.name, self.log_path = name, log_path
        with open(log_path, "ab") as log:
            self._popen = subprocess.Popen(
                ns.command(argv), stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **(env or {})}, start_new_session=True)

    @property
    def pid(self):
        return self._popen.pid

    def running(self):
        return self._popen.poll() is None

    def send(self, number):
        if self.running():
            os.kill(self.pid, number)

    def wait(self, timeout=10):
        return self._popen.wait(timeout)

    def stop(self, timeout=10, number=signal.SIGTERM):
        """End it and say how it ended; what is left of its session is killed after the time."""
        self.send(number)
        try:
            code = self._popen.wait(timeout)
        except subprocess.TimeoutExpired:
            code = None
        try:
            os.killpg(self.pid, signal.SIGKILL)   # its own session: nobody else is in there
        except ProcessLookupError:
            pass
        if code is None:
            self._popen.wait(5)
        return code

    def log(self):
        return self.log_path.read_text(encoding="utf-8", errors="backslashreplace")

    def tail(self, lines=40):
        return "\n".join(self.log().splitlines()[-lines:])


def wait_for_port(ns, address, port, process=None, timeout=15):
    """Until something accepts connections there."""
    def accepts():
        if process is not None and not process.running():
            raise AssertionError(f"{process.name} ended early:\n{process.tail()}")
        try:
            ns.connect(address, port, timeout=1).close()
            return True
        except OSError:
            return False
    wait_for(lambda: f"{address}:{port} to listen" + (f"\n{process.tail()}" if process else ""),
             accepts, timeout)
