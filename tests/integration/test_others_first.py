# SPDX-License-Identifier: Apache-2.0
"""A destination that defers the message at each attempt does not keep the others of it in the client's queue (C-RCPT-04,
C-LEG-01): it stands back once, so that those that are decided can be told."""

import pytest

from lab.hostile import Each
from lab.mixed import GREY, Mixed, a


@pytest.mark.parametrize("size", [True, False], ids=["size", "no-size"])
@pytest.mark.parametrize("order", ["good later", "later good", "good bad later", "later bad good", "bad later good"])
def test_c_rcpt_04_one_that_defers_each_time_holds_nobody_back(scene, order, size):
    m = Mixed(scene, order=order, size=size)
    m.client.run(8)
    assert set(m.client.delivered) == {a(m.good)} and len(m.good.taken) == 1
    assert set(m.client.bounced) == ({a(m.bad)} if "bad" in order else set())
    assert m.client.left == [a(m.later)] and not m.client.complaints
    assert not m.bad.taken and not m.later.taken


def test_c_rcpt_04_it_is_asked_again_and_stands_back_when_that_was_no_use(scene):
    m = Mixed(scene, order="good later", size=True)
    m.first()
    assert m.entries() == {a(m.good): "delivered", a(m.later): "deferred"}
    second = m.client.turn()
    assert {r.code for r in second.final.values()} == {451}
    assert m.entries() == {a(m.good): "delivered", a(m.later): "deferred-again"}
    third = m.client.turn()
    assert third.rcpt[a(m.later)].text.startswith("4.3.2") and "[others-first]" in third.rcpt[a(m.later)].text
    assert third.final[a(m.good)].code == 250
    m.until_empty()
    fourth = m.client.turn()
    assert str(fourth.final[a(m.later)]) == GREY      # the MX's own words
    m.heal()
    m.client.turn()
    assert len(m.later.taken) == len(m.good.taken) == 1 and not m.client.left


def test_c_rcpt_04_one_that_is_mended_at_the_retry_is_delivered_there(scene):
    m = Mixed(scene, order="later good", size=True)
    m.first()
    m.heal()
    m.client.turn()
    assert len(m.later.taken) == len(m.good.taken) == 1 and not m.client.left
    m.until_empty()


def test_c_rcpt_06_another_message_does_not_stand_back(scene):
    m = Mixed(scene, order="good later", size=True)
    m.first()
    m.client.turn()
    m.heal()
    other = m.legacy(message=m.message + b"longer\r\n", recipients=[a(m.later)], size=True)
    assert other.turn().final[a(m.later)].code == 250 and len(m.later.taken) == 1


def test_with_a_reply_for_each_nobody_stands_back(scene):
    m = Mixed(scene, order="good later")
    m.first()
    assert m.entries() == {a(m.good): "delivered", a(m.later): "deferred"}
    m.heal()
    each = m.legacy(protocol="prdr")
    each.turn()
    assert not each.left and len(m.later.taken) == len(m.good.taken) == 1


@pytest.mark.parametrize("pipelining", [True, False], ids=["pipelined", "one-by-one"])
def test_c_rcpt_04_recipients_of_one_domain_are_asked_alone_together(scene, pipelining):
    """One leg has one answer at the end: nobody of it has to wait for another of it."""
    m = Mixed(scene, order="good bad")
    people = [a(m.good)] + [a(m.bad, f"u{i}") for i in range(5)]
    client = m.legacy(recipients=people, pipelining=pipelining)
    client.run(10)
    assert set(client.bounced) == set(people[1:]) and set(client.delivered) == {a(m.good)}
    assert len(client.rounds) == 3, "mixed; the delivered one is told; the others in one transaction"


def test_c_rcpt_04_and_others_of_that_domain_join_them(scene):
    m = Mixed(scene, order="good bad")
    m.client.run(1)
    m.heal()
    more = m.legacy(recipients=[a(m.bad), a(m.bad, "new"), a(m.good)])
    turn = more.turn()
    assert turn.rcpt[a(m.good)].text.endswith("[asked-alone]")
    assert {turn.final[r].code for r in more.delivered} == {250} and set(more.delivered) == {a(m.bad), a(m.bad, "new")}


def test_c_rcpt_04_one_that_came_later_stands_back_too(scene):
    """Greylisted at RCPT first, so no member of the group; then deferred at the dot each time.  Whoever waits for it
    to be asked alone has its turn the next time."""
    m = Mixed(scene, order="good later bad")
    m.later.fault({"rcpt": Each("450 4.2.0 greylisted", "250 2.1.5 ok"), "final": "452 4.2.2 mailbox full"})
    m.client.run(5)
    assert set(m.client.bounced) == {a(m.bad)} and set(m.client.delivered) == {a(m.good)}
    assert m.client.left == [a(m.later)]
