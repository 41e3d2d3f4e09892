"""The `snakemake` object for a script that is run by hand, without Snakemake."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from fourier_addition.pipeline.snakemake_private import script_object

ROOT = Path(__file__).resolve().parents[4]


def mock_snakemake(rule: str, *, configfiles: Iterable[str] = (), **wildcards: str) -> Any:
    """The `snakemake` object that a rule's script would see, for running the script by hand.

    rule: rule name; wildcards: its wildcards, as strings. Paths are relative to the
    repository's root, which becomes the working directory.
    """
    os.chdir(ROOT)
    made = script_object(ROOT / "Snakefile", configfiles, rule, wildcards)

    # Snakemake makes the folders of outputs and logs before it starts a script.
    for paths in (made.output, made.log):
        for path in paths:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    return made
