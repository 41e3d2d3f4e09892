"""A model's directory before it is loaded: are its weights plain, quantised, or beside an adapter?

Free of torch, so that a download can look too.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from fourier_addition.errors import UserError
from fourier_addition.files.model_texts import mapping

FLOATS = ("F64", "F32", "F16", "BF16")
"""Types of safetensors whose values are the weights themselves."""
NO_WEIGHT = re.compile(r"(^|\.)(pooler|masked_bias|attn\.bias|attention\.bias|position_ids|inv_freq)(\.|$)")
"""Tensors that no logit depends on: poolers, causal masks, numbers of positions, rotary frequencies."""
USE_FLOATS = "use a revision or a copy of the model with float32, float16 or bfloat16 weights"


def require_plain_weights(directory: str | Path, where: str = "") -> None:
    """Refuse a model's directory whose weights would not be read as they are.

    where: the model, for messages; the path of the file where it is left out.
    Raises UserError for a configuration that names a quantisation, an adapter beside the model, and weights
    that are stored as whole numbers or in 8 bits.
    """
    folder = Path(directory)

    def shown(file: Path) -> str:
        return f"{where}: {file.name}" if where else str(file)

    _refuse_quantisation(folder / "config.json", shown(folder / "config.json"))
    adapters = sorted(folder.glob("adapter_*"))
    if adapters:
        raise UserError(
            f"{shown(adapters[0])} belongs to an adapter, which is not applied here: merge the adapter into "
            "the model, or remove the adapter's files to study the model without it."
        )
    for file in sorted(folder.glob("*.safetensors")):
        for name, stored in stored_types(file).items():
            if stored not in FLOATS and not NO_WEIGHT.search(name):
                raise UserError(f"{shown(file)} holds {name} as {stored}, which is quantised: {USE_FLOATS}.")


def _refuse_quantisation(file: Path, shown: str) -> None:
    config = mapping(file, shown)
    for key in ("quantization_config", "compression_config"):
        if config.get(key):
            method = config[key].get("quant_method") if isinstance(config[key], dict) else None
            named = f", method {method}" if method else ""
            raise UserError(f"{shown} names a quantisation (`{key}`{named}): {USE_FLOATS}.")


def stored_types(file: Path) -> dict[str, str]:
    """Type of every tensor of a safetensors file, from its header. Raises UserError for a bad header."""
    try:
        with file.open("rb") as stream:
            header = json.loads(stream.read(int.from_bytes(stream.read(8), "little")))
        return {name: tensor["dtype"] for name, tensor in header.items() if name != "__metadata__"}
    except (ValueError, KeyError, TypeError, AttributeError, OverflowError, MemoryError) as error:
        raise UserError(f"{file} cannot be loaded: its header cannot be read.") from error
