"""Jobs, hours, memory and bytes of a whole study, printed as tables.

The command is `python -m fourier_addition.pipeline.sizing`.
"""

from __future__ import annotations

import argparse
import re
import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.sizing.machine import (
    ASSUMED,
    BASES,
    GPU_CONTEXT,
    GPU_HOST,
    Estimate,
    Machine,
)
from fourier_addition.pipeline.sizing.rules import estimate

ROOT = Path(__file__).resolve().parents[5]

MEASURED = (
    ("job of the smallest study that reads and writes tables, peak host MB", 186),
    ("the same, figure", 245),
    ("the same, with torch and a model of 50 thousand weights", 497),
    ("capture, GPT-2 shape of 85.6 million weights (12 layers x 768), peak host MB", 939),
    ("its speed on one thread, thousand million operations a second", 62),
    ("ablation of the same shape under 66 conditions, peak host MB", 982),
    ("its speed on one thread, thousand million operations a second", 62),
)
"""Runs on one thread of an x86-64 processor, float32: what the formulas were held against."""


MARK = "<!-- What follows is printed by `make docs`. -->"


@dataclass(frozen=True)
class Job:
    """One job of a dry run: its rule, wildcards, and what Snakemake says it asks for."""

    rule: str
    wildcards: Mapping[str, str]
    asks: Mapping[str, str]


def _pairs(key: str, text: str) -> dict[str, str]:
    """What follows `key:` in a job's text, as a mapping: `run=a, shard=0`."""
    line = re.search(rf"^\s+{key}: (.*)$", text, re.M)
    return dict(part.split("=", 1) for part in line[1].split(", ")) if line else {}


def jobs_in(output: str) -> Iterator[Job]:
    """Jobs of a dry run's output, `rule all` left out."""
    for block in re.split(r"^\s*(?=(?:local)?rule \w+:$)", output, flags=re.M)[1:]:
        heading = re.match(r"(?:local)?rule (\w+):", block)
        if heading and heading[1] != "all":
            text = block.split("Job stats:")[0]
            yield Job(heading[1], _pairs("wildcards", text), _pairs("resources", text))


def planned_jobs(configfile: str | Path) -> list[Job]:
    """Every job that a study runs from nothing, by a dry run in an empty folder.

    Raises UserError with Snakemake's own words when the dry run fails.
    """
    with tempfile.TemporaryDirectory() as empty:
        command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--dry-run"]
        command += ["--cores", "1", "--directory", empty, "--configfile", str(Path(configfile).resolve())]
        ran = subprocess.run(command, capture_output=True, text=True)
    if ran.returncode:
        raise UserError(f"The dry run of {configfile} failed: {(ran.stdout + ran.stderr).strip()[-500:]}")
    return list(jobs_in(ran.stdout + ran.stderr))


def job_estimate(config: Mapping[str, Any], job: Job, machine: Machine) -> Estimate:
    """What a job takes; of a rule that no formula is for, what it asks its scheduler for."""
    try:
        return estimate(config, job.rule, job.wildcards, machine)
    except (UserError, KeyError):
        asked = {key: int(job.asks[key]) for key in ("mem_mb", "runtime", "gpu") if key in job.asks}
        return Estimate(asked.get("mem_mb", 0), asked.get("runtime", 0), gpus=asked.get("gpu", 0))


COLUMNS = ("Rule", "Jobs", "GPU hours", "CPU hours", "Host GB", "GPUs", "GPU GB", "Written GB")


def _row(name: str, taken: list[Estimate]) -> list[str]:
    """One row of the table of sizes: hours and bytes of all jobs together, memory of the largest job."""
    return [
        name,
        str(len(taken)),
        f"{sum(one.minutes * one.gpus for one in taken) / 60:.1f}",
        f"{sum(one.minutes for one in taken if not one.gpus) / 60:.1f}",
        f"{max(one.host for one in taken) / 1000:.1f}",
        str(max(one.gpus for one in taken)),
        f"{max(one.gpu_memory for one in taken) / 1000:.1f}",
        f"{sum(one.written for one in taken) / 1e9:.2f}",
    ]


def size_table(config: Mapping[str, Any], jobs: list[Job], machine: Machine) -> list[list[str]]:
    """Headings, one row a rule (figures together) and a total; expected values, without any margin."""
    groups: dict[str, list[Estimate]] = defaultdict(list)
    for job in jobs:
        name = "figures" if job.rule.startswith("figure_") else job.rule
        groups[name].append(job_estimate(config, job, machine))
    everything = [one for taken in groups.values() for one in taken]
    return [[*COLUMNS], *(_row(name, groups[name]) for name in sorted(groups)), _row("all", everything)]


def markdown(rows: list[list[str]]) -> str:
    """A table in Markdown, numbers to the right."""
    lines = [rows[0], ["---", *["---:"] * (len(rows[0]) - 1)], *rows[1:]]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def facts(machine: Machine) -> list[str]:
    """What the formulas were held against, and what they assume, as two tables with headings."""
    gpu = f"{machine.gpu_flops / 1e12:g}, {machine.gpu_bandwidth / 1e9:g}, {machine.gpu_memory / 1000:g}"
    bases = ", ".join(str(base) for base in BASES.values())
    assumed = [
        ["base of a job that reads tables, draws a figure, loads torch, host MB", bases],
        ["CUDA's own memory, host and GPU MB", f"{GPU_HOST}, {GPU_CONTEXT}"],
        ["GPU: million million operations a second, GB a second, GB", gpu],
        ["one processor thread: thousand million operations a second", f"{machine.cpu_flops / 1e9:g}"],
        ["disk, MB a second", f"{machine.disk / 1e6:g}"],
    ]
    named = {"Measured": [[what, str(value)] for what, value in MEASURED], "Assumed": assumed}
    return [f"## {name}\n\n{markdown([['What', 'Value'], *rows])}" for name, rows in named.items()]


def renew_page(path: str | Path, printed: str) -> None:
    """Replace what follows the line `MARK` of a page. Raises UserError for a page without it."""
    text, mark, _ = Path(path).read_text().partition(MARK)
    if not mark:
        raise UserError(f"{path} has no line '{MARK}', after which the tables go.")
    with replacing(path) as temporary:
        temporary.write_text(f"{text}{mark}\n\n{printed}\n")


def main() -> int:
    """Print the tables of the configurations that are named; exit status 1 for one that is not valid."""
    parser = argparse.ArgumentParser(prog="python -m fourier_addition.pipeline.sizing", description=__doc__)
    parser.add_argument("--configfile", action="append", required=True, help="a study; may be given again")
    parser.add_argument("--page", help="a Markdown page that gets the tables instead")
    parser.add_argument("--gpu-tflops", type=float, default=ASSUMED.gpu_flops / 1e12)
    parser.add_argument("--gpu-gb", type=float, default=ASSUMED.gpu_memory / 1000)
    chosen = parser.parse_args()
    machine = Machine(gpu_flops=chosen.gpu_tflops * 1e12, gpu_memory=int(chosen.gpu_gb * 1000))
    parts: list[str] = []
    try:
        for path in chosen.configfile:
            config = validated(yaml.safe_load(Path(path).read_text()))
            parts.append(f"## {path}\n\n{markdown(size_table(config, planned_jobs(path), machine))}")
        parts += facts(machine)
        if chosen.page:
            renew_page(chosen.page, "\n\n".join(parts))
        else:
            print("\n\n".join(parts))
    except (UserError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0
