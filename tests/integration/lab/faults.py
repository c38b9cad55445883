# SPDX-License-Identifier: Apache-2.0
"""Fault injection over legs: cases, their run against one daemon, and the judgement by the sinks' own records.

A case is a message of a stubborn legacy MTA (lab/legacy.py) to recipients of one to three domains, whose MXs
(lab/farm.py) fail in its first rounds and are healthy afterwards.  What has to hold, whatever fails and where:

    lost     each recipient is delivered, or is told a 5xx that its own MX said
    twice    no MX takes a message for a recipient again after it has said 250, unless that 250 was cut off
    doubt    each 250 that was cut off is a `maybe-delivered` in the log, and nothing else is
    client   it never hears 421, and no connection of its is closed
    fired    each fault happened (a case whose fault did not fire proves nothing)
    records  one result for each RCPT, one attempt for each connection that an MX saw
"""

import concurrent.futures
import contextlib
import dataclasses
import itertools
import json

from . import smtpc
from .farm import Farm
from .helpers import SLOW
from .hostile import CLOSE, RESET
from .legacy import Legacy
from .process import wait_for
from .tlsmend import merged

# Shorter than the steps of a healthy MX under load would be wrong; each is waited out by some case.
TIMEOUTS = {"connect": 1, "greeting": 1.5, "ehlo": 1.5, "starttls": 1.5, "handshake": 1, "rung": 0.6,
            "recipient_budget": 5, "data": 2, "block": 2, "final": 3, "leg_wait": 2.5, "leg_stall": 1, "quit": 1}
SETTINGS = {"timeouts": {k: f"{int(v * 1000 * SLOW)}ms" for k, v in TIMEOUTS.items()},
            "mta_sts": {"enabled": False}}

# In the order of a session.  Those with a reply can say anything in its place.
REPLIES = ("greeting", "ehlo", "starttls", "ehlo-tls", "mail", "rcpt", "data", "final")
PHASES = ("connect", *REPLIES[:3], "handshake", *REPLIES[3:7], "body", "final")
KINDS = ("4xx", "5xx", "421", "close", "reset", "stall", "garbage")
GARBAGE = b"\x00\x07!! what \xff\xfe\r\n"
BIG = 1536 * 1024        # more than what lies in the buffers between tlsmend and a sink that does not read


@dataclasses.dataclass(frozen=True)
class Fault:
    phase: str
    kind: str
    lasting: bool = False    # it never heals

    def __str__(self):
        return f"{self.phase}/{self.kind}" + ("/lasting" if self.lasting else "")

    @property
    def in_doubt(self):
        """The sink takes the message and its 250 does not arrive."""
        return self.phase == "final" and self.kind in ("close", "reset", "stall", "garbage", "partial")

    @property
    def may_be_in_doubt(self):
        """tlsmend may have sent the dot into a connection that was dead already."""
        return self.in_doubt or self.phase == "body"


def faults():
    """All that make sense: a connection has no words, a handshake no reply codes."""
    for phase, kind in itertools.product(PHASES, KINDS):
        if phase == "handshake" and kind in KINDS[:3]:
            continue
        if phase != "connect":
            yield Fault(phase, kind)
    yield Fault("connect", "refused")
    yield Fault("connect", "black-hole")
    yield Fault("final", "partial")


def words(code, name):
    return f"{code} {'4.3.2' if code < 500 else '5.7.9'} {name} says no"


def script(fault, sink):
    """The replies of a sink with this fault."""
    name = sink.host.split(".")[0]
    action = {"4xx": words(450, name), "5xx": words(554, name), "421": [words(421, name), CLOSE],
              "close": CLOSE, "reset": RESET, "stall": None, "garbage": GARBAGE}.get(fault.kind)
    if fault.kind == "5xx":
        sink.said.append(action)
    if fault.phase == "connect":
        return {}
    if fault.phase == "body" and fault.kind == "stall":
        action = _never_read
    if fault.phase == "final" and fault.in_doubt:
        action = [lambda c: sink.take(c, "cut"), [b"250 2.0.0 tak", CLOSE] if fault.kind == "partial" else action]
    return {fault.phase: action}


def _never_read(c):
    c.mx.sleep(3600)


class Case:
    """positions: leg -> Fault.  `users` recipients at the first leg, one at each other."""

    def __init__(self, farm, legs, positions, *, users=1, protocol="smtp", ident=None, size=False,
                 pipelining=True, one_session=False):
        where = ",".join(f"{i + 1}:{f}" for i, f in positions.items())
        self.name = f"{protocol} {legs} legs {where}"
        big = any(f == Fault("body", "stall") for f in positions.values())
        self.sinks = farm.sinks(legs, **({"receive_buffer": 4096} if big else {}))
        self.positions, self.protocol = positions, protocol
        self.recipients = [s.domain.address("user") for s in self.sinks]
        self.recipients += [self.sinks[0].domain.address(f"user{i}") for i in range(1, users)]
        self._options = {"ident": ident, "size": size, "pipelining": pipelining, "one_session": one_session,
                         "protocol": protocol, "before": self._before, "in_body": self._in_body}
        lines = (BIG if big else 900) // 72
        self.message = b"Received: from x by y with ESMTP id 4cR" + self.sinks[0].host.split(".")[0].encode() + \
            b"; Sat\r\n" + smtpc.message(subject=self.sinks[0].host, body=(b"x" * 70 + b"\r\n") * lines)
        self.client = None
        self._holes = contextlib.ExitStack()

    def recipients_of(self, leg):
        domain = "@" + self.sinks[leg].domain.name
        return [r for r in self.recipients if r.endswith(domain)]

    def run(self, tlsmend, ns, limit=8, listener=None):
        self.client = Legacy(tlsmend, ns, self.recipients, self.message, listener=listener, **self._options)
        with self._holes:
            self.client.run(limit)

    def _before(self, round_):
        """A fault lasts until it has happened, and to the end of that round."""
        for leg, fault in self.positions.items():
            sink = self.sinks[leg]
            if round_ == 1:
                self._break(sink, fault)
            elif (sink.fired or fault.phase == "connect") and not fault.lasting:
                self._mend(sink, fault)

    def _break(self, sink, fault):
        sink.fault(script(fault, sink))
        if fault.kind == "refused":
            sink.shut()
        elif fault.kind == "black-hole":
            self._holes.enter_context(sink.black_hole())

    def _mend(self, sink, fault):
        sink.heal()
        self._holes.close()
        if fault.kind == "refused":
            sink.listen()

    def _in_body(self, _):
        """The second half is sent when the faults of the body have happened, and tlsmend has seen them: words
        that come when the dot is on its way are the reply to it."""
        for leg, fault in self.positions.items():
            if fault.phase == "body" and not self.sinks[leg].healthy:
                with contextlib.suppress(AssertionError):   # judged later
                    wait_for("the fault in the body", lambda s=self.sinks[leg]: s.fired, 5)
                    if fault.kind != "stall":
                        self.sinks[leg].wait_closed(5)

    # -- the judgement ------------------------------------------------------------------------

    def judge(self, records):
        """What is wrong, in words; `records` are tlsmend's about these domains."""
        wrong = list(self.client.complaints)
        for leg, sink in enumerate(self.sinks):
            fault = self.positions.get(leg)
            wrong += self._judge_fired(sink, fault, records)
            wrong += self._judge_attempts(sink, fault, records)
            for recipient in self.recipients_of(leg):
                wrong += self._judge_recipient(sink, fault, recipient, records)
        return wrong

    @staticmethod
    def _judge_fired(sink, fault, records):
        if fault is None:
            return
        attempts = [r for r in records if r["event"] == "attempt" and r["recipient_domain"] == sink.domain.name]
        if fault.phase == "connect":
            due = "connect-refused" if fault.kind == "refused" else "connect-timeout"
            if not any(a["reason"] == due for a in attempts):
                yield f"fired: no attempt with {due} at {sink.host}"
        elif not sink.fired:
            yield f"fired: {fault} did not happen at {sink.host}"

    @staticmethod
    def _judge_attempts(sink, fault, records):
        if fault is not None and fault.phase in ("connect", "greeting"):
            return   # a connection that ends at once may be none for tlsmend
        attempts = [r for r in records if r["event"] == "attempt" and r["recipient_domain"] == sink.domain.name]
        openers = [a for a in attempts if "reused" not in a]
        if len(openers) != len(sink.records):
            yield f"records: {len(openers)} of {len(attempts)} attempts made a connection, {len(sink.records)} at {sink.host}"

    def _judge_recipient(self, sink, fault, recipient, records):
        client = self.client
        results = [r for r in records if r["event"] == "result" and r["recipient"] == recipient]
        named = sum(recipient in r.recipients and bool(r.rcpt) for r in client.rounds)
        taken, cut = sink.count(recipient), sink.count(recipient, "cut")
        maybe = sum(r["status"] == "maybe-delivered" for r in results)
        if len(results) != named:
            yield f"records: {len(results)} results for {named} RCPT of {recipient}"
        if recipient in client.left:
            yield f"lost: {recipient} is in the queue after {len(client.rounds)} rounds"
        if recipient in client.delivered and not taken:
            yield f"lost: {recipient} was told {client.delivered[recipient]}, its MX has taken nothing"
        if recipient in client.bounced:
            yield from self._judge_bounce(sink, recipient, taken)
        if taken > 1 + cut:
            yield f"twice: {recipient} got {taken} messages, {cut} of them in the final-dot window"
        if maybe < cut or maybe > cut and not (fault and fault.may_be_in_doubt):
            yield f"doubt: {recipient}: {cut} replies of 250 were cut off, {maybe} maybe-delivered in the log"
        if any(t.data != self.message for t in sink.taken):
            yield f"content: {sink.host} took another message than was sent"

    def _judge_bounce(self, sink, recipient, taken):
        reply = self.client.bounced[recipient]
        if taken:
            yield f"truth: {recipient} was told {reply}, its MX has taken the message"
        if not any(text.partition(" ")[2] in reply.text for text in sink.said):
            yield f"truth: {recipient} was told {reply}, which its MX did not say: {sink.said}"


def report(case, wrong, records):
    lines = [f"== {case.name} ({case.sinks[0].domain.name} ...)", *(f"   {w}" for w in wrong)]
    lines += [f"   round {i + 1}: {r}" for i, r in enumerate(case.client.rounds)]
    lines += [f"   at {s.host}: {r.verbs()} {r.error}" for s in case.sinks for r in s.records]
    lines += ["   " + json.dumps(brief(r)) for r in records]
    return "\n".join(lines)


def brief(record):
    keep = ("event", "transaction", "leg", "attempt", "recipient", "recipient_domain", "status", "code", "reply",
            "origin", "outcome", "reason", "detail", "stage", "t_connect", "t_final", "delay")
    return {k: record[k] for k in keep if k in record}


def by_domain(records):
    out = {}
    for record in records:
        out.setdefault(record.get("recipient_domain"), []).append(record)
    return out


def settled_records(tlsmend, cases):
    """All records, once there is a result for each RCPT (or there never will be)."""
    named = sum(len(r.rcpt) for case in cases for r in case.client.rounds)
    with contextlib.suppress(AssertionError):
        wait_for("the results", lambda: len(tlsmend.records("result")) >= named, 5 * SLOW)
    return by_domain(tlsmend.records())


def at_once(things, act, width=40):
    """act(thing) for all of them, so many at a time."""
    with concurrent.futures.ThreadPoolExecutor(width) as pool:
        for future in [pool.submit(act, thing) for thing in things]:
            future.result()


def run(tlsmend, ns, cases, *, limit=8, listener=None):
    """All cases; the failed ones in words."""
    at_once(cases, lambda case: case.run(tlsmend, ns, limit, listener))
    records = settled_records(tlsmend, cases)
    failed = []
    for case in cases:
        own = [r for s in case.sinks for r in records.get(s.domain.name, ())]
        wrong = case.judge(own)
        if wrong:
            failed.append(report(case, wrong, own))
    return failed


def prepared(scene, **settings):
    """A farm and a daemon with short patience."""
    return Farm(scene), scene.tlsmend(**merged(SETTINGS, settings))


_flip = itertools.count()


def variety():
    """The habits of one client or another, in turn: with and without XFORWARD, SIZE, pipelining, one session."""
    n = next(_flip)
    return {"ident": f"4cRq{n}" if n & 1 else None, "size": bool(n & 2), "pipelining": bool(n & 4) or n % 3 == 0,
            "one_session": bool(n & 8)}
