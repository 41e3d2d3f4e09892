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


def probes_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Probes of a run's residual stream, one state at a time.

    Host: n (3 d + 4 n + 3 c T) values of 8 bytes, c labellings (one and its shuffles), T the largest
    modulus. Operations, in float64 (a quarter of the speed), for each of L + 1 states: 2 n^2 d for the
    kernel, 2 n^3 for each fold's inverse, and 2 n^2 c T for each modulus.
    """
    entry, analysis = config["runs"][run], config["analysis"]
    shape = shape_of(config, entry["model"])
    n = examples_of(config, entry["task"], config["capture"]["split"])
    cases, moduli = 1 + analysis["probe_shuffles"], analysis["probe_moduli"]
    state = 2 * n**2 * (shape.width + n * analysis["probe_folds"] + cases * sum(moduli))
    return Estimate(
        host=BASES["table"] + 8 * n * (3 * shape.width + 4 * n + 3 * cases * max(moduli)) / MB,
        minutes=machine.startup + 4 * (shape.layers + 1) * state / machine.cpu_flops / 60,
        written=(shape.layers + 1) * len(moduli) * 50,
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
        host=BASES["torch"] + 300 + (shape.weights + 16 * shape.vocabulary * shape.width) / MB,
        minutes=machine.startup + 1 + 4 * shape.weights / machine.disk / 60,
        written=shape.weights,
    )
