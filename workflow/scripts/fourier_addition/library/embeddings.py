"""Numbers in the token embedding of any Hugging Face model: their tokens, their rows, their spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.embeddings import embedding_table
from fourier_addition.errors import UserError
from fourier_addition.numbers import NumberSpace, tokenizer_number_space


def number_space(tokenizer: Any, form: str = "bare", *, limit: int = 100_000) -> NumberSpace:
    """Which numbers 0..p-1 a tokenizer writes as one token each (section 3.1).

    tokenizer: of Hugging Face. form: `bare` (`108`) or `space` (` 108`). limit: the search ends here.
    Raises UserError when the form is unknown or not even 0 is one token.
    """
    return tokenizer_number_space(tokenizer, form, limit)


def number_rows(model: Any, tokenizer: Any, *, form: str = "bare", numbers: int | None = None) -> np.ndarray:
    """Rows of a model's token embedding that belong to the numbers: (number, feature) float32.

    model: any Hugging Face model with a token embedding; its weights stay where they are. numbers: how many
    from 0; all that are one token unless given. Raises UserError when a number is no single token.
    """
    space = number_space(tokenizer, form)
    if numbers is not None:
        space = space.first(numbers)
    weight = model.get_input_embeddings().weight
    if space.size and space.ids.max() >= len(weight):
        missing = int(np.argmax(space.ids >= len(weight)))
        raise UserError(
            f"Number {missing} is token {space.ids[missing]} and the token embedding has {len(weight)} rows: "
            "the tokenizer is not this model's, or tokens were added without resizing the embedding."
        )
    rows: np.ndarray = weight[space.ids.tolist()].detach().float().cpu().numpy()
    return rows


def number_spectrum(
    model: Any,
    tokenizer: Any,
    *,
    form: str = "bare",
    numbers: int | None = None,
    basis: str = "paper",
    draws: int = 200,
    level: float = 0.95,
    window: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Fourier spectrum of a model's number embedding, with its null of shuffled numbers (section 4.1).

    form, numbers: as for `number_rows`. basis: `paper` or `orthonormal`. draws: shuffles of the numbers.
    level: quantile of the shuffles' largest prominence that an outlier exceeds. window: neighbours on either
    side that prominence is measured against. seed: of the shuffles.
    Columns: component, period (in numbers), magnitude, ratio (to the median), prominence, p_value,
    threshold, outlier.
    """
    rows = number_rows(model, tokenizer, form=form, numbers=numbers)
    settings = {"basis": basis, "null_draws": draws, "null_level": level, "null_window": window, "seed": seed}
    return embedding_table(rows, settings)
