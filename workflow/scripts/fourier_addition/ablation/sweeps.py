"""Sweeps of table 1's filters: over tau, single periods, components kept alone, and single layers.

Every sweep takes
    bank: makes the filters. n_layers: depth of the model. modules: each of these in turn (`FILTERED`).
    layers: where filters are applied, or what is swept over; every layer by default.
and raises UserError for layers that do not exist and a filter that would leave no dimensions.
"""

from __future__ import annotations

from collections.abc import Sequence

from fourier_addition.ablation.conditions import Condition, chosen_layers, removal
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.filters import Band, band_label, component_of_period, components_of, keep_only
from fourier_addition.modules import FILTERED


def tau_sweep(
    bank: FilterBank,
    n_layers: int,
    taus: Sequence[int],
    cut: str = "component",
    bands: Sequence[str] = ("low", "high"),
    modules: Sequence[str] = FILTERED,
    layers: Sequence[int] | None = None,
) -> list[Condition]:
    """Table 1's filters for other thresholds; `value` is tau."""
    chosen = chosen_layers(n_layers, layers)
    return [
        removal(
            f"{module}-{band}-tau-{tau}",
            "tau",
            band,
            module,
            chosen,
            components_of(band, bank.basis, tau, cut),
            bank,
            value=tau,
        )
        for tau in taus
        for band in bands
        for module in modules
    ]


def period_sweep(
    bank: FilterBank,
    n_layers: int,
    periods: Sequence[float],
    modules: Sequence[str] = ("both",),
    tolerance: float = 0.05,
    layers: Sequence[int] | None = None,
) -> list[Condition]:
    """Each single period removed; `value` is the period asked for, in numbers.

    Raises UserError for a period that no component has within the relative tolerance.
    """
    chosen = chosen_layers(n_layers, layers)
    return [
        removal(
            f"{module}-period-{period:g}",
            "period",
            {"periods": [period]},
            module,
            chosen,
            [component_of_period(period, bank.basis, tolerance)],
            bank,
            value=period,
        )
        for period in periods
        for module in modules
    ]


def keep_only_conditions(
    bank: FilterBank,
    n_layers: int,
    periods: Sequence[float],
    modules: Sequence[str] = ("both",),
    tolerance: float = 0.05,
    layers: Sequence[int] | None = None,
) -> list[Condition]:
    """Everything removed but one component and the constant (figures 11 and 12).

    periods: 2 and the base period p - 1 in the paper. `value` is the period asked for.
    """
    chosen = chosen_layers(n_layers, layers)
    conditions = []
    for period in periods:
        kept = component_of_period(period, bank.basis, tolerance)
        band = {"complement": {"periods": [period]}}
        conditions += [
            removal(
                f"{module}-only-period-{period:g}",
                "keep",
                band,
                module,
                chosen,
                keep_only([kept], bank.basis),
                bank,
                value=period,
            )
            for module in modules
        ]
    return conditions


def layer_sweep(
    bank: FilterBank,
    n_layers: int,
    bands: Sequence[Band],
    tau: int | None = None,
    cut: str = "component",
    modules: Sequence[str] = FILTERED,
    tolerance: float = 0.05,
    layers: Sequence[int] | None = None,
) -> list[Condition]:
    """Each band removed at one layer at a time; `value` is the layer, counted from 0."""
    conditions = []
    for band in bands:
        components = components_of(band, bank.basis, tau, cut, tolerance)
        conditions += [
            removal(
                f"{module}-{band_label(band)}-layer-{layer}",
                "layer",
                band,
                module,
                (layer,),
                components,
                bank,
                value=layer,
            )
            for layer in chosen_layers(n_layers, layers)
            for module in modules
        ]
    return conditions
