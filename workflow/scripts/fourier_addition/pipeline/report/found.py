"""What lies in a folder of results: figures, tables, claims, and what of it cannot be read."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from shlex import quote

import pandas as pd
from PIL import Image

from fourier_addition.files.manifests import is_foreign
from fourier_addition.pipeline import paths
from fourier_addition.pipeline.report.asked import Asked, Words
from fourier_addition.pipeline.report.made import Made, Timing, made_of, timings_of

CLAIM_COLUMNS = {"claim", "statement", "paper", "run", "here", "low", "high", "confirmed_when", "verdict"}
"""A table with these columns is a table of claims, whatever its name."""


@dataclass(frozen=True)
class Figure:
    """One figure that is there. image: its PNG file. files: all of its files, the image among them."""

    name: str
    image: Path
    files: tuple[Path, ...]
    words: Words


@dataclass(frozen=True)
class Table:
    """One table that is there. headings, rows: its cells as text. claims: its rows where it is of claims."""

    name: str
    files: tuple[Path, ...]
    words: Words
    headings: Sequence[str]
    rows: Sequence[Sequence[str]]
    claims: pd.DataFrame | None = None


@dataclass(frozen=True)
class Study:
    """Everything that the report shows.

    missing_figures, missing_tables: names that the configuration asks for and that are not there.
    explorer: the page to look around in the results, where it is there.
    faults: one sentence for each file that is there and cannot be read.
    """

    folder: str
    asked: Asked
    figures: Sequence[Figure]
    tables: Sequence[Table]
    missing_figures: Sequence[str]
    missing_tables: Sequence[str]
    made: Made
    timings: Sequence[Timing]
    explorer: Path | None = None
    faults: list[str] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there is neither a figure nor a table."""
        return not self.figures and not self.tables

    def missing_sentences(self) -> list[str]:
        """What is missing, in one sentence; no sentence where nothing is."""
        if self.is_empty:
            return [f"There is no figure and no table in {self.folder} yet: `make` makes them."]
        parts = [
            f"{len(names)} of {total} {noun} ({_listed(names)})"
            for names, total, noun in (
                (self.missing_figures, len(self.asked.figures), "figures"),
                (self.missing_tables, len(self.asked.tables), "tables"),
            )
            if names
        ]
        if not parts:
            return []
        return [
            f"Of {self.asked.configuration}, {' and '.join(parts)} are not there yet: "
            f"`make CONFIG={quote(str(self.asked.configuration))}` makes them."
        ]


def _listed(names: Sequence[str], most: int = 8) -> str:
    """Names in words, the first few of many."""
    shown = list(names[:most])
    return ", ".join(shown) + (f" and {len(names) - most} more" if len(names) > most else "")


def below(folder: str | Path, path: str) -> Path:
    """Where a result lies in another folder than `results`. path: as `pipeline.paths` gives it."""
    return Path(folder).joinpath(*Path(path).parts[1:])


def study_of(folder: str | Path, asked: Asked) -> Study:
    """What lies in a folder of results; nothing where there is no such folder."""
    faults: list[str] = []

    # The figures in the paper's order, the tables in the configuration's.
    figures = []
    for name in _in_order(_names(folder, paths.figure, "png"), asked.figures):
        files = _files(folder, paths.figure, name, ("png", "pdf", "csv"))
        if _is_whole_image(files[0], faults):
            figures.append(Figure(name, files[0], files, asked.figure(name)))
    tables = []
    for name in _in_order(_names(folder, paths.table, "csv"), asked.tables):
        files = _files(folder, paths.table, name, ("csv", "md", "tex"))
        tables += _table(name, files, asked.table(name), faults)

    explorer = below(folder, paths.explorer())
    there = {each.name for each in figures}, {each.name for each in tables}
    return Study(
        folder=str(folder),
        asked=asked,
        figures=figures,
        tables=tables,
        missing_figures=[name for name in asked.figures if name not in there[0]],
        missing_tables=[name for name in asked.tables if name not in there[1]],
        made=made_of(folder, faults),
        timings=timings_of(Path(folder).absolute().parent / "logs"),
        explorer=explorer if explorer.is_file() else None,
        faults=faults,
    )


PathOf = Callable[[str, str], str]
"""A function of `pipeline.paths`: a name and a suffix -> the path of a file."""


def _names(folder: str | Path, path_of: PathOf, suffix: str) -> list[str]:
    """Names of the figures or tables that are there."""
    example = below(folder, path_of("*", suffix))
    found = sorted(example.parent.glob(example.name))
    return [file.name.removesuffix(f".{suffix}") for file in found if not is_foreign(file.name)]


def _files(folder: str | Path, path_of: PathOf, name: str, suffixes: Iterable[str]) -> tuple[Path, ...]:
    """The files of one figure or table that are there, in the order of the suffixes."""
    files = (below(folder, path_of(name, suffix)) for suffix in suffixes)
    return tuple(file for file in files if file.is_file())


def _in_order(names: Iterable[str], asked: Mapping[str, Words]) -> list[str]:
    """The paper's figures by their number, then what the configuration asks for, then the rest."""
    places = {name: place for place, name in enumerate(asked)}

    def place(name: str) -> tuple[int, int, str]:
        number = re.fullmatch(r"figure-(\d+)", name)
        if number:
            return 0, int(number[1]), name
        return (1, places[name], name) if name in places else (2, 0, name)

    return sorted(names, key=place)


def _is_whole_image(path: Path, faults: list[str]) -> bool:
    """Whether a PNG file can be drawn; a sentence in `faults` where not."""
    try:
        with Image.open(path) as image:
            image.load()
    except PermissionError:
        faults.append(f"{path} cannot be read: make it readable for you.")
    except (OSError, SyntaxError, ValueError):
        faults.append(f"{path} is no whole image: delete it, and `make` draws it again.")
    else:
        return True
    return False


def _table(name: str, files: tuple[Path, ...], words: Words, faults: list[str]) -> list[Table]:
    """The one table of some files, or none and a sentence in `faults` where its CSV cannot be read."""
    try:
        columns = pd.read_csv(files[0], dtype={"claim": str}, keep_default_na=True)
    except (OSError, ValueError) as error:
        reason = str(error).splitlines()[0]
        faults.append(f"{files[0]} cannot be read ({reason}): delete it, and `make` makes it again.")
        return []
    claims = columns if set(columns.columns) >= CLAIM_COLUMNS else None

    # The Markdown file has the cells as people read them.
    pages = [file for file in files if file.suffix == ".md"]
    if pages:
        headings, rows = _cells(pages[0].read_text(encoding="utf-8", errors="replace"))
    else:
        headings, rows = list(map(str, columns)), [list(map(str, row)) for row in columns.to_numpy()]
    return [Table(name, files, words, headings, rows, claims)]


def _cells(markdown: str) -> tuple[list[str], list[list[str]]]:
    """Headings and rows of a Markdown table that `tables.writing` wrote."""
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    cells = [
        [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines
    ]
    return (cells[0], cells[2:]) if len(cells) > 1 else ([], [])
