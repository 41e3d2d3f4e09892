"""Let a model answer the test prompts of a prompted run, and read its answers as numbers."""

import pandas as pd
from fourier_addition.analysis.mistakes import error_counts
from fourier_addition.analysis.prompted import (
    accuracy_entry,
    answer_summary,
    answer_table,
)
from fourier_addition.answers import number_complete
from fourier_addition.files.manifests import read_json
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import write_json
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job, progress
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import answer_tokens, of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("prompt", run="gpt2.4shot.seed0")

with job(snakemake) as log:
    from fourier_addition.models import greedy_texts, load_model

    # What the model writes after each test prompt
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params = snakemake.params
    examples = of_split(pd.read_parquet(snakemake.input.prompts), "test")
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **snakemake.params.weights)
    texts = greedy_texts(
        view,
        examples["prompt"].tolist(),
        tokens=params.tokens or answer_tokens(params.largest_answer),
        batch_size=params.batch_size,
        finished=number_complete,
        progress=progress,
    )

    # Its answers as numbers, how often they are right and how they err
    table = answer_table(examples, texts)
    summary = answer_summary(table)
    log.info("%s", summary)
    write_parquet(table, snakemake.output.answers)
    write_parquet(error_counts(table, snakemake.wildcards.run), snakemake.output.errors)
    write_json(
        {
            "run": snakemake.wildcards.run,
            "split": "test",
            "shots": read_json(snakemake.input.shots),
            "summary": summary,
            "provenance": provenance(snakemake, device=device),
        },
        snakemake.output.summary,
    )
    write_json({"test": accuracy_entry(table)}, snakemake.output.accuracy)
