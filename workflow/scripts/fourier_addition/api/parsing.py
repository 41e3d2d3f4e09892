"""A number out of a free-text reply."""

from __future__ import annotations

import re

LONGEST = 18
"""Digits of the longest number that 64 bits hold; a longer one is nonsense."""
# Groups of three digits after a comma, an apostrophe or a narrow, thin or no-break space. A plain space
# separates two numbers; and 1,23 is two numbers, not one.
_GROUPED = "\\d{1,3}(?:[,'\u2019\u00a0\u2009\u202f]\\d{3})+(?!\\d)"
_NUMBER = re.compile(rf"(?P<minus>(?<![\w)])[-\u2212])?(?P<digits>{_GROUPED}|\d+)(?P<fraction>\.\d+)?")


def parse_number(reply: str, reading: str = "first") -> int | None:
    """The integer that a reply states, or None when it states none.

    reading: `first` or `last` integer of the reply ("15 and 93 make 108" states 15 or 108). Thousands
    separators and a minus are understood; 108.0 is an integer, 7.5 is not and is passed over.
    """
    found = []
    for match in _NUMBER.finditer(reply):
        digits = re.sub(r"\D", "", match["digits"])
        if (match["fraction"] or "").strip(".0") or len(digits) > LONGEST:
            continue
        found.append(-int(digits) if match["minus"] else int(digits))
    if not found:
        return None
    return found[0] if reading == "first" else found[-1]
