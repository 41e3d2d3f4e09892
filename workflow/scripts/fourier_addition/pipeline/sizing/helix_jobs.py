"""What helices, their patches and progress measures take."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fourier_addition.pipeline.names import task_of
from fourier_addition.pipeline.sizing.machine import ASSUMED, BASES, MB, Estimate, Machine
from fourier_addition.pipeline.sizing.model_jobs import model_job, pass_bytes
from fourier_addition.pipeline.sizing.shapes import examples_of, shape_of, tokens_of

KINDS_OF_PATCH = 7
"""Forward passes of a target at each state: the state itself, and six ways to rebuild it."""


def helix_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Helices of a run's residual stream, one state at a time.

    Host: n d states in float32 and float64, twice each, p d sums, and (folds + 4) d^2 values of 8 bytes.
    Operations, in float64 (a quarter of the speed), for each of L + 1 states and three variables: 2 n d^2
    for the covariances, 10 d^3 for the axes of each fold, and 4 p d k for each of the folds' fits of k
    features, (parts + 3) (shuffles + 1) of them.
    """
    entry, analysis = config["runs"][run], config["analysis"]
    shape = shape_of(config, entry["model"])
    n = examples_of(config, entry["task"], config["capture"]["split"])
    d, p, folds = shape.width, task_of(config, entry["task"]).numbers, analysis["helix_folds"]
    parts = len(analysis["helix_periods"]) + 3
    fits = parts * (analysis["helix_shuffles"] + 1) * 4 * p * d * 2 * parts
    state = 3 * (2 * n * d * d + folds * (10 * d**3 + fits))
    return Estimate(
        host=BASES["table"] + (24 * n * d + 8 * d * (6 * p + (folds + 4) * d)) / MB,
        minutes=machine.startup + 4 * (shape.layers + 1) * state / machine.cpu_flops / 60,
        written=(shape.layers + 1) * 3 * parts * 80,
    )


def helix_patch_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Patches of m prompts at L + 1 states: 2 P T operations for each prompt, state and kind of patch.

    GPU: weights and a pass. Host: a state of all captured examples in float32, and once in float64 for
    each kind of patch; the axes of each fold take 10 d^3 operations.
    """
    entry, analysis, batch = config["runs"][run], config["analysis"], config["capture"]["batch_size"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    n = examples_of(config, entry["task"], config["capture"]["split"])
    patched = min(n, analysis["helix_patched"] or n)
    passes = patched * (1 + KINDS_OF_PATCH * (shape.layers + 1))
    fits = 4 * (shape.layers + 1) * (2 * n * shape.width**2 + 10 * analysis["helix_folds"] * shape.width**3)
    return model_job(
        shape,
        machine,
        2 * shape.parameters * tokens * passes + fits,
        host=8 * n * shape.width * (KINDS_OF_PATCH + 3) + 8 * (analysis["helix_folds"] + 4) * shape.width**2,
        gpu=pass_bytes(shape, batch, tokens),
        moved=shape.weights * math.ceil(passes / batch),
        written=(shape.layers + 1) * KINDS_OF_PATCH * 80,
    )


def progress_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Progress measures at e kept epochs, on m examples of two splits: 2 P T e m operations.

    GPU: weights and a pass. Host: 2 m (2 d + p) values of 4 bytes. The weights of every epoch are read.
    """
    entry, batch = config["runs"][run], config["capture"]["batch_size"]
    shape, tokens = shape_of(config, entry["model"], "float32"), tokens_of(config, run)
    p, epochs = task_of(config, entry["task"]).numbers, len(entry.get("keep_checkpoints", ()))
    most = config["analysis"]["progress_examples"]
    counts = [examples_of(config, entry["task"], split) for split in ("train", config["capture"]["split"])]
    measured = epochs * sum(min(count, most or count) for count in counts)
    return model_job(
        shape,
        machine,
        2 * shape.parameters * tokens * measured,
        host=8 * max(counts) * (2 * shape.width + p),
        gpu=pass_bytes(shape, batch, tokens),
        moved=shape.weights * (epochs + math.ceil(measured / batch)),
        written=epochs * 4 * 10 * 60,
    )
