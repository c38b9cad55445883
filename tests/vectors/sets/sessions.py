# SPDX-License-Identifier: Apache-2.0
"""smtp-wire sessions: a scripted MX, and the answer that the client is owed; through play-session."""

import re

from . import words

PHASES = {"CONNECT": "greeting", "GREETING": "greeting", "BANNER": "greeting", "EHLO": "ehlo",
          "HELO": "helo", "STARTTLS": "starttls", "MAIL": "mail", "RCPT": "rcpt", "DATA": "data",
          ".": "final", "DOT": "final", "EOD": "final", "RSET": "rset", "NOOP": "noop", "QUIT": "quit"}
CLIENTS = ("smtp", "lmtp", "prdr")
KEYWORDS = {"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "SIZE", "SMTPUTF8", "STARTTLS", "DSN",
            "CHUNKING", "AUTH", "REQUIRETLS", "LIMITS", "VRFY", "ETRN", "HELP", "XFORWARD"}


class NotUnderstood(Exception):
    """A script that no rule knows."""


def _steps(answer):
    """What the server does, in the words of the table, as steps of play-session."""
    text = re.sub(r"\s*\([^)]*\)", "", answer).strip()
    if answer.strip() == "(close)" or re.fullmatch(r"(connection )?(dropped|closed|lost)", text):
        return [{"close": True}]
    if re.fullmatch(r"(connection )?reset", text):
        return [{"reset": True}]
    delay = re.fullmatch(r"(\d+) ?s delay", text)
    if delay:
        return [{"wait": int(delay[1])}, {"honest": True}]
    if re.fullmatch(r"silence|no answer|hangs?", text):
        return [{"silence": True}]
    dropped = re.fullmatch(r"(\d{3})( .*)? and (dropped|closed)", text)
    if dropped:
        return [_say(dropped[1] + (dropped[2] or "")), {"close": True}]
    if re.fullmatch(r"[245]xx", text):
        return [_say({"2": "250 2.0.0 ok", "4": "450 4.3.0 not now", "5": "500 5.3.0 no"}[text[0]])]
    if re.match(r"\d{3}", text):
        return [_say(text)]
    raise NotUnderstood(f"the server's {answer!r}")


def _say(text):
    """A reply; a code without text stands for any reply of that code."""
    lines = text.split("\r\n")
    if len(lines) == 1 and re.fullmatch(r"\d{3}", text):
        lines = [text + (" go on" if text[0] == "3" else " so it is")]
    return {"send": "\r\n".join(lines) + "\r\n"}


def _ehlo(answer, offers):
    """The offers of a 250 to EHLO; None for another reply.  Scripts leave out the line with the name."""
    lines = [re.match(r"(\d{3})[ -]?(.*)", line) for line in answer.split("\r\n")]
    if not all(lines) or any(m[1] != "250" for m in lines):
        return None
    named = []
    for match in lines:
        for missing in re.findall(r"\(no ([A-Z0-9]+)\)", match[2]):
            offers = [o for o in offers if o.split()[0] != missing]
        rest = re.sub(r"\s*\([^)]*\)", "", match[2]).strip()
        if rest.split(" ")[0].upper() in KEYWORDS:
            named.append(rest)
    return named if named else offers


def request_of(case):
    """The case as a request to play-session."""
    script = [(command.strip(), answer) for command, answer in case["mx_script"]]
    # What a server of our time offers, without pipelining unless the case is about smtp-sink's, which has it.
    offers = ["8BITMIME", "ENHANCEDSTATUSCODES"] + (["PIPELINING"] if "tool" in case else [])
    replies, previous = {}, None
    for command, answer in script:
        if command == "(close)":
            if previous is None:
                raise NotUnderstood("(close) before anything")
            replies[previous][-1].append({"close": True})
            continue
        phase = PHASES.get(command.split(" ")[0].upper())
        if phase is None:
            raise NotUnderstood(f"the command {command!r}")
        if phase == "ehlo":
            found = _ehlo(answer, offers)
            if found is not None:
                offers = found
                previous = phase
                replies.setdefault(phase, []).append([{"honest": True}])
                continue
        replies.setdefault(phase, []).append(_steps(answer))
        previous = phase
    if "ehlo" in replies and "helo" not in replies and "tool" in case:
        # The grid is about the first command of the session, whatever its name.
        replies["helo"] = replies["ehlo"]
    return {"id": case["id"], "level": "may",
            "mx": {"starttls": False, "replies": replies, "capabilities": offers},
            "transactions": _client(case)}


def _client(case):
    """What the sender asks for."""
    said = [c.strip() for c in case["client"]]
    transaction = {"recipients": []}
    count = 1
    for word in said:
        recipient = re.fullmatch(r"RCPT(?: (?:TO:)?<?([\w.-]+)(?:@[\w.-]+)?>?)?", word)
        several = re.fullmatch(r"(two|three|\d+) transactions", word)
        if recipient:
            transaction["recipients"].append(recipient[1] or f"user{len(transaction['recipients'])}")
        elif several:
            count = {"two": 2, "three": 3}.get(several[1]) or int(several[1])
        elif re.fullmatch(r"8-bit (body|message)", word):
            transaction["body"] = "Gr\u00fc\u00dfe\r\n"
            transaction["mail_params"] = " BODY=8BITMIME"
        elif re.match(r"MAIL( FROM)?\b", word):
            params = re.findall(r"\b(SMTPUTF8|BODY=\w+|SIZE=\d+|REQUIRETLS)\b", word)
            transaction["mail_params"] = "".join(" " + p for p in params)
        elif word not in ("DATA", ".", "EHLO", "HELO", "QUIT", "CONNECT"):
            raise NotUnderstood(f"the client's {word!r}")
    transaction["recipients"] = transaction["recipients"] or ["userx"]
    size = re.search(r"message is (\d+)", str(case["mx_script"]))
    if size:
        # The limit stands in EHLO, so the client has to say how much it has.
        transaction.update(size=int(size[1]), declare_size=True)
    return [dict(transaction) for _ in range(count)]


def seconds(case):
    """How long the case takes at least: the slow ones begin first."""
    return sum(int(n) for n in re.findall(r"(\d+) ?s delay", str(case["mx_script"])))


def check(case, player):
    """Whatever the client speaks towards us, it is owed the same."""
    request = request_of(case)
    for client in CLIENTS:
        seen = words.Seen(player.play({**request, "client": client}))
        complaint = words.judge(seen, case["expect_upstream"])
        if complaint:
            return f"{client}: {complaint}"
    return None
