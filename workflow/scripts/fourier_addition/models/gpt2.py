"""GPT-2's forward pass for training, computing only what the loss reads.

The same equations as Hugging Face's `GPT2LMHeadModel`, with three things left out: the last block
runs at the reading position only, tokens that several lines of a batch have in common from their
start are computed once, and logits exist for the wanted tokens only. Several models of one shape
(seeds) may be stacked along a leading dimension and run as one.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional as F

from fourier_addition.models.prefixes import SharedPrefixes
from fourier_addition.models.view import ModelView

ACTIVATIONS = ("gelu_new", "gelu_pytorch_tanh")
"""Names of the one activation of GPT-2, GELU's tanh approximation."""


def supported(view: ModelView) -> bool:
    """Whether `GPT2Forward` computes what this model computes."""
    model: Any = view.model
    config = model.config
    return bool(
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
        model: Any = view.model
        config = model.config
        self.layers: int = config.n_layer
        self.heads: int = config.n_head
        self.width: int = config.n_embd
        self.epsilon: float = config.layer_norm_epsilon
        self.dropouts: tuple[float, float, float] = (
            config.embd_pdrop,
            config.attn_pdrop,
            config.resid_pdrop,
        )
        """Probabilities of dropout after the embedding, on attention weights, on module outputs."""
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

        # h^(0): token and position embedding, one row a token, or one a node where lines share tokens.
        x = self._embedded(weights, ids, shared)
        x = F.dropout(x, embd, training=embd > 0)
        last = _last_rows(ids, shared)

        for layer in range(self.layers):
            # The attention output. The last block's is wanted at the last token only.
            block = _Block(weights, f"transformer.h.{layer}.", self.epsilon)
            only = last if last_only and layer == self.layers - 1 else None
            attention = self._attention_output(block, x, ids.shape, shared, only, attn)
            if only is not None:
                x = x.index_select(-2, only)
            x = x + F.dropout(attention, resid, training=resid > 0)

            # The MLP output.
            inner = F.gelu(block.linear(block.norm(x, "ln_2"), "mlp.c_fc"), approximate="tanh")
            x = x + F.dropout(block.linear(inner, "mlp.c_proj"), resid, training=resid > 0)

        return _Block(weights, "transformer.", self.epsilon).norm(x, "ln_f")

    def logits(
        self, weights: Mapping[str, torch.Tensor], hidden: torch.Tensor, rows: torch.Tensor | None
    ) -> torch.Tensor:
        """Logits (..., row) of some rows of the unembedding, or of all with None."""
        head = weights["transformer.wte.weight" if self.tied else "lm_head.weight"]
        if rows is not None:
            head = head.index_select(-2, rows)
        return hidden @ head.transpose(-1, -2)

    def _embedded(
        self, weights: Mapping[str, torch.Tensor], ids: torch.Tensor, shared: SharedPrefixes | None
    ) -> torch.Tensor:
        """Sum of token and position embedding, (batch * token, d_model) or (node, d_model)."""
        flat = ids.flatten(-2)
        places = torch.arange(flat.shape[-1], device=ids.device)
        if shared is not None:
            flat, places = flat[shared.first], shared.first
        x = _lookup(weights["transformer.wte.weight"], flat, self.sparse_lookup)
        return x + weights["transformer.wpe.weight"].index_select(-2, places % ids.shape[-1])

    def _attention_output(
        self,
        block: _Block,
        x: torch.Tensor,
        shape: torch.Size,
        shared: SharedPrefixes | None,
        only: torch.Tensor | None,
        dropout: float,
    ) -> torch.Tensor:
        """Attention output of a block, in rows as `x` has them, or at the rows `only` (batch,).

        x: (batch * token, d_model) or (node, d_model). shape: of the token ids.
        """
        # Queries, keys and values; where one token a line asks, that token's query alone.
        normed = block.norm(x, "ln_1")
        if only is None:
            joint = block.linear(normed, "attn.c_attn")
        else:
            query, joint = block.halves(normed.index_select(-2, only), normed, "attn.c_attn", self.width)

        # Every line attends to tokens of its own, so shared ones are spread over their lines.
        if shared is not None:
            joint = joint.index_select(0, shared.node.flatten())
        if only is None:
            query, joint = torch.split(joint, [self.width, 2 * self.width], dim=-1)
        mixed = self._attention(query, joint, shape, dropout, causal=only is None)

        # And back to one row a node.
        if shared is not None and only is None:
            mixed = mixed.index_select(0, shared.first)
        return block.linear(mixed, "attn.c_proj")

    def _attention(
        self, query: torch.Tensor, keys: torch.Tensor, shape: torch.Size, dropout: float, *, causal: bool
    ) -> torch.Tensor:
        """Values mixed by attention, in rows as `query` has them.

        query: (batch * token, d_model) with `causal`, else (batch, d_model), the last token's.
        keys: (batch * token, 2 * d_model) keys and values. shape: of the token ids.
        """
        *lead, tokens = shape
        lines, asked = math.prod(lead), tokens if causal else 1
        q = query.reshape(lines, asked, self.heads, -1).transpose(1, 2)
        k, v = keys.reshape(lines, tokens, 2, self.heads, -1).permute(2, 0, 3, 1, 4)
        out = F.scaled_dot_product_attention(q, k, v, dropout_p=dropout, is_causal=causal)
        return out.transpose(1, 2).reshape(*lead[:-1], lead[-1] * asked, self.width)


def _last_rows(ids: torch.Tensor, shared: SharedPrefixes | None) -> torch.Tensor:
    """Row of each line's last token, (batch,)."""
    if shared is not None:
        return shared.node[:, -1]
    lines, tokens = ids.shape[-2:]
    return torch.arange(tokens - 1, lines * tokens, tokens, device=ids.device)


def _lookup(table: torch.Tensor, rows: torch.Tensor, sparse: bool) -> torch.Tensor:
    """Rows of a table (row, d_model), or of each seed's own (seed, row, d_model)."""
    if table.dim() == 3:
        return table[torch.arange(len(table), device=rows.device)[:, None], rows]
    # The compiler knows no sparse gradients.
    return F.embedding(rows, table, sparse=sparse and not torch.compiler.is_compiling())


@dataclass(frozen=True)
class _Block:
    """The norms and linear maps under one prefix of the weights' names, of one model or of stacked ones."""

    weights: Mapping[str, torch.Tensor]
    prefix: str
    epsilon: float

    def norm(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """LayerNorm, (row, d_model)."""
        gain = self.weights[f"{self.prefix}{name}.weight"]
        bias = self.weights[f"{self.prefix}{name}.bias"]
        if gain.dim() == 1:
            return F.layer_norm(x, gain.shape, gain, bias, self.epsilon)
        return torch.addcmul(bias[:, None], F.layer_norm(x, gain.shape[-1:], eps=self.epsilon), gain[:, None])

    def linear(self, x: torch.Tensor, name: str) -> torch.Tensor:
        """x W + b, (row, d_in) -> (row, d_out)."""
        weight, bias = self.weights[f"{self.prefix}{name}.weight"], self.weights[f"{self.prefix}{name}.bias"]
        return _affine(x, weight, bias)

    def halves(
        self, x: torch.Tensor, y: torch.Tensor, name: str, width: int
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """The map's first `width` columns applied to x, the others to y."""
        weight = self.weights[f"{self.prefix}{name}.weight"]
        bias = self.weights[f"{self.prefix}{name}.bias"]
        sizes = [width, weight.shape[-1] - width]
        (w_x, w_y), (b_x, b_y) = torch.split(weight, sizes, dim=-1), torch.split(bias, sizes, dim=-1)
        return _affine(x, w_x, b_x), _affine(y, w_y, b_y)


def _affine(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """x W + b, of one model or of each seed's own W and b."""
    if weight.dim() == 2:
        return torch.addmm(bias, x, weight)
    return torch.baddbmm(bias[:, None], x, weight)


def stack(views: Sequence[ModelView]) -> dict[str, nn.Parameter]:
    """Weights of several models of one shape, each with a leading `seed` dimension."""
    named = [dict(view.model.named_parameters()) for view in views]
    return {
        name: nn.Parameter(torch.stack([weights[name].detach() for weights in named]), first.requires_grad)
        for name, first in named[0].items()
    }
