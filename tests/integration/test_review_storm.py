# SPDX-License-Identifier: Apache-2.0
"""A storm (C-RCPT-05): clients of all habits send messages to domains that misbehave at random, vanish at random moments, and come
back, while the configuration is read again.  Then the domains get well, and the sinks' own records are the judge.

STORM_SECONDS and STORM_SEED make it longer and another one."""

import os
import random
import re
import socket
import struct
import threading
import time

from lab import faults, smtpc
from lab.helpers import SLOW
from lab.hostile import CLOSE, RESET
from lab.legacy import GoneOnPurpose, Legacy

SECONDS = float(os.environ.get("STORM_SECONDS", "2"))
SEED = int(os.environ.get("STORM_SEED", "1"))
CLIENTS, SINKS = 16, 8
FINAL_LATE = 0.8      # the longest that a sink thinks about a message
ID = re.compile(rb"ESMTP id (\S+);")


class Weather:
    """What a sink does next; `calm` makes it honest."""

    def __init__(self, sink, seed):
        self.sink, self.random, self.calm = sink, random.Random(seed), False
        self.said = {}    # token of a 5xx -> (phase, message or recipient it was about)
        self._lock = threading.Lock()
        sink.replies = {p: self._act(p) for p in ("greeting", "ehlo", "mail", "rcpt", "data", "body", "final")}

    def _refuse(self, code, phase, about):
        with self._lock:
            token = f"T{self.sink.host.split('.')[0]}x{len(self.said)}x"
            self.said[token] = (phase, about)
        return f"{code} {code // 100}.7.9 {token} says no"

    def _act(self, phase):
        def act(c):
            with self._lock:
                dice = 1.0 if self.calm else self.random.random()
                late = self.random.random() * FINAL_LATE
            return getattr(self, "_" + phase.replace("-", "_"))(c, dice, late)
        return act

    def _greeting(self, c, dice, late):
        if dice < 0.05:
            return self.random.choice([CLOSE, RESET, "421 4.3.2 busy", "450 4.3.2 busy", [late * 3, CLOSE]])
        return f"220 {self.sink.name} ESMTP"

    def _ehlo(self, c, dice, _):
        if dice < 0.02:
            return self.random.choice([CLOSE, "421 4.3.2 not now"])
        caps = [x for x in self.sink.capabilities if x != "STARTTLS" or not c.in_tls]
        lines = [self.sink.name, *caps]
        return "\r\n".join(f"250{' ' if i == len(lines) - 1 else '-'}{x}" for i, x in enumerate(lines))

    def _mail(self, c, dice, _):
        if dice < 0.03:
            return self.random.choice([CLOSE, "421 4.3.2 no mail", "451 4.3.2 no mail"])
        return "250 2.1.0 ok"

    def _rcpt(self, c, dice, late):
        if dice < 0.04:
            path = c.line[9:].rstrip(b">").decode()
            return self._refuse(550, "rcpt", path)
        if dice < 0.14:
            return self.random.choice([CLOSE, RESET, ["421 4.3.2 enough", CLOSE], "450 4.2.0 later", [late * 3, "250 ok"]])
        return "250 2.1.5 ok"

    def _data(self, c, dice, _):
        if not c.record.mails or not c.record.mails[-1].recipients:
            return "503 5.5.1 no recipients"
        if dice < 0.02:
            return self._refuse(554, "data", [r.decode() for r in c.record.mails[-1].recipients])
        if dice < 0.06:
            return self.random.choice([CLOSE, "451 4.3.0 no data", ["421 4.3.2 enough", CLOSE]])
        return "354 go on"

    def _body(self, c, dice, late):
        return self.random.choice([CLOSE, RESET, late * 2]) if dice < 0.06 else []

    def _final(self, c, dice, late):
        mail = c.record.mails[-1]
        if dice < 0.12:
            return self._refuse(554, "final", ID.search(mail.data)[1].decode())
        if dice < 0.30:
            return self.random.choice(["451 4.3.0 try again", ["421 4.3.2 enough", CLOSE]])
        if dice < 0.40:
            return self.random.choice([CLOSE, RESET])
        if dice < 0.48:
            self.sink.take(c, "cut")
            return self.random.choice([CLOSE, RESET, [b"250 2.0", CLOSE]])
        return [late, self._take] if dice < 0.8 else self._take

    def _take(self, c):
        self.sink.take(c, "told")
        return f"250 2.0.0 taken by {self.sink.host}"


class Mail:
    """One message and its client's queue."""

    def __init__(self, number, rnd, sinks, tlsmend, ns):
        self.id, self.random = f"q{number}", rnd
        recipients = []
        for sink in rnd.sample(sinks, rnd.randint(1, 4)):
            for _ in range(rnd.choice([1, 1, 1, 2])):
                user = f"u{rnd.randint(1, 3)}" if rnd.random() < 0.4 else f"{self.id}-{rnd.randint(1, 99)}"
                recipients.append(sink.domain.address(user))
        recipients = list(dict.fromkeys(recipients))
        rnd.shuffle(recipients)
        self.recipients = recipients
        body = b"x" * 60 + b"\r\n"
        self.message = (f"Received: from x by y with ESMTP id {self.id}; Sat\r\n".encode()
                        + smtpc.message(subject=self.id, body=body * rnd.choice([0, 1, 3, 200, 4000])
                                        + b"y" * (number % 70) + b"\r\n"))
        protocol = rnd.choice(["smtp"] * 4 + ["lmtp", "prdr"])
        port = 2526 if protocol == "lmtp" else 2525
        self.client = Legacy(tlsmend, ns, recipients, self.message, sender=f"s{number % 2}@client.lab.example",
                             protocol=protocol, size=rnd.random() < 0.7,
                             ident=self.id if rnd.random() < 0.4 else None, pipelining=rnd.random() < 0.7,
                             listener=("127.0.0.1", port), in_body=self._in_body, after_dot=self._after_dot)
        self.wild = True

    def _go(self):
        c = self.client.connection
        if self.random.random() < 0.4:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        c.close()
        raise GoneOnPurpose

    def _in_body(self, _):
        if self.wild and self.random.random() < 0.08:
            self._go()

    def _after_dot(self, _, __):
        if not self.wild or self.random.random() > 0.25:
            return
        time.sleep(self.random.choice([0, 0, 0.1, 0.5]))
        try:
            self._go()
        finally:
            # Who comes back while the MX still thinks gets it twice: the window of RFC 1047.
            time.sleep(1.5 * SLOW)

    def turn(self):
        self.client.turn()


def judge(mail, weathers, results):
    """What is wrong, in words."""
    client = mail.client
    yield from client.complaints
    for recipient in mail.recipients:
        weather = next(w for w in weathers if recipient.endswith("@" + w.sink.domain.name))
        taken = [t for t in weather.sink.taken if recipient in t.recipients and t.data == mail.message]
        own = [r for r in results if r.get("queue_id") == mail.id and r["recipient"] == recipient]
        doubts = sum(r["status"] == "maybe-delivered" for r in own)
        if recipient in client.left:
            yield f"left: {recipient}"
        elif recipient in client.delivered:
            if not taken:
                yield f"lost: {recipient} was told {client.delivered[recipient]}"
        elif taken and not doubts:
            yield f"truth: {recipient} was told {client.bounced[recipient]} and its MX took it"
        if len(taken) > 1 + doubts:
            yield f"twice: {recipient} {len(taken)} times, {doubts} doubts"
        if recipient in client.bounced:
            yield from judge_bounce(mail, recipient, client.bounced[recipient], weather)


def judge_bounce(mail, recipient, reply, weather):
    tokens = re.findall(r"T\w+?x\d+x", reply.text)
    own = [weather.said[t] for t in tokens if t in weather.said]
    # One reply for all names what was said of each.
    if not any(phase == "data" or about == (mail.id if phase == "final" else recipient) for phase, about in own):
        yield f"truth: {recipient} was told {reply}, which its MX said of {own}"


def test_c_rcpt_05_a_storm_loses_nothing_and_sends_nothing_twice(scene):
    farm, tlsmend = faults.prepared(
        scene, limits={"legs": 3}, timeouts={"leg_wait": f"{int(700 * SLOW)}ms", "leg_stall": "500ms"},
        listeners=[{"name": "relayhost", "protocol": "smtp", "address": "127.0.0.1", "port": 2525},
                   {"name": "local", "protocol": "lmtp", "address": "127.0.0.1", "port": 2526}])
    sinks = farm.sinks(SINKS)
    weathers = [Weather(s, SEED * 1000 + i) for i, s in enumerate(sinks)]
    end, mails, lock, numbers = time.monotonic() + SECONDS, [], threading.Lock(), iter(range(1, 10**9))

    def work(seed):
        rnd = random.Random(seed)
        open_ = []
        while time.monotonic() < end:
            if len(open_) < 6 and rnd.random() < 0.6:
                with lock:
                    mail = Mail(next(numbers), random.Random(rnd.random()), sinks, tlsmend, scene.net.client)
                    mails.append(mail)
                open_.append(mail)
            if open_:
                mail = rnd.choice(open_)
                mail.turn()
                if not mail.client.left:
                    open_.remove(mail)
        for weather in weathers:
            weather.calm = True
        for mail in open_:
            mail.wild = False
            for _ in range(12):
                if mail.client.left:
                    mail.turn()

    threads = [threading.Thread(target=work, args=(SEED * 100 + i,)) for i in range(CLIENTS)]
    for thread in threads:
        thread.start()
    while any(t.is_alive() for t in threads):
        time.sleep(0.7)
        tlsmend.reload()
    records = [r for rs in faults.settled_records(tlsmend, []).values() for r in rs]
    results = [r for r in records if r["event"] == "result"]
    trouble = [r for r in tlsmend.records("store") if r["severity"] != "info"]
    assert not trouble, trouble
    wrong = [f"{m.id} ({m.client.protocol}): {w}\n   " + "\n   ".join(map(str, m.client.rounds))
             for m in mails for w in judge(m, weathers, results)]
    print(f"{len(mails)} messages, {sum(len(m.client.rounds) for m in mails)} transactions")
    assert not wrong, "\n".join(wrong[:12])
