"""Heads and neurons of a model: what each writes, and recording it at the reading position.

A unit is an attention head or an MLP neuron. Both write to the residual stream through the linear map
that ends their module, the projection: the heads' mixed values z pass W_O, the neurons' activations z the
down projection. A unit owns `features` neighbouring entries of z (a head its head features, a neuron one),
and the rows of the projection that belong to them:

    module output = sum over units of z_unit W_unit + bias

Families that normalise a module's output scale all its units alike, by the gain for each feature of the
stream, which is folded into W here, and by one factor for each example, which is folded into z.
"""

from __future__ import annotations

import contextlib
from types import TracebackType
from typing import Any, NamedTuple, Self, cast

import torch
from torch import nn
from transformers.pytorch_utils import Conv1D

from fourier_addition.errors import UserError
from fourier_addition.models.families import Half
from fourier_addition.models.prefix_cache import Stem
from fourier_addition.models.view import ModelView, first_tensor
from fourier_addition.modules import MODULES


class UnitValues(NamedTuple):
    """What units hold at the reading position.

    values: (batch, unit, feature) z, times the factor of the norm after the module where there is one.
    inputs: (batch, unit, feature) z as the projection is given it.
    """

    values: torch.Tensor
    inputs: torch.Tensor


def _half(view: ModelView, module: str) -> Half:
    if module not in MODULES:
        raise UserError(f"Module {module!r} is not known; allowed are {', '.join(MODULES)}.")
    return view.layout.attention if module == "attention" else view.layout.mlp


def projection(view: ModelView, module: str, layer: int) -> nn.Module:
    """The linear map that ends a module: W_O of the attention, the down projection of the MLP.

    Raises UserError where the model has no such part, which is so for mixtures of experts.
    """
    path = _half(view, module).projection
    try:
        return view.block(layer).get_submodule(path)
    except AttributeError:
        raise UserError(
            f"Heads and neurons cannot be told apart: block {layer} of family {view.family} has no {path}."
        ) from None


def _weight(view: ModelView, module: str, layer: int) -> torch.Tensor:
    """(entry of z, d_model) float32."""
    linear = projection(view, module, layer)
    weight = cast(torch.Tensor, linear.weight).detach().float()
    # Conv1D, as GPT-2 has it, keeps its weight as (input, output).
    return weight if isinstance(linear, Conv1D) else weight.T


def unit_shape(view: ModelView, module: str, layer: int) -> tuple[int, int]:
    """Units of a module, and entries of z that each owns: (heads, head features) or (neurons, 1)."""
    entries = len(_weight(view, module, layer))
    if module == "mlp":
        return entries, 1
    heads = int(view.model.config.num_attention_heads)
    return heads, entries // heads


def _gain(view: ModelView, module: str, layer: int) -> torch.Tensor | None:
    """Gain of the norm after a module, (d_model,) float32; None where there is none."""
    after = _half(view, module).after
    if after is None:
        return None
    weight = cast(torch.Tensor, view.block(layer).get_submodule(after).weight)
    return weight.detach().float() + view.layout.gain_offset


def unit_weights(view: ModelView, module: str, layer: int) -> torch.Tensor:
    """W: what a unit adds to the stream for each entry of z, (unit, feature, d_model) float32, detached.

    The gain of a norm after the module is folded in.
    """
    weight = _weight(view, module, layer)
    gain = _gain(view, module, layer)
    if gain is not None:
        weight = weight * gain.to(weight)
    return weight.reshape(*unit_shape(view, module, layer), view.d_model)


class UnitRecorder:
    """Context manager that records z of some layers at one position of a model's pass.

    view: the model. layers: blocks, counted from 0, whose heads and neurons are recorded. Only one batch
    is kept; the pass ends after the last of the layers. stem: keeps the keys and values of what all prompts
    begin with, where it is told so (`Stem.keep`).
    """

    def __init__(self, view: ModelView, layers: range) -> None:
        self._view = view
        self._layers = layers
        self.stem = Stem(view)
        # The position to record; None while the tokens of a stem pass.
        self._position: int | None = None
        self._inputs: dict[tuple[str, int], torch.Tensor] = {}
        self._factors: dict[tuple[str, int], torch.Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        for layer in self._layers:
            for module in MODULES:
                self._watch(module, layer)
        last = self._view.block(self._layers[-1])
        self._handles.append(last.register_forward_hook(self._stop))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    @torch.inference_mode()
    def run(self, ids: torch.Tensor, position: int, *, shared: int = 0) -> dict[tuple[str, int], UnitValues]:
        """Run (batch, token) ids through the model and read at `position`: (module, layer) -> values.

        shared: number of leading tokens, the same in all rows, that are passed once (`Recorder.run`).
        """
        past = self.stem.past(ids[:1, :shared], len(ids)) if shared else None
        self._position = position - shared
        with contextlib.suppress(_Done):
            self._view.run(ids[:, shared:], past=past)
        self._position = None
        found = {}
        for (module, layer), inputs in self._inputs.items():
            z = inputs.float().reshape(len(ids), *unit_shape(self._view, module, layer))
            factor = self._factors.get((module, layer))
            found[module, layer] = UnitValues(z if factor is None else z * factor[:, None, None], z)
        return found

    def _watch(self, module: str, layer: int) -> None:
        key = module, layer
        linear = projection(self._view, module, layer)
        before: dict[str, torch.Tensor] = {}

        def keep(part: nn.Module, arguments: Any, output: Any) -> None:
            if self._position is None:
                return
            self._inputs[key] = arguments[0][:, self._position].clone()
            before["output"] = first_tensor(output)[:, self._position].float()

        self._handles.append(linear.register_forward_hook(keep))
        gain = _gain(self._view, module, layer)
        if gain is None:
            return

        # y = r g x for a norm without a mean: r is found from what goes in and what comes out, so that
        # no family's way of computing it is repeated here.
        def scale(part: nn.Module, arguments: Any, output: Any) -> None:
            if self._position is None:
                return
            gained = before["output"] * gain.to(before["output"])
            normed = first_tensor(output)[:, self._position].float()
            self._factors[key] = (normed * gained).sum(dim=-1) / (gained * gained).sum(dim=-1)

        after = _half(self._view, module).after
        assert after is not None
        self._handles.append(self._view.block(layer).get_submodule(after).register_forward_hook(scale))

    def _stop(self, module: nn.Module, arguments: Any, output: Any) -> None:
        if self._position is not None:
            raise _Done


class _Done(Exception):
    """Everything that was wanted of a pass is there."""
