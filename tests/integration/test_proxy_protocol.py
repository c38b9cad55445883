# SPDX-License-Identifier: Apache-2.0
"""The PROXY protocol: who the client behind a load balancer is, and that nobody else may say so."""

import ipaddress
import select
import signal
import socket
import struct
import time

import pytest

from lab import smtpc
from lab.helpers import SENDER, hup, listener, mail
from lab.haproxy import HaProxy
from lab.netns import CLIENT_IP4, CLIENT_IP6
from lab.process import wait_for

NAMED, NAMED6 = "198.51.100.7", "2001:db8:7::7"
SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
PORT = 2535


def v1(source=NAMED, destination="203.0.113.9"):
    family = "TCP6" if ":" in source else "TCP4"
    return f"PROXY {family} {source} {destination} 4711 25\r\n".encode()


def v2(source=NAMED, destination="203.0.113.9", tlvs=b"", command=0x21):
    ends = [ipaddress.ip_address(a).packed for a in (source, destination)]
    block = b"".join(ends) + struct.pack("!HH", 4711, 25) + tlvs
    family = 0x11 if len(ends[0]) == 4 else 0x21
    return SIGNATURE + struct.pack("!BBH", command, family, len(block)) + block


LOCAL = SIGNATURE + b"\x20\0\0\0"


@pytest.fixture
def balanced(scene):
    return start(scene)


def start(scene, more=None, **settings):
    """A listener for balancers at 127.0.0.1, who may not relay themselves; and one for anybody here."""
    row = listener("balanced", PORT, "0.0.0.0", proxy_clients=["127.0.0.1"],
                   allow_clients=["198.51.100.0/24", "2001:db8:7::/64", "192.0.2.0/24"])
    return scene.tlsmend(listeners=[listener(), row | (more or {})], **settings)


def dial(scene, address="127.0.0.1"):
    """Connected; nothing said, nothing awaited."""
    c = smtpc.SmtpClient(scene.net.client, address, PORT, greet=False)
    scene.add("client", Closing(c))
    return c


class Closing:
    def __init__(self, client):
        self.stop = client.close


def greeted(scene, header, sizes=None):
    c = dial(scene)
    c.send(header, sizes)
    c.greeting = c.reply()
    return c


def silent(c, seconds=0.2):
    """Not a byte and no end, so far."""
    return not select.select([c.sock], [], [], seconds)[0]


def refused(tlsmend, count=1, **fields):
    return tlsmend.wait_records("client-refused", count, **fields)[-1]


# -- who the client is ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header, client", [
    (v1(), f"{NAMED}:4711"),
    (v1(NAMED6, "2001:db8:1::9"), f"[{NAMED6}]:4711"),
    (v1(f"::ffff:{NAMED}", "::ffff:203.0.113.9"), f"{NAMED}:4711"),
    (v2(), f"{NAMED}:4711"),
    (v2(NAMED6, "2001:db8:1::9"), f"[{NAMED6}]:4711"),
    (v2(f"::ffff:{NAMED}", "::ffff:203.0.113.9"), f"{NAMED}:4711"),
    (v2(tlvs=b"\x02\0\x0bmail.exampl" + b"\xee\0\0"), f"{NAMED}:4711"),
    (v2(tlvs=b"\x04" + struct.pack("!H", 4065) + bytes(4065)), f"{NAMED}:4711"),
], ids=["v1-ip4", "v1-ip6", "v1-mapped", "v2-ip4", "v2-ip6", "v2-mapped", "v2-tlvs", "v2-longest"])
def test_the_header_names_the_client(scene, balanced, header, client):
    domain = scene.domain()
    mx = scene.hostile(domain)
    c = greeted(scene, header)
    assert c.greeting.code == 220
    c.ehlo()
    assert mail(c, domain).code == 250
    c.cmd("QUIT")
    assert len(mx.mails) == 1
    for event in ("attempt", "result", "session"):
        assert balanced.wait_records(event, client=client)
    assert not balanced.records("client-refused")


@pytest.mark.parametrize("header", [v1(), v2(), v2(tlvs=b"\x04\0\x05abcde")], ids=["v1", "v2", "v2-tlv"])
@pytest.mark.parametrize("sizes", [[1], [3, 1], [15], [16, 1]], ids=str)
def test_in_any_segmentation(scene, balanced, header, sizes):
    c = greeted(scene, header, sizes)
    assert c.greeting.code == 220 and c.ehlo().code == 250


@pytest.mark.parametrize("header", [v1(), v2(), b"PROXY UNKNOWN\r\n", LOCAL], ids=["v1", "v2", "unknown", "local"])
def test_what_stands_behind_the_header_is_read_as_smtp(scene, header):
    """In one segment with it, to the last byte and no byte more."""
    tlsmend = start(scene, {"allow_clients": ["198.51.100.0/24", "127.0.0.1"]})
    domain = scene.domain()
    mx = scene.hostile(domain)
    c = dial(scene)
    c.send(header + f"EHLO c.example\r\nMAIL FROM:<{SENDER}>\r\nRCPT TO:<{domain.address()}>\r\nDATA\r\n".encode())
    assert [c.reply().code for _ in range(5)] == [220, 250, 250, 250, 354]
    c.send(smtpc.message() + b".\r\nQUIT\r\n")
    assert [c.reply().code for _ in range(2)] == [250, 221]
    assert len(mx.mails) == 1 and mx.mails[0].data == smtpc.message()
    assert tlsmend.result()["status"] == "delivered"


def test_nothing_is_said_before_the_header(scene, balanced):
    c = dial(scene)
    assert silent(c)
    c.send(v1()[:-1])
    assert silent(c)
    c.send(v1()[-1:])
    assert c.reply().code == 220
    with scene.client(balanced) as other:   # the other listener greets at once
        assert other.greeting.code == 220


@pytest.mark.parametrize("header", [
    b"PROXY UNKNOWN\r\n", b"PROXY UNKNOWN 198.51.100.7 203.0.113.9 4711 25\r\n", LOCAL, v2(command=0x20),
    SIGNATURE + b"\x21\0\0\0", SIGNATURE + b"\x21\x31\0\xd8" + bytes(216)],
    ids=["unknown", "unknown-with-addresses", "local", "local-with-addresses", "unspecified", "unix"])
def test_without_addresses_the_balancer_stands_for_itself(scene, header):
    tlsmend = start(scene, {"allow_clients": ["127.0.0.1"]})
    c = greeted(scene, header)
    assert c.greeting.code == 220
    assert c.cmd("QUIT").code == 221
    (session,) = tlsmend.wait_records("session", listener="balanced")
    assert session["client"].startswith("127.0.0.1:")


# -- who may come ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [v1("198.18.0.1"), v2("198.18.0.1"), v1("127.0.0.1"), v2("2001:db8:8::1", "2001:db8:1::9")],
                         ids=["v1", "v2", "loopback", "ip6"])
def test_c_in_08_allow_clients_judges_whom_the_header_names(scene, balanced, header):
    c = greeted(scene, header)
    assert str(c.greeting)[:9] == "554 5.7.1" and c.closed()
    record = refused(balanced)
    assert record["client"].rpartition(":")[2] == "4711" and record["proxy"].startswith("127.0.0.1:")
    assert record["listener"] == "balanced" and "allow_clients" in record["hint"]


def test_c_in_08_a_balancer_that_may_not_relay_is_told_so(scene, balanced):
    c = greeted(scene, LOCAL)
    assert str(c.greeting)[:9] == "554 5.7.1" and c.closed()
    record = refused(balanced)
    assert record["client"].startswith("127.0.0.1:") and "proxy" not in record
    assert "health check" in record["hint"]


@pytest.mark.parametrize("header, errors", [(v1(), 1), (v2() + b"\r\n", 4)], ids=["v1", "v2"])
def test_from_others_a_header_is_an_unknown_command(scene, balanced, header, errors):
    """Who is not in proxy_clients names nobody: an allowed client stays who it is."""
    c = dial(scene, CLIENT_IP4)
    assert c.reply().code == 220
    c.send(header)
    assert [c.reply().code for _ in range(errors)] == [500] * errors
    assert c.cmd("QUIT").code == 221
    (session,) = balanced.wait_records("session", listener="balanced")
    assert session["client"].startswith(CLIENT_IP4)


# -- what is no header ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("wrong", [
    b"EHLO client.example\r\n",
    b"Q",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 04711 25\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 4711 25\n",
    b"PROXY TCP6 198.51.100.7 203.0.113.9 4711 25\r\n",
    b"PROXY TCP4 198.51.100.7 203.0.113.9 4711 65536\r\n",
    b"PROXY UNKNOWN " + b"x" * 200,
    SIGNATURE + b"\x31\x11\0\x0c" + bytes(12),
    SIGNATURE + b"\x21\x11\0\x0b" + bytes(11),
    SIGNATURE + b"\x21\x11\xff\xff" + bytes(1000),
], ids=["ehlo", "one-byte", "zero", "newline", "family", "port", "endless", "version", "short", "long"])
def test_what_is_no_header_is_closed_without_a_word(scene, balanced, wrong):
    c = dial(scene)
    c.send(wrong)
    assert c.closed()
    record = refused(balanced)
    assert record["client"].startswith("127.0.0.1:") and record["listener"] == "balanced"
    assert record["detail"] and "proxy_clients" in record["hint"]
    assert len(balanced.records("client-refused")) == 1
    assert not balanced.records("session", listener="balanced")
    assert greeted(scene, v1()).greeting.code == 220   # and it goes on


@pytest.mark.parametrize("half", [b"", v1()[:20], v2()[:20]], ids=["none", "v1", "v2"])
def test_who_closes_before_the_header_is_whole_is_recorded(scene, balanced, half):
    c = dial(scene)
    c.send(half)
    c.sock.shutdown(socket.SHUT_WR)
    assert c.closed()
    assert refused(balanced)["detail"] == ("closed inside the PROXY header" if half else "closed before the PROXY header")


def test_a_header_has_ten_seconds(scene, balanced):
    """Nothing, a half one, one that drips: all are cut; a slow one within the time is served."""
    cpu = balanced_cpu(balanced)
    begin = time.monotonic()
    silent_one, half, drip, slow = (dial(scene) for _ in range(4))
    half.send(v2()[:17])
    for byte in v1()[:16]:
        drip.send(bytes([byte]))
        time.sleep(0.1)
    slow.send(v1()[:30])
    wait_for("5 seconds", lambda: time.monotonic() - begin > 5)
    drip.send(v1()[16:17])
    slow.send(v1()[30:])
    assert slow.reply().code == 220
    for c in (silent_one, half, drip):
        assert c.closed(timeout=20)
    assert 9 < time.monotonic() - begin < 15
    details = sorted(r["detail"] for r in balanced.wait_records("client-refused", 3))
    assert details == ["no PROXY header within 10 s"] + ["no whole PROXY header within 10 s"] * 2
    assert balanced_cpu(balanced) - cpu < 2   # waiting is not spinning
    assert slow.ehlo().code == 250


def balanced_cpu(tlsmend):
    """Seconds of processor time so far."""
    with open(f"/proc/{tlsmend.pid}/stat", encoding="ascii") as f:
        fields = f.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100


# -- limits, reload, the end ----------------------------------------------------------------------------------------------


def test_c_in_09_arrivals_count_among_the_sessions(scene):
    tlsmend = start(scene, workers=1, limits={"sessions": 4})
    idle = tlsmend.open_files()
    waiting = [dial(scene) for _ in range(4 + 16)]   # as far beyond the limit as clients are greeted
    wait_for("all to be accepted", lambda: tlsmend.open_files() == idle + len(waiting))
    late = smtpc.SmtpClient(scene.net.client, greet=False)
    scene.add("client", Closing(late))
    assert silent(late, 0.5)
    for c in waiting[:8]:
        c.close()
    assert late.reply().code == 220
    for c in waiting[8:]:
        c.send(v1())
        assert c.reply().code == 220
    assert len(tlsmend.wait_records("client-refused", 8, detail="closed before the PROXY header")) == 8


def test_an_arrival_is_cut_at_shutdown(scene, balanced):
    c = dial(scene)
    c.send(v2()[:20])
    greeted(scene, v1())   # the workers have had their turn
    balanced.send(signal.SIGTERM)
    balanced.wait_end(5)   # not the ten seconds of the header
    assert c.closed()


def test_a_header_that_began_before_a_reload_ends_after_it(scene, balanced):
    c = dial(scene)
    c.send(v2()[:20])
    with scene.client(balanced) as other:
        other.ehlo()
    rows = balanced.settings["listeners"]
    balanced.write_config(listeners=[rows[0], {k: v for k, v in rows[1].items() if k != "proxy_clients"}])
    hup(balanced)
    c.send(v2()[20:])
    assert c.reply().code == 220
    assert c.cmd("QUIT").code == 221
    assert balanced.wait_records("session", client=f"{NAMED}:4711")


# -- a proxy that catches -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("make", [v1, v2])
def test_on_a_redirect_listener_the_header_says_where_the_client_was_going(scene, make):
    tlsmend = start(scene, {"protocol": "redirect", "redirect_check": "enforce"})
    domain = scene.domain()
    mx = scene.hostile(domain)
    c = greeted(scene, make(destination=mx.addresses[0]))
    c.ehlo()
    assert mail(c, domain).code == 250
    c = greeted(scene, make(destination="203.0.113.230"))
    c.ehlo()
    assert str(mail(c, domain))[:9] == "451 4.7.1"
    (record,) = tlsmend.wait_records("redirect")
    assert record["original"] == "203.0.113.230" and len(mx.mails) == 1


# -- a real balancer ------------------------------------------------------------------------------------------------------

WAYS = {
    2601: "send-proxy",
    2602: "send-proxy-v2",
    2603: "send-proxy-v2 proxy-v2-options crc32c,unique-id,ssl",
    2604: "send-proxy-v2-ssl-cn",
}


@pytest.fixture
def haproxied(scene):
    """tlsmend behind HAProxy, which has not looked yet."""
    tlsmend = start(scene, {"allow_clients": [f"{CLIENT_IP4}/32", CLIENT_IP6]})
    scene.add("haproxy", HaProxy(scene.lab, scene.lab.new_directory("haproxy"), f"127.0.0.1:{PORT}", WAYS))
    return tlsmend


@pytest.mark.parametrize("port", WAYS, ids=WAYS.values())
@pytest.mark.parametrize("address", [CLIENT_IP4, CLIENT_IP6])
def test_haproxy(scene, haproxied, port, address):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with smtpc.SmtpClient(scene.net.client, address, port) as c:
        own = c.sock.getsockname()
        c.ehlo()
        assert mail(c, domain).code == 250
        assert c.cmd("QUIT").code == 221
    assert len(mx.mails) == 1
    client = f"[{own[0]}]:{own[1]}" if ":" in own[0] else f"{own[0]}:{own[1]}"
    assert haproxied.result()["client"] == client
    assert haproxied.wait_records("session", client=client)


def test_haproxy_asks_whether_tlsmend_is_well(scene):
    """Its health check is a connection of its own, which says so in the header."""
    tlsmend = start(scene, {"allow_clients": ["127.0.0.1", CLIENT_IP4]})
    scene.add("haproxy", HaProxy(scene.lab, scene.lab.new_directory("haproxy"), f"127.0.0.1:{PORT}",
                                 {2605: "send-proxy-v2 check check-send-proxy inter 200ms"}))
    sessions = tlsmend.wait_records("session", 3, listener="balanced", transactions=0)
    assert any(s["client"].startswith("127.0.0.1:") for s in sessions)
    with smtpc.SmtpClient(scene.net.client, CLIENT_IP4, 2605) as c:
        assert c.ehlo().code == 250
    assert not tlsmend.records("client-refused")
