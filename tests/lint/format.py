#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""C files are as clang-format 14 writes them with the tree's .clang-format."""
import re
import subprocess

from tree import ROOT, Lint, files

lint = Lint("format")
sources = [p for p in files() if p.suffix in {".c", ".h"}]
if sources and lint.need(".clang-format"):
    run = subprocess.run(["clang-format", "--dry-run", "-Werror", "--style=file"]
                         + [str(p) for p in sources],
                         cwd=ROOT, capture_output=True, text=True, check=False)
    first = {}
    for match in re.finditer(r"^(.+?):(\d+):\d+: error: code should be clang-formatted",
                             run.stderr, re.M):
        first.setdefault(match.group(1), []).append(int(match.group(2)))
    for path, lines in sorted(first.items()):
        lint.fail(f"{len(lines)} places are not formatted: clang-format -i", path, lines[0])
    if run.returncode and not first:
        lint.fail("clang-format failed: " + run.stderr.strip()[:200])
lint.end()
