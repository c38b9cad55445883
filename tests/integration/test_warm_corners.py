# SPDX-License-Identifier: Apache-2.0
"""Corners of connections between mails and of DATA ahead (C-OUT-08, C-OUT-09, RFC 2920 3.1): what keeps the client's own
DATA waiting, and a connection of which the MX has said that it should have TLS."""

import time

from lab import smtpc
from lab.helpers import SENDER, SLOW
from lab.hostile import Each
from lab.mixed import SPAM, Mixed, a
from lab.process import wait_for
from lab.warm import deliver, peer, send, solo, wait_verb

PEOPLE = 100
LONG = (b"250-2.1.5 " + b"x" * 110 + b"\r\n") * 480 + b"250 2.1.5 ok\r\n"


def wordy(c):
    """A conversation by hand: all that there is to say, at once and at length."""
    c.send("220 hand made")
    c.read_line()
    c.send("250-hand\r\n250-STARTTLS\r\n250 PIPELINING")
    c.read_line()
    c.send("220 go")
    c.start_tls()
    c.read_line()
    c.send("250-hand\r\n250 PIPELINING")
    while c.read_line() != b"DATA":
        pass
    c.send(b"250 2.1.0 ok\r\n" + LONG * PEOPLE + b"354 go on\r\n")
    while c.read_line() != b".":
        pass
    c.send("250 2.0.0 taken")


def test_c_out_09_the_354_comes_before_the_clients_turn(scene):
    """It reads no replies, so its DATA is not looked at yet when the MX has answered the one that went ahead."""
    domain, tlsmend = scene.domain(), solo(scene)
    peer(scene, domain, behave=wordy)
    with scene.client(tlsmend) as c:
        c.ehlo()
        lines = [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{domain.address(f'u{i}')}>" for i in range(PEOPLE)), "DATA"]
        c.send("".join(f"{line}\r\n" for line in lines).encode())
        time.sleep(1 * SLOW)
        assert [c.reply().code for _ in lines] == [250] * (PEOPLE + 1) + [354]
        c.send(smtpc.message() + b".\r\n")
        assert c.reply().code == 250
    assert len(tlsmend.results(PEOPLE)) == PEOPLE


def test_c_out_08_no_data_ahead_while_somebody_waits_to_be_asked_alone(scene):
    """Whether the transaction is that one's is not known before the others are answered."""
    m = Mixed(scene, order="good bad")
    m.first()
    other = scene.domain()
    mx = peer(scene, other, replies={"rcpt": "550 5.1.1 no"})
    with scene.client(m.tlsmend) as c:
        c.ehlo("legacy.client.lab.example")   # as in the first round
        lines = [f"MAIL FROM:<{m.client.sender}>", f"RCPT TO:<{other.address()}>", f"RCPT TO:<{a(m.bad)}>", "DATA"]
        assert [r.code for r in c.pipeline(lines)] == [250, 550, 250, 354]
        c.send(m.message + b".\r\n")
        assert str(c.reply()) == SPAM
    assert not mx.saw("DATA")


def test_c_tls_11_a_connection_whose_mx_wants_tls_serves_nobody(scene):
    """It should never have been in clear: the next mail looks for STARTTLS anew."""
    domain, tlsmend = scene.domain(), solo(scene, tls={"level": "may"})
    mx = peer(scene, domain, tls=False, replies={"data": Each("530 5.7.0 Must issue a STARTTLS command first", "354 go on")})
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempt["reason"] == "tls-required-by-mx", sent
    assert "reused" not in deliver(scene, tlsmend, domain)
    assert len(mx.records) == 2


def test_c_out_08_no_quit_behind_a_data_that_is_not_answered(scene):
    """The MX took nobody and may take what follows for the message.  Another mail needs the room: it is cut."""
    domain, tlsmend = scene.domain(), solo(scene, pool={"per_host": 1})
    mx = peer(scene, domain, replies={"rcpt": lambda c: "550 5.1.1 no" if b"nobody" in c.line else "250 ok",
                                      "data": Each([3 * SLOW, "354 go on"], "354 go on")})
    with scene.client(tlsmend) as c:
        c.ehlo()
        lines = [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{domain.address('nobody')}>", "DATA"]
        assert [r.code for r in c.pipeline(lines)] == [250, 550, 554]
    wait_verb(mx, "DATA")
    assert "reused" not in deliver(scene, tlsmend, domain)
    wait_for("its end", lambda: not mx.records[0].open, 10 * SLOW)
    assert bytes(mx.records[0].inside).endswith(b"DATA\r\n") and len(mx.mails) == 1
