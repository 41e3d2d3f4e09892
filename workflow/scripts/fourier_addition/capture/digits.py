"""Teacher forcing: what a model would write at every token of the true answer, and after every layer.

At place k the model sees the prompt and the first k - 1 tokens of the true answer. The place after the last
token is the answer's end: any token there that does not go on with a digit is right.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
import torch

from fourier_addition.errors import UserError
from fourier_addition.models import Encoded, ModelView, Recorder
from fourier_addition.models.prefix_cache import shared_batches
from fourier_addition.models.prefixes import common_length

END = "end"


@torch.inference_mode()
def forced_digits(
    view: ModelView,
    prompts: Sequence[str],
    answers: Sequence[int],
    numbers: Sequence[Sequence[int]],
    continuing: Sequence[int],
    *,
    batch_size: int,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The model's token at every place of the true answer, and the logit lens there.

    prompts, answers: (example,). numbers: the tokens of each of 0..p-1. continuing: ids of the tokens that go
    on with a digit. batch_size: prompts of one pass.

    Returns two tables. Tokens, one row an example and place: example (its row), tokens (of the answer), place
    (from 1), digits (what the true token says, or `end`), written (the likeliest token of all), right,
    log_probability (of the true token; at the end: of no further digit). Lens, one row an example, place but
    the end, and state: example, tokens, place, layer (the state), right: the true token has the largest logit
    of all tokens that a number has there, after the final norm (figure 1a of the paper, digit by digit).
    Raises UserError for a model that reads all tokens at once.
    """
    if not view.reusable_cache:
        raise UserError(
            f"Models of family {view.family} fill one mask: an answer of several tokens has no place there."
        )
    candidates = _by_place(numbers)
    encoded = view.encode(prompts)
    tokens: list[pd.DataFrame] = []
    lens: list[pd.DataFrame] = []

    def places() -> Iterator[int]:
        with Recorder(view, min(batch_size, len(prompts))) as recorder:
            if encoded:
                recorder.stem.keep(encoded[0].ids[: common_length(encoded)])
            for place in range(1, len(candidates) + 2):
                # Prompts with as many true tokens before the place as stand there.
                rows = [row for row, answer in enumerate(answers) if len(numbers[answer]) >= place - 1]
                lines = [_forced(encoded[row], numbers[answers[row]][: place - 1]) for row in rows]
                for bucket, shared in shared_batches(view, lines, batch_size, 1):
                    states = recorder.run(bucket.ids, bucket.position, shared=shared).residual
                    index = np.array([rows[each] for each in bucket.index])
                    true = [numbers[answers[row]] for row in index]
                    tokens.append(_tokens(view, states[-1], index, true, place, continuing))
                    if place <= len(candidates):
                        lens.append(_lens(view, states, index, true, place, candidates[place - 1]))
                    yield from bucket.index

    total = sum(len(numbers[answer]) + 1 for answer in answers)
    for _ in progress(places(), total=total) if progress else places():
        pass
    order = ["example", "place"]
    joined = pd.concat(tokens).sort_values(order, ignore_index=True)
    return joined, pd.concat(lens).sort_values([*order, "layer"], ignore_index=True)


def _by_place(numbers: Sequence[Sequence[int]]) -> list[list[int]]:
    """The tokens that any number has at each place."""
    longest = max(map(len, numbers))
    return [sorted({ids[place] for ids in numbers if len(ids) > place}) for place in range(longest)]


def _forced(prompt: Encoded, true: Sequence[int]) -> Encoded:
    """A prompt with the first tokens of its answer, read at the last of them."""
    return Encoded([*prompt.ids, *true], prompt.position + len(true))


def _tokens(
    view: ModelView,
    state: torch.Tensor,
    index: np.ndarray,
    true: Sequence[Sequence[int]],
    place: int,
    continuing: Sequence[int],
) -> pd.DataFrame:
    """Rows of one batch and place. state: (batch, d_model) the last one."""
    likeliest, total = view.vocabulary_summary(state)
    chosen = likeliest.cpu().numpy()
    ends = np.array([len(ids) < place for ids in true])
    wanted = np.array([-1 if end else ids[place - 1] for ids, end in zip(true, ends, strict=True)])
    right = np.where(ends, ~np.isin(chosen, continuing), chosen == wanted)

    # Log-probability of the true token, or of no further digit.
    known = sorted({*wanted[wanted >= 0].tolist()}) or [0]
    logits = (view.number_logits(state, known) - total[:, None]).cpu().double().numpy()
    more = view.number_logits(state, list(continuing)).double().logsumexp(dim=-1) - total.double()
    stops = np.log(np.maximum(1 - np.exp(more.cpu().numpy()), 1e-12))
    column = np.searchsorted(known, np.maximum(wanted, known[0]))
    value = np.where(ends, stops, logits[np.arange(len(index)), np.minimum(column, len(known) - 1)])
    return pd.DataFrame(
        {
            "example": index,
            "tokens": [len(ids) for ids in true],
            "place": place,
            "digits": [END if end else _text(view, token) for token, end in zip(wanted, ends, strict=True)],
            "written": [_text(view, token) for token in chosen],
            "right": right,
            "log_probability": value,
        }
    )


def _lens(
    view: ModelView,
    states: torch.Tensor,
    index: np.ndarray,
    true: Sequence[Sequence[int]],
    place: int,
    candidates: Sequence[int],
) -> pd.DataFrame:
    """Rows of one batch and place that is no end. states: (state, batch, d_model)."""
    inside = np.array([row for row, ids in enumerate(true) if len(ids) >= place], np.int64)
    wanted = np.array([true[int(row)][place - 1] for row in inside], np.int64)
    best = view.number_logits(states[:, torch.as_tensor(inside)], candidates).argmax(dim=-1).cpu().numpy()
    right = np.asarray(candidates)[best] == wanted
    count, layers = len(inside), len(states)
    return pd.DataFrame(
        {
            "example": np.tile(index[inside], layers),
            "tokens": np.tile([len(true[int(row)]) for row in inside], layers),
            "place": place,
            "layer": np.repeat(np.arange(layers), count),
            "right": right.ravel(),
        }
    )


def _text(view: ModelView, token: int) -> str:
    return str(view.tokenizer.decode([int(token)], skip_special_tokens=False)).strip()
