"""What confirms a statement, and what refutes it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Measured:
    """What a study found for one statement.

    value: the figure. low, high: its interval; equal to the value where there is none. text: the figure
    in words. over: what the interval is over (`examples`, `seeds`, `layers`); empty where there is none.
    shown: runs or models that it is of.
    """

    value: float
    low: float
    high: float
    text: str
    over: str
    shown: str


@dataclass(frozen=True)
class Criterion:
    """What must be found for a statement to be confirmed.

    kind: `at least`, `at most`, `above`, `below` a threshold; `all of` or `none of` so many things.
    unit: how the threshold is written: `%` for shares, otherwise a word behind the number.
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

        What lies between is `undecided`: an interval across the threshold, or some of several things.
        """
        t = self.threshold
        if self.kind == "all of":
            return "confirmed" if value >= t else "refuted" if value <= 0 else "undecided"
        if self.kind == "none of":
            return "confirmed" if value <= 0 else "refuted" if value >= t else "undecided"
        holds = {
            "at least": lambda x: x >= t,
            "at most": lambda x: x <= t,
            "above": lambda x: x > t,
            "below": lambda x: x < t,
        }[self.kind]
        ends = {holds(low), holds(high)}
        return "undecided" if len(ends) == 2 else "confirmed" if ends == {True} else "refuted"
