"""Files that appear whole or not at all, and the manifests that prove it.

Every directory output has a JSON manifest beside it, written last. A consumer
takes the manifest as its input, so a directory left by a killed job is never
mistaken for a result.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError

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


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success.

    Works for files and directories. On any exception the temporary is removed
    and whatever stood at `path` before stays.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    # A fixed name, so that what a killed job left is cleared by the next one and never piles up.
    workspace = target.parent / f".{target.name}.partial"
    shutil.rmtree(workspace, ignore_errors=True)
    workspace.mkdir()
    temporary = workspace / target.name
    try:
        yield temporary
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(temporary, target)
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def write_json(value: Any, path: str | Path) -> None:
    """Write `value` as indented JSON, keys in the order given, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON. Raises UserError that names the file when it is not valid."""
    try:
        return json.loads(Path(path).read_text())
    except json.JSONDecodeError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error


def write_parquet(table: Any, path: str | Path) -> None:
    """Write a pandas DataFrame to Parquet, whole or not at all."""
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)


def write_csv(table: Any, path: str | Path) -> None:
    """Write a pandas DataFrame to CSV, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)


def sha256_file(path: str | Path) -> str:
    """SHA-256 of a file's bytes, as hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def content_files(directory: str | Path) -> dict[str, dict[str, Any]]:
    """Every file below `directory`: relative path -> {bytes, sha256}, sorted.

    Snakemake's own time stamp is left out.
    """
    root = Path(directory)
    return {
        str(path.relative_to(root)): {"bytes": path.stat().st_size, "sha256": sha256_file(path)}
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.name != ".snakemake_timestamp"
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


def verify_manifest(path: str | Path) -> list[str]:
    """Compare a manifest with the directory beside it.

    Returns one sentence for each file that is missing, changed or unexpected;
    an empty list when everything is as it was written.
    """
    path = Path(path)
    manifest = read_manifest(path)
    directory = path.parent / manifest["directory"]
    if not directory.is_dir():
        return [f"{directory} is missing."]
    expected = manifest["files"]
    found = content_files(directory)
    problems = [f"{directory / name} is missing." for name in expected if name not in found]
    problems += [f"{directory / name} was not written by its job." for name in found if name not in expected]
    problems += [
        f"{directory / name} has changed since it was written."
        for name in expected
        if name in found and found[name]["sha256"] != expected[name]["sha256"]
    ]
    return problems
