"""A hand-built GPT-2 whose heads and neurons write known periods and phases, shared by the tests.

Prompts are one number token s. Its embedding is the unit vector (cos, -cos, sin, -sin) of each planted
period, so that its mean is zero and its length the same for all: the norm before a module only scales.
The numbers' logits are read off NUMBERS further dimensions of the stream, one for each number.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from fourier_addition.models import ModelView, wrap
from tiny import number_ids, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

NUMBERS = 41
BASE = NUMBERS - 1


@dataclass(frozen=True)
class Planted:
    """A head or neuron that writes one period.

    period: written. peak: where the wave peaks relative to s, in numbers (head), or the number at which it
    peaks when the neuron is active. fires: the s at which a neuron is most active. height: of the wave.
    """

    module: str
    layer: int
    unit: int
    period: float
    height: float
    peak: float = 0.0
    fires: float = 0.0


def planted_model(units: list[Planted], periods: list[float], heads: int = 4, inner: int = 12) -> ModelView:
    """The model. periods: those that embeddings hold, in whose terms heads and neurons read s."""
    # The stream: four dimensions for each period, then one for each number.
    tokenizer = tiny_tokenizer(NUMBERS - 1)
    ids = number_ids(tokenizer, NUMBERS - 1)
    width = -(-(4 * len(periods) + NUMBERS) // heads) * heads
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=width,
        n_layer=2,
        n_head=heads,
        n_inner=inner,
        n_positions=8,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
        activation_function="gelu_new",
    )
    model = GPT2LMHeadModel(config).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.zero_()
            if "ln_" in name and name.endswith("weight"):
                parameter.fill_(1.0)

        # What goes in and what is read out
        for s, token in enumerate(ids):
            for place, period in enumerate(periods):
                angle = 2 * np.pi * s / period
                four = [np.cos(angle), -np.cos(angle), np.sin(angle), -np.sin(angle)]
                model.transformer.wte.weight[token, 4 * place : 4 * place + 4] = torch.tensor(four)
            model.lm_head.weight[token, 4 * len(periods) + s] = 1.0

        for unit in units:
            _plant(model, unit, periods, width // heads)
    return wrap(model, tokenizer)


def _wave(period: float, peak: float, height: float) -> torch.Tensor:
    """height cos(2 pi (n - peak) / period) over the numbers n."""
    n = np.arange(NUMBERS)
    return torch.tensor(height * np.cos(2 * np.pi * (n - peak) / period), dtype=torch.float32)


def _plant(model: GPT2LMHeadModel, unit: Planted, periods: list[float], features: int) -> None:
    block = model.transformer.h[unit.layer]
    at, place = slice(4 * len(periods), 4 * len(periods) + NUMBERS), periods.index(unit.period)
    width = model.config.n_embd
    # the norm divides by the deviation, which is that of `len(periods)` unit vectors written twice
    gain = np.sqrt(2 * len(periods) / width)
    if unit.module == "attention":
        # a head's value is (cos, sin) of s; W_O turns it into the wave around s + peak
        first = unit.unit * features
        value = 2 * width + first
        for entry, feature in enumerate((4 * place, 4 * place + 2)):
            block.attn.c_attn.weight[feature, value + entry] = gain
        block.attn.c_proj.weight[first, at] = _wave(unit.period, unit.peak, unit.height)
        block.attn.c_proj.weight[first + 1, at] = _wave(unit.period, unit.peak + unit.period / 4, unit.height)
        return
    # a neuron is 20 + cos(2 pi (s - fires) / period): gelu is the identity there
    angle = 2 * np.pi * unit.fires / unit.period
    block.mlp.c_fc.weight[4 * place, unit.unit] = gain * np.cos(angle)
    block.mlp.c_fc.weight[4 * place + 2, unit.unit] = gain * np.sin(angle)
    block.mlp.c_fc.bias[unit.unit] = 20.0
    block.mlp.c_proj.weight[unit.unit, at] = _wave(unit.period, unit.peak, unit.height)
