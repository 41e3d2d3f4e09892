"""Interventions in number-Fourier space, of which the filter of table 1 is one.

The rows M of F W_U that belong to chosen components read coefficients c = M x off a state x of the residual
stream. An intervention asks for other coefficients and changes x by as little as gives them:

    y = x + M+ (c' - M x)      with M+ the pseudo-inverse of M

    remove    c' = 0: the filter y = x - Q Q^T x (section 3.3 of the paper)
    turn      c' has the phase of every component moved on by a number of numbers
    scale     c' = gain c
    replace   c' = M s, the coefficients of another prompt's state s at the same place

`turn_along` makes the change of a turn along other directions than M+, for rows M that are weights of probes.

With M = U S V^T and Q = V this is y = x + Q (K Q^T x + L Q^T s), which is how `Intervention` holds it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from fourier_addition.errors import UserError
from fourier_addition.filters import Filter, random_subspace, row_space
from fourier_addition.fourier import FourierBasis

FUNCTIONS = ("sin", "cos")


@dataclass(frozen=True, eq=False)
class Planes:
    """Rows M that read the cosine and the sine of Fourier components off the residual stream.

    rows: (row, d_model) float64. periods: (row,) of each row's component, in numbers. functions: (row,)
    `sin` or `cos`. numbers: p, the size of the number space that the periods count in. tolerance: see
    `filters.removal_basis`.
    The rows are those of F W_U (`planes_of`), or the weights of fitted probes of sin and cos (2 pi n / T).
    Raises UserError when there is no row, a function is not known, a period has one function twice or its
    sine alone, or the rows leave no dimension of the residual stream.
    """

    rows: np.ndarray
    periods: np.ndarray
    functions: np.ndarray
    numbers: int
    tolerance: float | None = None

    def __post_init__(self) -> None:
        if not len(self.rows):
            raise UserError("An intervention needs at least one Fourier component.")
        wrong = sorted(set(map(str, self.functions)) - set(FUNCTIONS))
        if wrong:
            raise UserError(f"A row reads {' or '.join(FUNCTIONS)} of a component, not '{wrong[0]}'.")
        for period in np.unique(self.periods):
            found = sorted(self.functions[self.periods == period])
            if found not in (["cos"], ["cos", "sin"]):
                raise UserError(f"Period {period:g} must have a cosine and at most one sine, not {found}.")
        if self.rank >= self.width:
            raise UserError(
                f"An intervention on {len(self.rows)} rows leaves no dimension of a residual stream of "
                f"{self.width} as it is: it takes a width above {self.rank}."
            )

    @property
    def width(self) -> int:
        """d_model."""
        return int(self.rows.shape[1])

    @property
    def rank(self) -> int:
        """Dimensions of the residual stream that the rows read."""
        return len(self._space[1])

    @property
    def basis(self) -> np.ndarray:
        """Q: (d_model, rank) float64, orthonormal, what the rows read."""
        return self._space[2].T

    @cached_property
    def _space(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return row_space(np.asarray(self.rows, np.float64), self.tolerance)

    @cached_property
    def pairs(self) -> list[tuple[float, int, int | None]]:
        """(period, row of the cosine, row of the sine or None), from short to long periods."""
        found = []
        for period in np.unique(self.periods):
            (cosine,) = np.flatnonzero((self.periods == period) & (self.functions == "cos"))
            sine = np.flatnonzero((self.periods == period) & (self.functions == "sin"))
            found.append((float(period), int(cosine), int(sine[0]) if len(sine) else None))
        return found

    def in_basis(self, change: np.ndarray) -> np.ndarray:
        """What a map of the coefficients is for Q^T x: M+ change M = Q (...) Q^T.

        change: (row, row). Returns (rank, rank).
        """
        left, values, _ = self._space
        inside: np.ndarray = (left.T @ change @ left) * values / values[:, None]
        return inside


def planes_of(
    unembedding: np.ndarray,
    basis: FourierBasis,
    components: Sequence[int] | np.ndarray,
    tolerance: float | None = None,
) -> Planes:
    """The planes of components in F W_U (section 3.2 of the paper).

    unembedding: (number, d_model) W_U of the number tokens, or with what stands before it folded in
    (`ModelView.folded_unembedding`). components: as `filters.components_of` gives them. The sine row of
    half the base period, which is zero in the printed basis, is left out. tolerance: see
    `filters.removal_basis`. Raises UserError for a component that does not exist, for the constant, and for
    an unembedding of too few numbers.
    """
    if len(unembedding) < basis.points:
        raise UserError(f"The unembedding of {len(unembedding)} numbers is too short for {basis.points}.")
    if 0 in np.asarray(components):
        raise UserError("Component 0, the constant, has no phase and is left as it is.")
    chosen = basis.rows_of(components)
    chosen = chosen[np.any(basis.matrix[chosen] != 0, axis=1)]
    return Planes(
        rows=basis.matrix[chosen] @ np.asarray(unembedding, np.float64)[: basis.points],
        periods=basis.base_period / basis.row_component[chosen],
        functions=basis.row_function[chosen],
        numbers=basis.base_period + 1,
        tolerance=tolerance,
    )


def random_planes(planes: Planes, rng: np.random.Generator) -> Planes:
    """As many random orthonormal rows with the same periods and functions: the control of equal rank."""
    directions = random_subspace(planes.width, len(planes.rows), rng).T
    return Planes(directions, planes.periods, planes.functions, planes.numbers)


@dataclass(frozen=True, eq=False)
class Intervention:
    """y = x + Q (K Q^T x + L Q^T s), for a state x and a state s of another prompt at the same place.

    basis: Q, (d_model, rank) float64, orthonormal. own: K, (rank, rank). given: L, (rank, rank); None where
    no other prompt matters. source: (example,) int, for every example the number of the prompt that s is
    of; None as `given`. numbers: p of the planes' number space.
    Interventions compare by identity, so that conditions that share one can be computed together.
    """

    basis: np.ndarray
    own: np.ndarray
    given: np.ndarray | None = None
    source: np.ndarray | None = None
    numbers: int = 0

    @property
    def width(self) -> int:
        """d_model."""
        return int(self.basis.shape[0])

    @property
    def rank(self) -> int:
        """Dimensions that may change."""
        return int(self.basis.shape[1])

    def __call__(self, x: np.ndarray, source: np.ndarray | None = None) -> np.ndarray:
        """y of x (..., d_model), in float64. source: s, (..., d_model), where the intervention has one."""
        change = (x @ self.basis) @ self.own.T
        if self.given is not None:
            assert source is not None, "an intervention with a source needs the source's state"
            change = change + (source @ self.basis) @ self.given.T
        y: np.ndarray = x + change @ self.basis.T
        return y


def remove(planes: Planes) -> Filter:
    """The filter that sets every coefficient to 0, y = x - Q Q^T x (table 1)."""
    return Filter.removing(planes.basis)


def scale(planes: Planes, gain: float) -> Intervention:
    """Every coefficient times `gain`: 1 changes nothing, 0 removes."""
    return Intervention(planes.basis, (gain - 1) * np.eye(planes.rank), numbers=planes.numbers)


def turning(planes: Planes, angles: Sequence[float] | np.ndarray) -> np.ndarray:
    """T, which turns the phase of every component by an angle: (row, row).

    angles: (pair,) in radians, in the order of `planes.pairs`. A wave cos(w n - phase) becomes
    cos(w n - phase - angle). A component with a cosine alone, as half the base period, has no plane to turn
    in: its coefficient is multiplied by cos(angle), which is right for period 2 and whole numbers.
    """
    if len(angles) != len(planes.pairs):
        raise UserError(f"{len(planes.pairs)} components need as many angles, not {len(angles)}.")
    matrix = np.zeros((len(planes.rows), len(planes.rows)))
    for angle, (_, cosine, sine) in zip(angles, planes.pairs, strict=True):
        matrix[cosine, cosine] = np.cos(angle)
        if sine is not None:
            matrix[sine, sine] = np.cos(angle)
            matrix[cosine, sine] = -np.sin(angle)
            matrix[sine, cosine] = np.sin(angle)
    return matrix


def number_angles(planes: Planes, delta: float) -> np.ndarray:
    """The angles (pair,) that move every component on by `delta` numbers: 2 pi delta / period.

    Raises UserError where a component other than that of period 2 has a cosine alone, or where period 2
    would be turned by a part of a number.
    """
    for period, _, sine in planes.pairs:
        if sine is None and not np.isclose(period, 2):
            raise UserError(f"Period {period:g} has a cosine alone, so its phase cannot be turned.")
        if sine is None and delta != round(delta):
            raise UserError(f"Period {period:g} turns by whole numbers only, not by {delta:g}.")
    return np.array([2 * np.pi * delta / period for period, _, _ in planes.pairs])


def random_angles(planes: Planes, rng: np.random.Generator) -> np.ndarray:
    """Uniformly random angles (pair,); 0 or pi for a component with a cosine alone."""
    return np.array(
        [
            np.pi * rng.integers(2) if sine is None else rng.uniform(0, 2 * np.pi)
            for _, _, sine in planes.pairs
        ]
    )


def turn(planes: Planes, angles: Sequence[float] | np.ndarray) -> Intervention:
    """The phases of all components turned; angles: see `turning` and `number_angles`."""
    change = turning(planes, angles) - np.eye(len(planes.rows))
    return Intervention(planes.basis, planes.in_basis(change), numbers=planes.numbers)


def turn_along(planes: Planes, pattern: np.ndarray, angles: Sequence[float] | np.ndarray) -> Intervention:
    """The phases turned by a change along given directions: y = x + D (T - 1) M x.

    planes: M, which reads the coefficients, as the weights of probes do. pattern: D, (d_model, row), along
    which the states change with each coefficient; where M D = 1, M y = T M x. angles: see `turning`.
    Raises UserError for a pattern of another shape.
    """
    if pattern.shape != planes.rows.T.shape:
        raise UserError(
            f"A pattern of shape {pattern.shape} does not belong to rows of shape {planes.rows.shape}."
        )
    change = turning(planes, angles) - np.eye(len(planes.rows))
    # Each direction at the same length, so that none is lost beside longer ones
    both = np.concatenate([planes.rows, pattern.T])
    lengths = np.linalg.norm(both, axis=1, keepdims=True)
    basis = row_space(both / np.where(lengths > 0, lengths, 1), planes.tolerance)[2].T
    own = (basis.T @ pattern) @ change @ (planes.rows @ basis)
    return Intervention(basis, own, numbers=planes.numbers)


def replace(
    planes: Planes, source: np.ndarray, angles: Sequence[float] | np.ndarray | None = None
) -> Intervention:
    """The coefficients replaced by those of another prompt at the same place.

    source: (example,) int, for every example the number of that prompt among the source states.
    angles: turn the other prompt's phases first; None leaves them.
    """
    if angles is None:
        return replace_along(planes.basis, source, planes.numbers)
    given = planes.in_basis(turning(planes, angles))
    return Intervention(
        planes.basis, -np.eye(planes.rank), given, np.asarray(source, np.int64), planes.numbers
    )


def replace_along(basis: np.ndarray, source: np.ndarray, numbers: int) -> Intervention:
    """Everything along some directions replaced by another prompt's: y = x + Q Q^T (s - x).

    basis: Q, (d_model, rank), orthonormal, of planes or of a random subspace. source, numbers: see
    `Intervention`.
    """
    identity = np.eye(basis.shape[1])
    return Intervention(basis, -identity, identity, np.asarray(source, np.int64), numbers)
