"""The whole study of heads and neurons on a hand-built model: its tables name what was planted."""

import numpy as np
import pytest
from fourier_addition.ablation.unit_study import TABLES, unit_study
from fourier_addition.analysis.units import top_units
from fourier_addition.errors import UserError
from planted import NUMBERS, Planted, planted_model
from tiny import number_ids

UNITS = [
    Planted("attention", 0, 2, 10.0, 1.0),
    Planted("attention", 0, 1, 40.0, 0.5, peak=2.0),
    Planted("mlp", 0, 5, 10.0, 3e-4, peak=3.0, fires=3.0),
    Planted("mlp", 1, 7, 40.0, 2e-4, peak=15.0, fires=5.0),
]
SETTINGS = {
    "bands": ["low", {"periods": [10]}],
    "baseline": "mean",
    "counts": [1, 2, 64],
    "draws": 6,
    "modulus": 10,
    "shown": 1,
    "layers_at_once": 1,
    "batch_size": 8,
}
ANALYSIS = {"basis": "orthonormal", "cut": "component", "norm": "raw", "null_level": 0.95, "seed": 0}


def study(**changes):
    view = planted_model(UNITS, [10.0, 40.0], heads=6)
    answers = np.arange(30)
    encoded = view.encode([str(s) for s in answers])
    ids = number_ids(view.tokenizer, NUMBERS - 1)
    done = []
    tables = unit_study(
        view,
        encoded,
        answers,
        ids,
        SETTINGS | changes,
        ANALYSIS,
        3,
        progress=lambda layer, layers: done.append((layer, layers)),
    )
    assert done[-1] == (2, 2)
    return tables


@pytest.fixture(scope="module")
def tables():
    return study()


def test_the_table_names_what_was_planted(tables):
    assert tuple(tables) == TABLES
    top = top_units(tables["units"], tables["ranks"], top=1).set_index(["module", "band"])
    bands = list(dict.fromkeys(tables["ranks"]["band"]))
    assert bands[0] == "low" and len(bands) == 2
    found = {key: (int(row["layer"]), int(row["unit"])) for key, row in top.iterrows()}
    assert found == {
        ("attention", "low"): (0, 1),
        ("attention", bands[1]): (0, 2),
        ("mlp", "low"): (1, 7),
        ("mlp", bands[1]): (0, 5),
    }
    assert top.loc[("attention", bands[1]), "period"] == 10
    assert top.loc[("mlp", bands[1]), "lag"] == pytest.approx(0, abs=0.05)


def test_without_the_planted_head_the_last_digit_is_lost_and_the_magnitude_stays(tables):
    bands = list(dict.fromkeys(tables["ranks"]["band"]))
    rows = tables["knockouts"].set_index(["module", "layer", "band", "count"])
    digit = rows.loc[("attention", 0, bands[1], 1)]
    assert (digit["residue"], digit["magnitude"]) == (0, 1) and digit["residue_high"] < 0.2
    low = rows.loc[("attention", 0, "low", 1)]
    assert low["residue"] == 1 and low["magnitude"] < 0.5
    # layer 1 has no head, and random heads of it change nothing
    assert rows.loc[("attention", 1, "random", 1), "accuracy"] == 1
    assert rows.loc[("attention", 0, "random", 1), "draws"] == 6
    # every count up to the units, then all of them
    assert set(tables["knockouts"].query("module == 'attention'")["count"]) == {1, 2, 6}


def test_components_have_every_head_and_the_neurons_together(tables):
    table = tables["components"]
    assert len(table) == 2 * (6 + 1) * 20
    together = table[(table["module"] == "mlp") & (table["layer"] == 0)]
    assert together.loc[together["magnitude"].idxmax(), "period"] == 10


def test_layers_at_once_change_nothing_but_memory(tables):
    for name, other in study(layers_at_once=16).items():
        for column in tables[name]:
            if tables[name][column].dtype.kind == "f":
                np.testing.assert_allclose(other[column], tables[name][column], atol=1e-6, err_msg=column)


def test_a_band_that_the_numbers_do_not_have_is_refused():
    with pytest.raises(UserError, match=r"period 7\.5"):
        study(bands=[{"periods": [7.5]}])
