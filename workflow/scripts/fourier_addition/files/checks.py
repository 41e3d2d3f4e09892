"""Is a file still what its job wrote? Checks of results before they are read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.manifests import (
    MANIFEST_VERSION,
    content_files,
    files_below,
    read_json,
    read_manifest,
)
from fourier_addition.files.parquet import differs_from_digest


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
    return _differences(directory, manifest["files"], content_files(directory), "sha256")


def _differences(
    directory: Path, expected: Mapping[str, Any], found: Mapping[str, Any], key: str
) -> list[str]:
    problems = [f"{directory / name} is missing." for name in expected if name not in found]
    problems += [f"{directory / name} was not written by its job." for name in found if name not in expected]
    problems += [
        f"{directory / name} has changed since it was written."
        for name in expected
        if name in found and found[name][key] != expected[name][key]
    ]
    return problems


def require_whole_store(directory: str | Path) -> None:
    """Compare the files of a store and their sizes with the manifest beside it, if there is one.

    A chunk whose file is missing would be read as the fill value, without a word. Raises
    UserError that names the store and the first file at fault.
    """
    directory = Path(directory)
    manifest = directory.with_suffix(".json")
    if not manifest.is_file():
        return
    found = {
        str(path.relative_to(directory)): {"bytes": path.stat().st_size} for path in files_below(directory)
    }
    problems = _differences(directory, read_manifest(manifest)["files"], found, "bytes")
    if problems:
        raise UserError(_remake(problems, manifest))


def _remake(problems: list[str], named: Path) -> str:
    """One sentence: the first problem, how many more there are, and the way out.

    named: what later jobs take as their input, so that Snakemake makes it anew when it is missing; of
    a folder that is its manifest.
    """
    more = f" (and {len(problems) - 1} more of its files)" if len(problems) > 1 else ""
    return f"{problems[0].rstrip('.')}{more}; delete {named} and start again, which makes it anew."


def require_whole(path: str | Path) -> None:
    """Check a job's input before it is read, so that no damaged file becomes a figure.

    A manifest: every file of its directory has the SHA-256 that was written down. A Parquet
    table: it has the SHA-256 inside it, or can at least be read. Other JSON: it can be parsed.
    Other files pass.
    Raises UserError that names the file and what to do.
    """
    path = Path(path)
    if path.suffix == ".json":
        try:
            content = read_json(path)
        except UserError as error:
            raise UserError(_remake([str(error)], path)) from error
        if isinstance(content, dict) and content.get("manifest") == MANIFEST_VERSION:
            problems = verify_manifest(path)
            if problems:
                raise UserError(_remake(problems, path))
    elif path.suffix == ".parquet":
        differs = differs_from_digest(path.read_bytes())
        if differs:
            raise UserError(_remake([f"{path} is damaged (it has changed since it was written)"], path))
        if differs is None:
            _require_readable(path)


def _require_readable(path: Path) -> None:
    """Raise UserError unless a Parquet file without a digest (cut off, or made elsewhere) can be read."""
    # Costs a quarter of a second to import, and is hardly ever needed.
    import pyarrow.parquet

    try:
        pyarrow.parquet.read_table(path, page_checksum_verification=True).to_pandas()
    except Exception as error:  # pandas' own notes inside the file fail in many ways
        if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno is not None):
            raise
        reason = " ".join(str(error).split()).rstrip(".")
        raise UserError(_remake([f"{path} is damaged ({reason})"], path)) from error
