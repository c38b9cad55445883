# SPDX-License-Identifier: Apache-2.0
"""Connections between mails (C-OUT-08): the next mail takes one, RSET where it is needed, and what it means when
one has died.  Limits are in test_pool.py, who may share one is in test_sharing.py."""

import threading
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, SLOW, open_transaction
from lab.hostile import CLOSE, NOTIFY, RESET, Each
from lab.process import wait_for
from lab.servers import MX
from lab.warm import Flows, deliver, peer, refused, send, silenced, solo, verbs, wait_verb, warm

MAIL = ["MAIL", "RCPT", "DATA"]


def later(first, *more):
    """The action of the first mail of a connection, then of the others'."""
    return lambda c: first if not c.record.mails else more[min(len(c.record.mails), len(more)) - 1]


# -- the next mail ---------------------------------------------------------------------------------


def test_c_out_08_the_next_mail_needs_no_connection_and_no_rset(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    first, *others = [deliver(scene, tlsmend, domain) for _ in range(4)]
    (connection,) = mx.records
    assert verbs(connection) == MAIL * 4
    assert len(mx.mails) == 4
    assert "reused" not in first and "greeting" in first and "cert_subject" in first
    for number, attempt in enumerate(others, 2):
        assert (attempt["reused"], attempt["connection"], attempt["mail"]) == (True, first["attempt"], number)
        assert attempt["tls"] == first["tls"] and attempt["verify"] == first["verify"] == "ok"
        assert "greeting" not in attempt and "t_connect" not in attempt, attempt


@pytest.mark.parametrize("name", sorted(MX))
def test_c_out_08_real_servers(scene, name):
    """A delivery, a recipient that is refused (RSET), a delivery: one connection."""
    domain, tlsmend = scene.domain(), solo(scene)
    host = domain.host("mx", address := scene.net.new_host()[0])
    domain.mx(host)
    flows = Flows(scene, [address])
    mx = scene.server(MX[name], hostname=host, chain=scene.pki.chain("rsa", host), addresses=[address])
    before = flows.count()    # the server's start is looked for with connections
    message = [smtpc.message(subject=f"{i}.{domain.name}") for i in range(3)]
    first = deliver(scene, tlsmend, domain, message=message[0])
    assert deliver(scene, tlsmend, domain, message=message[1])["mail"] == 2
    wrong = refused(scene, tlsmend, domain, user="reject").attempt
    assert (wrong["outcome"], wrong["mail"]) == ("refused", 3)
    time.sleep(0.5 * SLOW)    # until the server has answered RSET the connection is not there
    last = deliver(scene, tlsmend, domain, message=message[2])
    assert (last["reused"], last["connection"], last["mail"]) == (True, first["attempt"], 4)
    assert flows.count() - before == 1
    for i in range(3):
        mx.wait_mail(f"<{i}.{domain.name}@")


def test_c_out_08_several_mails_of_one_client_session(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    with scene.client(tlsmend) as c:
        c.ehlo()
        for i in range(3):
            assert c.deliver(SENDER, domain.address(), smtpc.message(subject=f"m{i}")).code == 250
    assert len(mx.records) == 1
    assert [a["mail"] for a in tlsmend.attempts(3)[1:]] == [2, 3]


def test_c_out_08_at_level_none(scene):
    domain, tlsmend = scene.domain(), solo(scene, tls={"level": "none"})
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    again = deliver(scene, tlsmend, domain)
    assert (again["mail"], again["tls"]) == (2, "clear")
    assert mx.records[0].verbs() == ["EHLO", *MAIL, *MAIL]


def test_c_out_08_what_the_mx_said_to_ehlo_stays_true(scene):
    """SIZE of the first EHLO is held against the second mail."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, capabilities=["PIPELINING", "SIZE 5000", "STARTTLS"])
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain, params=" SIZE=6000")
    assert sent.reply.code == 552 and sent.attempt["reason"] == "size-exceeded", sent
    assert sent.attempt["reused"] is True
    assert deliver(scene, tlsmend, domain)["reused"] is True
    assert verbs(mx.records[0]) == MAIL * 2
    assert all(b"SIZE=" not in line for _, line, _ in mx.records[0].commands[-3:])


# -- RSET ------------------------------------------------------------------------------------------


def reset(c):
    assert c.cmd("RSET").code == 250
    c.close()


def leave(c):
    assert c.cmd("QUIT").code == 221
    c.close()


def refuse(c):
    assert c.cmd("DATA").code == 452
    c.close()


def hang_up(c):
    c.close()


@pytest.mark.parametrize("end", [reset, leave, hang_up, refuse])
def test_c_out_08_a_transaction_without_data_ends_with_rset(scene, end):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"data": Each("452 4.3.1 full", "354 go on")} if end is refuse else {})
    end(open_transaction(scene, tlsmend, domain))
    wait_verb(mx, "RSET")
    attempt = deliver(scene, tlsmend, domain)
    assert (attempt["reused"], attempt["mail"]) == (True, 2)
    before = ["MAIL", "RCPT", "DATA"] if end is refuse else ["MAIL", "RCPT"]
    assert verbs(mx.records[0]) == [*before, "RSET", *MAIL]
    assert len(mx.records) == 1 and len(mx.mails) == 1


@pytest.mark.parametrize("how", ["550 5.1.1 no", "450 4.2.0 later"])
def test_c_out_08_all_recipients_refused_ends_with_rset(scene, how):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": lambda c: how if b"nobody" in c.line else "250 ok"})
    assert refused(scene, tlsmend, domain, int(how[:3])).attempt["outcome"] == "refused"
    wait_verb(mx, "RSET")
    attempt = deliver(scene, tlsmend, domain)
    assert (attempt["reused"], attempt["mail"]) == (True, 2)
    assert verbs(mx.records[0]) == ["MAIL", "RCPT", "RSET", *MAIL]


def test_c_out_08_mail_refused_needs_no_rset(scene):
    """No transaction was begun (RFC 5321 4.1.1.2)."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": Each("550 5.7.1 not you", "250 ok")},
              capabilities=["SIZE 100000", "STARTTLS"])    # with PIPELINING a reply to RCPT would be under way
    assert refused(scene, tlsmend, domain, user="user").attempt["stage"] == "mail"
    assert deliver(scene, tlsmend, domain)["mail"] == 2
    assert verbs(mx.records[0]) == ["MAIL", *MAIL]


def test_c_out_08_a_refused_message_leaves_the_connection(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"final": Each("554 5.6.0 spam", "250 ok")})
    assert send(scene, tlsmend, domain).reply.code == 554
    assert deliver(scene, tlsmend, domain)["mail"] == 2
    assert verbs(mx.records[0]) == MAIL * 2


@pytest.mark.parametrize("answer", ["500 5.5.1 what", "421 4.4.2 bye", "251 2.0.0 ok", b"25\r\n", CLOSE, RESET, NOTIFY],
                         ids=["500", "421", "251", "garbled", "close", "reset", "notify"])
def test_c_out_08_not_used_again_when_rset_was_not_answered_with_250(scene, answer):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rset": answer})
    reset(open_transaction(scene, tlsmend, domain))
    wait_verb(mx, "RSET")
    mx.wait_closed()
    assert "reused" not in deliver(scene, tlsmend, domain)
    assert verbs(mx.records[1]) == MAIL
    assert [a["outcome"] for a in tlsmend.records("attempt")] == ["abandoned", "delivered"]


def test_c_out_08_rset_without_an_answer_keeps_nobody_waiting(scene):
    domain, tlsmend = scene.domain(), solo(scene, timeouts={"quit": "1s"})
    mx = peer(scene, domain, replies={"rset": None})
    reset(open_transaction(scene, tlsmend, domain))
    wait_verb(mx, "RSET")
    assert "reused" not in deliver(scene, tlsmend, domain)
    wait_for("the end of the silent one", lambda: not mx.records[0].open, 10 * SLOW)
    assert deliver(scene, tlsmend, domain)["connection"] == tlsmend.records("attempt")[1]["attempt"]


def test_c_out_08_cut_in_the_body_is_not_used_again(scene):
    """The client goes away between DATA and the dot: only the cut tells the MX (C-OUT-07)."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    c = open_transaction(scene, tlsmend, domain)
    assert c.cmd("DATA").code == 354
    c.send(b"Subject: half\r\n\r\nhalf\r\n")
    c.close()
    mx.wait_closed()
    assert "reused" not in deliver(scene, tlsmend, domain)
    assert len(mx.mails) == 2 and len(mx.records) == 2
    assert "RSET" not in verbs(mx.records[0])


# -- one that died ---------------------------------------------------------------------------------

BYE = "421 4.4.2 timeout, good bye"

# What the MX does behind its answer to the first mail, and tlsmend sees before there is another mail.
SEEN = {
    "close": [CLOSE], "notify": [NOTIFY], "reset": [RESET], "421-close": [BYE, CLOSE],
    "421-notify": [0.05, BYE, NOTIFY], "421-open": [BYE], "unasked": [0.05, "250 2.0.0 and again"],
    "half-a-line": [0.05, b"42"], "garbage": [b"\x00\xff\xfe\r\n"], "clear-text": [lambda c: c.raw_send(b"421 bye\r\n")],
}
# What becomes of it when the second mail is on its way already.
UNSEEN = {"close": CLOSE, "notify": NOTIFY, "reset": RESET, "half-a-line": [b"25", CLOSE],
          "clear-text": [lambda c: c.raw_send(b"250 ok\r\n"), CLOSE]}


@pytest.mark.parametrize("how", SEEN)
def test_c_out_08_one_that_ended_while_idle_costs_nothing(scene, how):
    domain, tlsmend = scene.domain(), solo(scene)
    said = threading.Event()
    mx = peer(scene, domain, replies={"final": lambda c: ["250 2.0.0 taken", *SEEN[how], lambda c: said.set()]
                                      if c.record.number == 1 else "250 2.0.0 taken"})
    deliver(scene, tlsmend, domain)
    if SEEN[how][-1] in (CLOSE, NOTIFY, RESET):
        wait_for("its end", lambda: not mx.records[0].open)
    else:
        assert said.wait(10)
    attempt = deliver(scene, tlsmend, domain)
    assert "reused" not in attempt and attempt["greeting"].startswith("220")
    assert len(mx.records) == 2 and len(mx.mails) == 2
    assert mx.records[0].verbs().count("MAIL") == 1


@pytest.mark.parametrize("how", UNSEEN)
def test_c_out_08_one_that_dies_with_the_next_mail_costs_nothing(scene, how):
    """MAIL is out, and no answer to it comes: it goes again over a fresh connection, and nobody hears of it."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": later("250 ok", UNSEEN[how])})
    deliver(scene, tlsmend, domain)
    attempt = deliver(scene, tlsmend, domain)
    assert "reused" not in attempt and attempt["greeting"].startswith("220")
    assert len(mx.records) == 2 and len(mx.mails) == 2
    assert verbs(mx.records[1]) == MAIL
    assert {a["outcome"] for a in tlsmend.records("attempt")} == {"delivered"}


def test_c_out_08_one_that_a_filter_has_forgotten(scene):
    """Nothing comes back, no RST either: a fresh one after timeouts.greeting, where that is below 10 s."""
    domain, tlsmend = scene.domain(), solo(scene, timeouts={"greeting": "1s"})
    mx = peer(scene, domain)
    warm(scene, tlsmend, domain, 3)
    with silenced(scene, mx.records):
        begin = time.monotonic()
        attempt = deliver(scene, tlsmend, domain)
        took = time.monotonic() - begin
        assert 0.9 < took < 10 * SLOW
        assert "reused" not in attempt
        # The two others are not tried: what one has suffered, they have.
        busy = open_transaction(scene, tlsmend, domain)    # over the fresh one
        first_try = deliver(scene, tlsmend, domain)["attempt"]
        assert first_try.endswith("-1") and len(mx.records) == 5
        assert busy.data(smtpc.message()).code == 250
    assert len(mx.mails) == 6
    assert {a["outcome"] for a in tlsmend.records("attempt")} == {"delivered"}


def test_c_out_08_the_fresh_one_is_no_other_warm_one(scene):
    """Three wait, each of them dies with its next mail: one mail meets one of them."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": later("250 ok", CLOSE)})
    warm(scene, tlsmend, domain, 3)
    assert "reused" not in deliver(scene, tlsmend, domain)
    assert len(mx.records) == 4
    assert sum(r.verbs().count("MAIL") for r in mx.records) == 5


def test_c_out_08_the_fresh_one_fails_in_its_own_name(scene):
    """It is tried once; then the client hears why, as without a pool."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": later("250 ok", CLOSE), "greeting": Each("220 hi", CLOSE, "220 hi")})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and len(mx.records) == 2
    assert (sent.attempt["outcome"], sent.attempt["reason"], sent.attempt["stage"]) == ("failed", "connection-lost",
                                                                                        "greeting")
    assert "reused" not in sent.attempt
    deliver(scene, tlsmend, domain)


def test_c_out_08_the_fresh_one_is_refused_and_the_next_host_takes_the_mail(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    first = peer(scene, domain, label="mx1", preference=1, replies={"mail": later("250 ok", CLOSE)})
    second = peer(scene, domain, label="mx2", preference=2)
    deliver(scene, tlsmend, domain)
    first.shut()
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250
    assert [(a["mx"], a["reason"]) for a in sent.attempts] == [(first.host, "connect-refused"), (second.host, "ok")]
    assert len(second.mails) == 1


def test_c_out_08_one_that_ends_before_it_took_a_recipient(scene):
    """It has answered MAIL, so there is a record; but the MX may have had enough of it, and a fresh one is asked."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": lambda c: CLOSE if verbs(c.record).count("MAIL") == 2 else "250 ok"})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250, sent.reply
    assert [(a.get("reused", False), a["outcome"]) for a in sent.attempts] == [(True, "failed"), (False, "delivered")]
    assert len(mx.records) == 2 and len(mx.mails) == 2


def test_c_out_08_421_to_rcpt_on_a_warm_one_asks_a_fresh_one(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": lambda c: ["421 4.7.0 too many errors", CLOSE] if verbs(c.record).count("MAIL") == 2
                                      else "250 ok"})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250, sent.reply
    assert [a.get("reused", False) for a in sent.attempts] == [True, False]
    assert len(mx.records) == 2 and len(mx.mails) == 2


def test_c_out_08_a_connection_with_many_refusals_is_left(scene):
    """Postfix hangs up at twenty, and the next sender has nothing to do with them."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"rcpt": "550 5.1.1 nobody"})
    for _ in range(11):
        refused(scene, tlsmend, domain)
    assert len(mx.records) >= 3
    assert all(verbs(r).count("RCPT") <= 5 for r in mx.records)


@pytest.mark.parametrize("phase", ["data", "final"])
def test_c_out_08_one_that_has_answered_is_no_stale_one(scene, phase):
    """What fails later fails as on a fresh one, and is told."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={phase: lambda c: CLOSE if verbs(c.record).count("MAIL") == 2
                                      else "354 go" if phase == "data" else "250 ok"})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451
    assert (sent.attempt["outcome"], sent.attempt["stage"], sent.attempt["reused"]) == ("failed", phase, True)
    assert len(mx.records) == 1
    deliver(scene, tlsmend, domain)


# -- one that the MX is tired of -------------------------------------------------------------------


@pytest.mark.parametrize("code", [421, 450, 451, 452, 454])
def test_c_out_08_4xx_to_mail_on_a_warm_one_asks_a_fresh_one(scene, code):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": later("250 ok", [f"{code} 4.7.0 enough", *([CLOSE] if code == 421 else [])])})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250, sent.reply
    assert [a.get("reused", False) for a in sent.attempts] == [True, False]
    assert sent.attempts[-1]["outcome"] == "delivered"
    assert len(mx.records) == 2 and len(mx.mails) == 2
    assert tlsmend.results(2)[-1]["status"] == "delivered"


@pytest.mark.parametrize("code", [421, 451])
def test_c_out_08_4xx_to_mail_on_a_fresh_one_is_the_answer(scene, code):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": [f"{code} 4.7.0 not now", *([CLOSE] if code == 421 else [])]})
    sent = send(scene, tlsmend, domain)
    assert (sent.reply.code, sent.reply.text) == (451, "4.7.0 not now")
    assert len(mx.records) == 1 and sent.attempt["reason"] == "mx-replied"


def test_c_out_08_4xx_to_mail_everywhere_is_asked_twice_and_told(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": Each("250 ok", "451 4.7.0 not now")})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert (sent.reply.code, sent.reply.text) == (451, "4.7.0 not now")
    assert len(mx.records) == 2
    assert [a.get("reused", False) for a in sent.attempts] == [True, False]


def test_c_out_08_5xx_to_mail_on_a_warm_one_is_no_bounce(scene):
    """An MX that takes one mail for each connection, and says so in the wrong class."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": later("250 ok", "503 5.5.1 one mail only")})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250, sent.reply
    assert [a.get("reused", False) for a in sent.attempts] == [True, False]
    assert len(mx.records) == 2 and len(mx.mails) == 2


def test_c_out_08_5xx_to_mail_on_a_fresh_one_is_the_answer(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain, replies={"mail": Each("250 ok", "550 5.7.1 not you")})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert (sent.reply.code, sent.attempts[-1]["reason"], len(mx.records)) == (550, "mx-replied", 2)
