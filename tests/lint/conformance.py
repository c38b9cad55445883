#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""docs/conformance.md has every item once, and each names tests that exist, or says "not yet".

A proof is written as `tests/...::name` (a test function), or as the path of a lint or a runner.
"""
import re

from tree import ROOT, Lint, text

# group: number of items
ITEMS = {"MX": 10, "TLS": 12, "CERT": 9, "STS": 13, "DANE": 8, "IN": 9, "OUT": 12, "RCPT": 6,
         "RPT": 3, "LEG": 2, "OPS": 4}
DOCUMENT = "docs/conformance.md"
PROOF = re.compile(r"`(tests/[A-Za-z0-9_./-]+)(?:::([A-Za-z0-9_]+))?`")


def check_proof(lint, document, line, path, name):
    target = ROOT / path
    if not target.exists():
        lint.fail(f"{path} does not exist", document, line)
        return
    if name is None:
        if target.suffix in {".c", ".py"} and "/lint/" not in path:
            lint.fail(f"{path}: which test in it?", document, line)
        return
    body = text(target)
    if target.suffix == ".py":
        found = re.search(rf"^\s*(async )?def {name}\(", body, re.M)
    else:
        # The function, and that cmocka is told of it: NAME alone in a macro's parentheses.
        found = re.search(rf"^static void {name}\(void \*\*", body, re.M) and \
            re.search(rf"\w\(\s*{name}\s*[,)]", body)
    if not found:
        lint.fail(f"{path} has no test {name}", document, line)


def main():
    lint = Lint("conformance")
    if not lint.need(DOCUMENT):
        lint.end()
    document = ROOT / DOCUMENT
    seen = {}
    for number, line in enumerate(text(document).split("\n"), 1):
        row = re.match(r"\| *(C-[A-Z]+-\d\d) *\|(.*)\|(.*)\| *$", line)
        if not row:
            if re.match(r"\| *C-", line):
                lint.fail("a row that is not `| C-... | promise | proof |`", document, number)
            continue
        item, promise, proof = (part.strip() for part in row.groups())
        if item in seen:
            lint.fail(f"{item} stands twice", document, number)
        seen[item] = number
        if not promise:
            lint.fail(f"{item} has no text", document, number)
        proofs = PROOF.findall(proof)
        if not proofs and "not yet" not in proof:
            lint.fail(f'{item} names no test and does not say "not yet"', document, number)
        for path, name in proofs:
            check_proof(lint, document, number, path, name or None)
    due = {f"C-{group}-{n:02}" for group, count in ITEMS.items() for n in range(1, count + 1)}
    for item in sorted(due - set(seen)):
        lint.fail(f"{item} is missing", document)
    for item in sorted(set(seen) - due):
        lint.fail(f"{item} is no item", document, seen[item])
    lint.end()


main()
