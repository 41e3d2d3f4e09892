"""The numbers that pages of the documentation tell, from the tables and figures' data of the gallery.

    python -m fourier_addition.pipeline.page_numbers docs/gallery README.md docs/default.md docs/units.md

A page has blocks between `<!-- numbers: NAME -->` and `<!-- /numbers -->`, with a NAME of `BLOCKS`. They are
written anew; the rest of the page stays.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pandas as pd

from fourier_addition.analysis.accuracy import by_run
from fourier_addition.errors import UserError
from fourier_addition.files.whole import replacing

BLOCK = re.compile(r"<!-- numbers: (\S+) -->.*?<!-- /numbers -->", flags=re.S)
VERDICTS = ("confirmed", "refuted", "undecided")
OUTCOMES = {"accuracy": "Exact", "residue": "Last digit kept", "magnitude": "Magnitude kept"}
TAKEN_OUT = (("head-ablation", "heads", 2), ("neuron-ablation", "neurons", 64))
"""Figure, what is taken out, and how many of them, in the table of heads and neurons."""


def _read(gallery: Path, name: str) -> pd.DataFrame:
    """Data of a figure or a table of the gallery. Raises UserError where there are none."""
    path = gallery / f"{name}.csv"
    if not path.is_file():
        raise UserError(
            f"There is no {path}: `make` and `make gallery` make it for the default configuration."
        )
    return pd.read_csv(path, dtype={"claim": str})


def _claims(gallery: Path) -> pd.DataFrame:
    """The rows of every table of claims."""
    names = sorted(path.stem for path in gallery.glob("claims*.csv")) or ["claims"]
    return pd.concat([_read(gallery, name) for name in names], ignore_index=True)


def _told(gallery: Path, *numbers: str, real: bool | None = None) -> Iterable[str]:
    """One item for each tested row of these claims. real: only models whose weights are real, or are not."""
    claims = _claims(gallery)
    for claim in numbers:
        found = claims[(claims["claim"] == claim) & (claims["verdict"] != "not tested")]
        for row in found.to_dict("records"):
            if real is None or ("real weights" in row["model"]) is real:
                yield f"- {row['statement']} ({row['model']}): {row['here']}; {row['verdict']}."


def verdicts(gallery: Path) -> Iterable[str]:
    """One row for each model, real weights first, with the numbers of the claims under each verdict."""
    claims = _claims(gallery)
    yield f"| Model | {' | '.join(verdict.capitalize() for verdict in VERDICTS)} |"
    yield "| --- | " + " | ".join("---" for _ in VERDICTS) + " |"
    models = claims["model"].dropna().unique()
    for model in sorted(models, key=lambda name: ("real" not in name, name)):
        own = claims[claims["model"] == model]
        cells = (", ".join(own["claim"][own["verdict"] == verdict]) or "-" for verdict in VERDICTS)
        yield f"| {model} | {' | '.join(cells)} |"


def first_page(gallery: Path) -> Iterable[str]:
    """What the README tells: turned phases in words, and every verdict."""
    yield from _told(gallery, "15a", "15b")
    yield ""
    yield from verdicts(gallery)


def embedding_periods(gallery: Path) -> Iterable[str]:
    """For each number embedding, the periods that stand out from shuffled numbers, the strongest first."""
    spectra = _read(gallery, "figure-15")
    for name, rows in spectra.groupby("name", sort=False):
        found = rows[rows["outlier"]].sort_values("ratio", ascending=False, kind="stable")
        said = ", ".join(f"{row.period:.3g} ({row.ratio:.2f})" for row in found.itertuples())
        yield f"- {name}: {said or 'none'}."


def accuracies(gallery: Path) -> Iterable[str]:
    """Accuracy of every run on its test split, over its seeds."""
    yield "| Run | Seeds | Test examples | Exact | Within 2 | Within 10 |"
    yield "| --- | ---: | ---: | ---: | ---: | ---: |"
    for row in by_run(_read(gallery, "accuracy"), "test").to_dict("records"):
        shares = " | ".join(f"{row[key]:.1%}" for key in ("accuracy", "within_2", "within_10"))
        yield f"| {row['run']} | {row['seeds']} | {row['examples']} | {shares} |"


def mechanism(gallery: Path) -> Iterable[str]:
    """Turned phases and exchanged bands in the miniature."""
    return _told(gallery, "15a", "15b", "16a", "16b", "16c")


def real_model(gallery: Path) -> Iterable[str]:
    """What a prompted model with real weights shows."""
    return _told(gallery, "2b", "13a", "13c", "13d", "13e", real=True)


def taken_out(gallery: Path) -> Iterable[str]:
    """What is left without the heads and neurons that write most of a band, layer by layer."""
    yield f"| What is taken out | {' | '.join(OUTCOMES.values())} |"
    yield "| --- | " + " | ".join("---:" for _ in OUTCOMES) + " |"
    for figure, units, count in TAKEN_OUT:
        data = _read(gallery, figure)
        said = {
            (
                row["layer"],
                row["band"],
                row["outcome"],
            ): f"{row['share']:.1%} ({row['low']:.1%} to {row['high']:.1%})"
            for row in data[data["count"] == count].to_dict("records")
        }
        # Layers in turn, and in each the low band, the high one and random ones.
        for layer in sorted({layer for layer, _, _ in said}):
            for band in ("low", "high", "random"):
                which = f"{count} random" if band == "random" else f"top {count}"
                of = "" if band == "random" else f" of the {band} band"
                cells = " | ".join(said[layer, band, outcome] for outcome in OUTCOMES)
                yield f"| layer {layer}: {which} {units}{of} | {cells} |"


BLOCKS: dict[str, Callable[[Path], Iterable[str]]] = {
    "first-page": first_page,
    "embedding-periods": embedding_periods,
    "accuracies": accuracies,
    "mechanism": mechanism,
    "real-model": real_model,
    "taken-out": taken_out,
}
"""Name of a block -> its lines, in Markdown, from the folder of a gallery."""


def rewritten(page: str, gallery: str | Path) -> str:
    """A page with all its blocks written anew; where the gallery lacks the data of one, that says so.

    Raises UserError where the page has no block, or one of an unknown name.
    """

    def block(found: re.Match[str]) -> str:
        name = found[1]
        if name not in BLOCKS:
            raise UserError(f"There is no block {name} of numbers; there are {', '.join(BLOCKS)}.")
        try:
            lines = list(BLOCKS[name](Path(gallery)))
        except UserError as error:
            lines = [str(error)]
        return "\n".join([f"<!-- numbers: {name} -->", "", *lines, "", "<!-- /numbers -->"])

    text, count = BLOCK.subn(block, page)
    if not count:
        raise UserError("The page has no <!-- numbers: NAME --> ... <!-- /numbers -->.")
    return text


def main(arguments: Sequence[str]) -> int:
    """The command: gallery, pages. Returns the exit status."""
    gallery, *pages = arguments
    try:
        texts = {page: rewritten(Path(page).read_text(), gallery) for page in pages}
    except UserError as error:
        print(error, file=sys.stderr)
        return 1
    for page, text in texts.items():
        with replacing(page) as temporary:
            temporary.write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
