"""How the gradients of a batch are computed: at once or in parts, in one process or several, compiled or not.

Several processes and batches in parts go through Accelerate. The training loop asks for the gradients
of a batch and does not see which of these ways was taken.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.training.batches import Batch
from fourier_addition.training.learners import Learner
from fourier_addition.training.settings import TrainingSettings


class Gradients:
    """Computes losses and gradients of batches, as a run's settings and its processes ask for.

    learner: what is trained. optimizer: the optimizer to step; Accelerate wraps the one given.
    main: whether this process writes files.
    """

    def __init__(
        self, learner: Learner, optimizer: torch.optim.Optimizer, settings: TrainingSettings
    ) -> None:
        device = learner.views[0].device
        self.learner, self.optimizer, self.settings = learner, optimizer, settings
        self._module: nn.Module = learner
        self._accelerator = accelerator_for(settings, device)
        if self._accelerator is not None:
            self._module, self.optimizer = self._accelerator.prepare(learner, optimizer)
        self.main: bool = self._accelerator is None or self._accelerator.is_main_process
        self._compiled: Callable[[Batch], torch.Tensor] = self._module
        if settings.compile:
            mode = "reduce-overhead" if device.type == "cuda" else None
            self._compiled = torch.compile(self._module, dynamic=False, mode=mode)

    def backward(self, batch: Batch) -> torch.Tensor:
        """Add a batch's gradients to the weights' and return its losses, (seed,) in nats.

        Raises UserError when the batch does not fit into the device's memory.
        """
        # A batch of another shape, the last of its length, is not compiled.
        usual = batch.lines == self.settings.batch_size
        losses_of = self._compiled if usual else self._module
        try:
            if self._accelerator is None:
                return self._at_once(losses_of, batch)
            return self._in_parts(losses_of, batch)
        except torch.OutOfMemoryError:
            raise UserError(
                f"A batch of {self.settings.batch_size} lines does not fit into the memory of "
                f"{batch.ids.device}: lower `batch_size`, or raise `accumulate` to compute it in parts."
            ) from None

    def _autocast(self, batch: Batch) -> torch.autocast:
        mixed = self.settings.mixed_precision == "bf16"
        return torch.autocast(batch.ids.device.type, torch.bfloat16, mixed)

    def _at_once(self, losses_of: Callable[[Batch], torch.Tensor], batch: Batch) -> torch.Tensor:
        with self._autocast(batch):
            losses = losses_of(batch)
        # Seeds share no weight, so the gradient of the sum is each seed's own.
        losses.sum().backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        return losses.detach()

    def _in_parts(self, losses_of: Callable[[Batch], torch.Tensor], batch: Batch) -> torch.Tensor:
        total = torch.zeros(self.learner.seeds, device=batch.ids.device)
        for part, weight in parts(batch, self._accelerator, self.settings.accumulate):
            with self._accelerator.accumulate(losses_of):
                with self._autocast(part):
                    losses = losses_of(part)
                losses = losses * weight
                self._accelerator.backward(losses.sum())
            total += self._accelerator.reduce(losses.detach(), "mean") / self.settings.accumulate
        return total


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
    """This process' parts of a batch, and the weight that makes their mean the mean over the batch.

    count: parts that each process computes.
    """
    everyone = count * accelerator.num_processes
    for part in range(accelerator.process_index * count, (accelerator.process_index + 1) * count):
        rows = range(batch.lines)[part::everyone]
        # With fewer lines than parts, a part is one line that counts nothing, so that all keep step.
        chosen = batch.part(slice(part, None, everyone)) if rows else batch.part(slice(0, 1))
        yield chosen, len(rows) * everyone / batch.lines
