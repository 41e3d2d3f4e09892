"""Captures and probes at named positions: the right tokens, the plain pass's values, and planted circles."""

import numpy as np
import pandas as pd
import pytest
import torch
from fourier_addition.analysis.contributions import contributions, parts_of, probe_directions
from fourier_addition.analysis.fourier_probes import circle, ridge_predictions
from fourier_addition.analysis.position_probes import digits_of, position_probes, probed_states
from fourier_addition.analysis.prompted import prompted_examples
from fourier_addition.capture.dataset import open_capture
from fourier_addition.capture.positions import capture_positions
from fourier_addition.errors import UserError
from fourier_addition.models import wrap
from fourier_addition.models.positions import ABSENT, lines_of, position_names
from fourier_addition.tasks import Task, dataset, operand_ends
from test_digit_tokenizers import digit_tokenizer
from tiny import tiny_config, tiny_model
from transformers import AutoModelForCausalLM

SETTINGS = {"shuffles": 20, "folds": 5, "penalties": [1e-6, 1e-3, 0.1, 1.0], "seed": 0}
TASK = Task("sums", "addition", (5, 60), templates=("{a}+{b}=", "{b} + {a} ="), answer="bare")


def digit_model(family="llama", layers=2, width=48, silent=False):
    """A model over single characters. silent: its modules write nothing, so states are its embedding."""
    tokenizer = digit_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        config = tiny_config(family, len(tokenizer), layers, width, max_position_embeddings=256)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    if silent:
        with torch.no_grad():
            for block in model.model.layers:
                block.self_attn.o_proj.weight.zero_()
                block.mlp.down_proj.weight.zero_()
    return wrap(model, tokenizer)


def rows_of(task, count, shots=0):
    """Examples of a task behind solved ones, as the scripts hand them to a capture."""
    table = dataset(task)
    if shots:
        table, _ = prompted_examples(table, shots=shots, seed=0, form=task.answer, separator="\n")
    return table.iloc[-count:].drop(columns="split").rename(columns={"example": "dataset_example"})


def captured(view, task, rows, path, **settings):
    capture_positions(view, task, rows, path, **({"batch_size": 8, "block": 16} | settings))
    return open_capture([path])


@pytest.mark.parametrize("shots", [0, 3])
def test_positions_are_where_operands_and_answer_digits_end(shots):
    view, rows = digit_model(), rows_of(TASK, 40, shots)
    ends = [operand_ends(TASK, row.prompt, row.template, row.a, row.b) for row in rows.itertuples()]
    for line, row in zip(
        lines_of(view, rows["prompt"].tolist(), ends, rows["answer"].tolist(), "bare"),
        rows.itertuples(),
        strict=True,
    ):
        text = [view.tokenizer.decode([token]) for token in line.ids]
        prompt = row.prompt.replace("\x1f", "")
        assert "".join(text) == prompt + str(row.answer)[:-1]
        a, b, *answer = line.positions
        assert [text[a], text[b]] == [str(row.a)[-1], str(row.b)[-1]]
        assert not text[a + 1].isdigit() and not text[b + 1].isdigit()
        assert (a < b) == (row.template == 0)
        for place, digit in enumerate(str(row.answer)):
            assert answer[place] == len(prompt) - 1 + place
            assert view.tokenizer.decode([line.targets[place]]) == digit
        assert answer[len(str(row.answer)) :] == [ABSENT] * (3 - len(str(row.answer)))


@pytest.mark.parametrize("family", ["llama", "qwen2", "gemma2", "olmo2"])
def test_states_are_those_of_the_plain_pass(tmp_path, family):
    view, rows = digit_model(family), rows_of(TASK, 20, shots=2)
    store = captured(view, TASK, rows, tmp_path / "store.zarr", modules=True)
    assert store["position"].values.tolist() == position_names(3)
    ends = [operand_ends(TASK, row.prompt, row.template, row.a, row.b) for row in rows.itertuples()]
    lines = lines_of(view, rows["prompt"].tolist(), ends, rows["answer"].tolist(), "bare")
    for example, line in enumerate(lines):
        with torch.inference_mode():
            plain = view.model(input_ids=torch.tensor([line.ids]), output_hidden_states=True)
        for place, position in enumerate(line.positions):
            own = store["residual"].values[place, :, example]
            assert store["token_position"].values[place, example] == position
            if position == ABSENT:
                assert np.isnan(own).all() and store["predicted_token"].values[place, example] == ABSENT
                continue
            for state in range(view.n_layers):
                assert np.allclose(own[state], plain.hidden_states[state][0, position], atol=1e-4)
            predicted = int(plain.logits[0, position].argmax())
            assert store["predicted_token"].values[place, example] == predicted
            # Every state is the one before plus what the two modules add.
            outputs = store["module_output"].values[place, :, :, example]
            assert np.allclose(own[:-1] + outputs.sum(axis=0), own[1:], atol=1e-4)


def test_what_is_captured_does_not_depend_on_blocks_and_batches(tmp_path):
    view, rows = digit_model(), rows_of(TASK, 30, shots=2)
    one = captured(view, TASK, rows, tmp_path / "one.zarr", batch_size=30, block=30)
    many = captured(view, TASK, rows, tmp_path / "many.zarr", batch_size=3, block=7)
    assert np.allclose(one["residual"].values, many["residual"].values, atol=1e-5, equal_nan=True)
    assert (one["token_position"].values == many["token_position"].values).all()
    assert (one["a"].values == rows["a"].to_numpy()).all()


def test_planted_circles_of_digits_are_read_at_their_positions(tmp_path):
    # Digits lie on circles of 10 and 5; modules write nothing. So a state is the last digit's embedding.
    view = digit_model(silent=True)
    with torch.no_grad():
        digits = torch.tensor([view.tokenizer.convert_tokens_to_ids(str(digit)) for digit in range(10)])
        embedding = view.embedding_parameter()
        embedding[digits] = 0.0
        embedding[digits, :4] = torch.tensor(
            circle(np.arange(10), [10, 5]).reshape(10, 4), dtype=torch.float32
        )
    task = Task("sums", "addition", (10, 49), templates=("{a}+{b}=",), fractions=(0.5, 0.1))
    store = captured(view, task, rows_of(task, 200), tmp_path / "store.zarr", batch_size=64, block=200)
    table = position_probes(store, settings=SETTINGS | {"periods": [2, 5, 7, 10]})
    r2 = table[table["layer"] == 2].set_index(["position", "target", "period"])["r2"]
    for operand in ("a", "b"):
        assert r2[operand, operand, 10] > 0.999 and r2[operand, operand, 5] > 0.999
        assert r2[operand, operand, 7] < 0.1 and r2[operand, operand, 2] < 0.1
    # At the sign of equality nothing of the numbers is there; before the units, the tens digit is.
    assert (r2["answer 1"] < 0.01).all()
    assert r2["answer 2", "digit 1", 10] > 0.99 and r2["answer 2", "digit 2", 10] < 0.3
    assert "digit 2" in set(table["target"]) and ("a", "b") not in {(p, t) for p, t, _ in r2.index}
    assert ("b", "a") in {(p, t) for p, t, _ in r2.index}


def test_digits_and_states_are_named():
    found = digits_of(np.array([108, 250]))
    assert {name: values.tolist() for name, values in found.items()} == {
        "digit 1": [1, 2],
        "digit 2": [0, 5],
        "digit 3": [8, 0],
    }
    assert digits_of(np.array([8, 10])) == {} and digits_of(np.array([8, 9])) == {}
    assert probed_states(31, 4) == [0, 10, 20, 30]
    assert probed_states(4, 0) == probed_states(4, 9) == [0, 1, 2, 3]
    assert probed_states(31, [24, 5, 24]) == [5, 24]
    assert probed_states(31, [5, 31]) == [5]
    with pytest.raises(UserError, match="names state 31, but the model has the states 0 to 30"):
        probed_states(31, [40, 31])


def test_a_masked_model_and_a_token_that_runs_on_get_one_sentence(tmp_path):
    masked = tiny_model("bert", largest=24)
    with pytest.raises(UserError, match="only causal models are captured at named positions"):
        lines_of(masked, ["1 + 2"], [(1, 5)], [3], "bare")
    view = tiny_model("gpt2", largest=24)
    with pytest.raises(UserError, match="a token holds the end of an operand"):
        # The word-level tokenizer writes 12 as one token: no token ends after its 1.
        lines_of(view, ["12 + 2"], [(1, 6)], [14], "bare")
    with pytest.raises(UserError, match="does not end in the question"):
        operand_ends(TASK, "something else", 0, 1, 2)
    rows = rows_of(TASK, 4)
    with pytest.raises(UserError, match="cannot store activations"):
        capture_positions(digit_model(), TASK, rows, tmp_path / "x.zarr", batch_size=2, block=2, dtype="int8")


def test_parts_of_a_planted_sum_are_exact():
    # Two pieces write a circle with shares 0.75 and 0.25; a third writes noise.
    generator = np.random.default_rng(0)
    numbers = np.tile(np.arange(100), 4)
    signal = circle(numbers, [10])[:, 0] @ generator.standard_normal((2, 20))
    noise = 0.02 * generator.standard_normal((400, 20))
    parts = parts_of(
        np.stack([0.75 * signal, 0.25 * signal, noise]), numbers, numbers, 10, 1e-6, folds=5, seed=0
    )
    assert parts == pytest.approx([0.75, 0.25, 0.0], abs=0.01)


@pytest.mark.parametrize("scaling", ["common", "feature"])
def test_directions_are_those_of_the_probe(scaling):
    generator = np.random.default_rng(1)
    for features in (5, 60):
        train, test = generator.standard_normal((30, features)), generator.standard_normal((7, features))
        targets = generator.standard_normal((30, 2))
        train[:, 0] *= 20
        predicted = ridge_predictions(train, targets, test, [0.3], scaling)[0]
        directions = probe_directions(train, targets, 0.3, scaling)
        assert np.allclose(
            predicted, (test - train.mean(axis=0)) @ directions + targets.mean(axis=0), atol=1e-4
        )


def test_contributions_sum_to_the_slope(tmp_path):
    task = Task("sums", "addition", (10, 49), templates=("{a}+{b}=",), fractions=(0.5, 0.1))
    view = digit_model()
    store = captured(
        view, task, rows_of(task, 200), tmp_path / "s.zarr", batch_size=64, block=200, modules=True
    )
    probes = position_probes(store, settings=SETTINGS | {"periods": [2, 5, 10]})
    table = contributions(store, probes, folds=5, seed=0)
    assert len(table) and set(table["module"]) <= {"embedding", "attention", "mlp"}
    for _, rows in table.groupby(["position", "target", "period"]):
        assert rows["part"].sum() == pytest.approx(rows["slope"].iloc[0])
        assert (rows["layer"] < rows["state"]).all()
    # Held out by answer, operands are read in other folds; the digits, always held out so, are not.
    keys = ["position", "target", "period", "module", "layer"]
    other = contributions(store, probes, folds=5, seed=0, held_out="answer").set_index(keys)["part"]
    same = table.set_index(keys)["part"]
    operands, digits = (
        same.index.get_level_values("target").isin(names) for names in (["a", "b"], ["digit 1"])
    )
    assert not np.allclose(other[operands], same[operands]) and np.array_equal(other[digits], same[digits])
    # The last digit of an operand at its own token is in the first state: the embedding has nearly all of it.
    own = table[(table["position"] == "a") & (table["target"] == "a") & (table["period"] == 10)]
    assert isinstance(own, pd.DataFrame) and own.loc[own["module"] == "embedding", "part"].iloc[0] > 0.2
