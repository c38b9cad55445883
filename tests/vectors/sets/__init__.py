# SPDX-License-Identifier: Apache-2.0
"""The sets of external vectors that this version runs; see ../README.md."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "integration"))   # the lab
