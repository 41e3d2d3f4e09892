"""Fourier analysis over the number axis (section 3.2 and appendix A of the paper).

A signal over the numbers 0..p-1 (a row of logits, a column of the number embedding)
is written in a real Fourier basis. Component k has angular frequency 2 pi k / N and
period N / k, where N is the base period.

Two bases are offered:

`paper`        p points, base period N = p - 1, rows 0, then sin and cos of components
               1..floor(N/2), as printed. It is not orthonormal: for even N the sine row of k = N/2 is
               zero and its cosine row has norm sqrt 2 (so period 2 is magnified by about
               sqrt 2), the first and last point are counted as one phase, and the rank is p - 1.
`orthonormal`  the exact basis of the numbers 0..p-2 (N = p - 1 points, base period N).
               The zero row is left out and the cosine of k = N/2 has norm 1.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from fourier_addition.errors import UserError

BASES = ("paper", "orthonormal")
CUTS = ("component", "row")


@dataclass(frozen=True)
class FourierBasis:
    """A real Fourier basis over the first `points` numbers.

    matrix: (row, number) float64, F of the paper.
    row_component: (row,) int, the component k of each row; 0 for the constant.
    row_function: (row,) str, `constant`, `sin` or `cos`.
    base_period: N = p - 1.
    """

    kind: str
    matrix: np.ndarray
    row_component: np.ndarray
    row_function: np.ndarray
    base_period: int

    @property
    def points(self) -> int:
        """Numbers that the basis spans, counted from 0."""
        return int(self.matrix.shape[1])

    @property
    def n_components(self) -> int:
        """Largest component k, not counting the constant."""
        return int(self.row_component.max())

    @property
    def components(self) -> np.ndarray:
        """(component,) int: 1..n_components."""
        return np.arange(1, self.n_components + 1)

    @property
    def periods(self) -> np.ndarray:
        """(component,) float: base period / k, in numbers."""
        return self.base_period / self.components

    def rows_of(self, components: Sequence[int] | np.ndarray) -> np.ndarray:
        """(row',) int: indices of the rows of the given components (0 is the constant).

        Raises UserError for a component that the basis does not have.
        """
        wanted = np.asarray(components, np.int64)
        outside = wanted[(wanted < 0) | (wanted > self.n_components)]
        if outside.size:
            raise UserError(
                f"Fourier component {outside[0]} does not exist: "
                f"with {self.points} numbers the components are 1..{self.n_components}."
            )
        return np.flatnonzero(np.isin(self.row_component, wanted))


@lru_cache(maxsize=16)
def fourier_basis(size: int, kind: str = "paper") -> FourierBasis:
    """Basis F for a number space of `size` = p numbers (equation 4 of the paper).

    size: p, at least 4.
    kind: `paper` or `orthonormal`.
    Raises UserError when the kind is unknown or there are too few numbers.
    """
    if kind not in BASES:
        raise UserError(f"Fourier basis '{kind}' is not known; it is one of {', '.join(BASES)}.")
    if size < 4:
        raise UserError(f"A Fourier basis needs at least 4 numbers, not {size}.")

    # Row by row: the constant, then sine and cosine of each component.
    period = size - 1
    points = size if kind == "paper" else size - 1
    numbers = np.arange(points)
    rows, components, functions = [np.full(points, np.sqrt(1 / period))], [0], ["constant"]
    for k in range(1, period // 2 + 1):
        angle = 2 * np.pi * ((k * numbers) % period) / period
        nyquist = 2 * k == period
        # sin(pi x) is exactly zero at whole numbers; the rounding of sin would hide the lost rank.
        sine = np.zeros(points) if nyquist else np.sqrt(2 / period) * np.sin(angle)
        cosine = np.sqrt(2 / period) * np.cos(angle)
        if kind == "orthonormal" and nyquist:
            rows.append(cosine / np.sqrt(2))
            components.append(k)
            functions.append("cos")
            continue
        rows += [sine, cosine]
        components += [k, k]
        functions += ["sin", "cos"]

    matrix = np.stack(rows)
    matrix.setflags(write=False)
    return FourierBasis(kind, matrix, np.asarray(components), np.asarray(functions), period)


def coefficients(signal: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """F applied to the number axis: signal (..., number) -> (..., row).

    Numbers beyond the basis's points are left out (`orthonormal` leaves out p - 1).
    Raises UserError when the signal has fewer numbers than the basis.
    """
    if signal.shape[-1] < basis.points:
        count = signal.shape[-1]
        raise UserError(f"A signal over {count} numbers is too short for a basis of {basis.points}.")
    rows: np.ndarray = signal[..., : basis.points] @ basis.matrix.T
    return rows


def component_magnitudes(rows: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """Magnitude of each component, sqrt(sin^2 + cos^2): rows (..., row) -> (..., component).

    The constant is left out, as in every spectrum of the paper.
    """
    squared = np.zeros((*rows.shape[:-1], basis.n_components))
    for function in ("sin", "cos"):
        selected = basis.row_function == function
        squared[..., basis.row_component[selected] - 1] += rows[..., selected] ** 2
    return np.sqrt(squared)


def spectrum(signal: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """Magnitude of each Fourier component of a signal: (..., number) -> (..., component)."""
    return component_magnitudes(coefficients(signal, basis), basis)


def waves(signal: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """Each component of a signal as a function of the number.

    signal: (number,). Returns (component, point): row k - 1 is F_k^T F_k signal, so that with
    the orthonormal basis the rows and the constant sum to the signal (figures 4, 13, 14).
    """
    rows = coefficients(np.asarray(signal), basis)
    contributions = rows[:, None] * basis.matrix
    out = np.zeros((basis.n_components, basis.points))
    np.add.at(out, basis.row_component[1:] - 1, contributions[1:])
    return out


def embedding_spectrum(embedding: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """Spectrum of a number embedding: F on each column, then L2 norm over features (section 4.1).

    embedding: (number, feature), its mean over the numbers is removed first, which only
    the constant would see with the orthonormal basis. Returns (component,).
    """
    used = np.asarray(embedding, np.float64)[: basis.points]
    rows = basis.matrix @ (used - used.mean(axis=0))
    return component_magnitudes(np.linalg.norm(rows, axis=1), basis)


def projected_spectra(
    outputs: np.ndarray, unembedding: np.ndarray, basis: FourierBasis, average: str = "mean"
) -> np.ndarray:
    """Spectrum of W_U x averaged over examples, without materialising the logits.

    outputs: (example, feature) module outputs x. unembedding: (number, feature) W_U.
    average: `mean` of the magnitudes over examples, or `rms`. Returns (component,).
    F W_U is (row, feature), so the cost is that of the logits' rows and for `rms` only that of
    the feature covariance.
    """
    to_components = basis.matrix @ np.asarray(unembedding, np.float64)[: basis.points]

    # The mean power of each row of F W_U x is a quadratic form of the outputs' covariance.
    if average == "rms":
        x = np.asarray(outputs, np.float64)
        covariance = x.T @ x / len(x)
        power = np.einsum("rf,fg,rg->r", to_components, covariance, to_components)
        return component_magnitudes(np.sqrt(np.maximum(power, 0)), basis)

    # The mean of magnitudes needs every example's; blocks bound the memory.
    if average != "mean":
        raise UserError(f"Averaging '{average}' is not known; it is one of mean, rms.")
    total = np.zeros(basis.n_components)
    block = max(1, 4_000_000 // len(to_components))
    for start in range(0, len(outputs), block):
        rows = np.asarray(outputs[start : start + block], np.float64) @ to_components.T
        total += component_magnitudes(rows, basis).sum(axis=0)
    return total / len(outputs)


def low_components(basis: FourierBasis, tau: int, cut: str = "component") -> np.ndarray:
    """Components below the cut (definition of low frequency, section 3.3).

    tau: a positive whole number; low is k < tau. cut: `component`, or `row` for the
    reading in which tau counts rows of F, of which each component has two.
    Raises UserError when tau leaves no low or no high component.
    """
    if cut not in CUTS:
        raise UserError(f"Cut '{cut}' is not known; it is one of {', '.join(CUTS)}.")
    if cut == "component":
        low = basis.components[basis.components < tau]
    else:
        # Rows 2k-1 and 2k belong to component k: it is low when its last row lies before row tau.
        low = basis.components[2 * basis.components < tau]
    if not 0 < len(low) < basis.n_components:
        raise UserError(
            f"tau = {tau} (counted by {cut}) does not divide the {basis.n_components} components "
            "of this number space into a low and a high band."
        )
    return low


def high_components(basis: FourierBasis, tau: int, cut: str = "component") -> np.ndarray:
    """Components at or above the cut: everything but the constant and the low ones."""
    return np.setdiff1d(basis.components, low_components(basis, tau, cut))
