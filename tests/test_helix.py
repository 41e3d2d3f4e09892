"""Helices in residual states: a planted one is found with its share of the variance, none in noise."""

import numpy as np
import pytest
from fourier_addition.analysis.grouped_states import grouped
from fourier_addition.analysis.helix import (
    HelixSettings,
    circle,
    held_out_fractions,
    held_out_pca,
    helix,
    helix_fits,
    parts,
    usable_periods,
)
from fourier_addition.analysis.rebuilt import rebuilt_states
from fourier_addition.errors import UserError
from sklearn.decomposition import PCA
from sklearn.linear_model import LinearRegression

PERIODS = (2, 5, 10, 100)
SETTINGS = HelixSettings(PERIODS, shuffles=40, folds=5, seed=0)


def planted(signal: float, seed: int = 0, examples: int = 2000, width: int = 40):
    """States of which a helix of a + b holds the share `signal` of the variance, and their numbers.

    Each template has an offset of its own, which is no variance.
    """
    generator = np.random.default_rng(seed)
    a, b = generator.integers(0, 51, (2, examples))
    templates = generator.integers(0, 3, examples)
    features = helix(a + b, PERIODS)
    features = (features - features.mean(axis=0)) / features.std(axis=0)
    part = features @ generator.standard_normal((features.shape[1], width))
    noise = generator.standard_normal((examples, width))
    part *= np.sqrt(signal / part.var(axis=0).sum())
    noise *= np.sqrt((1 - signal) / noise.var(axis=0).sum())
    return part + noise + 10 * generator.standard_normal((3, width))[templates], a, b, templates


@pytest.mark.parametrize("signal", [0.3, 0.9])
def test_a_planted_helix_is_found_with_its_share_of_the_variance(signal):
    states, a, b, templates = planted(signal)
    table = helix_fits(states, {"a": a, "answer": a + b}, templates, SETTINGS)
    whole = table[table["part"] == "helix"].set_index("variable")
    assert whole.loc["answer", "held_out"] == pytest.approx(signal, abs=0.02)
    assert whole.loc["answer", "dimension"] == 8
    assert whole.loc["answer", "null_high"] < 0.1
    # As many principal components hold the helix, and a bit of the noise.
    assert signal - 0.03 < whole.loc["answer", "pca"] < signal + 0.25 * (1 - signal) + 0.02
    # The operand is one of two parts of the sum: its line and its circles do not explain what the sum does.
    assert whole.loc["a", "held_out"] < 0.4 * signal


def test_noise_has_no_helix():
    states, a, b, templates = planted(0.0)
    table = helix_fits(states, {"answer": a + b}, templates, SETTINGS)
    assert (table["held_out"] < table["null_high"] + 0.01).all()
    assert (table["held_out"].abs() < 0.05).all()


def test_only_the_planted_period_explains_anything():
    generator = np.random.default_rng(1)
    numbers = np.repeat(np.arange(60), 5)
    states = circle(numbers, 5) @ generator.standard_normal((2, 20))
    states += 0.1 * generator.standard_normal(states.shape)
    table = helix_fits(states, {"n": numbers}, np.zeros(300), SETTINGS).set_index("part")
    assert table.loc["period 5", "held_out"] > 0.95 < table.loc["helix", "held_out"]
    for part in ("linear", "period 2", "period 10"):
        assert table.loc[part, "held_out"] < table.loc[part, "null_high"] + 0.02
    # 100 numbers are not spanned.
    assert "period 100" not in table.index


def test_the_sums_give_what_regression_and_pca_of_the_states_give():
    states, a, b, templates = planted(0.5, examples=300, width=12)
    numbers = a + b
    summed = grouped(states, numbers, templates, folds=4, seed=3)
    features = parts(summed.values, PERIODS)["helix"]
    found = held_out_fractions(summed, features[None])[0]
    components = held_out_pca(summed, [3])[3]
    error = total = inside = 0.0
    place = np.searchsorted(summed.values, numbers)
    for fold in range(4):
        test = summed.fold[place] == fold
        centres = np.stack([states[~test & (templates == one)].mean(axis=0) for one in range(3)])
        x = states - centres[templates]
        model = LinearRegression().fit(features[place][~test], x[~test])
        error += np.square(x[test] - model.predict(features[place][test])).sum()
        total += np.square(x[test]).sum()
        axes = PCA(3, svd_solver="full").fit(x[~test]).components_
        inside += np.square(x[test] @ axes.T).sum()
    assert found == pytest.approx(1 - error / total)
    assert components == pytest.approx(inside / total)


def test_what_does_not_fit_is_refused():
    assert usable_periods(np.arange(51), PERIODS) == [2, 5, 10]
    with pytest.raises(UserError, match="None of the periods 50, 100 fits into 20 numbers"):
        usable_periods(np.arange(20), (50, 100))
    with pytest.raises(UserError, match="3 distinct numbers are too few for 5 folds"):
        grouped(np.zeros((6, 2)), np.array([1, 2, 3] * 2), np.zeros(6), folds=5, seed=0)


def test_rebuilt_states_have_not_seen_their_number():
    states, a, b, templates = planted(0.9, examples=400, width=20)
    numbers = a + b
    found = rebuilt_states(states, numbers, templates, SETTINGS)
    assert {name: one.dimension for name, one in found.items()} == {
        **{"mean": 0, "linear": 1, "circles": 7, "helix": 8, "shuffled": 8, "pca": 8}
    }

    # Around the template's mean, the helix leaves a tenth of the variance; a shuffled one leaves all.
    def left(name: str) -> float:
        return np.square(states - found[name].states).sum() / np.square(states - found["mean"].states).sum()

    assert left("helix") == pytest.approx(0.1, abs=0.03)
    assert left("shuffled") > 0.9 and left("linear") > left("helix") < left("circles")

    # Other states of one number change what is rebuilt of other numbers, not what is rebuilt of it.
    one = numbers == numbers[0]
    changed = rebuilt_states(np.where(one[:, None], 100.0, states), numbers, templates, SETTINGS)
    assert np.allclose(changed["helix"].states[one], found["helix"].states[one])
    assert not np.allclose(changed["helix"].states[~one], found["helix"].states[~one])


def test_states_that_do_not_differ_have_no_share_to_explain():
    # Before the first block, every prompt of a template has the state of the template's last token.
    _, a, b, templates = planted(0.5, examples=200, width=6)
    states = np.random.default_rng(0).standard_normal((3, 6))[templates]
    table = helix_fits(states, {"answer": a + b}, templates, SETTINGS)
    assert table[["held_out", "null_low", "null_high", "pca"]].isna().all(axis=None)
