"""Confidence intervals, and one record of a share. The package computes intervals nowhere else.

wilson_interval      one proportion, over examples
newcombe_interval    difference of two proportions, over examples
student_interval     one mean, over seeds or layers
welch_interval       difference of two means, over seeds
bootstrap_interval   mean over examples of anything, as the loss
Share, share_of      how many of how many, with the Wilson interval
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache

import numpy as np
from scipy.stats import norm, t

from fourier_addition.errors import UserError


def wilson_interval(share: float, examples: int, level: float = 0.95) -> tuple[float, float]:
    """Wilson score interval of a proportion -> (low, high).

    share: the fraction of `examples` that has a property. level: coverage.
    """
    z = float(norm.ppf((1 + level) / 2))
    centre = (share + z**2 / (2 * examples)) / (1 + z**2 / examples)
    half = z / (1 + z**2 / examples) * np.sqrt(share * (1 - share) / examples + (z / (2 * examples)) ** 2)
    # The bounds of 0 and of 1 are exact, whatever the rounding of their square roots.
    low, high = centre - half if share > 0 else 0.0, centre + half if share < 1 else 1.0
    return float(max(0.0, low)), float(min(1.0, high))


def newcombe_interval(first: tuple[float, int], second: tuple[float, int]) -> tuple[float, float]:
    """95 % interval of the difference of two proportions, first minus second -> (low, high).

    first, second: (share, examples). The method is number 10 of Newcombe (1998), Statistics in
    Medicine 17:873-890, which combines the Wilson intervals of the two.
    """
    (x, _), (y, _) = first, second
    (x_low, x_high), (y_low, y_high) = wilson_interval(*first), wilson_interval(*second)
    difference = x - y
    low = difference - float(np.hypot(x - x_low, y_high - y))
    high = difference + float(np.hypot(x_high - x, y - y_low))
    return low, high


def student_half_width(values: Sequence[float] | np.ndarray, level: float = 0.95) -> float:
    """Half the width of Student's t interval of a mean; values: (case,), two of them at least."""
    values = np.asarray(values, float)
    return float(t.ppf((1 + level) / 2, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values)))


def student_interval(
    values: Sequence[float] | np.ndarray,
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """Student's t interval of a mean -> (low, high); (nan, nan) for a single value.

    values: (case,), for example one accuracy a seed. bounds: what the mean cannot leave, (0, 1) for
    an accuracy.
    """
    values = np.asarray(values, float)
    if len(values) < 2:
        return float("nan"), float("nan")
    half = student_half_width(values, level)
    return float(max(bounds[0], values.mean() - half)), float(min(bounds[1], values.mean() + half))


def welch_interval(
    first: np.ndarray,
    second: np.ndarray,
    level: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> tuple[float, float]:
    """Welch's interval of the difference of two means, first minus second -> (low, high).

    first, second: (case,), two cases each at least, not all of them equal. bounds: what the
    difference cannot leave, (-1, 1) for two accuracies.
    """
    a, b = first.var(ddof=1) / len(first), second.var(ddof=1) / len(second)
    freedom = (a + b) ** 2 / (a**2 / (len(first) - 1) + b**2 / (len(second) - 1))
    half = float(t.ppf((1 + level) / 2, freedom) * np.sqrt(a + b))
    difference = float(first.mean() - second.mean())
    return max(bounds[0], difference - half), min(bounds[1], difference + half)


_BLOCK = 4_000_000
"""Weights of resamples that stand in memory together."""


def _resamples(seed: int, examples: int, resamples: int) -> Iterator[np.ndarray]:
    """Bootstrap samples as weights of the examples, in blocks (resample, example) that fit into memory."""
    if examples * resamples <= _BLOCK:
        yield _kept_resamples(seed, examples, resamples)
        return
    rng = np.random.default_rng(seed)
    block = max(1, _BLOCK // examples)
    for start in range(0, resamples, block):
        yield _drawn(rng, examples, min(block, resamples - start))


@lru_cache(maxsize=2)
def _kept_resamples(seed: int, examples: int, resamples: int) -> np.ndarray:
    """The only block of a small bootstrap, kept: a table asks for the same one in every row."""
    weights = _drawn(np.random.default_rng(seed), examples, resamples)
    weights.flags.writeable = False
    return weights


def _drawn(rng: np.random.Generator, examples: int, count: int) -> np.ndarray:
    """How often each example is in each of `count` resamples: (resample, example)."""
    return rng.multinomial(examples, np.full(examples, 1 / examples), size=count)


def bootstrap_interval(
    values: np.ndarray, *, seed: int, resamples: int, level: float = 0.95
) -> tuple[np.ndarray, np.ndarray]:
    """Percentile bootstrap interval of the mean over examples.

    values: (..., example); every row is resampled alike, so rows can be compared.
    resamples: bootstrap samples. level: coverage. Returns (low, high), each of shape (...).
    Raises UserError when there are no examples or resamples, or the level is not between 0 and 1.
    """
    values = np.asarray(values, np.float64)
    examples = values.shape[-1]
    if examples < 1 or resamples < 1 or not 0 < level < 1:
        raise UserError(
            f"A bootstrap interval needs examples, resamples and a level between 0 and 1, "
            f"not {examples}, {resamples} and {level:g}."
        )
    flat = values.reshape(-1, examples)
    blocks = _resamples(seed, examples, resamples)
    means = np.concatenate([flat @ weights.T / examples for weights in blocks], axis=1)
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2], axis=1)
    return low.reshape(values.shape[:-1]), high.reshape(values.shape[:-1])


@dataclass(frozen=True)
class Share:
    """How many of how many, with the 95 % Wilson interval.

    count: how many have the property. of: how many there are. share: count / of. low, high: ends of
    the interval. share, low and high are None where there is nothing to have a share of.
    """

    count: float
    of: int
    share: float | None
    low: float | None
    high: float | None

    def as_dict(self) -> dict[str, float | None]:
        """The JSON form: {count, of, share, low, high}."""
        return asdict(self)


def share_of(count: float, of: int) -> Share:
    """The share of `count` in `of`. count: whole, or a mean of counts over seeds."""
    if not of:
        return Share(count, of, None, None, None)
    share = count / of
    return Share(count, of, share, *wilson_interval(share, of))
