# SPDX-License-Identifier: Apache-2.0
"""The integration lab: a small internet on one machine.  See tests/integration/README.md."""
