"""Next-token pre-training of a miniature model on generated text."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView
from fourier_addition.training.batches import Batch
from fourier_addition.training.learners import learner_for
from fourier_addition.training.loop import descend
from fourier_addition.training.optimizer import optimizer_for
from fourier_addition.training.parallel import Gradients
from fourier_addition.training.settings import TrainingSettings
from fourier_addition.training.state import Resumable


def fit_text(
    view: ModelView,
    lines: np.ndarray,
    settings: TrainingSettings,
    *,
    seed: int = 0,
    state_file: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> pd.DataFrame:
    """Pre-train a causal model on lines (line, token) of text by next-token prediction.

    One pass over the lines; `settings.epochs` is not used. state_file, identity: where to keep the
    state for a resume, and what besides settings and seed makes this run the same run.
    Returns step, loss (in nats), one row a step. Raises UserError when the lines fill no batch and
    when the loss is no longer finite.
    """
    stream = torch.as_tensor(lines, dtype=torch.long, device=view.device)
    steps = len(stream) // settings.batch_size
    if steps < 1:
        raise UserError(f"{len(stream)} lines of pre-training text do not fill one batch.")

    # The "numbers" are all tokens here, so that a line's last token is like any other.
    torch.manual_seed(seed)
    learner = learner_for([view], np.arange(view.vocab_size), "line", "vocabulary")
    optimizer = optimizer_for(learner, settings)

    # Where this run was killed before, it goes on from its state.
    who = {"settings": settings.identity(), "seed": seed, **(identity or {})}
    resumable = Resumable(state_file, who, settings.save_seconds)
    progress = resumable.load(learner, optimizer)
    history: list[dict[str, float]] = progress["history"] if progress else []
    gradients = Gradients(learner, optimizer, settings)

    # One step a batch, at a rate that falls linearly to 0.
    learner.train()
    for step in range(len(history), steps):
        text = stream[step * settings.batch_size : (step + 1) * settings.batch_size]
        batch = Batch(text[None, :, :-1], text[None, :, -1], text.shape[1] - 2)
        loss = descend(gradients, batch, settings.rate_at(step / steps))
        history.append({"step": step + 1, "loss": loss.item()})
        if not np.isfinite(history[-1]["loss"]):
            raise UserError(f"The pre-training loss is not finite at step {step + 1}: lower `learning_rate`.")

        on_step(step + 1, history[-1]["loss"])
        if resumable.due():
            resumable.save(learner, optimizer, history=history)

    learner.finish()
    return pd.DataFrame(history)
