"""Sizes of what a configuration names: models, examples, prompts and conditions."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from fourier_addition.ablation.conditions import CONTROLS, TABLE_ROWS
from fourier_addition.ablation.places import BANDS, places
from fourier_addition.errors import UserError
from fourier_addition.modules import FILTERED
from fourier_addition.pipeline.names import task_of
from fourier_addition.tasks import CUES

NO_PARAMETERS = 500_000_000
"""Assumed of a model that neither declares `parameters` nor is pre-trained here."""

VOCABULARY = 50_257
"""GPT-2's vocabulary, taken for every model from outside."""

WORDS = 39
"""Words beside the numbers of the generated text, on which models are pre-trained here."""

PRECISIONS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Shape:
    """A model's size: parameters, layers, width of the residual stream, vocabulary, bytes a weight."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    weight_bytes: int

    @property
    def weights(self) -> float:
        """Bytes of the weights in memory."""
        return self.parameters * self.weight_bytes


def gpt2_parameters(architecture: Mapping[str, Any], numbers: int) -> int:
    """Parameters of a GPT-2 that is pre-trained here on 0..numbers-1, as `miniature` builds it."""
    d, layers = architecture["width"], architecture["layers"]
    inner = architecture["inner"] or 4 * d
    block = 4 * d * d + 4 * d + 2 * d * inner + inner + d + 4 * d
    return int((numbers + WORDS + architecture["positions"]) * d + layers * block + 2 * d)


def shape_of(config: Mapping[str, Any], model: str, precision: str | None = None) -> Shape:
    """Shape of a model of a checked configuration.

    precision: of the weights in memory; the model's own `precision`, else float32. Raises UserError for
    a precision that is not known.
    """
    entry = config["models"][model]
    precision = precision or entry.get("precision") or "float32"
    if precision not in PRECISIONS:
        raise UserError(
            f"Precision '{precision}' of model '{model}' is not known; it is one of {', '.join(PRECISIONS)}."
        )
    weight_bytes, source = PRECISIONS[precision], entry["sources"][0]

    # The architecture of a model that is pre-trained here says everything.
    if "pretrain" in source:
        architecture, numbers = entry["architecture"], config["pretraining"][source["pretrain"]]["numbers"]
        parameters = gpt2_parameters(architecture, numbers)
        size = architecture["layers"], architecture["width"]
        return Shape(parameters, *size, numbers + WORDS, weight_bytes)

    # A model from outside declares its size, or its number of parameters P alone. Then layers L and width
    # d follow from P = 12 L d^2 at d = 64 L. That lies between GPT-2-XL (d = 33 L) and models of 70 billion
    # parameters (d = 102 L).
    parameters = entry.get("parameters", NO_PARAMETERS)
    if "layers" in entry and "width" in entry:
        return Shape(parameters, entry["layers"], entry["width"], VOCABULARY, weight_bytes)
    layers = max(1, round((parameters / (12 * 64**2)) ** (1 / 3)))
    return Shape(parameters, layers, 64 * layers, VOCABULARY, weight_bytes)


def examples_of(config: Mapping[str, Any], task: str, split: str) -> int:
    """Examples of a split, at most: pairs that `max_answer` leaves out are counted."""
    low, high = config["tasks"][task]["operands"]
    count: int = (high - low + 1) * (high - low + 2) // 2
    train, validation = config["tasks"][task]["fractions"]
    share: dict[str, float] = {
        "train": train,
        "validation": validation,
        "test": 1 - train - validation,
        "held-out": 1 - train,
    }
    return math.ceil(count * share[split])


def pairs_of(config: Mapping[str, Any], task: str) -> int:
    """Examples of all splits of a task together, at most."""
    train: float = config["tasks"][task]["fractions"][0]
    return math.ceil(examples_of(config, task, "train") / train)


def share_inside(config: Mapping[str, Any], task: str, span: Sequence[int] | None) -> float:
    """Share of a task's pairs whose operands both lie in a range [smallest, largest]; 1 without a range."""
    low, high = config["tasks"][task]["operands"]
    if span is None:
        return 1.0
    inside = max(0, min(high, span[1]) - max(low, span[0]) + 1)
    return float(inside * (inside + 1) / ((high - low + 1) * (high - low + 2)))


def tokens_of(config: Mapping[str, Any], run: str) -> int:
    """Tokens of a run's longest line: one for three characters, once more for every shot."""
    entry = config["runs"][run]
    task = task_of(config, entry["task"])
    high = task.operands[1]
    asked = max(len(template.format(a=high, b=high)) for template in task.templates)
    line = asked + len(CUES[task.operation]) + 1 + len(str(task.largest_answer))
    return int(math.ceil(line / 3) * (1 + entry.get("shots", 0)))


def condition_counts(config: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """Conditions and distinct filters of one ablation study, at most (`study_conditions` makes them).

    The study has fewer where cuts of the sweep round to the same component, or where no component has a
    period that is asked for.
    """
    settings = config["ablations"]
    draws, taus, periods = settings["draws"], len(settings["taus"]), len(settings["periods"])
    swept = len(settings["bands"]) if settings["layers"] else 0
    rows, modules, controls = len(TABLE_ROWS), len(FILTERED), len(CONTROLS)
    table_bands = len({band for _, band in TABLE_ROWS})
    # Period 2 and the longest period, each kept alone.
    kept = 2

    # Table 1 has one more row, which filters nothing.
    conditions = 1 + rows + controls * draws * rows + kept
    conditions += rows * taus + modules * periods + modules * swept * layers

    # Conditions that remove the same components at other modules or layers share a filter.
    filters = table_bands + controls * draws * table_bands + kept
    filters += table_bands * taus + periods + swept
    return conditions, filters


def intervention_counts(config: Mapping[str, Any], layers: int) -> dict[str, int]:
    """Conditions of one steering and of one exchange, at most (`steering_conditions`, `exchange_conditions`).

    There are fewer where no component has any of the unused periods.
    """
    settings = config["interventions"]
    deltas, draws, phases = (
        len(set(settings["deltas"]) - {0}),
        settings["draws"],
        settings["phase_draws"],
    )
    tried = len(places(layers, settings["layers"]))
    # A turn and its unused periods, the random planes of every turn, and random angles once for all turns
    steered = deltas * (2 + draws) + phases
    exchanged = len(BANDS) * (1 + draws + phases) + 1
    # Probed circles, turned in two ways, and those of shuffled numbers, in the residual stream alone
    blocks = min(layers, settings["layers"]) if settings["probe_planes"] else 0
    circles = blocks * deltas * (2 + draws)
    return {"steer": 1 + tried * steered + circles, "exchange": 1 + tried * exchanged}
