"""Where a prompt's operands and answer digits are read: token positions with names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from fourier_addition.errors import UserError
from fourier_addition.models.encoding import Encoded
from fourier_addition.models.view import ModelView
from fourier_addition.numbers import ANSWER_FORMS, encode_after

OPERANDS = ("a", "b")
ABSENT = -1
"""Position of an answer's token that an example does not have."""


class Line(NamedTuple):
    """One prompt with its true answer, as a causal model reads it.

    ids: token ids of the prompt and of all but the last token of the answer. positions: where each operand
    ends, and from where each answer token is predicted, in the order of `position_names`; `ABSENT` for an
    answer token that the answer lacks. targets: the answer's token ids, `ABSENT` where there is none.
    """

    ids: list[int]
    positions: list[int]
    targets: list[int]


def position_names(answer_tokens: int) -> list[str]:
    """Names of positions: `a`, `b`, and `answer 1`, `answer 2`, ... for answers of so many tokens."""
    return [*OPERANDS, *(f"answer {place + 1}" for place in range(answer_tokens))]


def answer_ids(view: ModelView, number: int, form: str) -> tuple[list[int], list[int]]:
    """Token ids of a true answer: what stands before its first digit, and the number's own tokens.

    form: `bare` or `space`. A tokenizer that writes the space of the space form as a token of its own has
    this token before the number; others have no such token.
    """
    tokenizer = view.tokenizer
    ids = encode_after(
        lambda text: tokenizer.encode(text, add_special_tokens=False),
        ANSWER_FORMS[form].format(number=number),
    )
    lead = 0
    while lead < len(ids) - 1 and not str(tokenizer.decode(ids[lead : lead + 1])).strip():
        lead += 1
    return list(ids[:lead]), list(ids[lead:])


def lines_of(
    view: ModelView,
    prompts: Sequence[str],
    ends: Sequence[tuple[int, int]],
    answers: Sequence[int],
    form: str,
) -> list[Line]:
    """Prompts with their true answers and the named positions in them.

    prompts: (example,) texts. ends: (example,) where in the prompt's text the last digit of a and of b is
    followed by the next character. answers: (example,) true answers. form: of the answer. All lines have
    as many positions as the longest answer needs.

    Raises UserError for a masked model, which reads an answer of several tokens in no order, and for a
    prompt in which no token ends where an operand ends.
    """
    if not view.causal:
        raise UserError(
            f"Models of family {view.family} read all tokens at once: answer digits have no positions of "
            "their own, so only causal models are captured at named positions."
        )
    encoded = view.encode(prompts)
    operands = [
        view.encode([prompt[: place[which]] for prompt, place in zip(prompts, ends, strict=True)])
        for which in range(len(OPERANDS))
    ]
    written = {number: answer_ids(view, number, form) for number in sorted(set(map(int, answers)))}
    longest = max(len(own) for _, own in written.values())

    lines = []
    for row, (prompt, number) in enumerate(zip(encoded, answers, strict=True)):
        # A text that is cut after an operand has the prompt's own first tokens, unless a token runs on.
        places = [_end(prompt, operand[row], prompts[row]) for operand in operands]
        lead, own = written[int(number)]
        first = prompt.position + len(lead)
        absent = [ABSENT] * (longest - len(own))
        lines.append(
            Line(
                [*prompt.ids, *lead, *own[:-1]],
                [*places, *range(first, first + len(own)), *absent],
                [*own, *absent],
            )
        )
    return lines


def _end(prompt: Encoded, beginning: Encoded, text: str) -> int:
    """Position of the last token of a beginning of a prompt. Raises UserError where a token runs on."""
    if prompt.ids[: len(beginning.ids)] != beginning.ids:
        raise UserError(
            f"In the prompt that ends in {text[-40:]!r}, a token holds the end of an operand and what "
            "follows, so the operand has no last token of its own."
        )
    return beginning.position
