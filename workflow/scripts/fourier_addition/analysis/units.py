"""Tables of heads and neurons: who writes which component, how few hold a band, what neurons follow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from fourier_addition.analysis.unit_spectra import Tuning, UnitSpectra, in_numbers
from fourier_addition.capture.moments import UnitMoments
from fourier_addition.errors import UserError
from fourier_addition.fourier import FourierBasis

Bands = Mapping[str, np.ndarray]
"""A band's label -> its components."""


def component_table(spectra: UnitSpectra, module: str, layer: int) -> pd.DataFrame:
    """One row a unit and component: module, layer, unit, component, period, magnitude, alignment, offset,
    answer_logit. Units as in `UnitSpectra`: logits, and numbers for the offset.
    """
    basis = spectra.basis
    components, units = spectra.power.shape
    return pd.DataFrame(
        {
            "module": module,
            "layer": layer,
            "unit": np.repeat(np.arange(units), components),
            "component": np.tile(basis.components, units),
            "period": np.tile(basis.periods, units),
            "magnitude": spectra.magnitude.T.ravel(),
            "alignment": spectra.alignment.T.ravel(),
            "offset": spectra.offset.T.ravel(),
            "answer_logit": spectra.answer_logit.T.ravel(),
        }
    )


def summed_components(spectra: UnitSpectra, module: str, layer: int) -> pd.DataFrame:
    """As `component_table`, of all units together, whose powers are added: one row a component, unit -1.

    alignment and offset are NaN; answer_logit is the sum of the units'.
    """
    basis = spectra.basis
    return pd.DataFrame(
        {
            "module": module,
            "layer": layer,
            "unit": -1,
            "component": basis.components,
            "period": basis.periods,
            "magnitude": np.sqrt(spectra.power.sum(axis=1)),
            "alignment": np.nan,
            "offset": np.nan,
            "answer_logit": spectra.answer_logit.sum(axis=1),
        }
    )


def band_power(spectra: UnitSpectra, components: np.ndarray) -> np.ndarray:
    """Power of a band in each unit's logits, (unit,), in squared logits."""
    power: np.ndarray = spectra.power[np.asarray(components) - 1].sum(axis=0)
    return power


def ranking(spectra: UnitSpectra, bands: Bands, module: str, layer: int) -> pd.DataFrame:
    """How few units hold a band: one row a band and unit, the largest power first.

    Columns: module, layer, band, rank (from 1), unit, power, share (of the module's units), cumulative
    (share of the first so many). Powers of units add up to no more than a yardstick: their logits may
    cancel or reinforce one another. Of equal units the first comes first.
    """
    tables = []
    for band, components in bands.items():
        power = band_power(spectra, components)
        order = np.argsort(-power, kind="stable")
        total = power.sum()
        share = power[order] / total if total > 0 else np.full(len(power), np.nan)
        tables.append(
            pd.DataFrame(
                {
                    "module": module,
                    "layer": layer,
                    "band": band,
                    "rank": np.arange(1, len(order) + 1),
                    "unit": order,
                    "power": power[order],
                    "share": share,
                    "cumulative": np.cumsum(share),
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def _wrapped(distance: np.ndarray, period: np.ndarray) -> np.ndarray:
    """Distances in numbers, within half a period."""
    wrapped: np.ndarray = (distance + period / 2) % period - period / 2
    return wrapped


def unit_table(spectra: UnitSpectra, tuned: Tuning | None, module: str, layer: int) -> pd.DataFrame:
    """One row a unit: what it writes most of, and for neurons what its activation follows.

    tuned: of neurons; None for heads, which have no single activation.
    Columns: module, layer, unit; power (of all components); component, period (of the largest);
    share_of_unit (of the unit's power), share_of_module (of the component's power in all units);
    alignment, offset (numbers), answer_logit (of that component);
    of neurons, NaN for heads: write_phase (the number at which the wave peaks when the activation is above
    its baseline), read_phase (the answer at which the fit of the activation at the same period peaks), lag
    (write less read, within half a period), r2 (of that fit), best_period, best_r2 (of the best fit of any
    component), tuned (whether it exceeds chance), answer_share.
    """
    # The component that each unit writes most of
    basis, power = spectra.basis, spectra.power
    best, unit = power.argmax(axis=0), np.arange(power.shape[1])
    total, of_component = power.sum(axis=0), power.sum(axis=1)[best]
    period = basis.periods[best]
    with np.errstate(invalid="ignore", divide="ignore"):
        table = pd.DataFrame(
            {
                "module": module,
                "layer": layer,
                "unit": unit,
                "power": total,
                "component": basis.components[best],
                "period": period,
                "share_of_unit": power[best, unit] / total,
                "share_of_module": power[best, unit] / of_component,
                "alignment": spectra.alignment[best, unit],
                "offset": spectra.offset[best, unit],
                "answer_logit": spectra.answer_logit[best, unit],
            }
        )

    # What the activation follows
    if tuned is None:
        return table.assign(
            **dict.fromkeys(("write_phase", "read_phase", "lag", "r2", "best_period", "best_r2"), np.nan),
            tuned=False,
            answer_share=np.nan,
        )
    write = in_numbers(np.angle(spectra.writes[:, :, 0]), basis)[best, unit] % period
    read = in_numbers(np.angle(tuned.coefficient), basis)[best, unit] % period
    follows = tuned.r2.argmax(axis=0)
    return table.assign(
        write_phase=write,
        read_phase=read,
        lag=_wrapped(write - read, period),
        r2=tuned.r2[best, unit],
        best_period=basis.periods[follows],
        best_r2=tuned.r2[follows, unit],
        tuned=tuned.r2[follows, unit] > tuned.threshold,
        answer_share=tuned.answer_share,
    )


def activation_table(
    moments: UnitMoments,
    tuned: Tuning,
    basis: FourierBasis,
    neurons: Sequence[int],
    layer: int,
) -> pd.DataFrame:
    """Mean activation of some neurons for each answer that occurs, with the fit at the neuron's best period.

    Columns: layer, unit, answer, examples, activation, fitted, period, r2.
    Raises UserError for a neuron that does not exist.
    """
    present = np.flatnonzero(moments.count > 0)
    means = moments.sums[present, :, 0] / moments.count[present, None]
    tables = []
    for neuron in neurons:
        if not 0 <= neuron < means.shape[1]:
            raise UserError(
                f"Neuron {neuron} does not exist: the layer has the neurons 0..{means.shape[1] - 1}."
            )
        best = int(tuned.r2[:, neuron].argmax())
        wave = (tuned.coefficient[best, neuron] * np.exp(-2j * np.pi * present / basis.periods[best])).real

        # The constant of the fit: residuals have mean zero over the examples.
        weights = moments.count[present] / moments.examples
        constant = (weights * (means[:, neuron] - wave)).sum()
        tables.append(
            pd.DataFrame(
                {
                    "layer": layer,
                    "unit": neuron,
                    "answer": present,
                    "examples": moments.count[present].astype(int),
                    "activation": means[:, neuron],
                    "fitted": constant + wave,
                    "period": basis.periods[best],
                    "r2": tuned.r2[best, neuron],
                }
            )
        )
    return pd.concat(tables, ignore_index=True)


def top_units(units: pd.DataFrame, ranks: pd.DataFrame, top: int = 5) -> pd.DataFrame:
    """The units of each module and band with the largest power in it, over all layers.

    units: of `unit_table`, all layers. ranks: of `ranking`, all layers. top: units for each.
    Columns: module, band, layer, unit, band_power, share (of the band in its layer), and the other columns
    of `unit_table`.
    """
    first = ranks.sort_values("power", ascending=False, kind="stable").groupby(["module", "band"]).head(top)
    order = {band: place for place, band in enumerate(dict.fromkeys(ranks["band"]))}
    first = first.assign(place=first["band"].map(order))
    first = first.sort_values(["module", "place", "power"], ascending=[True, True, False], kind="stable")
    first = first.rename(columns={"power": "band_power"})[
        ["module", "band", "layer", "unit", "band_power", "share"]
    ]
    return first.merge(units, on=["module", "layer", "unit"], how="left", validate="many_to_one")
