# SPDX-License-Identifier: Apache-2.0
"""Clients that get a final reply for each recipient: LMTP (RFC 2033) and PRDR (as Exim speaks it).

    farm, tlsmend = prepared(scene)
    c = greeted(scene, tlsmend, "lmtp")
    accepted(c, users(farm.sinks(2)), "lmtp")
    final(c, smtpc.message(), 2, "lmtp")     # one reply each; with "prdr" [353, each, each, overall]
"""

import socket

from . import faults
from .helpers import SENDER, SLOW, listener

LISTENERS = [listener(), listener("local", 2526, protocol="lmtp")]
PORTS = {"smtp": 2525, "prdr": 2525, "lmtp": 2526}


def prepared(scene, **settings):
    """A farm, and a daemon with a listener of both kinds."""
    return faults.prepared(scene, **{"listeners": LISTENERS, **settings})


def address(protocol):
    return "127.0.0.1", PORTS[protocol]


def greeted(scene, tlsmend, protocol):
    c = scene.client(tlsmend, listener=address(protocol))
    hello = c.cmd(f"{'LHLO' if protocol == 'lmtp' else 'EHLO'} legacy.client.lab.example")
    assert hello.code == 250, str(hello)
    return c


def envelope(recipients, protocol):
    params = " PRDR" if protocol == "prdr" else ""
    return [f"MAIL FROM:<{SENDER}>{params}", *(f"RCPT TO:<{r}>" for r in recipients)]


def users(sinks, user="user"):
    return [s.domain.address(user) for s in sinks]


def named(c, recipients, protocol):
    """MAIL and RCPT in one segment; the replies to RCPT."""
    replies = c.pipeline(envelope(recipients, protocol))
    assert replies[0].code == 250, str(replies[0])
    return replies[1:]


def accepted(c, recipients, protocol):
    replies = named(c, recipients, protocol)
    assert {r.code for r in replies} == {250}, texts(replies)


def begin(c, message):
    """The message, and nothing is read behind 354."""
    assert c.cmd("DATA").code == 354
    c.send(message + b".\r\n")


def final(c, message, count, protocol):
    """A message to so many accepted recipients; all that the client hears of it."""
    begin(c, message)
    return [c.reply() for _ in range(count + (2 if protocol == "prdr" and count > 1 else 0))]


def of_each(replies, protocol):
    """Without what PRDR says before and behind."""
    return replies if protocol == "lmtp" else replies[1:-1]


def silent(c, seconds=0.2):
    """Whether nothing comes for so long."""
    before = c.sock.gettimeout()
    c.sock.settimeout(seconds)
    try:
        c.sock.recv(1, socket.MSG_PEEK)
        return False
    except TimeoutError:
        return True
    finally:
        c.sock.settimeout(before)


def until(event):
    """An action of a script that waits for a test."""
    def wait(_):
        assert event.wait(30 * SLOW)
    return wait


def texts(replies):
    return [str(r) for r in replies]
