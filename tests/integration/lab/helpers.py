# SPDX-License-Identifier: Apache-2.0
"""What several test files do with a scene."""

import time

from . import smtpc
from .process import wait_for
from .tlsmend import Tlsmend, program

SENDER = "a@client.lab.example"
# Sanitizers take their time: bounds of time are multiplied with this.
SLOW = 5 if "asan" in str(program()) or "tsan" in str(program()) else 1


def mail(c, domain, message=None, user="user"):
    """A whole mail in a session that has said EHLO; the reply that decides."""
    return c.deliver(SENDER, domain.address(user), message or smtpc.message())


def send(scene, tlsmend, domain):
    """A whole mail in a session of its own."""
    with scene.client(tlsmend) as c:
        c.ehlo()
        return mail(c, domain)


def open_transaction(scene, tlsmend, domain):
    """A session with one accepted recipient."""
    c = scene.client(tlsmend)
    c.ehlo()
    assert [r.code for r in c.envelope(SENDER, [domain.address()])] == [250, 250]
    return c


def listener(name="relayhost", port=2525, address="127.0.0.1", **more):
    """A row of `listeners`."""
    return {"name": name, "protocol": "smtp", "address": address, "port": port, **more}


def prepared(lab, **settings):
    """A daemon's directory and configuration, not started."""
    return Tlsmend(lab, lab.new_directory("prepared"), settings, start=False)


def hup(tlsmend, event="reload"):
    """SIGHUP and the records that it makes; the other answer ("reload", "reload-failed") fails at once, in its words."""
    before = {name: len(tlsmend.records(name)) for name in ("reload", "reload-failed")}
    tlsmend.reload()
    wait_for("what the reload came to", lambda: any(len(tlsmend.records(n)) > before[n] for n in before))
    new = {name: tlsmend.records(name)[count:] for name, count in before.items()}
    assert new[event], new
    return new[event]


def settled():
    """Until the workers have taken what main has posted to them."""
    time.sleep(0.05 * SLOW)
