"""GELU's tanh form as Transformers computes it, bit for bit, with less traffic to memory."""

from __future__ import annotations

import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn
from transformers.activations import NewGELUActivation

PIECE = 32_768
"""Values that a thread takes through all steps before the next ones: they stay in its cache."""


def gelu_in_pieces(x: torch.Tensor) -> torch.Tensor:
    """`NewGELUActivation` of x, any shape: the same operations in the same order on every value.

    Transformers takes the whole tensor through each of eight steps. Where autograd needs the steps, and on
    a GPU, so does this function.
    """
    if x.device.type != "cpu" or torch.is_grad_enabled() or not x.is_contiguous():
        return 0.5 * x * (1.0 + torch.tanh(math.sqrt(2.0 / math.pi) * (x + 0.044715 * torch.pow(x, 3.0))))
    out = torch.empty_like(x)
    size = PIECE * torch.get_num_threads()
    pieces = zip(torch.split(x.view(-1), size), torch.split(out.view(-1), size), strict=True)
    for part, result in pieces:
        inner = torch.pow(part, 3.0).mul_(0.044715).add_(part)
        inner.mul_(math.sqrt(2.0 / math.pi)).tanh_().add_(1.0)
        torch.mul(part, 0.5, out=result).mul_(inner)
    return out


@contextmanager
def pieced_gelu(model: nn.Module) -> Iterator[None]:
    """While inside, the model's GELUs of the tanh form are `gelu_in_pieces`."""
    changed: list[Any] = [module for module in model.modules() if isinstance(module, NewGELUActivation)]
    for module in changed:
        module.forward = gelu_in_pieces
    try:
        yield
    finally:
        for module in changed:
            del module.forward
