# SPDX-License-Identifier: Apache-2.0
"""Expectations in words, read by rule.

A text is cut into clauses (";"), a clause into parts that must all hold (", " and " and ") and a part
into alternatives of which one must hold (" or ").  The smallest pieces are looked up in PIECES: the
first pattern that matches says what has to be seen.  A piece that no pattern knows is reported as not
understood, so an expectation is never passed over.

    X only if C; otherwise Y     C is one of CONDITIONS
    CODES: X                     holds for these codes of the reply that the case changes:
                                 "250", "5xx", "4xx/421/2xx other than 250"
    (...)                        a remark, unless it says permanent or temporary
"""

import re


class NotUnderstood(Exception):
    """A text that no rule knows."""


class Seen:
    """What one run of a case showed; `answer` is play-session's."""

    def __init__(self, answer, *, subject=None, offered=None, again=None, with_second=None,
                 unchanged=None):
        self.answer = answer
        self.subject = subject           # code of the reply that the case is about
        self.offered = offered           # STARTTLS was offered in a 250 reply to EHLO
        self._again = again              # as `require`: the other expectation's text
        self._with_second = with_second  # () -> Seen with a healthy second MX
        self._unchanged = unchanged      # () -> Seen without the change that the case makes
        self.transactions = [Heard(t) for t in answer["transactions"]]

    @property
    def heard(self):
        """The transaction that decides: the last one."""
        return self.transactions[-1]

    @property
    def delivered(self):
        return self.heard.final_code == 250

    @property
    def commands(self):
        return [c for session in self.answer["commands"] for c in session]

    def saw(self, verb):
        return any(c.split()[0] == verb for c in self.commands)

    def saw_in_clear(self, verb):
        return verb in self.commands

    @property
    def in_tls(self):
        return self.answer["mails"] > 0 and self.answer["mails_in_tls"] == self.answer["mails"]

    @property
    def reasons(self):
        return [a.get("reason") for a in self.answer["attempts"]]

    @property
    def logged(self):
        """A result for each recipient; attempts that say why, unless nobody was reached."""
        due = sum(len(t.rcpt) for t in self.transactions)
        return len(self.answer["results"]) == due and all(self.reasons)

    def again(self):
        return self._again

    def with_second(self):
        return self._with_second() if self._with_second else None

    def unchanged(self):
        return self._unchanged() if self._unchanged else None

    def untruth(self):
        """What must hold in every case, whatever it expects."""
        claimed = sum(t.final_code == 250 for t in self.transactions)
        taken = self.answer["mails"] + self.answer["mails_at_second"]
        if claimed > taken:
            return f"{claimed} mails were reported as delivered, the MX took {taken}"
        if not self.answer["session_alive"]:
            return "the client's session was dropped"
        for transaction in self.transactions:
            for reply in transaction.replies:
                if reply.startswith("421"):
                    return f"the client heard {reply!r}: it takes that for the relayhost's death"
            if {r[:3] for r in transaction.each} - {transaction.replies[-1][:3]}:
                return f"one MX, and recipients heard {transaction.each}, the message {transaction.replies[-1]!r}"
        return None


class Heard:
    """What the client heard in one transaction."""

    def __init__(self, transaction):
        self.rcpt, self.each = transaction["rcpt"], transaction["each"]
        self.replies = [r for r in (transaction["mail"], *self.rcpt, transaction["data"],
                                    *self.each, transaction["final"]) if r]
        self.final_code = int(transaction["final"][:3]) if transaction["final"] else 0

    @property
    def decider(self):
        """The first refusal, else the last reply."""
        for reply in self.replies:
            if reply[0] in "45":
                return reply
        return self.replies[-1]


# -- what pieces demand: each answers None, or what is wrong ------------------------------------------


def _code(seen, code, dsn=None, which=-1):
    reply = seen.transactions[which].decider
    wanted = code.replace("x", r"\d")
    if not re.match(wanted + r"\b", reply):
        return f"{code} is due, the client heard {reply!r}"
    if dsn and not re.match(rf"\d\d\d {re.escape(dsn)}\b", reply):
        return f"{dsn} is due, the client heard {reply!r}"
    heard = seen.transactions[which]
    # A refused recipient beside an accepted one does not stop the mail.
    if code[0] in "45" and heard.final_code == 250 and all(r[0] == "2" for r in heard.rcpt):
        return "reported as delivered"
    return None


def _recipient(seen, code, index):
    reply = seen.heard.rcpt[index] if index < len(seen.heard.rcpt) else "nothing"
    return None if re.match(code.replace("x", r"\d"), reply) else (
        f"{code} is due for recipient {index + 1}, the client heard {reply!r}")


def _delivered(seen, tls=False):
    if not seen.delivered or not seen.answer["mails"]:
        return f"delivery is due, the client heard {seen.heard.decider!r} ({seen.reasons})"
    if tls and not seen.in_tls:
        return "delivered in clear, TLS is due"
    return None


def _not_delivered(seen):
    if seen.delivered:
        return f"no delivery is due, the client heard {seen.heard.decider!r}"
    return None


def _failure(seen, first):
    return _not_delivered(seen) or _code(seen, first + "xx")


def _not_sent(seen, verb):
    return f"{verb} was sent: {seen.commands}" if seen.saw(verb) else None


def _no_body(seen):
    if any(content.strip() for content in seen.answer["contents"]) or seen.answer["content_seen"]:
        return "the MX saw the message"
    return None


def _second(seen):
    other = seen.with_second()
    if other is None or other.answer["mails_at_second"] != 1 or not other.delivered:
        return "the next MX was not used"
    return None


def _either_way(seen):
    """A step that may be taken or not: whatever happened, the client heard the truth."""
    return _delivered(seen) if seen.delivered else _code(seen, r"[45]xx")


def _logged(seen):
    return None if seen.logged else (
        f"{len(seen.answer['results'])} results, attempts with the reasons {seen.reasons}")


def _ended(seen):
    return None if seen.answer["sessions_closed"] else "a session with the MX is still open"


def _same_as_unchanged(seen):
    other = seen.unchanged()
    if other is None:
        return "there is nothing to compare with"
    if (other.heard.decider[:3], other.answer["mails"]) != (seen.heard.decider[:3],
                                                            seen.answer["mails"]):
        return f"{seen.heard.decider!r} instead of {other.heard.decider!r}"
    return None


def _after_rset(seen):
    """Nothing but QUIT may follow a RSET that failed."""
    for session in seen.answer["commands"]:
        verbs = [c.split()[0] for c in session]
        if "RSET" in verbs and set(verbs[verbs.index("RSET") + 1:]) - {"QUIT"}:
            return f"the session went on: {session}"
    return None


def _rset_truth(seen):
    """Nothing counts as delivered but what the MX took (untruth() has looked at the numbers)."""
    if seen.saw("RSET") and seen.delivered:
        return "reported as delivered"
    return None


def _as_decoded(seen):
    """The decision about 8-bit mail to an MX without 8BITMIME: unchanged, undeclared, logged."""
    if not seen.delivered:
        return _code(seen, r"[45]xx")
    if any("BODY=" in line.upper() for line in seen.answer["mail_lines"]):
        return f"declared to an MX that does not know it: {seen.answer['mail_lines']}"
    if not any(a.get("body_undeclared") for a in seen.answer["attempts"]):
        return "sent as it is, and the record does not say so"
    return None


def _final_dot_only(seen):
    return _no_body(seen) or _not_delivered(seen)


PIECES = [(re.compile(pattern + r"$", re.I), holds) for pattern, holds in [
    (r"first (?P<a>\d\dx|\dxx|\d{3}), second (?P<b>\d{3}|\dxx)",
     lambda s, m: _code(s, m["a"], which=0) or _code(s, m["b"], which=1)),
    (r"(?P<code>\d{3}|\dxx) for (both|all|each)( recipients)?",
     lambda s, m: next((f"{m['code']} is due, the client heard {r!r}" for r in s.heard.rcpt
                        if not re.match(m["code"].replace("x", r"\d"), r)), None)),
    (r"(?P<code>\d{3}|\dxx) (for|to) the (?P<n>first|second|third)( recipient| RCPT)?",
     lambda s, m: _recipient(s, m["code"], ("first", "second", "third").index(m["n"]))),
    (r"(?P<code>\d{3}) (?P<dsn>\d\.\d+\.\d+)( .*)?", lambda s, m: _code(s, m["code"], m["dsn"])),
    (r"250 when the delay is within our limit", lambda s, m: _delivered(s)),
    (r"(?P<code>\d{3}|\dxx) without sending (the body|data|the message)",
     lambda s, m: _code(s, m["code"]) or _no_body(s)),
    (r"(?P<code>\d{3}|\dxx)( upstream| to the client)?",
     lambda s, m: _delivered(s) if m["code"] in ("250", "2xx") else _code(s, m["code"])),
    (r"not a temporary .*", lambda s, m: _code(s, "5xx")),
    (r"not a permanent .*", lambda s, m: _code(s, "4xx")),
    (r"(a )?(temporary failure|deferred|defer|tempfail)( upstream| to the client)?",
     lambda s, m: _failure(s, "4")),
    (r"(a )?(permanent failure|bounced?|rejected|reject)( upstream| to the client)?",
     lambda s, m: _failure(s, "5")),
    (r"(the )?next MX( is tried)?", lambda s, m: _second(s)),
    (r"(delivered|goes on|go on|accepted|accept|delivery)( over| in| with| inside) TLS",
     lambda s, m: _delivered(s, tls=True)),
    (r"(delivered|accepted|accept|proceeds)( without one)?", lambda s, m: _delivered(s)),
    (r"go(es)? on( in (clear|plaintext)| without TLS)?", lambda s, m: _delivered(s)),
    (r"delivered in (clear|plaintext)|plaintext delivery",
     lambda s, m: _delivered(s) or ("delivered over TLS" if s.in_tls else None)),
    (r"not delivered|no delivery|nothing( is)? delivered|no mail (is )?delivered",
     lambda s, m: _not_delivered(s)),
    (r"no EHLO dialogue that ends in delivery", lambda s, m: _not_delivered(s)),
    (r"nothing is reported as delivered", lambda s, m: _rset_truth(s)),
    (r"(no|never) (?P<verb>MAIL|RCPT|DATA|STARTTLS|HELO|EHLO)( FROM| TO)?( is)? in (clear|plaintext)( text)?",
     lambda s, m: f"{m['verb']} in clear" if s.saw_in_clear(m["verb"].upper()) else None),
    (r"(no|never) (?P<verb>MAIL|RCPT|DATA|STARTTLS|HELO|EHLO)( FROM| TO)?( is)?( sent)?",
     lambda s, m: _not_sent(s, m["verb"].upper())),
    (r"no body( is)?( sent)?|send only the final dot", lambda s, m: _no_body(s)),
    (r"if DATA was pipelined( and answered 354)? with no good recipient",
     lambda s, m: _final_dot_only(s)),
    (r"report the RCPT errors",
     lambda s, m: next((f"a refusal is due, the client heard {r!r}" for r in s.heard.rcpt
                        if r[0] not in "45"), None)),
    (r"logged( as .*)?|recorded|noted", lambda s, m: _logged(s)),
    (r"any QUIT reply|none, ends the session|(closes|ends) the session", lambda s, m: _ended(s)),
    (r"a failing RSET closes the session", lambda s, m: _after_rset(s)),
    (r"(the )?result (is )?unchanged", lambda s, m: _same_as_unchanged(s)),
    (r"(HELO|plaintext|clear[- ]text) fallback (is )?allowed|HELO (is )?allowed",
     lambda s, m: _either_way(s)),
    (r"only (?P<code>\d{3}) counts as success",
     lambda s, m: _delivered(s) if s.subject == int(m["code"]) else _not_delivered(s)),
    (r"never silently sent as 7-bit|refused|down-converted by the client", lambda s, m: _as_decoded(s)),
    (r"nothing of it( is)? (parsed|believed)|injected .* (ignored|discarded|not believed)",
     lambda s, m: _not_sent(s, "MAIL")),
    (r"(the )?(attempt|handshake|session|connection)( has)? (fails|failed|ends|ended|is aborted|aborted)",
     lambda s, m: None if not s.in_tls else "a mail went through TLS"),
    (r"STARTTLS (is )?(owed|required)", lambda s, m: None if not s.saw_in_clear("MAIL")
     else "MAIL in clear"),
]]

CONDITIONS = [(re.compile(pattern + r"$", re.I), holds) for pattern, holds in [
    (r"STARTTLS (was|is) offered in a 250 reply", lambda s: s.offered),
    (r"STARTTLS (was|is) offered", lambda s: s.offered),
    (r"the (reply|code) is (?P<code>\d{3})", lambda s: s.subject == 250),
]]

_CODES = re.compile(r"^(?P<codes>\d[\dx]{2}(?:/\d[\dx]{2})*)(?: other than (?P<but>\d{3}))?: (?P<then>.+)$")


def _condition(seen, text):
    for pattern, holds in CONDITIONS:
        if pattern.match(text):
            return bool(holds(seen))
    raise NotUnderstood(f"the condition {text!r}")


def _piece(seen, text):
    for pattern, holds in PIECES:
        match = pattern.match(text)
        if match:
            return holds(seen, match)
    return NotImplemented


def _fits(codes, but, code):
    if but and code == int(but):
        return False
    return any(re.fullmatch(c.replace("x", r"\d"), str(code)) for c in codes.split("/"))


def _whole(seen, text):
    """A text that may be a piece as it stands, or parts that must all hold, or alternatives."""
    text = text.strip(" .")
    complaint = _piece(seen, text)
    if complaint is not NotImplemented:
        return complaint
    for separator, every in ((", or ", False), (", ", True), (" and ", True), (" or ", False)):
        if separator in text:
            parts = [p for p in text.split(separator) if p.strip()]
            complaints = [_whole(seen, p) for p in parts]
            if every:
                return next((c for c in complaints if c), None)
            return None if not all(complaints) else " / ".join(complaints)
    raise NotUnderstood(repr(text))


def _clause(seen, text):
    codes = _CODES.match(text)
    if codes:
        if not _fits(codes["codes"], codes["but"], seen.subject):
            return None
        return _clause(seen, codes["then"])
    if re.fullmatch(r"as require|the same|as above", text, re.I):
        if seen.again() is None:
            raise NotUnderstood(repr(text))
        return judge(seen, seen.again())
    return _whole(seen, text)


def _remarks(text):
    """Remarks taken out; those that say which kind of failure it is stay as words."""
    text = re.sub(r"\s*\((permanent)[^)]*\)", ", not a temporary error", text)
    text = re.sub(r"\s*\((temporary|transient)[^)]*\)", ", not a permanent error", text)
    return re.sub(r"\s*\([^)]*\)", "", text).strip()


def judge(seen, text):
    """None where everything that the text demands was seen; else what was not."""
    complaint = seen.untruth()
    if complaint:
        return complaint
    text = _remarks(" ".join(text.split()))
    only = re.match(r"(?P<then>.+?) only if (?P<condition>[^;]+)(?:; otherwise (?P<else>.+))?$", text)
    if only and not _CODES.match(text):
        if _condition(seen, only["condition"]):
            then = only["then"]
            # What is done where TLS is owed and offered is done over TLS.
            return judge(seen, then + " over TLS" if re.fullmatch("goes on", then) else then)
        if only["else"] is None:
            return _not_delivered(seen)
        text = only["else"]
    for clause in text.split(";"):
        if clause.strip():
            complaint = _clause(seen, clause.strip())
            if complaint:
                return complaint
    return None
