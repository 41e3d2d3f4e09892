"""Heads and neurons taken out: which ones, running the model without them, and what it then answers.

A knocked-out unit holds at the reading position what it holds on average over the examples, or nothing,
whatever the prompt says. The top units of a band stand beside as many random units of the same layer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.ablation.engine.blocks import Blocks
from fourier_addition.ablation.engine.inputs import earlier_keys, last_token_arguments, last_token_stream
from fourier_addition.ablation.predict import AnswerPredictor
from fourier_addition.errors import UserError
from fourier_addition.models import Bucket, Encoded, ModelView
from fourier_addition.models.units import projection, unit_shape

METHODS = ("auto", "plain", "engine")


@dataclass(frozen=True)
class Knockout:
    """Units of one module that are taken out together.

    module, layer: where they are. units: which. band: whose top units they are, `random` for random ones.
    draw: number of a random draw, -1 for the top units.
    """

    module: str
    layer: int
    units: tuple[int, ...]
    band: str
    draw: int = -1


def knockouts(ranks: pd.DataFrame, counts: Sequence[int], draws: int, seed: int) -> list[Knockout]:
    """The top units of every band, and random units of the same layer beside them.

    ranks: one module and layer of what `analysis.units.ranking` returns. counts: how many units are taken
    out; those beyond the module's units are left out, and all of its units are always one knockout.
    draws: random sets for each count; fewer where the module has no more units than that.
    seed: of the random sets. A set depends on nothing else but the module, the layer and the count.
    """
    module, layer = str(ranks["module"].iloc[0]), int(ranks["layer"].iloc[0])
    bands = list(dict.fromkeys(ranks["band"]))
    order = {band: ranks.loc[ranks["band"] == band].sort_values("rank")["unit"].to_numpy() for band in bands}
    units = len(order[bands[0]])
    chosen = sorted({int(count) for count in counts if count < units})

    # The top units, then random ones
    found = [
        Knockout(module, layer, tuple(int(unit) for unit in order[band][:count]), band)
        for count in (*chosen, units)
        for band in bands
    ]
    salt = [seed, int(module == "mlp"), layer]
    for count in chosen:
        for draw in range(draws):
            rng = np.random.default_rng([*salt, count, draw])
            drawn = tuple(sorted(int(unit) for unit in rng.permutation(units)[:count]))
            found.append(Knockout(module, layer, drawn, "random", draw))
    return found


@torch.inference_mode()
def run_knockouts(
    view: ModelView,
    encoded: Sequence[Encoded],
    number_ids: torch.Tensor | np.ndarray | Sequence[int],
    chosen: Sequence[Knockout],
    baselines: Mapping[tuple[str, int], np.ndarray],
    *,
    batch_size: int,
    method: str = "auto",
    prediction: str = "numbers",
    rows: int = 1024,
) -> np.ndarray:
    """Predictions without each set of units, (knockout, example) int32, -1 where the token is no number.

    encoded: prompts. number_ids: (number,) token ids of 0..p-1. baselines: (module, layer) -> (entry of z,)
    what a unit that is taken out holds. batch_size: prompts of one pass.
    method: `plain` runs the model once for each knockout, `engine` runs what they share once; `auto`
    takes the engine for causal models. rows: states of the last token that the engine carries at a time.
    Raises UserError for a method that the model cannot run, and units or layers that do not exist.
    """
    # Refuse what cannot be run before the model runs.
    if method not in METHODS:
        raise UserError(f"`method` must be one of {', '.join(METHODS)}, not '{method}'.")
    if method == "engine" and not view.reusable_cache:
        raise UserError(f"The engine cannot run {view.family}; use method 'auto' or 'plain'.")
    if not encoded or not chosen:
        raise UserError("There is no example, or no head or neuron, to take out.")
    masks = [_mask(view, knockout) for knockout in chosen]

    number_ids = torch.as_tensor(np.asarray(number_ids), dtype=torch.long, device=view.device)
    predict = AnswerPredictor(view, number_ids, prediction)
    held = {key: torch.as_tensor(value).to(view.device, view.dtype) for key, value in baselines.items()}
    runner = _Plain if method == "plain" or not view.reusable_cache else _Engine
    predictions = np.empty((len(chosen), len(encoded)), np.int32)

    # Neighbours in this order share the longest prefixes.
    order = np.array(sorted(range(len(encoded)), key=lambda row: encoded[row].ids), np.int64)
    with view.evaluating():
        for bucket in view.buckets([encoded[row] for row in order], batch_size):
            index = order[bucket.index]
            # only the prediction is looked at, so any number will do for the answer
            target = torch.zeros(len(index), dtype=torch.long, device=view.device)
            for numbers, states in runner(view, chosen, masks, held, rows).hidden(bucket):
                predicted, _ = predict(states, target)
                predictions[np.ix_(numbers, index)] = predicted.cpu().numpy()
    return predictions


def _mask(view: ModelView, knockout: Knockout) -> torch.Tensor:
    """Which entries of z a knockout replaces, (entry,) bool."""
    if not 0 <= knockout.layer < view.n_layers:
        raise UserError(f"Layer {knockout.layer} does not exist: the layers are 0..{view.n_layers - 1}.")
    units, features = unit_shape(view, knockout.module, knockout.layer)
    mask = torch.zeros(units, features, dtype=torch.bool, device=view.device)
    for unit in knockout.units:
        if not 0 <= unit < units:
            raise UserError(
                f"Unit {unit} of {knockout.module} {knockout.layer} does not exist: it has 0..{units - 1}."
            )
        mask[unit] = True
    return mask.reshape(-1)


@contextmanager
def _replaced(
    view: ModelView,
    module: str,
    layer: int,
    masks: torch.Tensor,
    held: torch.Tensor,
    position: int | None,
) -> Iterator[None]:
    """While inside, masked entries of z hold `held`.

    masks: (state, entry). position: the token at which they do, in z (batch, token, entry); None where z is
    (state, example, entry) of the last token, which then has a state for each mask.
    """

    def hook(linear: torch.nn.Module, arguments: Any) -> Any:
        z = arguments[0]
        if position is None:
            return (torch.where(masks[:, None], held, z), *arguments[1:])
        z = z.clone()
        z[:, position] = torch.where(masks[0], held, z[:, position])
        return (z, *arguments[1:])

    handle = projection(view, module, layer).register_forward_pre_hook(hook)
    try:
        yield
    finally:
        handle.remove()


class _Plain:
    """The obvious way: a full pass with a hook for each knockout; tests hold the engine to it."""

    def __init__(
        self,
        view: ModelView,
        chosen: Sequence[Knockout],
        masks: Sequence[torch.Tensor],
        held: Mapping[tuple[str, int], torch.Tensor],
        rows: int,
    ) -> None:
        self.view, self.chosen, self.masks, self.held, self.rows = view, chosen, masks, held, rows

    def hidden(self, bucket: Bucket) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yields ([number of a knockout], (1, example, d_model) after the last block)."""
        for number, (knockout, mask) in enumerate(zip(self.chosen, self.masks, strict=True)):
            where = knockout.module, knockout.layer
            with _replaced(self.view, *where, mask[None], self.held[where], bucket.position):
                yield [number], self.view.final_hidden(bucket.ids, bucket.position)[None]


class _Engine(_Plain):
    """The last token alone, one state a knockout; what stands before the knockout is computed once."""

    def hidden(self, bucket: Bucket) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Yields (numbers of knockouts, (knockout, example, d_model) after the last block)."""
        view, blocks = self.view, Blocks(self.view)
        arguments = last_token_arguments(view, bucket.ids[:1])
        places = [(knockout.module, knockout.layer) for knockout in self.chosen]
        at_once = max(1, self.rows // len(bucket.index))
        with blocks.faster():
            shared = earlier_keys(view, bucket.ids[:, :-1])
            stream = last_token_stream(view, bucket.ids)[None]

        # The last token as it is, block by block; where units are taken out, their states part from it.
        for layer in range(view.n_layers):
            for module in ("attention", "mlp"):
                numbers = [n for n, place in enumerate(places) if place == (module, layer)]
                for start in range(0, len(numbers), at_once):
                    part = numbers[start : start + at_once]
                    masks = torch.stack([self.masks[n] for n in part])
                    with blocks.faster(), blocks.sharing():
                        knocked = (module, masks, self.held[module, layer])
                        states = self._block(blocks, layer, stream, shared, arguments, knocked)
                        for later in range(layer + 1, view.n_layers):
                            states = self._block(blocks, later, states, shared, arguments)
                    yield part, states
            with blocks.faster(), blocks.sharing():
                stream = self._block(blocks, layer, stream, shared, arguments)

    def _block(
        self,
        blocks: Blocks,
        layer: int,
        stream: torch.Tensor,
        shared: Sequence[Any],
        arguments: Sequence[dict[str, Any]],
        knocked: tuple[str, torch.Tensor, torch.Tensor] | None = None,
    ) -> torch.Tensor:
        """The stream after a block, (state, example, d_model); knocked: (module, masks, what units hold)."""
        view = self.view

        def half(module: str, states: torch.Tensor) -> torch.Tensor:
            def run() -> torch.Tensor:
                if module == "attention":
                    return blocks.attention(layer, states, shared[layer], arguments[layer])
                return blocks.mlp(layer, states)

            if knocked is None or knocked[0] != module:
                return run()
            with _replaced(view, module, layer, knocked[1], knocked[2], None):
                return run()

        attention = half("attention", stream)
        if view.parallel:
            return stream + attention + half("mlp", stream)
        after = stream + attention
        return after + half("mlp", after)
