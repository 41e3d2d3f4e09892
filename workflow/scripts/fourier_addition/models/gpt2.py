"""GPT-2's forward pass for training, computing only what the loss reads.

The same equations as Hugging Face's `GPT2LMHeadModel`, with three things left out: the last block
runs at the reading position only, tokens that several lines of a batch have in common from their
start are computed once, and logits exist for the wanted tokens only. Several models of one shape
(seeds) may be stacked along a leading dimension and run as one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn import functional as F

from fourier_addition.models.prefixes import SharedPrefixes
from fourier_addition.models.view import ModelView

ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh")
"""Names of the one activation of GPT-2, GELU's tanh approximation."""


def supported(view: ModelView) -> bool:
    """Whether `GPT2Forward` computes what this model computes."""
    config = view.model.config
    return (
        view.family == "gpt2"
        and config.activation_function in ACTIVATIONS
        and config.scale_attn_weights
        and not config.scale_attn_by_inverse_layer_idx
        and not config.add_cross_attention
    )


class GPT2Forward:
    """Residual states and logits of GPT-2 as functions of its weights.

    weights: by the names of `GPT2LMHeadModel.named_parameters()`, each as it is or stacked with a
    leading `seed` dimension. Shapes below are those of one model; stacked ones have `seed` in front.
    """

    def __init__(self, view: ModelView) -> None:
        config = view.model.config
        self.layers, self.heads, self.width = config.n_layer, config.n_head, config.n_embd
        self.epsilon = config.layer_norm_epsilon
        self.dropouts = (config.embd_pdrop, config.attn_pdrop, config.resid_pdrop)
        self.tied = view.tied
        self.sparse_lookup = False
        """Give the lookup's gradient in its few rows: for a tied table whose gradient is dense anyhow."""

    def hidden(
        self,
        weights: Mapping[str, torch.Tensor],
        ids: torch.Tensor,
        *,
        last_only: bool,
        shared: SharedPrefixes | None = None,
        training: bool = False,
    ) -> torch.Tensor:
        """States after the final norm.

        ids: (batch, token) or (seed, batch, token) rows of the embedding. last_only: at the last
        token, (batch, d_model); else at every token, (batch * token, d_model), or (node, d_model)
        with `shared`. training: apply the dropouts of the configuration.
        """
        embd, attn, resid = self.dropouts if training else (0.0, 0.0, 0.0)
        *lead, tokens = ids.shape
        stacked = ids.dim() == 3
        flat = ids.flatten(-2)
        places = torch.arange(flat.shape[-1], device=ids.device)
        if shared is not None:
            flat, places = flat[shared.first], shared.first
        x = _lookup(weights["transformer.wte.weight"], flat, self.sparse_lookup)
        x = x + weights["transformer.wpe.weight"].index_select(-2, places % tokens)
        x = F.dropout(x, embd, training=embd > 0)
        last = torch.arange(tokens - 1, ids.shape[-2] * tokens, tokens, device=ids.device)
        if shared is not None:
            last = shared.node[:, -1]
        for layer in range(self.layers):
            block = _Block(weights, f"transformer.h.{layer}.", self.epsilon)
            only = last_only and layer == self.layers - 1
            normed = block.norm(x, "ln_1")
            if only:
                # The last block's attention and MLP are wanted at the last token: one query a line.
                query, keys = block.halves(normed.index_select(-2, last), normed, "attn.c_attn", self.width)
            else:
                query, keys = None, block.linear(normed, "attn.c_attn")
            if shared is not None:
                keys = keys.index_select(0, shared.node.flatten())
            if not only:
                query, keys = keys.split([self.width, 2 * self.width], dim=-1)
            mixed = self._attention(query, keys, lead, tokens, attn, only)
            if only:
                x = x.index_select(-2, last)
            elif shared is not None:
                mixed = mixed.index_select(0, shared.first)
            x = x + F.dropout(block.linear(mixed, "attn.c_proj"), resid, training=resid > 0)
            inner = F.gelu(block.linear(block.norm(x, "ln_2"), "mlp.c_fc"), approximate="tanh")
            x = x + F.dropout(block.linear(inner, "mlp.c_proj"), resid, training=resid > 0)
        assert x.dim() == 2 + stacked
        return _Block(weights, "transformer.", self.epsilon).norm(x, "ln_f")

    def logits(
        self, weights: Mapping[str, torch.Tensor], hidden: torch.Tensor, rows: torch.Tensor | None
    ) -> torch.Tensor:
        """Logits (..., row) of some rows of the unembedding, or of all with None."""
        head = weights["transformer.wte.weight" if self.tied else "lm_head.weight"]
        if rows is not None:
            head = head.index_select(-2, rows)
        return hidden @ head.transpose(-1, -2)

    def _attention(
        self,
        query: torch.Tensor,
        keys: torch.Tensor,
        lead: list[int],
        tokens: int,
        dropout: float,
        only: bool,
    ) -> torch.Tensor:
        lines = 1
        for size in lead:
            lines *= size
        asked = 1 if only else tokens
        q = query.reshape(lines, asked, self.heads, -1).transpose(1, 2)
        k, v = keys.reshape(lines, tokens, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=not only)
        return out.transpose(1, 2).reshape(*lead[:-1], lead[-1] * asked, self.width)


def _lookup(table: torch.Tensor, rows: torch.Tensor, sparse: bool) -> torch.Tensor:
    if table.dim() == 3:
        return table[torch.arange(len(table), device=rows.device)[:, None], rows]
    # The compiler knows no sparse gradients.
    return F.embedding(rows, table, sparse=sparse and not torch.compiler.is_compiling())


@dataclass(frozen=True)
class _Block:
    """Weights under one prefix, one model's or stacked ones."""

    weights: Mapping[str, torch.Tensor]
    prefix: str
    epsilon: float

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        gain = self.weights[f"{self.prefix}{name}.weight"]
        bias = self.weights[f"{self.prefix}{name}.bias"]
        if gain.dim() == 1:
            return F.layer_norm(x, gain.shape, gain, bias, self.epsilon)
        return torch.addcmul(bias[:, None], F.layer_norm(x, gain.shape[-1:], eps=self.epsilon), gain[:, None])

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        return _affine(
            x, self.weights[f"{self.prefix}{name}.weight"], self.weights[f"{self.prefix}{name}.bias"]
        )

    def halves(
        self, x: torch.Tensor, y: torch.Tensor, name: str, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The first `width` columns applied to x, the others to y."""
        weight = self.weights[f"{self.prefix}{name}.weight"]
        bias = self.weights[f"{self.prefix}{name}.bias"]
        sizes = [width, weight.shape[-1] - width]
        pairs = zip((x, y), weight.split(sizes, dim=-1), bias.split(sizes, dim=-1), strict=True)
        first, rest = (_affine(each, w, b) for each, w, b in pairs)
        return first, rest


def _affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    if weight.dim() == 2:
        return torch.addmm(bias, x, weight)
    return torch.baddbmm(bias[:, None], x, weight)


def stack(views: list[ModelView]) -> dict[str, nn.Parameter]:
    """Weights of several models of one shape, each with a leading `seed` dimension."""
    named = [dict(view.model.named_parameters()) for view in views]
    return {
        name: nn.Parameter(torch.stack([weights[name].detach() for weights in named]), first.requires_grad)
        for name, first in named[0].items()
    }
