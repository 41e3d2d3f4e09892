"""How captures and ablations are shared out to several jobs: captures by examples, ablations by batches."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from fourier_addition.pipeline import paths
from fourier_addition.pipeline.names import instance, task_of
from fourier_addition.tasks import SPLITS, Task, of_split, pairs, split_sizes
from fourier_addition.tasks import dataset as examples_of


def split_size(config: Mapping[str, Any], task: str, split: str) -> int:
    """Number of examples in a split of a task."""
    return _split_size(task_of(config, task), split)


@cache
def _split_size(task: Task, split: str) -> int:
    return int(split_sizes(len(pairs(task)), task.fractions)[SPLITS.index(split)])


def of_capture(config: Mapping[str, Any], task: str) -> list[tuple[int, int]]:
    """Capture jobs of the captured split: (first example, one past the last) of each."""
    count = split_size(config, task, config["capture"]["split"])
    size = config["capture"]["shard"]
    return [(i * size, min((i + 1) * size, count)) for i in range(math.ceil(count / size))]


@cache
def _operands(task: Task, split: str) -> Any:
    """(example, 2) operands of a split's examples."""
    return of_split(examples_of(task), split)[["a", "b"]].to_numpy()


def of_ablation(config: Mapping[str, Any], task: str, span: Sequence[int] | None) -> int:
    """Jobs that one ablation is shared out to: as many as `ablations.shard` asks for, a batch each at least.

    span: digit range [smallest, largest], or None for all examples of the split.
    """
    settings = config["ablations"]

    # Examples that are filtered: those of the split with both operands in the range.
    operands = _operands(task_of(config, task), settings["split"])
    count = len(operands)
    if span is not None:
        count = int(((operands >= span[0]) & (operands <= span[1])).all(axis=1).sum())

    # A job filters whole batches, since a batch of another size may round differently.
    part = int(max(settings["shard"] or count or 1, settings["batch_size"]))
    return max(1, math.ceil(count / part))


def captures(config: Mapping[str, Any], name: str, seed: int, suffix: str) -> list[str]:
    """Zarr stores (`zarr`) or manifests (`json`) of one run's captured activations."""
    count = len(of_capture(config, config["runs"][name]["task"]))
    split = config["capture"]["split"]
    return [paths.run(instance(name, seed), f"activations/{split}/{i}.{suffix}") for i in range(count)]
