"""Is the model in memory the one that the file holds? Every tensor that was not read is a refusal.

Hugging Face passes over tensors that a model has no place for, over scale factors of quantised weights and
over adapters. The model then runs to the end and is another model.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.files.model_texts import ANOTHER_COPY
from fourier_addition.files.weights import NO_WEIGHT, USE_FLOATS

_ADAPTER = re.compile(r"lora_|adapter|\bia3_|prompt_embeddings", re.IGNORECASE)
_QUANTISED = re.compile(r"scale|zero_point|qweight|qzeros|g_idx|absmax|quant|weight_packed", re.IGNORECASE)
_OTHER_HEADS = (
    "cls.seq_relationship",
    "classifier.",
    "mtp.",
    "qa_outputs.",
    "score.",
    "v_head.",
    "value_head.",
)
"""Heads of other tasks, which stand beside the residual stream."""


def check_loaded(directory: str | Path, model: nn.Module, info: Mapping[str, Iterable[Any]]) -> None:
    """Refuse a model that took less, or something else, than its file holds.

    info: what `from_pretrained` returns with `output_loading_info`. Raises UserError for a tensor of another
    shape, a tensor without a place in the model, and a weight that is not finite.
    """
    for entry in sorted(map(tuple, info.get("mismatched_keys", ()))):
        name, stored, wanted = entry
        raise UserError(
            f"The weights in {directory} cannot be loaded: {name} has shape {tuple(stored)}, but config.json "
            f"asks for {tuple(wanted)}: configuration and weights are of different models."
        )
    for name in sorted(map(str, info.get("unexpected_keys", ()))):
        if _ADAPTER.search(name):
            raise UserError(
                f"The weights in {directory} hold {name}, a part of an adapter, which is not applied here: "
                "merge the adapter into the model."
            )
        if _QUANTISED.search(name):
            raise UserError(
                f"The weights in {directory} hold {name}, a part of a quantisation: {USE_FLOATS}."
            )
        if not NO_WEIGHT.search(name) and not name.startswith(_OTHER_HEADS):
            raise UserError(
                f"The weights in {directory} hold {name}, for which the model of config.json has no place: "
                "configuration and weights are of different models."
            )
    for name, parameter in model.named_parameters():
        if not torch.isfinite(parameter.detach()).all():
            exact = parameter.dtype == torch.float32
            remedy = ANOTHER_COPY if exact else "set the model's `precision` to float32"
            raise UserError(
                f"The weights in {directory} hold {name} with values that are not finite as "
                f"{str(parameter.dtype).removeprefix('torch.')}: {remedy}."
            )
