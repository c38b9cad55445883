# SPDX-License-Identifier: Apache-2.0
"""What depends on the client's habits: the code of a temporary failure at the final dot (client_profile), and whether it
has heard the answer (C-RCPT-04)."""

import socket
import threading

import pytest

from lab import smtpc
from lab.each import accepted, envelope, final, greeted, of_each, prepared, until, users
from lab.helpers import listener
from lab.legacy import GoneOnPurpose, Legacy
from lab.mixed import GREY, SPAM, a
from lab.process import wait_for

MESSAGE = smtpc.message(body=b"x" * 300 + b"\r\n")
BY_SENDMAIL = b"Received: from x (x [127.0.0.1]) by client.lab.example (8.17.1.9/8.17.1.9) with ESMTP id 5AMD4c\r\n" \
              b"\tfor <user@d.example>; Sun, 22 Nov 2026 13:00:00 GMT\r\n"


# -- client_profile ----------------------------------------------------------------------------------------

@pytest.mark.parametrize("profile, received, code", [
    (None, b"", 451), (None, BY_SENDMAIL, 452), ("auto", BY_SENDMAIL, 452), ("sendmail", b"", 452),
    ("postfix", BY_SENDMAIL, 451), ("exim", BY_SENDMAIL, 451), ("plain", BY_SENDMAIL, 451)],
    ids=lambda x: ("by-sendmail" if x else "unknown") if isinstance(x, bytes) else x or "default")
def test_design_7_client_profile_at_the_final_dot(scene, profile, received, code):
    """Sendmail takes every 4yz but 452 there for trouble of the whole host: from the MX, of two legs that differ, and
    where the message is lost; the words stay.  Before the dot nothing changes, and 5yz stays."""
    row = listener(**({"client_profile": profile} if profile else {}))
    farm, tlsmend = prepared(scene, listeners=[row, listener("local", 2526, protocol="lmtp")])
    good, later, bad = farm.sinks(3)
    later.fault({"final": GREY})
    bad.fault({"final": SPAM, "rcpt": lambda c: "450 4.2.0 busy" if b"<busy@" in c.line else "250 2.1.5 ok"})
    c = greeted(scene, tlsmend, "smtp")
    heard = []
    for sinks in ([later], [good, later], [bad], [good]):
        accepted(c, users(sinks), "smtp")
        heard += final(c, received + MESSAGE, 1, "smtp")
    assert [r.code for r in heard] == [code, code, 554, 250]
    assert heard[0].text == GREY[4:] and heard[1].text.startswith("4.3.0 ")
    assert [r.code for r in c.pipeline(envelope([bad.domain.address("busy")], "smtp"))] == [250, 450]
    assert {r["code"] for r in tlsmend.results(recipient=a(later))} == {451}, "what its MX said"


@pytest.mark.parametrize("protocol", ["lmtp", "prdr"])
def test_design_7_client_profile_leaves_replies_for_each_alone(scene, protocol):
    rows = [listener(client_profile="sendmail"), listener("local", 2526, protocol="lmtp", client_profile="sendmail")]
    farm, tlsmend = prepared(scene, listeners=rows)
    sinks = farm.sinks(2)
    for sink in sinks:
        sink.fault({"final": GREY})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users(sinks), protocol)
    assert [str(r) for r in of_each(final(c, MESSAGE, 2, protocol), protocol)] == [GREY, GREY]


# -- has it heard the answer? ------------------------------------------------------------------------------

@pytest.mark.parametrize("protocol", ["smtp", "lmtp", "prdr"])
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "gone"])
def test_c_rcpt_04_quit_sent_along_and_the_sending_side_closed(scene, protocol, reads):
    """As Exim does with its last message.  It has heard the replies if it was there to read them, and then the ledger has
    nothing of it; else it has."""
    farm, tlsmend = prepared(scene)
    sinks, go = farm.sinks(2), threading.Event()
    for sink in sinks:
        sink.fault({"final": [until(go), sink.replies_honestly]})
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users(sinks), protocol)
    assert c.cmd("DATA").code == 354
    c.send(MESSAGE + b".\r\nQUIT\r\n")
    if reads:
        c.sock.shutdown(socket.SHUT_WR)
    else:
        c.close()
    for sink in sinks:
        wait_for("the dot", lambda s=sink: s.dots() == 1)
    go.set()
    if reads:
        heard = [c.reply().code for _ in range({"smtp": 1, "lmtp": 2, "prdr": 4}[protocol] + 1)]
        assert heard[-1] == 221 and set(heard[:-1]) <= {250, 353}
    results = tlsmend.results(2, status="delivered")
    assert [r.get("in_ledger", False) for r in results] == [not reads] * 2
    due = [] if reads else [(a(s), 1) for s in sinks]
    wait_for(lambda: f"entries {due}: {tlsmend.sql('SELECT recipient, untold FROM ledger')}",
             lambda: sorted(tlsmend.sql("SELECT recipient, untold FROM ledger")) == sorted(due))


@pytest.mark.parametrize("size, limit, twice", [(2000, "1MiB", False), (2000, "1KiB", True), (2000, "0B", True)])
def test_c_rcpt_04_digest_single(scene, size, limit, twice):
    """Messages with one destination are known again up to that size; beyond it a client that was gone sends twice."""
    farm, tlsmend = prepared(scene, ledger={"digest_single": limit})
    (sink,), gone = farm.sinks(1), threading.Event()
    sink.fault({"final": [until(gone), 0.2, sink.replies_honestly]})

    def leave(c, round_):
        if round_ == 1:
            c.close()
            gone.set()
            raise GoneOnPurpose
    client = Legacy(tlsmend, scene.net.client, [a(sink)], smtpc.message(body=b"x" * 70 + b"\r\n" * (size // 2)),
                    after_dot=leave)
    client.turn()
    tlsmend.results(recipient=a(sink))
    client.run()
    assert not client.left and len(sink.taken) == 1 + twice


@pytest.mark.parametrize("protocol, last", [("smtp", 1), ("lmtp", 2), ("prdr", 4)])
@pytest.mark.parametrize("reads", [True, False], ids=["reads", "does-not-read"])
def test_c_rcpt_04_closed_without_quit_behind_the_answer(scene, protocol, last, reads):
    """The answer is there.  Closing a socket with bytes that were not read is a reset, and then it was not heard."""
    farm, tlsmend = prepared(scene)
    sinks = farm.sinks(2)
    c = greeted(scene, tlsmend, protocol)
    accepted(c, users(sinks), protocol)
    assert c.cmd("DATA").code == 354
    c.send(MESSAGE + b".\r\n")
    assert c.sock.recv(1, socket.MSG_PEEK)
    tlsmend.results(2, status="delivered")
    if reads:
        assert [c.reply().code for _ in range(last)][-1] == 250
    c.close()
    tlsmend.wait_records("session", helo="legacy.client.lab.example")
    due = [] if reads else [(a(s), 1) for s in sinks]
    wait_for(lambda: f"entries {due}: {tlsmend.sql('SELECT recipient, untold FROM ledger')}",
             lambda: sorted(tlsmend.sql("SELECT recipient, untold FROM ledger")) == sorted(due))
    Legacy(tlsmend, scene.net.client, users(sinks), MESSAGE).run(1)
    assert [len(s.taken) for s in sinks] == [2 if reads else 1] * 2
