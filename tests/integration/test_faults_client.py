# SPDX-License-Identifier: Apache-2.0
"""Faults of the client over legs (C-RCPT-05): it goes at the worst moments, and comes back with the same message."""

import socket
import struct

import pytest

from lab import faults, smtpc
from lab.helpers import SLOW, listener
from lab.hostile import Each
from lab.legacy import GoneOnPurpose, Legacy
from lab.process import wait_for


def go(reset):
    """A hook that ends the connection in the first round."""
    def hook(c, round_):
        if round_ == 1:
            if reset:
                c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            c.close()
            raise GoneOnPurpose
    return hook


def late(sink):
    """Its 250 comes when the client is gone."""
    sink.fault({"final": [0.5, sink.replies_honestly]})


def prepared(scene, legs, *, settings=None, **options):
    farm, tlsmend = faults.prepared(scene, **(settings or {}))
    sinks = farm.sinks(legs)
    client = Legacy(tlsmend, scene.net.client, [s.domain.address() for s in sinks],
                    smtpc.message(subject=sinks[0].host, body=b"x" * 600 + b"\r\n"), **options)
    return tlsmend, sinks, client


def entries(tlsmend, count, outcome="delivered"):
    """Until so many entries are on the disk; their recipients."""
    wait_for(lambda: f"{count} entries in the ledger\n{tlsmend.tail()}",
             lambda: len(tlsmend.sql("SELECT recipient FROM ledger WHERE outcome = ?", outcome)) >= count)
    return {r for (r,) in tlsmend.sql("SELECT recipient FROM ledger WHERE outcome = ?", outcome)}


def empty(tlsmend):
    wait_for(lambda: f"an empty ledger: {tlsmend.sql('SELECT * FROM ledger')}",
             lambda: not tlsmend.sql("SELECT 1 FROM ledger"))


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("legs", [1, 2, 3])
def test_c_rcpt_05_gone_after_the_dot_while_the_mx_says_250(scene, legs, reset):
    tlsmend, sinks, client = prepared(scene, legs, after_dot=go(reset))
    for sink in sinks:
        late(sink)
    client.turn()
    assert entries(tlsmend, legs) == set(client.left)
    assert tlsmend.sql("SELECT DISTINCT untold FROM ledger") == [(1,)]
    client.run()
    assert len(client.rounds) == 2, client.rounds
    again = client.rounds[1]
    assert {r.code for r in (*again.rcpt.values(), *again.final.values())} == {250}, str(again)
    for sink in sinks:
        assert len(sink.taken) == 1 and sink.dots() == 1, sink.records
        assert sink.host in again.final[sink.domain.address()].text or legs > 1
    assert not client.complaints
    empty(tlsmend)


@pytest.mark.parametrize("protocol", ["lmtp", "prdr"])
def test_c_rcpt_05_gone_after_the_dot_with_a_reply_for_each(scene, protocol):
    """Those whose reply came before it went are told; nobody gets the message again either way."""
    listeners = [listener(protocol="lmtp" if protocol == "lmtp" else "smtp")]
    tlsmend, sinks, client = prepared(scene, 3, after_dot=go(False), protocol=protocol,
                                      settings={"listeners": listeners})
    for sink in sinks:
        late(sink)
    client.turn()
    assert entries(tlsmend, 3) == set(client.left)
    client.run()
    assert len(client.delivered) == 3 and [len(s.taken) for s in sinks] == [1, 1, 1] and not client.complaints
    empty(tlsmend)


@pytest.mark.parametrize("legs", [1, 3])
def test_c_rcpt_05_gone_with_the_dot_and_the_mx_answers_at_once(scene, legs):
    """The reply is written into a connection that nobody reads any more: that is not told.  The first time, and
    again when the message is known already and no MX is waited for."""
    farm, tlsmend = faults.prepared(scene)
    hook, clients = go(False), []
    for _ in range(10):
        sinks = farm.sinks(legs)
        clients.append((sinks, Legacy(
            tlsmend, scene.net.client, [s.domain.address() for s in sinks], smtpc.message(subject=sinks[0].host),
            after_dot=lambda c, n: n > 2 or hook(c, 1))))
    for n in (1, 2):
        for sinks, client in clients:
            client.turn()
        # A real one comes back in minutes.
        wait_for("the results", lambda n=n: len(tlsmend.records("result")) >= 10 * legs * n)
    faults.at_once(clients, lambda pair: pair[1].run())
    twice = [[len(s.taken) for s in sinks] for sinks, _ in clients if {len(s.taken) for s in sinks} != {1}]
    assert not twice, f"{len(twice)} of {len(clients)} messages went out again: {twice}"
    assert not any(client.left for _, client in clients)


def test_c_rcpt_05_gone_after_the_dot_with_mixed_results(scene):
    """What was delivered is remembered; the others are asked again, and their MXs answer."""
    tlsmend, (good, bad, slow), client = prepared(scene, 3, after_dot=go(False))
    late(good)
    bad.fault({"final": [0.3, "554 5.7.9 spam"]})
    slow.fault({"final": Each([0.4, "451 4.7.1 later"], slow.replies_honestly)})
    client.turn()
    assert entries(tlsmend, 1) == {good.domain.address()}
    client.run()
    assert good.count(good.domain.address()) == 1 and good.dots() == 1
    assert slow.count(slow.domain.address()) == 1
    assert set(client.bounced) == {bad.domain.address()} and not bad.taken
    assert "spam" in client.bounced[bad.domain.address()].text
    assert not client.complaints


@pytest.mark.parametrize("reset", [False, True], ids=["close", "reset"])
@pytest.mark.parametrize("legs", [1, 2, 3])
def test_c_rcpt_05_gone_in_the_body_delivers_nothing(scene, legs, reset):
    tlsmend, sinks, client = prepared(scene, legs)
    hook = go(reset)
    client.in_body = lambda round_: hook(client.connection, round_)
    client.turn()
    for sink in sinks:
        sink.wait_closed()
        assert not sink.dots() and not sink.taken
    results = tlsmend.results(legs)
    assert {r["status"] for r in results} == {"aborted"} and len(results) == legs
    assert not tlsmend.sql("SELECT 1 FROM ledger")
    client.run()
    assert set(client.delivered) == {s.domain.address() for s in sinks}
    assert all(len(s.taken) == 1 for s in sinks)


def test_c_rcpt_05_gone_after_the_dot_and_an_mx_that_is_gone_too(scene):
    """Nobody knows what the second MX did: maybe-delivered, and it gets the message again."""
    tlsmend, (good, doubtful), client = prepared(scene, 2, after_dot=go(False))
    late(good)
    doubtful.fault({"final": Each([lambda c: doubtful.take(c, "cut"), None],
                                  doubtful.replies_honestly)})
    client.turn()
    entries(tlsmend, 1)
    (doubt,) = tlsmend.wait_records("result", status="maybe-delivered", timeout=10 * SLOW)
    assert doubt["recipient"] == doubtful.domain.address()
    client.run()
    assert len(good.taken) == 1 and [t.how for t in doubtful.taken] == ["cut", "told"]
    assert len(client.delivered) == 2


def test_c_rcpt_05_gone_after_the_dot_and_another_message_is_sent(scene):
    """C-RCPT-06: what is in the ledger of the first one does not hold back the second."""
    tlsmend, (sink,), client = prepared(scene, 1, after_dot=go(False))
    late(sink)
    client.turn()
    entries(tlsmend, 1)
    first, client.message = client.message, client.message.replace(b"x" * 600, b"y" * 600)
    assert len(first) == len(client.message)
    client.run()
    assert [t.data for t in sink.taken] == [first, client.message]
    again = Legacy(tlsmend, scene.net.client, [sink.domain.address()], first).run()
    assert again.delivered and len(sink.taken) == 2
