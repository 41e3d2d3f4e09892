"""Planted truths: heads and neurons that write known periods and phases are named exactly."""

import numpy as np
import pytest
from fourier_addition.ablation.knockout_table import outcome_shares
from fourier_addition.ablation.knockouts import knockouts, run_knockouts
from fourier_addition.analysis.unit_spectra import component_writes, tuning, unit_spectra
from fourier_addition.analysis.units import activation_table, component_table, ranking, unit_table
from fourier_addition.capture.moments import UnitMoments
from fourier_addition.capture.units import unit_moments
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis, spectrum
from fourier_addition.models.units import unit_weights
from planted import BASE, NUMBERS, Planted, planted_model
from tiny import number_ids

PERIODS = [10.0, 4.0, 20.0]
UNITS = [
    Planted("attention", 0, 2, 10.0, 0.02, peak=0.0),
    Planted("attention", 0, 1, 4.0, 0.01, peak=1.0),
    Planted("mlp", 0, 5, 10.0, 0.03, peak=3.0, fires=3.0),
    Planted("mlp", 0, 7, 20.0, 0.02, peak=15.0, fires=5.0),
    Planted("mlp", 0, 3, 4.0, 0.01, peak=2.5, fires=1.0),
]


@pytest.fixture(scope="module")
def found():
    """Moments of the planted model on every number, and its parts."""
    view = planted_model(UNITS, PERIODS)
    encoded = view.encode([str(s) for s in range(NUMBERS)])
    answers = np.arange(NUMBERS)
    # the constant embedding term is orthogonal to every period over whole base periods only
    moments = {}
    for part in unit_moments(view, encoded[:BASE], answers[:BASE], NUMBERS, batch_size=16, layers_at_once=2):
        moments |= part
    return view, moments


def spectra_of(found, module, basis, layer=0):
    view, moments = found
    ids = number_ids(view.tokenizer, NUMBERS - 1)
    weights = unit_weights(view, module, layer).numpy()
    return unit_spectra(moments[module, layer], weights, view.unembedding(ids).numpy(), basis)


@pytest.mark.parametrize("kind", ["paper", "orthonormal"])
def test_planted_heads_are_named_with_period_and_phase(found, kind):
    basis = fourier_basis(NUMBERS, kind)
    table = unit_table(spectra_of(found, "attention", basis), None, "attention", 0).set_index("unit")
    for unit, period, peak in ((2, 10.0, 0.0), (1, 4.0, 1.0)):
        row = table.loc[unit]
        assert row["period"] == period
        # the printed basis counts the first and the last number as one phase, and leaks a little
        assert row["share_of_unit"] > (0.95 if kind == "paper" else 0.9999)
        assert row["share_of_module"] > (0.95 if kind == "paper" else 0.9999)
        assert row["alignment"] == pytest.approx(1, abs=2e-2)
        assert row["offset"] == pytest.approx(peak, abs=0.05)
    # heads that were not planted write nothing
    assert table.loc[[0, 3], "power"].max() == 0
    # a wave that peaks on the answer raises its logit by its height; one a quarter off does not
    assert table.loc[2, "answer_logit"] == pytest.approx(0.02, rel=0.05)
    assert abs(table.loc[1, "answer_logit"]) < 0.001


@pytest.mark.parametrize("kind", ["paper", "orthonormal"])
def test_planted_neurons_are_named_with_period_phase_and_lag(found, kind):
    basis = fourier_basis(NUMBERS, kind)
    tuned = tuning(found[1]["mlp", 0], basis)
    table = unit_table(spectra_of(found, "mlp", basis), tuned, "mlp", 0).set_index("unit")
    for unit, period, write, read, lag in (
        (5, 10.0, 3.0, 3.0, 0.0),
        (7, 20.0, 15.0, 5.0, -10.0),
        (3, 4.0, 2.5, 1.0, 1.5),
    ):
        row = table.loc[unit]
        assert (row["period"], row["best_period"]) == (period, period)
        assert row["r2"] == row["best_r2"] == pytest.approx(1, abs=1e-4)
        assert row["write_phase"] == pytest.approx(write, abs=0.05)
        assert row["read_phase"] == pytest.approx(read, abs=0.01)
        assert abs(row["lag"]) == pytest.approx(abs(lag), abs=0.06)
        assert row["tuned"]
    silent = table.drop([3, 5, 7])
    assert (silent["power"] == 0).all() and (silent["r2"] == 0).all() and not silent["tuned"].any()


def test_the_ranking_names_who_holds_a_band_and_how_much(found):
    basis = fourier_basis(NUMBERS, "orthonormal")
    bands = {"low": np.array([2]), "tens": np.array([4]), "fours": np.array([10])}
    ranks = ranking(spectra_of(found, "mlp", basis), bands, "mlp", 0)
    first = ranks[ranks["rank"] == 1].set_index("band")
    assert first["unit"].to_dict() == {"low": 7, "tens": 5, "fours": 3}
    assert first["cumulative"].tolist() == pytest.approx([1, 1, 1])
    assert ranks.groupby("band")["cumulative"].last().tolist() == pytest.approx([1, 1, 1])
    # both neurons of a band of two periods, by their power
    both = ranking(spectra_of(found, "mlp", basis), {"both": np.array([4, 10])}, "mlp", 0)
    assert both["unit"].tolist()[:2] == [5, 3]
    assert both["share"].tolist()[:2] == pytest.approx([0.9, 0.1], abs=1e-4)


def test_activations_are_the_planted_waves(found):
    basis = fourier_basis(NUMBERS, "orthonormal")
    moments = found[1]["mlp", 0]
    table = activation_table(moments, tuning(moments, basis), basis, [5, 7], 0)
    five = table[table["unit"] == 5]
    wave = 20 + np.cos(2 * np.pi * (five["answer"] - 3) / 10)
    np.testing.assert_allclose(five["activation"], wave, atol=1e-3)
    np.testing.assert_allclose(five["fitted"], wave, atol=1e-3)
    assert five["period"].unique() == [10.0]
    with pytest.raises(UserError, match="Neuron 12 does not exist"):
        activation_table(moments, tuning(moments, basis), basis, [12], 0)


def test_spectra_are_those_of_the_units_own_logits():
    """Against the logits of every example, written out, for random heads."""
    rng = np.random.default_rng(3)
    examples, units, features, width = 200, 3, 4, 30
    z, answers = rng.normal(size=(examples, units, features)), rng.integers(0, 17, examples)
    weights, unembedding = rng.normal(size=(units, features, width)), rng.normal(size=(17, width))
    moments = UnitMoments.empty(17, units, features)
    for part in np.array_split(np.arange(examples), 7):
        moments.add(z[part], answers[part])
    for kind in ("paper", "orthonormal"):
        basis = fourier_basis(17, kind)
        for baseline in ("mean", "zero"):
            held = z - z.mean(axis=0) if baseline == "mean" else z
            logits = np.einsum("euf,ufd,nd->eun", held, weights, unembedding)
            found = unit_spectra(moments, weights, unembedding, basis, baseline)
            magnitudes = np.sqrt((spectrum(logits, basis) ** 2).mean(axis=0)).T
            np.testing.assert_allclose(found.magnitude, magnitudes, rtol=1e-9)
            # the components of the answer's logit sum to it, less the constant (orthonormal basis)
            if kind == "orthonormal":
                used = answers < 16
                own = np.take_along_axis(logits, answers[:, None, None], 2)[..., 0]
                own = own - logits[..., :16].mean(axis=2)
                inside = UnitMoments.empty(17, units, features)
                if baseline == "zero":
                    inside.add(z[used], answers[used])
                    part = unit_spectra(inside, weights, unembedding, basis, "zero")
                    np.testing.assert_allclose(part.answer_logit.sum(axis=0), own[used].mean(axis=0))
    table = component_table(found, "attention", 2)
    assert len(table) == units * basis.n_components and set(table["layer"]) == {2}


def test_the_writes_of_a_wave_are_its_component():
    basis = fourier_basis(41, "orthonormal")
    n = np.arange(41)
    unembedding = np.cos(2 * np.pi * (n - 3) / 10)[:, None]
    writes = component_writes(np.ones((1, 1, 1)), unembedding, basis)[:, 0, 0]
    assert np.abs(writes).argmax() + 1 == 4
    assert np.angle(writes[3]) / (2 * np.pi / 10) == pytest.approx(3)


def test_noise_is_not_called_tuned_and_waves_are():
    """1,000 neurons of noise: the level holds for all of them together."""
    rng = np.random.default_rng(0)
    basis = fourier_basis(41, "orthonormal")
    answers = rng.integers(0, 41, 300)
    false = 0
    for _ in range(20):
        moments = UnitMoments.empty(41, 100, 1)
        moments.add(rng.normal(size=(300, 100, 1)), answers)
        tuned = tuning(moments, basis)
        false += bool((tuned.r2.max(axis=0) > tuned.threshold).any())
        assert np.abs(tuned.answer_share.mean()) < 0.1
    assert false <= 4
    wave = np.cos(2 * np.pi * answers / 10) + rng.normal(size=300)
    moments = UnitMoments.empty(41, 1, 1)
    moments.add(wave[:, None, None], answers)
    tuned = tuning(moments, basis)
    expected = (
        np.corrcoef(
            wave,
            np.cos(2 * np.pi * answers / 10) * tuned.coefficient[3, 0].real
            + np.sin(2 * np.pi * answers / 10) * tuned.coefficient[3, 0].imag,
        )[0, 1]
        ** 2
    )
    assert tuned.r2[:, 0].argmax() + 1 == 4 and tuned.r2[3, 0] > tuned.threshold
    assert tuned.r2[3, 0] == pytest.approx(expected, rel=1e-6)


def test_the_answer_is_lost_without_the_units_that_write_it_and_with_no_others():
    """A model that answers by two heads: one knows the last digit, the other where the answer is, about.

    The second's wave peaks two numbers beyond the answer, so alone it names a wrong last digit.
    """
    heads = [
        Planted("attention", 0, 2, 10.0, 1.0),
        Planted("attention", 0, 1, 40.0, 0.5, peak=2.0),
    ]
    view = planted_model(heads, [10.0, 40.0], heads=6)
    ids = number_ids(view.tokenizer, NUMBERS - 1)
    # three times the shorter period, so that its mean is zero
    answers = np.arange(30)
    encoded = view.encode([str(s) for s in answers])
    (moments,) = unit_moments(view, encoded, answers, NUMBERS, batch_size=8, layers_at_once=2)
    basis = fourier_basis(NUMBERS, "orthonormal")
    weights = unit_weights(view, "attention", 0).numpy()
    spectra = unit_spectra(moments["attention", 0], weights, view.unembedding(ids).numpy(), basis)
    ranks = ranking(spectra, {"tens": np.array([4]), "low": np.array([1])}, "attention", 0)
    chosen = knockouts(ranks, [1], draws=12, seed=0)
    held = {key: (one.inputs / one.examples).reshape(-1) for key, one in moments.items()}
    predictions = run_knockouts(view, encoded, ids, chosen, held, batch_size=8)
    by = {}
    for knockout, row in zip(chosen, predictions, strict=True):
        by.setdefault((knockout.band, knockout.units), outcome_shares(row, answers, 10))
    others = [shares for (band, units), shares in by.items() if band == "random" and units[0] not in (1, 2)]
    assert len(others) >= 2 and all(shares["accuracy"] == 1 for shares in others)
    # without the top head of tens the magnitude alone is left, without that of the low band the residue
    tens, low = by["tens", (2,)], by["low", (1,)]
    assert (tens["accuracy"], tens["residue"], tens["magnitude"]) == (0, 0, 1)
    assert low["residue"] == 1 and low["magnitude"] < 0.5
