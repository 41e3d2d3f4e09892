"""Before jobs start: one Snakemake at a time in a folder, and folders that can be written to.

The kernel takes the lock back when its process dies, so no lock is left that a user must remove.
"""

from __future__ import annotations

import fcntl
import os
import socket
import time
from collections.abc import Iterable
from pathlib import Path
from typing import IO

from fourier_addition.errors import UserError

_held: list[IO[str]] = []


def stay_alone(lock: str | Path) -> None:
    """Hold the file `lock` until this process ends, in whatever way, and write this process into it.

    Raises UserError when another process holds it. Where the file system knows no locks, nothing
    is held.
    """
    lock = Path(lock).absolute()
    if any(Path(file.name) == lock for file in _held):
        return
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        # Python hands no open file to the jobs, so they do not hold the lock after their Snakemake.
        file = lock.open("a+")
    except OSError as error:
        raise UserError(
            f"{lock.parent} cannot be written to ({error.strerror}), and Snakemake keeps its records there: "
            "make the folder writable for you; nothing was started."
        ) from error
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = _holder(file)
        file.close()
        raise UserError(
            f"Another Snakemake ({holder}) is at work in {Path.cwd()}: wait until it has ended, or work in "
            "a copy of the folder; nothing was started."
        ) from None
    except OSError:
        file.close()
        return
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}, since {time.strftime('%Y-%m-%d %H:%M:%S')}")
    file.flush()
    _held.append(file)


def _holder(file: IO[str], patience: float = 2.0) -> str:
    """Who holds a lock; it may have taken it this moment, and be about to write its name."""
    until = time.monotonic() + patience
    while True:
        file.seek(0)
        if name := file.read().strip():
            return name
        if time.monotonic() > until:
            return "another process"
        time.sleep(0.02)


def require_writable(files: Iterable[str | Path]) -> None:
    """Raise UserError that names the first folder in which one of `files` could not be made."""
    for folder in sorted({Path(file).absolute().parent for file in files}):
        there = next(parent for parent in (folder, *folder.parents) if parent.exists())
        if not os.access(there, os.W_OK | os.X_OK):
            raise UserError(
                f"The folder {there} cannot be written to: make it writable, or put a link to a folder "
                "with room in its place; nothing was started."
            )
