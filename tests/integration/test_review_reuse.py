# SPDX-License-Identifier: Apache-2.0
"""DATA that leaves with the recipients, and what a connection is worth behind it (C-OUT-07, C-OUT-08, C-OUT-09): whatever the MX
and the client do, no dot without the client's, no mail in the place of another, no connection with a doubt is used again."""

import collections
import datetime
import itertools
import os
import random
import socket
import struct
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes

from lab import smtpc
from lab.helpers import SENDER, SLOW, listener
from lab.hostile import CLOSE, RESET
from lab.pki import Chain
from lab.process import wait_for
from lab.warm import deliver, peer, send, solo

SHORT = {"recipient_budget": f"{3 * SLOW}s", "data": f"{2 * SLOW}s", "block": f"{2 * SLOW}s", "final": f"{3 * SLOW}s",
         "quit": f"{1 * SLOW}s", "leg_wait": f"{2 * SLOW}s"}


def flight(c, domain, users=("user",)):
    """MAIL, RCPT and DATA in one segment."""
    c.send("".join([f"MAIL FROM:<{SENDER}>\r\n", *(f"RCPT TO:<{domain.address(u)}>\r\n" for u in users),
                    "DATA\r\n"]).encode())


def said(c, count):
    return [c.reply().code for _ in range(count)]


def test_c_out_08_one_flight_over_a_warm_connection(scene):
    domain, tlsmend = scene.domain(), solo(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    pieces = len(mx.records[0].pieces)
    with scene.client(tlsmend) as c:
        c.ehlo()
        flight(c, domain, ("a", "b"))
        assert said(c, 4) == [250, 250, 250, 354]
        first = mx.records[0].pieces[pieces]
        assert [line.split(b" ")[0] for line in first.split(b"\r\n")] == [b"MAIL", b"RCPT", b"RCPT", b"DATA", b""]
        c.send(smtpc.message() + b".\r\n")
        assert c.reply().code == 250
    assert len(mx.mails) == 2 and len(mx.records) == 1


# What the MX says to the flight; the codes that the client hears, None: more than one is right.
ANSWERS = {
    "all-well": ({}, [250, 250, 250, 354]),
    "one-refused": ({"rcpt": lambda c: "550 no" if b"<a" in c.line else "250 ok"}, [250, 550, 250, 354]),
    "all-refused": ({"rcpt": "550 no"}, [250, 550, 550, 554]),
    "all-refused-and-354": ({"rcpt": "550 no", "data": "354 all the same"}, [250, 550, 550, 554]),
    "mail-refused": ({"mail": "550 no", "rcpt": "503 no", "data": "503 no"}, [250, 550, 550, 554]),
    "mail-refused-and-354": ({"mail": "550 no", "rcpt": "503 no", "data": "354 all the same"}, [250, 550, 550, 554]),
    "mail-later": ({"mail": "451 later", "rcpt": "503 no", "data": "503 no"}, [250, 451, 451, 554]),
    "data-refused": ({"data": "451 full"}, [250, 250, 250, 451]),
    "data-refused-with-421": ({"data": ["421 full", CLOSE]}, [250, 250, 250, 451]),
    "data-250": ({"data": "250 what"}, [250, 250, 250, 451]),
    "closed-behind-354": ({"data": ["354 go", CLOSE]}, None),
    "reset-behind-354": ({"data": ["354 go", RESET]}, None),
    "421-to-rcpt": ({"rcpt": ["421 enough", CLOSE]}, [250, 451, 451, 554]),
    "354-behind-354": ({"data": ["354 go", "354 go on"]}, None),
    "250-behind-354": ({"data": ["354 go", "250 taken"]}, None),
    "in-one-piece": ({"mail": [], "rcpt": [], "data": b"250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"}, [250, 250, 250, 354]),
    "one-too-many": ({"mail": [], "rcpt": [], "data": b"250 ok\r\n250 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n"}, None),
    "one-too-few": ({"mail": [], "data": "354 go"}, None),
}


def leave(c):
    c.close()


def reset(c):
    c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    c.close()


def half(c):
    c.send(b"Subject: half\r\n\r\nhalf of a message\r\n")
    c.close()


def bare(c):
    c.send(b"Subject: bare\r\n\r\nbare\n.\nMAIL FROM:<x@y.example>\r\n.\r\n")
    c.reply()
    c.close()


def whole(c):
    c.send(smtpc.message() + b".\r\n")
    return c.reply().code


ENDS = {f.__name__: f for f in (leave, reset, half, bare, whole)}


@pytest.mark.parametrize("end", ENDS)
@pytest.mark.parametrize("pipelining", [True, False])
@pytest.mark.parametrize("warm", [False, True])
def test_c_out_07_no_dot_but_the_clients(scene, end, pipelining, warm):
    """Every answer to the flight, every end of the client's; then the next mail, which must arrive whole and once."""
    tlsmend = solo(scene, timeouts=SHORT, mta_sts={"enabled": False})
    caps = [*(["PIPELINING"] if pipelining else []), "STARTTLS"]
    wrong = []
    for name, (replies, codes) in ANSWERS.items():
        domain = scene.domain()
        mx = peer(scene, domain, capabilities=caps)
        if warm:
            deliver(scene, tlsmend, domain)
        if "piece" not in name and "one-too" not in name or pipelining:
            mx.replies.update(replies)
        else:
            codes = None
        before, done = len(mx.mails), None
        c = scene.client(tlsmend)
        c.ehlo()
        flight(c, domain, ("a", "b"))
        try:
            heard = said(c, 4)
            if codes is not None and pipelining and heard != codes:
                wrong.append(f"{name}: {heard}")
            if heard[-1] == 354:
                done = ENDS[end](c)
            elif end in ("leave", "reset"):
                ENDS[end](c)
        except (EOFError, OSError) as e:
            wrong.append(f"{name}: {e!r}")
        c.close()
        mx.replies.clear()
        with scene.client(tlsmend) as c:
            c.ehlo()
            reply = c.deliver(SENDER, domain.address("next"), smtpc.message(subject=f"next-{name}"))
            if reply.code == 451 and "behind" in name:
                # The reply too many came when the next mail was on its way: that one waits, and the connection is gone.
                reply = c.deliver(SENDER, domain.address("next"), smtpc.message(subject=f"next-{name}"))
        if reply.code != 250:
            wrong.append(f"{name}: next {reply}")
        came = [m for m in mx.mails[before:] if f"Subject: next-{name}".encode() not in m.data]
        last = [m for m in mx.mails[before:] if f"Subject: next-{name}".encode() in m.data]
        if len(last) != 1 or last[0].recipients != [f"<{domain.address('next')}>".encode()]:
            wrong.append(f"{name}: last {last}")
        if len(came) != (1 if done == 250 else 0) and not (done == 451 and "behind" in name):
            wrong.append(f"{name}: done {done}, came {came}")
    assert not wrong, "\n".join(wrong)


# -- one place at the MX ---------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["rset", "data", "rcpt"])
def test_c_out_08_one_that_is_being_reset_makes_room(scene, phase):
    """pool.per_host: a connection that nobody uses, and whose MX takes its time with the replies that it owes, keeps no mail
    away."""
    domain = scene.domain()
    mx = peer(scene, domain, replies={
        "mail": lambda c: "550 5.1.0 not you" if phase == "rcpt" and b"<bad@" in c.line else "250 ok",
        "rcpt": lambda c: [3 * SLOW, "503 no"] if not c.record.mails else "550 no" if b"nobody" in c.line else "250 ok",
        "data": lambda c: "354 go" if c.record.mails[-1].recipients else [3 * SLOW if phase == "data" else 0, "503 no"],
        "rset": [3 * SLOW if phase == "rset" else 0, "250 ok"]})
    tlsmend = solo(scene, pool={"per_host": 1})
    with scene.client(tlsmend) as c:
        c.ehlo()
        sender = "bad@client.lab.example" if phase == "rcpt" else SENDER
        c.send(f"MAIL FROM:<{sender}>\r\nRCPT TO:<{domain.address('nobody')}>\r\nDATA\r\n".encode())
        assert said(c, 3) == [250, 550, 554]
        assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 250
    assert len(mx.mails) == 1 and not any(r.verbs().count("MAIL") > 1 for r in mx.records)


# -- one connection, two demands -------------------------------------------------------------------


def key_for_encipherment(pki, host):
    """A certificate that is right but for its key usage: the key may not sign a handshake."""
    key, day, issuer = pki.key("rsa2048"), datetime.timedelta(days=1), pki.intermediate
    now = datetime.datetime.utcnow()
    cert = (x509.CertificateBuilder().subject_name(x509.Name([])).issuer_name(issuer.cert.subject)
            .public_key(key.public_key()).serial_number(x509.random_serial_number())
            .not_valid_before(now - day).not_valid_after(now + 30 * day)
            .add_extension(x509.KeyUsage(False, False, True, *[False] * 6), True)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), True)
            .sign(issuer.key, hashes.SHA256()))
    return pki.save(Chain("key-usage", [cert, issuer.cert], key, issuer))


@pytest.mark.parametrize("first", ["may", "encrypt", "verify"])
def test_c_out_08_what_only_an_owed_chain_asks_of_the_handshake(scene, first):
    """The library looks at the key usage only where a chain is owed (TLS 1.2): a connection that was made where none was
    must not carry the mail of a domain whose own handshake would have been refused."""
    a, b = scene.domain(), scene.domain()
    mx = peer(scene, a, chain=key_for_encipherment(scene.pki, f"mx.{a.name}"), versions=("1.2", "1.2"))
    b.mx(mx.host)
    tlsmend = solo(scene, destinations=[{"match": a.name, "level": first}, {"match": b.name, "level": "verify"}])
    sent = send(scene, tlsmend, a)
    if first != "verify":
        assert sent.reply.code == 250 and sent.attempt["verify"] == "wrong-purpose", sent
    sent = send(scene, tlsmend, b)
    assert sent.reply.code == 451 and sent.attempt["reason"] == "wrong-purpose", sent
    assert len(mx.mails) == (first != "verify")


@pytest.mark.parametrize("level", ["verify", "encrypt"])
def test_c_out_08_a_certificate_that_expires_while_the_connection_waits(scene, level):
    """It was good for the first mail; the second one's own handshake is asked."""
    domain = scene.domain()
    mx = peer(scene, domain, chain=scene.pki.leaf(f"mx.{domain.name}", "soon", end=2))
    tlsmend = scene.tlsmend(clock="wall", workers=1, tls={"level": level}, mta_sts={"enabled": False},
                            pool={"max_age": "24h"})
    deliver(scene, tlsmend, domain)
    assert deliver(scene, tlsmend, domain)["reused"] is True
    tlsmend.clock.turn(3 * 86400)
    if level == "verify":
        sent = send(scene, tlsmend, domain)
        assert sent.reply.code == 451 and sent.attempt["reason"] == "expired", sent
        assert len(mx.mails) == 2
    else:
        again = deliver(scene, tlsmend, domain)
        assert "reused" not in again and again["verify"] == "expired"
        assert deliver(scene, tlsmend, domain)["reused"] is True


# -- a storm over warm connections -----------------------------------------------------------------

SECONDS = float(os.environ.get("STORM_SECONDS", "3"))
SEED = int(os.environ.get("STORM_SEED", "1"))
HOSTS, DOMAINS, CLIENTS = 3, 12, 20


class Moody:
    """An MX of many domains that says what it likes; it says 250 to a message only when it has taken it."""

    def __init__(self, mx, seed):
        self.mx, self.random, self.calm, self._lock = mx, random.Random(seed), False, threading.Lock()
        self.taken = []    # (id in the message, sender, recipients, how)
        mx.replies.update({p: getattr(self, f"_{p}") for p in ("mail", "rcpt", "data", "body", "final", "rset", "greeting")})

    def _dice(self):
        with self._lock:
            return 1.0 if self.calm else self.random.random()

    def _choose(self, *of):
        with self._lock:
            return self.random.choice(of)

    def _greeting(self, c):
        return self._choose(CLOSE, RESET, "421 busy") if self._dice() < 0.03 else f"220 {self.mx.name} ESMTP"

    def _mail(self, c):
        if self._dice() < 0.06:
            return self._choose(CLOSE, RESET, ["421 enough", CLOSE], "451 no", [0.3, "250 ok"], "550 no")
        return "250 ok"

    def _rcpt(self, c):
        if self._dice() < 0.08:
            return self._choose(CLOSE, RESET, ["421 enough", CLOSE], "451 no", [0.3, "250 ok"], "550 no", b"25")
        return "250 ok"

    def _data(self, c):
        there = bool(c.record.mails and not c.record.mails[-1].complete and c.record.mails[-1].recipients)
        dice = self._dice()
        if dice < 0.08:
            return self._choose(CLOSE, RESET, ["421 enough", CLOSE], "451 no", "354 all the same", ["354 go", CLOSE],
                                ["354 go", RESET], "250 what", [0.3, "354 go"] if there else "503 no")
        return "354 go" if there else "503 no"

    def _body(self, c):
        return self._choose(CLOSE, RESET, 0.2) if self._dice() < 0.03 else []

    def _final(self, c):
        dice, mail = self._dice(), c.record.mails[-1]
        if dice < 0.04:
            return self._choose("451 later", "554 no", ["421 later", CLOSE], CLOSE, RESET)
        how = "told"
        if dice < 0.07:
            how = "cut"
        self.taken.append((ident(mail.data), mail.sender, list(mail.recipients), how))
        if how == "cut":
            return self._choose(CLOSE, RESET, [b"250 t", CLOSE])
        tail = []
        if dice < 0.16:    # what nobody asked for, at once, a moment later, with the next mail
            tail = self._choose(["250 again"], [0.02, "250 again"], [0.1, "421 bye", CLOSE], [0.01, b"2"], [CLOSE], [0.02, RESET],
                                [0.002, "250 x", "250 y"])
        return [*self._choose([], [], [], [0.05], [0.2]), "250 taken", *tail]

    def _rset(self, c):
        if self._dice() < 0.2:
            return self._choose([0.2, "250 ok"], ["250 ok", "250 ok"], CLOSE, "500 what", ["250 ok", 0.05, "250 ok"], ["421 x", CLOSE],
                                None)
        return "250 ok"

    def kill(self):
        """As with kill -9: every connection is reset, and for a moment nobody listens."""
        self.mx.shut()
        with self.mx._lock:    # pylint: disable=protected-access
            sockets = list(self.mx._sockets)    # pylint: disable=protected-access
        for s in sockets:
            try:
                s.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                s.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
        time.sleep(0.05)
        self.mx.listen()


def ident(data):
    at = data.find(b"Subject: ")
    return data[at + 9:data.find(b"\r\n", at)].decode()


class Sender:
    """A client: one message to some recipients of one domain, until each was told 250, or 5xx."""

    def __init__(self, number, rnd, domain):
        self.name, self.random, self.domain = f"q{number}", rnd, domain
        self.left = [domain.address(f"{self.name}-{i}") for i in range(rnd.choice([1, 1, 1, 2, 3]))]
        self.sender = f"{self.name}@client.lab.example"
        self.told, self.refused, self.lost = [], [], []
        self.body = smtpc.message(subject=self.name, body=b".x" * 30 + b"\r\n" + (b"y" * 70 + b"\r\n")
                                  * rnd.choice([0, 1, 5, 300, 3000]))

    def turn(self, c, calm):
        """One transaction; True: the session may go on."""
        lines = [f"MAIL FROM:<{self.sender}>", *(f"RCPT TO:<{r}>" for r in self.left)]
        ahead = self.random.random() < 0.7
        c.send("".join(f"{x}\r\n" for x in [*lines, *(["DATA"] if ahead else [])]).encode())
        if not calm and self.random.random() < 0.05:
            return False
        assert c.reply().code == 250
        accepted = []
        for recipient in list(self.left):
            reply = c.reply()
            if reply.code // 100 == 2:
                accepted.append(recipient)
            elif reply.code // 100 == 5:
                self._no(recipient)
        if not ahead and (not accepted or not calm and self.random.random() < 0.2):
            return c.cmd("RSET").code == 250
        data = c.reply() if ahead else c.cmd("DATA")
        if data.code != 354:
            if accepted and data.code // 100 == 5:
                for recipient in accepted:
                    self._no(recipient)
            return True
        if not calm and self.random.random() < 0.06:
            c.send(self.body[:len(self.body) // 2])
            return False
        c.send(smtpc.stuff(self.body) + b".\r\n")
        reply = c.reply()
        for recipient in accepted:
            if reply.code // 100 == 2:
                self.left.remove(recipient)
                self.told.append(recipient)
            elif reply.code // 100 == 5:
                self._no(recipient)
        return True

    def _no(self, recipient):
        self.left.remove(recipient)
        self.refused.append(recipient)


def storm(tlsmend, moods, domains, client):
    end, numbers, lock, senders, troubles = time.monotonic() + SECONDS, itertools.count(1), threading.Lock(), [], []

    def work(seed):
        rnd, mine, c = random.Random(seed), [], None
        while time.monotonic() < end or any(s.left for s in mine):
            calm = time.monotonic() >= end
            if calm:
                for mood in moods:
                    mood.calm = True
            mine = [s for s in mine if s.left]
            if not calm and len(mine) < 4:
                with lock:
                    senders.append(Sender(next(numbers), random.Random(rnd.random()), rnd.choice(domains)))
                    mine.append(senders[-1])
            if not mine:
                return
            try:
                if c is None:
                    c = client()
                    c.ehlo()
                if not rnd.choice(mine).turn(c, calm) or rnd.random() < 0.3:
                    if rnd.random() < 0.5:
                        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    c.close()
                    c = None
            except (AssertionError, EOFError, OSError) as e:
                troubles.append(repr(e))
                c = None

    threads = [threading.Thread(target=work, args=(SEED * 1000 + i,)) for i in range(CLIENTS)]
    for t in threads:
        t.start()
    rnd = random.Random(SEED)
    while any(t.is_alive() for t in threads):
        time.sleep(0.4)
        if rnd.random() < 0.4:
            tlsmend.reload()
        if rnd.random() < 0.5 and time.monotonic() < end:
            rnd.choice(moods).kill()
    return senders, troubles


@pytest.mark.timeout(600)
def test_c_out_08_a_storm_over_warm_connections(scene):
    farm = [peer(scene, scene.domain()) for _ in range(HOSTS)]
    moods = [Moody(mx, SEED * 100 + i) for i, mx in enumerate(farm)]
    domains = [scene.domain() for _ in range(DOMAINS)]
    rows = []
    for i, domain in enumerate(domains):
        domain.mx(farm[i % HOSTS].name, 10)
        if i % 2:
            domain.mx(farm[(i + 1) % HOSTS].name, 20)
        rows.append({"match": domain.name, "level": ["may", "encrypt", "verify", "none"][i // HOSTS % 4]})
    tlsmend = scene.tlsmend(workers=2, destinations=rows, mta_sts={"enabled": False},
                            timeouts={**SHORT, "recipient_budget": f"{6 * SLOW}s"},
                            pool={"messages": 7, "idle_time": "2s", "idle_per_host": 4, "max_age": "5s"},
                            listeners=[listener()])
    senders, troubles = storm(tlsmend, moods, domains, lambda: scene.client(tlsmend))
    taken = {}
    for mood in moods:
        for name, sender, recipients, how in mood.taken:
            for recipient in recipients:
                taken.setdefault((name, recipient.decode().strip("<>").split(">")[0]), []).append((how, sender))
    wait_for("the records", lambda: len(tlsmend.records("result")) > 0)
    doubts = sum(r["status"] == "maybe-delivered" for r in tlsmend.records("result"))
    reused = sum("reused" in a for a in tlsmend.records("attempt"))
    said_of = collections.Counter((r["recipient"], r["status"]) for r in tlsmend.records("result"))
    wrong = []
    for s in senders:
        for recipient in [*s.told, *s.refused]:
            there = [how for how, _ in taken.get((s.name, recipient), [])]
            delivered, doubt = (said_of[recipient, status] for status in ("delivered", "maybe-delivered"))
            # A 250 that was said may be lost with its connection: then the log has a doubt.
            if recipient in s.told and (delivered != 1 or "told" not in there):
                wrong.append(f"lost: {s.name} {recipient}: {there}, delivered {delivered}")
            if len(there) > delivered + doubt:
                wrong.append(f"twice: {s.name} {recipient}: {there}, delivered {delivered}, doubt {doubt}")
    names = {s.name: s for s in senders}
    for (name, recipient), all_ in taken.items():
        if not recipient.startswith(f"{name}-") or any(names[name].sender.encode() not in sender for _, sender in all_):
            wrong.append(f"mixed: {name} {recipient} {all_}")
    print(f"{len(senders)} messages, {sum(map(len, taken.values()))} taken, {reused} over warm ones, {doubts} in doubt")
    assert not wrong, "\n".join(wrong[:20])
    assert not troubles, troubles[:10]


@pytest.mark.timeout(600)
def test_c_out_08_the_end_in_the_middle_of_everything(scene):
    """SIGTERM, behind a SIGHUP or not, at any moment of a storm: the process ends in time and leaves nothing (a sanitizer tells)."""
    farm = [peer(scene, scene.domain()) for _ in range(HOSTS)]
    moods = [Moody(mx, SEED * 10 + i) for i, mx in enumerate(farm)]
    domains = [scene.domain() for _ in range(HOSTS * 2)]
    for i, domain in enumerate(domains):
        domain.mx(farm[i % HOSTS].name, 10)
    rnd = random.Random(SEED)
    for round_ in range(6):
        tlsmend = scene.tlsmend(workers=2, mta_sts={"enabled": False}, timeouts={**SHORT, "shutdown_grace": rnd.choice(["0s", "1s"])},
                                pool={"messages": 7, "idle_time": "2s"}, listeners=[listener()])
        over, threads = threading.Event(), []

        def work(seed, tlsmend=tlsmend, over=over):
            rnd, c, number = random.Random(seed), None, itertools.count(seed * 10000)
            while not over.is_set():
                try:
                    if c is None:
                        c = scene.client(tlsmend, timeout=20)
                        c.ehlo()
                    if not Sender(next(number), rnd, rnd.choice(domains)).turn(c, False) or rnd.random() < 0.3:
                        c.close()
                        c = None
                except (AssertionError, EOFError, OSError):
                    c = None

        for i in range(CLIENTS):
            threads.append(threading.Thread(target=work, args=(round_ * 100 + i,)))
            threads[-1].start()
        time.sleep(rnd.uniform(0.2, 1.5) * (1 if SLOW == 1 else 2))
        for _ in range(rnd.choice([0, 1, 3])):
            tlsmend.reload()
        try:
            tlsmend.stop(timeout=20 * SLOW)
        finally:
            over.set()
            for thread in threads:
                thread.join()
