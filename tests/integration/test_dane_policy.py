# SPDX-License-Identifier: Apache-2.0
"""DANE beside everything else: no STARTTLS, the levels, MTA-STS, and DNSSEC that does not work (C-DANE-01, 07, 08)."""

import base64
import os

import pytest

from lab import smtpc
from lab.capture import assert_no_clear_envelope
from lab.daned import Daned
from lab.helpers import send
from lab.hostile import CLOSE, RESET, alert
from lab.postfix import PostfixClient
from lab.process import wait_for
from lab.servers import MX

NO_TLS = {
    "not offered": {"tls": False},
    "refused for now": {"replies": {"starttls": "454 4.7.0 not now"}},
    "refused for good": {"replies": {"starttls": "502 5.5.1 no"}},
    "answered with 250": {"replies": {"starttls": "250 ok"}},
}
NO_HANDSHAKE = {
    "closed": CLOSE, "reset": RESET, "no ServerHello": b"\x16\x03\x03\x00\x08\x63\x00\x00\x04abcd", "alert": alert("handshake_failure"),
}


# -- TLS cannot be had ----------------------------------------------------------------------------

@pytest.mark.parametrize("options", NO_TLS.values(), ids=NO_TLS.keys())
@pytest.mark.parametrize("level", ["verify", "may"])
def test_c_dane_07_no_starttls_is_deferred(scene, options, level):
    dane = Daned(scene, tls={"level": level})
    mx = dane.mx(**options)
    dane.domain.tlsa(mx.host, 3, 1, 1, b"any key")
    assert_deferred(dane, mx)
    assert dane.reply.text.startswith("4.7.4 ")
    assert b"MAIL" not in dane.clear(mx) and {a["demand"] for a in dane.tlsmend.attempts(mx=mx.host)} == {"dane"}


@pytest.mark.parametrize("how", NO_HANDSHAKE.values(), ids=NO_HANDSHAKE.keys())
def test_c_dane_07_a_handshake_that_fails_is_deferred(scene, how):
    """The rungs of the ladder are tried, clear text is none of them."""
    dane = Daned(scene, tls={"level": "may"})
    mx = dane.mx("good", replies={"handshake": how})
    dane.tlsa(mx, 3, 1, 1)
    assert_deferred(dane, mx)
    rungs = [a["rung"] for a in dane.tlsmend.attempts(3, mx=mx.host)]
    assert set(rungs) == {"full", "compact", "tls1.2"} and not dane.tlsmend.records("attempt", downgraded=True)


def assert_deferred(dane, mx):
    reply = dane.send()
    assert reply.code == 451, reply
    dane.untouched(mx)
    dane.nothing_in_clear()


def test_c_dane_07_injection_is_deferred(scene):
    dane = Daned(scene)
    mx = dane.mx("good", replies={"starttls": b"220 go\r\n250 injected\r\n"})
    dane.tlsa(mx, 3, 1, 1)
    dane.refused("starttls-injection", mx, demand="dane")


def test_c_dane_07_plaintext_mx_then_one_that_matches(scene):
    dane = Daned(scene)
    first, second = dane.mx(label="mx1", preference=10, tls=False), dane.mx("expired", "mx2", preference=20)
    dane.domain.tlsa(first.host, 3, 1, 1, b"any key")
    dane.tlsa(second, 3, 1, 1)
    dane.delivered(second, dane_outcome="ok", verify="expired")
    dane.untouched(first)
    assert {a["reason"] for a in dane.tlsmend.attempts(mx=first.host)} == {"no-starttls"}


# -- levels ---------------------------------------------------------------------------------------

@pytest.mark.parametrize("zone", ["signed", "crafted", "plain"])
def test_c_dane_08_dane_only_without_records(scene, zone):
    dane = Daned(scene, zone=zone, tls={"level": "dane-only"})
    mx = dane.mx("good")
    dane.deferred("dane-required", mx, dane="insecure" if zone == "plain" else "absent", demand="dane-only")


def test_c_dane_08_dane_only_with_unusable_records(scene):
    dane = Daned(scene, tls={"level": "dane-only"})
    mx = dane.mx("good")
    dane.domain.tlsa_rdata(mx.host, "1 1 1 " + "ab" * 32)
    dane.deferred("dane-required", mx, dane="unusable")


def test_c_dane_08_dane_only_goes_to_the_next_mx(scene):
    dane = Daned(scene, tls={"level": "dane-only"})
    first, second = dane.mx("good", "mx1", preference=10), dane.mx("self-signed", "mx2", preference=20)
    dane.tlsa(second, 3, 1, 1)
    dane.skipped("dane-required", first)
    assert dane.reply.code == 250 and len(second.mails) == 1
    assert dane.tlsmend.attempt()["demand"] == "dane-only"


@pytest.mark.parametrize("level, clear", [("dane", True), ("may", True), ("encrypt", False)])
def test_c_dane_08_without_records_the_level_stands(scene, level, clear):
    """The setting dane is may where there are no TLSA records (Postfix: opportunistic)."""
    dane = Daned(scene, tls={"level": level})
    mx = dane.mx(tls=False)
    reply = dane.send()
    if clear:
        assert reply.code == 250 and not mx.mails[0].in_tls
        assert dane.tlsmend.attempt()["demand"] == "may"
    else:
        assert reply.code == 451
        dane.untouched(mx)


def test_c_dane_05_a_name_that_the_administrator_wrote_down_holds_beside_dane(scene):
    dane = Daned(scene, destinations=[{"match": ".crafted.example", "level": "secure"}])
    mx = dane.mx("self-signed")   # bears the host's name, and has no root
    dane.tlsa(mx, 3, 1, 1)
    dane.refused("self-signed", mx, dane_outcome="ok", demand="dane")


OVERRULED = {"match": ".crafted.example", "override_policy": True, "expires": "2099-01-01", "reason": "ticket 1"}


def test_c_dane_07_an_overruled_mismatch_is_said(scene):
    dane = Daned(scene, destinations=[{**OVERRULED, "level": "encrypt"}])
    mx = dane.mx("good")
    dane.mismatch(mx)
    dane.delivered(mx, policy_overruled="dane", dane_outcome="dane-mismatch", demand="encrypt", severity="warning")


def test_c_dane_02_an_overruled_look_up_is_said(scene):
    dane = Daned(scene, destinations=[{**OVERRULED, "level": "encrypt"}])
    mx = dane.mx("good")
    dane.domain.fault("TLSA", "servfail", host=mx.host)
    dane.delivered(mx, policy_overruled="dane", dane="lookup-failed", demand="encrypt", severity="warning")


# -- MTA-STS beside DANE --------------------------------------------------------------------------

def policed(scene, kind="good", listed=True, mode="enforce"):
    dane = Daned(scene, mta_sts={"timeout": "1s"})
    mx = dane.mx(kind)
    dane.sts = dane.domain.sts(mode=mode, mx=[mx if listed else "elsewhere.example"])
    return dane, mx


def test_c_sts_13_a_good_policy_does_not_rescue_a_mismatch(scene):
    dane, mx = policed(scene, "good")
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx, demand="dane", demand_source="dane", sts_mode="enforce", sts_outcome="ok",
                 dane_outcome="dane-mismatch")


def test_c_sts_13_a_good_policy_does_not_rescue_a_failed_look_up(scene):
    dane = Daned(scene, mta_sts={"timeout": "1s"})
    mx = dane.mx("good")
    dane.domain.sts(mode="enforce", mx=[mx])
    dane.domain.fault("TLSA", "servfail", host=mx.host)
    dane.deferred("tlsa-lookup-failed", mx, sts_mode="enforce", demand_source="dane")


@pytest.mark.parametrize("kind", ["self-signed", "name-mismatch"])
def test_c_sts_13_a_policy_asks_for_no_root_where_dane_holds(scene, kind):
    dane, mx = policed(scene, kind)
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx, demand="dane", demand_source="dane", dane_outcome="ok", sts_mode="enforce", sts_outcome=kind)


def test_c_sts_13_dane_does_not_open_a_host_that_is_not_listed(scene):
    dane, mx = policed(scene, listed=False)
    dane.tlsa(mx, 3, 1, 1)
    dane.deferred("sts-mx-not-listed", mx, dane="usable", demand_source="mta-sts")


def test_c_sts_13_no_records_leave_the_policy_in_force(scene):
    dane, mx = policed(scene, "self-signed")
    dane.refused("self-signed", mx, dane="absent", demand="verify", demand_source="mta-sts")


def test_c_sts_13_unusable_records_leave_the_policy_in_force(scene):
    dane = Daned(scene, tls={"level": "may"}, mta_sts={"timeout": "1s"})
    mx = dane.mx("self-signed")
    dane.domain.sts(mode="enforce", mx=[mx])
    dane.domain.tlsa_rdata(mx.host, "1 1 1 " + "ab" * 32)
    dane.refused("self-signed", mx, dane="unusable", demand="verify", demand_source="mta-sts")


def test_c_sts_13_a_policy_in_mode_none_takes_nothing_from_dane(scene):
    dane, mx = policed(scene, mode="none")
    dane.mismatch(mx)
    dane.refused("dane-mismatch", mx, sts_outcome=None)


# -- observe mode ---------------------------------------------------------------------------------

@pytest.mark.parametrize("observe, held", [(True, True), ("all", False)])
def test_c_dane_07_observe_mode_leaves_dane_in_force_unless_it_says_all(scene, observe, held):
    dane = Daned(scene, tls={"observe": observe})
    mx = dane.mx("good")
    dane.mismatch(mx)
    if held:
        dane.refused("dane-mismatch", mx, observe="global")
    else:
        dane.delivered(mx, observe="global", would_defer="dane-mismatch", would_demand="dane", demand="may",
                       dane_outcome="dane-mismatch", severity="warning")


def test_c_dane_02_observe_mode_all_goes_on_where_the_look_up_fails(scene):
    dane = Daned(scene, tls={"observe": "all"})
    mx = dane.mx("good")
    dane.domain.fault("TLSA", "servfail", host=mx.host)
    dane.delivered(mx, would_defer="tlsa-lookup-failed", dane="lookup-failed", demand="may")


# -- DNSSEC that does not work --------------------------------------------------------------------

def other_anchor(lab):
    """The root's key with other bits: as behind a forwarder that strips signatures, no answer validates."""
    fields = lab.dns.trust_anchor.read_text(encoding="ascii").split("\n")[0].split()
    at = fields.index("DNSKEY")
    path = lab.new_directory("other.key")
    path.write_text(" ".join([*fields[:at + 4], base64.b64encode(os.urandom(64)).decode()]) + "\n", encoding="ascii")
    path.chmod(0o644)
    return str(path)


@pytest.mark.parametrize("how, state", [("no anchor", "off-no-anchor"), ("stripped", "off-stripped")])
def test_c_dane_01_without_dnssec_dane_is_off_loudly_and_mail_goes_on(scene, lab, how, state):
    dane = Daned(scene, resolver={"trust_anchor": "" if how == "no anchor" else other_anchor(lab)})
    said = dane.tlsmend.wait_records("dnssec")[0]
    assert (said["state"], said["severity"]) == (state, "warning") and said["hint"]
    mx = dane.mx("good")
    dane.mismatch(mx)
    attempt = dane.delivered(mx, dane="off", demand="verify", demand_source="default", dnssec=False)
    assert "DNSSEC" in attempt["dane_detail"] and not dane.asked(mx)


def test_c_dane_01_without_dnssec_the_other_policies_hold(scene):
    dane = Daned(scene, resolver={"trust_anchor": ""})
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    dane.refused("self-signed", mx, dane="off")


def test_c_dane_01_dane_only_needs_dnssec(scene):
    dane = Daned(scene, tls={"level": "dane-only"}, resolver={"trust_anchor": ""})
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    dane.deferred("dane-required", mx, dane="off")


def test_c_dane_01_dane_is_in_force_once_validation_works(scene, lab):
    dane = Daned(scene, resolver={"trust_anchor": ""})
    mx = dane.mx("good")
    dane.mismatch(mx)
    assert dane.send().code == 250
    dane.tlsmend.write_config(resolver={"trust_anchor": str(lab.dns.trust_anchor)})
    dane.tlsmend.reload()
    wait_for("validation", lambda: [r["state"] for r in dane.tlsmend.records("dnssec")][-1:] == ["on"])
    reply = dane.send()
    assert reply.code == 451 and "dane-mismatch" in reply.text
    assert len(mx.mails) == 1
    assert_no_clear_envelope(dane.capture, dane.domain.address())


# -- what is asked and said -----------------------------------------------------------------------

def test_c_dane_02_the_order_of_the_questions(scene):
    dane = Daned(scene)
    mx = dane.mx("self-signed")
    dane.tlsa(mx, 3, 1, 1)
    dane.delivered(mx)
    names = {"MX": dane.domain.name, "A": mx.host, "AAAA": mx.host, "TLSA": f"_25._tcp.{mx.host}"}
    first = {t: dane.capture.queries(n, t)[0].time for t, n in names.items()}
    assert first["MX"] < min(first["A"], first["AAAA"]) and max(first["A"], first["AAAA"]) < first["TLSA"]


def test_c_dane_05_the_record_of_an_attempt(scene):
    dane = Daned(scene)
    mx = dane.mx("expired")
    dane.tlsa(mx, 3, 1, 1)
    dane.mismatch(mx)
    attempt = dane.delivered(mx)
    wanted = {"dane": "usable", "dane_detail": f"TLSA records at _25._tcp.{mx.host}", "tlsa_base": mx.host,
              "tlsa_records": 2, "tlsa_usable": 2, "dane_outcome": "ok", "demand": "dane", "demand_source": "dane",
              "dnssec": True, "verify": "expired", "reason": "ok", "outcome": "delivered"}
    assert {k: attempt[k] for k in wanted} == wanted
    assert attempt["dane_match"].startswith("TLSA 3 1 1 ") and "policy_id" not in attempt
    result = dane.tlsmend.result()
    assert (result["demand"], result["status"]) == ("dane", "delivered")


def test_c_dane_08_two_recipient_domains_are_judged_alone(scene):
    """The same MX: one domain's records are no word about the other's mail."""
    dane = Daned(scene, zone="plain")
    home = scene.domain(signed=True)
    mx = dane.mx("self-signed", at=home)
    dane.tlsa(mx, 3, 1, 1)
    home.mx(mx.host)
    with scene.client(dane.tlsmend) as c:
        c.ehlo()
        assert c.deliver("a@client.lab.example", home.address(), b"x\r\n").code == 250
    dane.send()
    assert dane.reply.code == 451 and "self-signed" in dane.reply.text
    assert len(mx.mails) == 1


# -- with the real ones ---------------------------------------------------------------------------

@pytest.mark.parametrize("name", sorted(MX))
def test_c_dane_05_a_real_server_with_a_certificate_of_its_own(scene, name):
    """What most hosts with DANE are: a real MTA, a self-signed certificate, 3 1 1."""
    domain = scene.domain(signed=True)
    addresses = scene.net.new_host()
    host = domain.host("mx", *addresses)
    chain = scene.pki.chain("self-signed", host)
    mx = scene.server(MX[name], hostname=host, chain=chain, addresses=addresses)
    domain.mx(host)
    domain.tlsa(host, 3, 1, 1, chain)
    tlsmend = scene.tlsmend()
    assert send(scene, tlsmend, domain).code == 250
    mx.wait_mail(domain.name)
    attempt = tlsmend.attempt()
    assert (attempt["dane_outcome"], attempt["verify"], attempt["tls"]) == ("ok", "self-signed", "TLSv1.3")


def test_c_dane_07_the_queue_of_the_legacy_mta_says_why(scene):
    dane = Daned(scene)
    mx = dane.mx("good")
    dane.mismatch(mx)
    client = scene.server(PostfixClient)
    client.submit(dane.domain.address(), smtpc.message())
    reason = client.wait_deferred(dane.domain.name).reason
    assert "4.7.5" in reason and "no TLSA record matches" in reason and mx.host in reason
    dane.untouched(mx)
