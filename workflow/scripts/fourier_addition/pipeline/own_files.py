"""Files of models that lie in folders of the user's, as inputs of the rule that copies them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

KEPT = (".safetensors", ".json", ".txt", ".model", ".jinja", ".gguf")
"""What a fetch may take from a folder; it decides itself what it keeps."""


def own_files(entry: Mapping[str, Any]) -> list[str]:
    """Files in the folders that a model's `path` sources name, sorted; none where a folder is missing.

    entry: the model's value under `models`. A missing folder is for the fetch to name.
    """
    found: list[str] = []
    for source in entry["sources"]:
        if "path" in source:
            try:
                folder = Path(source["path"]).expanduser()
                files = sorted(folder.iterdir()) if folder.is_dir() else []
            except (OSError, RuntimeError):
                # No such user, or no right to look: the fetch says so.
                continue
            found += [str(file) for file in files if file.suffix in KEPT and file.is_file()]
    return found
