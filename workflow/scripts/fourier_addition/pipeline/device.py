"""Where a job computes: its device, its threads, and the deterministic algorithms.

These decide the last bits of a number, so the code digest holds this module.
"""

from __future__ import annotations

import os
import sys


def limit_threads(threads: int) -> None:
    """Keep numerical libraries to the rule's threads, whether imported before, as in a fork, or later."""
    for variable in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        os.environ.setdefault(variable, str(threads))
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    if "threadpoolctl" in sys.modules:
        sys.modules["threadpoolctl"].threadpool_limits(int(os.environ["OMP_NUM_THREADS"]))


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
