# SPDX-License-Identifier: Apache-2.0
"""The never-stall contract with real legacy MTAs: a queue of 200 messages to 20 domains, some of them in trouble.

C-LEG-01: mail to the others flows and arrives exactly once, the client never takes tlsmend for dead, and its
queue shows the true reason.  What arrived is what the MX hosts took, not what a log says.
"""

import re
import time

import pytest

from lab.process import wait_for
from lab.servers import CLIENTS, ONESHOT
from lab.stalls import Field

MESSAGES = 200
RUNS = 4   # at most, until what has a second run coming is through


@pytest.mark.parametrize("name", sorted(CLIENTS))
def test_c_leg_01_queue_with_domains_in_trouble(scene, name):
    """The queue is filled while tlsmend is not there; then it is run, once and again."""
    field = Field(scene)
    mails = field.mails(MESSAGES)
    client = scene.server(CLIENTS[name], holding=True)
    for at in range(0, len(mails), 50):
        client.submit_all(mails[at:at + 50], field.sender)
    tlsmend = scene.tlsmend(timeouts={"connect": "500ms"}, helo_name="tlsmend.lab.example")

    begin = time.time()
    client.run_queue(30)
    print(f"{name}: run 1: {time.time() - begin:.1f} s")
    assert field.lost_and_doubled(1) == ([], [])
    assert client.grudges() == []
    for run in range(2, RUNS + 1):
        begin = time.time()
        client.run_queue(30)
        surprises = field.surprises(client.queue(), 2)
        print(f"{name}: run {run}: {time.time() - begin:.1f} s, {len(surprises)} not yet as they will be", *surprises[:3])
        assert field.lost_and_doubled(2) == ([], [])
        if not surprises:
            break
    assert not surprises
    assert client.grudges() == []
    every_refusal_was_told(field)
    assert [r for r in tlsmend.records("session") if r["end"] not in ("quit", "closed")] == []   # the client ends them


@pytest.mark.parametrize("name", sorted(ONESHOT))
def test_c_leg_01_one_shot_clients(scene, name):
    """Programs that only hand mail on, one recipient a message."""
    field = Field(scene)
    client = scene.server(ONESHOT[name], holding=True)
    client.submit_all(field.mails(MESSAGES, single=True), field.sender)
    tlsmend = scene.tlsmend(timeouts={"connect": "500ms"}, helo_name="tlsmend.lab.example")
    for run in (1, 2):
        begin = time.time()
        client.run_queue(30)
        print(f"{name}: run {run}: {time.time() - begin:.1f} s")
        assert field.lost_and_doubled(run) == ([], [])
        assert field.surprises(client.queue(), run) == []


def every_refusal_was_told(field):
    """A bounce for each recipient that was refused for good, one and no more, with the MX's own words."""
    def told():
        return sorted(r for b in field.bounces() for r in set(re.findall(r"\bno[\d-]+@[\w.]+", b))
                      if r in field.refused())
    wait_for(lambda: f"bounces: {set(field.refused()) ^ set(told())}", lambda: told() == sorted(field.refused()))
    assert all("nobody of that name here" in b for b in field.bounces())
