"""The running example: what each module's output of one prompt says of the numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import pandas as pd
import torch

from fourier_addition.errors import UserError
from fourier_addition.models import ModelView, Recorder
from fourier_addition.modules import MODULE_NORMS, MODULES


def running_example(
    view: ModelView,
    prompt: str,
    number_ids: Sequence[int] | np.ndarray | torch.Tensor,
    *,
    norm: str = "raw",
) -> pd.DataFrame:
    """Logits over the numbers of every module's output for one prompt (figures 1b, 1c and 20).

    norm: "raw" reads a module's output x as W_U x, which is what the paper writes; "folded"
    folds what stands before the unembedding into it. Residual states are read
    in the same way, so that (unless the family is post-norm) they are the sums of state 0's
    logits and those of the modules so far.
    Returns a long table: module ("attention", "mlp", "residual" or "final"), layer (the
    state for "residual", -1 for "final"), number, logit. "final" holds the model's own
    logits, with its final norm, bias and soft-capping.
    Raises UserError for another `norm`.
    """
    if norm not in MODULE_NORMS:
        raise UserError(f"norm {norm!r} is not known; allowed are {', '.join(MODULE_NORMS)}.")
    ids = torch.as_tensor(number_ids, dtype=torch.long, device=view.device)
    (bucket,) = view.buckets(view.encode([prompt]), 1)

    # Read every module's output and every state by the same rows, and the model's own logits.
    with view.evaluating(), torch.inference_mode(), Recorder(view, 1) as recorder:
        recorded = recorder.run(bucket.ids, bucket.position)
        weights = view.module_unembedding(ids, norm)
        modules = recorded.module_output[:, :, 0].float() @ weights.T
        states = recorded.residual[:, 0].float() @ weights.T
        final = view.number_logits(recorded.residual[-1], ids)

    # One long table of all of them
    tables = [
        *((name, range(view.n_layers), modules[kind]) for kind, name in enumerate(MODULES)),
        ("residual", range(view.n_layers + 1), states),
        ("final", [-1], final),
    ]
    return pd.concat(
        [_long(name, layers, logits.cpu().numpy()) for name, layers, logits in tables], ignore_index=True
    )


def _long(module: str, layers: Iterable[int], logits: np.ndarray) -> pd.DataFrame:
    layers = list(layers)
    return pd.DataFrame(
        {
            "module": module,
            "layer": np.repeat(layers, logits.shape[1]),
            "number": np.tile(np.arange(logits.shape[1]), len(layers)),
            "logit": logits.ravel(),
        }
    )
