"""Causal ablations: Fourier bands filtered out of module outputs (table 1 of the paper)."""
