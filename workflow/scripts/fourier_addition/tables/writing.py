"""Tables as CSV, Markdown and LaTeX."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing, write_csv


@dataclass(frozen=True)
class TableCells:
    """A table in numbers and in words.

    table: every column, for CSV. headings, rows: the cells as text, for Markdown and LaTeX.
    text_columns: so many columns at the left hold words; the others hold numbers, aligned to the right.
    """

    table: pd.DataFrame
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    text_columns: int = 1


def markdown(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """A Markdown table; columns after the first `text_columns` are aligned to the right."""
    rule = ["---"] * text_columns + ["---:"] * (len(headings) - text_columns)
    # A bar in a cell would end the cell.
    cells = [[cell.replace("|", "\\|") for cell in row] for row in (headings, *rows)]
    return "".join("| " + " | ".join(row) + " |\n" for row in [cells[0], rule, *cells[1:]])


LATEX = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "%_&$#{}"},
    }
)
"""Characters that LaTeX would not print as they stand."""


def latex(headings: Sequence[str], rows: Sequence[Sequence[str]], text_columns: int) -> str:
    """A LaTeX tabular; it needs the package booktabs."""
    columns = "l" * text_columns + "r" * (len(headings) - text_columns)

    def line(cells: Sequence[str]) -> str:
        return " & ".join(cell.translate(LATEX) for cell in cells) + r" \\"

    body = [
        rf"\begin{{tabular}}{{{columns}}}",
        r"\toprule",
        line(headings),
        r"\midrule",
        *map(line, rows),
        r"\bottomrule",
        r"\end{tabular}",
    ]
    return "\n".join(body) + "\n"


def write_table(cells: TableCells, path: str | Path) -> None:
    """Write a table in the format of the path's suffix: .csv (every column), .md or .tex (the cells).

    Raises UserError for another suffix.
    """
    suffix = Path(path).suffix
    if suffix == ".csv":
        write_csv(cells.table, path)
        return
    writers = {".md": markdown, ".tex": latex}
    if suffix not in writers:
        raise UserError(f"{path} must end in .csv, .md or .tex.")
    with replacing(path) as temporary:
        temporary.write_text(writers[suffix](cells.headings, cells.rows, cells.text_columns))
