"""Names in a configuration become folders, files, labels and wildcards: which names can."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.pipeline.paths import slug

NAMED = (
    "models",
    "pretraining",
    "tasks",
    "runs",
    "embeddings",
    "apis",
    "api_runs",
    "figures",
    "tables",
)
"""Sections whose keys are names of the user's choice."""
LONGEST = 100
"""Characters of a name; with a suffix it must still fit into a file's name."""
_PERIODIC = re.compile(r"(.+)\1{19,}$")
"""Snakemake takes a wildcard that ends like this for a recursion without end."""
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def check_names(config: Mapping[str, Any]) -> None:
    """Refuse names that cannot be files, or that meet on a file system that does not tell case.

    config: as it was read, before any other check. Raises UserError that names the key.
    """
    for section in NAMED:
        entries = config.get(section)
        if isinstance(entries, Mapping):
            for name, entry in entries.items():
                _check_name(section, name)
                if isinstance(entry, Mapping):
                    _check_label(section, name, entry.get("label"))
            _check_distinct(section, entries)
    ablations = config.get("ablations")
    ranges = ablations.get("digit_ranges") if isinstance(ablations, Mapping) else None
    if isinstance(ranges, Mapping):
        _check_digit_ranges(ranges)


def _check_name(section: str, name: Any) -> None:
    where = f"Config key `{section}.{str(name).encode('unicode_escape').decode()}`"
    if not isinstance(name, str):
        raise UserError(f"{where}: a name is text; write {name!r} in quotes.")
    if len(name) > LONGEST:
        shown = f"Config key `{section}.{name[:40]}...`"
        raise UserError(f"{shown}: the name has {len(name)} characters; at most {LONGEST} are allowed.")
    if not _NAME.fullmatch(name):
        raise UserError(
            f"{where}: a name is made of the letters A to Z, digits, '.', '_', '+' and '-', and begins with "
            "a letter or a digit; use `label` for what figures and tables show."
        )
    if _PERIODIC.search(name):
        raise UserError(f"{where}: the name repeats its end twenty times, which Snakemake refuses.")


def _check_label(section: str, name: str, label: Any) -> None:
    """Refuse a label that no legend would show; one that is no text is for the schema to name."""
    if isinstance(label, str) and (not label.strip() or label.startswith("_")):
        raise UserError(
            f"Config key `{section}.{name}.label` is {label!r}: a label is not empty and does not begin with "
            "'_', as legends leave such labels out."
        )


def _check_distinct(section: str, names: Iterable[str]) -> None:
    """Two names that differ only in capitals are one file on some file systems."""
    seen: dict[str, str] = {}
    for name in names:
        other = seen.setdefault(name.lower(), name)
        if other != name:
            raise UserError(
                f"Config key `{section}.{name}`: the name differs from '{other}' only in capitals."
            )


def _check_digit_ranges(ranges: Mapping[Any, Any]) -> None:
    """Labels of digit ranges are free text; their files are named by what is left of it."""
    seen: dict[str, Any] = {"all": "all", "shards": "shards"}
    for label in ranges:
        where = f"Config key `ablations.digit_ranges.{label}`"
        if not isinstance(label, str):
            raise UserError(
                f"{where}: a label is text, and {label!r} is read as a number: write it in quotes."
            )
        name = slug(label)
        if not name or len(name) > LONGEST:
            raise UserError(f"{where}: a label has from 1 to {LONGEST} letters and digits in it.")
        if _PERIODIC.search(name):
            raise UserError(f"{where}: the label repeats its end twenty times, which Snakemake refuses.")
        if name in seen:
            raise UserError(
                f"{where}: its files would be named '{name}', as those of '{seen[name]}' are: use another "
                "label."
            )
        seen[name] = label
