"""Our training loop against Hugging Face Trainer: same model, lines, batches, precision and steps.

Prints steps per second as ratios with their spread over repeats, how far losses and weights are apart,
and the time to 99 % validation accuracy. Nothing is decided by a timing.
"""

from __future__ import annotations

import argparse
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from fourier_addition.files.whole import write_json
from fourier_addition.models import ModelView, load_model, wrap
from fourier_addition.models.miniature import miniature
from fourier_addition.tasks import TEMPLATES, Task, dataset
from fourier_addition.training.batches import LengthBuckets, Lines, lines_of
from fourier_addition.training.evaluation import BATCH_SIZE, measured
from fourier_addition.training.learners import learner_for
from fourier_addition.training.loop import fit
from fourier_addition.training.number_text import numeral_tokenizer
from fourier_addition.training.settings import TrainingSettings

WARM_UP = 3
"""Steps that are not timed."""


def model_of(given: argparse.Namespace, seed: int = 0) -> ModelView:
    """A GPT-2 with random weights, GPT-2's vocabulary and no dropout."""
    tokenizer = numeral_tokenizer(521)
    shape = {"positions": 64, "width": given.width, "layers": given.layers, "heads": given.width // 64}
    model = miniature({**shape, "inner": 0, "dropout": 0.0}, tokenizer, seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model.resize_token_embeddings(given.vocabulary, mean_resizing=False)
    return wrap(model.to(given.device), tokenizer)


def number_ids(view: ModelView, numbers: int) -> np.ndarray:
    """Token ids of 0..numbers-1."""
    return np.array([view.tokenizer.convert_tokens_to_ids(str(n)) for n in range(numbers)])


class TrainerRun:
    """Hugging Face Trainer over the batches of our plan, every label but the wanted ones masked."""

    def __init__(
        self,
        view: ModelView,
        lines: Lines,
        ids: np.ndarray,
        settings: TrainingSettings,
        validate: Callable[[], None] | None = None,
    ) -> None:
        self.view, self.ids, self.settings, self.validate = view, ids, settings, validate
        self.buckets = LengthBuckets(lines, torch.device("cpu"))
        self.times: list[float] = []
        self.losses: list[torch.Tensor] = []

    def batches(self) -> list[dict[str, torch.Tensor]]:
        """What every step reads, without padding."""
        found = []
        for epoch in range(self.settings.epochs):
            for group, rows in self.buckets.plan(self.settings.batch_size, [0], epoch):
                batch = self.buckets.batch(group, rows)
                answers = torch.from_numpy(self.ids)[batch.answers[0]][:, None]
                line = torch.cat([batch.ids[0], answers], dim=1)
                labels = line.clone()
                if self.settings.loss_on == "answer":
                    labels[:, :-1] = -100
                found.append({"input_ids": line, "labels": labels})
        return found

    def run(self, folder: Path) -> None:
        """Train the view's model in place."""
        from transformers import Trainer, TrainerCallback, TrainingArguments

        outer, batches = self, self.batches()

        class Ours(Trainer):
            def get_train_dataloader(self) -> Any:
                return torch.utils.data.DataLoader(batches, batch_size=None, shuffle=False)

            def __init__(self, **settings: Any) -> None:
                super().__init__(**settings)
                # With it Trainer divides by the labels before they are shifted: not quite a mean.
                self.model_accepts_loss_kwargs = False

            def compute_loss(self, *arguments: Any, **more: Any) -> Any:
                loss = super().compute_loss(*arguments, **more)
                outer.losses.append((loss[0] if isinstance(loss, tuple) else loss).detach())
                return loss

        class Clock(TrainerCallback):
            def on_step_end(self, arguments: Any, state: Any, control: Any, **_: Any) -> None:
                _wait(outer.view.device)
                outer.times.append(time.perf_counter())
                if outer.validate and state.global_step % (len(batches) // outer.settings.epochs) == 0:
                    outer.validate()

        arguments = TrainingArguments(
            output_dir=str(folder),
            max_steps=len(batches),
            per_device_train_batch_size=self.settings.batch_size,
            learning_rate=self.settings.learning_rate,
            lr_scheduler_type="linear",
            optim="adamw_torch_fused",
            max_grad_norm=self.settings.clip,
            bf16=self.settings.mixed_precision == "bf16",
            use_cpu=self.view.device.type == "cpu",
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=False,
        )
        trainer = Ours(model=self.view.model, args=arguments, train_dataset=batches, callbacks=[Clock()])
        self.times.append(time.perf_counter())
        trainer.train()


def _wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()


def our_run(
    views: list[ModelView], lines: Lines, held_out: Lines, ids: np.ndarray, settings: TrainingSettings
) -> dict[str, Any]:
    """Times of the steps of `fit`, and its losses."""
    times = []

    def on_step(step: int, steps: int) -> None:
        _wait(views[0].device)
        times.append(time.perf_counter())

    history = fit(views, lines, held_out, ids, settings, seeds=range(len(views)), on_step=on_step)
    return {"times": np.diff(times)[WARM_UP:], "history": history}


def trainer_run(
    view: ModelView, lines: Lines, ids: np.ndarray, settings: TrainingSettings, folder: Path
) -> dict[str, Any]:
    """Times of the steps of Trainer, and its losses."""
    run = TrainerRun(view, lines, ids, settings)
    run.run(folder)
    return {"times": np.diff(run.times)[1 + WARM_UP :], "losses": torch.stack(run.losses).mean().item()}


def compare(given: argparse.Namespace, settings: TrainingSettings, numbers_too: bool, folder: Path) -> dict:
    """Steps per second of Trainer and of our loop, interleaved over repeats."""
    task = Task("sums", "addition", (0, 260), templates=TEMPLATES["addition"])
    examples = dataset(task)
    first = model_of(given)
    ids = number_ids(first, task.numbers)
    count = settings.batch_size * given.steps
    train = lines_of(first, examples, "train")
    if count > len(train):
        count = len(train) // settings.batch_size * settings.batch_size
    lines = Lines(train.encoded[:count], train.answers[:count])
    held_out = lines_of(first, examples.groupby("split").head(32), "validation")
    plain = TrainingSettings(**{**vars(settings)})
    over_numbers = TrainingSettings(**{**vars(settings), "loss_over": "numbers"}) if numbers_too else None
    rates: dict[str, list[float]] = {}
    found: dict[str, Any] = {}
    for _ in range(given.repeats):
        view = model_of(given)
        theirs = trainer_run(view, lines, ids, plain, folder)
        rates.setdefault("Trainer", []).append(1 / np.median(theirs["times"]))
        ours_view = model_of(given)
        ours = our_run([ours_view], lines, held_out, ids, plain)
        rates.setdefault("our loop", []).append(1 / np.median(ours["times"]))
        found["loss_difference"] = abs(ours["history"][0]["train_loss"].iloc[-1] - theirs["losses"])
        found["weight_difference"] = _apart(ours_view, view)
        if over_numbers is not None:
            found_numbers = our_run([model_of(given)], lines, held_out, ids, over_numbers)
            rates.setdefault("our loop, number tokens", []).append(1 / np.median(found_numbers["times"]))
    return {"rates": rates, **found}


def _apart(one: ModelView, other: ModelView) -> float:
    """Largest difference of two models' weights."""
    with torch.no_grad():
        return max(
            (a - b).abs().max().item()
            for a, b in zip(one.model.parameters(), other.model.parameters(), strict=True)
        )


def used_rows_check(given: argparse.Namespace, settings: TrainingSettings) -> float:
    """Largest difference of the weights after training on the used rows and on the whole vocabulary."""
    from fourier_addition.training import loop as training

    task = Task("sums", "addition", (0, 260), templates=TEMPLATES["addition"])
    examples = dataset(task)
    ends = []
    for whole in (False, True):
        view = model_of(given)
        ids = number_ids(view, task.numbers)
        train = lines_of(view, examples, "train")
        lines = Lines(train.encoded[: 16 * 10], train.answers[: 16 * 10])
        kept = training.learner_for
        if whole:
            training.learner_for = lambda views, ids, on, over, used=None: learner_for(views, ids, on, over)
        try:
            fit([view], lines, lines, ids, settings)
        finally:
            training.learner_for = kept
        ends.append(view)
    return _apart(*ends)


def to_99(given: argparse.Namespace, folder: Path) -> pd.DataFrame:
    """Seconds to 99 % on validation from a pre-trained model, whose vocabulary is widened to GPT-2's.

    Our loop's seconds count its validations, Trainer's do not.
    """
    task = Task("sums", "addition", (0, 50), templates=TEMPLATES["addition"])
    examples = dataset(task)
    rows = []
    for name, over in (
        ("Trainer", "vocabulary"),
        ("our loop", "vocabulary"),
        ("our loop, number tokens", "numbers"),
    ):
        loaded = load_model(given.model)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            loaded.model.resize_token_embeddings(given.vocabulary, mean_resizing=False)
        view = wrap(loaded.model.to(given.device), loaded.tokenizer)
        ids = number_ids(view, task.numbers)
        train, validation = (lines_of(view, examples, split) for split in ("train", "validation"))
        settings = TrainingSettings(
            epochs=given.epochs, learning_rate=5e-4, batch_size=32, loss_over=over, compile=given.compile
        )
        if name == "Trainer":
            seconds, step = _trainer_to_99(view, train, validation, ids, settings, folder)
        else:
            seconds, step = _ours_to_99(view, train, validation, ids, settings)
        rows.append({"loop": name, "seconds": seconds, "steps": step})
    return pd.DataFrame(rows)


def _ours_to_99(
    view: ModelView, train: Lines, validation: Lines, ids: np.ndarray, settings: TrainingSettings
) -> tuple[float, float]:
    reached: list[tuple[float, float]] = []
    started = time.perf_counter()

    def on_epoch(seed: int, row: dict[str, float]) -> None:
        if row["accuracy"] >= 0.99:
            reached.append((time.perf_counter() - started, row["step"]))

    fit([view], train, validation, ids, settings, on_epoch=on_epoch)
    return reached[0] if reached else (np.nan, np.nan)


def _trainer_to_99(
    view: ModelView,
    train: Lines,
    validation: Lines,
    ids: np.ndarray,
    settings: TrainingSettings,
    folder: Path,
) -> tuple[float, float]:
    held_out = LengthBuckets(validation, view.device)
    reached: list[tuple[float, float]] = []
    validating = 0.0

    def validate() -> None:
        nonlocal validating
        now = time.perf_counter()
        learner = learner_for([view], ids, "answer", "numbers")
        if measured(learner, held_out.in_order(BATCH_SIZE))[0]["accuracy"] >= 0.99:
            reached.append((now - run.times[0] - validating, len(run.times) - 1))
        view.model.train()
        validating += time.perf_counter() - now

    run = TrainerRun(view, train, ids, settings, validate)
    run.run(folder)
    return reached[0] if reached else (np.nan, np.nan)


def stacked(given: argparse.Namespace, settings: TrainingSettings) -> dict[str, list[float]]:
    """Steps per second of five seeds side by side and of one seed."""
    task = Task("sums", "addition", (0, 260), templates=TEMPLATES["addition"])
    examples = dataset(task)
    rates: dict[str, list[float]] = {"one seed": [], "five stacked seeds": []}
    for _ in range(given.repeats):
        for name, count in (("one seed", 1), ("five stacked seeds", 5)):
            views = [model_of(given, seed) for seed in range(count)]
            ids = number_ids(views[0], task.numbers)
            train = lines_of(views[0], examples, "train")
            lines = Lines(train.encoded[: 16 * given.steps], train.answers[: 16 * given.steps])
            held_out = Lines(train.encoded[:16], train.answers[:16])
            rates[name].append(1 / np.median(our_run(views, lines, held_out, ids, settings)["times"]))
    return rates


def projected(given: argparse.Namespace, settings: TrainingSettings) -> float:
    """Our loop's steps per second on the paper's task, without the few steps that compile a shape."""
    task = Task("sums", "addition", (0, 260), templates=TEMPLATES["addition"])
    examples = dataset(task)
    view = model_of(given)
    train = lines_of(view, examples, "train")
    lines = Lines(train.encoded[: 16 * given.steps], train.answers[: 16 * given.steps])
    held_out = Lines(train.encoded[:16], train.answers[:16])
    times = our_run([view], lines, held_out, number_ids(view, task.numbers), settings)["times"]
    return 1 / times[times < 5 * np.median(times)].mean()


def line_of(name: str, rates: list[float], base: list[float]) -> str:
    """A row of the printed table."""
    ratios = np.array(rates) / np.array(base)
    return (
        f"| {name} | {np.median(rates):.2f} | {np.median(ratios):.2f} "
        f"({ratios.min():.2f} to {ratios.max():.2f}) |"
    )


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--layers", type=int, default=4)
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--vocabulary", type=int, default=50257)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--mixed-precision", default="none", choices=("none", "bf16"))
    parser.add_argument("--compile", action="store_true", help="torch.compile our loop's static shapes")
    parser.add_argument("--steps", type=int, default=25, help="of every run")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=14, help="of the runs to 99 %%")
    parser.add_argument("--model", default="results/models/mini", help="start of the runs to 99 %%")
    parser.add_argument("--parts", nargs="+", default=["answer", "large", "line", "rows", "stacked", "to-99"])
    parser.add_argument("--output", type=Path)
    return parser.parse_args()


def main() -> None:
    """Measure every part and print it."""
    import tempfile

    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    given = arguments()
    torch.set_num_threads(given.threads)
    load = os.getloadavg()[0]
    print(f"torch {torch.__version__}, {given.device}, {given.threads} threads, load {load:.2f}")
    print(f"GPT-2 shape, {given.layers} layers x {given.width}, {given.vocabulary} tokens\n", flush=True)
    common = {
        "epochs": 1,
        "learning_rate": 1e-4,
        "mixed_precision": given.mixed_precision,
        "compile": given.compile,
    }
    results: dict[str, Any] = {"arguments": {k: str(v) for k, v in vars(given).items()}}
    tables = {
        "answer": ("loss on the answer, batch 16", {"loss_over": "vocabulary"}, True),
        "large": ("loss on the answer, batch 256", {"loss_over": "vocabulary", "batch_size": 256}, True),
        "line": ("loss on the whole line, batch 16", {"loss_over": "vocabulary", "loss_on": "line"}, False),
    }
    with tempfile.TemporaryDirectory() as folder:
        for part, (title, changes, numbers_too) in tables.items():
            if part not in given.parts:
                continue
            found = compare(given, TrainingSettings(**common, **changes), numbers_too, Path(folder))
            results[part] = found
            print(f"## {title}\n| loop | steps/s | of Trainer |\n| --- | ---: | ---: |")
            for name, rates in found["rates"].items():
                print(line_of(name, rates, found["rates"]["Trainer"]))
            print(
                f"mean loss apart by {found['loss_difference']:.1e}, "
                f"weights by at most {found['weight_difference']:.1e}\n",
                flush=True,
            )
        if "rows" in given.parts:
            results["rows"] = used_rows_check(given, TrainingSettings(**common))
            print(
                f"## used rows against all rows\nweights apart by at most {results['rows']:.1e}\n", flush=True
            )
        if "stacked" in given.parts:
            rates = results["stacked"] = stacked(given, TrainingSettings(**common))
            five, one = np.array(rates["five stacked seeds"]), np.array(rates["one seed"])
            print(f"## five stacked seeds\n{np.median(5 * five / one):.2f} times five runs in turn ", end="")
            print(f"({(5 * five / one).min():.2f} to {(5 * five / one).max():.2f})\n", flush=True)
        if "projected" in given.parts:
            rate = results["projected"] = projected(given, TrainingSettings(**common))
            print(f"## projected from {given.steps} steps\n{rate:.2f} steps/s")
            print(f"fine-tuning of 85,500 steps: {85_500 / rate / 60:.1f} min")
            print(f"ten runs of 1,197,000 steps in turn: {10 * 1_197_000 / rate / 3600:.1f} h\n", flush=True)
        if "to-99" in given.parts and Path(given.model).exists():
            table = to_99(given, Path(folder))
            results["to-99"] = table.to_dict("records")
            print(f"## to 99 % validation accuracy\n{table.to_string(index=False)}")
            ratio = table["seconds"].iloc[0] / table["seconds"]
            print("times faster: " + ", ".join(f"{value:.2f}" for value in ratio), flush=True)
    print(f"load {os.getloadavg()[0]:.2f} at the end")
    if given.output is not None:
        write_json(results, given.output)


if __name__ == "__main__":
    main()
