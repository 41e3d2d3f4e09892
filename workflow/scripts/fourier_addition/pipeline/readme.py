"""The numbers of the README, from the tables of the gallery.

    python -m fourier_addition.pipeline.readme docs/gallery README.md

The block between the marks is written anew; the rest of the page stays.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing

START, END = "<!-- numbers -->", "<!-- /numbers -->"
VERDICTS = ("confirmed", "refuted", "undecided")
TOLD = ("15a", "15b")
"""Claims whose results are told in words."""


def numbers_block(gallery: str | Path) -> str:
    """Verdicts by model, and the claims that are told in words; Markdown.

    gallery: a folder with the tables of claims of a study. Raises UserError where there is none.
    """
    files = sorted(Path(gallery).glob("claims*.csv"))
    if not files:
        raise UserError(
            f"There is no table of claims in {gallery}: `make` makes one for the default configuration."
        )
    claims = pd.concat([pd.read_csv(file, dtype={"claim": str}) for file in files], ignore_index=True)
    return "\n".join([START, "", *_told(claims), "", *_verdicts(claims), "", END])


def _told(claims: pd.DataFrame) -> Iterable[str]:
    tested = claims[claims["verdict"] != "not tested"]
    for claim in TOLD:
        for row in tested[tested["claim"] == claim].itertuples():
            yield f"- {row.statement} ({row.model}): {row.here}; {row.verdict}."


def _verdicts(claims: pd.DataFrame) -> Iterable[str]:
    """One row for each model, real weights first, with the numbers of the claims under each verdict."""
    yield f"| Model | {' | '.join(verdict.capitalize() for verdict in VERDICTS)} |"
    yield "| --- | " + " | ".join("---" for _ in VERDICTS) + " |"
    models = claims["model"].dropna().unique()
    for model in sorted(models, key=lambda name: ("real" not in name, name)):
        own = claims[claims["model"] == model]
        cells = (", ".join(own["claim"][own["verdict"] == verdict]) or "-" for verdict in VERDICTS)
        yield f"| {model} | {' | '.join(cells)} |"


def rewritten(page: str, block: str) -> str:
    """A page with its block replaced. Raises UserError where the page has no block."""
    before, start, rest = page.partition(START)
    _, end, after = rest.partition(END)
    if not start or not end:
        raise UserError(f"The page has no {START} ... {END}.")
    return before + block + after


def main(arguments: Sequence[str]) -> int:
    """The command: gallery, page. Returns the exit status."""
    gallery, page = arguments
    try:
        text = rewritten(Path(page).read_text(), numbers_block(gallery))
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    with replacing(page) as temporary:
        temporary.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
