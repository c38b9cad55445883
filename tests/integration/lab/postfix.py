# SPDX-License-Identifier: Apache-2.0
"""Debian's Postfix, as MX and as legacy client."""

import json
import re

from . import pages
from .mta import INBOX, SUBMIT_PORT, LegacyClient, MxServer, Queued
from .process import wait_for
from .tree import UID

_LOG = "/var/log/postfix.log"
_MASTER = "/usr/lib/postfix/sbin/master"

_COMMON = f"""
compatibility_level = 3.6
maillog_file = {_LOG}
setgid_group = postdrop
alias_maps =
local_recipient_maps =
biff = no
"""

_SERVICES = """
pickup    unix  n - n 60  1 pickup
cleanup   unix  n - n -   0 cleanup
qmgr      unix  n - n 300 1 qmgr
tlsmgr    unix  - - n 1000? 1 tlsmgr
rewrite   unix  - - n -   - trivial-rewrite
bounce    unix  - - n -   0 bounce
defer     unix  - - n -   0 bounce
trace     unix  - - n -   0 bounce
verify    unix  - - n -   1 verify
flush     unix  n - n 1000? 0 flush
proxymap  unix  - - n -   - proxymap
proxywrite unix - - n -   1 proxymap
smtp      unix  - - n -   - smtp
lmtp      unix  - - n -   - lmtp
relay     unix  - - n -   - smtp
showq     unix  n - n -   - showq
error     unix  - - n -   - error
retry     unix  - - n -   - error
discard   unix  - - n -   - discard
virtual   unix  - n n -   - virtual
anvil     unix  - - n -   1 anvil
scache    unix  - - n -   1 scache
postlog   unix-dgram n - n - 1 postlogd
"""


class _Postfix:
    package = "postfix"

    def logs(self):
        return [_LOG]

    def command(self):
        return [_MASTER, "-d"]

    def write_configuration(self, main, listen):
        self.tree.write("/etc/postfix/main.cf", _COMMON + main)
        self.tree.write("/etc/postfix/master.cf",
                        "".join(f"{a} inet n - n - - smtpd\n" for a in listen) + _SERVICES)
        self.tree.write("/etc/postfix/dynamicmaps.cf", "")
        self.tree.mkdir("/var/spool/postfix")
        for name in ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming",
                     "private", "saved", "trace"):
            self.tree.mkdir(f"/var/spool/postfix/{name}", owner="postfix", mode=0o700)
        self.tree.mkdir("/var/spool/postfix/pid")
        self.tree.mkdir("/var/spool/postfix/maildrop", owner="postfix", group="postdrop", mode=0o1730)
        self.tree.mkdir("/var/spool/postfix/public", owner="postfix", group="postdrop", mode=0o2710)
        self.tree.mkdir("/var/lib/postfix", owner="postfix")
        self.tree.mkdir("/var/log")


class PostfixMx(_Postfix, MxServer):
    """Postfix as a modern MX."""

    def configure(self):
        low, high = self.versions
        self.tree.write("/etc/postfix/chain.pem",
                        self.chain.key_path.read_bytes() + self.chain.path.read_bytes(), 0o600)
        self.tree.write("/etc/postfix/any", "/./ any\n")
        self.tree.write("/etc/postfix/access", "/^reject@/ 550 5.1.1 no such user\n"
                                               "/^defer@/ 450 4.2.0 mailbox busy\n")
        self.write_configuration(f"""
myhostname = {self.hostname}
mydestination =
virtual_mailbox_domains = regexp:/etc/postfix/any
virtual_mailbox_base = {INBOX}
virtual_mailbox_maps = static:./
virtual_uid_maps = static:{UID['labmail']}
virtual_gid_maps = static:{UID['labmail']}
smtpd_recipient_restrictions = check_recipient_access regexp:/etc/postfix/access, permit
smtpd_relay_restrictions = reject_unauth_destination
smtpd_tls_security_level = may
smtpd_tls_chain_files = /etc/postfix/chain.pem
smtpd_tls_protocols = >=TLSv{low}, <=TLSv{high}
smtpd_tls_received_header = yes
smtpd_tls_loglevel = 1
smtpd_peername_lookup = no
""", [f"[{a}]:25" for a in self.addresses])


class PostfixClient(_Postfix, LegacyClient):
    """Postfix that relays everything to tlsmend without TLS."""

    lines = "main.cf"   # of docs/clients/postfix.md

    def configure(self):
        self.write_configuration(f"""
myhostname = {self.hostname}
mydestination =
virtual_mailbox_domains = {self.hostname}
virtual_mailbox_base = /var/bounces
virtual_mailbox_maps = static:./
virtual_uid_maps = static:{UID['labmail']}
virtual_gid_maps = static:{UID['labmail']}
mynetworks = 127.0.0.0/8
{pages.lines("postfix", self.lines)}
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_peername_lookup = no
minimal_backoff_time = 300s
{"smtpd_client_restrictions = check_client_access static:HOLD" if self.holding else ""}
""", [f"127.0.0.1:{SUBMIT_PORT}"])
        for part in ("", "/new", "/cur", "/tmp"):
            self.tree.mkdir("/var/bounces" + part, owner="labmail", mode=0o700)

    def queue(self):
        lines = self.tree.run(["postqueue", "-j"]).splitlines()
        return [Queued(entry["queue_id"], to["address"], to.get("delay_reason", ""))
                for entry in map(json.loads, lines) for to in entry["recipients"]]

    def flush(self):
        self.tree.run(["postqueue", "-f"])

    def run_queue(self, timeout=60):
        self.tree.run(["postsuper", "-H", "ALL"], timeout=timeout)
        waiting, begin = {q.id for q in self.queue()}, len(self._log())
        self.flush()

        def over():
            # qmgr says so of each message that it begins with, in this run.
            begun = set(re.findall(r"qmgr\[\d+\]: (\w+): from=.*\(queue active\)", self._log()[begin:]))
            return waiting <= begun and not self._busy()
        wait_for(lambda: f"the end of the queue run\n{self.tail()}", over, timeout, 0.05)

    def _busy(self):
        names = [entry["queue_name"] for entry in map(json.loads, self.tree.run(["postqueue", "-j"]).splitlines())]
        return [name for name in names if name in ("active", "incoming", "maildrop")]

    def _log(self):
        return self.tree.path(_LOG).read_text(encoding="utf-8", errors="backslashreplace")

    def grudges(self):
        """A relayhost that Postfix takes for dead is not asked: relay=none, with these words."""
        words = re.compile("delivery temporarily suspended|/[ls]mtp\\[.*lost connection|[Cc]onnection (?:refused|timed out|reset)|"
                           "conversation with|timed out while|: status=deferred.*relay=none|relay=none.*status=deferred")
        return [line for line in self._log().splitlines() if words.search(line)]


class PostfixLmtpClient(PostfixClient):
    """The same over LMTP, to tlsmend's listener on port 2526: each recipient has its own answer."""

    lines = "main.cf:lmtp"
