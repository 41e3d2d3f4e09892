"""The token embeddings that a run from scratch can be given (figure 7b of the paper, and its controls).

`ARMS` holds one record for each. A new arm is one more record here: the configuration accepts its
name, its page describes it, and a run starts from its rows. This file loads no PyTorch, so that a
configuration can be checked without it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from fourier_addition.errors import UserError


@dataclass(frozen=True)
class Given:
    """What the rows of an arm are made from.

    pretrained: (token, d_model) float32 rows of the pre-trained model; with `embedding_from`, the
    rows of the numbers come from another model. scratch: (token, d_model) float32 random rows of
    this run. number_ids: (number,) token ids of 0..p-1. seed: the run's.
    row_norms: (row, d_model) -> (row, 1) float32 norms. mean_norm: (row, d_model) -> their mean.
    Whoever starts a run hands over PyTorch's two functions: sums in NumPy's order differ from them
    in the last bit.
    """

    pretrained: np.ndarray
    scratch: np.ndarray
    number_ids: np.ndarray
    seed: int
    row_norms: Callable[[np.ndarray], np.ndarray]
    mean_norm: Callable[[np.ndarray], np.float32]


@dataclass(frozen=True)
class Arm:
    """One way of giving a run its token embedding.

    name: the value of the configuration key `embedding`. description: its row in the manual, after
    the name. rows: makes the token embedding, (token, d_model) float32, and changes no array.
    """

    name: str
    description: str
    rows: Callable[[Given], np.ndarray]


def fourier_number_embedding(size: int, width: int, periods: tuple[int, ...] = (10, 100, 1000)) -> np.ndarray:
    """Fourier number embedding (FoNE, arXiv 2502.09741): cos and sin of 2 pi n / T, (number, width).

    The first 2 * len(periods) features carry the numbers, the others are 0. Raises UserError
    when the width is too small.
    """
    if width < 2 * len(periods):
        raise UserError(
            f"A Fourier number embedding with {len(periods)} periods needs a width of at least "
            f"{2 * len(periods)}, not {width}."
        )
    angle = 2 * np.pi * np.arange(size)[:, None] / np.asarray(periods)[None, :]
    out = np.zeros((size, width), np.float32)
    out[:, 0 : 2 * len(periods) : 2] = np.cos(angle)
    out[:, 1 : 2 * len(periods) : 2] = np.sin(angle)
    return out


def pretrained_rows(given: Given) -> np.ndarray:
    """The pre-trained token embedding as it is (figure 7b)."""
    return given.pretrained.copy()


def random_rows(given: Given) -> np.ndarray:
    """Gaussian directions with the norms of the pre-trained rows: the control that the paper lacks."""
    generator = np.random.default_rng(given.seed)
    rows: np.ndarray = generator.standard_normal(given.pretrained.shape).astype(np.float32)
    rows = rows / given.row_norms(rows) * given.row_norms(given.pretrained)
    return rows


def shuffled_rows(given: Given) -> np.ndarray:
    """The pre-trained rows, those of the numbers permuted: the same vectors in wrong places."""
    generator = np.random.default_rng(given.seed)
    order = generator.permutation(len(given.number_ids))
    rows = given.pretrained.copy()
    rows[given.number_ids] = given.pretrained[given.number_ids[order]]
    return rows


def fourier_rows(given: Given) -> np.ndarray:
    """The random rows, those of the numbers replaced by FoNE at the mean norm of the pre-trained numbers."""
    numbers = fourier_number_embedding(len(given.number_ids), given.scratch.shape[1])
    scale = given.mean_norm(given.pretrained[given.number_ids]) / given.mean_norm(numbers)
    rows = given.scratch.copy()
    rows[given.number_ids] = numbers * scale
    return rows


ARMS = {
    arm.name: arm
    for arm in (
        Arm("pretrained", "the model's own", pretrained_rows),
        Arm("random", "random rows of the same norms", random_rows),
        Arm("shuffled", "the model's with the numbers' rows permuted", shuffled_rows),
        Arm("fourier", "cos and sin of the number at periods 10, 100, 1000", fourier_rows),
    )
}
"""Arm by name, in the order of the manual."""
