"""Everything that the page holds of one run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd
import xarray as xr

from fourier_addition.analysis.module_spectra import unembedding_rows
from fourier_addition.capture.dataset import open_capture, read_number_rows
from fourier_addition.explorer.circles import circles_part
from fourier_addition.explorer.examples import (
    Key,
    chosen_keys,
    described,
    keys_of,
    positions,
    renumbered,
)
from fourier_addition.explorer.filtered import filtered_part
from fourier_addition.explorer.module_logits import logits_part
from fourier_addition.explorer.outcomes import Outcomes, joined
from fourier_addition.explorer.spectra import module_spectra_part, spectrum_part
from fourier_addition.explorer.steered import steered_part
from fourier_addition.fourier import fourier_basis


@dataclass(frozen=True)
class RunResults:
    """Where the results of one run lie; empty for a result that the run does not have.

    dataset, spectra, embedding, doses, places, probes: tables. captures, number_rows, filtered, steered:
    stores, those of captures and filters in several parts.
    """

    dataset: str = ""
    spectra: str = ""
    captures: Sequence[str | Path] = ()
    number_rows: str = ""
    embedding: str = ""
    filtered: Sequence[str | Path] = ()
    steered: str = ""
    doses: str = ""
    places: str = ""
    probes: str = ""


@dataclass
class _Sources:
    """The results of a run that have examples, as they are opened."""

    keys: dict[str, list[Key]] = field(default_factory=dict)
    answers: dict[Key, int] = field(default_factory=dict)


def run_part(results: RunResults, analysis: Mapping[str, Any], examples: int, modulus: int) -> dict[str, Any]:
    """What the page holds of one run: examples, and the views' parts that the run has results for.

    analysis: the configuration's `analysis` (basis, norm, lens_norm). examples: most examples of each
    result. modulus: of an answer's residue. Parts: logits, filters, steering (each with `at`, where it has
    each example, -1 for none), rows and modules (spectra), circles (probes).
    """
    # The results that have examples
    sources = _Sources()
    capture = open_capture(list(results.captures)) if results.captures else None
    if capture is not None:
        coordinates = pd.DataFrame({n: capture[n].values for n in ("a", "b", "template", "answer")})
        sources.keys["logits"] = keys_of(coordinates)
        sources.answers |= dict(zip(sources.keys["logits"], coordinates["answer"].tolist(), strict=True))
    outcomes = {}
    for name, stores in (("filters", results.filtered), ("steering", [results.steered])):
        if any(stores):
            outcomes[name] = joined([Outcomes.of(_opened(store)) for store in stores])
            sources.keys[name] = outcomes[name].keys
            sources.answers |= outcomes[name].answers()

    # The examples that are shown
    keys = chosen_keys(list(sources.keys.values()), examples)
    places = {name: renumbered(positions(keys, found)) for name, found in sources.keys.items()}
    part: dict[str, Any] = {"examples": described(keys, sources.answers, _prompts(results.dataset))}

    # Logits, filtered and steered answers of those
    if capture is not None:
        unembedding = unembedding_rows(read_number_rows(results.number_rows), analysis["norm"])
        basis = fourier_basis(len(unembedding), analysis["basis"])
        kept, at = places["logits"]
        part["logits"] = {
            "at": at,
            **logits_part(capture, unembedding, kept, basis, analysis["lens_norm"]),
            "norm": analysis["norm"],
            "base_period": basis.base_period,
        }
        part["modules"] = module_spectra_part(pd.read_parquet(results.spectra))
    if "filters" in outcomes:
        kept, at = places["filters"]
        part["filters"] = {"at": at, **filtered_part(outcomes["filters"], kept)}
    if "steering" in outcomes:
        kept, at = places["steering"]
        doses, best = pd.read_parquet(results.doses), pd.read_parquet(results.places)
        part["steering"] = {"at": at, **steered_part(outcomes["steering"], doses, best, kept, modulus)}

    # What has no examples
    if results.embedding:
        part["rows"] = spectrum_part(pd.read_parquet(results.embedding))
    if results.probes:
        part["circles"] = circles_part(pd.read_parquet(results.probes))
    return part


def _opened(store: str | Path) -> xr.Dataset:
    """Outcomes in memory."""
    with xr.open_zarr(store, chunks=None) as opened:
        loaded: xr.Dataset = opened.load()
    return loaded


def _prompts(dataset: str) -> dict[Key, str]:
    """The prompt of every example of a task; none where no data set is named."""
    if not dataset:
        return {}
    table = pd.read_parquet(dataset)
    return dict(zip(keys_of(table), table["prompt"].astype(str), strict=True))
