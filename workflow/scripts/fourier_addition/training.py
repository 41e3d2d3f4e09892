"""Training on an arithmetic task, one loop from top to bottom (section 3.1 and appendix of the paper).

AdamW with linear decay to 0 and no warm-up, gradients clipped, as the paper's trainer does by
default. Batches hold prompts of one length, so nothing is padded; logits are computed at the
answer's position only. The order of the data depends on the seed and the epoch alone, and the
whole state is saved as training goes, so that a killed run resumes to the same last bit.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView
from fourier_addition.models.encoding import Encoded
from fourier_addition.storage import replacing

LOSSES_ON = ("answer", "line")
LOSSES_OVER = ("numbers", "vocabulary")


@dataclass(frozen=True)
class TrainingSettings:
    """How a run trains; every field is a configuration key.

    loss_on: `answer` (the answer's token) or `line` (every token of the line).
    loss_over: softmax over `numbers` or the whole `vocabulary`; a line needs the vocabulary.
    save_seconds: the state is saved at the first epoch's end after this long.
    """

    epochs: int
    learning_rate: float
    batch_size: int = 16
    weight_decay: float = 0.0
    betas: tuple[float, float] = (0.9, 0.999)
    epsilon: float = 1e-8
    clip: float = 1.0
    loss_on: str = "answer"
    loss_over: str = "numbers"
    seed: int = 0
    save_seconds: float = 60.0

    def __post_init__(self) -> None:
        if self.loss_on not in LOSSES_ON:
            raise UserError(f"`loss_on` must be one of {', '.join(LOSSES_ON)}, not '{self.loss_on}'.")
        if self.loss_over not in LOSSES_OVER:
            raise UserError(f"`loss_over` must be one of {', '.join(LOSSES_OVER)}, not '{self.loss_over}'.")
        if self.loss_on == "line" and self.loss_over != "vocabulary":
            raise UserError("A loss on the whole line (`loss_on: line`) needs `loss_over: vocabulary`.")


@dataclass(frozen=True)
class Lines:
    """Prompts and their answers: encoded (example,), answers (example,) int64 numbers."""

    encoded: Sequence[Encoded]
    answers: np.ndarray

    def __len__(self) -> int:
        return len(self.encoded)


def lines_of(view: ModelView, examples: pd.DataFrame, split: str) -> Lines:
    """The lines of one split of a dataset (columns prompt, answer, split)."""
    rows = examples[examples["split"] == split]
    return Lines(view.encode(rows["prompt"].tolist()), rows["answer"].to_numpy())


class LengthBuckets:
    """Lines grouped by length and reading position, as stacked tensors on one device."""

    def __init__(self, lines: Lines, device: torch.device) -> None:
        groups: dict[tuple[int, int], list[int]] = {}
        for index, (ids, position) in enumerate(lines.encoded):
            groups.setdefault((len(ids), position), []).append(index)
        self.groups = [
            (
                position,
                torch.tensor([lines.encoded[index].ids for index in members], device=device),
                torch.tensor(lines.answers[members], device=device),
            )
            for (_, position), members in sorted(groups.items())
        ]

    def batches(self, size: int, generator: np.random.Generator | None) -> Iterator[tuple[int, Any, Any]]:
        """(position, ids (batch, token), answers (batch,)); shuffled where a generator is given."""
        plan = []
        for group, (_, ids, _) in enumerate(self.groups):
            order = generator.permutation(len(ids)) if generator else np.arange(len(ids))
            plan += [(group, order[start : start + size]) for start in range(0, len(order), size)]
        turns = generator.permutation(len(plan)) if generator else np.arange(len(plan))
        for turn in turns:
            group, rows = plan[turn]
            position, ids, answers = self.groups[group]
            index = torch.as_tensor(rows, device=ids.device)
            yield position, ids[index], answers[index]

    def steps(self, size: int) -> int:
        """Batches of one pass."""
        return sum(math.ceil(len(ids) / size) for _, ids, _ in self.groups)


def line_loss(
    view: ModelView,
    ids: torch.Tensor,
    position: int,
    answers: torch.Tensor,
    number_ids: torch.Tensor,
    settings: TrainingSettings,
) -> torch.Tensor:
    """Mean cross-entropy of one batch: ids (batch, token), answers (batch,) as numbers."""
    if settings.loss_on == "line":
        if not view.causal:
            raise UserError(
                "A loss on the whole line needs a causal model; masked models predict the answer."
            )
        line = torch.cat([ids, number_ids[answers][:, None]], dim=1)
        logits = view.model(input_ids=line[:, :-1], use_cache=False).logits
        return nn.functional.cross_entropy(logits.flatten(0, 1).float(), line[:, 1:].flatten())
    hidden = view.final_hidden(ids, position)
    if settings.loss_over == "numbers":
        return nn.functional.cross_entropy(view.number_logits(hidden, number_ids), answers)
    everything = torch.arange(view.vocab_size, device=ids.device)
    return nn.functional.cross_entropy(view.number_logits(hidden, everything), number_ids[answers])


@torch.no_grad()
def evaluate(
    view: ModelView, buckets: LengthBuckets, number_ids: np.ndarray | torch.Tensor, batch_size: int = 256
) -> dict[str, float]:
    """How well the answers of some lines are predicted, over the numbers.

    Returns examples, loss (mean, in nats), accuracy, within_2, within_10 (fractions).
    """
    view.model.eval()
    number_ids = torch.as_tensor(number_ids, dtype=torch.long, device=view.device)
    errors, loss, count = [], 0.0, 0
    for position, ids, answers in buckets.batches(batch_size, None):
        logits = view.forward_number_logits(ids, position, number_ids)
        loss += nn.functional.cross_entropy(logits, answers, reduction="sum").item()
        errors.append((logits.argmax(dim=-1) - answers).abs())
        count += len(answers)
    error = torch.cat(errors).cpu().numpy()
    return {
        "examples": count,
        "loss": loss / count,
        "accuracy": float(np.mean(error == 0)),
        "within_2": float(np.mean(error <= 2)),
        "within_10": float(np.mean(error <= 10)),
    }


def _validation(view: ModelView, buckets: LengthBuckets, ids: torch.Tensor) -> dict[str, float]:
    found = evaluate(view, buckets, ids)
    return {"validation_loss": found["loss"], **{k: found[k] for k in ("accuracy", "within_2", "within_10")}}


class Resumable:
    """The state of a training run on disk: written whole, read back only by the same run."""

    def __init__(self, path: Path | None, identity: Mapping[str, Any]) -> None:
        self.path = path
        text = json.dumps(identity, sort_keys=True, default=str)
        self.identity = hashlib.sha256(text.encode()).hexdigest()

    def load(self) -> dict[str, Any] | None:
        """The saved state, or None where there is none or it belongs to another run."""
        if self.path is None or not self.path.exists():
            return None
        try:
            state = torch.load(self.path, weights_only=True)
        except Exception:  # a truncated or foreign file is no state; training starts afresh
            return None
        return state if state.get("identity") == self.identity else None

    def save(self, **state: Any) -> None:
        """Replace the saved state."""
        if self.path is not None:
            with replacing(self.path) as temporary:
                torch.save({"identity": self.identity, **state}, temporary)

    def remove(self) -> None:
        """Forget the saved state, once the run's outputs are complete."""
        if self.path is not None:
            self.path.unlink(missing_ok=True)


def optimizer_for(parameters: Sequence[nn.Parameter], settings: TrainingSettings) -> torch.optim.AdamW:
    """AdamW over the parameters that train."""
    return torch.optim.AdamW(
        [parameter for parameter in parameters if parameter.requires_grad],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def descend(
    loss: torch.Tensor, optimizer: torch.optim.Optimizer, settings: TrainingSettings, step: int, steps: int
) -> None:
    """One optimizer step at the linearly decayed rate: learning_rate * (1 - step / steps)."""
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate * (1 - step / steps)
    optimizer.zero_grad(set_to_none=True)
    loss.backward()
    if settings.clip:
        nn.utils.clip_grad_norm_(optimizer.param_groups[0]["params"], settings.clip)
    optimizer.step()


def fit(
    view: ModelView,
    train: Lines,
    validation: Lines,
    number_ids: np.ndarray,
    settings: TrainingSettings,
    *,
    state_file: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    on_epoch: Callable[[dict[str, float]], None] = lambda row: None,
) -> pd.DataFrame:
    """Train `view` in place and return its history, one row an epoch (row 0 before training).

    number_ids: (number,) token ids of 0..p-1. state_file: where to keep the state for a resume;
    identity: what besides the settings makes this run the same run (data, start, code).
    Columns: epoch, step, train_loss, validation_loss, accuracy, within_2, within_10, learning_rate.
    Raises UserError when the loss is no longer finite; the last good state stays on disk.
    """
    if settings.batch_size < 1 or len(train) < 1:
        raise UserError(f"Batch size {settings.batch_size} over {len(train)} training lines leaves no batch.")
    ids = torch.as_tensor(number_ids, dtype=torch.long, device=view.device)
    train_buckets, held_out = LengthBuckets(train, view.device), LengthBuckets(validation, view.device)
    per_epoch = train_buckets.steps(settings.batch_size)
    steps = per_epoch * settings.epochs
    torch.manual_seed(settings.seed)
    optimizer = optimizer_for(list(view.model.parameters()), settings)
    resumable = Resumable(state_file, {"settings": asdict(settings), **(identity or {})})
    saved = resumable.load()
    if saved:
        view.model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["generator"])
        if view.device.type == "cuda":
            torch.cuda.set_rng_state(saved["cuda_generator"])
        history = saved["history"]
    else:
        start = _validation(view, held_out, ids)
        rate = settings.learning_rate
        history = [{"epoch": 0, "step": 0, "train_loss": math.nan, **start, "learning_rate": rate}]
    last_saved = time.monotonic()
    for epoch in range(history[-1]["epoch"], settings.epochs):
        view.model.train()
        losses = []
        order = np.random.default_rng((settings.seed, epoch))
        step = epoch * per_epoch
        for position, batch, answers in train_buckets.batches(settings.batch_size, order):
            loss = line_loss(view, batch, position, answers, ids, settings)
            descend(loss, optimizer, settings, step, steps)
            losses.append(loss.detach())
            step += 1
        train_loss = torch.stack(losses).mean().item()
        if not math.isfinite(train_loss):
            raise UserError(
                f"The training loss is {train_loss} in epoch {epoch + 1}: lower `learning_rate` "
                f"({settings.learning_rate}); the state of the last saved epoch is kept."
            )
        row = {"epoch": epoch + 1, "step": step, "train_loss": train_loss}
        row |= _validation(view, held_out, ids)
        row["learning_rate"] = settings.learning_rate * (1 - step / steps)
        history.append(row)
        on_epoch(row)
        if epoch + 1 < settings.epochs and time.monotonic() - last_saved > settings.save_seconds:
            resumable.save(
                model=view.model.state_dict(),
                optimizer=optimizer.state_dict(),
                generator=torch.get_rng_state(),
                cuda_generator=torch.cuda.get_rng_state() if view.device.type == "cuda" else None,
                history=history,
            )
            last_saved = time.monotonic()
    view.model.eval()
    return pd.DataFrame(history)


def fit_text(
    view: ModelView,
    lines: np.ndarray,
    settings: TrainingSettings,
    *,
    state_file: Path | None = None,
    identity: Mapping[str, Any] | None = None,
    on_step: Callable[[int, float], None] = lambda step, loss: None,
) -> pd.DataFrame:
    """Pre-train a causal model on lines (line, token) of text by next-token prediction.

    One pass over the lines; `settings.epochs` is not used. Returns step, loss.
    """
    stream = torch.as_tensor(lines, dtype=torch.long, device=view.device)
    steps = len(stream) // settings.batch_size
    if steps < 1:
        raise UserError(f"{len(stream)} lines of pre-training text do not fill one batch.")
    torch.manual_seed(settings.seed)
    optimizer = optimizer_for(list(view.model.parameters()), settings)
    resumable = Resumable(state_file, {"settings": asdict(settings), **(identity or {})})
    saved = resumable.load()
    history: list[dict[str, float]] = []
    if saved:
        view.model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        torch.set_rng_state(saved["generator"])
        history = saved["history"]
    view.model.train()
    last_saved = time.monotonic()
    for step in range(len(history), steps):
        batch = stream[step * settings.batch_size : (step + 1) * settings.batch_size]
        logits = view.model(input_ids=batch[:, :-1], use_cache=False).logits
        loss = nn.functional.cross_entropy(logits.flatten(0, 1).float(), batch[:, 1:].flatten())
        descend(loss, optimizer, settings, step, steps)
        history.append({"step": step + 1, "loss": loss.item()})
        if not math.isfinite(history[-1]["loss"]):
            raise UserError(f"The pre-training loss is not finite at step {step + 1}: lower `learning_rate`.")
        on_step(step + 1, history[-1]["loss"])
        if time.monotonic() - last_saved > settings.save_seconds:
            resumable.save(
                model=view.model.state_dict(),
                optimizer=optimizer.state_dict(),
                generator=torch.get_rng_state(),
                history=history,
            )
            last_saved = time.monotonic()
    view.model.eval()
    return pd.DataFrame(history)
