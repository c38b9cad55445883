# SPDX-License-Identifier: Apache-2.0
"""REQUIRETLS (RFC 8689): a mail that may go only where every step is verified, and TLS-Required: No."""

import pytest

from lab import smtpc
from lab.capture import assert_no_clear_envelope
from lab.helpers import SENDER, SLOW, listener
from lab.hostile import CLOSE, RESET, HostileMx

CAN = (*HostileMx.capabilities, "REQUIRETLS")
OTHER_KEY = b"the key of somebody else"


def daemon(scene, **settings):
    """It offers REQUIRETLS on its listener."""
    settings.setdefault("listeners", [listener(requiretls=True)])
    return scene.tlsmend(**settings)


def send(scene, tlsmend, domain, params=" REQUIRETLS", sender=SENDER, **headers):
    """The reply that decides."""
    with scene.client(tlsmend) as c:
        c.ehlo()
        for reply in c.envelope(sender, [domain.address()], params):
            if reply.code != 250:
                return reply
        return c.data(smtpc.message(**headers))


def mail_lines(mx):
    """The MAIL commands that came, and whether inside TLS."""
    return [(line, in_tls) for r in mx.records for verb, line, in_tls in r.commands if verb == "MAIL"]


# -- to the client ---------------------------------------------------------------------------------


def test_offered_on_its_listener_only(scene):
    domain = scene.domain(signed=True)
    scene.hostile(domain, capabilities=CAN)
    tlsmend = scene.tlsmend(listeners=[listener(), listener("strict", 2526, requiretls=True)])
    for port, offered in ((2525, False), (2526, True)):
        with smtpc.SmtpClient(scene.net.client, "127.0.0.1", port) as c:
            assert ("REQUIRETLS" in c.ehlo().lines) is offered
            reply = c.cmd(f"MAIL FROM:<{SENDER}> REQUIRETLS")
            assert (reply.code, reply.text[:5]) == ((250, "2.1.0") if offered else (555, "5.5.4"))


def test_not_offered_to_helo(scene):
    tlsmend = daemon(scene)
    with scene.client(tlsmend) as c:
        assert "REQUIRETLS" not in c.cmd("HELO client.lab.example").text
        reply = c.cmd(f"MAIL FROM:<{SENDER}> REQUIRETLS")
        assert (reply.code, reply.text[:5]) == (555, "5.5.4")
        assert c.cmd(f"MAIL FROM:<{SENDER}>").code == 250


def test_a_value_is_a_syntax_error(scene):
    tlsmend = daemon(scene)
    with scene.client(tlsmend) as c:
        c.ehlo()
        assert c.cmd(f"MAIL FROM:<{SENDER}> REQUIRETLS=yes").code in (501, 555)


# -- where it may go -------------------------------------------------------------------------------


def _signed(scene, **options):
    domain = scene.domain(signed=True)
    return domain, scene.hostile(domain, capabilities=CAN, **options), {}


def _dane(scene):
    domain, mx, _ = _signed(scene, kind="self-signed")
    domain.tlsa(mx.host, 3, 1, 1, mx.chain)
    return domain, mx, {}


def _sts(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, capabilities=CAN)
    domain.sts(mx=[mx.host])
    return domain, mx, {}


def _row(level, **more):
    def make(scene):
        domain = scene.domain()
        mx = scene.hostile(domain, capabilities=CAN)
        return domain, mx, {"level": level, **more}
    return make


def _names(scene):
    domain, mx, row = _row("verify")(scene)
    return domain, mx, {**row, "names": [mx.host]}


def _pinned(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, kind="self-signed", capabilities=CAN)
    return domain, mx, {"level": "fingerprint", "fingerprints": [mx.chain.sha256()]}


def _route(scene):
    domain, other = scene.domain(), scene.domain()
    mx = scene.hostile(other, capabilities=CAN)
    return domain, mx, {"route": {"host": mx.host, "port": 25}}


VOUCHED = {"signed-mx": _signed, "dane": _dane, "mta-sts": _sts, "secure": _row("secure"), "names": _names,
           "fingerprint": _pinned, "route": _route}


@pytest.mark.parametrize("name", VOUCHED)
def test_delivered_where_somebody_vouches_for_the_mx(scene, name):
    domain, mx, row = VOUCHED[name](scene)
    tlsmend = daemon(scene, destinations=[{"match": domain.name, **row}])
    assert send(scene, tlsmend, domain).code == 250
    ((line, in_tls),) = mail_lines(mx)
    assert in_tls and line.endswith(b" REQUIRETLS") and len(mx.mails) == 1
    attempt = tlsmend.attempt()
    assert attempt["requiretls"] is True and attempt["demand"] in ("verify", "secure", "fingerprint", "dane")


@pytest.mark.parametrize("level", ["none", "may", "encrypt"])
def test_the_level_of_the_destination_is_raised(scene, level):
    """What the administrator loosened holds for other mail only."""
    domain, mx, _ = _signed(scene)
    tlsmend = daemon(scene, destinations=[{"match": domain.name, "level": level}])
    assert send(scene, tlsmend, domain).code == 250
    attempt = tlsmend.attempt()
    assert (attempt["demand"], attempt["demand_source"]) == ("verify", "requiretls")
    assert send(scene, tlsmend, domain, params="").code == 250
    last = tlsmend.attempts(2)[-1]
    assert last["demand"] == level and "requiretls" not in last
    assert [line.endswith(b"REQUIRETLS") for line, _ in mail_lines(mx)] == [True, False]


def test_a_mail_that_does_not_ask_goes_as_ever(scene):
    domain = scene.domain()
    mx = scene.hostile(domain)
    assert send(scene, daemon(scene), domain, params="").code == 250
    assert not mail_lines(mx)[0][0].endswith(b"REQUIRETLS")


def test_the_null_sender(scene):
    domain, mx, _ = _signed(scene)
    assert send(scene, daemon(scene), domain, sender="").code == 250
    assert mail_lines(mx) == [(b"MAIL FROM:<> REQUIRETLS", True)]


def test_offered_inside_tls_alone_is_enough(scene):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain, replies={"ehlo": b"250-mx.example\r\n250 STARTTLS\r\n",
                                        "ehlo-tls": b"250-mx.example\r\n250 REQUIRETLS\r\n"})
    assert send(scene, daemon(scene), domain).code == 250
    assert mail_lines(mx)[0][0].endswith(b" REQUIRETLS")


def test_the_next_mx_that_can_is_used(scene):
    domain = scene.domain(signed=True)
    first = scene.hostile(domain, label="mx1")
    second = scene.hostile(domain, label="mx2", preference=20, kind="expired", capabilities=CAN)
    third = scene.hostile(domain, label="mx3", preference=30, capabilities=CAN)
    assert send(scene, daemon(scene), domain).code == 250
    assert not first.saw("MAIL") and not second.saw("MAIL") and len(third.mails) == 1


# -- where it is refused for good ------------------------------------------------------------------


def assert_refused(scene, tlsmend, domain, mxs, words="", **options):
    """550 5.7.30, no MAIL at any MX, and nothing of the envelope in clear."""
    capture = scene.capture()
    reply = send(scene, tlsmend, domain, **options)
    assert (reply.code, reply.text[:7]) == (550, "5.7.30 "), reply
    assert words in reply.text, reply
    result = tlsmend.result()
    assert (result["status"], result["reason"]) == ("rejected", "requiretls-unmet")
    for mx in mxs:
        assert not mx.saw("MAIL") and not mail_lines(mx)
        if mx.records:
            assert_no_clear_envelope(capture, domain.address(), SENDER, addresses=mx.addresses)


IN_CLEAR_ONLY = {"ehlo": b"250-mx.example\r\n250-REQUIRETLS\r\n250 STARTTLS\r\n",
                 "ehlo-tls": b"250-mx.example\r\n250 SIZE\r\n"}


@pytest.mark.parametrize("options, words", [
    ({}, "REQUIRETLS inside TLS"), ({"replies": IN_CLEAR_ONLY}, "REQUIRETLS inside TLS"),
    ({"tls": False, "capabilities": CAN}, "no-starttls"),
    ({"kind": "expired", "capabilities": CAN}, "expired"),
    ({"kind": "self-signed", "capabilities": CAN}, "self-signed"),
    ({"kind": "name-mismatch", "capabilities": CAN}, "name-mismatch"),
], ids=["not-offered", "offered-in-clear-only", "no-starttls", "expired", "self-signed", "name-mismatch"])
@pytest.mark.parametrize("level", ["none", "may", "verify"])
def test_what_the_mx_lacks_is_final(scene, options, words, level):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain, **options)
    tlsmend = daemon(scene, destinations=[{"match": domain.name, "level": level}])
    assert_refused(scene, tlsmend, domain, [mx], words)
    assert mx.records


@pytest.mark.parametrize("row", [{}, {"level": "verify"}, {"level": "encrypt"},
                                 {"level": "verify", "names": ["hostname"]}],
                         ids=["default", "verify", "encrypt", "hostname"])
def test_nobody_vouches_for_an_unsigned_mx(scene, row):
    """A good certificate for a name that plain DNS gave: nobody connects."""
    domain = scene.domain()
    mx = scene.hostile(domain, capabilities=CAN)
    tlsmend = daemon(scene, destinations=[{"match": domain.name, **row}])
    assert_refused(scene, tlsmend, domain, [mx])
    assert not mx.records and len(tlsmend.records("skip", reason="requiretls-unmet")) == 1


def test_nobody_vouches_for_an_address(scene):
    mx = scene.hostile(chain=scene.pki.chain("good", "mx.lab.example"), capabilities=CAN)
    tlsmend = daemon(scene)
    with scene.client(tlsmend) as c:
        c.ehlo()
        reply = c.envelope(SENDER, [f"user@[{mx.addresses[0]}]"], " REQUIRETLS")[1]
    assert (reply.code, reply.text[:7]) == (550, "5.7.30 ") and not mx.saw("MAIL")


def test_a_policy_in_mode_testing_does_not_vouch(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, capabilities=CAN)
    domain.sts(mx=[mx.host], mode="testing")
    assert_refused(scene, daemon(scene), domain, [mx])


def test_an_unsigned_mx_with_tlsa_records_under_half_dane(scene):
    """The records may be those of whoever forged the MX record."""
    domain, other = scene.domain(), scene.domain(signed=True)
    mx = scene.hostile(domain, at=other, kind="self-signed", capabilities=CAN)
    other.tlsa(mx.host, 3, 1, 1, mx.chain)
    tlsmend = daemon(scene, tls={"half_dane": True})
    assert_refused(scene, tlsmend, domain, [mx])
    assert not mx.records


def test_a_certificate_that_dane_or_a_pin_refuses(scene):
    tlsmend = daemon(scene, destinations=[])
    for row, words in (({}, "dane-mismatch"), ({"level": "fingerprint", "fingerprints": ["ab" * 32]},
                                               "fingerprint-mismatch")):
        domain = scene.domain(signed=True)
        mx = scene.hostile(domain, capabilities=CAN)
        if words == "dane-mismatch":
            domain.tlsa(mx.host, 3, 1, 1, OTHER_KEY)
        tlsmend.write_config(destinations=[{"match": domain.name, **row}])
        tlsmend.restart()
        reply = send(scene, tlsmend, domain)
        assert (reply.code, reply.text[:7]) == (550, "5.7.30 ") and words in reply.text
        assert not mx.saw("MAIL") and mx.records


def test_all_of_several_mx_lack_something(scene):
    domain = scene.domain(signed=True)
    mxs = [scene.hostile(domain, label="mx1"), scene.hostile(domain, label="mx2", tls=False, preference=20),
           scene.hostile(domain, label="mx3", kind="expired", preference=30, capabilities=CAN)]
    assert_refused(scene, daemon(scene), domain, mxs)
    assert all(mx.records for mx in mxs)


@pytest.mark.parametrize("observe", [True, "all"])
def test_it_holds_in_observe_mode(scene, observe):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain, kind="expired", capabilities=CAN)
    assert_refused(scene, daemon(scene, tls={"observe": observe}), domain, [mx], "expired")


# -- where it can pass -----------------------------------------------------------------------------


@pytest.mark.parametrize("replies, code", [
    ({"handshake": None}, "4.7.5"), ({"handshake": RESET}, "4.7.5"), ({"starttls": "454 4.7.0 later"}, "4.7.5"),
    ({"starttls": "502 5.5.1 no"}, None), ({"greeting": "421 4.3.2 busy"}, None), ({"greeting": CLOSE}, None),
    ({"ehlo-tls": CLOSE}, None), ({"starttls": b"220 go\r\n250 x\r\n"}, "4.7.5"),
    ({"ehlo": b"250-mx.example\r\n250-XXXXXXXA\r\n250 REQUIRETLS\r\n"}, "4.7.4"),   # a middlebox, not the MX
    ({"rcpt": "450 4.2.1 full"}, "4.2.1"),
], ids=["stalled", "reset", "starttls-454", "starttls-502", "greeting-421", "closed", "cut-in-tls", "injection",
        "masked", "450"])
def test_what_happened_once_is_temporary(scene, replies, code):
    domain = scene.domain(signed=True)
    mx = scene.hostile(domain, capabilities=CAN, replies=replies)
    stalls = "handshake" in replies
    tlsmend = daemon(scene, timeouts={"rung": f"{100 * SLOW}ms", "handshake": f"{200 * SLOW}ms"} if stalls else {})
    capture = scene.capture()
    reply = send(scene, tlsmend, domain)
    assert reply.code in (450, 451), reply
    assert code is None or reply.text.startswith((code, "4.7.4")), reply
    assert_no_clear_envelope(capture, domain.address(), SENDER, addresses=mx.addresses)
    assert mx.saw("MAIL") is ("rcpt" in replies) and not mx.mails


def test_one_that_lacks_it_and_one_that_is_down(scene):
    """If the hosts differ, the temporary answer wins."""
    domain = scene.domain(signed=True)
    first = scene.hostile(domain, label="mx1")
    second = scene.hostile(domain, label="mx2", preference=20, capabilities=CAN, replies={"handshake": RESET})
    assert send(scene, daemon(scene), domain).code == 451
    assert not first.saw("MAIL") and not second.saw("MAIL")


def test_a_look_up_that_fails_is_temporary(scene):
    tlsmend = daemon(scene)
    broken, crafted = scene.domain(zone="bogus"), scene.domain(zone="crafted")
    first, second = (scene.hostile(d, capabilities=CAN) for d in (broken, crafted))
    crafted.tlsa(second.host, 3, 1, 1, second.chain)
    crafted.fault("TLSA", "servfail", host=second.host)
    assert [send(scene, tlsmend, d).code for d in (broken, crafted)] == [451, 451]
    assert [r["reason"] for r in tlsmend.results(2)] == ["dns-bogus", "tlsa-lookup-failed"]
    assert not first.records and not second.records


def test_an_mx_that_mta_sts_does_not_list_is_temporary(scene):
    domain = scene.domain()
    mx = scene.hostile(domain, capabilities=CAN)
    domain.sts(mx=["mx.elsewhere.example"])
    tlsmend = daemon(scene)
    assert send(scene, tlsmend, domain).code == 451
    assert tlsmend.result()["reason"] == "sts-mx-not-listed" and not mx.records


# -- TLS-Required: No ------------------------------------------------------------------------------


@pytest.mark.parametrize("value, seen", [("No", True), ("no", True), ("Yes", False), (None, False)])
def test_tls_required_no_is_recorded(scene, tlsmend, value, seen):
    domain = scene.domain()
    mx = scene.hostile(domain)
    headers = {} if value is None else {"TLS_Required": value}
    assert send(scene, tlsmend, domain, params="", **headers).code == 250
    assert tlsmend.result().get("tls_required_no", False) is seen
    assert mx.mails[0].in_tls and (b"TLS-Required" in mx.mails[0].data) is (value is not None)


def test_tls_required_no_changes_nothing(scene):
    """A header that comes after RCPT was answered: neither MTA-STS nor the configuration gives way, and
    where REQUIRETLS stands beside it that holds (RFC 8689 4.1)."""
    refused, asked = scene.domain(), scene.domain(signed=True)
    bad, good = scene.hostile(refused, kind="self-signed"), scene.hostile(asked, capabilities=CAN)
    tlsmend = daemon(scene)
    assert send(scene, tlsmend, refused, params="", TLS_Required="No").code == 451
    assert not bad.saw("MAIL")
    assert send(scene, tlsmend, asked, TLS_Required="No").code == 250
    assert mail_lines(good)[0][0].endswith(b" REQUIRETLS")
