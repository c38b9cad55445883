# SPDX-License-Identifier: Apache-2.0
"""Held legs (C-RCPT-04) in odd company: beside a leg of their own domain, with an MX in trouble, with a message that is
refused, with recipients that are named twice."""

import pytest

from lab import faults, smtpc
from lab.helpers import SENDER
from lab.hostile import CLOSE, Each
from lab.process import wait_for
from lab.smtpc import stuff


def session(scene, tlsmend, recipients, body, hello="EHLO"):
    """A transaction, its answers: to RCPT, DATA, and the end."""
    c = scene.client(tlsmend, listener=("127.0.0.1", 2526) if hello == "LHLO" else None)
    assert c.cmd(f"{hello} x").code == 250
    rcpt = c.pipeline([f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{r}>" for r in recipients)])[1:]
    data = c.cmd("DATA")
    if data.code != 354:
        return rcpt, data, []
    c.send(body)
    taken = sum(r.code == 250 for r in rcpt)
    return rcpt, data, [c.reply() for _ in range(taken if hello == "LHLO" else 1)]


LISTENERS = [{"name": "relayhost", "protocol": "smtp", "address": "127.0.0.1", "port": 2525},
             {"name": "local", "protocol": "lmtp", "address": "127.0.0.1", "port": 2526}]


def mixed(scene, *, count=2, wire=None, recipients=None, **settings):
    """A message that the first domain has taken and the second has not: what the next transaction is about."""
    farm, tlsmend = faults.prepared(scene, listeners=LISTENERS, **settings)
    sinks = farm.sinks(count)
    sinks[1].fault({"final": Each("451 4.3.0 later", sinks[1].replies_honestly)})
    wire = wire or stuff(smtpc.message()) + b".\r\n"
    to = recipients(sinks) if recipients else [s.domain.address() for s in sinks[:2]]
    rcpt, _, final = session(scene, tlsmend, to, wire)
    assert {r.code for r in rcpt} == {250} and final[0].code == 451
    return tlsmend, sinks, to, wire


def test_c_rcpt_04_held_and_not_held_of_one_domain(scene):
    tlsmend, (good, bad), to, wire = mixed(scene)
    new = good.domain.address("new")
    _, _, final = session(scene, tlsmend, [*to, new], wire)
    assert final[0].code == 250
    assert (good.count(to[0]), bad.count(to[1]), good.count(new)) == (1, 1, 1)


def test_c_rcpt_04_the_same_recipient_named_twice(scene):
    tlsmend, (good, bad), to, wire = mixed(scene, recipients=lambda s: [x.domain.address() for x in s for _ in "12"])
    _, _, final = session(scene, tlsmend, to, wire)
    assert final[0].code == 250 and len(good.taken) == 1 and len(bad.taken) == 1


def test_c_rcpt_04_a_message_of_no_bytes(scene):
    tlsmend, (good, bad), to, wire = mixed(scene, wire=b".\r\n")
    _, _, final = session(scene, tlsmend, to, wire)
    assert final[0].code == 250 and len(good.taken) == 1 and len(bad.taken) == 1


@pytest.mark.parametrize("hello", ["EHLO", "LHLO"])
@pytest.mark.parametrize("how", ["bare", "big"])
def test_c_rcpt_04_a_refused_message_at_held_legs_and_then_the_retry(scene, how, hello):
    tlsmend, (good, bad), to, wire = mixed(scene, limits={"message_size": "100KiB"})
    refused = b"x: y\r\n\r\na\nb\r\n.\r\n" if how == "bare" else (b"x" * 70 + b"\r\n") * 2000 + b".\r\n"
    _, _, final = session(scene, tlsmend, to, refused, hello)
    assert {f.code // 100 for f in final} == {5} and len(good.taken) == 1 and not bad.taken
    _, _, final = session(scene, tlsmend, to, wire, hello)
    assert {f.code for f in final} == {250} and len(good.taken) == 1 and len(bad.taken) == 1
    wait_for("an empty ledger", lambda: not tlsmend.sql("SELECT 1 FROM ledger"))


TROUBLE = {
    "mail": {"mail": "550 5.7.1 no"}, "rcpt": {"rcpt": "550 5.7.1 no"}, "data": {"data": "554 5.7.1 no"},
    "data-421": {"data": ["421 4.7.1 no", CLOSE]}, "greeting": {"greeting": "554 5.7.1 no"},
    "final": {"final": "554 5.7.1 no"},
}


@pytest.mark.parametrize("same", [True, False], ids=["same", "other"])
@pytest.mark.parametrize("hello", ["EHLO", "LHLO"])
@pytest.mark.parametrize("how", sorted(TROUBLE))
def test_c_rcpt_04_a_held_leg_in_trouble_and_another_that_refuses_data(scene, how, hello, same):
    """Whatever its MX says, only the digest decides; of another message the MX's own word is told."""
    fresh = {"pool": {"idle_time": "0s"}} if how == "greeting" else {}    # else nobody would be greeted
    tlsmend, (good, bad, third), to, wire = mixed(scene, count=3, **fresh)
    good.fault(TROUBLE[how])
    third.fault({"data": "554 5.6.0 third"})
    wire = wire if same else stuff(smtpc.message(subject="another")) + b".\r\n"
    rcpt, data, final = session(scene, tlsmend, [*to, third.domain.address()], wire, hello)
    assert [r.code for r in rcpt] == [250] * 3 and data.code == 354
    if hello == "EHLO":
        assert final[0].code == 451
    else:
        assert [f.code for f in final[1:]] == [250, 554]
        due = 250 if same else 451 if how == "data-421" else 550 if how in ("mail", "rcpt") else 554
        assert final[0].code == due and (not same or good.host in final[0].text)
    assert len(good.taken) == 1 and len(bad.taken) == 1 and not third.taken
