"""Phases of chosen periods turned by numbers at every place: what happens to the answers, beside controls."""

import pandas as pd
from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("steer", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.ablation.outcomes import write_outcomes
    from fourier_addition.ablation.places import Chosen, drawn_rows
    from fourier_addition.ablation.run import run_conditions
    from fourier_addition.ablation.steering import (
        chosen_block,
        dose_response,
        moves,
        over_doses,
        steering_conditions,
    )
    from fourier_addition.fourier import fourier_basis
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The examples, and the model
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params, settings, seed = snakemake.params, snakemake.params.settings, snakemake.params.seed
    examples = of_split(pd.read_parquet(snakemake.input.dataset), settings["split"])
    examples = examples.iloc[drawn_rows(len(examples), settings["examples"], seed)]
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **params.weights)
    view.on_one_device("Interventions")
    space = tokenizer_number_space(view.tokenizer, params.numbers["answer"]).first(params.numbers["numbers"])

    # Every turn and control at every place
    rows = view.module_unembedding(space.ids, settings["norm"]).cpu().numpy()
    chosen = Chosen.of(rows, fourier_basis(space.size, settings["basis"]), settings)
    given = {name: settings[name] for name in ("deltas", "layers", "draws", "phase_draws")}
    conditions = steering_conditions(chosen, view.n_layers, **given, seed=seed)
    log.info("%d conditions x %d examples", len(conditions), len(examples))
    outcomes = run_conditions(
        view,
        view.encode(examples["prompt"].tolist()),
        space.ids,
        conditions,
        answers=examples["answer"].to_numpy(),
        batch_size=settings["batch_size"],
        progress=lambda done, total: log.info("%d of %d predictions", done, total),
    )

    # What happened to the answers
    counted = {"numbers": space.size} | {name: settings[name] for name in ("modulus", "equally_near")}
    drawn = {"seed": seed, "resamples": settings["bootstrap"]}
    doses = dose_response(outcomes, **counted, **drawn)
    block, _ = chosen_block(doses, view.n_layers, settings["modulus"])
    write_parquet(doses, snakemake.output.doses)
    write_parquet(
        over_doses(outcomes, doses, n_layers=view.n_layers, **counted, **drawn), snakemake.output.places
    )
    write_parquet(moves(outcomes, block), snakemake.output.moves)
    arrays = write_outcomes(outcomes, examples, snakemake.output.store)
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
