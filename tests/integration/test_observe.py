# SPDX-License-Identifier: Apache-2.0
"""Observe mode, and override_policy: the two ways to be weaker than the policies ask for.

The daemon of most tests here observes, and has a second listener that enforces; each trouble is shown to
both.  What the one refuses, with which reason, the other has to name in would_defer."""

import datetime

import pytest

from lab import smtpc
from lab.capture import assert_no_clear_envelope
from lab.helpers import SENDER, SLOW, listener
from lab.hostile import RESET, alert

STRICT = 2526
OTHER_KEY = b"the key of somebody else"


def observing(scene, observe=True, **settings):
    """A daemon with two listeners: the first observes (as tls.observe says), the second enforces."""
    return scene.tlsmend(listeners=[listener(), listener("strict", STRICT, observe=False)],
                         **{**settings, "tls": {"observe": observe, **settings.get("tls", {})}})


def send(scene, domain, port=2525):
    with smtpc.SmtpClient(scene.net.client, "127.0.0.1", port) as c:
        c.ehlo()
        return c.deliver(SENDER, domain.address(), smtpc.message())


def refused(scene, tlsmend, domain, mx, port=STRICT):
    """The reason of the 451 that a mail hears; nothing of it came to the MX."""
    before, results = len(mx.mails), len(tlsmend.records("result", status="deferred"))
    reply = send(scene, domain, port)
    assert reply.code == 451, reply
    assert len(mx.mails) == before and not any("MAIL" in r.verbs() for r in mx.records if not r.mails)
    return tlsmend.results(results + 1, status="deferred", recipient_domain=domain.name)[-1]["reason"]


def delivered(scene, tlsmend, domain, mx, port=2525):
    """The last attempt of a mail that goes out; its result is held against it."""
    before, results = len(mx.mails), len(tlsmend.records("result", status="delivered"))
    reply = send(scene, domain, port)
    assert reply.code == 250, reply
    assert len(mx.mails) == before + 1
    result = tlsmend.results(results + 1, status="delivered")[-1]
    attempt = tlsmend.attempts(outcome="delivered", leg=result["leg"])[-1]
    assert result.get("would_defer") == attempt.get("would_defer") and result["mx"] == attempt["mx"] == mx.host
    assert attempt["severity"] == "warning" or "would_defer" not in attempt
    return attempt


# -- the very reason that enforcing gives ----------------------------------------------------------

# name -> (options of the MX, what a row of destinations says, the reason, inside TLS all the same)
TROUBLES = {
    "no-starttls": ({"tls": False}, {}, "no-starttls", False),
    "starttls-masked": ({"replies": {"ehlo": b"250-mx.example\r\n250-XXXXXXXA\r\n250 SIZE\r\n"}}, {},
                        "starttls-masked", False),
    "starttls-refused": ({"replies": {"starttls": "454 4.7.0 TLS not available"}}, {}, "starttls-refused", False),
    "self-signed": ({"kind": "self-signed"}, {}, "self-signed", True),
    "untrusted-root": ({"kind": "untrusted-root"}, {}, "untrusted-root", True),
    "incomplete-chain": ({"kind": "incomplete-chain"}, {}, "incomplete-chain", True),
    "expired": ({"kind": "expired"}, {}, "expired", True),
    "name-mismatch": ({"kind": "name-mismatch"}, {}, "name-mismatch", True),
    "weak-signature": ({"kind": "sha1"}, {}, "weak-signature", True),
    "names": ({}, {"level": "secure", "names": ["another.example"]}, "name-mismatch", True),
    "fingerprint": ({}, {"level": "fingerprint", "fingerprints": ["ab" * 32]}, "fingerprint-mismatch", True),
    "reset": ({"replies": {"handshake": RESET}}, {}, "tls-reset", False),
    "handshake-failure": ({"replies": {"handshake": alert("handshake_failure")}}, {}, "tls-no-shared-cipher", False),
    "stalled": ({"replies": {"handshake": None}}, {}, "tls-stalled", False),
    "old": ({"versions": ("1.0", "1.0"), "kind": "rsa"}, {}, "tls-version", False),
    "client-certificate": ({"client_cert": True}, {}, "tls-client-certificate", False),
    "min-version": ({"versions": ("1.2", "1.2")}, {"min_version": "1.3"}, "tls-version", False),
    "no-starttls-encrypt": ({"tls": False}, {"level": "encrypt"}, "no-starttls", False),
    "dane-only": ({}, {"level": "dane-only"}, "dane-required", True),
}


@pytest.mark.parametrize("name", TROUBLES)
def test_would_defer_is_the_reason_of_enforcing(scene, name):
    options, row, reason, in_tls = TROUBLES[name]
    domain = scene.domain()
    mx = scene.hostile(domain, addresses=scene.net.new_host()[:1], **options)
    short = {"rung": f"{100 * SLOW}ms", "handshake": f"{200 * SLOW}ms"}
    tlsmend = observing(scene, timeouts=short if name == "stalled" else {},
                        destinations=[{"match": domain.name, **row}])
    assert refused(scene, tlsmend, domain, mx) == reason
    for _ in range(2):      # the second one is told the same, whatever was learned
        attempt = delivered(scene, tlsmend, domain, mx)
        assert attempt["would_defer"] == reason and attempt["would_hint"]
        assert (attempt["observe"], attempt["demand"]) == ("global", "may")
        assert attempt["would_demand"] == row.get("level", "verify")
    assert {m.in_tls for m in mx.mails} == {in_tls}
    assert ("downgraded" in attempt) == (attempt["rung"] == "clear")


def test_would_defer_is_about_the_host_that_took_the_mail(scene):
    """The first MX said 421 to MAIL; what is recorded of the second is its own handshake."""
    domain = scene.domain()
    scene.hostile(domain, label="mx1", replies={"mail": "421 4.3.2 not now"})
    mx = scene.hostile(domain, label="mx2", preference=20, replies={"handshake": RESET})
    tlsmend = observing(scene)
    assert delivered(scene, tlsmend, domain, mx)["would_defer"] == "tls-reset"


@pytest.mark.parametrize("options, row", [
    ({}, {}), ({"versions": ("1.2", "1.2")}, {}), ({}, {"level": "secure"}), ({}, {"level": "encrypt"}),
    ({"kind": "self-signed"}, {"level": "encrypt"}), ({"tls": False}, {"level": "may"}),
    ({"kind": "expired"}, {"level": "may"}), ({"tls": False}, {"level": "none"}), ({"kind": "rsa"}, {"level": "dane"}),
])
def test_nothing_is_recorded_where_enforcing_delivers_too(scene, options, row):
    domain = scene.domain()
    mx = scene.hostile(domain, **options)
    tlsmend = observing(scene, destinations=[{"match": domain.name, **row}])
    strict = delivered(scene, tlsmend, domain, mx, STRICT)
    attempt = delivered(scene, tlsmend, domain, mx)
    assert "would_defer" not in attempt and "would_hint" not in attempt and attempt["severity"] == "info"
    assert attempt["would_demand"] == strict["demand"] and "observe" not in strict
    assert attempt["tls"] == strict["tls"]


def test_a_pinned_key_is_looked_at(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, kind="self-signed")
    tlsmend = observing(scene, destinations=[
        {"match": domain.name, "level": "fingerprint", "fingerprints": [mx.chain.sha256()]}])
    attempt = delivered(scene, tlsmend, domain, mx)
    assert "would_defer" not in attempt and attempt["pinned"] is True


@pytest.mark.parametrize("observe", [True, "all"])
def test_an_attack_is_not_observed_but_refused(scene, observe):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"starttls": b"220 go\r\n250 x\r\n"})
    tlsmend = observing(scene, observe)
    assert refused(scene, tlsmend, domain, mx, 2525) == "starttls-injection"


# -- where it is said ------------------------------------------------------------------------------


@pytest.mark.parametrize("top, first, row, place", [
    (True, None, None, "global"), (False, True, None, "listener"), (False, None, True, "destination"),
    (True, True, True, "destination"), (True, "all", None, "listener"), (False, False, "all", "destination"),
    (True, False, True, "destination"), (True, False, None, None), (True, True, False, None),
    ("all", "all", False, None), (False, None, None, None),
])
def test_the_most_specific_place_says(scene, top, first, row, place):
    domain = scene.domain()
    mx = scene.hostile(domain, kind="expired")
    said = {} if row is None else {"observe": row}
    tlsmend = scene.tlsmend(tls={"observe": top}, destinations=[{"match": domain.name, **said}],
                            listeners=[listener(**({} if first is None else {"observe": first}))])
    if place is None:
        assert refused(scene, tlsmend, domain, mx, 2525) == "expired"
        assert "observe" not in tlsmend.attempts()[0]
    else:
        attempt = delivered(scene, tlsmend, domain, mx)
        assert (attempt["observe"], attempt["would_defer"]) == (place, "expired")


def test_a_listener_and_a_row_are_observed_alone(scene):
    watched, other = scene.domain(), scene.domain()
    first, second = scene.hostile(watched, kind="expired"), scene.hostile(other, kind="expired")
    tlsmend = scene.tlsmend(listeners=[listener(), listener("watched", STRICT, observe=True)],
                            destinations=[{"match": watched.name, "observe": True}])
    assert delivered(scene, tlsmend, watched, first)["observe"] == "destination"
    assert refused(scene, tlsmend, other, second, 2525) == "expired"
    assert delivered(scene, tlsmend, other, second, STRICT)["observe"] == "listener"


# -- MTA-STS and DANE: enforced under true, observed under "all" -----------------------------------


def _not_listed(scene):
    domain = scene.domain()
    mx = scene.hostile(domain)
    domain.sts(mx=["mx.elsewhere.example"])
    return domain, mx


def _sts(**options):
    def make(scene):
        domain = scene.domain()
        mx = scene.hostile(domain, **options)
        domain.sts(mx=[mx.host])
        return domain, mx
    return make


def _tlsa(usage, selector, matching, cert=OTHER_KEY, **options):
    def make(scene):
        domain = scene.domain(signed=True)
        mx = scene.hostile(domain, **options)
        domain.tlsa(mx.host, usage, selector, matching, cert)
        return domain, mx
    return make


def _tlsa_fails(scene):
    domain = scene.domain(zone="crafted")
    mx = scene.hostile(domain)
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)
    domain.fault("TLSA", "servfail", host=mx.host)
    return domain, mx


# name -> (makes domain and MX, the reason, who asks)
POLICIES = {
    "sts-not-listed": (_not_listed, "sts-mx-not-listed", "mta-sts"),
    "sts-self-signed": (_sts(kind="self-signed"), "self-signed", "mta-sts"),
    "sts-name": (_sts(kind="name-mismatch"), "name-mismatch", "mta-sts"),
    "sts-no-starttls": (_sts(tls=False), "no-starttls", "mta-sts"),
    "sts-reset": (_sts(replies={"handshake": RESET}), "tls-reset", "mta-sts"),
    "dane-mismatch": (_tlsa(3, 1, 1), "dane-mismatch", "dane"),
    "dane-no-starttls": (_tlsa(3, 1, 1, tls=False), "no-starttls", "dane"),
    "dane-unusable-no-starttls": (_tlsa(0, 1, 1, tls=False), "no-starttls", "dane"),
    "dane-look-up": (_tlsa_fails, "tlsa-lookup-failed", "dane"),
}


@pytest.mark.parametrize("name", POLICIES)
@pytest.mark.parametrize("level", ["may", "verify"])
def test_true_leaves_mta_sts_and_dane_in_force(scene, name, level):
    make, reason, source = POLICIES[name]
    domain, mx = make(scene)
    tlsmend = observing(scene, tls={"level": level})
    capture = scene.capture()
    assert refused(scene, tlsmend, domain, mx, 2525) == reason
    assert not mx.saw("MAIL")
    record = (tlsmend.records("attempt") + tlsmend.records("skip"))[-1]
    assert (record["reason"], record["demand_source"]) == (reason, source)
    assert record["observe"] == "global" and record["would_demand"]   # a skipped host, too, says that the mail was observed
    if mx.records:
        assert_no_clear_envelope(capture, domain.address(), SENDER, addresses=mx.addresses)


@pytest.mark.parametrize("name", POLICIES)
def test_all_observes_them_too(scene, name):
    make, reason, source = POLICIES[name]
    domain, mx = make(scene)
    tlsmend = observing(scene, "all", tls={"level": "may"})
    assert refused(scene, tlsmend, domain, mx) == reason
    attempt = delivered(scene, tlsmend, domain, mx)
    assert (attempt["demand"], attempt["would_defer"], attempt["would_demand_source"]) == ("may", reason, source)


def _with_own_key(scene):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain, kind="self-signed")
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)
    return domain, mx


@pytest.mark.parametrize("make", [_sts(), _with_own_key], ids=["mta-sts", "dane"])
@pytest.mark.parametrize("observe", [True, "all"])
def test_a_policy_that_is_kept_leaves_no_trace(scene, make, observe):
    domain, mx = make(scene)
    tlsmend = observing(scene, observe)
    attempt = delivered(scene, tlsmend, domain, mx)
    assert "would_defer" not in attempt and mx.mails[0].in_tls
    assert attempt["demand"] == {True: attempt["would_demand"], "all": "may"}[observe]


# -- override_policy -------------------------------------------------------------------------------

LOOSE = ("none", "may", "encrypt")


def tomorrow():
    return (datetime.date.today() + datetime.timedelta(days=2)).isoformat()


@pytest.mark.parametrize("level", LOOSE)
@pytest.mark.parametrize("name", ["sts-not-listed", "sts-self-signed", "dane-mismatch"])
def test_a_row_without_override_policy_weakens_nothing(scene, level, name):
    make, reason, source = POLICIES[name]
    domain, mx = make(scene)
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "level": level, "expires": tomorrow()}])
    assert refused(scene, tlsmend, domain, mx, 2525) == reason and not mx.saw("MAIL")
    record = (tlsmend.records("attempt") + tlsmend.records("skip"))[-1]
    assert record["demand_source"] == source and "policy_overruled" not in record


@pytest.mark.parametrize("level", LOOSE)
def test_a_row_at_none_goes_out_in_tls_all_the_same(scene, level):
    domain, mx = _sts()(scene)
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "level": level}])
    assert delivered(scene, tlsmend, domain, mx)["demand"] == "verify" and mx.mails[0].in_tls


@pytest.mark.parametrize("name", ["sts-not-listed", "sts-self-signed", "sts-no-starttls", "dane-mismatch",
                                  "dane-no-starttls"])
def test_with_override_policy_it_does_and_says_so_each_time(scene, name):
    make, _, source = POLICIES[name]
    domain, mx = make(scene)
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "level": "may", "override_policy": True,
                                           "expires": tomorrow(), "reason": "ticket 17"}])
    for _ in range(2):
        attempt = delivered(scene, tlsmend, domain, mx)
        assert (attempt["policy_overruled"], attempt["severity"], attempt["demand"]) == (source, "warning", "may")
        assert attempt["policy_note"] == "ticket 17" and attempt["policy_expires"].startswith(tomorrow())


@pytest.mark.parametrize("name", ["sts-self-signed", "dane-mismatch"])
def test_an_override_that_has_expired_is_over(scene, name):
    make, reason, source = POLICIES[name]
    domain, mx = make(scene)
    end = datetime.datetime.utcnow() + datetime.timedelta(hours=1)
    tlsmend = scene.tlsmend(clock="wall", destinations=[
        {"match": domain.name, "level": "may", "override_policy": True,
         "expires": end.strftime("%Y-%m-%dT%H:%M:%SZ")}])
    assert delivered(scene, tlsmend, domain, mx)["policy_overruled"] == source
    tlsmend.clock.turn("+61m")
    assert refused(scene, tlsmend, domain, mx, 2525) == reason and len(mx.mails) == 1
    attempt = tlsmend.attempts(2)[-1]
    assert (attempt["demand_source"], attempt["policy_expired"]) == (source, domain.name)
    assert attempt["severity"] == "warning" and "policy_overruled" not in attempt
