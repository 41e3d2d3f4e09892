"""Benchmark of a whole study: how long it takes from a ready set-up, and which rules take it.

The study is made in an empty folder, as `make` makes it, the downloads of its weights included. The seconds
of a rule are those that its jobs log; the core seconds are the processor's, Snakemake's own included. The
last line is the verdict against the bar of the default on two cores.

    python bench/bench_default.py
"""

from __future__ import annotations

import argparse
import re
import resource
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BAR = 300.0
"""Most seconds of the default on two cores."""
LEAST = 5.0
"""Rules of fewer seconds are one row together."""


def made(configuration: Path, folder: Path, cores: int) -> float:
    """Seconds in which a study is made in a folder. Raises SystemExit, with Snakemake's words, on failure."""
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--workflow-profile", str(ROOT / "profiles/default"), "--cores", str(cores)]
    command += ["--directory", str(folder), "--configfile", str(configuration)]
    start = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise SystemExit(f"The study was not made:\n{(ran.stdout + ran.stderr)[-3000:]}")
    return time.perf_counter() - start


def seconds_by_rule(logs: Path) -> dict[str, list[float]]:
    """Seconds of every job by its rule, as the jobs' logs under a folder say; longest rule first."""
    found: dict[str, list[float]] = defaultdict(list)
    for log in logs.rglob("*.log"):
        text = log.read_text()
        rule, done = re.search(r"INFO rule (\w+),", text), re.findall(r"INFO done in ([\d.]+) s", text)
        if rule and done:
            found[rule[1]].append(float(done[-1]))
    return dict(sorted(found.items(), key=lambda each: -sum(each[1])))


def table(rules: dict[str, list[float]]) -> str:
    """Jobs and seconds of each rule as Markdown; what takes little is one row."""
    rows = {name: (len(jobs), sum(jobs)) for name, jobs in rules.items()}
    little = [row for row in rows.values() if row[1] < LEAST]
    shown = [(f"`{name}`", *row) for name, row in rows.items() if row[1] >= LEAST]
    shown.append(("all others", sum(jobs for jobs, _ in little), sum(taken for _, taken in little)))
    shown.append(("all", sum(jobs for jobs, _ in rows.values()), sum(taken for _, taken in rows.values())))
    lines = ["| Rule | Jobs | Seconds |", "| --- | ---: | ---: |"]
    return "\n".join([*lines, *(f"| {name} | {jobs} | {taken:.0f} |" for name, jobs, taken in shown)])


def main() -> None:
    """Make the study, print the table and the verdict."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--configfile", type=Path, default=ROOT / "config/config.yaml")
    parser.add_argument("--cores", type=int, default=2)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = made(given.configfile.resolve(), Path(folder), given.cores)
        print(table(seconds_by_rule(Path(folder) / "logs")))
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    minutes, rest = divmod(round(seconds), 60)
    print(f"\n{minutes} min {rest:02} s, {used.ru_utime + used.ru_stime:.0f} core seconds.")
    print(f"{'MET' if seconds <= BAR else 'NOT MET'}: {seconds:.0f} of {BAR:.0f} seconds.")


if __name__ == "__main__":
    main()
