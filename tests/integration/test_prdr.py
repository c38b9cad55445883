# SPDX-License-Identifier: Apache-2.0
"""PRDR towards the client, as Exim speaks it: "353", a final reply for each accepted recipient in order, and one for the
whole message (C-RCPT-02).  What it has in common with LMTP is in test_lmtp.py."""

import threading

import pytest

from lab import smtpc
from lab.each import accepted, begin, envelope, final, greeted, named, prepared, silent, texts, until, users
from lab.hostile import Each
from lab.mixed import GREY, SPAM, a
from lab.process import wait_for
from lab.servers import CLIENTS

MESSAGE = smtpc.message(body=b"x" * 300 + b"\r\n")
OK, OTHER_GREY, OTHER_SPAM = "250 2.0.0 taken", "450 4.2.0 mailbox busy", "550 5.1.1 no such mailbox"


def replying(scene, *finals, protocol="prdr"):
    """A session with a recipient at each of so many MX hosts that answer the dot in this way."""
    farm, tlsmend = prepared(scene)
    sinks = farm.sinks(len(finals))
    for sink, said in zip(sinks, finals):
        sink.fault({"final": said})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users(sinks), protocol)
    return c, tlsmend, sinks


# What Exim makes of the reply for the whole message: 2yz leaves to each recipient its own, 4yz is for all, 5yz too.
@pytest.mark.parametrize("finals, overall", [
    ((OK, OK), "250"), ((OK, SPAM), "250"), ((SPAM, OK, GREY), "250"), ((OK, GREY), "250"),
    ((GREY, GREY), "451"), ((GREY, OTHER_GREY), "451"), ((GREY, SPAM), "451"),
    ((SPAM, SPAM), "554"), ((SPAM, OTHER_SPAM), "554"), ((OTHER_SPAM, OTHER_SPAM), "550"),
], ids=lambda x: x if isinstance(x, str) else " ".join(f[:3] for f in x))
def test_c_rcpt_02_prdr_the_reply_for_the_whole_message(scene, finals, overall):
    c, tlsmend, sinks = replying(scene, *finals)
    replies = final(c, MESSAGE, len(finals), "prdr")
    assert [r.code for r in (replies[0], replies[-1])] == [353, int(overall)], texts(replies)
    assert texts(replies[1:-1]) == list(finals)
    assert c.cmd("NOOP").code == 250
    assert {r["recipient"]: r["code"] for r in tlsmend.results(len(finals))} == {
        a(s): int(f[:3]) for s, f in zip(sinks, finals)}
    assert not tlsmend.sql("SELECT 1 FROM ledger")


@pytest.mark.parametrize("other, overall", [(OK, "250"), (GREY, "451"), (SPAM, "451")], ids=["250", "451", "554"])
def test_design_7_prdr_421_is_451_in_its_line(scene, other, overall):
    c, *_ = replying(scene, "421 4.3.2 closing", other)
    replies = final(c, MESSAGE, 2, "prdr")
    assert texts(replies[1:3]) == ["451 4.3.2 closing", other]
    assert str(replies[3])[:3] == overall
    assert c.cmd("NOOP").code == 250


def test_c_rcpt_02_prdr_is_for_more_than_one_accepted_recipient(scene):
    """Asked for, one recipient accepted: one reply.  Not asked for: one reply, however many there are."""
    farm, tlsmend = prepared(scene)
    good, bad = farm.sinks(2)
    bad.fault({"rcpt": Each("550 5.1.1 nobody", "250 2.1.5 ok")})
    c = greeted(scene, tlsmend, "prdr")
    assert [r.code for r in named(c, users([good, bad]), "prdr")] == [250, 550]
    begin(c, MESSAGE)
    assert str(c.reply()) == f"250 2.0.0 taken by {good.host}" and silent(c, 0.05)
    accepted(c, users([good, bad]), "smtp")            # of the transaction before nothing is left
    begin(c, MESSAGE)
    assert c.reply().code == 250 and silent(c, 0.05)
    accepted(c, users([good, bad]), "prdr")
    assert [r.code for r in final(c, MESSAGE, 2, "prdr")] == [353, 250, 250, 250]
    assert len(good.taken) == 3 and len(bad.taken) == 2


def test_c_rcpt_02_prdr_with_recipients_of_one_domain(scene):
    """One leg: each hears the reply of that MX."""
    farm, tlsmend = prepared(scene)
    (sink,) = farm.sinks(1)
    sink.fault({"final": SPAM})
    c = greeted(scene, tlsmend, "prdr")
    accepted(c, [a(sink), a(sink, "second")], "prdr")
    assert texts(final(c, MESSAGE, 2, "prdr"))[1:] == [SPAM] * 3


def test_c_in_03_prdr_a_hundred_recipients_pipelined(scene):
    farm, tlsmend = prepared(scene)
    sinks = farm.sinks(4)
    sinks[2].fault({"final": GREY})
    recipients = [s.domain.address(f"user{i}") for i in range(25) for s in sinks]
    c = greeted(scene, tlsmend, "prdr")
    wire = [*envelope(recipients, "prdr"), "DATA"]
    assert [r.code for r in c.pipeline(wire, sizes=(997, 3))] == [*[250] * 101, 354]
    c.send(MESSAGE + b".\r\nNOOP\r\n")
    replies = [c.reply() for _ in range(103)]
    assert [r.code for r in replies] == [353, *[250, 250, 451, 250] * 25, 250, 250]


@pytest.mark.parametrize("protocol", ["prdr", "smtp"])
def test_c_rcpt_02_no_reply_before_the_first_recipient_is_decided(scene, protocol):
    farm, tlsmend = prepared(scene)
    slow, quick = farm.sinks(2)
    go = threading.Event()
    slow.fault({"final": [until(go), SPAM]})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users([slow, quick]), protocol)
    begin(c, MESSAGE)
    quick.wait_taken()
    assert silent(c)
    go.set()
    assert c.reply().code == (353 if protocol == "prdr" else 451)


def test_c_rcpt_02_exim_with_prdr(scene):
    """Three outcomes of one message: delivered, bounced and deferred, each once, in the words of the MX."""
    farm, tlsmend = prepared(scene)
    good, bad, later = farm.sinks(3)
    bad.fault({"final": SPAM})
    later.fault({"final": GREY})
    client = scene.server(CLIENTS["exim"])
    client.submit(users([good, bad, later]), smtpc.message(subject="three"), a(good, "sender"))
    waiting = client.wait_deferred(later.domain.name)
    assert GREY[4:] in waiting.reason, waiting.reason
    good.wait_taken(2)                                 # the message, and the bounce of the second recipient
    assert sorted(t.recipients for t in good.taken) == sorted([(a(good),), (a(good, "sender"),)])
    bounce = next(t.data for t in good.taken if t.recipients == (a(good, "sender"),)).decode()
    assert SPAM[4:] in bounce and a(bad) in bounce and a(later) not in bounce
    first = [r for r in tlsmend.results(3) if r["queue_id"] == waiting.id]
    assert len({r["transaction"] for r in first}) == 1 and sorted(r["code"] for r in first) == [250, 451, 554]
    assert not any("told" in r for r in first)
    wait_for(lambda: client.queue(), lambda: [q.recipient for q in client.queue()] == [a(later)])
    later.heal()
    client.flush()
    client.wait_empty(later.domain.name)
    assert len(later.taken) == 1 and good.count(a(good)) == 1
    assert not tlsmend.sql("SELECT * FROM ledger"), tlsmend.sql("SELECT * FROM ledger")
    assert client.grudges() == []
