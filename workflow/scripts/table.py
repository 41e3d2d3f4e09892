"""Table 1, its conclusions under every reading, the accuracy of runs, or the answers of prompted ones."""

from pathlib import Path

import pandas as pd
from fourier_addition.ablation.table1 import table1_cells, table1_of
from fourier_addition.analysis.accuracy import accuracies_of, accuracy_table, arms_table, by_run
from fourier_addition.analysis.prompted import prompted_table
from fourier_addition.api.summary import HEADINGS, api_table
from fourier_addition.files.manifests import read_json
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.tables import write_table

if "snakemake" not in globals():
    snakemake = mock_snakemake("table", table="table-1")


def ablation(path: str) -> dict:
    table = table1_of(pd.read_parquet(path))
    headings, rows = table1_cells(table)
    return {"table": table, "headings": headings, "rows": rows, "text_columns": 2}


def sensitivity(path: str) -> dict:
    table = pd.read_parquet(path)
    shares = table.groupby("conclusion", sort=False)["holds"].agg(["sum", "count"])
    rows = [[name, f"{int(row['sum'])} of {int(row['count'])}"] for name, row in shares.iterrows()]
    headings = ["Conclusion", "Readings in which it holds"]
    return {"table": table, "headings": headings, "rows": rows, "text_columns": 1}


def accuracy(paths: list[str]) -> dict:
    table = accuracy_table(accuracies_of(paths))
    rows = [
        [
            row.run,
            str(row.seeds),
            str(row.examples),
            f"{row.accuracy:.1%}",
            "-" if pd.isna(row.deviation) else f"{row.deviation:.1%}",
            f"{row.worst:.1%} to {row.best:.1%}",
            f"{row.within_2:.1%}",
            f"{row.within_10:.1%}",
        ]
        for row in by_run(table, "test").itertuples()
    ]
    headings = ["Run", "Seeds", "Test examples", "Exact", "Deviation", "Range", "Within 2", "Within 10"]
    return {"table": table, "headings": headings, "rows": rows, "text_columns": 1}


def arms(paths: list[str]) -> dict:
    results = accuracies_of([path for path in paths if path.endswith(".json")])
    histories = [pd.read_parquet(path) for path in paths if path.endswith(".parquet")]
    table = arms_table(results, dict(zip(results, histories, strict=True)))
    rows = [
        [
            row.run,
            str(row.seeds),
            f"{row.accuracy:.1%}",
            "-" if pd.isna(row.low) else f"{row.low:.1%} to {row.high:.1%}",
            f"{row.validation:.1%}",
            f"{row.reached} of {row.seeds}",
            "-" if pd.isna(row.epochs) else f"{row.epochs:g}",
        ]
        for row in table.itertuples()
    ]
    headings = [
        "Arm",
        "Seeds",
        "Test",
        "95 % interval over seeds",
        "Validation",
        "Reach 99 %",
        "Epochs to 99 %",
    ]
    return {"table": table, "headings": headings, "rows": rows, "text_columns": 1}


def share(count: int, of: int, value: float, low: float, high: float) -> str:
    return f"{value:.1%} ({low:.1%} to {high:.1%}; {int(count)} of {int(of)})" if of else "none"


def prompted(paths: list[str]) -> dict:
    table = prompted_table(accuracies_of(paths))
    names = ("accuracy", "unparsed", "multiples_of_10", "below_6", "even")
    rows = [
        [row["run"], str(row["seed"]), str(row["shots"])]
        + [
            share(*(row[f"{n}_{key}"] for key in ("count", "of")), row[n], row[f"{n}_low"], row[f"{n}_high"])
            for n in names
        ]
        for row in table.to_dict("records")
    ]
    headings = ["Run", "Seed", "Shots", "Exact", "No number", "Errors that are multiples of 10"]
    headings += ["Errors below 6", "Even errors"]
    return {"table": table, "headings": headings, "rows": rows, "text_columns": 1}


def api(paths: list[str]) -> dict:
    table, rows = api_table({Path(path).parent.name: read_json(path) for path in paths})
    return {"table": table, "headings": HEADINGS, "rows": rows, "text_columns": 1}


with job(snakemake):
    kind, inputs = snakemake.params.kind, list(snakemake.input)
    of_many = {"accuracy": accuracy, "arms": arms, "prompted": prompted, "api": api}
    if kind in of_many:
        made = of_many[kind](inputs)
    else:
        made = {"ablation": ablation, "sensitivity": sensitivity}[kind](inputs[0])
    table = made.pop("table")
    for path in snakemake.output:
        write_table(table, path, **made)
