"""Put the same solved examples before every prompt of a task."""

import pandas as pd
from fourier_addition.analysis.prompted import prompted_examples
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import write_json
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake

if "snakemake" not in globals():
    snakemake = mock_snakemake("solved_examples", run="gpt2.4shot.seed0")

with job(snakemake) as log:
    table, facts = prompted_examples(
        pd.read_parquet(snakemake.input.dataset), form=snakemake.params.answer, **snakemake.params.shots
    )
    log.info("before every prompt: %r", facts["prefix"])
    write_parquet(table, snakemake.output.prompts)
    write_json(facts, snakemake.output.shots)
