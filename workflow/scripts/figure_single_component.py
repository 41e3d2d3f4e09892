"""Figure 11: predictions when a single Fourier component is kept at every module."""

import pandas as pd
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.plots.single_component import plot_single_component
from fourier_addition.plots.theme import save

if "snakemake" not in globals():
    snakemake = mock_snakemake("figure_single_component", figure="figure-11")

with job(snakemake):
    options = snakemake.params.options
    table = pd.read_parquet(snakemake.input.table)
    kept = table[table["kind"] == "keep"].rename(columns={"value": "kept_period"})
    counts = kept.groupby(["kept_period", "answer", "prediction"]).size().reset_index(name="count")
    same = (kept["prediction"] % 2 == kept["answer"] % 2).groupby(kept["kept_period"]).mean()
    right = (kept["prediction"] == kept["answer"]).groupby(kept["kept_period"]).mean()
    facts = pd.concat(
        pd.DataFrame({"label": values.index, "name": name, "value": values.to_numpy()})
        for name, values in (("parity of the answer", same), ("exact", right))
    )
    figure, drawn = plot_single_component(counts, size=options["numbers"], facts=facts, note=options["note"])
    save(figure, drawn, snakemake.output.pdf.removesuffix(".pdf"))
