"""Causal ablations: Fourier bands filtered out of module outputs (section 4.2 of the paper)."""
