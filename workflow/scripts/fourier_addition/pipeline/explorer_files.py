"""Which results the explorer shows: those of each run that the figures and tables of the study need anyway.

To add a part: one `Part` below, the field of `explorer.collect.RunResults` that it fills, and the view of the
page that shows it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from fourier_addition.pipeline import paths, shards
from fourier_addition.pipeline.figures import KINDS, views
from fourier_addition.pipeline.inputs import Shown
from fourier_addition.pipeline.names import digit_ranges, instance, instances, label_of, notes_of, task_of
from fourier_addition.pipeline.run_checks import has_number_tokens
from fourier_addition.pipeline.tables import table_files

Config = Mapping[str, Any]
Files = dict[str, list[str]]
"""Field of `RunResults` -> files of one run."""


@dataclass(frozen=True)
class Part:
    """What some views of the page need of a run.

    inputs: (configuration, run, seed, files that are asked for) -> the files, empty where no figure or table
    needs them. numbers: whether only a model with a token for every number can have it. add: how the part
    is added to a run.
    """

    name: str
    inputs: Callable[[Config, str, int, set[str]], Files]
    add: str
    numbers: bool = True


def _any(name: str, files: Iterable[str], asked: set[str]) -> bool:
    return any(paths.run(name, file) in asked for file in files)


def _logits(config: Config, run: str, seed: int, asked: set[str]) -> Files:
    name = instance(run, seed)
    made = ("spectra.parquet", "example-spectra.parquet", "waves.parquet", "peaks.parquet")
    if not _any(name, made, asked):
        return {}
    return {
        "spectra": [paths.run(name, "spectra.parquet")],
        "captures": shards.captures(config, run, seed, "json"),
        "number_rows": [paths.run(name, "number-rows.json")],
    }


def _embedding(config: Config, run: str, seed: int, asked: set[str]) -> Files:
    """The run's own number rows; those of its model where the run leaves the model as it comes."""
    settings = config["runs"][run]
    names = [instance(run, seed)]
    if settings["start"] == "pretrained" and not settings["epochs"]:
        names.append(settings["model"])
    for name in names:
        files = [paths.embedding(name, f"{each}.parquet") for each in ("spectrum", "clusters", "probes")]
        if asked.intersection(files):
            return {"embedding": files[:1]}
    return {}


def _filters(config: Config, run: str, seed: int, asked: set[str]) -> Files:
    """The filters on all examples; where these are not asked for, those on each digit range."""
    name = instance(run, seed)
    found = [
        span
        for span in digit_ranges(config)
        if _any(name, [f"ablation/{span}/summary.parquet", f"ablation/{span}/predictions.parquet"], asked)
    ]
    chosen = ["all"] if "all" in found else found
    files = [paths.run(name, f"ablation/{span}/outcomes.json") for span in chosen]
    return {"filtered": files} if files else {}


def _steering(config: Config, run: str, seed: int, asked: set[str]) -> Files:
    name, folder = instance(run, seed), "mechanism/steering"
    if not _any(name, [f"{folder}/{each}.parquet" for each in ("doses", "places", "moves")], asked):
        return {}
    return {
        "steered": [paths.run(name, f"{folder}/outcomes.json")],
        "doses": [paths.run(name, f"{folder}/doses.parquet")],
        "places": [paths.run(name, f"{folder}/places.parquet")],
    }


def _probes(config: Config, run: str, seed: int, asked: set[str]) -> Files:
    file = paths.run(instance(run, seed), "position-probes.parquet")
    return {"probes": [file]} if file in asked else {}


PARTS = (
    Part("rows", _embedding, "a figure of kind `embedding` with `embeddings: [{run}]`"),
    Part("logits", _logits, "a figure of kind `mean-spectra` with `run: {run}`"),
    Part("filters", _filters, "a figure of kind `table` with `run: {run}`"),
    Part("steering", _steering, "a figure of kind `steering` with `run: {run}`"),
    Part("circles", _probes, "a figure of kind `position-probes` with `run: {run}`", numbers=False),
)
"""Every part, by the key that the page has it under."""
STORES = ("captures", "number_rows", "filtered", "steered")
"""Inputs that are manifests of stores."""


def asked_files(config: Config) -> set[str]:
    """Every result that a figure or table of a checked configuration reads."""
    read = [view.inputs for view in views(config).values()]
    read += [table_files(config, name) for name in config["tables"]]
    return {path for inputs in read for files in inputs.values() for path in files}


def explorer_runs(config: Config) -> dict[str, Files]:
    """What the explorer reads of each run and seed that has something to show, by its name in paths."""
    asked, found = asked_files(config), {}
    for name, (run, seed) in instances(config).items():
        files: Files = {}
        for part in PARTS:
            files |= part.inputs(config, run, seed, asked)
        if files:
            # The prompts of the examples; other parts have none.
            if set(files) - {"embedding", "probes"}:
                files["dataset"] = [paths.dataset(config["runs"][run]["task"])]
            found[name] = files
    return found


def explorer_inputs(config: Config) -> Files:
    """The inputs of the page: what -> files of all runs, in the order of `explorer_facts`."""
    inputs: Files = {}
    for files in explorer_runs(config).values():
        for what, listed in files.items():
            inputs.setdefault(what, []).extend(listed)
    return inputs


def explorer_facts(config: Config) -> list[dict[str, Any]]:
    """What the page says of each run, and how many of the inputs are the run's.

    files: input -> [first, one past the last] of the run's files. missing: part -> the sentence that
    stands in its place.
    """
    facts: list[dict[str, Any]] = []
    taken: dict[str, int] = {}
    asked = asked_files(config)
    for name, files in explorer_runs(config).items():
        run, seed = instances(config)[name]

        # Where the run's files stand among those of all runs
        places = {}
        for what, listed in files.items():
            start = taken.get(what, 0)
            taken[what] = start + len(listed)
            places[what] = [start, taken[what]]
        seeds = config["runs"][run]["seeds"]
        facts.append(
            {
                "name": name,
                "label": label_of(config, run) + (f", seed {seed}" if len(seeds) > 1 else ""),
                "model": config["runs"][run]["model"],
                "task": config["runs"][run]["task"],
                "numbers": task_of(config, config["runs"][run]["task"]).numbers,
                "note": notes_of(config, [run]),
                "files": places,
                "missing": {
                    part.name: missing_sentence(config, run, seed, part)
                    for part in PARTS
                    if not part.inputs(config, run, seed, asked)
                },
            }
        )
    return facts


def explorer_place(config: Config, figure: str, kind: str) -> str:
    """Where the explorer shows what a figure shows: its view and the first run, as its address has them.

    Empty where no view shows figures of this kind, or where the figure is of no run.
    """
    entry, view = config["figures"][figure], KINDS[kind].view
    named = [entry["run"]] if "run" in entry else [*entry.get("embeddings", []), *entry.get("runs", [])]
    runs = [each for each in named if each in config["runs"]]
    return f"{view}/{Shown(config, entry['seed']).instance(runs[0])}" if view and runs else ""


def missing_sentence(config: Config, run: str, seed: int, part: Part) -> str:
    """Why the page has no such part of a run, and which key adds it."""
    if part.numbers and not has_number_tokens(config, run):
        return (
            f"The model of run {run} writes numbers of its task in several tokens, so it has no logits over "
            f"the numbers: another model under `runs.{run}.model` has them."
        )
    which = f" and `seed: {seed}`" if seed else ""
    return (
        f"The results have nothing of this run here: {part.add.format(run=run)}{which}, under `figures` in "
        "the configuration, adds it."
    )
