# SPDX-License-Identifier: Apache-2.0
"""Faults in any order (C-RCPT-05): in each of the first rounds any leg may fail in any phase, and the client may go
away; what came of one round meets the faults of the next.  The seed is in the test's name."""

import random

import pytest

from lab import faults, smtpc
from lab.legacy import GoneOnPurpose, Legacy
from lab.process import wait_for

ROUNDS = 4       # with faults; then all is well
# Words in the body may come when the dot is on its way: then they are the reply to it, for all that tlsmend can know.
ALL = [f for f in faults.faults() if f.phase != "connect" and f.kind != "stall"
       and (f.phase != "body" or f.kind in ("close", "reset"))]
SLOW_ONES = [f for f in faults.faults() if f.kind == "stall" and f.phase in ("final", "data", "ehlo", "handshake")]


class Walk:
    """One message and its misfortunes."""

    def __init__(self, farm, tlsmend, ns, rng, number):
        self.rng, self.tlsmend, self.number = rng, tlsmend, number
        self.sinks = farm.sinks(rng.choice((1, 2, 2, 3, 3, 4)))
        self.recipients = [s.domain.address(f"user{i}") for s in self.sinks for i in range(rng.choice((1, 1, 2)))]
        rng.shuffle(self.recipients)
        self.story, self.body, self.gone = [], False, None
        self.unheard = 0   # a client that goes with the dot: test_faults_client.py has what is due then
        self.client = Legacy(
            tlsmend, ns, self.recipients,
            smtpc.message(subject=f"w{number}", body=b"x" * rng.randint(1, 3000) + b"\r\n"),
            ident=rng.choice((None, f"4c{number}")), size=rng.random() < 0.7, pipelining=rng.random() < 0.7,
            before=self.begin, in_body=self.in_body, after_dot=self.after_dot)

    def begin(self, round_):
        """A client that was gone comes back when all is over: before that nobody can know of its message."""
        if self.gone:
            named = sum(len(r.rcpt) for r in self.client.rounds)
            wait_for("the results", lambda: len(self.results()) >= named, 20)
        happened, self.body = {}, False
        for leg, sink in enumerate(self.sinks):
            sink.heal()
            if round_ <= ROUNDS and self.rng.random() < 0.6:
                fault = self.rng.choice(SLOW_ONES if self.rng.random() < 0.08 else ALL)
                sink.fault(faults.script(fault, sink))
                happened[leg] = str(fault)
                self.body = self.body or fault.phase == "body"
        self.gone = self.rng.choice(("body", "dot")) if round_ <= ROUNDS and self.rng.random() < 0.2 else None
        self.story.append((happened, self.gone))

    def in_body(self, _):
        if self.body:   # it may be that the leg does not come so far
            fired = sum(s.fired for s in self.sinks)
            try:
                wait_for("a fault", lambda: sum(s.fired for s in self.sinks) > fired, 0.3)
            except AssertionError:
                pass
        self.go("body")

    def after_dot(self, c, _):
        self.unheard += self.gone == "dot"
        self.go("dot", c)

    def go(self, where, c=None):
        if self.gone == where:
            (c or self.client.connection).close()
            raise GoneOnPurpose

    def results(self):
        return [r for r in self.tlsmend.records("result") if r["recipient"] in self.recipients]

    def run(self):
        self.client.run(40)

    def judge(self, results):
        yield from self.client.complaints
        for recipient in self.recipients:
            (sink,) = [s for s in self.sinks if recipient.endswith("@" + s.domain.name)]
            taken, cut = sink.count(recipient), sink.count(recipient, "cut")
            maybe = [r for r in results if r["recipient"] == recipient and r["status"] == "maybe-delivered"]
            if recipient in self.client.left:
                yield f"lost: {recipient} is in the queue after {len(self.client.rounds)} rounds"
            if recipient in self.client.delivered and not taken:
                yield f"lost: {recipient}: its MX has taken nothing"
            if recipient in self.client.bounced:
                reply = self.client.bounced[recipient]
                if taken > cut + self.unheard:
                    yield f"truth: {recipient} was told {reply}, its MX has taken the message"
                if not any(said.partition(" ")[2] in reply.text for said in sink.said):
                    yield f"truth: {recipient} was told {reply}, which its MX did not say: {sink.said}"
            if taken > 1 + cut + self.unheard:
                yield f"twice: {recipient} got {taken} messages, {cut} of them in the final-dot window"
            if len(maybe) < cut:
                yield f"doubt: {recipient}: {cut} replies of 250 were cut off, {len(maybe)} maybe-delivered"
            if any(t.data != self.client.message for t in sink.taken):
                yield f"content: {sink.host} took another message than was sent"

    def report(self, wrong, records):
        lines = [f"== walk {self.number}: {self.recipients}", *(f"   {w}" for w in wrong)]
        for (happened, gone), round_ in zip(self.story, self.client.rounds):
            lines.append(f"   {happened}, client gone: {gone}: {round_}")
        domains = {s.domain.name for s in self.sinks}
        lines += [f"   {faults.brief(r)}" for r in records if r.get("recipient_domain") in domains]
        return "\n".join(lines)


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_c_rcpt_05_faults_in_any_order(scene, seed):
    farm, tlsmend = faults.prepared(scene)
    walks = [Walk(farm, tlsmend, scene.net.client, random.Random(seed * 1000 + n), n) for n in range(16)]
    faults.at_once(walks, lambda walk: walk.run())
    named = sum(len(r.rcpt) for walk in walks for r in walk.client.rounds)
    wait_for(lambda: f"{named} results", lambda: len(tlsmend.records("result")) >= named)
    records = tlsmend.records()
    results = [r for r in records if r["event"] == "result"]
    assert len(results) == named, "one result for each RCPT"
    failed = [walk.report(wrong, records) for walk in walks if (wrong := list(walk.judge(results)))]
    if failed:
        pytest.fail(f"{len(failed)} walks failed\n" + "\n".join(failed), pytrace=False)
