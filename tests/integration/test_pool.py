# SPDX-License-Identifier: Apache-2.0
"""How many connections there may be, how many wait, and for how long (C-OUT-08, pool.*).

One worker has the whole of each limit; with several each has its share."""

import signal
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, SLOW, hup, open_transaction
from lab.hostile import CLOSE, RESET, Each
from lab.process import wait_for
from lab.warm import deliver, peer, refused, send, silenced, solo, verbs, wait_verb, warm

MAIL = ["MAIL", "RCPT", "DATA"]
BIG = smtpc.message(body=(b"x" * 70 + b"\r\n") * 3000)


def left(mx):
    """The numbers of the connections that ended with QUIT."""
    return [r.number for r in mx.records if r.verbs()[-1:] == ["QUIT"]]


def wait_left(mx, *numbers):
    wait_for(lambda: f"QUIT of {numbers}: {mx.records}", lambda: left(mx) == list(numbers), 10 * SLOW)


def pair(scene, **options):
    """Two domains, each with an MX of its own."""
    domains = scene.domain(), scene.domain()
    return [(d, peer(scene, d, **options)) for d in domains]


def full(sent, setting):
    """The recipient heard that there is no room."""
    assert (sent.reply.code, sent.reply.text[:5]) == (451, "4.3.2") and setting in sent.reply.text, sent.reply
    assert (sent.attempts[-1]["reason"], sent.attempts[-1]["detail"]) == ("pool-full", setting)
    assert "t_connect" not in sent.attempts[-1]


# -- how long --------------------------------------------------------------------------------------


@pytest.mark.parametrize("most", [1, 3])
def test_c_out_08_messages(scene, most):
    domain, tlsmend = scene.domain(), solo(scene, pool={"messages": most})
    mx = peer(scene, domain)
    numbers = [deliver(scene, tlsmend, domain).get("mail", 1) for _ in range(2 * most + 1)]
    assert numbers == [*range(1, most + 1), *range(1, most + 1), 1]
    assert [verbs(r) for r in mx.records[:2]] == [MAIL * most + ["QUIT"]] * 2


def test_c_out_08_messages_counts_what_was_refused(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"messages": 2})
    mx = peer(scene, domain, replies={"rcpt": lambda c: "550 5.1.1 no" if b"nobody" in c.line else "250 ok"})
    refused(scene, tlsmend, domain)
    wait_verb(mx, "RSET")
    deliver(scene, tlsmend, domain)
    wait_left(mx, 1)
    assert verbs(mx.records[0]) == ["MAIL", "RCPT", "RSET", *MAIL, "QUIT"]


def test_c_out_08_idle_time(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"idle_time": "1s"})
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    begin = time.monotonic()
    assert deliver(scene, tlsmend, domain)["mail"] == 2
    wait_left(mx, 1)
    assert time.monotonic() - begin > 0.9
    assert "reused" not in deliver(scene, tlsmend, domain)


def test_c_out_08_idle_time_zero_keeps_none(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"idle_time": "0s"})
    mx = peer(scene, domain)
    for _ in range(2):
        assert "reused" not in deliver(scene, tlsmend, domain)
    wait_left(mx, 1, 2)


def test_c_out_08_max_age_ends_one_that_waits(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"max_age": "1s"})
    mx = peer(scene, domain)
    begin = time.monotonic()
    deliver(scene, tlsmend, domain)
    wait_left(mx, 1)
    assert 0.9 < time.monotonic() - begin < 15 * SLOW


def test_c_out_08_max_age_ends_one_in_use_behind_its_mail(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"max_age": "1s"})
    mx = peer(scene, domain)
    c = open_transaction(scene, tlsmend, domain)
    time.sleep(1.2)
    assert c.data(smtpc.message()).code == 250
    wait_left(mx, 1)
    assert verbs(mx.records[0]) == MAIL + ["QUIT"]


# -- how many wait ---------------------------------------------------------------------------------


def test_c_out_08_idle_per_host_the_oldest_leave(scene):
    (a, at_a), (b, at_b) = pair(scene)
    tlsmend = solo(scene, pool={"idle_per_host": 2})
    warm(scene, tlsmend, b)
    warm(scene, tlsmend, a, 4)
    wait_left(at_a, 1, 2)
    assert not left(at_b)
    assert deliver(scene, tlsmend, b)["reused"] and deliver(scene, tlsmend, a)["reused"]


def test_c_out_08_idle_in_all_the_oldest_leave(scene):
    (a, at_a), (b, at_b) = pair(scene)
    tlsmend = solo(scene, pool={"idle": 2})
    warm(scene, tlsmend, a, 2)
    warm(scene, tlsmend, b)
    wait_left(at_a, 1)
    assert not left(at_b)
    warm(scene, tlsmend, b, 2)    # takes the one that waits, and makes one
    wait_left(at_a, 1, 2)
    assert not left(at_b)


def test_c_out_08_the_one_used_last_is_first(scene):
    """So that those too many grow old."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    warm(scene, tlsmend, domain, 3)
    for _ in range(3):
        deliver(scene, tlsmend, domain)
    assert [r.verbs().count("MAIL") for r in mx.records] == [1, 1, 4]


# -- how many there are ----------------------------------------------------------------------------


def test_c_out_08_per_host(scene):
    (a, at_a), (b, _) = pair(scene)
    tlsmend = solo(scene, pool={"per_host": 2})
    first, second = (open_transaction(scene, tlsmend, a) for _ in range(2))
    full(send(scene, tlsmend, a), "pool.per_host")
    deliver(scene, tlsmend, b)
    assert first.data(smtpc.message()).code == 250
    assert deliver(scene, tlsmend, a)["mail"] == 2
    assert second.data(smtpc.message()).code == 250
    assert len(at_a.records) == 2


def test_c_out_08_per_host_and_the_next_host_has_room(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"per_host": 1})
    peer(scene, domain, label="mx1", preference=1)
    second = peer(scene, domain, label="mx2", preference=2)
    first = open_transaction(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250
    assert [a["reason"] for a in sent.attempts] == ["pool-full", "ok"]
    assert len(second.mails) == 1
    first.close()


def test_c_out_08_per_host_one_that_waits_makes_room(scene):
    """The second domain asks for more of the TLS, so it cannot use the one that waits."""
    a, b = scene.domain(), scene.domain()
    mx = peer(scene, a)
    b.mx(mx.host)
    tlsmend = solo(scene, pool={"per_host": 1}, destinations=[{"match": b.name, "min_version": "1.3"}])
    deliver(scene, tlsmend, a)
    assert "reused" not in deliver(scene, tlsmend, b)
    wait_left(mx, 1)
    assert deliver(scene, tlsmend, b)["reused"]
    assert "reused" not in deliver(scene, tlsmend, a)
    wait_left(mx, 1, 2)


def test_c_out_08_connections(scene):
    (a, at_a), (b, _) = pair(scene)
    tlsmend = solo(scene, pool={"connections": 2})
    first, second = (open_transaction(scene, tlsmend, a) for _ in range(2))
    full(send(scene, tlsmend, b), "pool.connections")
    assert second.data(smtpc.message()).code == 250
    deliver(scene, tlsmend, b)    # the one that waits makes room
    wait_left(at_a, 2)
    assert first.data(smtpc.message()).code == 250


def test_c_out_08_no_limit_by_default(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    warm(scene, tlsmend, domain, 60)
    wait_left(mx, *range(1, 11))    # pool.idle_per_host is 50
    assert len(mx.mails) == 60


FAULTS = ["greeting", "ehlo", "starttls", "handshake", "after-handshake", "mail", "rcpt", "data", "body", "final", "rset"]


@pytest.mark.parametrize("how", [CLOSE, RESET], ids=["close", "reset"])
def test_c_out_08_each_end_gives_its_place_back(scene, how):
    """One place: whatever ends a connection, the next one has it."""
    domain = scene.domain()
    tlsmend = solo(scene, pool={"per_host": 1, "connections": 1}, timeouts={"quit": "1s"}, resolver={"destinations": 0})
    mx = peer(scene, domain)
    for phase in FAULTS:
        mx.replies = {phase: how}
        with scene.client(tlsmend) as c:
            c.ehlo()
            if phase == "rset":
                assert [r.code for r in c.envelope(SENDER, [domain.address()])] == [250, 250]
                assert c.cmd("RSET").code == 250
                wait_verb(mx, "RSET")
            else:
                assert c.deliver(SENDER, domain.address(), BIG).code == 451, phase
        mx.replies = {}
        wait_for("room", lambda: not any(r.open for r in mx.records), 10)
        assert deliver(scene, tlsmend, domain), phase
        mx.replies = {"mail": how}    # the one that waits dies with the next mail, and the fresh one is refused
        assert send(scene, tlsmend, domain).reply.code == 451
    mx.replies = {}
    deliver(scene, tlsmend, domain)


def test_c_out_08_a_silent_one_is_in_nobodys_way(scene):
    """With one place: the stale one goes, and the fresh one has its place."""
    domain, tlsmend = scene.domain(), solo(scene, pool={"per_host": 1}, timeouts={"greeting": "1s"})
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    with silenced(scene, mx.records):
        assert "reused" not in deliver(scene, tlsmend, domain)


# -- each worker's share ---------------------------------------------------------------------------


@pytest.mark.parametrize("setting", ["per_host", "connections"])
def test_c_out_08_the_workers_share_a_limit(scene, setting):
    domain, tlsmend = scene.domain(), scene.tlsmend(workers=2, pool={setting: 2})
    mx = peer(scene, domain)
    clients = [scene.client(tlsmend) for _ in range(16)]    # both workers have some, but for 1 in 30,000 runs
    codes = []
    for c in clients:
        c.ehlo()
        codes.append(c.envelope(SENDER, [domain.address()])[1].code)
    assert sorted(set(codes)) == [250, 451] and codes.count(250) == 2
    assert len(mx.records) == 2


def test_c_out_08_a_share_is_one_at_least(scene):
    domain, tlsmend = scene.domain(), scene.tlsmend(workers=2, pool={"per_host": 1, "idle": 1, "idle_per_host": 1})
    peer(scene, domain)
    for _ in range(8):
        with scene.client(tlsmend) as c:
            c.ehlo()
            assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 250
    assert sum(a.get("reused", False) for a in tlsmend.attempts(8)) >= 6


# -- the end, and new settings ---------------------------------------------------------------------


def test_c_out_08_quit_at_the_end_of_the_daemon(scene):
    (a, at_a), (b, at_b) = pair(scene)
    tlsmend = scene.tlsmend()
    warm(scene, tlsmend, a, 4)
    warm(scene, tlsmend, b, 2)
    tlsmend.stop()
    wait_left(at_a, *(r.number for r in at_a.records))
    wait_left(at_b, *(r.number for r in at_b.records))


def test_c_out_08_during_the_drain_none_waits(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    warm(scene, tlsmend, domain)
    c = open_transaction(scene, tlsmend, domain)
    other = open_transaction(scene, tlsmend, domain)
    tlsmend.send(signal.SIGTERM)
    assert c.data(smtpc.message()).code == 250
    wait_left(mx, 1)
    assert other.data(smtpc.message()).code == 250
    c.close()
    other.close()
    wait_left(mx, 1, 2)
    tlsmend.wait_end(10 * SLOW)


def test_c_out_08_a_reload_keeps_them(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(timeouts={"connect": "7s"})
    hup(tlsmend)
    assert deliver(scene, tlsmend, domain)["mail"] == 2


@pytest.mark.parametrize("pool, gone", [({"idle_time": "0s"}, [1, 2, 3]), ({"idle_per_host": 1}, [1, 2]), ({"idle": 2}, [1]),
                                        ({"per_host": 1}, [1, 2]), ({"connections": 2}, [1])], ids=lambda v: str(v)[:20])
def test_c_out_08_a_reload_with_lower_limits(scene, pool, gone):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    warm(scene, tlsmend, domain, 3)
    tlsmend.write_config(pool=pool)
    hup(tlsmend)
    wait_left(mx, *gone)
    assert deliver(scene, tlsmend, domain).get("reused", False) is (len(gone) < 3)


def test_c_out_08_a_reload_with_a_lower_age_or_count(scene):
    """By the settings that are in force at the next mail."""
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(pool={"messages": 2})
    hup(tlsmend)
    assert deliver(scene, tlsmend, domain)["mail"] == 2
    wait_left(mx, 1)


def test_c_out_08_the_mx_is_down_for_a_while(scene):
    """What waits is gone with it; afterwards all is as before."""
    domain, tlsmend = scene.domain(), solo(scene, pool={"per_host": 2})
    mx = peer(scene, domain, replies={"final": Each(["250 ok", CLOSE], "250 ok")})
    deliver(scene, tlsmend, domain)
    mx.wait_closed()
    mx.shut()
    assert send(scene, tlsmend, domain).attempts[-1]["reason"] == "connect-refused"
    mx.listen()
    deliver(scene, tlsmend, domain)
    assert deliver(scene, tlsmend, domain)["mail"] == 2
