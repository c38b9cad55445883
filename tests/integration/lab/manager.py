# SPDX-License-Identifier: Apache-2.0
"""The service manager's end of $NOTIFY_SOCKET: what a daemon says of itself (sd_notify)."""

import socket
import threading

from .process import wait_for


class Manager:
    """One for each start.  `said` is all that came so far, in order."""

    def __init__(self, path):
        self.said, self._path = [], path
        self._sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._sock.bind(str(path))
        path.chmod(0o666)   # a daemon that has dropped its rights speaks too
        # Always read: the kernel keeps few datagrams, and then the daemon would wait.
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        while data := self._sock.recv(1000):
            self.said.append(data.decode())

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
        self._sock.shutdown(socket.SHUT_RD)
        self._thread.join(5)
        self._sock.close()
        self._path.unlink(missing_ok=True)
