"""The command that writes the report, and what it says on the screen."""

from __future__ import annotations

import argparse
import os
import sys
import zipfile
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.report.asked import Asked, asked_by
from fourier_addition.pipeline.report.found import Study, study_of
from fourier_addition.pipeline.report.page import page

DEFAULT = "config/config.yaml"


def main(arguments: Sequence[str] | None = None) -> int:
    """Write the report of a folder of results, and say what is in it and what is missing.

    arguments: of the command line, those of this process unless given. Returns the exit status: 0 also
    where results are missing, 1 where the report itself cannot be written.
    """
    parser = argparse.ArgumentParser(prog="python -m fourier_addition.pipeline.report", description=__doc__)
    parser.add_argument("results", nargs="?", default="results", help="folder of the results")
    parser.add_argument("--configfile", help="configuration of the study; config/config.yaml unless given")
    parser.add_argument("--output", default="report.html", help="the page; its zip gets the same name")
    given = parser.parse_args(arguments)

    # Without its configuration a study still has a report: of what is there, with fewer words.
    configfile = given.configfile or (DEFAULT if Path(DEFAULT).is_file() else None)
    try:
        asked = asked_by(configfile) if configfile else Asked.nothing()
    except UserError as error:
        print(f"The configuration cannot be read, so the report names no missing result: {error}")
        asked = Asked.nothing()

    study = study_of(given.results, asked)
    target = Path(given.output)
    try:
        with replacing(target) as temporary:
            temporary.write_text(page(study, _explorer_from(target, study)), encoding="utf-8")
        archive = target.with_suffix(".zip")
        write_archive(target, study, archive)
    except OSError as error:
        print(f"The report cannot be written to {target}: {error.strerror}.", file=sys.stderr)
        return 1
    for sentence in [*study.missing_sentences(), *study.faults]:
        print(sentence)
    print(
        f"{target} shows {_count(len(study.figures), 'figure')} and {_count(len(study.tables), 'table')}; "
        f"{archive} has the page and their files."
    )
    return 0


def _explorer_from(report: Path, study: Study) -> str:
    """Address of the explorer, as a page at `report` links to it; empty where there is none."""
    return quote(os.path.relpath(study.explorer, report.parent)) if study.explorer else ""


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def write_archive(report: Path, study: Study, path: Path) -> None:
    """Write a zip of the page, the explorer, and the files of figures and tables; the same bytes each time.

    In the zip the explorer lies beside the page, which links to it there.
    """
    files: dict[str, Path] = {}
    if study.explorer:
        files[study.explorer.name] = study.explorer
    shown = [file for figure in study.figures for file in figure.files]
    shown += [file for table in study.tables for file in table.files]
    files |= {f"{file.parent.name}/{file.name}": file for file in shown}
    contents = {name: file.read_bytes() for name, file in files.items()}
    contents[report.name] = page(study, study.explorer.name if study.explorer else "").encode()
    with replacing(path) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            # No time of today, so that the same results give the same zip.
            entry = zipfile.ZipInfo(name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, contents[name])
