"""Patch helices of the answer, fitted to a run's residual stream, in for the states themselves."""

import pandas as pd
from fourier_addition.capture.dataset import open_capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of

if "snakemake" not in globals():
    snakemake = mock_snakemake("helix_patch", run="mini.finetuned.seed0")

with job(snakemake):
    from fourier_addition.ablation.helix_patch import helix_patches, targets_of
    from fourier_addition.analysis.helix import HelixSettings
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The captured states, and the model that they are of
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params, numbers = snakemake.params, snakemake.params.numbers
    capture = open_capture([directory_of(path, ".zarr") for path in snakemake.input.captures])
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **params.weights)
    space = tokenizer_number_space(view.tokenizer, numbers["answer"]).first(numbers["numbers"])

    # Every captured example's prompt, and which of them are patched
    examples = pd.read_parquet(snakemake.input.dataset).set_index("example")
    encoded = view.encode(examples.loc[capture["dataset_example"].values, "prompt"].tolist())
    answers, templates = capture["answer"].values, capture["template"].values
    targets = targets_of(
        encoded, answers, templates, most=params.analysis["helix_patched"], seed=params.analysis["seed"]
    )

    # One state in memory at a time
    residual = capture["residual"].transpose("state", "example", "feature")
    table = helix_patches(
        view,
        (residual.isel(state=state).values for state in range(residual.sizes["state"])),
        targets,
        answers,
        templates,
        space.ids,
        HelixSettings.of(params.analysis),
        batch_size=params.batch_size,
    )
    write_parquet(table, snakemake.output.patches)
