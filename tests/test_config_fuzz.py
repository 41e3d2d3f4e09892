"""The fuzz: no value of any key ends in a traceback, at validation, at planning or in a job.

`tests/fuzz.py` has the values.
"""

from __future__ import annotations

import copy
import os
import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from fourier_addition.errors import UserError
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.figures import views
from fourier_addition.pipeline.snakemake_private import dry_run
from fuzz import ODD, accepted, at, changed, keys_of, whole_configuration
from study import ROOT, SNAKEMAKE, copy_of_the_tree

SENTENCE = re.compile(r"[.?]$")
EVERY = 12
"""The quick tier plans one accepted value of every twelfth key; the full cross is a system test."""


def test_no_value_of_any_key_gives_a_traceback():
    whole = whole_configuration()
    keys = keys_of(whole)
    for path in keys:
        for value in ODD:
            try:
                views(validated(changed(whole, path, value)))
            except UserError as error:
                assert SENTENCE.search(str(error)), (path, value, str(error))
    assert len(keys) > 150 and len(keys) * len(ODD) > 3600


LONG = pytest.mark.skipif("LONG_FUZZ" not in os.environ, reason="takes long: set LONG_FUZZ=1")
"""For a machine with time: hundreds of plans, and whole studies."""


def plan(config: dict[str, Any], folder: Path) -> int:
    """Jobs that a run of this configuration would start, planned in this process."""
    file = folder / "config.yaml"
    file.write_text(yaml.safe_dump(config, sort_keys=False))
    snakefile, profile = str(ROOT / "Snakefile"), str(ROOT / "profiles/default")
    given = ["--snakefile", snakefile, "--profile", profile, "--configfile", str(file)]
    return len(dry_run([*given, "--directory", str(folder)]).jobs)


def planned_or_refused(config: dict[str, Any], folder: Path, what: str) -> bool:
    """Whether a plan can be made; where not, Snakemake must have been given one sentence."""
    try:
        return plan(config, folder) > 0
    except Exception as error:
        said = str(error)
        assert type(error).__name__ == "WorkflowError" and SENTENCE.search(said.strip()), (what, error)
        return False


@pytest.mark.workflow
def test_accepted_values_can_be_planned(tmp_path):
    whole, count = whole_configuration(), 0
    for path in keys_of(whole)[::EVERY]:
        for value, config in accepted(whole, path)[:1]:
            assert planned_or_refused(config, tmp_path, f"{path}: {value!r}"), (path, value)
            count += 1
    assert count >= 8


@LONG
@pytest.mark.workflow
@pytest.mark.system
def test_every_accepted_value_can_be_planned(tmp_path):
    whole, count = whole_configuration(), 0
    for path in keys_of(whole):
        for value, config in accepted(whole, path):
            assert planned_or_refused(config, tmp_path, f"{path}: {value!r}"), (path, value)
            count += 1
    assert count >= 500


# In jobs

LARGEST = 60
"""A number beyond it would only make the jobs long."""
LEFT_OUT = ("sources", "precision", "device_map", "processes", "sha256")
"""Keys whose other values need a network, a GPU or more processes than this machine has."""


def is_small(value: Any, now: Any) -> bool:
    """Whether jobs with this value take about as long as with the value now."""
    if isinstance(value, list | tuple):
        return all(is_small(each, None) for each in value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return True
    return abs(value) <= max(LARGEST, 2 * abs(now) if isinstance(now, int | float) else 0)


def mixed(whole: dict[str, Any]) -> list[tuple[dict[str, Any], list[str]]]:
    """Configurations that together give every key another value, as many keys at a time as go together."""
    waiting = [path for path in keys_of(whole) if not set(LEFT_OUT) & set(path)]
    found: list[tuple[dict[str, Any], list[str]]] = []
    while waiting:
        config, taken, later = copy.deepcopy(whole), [], []
        for path in waiting:
            try:
                now = at(config, path)
            except (KeyError, IndexError, TypeError):
                # A key that a value of this study has taken away
                later.append(path)
                continue
            values = [value for value, _ in accepted(config, path) if is_small(value, now)]
            # A name that other keys refer to, or a section, is no leaf.
            values = [value for value in values if not isinstance(value, dict)]
            if values:
                config = validated(changed(config, path, values[len(taken) % len(values)]))
                taken.append(f"{'.'.join(map(str, path))}: {values[len(taken) % len(values)]!r}")
            else:
                later.append(path)
        if not taken:
            break
        found.append((config, taken))
        waiting = later
    return found


@LONG
@pytest.mark.workflow
@pytest.mark.system
def test_unusual_values_end_no_job_in_a_traceback(tmp_path):
    studies = mixed(whole_configuration(apis=False))
    assert sum(len(taken) for _, taken in studies) >= 80
    for number, (config, taken) in enumerate(studies):
        study = tmp_path / str(number)
        study.mkdir()
        copy_of_the_tree(study, "micro")
        (study / "config/config.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
        said = run(study)
        for log in study.glob("logs/**/*.log"):
            text = log.read_text()
            # A UserError is logged with its traceback too; a fault of ours is logged as an error.
            assert " ERROR " not in text, (log, text[-2000:], taken)
        assert "Traceback" not in said, (said[-3000:], taken)


def run(study: Path) -> str:
    """What Snakemake says of all jobs that it can run; jobs may end in a sentence."""

    ran = subprocess.run(
        [*SNAKEMAKE, "--cores", "2", "--keep-going"],
        cwd=study,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        timeout=1100,
    )
    return ran.stdout + ran.stderr
