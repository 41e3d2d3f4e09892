"""Heads and neurons: their outputs sum to the module's, and knocking them out is what plain hooks do."""

import numpy as np
import pandas as pd
import pytest
import torch
from fourier_addition.ablation.knockout_table import knockout_table, outcome_shares
from fourier_addition.ablation.knockouts import Knockout, knockouts, run_knockouts
from fourier_addition.capture.moments import UnitMoments
from fourier_addition.capture.units import unit_moments
from fourier_addition.errors import UserError
from fourier_addition.models import FAMILIES, Recorder
from fourier_addition.models.units import UnitRecorder, projection, unit_shape, unit_weights
from fourier_addition.modules import MODULES
from tiny import number_ids, tiny_model

LARGEST = 20
CAUSAL = [name for name, family in FAMILIES.items() if not family.masked]
PAIRS = [(a, b) for a in (1, 5, 9) for b in (0, 2, 8)]
PROMPTS = [f"Put together {a} and {b}. Answer:" for a, b in PAIRS]
ANSWERS = np.array([a + b for a, b in PAIRS])


@pytest.fixture(scope="module")
def views():
    made = {}

    def view(family):
        if family not in made:
            made[family] = tiny_model(family, layers=3, largest=LARGEST)
        return made[family]

    return view


def bias_of(view, module, layer):
    """What a module adds whatever its units hold, before a norm: zeros where there is no bias."""
    bias = getattr(projection(view, module, layer), "bias", None)
    return torch.zeros(view.d_model) if bias is None else bias.detach()


@pytest.mark.parametrize("family", list(FAMILIES))
def test_heads_and_neurons_sum_to_the_module_output(views, family):
    view = views(family)
    (bucket,) = view.buckets(view.encode(PROMPTS), 16)
    with Recorder(view, 16) as recorder:
        whole = recorder.run(bucket.ids, bucket.position).module_output.clone()
    with UnitRecorder(view, range(view.n_layers)) as recorder:
        found = recorder.run(bucket.ids, bucket.position)
    for kind, module in enumerate(MODULES):
        for layer in range(view.n_layers):
            values = found[module, layer].values
            weights = unit_weights(view, module, layer)
            assert values.shape[1:] == weights.shape[:2] == unit_shape(view, module, layer)
            assert values.shape[1] == (4 if module == "attention" else weights.shape[0])
            parts = torch.einsum("euf,ufd->eud", values, weights)
            # With a norm after the module, families here have no bias in front of it.
            total = parts.sum(dim=1) + bias_of(view, module, layer)
            torch.testing.assert_close(total, whole[kind, layer], rtol=1e-4, atol=1e-5)
            # each unit's share is its own: some unit differs from the mean of all
            assert parts.std(dim=1).mean() > 1e-4


def test_every_family_says_where_its_projections_are(views):
    for family in FAMILIES:
        view = views(family)
        for module in MODULES:
            linear = projection(view, module, 0)
            assert linear.weight.dim() == 2 and view.d_model in linear.weight.shape


def test_a_model_without_the_part_is_refused_in_one_sentence():
    view = tiny_model("llama", largest=LARGEST)
    del view.block(1).mlp.down_proj
    with pytest.raises(UserError, match=r"block 1 of family llama has no mlp.down_proj"):
        projection(view, "mlp", 1)
    with pytest.raises(UserError, match="'norm' is not known"):
        projection(view, "norm", 1)


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "bert"])
def test_moments_are_those_of_the_examples_however_they_are_batched(views, family):
    view = views(family)
    encoded = view.encode(PROMPTS)

    def moments(batch_size, layers_at_once, shared_prefix=0):
        parts = unit_moments(
            view,
            encoded,
            ANSWERS,
            LARGEST + 1,
            batch_size=batch_size,
            layers_at_once=layers_at_once,
            shared_prefix=shared_prefix,
        )
        return {key: value for part in parts for key, value in part.items()}

    whole, parted, shared = moments(64, 16), moments(2, 1), moments(4, 2, shared_prefix=1)
    (bucket,) = view.buckets(encoded, 16)
    with UnitRecorder(view, range(view.n_layers)) as recorder:
        found = recorder.run(bucket.ids, bucket.position)
    assert list(whole) == list(parted)
    for key, one in whole.items():
        values = found[key].values.double().numpy()
        order = ANSWERS[bucket.index]
        assert one.examples == len(PROMPTS)
        for answer in set(order):
            np.testing.assert_allclose(one.sums[answer], values[order == answer].sum(0), atol=1e-5)
        second = np.einsum("euf,eug->ufg", values, values)
        np.testing.assert_allclose(one.second, second, rtol=1e-5, atol=1e-6)
        np.testing.assert_allclose(one.inputs, found[key].inputs.double().numpy().sum(0), atol=1e-5)
        for other in (parted[key], shared[key]):
            np.testing.assert_allclose(other.sums, one.sums, rtol=1e-4, atol=1e-5)
            np.testing.assert_allclose(other.second, one.second, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(one.covariance()[0, 0, 0], values[:, 0, 0].var(), atol=1e-6)


def test_moments_refuse_what_will_not_do(views):
    view = views("gpt2")
    encoded = view.encode(PROMPTS)
    for answers, at_once, said in (
        (ANSWERS[:2], 1, "2 answers"),
        (ANSWERS, 0, "layers_at_once"),
        (ANSWERS + 20, 1, "outside the number space"),
    ):
        with pytest.raises(UserError, match=said):
            list(unit_moments(view, encoded, answers, 21, batch_size=4, layers_at_once=at_once))
    with pytest.raises(UserError, match="no example"):
        _ = UnitMoments.empty(5, 2, 1).mean


def some_knockouts(view):
    """A few sets of units in every module."""
    found = []
    for layer in range(view.n_layers):
        for module in MODULES:
            units = unit_shape(view, module, layer)[0]
            found += [
                Knockout(module, layer, (0,), "low"),
                Knockout(module, layer, (1, units - 1), "random", 0),
                Knockout(module, layer, tuple(range(units)), "low"),
            ]
    return found


def answers_without(view, encoded, ids, chosen, held, method):
    """Predictions without units, a few states at a time."""
    return run_knockouts(view, encoded, ids, chosen, held, batch_size=4, method=method, rows=8)


@pytest.mark.parametrize("family", CAUSAL)
def test_the_engine_takes_out_what_the_plain_pass_does(views, family, monkeypatch):
    view = views(family)
    encoded, ids, chosen = view.encode(PROMPTS), number_ids(view.tokenizer, LARGEST), some_knockouts(view)
    rng = np.random.default_rng(0)
    held = {
        (module, layer): rng.normal(size=int(np.prod(unit_shape(view, module, layer))))
        for layer in range(view.n_layers)
        for module in MODULES
    }
    states = {}
    for method in ("plain", "engine"):
        kept = {}

        class Keeping:
            def __init__(self, *arguments):
                pass

            def __call__(self, hidden, answers, kept=kept):
                kept[len(kept)] = hidden.clone()
                return torch.zeros(hidden.shape[:2]), None

        from fourier_addition.ablation import knockouts as module

        original = module._Plain if method == "plain" else module._Engine
        numbers = []
        monkeypatch.setattr(module, "AnswerPredictor", Keeping)
        seen = original.hidden

        def noting(self, bucket, seen=seen, numbers=numbers):
            for part, hidden in seen(self, bucket):
                numbers.append((tuple(bucket.index), part))
                yield part, hidden

        monkeypatch.setattr(original, "hidden", noting)
        answers_without(view, encoded, ids, chosen, held, method)
        monkeypatch.undo()
        out = np.full((len(chosen), len(encoded), view.d_model), np.nan)
        for (index, part), hidden in zip(numbers, kept.values(), strict=True):
            out[np.ix_(part, index)] = hidden.numpy()
        states[method] = out
    np.testing.assert_allclose(states["engine"], states["plain"], rtol=2e-4, atol=2e-5)
    # and taking units out does something, each set something else
    flat = states["plain"].reshape(len(chosen), -1)
    distances = np.linalg.norm(flat[:, None] - flat[None], axis=-1) + np.eye(len(chosen))
    assert distances.min() > 1e-3


def test_masked_models_take_the_plain_pass(views):
    view = views("bert")
    encoded, ids, chosen = view.encode(PROMPTS), number_ids(view.tokenizer, LARGEST), some_knockouts(view)
    held = {
        (module, layer): np.zeros(int(np.prod(unit_shape(view, module, layer))))
        for layer in range(view.n_layers)
        for module in MODULES
    }
    auto = answers_without(view, encoded, ids, chosen, held, "auto")
    assert auto.shape == (len(chosen), len(PROMPTS)) and (auto >= 0).all()
    with pytest.raises(UserError, match="cannot run bert"):
        answers_without(view, encoded, ids, chosen, held, "engine")


def test_knockouts_that_cannot_be_run_are_refused(views):
    view = views("gpt2")
    encoded, ids = view.encode(PROMPTS), number_ids(view.tokenizer, LARGEST)
    held = {("attention", 0): np.zeros(48)}
    for knockout, said in (
        (Knockout("attention", 0, (4,), "low"), "Unit 4 of attention 0"),
        (Knockout("attention", 3, (0,), "low"), "Layer 3 does not exist"),
    ):
        with pytest.raises(UserError, match=said):
            run_knockouts(view, encoded, ids, [knockout], held, batch_size=4)
    with pytest.raises(UserError, match="method"):
        answers_without(view, encoded, ids, [Knockout("attention", 0, (0,), "low")], held, "fast")
    with pytest.raises(UserError, match="no example"):
        run_knockouts(view, encoded, ids, [], held, batch_size=4)


def ranks_of(order):
    return pd.concat(
        pd.DataFrame(
            {"module": "mlp", "layer": 2, "band": band, "rank": np.arange(1, len(own) + 1), "unit": own}
        )
        for band, own in order.items()
    )


def test_top_units_and_as_many_random_ones():
    ranks = ranks_of({"low": [3, 1, 0, 2, 4], "high": [4, 2, 0, 1, 3]})
    found = knockouts(ranks, [1, 2, 9], draws=3, seed=0)
    top = {(k.band, len(k.units)): k.units for k in found if k.draw < 0}
    assert top["low", 1] == (3,) and top["high", 2] == (4, 2)
    assert len(top["low", 5]) == len(top["high", 5]) == 5 and ("low", 9) not in top
    random = [k for k in found if k.draw >= 0]
    assert [(len(k.units), k.draw) for k in random] == [(n, d) for n in (1, 2) for d in range(3)]
    assert all(k.band == "random" and len(set(k.units)) == len(k.units) for k in random)
    # the same draws whatever else is asked for
    again = [k for k in knockouts(ranks, [2], draws=2, seed=0) if k.draw >= 0]
    assert again == [k for k in random if len(k.units) == 2 and k.draw < 2]
    assert [k for k in knockouts(ranks, [2], draws=2, seed=1) if k.draw >= 0] != again


def test_outcomes_tell_residue_from_magnitude():
    answers = np.array([23, 23, 23, 23, 23, 23])
    predictions = np.array([[23, 33, 28, 29, -1, 13]])
    shares = outcome_shares(predictions, answers, 10)
    assert shares["accuracy"] == pytest.approx([1 / 6])
    assert shares["residue"] == pytest.approx([3 / 6])
    assert shares["magnitude"] == pytest.approx([2 / 6])


def test_the_table_gives_top_units_wilson_and_draws_quantiles():
    chosen = [
        Knockout("mlp", 1, (0,), "low"),
        Knockout("mlp", 1, (2,), "random", 0),
        Knockout("mlp", 1, (1,), "random", 1),
        Knockout("mlp", 1, (0, 1, 2), "low"),
    ]
    answers = np.array([1, 2, 3, 4])
    predictions = np.array([[1, 2, 0, 0], [1, 2, 3, 4], [1, 2, 3, 0], [9, 9, 9, 9]])
    table = knockout_table(chosen, predictions, answers, 10)
    assert table[["band", "count", "draws", "units"]].to_numpy().tolist() == [
        ["low", 1, 0, 3],
        ["random", 1, 2, 3],
        ["low", 3, 0, 3],
    ]
    assert table["accuracy"].tolist() == pytest.approx([0.5, 0.875, 0.0])
    assert table["accuracy_low"][0] < 0.5 < table["accuracy_high"][0]
    assert (table["accuracy_low"][1], table["accuracy_high"][1]) == pytest.approx((0.75625, 0.99375))
