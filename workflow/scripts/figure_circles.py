"""Circles at named positions: R2 by layer and period, the sum by depth, what modules add."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.frame import save
from fourier_addition.plots.kinds.circles import DRAWINGS

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_circles", figure="smollm2-circles")

with job(snakemake):
    draw = DRAWINGS[snakemake.params.kind]
    figure, drawn = draw(read_results(snakemake.input.items()), snakemake.params.options)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
