"""Capture a run's residual stream at its operands' last tokens and before every token of the answer."""

import pandas as pd
from fourier_addition.files.manifests import write_manifest
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job, progress
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import Task

if "snakemake" not in globals():
    snakemake = mock_snakemake("capture_positions", run="mini.finetuned.seed0")

with job(snakemake):
    from fourier_addition.capture.positions import capture_positions
    from fourier_addition.models import load_model

    # The first examples of the split, the model and the task whose phrasings say where operands stand
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    settings = snakemake.params.capture
    examples = pd.read_parquet(snakemake.input.dataset)
    rows = examples[examples["split"] == settings["split"]].iloc[: settings["position_examples"] or None]
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **snakemake.params.weights)
    task = Task.from_config(snakemake.params.task_name, snakemake.params.task)

    # The model runs, and the store is written
    arrays = capture_positions(
        view,
        task,
        rows.drop(columns="split").rename(columns={"example": "dataset_example"}),
        snakemake.output.store,
        batch_size=settings["batch_size"],
        block=settings["block"],
        dtype=settings["dtype"],
        modules=settings["position_modules"],
        progress=progress,
    )
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
