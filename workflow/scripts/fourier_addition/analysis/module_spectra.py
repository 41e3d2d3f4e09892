"""Spectra of module logits, with outliers against shuffled numbers (figures 2, 3, 6, 8 to 10, 16 to 19)."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.analysis.outliers import NullTest, NumberSignals, null_test
from fourier_addition.fourier import (
    FourierBasis,
    coefficients,
    component_magnitudes,
    fourier_basis,
    projected_spectra,
    spectrum,
    waves,
)


def unembedding_rows(number_rows: xr.Dataset, norm: str) -> np.ndarray:
    """Rows of the unembedding that make module logits of module outputs (section 3.2): (number, feature).

    number_rows: what `read_number_rows` returns. norm: `raw` takes the rows of W_U, as the paper writes;
    `folded` takes the rows with the final norm's gain folded in (`ModelView.folded_unembedding`).
    """
    return number_rows["folded_unembedding" if norm == "folded" else "unembedding"].values.astype(np.float64)


def _null(
    magnitudes: np.ndarray,
    logits: np.ndarray,
    spectrum_of: Callable[[np.ndarray], np.ndarray],
    basis: FourierBasis,
    analysis: Mapping[str, Any],
) -> NullTest:
    """Outliers against shuffled columns of logits (example, number); spectrum_of: their spectrum."""
    return null_test(
        magnitudes,
        lambda order: spectrum_of(logits[:, order]),
        NumberSignals(logits, spectrum_of, basis.base_period),
        draws=analysis["null_draws"],
        level=analysis["null_level"],
        window=analysis["null_window"],
        seed=analysis["seed"],
    )


def _columns(magnitudes: np.ndarray, basis: FourierBasis, null: NullTest) -> dict[str, Any]:
    return {
        "component": basis.components,
        "period": basis.periods,
        "magnitude": magnitudes,
        "prominence": null.prominence,
        "p_value": null.p_value,
        "threshold": null.threshold,
        "outlier": null.outlier,
    }


def spectrum_table(
    magnitudes: np.ndarray,
    logits: np.ndarray,
    spectrum_of: Callable[[np.ndarray], np.ndarray],
    basis: FourierBasis,
    analysis: Mapping[str, Any],
) -> pd.DataFrame:
    """A spectrum and its outliers against shuffled numbers, with the last columns of `module_spectra`.

    magnitudes: (component,). logits: (example, number), of which spectrum_of makes (component,) magnitudes.
    """
    return pd.DataFrame(_columns(magnitudes, basis, _null(magnitudes, logits, spectrum_of, basis, analysis)))


def module_spectra(capture: xr.Dataset, number_rows: xr.Dataset, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """Spectrum of every module's logits, averaged over the captured examples (section 3.2, figure 3).

    capture: `module_output` (module, layer, example, feature). number_rows: the model's number rows.
    analysis: the configuration's `analysis`. Outliers are found against spectra of the same outputs,
    of a sample of the examples, with the numbers of the unembedding's rows shuffled. Columns: module,
    layer, component, period, magnitude, prominence, p_value, threshold, outlier.
    """
    unembedding = unembedding_rows(number_rows, analysis["norm"])
    basis = fourier_basis(len(unembedding), analysis["basis"])
    count = capture.sizes["example"]
    sample = np.random.default_rng(analysis["seed"]).permutation(count)[: analysis["null_examples"]]
    tables = []
    for module in capture["module"].values:
        for layer in capture["layer"].values:
            outputs = capture["module_output"].sel(module=module, layer=layer).values
            magnitudes = projected_spectra(outputs, unembedding, basis, analysis["average"])

            # Shuffling the rows of the unembedding shuffles the columns of the logits.
            logits = outputs[np.sort(sample)].astype(np.float64) @ unembedding.T

            averaged = partial(average_spectrum, basis=basis, average=analysis["average"])
            null = _null(magnitudes, logits, averaged, basis, analysis)
            tables.append(
                pd.DataFrame(
                    {"module": str(module), "layer": int(layer), **_columns(magnitudes, basis, null)}
                )
            )
    return pd.concat(tables, ignore_index=True)


def average_spectrum(logits: np.ndarray, basis: FourierBasis, average: str) -> np.ndarray:
    """Spectra of logits, averaged over examples: (component,).

    logits: (example, number). average: `mean`, or `rms` for the root of the mean square.
    """
    magnitudes = spectrum(logits, basis)
    averaged: np.ndarray
    averaged = np.sqrt((magnitudes**2).mean(axis=0)) if average == "rms" else magnitudes.mean(axis=0)
    return averaged


def example_spectra(example: pd.DataFrame, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """Spectrum of every module's logits for one example (figure 2).

    example: one row a module, layer and number: module, layer, number, logit. analysis: the
    configuration's `analysis`. Columns: as of `module_spectra`.
    """
    tables = []
    for key, rows in example.groupby(["module", "layer"], sort=False):
        module, layer = cast(tuple[str, int], key)
        logits = rows.sort_values("number")["logit"].to_numpy(np.float64)
        basis = fourier_basis(len(logits), analysis["basis"])
        magnitudes = spectrum(logits, basis)
        averaged = partial(average_spectrum, basis=basis, average="mean")
        null = _null(magnitudes, logits[None], averaged, basis, analysis)
        tables.append(
            pd.DataFrame({"module": module, "layer": int(layer), **_columns(magnitudes, basis, null)})
        )
    return pd.concat(tables, ignore_index=True)


def final_waves(example: pd.DataFrame, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """Fourier components of one example's final logits, as waves over the numbers (figures 4, 13, 14).

    example: as for `example_spectra`, with the module `final` and the column answer. analysis: the
    configuration's `analysis`. Columns: component, period, magnitude, number, value (in units of the
    logits), answer.
    """
    final = example[example["module"] == "final"].sort_values("number")
    logits = final["logit"].to_numpy(np.float64)
    basis = fourier_basis(len(logits), analysis["basis"])
    values = waves(logits, basis)
    components, points = values.shape
    return pd.DataFrame(
        {
            "component": np.repeat(basis.components, points),
            "period": np.repeat(basis.periods, points),
            "magnitude": np.repeat(spectrum(logits, basis), points),
            "number": np.tile(np.arange(points), components),
            "value": values.ravel(),
            "answer": int(final["answer"].iloc[0]),
        }
    )


def component_peaks(capture: xr.Dataset, analysis: Mapping[str, Any]) -> pd.DataFrame:
    """Where the sum of the largest Fourier components of the final logits peaks (figure 4b).

    capture: `final_logits` (example, number), coordinates a, b, answer. analysis: the configuration's
    `analysis`, where `summed` is the number of components. Columns: a, b, answer, peak (the number at
    which the sum is largest). The constant component is left out, as it moves no peak.
    """
    logits = capture["final_logits"]
    basis = fourier_basis(logits.sizes["number"], analysis["basis"])

    # Blocks of examples, so that coefficients of a large capture fit into memory.
    block = max(1, 4_000_000 // len(basis.matrix))
    peaks = []
    for start in range(0, logits.sizes["example"], block):
        part = logits.isel(example=slice(start, start + block)).values.astype(np.float64)
        rows = coefficients(part, basis)

        # The largest components of each example; column 0 of `kept` is the constant.
        order = np.argsort(-component_magnitudes(rows, basis), axis=1, kind="stable")[:, : analysis["summed"]]
        kept = np.zeros((len(rows), basis.n_components + 1), bool)
        np.put_along_axis(kept, order + 1, True, axis=1)

        # Back to logits, from the kept components alone.
        peaks.append(((rows * kept[:, basis.row_component]) @ basis.matrix).argmax(axis=1))
    table = pd.DataFrame({name: capture[name].values for name in ("a", "b", "answer")})
    return table.assign(peak=np.concatenate(peaks))
