"""How a run trains: the configuration keys that decide its steps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from fourier_addition.errors import UserError

LOSSES_ON = ("answer", "line")
LOSSES_OVER = ("numbers", "vocabulary")
MIXED_PRECISION = ("none", "bf16")
KEEP = ("last", "best")


@dataclass(frozen=True)
class TrainingSettings:
    """How a run trains; every field but the last is a configuration key.

    learning_rate: before the first step; it falls linearly to 0. batch_size: lines a step.
    clip: largest norm of the gradients; 0 does not clip.
    loss_on: `answer` (the answer's token) or `line` (every token of the line).
    loss_over: softmax over `numbers` or the whole `vocabulary`; a line needs the vocabulary.
    mixed_precision: `bf16` computes in bfloat16 around float32 weights.
    accumulate: parts that a batch is computed in, where it does not fit at once.
    compile: torch.compile with static shapes (CUDA graphs on a GPU).
    evaluate_every: epochs between validations.
    keep: the weights at the end: of the `last` epoch, or of the `best`, with the smallest validation loss.
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
    keep: str = "last"
    save_seconds: float = 60.0

    def __post_init__(self) -> None:
        for key, allowed in (
            ("loss_on", LOSSES_ON),
            ("loss_over", LOSSES_OVER),
            ("mixed_precision", MIXED_PRECISION),
            ("keep", KEEP),
        ):
            if getattr(self, key) not in allowed:
                raise UserError(f"`{key}` must be one of {', '.join(allowed)}, not '{getattr(self, key)}'.")
        if self.loss_on == "line" and self.loss_over != "vocabulary":
            raise UserError("A loss on the whole line (`loss_on: line`) needs `loss_over: vocabulary`.")

    @classmethod
    def of(cls, run: Mapping[str, Any]) -> TrainingSettings:
        """The settings among a run's configuration keys."""
        names = {field.name for field in fields(cls)}
        chosen: dict[str, Any] = {key: value for key, value in run.items() if key in names}
        if "betas" in chosen:
            chosen["betas"] = tuple(chosen["betas"])
        return cls(**chosen)

    def rate_at(self, share: float) -> float:
        """Learning rate when this share of the steps is done: it falls linearly to 0, without warm-up."""
        return self.learning_rate * (1 - share)

    def identity(self) -> dict[str, Any]:
        """What decides the weights: all but how often the state is saved."""
        return {key: value for key, value in asdict(self).items() if key != "save_seconds"}
