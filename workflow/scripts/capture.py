"""Capture one shard of a run's activations at the reading position."""

import pandas as pd
from fourier_addition.files.manifests import write_manifest
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job, progress
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("capture", run="mini.finetuned.seed0", shard="0")

with job(snakemake):
    from fourier_addition.capture.record import capture
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # This shard's examples, the model and its numbers
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    settings, numbers = snakemake.params.capture, snakemake.params.numbers
    examples = pd.read_parquet(snakemake.input.dataset)
    first, end = snakemake.params.examples
    rows = examples[examples["split"] == settings["split"]].iloc[first:end]
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **snakemake.params.weights)
    space = tokenizer_number_space(view.tokenizer, numbers["answer"]).first(numbers["numbers"])

    # The model runs, and the store is written
    arrays = capture(
        view,
        rows["prompt"].tolist(),
        rows[["example", "a", "b", "answer", "template"]].rename(columns={"example": "dataset_example"}),
        space.ids,
        snakemake.output.store,
        batch_size=settings["batch_size"],
        block=settings["block"],
        dtype=settings["dtype"],
        shared_prefix=snakemake.params.shared_prefix,
        progress=progress,
    )
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
