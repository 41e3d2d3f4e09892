"""Train one run: a model, a start, a task, with one seed or with all of them side by side."""

from typing import Any

from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("train", run="mini.finetuned.seed0")


def each(paths: Any) -> list[Any]:
    """Paths of every seed; None for each where a run has no such output."""
    return [paths] if isinstance(paths, str) else [path and str(path) for path in paths]


with job(snakemake):
    from fourier_addition.training.launch import launch
    from fourier_addition.training.run import SeedFiles, TrainingJob, train_run
    from fourier_addition.training.settings import TrainingSettings
    from fourier_addition.training.start import Start

    inputs, outputs, params = snakemake.input, snakemake.output, snakemake.params
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    run, donor = dict(params.run), inputs.get("donor")

    start = Start(
        model=directory_of(inputs.model),
        start=run["start"],
        form=params.answer,
        numbers=params.numbers,
        embedding=run.get("embedding"),
        donor=directory_of(donor) if donor else None,
        frozen=run["frozen_embedding"],
        tied=run.get("tied_embedding"),
        dropout=run.get("dropout"),
    )
    by_seed = zip(
        params.names,
        params.seeds,
        each(outputs.directory),
        each(outputs.manifest),
        each(outputs.history),
        each(outputs.accuracy),
        each(outputs.get("kept", [None] * len(params.seeds))),
        each(outputs.get("kept_manifest", [None] * len(params.seeds))),
        strict=True,
    )
    described = TrainingJob(
        start=start,
        settings=TrainingSettings.of(run),
        seeds=tuple(SeedFiles(*of_seed) for of_seed in by_seed),
        dataset=str(inputs.dataset),
        device=device,
        facts=provenance(snakemake, device=device),
        keep=tuple(run.get("keep_checkpoints", ())),
    )
    if run["processes"] == 1:
        train_run(described)
    else:
        launch(described, run["processes"])
