"""How the figure of each claim is read off a study's results.

A `Reading` takes the evidence and returns one `Measured` for each run or model of a role. The functions
here are readings, or make a reading from a role and other names.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd

from fourier_addition.ablation.table1 import CONCLUSIONS
from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.measures import (
    accuracy_difference,
    accuracy_lost,
    explained,
    low_over_high,
    mean_accuracy,
    reached_sooner,
    share,
    standing_out,
)
from fourier_addition.claims.verdict import Measured

PERIODS = (2, 2.5, 5, 10)
"""The periods that stand out (section 3.2)."""

Findings = Sequence[Measured | None]
"""One figure for each run or model of a role; None where its results have no such figure."""

Reading = Callable[[Evidence], Findings]


def for_each(role: str, one: Callable[[Evidence, int], Measured | None]) -> Reading:
    """One figure for each run or model of a role. one: takes the evidence and the index of the run."""
    return lambda evidence: [one(evidence, index) for index in range(len(evidence.runs[role]))]


# Accuracies (claims 1, 9, 10, 11 and 14)


def mean_test_accuracy(role: str) -> Reading:
    """Mean test accuracy of a role's run over its seeds."""
    return lambda evidence: [mean_accuracy(evidence.tests(role), evidence.label(role))]


def accuracy_against(first: str, second: str) -> Reading:
    """Test accuracy of the first role's run minus that of the second's."""

    def read(evidence: Evidence) -> Findings:
        shown = f"{evidence.label(first)}, {evidence.label(second)}"
        return [accuracy_difference(evidence.tests(first), evidence.tests(second), shown)]

    return read


def worst_seed(role: str) -> Reading:
    """Test accuracy of a role's worst seed (claim 10: every seed learns addition)."""

    def read(evidence: Evidence) -> Findings:
        tests = evidence.tests(role)
        worst = min(tests, key=lambda test: test["accuracy"])
        text = f"{worst['accuracy']:.1%}"
        if len(tests) > 1:
            text += f" (worst of {len(tests)} seeds)"
        count = worst["accuracy"] * worst["examples"]
        return [share(count, worst["examples"], text, evidence.label(role))]

    return read


def errors_within_2(role: str) -> Reading:
    """Share of a role's errors, over all seeds, that are 2 at most (claim 9)."""

    def read(evidence: Evidence) -> Findings:
        tests = evidence.tests(role)
        wrong = sum(round((1 - test["accuracy"]) * test["examples"]) for test in tests)
        near = sum(round((test["within_2"] - test["accuracy"]) * test["examples"]) for test in tests)
        return [share(near, wrong, f"{near} of {wrong} errors", evidence.label(role))]

    return read


def epochs_against(fast: str, slow: str) -> Reading:
    """Epochs in which one role's run is as good as the other's best, over the other's (figure 7b)."""

    def read(evidence: Evidence) -> Findings:
        shown = f"{evidence.label(fast)}, {evidence.label(slow)}"
        return [reached_sooner(evidence.histories(fast), evidence.histories(slow), shown)]

    return read


def _right_answers(evidence: Evidence, index: int) -> Measured:
    right = evidence.json("closed", "accuracy", index)["shares"]["accuracy"]
    text = f"{right['count']} of {right['of']} answers"
    return share(right["count"], right["of"], text, evidence.label("closed", index))


right_answers_of_closed_models = for_each("closed", _right_answers)
"""Share of right answers of models behind an API (claim 14)."""


# Spectra (claims 3, 8 to 13)


def periods_in_logits(role: str, module: str, periods: Sequence[float] = PERIODS) -> Reading:
    """Periods that stand out in the module logits of every run of a role (figure 3)."""

    def one(evidence: Evidence, index: int) -> Measured:
        spectra = evidence.table(role, "spectra", index)
        return standing_out(spectra, module, periods, evidence.settings, evidence.label(role, index))

    return for_each(role, one)


def periods_in_embedding(role: str, files: str) -> Reading:
    """Periods that stand out in the number embedding of every run or model of a role (figure 5).

    files: how the spectra are called among the evidence's files, before `_spectrum`.
    """

    def one(evidence: Evidence, index: int) -> Measured:
        spectrum = evidence.table(files, "spectrum", index)
        return standing_out(spectrum, None, PERIODS, evidence.settings, evidence.label(role, index))

    return for_each(role, one)


def low_frequencies_of_mlps(evidence: Evidence) -> Findings:
    """How much stronger low frequencies are in MLP logits than in attention logits (figure 3)."""
    tau, layers = evidence.settings["tau"], evidence.settings["layers"]
    return [low_over_high(evidence.table("finetuned", "spectra"), tau, layers, evidence.label("finetuned"))]


# Predictions of the fine-tuned run (claims 2, 4 to 7)


def near_before_exact(evidence: Evidence) -> Findings:
    """Share of predictions within 10 and not exact, after the layer where it is largest (figure 1a)."""
    lens = evidence.table("finetuned", "lens")
    lens = lens[lens["norm"] == evidence.settings["lens_norm"]]
    between = (lens["within_10"] - lens["exact"]).to_numpy()
    row = lens.iloc[int(between.argmax())]
    text = f"{row['within_10']:.1%} within 10 and {row['exact']:.1%} exact after layer {row['layer']:.0f}"
    return [share(between.max() * row["examples"], int(row["examples"]), text, evidence.label("finetuned"))]


def peaks_at_the_answer(evidence: Evidence) -> Findings:
    """Share of examples whose largest Fourier components, summed, peak at the answer (figure 4b)."""
    peaks = evidence.table("finetuned", "peaks")
    right = int((peaks["peak"] == peaks["answer"]).sum())
    text = f"{right} of {len(peaks)} examples"
    return [share(right, len(peaks), text, evidence.label("finetuned"))]


def lost_to_filters(conclusion: str) -> Reading:
    """Accuracy lost to the filters of one of table 1's conclusions (`CONCLUSIONS`).

    A conclusion may have several rows of the table: the row that speaks most against it is taken.
    """
    state, rows = CONCLUSIONS[conclusion]

    def read(evidence: Evidence) -> Findings:
        found = [accuracy_lost(evidence.table1, row, evidence.label("finetuned")) for row in rows]
        lost = [measured for measured in found if measured is not None]
        if len(lost) < len(found):
            return [None]
        worst = min if state == "harmed" else max
        return [worst(lost, key=lambda measured: measured.value)]

    return read


def errors_that(condition: str, holds: Callable[[np.ndarray], np.ndarray], text: str) -> Reading:
    """Share of the errors under a filter that have a property (figure 21).

    condition: name of the filter among the ablation's. holds: errors (error,) -> (error,) bool.
    text: the property in words.
    """

    def read(evidence: Evidence) -> Findings:
        predictions = evidence.table("finetuned", "predictions")
        error = predictions.loc[predictions["condition"] == condition, "error"].to_numpy()
        wrong = error[error != 0]
        count = int(holds(wrong).sum())
        found = f"{count} of {len(wrong)} errors {text}"
        return [share(count, len(wrong), found, evidence.label("finetuned"))]

    return read


def parity_from_period_2(evidence: Evidence) -> Findings:
    """Share of predictions of the answer's parity, period 2 kept alone at every module (figure 11a)."""
    predictions = evidence.table("finetuned", "predictions")
    kept = predictions[predictions["kind"] == "keep"]
    kept = kept[kept["value"] == kept["value"].min()]
    same = int((kept["prediction"] % 2 == kept["answer"] % 2).sum())
    return [share(same, len(kept), f"{same} of {len(kept)} predictions", evidence.label("finetuned"))]


def longest_period_misses(evidence: Evidence) -> Findings:
    """Share of predictions that differ from the answer modulo the longest period (figures 11b and 12).

    The longest period is the only one that is kept at every module.
    """
    predictions = evidence.table("finetuned", "predictions")
    kept = predictions[predictions["kind"] == "keep"]
    kept = kept[kept["value"] == kept["value"].max()]
    period = int(kept["value"].iloc[0])
    missed = int((kept["prediction"] % period != kept["answer"] % period).sum())
    text = f"{missed} of {len(kept)} predictions, median error {kept['error'].abs().median():g}"
    return [share(missed, len(kept), text, evidence.label("finetuned"))]


# Clusters and prompted answers (claims 8 and 13)


def clusters_explain(quantity: Callable[[np.ndarray], np.ndarray]) -> Reading:
    """How much of a quantity of the numbers the clusters of every embedding explain (figure 5b).

    quantity: numbers (number,) -> (number,).
    """

    def one(evidence: Evidence, index: int) -> Measured | None:
        clusters: pd.DataFrame = evidence.table("embeddings", "clusters", index)
        return explained(
            clusters,
            quantity(clusters["number"].to_numpy(np.float64)),
            shuffles=evidence.settings["shuffles"],
            seed=evidence.settings["seed"],
            shown=evidence.label("embeddings", index),
        )

    return for_each("embeddings", one)


def _multiples_of_10(evidence: Evidence, index: int) -> Measured:
    errors = evidence.json("prompted", "answers", index)["summary"]["multiples_of_10"]
    text = f"{errors['count']} of {errors['of']} errors"
    return share(errors["count"], errors["of"], text, evidence.label("prompted", index))


multiples_of_10_among_prompted_errors = for_each("prompted", _multiples_of_10)
"""Share of a prompted model's errors that are multiples of 10 (claim 13)."""
