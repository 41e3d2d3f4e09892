"""Phases turned and bands exchanged between prompts, beside their controls."""

from __future__ import annotations

import pandas as pd

from fourier_addition.plots.interventions import plot_dose_response, plot_exchange, plot_steering
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only


def _block(places: pd.DataFrame) -> str:
    """The block whose residual stream is steered best."""
    return str(places.loc[places["chosen"], "layers"].iloc[0])


def dose_response(results: Results, options: Options) -> Drawn:
    """How far answers move under turns after one block."""
    return plot_dose_response(
        only(results, "moves"),
        only(results, "doses"),
        block=_block(only(results, "places")),
        modulus=options["modulus"],
        note=options["note"],
    )


def steering(results: Results, options: Options) -> Drawn:
    """The same turns at every place."""
    return plot_steering(only(results, "doses"), note=options["note"])


def exchange(results: Results, options: Options) -> Drawn:
    """Outcomes of exchanges after the block that steering chose."""
    block = _block(only(results, "places"))
    return plot_exchange(only(results, "exchange"), block=block, note=options["note"])


DRAWINGS: dict[str, Drawing] = {
    "dose-response": dose_response,
    "steering": steering,
    "exchange": exchange,
}
