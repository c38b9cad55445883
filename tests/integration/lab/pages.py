# SPDX-License-Identifier: Apache-2.0
"""The configuration lines of docs/clients/: the lab's legacy MTAs are set with what stands there.

    <!-- tested: main.cf -->
    ```
    relayhost = [127.0.0.1]:2525
    ```
"""

import pathlib
import re

CLIENTS = pathlib.Path(__file__).resolve().parents[3] / "docs/clients"
_BLOCK = re.compile(r"^<!-- tested: (\S+) -->\n```[^\n]*\n(.*?)^```$", re.M | re.S)


def lines(page, name):
    """The block of that name on docs/clients/PAGE.md, exactly as it stands there."""
    path = CLIENTS / f"{page}.md"
    blocks = _BLOCK.findall(path.read_text(encoding="utf-8"))
    found = [text for marker, text in blocks if marker == name]
    if len(found) != 1:
        raise AssertionError(f"{path}: {len(found)} blocks \"tested: {name}\", one is due")
    return found[0]
