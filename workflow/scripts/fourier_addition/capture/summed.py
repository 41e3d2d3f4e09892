"""Module outputs at the reading position, summed over layers, and final logits; nothing is stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from fourier_addition.models import ModelView, Recorder
from fourier_addition.modules import MODULES


def summed_outputs(
    view: ModelView, prompts: Sequence[str], number_ids: np.ndarray, *, batch_size: int
) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """What all layers of a module write together, and the final logits, at the reading position.

    Returns module -> (example, d_model) float32, the sum of its outputs over layers, and logits
    (example, number) float32. In models without norms after the sum (`ModelView.post_norm`), both sums and
    the embedding make the last residual state.
    """
    encoded = view.encode(prompts)
    sums = {module: np.empty((len(encoded), view.d_model), np.float32) for module in MODULES}
    logits = np.empty((len(encoded), len(number_ids)), np.float32)
    with view.evaluating(), Recorder(view, batch_size) as recorder:
        for bucket in view.buckets(encoded, batch_size):
            recorded = recorder.run(bucket.ids, bucket.position)
            final = view.number_logits(recorded.residual[-1], number_ids)
            logits[bucket.index] = final.detach().float().cpu().numpy()
            for kind, module in enumerate(MODULES):
                total = recorded.module_output[kind].float().sum(dim=0)
                sums[module][bucket.index] = total.cpu().numpy()
    return sums, logits
