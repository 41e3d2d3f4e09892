"""Steering and exchange: outcomes by brute force, and a model whose answer lies in planes that are known."""

import numpy as np
import pandas as pd
import pytest
import torch
from fourier_addition.ablation.exchange import (
    draw_sources,
    exchange_conditions,
    exchange_table,
    run_exchange,
)
from fourier_addition.ablation.places import Chosen, drawn_rows, place_name, places
from fourier_addition.ablation.probe_planes import circles_with_controls
from fourier_addition.ablation.residues import (
    OUTCOMES,
    moved_by,
    nearest_with_residue,
    outcomes_of,
    told_apart,
)
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.sources import record_states
from fourier_addition.ablation.steering import (
    chosen_block,
    dose_response,
    moves,
    over_doses,
    steering_conditions,
)
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis
from fourier_addition.interventions import number_angles, turning
from fourier_addition.models import wrap
from fourier_addition.modules import RESIDUAL
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.figures import views
from fourier_addition.plots.interventions import EXCHANGES, plot_dose_response, plot_exchange, plot_steering
from fourier_addition.tables.cells import steering as steering_cells
from tiny import number_ids, tiny_tokenizer
from transformers import GPT2Config, GPT2LMHeadModel

NUMBERS = 101
SETTINGS = {"periods": [10, 5, 10 / 3, 2.5, 2], "unused_periods": [3, 7, 9, 11], "period_tolerance": 0.05}


class TestResidues:
    @pytest.mark.parametrize("numbers", [10, 17, 101])
    def test_nearest_numbers_by_brute_force(self, numbers):
        for own in range(numbers):
            for residue in range(10):
                able = [n for n in range(numbers) if n % 10 == residue]
                least = min(abs(n - own) for n in able)
                wanted = {n for n in able if abs(n - own) == least}
                found = nearest_with_residue(np.array([own]), np.array([residue]), 10, numbers)
                assert set(found[0].tolist()) == wanted
                for which, one in (("lower", min(wanted)), ("higher", max(wanted))):
                    found = nearest_with_residue(np.array([own]), np.array([residue]), 10, numbers, which)
                    assert found[0].tolist() == [one, one]

    def test_too_few_numbers_for_every_residue_are_refused(self):
        with pytest.raises(UserError, match=r"0\.\.8 do not have every residue modulo 10"):
            nearest_with_residue(np.array([1]), np.array([1]), 10, 9)

    def test_a_turn_by_7_is_seen_as_3_down_and_by_5_as_either(self):
        own = np.array([47, 47, 47, 47, 47, 3])
        told = moved_by(np.array([54, 44, 34, 47, 50, 10]), own, 7, 10, NUMBERS)
        assert told["moved"].tolist() == [True, True, True, False, False, True]
        # Below 3 there is no number with the residue 0 but 0 itself, at distance 3; 10 is further away.
        assert told["rest"].tolist() == [False, True, False, False, False, False]
        assert told["exact"].tolist() == [True, False, False, False, False, True]
        assert told["unchanged"].tolist() == [False, False, False, True, False, False]
        assert moved_by(np.array([42, 52]), np.array([47, 47]), 5, 10, NUMBERS)["rest"].all()
        lower = moved_by(np.array([42, 52]), np.array([47, 47]), 5, 10, NUMBERS, "lower")
        assert lower["rest"].tolist() == [True, False] and lower["moved"].all()

    def test_outcomes_of_pairs_that_are_told_apart_exclude_each_other(self):
        own, source = (grid.ravel() for grid in np.meshgrid(np.arange(101), np.arange(101)))
        apart = told_apart(own, source, 10, NUMBERS)
        assert not apart[own % 10 == source % 10].any()
        assert not apart[abs(own - source) <= 5].any()
        assert apart[(abs(own - source) > 9) & (own % 10 != source % 10)].mean() > 0.9
        own, source = own[apart][::7], source[apart][::7]
        for answer in range(NUMBERS):
            told = outcomes_of(np.full(len(own), answer), own, source, 10, NUMBERS)
            assert list(told) == list(OUTCOMES)
            assert (np.sum(list(told.values()), axis=0) == 1).all()

    def test_an_exchange_is_told_as_it_is_said(self):
        own, source = np.full(6, 47), np.full(6, 82)
        told = outcomes_of(np.array([47, 42, 52, 87, 77, 82]), own, source, 10, NUMBERS)
        assert [next(k for k in told if told[k][i]) for i in range(6)] == [
            "unchanged",
            "residue",
            # Of equally near numbers both count: 42 and 52 from 47, 77 and 87 from 82.
            "residue",
            "magnitude",
            "magnitude",
            "source",
        ]
        assert outcomes_of(np.array([12]), own[:1], source[:1], 10, NUMBERS)["other"].all()
        higher = outcomes_of(np.array([42, 52, 87, 77]), own[:4], source[:4], 10, NUMBERS, "higher")
        assert higher["residue"].tolist() == [False, True, False, False]
        assert higher["magnitude"].tolist() == [False, False, True, False]

    def test_sources_are_others_whose_answers_are_told_apart(self):
        own = np.random.default_rng(0).integers(0, 101, 200)
        source = draw_sources(own, 10, NUMBERS, seed=1)
        assert (source >= 0).all() and told_apart(own, own[source], 10, NUMBERS).all()
        assert len(set(source)) > 80
        assert np.array_equal(source, draw_sources(own, 10, NUMBERS, seed=1))
        assert not np.array_equal(source, draw_sources(own, 10, NUMBERS, seed=2))
        assert (draw_sources(np.array([4, 14, 24]), 10, NUMBERS, seed=0) == -1).all()


class TestPlaces:
    def test_of_a_deep_model_blocks_in_equal_distances(self):
        single = [layers for modules, layers in places(48, 4) if modules == "residual"]
        assert single == [(0,), (16,), (31,), (47,)]
        assert len(places(3, 12)) == 3 + 3 + 3
        assert (
            place_name("both", (0, 1, 2), 3) == "both-all" and place_name("residual", (0,), 1) == "residual-0"
        )
        with pytest.raises(UserError, match="At least 1 block"):
            places(3, 0)

    def test_periods_without_a_component_are_left_out_and_none_at_all_is_refused(self):
        unembedding = np.random.default_rng(0).standard_normal((17, 48))
        basis = fourier_basis(17, "orthonormal")
        chosen = Chosen.of(unembedding, basis, SETTINGS)
        assert chosen.planes.periods.tolist() == [3.2, 3.2, 2]
        with pytest.raises(UserError, match=r"any of the periods 7\.3"):
            Chosen.of(unembedding, basis, {**SETTINGS, "periods": [7.3], "period_tolerance": 0.01})

    def test_examples_are_drawn_or_all_taken(self):
        assert drawn_rows(5, 0, 1).tolist() == drawn_rows(5, 9, 1).tolist() == [0, 1, 2, 3, 4]
        assert len(set(drawn_rows(50, 9, 1).tolist())) == 9


def planted():
    """A GPT-2 of three blocks that add nothing: the answer to the prompt `n` is n, read off known planes.

    The unembedding reads every component in a plane of its own. The states hold components 1 to 7 and those
    of the last digit.
    """
    period, width = NUMBERS - 1, 128
    components = range(1, 51)
    numbers = np.arange(NUMBERS)
    waves = [f(2 * np.pi * k * numbers / period) for k in components for f in (np.cos, np.sin)]
    # Directions without a mean, which the final norm would take out.
    rng = np.random.default_rng(0)
    directions = np.linalg.qr(np.column_stack([np.ones(width), rng.standard_normal((width, len(waves)))]))[0]
    # The last digit outweighs the magnitude, so that the residue is kept and the nearest number answers.
    weight = {k: 1.0 if k <= 7 else 6.0 if k % 10 == 0 else 0.0 for k in components}
    held = np.repeat([weight[k] * (0.5 if k == 50 else 1) for k in components], 2)
    read = np.array(waves).T @ directions[:, 1:].T
    state = (np.array(waves).T * held) @ directions[:, 1:].T

    tokenizer = tiny_tokenizer(NUMBERS - 1)
    config = GPT2Config(
        vocab_size=len(tokenizer), n_embd=width, n_layer=3, n_head=4, n_positions=8, tie_word_embeddings=False
    )
    model = GPT2LMHeadModel(config).eval()
    ids = number_ids(tokenizer, NUMBERS - 1)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            parameter.fill_(1.0 if name.endswith("ln_f.weight") else 0.0)
        model.transformer.wte.weight[ids] = torch.from_numpy(state).float()
        model.lm_head.weight[ids] = torch.from_numpy(read).float()
    view = wrap(model, tokenizer)
    # Away from the ends of the number space, where the planted planes would go round.
    answers = np.arange(12, 89)
    return view, ids, view.encode([str(n) for n in answers]), answers


@pytest.fixture(scope="module")
def steered():
    view, ids, encoded, answers = planted()
    chosen = Chosen.of(view.unembedding(ids).numpy(), fourier_basis(NUMBERS, "orthonormal"), SETTINGS)
    conditions = steering_conditions(
        chosen, 3, deltas=[-9, -4, 0, 1, 3, 5, 7], layers=12, draws=2, phase_draws=2, seed=0
    )
    return run_conditions(view, encoded, ids, conditions, answers=answers, batch_size=16)


COUNTED = {"modulus": 10, "numbers": NUMBERS, "seed": 0, "resamples": 100}


class TestPlanted:
    def test_every_turn_of_the_stream_moves_the_answer_by_just_that(self, steered):
        assert (steered.prediction[0] == steered.answer).all()
        doses = dose_response(steered, **COUNTED).set_index(["module", "layers", "arm", "delta"])
        for layer in "012":
            for delta in (-9, -4, 1, 3, 5, 7):
                row = doses.loc[("residual", layer, "turn", delta)]
                assert row["moved"] == row["rest"] == 1 and row["unchanged"] == 0
                assert row["exact"] == (abs(delta) < 5) or delta == 5
                assert row["moved_low"] > 0.95 and row["draws"] == 1 and row["examples"] == 77

    def test_controls_and_other_places_move_nothing(self, steered):
        doses = dose_response(steered, **COUNTED).set_index(["module", "arm"]).sort_index()
        assert (doses.loc[("residual", "unused"), "unchanged"] == 1).all()
        # The modules add nothing, so there is nothing to turn in their outputs.
        for module in ("both", "attention", "mlp"):
            assert (doses.loc[module, "unchanged"] == 1).all()
        assert doses.loc[("residual", "subspace"), "moved"].max() < 0.2
        assert doses.loc[("residual", "phases"), "rest"].mean() < 0.3

    def test_what_is_kept_of_a_steering(self, steered):
        doses = dose_response(steered, **COUNTED)
        # All blocks are alike: the first is chosen, by the turn by 1.
        assert chosen_block(doses, 3, 10) == ("0", 1)
        table = over_doses(steered, doses, n_layers=3, **COUNTED)
        own = table[table["chosen"] & (table["arm"] == "turn")].iloc[0]
        assert own["layers"] == "0" and own["moved"] == own["rest"] == own["moved_low"] == 1
        assert own["doses"] == 5 and len(table) == 9 * 4
        moved = moves(steered, "0")
        turned = moved[moved["arm"] == "turn"]
        assert turned.groupby("delta")["count"].sum().tolist() == [77] * 6
        assert turned[turned["delta"] == 7]["change"].tolist() == [-3]
        assert (turned["of"] == 77).all() and (moved[moved["arm"] == "phases"]["of"] == 154).all()

    def test_circles_that_probes_find_are_turned_and_those_of_shuffled_numbers_are_not(self):
        view, ids, encoded, answers = planted()
        chosen = Chosen.of(view.unembedding(ids).numpy(), fourier_basis(NUMBERS, "orthonormal"), SETTINGS)
        recorded = record_states(view, encoded, [(RESIDUAL, 0), (RESIDUAL, 1)], 16, NUMBERS)
        circles = circles_with_controls(
            {block: states.numpy() for (_, block), states in recorded.states.items()},
            answers,
            chosen.planes,
            draws=2,
            folds=5,
            penalties=[1e-6, 1e-3, 1.0],
            seed=0,
        )
        assert list(circles) == [0, 1] and len(circles[0]) == 3
        # The pattern is how the planted states move: the probe reads it as 1, and nothing else.
        own = circles[0][0]
        np.testing.assert_allclose(own.planes.rows @ own.pattern, np.eye(9), atol=0.05)
        # The smallest change is read as just that turn too, and is smaller.
        states = recorded.states[RESIDUAL, 0].numpy().astype(float)
        angles = number_angles(own.planes, 3)
        least, along = own.turned_least(angles)(states), own.turned(angles)(states)
        wanted = states @ own.planes.rows.T @ turning(own.planes, angles).T
        np.testing.assert_allclose(least @ own.planes.rows.T, wanted, atol=1e-6)
        assert np.linalg.norm(least - states) < np.linalg.norm(along - states)
        given = {"deltas": [1, 3, 7], "layers": 12, "draws": 1, "phase_draws": 1, "seed": 0}
        conditions = steering_conditions(chosen, 3, **given, circles=circles)
        assert len({condition.name for condition in conditions}) == len(conditions)
        outcomes = run_conditions(view, encoded, ids, conditions, answers=answers, batch_size=16)
        doses = dose_response(outcomes, **COUNTED)
        rows = doses.set_index(["module", "layers", "arm"]).sort_index()
        for layer in "01":
            assert (rows.loc[(RESIDUAL, layer, "probes"), "rest"] > 0.95).all()
            assert (rows.loc[(RESIDUAL, layer, "shuffled-probes"), "moved"] < 0.2).all()
        assert (RESIDUAL, "2", "probes") not in rows.index and ("both", "0", "probes") not in rows.index

        # The figure has a row of panels of them, with the places where something was probed.
        figure, drawn = plot_steering(doses)
        arms = drawn.groupby("panel")["arm"].first()
        assert arms.loc[["e", "f", "g"]].tolist() == ["probes", "least-probes", "shuffled-probes"]
        image = figure.axes[4].images[0].get_array()
        assert image.shape == (2, 3) and (image > 95).all()
        # The data name the panels as the figure does, also where a row is not full.
        figure, drawn = plot_steering(doses[~doses["arm"].isin(["phases", "subspace", "unused"])])
        named = drawn.groupby("arm")["panel"].first().to_dict()
        assert named == {"turn": "a", "probes": "d", "least-probes": "e", "shuffled-probes": "f"}
        assert figure.axes[3].get_title(loc="left") == "(d)" and figure.axes[1].get_title(loc="left") == ""
        figure, drawn = plot_steering(doses.iloc[:0])
        assert "not measured" in figure.axes[0].texts[0].get_text() and drawn.empty

        # The table has a column of each, with a dash where nothing was probed.
        found = over_doses(outcomes, doses, n_layers=3, **COUNTED)
        cells = steering_cells({"doses": (doses,), "places": (found,)}, None)
        assert cells.headings[-3:] == [
            "Circles of probes",
            "By the smallest change",
            "Of shuffled numbers",
        ]
        assert [row[-3] for row in cells.rows][:3] == ["100.0%", "100.0%", "-"]

    def test_the_last_block_is_not_chosen(self):
        view, ids, encoded, answers = planted()
        chosen = Chosen.of(view.unembedding(ids).numpy(), fourier_basis(NUMBERS, "orthonormal"), SETTINGS)
        conditions = steering_conditions(chosen, 3, deltas=[1, 2], layers=12, draws=1, phase_draws=1, seed=0)
        doses = dose_response(
            run_conditions(view, encoded, ids, conditions, answers=answers, batch_size=16), **COUNTED
        )
        doses.loc[(doses["layers"] == "2") & (doses["arm"] == "turn"), "moved"] = 2.0
        doses.loc[(doses["layers"] == "1") & (doses["arm"] == "turn"), "moved"] = 1.5
        assert chosen_block(doses, 3, 10) == ("1", 1)
        assert chosen_block(doses, 2, 10)[0] == "2"
        with pytest.raises(UserError, match="another number than 0"):
            steering_conditions(chosen, 3, deltas=[0], layers=12, draws=1, phase_draws=1, seed=0)

    def test_every_exchange_carries_just_its_part(self):
        view, ids, encoded, answers = planted()
        chosen = Chosen.of(view.unembedding(ids).numpy(), fourier_basis(NUMBERS, "orthonormal"), SETTINGS)
        found = run_exchange(
            view,
            encoded,
            np.array(ids),
            answers,
            lambda source: exchange_conditions(
                chosen, 3, source, tau=10, cut="component", layers=2, draws=2, phase_draws=10, seed=0
            ),
            modulus=10,
            seed=0,
            batch_size=16,
        )
        assert np.array_equal(found.own, answers[found.rows]) and len(found.rows) == 77
        table = exchange_table(found.outcomes, found.own, found.source, **COUNTED)
        shares = table.set_index(["module", "layers", "band", "arm", "outcome"])["share"]
        for layers in "02":
            assert shares["residual", layers, "low", "replace", "magnitude"] == 1
            assert shares["residual", layers, "periods", "replace", "residue"] == 1
            assert shares["residual", layers, "periods", "replace", "any magnitude"] == 1
            assert shares["residual", layers, "unused", "unused", "unchanged"] == 1
            # Beside the last digit, the high band holds nothing.
            assert shares["residual", layers, "high", "replace", "residue"] == 1
            assert shares["residual", layers, "periods", "phases", "residue"] < 0.3
        assert (shares.loc["both", :, :, :, "unchanged"] == 1).all()
        # A model that always answers the same has nothing to exchange.
        with torch.no_grad():
            view.model.lm_head.weight[ids] = view.model.lm_head.weight[ids[6]].clone()
        same = run_exchange(
            view,
            encoded,
            np.array(ids),
            answers,
            lambda source: pytest.fail("there are no sources"),
            modulus=10,
            seed=0,
            batch_size=16,
        )
        assert same.outcomes.sizes["condition"] == 1
        assert exchange_table(same.outcomes, same.own, same.source, **COUNTED).empty
        # Of the outcomes of one exchange exactly one holds.
        sums = (
            table[table["outcome"].isin(OUTCOMES)].groupby(["module", "layers", "band", "arm"])["share"].sum()
        )
        np.testing.assert_allclose(sums, 1)
        rank = table.set_index(["band", "arm"])["rank"]
        assert set(rank["periods", "replace"]) == set(rank["periods", "subspace"]) == {9}
        assert set(rank["low", "replace"]) == {18}

    def test_the_figures_draw_what_was_counted(self, steered):
        doses = dose_response(steered, **COUNTED)
        figure, drawn = plot_dose_response(moves(steered, "0"), doses, block="0")
        turned = drawn[(drawn["panel"] == "a") & (drawn["arm"] == "turn")]
        assert turned[turned["delta"] == 7][["change", "share"]].to_numpy().tolist() == [[-3.0, 1.0]]
        assert {"a", "b", "c"} == set(drawn["panel"]) and len(figure.axes) == 3
        figure, drawn = plot_steering(doses)
        assert len(drawn) == len(doses) and set(drawn["panel"]) == set("abcd")
        nothing = pd.DataFrame({name: [] for name in EXCHANGES})
        figure, drawn = plot_exchange(nothing, block="0")
        assert "no two prompts" in figure.axes[0].texts[0].get_text() and drawn.empty
        with pytest.raises(UserError, match="lacks the column share"):
            plot_exchange(nothing.drop(columns="share"), block="0")


class TestConfiguration:
    @pytest.mark.parametrize(
        ("changes", "words"),
        [
            ({"deltas": [10, -20]}, "no multiple of"),
            ({"modulus": 40}, r"modulus` is 40, but run 'r'"),
            ({"periods": [7.3], "period_tolerance": 0.001}, r"has any of the periods 7\.3"),
        ],
    )
    def test_what_no_run_can_have_is_refused_before_any_job(self, changes, words):
        study = {
            "models": {"m": {"sources": [{"path": "m"}]}},
            "tasks": {"t": {"operation": "addition", "operands": [0, 15], "running_example": [1, 2]}},
            "runs": {"r": {"model": "m", "task": "t"}},
            "figures": {"steering": {"kind": "steering", "run": "r"}},
        }
        views(validated(study))
        with pytest.raises(UserError, match=words):
            views(validated({**study, "interventions": changes}))
