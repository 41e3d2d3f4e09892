"""How well models predict the answers of some lines, by their logits over the numbers."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import nn

from fourier_addition.models import ModelView
from fourier_addition.training.batches import Batch, LengthBuckets, Lines
from fourier_addition.training.learners import Learner, learner_for

BATCH_SIZE = 256
"""Lines of a batch in an evaluation."""


@torch.no_grad()
def measured(learner: Learner, batches: Iterable[Batch]) -> list[dict[str, float]]:
    """How well each seed predicts the answers of some lines, over the numbers (section 3.1).

    Returns for each seed examples, loss (mean, in nats), accuracy, within_2, within_10 (fractions).
    Leaves the learner in evaluation mode.
    """
    learner.eval()
    losses, errors = [], []
    for batch in batches:
        # One batch of lines serves every seed.
        answers = batch.answers.expand(learner.seeds, -1)
        wide = Batch(batch.ids.expand(learner.seeds, -1, -1), answers, batch.position, batch.shared)

        # Cross-entropy of each answer, and how far the likeliest number is from it.
        logits = learner.logits(wide, learner.number_rows).float()
        each = nn.functional.cross_entropy(logits.flatten(0, 1), answers.flatten(), reduction="none")
        losses.append(each.view(answers.shape))
        errors.append((logits.argmax(dim=-1) - answers).abs())

    loss, error = torch.cat(losses, dim=1), torch.cat(errors, dim=1).cpu().numpy()
    return [
        {
            "examples": error.shape[1],
            "loss": loss[seed].double().mean().item(),
            "accuracy": float(np.mean(error[seed] == 0)),
            "within_2": float(np.mean(error[seed] <= 2)),
            "within_10": float(np.mean(error[seed] <= 10)),
        }
        for seed in range(learner.seeds)
    ]


def evaluate(
    view: ModelView, lines: Lines, number_ids: np.ndarray, batch_size: int = BATCH_SIZE
) -> dict[str, float]:
    """How well one model predicts the answers of some lines, over the numbers; see `measured`."""
    learner = learner_for([view], number_ids, "answer", "numbers")
    buckets = LengthBuckets(lines, view.device, share=learner.shares_prefixes)
    return measured(learner, buckets.in_order(batch_size))[0]
