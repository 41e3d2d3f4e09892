"""Check every manifest below a folder against the files that it describes."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from fourier_addition.errors import UserError
from fourier_addition.files.checks import verify_manifest
from fourier_addition.files.manifests import is_foreign, read_json

CONTENT = ("zarr.json", "config.json", "model.safetensors")
"""A directory that holds one of these is a Zarr store or a model, and must have a manifest beside it."""


def verify(folder: str | Path) -> tuple[int, list[str]]:
    """Compare every manifest below `folder` with its directory.

    Returns the number of manifests and one sentence for each file that is missing, changed or
    unexpected, each manifest that cannot be read or describes a missing directory, and each store
    or model without a manifest. JSON files that are no manifests are results of their own.
    """
    checked = 0
    problems: list[str] = []
    for path in _folders(Path(folder), problems):
        for manifest in sorted(path.glob("*.json")):
            if is_foreign(manifest.name):
                continue
            try:
                content = read_json(manifest)
                if not isinstance(content, dict) or "manifest" not in content:
                    continue
                problems += verify_manifest(manifest)
            except (UserError, UnicodeDecodeError) as error:
                problems.append(str(error) if isinstance(error, UserError) else f"{manifest} is not text.")
            checked += 1
    return checked, problems


def _folders(root: Path, problems: list[str]) -> Iterator[Path]:
    """Folders that may hold manifests: all but stores and models, which hold content.

    problems: gets a sentence for each store or model that is unfinished or has no manifest.
    """
    for place, names, _ in os.walk(root):
        here = Path(place)
        for name in sorted(names):
            inner = here / name
            described = (here / f"{name.removesuffix('.zarr')}.json").is_file()
            if name.startswith(".") and name.endswith((".partial", ".fetch")):
                problems.append(f"{inner} is being written, or was left by a job that was killed.")
            elif name.endswith(".zarr") or any((inner / file).is_file() for file in CONTENT):
                if not described:
                    problems.append(f"{inner} has no manifest beside it.")
            elif not described:
                continue
            names.remove(name)
        yield here


def foreign_files(folder: str | Path) -> list[Path]:
    """Files below `folder` that no job wrote, such as those that systems and editors leave behind."""
    known = (".snakemake_timestamp", ".gitignore")
    return [
        path
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file() and is_foreign(path.name) and path.name not in known
    ]


def main() -> int:
    """Print what is wrong; exit status 1 when anything is."""
    folder = sys.argv[1] if len(sys.argv) > 1 else "results"
    if not Path(folder).is_dir():
        print(f"There is no folder {folder} to verify: run `make` first, or give the folder of the results.")
        return 1
    checked, problems = verify(folder)
    for problem in problems:
        print(problem)
    for path in foreign_files(folder):
        print(f"{path} is foreign: no job wrote it, and nothing reads it.")
    print(f"{checked} manifests checked, {len(problems)} problems.")
    return 1 if problems else 0


if __name__ == "__main__":
    raise SystemExit(main())
