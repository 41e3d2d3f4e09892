"""Write what a miniature model is before it has weights: its shape and its tokenizer."""

from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import provenance
from fourier_addition.training.number_text import numeral_tokenizer

if "snakemake" not in globals():
    snakemake = mock_snakemake("blank_model", model="mini")

with job(snakemake):
    from fourier_addition.models.miniature import miniature_config
    from fourier_addition.models.quiet import quiet

    tokenizer = numeral_tokenizer(snakemake.params.numbers)
    config = miniature_config(snakemake.params.architecture, tokenizer)
    with replacing(snakemake.output.directory) as temporary, quiet():
        config.save_pretrained(temporary)
        tokenizer.save_pretrained(temporary)
    write_manifest(snakemake.output.manifest, snakemake.output.directory, provenance=provenance(snakemake))
