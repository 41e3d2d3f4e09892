"""Which runs of a study stand for the paper's, and the results of theirs that the claims are read off."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from fourier_addition.pipeline import paths
from fourier_addition.pipeline.names import instance, label_of

ONE_SEED = {
    "finetuned": {
        "lens": "lens.parquet",
        "spectra": "spectra.parquet",
        "peaks": "peaks.parquet",
        "summary": "ablation/all/summary.parquet",
        "predictions": "ablation/all/predictions.parquet",
    },
    "scratch": {"spectra": "spectra.parquet"},
    "frozen": {"spectra": "spectra.parquet"},
    "multiplication": {"spectra": "spectra.parquet"},
    "polish": {"spectra": "spectra.parquet"},
}
"""Role -> what is read of the table's seed (below the run's folder)."""

EVERY_SEED = {
    "finetuned": ("accuracy",),
    "scratch": ("accuracy",),
    "small_scratch": ("accuracy", "history"),
    "frozen": ("accuracy", "history"),
    "frozen_random": ("accuracy",),
    "multiplication": ("accuracy",),
}
"""Role -> what is read of every seed."""

_SUFFIX = {"accuracy": "json", "history": "parquet"}


def claim_runs(table: Mapping[str, Any]) -> dict[str, list[str]]:
    """Role -> the names that the configuration gives it; nothing for a role that it leaves out.

    `small_scratch`, the paper's smaller model from scratch, is the `scratch` run where it is left out.
    """
    roles = table["roles"]
    found = {role: [names] if isinstance(names, str) else list(names) for role, names in roles.items()}
    if "scratch" in found:
        found.setdefault("small_scratch", found["scratch"])
    return found


def claim_labels(config: Mapping[str, Any], name: str) -> dict[str, str]:
    """What the runs and models of a table of kind `claims` are called."""
    roles = claim_runs(config["tables"][name])
    return {each: label_of(config, each) for names in roles.values() for each in names}


def claim_files(config: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    """Results that a table of kind `claims` reads: `{role}_{what}` -> paths, as its names come.

    config: checked. name: of the table.
    """
    table = config["tables"][name]
    seed, files = table["seed"], {}

    def seed_of(run: str) -> int:
        seeds = config["runs"][run]["seeds"]
        return seed if seed in seeds else seeds[0]

    for role, names in claim_runs(table).items():
        for what, file in ONE_SEED.get(role, {}).items():
            files[f"{role}_{what}"] = [paths.run(instance(run, seed_of(run)), file) for run in names]
        for what in EVERY_SEED.get(role, ()):
            files[f"{role}_{what}"] = [
                paths.run(instance(run, each), f"{what}.{_SUFFIX[what]}")
                for run in names
                for each in config["runs"][run]["seeds"]
            ]
        if role == "prompted":
            instances = [instance(run, seed_of(run)) for run in names]
            files["prompted_answers"] = [paths.run(each, "answers.json") for each in instances]
            files["prompted_spectra"] = [paths.run(each, "spectra.parquet") for each in instances]
        if role == "closed":
            files["closed_accuracy"] = [paths.api_run(run, "accuracy.json") for run in names]
        if role in ("embeddings", "scratch"):
            places = [instance(each, seed_of(each)) if each in config["runs"] else each for each in names]
            key = "embeddings" if role == "embeddings" else "scratch_embedding"
            files[f"{key}_spectrum"] = [paths.embedding(place, "spectrum.parquet") for place in places]
            if role == "embeddings":
                files["embeddings_clusters"] = [paths.embedding(p, "clusters.parquet") for p in places]
    return files
