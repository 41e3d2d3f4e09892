"""The two halves of a block in each causal architecture, and attention over shared keys.

A half takes residual states of the last token, shaped (state, example, d_model), and gives what the
attention or the MLP adds to the stream. The halves run the model's own modules; only the
attention's inner product is replaced, so that all states of an example share the keys and values of
the earlier tokens without a copy of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface
from transformers.activations import NewGELUActivation

from fourier_addition.models import ModelView, first_tensor

IMPLEMENTATION = "fourier_addition_shared"


@dataclass(frozen=True)
class Halves:
    """Names inside a block: what stands before, in and after each half; None for nothing."""

    attention: str
    before_attention: str | None
    before_mlp: str | None
    after_attention: str | None = None
    after_mlp: str | None = None
    mlp: str = "mlp"


_LLAMA = Halves("self_attn", "input_layernorm", "post_attention_layernorm")
_GEMMA = Halves(
    "self_attn",
    "input_layernorm",
    "pre_feedforward_layernorm",
    "post_attention_layernorm",
    "post_feedforward_layernorm",
)
HALVES = {
    "gpt2": Halves("attn", "ln_1", "ln_2"),
    "gptj": Halves("attn", "ln_1", "ln_1"),
    "phi": Halves("self_attn", "input_layernorm", "input_layernorm"),
    "gpt_neox": Halves("attention", "input_layernorm", "post_attention_layernorm"),
    "llama": _LLAMA,
    "mistral": _LLAMA,
    "qwen2": _LLAMA,
    "qwen3": _LLAMA,
    "gemma2": _GEMMA,
    "gemma3": _GEMMA,
    "olmo2": Halves("self_attn", None, None, "post_attention_layernorm", "post_feedforward_layernorm"),
}

Shared = tuple[torch.Tensor, torch.Tensor] | None
"""Keys and values of the earlier tokens, each (example, key head, token, head feature)."""


def shared_attention(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    shared: Shared,
    scaling: float,
    softcap: float | None = None,
) -> torch.Tensor:
    """Attention of the last token's states to the earlier tokens and to itself.

    query: (state, head, example, head feature); key, value: the same with key heads, each state's own.
    Returns (state, example, head, head feature).
    """
    states, heads, examples, width = query.shape
    key_heads = key.shape[1]
    # Grouped queries: each key head serves `groups` neighbouring query heads as so many more rows.
    groups = heads // key_heads
    if shared is None:
        return value.repeat_interleave(groups, dim=1).transpose(1, 2)
    grouped = query.view(states, key_heads, groups, examples, width)
    own = (grouped * key[:, :, None]).sum(dim=-1)
    rows = grouped.permute(3, 1, 0, 2, 4).reshape(examples, key_heads, states * groups, width)
    earlier = rows @ shared[0].transpose(-1, -2)
    own = own.permute(3, 1, 0, 2).reshape(examples, key_heads, states * groups, 1)
    scores = torch.cat((earlier, own), dim=-1) * scaling
    if softcap is not None:
        scores = torch.tanh(scores / softcap) * softcap
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32)).to(value.dtype)
    mixed = (weights[..., :-1] @ shared[1]).view(examples, key_heads, states, groups, width)
    mixed = mixed.permute(2, 0, 1, 3, 4)
    own = weights[..., -1].view(examples, key_heads, states, groups).permute(2, 0, 1, 3)
    out = torch.addcmul(mixed, own[..., None], value.transpose(1, 2)[:, :, :, None])
    return out.reshape(states, examples, heads, width)


def _interface(
    module: nn.Module,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any,
    scaling: float,
    softcap: float | None = None,
    shared: Shared = None,
    **_: Any,
) -> tuple[torch.Tensor, None]:
    return shared_attention(query, key, value, shared, scaling, softcap), None


AttentionInterface.register(IMPLEMENTATION, _interface)


class Blocks:
    """The halves of every block of a model, for states of the last token at one position.

    arguments: per layer what the block passes to its attention besides the states (rotary position
    embeddings, position ids), as `last_token_arguments` finds it.
    """

    def __init__(self, view: ModelView) -> None:
        self.view = view
        self.halves = HALVES[view.family]
        self.same_norm = view.parallel and self.halves.before_attention == self.halves.before_mlp

    def attention_of(self, layer: int) -> nn.Module:
        """The attention module itself, without a norm that may follow it."""
        return getattr(self.view.block(layer), self.halves.attention)

    def attention(
        self, layer: int, stream: torch.Tensor, shared: Shared, arguments: dict[str, Any]
    ) -> torch.Tensor:
        """What attention adds to states (state, example, d_model)."""
        module = self.attention_of(layer)
        inside = self._through(self.halves.before_attention, layer, stream)
        if self.view.family == "gptj":
            # GPT-J does not go through the attention interface; its inner product is a method.
            module._attn = partial(_gptj_attention, shared, module.scale_attn)
            try:
                out = first_tensor(module(inside, **arguments))
            finally:
                del module._attn
        else:
            out = first_tensor(module(inside, attention_mask=None, shared=shared, **arguments))
        return self._through(self.halves.after_attention, layer, out)

    def mlp(self, layer: int, stream: torch.Tensor) -> torch.Tensor:
        """What the MLP adds to states (state, example, d_model)."""
        inside = self._through(self.halves.before_mlp, layer, stream)
        out = first_tensor(getattr(self.view.block(layer), self.halves.mlp)(inside))
        return self._through(self.halves.after_mlp, layer, out)

    def _through(self, name: str | None, layer: int, x: torch.Tensor) -> torch.Tensor:
        return x if name is None else getattr(self.view.block(layer), name)(x)

    def last_token_arguments(self, ids: torch.Tensor) -> list[dict[str, Any]]:
        """Per layer, what attention is given for the last of the tokens ids (1, token).

        Taken from one pass of the model itself, so that no rule of rotary embeddings is repeated here.
        """
        found: list[dict[str, Any]] = []

        def look(module: nn.Module, arguments: Any, named: dict[str, Any]) -> None:
            last: dict[str, Any] = {}
            if named.get("position_ids") is not None:
                last["position_ids"] = named["position_ids"][:1, -1:]
            if named.get("position_embeddings") is not None:
                last["position_embeddings"] = tuple(part[:1, -1:] for part in named["position_embeddings"])
            found.append(last)

        with ExitStack() as stack:
            for layer in range(self.view.n_layers):
                handle = self.attention_of(layer).register_forward_pre_hook(look, with_kwargs=True)
                stack.callback(handle.remove)
            self.view.run(ids)
        return found

    @contextmanager
    def faster(self) -> Iterator[None]:
        """While inside, GELU's tanh form is PyTorch's own: the same function, several times faster."""
        changed = [module for module in self.view.model.modules() if isinstance(module, NewGELUActivation)]
        for module in changed:
            module.forward = partial(nn.functional.gelu, approximate="tanh")
        try:
            yield
        finally:
            for module in changed:
                del module.forward

    @contextmanager
    def sharing(self) -> Iterator[None]:
        """While inside, attention modules use the shared keys and values that they are given."""
        configs = {id(config): config for config in map(self._config, range(self.view.n_layers))}
        before = {key: config._attn_implementation for key, config in configs.items()}
        for config in configs.values():
            config._attn_implementation = IMPLEMENTATION
        try:
            yield
        finally:
            for key, config in configs.items():
                config._attn_implementation = before[key]

    def _config(self, layer: int) -> Any:
        return self.attention_of(layer).config


def _gptj_attention(
    shared: Shared,
    scale: float,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attention_mask: Any = None,
) -> tuple[torch.Tensor, None]:
    # Wanted as (state, head, example, head feature).
    return shared_attention(query, key, value, shared, 1 / scale).transpose(1, 2), None
