"""What every attention and MLP module adds, and every residual state, at the reading position."""

from __future__ import annotations

from types import TracebackType
from typing import Any, NamedTuple, Self

import torch

from fourier_addition.errors import UserError
from fourier_addition.models.prefix_cache import Stem
from fourier_addition.models.view import ModelView, first_tensor
from fourier_addition.modules import MODULES


class Recorded(NamedTuple):
    """Views into the recorder's buffers, valid until its next run.

    module_output: (module, layer, batch, d_model), modules in the order of `MODULES`.
    residual: (state, batch, d_model); state 0 before the first block, l after block l.
    """

    module_output: torch.Tensor
    residual: torch.Tensor


class Recorder:
    """Context manager that records one position of a model's pass.

    Hooks copy the reading position into buffers that live as long as the recorder, so
    no full output is kept alive and memory does not grow from batch to batch.

    view: the model. batch_size: most rows of one run.
    stem: keeps the keys and values of what all prompts begin with, where it is told so (`Stem.keep`).
    """

    def __init__(self, view: ModelView, batch_size: int) -> None:
        self._view = view
        self.stem = Stem(view)
        row = (batch_size, view.d_model)
        self._module_output = self._buffer(len(MODULES), view.n_layers, *row)
        self._residual = self._buffer(view.n_layers + 1, *row)
        # The position to copy; None while the tokens of a stem pass, which are not recorded.
        self._position: int | None = None
        self._handles: list[Any] = []

    def _buffer(self, *shape: int) -> torch.Tensor:
        return torch.empty(shape, dtype=self._view.dtype, device=self._view.device)

    def __enter__(self) -> Self:
        view = self._view
        self._handles = [view.block(0).register_forward_pre_hook(self._keep_input, with_kwargs=True)]
        for layer in range(view.n_layers):
            self._keep_output(view.block(layer), self._residual[layer + 1])
            for kind, name in enumerate(MODULES):
                self._keep_output(view.module(name, layer), self._module_output[kind, layer])
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in self._handles:
            handle.remove()

    @torch.inference_mode()
    def run(self, ids: torch.Tensor, position: int, *, shared: int = 0) -> Recorded:
        """Run the model's body on (batch, token) ids and read at `position`.

        shared: number of leading tokens, the same in all rows, whose keys and values are
        computed once; equal to the plain pass up to rounding. At most `position`, and only
        for models with `reusable_cache`. Raises UserError for any other `shared`.
        """
        if not 0 <= shared <= position:
            raise UserError(f"{shared} leading tokens cannot be shared when position {position} is read.")

        # Keys and values of the leading tokens, whose pass is not recorded
        past = None
        if shared:
            self._position = None
            past = self.stem.past(ids[:1, :shared], len(ids))

        # The pass that is recorded
        self._position = position - shared
        self._view.run(ids[:, shared:], past=past)
        self._position = None

        rows = len(ids)
        return Recorded(self._module_output[:, :, :rows], self._residual[:, :rows])

    def _keep_output(self, module: torch.nn.Module, buffer: torch.Tensor) -> None:
        def hook(module: Any, arguments: Any, output: Any) -> None:
            self._copy(first_tensor(output), buffer)

        self._handles.append(module.register_forward_hook(hook))

    def _keep_input(self, module: Any, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> None:
        self._copy(arguments[0] if arguments else keywords["hidden_states"], self._residual[0])

    def _copy(self, hidden: torch.Tensor, buffer: torch.Tensor) -> None:
        if self._position is not None:
            buffer[: len(hidden)].copy_(hidden[:, self._position])
