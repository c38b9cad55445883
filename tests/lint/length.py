#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""No source file is longer than 550 lines: a longer one hides a missing noun."""
from tree import Lint, files, is_code, text

MAX = 550

lint = Lint("length")
for path in files():
    if is_code(path):
        count = text(path).count("\n")
        if count > MAX:
            lint.fail(f"{count} lines, at most {MAX}", path, count)
lint.end()
