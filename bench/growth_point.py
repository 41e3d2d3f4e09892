"""One point of a curve of bench_growth.py, in a process of its own, as a job is.

Reads what to run as JSON on standard input: a stage, a configuration and what is repeated. Runs the stage's
own functions on a random-weight GPT-2 of the configuration and answers with the processor seconds of every
repeat, the peak memory, and what `pipeline/sizing` says of the same job.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

import pandas as pd
import torch
from ablation_contestant import peak_memory
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.study import study_conditions
from fourier_addition.analysis.prompted import prompted_examples
from fourier_addition.capture.record import capture
from fourier_addition.files.parquet import write_parquet
from fourier_addition.fourier import fourier_basis
from fourier_addition.models import ModelView, wrap
from fourier_addition.models.miniature import miniature
from fourier_addition.numbers import tokenizer_number_space
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.names import task_of, tau_of
from fourier_addition.pipeline.sizing.machine import Estimate, Machine, is_cuda_build
from fourier_addition.pipeline.sizing.model_jobs import (
    ablation_estimate,
    capture_estimate,
    training_estimate,
)
from fourier_addition.tasks import dataset
from fourier_addition.training.number_text import numeral_tokenizer
from fourier_addition.training.run import SeedFiles, TrainingJob, train_run
from fourier_addition.training.settings import TrainingSettings
from fourier_addition.training.start import Start

RUN = "run"
FACTS: Mapping[str, Any] = {"params": {}, "inputs": {}, "device": "cpu"}
"""What a manifest says of a training, of which a saved state is looked for."""
Config = Mapping[str, Any]
Repeat = Callable[[int], None]


def model_of(config: Config) -> ModelView:
    """The configuration's model with random weights."""
    numbers = config["pretraining"]["numerals"]["numbers"]
    tokenizer = numeral_tokenizer(numbers)
    return wrap(miniature(config["models"]["mini"]["architecture"], tokenizer, 0), tokenizer)


def prompts_of(config: Config, count: int) -> pd.DataFrame:
    """The first examples of the run's task, with its solved examples in front."""
    run = config["runs"][RUN]
    examples = dataset(task_of(config, run["task"]))
    if "shots" in run:
        answer = config["tasks"][run["task"]]["answer"]
        examples, _ = prompted_examples(
            examples, shots=run["shots"], seed=0, form=answer, separator=run["separator"]
        )
    if count > len(examples):
        raise SystemExit(f"The task has {len(examples)} examples, not {count}.")
    return examples.iloc[:count]


def captured(config: Config, count: int, folder: Path) -> Repeat:
    """A capture as the rule makes it."""
    view, settings, examples = model_of(config), config["capture"], prompts_of(config, count)
    numbers = task_of(config, config["runs"][RUN]["task"]).numbers
    ids = tokenizer_number_space(view.tokenizer, "bare").first(numbers).ids

    def repeat(number: int) -> None:
        capture(
            view,
            examples["prompt"].tolist(),
            examples[["a", "b", "answer"]],
            ids,
            folder / f"{number}.zarr",
            batch_size=settings["batch_size"],
            block=settings["block"],
            dtype=settings["dtype"],
            shared_prefix=int("shots" in config["runs"][RUN]),
        )

    return repeat


def filtered(config: Config, count: int, folder: Path) -> Repeat:
    """Every condition of an ablation, without the summary's intervals."""
    view, settings, examples = model_of(config), config["ablations"], prompts_of(config, count)
    analysis, numbers = config["analysis"], task_of(config, config["runs"][RUN]["task"]).numbers
    ids = tokenizer_number_space(view.tokenizer, "bare").first(numbers).ids

    def repeat(number: int) -> None:
        rows = view.module_unembedding(ids, analysis["norm"]).cpu().numpy()
        bank = FilterBank(rows, fourier_basis(numbers, analysis["basis"]))
        run_conditions(
            view,
            view.encode(examples["prompt"].tolist()),
            ids,
            study_conditions(
                bank, view.n_layers, settings, tau=tau_of(config, numbers), cut=analysis["cut"], seed=0
            ),
            answers=examples["answer"].to_numpy(),
            batch_size=settings["batch_size"],
        )

    return repeat


def trained(config: Config, count: int, folder: Path) -> Repeat:
    """A training job from saved weights to its checkpoint and scores."""
    run = config["runs"][RUN]
    task = task_of(config, run["task"])
    model_of(config).save(folder / "model")
    write_parquet(dataset(task), folder / "dataset.parquet")
    start = Start(model=str(folder / "model"), start="scratch", form=task.answer, numbers=task.numbers)

    def repeat(number: int) -> None:
        place = folder / f"train-{number}"
        place.mkdir()
        files = [str(place / name) for name in ("checkpoint", "checkpoint.json", "history.parquet")]
        seed = SeedFiles(RUN, 0, *files, str(place / "accuracy.json"))
        train_run(
            TrainingJob(
                start, TrainingSettings.of(run), (seed,), str(folder / "dataset.parquet"), "cpu", FACTS
            )
        )

    return repeat


STAGES = {"capture": captured, "ablation": filtered, "training": trained}


def predicted(stage: str, config: Config, count: int) -> Estimate:
    """What sizing expects of the job on one thread here, without the minute in which a job starts."""
    machine = Machine(gpu=False, cuda_build=is_cuda_build(), startup=0.0)
    if stage == "training":
        return training_estimate(config, RUN, machine)
    estimate = capture_estimate if stage == "capture" else ablation_estimate
    return estimate(config, RUN, count, machine)


def main() -> None:
    """Run one point."""
    given = json.load(sys.stdin)
    # Libraries print notices; the parent's channel must hold nothing else.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    torch.set_num_threads(1)
    config = validated(given["config"])
    with tempfile.TemporaryDirectory() as directory:
        repeat = STAGES[given["stage"]](config, given["examples"], Path(directory))
        seconds = []
        for number in range(given["repeats"]):
            start = time.process_time()
            repeat(number)
            seconds.append(time.process_time() - start)
    expected = predicted(given["stage"], config, given["examples"])
    found = {"seconds": seconds, "host_mb": peak_memory() / 1e6}
    found |= {"predicted_seconds": 60 * expected.minutes, "predicted_host_mb": expected.host}
    print(json.dumps(found | {"asked": expected.resources()}), file=channel)


if __name__ == "__main__":
    main()
