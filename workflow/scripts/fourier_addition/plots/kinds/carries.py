"""Accuracy of prompted runs by the number of carries in the sum."""

from __future__ import annotations

from fourier_addition.analysis.carries import accuracy_by_carries
from fourier_addition.plots.carries import plot_carries
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, joined


def carries(results: Results, options: Options) -> Drawn:
    """A curve for each run."""
    tables = [accuracy_by_carries(answers) for answers in results["answers"]]
    return plot_carries(
        joined(tables, options["names"], "name"), names=options["labels"], note=options["note"]
    )


DRAWINGS: dict[str, Drawing] = {"carries": carries}
