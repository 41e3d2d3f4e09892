"""The table of claims: criteria, and every figure against a count by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from fourier_addition.ablation.table1 import CONCLUSIONS
from fourier_addition.analysis.module_spectra import component_peaks
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
from fourier_addition.claims.statements import STATEMENTS
from fourier_addition.claims.table import claims_table
from fourier_addition.claims.verdict import Criterion
from fourier_addition.fourier import fourier_basis, spectrum, waves
from fourier_addition.pipeline.config import schema


def settings() -> dict[str, float]:
    properties = schema()["properties"]
    found = {key: rule["default"] for key, rule in properties["claims"]["properties"].items()}
    found |= {key: properties["ablations"]["properties"][key]["default"] for key in ("unharmed", "harmed")}
    return found | {"null_level": properties["analysis"]["properties"]["null_level"]["default"]}


@pytest.mark.parametrize("statement", STATEMENTS, ids=lambda statement: statement.claim)
def test_the_papers_own_figures_are_confirmed(statement):
    criterion = statement.criterion(settings())
    assert str(criterion)
    value = statement.paper_value
    if value is not None:
        assert criterion.verdict(value, value, value) == "confirmed"


def test_a_table_may_leave_out_what_it_names_no_run_for():
    every = claims_table(Evidence({}, {}, {}, {**settings(), "untested": True}, {}))
    assert every["claim"].tolist() == [statement.claim for statement in STATEMENTS]
    assert set(every["verdict"]) == {"not tested"} and set(every["run"]) == {""}
    assert claims_table(Evidence({}, {}, {}, {**settings(), "untested": False}, {})).empty


def test_every_claim_has_statements():
    assert {int(statement.claim.rstrip("abcde")) for statement in STATEMENTS} == set(range(1, 17))
    assert len({statement.claim for statement in STATEMENTS}) == len(STATEMENTS)


def test_what_the_papers_table_1_loses():
    accuracy = {
        ("none", "none"): 0.9974,
        ("both", "low"): 0.0594,
        ("attention", "low"): 0.9912,
        ("mlp", "low"): 0.3589,
        ("both", "high"): 0.2708,
        ("attention", "high"): 0.7836,
        ("mlp", "high"): 0.9810,
    }
    columns = ("accuracy", "accuracy_low", "accuracy_high")
    table = pd.DataFrame({row: dict.fromkeys(columns, value) for row, value in accuracy.items()}).T
    said = {statement.says.lower(): statement.paper_value for statement in STATEMENTS}
    criteria = {statement.says.lower(): statement.criterion(settings()) for statement in STATEMENTS}
    for name, (state, rows) in CONCLUSIONS.items():
        assert criteria[name.lower()].kind == {"harmed": "at least", "unharmed": "at most"}[state]
        pick = min if state == "harmed" else max
        lost = pick(accuracy_lost(table, row, "").value for row in rows)
        assert said[name.lower()] == pytest.approx(lost, abs=6e-5)
    table.loc[("none", "none")] = 0.0
    assert accuracy_lost(table, ("mlp", "low"), "") is None


@pytest.mark.parametrize(
    ("kind", "threshold", "interval", "verdict"),
    [
        ("at least", 0.5, (0.5, 0.7), "confirmed"),
        ("at least", 0.5, (0.4, 0.7), "undecided"),
        ("at least", 0.5, (0.1, 0.49), "refuted"),
        ("at most", 0.5, (0.1, 0.5), "confirmed"),
        ("at most", 0.5, (0.51, 0.9), "refuted"),
        ("above", 0, (0.0, 0.2), "undecided"),
        ("above", 0, (0.01, 0.2), "confirmed"),
        ("below", 1, (1.0, 2.0), "refuted"),
        ("all of", 4, (4, 4), "confirmed"),
        ("all of", 4, (3, 3), "undecided"),
        ("all of", 4, (0, 0), "refuted"),
        ("none of", 4, (0, 0), "confirmed"),
        ("none of", 4, (1, 1), "undecided"),
        ("none of", 4, (4, 4), "refuted"),
    ],
)
def test_a_verdict_needs_the_whole_interval(kind, threshold, interval, verdict):
    assert Criterion(kind, threshold).verdict(interval[1], *interval) == verdict


def test_difference_of_accuracies():
    first = [{"accuracy": 56 / 70, "examples": 70}]
    second = [{"accuracy": 48 / 80, "examples": 80}]
    # Newcombe (1998), Statistics in Medicine 17:873-890, table II, contrast (a), method 10.
    found = accuracy_difference(first, second, "")
    assert (found.low, found.high) == pytest.approx((0.0524, 0.3339), abs=5e-5)
    assert found.over == "examples"
    seeds = accuracy_difference(
        [{"accuracy": x, "examples": 70} for x in (0.8, 0.9)],
        [{"accuracy": x, "examples": 70} for x in (0.5, 0.6)],
        "",
    )
    # Welch: difference 0.3, standard error sqrt(0.005/2 + 0.005/2), 2 degrees of freedom.
    half = 4.302653 * np.sqrt(0.005)
    assert (seeds.low, seeds.high) == pytest.approx((0.3 - half, 0.3 + half), abs=1e-6)
    assert seeds.over == "seeds"


def test_shares():
    found = share(0, 0, "", "")
    assert np.isnan(found.value)
    mean = mean_accuracy([{"accuracy": 0.9, "examples": 100}, {"accuracy": 0.7, "examples": 100}], "")
    assert mean.value == pytest.approx(0.8)
    assert mean.low < 0.8 < mean.high


def module_table(marked: dict[int, list[int]], base: int = 100) -> pd.DataFrame:
    """Spectra of three layers: layer -> components that stand out."""
    components = np.arange(1, base // 2 + 1)
    return pd.concat(
        pd.DataFrame(
            {
                "module": "mlp",
                "layer": layer,
                "component": components,
                "period": base / components,
                "outlier": np.isin(components, marks),
            }
        )
        for layer, marks in marked.items()
    )


def test_periods_that_stand_out():
    table = module_table({0: [50, 40, 20, 10], 1: [50, 40], 2: [50, 20]})
    found = standing_out(table, "mlp", (2, 2.5, 5, 10), settings(), "")
    assert (found.value, found.text) == (3, "3 of 4: 2, 2.5, 5")
    last = standing_out(table, "mlp", (2, 2.5, 5, 10), settings() | {"layers": 1}, "")
    assert last.text == "2 of 4: 2, 5"
    # With base period 100 no component has period 3.33 but 30; a base of 104 has none at 10.
    other = module_table({0: [11], 1: [10], 2: [12]}, base=104)
    assert standing_out(other, "mlp", (10,), settings(), "").value == 1
    assert standing_out(module_table({0: [9], 1: [9], 2: [10]}), "mlp", (10,), settings(), "").value == 0
    embedding = table[table["layer"] == 1].drop(columns=["module", "layer"])
    assert standing_out(embedding, None, (2, 5), settings(), "").text == "1 of 2: 2"


def test_low_frequencies_of_modules():
    components = np.arange(1, 11)
    low = {"mlp": 6.0, "attention": 2.0}
    table = pd.concat(
        pd.DataFrame(
            {
                "module": module,
                "layer": layer,
                "component": components,
                "magnitude": np.where(components < 4, low[module] * (layer + 1), 1.0),
            }
        )
        for module in low
        for layer in range(3)
    )
    found = low_over_high(table, 4, 16, "")
    assert (found.value, found.low, found.high) == pytest.approx((3, 3, 3))


def test_sooner():
    def history(*accuracies: float) -> pd.DataFrame:
        return pd.DataFrame({"epoch": np.arange(1, len(accuracies) + 1), "accuracy": accuracies})

    slow = [history(0.1, 0.2, 0.4, 0.5)]
    found = reached_sooner([history(0.1, 0.6), history(0.5, 0.6)], slow, "")
    assert (found.value, found.low, found.high) == (0.375, 0.25, 0.5)
    assert reached_sooner([history(0.1, 0.2)], slow, "").value == np.inf


def test_clusters_explain_what_they_group():
    numbers = np.arange(60)
    by_size = pd.DataFrame({"number": numbers, "cluster": numbers // 6})
    options = {"shuffles": 200, "seed": 0, "shown": ""}
    assert explained(by_size, numbers.astype(float), **options).value == pytest.approx(1 / 201)
    tens = (numbers % 10 == 0).astype(float)
    assert explained(by_size, tens, **options).value > 0.2
    by_digit = pd.DataFrame({"number": numbers, "cluster": numbers % 10})
    assert explained(by_digit, tens, **options).text.startswith("100.0% of the variance")
    assert explained(by_digit.iloc[:0], tens[:0], **options) is None


@pytest.mark.parametrize("kind", ["paper", "orthonormal"])
def test_where_the_largest_components_peak(kind):
    """Against the waves that figure 4 draws, one example at a time."""
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(5, 21))
    answers = np.arange(5)
    capture = xr.Dataset(
        {"final_logits": (("example", "number"), logits)},
        coords={name: ("example", answers) for name in ("a", "b", "answer")},
    )
    basis = fourier_basis(21, kind)
    table = component_peaks(capture, {"basis": kind, "summed": 3})
    expected = []
    for row in logits:
        largest = np.argsort(-spectrum(row, basis))[:3]
        expected.append(int(waves(row, basis)[largest].sum(axis=0).argmax()))
    assert table["peak"].tolist() == expected
    assert table["answer"].tolist() == answers.tolist()
