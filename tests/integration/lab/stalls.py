# SPDX-License-Identifier: Apache-2.0
"""Twenty domains of which some are in trouble, a queue of mail for them, and what became of each recipient.

    field = Field(scene)                      # domains and MX hosts
    field.mails(200)                          # (recipients, message) pairs, the same in every run
    field.delivered()                         # Counter of (Message-ID, recipient), as the MX hosts took them

What arrived is told by the MX hosts alone: a message counts when the 250 to its final dot was sent.
"""

import collections
import dataclasses
import random
import re
import threading
import time

from . import smtpc
from .netns import BLACK_HOLE_IP4
from .servers import MX

DELAY = 0.05   # before each reply of the slow domain


@dataclasses.dataclass(frozen=True)
class Kind:
    """What a domain does.  arrives: in which queue run its mail is through (None: never).
    words: what the client's queue shows of it until then."""
    name: str
    arrives: object
    words: tuple = ()
    count: int = 1


KINDS = (
    Kind("healthy", 1, count=9),
    Kind("real", 1),                  # Postfix as MX
    Kind("slow", 1),
    Kind("half", 1),                  # refuses recipients whose name begins with "no"
    Kind("greylisting", 2, ("450", "4.7.1 greylisted, come back later")),
    Kind("busy-once", 2, ("busy at the moment",)),                     # 421 to a message's first final dot
    Kind("dead", None, ("4.4.1", "did not answer the connection in time")),
    Kind("expired", None, ("4.7.5", "expired")),
    Kind("clear", None, ("4.7.4", "does not offer STARTTLS")),
    Kind("busy", None, ("too many connections",)),                     # 421 in the greeting
    Kind("busy-rcpt", None, ("too busy for this recipient",)),         # 421 to RCPT
    Kind("busy-final", None, ("too busy for this message",)),          # 421 to the final dot
)


@dataclasses.dataclass(frozen=True)
class Taken:
    """A message at an MX: the final dot has come and was answered."""
    message_id: str
    recipient: str
    code: str
    time: float
    sender: str
    data: bytes


def _address(line):
    return re.search(rb"<([^>]*)>", line)[1].decode()


def message_id(data):
    found = re.search(rb"^Message-ID:\s*<([^>]*)>", data, re.M | re.I)
    return found[1].decode() if found else ""


class Field:
    """The domains, their MX hosts, and what these took."""

    def __init__(self, scene):
        self.scene, self.taken, self._lock = scene, [], threading.Lock()
        self.domains, self.kind_of, self.mx = [], {}, {}
        self._seen = set()   # what the MX hosts refuse the first time
        for kind in KINDS:
            for _ in range(kind.count):
                domain = scene.domain()
                self.domains.append(domain)
                self.kind_of[domain.name] = kind
                self.mx[domain.name] = getattr(self, "_make_" + kind.name.replace("-", "_"))(domain)
        self.sender = self.of("healthy")[0].address("sender")   # where bounces go

    def of(self, name):
        """The domains of that kind."""
        return [d for d in self.domains if self.kind_of[d.name].name == name]

    # -- the MX hosts -------------------------------------------------------------------------

    def _final(self, code, text):
        def answer(c):
            mail = c.record.mails[-1]
            c.send(f"{code} {text}")
            with self._lock:
                self.taken += [Taken(message_id(mail.data), _address(r), code, time.time(), _address(mail.sender),
                                     mail.data) for r in mail.recipients]
        return answer

    def _hostile(self, domain, replies=None, **options):
        return self.scene.hostile(domain, replies={"final": self._final("250", "2.0.0 taken"), **(replies or {})},
                                  addresses=self.scene.net.new_host()[:1], **options)

    _make_healthy = _hostile

    def _make_real(self, domain):
        host = domain.host("mx", *(addresses := self.scene.net.new_host()))
        domain.mx(host)
        return self.scene.server(MX["postfix"], hostname=host, chain=self.scene.pki.chain("rsa", host),
                                 addresses=addresses)

    def _make_slow(self, domain):
        mx = self._hostile(domain)
        honest = {"greeting": f"220 {mx.host} ESMTP", "starttls": "220 2.0.0 go ahead", "mail": "250 2.1.0 ok",
                  "rcpt": "250 2.1.5 ok", "data": "354 go on", "final": mx.replies["final"]}
        mx.replies.update({phase: [DELAY, reply] for phase, reply in honest.items()})
        return mx

    def _make_half(self, domain):
        return self._hostile(domain, {"rcpt": lambda c: "550 5.1.1 nobody of that name here" if b"<no" in c.line
                                      else "250 2.1.5 ok"})

    def _make_greylisting(self, domain):
        def rcpt(c):
            first = self._is_first((c.record.mails[-1].sender, c.line))
            return "450 4.7.1 greylisted, come back later" if first else "250 2.1.5 ok"
        return self._hostile(domain, {"rcpt": rcpt})

    def _make_busy_once(self, domain):
        taken, refused = self._final("250", "2.0.0 taken"), self._final("421", "4.3.2 busy at the moment")
        return self._hostile(domain, {
            "final": lambda c: (refused if self._is_first(message_id(c.record.mails[-1].data)) else taken)(c)})

    def _is_first(self, what):
        with self._lock:
            first = what not in self._seen
            self._seen.add(what)
        return first

    def _make_dead(self, domain):
        domain.mx(domain.host("mx", BLACK_HOLE_IP4))

    def _make_expired(self, domain):
        return self._hostile(domain, kind="expired")

    def _make_clear(self, domain):
        return self._hostile(domain, tls=False)

    def _make_busy(self, domain):
        return self._hostile(domain, {"greeting": "421 4.3.2 too many connections"})

    def _make_busy_rcpt(self, domain):
        return self._hostile(domain, {"rcpt": "421 4.3.2 too busy for this recipient"})

    def _make_busy_final(self, domain):
        return self._hostile(domain, {"final": self._final("421", "4.3.2 too busy for this message")})

    # -- the queue ----------------------------------------------------------------------------

    def mails(self, count, mixed=True, single=False):
        """(recipients, message) pairs, and what is due to each recipient in self.due: a Kind, or None
        for one that is refused for good.  mixed: every third message has recipients of several domains.
        single: one recipient each.  Five messages begin with each domain, the others with one that works: clients that send one after the
        other wait for the dead one each time."""
        dice, plenty = random.Random(4), [*self.of("healthy"), *self.of("half"), *self.of("greylisting")]
        slow = [*self.of("dead"), *self.of("slow")]
        quick = [d for d in self.domains if d not in slow and d not in self.of("busy-final")]
        self.due, made = {}, []
        for number in range(count):
            first = self.domains[number % len(self.domains)] if number % 40 < 20 else dice.choice(plenty)
            domains = [first] * (1 if single else dice.choice((1, 1, 1, 2, 4)))
            if mixed and not single and number % 3 == 0 and first not in self.of("busy-final"):
                domains += dice.sample(quick + slow if number % 4 == 0 else quick, dice.randint(1, 5))
            recipients = [d.address(("no" if dice.random() < 0.5 else "user") + f"{number}-{i}")
                          for i, d in enumerate(domains)]
            message = smtpc.message(subject=f"m{number}-{first.name}", body=b"x" * 70 + b"\r\n" * dice.randint(1, 40))
            for recipient in recipients:
                kind = self.kind_of[recipient.partition("@")[2]]
                refused = kind.name == "half" and recipient.startswith("no")
                self.due[message_id(message), recipient] = None if refused else kind
            made.append((recipients, message))
        return made

    def expected(self, run):
        """What has to be delivered once that many queue runs are over."""
        return {key for key, kind in self.due.items() if kind and kind.arrives and kind.arrives <= run}

    def due_in(self, recipient, run):
        """The recipient has to be in the client's queue after that many runs."""
        return recipient in self.waiting(run) or recipient == self.sender

    def refused(self):
        return {recipient for (_, recipient), kind in self.due.items() if kind is None}

    def waiting(self, run):
        """Recipients that have to be in the client's queue after that many runs, with their kind."""
        return {recipient: kind for (_, recipient), kind in self.due.items()
                if kind and (kind.arrives is None or kind.arrives > run)}

    # -- what became of it --------------------------------------------------------------------

    def delivered(self):
        """Counter of (Message-ID, recipient), bounces left out."""
        with self._lock:
            found = collections.Counter((t.message_id, t.recipient) for t in self.taken
                                        if t.code == "250" and t.sender)
        for domain in self.of("real"):
            for mail in self.mx[domain.name].inbox(domain.name):
                to = re.search(rb"^Delivered-To: (\S+)", mail, re.M)[1].decode()
                found[message_id(mail), to] += 1
        return found

    def last(self, *kinds):
        """When the last message for domains of these kinds was taken."""
        with self._lock:
            times = [t.time for t in self.taken if self.kind_of[t.recipient.partition("@")[2]].name in kinds and t.sender]
        return max(times, default=0)

    def bounces(self):
        """The bounces, which come to an MX too."""
        with self._lock:
            return [t.data.decode("utf-8", "replace") for t in self.taken if not t.sender and t.code == "250"]

    def lost_and_doubled(self, run):
        """Two lists, both empty: what is due and did not arrive, and what arrived twice or was not due."""
        found, due = self.delivered(), self.expected(run)
        return (sorted(due - set(found)),
                sorted([key for key, n in found.items() if n > 1 or not self.due[key] or self.due[key].arrives is None]))

    def surprises(self, queue, run):
        """What the client's queue shows otherwise than it should after that many runs: a recipient that
        is missing, one too many, or one without the true reason.  Bounces may wait for a run of their own."""
        shown, due = {q.recipient: q.reason for q in queue}, self.waiting(run)
        return [f"{r} ({due[r].name}): {shown.get(r, 'is missing')}" for r in sorted(due)
                if not all(word in shown.get(r, "") for word in due[r].words)] + [
                f"{r} (nothing is due): {shown[r]}" for r in sorted(set(shown) - set(due) - {self.sender})]
