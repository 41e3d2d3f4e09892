"""Which files a code digest was made of, kept so that a changed digest can be explained.

The rules' `code` parameter is one digest, and Snakemake remembers no more of it. So each digest
leaves a small file named after itself under `.snakemake/`, next to Snakemake's own memory: nothing
takes it as an input, and the same code always leaves the same file.
"""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

from fourier_addition.files.whole import replacing
from fourier_addition.pipeline.code_digest import SCRIPTS, code_digest, module_digests
from fourier_addition.pipeline.source_facts import keeper

RECORDS = Path(".snakemake/code")


def remember_code(script: str, root: Path = SCRIPTS, records: Path = RECORDS) -> None:
    """Keep the file digests behind `code_digest(script, root)`; a folder that is read-only keeps none."""
    path = records / f"{code_digest(script, root)}.json"
    with contextlib.suppress(OSError):
        if not path.is_file():
            with replacing(path) as temporary:
                temporary.write_text(json.dumps(module_digests(script, root), indent=1))
    keeper().keep()


def recalled_code(digest: str, records: Path = RECORDS) -> dict[str, str] | None:
    """File digests behind a code digest, or None where they were not kept."""
    try:
        recalled: dict[str, str] = json.loads((records / f"{digest}.json").read_text())
    except (OSError, json.JSONDecodeError):
        return None
    return recalled


def changed_files(before: dict[str, str], now: dict[str, str]) -> list[str]:
    """Files that were edited, added or dropped between two listings, sorted."""
    return sorted(name for name in before.keys() | now.keys() if before.get(name) != now.get(name))
