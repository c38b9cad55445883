#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/log.md explains every reason of proxy/policy/reason.def, with the same columns.

`tests/lint/reasons.py --table` prints the table as it should stand in the document.
"""
import re
import sys

from tree import ROOT, Lint, text

DEFINITION = "proxy/policy/reason.def"
STAGES = "proxy/policy/stage.h"
DOCUMENT = "docs/log.md"
STRING = r'"(?:[^"\\]|\\.)*"'
ROW = re.compile(rf'^REASON\(\s*(\w+)\s*,\s*({STRING})\s*,\s*(\w+)\s*,\s*(\d+)\s*,\s*({STRING})\s*,'
                 rf'\s*(NULL|{STRING})\s*,\s*((?:{STRING}\s*)+),\s*((?:{STRING}\s*)+)\)', re.M)


def joined(literals):
    """Adjacent C string literals as one text."""
    return "".join(s[1:-1] for s in re.findall(STRING, literals)).replace('\\"', '"').replace(
        "\\\\", "\\")


def wanted_rows():
    stages = dict(re.findall(r'X\((\w+), "([a-z-]+)"\)', text(ROOT / STAGES)))
    for ident, token, stage, code, enh, rpt, what, hint in ROW.findall(text(ROOT / DEFINITION)):
        yield joined(token), (f"| `{joined(token)}` | {stages.get(stage, ident)} | {code} {joined(enh)} "
                              f"| {joined(rpt) if rpt != 'NULL' else '-'} | {joined(what)} "
                              f"| {joined(hint) or '-'} |")


def main():
    lint = Lint("reasons")
    if not all([lint.need(DEFINITION), lint.need(STAGES), lint.need(DOCUMENT)]):
        lint.end()
    wanted = dict(wanted_rows())
    if sys.argv[1:] == ["--table"]:
        print("| reason | stage | reply | TLSRPT type | what happened | hint |\n|---|---|---|---|---|---|")
        print("\n".join(wanted.values()))
        return
    declared = len(re.findall(r"^REASON\(", text(ROOT / DEFINITION), re.M))
    if declared != len(wanted):
        lint.fail(f"{declared} reasons, but {len(wanted)} that can be read", ROOT / DEFINITION)
    section, seen = "", {}
    for number, line in enumerate(text(ROOT / DOCUMENT).split("\n"), 1):
        if line.startswith("## "):
            section = line[3:]
        row = re.match(r"\| `([a-z0-9-]+)` \|", line)
        if section != "Reasons" or not row:
            continue
        token = row.group(1)
        if token in seen:
            lint.fail(f"{token} stands twice", ROOT / DOCUMENT, number)
        elif token not in wanted:
            lint.fail(f"{token} is no reason", ROOT / DOCUMENT, number)
        elif line.strip() != wanted[token]:
            lint.fail(f"the row of {token} differs from {DEFINITION}; it should be: {wanted[token]}",
                      ROOT / DOCUMENT, number)
        seen[token] = number
    for token in wanted:
        if token not in seen:
            lint.fail(f"{token} is not explained", ROOT / DOCUMENT)
    lint.end()


main()
