"""The paper's claims against this study: confirmed, refuted, undecided or not tested."""

from fourier_addition.claims.evidence import Evidence
from fourier_addition.claims.table import claim_cells, claims_table
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.tables import TableCells, write_table

if "snakemake" not in globals():
    snakemake = mock_snakemake("claims", table="claims")

with job(snakemake) as log:
    params = snakemake.params
    files = {
        name: [paths] if isinstance(paths, str) else list(paths) for name, paths in snakemake.input.items()
    }
    table = claims_table(Evidence(files, params.runs, params.labels, params.settings, params.models))
    for verdict, count in table["verdict"].value_counts().items():
        log.info("%s: %d", verdict, count)
    headings, rows = claim_cells(table)
    for path in snakemake.output:
        write_table(TableCells(table, headings, rows, text_columns=len(headings)), path)
