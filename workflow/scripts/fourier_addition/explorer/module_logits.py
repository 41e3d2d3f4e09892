"""Logits over the numbers of single examples: of modules, of residual states, and the model's own."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import xarray as xr

from fourier_addition.explorer.packing import packed_integers, packed_rows
from fourier_addition.explorer.waves import top_waves
from fourier_addition.fourier import FourierBasis

WAVES = 10
"""Waves that are kept of each signal."""


def module_logits(capture: xr.Dataset, unembedding: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """W_U x of the module outputs x of chosen examples: (module, layer, example, number).

    capture: `module_output` (module, layer, example, feature). unembedding: (number, feature).
    """
    outputs = capture["module_output"]
    return np.stack(
        [
            [
                outputs.isel(module=module, layer=layer, example=list(chosen)).values.astype(np.float64)
                @ unembedding.T
                for layer in range(outputs.sizes["layer"])
            ]
            for module in range(outputs.sizes["module"])
        ]
    )


def state_logits(capture: xr.Dataset, unembedding: np.ndarray, chosen: Sequence[int]) -> np.ndarray:
    """The logit lens without a norm, W_U h, of chosen examples: (state, example, number).

    capture: `residual` (state, example, feature). unembedding: (number, feature).
    """
    states = capture["residual"]
    return np.stack(
        [
            states.isel(state=state, example=list(chosen)).values.astype(np.float64) @ unembedding.T
            for state in range(states.sizes["state"])
        ]
    )


def logits_part(
    capture: xr.Dataset,
    unembedding: np.ndarray,
    chosen: Sequence[int],
    basis: FourierBasis,
    lens_norm: str,
) -> dict[str, Any]:
    """What the page holds of logits, packed.

    module, wave_*: (module, layer, example, ...), with attention, mlp and the sum of both. state: of
    residual states. final: (example, number). lens: (state, example) predictions with `lens_norm`.
    Every row of logits is without its mean, which moves no prediction and is no wave.
    """
    modules = module_logits(capture, unembedding, chosen)
    waves = top_waves(np.concatenate([modules, modules.sum(axis=0, keepdims=True)]), basis, WAVES)
    final = capture["final_logits"].isel(example=list(chosen)).values.astype(np.float64)
    lens = capture["lens_prediction"].sel(norm=lens_norm).isel(example=list(chosen)).values
    return {
        "layers": int(modules.shape[1]),
        "module": packed_rows(_centred(modules)),
        "state": packed_rows(_centred(state_logits(capture, unembedding, chosen))),
        "final": packed_rows(_centred(final)),
        "lens": packed_integers(lens),
        "lens_norm": lens_norm,
        "wave_component": packed_integers(waves.component),
        "wave_amplitude": packed_rows(waves.amplitude),
        "wave_phase": packed_rows(waves.phase),
    }


def _centred(logits: np.ndarray) -> np.ndarray:
    """Logits (..., number) without their mean."""
    centred: np.ndarray = logits - logits.mean(axis=-1, keepdims=True)
    return centred
