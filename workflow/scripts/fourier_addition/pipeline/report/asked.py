"""What a configuration asks for: its figures and tables in the order of the report, with their words."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from fourier_addition.errors import UserError
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.explorer_files import explorer_place
from fourier_addition.pipeline.figures import KINDS, PAPER, Kind, views
from fourier_addition.pipeline.tables import PAPER_TABLES, TABLE_KINDS

SHIPPED = Path(__file__).with_name("captions")
CAPTIONS = SHIPPED if SHIPPED.is_dir() else Path(__file__).resolve().parents[4] / "report"
"""The captions of Snakemake's own report, one file a family of figures; an installed package has a copy."""


@dataclass(frozen=True)
class Words:
    """What the report says of a figure or table.

    title: what it shows. look_for: what to see, empty where nothing is known. measured: how it was
    measured. keys: configuration keys that change it. shown: the runs or embeddings. note: the study's and
    its models'. kind: of a figure. explored: where the explorer shows the same run (see `explorer_place`).
    """

    title: str
    look_for: str = ""
    measured: str = ""
    keys: tuple[str, ...] = ()
    shown: str = ""
    note: str = ""
    kind: str = ""
    explored: str = ""


@dataclass(frozen=True)
class Asked:
    """Figures and tables that a configuration asks for, by name, in its order.

    configuration: the file; empty where there is none, and then nothing is known to be missing.
    """

    figures: Mapping[str, Words]
    tables: Mapping[str, Words]
    note: str = ""
    configuration: str = ""

    @classmethod
    def nothing(cls) -> Asked:
        """What is asked for where there is no configuration."""
        return cls({}, {})

    def figure(self, name: str) -> Words:
        """The words of a figure; of the paper's figures also where no configuration asks for them."""
        if name in self.figures:
            return self.figures[name]
        return _words(KINDS[PAPER[name][0]], name) if name in PAPER else Words("")

    def table(self, name: str) -> Words:
        """The words of a table."""
        if name in self.tables:
            return self.tables[name]
        kind = PAPER_TABLES.get(name, name)
        return Words(TABLE_KINDS[kind].description if kind in TABLE_KINDS else "")


def asked_by(configfile: str | Path) -> Asked:
    """What a configuration asks for. Raises UserError that names the file or the key at fault."""
    try:
        raw = yaml.safe_load(Path(configfile).read_text(encoding="utf-8"))
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise UserError(f"{configfile} cannot be read: {str(error).splitlines()[0]}.") from error
    if not isinstance(raw, dict):
        raise UserError(f"{configfile} holds no configuration.")
    config = validated(raw)

    figures = {
        name: replace(
            _words(KINDS[view.kind], name, view.caption), explored=explorer_place(config, name, view.kind)
        )
        for name, view in views(config).items()
    }
    tables = {
        name: Words(TABLE_KINDS[table["kind"]].description, shown=_shown(table))
        for name, table in config["tables"].items()
    }
    return Asked(figures, tables, config["note"], str(configfile))


def _words(kind: Kind, name: str, caption: Mapping[str, Any] | None = None) -> Words:
    """What the report says of a figure of a kind. caption: runs and note, where a configuration tells."""
    caption = caption or {}
    return Words(
        title=kind.description,
        look_for=kind.see,
        measured=kind.measured or _caption_of(kind.family, caption),
        keys=tuple(key.replace("<name>", name) if key.startswith("figures.") else key for key in kind.keys),
        shown=caption.get("shown", ""),
        note=caption.get("note", ""),
        kind=kind.name,
    )


def _caption_of(family: str, caption: Mapping[str, Any]) -> str:
    """The first paragraph of a family's caption; empty where the captions are not there."""
    file = CAPTIONS / f"{family}.rst"
    if not file.is_file():
        return ""
    text = file.read_text(encoding="utf-8").split("\n\n")[0]
    text = re.sub(
        r"\{\{ snakemake\.params\.caption\.(\w+) \}\}", lambda m: str(caption.get(m[1], "paper")), text
    )
    return text.replace("``", "").strip()


def _shown(table: Mapping[str, Any]) -> str:
    """The runs that a table is of."""
    runs = [table["run"]] if "run" in table else table.get("runs", [])
    return ", ".join(runs)
