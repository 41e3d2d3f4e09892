"""Outliers of spectra: planted waves are found, and nothing else is: not noise, nor a peak's neighbours."""

import numpy as np
import pytest
from fourier_addition.analysis.outliers import NullTest, NumberSignals, null_test, prominence
from fourier_addition.fourier import embedding_spectrum, fourier_basis


def null_of(rows: np.ndarray, kind: str = "paper", draws: int = 200) -> NullTest:
    """Outliers of an embedding (number, feature), as the configuration's defaults have them."""
    basis = fourier_basis(len(rows), kind)
    return null_test(
        embedding_spectrum(rows, basis),
        lambda order: embedding_spectrum(rows[order], basis),
        NumberSignals(rows.T, lambda values: embedding_spectrum(values.T, basis), basis.base_period),
        draws=draws,
        level=0.95,
        window=5,
        seed=0,
    )


def outliers(rows: np.ndarray, kind: str = "paper") -> list[int]:
    """Components that are called outliers."""
    return (1 + np.flatnonzero(null_of(rows, kind).outlier)).tolist()


def planted(size: int, waves: dict[float, float], width: int = 64, seed: int = 0) -> np.ndarray:
    """Noise (number, feature) with waves: period -> amplitude, each along two random directions."""
    generator = np.random.default_rng(seed)
    rows = generator.standard_normal((size, width))
    for period, amplitude in waves.items():
        angle = 2 * np.pi * np.arange(size) / period
        plane = np.stack([np.cos(angle), np.sin(angle)], axis=1)
        rows += amplitude * plane @ generator.standard_normal((2, width))
    return rows


def test_a_planted_period_is_the_only_outlier():
    found = null_of(planted(101, {10: 0.5}, width=32))
    assert np.flatnonzero(found.outlier).tolist() == [9]
    assert found.p_value[9] == pytest.approx(1 / 201)


def test_noise_has_no_outliers():
    # At level 0.95 one spectrum in twenty may have one; three in ten would mean a broken null.
    generator = np.random.default_rng(1)
    spectra = [null_of(generator.standard_normal((101, 16)), draws=60) for _ in range(10)]
    assert sum(found.outlier.any() for found in spectra) <= 3


@pytest.mark.parametrize("seed", range(3))
def test_random_walks_and_smoothed_vectors_have_no_outliers_but_the_longest_periods(seed):
    noise = np.random.default_rng(seed).standard_normal((521, 64))
    # The two longest periods have neighbours on one side only, where the slope of a walk does show.
    assert set(outliers(noise.cumsum(axis=0))) <= {1, 2}
    smoothing = np.exp(-(np.arange(-10, 11) ** 2) / 18)
    smoothed = np.stack([np.convolve(column, smoothing, mode="same") for column in noise.T], axis=1)
    assert outliers(smoothed) == []


@pytest.mark.parametrize("kind", ["paper", "orthonormal"])
@pytest.mark.parametrize("amplitude", [0.2, 0.5, 1, 2])
@pytest.mark.parametrize(("size", "nearest"), [(101, [8, 14]), (211, [16, 30]), (521, [40, 74])])
def test_waves_of_periods_that_the_basis_lacks_are_one_outlier_each(size, nearest, amplitude, kind):
    # Periods 7 and 13 lie between components, so they spread over the neighbours of the nearest ones.
    assert outliers(planted(size, {7: amplitude, 13: amplitude}), kind) == nearest


def test_a_neighbour_of_a_peak_stands_out_until_the_peak_is_taken_out():
    rows = planted(211, {7: 1, 13: 1})
    found = null_of(rows, "orthonormal")
    before = prominence(embedding_spectrum(rows, fourier_basis(211, "orthonormal")), 5)
    # Period 12.35 (component 17) beside the planted 13: above the threshold, and not called an outlier.
    assert before[16] > found.threshold > found.prominence[16]
    assert found.p_value[16] > 0.05
    # What is no candidate keeps its prominence.
    low = before <= found.threshold
    assert np.array_equal(found.prominence[low], before[low])


def test_two_planted_neighbours_are_both_outliers():
    # Components 14 and 15 of 100: no single wave between them explains both.
    assert outliers(planted(101, {100 / 14: 1.5, 100 / 15: 1.0})) == [14, 15]


def test_no_component_becomes_an_outlier_by_taking_others_out():
    for seed in range(5):
        rows = planted(61, {10: 3, 5: 2, 6.5: 1}, width=24, seed=seed)
        found = null_of(rows)
        before = prominence(embedding_spectrum(rows, fourier_basis(61)), 5)
        assert not (found.outlier & (before <= found.threshold)).any()
        assert (found.prominence <= before).all()


def test_prominence_ignores_a_broad_slope():
    slope = 100 / np.arange(10, 60)
    slope[20] *= 2
    found = prominence(slope, window=5)
    # The first components have neighbours on one side only, where a slope does show.
    assert found.argmax() == 20 and found[20] > 1.8 and np.delete(found, 20)[5:].max() < 1.1
