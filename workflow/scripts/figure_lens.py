"""Figure 1a: logit-lens accuracy by layer."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.frame import save
from fourier_addition.plots.kinds.lens import DRAWINGS

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_lens", figure="figure-1a")

with job(snakemake):
    draw = DRAWINGS[snakemake.params.kind]
    figure, drawn = draw(read_results(snakemake.input.items()), snakemake.params.options)
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
