"""What every workflow script shares: its log, its device, its progress, its last words."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import time
import traceback
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, TypeVar

from fourier_addition.errors import UserError

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


@contextlib.contextmanager
def job(snakemake: Any) -> Iterator[logging.Logger]:
    """Run the body of a script: log to the rule's log file and to standard error.

    A UserError ends the script with its one sentence on standard error and exit status 1;
    a full disk or a read-only folder likewise. Anything else is a fault of ours and keeps its
    traceback, in the log and on the screen.
    """
    log_file = Path(str(snakemake.log[0])) if len(snakemake.log) else None
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if log_file is not None:
        log_file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(logging.FileHandler(log_file, mode="w"))
    name = " ".join([snakemake.rule, *map(str, snakemake.wildcards)])
    handlers[0].setFormatter(logging.Formatter(f"{name}: %(message)s"))
    for handler in handlers[1:]:
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s", "%H:%M:%S"))
    # The screen shows warnings and progress; the whole story is in the log file.
    handlers[0].addFilter(EveryHalfMinute())
    logging.basicConfig(level=logging.INFO, handlers=handlers, force=True)
    logging.captureWarnings(True)
    _limit_threads(int(getattr(snakemake, "threads", 1) or 1))
    started = time.monotonic()
    logger.info("rule %s, wildcards %s", snakemake.rule, dict(snakemake.wildcards.items()))
    try:
        yield logger
    except (UserError, OSError) as error:
        logger.info("%s", traceback.format_exc())
        print(f"{snakemake.rule}: {_sentence(error)}", file=sys.stderr)
        raise SystemExit(1) from None
    except Exception:
        logger.error("%s", traceback.format_exc())
        raise
    logger.info("done in %.1f s", time.monotonic() - started)


def _sentence(error: Exception) -> str:
    if isinstance(error, OSError) and error.strerror:
        where = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{where}; nothing half-written was kept."
    return str(error)


def _limit_threads(threads: int) -> None:
    """Keep numerical libraries to the rule's threads, also when they are imported later."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")


def pick_device(gpus: int | None, threads: int) -> str:
    """`cuda` when the job was granted a GPU and there is one, else `cpu`.

    gpus: `resources.gpu` of the job; 0 where the profile has none. Sets torch's threads and
    its deterministic algorithms.
    """
    import torch

    torch.set_num_threads(max(1, threads))
    # cuBLAS wants this before its first call to be reproducible.
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True, warn_only=True)
    return "cuda" if gpus and torch.cuda.is_available() else "cpu"


def progress(items: Iterable[T], *, total: int | None = None, label: str = "") -> Iterator[T]:
    """Iterate with a progress bar on a terminal, with a plain log line every 30 s elsewhere."""
    if sys.stderr.isatty():
        from tqdm import tqdm

        yield from tqdm(items, total=total, desc=label, leave=False)
        return
    if total is None and hasattr(items, "__len__"):
        total = len(items)
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last > 30:
            last = time.monotonic()
            logger.info("%s: %d%s", label, done, f" of {total}" if total else "")
        yield item


def mock_snakemake(rule: str, *, configfiles: Iterable[str] = (), **wildcards: str) -> Any:
    """The `snakemake` object that a rule's script would see, for running the script by hand.

    rule: rule name; wildcards: its wildcards, as strings. Paths are relative to the
    repository's root, which becomes the working directory.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.dag import DAG
    from snakemake.jobs import Job
    from snakemake.script import Snakemake
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings

    root = Path(__file__).resolve().parents[3]
    os.chdir(root)
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow = api.workflow(
            ResourceSettings(cores=os.cpu_count()),
            config_settings=ConfigSettings(configfiles=[Path(path) for path in configfiles]),
            snakefile=root / "Snakefile",
        )._workflow
        workflow.dag_settings = DAGSettings()
        found = workflow.get_rule(rule)
        this = Job(found, DAG(workflow, rules=[found]), wildcards)
    for paths in (this.output, this.log):
        for path in paths:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
    return Snakemake(
        this.input,
        this.output,
        this.params,
        this.wildcards,
        this.threads,
        this.resources,
        this.log,
        workflow.config,
        this.rule.name,
        None,
    )
