"""Every condition of one study: table 1, its controls, single components, and the sweeps."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.ablation.conditions import CONTROLS, Condition, control_conditions, table1_conditions
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.sweeps import keep_only_conditions, layer_sweep, period_sweep, tau_sweep
from fourier_addition.errors import UserError
from fourier_addition.filters import component_of_period
from fourier_addition.models import Encoded
from fourier_addition.models.encoding import bucket
from fourier_addition.modules import MODULES


def fitting_periods(bank: FilterBank, periods: Sequence[float], tolerance: float) -> list[float]:
    """Those periods that are a component of the basis within the relative tolerance."""
    fitting = []
    for period in periods:
        try:
            component_of_period(period, bank.basis, tolerance)
        except UserError:
            continue
        fitting.append(period)
    return fitting


def study_conditions(
    bank: FilterBank, n_layers: int, settings: Mapping[str, Any], *, tau: int, cut: str, seed: int
) -> list[Condition]:
    """All conditions that the configuration's `ablations` ask for.

    settings: that section of the configuration. tau, cut: see `filters.components_of`.
    Table 1 (section 3.3) with `draws` random subspaces of equal rank and as many random sets of
    components beside each row; period 2 and the longest period kept alone (figures 11 and 12);
    every cut of `taus`, every period of `periods` and, with `layers`, every single layer.
    """
    # Table 1 and its controls
    rows = table1_conditions(bank, n_layers, tau, cut)
    conditions = list(rows)
    if settings["draws"]:
        for kind in CONTROLS:
            conditions += control_conditions(rows, bank, settings["draws"], seed, kind)

    # Figures 11 and 12: one component kept alone
    conditions += keep_only_conditions(bank, n_layers, [2, bank.basis.base_period])

    # Sweeps beyond the paper: tau, single periods, single layers
    count = bank.basis.n_components
    taus = sorted({min(max(2, round(share * count)), count) for share in settings["taus"]})
    conditions += tau_sweep(bank, n_layers, taus, "component")
    periods = fitting_periods(bank, settings["periods"], settings["period_tolerance"])
    if periods:
        everywhere_first = ("both", *MODULES)
        conditions += period_sweep(bank, n_layers, periods, everywhere_first, settings["period_tolerance"])
    if settings["layers"]:
        conditions += layer_sweep(bank, n_layers, settings["bands"], tau, cut)
    return conditions


def shard_rows(encoded: Sequence[Encoded], batch_size: int, part: int, parts: int) -> np.ndarray:
    """Examples that one of several jobs takes: (row,) ascending indices into `encoded`.

    Whole batches of `run_conditions`, in equal shares: a product of matrices may round differently
    in a batch of another size, so only whole batches give the bits that one job would have given.
    Raises UserError when there are fewer batches than parts.
    """
    # The batches of `run_conditions` over all examples
    order = sorted(range(len(encoded)), key=lambda row: encoded[row].ids)
    batches = [found.index for found in bucket([encoded[row] for row in order], batch_size, "cpu")]
    if not 0 <= part < parts <= len(batches):
        raise UserError(f"Part {part} of {parts} cannot be taken from {len(batches)} batches.")

    # This job's share of them
    shares = np.array_split(np.arange(len(batches)), parts)
    taken = np.concatenate([batches[number] for number in shares[part]])
    return np.sort(np.asarray(order)[taken])


def study_predictions(outcomes: xr.Dataset, examples: pd.DataFrame) -> pd.DataFrame:
    """Every prediction of table 1's rows and of the kept components, one row each.

    examples: the filtered examples in order, columns a, b, answer. Columns: condition, kind, value
    (the kept period), a, b, answer, prediction, error. Predictions that are no number are left out.
    """
    chosen = np.flatnonzero(np.isin(outcomes["kind"].values, ["table", "keep"]))
    tables = []
    for index in chosen:
        one = outcomes.isel(condition=index)
        table = examples[["a", "b", "answer"]].reset_index(drop=True)
        table.insert(0, "condition", str(one["condition"].values))
        table.insert(1, "kind", str(one["kind"].values))
        table.insert(2, "value", float(one["value"].values))
        table["prediction"] = one["prediction"].values
        table["error"] = table["prediction"] - table["answer"]
        tables.append(table[table["prediction"] >= 0])
    return pd.concat(tables, ignore_index=True)
