"""Fourier features of addition in language models (arXiv 2406.03445).

The rooms, in the order of the stages; CONTRIBUTING.md has the table from the paper to the code:

    numbers, fourier, filters, tasks,      the science without a model; numpy only
    intervals, answers, modules, tables
    files, sources                         files written whole or not at all; where weights come from
    models                                 one view of any transformer
    training, capture, analysis,           what is computed
    ablation, api
    claims, plots                          what is shown
    library                                models in memory in, tables and figures out
    pipeline                               Snakemake, the configuration, paths of results

A lower room never imports a higher one, and no room imports `pipeline`. `library/names.py` lists the public
names; each is loaded when it is first asked for.
"""

from fourier_addition.library.names import __dir__ as __dir__
from fourier_addition.library.names import __getattr__ as __getattr__

__version__ = "0.2.0"
