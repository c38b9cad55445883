# SPDX-License-Identifier: Apache-2.0
"""MTA-STS: what a policy asks of the MX, beside the configuration and DANE (C-STS-11, 12, 13).  A refusal
is seen at the MX: no MAIL came, and no byte of an envelope went over the wire in clear."""

import datetime

import pytest

from lab.capture import assert_no_clear_envelope
from lab.helpers import send
from lab.hostile import RESET
from lab.policed import ELSEWHERE, NOT_LISTED, Policed

FUTURE = (datetime.date.today() + datetime.timedelta(days=30)).isoformat()
LEVELS = ["none", "may", "encrypt", "verify", "secure", "dane"]
# What an MX may have that no policy accepts: options of scene.hostile(), the reason that is due.
BAD_MX = {
    "no-starttls": ({"tls": False}, "no-starttls"),
    "starttls-454": ({"replies": {"starttls": "454 4.7.0 no TLS now"}}, "starttls-refused"),
    "starttls-502": ({"replies": {"starttls": "502 5.5.1 not here"}}, "starttls-refused"),
    "injection": ({"replies": {"starttls": b"220 go\r\n250 x\r\n"}}, "starttls-injection"),
    "expired": ({"kind": "expired"}, "expired"),
    "self-signed": ({"kind": "self-signed"}, "self-signed"),
    "untrusted-root": ({"kind": "untrusted-root"}, "untrusted-root"),
    "name-mismatch": ({"kind": "name-mismatch"}, "name-mismatch"),
    "incomplete-chain": ({"kind": "incomplete-chain"}, "incomplete-chain"),
    "handshake-reset": ({"replies": {"handshake": RESET}}, "tls-reset"),
}


def policed_domain(scene, signed=False, *, policy=None, **mx_options):
    """A domain with one hostile MX; its policy lists it, unless `policy` says otherwise."""
    domain = scene.domain(signed)
    mx = scene.hostile(domain, **mx_options)
    domain.policy = domain.sts(**{"mx": [mx.host], **(policy or {})})
    return domain, mx


def assert_refused(scene, capture, domain, mx, reply):
    """Told as trouble of the policy or of TLS, for now, and nothing of the mail was shown to anybody."""
    assert reply.code == 451 and reply.text[:5] in ("4.7.5", "4.7.4"), reply
    assert not mx.saw("MAIL") and mx.mails == []
    assert_no_clear_envelope(capture, domain.address(), b"a@client.lab.example", addresses=mx.addresses)


# -- enforce --------------------------------------------------------------------------------------

@pytest.mark.parametrize("level", LEVELS)
def test_c_sts_11_a_listed_mx_at_every_level(scene, level):
    domain, mx = policed_domain(scene, **({"chain": None} if level != "secure" else {}))
    if level == "secure":   # that level asks for the domain's name besides
        mx.chain = scene.pki.leaf(mx.host, "good", names=[mx.host, domain.name])
    tlsmend = scene.tlsmend(tls={"level": level})
    capture = scene.capture()
    assert send(scene, tlsmend, domain).code == 250
    attempt = tlsmend.attempt(mx=mx.host)
    assert attempt["sts_outcome"] == "ok" and (attempt["sts_id"], attempt["sts_mode"]) == ("1", "enforce")
    assert attempt["policy_domain"] == domain.name and attempt["demand"] == ("secure" if level == "secure" else "verify")
    if level != "secure":
        assert (attempt["demand_source"], attempt["policy_id"]) == ("mta-sts", "1")
    assert_no_clear_envelope(capture, domain.address())


@pytest.mark.parametrize("level", ["none", "may", "encrypt", "verify"])
def test_c_sts_11_an_mx_that_is_not_listed_is_never_connected_to(scene, level):
    domain, mx = policed_domain(scene, policy={"mx": [ELSEWHERE, "*.other.example"]})
    tlsmend = scene.tlsmend(tls={"level": level})
    capture = scene.capture()
    reply = send(scene, tlsmend, domain)
    assert reply.code == 451 and reply.text.startswith("4.7.5 ")
    assert mx.records == [] and capture.flows(25) == []
    (skip,) = tlsmend.wait_records("skip")
    assert (skip["reason"], skip["mx"], skip["demand_source"]) == (NOT_LISTED, mx.host, "mta-sts")
    assert skip["sts_outcome"] == NOT_LISTED and skip["hint"]
    assert tlsmend.records("attempt") == []
    assert tlsmend.result()["reason"] == NOT_LISTED


def test_c_sts_11_the_reply_says_all(scene):
    """Policy id, mode, list, MX and domain: enough for whoever reads the client's queue."""
    domain, mx = policed_domain(scene, policy={"mx": [ELSEWHERE, "*.other.example"], "id": "abc123"})
    reply = send(scene, scene.tlsmend(), domain)
    assert reply.code == 451
    for word in (mx.host, domain.name, "abc123", "enforce", ELSEWHERE, "*.other.example"):
        assert word in reply.text, reply.text


@pytest.mark.parametrize("bad", ["expired", "no-starttls"])
def test_c_sts_11_the_reply_names_the_policy_behind_a_tls_failure(scene, bad):
    domain, mx = policed_domain(scene, policy={"id": "abc123"}, **BAD_MX[bad][0])
    reply = send(scene, scene.tlsmend(tls={"level": "may"}), domain)
    assert reply.code == 451
    for word in (mx.host, domain.name, "abc123", "enforce"):
        assert word in reply.text, reply.text


def test_c_sts_11_the_next_listed_mx_is_used(scene):
    domain = scene.domain()
    forged = scene.hostile(domain, label="forged", preference=5)
    bad = scene.hostile(domain, label="bad", preference=10, kind="expired")
    good = scene.hostile(domain, label="good", preference=20)
    domain.sts(mx=[bad.host, good.host])
    tlsmend = scene.tlsmend(tls={"level": "may"})
    capture = scene.capture()
    assert send(scene, tlsmend, domain).code == 250
    assert forged.records == [] and capture.flows(25, forged.addresses) == []
    assert not bad.saw("MAIL") and len(good.mails) == 1
    assert tlsmend.attempts(mx=bad.host)[0]["reason"] == "expired"
    assert [r["mx"] for r in tlsmend.records("skip")] == [forged.host]


@pytest.mark.parametrize("level", ["none", "may"])
@pytest.mark.parametrize("bad", BAD_MX)
def test_c_sts_11_tls_is_owed_whatever_the_configuration_says(scene, bad, level):
    """In the default and in a row of destinations, which is no way around a policy by itself."""
    options, reason = BAD_MX[bad]
    domain, mx = policed_domain(scene, **options)
    where = {"tls": {"level": level}} if level == "may" else {
        "destinations": [{"match": domain.name, "level": level}]}
    tlsmend = scene.tlsmend(**where)
    capture = scene.capture()
    reply = send(scene, tlsmend, domain)
    assert_refused(scene, capture, domain, mx, reply)
    attempt = tlsmend.attempts(recipient_domain=domain.name)[0]
    assert (attempt["reason"], attempt["demand_source"]) == (reason, "mta-sts")
    assert attempt["sts_outcome"] == reason and "policy_overruled" not in attempt


@pytest.mark.parametrize("row", ["names", "secure", "fingerprint", "encrypt"])
def test_c_sts_11_the_certificate_is_for_the_mx_host_itself(scene, row):
    """Names, the domain's name or a pin of the configuration come on top and replace nothing."""
    domain, free = scene.domain(), scene.domain()
    mx = scene.hostile(domain)
    free.mx(mx.host)
    chain = mx.chain = scene.pki.leaf("other.example", "good", names=["other.example", domain.name, free.name])
    domain.sts(mx=[mx.host])
    more = {"names": {"level": "verify", "names": ["other.example"]}, "secure": {"level": "secure"},
            "fingerprint": {"level": "fingerprint", "fingerprints": [chain.sha256()]},
            "encrypt": {"level": "encrypt"}}[row]
    tlsmend = scene.tlsmend(destinations=[{"match": d.name, **more} for d in (domain, free)])
    assert send(scene, tlsmend, free).code == 250     # without a policy the row is enough
    reply = send(scene, tlsmend, domain)
    assert reply.code == 451 and reply.text.startswith("4.7.5"), reply
    for attempt in tlsmend.attempts(2, recipient_domain=domain.name):   # both addresses
        assert (attempt["reason"], attempt["sts_outcome"]) == ("name-mismatch", "name-mismatch")
    assert len(mx.mails) == 1


# -- the administrator's ways around it -----------------------------------------------------------

def test_c_sts_11_an_override_that_says_so_and_ends(scene):
    """Each use is a warning that names what it overrules; without the policy's word nothing changes."""
    domain, mx = policed_domain(scene, policy={"mx": [ELSEWHERE]}, kind="expired")
    row = {"match": domain.name, "level": "encrypt", "override_policy": True, "expires": FUTURE,
           "reason": "ticket 4711"}
    tlsmend = scene.tlsmend(destinations=[row])
    for _ in range(2):
        assert send(scene, tlsmend, domain).code == 250
    for attempt in tlsmend.attempts(2, mx=mx.host):
        assert (attempt["policy_overruled"], attempt["severity"]) == ("mta-sts", "warning")
        assert (attempt["demand"], attempt["policy_note"]) == ("encrypt", "ticket 4711")
        assert attempt["policy_expires"].startswith(FUTURE)
        assert attempt["sts_outcome"] == NOT_LISTED


def test_c_sts_11_an_override_that_has_ended(scene):
    domain, mx = policed_domain(scene, kind="expired")
    row = {"match": domain.name, "level": "may", "override_policy": True, "expires": FUTURE}
    tlsmend = scene.tlsmend(clock="wall", destinations=[row])
    assert send(scene, tlsmend, domain).code == 250
    tlsmend.clock.turn("32d")
    reply = send(scene, tlsmend, domain)
    assert reply.code == 451 and len(mx.mails) == 1


@pytest.mark.parametrize("observe, code", [(True, 451), ("all", 250)])
def test_c_sts_11_observe_mode(scene, observe, code):
    """It observes the configuration; policies only where that is said."""
    domain, mx = policed_domain(scene, kind="expired")
    tlsmend = scene.tlsmend(tls={"observe": observe})
    assert send(scene, tlsmend, domain).code == code
    attempt = tlsmend.attempts(mx=mx.host)[0]
    assert attempt["sts_outcome"] == "expired"
    assert attempt["would_defer"] == "expired"   # the configuration would have kept it back, too


# -- testing and none (C-STS-12) ------------------------------------------------------------------

@pytest.mark.parametrize("bad", BAD_MX)
def test_c_sts_12_testing_is_recorded_as_if_enforced(scene, bad):
    options, reason = BAD_MX[bad]
    domain, mx = policed_domain(scene, policy={"mode": "testing"}, **options)
    tlsmend = scene.tlsmend(tls={"level": "may"})
    reply = send(scene, tlsmend, domain)
    attempts = tlsmend.attempts(recipient_domain=domain.name)
    if bad == "injection":   # an attack at every level: that is not the policy's doing
        assert reply.code == 451 and not mx.saw("MAIL")
    else:
        assert reply.code == 250 and len(mx.mails) == 1
        attempts = tlsmend.attempts(recipient_domain=domain.name, outcome="delivered")
    assert attempts[-1]["sts_mode"] == "testing" and attempts[-1]["demand_source"] == "default"
    assert reason in {a.get("sts_outcome") for a in tlsmend.records("attempt")}, attempts


def test_c_sts_12_testing_and_an_mx_that_is_not_listed(scene):
    domain, mx = policed_domain(scene, policy={"mode": "testing", "mx": [ELSEWHERE]})
    tlsmend = scene.tlsmend()
    assert send(scene, tlsmend, domain).code == 250 and len(mx.mails) == 1
    attempt = tlsmend.attempt(mx=mx.host)
    assert (attempt["sts_outcome"], attempt["sts_mode"], attempt["demand"]) == (NOT_LISTED, "testing", "verify")
    assert tlsmend.records("skip") == []


def test_c_sts_12_testing_does_not_weaken_the_configuration(scene):
    domain, mx = policed_domain(scene, policy={"mode": "testing"}, kind="expired")
    assert send(scene, scene.tlsmend(), domain).code == 451 and not mx.saw("MAIL")


def test_c_sts_12_none_removes(scene):
    """A domain that leaves MTA-STS: mode none under a new id ends what was enforced."""
    domain, mx = policed_domain(scene, tls=False)
    tlsmend = scene.tlsmend(tls={"level": "may"})
    assert send(scene, tlsmend, domain).code == 451
    domain.policy.publish(id="2", mode="none", mx=[])
    assert send(scene, tlsmend, domain).code == 250 and len(mx.mails) == 1
    attempt = tlsmend.attempt(mx=mx.host, outcome="delivered")
    assert "sts_mode" not in attempt and "sts_outcome" not in attempt
    domain.policy.no_txt()
    assert send(scene, tlsmend, domain).code == 250


# -- DANE goes first (C-STS-13) -------------------------------------------------------------------

def dane_domain(scene, kind, tlsa_of=None, listed=True):
    """A signed domain with TLSA records of the MX's key, or of another's, and a policy."""
    domain, mx = policed_domain(scene, True, kind=kind, policy={} if listed else {"mx": [ELSEWHERE]})
    domain.tlsa(mx.host, 3, 1, 1, tlsa_of or mx.chain)
    return domain, mx


def test_c_sts_13_mta_sts_does_not_rescue(scene):
    """A valid certificate of a listed MX, but not the one that DANE names."""
    domain, mx = dane_domain(scene, "good", scene.pki.leaf("x.example", "good", key="p384"))
    tlsmend = scene.tlsmend(tls={"level": "may"})
    capture = scene.capture()
    assert_refused(scene, capture, domain, mx, send(scene, tlsmend, domain))
    attempt = tlsmend.attempts(mx=mx.host)[0]
    assert (attempt["reason"], attempt["dane_outcome"], attempt["demand_source"]) == \
        ("dane-mismatch", "dane-mismatch", "dane")
    assert attempt["sts_outcome"] == "ok"


@pytest.mark.parametrize("kind", ["self-signed", "expired", "name-mismatch"])
def test_c_sts_13_mta_sts_asks_for_nothing_beside_dane(scene, kind):
    domain, mx = dane_domain(scene, kind)
    tlsmend = scene.tlsmend(tls={"level": "may"})
    assert send(scene, tlsmend, domain).code == 250
    attempt = tlsmend.attempt(mx=mx.host)
    assert (attempt["demand"], attempt["dane_outcome"], attempt["sts_outcome"]) == ("dane", "ok", kind)


def test_c_sts_13_the_list_holds_beside_dane(scene):
    domain, mx = dane_domain(scene, "good", listed=False)
    tlsmend = scene.tlsmend()
    assert send(scene, tlsmend, domain).code == 451 and mx.records == []
    assert tlsmend.wait_records("skip")[0]["reason"] == NOT_LISTED


def test_c_sts_13_unusable_records_leave_the_policy_in_force(scene):
    domain, mx = policed_domain(scene, True, kind="expired")
    domain.tlsa_rdata(mx.host, "0 0 1 " + "ab" * 32)
    tlsmend = scene.tlsmend(tls={"level": "may"})
    assert send(scene, tlsmend, domain).code == 451 and not mx.saw("MAIL")
    attempt = tlsmend.attempts(mx=mx.host)[0]
    assert (attempt["dane"], attempt["reason"], attempt["demand_source"]) == ("unusable", "expired", "mta-sts")


# -- the second look (RFC 8461 5.1) ---------------------------------------------------------------

def test_c_sts_11_second_look_finds_a_new_policy(scene):
    """The resolver still has the old id; the domain has another MX, another policy and another id by now.
    The very mail that would be refused is delivered."""
    policed = Policed(scene, clock="wall", workers=1)   # each worker's resolver has a cache of its own
    domain = policed.domain(ttl=86400)
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("10m")
    domain.policy.publish(id="2", mx=[policed.mx.host])
    assert policed.send(domain).code == 250
    told = policed.sts(domain, occasion="second-look")
    assert (told["outcome"], told["sts_mx"]) == ("new-policy", [policed.mx.host])
    policed.fetched(domain, 2)


def test_c_sts_11_second_look_before_a_tls_failure_is_told(scene):
    """The policy is testing by now: as if it had never been enforced."""
    domain, mx = policed_domain(scene, kind="expired", policy={"ttl": 86400})
    tlsmend = scene.tlsmend(clock="wall", workers=1, tls={"level": "may"})
    assert send(scene, tlsmend, domain).code == 451
    tlsmend.clock.turn("10m")
    domain.policy.publish(id="2", mode="testing")
    assert send(scene, tlsmend, domain).code == 250 and len(mx.mails) == 1
    assert tlsmend.wait_records("sts", occasion="second-look")[0]["outcome"] == "new-policy"


def test_c_sts_11_second_look_that_finds_nothing_new(scene):
    """Once for each mail, and not again within minutes of a fetch."""
    policed = Policed(scene, clock="wall", workers=1)
    domain = policed.domain(id="abc", ttl=86400)
    assert policed.in_force(domain)
    policed.fetched(domain, 1)
    policed.tlsmend.clock.turn("10m")
    reply = policed.send(domain)
    assert reply.code == 451 and "abc" in reply.text and policed.mx.host in reply.text
    assert policed.sts(domain, occasion="second-look")["outcome"] == "unchanged"
    policed.fetched(domain, 2)
    assert policed.in_force(domain)
    policed.fetched(domain, 2)


def test_c_sts_11_second_look_that_fails_keeps_the_policy(scene):
    policed = Policed(scene, clock="wall")
    domain = policed.domain()
    assert policed.in_force(domain)
    policed.tlsmend.clock.turn("10m")
    domain.policy.answer("404")
    assert policed.in_force(domain) and policed.mx.records == []
    told = policed.sts(domain, occasion="second-look")
    assert (told["outcome"], told["in_force"]) == ("fetch-failed", True)
    assert policed.in_force(domain)   # within minutes of the failure nobody is asked again
    policed.fetched(domain, 2)


def test_c_sts_11_no_second_look_where_the_policy_is_not_the_cause(scene):
    """The MX is down: the policy is left in peace."""
    domain, mx = policed_domain(scene, replies={"greeting": "421 4.3.2 busy"})
    tlsmend = scene.tlsmend(clock="wall")
    assert send(scene, tlsmend, domain).code == 451
    tlsmend.clock.turn("10m")
    assert send(scene, tlsmend, domain).code == 451
    assert tlsmend.records("sts", occasion="second-look") == [] and len(domain.policy.wait_requests(1)) == 1
