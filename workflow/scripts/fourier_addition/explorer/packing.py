"""Arrays as text of a page: whole numbers of 16 bits, little-endian, in base64."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from fourier_addition.errors import UserError

LARGEST = 32767
"""The largest whole number of 16 bits."""
STEPS = 32764
"""Steps between 0 and the largest magnitude of a row; a rounded step leaves that below `LARGEST`."""
DIGITS = 5
"""Significant digits of single values, as those of packed rows."""
Packed = dict[str, Any]


def packed_integers(values: np.ndarray) -> Packed:
    """Whole numbers of any shape: {"shape", "integers"}.

    Raises UserError for a number beyond 16 bits.
    """
    values = np.asarray(values, np.int64)
    if values.size and np.abs(values).max() > LARGEST:
        raise UserError(f"The explorer shows whole numbers up to {LARGEST}, not {np.abs(values).max()}.")
    text = base64.b64encode(values.astype("<i2").tobytes()).decode()
    return {"shape": list(values.shape), "integers": text}


def packed_rows(values: np.ndarray) -> Packed:
    """Values (..., column), each row in steps of its own: {"shape", "integers", "steps"}.

    A value is its whole number times the row's step; it is off by at most half a step, the row's largest
    magnitude over some 65000. steps: one for each row, in order. Raises UserError for values that are not
    finite.
    """
    values = np.asarray(values, np.float64)
    if not np.isfinite(values).all():
        raise UserError("The explorer cannot show values that are not finite.")
    largest = np.abs(values).max(axis=-1, initial=0)

    # The steps are rounded first, so that the page has the very steps that the numbers were made with.
    steps = np.array([significant(step) for step in (largest / STEPS).ravel()]).reshape(largest.shape)
    whole = np.round(values / np.where(steps > 0, steps, 1)[..., None])
    return packed_integers(whole) | {"steps": steps.ravel().tolist()}


def unpacked(packed: Mapping[str, Any]) -> np.ndarray:
    """What `packed_integers` or `packed_rows` packed, as the page reads it."""
    whole = np.frombuffer(base64.b64decode(packed["integers"]), "<i2").reshape(packed["shape"])
    if "steps" not in packed:
        return whole.astype(np.int64)
    values: np.ndarray = whole * np.reshape(packed["steps"], (*packed["shape"][:-1], 1))
    return values


def significant(value: float, digits: int = DIGITS) -> float:
    """A value with so many significant digits."""
    return float(f"{value:.{digits}g}")


def rounded(values: Sequence[float] | np.ndarray) -> list[float]:
    """Values with `DIGITS` significant digits each."""
    return [significant(float(value)) for value in values]
