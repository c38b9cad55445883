# SPDX-License-Identifier: Apache-2.0
"""The sets of external vectors that this version runs; see ../README.md."""
