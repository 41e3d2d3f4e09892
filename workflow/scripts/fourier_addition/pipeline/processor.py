"""Which instructions of the processor jobs use: those that give the same numbers on other processors.

A library adds up in another order where a processor has wider registers, and training multiplies what
rounding leaves. So torch, its matrix libraries and NumPy are asked for AVX2, which nearly every x86-64
processor has, also where a processor has more. The libraries read these variables when they start, so they
are set before any job.
"""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping
from pathlib import Path

from fourier_addition.errors import UserError

SWITCH = "FOURIER_ADDITION_INSTRUCTIONS"
"""Environment variable: `avx2`, the default, or `native` for all that the processor has."""

AVX2 = {
    # torch's own loops, its activations, and its matrix products
    "ATEN_CPU_CAPABILITY": "avx2",
    "ONEDNN_MAX_CPU_ISA": "AVX2",
    "MKL_ENABLE_INSTRUCTIONS": "AVX2",
    # NumPy's and SciPy's matrix products, and NumPy's own loops
    "OPENBLAS_CORETYPE": "Haswell",
    "NPY_DISABLE_CPU_FEATURES": "X86_V4 AVX512_ICL AVX512_SPR",
}
"""What each library is told. A variable that is set already stays as it is."""

NEEDED = {"avx2", "fma", "bmi2"}
"""Flags of a processor that has all instructions of this set."""


def has_avx2(described: Path = Path("/proc/cpuinfo")) -> bool:
    """Whether the processor has AVX2. described: the system's description; False where there is none."""
    if not described.is_file():
        return False
    # The first processor's flags, without the lines of all the others
    with described.open(errors="replace") as lines:
        for line in lines:
            name, _, flags = line.partition(":")
            if name.strip() == "flags":
                return set(flags.split()) >= NEEDED
    return False


def choose_instructions(environment: MutableMapping[str, str], *, available: bool) -> None:
    """Set the variables for the jobs that inherit an environment.

    available: `has_avx2`. Without AVX2 what another machine has asked for is taken back: a job of a cluster
    inherits the environment of the machine that submitted it. Raises UserError for another word than the two.
    """
    wanted = environment.get(SWITCH, "avx2")
    if wanted not in ("avx2", "native"):
        raise UserError(f"{SWITCH} is {wanted!r}: it may be avx2 or native.")
    if wanted == "native":
        return
    for name, value in AVX2.items():
        if available:
            environment.setdefault(name, value)
        elif environment.get(name) == value:
            del environment[name]


def instructions(environment: Mapping[str, str]) -> str:
    """For a result's provenance: `avx2`, `native`, or `partly avx2` where a library was told otherwise."""
    asked = sum(environment.get(name) == value for name, value in AVX2.items())
    return {0: "native", len(AVX2): "avx2"}.get(asked, "partly avx2")
