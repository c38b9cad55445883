# SPDX-License-Identifier: Apache-2.0
"""What the real mail servers have in common: an MX has an inbox, a legacy client has a queue."""

import dataclasses
import socket
import threading

from .process import wait_for, wait_for_port
from .smtpc import SmtpClient
from .tree import Tree

RELAY = ("127.0.0.1", 2525)   # tlsmend
SUBMIT_PORT = 10025           # where the legacy client takes mail
CLIENT_NAME = "client.lab.example"
INBOX = "/var/lab-inbox"      # a Maildir, in the server's own /var


@dataclasses.dataclass
class Queued:
    """A message that waits in a legacy client's queue."""
    id: str
    recipient: str
    reason: str


class Syslog:
    """What an instance says to its /dev/log."""

    def __init__(self, lab):
        self.lines, self.directory = [], lab.new_directory("syslog")
        self.directory.mkdir()
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(self.directory / "log"))
        (self.directory / "log").chmod(0o666)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        while line := self._socket.recv(8192):
            self.lines.append(line.decode("utf-8", "replace"))

    def stop(self):
        self._socket.shutdown(socket.SHUT_RDWR)   # recv() answers b""


class Server:
    """A real server in a Tree of its own."""

    package = None

    def __init__(self, lab, ns, hostname, syslog=None):
        self.hostname, self.syslog = hostname, syslog
        self._ns = ns
        self.tree = Tree(self.package, lab.new_directory(self.package), ns, hostname, syslog and syslog.directory)

    def begin(self, argv, address, port, env=None):
        self.tree.start(argv, env)
        try:
            wait_for_port(self._ns, address, port, self.tree.process)
        except AssertionError:
            self.stop()
            raise

    @property
    def pid(self):
        return self.tree.process.pid

    def stop(self):
        self.tree.stop()
        if self.syslog:
            self.syslog.stop()

    def logs(self):
        """Files that tell what went on, in the instance."""
        return []

    def tail(self, lines=40):
        out = self.syslog.lines[-lines:] if self.syslog else []
        for path in [self.tree.directory / "server.log", *map(self.tree.path, self.logs())]:
            if path.exists():
                text = path.read_text(encoding="utf-8", errors="backslashreplace").splitlines()
                out += [f"-- {path.name}", *text[-lines:]]
        return "\n".join(out)


class MxServer(Server):
    """Takes mail for every domain on an address pair of its own, port 25, with STARTTLS, and puts all
    into one Maildir.  `reject@...` gets 550 5.1.1, `defer@...` 450 4.2.0.

    versions: ("1.2", "1.2"), ("1.3", "1.3") or ("1.2", "1.3")."""

    def __init__(self, lab, *, hostname, chain, versions=("1.2", "1.3"), addresses=None):
        super().__init__(lab, lab.net.internet, hostname)
        self.addresses = tuple(addresses or lab.net.new_host())
        self.chain, self.versions = chain, versions
        for part in ("", "/new", "/cur", "/tmp"):
            self.tree.mkdir(INBOX + part, owner="labmail", mode=0o700)
        self.configure()
        self.begin(self.command(), self.addresses[0], 25)

    def inbox(self, marker):
        """The messages that contain the marker (a domain, a Message-ID), with LF line ends."""
        marker = marker.encode()
        found = [p.read_bytes() for p in sorted(self.tree.path(INBOX).glob("new/*"))]
        return [m.replace(b"\r\n", b"\n") for m in found if marker in m]

    def wait_mail(self, marker, timeout=30):
        """The one message with the marker."""
        mails = wait_for(lambda: f"a mail with {marker} at {self.hostname}\n{self.tail()}",
                         lambda: self.inbox(marker), timeout)
        assert len(mails) == 1, f"{len(mails)} mails with {marker}"
        return mails[0]


class LegacyClient(Server):
    """Takes mail on 127.0.0.1:10025 of the client namespace and relays everything to tlsmend, in clear,
    with the lines that docs/clients/ gives (lab/pages.py).  holding: mail that is handed in waits for
    run_queue(), as after a time in which tlsmend was not there."""

    def __init__(self, lab, *, holding=False, syslog=None):
        super().__init__(lab, lab.net.client, CLIENT_NAME, syslog)
        self.holding = holding
        self.configure()
        self.begin(self.command(), "127.0.0.1", SUBMIT_PORT)

    def submit(self, recipient, message, sender=f"sender@{CLIENT_NAME}"):
        """Hand a mail in."""
        recipients = [recipient] if isinstance(recipient, str) else recipient
        self.submit_all([(recipients, message)], sender)

    def submit_all(self, mails, sender=f"sender@{CLIENT_NAME}"):
        """Hand in (recipients, message) pairs, in one session."""
        with SmtpClient(self._ns, port=SUBMIT_PORT) as c:
            c.ehlo("localhost")
            for recipients, message in mails:
                replies = c.envelope(sender, recipients)
                assert all(r.code == 250 for r in replies), [str(r) for r in replies]
                reply = c.data(message)
                assert reply.code == 250, str(reply)

    def queue(self):
        """What waits, with the reason of the last try: what an administrator is shown."""
        raise NotImplementedError

    def flush(self):
        """Try everything again now."""
        raise NotImplementedError

    def run_queue(self, timeout=60):
        """One queue run: everything that waits is tried once.  Returns when it is over."""
        raise NotImplementedError

    def grudges(self):
        """What the client holds against its relayhost itself, in its own words; nothing is due."""
        raise NotImplementedError

    def wait_deferred(self, marker, timeout=20):
        """The message for a recipient with the marker, once it was tried and has a reason."""
        def waiting():
            return [q for q in self.queue() if marker in q.recipient and q.reason]
        return wait_for(lambda: f"{marker} in the queue: {self.queue()}\n{self.tail()}", waiting, timeout)[0]

    def wait_empty(self, marker, timeout=30):
        """Until nothing for that marker is left."""
        wait_for(lambda: f"{marker} to leave the queue: {self.queue()}\n{self.tail()}",
                 lambda: not [q for q in self.queue() if marker in q.recipient], timeout)
