# SPDX-License-Identifier: Apache-2.0
"""Whether the programs are there and know what the runner asks of them: said once, before the first case."""

import subprocess
import sys
from pathlib import Path

from lab.tlsmend import Tlsmend, program

from .common import BUILD
from .stage import QUICK

# Every setting that a set has, in one configuration.
_SETTINGS = {**QUICK, "tls": {"level": "dane", "half_dane": True}}


def _unfit(why):
    sys.exit(f"tests/vectors/{Path(sys.argv[0]).name}: {why}")


def need_tool(name):
    if not (BUILD / "tests" / name).is_file():
        _unfit(f"{BUILD}/tests/{name} is not there: build it, or set TLSMEND_BUILD")


def need_daemon(lab):
    """`tlsmend check` on the runner's own configuration; its first complaint where it is refused."""
    if not program().is_file():
        _unfit(f"{program()} is not there: build it, or set TLSMEND_BUILD or TLSMEND_BIN")
    made = Tlsmend(lab, lab.new_directory("fit"), _SETTINGS, start=False)
    try:
        done = subprocess.run(lab.net.client.command([str(program()), "check", "-c", str(made.config_path)]),
                              stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
                              timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired) as e:
        _unfit(f"{program()} cannot be run: {e}")
    if done.returncode:
        # The lines say FILE:LINE; the file goes away with the run.
        said = next(iter(done.stderr.splitlines()), f"exit code {done.returncode}, not a word")
        _unfit(f"{program()} is too old or not right for these vectors, it refuses the runner's configuration: "
               + said.replace(f"{made.config_path}:", "line "))
