"""Text of the user's in a figure: fonts that have its characters, and lengths that fit.

DejaVu Sans, which matplotlib ships, has Latin, Greek, Cyrillic, Arabic and Hebrew letters. For a character
that it lacks, as those of Chinese, Japanese and Korean, a font of this machine is taken. Where no font has
the character, its code point stands in its place, and the log says so in one sentence.
"""

from __future__ import annotations

import logging
import re
import textwrap
from collections.abc import Callable, Iterator, Sequence
from functools import cache

import matplotlib
from matplotlib import cbook, font_manager
from matplotlib.artist import Artist
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ft2font import FT2Font
from matplotlib.text import Text
from matplotlib.ticker import FixedLocator

logger = logging.getLogger(__name__)

SHIPPED = "DejaVu Sans"
PREFERRED = re.compile(r"Noto Sans|Source Han Sans|WenQuanYi|IPA|Droid Sans|PingFang|Hiragino|YaHei|Malgun")
"""Families that are taken before others that have a character too."""
NO_LETTERS = re.compile(r"Last Resort|Tofu|Adobe Blank")
"""Families that draw a box, or nothing, for every character."""
TICK_LABEL, TICK_LINES, LINES = 36, 2, 3
"""Characters of a line of a tick label; most lines of a tick label, and of a title or a legend's entry."""


@cache
def _characters(path: str, index: int) -> frozenset[int]:
    """Code points that a font file has; none where the file cannot be read."""
    try:
        font = FT2Font(path, face_index=index) if index else FT2Font(path)
        return frozenset(font.get_charmap())
    except (OSError, RuntimeError, TypeError):
        return frozenset()


@cache
def _families() -> dict[str, frozenset[int]]:
    """Every upright family of this machine and its code points, preferred ones first."""
    entries = [entry for entry in font_manager.fontManager.ttflist if not NO_LETTERS.search(entry.name)]
    # Of each family, the upright face of usual weight.
    usual = (400, "400", "normal", "regular")
    entries.sort(
        key=lambda entry: (
            not PREFERRED.search(entry.name),
            entry.name,
            entry.style != "normal",
            entry.weight not in usual,
        )
    )
    found: dict[str, frozenset[int]] = {}
    for entry in entries:
        if entry.name not in found:
            found[entry.name] = _characters(entry.fname, getattr(entry, "index", 0))
    return found


@cache
def shipped_characters() -> frozenset[int]:
    """Code points that matplotlib's own font has."""
    return _characters(font_manager.findfont(SHIPPED), 0)


def lacking(text: str) -> set[str]:
    """Printed characters of a text that matplotlib's own font lacks."""
    return {each for each in text if ord(each) > 126 and ord(each) not in shipped_characters()}


def families_for(characters: set[str]) -> tuple[list[str], set[str]]:
    """Families of this machine that have some characters, and the characters that none has."""
    families, left = [], set(characters)
    for name, points in _families().items() if left else ():
        if any(ord(each) in points for each in left):
            families.append(name)
            left = {each for each in left if ord(each) not in points}
        if not left:
            break
    return families, left


def spelled_out(text: str, unknown: set[str]) -> str:
    """A text with code points, as `[U+4F60 U+597D]`, in place of characters that no font has."""
    if not unknown & set(text):
        return text
    runs = re.compile(f"[{''.join(map(re.escape, sorted(unknown)))}]+")
    return runs.sub(lambda run: f"[{' '.join(f'U+{ord(each):04X}' for each in run[0])}]", text)


def literal(text: str) -> str:
    """A text whose dollar signs are drawn; matplotlib would set what is between two as mathematics."""
    return text.replace("$", r"\$") if cbook.is_math_text(text) else text


def shortened(text: str, characters: int, lines: int = LINES) -> str:
    """A text in lines of at most so many characters; what goes beyond the last line ends in an ellipsis."""
    characters = max(8, characters)
    if len(text) <= characters:
        return text
    found = textwrap.wrap(text, characters)
    if len(found) > lines:
        found = [*found[: lines - 1], f"{found[lines - 1][: characters - 1].rstrip()}…"]
    return "\n".join(found)


Change = Callable[[Callable[[str], str]], None]
"""Puts what a function makes of a text in the text's place."""


def _texts(figure: Figure) -> Iterator[tuple[str, Change]]:
    """Every text of a figure that is no tick label, and how to change it."""

    def change(artist: Text) -> Change:
        return lambda made: artist.set_text(made(artist.get_text()))

    for artist in figure.findobj(Text):
        assert isinstance(artist, Text)
        yield artist.get_text(), change(artist)


def _named_axes(figure: Figure) -> Iterator[tuple[Axis, list[str]]]:
    """Axes whose ticks have names, and the names."""
    for ax in figure.axes:
        for axis in (ax.xaxis, ax.yaxis):
            if isinstance(axis.get_major_locator(), FixedLocator):
                names = [label.get_text() for label in axis.get_ticklabels()]
                if any(names):
                    yield axis, names


def settle_texts(figure: Figure, explained: Sequence[Artist], note: str | None) -> str | None:
    """Make every text of a figure one that can be drawn and that fits.

    explained: what the legend will explain, whose labels are texts too. note: what will stand below.
    Returns the note. Texts of the usual length in letters that DejaVu Sans has stay as they are. Other fonts
    are taken for all texts of the figure, also those that come later while the theme holds.
    """
    named = list(_named_axes(figure))
    texts = list(_texts(figure))
    everything = [text for text, _ in texts] + [note or ""]
    everything += [str(artist.get_label()) for artist in explained]
    everything += [name for _, names in named for name in names]

    # Fonts for what the shipped one lacks, code points for what none has.
    families, unknown = families_for(set().union(*map(lacking, everything)))
    if unknown:
        _say(unknown)

    def drawable(text: str) -> str:
        return literal(spelled_out(text, unknown))

    for text, change in texts:
        if drawable(text) != text:
            change(drawable)
    for artist in explained:
        if drawable(label := str(artist.get_label())) != label:
            artist.set_label(drawable(label))

    # Long names of ticks would take the panel's room.
    for axis, names in named:
        fitting = [literal(shortened(spelled_out(name, unknown), TICK_LABEL, TICK_LINES)) for name in names]
        if fitting != names:
            axis.set_ticklabels(fitting)
    if families:
        _take(families, figure)
    return drawable(note) if note else note


def _take(families: Sequence[str], figure: Figure) -> None:
    """Let every text of a figure fall back on some families for what the theme's font lacks."""
    # Matplotlib falls back within the families that a text names, and not within `sans-serif`.
    everything = [*matplotlib.rcParams["font.family"], *families]
    matplotlib.rcParams["font.family"] = everything
    for artist in figure.findobj(Text):
        assert isinstance(artist, Text)
        artist.set_fontfamily(everything)
    for ax in figure.axes:
        ax.tick_params(which="both", labelfontfamily=everything)


def _say(unknown: set[str]) -> None:
    """Name characters that no font has in the log."""
    listed = ", ".join(f"U+{ord(each):04X}" for each in sorted(unknown)[:5])
    more = f" and {len(unknown) - 5} more" if len(unknown) > 5 else ""
    logger.warning(
        "No font of this machine has the characters %s%s of a label, so that code points stand in their "
        "place: install a font that has them, such as Noto Sans CJK.",
        listed,
        more,
    )
