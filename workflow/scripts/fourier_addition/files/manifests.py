"""Manifests: what a directory holds, file by file, and what it was made from.

Every directory output has a JSON manifest beside it, written last. A consumer takes the manifest as
its input, so a directory that a killed job left is never mistaken for a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import platform
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.whole import write_json

MANIFEST_VERSION = 1
PACKAGES = (
    "numpy",
    "xarray",
    "zarr",
    "pandas",
    "pyarrow",
    "scipy",
    "scikit-learn",
    "torch",
    "transformers",
    "tokenizers",
    "safetensors",
    "huggingface_hub",
    "matplotlib",
    "seaborn",
    "snakemake",
)


def read_json(path: str | Path) -> Any:
    """Read JSON. Raises UserError that names the file when it is not valid."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def is_foreign(name: str) -> bool:
    """Whether a file's name is one that systems, editors and file servers leave behind, and no job writes.

    Such as `.DS_Store`, `._zarr.json`, `.nfs0001`, `.zarr.json.swp`, `zarr.json~`, `Thumbs.db`.
    """
    return name.startswith((".", "#")) or name.endswith("~") or name in ("Thumbs.db", "desktop.ini")


def files_below(directory: str | Path) -> Iterator[Path]:
    """Every file below `directory`, sorted, without foreign ones."""
    root = Path(directory)
    for path in sorted(root.rglob("*")):
        if path.is_file() and not any(map(is_foreign, path.relative_to(root).parts)):
            yield path


def content_files(directory: str | Path) -> dict[str, dict[str, Any]]:
    """Every file below `directory`: relative path -> {bytes, sha256}, sorted; foreign files are left out."""
    root = Path(directory)
    return {
        str(path.relative_to(root)): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in files_below(root)
    }


def content_digest(files: Mapping[str, Mapping[str, Any]]) -> str:
    """One SHA-256 for the listing that `content_files` returns."""
    text = json.dumps({name: entry["sha256"] for name, entry in sorted(files.items())})
    return hashlib.sha256(text.encode()).hexdigest()


def package_versions() -> dict[str, str]:
    """Versions of the packages that can change a number, without importing them."""
    versions = {"python": platform.python_version()}
    for name in PACKAGES:
        with contextlib.suppress(metadata.PackageNotFoundError):
            versions[name] = metadata.version(name)
    return versions


def write_manifest(
    path: str | Path,
    directory: str | Path,
    *,
    provenance: Mapping[str, Any],
    arrays: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Describe a finished directory output; call it after the last byte is written.

    path: the manifest to write, by convention beside `directory`.
    provenance: what the result depends on (model, hash, config, seed, code, device).
    arrays: name -> {"dims", "shape", "dtype"} of the arrays inside, if any.
    Returns the manifest.
    """
    files = content_files(directory)
    manifest = {
        "manifest": MANIFEST_VERSION,
        "directory": Path(directory).name,
        "digest": content_digest(files),
        "arrays": dict(arrays or {}),
        "provenance": {**provenance, "packages": package_versions()},
        "files": files,
    }
    write_json(manifest, path)
    return manifest


def read_manifest(path: str | Path) -> dict[str, Any]:
    """Read a manifest. Raises UserError when the file is not one."""
    manifest = read_json(path)
    if not isinstance(manifest, dict) or manifest.get("manifest") != MANIFEST_VERSION:
        raise UserError(f"{path} is not a manifest of version {MANIFEST_VERSION}.")
    return manifest
