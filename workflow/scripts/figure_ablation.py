"""Filters and their controls: table 1 as a figure, sweeps over layers, cuts, periods, digit ranges."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.frame import save
from fourier_addition.plots.kinds.ablation import DRAWINGS

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_ablation", figure="ablation-controls")

with job(snakemake):
    draw = DRAWINGS[snakemake.params.kind]
    figure, drawn = draw(read_results(snakemake.input.items()), snakemake.params.options)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
