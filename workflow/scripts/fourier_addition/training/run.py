"""One training job: a run's seeds from their start to their checkpoints, in one process or several.

Several processes (`processes`, each with its own GPU) are started by PyTorch's own launcher on this
module, and talk through Accelerate; they compute parts of every batch.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.files.manifests import sha256_file, write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import replacing, write_json
from fourier_addition.models.quiet import quiet
from fourier_addition.training.batches import lines_of
from fourier_addition.training.loop import TrainingSettings, evaluate, fit
from fourier_addition.training.start import start_model

logger = logging.getLogger(__name__)


def settings_of(run: Mapping[str, Any]) -> TrainingSettings:
    """The settings among a run's configuration keys."""
    names = {field.name for field in fields(TrainingSettings)}
    chosen = {key: tuple(value) if key == "betas" else value for key, value in run.items() if key in names}
    return TrainingSettings(**chosen)


def train_run(job: Mapping[str, Any]) -> None:
    """Train every seed of a job and write what it leaves.

    job: model, donor (directories), run (its configuration), names and seeds (of the instances),
    answer, numbers (form and p of the number space), dataset (Parquet file), device, facts
    (provenance), and for each seed a directory, a history, an accuracy, and a manifest to write.
    Raises UserError as `start_model` and `fit` do.
    """
    run, seeds = job["run"], job["seeds"]
    main = int(os.environ.get("RANK", "0")) == 0
    starts = [
        start_model(
            job["model"],
            start=run["start"],
            embedding=run.get("embedding"),
            donor=job["donor"],
            frozen=run["frozen_embedding"],
            tied=run.get("tied_embedding"),
            dropout=run.get("dropout"),
            form=job["answer"],
            numbers=job["numbers"],
            seed=seed,
            device=job["device"],
        )
        for seed in seeds
    ]
    views, ids = [view for view, _ in starts], starts[0][1].ids
    examples = pd.read_parquet(job["dataset"])
    lines = {split: lines_of(views[0], examples, split) for split in ("train", "validation", "test")}

    def report(seed: int, row: dict[str, float]) -> None:
        logger.info(
            "seed %d, epoch %d: train loss %.4f, validation loss %.4f, exact %.4f, within 2 %.4f, "
            "within 10 %.4f",
            *(seed, row["epoch"], row["train_loss"], row["validation_loss"]),
            *(row["accuracy"], row["within_2"], row["within_10"]),
        )

    state = Path(job["histories"][0]).with_suffix(".state")
    histories = fit(
        views,
        lines["train"],
        lines["validation"],
        ids,
        settings_of(run),
        seeds=seeds,
        state_file=state,
        identity={key: job["facts"][key] for key in ("params", "inputs", "device")},
        on_epoch=report if main else lambda seed, row: None,
    )
    if not main:
        return
    for index, (view, seed, name) in enumerate(zip(views, seeds, job["names"], strict=True)):
        accuracy = {split: evaluate(view, lines[split], ids) for split in ("validation", "test")}
        logger.info("seed %d, test: %s", seed, accuracy["test"])
        write_parquet(histories[index].assign(run=name, seed=seed), job["histories"][index])
        write_json(accuracy, job["accuracies"][index])
        directory = job["directories"][index]
        with replacing(directory) as temporary, quiet():
            view.save(temporary)
        weights = sha256_file(Path(directory) / "model.safetensors")
        facts = {**job["facts"], "weights_sha256": weights, "seed": seed}
        write_manifest(job["manifests"][index], directory, provenance=facts)
    state.unlink(missing_ok=True)


def _end_with_the_job() -> None:
    """Ask the kernel to end this process, and it its workers, when the job is killed (Linux only)."""
    with contextlib.suppress(OSError, AttributeError):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def launch(job: Mapping[str, Any], processes: int) -> None:
    """Run a job in several processes. Raises UserError with the sentence of one that failed."""
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "job.json"
        described.write_text(json.dumps(job))
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", "-m", "fourier_addition.training.run", str(described)]
        package = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))
        with subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_end_with_the_job,
        ) as running:
            for line in running.stdout:
                logger.info("%s", line.rstrip())
        if running.returncode:
            sentences = sorted(Path(folder).glob("sentence-*"))
            raise UserError(
                sentences[0].read_text()
                if sentences
                else f"One of {processes} training processes failed; the log has its last words."
            )


def main(described: str) -> None:
    """One of several processes."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    job = json.loads(Path(described).read_text())
    rank = os.environ["RANK"]
    if job["device"] == "cuda":
        job["device"] = f"cuda:{os.environ['LOCAL_RANK']}"
    try:
        train_run(job)
    except UserError as error:
        Path(described).with_name(f"sentence-{rank}").write_text(str(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1])
