"""The unembedding with what stands before it folded in: one linear map from module outputs to numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

MODULE_NORMS = ("none", "gain")
"""How what stands before the unembedding enters a module's logits: not at all, or its linear part."""


def folded_unembedding(view: Any, ids: Any) -> torch.Tensor:
    """W_U with what stands before it folded in, (number, d_model) float32, detached.

    view: a `ModelView`. ids: (number,) token ids. Causal models: W_U diag(g), g the gain of the final
    norm, whose division by a deviation is one factor for all numbers. Masked models have a dense
    layer D, a GELU and a norm there: W_U diag(g) D. The GELU is z / 2 plus an even function of z,
    so its linear part is again one factor.
    """
    rows = view.unembedding(ids)
    if view.final_norm_gain_defined:
        return rows * view.final_norm_gain()
    transform = view.final_norm
    norm = transform.LayerNorm if hasattr(transform, "LayerNorm") else transform.layer_norm
    gain, dense = (weight.detach().to(rows) for weight in (norm.weight, transform.dense.weight))
    return (rows * gain) @ dense


def module_unembedding(view: Any, ids: Any, norm: str) -> np.ndarray:
    """The rows that read module outputs as logits, (number, d_model) float32.

    norm: `none` is W_U as the paper writes, `gain` is `folded_unembedding`.
    """
    rows = folded_unembedding(view, ids) if norm == "gain" else view.unembedding(ids)
    return rows.cpu().numpy()
