"""Train one run: a model, a start, a task, with one seed or with all of them side by side."""

from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("train", run="mini.finetuned.seed0")


def each(paths: object) -> list[str]:
    """Paths of every seed."""
    return [paths] if isinstance(paths, str) else list(map(str, paths))


with job(snakemake):
    from fourier_addition.training.run import launch, train_run

    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    run, donor = dict(snakemake.params.run), snakemake.input.get("donor")
    described = {
        "model": directory_of(snakemake.input.model),
        "donor": directory_of(donor) if donor else None,
        "run": run,
        "names": snakemake.params.names,
        "seeds": snakemake.params.seeds,
        "answer": snakemake.params.answer,
        "numbers": snakemake.params.numbers,
        "dataset": str(snakemake.input.dataset),
        "directories": each(snakemake.output.directory),
        "manifests": each(snakemake.output.manifest),
        "histories": each(snakemake.output.history),
        "accuracies": each(snakemake.output.accuracy),
        "device": device,
        "facts": provenance(snakemake, device=device),
    }
    if run["processes"] == 1:
        train_run(described)
    else:
        launch(described, run["processes"])
