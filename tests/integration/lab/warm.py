# SPDX-License-Identifier: Apache-2.0
"""Connections that outlive a mail: who took which, and what the MX saw of it (C-OUT-08, C-TLS-08).

    tlsmend = solo(scene, pool={"messages": 2})    # one worker: its share of a limit is the limit
    mx = peer(scene, domain)                       # one address, so that there is one place to come back to
    deliver(scene, tlsmend, domain)                # the attempt of that mail; more than one is an error
    warm(scene, tlsmend, domain, 3)                # three connections that wait
    mx.records                                     # the connections that were made
"""

import contextlib
import dataclasses
import itertools

from . import smtpc
from .capture import Capture
from .filter import run
from .helpers import SENDER, open_transaction
from .process import wait_for

_count = itertools.count(1)


def solo(scene, **settings):
    return scene.tlsmend(workers=1, **settings)


def peer(scene, domain, **options):
    """A scripted MX.  Its connections keep what each read has given (record.pieces)."""
    options.setdefault("addresses", scene.net.new_host()[1:])
    options.setdefault("behave", in_pieces)
    return scene.hostile(domain, **options)


def in_pieces(c):
    """The honest conversation; inside TLS a piece is a record, which is one write of the other side's."""
    c.record.pieces, receive = [], c.recv

    def note():
        data = receive()
        c.record.pieces.append(data)
        return data
    c.recv = note
    c.converse()


@dataclasses.dataclass
class Sent:
    """What became of a mail."""
    reply: object
    attempts: list    # its records, in order

    @property
    def attempt(self):
        assert len(self.attempts) == 1, self.attempts
        return self.attempts[0]


def send(scene, tlsmend, domain, message=None, *, user="user", params=""):
    """A mail in a session of its own, step by step."""
    with scene.client(tlsmend) as c:
        name = "%s:%s" % c.sock.getsockname()
        c.ehlo()
        for reply in c.envelope(SENDER, [domain.address(user)], params):
            if reply.code != 250:
                break
        else:
            reply = c.data(message or smtpc.message())
    session = tlsmend.wait_records("session", client=name)[-1]    # the last record of all
    # A restart within a second counts its sessions from the same number on.
    return Sent(reply, tlsmend.records("attempt", session=session["session"], client=name))


def deliver(scene, tlsmend, domain, **options):
    """A mail that arrives at the first attempt; its record."""
    sent = send(scene, tlsmend, domain, **options)
    assert sent.reply.code == 250, sent.reply
    assert sent.attempt["outcome"] == "delivered", sent.attempt
    return sent.attempt


def warm(scene, tlsmend, domain, count=1):
    """So many connections at once, which wait now."""
    before = len(tlsmend.records("result"))
    clients = [open_transaction(scene, tlsmend, domain) for _ in range(count)]
    for c in clients:
        assert c.data(smtpc.message()).code == 250
        c.close()
    tlsmend.results(before + count)


def refused(scene, tlsmend, domain, code=550, user="nobody"):
    """A mail whose only recipient the MX refuses."""
    sent = send(scene, tlsmend, domain, user=user)
    assert sent.reply.code == code, sent.reply
    return sent


def verbs(record):
    """The commands of a connection inside TLS, the first EHLO of which is left out."""
    said = record.verbs(in_tls=True)
    assert said[:1] == ["EHLO"], said
    return said[1:]


def wait_verb(mx, verb, count=1):
    wait_for(lambda: f"{count} {verb} at {mx.name}: {mx.records}",
             lambda: sum(r.verbs().count(verb) for r in list(mx.records)) >= count)


class Flows:
    """How many connections were made to these addresses, for servers that keep no records."""

    def __init__(self, scene, addresses):
        self._capture = scene.add("capture", Capture(scene.net))
        self._addresses = addresses

    def count(self):
        return len(self._capture.flows(25, self._addresses))


@contextlib.contextmanager
def silenced(scene, records):
    """Every packet of these connections vanishes, both ways, as in a firewall that has forgotten them."""
    table, ns = f"warm{next(_count)}", scene.net.internet
    ports = ", ".join(str(r.peer[1]) for r in records)
    run(ns, "nft", f"add table inet {table}; "
        f"add chain inet {table} in {{ type filter hook input priority 0; }}; "
        f"add chain inet {table} out {{ type filter hook output priority 0; }}; "
        f"add rule inet {table} in tcp dport 25 tcp sport {{ {ports} }} drop; "
        f"add rule inet {table} out tcp sport 25 tcp dport {{ {ports} }} drop")
    try:
        yield
    finally:
        run(ns, "nft", "delete", "table", "inet", table)
