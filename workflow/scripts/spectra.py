"""Fourier spectra of module logits, of the running example, and the waves of its final logits."""

import pandas as pd
from fourier_addition.analysis.module_spectra import (
    component_peaks,
    example_spectra,
    final_waves,
    module_spectra,
)
from fourier_addition.capture.dataset import open_capture, read_number_rows
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("spectra", run="mini.finetuned.seed0")

with job(snakemake):
    analysis = snakemake.params.analysis
    capture = open_capture([directory_of(path, ".zarr") for path in snakemake.input.captures])
    number_rows = read_number_rows(directory_of(snakemake.input.number_rows, ".zarr"))
    example = pd.read_parquet(snakemake.input.example)
    write_parquet(module_spectra(capture, number_rows, analysis), snakemake.output.modules)
    write_parquet(example_spectra(example, analysis), snakemake.output.example)
    write_parquet(final_waves(example, analysis), snakemake.output.waves)
    write_parquet(component_peaks(capture, analysis), snakemake.output.peaks)
