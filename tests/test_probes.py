"""Probes of n mod T: what is written into vectors is read, what is not stays within the null."""

import numpy as np
import pytest
from fourier_addition.analysis.accuracy import arms_table, epochs_to
from fourier_addition.analysis.folds import inner_pairs, standardised
from fourier_addition.analysis.probes import kappas, layer_probes, probe_kappas, probe_table
from fourier_addition.analysis.softmax import coordinates, softmax_scores
from fourier_addition.errors import UserError
from fourier_addition.intervals import student_interval
from pandas import DataFrame
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score
from sklearn.preprocessing import StandardScaler

SETTINGS = {"shuffles": 20, "folds": 5, "penalties": [0.01, 0.1, 1.0, 10.0], "seed": 0}


def test_kappa_is_that_of_the_library():
    generator = np.random.default_rng(0)
    truth, predicted = generator.integers(0, 4, (2, 6, 50))
    expected = [cohen_kappa_score(a, b) for a, b in zip(truth, predicted, strict=True)]
    assert np.allclose(kappas(truth, predicted, 4), expected)
    assert kappas(np.zeros((1, 5), int), np.zeros((1, 5), int), 2) == [0]


def test_the_probe_is_the_librarys_logistic_regression_over_unseen_numbers():
    generator = np.random.default_rng(1)
    numbers = generator.integers(0, 30, 90)
    vectors = generator.standard_normal((90, 12))
    vectors[:, 0] += numbers % 3
    values = np.unique(numbers)
    residues = np.stack([values % 3, generator.permutation(values % 3)])
    place = np.searchsorted(values, numbers)
    # Another property beside it changes nothing.
    parity = np.stack([values % 2, generator.permutation(values % 2)])
    settings = {"folds": 5, "penalties": [0.1, 1.0], "seed": 7}
    (other, _), (found, chosen) = probe_kappas(vectors, place, [parity, residues], **settings)
    [(alone, _)] = probe_kappas(vectors, place, [residues], **settings)
    assert np.array_equal(alone, found) and not np.array_equal(other, found)
    fold_of = np.random.default_rng(7).permutation(len(values))[place] % 5
    own = residues[0][place]
    for fold in range(5):
        # The penalty is the one that is best on the other folds, each held out once.
        scores = {}
        for penalty in (0.1, 1.0):
            scores[penalty] = 0.0
            for inner in set(range(5)) - {fold}:
                train, test = (fold_of != fold) & (fold_of != inner), fold_of == inner
                assert not set(numbers[train]) & set(numbers[test])
                model, scaled = fitted(vectors, own, train, penalty)
                likelihood = model.predict_log_proba(scaled[test])[range(test.sum()), own[test]].sum()
                scores[penalty] += (model.predict(scaled[test]) == own[test]).sum() + 1e-6 * likelihood
        assert chosen[fold] == max(scores, key=scores.get)
    for case, kappa in zip(residues, found, strict=True):
        labels, predicted = case[place], np.empty(90, int)
        for fold in range(5):
            train = fold_of != fold
            model, scaled = fitted(vectors, labels, train, chosen[fold])
            predicted[~train] = model.predict(scaled[~train])
        assert kappa == pytest.approx(cohen_kappa_score(labels, predicted), abs=0.02)


def fitted(vectors, labels, train, penalty):
    """The library's regression on centred vectors of mean squared length 1, and these vectors."""
    scaled = vectors - vectors[train].mean(axis=0)
    scaled = scaled / np.sqrt((scaled[train] ** 2).sum(axis=1).mean())
    model = LogisticRegression(C=1 / penalty, tol=1e-8, max_iter=5000)
    return model.fit(scaled[train], labels[train]), scaled


@pytest.mark.parametrize("features", [8, 200])
def test_log_probabilities_are_the_librarys(features):
    generator = np.random.default_rng(4)
    vectors, labels = generator.standard_normal((80, features)), generator.integers(0, 5, (2, 80))
    train, test = standardised(vectors[:60], vectors[60:])
    along = coordinates(train, test)
    for penalty in (0.01, 1.0):
        scores = softmax_scores(along, labels[:, :60], np.full(2, penalty), classes=5)
        for case in range(2):
            model = LogisticRegression(C=1 / penalty, tol=1e-9, max_iter=10000).fit(train, labels[case, :60])
            assert np.allclose(np.exp(scores[case]), model.predict_proba(test), atol=0.01)


def test_features_scaled_one_by_one_are_the_librarys_and_of_length_one():
    generator = np.random.default_rng(8)
    vectors = generator.standard_normal((80, 6)) * 10.0 ** np.arange(6)
    vectors[:, 2] = 3.0
    train, test = standardised(vectors[:60], vectors[60:], "feature")
    scaler = StandardScaler().fit(vectors[:60])
    # The feature that does not vary is 0; the five others share the squared length 1.
    assert np.allclose(train, scaler.transform(vectors[:60]) / np.sqrt(5))
    assert np.allclose(test, scaler.transform(vectors[60:]) / np.sqrt(5))
    assert (train**2).sum(axis=1).mean() == pytest.approx(1)
    for scaling in ("common", "feature"):
        same, _ = standardised(np.ones((4, 3)), np.ones((2, 3)), scaling)
        assert (same == 0).all()


def test_a_large_feature_hides_others_unless_each_is_scaled():
    # A circle of 10 in two small features, beside one feature of noise that is 10,000 times as large.
    generator = np.random.default_rng(9)
    numbers = np.repeat(np.arange(60), 4)
    angle = 2 * np.pi * numbers / 10
    noise = generator.standard_normal(len(numbers))
    vectors = np.stack([np.cos(angle), np.sin(angle), 1e4 * noise], axis=1)
    found = {
        scaling: probe_table(vectors, numbers, [10], **SETTINGS, scaling=scaling).loc[0, "kappa"]
        for scaling in ("common", "feature")
    }
    assert found["common"] < 0.5 and found["feature"] > 0.95


def test_classes_that_one_hot_ridge_masks_are_read():
    # Ten classes on one circle: ridge on one-hot codes finds a class between two others at no place.
    generator = np.random.default_rng(5)
    numbers = np.repeat(np.arange(100), 3)
    angle = 2 * np.pi * numbers / 10
    vectors = np.stack([np.cos(angle), np.sin(angle)], axis=1) + 0.03 * generator.standard_normal((300, 2))
    table = probe_table(vectors, numbers, [10], **SETTINGS).iloc[0]
    assert table["kappa"] > 0.95 and table["null_high"] < 0.3


def test_residues_on_circles_are_read_and_others_are_not():
    generator = np.random.default_rng(2)
    numbers = np.arange(100)
    vectors = generator.standard_normal((100, 20))
    for k in range(1, 5):  # periods 10, 5, 3.3 and 2.5
        angle = 2 * np.pi * k * numbers / 10
        vectors[:, 2 * k : 2 * k + 2] += 6 * np.stack([np.cos(angle), np.sin(angle)], axis=1)
    table = probe_table(vectors, numbers, [7, 10], **SETTINGS).set_index("modulus")
    assert table.loc[10, "kappa"] > 0.6 > table.loc[10, "null_high"]
    assert table.loc[7, "kappa"] < table.loc[7, "null_high"] + 0.05


def test_a_modulus_with_too_few_numbers_is_left_out():
    table = probe_table(np.eye(20), np.arange(20), [2, 5], **SETTINGS)
    assert list(table["modulus"]) == [2]


def test_two_folds_leave_nothing_to_choose_a_penalty_on():
    with pytest.raises(UserError, match="needs 3 folds, not 2"):
        inner_pairs(2)


def test_every_state_is_probed_for_the_answer():
    generator = np.random.default_rng(3)
    answers = generator.integers(0, 60, 200)
    residual = generator.standard_normal((3, 200, 16))
    residual[2, :, 0] += 8 * (answers % 2)
    table = layer_probes(residual, answers, [2, 5], **SETTINGS)
    parity = table[table["modulus"] == 2].set_index("layer")
    assert list(parity.index) == [0, 1, 2]
    assert parity.loc[2, "kappa"] > 0.9 and parity.loc[0, "kappa"] < parity.loc[0, "null_high"] + 0.1


def test_arms_are_summed_up_over_seeds():
    assert np.isnan(student_interval([0.5], bounds=(0, 1))).all()
    low, high = student_interval([0.4, 0.5, 0.6], bounds=(0, 1))
    assert low == pytest.approx(0.5 - 4.3027 * 0.1 / np.sqrt(3), abs=1e-4) and high == pytest.approx(1 - low)
    slow = DataFrame({"epoch": [0, 1, 2], "step": [0, 10, 20], "accuracy": [0.0, 0.98, 0.995]})
    never = slow.assign(accuracy=0.1)
    assert epochs_to(slow, 0.99) == 2 and np.isnan(epochs_to(never, 0.99))
    splits = {"test": {"accuracy": 0.9}, "validation": {"accuracy": 0.8}}
    table = arms_table({("a", 0): splits, ("a", 1): splits}, {("a", 0): slow, ("a", 1): never})
    row = table.iloc[0]
    assert (row["seeds"], row["reached"], row["epochs"], row["steps"]) == (2, 1, 2, 20)
