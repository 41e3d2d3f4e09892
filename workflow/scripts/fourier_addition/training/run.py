"""One training job: a run's seeds from their start to their checkpoints."""

from __future__ import annotations

import json
import logging
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.files.manifests import sha256_file, write_manifest
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import replacing, write_json
from fourier_addition.models import ModelView
from fourier_addition.models.quiet import quiet
from fourier_addition.training.batches import Lines, lines_of
from fourier_addition.training.evaluation import evaluate
from fourier_addition.training.history import best_in_words
from fourier_addition.training.learners import Learner
from fourier_addition.training.loop import fit
from fourier_addition.training.settings import TrainingSettings
from fourier_addition.training.start import Start, start_model

logger = logging.getLogger(__name__)

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class SeedFiles:
    """One seed of a run and the paths that its training writes.

    name: the run's with its seed, as the history has it. checkpoint: directory of the weights.
    manifest: JSON file that describes the checkpoint. history: Parquet file, one row an evaluation.
    accuracy: JSON file, split -> what `evaluate` found after training. kept, kept_manifest: directory of
    the weights at chosen epochs and its manifest; None where none are kept.
    """

    name: str
    seed: int
    checkpoint: str
    manifest: str
    history: str
    accuracy: str
    kept: str | None = None
    kept_manifest: str | None = None


@dataclass(frozen=True)
class TrainingJob:
    """What a job trains, from what, and what it writes.

    start: what the weights start from. settings: how they train. seeds: the seeds that train side by
    side, one or several. dataset: Parquet file with the columns prompt, answer, split.
    device: `cpu` or `cuda`, or one GPU (`cuda:1`). facts: the provenance that the manifests hold;
    its params, inputs and device tell whether a saved state is of this job. keep: epochs after which each
    seed's weights are kept, 0 for the start.
    """

    start: Start
    settings: TrainingSettings
    seeds: tuple[SeedFiles, ...]
    dataset: str
    device: str
    facts: Mapping[str, Any]
    keep: tuple[int, ...] = ()

    def to_json(self) -> str:
        """The job as text, for another process."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str) -> TrainingJob:
        """The job that `to_json` wrote."""
        fields = json.loads(text)
        return cls(
            start=Start(**fields.pop("start")),
            settings=TrainingSettings.of(fields.pop("settings")),
            seeds=tuple(SeedFiles(**each) for each in fields.pop("seeds")),
            keep=tuple(fields.pop("keep")),
            **fields,
        )

    @property
    def state_file(self) -> Path:
        """Where the job keeps its state until it is done."""
        return Path(self.seeds[0].history).with_suffix(".state")


def train_run(job: TrainingJob) -> None:
    """Train every seed of a job and write what each leaves.

    Raises UserError as `start_model` and `fit` do.
    """
    # Every seed from a start of its own; the lines are the same for all.
    views, number_ids = start_seeds(job)
    examples = pd.read_parquet(job.dataset)
    lines = {split: lines_of(views[0], examples, split) for split in SPLITS}

    # Of several processes that train together, the first one reports and writes.
    first = int(os.environ.get("RANK", "0")) == 0
    histories = fit(
        views,
        lines["train"],
        lines["validation"],
        number_ids,
        job.settings,
        seeds=[each.seed for each in job.seeds],
        state_file=job.state_file,
        identity={key: job.facts[key] for key in ("params", "inputs", "device")},
        on_epoch=_report if first else lambda seed, row: None,
        keep=partial(_keep, job, views),
    )
    if not first:
        return

    # The state goes last: a job that is killed while it writes goes on from its last state.
    for view, files, history in zip(views, job.seeds, histories, strict=True):
        logger.info("seed %d: %s", files.seed, best_in_words(history, job.settings.keep))
        write_seed(files, view, history, lines, number_ids, job.facts)
    job.state_file.unlink(missing_ok=True)

    # Without the state a killed job trains anew, and keeps all weights anew.
    for files in job.seeds:
        if files.kept:
            _put_kept_in_place(files, job.keep, job.facts)


def start_seeds(job: TrainingJob) -> tuple[list[ModelView], np.ndarray]:
    """The model of each seed before training, and the token ids of the numbers, (number,)."""
    starts = [start_model(job.start, seed=files.seed, device=job.device) for files in job.seeds]
    return [view for view, _ in starts], starts[0][1].ids


def write_seed(
    files: SeedFiles,
    view: ModelView,
    history: pd.DataFrame,
    lines: Mapping[str, Lines],
    number_ids: np.ndarray,
    facts: Mapping[str, Any],
) -> None:
    """Write what one seed leaves: history, accuracy by split, checkpoint and its manifest."""
    accuracy = {split: evaluate(view, lines[split], number_ids) for split in ("validation", "test")}
    logger.info("seed %d, test: %s", files.seed, accuracy["test"])
    write_parquet(history.assign(run=files.name, seed=files.seed), files.history)
    write_json(accuracy, files.accuracy)

    # The manifest goes last: where it stands, the checkpoint is whole.
    with replacing(files.checkpoint) as temporary, quiet():
        view.save(temporary)
    weights = sha256_file(Path(files.checkpoint) / "model.safetensors")
    provenance = {**facts, "weights_sha256": weights, "seed": files.seed}
    write_manifest(files.manifest, files.checkpoint, provenance=provenance)


def _keep(job: TrainingJob, views: Sequence[ModelView], epoch: int, learner: Learner) -> None:
    """Save the weights of every seed beside the job's state, where the epoch is to be kept."""
    if epoch not in job.keep:
        return
    with learner.whole():
        for view, files in zip(views, job.seeds, strict=True):
            with replacing(_kept_so_far(files) / f"epoch-{epoch}") as temporary, quiet():
                view.save(temporary)


def _kept_so_far(files: SeedFiles) -> Path:
    """Where a seed's kept weights lie until the job is done: a killed job finds them there."""
    return Path(files.history).with_suffix(".kept")


def _put_kept_in_place(files: SeedFiles, epochs: Sequence[int], facts: Mapping[str, Any]) -> None:
    """Give the kept weights their place, and a manifest. What an earlier job left beside them goes."""
    assert files.kept is not None and files.kept_manifest is not None
    so_far = _kept_so_far(files)
    with replacing(files.kept) as temporary:
        temporary.mkdir()
        for epoch in epochs:
            shutil.move(so_far / f"epoch-{epoch}", temporary)
    shutil.rmtree(so_far)
    write_manifest(files.kept_manifest, files.kept, provenance={**facts, "seed": files.seed})


def _report(seed: int, row: Mapping[str, float]) -> None:
    logger.info(
        "seed %d, epoch %d: train loss %.4f, validation loss %.4f, exact %.4f, within 2 %.4f, within 10 %.4f",
        *(seed, row["epoch"], row["train_loss"], row["validation_loss"]),
        *(row["accuracy"], row["within_2"], row["within_10"]),
    )
