# SPDX-License-Identifier: Apache-2.0
"""A daemon, a domain that is signed, and how a delivery or a refusal under DANE is seen: in the reply, in the
records, at the MX and on the wire.

    dane = Daned(scene)                      # settings of tlsmend as keywords; zone="signed", "nsec3", "plain", ...
    mx = dane.mx("expired")                  # a hostile MX of that kind of certificate
    dane.tlsa(mx, 3, 1, 1)                   # of its own key; one more argument says what to digest instead
    attempt = dane.delivered(mx, dane_outcome="ok")
    dane.refused("dane-mismatch", mx)        # the whole way: 451, next host, no MAIL, nothing in clear
"""

from . import smtpc
from .capture import assert_no_clear_envelope, clear_text
from .helpers import SENDER

OTHER_KEY = b"not the key of any server here"
BODY = b"for one pair of eyes\r\n"


class Daned:
    """The scripted name server (lab/crafted.py) takes records at once, Knot now and then after a second; so zones of
    Knot's are for the tests that are about them."""

    def __init__(self, scene, *, zone="crafted", clock=None, **settings):
        self.scene = scene
        self.domain = scene.domain(zone=zone)
        self.capture = scene.capture()
        self.tlsmend = scene.tlsmend(clock=clock, **settings)
        self.reply = None   # to the last mail

    # -- what there is ------------------------------------------------------------------------

    def mx(self, kind="good", label="mx", at=None, **options):
        """at: another domain in which the host is, and its TLSA records."""
        mx = self.scene.hostile(self.domain, kind=kind, label=label, at=at, **options)
        mx.home = at or self.domain
        return mx

    def implicit(self, kind):
        """A server at the domain's own addresses, without an MX record."""
        mx = self.scene.hostile(chain=self.scene.pki.chain(kind, self.domain.name), name=self.domain.name)
        self.domain.add_addresses(self.domain.name, mx.addresses)
        mx.host, mx.home = self.domain.name, self.domain
        return mx

    def leaf(self, label="mx", *, names=None, **options):
        """A chain of one's own making for label.domain (lab/pki.py)."""
        host = f"{label}.{self.domain.name}"
        return self.scene.pki.leaf(host, "own", names=names, **options)

    def tlsa(self, mx, usage, selector, matching, cert=None):
        mx.home.tlsa(mx.host, usage, selector, matching, mx.chain if cert is None else cert)

    def mismatch(self, mx):
        """One record, of another key."""
        self.tlsa(mx, 3, 1, 1, OTHER_KEY)

    # -- what happens -------------------------------------------------------------------------

    def send(self):
        with self.scene.client(self.tlsmend) as c:
            c.ehlo()
            self.reply = c.deliver(SENDER, self.domain.address(), smtpc.message(body=BODY))
        return self.reply

    def delivered(self, mx, **fields):
        """The mail arrives there, inside TLS; the attempt that brought it, which has these fields."""
        before = len(mx.mails)
        reply = self.send()
        assert reply.code == 250, reply
        assert len(mx.mails) == before + 1 and mx.mails[-1].in_tls
        self.nothing_in_clear()
        found = self.tlsmend.attempts(mx=mx.host, outcome="delivered")[-1]
        assert {k: found.get(k) for k in fields} == fields
        return found

    def refused(self, reason, *hosts, enhanced="4.7.5", **fields):
        """No host gets an envelope; each has failed for this reason, and the client hears it as temporary.
        The last attempt, which has these fields."""
        reply = self.send()
        assert reply.code == 451 and reply.text.startswith(enhanced + " "), reply
        assert self.tlsmend.results(recipient_domain=self.domain.name)[-1]["reason"] == reason
        for mx in hosts:
            self.untouched(mx)
            for a in self.tlsmend.attempts(mx=mx.host):
                assert (a["reason"], a["outcome"]) == (reason, "failed"), a
        self.nothing_in_clear()
        found = self.tlsmend.attempts(mx=hosts[-1].host)[-1]
        assert {k: found.get(k) for k in fields} == fields
        return found

    def skipped(self, reason, *hosts, **fields):
        """No connection to any of these hosts, for this reason; their skip records.  What became of the mail is not
        looked at."""
        self.send()
        for mx in hosts:
            assert not mx.records and not self.capture.flows(addresses=mx.addresses), mx.records
        records = [self.tlsmend.wait_records("skip", mx=mx.host)[-1] for mx in hosts]
        for record in records:
            assert record["reason"] == reason and record["hint"]
            assert {k: record.get(k) for k in fields} == fields
        return records

    def deferred(self, reason, *hosts, **fields):
        """As skipped(), and the client hears this very reason as temporary."""
        records = self.skipped(reason, *hosts, **fields)
        assert self.reply.code == 451 and self.reply.text.startswith("4.7.5 "), self.reply
        assert self.tlsmend.result(recipient_domain=self.domain.name)["reason"] == reason
        return records

    # -- what is seen -------------------------------------------------------------------------

    def untouched(self, mx):
        """It was asked, and never told about any mail."""
        assert mx.records, f"{mx.host} was never asked: nothing is proved"
        assert not mx.mails and not any(mx.saw(verb) for verb in ("MAIL", "RCPT", "DATA"))

    def nothing_in_clear(self):
        assert_no_clear_envelope(self.capture, self.domain.address(), SENDER, BODY.strip())

    def clear(self, mx):
        return clear_text(self.capture, mx.addresses)

    def asked(self, host, rdtype="TLSA"):
        """Whether tlsmend asked for that.  "TLSA" means _25._tcp.host, or the name above it, where a question under
        minimised names (RFC 9156) may already end."""
        name = getattr(host, "host", host)
        names = (f"_25._tcp.{name}", f"_tcp.{name}") if rdtype == "TLSA" else (name,)
        return any(self.capture.queries(n, rdtype if n == name else None) for n in names)
