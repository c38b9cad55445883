# SPDX-License-Identifier: Apache-2.0
"""Mixed results over plain SMTP and the retry (C-RCPT-03, 04, 06): nobody gets the message twice, nobody is told
what was not so, and another message is another message."""

import concurrent.futures
import threading

import pytest

from lab import smtpc
from lab.hostile import CLOSE, Each
from lab.legacy import Legacy
from lab.mixed import GREY, SPAM, Mixed, a
from lab.process import wait_for


def words(reply):
    return reply[4:]


# -- the first time ------------------------------------------------------------------------------------------

def test_c_rcpt_03_the_entries_are_on_the_disk_when_the_451_comes(scene):
    m = Mixed(scene, ident="4cId1", size=True)
    turn = m.first()
    assert m.entries() == m.due_entries()
    assert m.entries(untold=0, ident="4cId1", size=len(m.message), client="127.0.0.1",
                     helo="legacy.client.lab.example") == m.due_entries()
    reply = turn.final[a(m.good)]
    assert reply.text.startswith("4.3.0 ") and words(SPAM) in reply.text and words(GREY) in reply.text
    kept = m.tlsmend.wait_records("ledger", state="kept")
    assert len(kept) == 1 and kept[0]["entries"] == 3


@pytest.mark.parametrize("protocol", ["lmtp", "prdr"])
def test_c_rcpt_02_clients_with_a_reply_for_each_recipient_need_no_ledger(scene, protocol):
    listeners = [{"name": "l", "protocol": "lmtp" if protocol == "lmtp" else "smtp", "address": "127.0.0.1",
                  "port": 2525}]
    m = Mixed(scene, settings={"listeners": listeners}, protocol=protocol)
    turn = m.client.turn()
    assert [turn.final[a(s)].code for s in m.sinks] == [250, 554, 451]
    assert [turn.final[a(s)].text for s in m.sinks] == [f"2.0.0 taken by {m.good.host}", words(SPAM), words(GREY)]
    assert not m.entries()
    if protocol == "prdr":
        assert turn.overall.code == 250


# -- the retry: delivered ------------------------------------------------------------------------------------

def test_c_rcpt_04_delivered_before_is_not_delivered_again(scene):
    m = Mixed(scene)
    m.first()
    m.later.heal()
    m.client.run()
    assert set(m.client.delivered) == {a(m.good), a(m.later)} and set(m.client.bounced) == {a(m.bad)}
    assert len(m.good.taken) == m.good.dots() == 1
    (cut,) = m.good.cut()
    assert cut.recipients and m.good.records[-1].verbs()[-1] == "DATA", "fed, and cut without the dot"
    (again,) = m.tlsmend.results(reason="already-delivered")
    assert (again["recipient"], again["status"], again["code"]) == (a(m.good), "delivered", 250)
    assert f"taken by {m.good.host}" in again["reply"]
    m.until_empty()


DEAD = {"refused": None, "greeting": {"greeting": "554 5.3.2 no service"}, "mail": {"mail": "451 4.3.0 not now"},
        "rcpt": {"rcpt": "550 5.1.1 moved away"}, "data": {"data": "554 5.0.0 no"}, "body": {"body": CLOSE},
        "421": {"rcpt": ["421 4.3.2 bye", CLOSE]}}


@pytest.mark.parametrize("how", DEAD)
def test_c_rcpt_04_delivered_before_is_250_whatever_the_mx_says_now(scene, how):
    m = Mixed(scene, order="good later bad")
    m.first()
    m.heal()
    if how == "refused":
        m.good.shut()
    else:
        m.good.fault(DEAD[how])
    turn = m.client.turn()
    assert turn.rcpt[a(m.good)].code == 250
    m.client.run()
    assert a(m.good) in m.client.delivered and len(m.good.taken) == 1
    assert len(m.later.taken) == 1 and not m.client.left
    m.until_empty()


def test_c_rcpt_04_delivered_before_and_named_alone(scene):
    """One destination: the MX's recorded reply is the final one, verbatim."""
    m = Mixed(scene)
    m.first()
    again = m.legacy(recipients=[a(m.good)]).run(1)
    assert again.delivered[a(m.good)].text == f"2.0.0 taken by {m.good.host}"
    assert len(m.good.taken) == 1
    wait_for("the entry to go", lambda: set(m.entries()) == {a(m.bad), a(m.later)})


def test_c_rcpt_04_the_domain_in_other_letters_is_the_same_recipient(scene):
    m = Mixed(scene)
    m.first()
    again = m.legacy(recipients=["user@" + m.good.domain.name.upper()]).run(1)
    assert again.delivered and len(m.good.taken) == 1


def test_c_rcpt_04_the_local_part_in_other_letters_is_another_recipient(scene):
    m = Mixed(scene)
    m.first()
    again = m.legacy(recipients=[a(m.good, "USER")]).run(1)
    assert again.delivered and len(m.good.taken) == 2


@pytest.mark.parametrize("sender", ["", '"odd sender"@client.lab.example'])
def test_c_rcpt_04_senders_of_every_kind(scene, sender):
    m = Mixed(scene, sender=sender)
    m.first()
    m.heal()
    m.client.run()
    assert not m.client.left and len(m.good.taken) == 1 and len(m.later.taken) == 1


def test_c_rcpt_04_mixed_again_and_again(scene):
    """What is delivered stays delivered, and is told when the second mixed answer has made the other stand back."""
    m = Mixed(scene, order="good later bad", size=True)
    m.later.fault({"final": Each(*[f"451 4.7.1 later says wait {i}" for i in range(4)], m.later.replies_honestly)})
    m.client.run(10)
    assert len(m.client.rounds) == 6
    assert a(m.good) in m.client.rounds[2].final and a(m.good) not in m.client.rounds[3].recipients
    assert set(m.client.delivered) == {a(m.good), a(m.later)} and set(m.client.bounced) == {a(m.bad)}
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.client.complaints
    m.until_empty()


# -- the retry: refused --------------------------------------------------------------------------------------

@pytest.mark.parametrize("options", [{"size": True}, {"ident": "4cId2"}, {"size": True, "pipelining": False}],
                         ids=["size", "ident", "one-by-one"])
def test_c_rcpt_04_refused_before_is_told_at_rcpt_in_its_own_words(scene, options):
    """Another recipient of the group was named before it, and the size is the same; or it is the same queue id."""
    m = Mixed(scene, **options)
    m.first()
    turn = m.client.turn()
    assert (turn.rcpt[a(m.bad)].code, turn.rcpt[a(m.bad)].text) == (554, words(SPAM))
    assert len(m.bad.records) == 1, "it was not asked again"
    result = m.tlsmend.result(reason="refused-before")
    assert (result["recipient"], result["status"], result["origin"]) == (a(m.bad), "rejected", "mx")
    wait_for("the entry to go", lambda: a(m.bad) not in m.entries())


def test_c_rcpt_04_refused_before_and_the_same_queue_id_is_proof_alone(scene):
    m = Mixed(scene, order="bad good later", ident="4cId3")
    m.first()
    turn = m.client.turn()
    assert turn.rcpt[a(m.bad)].text == words(SPAM) and turn.rcpt[a(m.good)].code == 250
    m.later.heal()
    m.client.run()
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.client.left


def test_c_rcpt_04_refused_before_and_no_sign_is_asked_alone(scene):
    """The first that is named: nobody of its group stands before it.  Its MX answers for itself."""
    m = Mixed(scene, order="bad good later", size=True)
    m.first()
    m.later.heal()
    turn = m.client.turn()
    assert turn.rcpt[a(m.bad)].code == 250 and turn.rcpt[a(m.good)].code == 451
    assert m.tlsmend.results(2, reason="asked-alone")
    assert set(m.client.bounced) == {a(m.bad)} and m.client.bounced[a(m.bad)].text == words(SPAM)
    m.client.run()
    assert len(m.client.rounds) <= 4 and not m.client.left
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.bad.taken
    m.until_empty()


def test_c_rcpt_06_without_a_declared_size_the_group_is_no_sign(scene):
    """All messages to the same people look alike then."""
    m = Mixed(scene)
    m.first()
    m.later.heal()
    turn = m.client.turn()
    assert (turn.rcpt[a(m.bad)].code, turn.rcpt[a(m.good)].code) == (451, 250)
    m.client.run()
    assert m.client.bounced[a(m.bad)].text == words(SPAM) and m.bad.asked() == 2
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.client.left


def test_c_rcpt_04_asked_alone_ends_in_a_delivery_where_the_mx_takes_it_now(scene):
    m = Mixed(scene, order="bad later good")
    m.first()
    m.heal()
    m.client.run()
    assert not m.client.left and set(m.client.delivered) == {a(s) for s in m.sinks}
    assert [len(s.taken) for s in m.sinks] == [1, 1, 1]
    m.until_empty()


@pytest.mark.parametrize("refused", ["bad", "later bad"], ids=["one", "two"])
def test_c_rcpt_04_asked_alone_is_not_for_ever(scene, refused):
    """Others in the queue are deferred at the dot for days: who has to be asked alone gets a turn all the same, and
    hears the truth."""
    m = Mixed(scene, order=f"good {refused}" if " " in refused else "good later bad")
    m.good.fault({"final": "452 4.2.2 mailbox full"})
    if refused != "bad":
        m.later.fault({"final": "554 5.7.1 later says this is spam too"})
    m.client.run(10)
    assert set(m.client.bounced) >= {a(getattr(m, name)) for name in refused.split()}, m.client.rounds[-1]


def test_c_rcpt_04_queue_ids_as_the_only_proof(scene):
    """ledger.refusals = "queue-id": the envelope tells nothing, a queue id does."""
    m = Mixed(scene, settings={"ledger": {"refusals": "queue-id"}})
    m.first()
    turn = m.client.turn()
    assert turn.rcpt[a(m.good)].code == 250 and turn.rcpt[a(m.bad)].code == 451
    m.heal()
    m.client.run()
    assert [len(s.taken) for s in m.sinks] == [1, 1, 1] and not m.client.left


@pytest.mark.parametrize("before, after", [({"size": True}, {"size": True}), ({"ident": "4cA"}, {"ident": "4cB"}),
                                           ({}, {"size": True})], ids=["other-size", "other-ident", "size-or-none"])
def test_c_rcpt_06_signs_that_speak_against_it_let_it_through(scene, before, after):
    m = Mixed(scene, **before)
    m.first()
    m.heal()
    other = m.legacy(message=m.message.replace(b"x" * 500, b"y" * 501), **after).run(1)
    assert set(other.delivered) == {a(s) for s in m.sinks}
    assert m.good.taken[1].data == other.message and len(m.bad.taken) == 1
    m.client.run()
    assert m.client.bounced.keys() | m.client.delivered.keys() == {a(s) for s in m.sinks}
    assert [t.data for t in m.good.taken] == [m.message, other.message]


# -- another message -----------------------------------------------------------------------------------------

@pytest.mark.parametrize("length", [500, 700], ids=["same-length", "other-length"])
@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with-others"])
def test_c_rcpt_06_another_message_before_the_retry_is_delivered(scene, length, alone):
    m = Mixed(scene)
    m.first()
    m.later.heal()
    to = [a(m.good)] if alone else [a(m.good), a(m.later)]
    other = m.legacy(recipients=to, message=m.message.replace(b"x" * 500, b"y" * length)).run(1)
    assert set(other.delivered) == set(to)
    assert [t.data for t in m.good.taken] == [m.message, other.message]
    assert m.entries()[a(m.good)] == "delivered", "the entry of the first one stays for its retry"
    m.client.run()
    assert [t.data for t in m.good.taken] == [m.message, other.message] and not m.client.left
    assert len(m.later.taken) == (1 if alone else 2)
    m.until_empty()


def test_c_rcpt_06_another_message_to_the_same_group_with_another_queue_id(scene):
    """The refusal of the first one is not told to it."""
    m = Mixed(scene, ident="4cId4", size=True)
    m.first()
    m.heal()
    other = m.legacy(message=m.message.replace(b"x" * 500, b"y" * 500), ident="4cId5", size=True).run(1)
    assert set(other.delivered) == {a(s) for s in m.sinks}
    turn = m.client.turn()
    assert turn.rcpt[a(m.bad)].text == words(SPAM)
    assert [len(s.taken) for s in m.sinks] == [2, 1, 2]


def test_c_rcpt_04_a_refusal_that_was_told_to_another_message_is_said(scene):
    """The signs can be wrong: same client, sender, group and size.  It is in the log, with the mend."""
    m = Mixed(scene, size=True)
    m.first()
    m.heal()
    other = m.legacy(message=m.message.replace(b"x" * 500, b"y" * 500), size=True).run(1)
    if a(m.bad) in other.bounced:
        (record,) = m.tlsmend.wait_records("ledger", state="mistaken")
        assert "queue-id" in record["hint"] and record["recipient_domain"] == m.bad.domain.name
    assert {a(m.good), a(m.later)} <= set(other.delivered)


def test_c_rcpt_06_two_messages_with_mixed_results_at_the_same_time(scene):
    """Same sender, recipients and length; the retries come in the other order."""
    m = Mixed(scene, order="good later bad")
    m.first()
    second = m.legacy(message=m.message.replace(b"x" * 500, b"y" * 500))
    second.turn()
    m.later.heal()
    second.run()
    m.client.run()
    for client in (m.client, second):
        assert set(client.delivered) == {a(m.good), a(m.later)} and set(client.bounced) == {a(m.bad)}
    assert sorted(t.data for t in m.good.taken) == sorted([m.message, second.message])
    assert sorted(t.data for t in m.later.taken) == sorted([m.message, second.message])
    m.until_empty()


# -- two sessions with one message ---------------------------------------------------------------------------

def turns(*clients):
    with concurrent.futures.ThreadPoolExecutor(len(clients)) as pool:
        for future in [pool.submit(client.turn) for client in clients]:
            future.result()


def test_c_rcpt_04_two_sessions_with_the_same_retry_at_the_same_time(scene):
    """Neither delivers again, both hear 250: a client that was too impatient with its own queue."""
    m = Mixed(scene, order="good later bad")
    m.first()
    clients = [m.legacy(recipients=[a(m.good), a(m.later)]) for _ in range(2)]
    meet = threading.Barrier(2)
    for client in clients:
        client.in_body = lambda _: meet.wait(20)
    m.later.heal()
    turns(*clients)
    assert len(m.good.taken) == 1, "both came when the entry was there"
    assert all({r.code for r in c.rounds[0].final.values()} == {250} for c in clients)
    assert len(m.later.taken) == 2, "this one was not delivered before: both are first ones"


def test_c_rcpt_04_two_sessions_with_the_same_message_before_anything_is_known(scene):
    """The same bytes twice in a client's queue, which no real one has (its queue id stands in the message).  Both
    go out, as two messages would, and each session is told what became of its own.  They have one entry between
    them: the first retry uses it up, so the second may deliver once more, and never loses anything."""
    m = Mixed(scene, order="good later bad")
    m.later.fault({"final": Each([0.3, GREY], [0.3, GREY], m.later.replies_honestly)})
    clients = [m.client, m.legacy()]
    meet = threading.Barrier(2)
    for client in clients:
        client.in_body = lambda _, first=client: len(first.rounds) == 1 and meet.wait(20)
    turns(*clients)
    assert len(m.good.taken) == 2
    assert all({r.code for r in c.rounds[0].final.values()} == {451} for c in clients)
    for client in clients:
        client.run()
        assert not client.left and {a(m.good), a(m.later)} == set(client.delivered)
        assert a(m.bad) in client.bounced
    assert len(m.good.taken) <= 3 and 1 <= len(m.later.taken) <= 2 and not m.bad.taken
    m.until_empty()


# -- time ----------------------------------------------------------------------------------------------------

def test_c_rcpt_04_an_entry_lives_as_long_as_it_is_set_to(scene):
    m = Mixed(scene, settings={"clock": "wall", "ledger": {"keep": "2h"}}, order="good later bad")
    m.first()
    m.tlsmend.clock.turn("+1h")
    m.client.turn()
    assert len(m.good.taken) == 1, "an hour later it is there"
    m.tlsmend.clock.turn("+4h")   # later has entries of the second turn, of an hour
    m.heal()
    m.client.run()
    assert len(m.good.taken) == 2 and not m.client.left
    assert {len(m.later.taken), len(m.bad.taken)} == {1}, "nothing is left of the refusal"


def test_c_rcpt_04_entries_survive_a_restart(scene):
    m = Mixed(scene)
    m.first()
    m.tlsmend.restart()
    m.later.heal()
    m.client.run()
    assert set(m.client.bounced) == {a(m.bad)} and m.client.bounced[a(m.bad)].text == words(SPAM)
    assert len(m.good.taken) == len(m.later.taken) == 1 and not m.client.left


def test_c_rcpt_04_a_message_that_the_client_changed_is_another_message(scene):
    """The client knows best: nothing is held back by likeness."""
    m = Mixed(scene)
    m.first()
    m.later.heal()
    m.client.message = b"X-Filter: 1\r\n" + m.client.message
    m.client.run()
    assert [t.data for t in m.good.taken] == [m.message, m.client.message]


def test_c_rcpt_04_a_client_that_sends_no_dot_is_told_nothing_and_the_entries_stay(scene):
    m = Mixed(scene)
    m.first()
    before = m.entries()
    c = scene.client(m.tlsmend)
    c.ehlo("legacy.client.lab.example")
    assert c.pipeline([f"MAIL FROM:<{m.client.sender}>", f"RCPT TO:<{a(m.good)}>", "DATA"])[2].code == 354
    c.send(smtpc.stuff(m.message))
    c.close()
    m.tlsmend.results(1, status="aborted")
    assert m.entries() == before and len(m.good.taken) == 1
    assert Legacy(m.tlsmend, scene.net.client, [a(m.good)], m.message).run(1).delivered
    assert len(m.good.taken) == 1
