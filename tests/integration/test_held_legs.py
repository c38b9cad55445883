# SPDX-License-Identifier: Apache-2.0
"""Recipients of one domain of whom the ledger knows different things (C-RCPT-04, C-RCPT-06): a final dot is for all of a
leg, so they share a held one only where the same messages were delivered to them."""

import itertools

import pytest

from lab import faults, smtpc
from lab.helpers import SENDER, SLOW
from lab.hostile import Each
from lab.legacy import Legacy
from lab.mixed import SPAM, a
from lab.process import wait_for


class One:
    """A domain that takes everything, and another that refuses every message at its end, so that results are mixed."""

    def __init__(self, scene):
        self.scene = scene
        self.farm, self.tlsmend = faults.prepared(scene)
        self.good, self.bad = self.farm.sinks(2)
        self.bad.fault({"final": SPAM})
        self.numbers = itertools.count(1)

    def message(self):
        return smtpc.message(subject=f"n{next(self.numbers)}", body=b"x" * 300 + b"\r\n")

    def send(self, message, *users, mixed=False):
        """One turn of a client; mixed: what its users have is in the ledger then."""
        recipients = [a(self.good, u) for u in users] + ([a(self.bad, f"n{next(self.numbers)}")] if mixed else [])
        client = Legacy(self.tlsmend, self.scene.net.client, recipients, message,
                        after_dot=lambda c, _: c.sock.settimeout(20 * SLOW))   # who is forgotten waits for ever
        turn = client.turn()
        codes = {r.code for r in turn.final.values()}
        assert codes == ({451} if mixed else {250}) and len(turn.final) == len(recipients), str(turn)
        client.close()
        return turn

    def got(self, user):
        return [t.data for t in self.good.taken if a(self.good, user) in t.recipients]


def test_c_rcpt_04_two_recipients_with_different_histories(scene):
    """One has this message, the other another one: the first does not get it again, the second gets it."""
    one = One(scene)
    first, second = one.message(), one.message()
    one.send(first, "u1", mixed=True)
    one.send(second, "u2", mixed=True)
    one.send(first, "u1", "u2", "u3")
    assert one.got("u1") == [first] and one.got("u2") == [second, first] and one.got("u3") == [first]
    one.send(second, "u1", "u2")
    assert one.got("u1") == [first, second] and one.got("u2") == [second, first]


def test_c_rcpt_04_two_recipients_with_the_same_history_share_a_leg(scene):
    one = One(scene)
    message = one.message()
    one.send(message, "u1", "u2", mixed=True)
    before = one.good.asked()
    one.send(message, "u1", "u2")
    assert one.got("u1") == one.got("u2") == [message] and one.good.asked() == before + 1
    wait_for("the entries to go", lambda: not one.tlsmend.sql("SELECT 1 FROM ledger WHERE outcome = 'delivered'"))


@pytest.mark.parametrize("first", ["u1", "u2"])
def test_c_rcpt_06_both_know_two_messages_in_another_order(scene, first):
    """The sums of what was delivered are the same, whichever came first."""
    one = One(scene)
    messages = one.message(), one.message()
    one.send(messages[0], "u1", "u2", mixed=True)
    one.send(messages[1], first, mixed=True)
    one.send(messages[1], "u1" if first == "u2" else "u2", mixed=True)
    for message in messages:
        one.send(message, "u1", "u2")
    assert sorted(one.got("u1")) == sorted(one.got("u2")) == sorted(messages)
    third = one.message()
    one.send(third, "u1", "u2")
    assert one.got("u1")[2:] == one.got("u2")[2:] == [third]


def test_c_rcpt_01_a_leg_that_is_used_again_counts_again(scene):
    """Its domain had refused everybody, and limits.legs are in use meanwhile."""
    farm, tlsmend = faults.prepared(scene, limits={"legs": 2})
    first, second, third = farm.sinks(3)
    first.fault({"rcpt": Each("550 5.1.1 no", "250 2.1.5 ok")})
    c = scene.client(tlsmend)
    c.ehlo()
    assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 250
    assert [c.cmd(f"RCPT TO:<{a(s)}>").code for s in (first, second, third, first)] == [550, 250, 250, 452]
    assert c.data(smtpc.message()).code == 250
    assert not first.taken and len(second.taken) == len(third.taken) == 1
