# SPDX-License-Identifier: Apache-2.0
"""The conversation with the client: C-IN-01 to C-IN-06, XFORWARD, PRDR, QUIT."""

import itertools
import threading
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, SLOW, mail
from lab.hostile import Each
from lab.process import wait_for


# -- C-IN-01: always there -----------------------------------------------------------------------------


def test_c_in_01_the_greeting_comes_at_once(scene, tlsmend):
    start = time.monotonic()
    with scene.client(tlsmend) as c:
        assert time.monotonic() - start < 0.5 * SLOW
        assert str(c.greeting) == "220 tlsmend.client.lab.example ESMTP tlsmend"


def test_c_in_01_these_succeed_whatever_has_failed(scene, tlsmend):
    """EHLO, HELO, RSET, NOOP, QUIT: before, between and behind failed transactions."""
    domain = scene.domain()
    scene.hostile(domain, replies={"rcpt": "550 5.1.1 no"})
    with scene.client(tlsmend) as c:
        for hello in ("EHLO x.example", "HELO x.example", "EHLO [192.0.2.2]"):
            for verb in ("RSET", "NOOP", hello, "NOOP with words", "RSET", "HELP", "VRFY user"):
                assert c.cmd(verb).code in (214, 250, 252), verb
            assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 250
            assert c.cmd(f"RCPT TO:<{domain.address()}>").code == 550
            assert c.cmd("NOOP").code == 250
            assert c.cmd("RSET").code == 250
        assert c.cmd("QUIT").code == 221
        assert c.closed()


def test_c_in_01_helo_only_clients_are_served(scene, tlsmend):
    """As qmail speaks: HELO, no pipelining."""
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        assert c.cmd("HELO qmail.example").lines == ["tlsmend.client.lab.example"]
        assert mail(c, domain).code == 250
        assert c.cmd("QUIT").code == 221
    assert mx.mails[0].in_tls
    assert tlsmend.wait_records("session", helo="qmail.example")[0]["end"] == "quit"


def test_c_in_01_commands_in_any_case_and_with_blanks(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        assert c.cmd("ehLo x.example").code == 250
        assert c.cmd(f"mail from: <{SENDER}> ").code == 250
        assert c.cmd(f"Rcpt To:<{domain.address()}>").code == 250
        assert c.cmd("data ").code == 354
        assert c.cmd(b"x\r\n.\r\n").code == 250
    assert mx.mails[0].sender == f"<{SENDER}>".encode()


# -- C-IN-02: what EHLO offers ----------------------------------------------------------------------------

EHLO = ["tlsmend.client.lab.example", "PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE",
        "XFORWARD NAME ADDR PORT PROTO HELO IDENT SOURCE", "PRDR", "LIMITS RCPTDOMAINMAX=1"]


def test_c_in_02_the_offers_exactly(scene, tlsmend):
    with scene.client(tlsmend) as c:
        reply = c.ehlo()
    assert reply.lines[0] == EHLO[0]
    assert sorted(reply.lines[1:]) == sorted(EHLO[1:])


def test_c_in_02_size_when_there_is_a_limit(scene):
    tlsmend = scene.tlsmend(limits={"message_size": "100KiB"})
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        assert "SIZE 102400" in c.ehlo().lines
        assert str(c.cmd(f"MAIL FROM:<{SENDER}> SIZE=102401")).startswith("552 5.3.4")
        assert c.cmd(f"MAIL FROM:<{SENDER}> SIZE=102400").code == 250
        assert c.cmd(f"RCPT TO:<{domain.address()}>").code == 250
        reply = c.data(b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 2000)   # more than it said
        assert str(reply).startswith("552 5.3.4")
        assert mail(c, domain).code == 250
    assert len(mx.mails) == 1


@pytest.mark.parametrize("line, code", [
    ("STARTTLS", 502), ("AUTH PLAIN AHgAeA==", 502), ("EXPN staff", 502),
    (f"MAIL FROM:<{SENDER}> SMTPUTF8", 555), (f"MAIL FROM:<{SENDER}> RET=FULL ENVID=x", 555),
    (f"MAIL FROM:<{SENDER}> BODY=BINARYMIME", 501),
])
def test_c_in_02_what_is_not_offered_is_refused(scene, tlsmend, line, code):
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.cmd(line).code == code
        assert c.cmd("NOOP").code == 250


def test_c_in_02_the_chunk_behind_a_refused_bdat_is_no_command(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    chunk = f"RSET\r\nMAIL FROM:<evil@x.example>\r\nRCPT TO:<{domain.address()}>\r\n".encode()
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.envelope(SENDER, [domain.address()])
        c.send(b"BDAT %d LAST\r\n" % len(chunk) + chunk + b"NOOP\r\n", sizes=[3, 11])
        assert [c.reply().code, c.reply().code] == [502, 250]
        assert c.data(smtpc.message()).code == 250
    assert [m.sender for m in mx.mails] == [f"<{SENDER}>".encode()]


# -- C-IN-03: pipelining ------------------------------------------------------------------------------------


def every_seventh(c):
    user = c.line.split(b"<", 1)[1].split(b"@", 1)[0].decode()
    return f"550 5.1.1 {user} no" if int(user[1:]) % 7 == 0 else f"250 2.1.5 {user} ok"


@pytest.mark.parametrize("sizes", [None, [1], [7, 1, 13], [997], [4099, 1], [16384]], ids=str)
def test_c_in_03_a_thousand_recipients_in_odd_segments(scene, sizes):
    tlsmend = scene.tlsmend()
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"rcpt": every_seventh})
    users = [f"u{i}" for i in range(1, 1001)]
    lines = [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{domain.address(u)}>" for u in users), "DATA"]
    with scene.client(tlsmend) as c:
        c.ehlo()
        wire = b"".join(line.encode() + b"\r\n" for line in lines)
        sender = threading.Thread(target=c.send, args=(wire, sizes))
        sender.start()
        replies = [c.reply() for _ in lines]
        sender.join()
        for i, reply in enumerate(replies[1:-1], 1):
            assert str(reply) == (f"550 5.1.1 u{i} no" if i % 7 == 0 else f"250 2.1.5 u{i} ok")
        assert [replies[0].code, replies[-1].code] == [250, 354]
        assert c.cmd(smtpc.message() + b".\r\n").code == 250
    assert mx.mails[0].recipients == [f"<{domain.address(u)}>".encode()
                                      for i, u in enumerate(users, 1) if i % 7]
    assert len(tlsmend.results(1000)) == 1000


def test_c_in_03_two_mails_and_quit_in_one_segment(scene, tlsmend):
    """What stands behind the final dot waits for the final reply, and is no part of the message."""
    one, two = scene.domain(), scene.domain()
    first, second = scene.hostile(one, replies={"final": [0.2, "250 2.0.0 one"]}), scene.hostile(two)
    with scene.client(tlsmend) as c:
        c.ehlo()
        for domain, name in ((one, "one"), (two, "two")):
            c.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{domain.address()}>\r\nDATA\r\n".encode())
            assert [c.reply().code for _ in range(3)] == [250, 250, 354]
            if name == "one":
                c.send(b"one\r\n.\r\n" + b"NOOP\r\nRSET\r\n")
                assert [str(c.reply()) for _ in range(3)][0] == "250 2.0.0 one"
            else:
                c.send(b"two\r\n.\r\nQUIT\r\n")
                assert [c.reply().code for _ in range(2)] == [250, 221]
    assert [m.data for m in first.mails + second.mails] == [b"one\r\n", b"two\r\n"]


@pytest.mark.parametrize("sizes", [None, [1], [5, 17]], ids=str)
def test_c_in_03_data_behind_only_refused_recipients(scene, tlsmend, sizes):
    """The message of a client that does not wait is never read as commands."""
    domain, other = scene.domain(), scene.domain()
    mx = scene.hostile(domain, replies={"rcpt": "550 5.1.1 nobody"})
    trap = scene.hostile(other)
    body = smtpc.message(body=f"MAIL FROM:<evil@x.example>\r\nRCPT TO:<{other.address()}>\r\nDATA\r\n"
                              "..\r\nQUIT\r\n".encode())
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{domain.address()}>\r\nDATA\r\n".encode()
               + smtpc.stuff(body) + b".\r\nNOOP\r\n", sizes)
        replies = [c.reply() for _ in range(5)]
        assert [r.code for r in replies] == [250, 550, 554, 554, 250]
        assert replies[2].text.startswith("5.5.1")
        assert mail(c, other).code == 250
    assert len(trap.mails) == 1 and trap.mails[0].data == smtpc.message()
    assert not mx.mails


def test_c_in_03_data_behind_a_refused_mail_of_the_mx(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain, replies={"mail": "451 4.7.1 greylisted"})
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.pipeline([f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{domain.address()}>", "DATA", "RSET"])
        assert [r.code for r in replies] == [250, 451, 554, 250]


# -- C-IN-04: one message stays one message --------------------------------------------------------------------

# What some server somewhere takes for the end of data.
ENDS = [b"\n.\n", b"\n.\r\n", b"\r\n.\n", b"\r.\r", b"\r.\r\n", b"\r\n.\r", b"\n.\r", b"\r.\n", b"\r\r\n.\r\r\n",
        b"\r\n\x00.\r\n", b"\r\n.\x00\r\n", b"\r\n.\r\x00\n", b"\n\n.\n\n", b"\r\n.\r\r\n", b"\r\n..\n.\r\n"]


def smuggle(c, domain, sequence, inner, step):
    """A mail with the sequence in its middle, byte by byte around it or all at once; its final reply."""
    c.envelope(SENDER, [domain.address()])
    assert c.cmd("DATA").code == 354
    head = b"Subject: outer\r\n\r\nouter"
    evil = f"MAIL FROM:<evil@x.example>\r\nRCPT TO:<{inner}>\r\nDATA\r\nSubject: inner\r\n\r\ninner".encode()
    wire = head + sequence + evil + b"\r\n.\r\n"
    if step is None:
        c.send(wire)
    else:
        c.send(head)
        for i in range(0, len(sequence), step):
            time.sleep(0.002)
            c.send(sequence[i:i + step])
        time.sleep(0.002)
        c.send(wire[len(head) + len(sequence):], sizes=[step, 31])
    return c.reply()


@pytest.mark.parametrize("mode", ["reject", "normalise"])
def test_c_in_04_no_sequence_makes_two_messages_of_one(scene, mode):
    tlsmend = scene.tlsmend(listeners=[{"name": "relayhost", "protocol": "smtp", "address": "127.0.0.1",
                                        "port": 2525, "bare_newlines": mode}])
    domain = scene.domain()
    mx = scene.hostile(domain)
    count = 0
    with scene.client(tlsmend) as c:
        c.ehlo()
        for sequence, step in itertools.product(ENDS, (None, 1, 2)):
            if sequence == b"\r\n.\r\r\n" and step == 1:
                continue
            reply = smuggle(c, domain, sequence, domain.address("inner"), step)
            count += 1
            if mode == "reject":
                assert (reply.code, reply.text[:6]) == (550, "5.6.11"), (sequence, step)
            else:
                assert reply.code == 250, (sequence, step, reply)
            assert c.cmd("NOOP").code == 250   # exactly one reply came
    if mode == "reject":
        mx.wait_closed()
        assert not mx.mails
    else:
        assert len(mx.wait_mails(count)) == count
    assert sum(r.verbs().count("MAIL") for r in mx.records) == count
    for record in mx.records:
        wire = bytes(record.inside)
        assert record.verbs().count("MAIL") == record.verbs().count("DATA") == len(record.mails)
        assert wire.count(b"\r\n.\r\n") == (len(record.mails) if mode == "normalise" else 0)
        body = wire.partition(b"DATA\r\n")[2].replace(b"\r\n", b"")
        assert not set(b"\r\n\x00") & set(body), wire
    assert not any(b"inner@" in r for m in mx.mails for r in m.recipients)


def test_c_in_04_normalised_content(scene):
    tlsmend = scene.tlsmend(listeners=[{"name": "relayhost", "protocol": "smtp", "address": "127.0.0.1",
                                        "port": 2525, "bare_newlines": "normalise"}])
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.envelope(SENDER, [domain.address()])
        assert c.cmd("DATA").code == 354
        c.send(b"a\nb\rc\r\nd\x00e\n.\nf\r\n.\r\n")
        assert c.reply().code == 250
    assert mx.mails[0].data == b"a\r\nb\r\nc\r\nde\r\n.\r\nf\r\n"


def test_c_in_04_a_refused_message_costs_nothing_but_itself(scene, tlsmend):
    """550 5.6.11 at the end, the MX never saw a dot, the session goes on."""
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        reply = mail(c, domain, smtpc.message(body=b"bare\nnewline\r\n" * 3000))
        assert (reply.code, reply.text[:6]) == (550, "5.6.11")
        assert mail(c, domain).code == 250
    assert len(mx.mails) == 1
    first = tlsmend.results(2)[0]
    assert (first["status"], first["reason"], first["origin"]) == ("rejected", "bare-newline", "tlsmend")


# -- C-IN-05: dots ------------------------------------------------------------------------------------------------


def test_c_in_05_dots_across_every_border(scene, tlsmend):
    """Lines of dots at the borders of the client's segments, our reads (16 KiB) and TLS records."""
    domain = scene.domain()
    mx = scene.hostile(domain)
    dots = b"\r\n.\r\n..\r\n.x\r\n...\r\n.\r\n"
    with scene.client(tlsmend) as c:
        c.ehlo()
        sent = []
        for border, shift in itertools.product((16384, 32768), range(0, 12)):
            body = b"y" * (border - shift) + dots + b"z" * (border - shift) + dots
            c.envelope(SENDER, [domain.address()])
            assert c.data(body, None if shift % 3 else [16383, 3]).code == 250
            sent.append(body)
        for sizes in ([1], [2], [3], [5, 1]):
            c.envelope(SENDER, [domain.address()])
            assert c.data(b"." + dots * 5, sizes).code == 250
            sent.append(b"." + dots * 5)
    assert [m.data for m in mx.wait_mails(len(sent))] == sent


@pytest.mark.parametrize("body", [b".\r\n", b".\r\n.\r\n", b"", b"\r\n", b"..\r\n"], ids=repr)
def test_c_in_05_a_message_of_dots(scene, tlsmend, body):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.envelope(SENDER, [domain.address()])
        assert c.cmd("DATA").code == 354
        assert c.cmd((smtpc.stuff(body) if body else b"") + b".\r\n").code == 250
    assert mx.mails[0].data == body


# -- C-IN-06: bytes in paths -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("byte", [b"\r", b"\n", b"\x00", b"\x01", b"\t", b"\x1b", b"\x7f", b"\x80", b"\xc3\xbc", b"\xff"],
                         ids=repr)
def test_c_in_06_bad_bytes_in_paths_and_parameters(scene, tlsmend, byte):
    domain = scene.domain()
    mx = scene.hostile(domain)
    at = domain.name.encode()
    with scene.client(tlsmend) as c:
        c.ehlo()
        for line in (b"MAIL FROM:<evil" + byte + b"x@x.example>", b"MAIL FROM:<evil@x" + byte + b".example>",
                     b'MAIL FROM:<"evil' + byte + b'"@x.example>',
                     b"MAIL FROM:<evil@x.example> BODY=8BIT" + byte + b"MIME"):
            assert c.cmd(line + b"\r\n").code == 501, line
        assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 250
        for line in (b"RCPT TO:<evil" + byte + b"x@" + at + b">", b"RCPT TO:<evil@" + byte + at + b">",
                     b'RCPT TO:<"evil' + byte + b'"@' + at + b">", b"RCPT TO:<evil@" + at + b">" + byte):
            if line.endswith(b"\t"):
                continue   # a blank behind the path
            assert c.cmd(line + b"\r\n").code == 501, line
        assert c.cmd(b"HELO evil" + byte + b"name\r\n").code in (250, 501)
        c.ehlo()
        assert mail(c, domain).code == 250
    assert not any(b"evil" in bytes(r.inside) + bytes(r.clear) for r in mx.records)
    tlsmend.wait_records("session", end="closed", transactions=2)
    raw = tlsmend.log_path.read_bytes()
    assert not any(b < 0x20 and b != 0x0a or b >= 0x7f for b in raw)


def test_c_in_06_unknown_parameters(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        for word in ("FOO", "FOO=bar", "NOTIFY=NEVER", "AUTH=<>", "REQUIRETLS", "MT-PRIORITY=3"):
            assert str(c.cmd(f"MAIL FROM:<{SENDER}> {word}"))[:9] == "555 5.5.4", word
        assert c.cmd(f"MAIL FROM:<{SENDER}> SIZE=10 BODY=8BITMIME").code == 250
        for word in ("FOO", "NOTIFY=NEVER", "ORCPT=rfc822;x@y"):
            assert str(c.cmd(f"RCPT TO:<{domain.address()}> {word}"))[:9] == "555 5.5.4", word
        assert c.cmd(f"RCPT TO:<{domain.address()}>").code == 250


@pytest.mark.parametrize("local, wire", [
    ("@a.example,@b.example:user", "user"),
    ("@a.example:user", "user"),
    ("user%other.example", "user%other.example"),
    ("other.example!user", "other.example!user"),
    ('"quoted local"', '"quoted local"'),
    (r'"a\"b\\c"', r'"a\"b\\c"'),
    ('"<>@,;:"', '"<>@,;:"'),
    ("u+tag=x/y#z", "u+tag=x/y#z"),
])
def test_c_in_06_the_paths_that_the_mx_sees(scene, tlsmend, local, wire):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(f"{local}@{domain.name}", f"{local}@{domain.name}", smtpc.message()).code == 250
    assert mx.mails[0].recipients == [f"<{wire}@{domain.name}>".encode()]
    assert mx.mails[0].sender == f"<{wire}@{domain.name}>".encode()


def test_c_in_06_the_null_sender(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver("", domain.address(), smtpc.message()).code == 250
    assert mx.mails[0].sender == b"<>"
    assert tlsmend.result()["sender"] == "<>"


# -- XFORWARD, PRDR, QUIT ------------------------------------------------------------------------------------------------------------


def test_c_leg_02_queue_id_from_xforward_or_received(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    received = smtpc.message(Received="from x (x [192.0.2.9])\r\n\tby y with SMTP id 4FROMHDR; today")
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.cmd("XFORWARD NAME=spike.example ADDR=192.0.2.7 PORT=1234 PROTO=ESMTP").code == 250
        assert c.cmd("XFORWARD HELO=spike IDENT=4XFWD+2D1 SOURCE=REMOTE").code == 250
        assert mail(c, domain, received).code == 250
        assert mail(c, domain, received).code == 250   # what was forwarded held for one mail
        assert str(c.cmd("XFORWARD FOO=x"))[:9] == "501 5.5.4"
        assert c.cmd("XFORWARD IDENT=+0D+0A").code == 501
        assert mail(c, domain).code == 250
    assert [r.get("queue_id") for r in tlsmend.results(3)] == ["4XFWD-1", "4FROMHDR", None]
    assert [r.get("queue_id") for r in tlsmend.attempts(3)] == ["4XFWD-1", "4FROMHDR", None]
    assert not mx.saw("XFORWARD")


@pytest.mark.parametrize("final", ["250 2.0.0 taken", "550 5.7.1 no", "451 4.3.0 later"])
def test_prdr_a_reply_for_each_recipient(scene, tlsmend, final):
    domain = scene.domain()
    scene.hostile(domain, replies={"rcpt": Each("250 ok", "550 5.1.1 no", "250 ok"), "final": final})
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.envelope(SENDER, [domain.address(u) for u in "abc"], " PRDR")
        assert [r.code for r in replies] == [250, 250, 550, 250]
        assert c.cmd("DATA").code == 354
        c.send(smtpc.message() + b".\r\n")
        assert [str(c.reply())[:9] for _ in range(4)][1:] == [final[:9]] * 3
        assert c.cmd("NOOP").code == 250


def test_quit_in_a_transaction(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.envelope(SENDER, [domain.address()])
        assert c.cmd("QUIT").code == 221
        assert c.closed()
    wait_for("the end of the transaction", lambda: mx.saw("RSET"))
    assert not mx.saw("DATA")
    result = tlsmend.result()
    assert (result["status"], result["reason"]) == ("aborted", "client-reset")
    assert tlsmend.attempt()["outcome"] == "abandoned"
