# SPDX-License-Identifier: Apache-2.0
"""A legacy MTA in a hundred lines: a queue of one message that is sent again until nobody is left in it.

    client = Legacy(tlsmend, ns, recipients, message)
    client.run(limit=8)
    client.delivered, client.bounced, client.left     # as it understood tlsmend

It is as stubborn as the real ones: the whole rest of the queue goes into one transaction each time, a 5xx is final, a
4xx is not, a 421 or a closed connection is what no relayhost may do to it (`complaints`).
"""

import dataclasses

from .smtpc import Reply, SmtpClient, stuff

SENDER = "a@client.lab.example"


class GoneOnPurpose(Exception):
    """A hook has ended the connection."""


@dataclasses.dataclass
class Round:
    """One transaction."""
    recipients: list
    rcpt: dict = dataclasses.field(default_factory=dict)     # recipient -> Reply
    data: Reply = None
    final: dict = dataclasses.field(default_factory=dict)    # recipient -> Reply that decided
    overall: Reply = None                                    # PRDR: for the whole message

    def __str__(self):
        out = [f"{r}: RCPT {self.rcpt.get(r, '-')}; final {self.final.get(r, '-')}" for r in self.recipients]
        return "; ".join(out + [f"DATA {self.data}"]).replace("\n", " / ")


class Legacy:
    """protocol: "smtp", "lmtp" or "prdr".  ident: said with XFORWARD.  size: SIZE= is said.  pipelining: the
    envelope in one segment.  in_body(round): called in the middle of each message.  after_dot(c, round):
    called when all was sent and nothing read yet."""

    def __init__(self, tlsmend, ns, recipients, message, *, sender=SENDER, protocol="smtp", ident=None, size=False,
                 pipelining=True, one_session=False, before=None, in_body=None, after_dot=None, listener=None):
        self._ns, self._listener = ns, listener or tlsmend.listener
        self.left, self.message, self.sender, self.protocol = list(recipients), message, sender, protocol
        self.ident, self.size, self.pipelining, self.one_session = ident, size, pipelining, one_session
        self.before, self.in_body, self.after_dot = before, in_body, after_dot
        self.delivered, self.bounced, self.complaints, self.rounds = {}, {}, [], []
        self.connection = None

    def run(self, limit=8):
        while self.left and len(self.rounds) < limit:
            self.turn()
        self.close()
        return self

    def turn(self):
        """One transaction with all that is left."""
        round_ = Round(list(self.left))
        self.rounds.append(round_)
        try:
            if self.before:
                self.before(len(self.rounds))
            if self.connection is None:
                self._open()
            self._transaction(self.connection, round_)
            if not self.one_session:
                self.close()
        except GoneOnPurpose:
            self._drop()
        except (OSError, EOFError, AssertionError) as e:
            self.complaints.append(f"round {len(self.rounds)}: {e!r}")
            self._drop()
        return round_

    def close(self):
        if self.connection is not None:
            try:
                self._hear(self.connection.cmd("QUIT"))
            except (OSError, EOFError) as e:
                self.complaints.append(f"QUIT: {e!r}")
            self._drop()

    def _drop(self):
        if self.connection is not None:
            self.connection.close()
            self.connection = None

    def _hear(self, reply):
        if reply.code == 421:
            self.complaints.append(f"421 in round {len(self.rounds)}: {reply}")
        return reply

    def _open(self):
        self.connection = SmtpClient(self._ns, *self._listener, timeout=60)
        hello = "LHLO" if self.protocol == "lmtp" else "EHLO"
        answer = self.connection.cmd(f"{hello} legacy.client.lab.example")
        assert answer.code == 250, answer
        if self.ident:
            answer = self.connection.cmd(f"XFORWARD IDENT={self.ident}")
            assert answer.code == 250, answer

    def _transaction(self, c, round_):
        params = f" SIZE={len(self.message)}" if self.size else ""
        params += " PRDR" if self.protocol == "prdr" else ""
        lines = [f"MAIL FROM:<{self.sender}>{params}", *(f"RCPT TO:<{r}>" for r in round_.recipients)]
        answers = c.pipeline(lines) if self.pipelining else [c.cmd(line) for line in lines]
        assert answers[0].code == 250, f"MAIL: {answers[0]}"
        for recipient, reply in zip(round_.recipients, answers[1:]):
            round_.rcpt[recipient] = self._hear(reply)
            if reply.code // 100 == 5:
                self._bounce(recipient, reply)
        accepted = [r for r in round_.recipients if round_.rcpt[r].code == 250]
        if not accepted:
            self._hear(c.cmd("RSET"))
            return
        round_.data = self._hear(c.cmd("DATA"))
        if round_.data.code != 354:
            for recipient in accepted:
                self._decide(round_, recipient, round_.data)
            return
        half = len(self.message) // 2
        wire = stuff(self.message)
        c.send(wire[:half])
        if self.in_body:
            self.in_body(len(self.rounds))
        c.send(wire[half:] + b".\r\n")
        if self.after_dot:
            self.after_dot(c, len(self.rounds))
        self._final(c, round_, accepted)

    def _final(self, c, round_, accepted):
        first = self._hear(c.reply())
        if first.code == 353:
            for recipient in accepted:
                self._decide(round_, recipient, self._hear(c.reply()))
            round_.overall = self._hear(c.reply())
            return
        for i, recipient in enumerate(accepted):
            each = self.protocol == "lmtp" and i > 0
            self._decide(round_, recipient, self._hear(c.reply()) if each else first)

    def _decide(self, round_, recipient, reply):
        round_.final[recipient] = reply
        if reply.code // 100 == 2:
            self.left.remove(recipient)
            self.delivered[recipient] = reply
        elif reply.code // 100 == 5:
            self._bounce(recipient, reply)

    def _bounce(self, recipient, reply):
        self.left.remove(recipient)
        self.bounced[recipient] = reply
