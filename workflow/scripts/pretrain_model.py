"""Pre-train a miniature model on generated number text."""

from pathlib import Path

from fourier_addition.files.manifests import read_manifest, sha256_file, write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.training.number_text import corpus, packed

if "snakemake" not in globals():
    snakemake = mock_snakemake("pretrain_model", model="mini")

with job(snakemake) as log:
    from fourier_addition.models import scratch_model
    from fourier_addition.training.pretraining import fit_text
    from fourier_addition.training.settings import TrainingSettings

    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    text = snakemake.params.pretraining

    # Random weights in the shape that the blank model has
    view = scratch_model(directory_of(snakemake.input.blank), seed=text["seed"], device=device)

    # The text, in lines of one length
    wanted = text["steps"] * text["batch_size"]
    # No kind of sentence is shorter than 4 tokens, so this many always fill the lines.
    sentences = corpus(
        wanted * text["line"] // 4 + 1, text["numbers"], text["mixture"], text["counting_steps"], text["seed"]
    )
    lines = packed(sentences, view.tokenizer, text["line"], wanted)
    settings = TrainingSettings(
        epochs=1,
        learning_rate=text["learning_rate"],
        batch_size=text["batch_size"],
        loss_on="line",
        loss_over="vocabulary",
    )
    state = Path(snakemake.output.history).with_suffix(".state")
    log.info("%d parameters, %d lines", sum(p.numel() for p in view.model.parameters()), len(lines))

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            log.info("step %d of %d, loss %.4f", step, text["steps"], loss)

    blank = read_manifest(snakemake.input.blank)["digest"]
    identity = {"params": dict(snakemake.params.items()), "blank": blank, "device": device}
    history = fit_text(
        view, lines, settings, seed=text["seed"], state_file=state, identity=identity, on_step=report
    )
    write_parquet(history, snakemake.output.history)
    with replacing(snakemake.output.directory) as temporary:
        view.save(temporary)
    weights = sha256_file(Path(snakemake.output.directory) / "model.safetensors")
    facts = provenance(snakemake, device=device, weights_sha256=weights, seed=text["seed"])
    write_manifest(snakemake.output.manifest, snakemake.output.directory, provenance=facts)
    state.unlink(missing_ok=True)
