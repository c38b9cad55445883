# SPDX-License-Identifier: Apache-2.0
"""A resolver that strips DNSSEC must not stop the mail: validation goes off loudly, and on again (C-DANE-01)."""

import base64
import os
import time

from lab import smtpc
from lab.helpers import SLOW, hup
from lab.process import wait_for


def send(scene, tlsmend, domain):
    with scene.client(tlsmend) as c:
        c.ehlo()
        return c.deliver("a@client.lab.example", domain.address(), smtpc.message())


def foreign_anchor(lab):
    """The root's key with other bits: no answer validates, as behind a forwarder that strips signatures."""
    fields = lab.dns.trust_anchor.read_text(encoding="ascii").split("\n")[0].split()
    at = fields.index("DNSKEY")
    path = lab.new_directory("other.key")
    key = base64.b64encode(os.urandom(64)).decode()
    path.write_text(" ".join([*fields[:at + 4], key]) + "\n", encoding="ascii")
    path.chmod(0o644)
    return str(path)


def test_c_dane_01_validation_that_works_is_said(tlsmend):
    assert tlsmend.wait_records("dnssec")[0]["state"] == "on"


def test_c_dane_01_an_anchor_of_a_zone_instead_of_the_root(scene, lab):
    """What is below it is validated, what is beside it is not signed."""
    anchor = lab.new_directory("zone.key")
    keys = lab.dns.query("signed.example.", "DNSKEY").records
    anchor.write_text("".join(f"signed.example. IN DNSKEY {key}\n" for key in keys), encoding="ascii")
    tlsmend = scene.tlsmend(resolver={"trust_anchor": str(anchor)})
    assert tlsmend.wait_records("dnssec")[0]["state"] == "on"
    for zone, dane in (("signed", "usable"), ("nsec3", "insecure")):
        domain = scene.domain(zone=zone)
        mx = scene.hostile(domain)
        domain.tlsa(mx.host, 3, 1, 1, mx.chain)
        assert send(scene, tlsmend, domain).code == 250
        assert tlsmend.attempt(mx=mx.host)["dane"] == dane


def test_c_dane_01_stripped_dnssec_is_said_and_mail_goes_on(scene, lab):
    domain = scene.domain()
    scene.hostile(domain)
    tlsmend = scene.tlsmend(resolver={"trust_anchor": foreign_anchor(lab)})
    said = tlsmend.wait_records("dnssec")[0]
    assert (said["state"], said["severity"]) == ("off-stripped", "warning")
    assert said["hint"]
    assert send(scene, tlsmend, domain).code == 250
    assert tlsmend.attempt()["dnssec"] is False

    tlsmend.write_config(resolver={"trust_anchor": str(lab.dns.trust_anchor)})
    tlsmend.reload()
    assert tlsmend.wait_records("dnssec", 2)[1]["state"] == "on"
    assert send(scene, tlsmend, domain).code == 250


def test_c_dane_01_no_anchor_is_said(scene):
    tlsmend = scene.tlsmend(resolver={"trust_anchor": ""})
    assert tlsmend.wait_records("dnssec")[0]["state"] == "off-no-anchor"


def states(tlsmend):
    return [r["state"] for r in tlsmend.records("dnssec")]


def test_c_dane_01_worked_once_then_stripped_stays_on_until_confirmed(scene, lab):
    """Under the same settings the answers go bad: a suspicion first, and mail waits; three more probes switch it off.
    A reload probes at once, so the minutes between them are not waited for here."""
    domain = scene.domain()
    mx = scene.hostile(domain)
    anchor = lab.new_directory("root.key")
    anchor.write_bytes(lab.dns.trust_anchor.read_bytes())
    tlsmend = scene.tlsmend(resolver={"trust_anchor": str(anchor)})
    wait_for("a probe that works", lambda: states(tlsmend) == ["on"])

    with open(foreign_anchor(lab), "rb") as foreign:
        anchor.write_bytes(foreign.read())
    tlsmend.reload()
    said = tlsmend.wait_records("dnssec", 2)[1]
    assert (said["state"], said["severity"], said["seen"]) == ("suspected", "warning", "forged")
    assert said["detail"] and said["hint"]
    reply = send(scene, tlsmend, domain)
    assert (reply.code, tlsmend.result()["reason"]) == (451, "dns-bogus")
    assert not mx.saw("MAIL")

    probes = 0
    while states(tlsmend) == ["on", "suspected"] and probes < 20:
        hup(tlsmend)
        probes += 1
        time.sleep(0.5 * SLOW)
    assert states(tlsmend) == ["on", "suspected", "off-stripped"]
    assert probes >= 3
    assert send(scene, tlsmend, domain).code == 250

    anchor.write_bytes(lab.dns.trust_anchor.read_bytes())
    tlsmend.reload()
    assert tlsmend.wait_records("dnssec", 4)[3]["state"] == "on"


def test_c_dane_01_required_validation_is_never_off(scene, lab):
    domain = scene.domain()
    mx = scene.hostile(domain)
    tlsmend = scene.tlsmend(resolver={"trust_anchor": foreign_anchor(lab), "require_dnssec": True})
    said = tlsmend.wait_records("dnssec")[0]
    assert (said["state"], said["severity"], said["seen"]) == ("waiting", "error", "forged")
    assert "require_dnssec" in said["hint"]
    reply = send(scene, tlsmend, domain)
    assert (reply.code, tlsmend.result()["reason"]) == (451, "dns-bogus")
    assert not mx.saw("MAIL")

    tlsmend.write_config(resolver={"trust_anchor": str(lab.dns.trust_anchor), "require_dnssec": True})
    tlsmend.reload()
    assert tlsmend.wait_records("dnssec", 2)[1]["state"] == "on"
    assert send(scene, tlsmend, domain).code == 250
