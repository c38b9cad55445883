# SPDX-License-Identifier: Apache-2.0
"""Many recipient domains with an MX each, for tests that run hundreds of cases against one daemon.

    farm = Farm(scene)
    a, b = farm.sinks(2)          # two domains, their MX hosts, and one DNS update for all
    a.fault({"rcpt": "450 4.2.0 later"})     # from the next command on
    a.heal()
    a.taken                       # the messages that it answers for; Taken.how: "told", "cut"

One thread accepts for all of them, one certificate (a wildcard) is good for all, and each has one IPv6 address, so
that each connection is a rung of one ladder.  An address serves one domain only: what tlsmend remembers of it is
of no other case.
"""

import contextlib
import dataclasses
import re
import subprocess
import time

from .hostile import Acceptor, HostileMx
from .process import wait_for


@dataclasses.dataclass
class Taken:
    """A message whose final dot came, and which the MX means to deliver."""
    recipients: tuple
    data: bytes
    how: str       # "told": the 250 was sent whole; "cut": tlsmend cannot have heard it
    time: float = dataclasses.field(default_factory=time.time)


class Sink(HostileMx):
    """One MX of the farm: honest, until fault() gives it other replies."""

    def __init__(self, farm, domain, host, **options):
        self.farm, self.domain, self.host = farm, domain, host
        self.taken, self.fired, self.said = [], 0, []
        self._honest = {"final": self.replies_honestly}
        super().__init__(farm.scene.net, addresses=farm.scene.net.new_host()[1:], name=host, chain=farm.chain,
                         acceptor=farm.acceptor, **options)
        self.heal()

    def context(self, **options):
        return HostileMx.context(self, **options) if options else self.farm.tls_context

    # -- what a script calls ------------------------------------------------------------------

    def replies_honestly(self, c):
        """To the final dot."""
        self.take(c, "told")
        return f"250 2.0.0 taken by {self.host}"

    def take(self, c, how):
        mail = c.record.mails[-1]
        self.taken.append(Taken(tuple(path_of(r) for r in mail.recipients), mail.data, how))

    def fault(self, replies):
        """Each action is counted in `fired`, and texts that it says are kept in `said`."""
        self.replies = {**self._honest, **{phase: self._counted(action) for phase, action in replies.items()}}

    def _counted(self, action):
        def act(_):
            self.fired += 1
            return action
        if isinstance(action, str) and action[:1].isdigit():
            self.said.append(action)
        return act

    def heal(self):
        self.replies = self._honest

    @property
    def healthy(self):
        return self.replies is self._honest

    # -- what happened ------------------------------------------------------------------------

    def count(self, recipient, how=None):
        """How often it took a message for them."""
        return sum(t.recipients.count(recipient) for t in list(self.taken) if how in (None, t.how))

    def dots(self):
        """Messages that came whole, taken or not."""
        return len(self.mails)

    def asked(self):
        """How often it was asked to take a message for somebody."""
        return sum(r.verbs().count("MAIL") for r in list(self.records))

    def cut(self):
        """Messages that began and got no dot."""
        return [m for r in list(self.records) for m in r.mails if m.data and not m.complete]

    def wait_taken(self, count=1, timeout=20):
        wait_for(lambda: f"{count} messages at {self.host}; records: {self.records}",
                 lambda: len(self.taken) >= count, timeout)

    # -- the way to it ------------------------------------------------------------------------

    @contextlib.contextmanager
    def black_hole(self):
        """Nothing that is sent to it arrives."""
        route = ("route", "add", "blackhole", f"{self.addresses[0]}/128", "table", "local")
        self._ns.ip("-6", *route)
        try:
            yield
        finally:
            with contextlib.suppress(subprocess.CalledProcessError):
                self._ns.ip("-6", "route", "del", *route[2:])


class Farm:
    """The MXs of one test; they end with it."""

    def __init__(self, scene):
        self.scene, self.acceptor = scene, Acceptor()
        self._home = scene.domain()
        self.chain = scene.pki.leaf(None, "farm", names=[f"*.{self._home.name}"], common="")
        self._sinks, self._tls = [], None
        scene.add("farm", self)

    @property
    def tls_context(self):
        if self._tls is None:
            self._tls = HostileMx.context(self._sinks[0], chain=self.chain)
        return self._tls

    def sinks(self, count, **options):
        """So many, each the MX of a domain of its own; by tens in the DNS, for its answers are UDP."""
        made = []
        for _ in range(count):
            host = f"m{len(self._sinks) + 1}.{self._home.name}"
            made.append(Sink(self, self.scene.domain(), host, **options))
            self._sinks.append(made[-1])
        for at in range(0, count, 10):
            self.scene.dns.update([c for s in made[at:at + 10] for c in (
                ("add", s.host, "AAAA", s.addresses[0]), ("add", s.domain.name, "MX", f"10 {s.host}."))])
        self._tls = self.tls_context   # before threads ask for it
        return made

    def stop(self):
        """The end, and a script that failed is an error."""
        for sink in self._sinks:
            sink.stop()
        self.acceptor.stop()
        failed = [r.error for s in self._sinks for r in s.records if r.error.startswith("script failed")]
        assert not failed, "\n".join(failed)


def path_of(argument):
    """The address in what stands behind RCPT TO:."""
    return re.search(rb"<([^>]*)>", argument)[1].decode()
