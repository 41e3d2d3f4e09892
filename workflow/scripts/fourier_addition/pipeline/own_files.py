"""Files of models that lie in folders of the user's, as inputs of the rule that copies them."""

from __future__ import annotations

import json
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


def is_kept_copy(entry: Mapping[str, Any], manifest: str | Path) -> bool:
    """Whether the folders of a model of the user's are not there, but a copy that was made of one of them is.

    entry: the model's value under `models`. manifest: of the copy. Another `path`, `file` or `sha256` than
    the copy's asks for another model.
    """
    folders = [source.get("path") for source in entry["sources"]]
    try:
        if None in folders or any(Path(folder).expanduser().exists() for folder in folders):
            return False
        copy = json.loads(Path(manifest).read_text(encoding="utf-8"))["provenance"]
        same = any(
            (source["path"], source.get("file")) == (copy["source"], copy.get("file"))
            for source in entry["sources"]
        )
        wanted = entry.get("sha256", copy["weights_sha256"])
        return same and copy["kind"] == "path" and bool(wanted.lower() == copy["weights_sha256"])
    except (OSError, ValueError, RuntimeError, KeyError, TypeError, AttributeError):
        return False
