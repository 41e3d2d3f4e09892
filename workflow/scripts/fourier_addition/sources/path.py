"""Weights from a directory on this machine."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.sources.model_files import INDEX, SINGLE, check_file, require_one_model, select
from fourier_addition.sources.reach import Obtained, Unreachable

KEYS = ("path", "file")


def check(where: str, source: Mapping[str, Any]) -> None:
    """Raise UserError unless the source names a directory."""
    if not isinstance(source["path"], str) or not source["path"].strip():
        raise UserError(f"{where}.path must name a directory, not {source['path']!r}.")
    check_file(where, source)


def obtain(
    where: str, source: Mapping[str, Any], *, scratch: Path, cache: Path | None, progress: bool
) -> Obtained:
    """The files of a model in a local directory.

    The files are to be copied and not linked, as their owner may edit them later. where: the key of the
    model, for messages. Raises Unreachable when there is no such directory, UserError when the directory
    holds no model.
    """
    try:
        root = Path(source["path"]).expanduser()
    except RuntimeError as error:
        raise Unreachable("there is no such user", remote=False) from error
    if not root.is_dir():
        raise Unreachable("there is no such directory", remote=False)

    # A link whose file is gone would be passed over, and another file taken in its place.
    for file in sorted(root.iterdir()):
        if file.is_symlink() and not file.exists():
            raise UserError(f"{where}: {file} is a link to {file.readlink()}, which is not there.")
    files = {file.name: file for file in root.iterdir() if file.is_file()}
    chosen = select(f"{where}: path {root}", files, files.get(INDEX), source.get("file"))
    if SINGLE in chosen and INDEX in files:
        require_one_model(f"{where}: path {root}", files[SINGLE], files[INDEX])
    return Obtained({name: files[name] for name in chosen})
