# SPDX-License-Identifier: Apache-2.0
"""What a hostile reading of the many-legs code found: each was wrong once."""

import socket

import pytest

from lab import faults, smtpc
from lab.helpers import SENDER, SLOW
from lab.hostile import Each
from lab.legacy import Legacy
from lab.process import wait_for
from lab.smtpc import stuff


def addresses(sinks, user="user"):
    return [s.domain.address(user) for s in sinks]


def test_c_rcpt_01_legs_that_refused_everybody_hold_no_connection(scene):
    """limits.legs bounds the connections of a transaction too, not only its recipients; what a leg gives up waits
    for the next mail, or goes where none is kept."""
    farm, tlsmend = faults.prepared(scene, limits={"legs": 3}, pool={"idle_time": "0s"})
    sinks = farm.sinks(12)
    for sink in sinks:
        sink.fault({"rcpt": "550 5.1.1 no"})
    c = scene.client(tlsmend)
    c.ehlo()
    assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 250
    for recipient in addresses(sinks):
        assert c.cmd(f"RCPT TO:<{recipient}>").code == 550
    wait_for(lambda: "the connections that are not needed any more to end",
             lambda: sum(r.open for s in sinks for r in s.records) <= 3, 10 * SLOW)
    # They are asked again: that is no way around it.
    for recipient in addresses(sinks, "again"):
        assert c.cmd(f"RCPT TO:<{recipient}>").code == 550
    wait_for(lambda: "those that were opened anew to end",
             lambda: sum(r.open for s in sinks for r in s.records) <= 3, 10 * SLOW)
    # One of them says yes now.
    sinks[0].heal()
    assert c.cmd(f"RCPT TO:<{sinks[0].domain.address('other')}>").code == 250
    assert c.data(smtpc.message()).text == f"2.0.0 taken by {sinks[0].host}"


def test_c_rcpt_03_no_more_recipients_than_the_ledger_has_room_for(scene):
    """Also of a destination that is open already."""
    farm, tlsmend = faults.prepared(scene, ledger={"entries": 100})
    good, bad = farm.sinks(2)
    bad.fault({"final": Each("451 4.3.0 later")})
    recipients = [bad.domain.address(), *(good.domain.address(f"u{i}") for i in range(120))]
    client = Legacy(tlsmend, scene.net.client, recipients, smtpc.message(subject=good.host), pipelining=True)
    client.turn()
    assert not [r for r in tlsmend.records("ledger") if r.get("state") == "full"]
    bad.heal()
    client.run(12)
    assert not client.left and not client.bounced and not client.complaints
    assert {good.count(r) for r in recipients[1:]} == {1} and bad.count(recipients[0]) == 1


def test_c_leg_01_a_refusal_of_one_host_is_not_final_while_another_is_asked(scene):
    """The hurry may cut the second host's answer short, so what the first one said is not the last word."""
    tlsmend = scene.tlsmend(timeouts={"leg_wait": "500ms"})
    quick, late = scene.domain(), scene.domain()
    scene.hostile(quick)
    scene.hostile(late, preference=1, replies={"greeting": "554 5.3.2 not here"})
    scene.hostile(late, label="mx2", preference=20, replies={"greeting": None})
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.envelope(SENDER, [quick.address(), late.address()])
        assert [r.code for r in replies] == [250, 250, 451]


@pytest.mark.parametrize("half", [True, False], ids=["half-closed", "closed"])
def test_c_rcpt_05_a_script_that_never_reads_sends_the_same_alarm_again(scene, half):
    """It is no retry: nothing in it is of this message alone, so no queue had it, and it comes much later."""
    farm, tlsmend = faults.prepared(scene, clock="wall")
    (sink,) = farm.sinks(1)
    sink.fault({"final": [0.3, sink.replies_honestly]})
    alarm = (f"EHLO x\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{sink.domain.address()}>\r\nDATA\r\n"
             "Subject: the disk is full\r\n\r\nyes\r\n.\r\n").encode()
    for count in (1, 2, 3):
        with scene.client(tlsmend) as c:
            c.send(alarm)
            if half:
                c.sock.shutdown(socket.SHUT_WR)
                assert [c.reply().code for _ in range(5)] == [250, 250, 250, 354, 250]
            else:
                wait_for("the message", lambda n=count: sink.dots() == n)
        tlsmend.results(count)
        sink.wait_taken(count)
        assert len(sink.taken) == count
        tlsmend.clock.turn(f"{16 * count}m")


def test_c_rcpt_05_an_alarm_that_comes_often_is_not_held_back_for_ever(scene):
    """Each that is held back is no reason to hold back the next."""
    farm, tlsmend = faults.prepared(scene, clock="wall")
    (sink,) = farm.sinks(1)
    alarm = (f"EHLO x\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{sink.domain.address()}>\r\nDATA\r\n"
             "Subject: the disk is full\r\n\r\nyes\r\n.\r\nQUIT\r\n").encode()
    for count in range(1, 6):
        with scene.client(tlsmend) as c:
            c.send(alarm)
        tlsmend.results(count)
        tlsmend.clock.turn(f"{10 * count}m")
    wait_for("a second one", lambda: len(sink.taken) >= 2)
