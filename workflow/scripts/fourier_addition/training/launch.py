"""Several processes that train one run together (`processes`), each with its own GPU or its own core.

PyTorch's launcher starts this module once a process; each process computes its part of every batch
(`parallel.py`), and they talk through Accelerate.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import signal
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from fourier_addition.errors import UserError
from fourier_addition.training.run import TrainingJob, train_run

logger = logging.getLogger(__name__)


def launch(job: TrainingJob, processes: int) -> None:
    """Run a job in several processes. Raises UserError with the sentence of one that failed."""
    with tempfile.TemporaryDirectory() as folder:
        described = Path(folder) / "job.json"
        described.write_text(job.to_json())

        # The processes import the package from here, wherever it lies.
        command = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
        command += [f"--nproc-per-node={processes}", "-m", "fourier_addition.training.launch", str(described)]
        package = str(Path(__file__).resolve().parents[2])
        paths = os.pathsep.join(filter(None, [package, os.environ.get("PYTHONPATH")]))

        # What the processes print goes to this job's log as it comes.
        with subprocess.Popen(
            command,
            env={**os.environ, "PYTHONPATH": paths},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            preexec_fn=_end_with_the_job,
        ) as running:
            assert running.stdout is not None
            for line in running.stdout:
                logger.info("%s", line.rstrip())

        # A process that refused left its sentence beside the job.
        if running.returncode:
            sentences = sorted(Path(folder).glob("sentence-*"))
            raise UserError(
                sentences[0].read_text()
                if sentences
                else f"One of {processes} training processes failed; the log has its last words."
            )


def _end_with_the_job() -> None:
    """Have the kernel end the launcher, and the launcher its processes, when the job is killed (Linux)."""
    with contextlib.suppress(OSError, AttributeError):
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGTERM)


def main(described: str) -> None:
    """One of several processes. described: file of the job that `launch` wrote."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    job = TrainingJob.from_json(Path(described).read_text())
    rank = os.environ["RANK"]
    if job.device == "cuda":
        job = replace(job, device=f"cuda:{os.environ['LOCAL_RANK']}")
    try:
        train_run(job)
    except UserError as error:
        Path(described).with_name(f"sentence-{rank}").write_text(str(error))
        raise SystemExit(1) from None


if __name__ == "__main__":
    main(sys.argv[1])
