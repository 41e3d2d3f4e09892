"""The size of every rule's jobs: one record a rule.

A new rule gets a function that says what one of its jobs takes, and one record in `SIZES`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.pipeline.names import digit_ranges, task_of
from fourier_addition.pipeline.sizing.helix_jobs import (
    helix_estimate,
    helix_patch_estimate,
    progress_estimate,
)
from fourier_addition.pipeline.sizing.machine import ASSUMED, Estimate, Machine
from fourier_addition.pipeline.sizing.model_jobs import (
    ablation_estimate,
    capture_estimate,
    digits_estimate,
    intervention_estimate,
    number_rows_estimate,
    positions_estimate,
    pretraining_estimate,
    prompt_estimate,
    training_estimate,
)
from fourier_addition.pipeline.sizing.shapes import examples_of, pairs_of, shape_of, share_inside
from fourier_addition.pipeline.sizing.table_jobs import (
    contributions_estimate,
    embedding_estimate,
    explorer_estimate,
    fetch_estimate,
    figure_estimate,
    gguf_estimate,
    join_estimate,
    largest_table,
    position_probes_estimate,
    probes_estimate,
    spectra_estimate,
    table_estimate,
)
from fourier_addition.pipeline.sizing.unit_jobs import unit_estimate

Config = Mapping[str, Any]
Wildcards = Mapping[str, str]


@dataclass(frozen=True)
class RuleSize:
    """What one job of a rule takes.

    rule: the rule's name; `*` stands for the rest of the name where a loop makes several rules.
    estimate: what a job takes, from the configuration, the job's wildcards and the machine.
    """

    rule: str
    estimate: Callable[[Config, Wildcards, Machine], Estimate]


def _run(wildcards: Wildcards) -> str:
    """The run of a job, without its seed."""
    return wildcards["run"].rsplit(".seed", 1)[0]


def _task(config: Config, wildcards: Wildcards) -> str:
    """The task of a job's run."""
    return str(config["runs"][_run(wildcards)]["task"])


def _solved_examples(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    return table_estimate(pairs_of(config, _task(config, wildcards)), machine)


def _capture(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    captured = examples_of(config, _task(config, wildcards), config["capture"]["split"])
    return capture_estimate(config, _run(wildcards), min(captured, config["capture"]["shard"]), machine)


def _capture_positions(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    settings = config["capture"]
    captured = examples_of(config, _task(config, wildcards), settings["split"])
    return positions_estimate(
        config, _run(wildcards), min(captured, settings["position_examples"] or captured), machine
    )


def _number_rows_of_run(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    numbers = task_of(config, _task(config, wildcards)).numbers
    return number_rows_estimate(config, config["runs"][_run(wildcards)]["model"], numbers, machine)


def _number_rows_of_model(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    model = wildcards["model"]
    return number_rows_estimate(config, model, config["embeddings"][model]["numbers"], machine)


def _lens(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    layers = shape_of(config, config["runs"][_run(wildcards)]["model"]).layers
    captured = examples_of(config, _task(config, wildcards), config["capture"]["split"])
    return table_estimate(2 * (layers + 1) * captured // 10, machine)


def _embedding(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    """Of a run, or of a model under `embeddings`."""
    name = wildcards["name"].rsplit(".seed", 1)[0]
    if name in config["runs"]:
        entry = config["runs"][name]
        return embedding_estimate(config, entry["model"], task_of(config, entry["task"]).numbers, machine)
    return embedding_estimate(config, name, config["embeddings"][name]["numbers"], machine)


def _filtered(config: Config, wildcards: Wildcards) -> int:
    """Examples that one ablation filters, at most: those of its split inside its digit range."""
    task = _task(config, wildcards)
    share = share_inside(config, task, digit_ranges(config).get(wildcards["range"]))
    return math.ceil(examples_of(config, task, config["ablations"]["split"]) * share)


def _ablate(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    return ablation_estimate(config, _run(wildcards), _filtered(config, wildcards), machine)


def _ablate_shard(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    settings = config["ablations"]
    part = min(_filtered(config, wildcards), max(settings["shard"], settings["batch_size"]))
    return ablation_estimate(config, _run(wildcards), part, machine)


def _join_ablation(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    return join_estimate(config, _run(wildcards), _filtered(config, wildcards), machine)


def _sensitivity(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    settings = config["ablations"]
    examples = examples_of(config, _task(config, wildcards), settings["split"])
    readings = math.prod(max(1, len(values)) for values in settings["grid"].values())
    return ablation_estimate(config, _run(wildcards), examples, machine, readings=readings)


def _figure(config: Config, wildcards: Wildcards, machine: Machine) -> Estimate:
    figure = config["figures"][wildcards["figure"]]
    runs = [*([figure["run"]] if "run" in figure else []), *figure.get("runs", [])]
    rows = max((largest_table(config, run) for run in runs), default=10_000)
    return figure_estimate(rows, machine)


SIZES = (
    RuleSize("dataset", lambda config, job, on: table_estimate(pairs_of(config, job["task"]), on)),
    RuleSize("fetch_model", lambda config, job, on: fetch_estimate(config, job["model"], on)),
    RuleSize("fetch_gguf", lambda config, job, on: fetch_estimate(config, job["model"], on)),
    RuleSize("read_gguf", lambda config, job, on: gguf_estimate(config, job["model"], on)),
    RuleSize("blank_model", lambda config, job, on: table_estimate(0, on)),
    RuleSize("pretrain_model", lambda config, job, on: pretraining_estimate(config, job["model"], on)),
    RuleSize("train", lambda config, job, on: training_estimate(config, _run(job), on)),
    RuleSize("train_keeping", lambda config, job, on: training_estimate(config, _run(job), on)),
    RuleSize("solved_examples", _solved_examples),
    RuleSize("adopt_model", lambda config, job, on: table_estimate(0, on)),
    RuleSize("digits", lambda config, job, on: digits_estimate(config, _run(job), on)),
    RuleSize("prompt", lambda config, job, on: prompt_estimate(config, _run(job), on)),
    RuleSize("capture", _capture),
    RuleSize("number_rows_of_run", _number_rows_of_run),
    RuleSize("number_rows_of_model", _number_rows_of_model),
    RuleSize("lens", _lens),
    RuleSize("spectra", lambda config, job, on: spectra_estimate(config, _run(job), on)),
    RuleSize("probes", lambda config, job, on: probes_estimate(config, _run(job), on)),
    RuleSize("capture_positions", _capture_positions),
    RuleSize("position_probes", lambda config, job, on: position_probes_estimate(config, _run(job), on)),
    RuleSize("contributions", lambda config, job, on: contributions_estimate(config, _run(job), on)),
    RuleSize("embedding", _embedding),
    RuleSize("ablate", _ablate),
    RuleSize("ablate_shard", _ablate_shard),
    RuleSize("join_ablation", _join_ablation),
    RuleSize("units", lambda config, job, on: unit_estimate(config, _run(job), on)),
    RuleSize("sensitivity", _sensitivity),
    RuleSize("steer", lambda config, job, on: intervention_estimate(config, _run(job), "steer", on)),
    RuleSize("exchange", lambda config, job, on: intervention_estimate(config, _run(job), "exchange", on)),
    RuleSize("helix", lambda config, job, on: helix_estimate(config, _run(job), on)),
    RuleSize("helix_patch", lambda config, job, on: helix_patch_estimate(config, _run(job), on)),
    RuleSize("progress", lambda config, job, on: progress_estimate(config, _run(job), on)),
    RuleSize("table", lambda config, job, on: table_estimate(0, on)),
    RuleSize("claims", lambda config, job, on: table_estimate(0, on)),
    RuleSize("figure_*", _figure),
    RuleSize("explorer", lambda config, job, on: explorer_estimate(config, on)),
)
"""Every rule whose jobs have a size that follows from the configuration."""


def estimate(config: Config, rule: str, wildcards: Wildcards, machine: Machine = ASSUMED) -> Estimate:
    """What one job of a rule takes, by the rule's name and the job's wildcards.

    config: a checked configuration. Raises UserError for a rule that has no record in `SIZES`.
    """
    for size in SIZES:
        if fnmatchcase(rule, size.rule):
            return size.estimate(config, wildcards, machine)
    raise UserError(f"Rule '{rule}' has no estimate of what its jobs take.")
