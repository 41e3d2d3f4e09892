"""Figures 2, 3, 6, 8 to 10, 16, 18, 19: spectra of module logits."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.panels import chosen_layers
from fourier_addition.plots.spectrum import plot_mean_spectra, plot_spectrum
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_spectrum", figure="figure-3")

with job(snakemake):
    options, kind = snakemake.params.options, snakemake.params.kind
    layers, note = options.get("layers") or None, options["note"]
    limit = options.get("max_component") or None
    if kind == "example-spectrum":
        table = pd.read_parquet(snakemake.input.table)
        figure, drawn = plot_spectrum(
            table,
            panels=chosen_layers(table, options.get("layer")),
            top=options.get("top", 10),
            tau=options["tau"],
            max_component=limit,
            note=note,
        )
    elif kind == "spectra-comparison":
        labels = options["labels"]
        table = pd.concat(
            pd.read_parquet(path).assign(run=run)
            for path, run in zip(snakemake.input.tables, labels, strict=True)
        )
        figure, drawn = plot_mean_spectra(
            table, layers=layers, max_component=limit, run_labels=labels, note=note
        )
    else:
        if kind == "low-spectra":
            limit = limit or options["tau"]
        table = pd.read_parquet(snakemake.input.table)
        figure, drawn = plot_mean_spectra(table, layers=layers, max_component=limit, note=note)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
