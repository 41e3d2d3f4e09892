"""Results of which Snakemake has no record: what can still be known about them, in a few sentences.

Snakemake compares a job's values and code with its own record in `.snakemake`. Where results were copied
without that folder, it takes every file that is there for up to date. Manifests and summaries hold the values
and the code that they were made with.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.manifests import read_json
from fourier_addition.pipeline.provenance import plain
from fourier_addition.pipeline.snakemake_private import KeptJob
from fourier_addition.pipeline.why_causes import differences

NAMED = 6
"""Results that are named one by one."""


def unrecorded_sentences(kept: Sequence[KeptJob]) -> list[str]:
    """What there is to say of finished jobs without a record; nothing where there is none.

    kept: jobs that will not run and of which Snakemake has no record.
    """
    if not kept:
        return []
    changed, unknown = [], 0
    for job in kept:
        before = recorded_params(job.outputs)
        if before is None:
            unknown += 1
        elif found := differences("", before, plain(job.params)):
            # The digest of the code says nothing to a reader.
            words = [
                "code that it uses changed" if "`code`" in what else f"{what} {how}" for what, how in found
            ]
            changed.append((job, list(dict.fromkeys(words))))

    lines = [
        f"Of {_count(len(kept), 'finished job')} Snakemake has no record, as where results were copied "
        "without the folder .snakemake: they will not be made anew."
    ]
    if changed:
        lines.append(
            f"{_count(len(changed), 'result')} of them would be made with other values or code today: delete "
            "these files and start again."
        )
        lines += [f"    {recorder(job.outputs)}: {'; '.join(words[:3])}" for job, words in changed[:NAMED]]
        lines += [f"    and {len(changed) - NAMED} more"] if len(changed) > NAMED else []
    if unknown:
        lines.append(
            f"Of {_count(unknown, 'job')} of them, such as figures and tables, it cannot be known whether a "
            "changed value or changed code would rerun them: `snakemake --forcerun RULE` makes them anew."
        )
    return lines


def recorder(outputs: Iterable[str]) -> str | None:
    """The first of a job's outputs that says what it was made with, None where no output does."""
    return next((path for path in sorted(outputs) if _params_of(path) is not None), None)


def recorded_params(outputs: Iterable[str]) -> Mapping[str, Any] | None:
    """Parameters that a job wrote into one of its outputs, None where no output holds them."""
    path = recorder(outputs)
    return None if path is None else _params_of(path)


def _params_of(path: str) -> Mapping[str, Any] | None:
    if not path.endswith(".json") or not Path(path).is_file():
        return None
    try:
        content = read_json(path)
    except (UserError, OSError):
        return None
    provenance = content.get("provenance") if isinstance(content, dict) else None
    params = provenance.get("params") if isinstance(provenance, dict) else None
    return params if isinstance(params, dict) else None


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
