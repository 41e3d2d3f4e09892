"""What jobs without a model take: analyses of captures, tables, figures, downloads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from fourier_addition.pipeline.names import task_of
from fourier_addition.pipeline.sizing.machine import ASSUMED, BASES, MB, Estimate, Machine
from fourier_addition.pipeline.sizing.shapes import condition_counts, examples_of, shape_of


def spectra_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Spectra and lens of a run's captures: one layer of one module at a time.

    Host: n (d + 2 p) values of 8 bytes. Operations, on one thread in float64 (a quarter of the speed):
    2 n p (d + p) a layer and module, and `null_draws` products of null_examples p^2.
    """
    entry, analysis = config["runs"][run], config["analysis"]
    shape = shape_of(config, entry["model"])
    p = task_of(config, entry["task"]).numbers
    n = examples_of(config, entry["task"], config["capture"]["split"])
    shuffled = analysis["null_draws"] * min(n, analysis["null_examples"]) * p * p * 2
    operations = 2 * shape.layers * (2 * n * p * (shape.width + p) + shuffled)
    return Estimate(
        host=BASES["table"] + 8 * n * (shape.width + 2 * p) / MB,
        minutes=machine.startup + 4 * operations / machine.cpu_flops / 60,
        written=2 * shape.layers * p * 40,
    )


def _probed(config: Mapping[str, Any], examples: int) -> int:
    """Examples that a probe is fitted to, of so many that are captured."""
    return min(examples, config["analysis"]["probe_examples"] or examples)


def probes_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Probes of a run's residual stream, one state at a time.

    For n examples, r = min(n, d) coordinates, f folds and c labellings (one and its shuffles), each of L + 1
    states and each modulus T takes f (f + 1) / 2 decompositions of 10 n d r operations, and up to 100 steps
    of 4 n r T operations for every labelling and fold, and for every penalty and pair of folds. Host: n (4 d
    + 4 c T) values of 8 bytes, T the largest modulus.
    """
    entry, analysis = config["runs"][run], config["analysis"]
    shape = shape_of(config, entry["model"])
    n = _probed(config, examples_of(config, entry["task"], config["capture"]["split"]))
    rank, folds = min(n, shape.width), analysis["probe_folds"]
    cases, moduli = 1 + analysis["probe_shuffles"], analysis["probe_moduli"]
    pairs = folds * (folds - 1) / 2
    fits = folds * cases + pairs * len(analysis["probe_penalties"])
    state = len(moduli) * (folds + pairs) * 10 * n * shape.width * rank + 400 * n * rank * sum(moduli) * fits
    return Estimate(
        host=BASES["table"] + 8 * n * (4 * shape.width + 4 * cases * max(moduli)) / MB,
        minutes=machine.startup + 4 * (shape.layers + 1) * state / machine.cpu_flops / 60,
        written=(shape.layers + 1) * len(moduli) * 50,
    )


def position_probes_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Fourier probes at named positions: 2 + k positions, k digits of the largest answer, state by state.

    Up to 3 + k targets a position. Each has f (f + 1) / 2 decompositions of 10 r^3 operations (r: min(n, d)),
    and products with 2 (1 + shuffles) columns for every period and penalty. Host: the targets and the
    predictions of all penalties, 8 bytes each.
    """
    entry, analysis = config["runs"][run], config["analysis"]
    shape, task = shape_of(config, entry["model"]), task_of(config, entry["task"])
    captured = min(
        examples_of(config, entry["task"], config["capture"]["split"]),
        config["capture"]["position_examples"] or 10**12,
    )
    n, folds = _probed(config, captured), analysis["probe_folds"]
    rank, digits = min(n, shape.width), len(str(task.largest_answer))
    columns = 2 * (1 + analysis["probe_shuffles"]) * len(analysis["probe_periods"])
    penalties, asked = len(analysis["probe_penalties"]), analysis["probe_states"]
    states = (asked or shape.layers + 1) if isinstance(asked, int) else len(asked)
    fit = 10 * rank**3 + 2 * n * rank * (shape.width + columns * (1 + penalties / 3))
    tables = states * (4 + digits * (3 + digits))
    return Estimate(
        host=BASES["table"] + 8 * n * (4 * shape.width + columns * (3 + penalties)) / MB,
        minutes=machine.startup + 2 * tables * folds * (folds + 1) / 2 * fit / machine.cpu_flops / 60,
        written=tables * len(analysis["probe_periods"]) * 100,
    )


def contributions_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Parts of 2 L module outputs in a probe, for every position, target and period.

    Host: three times the module outputs of one position in float64. Operations: for each fold a system of
    r^3 and 4 n d products for each output.
    """
    entry, analysis = config["runs"][run], config["analysis"]
    shape, task = shape_of(config, entry["model"]), task_of(config, entry["task"])
    captured = min(
        examples_of(config, entry["task"], config["capture"]["split"]),
        config["capture"]["position_examples"] or 10**12,
    )
    n, digits = _probed(config, captured), len(str(task.largest_answer))
    outputs = (1 + 2 * shape.layers) * n * shape.width
    fits = (4 + digits * (3 + digits)) * len(analysis["probe_periods"]) * analysis["probe_folds"]
    operations = fits * (min(n, shape.width) ** 3 + 4 * outputs + 2 * n**2 * shape.width)
    return Estimate(
        host=BASES["table"] + 8 * 3 * outputs / MB,
        minutes=machine.startup + 2 * operations / machine.cpu_flops / 60,
        written=fits * 2 * shape.layers * 20,
    )


def embedding_estimate(
    config: Mapping[str, Any], model: str, numbers: int, machine: Machine = ASSUMED
) -> Estimate:
    """Spectrum, map and probes of p rows of width d: p (d + 2 p) values; t-SNE takes 0.1 s a number."""
    shape = shape_of(config, model)
    products = (config["analysis"]["null_draws"] + 100) * 2 * numbers**2 * shape.width
    return Estimate(
        host=BASES["figure"] + 24 * numbers * (shape.width + 2 * numbers) / MB,
        minutes=machine.startup + (4 * products / machine.cpu_flops + 0.1 * numbers) / 60,
        written=100 * numbers,
    )


def join_estimate(config: Mapping[str, Any], run: str, examples: int, machine: Machine = ASSUMED) -> Estimate:
    """One ablation's parts put together: 24 bytes in memory and 8 written for each condition and example."""
    layers = shape_of(config, config["runs"][run]["model"]).layers
    pairs = examples * condition_counts(config, layers)[0]
    return replace(table_estimate(0, machine), host=BASES["table"] + 24 * pairs / MB, written=8 * pairs)


def table_estimate(rows: int = 0, machine: Machine = ASSUMED) -> Estimate:
    """A job that reads and writes tables of so many rows, 500 bytes each in memory."""
    return Estimate(
        host=BASES["table"] + 500 * rows / MB, minutes=machine.startup + rows / 6e6, written=30 * rows
    )


def figure_estimate(rows: int = 0, machine: Machine = ASSUMED) -> Estimate:
    """A figure of a table of so many rows, 500 bytes each in memory."""
    minutes = machine.startup + 0.2 + rows / 6e6
    return Estimate(host=BASES["figure"] + 500 * rows / MB, minutes=minutes, written=3e5)


def explorer_estimate(config: Mapping[str, Any], machine: Machine = ASSUMED) -> Estimate:
    """The page of all runs, one run in memory at a time: a block of captured examples and its logits.

    Host: one layer's outputs of the captured block, and 5 L p float64 values for each example that the page
    holds; written are 3 L p numbers of 16 bits, a third more as text.
    """
    kept, block = config["explorer"]["examples"], config["capture"]["block"]
    host, written = 0.0, 0.0
    for entry in config["runs"].values():
        shape, p = shape_of(config, entry["model"]), task_of(config, entry["task"]).numbers
        values = kept * shape.layers * p
        host = max(host, 8 * (5 * values + 2 * block * shape.width))
        written += len(entry["seeds"]) * 8 * values
    return Estimate(
        host=BASES["table"] + (host + 3 * written) / MB,
        minutes=machine.startup + written / 5e8,
        written=written,
    )


def largest_table(config: Mapping[str, Any], run: str) -> int:
    """Rows of the largest table that a figure of a run reads: logits, waves or predictions."""
    shape = shape_of(config, config["runs"][run]["model"])
    task = config["runs"][run]["task"]
    p, split = task_of(config, task).numbers, config["ablations"]["split"]
    return max((2 * shape.layers + 1) * p, p * p // 2, 9 * examples_of(config, task, split))


def fetch_estimate(config: Mapping[str, Any], model: str, machine: Machine = ASSUMED) -> Estimate:
    """Download of a model: its weights on disk at the disk's speed, hashed as they come."""
    shape = shape_of(config, model)
    return Estimate(
        host=BASES["table"] + 100,
        minutes=machine.startup + 4 * shape.weights / machine.disk / 60,
        written=shape.weights,
    )


def gguf_estimate(config: Mapping[str, Any], model: str, machine: Machine = ASSUMED) -> Estimate:
    """A model made of its GGUF file: all weights in float32, and the largest tensor four times over.

    The largest tensor is the embedding of V words and width d: as it was dequantised, as it is kept, and in
    whole numbers. The tokenizer, in Python's objects, takes some 300 MB.
    """
    shape = shape_of(config, model, "float32")
    return Estimate(
        host=replace(machine, gpu=False).torch_host
        + 300
        + (shape.weights + 16 * shape.vocabulary * shape.width) / MB,
        minutes=machine.startup + 1 + 4 * shape.weights / machine.disk / 60,
        written=shape.weights,
    )
