"""One Snakemake at a time in a folder, by a lock that the kernel takes back when it dies."""

from __future__ import annotations

import fcntl
import os
import socket
import time
from pathlib import Path
from typing import IO

from fourier_addition.errors import UserError

_held: list[IO[str]] = []


def stay_alone(lock: str | Path) -> None:
    """Hold `lock` until this process ends, in whatever way; it names the process that holds it.

    Raises UserError when another process holds it. Where the file system knows no locks, nothing
    is held.
    """
    lock = Path(lock)
    lock.parent.mkdir(parents=True, exist_ok=True)
    # Python hands no open file to the jobs, so they do not hold the lock after their Snakemake.
    file = lock.open("a+")
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.seek(0)
        holder = file.read().strip() or "another process"
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


def require_writable(*folders: str | Path) -> None:
    """Raise UserError that names the first folder which exists and cannot be written to."""
    for folder in map(Path, folders):
        if folder.exists() and not os.access(folder, os.W_OK | os.X_OK):
            raise UserError(
                f"The folder {folder.resolve()} cannot be written to: make it writable, or put a link to a "
                "folder with room in its place; nothing was started."
            )
