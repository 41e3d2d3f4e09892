"""Where the results lie that a figure, a table or the claims read: of each run, seed, range or embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fourier_addition.pipeline import paths
from fourier_addition.pipeline.names import instance


@dataclass(frozen=True)
class Shown:
    """What one figure or table shows: names of a checked configuration, in the order of the figure or table.

    embeddings: each a model under `embeddings`, or a run. seed: of each run.
    """

    config: Mapping[str, Any]
    seed: int
    runs: Sequence[str] = ()
    embeddings: Sequence[str] = ()
    api_runs: Sequence[str] = ()

    def instance(self, run: str) -> str:
        """A run with the seed that is shown; with the run's first seed where it does not have that one."""
        seeds = self.config["runs"][run]["seeds"]
        return instance(run, self.seed if self.seed in seeds else seeds[0])

    def every_seed(self) -> list[tuple[str, int]]:
        """(run, seed) of every run with each of its seeds."""
        return [(run, seed) for run in self.runs for seed in self.config["runs"][run]["seeds"]]

    def every_range(self) -> list[tuple[str, str]]:
        """(run, name of the digit range) of every run with each digit range of its ablation."""
        return [(run, name) for run in self.runs for name in self.config["ablations"]["digit_ranges"]]


Input = Callable[[Shown], list[str]]
"""One input of a kind of figure or table: what is shown -> paths, in that order."""


def of_run(file: str) -> Input:
    """A file of each run, with the seed that is shown."""
    return lambda shown: [paths.run(shown.instance(run), file) for run in shown.runs]


def of_seeds(file: str) -> Input:
    """A file of each run with each of its seeds, in the order of `Shown.every_seed`."""
    return lambda shown: [paths.run(instance(run, seed), file) for run, seed in shown.every_seed()]


def of_ranges(file: str) -> Input:
    """A file of each run's ablation of each digit range, in the order of `Shown.every_range`."""
    return lambda shown: [
        paths.run(shown.instance(run), f"ablation/{paths.slug(name)}/{file}")
        for run, name in shown.every_range()
    ]


def of_embedding(file: str) -> Input:
    """A file of each number embedding: a model's, or a run's with the seed that is shown."""
    return lambda shown: [
        paths.embedding(shown.instance(each) if each in shown.config["runs"] else each, file)
        for each in shown.embeddings
    ]


def of_api_run(file: str) -> Input:
    """A file of each run of a model behind an API."""
    return lambda shown: [paths.api_run(run, file) for run in shown.api_runs]
