"""Make a model of a fetched GGUF file: configuration, float32 safetensors and tokenizer."""

from pathlib import Path

from fourier_addition.files.manifests import read_manifest, write_manifest
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("read_gguf", model="smollm2")

with job(snakemake):
    from fourier_addition.models.gguf_model import read_gguf

    # What the file says it is, and where the fetch had it from
    source = read_manifest(snakemake.input.gguf)["provenance"]
    file = Path(directory_of(snakemake.input.gguf)) / source["file"]

    # The model that the file holds, all of it or nothing
    directory = snakemake.output.directory
    with replacing(directory) as temporary:
        temporary.mkdir()
        found = read_gguf(file, temporary, where=f"models.{snakemake.wildcards.model}")
    source.pop("packages", None)
    write_manifest(snakemake.output.manifest, directory, provenance={**source, "gguf": found})
