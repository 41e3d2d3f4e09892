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
    from fourier_addition.ablation.places import Chosen, drawn_rows, places
    from fourier_addition.ablation.probe_planes import circles_with_controls
    from fourier_addition.ablation.run import run_conditions
    from fourier_addition.ablation.sources import record_states
    from fourier_addition.ablation.steering import (
        chosen_block,
        dose_response,
        moves,
        over_doses,
        steering_conditions,
    )
    from fourier_addition.fourier import fourier_basis
    from fourier_addition.models import load_model
    from fourier_addition.modules import RESIDUAL
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
    circles = None
    if params.probes:
        # The circles that probes find after each block, fitted to the training split
        train = of_split(pd.read_parquet(snakemake.input.dataset), "train")
        train = train.iloc[drawn_rows(len(train), settings["examples"], seed)]
        at = [
            (name, *layers) for name, layers in places(view.n_layers, settings["layers"]) if name == RESIDUAL
        ]
        prompts = view.encode(train["prompt"].tolist())
        recorded = record_states(view, prompts, at, settings["batch_size"], space.size)
        circles = circles_with_controls(
            {block: states.float().numpy() for (_, block), states in recorded.states.items()},
            train["answer"].to_numpy(),
            chosen.planes,
            draws=settings["draws"],
            seed=seed,
            **params.probes,
        )
    conditions = steering_conditions(chosen, view.n_layers, **given, seed=seed, circles=circles)
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
