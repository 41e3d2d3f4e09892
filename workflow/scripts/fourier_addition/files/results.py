"""Results of other jobs, read by name."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.files.manifests import read_json


def _read(path: str) -> Any:
    if path.endswith(".parquet"):
        return pd.read_parquet(path)
    if path.endswith(".json"):
        return read_json(path)
    raise UserError(f"{path} must end in .parquet or .json to be read as a result.")


def read_results(files: Iterable[tuple[str, str | Sequence[str]]]) -> dict[str, list[Any]]:
    """Results by name, in the order of their paths: a Parquet file as a table, a JSON file as what it holds.

    files: (name, one path or several), as the inputs of a rule give them.
    Raises UserError for a path of another kind.
    """
    return {
        name: [_read(path) for path in ([paths] if isinstance(paths, str) else paths)]
        for name, paths in files
    }
