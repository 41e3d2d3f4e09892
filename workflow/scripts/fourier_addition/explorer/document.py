"""One HTML file that makes no request: what the explorer and the report have in common."""

from __future__ import annotations

from collections.abc import Iterable

POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'unsafe-inline'"
"""What a browser may load for the page: nothing that is not inside."""


def document(title: str, style: str, body: Iterable[str], script: str) -> str:
    """A whole page. title: as text. style: CSS. body: lines of HTML. script: JavaScript, run at the end."""
    return "\n".join(
        [
            "<!doctype html>",
            '<html lang="en"><head><meta charset="utf-8">',
            f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">',
            '<meta name="viewport" content="width=device-width, initial-scale=1">',
            '<link rel="icon" href="data:,">',
            f"<title>{title}</title>",
            f"<style>{style}</style></head><body>",
            *body,
            f'<script>"use strict";\n{script}</script>',
            "</body></html>\n",
        ]
    )
