# SPDX-License-Identifier: Apache-2.0
"""RESULTS.md from what the scenarios gave."""

import datetime
import os
import pathlib
import platform
import statistics
import subprocess


def number(value, digits):
    return f"{value:,.{digits}f}"


def cell(rounds, key, digits):
    """The median, with the least and the greatest of several rounds."""
    values = sorted(r[key] for r in rounds if r.get(key) is not None)
    if not values:
        return ""
    middle = statistics.median(values)
    if len(values) == 1:
        return number(middle, digits)
    return f"{number(middle, digits)} ({number(values[0], digits)} to {number(values[-1], digits)})"


def table(scenario, results):
    titles = [title for _, title, _ in scenario.columns]
    lines = ["| | " + " | ".join(titles) + " | lost | twice | not delivered |",
             "|---|" + "---|" * (len(titles) + 3)]
    for name, rounds in results.items():
        cells = [cell(rounds, key, digits) for key, _, digits in scenario.columns]
        cells += [str(sum(r.get(key, 0) for r in rounds)) for key in ("lost", "twice", "errors")]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def goal_line(judged):
    digits = 0 if judged["bound"] >= 100 else 3
    return (f"- {'reached' if judged['reached'] else 'NOT reached'}: {judged['goal']}: "
            f"{number(judged['figure'], digits)}, bound {number(judged['bound'], digits)}")


def machine():
    model = next((line.split(":", 1)[1].strip() for line in
                  pathlib.Path("/proc/cpuinfo").read_text(encoding="ascii").splitlines() if line.startswith("model name")), "?")
    memory = pathlib.Path("/proc/meminfo").read_text(encoding="ascii").split()[1]
    return f"{os.cpu_count()} cores ({model}), {int(memory) // 1024 // 1024} GiB, Linux {platform.release()}"


def commit(root):
    run = subprocess.run(["git", "-C", str(root), "describe", "--always", "--dirty"], capture_output=True, text=True,
                         check=False)
    return run.stdout.strip() or "unknown"


def plots(folder, results):
    """The data of growth.gp, and the picture.  results: the rounds of tlsmend and of the ceiling."""
    for letter, name, peer in (("d", "destinations", "tlsmend"), ("s", "sessions", "tlsmend"), ("s", "ceiling", "ceiling")):
        rounds = results[peer]
        keys = sorted((k for k in rounds[0] if k[0] == letter and k[1:].isdigit()), key=lambda k: int(k[1:]))
        rows = [f"# {name}, CPU-s per 1,000 messages: median, least, most of {len(rounds)} rounds"]
        for key in keys:
            values = [r[key] for r in rounds]
            rows.append(f"{key[1:]} {statistics.median(values):.4f} {min(values):.4f} {max(values):.4f}")
        (folder / f"{name}.dat").write_text("\n".join(rows) + "\n", encoding="ascii")
    subprocess.run(["gnuplot", "growth.gp"], cwd=folder, check=True)


def write(root, outcomes, medians, rounds, seconds, busy, warnings, micro):
    """The whole document."""
    now = datetime.datetime.now(datetime.timezone.utc)
    lines = ["# Results of the bench", "",
             f"Written by `bench/run` ([README.md](README.md)) on {now:%Y-%m-%d} at commit {commit(root)}, {rounds} "
             f"round{'s' if rounds != 1 else ''}, {seconds / 60:.0f} minutes.",
             f"Machine: {machine()}; load average {busy:.1f} when it began. Load, peer and sink share it, so a figure is worth something beside the others only.",
             "Medians, with least and greatest in brackets. CPU-s: user and system time of all processes of the peer.", ""]
    by_scenario, configs = {}, {}
    for scenario, results, shown in outcomes:
        by_scenario[scenario.name] = medians(results)
        configs |= {name: text for name, text in shown.items() if name not in configs}
        m = {**by_scenario, **by_scenario[scenario.name]}
        lines += [f"## {scenario.name.upper()}: {scenario.title}", "", *table(scenario, results), ""]
        judged = [j for j in (goal.judge(m) for goal in scenario.goals) if j]
        lines += [*map(goal_line, judged), ""] if judged else []
        lines += scenario.notes
    if micro:
        lines += ["## Micro: the parsers, the records and the log, each alone", "", *micro.strip().split("\n"), ""]
    if warnings:
        lines += ["## What went wrong", "", *(f"- {w}" for w in warnings), ""]
    lines += ["## How each peer was set", ""]
    for name, (version, text) in configs.items():
        lines += [f"### {name}" + (f": {version}" if version else ""), "", "```", *text.rstrip("\n").split("\n"), "```", ""]
    return "\n".join(lines).rstrip("\n") + "\n"
