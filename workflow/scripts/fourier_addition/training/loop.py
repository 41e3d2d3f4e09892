"""Training on an arithmetic task, one loop from top to bottom (section 3.1 and appendix of the paper).

AdamW with linear decay to 0 and no warm-up, gradients clipped, as the paper's trainer does by
default. Batches hold prompts of one length, so nothing is padded; logits are computed where the loss
reads them only. The order of the data depends on the seed and the epoch alone, and the whole state
is saved as training goes, so that a run killed at any step resumes to the same last bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView
from fourier_addition.training.batches import Batch, LengthBuckets, Lines
from fourier_addition.training.best import BestWeights
from fourier_addition.training.evaluation import BATCH_SIZE, measured
from fourier_addition.training.learners import Learner, learner_for
from fourier_addition.training.optimizer import clip_gradients, optimizer_for
from fourier_addition.training.parallel import Gradients
from fourier_addition.training.settings import TrainingSettings
from fourier_addition.training.state import Resumable

CHECK_EVERY = 100
"""Steps between looks at the loss: each look waits for the device."""


def fit(
    views: Sequence[ModelView],
    train: Lines,
    validation: Lines,
    number_ids: np.ndarray,
    settings: TrainingSettings,
    *,
    seeds: Sequence[int] = (0,),
    state_file: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    on_epoch: Callable[[int, dict[str, float]], None] = lambda seed, row: None,
    on_step: Callable[[int, int], None] = lambda step, steps: None,
    keep: Callable[[int, Learner], None] = lambda epoch, learner: None,
) -> list[pd.DataFrame]:
    """Train models in place, one a seed, side by side; the history of each, one row an evaluation.

    views: models of one shape on one device. number_ids: (number,) token ids of 0..p-1.
    seeds: decide each model's order of the data. state_file: keeps the state of a killed run. identity:
    what, besides the settings, makes two runs the same run (data, start, code). keep: is given the learner
    before training, as epoch 0, and after every epoch, in the process that writes files. Columns: epoch (0 is
    before training), step, train_loss, validation_loss, accuracy, within_2, within_10, learning_rate.
    Raises UserError when a batch does not fit or the loss is not finite; the last good state stays on disk.
    """
    # One learner for the models of all seeds, and the lines in batches of one length.
    learner, batches, held_out = _prepared(views, train, validation, number_ids, settings)
    per_epoch = batches.steps(settings.batch_size)
    steps = per_epoch * settings.epochs

    # A run that was killed goes on from its state; a new one measures its start, epoch 0.
    torch.manual_seed(seeds[0])
    optimizer = optimizer_for(learner, settings)
    who = {"settings": settings.identity(), "seeds": list(seeds), **(identity or {})}
    resumable = Resumable(state_file, who, settings.save_seconds)
    saved = resumable.load(learner, optimizer)
    gradients = Gradients(learner, optimizer, settings)
    best = BestWeights(learner) if settings.keep == "best" else None
    if saved:
        progress = Progress.resumed(saved, views[0].device, best)
    else:
        progress = Progress([[] for _ in views], best=best)
        progress.add_rows(0, measured(learner, held_out.in_order(BATCH_SIZE)), settings.rate_at(0))
        if gradients.main:
            keep(0, learner)

    for epoch in range(progress.epoch, settings.epochs):
        # One step a batch, at a rate that falls linearly to 0.
        learner.train()
        for group, rows in batches.plan(settings.batch_size, seeds, epoch)[progress.done :]:
            step = epoch * per_epoch + progress.done
            losses = descend(gradients, batches.batch(group, rows), settings.rate_at(step / steps))
            progress.add_step(losses)
            on_step(step + 1, steps)
            _check_and_save(progress, step + 1, gradients, resumable, last=progress.done == per_epoch)

        # Validation, every few epochs and after the last.
        step = (epoch + 1) * per_epoch
        _check_finite(torch.stack(progress.losses), step, settings)
        if (epoch + 1) % settings.evaluate_every == 0 or epoch + 1 == settings.epochs:
            found = measured(learner, held_out.in_order(BATCH_SIZE))
            added = progress.add_rows(step, found, settings.rate_at((epoch + 1) / settings.epochs))
            for seed, row in zip(seeds, added, strict=True):
                on_epoch(seed, row)
        if gradients.main:
            keep(epoch + 1, learner)
        progress.begin(epoch + 1)

    # The weights of the last epoch, or of the best one.
    if best is not None:
        best.put_back()
    learner.finish()
    return [pd.DataFrame(history) for history in progress.histories]


def descend(gradients: Gradients, batch: Batch, rate: float) -> torch.Tensor:
    """One step of AdamW at a learning rate; returns the losses before it, (seed,) in nats.

    Raises UserError when the batch does not fit into the device's memory.
    """
    settings, optimizer = gradients.settings, gradients.optimizer
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    losses = gradients.backward(batch)
    if settings.clip:
        clip_gradients(optimizer, settings.clip, stacked=gradients.learner.stacked)
    optimizer.step()
    return losses


@dataclass
class Progress:
    """How far a run has come.

    histories: the rows of each seed so far. epoch: the epoch under way, from 0. done: its steps so
    far. losses: their losses, each (seed,) in nats on the model's device. best: keeps the weights of each
    seed's best epoch; None where the last ones are kept.
    """

    histories: list[list[dict[str, float]]]
    epoch: int = 0
    done: int = 0
    losses: list[torch.Tensor] = field(default_factory=list)
    best: BestWeights | None = None

    @classmethod
    def resumed(cls, saved: Mapping[str, Any], device: torch.device, best: BestWeights | None) -> Progress:
        """The progress that `saved` wrote, and the best weights so far in `best`."""
        losses = [*saved["losses"].to(device)]
        if best is not None:
            best.resume(saved["best"])
        return cls(saved["histories"], saved["epoch"], saved["done"], losses, best)

    def saved(self) -> dict[str, Any]:
        """The progress as plain values and one tensor, losses (step, seed)."""
        losses = torch.stack(self.losses).cpu()
        saved = {"epoch": self.epoch, "done": self.done, "histories": self.histories, "losses": losses}
        return saved if self.best is None else {**saved, "best": self.best.saved()}

    def add_step(self, losses: torch.Tensor) -> None:
        """Add a step's losses, (seed,)."""
        self.losses.append(losses)
        self.done += 1

    def begin(self, epoch: int) -> None:
        """Go on to an epoch of which no step is done."""
        self.epoch, self.done, self.losses = epoch, 0, []

    def add_rows(
        self, step: int, found: Sequence[Mapping[str, float]], rate: float
    ) -> list[dict[str, float]]:
        """Add an evaluation after `step` steps to the history of each seed; returns the new rows.

        The weights must still be those that were evaluated: the best are kept here.

        Before the first step this is epoch 0, without a training loss; later the epoch under way has
        ended.
        found: what `measured` gives for each seed. rate: the learning rate of the next step.
        """
        epoch = self.epoch + 1 if step else 0
        means = torch.stack(self.losses).double().mean(dim=0).tolist() if step else None
        rows = [
            {
                "epoch": epoch,
                "step": step,
                "train_loss": means[seed] if means else math.nan,
                "validation_loss": of_seed["loss"],
                **{key: of_seed[key] for key in ("accuracy", "within_2", "within_10")},
                "learning_rate": rate,
            }
            for seed, of_seed in enumerate(found)
        ]
        for history, row in zip(self.histories, rows, strict=True):
            history.append(row)
        if self.best is not None:
            self.best.consider(rows)
        return rows


def _prepared(
    views: Sequence[ModelView],
    train: Lines,
    validation: Lines,
    number_ids: np.ndarray,
    settings: TrainingSettings,
) -> tuple[Learner, LengthBuckets, LengthBuckets]:
    """The learner, and the lines to train and to validate on. Raises UserError for a batch size."""
    if not 1 <= settings.batch_size <= len(train):
        raise UserError(
            f"`batch_size` must be from 1 to the {len(train)} training lines, not {settings.batch_size}."
        )

    # Rows of the embedding that no line uses are left out where they would not move.
    frozen = not views[0].embedding_parameter().requires_grad
    used = None
    if settings.loss_over == "numbers" and (settings.weight_decay == 0 or frozen):
        both = [LengthBuckets(lines, torch.device("cpu")).tokens() for lines in (train, validation)]
        used = np.unique(np.concatenate([*both, np.asarray(number_ids)]))
    learner = learner_for(views, number_ids, settings.loss_on, settings.loss_over, used)

    # Shared prefixes give each batch its own shape, which compiled steps cannot have.
    device, share = views[0].device, learner.shares_prefixes
    return (
        learner,
        LengthBuckets(train, device, share=share and not settings.compile),
        LengthBuckets(validation, device, share=share),
    )


def _check_and_save(
    progress: Progress, step: int, gradients: Gradients, resumable: Resumable, *, last: bool
) -> None:
    """Look at the losses now and then, and save the state when it is time, but not at an epoch's last step.

    Raises UserError when losses or weights are no longer finite; the state on disk stays.
    """
    learner, settings = gradients.learner, gradients.settings
    due = resumable.due() and not last
    if due or progress.done % CHECK_EVERY == 0:
        _check_finite(torch.stack(progress.losses), step, settings)

    if due and gradients.main:
        # The losses are of before the step: the weights after it may be lost already.
        sums = torch.stack([weight.detach().sum() for weight in learner.parameters()])
        _check_finite(sums, step, settings)
        resumable.save(learner, gradients.optimizer, **progress.saved())


def _check_finite(values: torch.Tensor, step: int, settings: TrainingSettings) -> None:
    if not torch.isfinite(values).all():
        raise UserError(
            f"The training loss is no longer finite at step {step}: lower `learning_rate` "
            f"({settings.learning_rate}); the last good state is kept."
        )
