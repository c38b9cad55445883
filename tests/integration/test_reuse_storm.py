# SPDX-License-Identifier: Apache-2.0
"""Many mails over few connections, whose MXs die now and then (C-OUT-08): nothing is lost, nothing comes twice but
where a final reply was cut off, and no message is found in another one's envelope."""

import collections
import concurrent.futures
import random
import re

import pytest

from lab import smtpc
from lab.hostile import CLOSE, RESET
from lab.warm import peer

CLIENTS, MAILS = 20, 15


class Shared:
    """An MX that several domains have; it may end a connection at any step, as `dice` says."""

    def __init__(self, scene, domains, risk, seed):
        self.dice, self.risk, self.cut = random.Random(seed), risk, collections.Counter()
        self.mx = peer(scene, domains[0], replies={phase: self._maybe(phase) for phase in
                                                   ("mail", "rcpt", "data", "body", "final", "rset")})
        for domain in domains[1:]:
            domain.mx(self.mx.host)

    def _maybe(self, phase):
        honest = {"mail": "250 2.1.0 ok", "rcpt": self._rcpt, "data": "354 go on", "body": [], "final": "250 2.0.0 taken",
                  "rset": "250 2.0.0 ok"}[phase]

        def act(c):
            if self.dice.random() >= self.risk:
                return honest(c) if callable(honest) else honest
            if phase == "final":
                self.cut[number_of(c.record.mails[-1].data)] += 1
            return self.dice.choice((CLOSE, RESET))
        return act

    @staticmethod
    def _rcpt(c):
        return "550 5.1.1 no" if b"nobody" in c.line else "250 2.1.5 ok"


def number_of(data):
    return int(re.search(rb"^X-Number: (\d+)\r$", data, re.M)[1])


def one_client(scene, tlsmend, domains, numbers, habit):
    """Each mail until it is taken, with 4xx as a queue does; what it cost."""
    tries, c = collections.Counter(), None
    for number in numbers:
        domain = domains[number % len(domains)]
        sender, to = f"s{number}@client.lab.example", f"r{number}@{domain.name}"
        message = smtpc.message(subject=f"n{number}", body=b"b%d\r\n" % number * (1 + number % 7 * 400), X_Number=str(number))
        for _ in range(30):
            if c is None:
                c = smtpc.SmtpClient(scene.net.client, timeout=60)
                c.ehlo()
            tries[number] += 1
            recipients = [to] if number % 3 else [f"nobody@{domain.name}", to]
            lines = [f"MAIL FROM:<{sender}>", *(f"RCPT TO:<{r}>" for r in recipients), "DATA"]
            replies = c.pipeline(lines) if habit & 1 else [c.cmd(line) for line in lines]
            if replies[-1].code == 354:
                c.send(smtpc.stuff(message) + b".\r\n")
                if c.reply().code == 250:
                    break
            else:
                assert c.cmd("RSET").code == 250
        else:
            raise AssertionError(f"mail {number} was not taken in 30 rounds")
        if habit & 2:
            c.close()
            c = None
    return tries


@pytest.mark.parametrize("risk", [0, 0.03], ids=["calm", "stormy"])
@pytest.mark.parametrize("pool", [{}, {"messages": 7, "idle_per_host": 3}, {"idle_time": "0s"}], ids=["default", "few", "none"])
def test_c_out_08_nothing_is_lost_twice_or_mixed_up(scene, pool, risk):
    domains = [scene.domain() for _ in range(4)]
    shared = [Shared(scene, half, risk, seed) for seed, half in enumerate((domains[:2], domains[2:]))]
    tlsmend = scene.tlsmend(workers=2, pool=pool)
    with concurrent.futures.ThreadPoolExecutor(CLIENTS) as threads:
        tasks = [threads.submit(one_client, scene, tlsmend, domains, range(i, CLIENTS * MAILS, CLIENTS), i)
                 for i in range(CLIENTS)]
        tries = sum((t.result() for t in tasks), collections.Counter())
    mails = [m for s in shared for m in s.mx.mails]
    seen, cut = collections.Counter(), shared[0].cut + shared[1].cut
    for m in mails:
        number = number_of(m.data)
        seen[number] += 1
        assert m.sender.startswith(b"<s%d@" % number) and m.in_tls
        assert m.recipients == [f"<r{number}@{domains[number % 4].name}>".encode()]
        body = m.data.partition(b"\r\n\r\n")[2]
        assert body == b"b%d\r\n" % number * (1 + number % 7 * 400)
    assert set(seen) == set(range(CLIENTS * MAILS))
    assert {n: c - 1 for n, c in seen.items() if c > 1} == dict(cut)
    connections = [r for s in shared for r in s.mx.records]
    assert all(r.verbs().count("MAIL") <= pool.get("messages", 100) for r in connections)
    if risk == 0:
        assert set(tries.values()) == {1}
        assert pool or len(connections) <= 2 * CLIENTS    # as many to each host as there were mails at a time
    else:
        assert len(connections) > 10 and sum(tries.values()) > CLIENTS * MAILS
