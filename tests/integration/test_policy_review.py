# SPDX-License-Identifier: Apache-2.0
"""What a hostile reading of the policy code found: answers that bounced mail, and records that lied
(C-STS-11, C-OPS-04)."""

import pytest

from lab.helpers import send
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
    (skip,) = tlsmend.records("skip")
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
