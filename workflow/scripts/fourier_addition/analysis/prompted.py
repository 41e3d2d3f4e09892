"""Models that are asked and not trained: solved examples stand before every prompt, answers are text.

The paper asks GPT-J and Phi-2 with four solved examples and counts how many of
their errors are multiples of 10 (claim 13, figures 9 and 19).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.answers import written_number
from fourier_addition.errors import UserError
from fourier_addition.intervals import share_of
from fourier_addition.numbers import BOUNDARY
from fourier_addition.tasks import few_shot_prefix


def prompted_examples(
    examples: pd.DataFrame, *, shots: int, seed: int, form: str, separator: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A dataset whose prompts all begin with the same solved examples, and which examples these are.

    examples: a dataset. shots: how many solved examples are drawn from its train split by `seed`; 0 asks
    without any. form: the answer's form; in the bare form, a boundary stands before the answer of every
    solved example, so that its tokens are those that the model is asked for. separator: what ends each
    solved example.
    Returns the table with longer prompts, and {"shots", "seed", "separator", "examples" (their
    numbers in the dataset), "prefix"}. Raises UserError when the train split is too small.
    """
    _, chosen = few_shot_prefix(examples, shots, seed, form, separator)
    between = " " if form == "space" else BOUNDARY
    solved = examples.set_index("example").loc[list(chosen)]
    prefix = "".join(f"{row.prompt}{between}{row.answer}{separator}" for row in solved.itertuples())
    facts = {"shots": shots, "seed": seed, "separator": separator}
    facts |= {"examples": [int(each) for each in chosen], "prefix": prefix}
    return examples.assign(prompt=prefix + examples["prompt"]), facts


def answer_table(examples: pd.DataFrame, texts: Sequence[str]) -> pd.DataFrame:
    """What a model answered: example, a, b, answer, template, text, prediction, error.

    examples: rows of a dataset. texts: (example,) generated text. prediction and error
    (prediction - answer) are NaN where the text does not begin with a number.
    Raises UserError when the lengths differ.
    """
    if len(examples) != len(texts):
        raise UserError(f"There are {len(texts)} answers to {len(examples)} examples.")
    table = examples[["example", "a", "b", "answer", "template"]].reset_index(drop=True)
    numbers = [written_number(text, "beginning") for text in texts]
    prediction = np.array([np.nan if number is None else number for number in numbers], np.float64)
    return table.assign(text=list(texts), prediction=prediction, error=prediction - table["answer"])


def answer_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Accuracy and the shape of the errors (claim 13), each share with its 95 % Wilson interval.

    table: what `answer_table` returns. Returns name -> share, as `Share.as_dict`. Of all answers:
    accuracy, and unparsed (answers that begin with no number, which count as wrong). Of the wrong
    answers that are numbers: multiples_of_10, below_6, even, by their error.
    """
    error = table["error"].to_numpy()
    wrong = error[np.isfinite(error) & (error != 0)]
    count = len(table)
    shares = {
        "accuracy": share_of(int((error == 0).sum()), count),
        "unparsed": share_of(int(np.isnan(error).sum()), count),
        "multiples_of_10": share_of(int((wrong % 10 == 0).sum()), len(wrong)),
        "below_6": share_of(int((np.abs(wrong) < 6).sum()), len(wrong)),
        "even": share_of(int((wrong % 2 == 0).sum()), len(wrong)),
    }
    return {name: share.as_dict() for name, share in shares.items()}


def accuracy_entry(table: pd.DataFrame) -> dict[str, Any]:
    """Examples, and fractions exact, within 2 and within 10, under the names of a trained run's accuracy.

    table: what `answer_table` returns.
    """
    error = table["error"].abs()
    return {
        "examples": len(table),
        "accuracy": float((error == 0).mean()),
        "within_2": float((error <= 2).mean()),
        "within_10": float((error <= 10).mean()),
    }


def prompted_table(results: Mapping[tuple[str, int], Mapping[str, Any]]) -> pd.DataFrame:
    """Answers of prompted runs, one row a run and seed.

    results: (run, seed) -> {"shots": {...}, "summary": what `answer_summary` returns}. Columns: run, seed,
    shots, and for every share of the summary accuracy_count, accuracy_of, accuracy, accuracy_low and
    accuracy_high, with the share's name for `accuracy`.
    """
    rows = []
    for (run, seed), found in results.items():
        row: dict[str, Any] = {"run": run, "seed": seed, "shots": found["shots"]["shots"]}
        for name, share in found["summary"].items():
            if not isinstance(share, Mapping):
                continue
            row |= {name if key == "share" else f"{name}_{key}": value for key, value in share.items()}
        rows.append(row)
    return pd.DataFrame(rows)
