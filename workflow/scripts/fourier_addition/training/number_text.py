"""Generated number text for pre-training a small model: counting, order, digits; never a sum.

The text stands in for what a model meets of numbers in ordinary base-10 text. Whether the embedding
of a model that learned the text carries Fourier features is for the spectrum to say.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from fourier_addition.errors import UserError
from fourier_addition.tasks import CUES, TEMPLATES

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

SPECIAL_TOKENS = ("[PAD]", "[UNK]", "[BOS]")
Sentence = Callable[[np.random.Generator, int, Sequence[int]], str]
"""(generator, numbers, steps of counting) -> a sentence about some of the numbers 0..numbers-1."""


COUNTED = 5
"""Steps that a counting sentence goes, from its first term to its last."""


def counting(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """Six terms of counting up or down by one of `steps`."""
    fitting = [step for step in steps if COUNTED * step < numbers]
    step = int(generator.choice(fitting))
    start = int(generator.integers(numbers - COUNTED * step))
    terms = [start + step * i for i in range(COUNTED + 1)]
    return " ".join(map(str, terms if generator.random() < 0.5 else terms[::-1])) + " ."


def order(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """Which of two numbers is smaller."""
    a, b = generator.choice(numbers, 2, replace=False)
    return f"{a} {'<' if a < b else '>'} {b} ."


def parity(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """Whether a number is even."""
    a = int(generator.integers(numbers))
    return f"{a} is {'odd' if a % 2 else 'even'} ."


def last_digit(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """The last digit of a number."""
    a = int(generator.integers(numbers))
    return f"{a} ends in {a % 10} ."


def tens(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """How many tens a number has."""
    a = int(generator.integers(numbers))
    return f"{a} has {a // 10} tens ."


def _last(number: int) -> int:
    return number % 10


def _before_last(number: int) -> int:
    return number // 10


def _odd(number: int) -> int:
    return number % 2


@cache
def _sharing(key: Callable[[int], int], numbers: int) -> dict[int, list[int]]:
    """Key -> the numbers that have it, in ascending order: the same for every sentence."""
    groups: dict[int, list[int]] = {}
    for number in range(numbers):
        groups.setdefault(key(number), []).append(number)
    return groups


def _alike(generator: np.random.Generator, numbers: int, key: Callable[[int], int]) -> tuple[str, int]:
    """At most six numbers that have the same key, in random order, and the key."""
    shared = key(int(generator.integers(numbers)))
    return " ".join(map(str, generator.permutation(_sharing(key, numbers)[shared])[:6])), shared


def same_last_digit(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """Numbers that end in the same digit."""
    text, digit = _alike(generator, numbers, _last)
    return f"{text} end in {digit} ."


def same_tens(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """Numbers that have as many tens."""
    text, count = _alike(generator, numbers, _before_last)
    return f"{text} have {count} tens ."


def same_parity(generator: np.random.Generator, numbers: int, steps: Sequence[int]) -> str:
    """Numbers that are all even or all odd."""
    text, odd = _alike(generator, numbers, _odd)
    return f"{text} are {'odd' if odd else 'even'} ."


SENTENCES: dict[str, Sentence] = {
    "counting": counting,
    "order": order,
    "parity": parity,
    "last-digit": last_digit,
    "tens": tens,
    "same-last-digit": same_last_digit,
    "same-tens": same_tens,
    "same-parity": same_parity,
}
"""Kind of sentence, as `mixture` of a pre-training names it -> what writes one."""


def corpus(
    sentences: int, numbers: int, mixture: Mapping[str, float], steps: Sequence[int], seed: int
) -> Iterator[str]:
    """At most `sentences` lines, one at a time, about the numbers 0..numbers-1.

    mixture: sentence kind -> weight, from which each line's kind is drawn.
    steps: the steps of counting. Raises UserError for a kind that does not exist or a mixture
    without weight.
    """
    for kind in mixture:
        if kind not in SENTENCES:
            raise UserError(f"Sentence kind '{kind}' is not known; it is one of {', '.join(SENTENCES)}.")
    weights = np.asarray(list(mixture.values()), float)
    if not len(weights) or weights.sum() <= 0 or weights.min() < 0:
        raise UserError("A pre-training mixture needs weights of 0 or more, not all of them 0.")

    generator = np.random.default_rng(seed)
    kinds = generator.choice(list(mixture), size=sentences, p=weights / weights.sum())
    return (SENTENCES[kind](generator, numbers, steps) for kind in kinds)


def numeral_tokenizer(numbers: int) -> PreTrainedTokenizerFast:
    """A word-level tokenizer: one token for each of 0..numbers-1 and for every word of tasks and corpus.

    White space only separates, so `bare` and `space` answers are the same token.
    """
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    # Punctuation is parted from digits, not from words: `Answer:` is one token, and lines are short.
    splitter = pre_tokenizers.Sequence([pre_tokenizers.WhitespaceSplit(), pre_tokenizers.Digits(False)])

    # Every word that a task's template or a sentence of the corpus can hold.
    samples = [
        template.replace("{a}", " ").replace("{b}", " ") + CUES[operation]
        for operation, templates in TEMPLATES.items()
        for template in templates
    ]
    generator = np.random.default_rng(0)
    samples += [make(generator, 1000, (1,)) for make in SENTENCES.values() for _ in range(20)]
    words = sorted({word for text in samples for word, _ in splitter.pre_tokenize_str(text)})

    vocabulary = [*SPECIAL_TOKENS, *map(str, range(numbers)), *(w for w in words if not w.isdigit())]
    model = models.WordLevel({word: index for index, word in enumerate(vocabulary)}, unk_token="[UNK]")
    tokenizer = Tokenizer(model)
    tokenizer.pre_tokenizer = splitter
    fast: Any = PreTrainedTokenizerFast
    wrapped: PreTrainedTokenizerFast = fast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", bos_token="[BOS]"
    )
    return wrapped


def packed(
    texts: Iterable[str], tokenizer: PreTrainedTokenizerFast, length: int, lines: int, at_once: int = 5000
) -> np.ndarray:
    """Token ids of the texts, one after the other, cut into lines of `length`: (line, token) int64.

    lines: how many lines at most. at_once: texts that are tokenized together; no more texts are read
    than the lines need.
    """
    stream: list[int] = []
    remaining = iter(texts)
    while len(stream) < lines * length and (batch := list(itertools.islice(remaining, at_once))):
        # The ids alone: masks, kinds and offsets of a million tokens would take longer than the ids.
        encoded = tokenizer.backend_tokenizer.encode_batch_fast(batch, add_special_tokens=False)
        stream.extend(itertools.chain.from_iterable(each.ids for each in encoded))
    count = min(lines, len(stream) // length)
    return np.asarray(stream[: count * length], np.int64).reshape(count, length)
