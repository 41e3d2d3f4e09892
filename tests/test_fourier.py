"""Fourier bases and spectra, with the traps of the printed definitions."""

import numpy as np
import pytest
from fourier_addition.errors import UserError
from fourier_addition.fourier import (
    fourier_basis,
    high_components,
    low_components,
    projected_spectra,
    spectrum,
    waves,
)
from hypothesis import given, settings
from hypothesis import strategies as st


@pytest.mark.parametrize("size", [521, 341, 101])
def test_the_papers_basis_is_not_orthonormal(size):
    basis = fourier_basis(size, "paper")
    assert basis.matrix.shape == (size, size)
    assert np.linalg.matrix_rank(basis.matrix) == size - 1
    sine, cosine = basis.matrix[basis.rows_of([(size - 1) // 2])]
    assert not sine.any()
    # Over p points the cosine of period 2 has norm sqrt(2 p / (p - 1)).
    assert np.linalg.norm(cosine) == pytest.approx(np.sqrt(2 * size / (size - 1)))


@given(st.integers(5, 80))
@settings(max_examples=40, deadline=None)
def test_the_exact_basis_is_orthonormal(size):
    basis = fourier_basis(size, "orthonormal")
    assert basis.matrix.shape == (size - 1, size - 1)
    assert np.allclose(basis.matrix @ basis.matrix.T, np.eye(size - 1))


@given(st.integers(5, 80), st.integers(0, 2**31))
@settings(max_examples=40, deadline=None)
def test_constant_and_waves_sum_to_the_signal(size, seed):
    signal = np.random.default_rng(seed).standard_normal(size)
    basis = fourier_basis(size, "orthonormal")
    rebuilt = waves(signal, basis).sum(axis=0) + signal[:-1].mean()
    assert np.allclose(rebuilt, signal[:-1])


@pytest.mark.parametrize("kind", ["paper", "orthonormal"])
@pytest.mark.parametrize("period", [10, 5, 2.5, 4, 100])
def test_a_pure_wave_has_one_component(kind, period):
    basis = fourier_basis(101, kind)
    signal = np.cos(2 * np.pi * np.arange(101) / period + 0.7)
    found = spectrum(signal, basis)
    k = round(100 / period)
    assert basis.periods[k - 1] == pytest.approx(period)
    assert found.argmax() == k - 1
    assert np.delete(found, k - 1).max() < 0.2 * found[k - 1]


def test_spectra_without_logits_equal_spectra_of_logits():
    generator = np.random.default_rng(0)
    outputs, unembedding = generator.standard_normal((40, 16)), generator.standard_normal((31, 16))
    basis = fourier_basis(31)
    magnitudes = spectrum(outputs @ unembedding.T, basis)
    assert np.allclose(projected_spectra(outputs, unembedding, basis), magnitudes.mean(axis=0))
    rms = projected_spectra(outputs, unembedding, basis, "rms")
    assert np.allclose(rms, np.sqrt((magnitudes**2).mean(axis=0)))
    with pytest.raises(UserError, match="median"):
        projected_spectra(outputs, unembedding, basis, "median")


def test_low_and_high_bands_of_the_paper():
    basis = fourier_basis(521)
    low, high = low_components(basis, 50), high_components(basis, 50)
    assert (low[0], low[-1], high[0], high[-1]) == (1, 49, 50, 260)
    # Read as rows of F, tau = 50 is component 25.
    assert low_components(basis, 50, "row")[-1] == 24
    assert low_components(basis, 100, "row")[-1] == 49


@pytest.mark.parametrize(("tau", "cut"), [(1, "component"), (261, "component"), (0, "row"), (521, "row")])
def test_a_cut_beyond_the_components_is_refused(tau, cut):
    with pytest.raises(UserError, match=rf"tau = {tau}"):
        low_components(fourier_basis(521), tau, cut)


def test_bad_bases_and_components_are_refused():
    with pytest.raises(UserError, match="'sine'"):
        fourier_basis(101, "sine")
    with pytest.raises(UserError, match="at least 4"):
        fourier_basis(3)
    with pytest.raises(UserError, match="component 51 does not exist"):
        fourier_basis(101).rows_of([51])
