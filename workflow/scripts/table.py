"""Table 1, its conclusions under every reading, the accuracy of runs, or the answers of prompted ones."""

from fourier_addition.files.results import read_results
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.tables import write_table
from fourier_addition.tables.cells import MAKERS

if "snakemake" not in globals():
    snakemake = mock_snakemake("table", table="table-1")

with job(snakemake):
    make = MAKERS[snakemake.params.kind]
    cells = make(read_results(snakemake.input.items()), snakemake.params.names)
    for path in snakemake.output:
        write_table(cells, path)
