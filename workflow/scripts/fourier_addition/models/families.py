"""Where each architecture keeps its parts: the only place that knows attribute paths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from fourier_addition.errors import UserError


@dataclass(frozen=True)
class Family:
    """Attribute paths and habits of one architecture.

    `attention` and `mlp` are paths inside a block to the modules whose (first) output
    tensor is what the block adds to the residual stream in evaluation mode.
    """

    name: str
    blocks: str
    attention: str
    mlp: str
    final_norm: str | None
    masked: bool = False
    # "always", "never" or the configuration key that decides it
    parallel: str = "never"
    # post-norm blocks: h = LN(h + out); paths of the two norms inside a block
    block_norms: tuple[str, str] | None = None
    # gemma multiplies by 1 + weight
    gain_offset: float = 0.0
    # the final norm is a gain after a normalisation, not a small network
    gain_defined: bool = True
    # position numbers start after the padding token's id, which costs that many positions
    offset_positions: bool = False


def _llama_like(name: str) -> Family:
    return Family(name, "model.layers", "self_attn", "mlp", "model.norm")


def _output_normed(name: str, gain_offset: float) -> Family:
    """Blocks that normalise a module's output before they add it."""
    return Family(
        name,
        "model.layers",
        "post_attention_layernorm",
        "post_feedforward_layernorm",
        "model.norm",
        gain_offset=gain_offset,
    )


def _bert_like(name: str, final_norm: str | None) -> Family:
    return Family(
        name,
        f"{name}.encoder.layer",
        "attention.output.dense",
        "output.dense",
        final_norm,
        masked=True,
        block_norms=("attention.output.LayerNorm", "output.LayerNorm"),
        gain_defined=False,
        offset_positions=name == "roberta",
    )


_TABLE = (
    Family("gpt2", "transformer.h", "attn", "mlp", "transformer.ln_f"),
    Family("gptj", "transformer.h", "attn", "mlp", "transformer.ln_f", parallel="always"),
    Family("phi", "model.layers", "self_attn", "mlp", "model.final_layernorm", parallel="always"),
    Family(
        "gpt_neox",
        "gpt_neox.layers",
        "attention",
        "mlp",
        "gpt_neox.final_layer_norm",
        parallel="use_parallel_residual",
    ),
    _llama_like("llama"),
    _llama_like("mistral"),
    _llama_like("qwen2"),
    _llama_like("qwen3"),
    _output_normed("gemma2", gain_offset=1.0),
    _output_normed("gemma3", gain_offset=1.0),
    _output_normed("olmo2", gain_offset=0.0),
    _bert_like("bert", "cls.predictions.transform"),
    _bert_like("roberta", None),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _TABLE}

# configuration's model_type where it is not the family's name
_MODEL_TYPES = {"gemma3_text": "gemma3"} | {name: name for name in FAMILIES if name != "gemma3"}


def family_of(config: Any) -> Family:
    """Family of a Hugging Face configuration.

    Raises UserError for a `model_type` that is not supported; of gemma3 only the
    text models (`gemma3_text`) are.
    """
    model_type = getattr(config, "model_type", None)
    if model_type not in _MODEL_TYPES:
        raise UserError(
            f"model_type {model_type!r} is not supported; allowed are {', '.join(sorted(_MODEL_TYPES))}."
        )
    return FAMILIES[_MODEL_TYPES[model_type]]


def position_limit(config: Any, family: Family) -> int | None:
    """Most tokens that a prompt may have, None where the configuration does not say."""
    limit = getattr(config, "max_position_embeddings", None)
    if limit is None or not family.offset_positions:
        return limit
    return limit - config.pad_token_id - 1


def submodule(root: nn.Module, path: str) -> nn.Module:
    """The module at a dotted path below `root`."""
    return root.get_submodule(path)


class RobertaHeadTransform(nn.Module):
    """The part of RoBERTa's head before the unembedding, which has no module of its own.

    Shares the head's parameters; equation: LN(gelu(W x + b)).
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.dense = head.dense
        self.layer_norm = head.layer_norm

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden: (..., d_model). Returns (..., d_model)."""
        return self.layer_norm(nn.functional.gelu(self.dense(hidden)))


def final_norm_module(model: nn.Module, family: Family) -> nn.Module:
    """What stands between the last residual state and the unembedding."""
    if family.final_norm is None:
        return RobertaHeadTransform(model.lm_head)
    return submodule(model, family.final_norm)
