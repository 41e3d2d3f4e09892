"""What a checked configuration names: tasks, runs with their seeds, labels, number spaces, the cut tau."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.pipeline.paths import slug
from fourier_addition.tasks import Task

PAPER_TAU, PAPER_PERIOD = 50, 520


def prompted(run: Mapping[str, Any]) -> bool:
    """Whether a run asks the model as it comes, with solved examples before every prompt."""
    return "shots" in run


def known_numbers(config: Mapping[str, Any], model: str) -> int | None:
    """p of a model where the configuration tells it: declared, or that of its pre-training."""
    entry = config["models"][model]
    for source in entry["sources"]:
        if "pretrain" in source:
            return int(config["pretraining"][source["pretrain"]]["numbers"])
    declared = entry.get("numbers")
    return None if declared is None else int(declared)


def task_of(config: Mapping[str, Any], name: str) -> Task:
    """The task of a checked configuration."""
    return Task.from_config(name, config["tasks"][name])


def tau_of(config: Mapping[str, Any], numbers: int) -> int:
    """The cut for a number space of p = `numbers`.

    `paper` scales 50 components of base period 520 to the base period p - 1, rounded up: the
    cut stays just below the component of period 10. Raises UserError when a given tau does not
    divide the components.
    """
    tau: int | str = config["analysis"]["tau"]
    components = (numbers - 1) // 2
    if isinstance(tau, str):
        return max(2, math.ceil(PAPER_TAU / PAPER_PERIOD * (numbers - 1)))

    limit = components if config["analysis"]["cut"] == "component" else 2 * components
    if tau > limit:
        raise UserError(
            f"Config key `analysis.tau` is {tau}, beyond the {limit} {config['analysis']['cut']}s "
            f"of the number space 0..{numbers - 1}."
        )
    return tau


def instance(run: str, seed: int) -> str:
    """Name of one run with one seed, as in paths: `mini.finetuned.seed0`."""
    return f"{run}.seed{seed}"


def instances(config: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Every run with every seed: instance name -> (run, seed)."""
    return {
        instance(name, seed): (name, seed) for name, run in config["runs"].items() for seed in run["seeds"]
    }


def label_of(config: Mapping[str, Any], name: str) -> str:
    """What figures and tables call a run, a model under `embeddings` or a run of an API."""
    for section in ("runs", "embeddings", "api_runs"):
        if name in config[section]:
            return str(config[section][name].get("label", name))
    return name


def notes_of(config: Mapping[str, Any], names: Sequence[str]) -> str:
    """What stands under a figure of runs or models: the study's note, then the models', a line each.

    A note that is not of everything that is shown begins with the labels of what it is of.
    """
    noted: dict[str, list[str]] = {}
    for name in names:
        model = config["runs"][name]["model"] if name in config["runs"] else name
        note = config["models"][model]["note"] if model in config["models"] else ""
        noted.setdefault(note, []).append(label_of(config, name))
    lines = [config["note"]] if config["note"] else []
    for note, labels in noted.items():
        if note and note not in lines:
            lines.append(f"{'; '.join(dict.fromkeys(labels))}: {note}" if len(noted) > 1 else note)
    return "\n".join(lines)


def digit_ranges(config: Mapping[str, Any]) -> dict[str, Sequence[int] | None]:
    """Ranges of operands that ablations look at: name in paths -> [smallest, largest] operand.

    `all` stands for every example and has no range, whatever the configuration calls `all`.
    """
    named = {slug(label): span for label, span in config["ablations"]["digit_ranges"].items()}
    return {"all": None} | {name: span for name, span in named.items() if name != "all"}
