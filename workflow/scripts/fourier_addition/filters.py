"""Filters of Fourier bands in module outputs (sections 3.3 and 4.2 of the paper).

A filter of x against a set of components is the y closest to x with B F W_U y = 0, where B selects
the rows of those components: y = x - Q Q^T x, with Q an orthonormal basis of the rows of B F W_U.
The constant's row is never among them, so no filter constrains it.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fourier_addition.errors import UserError
from fourier_addition.fourier import FourierBasis, high_components, low_components

Band = str | Mapping[str, Any]
"""A band as the configuration writes it: a word, or a mapping with one key; see `BAND_KINDS`."""


@dataclass(frozen=True)
class BandSettings:
    """What turns a band into components.

    band: the band as it is written, for messages.
    basis: whose components are named. tau, cut: where low ends and high begins (section 3.3).
    tolerance: largest relative distance between a period and that of its nearest component.
    """

    band: Band
    basis: FourierBasis
    tau: int | None
    cut: str
    tolerance: float


@dataclass(frozen=True)
class BandKind:
    """One way of writing a band.

    name: the word itself (`low`), or the key of the mapping (`periods`). word: which of the two.
    components: (what stands under the key, or the word; settings) -> components in any order.
    label: (the same) -> the band in words, for tables and figures.
    """

    name: str
    word: bool
    components: Callable[[Any, BandSettings], Sequence[int] | np.ndarray]
    label: Callable[[Any], str]


def _divided(
    part: Callable[[FourierBasis, int, str], np.ndarray],
) -> Callable[[str, BandSettings], np.ndarray]:
    def components(word: str, given: BandSettings) -> np.ndarray:
        if given.tau is None:
            raise UserError(f"Band '{word}' needs tau, the component that divides low from high.")
        return part(given.basis, given.tau, given.cut)

    return components


def _listed(value: Any, key: str, given: BandSettings, *, whole: bool) -> list[Any]:
    """The list under a key, which must hold (whole) numbers."""
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise UserError(f"Band {given.band!r} must give a list under `{key}`, not {value!r}.")
    allowed = (int, np.integer) if whole else (int, float, np.number)
    if not all(isinstance(entry, allowed) and not isinstance(entry, bool) for entry in value):
        raise UserError(f"Band {given.band!r} must list {'whole ' if whole else ''}numbers under `{key}`.")
    return list(value)


def _of_periods(value: Any, given: BandSettings) -> list[int]:
    periods = _listed(value, "periods", given, whole=False)
    return [component_of_period(period, given.basis, given.tolerance) for period in periods]


def _of_components(value: Any, given: BandSettings) -> list[int]:
    return _listed(value, "components", given, whole=True)


def _of_range(value: Any, given: BandSettings) -> list[int]:
    ends = _listed(value, "range", given, whole=True)
    if len(ends) != 2:
        raise UserError(f"Band {given.band!r} must give `range` as [first, last], both included.")
    return list(range(ends[0], ends[1] + 1))


def _of_complement(value: Any, given: BandSettings) -> np.ndarray:
    inner = components_of(value, given.basis, given.tau, given.cut, given.tolerance)
    return np.setdiff1d(given.basis.components, inner)


def _list_label(name: str) -> Callable[[Any], str]:
    def label(value: Any) -> str:
        return f"{name if len(value) > 1 else name[:-1]} {', '.join(f'{entry:g}' for entry in value)}"

    return label


_KINDS = (
    # k < tau, and everything else but the constant (section 3.3)
    BandKind("low", True, _divided(low_components), str),
    BandKind("high", True, _divided(high_components), str),
    # {periods: [2, 5]}: each period, in numbers, is taken to its nearest component
    BandKind("periods", False, _of_periods, _list_label("periods")),
    # {components: [1, 2]}
    BandKind("components", False, _of_components, _list_label("components")),
    # {range: [1, 9]}: first and last component, both included
    BandKind("range", False, _of_range, lambda value: f"components {value[0]} to {value[1]}"),
    # {complement: low}: everything but the constant that a band leaves out
    BandKind("complement", False, _of_complement, lambda value: f"all but {band_label(value)}"),
)
BAND_KINDS = {kind.name: kind for kind in _KINDS}
"""Every way of writing a band; a new one is one entry here."""


def _kind_of(band: Band) -> tuple[BandKind, Any]:
    """The kind of a band and what is said under its key (or the word). Raises UserError for no kind."""
    words = [name for name, kind in BAND_KINDS.items() if kind.word]
    keys = [name for name, kind in BAND_KINDS.items() if not kind.word]
    if isinstance(band, str):
        if band not in words:
            raise UserError(
                f"Band '{band}' is not known; it is {' or '.join(words)}, "
                f"or a mapping with one of {', '.join(keys)}."
            )
        return BAND_KINDS[band], band
    if not isinstance(band, Mapping) or len(band) != 1 or next(iter(band)) not in keys:
        raise UserError(f"Band {band!r} must be a mapping with exactly one of {', '.join(keys)}.")
    ((key, value),) = band.items()
    return BAND_KINDS[key], value


def components_of(
    band: Band,
    basis: FourierBasis,
    tau: int | None = None,
    cut: str = "component",
    tolerance: float = 0.05,
) -> np.ndarray:
    """The components that a band names: sorted (component,) int, without the constant.

    band: of any kind in `BAND_KINDS`. tau, cut, tolerance: see `BandSettings`.
    Raises UserError for a band that is unknown or empty, a tau beyond the components, a period
    that no component has, and components that do not exist.
    """
    kind, value = _kind_of(band)
    found = kind.components(value, BandSettings(band, basis, tau, cut, tolerance))
    components = np.unique(np.asarray(found, np.int64))
    if components.size == 0:
        raise UserError(f"Band {band!r} holds no Fourier component.")
    if 0 in components:
        raise UserError(f"Band {band!r} names component 0, the constant, which is always kept.")
    basis.rows_of(components)
    return components


def band_label(band: Band) -> str:
    """A band in words, for tables and figures."""
    kind, value = _kind_of(band)
    return kind.label(value)


def component_of_period(period: float, basis: FourierBasis, tolerance: float = 0.05) -> int:
    """The component whose period is nearest to `period` (in numbers).

    Raises UserError when the period lies outside 2..base period by more than `tolerance`
    (relative), or the nearest component's period is further away than that.
    """
    if not period > 0:
        raise UserError(f"A period must be a positive number, not {period!r}.")
    distance = np.abs(basis.periods - period)
    nearest = int(np.argmin(distance))
    if distance[nearest] > tolerance * period:
        raise UserError(
            f"No Fourier component has period {period:g}: with base period {basis.base_period} the "
            f"nearest is {basis.periods[nearest]:g}, further away than the tolerance of {tolerance:g}."
        )
    return nearest + 1


def keep_only(components: Sequence[int] | np.ndarray, basis: FourierBasis) -> np.ndarray:
    """The components to remove so that only those named and the constant are left (figures 11 and 12).

    Raises UserError when a component does not exist or nothing would be removed.
    """
    basis.rows_of(components)
    removed = np.setdiff1d(basis.components, components)
    if removed.size == 0:
        raise UserError(f"Keeping all {basis.n_components} Fourier components removes nothing.")
    return removed


def row_space(rows: np.ndarray, tolerance: float | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The singular values of a matrix above rounding, and their vectors: rows = left diag(values) directions.

    rows: (row, d_model). tolerance: see `removal_basis`. Returns left (row, rank), values (rank,) from
    large to small, and directions (rank, d_model).
    """
    left, values, directions = np.linalg.svd(rows, full_matrices=False)
    if tolerance is None:
        tolerance = max(rows.shape) * np.finfo(np.float64).eps
    rank = int(np.count_nonzero(values > tolerance * values[0]))
    return left[:, :rank], values[:rank], directions[:rank]


def removal_basis(
    unembedding: np.ndarray,
    basis: FourierBasis,
    components: Sequence[int] | np.ndarray,
    tolerance: float | None = None,
) -> np.ndarray:
    """Orthonormal basis Q of the rows of B F W_U: (d_model, rank) float64.

    unembedding: (number, d_model) W_U of the number tokens, or with what stands before it folded in
        (`ModelView.folded_unembedding`). components: what B selects.
    tolerance: singular values up to this share of the largest count as zero; by default the
        rounding error of float64 for the matrix's size. The zero sine row of the printed basis is
        dropped by this.
    Raises UserError when nothing is selected, the number space is too small for the basis, or the
    filter would leave no dimensions of the residual stream.
    """
    components = np.asarray(components, np.int64)
    if components.size == 0:
        raise UserError("A filter needs at least one Fourier component to remove.")
    if len(unembedding) < basis.points:
        raise UserError(f"The unembedding of {len(unembedding)} numbers is too short for {basis.points}.")

    # The directions that B F W_U reads; those of singular value zero are read by no row.
    rows_of_numbers = np.asarray(unembedding, np.float64)[: basis.points]
    rows = basis.matrix[basis.rows_of(components)] @ rows_of_numbers
    _, values, directions = row_space(rows, tolerance)
    rank = len(values)

    width = rows.shape[1]
    if rank >= width:
        raise UserError(
            f"Removing {len(components)} Fourier components would leave no dimension of a residual "
            f"stream of {width}: it takes a width above {rank}."
        )
    return directions.T


def random_subspace(width: int, rank: int, rng: np.random.Generator) -> np.ndarray:
    """Orthonormal basis of a uniformly random subspace: (width, rank) float64."""
    if not 0 < rank < width:
        raise UserError(f"A random subspace of {width} dimensions cannot have rank {rank}.")
    return np.linalg.qr(rng.standard_normal((width, rank)))[0]


def random_components(
    basis: FourierBasis, size: int, rng: np.random.Generator, exclude: Collection[int] = ()
) -> np.ndarray:
    """`size` components drawn without replacement, sorted; `exclude` are never drawn."""
    pool = np.setdiff1d(basis.components, np.fromiter(exclude, np.int64, len(exclude)))
    if not 0 < size <= len(pool):
        raise UserError(f"{size} random Fourier components cannot be drawn from {len(pool)}.")
    return np.sort(rng.choice(pool, size, replace=False))


@dataclass(frozen=True, eq=False)
class Filter:
    """An orthogonal projector, held by the smaller of what it removes and what it keeps.

    basis: (d_model, column) float64, orthonormal.
    keeps: whether the columns span what is kept; otherwise they span what is removed.
    Filters compare by identity, so that conditions that share one can be computed together.
    """

    basis: np.ndarray
    keeps: bool

    @classmethod
    def removing(cls, removed: np.ndarray) -> Filter:
        """The filter y = x - Q Q^T x of an orthonormal Q (d_model, rank)."""
        width, rank = removed.shape
        if 2 * rank <= width:
            return cls(removed, False)
        return cls(np.linalg.qr(removed, mode="complete")[0][:, rank:], True)

    @classmethod
    def random(cls, width: int, rank: int, rng: np.random.Generator) -> Filter:
        """The filter that removes a uniformly random subspace of the given rank.

        The complement of a uniformly random subspace is one too, so the smaller is drawn.
        """
        if 2 * rank <= width:
            return cls(random_subspace(width, rank, rng), False)
        return cls(random_subspace(width, width - rank, rng), True)

    @property
    def width(self) -> int:
        """d_model."""
        return int(self.basis.shape[0])

    @property
    def rank(self) -> int:
        """Dimensions that are removed."""
        columns = int(self.basis.shape[1])
        return self.width - columns if self.keeps else columns

    def __call__(self, x: np.ndarray) -> np.ndarray:
        """y of x (..., d_model), in float64."""
        inside: np.ndarray = (x @ self.basis) @ self.basis.T
        return inside if self.keeps else x - inside
