"""Files and folders that appear whole or not at all."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError


@contextlib.contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yield a temporary path beside `path`; rename it to `path` on success.

    Works for files and folders. After an exception the temporary is gone, and what stood at `path` before
    stands there again. Raises OSError that names `path` when the disk is full or read-only.
    """
    target = Path(path)
    workspace = workspace_of(target)
    temporary = workspace / target.name
    try:
        _remove(workspace)
        workspace.mkdir(parents=True)
        yield temporary
        _put_in_place(temporary, target)
    except UserError:
        raise
    except Exception as error:
        refused = _refusal_of_the_disk(error, workspace)
        if refused is None:
            raise
        # Whoever wrote knew a temporary name or none; the user knows the target's.
        raise OSError(refused, os.strerror(refused), str(target)) from error
    finally:
        _remove(workspace)


def _put_in_place(new: Path, target: Path) -> None:
    """Rename `new` to `target`. An old folder at `target` moves into the workspace, beside `new`.

    A file replaces a file in one step. No folder can replace a folder that holds something, so the old
    folder is moved away first, and moved back when the new one cannot be renamed.
    """
    if not target.is_dir() or target.is_symlink():
        os.replace(new, target)
        return
    old = new.with_name(f"{new.name}.old")
    os.replace(target, old)
    try:
        os.replace(new, target)
    except BaseException:
        os.replace(old, target)
        raise


REMOVALS = 5
"""Attempts to remove a folder, a tenth of a second apart."""


def _remove(folder: Path) -> None:
    """Remove a folder with what it holds, as far as the file system lets it go.

    On network disks a folder may hold, for a moment, files that were just removed (ENOTEMPTY). A folder
    that stays has a name of the workspace's, which no job reads; the next `replacing` removes it.
    """
    for attempt in range(REMOVALS):
        if attempt:
            time.sleep(0.1)
        try:
            shutil.rmtree(folder)
        except FileNotFoundError:
            return
        except OSError as error:
            if error.errno != errno.ENOTEMPTY:
                break
        else:
            return
    shutil.rmtree(folder, ignore_errors=True)


def workspace_of(path: str | Path) -> Path:
    """The folder in which `replacing` writes `path`.

    The name is the same each time, so that the next job removes what a killed job left.
    """
    target = Path(path)
    return target.parent / f".{target.name}.partial"


DISK_REFUSES = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)
"""Errors that say that a disk, and not the program, is why a file was not written."""


def _refusal_of_the_disk(error: BaseException, workspace: Path) -> int | None:
    """The errno behind a failed write when the disk is full or read-only, else None.

    Libraries written in C++ or Rust report a failed write without a number. Then this function writes a
    megabyte as a test, while the part that was written still takes its room.
    """
    # The number may stand in an exception further down the chain.
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, OSError) and cause.errno is not None:
            return cause.errno if cause.errno in DISK_REFUSES else None
        cause = cause.__cause__ or cause.__context__

    # Without a number, the disk itself is asked.
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
