# SPDX-License-Identifier: Apache-2.0
"""The service manager's end of $NOTIFY_SOCKET: what a daemon says of itself (sd_notify)."""

import contextlib
import socket
import threading
import time

from .process import wait_for

FILLING = b"FILLING=1"


class Manager:
    """One for each start.  `said` is all that came so far, in order."""

    def __init__(self, path):
        self.said, self._path = [], path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        path.chmod(0o666)   # a daemon that has dropped its rights speaks too
        self._reads = threading.Event()
        self._reads.set()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while data := self._sock.recv(1000):
            if data != FILLING:
                self.said.append(data.decode())
            self._reads.wait()

    @contextlib.contextmanager
    def deaf(self):
        """Meanwhile it reads nothing, and the kernel has no room for another word."""
        self._reads.clear()
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other:
                other.setblocking(False)
                for _ in range(2):   # the first of them ends the recv() that is under way
                    with contextlib.suppress(BlockingIOError):
                        while True:
                            other.sendto(FILLING, str(self._path))
                    time.sleep(0.1)
            yield
        finally:
            self._reads.set()

    def environment(self):
        return {"NOTIFY_SOCKET": str(self._path)}

    def wait(self, count, timeout=10, process=None):
        """The first `count` things said; for those of a process that has ended nobody waits."""
        def there():
            ended = process is not None and not process.running()
            if ended and len(self.said) < count:
                raise AssertionError(f"{process.name} ended early:\n{process.tail()}")
            return len(self.said) >= count
        wait_for(lambda: f"{count} notifications; there are {self.said}", there, timeout)
        return list(self.said)

    def close(self):
        self._reads.set()
        self._sock.shutdown(socket.SHUT_RD)
        self._thread.join(5)
        self._sock.close()
        self._path.unlink(missing_ok=True)
