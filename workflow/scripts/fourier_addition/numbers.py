"""Number tokens: which integers a tokenizer writes as one token.

A number space is the list of token ids of 0, 1, ..., p - 1 in one answer form.
It is always built from an explicit list; nothing assumes that ids are contiguous.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from fourier_addition.errors import UserError

ANSWER_FORMS = {"bare": "{number}", "space": " {number}"}
"""How an answer is written: `108`, or ` 108` with the space that precedes it."""

BOUNDARY = "\x1f"
"""Where a prompt is cut before its pieces are tokenized; it is no part of the text itself.

GPT-2's tokenizer writes `Answer: 12` with the one token ` 12`, but after a prompt that ends in a space
the bare `12` follows. A cut before the answer of a solved example makes it that bare token too.
"""


@dataclass(frozen=True)
class NumberSpace:
    """Token ids of the numbers 0..p-1 in one answer form.

    ids: (number,) int64, entry n is the token id of number n.
    form: a key of `ANSWER_FORMS`.
    """

    ids: np.ndarray
    form: str

    @property
    def size(self) -> int:
        """p, the number of numbers."""
        return len(self.ids)

    def first(self, count: int) -> NumberSpace:
        """The space of 0..count-1. Raises UserError naming the first number that is missing."""
        if count > self.size:
            raise UserError(
                f"Number {self.size} is not one token in the '{self.form}' form: "
                f"this tokenizer has the numbers 0..{self.size - 1}, and {count - 1} is needed; "
                "use a task with smaller operands, or the answers of a prompted run (`shots`), which may "
                "take several tokens."
            )
        return NumberSpace(self.ids[:count], self.form)


LEAD = "Answer:"
"""What stands before a number when its token is looked for: a token may depend on what precedes it."""


def encode_after(encode: Callable[[str], Sequence[int]], text: str) -> list[int]:
    """Token ids of a text in the middle of a line.

    Some tokenizers put a space before everything that they are given (`add_prefix_space`, SentencePiece's
    first piece), so a number alone has other tokens than a number after a prompt. Where `LEAD` and the text
    cannot be told apart, the text's own tokens are returned.
    """
    lead, both = list(encode(LEAD)), list(encode(LEAD + text))
    return both[len(lead) :] if len(both) > len(lead) and both[: len(lead)] == lead else list(encode(text))


def number_space(
    encode: Callable[[str], Sequence[int]],
    form: str,
    limit: int = 100_000,
    decode: Callable[[int], str] | None = None,
) -> NumberSpace:
    """Find the largest gap-free run 0..p-1 of numbers that are one token each.

    encode: text -> token ids, without special tokens.
    form: `bare` or `space` (section 3.1 of the paper does not say which it used).
    limit: stop looking here.
    decode: token id -> text; a token that is not written as the number (an unknown-word token) is no number.
    Raises UserError when the form is unknown or not even 0 is one token.
    """
    if form not in ANSWER_FORMS:
        raise UserError(f"Answer form '{form}' is not known; it is one of {', '.join(ANSWER_FORMS)}.")

    # Number after number, until one is several tokens or a token that was met before.
    ids: list[int] = []
    seen: set[int] = set()
    for number in range(limit):
        tokens = encode_after(encode, ANSWER_FORMS[form].format(number=number))
        # A tokenizer with an unknown-word token writes every large number as that one token.
        if len(tokens) != 1 or tokens[0] in seen:
            break
        if decode is not None and decode(tokens[0]).strip() != str(number):
            break
        seen.add(tokens[0])
        ids.append(int(tokens[0]))

    # An unknown-word token is met once before it repeats: the run ends before it.
    if ids and encode_after(encode, ANSWER_FORMS[form].format(number=len(ids))) == [ids[-1]]:
        ids.pop()

    if not ids:
        raise UserError(f"Number 0 is not one token in the '{form}' form of this tokenizer.")
    return NumberSpace(np.asarray(ids, np.int64), form)


def tokenizer_number_space(tokenizer: Any, form: str, limit: int = 100_000) -> NumberSpace:
    """`number_space` of a Hugging Face tokenizer.

    tokenizer: anything with `encode(text, add_special_tokens=False)` and `decode(ids)`.
    """
    return number_space(
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        form,
        limit,
        lambda token: tokenizer.decode([token]),
    )


ANSWER_ENDS = ("no-digit", "separator", "none")
"""What must follow a number of several tokens, so that it is this number and not the start of another one:
no further digit; the separator that ends every solved example; or nothing, so that 12 counts 123 too."""


def number_tokens(
    encode: Callable[[str], Sequence[int]],
    form: str,
    count: int,
    decode: Callable[[Sequence[int]], str],
) -> list[tuple[int, ...]]:
    """The tokens of each of the numbers 0..count-1, as the tokenizer writes them after a prompt.

    encode: text -> token ids, without special tokens. form: a key of `ANSWER_FORMS`. decode: token ids ->
    text. Raises UserError for an unknown form, and for a number that its tokens do not give back (an
    unknown-word token) or that shares them with another number.
    """
    if form not in ANSWER_FORMS:
        raise UserError(f"Answer form '{form}' is not known; it is one of {', '.join(ANSWER_FORMS)}.")
    found: dict[tuple[int, ...], int] = {}
    for number in range(count):
        tokens = tuple(int(each) for each in encode_after(encode, ANSWER_FORMS[form].format(number=number)))
        # A space piece says nothing alone, and WordPiece marks what continues a word.
        written = "".join(decode([token]).strip().removeprefix("##") for token in tokens)
        if written != str(number) or tokens in found:
            raise UserError(
                f"Number {number} in the '{form}' form is not written by its tokens {list(tokens)}, which say"
                f" {written!r}: this tokenizer has no tokens for its digits."
            )
        found[tokens] = number
    return list(found)


def continuing_tokens(tokens: Sequence[str | None]) -> list[int]:
    """Ids of the tokens that go on with a digit where a number stands.

    tokens: (token,) the vocabulary as the tokenizer stores it, so that a space before a digit shows (`Ġ1`,
    `▁1`). WordPiece marks what continues a word with `##`; a token without the mark begins a new word. Other
    tokenizers have tokens that begin with `##` too, as headings do, but none of that kind with digits.
    """
    marked = any(token is not None and token.startswith("##") and token[2:].isdecimal() for token in tokens)
    mark = "##" if marked else ""
    return [
        index
        for index, token in enumerate(tokens)
        if token is not None and token.startswith(mark) and token[len(mark) :][:1].isdecimal()
    ]


def tokenizer_number_tokens(tokenizer: Any, form: str, count: int) -> list[tuple[int, ...]]:
    """`number_tokens` of a Hugging Face tokenizer, as of `tokenizer_number_space`."""
    return number_tokens(
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        form,
        count,
        lambda ids: str(tokenizer.decode(list(ids))),
    )
