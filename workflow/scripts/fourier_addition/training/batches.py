"""Lines of a task as batches of one length, in an order that the seed and the epoch decide."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
import torch

from fourier_addition.models import ModelView
from fourier_addition.models.encoding import Encoded
from fourier_addition.models.prefixes import SharedPrefixes, prefix_nodes, shared_prefixes


@dataclass(frozen=True)
class Lines:
    """Prompts and their answers: encoded (line,), answers (line,) int64 numbers."""

    encoded: Sequence[Encoded]
    answers: np.ndarray

    def __len__(self) -> int:
        return len(self.encoded)


def lines_of(view: ModelView, examples: pd.DataFrame, split: str) -> Lines:
    """The lines of one split of a dataset (columns prompt, answer, split)."""
    rows = examples[examples["split"] == split]
    return Lines(view.encode(rows["prompt"].tolist()), rows["answer"].to_numpy())


@dataclass(frozen=True)
class Batch:
    """The lines of one step, for each of the seeds that train side by side.

    ids: (seed, line, token) token ids. answers: (seed, line) numbers. position: the token where the
    answer is read. shared: the tokens to compute, where there is one seed and its lines share prefixes.
    """

    ids: torch.Tensor
    answers: torch.Tensor
    position: int
    shared: SharedPrefixes | None = None

    @property
    def lines(self) -> int:
        """How many lines each seed has."""
        return self.ids.shape[1]

    def part(self, rows: slice) -> Batch:
        """Some of the lines, without shared prefixes."""
        return Batch(self.ids[:, rows], self.answers[:, rows], self.position)


class LengthBuckets:
    """Lines grouped by length and reading position, on one device: no batch needs padding.

    share: give each batch the tokens that its lines have in common from their start.
    """

    def __init__(self, lines: Lines, device: torch.device, *, share: bool = False) -> None:
        groups: dict[tuple[int, int], list[int]] = {}
        for index, line in enumerate(lines.encoded):
            groups.setdefault((len(line.ids), line.position), []).append(index)

        # For each group ids (line, token), answers (line,) and prefix nodes (line, token).
        self.device = device
        self.positions: list[int] = []
        self.ids: list[torch.Tensor] = []
        self.answers: list[torch.Tensor] = []
        self.nodes: list[np.ndarray | None] = []
        for (_, position), members in sorted(groups.items()):
            ids = np.array([lines.encoded[index].ids for index in members])
            self.positions.append(position)
            self.ids.append(torch.from_numpy(ids).to(device))
            self.answers.append(torch.tensor(lines.answers[members], device=device))
            self.nodes.append(prefix_nodes(ids) if share else None)

    def plan(self, size: int, seeds: Sequence[int], epoch: int) -> list[tuple[int, np.ndarray]]:
        """Batches of one epoch: (group, rows (seed, line)).

        The seed and the epoch decide the rows. The epoch alone decides the turn of the groups, so that
        seeds that train side by side always have lines of one length.
        """
        orders = [np.random.default_rng((seed, epoch)) for seed in seeds]
        batches: list[tuple[int, np.ndarray]] = []
        for group, ids in enumerate(self.ids):
            rows = np.stack([order.permutation(len(ids)) for order in orders])
            batches += [(group, rows[:, start : start + size]) for start in range(0, len(ids), size)]

        turns = np.random.default_rng((epoch,)).permutation(len(batches))
        return [batches[turn] for turn in turns]

    def in_order(self, size: int) -> Iterator[Batch]:
        """Batches of all lines in the order of each group, for evaluation; one seed."""
        for group, ids in enumerate(self.ids):
            for start in range(0, len(ids), size):
                yield self.batch(group, np.arange(start, min(start + size, len(ids)))[None])

    def batch(self, group: int, rows: np.ndarray) -> Batch:
        """The lines (seed, line) of one group."""
        index = torch.from_numpy(rows).to(self.device)
        shared, nodes = None, self.nodes[group]
        if nodes is not None and len(rows) == 1:
            shared = shared_prefixes(nodes[rows[0]], self.device)
        return Batch(self.ids[group][index], self.answers[group][index], self.positions[group], shared)

    def steps(self, size: int) -> int:
        """Batches of one epoch."""
        return sum(math.ceil(len(ids) / size) for ids in self.ids)

    def tokens(self) -> np.ndarray:
        """Ids of all tokens in the lines, ascending."""
        return np.unique(np.concatenate([np.unique(ids.cpu().numpy()) for ids in self.ids]))
