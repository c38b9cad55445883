#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Nothing is left behind in the tree: no marks of unfinished work, no paths of one machine, no hosts
of package archives, no test that may be skipped."""
import re

from tree import Lint, files, text

# Spelt in pieces, so that this file does not find itself.
RULES = [
    (re.compile(r"\b(" + "TO" + "DO|FIX" + r"ME|HA" + r"CK|X{3})\b"), "a mark of unfinished work", None),
    (re.compile(r"\bnot " + "implemented" + r"\b"), "unfinished work", {".c", ".h"}),
    (re.compile(r"(^|[\s\"'(=])/(wo" + r"rk|home|fa" + r"rm|Users)/[A-Za-z.]"), "a path of one machine", None),
    (re.compile(r"\b(deb|security|snapshot)\.deb" + r"ian\.org|archive\.ubu" + r"ntu|registry\.np" +
                r"mjs|pypi\.o" + r"rg|crates\.i" + "o"), "a host of a package archive", None),
    (re.compile(r"pytest\.(sk" + r"ip|mark\.(sk" + r"ip|xf" + r"ail))|importor" + r"skip|cmocka_sk" +
                r"ip|\bsk" + r"ip\(\)|return 7" + "7;"),
     "a test that can be left out", {".py", ".c"}),
    (re.compile(r"[ \t]+$"), "blanks at the end of the line",
     {".c", ".h", ".py", ".def", ".sh", ".cmake", ".conf"}),
    (re.compile(r"^\t"), "a tab", {".c", ".h", ".py"}),
]
# A corpus is input for parsers; SMTP's 502 really is called that.
EXEMPT = re.compile(r"(^|/)(corpus|data)/|LICENSE$")
SMTP_502 = re.compile(r"50[24]|Command ")

lint = Lint("words")
for path in files():
    if EXEMPT.search(str(path)):
        continue
    raw = path.read_bytes()
    if b"\0" in raw:
        continue
    for number, line in enumerate(text(path).split("\n"), 1):
        for rule, why, suffixes in RULES:
            if suffixes is not None and path.suffix not in suffixes:
                continue
            found = rule.search(line)
            if found and not (why == "unfinished work" and SMTP_502.search(line)):
                lint.fail(f"{why}: {found.group(0).strip()!r}", path, number)
    if raw and not raw.endswith(b"\n") and path.suffix not in {".json", ".der", ".bin", ""}:
        lint.fail("no newline at the end of the file", path)
lint.end()
