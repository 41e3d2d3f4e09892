"""States of unmodified runs at chosen places, from which interventions replace coefficients.

They are recorded in a pass of their own before the conditions run, so that an example's source may lie in
any batch; or they are read from a capture, which holds them already (`captured_states`).
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr

from fourier_addition.ablation.conditions import Condition, Place
from fourier_addition.errors import UserError
from fourier_addition.interventions import Intervention
from fourier_addition.models.recording import Recorder
from fourier_addition.modules import MODULES, RESIDUAL

if TYPE_CHECKING:
    from fourier_addition.models import Encoded, ModelView


@dataclass(frozen=True)
class SourceStates:
    """States of unmodified runs at the reading position.

    states: place -> (prompt, d_model). numbers: p of the task that the prompts are of.
    """

    states: Mapping[Place, torch.Tensor]
    numbers: int

    @property
    def prompts(self) -> int:
        """How many prompts there are states of."""
        return min((len(states) for states in self.states.values()), default=0)


def places_with_source(conditions: Sequence[Condition]) -> list[Place]:
    """Places at which a condition replaces something by what another prompt has there, each once."""
    places = [
        place
        for condition in conditions
        if isinstance(condition.filter, Intervention) and condition.filter.source is not None
        for place in condition.places()
    ]
    return sorted(set(places))


@torch.inference_mode()
def record_states(
    view: ModelView, encoded: Sequence[Encoded], places: Collection[Place], batch_size: int, numbers: int
) -> SourceStates:
    """Run the model as it is and keep its states at places, for every prompt.

    encoded: prompts as `ModelView.encode` gives them. numbers: p of their task.
    """
    states = {place: torch.empty(len(encoded), view.d_model, dtype=view.dtype) for place in places}
    with view.evaluating(), Recorder(view, batch_size) as recorder:
        for bucket in view.buckets(encoded, batch_size):
            found = recorder.run(bucket.ids, bucket.position)
            for (name, layer), kept in states.items():
                state = (
                    found.residual[layer + 1]
                    if name == RESIDUAL
                    else found.module_output[MODULES.index(name), layer]
                )
                kept[torch.from_numpy(bucket.index)] = state.cpu()
    return SourceStates(states, numbers)


def captured_states(capture: xr.Dataset, places: Collection[Place]) -> SourceStates:
    """The same from a capture of the same model (`capture.dataset.open_capture`), without running it."""
    states = {}
    for name, layer in places:
        if layer not in capture["layer"]:
            raise UserError(f"The capture has no layer {layer}.")
        found = (
            capture["residual"].sel(state=layer + 1)
            if name == RESIDUAL
            else capture["module_output"].sel(module=name, layer=layer)
        )
        states[name, layer] = torch.from_numpy(np.asarray(found.to_numpy(), np.float32))
    return SourceStates(states, capture.sizes["number"])


def check_sources(
    conditions: Sequence[Condition], sources: SourceStates | None, examples: int, numbers: int, positions: str
) -> None:
    """Refuse interventions that have no source where they need one, or a source that cannot be meant.

    sources: None where every example's source is another of the same examples. examples: how many there
    are. numbers: p of the task. Raises UserError.
    """
    prompts = examples if sources is None else sources.prompts
    if sources is not None and sources.numbers != numbers:
        raise UserError(
            f"The sources are of the numbers 0..{sources.numbers - 1}, but the examples of "
            f"0..{numbers - 1}: coefficients of one number space mean nothing in another."
        )
    for condition in conditions:
        applied = condition.filter
        if not isinstance(applied, Intervention):
            continue
        if applied.numbers and applied.numbers != numbers:
            raise UserError(
                f"Condition '{condition.name}' counts in the numbers 0..{applied.numbers - 1}, but the "
                f"examples are of 0..{numbers - 1}."
            )
        if applied.source is None:
            continue
        if positions != "last":
            raise UserError(
                f"Condition '{condition.name}' replaces states of the reading position by those of another "
                f"prompt, which positions '{positions}' do not have."
            )
        if applied.source.shape != (examples,):
            raise UserError(
                f"Condition '{condition.name}' has sources of shape {applied.source.shape} for {examples} "
                "examples."
            )
        outside = applied.source[(applied.source < 0) | (applied.source >= prompts)]
        if outside.size:
            raise UserError(
                f"Condition '{condition.name}' names source {outside[0]}; the sources are 0..{prompts - 1}."
            )
        for place in condition.places():
            if sources is not None and place not in sources.states:
                raise UserError(
                    f"Condition '{condition.name}' replaces at {place[0]} {place[1]}, where the sources have "
                    "no state."
                )
