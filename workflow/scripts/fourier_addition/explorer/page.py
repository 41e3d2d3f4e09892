"""The page around the packed results: one file that makes no request.

Its look and its drawing lie in `page/`, as CSS and JavaScript.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from fourier_addition.explorer.document import document

PARTS = Path(__file__).with_name("page")
STYLE, BODY = "style.css", "body.html"
SCRIPTS = ("base.js", "charts.js", "views.js", "main.js")
"""What the page is made of, the scripts in the order in which they run."""


def page_digest() -> str:
    """Digest of the page's look and drawing (16 hex digits), which no digest of Python code sees."""
    combined = hashlib.sha256()
    for name in (STYLE, BODY, *SCRIPTS):
        combined.update((PARTS / name).read_bytes())
    return combined.hexdigest()[:16]


def page(runs: Sequence[Mapping[str, Any]], made: Mapping[str, Any]) -> str:
    """The explorer as HTML.

    runs: what `collect.run_part` returns of each, with name, label, model, task, numbers (p), note, missing.
    made: the provenance of the job, with packages (versions) and weights (SHA-256 by name).
    """
    return document(
        "Explorer: Fourier features of addition",
        _text(STYLE),
        [
            _text(BODY).replace("<!-- provenance -->", _provenance(made)),
            f'<script id="data" type="application/json">{_as_json({"runs": runs})}</script>',
        ],
        "".join(map(_text, SCRIPTS)),
    )


def _text(name: str) -> str:
    return (PARTS / name).read_text(encoding="utf-8")


def _as_json(value: Any) -> str:
    """JSON that may stand inside a script element: no sign of it can end the element."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.replace("<", "\\u003c").replace("\u2028", "\\u2028").replace("\u2029", "\\u2029")


def _provenance(made: Mapping[str, Any]) -> str:
    """What the page was made from: weights, every input with its digest, and versions of the software."""
    inputs: Mapping[str, Mapping[str, str]] = made["inputs"]
    files = {path: facts.get("digest") or facts.get("sha256", "") for path, facts in inputs.items()}
    return "\n".join(
        [
            f"<p>Made by the rule <code>{escape(str(made['rule']))}</code>, code digest "
            f"<code>{escape(str(made['params']['code']))}</code>, from {len(files)} results.</p>",
            _facts("Weights (SHA-256)", made["weights"]),
            _facts("Results that the page is made from, with their digests", files),
            _facts("Software", {str(name): str(version) for name, version in made["packages"].items()}),
        ]
    )


def _facts(title: str, values: Mapping[str, str]) -> str:
    """A table of names and values that opens on demand; nothing where there are none."""
    if not values:
        return ""
    rows = "".join(
        f'<tr><th scope="row">{escape(name)}</th><td><code>{escape(value)}</code></td></tr>'
        for name, value in values.items()
    )
    return f'<details><summary>{title}</summary><div class="scroll"><table>{rows}</table></div></details>'
