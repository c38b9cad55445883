# SPDX-License-Identifier: Apache-2.0
"""Debian's Sendmail, as legacy client."""

import re

from . import pages
from .mta import SUBMIT_PORT, LegacyClient, Queued, Syslog

_SENDMAIL = "/usr/libexec/sendmail/sendmail"
_QUEUE = "/var/spool/mqueue"
_STATUS = "/var/lib/hoststat"


class SendmailClient(LegacyClient):
    """Sendmail that relays everything to tlsmend without TLS."""

    package = "sendmail"

    def __init__(self, lab, **options):
        super().__init__(lab, syslog=Syslog(lab), **options)

    def command(self):
        return [_SENDMAIL, "-bD", "-q30m"]

    def configure(self):
        self.tree.write("/etc/mail/lab.mc", f"""
include(`/usr/share/sendmail/cf/m4/cf.m4')dnl
OSTYPE(`linux')dnl
define(`confDOMAIN_NAME', `{self.hostname}')dnl
{pages.lines("sendmail", "sendmail.mc")}dnl
{"define(`confDELIVERY_MODE', `queueonly')" if self.holding else ""}dnl
define(`confSERVICE_SWITCH_FILE', `/etc/mail/service.switch')dnl
define(`confDONT_PROBE_INTERFACES', `True')dnl
define(`confDEF_USER_ID', `labmail:labmail')dnl
define(`confTO_IDENT', `0')dnl
define(`confLOG_LEVEL', `9')dnl
define(`confPID_FILE', `/var/run/sendmail.pid')dnl
define(`STATUS_FILE', `/var/lib/sendmail.st')dnl
define(`HELP_FILE', `/etc/mail/helpfile')dnl
define(`QUEUE_DIR', `{_QUEUE}')dnl
define(`confHOST_STATUS_DIRECTORY', `{_STATUS}')dnl
define(`confALLOW_BOGUS_HELO', `True')dnl
define(`confCW_FILE', `/etc/mail/local-host-names')dnl
undefine(`ALIAS_FILE')dnl
FEATURE(`nocanonify')dnl
FEATURE(`no_default_msa')dnl
FEATURE(`accept_unresolvable_domains')dnl
DAEMON_OPTIONS(`Name=MTA, Addr=127.0.0.1, Port={SUBMIT_PORT}, Family=inet')dnl
MAILER(`smtp')dnl
""")
        self.tree.write("/etc/mail/service.switch", "hosts files\naliases files\n")
        self.tree.write("/etc/mail/local-host-names", "")
        self.tree.write("/etc/mail/relay-domains", "127.0.0.1\nlocalhost\n")
        self.tree.write("/var/lib/sendmail.st", "")
        self.tree.mkdir(_QUEUE, mode=0o700)
        self.tree.mkdir(_STATUS, mode=0o700)
        made = self.tree.run_before(["m4", "/etc/mail/lab.mc"])
        self.tree.write("/etc/mail/sendmail.cf", made.stdout)

    def queue(self):
        """From the qf files: M is the reason of the last try, R a recipient.  M is one for the message, and cut
        short by mailq; what was said of each recipient is in the log (stat=)."""
        queued = []
        for path in sorted(self.tree.path(_QUEUE).glob("?f*")):
            if path.name[0] not in "qhQ":
                continue
            try:
                text = path.read_text(encoding="utf-8", errors="backslashreplace")
            except FileNotFoundError:
                continue
            reason = re.search(r"^M(.*)", text, re.M)
            for to in re.findall(r"^R[A-Z]*:<?([^>\n]+)>?", text, re.M):
                said = [line for line in list(self.syslog.lines) if f" {path.name[2:]}: to=" in line and f"<{to}>" in line]
                queued.append(Queued(path.name[2:], to, (reason[1] if reason else "") + "".join(said[-1:])))
        return queued

    def flush(self):
        self.tree.run([_SENDMAIL, "-q"])

    def run_queue(self, timeout=60):
        self.tree.run([_SENDMAIL, "-qf"], timeout=timeout)   # f: in the foreground

    def grudges(self):
        """The host status that sendmail keeps, where the status code (S) is no success: then it asks the host no more
        for a while.  `hoststat` shows the same files, but only the last reply (R)."""
        hosts = [p.read_text(encoding="utf-8") for p in self.tree.path(_STATUS).rglob("*") if p.is_file()]
        return [text for text in hosts if not re.search("^S0$", text, re.M)]
