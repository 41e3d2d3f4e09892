"""Interventions at the last token, computing once what conditions and prompts share.

With filters and other interventions at the last position only, keys and values of the earlier tokens are the
same under every condition: they are computed once, prompts that begin alike together. Each condition is then
a state of the last token alone, one more query row over the same keys and values, and states are parted only
where conditions begin to differ (`plan`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch

from fourier_addition.ablation.conditions import Condition, Place
from fourier_addition.ablation.engine.blocks import Blocks, Shared
from fourier_addition.ablation.engine.inputs import earlier_keys, last_token_arguments, last_token_stream
from fourier_addition.ablation.engine.plan import PARALLEL, SEQUENTIAL, Plan, Split, plans
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.models import Bucket, ModelView


class Engine:
    """Runs conditions on buckets of prompts of a causal model.

    rows: states of the last token (examples x conditions) that are carried at one time.
    """

    def __init__(
        self, view: ModelView, conditions: Sequence[Condition], filters: TorchFilters, rows: int
    ) -> None:
        self.view = view
        self.conditions = conditions
        self.filters = filters
        self.rows = rows
        self.blocks = Blocks(view)
        self._plans: dict[int, list[Plan]] = {}
        self._arguments: dict[int, list[dict[str, Any]]] = {}

    def hidden(self, bucket: Bucket, examples: np.ndarray) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Residual stream after the last block at the last token.

        examples: (batch,) numbers of the bucket's examples, which interventions find their source by.
        Yields (numbers of conditions, (condition, batch, d_model)) until every condition was yielded.
        """
        # What depends on the last token's position alone is found once for a length.
        length = bucket.ids.shape[1]
        if length not in self._arguments:
            self._arguments[length] = last_token_arguments(self.view, bucket.ids[:1])
        arguments = self._arguments[length]

        # What all conditions share: the earlier tokens, and the stream that the last token starts with
        with self.blocks.faster():
            shared = earlier_keys(self.view, bucket.ids[:, :-1])
            start = last_token_stream(self.view, bucket.ids)[None]

        # What they do not share, a group of conditions at a time
        for plan in self._plans_for(len(bucket.index)):
            with self.blocks.faster(), self.blocks.sharing():
                states = self._follow(plan, start, shared, arguments, examples)
            yield plan.numbers, states[torch.as_tensor(plan.final, device=states.device)]

    def _plans_for(self, batch: int) -> list[Plan]:
        states = max(1, self.rows // batch)
        if states not in self._plans:
            self._plans[states] = plans(self.conditions, self.view.n_layers, self.view.parallel, states)
        return self._plans[states]

    def _follow(
        self,
        plan: Plan,
        stream: torch.Tensor,
        shared: list[Shared],
        arguments: list[dict[str, Any]],
        examples: np.ndarray,
    ) -> torch.Tensor:
        """stream: (1, example, d_model) before block 0. Returns (state, example, d_model) at the end."""
        splits = iter(plan.splits)
        for layer in range(self.view.n_layers):
            attention = self.blocks.attention(layer, stream, shared[layer], arguments[layer])
            if self.view.parallel:
                outputs = [attention, self.blocks.mlp(layer, stream)]
                places = [(name, layer) for name in PARALLEL[0]]
                stream = self._part(next(splits), places, stream, outputs, examples)
            else:
                first, second = ([(name, layer) for name in event] for event in SEQUENTIAL)
                stream = self._part(next(splits), first, stream, [attention], examples)
                outputs = [self.blocks.mlp(layer, stream)]
                stream = self._part(next(splits), second, stream, outputs, examples)
        return stream

    def _part(
        self,
        split: Split,
        places: Sequence[Place],
        stream: torch.Tensor,
        outputs: Sequence[torch.Tensor],
        examples: np.ndarray,
    ) -> torch.Tensor:
        """The states, parted: module outputs changed and added to the stream, then the stream changed."""
        if split.parents is not None:
            parents = torch.as_tensor(split.parents, device=stream.device)
            stream, outputs = stream[parents], [output[parents] for output in outputs]
        for parts, place, output in zip(split.parts, places, outputs, strict=False):
            self.filters.apply_parts(parts, output, place, examples)
            stream = stream + output
        for parts, place in zip(split.parts[len(outputs) :], places[len(outputs) :], strict=True):
            self.filters.apply_parts(parts, stream, place, examples)
        return stream
