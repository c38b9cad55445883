# SPDX-License-Identifier: Apache-2.0
"""Recipients of several domains in one transaction (C-RCPT-01, C-RCPT-03): each RCPT has its own destination's
answer, the message goes to all at once, and one leg's trouble is its own."""

import threading

import pytest

from lab import faults, smtpc
from lab.helpers import SENDER, SLOW
from lab.hostile import CLOSE, Each
from lab.legacy import Legacy
from lab.process import wait_for
from lab.smtpc import stuff

BLOCK = 64 * 1024


def addresses(sinks, user="user"):
    return [s.domain.address(user) for s in sinks]


def legacy(scene, tlsmend, sinks, **options):
    """Declares its SIZE, as most do: so a refusal is told to the retry."""
    options = {"message": smtpc.message(subject=sinks[0].host), "size": True, **options}
    return Legacy(tlsmend, scene.net.client, addresses(sinks), **options)


def greeted(scene, tlsmend):
    c = scene.client(tlsmend)
    c.ehlo()
    return c


def envelope(recipients, params=""):
    return [f"MAIL FROM:<{SENDER}>{params}", *(f"RCPT TO:<{r}>" for r in recipients)]


def meeting(sinks, phase, reply=None):
    """None of them answers in this phase before all of them have come to it."""
    barrier = threading.Barrier(len(sinks))
    for sink in sinks:
        def meet(_, sink=sink):
            barrier.wait(15 * SLOW)
            return reply or f"220 {sink.name} ESMTP"
        sink.fault({phase: meet})
    return barrier


# -- RCPT --------------------------------------------------------------------------------------------------

@pytest.mark.parametrize("pipelined", [False, True], ids=["one-by-one", "pipelined"])
def test_c_rcpt_01_each_recipient_has_its_own_answer(scene, pipelined):
    farm, tlsmend = faults.prepared(scene)
    good, bad, later, last = farm.sinks(4)
    bad.fault({"rcpt": "550 5.1.1 bad says no"})
    later.fault({"rcpt": "450 4.2.0 later says wait"})
    nowhere = f"user@nowhere.{good.domain.name}"
    c = greeted(scene, tlsmend)
    lines = envelope([*addresses([good, bad, later]), nowhere, last.domain.address(), good.domain.address("other")])
    replies = c.pipeline(lines) if pipelined else [c.cmd(line) for line in lines]
    assert [r.code for r in replies] == [250, 250, 550, 450, 550, 250, 250]
    assert replies[2].text == "5.1.1 bad says no" and replies[3].text == "4.2.0 later says wait"
    assert "5.1.2" in replies[4].text
    assert c.data(smtpc.message()).code == 250
    assert [t.recipients for t in good.taken] == [(good.domain.address(), good.domain.address("other"))]
    assert len(last.taken) == 1 and not bad.taken and not later.taken


def test_c_rcpt_01_pipelined_recipients_open_their_legs_at_the_same_time(scene):
    """Each greets only when all have been called: one after the other it could never go on."""
    farm, tlsmend = faults.prepared(scene, timeouts={"greeting": "20s", "recipient_budget": "30s", "leg_wait": "30s"})
    sinks = farm.sinks(5)
    meeting(sinks, "greeting")
    client = legacy(scene, tlsmend, sinks).run(1)
    assert set(client.delivered) == set(addresses(sinks))


def test_c_rcpt_01_the_replies_come_in_the_order_of_the_commands(scene):
    """The MXs answer from the last to the first."""
    farm, tlsmend = faults.prepared(scene, timeouts={"recipient_budget": "30s", "leg_wait": "30s"})
    sinks = farm.sinks(4)
    said = [threading.Event() for _ in sinks] + [threading.Event()]
    said[-1].set()
    for i, sink in enumerate(sinks):
        def answer(_, i=i):
            said[i + 1].wait(15 * SLOW)
            return f"250 2.1.5 number {i}"

        def tell(_, i=i):
            said[i].set()
        sink.fault({"rcpt": [answer, tell]})
    replies = greeted(scene, tlsmend).pipeline(envelope(addresses(sinks)))
    assert [r.text for r in replies[1:]] == [f"2.1.5 number {i}" for i in range(4)]


def test_c_rcpt_01_fifty_legs(scene):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(50)
    client = legacy(scene, tlsmend, sinks).run(1)
    assert set(client.delivered) == set(addresses(sinks))
    assert {len(s.taken) for s in sinks} == {1}
    final = client.rounds[0].final[sinks[0].domain.address()]
    assert len(final.lines) == 20 and "more" in final.lines[-1]


def test_c_rcpt_01_more_legs_than_the_limit(scene):
    farm, tlsmend = faults.prepared(scene, limits={"legs": 2})
    refused, *sinks = farm.sinks(4)
    refused.fault({"rcpt": "550 5.1.1 no"})
    client = legacy(scene, tlsmend, [refused, *sinks], pipelining=False)
    first = client.turn()
    assert [first.rcpt[r].code for r in addresses([refused, *sinks])] == [550, 250, 250, 452]
    assert first.rcpt[sinks[2].domain.address()].text.startswith("4.5.3")
    assert tlsmend.result(reason="too-many-legs")["recipient"] == sinks[2].domain.address()
    client.run()
    assert set(client.delivered) == set(addresses(sinks)) and {len(s.taken) for s in sinks} == {1}


def test_c_rcpt_01_a_refused_domain_binds_nothing(scene):
    """It may be the first that was named; the second one's leg is verbatim then."""
    farm, tlsmend = faults.prepared(scene, limits={"legs": 1})
    bad, good = farm.sinks(2)
    bad.fault({"mail": "550 5.7.1 no mail from you"})
    c = greeted(scene, tlsmend)
    assert [c.cmd(line).code for line in envelope(addresses([bad, good]))] == [250, 550, 250]
    assert c.data(smtpc.message()).text == f"2.0.0 taken by {good.host}"


@pytest.mark.parametrize("spelling", [str.upper, str.title, "{}.".format], ids=["upper", "title", "dot"])
def test_c_rcpt_01_the_same_domain_spelled_otherwise_is_the_same_leg(scene, spelling):
    farm, tlsmend = faults.prepared(scene)
    (sink,) = farm.sinks(1)
    c = greeted(scene, tlsmend)
    other = "second@" + spelling(sink.domain.name)
    replies = c.pipeline(envelope([sink.domain.address(), other]))
    assert replies[1].code == 250 and replies[2].code in (250, 501)
    assert c.data(smtpc.message()).text == f"2.0.0 taken by {sink.host}"
    assert len(sink.records) == 1
    if replies[2].code == 250:
        assert len(sink.taken[0].recipients) == 2


def test_c_rcpt_01_address_literals_are_legs_of_their_own(scene):
    farm, tlsmend = faults.prepared(scene, tls={"literal_level": "may"})
    a, b, named = farm.sinks(3)
    c = greeted(scene, tlsmend)
    to = [f"user@[IPv6:{a.addresses[0]}]", f"user@[IPv6:{b.addresses[0]}]", named.domain.address(),
          f"again@[IPv6:{a.addresses[0].upper()}]"]
    assert [r.code for r in c.pipeline(envelope(to))] == [250] * 5
    assert c.data(smtpc.message()).code == 250
    assert [len(s.records) for s in (a, b, named)] == [1, 1, 1]
    assert len(a.taken[0].recipients) == 2 and len(b.taken) == len(named.taken) == 1


def test_c_rcpt_01_a_slow_leg_does_not_keep_the_others_waiting(scene):
    """timeouts.leg_wait: it is deferred alone, and asked again with the whole budget."""
    farm, tlsmend = faults.prepared(scene, timeouts={"recipient_budget": "30s", "leg_wait": "500ms"})
    good, slow = farm.sinks(2)
    slow.fault({"rcpt": Each([2.5 * SLOW, "250 2.1.5 ok"])})
    client = legacy(scene, tlsmend, [good, slow])
    first = client.turn()
    assert first.rcpt[good.domain.address()].code == 250 and good.domain.address() in client.delivered
    assert first.rcpt[slow.domain.address()].code == 451
    assert tlsmend.result(recipient=slow.domain.address())["reason"] == "leg-slow"
    client.run(2)
    assert len(good.taken) == len(slow.taken) == 1 and not client.left


# -- DATA and the body -------------------------------------------------------------------------------------

def test_c_rcpt_01_all_legs_have_the_first_half_before_the_second_is_sent(scene):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(4)
    for sink in sinks:
        sink.fault({"body": 0.0})
    client = legacy(scene, tlsmend, sinks)
    client.in_body = lambda _: wait_for("the first half everywhere", lambda: all(s.fired for s in sinks))
    client.run(1)
    assert set(client.delivered) == set(addresses(sinks)) and not client.complaints


def test_c_rcpt_01_a_slow_mx_pauses_the_client_and_memory_is_bounded(scene):
    farm, tlsmend = faults.prepared(scene, timeouts={"leg_stall": "60s", "block": "60s", "final": "60s"})
    fast, slow = (*farm.sinks(1), *farm.sinks(1, receive_buffer=4096))
    go = threading.Event()
    slow.fault({"body": lambda c: go.wait(30) and None})
    message = smtpc.message(body=(b"x" * 1022 + b"\r\n") * 24 * 1024)
    c = greeted(scene, tlsmend)
    assert [r.code for r in c.pipeline([*envelope(addresses([fast, slow])), "DATA"])] == [250, 250, 250, 354]
    before, sent, wire = tlsmend.rss(), 0, stuff(message) + b".\r\n"
    c.sock.settimeout(1.5)
    with pytest.raises(TimeoutError):
        while sent < len(wire):
            sent += c.sock.send(wire[sent:sent + BLOCK])
    assert sent < len(wire) * 3 // 4
    assert tlsmend.rss() - before < 4 * 1024 * 1024 * SLOW
    go.set()
    c.sock.settimeout(60)
    c.send(wire[sent:])
    assert c.reply().code == 250
    assert [t.data for t in fast.taken] == [t.data for t in slow.taken] == [message]


@pytest.mark.parametrize("pinned", [0, 1, 2])
def test_c_rcpt_01_a_leg_that_stalls_in_the_body_fails_alone(scene, pinned):
    farm, tlsmend = faults.prepared(scene, timeouts={"block": "30s"})
    sinks = [*farm.sinks(3, receive_buffer=4096)]
    stuck = sinks[pinned]
    stuck.fault({"body": lambda c: c.mx.sleep(60)})
    client = legacy(scene, tlsmend, sinks, message=smtpc.message(body=(b"x" * 70 + b"\r\n") * 30000))
    client.turn()
    others = [s for s in sinks if s is not stuck]
    assert tlsmend.result(reason="leg-stalled")["recipient"] == stuck.domain.address()
    assert [len(s.taken) for s in others] == [1, 1], "in the same transaction"
    assert client.rounds[0].final[stuck.domain.address()].code == 451
    stuck.heal()
    client.run()
    assert set(client.delivered) == set(addresses(sinks)) and {len(s.taken) for s in sinks} == {1}


@pytest.mark.parametrize("refusal", ["451 4.3.0 no room", "554 5.6.0 not this"])
def test_c_rcpt_01_data_refused_by_one_leg_only(scene, refusal):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(3)
    sinks[1].fault({"data": Each(refusal, "354 go")})
    client = legacy(scene, tlsmend, sinks)
    first = client.turn()
    assert first.data.code == 354 and len(sinks[0].taken) == len(sinks[2].taken) == 1
    assert refusal[4:] in first.final[sinks[1].domain.address()].text
    client.run()
    bounced = {sinks[1].domain.address()} if refusal[0] == "5" else set()
    assert set(client.bounced) == bounced and len(client.delivered) == 3 - len(bounced)
    assert [len(s.taken) for s in sinks] == [1, 1 - len(bounced), 1]


@pytest.mark.parametrize("codes", [("451", "452"), ("554", "550"), ("451", "550")])
def test_c_rcpt_03_data_refused_by_all(scene, codes):
    """Where they agree the message need not come; where they do not, the ledger has to know which one it was."""
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(2)
    for sink, code in zip(sinks, codes):
        sink.fault({"data": f"{code} {code[0]}.3.0 {sink.host} no"})
    client = legacy(scene, tlsmend, sinks)
    first = client.turn()
    if codes[0][0] == codes[1][0]:
        assert first.data.code == {"4": 451, "5": 554}[codes[0][0]]
        assert all(s.host in first.data.text and s.domain.name in first.data.text for s in sinks)
    else:
        assert first.data.code == 354
    client.run(6)
    assert set(client.bounced) == {s.domain.address() for s, code in zip(sinks, codes) if code[0] == "5"}
    assert not client.delivered and not any(s.taken for s in sinks)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_c_rcpt_01_a_leg_that_dies_between_rcpt_and_data(scene, place):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(3)
    dead = sinks[place]
    dead.fault({"rcpt": Each(["250 2.1.5 ok", 0.05, CLOSE], "250 2.1.5 ok")})
    client = legacy(scene, tlsmend, sinks, pipelining=False)
    first = client.turn()
    assert {r.code for r in first.rcpt.values()} == {250} and first.data.code == 354
    assert [len(s.taken) for s in sinks if s is not dead] == [1, 1]
    client.run()
    assert set(client.delivered) == set(addresses(sinks)) and {len(s.taken) for s in sinks} == {1}


@pytest.mark.parametrize("legs", [1, 2, 3])
def test_c_in_04_a_bare_newline_gets_no_dot_at_any_leg(scene, legs):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(legs)
    c = greeted(scene, tlsmend)
    assert {r.code for r in c.pipeline([*envelope(addresses(sinks)), "DATA"])} == {250, 354}
    c.send(smtpc.message(body=b"x" * 70 + b"\n.\nMAIL FROM:<>\r\n") + b".\r\n")
    reply = c.reply()
    assert (reply.code, reply.text[:6]) == (550, "5.6.11")
    for sink in sinks:
        sink.wait_closed()
        assert not sink.dots() and sink.records[0].verbs().count("MAIL") == 1
    assert [r["reason"] for r in tlsmend.results(legs)] == ["bare-newline"] * legs
    assert not tlsmend.sql("SELECT 1 FROM ledger")
    assert c.cmd("NOOP").code == 250


@pytest.mark.parametrize("declared", [False, True], ids=["found", "declared"])
def test_c_in_07_a_message_larger_than_message_size_gets_no_dot_at_any_leg(scene, declared):
    farm, tlsmend = faults.prepared(scene, limits={"message_size": "20KiB"})
    sinks = farm.sinks(3)
    message = smtpc.message(body=(b"x" * 70 + b"\r\n") * 400)
    client = legacy(scene, tlsmend, sinks, message=message, size=False)
    if declared:
        c = greeted(scene, tlsmend)
        assert c.cmd(envelope([], f" SIZE={len(message)}")[0]).code == 552
        return
    client.turn()
    assert set(client.bounced) == set(addresses(sinks))
    assert {r.code for r in client.bounced.values()} == {552}
    for sink in sinks:
        sink.wait_closed()
        assert not sink.dots()


def test_c_rcpt_01_rset_in_the_middle_ends_all_legs_politely(scene):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(3)
    c = greeted(scene, tlsmend)
    c.pipeline(envelope(addresses(sinks)))
    assert c.cmd("RSET").code == 250
    for sink in sinks:
        wait_for(lambda s=sink: f"RSET at {s.host}", lambda s=sink: s.saw("RSET"))
        assert sink.records[0].verbs()[-1] == "RSET" and not sink.saw("DATA")
    assert [r["status"] for r in tlsmend.results(3)] == ["aborted"] * 3
    assert [r.code for r in c.pipeline(envelope(addresses(sinks)))] == [250] * 4
    assert c.data(smtpc.message()).code == 250 and {len(s.taken) for s in sinks} == {1}


# -- one reply for all -------------------------------------------------------------------------------------

def finals(scene, replies):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(len(replies))
    for sink, reply in zip(sinks, replies):
        if reply:
            sink.fault({"final": reply.encode() if "\r\n" in reply else reply})
    client = legacy(scene, tlsmend, sinks)
    reply = client.turn().final[sinks[0].domain.address()]
    return sinks, tlsmend, client, reply


def test_c_rcpt_03_one_leg_is_verbatim(scene):
    lines = "554-5.7.1 first line\r\n554-5.7.1   second;  line\r\n554 5.7.1 \xe4 end\r\n"
    _, _, _, reply = finals(scene, [lines])
    assert reply.code == 554 and reply.lines[:2] == ["5.7.1 first line", "5.7.1   second;  line"]


@pytest.mark.parametrize("said, code", [
    (["250 2.6.0 a", "250 2.6.0 b"], 250), ([None, "252 2.5.0 b", None], 250),
    (["452 4.3.1 a", "452 4.3.1 b"], 452), (["450 4.2.0 a", "452 4.3.1 b", "421 4.3.2 c"], 451),
    (["550 5.1.1 a", "550 5.1.1 b"], 550), (["550 5.1.1 a", "554 5.7.1 b"], 554)])
def test_c_rcpt_03_legs_that_agree_are_one_reply_with_a_line_for_each(scene, said, code):
    sinks, tlsmend, _, reply = finals(scene, said)
    assert reply.code == code
    for sink, words in zip(sinks, said):
        (line,) = [x for x in reply.lines if sink.domain.name + ":" in x]
        assert (words or f"250 2.0.0 taken by {sink.host}").partition(" ")[2] in line
    assert not tlsmend.sql("SELECT 1 FROM ledger")


@pytest.mark.parametrize("said", [[None, "451 4.3.0 b"], [None, "554 5.6.0 b"], ["451 4.3.0 a", "554 5.6.0 b"],
                                  [None, "451 4.3.0 b", "554 5.6.0 c"]])
def test_c_rcpt_03_legs_that_differ_are_451_and_the_ledger_knows(scene, said):
    sinks, tlsmend, client, reply = finals(scene, said)
    assert reply.code == 451 and reply.text.startswith("4.3.0")
    due = {s.domain.address(): {None: "delivered", "4": "deferred", "5": "refused"}[x and x[0]]
           for s, x in zip(sinks, said)}
    assert dict(tlsmend.sql("SELECT recipient, outcome FROM ledger")) == due
    results = tlsmend.results(len(sinks))
    told = {"deferred": 451, "refused": 554, "delivered": 250}
    for result in results:
        outcome = due[result["recipient"]]
        assert result["code"] == told[outcome] and result["in_ledger"] is True
        assert result.get("told", 451) == 451
        assert result["status"] == outcome.replace("refused", "rejected")
    assert set(client.left) == set(addresses(sinks))


# -- records ------------------------------------------------------------------------------------------------

def test_c_ops_04_one_result_for_each_recipient_and_one_attempt_for_each_session(scene):
    farm, tlsmend = faults.prepared(scene)
    sinks = farm.sinks(3)
    sinks[1].fault({"rcpt": lambda c: "550 5.1.1 no" if b"bad@" in c.line else "250 2.1.5 ok"})
    c = greeted(scene, tlsmend)
    to = [*addresses(sinks), *addresses(sinks, "bad")]
    assert [r.code for r in c.pipeline(envelope(to))] == [250, 250, 250, 250, 250, 550, 250]
    assert c.data(b"Received: from a by b with SMTP id 4cQueue; now\r\n" + smtpc.message()).code == 250
    c.cmd("QUIT")
    results, attempts = tlsmend.results(6), tlsmend.attempts(3)
    assert sorted(r["recipient"] for r in results) == sorted(to) and len(attempts) == 3
    (transaction,) = {r["transaction"] for r in results}
    leg_of = {r["recipient_domain"]: r["leg"] for r in attempts}
    assert len(set(leg_of.values())) == 3 and all(leg.startswith(transaction + "-") for leg in leg_of.values())
    for r in results:
        sink = next(s for s in sinks if s.domain.name == r["recipient_domain"])
        assert r["leg"] == leg_of[r["recipient_domain"]]
        assert r["mx"] == sink.host and r["address"] == sink.addresses[0]
        assert r["queue_id"] == "4cQueue"
        bad = r["recipient"] == sinks[1].domain.address("bad")
        assert (r["status"], r["code"]) == (("rejected", 550) if bad else ("delivered", 250))
    assert [len(s.records) for s in sinks] == [1, 1, 1]
