"""Fourier probes: planted circles are read with the R2 that their noise leaves, wrong periods are not."""

import numpy as np
import pytest
from fourier_addition.analysis.folds import number_folds
from fourier_addition.analysis.fourier_probes import (
    circle,
    fitting_periods,
    fourier_probe_table,
    ridge_predictions,
)
from sklearn.linear_model import Ridge

SETTINGS = {"shuffles": 20, "folds": 5, "penalties": [0.001, 0.01, 0.1, 1.0, 10.0], "seed": 0}


def planted(numbers, periods, noise, width=60, seed=0):
    """Vectors with each period's circle in two directions of its own, and noise in those directions."""
    generator = np.random.default_rng(seed)
    directions = np.linalg.qr(generator.standard_normal((width, width)))[0]
    signal = circle(numbers, periods).reshape(len(numbers), -1)
    signal = signal + noise * generator.standard_normal(signal.shape)
    return signal @ directions[: signal.shape[1]]


@pytest.mark.parametrize(("examples", "features"), [(40, 12), (30, 90)])
def test_predictions_are_the_librarys_ridge_regression(examples, features):
    generator = np.random.default_rng(1)
    train, test = generator.standard_normal((examples, features)), generator.standard_normal((7, features))
    targets = generator.standard_normal((examples, 3))
    scale = np.sqrt(train.var(axis=0).sum())
    found = ridge_predictions(train, targets, test, [0.1, 2.0])
    for penalty, predicted in zip([0.1, 2.0], found, strict=True):
        model = Ridge(alpha=penalty).fit((train - train.mean(axis=0)) / scale, targets)
        assert np.allclose(predicted, model.predict((test - train.mean(axis=0)) / scale), atol=1e-4)


def test_planted_circles_have_the_known_r2():
    # Noise of variance v on a circle whose cos and sin have variance 1/2 leaves R2 = 0.5 / (0.5 + v).
    numbers = np.tile(np.arange(100), 8)
    noise = 0.35
    table = fourier_probe_table(
        planted(numbers, [10, 5], noise), numbers, [2, 5, 7, 9, 10, 11], **SETTINGS
    ).set_index("period")
    known = 0.5 / (0.5 + noise**2)
    for period in (5, 10):
        row = table.loc[period]
        assert row["r2"] == pytest.approx(known, abs=0.02)
        assert row["r2_low"] < row["r2"] < row["r2_high"] and row["r2_low"] > row["null_high"]
        assert row["angular_error"] < 25
    for period in (2, 7, 9, 11):
        row = table.loc[period]
        assert abs(row["r2"]) < 0.08 and 60 < row["angular_error"] < 120
    # Half a number on a circle of 10 is 18 degrees, on one of 5 it is 36.
    assert table.loc[5, "decoded"] > table.loc[10, "decoded"] > 0.6 and table.loc[7, "decoded"] < 0.3


def test_parity_is_read_from_one_direction():
    numbers = np.tile(np.arange(60), 5)
    table = fourier_probe_table(planted(numbers, [2], 0.1), numbers, [2, 3], **SETTINGS)
    parity, third = table.to_dict("records")
    assert parity["r2"] > 0.97 and parity["decoded"] == 1.0
    assert third["r2"] < 0.05


def test_the_penalty_is_chosen_on_training_folds_alone():
    generator = np.random.default_rng(3)
    numbers = np.repeat(np.arange(40), 2)
    vectors = planted(numbers, [10], 0.6) + 0.3 * generator.standard_normal((80, 60))
    penalties = [0.01, 0.1, 1.0, 10.0]
    row = fourier_probe_table(vectors, numbers, [10], **SETTINGS | {"penalties": penalties}).iloc[0]
    fold_of, truth = number_folds(numbers, folds=5, seed=0), circle(numbers, [10])[:, 0]
    chosen, missed, spread = [], 0.0, 0.0
    for fold in range(5):
        errors = np.zeros(4)
        for inner in set(range(5)) - {fold}:
            train, test = (fold_of != fold) & (fold_of != inner), fold_of == inner
            found = ridge_predictions(vectors[train], truth[train], vectors[test], penalties)
            errors += ((found - truth[test]) ** 2).sum(axis=(1, 2))
        chosen.append(penalties[errors.argmin()])
        train, test = fold_of != fold, fold_of == fold
        assert not set(numbers[train]) & set(numbers[test])
        found = ridge_predictions(vectors[train], truth[train], vectors[test], chosen[-1:])[0]
        missed += ((found - truth[test]) ** 2).sum()
        spread += ((truth[train].mean(axis=0) - truth[test]) ** 2).sum()
    assert row["penalty"] == pytest.approx(np.exp(np.mean(np.log(chosen)))) and len(set(penalties)) > 1
    assert row["r2"] == pytest.approx(1 - missed / spread, abs=1e-4)


def test_numbers_that_carry_nothing_have_no_r2():
    vectors = np.random.default_rng(6).standard_normal((300, 100))
    table = fourier_probe_table(vectors, np.tile(np.arange(100), 3), [2, 5, 10, 50], **SETTINGS)
    assert (table["r2"] < 0.1).all()


def test_what_is_held_out_may_be_wider_than_the_number():
    # Last digits, held out by answer: every digit is trained on, and vectors are new.
    answers = np.repeat(np.arange(20, 100), 3)
    vectors = planted(answers % 10, [10], 0.05)
    by_answer = fourier_probe_table(vectors, answers % 10, [10], groups=answers, **SETTINGS)
    assert by_answer["numbers"][0] == 80 and by_answer["r2"][0] > 0.95
    assert by_answer["null_high"][0] < 0.2


def test_a_number_that_was_seen_is_read_without_a_circle():
    """One direction for each number and no order among them: nothing to read of a number that is held out."""
    numbers = np.tile(np.arange(20), 10)
    vectors, other = np.eye(20)[numbers], np.arange(200) // 20
    own = fourier_probe_table(vectors, numbers, [10], **SETTINGS)
    seen = fourier_probe_table(vectors, numbers, [10], held_out=other, **SETTINGS)
    assert own["r2"][0] < 0.05 and seen["r2"][0] > 0.95
    # Shuffled numbers are read just as well, which says that this is no circle.
    assert own["null_high"][0] < 0.3 and seen["null_low"][0] > 0.9
    assert (own["numbers"][0], seen["numbers"][0]) == (20, 20)
    assert fourier_probe_table(vectors, numbers, [10], held_out=other * 0, **SETTINGS).empty


def test_periods_that_the_numbers_do_not_span_are_left_out():
    assert fitting_periods(np.array([0, 49]), [2, 100, 101, 200]) == [2, 100]
    assert fourier_probe_table(np.eye(3), np.arange(3), [2], **SETTINGS).empty
    same = [fourier_probe_table(planted(np.arange(30), [5], 1), np.arange(30), [5], **SETTINGS) for _ in "ab"]
    assert same[0].equals(same[1])
