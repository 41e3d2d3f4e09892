"""Exchange: the coefficients of a band are replaced by another prompt's, and the answer is watched.

If low frequencies carry the magnitude and the periods of the last digit the residue, an exchange of either
carries just that part of the other prompt's answer over. Each exchange stands beside exchanges of random
subspaces of equal rank, exchanges with random phases, and exchanges of periods that the numbers do not use.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.ablation.conditions import Condition
from fourier_addition.ablation.places import BANDS, UNTOUCHED, Chosen, draw_rng, place_name, places
from fourier_addition.ablation.residues import outcomes_of, told_apart
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.sources import places_with_source, record_states
from fourier_addition.filters import components_of, random_subspace
from fourier_addition.intervals import bootstrap_interval, wilson_interval
from fourier_addition.interventions import (
    Intervention,
    Planes,
    planes_of,
    random_angles,
    replace,
    replace_along,
)
from fourier_addition.models import Encoded, ModelView

COLUMNS = (
    *("module", "layers", "band", "arm", "rank", "draws", "examples"),
    *("outcome", "share", "low", "high"),
)
ARMS = ("replace", "subspace", "phases", "unused")
"""The exchange itself, and its controls: random subspaces, random phases, unused periods."""


def draw_sources(own: np.ndarray, modulus: int, numbers: int, seed: int) -> np.ndarray:
    """For every example another one as its source: (example,) int, -1 where there is none.

    own: (example,) the model's answers. A source is drawn at random among the examples whose answer tells
    all outcomes of an exchange apart (`residues.told_apart`). Raises UserError where no example has one.
    """
    generator = np.random.default_rng(seed)
    source = np.full(len(own), -1)
    for example, answer in enumerate(own):
        eligible = np.flatnonzero(told_apart(np.full(len(own), answer), own, modulus, numbers))
        if len(eligible):
            source[example] = generator.choice(eligible)
    return source


def band_planes(chosen: Chosen, tau: int, cut: str) -> dict[str, Planes]:
    """The planes of each of `places.BANDS`. tau, cut: see `filters.components_of`."""
    found = {"periods": chosen.planes}
    for band in ("low", "high"):
        components = components_of(band, chosen.basis, tau, cut)
        found[band] = planes_of(chosen.unembedding, chosen.basis, components)
    return {band: found[band] for band in BANDS}


def exchange_conditions(
    chosen: Chosen,
    n_layers: int,
    source: np.ndarray,
    *,
    tau: int,
    cut: str,
    layers: int,
    draws: int,
    phase_draws: int,
    seed: int,
) -> list[Condition]:
    """The model as it is, and every exchange and control at every place.

    source: (example,) what `draw_sources` gave, of examples that have one. layers: see `places.places`.
    draws, phase_draws: random subspaces beside each exchange, and sets of random phases. `kind` is the arm,
    `band` one of `places.BANDS` (`unused` for those periods).
    """
    # Every exchange, made once for all places
    exchanged: list[tuple[str, str, int, Intervention]] = []
    for band, planes in band_planes(chosen, tau, cut).items():
        exchanged.append((band, "replace", -1, replace(planes, source)))
        for draw in range(draws):
            random = random_subspace(planes.width, planes.rank, draw_rng(seed, f"subspace {band}", draw))
            exchanged.append((band, "subspace", draw, replace_along(random, source, planes.numbers)))
        for draw in range(phase_draws):
            angles = random_angles(planes, draw_rng(seed, f"phases {band}", draw))
            exchanged.append((band, "phases", draw, replace(planes, source, angles)))
    if chosen.unused is not None:
        exchanged.append(("unused", "unused", -1, replace(chosen.unused, source)))

    # All of them at every place
    conditions = [UNTOUCHED]
    for modules, at in places(n_layers, layers):
        where = place_name(modules, at, n_layers)
        for band, arm, draw, applied in exchanged:
            name = f"{where}/{band}/{arm}" + (f"-{draw:02d}" if draw >= 0 else "")
            conditions.append(Condition(name, arm, band, modules, at, filter=applied, draw=draw))
    return conditions


@dataclass(frozen=True)
class Exchanged:
    """What an exchange was run on and gave.

    outcomes: see `run_conditions`, of the examples that have a source. rows: (example,) where among all
    examples they stand. own, source: (example,) the model's answers to the example and to its source.
    Where no example has a source, as of a model that always answers the same, the outcomes are of the model
    as it is on all examples.
    """

    outcomes: xr.Dataset
    rows: np.ndarray
    own: np.ndarray
    source: np.ndarray


def run_exchange(
    view: ModelView,
    encoded: Sequence[Encoded],
    number_ids: np.ndarray,
    answers: np.ndarray,
    conditions_of: Callable[[np.ndarray], list[Condition]],
    *,
    modulus: int,
    seed: int,
    batch_size: int,
    **given: Any,
) -> Exchanged:
    """Answer as the model is, draw sources by those answers, and run every exchange.

    conditions_of: sources (example,) -> `exchange_conditions`. given: more of `run_conditions`.
    """
    # What the model answers, and with whom each example is exchanged
    numbers = len(number_ids)
    untouched = run_conditions(view, encoded, number_ids, [UNTOUCHED], answers=answers, batch_size=batch_size)
    own = untouched["prediction"].to_numpy()[0].astype(np.int64)
    source = draw_sources(own, modulus, numbers, seed)
    (rows,) = np.nonzero(source >= 0)
    if not len(rows):
        return Exchanged(untouched, np.arange(len(own)), own, own)

    # A source need not have a source itself, so the states are those of all examples.
    conditions = conditions_of(source[rows])
    states = record_states(view, encoded, places_with_source(conditions), batch_size, numbers)
    outcomes = run_conditions(
        view,
        [encoded[int(row)] for row in rows],
        number_ids,
        conditions,
        answers=answers[rows],
        batch_size=batch_size,
        sources=states,
        **given,
    )
    return Exchanged(outcomes, rows, own[rows], own[source[rows]])


def exchange_table(
    outcomes: xr.Dataset,
    own: np.ndarray,
    source: np.ndarray,
    *,
    modulus: int,
    numbers: int,
    seed: int,
    resamples: int,
    equally_near: str = "both",
) -> pd.DataFrame:
    """One row for each place, band, arm and outcome of `OUTCOMES`, and one for the source's residue alone.

    outcomes: what `run_conditions` returned of `exchange_conditions`. own, source: (example,) the model's
    answers to the example and to its source, as the model is. modulus, numbers, equally_near: see
    `residues`. Columns: module, layers, band, arm, rank, draws, examples, outcome, share, low, high
    (`COLUMNS`). The outcome `any magnitude` counts every answer that has the source's residue. Intervals are
    Wilson's, those over draws the bootstrap's over examples.
    """
    # The draws of one control stand together.
    names = ("module", "layers", "band", "kind", "rank")
    columns = [outcomes[name].to_numpy() for name in names]
    prediction = outcomes["prediction"].to_numpy()
    groups: dict[tuple[str, str, str, str, int], list[int]] = {}
    for index, (module, layers, band, arm, rank) in enumerate(zip(*columns, strict=True)):
        if arm in ARMS:
            groups.setdefault((str(module), str(layers), str(band), str(arm), int(rank)), []).append(index)

    # Shares of the outcomes
    rows = []
    for (module, layers, band, arm, rank), found in groups.items():
        told = outcomes_of(prediction[found], own, source, modulus, numbers, equally_near)
        told["any magnitude"] = (prediction[found] - source) % modulus == 0
        for outcome, holds in told.items():
            values = holds.mean(axis=0)
            share = float(values.mean())
            if len(found) == 1:
                low, high = wilson_interval(share, len(own))
            else:
                ends = bootstrap_interval(values, seed=seed, resamples=resamples)
                low, high = float(ends[0]), float(ends[1])
            place = {"module": module, "layers": layers, "band": band, "arm": arm, "rank": rank}
            count = {"draws": len(found), "examples": len(own)}
            rows.append({**place, **count, "outcome": outcome, "share": share, "low": low, "high": high})
    return pd.DataFrame(rows, columns=list(COLUMNS))
