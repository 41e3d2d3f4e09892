"""What every workflow script shares: its log, its progress, its last words."""

from __future__ import annotations

import contextlib
import errno
import logging
import shutil
import sys
import time
import traceback
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import Any, TypeVar

from fourier_addition.errors import UserError
from fourier_addition.files.checks import require_whole
from fourier_addition.files.whole import workspace_of
from fourier_addition.pipeline.device import limit_threads
from fourier_addition.pipeline.snakemake_private import end_with_snakemake

T = TypeVar("T")
logger = logging.getLogger("fourier_addition")


class EveryHalfMinute(logging.Filter):
    """Passes warnings, and of the rest one line every 30 s: the progress of a long job."""

    def __init__(self) -> None:
        super().__init__()
        self.last = time.monotonic()

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether the record is shown."""
        if record.levelno >= logging.WARNING:
            return True
        # Libraries have much to say that is not progress.
        if not record.name.startswith("fourier_addition") or time.monotonic() - self.last < 30:
            return False
        self.last = time.monotonic()
        return True


class LogFile(logging.FileHandler):
    """A log file that a full disk may cut short: what counts is the sentence on the screen."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Say nothing; logging's own answer is a traceback for every line."""


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[logging.Logger]:
    """Run the body of a script: log to the rule's log file and to standard error.

    Inputs are checked first: a damaged one ends the job before anything is computed from it.
    A UserError ends the script with its one sentence on standard error and exit status 1;
    a full disk, a read-only folder and damaged files likewise. Anything else is a fault of ours and
    keeps its traceback, in the log and on the screen.
    """
    end_with_snakemake()
    started = time.monotonic()
    try:
        _start_log(snakemake)
        limit_threads(int(getattr(snakemake, "threads", 1) or 1))
        logger.info("rule %s, wildcards %s", snakemake.rule, dict(snakemake.wildcards.items()))
        _clear_leftovers(snakemake.output)
        # A user's own files are not ours to judge, nor to make anew.
        own = set(map(str, getattr(snakemake.input, "own", ())))
        for path in map(str, snakemake.input):
            if path not in own:
                require_whole(path)
        yield logger
    except (UserError, OSError, MemoryError) as error:
        logger.info("%s", traceback.format_exc())
        # In one piece: other jobs write to the same screen.
        sys.stderr.write(f"{snakemake.rule}: {_sentence(error, snakemake)}\n")
        raise SystemExit(1) from None
    except Exception:
        logger.error("%s", traceback.format_exc())
        raise
    logger.info("done in %.1f s", time.monotonic() - started)


def _start_log(snakemake: Any) -> None:
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if len(snakemake.log):
        log_file = Path(str(snakemake.log[0]))
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(LogFile(log_file, mode="w"))
    name = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    handlers[0].setFormatter(logging.Formatter(f"{name}: %(message)s"))
    for handler in handlers[1:]:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    # The screen shows warnings and progress; the whole story is in the log file.
    handlers[0].addFilter(EveryHalfMinute())
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)


def _clear_leftovers(outputs: Iterable[Any]) -> None:
    """Remove what a killed job of the same outputs, or of the state beside them, was writing."""
    for path in map(Path, map(str, outputs)):
        for unfinished in (path, path.with_suffix(".state")):
            shutil.rmtree(workspace_of(unfinished), ignore_errors=True)


REFUSALS = {
    errno.ENOSPC: ("the disk is full", "make room"),
    errno.EDQUOT: ("the disk quota is used up", "make room"),
    errno.EFBIG: ("the file would be larger than this system allows", "raise the limit on file sizes"),
    errno.EROFS: ("the file system is read-only", "make it writable"),
    errno.EACCES: ("permission is denied", "make it readable and writable for you"),
}


def _sentence(error: Exception, snakemake: Any) -> str:
    """What went wrong, with the file, and what to do."""
    if isinstance(error, MemoryError):
        return "There is not enough memory for this job: give it more, or choose smaller batches and blocks."
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    file = error.filename or (snakemake.output[0] if len(snakemake.output) else None)
    where = f" ({file})" if file else ""
    if error.errno in REFUSALS:
        reason, remedy = REFUSALS[error.errno]
        return (
            f"{file or 'A file'} cannot be used, as {reason}: {remedy} and start again; "
            "nothing half-written was kept."
        )
    return f"{error.strerror}{where}; nothing half-written was kept."


def progress(items: Iterable[T], *, total: int | None = None, label: str = "") -> Iterator[T]:
    """Iterate with a progress bar on a terminal, with a plain log line every 30 s elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, leave=False)
        return
    if total is None and isinstance(items, Sized):
        total = len(items)
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last > 30:
            last = time.monotonic()
            logger.info("%s: %d%s", label, done, f" of {total}" if total else "")
        yield item
