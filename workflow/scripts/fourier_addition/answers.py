"""The numbers that models write: the package reads written numbers nowhere else."""

from __future__ import annotations

import re
from typing import Literal

Place = Literal["beginning", "first", "last"]

LARGEST = 2**53
"""Largest number that is read at the beginning: the error of a larger one is no exact float."""
LONGEST = 18
"""Digits of the longest number that is read anywhere: 64 bits hold it. A longer one is nonsense."""

_AT_BEGINNING = re.compile(r"\s*(-?(?:\d{1,3}(?:,\d{3})+|\d+))")
# Groups of three digits after a comma, an apostrophe or a narrow, thin or no-break space. A plain space
# separates two numbers; and 1,23 is two numbers, not one.
_GROUPED = "\\d{1,3}(?:[,'\u2019\u00a0\u2009\u202f]\\d{3})+(?!\\d)"
_ANYWHERE = re.compile(rf"(?P<minus>(?<![\w)])[-\u2212])?(?P<digits>{_GROUPED}|\d+)(?P<fraction>\.\d+)?")


def written_number(text: str, place: Place = "first") -> int | None:
    """The whole number that a text states, or None where the text states none.

    place: where the number stands.

    - `beginning`: the text begins with the number. White space may precede it; a minus sign and commas
      between groups of three digits are read, and what follows the number is not looked at, so a model
      can be stopped after it (`number_complete`). "12.5" begins with 12, "The sum is 5" with no number.
    - `first`, `last`: the first or the last whole number anywhere in the text, as chat models answer in
      sentences. "15 and 93 make 108" states 15 first and 108 last. Further signs are understood: other
      separators of thousands and the typographic minus. 108.0 is a whole number; 7.5 is passed over.
    """
    if place == "beginning":
        found = _AT_BEGINNING.match(text)
        number = int(found[1].replace(",", "")) if found else None
        return None if number is None or abs(number) > LARGEST else number
    numbers = []
    for match in _ANYWHERE.finditer(text):
        digits = re.sub(r"\D", "", match["digits"])
        has_fraction = bool((match["fraction"] or "").strip(".0"))
        if not has_fraction and len(digits) <= LONGEST:
            numbers.append(-int(digits) if match["minus"] else int(digits))
    if not numbers:
        return None
    return numbers[0] if place == "first" else numbers[-1]


def number_complete(text: str) -> bool:
    """Whether more text cannot change what `written_number` reads at the text's beginning."""
    return bool(re.match(r"\s*(?:-?\d[\d,]*[^\d,]|-?[^\s\d-])", text))
