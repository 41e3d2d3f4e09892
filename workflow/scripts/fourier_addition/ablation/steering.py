"""Steering: the phases of chosen periods are turned by a number of numbers, and the answer is watched.

If the model adds with phases, a turn by d moves the answer's residue by d. Each turn stands beside turns by
the same angles in random planes, turns of the same planes by random angles, and turns by d of planes of
periods that the numbers do not use.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.ablation.conditions import Condition
from fourier_addition.ablation.places import UNTOUCHED, Chosen, draw_rng, place_name, places
from fourier_addition.ablation.probe_planes import ProbedCircles
from fourier_addition.ablation.residues import moved_by
from fourier_addition.errors import UserError
from fourier_addition.intervals import bootstrap_interval, wilson_interval
from fourier_addition.interventions import Intervention, number_angles, random_angles, random_planes, turn
from fourier_addition.modules import RESIDUAL

ARMS = ("turn", "subspace", "phases", "unused", "probes", "least-probes", "shuffled-probes")
"""The turn itself, and its controls: random planes, random angles, unused periods. Then the turn of circles
that probes find, the smallest change that these probes read as that turn, and their control: circles of
shuffled numbers."""
MEASURES = ("moved", "rest", "exact", "unchanged")
"""What is counted under every turn (`residues.moved_by`)."""


def steering_conditions(
    chosen: Chosen,
    n_layers: int,
    *,
    deltas: Sequence[int],
    layers: int,
    draws: int,
    phase_draws: int,
    seed: int,
    circles: Mapping[int, Sequence[ProbedCircles]] | None = None,
) -> list[Condition]:
    """The model as it is, and every turn and control at every place.

    deltas: by how many numbers phases are turned; 0 is the model as it is. layers: see
    `places.places`. draws, phase_draws: random planes beside each turn, and sets of random angles. `kind` is
    the arm, `value` the turn (NaN for random angles). circles: block -> the circles that probes find in the
    residual stream after it, then those of shuffled numbers (`probe_planes.circles_with_controls`).
    Raises UserError where no turn is left.
    """
    turns = sorted({int(delta) for delta in deltas} - {0})
    if not turns:
        raise UserError("Steering needs a turn by another number than 0.")

    # Every turn, made once for all places
    turned: list[tuple[str, float, int, Intervention]] = []
    for delta in turns:
        turned.append(("turn", delta, -1, turn(chosen.planes, number_angles(chosen.planes, delta))))
        for draw in range(draws):
            random = random_planes(chosen.planes, draw_rng(seed, "subspace", draw))
            turned.append(("subspace", delta, draw, turn(random, number_angles(random, delta))))
        if chosen.unused is not None:
            turned.append(("unused", delta, -1, turn(chosen.unused, number_angles(chosen.unused, delta))))
    for draw in range(phase_draws):
        angles = random_angles(chosen.planes, draw_rng(seed, "phases", draw))
        turned.append(("phases", float("nan"), draw, turn(chosen.planes, angles)))

    # All of them at every place
    conditions = [UNTOUCHED]
    for modules, at in places(n_layers, layers):
        where = place_name(modules, at, n_layers)
        for arm, value, draw, applied in turned:
            name = f"{where}/{arm}" + ("" if np.isnan(value) else f"-{value:g}")
            name += f"-{draw:02d}" if draw >= 0 else ""
            band = {"subspace": "random planes", "unused": "unused periods"}.get(arm, "periods")
            conditions.append(Condition(name, arm, band, modules, at, filter=applied, draw=draw, value=value))
    return conditions + _turns_of_circles(circles or {}, n_layers, turns)


def _turns_of_circles(
    circles: Mapping[int, Sequence[ProbedCircles]], n_layers: int, deltas: Sequence[int]
) -> list[Condition]:
    """The turns of circles that probes find after blocks, and of those of shuffled numbers."""
    conditions = []
    for block, found in circles.items():
        where = place_name(RESIDUAL, (block,), n_layers)
        arms = [("probes", -1, found[0].turned), ("least-probes", -1, found[0].turned_least)]
        arms += [("shuffled-probes", draw, own.turned) for draw, own in enumerate(found[1:])]
        for arm, draw, turned in arms:
            for delta in deltas:
                name = f"{where}/{arm}-{delta}" + (f"-{draw:02d}" if draw >= 0 else "")
                applied = turned(number_angles(found[0].planes, delta))
                conditions.append(
                    Condition(
                        name, arm, "periods", RESIDUAL, (block,), filter=applied, draw=draw, value=delta
                    )
                )
    return conditions


def own_answers(outcomes: xr.Dataset) -> np.ndarray:
    """(example,) predictions of the model as it is."""
    found: np.ndarray = outcomes["prediction"].sel(condition=UNTOUCHED.name).to_numpy()
    return found


def _interval(values: np.ndarray, draws: int, seed: int, resamples: int) -> tuple[float, float, float]:
    """Share and its 95 % interval of values (example,): Wilson's, over draws the bootstrap over examples."""
    share = float(values.mean())
    if draws == 1:
        return share, *wilson_interval(share, len(values))
    low, high = bootstrap_interval(values, seed=seed, resamples=resamples)
    return share, float(low), float(high)


def _groups(outcomes: xr.Dataset) -> dict[tuple[str, str, str, float], np.ndarray]:
    """(module, layers, arm, turn) -> predictions (draw, example); random angles stand beside every turn."""
    deltas = sorted({float(v) for v in outcomes["value"].to_numpy() if not np.isnan(v)})
    columns = [outcomes[name].to_numpy() for name in ("module", "layers", "kind", "value")]
    prediction = outcomes["prediction"].to_numpy()
    rows: dict[tuple[str, str, str, float], list[int]] = {}
    for index, (module, layers, arm, value) in enumerate(zip(*columns, strict=True)):
        if arm not in ARMS:
            continue
        for delta in deltas if np.isnan(value) else [float(value)]:
            rows.setdefault((str(module), str(layers), str(arm), delta), []).append(index)
    return {key: prediction[found] for key, found in rows.items()}


def dose_response(
    outcomes: xr.Dataset,
    *,
    modulus: int,
    numbers: int,
    seed: int,
    resamples: int,
    equally_near: str = "both",
) -> pd.DataFrame:
    """One row for each place, arm and turn: what the turn did to the answers.

    outcomes: what `run_conditions` returned of `steering_conditions`. modulus, numbers, equally_near: see
    `residues`.
    Columns: module, layers, arm, delta, draws, examples, and for each of `MEASURES` the share over the
    examples (and draws) with its interval, `{measure}`, `{measure}_low`, `{measure}_high`.
    """
    own = own_answers(outcomes)
    rows = []
    for (module, layers, arm, delta), prediction in _groups(outcomes).items():
        row: dict[str, object] = {"module": module, "layers": layers, "arm": arm, "delta": int(delta)}
        row |= {"draws": len(prediction), "examples": len(own)}
        for measure, holds in moved_by(prediction, own, delta, modulus, numbers, equally_near).items():
            share, low, high = _interval(holds.mean(axis=0), len(prediction), seed, resamples)
            row |= {measure: share, f"{measure}_low": low, f"{measure}_high": high}
        rows.append(row)
    return pd.DataFrame(rows)


def chosen_block(doses: pd.DataFrame, n_layers: int, modulus: int) -> tuple[str, int]:
    """The block whose residual stream is steered best, as `layers` writes it, and the turn that chose it.

    It is the block at which the smallest turn on (1, where it was made) moves the residue most often; claims
    are then read off the other turns. After the last block nothing is left to compute, so that a turn there
    shows no more than how the answer is read: that block is chosen only where it is the only one.
    """
    own = doses[(doses["module"] == RESIDUAL) & (doses["arm"] == "turn")]
    before = own[own["layers"] != str(n_layers - 1)]
    candidates = before if len(before) else own
    usable = candidates[(candidates["delta"] > 0) & (candidates["delta"] % modulus != 0)]
    usable = usable if len(usable) else candidates
    dose = int(usable["delta"].min())
    at = usable[usable["delta"] == dose]
    return str(at["layers"].iloc[int(at["moved"].to_numpy().argmax())]), dose


def over_doses(
    outcomes: xr.Dataset,
    doses: pd.DataFrame,
    *,
    n_layers: int,
    modulus: int,
    numbers: int,
    seed: int,
    resamples: int,
    equally_near: str = "both",
) -> pd.DataFrame:
    """One row for each place and arm: the mean over turns, without the one that chose the block.

    doses: `dose_response` of the same outcomes. Turns by multiples of the modulus, which move nothing, are
    left out. Columns: module, layers, arm, draws, doses, examples, moved and rest with their bootstrap
    intervals over examples, and chosen, whether the place is `chosen_block`'s.
    """
    own = own_answers(outcomes)
    block, dose = chosen_block(doses, n_layers, modulus)
    measured = partial(moved_by, own=own, modulus=modulus, numbers=numbers, equally_near=equally_near)

    # Every example's share of turns (and draws) under which its answer moved
    found: dict[tuple[str, str, str], list[tuple[np.ndarray, np.ndarray]]] = {}
    draws: dict[tuple[str, str, str], int] = {}
    for (module, layers, arm, delta), prediction in _groups(outcomes).items():
        if delta % modulus == 0 or (delta == dose and len(doses["delta"].unique()) > 1):
            continue
        holds = measured(prediction, delta=delta)
        found.setdefault((module, layers, arm), []).append(
            (holds["moved"].mean(axis=0), holds["rest"].mean(axis=0))
        )
        draws[module, layers, arm] = len(prediction)

    # Their means over the examples
    rows = []
    for (module, layers, arm), shares in found.items():
        row: dict[str, object] = {"module": module, "layers": layers, "arm": arm}
        row |= {"draws": draws[module, layers, arm], "doses": len(shares), "examples": len(own)}
        for measure, values in zip(("moved", "rest"), np.mean(shares, axis=0), strict=True):
            low, high = bootstrap_interval(values, seed=seed, resamples=resamples)
            row |= {measure: values.mean(), f"{measure}_low": float(low), f"{measure}_high": float(high)}
        rows.append(row | {"chosen": module == RESIDUAL and layers == block})
    return pd.DataFrame(rows)


def moves(outcomes: xr.Dataset, block: str) -> pd.DataFrame:
    """How far answers moved under turns after one block: arm, delta, change (in numbers), count, of.

    block: as `layers` writes it. count: predictions, over examples and draws, that are the own answer plus
    `change`; of: all predictions of the arm under that turn.
    """
    own = own_answers(outcomes)
    rows = []
    for (module, layers, arm, delta), prediction in _groups(outcomes).items():
        if module == RESIDUAL and layers == block:
            change, count = np.unique(prediction - own, return_counts=True)
            of = prediction.size
            rows += [(arm, int(delta), int(c), int(n), of) for c, n in zip(change, count, strict=True)]
    return pd.DataFrame(rows, columns=["arm", "delta", "change", "count", "of"])
