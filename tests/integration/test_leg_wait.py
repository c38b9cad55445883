# SPDX-License-Identifier: Apache-2.0
"""A slow destination beside others: they do not wait for it longer than timeouts.leg_wait, and alone it has the whole
budget (C-LEG-01, C-RCPT-01)."""

import time

from lab import smtpc
from lab.helpers import SENDER


def two(scene, **slow):
    quick, late = scene.domain(), scene.domain()
    return quick, scene.hostile(quick), late, scene.hostile(late, **slow)


def test_c_leg_01_the_slow_one_is_deferred_and_the_others_get_theirs(scene):
    tlsmend = scene.tlsmend(timeouts={"leg_wait": "500ms"})
    quick, mx, late, slow = two(scene, replies={"greeting": None})
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.envelope(SENDER, [quick.address(), late.address()])
        assert [r.code for r in replies] == [250, 250, 451]
        assert "[leg-slow]" in replies[2].text and replies[2].text.startswith("4.4.1")
        assert c.data(smtpc.message()).code == 250
    assert len(mx.mails) == 1 and not slow.saw("MAIL")
    assert tlsmend.result(recipient_domain=late.name)["reason"] == "leg-slow"
    assert tlsmend.result(recipient_domain=quick.name)["status"] == "delivered"


def test_c_leg_01_what_its_hosts_said_goes_before_the_hurry(scene):
    """Two addresses: one refused the session, the other says nothing; the client hears the words of the first."""
    tlsmend = scene.tlsmend(timeouts={"leg_wait": "500ms"})
    quick, _, late, _ = two(scene, replies={"greeting": "421 4.3.2 come back later"}, preference=1)
    scene.hostile(late, label="mx2", preference=20, replies={"greeting": None})
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.envelope(SENDER, [quick.address(), late.address()])
        assert [r.code for r in replies] == [250, 250, 451]
        assert "come back later" in replies[2].text
        assert c.data(smtpc.message()).code == 250


def test_alone_it_has_the_whole_budget(scene):
    tlsmend = scene.tlsmend(timeouts={"leg_wait": "100ms"})
    _, _, late, mx = two(scene, replies={"greeting": [0.6, "220 mx ESMTP"]})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(SENDER, late.address(), smtpc.message()).code == 250
    assert len(mx.mails) == 1


def test_a_recipient_named_later_has_the_same_time(scene):
    """Not the time since the first was accepted counts alone, but that since it was named."""
    tlsmend = scene.tlsmend(timeouts={"leg_wait": "600ms"})
    quick, mx, late, second = two(scene, replies={"greeting": [0.3, "220 mx ESMTP"]})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert [r.code for r in c.envelope(SENDER, [quick.address()])] == [250, 250]
        time.sleep(0.7)
        assert c.cmd(f"RCPT TO:<{late.address()}>").code == 250
        assert c.data(smtpc.message()).code == 250
    assert len(mx.mails) == len(second.mails) == 1
