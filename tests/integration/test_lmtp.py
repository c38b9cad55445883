# SPDX-License-Identifier: Apache-2.0
"""LMTP towards the client (RFC 2033), and what it has in common with PRDR: a final reply for each accepted recipient, in
the order of the RCPT commands, in the words of its own MX (C-RCPT-02)."""

import threading

import pytest

from lab import smtpc
from lab.each import (accepted, address, begin, envelope, final, greeted, named, of_each, prepared, silent, texts,
                      until, users)
from lab.helpers import SENDER
from lab.hostile import CLOSE
from lab.legacy import GoneOnPurpose, Legacy
from lab.mixed import GREY, SPAM, Mixed, a
from lab.postfix import PostfixLmtpClient
from lab.process import wait_for

MESSAGE = smtpc.message(body=b"x" * 300 + b"\r\n")
BOTH = pytest.mark.parametrize("protocol", ["lmtp", "prdr"])


# -- the session -------------------------------------------------------------------------------------------

def test_c_in_02_what_lhlo_offers(scene):
    _, tlsmend = prepared(scene)
    c = scene.client(tlsmend, listener=address("lmtp"))
    assert str(c.greeting) == "220 tlsmend.client.lab.example LMTP tlsmend"
    offers = c.cmd("LHLO legacy.client.lab.example").lines
    assert offers[0] == "tlsmend.client.lab.example"
    assert sorted(offers[1:]) == sorted([
        "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE", "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE"])
    assert str(c.cmd(f"MAIL FROM:<{SENDER}> PRDR"))[:9] == "555 5.5.4"


def test_rfc_2033_4_1_each_listener_wants_its_own_hello(scene):
    farm, tlsmend = prepared(scene)
    (sink,) = farm.sinks(1)
    for protocol, wrong in (("lmtp", ("EHLO x", "HELO x")), ("smtp", ("LHLO x",))):
        c = scene.client(tlsmend, listener=address(protocol))
        for line in wrong:
            assert c.cmd(line).code == 500
        assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 503
        if protocol == "lmtp":
            assert c.cmd("LHLO x").code == 250
            accepted(c, users([sink]), "lmtp")
        assert c.cmd("QUIT").code == 221


@pytest.mark.parametrize("refusals", [[], ["550 5.1.1 no"], ["450 4.2.0 later", "550 5.1.1 no"]], ids=len)
def test_rfc_2033_4_2_data_for_nobody_is_503(scene, refusals):
    """Also pipelined, and nothing that follows is taken for something else."""
    farm, tlsmend = prepared(scene)
    good, *sinks = farm.sinks(1 + len(refusals))
    for sink, refusal in zip(sinks, refusals):
        sink.fault({"rcpt": refusal})
    c = greeted(scene, tlsmend, "lmtp")
    replies = c.pipeline([*envelope(users(sinks), "lmtp"), "DATA", *envelope(users([good]), "lmtp")])
    assert [r.code for r in replies] == [250, *(int(r[:3]) for r in refusals), 503, 250, 250]
    assert [r.code for r in final(c, MESSAGE, 1, "lmtp")] == [250]
    assert len(good.taken) == 1 and not any(s.dots() or s.cut() for s in sinks)    # DATA may have been sent ahead


# -- replies -----------------------------------------------------------------------------------------------

@BOTH
def test_c_rcpt_02_each_accepted_recipient_hears_its_own_mx(scene, protocol):
    """Domains interleaved, one recipient refused, one named twice."""
    farm, tlsmend = prepared(scene)
    good, bad, later = farm.sinks(3)
    good.fault({"rcpt": lambda c: "550 5.1.1 nobody" if b"<no@" in c.line else "250 2.1.5 ok",
                "final": [lambda c: good.take(c, "told"), b"250-2.0.0 two lines\r\n250 2.0.0 of good\r\n"]})
    bad.fault({"final": SPAM})
    later.fault({"final": GREY})
    recipients = [*users([good, bad]), *users([good], "no"), *users([later]), *users([good, bad], "second"),
                  *users([good])]
    c = greeted(scene, tlsmend, protocol)
    assert [r.code for r in named(c, recipients, protocol)] == [250, 250, 550, 250, 250, 250, 250]
    replies = of_each(final(c, MESSAGE, 6, protocol), protocol)
    ok = "250 2.0.0 two lines\n2.0.0 of good"
    assert texts(replies) == [ok, SPAM, GREY, ok, SPAM, ok]
    assert [t.recipients for t in good.taken] == [(a(good), a(good, "second"), a(good))]
    assert not bad.taken and not later.taken
    results = tlsmend.results(len(recipients))
    assert sorted(r["status"] for r in results) == ["deferred", *["delivered"] * 3, *["rejected"] * 3]
    assert not any("told" in r or r.get("in_ledger") for r in results), results
    assert not tlsmend.sql("SELECT 1 FROM ledger")


@BOTH
def test_c_rcpt_02_in_order_and_each_as_soon_as_there_is_no_gap(scene, protocol):
    farm, tlsmend = prepared(scene, timeouts={"final": "60s"})
    first, second, last = farm.sinks(3)
    go, heard = threading.Event(), threading.Event()
    first.fault({"final": [until(go), first.replies_honestly]})
    last.fault({"final": [until(heard), last.replies_honestly]})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users([first, second, last]), protocol)
    begin(c, MESSAGE)
    second.wait_taken()
    assert silent(c)                                  # the second has answered, the first has not
    go.set()
    early = [c.reply() for _ in range(2 if protocol == "lmtp" else 3)]
    assert texts(early)[-2:] == [f"250 2.0.0 taken by {s.host}" for s in (first, second)]
    assert not last.taken and silent(c, 0.05)
    heard.set()
    assert str(c.reply()) == f"250 2.0.0 taken by {last.host}"
    assert protocol == "lmtp" or c.reply().code == 250
    assert c.cmd("NOOP").code == 250


@BOTH
@pytest.mark.parametrize("refusal", ["451 4.3.1 no room for the message", "554 5.7.0 not from you",
                                     "421 4.3.2 not now"])
def test_c_rcpt_02_data_refused_by_one(scene, protocol, refusal):
    farm, tlsmend = prepared(scene)
    good, bad = farm.sinks(2)
    bad.fault({"data": refusal})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users([bad, good]), protocol)
    replies = of_each(final(c, MESSAGE, 2, protocol), protocol)
    assert texts(replies) == [refusal.replace("421", "451"), f"250 2.0.0 taken by {good.host}"]
    assert not bad.taken and c.cmd("NOOP").code == 250


@BOTH
def test_c_rcpt_02_data_refused_by_all_is_one_reply_to_data(scene, protocol):
    """Of one class: the message need not come, and no reply for each is due."""
    farm, tlsmend = prepared(scene)
    sinks = farm.sinks(2)
    for sink in sinks:
        sink.fault({"data": "450 4.3.1 no room"})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users(sinks), protocol)
    assert str(c.cmd("DATA")).startswith("450 4.3.1 ")
    assert c.cmd("NOOP").code == 250


@BOTH
def test_c_in_04_a_bare_newline_is_refused_for_each(scene, protocol):
    farm, tlsmend = prepared(scene)
    sinks = farm.sinks(2)
    c = greeted(scene, tlsmend, protocol)
    accepted(c, [*users(sinks), *users(sinks, "second")], protocol)
    replies = final(c, MESSAGE + b"bare\nnewline\r\n", 4, protocol)
    assert [str(r)[:10] for r in of_each(replies, protocol)] == ["550 5.6.11"] * 4
    accepted(c, users(sinks), protocol)
    assert {r.code for r in of_each(final(c, MESSAGE, 2, protocol), protocol)} == {250}
    assert [len(s.mails) for s in sinks] == [1, 1]    # no dot behind the first one


@BOTH
def test_c_in_07_too_big_is_refused_for_each(scene, protocol):
    farm, tlsmend = prepared(scene, limits={"message_size": "10KiB"})
    sinks = farm.sinks(2)
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users(sinks), protocol)
    replies = final(c, MESSAGE + (b"y" * 70 + b"\r\n") * 200, 2, protocol)
    assert [str(r)[:9] for r in of_each(replies, protocol)] == ["552 5.3.4"] * 2
    assert c.cmd("NOOP").code == 250 and not any(s.mails for s in sinks)


@BOTH
def test_c_rcpt_02_an_mx_that_is_gone_after_the_dot(scene, protocol):
    """Its recipients alone hear 451 4.4.2, and its record says maybe-delivered."""
    farm, tlsmend = prepared(scene)
    good, gone = farm.sinks(2)
    gone.fault({"final": CLOSE})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, [*users([gone, good]), *users([gone], "second")], protocol)
    replies = of_each(final(c, MESSAGE, 3, protocol), protocol)
    assert [str(r)[:9] for r in replies] == ["451 4.4.2", "250 2.0.0", "451 4.4.2"]
    assert [r["recipient_domain"] for r in tlsmend.results(2, status="maybe-delivered")] == [gone.domain.name] * 2
    assert tlsmend.result(status="delivered")["recipient_domain"] == good.domain.name


# -- transactions ------------------------------------------------------------------------------------------

@BOTH
def test_c_in_03_messages_in_one_session_pipelined(scene, protocol):
    """Two messages, with RSET between, in odd segments."""
    farm, tlsmend = prepared(scene)
    one, two = farm.sinks(2)
    wire = [*envelope(users([one, two]), protocol), "RSET", *envelope(users([two, one]), protocol), "DATA"]
    c = greeted(scene, tlsmend, protocol)
    assert [r.code for r in c.pipeline(wire, sizes=(7, 1, 13))] == [*[250] * 7, 354]
    again = [*envelope(users([one, two], "again"), protocol), "DATA"]
    c.send(MESSAGE + b".\r\n" + "".join(line + "\r\n" for line in again).encode(), sizes=(251, 3))
    around = 0 if protocol == "lmtp" else 1
    first = [c.reply() for _ in range(2 + 2 * around)]
    assert [r.text for r in of_each(first, protocol)] == [f"2.0.0 taken by {s.host}" for s in (two, one)]
    assert [c.reply().code for _ in again] == [250, 250, 250, 354]
    c.send(MESSAGE + b".\r\nQUIT\r\n")
    second = [c.reply() for _ in range(2 + 2 * around)]
    assert [r.text for r in of_each(second, protocol)] == [f"2.0.0 taken by {s.host}" for s in (one, two)]
    assert c.reply().code == 221
    assert [t.recipients for t in one.taken] == [(a(one),), (a(one, "again"),)]


def test_c_rcpt_02_a_client_that_is_gone_in_the_message_delivers_nothing(scene):
    farm, tlsmend = prepared(scene)
    sinks = farm.sinks(2)
    c = greeted(scene, tlsmend, "lmtp")
    accepted(c, users(sinks), "lmtp")
    assert c.cmd("DATA").code == 354
    c.send(MESSAGE)
    c.close()
    tlsmend.results(2, status="aborted")
    for sink in sinks:
        sink.wait_closed()
        assert not sink.mails


# -- and the ledger ----------------------------------------------------------------------------------------

@BOTH
@pytest.mark.parametrize("hears", [0, 1])
def test_c_rcpt_04_gone_behind_the_dot_and_back_again(scene, protocol, hears):
    """Nobody gets the message twice, whether the client was gone before the first reply or behind it."""
    farm, tlsmend = prepared(scene)
    good, late, bad = farm.sinks(3)
    gone = threading.Event()
    late.fault({"final": [until(gone), 0.3, late.replies_honestly]})
    bad.fault({"final": [until(gone), 0.3, SPAM]})

    def leave(c, round_):
        if round_ > 1:
            return
        good.wait_taken()
        for _ in range(hears + (1 if hears and protocol == "prdr" else 0)):
            c.reply()
        c.close()
        gone.set()
        raise GoneOnPurpose
    client = Legacy(tlsmend, scene.net.client, users([good, late, bad]), MESSAGE, protocol=protocol,
                    listener=address(protocol), after_dot=leave)
    client.turn()
    wait_for(lambda: f"two entries\n{tlsmend.tail()}", lambda: len(tlsmend.sql("SELECT 1 FROM ledger")) == 2)
    assert set(tlsmend.sql("SELECT recipient, outcome, untold FROM ledger")) == {
        (a(s), "delivered", 1) for s in (good, late)}
    again = client.turn()
    assert [again.final[a(s)].text for s in (good, late, bad)] == [
        f"2.0.0 taken by {good.host}", f"2.0.0 taken by {late.host}", SPAM[4:]]
    assert [len(s.taken) for s in (good, late)] == [s.dots() for s in (good, late)] == [1, 1]
    assert not bad.taken and bad.dots() == 2
    assert not client.left and not client.complaints
    assert {r["reason"] for r in tlsmend.results(5) if r["recipient"] in (a(good), a(late))} >= {"already-delivered"}
    wait_for("an empty ledger", lambda: not tlsmend.sql("SELECT 1 FROM ledger"))


@BOTH
@pytest.mark.parametrize("ident", ["4cQueue1", None], ids=["ident", "no-ident"])
def test_c_rcpt_04_mixed_over_smtp_and_tried_again(scene, protocol, ident):
    """Delivered: not again, the recorded reply.  Refused: told where the queue id proves it, else asked, and never alone."""
    m = Mixed(scene, daemon=prepared(scene), ident=ident)
    m.first()
    m.later.heal()
    retry = m.legacy(ident=ident, protocol=protocol, listener=address(protocol))
    turn = retry.turn()
    assert [turn.rcpt[a(s)].code for s in m.sinks] == [250, 554 if ident else 250, 250]
    assert [str(turn.final[a(s)]) for s in (m.good, m.later)] == [
        f"250 2.0.0 taken by {s.host}" for s in (m.good, m.later)]
    assert str(retry.bounced[a(m.bad)]) == SPAM
    assert m.good.dots() == 1 and m.later.count(a(m.later)) == 1 and m.bad.dots() == (1 if ident else 2)
    m.until_empty()


def test_c_rcpt_06_another_message_over_lmtp_goes_out(scene):
    m = Mixed(scene, daemon=prepared(scene))
    m.first()
    m.heal()
    other = m.legacy(protocol="lmtp", listener=address("lmtp"), message=MESSAGE)
    turn = other.turn()
    assert {turn.final[a(s)].code for s in m.sinks} == {250}
    assert [t.data for t in m.good.taken] == [m.message, MESSAGE]


# -- a real client -----------------------------------------------------------------------------------------

def test_c_rcpt_02_postfix_over_lmtp(scene):
    """Three outcomes of one message: sent, bounced and deferred, each once, in the words of the MX."""
    farm, tlsmend = prepared(scene)
    good, bad, later = farm.sinks(3)
    bad.fault({"final": SPAM})
    later.fault({"final": GREY})
    client = scene.server(PostfixLmtpClient)
    client.submit(users([good, bad, later]), smtpc.message(subject="three"), a(good, "sender"))
    waiting = client.wait_deferred(later.domain.name)
    assert GREY in waiting.reason, waiting.reason
    good.wait_taken(2)                                 # the message, and the bounce of the second recipient
    assert [t.recipients for t in good.taken] == [(a(good),), (a(good, "sender"),)]
    bounce = good.taken[1].data.decode()
    assert SPAM in bounce.replace("\r\n    ", " ") and a(bad) in bounce and a(later) not in bounce
    assert len({r["transaction"] for r in tlsmend.results(3) if r["queue_id"] == waiting.id}) == 1
    assert [q.recipient for q in client.queue()] == [a(later)]
    later.heal()
    client.flush()
    client.wait_empty(later.domain.name)
    assert len(later.taken) == 1 and good.count(a(good)) == 1
    assert not tlsmend.sql("SELECT 1 FROM ledger") and client.grudges() == []
    assert all(r["end"] == "quit" for r in tlsmend.records("session", listener="local"))
