"""Single figures with intervals, computed from results: what a claim is judged by.

Every function returns a `Measured`, and takes `shown`: what the runs or models are called whose
results it is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import numpy as np
import pandas as pd

from fourier_addition.analysis.accuracy import epochs_to
from fourier_addition.claims.verdict import Measured
from fourier_addition.intervals import newcombe_interval, share_of, student_half_width, welch_interval


def percent(value: float) -> str:
    """A share in words."""
    return f"{value:.1%}"


def share(count: float, examples: int, text: str, shown: str) -> Measured:
    """The share of `count` in `examples`, with the Wilson interval; nan where there are no examples.

    text: the figure in words.
    """
    found = share_of(count, examples)
    if found.share is None or found.low is None or found.high is None:
        return Measured(np.nan, np.nan, np.nan, text, "", shown)
    return Measured(found.share, found.low, found.high, text, "examples", shown)


def mean_accuracy(tests: Sequence[Mapping[str, Any]], shown: str) -> Measured:
    """Mean test accuracy over seeds, with the Wilson interval of one seed's examples.

    tests: one a seed, each with `accuracy` (a fraction) and `examples`.
    """
    values = [test["accuracy"] for test in tests]
    text = percent(float(np.mean(values))) + (f" (mean of {len(values)} seeds)" if len(values) > 1 else "")
    examples = tests[0]["examples"]
    return share(float(np.mean(values)) * examples, examples, text, shown)


def accuracy_difference(
    first: Sequence[Mapping[str, Any]], second: Sequence[Mapping[str, Any]], shown: str
) -> Measured:
    """Mean test accuracy of the first run minus that of the second (fractions).

    first, second: one a seed, as for `mean_accuracy`. Where both have several seeds, and the seeds
    differ, the interval is Welch's over seeds; otherwise it is Newcombe's over examples.
    """
    x, y = (np.array([test["accuracy"] for test in tests]) for tests in (first, second))
    difference = float(x.mean() - y.mean())
    text = f"{percent(float(x.mean()))} against {percent(float(y.mean()))}"
    if min(len(x), len(y)) > 1 and x.std() + y.std() > 0:
        return Measured(difference, *welch_interval(x, y, bounds=(-1.0, 1.0)), text, "seeds", shown)
    ends = newcombe_interval(
        (float(x.mean()), first[0]["examples"]), (float(y.mean()), second[0]["examples"])
    )
    return Measured(difference, *ends, text, "examples", shown)


def standing_out(
    spectra: pd.DataFrame,
    module: str | None,
    periods: Sequence[float],
    settings: Mapping[str, Any],
    shown: str,
) -> Measured:
    """How many of the periods stand out from shuffled numbers in a spectrum (section 3.2, figures 3, 5).

    spectra: component, period, outlier and, for module logits, module and layer. module: the module
    whose logits the spectra are of; None for the spectrum of a number embedding. settings: `layers` and
    `layer_share` of the configuration's `claims`. A period stands out in module logits when its
    component is an outlier in more than `layer_share` of the last `layers` layers. Where no component
    has the period, an outlier at either of the two neighbouring components counts.
    """
    # An embedding has one spectrum: a single layer, which is in any share below 1.
    table = spectra.assign(layer=0) if module is None else spectra[spectra["module"] == module]
    last = sorted(table["layer"].unique())[-settings["layers"] :]
    table = table[table["layer"].isin(last)]

    # Component k has the period `base` / k.
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

    For each of the last `layers` layers: median magnitude of the components below `tau` over the median
    from `tau` on, in MLP logits divided by the same in attention logits. value: geometric mean over the
    layers; low, high: its 95 % interval, by Student's t on the logarithms (none for a single layer).
    """
    # The logarithm of the ratio, by module and layer.
    last = sorted(spectra["layer"].unique())[-layers:]
    chosen = spectra[spectra["layer"].isin(last)]
    low = chosen[chosen["component"] < tau].groupby(["module", "layer"])["magnitude"].median()
    high = chosen[chosen["component"] >= tau].groupby(["module", "layer"])["magnitude"].median()
    ratio = pd.Series(np.log(low / high))
    mlp, attention = (cast("pd.Series[float]", ratio.loc[module]) for module in ("mlp", "attention"))

    # Mean and interval of the difference over the layers, on the scale of logarithms.
    logs = (mlp - attention).to_numpy()
    middle = float(logs.mean())
    half = student_half_width(logs) if len(logs) > 1 else 0.0

    text = f"{np.exp(middle):.2f} times (MLP {np.exp(mlp.mean()):.2f}, attention "
    text += f"{np.exp(attention.mean()):.2f} of the high band)"
    ends = (float(np.exp(middle - half)), float(np.exp(middle + half)))
    return Measured(float(np.exp(middle)), *ends, text, "layers" if half else "", shown)


def accuracy_lost(table1: pd.DataFrame, row: tuple[str, str], shown: str) -> Measured | None:
    """Share of the unfiltered accuracy that a filter costs (table 1), and what random subspaces cost.

    table1: `Evidence.table1`. row: module and removed band. The interval is that of the filtered
    accuracy over examples. None where the unfiltered accuracy is 0.
    """
    full = float(table1["accuracy"].loc[("none", "none")])
    if full == 0:
        return None
    found = cast("pd.Series[Any]", table1.loc[row])
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
    """Epochs in which one run reaches the other's best validation accuracy, over the other's own epochs.

    fast, slow: histories (epoch, accuracy), one a seed. The level is the mean over the slow run's seeds
    of their best accuracy. value: ratio of the medians over seeds, inf where the fast run never reaches
    the level; low, high: smallest and largest ratio of the fast run's seeds.
    """
    level = float(np.mean([history["accuracy"].max() for history in slow]))
    own = float(np.median([history["epoch"].iloc[history["accuracy"].argmax()] for history in slow]))
    epochs = np.array([epochs_to(history, level) for history in fast])
    ratios = np.where(np.isnan(epochs), np.inf, epochs) / max(own, 1)
    middle = float(np.median(ratios))
    text = f"{percent(level)} after {middle * max(own, 1):g} epochs against {own:g}"
    over = "seeds" if len(ratios) > 1 else ""
    return Measured(middle, float(ratios.min()), float(ratios.max()), text, over, shown)


def explained(
    clusters: pd.DataFrame, quantity: np.ndarray, *, shuffles: int, seed: int, shown: str
) -> Measured | None:
    """How much of a quantity of the numbers their clusters explain (figure 5b), against shuffled clusters.

    clusters: number, cluster. quantity: (number,). shuffles: how often the quantity is shuffled. value:
    the p-value, which is the share of the shuffles, the unshuffled order counted as one, that explain as
    much of the variance. None without clusters.
    """
    if clusters.empty:
        return None
    labels = clusters["cluster"].to_numpy()
    members = (labels[:, None] == np.unique(labels)).astype(np.float64)
    centred = quantity - quantity.mean()
    sizes = members.sum(axis=0)

    def explained_share(values: np.ndarray) -> np.ndarray:
        """Share of the variance between clusters: (..., number) -> (...)."""
        shares: np.ndarray = ((values @ members) ** 2 / sizes).sum(axis=-1) / (centred**2).sum()
        return shares

    generator = np.random.default_rng(seed)
    null = explained_share(np.stack([generator.permutation(centred) for _ in range(shuffles)]))
    own = float(explained_share(centred))
    p_value = float((1 + (null >= own).sum()) / (1 + shuffles))
    text = f"{percent(own)} of the variance (shuffled {percent(float(null.mean()))}), p = {p_value:.4f}"
    return Measured(p_value, p_value, p_value, text, "", shown)
