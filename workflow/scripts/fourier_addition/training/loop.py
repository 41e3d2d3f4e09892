"""Training on an arithmetic task, one loop from top to bottom (section 3.1 and appendix of the paper).

AdamW with linear decay to 0 and no warm-up, gradients clipped, as the paper's trainer does by
default. Batches hold prompts of one length, so nothing is padded; logits are computed where the loss
reads them only. The order of the data depends on the seed and the epoch alone, and the whole state
is saved as training goes, so that a run killed at any step resumes to the same last bit.
"""

from __future__ import annotations

import contextlib
import math
import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView
from fourier_addition.training.batches import Batch, LengthBuckets, Lines
from fourier_addition.training.learners import LOSSES_ON, LOSSES_OVER, Learner, learner_for
from fourier_addition.training.state import Resumable

MIXED_PRECISION = ("none", "bf16")
CHECK_EVERY = 100
"""Steps between looks at the loss: each look waits for the device."""


@dataclass(frozen=True)
class TrainingSettings:
    """How a run trains; every field but the last is a configuration key.

    loss_on: `answer` (the answer's token) or `line` (every token of the line).
    loss_over: softmax over `numbers` or the whole `vocabulary`; a line needs the vocabulary.
    mixed_precision: `bf16` computes in bfloat16 around float32 weights.
    accumulate: parts that a batch is computed in, where it does not fit at once.
    compile: torch.compile with static shapes (CUDA graphs on a GPU).
    evaluate_every: epochs between validations.
    save_seconds: the state is saved at the first step after this long.
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
    mixed_precision: str = "none"
    accumulate: int = 1
    compile: bool = False
    evaluate_every: int = 1
    save_seconds: float = 60.0

    def __post_init__(self) -> None:
        for key, allowed in (
            ("loss_on", LOSSES_ON),
            ("loss_over", LOSSES_OVER),
            ("mixed_precision", MIXED_PRECISION),
        ):
            if getattr(self, key) not in allowed:
                raise UserError(f"`{key}` must be one of {', '.join(allowed)}, not '{getattr(self, key)}'.")
        if self.loss_on == "line" and self.loss_over != "vocabulary":
            raise UserError("A loss on the whole line (`loss_on: line`) needs `loss_over: vocabulary`.")

    def identity(self) -> dict[str, Any]:
        """What decides the weights: all but how often the state is saved."""
        return {key: value for key, value in asdict(self).items() if key != "save_seconds"}


def optimizer_for(learner: nn.Module, settings: TrainingSettings, stacked: bool = False) -> torch.optim.AdamW:
    """AdamW over the parameters that train; gains and biases do not decay."""
    trained = [parameter for parameter in learner.parameters() if parameter.requires_grad]
    vector = 1 + stacked
    groups = [
        {"params": [p for p in trained if p.dim() > vector], "weight_decay": settings.weight_decay},
        {"params": [p for p in trained if p.dim() <= vector], "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(
        [group for group in groups if group["params"]],
        lr=settings.learning_rate,
        betas=settings.betas,
        eps=settings.epsilon,
        fused=True,
    )


def clip_gradients(optimizer: torch.optim.Optimizer, limit: float, stacked: bool = False) -> None:
    """Scale the gradients down to the norm `limit`; of stacked seeds each by its own norm."""
    gradients = [p.grad for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    if not stacked:
        norm = torch.linalg.vector_norm(torch.stack(torch._foreach_norm(gradients)))
        torch._foreach_mul_(gradients, torch.clamp(limit / (norm + 1e-6), max=1.0))
        return
    norms = torch.stack([gradient.flatten(1).norm(dim=1) for gradient in gradients])
    scales = torch.clamp(limit / (norms.norm(dim=0) + 1e-6), max=1.0)
    for gradient in gradients:
        gradient.mul_(scales.view(-1, *[1] * (gradient.dim() - 1)))


@torch.no_grad()
def measured(learner: Learner, batches: Iterable[Batch]) -> list[dict[str, float]]:
    """How well each seed predicts the answers of some lines, over the numbers.

    Returns for each seed examples, loss (mean, in nats), accuracy, within_2, within_10 (fractions).
    """
    learner.eval()
    losses, errors = [], []
    for batch in batches:
        # One batch of lines serves every seed.
        answers = batch.answers.expand(learner.seeds, -1)
        wide = Batch(batch.ids.expand(learner.seeds, -1, -1), answers, batch.position, batch.shared)
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
    view: ModelView, lines: Lines, number_ids: np.ndarray, batch_size: int = 256
) -> dict[str, float]:
    """How well a model predicts the answers of some lines, over the numbers; see `measured`."""
    learner = learner_for([view], number_ids, "answer", "numbers")
    buckets = LengthBuckets(lines, view.device, share=learner.shares_prefixes)
    return measured(learner, buckets.in_order(batch_size))[0]


def accelerator_for(settings: TrainingSettings, device: torch.device) -> Any:
    """Accelerate's driver of several processes or of batches in parts; None where neither is asked for."""
    if settings.accumulate == 1 and int(os.environ.get("WORLD_SIZE", "1")) == 1:
        return None
    from accelerate import Accelerator
    from accelerate.utils import DistributedDataParallelKwargs

    # A model's unused parts (a pooler) get no gradient.
    unused = DistributedDataParallelKwargs(find_unused_parameters=True)
    # A job that was granted no GPU must not take one.
    return Accelerator(
        cpu=device.type == "cpu",
        gradient_accumulation_steps=settings.accumulate,
        kwargs_handlers=[unused],
    )


def parts(batch: Batch, accelerator: Any, count: int) -> Iterator[tuple[Batch, float]]:
    """This process' parts of a batch, and the weight that makes their mean the mean over the batch."""
    if accelerator is None:
        yield batch, 1.0
        return
    everyone = count * accelerator.num_processes
    for part in range(accelerator.process_index * count, (accelerator.process_index + 1) * count):
        rows = range(batch.lines)[part::everyone]
        # With fewer lines than parts, a part is one line that counts nothing, so that all keep step.
        chosen = batch.part(slice(part, None, everyone)) if rows else batch.part(slice(0, 1))
        yield chosen, len(rows) * everyone / batch.lines


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
) -> list[pd.DataFrame]:
    """Train models in place, one a seed, side by side; the history of each, one row an evaluation.

    views: models of one shape on one device. number_ids: (number,) token ids of 0..p-1.
    seeds: decide each model's order of the data. state_file: where to keep the state for a resume;
    identity: what besides the settings makes this run the same run (data, start, code).
    Columns: epoch (0 is before training), step, train_loss, validation_loss, accuracy, within_2,
    within_10, learning_rate. Raises UserError when a batch does not fit or the loss is no longer
    finite; the last good state stays on disk.
    """
    if not 1 <= settings.batch_size <= len(train):
        raise UserError(
            f"`batch_size` must be from 1 to the {len(train)} training lines, not {settings.batch_size}."
        )
    learner, train_buckets, held_out = _prepare(views, train, validation, number_ids, settings)
    stacked = learner.seeds > 1
    device = views[0].device
    steps = (per_epoch := train_buckets.steps(settings.batch_size)) * settings.epochs
    torch.manual_seed(seeds[0])
    optimizer = optimizer_for(learner, settings, stacked)
    who = {"settings": settings.identity(), "seeds": list(seeds), **(identity or {})}
    resumable = Resumable(state_file, who, settings.save_seconds)
    progress = resumable.load(learner, optimizer)
    module, accelerator = learner, accelerator_for(settings, device)
    if accelerator is not None:
        module, optimizer = accelerator.prepare(learner, optimizer)
    compiled = module
    if settings.compile:
        mode = "reduce-overhead" if device.type == "cuda" else None
        compiled = torch.compile(module, dynamic=False, mode=mode)
    start, done, losses = 0, 0, []
    if progress:
        start, done, histories = progress["epoch"], progress["done"], progress["histories"]
        losses = [*progress["losses"].to(device)]
    else:
        before = measured(learner, held_out.in_order(256))
        histories = [[_row(0, 0, math.nan, found, settings.learning_rate)] for found in before]

    for epoch in range(start, settings.epochs):
        learner.train()
        plan = train_buckets.plan(settings.batch_size, seeds, epoch)
        for group, rows in plan[done:]:
            step = epoch * per_epoch + done
            batch = train_buckets.batch(group, rows)
            whole = batch.lines == settings.batch_size  # a batch of another shape is not compiled
            chosen = compiled if whole else module
            rate = settings.learning_rate * (1 - step / steps)
            losses.append(descend(chosen, batch, optimizer, settings, rate, accelerator, stacked))
            done += 1
            on_step(step + 1, steps)
            due = resumable.due() and done < per_epoch
            if due or done % CHECK_EVERY == 0:
                _check(torch.stack(losses), step + 1, settings)
            if due and (accelerator is None or accelerator.is_main_process):
                # The loss was measured before the step: the weights after it may be lost already.
                _check(
                    torch.stack([weight.detach().sum() for weight in learner.parameters()]),
                    step + 1,
                    settings,
                )
                kept = torch.stack(losses).cpu()
                resumable.save(learner, optimizer, epoch=epoch, done=done, histories=histories, losses=kept)
        _check(torch.stack(losses), (epoch + 1) * per_epoch, settings)
        means = torch.stack(losses).double().mean(dim=0).tolist()
        if (epoch + 1) % settings.evaluate_every == 0 or epoch + 1 == settings.epochs:
            rate = settings.learning_rate * (1 - (epoch + 1) / settings.epochs)
            for seed, found in enumerate(measured(learner, held_out.in_order(256))):
                row = _row(epoch + 1, (epoch + 1) * per_epoch, means[seed], found, rate)
                histories[seed].append(row)
                on_epoch(seeds[seed], row)
        done, losses = 0, []
    learner.finish()
    for view in views:
        view.model.eval()
    return [pd.DataFrame(history) for history in histories]


def _prepare(
    views: Sequence[ModelView],
    train: Lines,
    validation: Lines,
    number_ids: np.ndarray,
    settings: TrainingSettings,
) -> tuple[Learner, LengthBuckets, LengthBuckets]:
    """The learner and its data. Rows that no line uses are left out where they would not move."""
    device = views[0].device
    frozen = not views[0].embedding_parameter().requires_grad
    used = None
    if settings.loss_over == "numbers" and (settings.weight_decay == 0 or frozen):
        both = [LengthBuckets(lines, torch.device("cpu")).tokens() for lines in (train, validation)]
        used = np.unique(np.concatenate([*both, np.asarray(number_ids)]))
    learner = learner_for(views, number_ids, settings.loss_on, settings.loss_over, used)
    share = learner.shares_prefixes
    return (
        learner,
        LengthBuckets(train, device, share=share and not settings.compile),
        LengthBuckets(validation, device, share=share),
    )


def descend(
    module: nn.Module,
    batch: Batch,
    optimizer: torch.optim.Optimizer,
    settings: TrainingSettings,
    rate: float,
    accelerator: Any = None,
    stacked: bool = False,
) -> torch.Tensor:
    """One step of the optimizer at a rate; the loss (seed,) before it.

    accelerator: of `accelerator_for`. stacked: whether weights have a leading `seed` dimension.
    Raises UserError when the batch does not fit into the device's memory.
    """
    total: torch.Tensor | float = 0.0
    for group in optimizer.param_groups:
        group["lr"] = rate
    optimizer.zero_grad(set_to_none=True)
    mixed = torch.autocast(batch.ids.device.type, torch.bfloat16, settings.mixed_precision == "bf16")
    try:
        for part, weight in parts(batch, accelerator, settings.accumulate):
            together = contextlib.nullcontext() if accelerator is None else accelerator.accumulate(module)
            with together:
                with mixed:
                    loss = module(part)
                if accelerator is None:
                    loss.sum().backward()
                else:
                    loss = loss * weight
                    accelerator.backward(loss.sum())
                    loss = accelerator.reduce(loss.detach(), "mean") / settings.accumulate
            total = total + loss.detach()
    except torch.OutOfMemoryError:
        raise UserError(
            f"A batch of {settings.batch_size} lines does not fit into the memory of {batch.ids.device}: "
            "lower `batch_size`, or raise `accumulate` to compute it in parts."
        ) from None
    if settings.clip:
        clip_gradients(optimizer, settings.clip, stacked)
    optimizer.step()
    return total


def _check(values: torch.Tensor, step: int, settings: TrainingSettings) -> None:
    if not torch.isfinite(values).all():
        raise UserError(
            f"The training loss is no longer finite at step {step}: lower `learning_rate` "
            f"({settings.learning_rate}); the last good state is kept."
        )


def _row(
    epoch: int, step: int, train_loss: float, found: Mapping[str, float], rate: float
) -> dict[str, float]:
    return {
        "epoch": epoch,
        "step": step,
        "train_loss": train_loss,
        "validation_loss": found["loss"],
        **{key: found[key] for key in ("accuracy", "within_2", "within_10")},
        "learning_rate": rate,
    }
