"""Filters: which components a band names, and that a filter is the projector it is defined as."""

import jsonschema
import numpy as np
import pytest
import scipy.linalg
from fourier_addition.errors import UserError
from fourier_addition.filters import (
    BAND_KINDS,
    BandKind,
    Filter,
    band_label,
    component_of_period,
    components_of,
    keep_only,
    random_components,
    random_subspace,
    removal_basis,
)
from fourier_addition.fourier import BASES, fourier_basis
from fourier_addition.pipeline.config import schema
from hypothesis import given, settings
from hypothesis import strategies as st


def unembedding_of(size, width, seed=0):
    return np.random.default_rng(seed).standard_normal((size, width)).astype(np.float32)


def constraints(unembedding, basis, components):
    """B F W_U, written out row by row rather than through the package's selection."""
    rows = [row for row, k in zip(basis.matrix, basis.row_component, strict=True) if k in set(components)]
    return np.array(rows) @ unembedding.astype(np.float64)[: basis.points]


class TestBands:
    basis = fourier_basis(521)

    def test_low_and_high_divide_the_components_at_tau(self):
        low = components_of("low", self.basis, 50)
        high = components_of("high", self.basis, 50)
        assert low.tolist() == list(range(1, 50))
        assert high.tolist() == list(range(50, 261))

    def test_row_cut_counts_two_rows_a_component(self):
        assert components_of("low", self.basis, 100, "row").max() == 49
        assert components_of("low", self.basis, 50, "row").max() == 24

    def test_periods_of_the_paper(self):
        band = {"periods": [2, 2.5, 5, 10]}
        assert components_of(band, self.basis).tolist() == [52, 104, 208, 260]

    def test_period_takes_its_nearest_component(self):
        assert component_of_period(3.3, self.basis) == 158
        assert component_of_period(100, self.basis) == 5

    @pytest.mark.parametrize("period", [1.5, 800, 200, 0, -5])
    def test_period_without_a_component_is_refused(self, period):
        with pytest.raises(UserError, match=r"[Pp]eriod"):
            component_of_period(period, self.basis)

    def test_tolerance_is_the_callers(self):
        assert component_of_period(200, self.basis, tolerance=0.2) == 3
        with pytest.raises(UserError, match="tolerance"):
            component_of_period(100, self.basis, tolerance=0.01)

    def test_range_includes_both_ends_and_complement_is_the_rest(self):
        assert components_of({"range": [3, 5]}, self.basis).tolist() == [3, 4, 5]
        rest = components_of({"complement": {"range": [3, 260]}}, self.basis)
        assert rest.tolist() == [1, 2]
        assert np.array_equal(
            components_of({"complement": "low"}, self.basis, 50), components_of("high", self.basis, 50)
        )

    @pytest.mark.parametrize(
        ("band", "words"),
        [
            ("medium", "Band 'medium' is not known"),
            ({}, "exactly one of"),
            ({"low": 3}, "exactly one of"),
            ({"periods": [2], "components": [1]}, "exactly one of"),
            ({"components": []}, "holds no Fourier component"),
            ({"range": [5, 3]}, "holds no Fourier component"),
            ({"range": [5]}, r"\[first, last\]"),
            ({"components": [0, 1]}, "always kept"),
            ({"components": [261]}, "261 does not exist"),
            ({"components": 3}, "must give a list"),
            ({"components": [2.5]}, "whole numbers"),
            ({"periods": ["two"]}, "must list numbers"),
            ({"complement": {"range": [1, 260]}}, "holds no Fourier component"),
            ("low", "needs tau"),
        ],
    )
    def test_bad_bands_are_refused_in_one_sentence(self, band, words):
        with pytest.raises(UserError, match=words) as error:
            components_of(band, self.basis)
        assert str(error.value).count(". ") == 0 and str(error.value).endswith(".")

    @pytest.mark.parametrize("tau", [1, 261, 10_000])
    def test_tau_beyond_the_components_is_refused(self, tau):
        with pytest.raises(UserError, match=f"tau = {tau}"):
            components_of("high", self.basis, tau)

    def test_labels(self):
        assert band_label("low") == "low"
        assert band_label({"periods": [2, 2.5]}) == "periods 2, 2.5"
        assert band_label({"complement": {"components": [7]}}) == "all but component 7"
        assert band_label({"range": [3, 9]}) == "components 3 to 9"

    def test_a_new_kind_is_one_record(self, monkeypatch):
        """Also for the configuration: its schema and its checks ask this module alone."""
        multiples = BandKind(
            "multiples",
            word=False,
            components=lambda value, given: given.basis.components[given.basis.components % value == 0],
            label=lambda value: f"every component of {value}",
        )
        monkeypatch.setitem(BAND_KINDS, "multiples", multiples)
        assert components_of({"multiples": 100}, self.basis).tolist() == [100, 200]
        assert band_label({"complement": {"multiples": 100}}) == "all but every component of 100"
        with pytest.raises(UserError, match="complement, multiples"):
            components_of({"odd": 3}, self.basis)
        with pytest.raises(UserError, match="holds no Fourier component"):
            components_of({"multiples": 300}, self.basis)
        bands = schema()["properties"]["ablations"]["properties"]["bands"]
        jsonschema.validate(["low", {"multiples": 100}, {"complement": {"range": [1, 9]}}], bands)


class TestRemovalBasis:
    @pytest.mark.parametrize("kind", BASES)
    def test_ranks_of_gpt2_xl(self, kind):
        """49 low components of two rows; 210 high ones of two rows and period 2 of one."""
        basis = fourier_basis(521, kind)
        weights = unembedding_of(521, 1600)
        low, high = (components_of(band, basis, 50) for band in ("low", "high"))
        assert removal_basis(weights, basis, low).shape == (1600, 98)
        assert removal_basis(weights, basis, high).shape == (1600, 421)
        # The printed basis has a sine row of period 2 that is zero; without period 2 there is none.
        assert len(basis.rows_of(high)) == (422 if kind == "paper" else 421)
        assert removal_basis(weights, basis, high[:-1]).shape == (1600, 420)

    def test_almost_zero_row_is_dropped_by_rank(self):
        """A sine row of rounding noise, as sin(pi x) in floating point gives it, adds no dimension."""
        basis = fourier_basis(21)
        noisy = basis.matrix.copy()
        row = np.flatnonzero((basis.row_component == 10) & (basis.row_function == "sin"))
        noisy[row] = np.sqrt(2 / 20) * np.sin(np.pi * np.arange(21))
        assert 0 < np.abs(noisy[row]).max() < 1e-14
        basis = type(basis)(basis.kind, noisy, basis.row_component, basis.row_function, basis.base_period)
        assert removal_basis(unembedding_of(21, 64), basis, [9, 10]).shape[1] == 3

    def test_filter_without_dimensions_left_is_refused(self):
        basis = fourier_basis(21)
        with pytest.raises(UserError, match="leave no dimension of a residual stream of 16"):
            removal_basis(unembedding_of(21, 16), basis, basis.components)
        assert removal_basis(unembedding_of(21, 20), basis, basis.components).shape == (20, 19)

    def test_nothing_to_remove_and_too_few_numbers_are_refused(self):
        basis = fourier_basis(21)
        with pytest.raises(UserError, match="at least one"):
            removal_basis(unembedding_of(21, 64), basis, [])
        with pytest.raises(UserError, match="too short"):
            removal_basis(unembedding_of(20, 64), basis, [1])


@st.composite
def cases(draw):
    """A filter's ingredients: basis, unembedding, components and a batch of outputs."""
    size, kind = draw(st.integers(8, 40)), draw(st.sampled_from(BASES))
    basis = fourier_basis(size, kind)
    components = draw(st.lists(st.integers(1, basis.n_components), min_size=1, unique=True))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width = size + draw(st.integers(1, 40))
    weights = rng.standard_normal((size, width)) * np.exp(rng.normal(size=width))
    return basis, weights, np.array(components), rng.standard_normal((3, width))


class TestProjector:
    @settings(max_examples=60, deadline=None)
    @given(cases())
    def test_projector_properties(self, case):
        basis, weights, components, x = case
        removed = removal_basis(weights, basis, components)
        kept = Filter.removing(removed)
        matrix = kept(np.eye(kept.width))
        assert np.allclose(removed.T @ removed, np.eye(removed.shape[1]), atol=1e-12)
        assert np.allclose(matrix, matrix.T, atol=1e-12)
        assert np.allclose(matrix @ matrix, matrix, atol=1e-12)
        rows = constraints(weights, basis, components)
        assert np.abs(rows @ kept(x).T).max() < 1e-10 * np.linalg.norm(rows)
        assert np.linalg.matrix_rank(rows) == kept.rank == removed.shape[1]
        assert np.allclose(np.eye(kept.width) - matrix, removed @ removed.T, atol=1e-12)

    @settings(max_examples=60, deadline=None)
    @given(cases())
    def test_filtered_output_is_the_least_squares_solution(self, case):
        """Against the normal equations of min |y - x| with B F W_U y = 0, solved by scipy."""
        basis, weights, components, x = case
        kept = Filter.removing(removal_basis(weights, basis, components))
        rows = constraints(weights, basis, components)
        correction = scipy.linalg.lstsq(rows, rows @ x.T)[0].T
        assert np.allclose(kept(x), x - correction, atol=1e-8)
        free = scipy.linalg.null_space(rows)
        assert np.allclose(kept(x), x @ free @ free.T, atol=1e-8)
        # Number space moves by no more than the least-squares solution moves it.
        moved = np.linalg.norm(weights @ (kept(x) - x).T)
        assert moved <= np.linalg.norm(weights @ correction.T) + 1e-6

    @settings(max_examples=30, deadline=None)
    @given(cases())
    def test_the_constant_is_not_a_constraint(self, case):
        """An output that only moves the constant of the logits passes unchanged."""
        basis, weights, components, _ = case
        rows = constraints(weights, basis, basis.components)
        constant = constraints(weights, basis, [0])[0]
        free = scipy.linalg.null_space(rows)
        x = free @ (free.T @ constant)
        assert abs(constant @ x) > 1e-6
        kept = Filter.removing(removal_basis(weights, basis, components))
        assert np.allclose(kept(x), x, atol=1e-8 * max(1, np.linalg.norm(x)))

    def test_both_ways_of_holding_a_filter_agree(self):
        rng = np.random.default_rng(0)
        removed, x = random_subspace(20, 13, rng), rng.standard_normal((5, 20))
        held = Filter.removing(removed)
        assert held.keeps and held.basis.shape == (20, 7) and held.rank == 13
        assert np.allclose(held(x), Filter(removed, False)(x))

    def test_keep_only_leaves_the_named_components(self):
        basis, weights = fourier_basis(21, "orthonormal"), np.eye(21)
        removed = keep_only([2, 10], basis)
        kept = Filter.removing(removal_basis(weights, basis, removed))
        signal = basis.matrix[basis.rows_of([0, 2, 10])].sum(axis=0)
        padded = np.append(signal, 0.0)
        assert np.allclose(kept(padded), padded)
        other = np.append(basis.matrix[basis.rows_of([3])].sum(axis=0), 0.0)
        assert np.allclose(kept(other), 0)
        with pytest.raises(UserError, match="removes nothing"):
            keep_only(basis.components, basis)


class TestRandomControls:
    @pytest.mark.parametrize("rank", [3, 17])
    def test_rank_and_seed(self, rank):
        first, again, other = (Filter.random(20, rank, np.random.default_rng(seed)) for seed in (0, 0, 1))
        assert first.rank == rank
        assert np.array_equal(first.basis, again.basis)
        assert not np.allclose(first(np.eye(20)), other(np.eye(20)))
        assert np.isclose(np.trace(first(np.eye(20))), 20 - rank)

    def test_random_subspaces_are_uniform(self):
        """The mean projector of a rotation-invariant draw is rank / width times the identity."""
        rng = np.random.default_rng(0)
        for rank in (2, 6):
            mean = np.mean([np.eye(8) - Filter.random(8, rank, rng)(np.eye(8)) for _ in range(4000)], axis=0)
            assert np.abs(mean - rank / 8 * np.eye(8)).max() < 0.02

    def test_random_components_are_distinct_and_leave_out_the_excluded(self):
        basis = fourier_basis(41)
        drawn = random_components(basis, 10, np.random.default_rng(0), exclude=range(1, 11))
        assert drawn.tolist() == list(range(11, 21))
        with pytest.raises(UserError, match="cannot be drawn"):
            random_components(basis, 11, np.random.default_rng(0), exclude=range(1, 11))

    @pytest.mark.parametrize("rank", [0, 8, 9])
    def test_impossible_ranks_are_refused(self, rank):
        with pytest.raises(UserError, match="rank"):
            random_subspace(8, rank, np.random.default_rng(0))
