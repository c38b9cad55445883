# SPDX-License-Identifier: Apache-2.0
"""What the tests of MTA-STS do again and again: is a policy in force, and which.

    policed = Policed(scene)                 # an honest MX, a daemon, and domains with policies
    domain = policed.domain(mx=["other.example"])      # its MX is not on the list: a policy that shows
    assert policed.in_force(domain)          # by a mail: kept back by the policy, and never seen at the MX

A policy of mode enforce that does not list the MX is the sharpest witness: with it the mail is kept
back, without it the same mail goes out.
"""

from . import smtpc
from .helpers import SENDER
from .process import wait_for

ELSEWHERE = "elsewhere.example"   # a host that is no MX of anybody
NOT_LISTED = "sts-mx-not-listed"


class Policed:
    """One daemon, and one MX for all domains that are made here."""

    def __init__(self, scene, *, clock=None, mta_sts=None, **settings):
        self.scene = scene
        self.mx = scene.hostile(scene.domain())
        # Nothing in the lab takes long: what is meant to fail fails after a second.
        self.tlsmend = scene.tlsmend(clock=clock, mta_sts={"timeout": "1s", **(mta_sts or {})}, **settings)

    def domain(self, **options):
        """A domain with this MX, and with a policy in mode enforce that lists ELSEWHERE only, or what the
        options say (lab/sts.py)."""
        domain = self.scene.domain()
        domain.mx(self.mx.host)
        domain.policy = domain.sts(**{"mx": [ELSEWHERE], **options})
        return domain

    def send(self, domain):
        """A whole mail; the reply that decides, once its records are written."""
        name = getattr(domain, "name", domain)
        results = len(self.tlsmend.records("result", recipient_domain=name))
        delivered = len(self.tlsmend.records("attempt", recipient_domain=name, outcome="delivered"))
        with self.scene.client(self.tlsmend) as c:
            c.ehlo()
            reply = c.deliver(SENDER, f"user@{name}", smtpc.message())
        self.tlsmend.results(results + 1, recipient_domain=name)
        if reply.code == 250:
            self.tlsmend.attempts(delivered + 1, recipient_domain=name, outcome="delivered")
        return reply

    def in_force(self, domain):
        """Whether the policy keeps a mail back; anything else than a clear yes or no is an error."""
        before = len(self._mails(domain))
        reply = self.send(domain)
        after = len(self._mails(domain))
        if reply.code == 250:
            assert after == before + 1
            return False
        assert (reply.code, reply.text[:6]) == (451, "4.7.5 ") and after == before, reply
        assert self.tlsmend.results(1, recipient_domain=domain.name)[-1]["reason"] == NOT_LISTED
        return True

    def _mails(self, domain):
        """Commands of an envelope for the domain that any connection brought to the MX."""
        return [line for r in list(self.mx.records) for verb, line, _ in r.commands
                if verb == "RCPT" and domain.name.encode() in line]

    def sts(self, domain, count=1, **fields):
        """The last `sts` record of the domain."""
        return self.tlsmend.wait_records("sts", count, policy_domain=domain.name, **fields)[-1]

    def attempt(self, domain):
        """The last attempt for the domain."""
        return self.tlsmend.attempts(recipient_domain=getattr(domain, "name", domain))[-1]

    def fetched(self, domain, count):
        """The policy was fetched so often, neither more nor less, by the policy host and by the records;
        the requests.  nginx writes its log when it is done with a request, which may be later."""
        requests = domain.policy.wait_requests(count) if count else domain.policy.requests()
        told = [r["outcome"] for r in self.tlsmend.records("sts", policy_domain=domain.name)
                if r["outcome"] in ("new-policy", "unchanged", "fetch-failed")]
        assert (len(requests), len(told)) == (count, count), (requests, told)
        return requests

    def stored(self, domain, there=True):
        """Until the policy is in the file of the store, or is there no more."""
        wait_for(lambda: f"the policy of {domain.name} in the store, {there}\n{self.tlsmend.tail()}",
                 lambda: bool(self.tlsmend.sql("SELECT id FROM policies WHERE domain = ?", domain.name)) == there)
