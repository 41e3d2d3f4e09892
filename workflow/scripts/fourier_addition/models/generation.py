"""What a model writes after a prompt when it always takes the likeliest token."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import torch

from fourier_addition.errors import UserError
from fourier_addition.models.encoding import Bucket
from fourier_addition.models.prefix_cache import PrefixCache, Stem, shared_batches
from fourier_addition.models.prefixes import common_length
from fourier_addition.models.view import ModelView
from fourier_addition.numbers import encode_after


@torch.inference_mode()
def greedy_texts(
    view: ModelView,
    prompts: Sequence[str],
    *,
    tokens: int,
    batch_size: int,
    finished: Callable[[str], bool] = lambda text: False,
    progress: Callable[..., Iterable[Any]] | None = None,
) -> list[str]:
    """Greedy continuation of each prompt, as text.

    prompts: (example,) texts; what they have in common at their start is passed through the model
    once. tokens: most tokens that are written; a masked model fills its one mask. finished: tells
    from a text whether more tokens could change what is read from it; a batch stops when all its
    texts are finished or ended by the model. progress: wraps an iterable and takes `total`.
    Raises UserError when `tokens` is below 1, and for a prompt that leaves no room for its answer.
    """
    if tokens < 1:
        raise UserError(f"At least 1 token must be generated, not {tokens}.")

    # What all prompts begin with (solved examples, for one) passes through the model once.
    encoded = view.encode(prompts)
    longest, limit = max((len(ids) for ids, _ in encoded), default=0), view.position_limit
    # The last token that is written is never read.
    if view.causal and limit is not None and longest + tokens - 1 > limit:
        raise UserError(
            f"The longest prompt has {longest} tokens and its answer may have {tokens}; the model has "
            f"{limit} positions: use fewer `shots`, or a smaller `answer_tokens`."
        )
    stem = Stem(view)
    if view.reusable_cache and encoded:
        stem.keep(encoded[0].ids[: common_length(encoded)])

    # Batch after batch; `texts` keeps the order of the prompts.
    texts = [""] * len(prompts)

    def batches() -> Iterable[int]:
        for bucket, shared in shared_batches(view, encoded, batch_size, 1):
            written = (
                _continued(view, stem, bucket, shared, tokens, finished)
                if view.causal
                else _filled(view, bucket)
            )
            for row, text in zip(bucket.index, written, strict=True):
                texts[row] = text
                yield row

    for _ in progress(batches(), total=len(prompts)) if progress else batches():
        pass
    return texts


def _filled(view: ModelView, bucket: Bucket) -> list[str]:
    """What a masked model puts in place of its mask, for each prompt."""
    token, _ = view.vocabulary_summary(view.final_hidden(bucket.ids, bucket.position))
    return [_text(view, [each]) for each in token.tolist()]


def _continued(
    view: ModelView,
    stem: Stem,
    bucket: Bucket,
    shared: int,
    tokens: int,
    finished: Callable[[str], bool],
) -> list[str]:
    """What a causal model writes after each prompt of a batch, whose first `shared` tokens are the same."""
    rows = len(bucket.ids)
    past = stem.past(bucket.ids[:1, :shared], rows) if shared else PrefixCache(view)
    ends = view.end_ids
    written: list[list[int]] = [[] for _ in range(rows)]
    ended = [False] * rows
    ids = bucket.ids[:, shared:]
    for _ in range(tokens):
        # The likeliest next token of each prompt
        hidden = view.final_hidden(ids, ids.shape[1] - 1, past=past)
        token, _ = view.vocabulary_summary(hidden)

        # Keep what a text still needs; a text ends with the model's own end or when its reader has enough.
        for row, each in enumerate(token.tolist()):
            if ended[row]:
                continue
            if each in ends:
                ended[row] = True
            else:
                written[row].append(each)
                ended[row] = finished(_text(view, written[row]))
        if all(ended):
            break
        ids = token[:, None].to(bucket.ids)
    return [_text(view, each) for each in written]


def _text(view: ModelView, ids: list[int]) -> str:
    return answer_text(view.tokenizer, ids)


def answer_text(tokenizer: Any, ids: Sequence[int]) -> str:
    """What token ids say, digit for digit.

    A decoder may part digits by spaces, drop digits that are special tokens, and pass over unknown tokens: a
    number would then be read wrongly without a word. So every token stands as its own text. Two tokens are
    parted as the decoder parts them, unless the tokenizer itself writes one number as these tokens.
    """
    tokens = list(ids)
    pieces = [_decoded(tokenizer, [token]) for token in tokens]
    text, start = "".join(pieces[:1]), 0
    for place in range(1, len(tokens)):
        piece = pieces[place]
        # The digits since `start` are one number as long as the tokenizer writes it so.
        if not (piece.isdecimal() and _one_number(tokenizer, pieces[start : place + 1])):
            start = place
            pair = _decoded(tokenizer, tokens[place - 1 : place + 1])
            text += " " if pair == f"{pieces[place - 1]} {piece}" else ""
        text += piece
    return text


def _decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    return str(tokenizer.decode(tokens, skip_special_tokens=False, clean_up_tokenization_spaces=False))


def _one_number(tokenizer: Any, pieces: Sequence[str]) -> bool:
    """Whether a tokenizer writes the number that the pieces' digits make as exactly these pieces."""
    digits = [piece.strip() for piece in pieces]
    if not all(digit.isdecimal() for digit in digits):
        return False

    def encode(text: str) -> list[int]:
        return list(tokenizer.encode(text, add_special_tokens=False))

    written = [_decoded(tokenizer, [token]).strip() for token in encode_after(encode, "".join(digits))]
    return [piece for piece in written if piece] == digits
