"""Fourier features of addition in language models (arXiv 2406.03445).

The science of the workflow, without Snakemake in it. Layers, lowest first; a
lower one never imports a higher one:

    errors, numbers, fourier, filters      numpy only
    storage, digest, config, tasks         files, tables, configuration
    sources, models, corpus                where weights and text come from
    training, capture, lens, embeddings,
    probes, ablation                       what is computed
    claims, plots                          what is shown
"""

__version__ = "0.1.0"
