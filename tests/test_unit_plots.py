"""Figures and the table of heads and neurons: what they draw is what they were given."""

import numpy as np
import pandas as pd
import pytest
from fourier_addition.errors import UserError
from fourier_addition.plots.frame import PaperFigure
from fourier_addition.plots.kinds.units import DRAWINGS
from fourier_addition.plots.units import _spacing
from fourier_addition.tables.cells import MAKERS

OPTIONS = {"note": "a miniature", "labels": {}}
BANDS = ("low", "high")


def components():
    rows = [
        (module, layer, unit, k, 20 / k, layer + unit + k, np.nan if unit < 0 else 0.05 * k)
        for module, units in (("attention", (0, 1, 2)), ("mlp", (-1,)))
        for layer in (0, 1)
        for unit in units
        for k in range(1, 11)
    ]
    columns = ["module", "layer", "unit", "component", "period", "magnitude", "alignment"]
    return pd.DataFrame(rows, columns=columns)


def ranks():
    rows = [
        (module, layer, band, n, (n + layer) % units, 2.0**-n, 2.0**-n, 1 - 2.0**-n)
        for module, units in (("attention", 4), ("mlp", 40))
        for layer in (0, 1)
        for band in BANDS
        for n in range(1, units + 1)
    ]
    columns = ["module", "layer", "band", "rank", "unit", "power", "share", "cumulative"]
    return pd.DataFrame(rows, columns=columns)


def activations():
    rows = [
        (band, rank, 10.0 * layer - rank, layer, rank + layer, s, 3, np.cos(s), np.sin(s), period, 0.5)
        for band, period in (("low", 20.0), ("high", 2.5))
        for layer in (0, 1)
        for rank in (1, 2)
        for s in range(20)
    ]
    columns = ["band", "rank", "power", "layer", "unit", "answer", "examples", "activation", "fitted"]
    return pd.DataFrame(rows, columns=[*columns, "period", "r2"])


def knocked():
    shares = {"accuracy": 0.5, "residue": 0.6, "magnitude": 0.7}
    rows = []
    for module, counts in (("attention", (1, 2)), ("mlp", (1, 4, 16))):
        for layer in (0, 1):
            for band in (*BANDS, "random"):
                for count in counts:
                    row = {"module": module, "layer": layer, "band": band, "count": count}
                    for name, value in shares.items():
                        row |= {name: value, f"{name}_low": value - 0.1, f"{name}_high": value + 0.1}
                    rows.append(row)
    return pd.DataFrame(rows)


GIVEN = {
    "head-spectra": ("components", components),
    "unit-concentration": ("ranks", ranks),
    "neuron-activations": ("activations", activations),
    "head-ablation": ("knockouts", knocked),
    "neuron-ablation": ("knockouts", knocked),
}


def test_every_kind_has_a_table_here():
    assert set(GIVEN) == set(DRAWINGS)


@pytest.mark.parametrize("kind", GIVEN)
def test_a_figure_draws_what_it_is_given(kind):
    name, make = GIVEN[kind]
    figure, drawn = DRAWINGS[kind]({name: [make()]}, OPTIONS)
    assert isinstance(figure, PaperFigure) and len(drawn)
    texts = [text.get_text() for text in figure.findobj(lambda artist: hasattr(artist, "get_text"))]
    assert any("miniature" in text for text in texts)
    table = make()
    if kind == "head-spectra":
        assert len(drawn[drawn["panel"] == "a"]) == len(table)
        assert (drawn.loc[drawn["panel"] == "b", "module"] == "attention").all()
        assert {"0.0", "1.2", "MLP 1"} <= set(texts)
    if kind == "unit-concentration":
        assert len(drawn) == len(table)
        lines = [line for ax in figure.axes for line in ax.lines if len(line.get_xdata()) == 40]
        assert len(lines) == 4 and lines[0].get_ydata()[0] == pytest.approx(50)
    if kind == "neuron-activations":
        # the largest power first: layer 1 before layer 0, rank 1 before rank 2
        names = [ax.get_title(loc="right").split("\n")[0] for ax in figure.axes[:2]]
        assert names == ["layer 1, neuron 2", "layer 1, neuron 3"]
        assert any("period 2.5, R² 0.50" in text for text in texts)
    if kind.endswith("ablation"):
        module = "attention" if kind == "head-ablation" else "mlp"
        assert len(drawn) == 3 * (table["module"] == module).sum()
        assert set(drawn["outcome"]) == {"accuracy", "residue", "magnitude"}
        assert drawn.loc[drawn["outcome"] == "residue", "low"].unique() == pytest.approx([0.5])


@pytest.mark.parametrize("kind", GIVEN)
def test_a_missing_column_is_named(kind):
    name, make = GIVEN[kind]
    with pytest.raises(UserError, match="lacks the column layer"):
        DRAWINGS[kind]({name: [make().rename(columns={"layer": "depth"})]}, OPTIONS)


def test_the_table_lists_the_top_units_of_each_band_over_all_layers():
    units = ranks()[["module", "layer", "unit"]].drop_duplicates()
    units = units.assign(
        period=10.0,
        share_of_unit=0.5,
        alignment=0.9,
        offset=-1.0,
        r2=0.4,
        lag=np.where(units["layer"], 2.0, np.nan),
    )
    cells = MAKERS["units"]({"units": [units], "ranks": [ranks()]}, [("run", 0)])
    assert len(cells.rows) == 4 * 5 and len(cells.headings) == len(cells.rows[0])
    first = cells.table.groupby(["module", "band"], sort=False).head(2)
    assert (first["band_power"] == 0.5).all() and (first["share"] == 0.5).all()
    assert cells.rows[0][:6] == ["attention", "low", "0.1", "50.0%", "10", "50%"]
    assert {row[-1] for row in cells.rows} == {"-", "+2.0"}


@pytest.mark.parametrize(
    ("period", "spacing"), [(100.0, 1), (8.0, 1), (2.0, 2), (2.04, 2), (2.5, 5), (3.3333, 10), (5.0, 5)]
)
def test_short_waves_are_joined_over_answers_at_which_they_change_little(period, spacing):
    assert _spacing(period) == spacing
    steps = np.cos(2 * np.pi * np.arange(0, 20 * spacing, spacing) / period)
    assert np.abs(np.diff(steps)).max() < 0.8


def test_even_and_odd_answers_are_told_apart_where_the_wave_is():
    table = activations().assign(period=2.0)
    figure, _ = DRAWINGS["neuron-activations"]({"activations": [table]}, OPTIONS)
    assert [text.get_text() for text in figure.legends[0].get_texts()][:2] == ["even answers", "odd answers"]
    dots = [line for line in figure.axes[0].lines if line.get_marker() == "o"]
    assert [set(np.asarray(line.get_xdata()) % 2) for line in dots] == [{0}, {1}]
    assert dots[0].get_markerfacecolor() != dots[1].get_markerfacecolor()
