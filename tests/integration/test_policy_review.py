# SPDX-License-Identifier: Apache-2.0
"""What a hostile reading of the policy code found: answers that bounced mail, and records that lied
(C-STS-11, C-OPS-04)."""

import pytest

from lab.helpers import hup, send, settled
from lab.process import wait_for


@pytest.mark.parametrize("where", ["nowhere", "without-address", "loopback"])
def test_c_sts_11_an_mx_that_is_not_listed_makes_no_mail_bounce(scene, where):
    """Whoever forges the MX record can name a host that is not there."""
    domain = scene.domain()
    if where == "nowhere":
        domain.mx(f"nosuch.{domain.name}")
    elif where == "without-address":
        domain.add("TXT", '"no address"', label="mx")
        domain.mx(f"mx.{domain.name}")
    else:
        domain.mx(domain.host("mx", "127.0.0.1"))
    domain.sts(mx=["other.example"], mode="enforce")
    tlsmend = scene.tlsmend()
    reply = send(scene, tlsmend, domain)
    assert reply.code == 451 and reply.text.startswith("4.7.5") and "other.example" in reply.text, reply
    (skip,) = tlsmend.wait_records("skip")
    assert (skip["reason"], skip["sts_outcome"]) == ("sts-mx-not-listed", "sts-mx-not-listed")


def test_c_ops_04_a_stalled_handshake_is_no_missing_starttls(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"handshake": None})
    domain.sts(mx=[mx.host], mode="testing")
    tlsmend = scene.tlsmend(tls={"level": "verify", "observe": True},
                            timeouts={"rung": "100ms", "handshake": "100ms"})
    assert send(scene, tlsmend, domain).code == 250
    for attempt in tlsmend.attempts(4, mx=mx.host):
        assert attempt["sts_outcome"] == attempt["would_defer"] == "tls-stalled", attempt


def test_c_ops_04_a_handshake_that_the_client_left_has_no_outcome(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"handshake": None})
    domain.sts(mx=[mx.host], mode="testing")
    tlsmend = scene.tlsmend(tls={"level": "verify", "observe": True})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.cmd("MAIL FROM:<a@client.lab.example>").code == 250
        c.send(f"RCPT TO:<{domain.address()}>\r\n".encode())
        wait_for("the hello", lambda: mx.hellos)
    attempt = tlsmend.attempt(mx=mx.host)
    assert attempt["stage"] == "handshake" and attempt["outcome"] == "abandoned"
    assert "sts_outcome" not in attempt and "would_defer" not in attempt, attempt


def test_c_sts_07_a_slow_policy_host_keeps_no_other_policy_away(scene):
    """One place for fetches, held by a host that only keeps us waiting: behind ten seconds it goes to the next."""
    slow, good = scene.domain(), scene.domain()
    slow_mx, good_mx = scene.hostile(slow), scene.hostile(good, kind="self-signed")
    stalled = slow.sts(mx=[slow_mx.host], mode="enforce", replies={"handshake": None})
    good.sts(mx=[good_mx.host], mode="enforce")
    tlsmend = scene.tlsmend(clock="both", workers=1, tls={"level": "may"}, mta_sts={"fetches": 1})
    with scene.client(tlsmend) as first, scene.client(tlsmend) as second:
        for client, domain in ((first, slow), (second, good)):
            client.ehlo()
            assert client.cmd("MAIL FROM:<a@client.lab.example>").code == 250
            client.send(f"RCPT TO:<{domain.address()}>\r\n".encode())
            wait_for("the fetch that stalls", lambda: stalled.server.hellos)
        settled()
        assert not good_mx.records   # no mail while the policy is looked for
        tlsmend.clock.turn("+12s")
        scene.client(tlsmend).close()   # an event: timers are looked at
        reply = second.reply()
        assert reply.code == 451 and "self-signed" in reply.text, reply
        assert first.reply().code == 250
    record = next(r for r in tlsmend.records("sts") if r["policy_domain"] == slow.name)
    assert record["outcome"] == "fetch-failed" and "other fetches wait" in record["detail"], record
    assert record["took"] >= 10000


def test_c_ops_02_a_reload_says_which_bounds_wait_for_the_next_start(scene):
    tlsmend = scene.tlsmend()
    tlsmend.write_config(mta_sts={"fetches": 2}, tls={"ladder_addresses": 100})
    hup(tlsmend)
    said = [r["detail"] for r in tlsmend.records("warning") if "next start" in r["detail"]]
    assert [text.split(":")[0] for text in said] == ["mta_sts", "tls.ladder_addresses"], said


@pytest.mark.parametrize("zone", ["plain", "signed"])
def test_c_sts_11_a_forged_null_mx_makes_no_mail_bounce(scene, zone):
    """Where the domain has said under its certificate that it takes mail, only a signed "no" is final (C-MX-04)."""
    domain = scene.domain(zone=zone)
    mx = scene.hostile(domain)
    domain.sts(mx=[mx.host], mode="enforce")
    tlsmend = scene.tlsmend()
    assert send(scene, tlsmend, domain).code == 250
    domain.remove("MX")
    domain.null_mx()
    tlsmend.restart()   # its resolver forgets the MX; the policy stays
    reply = send(scene, tlsmend, domain)
    assert reply.code == (556 if zone == "signed" else 451), reply
    if zone == "plain":
        assert reply.text.startswith("4.7.5") and "MX 0 ." in reply.text and mx.host in reply.text, reply
    assert len(mx.mails) == 1
