"""Models that are asked and not trained: solved examples before every prompt, answers as text.

Section 4.2 of the paper asks GPT-J and Phi-2 with four solved examples and counts how many of
their errors are multiples of 10 (claim 13, figures 9 and 19).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.accuracy import wilson_interval
from fourier_addition.errors import UserError
from fourier_addition.numbers import BOUNDARY
from fourier_addition.tasks import few_shot_prefix

NUMBER = re.compile(r"\s*(-?(?:\d{1,3}(?:,\d{3})+|\d+))")
LARGEST_ERROR = 2**53
"""Beyond it a whole number has no exact place in a table of floats; such an answer is unreadable."""


def parsed_number(text: str) -> int | None:
    """The number that a text begins with, None where it begins with something else.

    White space may precede it; a minus sign and commas between groups of three digits are read.
    """
    found = NUMBER.match(text)
    number = int(found[1].replace(",", "")) if found else None
    return None if number is None or abs(number) > LARGEST_ERROR else number


def number_complete(text: str) -> bool:
    """Whether more text cannot change what `parsed_number` reads."""
    return bool(re.match(r"\s*(?:-?\d[\d,]*[^\d,]|-?[^\s\d-])", text))


def prompted_examples(
    examples: pd.DataFrame, *, shots: int, seed: int, form: str, separator: str
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """A dataset whose prompts begin with the same solved examples, and what these are.

    examples: a dataset. shots: solved examples from its train split, drawn by the seed; 0 asks
    without any. form: the answer's form; in the bare form, a boundary before each solved example's
    answer makes it the tokens that the model is asked for. separator: what ends each solved example.
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
    numbers = [parsed_number(text) for text in texts]
    prediction = np.array([np.nan if number is None else number for number in numbers], np.float64)
    return table.assign(text=list(texts), prediction=prediction, error=prediction - table["answer"])


def _share(count: int, examples: int) -> dict[str, Any]:
    """A share with its 95 % Wilson interval; nothing where there are no examples."""
    if not examples:
        return {"count": count, "of": 0, "share": None, "low": None, "high": None}
    low, high = wilson_interval(count / examples, examples)
    return {"count": count, "of": examples, "share": count / examples, "low": low, "high": high}


def answer_summary(table: pd.DataFrame) -> dict[str, Any]:
    """Accuracy and the shape of the errors (claim 13), each share with its 95 % Wilson interval.

    table: what `answer_table` returns. accuracy, unparsed: of all answers, an answer that begins
    with no number being wrong. multiples_of_10, below_6, even: of the wrong answers that are
    numbers, the share whose error is a multiple of 10, is below 6, is even.
    """
    error = table["error"].to_numpy()
    wrong = error[np.isfinite(error) & (error != 0)]
    count = len(table)
    return {
        "accuracy": _share(int((error == 0).sum()), count),
        "unparsed": _share(int(np.isnan(error).sum()), count),
        "multiples_of_10": _share(int((wrong % 10 == 0).sum()), len(wrong)),
        "below_6": _share(int((np.abs(wrong) < 6).sum()), len(wrong)),
        "even": _share(int((wrong % 2 == 0).sum()), len(wrong)),
    }


def accuracy_entry(table: pd.DataFrame) -> dict[str, Any]:
    """Examples and fractions exact, within 2 and within 10, as the accuracy of trained runs has them."""
    error = table["error"].abs()
    return {
        "examples": len(table),
        "accuracy": float((error == 0).mean()),
        "within_2": float((error <= 2).mean()),
        "within_10": float((error <= 10).mean()),
    }


def prompted_table(results: Mapping[tuple[str, int], Mapping[str, Any]]) -> pd.DataFrame:
    """One row a run and seed: run, seed, shots, and for every share of the summary its count, of, share,
    low, high, named like accuracy_low.

    results: (run, seed) -> {"shots": {...}, "summary": what `answer_summary` returns}.
    """
    rows = []
    for (run, seed), found in results.items():
        row: dict[str, Any] = {"run": run, "seed": seed, "shots": found["shots"]["shots"]}
        for name, share in found["summary"].items():
            row |= {name if key == "share" else f"{name}_{key}": value for key, value in share.items()}
        rows.append(row)
    return pd.DataFrame(rows)
