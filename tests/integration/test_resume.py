# SPDX-License-Identifier: Apache-2.0
"""TLS sessions (C-TLS-08): a new connection goes on with one where everything is as it was, and the certificate is
judged by the present time and policy all the same.  No connection waits here, so each mail shakes hands."""

import pytest
from OpenSSL.crypto import PKey, X509

from lab import smtpc
from lab.helpers import SENDER, hup, open_transaction
from lab.hostile import CLOSE, RESET, HostileMx, WhenHello
from lab.servers import MX
from lab.warm import deliver, peer, send, solo

VERSIONS = pytest.mark.parametrize("version", ["1.2", "1.3"])
MINUTES = 1 / 1440    # as days


def shaking(scene, **settings):
    return solo(scene, pool={"idle_time": "0s"}, **settings)


def only(version):
    return {"versions": (version, version)}


def resumed(mx):
    """Of each handshake that was done, by the MX's own word."""
    return [r.tls["resumed"] for r in mx.records if r.tls]


def offered(mx):
    """Of each hello."""
    return [bool(h.ticket) for h in mx.hellos]


# -- it is done ------------------------------------------------------------------------------------


@VERSIONS
def test_c_tls_08_the_second_connection_resumes(scene, version):
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, **only(version))
    first, second, third = (deliver(scene, tlsmend, domain) for _ in range(3))
    assert resumed(mx) == [False, True, True]
    assert [a["resumed"] for a in (first, second, third)] == resumed(mx)
    # The certificate is known from the first one.
    for key in ("verify", "cert_subject", "cert_names", "cert_not_after", "tls", "cipher"):
        assert second[key] == first[key], key
    assert second["verify"] == "ok"


@VERSIONS
@pytest.mark.parametrize("name", sorted(MX))
def test_c_tls_08_real_servers(scene, name, version):
    """Postfix gives a ticket to each full handshake, for TLS 1.3 to no other; Exim and OpenSMTPD give none as they are
    set up here."""
    domain, tlsmend = scene.domain(), shaking(scene)
    host = domain.host("mx", address := scene.net.new_host()[0])
    domain.mx(host)
    mx = scene.server(MX[name], hostname=host, chain=scene.pki.chain("rsa", host), addresses=[address], **only(version))
    attempts = [deliver(scene, tlsmend, domain, message=smtpc.message(subject=f"{i}.{domain.name}")) for i in range(3)]
    assert {a["verify"] for a in attempts} == {"ok"}
    if name == "postfix":
        assert [a["resumed"] for a in attempts][:2] == [False, True] and (version == "1.3" or attempts[2]["resumed"])
    for i in range(3):
        mx.wait_mail(f"<{i}.{domain.name}@")


@VERSIONS
def test_c_tls_08_nearly_all_of_many_resume(scene, version):
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, **only(version))
    with scene.client(tlsmend) as c:
        c.ehlo()
        for _ in range(60):
            assert c.deliver(SENDER, domain.address(), smtpc.message()).code == 250
    assert len(mx.records) == 60 and sum(resumed(mx)) >= 59
    assert sum(a["resumed"] for a in tlsmend.attempts(60)) == sum(resumed(mx))


def test_c_tls_08_a_ticket_of_tls_1_3_is_used_once(scene):
    """RFC 8446 C.4, many connections at the same time; those without a ticket shake hands in full."""
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, **only("1.3"))
    for _ in range(3):
        clients = [open_transaction(scene, tlsmend, domain) for _ in range(8)]
        for c in clients:
            assert c.data(smtpc.message()).code == 250
            c.close()
    tickets = [h.ticket for h in mx.hellos if h.ticket]
    assert len(tickets) >= 16 and len(set(tickets)) == len(tickets)
    assert len(mx.mails) == 24 and resumed(mx) == offered(mx)


def test_c_tls_08_the_workers_have_them_together(scene):
    domain, tlsmend = scene.domain(), scene.tlsmend(workers=4, pool={"idle_time": "0s"})
    mx = peer(scene, domain)
    for _ in range(12):
        deliver(scene, tlsmend, domain)
    assert resumed(mx) == [False] + [True] * 11


def test_c_tls_08_what_waits_says_what_its_handshake_was(scene):
    domain, tlsmend = scene.domain(), solo(scene, pool={"messages": 2})
    peer(scene, domain)
    attempts = [deliver(scene, tlsmend, domain) for _ in range(4)]
    assert [(a.get("mail", 1), a["resumed"]) for a in attempts] == [(1, False), (2, False), (1, True), (2, True)]


def test_c_tls_08_switched_off(scene):
    domain, tlsmend = scene.domain(), shaking(scene, tls={"sessions": 0})
    mx = peer(scene, domain)
    for _ in range(3):
        assert deliver(scene, tlsmend, domain)["resumed"] is False
    assert resumed(mx) == offered(mx) == [False] * 3


def test_c_tls_08_a_restart_begins_in_full(scene):
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain)
    deliver(scene, tlsmend, domain)
    tlsmend.restart()    # within a second its session ids are those of before
    assert send(scene, tlsmend, domain).reply.code == 250
    assert offered(mx) == [False, False]


# -- for what it came from, and nothing else -------------------------------------------------------

VERIFY = {"level": "verify"}
OTHERS = {
    "may": {"level": "may"}, "none-below": {"level": "encrypt"}, "min-version": {"min_version": "1.3"},
    "fingerprint": lambda mx: {"level": "fingerprint", "fingerprints": [mx.chain.sha256()]},
    "ca-file": lambda mx: {"ca_file": mx.chain.path}, "names": {"level": "secure", "names": ["hostname", "other.example"]},
}


@pytest.mark.parametrize("other", OTHERS)
def test_c_tls_08_not_for_another_demand(scene, other):
    a, b = scene.domain(), scene.domain()
    mx = peer(scene, a)
    b.mx(mx.host)
    row = OTHERS[other](mx) if callable(OTHERS[other]) else OTHERS[other]
    tlsmend = shaking(scene, destinations=[{"match": b.name, **row}])
    deliver(scene, tlsmend, a)
    deliver(scene, tlsmend, b)
    assert offered(mx) == [False, False]
    deliver(scene, tlsmend, b)
    deliver(scene, tlsmend, a)
    assert resumed(mx) == [False, False, True, True]


@VERSIONS
def test_c_tls_08_not_for_another_name(scene, version):
    """One address, one certificate, two host names."""
    a, b = scene.domain(), scene.domain()
    hosts = [f"mx.{a.name}", f"mx.{b.name}"]
    mx = peer(scene, a, chain=scene.pki.leaf(hosts[0], "two", names=hosts), **only(version))
    b.mx(b.host("mx", *mx.addresses))
    tlsmend = shaking(scene)
    for domain in (a, b, a, b):
        deliver(scene, tlsmend, domain)
    assert [h.sni for h in mx.hellos] == hosts * 2
    assert resumed(mx) == offered(mx) == [False, False, True, True]


def test_c_tls_08_not_for_another_address_or_port(scene):
    """They may be two machines, whatever their name is."""
    domain, routed = scene.domain(), scene.domain()
    mx = peer(scene, domain)
    port = scene.add("other port", HostileMx(scene.net, addresses=mx.addresses, port=2626, name=mx.host, chain=mx.chain))
    tlsmend = shaking(scene, destinations=[{"match": routed.name, "route": {"host": mx.host, "port": 2626}}])
    deliver(scene, tlsmend, domain)
    deliver(scene, tlsmend, routed)
    other = scene.add("other address", HostileMx(scene.net, name=mx.host, chain=mx.chain))
    scene.dns.add(mx.host, "AAAA", other.addresses[1])
    mx.shut()
    second = scene.domain()
    second.mx(mx.host)
    assert offered(mx) == offered(port) == [False] and not offered(other)


def test_c_tls_08_not_under_another_trust_store(scene):
    directory = scene.lab.new_directory("trust")
    directory.mkdir()
    path = directory / "roots.pem"
    path.write_bytes(scene.pki.trust_store.read_bytes())
    domain = scene.domain()
    mx = peer(scene, domain)
    tlsmend = shaking(scene, tls={"trust_store": path})
    deliver(scene, tlsmend, domain)
    more = scene.pki.chain("self-signed", "root.example").path.read_bytes()
    path.write_bytes(path.read_bytes() + more)
    hup(tlsmend)
    deliver(scene, tlsmend, domain)
    assert offered(mx) == [False, False]
    path.write_bytes(more)
    hup(tlsmend)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] in ("untrusted-root", "incomplete-chain")
    assert offered(mx)[2] is False and len(mx.mails) == 2


def test_c_tls_08_not_when_a_crl_came(scene):
    domain = scene.domain()
    mx = peer(scene, domain, kind="revoked")
    tlsmend = shaking(scene)
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(tls={"crl_files": [scene.pki.crl_file()]})
    hup(tlsmend)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "revoked"
    assert not any(resumed(mx)) and len(mx.mails) == 1


def test_c_tls_08_under_dane(scene):
    a, b = (scene.domain(zone="crafted") for _ in range(2))
    mx = peer(scene, a, kind="expired")
    b.mx(mx.host)
    a.tlsa(mx.host, 3, 1, 1, mx.chain)
    tlsmend = shaking(scene)
    assert [deliver(scene, tlsmend, d)["dane_outcome"] for d in (a, b, a)] == ["ok"] * 3
    assert resumed(mx) == [False, True, True]


def test_c_tls_08_may_resumes_what_verify_would_refuse_and_verify_does_not(scene):
    a, b = scene.domain(), scene.domain()
    mx = peer(scene, a, kind="expired")
    b.mx(mx.host)
    tlsmend = shaking(scene, destinations=[{"match": a.name, "level": "may"}])
    assert [deliver(scene, tlsmend, a)["verify"] for _ in range(2)] == ["expired"] * 2
    assert resumed(mx) == [False, True]
    sent = send(scene, tlsmend, b)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "expired"
    assert offered(mx)[2:] == [False] * len(mx.hellos[2:])


def test_c_tls_08_a_policy_that_asks_for_more_meanwhile(scene):
    domain = scene.domain()
    mx = peer(scene, domain, kind="self-signed")
    tlsmend = shaking(scene, tls={"level": "may"})
    for _ in range(2):
        deliver(scene, tlsmend, domain)
    tlsmend.write_config(tls={"level": "verify"})
    hup(tlsmend)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "self-signed"
    assert not any(offered(mx)[2:]) and len(mx.mails) == 2


# -- by the present time ---------------------------------------------------------------------------


@VERSIONS
def test_c_tls_08_a_certificate_that_expires_ends_it(scene, version):
    """The session lives for two hours, its certificate for half an hour."""
    domain = scene.domain()
    chain = scene.pki.leaf(f"mx.{domain.name}", "short", end=30 * MINUTES)
    mx = peer(scene, domain, chain=chain, **only(version))
    tlsmend = shaking(scene, clock="wall")
    for _ in range(2):
        deliver(scene, tlsmend, domain)
    tlsmend.clock.turn("+31m")
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "expired"
    assert len(mx.mails) == 2 and resumed(mx)[:2] == [False, True] and not any(resumed(mx)[2:])
    tlsmend.clock.turn("+0m")    # the clock was wrong
    deliver(scene, tlsmend, domain)


@VERSIONS
def test_c_tls_08_a_certificate_that_was_replaced(scene, version):
    """The MX keeps its ticket keys and shows an expired certificate to whoever asks: who resumes is judged by the
    chain of the first handshake, which is good; in full there is the new one."""
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, **only(version))
    deliver(scene, tlsmend, domain)
    expired = scene.pki.chain("expired", mx.host)
    mx.context().use_certificate(X509.from_cryptography(expired.leaf))
    mx.context().use_privatekey(PKey.from_cryptography_key(expired.key))
    assert deliver(scene, tlsmend, domain)["resumed"] is True
    mx.forget_keys(expired)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "expired" and len(mx.mails) == 2
    mx.forget_keys(scene.pki.chain("good", mx.host))
    assert deliver(scene, tlsmend, domain)["resumed"] is False


@VERSIONS
def test_c_tls_08_a_session_grows_old(scene, version):
    """What the MX said about its ticket's lifetime is up to it; two hours here."""
    domain, tlsmend = scene.domain(), shaking(scene, clock="wall")
    mx = peer(scene, domain, **only(version))
    deliver(scene, tlsmend, domain)
    tlsmend.clock.turn("+121m")
    deliver(scene, tlsmend, domain)
    assert offered(mx) == [False, False]


@VERSIONS
def test_c_tls_08_a_clock_that_goes_back_by_a_day(scene, version):
    """From tomorrow: not offered, and no failure."""
    domain, tlsmend = scene.domain(), shaking(scene, clock="wall")
    mx = peer(scene, domain, **only(version))
    deliver(scene, tlsmend, domain)
    tlsmend.clock.turn("-1d")
    for _ in range(2):
        deliver(scene, tlsmend, domain)
    assert offered(mx)[1] is False and len(mx.records) == 3


# -- the MX knows nothing of it --------------------------------------------------------------------


@VERSIONS
def test_c_tls_08_an_mx_that_lost_its_keys(scene, version):
    """Restarted, or one of many behind an address: a full handshake within the same connection."""
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, **only(version))
    for _ in range(3):
        deliver(scene, tlsmend, domain)
        mx.forget_keys()
    assert offered(mx) == [False, True, True] and resumed(mx) == [False] * 3
    assert len(mx.records) == 3
    assert deliver(scene, tlsmend, domain)["resumed"] is False    # the keys are new again
    assert deliver(scene, tlsmend, domain)["resumed"] is True


@VERSIONS
@pytest.mark.parametrize("how", [RESET, CLOSE], ids=["reset", "close"])
def test_c_tls_08_an_mx_that_stumbles_over_it(scene, version, how):
    """The next rung offers none; it is offered no more."""
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, replies={"handshake": WhenHello(test=lambda h: h.ticket, then=how)}, **only(version))
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 250 and [a["rung"] for a in sent.attempts] == ["full", "compact"]
    assert offered(mx) == [False, True, False] and len(mx.mails) == 2
    deliver(scene, tlsmend, domain)


def test_c_tls_08_only_the_full_hello_offers_one(scene):
    """The others have to be small."""
    domain, tlsmend = scene.domain(), shaking(scene)
    mx = peer(scene, domain, replies={"handshake": WhenHello(test=lambda h: 5 in h.extensions, then=RESET)})
    assert send(scene, tlsmend, domain).reply.code == 250
    for _ in range(2):
        assert deliver(scene, tlsmend, domain)["rung"] == "compact"
    assert not any(offered(mx)) and not any(resumed(mx))
