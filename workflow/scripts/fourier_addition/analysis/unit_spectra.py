"""Fourier components that heads and neurons write, and those that neurons follow (sections 3.2 and 4.1).

A unit's logits over the numbers are W_U W z, with W the unit's rows of the projection and z what it holds.
Component k of them is one complex number C = c_cos + i c_sin: the wave |C| cos(theta_k n - arg C) over the
numbers n, theta_k = 2 pi k / N. The wave peaks at arg C / theta_k. All that is said of a unit here follows
from the moments of z.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from fourier_addition.capture.moments import UnitMoments
from fourier_addition.fourier import FourierBasis

BASELINES = ("mean", "zero")
"""What a unit is measured from, and replaced by: its mean over the examples, or nothing."""


def component_writes(weights: np.ndarray, unembedding: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """D: component k of the logits that each entry of z writes, (component, unit, feature) complex.

    weights: (unit, feature, d_model) W. unembedding: (number, d_model) W_U, or with the norm folded in.
    """
    units, features, width = weights.shape
    to_rows: np.ndarray = basis.matrix @ np.asarray(unembedding, np.float64)[: basis.points]
    rows = to_rows @ np.asarray(weights, np.float64).reshape(-1, width).T

    # Cosines are real parts, sines imaginary ones; a component without a sine is real.
    writes = np.zeros((basis.n_components, units * features), np.complex128)
    for function, part in (("cos", 1), ("sin", 1j)):
        selected = basis.row_function == function
        writes[basis.row_component[selected] - 1] += part * rows[selected]
    parted: np.ndarray = writes.reshape(basis.n_components, units, features)
    return parted


def _angles(basis: FourierBasis) -> np.ndarray:
    """theta_k, (component,) in radians a number."""
    return 2 * np.pi / basis.periods


def _turned(sums: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """Sum over answers s of exp(-i theta_k s) sums[s]: (number, unit, feature) -> (component, ...)."""
    turns = np.exp(-1j * _angles(basis)[:, None] * np.arange(len(sums)))
    turned: np.ndarray = (turns @ sums.reshape(len(sums), -1)).reshape(-1, *sums.shape[1:])
    return turned


@dataclass(frozen=True)
class UnitSpectra:
    """What the units of one module write.

    writes: (component, unit, feature) complex, D. power: (component, unit) mean square of |C| over the
    examples, in squared logits. aligned: (component, unit) complex, mean of C exp(-i theta_k s) with s
    the answer: its phase says where the wave peaks relative to the answer. basis: of the components.
    """

    writes: np.ndarray
    power: np.ndarray
    aligned: np.ndarray
    basis: FourierBasis

    @property
    def magnitude(self) -> np.ndarray:
        """Root mean square of |C|, (component, unit), in logits."""
        magnitude: np.ndarray = np.sqrt(self.power)
        return magnitude

    @property
    def alignment(self) -> np.ndarray:
        """How far the wave turns with the answer, (component, unit): 1 entirely, 0 not at all.

        It is |aligned| / magnitude; NaN where a unit writes nothing.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            alignment: np.ndarray = np.abs(self.aligned) / self.magnitude
        return alignment

    @property
    def offset(self) -> np.ndarray:
        """Where the wave peaks relative to the answer, (component, unit), numbers, within half a period."""
        return in_numbers(np.angle(self.aligned), self.basis)

    @property
    def answer_logit(self) -> np.ndarray:
        """What each component adds to the answer's logit on average, (component, unit), in logits."""
        cosines = self.basis.row_function == "cos"
        height = np.zeros(self.basis.n_components)
        height[self.basis.row_component[cosines] - 1] = self.basis.matrix[cosines, 0]
        logit: np.ndarray = height[:, None] * self.aligned.real
        return logit


def in_numbers(phase: np.ndarray, basis: FourierBasis) -> np.ndarray:
    """Phases in radians, (component, ...), as a distance in numbers."""
    angles = _angles(basis).reshape(-1, *[1] * (phase.ndim - 1))
    distance: np.ndarray = phase / angles
    return distance


def unit_spectra(
    moments: UnitMoments,
    weights: np.ndarray,
    unembedding: np.ndarray,
    basis: FourierBasis,
    baseline: str = "mean",
) -> UnitSpectra:
    """What the units of one module write, measured from the `baseline`.

    moments: of z. weights: (unit, feature, d_model) W. unembedding: (number, d_model).
    baseline: `mean` looks at deviations from the mean over examples, `zero` at z itself.
    """
    writes = component_writes(weights, unembedding, basis)
    second = moments.covariance() if baseline == "mean" else moments.power()
    sums = moments.centred_sums() if baseline == "mean" else moments.sums

    # E |D z|^2 = D E(z z^T) D^*, unit by unit
    if second.shape[1] == 1:
        power = np.abs(writes[:, :, 0]) ** 2 * second[:, 0, 0]
    else:
        power = np.stack(
            [
                ((writes[:, unit].conj() @ second[unit]) * writes[:, unit]).sum(axis=1).real
                for unit in range(writes.shape[1])
            ],
            axis=1,
        )
    # rounding may leave a unit that never changes a little below zero
    power = np.maximum(power, 0)
    aligned = (writes * _turned(sums, basis)).sum(axis=2) / moments.examples
    return UnitSpectra(writes, power, aligned, basis)


@dataclass(frozen=True)
class Tuning:
    """How the activations of neurons follow the answer s.

    Each is fitted by c_0 + Re(c exp(-i theta_k s)), for every component k.
    coefficient: (component, neuron) complex, c. r2: (component, neuron) explained share of the variance.
    answer_share: (neuron,) share of the variance that any function of the answer could explain, adjusted
    for the number of answers. threshold: r2 above which the best component of a neuron is no accident.
    """

    coefficient: np.ndarray
    r2: np.ndarray
    answer_share: np.ndarray
    threshold: float


def tuning(moments: UnitMoments, basis: FourierBasis, level: float = 0.95) -> Tuning:
    """How neurons' activations follow the answer, by least squares over the examples.

    moments: of units with one feature. level: probability that none of neurons that follow nothing
    exceeds the threshold: the test of two regressors, corrected for every component and neuron.
    A neuron that never changes has r2 0.
    """
    # Sums of squares about the mean, in all and between answers
    count, examples = moments.count, moments.examples
    sums = moments.centred_sums()[:, :, 0]
    total = moments.covariance()[:, 0, 0] * examples
    present = count > 0
    between = (sums[present] ** 2 / count[present, None]).sum(axis=0)
    silent = total <= 1e-12 * np.maximum(1.0, moments.second[:, 0, 0])
    safe = np.where(silent, 1.0, total)

    # The fit of every component; weights are the examples of each answer
    r2 = np.zeros((basis.n_components, sums.shape[1]))
    coefficient = np.zeros(r2.shape, np.complex128)
    root = np.sqrt(count[present])
    targets = sums[present] / root[:, None]
    numbers = np.flatnonzero(present)
    for k, angle in enumerate(_angles(basis)):
        design = root[:, None] * np.stack(
            [np.ones(len(numbers)), np.cos(angle * numbers), np.sin(angle * numbers)], axis=1
        )
        found = np.linalg.lstsq(design, targets, rcond=1e-9)[0]
        coefficient[k] = found[1] + 1j * found[2]
        r2[k] = ((design @ found) ** 2).sum(axis=0) / safe

    # What chance would give
    groups = len(numbers)
    freedom = max(1, examples - groups)
    share = 1 - (1 - between / safe) * (examples - 1) / freedom
    tests = r2.size
    threshold = 1 - ((1 - level) / tests) ** (2 / max(1, examples - 3))
    r2[:, silent], share[silent] = 0.0, 0.0
    return Tuning(coefficient, np.clip(r2, 0, 1), np.clip(share, 0, 1), float(threshold))
