"""Intervals and shares: one record, and one place."""

import numpy as np
import pytest
from fourier_addition.intervals import (
    Share,
    newcombe_interval,
    share_of,
    student_interval,
    welch_interval,
    wilson_interval,
)
from scipy.stats import ttest_1samp, ttest_ind
from study import ROOT


def test_a_share_has_one_json_form():
    low, high = wilson_interval(0.6, 10)
    assert share_of(6, 10) == Share(6, 10, 0.6, low, high)
    assert share_of(6, 10).as_dict() == {"count": 6, "of": 10, "share": 0.6, "low": low, "high": high}
    assert share_of(0, 0).as_dict() == {"count": 0, "of": 0, "share": None, "low": None, "high": None}


@pytest.mark.parametrize("examples", [1, 3, 24, 42, 119, 266, 1000])
def test_the_interval_of_none_or_all_ends_in_just_that(examples):
    assert wilson_interval(0.0, examples)[0] == 0.0 and wilson_interval(1.0, examples)[1] == 1.0


def test_the_difference_of_a_proportion_and_itself_has_a_symmetric_interval():
    low, high = newcombe_interval((0.4, 50), (0.4, 50))
    assert low == pytest.approx(-high) and low < 0


def test_intervals_of_means_are_those_of_the_library():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=7), rng.normal(size=5)
    assert student_interval(x) == pytest.approx(tuple(ttest_1samp(x, 0).confidence_interval()))
    library = ttest_ind(x, y, equal_var=False).confidence_interval()
    assert welch_interval(x, y) == pytest.approx(tuple(library))
    assert student_interval(x, bounds=(x.mean(), np.inf))[0] == x.mean()
    assert welch_interval(x, y, bounds=(-np.inf, x.mean() - y.mean()))[1] == x.mean() - y.mean()


def test_no_other_module_computes_an_interval_from_a_distribution():
    package = ROOT / "workflow/scripts/fourier_addition"
    found = {path.name for path in package.rglob("*.py") if "scipy.stats" in path.read_text()}
    assert found == {"intervals.py"}
