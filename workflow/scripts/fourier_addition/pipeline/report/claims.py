"""The claims at the top of the page: verdicts, intervals, and links to the figures that show them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import pandas as pd

from fourier_addition.claims.statements import STATEMENTS
from fourier_addition.pipeline.figures import KINDS
from fourier_addition.pipeline.report.found import Study, Table
from fourier_addition.pipeline.report.intervals import drawing
from fourier_addition.pipeline.report.parts import anchor, data_link, scrolling

VERDICTS = ("confirmed", "refuted", "undecided", "not tested")
HEADINGS = ("Claim", "Statement", "Paper", "Here", "Interval", "Verdict", "Shown in")
LEGEND = (
    "In the drawings the dot is this study's value, the thick line its interval, the dashed line what the "
    "criterion asks for, and the hollow diamond the paper's own value."
)


def claims_section(study: Study) -> Iterable[tuple[str, str, str]]:
    """Every table of claims; where there is none, one sentence says so."""
    tables = [each for each in study.tables if each.claims is not None]
    if not tables:
        if not study.is_empty:
            yield "claims", "Claims", "<p>There is no table of claims among these results.</p>"
        return
    yield "claims", "Claims", "\n".join(_claims_of(each, study) for each in tables)


def _claims_of(found: Table, study: Study) -> str:
    """One table of claims: counts of the verdicts, the rows, and the link to the data."""
    assert found.claims is not None
    rows = found.claims.to_dict("records")
    counts = {verdict: sum(row["verdict"] == verdict for row in rows) for verdict in VERDICTS}
    buttons = "".join(
        f'<button type="button" class="{_style(verdict)}" data-verdict="{verdict}" aria-pressed="false">'
        f"{count} {verdict}</button>"
        for verdict, count in counts.items()
    )
    head = "".join(f'<th scope="col">{each}</th>' for each in HEADINGS)
    body = "\n".join(_row(row, study) for row in rows)
    return (
        f'<div class="counts" role="group" aria-label="Show the claims of one verdict">{buttons}</div>'
        f'<p class="quiet">{LEGEND}</p>'
        + scrolling(
            f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>', "Claims"
        )
        + f"<p>{data_link(found.files[0], 'every column')}</p>"
    )


def _style(verdict: str) -> str:
    """The class that colours a verdict."""
    return verdict.replace(" ", "-") if verdict in VERDICTS else "not-tested"


def _row(row: Mapping[Any, Any], study: Study) -> str:
    """One claim."""
    verdict, claim = str(row["verdict"]), _text(row["claim"])
    over = f", over {_text(row['interval_over'])}" if _text(row.get("interval_over")) else ""
    criterion = escape(_text(row["confirmed_when"]) + over)
    cells = [
        f'<th scope="row">{escape(claim)}</th>',
        f'<td class="wide">{escape(_text(row["statement"]))}<br>'
        f'<span class="quiet">{escape(_run_and_model(row))}</span></td>',
        f"<td>{escape(_text(row['paper']))}</td>",
        f'<td class="some">{escape(_text(row["here"]))}</td>',
        f'<td class="of-{_style(verdict)}">{drawing(row)}<span class="quiet">{criterion}</span></td>',
        f'<td><span class="badge {_style(verdict)}">{escape(verdict)}</span></td>',
        f"<td>{_links(claim, _text(row['run']), study)}</td>",
    ]
    return f'<tr data-verdict="{escape(verdict)}">{"".join(cells)}</tr>'


def _run_and_model(row: Mapping[Any, Any]) -> str:
    """The run that a claim is about, and the model where the table tells it."""
    return ": ".join(text for text in (_text(row.get("model")), _text(row["run"])) if text)


def _text(value: Any) -> str:
    """A cell as text; empty where it is missing."""
    return "" if pd.isna(value) else str(value)


def _links(claim: str, run: str, study: Study) -> str:
    """Links to the figures and tables that show a claim of a run, and to their data, where they are there."""
    seen = [name for statement in STATEMENTS if statement.claim == claim for name in statement.seen_in]
    figures: Sequence[str] = [each.name for each in study.figures]
    # A kind stands for every figure of that kind that shows the run.
    of_kind = {
        name: [
            each.name
            for each in study.figures
            if each.words.kind == name and (run in each.words.shown or each.words.shown in run)
        ]
        for name in seen
    }
    # Where one kind has no figure of the run, another kind that has one is enough.
    spared = set(KINDS) if any(of_kind.values()) else set()
    named = dict.fromkeys(each for name in seen for each in of_kind[name] or [name] if each not in spared)
    tables = [each.name for each in study.tables]
    links = []
    for name in named:
        if name in figures:
            place = anchor("figure", name)
            data = f'<a href="#{place}-data" aria-label="data of {name}">data</a>'
            links.append(f'<a href="#{place}">{name}</a> ({data})')
        elif name in tables:
            links.append(f'<a href="#{anchor("table", name)}">{name}</a>')
        else:
            links.append(f'<span class="quiet">{name} is not there</span>')
    return "<br>".join(links) or '<span class="quiet">-</span>'
