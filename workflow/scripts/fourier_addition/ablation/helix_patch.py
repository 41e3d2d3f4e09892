"""Rebuilt states patched in for the true ones: does the model go on as if it had the other prompt's state?

As in LLM-addition (arXiv 2502.00873): a target prompt is given the state of a source prompt, or what is
rebuilt of that state. The logit difference is the logit of the source's answer with the patch, minus the
same logit without it, in nats.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from fourier_addition.ablation.patching import patched_logits
from fourier_addition.analysis.helix import HelixSettings
from fourier_addition.analysis.rebuilt import Rebuilt, rebuilt_states
from fourier_addition.errors import UserError
from fourier_addition.intervals import student_interval, wilson_interval
from fourier_addition.models import ModelView
from fourier_addition.models.encoding import Encoded

COLUMNS = [
    *("layer", "kind", "dimension", "examples", "logit_difference", "low", "high"),
    *("accuracy", "accuracy_low", "accuracy_high"),
]


def draw_sources(numbers: np.ndarray, templates: np.ndarray, seed: int) -> np.ndarray:
    """For each example another one with the same template and another number, (example,) indices.

    numbers, templates: (example,). seed: of the draw. -1 where there is no such example.
    """
    generator = np.random.default_rng(seed)
    sources = np.full(len(numbers), -1)
    for row in range(len(numbers)):
        fitting = np.flatnonzero((templates == templates[row]) & (numbers != numbers[row]))
        if len(fitting):
            sources[row] = generator.choice(fitting)
    return sources


@dataclass(frozen=True)
class Targets:
    """The prompts that are patched, and the prompts whose states are put in.

    rows, sources: (target,) indices of examples. encoded: (target,) the target's prompt. positions:
    (target,) the token whose state is replaced. answers: (target,) the source's answer.
    """

    rows: np.ndarray
    sources: np.ndarray
    encoded: Sequence[Encoded]
    positions: Sequence[int]
    answers: np.ndarray


def targets_of(
    encoded: Sequence[Encoded], answers: np.ndarray, templates: np.ndarray, *, most: int, seed: int
) -> Targets:
    """Targets among examples, patched at their reading position.

    encoded, answers, templates: (example,). most: targets, drawn from the examples with `seed`; 0 for all.
    Raises UserError where no two prompts of one template have different answers.
    """
    sources = draw_sources(answers, templates, seed)
    rows = np.flatnonzero(sources >= 0)
    if not len(rows):
        raise UserError("No two prompts of one template have different answers: no state can be patched.")
    if most and most < len(rows):
        rows = np.sort(np.random.default_rng(seed).permutation(rows)[:most])
    chosen = [encoded[int(row)] for row in rows]
    return Targets(rows, sources[rows], chosen, [one.position for one in chosen], answers[sources[rows]])


def helix_patches(
    view: ModelView,
    states: Iterable[np.ndarray],
    targets: Targets,
    numbers: np.ndarray,
    templates: np.ndarray,
    number_ids: np.ndarray,
    settings: HelixSettings,
    *,
    batch_size: int,
) -> pd.DataFrame:
    """Effect of every patch at every state of the residual stream.

    states: one array (example, d_model) a state, at the position that is patched. numbers, templates:
    (example,) what the states are about, and the phrasings. Columns: `COLUMNS`; layer is the state, kind
    is `state` (the source's own state) or a name of `rebuilt_states`, logit_difference is in nats with its
    95 % interval over examples, accuracy is the share of targets that get the source's answer, and
    dimension is that of what was put in. Raises UserError as `rebuilt_states` does.
    """
    places = np.arange(len(targets.rows))
    before = patched_logits(view, targets.encoded, number_ids, 0, None, (), batch_size=batch_size)
    rows = []
    for layer, values in enumerate(states):
        patches = {"state": Rebuilt(values.shape[1], values)}
        patches |= rebuilt_states(values, numbers, templates, settings)
        for kind, patch in patches.items():
            # The source's state, or what is rebuilt of it, goes into the target's pass.
            vectors = patch.states[targets.sources].astype(np.float32)
            logits = patched_logits(
                view,
                targets.encoded,
                number_ids,
                layer,
                vectors,
                targets.positions,
                batch_size=batch_size,
            )
            difference = (logits - before)[places, targets.answers].astype(np.float64)
            accuracy = float((logits.argmax(axis=1) == targets.answers).mean())
            interval = student_interval(difference)
            shares = wilson_interval(accuracy, len(places))
            rows.append([layer, kind, patch.dimension, len(places), difference.mean(), *interval])
            rows[-1] += [accuracy, *shares]
    return pd.DataFrame(rows, columns=COLUMNS)
