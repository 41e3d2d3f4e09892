"""Statistics of ablations, table 1 in its formats, and the sensitivity of its conclusions."""

import numpy as np
import pandas as pd
import pytest
import scipy.stats
import xarray as xr
from fourier_addition import intervals
from fourier_addition.ablation.conditions import control_conditions, table1_conditions
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.sensitivity import (
    Examples,
    conclusions,
    readings,
    sensitivity,
    tables_by_reading,
)
from fourier_addition.ablation.statistics import (
    control_summary,
    summary,
    table1,
)
from fourier_addition.ablation.table1 import COLUMNS, MODULE_WORDS, table1_cells
from fourier_addition.analysis.mistakes import error_counts, error_facts
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis
from fourier_addition.intervals import bootstrap_interval
from fourier_addition.modules import FILTERED
from fourier_addition.tables import TableCells, write_table
from tiny import number_ids, tiny_model

SETTINGS = {"seed": 0, "resamples": 500}


def made_up(draws=4, examples=50):
    """A dataset of two rows of table 1 and a control, with known accuracies."""
    answer = np.arange(examples)
    accuracy = [1.0, 0.5, *np.linspace(0.6, 0.9, draws)]
    prediction = np.stack(
        [np.where(np.arange(examples) < a * examples, answer, answer + 10) for a in accuracy]
    )
    names = ["unfiltered", "both-low", *(f"both-low/subspace-{n:02d}" for n in range(draws))]
    columns = {
        "condition": names,
        "kind": ["table", "table", *["subspace"] * draws],
        "band": ["none", "low", *["random subspace of rank 6"] * draws],
        "module": ["none", *["both"] * (1 + draws)],
        "rank": [0, *[6] * (1 + draws)],
        "draw": [-1, -1, *range(draws)],
        "control_of": ["", "", *["both-low"] * draws],
    }
    loss = np.stack([np.full(examples, 1.0 + n) for n in range(len(names))]).astype(np.float32)
    dims = ("condition", "example")
    return xr.Dataset(
        {"prediction": (dims, prediction.astype(np.int32)), "loss": (dims, loss)},
        coords={name: ("condition", values) for name, values in columns.items()}
        | {"answer": ("example", answer)},
    )


class TestBootstrap:
    def test_interval_is_that_of_the_binomial(self):
        values = np.arange(400) < 300
        low, high = bootstrap_interval(values, seed=0, resamples=4000)
        expected = scipy.stats.binom(400, 0.75).ppf([0.025, 0.975]) / 400
        assert np.allclose([low, high], expected, atol=0.006)

    def test_level_seed_and_shape(self):
        values = np.random.default_rng(0).exponential(size=(2, 3, 100))
        low, high = bootstrap_interval(values, **SETTINGS)
        assert low.shape == high.shape == (2, 3)
        assert (low < values.mean(-1)).all() and (values.mean(-1) < high).all()
        assert np.array_equal(low, bootstrap_interval(values, **SETTINGS)[0])
        assert not np.array_equal(low, bootstrap_interval(values, seed=1, resamples=500)[0])
        narrow = bootstrap_interval(values, level=0.5, **SETTINGS)
        assert (narrow[0] > low).all() and (narrow[1] < high).all()

    def test_resamples_in_blocks_are_those_that_are_kept_whole(self, monkeypatch):
        values = np.random.default_rng(3).normal(size=(4, 30))
        whole = bootstrap_interval(values, **SETTINGS)
        monkeypatch.setattr(intervals, "_BLOCK", 30 * 7)
        assert np.allclose(bootstrap_interval(values, **SETTINGS), whole, rtol=1e-12)

    def test_rows_are_resampled_alike(self):
        values = np.random.default_rng(0).normal(size=100)
        low, _ = bootstrap_interval(np.stack([values, values + 1]), **SETTINGS)
        assert low[1] - low[0] == pytest.approx(1)

    @pytest.mark.parametrize(("examples", "resamples", "level"), [(0, 10, 0.9), (5, 0, 0.9), (5, 10, 1.0)])
    def test_bad_arguments_are_refused(self, examples, resamples, level):
        with pytest.raises(UserError, match="bootstrap"):
            bootstrap_interval(np.zeros(examples), seed=0, resamples=resamples, level=level)


class TestTable1:
    def test_rows_and_columns(self):
        table = table1(made_up(), **SETTINGS)
        assert tuple(table.columns) == COLUMNS
        assert table["module"].tolist() == ["none", "both"] and table["band"].tolist() == ["none", "low"]
        assert table["accuracy"].tolist() == [1.0, 0.5] and table["loss"].tolist() == [1.0, 2.0]
        assert table["accuracy_low"][1] < 0.5 < table["accuracy_high"][1]
        assert table["examples"].tolist() == [50, 50]

    def test_control_columns_are_over_draws(self):
        table = table1(made_up(), **SETTINGS)
        drawn = np.linspace(0.6, 0.9, 4)
        assert table["control_accuracy_mean"][1] == pytest.approx(drawn.mean())
        assert table["control_accuracy_low"][1] == pytest.approx(np.quantile(drawn, 0.025))
        assert table["control_accuracy_high"][1] == pytest.approx(np.quantile(drawn, 0.975))
        assert table["control_loss_mean"][1] == pytest.approx(4.5)
        assert table.filter(like="control_").loc[0].isna().all()
        assert control_summary(made_up()).loc[0, "draws"] == 4

    def test_without_controls_and_without_rows(self):
        dataset = made_up()
        table = table1(dataset.isel(condition=[0, 1]), **SETTINGS)
        assert tuple(table.columns) == COLUMNS and table.filter(like="control_").isna().all(axis=None)
        with pytest.raises(UserError, match="table 1"):
            table1(dataset.isel(condition=[2, 3]), **SETTINGS)

    def test_summary_has_a_row_for_each_condition(self):
        table = summary(made_up(), **SETTINGS)
        assert len(table) == 6 and table["draw"].tolist() == [-1, -1, 0, 1, 2, 3]

    def test_table_has_a_word_for_every_module(self):
        assert set(MODULE_WORDS) == {"none", *FILTERED}

    def test_formats(self, tmp_path):
        table = table1(made_up(), **SETTINGS)
        headings, rows = table1_cells(table)
        for suffix in ("csv", "md", "tex"):
            path = tmp_path / f"table1.{suffix}"
            write_table(TableCells(table, headings, rows, text_columns=2), path)
        back = pd.read_csv(tmp_path / "table1.csv", keep_default_na=False, na_values=[""])
        pd.testing.assert_frame_equal(back, table, check_dtype=False)
        lines = (tmp_path / "table1.md").read_text().splitlines()
        assert len(lines) == 4 and len({line.count("|") for line in lines}) == 1
        assert "| attention and MLP | low | 6 | 2.0000 [2.0000, 2.0000] | 4.5000" in lines[3]
        assert lines[2].endswith("| - | 1.0000 [1.0000, 1.0000] | - |")
        latex = (tmp_path / "table1.tex").read_text()
        assert latex.count("&") == 3 * 6 and latex.count(r"\\") == 3
        with pytest.raises(UserError, match=r"\.csv, \.md or \.tex"):
            write_table(TableCells(table, headings, rows, text_columns=2), tmp_path / "table1.xlsx")


class TestErrors:
    answer = np.array([10, 20, 30, 40, 50])

    def errors(self, *prediction):
        """A table of errors; -1 is an answer that is no number."""
        prediction = np.array(prediction, float)
        return pd.DataFrame({"error": np.where(prediction < 0, np.nan, prediction - self.answer)})

    def test_counts(self):
        found = error_counts(self.errors(10, 30, 40, 35, -1), "x")
        assert found["error"].tolist() == [-5, 0, 10] and found["count"].tolist() == [1, 1, 2]

    def test_facts(self):
        found = error_facts(self.errors(10, 30, 10, 35, -1), "x").set_index("name")["value"]
        assert found["accuracy"] == pytest.approx(1 / 5)
        assert found["answers that are no number"] == pytest.approx(1 / 5)
        assert found["errors that are multiples of 10"] == pytest.approx(2 / 3)
        assert found["errors below 6"] == pytest.approx(1 / 3)

    def test_facts_without_errors(self):
        found = error_facts(self.errors(*self.answer), "x")
        assert found["name"].tolist() == ["accuracy"] and found["value"].tolist() == [1.0]


def paper_table(**accuracy):
    """The paper's table 1, by row; `accuracy` overrides cells."""
    cells = {
        "none_none": 0.9974,
        "both_low": 0.0594,
        "attention_low": 0.9912,
        "mlp_low": 0.3589,
        "both_high": 0.2708,
        "attention_high": 0.7836,
        "mlp_high": 0.9810,
    } | accuracy
    rows = [(*name.split("_"), value, np.nan) for name, value in cells.items()]
    return pd.DataFrame(rows, columns=["module", "band", "accuracy", "control_accuracy_mean"])


THRESHOLDS = {"unharmed": 0.05, "harmed": 0.1}


class TestConclusions:
    def test_all_hold_in_the_papers_table(self):
        found = conclusions(paper_table(), **THRESHOLDS)
        assert found["holds"].tolist() == [True] * 5
        lost = found.set_index("conclusion")["lost"]
        assert lost["both bands are needed"] == pytest.approx(1 - 0.2708 / 0.9974)

    @pytest.mark.parametrize(
        ("cell", "value", "fails"),
        [
            ("attention_low", 0.90, "attention does not need low frequencies"),
            ("attention_high", 0.95, "attention needs high frequencies"),
            ("mlp_low", 0.97, "MLPs need low frequencies"),
            ("mlp_high", 0.80, "MLPs hardly need high frequencies"),
            ("both_high", 0.99, "both bands are needed"),
        ],
    )
    def test_each_rests_on_its_rows(self, cell, value, fails):
        found = conclusions(paper_table(**{cell: value}), **THRESHOLDS).set_index("conclusion")["holds"]
        assert found[~found].index.tolist() == [fails]

    def test_nothing_follows_from_a_model_that_cannot_add(self):
        found = conclusions(paper_table(none_none=0.0), **THRESHOLDS)
        assert found["holds"].isna().all()
        with pytest.raises(UserError, match="unharmed <= harmed"):
            conclusions(paper_table(), unharmed=0.2, harmed=0.1)


GRID = {
    "answer": ["bare"],
    "basis": ["paper", "orthonormal"],
    "cut": ["component"],
    "norm": ["raw", "folded"],
    "positions": ["last", "all"],
    "prediction": ["numbers"],
}


class TestSensitivity:
    def given(self, family="gpt2"):
        view = tiny_model(family, layers=2)
        ids = np.array(number_ids(view.tokenizer, 20))
        prompts = [f"Total of {a} and 3. Answer:" for a in range(6)]
        return view, {"bare": Examples(view.encode(prompts), np.arange(6) + 3, ids)}

    def test_every_reading_has_the_table_that_it_has_alone(self):
        view, examples = self.given()
        settings = {"tau": 4, "batch_size": 4, **SETTINGS}
        tables = dict(tables_by_reading(view, examples, GRID, draws=2, **settings))
        assert len(tables) == 8 and set(tables) == set(readings(GRID))
        given = examples["bare"]
        for reading, table in tables.items():
            weights = view.unembedding(given.number_ids).numpy()
            if reading.norm == "folded":
                weights = weights * view.final_norm_gain().numpy()
            bank = FilterBank(weights, fourier_basis(21, reading.basis))
            rows = table1_conditions(bank, 2, 4, reading.cut)
            alone = run_conditions(
                view,
                given.encoded,
                given.number_ids,
                rows + control_conditions(rows, bank, 2, seed=0),
                answers=given.answers,
                batch_size=4,
                positions=reading.positions,
            )
            pd.testing.assert_frame_equal(table, table1(alone, **SETTINGS), rtol=1e-5)
        losses = [table["loss"][1] for table in tables.values()]
        assert len(set(losses)) == 8

    def test_long_tables(self):
        view, examples = self.given()
        grid = GRID | {"positions": ["last"], "prediction": ["numbers", "vocabulary"]}
        tables = tables_by_reading(view, examples, grid, tau=4, batch_size=4, **SETTINGS)
        found, concluded = sensitivity(tables, unharmed=0.05, harmed=0.1)
        assert len(found) == 8 * 7 and len(concluded) == 8 * 5
        assert set(concluded["norm"]) == {"raw", "folded"}
        assert set(found["prediction"]) == {"numbers", "vocabulary"}

    def test_bad_grids_are_refused(self):
        view, examples = self.given("bert")
        settings = {"tau": 4, "batch_size": 4, **SETTINGS}
        for changes, words in (
            ({"basis": ["fourier"]}, "`basis`"),
            ({"shape": ["x"]}, "'shape' is at fault"),
            ({"answer": ["space"]}, "no prompts"),
        ):
            with pytest.raises(UserError, match=words):
                list(tables_by_reading(view, examples, GRID | changes, **settings))
