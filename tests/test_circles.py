"""Circles in claims and figures: planted probes give known verdicts, and figures draw what they are given."""

import itertools

import numpy as np
import pandas as pd
import pytest
from fourier_addition.claims.circles import circles_read, coarse_before_fine
from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.statements import STATEMENTS
from fourier_addition.errors import UserError
from fourier_addition.plots.carries import plot_carries
from fourier_addition.plots.circles import plot_circles, plot_coarse_to_fine
from fourier_addition.plots.contributions import plot_contributions

SETTINGS = {"layer_share": 0.5}


def probes(r2, positions=("a", "b", "answer 1", "answer 2"), layers=4):
    """A table of probes: r2 takes position, target, period, layer."""
    rows = []
    for position, layer, period in itertools.product(
        positions, range(layers), (2, 3, 5, 7, 9, 10, 11, 50, 100, 200)
    ):
        known = {"a": ["a"], "b": ["a", "b"]}.get(position, ["a", "b", "sum"])
        for target in known:
            rows.append([position, layer, target, period, r2(position, target, period, layer)])
    table = pd.DataFrame(rows, columns=["position", "layer", "target", "period", "r2"])
    return table.assign(r2_low=table["r2"] - 0.05, r2_high=table["r2"] + 0.05, null_low=-0.05, null_high=0.05)


def planted(position, target, period, layer):
    """Operands on circles of 2, 5 and 10; the sum coarse first, its digits before the second token alone."""
    if target in ("a", "b"):
        return 0.9 if period in (2, 5, 10) else 0.0
    if period >= 50:
        return min(1.0, (layer + 1) * period / 800)
    return 0.8 if position == "answer 2" and period in (2, 5, 10) and layer == 3 else 0.0


def evidence(table, tmp_path):
    table.to_parquet(tmp_path / "probes.parquet")
    return Evidence(
        {"probed_probes": [str(tmp_path / "probes.parquet")]},
        {"probed": ["run"]},
        {"run": "a run"},
        SETTINGS,
        {"run": "model (real weights)"},
    )


def verdicts(table, tmp_path):
    found = evidence(table, tmp_path)
    named = {}
    for statement in STATEMENTS:
        if statement.roles == ("probed",):
            (measured,) = statement.measure(found)
            criterion = statement.criterion(SETTINGS)
            named[statement.claim] = criterion.verdict(measured.value, measured.low, measured.high)
    return named


def test_planted_probes_give_the_known_verdicts(tmp_path):
    assert verdicts(probes(planted), tmp_path) == {
        "2b": "confirmed",
        "13c": "confirmed",
        "13d": "refuted",
        "13e": "confirmed",
    }
    # Fine first, no circles of operands: the other way round.
    reverse = {50: 200, 200: 50}

    def other(position, target, period, layer):
        return planted(position, "sum", reverse.get(period, period), layer) if target == "sum" else 0.0

    found = verdicts(probes(other), tmp_path)
    assert (found["2b"], found["13c"]) == ("refuted", "refuted")
    assert evidence(probes(other), tmp_path).model(("probed",), 0) == "model (real weights)"


def test_a_circle_beside_a_control_period_does_not_count():
    rows = probes(lambda position, target, period, layer: 0.5).query("position == 'a'")
    assert circles_read(rows, (2, 5, 10), 0.5, "").value == 0
    rows = rows.assign(r2_high=np.where(rows["period"].isin([3, 7, 9, 11]), 0.1, rows["r2_high"]))
    assert circles_read(rows, (2, 5, 10), 0.5, "").value == 3
    # In one layer of four only.
    rows = rows.assign(r2_low=np.where(rows["layer"] == 1, rows["r2_low"], 0.0))
    assert circles_read(rows, (2, 5, 10), 0.5, "").value == 0
    assert circles_read(rows, (2, 5, 10), 0.0, "").value == 3


def test_the_step_between_magnitudes_is_the_smaller_one():
    rows = probes(lambda position, target, period, layer: {200: 0.9, 100: 0.6, 50: 0.5}.get(period, 0.0))
    found = coarse_before_fine(rows[(rows["position"] == "answer 1") & (rows["target"] == "sum")], "")
    assert found.value == pytest.approx(0.1) and "T = 50 from layer 0" in found.text
    assert (
        coarse_before_fine(rows[rows["period"] == 200].query("target == 'a' and position == 'a'"), "") is None
    )


def contributions_table():
    rows = [
        ("answer 1", "sum", period, 3, module, layer, 0.1, 0.8)
        for period in (2, 10)
        for module, layer in [("embedding", -1), *itertools.product(("attention", "mlp"), range(3))]
    ]
    columns = ["position", "target", "period", "state", "module", "layer", "part", "slope"]
    return pd.DataFrame(rows, columns=columns)


def test_figures_draw_what_they_are_given():
    figure, drawn = plot_circles(probes(planted), note="a note")
    # a at its token, b at its token, and three targets before each of two answer tokens.
    assert drawn["panel"].nunique() == 8
    own = drawn[(drawn["panel"] == "a") & (drawn["period"] == 10)]
    assert (own["r2"] == 0.9).all() and set(own["position"]) == {"a"}
    image = figure.axes[0].images[0].get_array()
    assert image.shape == (10, 4) and image[0, 0] == 0.9 and image[1, 0] == 0.0
    digits = drawn[drawn["position"].str.startswith("answer") & (drawn["target"] == "sum")]
    table = pd.concat([probes(planted), digits.drop(columns="panel").assign(target="digit 1")])
    figure, shown = plot_circles(table, digits=True)
    assert set(shown["target"]) == {"digit 1"} and shown["panel"].nunique() == 2
    assert "digit 1, before answer token 2" in [ax.get_title().replace("\n", " ") for ax in figure.axes]
    figure, drawn = plot_coarse_to_fine(probes(planted), note="a note")
    assert set(drawn["position"]) == {"answer 1", "answer 2"} and set(drawn["target"]) == {"sum"}
    figure, drawn = plot_contributions(contributions_table())
    assert "slope 0.80" in figure.axes[0].get_title() and len(drawn) == 14
    assert len(figure.axes[0].patches) == 6
    table = pd.DataFrame({"name": "run", "carries": [0, 1], "right": [9, 5], "examples": 10})
    table = table.assign(accuracy=table["right"] / 10, low=0.2, high=0.95)
    figure, drawn = plot_carries(table, names={"run": "a run"})
    assert figure.axes[0].lines[0].get_ydata().tolist() == [90, 50]


@pytest.mark.parametrize("plot", [plot_circles, plot_coarse_to_fine])
def test_a_missing_column_is_named_and_an_empty_table_says_so(plot):
    with pytest.raises(UserError, match="lacks the column null_high"):
        plot(probes(planted).drop(columns="null_high"))
    figure, drawn = plot(probes(planted).iloc[:0])
    assert len(drawn) == 0 and any("no " in text.get_text() for text in figure.axes[0].texts)
