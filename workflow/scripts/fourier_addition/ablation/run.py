"""Run conditions on examples: one call for every architecture, method and reading."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import torch
import xarray as xr

from fourier_addition.ablation.conditions import Condition, check_conditions, layers_label
from fourier_addition.ablation.engine.all_positions import hidden_at_all_positions
from fourier_addition.ablation.engine.engine import Engine
from fourier_addition.ablation.plain import POSITIONS, plain_hidden
from fourier_addition.ablation.predict import PREDICTIONS, AnswerPredictor
from fourier_addition.ablation.sources import (
    SourceStates,
    check_sources,
    places_with_source,
    record_states,
)
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.errors import UserError
from fourier_addition.models import Encoded, ModelView

METHODS = ("auto", "plain", "engine")


@torch.inference_mode()
def run_conditions(
    view: ModelView,
    encoded: Sequence[Encoded],
    number_ids: torch.Tensor | np.ndarray | Sequence[int],
    conditions: Sequence[Condition],
    *,
    answers: Sequence[int] | np.ndarray,
    batch_size: int,
    method: str = "auto",
    positions: str = "last",
    prediction: str = "numbers",
    rows: int = 1024,
    sources: SourceStates | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> xr.Dataset:
    """Prediction and loss of every example under every condition (table 1).

    encoded: prompts as `ModelView.encode` gives them. number_ids: (number,) token ids of 0..p-1.
    answers: (example,) the right number of each prompt.
    batch_size: prompts whose keys and values are held at one time.
    method: `plain` runs the model once for each condition, `engine` computes once what conditions and
        prompts share; `auto` takes the engine wherever it can: causal models.
    positions: filter at the reading position (`last`) or at every token (`all`).
    prediction: take argmax and softmax over the `numbers` or the whole `vocabulary`.
    rows: states of the last token (examples x conditions) that the engine carries at one time.
    sources: states that interventions replace coefficients from; by default those of the same prompts,
        run as the model is before any condition.
    progress: called with (pairs of condition and example done, all of them).

    Returns a dataset with dimensions (condition, example): `prediction` int32, -1 where the token is
    no number, and `loss` float32 in nats; what each condition is in its coordinates.
    Raises UserError for what cannot be run.
    """
    # Refuse what cannot be run before the model runs.
    _check_choices(method, positions, prediction)
    check_conditions(conditions, view.d_model, view.n_layers)
    number_ids = torch.as_tensor(np.asarray(number_ids), dtype=torch.long, device=view.device)
    answers = _checked_answers(answers, len(encoded), len(number_ids))
    if rows < 1:
        raise UserError(f"`rows` must be at least 1, not {rows}.")
    engine = _takes_engine(view, method)
    check_sources(conditions, sources, len(encoded), len(number_ids), positions)
    places = places_with_source(conditions)
    if sources is None and places:
        sources = record_states(view, encoded, places, batch_size, len(number_ids))

    # What runs the conditions, what reads the answers, and room for every example under every condition
    filters = TorchFilters(view.device, view.dtype, sources)
    predict = AnswerPredictor(view, number_ids, prediction)
    predictions = np.empty((len(conditions), len(encoded)), np.int32)
    losses = np.empty((len(conditions), len(encoded)), np.float32)
    runner = Engine(view, conditions, filters, rows) if engine and positions == "last" else None

    # Neighbours in this order share the longest prefixes.
    order = np.array(sorted(range(len(encoded)), key=lambda row: encoded[row].ids), np.int64)
    done, total = 0, predictions.size
    for bucket in view.buckets([encoded[row] for row in order], batch_size):
        index = order[bucket.index]
        target = torch.from_numpy(answers[index]).to(view.device)
        if runner is not None:
            hidden = runner.hidden(bucket, index)
        elif engine:
            hidden = hidden_at_all_positions(view, bucket, conditions, filters)
        else:
            hidden = plain_hidden(view, bucket, conditions, filters, positions, index)
        for numbers, states in hidden:
            predicted, loss = predict(states, target)
            predictions[np.ix_(numbers, index)] = predicted.cpu().numpy()
            losses[np.ix_(numbers, index)] = loss.cpu().numpy()
            done += len(numbers) * len(index)
            if progress is not None:
                progress(done, total)
    return _dataset(predictions, losses, conditions, answers, positions, prediction)


def _check_choices(method: str, positions: str, prediction: str) -> None:
    for name, value, allowed in (
        ("method", method, METHODS),
        ("positions", positions, POSITIONS),
        ("prediction", prediction, PREDICTIONS),
    ):
        if value not in allowed:
            raise UserError(f"`{name}` must be one of {', '.join(allowed)}, not '{value}'.")


def _takes_engine(view: ModelView, method: str) -> bool:
    """Whether the engine runs the conditions. Raises UserError where it is asked for and cannot."""
    if view.reusable_cache:
        return method != "plain"
    if method == "engine":
        raise UserError(f"The engine cannot run {view.family}; use method 'auto' or 'plain'.")
    return False


def _checked_answers(answers: Sequence[int] | np.ndarray, examples: int, numbers: int) -> np.ndarray:
    answers = np.asarray(answers, np.int64)
    if answers.shape != (examples,):
        raise UserError(f"There are {examples} prompts but answers of shape {answers.shape}.")
    if examples == 0:
        raise UserError("There is no example to run the conditions on.")
    outside = answers[(answers < 0) | (answers >= numbers)]
    if outside.size:
        raise UserError(f"Answer {outside[0]} lies outside the number space 0..{numbers - 1}.")
    return answers


def _dataset(
    predictions: np.ndarray,
    losses: np.ndarray,
    conditions: Sequence[Condition],
    answers: np.ndarray,
    positions: str,
    prediction: str,
) -> xr.Dataset:
    """What was found, (condition, example), with what each condition is in its coordinates."""
    over = "number tokens" if prediction == "numbers" else "vocabulary"
    dims = ("condition", "example")
    columns = {
        "condition": [c.name for c in conditions],
        "kind": [c.kind for c in conditions],
        "band": [c.band for c in conditions],
        "module": [c.modules for c in conditions],
        "layers": [layers_label(c.layers) for c in conditions],
        "removed_components": np.array([len(c.components) for c in conditions], np.int32),
        "rank": np.array([c.rank for c in conditions], np.int32),
        "draw": np.array([c.draw for c in conditions], np.int32),
        "control_of": [c.control_of for c in conditions],
        "value": np.array([c.value for c in conditions], np.float64),
    }
    return xr.Dataset(
        {
            "prediction": (
                dims,
                predictions,
                {"description": f"number of the likeliest token among the {over}; -1 where it is no number"},
            ),
            "loss": (
                dims,
                losses,
                {"units": "nat", "description": f"cross entropy of the answer's token over the {over}"},
            ),
        },
        coords={name: ("condition", values) for name, values in columns.items()}
        | {"example": np.arange(len(answers)), "answer": ("example", answers)},
        attrs={"positions": positions, "prediction_over": prediction},
    )
