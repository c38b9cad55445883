# SPDX-License-Identifier: Apache-2.0
"""Whose mail may go over a connection that another domain's mail has opened (C-OUT-08): a host's, under an equal or
stronger verified demand for that recipient domain; and what was true when it was opened may be so no more."""

import pytest

from lab import smtpc
from lab.helpers import SENDER, hup, listener
from lab.hostile import RESET, HostileMx
from lab.warm import deliver, peer, refused, send, solo

OTHER_KEY = b"not the key of any server here"


def opened(mx):
    """How many connections were made, and how many MAIL commands they brought."""
    return len(mx.records), sum(r.verbs().count("MAIL") for r in mx.records)


def two(scene, row_a, row_b, *, kind="good", signed=False, **options):
    """Two domains with one MX host; rows may be functions of the host."""
    a, b = (scene.domain(zone="crafted" if signed else None) for _ in range(2))
    mx = peer(scene, a, kind=kind, **options)
    b.mx(mx.host)
    rows = [{"match": d.name, **(row(mx) if callable(row) else row)} for d, row in ((a, row_a), (b, row_b)) if row]
    return a, b, mx, rows


# -- one host, two domains -------------------------------------------------------------------------

MAY, NONE, ENCRYPT, VERIFY = ({"level": name} for name in ("may", "none", "encrypt", "verify"))
PINNED = {"level": "fingerprint"}
NO_TLS = {"tls": False}

SHARED = {
    "verify-verify": (VERIFY, VERIFY, {}), "verify-may": (VERIFY, MAY, {}), "verify-encrypt": (VERIFY, ENCRYPT, {}),
    "may-verify-of-a-good-one": (MAY, VERIFY, {}), "encrypt-verify-of-a-good-one": (ENCRYPT, VERIFY, {}),
    "encrypt-may-of-a-bad-one": (ENCRYPT, MAY, {"kind": "expired"}), "may-encrypt-of-a-bad-one": (MAY, ENCRYPT,
                                                                                             {"kind": "self-signed"}),
    "none-none": (NONE, NONE, {}), "may-may-in-clear": (MAY, MAY, NO_TLS),
    "may-may-downgraded": (MAY, MAY, {"replies": {"handshake": RESET}}),
    "names-written-down": (VERIFY, lambda mx: {"level": "secure", "names": [mx.host]}, {}),
}


@pytest.mark.parametrize("name", SHARED)
def test_c_out_08_shared(scene, name):
    row_a, row_b, options = SHARED[name]
    a, b, mx, rows = two(scene, row_a, row_b, **options)
    tlsmend = solo(scene, destinations=rows)
    first = send(scene, tlsmend, a)
    assert first.reply.code == 250
    before = len(mx.records)
    second = deliver(scene, tlsmend, b)
    assert (second["connection"], second["mail"]) == (first.attempts[-1]["attempt"], 2)
    assert second["recipient_domain"] == b.name and second["demand"] == {**VERIFY, **rows[1]}["level"]
    assert second.get("verify") == first.attempts[-1].get("verify")
    assert len(mx.records) == before


# What the second domain's mail meets on a connection of its own; None: it is delivered there.
APART = {
    "none-may": (NONE, MAY, {}, None), "none-verify": (NONE, VERIFY, {}, None), "none-encrypt": (NONE, ENCRYPT, {}, None),
    "verify-none": (VERIFY, NONE, {}, None), "may-none-in-clear": (MAY, NONE, NO_TLS, None),
    "none-may-in-clear": (NONE, MAY, NO_TLS, None),
    "none-verify-in-clear": (NONE, VERIFY, NO_TLS, "no-starttls"),
    "may-encrypt-in-clear": (MAY, ENCRYPT, NO_TLS, "no-starttls"),
    "may-verify-downgraded": (MAY, VERIFY, {"replies": {"handshake": RESET}}, "tls-reset"),
    "may-verify-of-an-expired-one": (MAY, VERIFY, {"kind": "expired"}, "expired"),
    "encrypt-verify-of-another-name": (ENCRYPT, VERIFY, {"kind": "name-mismatch"}, "name-mismatch"),
    "encrypt-verify-of-a-self-signed-one": (ENCRYPT, VERIFY, {"kind": "self-signed"}, "self-signed"),
    "min-version-of-tls-1.2": (VERIFY, {"min_version": "1.3"}, {"versions": ("1.2", "1.2")}, "tls-version"),
    "min-version-of-tls-1.3": (VERIFY, {"min_version": "1.3"}, {"versions": ("1.3", "1.3")}, None),
    "fingerprint": (VERIFY, lambda mx: {**PINNED, "fingerprints": [mx.chain.sha256()]}, {}, None),
    "fingerprint-of-another": (VERIFY, {**PINNED, "fingerprints": ["ab" * 32]}, {}, "fingerprint-mismatch"),
    "fingerprint-verify": (lambda mx: {**PINNED, "fingerprints": [mx.chain.sha256()]}, VERIFY, {"kind": "expired"},
                           "expired"),
    "two-fingerprints": (lambda mx: {**PINNED, "fingerprints": [mx.chain.sha256()]},
                         {**PINNED, "fingerprints": ["ab" * 32]}, {}, "fingerprint-mismatch"),
    "other-names": (VERIFY, {"level": "secure", "names": ["mail.elsewhere.example"]}, {}, "name-mismatch"),
    "roots-of-its-own": (lambda mx: {"ca_file": mx.chain.path}, VERIFY, {"kind": "self-signed"}, "self-signed"),
    "the-domains-own-names": (VERIFY, {"level": "secure"}, {}, "name-mismatch"),
}


@pytest.mark.parametrize("name", APART)
def test_c_out_08_not_shared(scene, name):
    row_a, row_b, options, reason = APART[name]
    a, b, mx, rows = two(scene, row_a, row_b, **options)
    tlsmend = solo(scene, destinations=rows)
    assert send(scene, tlsmend, a).reply.code == 250
    before = opened(mx)
    sent = send(scene, tlsmend, b)
    assert not any("reused" in attempt for attempt in sent.attempts), sent
    if reason is None:
        assert sent.reply.code == 250 and sent.attempt["outcome"] == "delivered"
        assert opened(mx) == (before[0] + 1, before[1] + 1)
    else:
        assert sent.reply.code == 451 and sent.attempts[0]["reason"] == reason, sent
        assert opened(mx)[0] > before[0] and opened(mx)[1] == before[1]
    # The first domain goes on over its own.
    assert deliver(scene, tlsmend, a)["mail"] == 2


def test_c_out_08_another_host_name_at_the_same_address(scene):
    """SNI and name are the host's own, whoever is behind the address."""
    a, b = scene.domain(), scene.domain()
    mx = peer(scene, a)
    b.mx(b.host("mx", *mx.addresses))
    tlsmend = solo(scene)
    deliver(scene, tlsmend, a)
    sent = send(scene, tlsmend, b)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "name-mismatch"
    assert opened(mx) == (2, 1)
    assert [r.tls and r.tls["sni"] for r in mx.records][0] == mx.host


def test_c_out_08_another_port(scene):
    a, b = scene.domain(), scene.domain()
    mx = peer(scene, a)
    other = scene.add("other", HostileMx(scene.net, addresses=mx.addresses, port=2626, name=mx.host, chain=mx.chain))
    tlsmend = solo(scene, destinations=[{"match": b.name, "route": {"host": mx.host, "port": 2626}}])
    deliver(scene, tlsmend, a)
    assert "reused" not in deliver(scene, tlsmend, b)
    assert len(mx.mails) == 1 and len(other.mails) == 1


# -- policies --------------------------------------------------------------------------------------


def test_c_out_08_mta_sts_of_which_the_host_is_no_part(scene):
    """The warm connection would do; the policy does not list its host (C-STS-11)."""
    a, b, mx, rows = two(scene, VERIFY, VERIFY)
    b.sts(mx=["mx.elsewhere.example"], mode="enforce")
    tlsmend = solo(scene, destinations=rows)
    deliver(scene, tlsmend, a)
    sent = send(scene, tlsmend, b)
    assert (sent.reply.code, sent.reply.text[:5]) == (451, "4.7.5")
    assert not sent.attempts and tlsmend.results(2)[-1]["reason"] == "sts-mx-not-listed"
    assert opened(mx) == (1, 1)


def test_c_out_08_mta_sts_that_lists_the_host(scene):
    """Level may, and a policy that asks for what a verified connection has."""
    a, b, mx, rows = two(scene, VERIFY, MAY)
    b.sts(mx=[mx.host], mode="enforce")
    tlsmend = solo(scene, destinations=rows)
    deliver(scene, tlsmend, a)
    attempt = deliver(scene, tlsmend, b)
    assert attempt["mail"] == 2 and attempt["demand_source"] == "mta-sts", attempt


def test_c_out_08_mta_sts_and_a_connection_opened_at_may(scene):
    a, b, mx, rows = two(scene, MAY, MAY, kind="expired")
    b.sts(mx=[mx.host], mode="enforce")
    tlsmend = solo(scene, destinations=rows)
    deliver(scene, tlsmend, a)
    sent = send(scene, tlsmend, b)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "expired"
    assert opened(mx)[1] == 1


def test_c_out_08_dane_shared(scene):
    """Equal records, and the key is the one that they name; the certificate would not do at verify."""
    a, b, mx, rows = two(scene, MAY, MAY, signed=True, kind="expired")
    a.tlsa(mx.host, 3, 1, 1, mx.chain)
    tlsmend = solo(scene, destinations=rows)
    deliver(scene, tlsmend, a)
    attempt = deliver(scene, tlsmend, b)
    assert attempt["mail"] == 2 and attempt["dane_outcome"] == "ok", attempt
    assert opened(mx) == (1, 2)


def test_c_out_08_dane_whose_records_do_not_match(scene):
    """Another domain's row has overruled the same records, so the connection is there."""
    overruled = {"level": "may", "override_policy": True, "expires": "2099-01-01", "reason": "ticket 1"}
    a, b, mx, rows = two(scene, overruled, VERIFY, signed=True)
    a.tlsa(mx.host, 3, 1, 1, OTHER_KEY)
    tlsmend = solo(scene, destinations=rows)
    deliver(scene, tlsmend, a)
    sent = send(scene, tlsmend, b)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "dane-mismatch"
    assert opened(mx)[1] == 1
    assert deliver(scene, tlsmend, a)["mail"] == 2


def test_c_out_08_dane_records_that_came_later(scene):
    """The connection was verified by name; now there are records, and its key is not theirs."""
    domain = scene.domain(zone="crafted")
    mx = peer(scene, domain)
    tlsmend = solo(scene, resolver={"destinations": 0})
    deliver(scene, tlsmend, domain)
    domain.tlsa(mx.host, 3, 1, 1, OTHER_KEY)
    other = scene.domain(zone="crafted")    # what is cached about the first is of before
    other.mx(mx.host)
    sent = send(scene, tlsmend, other)
    if sent.reply.code == 250:    # "there are none" is cached too, for a second
        assert sent.attempt["reused"]
    else:
        assert sent.attempts[0]["reason"] == "dane-mismatch" and opened(mx)[1] == 1


# -- REQUIRETLS ------------------------------------------------------------------------------------

CAN = (*HostileMx.capabilities, "REQUIRETLS")


@pytest.mark.parametrize("capabilities", [CAN, HostileMx.capabilities], ids=["offered", "not-offered"])
def test_c_out_08_requiretls(scene, capabilities):
    domain = scene.domain(zone="crafted")
    mx = peer(scene, domain, capabilities=capabilities)
    tlsmend = solo(scene, listeners=[listener(requiretls=True)])
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain, params=" REQUIRETLS")
    if capabilities is CAN:
        assert sent.reply.code == 250 and sent.attempt["mail"] == 2
        lines = [line for verb, line, _ in mx.records[0].commands if verb == "MAIL"]
        assert b"REQUIRETLS" not in lines[0] and lines[1].endswith(b" REQUIRETLS")
        plain = deliver(scene, tlsmend, domain)
        assert plain["mail"] == 3
        assert b"REQUIRETLS" not in [line for verb, line, _ in mx.records[0].commands if verb == "MAIL"][2]
    else:
        assert sent.reply.code == 550 and not any("reused" in a for a in sent.attempts), sent
        assert opened(mx)[1] == 1
        assert deliver(scene, tlsmend, domain)["mail"] == 2


def test_c_out_08_requiretls_over_one_opened_at_may(scene):
    """The certificate is no good, and nobody asked so far."""
    domain = scene.domain(zone="crafted")
    mx = peer(scene, domain, capabilities=CAN, kind="expired")
    tlsmend = solo(scene, listeners=[listener(requiretls=True)], tls={"level": "may"})
    deliver(scene, tlsmend, domain)
    sent = send(scene, tlsmend, domain, params=" REQUIRETLS")
    assert sent.reply.code in (451, 550) and sent.reply.code != 250
    assert opened(mx)[1] == 1


# -- what was true is true no more -----------------------------------------------------------------


def own_trust(scene):
    directory = scene.lab.new_directory("trust")
    directory.mkdir()
    path = directory / "roots.pem"
    path.write_bytes(scene.pki.trust_store.read_bytes())
    return path


@pytest.mark.parametrize("roots", ["others", "one-more"])
def test_c_out_08_the_trust_store_has_changed(scene, roots):
    """Judged by roots that are there no more, or by others beside: a fresh one is judged by those of today."""
    domain, path = scene.domain(), own_trust(scene)
    mx = peer(scene, domain)
    tlsmend = solo(scene, tls={"trust_store": path})
    deliver(scene, tlsmend, domain)
    more = scene.pki.chain("self-signed", "root.example").path.read_bytes()
    path.write_bytes(more if roots == "others" else path.read_bytes() + more)
    hup(tlsmend)
    sent = send(scene, tlsmend, domain)
    assert not any("reused" in a for a in sent.attempts)
    if roots == "others":
        assert sent.reply.code == 451 and opened(mx)[1] == 1
        assert sent.attempts[0]["reason"] in ("untrusted-root", "incomplete-chain")
    else:
        assert sent.reply.code == 250 and opened(mx) == (2, 2)


def test_c_out_08_a_certificate_that_was_revoked_meanwhile(scene):
    """A CRL that came with a reload."""
    domain = scene.domain()
    mx = peer(scene, domain, kind="revoked")
    tlsmend = solo(scene)
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(tls={"crl_files": [scene.pki.crl_file()]})
    hup(tlsmend)
    sent = send(scene, tlsmend, domain)
    assert sent.reply.code == 451 and sent.attempts[0]["reason"] == "revoked"
    assert opened(mx)[1] == 1


@pytest.mark.parametrize("kind, opener, now, reason", [("expired", "may", "verify", "expired"), ("good", "none", "verify", None),
                                                        ("good", "may", "verify", "shared"), ("good", "verify", "may", "shared")])
def test_c_out_08_the_level_has_changed(scene, kind, opener, now, reason):
    domain = scene.domain()
    mx = peer(scene, domain, kind=kind)
    tlsmend = solo(scene, tls={"level": opener})
    deliver(scene, tlsmend, domain)
    tlsmend.write_config(tls={"level": now})
    hup(tlsmend)
    if reason == "shared":
        attempt = deliver(scene, tlsmend, domain)
        assert (attempt["mail"], attempt["demand"]) == (2, now)
    elif reason is None:
        attempt = deliver(scene, tlsmend, domain)
        assert "reused" not in attempt and attempt["tls"] != "clear"
        assert mx.mails[1].in_tls
    else:
        sent = send(scene, tlsmend, domain)
        assert sent.reply.code == 451 and sent.attempts[0]["reason"] == reason
        assert opened(mx)[1] == 1


def test_c_out_08_the_row_has_changed_and_the_other_domain_goes_on(scene):
    """Pinned at a reload: the domain leaves the connection that it shared."""
    a, b, mx, _ = two(scene, {}, {})
    tlsmend = solo(scene)
    deliver(scene, tlsmend, a)
    assert deliver(scene, tlsmend, b)["mail"] == 2
    tlsmend.write_config(destinations=[{"match": b.name, **PINNED, "fingerprints": ["ab" * 32]}])
    hup(tlsmend)
    assert send(scene, tlsmend, b).reply.code == 451
    assert deliver(scene, tlsmend, a)["mail"] == 3
    assert opened(mx)[1] == 3


# -- what the record of the second mail says -------------------------------------------------------


def test_c_out_08_observed_troubles_are_said_of_each_mail(scene):
    """would_defer is about the demand of the mail's own domain, over whatever connection it went."""
    a, b, mx, rows = two(scene, MAY, VERIFY, kind="expired")
    tlsmend = solo(scene, destinations=rows, tls={"observe": True})
    first, second = deliver(scene, tlsmend, a), deliver(scene, tlsmend, b)
    assert "would_defer" not in first and second["would_defer"] == "expired"
    again = deliver(scene, tlsmend, b)
    assert (again["would_defer"], again["observe"]) == ("expired", second["observe"])
    assert "would_defer" not in deliver(scene, tlsmend, a)
    assert opened(mx) == (1, 4)


def test_c_out_08_a_refused_recipient_of_one_domain_is_nothing_to_the_other(scene):
    a, b, mx, rows = two(scene, VERIFY, VERIFY)
    mx.replies = {"rcpt": lambda c: "550 5.1.1 no" if b"nobody" in c.line else "250 ok"}
    tlsmend = solo(scene, destinations=rows)
    refused(scene, tlsmend, a)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.deliver(SENDER, b.address(), smtpc.message(subject="for b")).code == 250
    assert [m.recipients for m in mx.mails] == [[b"<" + b.address().encode() + b">"]]
