"""Why a job would run again: what changed between its last run and now, as half-sentences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from fourier_addition.pipeline.config import schema
from fourier_addition.pipeline.why_records import RECORDS, changed_files, recalled_code

NEVER_RUN = "it has not run yet"
ABSENT = object()
SCRIPTS = "workflow/scripts"


@dataclass(frozen=True)
class Planned:
    """One job of a plan, as Snakemake sees it.

    name: rule and wildcards in words. before: representations of the parameters of its last run,
    unordered, or None where it never ran; now: its parameters by name. inputs_before, inputs_now:
    paths. missing, updated: paths of outputs that are gone and of inputs that are newer and differ.
    environment: file of a software environment that changed, or None. interrupted: its last run
    did not finish. after: names of the jobs that it comes after, directly.
    """

    name: str
    before: Sequence[str] | None = None
    now: Mapping[str, Any] = field(default_factory=dict)
    inputs_before: Sequence[str] = ()
    inputs_now: Sequence[str] = ()
    missing: Sequence[str] = ()
    updated: Sequence[str] = ()
    environment: str | None = None
    interrupted: bool = False
    after: Sequence[str] = ()


def causes(job: Planned, records: Path = RECORDS) -> list[str]:
    """Half-sentences after "because" or "for"; empty when the job only follows other jobs."""
    if job.before is None and job.missing:
        return [NEVER_RUN]
    found = []
    if job.interrupted:
        found.append("its last run was interrupted")
    if job.missing:
        found.append(f"{_listed(job.missing)} {_is(job.missing)} missing")
    if job.updated:
        found.append(f"{_listed(job.updated)} changed since it was read")
    if job.before is not None:
        found += _parameters(job.before, job.now, records)
        found += _inputs(job.inputs_before, job.inputs_now)
    if job.environment:
        found.append(f"its software environment changed: {job.environment}")
    return found


def _inputs(before: Sequence[str], now: Sequence[str]) -> list[str]:
    added, dropped = sorted(set(now) - set(before)), sorted(set(before) - set(now))
    found = []
    if added:
        found.append(f"it now also reads {_listed(added)}")
    if dropped:
        found.append(f"it no longer reads {_listed(dropped)}")
    return found


def _parameters(before: Sequence[str], now: Mapping[str, Any], records: Path) -> list[str]:
    """Compare recorded representations, which have no names, with parameters that have."""
    old = set(before) - {repr(value) for value in now.values()}
    new = {name: value for name, value in now.items() if repr(value) not in set(before)}
    if not old and not new:
        return []
    found = []

    # The code digest: the files behind both digests say which module was edited.
    code_before = [text for text in old if re.fullmatch(r"'[0-9a-f]{16}'", text)]
    if "code" in new:
        code_now = new.pop("code")
        files = None
        if len(code_before) == 1:
            old -= set(code_before)
            earlier, later = recalled_code(code_before[0][1:-1], records), recalled_code(code_now, records)
            files = changed_files(earlier, later) if earlier and later else None
        places = ": " + _listed([f"{SCRIPTS}/{name}" for name in files]) if files else ""
        found.append(f"code that it uses changed{places}")

    # Values of the configuration: each new value is held against the recorded one that it most likely had.
    values = [value for value in map(_value, sorted(old)) if value is not ABSENT]
    changes: dict[tuple[str, str], None] = {}
    for name, value in new.items():
        match = _closest(value, values)
        if match is not ABSENT:
            values.remove(match)
        path = "" if isinstance(value, Mapping) else name
        changes |= {change: None for change in differences(path, match, value)}
    found += [f"{what} {change}" for what, change in changes]
    return found or ["its parameters changed"]


def _value(text: str) -> Any:
    try:
        return ast.literal_eval(text)
    except (ValueError, SyntaxError):
        return ABSENT


def _closest(value: Any, candidates: Sequence[Any]) -> Any:
    """The recorded value that a parameter most likely had: a mapping by its keys, others by type."""
    if isinstance(value, Mapping):
        mappings = [each for each in candidates if isinstance(each, dict)]
        best = max(mappings, key=lambda each: len(each.keys() & value.keys()), default={})
        return best if best.keys() & value.keys() else ABSENT
    alike = [each for each in candidates if type(each) is type(value)]
    rest = [each for each in candidates if not isinstance(each, dict)]
    return (alike or rest or [ABSENT])[0]


def differences(path: str, before: Any, now: Any) -> list[tuple[str, str]]:
    """What differs between two values: (what it is called, how it changed), mappings entry by entry."""
    if isinstance(before, Mapping) and isinstance(now, Mapping):
        found = []
        for key in [*before, *(key for key in now if key not in before)]:
            inner = f"{path}.{key}" if path else str(key)
            found += differences(inner, before.get(key, ABSENT), now.get(key, ABSENT))
        return found
    if type(before) is type(now) and before == now:
        return []
    what = f"the {_kind(path)} `{path}`" if path else "a parameter"
    if before is ABSENT:
        return [(what, f"was set to {_short(now)}")]
    if now is ABSENT:
        return [(what, f"is no longer set; it was {_short(before)}")]
    return [(what, f"changed from {_short(before)} to {_short(now)}")]


@cache
def _known_keys() -> frozenset[str]:
    def keys(rules: Any) -> Iterable[str]:
        if isinstance(rules, Mapping):
            yield from rules.get("properties", {})
            for inner in rules.values():
                yield from keys(inner)

    return frozenset(keys(schema()))


def _kind(path: str) -> str:
    return "configuration value" if path.split(".")[-1] in _known_keys() else "value"


def _short(value: Any) -> str:
    text = value if isinstance(value, str) else repr(value)
    return (text if len(text) <= 60 else text[:57] + "...") or "nothing"


def _listed(items: Sequence[str], most: int = 4) -> str:
    items = sorted(items)
    if len(items) > most + 1:
        items = [*items[:most], f"{len(items) - most} more"]
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def _is(items: Sequence[str]) -> str:
    return "are" if len(items) > 1 else "is"
