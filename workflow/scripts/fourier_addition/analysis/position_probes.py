"""Fourier probes at named positions: operands, the sum and its digits, by position and state."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.analysis.fourier_probes import COLUMNS as PROBE_COLUMNS
from fourier_addition.analysis.fourier_probes import fourier_probe_table
from fourier_addition.errors import UserError

COLUMNS = ("position", "layer", "target", *PROBE_COLUMNS)
ABSENT = -1


def probed_states(states: int, asked: int | Sequence[int]) -> list[int]:
    """Which of the states 0..states-1 are probed, in their order.

    asked: the states themselves; or how many at most, evenly spaced, the first and the last among them, and
    0 for all. The key holds for models of any depth: states beyond this one's are left out. Raises UserError
    where none of the asked is there.
    """
    if not isinstance(asked, int):
        there = sorted({state for state in asked if state < states})
        if not there:
            raise UserError(
                f"Config key `analysis.probe_states` names state {min(asked)}, but the model has the states "
                f"0 to {states - 1}."
            )
        return there
    if asked == 0 or asked >= states:
        return list(range(states))
    return sorted({round(place) for place in np.linspace(0, states - 1, max(2, asked))})


def probed_examples(capture: xr.Dataset, position: str) -> np.ndarray:
    """Which examples are probed at a position: (example,) bool.

    capture: of `capture_positions`. All examples at the operands and before the answer's first token. Before
    a later token, the examples whose answer has as many tokens as most answers have: the k-th token of
    another answer is another digit.
    """
    tokens = (capture["target_token"].values != ABSENT).sum(axis=0)
    if position in ("a", "b", "answer 1"):
        return np.ones(len(tokens), bool)
    usual = tokens == np.bincount(tokens).argmax()
    there = capture["token_position"].sel(position=position).values != ABSENT
    found: np.ndarray = usual & there
    return found


def digits_of(answers: np.ndarray) -> dict[str, np.ndarray]:
    """Digits of answers that all have the same number of digits: `digit 1`, the first, ... -> (example,).

    Nothing where the answers have one digit, or differ in length.
    """
    longest, shortest = (len(str(int(each))) for each in (answers.max(), answers.min()))
    if longest != shortest or longest < 2:
        return {}
    return {f"digit {place + 1}": answers // 10 ** (longest - 1 - place) % 10 for place in range(longest)}


def targets_at(capture: xr.Dataset, position: str, chosen: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """What a causal model can know at a position: (name, number of every chosen example).

    The operands that end there or before; the answer, called `sum` here whatever the operation, once both
    have; its digits at the answer's positions.
    """
    places = capture["token_position"].values[:, chosen]
    at = dict(zip(capture["position"].values.tolist(), places, strict=True))
    known = [operand for operand in ("a", "b") if (at[operand] <= at[position]).all()]
    for operand in known:
        yield operand, capture[operand].values[chosen]
    if len(known) == 2:
        answers = capture["answer"].values[chosen]
        yield "sum", answers
        if position.startswith("answer"):
            yield from digits_of(answers).items()


def position_probes(
    capture: xr.Dataset,
    *,
    states: int | Sequence[int] = 0,
    settings: Mapping[str, Any],
    examples: int = 0,
    held_out: str = "number",
) -> pd.DataFrame:
    """Fourier probes of every target at every position, state by state.

    capture: of `capture_positions`: residual (position, state, example, feature), read one state at a time.
    states: as for `probed_states`; 0 probes all. settings: the keyword arguments of
    `fourier_probe_table`, `periods` among them. examples: at most so many, the first ones; 0 takes all.
    held_out: `number`, or `answer` to hold out everything by answer: then the training folds have seen an
    operand's number, with other answers.
    Columns: position, layer (the state: 0 before the first block), target (a, b, sum, digit 1, ...), and
    those of the probes. Digits are held out by answer, everything else by the target itself or as `held_out`
    says.
    """
    tables = []
    chosen_states = probed_states(capture.sizes["state"], states)
    for position in capture["position"].values.tolist():
        chosen = np.flatnonzero(probed_examples(capture, position))[: examples or None]
        if not len(chosen):
            continue
        targets = dict(targets_at(capture, position, chosen))
        answers = capture["answer"].values[chosen]
        for state in chosen_states:
            vectors = capture["residual"].sel(position=position).isel(state=state).values[chosen]
            for name, numbers in targets.items():
                groups = answers if name.startswith("digit") else None
                apart = answers if held_out == "answer" else None
                found = fourier_probe_table(vectors, numbers, groups=groups, held_out=apart, **settings)
                tables.append(found.assign(position=position, layer=state, target=name))
    return pd.concat(tables, ignore_index=True)[list(COLUMNS)]
