"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError


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


def write_csv(table: Any, path: str | Path) -> None:
    """Write a pandas DataFrame to CSV, whole or not at all."""
    with replacing(path) as temporary:
        table.to_csv(temporary, index=False)
