"""Progress measures of a run: losses and spectra at every epoch whose weights were kept."""

import pandas as pd
from fourier_addition.files.parquet import write_parquet
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of
from fourier_addition.tasks import of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("progress", run="mini.finetuned.seed0")

with job(snakemake) as log:
    from fourier_addition.analysis.progress import progress_losses, progress_spectra
    from fourier_addition.capture.summed import summed_outputs
    from fourier_addition.fourier import fourier_basis
    from fourier_addition.models import load_model
    from fourier_addition.numbers import tokenizer_number_space

    # The same examples of each split at every epoch
    params, analysis = snakemake.params, snakemake.params.analysis
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    examples = pd.read_parquet(snakemake.input.dataset)
    most = analysis["progress_examples"]
    chosen = {}
    for split in dict.fromkeys(("train", params.split)):
        rows = of_split(examples, split)
        few = most and most < len(rows)
        chosen[split] = rows.sample(most, random_state=analysis["seed"]) if few else rows

    bands = {"key": analysis["progress_periods"], "control": analysis["progress_controls"]}
    losses, spectra = [], []
    for epoch in params.epochs:
        # The model as it was after this epoch
        view = load_model(f"{directory_of(snakemake.input.kept)}/epoch-{epoch}", device=device)
        space = tokenizer_number_space(view.tokenizer, params.numbers["answer"])
        ids = space.first(params.numbers["numbers"]).ids
        basis = fourier_basis(len(ids), analysis["basis"])

        # Losses on each split; spectra on the one that is held out
        for split, rows in chosen.items():
            sums, logits = summed_outputs(view, rows["prompt"].tolist(), ids, batch_size=params.batch_size)
            table = progress_losses(logits, rows["answer"].to_numpy(), bands, basis)
            losses.append(table.assign(epoch=epoch, split=split))
        unembedding = view.module_unembedding(ids, analysis["norm"]).cpu().numpy()
        sources = {module: values @ unembedding.T for module, values in sums.items()} | {"final": logits}
        embedding = view.input_embedding(ids).cpu().numpy()
        found = progress_spectra(embedding, sources, bands, basis, analysis)
        spectra.append(found.assign(epoch=epoch))
        log.info("epoch %d done", epoch)

    write_parquet(pd.concat(losses, ignore_index=True), snakemake.output.losses)
    write_parquet(pd.concat(spectra, ignore_index=True), snakemake.output.spectra)
