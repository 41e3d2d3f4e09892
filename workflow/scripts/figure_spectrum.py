"""Figures 2, 3, 6, 8 to 10, 16, 18, 19: spectra of module logits."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.frame import save
from fourier_addition.plots.kinds.spectrum import DRAWINGS

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_spectrum", figure="figure-3")

with job(snakemake):
    draw = DRAWINGS[snakemake.params.kind]
    figure, drawn = draw(read_results(snakemake.input.items()), snakemake.params.options)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
