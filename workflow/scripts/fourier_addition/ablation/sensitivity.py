"""Table 1 under every reading of what the paper leaves open, and what can be concluded from each."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace

import numpy as np
import pandas as pd

from fourier_addition.ablation.conditions import Condition, control_conditions, table1_conditions
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.plain import POSITIONS
from fourier_addition.ablation.predict import PREDICTIONS
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.statistics import table1
from fourier_addition.ablation.table1 import CONCLUSIONS
from fourier_addition.errors import UserError
from fourier_addition.fourier import BASES, CUTS, fourier_basis
from fourier_addition.models import Encoded, ModelView
from fourier_addition.modules import MODULE_NORMS
from fourier_addition.numbers import ANSWER_FORMS


@dataclass(frozen=True)
class Reading:
    """One reading of the paper's open points.

    answer: form of the answer's token. basis, cut: see `fourier`. norm: `raw` takes W_U as it is,
    `folded` with what stands before it. positions: where filters apply. prediction: over what.
    """

    answer: str
    basis: str
    cut: str
    norm: str
    positions: str
    prediction: str


ALLOWED = {
    "answer": tuple(ANSWER_FORMS),
    "basis": BASES,
    "cut": CUTS,
    "norm": MODULE_NORMS,
    "positions": POSITIONS,
    "prediction": PREDICTIONS,
}


@dataclass(frozen=True)
class Examples:
    """Prompts in one answer form: as encoded, their answers, and the token ids of 0..p-1."""

    encoded: Sequence[Encoded]
    answers: np.ndarray
    number_ids: np.ndarray


def readings(grid: Mapping[str, Sequence[str]]) -> list[Reading]:
    """Every combination of the grid's values, the last key varying fastest.

    grid: for each field of `Reading` the values to try. Raises UserError for a missing or unknown key
    and a value that is not allowed.
    """
    names = [field.name for field in fields(Reading)]
    if set(grid) != set(names):
        wrong = sorted(set(grid) ^ set(names))[0]
        raise UserError(f"The sensitivity grid must have the keys {', '.join(names)}; '{wrong}' is at fault.")
    for name in names:
        for value in grid[name]:
            if value not in ALLOWED[name]:
                raise UserError(
                    f"Sensitivity key `{name}` lists '{value}'; allowed are {', '.join(ALLOWED[name])}."
                )
    return [Reading(*values) for values in itertools.product(*(grid[name] for name in names))]


def tables_by_reading(
    view: ModelView,
    examples: Mapping[str, Examples],
    grid: Mapping[str, Sequence[str]],
    *,
    tau: int,
    batch_size: int,
    seed: int,
    resamples: int,
    level: float = 0.95,
    draws: int = 0,
    method: str = "auto",
    rows: int = 1024,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[tuple[Reading, pd.DataFrame]]:
    """Table 1 in every reading of the grid, as (reading, `statistics.table1`).

    examples: for each answer form in the grid its prompts. draws: random subspaces beside each row, 0
    for none. Other arguments as in `run_conditions` and `table1`. Readings that differ in the filter
    alone are run together. Raises UserError for a grid that `readings` refuses or prompts that are missing.
    """
    # Readings that the filter alone tells apart
    chosen = readings(grid)
    together = itertools.groupby(
        sorted(chosen, key=lambda r: (r.answer, r.positions, r.prediction)),
        key=lambda r: (r.answer, r.positions, r.prediction),
    )
    for (form, positions, prediction), group in together:
        if form not in examples:
            raise UserError(
                f"The sensitivity grid names answer form '{form}', of which there are no prompts."
            )

        # Each reading's conditions, under names that no other reading has
        given, members = examples[form], list(group)
        conditions = {
            reading: _conditions(view, given, reading, tau, draws, seed, f"reading-{number}/")
            for number, reading in enumerate(members)
        }

        # One run for all of them, then each reading's own table
        dataset = run_conditions(
            view,
            given.encoded,
            given.number_ids,
            list(itertools.chain(*conditions.values())),
            answers=given.answers,
            batch_size=batch_size,
            method=method,
            positions=positions,
            prediction=prediction,
            rows=rows,
            progress=progress,
        )
        for reading, own in conditions.items():
            part = dataset.sel(condition=[condition.name for condition in own])
            yield reading, table1(part, seed=seed, resamples=resamples, level=level)


def _conditions(
    view: ModelView, given: Examples, reading: Reading, tau: int, draws: int, seed: int, prefix: str
) -> list[Condition]:
    """Table 1's conditions in one reading, with `draws` random subspaces; `prefix` before each name."""
    unembedding = view.module_unembedding(given.number_ids, reading.norm).cpu().numpy()
    bank = FilterBank(unembedding, fourier_basis(len(given.number_ids), reading.basis))
    found = table1_conditions(bank, view.n_layers, tau, reading.cut)
    if draws:
        found += control_conditions(found, bank, draws, seed)
    return [
        replace(c, name=prefix + c.name, control_of=prefix + c.control_of if c.control_of else "")
        for c in found
    ]


def conclusions(table: pd.DataFrame, *, unharmed: float, harmed: float) -> pd.DataFrame:
    """Which of the paper's conclusions hold in a table 1.

    unharmed: the largest share of the unfiltered accuracy that may be lost without harm.
    harmed: the smallest share whose loss is harm.
    Returns columns conclusion, holds (missing when the unfiltered accuracy is 0), lost (the share of
    the unfiltered accuracy lost, the smallest over the rows concerned for harm and the largest
    otherwise), control_lost (the same of the random subspaces; NaN without).
    """
    if not 0 <= unharmed <= harmed <= 1:
        raise UserError(
            f"Thresholds must be shares with 0 <= unharmed <= harmed <= 1, not {unharmed:g} and {harmed:g}."
        )
    accuracy, control_accuracy = (
        table.set_index(["module", "band"])[column].to_dict()
        for column in ("accuracy", "control_accuracy_mean")
    )
    full = float(accuracy["none", "none"])
    rows = []
    for name, (state, concerned) in CONCLUSIONS.items():
        # The row that speaks most against the conclusion decides.
        worst = min if state == "harmed" else max
        lost, control = (
            worst(float((full - kept[row]) / full) for row in concerned) if full > 0 else np.nan
            for kept in (accuracy, control_accuracy)
        )
        holds = pd.NA if full == 0 else bool(lost >= harmed if state == "harmed" else lost <= unharmed)
        rows.append({"conclusion": name, "holds": holds, "lost": lost, "control_lost": control})
    return pd.DataFrame(rows).astype({"holds": "boolean"})


def sensitivity(
    tables: Iterator[tuple[Reading, pd.DataFrame]], *, unharmed: float, harmed: float
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All tables and all conclusions in long form, each row with its reading's columns."""
    found, concluded = [], []
    for reading, table in tables:
        found.append(table.assign(**asdict(reading)))
        concluded.append(conclusions(table, unharmed=unharmed, harmed=harmed).assign(**asdict(reading)))
    return pd.concat(found, ignore_index=True), pd.concat(concluded, ignore_index=True)
