#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every recorded mutant has a whole head, names a test that is there, and applies without fuzz."""
import re
import subprocess

from tree import ROOT, Lint, text

HEAD = re.compile(r"Mutant: \S.*\nRule: \S.*\nTest: (unit|integration) (\S.*)\n\n--- a/")


def test_is_there(kind, name):
    if kind == "unit":
        layer, _, noun = name.partition("_test_")
        return any(ROOT.glob(f"tests/unit/{layer}/test_{noun}.c"))
    file, _, test = name.partition("::")
    path = ROOT / "tests" / "integration" / file
    return path.is_file() and f"def {test.partition('[')[0]}(" in text(path)


def main():
    lint = Lint("mutants")
    for path in sorted((ROOT / "tests" / "mutants").glob("*.patch")):
        head = HEAD.match(text(path))
        if not head:
            lint.fail("the head must be the lines Mutant, Rule and Test, a blank line, and the patch", path, 1)
            continue
        if not test_is_there(*head.groups()):
            lint.fail(f"there is no test {head.group(2)}", path, 3)
        done = subprocess.run(["patch", "-p1", "--fuzz=0", "--batch", "--dry-run", "--silent", "-i", str(path)],
                              cwd=ROOT, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lint.fail("does not apply any more: " + " ".join(done.stdout.split()), path, 1)
    lint.end()


main()
