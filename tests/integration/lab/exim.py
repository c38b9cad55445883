# SPDX-License-Identifier: Apache-2.0
"""Debian's Exim (exim4-daemon-heavy: GnuTLS, PRDR, DANE), as MX and as legacy client."""

import re

from . import pages
from .mta import INBOX, SUBMIT_PORT, LegacyClient, MxServer, Queued

_EXIM = "/usr/sbin/exim4"
_SPOOL = "/var/spool/exim4"
_LOGS = ["/var/log/exim4/mainlog", "/var/log/exim4/rejectlog", "/var/log/exim4/paniclog"]


class _Exim:
    package = "exim"

    def logs(self):
        return _LOGS

    def command(self):
        return [_EXIM, "-bdf", "-oX", self.listen, "-q30m"]

    def write_configuration(self, text):
        self.tree.write("/etc/exim4/exim4.conf", f"""
primary_hostname = {self.hostname}
exim_user = Debian-exim
exim_group = Debian-exim
never_users =
spool_directory = {_SPOOL}
rfc1413_query_timeout = 0s
host_lookup =
check_spool_space = 0
check_log_space = 0
timezone =
log_selector = +tls_cipher +tls_peerdn +smtp_protocol_error +smtp_syntax_error +received_recipients
{text}
""")
        for path in (_SPOOL, "/var/log/exim4"):
            self.tree.mkdir(path, owner="Debian-exim", mode=0o750)


class EximMx(_Exim, MxServer):
    """Exim as a modern MX; offers PRDR."""

    @property
    def listen(self):
        return "<; " + " ; ".join(f"[{a}]:25" for a in self.addresses)

    def configure(self):
        allowed = [v for v in ("1.2", "1.3") if self.versions[0] <= v <= self.versions[1]]
        self.tree.write("/etc/exim4/cert.pem", self.chain.path.read_bytes())
        self.tree.write("/etc/exim4/key.pem", self.chain.key_path.read_bytes(), 0o600, "Debian-exim")
        self.write_configuration(f"""
tls_advertise_hosts = *
tls_certificate = /etc/exim4/cert.pem
tls_privatekey = /etc/exim4/key.pem
tls_require_ciphers = NORMAL:-VERS-ALL{"".join(":+VERS-TLS" + v for v in allowed)}
prdr_enable = true
acl_smtp_rcpt = rcpt
acl_smtp_data = data
begin acl
rcpt:
  deny   local_parts = reject
         message = 5.1.1 no such user
  defer  local_parts = defer
         message = 4.2.0 mailbox busy
  accept
data:
  accept
begin routers
all:
  driver = accept
  transport = inbox
begin transports
inbox:
  driver = appendfile
  directory = {INBOX}
  maildir_format
  create_directory = false
  user = labmail
  envelope_to_add
  return_path_add
  mode = 0644
begin retry
* * F,1h,5m
""")


class EximClient(_Exim, LegacyClient):
    """Exim that relays everything to tlsmend without TLS."""

    _ran = False

    @property
    def listen(self):
        return f"[127.0.0.1]:{SUBMIT_PORT}"

    def configure(self):
        self.write_configuration(f"""
tls_advertise_hosts =
acl_smtp_rcpt = rcpt
local_interfaces = 127.0.0.1
domainlist local_domains = {self.hostname}
begin acl
rcpt:
  accept {"control = queue_only" if self.holding else ""}
begin routers
bounces:
  driver = accept
  domains = {self.hostname}
  transport = bounces
{pages.lines("exim", "router")}
begin transports
{pages.lines("exim", "transport")}
bounces:
  driver = appendfile
  directory = /var/bounces
  maildir_format
  user = labmail
begin retry
* * F,1h,5m
""")
        for part in ("", "/new", "/cur", "/tmp"):
            self.tree.mkdir("/var/bounces" + part, owner="labmail", mode=0o700)

    def command(self):
        argv = super().command()
        return argv[:-1] if self.holding else argv   # its daemon begins with a queue run

    def queue(self):
        """From `exim -bp` and each message's own log, which has the reasons."""
        listing = self.tree.run([_EXIM, "-bp"])
        queued = []
        for block in re.split(r"\n\s*\n", listing):
            lines = block.split("\n")
            head = re.match(r"\s*\S+\s+\S+\s+(\S+) <", lines[0])
            if head is None:
                continue
            message = self.tree.path(f"{_SPOOL}/msglog/{head[1]}")
            reasons = message.read_text(encoding="utf-8").splitlines() if message.exists() else []
            for line in lines[1:]:
                if line.strip() and not line.lstrip().startswith("D "):
                    address = line.strip()
                    said = [r for r in reasons if address in r and " received " not in r.lower()]
                    queued.append(Queued(head[1], address, said[-1] if said else ""))
        return queued

    def flush(self):
        self.tree.run([_EXIM, "-qff"])

    def run_queue(self, timeout=60):
        """The first is an ordinary one; later ones are forced (-qf), as the retry times have not come."""
        self.tree.run([_EXIM, "-qf" if self._ran else "-q"], timeout=timeout)
        self._ran = True

    def grudges(self):
        """The retry hints of the host, and what the log says of it.  A hint is T:name:address:port; with a message's
        id behind it (told 4xx at its end) it holds for that message alone."""
        hints = self.tree.run(["/usr/sbin/exim_dumpdb", _SPOOL, "retry"], check=False)
        log = self.tree.path(_LOGS[0]).read_text(encoding="utf-8", errors="backslashreplace")
        host = r"^\s*T:127\.0\.0\.1:127\.0\.0\.1(?::\d+)?"
        alone = set(re.findall(host + r":(\S{16}) ", hints, re.M))
        kept = re.findall(r"^\S+ \S+ (\S+) .*retry time not reached for any host.*", log, re.M)
        return re.findall(host + " .*", hints, re.M) + sorted(set(kept) - alone) + re.findall(
            r".*(?:retry timeout exceeded|Connection (?:refused|timed out)|Remote host closed|lost connection).*", log)
