#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every source file says its licence in its first lines; LICENSE is the Apache-2.0 text."""
from tree import ROOT, Lint, files, is_code, text

LINE = "SPDX-License-" + "Identifier: Apache-2.0"

lint = Lint("licence")
for path in files():
    # An empty __init__.py holds nothing that could be licensed.
    if not is_code(path) or not path.stat().st_size:
        continue
    if path.suffix == ".cmake" or path.name == "CMakeLists.txt":
        continue  # build descriptions: LICENSE covers them, their first line says what they are for
    if LINE not in "\n".join(text(path).split("\n")[:3]):
        lint.fail("no SPDX line in the first three lines", path, 1)
if lint.need("LICENSE") and "Apache License" not in text(ROOT / "LICENSE")[:300]:
    lint.fail("this is not the Apache License", ROOT / "LICENSE", 1)
lint.end()
