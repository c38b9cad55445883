# SPDX-License-Identifier: Apache-2.0
"""What the sets share: reading cases, driving a tool that speaks JSON lines, keeping the results."""

import json
import os
import select
import subprocess
import threading
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
BUILD = Path(os.environ.get("TLSMEND_BUILD") or ROOT / "build/release").resolve()
# The lab's daemon is of the same build, unless $TLSMEND_BIN says another.
os.environ["TLSMEND_BIN"] = os.environ.get("TLSMEND_BIN") or str(BUILD / "tlsmend")


def cases(path):
    """The cases of a file of JSON lines."""
    for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
        if line.strip():
            case = json.loads(line)
            case.setdefault("id", f"{path.name}:{number}")
            yield case


def expectation(case):
    """Whether the case says what is expected, in any of its fields."""
    return any(k.startswith("expect") for k in case)


class Results:
    """Counts cases and prints the failing ones, a line each."""

    def __init__(self):
        self.passed = self.failed = 0
        self._decided = {}
        self._lock = threading.Lock()

    def report(self, case, why=None, decided=None):
        """why: None for a case that holds.  decided: the written decision that was applied."""
        with self._lock:
            if decided:
                self._decided.setdefault(decided, []).append(case["id"])
            if why is None:
                self.passed += 1
            else:
                self.failed += 1
                print(f"FAIL {case['id']}: {' '.join(str(why).split())}", flush=True)

    def print_decisions(self):
        for decided, ids in sorted(self._decided.items()):
            print(f"decided: {decided} ({len(ids)} cases: {', '.join(sorted(ids)[:6])}"
                  f"{', ...' if len(ids) > 6 else ''})")


class LineTool:
    """A program that answers each line of JSON with one.  One that dies or hangs is started anew."""

    patience = 20

    def __init__(self, *argv):
        self.name = Path(argv[0]).name
        self._argv = [str(a) for a in argv]
        self._lock = threading.Lock()
        self._start()

    def _start(self):
        self._process = subprocess.Popen(self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         text=True)

    def _exchange(self, request):
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        if not select.select([self._process.stdout], [], [], self.patience)[0]:
            self._process.kill()
            raise RuntimeError(f"{self.name} gave no answer within {self.patience} s")
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.name} died (exit code {self._process.wait(5)})")
        return json.loads(line)

    def ask(self, request):
        with self._lock:
            try:
                return self._exchange(request)
            except (OSError, RuntimeError) as e:
                self._process.kill()
                self._process.wait(5)
                self._start()
                raise RuntimeError(f"{e}; the request was {json.dumps(request)[:300]}") from None

    def close(self):
        self._process.stdin.close()
        return self._process.wait(20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()
