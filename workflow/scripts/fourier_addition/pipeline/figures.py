"""Figures as views on runs: what each shows, what it reads, how it is drawn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.pipeline import paths
from fourier_addition.pipeline.config_checks import check_number_tokens, check_trained
from fourier_addition.pipeline.names import instance, label_of, prompted, task_of, tau_of

PAPER: dict[str, tuple[str, Mapping[str, Any]]] = {
    "figure-1": ("lens-and-heatmaps", {}),
    "figure-2": ("example-spectrum", {"top": 10}),
    "figure-3": ("mean-spectra", {"layers": 16}),
    "figure-4": ("waves-sum", {"top": 5}),
    "figure-5": ("embedding-and-clusters", {}),
    "figure-6": ("mean-spectra", {"layers": 16}),
    "figure-7": ("embedding-and-training", {}),
    "figure-8": ("spectra-comparison", {}),
    "figure-9": ("mean-spectra", {}),
    "figure-10": ("low-spectra", {"layers": 16}),
    "figure-11": ("single-component", {}),
    "figure-12": ("kept-errors", {}),
    "figure-13": ("waves-band", {"top": 10}),
    "figure-14": ("waves-longest", {}),
    "figure-15": ("embedding", {}),
    "figure-16": ("mean-spectra", {}),
    "figure-17": ("heatmap", {"layers": 16}),
    "figure-18": ("mean-spectra", {}),
    "figure-19": ("mean-spectra", {}),
    "figure-20": ("logits", {}),
    "figure-21": ("filtered-errors", {}),
    "figure-22": ("heatmap", {"layers": 16}),
    "figure-23": ("errors", {}),
}
"""The paper's figures (numbers of the camera-ready): kind and the options that it sets."""

FAMILIES: dict[str, str] = {
    "lens-and-heatmaps": "pairs",
    "embedding-and-clusters": "pairs",
    "embedding-and-training": "pairs",
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
    "layer-probes": "probes",
    "training": "training",
    "arms": "training",
    "errors": "errors",
    "prompted-errors": "errors",
    "filtered-errors": "errors",
    "kept-errors": "errors",
    "single-component": "single_component",
    "table": "ablation",
    "layers": "ablation",
    "tau": "ablation",
    "periods": "ablation",
    "digit-ranges": "ablation",
    "range-heatmap": "ablation",
}
"""Kind of figure -> family: the script `figure_{family}.py` that draws it."""

NEEDS = {
    "one run": [
        "lens-and-heatmaps",
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
        "prompted-errors",
        "filtered-errors",
        "kept-errors",
        "single-component",
        "table",
        "layers",
        "tau",
        "periods",
    ],
    "runs": ["training", "arms", "layer-probes", "spectra-comparison", "digit-ranges", "range-heatmap"],
    "embeddings": ["embedding", "clusters", "probes", "embedding-and-clusters"],
    "runs and embeddings": ["embedding-and-training"],
}


@dataclass(frozen=True)
class View:
    """One figure: inputs by name (paths), options for the plot, words for the report."""

    name: str
    kind: str
    inputs: Mapping[str, Any]
    options: Mapping[str, Any]
    caption: Mapping[str, Any]

    @property
    def family(self) -> str:
        """The script family that draws it."""
        return FAMILIES[self.kind]


def _kind(name: str, entry: Mapping[str, Any]) -> tuple[str, Mapping[str, Any]]:
    """Kind of a figure and the options that come with it."""
    if name in PAPER:
        if "kind" in entry:
            raise UserError(f"Config key `figures.{name}.kind`: the paper's figures have their kind.")
        return PAPER[name]
    if "kind" not in entry:
        raise UserError(
            f"Config key `figures.{name}` is not a figure of the paper (figure-1 to figure-23) "
            f"and has no `kind`; kinds are {', '.join(FAMILIES)}."
        )
    if entry["kind"] not in FAMILIES:
        raise UserError(f"Config key `figures.{name}.kind` must be one of {', '.join(FAMILIES)}.")
    return entry["kind"], {}


def views(config: Mapping[str, Any]) -> dict[str, View]:
    """Every figure of a checked configuration, by name.

    Raises UserError that names the figure when it lacks the run or embedding that it shows.
    """
    return {name: _view(config, name, entry) for name, entry in config["figures"].items()}


def _view(config: Mapping[str, Any], name: str, entry: Mapping[str, Any]) -> View:
    kind, preset = _kind(name, entry)
    seed = entry["seed"]
    options = {**preset, **{key: entry[key] for key in _OPTIONS if key in entry}, "note": config["note"]}
    shown: list[str] = []
    inputs: dict[str, Any] = {}
    if kind in NEEDS["one run"]:
        run = _wanted(entry, name, "run", "this figure shows one run")
        if kind != "prompted-errors":
            check_number_tokens(config, run, f"figures.{name}.run")
        elif not prompted(config["runs"][run]):
            raise UserError(f"Config key `figures.{name}.run`: run '{run}' is trained, not prompted.")
        task = task_of(config, config["runs"][run]["task"])
        a, b = config["tasks"][task.name]["running_example"]
        facts = {
            "answer": int(task.apply(a, b)),
            "tau": tau_of(config, task.numbers),
            "numbers": task.numbers,
            "lens_norm": config["analysis"]["lens_norm"],
        }
        options |= {key: facts[key] for key in _FACTS.get(kind, ())}
        shown = [run]
        inputs = {key: paths.run(instance(run, seed), file) for key, file in _ONE_RUN[kind].items()}
    if kind in NEEDS["runs"] + NEEDS["runs and embeddings"]:
        runs = _wanted(entry, name, "runs", "this figure compares runs")
        for each in runs:
            if kind in ("training", "arms", "embedding-and-training"):
                check_trained(config, each, f"figures.{name}.runs")
            check_number_tokens(config, each, f"figures.{name}.runs")
        shown += runs
        inputs |= _many_runs(config, kind, runs, seed)
        if kind == "layer-probes":
            options["names"] = runs
        options["ranges"] = {paths.slug(label): label for label in config["ablations"]["digit_ranges"]}
    if kind in NEEDS["embeddings"] + NEEDS["runs and embeddings"]:
        names = _wanted(entry, name, "embeddings", "this figure shows number embeddings")
        for each in names:
            if each in config["runs"]:
                check_number_tokens(config, each, f"figures.{name}.embeddings")
            if kind in ("clusters", "embedding-and-clusters"):
                _check_map(config, each, f"figures.{name}.embeddings")
        places = [instance(each, seed) if each in config["runs"] else each for each in names]
        shown += names
        options["names"] = names
        inputs |= {
            key: [paths.embedding(place, file) for place in places] for key, file in _EMBEDDING[kind].items()
        }
    options["labels"] = {each: label_of(config, each) for each in shown}
    caption = {
        "figure": name,
        "kind": kind,
        "shown": ", ".join(options["labels"].values()),
        "note": config["note"],
    }
    if FAMILIES[kind] == "spectrum":
        caption["basis"] = config["analysis"]["basis"]
    return View(name, kind, inputs, options, caption)


def _check_map(config: Mapping[str, Any], name: str, where: str) -> None:
    """Refuse a map of a number embedding that has too few numbers for one."""
    if name in config["embeddings"]:
        count = config["embeddings"][name]["numbers"]
    else:
        count = task_of(config, config["runs"][name]["task"]).numbers
    least = max(config["analysis"]["clusters"], config["analysis"]["perplexity"])
    if count <= least:
        raise UserError(
            f"Config key `{where}`: '{name}' has {count} numbers, too few for a map with `analysis.clusters` "
            f"and `analysis.perplexity` of up to {least:g}; show its spectrum (kind `embedding`) and its "
            "probes (kind `probes`)."
        )


def _wanted(entry: Mapping[str, Any], name: str, key: str, why: str) -> Any:
    if key not in entry:
        raise UserError(f"Config key `figures.{name}.{key}` is missing: {why}.")
    return entry[key]


_OPTIONS = ("layers", "layer", "max_component", "top", "window")

_FACTS: dict[str, tuple[str, ...]] = {
    "lens-and-heatmaps": ("answer", "lens_norm"),
    "lens": ("lens_norm",),
    "heatmap": ("answer",),
    "logits": ("answer",),
    "example-spectrum": ("tau",),
    "low-spectra": ("tau",),
    "waves-band": ("tau",),
    "prompted-errors": ("numbers",),
    "single-component": ("numbers",),
    "tau": ("tau",),
    "periods": ("numbers",),
}
"""What a figure of one run is drawn with beside its table; anything more would redraw it for nothing."""


_ONE_RUN: dict[str, dict[str, str]] = {
    "lens-and-heatmaps": {"lens": "lens.parquet", "example": "example.parquet"},
    "lens": {"table": "lens.parquet"},
    "heatmap": {"table": "example.parquet"},
    "logits": {"table": "example.parquet"},
    "example-spectrum": {"table": "example-spectra.parquet"},
    "mean-spectra": {"table": "spectra.parquet"},
    "low-spectra": {"table": "spectra.parquet"},
    "waves-sum": {"table": "waves.parquet"},
    "waves-band": {"table": "waves.parquet"},
    "waves-longest": {"table": "waves.parquet"},
    "errors": {"table": "predictions.parquet"},
    "prompted-errors": {"table": "answers.parquet"},
    "filtered-errors": {"table": "ablation/all/predictions.parquet"},
    "kept-errors": {"table": "ablation/all/predictions.parquet"},
    "single-component": {"table": "ablation/all/predictions.parquet"},
    "table": {"table": "ablation/all/summary.parquet"},
    "layers": {"table": "ablation/all/summary.parquet"},
    "tau": {"table": "ablation/all/summary.parquet"},
    "periods": {"table": "ablation/all/summary.parquet"},
}
"""Inputs of figures that show one run: files of the run."""

_EMBEDDING: dict[str, dict[str, str]] = {
    "embedding": {"spectra": "spectrum.parquet"},
    "embedding-and-clusters": {"spectra": "spectrum.parquet", "clusters": "clusters.parquet"},
    "embedding-and-training": {"spectra": "spectrum.parquet"},
    "clusters": {"clusters": "clusters.parquet"},
    "probes": {"probes": "probes.parquet"},
}
"""Inputs of figures that show number embeddings."""


def _many_runs(config: Mapping[str, Any], kind: str, runs: list[str], seed: int) -> dict[str, Any]:
    """Inputs of a figure that compares runs, in the order of `runs` (and their seeds)."""
    if kind == "layer-probes":
        return {"probes": [paths.run(instance(run, seed), "probes.parquet") for run in runs]}
    if kind in ("training", "arms", "embedding-and-training"):
        file = "accuracy.json" if kind == "arms" else "history.parquet"
        files = [
            paths.run(instance(run, each), file) for run in runs for each in config["runs"][run]["seeds"]
        ]
        return {"accuracies" if kind == "arms" else "histories": files}
    if kind == "spectra-comparison":
        return {"tables": [paths.run(instance(run, seed), "spectra.parquet") for run in runs]}
    return {
        "tables": [
            paths.run(instance(run, seed), f"ablation/{paths.slug(label)}/summary.parquet")
            for run in runs
            for label in config["ablations"]["digit_ranges"]
        ]
    }
