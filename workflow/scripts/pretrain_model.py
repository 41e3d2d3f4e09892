"""Pre-train a miniature model on generated number text."""

from pathlib import Path

from fourier_addition.files.manifests import sha256_file, write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import provenance
from fourier_addition.training.number_text import corpus, numeral_tokenizer, packed

if "snakemake" not in globals():
    snakemake = mock_snakemake("pretrain_model", model="mini")

with job(snakemake) as log:
    from fourier_addition.models import wrap
    from fourier_addition.models.miniature import miniature
    from fourier_addition.training.pretraining import fit_text
    from fourier_addition.training.settings import TrainingSettings

    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    text = snakemake.params.pretraining
    tokenizer = numeral_tokenizer(text["numbers"])
    wanted = text["steps"] * text["batch_size"]
    # No kind of sentence is shorter than 4 tokens, so this many always fill the lines.
    sentences = corpus(
        wanted * text["line"] // 4 + 1, text["numbers"], text["mixture"], text["counting_steps"], text["seed"]
    )
    lines = packed(sentences, tokenizer, text["line"], wanted)
    settings = TrainingSettings(
        epochs=1,
        learning_rate=text["learning_rate"],
        batch_size=text["batch_size"],
        loss_on="line",
        loss_over="vocabulary",
    )
    view = wrap(miniature(snakemake.params.architecture, tokenizer, text["seed"]).to(device), tokenizer)
    state = Path(snakemake.output.history).with_suffix(".state")
    log.info("%d parameters, %d lines", sum(p.numel() for p in view.model.parameters()), len(lines))

    def report(step: int, loss: float) -> None:
        if step % 50 == 0:
            log.info("step %d of %d, loss %.4f", step, text["steps"], loss)

    identity = {"params": dict(snakemake.params.items()), "device": device}
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
