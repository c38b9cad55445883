# SPDX-License-Identifier: Apache-2.0
"""Limits, strangers, overload, and that no client waits for another: C-IN-07 to C-IN-09, promise 3."""

import os
import resource
import subprocess
import threading
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, SLOW, listener, mail
from lab.netns import CLIENT_IP4, CLIENT_IP6
from lab.process import wait_for
from lab.tlsmend import Tlsmend, program


# -- C-IN-07: limits ----------------------------------------------------------------------------------------------------


def test_c_in_07_length_of_lines(scene, tlsmend):
    with scene.client(tlsmend) as c:
        c.ehlo()
        for verb, limit, short in (("NOOP ", 4096, 250), ("AUTH PLAIN ", 12288, 502)):
            fill = "x" * (limit - len(verb) - 2)   # the CRLF counts
            assert c.cmd(verb + fill).code == short
            assert str(c.cmd(verb + fill + "x"))[:9] == "500 5.5.2"
            assert c.cmd("NOOP").code == 250
        c.send(b"x" * 3_000_000, sizes=[65536])   # no end of line at all: nothing is kept
        assert c.cmd(b"\r\n").code == 500
        assert c.cmd("NOOP").code == 250


def test_c_in_07_number_of_recipients(scene):
    tlsmend = scene.tlsmend(limits={"recipients": 5})
    domain = scene.domain()
    mx = scene.hostile(domain)
    users = [f"u{i}" for i in range(7)]
    with scene.client(tlsmend) as c:
        c.ehlo()
        for pipelined in (False, True):
            lines = [f"MAIL FROM:<{SENDER}>", *(f"RCPT TO:<{domain.address(u)}>" for u in users)]
            replies = c.pipeline(lines) if pipelined else [c.cmd(line) for line in lines]
            assert [str(r)[:9] for r in replies[-2:]] == ["452 4.5.3"] * 2
            assert [r.code for r in replies[:-2]] == [250] * 6
            assert c.data(smtpc.message()).code == 250
    assert [len(m.recipients) for m in mx.mails] == [5, 5]


def test_c_in_07_errors_of_a_session(scene):
    tlsmend = scene.tlsmend(limits={"errors": 5})
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = [c.cmd(line) for line in ("WHAT", "MAIL", "RCPT TO:<x>", "DATA x", "BDAT", "NONSENSE")]
        assert [r.code for r in replies] == [500, 501, 503, 503, 502, 421]
        assert replies[-1].text.startswith("4.7.0")
        assert c.closed()


def test_c_in_07_refused_recipients_are_no_errors(scene):
    tlsmend = scene.tlsmend(limits={"errors": 2})
    domain = scene.domain()
    scene.hostile(domain, replies={"rcpt": "550 5.1.1 no"})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert [r.code for r in c.envelope(SENDER, [domain.address(f"u{i}") for i in range(10)])] == [250] + [550] * 10


def test_c_in_07_idle_time(scene):
    tlsmend = scene.tlsmend(timeouts={"client_idle": "700ms"})
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"rcpt": [1.2, "250 2.1.5 ok"]})
    with scene.client(tlsmend) as idle, scene.client(tlsmend) as mid, scene.client(tlsmend) as body:
        mid.ehlo()
        assert mid.cmd(f"MAIL FROM:<{SENDER}>").code == 250
        body.ehlo()
        # the MX takes longer than the client may: that is not the client's silence
        assert [r.code for r in body.envelope(SENDER, [domain.address()])] == [250, 250]
        assert body.cmd("DATA").code == 354
        body.send(b"half a message\r\n")
        for c in (idle, mid):
            assert str(c.reply())[:9] == "421 4.4.2"
            assert c.closed()
        assert body.closed()
    mx.wait_closed()
    assert not mx.mails
    result = tlsmend.result()
    assert (result["status"], result["reason"]) == ("aborted", "client-timeout")
    assert len(tlsmend.wait_records("session", 3, end="timeout")) == 3


def test_c_in_07_a_client_that_drips_has_its_time_per_byte_not_for_ever(scene):
    """Each byte is a sign of life; silence behind it is timed from there."""
    tlsmend = scene.tlsmend(timeouts={"client_idle": "500ms"})
    with scene.client(tlsmend) as c:
        for byte in (b"N", b"O", b"O", b"P", b"\r"):
            time.sleep(0.2)
            c.send(byte)
        assert c.cmd(b"\n").code == 250


# -- C-IN-08: who may come --------------------------------------------------------------------------------------------------


def test_c_in_08_strangers_are_told_and_logged(scene):
    tlsmend = scene.tlsmend(listeners=[
        listener("relayhost", address="127.0.0.1"),
        listener("four", address=CLIENT_IP4, allow_clients=["192.0.2.1/32", "198.51.100.0/24"]),
        listener("six", address=CLIENT_IP6, allow_clients=["2001:db8:ffff::1"])])
    domain = scene.domain()
    mx = scene.hostile(domain)
    for address, name in ((CLIENT_IP4, "four"), (CLIENT_IP6, "six")):
        with smtpc.SmtpClient(scene.net.client, address) as c:   # from the address itself: a stranger
            assert str(c.greeting)[:9] == "554 5.7.1"
            assert c.closed()
        refused = tlsmend.wait_records("client-refused", listener=name)
        assert len(refused) == 1 and refused[0]["client"].startswith(address if ":" not in address else "[")
        with smtpc.SmtpClient(scene.net.internet, address) as c:   # from the other end of the wire
            c.ehlo()
            assert mail(c, domain).code == 250
    assert len(mx.mails) == 2
    assert not tlsmend.records("session", listener="four", transactions=0)


def test_c_in_08_a_stranger_that_does_not_wait_is_not_served(scene):
    """Commands sent along with the connection: nothing of them is carried out."""
    tlsmend = scene.tlsmend(listeners=[listener("relayhost", address="127.0.0.1"),
                                       listener("four", address=CLIENT_IP4, allow_clients=["192.0.2.1/32"])])
    domain = scene.domain()
    mx = scene.hostile(domain)
    with smtpc.SmtpClient(scene.net.client, CLIENT_IP4, greet=False) as c:
        c.send(f"EHLO x\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{domain.address()}>\r\nDATA\r\nx\r\n.\r\n".encode())
        assert c.reply().code == 554
        assert c.closed()
    assert tlsmend.wait_records("client-refused") and not mx.records


def test_c_in_08_allow_clients_narrows_loopback_too(scene):
    tlsmend = scene.tlsmend(listeners=[listener("relayhost", address="127.0.0.1", allow_clients=["127.0.0.7/32"])])
    with scene.client(tlsmend) as c:
        assert c.greeting.code == 554


@pytest.mark.parametrize("address", ["0.0.0.0", CLIENT_IP4, "::", CLIENT_IP6, "10.0.0.1"])
@pytest.mark.parametrize("allow", [None, []])
def test_c_in_08_other_addresses_need_allow_clients(scene, lab, address, allow):
    more = {} if allow is None else {"allow_clients": allow}
    daemon = Tlsmend(lab, lab.new_directory("refusing"), {"listeners": [listener("l", address=address, **more)]}, start=False)
    done = subprocess.run(scene.net.client.command([program(), "run", "-c", daemon.config_path]),
                          capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 78
    assert f"{daemon.config_path}:" in done.stderr and "allow_clients" in done.stderr


# -- C-IN-09: overload ---------------------------------------------------------------------------------------------------------


def test_c_in_09_more_sessions_than_the_limit(scene):
    """Those over the limit hear 451 at MAIL; those within it are served on; a freed place is taken."""
    tlsmend = scene.tlsmend(limits={"sessions": 3})
    domain = scene.domain()
    mx = scene.hostile(domain)
    within = [scene.client(tlsmend) for _ in range(3)]
    over = [scene.client(tlsmend) for _ in range(2)]
    for c in within + over:
        assert c.ehlo().code == 250
    for c in over:
        assert str(c.cmd(f"MAIL FROM:<{SENDER}>"))[:9] == "451 4.3.2"
        assert c.cmd("NOOP").code == 250
    for c in within:
        assert mail(c, domain).code == 250
    within[0].cmd("QUIT")
    within[1].cmd("QUIT")
    wait_for("the ends of two sessions", lambda: len(tlsmend.records("session", end="quit")) == 2)
    assert mail(over[0], domain).code == 250
    assert len(mx.mails) == 4


def test_c_in_09_far_beyond_the_limit_they_wait_and_come_in_later(scene):
    """A tenth and 16 more are greeted; the others stay in the queue of the kernel until there is room."""
    tlsmend = scene.tlsmend(workers=1, limits={"sessions": 2})
    crowd = [scene.client(tlsmend) for _ in range(18)]
    waiting = scene.client(tlsmend, greet=False)
    waiting.sock.settimeout(0.3)
    with pytest.raises(TimeoutError):
        waiting.sock.recv(1)
    used = cpu_seconds(tlsmend.pid)
    time.sleep(0.3)
    assert cpu_seconds(tlsmend.pid) - used < 0.1 * SLOW
    for c in crowd[:6]:
        assert c.cmd("QUIT").code == 221
    waiting.sock.settimeout(5)
    assert waiting.reply().code == 220
    assert waiting.ehlo().code == 250


def cpu_seconds(pid):
    with open(f"/proc/{pid}/stat", encoding="ascii") as f:
        fields = f.read().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def limit_files(pid, count):
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (count, resource.prlimit(pid, resource.RLIMIT_NOFILE)[1]))


def test_c_in_09_no_file_descriptors_is_a_pause_and_no_spinning(scene, tlsmend):
    domain, later = scene.domain(), scene.domain()
    mx = scene.hostile(later)
    scene.hostile(domain)
    before = resource.prlimit(tlsmend.pid, resource.RLIMIT_NOFILE)[0]
    with scene.client(tlsmend) as held:
        held.ehlo()
        limit_files(tlsmend.pid, 3)   # every new one is refused; those that are open stay
        waiting = [scene.client(tlsmend, greet=False) for _ in range(4)]
        used = cpu_seconds(tlsmend.pid)
        time.sleep(1.2)
        assert cpu_seconds(tlsmend.pid) - used < 0.1 * SLOW
        # who is in stays in, and hears a temporary failure where a connection is due
        assert [r.code for r in held.envelope(SENDER, [domain.address()])] == [250, 451]
        assert held.cmd("RSET").code == 250
        limit_files(tlsmend.pid, before)
        for c in waiting:
            assert c.reply().code == 220
        assert mail(held, later).code == 250   # (libunbound keeps a failure of its own for 5 s)
    warning = tlsmend.records("warning", subject="accept")
    assert warning and all("LimitNOFILE" in w["hint"] for w in warning)
    assert len(warning) < 20
    assert len(mx.mails) == 1


# -- promise 3: one bad destination never hurts another ---------------------------------------------------------------------------------


@pytest.mark.parametrize("slow", ["greeting", "handshake", "rcpt", "final", "dns", "body"])
def test_promise_3_a_slow_destination_blocks_nobody_else(scene, slow):
    tlsmend = scene.tlsmend(workers=1)
    stuck, fine = scene.domain(), scene.domain()
    scene.hostile(stuck, replies={} if slow == "dns" else {slow: 15}, receive_buffer=4096 if slow == "body" else 0)
    scene.hostile(fine)
    address = "user@d.hole.example" if slow == "dns" else stuck.address()
    with scene.client(tlsmend) as waiting, scene.client(tlsmend) as c:
        waiting.ehlo()
        waiting.send(f"MAIL FROM:<{SENDER}>\r\nRCPT TO:<{address}>\r\n".encode())
        if slow in ("final", "body"):
            assert [waiting.reply().code, waiting.reply().code, waiting.cmd("DATA").code] == [250, 250, 354]
            end = b".\r\n" if slow == "final" else b""
            threading.Thread(target=_quietly, args=(waiting.send, b"x" * 70 + b"\r\n" + end if end else
                                                    (b"x" * 70 + b"\r\n") * 40000), daemon=True).start()
        time.sleep(0.2)
        c.ehlo()
        start = time.monotonic()
        for _ in range(5):
            assert mail(c, fine).code == 250
        assert time.monotonic() - start < 1.5 * SLOW
        if slow not in ("final", "body"):
            assert waiting.reply().code == 250   # to MAIL
        waiting.sock.settimeout(0.05)
        with pytest.raises(TimeoutError):
            waiting.reply()


def _quietly(call, *args):
    try:
        call(*args)
    except OSError:
        pass


def test_without_a_ledger_other_destinations_hear_451_and_the_first_is_served(scene):
    tlsmend = scene.tlsmend(store={"path": ""})
    first, second = scene.domain(), scene.domain()
    mx, other = scene.hostile(first), scene.hostile(second)
    with scene.client(tlsmend) as c:
        c.ehlo()
        replies = c.envelope(SENDER, [first.address("a"), second.address("b"), first.address("c"),
                                      f"d@{first.name.upper()}"])
        assert [r.code for r in replies] == [250, 250, 451, 250, 250]
        assert replies[2].text.startswith("4.3.2") and "destination" in replies[2].text
        assert c.data(smtpc.message()).code == 250
        assert mail(c, second, user="b").code == 250
    assert len(mx.mails[0].recipients) == 3 and len(mx.mails) == 1
    assert len(other.mails) == 1
    results = tlsmend.results(5)
    assert [r["reason"] for r in results if r["status"] == "deferred"] == ["ledger-unavailable"]
