"""Arithmetic tasks: templates, pairs of operands, splits, digit ranges (paper section 2, appendix)."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.errors import UserError

Pairwise = Callable[[np.ndarray, np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Operation:
    """What a task asks of two operands, and in which words.

    name: as the configuration writes it under `tasks.<name>.operation`. templates: phrasings with {a}
    and {b}. cue: what follows every phrasing, before the answer. apply: a, b (pair,) -> answers (pair,),
    which are whole numbers from 0 on and the same for (a, b) and (b, a), as splits are by unordered pair.
    largest: (smallest operand, largest operand) -> largest answer.
    """

    name: str
    templates: tuple[str, ...]
    cue: str
    apply: Pairwise
    largest: Callable[[int, int], int]


OPERATIONS: dict[str, Operation] = {
    operation.name: operation
    for operation in (
        Operation(
            name="addition",
            templates=(
                "Total of {a} and {b}.",
                "Add together {a} and {b}.",
                "Calculate {a} + {b}.",
                "What is the sum of {a} and {b}?",
                "Put together {a} and {b}.",
            ),
            cue=" Answer:",
            apply=np.add,
            largest=lambda low, high: high + high,
        ),
        Operation(
            name="multiplication",
            templates=(
                "What is the product of {a} and {b}?",
                "Find the product of {a} multiplied by {b}.",
                "Calculate {a} times {b}.",
                "{a} multiplied by {b} equals what?",
                "Multiplication of {a} with {b}.",
            ),
            cue=" Answer:",
            apply=np.multiply,
            largest=lambda low, high: high * high,
        ),
        Operation(
            name="reverse-polish",
            templates=("{a},{b}+",),
            cue="",
            apply=np.add,
            largest=lambda low, high: high + high,
        ),
    )
}
"""Every operation by name (section 2 and appendix). A further one is one further record here.

A small model that is pre-trained here knows the words of all templates and cues: a new word gives it
another vocabulary, and so other weights.
"""

TEMPLATES = {name: operation.templates for name, operation in OPERATIONS.items()}
CUES = {name: operation.cue for name, operation in OPERATIONS.items()}
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Task:
    """One arithmetic task.

    operation: a key of `OPERATIONS`. operands: (smallest, largest), both included.
    answer: the form of the answer's token, `bare` or `space`.
    operand_order: `random` draws the order of each pair once, `ascending` writes the smaller first.
    max_answer: pairs with a larger answer are left out (10,000 for the paper's products).
    fractions: shares of train and validation; test is the rest. seed: of templates, operand order and
    split. templates: phrasings with {a} and {b}, of which one is drawn for each pair.
    """

    name: str
    operation: str
    operands: tuple[int, int]
    answer: str = "bare"
    operand_order: str = "random"
    max_answer: int | None = None
    fractions: tuple[float, float] = (0.8, 0.1)
    seed: int = 0
    templates: tuple[str, ...] = field(default=())

    @classmethod
    def from_config(cls, name: str, entry: Mapping[str, Any]) -> Task:
        """A task from its configuration entry, whose defaults the schema has filled in.

        Raises UserError for an operation that does not exist and for operands out of order.
        """
        if entry["operation"] not in OPERATIONS:
            raise UserError(
                f"Config key `tasks.{name}.operation` must be one of {', '.join(OPERATIONS)}, "
                f"not '{entry['operation']}'."
            )
        low, high = entry["operands"]
        if not 0 <= low <= high:
            raise UserError(
                f"Config key `tasks.{name}.operands` must be [smallest, largest] "
                f"with 0 <= smallest <= largest, not {[low, high]}."
            )
        return cls(
            name=name,
            operation=entry["operation"],
            operands=(low, high),
            answer=entry["answer"],
            operand_order=entry["operand_order"],
            max_answer=entry.get("max_answer"),
            fractions=tuple(entry["fractions"]),
            seed=entry["seed"],
            templates=tuple(entry.get("templates") or OPERATIONS[entry["operation"]].templates),
        )

    def apply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The answer of each pair: a, b (pair,) -> (pair,)."""
        return OPERATIONS[self.operation].apply(a, b)

    @property
    def largest_answer(self) -> int:
        """Largest answer that the task can ask for."""
        largest = OPERATIONS[self.operation].largest(*self.operands)
        return largest if self.max_answer is None else min(largest, self.max_answer)

    @property
    def numbers(self) -> int:
        """p, the size of the number space that the task needs: 0..largest answer."""
        return self.largest_answer + 1


def question(task: Task, template: int, a: int, b: int) -> str:
    """The prompt of one pair, up to where the answer's token follows.

    template: index among the task's templates. In the `bare` form the space after the cue belongs to
    the prompt (GPT-2's token 220), in the `space` form to the answer's token. Reverse Polish prompts
    have neither cue nor space.
    """
    cue = OPERATIONS[task.operation].cue
    text = task.templates[template].format(a=a, b=b) + cue
    return text + " " if cue and task.answer == "bare" else text


def pairs(task: Task) -> np.ndarray:
    """All unordered pairs with repetition, smaller first: (pair, 2) int64."""
    low, high = task.operands
    a, b = np.triu_indices(high - low + 1)
    found = np.stack([a, b], axis=1) + low
    if task.max_answer is not None:
        found = found[task.apply(found[:, 0], found[:, 1]) <= task.max_answer]
    return found


def split_sizes(count: int, fractions: tuple[float, float]) -> tuple[int, int, int]:
    """Sizes of train, validation and test: the first two rounded down, test is the rest."""
    train, validation = (int(round(count * fraction, 9)) for fraction in fractions)
    return train, validation, count - train - validation


def dataset(task: Task) -> pd.DataFrame:
    """All examples of a task, one template and one operand order drawn for each unordered pair.

    Splits are by unordered pair, so (a, b) and (b, a) never fall on two sides.
    Columns: example, a, b, answer, template, split, prompt. Raises UserError when a split is empty.
    """
    # The order of these three draws fixes what every dataset of a seed is.
    generator = np.random.default_rng(task.seed)
    found = generator.permutation(pairs(task))
    templates = generator.integers(len(task.templates), size=len(found))
    swap = generator.random(len(found)) < 0.5

    # Which operand comes first.
    if task.operand_order == "random":
        found[swap] = found[swap][:, ::-1]
    elif task.operand_order != "ascending":
        raise UserError(
            f"Config key `tasks.{task.name}.operand_order` must be random or ascending, "
            f"not '{task.operand_order}'."
        )

    # The pairs are in random order, so the splits are blocks of rows.
    sizes = split_sizes(len(found), task.fractions)
    for split, size in zip(SPLITS, sizes, strict=True):
        if size < 1:
            raise UserError(f"Task '{task.name}' has {len(found)} pairs, too few for a {split} split.")

    a, b = found.T
    return pd.DataFrame(
        {
            "example": np.arange(len(found)),
            "a": a,
            "b": b,
            "answer": task.apply(a, b),
            "template": templates,
            "split": np.repeat(SPLITS, sizes),
            "prompt": [question(task, t, x, y) for t, x, y in zip(templates, a, b, strict=True)],
        }
    )


def of_split(examples: pd.DataFrame, split: str) -> pd.DataFrame:
    """The examples of one split; `held-out` is validation and test together."""
    names = ("validation", "test") if split == "held-out" else (split,)
    return examples[examples["split"].isin(names)]


def in_digit_range(examples: pd.DataFrame, low: int, high: int, name: str = "") -> np.ndarray:
    """Which examples have both operands in [low, high]: (example,) bool.

    name: what the configuration calls the range. Raises UserError when no example is in the range.
    """
    both = examples[["a", "b"]]
    inside = ((both >= low) & (both <= high)).all(axis=1).to_numpy()
    if not inside.any():
        label = f" '{name}'" if name else ""
        raise UserError(f"Digit range{label} [{low}, {high}] holds no pair of operands of this task's split.")
    return inside


def few_shot_prefix(
    examples: pd.DataFrame, shots: int, seed: int, form: str, separator: str
) -> tuple[str, Sequence[int]]:
    """The text of `shots` solved examples that stand before every prompt, and their example numbers.

    examples: a dataset; the solved examples are drawn from its train split by `seed`. form: the answer's
    form, `bare` or `space`. separator: what ends each solved example. Raises UserError when the train
    split is too small.
    """
    train = examples[examples["split"] == "train"]
    if shots > len(train):
        raise UserError(f"{shots} shots were asked for, but the train split has only {len(train)} examples.")
    drawn = train.iloc[np.random.default_rng(seed).choice(len(train), shots, replace=False)]
    space = " " if form == "space" else ""
    lines = [f"{row.prompt}{space}{row.answer}" for row in drawn.itertuples()]
    return "".join(line + separator for line in lines), drawn["example"].tolist()


def answer_tokens(largest_answer: int) -> int:
    """Tokens that are enough for any answer: its digits, one for a space, one that ends the number."""
    return len(str(largest_answer)) + 2


def operand_ends(task: Task, prompt: str, template: int, a: int, b: int) -> tuple[int, int]:
    """Where each operand ends in a prompt: the places of the characters that follow a and b.

    prompt: what `question` wrote, or that behind solved examples. template, a, b: as for `question`. Where a
    template names an operand twice, its first place counts. Raises UserError where the prompt does not end
    in the question.
    """
    text = question(task, template, a, b)
    if not prompt.endswith(text):
        raise UserError(f"The prompt {prompt[-60:]!r} does not end in the question {text!r}.")
    start, phrasing = len(prompt) - len(text), task.templates[template]
    before = [phrasing.partition(name)[0] for name in ("{a}", "{b}")]
    ends = [len(part.format(a=a, b=b)) + len(str(n)) for part, n in zip(before, (a, b), strict=True)]
    return start + ends[0], start + ends[1]
