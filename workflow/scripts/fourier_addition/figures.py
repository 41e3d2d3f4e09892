"""Figures as views on runs: what each shows, what it reads, how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from fourier_addition import layout
from fourier_addition.config import instance, task_of, tau_of
from fourier_addition.errors import UserError


@dataclass(frozen=True)
class Panel:
    """One file of a figure: its kind and the options that differ from the kind's."""

    suffix: str
    kind: str
    options: Mapping[str, Any] = field(default_factory=dict)


PAPER: dict[str, tuple[Panel, ...]] = {
    "figure-1": (Panel("a", "lens"), Panel("bc", "heatmap")),
    "figure-2": (Panel("", "example-spectrum"),),
    "figure-3": (Panel("", "mean-spectra", {"layers": 16}),),
    "figure-4": (Panel("", "waves-sum", {"top": 5}),),
    "figure-5": (Panel("a", "embedding"), Panel("b", "clusters")),
    "figure-6": (Panel("", "mean-spectra", {"layers": 16}),),
    "figure-7": (Panel("a", "embedding"), Panel("b", "training")),
    "figure-8": (Panel("", "spectra-comparison"),),
    "figure-9": (Panel("", "mean-spectra"),),
    "figure-10": (Panel("", "low-spectra", {"layers": 16}),),
    "figure-11": (Panel("", "single-component"),),
    "figure-12": (Panel("", "kept-errors"),),
    "figure-13": (Panel("", "waves-band", {"top": 10}),),
    "figure-14": (Panel("", "waves-longest"),),
    "figure-15": (Panel("", "embedding"),),
    "figure-16": (Panel("", "mean-spectra"),),
    "figure-17": (Panel("", "heatmap", {"layers": 16}),),
    "figure-18": (Panel("", "mean-spectra"),),
    "figure-19": (Panel("", "mean-spectra"),),
    "figure-20": (Panel("", "logits"),),
    "figure-21": (Panel("", "filtered-errors"),),
    "figure-22": (Panel("", "heatmap", {"layers": 16}),),
    "figure-23": (Panel("", "errors"),),
}
"""The paper's figures; the numbers are the camera-ready's."""

FAMILIES: dict[str, str] = {
    "lens": "lens",
    "heatmap": "heatmap",
    "logits": "logits",
    "example-spectrum": "spectrum",
    "mean-spectra": "spectrum",
    "low-spectra": "spectrum",
    "spectra-comparison": "spectrum",
    "waves-sum": "waves",
    "waves-band": "waves",
    "waves-longest": "waves",
    "embedding": "embedding",
    "clusters": "clusters",
    "probes": "probes",
    "training": "training",
    "arms": "training",
    "errors": "errors",
    "filtered-errors": "errors",
    "kept-errors": "errors",
    "single-component": "single_component",
    "table": "ablation",
    "layers": "ablation",
    "tau": "ablation",
    "periods": "ablation",
    "digit-ranges": "ablation",
}
"""Kind of figure -> family: the script `figure_{family}.py` that draws it."""

NEEDS = {
    "one run": [
        "lens",
        "heatmap",
        "logits",
        "example-spectrum",
        "mean-spectra",
        "low-spectra",
        "waves-sum",
        "waves-band",
        "waves-longest",
        "errors",
        "filtered-errors",
        "kept-errors",
        "single-component",
        "table",
        "layers",
        "tau",
        "periods",
    ],
    "runs": ["training", "arms", "spectra-comparison", "digit-ranges"],
    "embeddings": ["embedding", "clusters", "probes"],
}


@dataclass(frozen=True)
class View:
    """One figure file: inputs by name (paths), options for the plot, words for the report."""

    name: str
    figure: str
    kind: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    caption: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The script family that draws it."""
        return FAMILIES[self.kind]


def _entries(config: Mapping[str, Any]) -> dict[str, tuple[str, Panel, Mapping[str, Any]]]:
    """Every figure file: name -> (figure, panel, configuration entry)."""
    found = {}
    for name, entry in config["figures"].items():
        if name in PAPER:
            if "kind" in entry:
                raise UserError(f"Config key `figures.{name}.kind`: the paper's figures have their kind.")
            panels = PAPER[name]
        elif entry.get("kind") in FAMILIES:
            panels = (Panel("", entry["kind"]),)
        elif "kind" in entry:
            raise UserError(f"Config key `figures.{name}.kind` must be one of {', '.join(FAMILIES)}.")
        else:
            raise UserError(
                f"Config key `figures.{name}` is not a figure of the paper (figure-1 to figure-23) "
                f"and has no `kind`; kinds are {', '.join(FAMILIES)}."
            )
        for panel in panels:
            found[name + panel.suffix] = (name, panel, entry)
    return found


def views(config: Mapping[str, Any]) -> dict[str, View]:
    """Every figure file of a checked configuration, by name.

    Raises UserError that names the figure when it lacks the run or embedding that it shows.
    """
    return {
        name: _view(config, name, figure, panel, entry)
        for name, (figure, panel, entry) in _entries(config).items()
    }


def _label(config: Mapping[str, Any], name: str) -> str:
    entry = config["runs"].get(name) or config["embeddings"].get(name) or {}
    return entry.get("label", name)


def _view(config: Mapping[str, Any], name: str, figure: str, panel: Panel, entry: Mapping[str, Any]) -> View:
    kind, seed = panel.kind, entry["seed"]
    options = {**panel.options, **{k: entry[k] for k in _OPTIONS if k in entry}, "note": config["note"]}
    caption = {"figure": figure, "kind": kind, "analysis": config["analysis"], "note": config["note"]}
    if kind in NEEDS["one run"]:
        if "run" not in entry:
            raise UserError(f"Config key `figures.{figure}.run` is missing: this figure shows one run.")
        run = entry["run"]
        task = task_of(config, config["runs"][run]["task"])
        a, b = config["tasks"][task.name]["running_example"]
        options |= {
            "answer": int(task.apply(a, b)),
            "tau": tau_of(config, task.numbers),
            "numbers": task.numbers,
            "lens_norm": config["analysis"]["lens_norm"],
        }
        caption |= {"run": run, "label": _label(config, run), "example": [a, b], "tau": options["tau"]}
        return View(name, figure, kind, _one_run(config, kind, run, seed), options, caption)
    if kind in NEEDS["runs"]:
        if "runs" not in entry:
            raise UserError(f"Config key `figures.{figure}.runs` is missing: this figure compares runs.")
        runs = entry["runs"]
        options["labels"] = {run: _label(config, run) for run in runs}
        caption |= {"label": ", ".join(options["labels"].values())}
        return View(name, figure, kind, _many_runs(config, kind, runs, seed), options, caption)
    if "embeddings" not in entry:
        raise UserError(f"Config key `figures.{figure}.embeddings` is missing: this figure shows embeddings.")
    names = {each: _embedding_name(config, each, seed) for each in entry["embeddings"]}
    options["labels"] = {each: _label(config, each) for each in names}
    caption |= {"label": ", ".join(options["labels"].values())}
    file = {"embedding": "spectrum", "clusters": "clusters", "probes": "probes"}[kind]
    inputs = {"tables": [layout.embedding(place, f"{file}.parquet") for place in names.values()]}
    return View(name, figure, kind, inputs, {**options, "names": list(names)}, caption)


_OPTIONS = ("layers", "layer", "max_component", "top", "window")


def _embedding_name(config: Mapping[str, Any], name: str, seed: int) -> str:
    return instance(name, seed) if name in config["runs"] else name


def _one_run(config: Mapping[str, Any], kind: str, run: str, seed: int) -> dict[str, Any]:
    """Inputs of a figure that shows one run."""
    file = {
        "lens": "lens.parquet",
        "heatmap": "example.parquet",
        "logits": "example.parquet",
        "example-spectrum": "example-spectra.parquet",
        "mean-spectra": "spectra.parquet",
        "low-spectra": "spectra.parquet",
        "waves-sum": "waves.parquet",
        "waves-band": "waves.parquet",
        "waves-longest": "waves.parquet",
        "errors": "predictions.parquet",
        "filtered-errors": "ablation/errors.parquet",
        "kept-errors": "ablation/errors.parquet",
        "single-component": "ablation/kept.parquet",
        "table": "ablation/table.parquet",
        "layers": "ablation/sweeps.parquet",
        "tau": "ablation/sweeps.parquet",
        "periods": "ablation/sweeps.parquet",
    }[kind]
    return {"table": layout.run(instance(run, seed), file)}


def _many_runs(config: Mapping[str, Any], kind: str, runs: list[str], seed: int) -> dict[str, Any]:
    """Inputs of a figure that compares runs, in the order of `runs` (and their seeds)."""
    if kind in ("training", "arms"):
        files = [
            layout.run(instance(run, each), "history.parquet")
            for run in runs
            for each in config["runs"][run]["seeds"]
        ]
        return {"tables": files}
    file = {"spectra-comparison": "spectra.parquet", "digit-ranges": "ablation/sweeps.parquet"}[kind]
    return {"tables": [layout.run(instance(run, seed), file) for run in runs]}
