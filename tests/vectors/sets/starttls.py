# SPDX-License-Identifier: Apache-2.0
"""starttls: servers that are broken around STARTTLS, with TLS owed and with TLS welcome."""

import re

from . import words

PHASES = {"ehlo": "ehlo", "helo": "helo", "starttls": "starttls", "mail": "mail", "mail from": "mail",
          "rcpt": "rcpt", "rcpt to": "rcpt", "data": "data", ".": "final", "rset": "rset",
          "noop": "noop", "quit": "quit", "greeting": "greeting"}
LEVELS = {"expect_require": "verify", "expect_opportunistic": "may"}

# See "Decisions" in ../README.md.
GREETING_FINAL = "a refusing greeting (5xx) is final when no other MX takes the mail, at every level"


class NotUnderstood(Exception):
    """A case that no rule knows."""


def _phases(case):
    """phase -> the bytes that the server says instead of its usual reply."""
    said = {}
    if case.get("greeting") is not None:
        said["greeting"] = case["greeting"]
    for command, reply in (case.get("override") or {}).items():
        phase = PHASES.get(command.strip().lower())
        if phase is None:
            raise NotUnderstood(f"the command {command!r}")
        said[phase] = reply
    return said


def _code(reply):
    """The code of a reply; 0 for what is none."""
    match = re.match(r"(\d{3})[ \r-]", reply)
    return int(match[1]) if match else 0


def request_of(case, level, without=None):
    said = _phases(case)
    said.pop(without, None)
    replies = {phase: [[{"send": reply}]] for phase, reply in said.items()}
    if not case.get("tls_follows", True):
        replies["handshake"] = [[{"send": "500 5.5.2 what is this?\r\n"}]]
    spec = {"starttls": True, "replies": replies}
    if not case.get("offers_starttls", True):
        spec["starttls"] = False
    return {"id": case["id"], "level": level, "mx": spec, "transactions": [{}]}


def subject(case):
    """The code of the reply that the case is about: of several, the one that comes last."""
    said = _phases(case)
    for phase in ("quit", "rset", "final", "data", "rcpt", "mail", "starttls", "helo", "ehlo", "greeting"):
        if phase in said and phase not in ("quit", "rset"):
            return _code(said[phase])
    return 250


def offered(case):
    """Whether STARTTLS was offered in a 250 reply to EHLO."""
    ehlo = _phases(case).get("ehlo")
    if ehlo is None:
        return bool(case.get("offers_starttls", True))
    return _code(ehlo) == 250 and bool(re.search(r"^250[ -]STARTTLS\b", ehlo, re.M | re.I))


def seen_of(case, level, player):
    changed = next((p for p in _phases(case) if p in ("quit", "rset")), None)

    def with_second():
        request = request_of(case, level)
        request["second_mx"] = True
        return words.Seen(player.play(request))

    def unchanged():
        return words.Seen(player.play(request_of(case, level, without=changed)))

    return words.Seen(player.play(request_of(case, level)), subject=subject(case),
                      offered=offered(case), again=case.get("expect_require"),
                      with_second=with_second, unchanged=unchanged if changed else None)


def decided(case, field):
    """The text to judge by, and the decision that changed it."""
    text = case[field]
    greeting = _code(_phases(case).get("greeting", "220 "))
    if greeting // 100 == 5 and "temporary failure" in text:
        return text.replace("temporary failure", "permanent failure"), GREETING_FINAL
    return text, None


def seconds(_):
    return 0


def check(case, player):
    """(complaint, decision)"""
    used = None
    for field, level in LEVELS.items():
        if field not in case:
            continue
        text, decision = decided(case, field)
        used = used or decision
        complaint = words.judge(seen_of(case, level, player), text)
        if complaint:
            return f"{field[7:]}: {complaint}", used
    return None, used
