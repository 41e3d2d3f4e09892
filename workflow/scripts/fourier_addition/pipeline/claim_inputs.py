"""Which runs of a study stand for the paper's, and which of their results the claims are read off.

To add a role: one `Role` below, and its key under `tables.<name>.roles` in config/schema.yaml.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from fourier_addition.pipeline.config_errors import require_known
from fourier_addition.pipeline.inputs import (
    Input,
    Shown,
    of_api_run,
    of_embedding,
    of_run,
    of_seeds,
)
from fourier_addition.pipeline.names import label_of
from fourier_addition.pipeline.run_checks import (
    Check,
    check_asked,
    check_embedding,
    check_interventions,
    check_number_tokens,
    check_trained,
    has_number_tokens,
)


@dataclass(frozen=True)
class Role:
    """A role of the paper: what stands for it, what is read of it, and what must hold of it.

    of: a run, a run of an API, or a number embedding (of a model or a run).
    inputs: what -> files. checks: of every run or embedding with this role.
    """

    inputs: Mapping[str, Input]
    of: Literal["run", "API run", "embedding"] = "run"
    checks: tuple[Check, ...] = (check_number_tokens, check_trained)


_SPECTRA, _ACCURACY, _HISTORY = (
    of_run("spectra.parquet"),
    of_seeds("accuracy.json"),
    of_seeds("history.parquet"),
)

ROLES: dict[str, Role] = {
    "finetuned": Role(
        {
            "lens": of_run("lens.parquet"),
            "spectra": _SPECTRA,
            "peaks": of_run("peaks.parquet"),
            "summary": of_run("ablation/all/summary.parquet"),
            "predictions": of_run("ablation/all/predictions.parquet"),
            "accuracy": _ACCURACY,
            "steering": of_run("mechanism/steering/places.parquet"),
            "exchange": of_run("mechanism/exchange/outcomes.parquet"),
        },
        checks=(check_number_tokens, check_trained, check_interventions),
    ),
    "scratch": Role(
        {
            "spectra": _SPECTRA,
            "accuracy": _ACCURACY,
            "embedding_spectrum": of_embedding("spectrum.parquet"),
        }
    ),
    "small_scratch": Role({"accuracy": _ACCURACY, "history": _HISTORY}),
    "frozen": Role({"spectra": _SPECTRA, "accuracy": _ACCURACY, "history": _HISTORY}),
    "frozen_random": Role({"accuracy": _ACCURACY}),
    "multiplication": Role({"spectra": _SPECTRA, "accuracy": _ACCURACY}),
    "polish": Role({"spectra": _SPECTRA}),
    "prompted": Role({"answers": of_run("answers.json")}, checks=(check_asked,)),
    "prompted_logits": Role({"spectra": _SPECTRA}, checks=(check_number_tokens, check_asked)),
    "probed": Role({"probes": of_run("position-probes.parquet")}, checks=()),
    "closed": Role({"accuracy": of_api_run("accuracy.json")}, of="API run", checks=()),
    "embeddings": Role(
        {"spectrum": of_embedding("spectrum.parquet"), "clusters": of_embedding("clusters.parquet")},
        of="embedding",
        checks=(check_embedding,),
    ),
}
"""Every role, by its key in the configuration."""


def claim_runs(config: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    """Role -> the names that the configuration gives it; nothing for a role that it leaves out.

    config: checked. name: of a table of kind `claims`. `small_scratch`, the paper's smaller model from
    scratch, is the `scratch` run where it is left out. `prompted_logits`, whose logits are tested, are the
    `prompted` runs whose numbers are one token each, as far as the configuration tells, where it is left out.
    """
    roles = config["tables"][name]["roles"]
    found = {role: [names] if isinstance(names, str) else list(names) for role, names in roles.items()}
    if "scratch" in found:
        found.setdefault("small_scratch", found["scratch"])
    if logits := [run for run in found.get("prompted", []) if has_number_tokens(config, run)]:
        found.setdefault("prompted_logits", logits)
    return found


def claim_labels(config: Mapping[str, Any], name: str) -> dict[str, str]:
    """What the runs and models of a table of kind `claims` are called."""
    roles = claim_runs(config, name)
    return {each: label_of(config, each) for names in roles.values() for each in names}


def claim_models(config: Mapping[str, Any], name: str) -> dict[str, str]:
    """Which model each run or model of a table of kind `claims` is, and where its weights come from."""
    names = {each for names in claim_runs(config, name).values() for each in names}
    return {each: model_words(config, each) for each in sorted(names)}


def model_words(config: Mapping[str, Any], name: str) -> str:
    """A run's, API run's or embedding's model in words: real weights, a miniature, or weights from scratch.

    A miniature is a model that is pre-trained here, whatever is trained after it.
    """
    if name in config["api_runs"]:
        return f"{config['apis'][config['api_runs'][name]['api']]['model']} (behind an API)"
    run = config["runs"].get(name)
    model = run["model"] if run else name
    if any("pretrain" in source for source in config["models"][model]["sources"]):
        return f"{model} (miniature)"
    if run and run.get("start") == "scratch":
        return f"{model} (from scratch)"
    return f"{model} (real weights)"


def claim_files(config: Mapping[str, Any], name: str) -> dict[str, list[str]]:
    """Results that a table of kind `claims` reads: `{role}_{what}` -> paths, as its names come.

    config: checked. name: of the table.
    """
    table = config["tables"][name]
    files: dict[str, list[str]] = {}
    for role, names in claim_runs(config, name).items():
        record = ROLES[role]
        shown = Shown(
            config,
            table["seed"],
            runs=names if record.of == "run" else (),
            # A run has a number embedding too.
            embeddings=() if record.of == "API run" else names,
            api_runs=names if record.of == "API run" else (),
        )
        files |= {f"{role}_{what}": paths_of(shown) for what, paths_of in record.inputs.items()}
    return files


def check_roles(config: Mapping[str, Any], table: Mapping[str, Any], where: str) -> None:
    """Raise UserError where a run, model or API run cannot stand for its role. where: key of the table."""
    known = {
        "run": config["runs"],
        "API run": config["api_runs"],
        "embedding": {**config["embeddings"], **config["runs"]},
    }
    for role, names in table["roles"].items():
        key, record = f"{where}.roles.{role}", ROLES[role]
        for name in [names] if isinstance(names, str) else names:
            require_known(name, key, known[record.of], record.of)
            for check in record.checks:
                check(config, name, key)
