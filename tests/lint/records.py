#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/log.md has every event that is logged, and under it every field.

Events are headings `### event`, fields the first column of the table below.  The fields of "attempt" and
"result" are also held in the other direction: a documented field is one that the code writes.
"""
import re

from tree import ROOT, Lint, named, text

DOCUMENT = "docs/log.md"
EVENT = re.compile(r'(?:record_new|own_record|tell_trouble|log_lines)\((?:[\w>.-]+, )?"([a-z-]+)"')
FIELD = re.compile(r'\b(?:record_(?:str|cstr|int|bool|list|strf)|put_\w+)\(\s*\w+,\s*"(\w+)"')
COMMON = {"time", "event", "severity"}
EXACT = ("proxy/relay/attempt.c", ("attempt", "result"))


def documented():
    """event -> {field: line}"""
    events, current = {}, None
    for number, line in enumerate(text(ROOT / DOCUMENT).split("\n"), 1):
        if line.startswith("## "):
            current = None
        heading = re.match(r"### `([a-z-]+)`", line)
        if heading:
            current = events.setdefault(heading.group(1), {})
        for field in re.findall(r"`(\w+)`", line.split("|")[1]) if (
                current is not None and line.startswith("| `")) else []:
            current[field] = number
    return events


def main():
    lint = Lint("records")
    if not lint.need(DOCUMENT):
        lint.end()
    events = documented()
    every_field = COMMON.union(*events.values()) if events else COMMON
    written_events, exact = set(), set()
    for path in sorted((ROOT / "proxy").rglob("*.c")) + sorted((ROOT / "certs").glob("*.c")):
        body = text(path)
        for match in EVENT.finditer(body):
            written_events.add(match.group(1))
            if match.group(1) not in events:
                lint.fail(f"the event {match.group(1)} is not documented", path,
                          body.count("\n", 0, match.start()) + 1)
        for match in FIELD.finditer(body):
            if named(path) == EXACT[0]:
                exact.add(match.group(1))
            if match.group(1) not in every_field:
                lint.fail(f"the field {match.group(1)} is not documented", path,
                          body.count("\n", 0, match.start()) + 1)
    for event in sorted(set(events) - written_events):
        lint.fail(f"nobody logs the event {event}", ROOT / DOCUMENT)
    for event in EXACT[1]:
        for field, number in events.get(event, {}).items():
            if field not in exact:
                lint.fail(f"nobody writes the field {field} of {event}", ROOT / DOCUMENT, number)
    lint.end()


main()
