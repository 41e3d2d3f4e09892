"""Causal ablations: Fourier bands filtered out of module outputs (section 4.2 of the paper)."""

from fourier_addition.ablation.conditions import (
    Condition,
    Readout,
    control_conditions,
    keep_only_conditions,
    layer_sweep,
    period_sweep,
    table1_conditions,
    tau_sweep,
    unfiltered,
)
from fourier_addition.ablation.run import run_conditions

__all__ = [
    "Condition",
    "Readout",
    "control_conditions",
    "keep_only_conditions",
    "layer_sweep",
    "period_sweep",
    "run_conditions",
    "table1_conditions",
    "tau_sweep",
    "unfiltered",
]
