"""Make a model, as it comes, the checkpoint of a prompted run: a manifest and no copy of the weights."""

from fourier_addition.files.manifests import read_manifest
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import point_manifest, provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("adopt_model", run="gpt2.4shot.seed0")

with job(snakemake):
    facts = provenance(snakemake)
    weights = read_manifest(snakemake.input.model)["provenance"].get("weights_sha256")
    if weights:
        facts["weights_sha256"] = weights
    point_manifest(snakemake.output.manifest, snakemake.input.model, provenance=facts)
