# SPDX-License-Identifier: Apache-2.0
"""The lab's packet capture sees what is in clear, and its assertions can fail."""

import socket

import dns.message
import dns.query
import pytest

from lab import smtpc
from lab.capture import assert_no_clear_envelope, clear_text
from test_lab import connect, starttls

BODY = b"This is a secret.\r\n"


def deliver(scene, domain, mx, family=0, tls=True):
    with connect(scene, mx, family) as c:
        c.ehlo()
        if tls:
            starttls(c, scene.pki.trust_store, mx.host)
            c.ehlo()
        assert c.deliver("a@b.example", domain.address(), smtpc.message(body=BODY)).code == 250


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_a_mail_inside_tls_is_not_seen(scene, family):
    domain = scene.domain()
    mx = scene.hostile(domain)
    capture = scene.capture()
    deliver(scene, domain, mx, family)
    assert_no_clear_envelope(capture, domain.address(), BODY)
    assert clear_text(capture, mx.addresses) == b"EHLO client.lab.example\r\nSTARTTLS\r\n"
    (flow,) = capture.flows()
    assert flow.server == (mx.addresses[family], 25) and b"220 2.0.0 go ahead" in flow.received


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_a_mail_in_clear_is_seen(scene, family):
    domain = scene.domain()
    mx = scene.hostile(domain)
    capture = scene.capture()
    deliver(scene, domain, mx, family, tls=False)
    with pytest.raises(AssertionError, match="MAIL"):
        assert_no_clear_envelope(capture)
    assert BODY in clear_text(capture, mx.addresses[family])
    assert clear_text(capture, mx.addresses[1 - family]) == b""


def test_clear_text_after_a_refused_starttls_and_behind_tls_is_seen(scene):
    mx = scene.hostile(scene.domain(), replies={"starttls": "454 4.7.0 not now"})
    capture = scene.capture()
    with connect(scene, mx) as c:
        c.ehlo()
        c.cmd("STARTTLS")
        c.cmd("mail from:<a@b.example>")
    with pytest.raises(AssertionError, match="in clear"):
        assert_no_clear_envelope(capture)
    behind = scene.hostile(scene.domain(), replies={"handshake": [b"", None]})
    with connect(scene, behind) as c:
        c.ehlo()
        c.cmd("STARTTLS")
        c.send(b"\x16\x03\x01\x00\x02xx" + b"MAIL FROM:<a@b.example>\r\n")
    assert clear_text(capture, behind.addresses).endswith(b"STARTTLS\r\nMAIL FROM:<a@b.example>\r\n")


def test_no_connection_proves_nothing(scene):
    with pytest.raises(AssertionError, match="nothing is proved"):
        assert_no_clear_envelope(scene.capture())


def test_a_large_mail_is_captured_whole(scene):
    domain = scene.domain()
    mx = scene.hostile(domain)
    capture = scene.capture()
    body = b"".join(b"%06d " % i + b"x" * 90 + b"\r\n" for i in range(30000))
    with connect(scene, mx) as c:
        c.ehlo()
        assert c.deliver("a@b.example", domain.address(), smtpc.message(body=body)).code == 250
    (flow,) = capture.flows()
    assert not flow.gaps and body in flow.sent


def test_dns_questions_are_counted(scene):
    name = f"_25._tcp.mx.{scene.domain().name}"
    capture = scene.capture()
    for rdtype in ("A", "TLSA", "TLSA"):
        with scene.net.client.entered():
            udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        udp.setblocking(False)
        with udp:
            dns.query.udp(dns.message.make_query(name.upper(), rdtype), scene.dns.address, 5, sock=udp)
    with scene.net.client.connect(scene.dns.address6, 53) as tcp:
        dns.query.tcp(dns.message.make_query(name, "TLSA"), scene.dns.address6, 5, sock=tcp)
    asked = capture.queries(name, "TLSA")
    assert [(q.tcp, q.server) for q in asked] == [(False, scene.dns.address)] * 2 + [(True, scene.dns.address6)]
    assert len(capture.queries(name)) == 4 and not capture.queries("_25._tcp.other.example")


def test_what_tlsmend_asks_and_sends_is_seen(scene):
    domain = scene.domain()
    mx = scene.hostile(domain)
    tlsmend, capture = scene.tlsmend(), scene.capture()
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver("a@client.lab.example", domain.address(), smtpc.message(body=BODY)).code == 250
    assert_no_clear_envelope(capture, domain.address(), BODY, addresses=mx.addresses)
    assert [q.server for q in capture.queries(domain.name, "MX")] in ([scene.dns.address], [scene.dns.address6])
    assert capture.queries(mx.host, "A") and not capture.queries(mx.host, "MX")
