# SPDX-License-Identifier: Apache-2.0
"""smtp-wire: replies, framing of the message and LIMITS, through smtp-wire-tool."""

import re

from .common import BUILD, LineTool

# Read sizes at which every case is repeated, beside whole and byte by byte, which the tool does itself.
SPLITS = (2, 3, 5, 7)


def check_reply(tool, case):
    got = tool.ask({"op": "reply", "raw": case["raw"]})
    if got["status"] == "SPLIT-DIFFERS":
        return "the answer depends on the size of the reads"
    status = got["status"]
    if status == "more":   # the connection ends inside a reply, or before any
        status = "protocol-error"
    if status != case["expect"]:
        return f"{case['expect']} is due, it is {got}"
    if status == "protocol-error":
        # Always temporary: an attempt that ends in a protocol error is a 451 (reason.def).
        return None if case.get("transient", True) else "a protocol error can only be temporary"
    for key in ("code", "lines", "text"):
        if key in case and got[key] != case[key]:
            return f"{key} {case[key]!r} is due, it is {got[key]!r}"
    if "dsn" in case and (got["dsn"] or None) != (case["dsn"] or None):
        return f"enhanced code {case['dsn']} is due, it is {got['dsn']}"
    if "transient" in case and (got["code"] // 100 == 4) != case["transient"]:
        return f"transient {case['transient']} is due for {got['code']}"
    return None


def clean(content):
    """Without bare CR, bare LF and NUL."""
    return not re.search(r"\r(?!\n)|(?<!\r)\n|\0", content)


def _framed(raw):
    """Where <CRLF>.<CRLF> first ends the data; the data begins as if after a CRLF."""
    return ("\r\n" + raw).find("\r\n.\r\n") + 3


def check_data_in(tool, case):
    raw, expect = case["raw"], case["expect"]
    answers = {}
    for mode in ("reject", "normalise"):
        for split in (0, *SPLITS):
            got = tool.ask({"op": "data-in", "raw": raw, "mode": mode, "split": split})
            if got != answers.setdefault(mode, got):
                return f"{mode}: reads of {split} bytes change the answer"
    reject, normalise = answers["reject"], answers["normalise"]
    for got in (reject, normalise):
        if got["status"] == "SPLIT-DIFFERS":
            return "the answer depends on the size of the reads"
        if got["status"] == "message" and not clean(got["content"]):
            return f"bare line ends or NUL get through: {got['content']!r}"
        if got["status"] in ("message", "reject") and got["rest"] != raw[_framed(raw):]:
            return f"the end was found elsewhere than at CRLF.CRLF, {got['rest']!r} is left"
    if expect == "incomplete":
        wrong = [m for m, got in answers.items() if got["status"] != "incomplete"]
        return f"{wrong[0]}: an end was found where there is none" if wrong else None
    if expect == "message":
        for mode, got in answers.items():
            if got["status"] != "message" or got["content"] != case["content"]:
                return f"{mode}: {case['content']!r} is due, it is {got}"
        return None
    if expect in ("message-or-reject", "reject-or-normalise", "reject", "normalise"):
        if reject["status"] == "incomplete" or normalise["status"] != "message":
            return f"neither refused nor made clean: {reject}, {normalise}"
        if expect != "message-or-reject" and reject["status"] != "reject":
            return f"mode reject let it through: {reject}"
        return None
    return f"expectation not understood: {expect!r}"


def check_data_out(tool, case):
    message, expect = case["message"], case["expect"]
    answers = {}
    for mode in ("reject", "normalise"):
        for split in (0, *SPLITS):
            got = tool.ask({"op": "data-out", "message": message, "mode": mode, "split": split})
            if got != answers.setdefault(mode, got):
                return f"{mode}: reads of {split} bytes change the answer"
    if expect == "wire":
        for mode, got in answers.items():
            if got.get("wire") != case["wire"]:
                return f"{mode}: {case['wire']!r} is due, it is {got}"
        return None
    if expect == "never sent as is":
        if answers["reject"]["status"] != "reject":
            return f"mode reject sends it: {answers['reject']}"
        got = answers["normalise"]
        if got["status"] == "wire":
            wire = got["wire"]
            if not clean(wire) or not wire.endswith("\r\n.\r\n"):
                return f"bare line ends on the wire: {wire!r}"
            if ("\r\n" + wire).find("\r\n.\r\n") + 3 != len(wire):
                return f"the end of data stands twice: {wire!r}"
        return None
    return f"expectation not understood: {expect!r}"


def check_limits(tool, case):
    got = tool.ask({"op": "limits", "args": case["args"]})
    for key in ("limits", "mailmax", "rcptmax", "rcptdomainmax"):
        if key in case and got[key] != case[key]:
            return f"{key} {case[key]!r} is due, it is {got[key]!r}"
    return None


def check_split(tool, case, all_cases):
    """`repeat every case above with reads of N byte(s)`."""
    size = re.search(r"reads of (\d+) byte", case.get("note", ""))
    if case.get("expect") != "same result" or not size:
        return "not understood: which read size?"
    size = int(size.group(1))
    for other in all_cases:
        for op, field in (("data-in", "raw"), ("data-out", "message")):
            if field not in other:
                continue
            for mode in ("reject", "normalise"):
                request = {"op": op, field: other[field], "mode": mode}
                if tool.ask(request) != tool.ask({**request, "split": size}):
                    return f"{other['id']}, {mode}: another answer with reads of {size} bytes"
    return None


def check(tool, case, all_cases):
    if "args" in case:
        return check_limits(tool, case)
    if case.get("direction") == "both":
        return check_split(tool, case, all_cases)
    if case.get("direction") == "from client" or ("raw" in case and "direction" in case):
        return check_data_in(tool, case)
    if "message" in case:
        return check_data_out(tool, case)
    if "raw" in case:
        return check_reply(tool, case)
    return f"not understood: a case with the fields {', '.join(sorted(case))}"


def run(wire_cases, results):
    with LineTool(BUILD / "tests/smtp-wire-tool") as tool:
        for case in wire_cases:
            try:
                why = check(tool, case, wire_cases)
            except (RuntimeError, KeyError, TypeError) as e:
                why = f"{type(e).__name__}: {e}"
            results.report(case, why)
