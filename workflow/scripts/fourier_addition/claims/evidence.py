"""What a study's results say, read and reduced to single figures with intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any

import numpy as np
import pandas as pd
from scipy.stats import t

from fourier_addition.analysis.accuracy import epochs_to, wilson_interval
from fourier_addition.claims.verdict import Measured
from fourier_addition.files.manifests import read_json


class Evidence:
    """Results of the runs that a table of claims names.

    files: `{role}_{what}` -> paths (`claim_inputs.claim_files`). runs: role -> names. labels: name -> words.
    settings: the configuration's `claims`, and beside them `unharmed` and `harmed` of its ablations,
    `lens_norm`, `null_level` and `seed` of its analysis, and `tau` of the fine-tuned run.
    """

    def __init__(
        self,
        files: Mapping[str, Sequence[str]],
        runs: Mapping[str, Sequence[str]],
        labels: Mapping[str, str],
        settings: Mapping[str, Any],
    ) -> None:
        self.files, self.runs, self.labels, self.settings = files, runs, labels, settings

    def label(self, role: str, index: int = 0) -> str:
        """How a role's run or model is called."""
        return self.labels[self.runs[role][index]]

    def table(self, role: str, what: str, index: int = 0) -> pd.DataFrame:
        """One result that is a table."""
        return pd.read_parquet(self.files[f"{role}_{what}"][index])

    def json(self, role: str, what: str, index: int = 0) -> dict[str, Any]:
        """One result that is JSON."""
        return read_json(self.files[f"{role}_{what}"][index])

    def tests(self, role: str) -> list[dict[str, Any]]:
        """Test accuracies of a role's run: examples, accuracy, within_2, within_10 for each seed."""
        return [read_json(path)["test"] for path in dict.fromkeys(self.files[f"{role}_accuracy"])]

    def histories(self, role: str) -> list[pd.DataFrame]:
        """Validation accuracy by epoch, for each seed."""
        return [pd.read_parquet(path) for path in self.files[f"{role}_history"]]

    @cached_property
    def table1(self) -> pd.DataFrame:
        """The rows of table 1 by module and removed band."""
        summary = self.table("finetuned", "summary")
        return summary[summary["kind"] == "table"].set_index(["module", "band"])


def percent(value: float) -> str:
    """A share in words."""
    return f"{value:.1%}"


def share(count: float, examples: int, text: str, shown: str) -> Measured:
    """So many of so many examples, with the Wilson interval; of no examples nothing is known (nan)."""
    if not examples:
        return Measured(np.nan, np.nan, np.nan, text, "", shown)
    value = count / examples
    return Measured(value, *wilson_interval(value, examples), text, "examples", shown)


def mean_accuracy(tests: Sequence[Mapping[str, Any]], shown: str) -> Measured:
    """Mean test accuracy over seeds, with the Wilson interval of one seed's examples."""
    values = [each["accuracy"] for each in tests]
    text = percent(float(np.mean(values))) + (f" (mean of {len(values)} seeds)" if len(values) > 1 else "")
    examples = tests[0]["examples"]
    return share(float(np.mean(values)) * examples, examples, text, shown)


def accuracy_difference(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], shown: str
) -> Measured:
    """Mean test accuracy of the first minus that of the second (fractions).

    Over seeds (Welch's t) where both have several, otherwise over examples (Newcombe's interval of
    the difference of two proportions).
    """
    x, y = (np.array([each["accuracy"] for each in tests]) for tests in (first, second))
    difference = float(x.mean() - y.mean())
    text = f"{percent(float(x.mean()))} against {percent(float(y.mean()))}"
    if min(len(x), len(y)) > 1 and x.std() + y.std() > 0:
        half = _welch_half_width(x, y)
        ends = max(-1.0, difference - half), min(1.0, difference + half)
        return Measured(difference, *ends, text, "seeds", shown)
    (xl, xh), (yl, yh) = (
        wilson_interval(float(values.mean()), tests[0]["examples"])
        for values, tests in ((x, first), (y, second))
    )
    low = difference - float(np.hypot(x.mean() - xl, yh - y.mean()))
    high = difference + float(np.hypot(xh - x.mean(), y.mean() - yl))
    return Measured(difference, low, high, text, "examples", shown)


def _welch_half_width(x: np.ndarray, y: np.ndarray, level: float = 0.95) -> float:
    """Half the width of Welch's interval for the difference of two means."""
    a, b = x.var(ddof=1) / len(x), y.var(ddof=1) / len(y)
    freedom = (a + b) ** 2 / (a**2 / (len(x) - 1) + b**2 / (len(y) - 1))
    return float(t.ppf((1 + level) / 2, freedom) * np.sqrt(a + b))


def standing_out(
    spectra: pd.DataFrame,
    module: str | None,
    periods: Sequence[float],
    settings: Mapping[str, Any],
    shown: str,
) -> Measured:
    """How many of the periods stand out from shuffled numbers in a spectrum (figures 3, 5 and their like).

    spectra: component, period, outlier and, for module logits, module and layer. module: whose logits;
    None for the spectrum of an embedding. A period stands out in module logits when its component does
    in more than `layer_share` of the last `layers` layers. It is looked for at its component,
    or at both neighbours where no component has it.
    """
    # An embedding has one spectrum: a single layer, which is in any share below 1.
    table = spectra.assign(layer=0) if module is None else spectra[spectra["module"] == module]
    last = sorted(table["layer"].unique())[-settings["layers"] :]
    table = table[table["layer"].isin(last)]
    base = float((table["component"] * table["period"]).iloc[0])
    found = []
    for period in periods:
        exact = base / period
        near = {round(exact)} if abs(exact - round(exact)) < 1e-6 else {int(exact), int(exact) + 1}
        marked = table[table["component"].isin(near) & table["outlier"]]
        if marked["layer"].nunique() / len(last) > settings["layer_share"]:
            found.append(f"{period:.3g}")
    text = f"{len(found)} of {len(periods)}" + (f": {', '.join(found)}" if found else "")
    return Measured(len(found), len(found), len(found), text, "", shown)


def low_over_high(spectra: pd.DataFrame, tau: int, layers: int, shown: str) -> Measured:
    """How much stronger low frequencies are in MLP logits than in attention logits (figures 3 and 10).

    For each of the last layers: median magnitude below tau over the median from tau on, in MLP logits
    divided by the same in attention logits. value: geometric mean over the layers; low, high: its
    95 % interval, by Student's t on the logarithms (none for a single layer).
    """
    last = sorted(spectra["layer"].unique())[-layers:]
    chosen = spectra[spectra["layer"].isin(last)]
    low = chosen[chosen["component"] < tau].groupby(["module", "layer"])["magnitude"].median()
    high = chosen[chosen["component"] >= tau].groupby(["module", "layer"])["magnitude"].median()
    ratio = np.log(low / high)
    logs = (ratio["mlp"] - ratio["attention"]).to_numpy()
    middle = float(logs.mean())
    half = 0.0
    if len(logs) > 1:
        half = float(t.ppf(0.975, len(logs) - 1) * logs.std(ddof=1) / np.sqrt(len(logs)))
    text = f"{np.exp(middle):.2f} times (MLP {np.exp(ratio['mlp'].mean()):.2f}, attention "
    text += f"{np.exp(ratio['attention'].mean()):.2f} of the high band)"
    ends = (float(np.exp(middle - half)), float(np.exp(middle + half)))
    return Measured(float(np.exp(middle)), *ends, text, "layers" if half else "", shown)


def accuracy_lost(table1: pd.DataFrame, row: tuple[str, str], shown: str) -> Measured | None:
    """Share of the unfiltered accuracy that a filter costs (table 1), and what random subspaces cost.

    The interval is that of the filtered accuracy over examples. None when there is nothing to lose.
    """
    full = float(table1.loc[("none", "none"), "accuracy"])
    if full == 0:
        return None
    found = table1.loc[row]
    lost, low, high = (
        (full - float(found[column])) / full for column in ("accuracy", "accuracy_high", "accuracy_low")
    )
    text = f"{percent(lost)} lost"
    if not pd.isna(found.get("control_accuracy_mean", np.nan)):
        control = (full - float(found["control_accuracy_mean"])) / full
        # A random subspace may even help by a hair; -0.0 % would be read as a fault.
        text += f" (random subspaces {percent(round(control, 3) + 0.0)})"
    return Measured(lost, low, high, text, "examples", shown)


def reached_sooner(fast: Sequence[pd.DataFrame], slow: Sequence[pd.DataFrame], shown: str) -> Measured:
    """Epochs in which one arm reaches the other's best validation accuracy, over the other's own epochs.

    fast, slow: histories (epoch, accuracy) by seed. The level is the mean over the slow arm's seeds of
    their best accuracy. value: ratio of the medians over seeds, inf where the fast arm never gets there;
    low, high: over the seeds of the fast arm.
    """
    level = float(np.mean([history["accuracy"].max() for history in slow]))
    own = float(np.median([history.loc[history["accuracy"].idxmax(), "epoch"] for history in slow]))
    epochs = np.array([epochs_to(history, level) for history in fast])
    ratios = np.where(np.isnan(epochs), np.inf, epochs) / max(own, 1)
    middle = float(np.median(ratios))
    text = f"{percent(level)} after {middle * max(own, 1):g} epochs against {own:g}"
    return Measured(
        middle, float(ratios.min()), float(ratios.max()), text, "seeds" if len(ratios) > 1 else "", shown
    )


def explained(
    clusters: pd.DataFrame, quantity: np.ndarray, *, shuffles: int, seed: int, shown: str
) -> Measured | None:
    """How much of a quantity of the numbers their clusters explain (figure 5b), against shuffled clusters.

    clusters: number, cluster. quantity: (number,). value: p-value, the share of shuffles (the real one
    counted in) that explain as much of the variance. None without clusters.
    """
    if clusters.empty:
        return None
    labels = clusters["cluster"].to_numpy()
    members = (labels[:, None] == np.unique(labels)).astype(np.float64)
    centred = quantity - quantity.mean()
    sizes = members.sum(axis=0)

    def share_of(values: np.ndarray) -> np.ndarray:
        return ((values @ members) ** 2 / sizes).sum(axis=-1) / (centred**2).sum()

    generator = np.random.default_rng(seed)
    null = share_of(np.stack([generator.permutation(centred) for _ in range(shuffles)]))
    own = float(share_of(centred))
    p_value = float((1 + (null >= own).sum()) / (1 + shuffles))
    text = f"{percent(own)} of the variance (shuffled {percent(float(null.mean()))}), p = {p_value:.4f}"
    return Measured(p_value, p_value, p_value, text, "", shown)
