"""Where each architecture keeps its parts: one record a family, and nothing else knows attribute paths.

A new family is one entry of `_TABLE`. It fits when a block adds the outputs of one attention and one MLP
module to the residual stream (or follows h = LN(h + out)), and when its attention keeps its configuration
at `config` and goes through transformers' attention interface (or names a method of its own).
Heads and neurons are named where the last map of a half is linear, and the norm after it only scales.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import nn

from fourier_addition.errors import UserError


@dataclass(frozen=True)
class Half:
    """One half of a block, its attention or its MLP, as paths inside the block.

    module: the module itself. projection: the linear map that ends it, whose input is the heads' mixed
    values side by side (W_O), or the neurons' activations (the down projection).
    before: the norm that it reads the residual stream through.
    after: the norm that its output passes before the block adds it. None for no norm.
    """

    module: str
    projection: str
    before: str | None = None
    after: str | None = None

    @property
    def output(self) -> str:
        """Path of the module whose (first) output tensor is what the block adds in evaluation mode."""
        return self.after or self.module


@dataclass(frozen=True)
class OwnInnerProduct:
    """How attention is computed where it does not go through transformers' attention interface.

    method: the attention's method that takes query, key, value (example, head, token, head feature) and a
    mask. divisor: the attention's attribute that scores are divided by.
    """

    method: str
    divisor: str


@dataclass(frozen=True)
class DenseHead:
    """The small network LN(gelu(dense(x))) before a masked model's unembedding: paths inside it."""

    dense: str
    norm: str


@dataclass(frozen=True)
class Family:
    """Paths and habits of one architecture.

    name: what this package calls it. blocks: path of the list of blocks in the model.
    attention, mlp: the halves of a block.
    final_norm: path of what stands between the last residual state and the unembedding.
    parallel: both halves read the same residual state: "always", "never" or the configuration key that
        decides it.
    """

    name: str
    blocks: str
    attention: Half
    mlp: Half
    final_norm: str
    parallel: str = "never"
    # the configuration's `model_type`, where it is not the name
    model_type: str | None = None
    # gemma multiplies by 1 + weight
    gain_offset: float = 0.0
    # GPT-J alone computes attention by a method of its own
    own_inner_product: OwnInnerProduct | None = None

    # Masked models: read at a mask token, both sides of which are seen.
    masked: bool = False
    # post-norm blocks: h = LN(h + out); paths of the norms after attention and MLP inside a block
    block_norms: tuple[str, str] | None = None
    # a small network stands before the unembedding, where other families have a norm
    dense_head: DenseHead | None = None
    # makes that network of the module at `final_norm`, where the model has no module for it
    head_part: Callable[[nn.Module], nn.Module] | None = None
    # position numbers start after the padding token's id, which costs that many positions
    offset_positions: bool = False


class RobertaHeadTransform(nn.Module):
    """The part of RoBERTa's head before the unembedding, which has no module of its own.

    Shares the head's parameters; equation: LN(gelu(W x + b)).
    """

    def __init__(self, head: nn.Module) -> None:
        super().__init__()
        self.dense = head.get_submodule("dense")
        self.layer_norm = head.get_submodule("layer_norm")

    def forward(self, hidden: torch.Tensor) -> torch.Tensor:
        """hidden: (..., d_model). Returns (..., d_model)."""
        return cast(torch.Tensor, self.layer_norm(nn.functional.gelu(self.dense(hidden))))


def _llama_like(name: str, down: str = "down_proj") -> Family:
    return Family(
        name,
        "model.layers",
        Half("self_attn", "self_attn.o_proj", before="input_layernorm"),
        Half("mlp", f"mlp.{down}", before="post_attention_layernorm"),
        "model.norm",
    )


def _gemma_like(name: str, model_type: str | None = None) -> Family:
    """Blocks that normalise what a module reads and what it gives."""
    return Family(
        name,
        "model.layers",
        Half("self_attn", "self_attn.o_proj", before="input_layernorm", after="post_attention_layernorm"),
        Half(
            "mlp",
            "mlp.down_proj",
            before="pre_feedforward_layernorm",
            after="post_feedforward_layernorm",
        ),
        "model.norm",
        model_type=model_type,
        gain_offset=1.0,
    )


def _bert_like(
    name: str,
    final_norm: str,
    dense_head: DenseHead,
    head_part: Callable[[nn.Module], nn.Module] | None = None,
    offset_positions: bool = False,
) -> Family:
    return Family(
        name,
        f"{name}.encoder.layer",
        Half("attention.output.dense", "attention.output.dense"),
        Half("output.dense", "output.dense"),
        final_norm,
        masked=True,
        block_norms=("attention.output.LayerNorm", "output.LayerNorm"),
        dense_head=dense_head,
        head_part=head_part,
        offset_positions=offset_positions,
    )


_TABLE = (
    Family(
        "gpt2",
        "transformer.h",
        Half("attn", "attn.c_proj", before="ln_1"),
        Half("mlp", "mlp.c_proj", before="ln_2"),
        "transformer.ln_f",
    ),
    Family(
        "gptj",
        "transformer.h",
        Half("attn", "attn.out_proj", before="ln_1"),
        Half("mlp", "mlp.fc_out", before="ln_1"),
        "transformer.ln_f",
        parallel="always",
        own_inner_product=OwnInnerProduct("_attn", divisor="scale_attn"),
    ),
    Family(
        "phi",
        "model.layers",
        Half("self_attn", "self_attn.dense", before="input_layernorm"),
        Half("mlp", "mlp.fc2", before="input_layernorm"),
        "model.final_layernorm",
        parallel="always",
    ),
    Family(
        "gpt_neox",
        "gpt_neox.layers",
        Half("attention", "attention.dense", before="input_layernorm"),
        Half("mlp", "mlp.dense_4h_to_h", before="post_attention_layernorm"),
        "gpt_neox.final_layer_norm",
        parallel="use_parallel_residual",
    ),
    _llama_like("llama"),
    _llama_like("mistral"),
    _llama_like("qwen2"),
    _llama_like("qwen3"),
    _gemma_like("gemma2"),
    _gemma_like("gemma3", model_type="gemma3_text"),
    Family(
        "olmo2",
        "model.layers",
        Half("self_attn", "self_attn.o_proj", after="post_attention_layernorm"),
        Half("mlp", "mlp.down_proj", after="post_feedforward_layernorm"),
        "model.norm",
    ),
    _bert_like("bert", "cls.predictions.transform", DenseHead("dense", "LayerNorm")),
    _bert_like(
        "roberta",
        "lm_head",
        DenseHead("dense", "layer_norm"),
        head_part=RobertaHeadTransform,
        offset_positions=True,
    ),
)
FAMILIES: dict[str, Family] = {family.name: family for family in _TABLE}
_BY_MODEL_TYPE = {family.model_type or family.name: family for family in _TABLE}


def family_of(config: Any) -> Family:
    """Family of a Hugging Face configuration.

    Raises UserError for a `model_type` that is not supported; of gemma3 only the
    text models (`gemma3_text`) are.
    """
    model_type = getattr(config, "model_type", None)
    if model_type not in _BY_MODEL_TYPE:
        raise UserError(
            f"model_type {model_type!r} is not supported; allowed are {', '.join(sorted(_BY_MODEL_TYPE))}."
        )
    return _BY_MODEL_TYPE[model_type]


def position_limit(config: Any, family: Family) -> int | None:
    """Most tokens that a prompt may have, None where the configuration does not say."""
    limit: int | None = getattr(config, "max_position_embeddings", None)
    if limit is None or not family.offset_positions:
        return limit
    return limit - int(config.pad_token_id) - 1


def final_norm_module(model: nn.Module, family: Family) -> nn.Module:
    """What stands between the last residual state and the unembedding."""
    found = model.get_submodule(family.final_norm)
    return found if family.head_part is None else family.head_part(found)
