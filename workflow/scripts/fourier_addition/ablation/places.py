"""Where and in what steering and exchanges intervene: places of a model, planes of periods, controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fourier_addition.ablation.conditions import Condition
from fourier_addition.errors import UserError
from fourier_addition.filters import component_of_period
from fourier_addition.fourier import FourierBasis
from fourier_addition.interventions import Planes, planes_of
from fourier_addition.modules import FILTERED, RESIDUAL

BANDS = ("low", "periods", "high")
"""What is exchanged: the low band, the periods of the last digit, and the high band (which holds them)."""
UNTOUCHED = Condition("as-it-is", "none", "none", "none", (0,))
"""The model as it is: what the own answer is read off."""


def places(n_layers: int, most: int) -> list[tuple[str, tuple[int, ...]]]:
    """Places that are tried: (modules, layers).

    The residual stream after single blocks, both modules of single layers, and each of `FILTERED` at all
    layers. most: blocks that are tried one at a time; of a deeper model as many in equal distances, with
    the first and the last. Raises UserError for no block.
    """
    if most < 1:
        raise UserError(f"At least 1 block must be tried, not {most}.")
    single = np.unique(np.linspace(0, n_layers - 1, min(most, n_layers)).round().astype(int))
    found: list[tuple[str, tuple[int, ...]]] = [
        (modules, (int(layer),)) for modules in (RESIDUAL, "both") for layer in single
    ]
    return found + [(modules, tuple(range(n_layers))) for modules in FILTERED]


def place_name(modules: str, layers: Sequence[int], n_layers: int) -> str:
    """A place as part of a condition's name: `residual-1`, `both-all`."""
    everywhere = len(layers) == n_layers and n_layers > 1
    return f"{modules}-all" if everywhere else f"{modules}-{'-'.join(map(str, layers))}"


def fitting_components(periods: Sequence[float], basis: FourierBasis, tolerance: float) -> list[int]:
    """The components of those periods that the basis has within the relative tolerance, each once."""
    found = set()
    for period in periods:
        try:
            found.add(component_of_period(period, basis, tolerance))
        except UserError:
            continue
    return sorted(found)


@dataclass(frozen=True)
class Chosen:
    """The planes that interventions turn and exchange, and those of periods that the numbers do not use.

    basis: whose components they are. planes: of the periods asked for. unused: None where the basis has
    none of those periods.
    """

    basis: FourierBasis
    unembedding: np.ndarray
    planes: Planes
    unused: Planes | None

    @classmethod
    def of(cls, unembedding: np.ndarray, basis: FourierBasis, settings: Mapping[str, Any]) -> Chosen:
        """Both from the settings `periods`, `unused_periods` and `period_tolerance`.

        Raises UserError where no component has any of the periods.
        """
        asked, tolerance = settings["periods"], settings["period_tolerance"]
        components = fitting_components(asked, basis, tolerance)
        if not components:
            raise UserError(
                f"No Fourier component of the numbers 0..{basis.base_period} has any of the periods "
                f"{', '.join(f'{period:g}' for period in asked)}."
            )
        others = fitting_components(settings["unused_periods"], basis, tolerance)
        others = [component for component in others if component not in components]
        unused = planes_of(unembedding, basis, others) if others else None
        return cls(basis, unembedding, planes_of(unembedding, basis, components), unused)


def drawn_rows(count: int, most: int, seed: int) -> np.ndarray:
    """Which of `count` examples are taken: (row,) ascending; all where `most` is 0 or not below them."""
    if not 0 < most < count:
        return np.arange(count)
    return np.sort(np.random.default_rng(seed).choice(count, most, replace=False))


def draw_rng(seed: int, arm: str, draw: int) -> np.random.Generator:
    """The generator of one draw of a control: more draws and other arms leave it as it is."""
    return np.random.default_rng([seed, draw, *arm.encode()])
