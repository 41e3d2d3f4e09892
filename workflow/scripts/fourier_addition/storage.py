"""Files that appear whole or not at all, and the manifests that prove it.

Every directory output has a JSON manifest beside it, written last. A consumer
takes the manifest as its input, so a directory left by a killed job is never
mistaken for a result.
"""

from __future__ import annotations

import contextlib
import errno
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
    workspace = workspace_of(target)
    shutil.rmtree(workspace, ignore_errors=True)
    temporary = workspace / target.name
    try:
        workspace.mkdir(parents=True)
        yield temporary
        if target.is_dir() and not target.is_symlink():
            shutil.rmtree(target)
        os.replace(temporary, target)
    except UserError:
        raise
    except Exception as error:
        refused = _refusal_of_the_disk(error, workspace)
        if refused is None:
            raise
        # Whoever wrote knew a temporary name or none; the user knows the target's.
        raise OSError(refused, os.strerror(refused), str(target)) from error
    finally:
        shutil.rmtree(workspace, ignore_errors=True)


def workspace_of(path: str | Path) -> Path:
    """The folder in which `replacing` writes `path`.

    Its name is fixed, so that what a killed job left is cleared by the next one and never piles up.
    """
    target = Path(path)
    return target.parent / f".{target.name}.partial"


DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that say that a disk, and not the program, is why a file was not written."""


def _refusal_of_the_disk(error: BaseException, workspace: Path) -> int | None:
    """The errno behind a failed write when the disk is full or read-only, else None.

    Libraries written in C++ or Rust report a failed write without a number; there a megabyte is
    written as a test, while the part that was written still takes its room.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno if cause.errno in DISK_REFUSES else None
        cause = cause.__cause__ or cause.__context__
    if isinstance(error, OSError | RuntimeError) or "I/O error" in str(error):
        try:
            with open(workspace / "room", "wb", buffering=0) as file:
                for _ in range(16):
                    file.write(bytes(2**16))
                os.fsync(file.fileno())
        except OSError as refused:
            return refused.errno if refused.errno in DISK_REFUSES else None
    return None


def write_json(value: Any, path: str | Path) -> None:
    """Write `value` as indented JSON, keys in the order given, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: str | Path) -> Any:
    """Read JSON. Raises UserError that names the file when it is not valid."""
    try:
        return json.loads(Path(path).read_text(encoding="utf-8"))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON: {error}.") from error


SEAL = b"SHA-256:"
"""What stands before the digest that `write_parquet` puts between a table's data and its footer."""


def write_parquet(table: Any, path: str | Path) -> None:
    """Write a pandas DataFrame to Parquet, whole or not at all, with a digest of the whole file inside.

    Parquet's own checksums leave out headers and the footer. Readers find data by the offsets in
    the footer and do not look at the 40 bytes before it.
    """
    with replacing(path) as temporary:
        table.to_parquet(temporary, index=False)
        content = temporary.read_bytes()
        footer = _footer(content)
        seal = SEAL + hashlib.sha256(content).digest()
        temporary.write_bytes(content[:footer] + seal + content[footer:])


def _footer(content: bytes) -> int:
    """Where the footer of a Parquet file starts, as its last 8 bytes say."""
    return len(content) - 8 - int.from_bytes(content[-8:-4], "little")


def _broken_seal(content: bytes) -> bool | None:
    """Whether a Parquet file differs from its digest; None where it has none."""
    footer = _footer(content)
    seal = footer - len(SEAL) - 32
    if seal < 0 or content[seal : seal + len(SEAL)] != SEAL:
        return None
    digest = hashlib.sha256(content[:seal] + content[footer:]).digest()
    return content[seal + len(SEAL) : footer] != digest


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
        str(path.relative_to(directory)): {"bytes": path.stat().st_size}
        for path in directory.rglob("*")
        if path.is_file() and path.name != ".snakemake_timestamp"
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
        broken = _broken_seal(path.read_bytes())
        if broken:
            raise UserError(_remake([f"{path} has changed since it was written"], path))
        if broken is None:
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
