"""Figure 11: predictions when a single Fourier component is kept at every module."""

from __future__ import annotations

import pandas as pd

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, only
from fourier_addition.plots.single_component import plot_single_component


def single_component(results: Results, options: Options) -> Drawn:
    """Prediction against answer for each period that was kept alone."""
    table = only(results, "predictions")
    kept = table[table["kind"] == "keep"].rename(columns={"value": "kept_period"})
    counts = kept.groupby(["kept_period", "answer", "prediction"]).size().reset_index(name="count")

    # Shares written into the panels: section 3.3 looks at the parity that period 2 leaves.
    same = (kept["prediction"] % 2 == kept["answer"] % 2).groupby(kept["kept_period"]).mean()
    right = (kept["prediction"] == kept["answer"]).groupby(kept["kept_period"]).mean()
    facts = pd.concat(
        pd.DataFrame({"label": values.index, "name": name, "value": values.to_numpy()})
        for name, values in (("parity of the answer", same), ("exact", right))
    )
    return plot_single_component(counts, size=options["numbers"], facts=facts, note=options["note"])


DRAWINGS: dict[str, Drawing] = {"single-component": single_component}
