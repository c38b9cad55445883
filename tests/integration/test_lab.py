# SPDX-License-Identifier: Apache-2.0
"""The lab itself, without tlsmend: what the other tests stand on."""

import ssl
import time

import dns.resolver
import pytest

from lab import smtpc, tlspeer
from lab.hostile import CLOSE, NOTIFY, RESET, Each
from lab.netns import BLACK_HOLE_IP4, UNREACHABLE_IP4
from lab.pki import KINDS


def connect(scene, mx, index=0):
    return smtpc.SmtpClient(scene.net.client, mx.addresses[index], 25, timeout=5)


def starttls(client, trust, host, **options):
    """Python's own TLS over an SMTP client."""
    ctx = ssl.create_default_context(cafile=trust)
    for key, value in options.items():
        setattr(ctx, key, value)
    assert client.cmd("STARTTLS").code == 220
    client.sock = ctx.wrap_socket(client.sock, server_hostname=host)
    return client


@pytest.mark.parametrize("family", [0, 1], ids=["ipv4", "ipv6"])
def test_honest_mx_takes_a_mail_over_verified_tls(scene, family):
    domain = scene.domain()
    mx = scene.hostile(domain)
    with connect(scene, mx, family) as c:
        assert "STARTTLS" in c.ehlo().lines
        starttls(c, scene.pki.trust_store, mx.host)
        assert "STARTTLS" not in c.ehlo().lines
        body = smtpc.message(body=b".\r\n..two\r\nend.\r\n")
        assert c.deliver("a@b.example", domain.address(), body).code == 250
    (mail,) = mx.wait_mails()
    assert mail.data == body and mail.in_tls and mail.recipients == [f"<{domain.address()}>".encode()]
    (record,) = mx.wait_closed()
    assert record.tls["version"] == "TLSv1.3" and record.tls["sni"] == mx.host
    assert record.verbs(in_tls=False) == ["EHLO", "STARTTLS"]
    assert not mx.saw_in_clear(b"MAIL")


def test_dns_answers(scene):
    domain = scene.domain(signed=True)
    host = domain.host("mx", "203.0.113.7", "2001:db8:1::7")
    domain.mx(host)
    assert scene.dns.query(domain.name, "MX").records == [f"10 {host}."]
    assert scene.dns.query(host, "AAAA").records == ["2001:db8:1::7"]
    assert scene.dns.query("servfail.example", "MX").rcode == "SERVFAIL"
    assert scene.dns.query("nobody.signed.example", "MX").rcode == "NXDOMAIN"
    domain.remove()
    assert not scene.dns.query(domain.name, "MX").records


def test_nothing_outside_and_silent_addresses(scene):
    with pytest.raises(TimeoutError):
        scene.net.client.connect(BLACK_HOLE_IP4, 25, timeout=0.5)
    with pytest.raises(OSError, match="No route"):
        scene.net.client.connect(UNREACHABLE_IP4, 25, timeout=5)
    with pytest.raises(OSError, match="unreachable"):
        scene.net.client.connect("192.88.99.1", 25, timeout=5)


def test_scripted_replies(scene):
    mx = scene.hostile(scene.domain(), replies={
        "greeting": [b"220-one\r\n22", b"0 two\r\n"], "mail": Each("451 4.3.0 no", "250 ok"),
        "rcpt": lambda c: "550 5.1.1 no" if b"bad@" in c.line else "250 2.1.5 ok",
        "final": [0.2, b"250 2.", b"0.0 fine\r\n"], "noop": RESET, "quit": NOTIFY})
    with connect(scene, mx) as c:
        assert c.greeting.code == 220
        c.ehlo()
        assert [r.code for r in c.envelope("a@b.c", [])] == [451]
        assert [r.code for r in c.envelope("a@b.c", ["bad@x.y", "good@x.y"])] == [250, 550, 250]
        start = time.monotonic()
        assert c.data(b"x\r\n").text == "2.0.0 fine"
        assert time.monotonic() - start >= 0.2
        with pytest.raises(ConnectionResetError):
            c.cmd("NOOP")
    assert mx.mails[0].recipients == [b"<good@x.y>"]


def test_bytes_behind_starttls_and_garbage_handshake(scene):
    mx = scene.hostile(scene.domain(), replies={
        "starttls": b"220 go\r\n250 injected\r\n", "handshake": [b"no TLS here\r\n", CLOSE]})
    with connect(scene, mx) as c:
        c.ehlo()
        assert c.cmd("STARTTLS").text == "go"
        assert c.reply().text == "injected"
        c.send(b"what next?")   # the script waits for a hello, or what is none
        assert c.read_line() == b"no TLS here" and c.closed()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("version", ["1.0", "1.1", "1.2", "1.3"])
def test_every_tls_version(scene, version):
    mx = scene.hostile(scene.domain(), versions=(version,))
    with connect(scene, mx) as c:
        c.ehlo()
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        ctx.set_ciphers("ALL:@SECLEVEL=0")
        ctx.minimum_version = ssl.TLSVersion.TLSv1
        assert c.cmd("STARTTLS").code == 220
        c.sock = ctx.wrap_socket(c.sock)
        assert c.sock.version() == {"1.0": "TLSv1"}.get(version, f"TLSv{version}")
        assert c.ehlo().code == 250


def test_handmade_tls_flight(scene):
    """Certificates that no library would send."""
    mx = scene.hostile(scene.domain(), replies={
        "handshake": lambda c: (c.raw_recv(), c.raw_send(tlspeer.tls12_flight([b"\x30\x03\x02\x01"])),
                                c.read_until_closed())})
    with connect(scene, mx) as c:
        c.ehlo()
        with pytest.raises(ssl.SSLError, match="(?i)asn1|nested|length|too"):
            starttls(c, scene.pki.trust_store, mx.host, maximum_version=ssl.TLSVersion.TLSv1_2)


# OpenSSL's own clients take no more than 100 KB of certificates.
@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"san-10000"}))
def test_every_kind_of_certificate_can_be_served(scene, kind):
    host = "mx.kind.example"
    mx = scene.hostile(chain=scene.pki.chain(kind, host))
    with connect(scene, mx) as c:
        c.ehlo()
        ctx = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        ctx.check_hostname, ctx.verify_mode = False, ssl.CERT_NONE
        ctx.set_ciphers("ALL:@SECLEVEL=0")
        assert c.cmd("STARTTLS").code == 220
        c.sock = ctx.wrap_socket(c.sock)
        assert c.sock.getpeercert(binary_form=True) == scene.pki.chain(kind, host).der()


def test_resolver_library_is_the_packaged_one():
    assert hasattr(dns.resolver, "Resolver")   # lab/dns.py must not hide dnspython
