"""Helices in the residual stream, and what patching them in does, by layer."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.frame import save
from fourier_addition.plots.kinds.helix import DRAWINGS

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_helix", figure="helix")

with job(snakemake):
    draw = DRAWINGS[snakemake.params.kind]
    figure, drawn = draw(read_results(snakemake.input.items()), snakemake.params.options)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
