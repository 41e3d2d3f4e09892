"""The public names of `fourier_addition`, each loaded when it is first asked for.

`import fourier_addition` loads nothing else: torch, transformers and matplotlib come with the names that
need them. No job asks for a name here, so the digest of the code passes over this file.
"""

from __future__ import annotations

import importlib
from typing import Any

PUBLIC: dict[str, str] = {
    # Numbers and their Fourier basis, without a model.
    "UserError": "errors",
    "NumberSpace": "numbers",
    "FourierBasis": "fourier",
    "fourier_basis": "fourier",
    "spectrum": "fourier",
    "coefficients": "fourier",
    # A model in memory.
    "number_space": "library.embeddings",
    "number_rows": "library.embeddings",
    "number_spectrum": "library.embeddings",
    "module_outputs": "library.modules",
    "module_spectra": "library.modules",
    "ModelView": "models.view",
    "wrap": "models.loading",
    "load_model": "models.loading",
    # Filters and interventions; `interventions` is a module of its own.
    "Filter": "filters",
    "removal_basis": "filters",
    "low_components": "fourier",
    "high_components": "fourier",
    "Planes": "interventions",
    "planes_of": "interventions",
    "number_filter": "library.interventions",
    "number_planes": "library.interventions",
    "number_logits": "library.interventions",
    # Probes of n mod T.
    "probe_table": "analysis.probes",
    # A model from elsewhere, and the default study's miniature.
    "fetch_model": "library.sources",
    "pretrain_miniature": "library.miniature",
    "examples_of": "library.miniature",
    "finetune": "library.miniature",
    "accuracy_of": "library.miniature",
    # Results of a study.
    "open_capture": "capture.dataset",
    "read_number_rows": "capture.dataset",
    # Figures.
    "plot_number_spectrum": "library.figures",
    "plot_module_spectra": "library.figures",
}
"""Public name -> the module below `fourier_addition` that defines it."""
MODULES = ("interventions",)
"""Modules that are public as they are."""


def __getattr__(name: str) -> Any:
    """A public name, loaded now. Raises AttributeError for any other name."""
    if name in MODULES:
        return importlib.import_module(f"fourier_addition.{name}")
    if name in PUBLIC:
        return getattr(importlib.import_module(f"fourier_addition.{PUBLIC[name]}"), name)
    raise AttributeError(f"module 'fourier_addition' has no attribute '{name}'")


def __dir__() -> list[str]:
    """Every public name."""
    return sorted([*PUBLIC, *MODULES, "__version__"])
