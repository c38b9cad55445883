# SPDX-License-Identifier: Apache-2.0
"""DANE: which certificates the TLSA records let in, seen at the MX (C-DANE-04 to C-DANE-07)."""

import pytest

from lab.daned import OTHER_KEY, Daned
from lab.pki import KINDS

# Certificates that no root, no date or no name of the host would let in.
OUTCASTS = ["self-signed", "expired", "name-mismatch", "untrusted-root", "client-auth"]


# -- DANE-EE --------------------------------------------------------------------------------------

@pytest.mark.parametrize("selector, matching", [(1, 1), (0, 1), (1, 2), (1, 0), (0, 0)])
def test_c_dane_05_ee_matches(scene, selector, matching):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, selector, matching)
    attempt = dane.delivered(mx, demand="dane", demand_source="dane", dane="usable", dane_outcome="ok",
                             tlsa_base=mx.host, tlsa_records=1, tlsa_usable=1, verify="self-signed", dnssec=True)
    assert attempt["dane_match"].startswith(f"TLSA 3 {selector} {matching} ")
    assert attempt["severity"] == "info" and attempt["tls"].startswith("TLSv1.")
    assert mx.records[-1].tls["sni"] == mx.host


@pytest.mark.parametrize("kind", OUTCASTS)
def test_c_dane_05_ee_stands_instead_of_roots_names_and_dates(scene, kind):
    dane = Daned(scene)   # the default level is verify
    mx = dane.mx(kind)
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx, demand="dane", demand_source="dane", dane_outcome="ok", verify=KINDS[kind].reason)


@pytest.mark.parametrize("kind", ["stapled-revoked", "rsa1024", "bad-signature", "too-many", "not-a-ca"])
def test_c_dane_05_ee_asks_nothing_else_of_the_certificate(scene, kind):
    dane = Daned(scene)
    mx = dane.mx(kind)
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx, demand="dane", dane_outcome="ok", verify=KINDS[kind].reason)


def test_c_dane_05_the_same_certificate_is_refused_without_records(scene):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.refused("self-signed", mx, dane="absent", demand="verify", demand_source="default")


# -- mismatch -------------------------------------------------------------------------------------

@pytest.mark.parametrize("record", [
    (3, 1, 1, OTHER_KEY), (3, 0, 1, OTHER_KEY), (3, 1, 2, OTHER_KEY), (2, 0, 1, OTHER_KEY)])
def test_c_dane_07_mismatch_is_deferred(scene, record):
    dane = Daned(scene)
    mx = dane.mx("good")   # a root would let it in
    dane.tlsa(mx, *record)
    attempt = dane.refused("dane-mismatch", mx, demand="dane", demand_source="dane", dane="usable", verify="ok",
                           dane_outcome="dane-mismatch", stage="certificate")
    assert "record" in attempt["dane_match"] and attempt["hint"] and attempt["severity"] == "warning"


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "dane", "dane-only", "secure"])
def test_c_dane_07_mismatch_is_deferred_whatever_the_configuration_says(scene, level):
    dane = Daned(scene, tls={"level": level})
    mx = dane.mx("good")
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx, demand="dane-only" if level == "dane-only" else "dane", demand_source="dane")
    assert not dane.tlsmend.records("attempt", rung="clear")


def test_c_dane_07_mismatch_goes_to_the_next_mx(scene):
    dane = Daned(scene)
    first, second = dane.mx("good", "mx1", preference=10), dane.mx("self-signed", "mx2", preference=20)
    dane.mismatch(first)
    dane.tlsa(second, 3, 1, 1)
    dane.delivered(second, dane_outcome="ok")
    dane.untouched(first)
    assert {a["reason"] for a in dane.tlsmend.attempts(mx=first.host)} == {"dane-mismatch"}


def test_c_dane_07_mismatch_at_every_mx(scene):
    dane = Daned(scene)
    hosts = [dane.mx("good", "mx1", preference=10), dane.mx("good", "mx2", preference=20)]
    for mx in hosts:
        dane.mismatch(mx)
    dane.refused("dane-mismatch", *hosts)


def test_c_dane_07_a_certificate_is_no_reason_for_a_lower_rung(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx)
    assert {a["rung"] for a in dane.tlsmend.attempts(mx=mx.host)} == {"full"}
    assert len(mx.records) == len(mx.addresses)


def test_c_dane_07_a_record_of_another_port_is_none(scene):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.domain.tlsa(mx.host, 3, 1, 1, mx.chain, port=465)
    dane.refused("self-signed", mx, dane="absent")


# -- several records ------------------------------------------------------------------------------

def test_c_dane_05_one_of_several_records_is_enough(scene):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.mismatch(mx)                       # the key before, or the one to come
    dane.tlsa(mx, 3, 1, 1)
    dane.tlsa(mx, 2, 0, 1, OTHER_KEY)
    dane.domain.tlsa_rdata(mx.host, "1 1 1 " + "ab" * 32)
    dane.delivered(mx, tlsa_records=4, tlsa_usable=3, dane_outcome="ok")


def test_c_dane_06_a_weak_digest_that_matches_does_not_rescue_a_strong_one_that_does_not(scene):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    dane.tlsa(mx, 3, 1, 2, OTHER_KEY)
    dane.refused("dane-mismatch", mx, tlsa_records=2, tlsa_usable=1, dane_outcome="dane-mismatch")


@pytest.mark.parametrize("more", [
    (3, 0, 2, OTHER_KEY),   # another selector
    (2, 1, 2, OTHER_KEY),   # another usage
    (3, 1, 0, None)])       # a whole key is no digest
def test_c_dane_06_agility_is_per_usage_and_selector(scene, more):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    *kind, cert = more
    other = scene.pki.chain("self-signed", "other.example")
    dane.tlsa(mx, *kind, cert or other)
    attempt = dane.delivered(mx, tlsa_records=2, tlsa_usable=2, dane_outcome="ok")
    assert attempt["dane_match"].startswith("TLSA 3 1 1 ")


@pytest.mark.parametrize("broken", ["3 1 2 " + "ab" * 63, "3 1 3 " + "ab" * 64])
def test_c_dane_06_an_unusable_record_is_no_stronger_digest(scene, broken):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    dane.domain.tlsa_rdata(mx.host, broken)
    dane.delivered(mx, tlsa_records=2, tlsa_usable=1, dane_outcome="ok")


# -- DANE-TA --------------------------------------------------------------------------------------

def other_root(scene):
    return scene.pki.authority("other root", None)


def other_middle(scene):
    return scene.pki.authority("other intermediate", other_root(scene))


@pytest.mark.parametrize("anchor", [other_root, other_middle])
@pytest.mark.parametrize("selector, matching", [(0, 1), (1, 1), (1, 2)])
def test_c_dane_05_ta_in_the_chain(scene, anchor, selector, matching):
    dane = Daned(scene)
    mx = dane.mx("untrusted-root")   # the whole chain is sent
    dane.tlsa(mx, 2, selector, matching, anchor(scene).cert)
    attempt = dane.delivered(mx, demand="dane", dane_outcome="ok", verify="untrusted-root")
    assert attempt["dane_match"].startswith(f"TLSA 2 {selector} {matching} ")


@pytest.mark.parametrize("selector", [0, 1])
def test_c_dane_05_ta_in_the_record_need_not_be_sent(scene, selector):
    dane = Daned(scene)
    mx = dane.mx(chain=dane.leaf(issuer=other_middle(scene)))   # leaf and intermediate, without the root
    dane.tlsa(mx, 2, selector, 0, other_root(scene).cert)
    dane.delivered(mx, dane_outcome="ok", chain_length=2)


def test_c_dane_05_a_digest_of_a_ta_that_is_not_sent_matches_nothing(scene):
    dane = Daned(scene)
    mx = dane.mx(chain=dane.leaf(issuer=other_middle(scene)))
    dane.tlsa(mx, 2, 0, 1, other_root(scene).cert)
    dane.refused("dane-mismatch", mx, chain_length=2)


@pytest.mark.parametrize("options, reason", [
    ({"names": ("elsewhere.example",), "common": ""}, "name-mismatch"),
    ({"names": ()}, "name-mismatch"),                           # the host in the CN alone
    ({"start": -90, "end": -1}, "expired"),
    ({"start": 2, "end": 90}, "not-yet-valid")])
def test_c_dane_05_ta_checks_names_and_dates(scene, options, reason):
    dane = Daned(scene)
    mx = dane.mx(chain=dane.leaf(issuer=other_middle(scene), **options))
    dane.tlsa(mx, 2, 1, 1, other_middle(scene).cert)
    dane.refused(reason, mx, demand="dane", dane_outcome=reason)


@pytest.mark.parametrize("usage, reason", [(3, None), (2, "expired")])
def test_c_dane_05_time_passes(scene, usage, reason):
    """The same chain a month later: a DANE-EE record vouches for it still, a DANE-TA record does not."""
    dane = Daned(scene, clock="both")
    mx = dane.mx(chain=dane.leaf(issuer=other_middle(scene), end=10))
    dane.tlsa(mx, usage, 1, 1, None if usage == 3 else other_middle(scene).cert)
    dane.delivered(mx, dane_outcome="ok")
    dane.tlsmend.clock.turn("+31d")
    reply = dane.send()
    if reason is None:
        assert reply.code == 250 and len(mx.mails) == 2
    else:
        assert reply.code == 451 and "expired" in reply.text and len(mx.mails) == 1


def test_c_dane_05_ta_takes_the_next_hop_domain_as_a_name(scene):
    dane = Daned(scene)
    mx = dane.mx(chain=dane.leaf(issuer=other_middle(scene), names=(dane.domain.name,)))
    dane.tlsa(mx, 2, 1, 1, other_middle(scene).cert)
    dane.delivered(mx, dane_outcome="ok")


def test_c_dane_05_ta_of_somebody_else_in_the_chain(scene):
    """A server sends the anchor along, but the leaf is not below it."""
    dane = Daned(scene)
    mx = dane.mx(chain=dane.leaf(send=[scene.pki.intermediate.cert, other_root(scene).cert]))
    dane.tlsa(mx, 2, 0, 1, other_root(scene).cert)
    dane.refused("dane-mismatch", mx, verify="ok")


# -- records that cannot be used ------------------------------------------------------------------

BAD = {
    "usage 0": "0 0 1 " + "ab" * 32, "usage 1": "1 1 1 " + "ab" * 32, "usage 4": "4 1 1 " + "ab" * 32,
    "selector 2": "3 2 1 " + "ab" * 32, "matching 3": "3 1 3 " + "ab" * 32, "usage 255": "255 1 1 " + "ab" * 32,
    "short": "3 1 1 " + "ab" * 31, "long": "3 1 1 " + "ab" * 33, "sha-512 short": "3 1 2 " + "ab" * 32,
    "no certificate": "3 0 0 3003020100", "1 byte": b"\x03", "2 bytes": b"\x03\x01",
    "3 bytes": b"\x03\x01\x01", "4 bytes": b"\x03\x01\x01\xab",
}


@pytest.mark.parametrize("rdata", BAD.values(), ids=BAD.keys())
def test_c_dane_04_only_unusable_records_owe_tls_without_authentication(scene, rdata):
    dane = Daned(scene, tls={"level": "dane"})
    mx = dane.mx("self-signed")
    dane.domain.tlsa_rdata(mx.host, rdata)
    attempt = dane.delivered(mx, demand="encrypt", demand_source="dane", dane="unusable", dane_outcome="ok",
                             tlsa_records=1, tlsa_usable=0)
    assert "dane_match" not in attempt and attempt["tlsa_base"] == mx.host


@pytest.mark.parametrize("beside", [False, True])
def test_c_dane_04_a_record_without_a_byte_is_no_answer(scene, beside):
    """libunbound gives up on such an answer, so nobody can say what else is in it (docs/policy.md, "DANE")."""
    dane = Daned(scene, tls={"level": "may"})
    mx = dane.mx("self-signed")
    dane.domain.tlsa_rdata(mx.host, b"")
    if beside:
        dane.tlsa(mx, 3, 1, 1)
    dane.deferred("tlsa-lookup-failed", mx, dane="lookup-failed")


@pytest.mark.parametrize("level", ["none", "may", "dane"])
def test_c_dane_04_tls_is_owed_beside_unusable_records(scene, level):
    dane = Daned(scene, tls={"level": level})
    mx = dane.mx(tls=False)
    dane.domain.tlsa_rdata(mx.host, BAD["usage 1"])
    dane.refused("no-starttls", mx, enhanced="4.7.4", demand="encrypt", demand_source="dane")


def test_c_dane_04_a_handshake_that_fails_beside_unusable_records_is_no_leave_for_clear_text(scene):
    dane = Daned(scene, tls={"level": "may"})
    mx = dane.mx(replies={"handshake": b"garbage\r\n"})
    dane.domain.tlsa_rdata(mx.host, BAD["usage 1"])
    reply = dane.send()
    assert reply.code == 451
    dane.untouched(mx)
    dane.nothing_in_clear()
    assert "clear" not in {a["rung"] for a in dane.tlsmend.attempts(mx=mx.host)}


def test_c_dane_04_what_the_configuration_asks_for_stays_beside_unusable_records(scene):
    dane = Daned(scene)   # verify
    mx = dane.mx("self-signed")
    dane.domain.tlsa_rdata(mx.host, BAD["usage 1"])
    dane.refused("self-signed", mx, dane="unusable", demand="verify", demand_source="default")


def test_c_dane_04_one_usable_record_among_others_counts(scene):
    dane = Daned(scene, tls={"level": "may"})
    mx = dane.mx("good")
    for rdata in (BAD["usage 0"], BAD["short"]):
        dane.domain.tlsa_rdata(mx.host, rdata)
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx, tlsa_records=3, tlsa_usable=1)
