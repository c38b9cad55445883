#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Every setting stands in the sample file and in tlsmend.conf(5), at its place and with its
default; the truth is the table that the built program prints (`tlsmend check --rows`)."""
import re
import subprocess

from tree import BUILD, ROOT, Lint, text

SAMPLE = ROOT / "config/tlsmend.conf"
PAGE = ROOT / "docs/man/tlsmend.conf.5"


class Row:
    def __init__(self, line):
        (self.group, self.key, self.type, self.bounds, self.preset, self.need, self.help) = (
            line.split("\t"))
        self.place = self.group.replace("[]", "")

    def __str__(self):
        return f"{self.place}.{self.key}".lstrip(".")


def table(lint):
    program = BUILD / "tlsmend"
    if not program.is_file():
        lint.fail("no program: build the release preset first", program)
        return []
    out = subprocess.run([program, "check", "--rows"], capture_output=True, text=True, check=False)
    if out.returncode != 0 or not out.stdout:
        lint.fail("`tlsmend check --rows` printed no table", program)
    return [Row(line) for line in out.stdout.splitlines()]


def uncommented(line):
    """Without the "#" in the first column or right before a setting; prose keeps its own."""
    return re.sub(r"^#(?=\S|    )|^( +)#(?=\S)", r"\1", line)


def sample_settings(lint, sample):
    """Yields (line number, place, key, value) of every setting, commented out or not."""
    places, opening = [], ""
    for number, line in enumerate(sample.splitlines(), 1):
        line = re.sub(r"\s#.*", "", uncommented(line)).strip()
        if not line or line.startswith("#"):
            continue
        setting = re.fullmatch(r"(\w+) = (.+);", line)
        group = re.fullmatch(r"(\w+)(:| = [({])", line)
        if setting:
            yield number, ".".join(p for p in places if p), setting[1], setting[2]
        elif group:
            opening = group[1]
            if group[2] != ":":
                places.append(opening)
                opening = ""
        elif line == "{":
            places.append(opening)
            opening = ""
        elif places and line in ("}", "};", ");"):
            places.pop()
        else:
            lint.fail(f"not understood: {line}", SAMPLE, number)


def page_settings(page):
    """Yields (line number, place, key, head) of every setting; the head says type and default."""
    place, lines = None, page.splitlines()
    for i, line in enumerate(lines):
        if line.startswith(".Sh "):
            place = None
        elif line.startswith(".Ss "):
            place = line[4:] if line != ".Ss Top level" else ""
        elif place is not None and line.startswith(".It Ic "):
            yield i + 1, place, line[7:], " ".join(lines[i + 1:i + 3])


def page_head(row):
    head = row.type + (f", {row.bounds}" if row.bounds else "") + "; "
    if row.need == "required":
        return head + "required."
    if not row.preset:
        return head + "no default."
    preset = row.preset.replace('"', r"\(dq").replace("[", r"\&[").replace("]", r"\&]")
    return f"{head}default .Li {preset} ."


def compare(lint, path, found, rows, wants):
    """`found` and the table hold the same settings; wants(row, what) says what is wrong with one."""
    known, seen = {(row.place, row.key): row for row in rows}, set()
    for number, place, key, what in found:
        row = known.get((place, key))
        if row is None:
            lint.fail(f"{place}.{key}".lstrip(".") + " is no setting", path, number)
            continue
        seen.add((place, key))
        wanted = wants(row, what)
        if wanted:
            lint.fail(f"{row} should say: {wanted}", path, number)
    for place_and_key, row in known.items():
        if place_and_key not in seen:
            lint.fail(f"{row} is missing", path)


def sample_wants(row, value):
    return None if not row.preset or value == row.preset else f"{row.key} = {row.preset};"


def page_wants(row, head):
    return None if head.startswith(page_head(row)) else page_head(row)


def main():
    lint = Lint("settings")
    rows = table(lint)
    compare(lint, SAMPLE, sample_settings(lint, text(SAMPLE)), rows, sample_wants)
    compare(lint, PAGE, page_settings(text(PAGE)), rows, page_wants)
    lint.end()


main()
