"""A small GPT-2 with random weights, for pre-training here."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from transformers import GPT2Config, GPT2LMHeadModel


def miniature_config(architecture: Mapping[str, Any], tokenizer: Any) -> GPT2Config:
    """GPT-2 of the shape that a configuration's `architecture` gives, for a tokenizer.

    The activation is the tanh approximation of GELU that GPT-2 uses, in the form that PyTorch
    computes in one step.
    """
    return GPT2Config(
        vocab_size=len(tokenizer),
        n_positions=architecture["positions"],
        n_embd=architecture["width"],
        n_layer=architecture["layers"],
        n_head=architecture["heads"],
        n_inner=architecture["inner"] or None,
        activation_function="gelu_pytorch_tanh",
        resid_pdrop=architecture["dropout"],
        embd_pdrop=architecture["dropout"],
        attn_pdrop=architecture["dropout"],
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.bos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def miniature(architecture: Mapping[str, Any], tokenizer: Any, seed: int) -> GPT2LMHeadModel:
    """The model of `miniature_config`, weights drawn from the seed."""
    torch.manual_seed(seed)
    return GPT2LMHeadModel(miniature_config(architecture, tokenizer))
