"""What a job takes that looks at heads and neurons (rule `units`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fourier_addition.pipeline.names import task_of
from fourier_addition.pipeline.sizing.machine import ASSUMED, Estimate, Machine
from fourier_addition.pipeline.sizing.model_jobs import model_job, pass_bytes
from fourier_addition.pipeline.sizing.shapes import examples_of, shape_of, tokens_of

INNER = 4
"""Neurons of a layer for each dimension of the stream."""
HEAD = 64
"""Features of a head."""


def unit_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Heads and neurons of L layers of d dimensions, 4 d neurons and heads of 64 features; G layers at once.

    Operations: n prompts of T tokens pass L / G times, half of the layers on average but the last time; and
    every knockout is one more token from its layer on, half of the layers on average. On one thread in
    float64 (a quarter of the speed): 2 n p (d + 4 d) a layer for the sums, and 2 K d 5 d for F W_U W, with K
    the components. Host: G layers of p (d + 4 d) sums of 8 bytes and 64 d second moments, and K 4 d complex
    numbers three times. GPU: weights, the keys and values of a batch (2 T L d w B), 1024 states of the last
    token in the MLP (8 d). Written: 40 bytes a rank and 60 a head's component.
    """
    entry, settings = config["runs"][run], config["units"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    task, width, layers = task_of(config, entry["task"]), shape.width, shape.layers
    n, p = examples_of(config, entry["task"], settings["split"]), task.numbers
    components, at_once = (p - 1) // 2, min(layers, settings["layers_at_once"])

    # Passes of the prompts, then one token for every knockout
    groups, heads = math.ceil(layers / at_once), max(1, width // HEAD)
    passes = sum(min(layers, (group + 1) * at_once) for group in range(groups)) / layers
    sets = sum(
        layers
        * (len(settings["bands"]) + settings["draws"])
        * sum(count < units for count in settings["counts"])
        for units in (heads, INNER * width)
    )
    operations = 2 * shape.parameters * n * (tokens * passes + sets / 2)
    slow = layers * (2 * n * p * (1 + INNER) * width + 4 * components * width**2 * (1 + INNER))

    # What lies in memory beside the weights
    batch = settings["batch_size"]
    sums = at_once * 8 * width * (p * (1 + INNER) + HEAD)
    cache = 2 * tokens * layers * width * shape.weight_bytes * batch
    return model_job(
        shape,
        machine,
        operations + 4 * slow,
        host=sums + 3 * 16 * components * INNER * width + 8 * sets * n,
        gpu=cache + pass_bytes(shape, batch, tokens) + 1024 * 16 * width * 4,
        moved=shape.weights * math.ceil(n / batch) * (passes + sets / 1024),
        written=layers * (40 * len(settings["bands"]) * INNER * width + 60 * heads * components),
    )
