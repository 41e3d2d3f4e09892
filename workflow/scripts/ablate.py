"""Filter one run's module outputs under every condition, on one range of operands."""

import pandas as pd
from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import in_digit_range, of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("ablate", run="mini.finetuned.seed0", range="all")

with job(snakemake) as log:
    from fourier_addition.ablation.filter_bank import FilterBank
    from fourier_addition.ablation.outcomes import write_outcomes
    from fourier_addition.ablation.run import run_conditions
    from fourier_addition.ablation.statistics import summary_with_controls
    from fourier_addition.ablation.study import shard_rows, study_conditions, study_predictions
    from fourier_addition.fourier import fourier_basis
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The examples of this range of operands, and the model
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params, settings, analysis = snakemake.params, snakemake.params.settings, snakemake.params.analysis
    examples = of_split(pd.read_parquet(snakemake.input.dataset), settings["split"])
    if params.range is not None:
        examples = examples[in_digit_range(examples, *params.range, snakemake.wildcards.range)]
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **snakemake.params.weights)
    view.on_one_device("Filters")
    space = tokenizer_number_space(view.tokenizer, params.numbers["answer"]).first(params.numbers["numbers"])

    # Every condition of the study
    bank = FilterBank(
        view.module_unembedding(space.ids, analysis["norm"]).cpu().numpy(),
        fourier_basis(space.size, analysis["basis"]),
    )
    conditions = study_conditions(
        bank, view.n_layers, settings, tau=params.tau, cut=analysis["cut"], seed=analysis["seed"]
    )

    # This job's share of the examples, where several jobs share them
    encoded = view.encode(examples["prompt"].tolist())
    part = params.get("part")
    if part:
        rows = shard_rows(encoded, settings["batch_size"], *part)
        examples, encoded = examples.iloc[rows], [encoded[row] for row in rows]

    # Run them, and summarise here where no other job holds a share
    log.info("%d conditions x %d examples", len(conditions), len(examples))
    outcomes = run_conditions(
        view,
        encoded,
        space.ids,
        conditions,
        answers=examples["answer"].to_numpy(),
        batch_size=settings["batch_size"],
        positions=settings["positions"],
        prediction=settings["prediction"],
        progress=lambda done, total: log.info("%d of %d predictions", done, total),
    )
    if part:
        outcomes = outcomes.assign_coords(example=rows)
    arrays = write_outcomes(outcomes, examples, snakemake.output.store)
    if not part:
        table = summary_with_controls(outcomes, seed=analysis["seed"], resamples=settings["bootstrap"])
        write_parquet(table, snakemake.output.summary)
        write_parquet(study_predictions(outcomes, examples), snakemake.output.predictions)
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
