"""Answers of several tokens: accuracy by digit and of whole answers, and spectra of the numbers' logits."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.analysis.module_spectra import average_spectrum, spectrum_table
from fourier_addition.fourier import fourier_basis
from fourier_addition.intervals import share_of


def digit_accuracy(tokens: pd.DataFrame) -> pd.DataFrame:
    """Share of places at which the model would write the true token, with 95 % Wilson intervals.

    tokens: what `forced_digits` returns first. One row for each length of answer and place, the end included.
    Columns: tokens, place, digits (`end`, or empty), right_count, right_of, right, right_low, right_high.
    """
    rows = []
    for _, part in tokens.groupby(["tokens", "place"]):
        length, place = (int(part[column].iloc[0]) for column in ("tokens", "place"))
        found = share_of(int(part["right"].sum()), len(part)).as_dict()
        shown = {"right" if name == "share" else f"right_{name}": value for name, value in found.items()}
        rows.append({"tokens": length, "place": place, "digits": "end" if place > length else "", **shown})
    return pd.DataFrame(rows)


def digit_lens(lens: pd.DataFrame) -> pd.DataFrame:
    """Accuracy of the logit lens at every place of the answer (figure 1a, digit by digit).

    lens: what `forced_digits` returns second. Columns: tokens, place, layer (the state), exact (fraction),
    examples.
    """
    grouped = lens.groupby(["tokens", "place", "layer"])["right"]
    return grouped.agg(exact="mean", examples="size").reset_index()


def number_predictions(examples: pd.DataFrame, logits: np.ndarray) -> pd.DataFrame:
    """The number with the largest log-probability, for every example, and the share that numbers have.

    examples: columns example, a, b, answer. logits: (example, number). Columns: example, a, b, answer,
    prediction, error (prediction - answer), probability (of the answer), mass (of all numbers 0..p-1).
    """
    table = examples[["example", "a", "b", "answer"]].reset_index(drop=True)
    answers = table["answer"].to_numpy()
    predicted = logits.argmax(axis=1)
    return table.assign(
        prediction=predicted,
        error=predicted - answers,
        probability=np.exp(logits[np.arange(len(table)), answers]),
        mass=np.exp(logits.astype(np.float64)).sum(axis=1),
    )


def digit_summary(tokens: pd.DataFrame, predictions: pd.DataFrame) -> dict[str, Any]:
    """Shares with their 95 % Wilson intervals, and the mean mass of the number space.

    tokens: what `forced_digits` returns first. predictions: what `number_predictions` returns. Of all places
    but the end: digits. Of all examples: whole (every token and the end are right, so that greedy decoding
    writes the answer), numbers (the likeliest of the numbers is the answer). Of the wrong numbers:
    multiples_of_10 (section 3.3 of the paper).
    """
    inner = tokens[tokens["place"] <= tokens["tokens"]]
    whole = tokens.groupby("example")["right"].all()
    error = predictions["error"].to_numpy()
    wrong = error[error != 0]
    shares = {
        "digits": share_of(int(inner["right"].sum()), len(inner)),
        "whole": share_of(int(whole.sum()), len(whole)),
        "numbers": share_of(int((error == 0).sum()), len(error)),
        "multiples_of_10": share_of(int((wrong % 10 == 0).sum()), len(wrong)),
    }
    found: dict[str, Any] = {name: share.as_dict() for name, share in shares.items()}
    return {**found, "mass": float(predictions["mass"].mean())}


def number_spectrum(logits: np.ndarray, layer: int, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """Spectrum of the final logits over the numbers, averaged over examples (section 3.2, figure 4).

    logits: (example, number) log-probabilities of the numbers: a constant of each example, such as a
    softmax's, changes no component but the constant. layer: what the table calls the last state. analysis:
    the configuration's `analysis`. Columns: as of `module_spectra`, with the module `final`.
    """
    basis = fourier_basis(logits.shape[1], analysis["basis"])
    values = logits.astype(np.float64)
    averaged = partial(average_spectrum, basis=basis, average=analysis["average"])
    sample = np.random.default_rng(analysis["seed"]).permutation(len(values))[: analysis["null_examples"]]
    return spectrum_table(averaged(values), values[np.sort(sample)], averaged, basis, analysis).assign(
        module="final", layer=layer
    )
