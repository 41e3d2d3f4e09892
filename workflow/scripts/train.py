"""Train one run with one seed: a model, a start, a task."""

from dataclasses import fields
from pathlib import Path

import pandas as pd
from fourier_addition.job import job, mock_snakemake, pick_device
from fourier_addition.provenance import directory_of, provenance
from fourier_addition.storage import (
    replacing,
    sha256_file,
    write_json,
    write_manifest,
    write_parquet,
)

if "snakemake" not in globals():
    snakemake = mock_snakemake("train", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.models.quiet import quiet
    from fourier_addition.starts import start_model
    from fourier_addition.training import LengthBuckets, TrainingSettings, evaluate, fit, lines_of

    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    run, seed = dict(snakemake.params.run), snakemake.params.seed
    names = {field.name for field in fields(TrainingSettings)}
    chosen = {key: tuple(value) if key == "betas" else value for key, value in run.items() if key in names}
    settings = TrainingSettings(**chosen, seed=seed)
    view, space = start_model(
        directory_of(snakemake.input.model),
        start=run["start"],
        embedding=run.get("embedding"),
        frozen=run["frozen_embedding"],
        form=snakemake.params.answer,
        numbers=snakemake.params.numbers,
        seed=seed,
        device=device,
    )
    examples = pd.read_parquet(snakemake.input.dataset)

    def report(row: dict) -> None:
        log.info(
            "epoch %(epoch)d: train loss %(train_loss).4f, validation loss %(validation_loss).4f, "
            "exact %(accuracy).4f, within 2 %(within_2).4f, within 10 %(within_10).4f",
            row,
        )

    state = Path(snakemake.output.history).with_suffix(".state")
    facts = provenance(snakemake, device=device)
    history = fit(
        view,
        lines_of(view, examples, "train"),
        lines_of(view, examples, "validation"),
        space.ids,
        settings,
        state_file=state,
        identity={key: facts[key] for key in ("params", "inputs", "device")},
        on_epoch=report,
    )
    accuracy = {
        split: evaluate(view, LengthBuckets(lines_of(view, examples, split), view.device), space.ids)
        for split in ("validation", "test")
    }
    log.info("test: %s", accuracy["test"])
    write_parquet(history.assign(run=snakemake.wildcards.run, seed=seed), snakemake.output.history)
    write_json(accuracy, snakemake.output.accuracy)
    with replacing(snakemake.output.directory) as temporary, quiet():
        view.save(temporary)
    weights = sha256_file(Path(snakemake.output.directory) / "model.safetensors")
    facts |= {"weights_sha256": weights, "seed": seed}
    write_manifest(snakemake.output.manifest, snakemake.output.directory, provenance=facts)
    state.unlink(missing_ok=True)
