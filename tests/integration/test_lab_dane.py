# SPDX-License-Identifier: Apache-2.0
"""The lab's zones for DANE: what a real validating resolver says of them, and what Postfix does."""

import socket
import time

import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
import pytest

from lab.dane import tlsa

SECURE, INSECURE, BOGUS = "secure", "insecure", "bogus"


def resolve(scene, name, rdtype, timeout=8):
    """(state, records, rcode) by the lab's unbound."""
    query = dns.message.make_query(name, rdtype, want_dnssec=True)
    with scene.net.client.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    unbound = scene.unbound
    s.setblocking(False)
    with s:
        answer = dns.query.udp(query, unbound.address, timeout, sock=s)
    records = [r.to_text() for rrset in answer.answer for r in rrset
               if rrset.rdtype == dns.rdatatype.from_text(rdtype)]
    state = SECURE if answer.flags & dns.flags.AD else INSECURE
    if answer.rcode() == dns.rcode.SERVFAIL:
        state = BOGUS
    return state, records, dns.rcode.to_text(answer.rcode())


@pytest.mark.parametrize("zone, state", [
    ("signed", SECURE), ("plain", INSECURE), ("bogus", BOGUS), ("nsec3", SECURE), ("optout", SECURE),
    ("plain.optout", INSECURE), ("crafted", SECURE), ("craftedplain", INSECURE), ("stale", BOGUS)])
def test_zones(scene, zone, state):
    domain = scene.domain(zone=zone)
    mx = scene.hostile(domain)
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)
    assert resolve(scene, domain.name, "MX")[:2] == (state, [] if state == BOGUS else [f"10 {mx.host}."])
    assert resolve(scene, mx.host, "A")[0] == state
    (answer,) = resolve(scene, f"_25._tcp.{mx.host}", "TLSA")[1] or [""]
    assert answer == ("" if state == BOGUS else tlsa(3, 1, 1, mx.chain))
    absent = resolve(scene, f"_26._tcp.{mx.host}", "TLSA")
    # An opted-out zone says nothing secure about names that do not exist (RFC 5155 6).
    assert absent[0] == (INSECURE if zone == "optout" else state) and not absent[1]


def test_hosts_in_other_zones_and_aliases(scene):
    domain, plain, other = scene.domain(signed=True), scene.domain(), scene.domain(zone="nsec3")
    for at, state in ((plain, INSECURE), (other, SECURE)):
        mx = scene.hostile(domain, at=at)
        assert mx.host.endswith(at.name) and resolve(scene, mx.host, "A")[0] == state
    alias = domain.cname("alias", domain.cname("alias2", f"mx.{other.name}"))
    assert resolve(scene, alias, "A")[0] == SECURE
    through_plain = domain.cname("alias3", plain.cname("alias4", f"mx.{other.name}"))
    assert resolve(scene, through_plain, "A")[0] == INSECURE
    assert len(resolve(scene, domain.name, "MX")[1]) == 2


@pytest.mark.parametrize("how, state", [
    ("servfail", BOGUS), ("refused", BOGUS), ("badsig", BOGUS), ("expired", BOGUS), ("not-yet-valid", BOGUS),
    ("unsigned", BOGUS), ("truncated", SECURE), (0.3, SECURE), (lambda query, answer: answer, SECURE)])
def test_faults_of_one_question(scene, how, state):
    domain = scene.domain(zone="crafted")
    mx = scene.hostile(domain)
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)
    name, before = f"_25._tcp.{mx.host}", time.monotonic()
    domain.fault("TLSA", how, host=mx.host)
    assert resolve(scene, name, "TLSA")[0] == state
    assert resolve(scene, mx.host, "A")[0] == SECURE and resolve(scene, domain.name, "MX")[0] == SECURE
    assert how != 0.3 or time.monotonic() - before >= 0.3
    assert scene.dns.crafted.count(name, "TLSA") >= 1
    domain.fault("A", "badsig", label="mx")
    assert resolve(scene, mx.host, "A")[0] == BOGUS


def test_a_question_without_an_answer(scene):
    domain = scene.domain(zone="crafted")
    domain.fault("TLSA", "drop", label="mx")
    with pytest.raises(dns.exception.Timeout):
        resolve(scene, f"_25._tcp.mx.{domain.name}", "TLSA", timeout=1)
    assert scene.dns.crafted.count(f"_25._tcp.mx.{domain.name}", "TLSA") >= 1
    with pytest.raises(ValueError, match="no fault"):
        domain.fault("A", "no such")


@pytest.mark.parametrize("rdata", [b"", b"\x03", b"\x03\x01", b"\x03\x01\x01", b"\x03\x01\x01\xab", b"\xff" * 300])
def test_rdata_of_any_length(scene, rdata):
    domain = scene.domain(zone="crafted")
    domain.tlsa_rdata("mx." + domain.name, rdata)
    asked = []
    domain.fault("TLSA", lambda query, answer: asked.append(answer.to_wire()) or answer, label="mx")
    with scene.net.client.entered():
        s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    with s:
        s.connect((scene.unbound.address, 53))
        s.settimeout(5)
        s.send(dns.message.make_query(f"_25._tcp.mx.{domain.name}", "TLSA", want_dnssec=True).to_wire())
        wire = s.recv(65535)
    # type TLSA, class IN, TTL, length, data
    assert b"\x00\x34\x00\x01" in wire and len(rdata).to_bytes(2, "big") + rdata in wire and asked


def test_knot_takes_odd_rdata_too(scene):
    domain = scene.domain(signed=True)
    domain.tlsa_rdata("mx." + domain.name, b"\x03\x01\x01", "255 255 255 00")
    assert len(resolve(scene, f"_25._tcp.mx.{domain.name}", "TLSA")[1]) == 2


# -- posttls-finger -------------------------------------------------------------------------------

@pytest.mark.parametrize("zone", ["signed", "nsec3", "optout", "crafted"])
def test_postfix_verifies(scene, zone):
    domain = scene.domain(zone=zone)
    mx = scene.hostile(domain, kind="expired")   # DANE-EE does not look at dates
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)
    finger = scene.posttls_finger(domain)
    assert (finger.verdict, finger.matched, finger.depth) == ("Verified", "DANE EE", 0), finger.text
    assert finger.host == mx.host and finger.address in mx.addresses and not finger.failures
    assert len(finger.tlsa) == 1 and not finger.unusable
    assert mx.records[-1].tls["sni"] == mx.host


@pytest.mark.parametrize("selector", [0, 1])
def test_postfix_verifies_a_trust_anchor(scene, selector):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain, kind="untrusted-root")
    domain.tlsa(mx.host, 2, selector, 2, scene.pki.authority("other root", None).cert)
    finger = scene.posttls_finger(domain)
    assert (finger.verdict, finger.matched, finger.depth) == ("Verified", "DANE TA", 2), finger.text


def test_postfix_refuses(scene):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain)
    domain.tlsa(mx.host, 3, 1, 1, b"another key")
    finger = scene.posttls_finger(domain)
    assert finger.verdict == "Untrusted" and finger.matched is None
    assert "no matching DANE TLSA records" in finger.failures[0]


def test_postfix_says_what_it_cannot_use(scene):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain)
    domain.tlsa(mx.host, 1, 1, 1, mx.chain)
    finger = scene.posttls_finger(domain)
    assert not finger.tlsa and len(finger.unusable) == 1 and finger.verdict == "Verified"


def test_postfix_gives_up_on_a_host_whose_tlsa_look_up_fails(scene):
    domain = scene.domain(zone="crafted")
    mx = scene.hostile(domain)
    domain.fault("TLSA", "servfail", host=mx.host)
    finger = scene.posttls_finger(domain)
    assert finger.verdict is None and "TLSA lookup error" in finger.failures[-1] and not mx.records


def test_postfix_without_dane(scene):
    domain = scene.domain()
    mx = scene.hostile(domain)
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)   # insecure
    finger = scene.posttls_finger(domain)
    assert not finger.tlsa and not finger.unusable and finger.matched == "peername"
    assert scene.posttls_finger(f"[{mx.host}]", "encrypt").verdict in ("Trusted", "Verified")
