"""Heads and neurons: what they write, how few hold a band, what neurons follow, what is lost without them."""

from __future__ import annotations

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, chosen, only
from fourier_addition.plots.unit_ablation import plot_unit_ablation
from fourier_addition.plots.units import plot_activations, plot_concentration, plot_head_spectra


def head_spectra(results: Results, options: Options) -> Drawn:
    """What every head writes, and how far it turns with the answer."""
    return plot_head_spectra(
        only(results, "components"),
        layers=chosen(options, "layers"),
        max_component=chosen(options, "max_component"),
        note=options["note"],
    )


def unit_concentration(results: Results, options: Options) -> Drawn:
    """Share of a band's power in the top heads and neurons."""
    return plot_concentration(only(results, "ranks"), layers=chosen(options, "layers"), note=options["note"])


def neuron_activations(results: Results, options: Options) -> Drawn:
    """Activations of the top neurons of each band."""
    return plot_activations(only(results, "activations"), top=options.get("top", 4), note=options["note"])


def head_ablation(results: Results, options: Options) -> Drawn:
    """Answers without the top heads of a layer."""
    table = only(results, "knockouts")
    table = table[table["module"] == "attention"]
    return plot_unit_ablation(table, unit="head", layers=chosen(options, "layers") or 4, note=options["note"])


def neuron_ablation(results: Results, options: Options) -> Drawn:
    """Answers without the top neurons of a layer."""
    table = only(results, "knockouts")
    table = table[table["module"] == "mlp"]
    return plot_unit_ablation(
        table, unit="neuron", layers=chosen(options, "layers") or 4, note=options["note"]
    )


DRAWINGS: dict[str, Drawing] = {
    "head-spectra": head_spectra,
    "unit-concentration": unit_concentration,
    "neuron-activations": neuron_activations,
    "head-ablation": head_ablation,
    "neuron-ablation": neuron_ablation,
}
