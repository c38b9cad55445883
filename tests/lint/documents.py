#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""What the documents say can be done: links lead to files, commands of the tree exist with the options
shown, presets exist, and the documents that every project has are there; the page of each legacy MTA has
its parts, and the lines that the tests take from it (tests/integration/lab/pages.py)."""
import json
import os
import re

from tree import ROOT, Lint, files, named, text

NEEDED = ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md", "LICENSE",
          "docs/architecture.md", "docs/conformance.md", "docs/log.md", "docs/policy.md",
          "docs/clients/README.md", "tests/vectors/README.md", "config/tlsmend.conf",
          ".clang-format", ".clang-tidy", ".editorconfig"]
TESTED = {"postfix": ["main.cf", "main.cf:lmtp"], "exim": ["router", "transport"], "sendmail": ["sendmail.mc"],
          "opensmtpd": ["smtpd.conf"], "oneshot": ["msmtprc", "remotes", "dma.conf"], "qmail": [], "exchange": []}
COMMAND = re.compile(r"(?:^|[\s`$])\./((?:\.ci|[a-z]+)/[A-Za-z0-9_./-]+)((?: +(?:--?[a-z][a-z-]*|demo))*)")
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)[^)]*\)")


def check_command(lint, document, number, path, options):
    target = ROOT / path
    if path.startswith("build/"):
        return  # what a build makes
    if not target.is_file() or not os.access(target, os.X_OK):
        lint.fail(f"./{path} is no command of the tree", document, number)
        return
    body = text(target)
    for option in options.split():
        if not re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", body):
            lint.fail(f"./{path} knows no {option}", document, number)


def check_client(lint, page, blocks):
    path = ROOT / "docs/clients" / f"{page}.md"
    if not lint.need(path):
        return
    body = text(path)
    for block in blocks:
        if len(re.findall(rf"^<!-- tested: {re.escape(block)} -->\n```\n(?:(?!```).*\n)+```$", body, re.M)) != 1:
            lint.fail(f"the block of lines \"tested: {block}\" is not there once", path)
    for part in ("Lines", "What ", "Undo") if blocks else ("Undo",):
        if not re.search(rf"^##+ {part}", body, re.M):
            lint.fail(f"no part \"{part.strip()}\"", path)
    if f"({page}.md)" not in text(ROOT / "docs/clients/README.md"):
        lint.fail("docs/clients/README.md does not name it", path)


def main():
    lint = Lint("documents")
    for name in NEEDED:
        lint.need(name)
    try:
        presets = {p["name"] for p in
                   json.loads(text(ROOT / "CMakePresets.json"))["configurePresets"]}
    except (OSError, ValueError, KeyError):
        presets = set()
    for page, blocks in TESTED.items():
        check_client(lint, page, blocks)
    for document in files():
        if document.suffix != ".md":
            continue
        for number, line in enumerate(text(document).split("\n"), 1):
            for target in LINK.findall(line):
                if "://" not in target and not target.startswith("mailto:") and not (
                        document.parent / target).exists():
                    lint.fail(f"a dead link: {target}", document, number)
            for path, options in COMMAND.findall(line):
                check_command(lint, document, number, path, options)
            for preset in re.findall(r"--preset[ =]([a-z]+)", line):
                if preset not in presets:
                    lint.fail(f"no preset {preset}", document, number)
            for path in re.findall(r"`((?:docs|tests|proxy|certs|config|deploy)/[\w./-]+\.[a-z]+)`", line):
                if not (ROOT / path).exists() and "build/" not in path:
                    lint.fail(f"{named(path)} does not exist", document, number)
    lint.end()


main()
