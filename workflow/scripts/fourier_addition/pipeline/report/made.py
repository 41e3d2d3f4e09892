"""How results were made: weights and software from their manifests, run times from the logs."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.manifests import is_foreign, read_manifest

RULE = re.compile(r" INFO rule (\S+), wildcards (\{.*\})$")
DONE = re.compile(r" INFO done in ([0-9.]+) s$")


@dataclass(frozen=True)
class Weights:
    """A model or checkpoint that the results are of.

    name: its directory below the results. source: where it came from. sha256: of its weights.
    """

    name: str
    source: str
    sha256: str
    device: str


@dataclass(frozen=True)
class Made:
    """What the manifests say. packages: name -> its versions, one unless results came from several."""

    weights: Sequence[Weights] = ()
    packages: Mapping[str, Sequence[str]] = field(default_factory=dict)


@dataclass(frozen=True)
class Timing:
    """How long the jobs of one rule took, in seconds by their logs."""

    rule: str
    jobs: int
    seconds: float
    longest: float
    longest_job: str


def _manifests(folder: Path) -> Iterator[Path]:
    """JSON files below the results, without those inside of stores and models."""
    for place, names, files in os.walk(folder):
        described = {file.removesuffix(".json") for file in files if file.endswith(".json")}
        names[:] = sorted(
            name
            for name in names
            if not is_foreign(name) and name not in described and name.removesuffix(".zarr") not in described
        )
        yield from (
            Path(place, file) for file in sorted(files) if file.endswith(".json") and not is_foreign(file)
        )


def made_of(folder: str | Path, faults: list[str]) -> Made:
    """What the manifests below a folder say. faults: gets a sentence for each that cannot be read."""
    weights: list[Weights] = []
    packages: dict[str, set[str]] = {}
    for path in _manifests(Path(folder)):
        try:
            if '"manifest":' not in path.read_text(encoding="utf-8", errors="replace")[:200]:
                continue
            manifest = read_manifest(path)
        except (UserError, OSError) as error:
            faults.append(str(error))
            continue
        facts: Mapping[str, Any] = manifest.get("provenance", {})
        for name, version in facts.get("packages", {}).items():
            packages.setdefault(name, set()).add(version)
        # A capture names the weights that it is of; a checkpoint or a model is described by its manifest.
        if "weights_sha256" in facts and not manifest.get("arrays"):
            name = str(path.relative_to(folder)).removesuffix(".json")
            source = facts.get("source") or facts.get("rule") or ""
            weights.append(Weights(name, str(source), facts["weights_sha256"], facts.get("device", "")))
    return Made(weights, {name: sorted(found) for name, found in packages.items()})


def timings_of(logs: Path) -> list[Timing]:
    """How long the jobs took, by rule, the longest first; empty where there are no logs."""
    found: dict[str, list[tuple[float, str]]] = {}
    for log in sorted(logs.rglob("*.log")):
        try:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
        except OSError:
            continue
        rules = [match for line in lines if (match := RULE.search(line))]
        ends = [match for line in lines[-3:] if (match := DONE.search(line))]
        # A log without an end is of a job that was cut short, or is at work.
        if rules and ends:
            job = str(log.relative_to(logs).with_suffix(""))
            found.setdefault(rules[0][1], []).append((float(ends[-1][1]), job))
    timings = [
        Timing(rule, len(jobs), sum(seconds for seconds, _ in jobs), *max(jobs))
        for rule, jobs in found.items()
    ]
    return sorted(timings, key=lambda timing: -timing.seconds)
