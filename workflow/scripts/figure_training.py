"""Figure 7b: validation accuracy by epoch for every arm of training; or the arms' final accuracy."""

import pandas as pd
from fourier_addition.analysis.accuracy import accuracies_of, accuracy_table
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.theme import save
from fourier_addition.plots.training import arms, plot_final_accuracy, plot_training

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_training", figure="figure-7b")

with job(snakemake):
    options = snakemake.params.options
    if snakemake.params.kind == "arms":
        table = accuracy_table(accuracies_of(snakemake.input.accuracies))
        table = table[table["split"] == "test"].assign(arm=table["run"].map(options["labels"]))
        figure, drawn = plot_final_accuracy(table, xlabel="test accuracy (%)", note=options["note"])
    else:
        table = arms(map(pd.read_parquet, snakemake.input.histories), options["labels"])
        figure, drawn = plot_training(table, note=options["note"])
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
