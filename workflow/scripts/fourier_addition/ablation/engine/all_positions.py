"""Interventions at every token: a condition at a time, on beginnings that prompts share.

What an intervention makes of a token depends on the tokens up to it alone, in a causal model. So under each
condition a beginning is computed once for all prompts that have it, and the last block's outputs at the last
token only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import torch

from fourier_addition.ablation.conditions import Condition
from fourier_addition.ablation.engine.blocks import Blocks
from fourier_addition.ablation.plain import filtered
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.models import Bucket, ModelView
from fourier_addition.models.prefix_cache import cache_of


def hidden_at_all_positions(
    view: ModelView, bucket: Bucket, conditions: Sequence[Condition], filters: TorchFilters
) -> Iterator[tuple[list[int], torch.Tensor]]:
    """Residual stream after the last block at the last token, every token changed as a condition says.

    view: a model with a reusable cache. Yields ([condition's number], (1, batch, d_model)).
    """
    earlier, last = bucket.ids[:, :-1], bucket.ids[:, -1:]
    blocks = Blocks(view)
    for number, condition in enumerate(conditions):
        with blocks.faster(), filtered(view, condition, None, filters):
            past = cache_of(view, earlier) if earlier.shape[1] else None
            states = view.final_hidden(last, 0, past=past)
        yield [number], states[None]
