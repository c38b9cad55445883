#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The presets that the documents and tests/run speak of exist, with the sanitizers they promise."""
import json
import subprocess

from tree import ROOT, Lint

PROMISED = {"release": "", "debug": "", "watched": "", "clang": "", "asan": "address,undefined", "tsan": "thread",
            "fuzz": "address,undefined"}

lint = Lint("presets")
if lint.need("CMakePresets.json"):
    path = ROOT / "CMakePresets.json"
    try:
        data = json.loads(path.read_text())
    except ValueError as e:
        lint.fail(f"no JSON: {e}", path)
        lint.end()
    configure = {p["name"]: p for p in data.get("configurePresets", [])}
    build = {p["name"] for p in data.get("buildPresets", [])}
    for name, sanitizers in PROMISED.items():
        if name not in configure:
            lint.fail(f"no configure preset {name}", path)
            continue
        if name not in build:
            lint.fail(f"no build preset {name}", path)
        variables = configure[name].get("cacheVariables", {})
        if variables.get("TLSMEND_SANITIZE", "") != sanitizers:
            lint.fail(f"preset {name} should have TLSMEND_SANITIZE={sanitizers!r}", path)
        watchdog = variables.get("TLSMEND_WATCHDOG", "OFF") == "ON"
        if watchdog != (name in {"debug", "watched", "clang"}):
            lint.fail(f"preset {name}: only builds for tests have the loop's watchdog", path)
        if name in {"clang", "fuzz"} and variables.get("CMAKE_C_COMPILER") != "clang":
            lint.fail(f"preset {name} is not built with clang", path)
    run = subprocess.run(["cmake", "--list-presets"], cwd=ROOT, capture_output=True, text=True,
                         check=False)
    if run.returncode:
        lint.fail("cmake refuses the presets: " + run.stderr.strip()[:200], path)
lint.end()
