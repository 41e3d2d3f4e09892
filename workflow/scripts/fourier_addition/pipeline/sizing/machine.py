"""What jobs run on, and what one job takes there."""

from __future__ import annotations

import math
from dataclasses import dataclass

MB = 10**6

BASES = {"table": 200, "figure": 260, "torch": 510}
"""Peak resident MB of the smallest study's jobs by what they import: measured with getrusage."""

GPU_CONTEXT, GPU_HOST = 700, 2500
"""MB that a CUDA context takes on the GPU, and CUDA's libraries on the host: assumed, not measured."""


@dataclass(frozen=True)
class Machine:
    """Speeds of what jobs run on, chosen low: real machines exceed every one of them.

    gpu_flops: sustained floating point operations a second of a GPU. gpu_bandwidth: bytes a second of
    its memory. gpu_memory: MB of one GPU. cpu_flops: a second, of one thread. disk: bytes a second.
    startup: minutes until a job computes, imports included. gpu: whether there is any GPU.
    """

    gpu_flops: float = 8e12
    gpu_bandwidth: float = 6e11
    gpu_memory: int = 80_000
    cpu_flops: float = 4e10
    disk: float = 2e8
    startup: float = 1.0
    gpu: bool = True


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
