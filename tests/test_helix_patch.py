"""Patched states: hooks put them where they belong, and a model that reads a helix follows its patch."""

import numpy as np
import pytest
import torch
from fourier_addition.ablation.helix_patch import Targets, draw_sources, helix_patches, targets_of
from fourier_addition.ablation.patching import patched_logits
from fourier_addition.analysis.helix import HelixSettings, helix
from fourier_addition.errors import UserError
from fourier_addition.models import Recorder
from tiny import number_ids, tiny_model

SETTINGS = HelixSettings((2, 5, 10), shuffles=20, folds=4, seed=0)


def prompts(pairs: int = 12) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Prompts of two templates, their answers and their templates."""
    generator = np.random.default_rng(0)
    a, b = generator.integers(0, 10, (2, pairs))
    templates = np.arange(pairs) % 2
    texts = [
        f"What is {x} + {y} ? A :" if t else f"Add {x} and {y} . Answer :"
        for x, y, t in zip(a, b, templates, strict=True)
    ]
    return texts, a + b, templates


def recorded(view, encoded) -> np.ndarray:
    """Residual stream at the reading position, (state, example, d_model)."""
    out = np.empty((view.n_layers + 1, len(encoded), view.d_model), np.float32)
    with Recorder(view, 32) as recorder:
        for bucket in view.buckets(encoded, 32):
            out[:, bucket.index] = recorder.run(bucket.ids, bucket.position).residual.numpy()
    return out


@pytest.mark.parametrize("family", ["gpt2", "gptj", "llama", "gemma2", "gpt_neox", "bert"])
def test_an_own_state_changes_nothing_and_a_last_state_decides_the_answer(family):
    view = tiny_model(family)
    ids = np.array(number_ids(view.tokenizer, 20))
    texts, _, _ = prompts()
    encoded = view.encode(texts)
    states, positions = recorded(view, encoded), [one.position for one in encoded]
    plain = patched_logits(view, encoded, ids, 0, None, (), batch_size=5)
    for state in range(view.n_layers + 1):
        same = patched_logits(view, encoded, ids, state, states[state], positions, batch_size=5)
        assert np.allclose(same, plain, atol=1e-4)
    # After the last block nothing else reaches the answer.
    swapped = patched_logits(
        view, encoded, ids, view.n_layers, states[-1][::-1].copy(), positions, batch_size=5
    )
    assert np.allclose(swapped, plain[::-1], atol=1e-4) and not np.allclose(plain, plain[::-1], atol=1e-2)


def test_sources_have_the_template_and_another_number():
    _, answers, templates = prompts(40)
    sources = draw_sources(answers, templates, seed=1)
    assert (templates[sources] == templates).all() and (answers[sources] != answers).all()
    assert draw_sources(np.array([3, 3]), np.array([0, 0]), seed=0).tolist() == [-1, -1]
    with pytest.raises(UserError, match="No two prompts"):
        targets_of([], np.array([3, 3]), np.array([0, 0]), most=0, seed=0)


def test_a_model_that_reads_a_helix_follows_the_patched_helix():
    # States after the last block hold a helix of the answer, from which the unembedding reads the answer.
    view = tiny_model("gpt2", largest=39, width=48)
    ids = np.array(number_ids(view.tokenizer, 39))
    generator = np.random.default_rng(2)
    numbers = generator.integers(0, 40, 240)
    code = helix(np.arange(40), SETTINGS.periods)
    code[:, 0] *= 10
    code -= code.mean(axis=0)
    directions = np.linalg.qr(generator.standard_normal((48, code.shape[1])))[0]
    directions -= directions.mean(axis=0)
    with torch.no_grad():
        rows = view.unembedding_parameter()
        rows[ids] = torch.from_numpy(8 * code @ directions.T / np.linalg.norm(code, axis=1)[:, None]).float()
        view.final_norm.weight.fill_(1.0)
        view.final_norm.bias.zero_()
    states = code[numbers] @ directions.T + 0.02 * generator.standard_normal((240, 48))

    # Any prompt will do, as nothing else reaches the answer.
    encoded = view.encode(["What is 1 + 2 ? A :"] * 240)
    sources = draw_sources(numbers, np.zeros(240), seed=0)
    targets = Targets(np.arange(240), sources, encoded, [one.position for one in encoded], numbers[sources])
    given = [states.astype(np.float32)] * (view.n_layers + 1)
    table = helix_patches(view, given, targets, numbers, np.zeros(240), ids, SETTINGS, batch_size=64)
    last = table[table["layer"] == view.n_layers].set_index("kind")
    assert last.loc["state", "accuracy"] > 0.97 and last.loc["helix", "accuracy"] > 0.9
    assert last.loc["pca", "accuracy"] > 0.9
    assert last.loc["mean", "accuracy"] < 0.1 and last.loc["shuffled", "accuracy"] < 0.15
    ratio = last.loc["helix", "logit_difference"] / last.loc["state", "logit_difference"]
    assert 0.9 < ratio < 1.1
    assert last.loc["helix", "low"] < last.loc["helix", "logit_difference"] < last.loc["helix", "high"]
