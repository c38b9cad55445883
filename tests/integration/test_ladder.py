# SPDX-License-Identifier: Apache-2.0
"""The ladder (C-TLS-06, C-TLS-11): full hello, compact hello, TLS 1.2 only, at `may` clear text."""

import contextlib
import itertools
import threading
import time

import pytest
from OpenSSL import crypto

from lab import smtpc
from lab.capture import assert_no_clear_envelope
from lab.helpers import SENDER, SLOW, send
from lab.hostile import CLOSE, RESET, TLS, Each, WhenHello, alert
from lab.pki import KINDS
from lab.process import wait_for

FULL, COMPACT, TLS12, CLEAR = "full", "compact", "tls1.2", "clear"
_OCSP = 5    # status_request: asked for in the full hello only
OWED = ("encrypt", "verify", "secure", "fingerprint")
# For a rung that stalls beside one that works: an honest handshake must not take that long.
STALL = f"{700 * SLOW}ms"


def rung_of(hello):
    """By what the hello says, whatever the record says."""
    if "1.3" not in hello.versions:
        return TLS12
    return FULL if _OCSP in hello.extensions else COMPACT


def only(rung, then):
    """A handshake that works from this rung downwards."""
    above = {COMPACT: (FULL,), TLS12: (FULL, COMPACT), CLEAR: (FULL, COMPACT, TLS12)}[rung]
    return WhenHello(test=lambda hello: rung_of(hello) in above, then=then)


def narrow(scene, domain, handshake=TLS, starttls="220 go ahead", **options):
    """An MX with one address, so that every connection is a rung of the same ladder."""
    return scene.hostile(domain, addresses=scene.net.new_host()[:1],
                         replies={"starttls": starttls, "handshake": handshake}, **options)


def rungs(tlsmend, domain, count=1):
    return [a["rung"] for a in tlsmend.attempts(count, recipient_domain=domain.name)]


def shaking(scene, **settings):
    """A daemon without connections that wait: each mail shakes hands."""
    return scene.tlsmend(pool={"idle_time": "0s"}, **settings)


def row(domain, level, **more):
    if level == "fingerprint":
        more["fingerprints"] = ["ab" * 32]
    return {"match": domain.name, "level": level, **more}


# -- the hellos ------------------------------------------------------------------------------------


def test_c_tls_06_three_hellos_each_smaller(scene, tlsmend):
    domain = scene.domain()
    mx = narrow(scene, domain, RESET)
    assert send(scene, tlsmend, domain).code == 451
    full, compact, tls12 = mx.hellos
    assert [rung_of(h) for h in mx.hellos] == [FULL, COMPACT, TLS12]
    assert 512 > full.size > compact.size > tls12.size
    assert full.versions == compact.versions == ["1.3", "1.2"] and tls12.versions == ["1.2"]
    assert set(compact.ciphers) < set(full.ciphers) and set(compact.extensions) < set(full.extensions)
    assert {h.sni for h in mx.hellos} == {mx.host}
    assert full.key_shares == compact.key_shares == ["X25519"] and not tls12.key_shares
    assert "X25519MLKEM768" not in compact.groups + tls12.groups


def test_key_shares_are_small(scene, tlsmend):
    """X25519MLKEM768 is offered where the library has it, and its key share (1216 bytes) is never sent."""
    domain = scene.domain()
    mx = narrow(scene, domain)
    assert send(scene, tlsmend, domain).code == 250
    (hello,) = mx.hellos
    assert hello.key_shares == ["X25519"]
    assert {"X25519", "P-256"} <= set(hello.groups) and hello.size < 512


@pytest.mark.parametrize("curve, group", [("prime256v1", "P-256"), ("secp384r1", "P-384")])
def test_a_group_without_a_key_share_costs_no_rung(scene, tlsmend, curve, group):
    """The MX asks for the share of another group (HelloRetryRequest, RFC 8446 4.1.4): the same connection."""
    domain = scene.domain()
    mx = narrow(scene, domain, versions=("1.3", "1.3"),
                setup=lambda context: context.set_tmp_ecdh(crypto.get_elliptic_curve(curve)))
    assert send(scene, tlsmend, domain).code == 250
    assert tlsmend.attempt()["group"] == group and len(mx.records) == 1


# -- each trouble is met on the right rung ---------------------------------------------------------


@pytest.mark.parametrize("rung", [COMPACT, TLS12])
@pytest.mark.parametrize("then, reason", [
    (None, "tls-stalled"), (RESET, "tls-reset"), (CLOSE, "tls-reset"),
    (alert("handshake_failure"), "tls-no-shared-cipher"), (alert("protocol_version"), "tls-version"),
    (alert("decode_error"), "tls-alert"), (alert("internal_error"), "tls-alert"),
    ([b"\x80\x81\x82\x83\x84\x85", CLOSE], "tls-garbage"),
], ids=["silence", "reset", "close", "handshake-failure", "protocol-version", "decode-error", "internal-error",
        "garbage"])
def test_c_tls_06_the_right_rung(scene, rung, then, reason):
    domain = scene.domain()
    mx = narrow(scene, domain, only(rung, then))
    tlsmend = scene.tlsmend(timeouts={"rung": STALL} if then is None else {})
    assert send(scene, tlsmend, domain).code == 250
    tried = [FULL, COMPACT, TLS12][:2 if rung == COMPACT else 3]
    assert [rung_of(h) for h in mx.hellos] == tried == rungs(tlsmend, domain, len(tried))
    *failed, last = tlsmend.attempts(len(tried))
    assert {a["reason"] for a in failed} == {reason} and {a["stage"] for a in failed} == {"handshake"}
    assert last["reason"] == "ok" and last["tls"] == ("TLSv1.2" if rung == TLS12 else "TLSv1.3")
    assert [m.in_tls for m in mx.mails] == [True] and mx.mails[0] in mx.records[-1].mails


@pytest.mark.parametrize("rung", [COMPACT, TLS12])
def test_c_tls_06_large_hellos_are_dropped(scene, rung):
    """A path that lets small hellos through only, as a black hole of the path MTU does."""
    domain = scene.domain()
    mx = narrow(scene, domain, RESET)
    tlsmend = scene.tlsmend(timeouts={"rung": STALL})
    assert send(scene, tlsmend, domain).code == 451     # to learn the sizes; nothing worked, nothing is known
    size = {rung_of(h): h.size for h in mx.hellos}
    mx.replies["handshake"] = WhenHello(larger_than=size[rung], then=None)
    assert send(scene, tlsmend, domain).code == 250
    wanted = [FULL, COMPACT] if rung == COMPACT else [FULL, COMPACT, TLS12]
    assert rungs(tlsmend, domain, 3 + len(wanted))[3:] == wanted
    assert mx.mails[0].in_tls


def test_c_tls_06_a_tls_1_3_peer_that_cuts_after_the_handshake(scene, tlsmend):
    """TLS 1.3: the MX may find our side wrong only after we think it done; that is a failed handshake
    too (an alert inside TLS instead of the answer to EHLO)."""
    domain = scene.domain()
    mx = narrow(scene, domain, versions=("1.2", "1.3"))
    mx.replies["after-handshake"] = lambda c: (
        (c.raw_send(alert("decode_error")), c.close()) if c.record.tls["version"] == "TLSv1.3" else None) and None
    assert send(scene, tlsmend, domain).code == 250
    assert mx.mails[0].in_tls and rungs(tlsmend, domain, 3) == [FULL, COMPACT, TLS12]


def test_c_tls_06_the_next_mx_after_the_last_rung(scene, tlsmend):
    domain = scene.domain()
    first = narrow(scene, domain, RESET, label="mx1")
    second = scene.hostile(domain, label="mx2", preference=20)
    assert send(scene, tlsmend, domain).code == 250
    assert rungs(tlsmend, domain, 4) == [FULL, COMPACT, TLS12, FULL]
    assert len(first.hellos) == 3 and not first.saw("MAIL") and second.mails[0].in_tls


def test_c_tls_06_the_answer_names_the_trouble_of_the_highest_rung(scene, tlsmend):
    """An MX that cuts TLS 1.3 short and knows no TLS 1.2: that the last rung did not fit it says nothing."""
    domain = scene.domain()
    narrow(scene, domain, WhenHello(offers="1.3", then=RESET, otherwise=alert("protocol_version")))
    reply = send(scene, tlsmend, domain)
    assert (reply.code, reply.text[:5]) == (451, "4.7.5")
    assert tlsmend.result()["reason"] == "tls-reset"
    assert [a["reason"] for a in tlsmend.attempts(3)] == ["tls-reset", "tls-reset", "tls-version"]


def test_c_tls_06_min_version_1_3_has_no_rung_of_tls_1_2(scene):
    domain = scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    tlsmend = scene.tlsmend(destinations=[row(domain, "encrypt", min_version="1.3")])
    assert send(scene, tlsmend, domain).code == 451
    assert rungs(tlsmend, domain, 2) == [FULL, COMPACT] and len(mx.records) == 2
    assert [h.versions for h in mx.hellos] == [["1.3"], ["1.3"]] and not mx.saw("MAIL")


def test_c_tls_06_min_version_1_3_though_tls_1_2_is_remembered(scene):
    domain, strict = scene.domain(), scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    strict.mx(mx.host)
    tlsmend = scene.tlsmend(destinations=[row(strict, "encrypt", min_version="1.3")])
    assert send(scene, tlsmend, domain).code == 250
    assert send(scene, tlsmend, strict).code == 451
    assert all("1.2" not in h.versions for h in mx.hellos[3:]) and TLS12 not in rungs(tlsmend, strict)
    assert len(mx.mails) == 1


# -- time ------------------------------------------------------------------------------------------


def test_c_tls_06_a_stall_is_judged_after_timeouts_rung(scene):
    """The last rung has the whole time of a handshake, those above it timeouts.rung."""
    domain = scene.domain()
    mx = narrow(scene, domain, None)
    tlsmend = scene.tlsmend(timeouts={"rung": "200ms", "handshake": "1800ms"})
    start = time.monotonic()
    assert send(scene, tlsmend, domain).code == 451
    took = time.monotonic() - start
    assert 2.2 <= took < 2.2 + 3 * SLOW
    gaps = [b.time - a.time for a, b in itertools.pairwise(mx.records)]
    assert len(gaps) == 2 and all(0.19 <= gap < 1.7 for gap in gaps), gaps
    assert {a["reason"] for a in tlsmend.attempts(3)} == {"tls-stalled"}


def test_c_tls_06_the_ladder_ends_with_the_budget_of_the_recipient(scene):
    domain = scene.domain()
    mx = narrow(scene, domain, None)
    later = scene.hostile(domain, label="later", preference=20)
    tlsmend = scene.tlsmend(timeouts={"rung": "400ms", "handshake": "60s", "recipient_budget": "1s"})
    start = time.monotonic()
    reply = send(scene, tlsmend, domain)
    took = time.monotonic() - start
    assert reply.code == 451 and 0.99 <= took < 1 + 3 * SLOW
    assert tlsmend.result()["reason"] == "tls-stalled"
    assert [rung_of(h) for h in mx.hellos][:2] == [FULL, COMPACT] and len(mx.records) <= 3
    assert not later.records


# -- what is learned -------------------------------------------------------------------------------


@pytest.mark.parametrize("rung", [COMPACT, TLS12])
def test_c_tls_06_the_second_mail_begins_where_the_first_ended(scene, rung):
    tlsmend = shaking(scene)
    domain, other = scene.domain(), scene.domain()
    mx = narrow(scene, domain, only(rung, RESET))
    healthy = narrow(scene, other)
    assert send(scene, tlsmend, domain).code == 250
    before = len(mx.records)
    assert send(scene, tlsmend, domain).code == 250
    assert [rung_of(h) for h in mx.hellos[before:]] == [rung]
    last = tlsmend.attempts(before + 1, recipient_domain=domain.name)[-1]
    assert last["rung"] == rung and "rung_retest" not in last
    # It is the address that is known, not more.
    assert send(scene, tlsmend, other).code == 250
    assert [rung_of(h) for h in healthy.hellos] == [FULL]


@pytest.mark.parametrize("how", ["restart", "crash"])
def test_c_tls_06_what_is_learned_outlives_the_process(scene, tlsmend, how):
    domain = scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    assert send(scene, tlsmend, domain).code == 250
    wait_for(lambda: "the rung in the store", lambda: tlsmend.sql("SELECT count(*) FROM rungs") == [(1,)])
    getattr(tlsmend, how)()
    before = len(mx.records)
    assert send(scene, tlsmend, domain).code == 250
    assert [rung_of(h) for h in mx.hellos[before:]] == [TLS12]


def test_c_tls_06_what_is_learned_has_an_end(scene):
    domain = scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    tlsmend = shaking(scene, clock="wall", tls={"ladder_ttl": "1h"})
    assert send(scene, tlsmend, domain).code == 250
    tlsmend.clock.turn("+29m")
    assert send(scene, tlsmend, domain).code == 250
    assert rungs(tlsmend, domain, 4) == [FULL, COMPACT, TLS12, TLS12]
    tlsmend.clock.turn("+61m")
    assert send(scene, tlsmend, domain).code == 250
    assert [rung_of(h) for h in mx.hellos[4:]] == [FULL, COMPACT, TLS12]
    assert not [a for a in tlsmend.attempts(7) if a.get("rung_retest")]


@contextlib.contextmanager
def _at_once(*calls):
    """All of them at the same time, joined at the end."""
    threads = [threading.Thread(target=call, daemon=True) for call in calls]
    for t in threads:
        t.start()
    yield
    for t in threads:
        t.join(30)
    assert not any(t.is_alive() for t in threads)


def test_c_tls_06_one_of_many_mails_tries_one_rung_higher(scene):
    """Half-open: halfway to the end exactly one attempt tries the next rung upward; while it waits, and
    after it failed, the others stay where it works.  Each failure makes the next try come later."""
    domain = scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    tlsmend = shaking(scene, clock="wall", tls={"ladder_ttl": "1h"}, timeouts={"rung": f"{SLOW}s"})
    assert send(scene, tlsmend, domain).code == 250
    mx.replies["handshake"] = only(TLS12, None)      # from now on the retest takes its time
    tlsmend.clock.turn("+31m")
    before, replies = len(mx.hellos), []
    mails = [lambda: replies.append(send(scene, tlsmend, domain).code)] * 6
    with _at_once(*mails):
        pass
    assert replies == [250] * 6
    hellos = [rung_of(h) for h in mx.hellos[before:]]
    assert sorted(hellos) == [COMPACT] + [TLS12] * 6, hellos
    (retest,) = tlsmend.attempts(rung_retest=True)
    assert (retest["rung"], retest["reason"]) == (COMPACT, "tls-stalled")

    # It failed: two hours now, and nobody asks again within the first of them.
    tlsmend.clock.turn("+80m")
    assert send(scene, tlsmend, domain).code == 250
    assert rung_of(mx.hellos[-1]) == TLS12 and rung_of(mx.hellos[-2]) != FULL
    assert len(tlsmend.attempts(1, rung_retest=True)) == 1
    tlsmend.clock.turn("+95m")
    assert send(scene, tlsmend, domain).code == 250
    assert len(tlsmend.attempts(2, rung_retest=True)) == 2


def test_c_tls_06_rung_by_rung_upward_until_the_full_hello(scene):
    domain = scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    tlsmend = shaking(scene, clock="wall", tls={"ladder_ttl": "1h"})
    assert send(scene, tlsmend, domain).code == 250
    mx.replies["handshake"] = TLS                    # the MX is mended
    for minutes, rung in ((31, COMPACT), (32, COMPACT), (62, FULL), (63, FULL)):
        tlsmend.clock.turn(f"+{minutes}m")
        before = len(mx.records)
        assert send(scene, tlsmend, domain).code == 250
        assert [rung_of(h) for h in mx.hellos[before:]] == [rung], minutes
    assert [a["rung"] for a in tlsmend.attempts(2, rung_retest=True)] == [COMPACT, FULL]
    wait_for(lambda: "an empty table", lambda: tlsmend.sql("SELECT count(*) FROM rungs") == [(0,)])


def test_c_tls_06_a_clock_that_goes_back_makes_nothing_last_longer(scene):
    """Learned at an hour from now; then the clock is set right: an hour later it is over all the same."""
    domain = scene.domain()
    mx = narrow(scene, domain, only(TLS12, RESET))
    tlsmend = shaking(scene, clock="wall", tls={"ladder_ttl": "1h"})
    tlsmend.clock.turn("+61m")
    assert send(scene, tlsmend, domain).code == 250
    for turn, first in (("+0m", TLS12), ("+61m", FULL)):
        tlsmend.clock.turn(turn)
        before = len(mx.hellos)
        assert send(scene, tlsmend, domain).code == 250
        assert rung_of(mx.hellos[before]) == first, turn
    assert not tlsmend.records("attempt", rung_retest=True)


def test_c_tls_06_the_memory_is_bounded(scene):
    addresses = [f"2001:db8:1::aaaa:{i:x}" for i in range(1, 111)]
    mx = scene.hostile(chain=scene.pki.chain("good", "mx.lab.example"), addresses=addresses,
                       replies={"handshake": only(COMPACT, RESET)})
    tlsmend = scene.tlsmend(tls={"ladder_addresses": 100})
    with scene.client(tlsmend) as c:
        c.ehlo()
        for address in addresses:
            assert c.deliver(SENDER, f"user@[IPv6:{address}]", smtpc.message()).code == 250
    assert len(mx.mails) == 110
    tlsmend.restart()
    assert tlsmend.sql("SELECT count(*) FROM rungs") == [(100,)]
    assert send_literal(scene, tlsmend, addresses[-1]) == 250
    assert rung_of(mx.hellos[-1]) == COMPACT and len(mx.records) == 221


def send_literal(scene, tlsmend, address):
    with scene.client(tlsmend) as c:
        c.ehlo()
        return c.deliver(SENDER, f"user@[IPv6:{address}]", smtpc.message()).code


# -- never after a certificate ---------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["expired", "self-signed", "name-mismatch", "incomplete-chain", "sha1"])
@pytest.mark.parametrize("versions", [("1.2", "1.2"), ("1.3", "1.3")], ids=["1.2", "1.3"])
def test_c_tls_06_never_after_a_certificate(scene, tlsmend, kind, versions):
    domain = scene.domain()
    mx = narrow(scene, domain, kind=kind, versions=versions)
    for count in (1, 2):     # nor is anything learned
        assert send(scene, tlsmend, domain).code == 451
        assert [rung_of(h) for h in mx.hellos] == [FULL] * count and len(mx.records) == count
    assert {a["reason"] for a in tlsmend.attempts(2)} == {KINDS[kind].reason}
    assert not mx.saw("MAIL")


def test_c_tls_06_a_certificate_ends_the_fall(scene, tlsmend):
    """The compact hello is answered, with a certificate that does not hold: TLS 1.2 is not tried, and
    what the certificate lacks is the answer."""
    domain = scene.domain()
    mx = narrow(scene, domain, only(COMPACT, RESET), kind="expired")
    assert send(scene, tlsmend, domain).code == 451
    assert [rung_of(h) for h in mx.hellos] == [FULL, COMPACT] and not mx.saw("MAIL")
    assert tlsmend.result()["reason"] == "expired"


def test_c_tls_06_a_client_certificate_is_no_question_of_the_rung(scene, tlsmend):
    domain = scene.domain()
    mx = narrow(scene, domain, client_cert=True)
    assert send(scene, tlsmend, domain).code == 451
    assert tlsmend.result()["reason"] == "tls-client-certificate"
    assert len(mx.records) == 1 and not mx.saw("MAIL")


@pytest.mark.parametrize("replies", [{"starttls": b"220 go\r\n250 x\r\n"}, {"handshake": [b"250 x\r\n", CLOSE]}],
                         ids=["before-the-hello", "after-it"])
def test_c_tls_06_an_injection_is_no_reason_for_the_next_rung(scene, replies):
    domain = scene.domain()
    mx = narrow(scene, domain, **replies)
    tlsmend = scene.tlsmend(destinations=[row(domain, "may")])
    assert send(scene, tlsmend, domain).code == 451
    assert len(mx.records) == 1 and not mx.saw("MAIL")


# -- clear text ------------------------------------------------------------------------------------


@pytest.mark.parametrize("level", OWED)
@pytest.mark.parametrize("then", [None, RESET, alert("handshake_failure")], ids=["silence", "reset", "alert"])
def test_c_tls_06_never_in_clear_above_may(scene, level, then):
    domain = scene.domain()
    mx = narrow(scene, domain, then)
    tlsmend = scene.tlsmend(destinations=[row(domain, level)],
                            timeouts={"rung": f"{100 * SLOW}ms", "handshake": f"{200 * SLOW}ms"})
    capture = scene.capture()
    assert send(scene, tlsmend, domain).code == 451
    assert rungs(tlsmend, domain, 3) == [FULL, COMPACT, TLS12]
    assert_no_clear_envelope(capture, domain.address(), SENDER, b"Hello", addresses=mx.addresses)
    assert len(mx.records) == 3 and not mx.saw("MAIL")


@pytest.mark.parametrize("then, reason", [(None, "tls-stalled"), (RESET, "tls-reset"),
                                          (alert("handshake_failure"), "tls-no-shared-cipher")],
                         ids=["silence", "reset", "alert"])
def test_c_tls_06_at_may_clear_text_is_the_last_rung(scene, then, reason):
    domain = scene.domain()
    mx = narrow(scene, domain, then)
    tlsmend = scene.tlsmend(destinations=[row(domain, "may")], timeouts={"rung": f"{200 * SLOW}ms"})
    assert send(scene, tlsmend, domain).code == 250
    *failed, last = tlsmend.attempts(4)
    assert rungs(tlsmend, domain, 4) == [FULL, COMPACT, TLS12, CLEAR]
    assert {a["reason"] for a in failed} == {reason} and not any("downgraded" in a for a in failed)
    assert last["downgraded"] is True and last["tls"] == "clear" and last["severity"] == "warning"
    assert [m.in_tls for m in mx.mails] == [False] and "STARTTLS" not in mx.records[-1].verbs()


def test_c_tls_06_clear_text_is_remembered_for_may_only(scene):
    """What is known of the address of a mail at `may` opens nothing for one that owes TLS."""
    domain, owed = scene.domain(), scene.domain()
    mx = narrow(scene, domain, RESET)
    owed.mx(mx.host)
    tlsmend = scene.tlsmend(destinations=[row(domain, "may"), row(owed, "encrypt")])
    assert send(scene, tlsmend, domain).code == 250
    assert send(scene, tlsmend, domain).code == 250
    assert rungs(tlsmend, domain, 5) == [FULL, COMPACT, TLS12, CLEAR, CLEAR]
    assert tlsmend.attempts(5)[-1]["downgraded"] is True
    capture = scene.capture()
    assert send(scene, tlsmend, owed).code == 451
    assert rungs(tlsmend, owed, 3) == [FULL, COMPACT, TLS12]
    assert_no_clear_envelope(capture, owed.address(), SENDER, addresses=mx.addresses)
    # ... and once TLS works again, for that one it is used at once.
    mx.replies["handshake"] = TLS
    assert send(scene, tlsmend, owed).code == 250
    assert [m.in_tls for m in mx.mails] == [False, False, True]


def test_c_sts_12_of_a_rung_that_is_only_remembered(scene):
    """The record of a policy in mode testing says that the handshake is the trouble, also where it was not
    tried again; STARTTLS is offered, so it is not that."""
    domain = scene.domain()
    mx = narrow(scene, domain, RESET)
    domain.sts(mx=[mx.host], mode="testing")
    tlsmend = scene.tlsmend(destinations=[row(domain, "may")])
    for outcome in ("tls-reset", "tls-protocol"):
        assert send(scene, tlsmend, domain).code == 250
        assert tlsmend.attempts(outcome="delivered", sts_outcome=outcome)[-1]["rung"] == CLEAR


@pytest.mark.parametrize("phase", ["mail", "rcpt"])
@pytest.mark.parametrize("words", ["530 5.7.0 Must issue a STARTTLS command first", "454 4.7.0 TLS required"],
                         ids=["530", "454"])
def test_c_tls_11_a_late_demand_for_tls_forgets_the_rung(scene, phase, words):
    """Clear text was what worked; now the MX demands TLS, so the next mail begins with the full hello."""
    domain = scene.domain()
    mx = narrow(scene, domain, RESET)
    tlsmend = scene.tlsmend(destinations=[row(domain, "may")])
    assert send(scene, tlsmend, domain).code == 250
    mx.replies[phase] = lambda c: ("250 ok" if c.in_tls else words)
    mx.replies["handshake"] = TLS
    reply = send(scene, tlsmend, domain)
    assert reply.code == 451 and words[4:] in reply.text
    assert rungs(tlsmend, domain, 5)[4:] == [CLEAR]
    assert tlsmend.results(2)[-1]["reason"] == "tls-required-by-mx"
    assert send(scene, tlsmend, domain).code == 250
    assert rungs(tlsmend, domain, 6)[5:] == [FULL] and mx.mails[-1].in_tls


def test_c_tls_06_a_handshake_that_failed_once(scene, tlsmend):
    """A server that stumbles over its first connection: the compact hello works, and is tried upward later."""
    domain = scene.domain()
    mx = narrow(scene, domain, Each(RESET, TLS))
    assert send(scene, tlsmend, domain).code == 250
    assert [rung_of(h) for h in mx.hellos] == [FULL, COMPACT]
