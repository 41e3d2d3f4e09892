"""Figures of merit written into a panel: shares and accuracies that come in as data."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd
from matplotlib.axes import Axes

from fourier_addition.plots import frame, theme
from fourier_addition.plots.columns import require, require_fractions

COLUMNS = ("label", "name", "value")


def check_facts(facts: pd.DataFrame | None, what: str) -> pd.DataFrame:
    """The facts, an empty table for None. Raises UserError when a column is missing."""
    if facts is None:
        return pd.DataFrame({"label": [], "name": [], "value": []})
    require(facts, COLUMNS, what)
    require_fractions(facts, ["value"], what)
    return facts[list(COLUMNS)]


def write_facts(
    ax: Axes, facts: pd.DataFrame, *, extra: Sequence[str] = (), left: bool = False, clear: bool = True
) -> int:
    """Write `name: value %` line by line, then the extra lines, into an upper corner of a panel.

    clear: raise the y axis above the data's reach. Returns the number of lines.
    """
    values = facts[["name", "value"]].itertuples(index=False)
    lines = [f"{name}: {theme.percent(value)}" for name, value in values] + list(extra)
    if lines:
        frame.remark(ax, "\n".join(lines), left=left, clear=clear)
    return len(lines)
