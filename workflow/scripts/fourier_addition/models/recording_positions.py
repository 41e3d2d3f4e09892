"""Residual states and module outputs at several positions of each row of a pass."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple, Self

import torch

from fourier_addition.models.prefix_cache import Stem
from fourier_addition.models.view import ModelView, first_tensor
from fourier_addition.modules import MODULES


class RecordedPositions(NamedTuple):
    """What one pass left at the positions that were asked for.

    residual: (state, row, position, d_model); state 0 before the first block, l after block l.
    module_output: (module, layer, row, position, d_model), modules in the order of `MODULES`; None where
    module outputs are not recorded.
    """

    residual: torch.Tensor
    module_output: torch.Tensor | None


class PositionRecorder:
    """Context manager that records chosen positions of a model's pass, which may differ from row to row.

    view: a causal model. modules: also record what every attention and MLP module adds.
    stem: keeps the keys and values of what all prompts begin with, where it is told so (`Stem.keep`).
    """

    def __init__(self, view: ModelView, *, modules: bool = False) -> None:
        self._view, self._modules = view, modules
        self.stem = Stem(view)
        # Where the next pass is read, (row, position); None while a pass is not recorded.
        self._places: torch.Tensor | None = None
        self._states: dict[int, torch.Tensor] = {}
        self._outputs: dict[tuple[str, int], torch.Tensor] = {}
        self._handles: list[Any] = []

    def __enter__(self) -> Self:
        view = self._view
        self._handles = [view.block(0).register_forward_pre_hook(self._keep_input, with_kwargs=True)]
        for layer in range(view.n_layers):
            self._keep_output(view.block(layer), self._states, layer + 1)
            for name in MODULES if self._modules else ():
                self._keep_output(view.module(name, layer), self._outputs, (name, layer))
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    @torch.inference_mode()
    def run(self, ids: torch.Tensor, places: torch.Tensor, *, shared: int = 0) -> RecordedPositions:
        """Run the model's body on (row, token) ids and read each row at its `places` (row, position).

        shared: number of leading tokens, the same in all rows and before every place, whose keys and values
        are computed once.
        """
        past = self.stem.past(ids[:1, :shared], len(ids)) if shared else None
        self._places = places.to(ids.device) - shared
        try:
            self._view.run(ids[:, shared:], past=past)
        finally:
            self._places = None

        layers = range(self._view.n_layers)
        residual = torch.stack([self._states[state] for state in range(len(layers) + 1)])
        if not self._modules:
            return RecordedPositions(residual, None)
        outputs = [torch.stack([self._outputs[name, layer] for layer in layers]) for name in MODULES]
        return RecordedPositions(residual, torch.stack(outputs))

    def _keep_output(self, module: torch.nn.Module, kept: dict[Any, torch.Tensor], key: Any) -> None:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            self._copy(first_tensor(output), kept, key)

        self._handles.append(module.register_forward_hook(hook))

    def _keep_input(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._copy(arguments[0] if arguments else keywords["hidden_states"], self._states, 0)

    def _copy(self, hidden: torch.Tensor, kept: dict[Any, torch.Tensor], key: Any) -> None:
        if self._places is not None:
            index = self._places[..., None].to(hidden.device).expand(-1, -1, hidden.shape[-1])
            kept[key] = hidden.gather(1, index).to(self._view.device)
