# SPDX-License-Identifier: Apache-2.0
"""TLS towards the MX: C-TLS-01 to 05, 07, 09 to 12, and what each level means, seen at the MX."""

import socket
import time

import pytest

from lab import smtpc
from lab.hostile import CLOSE, NOTIFY, RESET
from lab.tlspeer import tls12_flight

SENDER = "a@client.lab.example"
ABOVE_MAY = ("encrypt", "verify", "secure", "fingerprint")


def settings_for(level, domain, **extra):
    row = {"match": domain.name, "level": level, **extra}
    if level == "fingerprint" and "fingerprints" not in row:
        row["fingerprints"] = ["00" * 32]
    return {"destinations": [row]}


def send(scene, tlsmend, address, **options):
    with scene.client(tlsmend, **options) as c:
        c.ehlo()
        return c.deliver(SENDER, address, smtpc.message())


def assert_nothing_in_clear(mx):
    """No envelope byte left in clear (C-TLS-04), whatever else happened."""
    for record in mx.records:
        assert b"MAIL" not in record.clear and b"@" not in record.clear, record


# -- C-TLS-01: the levels ------------------------------------------------------------------------

OK, DEFER = 250, 451
# level -> what the MX has -> (code, inside TLS)
LEVELS = {
    "none": {"good": (OK, False), "self-signed": (OK, False), "no-starttls": (OK, False),
             "name-mismatch": (OK, False)},
    "may": {"good": (OK, True), "self-signed": (OK, True), "no-starttls": (OK, False),
            "name-mismatch": (OK, True), "expired": (OK, True)},
    "encrypt": {"good": (OK, True), "self-signed": (OK, True), "no-starttls": (DEFER, None),
                "name-mismatch": (OK, True), "expired": (OK, True)},
    "verify": {"good": (OK, True), "self-signed": (DEFER, None), "no-starttls": (DEFER, None),
               "name-mismatch": (DEFER, None), "expired": (DEFER, None)},
    # the MX is mx.DOMAIN: a name below the next-hop domain, which `secure` accepts (dot-nexthop)
    "secure": {"good": (OK, True), "self-signed": (DEFER, None), "no-starttls": (DEFER, None),
               "name-mismatch": (DEFER, None), "expired": (DEFER, None)},
}


@pytest.mark.parametrize("level, kind", [(l, k) for l, kinds in LEVELS.items() for k in kinds])
def test_c_tls_01_levels(scene, level, kind):
    code, in_tls = LEVELS[level][kind]
    domain = scene.domain()
    mx = scene.hostile(domain, kind="good" if kind == "no-starttls" else kind,
                       tls=kind != "no-starttls")
    tlsmend = scene.tlsmend(**settings_for(level, domain))
    reply = send(scene, tlsmend, domain.address())
    assert reply.code == code, reply
    if code == OK:
        assert [m.in_tls for m in mx.mails] == [in_tls]
        attempt = tlsmend.attempt(recipient_domain=domain.name)
        assert attempt["demand"] == level
        assert attempt["tls"] == ("TLSv1.3" if in_tls else "clear")
        if in_tls:  # the judgement is always there, also where nobody asked for it
            assert attempt["verify"] == ("ok" if kind == "good" else kind)
    else:
        assert not mx.saw("MAIL")
        assert_nothing_in_clear(mx)
        assert reply.text.startswith("4.7.4" if kind == "no-starttls" else "4.7.5")


def test_c_tls_01_secure_wants_the_domain_not_the_mx_name(scene):
    """An MX in another domain: its own name does at verify, not at secure, unless `names` says so."""
    domain, other = scene.domain(), scene.domain()
    mx = scene.hostile(other)
    domain.mx(mx.host, 10)
    tlsmend = scene.tlsmend(**settings_for("secure", domain))
    assert send(scene, tlsmend, domain.address()).code == 451
    assert tlsmend.result(recipient_domain=domain.name)["reason"] == "name-mismatch"
    assert not mx.saw("MAIL")


def test_c_tls_01_names_of_a_destination(scene):
    domain, other = scene.domain(), scene.domain()
    mx = scene.hostile(other)
    domain.mx(mx.host, 10)
    tlsmend = scene.tlsmend(**settings_for("secure", domain, names=[mx.host]))
    assert send(scene, tlsmend, domain.address()).code == 250
    assert tlsmend.attempt(recipient_domain=domain.name)["matched_name"] == mx.host


@pytest.mark.parametrize("what", ["certificate", "key", "other"])
def test_c_tls_01_fingerprint(scene, what):
    import hashlib
    domain = scene.domain()
    mx = scene.hostile(domain, kind="self-signed")
    digest = {"certificate": mx.chain.sha256(), "key": hashlib.sha256(mx.chain.spki()).hexdigest(),
              "other": "ab" * 32}[what]
    pinned = ":".join(digest[i:i + 2] for i in range(0, 64, 2)).upper()
    tlsmend = scene.tlsmend(**settings_for("fingerprint", domain, fingerprints=[pinned]))
    reply = send(scene, tlsmend, domain.address())
    if what == "other":
        assert (reply.code, reply.text[:5]) == (451, "4.7.5")
        assert tlsmend.result()["reason"] == "fingerprint-mismatch"
        assert not mx.saw("MAIL")
    else:
        assert reply.code == 250
        assert tlsmend.attempt()["pinned"] is True


def test_ca_file_of_a_destination_trusts_there_only(scene, lab):
    from cryptography.hazmat.primitives.serialization import Encoding
    ca = lab.new_directory("ca.pem")
    domain, elsewhere = scene.domain(), scene.domain()
    mx = scene.hostile(domain, kind="untrusted-root")
    scene.hostile(elsewhere, kind="untrusted-root")
    ca.write_bytes(mx.chain.certs[-1].public_bytes(Encoding.PEM))
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "ca_file": str(ca)}])
    assert send(scene, tlsmend, domain.address()).code == 250
    assert send(scene, tlsmend, elsewhere.address()).code == 451


def test_min_version_of_a_destination(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, versions=("1.2", "1.2"))
    tlsmend = scene.tlsmend(destinations=[{"match": domain.name, "min_version": "1.3"}])
    assert send(scene, tlsmend, domain.address()).code == 451
    assert tlsmend.result()["reason"] == "tls-version"
    assert not mx.saw("MAIL")


# -- C-TLS-02: injection ---------------------------------------------------------------------------


@pytest.mark.parametrize("level", ["may", "encrypt", "verify"])
@pytest.mark.parametrize("starttls", [
    b"220 go\r\n250-mx\r\n250 PIPELINING\r\n",
    b"220 go\r\nx",
    ["220 go", 0.2, b"250 STARTTLS injected\r\n"],
    ["220 go", 0.2, b"4"],
], ids=["same-segment", "one-byte", "later-segment", "later-byte"])
def test_c_tls_02_bytes_behind_220(scene, level, starttls):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"starttls": starttls})
    tlsmend = scene.tlsmend(timeouts={"handshake": "5s"}, **settings_for(level, domain))
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (451, "4.7.5")
    assert tlsmend.result()["reason"] == "starttls-injection"
    assert not mx.saw("MAIL")


def test_c_tls_02_next_host_is_tried(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain, label="mx1", replies={"starttls": b"220 go\r\n250 x\r\n"})
    healthy = scene.hostile(domain, label="mx2", preference=20)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert healthy.mails


# -- C-TLS-03: EHLO again ---------------------------------------------------------------------------


def test_c_tls_03_capabilities_from_before_tls_are_forgotten(scene, tlsmend):
    """SIZE 10 in clear, none inside: a mail of more than 10 bytes goes out, without SIZE."""
    domain = scene.domain()
    mx = scene.hostile(domain, replies={
        "ehlo": b"250-mx.example\r\n250-SIZE 10\r\n250-8BITMIME\r\n250 STARTTLS\r\n",
        "ehlo-tls": b"250 mx.example\r\n"})
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.cmd(f"MAIL FROM:<{SENDER}> SIZE=5000 BODY=8BITMIME").code == 250
        assert c.cmd(f"RCPT TO:<{domain.address()}>").code == 250
        assert c.data(smtpc.message()).code == 250
    assert mx.records[-1].verbs(in_tls=True)[:2] == ["EHLO", "MAIL"]
    assert mx.mails[0].sender == f"<{SENDER}>".encode()


@pytest.mark.parametrize("answer", ["500 what", "421 bye", b"\x00garbage\r\n", CLOSE, "220 hm"])
def test_c_tls_03_no_ehlo_answer_inside_tls(scene, tlsmend, answer):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"ehlo-tls": answer})
    assert send(scene, tlsmend, domain.address()).code == 451
    assert not mx.saw("MAIL")
    assert tlsmend.attempts(1)[0]["stage"] == "ehlo-tls"


# -- C-TLS-04, C-OUT-12: replies to STARTTLS ---------------------------------------------------------

REFUSALS = ["221 bye", "354 go", "421 no", "454 4.7.0 TLS not available", "500 what", "501 x",
            "502 5.5.1 no", "530 no", "554 no", "250 ok", b"garbage\r\n", CLOSE]


@pytest.mark.parametrize("answer", REFUSALS, ids=lambda a: str(a)[:12])
def test_c_tls_04_anything_but_220_above_may(scene, answer):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"starttls": answer})
    tlsmend = scene.tlsmend(**settings_for("encrypt", domain))
    reply = send(scene, tlsmend, domain.address())
    assert reply.code == 451, reply       # C-OUT-12: temporary, also after 5xx
    assert not mx.saw("MAIL")
    assert_nothing_in_clear(mx)


@pytest.mark.parametrize("answer", ["454 4.7.0 TLS not available", "502 5.5.1 no", "250 ok", "354 go"])
def test_c_tls_04_at_may_the_session_goes_on_in_clear(scene, answer):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"starttls": answer})
    tlsmend = scene.tlsmend(**settings_for("may", domain))
    assert send(scene, tlsmend, domain.address()).code == 250
    assert [m.in_tls for m in mx.mails] == [False]
    assert tlsmend.attempt()["tls"] == "clear"


# -- C-TLS-05: STARTTLS is not offered -----------------------------------------------------------------


def test_c_tls_05_not_offered(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain, tls=False)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (451, "4.7.4")
    attempt = tlsmend.attempts(1)[0]
    assert (attempt["reason"], attempt["starttls_offered"]) == ("no-starttls", False)
    assert "8BITMIME" in attempt["ehlo"]
    assert not mx.saw("MAIL")


def test_c_tls_05_next_mx_may_offer_it(scene, tlsmend):
    domain = scene.domain()
    scene.hostile(domain, label="mx1", tls=False)
    second = scene.hostile(domain, label="mx2", preference=20)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert second.mails[0].in_tls


@pytest.mark.parametrize("replies", [
    {"ehlo": b"250-mx.example\r\n250-SIZE\r\n250-XXXXXXXA\r\n250 8BITMIME\r\n"},
    {"greeting": "220 ****************************", "ehlo": b"250-mx.example\r\n250 8BITMIME\r\n"},
    {"ehlo": "500 5.5.1 Command unrecognized", "greeting": "220 **********"},
    {"ehlo": "502 5.5.1 unimplemented"},
])
def test_c_tls_05_a_middlebox_is_named(scene, tlsmend, replies):
    domain = scene.domain()
    mx = scene.hostile(domain, replies=replies)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (451, "4.7.4")
    attempt = tlsmend.attempts(1)[0]
    assert attempt["reason"] == "starttls-masked"
    assert attempt["middlebox"] is True
    assert not mx.saw("MAIL")


# -- C-TLS-07, C-TLS-12: what we say ---------------------------------------------------------------------


def test_c_tls_07_sni_is_the_mx_name(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain)
    assert send(scene, tlsmend, domain.address()).code == 250
    assert mx.records[0].tls["sni"] == mx.host


def test_c_tls_07_never_an_address(scene, tlsmend):
    mx = scene.hostile(chain=scene.pki.chain("good", "mx.lab.example"))
    ip4 = next(a for a in mx.addresses if ":" not in a)
    assert send(scene, tlsmend, f"user@[{ip4}]").code == 250
    assert not mx.records[0].tls["sni"]


def test_c_tls_07_never_an_address_on_a_route(scene):
    domain = scene.domain()
    mx = scene.hostile(chain=scene.pki.chain("good", "mx.lab.example"))
    ip4 = next(a for a in mx.addresses if ":" not in a)
    tlsmend = scene.tlsmend(destinations=[
        {"match": domain.name, "level": "secure", "names": ["mx.lab.example"],
         "route": {"host": ip4, "port": 25}}])
    assert send(scene, tlsmend, domain.address()).code == 250
    assert not mx.records[0].tls["sni"]
    assert tlsmend.attempt()["route"] == "config"


def test_c_tls_12_no_client_certificate(scene, tlsmend):
    from OpenSSL import SSL
    domain = scene.domain()
    mx = scene.hostile(domain, setup=lambda ctx: ctx.set_verify(SSL.VERIFY_PEER, lambda *a: True))
    assert send(scene, tlsmend, domain.address()).code == 250
    assert not mx.records[0].tls["client_cert"]


@pytest.mark.parametrize("version", ["1.2", "1.3"])
def test_c_tls_12_an_mx_that_demands_one(scene, tlsmend, version):
    domain = scene.domain()
    scene.hostile(domain, client_cert=True, versions=(version, version))
    assert send(scene, tlsmend, domain.address()).code == 451
    assert tlsmend.result()["reason"] == "tls-client-certificate"


# -- C-TLS-09: endings at every phase -----------------------------------------------------------------------

PHASES = ("handshake", "after-handshake", "ehlo-tls", "mail", "rcpt", "data", "body", "final")


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("how", ["close", "reset", "notify", "plaintext", "garbage", "alert"])
def test_c_tls_09_every_phase_ends_cleanly(scene, tlsmend, phase, how):
    action = {
        "close": CLOSE, "reset": RESET, "notify": NOTIFY,
        "plaintext": lambda c: (c.raw_send(b"250 2.0.0 taken\r\n"), c.close()),
        "garbage": lambda c: (c.raw_send(bytes(range(128, 256)) * 8), c.close()),
        "alert": lambda c: (c.raw_send(b"\x15\x03\x03\x00\x02\x02\x28"), c.close()),
    }[how]
    domain = scene.domain()
    mx = scene.hostile(domain, replies={phase: action})
    # Long enough that the MX acts while the body still comes.
    big = smtpc.message(body=b"x" * 70 + b"\r\n" + (b"y" * 70 + b"\r\n") * 20000)
    with scene.client(tlsmend) as c:
        c.ehlo()
        reply = c.deliver(SENDER, domain.address(), big if phase == "body" else smtpc.message())
    assert reply.code == 451, (phase, how, reply)
    result = tlsmend.result()
    assert result["status"] == ("maybe-delivered" if phase == "final" else "deferred")
    assert len([m for m in mx.mails if phase != "final"]) == 0
    attempts = tlsmend.attempts(1)
    assert all(a["outcome"] == "failed" for a in attempts)


# -- C-TLS-10: names, not numbers ------------------------------------------------------------------------------


@pytest.mark.parametrize("options, reason", [
    ({"versions": ("1.0", "1.0")}, "tls-version"),
    ({"versions": ("1.1", "1.1")}, "tls-version"),
    ({"versions": ("1.2", "1.2"), "ciphers": "DHE-RSA-AES128-GCM-SHA256:@SECLEVEL=0"},
     "tls-no-shared-cipher"),
    ({"versions": ("1.2", "1.2"), "ciphers": "AES128-SHA:@SECLEVEL=0"}, "tls-no-shared-cipher"),
    ({"versions": ("1.2", "1.2"), "ciphers": "ECDHE-ECDSA-AES128-SHA:@SECLEVEL=0"},
     "tls-no-shared-cipher"),
])
def test_c_tls_10_old_peers(scene, tlsmend, options, reason):
    domain = scene.domain()
    mx = scene.hostile(domain, kind="rsa" if "RSA" in options.get("ciphers", "RSA") else "good",
                       **options)
    reply = send(scene, tlsmend, domain.address())
    assert (reply.code, reply.text[:5]) == (451, "4.7.5")
    attempt = tlsmend.attempts(1)[0]
    assert attempt["reason"] == reason
    assert any(letter.isalpha() for letter in attempt["detail"])
    assert not mx.saw("MAIL")


@pytest.mark.parametrize("handshake, reason", [
    (lambda c: (c.raw_recv(), c.raw_send(b"\x15\x03\x03\x00\x02\x02\x28"), c.close()), "tls-no-shared-cipher"),
    (lambda c: (c.raw_recv(), c.raw_send(b"\x15\x03\x03\x00\x02\x02\x46"), c.close()), "tls-version"),
    (lambda c: (c.raw_recv(), c.raw_send(b"\x15\x03\x03\x00\x02\x02\x50"), c.close()), "tls-alert"),
    ([CLOSE], "tls-reset"),
    ([RESET], "tls-reset"),
    (lambda c: (c.raw_send(b"\x80\x81\x82\x83\x84\x85"), c.read_until_closed()), "tls-garbage"),
    (None, "tls-stalled"),
], ids=["handshake-failure", "protocol-version", "internal-error", "close", "reset", "garbage", "silence"])
def test_c_tls_10_how_a_handshake_ends(scene, handshake, reason):
    tlsmend = scene.tlsmend(timeouts={"handshake": "1s"})
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"handshake": handshake})
    assert send(scene, tlsmend, domain.address()).code == 451
    assert tlsmend.result()["reason"] == reason
    assert not mx.saw("MAIL")


def test_at_may_a_failed_handshake_goes_on_in_clear_and_says_so(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, versions=("1.0", "1.0"), kind="rsa")
    tlsmend = scene.tlsmend(**settings_for("may", domain))
    assert send(scene, tlsmend, domain.address()).code == 250
    assert [m.in_tls for m in mx.mails] == [False]
    *failed, last = tlsmend.attempts(4)
    assert failed[0]["reason"] == "tls-version" and not any("downgraded" in a for a in failed)
    assert last["downgraded"] is True and last["tls"] == "clear" and last["severity"] == "warning"
    assert {a["address"] for a in failed} == {last["address"]}


@pytest.mark.parametrize("level", ABOVE_MAY)
def test_a_failed_handshake_is_never_followed_by_clear_text_above_may(scene, level):
    domain = scene.domain()
    mx = scene.hostile(domain, versions=("1.0", "1.0"), kind="rsa")
    tlsmend = scene.tlsmend(**settings_for(level, domain))
    assert send(scene, tlsmend, domain.address()).code == 451
    assert not mx.saw("MAIL")
    assert_nothing_in_clear(mx)


# -- C-TLS-11: late refusals ---------------------------------------------------------------------------------


@pytest.mark.parametrize("phase", ["mail", "rcpt"])
@pytest.mark.parametrize("words", ["530 5.7.0 Must issue a STARTTLS command first",
                                   "550 5.7.10 Encryption needed: TLS is required",
                                   "454 4.7.0 TLS required"])
def test_c_tls_11_in_clear_it_is_tls_trouble(scene, phase, words):
    domain = scene.domain()
    scene.hostile(domain, replies={phase: words})
    tlsmend = scene.tlsmend(**settings_for("none", domain))
    reply = send(scene, tlsmend, domain.address())
    assert reply.code == 451, reply
    assert words[4:] in reply.text
    assert tlsmend.result()["reason"] == "tls-required-by-mx"


# -- C-CERT-06, handshake by hand -------------------------------------------------------------------------------


def test_no_certificate_at_all(scene, tlsmend):
    domain = scene.domain()
    mx = scene.hostile(domain, replies={"handshake": lambda c: (
        c.raw_recv(), c.raw_send(tls12_flight([])), c.read_until_closed())})
    assert send(scene, tlsmend, domain.address()).code == 451
    assert not mx.saw("MAIL")
    # The library calls an empty list a decoding error before anybody could judge it.
    assert tlsmend.result()["reason"] in ("no-certificate", "malformed", "tls-protocol")


def test_c_out_10_deadline_right_after_the_handshake(scene):
    """TLS 1.3 tickets wake the socket without data; the wait for EHLO's answer still ends."""
    tlsmend = scene.tlsmend(timeouts={"ehlo": "1s"})
    domain = scene.domain()
    scene.hostile(domain, versions=("1.3", "1.3"), replies={"after-handshake": 30})
    start = time.monotonic()
    assert send(scene, tlsmend, domain.address()).code == 451
    assert time.monotonic() - start < 8
    assert tlsmend.attempts(1)[0]["reason"] == "timeout"


def test_both_families_carry_tls(scene, tlsmend):
    for family in (socket.AF_INET, socket.AF_INET6):
        domain = scene.domain()
        mx = scene.hostile(chain=scene.pki.chain("good", f"mx.{domain.name}"))
        address = next(a for a in mx.addresses if (":" in a) == (family == socket.AF_INET6))
        domain.mx(domain.host("mx", address), 10)
        assert send(scene, tlsmend, domain.address()).code == 250
        assert mx.mails[0].in_tls
