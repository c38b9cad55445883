# SPDX-License-Identifier: Apache-2.0
"""What a hostile reading of the relay found: each test failed once, but for the chaos at the end."""

import contextlib
import itertools
import random
import signal
import socket
import struct
import subprocess
import threading
import time

import pytest

from lab import smtpc
from lab.hostile import CLOSE, RESET
from lab.process import wait_for

SENDER = "a@client.lab.example"


@pytest.fixture(name="small_kernel_buffers")
def _small_kernel_buffers(lab):
    """16 KiB and no more for what a socket of the client's namespace sends."""
    def sysctl(*args):
        return subprocess.run(lab.net.client.command(["sysctl", *args]), check=True, capture_output=True,
                              text=True).stdout.strip()

    before = sysctl("-n", "net.ipv4.tcp_wmem")
    sysctl("-w", "net.ipv4.tcp_wmem=4096 16384 16384")
    yield
    sysctl("-w", f"net.ipv4.tcp_wmem={before}")


# -- sessions that wait for nothing ----------------------------------------------------------------------


def test_pipelined_replies_of_exactly_the_output_mark_go_on(scene, tlsmend):
    """Replies that fill the output to the byte where reading pauses: the commands behind are read too."""
    with scene.client(tlsmend) as c:
        c.ehlo()
        size = {line: len(str(c.cmd(line))) + 2 for line in ("NOOP", "HELP", "VRFY x")}
        rest, lines = 32768, []
        while rest % size["NOOP"] and rest > 0:
            lines.append("VRFY x")
            rest -= size["VRFY x"]
            if rest % size["NOOP"] == 0:
                break
        # as many long replies as keep the rest divisible
        while rest >= size["HELP"] * size["NOOP"] and len(lines) + rest // size["NOOP"] > 1500:
            lines += ["HELP"] * size["NOOP"]
            rest -= size["HELP"] * size["NOOP"]
        lines += ["NOOP"] * (rest // size["NOOP"])
        assert sum(size[x] for x in lines) == 32768
        sent = "".join(x + "\r\n" for x in [*lines, "NOOP", "NOOP"]).encode()
        assert len(sent) <= 16384
        c.sock.settimeout(5)
        c.send(sent)
        for _ in range(len(lines) + 2):
            c.reply()


def test_a_client_that_never_reads_its_replies_is_timed_out(scene):
    tlsmend = scene.tlsmend(timeouts={"client_idle": "2s"})
    c = scene.client(tlsmend)
    c.ehlo()
    c.sock.settimeout(1)
    for _ in range(4000):   # until all buffers between us are full
        try:
            c.sock.sendall(b"HELP\r\n" * 500)
        except (TimeoutError, OSError):
            break
    tlsmend.wait_records("session", timeout=15, end="timeout")


def test_the_clients_silence_is_not_timed_while_it_waits_for_us(scene):
    """Design section 7: a slow MX is no reason for a 421, however short client_idle is."""
    tlsmend = scene.tlsmend(timeouts={"client_idle": "2s"})
    domain = scene.domain()
    scene.hostile(domain, replies={"rcpt": [4, "250 2.1.5 ok"]})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 250


def test_a_client_that_closed_its_sending_side_hears_every_answer(scene, small_kernel_buffers, tlsmend):
    """More answers wait than the kernel takes at once, and the client is slow to read them."""
    with scene.client(tlsmend) as c:
        c.ehlo()
        c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.send(b"HELP\r\n" * 1500)
        c.sock.shutdown(socket.SHUT_WR)
        time.sleep(1)
        for _ in range(1500):
            assert c.reply().code == 214


# -- budgets ---------------------------------------------------------------------------------------------


def test_each_recipient_has_its_own_budget_on_a_slow_mx(scene):
    """Recipients that overlap without a pause: the sum of their waits is nobody's budget (C-OUT-02)."""
    tlsmend = scene.tlsmend(timeouts={"recipient_budget": "3s"})
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"rcpt": [0.4, "250 2.1.5 ok"]})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 250
        c.send(f"RCPT TO:<{domain.address('u0')}>\r\n".encode())
        for i in range(1, 16):
            c.send(f"RCPT TO:<{domain.address(f'u{i}')}>\r\n".encode())
            assert c.reply().code == 250, i
        assert c.reply().code == 250
        assert c.data(smtpc.message()).code == 250
    assert len(mx.mails[0].recipients) == 16


# -- a final reply that is none --------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["none", "verify"])
def test_c_out_09_a_yes_before_the_dot_has_left_is_no_delivery(scene, small_kernel_buffers, level):
    """The MX reads nothing and says 250 while the dot still waits in our buffers."""
    domain = scene.domain()
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "level": level}])
    go = threading.Event()

    def lie(c):
        go.wait(30)
        c.send("250 2.0.0 taken, honestly")
        c.mx.sleep(3)

    scene.hostile(domain, receive_buffer=4096, replies={"body": lie})
    with scene.client(tlsmend) as c:
        c.ehlo()
        for reply in c.envelope(SENDER, [domain.address()]):
            assert reply.code == 250
        assert c.cmd("DATA").code == 354
        c.send((b"x" * 62 + b"\r\n") * 1024 + b".\r\n")   # more than the kernel's, less than our buffers
        time.sleep(0.5)
        go.set()
        assert c.reply().code == 451
    assert tlsmend.result()["status"] != "delivered"


# -- records that tell the truth --------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["rcpt", "data", "final"])
def test_a_reset_does_not_turn_tls_into_clear_in_the_record(scene, tlsmend, phase):
    domain = scene.domain()
    scene.hostile(domain, replies={phase: RESET})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 451
    assert tlsmend.result()["tls"].startswith("TLSv1")
    assert tlsmend.attempts()[0]["tls"].startswith("TLSv1")


def test_the_second_sigterm_cuts_and_the_record_says_maybe_delivered(scene):
    """C-OPS-02; RFC 1047: the dot went out, the answer was not waited for."""
    tlsmend = scene.tlsmend(timeouts={"shutdown_grace": "60s"})
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"final": None})
    with scene.client(tlsmend) as c:
        c.ehlo()
        for reply in c.envelope(SENDER, [domain.address()]):
            assert reply.code == 250
        assert c.cmd("DATA").code == 354
        c.send(smtpc.message() + b".\r\n")
        wait_for(lambda: "the whole message at the MX", lambda: bool(mx.mails), 10)
        tlsmend.send(signal.SIGTERM)
        tlsmend.wait_records("stopping")
        start = time.monotonic()
        tlsmend.stop()
        assert time.monotonic() - start < 6
    result = tlsmend.result()
    assert (result["status"], result["reason"]) == ("maybe-delivered", "maybe-delivered")
    attempt = tlsmend.attempt()
    assert (attempt["stage"], attempt["reason"]) == ("final", "maybe-delivered")


@pytest.mark.parametrize("phase", ["mail", "rcpt"])
def test_c_tls_11_a_late_demand_for_tls_leads_to_the_next_mx(scene, phase):
    """As the verdict table says: trouble with TLS, not with the mail."""
    domain = scene.domain()
    scene.hostile(domain, label="mx1", preference=5, replies={phase: "530 5.7.0 Must issue a STARTTLS command first"})
    healthy = scene.hostile(domain, label="mx2", preference=10)
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "level": "none"}])
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.pipeline([f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{domain.address(u)}>" for u in "abc")])
        assert [r.code for r in replies] == [250] * 4
        assert c.data(smtpc.message()).code == 250
    assert len(healthy.mails[0].recipients) == 3


def test_c_mx_01_too_many_mx_records_are_sorted_before_they_are_cut(scene, tlsmend):
    domain = scene.domain()
    for i in range(69):
        domain.mx(f"none{i:02}.{domain.name}", 20)
    scene.hostile(domain, preference=10)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 250
    assert tlsmend.attempt()["mx_ignored"] == 70 - 64


# -- everything at once ------------------------------------------------------------------------------------


class Chaos:
    """Clients that leave anywhere, an MX that does anything; who was told 250?"""

    def __init__(self, scene, tlsmend, domains, seed):
        self.scene, self.tlsmend, self.domains = scene, tlsmend, domains
        self.random, self.told, self.asked = random.Random(seed), set(), itertools.count(1)
        self.until = time.monotonic() + 8

    def client(self):
        while time.monotonic() < self.until:
            n = next(self.asked)
            with contextlib.suppress(OSError, EOFError):
                with self.scene.client(self.tlsmend, timeout=20) as c:
                    c.ehlo()
                    self.mail(c, f"chaos-{n}")

    def mail(self, c, name):
        leave = self.random.choice([None, None, None, "mail", "rcpt", "data", "body", "dot", "half"])
        domain = self.random.choice(self.domains)
        lines = [f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{domain.address(name)}>", f"RCPT TO:<{domain.address('x' + name)}>"]
        if leave == "mail":
            lines = lines[:1]
        if self.random.random() < 0.5:
            c.send("".join(f"{line}\r\n" for line in lines).encode())
            if leave in ("mail", "rcpt"):
                return self.go(c)
            replies = [c.reply() for _ in lines]
        else:
            replies = [c.cmd(line) for line in lines]
        if leave in ("mail", "rcpt"):
            return self.go(c)
        if all(r.code != 250 for r in replies[1:]) or c.cmd("DATA").code != 354 or leave == "data":
            return self.go(c)
        body = smtpc.message(subject=name, body=b"x" * 70 + b"\r\n" * self.random.choice([1, 1000, 40000]))
        if leave == "body":
            c.send(body[:-self.random.randrange(1, len(body))])
            return self.go(c)
        c.send(body + b".\r\n")
        if leave == "dot":
            return self.go(c)
        if leave == "half":
            c.sock.shutdown(socket.SHUT_WR)
        if c.reply().code == 250:
            self.told.add(name)
        return None

    def go(self, c):
        if self.random.random() < 0.5:
            c.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    def action(self, honest, also=()):
        """What the MX does in a phase: mostly the honest thing."""
        odd = [CLOSE, RESET, "421 4.3.2 bye", "451 4.3.0 later", "550 5.7.1 no", b"25", b"nonsense\r\n", 0.02, *also]
        return lambda c: honest if self.random.random() < 0.9 else self.random.choice(odd)


@pytest.mark.parametrize("seed", range(2))
def test_chaos_loses_nothing_and_tells_everything_once(scene, seed):
    """C-OUT-07, C-OPS-01, C-OPS-04: clients and MX break off anywhere while the settings are loaded anew."""
    tlsmend = scene.tlsmend(timeouts={"recipient_budget": "3s", "final": "2s", "data": "2s", "handshake": "2s",
                                      "greeting": "2s", "ehlo": "2s", "shutdown_grace": "1s", "quit": "200ms"},
                            pool={"idle_time": "2s"})   # what waits has a descriptor too
    chaos = Chaos(scene, tlsmend, [scene.domain() for _ in range(3)], seed)
    replies = {"greeting": "220 mx ESMTP", "starttls": "220 go", "mail": "250 2.1.0 ok", "rcpt": "250 2.1.5 ok",
               "data": "354 go on", "final": "250 2.0.0 taken", "quit": "221 bye"}
    servers = [scene.hostile(d, label=f"mx{i}", preference=i,
                             replies={k: chaos.action(v) for k, v in replies.items()})
               for d in chaos.domains for i in range(2)]
    threads = [threading.Thread(target=chaos.client) for _ in range(8)]
    files = tlsmend.open_files() + 8   # libunbound may keep some of its own
    for t in threads:
        t.start()
    more = [{"name": "more", "protocol": "smtp", "address": "127.0.0.1", "port": 2599}]
    while time.monotonic() < chaos.until - 1:
        time.sleep(0.3)
        listeners = tlsmend.settings["listeners"][:1]
        tlsmend.write_config(listeners=listeners + (more if chaos.random.random() < 0.5 else []))
        tlsmend.reload()
    for t in threads:
        t.join()
    tlsmend.write_config(listeners=tlsmend.settings["listeners"][:1])
    tlsmend.reload()
    wait_for(lambda: f"{tlsmend.open_files()} files again as few as {files}: no session hangs, no descriptor is lost",
             lambda: tlsmend.open_files() <= files, 15)
    tlsmend.stop()
    taken = b"".join(m.data for s in servers for m in s.mails)
    assert chaos.told, "nothing was delivered at all"
    for name in chaos.told:
        assert f"Subject: {name}\r\n".encode() in taken, f"{name}: told 250, and no MX has it"
    attempts = [r["attempt"] for r in tlsmend.records("attempt")]
    assert len(attempts) == len(set(attempts))
    assert len(attempts) >= sum(len(s.records) for s in servers)
    results = [(r["transaction"], r["recipient"]) for r in tlsmend.records("result")]
    assert len(results) == len(set(results))
    delivered = {r["recipient"].split("@")[0] for r in tlsmend.records("result", status="delivered")}
    assert all(name in delivered or "x" + name in delivered for name in chaos.told)
