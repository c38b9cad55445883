# SPDX-License-Identifier: Apache-2.0
"""Plays a scripted MX against a real tlsmend and a scripted client: what play-session does.

Uses the integration lab (tests/integration/README.md): network namespaces, a DNS server, certificates,
an MX that does what it is told.  The form of requests and answers is in ../README.md.
"""

import threading
import time

from lab import smtpc
from lab.hostile import CLOSE, RESET, Each, HostileMx
from lab.process import Timeout, wait_for
from lab.scene import Lab, Scene
from lab.tlsmend import Tlsmend

from . import chains, fit
from .common import BUILD, LineTool
from .stage import Stage

CAPABILITIES = ("PIPELINING", "SIZE 104857600", "8BITMIME", "ENHANCEDSTATUSCODES")
SENDER = "sender@client.lab.example"


class Died(Exception):
    """The daemon ended in the middle of a case: of this one, or of another beside it."""


SMTP_PORT, LMTP_PORT = 2600, 2620   # and the levels behind them

# Longer than any patience of tlsmend for a phase but the final one.
CLIENT_PATIENCE = 200


def honest_ehlo(connection):
    mx = connection.mx
    offers = list(mx.capabilities)
    if not (mx.chain and not connection.in_tls) and "STARTTLS" in offers:
        offers.remove("STARTTLS")
    lines = [mx.name, *offers]
    return "\r\n".join(f"250{'-' if i < len(lines) - 1 else ' '}{line}" for i, line in enumerate(lines))


HONEST = {
    "greeting": lambda c: f"220 {c.mx.name} ESMTP",
    "ehlo": honest_ehlo,
    "helo": lambda c: f"250 {c.mx.name}",
    "starttls": "220 2.0.0 go ahead",
    "mail": "250 2.1.0 ok",
    "rcpt": "250 2.1.5 ok",
    "data": lambda c: ("354 go on" if c.record.mails and c.record.mails[-1].recipients
                       else "503 5.5.1 no recipients"),
    "final": "250 2.0.0 taken",
    "rset": "250 2.0.0 ok",
    "noop": "250 2.0.0 ok",
    "quit": "221 2.0.0 bye",
}


def action(step, phase):
    """One step of a request as an action of the lab's MX."""
    if "send" in step:
        return step["send"].encode("latin-1")
    if "wait" in step:
        return float(step["wait"])
    if step.get("close"):
        return CLOSE
    if step.get("reset"):
        return RESET
    if step.get("silence"):
        return None
    if step.get("honest"):
        return HONEST[phase]
    raise ValueError(f"no action: {step}")


def replies(request):
    """Phase -> what the lab's MX does: a list of times, each a list of steps."""
    made = {}
    for phase, times in request.get("replies", {}).items():
        acts = [[action(step, phase) for step in steps] for steps in times]
        made[phase] = Each(*acts)
    return made


class Player:
    """One lab, one tlsmend for each level; play() may be called by many threads at once."""

    def __init__(self, levels=("may", "verify"), **settings):
        self.lab = Lab()
        self.tlsmend = {}
        self._stage = None
        self._lock = threading.RLock()   # the parts of the lab are made one at a time
        self._last_words = ""
        try:
            fit.need_daemon(self.lab)
            for n, level in enumerate(levels):
                self.tlsmend[level] = Tlsmend(
                    self.lab, self.lab.new_directory(level),
                    {"listeners": [{"name": f"{level}-{protocol}", "protocol": protocol,
                                    "address": "127.0.0.1", "port": port + n}
                                   for protocol, port in (("smtp", SMTP_PORT), ("lmtp", LMTP_PORT))],
                     "tls": {"level": level}, **settings})
        except BaseException:
            self.lab.close()
            raise

    @property
    def stage(self):
        """Where cases of mta-sts and dane run, in the same lab."""
        with self._lock:
            if self._stage is None:
                self._stage = Stage(self.lab, LineTool(BUILD / "tests/policy-tool"), self._lock)
            return self._stage

    def close(self):
        """Ends everything; an AssertionError tells of a daemon that did not end well."""
        try:
            for daemon in self.tlsmend.values():
                daemon.stop(timeout=60)
            if self._stage is not None:
                self._stage.close()
        finally:
            self.lab.close()

    # -- one case -----------------------------------------------------------------------------

    def _make_mx(self, scene, domain, label, spec):
        chain = None
        if spec.get("starttls", True):
            chain = chains.make(scene.pki, spec.get("certificate", "good"), f"{label}.{domain.name}")
        offers = list(spec.get("capabilities", CAPABILITIES))
        if chain:
            offers.append("STARTTLS")
        options = {k: spec[k] for k in ("ciphers",) if k in spec}
        if "versions" in spec:
            options["versions"] = tuple(spec["versions"])
        if spec.get("asks_client_certificate"):
            options["setup"] = chains.ask_client_certificate
        made = replies(spec)
        if "suite" in spec:   # a cipher suite that no library here speaks: chosen by hand
            made["handshake"] = [chains.flight(chain, spec["suite"]), 2.0, CLOSE]
        _, ip6 = scene.net.new_host()   # IPv4 addresses come around again, and tlsmend remembers addresses
        return scene.hostile(domain, label=label, chain=chain, tls=chain is not None,
                             preference=spec.get("preference", 10), replies=made,
                             capabilities=offers, addresses=(ip6,), **options)

    def play(self, request):
        """The whole case; see ../README.md for the answer."""
        daemon = self.tlsmend[request.get("level", "verify")]
        try:
            return self._play(daemon, request)
        except (OSError, EOFError, AssertionError):
            if daemon.running():
                raise
            raise Died(self._restart(daemon)) from None

    def _restart(self, daemon):
        """What the dead daemon said at its end."""
        with self._lock:
            if not daemon.running():
                self._last_words = "tlsmend died: " + " | ".join(daemon.tail(12).splitlines()[-12:])
                daemon.start()
            return self._last_words

    def _play(self, daemon, request):
        scene = Scene(self.lab)
        started = time.monotonic()
        try:
            with self._lock:
                domain = scene.domain()
                specs = [request["mx"]]
                if request.get("second_mx"):
                    specs.append({"starttls": request["mx"].get("starttls", True), "preference": 20})
                label = request["mx"].get("label", "mx1")
                mxs = [self._make_mx(scene, domain, label if n == 0 else f"mx{n + 1}", spec)
                       for n, spec in enumerate(specs)]
            transactions, alive = self._converse(scene, daemon, domain, request)
            records = self._records(daemon, domain, transactions)
            self._wait_closed(mxs)
        finally:
            scene.close()
        return self._answer(mxs, transactions, alive, records, time.monotonic() - started)

    @staticmethod
    def _wait_closed(mxs):
        for mx in mxs:
            if mx.records:
                try:
                    mx.wait_closed(20)
                except Timeout:
                    pass   # shown by "sessions_closed"

    def _converse(self, scene, daemon, domain, request):
        transactions, protocol = [], request.get("client", "smtp")
        address, port = daemon.listener
        port += LMTP_PORT - SMTP_PORT if protocol == "lmtp" else 0
        with scene.client(daemon, listener=(address, port), timeout=CLIENT_PATIENCE) as client:
            client.cmd(f"{'LHLO' if protocol == 'lmtp' else 'EHLO'} client.lab.example")
            for wanted in request.get("transactions", [{}]):
                transactions.append(self._transaction(client, domain, wanted, protocol))
                client.cmd("RSET")
            alive = client.cmd("NOOP").code == 250
            client.cmd("QUIT")
        return transactions, alive

    def _transaction(self, client, domain, wanted, protocol):
        said = {"mail": None, "rcpt": [], "data": None, "each": [], "final": None}
        message = self._message(wanted)
        params = wanted.get("mail_params", "") + (" PRDR" if protocol == "prdr" else "")
        if wanted.get("declare_size"):
            params += f" SIZE={len(message)}"
        reply = client.cmd(f"MAIL FROM:<{SENDER}>{params}")
        said["mail"] = str(reply)
        if reply.code == 250:
            for user in wanted.get("recipients", ["user"]):
                said["rcpt"].append(str(client.cmd(f"RCPT TO:<{domain.address(user)}>")))
            if any(r.startswith("250") for r in said["rcpt"]):
                reply = client.cmd("DATA")
                said["data"] = str(reply)
                if reply.code == 354:
                    client.send(smtpc.stuff(message) + b".\r\n")
                    self._final(client, said, protocol)
        return said

    @staticmethod
    def _final(client, said, protocol):
        """LMTP: a reply for each accepted recipient; PRDR: 353, the same, and one for the whole message."""
        first = str(client.reply())
        split = first.startswith("353")
        if protocol == "lmtp" or split:
            accepted = sum(r.startswith("250") for r in said["rcpt"])
            said["each"] = [*([] if split else [first]),
                            *(str(client.reply()) for _ in range(accepted - (not split)))]
        said["final"] = str(client.reply()) if split else first

    @staticmethod
    def _message(wanted):
        body = wanted.get("body", "Hello\r\n").encode("latin-1")
        message = smtpc.message(subject="vectors", body=body)
        size = wanted.get("size", 0)
        return message + b"x" * max(0, size - len(message) - 2) + (b"\r\n" if size else b"")

    @staticmethod
    def _records(daemon, domain, transactions):
        """The records of this domain, when as many results are there as recipients were named."""
        due = sum(len(t["rcpt"]) for t in transactions)

        def mine():
            return [r for r in daemon.records() if domain.name in str(sorted(r.items()))]

        try:
            wait_for("result records", lambda: sum(r["event"] == "result" for r in mine()) >= due, 5)
        except Timeout:
            pass   # the answer shows how many there are
        return mine()

    @staticmethod
    def _answer(mxs, transactions, alive, records, seconds):
        mx = mxs[0]
        verbs = [[(v, t) for v, _, t in r.commands] for r in mx.records]
        mails = [m for r in mx.records for m in r.mails]
        complete = [m for m in mails if m.complete]
        return {
            "transactions": transactions,
            "session_alive": alive,
            "mails": len(complete),
            "mails_in_tls": sum(m.in_tls for m in complete),
            "mails_at_second": len(mxs[1].mails) if len(mxs) > 1 else 0,
            "content_seen": any(m.data for m in mails),
            "contents": [m.data.decode("latin-1") for m in complete],
            "commands": [[f"{v} (tls)" if t else v for v, t in c] for c in verbs],
            "mail_lines": [line.decode("latin-1") for r in mx.records for v, line, _ in r.commands
                           if v == "MAIL"],
            "handshakes": [r.tls["version"] for r in mx.records if r.tls],
            "sessions_closed": not any(r.open for r in mx.records),
            "attempts": [r for r in records if r["event"] == "attempt"],
            "results": [r for r in records if r["event"] == "result"],
            "seconds": round(seconds, 3),
        }


__all__ = ["CAPABILITIES", "HostileMx", "Player"]
