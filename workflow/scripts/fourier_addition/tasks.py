"""Arithmetic tasks: templates, pairs of operands, splits, digit ranges (paper section 2, appendix)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from fourier_addition.errors import UserError

TEMPLATES: dict[str, tuple[str, ...]] = {
    "addition": (
        "Total of {a} and {b}.",
        "Add together {a} and {b}.",
        "Calculate {a} + {b}.",
        "What is the sum of {a} and {b}?",
        "Put together {a} and {b}.",
    ),
    "multiplication": (
        "What is the product of {a} and {b}?",
        "Find the product of {a} multiplied by {b}.",
        "Calculate {a} times {b}.",
        "{a} multiplied by {b} equals what?",
        "Multiplication of {a} with {b}.",
    ),
    "reverse-polish": ("{a},{b}+",),
}
CUES = {"addition": " Answer:", "multiplication": " Answer:", "reverse-polish": ""}
SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Task:
    """One arithmetic task.

    operation: a key of `TEMPLATES`. operands: (smallest, largest), both included.
    answer: the form of the answer's token, `bare` or `space`.
    operand_order: `random` draws the order of each pair once, `ascending` writes the smaller first.
    max_answer: pairs with a larger answer are left out (10,000 for the paper's products).
    fractions: shares of train and validation; test is the rest.
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
        """A task from its configuration entry, whose defaults the schema has filled in."""
        if entry["operation"] not in TEMPLATES:
            raise UserError(f"Config key `tasks.{name}.operation` must be one of {', '.join(TEMPLATES)}.")
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
            templates=tuple(entry.get("templates") or TEMPLATES[entry["operation"]]),
        )

    def apply(self, a: np.ndarray, b: np.ndarray) -> np.ndarray:
        """The answer of each pair: a, b (pair,) -> (pair,)."""
        return a * b if self.operation == "multiplication" else a + b

    @property
    def largest_answer(self) -> int:
        """Largest answer that the task can ask for."""
        high = self.operands[1]
        largest = int(self.apply(np.asarray(high), np.asarray(high)))
        return largest if self.max_answer is None else min(largest, self.max_answer)

    @property
    def numbers(self) -> int:
        """p, the size of the number space that the task needs: 0..largest answer."""
        return self.largest_answer + 1


def question(task: Task, template: int, a: int, b: int) -> str:
    """The prompt up to where the answer's token follows.

    In the `bare` form the space after the cue belongs to the prompt (GPT-2's token 220), in the
    `space` form to the answer's token; reverse Polish prompts have neither cue nor space.
    """
    cue = CUES[task.operation]
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
    generator = np.random.default_rng(task.seed)
    found = generator.permutation(pairs(task))
    templates = generator.integers(len(task.templates), size=len(found))
    swap = generator.random(len(found)) < 0.5
    if task.operand_order == "random":
        found[swap] = found[swap][:, ::-1]
    elif task.operand_order != "ascending":
        raise UserError(
            f"Config key `tasks.{task.name}.operand_order` must be random or ascending, "
            f"not '{task.operand_order}'."
        )
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

    Raises UserError when none has.
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
    """`shots` solved training examples before every prompt, and their example numbers.

    examples: a dataset; only its train split is drawn from. Raises UserError when it is too small.
    """
    train = examples[examples["split"] == "train"]
    if shots > len(train):
        raise UserError(f"{shots} shots were asked for, but the train split has only {len(train)} examples.")
    drawn = train.iloc[np.random.default_rng(seed).choice(len(train), shots, replace=False)]
    space = " " if form == "space" else ""
    lines = [f"{row.prompt}{space}{row.answer}" for row in drawn.itertuples()]
    return "".join(line + separator for line in lines), drawn["example"].tolist()


def answer_tokens(largest_answer: int) -> int:
    """Tokens that are enough for any answer: one a digit, one for a space, one that ends the number."""
    return len(str(largest_answer)) + 2
