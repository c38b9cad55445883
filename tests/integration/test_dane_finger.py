# SPDX-License-Identifier: Apache-2.0
"""Postfix's posttls-finger as a second opinion on the zones and servers of DANE: the same verdict as tlsmend's at
the levels dane and dane-only, or a difference that docs/policy.md explains ("Beside Postfix")."""

import pathlib
import re

import pytest

from lab import smtpc
from lab.dane import tlsa
from lab.daned import OTHER_KEY
from lab.helpers import SENDER, listener
from lab.tlsmend import Tlsmend

POLICY = pathlib.Path(__file__).parents[2] / "docs/policy.md"
PORTS = {"dane": 2586, "dane-only": 2587}   # these daemons stay while other tests of the run have theirs
AUTHENTICATED, IN_TLS, IN_CLEAR, REFUSED = "authenticated", "delivered in TLS", "delivered in clear", "refused"
DIFFERENT = "different"
USAGE_1 = "1 1 1 " + "ab" * 32


# -- a case: one domain, one MX -------------------------------------------------------------------

class Case:
    def __init__(self, scene, zone="signed", at=None):
        self.scene, self.pki = scene, scene.pki
        self.domain = scene.domain(zone=zone)
        self.home = scene.domain(zone=at) if at else self.domain
        self.host = f"mx.{self.home.name}"   # by its own name
        self.root = scene.pki.authority("other root", None)
        self.middle = scene.pki.authority("other intermediate", self.root)

    def serve(self, chain="self-signed", implicit=False, **options):
        if implicit:
            self.host = self.domain.name
        if isinstance(chain, str):
            chain = self.pki.chain(chain, self.host)
        self.chain = chain
        self.mx = self.scene.hostile(chain=chain, name=self.host, **options)
        self.home.add_addresses(self.host, self.mx.addresses)
        if not implicit:
            self.domain.mx(self.host)
        return self

    def below(self, issuer, **options):
        """A chain for this host, by default leaf and issuer."""
        return self.pki.leaf(self.host, "own", issuer=issuer, **options)

    def alias(self, to, via=None):
        """The MX becomes an alias in the recipient's domain of a host elsewhere."""
        self.home = self.scene.domain(zone=to)
        self.host = f"host.{self.home.name}"
        step = self.scene.domain(zone=via).cname("step", self.host) if via else self.host
        self.name = self.domain.cname("mx", step)
        self.domain.mx(self.name)
        self.chain = self.pki.chain("self-signed", self.host)
        self.mx = self.scene.hostile(chain=self.chain, name=self.host)
        self.home.add_addresses(self.host, self.mx.addresses)
        return self

    def own(self, *records):
        """Records of the leaf: (usage, selector, matching)."""
        return self.records(*((*r, self.chain) for r in records))

    def records(self, *records):
        """(usage, selector, matching, certificate), text or bytes."""
        self.home.tlsa_rdata(self.host, *(tlsa(*r) if isinstance(r, tuple) else r for r in records))
        return self

    def at_alias(self, cert):
        self.domain.tlsa(self.name, 3, 1, 1, cert)
        return self

    def fault(self, how):
        self.home.fault("TLSA", how, host=self.host)
        return self


def ee(selector, matching, kind="self-signed"):
    return lambda s: Case(s).serve(kind).own((3, selector, matching))


def ta(selector, matching, sent, **leaf):
    """The root is the anchor; sent: with the chain, or only by its record."""
    def make(s):
        c = Case(s)
        send = [c.middle.cert, c.root.cert] if sent else None
        return c.serve(c.below(c.middle, send=send, **leaf)).records((2, selector, matching, c.root.cert))
    return make


def leaf_below(**leaf):
    """The leaf's issuer, which is sent, is the anchor."""
    def make(s):
        c = Case(s)
        names = leaf.get("names")
        options = {**leaf, "names": (c.domain.name,)} if names == "next hop" else leaf
        return c.serve(c.below(c.middle, **options)).records((2, 1, 1, c.middle.cert))
    return make


def rdata(*data, zone="crafted", kind="self-signed", **options):
    return lambda s: Case(s, zone).serve(kind, **options).records(*data)


def expired_anchor(s):
    c = Case(s)
    middle = c.pki.authority("other expired intermediate", c.root, start=-90, end=-1)
    return c.serve(c.below(middle)).records((2, 0, 1, middle.cert))


def foreign_anchor(s):
    c = Case(s)
    return c.serve(c.below(None, send=[c.pki.intermediate.cert, c.root.cert])).records((2, 0, 1, c.root.cert))


def weak_leaf(s):
    c = Case(s)
    return c.serve(c.below(c.middle, hash_name="SHA1")).records((2, 1, 1, c.middle.cert))


# name: (builder, the verdict of both at level dane).  DIFFERENT: docs/policy.md has a row of this name, which says
# what either does and why.
CASES = {
    "3 1 1": (ee(1, 1), AUTHENTICATED),
    "3 0 1": (ee(0, 1), AUTHENTICATED),
    "3 1 2": (ee(1, 2), AUTHENTICATED),
    "3 0 2": (ee(0, 2), AUTHENTICATED),
    "3 1 0": (ee(1, 0), AUTHENTICATED),
    "3 0 0": (ee(0, 0), AUTHENTICATED),
    "RSA of 1024 bits": (ee(1, 1, "rsa1024"), AUTHENTICATED),
    "expired": (ee(1, 1, "expired"), AUTHENTICATED),
    "wrong name": (ee(1, 1, "name-mismatch"), AUTHENTICATED),
    "wrong purpose": (ee(1, 1, "client-auth"), AUTHENTICATED),
    "mismatch": (lambda s: Case(s).serve("good").records((3, 1, 1, OTHER_KEY)), REFUSED),
    "one of two": (lambda s: Case(s).serve().own((3, 1, 1)).records((3, 1, 1, OTHER_KEY)), AUTHENTICATED),
    "weak digest only": (lambda s: Case(s).serve().own((3, 1, 1)).records((3, 1, 2, OTHER_KEY)), REFUSED),
    "strong digest only": (lambda s: Case(s).serve().own((3, 1, 2)).records((3, 1, 1, OTHER_KEY)), AUTHENTICATED),
    "other selector": (lambda s: Case(s).serve().own((3, 1, 1)).records((3, 0, 2, OTHER_KEY)), AUTHENTICATED),
    "2 0 1": (ta(0, 1, True), AUTHENTICATED),
    "2 1 1": (ta(1, 1, True), AUTHENTICATED),
    "2 1 2": (ta(1, 2, True), AUTHENTICATED),
    "2 0 0 not sent": (ta(0, 0, False), AUTHENTICATED),
    "2 1 0 not sent": (ta(1, 0, False), AUTHENTICATED),
    "2 0 1 not sent": (ta(0, 1, False), REFUSED),
    "2 1 1 expired leaf": (leaf_below(start=-90, end=-1), REFUSED),
    "2 1 1 wrong name": (leaf_below(names=("elsewhere.example",), common=""), REFUSED),
    "2 1 1 next hop": (leaf_below(names="next hop"), AUTHENTICATED),
    "TA, the name stands in the CN alone": (leaf_below(names=()), DIFFERENT),
    "2 1 1 wrong purpose": (leaf_below(eku=()), AUTHENTICATED),
    "TA, the anchor is an intermediate that has expired": (expired_anchor, DIFFERENT),
    "2 0 1 sent beside": (foreign_anchor, REFUSED),
    "2 1 1 SHA-1": (weak_leaf, REFUSED),
    "2 0 1 of the leaf": (lambda s: Case(s).serve().own((2, 0, 1)), REFUSED),
    "2 1 0 of the leaf": (lambda s: Case(s).serve().own((2, 1, 0)), AUTHENTICATED),
    "usage 0": (rdata("0 0 1 " + "ab" * 32), IN_TLS),
    "usage 1": (rdata(USAGE_1), IN_TLS),
    "usage 4": (rdata("4 1 1 " + "ab" * 32), IN_TLS),
    "selector 2": (rdata("3 2 1 " + "ab" * 32), IN_TLS),
    "matching 3": (rdata("3 1 3 " + "ab" * 32), IN_TLS),
    "short digest": (rdata("3 1 1 " + "ab" * 31), IN_TLS),
    "long digest": (rdata("3 1 2 " + "ab" * 65), IN_TLS),
    "no certificate": (rdata("3 0 0 3003020100"), IN_TLS),
    "TLSA rdata without a byte": (rdata(b""), DIFFERENT),
    "1 byte": (rdata(b"\x03"), IN_TLS),
    "TLSA rdata of 3 bytes": (rdata(b"\x03\x01\x01"), DIFFERENT),
    "unusable, no STARTTLS": (rdata(USAGE_1, capabilities=["8BITMIME"]), REFUSED),
    "unusable beside a mismatch": (rdata(USAGE_1, (3, 1, 1, OTHER_KEY)), REFUSED),
    "usable, no STARTTLS": (rdata((3, 1, 1, OTHER_KEY), capabilities=["8BITMIME"]), REFUSED),
    "no records": (lambda s: Case(s).serve(), IN_TLS),
    "no records, NSEC3": (lambda s: Case(s, "nsec3").serve(), IN_TLS),
    "no records, opt-out": (lambda s: Case(s, "optout").serve(), IN_TLS),
    "no records, no STARTTLS": (lambda s: Case(s).serve(capabilities=["8BITMIME"]), IN_CLEAR),
    "NSEC3": (lambda s: Case(s, "nsec3").serve().own((3, 1, 1)), AUTHENTICATED),
    "opt-out": (lambda s: Case(s, "optout").serve().own((3, 1, 1)), AUTHENTICATED),
    "insecure zone": (lambda s: Case(s, "plain").serve().records((3, 1, 1, OTHER_KEY)), IN_TLS),
    "insecure host": (lambda s: Case(s, at="plain").serve().records((3, 1, 1, OTHER_KEY)), IN_TLS),
    "MX not signed, a record of its host matches": (
        lambda s: Case(s, "plain", at="signed").serve().own((3, 1, 1)), DIFFERENT),
    "MX not signed, no record of its host matches": (
        lambda s: Case(s, "plain", at="signed").serve().records((3, 1, 1, OTHER_KEY)), DIFFERENT),
    "look-up fails": (lambda s: Case(s, "crafted").serve().fault("servfail"), REFUSED),
    "look-up bogus": (lambda s: Case(s, "crafted").serve().own((3, 1, 1)).fault("badsig"), REFUSED),
    "look-up expired": (lambda s: Case(s, "crafted").serve().own((3, 1, 1)).fault("expired"), REFUSED),
    "absence without proof": (lambda s: Case(s, "crafted").serve().fault("unsigned"), REFUSED),
    "implicit MX": (lambda s: Case(s).serve(implicit=True).own((3, 1, 1)), AUTHENTICATED),
    "implicit MX, mismatch": (lambda s: Case(s).serve(implicit=True).records((3, 1, 1, OTHER_KEY)), REFUSED),
    "alias": (lambda s: Case(s).alias("nsec3").own((3, 1, 1)), AUTHENTICATED),
    "alias, mismatch, original matches": (
        lambda s: Case(s).alias("nsec3").records((3, 1, 1, OTHER_KEY)), REFUSED),
    "alias, original": (lambda s: original(Case(s).alias("nsec3")), AUTHENTICATED),
    "alias to an insecure host, original": (lambda s: original(Case(s).alias("plain")), AUTHENTICATED),
    "alias to an insecure host whose name server fails for TLSA": (
        lambda s: original(Case(s).alias("craftedplain").fault("servfail")), DIFFERENT),
    "alias through an insecure zone, original": (
        lambda s: original(Case(s).alias("signed", via="plain").records((3, 1, 1, OTHER_KEY))), AUTHENTICATED),
    "alias, unusable at its end, original matches": (
        lambda s: original(Case(s).alias("nsec3").records(USAGE_1)), IN_TLS),
    "the TLSA record is an alias": (lambda s: tlsa_alias(Case(s).serve(), "nsec3"), AUTHENTICATED),
    "the TLSA record is an alias into an insecure zone": (
        lambda s: tlsa_alias(Case(s).serve(), "plain", OTHER_KEY), IN_TLS),
    "insecure alias": (
        lambda s: Case(s, "plain").alias("signed").records((3, 1, 1, OTHER_KEY)), IN_TLS),
}


def original(case):
    return case.at_alias(case.chain)


def tlsa_alias(case, zone, cert=None):
    """The record is kept elsewhere, as hosters do it."""
    other = case.scene.domain(zone=zone)
    other.add("TLSA", tlsa(3, 1, 1, cert or case.chain), label="tlsa")
    case.home.cname(f"_25._tcp.{case.host}".removesuffix("." + case.home.name), f"tlsa.{other.name}")
    return case


# -- the two verdicts -----------------------------------------------------------------------------

def by_tlsmend(tlsmend, case):
    c = smtpc.SmtpClient(case.scene.net.client, *tlsmend.listener)
    try:
        c.ehlo()
        reply = c.deliver(SENDER, case.domain.address(), smtpc.message())
    finally:
        c.close()
    if reply.code != 250:
        assert reply.code == 451 and not case.mx.saw("MAIL"), reply
        return REFUSED
    (mail,) = case.mx.mails
    attempt = tlsmend.attempts(recipient_domain=case.domain.name, outcome="delivered")[-1]
    if attempt["dane"] == "usable":
        assert attempt["dane_outcome"] == "ok" and mail.in_tls
        return AUTHENTICATED
    return IN_TLS if mail.in_tls else IN_CLEAR


def by_postfix(scene, case, level):
    """What Postfix does with the mail, after what posttls-finger saw.  Its "dane" is "may" where there are no TLSA
    records, and "encrypt" where none can be used, and its "dane-only" refuses then; posttls-finger itself goes on at
    level "secure", and reports at "dane-only" what Postfix would not try."""
    finger = scene.posttls_finger(case.domain, level)
    print(finger.text)   # seen when the test fails
    unusable = finger.unusable or "all TLSA records unusable" in finger.text
    usable = finger.tlsa and "all TLSA records unusable" not in finger.text
    if "panic:" in finger.text or any("TLSA lookup error" in line for line in finger.failures):
        return REFUSED
    if usable and finger.verdict == "Verified":
        return AUTHENTICATED
    if usable and finger.verdict == "Trusted" and finger.matched.startswith("DANE"):   # the MX record is insecure
        return AUTHENTICATED if level == "dane" else REFUSED
    if usable or level == "dane-only":
        return REFUSED
    if finger.verdict:
        return IN_TLS
    return REFUSED if unusable else IN_CLEAR


def explained():
    """{(name, level): (tlsmend's verdict, Postfix's)} of docs/policy.md."""
    text = POLICY.read_text(encoding="utf-8").partition("### Beside Postfix")[2].partition("\n## ")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("| ")]
    found = {}
    for name, levels, ours, theirs, why in rows[1:]:
        assert why and ours != theirs, name
        for level in re.findall(r"`([^`]+)`", levels):
            found[name, level] = (ours, theirs)
    return found


@pytest.fixture(params=PORTS)
def level(request):
    return request.param


@pytest.fixture
def tlsmend_at(lab, level):
    """tlsmend at that level, one for the run."""
    return lab.share(f"tlsmend at {level}", lambda: Tlsmend(
        lab, lab.new_directory(level), {"tls": {"level": level}, "listeners": [listener(port=PORTS[level])]}))


@pytest.mark.parametrize("name", CASES)
def test_c_dane_05_the_verdict_of_postfix(scene, tlsmend_at, level, name):
    build, expected = CASES[name]
    case = build(scene)
    verdicts = by_tlsmend(tlsmend_at, case), by_postfix(scene, case, level)
    if expected == DIFFERENT:
        expected = explained().get((name, level))
        assert verdicts == expected or (expected is None and verdicts[0] == verdicts[1])
    else:
        if level == "dane-only" and expected != AUTHENTICATED:
            expected = REFUSED
        assert verdicts == (expected, expected)
    if verdicts == (AUTHENTICATED, AUTHENTICATED):   # the TLSA base domain, too
        assert case.mx.hellos[0].sni == case.mx.hellos[-1].sni


def test_each_explained_difference_is_tested():
    assert {name for name, _ in explained()} == {name for name, (_, verdict) in CASES.items() if verdict == DIFFERENT}
