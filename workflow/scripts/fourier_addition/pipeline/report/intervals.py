"""A claim's result as a small drawing: the interval, the value, the threshold and the paper's own value."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from html import escape
from typing import Any

WIDTH, HEIGHT, MARGIN = 220, 34, 12


@dataclass(frozen=True)
class Scale:
    """The axis of one drawing. low, high: its ends. as_percent: whether they are shares."""

    low: float
    high: float
    as_percent: bool

    def place(self, value: float) -> float:
        """Where a value stands, in pixels from the left; values beyond the axis stand at its end."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(MARGIN + share * (WIDTH - 2 * MARGIN), 1)

    def text(self, value: float) -> str:
        """A value as the axis writes it."""
        return f"{value:.0%}" if self.as_percent else f"{value:.3g}"


def threshold_of(confirmed_when: str) -> float | None:
    """The threshold that a criterion's words name: 0.95 of `at least 95%`, 0 of `none of 4 periods`."""
    if confirmed_when.startswith("none of"):
        return 0.0
    found = re.search(r"(-?\d+(?:\.\d+)?)(%?)", confirmed_when)
    if found is None:
        return None
    return float(found[1]) / (100 if found[2] else 1)


def scale_of(row: Mapping[str, Any], threshold: float | None) -> Scale:
    """An axis that holds everything of a row; shares go from 0 to 100 %."""
    words = str(row["confirmed_when"])
    values = [_number(row.get(key)) for key in ("value", "low", "high", "paper_value")]
    known = [value for value in [*values, threshold] if value is not None]
    count = re.search(r"(?:all|none) of (\d+)", words)
    low, high = min([0.0, *known]), max(known, default=1.0)
    if "%" in words or "p-value" in words:
        high = max(high, 1.0)
    elif count:
        high = max(high, float(count[1]))
    if high <= low:
        high = low + 1
    return Scale(low, high, as_percent="%" in words or "difference" in words)


def drawing(row: Mapping[str, Any]) -> str:
    """The drawing of one row of a table of claims as SVG; a dash in words where nothing was measured."""
    value, low, high = (_number(row.get(key)) for key in ("value", "low", "high"))
    if value is None or low is None or high is None:
        return "<span>not measured</span><br>"
    threshold, paper = threshold_of(str(row["confirmed_when"])), _number(row.get("paper_value"))
    scale = scale_of(row, threshold)
    middle, at = 12, scale.place

    # The axis with its ends, then what the criterion asks for, the interval and the values on it.
    marks = [
        f'<line class="axis" x1="{MARGIN}" y1="{middle}" x2="{WIDTH - MARGIN}" y2="{middle}"/>',
        f'<text x="{MARGIN}" y="{HEIGHT - 2}">{scale.text(scale.low)}</text>',
        f'<text x="{WIDTH - MARGIN}" y="{HEIGHT - 2}" text-anchor="end">{scale.text(scale.high)}</text>',
    ]
    if threshold is not None:
        marks.append(f'<line class="threshold" x1="{at(threshold)}" y1="2" x2="{at(threshold)}" y2="22"/>')
    if paper is not None:
        x = at(paper)
        marks.append(f'<path class="paper" d="M{x} 5l5 7-5 7-5-7z"/>')
    if high > low:
        marks.append(f'<line class="interval" x1="{at(low)}" y1="{middle}" x2="{at(high)}" y2="{middle}"/>')
    marks.append(f'<circle class="value" cx="{at(value)}" cy="{middle}" r="4"/>')

    # The same in words, for those who cannot see it.
    words = [f"value {scale.text(value)}"]
    if high > low:
        words.append(f"interval {scale.text(low)} to {scale.text(high)}")
    words.append(f"confirmed when {row['confirmed_when']}")
    if paper is not None:
        words.append(f"the paper's value {scale.text(paper)}")
    return (
        f'<svg class="plot" role="img" viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" '
        f'aria-label="{escape(", ".join(words))}">{"".join(marks)}</svg>'
    )


def _number(value: Any) -> float | None:
    """A finite number, or None."""
    try:
        number = float(value)
    except (TypeError, ValueError):
        return None
    return number if math.isfinite(number) else None
