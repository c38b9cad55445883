#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Shell scripts pass shellcheck and stop at errors; scripts can be run, and nothing else has the run
bit; Python scripts name Debian's interpreter, whose packages they need."""
import ast
import os
import re
import subprocess

from tree import Lint, files, shebang, text

lint = Lint("scripts")
for path in files():
    first = shebang(path)
    executable = os.access(path, os.X_OK)
    if first and not executable:
        lint.fail("a script without the run bit", path)
    if executable and not first:
        lint.fail("the run bit on something that is no script", path)
    if re.search(r"\b(ba)?sh\b", first) or path.suffix == ".sh":
        if not re.search(r"^set -[a-z]*e|^set -[a-z]*u", text(path), re.M):
            lint.fail("the script sets neither -e nor -u", path, 1)
        run = subprocess.run(["shellcheck", "-x", "-f", "gcc", str(path)], capture_output=True,
                             text=True, check=False, cwd=path.parent)
        for line in run.stdout.splitlines():
            match = re.match(r".*?:(\d+):\d+: \w+: (.*)", line)
            if match:
                lint.fail(match.group(2), path, match.group(1))
        if run.returncode and not run.stdout:
            lint.fail("shellcheck failed: " + run.stderr.strip()[:200], path)
    if "python" in first and first != "#!/usr/bin/python3":
        lint.fail(f"{first}: another python3 may stand first in PATH; write #!/usr/bin/python3", path, 1)
    if "python" in first or path.suffix == ".py":
        try:
            ast.parse(text(path))
        except SyntaxError as e:
            lint.fail(f"Python syntax: {e.msg}", path, e.lineno)
lint.end()
