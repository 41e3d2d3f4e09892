"""The page: claims first, then figures in the paper's order, tables, run times and provenance.

One file without a request to anywhere: images, styles and data are inside.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from fourier_addition.explorer.document import document
from fourier_addition.pipeline.report.claims import claims_section
from fourier_addition.pipeline.report.figures import figures_section
from fourier_addition.pipeline.report.found import Study, Table
from fourier_addition.pipeline.report.made import Timing
from fourier_addition.pipeline.report.parts import anchor, data_link, section, table


def page(study: Study, explorer: str = "") -> str:
    """The report of a study as HTML. explorer: address of the explorer; empty where there is none."""
    sections = [
        *claims_section(study),
        *figures_section(study, explorer),
        *_tables_section(study.tables),
        *_timings_section(study.timings),
        *_provenance_section(study),
    ]
    links = "".join(f'<li><a href="#{name}">{title}</a></li>' for name, title, _ in sections)
    notices = [*study.missing_sentences(), *study.faults]
    body = [
        '<a class="skip" href="#content">Skip to the results</a>',
        "<header><h1>Fourier features of addition</h1>",
        _introduction(study, explorer),
        '<button id="theme" type="button" hidden>Light or dark</button>',
        f'<nav aria-label="Sections"><ul>{links}</ul></nav></header>',
        '<main id="content">',
        *(f'<p class="notice" role="note">{escape(_plain(each))}</p>' for each in notices),
        *(section(name, title, content) for name, title, content in sections),
        "</main>",
    ]
    title = "Report: Fourier features of addition"
    return document(title, _shipped("style.css"), body, _shipped("script.js"))


def _shipped(name: str) -> str:
    """A file beside this one."""
    return resources.files("fourier_addition.pipeline.report").joinpath(name).read_text(encoding="utf-8")


def _plain(sentence: str) -> str:
    """A sentence of the screen without its backticks."""
    return sentence.replace("`", "")


def _introduction(study: Study, explorer: str) -> str:
    """What the page is of."""
    what = [f"Results in <code>{escape(study.folder)}</code>"]
    if study.asked.configuration:
        what.append(f"configuration <code>{escape(study.asked.configuration)}</code>")
    note = f'<p class="quiet">Note of the study: {escape(study.asked.note)}.</p>' if study.asked.note else ""
    link = f' Look around in them: <a href="{explorer}">the explorer</a>.' if explorer else ""
    return f"<p>{', '.join(what)}.{link}</p>{note}"


def _tables_section(tables: Sequence[Table]) -> Iterable[tuple[str, str, str]]:
    """Every table but those of claims, which stand at the top; the paper's table is open."""
    parts = []
    for each in tables:
        if each.claims is None:
            words = f"{each.words.title}{f' ({each.words.shown})' if each.words.shown else ''}"
            shown = table(each.headings, [[escape(cell) for cell in row] for row in each.rows], caption=words)
            place, opened = anchor("table", each.name), " open" if each.name.startswith("table-") else ""
            parts.append(
                f'<details id="{place}"{opened}><summary>{escape(each.name)}</summary>{shown}'
                f"<p>{data_link(each.files[0], 'every column')}</p></details>"
            )
    if parts:
        yield "tables", "Tables", "\n".join(parts)


def _timings_section(timings: Sequence[Timing]) -> Iterable[tuple[str, str, str]]:
    """How long the jobs took; one sentence where no logs tell it."""
    if not timings:
        yield "times", "Run times", "<p>No logs lie beside the results, so that run times are not known.</p>"
        return
    rows = [
        [
            f"<code>{escape(each.rule)}</code>",
            str(each.jobs),
            f"{each.seconds:.1f} s",
            f"{each.longest:.1f} s (<code>{escape(each.longest_job)}</code>)",
        ]
        for each in timings
    ]
    total = sum(each.seconds for each in timings)
    shown = table(["Rule", "Jobs", "Together", "Longest job"], rows, caption="By the logs beside the results")
    yield "times", "Run times", f"<p>All jobs together: {total:.0f} s of work.</p>{shown}"


def _provenance_section(study: Study) -> Iterable[tuple[str, str, str]]:
    """Weights with their hashes, and versions of the software."""
    made = study.made
    if not made.weights and not made.packages:
        yield "provenance", "Provenance", "<p>No manifests lie among the results.</p>"
        return
    weights = [
        [
            f"<code>{escape(each.name)}</code>",
            escape(each.source),
            escape(each.device),
            f"<code>{each.sha256}</code>",
        ]
        for each in made.weights
    ]
    packages = [[escape(name), escape(", ".join(versions))] for name, versions in made.packages.items()]
    mixed = [name for name, versions in made.packages.items() if len(versions) > 1]
    warning = ""
    if mixed:
        names = escape(", ".join(mixed))
        warning = f'<p class="notice">The results come from several versions of {names}.</p>'
    yield (
        "provenance",
        "Provenance",
        warning
        + table(
            ["Weights", "Made by", "Device", "SHA-256"], weights, caption="Weights that the results are of"
        )
        + f"<details><summary>Software</summary>{table(['Package', 'Version'], packages)}</details>",
    )
