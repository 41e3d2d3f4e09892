"""Heads and neurons of a run: what each writes, what neurons follow, and what is lost without them."""

import pandas as pd
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of
from fourier_addition.tasks import of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("units", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.ablation.unit_study import unit_study
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The examples, the model and its numbers
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params, settings = snakemake.params, snakemake.params.settings
    examples = of_split(pd.read_parquet(snakemake.input.dataset), settings["split"])
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **params.weights)
    view.on_one_device("Heads and neurons")
    space = tokenizer_number_space(view.tokenizer, params.numbers["answer"]).first(params.numbers["numbers"])

    # The study, and its tables
    tables = unit_study(
        view,
        view.encode(examples["prompt"].tolist()),
        examples["answer"].to_numpy(),
        space.ids,
        settings,
        params.analysis,
        params.tau,
        shared_prefix=params.shared_prefix,
        progress=lambda done, total: log.info("%d of %d layers", done, total),
    )
    for name, table in tables.items():
        write_parquet(table, snakemake.output[name])
