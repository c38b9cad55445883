#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What `deploy/quickstart demo` shows: the same mail of a legacy MTA, without and with tlsmend.

A small internet in two network namespaces, with real servers from tests/integration/lab: Knot as DNS,
Postfix with TLS 1.2 and 1.3 only as the modern MX, and a Postfix that knows nothing newer than TLS 1.0
as the legacy MTA.  Nothing leaves the machine, and nothing of it stays.
"""

import re
import signal
import sys
import textwrap
from pathlib import Path

sys.dont_write_bytecode = True
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests/integration"))

from lab import smtpc  # noqa: E402
from lab.postfix import PostfixClient, PostfixMx  # noqa: E402
from lab.process import wait_for  # noqa: E402
from lab.scene import Lab  # noqa: E402
from lab.tlsmend import Tlsmend  # noqa: E402

# An OpenSSL of twenty years ago, as far as today's library can play it.
OLD_OPENSSL = """
openssl_conf = old
[old]
ssl_conf = ssl
[ssl]
system_default = weak
[weak]
MinProtocol = TLSv1
CipherString = ALL:@SECLEVEL=0
"""

# The fields that tell the story; docs/log.md has them all.
SHOWN = {
    "attempt": ["queue_id", "mx", "address", "port", "demand", "starttls_offered", "tls", "cipher",
                "group", "cert_subject", "cert_issuer", "cert_days_left", "verify", "matched_name",
                "stage", "outcome", "reason", "detail", "hint", "reply"],
    "result": ["queue_id", "recipient", "status", "reason", "tls", "reply", "told", "in_ledger"],
}


class LegacyPostfix(PostfixClient):
    """First by itself, with TLS 1.0; later with tlsmend as its relayhost."""

    def configure(self):
        super().configure()
        self.tree.write("/etc/ssl/openssl.cnf", OLD_OPENSSL)
        self._with_tlsmend = self.tree.path("/etc/postfix/main.cf").read_text(encoding="utf-8")
        by_itself = re.sub(r"^(relayhost|smtp_tls_security_level|disable_dns_lookups|smtp_host_lookup) .*\n",
                           "", self._with_tlsmend, flags=re.M)
        self.tree.write("/etc/postfix/main.cf", by_itself + """
relayhost =
smtp_tls_security_level = encrypt
smtp_tls_mandatory_protocols = TLSv1
smtp_tls_mandatory_ciphers = low
tls_low_cipherlist = ALL:@SECLEVEL=0
smtp_tls_loglevel = 1
smtp_dns_support_level = enabled
""")

    def use_tlsmend(self):
        self.tree.write("/etc/postfix/main.cf", self._with_tlsmend)
        self.tree.process.send(signal.SIGHUP)   # postfix reload

    def log(self, pattern):
        text = self.tree.path("/var/log/postfix.log").read_text(encoding="utf-8", errors="replace")
        return [line for line in text.splitlines() if re.search(pattern, line)]


def title(text):
    print(f"\n\033[1m{text}\033[0m" if sys.stdout.isatty() else f"\n{text}\n{'-' * len(text)}",
          flush=True)


def show(text, indent="    "):
    for line in text.splitlines() or [""]:
        print(textwrap.fill(line, 100, initial_indent=indent, subsequent_indent=indent + "  ",
                            break_long_words=False, break_on_hyphens=False), flush=True)


def without_time(line):
    """A Postfix log line without date and host."""
    return re.sub(r"^\w+ +\d+ [\d:]+ \S+ (postfix/\w+)\[\d+\]", r"\1", line)


def record(line):
    """The readable form of a record, with the fields that tell the story, a line each."""
    fields = re.findall(r'(\w+)=("(?:[^"\\]|\\.)*"|\S+)', line)
    head = line.split(" ", 2)[:2]
    out = ["  ".join(head)]
    out += [f"  {key}={value}" for key, value in fields if key in SHOWN[head[1]]]
    return "\n".join(out)


def text_records(daemon, domain):
    log = daemon.log_path.read_text(encoding="utf-8", errors="replace")
    return [line for line in log.splitlines() if domain in line]


def deliver_by_itself(lab, mx, legacy, domain):
    title("1. Before: a legacy MTA delivers by itself")
    print(f"The MX of {domain} is {mx.hostname}: Postfix, TLS 1.2 and 1.3 only.")
    print("The legacy MTA knows TLS 1.0 and must encrypt. It has a mail for somebody there.")
    legacy.submit(domain.address("somebody"), smtpc.message(
        subject=f"hello {domain.name}", body=b"One mail, twice the way.\r\n",
        To=f"<{domain.address('somebody')}>"))
    waiting = legacy.wait_deferred(domain.name)
    print("\nWhat the legacy MTA's log says:")
    for pattern in ("SSL_connect error", "TLS library problem", "status=deferred"):
        for line in legacy.log(pattern)[:1]:
            show(without_time(line))
    print("\nWhat the modern MX's log says:")
    text = mx.tree.path("/var/log/postfix.log").read_text(encoding="utf-8", errors="replace")
    for line in [li for li in text.splitlines() if re.search(r"SSL_accept|TLS library", li)][:2]:
        show(without_time(line))
    print(f"\nThe mail waits in the legacy MTA's queue as {waiting.id}. Arrived: "
          f"{len(mx.inbox(domain.name))}.")
    if mx.inbox(domain.name):
        raise SystemExit("deploy/quickstart demo: the mail arrived without tlsmend; the demonstration is broken")
    return waiting


def deliver_through_tlsmend(lab, mx, legacy, domain, waiting):
    title("2. After: the same mail, in the same queue, through tlsmend")
    daemon = Tlsmend(lab, lab.new_directory("tlsmend"), {"log": {"format": "text"}})
    try:
        print("tlsmend runs beside the legacy MTA on 127.0.0.1:2525; level: verify. The one change:\n")
        show("relayhost = [127.0.0.1]:2525\nsmtp_tls_security_level = none\nsmtp_send_xforward_command = yes")
        legacy.use_tlsmend()

        def arrived():
            legacy.flush()
            return mx.inbox(domain.name)
        mail = wait_for("the mail at the modern MX", arrived, 40, step=1)[0].decode("utf-8", "replace")
        print("\nIt arrived. Its first Received header at the modern MX:")
        show(re.search(r"^Received: .*?(?=^\S)", mail, re.M | re.S).group(0).replace("\n\t", "\n "))
        legacy.wait_empty(domain.name)
        wait_for("the records", lambda: len(text_records(daemon, domain.name)) >= 2, 10)
        title("3. Its record (docs/log.md; here with the main fields, a line each)")
        for line in text_records(daemon, domain.name):
            show(record(line))
        print(f"\nqueue_id is the legacy MTA's own: the mail that waited as {waiting.id} above.")
        refused(lab, daemon)
        many_destinations(lab, daemon)
    finally:
        daemon.stop()


def refused(lab, daemon):
    """And what it looks like when the MX is at fault."""
    from lab.hostile import HostileMx
    title("4. And where the MX itself is at fault: an expired certificate")
    domain = lab.dns.domain(label="neglected-")
    addresses = lab.net.new_host()
    host = domain.host("mx", *addresses)
    domain.mx(host)
    mx = HostileMx(lab.net, addresses=addresses, name=host, chain=lab.pki.chain("expired", host))
    try:
        with smtpc.SmtpClient(lab.net.client, *daemon.listener) as client:
            client.ehlo()
            reply = client.deliver("sender@client.lab.example", domain.address("somebody"),
                                   smtpc.message())
        print("The client hears, keeps the mail, and tries again later:\n")
        show(str(reply))
        wait_for("the records", lambda: len(text_records(daemon, domain.name)) >= 2, 10)
        print("\nThe record:\n")
        show(record(text_records(daemon, domain.name)[0]))
        print(f"\nMAIL commands that the MX saw: {sum(mx.saw(v) for v in ('MAIL',))}.")
    finally:
        mx.stop()


def many_destinations(lab, daemon):
    """One message, three destinations, three answers: and plain SMTP has room for one."""
    from lab.hostile import HostileMx
    title("5. One message for three domains: one takes it, one refuses it at the end, one is not there")
    servers, domains = [], []
    for label, replies in (("takes-", {}), ("refuses-", {"final": "550 5.7.1 we do not like this message"}),
                           ("gone-", None)):
        domain, addresses = lab.dns.domain(label=label), lab.net.new_host()
        host = domain.host("mx", *addresses)
        domain.mx(host)
        domains.append(domain)
        if replies is not None:
            servers.append(HostileMx(lab.net, addresses=addresses, name=host, replies=replies,
                                     chain=lab.pki.chain("good", host)))
    message = smtpc.message(subject="to three domains")
    people = [domain.address("somebody") for domain in domains]
    try:
        for words in ("What the client hears:", "It sends the same message again:"):
            print(f"\n{words}\n")
            with smtpc.SmtpClient(lab.net.client, *daemon.listener) as client:
                client.ehlo()
                _, *answers = client.envelope("sender@client.lab.example", people, f" SIZE={len(message)}")
                for person, answer in zip(people, answers, strict=True):
                    show(f"RCPT TO:<{person}>\n  {answer}")
                show("(message)\n  " + str(client.data(message)).replace("\n", "\n  "))
        print("\nThe refusal was told, and the message was not delivered twice: the MX that took it has "
              f"{sum(mail.complete for mail in servers[0].mails)}.")
    finally:
        for server in servers:
            server.stop()


def main():
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    print("A small internet is being built in network namespaces ...", flush=True)
    lab = Lab()
    servers = []
    try:
        domain = lab.dns.domain(label="modern-")
        addresses = lab.net.new_host()
        host = domain.host("mx", *addresses)
        domain.mx(host)
        mx = PostfixMx(lab, hostname=host, chain=lab.pki.chain("rsa", host), addresses=addresses)
        servers.append(mx)
        legacy = LegacyPostfix(lab)
        servers.append(legacy)
        waiting = deliver_by_itself(lab, mx, legacy, domain)
        deliver_through_tlsmend(lab, mx, legacy, domain, waiting)
        title("All of it is taken down again.")
    finally:
        for server in reversed(servers):
            server.stop()
        lab.close()


main()
