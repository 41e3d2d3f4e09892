"""The weights of the epoch with the smallest validation loss, kept aside while training goes on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from fourier_addition.training.learners import Learner


class BestWeights:
    """Copies of each seed's weights, in main memory, as they were at its smallest validation loss so far.

    learner: what trains. losses: the smallest validation loss of each seed, in nats. epochs: the epoch of
    each, 0 before training, None where no loss was finite.
    """

    def __init__(self, learner: Learner) -> None:
        self.learner = learner
        self.losses = [math.inf] * learner.seeds
        self.epochs: list[int | None] = [None] * learner.seeds
        self._weights: list[dict[str, torch.Tensor]] = [{} for _ in range(learner.seeds)]

    def consider(self, rows: Sequence[Mapping[str, float]]) -> None:
        """Keep the weights of every seed whose validation loss is smaller than all before.

        rows: the newest row of each seed's history. The first of equal losses stays.
        """
        for seed, row in enumerate(rows):
            if row["validation_loss"] < self.losses[seed]:
                self.losses[seed], self.epochs[seed] = row["validation_loss"], int(row["epoch"])
                self._weights[seed] = {
                    name: self._of_seed(weight, seed).detach().to("cpu", copy=True)
                    for name, weight in self.learner.named_parameters()
                }

    @torch.no_grad()
    def put_back(self) -> None:
        """Give the learner the kept weights; a seed without any keeps its last ones."""
        for seed, kept in enumerate(self._weights):
            for name, weight in self.learner.named_parameters():
                if name in kept:
                    self._of_seed(weight, seed).copy_(kept[name])

    def _of_seed(self, weight: torch.Tensor, seed: int) -> torch.Tensor:
        """One seed's part of a weight that is stacked over seeds; the weight itself where it is not."""
        return weight[seed] if self.learner.stacked else weight

    def saved(self) -> dict[str, Any]:
        """Everything that `resume` needs, as plain values and tensors."""
        return {"losses": self.losses, "epochs": self.epochs, "weights": self._weights}

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Go on from what `saved` gave."""
        self.losses, self.epochs = list(saved["losses"]), list(saved["epochs"])
        self._weights = list(saved["weights"])
