"""What jobs run on, and what one job takes there."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

MB = 10**6

BASES = {"table": 200, "figure": 260, "torch": 510}
"""Peak resident MB of the smallest study's jobs by what they import: measured with getrusage."""

GPU_CONTEXT, GPU_HOST = 700, 2500
"""MB that a CUDA context takes on the GPU, and CUDA's libraries on the host: assumed, not measured."""

CUDA_BUILD = 350
"""MB that torch's CUDA build takes on a host beyond the CPU build, without touching a GPU: measured."""


@dataclass(frozen=True)
class Machine:
    """Speeds of what jobs run on, chosen low: real machines exceed every one of them.

    gpu_flops: sustained floating point operations a second of a GPU. gpu_bandwidth: bytes a second of
    its memory. gpu_memory: MB of one GPU. cpu_flops: a second, of one thread. disk: bytes a second.
    startup: minutes until a job computes, imports included. gpu: whether there is any GPU.
    cuda_build: whether torch is a CUDA build, which takes more memory without a GPU too.
    """

    gpu_flops: float = 8e12
    gpu_bandwidth: float = 6e11
    gpu_memory: int = 80_000
    cpu_flops: float = 4e10
    disk: float = 2e8
    startup: float = 1.0
    gpu: bool = True
    cuda_build: bool = False

    @property
    def torch_host(self) -> int:
        """MB of the host that a job with torch takes before its own arrays."""
        cuda = GPU_HOST if self.gpu else CUDA_BUILD * self.cuda_build
        return BASES["torch"] + cuda


def is_cuda_build() -> bool:
    """Whether the installed torch is a CUDA build, without importing torch; jobs may have another one."""
    try:
        return sys.platform == "linux" and "+cpu" not in version("torch")
    except PackageNotFoundError:
        # Each rule has an environment of its own then, with what the package registry gives.
        return sys.platform == "linux"


ASSUMED = Machine()
"""The machine of every estimate that is not asked for another one."""


@dataclass(frozen=True)
class Estimate:
    """What a job is expected to take: MB of host and GPU memory, GPUs, minutes, bytes written."""

    host: float
    minutes: float
    gpu_memory: float = 0.0
    gpus: int = 0
    written: float = 0.0

    def resources(self) -> dict[str, int]:
        """What to ask a scheduler for: a quarter more memory than expected, twice the minutes.

        mem_mb (a multiple of 100), gpu, gpu_mem_mb (of all its GPUs) and runtime (minutes, a multiple
        of 10, so that no job is ended for being slow at starting).
        """
        return {
            "mem_mb": 100 * math.ceil(1.25 * self.host / 100),
            "gpu": self.gpus,
            "gpu_mem_mb": 100 * math.ceil(1.25 * self.gpu_memory / 100),
            "runtime": 10 * math.ceil(2 * self.minutes / 10),
        }
