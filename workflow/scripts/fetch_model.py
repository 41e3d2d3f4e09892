"""Fetch a pre-trained model from the first of its sources that can be reached."""

from fourier_addition.files.manifests import write_manifest
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.sources import fetch

if "snakemake" not in globals():
    snakemake = mock_snakemake("fetch_model", model="minilm")

with job(snakemake):
    directory = snakemake.output.directory
    provenance = fetch(snakemake.wildcards.model, snakemake.params.entry, directory)
    write_manifest(snakemake.output.manifest, directory, provenance=provenance)
