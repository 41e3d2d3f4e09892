"""Bands of two prompts exchanged at every place: whose residue and whose magnitude the answer has."""

import pandas as pd
from fourier_addition.files.manifests import write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("exchange", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.ablation.exchange import exchange_conditions, exchange_table, run_exchange
    from fourier_addition.ablation.outcomes import write_outcomes
    from fourier_addition.ablation.places import Chosen, drawn_rows
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

    # Every exchange and control at every place
    rows = view.module_unembedding(space.ids, settings["norm"]).cpu().numpy()
    chosen = Chosen.of(rows, fourier_basis(space.size, settings["basis"]), settings)
    given = {"tau": params.tau, "cut": params.cut, "seed": seed}
    given |= {name: settings[name] for name in ("layers", "draws", "phase_draws")}
    found = run_exchange(
        view,
        view.encode(examples["prompt"].tolist()),
        space.ids,
        examples["answer"].to_numpy(),
        lambda source: exchange_conditions(chosen, view.n_layers, source, **given),
        modulus=settings["modulus"],
        seed=seed,
        batch_size=settings["batch_size"],
        progress=lambda done, total: log.info("%d of %d predictions", done, total),
    )
    log.info("%d of %d examples have a source", len(found.rows), len(examples))

    # Whose residue and whose magnitude the answers have
    table = exchange_table(
        found.outcomes,
        found.own,
        found.source,
        modulus=settings["modulus"],
        equally_near=settings["equally_near"],
        numbers=space.size,
        seed=seed,
        resamples=settings["bootstrap"],
    )
    write_parquet(table, snakemake.output.table)
    arrays = write_outcomes(found.outcomes, examples.iloc[found.rows], snakemake.output.store)
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
