# SPDX-License-Identifier: Apache-2.0
"""A transaction that ended with mixed results, and what comes after it.

    m = Mixed(scene)                        # good: 250, bad: 554 to the dot, later: 451 to the dot
    m.first()                               # the client has heard 451 and has all three in its queue
    m.heal()                                # later and bad take everything from now on
    m.client.run()
"""

from . import faults, smtpc
from .legacy import Legacy
from .process import wait_for

SPAM = "554 5.7.1 bad says this is spam"
GREY = "451 4.7.1 later says wait"


class Mixed:
    def __init__(self, scene, *, order="good bad later", settings=None, daemon=None, **options):
        self.scene = scene
        self.farm, self.tlsmend = daemon or faults.prepared(scene, **(settings or {}))
        self.good, self.bad, self.later = self.farm.sinks(3)
        self.sinks = [getattr(self, name) for name in order.split()]
        self.bad.fault({"final": SPAM})
        self.later.fault({"final": GREY})
        self.message = smtpc.message(subject=self.good.host, body=b"x" * 500 + b"\r\n")
        self.client = self.legacy(**options)

    def legacy(self, **options):
        """Another client with the same message."""
        options.setdefault("message", self.message)
        recipients = [s.domain.address() for s in self.sinks]
        return Legacy(self.tlsmend, self.scene.net.client, options.pop("recipients", recipients), **options)

    def first(self):
        turn = self.client.turn()
        assert {r.code for r in turn.rcpt.values()} == {250}, str(turn)
        assert {r.code for r in turn.final.values()} == {451}, str(turn)
        return turn

    def heal(self):
        self.bad.heal()
        self.later.heal()

    def entries(self, **fields):
        """recipient -> outcome, as the disk has it."""
        where = " AND ".join(f"{k} = ?" for k in fields) or "1"
        return dict(self.tlsmend.sql(f"SELECT recipient, outcome FROM ledger WHERE {where}", *fields.values()))

    def until_empty(self):
        """What is told is forgotten behind the reply, not before it."""
        wait_for(lambda: f"an empty ledger: {self.entries()}", lambda: not self.entries())

    def due_entries(self):
        return {a(self.good): "delivered", a(self.bad): "refused", a(self.later): "deferred"}


def a(sink, user="user"):
    return sink.domain.address(user)
