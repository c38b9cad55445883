# SPDX-License-Identifier: Apache-2.0
"""The never-stall contract with real legacy MTAs: a queue of 200 messages to 20 domains, some of them in trouble.

C-LEG-01: mail to the others flows and arrives exactly once, the client never takes tlsmend for dead, and its
queue shows the true reason.  What arrived is what the MX hosts took, not what a log says.
"""

import re
import time

import pytest

from lab import smtpc
from lab.helpers import SLOW, listener
from lab.hostile import CLOSE
from lab.postfix import PostfixLmtpClient
from lab.process import wait_for
from lab.servers import CLIENTS, ONESHOT
from lab.stalls import Field

MESSAGES = 200


def filled(scene, factory, **options):
    """The field, and a client whose queue was filled while tlsmend was not there."""
    field = Field(scene)
    mails, client = field.mails(MESSAGES, **options), scene.server(factory, holding=True)
    for at in range(0, len(mails), 50):   # OpenSMTPD takes 100 in a session
        client.submit_all(mails[at:at + 50], field.sender)
    return field, client


def started(scene, **settings):
    settings.setdefault("timeouts", {"connect": "300ms" if SLOW == 1 else "1s"})
    return scene.tlsmend(helo_name="tlsmend.lab.example", **settings)


def run(number, field, client):
    """One queue run; whatever can be delivered in it has arrived once, and the relayhost is well."""
    begin = time.time()
    client.run_queue()
    print(f"{type(client).__name__}: run {number}: {time.time() - begin:.1f} s, "
          f"the last healthy mail after {field.last('healthy', 'real') - begin:.1f} s")
    assert field.lost_and_doubled(number) == ([], [])
    assert client.grudges() == []


@pytest.mark.parametrize("name", sorted(set(CLIENTS) - {"exim"}))
def test_c_leg_01_queue_with_domains_in_trouble(scene, name):
    """One final reply for a message: where the MX hosts differ there, delivered recipients need a second run."""
    field, client = filled(scene, CLIENTS[name])
    tlsmend = started(scene)
    run(1, field, client)
    waits = [q for q in client.queue() if not field.due_in(q.recipient, 1)]
    assert all("gave different answers" in q.reason for q in waits), waits
    run(2, field, client)
    assert field.surprises(client.queue(), 2) == []
    every_refusal_was_told(field)
    client_ended_every_session(tlsmend)


@pytest.mark.parametrize("factory", [CLIENTS["exim"], PostfixLmtpClient])
def test_c_leg_01_a_final_reply_for_each_recipient(scene, factory):
    """Exim by PRDR, Postfix over LMTP: one run is enough, and there is nothing for the ledger."""
    field, client = filled(scene, factory)
    tlsmend = started(scene, listeners=[listener(), listener("local", 2526, protocol="lmtp")])
    for number in (1, 2):
        run(number, field, client)
        assert field.surprises(client.queue(), number) == []
        assert tlsmend.records("ledger") == []
    every_refusal_was_told(field)
    client_ended_every_session(tlsmend)


def test_c_leg_01_healthy_mail_is_not_held_up(scene):
    """A client that sends at once what it has: all other mail is through before a dead domain has its answer."""
    field, client = filled(scene, CLIENTS["postfix"], mixed=False)
    patience = 8 * SLOW
    started(scene, timeouts={"connect": f"{patience}s"})
    begin = time.time()
    client.run_queue()
    assert field.last("healthy", "slow", "half") - begin < patience <= time.time() - begin
    assert field.lost_and_doubled(1) == ([], []) and client.grudges() == []


@pytest.mark.parametrize("name", sorted(ONESHOT))
def test_c_leg_01_one_shot_clients(scene, name):
    """Programs that only hand mail on, one recipient a message."""
    field, client = filled(scene, ONESHOT[name], single=True)
    started(scene)
    for number in (1, 2):
        run(number, field, client)
        assert field.surprises(client.queue(), number) == []


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_c_leg_01_421_in_every_phase(scene, name):
    """The MX says 421 and closes: the client hears its words as 451 (Sendmail at the end: 452), and mail behind flows."""
    phases = ("greeting", "ehlo", "starttls", "ehlo-tls", "mail", "rcpt", "data", "final")
    client, good, domains = scene.server(CLIENTS[name]), scene.domain(), {p: scene.domain() for p in phases}
    scene.tlsmend(helo_name="tlsmend.lab.example")
    mxs = {p: scene.hostile(d, replies={p: [f"421 4.3.2 no {p} today", CLOSE]}) for p, d in domains.items()}
    mx = scene.hostile(good)
    for domain in (*domains.values(), good):
        client.submit(domain.address(), smtpc.message(subject=domain.name))
    mx.wait_mails()
    for phase, domain in domains.items():
        reason = client.wait_deferred(domain.name).reason
        assert re.search(rf"\b45[12] .*no {phase} today", reason) and not re.search(r"(?<!\()\b421 ", reason), reason
        assert mxs[phase].records and not any(m.complete and phase != "final" for m in mxs[phase].mails)
    assert client.grudges() == []


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_a_relayhost_that_is_not_there_is_held_against_it(scene, name):
    """So the tests here would see it: each client says somewhere that it takes its relayhost for dead."""
    client = scene.server(CLIENTS[name])
    client.submit("user@d.example", smtpc.message())
    client.wait_deferred("d.example")
    wait_for("a grudge", client.grudges)


def test_sendmail_stops_all_mail_at_another_4xx(scene):
    """Why the profile matters: told 451 at the final dot, Sendmail keeps mail for others back without a word."""
    busy, good, client = scene.domain(), scene.domain(), scene.server(CLIENTS["sendmail"])
    scene.hostile(busy, replies={"final": "451 4.3.0 busy for a moment"})
    mx = scene.hostile(good)
    scene.tlsmend(helo_name="tlsmend.lab.example", listeners=[listener(client_profile="plain")])
    for domain in (busy, good):
        client.submit(domain.address(), smtpc.message(subject=domain.name))
        client.wait_deferred(domain.name)
    assert "451 4.3.0 busy" in client.grudges()[0] and not mx.records


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_c_leg_01_auto_profile_at_the_final_dot(scene, name):
    """Sendmail takes a 451 there for trouble of the host: it hears 452, the others what the MX said."""
    domain, client = scene.domain(), scene.server(CLIENTS[name])
    scene.hostile(domain, replies={"final": "451 4.3.0 busy for a moment"})
    scene.tlsmend(helo_name="tlsmend.lab.example")
    client.submit(domain.address(), smtpc.message(subject=domain.name))
    reason = client.wait_deferred(domain.name).reason
    assert ("452 4.3.0" if name == "sendmail" else "451 4.3.0") + " busy for a moment" in reason
    assert client.grudges() == []


def every_refusal_was_told(field):
    """A bounce for each recipient that was refused for good, one and no more, with the MX's own words."""
    def told():
        return sorted(r for b in field.bounces() for r in set(re.findall(r"\bno[\d-]+@[\w.]+", b))
                      if r in field.refused())
    wait_for(lambda: f"bounces: {set(field.refused()) ^ set(told())}", lambda: told() == sorted(field.refused()))
    assert all("nobody of that name here" in b for b in field.bounces())


def client_ended_every_session(tlsmend):
    assert [r for r in tlsmend.records("session") if r["end"] not in ("quit", "closed")] == []
