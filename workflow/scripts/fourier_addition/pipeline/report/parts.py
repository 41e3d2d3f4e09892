"""Pieces of HTML that the sections share."""

from __future__ import annotations

import base64
import re
from collections.abc import Iterable, Sequence
from html import escape
from pathlib import Path
from urllib.parse import quote

EMBEDDED = 2**19
"""Bytes of the largest data file that goes into the page; the zip beside it has every file."""
INTERVAL = re.compile(r"\[[-\d.,% ]+\]")
"""An interval in a cell, which is not broken over two lines."""


def anchor(kind: str, name: str) -> str:
    """The place of a figure or table in the page, as part of an address."""
    return f"{kind}:{quote(name, safe='')}"


def section(name: str, title: str, content: str) -> str:
    """One section with its heading."""
    heading = f'<h2 id="{name}-title">{title}</h2>'
    return f'<section id="{name}" aria-labelledby="{name}-title">{heading}\n{content}\n</section>'


def table(headings: Sequence[str], rows: Iterable[Sequence[str]], *, caption: str = "") -> str:
    """A table that scrolls on a narrow screen. rows: cells as HTML."""
    head = "".join(f'<th scope="col">{escape(each)}</th>' for each in headings)
    whole = [[INTERVAL.sub(r'<span class="whole">\g<0></span>', cell) for cell in row] for row in rows]
    body = "".join(f"<tr>{''.join(f'<td>{cell}</td>' for cell in row)}</tr>\n" for row in whole)
    title = f"<caption>{escape(caption)}</caption>" if caption else ""
    return scrolling(f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", caption)


def scrolling(content: str, label: str) -> str:
    """Something wide that scrolls by itself, also with the keyboard."""
    name = f' aria-label="{escape(label)}"' if label else ' aria-label="table"'
    return f'<div class="scroll" tabindex="0" role="region"{name}>{content}</div>'


def data_url(content: bytes, kind: str) -> str:
    """Bytes as an address that needs no request."""
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


def data_link(path: Path, words: str, *, id: str = "") -> str:
    """A link that saves a CSV file out of the page; where the file is large, the words say where it is."""
    place = f' id="{id}"' if id else ""
    size = path.stat().st_size
    if size > EMBEDDED:
        name = escape(f"{path.parent.name}/{path.name}")
        return f"<span{place}>{escape(words)}: <code>{name}</code> in the zip ({size / 2**20:.1f} MiB)</span>"
    url = data_url(path.read_bytes(), "text/csv")
    return f'<a{place} download="{escape(path.name)}" href="{url}">{escape(words)}: {escape(path.name)}</a>'
