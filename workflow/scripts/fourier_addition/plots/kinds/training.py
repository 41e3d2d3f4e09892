"""Figure 7b: validation accuracy by epoch for every arm of training; or the arms' final accuracy."""

from __future__ import annotations

from fourier_addition.analysis.accuracy import accuracy_table
from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results
from fourier_addition.plots.training import histories_of_arms, plot_final_accuracy, plot_training


def training(results: Results, options: Options) -> Drawn:
    """Accuracy by epoch, mean and deviation over the seeds of each arm."""
    table = histories_of_arms(results["histories"], options["instances"], options["labels"])
    return plot_training(table, note=options["note"])


def arms(results: Results, options: Options) -> Drawn:
    """Test accuracy after training, a dot with its interval for each seed of each arm."""
    instances = map(tuple, options["instances"])
    table = accuracy_table(dict(zip(instances, results["accuracies"], strict=True)))
    table = table[table["split"] == "test"].assign(arm=table["run"].map(options["labels"]))
    return plot_final_accuracy(table, xlabel="test accuracy (%)", note=options["note"])


DRAWINGS: dict[str, Drawing] = {"training": training, "arms": arms}
