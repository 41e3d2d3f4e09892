"""Logit-lens accuracy by layer and the model's predictions, from captured activations."""

from fourier_addition.analysis.lens import lens_accuracy, predictions
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("lens", run="mini.finetuned.seed0")

with job(snakemake):
    capture = open_capture([directory_of(path, ".zarr") for path in snakemake.input.captures])
    write_parquet(lens_accuracy(capture), snakemake.output.accuracy)
    write_parquet(predictions(capture), snakemake.output.predictions)
