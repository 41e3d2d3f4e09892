"""The gallery of the documentation: small pictures of a study's figures, their CSV files, and its tables.

    python -m fourier_addition.pipeline.gallery results --configfile config/config.yaml --output docs/gallery

The documentation is built where no study has run, so its pictures and numbers are files of the repository.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from PIL import Image

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.report.asked import asked_by
from fourier_addition.pipeline.report.figures import few_colours
from fourier_addition.pipeline.report.found import Figure, Study, Table, study_of

WIDTH = 1000
"""Width of the widest picture in pixels; all are made smaller alike, so that their types have one size."""
LARGEST_CSV = 200_000
"""A larger CSV file stays out of the repository, in bytes."""


def write_gallery(study: Study, output: str | Path) -> None:
    """Write the gallery of a study: `index.md`, one PNG and CSV file a figure, the tables.

    output: a folder, which appears whole. Raises UserError where there is nothing to show.
    """
    if study.is_empty:
        raise UserError(f"There is no figure and no table in {study.folder} yet: `make` makes them.")
    with replacing(output) as folder:
        folder.mkdir(exist_ok=True)
        scale = _scale(study.figures)
        for figure in study.figures:
            _picture(figure, folder, scale)
            _copy(figure.files, folder / f"{figure.name}.csv")
        for table in study.tables:
            _copy(table.files, folder / _data_of(table, study))
        (folder / "index.md").write_text("\n".join(_page(study, folder)) + "\n")


def _scale(figures: Sequence[Figure]) -> float:
    """By how much pictures are made smaller."""
    widths = []
    for figure in figures:
        with Image.open(figure.image) as image:
            widths.append(image.width)
    return min(1.0, WIDTH / max(widths, default=WIDTH))


def _picture(figure: Figure, folder: Path, scale: float) -> None:
    """A small picture of few colours."""
    with Image.open(figure.image) as image:
        size = round(scale * image.width), round(scale * image.height)
        small = image.convert("RGB").resize(size, Image.Resampling.LANCZOS)
        few_colours(small).save(folder / f"{figure.name}.png", optimize=True)


def _copy(files: Iterable[Path], target: Path) -> None:
    """Copy the one of the files that has the target's suffix, where it is not too large."""
    for file in files:
        if file.suffix == target.suffix and file.stat().st_size <= LARGEST_CSV:
            shutil.copyfile(file, target)


def _data_of(table: Table, study: Study) -> str:
    """Name of a table's CSV file, another than that of a figure of the same name."""
    shared = table.name in {figure.name for figure in study.figures}
    return f"{table.name}-table.csv" if shared else f"{table.name}.csv"


def _page(study: Study, folder: Path) -> Iterable[str]:
    """The lines of the page."""
    yield "# Gallery"
    yield ""
    yield f"Every figure and table of `{study.asked.configuration}`, by `make gallery`."
    for figure in study.figures:
        yield from _of_figure(figure, folder)
    for table in study.tables:
        yield from _of_table(table, _data_of(table, study), folder)


def _of_figure(figure: Figure, folder: Path) -> Iterable[str]:
    words, csv = figure.words, f"{figure.name}.csv"
    title = f"{figure.name}: {words.title}" if words.title else figure.name
    yield from ("", f"## {title}", "", f"![{title}]({figure.name}.png)", "")
    told = [words.look_for, words.measured]
    yield " ".join(text[:1].upper() + text[1:].rstrip(".") + "." for text in told if text)
    keys = ", ".join(f"`{key}`" for key in words.keys)
    facts = [f"Shown: {words.shown}." if words.shown else "", f"Keys: {keys}." if keys else ""]
    yield " ".join(text for text in facts if text)
    if (folder / csv).exists():
        yield f"[Data: {csv}]({csv})"


def _of_table(table: Table, data: str, folder: Path) -> Iterable[str]:
    yield from ("", f"## {table.name}: {table.words.title}" if table.words.title else f"## {table.name}", "")
    yield from (_row(cells) for cells in (table.headings, ["---"] * len(table.headings), *table.rows))
    if (folder / data).exists():
        yield from ("", f"[Data: {data}]({data})")


def _row(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command. Returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("results", nargs="?", default="results", help="the folder with the results")
    parser.add_argument("--configfile", default="config/config.yaml", help="the study's configuration")
    parser.add_argument("--output", default="docs/gallery", help="the folder to write")
    given = parser.parse_args(arguments)
    try:
        write_gallery(study_of(given.results, asked_by(given.configfile)), given.output)
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
