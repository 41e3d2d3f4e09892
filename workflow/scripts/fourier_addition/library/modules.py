"""What the attention and the MLP of every layer write, and the spectra of their logits, in memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd
import xarray as xr

from fourier_addition.analysis.module_spectra import module_spectra as spectra_of
from fourier_addition.library.embeddings import number_space
from fourier_addition.models import MODULES, Recorder, wrap


def module_outputs(model: Any, tokenizer: Any, prompts: Sequence[str], *, batch_size: int = 64) -> xr.Dataset:
    """Outputs of every attention and MLP module where the answer is read (section 2), for some prompts.

    model: a Hugging Face model of a known family, causal or masked. batch_size: prompts of one pass.
    Returns module_output (module, layer, example, feature) and residual (state, example, feature), float32,
    state 0 before the first block, with the coordinate prompt (example).
    Raises UserError for an unknown family or a prompt that does not fit.
    """
    view = wrap(model, tokenizer)
    layers, width = view.n_layers, view.d_model
    outputs = np.empty((len(MODULES), layers, len(prompts), width), np.float32)
    residual = np.empty((layers + 1, len(prompts), width), np.float32)

    # Prompts of one length pass together; each goes back to its own place.
    with view.evaluating(), Recorder(view, batch_size) as recorder:
        for bucket in view.buckets(view.encode(prompts), batch_size):
            recorded = recorder.run(bucket.ids, bucket.position)
            outputs[:, :, bucket.index] = recorded.module_output.float().cpu().numpy()
            residual[:, bucket.index] = recorded.residual.float().cpu().numpy()
    return xr.Dataset(
        {
            "module_output": (("module", "layer", "example", "feature"), outputs),
            "residual": (("state", "example", "feature"), residual),
        },
        coords={
            "module": list(MODULES),
            "layer": np.arange(layers),
            "state": np.arange(layers + 1),
            "prompt": ("example", list(prompts)),
        },
    )


def module_spectra(
    outputs: xr.Dataset,
    model: Any,
    tokenizer: Any,
    *,
    form: str = "bare",
    numbers: int | None = None,
    norm: str = "raw",
    basis: str = "paper",
    average: str = "mean",
    examples: int = 256,
    draws: int = 200,
    level: float = 0.95,
    window: int = 5,
    seed: int = 0,
) -> pd.DataFrame:
    """Mean Fourier spectrum of every module's logits over the numbers, with its null (section 3.2, figure 3).

    outputs: what `module_outputs` returns for the same model. norm: `raw` reads outputs by W_U, `folded`
    with the final norm's gain. average: `mean` or `rms` over the examples. examples: at most so many enter
    the null. The rest is as for `number_spectrum`.
    Columns: module, layer, component, period, magnitude, prominence, p_value, threshold, outlier.
    """
    view = wrap(model, tokenizer)
    space = number_space(tokenizer, form)
    ids = (space if numbers is None else space.first(numbers)).ids
    name = "folded_unembedding" if norm == "folded" else "unembedding"
    rows = view.module_unembedding(ids, norm).float().cpu().numpy()
    settings = {
        "basis": basis,
        "norm": norm,
        "average": average,
        "null_examples": examples,
        "null_draws": draws,
        "null_level": level,
        "null_window": window,
        "seed": seed,
    }
    return spectra_of(outputs, xr.Dataset({name: (("number", "feature"), rows)}), settings)
