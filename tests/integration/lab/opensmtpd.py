# SPDX-License-Identifier: Apache-2.0
"""Debian's OpenSMTPD, as MX and as legacy client."""

import re

from . import pages
from .mta import INBOX, SUBMIT_PORT, LegacyClient, MxServer, Queued
from .process import wait_for
from .tree import UID


class _OpenSmtpd:
    package = "opensmtpd"

    def command(self):
        return ["/usr/sbin/smtpd", "-d", "-v"]

    def write_configuration(self, text):
        self.tree.mkdir("/var/lib/opensmtpd/empty")
        self.tree.mkdir("/var/spool/smtpd", mode=0o711)
        self.tree.write("/etc/smtpd.conf", text)


class OpenSmtpdMx(_OpenSmtpd, MxServer):
    """OpenSMTPD as a modern MX: the backport, since Debian 12's own cannot serve TLS."""

    package = "opensmtpd-new"

    def configure(self):
        self.tree.write("/etc/lab-cert.pem", self.chain.path.read_bytes())
        self.tree.write("/etc/lab-key.pem", self.chain.key_path.read_bytes(), 0o600)
        # Its own configuration knows no TLS versions; OpenSSL's does.
        self.tree.write("/etc/ssl/openssl.cnf", f"""
openssl_conf = lab
[lab]
ssl_conf = lab_ssl
[lab_ssl]
system_default = lab_tls
[lab_tls]
MinProtocol = TLSv{self.versions[0]}
MaxProtocol = TLSv{self.versions[1]}
""")
        listen = "".join(f'listen on {a} port 25 tls pki lab hostname {self.hostname} '
                         'filter { "no", "busy" }\n' for a in self.addresses)
        self.write_configuration(f"""
pki lab cert "/etc/lab-cert.pem"
pki lab key "/etc/lab-key.pem"
table everybody {{ "@" = "labmail" }}
table refused {{ "^reject@" }}
table busy_users {{ "^defer@" }}
filter "no" phase rcpt-to match rcpt-to regex <refused> reject "550 5.1.1 no such user"
filter "busy" phase rcpt-to match rcpt-to regex <busy_users> reject "450 4.2.0 mailbox busy"
{listen}
action "inbox" maildir "{INBOX}" virtual <everybody>
match from any for any action "inbox"
""")


class OpenSmtpdClient(_OpenSmtpd, LegacyClient):
    """OpenSMTPD that relays everything to tlsmend without TLS."""

    def configure(self):
        self.write_configuration(f"""
listen on 127.0.0.1 port {SUBMIT_PORT} hostname {self.hostname}
{pages.lines("opensmtpd", "smtpd.conf")}""")

    def begin(self, argv, address, port, env=None):
        super().begin(argv, address, port, env)
        if self.holding:
            self._smtpctl("pause", "mta")

    def queue(self):
        """`smtpctl show queue`: fields between bars, the last one the error."""
        return [Queued(row[0], row[6], row[-1]) for row in self._envelopes()]

    def _envelopes(self):
        """Id, family, type, flags, sender, recipient, destination, made, ends, last try, tries, state, delay, error."""
        rows = [line.split("|", 13) for line in self._smtpctl("show", "queue").splitlines()]
        return [row for row in rows if len(row) == 14]

    def flush(self):
        self._smtpctl("resume", "route", "all", check=False)   # a relay that failed rests for a while
        for queued in self.queue():
            self._smtpctl("schedule", queued.id, check=False)

    def run_queue(self, timeout=60):
        before = {row[0]: int(row[10]) for row in self._envelopes()}
        self._smtpctl("resume", "mta", check=False)

        def going_on():
            """What is not tried yet.  OpenSMTPD holds messages back behind the first fifty, and those that it lets go
            again have their own time as before: they are scheduled anew."""
            rows = [row for row in self._envelopes() if row[11] != "pending" or int(row[10]) <= before.get(row[0], 0)]
            if all(row[11] == "pending" for row in rows):
                for message in {row[0][:8] for row in rows}:
                    self._smtpctl("schedule", message, check=False)
            return rows
        wait_for(lambda: f"the end of the queue run: {going_on()}\n{self.tail()}", lambda: not going_on(), timeout, 0.05)

    def grudges(self):
        """Routes that are disabled (flag D), have errors or a penalty; and what the log says of them.
        "3. [] <-> 127.0.0.1 (localhost) ---- nconn=1 nerror=0 penalty=0 timeout=-" is a good one."""
        routes = [r for r in self._smtpctl("show", "routes").splitlines()
                  if not re.search(r" [N-][N-]*[Q-]* nconn=\d+ nerror=0 penalty=0 ", r)]
        return routes + re.findall(r".*(?:Disabling route|Enabling route|Too many errors|No valid route|"
                                   r"Connection (?:refused|timeout|closed)|IO Error).*", self.tree.process.log())

    def _smtpctl(self, *words, check=True):
        # An installed smtpctl is setgid to this group.
        group = f"--regid={UID['opensmtpq']}"
        return self.tree.run(["setpriv", group, "--clear-groups", "smtpctl", *words], check)
