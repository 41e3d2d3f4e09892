"""The default study's miniature, made in memory: number text, then sums.

The values are those of `config/config.yaml`, so a model that is made here is the default's own.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.library.embeddings import number_space
from fourier_addition.models import wrap
from fourier_addition.models.miniature import miniature
from fourier_addition.tasks import OPERATIONS, Task, dataset
from fourier_addition.training.batches import lines_of
from fourier_addition.training.evaluation import evaluate
from fourier_addition.training.loop import fit
from fourier_addition.training.number_text import corpus, numeral_tokenizer, packed
from fourier_addition.training.pretraining import fit_text
from fourier_addition.training.settings import TrainingSettings

ARCHITECTURE: Mapping[str, Any] = {
    "layers": 3,
    "width": 256,
    "heads": 4,
    "inner": 512,
    "dropout": 0.0,
    "positions": 64,
}
"""The miniature's shape."""
MIXTURE: Mapping[str, float] = {
    "counting": 4,
    "same-last-digit": 3,
    "same-tens": 1,
    "same-parity": 0.5,
    "order": 1,
    "parity": 0.5,
    "last-digit": 1,
    "tens": 0.5,
}
"""Kind of sentence -> its weight in the pre-training text, which never has a sum."""
LINE = 16
"""Tokens in a line of the text."""
COUNTING_STEPS = range(1, 11)


def pretrain_miniature(
    *,
    numbers: int = 101,
    steps: int = 1400,
    batch_size: int = 32,
    learning_rate: float = 1e-3,
    mixture: Mapping[str, float] = MIXTURE,
    architecture: Mapping[str, Any] = ARCHITECTURE,
    seed: int = 0,
) -> tuple[Any, Any]:
    """A small GPT-2 that has read generated text about numbers, and its tokenizer: (model, tokenizer).

    numbers: 0..numbers-1 are one token each. steps: of the optimizer. mixture: see `MIXTURE`. architecture:
    keys of `ARCHITECTURE`; those left out are the miniature's. seed: of the text and of the weights.
    Takes half a minute on two cores. Raises UserError for an unknown kind of sentence, and when the loss is
    no longer finite.
    """
    tokenizer = numeral_tokenizer(numbers)
    wanted = steps * batch_size

    # No kind of sentence is shorter than 4 tokens, so this many always fill the lines.
    texts = corpus(wanted * LINE // 4 + 1, numbers, mixture, COUNTING_STEPS, seed)
    settings = TrainingSettings(
        epochs=1,
        learning_rate=learning_rate,
        batch_size=batch_size,
        loss_on="line",
        loss_over="vocabulary",
    )
    model: Any = miniature({**ARCHITECTURE, **architecture}, tokenizer, seed)
    fit_text(wrap(model, tokenizer), packed(texts, tokenizer, LINE, wanted), settings, seed=seed)
    return model.eval(), tokenizer


def examples_of(
    operation: str = "addition", *, operands: tuple[int, int] = (0, 50), seed: int = 0
) -> pd.DataFrame:
    """Every pair of operands as a prompt in the paper's words, with its answer and split (section 2).

    operation: `addition`, `multiplication` or `reverse-polish`. operands: smallest and largest. seed: of
    phrasings, of the order of the operands and of the split.
    Columns: example, a, b, answer, template, split (`train`, `validation`, `test`), prompt.
    Raises UserError for an unknown operation and for too few pairs.
    """
    if operation not in OPERATIONS:
        raise UserError(f"Operation '{operation}' is not known; it is one of {', '.join(OPERATIONS)}.")
    templates = OPERATIONS[operation].templates
    return dataset(Task(operation, operation, operands, seed=seed, templates=templates))


def finetune(
    model: Any,
    tokenizer: Any,
    examples: pd.DataFrame,
    *,
    epochs: int = 14,
    batch_size: int = 32,
    learning_rate: float = 5e-4,
    form: str = "bare",
    seed: int = 0,
) -> pd.DataFrame:
    """Train a model in memory on the answers of the train split, in place (section 3.1).

    model: a Hugging Face model of a known family. examples: what `examples_of` returns. form: of the
    answers' tokens. seed: of the order of the examples. The answer's token alone is trained, over the
    numbers. Takes a quarter of a minute for the miniature on two cores.
    Returns one row an epoch, 0 before training: epoch, step, train_loss, validation_loss (nats), accuracy,
    within_2, within_10, learning_rate. The row's accuracy is that of the validation split.
    Raises UserError when an answer is no single token or the loss is not finite.
    """
    view = wrap(model, tokenizer)
    ids = number_space(tokenizer, form).first(int(examples["answer"].max()) + 1).ids
    settings = TrainingSettings(epochs=epochs, learning_rate=learning_rate, batch_size=batch_size)
    train, validation = (lines_of(view, examples, split) for split in ("train", "validation"))
    (history,) = fit([view], train, validation, ids, settings, seeds=[seed])
    model.eval()
    return history


def accuracy_of(
    model: Any, tokenizer: Any, examples: pd.DataFrame, *, split: str = "test", form: str = "bare"
) -> float:
    """Share of the examples of a split that a model answers rightly, over the numbers (section 3.1)."""
    view = wrap(model, tokenizer)
    ids: np.ndarray = number_space(tokenizer, form).first(int(examples["answer"].max()) + 1).ids
    return evaluate(view, lines_of(view, examples, split), ids)["accuracy"]
