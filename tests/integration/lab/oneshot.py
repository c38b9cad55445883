# SPDX-License-Identifier: Apache-2.0
"""Debian's msmtp, nullmailer and dma: programs that only hand mail to a smarthost, each in its own way.

None of them listens: mail is handed in on the command line.  They have what legacy clients have:
submit_all, run_queue, queue, grudges (lab/mta.py).  One recipient a message: see docs/clients/oneshot.md.
"""

import concurrent.futures
import contextlib
import os
import re
import signal

from . import pages
from .mta import CLIENT_NAME, Queued, Server, Syslog
from .process import wait_for

_MAIL_UID = 8   # Debian's user and group "mail", fixed in base-passwd
_READY = "/var/lab-ready"


class OneShot(Server):
    """A host with such a program."""

    def __init__(self, lab, *, holding=True, syslog=None):
        assert holding, "mail waits for run_queue()"
        super().__init__(lab, lab.net.client, CLIENT_NAME, syslog)
        self.configure()
        self.tree.start(["sh", "-c", f"touch {_READY}; exec sleep infinity"])
        wait_for("the instance", self.tree.path(_READY).exists)

    def configure(self):
        raise NotImplementedError

    def submit_all(self, mails, sender):
        raise NotImplementedError

    def queue(self):
        raise NotImplementedError

    def run_queue(self, timeout=60):
        raise NotImplementedError

    def grudges(self):
        """None of them remembers anything of its smarthost."""
        return []


class Msmtp(OneShot):
    """No queue at all: the program that called it hears how it went.  Here eight such programs try again
    what was temporary (sysexits.h: EX_TEMPFAIL)."""

    package = "msmtp"

    def configure(self):
        self._waiting, self.refused = [], {}
        self.tree.write("/etc/msmtprc", pages.lines("oneshot", "msmtprc"))

    def submit_all(self, mails, sender):
        self._waiting += [(sender, to, message, "") for (to,), message in mails]

    def _send(self, mail):
        sender, to, message, _ = mail
        # msmtp reads text with LF; what is told on stderr comes behind the exit code here.
        text = self.tree.run(["sh", "-c", 'msmtp -f "$0" -- "$1" 2>&1; echo "exit $?"', sender, to],
                             input=message.replace(b"\r\n", b"\n").decode())
        told, _, code = text.rpartition("exit ")
        return sender, to, message, "" if int(code) == 0 else f"{int(code)} {told}"

    def run_queue(self, timeout=60):
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            failed = [mail for mail in pool.map(self._send, self._waiting) if mail[3]]
        permanent = [mail for mail in failed if re.search(r"server message: 5\d\d", mail[3])]
        self.refused.update({to: told for _, to, _, told in permanent})
        self._waiting = [mail for mail in failed if mail not in permanent]

    def queue(self):
        return [Queued("", to, told) for _, to, _, told in self._waiting]


class Nullmailer(OneShot):
    """A queue, sent one message after the other."""

    package = "nullmailer"
    _spool = "/var/spool/nullmailer"

    def configure(self):
        self._log = ""
        self.tree.write("/etc/nullmailer/remotes", pages.lines("oneshot", "remotes"))
        self.tree.write("/etc/nullmailer/pausetime", "0\n")   # nullmailer-send ends after one queue run
        for part in ("", "/queue", "/tmp", "/failed"):
            self.tree.mkdir(self._spool + part)
            os.chown(self.tree.path(self._spool + part), _MAIL_UID, _MAIL_UID)
        os.mkfifo(self.tree.path(self._spool + "/trigger"), 0o622)
        os.chown(self.tree.path(self._spool + "/trigger"), _MAIL_UID, _MAIL_UID)

    def submit_all(self, mails, sender):
        for (to,), message in mails:
            text = message.replace(b"\r\n", b"\n").decode()
            self.tree.run(["nullmailer-queue"], input=f"{sender}\n{to}\n\n{text}")

    def run_queue(self, timeout=60):
        self._log += self.tree.run(["setpriv", f"--reuid={_MAIL_UID}", f"--regid={_MAIL_UID}", "--clear-groups", "sh", "-c",
                                    f"cd {self._spool} && nullmailer-send 2>&1"], timeout=timeout)

    def queue(self):
        found = []
        for path in sorted(self.tree.path(self._spool + "/queue").iterdir()):
            said = re.findall(rf"file: {path.name}\n((?:(?!.*file: ).*\n)*)", self._log)
            found.append(Queued(path.name, path.read_text(encoding="utf-8").split("\n")[1], said[-1] if said else ""))
        return found


class Dma(OneShot):
    """A queue, a file and a process for each recipient; what went on is told to syslog alone."""

    package = "dma"
    _spool = "/var/spool/dma"

    def __init__(self, lab, **options):
        super().__init__(lab, syslog=Syslog(lab), **options)
        self._lines = self.syslog.lines

    def stop(self):
        self._end_sleepers()
        super().stop()

    def configure(self):
        self.tree.write("/etc/dma/dma.conf", pages.lines("oneshot", "dma.conf") + "MAILNAME /etc/mailname\n")
        for path in (self._spool, "/etc/dma", "/etc/dma/auth.conf"):
            os.chown(self.tree.path(path), 0, _MAIL_UID)

    def submit_all(self, mails, sender):
        for (to,), message in mails:
            self.tree.run(["dma", "-bq", "-f", sender, to], input=message.replace(b"\r\n", b"\n").decode())

    def run_queue(self, timeout=60):
        """A process whose mail was deferred keeps it and sleeps for five minutes.  As after a reboot, there
        are none when the queue is run again."""
        self._end_sleepers()
        waiting, begin = {q.id for q in self.queue()}, len(self._lines)
        self.tree.run(["dma", "-q"], timeout=timeout)

        def over():
            said = "\n".join(self._lines[begin:])
            return all(re.search(rf"{i}.*(?:delivery successful|delivery deferred|bouncing as)", said) for i in waiting)
        wait_for(lambda: "\n".join(self._lines[-40:]), over, timeout, 0.05)

    def _end_sleepers(self):
        """The processes of this instance: those in its mount namespace."""
        def instance(pid):
            return os.readlink(f"/proc/{pid}/ns/mnt")
        for pid in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError):
                if int(pid) != self.pid and instance(pid) == instance(self.pid):
                    os.kill(int(pid), signal.SIGTERM)

    def queue(self):
        found = []
        for path in sorted(self.tree.path(self._spool).glob("Q*")):
            to = re.search(r"^Recipient: (\S+)", path.read_text(encoding="utf-8"), re.M)
            said = [line for line in self._lines if path.name[1:] in line]
            found.append(Queued(path.name[1:], to[1] if to else "", said[-1] if said else ""))
        return found
