"""From prompts to token ids, the position where the answer is read, and batches without padding."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch

from fourier_addition.errors import UserError
from fourier_addition.numbers import BOUNDARY, encode_after


class Encoded(NamedTuple):
    """One prompt: its token ids and the position at which the answer is read."""

    ids: list[int]
    position: int


@dataclass(frozen=True)
class Bucket:
    """Prompts of equal length and reading position.

    index: (batch,) where each row stood in the list that was bucketed.
    ids: (batch, token) token ids.
    position: the reading position, counted from 0.
    """

    index: np.ndarray
    ids: torch.Tensor
    position: int


def encode_causal(tokenizer: Any, prompts: Sequence[str]) -> list[Encoded]:
    """Token ids with the tokenizer's own opening special tokens; read at the last token.

    A closing special token that the tokenizer adds (an end of sequence) is dropped: the
    answer follows the prompt itself.
    """
    return [Encoded(ids[:end], end - 1) for ids, end in _with_ends(tokenizer, prompts)]


def encode_masked(tokenizer: Any, prompts: Sequence[str]) -> list[Encoded]:
    """Token ids with a mask token after the prompt, before the closing special tokens.

    Read at the mask. Raises UserError when the tokenizer has no mask token.
    """
    mask = tokenizer.mask_token_id
    if mask is None:
        raise UserError("The tokenizer of a masked model has no mask token.")
    return [Encoded([*ids[:end], mask, *ids[end:]], end) for ids, end in _with_ends(tokenizer, prompts)]


def _with_ends(tokenizer: Any, prompts: Sequence[str]) -> Iterator[tuple[list[int], int]]:
    """Token ids of each prompt and where its closing special tokens begin."""
    batch = tokenizer([text.replace(BOUNDARY, "") for text in prompts], return_special_tokens_mask=True)
    for text, ids, special in zip(prompts, batch.input_ids, batch.special_tokens_mask, strict=True):
        # The prompt's own tokens stand at start..end-1, special tokens around them.
        start, end = 0, len(ids)
        while end > 0 and special[end - 1]:
            end -= 1
        while start < end and special[start]:
            start += 1

        if BOUNDARY in text:
            middle = _in_pieces(tokenizer, text, list(ids[start:end]))
            yield [*ids[:start], *middle, *ids[end:]], start + len(middle)
        else:
            yield list(ids), end


def _in_pieces(tokenizer: Any, text: str, uncut: list[int]) -> list[int]:
    """Token ids of a text that is cut at every boundary; `uncut` where the cuts would change the text.

    Each later piece has the tokens that it has in the middle of a line, so that no tokenizer puts a space
    before it.
    """

    def encode(piece: str) -> list[int]:
        return list(tokenizer(piece, add_special_tokens=False).input_ids)

    first, *later = text.split(BOUNDARY)
    joined = [*encode(first), *(token for piece in later if piece for token in encode_after(encode, piece))]
    return joined if tokenizer.decode(joined) == tokenizer.decode(uncut) else uncut


def bucket(encoded: Sequence[Encoded], batch_size: int, device: torch.device | str) -> Iterator[Bucket]:
    """Batches of at most `batch_size` prompts with equal length and reading position.

    Longest first, so that memory is at its peak in the first batch; within a bucket the
    order is that of `encoded`. Depends on nothing but the arguments.
    Raises UserError for a `batch_size` below 1.
    """
    if batch_size < 1:
        raise UserError(f"batch_size must be at least 1, not {batch_size}.")
    groups: dict[tuple[int, int], list[int]] = {}
    for row, prompt in enumerate(encoded):
        groups.setdefault((len(prompt.ids), prompt.position), []).append(row)
    for (_, position), rows in sorted(groups.items(), reverse=True):
        for start in range(0, len(rows), batch_size):
            index = np.array(rows[start : start + batch_size], dtype=np.int64)
            ids = torch.tensor([encoded[row].ids for row in index], dtype=torch.long, device=device)
            yield Bucket(index, ids, position)
