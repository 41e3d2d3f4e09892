"""The figures: a gallery of thumbnails, then every figure at full size with its caption."""

from __future__ import annotations

import io
from collections.abc import Iterable
from html import escape

from PIL import Image

from fourier_addition.pipeline.report.found import Figure, Study
from fourier_addition.pipeline.report.parts import anchor, data_link, data_url

THUMBNAIL = (360, 240)
"""Largest width and height of a thumbnail in pixels."""
COLOURS = 64


def figures_section(study: Study, explorer: str = "") -> Iterable[tuple[str, str, str]]:
    """The gallery and the figures, in the order of the study; nothing where there is no figure.

    explorer: address of the explorer, which figures of the same runs link to; empty where there is none.
    """
    if study.figures:
        gallery = "".join(map(_thumbnail, study.figures))
        shown = "\n".join(_figure(each, explorer) for each in study.figures)
        yield "figures", "Figures", f'<ul class="gallery">{gallery}</ul>\n{shown}'


def _thumbnail(figure: Figure) -> str:
    """A small picture that leads to the large one. Its name stands below, so the picture has no words."""
    with Image.open(figure.image) as image:
        small = image.convert("RGB")
        small.thumbnail(THUMBNAIL)
        buffer = io.BytesIO()
        few_colours(small).save(buffer, "png", optimize=True)
    url = data_url(buffer.getvalue(), "image/png")
    return (
        f'<li><a href="#{anchor("figure", figure.name)}"><img src="{url}" alt="" loading="lazy">'
        f"<span><b>{escape(figure.name)}</b><br>{escape(figure.words.title)}</span></a></li>"
    )


def few_colours(image: Image.Image) -> Image.Image:
    """An image that takes less room. Thin lines are few pixels and keep the colours that tell them apart."""
    return image.quantize(COLOURS, method=Image.Quantize.MAXCOVERAGE)


def _figure(figure: Figure, explorer: str) -> str:
    """One figure with what to look for, what was measured, which keys change it, and its data."""
    words, place = figure.words, anchor("figure", figure.name)
    with Image.open(figure.image) as image:
        width, height = image.size
    alt = f"{figure.name}: {words.title}" if words.title else figure.name
    keys = ", ".join(f"<code>{escape(key)}</code>" for key in words.keys)
    csv = [file for file in figure.files if file.suffix == ".csv"]
    entries = {
        "Shown": escape(words.shown),
        "Look for": escape(_sentence(words.look_for)),
        "Measured": escape(_sentence(words.measured)),
        "Keys": keys,
        "Data": data_link(csv[0], "what is drawn", id=f"{place}-data") if csv else "",
        "Explorer": _explorer_link(words.explored, explorer),
        # A note may begin with a name, which stays as it is written.
        "Note": escape("; ".join(words.note.split("\n")) + "." if words.note else ""),
    }
    listed = "".join(f"<dt>{term}</dt><dd>{text}</dd>" for term, text in entries.items() if text)
    of_runs = f", of {words.shown}" if words.shown else ""
    source = data_url(figure.image.read_bytes(), "image/png")
    size = f'width="{width // 2}" height="{height // 2}"'
    return (
        f'<figure id="{place}"><h3>{escape(alt)}</h3>'
        f'<img src="{source}" {size} alt="{escape(alt + of_runs)}">'
        f"<figcaption><dl>{listed}</dl></figcaption></figure>"
    )


def _explorer_link(place: str, explorer: str) -> str:
    """A link to the view of the explorer that shows a figure's run; empty where there is none."""
    if not place or not explorer:
        return ""
    view, run = map(escape, place.split("/"))
    return f'<a href="{explorer}#{view}/{run}">{view} of {run}</a>'


def _sentence(text: str) -> str:
    """Text with a capital and a full stop, empty text as it is."""
    return text[:1].upper() + text[1:].rstrip(".") + "." if text else ""
