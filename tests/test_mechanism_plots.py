"""Figures of helices, patches and progress measures: what they draw is the table that they were given."""

import numpy as np
import pandas as pd
import pytest
from fourier_addition.analysis.progress import progress_losses, progress_spectra
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis
from fourier_addition.plots.helix import plot_helix, plot_patches
from fourier_addition.plots.progress import plot_progress


def fits() -> pd.DataFrame:
    rows = [
        [name, layer, variable, part, 8, 0.1 * layer, -0.1, 0.0, 0.6]
        for name in ("one", "two")
        for layer in range(3)
        for variable in ("a", "answer")
        for part in ("helix", "linear")
    ]
    columns = ["name", "layer", "variable", "part", "dimension", "held_out", "null_low", "null_high", "pca"]
    return pd.DataFrame(rows, columns=columns)


def test_helices_have_a_panel_for_each_run_and_variable():
    figure, drawn = plot_helix(fits(), names={"one": "first run"})
    assert sorted(set(drawn["panel"])) == ["a", "b", "c", "d"] and len(drawn) == len(fits())
    assert figure.axes[0].get_title() == "first run: first operand"
    with pytest.raises(UserError, match="the helices lacks the column pca"):
        plot_helix(fits().drop(columns="pca"))


def test_patches_are_drawn_with_every_kind():
    kinds = ("state", "pca", "helix", "shuffled", "mean")
    table = pd.DataFrame({"kind": kinds * 2, "layer": np.repeat([0, 1], 5)})
    numbers = ("dimension", "examples", "logit_difference", "low", "high", "accuracy")
    table = table.assign(name="one", **dict.fromkeys(numbers, 0.5), accuracy_low=0.4, accuracy_high=0.6)
    figure, drawn = plot_patches(table)
    assert [ax.get_ylabel() for ax in figure.axes] == ["logit difference (nats)", "source's answer (%)"]
    assert set(drawn["kind"]) == set(kinds) and len(drawn) == 20


def test_progress_has_a_panel_for_losses_and_for_each_source():
    generator, basis = np.random.default_rng(0), fourier_basis(21)
    bands, analysis = {"key": [2, 5, 10], "control": [3, 7]}, {"average": "mean", "null_window": 3}
    losses, spectra = [], []
    for epoch in (0, 2):
        logits = generator.standard_normal((30, 21))
        losses += [
            progress_losses(logits, generator.integers(0, 21, 30), bands, basis).assign(
                name="one", epoch=epoch, split=split
            )
            for split in ("train", "test")
        ]
        found = progress_spectra(generator.standard_normal((21, 8)), {"mlp": logits}, bands, basis, analysis)
        spectra.append(found.assign(name="one", epoch=epoch))
    figure, drawn = plot_progress(pd.concat(losses), pd.concat(spectra))
    assert [ax.get_title() for ax in figure.axes] == ["loss", "embedding", "MLP"]
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["(a)", "(b)", "(c)"]
    # Prominences have one logarithmic scale.
    _, *places = figure.axes
    assert {ax.get_yscale() for ax in places} == {"log"} and len({ax.get_ylim() for ax in places}) == 1
    assert set(drawn.loc[drawn["panel"] == "a", "split"]) == {"test"}
    seen = drawn[(drawn["panel"] == "c") & (drawn["periods"] == "key")]
    assert sorted(set(seen["period"])) == [2, 5, 10] and set(seen["epoch"]) == {0, 2}
