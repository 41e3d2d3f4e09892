"""Who does it: what every head and neuron of a run writes and follows, and what is lost without them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.ablation.knockout_table import knockout_table
from fourier_addition.ablation.knockouts import Knockout, knockouts, run_knockouts
from fourier_addition.analysis.unit_spectra import tuning, unit_spectra
from fourier_addition.analysis.units import (
    activation_table,
    component_table,
    ranking,
    summed_components,
    unit_table,
)
from fourier_addition.capture.units import unit_moments
from fourier_addition.filters import Band, band_label, components_of
from fourier_addition.fourier import fourier_basis
from fourier_addition.models import Encoded, ModelView
from fourier_addition.models.units import unit_weights

TABLES = ("components", "units", "ranks", "activations", "knockouts")
"""What a study of units returns."""


def unit_study(
    view: ModelView,
    encoded: Sequence[Encoded],
    answers: np.ndarray,
    number_ids: Sequence[int] | np.ndarray,
    settings: Mapping[str, Any],
    analysis: Mapping[str, Any],
    tau: int,
    *,
    shared_prefix: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, pd.DataFrame]:
    """Tables of a model's heads and neurons, by the names of `TABLES`.

    encoded: prompts. answers: (example,) numbers. number_ids: (number,) token ids of 0..p-1.
    settings: the configuration's `units`. analysis: basis, cut, norm, null_level and seed of its
    `analysis`. tau: where the high band begins. shared_prefix, progress: see `unit_moments`.
    components: `component_table` of heads, `summed_components` of neurons. units: `unit_table`. ranks:
    `ranking`. activations: `activation_table` of the top neurons, with their band and rank. knockouts:
    `knockout_table`.
    Raises UserError for bands that the number space does not have and what `unit_moments` refuses.
    """
    # What module outputs are read with, and the components of every band
    basis = fourier_basis(len(number_ids), analysis["basis"])
    unembedding = view.module_unembedding(number_ids, analysis["norm"]).double().cpu().numpy()
    bands: list[Band] = settings["bands"]
    components = {band_label(band): components_of(band, basis, tau, analysis["cut"]) for band in bands}

    # Layer by layer: what units write, who holds a band, what neurons follow, and what is to be taken out
    tables: dict[str, list[pd.DataFrame]] = {name: [] for name in TABLES}
    chosen: list[Knockout] = []
    held: dict[tuple[str, int], np.ndarray] = {}
    parts = unit_moments(
        view,
        encoded,
        answers,
        len(number_ids),
        batch_size=settings["batch_size"],
        layers_at_once=settings["layers_at_once"],
        shared_prefix=shared_prefix,
        progress=progress,
    )
    for (module, layer), moments in ((key, found) for part in parts for key, found in part.items()):
        weights = unit_weights(view, module, layer).cpu().numpy()
        spectra = unit_spectra(moments, weights, unembedding, basis, settings["baseline"])
        ranks = ranking(spectra, components, module, layer)
        tables["ranks"].append(ranks)
        if module == "attention":
            tables["components"].append(component_table(spectra, module, layer))
            tables["units"].append(unit_table(spectra, None, module, layer))
        else:
            tuned = tuning(moments, basis, analysis["null_level"])
            tables["components"].append(summed_components(spectra, module, layer))
            tables["units"].append(unit_table(spectra, tuned, module, layer))
            top = ranks[ranks["rank"] <= settings["shown"]]
            activations = activation_table(moments, tuned, basis, top["unit"].tolist(), layer)
            tables["activations"].append(_of_top(activations, top))

        # What the units hold when they are taken out
        chosen += knockouts(ranks, settings["counts"], settings["draws"], analysis["seed"])
        mean = moments.inputs.reshape(-1) / moments.examples
        held[module, layer] = mean if settings["baseline"] == "mean" else np.zeros_like(mean)

    # The answers without them
    predictions = run_knockouts(view, encoded, number_ids, chosen, held, batch_size=settings["batch_size"])
    tables["knockouts"].append(knockout_table(chosen, predictions, answers, settings["modulus"]))
    return {name: pd.concat(found, ignore_index=True) for name, found in tables.items()}


def _of_top(activations: pd.DataFrame, top: pd.DataFrame) -> pd.DataFrame:
    """Activations with the band and rank of each neuron; one on top of two bands is there twice."""
    ranked = top[["band", "rank", "unit", "power"]]
    unique = activations.drop_duplicates(["unit", "answer"])
    return ranked.merge(unique, on="unit", how="left", validate="many_to_many")
