"""Figures 4, 13, 14: Fourier components of the final logits as waves over the numbers."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.frame import save
from fourier_addition.plots.kinds.waves import DRAWINGS

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_waves", figure="figure-4")

with job(snakemake):
    draw = DRAWINGS[snakemake.params.kind]
    figure, drawn = draw(read_results(snakemake.input.items()), snakemake.params.options)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
