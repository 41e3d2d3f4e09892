"""From a GGUF file to a Hugging Face directory: configuration, float32 safetensors and tokenizer.

Values are dequantised by the package gguf. Names and layouts of tensors are those that transformers' own
reader knows (`get_gguf_hf_weights_map`, `TENSOR_PROCESSORS`). Nothing of the file is run.
"""

from __future__ import annotations

import logging
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
import torch
from gguf import GGMLQuantizationType, dequantize
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM, PretrainedConfig
from transformers.modeling_gguf_pytorch_utils import (
    TENSOR_PROCESSORS,
    TensorProcessor,
    get_gguf_hf_weights_map,
)

from fourier_addition.errors import UserError
from fourier_addition.files.gguf_header import GgufHeader, read_header
from fourier_addition.files.model_texts import ANOTHER_COPY
from fourier_addition.models.gguf_config import gguf_config
from fourier_addition.models.gguf_tokenizer import gguf_tokenizer
from fourier_addition.models.quiet import quiet

logger = logging.getLogger(__name__)


def read_gguf(file: Path, directory: Path, where: str = "") -> dict[str, Any]:
    """Write the model of a GGUF file into an existing directory, as `load_model` reads one.

    where: the model, for messages. Returns facts for the provenance: architecture, types (name of a type ->
    number of tensors), read_by (version of the package gguf). Raises UserError for a file, an architecture,
    a type or a tokenizer that cannot be read, and for tensors that do not make up exactly the model that the
    metadata describe.
    """
    shown = f"{where}: {file.name}" if where else str(file)
    header = read_header(file, where)
    with quiet():
        config = gguf_config(header, shown)
        weights = gguf_weights(header, config, shown)
        tokenizer = gguf_tokenizer(header, shown)
        config.architectures = [type(_skeleton(config)).__name__]
        config.dtype = "float32"
        config.save_pretrained(directory)
        tokenizer.save_pretrained(directory)
    save_file(weights, directory / "model.safetensors", metadata={"format": "pt"})
    logger.info("%s: %d tensors, %s", shown, len(header.tensors), header.types())
    return {
        "architecture": header.architecture,
        "types": header.types(),
        "read_by": f"gguf {version('gguf')}",
    }


def gguf_weights(header: GgufHeader, config: PretrainedConfig, shown: str) -> dict[str, torch.Tensor]:
    """The tensors of a GGUF file, dequantised, by their Hugging Face names; float32.

    config: what `gguf_config` returns. shown: the file, for messages. Raises UserError for a tensor that the
    model has no place for, for one of another shape, for one that is missing, and for values that are not
    finite.
    """
    # Hugging Face's name of every tensor, and what llama.cpp did to its layout.
    model = _skeleton(config)
    wanted = {name: tuple(value.shape) for name, value in model.state_dict().items()}
    kind: Any = TENSOR_PROCESSORS.get(header.architecture, TensorProcessor)
    processor: Any = kind(config=config.to_dict())
    mapped: Any = get_gguf_hf_weights_map
    names = mapped(model, processor)
    names["output.weight"] = "lm_head.weight"

    # One tensor after the other: dequantised, in Hugging Face's layout, and of the model's shape.
    stored = np.memmap(header.file, dtype=np.uint8, mode="r")
    weights: dict[str, torch.Tensor] = {}
    for tensor in header.tensors:
        name = names.get(tensor.name)
        if name not in wanted or name in weights:
            raise UserError(
                f"{shown} holds {tensor.name}, for which the model that its metadata describe has no place,"
                " so the model would be another one: use the model's safetensors."
            )
        values = _values(stored[tensor.start : tensor.start + tensor.bytes], tensor.type, tensor.shape)
        if tensor.name != "output.weight":
            values = processor.process(weights=values, name=tensor.name).weights
        if values.shape != wanted[name]:
            raise UserError(
                f"{shown} holds {tensor.name} of shape {values.shape}, but its metadata ask for"
                f" {wanted[name]}."
            )
        if not np.isfinite(values).all():
            raise UserError(f"{shown} holds {tensor.name} with values that are not finite: {ANOTHER_COPY}.")
        weights[name] = torch.from_numpy(np.ascontiguousarray(values, np.float32))

    # All of the model; a tied unembedding is the embedding.
    tied = {"lm_head.weight"} if config.tie_word_embeddings else set()
    missing = sorted(wanted.keys() - weights.keys() - tied)
    if missing:
        raise UserError(f"{shown} lacks {missing[0]}.")
    return weights


def _skeleton(config: PretrainedConfig) -> Any:
    """The model of a configuration, without memory for its weights."""
    auto: Any = AutoModelForCausalLM
    with torch.device("meta"):
        return auto.from_config(config)


def _values(data: np.ndarray, kind: int, shape: tuple[int, ...]) -> np.ndarray:
    """A tensor's values. data: (byte,) uint8. kind: its type in the file. Returns `shape`, float32."""
    quantisation = GGMLQuantizationType(kind)
    if quantisation == GGMLQuantizationType.F32:
        return data.view(np.float32).reshape(shape).copy()
    if quantisation == GGMLQuantizationType.F16:
        return data.view(np.float16).astype(np.float32).reshape(shape)
    rows = data.reshape(*shape[:-1], -1) if shape[:-1] else data
    return np.asarray(dequantize(rows, quantisation), np.float32).reshape(shape)
