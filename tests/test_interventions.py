"""Interventions: what they do to coefficients and to nothing else, sources, and what is refused."""

import numpy as np
import pytest
import torch
import xarray as xr
from fourier_addition.ablation.conditions import Condition
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.sources import SourceStates, captured_states, record_states
from fourier_addition.errors import UserError
from fourier_addition.filters import Filter, removal_basis
from fourier_addition.fourier import coefficients, fourier_basis
from fourier_addition.interventions import (
    Planes,
    number_angles,
    planes_of,
    random_angles,
    random_planes,
    remove,
    replace,
    replace_along,
    scale,
    turn,
    turn_along,
)
from fourier_addition.models import first_tensor
from fourier_addition.numbers import tokenizer_number_space
from tiny import number_ids, tiny_model

RNG = np.random.default_rng(0)
UNEMBEDDING = RNG.standard_normal((101, 160))
STATES = RNG.standard_normal((7, 160))


def planes(components=(10, 20, 30, 40, 50), basis="orthonormal"):
    return planes_of(UNEMBEDDING, fourier_basis(101, basis), components)


def logits(states):
    return states @ UNEMBEDDING[:100].T


class TestCoefficients:
    def test_a_turn_shifts_the_logits_components_by_so_many_numbers(self):
        """The component's part of the logits, as a function of the number, moves on along the numbers."""
        basis = fourier_basis(101, "orthonormal")
        chosen = basis.rows_of([10, 20, 30, 40, 50])
        for delta in (-9, 1, 3, 10):
            turned = turn(planes(), number_angles(planes(), delta))(STATES)
            before, after = (coefficients(logits(x), basis)[:, chosen] for x in (STATES, turned))
            wave, moved = (c @ basis.matrix[chosen] for c in (before, after))
            np.testing.assert_allclose(moved, np.roll(wave, delta, axis=1), atol=1e-9)
        # All these periods divide 10.
        np.testing.assert_allclose(turned, STATES, atol=1e-9)

    def test_a_turn_along_a_pattern_asks_for_the_same_coefficients_by_another_change(self):
        chosen = planes()
        angles = random_angles(chosen, np.random.default_rng(4))
        wanted = turn(chosen, angles)(STATES)
        # Along M+ the change is the smallest one. Along other directions with M D = 1 M reads the same.
        inverse = np.linalg.pinv(chosen.rows)
        np.testing.assert_allclose(turn_along(chosen, inverse, angles)(STATES), wanted, atol=1e-9)
        unread = np.eye(160) - inverse @ chosen.rows
        pattern = inverse + 100 * unread @ RNG.standard_normal(inverse.shape)
        other = turn_along(chosen, pattern, angles)(STATES)
        np.testing.assert_allclose(other @ chosen.rows.T, wanted @ chosen.rows.T, atol=1e-6)
        assert np.linalg.norm(other - STATES) > 10 * np.linalg.norm(wanted - STATES)
        with pytest.raises(UserError, match=r"A pattern of shape \(9, 160\) does not belong to rows"):
            turn_along(chosen, pattern.T, angles)

    @pytest.mark.parametrize("basis", ["orthonormal", "paper"])
    def test_scale_and_replace_ask_for_coefficients_and_get_them(self, basis):
        chosen = planes(basis=basis)
        assert len(chosen.rows) == chosen.rank == 9
        before = STATES @ chosen.rows.T
        np.testing.assert_allclose(scale(chosen, 2.5)(STATES) @ chosen.rows.T, 2.5 * before, atol=1e-9)
        source = np.array([3, 0, 6, 1, 2, 5, 4])
        swapped = replace(chosen, source)(STATES, STATES[source])
        np.testing.assert_allclose(swapped @ chosen.rows.T, before[source], atol=1e-9)

    def test_nothing_else_changes_and_the_change_is_the_smallest(self):
        chosen = planes()
        inside = removal_basis(UNEMBEDDING, fourier_basis(101, "orthonormal"), [10, 20, 30, 40, 50])
        for y in (
            turn(chosen, number_angles(chosen, 3))(STATES),
            scale(chosen, 0.3)(STATES),
            replace(chosen, np.arange(7))(STATES, STATES[::-1]),
        ):
            change = y - STATES
            assert np.linalg.norm(change) > 0.5
            # What is changed lies in the rows' space alone: no smaller change gives the coefficients.
            np.testing.assert_allclose(change @ inside @ inside.T, change, atol=1e-9)

    def test_removing_is_the_filter_of_table_1_and_scaling_by_0(self):
        for basis in ("paper", "orthonormal"):
            for components in ([1, 2, 3], range(1, 51)):
                chosen = planes(components, basis)
                q = removal_basis(UNEMBEDDING, fourier_basis(101, basis), components)
                filtered = Filter.removing(q)(STATES)
                np.testing.assert_allclose(remove(chosen)(STATES), filtered, atol=1e-9)
                np.testing.assert_allclose(scale(chosen, 0)(STATES), filtered, atol=1e-9)

    def test_nothing_is_done_by_a_turn_of_0_a_gain_of_1_or_the_own_coefficients(self):
        chosen = planes()
        for y in (
            turn(chosen, number_angles(chosen, 0))(STATES),
            scale(chosen, 1)(STATES),
            replace(chosen, np.arange(7))(STATES, STATES),
        ):
            np.testing.assert_allclose(y, STATES, atol=1e-9)

    def test_turns_add_up_whatever_the_rows_scales(self):
        rows = planes([10, 20]).rows * np.array([1, 10, 100, 0.1])[:, None]
        chosen = Planes(rows, planes([10, 20]).periods, planes([10, 20]).functions, 101)
        once, twice = (turn(chosen, number_angles(chosen, delta)) for delta in (1, 2))
        np.testing.assert_allclose(once(once(STATES)), twice(STATES), atol=1e-9)

    def test_a_source_may_be_turned_on_its_way(self):
        chosen = planes()
        angles = number_angles(chosen, 4)
        swapped = replace(chosen, np.arange(7), angles)(STATES, STATES[::-1])
        wanted = turn(chosen, angles)(STATES[::-1]) @ chosen.rows.T
        np.testing.assert_allclose(swapped @ chosen.rows.T, wanted, atol=1e-9)

    def test_random_controls_have_the_same_rank_and_are_not_the_planes(self):
        chosen = planes()
        random = random_planes(chosen, np.random.default_rng(3))
        assert random.rank == chosen.rank and np.array_equal(random.periods, chosen.periods)
        assert np.linalg.norm(random.basis.T @ chosen.basis, 2) < 0.7
        angles = random_angles(chosen, np.random.default_rng(3))
        # Period 2 has no plane: its sign is kept or turned.
        assert angles[0] in (0, np.pi) and len(set(angles)) == 5

    def test_bad_planes_are_refused(self):
        cases = [
            (lambda: planes_of(UNEMBEDDING, fourier_basis(101), [0, 1]), "the constant"),
            (lambda: planes_of(UNEMBEDDING, fourier_basis(101), [51]), "component 51 does not exist"),
            (lambda: planes_of(UNEMBEDDING[:50], fourier_basis(101), [1]), "50 numbers"),
            (lambda: planes_of(UNEMBEDDING[:, :4], fourier_basis(101), [1, 2]), "leaves no dimension"),
            (lambda: planes_of(UNEMBEDDING, fourier_basis(101), []), "at least one Fourier component"),
            (lambda: Planes(STATES[:1], np.array([5.0]), np.array(["tan"]), 101), "not 'tan'"),
            (lambda: Planes(STATES[:1], np.array([5.0]), np.array(["sin"]), 101), "Period 5 must have"),
            (lambda: turn(planes(), [1.0]), "5 components need as many angles"),
            (lambda: number_angles(planes(), 0.5), "turns by whole numbers"),
            (
                lambda: number_angles(Planes(STATES[:1], np.array([5.0]), np.array(["cos"]), 101), 1),
                "Period 5 has a cosine alone",
            ),
        ]
        for make, words in cases:
            with pytest.raises(UserError, match=words):
                make()


LARGEST = 20


def tiny(family="gpt2"):
    view = tiny_model(family, layers=2, largest=LARGEST)
    ids = number_ids(view.tokenizer, LARGEST)
    prompts = [f"Total of {a} and {b}. Answer:" for a in (3, 20) for b in (0, 5, 11)]
    prompts += [f"{a}, {b}+" for a in (3, 20) for b in (0, 11)]
    encoded = view.encode(prompts)
    chosen = planes_of(view.unembedding(ids).numpy(), fourier_basis(LARGEST + 1, "orthonormal"), [1, 2, 3])
    return view, ids, encoded, chosen


def run(view, ids, encoded, conditions, **given):
    answers = np.arange(len(encoded))
    return run_conditions(view, encoded, ids, conditions, answers=answers, batch_size=2, **given)


class TestSources:
    @pytest.mark.parametrize("family", ["gpt2", "gptj", "llama", "bert"])
    def test_everything_replaced_gives_the_sources_prediction(self, family):
        """With every dimension of the last stream from the source, the answer is the source's."""
        view, ids, encoded, _ = tiny(family)
        width = view.d_model
        basis = np.linalg.qr(RNG.standard_normal((width, width)))[0]
        source = np.roll(np.arange(len(encoded)), 3)
        for method in ("plain", "auto"):
            whole = Condition("all", "x", "", "residual", (1,), filter=replace_along(basis, source, 21))
            found = run(view, ids, encoded, [Condition("as-is", "x", "", "none", (0,)), whole], method=method)
            prediction = found.prediction.to_numpy()
            assert np.array_equal(prediction[1], prediction[0][source])
            assert len(set(prediction[0])) > 1

    def test_recorded_states_are_the_models(self):
        view, _, encoded, _ = tiny()
        found = record_states(view, encoded, [("attention", 0), ("residual", 1)], 2, 21)
        for number, (tokens, position) in enumerate(encoded):
            seen = {}
            handles = [
                module.register_forward_hook(
                    lambda m, a, out, name=name, seen=seen, at=position: seen.__setitem__(
                        name, first_tensor(out)[0, at]
                    )
                )
                for name, module in (("attention", view.attention_module(0)), ("residual", view.block(1)))
            ]
            with torch.no_grad():
                view.run(torch.tensor([tokens]))
            for handle in handles:
                handle.remove()
            for (name, _), state in found.states.items():
                torch.testing.assert_close(state[number], seen[name], rtol=1e-5, atol=1e-5)

    def test_states_of_a_capture_are_the_same(self):
        view, _, encoded, _ = tiny()
        places = [("mlp", 1), ("residual", 0)]
        found = record_states(view, encoded, places, 2, 21)
        capture = xr.Dataset(
            {
                "module_output": (
                    ("module", "layer", "example", "feature"),
                    torch.stack([torch.zeros(2, *found.states["mlp", 1].shape)] * 2).numpy(),
                ),
                "residual": (("state", "example", "feature"), np.zeros((3, len(encoded), view.d_model))),
                "final_logits": (("example", "number"), np.zeros((len(encoded), 21))),
            },
            {"module": ["attention", "mlp"], "layer": [0, 1], "state": [0, 1, 2]},
        )
        capture["module_output"].loc[{"module": "mlp", "layer": 1}] = found.states["mlp", 1].numpy()
        capture["residual"].loc[{"state": 1}] = found.states["residual", 0].numpy()
        again = captured_states(capture, places)
        assert again.numbers == 21
        for place in places:
            torch.testing.assert_close(again.states[place], found.states[place])
        with pytest.raises(UserError, match="no layer 7"):
            captured_states(capture, [("mlp", 7)])

    def test_sources_may_be_other_prompts(self):
        view, ids, encoded, chosen = tiny()
        others = view.encode(["Total of 7 and 7. Answer:"])
        source = replace(chosen, np.zeros(len(encoded), int))
        condition = Condition("x", "x", "", "residual", (0,), filter=source)
        given = record_states(view, others, [("residual", 0)], 2, 21)
        plain, engine = (
            run(view, ids, encoded, [condition], sources=given, method=method)
            for method in ("plain", "engine")
        )
        np.testing.assert_allclose(plain.loss, engine.loss, rtol=1e-5, atol=1e-5)
        own = run(view, ids, encoded, [condition], method="plain")
        assert float(abs(own.loss - plain.loss).max()) > 1e-3

    def test_what_cannot_be_is_refused_in_one_sentence(self):
        view, ids, encoded, chosen = tiny()
        count = len(encoded)
        source = replace(chosen, np.zeros(count, int))
        foreign = planes_of(RNG.standard_normal((31, view.d_model)), fourier_basis(31), [1])

        def at(modules, layers, filter):
            return Condition("x", "x", "", modules, layers, filter=filter)

        states = {("residual", 0): torch.zeros(count, view.d_model)}
        here, elsewhere = SourceStates(states, 21), SourceStates(states, 521)
        residual = at("residual", (0,), source)
        cases = [
            (at("heads", (0,), source), {}, "Module 'heads'"),
            (at("residual", (2,), source), {}, "Layer 2 does not exist"),
            (at("residual", (0,), turn(foreign, [1.0])), {}, "numbers 0..30, but the examples are of 0..20"),
            (residual, {"positions": "all"}, "positions 'all'"),
            (residual, {"sources": elsewhere}, "sources are of the numbers 0..520"),
            (at("mlp", (0,), source), {"sources": here}, "replaces at mlp 0"),
            (at("residual", (0,), replace(chosen, np.zeros(3, int))), {}, r"sources of shape \(3,\)"),
            (at("residual", (0,), replace(chosen, np.full(count, count))), {}, f"names source {count}"),
        ]
        for condition, given, words in cases:
            with pytest.raises(UserError, match=words):
                run(view, ids, encoded, [condition], **given)

    def test_turns_may_be_made_at_all_positions(self):
        view, ids, encoded, chosen = tiny()
        condition = Condition("x", "x", "", "residual", (0,), filter=turn(chosen, number_angles(chosen, 3)))
        last, everywhere = (
            run(view, ids, encoded, [condition], positions=positions) for positions in ("last", "all")
        )
        assert float(abs(last.loss - everywhere.loss).max()) > 1e-3


def test_the_number_space_is_that_of_the_tokenizer():
    view, ids, _, chosen = tiny()
    assert tokenizer_number_space(view.tokenizer, "bare").size == len(ids) == chosen.numbers
