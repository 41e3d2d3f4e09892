"""Make a task's examples: pairs, templates, splits."""

from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.tasks import Task, dataset

if "snakemake" not in globals():
    snakemake = mock_snakemake("dataset", task="addition-50")

with job(snakemake) as log:
    name = snakemake.wildcards.task
    task = Task.from_config(name, snakemake.params.task)
    table = dataset(task)
    log.info("%s: %s", name, table["split"].value_counts().to_dict())
    write_parquet(table, snakemake.output[0])
