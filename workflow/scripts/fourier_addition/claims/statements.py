"""The paper's claims as statements that a study's results can confirm or refute."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.ablation.table1 import CONCLUSIONS
from fourier_addition.claims.evidence import (
    Evidence,
    accuracy_difference,
    accuracy_lost,
    explained,
    low_over_high,
    mean_accuracy,
    reached_sooner,
    share,
    standing_out,
)
from fourier_addition.claims.verdict import Criterion, Measured

PERIODS = (2, 2.5, 5, 10)
"""The periods that stand out (section 3.2)."""

Findings = Sequence[Measured | None]


@dataclass(frozen=True)
class Statement:
    """One statement of the paper.

    claim: number of the claim that it belongs to, with a letter. says: it. paper: the paper's figure in
    words. paper_value: the same as `Measured.value`, None where the paper gives no number. criterion:
    from the settings of `claims`. roles: the runs that it is of; it is not tested when one is missing.
    measure: what the study found, once for each run or model that has the role.
    """

    claim: str
    says: str
    paper: str
    paper_value: float | None
    criterion: Callable[[Mapping[str, Any]], Criterion]
    roles: tuple[str, ...]
    measure: Callable[[Evidence], Findings]


def _at_least(key: str) -> Callable[[Mapping[str, Any]], Criterion]:
    return lambda settings: Criterion("at least", settings[key])


def _all(periods: Sequence[float]) -> Callable[[Mapping[str, Any]], Criterion]:
    return lambda settings: Criterion("all of", len(periods), "periods")


def _none(settings: Mapping[str, Any]) -> Criterion:
    return Criterion("none of", len(PERIODS), "periods")


def _each(role: str, one: Callable[[Evidence, int], Measured | None]) -> Callable[[Evidence], Findings]:
    """One figure for each run or model that has a role; one: of the evidence and its index."""
    return lambda evidence: [one(evidence, index) for index in range(len(evidence.runs[role]))]


def _modules(role: str, module: str, periods: Sequence[float] = PERIODS) -> Callable[[Evidence], Findings]:
    """Periods that stand out in the module logits of every run of a role."""
    return _each(
        role,
        lambda e, i: standing_out(e.table(role, "spectra", i), module, periods, e.settings, e.label(role, i)),
    )


def _embeddings(key: str, role: str) -> Callable[[Evidence], Findings]:
    """Periods that stand out in the number embedding of every run or model of a role."""
    return _each(
        role,
        lambda e, i: standing_out(e.table(key, "spectrum", i), None, PERIODS, e.settings, e.label(role, i)),
    )


def _lens_gap(evidence: Evidence) -> Findings:
    """The layer at which most predictions are near and not yet exact (figure 1a)."""
    lens = evidence.table("finetuned", "lens")
    lens = lens[lens["norm"] == evidence.settings["lens_norm"]]
    between = (lens["within_10"] - lens["exact"]).to_numpy()
    row = lens.iloc[int(between.argmax())]
    text = f"{row['within_10']:.1%} within 10 and {row['exact']:.1%} exact after layer {row['layer']:.0f}"
    return [share(between.max() * row["examples"], int(row["examples"]), text, evidence.label("finetuned"))]


def _peaks(evidence: Evidence) -> Findings:
    peaks = evidence.table("finetuned", "peaks")
    right = int((peaks["peak"] == peaks["answer"]).sum())
    text = f"{right} of {len(peaks)} examples"
    return [share(right, len(peaks), text, evidence.label("finetuned"))]


def _lost(rows: Sequence[tuple[str, str]], worst: Callable[..., Measured]) -> Callable[[Evidence], Findings]:
    """Accuracy lost to filters of table 1: of the row that speaks most against the conclusion."""

    def measure(evidence: Evidence) -> Findings:
        found = [accuracy_lost(evidence.table1, row, evidence.label("finetuned")) for row in rows]
        return [None if None in found else worst(found, key=lambda each: each.value)]

    return measure


def _errors(
    condition: str, holds: Callable[[np.ndarray], np.ndarray], what: str
) -> Callable[[Evidence], Findings]:
    """Share of the errors under a filter that have a property (figure 21)."""

    def measure(evidence: Evidence) -> Findings:
        predictions = evidence.table("finetuned", "predictions")
        error = predictions.loc[predictions["condition"] == condition, "error"].to_numpy()
        wrong = error[error != 0]
        count = int(holds(wrong).sum())
        text = f"{count} of {len(wrong)} errors {what}"
        return [share(count, len(wrong), text, evidence.label("finetuned"))]

    return measure


def _parity(evidence: Evidence) -> Findings:
    """Period 2 kept alone at every module (figure 11a)."""
    rows = _kept(evidence, smallest=True)
    same = int((rows["prediction"] % 2 == rows["answer"] % 2).sum())
    return [share(same, len(rows), f"{same} of {len(rows)} predictions", evidence.label("finetuned"))]


def _longest_misses(evidence: Evidence) -> Findings:
    """The longest period kept alone at every module (figures 11b and 12)."""
    rows = _kept(evidence, smallest=False)
    period = int(rows["value"].iloc[0])
    missed = int((rows["prediction"] % period != rows["answer"] % period).sum())
    text = f"{missed} of {len(rows)} predictions, median error {rows['error'].abs().median():g}"
    return [share(missed, len(rows), text, evidence.label("finetuned"))]


def _kept(evidence: Evidence, smallest: bool) -> pd.DataFrame:
    predictions = evidence.table("finetuned", "predictions")
    kept = predictions[predictions["kind"] == "keep"]
    period = kept["value"].min() if smallest else kept["value"].max()
    return kept[kept["value"] == period]


def _clusters(quantity: Callable[[np.ndarray], np.ndarray]) -> Callable[[Evidence], Findings]:
    """What the clusters of every embedding explain of a quantity of the numbers."""

    def one(evidence: Evidence, index: int) -> Measured | None:
        clusters = evidence.table("embeddings", "clusters", index)
        return explained(
            clusters,
            quantity(clusters["number"].to_numpy(np.float64)),
            shuffles=evidence.settings["shuffles"],
            seed=evidence.settings["seed"],
            shown=evidence.label("embeddings", index),
        )

    return _each("embeddings", one)


def _chance(settings: Mapping[str, Any]) -> Criterion:
    return Criterion("at most", round(1 - settings["null_level"], 6), "(p-value)")


def _errors_within_2(evidence: Evidence) -> Findings:
    tests = evidence.tests("scratch")
    wrong = sum(round((1 - each["accuracy"]) * each["examples"]) for each in tests)
    near = sum(round((each["within_2"] - each["accuracy"]) * each["examples"]) for each in tests)
    return [share(near, wrong, f"{near} of {wrong} errors", evidence.label("scratch"))]


def _against(first: str, second: str) -> Callable[[Evidence], Findings]:
    def measure(evidence: Evidence) -> Findings:
        shown = f"{evidence.label(first)}, {evidence.label(second)}"
        return [accuracy_difference(evidence.tests(first), evidence.tests(second), shown)]

    return measure


def _every_seed(evidence: Evidence) -> Findings:
    worst = min(evidence.tests("frozen"), key=lambda each: each["accuracy"])
    seeds = len(evidence.tests("frozen"))
    text = f"{worst['accuracy']:.1%} (worst of {seeds} seeds)" if seeds > 1 else f"{worst['accuracy']:.1%}"
    count = worst["accuracy"] * worst["examples"]
    return [share(count, worst["examples"], text, evidence.label("frozen"))]


def _prompted(evidence: Evidence, index: int) -> Measured:
    errors = evidence.json("prompted", "answers", index)["summary"]["multiples_of_10"]
    text = f"{errors['count']} of {errors['of']} errors"
    return share(errors["count"], errors["of"], text, evidence.label("prompted", index))


def _closed(evidence: Evidence, index: int) -> Measured:
    right = evidence.json("closed", "accuracy", index)["shares"]["accuracy"]
    text = f"{right['count']} of {right['examples']} answers"
    return share(right["count"], right["examples"], text, evidence.label("closed", index))


def _table1() -> list[Statement]:
    """The conclusions from table 1, with what the paper's own rows lose."""
    paper = {
        "attention does not need low frequencies": 0.0062,
        "attention needs high frequencies": 0.2144,
        "MLPs need low frequencies": 0.6402,
        "MLPs hardly need high frequencies": 0.0164,
        "both bands are needed": 0.7285,
    }
    statements = []
    for letter, (name, (state, rows)) in zip("abcde", CONCLUSIONS.items(), strict=True):
        harm = state == "harmed"
        statements.append(
            Statement(
                f"5{letter}",
                name[0].upper() + name[1:],
                f"{paper[name]:.1%} of the accuracy lost",
                paper[name],
                lambda settings, harm=harm: (
                    Criterion("at least", settings["harmed"])
                    if harm
                    else Criterion("at most", settings["unharmed"])
                ),
                ("finetuned",),
                _lost(rows, min if harm else max),
            )
        )
    return statements


STATEMENTS: tuple[Statement, ...] = (
    Statement(
        "1",
        "The fine-tuned model learns addition",
        "99.74 % on the test split",
        0.9974,
        _at_least("learned"),
        ("finetuned",),
        lambda e: [mean_accuracy(e.tests("finetuned"), e.label("finetuned"))],
    ),
    Statement(
        "2",
        "Seen through the logit lens, the answer is approximated before it is exact: there is a layer after "
        "which most predictions are within 10 and not exact",
        "layers 20 to 30: exact low, within 10 high",
        None,
        _at_least("most"),
        ("finetuned",),
        _lens_gap,
    ),
    Statement(
        "3a",
        "Periods 2, 2.5, 5 and 10 stand out in MLP logits",
        "all four",
        4,
        _all(PERIODS),
        ("finetuned",),
        _modules("finetuned", "mlp"),
    ),
    Statement(
        "3b",
        "Periods 2, 2.5, 5 and 10 stand out in attention logits",
        "all four",
        4,
        _all(PERIODS),
        ("finetuned",),
        _modules("finetuned", "attention"),
    ),
    Statement(
        "3c",
        "Low frequencies are stronger in MLP logits than in attention logits",
        "strong in MLPs, not in attention",
        None,
        lambda settings: Criterion("above", 1, "times"),
        ("finetuned",),
        lambda e: [
            low_over_high(
                e.table("finetuned", "spectra"),
                e.settings["tau"],
                e.settings["layers"],
                e.label("finetuned"),
            )
        ],
    ),
    Statement(
        "4",
        "The largest Fourier components of the final logits, summed, peak at the answer",
        "at the answer of the running example, 5 components",
        None,
        _at_least("most"),
        ("finetuned",),
        _peaks,
    ),
    *_table1(),
    Statement(
        "6a",
        "Without low frequencies in MLPs, errors are multiples of 10",
        "all errors shown",
        1.0,
        _at_least("nearly_all"),
        ("finetuned",),
        _errors("mlp-low", lambda wrong: wrong % 10 == 0, "are multiples of 10"),
    ),
    Statement(
        "6b",
        "Without high frequencies in attention, every error is below 6",
        "all errors",
        1.0,
        _at_least("nearly_all"),
        ("finetuned",),
        _errors("attention-high", lambda wrong: np.abs(wrong) < 6, "are below 6"),
    ),
    Statement(
        "7a",
        "Period 2 kept alone predicts the parity of the answer",
        "99.59 %",
        0.9959,
        _at_least("nearly_all"),
        ("finetuned",),
        _parity,
    ),
    Statement(
        "7b",
        "The longest period kept alone misses the answer modulo that period",
        "96.61 %",
        0.9661,
        _at_least("nearly_all"),
        ("finetuned",),
        _longest_misses,
    ),
    Statement(
        "8a",
        "Periods 2, 2.5, 5 and 10 stand out in the number embedding of a pre-trained model",
        "all four in GPT-2-XL, RoBERTa and Phi-2",
        4,
        _all(PERIODS),
        ("embeddings",),
        _embeddings("embeddings", "embeddings"),
    ),
    Statement(
        "8b",
        "Clusters of the number embedding group numbers by magnitude",
        "shown for one model",
        None,
        _chance,
        ("embeddings",),
        _clusters(lambda numbers: numbers),
    ),
    Statement(
        "8c",
        "Clusters of the number embedding group multiples of 10",
        "shown for one model",
        None,
        _chance,
        ("embeddings",),
        _clusters(lambda numbers: (numbers % 10 == 0).astype(np.float64)),
    ),
    Statement(
        "9a",
        "The model from scratch stays below the fine-tuned one",
        "94.44 % against 99.74 %",
        -0.053,
        lambda settings: Criterion("below", 0, "difference"),
        ("scratch", "finetuned"),
        _against("scratch", "finetuned"),
    ),
    Statement(
        "9b",
        "Every error of the model from scratch is within 2",
        "all errors",
        1.0,
        _at_least("nearly_all"),
        ("scratch",),
        _errors_within_2,
    ),
    Statement(
        "9c",
        "Without pre-training, none of the four periods stands out in MLP logits",
        "none",
        0,
        _none,
        ("scratch",),
        _modules("scratch", "mlp"),
    ),
    Statement(
        "9d",
        "Without pre-training, none of the four periods stands out in attention logits",
        "none",
        0,
        _none,
        ("scratch",),
        _modules("scratch", "attention"),
    ),
    Statement(
        "9e",
        "Without pre-training, none of the four periods stands out in the number embedding",
        "none",
        0,
        _none,
        ("scratch",),
        _embeddings("scratch_embedding", "scratch"),
    ),
    Statement(
        "10a",
        "With frozen pre-trained token embeddings an otherwise random model learns addition, every seed",
        "100 % in 5 of 5 seeds",
        1.0,
        _at_least("learned"),
        ("frozen",),
        _every_seed,
    ),
    Statement(
        "10b",
        "It is more accurate than the model from scratch",
        "100 % against 53.95 %",
        0.4605,
        lambda settings: Criterion("above", 0, "difference"),
        ("frozen", "small_scratch"),
        _against("frozen", "small_scratch"),
    ),
    Statement(
        "10c",
        "It is as good as the model from scratch sooner",
        "faster",
        None,
        lambda settings: Criterion("below", 1, "times the epochs"),
        ("frozen", "small_scratch"),
        lambda e: [
            reached_sooner(
                e.histories("frozen"),
                e.histories("small_scratch"),
                f"{e.label('frozen')}, {e.label('small_scratch')}",
            )
        ],
    ),
    Statement(
        "10d",
        "Its MLP logits have the four periods again",
        "all four",
        4,
        _all(PERIODS),
        ("frozen",),
        _modules("frozen", "mlp"),
    ),
    Statement(
        "10e",
        "It is the pre-trained rows and not the freezing: frozen random rows of the same norm are worse",
        "not tested",
        None,
        lambda settings: Criterion("above", 0, "difference"),
        ("frozen", "frozen_random"),
        _against("frozen", "frozen_random"),
    ),
    Statement(
        "11a",
        "The fine-tuned model learns much of multiplication",
        "74.58 % on the validation split",
        0.7458,
        _at_least("most"),
        ("multiplication",),
        lambda e: [mean_accuracy(e.tests("multiplication"), e.label("multiplication"))],
    ),
    Statement(
        "11b",
        "Periods 2, 2.5, 3.3, 5 and 10 stand out in MLP logits of multiplication",
        "all five",
        5,
        _all((2, 2.5, 10 / 3, 5, 10)),
        ("multiplication",),
        _modules("multiplication", "mlp", (2, 2.5, 10 / 3, 5, 10)),
    ),
    Statement(
        "12",
        "Periods 2, 2.5, 5 and 10 stand out in MLP logits of reverse Polish prompts",
        "all four",
        4,
        _all(PERIODS),
        ("polish",),
        _modules("polish", "mlp"),
    ),
    Statement(
        "13a",
        "Most errors of a prompted model are multiples of 10",
        "93 % (GPT-J), 73 % (Phi-2)",
        0.73,
        _at_least("most"),
        ("prompted",),
        _each("prompted", _prompted),
    ),
    Statement(
        "13b",
        "Periods 2, 2.5, 5 and 10 stand out in MLP logits of a prompted model",
        "all four",
        4,
        _all(PERIODS),
        ("prompted",),
        _modules("prompted", "mlp"),
    ),
    Statement(
        "14",
        "Closed models add without an example",
        "100 % (GPT-3.5), 100 % (GPT-4), 87 % (PaLM-2)",
        0.87,
        _at_least("most"),
        ("closed",),
        _each("closed", _closed),
    ),
)
"""In the order of the claims. That a late MLP decides last from scratch (claim 9) is left to figure 22."""
