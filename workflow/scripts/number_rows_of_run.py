"""Number rows of a trained run's embeddings, and the running example's logits."""

from fourier_addition.files.manifests import read_json, write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import Task, question

if "snakemake" not in globals():
    snakemake = mock_snakemake("number_rows_of_run", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.capture.example import running_example
    from fourier_addition.capture.number_rows import write_number_rows
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The trained model and its numbers
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    numbers = snakemake.params.numbers
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **snakemake.params.weights)
    space = tokenizer_number_space(view.tokenizer, numbers["answer"]).first(numbers["numbers"])

    # The running example, with the solved examples of a prompted run before it
    task = Task.from_config(snakemake.params.task_name, snakemake.params.task)
    a, b = snakemake.params.task["running_example"]
    shots = snakemake.input.get("shots")
    prompt = (read_json(shots)["prefix"] if shots else "") + question(task, len(task.templates) - 1, a, b)
    log.info("running example: %r", prompt)
    example = running_example(view, prompt, space.ids, norm=snakemake.params.norm)
    write_parquet(example.assign(a=a, b=b, answer=int(task.apply(a, b))), snakemake.output.example)

    # The number rows
    arrays = write_number_rows(view, space.ids, snakemake.output.store)
    write_manifest(
        snakemake.output.manifest,
        snakemake.output.store,
        provenance=provenance(snakemake, device=device),
        arrays=arrays,
    )
