"""Run a model over prompts and sum up what its heads and neurons hold at the reading position."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from fourier_addition.capture.moments import UnitMoments
from fourier_addition.errors import UserError
from fourier_addition.models import Encoded, ModelView
from fourier_addition.models.prefix_cache import shared_batches
from fourier_addition.models.prefixes import common_length
from fourier_addition.models.units import UnitRecorder, unit_shape
from fourier_addition.modules import MODULES

Moments = dict[tuple[str, int], UnitMoments]
"""(module, layer) -> moments of its heads or neurons."""


def unit_moments(
    view: ModelView,
    encoded: Sequence[Encoded],
    answers: np.ndarray,
    numbers: int,
    *,
    batch_size: int,
    layers_at_once: int,
    shared_prefix: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Iterator[Moments]:
    """Moments of all heads and neurons, some layers at a time.

    encoded: prompts as `ModelView.encode` gives them. answers: (example,) the right number of each.
    numbers: p. batch_size: prompts of one pass. layers_at_once: layers whose moments are in memory; the
    model runs once, up to the last of them, for every so many layers.
    shared_prefix: so many tokens that all prompts begin with are passed once; 0 for never.
    progress: called with (layers done, all layers).
    Raises UserError where there is no example, a size is below 1 or an answer is outside 0..p-1.
    """
    # Refuse what will not do before the model runs.
    if not encoded or len(encoded) != len(answers):
        raise UserError(f"There are {len(encoded)} prompts and {len(answers)} answers to look at units for.")
    if layers_at_once < 1:
        raise UserError(f"layers_at_once must be at least 1, not {layers_at_once}.")
    if not ((answers >= 0) & (answers < numbers)).all():
        raise UserError(f"An answer lies outside the number space 0..{numbers - 1}.")

    # What all prompts begin with is passed once.
    common = common_length(encoded) if shared_prefix and view.reusable_cache else 0
    stem = encoded[0].ids[:common] if shared_prefix and common >= shared_prefix else []

    for start in range(0, view.n_layers, layers_at_once):
        layers = range(start, min(start + layers_at_once, view.n_layers))
        moments = {
            (module, layer): UnitMoments.empty(numbers, *unit_shape(view, module, layer))
            for layer in layers
            for module in MODULES
        }

        # One pass of the model over all prompts, as far as the last of these layers
        with UnitRecorder(view, layers) as recorder, view.evaluating():
            recorder.stem.keep(stem)
            for bucket, shared in shared_batches(view, encoded, batch_size, shared_prefix):
                found = recorder.run(bucket.ids, bucket.position, shared=shared)
                for key, (values, inputs) in found.items():
                    view.require_finite(values)
                    moments[key].add(values.cpu().numpy(), answers[bucket.index], inputs.cpu().numpy())
        yield moments
        if progress is not None:
            progress(layers.stop, view.n_layers)
