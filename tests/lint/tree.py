# SPDX-License-Identifier: Apache-2.0
"""What the lint scripts share: the files of the tree and the form of the answers.

A lint is an executable of this folder.  It prints `ok NAME`, or one line `FAIL NAME: why (file:line)`
for each violation, and exits 0 or 1.  LINT_ROOT names another tree, LINT_BUILD another release build
(tests/lint/selftest uses both).
"""
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("LINT_ROOT") or Path(__file__).resolve().parents[2])
BUILD = Path(os.environ.get("LINT_BUILD") or ROOT / "build/release")

# What no lint looks at: built files, downloaded servers, editors' and tools' leftovers.
IGNORED = {".git", "build", ".cache", "__pycache__", ".pytest_cache", ".vscode", ".idea"}


def files():
    """Every file of the project: what git tracks or would track, else a walk of the folders."""
    listing = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z", "-co", "--exclude-standard"],
        capture_output=True, check=False)
    top = subprocess.run(["git", "-C", str(ROOT), "rev-parse", "--show-toplevel"],
                         capture_output=True, text=True, check=False).stdout.strip()
    if listing.returncode == 0 and top and Path(top).resolve() == ROOT.resolve():
        paths = [ROOT / name for name in listing.stdout.decode().split("\0") if name]
    else:
        paths = []
        for folder, names, found in os.walk(ROOT):
            names[:] = [n for n in names if n not in IGNORED]
            paths += [Path(folder) / n for n in found]
    return sorted(p for p in paths
                  if p.is_file() and not IGNORED & set(p.relative_to(ROOT).parts[:-1]))


def named(path):
    """The path as people read it: from the root of the tree."""
    try:
        return str(Path(path).relative_to(ROOT))
    except ValueError:
        return str(path)


def shebang(path):
    """The first line of a file when it begins with #!, else ''."""
    with open(path, "rb") as f:
        line = f.readline(200)
    return line.decode("ascii", "replace").strip() if line.startswith(b"#!") else ""


def is_code(path):
    """A file that people write code in, by its suffix or its #! line."""
    return (path.suffix in {".c", ".h", ".def", ".py", ".sh", ".cmake"}
            or path.name == "CMakeLists.txt" or (not path.suffix and shebang(path) != ""))


def text(path):
    return Path(path).read_text(encoding="utf-8", errors="replace")


class Lint:
    """Collects violations of one invariant."""

    def __init__(self, name):
        self.name = name
        self.failed = 0

    def fail(self, why, path=None, line=None):
        where = ""
        if path is not None:
            where = f" ({named(path)}{':' + str(line) if line else ''})"
        print(f"FAIL {self.name}: {why}{where}")
        self.failed += 1

    def need(self, path):
        """A file that the invariant speaks of; its absence is a violation."""
        path = ROOT / path
        if path.is_file():
            return True
        self.fail("the file is missing", path)
        return False

    def end(self):
        if not self.failed:
            print(f"ok {self.name}")
        sys.exit(1 if self.failed else 0)
