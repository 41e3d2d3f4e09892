"""What the drawing functions of all kinds of figures have in common."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
from matplotlib.figure import Figure

Results = Mapping[str, list[Any]]
"""Input of the kind -> its tables (or, of a JSON file, what it holds), in the figure's order."""
Options = Mapping[str, Any]
"""`note`, `labels` (name of what is shown -> label), the figure's options and the facts of its kind."""
Drawn = tuple[Figure, pd.DataFrame]
"""A figure and the table of what it draws."""
Drawing = Callable[[Results, Options], Drawn]


def only(results: Results, name: str) -> pd.DataFrame:
    """The one table of an input. Raises ValueError where the input has several."""
    table: pd.DataFrame
    (table,) = results[name]
    return table


def joined(tables: Iterable[pd.DataFrame], names: Sequence[str], column: str) -> pd.DataFrame:
    """Tables end to end, with a column that says which of the names each row is of."""
    return pd.concat(table.assign(**{column: name}) for table, name in zip(tables, names, strict=True))


def chosen(options: Options, name: str) -> Any:
    """An option that shows everything where it is 0 or left out: its value, or None for everything."""
    return options.get(name) or None
