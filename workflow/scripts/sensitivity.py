"""Table 1 under every reading of what the paper leaves open, and which conclusions hold."""

from dataclasses import replace

import pandas as pd
from fourier_addition.analysis.prompted import prompted_examples
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of
from fourier_addition.tasks import Task, of_split, question

if "snakemake" not in globals():
    snakemake = mock_snakemake("sensitivity", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.ablation.sensitivity import Examples, sensitivity, tables_by_reading
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The model, and the readings to go over
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params, settings = snakemake.params, snakemake.params.settings
    dataset = pd.read_parquet(snakemake.input.dataset)
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **snakemake.params.weights)
    view.on_one_device("Filters")
    task = Task.from_config(params.task_name, params.task)
    grid = {name: list(values) for name, values in settings["grid"].items()}
    grid["answer"] = grid["answer"] or [task.answer]

    def in_form(form: str) -> Examples:
        """The same examples with the answer's token in one form."""
        asked = replace(task, answer=form)
        prompts = [question(asked, row.template, row.a, row.b) for row in dataset.itertuples()]
        table = dataset.assign(prompt=prompts)
        if params.shots is not None:
            table, _ = prompted_examples(table, form=form, **params.shots)
        examples = of_split(table, settings["split"])
        space = tokenizer_number_space(view.tokenizer, form).first(task.numbers)
        return Examples(view.encode(examples["prompt"].tolist()), examples["answer"].to_numpy(), space.ids)

    # Table 1 in every reading, and what follows from each
    tables = tables_by_reading(
        view,
        {form: in_form(form) for form in grid["answer"]},
        grid,
        tau=params.tau,
        batch_size=settings["batch_size"],
        seed=params.seed,
        resamples=settings["bootstrap"],
        progress=lambda done, total: log.info("%d of %d predictions", done, total),
    )
    rows, conclusions = sensitivity(tables, unharmed=settings["unharmed"], harmed=settings["harmed"])
    write_parquet(rows, snakemake.output.tables)
    write_parquet(conclusions, snakemake.output.conclusions)
