# SPDX-License-Identifier: Apache-2.0
"""One round trip (RFC 2920 3.1, C-OUT-08, C-OUT-09): where the client has pipelined DATA, MAIL, RCPT and DATA leave for
the MX in one flight; what that may never do is to leave a message at an MX that took nobody."""

import socket
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER
from lab.hostile import CLOSE, RESET, Each, HostileMx
from lab.process import wait_for
from lab.warm import deliver, peer, solo, verbs, wait_verb

PLAIN = ["SIZE 104857600", "STARTTLS", "8BITMIME"]    # no PIPELINING
MAIL = ["MAIL", "RCPT", "DATA"]


def greeted(scene, tlsmend):
    c = scene.client(tlsmend)
    c.ehlo()
    return c


def commands(*recipients):
    return [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"]


def finish(c, code=250, message=None):
    """The message and its dot, behind the 354."""
    c.send(smtpc.stuff(message or smtpc.message()) + b".\r\n")
    reply = c.reply()
    assert reply.code == code, reply
    return reply


def codes(replies):
    return [r.code for r in replies]


@pytest.mark.parametrize("temperature", ["fresh", "warm"])
def test_c_out_08_mail_rcpt_and_data_in_one_flight(scene, temperature):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    if temperature == "warm":
        deliver(scene, tlsmend, domain)
    c = greeted(scene, tlsmend)
    before = len(mx.records[0].pieces) if mx.records else 0
    assert codes(c.pipeline(commands(domain.address(), domain.address("b")))) == [250, 250, 250, 354]
    finish(c)
    (record,) = mx.records
    flight = f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{domain.address()}>\r\nRCPT TO:<{domain.address('b')}>\r\nDATA\r\n".encode()
    assert flight in [bytes(p) for p in record.pieces[before:]], record.pieces
    assert len(mx.mails[-1].recipients) == 2


def test_c_in_03_the_replies_to_a_group_leave_as_a_unit(scene):
    """RFC 2920 3.2: behind a warm MX the reply to MAIL needs no packet of its own.  It is held for milliseconds only, so on
    a busy machine one mail or the other may miss it."""
    domain, tlsmend = scene.domain(), solo(scene)
    peer(scene, domain)
    deliver(scene, tlsmend, domain)
    c, units = greeted(scene, tlsmend), 0
    for _ in range(10):
        c.send("".join(line + "\r\n" for line in commands(domain.address())).encode())
        units += c.sock.recv(65536, socket.MSG_PEEK).count(b"\r\n") == 3
        assert codes([c.reply() for _ in range(3)]) == [250, 250, 354]
        finish(c)
    assert units > 0


@pytest.mark.parametrize("gone", ["stays", "closes its side", "another command"])
def test_c_in_03_a_slow_mx_holds_back_no_reply(scene, gone):
    """The reply to MAIL does not wait for an MX that thinks about RCPT; whatever else comes meanwhile, it comes once."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": [2, "250 ok"]})
    deliver(scene, tlsmend, domain)
    c = greeted(scene, tlsmend)
    group = commands(domain.address())[:2]
    begun = time.monotonic()
    c.send("".join(line + "\r\n" for line in group).encode())
    if gone == "closes its side":
        c.sock.shutdown(socket.SHUT_WR)
    elif gone == "another command":
        c.send(b"NOOP\r\n")
    assert c.reply().code == 250
    assert time.monotonic() - begun < 1.5
    if gone == "closes its side":
        assert len(mx.mails) == 1
        return
    assert c.reply().code == 250
    assert time.monotonic() - begun >= 2
    if gone == "another command":
        assert c.reply().code == 250
    assert c.cmd("QUIT").code == 221 and c.closed()


def test_c_out_08_without_pipelining_one_at_a_time(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, capabilities=PLAIN)
    deliver(scene, tlsmend, domain)
    before = len(mx.records[0].pieces)
    c = greeted(scene, tlsmend)
    assert codes(c.pipeline(commands(domain.address(), domain.address("b")))) == [250, 250, 250, 354]
    finish(c)
    lines = [bytes(p) for p in mx.records[0].pieces[before:]]
    assert lines[:4] == [f"{line}\r\n".encode() for line in commands(domain.address(), domain.address("b"))]
    assert len(mx.records) == 1


def test_c_out_08_without_pipelining_no_data_for_nobody(scene):
    """What does not leave at once is not sent when it is known to be for nothing."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, capabilities=PLAIN, replies={"rcpt": "550 5.1.1 no"})
    c = greeted(scene, tlsmend)
    assert codes(c.pipeline(commands(domain.address())))[1:] in ([550, 503], [550, 554])
    assert c.cmd("RSET").code == 250
    wait_verb(mx, "RSET")
    assert not mx.saw("DATA")


def test_c_out_08_a_client_that_does_not_pipeline(scene):
    """Its own DATA is waited for: it may say RSET, or one recipient more."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    c = greeted(scene, tlsmend)
    assert codes(c.pipeline(commands(domain.address())[:-1])) == [250, 250]
    time.sleep(0.1)
    assert verbs(mx.records[0]) == MAIL + ["MAIL", "RCPT"]
    assert c.cmd(f"RCPT TO:<{domain.address('b')}>").code == 250
    assert c.cmd("DATA").code == 354
    finish(c)
    assert verbs(mx.records[0]) == MAIL + ["MAIL", "RCPT", "RCPT", "DATA"]


@pytest.mark.parametrize("cut", [1, 3, 5])
def test_c_out_08_data_in_pieces_is_not_there_yet(scene, cut):
    """DA, TA and a line end that come later are no DATA that follows."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    c = greeted(scene, tlsmend)
    wire = "".join(f"{line}\r\n" for line in commands(domain.address())).encode()
    c.send(wire[:-6 + cut])
    assert codes([c.reply(), c.reply()]) == [250, 250]
    assert verbs(mx.records[0]) == MAIL + ["MAIL", "RCPT"]
    c.send(wire[-6 + cut:])
    assert c.reply().code == 354
    finish(c)
    assert len(mx.mails) == 2


@pytest.mark.parametrize("line", ["DATAX", "DATA now", "NOOP", "RSET", "RCPT TO:<>", "data"])
def test_c_out_08_what_follows_is_looked_at_closely(scene, line):
    """Only a DATA that will be taken as one."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    c = greeted(scene, tlsmend)
    replies = codes(c.pipeline([*commands(domain.address())[:-1], line]))
    assert replies[:2] == [250, 250]
    if line == "data":
        assert replies[2] == 354
        finish(c)
    else:
        assert replies[2] != 354 and not mx.saw("DATA")
        c.cmd("RSET")
        assert codes(c.pipeline(commands(domain.address()))) == [250, 250, 354]
        finish(c)
    assert len(mx.mails) == 1


# -- recipients that are refused -------------------------------------------------------------------


def test_c_out_09_the_only_recipient_is_refused_and_the_mx_says_503(scene):
    """The connection is good for the next mail, behind RSET."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": Each("550 5.1.1 no", "250 ok")})
    c = greeted(scene, tlsmend)
    replies = c.pipeline(commands(domain.address()))
    assert codes(replies) == [250, 550, replies[2].code] and replies[2].code in (503, 554)
    assert (replies[1].code, replies[1].text) == (550, "5.1.1 no")
    assert c.cmd("RSET").code == 250
    wait_verb(mx, "RSET")
    assert deliver(scene, tlsmend, domain)["mail"] == 2
    assert verbs(mx.records[0]) == MAIL + ["RSET"] + MAIL
    assert len(mx.mails) == 1


@pytest.mark.parametrize("data", [[0.3, "503 5.5.1 no"], [0.3, "421 4.3.2 bye", CLOSE], [0.3, "354 go on"], CLOSE, RESET, None],
                         ids=["503", "421", "354", "close", "reset", "never"])
def test_c_out_09_data_for_nobody_is_answered_late(scene, data):
    """The client has gone on; what comes for its DATA is about nothing, and only a refusal leaves a good connection."""
    domain, tlsmend = scene.domain(), solo(scene, timeouts={"data": "1s"})
    mx = peer(scene, domain, replies={"rcpt": Each("550 5.1.1 no", "250 ok"), "data": Each(data, "354 go on")})
    c = greeted(scene, tlsmend)
    assert codes(c.pipeline(commands(domain.address())))[1] == 550
    assert c.cmd("RSET").code == 250
    assert "reused" not in deliver(scene, tlsmend, domain)    # it is not there yet, and nobody waits for it
    (first, second) = mx.records
    if isinstance(data, list) and data[-1].startswith("503"):
        wait_verb(mx, "RSET")
        assert first.open and verbs(first) == MAIL + ["RSET"]
    else:
        wait_for("its end", lambda: not first.open)
        assert verbs(first) == MAIL and not bytes(first.inside).endswith(b".\r\n")
    assert verbs(second) == MAIL and len(mx.mails) == 1


@pytest.mark.parametrize("temperature", ["fresh", "warm"])
@pytest.mark.parametrize("refusal", ["550 5.1.1 no", "450 4.2.0 later"], ids=["5xx", "4xx"])
def test_c_out_09_354_for_nobody_is_no_message(scene, temperature, refusal):
    """An MX that would take a message though it took no recipient gets no dot, and no connection any more."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": lambda c: refusal if b"nobody" in c.line else "250 ok", "data": "354 go on"})
    if temperature == "warm":
        deliver(scene, tlsmend, domain)
    c = greeted(scene, tlsmend)
    replies = c.pipeline(commands(domain.address("nobody")))
    assert replies[0].code == 250 and str(replies[1]) == refusal and replies[2].code in (503, 554)
    assert c.cmd("NOOP").code == 250
    mx.wait_closed()
    assert len(mx.mails) == (temperature == "warm") and not any(m.complete or m.data for m in mx.records[0].mails[-1:])
    assert not bytes(mx.records[0].inside).endswith(b".\r\n")
    assert codes(c.pipeline(commands(domain.address()))) == [250, 250, 354]    # the client goes on in its session
    finish(c)
    assert len(mx.records) == 2
    results = [r for r in tlsmend.results(2) if "nobody" in r["recipient"]]
    assert [r["code"] for r in results] == [int(refusal[:3])], "one word for the one recipient"


def test_c_out_08_one_of_two_recipients_is_refused(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": lambda c: "550 5.1.1 no" if b"nobody" in c.line else "250 ok"})
    deliver(scene, tlsmend, domain)
    for recipients, due in ((["nobody", "b"], [250, 550, 250, 354]), (["b", "nobody"], [250, 250, 550, 354])):
        c = greeted(scene, tlsmend)
        assert codes(c.pipeline(commands(*map(domain.address, recipients)))) == due
        finish(c)
        assert [b"<" + domain.address("b").encode() + b">"] == mx.mails[-1].recipients
    assert len(mx.records) == 1 and verbs(mx.records[0]) == MAIL + ["MAIL", "RCPT", "RCPT", "DATA"] * 2


@pytest.mark.parametrize("code", [451, 554])
def test_c_out_08_data_is_refused(scene, code):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"data": Each(f"{code} x.3.0 not now".replace("x", str(code)[0]), "354 go on")})
    c = greeted(scene, tlsmend)
    replies = c.pipeline(commands(domain.address()))
    assert codes(replies) == [250, 250, code] and "not now" in replies[2].text
    assert c.cmd("NOOP").code == 250
    c.close()
    wait_verb(mx, "RSET")
    assert deliver(scene, tlsmend, domain)["mail"] == 2 and len(mx.mails) == 1


@pytest.mark.parametrize("data", ["503 5.5.1 no", "354 go on", "250 ok"], ids=lambda d: d[:3])
@pytest.mark.parametrize("mail", ["550 5.7.1 not you", "451 4.7.1 not now"], ids=lambda d: d[:3])
def test_c_out_09_mail_is_refused_with_all_behind_it(scene, mail, data):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": Each(mail, "250 ok"), "rcpt": Each("503 5.5.1 no", "250 ok"),
                                      "data": Each(data, "354 go on")})
    c = greeted(scene, tlsmend)
    replies = c.pipeline(commands(domain.address()))
    assert replies[0].code == 250 and str(replies[1]) == mail and replies[2].code in (503, 554), codes(replies)
    assert codes(c.pipeline(commands(domain.address()))) == [250, 250, 354]
    finish(c)
    assert len(mx.mails) == 1 and mx.mails[0].data == smtpc.message()
    assert not any(m.data for r in mx.records for m in r.mails if not m.complete)
    if data.startswith("503"):    # it waits now, or has had the second mail
        assert mx.records[0].open
    else:
        wait_for("the end of the first", lambda: not mx.records[0].open)
        assert len(mx.records) == 2


# -- several destinations --------------------------------------------------------------------------


def test_c_out_08_with_two_destinations_no_data_ahead(scene):
    """One may keep the other waiting, and no MX waits for a message for ever."""
    quick, slow = scene.domain(), scene.domain()
    at_quick = peer(scene, quick)
    at_slow = peer(scene, slow, replies={"rcpt": [0.5, "250 ok"]})
    tlsmend = solo(scene)
    c = greeted(scene, tlsmend)
    c.send("".join(f"{line}\r\n" for line in commands(quick.address(), slow.address())).encode())
    assert codes([c.reply(), c.reply()]) == [250, 250]
    wait_verb(at_slow, "RCPT")
    assert not at_quick.saw("DATA") and not at_slow.saw("DATA")
    assert codes([c.reply(), c.reply()]) == [250, 354]
    finish(c)
    assert len(at_quick.mails) == len(at_slow.mails) == 1


def test_c_out_08_a_second_destination_that_comes_behind_the_flight(scene):
    """RCPT behind DATA is a command of the next transaction, or none at all; nobody hears a wrong answer."""
    a, b = scene.domain(), scene.domain()
    at_a, at_b = peer(scene, a), peer(scene, b)
    tlsmend = solo(scene)
    c = greeted(scene, tlsmend)
    wire = "".join(f"{line}\r\n" for line in commands(a.address())).encode()
    c.send(wire + smtpc.message() + b".\r\n" + f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{b.address()}>\r\nDATA\r\n".encode())
    assert codes([c.reply() for _ in range(7)]) == [250, 250, 354, 250, 250, 250, 354]
    finish(c)
    assert (len(at_a.mails), len(at_b.mails)) == (1, 1)
    assert at_a.mails[0].data == at_b.mails[0].data == smtpc.message()


# -- somebody is lost ------------------------------------------------------------------------------


@pytest.mark.parametrize("when", ["before-the-354", "behind-it", "in-the-body"])
def test_c_out_07_the_client_is_lost(scene, when):
    """The connection is cut without a dot, for the MX reads all that comes as the message."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    mx.replies = {"data": [0.3, "354 go on"]} if when == "before-the-354" else {}
    c = greeted(scene, tlsmend)
    c.send("".join(f"{line}\r\n" for line in commands(domain.address())).encode())
    assert codes([c.reply(), c.reply()]) == [250, 250]
    if when != "before-the-354":
        assert c.reply().code == 354
    if when == "in-the-body":
        c.send(b"Subject: half\r\n\r\nhalf\r\n")
    c.close()
    mx.wait_closed()
    assert len(mx.mails) == 1 and not bytes(mx.records[0].inside).split(b"DATA\r\n")[2].endswith(b".\r\n")
    assert not any(v in verbs(mx.records[0])[6:] for v in ("RSET", "QUIT"))
    assert [r["status"] for r in tlsmend.results(2)] == ["delivered", "aborted"]
    mx.replies = {}
    assert "reused" not in deliver(scene, tlsmend, domain)


@pytest.mark.parametrize("how", [CLOSE, RESET, "421 4.4.2 tired"], ids=["close", "reset", "421"])
def test_c_out_08_a_warm_one_dies_with_the_whole_flight(scene, how):
    """All of it goes again over a fresh one; the message was not sent yet, and is sent once."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": lambda c: how if c.record.mails else "250 ok"})
    deliver(scene, tlsmend, domain)
    c = greeted(scene, tlsmend)
    assert codes(c.pipeline(commands(domain.address()))) == [250, 250, 354]
    finish(c)
    assert len(mx.records) == 2 and len(mx.mails) == 2
    assert mx.mails[1].data == smtpc.message()
    assert verbs(mx.records[1]) == MAIL
    assert tlsmend.results(2)[-1]["status"] == "delivered"


@pytest.mark.parametrize("how", ["at-once", "in-bytes"])
def test_c_out_09_replies_that_come_in_one_piece(scene, how):
    """Each is for its command."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, behave=_all_at_once(how))
    c = greeted(scene, tlsmend)
    replies = c.pipeline(commands(domain.address()))
    assert [r.text for r in replies][1:] == ["2.1.5 two", "three"] and codes(replies) == [250, 250, 354]
    finish(c)
    assert len(mx.records) == 1


def _all_at_once(how):
    """A conversation by hand: nothing is said until DATA is there."""
    def behave(c):
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
        wire = b"250 2.1.0 one\r\n250 2.1.5 two\r\n354 three\r\n"
        for piece in [wire] if how == "at-once" else [wire[i:i + 1] for i in range(len(wire))]:
            c.send(piece)
        while c.read_line() != b".":
            pass
        c.send("250 2.0.0 taken")
        c.read_until_closed()
    return behave


@pytest.mark.parametrize("early", ["354 go on\r\n", "250 2.0.0 taken\r\n"], ids=["354", "250"])
def test_c_out_09_a_reply_too_many_in_the_flight(scene, early):
    """Four replies to three commands: the one that nobody asked for is no final reply."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"data": [b"354 go on\r\n" + early.encode()]})
    c = greeted(scene, tlsmend)
    replies = c.pipeline(commands(domain.address()))
    assert codes(replies)[:2] == [250, 250]
    if replies[2].code == 354:
        c.send(smtpc.message() + b".\r\n")
        assert c.reply().code == 451
    else:
        assert replies[2].code == 451
    assert not mx.mails and tlsmend.result()["status"] != "delivered"


def test_c_out_08_capabilities_are_those_of_the_connection(scene):
    """PIPELINING inside TLS counts, not what was said in clear."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"ehlo-tls": "250-mx\r\n250 SIZE 1000000"})
    assert "PIPELINING" in HostileMx.capabilities
    c = greeted(scene, tlsmend)
    assert codes(c.pipeline(commands(domain.address()))) == [250, 250, 354]
    finish(c)
    assert all(bytes(p).count(b"\r\n") == 1 for p in mx.records[0].pieces[-5:-1] if p.startswith((b"MAIL", b"RCPT", b"DATA")))
    wait_for("the mail", lambda: mx.mails)
