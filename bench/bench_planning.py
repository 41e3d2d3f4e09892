"""Benchmark of planning: how long a dry run of a study of thousands of jobs takes, and where its time goes.

The study has many runs with five seeds each. A run and seed is trained, captured, decomposed and filtered,
and has two figures and a table of its own. The dry run is the command line's, in an empty folder, as a
newcomer's first one is; `--profile` makes one more under cProfile and prints the functions that take most.
The last line is the verdict against the bar; nothing else passes or fails.

    python bench/bench_planning.py
"""

from __future__ import annotations

import argparse
import json
import os
import pstats
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from fourier_addition.files.whole import write_json

ROOT = Path(__file__).resolve().parents[1]
BAR = 20.0
"""Most seconds of a dry run of 5,000 jobs."""
SEEDS = [0, 1, 2, 3, 4]
JOBS_OF_A_SEED = 9
"""Train, capture, number rows, spectra, lens, ablate, two figures and a table."""


def large_study(jobs: int) -> dict[str, Any]:
    """A configuration of about so many jobs: runs of one miniature model on three tasks in turn."""
    tasks = {
        "addition-50": {"operation": "addition", "operands": [0, 50], "running_example": [15, 33]},
        "polish-50": {"operation": "reverse-polish", "operands": [0, 50], "running_example": [15, 33]},
        "addition-40": {"operation": "addition", "operands": [0, 40], "running_example": [15, 23]},
    }
    runs = {
        f"run-{number}": {
            "model": "mini",
            "task": list(tasks)[number % len(tasks)],
            "learning_rate": 0.0001 * (1 + number),
            "seeds": SEEDS,
        }
        for number in range(max(1, jobs // (JOBS_OF_A_SEED * len(SEEDS))))
    }
    seeds = [(run, seed) for run in runs for seed in SEEDS]
    figures = {
        f"{kind}-{run}-{seed}": {"kind": kind, "run": run, "seed": seed}
        for run, seed in seeds
        for kind in ("mean-spectra", "lens")
    }
    tables = {f"table-{run}-{seed}": {"kind": "ablation", "run": run, "seed": seed} for run, seed in seeds}
    return {
        "models": {"mini": {"sources": [{"pretrain": "numerals"}], "architecture": {"layers": 3}}},
        "pretraining": {"numerals": {"numbers": 101, "steps": 10}},
        "tasks": tasks,
        "runs": runs,
        "figures": figures,
        "tables": {"accuracy": {"kind": "accuracy", "runs": list(runs)}, **tables},
    }


def dry_run(configuration: Path, folder: Path, profile: Path | None = None) -> tuple[float, int]:
    """Seconds and jobs of one dry run in an empty folder; under cProfile where a file for it is given."""
    before = ["-m", "cProfile", "-o", str(profile)] if profile else []
    command = [sys.executable, *before, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile")]
    command += ["--dry-run", "--quiet", "rules", "--cores", "2", "--directory", str(folder)]
    command += ["--configfile", str(configuration)]
    start = time.perf_counter()
    ran = subprocess.run(command, capture_output=True, text=True)
    seconds = time.perf_counter() - start
    text = ran.stdout + ran.stderr
    total = re.search(r"^total\s+(\d+)$", text, re.M)
    if ran.returncode or total is None:
        raise SystemExit(f"The dry run failed:\n{text[-3000:]}")
    return seconds, int(total[1])


def shares(profile: Path) -> dict[str, float]:
    """Seconds of a profile by whose code took them: this package and its rules, Snakemake, all others."""
    found = {"ours": 0.0, "snakemake": 0.0, "others": 0.0}
    for (file, _, _), (_, _, own, _, _) in pstats.Stats(str(profile)).stats.items():
        ours = str(ROOT / "workflow") in file or file.endswith("Snakefile")
        whose = "ours" if ours else "snakemake" if "/snakemake/" in file else "others"
        found[whose] += own
    return found


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--jobs", type=int, default=5000)
    parser.add_argument("--configfile", type=Path, help="another study than the large one")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--profile", type=Path, help="one more run under cProfile, whose file this is")
    parser.add_argument("--output", type=Path, help="JSON file for every figure")
    return parser.parse_args()


def main() -> None:
    """Measure, print every time and the verdict."""
    given = arguments()
    with tempfile.TemporaryDirectory() as directory:
        study, folder = Path(directory) / "study.yaml", Path(directory) / "empty"
        # JSON is YAML too.
        text = given.configfile.read_text() if given.configfile else json.dumps(large_study(given.jobs))
        study.write_text(text)
        times, jobs = [], 0
        for repeat in range(given.repeats):
            place = folder / str(repeat)
            place.mkdir(parents=True)
            seconds, jobs = dry_run(study, place)
            times.append(seconds)
            print(f"{jobs} jobs: {seconds:.1f} s", flush=True)
        if given.profile:
            place = folder / "profiled"
            place.mkdir()
            dry_run(study, place, given.profile)
            stats = pstats.Stats(str(given.profile))
            stats.sort_stats("cumulative").print_stats(60)
            stats.sort_stats("tottime").print_stats(40)
            print({whose: round(own, 1) for whose, own in shares(given.profile).items()})
    best = sorted(times)[len(times) // 2]
    met = "MET" if best <= BAR else "NOT MET"
    line = f"{met} planning: {best:.1f} s for {jobs} jobs; the bar is {BAR:.0f} s for 5,000"
    print(f"load {os.getloadavg()[0]:.1f}")
    print(line)
    if given.output:
        write_json({"jobs": jobs, "seconds": times, "verdict": line}, given.output)


if __name__ == "__main__":
    main()
