"""Filters, turns and other interventions made in a model in memory, and the answers that it then gives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
import xarray as xr

from fourier_addition.ablation.conditions import Condition, chosen_layers
from fourier_addition.ablation.plain import filtered
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.errors import UserError
from fourier_addition.filters import Band, Filter, component_of_period, components_of, removal_basis
from fourier_addition.fourier import FourierBasis, fourier_basis
from fourier_addition.interventions import Intervention, Planes, planes_of
from fourier_addition.library.embeddings import number_space
from fourier_addition.models import wrap
from fourier_addition.modules import CHANGED, RESIDUAL

PAPER_CUT = 50 / 520
"""The paper's tau, 50, as a share of its base period, 520: it lies just below the component of period 10."""
PERIODS = (10.0, 5.0, 10 / 3, 2.5, 2.0)
"""The periods of the last digit."""


def number_filter(
    model: Any,
    tokenizer: Any,
    band: Band,
    *,
    tau: int | None = None,
    form: str = "bare",
    numbers: int | None = None,
    norm: str = "raw",
    basis: str = "paper",
) -> Filter:
    """The filter of table 1 that takes a band out of a model's module outputs (section 3.3).

    band: `low`, `high`, or a mapping as `{"periods": [2, 5]}`, `{"components": [1, 2]}`, `{"range": [1, 9]}`
    or `{"complement": "low"}`. tau: the first component that is high; the paper's 50 of 520, scaled to the
    numbers, unless given. The rest is as for `module_spectra`.
    Raises UserError for a band without components, and where the filter would leave no dimension.
    """
    rows, over = _read(model, tokenizer, form, numbers, norm, basis)
    cut = max(2, math.ceil(PAPER_CUT * over.base_period)) if tau is None else tau
    return Filter.removing(removal_basis(rows, over, components_of(band, over, cut)))


def number_planes(
    model: Any,
    tokenizer: Any,
    periods: Sequence[float] = PERIODS,
    *,
    tolerance: float = 0.05,
    form: str = "bare",
    numbers: int | None = None,
    norm: str = "raw",
    basis: str = "orthonormal",
) -> Planes:
    """The planes of some periods in a model's residual stream, for `interventions.turn` and its like.

    periods: in numbers. tolerance: largest relative distance of a component's period from one of them.
    basis: with `orthonormal`, a turn by one number moves a wave by just one number. The rest is as for
    `module_spectra`. Raises UserError for a period that no component has.
    """
    rows, over = _read(model, tokenizer, form, numbers, norm, basis)
    return planes_of(rows, over, sorted({component_of_period(period, over, tolerance) for period in periods}))


def number_logits(
    model: Any,
    tokenizer: Any,
    prompts: Sequence[str],
    *,
    change: Filter | Intervention | None = None,
    modules: str = RESIDUAL,
    layers: Sequence[int] | None = None,
    form: str = "bare",
    numbers: int | None = None,
    batch_size: int = 64,
) -> xr.DataArray:
    """A model's logits over the numbers where the answer is read: (example, number) float32.

    The answers are `.argmax("number")`. model: a Hugging Face model of a known family; its weights stay as
    they are. change: a filter or an intervention without a source, made at the reading position alone.
    modules: where it is made: the outputs of `attention`, `mlp` or `both`, or the `residual` stream after a
    block. layers: at which blocks, from 0; all unless given. batch_size: prompts of one pass.
    Raises UserError for an unknown place, a change of another width or with a source, or a prompt that does
    not fit.
    """
    view = wrap(model, tokenizer)
    view.on_one_device("Interventions")
    space = _space(tokenizer, form, numbers)
    condition = _condition(change, modules, layers, view.n_layers, view.d_model)
    logits = np.empty((len(prompts), space.size), np.float32)

    # Prompts of one length pass together; each goes back to its own place.
    filters = TorchFilters(view.device, view.dtype)
    with view.evaluating(), torch.inference_mode():
        for bucket in view.buckets(view.encode(prompts), batch_size):
            with filtered(view, condition, bucket.position, filters):
                hidden = view.final_hidden(bucket.ids, bucket.position)
            logits[bucket.index] = view.number_logits(hidden, space.ids).cpu().numpy()
    coordinates = {"number": np.arange(space.size), "prompt": ("example", list(prompts))}
    return xr.DataArray(logits, dims=("example", "number"), coords=coordinates, name="logit")


def _space(tokenizer: Any, form: str, numbers: int | None) -> Any:
    space = number_space(tokenizer, form)
    return space if numbers is None else space.first(numbers)


def _read(
    model: Any, tokenizer: Any, form: str, numbers: int | None, norm: str, basis: str
) -> tuple[np.ndarray, FourierBasis]:
    """The rows that read module outputs as logits, (number, d_model), and the basis over the numbers."""
    ids = _space(tokenizer, form, numbers).ids
    rows = wrap(model, tokenizer).module_unembedding(ids, norm).float().cpu().numpy()
    return rows, fourier_basis(len(ids), basis)


def _condition(
    change: Filter | Intervention | None,
    modules: str,
    layers: Sequence[int] | None,
    n_layers: int,
    width: int,
) -> Condition:
    """The change and its places, checked."""
    if modules not in CHANGED:
        raise UserError(f"Module '{modules}' is not known; it is one of {', '.join(CHANGED)}.")
    at = chosen_layers(n_layers, layers)
    if change is not None and change.width != width:
        raise UserError(f"A change of a residual stream of {change.width} does not fit a model of {width}.")
    if isinstance(change, Intervention) and change.given is not None:
        raise UserError("A change here has no source: other prompts' coefficients need `run_conditions`.")
    return Condition("given", "given", "given", modules, at, filter=change)
