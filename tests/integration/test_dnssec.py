# SPDX-License-Identifier: Apache-2.0
"""A resolver that strips DNSSEC must not stop the mail: validation goes off loudly, and on again (C-DANE-01)."""

import base64
import os

from lab import smtpc


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
