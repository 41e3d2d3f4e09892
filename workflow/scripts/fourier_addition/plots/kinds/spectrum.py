"""Figures 2, 3, 6, 8 to 10, 16, 18, 19: spectra of module logits."""

from __future__ import annotations

from fourier_addition.plots.kinds.drawing import Drawing, Drawn, Options, Results, chosen, joined, only
from fourier_addition.plots.panels import chosen_layers
from fourier_addition.plots.spectrum import plot_mean_spectra, plot_spectrum


def example_spectrum(results: Results, options: Options) -> Drawn:
    """Spectra of the running example at the chosen layers, or at the last ones."""
    table = only(results, "spectra")
    return plot_spectrum(
        table,
        panels=chosen_layers(table, options.get("layer")),
        top=options.get("top", 10),
        tau=options["tau"],
        max_component=chosen(options, "max_component"),
        note=options["note"],
    )


def mean_spectra(results: Results, options: Options) -> Drawn:
    """Spectra averaged over examples."""
    return plot_mean_spectra(
        only(results, "spectra"),
        layers=chosen(options, "layers"),
        max_component=chosen(options, "max_component"),
        note=options["note"],
    )


def number_spectrum(results: Results, options: Options) -> Drawn:
    """Spectrum of the final logits of numbers of several tokens, averaged over examples."""
    return plot_mean_spectra(
        only(results, "spectra"),
        max_component=chosen(options, "max_component"),
        modules=("final",),
        note=options["note"],
    )


def low_spectra(results: Results, options: Options) -> Drawn:
    """Spectra averaged over examples, up to the cut tau unless the figure says otherwise."""
    return mean_spectra(
        results, {**options, "max_component": chosen(options, "max_component") or options["tau"]}
    )


def spectra_comparison(results: Results, options: Options) -> Drawn:
    """Spectra averaged over examples, a row of panels for each run."""
    labels = options["labels"]
    return plot_mean_spectra(
        joined(results["spectra"], list(labels), "run"),
        layers=chosen(options, "layers"),
        max_component=chosen(options, "max_component"),
        run_labels=labels,
        note=options["note"],
    )


DRAWINGS: dict[str, Drawing] = {
    "example-spectrum": example_spectrum,
    "mean-spectra": mean_spectra,
    "low-spectra": low_spectra,
    "number-spectrum": number_spectrum,
    "spectra-comparison": spectra_comparison,
}
