"""Number rows of a model's embeddings, as the model comes."""

from fourier_addition.files.manifests import write_manifest
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("number_rows_of_model", model="minilm")

with job(snakemake):
    from fourier_addition.capture.number_rows import write_number_rows
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    numbers = snakemake.params.numbers
    view = load_model(directory_of(snakemake.input.model), device=device, **snakemake.params.weights)
    space = tokenizer_number_space(view.tokenizer, numbers["answer"]).first(numbers["numbers"])
    arrays = write_number_rows(view, space.ids, snakemake.output.store)
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
