"""What confirms a statement, and what refutes it."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Measured:
    """What a study found for one statement.

    value: the figure. low, high: its interval; equal to the value where there is none. text: the figure
    in words. over: what the interval is over (`examples`, `seeds`, `layers`); empty where there is none.
    shown: the runs or models that the figure is of.
    """

    value: float
    low: float
    high: float
    text: str
    over: str
    shown: str


COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    "at least": operator.ge,
    "at most": operator.le,
    "above": operator.gt,
    "below": operator.lt,
}


@dataclass(frozen=True)
class Criterion:
    """What must be found for a statement to be confirmed.

    kind: a key of `COMPARISONS` for a figure against the threshold; `all of` or `none of` for a count of
    things, of which there are `threshold`. unit: how the threshold is written: `%` for shares, otherwise
    a word behind the number.
    """

    kind: str
    threshold: float
    unit: str = "%"

    def __str__(self) -> str:
        if self.kind == "none of":
            return f"none of {self.threshold:g} {self.unit}"
        if self.unit == "%":
            return f"{self.kind} {self.threshold:.0%}"
        return f"{self.kind} {self.threshold:g} {self.unit}".strip()

    def verdict(self, value: float, low: float, high: float) -> str:
        """`confirmed` when the whole interval satisfies the criterion, `refuted` when none of it does.

        The rest is `undecided`: an interval across the threshold, or a count between none and all.
        """
        if self.kind == "all of":
            return "confirmed" if value >= self.threshold else "refuted" if value <= 0 else "undecided"
        if self.kind == "none of":
            return "confirmed" if value <= 0 else "refuted" if value >= self.threshold else "undecided"
        holds = COMPARISONS[self.kind]
        ends = {holds(low, self.threshold), holds(high, self.threshold)}
        return "undecided" if len(ends) == 2 else "confirmed" if ends == {True} else "refuted"


CriterionOf = Callable[[Mapping[str, Any]], Criterion]
"""The criterion of a statement, given the settings of the table of claims."""


def at_least(key: str) -> CriterionOf:
    """A share of at least what the settings say under `key`."""
    return lambda settings: Criterion("at least", settings[key])


def at_most(key: str) -> CriterionOf:
    """A share of at most what the settings say under `key`."""
    return lambda settings: Criterion("at most", settings[key])


def beyond_chance(settings: Mapping[str, Any]) -> Criterion:
    """A p-value of at most 1 minus the configuration's `null_level`."""
    return Criterion("at most", round(1 - settings["null_level"], 6), "(p-value)")


def above(threshold: float, unit: str) -> CriterionOf:
    """A figure above a fixed threshold."""
    return lambda settings: Criterion("above", threshold, unit)


def below(threshold: float, unit: str) -> CriterionOf:
    """A figure below a fixed threshold."""
    return lambda settings: Criterion("below", threshold, unit)


def all_of(periods: Sequence[float]) -> CriterionOf:
    """All of the periods."""
    return lambda settings: Criterion("all of", len(periods), "periods")


def none_of(periods: Sequence[float]) -> CriterionOf:
    """None of the periods."""
    return lambda settings: Criterion("none of", len(periods), "periods")
