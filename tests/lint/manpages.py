#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The man pages are there and mandoc has nothing to say against them."""
import re
import subprocess

from tree import ROOT, Lint

lint = Lint("manpages")
for name in ("docs/man/tlsmend.8", "docs/man/tlsmend.conf.5"):
    if not lint.need(name):
        continue
    run = subprocess.run(["mandoc", "-Tlint", "-Wwarning", name], cwd=ROOT, capture_output=True,
                         text=True, check=False)
    for line in run.stdout.splitlines():
        match = re.match(r"mandoc: [^:]+:(\d+):\d+: (.*)", line)
        lint.fail(match.group(2) if match else line, ROOT / name, match.group(1) if match else None)
lint.end()
