"""Progress measures: planted logits have known losses, and periods are seen when they appear."""

import numpy as np
import pytest
import torch
import yaml
from fourier_addition.analysis.progress import (
    band_components,
    cross_entropy,
    progress_losses,
    progress_spectra,
    restricted_and_excluded,
)
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.figures import views
from study import ROOT

BANDS = {"key": [2, 5, 10], "control": [3, 7, 9]}
BASIS = fourier_basis(101)
# 0 and 100 have the same phase in every component.
ANSWERS = np.random.default_rng(0).integers(1, 100, 300)


def waves_at(answers: np.ndarray, components: list[int]) -> np.ndarray:
    """Waves over the numbers that peak at the answers, (example, number)."""
    distance = np.arange(101) - answers[:, None]
    return sum(np.cos(2 * np.pi * k * distance / 100) for k in components)


def reference(logits: np.ndarray) -> float:
    return torch.nn.functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(ANSWERS)).item()


def test_planted_logits_have_the_restricted_and_excluded_loss_of_their_parts():
    # The key part is made of waves; the other part is made free of them by regression on the waves.
    key = 6 * waves_at(ANSWERS, [10, 20, 50])
    angles = 2 * np.pi * np.arange(101)[:, None] * [10, 20, 50] / 100
    design = np.hstack([np.ones((101, 1)), np.cos(angles), np.sin(angles[:, :2])])
    rest = 3 * np.random.default_rng(1).standard_normal((300, 101))
    rest -= (design @ np.linalg.lstsq(design, rest.T, rcond=None)[0]).T
    table = progress_losses(key + rest, ANSWERS, BANDS, BASIS).set_index("periods")
    assert table.loc["key", "loss"] == pytest.approx(reference(key + rest))
    assert table.loc["key", "restricted_loss"] == pytest.approx(reference(key))
    assert table.loc["key", "excluded_loss"] == pytest.approx(reference(rest))
    assert table.loc["key", "accuracy"] == ((key + rest).argmax(axis=1) == ANSWERS).mean()


def test_residues_alone_leave_the_loss_of_ten_numbers_of_one_last_digit():
    # Sharp waves of periods 10, 5, 3.3, 2.5 and 2 name the last digit: 10 or 11 numbers share it.
    logits = 40 * waves_at(ANSWERS, [10, 20, 30, 40, 50])
    found = progress_losses(logits, ANSWERS, {"key": [10, 5, 10 / 3, 2.5, 2]}, BASIS).iloc[0]
    same = np.where(ANSWERS % 10 == 0, 11, 10)
    assert found["restricted_loss"] == pytest.approx(np.log(same).mean(), abs=1e-6)
    assert found["excluded_loss"] == pytest.approx(np.log(101))


def test_a_model_that_groks_is_told_from_one_that_remembers():
    # Memory is noise with a spike at the answer; the rule is waves. Both answer everything.
    spike = 30 * (np.arange(101) == ANSWERS[:, None]) + np.random.default_rng(2).standard_normal((300, 101))
    rule = 9 * waves_at(ANSWERS, [1, 2, 3, 10, 20, 50])
    remembers = progress_losses(spike, ANSWERS, BANDS, BASIS).set_index("periods")
    groks = progress_losses(rule, ANSWERS, BANDS, BASIS).set_index("periods")
    assert (remembers["accuracy"] == 1).all() and (groks["accuracy"] == 1).all()
    assert remembers.loc["key", "excluded_loss"] < 0.1 and groks.loc["key", "excluded_loss"] > 0.5
    # Waves of other periods carry nothing of what the rule does.
    assert groks.loc["control", "excluded_loss"] == pytest.approx(groks.loc["key", "loss"], abs=0.02)
    assert groks.loc["control", "restricted_loss"] > np.log(101) - 0.01


def test_the_two_parts_are_the_logits():
    logits = np.random.default_rng(3).standard_normal((7, 101))
    kept, left = restricted_and_excluded(logits, [10, 50], 100)
    assert np.allclose(kept + left, logits) and np.allclose(left.mean(axis=1), 0)
    assert np.allclose(restricted_and_excluded(kept, [10, 50], 100)[0], kept)
    assert cross_entropy(np.zeros((3, 5)), np.array([0, 1, 2])) == pytest.approx(np.log(5))


def test_a_period_is_seen_where_it_was_written():
    generator = np.random.default_rng(4)
    embedding, outputs = generator.standard_normal((101, 32)), generator.standard_normal((40, 101))
    angle = 2 * np.pi * np.arange(101) / 10
    with_ten = embedding + np.stack([np.cos(angle), np.sin(angle)], axis=1) @ generator.standard_normal(
        (2, 32)
    )
    analysis = {"average": "mean", "null_window": 5}
    logits = {"mlp": outputs + 3 * waves_at(generator.integers(0, 101, 40), [20])}
    before = progress_spectra(embedding, {"mlp": outputs}, BANDS, BASIS, analysis)
    after = progress_spectra(with_ten, logits, BANDS, BASIS, analysis)
    assert before["prominence"].max() < 1.7
    seen = after[after["prominence"] > 2]
    assert list(zip(seen["source"], seen["period"], strict=True)) == [("embedding", 10), ("mlp", 5)]


def test_periods_that_a_number_space_lacks_are_left_out():
    bands = {"key": [2, 5, 10], "control": [3, 7]}
    assert band_components(bands, fourier_basis(21)) == {"key": [2, 4, 10], "control": [3, 7]}
    assert band_components(bands, fourier_basis(17)) == {"key": [8]}
    with pytest.raises(UserError, match=r"numbers 0\.\.16 has a period of 11, 12"):
        band_components({"key": [11, 12]}, fourier_basis(17))


def micro(**changes):
    """The smallest study, with changed keys of its fine-tuned run, and a figure of its progress."""
    config = yaml.safe_load((ROOT / "tests/configs/micro.yaml").read_text())
    config["runs"]["mini.finetuned"] |= changes
    config["figures"] = {"progress": {"kind": "progress", "runs": ["mini.finetuned"]}}
    return config


def test_progress_needs_kept_weights_of_epochs_that_the_run_has():
    shown = views(validated(micro(keep_checkpoints=[0, 2])))["progress"]
    assert shown.inputs["losses"] == ["results/runs/mini.finetuned.seed0/progress.parquet"]
    with pytest.raises(UserError, match="keeps no weights: give it `keep_checkpoints`"):
        views(validated(micro()))
    with pytest.raises(UserError, match=r"keep_checkpoints` has epoch 3, but the run has 2 epochs"):
        validated(micro(keep_checkpoints=[0, 3]))
