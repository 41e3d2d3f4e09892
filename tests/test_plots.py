"""Figures: what they draw, what they say, and that the CSV and the bytes are what they should be."""

from __future__ import annotations

import functools
import itertools

import matplotlib
import numpy as np
import pandas as pd
import pytest
from fourier_addition.analysis.outliers import prominence
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis
from fourier_addition.fourier import spectrum as magnitudes
from fourier_addition.fourier import waves as component_waves
from fourier_addition.plots import errors, frame, pairs, probes, sweeps, table1, theme
from fourier_addition.plots.clusters import plot_clusters
from fourier_addition.plots.embedding import plot_embedding_spectra
from fourier_addition.plots.heatmap import plot_logit_heatmaps
from fourier_addition.plots.lens import plot_lens
from fourier_addition.plots.logits import plot_logits
from fourier_addition.plots.single_component import plot_single_component
from fourier_addition.plots.spectrum import NOTHING, plot_mean_spectra, plot_spectrum
from fourier_addition.plots.training import plot_final_accuracy, plot_training
from fourier_addition.plots.waves import plot_longest_wave, plot_waves_and_sum, plot_waves_by_band
from matplotlib.colors import to_hex
from matplotlib.text import Text

NOTE = "miniature model: 3 layers x 256, numbers 0-100; not the paper's numbers"
BASE_10 = (2, 2.5, 5, 10)
ARMS = ("fine-tuned", "from scratch", "frozen pre-trained embedding", "frozen random embedding")


# Synthetic tables, shaped like the miniature (101 numbers) and the paper (521 numbers, 48 layers).


def spectra(size=101, layers=3, periods=BASE_10, seed=0):
    """Flat spectra with peaks at the periods. layers: how many, or which."""
    generator = np.random.default_rng(seed)
    basis = fourier_basis(size)
    layers = range(layers) if isinstance(layers, int) else layers
    parts = []
    for module, layer in itertools.product(("mlp", "attention"), layers):
        growth = (layer + 1) / (max(layers) + 1)
        # A narrow spread, or the noise itself would have outliers.
        values = generator.uniform(0.9, 1.1, basis.n_components) * (1 + growth)
        for period in periods:
            values[round(basis.base_period / period) - 1] += 10 * growth + period / 10
        parts.append(
            pd.DataFrame(
                {
                    "module": module,
                    "layer": layer,
                    "component": basis.components,
                    "period": basis.periods,
                    "magnitude": values,
                }
            )
        )
    table = pd.concat(parts, ignore_index=True)
    rows = table["magnitude"].to_numpy().reshape(len(parts), -1)
    table["prominence"] = prominence(rows, 5).ravel()
    table["outlier"] = table["prominence"] > 1.8
    table["p_value"] = np.where(table["outlier"], 0.005, 0.5)
    return table


def embeddings(names, size=101, periods=BASE_10):
    parts = []
    for seed, name in enumerate(names):
        table = spectra(size, 1, periods, seed)
        table = table[table["module"] == "mlp"].drop(columns=["module", "layer"])
        ratio = table["magnitude"] / table["magnitude"].median()
        parts.append(table.assign(name=name, ratio=ratio, threshold=1.8))
    return pd.concat(parts, ignore_index=True)


def logits(size=101, layers=3, answer=58):
    generator = np.random.default_rng(0)
    numbers = np.arange(size)
    shape = sum(np.cos(2 * np.pi * (numbers - answer) / period) for period in BASE_10)
    return pd.concat(
        [
            pd.DataFrame(
                {
                    "module": module,
                    "layer": layer,
                    "number": numbers,
                    "logit": layer * shape + generator.normal(0, 0.1, size),
                }
            )
            for module in ("mlp", "attention")
            for layer in range(layers)
        ],
        ignore_index=True,
    )


def wave_table(size=101, answer=58):
    basis = fourier_basis(size, "orthonormal")
    numbers = np.arange(basis.points)
    signal = sum(
        a * np.cos(2 * np.pi * (numbers - answer) / t) for t, a in zip(BASE_10, (2, 3, 4, 5), strict=True)
    )
    signal = signal + 3 * np.cos(2 * np.pi * (numbers - answer) / basis.base_period)
    k, n = np.meshgrid(basis.components, numbers, indexing="ij")
    return pd.DataFrame(
        {
            "component": k.ravel(),
            "period": (basis.base_period / k).ravel(),
            "number": n.ravel(),
            "value": component_waves(signal, basis).ravel(),
            "magnitude": np.repeat(magnitudes(signal, basis), basis.points),
            "answer": answer,
        }
    )


def lens_table(layers=3):
    depth = np.arange(layers + 1) / layers
    return pd.DataFrame(
        {"layer": np.arange(layers + 1), "exact": depth**4, "within_2": depth**2, "within_10": depth}
    )


def number_plane(size=101):
    generator = np.random.default_rng(1)
    numbers = np.arange(size)
    tens = numbers % 10 == 0
    radius = np.where(tens, 12, 30)
    angle = 2 * np.pi * numbers / size
    return pd.DataFrame(
        {
            "number": numbers,
            "x": radius * np.cos(angle) + generator.normal(0, 1.5, size),
            "y": radius * np.sin(angle) + generator.normal(0, 1.5, size),
            "cluster": np.where(tens, 9, numbers * 9 // size),
        }
    )


def histories(arms=ARMS, epochs=20, seeds=3):
    rows = itertools.product(enumerate(arms), range(seeds), range(epochs + 1))
    return pd.DataFrame(
        [(arm, seed, e, (1 - 0.9**e) * (1 - 0.15 * i - 0.02 * seed)) for (i, arm), seed, e in rows],
        columns=["arm", "seed", "epoch", "accuracy"],
    )


def error_table():
    return pd.DataFrame(
        {
            "label": ["low from MLP"] * 6 + ["high from attention"] * 4,
            "error": [-120, -10, 0, 3, 10, 20, -2, -1, 0, 1],
            "count": [2, 30, 100, 1, 40, 20, 5, 50, 900, 60],
        }
    )


def filter_table(control=True):
    rows = [
        ("none", "-", 0.9974),
        ("both", "low", 0.0594),
        ("attention", "low", 0.9912),
        ("mlp", "low", 0.3589),
        ("both", "high", 0.2708),
        ("attention", "high", 0.7836),
        ("mlp", "high", 0.981),
    ]
    table = pd.DataFrame(rows, columns=["module", "band", "accuracy"])
    table["low"] = (table["accuracy"] - 0.02).clip(0, 1)
    table["high"] = (table["accuracy"] + 0.02).clip(0, 1)
    if control:
        table["control_mean"] = [np.nan, 0.9, 0.98, 0.95, 0.4, 0.8, 0.9]
        table["control_low"] = table["control_mean"] - 0.05
        table["control_high"] = table["control_mean"] + 0.02
    return table


def tau_table():
    rows = itertools.product(("attention", "mlp", "both"), ("low", "high"), (2, 5, 10, 20, 40))
    table = pd.DataFrame(rows, columns=["module", "band", "tau"])
    share = table["tau"] / 40
    table["accuracy"] = np.where(table["band"] == "low", 1 - 0.9 * share, share)
    return table.assign(control_low=0.6, control_mean=0.7, control_high=0.8)


def layer_table(layers=3):
    rows = itertools.product(("mlp", "attention"), ("low", "high"), range(layers))
    table = pd.DataFrame(rows, columns=["module", "band", "layer"])
    return table.assign(accuracy=1 - table["layer"] / layers)


def period_table(components=(1, 10, 20, 40, 50), base=100):
    rows = itertools.product(("mlp", "attention"), components)
    table = pd.DataFrame(rows, columns=["module", "component"])
    table["period"] = base / table["component"]
    return table.assign(
        accuracy=0.5, low=0.45, high=0.55, control_low=0.9, control_mean=0.95, control_high=1.0
    )


def probe_table(names=("fine-tuned", "from scratch"), layers=4):
    rows = itertools.product(names, range(layers), (2, 5, 10))
    table = pd.DataFrame(rows, columns=["name", "layer", "modulus"])
    return table.assign(kappa=table["layer"] / 4 + table["modulus"] / 100, null_low=-0.05, null_high=0.08)


def kept_table():
    rows = [(2.0, n, 40 + n % 2, 3) for n in range(101)] + [
        (100.0, n, min(100, n + 2), 1) for n in range(101)
    ]
    return pd.DataFrame(rows, columns=["kept_period", "answer", "prediction", "count"])


def facts(*rows):
    return pd.DataFrame(rows, columns=["label", "name", "value"])


def texts(ax):
    """Every text that stands in a panel, in order, without empty ones."""
    return [text.get_text() for text in ax.texts if text.get_text()]


def controls(ax):
    """Outlines of the grey bands of controls."""
    return [path for c in ax.collections if c.get_label() == "control" for path in c.get_paths()]


def boxes(ax):
    with theme.style():
        ax.figure.draw_without_rendering()
    renderer = ax.figure.canvas.get_renderer()
    # Of an annotation the text alone: its leader line may pass between other labels.
    return [Text.get_window_extent(text, renderer) for text in ax.texts if text.get_text()]


def assert_apart(found):
    for one, other in itertools.combinations(found, 2):
        width = min(one.x1, other.x1) - max(one.x0, other.x0)
        height = min(one.y1, other.y1) - max(one.y0, other.y0)
        assert min(width, height) <= 1.0, (one, other)


FIGURES = {
    "lens": lambda: plot_lens(lens_table(), title="Logit lens", note=NOTE),
    "spectrum": lambda: plot_spectrum(spectra(), panels=[("mlp", 1), ("attention", 2)], tau=9, note=NOTE),
    "spectrum paper": lambda: plot_spectrum(
        spectra(521, (33, 40)), panels=[("mlp", 33), ("attention", 40)], tau=50
    ),
    "mean spectra paper": lambda: plot_mean_spectra(spectra(521, range(28, 48)), layers=16),
    "two runs": lambda: plot_mean_spectra(
        pd.concat([spectra().assign(run="a"), spectra(periods=()).assign(run="b")]),
        run_labels={"a": "with a long name that says how it was trained", "b": "from scratch"},
    ),
    "heatmaps": lambda: plot_logit_heatmaps(logits(), answer=58, note=NOTE),
    "logits": lambda: plot_logits(logits(), panels=[("mlp", 2), ("attention", 1)], answer=58),
    "waves": lambda: plot_waves_and_sum(wave_table(), note=NOTE),
    "waves paper": lambda: plot_waves_by_band(wave_table(521, 108), cut=50, window=40),
    "longest wave": lambda: plot_longest_wave(wave_table()),
    "embeddings": lambda: plot_embedding_spectra(embeddings(["one", "two", "three"]), note=NOTE),
    "clusters 101": lambda: plot_clusters(number_plane(101), note=NOTE),
    "clusters 521": lambda: plot_clusters(number_plane(521)),
    "training": lambda: plot_training(histories(), names={"fine-tuned": "fine-tuned model"}, note=NOTE),
    "final": lambda: plot_final_accuracy(
        histories().query("epoch == 20").assign(low=lambda t: t.accuracy * 0.9, high=lambda t: t.accuracy),
        note=NOTE,
    ),
    "errors": lambda: errors.plot_errors(
        error_table(), facts=facts(("low from MLP", "multiples of 10", 0.9)), scale="log", note=NOTE
    ),
    "single component": lambda: plot_single_component(kept_table(), size=101, note=NOTE),
    "table 1": lambda: table1.plot_table1(filter_table(), note=NOTE),
    "digit ranges": lambda: table1.plot_digit_ranges(
        pd.concat([filter_table().assign(digit_range=name) for name in ("0-9", "10-99", "100-260")]),
        names={"0-9": "one digit"},
    ),
    "tau": lambda: sweeps.plot_tau(tau_table(), tau=10, baseline=0.98, note=NOTE),
    "layer bands": lambda: sweeps.plot_layer_bands(
        layer_table(), names={"low": "low frequencies"}, note=NOTE
    ),
    "periods": lambda: sweeps.plot_single_periods(period_table(), baseline=0.98, note=NOTE),
    "periods paper": lambda: sweeps.plot_single_periods(period_table(range(1, 261), 520)),
    "probes": lambda: probes.plot_probes(probe_table(), names={"fine-tuned": "model"}, note=NOTE),
    "figure 1": lambda: pairs.plot_lens_and_heatmaps(lens_table(48), logits(521, 48, 108), answer=108),
    "figure 5": lambda: pairs.plot_spectrum_and_clusters(
        embeddings(["fine-tuned"]), number_plane(), note=NOTE
    ),
    "figure 7": lambda: pairs.plot_spectrum_and_training(embeddings(["scratch"]), histories(), note=NOTE),
}


@functools.cache
def built(name):
    """A figure and its table, built once for all tests that only look at it."""
    return FIGURES[name]()


@pytest.mark.parametrize("name", FIGURES)
def test_every_figure_is_whole(name):
    figure, table = built(name)
    with theme.style():
        # Colourbars take their place when they are drawn.
        figure.draw_without_rendering()
        check_whole(figure, table, wide=name == "final")


def check_whole(figure, table, *, wide=False):
    """Width of a column, letters for the panels of the table, and no text cut off or over another."""
    panels = [ax for ax in figure.axes if ax.get_label() != "<colorbar>"]
    letters = [ax.get_title(loc="left").strip("()\n") for ax in panels]
    assert sorted(table["panel"].unique()) == (letters if len(panels) > 1 else ["a"])
    assert len(table)
    assert figure.get_figwidth() == pytest.approx(6.9 if wide or len(panels) > 1 else 3.35)

    renderer = figure.canvas.get_renderer()
    frame = figure.bbox
    for box in _everything_written(figure, renderer):
        assert box.x0 >= -1 and box.y0 >= -1 and box.x1 <= frame.x1 + 1 and box.y1 <= frame.y1 + 1
    for ax in panels:
        titles = [t for t in (ax.title, ax._left_title) if t.get_text()]
        assert_apart([t.get_window_extent(renderer) for t in titles])
    below = [t for t in figure.texts if t.get_gid() == "note"] + figure.legends
    lowest = min(ax.get_tightbbox(renderer).y0 for ax in panels)
    for thing in below:
        assert thing.get_window_extent(renderer).y1 <= lowest + 1
    assert_apart([thing.get_window_extent(renderer) for thing in below])


def _everything_written(figure, renderer):
    """Boxes of all text: titles, texts, legends, and each axis with the ticks and label it draws."""
    for thing in (*figure.texts, *figure.legends):
        yield thing.get_window_extent(renderer)
    for ax in [*figure.axes, *(child for parent in figure.axes for child in parent.child_axes)]:
        for text in (ax.title, ax._left_title, *ax.texts):
            if text.get_text():
                yield Text.get_window_extent(text, renderer)
        for axis in (ax.xaxis, ax.yaxis):
            box = axis.get_tightbbox(renderer)
            if box is not None:
                yield box


def test_a_long_title_is_broken_into_lines_of_like_length_and_its_letter_stands_beside_the_first():
    with theme.style():
        figure, axes = frame.panels(1, 3, height=2)
        axes[0, 0].set_title("frozen pre-trained embedding, numbers")
        axes[0, 1].set_title("short")
        frame.finish(figure, title=None, note=None)
    assert axes[0, 0].get_title() == "frozen pre-trained\nembedding, numbers"
    assert axes[0, 0].get_title(loc="left") == "(a)\n" and axes[0, 1].get_title(loc="left") == "(b)"
    figure.draw_without_rendering()
    letter, heading = (t.get_window_extent() for t in (axes[0, 0]._left_title, axes[0, 0].title))
    assert letter.y1 == pytest.approx(heading.y1, abs=3) and letter.x1 < heading.x0


def test_save_writes_three_files_that_agree(tmp_path):
    stem = tmp_path / "mini.finetuned.figure-1a"
    figure, table = plot_lens(lens_table())
    paths = frame.save(figure, table, stem)
    assert [path.name for path in paths] == [f"{stem.name}.{suffix}" for suffix in ("pdf", "png", "csv")]
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(path.name for path in paths)
    pd.testing.assert_frame_equal(pd.read_csv(paths[2]), table)
    pdf = paths[0].read_bytes()
    assert b"/CIDFontType2" in pdf and b"/Type3" not in pdf
    assert b"CreationDate" not in pdf and b"atplotlib" not in pdf
    png = paths[1].read_bytes()
    width = int.from_bytes(png[16:20], "big")
    assert width == round(3.35 * 200) and b"Software" not in png


@pytest.mark.parametrize(
    "build",
    [
        lambda: plot_spectrum(spectra(layers=1), panels=[("mlp", 0)], tau=9, note=NOTE),
        lambda: plot_clusters(number_plane(40)),
        lambda: plot_logit_heatmaps(logits(), answer=58),
    ],
)
def test_two_runs_give_the_same_bytes(tmp_path, build):
    for turn in ("one", "two"):
        frame.save(*build(), tmp_path / turn)
    for suffix in ("pdf", "png", "csv"):
        assert (tmp_path / f"one.{suffix}").read_bytes() == (tmp_path / f"two.{suffix}").read_bytes()


def test_the_readers_own_style_neither_matters_nor_changes(tmp_path):
    frame.save(*plot_lens(lens_table()), tmp_path / "plain")
    with matplotlib.rc_context({"font.size": 30, "axes.facecolor": "black", "pdf.fonttype": 3}):
        frame.save(*plot_lens(lens_table()), tmp_path / "styled")
        assert matplotlib.rcParams["font.size"] == 30
    for suffix in ("pdf", "png"):
        assert (tmp_path / f"plain.{suffix}").read_bytes() == (tmp_path / f"styled.{suffix}").read_bytes()


def test_colours_are_the_same_in_every_figure():
    assert theme.MODULE_COLOURS["mlp"] != theme.MODULE_COLOURS["attention"]
    alone, among = theme.colours(["from scratch"]), theme.colours(list(ARMS))
    assert alone["from scratch"] == among["from scratch"]
    unknown = theme.colours([*ARMS, "another", "and one more"])
    assert len(set(unknown.values())) == 6


def test_percent_never_rounds_to_all_or_nothing():
    assert theme.percent(0.9996) == "99.96 %"
    assert theme.percent(1.0) == "100.0 %"
    assert theme.percent(0.0003) == "0.03 %"


def test_lens_draws_per_cent_of_each_curve():
    table = lens_table()
    figure, drawn = plot_lens(table.sample(frac=1, random_state=0))
    lines = {line.get_label(): line for line in figure.axes[0].lines}
    assert set(lines) == {"exact", "within 2", "within 10"}
    np.testing.assert_allclose(lines["within 2"].get_ydata(), 100 * table["within_2"])
    shown = drawn[drawn["curve"] == "within_2"]["accuracy"]
    np.testing.assert_allclose(shown, table["within_2"])


def test_lens_tells_norms_apart():
    both = pd.concat([lens_table().assign(norm=True), lens_table().assign(norm=False)])
    figure, drawn = plot_lens(both, norm_labels={True: "final norm", False: "no norm"})
    assert {line.get_label() for line in figure.axes[0].lines} >= {"exact, final norm", "exact, no norm"}
    assert len({line.get_linestyle() for line in figure.axes[0].lines}) == 2
    assert len(drawn) == 3 * len(both)


def test_a_table_that_does_not_fit_is_refused_by_name():
    with pytest.raises(UserError, match="lacks the column within_2"):
        plot_lens(lens_table().drop(columns="within_2"))
    with pytest.raises(UserError, match=r"exact .* between 0 and 1"):
        plot_lens(lens_table().assign(exact=97.0))
    with pytest.raises(UserError, match="more than one row for module mlp, layer 0, component 1"):
        plot_mean_spectra(pd.concat([spectra(), spectra()]))
    with pytest.raises(UserError, match="no rows of mlp, layer 7"):
        plot_spectrum(spectra(), panels=[("mlp", 7)], tau=9)
    with pytest.raises(UserError, match="outlier_rule 'most'"):
        plot_mean_spectra(spectra(), outlier_rule="most")
    with pytest.raises(UserError, match="height 'area'"):
        plot_embedding_spectra(embeddings(["a"]), height="area")
    with pytest.raises(UserError, match="whole numbers"):
        errors.plot_errors(error_table().assign(error=0.5))
    with pytest.raises(UserError, match="not 'two'"):
        plot_single_component(kept_table(), size=101, facts=facts(("two", "parity", 1.0)))


def test_spectrum_labels_the_largest_high_components():
    table = spectra()
    figure, drawn = plot_spectrum(table, panels=[("mlp", 2)], top=4, tau=9)
    assert texts(figure.axes[0]) == ["T=10", "T=5", "T=2.5", "T=2"]
    own = table[(table["module"] == "mlp") & (table["layer"] == 2)]
    np.testing.assert_allclose(drawn["magnitude"], own["magnitude"])
    assert list(drawn.loc[drawn["labelled"], "component"]) == [10, 20, 40, 50]
    # Low components are never labelled, however large.
    _, low = plot_spectrum(table, panels=[("mlp", 2)], top=2, tau=45)
    assert low.loc[low["labelled"], "component"].min() >= 45


def test_spectrum_marks_hollow_what_does_not_stand_out():
    figure, drawn = plot_spectrum(spectra(), panels=[("mlp", 2)], top=6, tau=9)
    filled, hollow = figure.axes[0].lines
    assert len(filled.get_xdata()) == 4 and len(hollow.get_xdata()) == 2
    assert to_hex(hollow.get_markerfacecolor()) == "#ffffff"
    assert (drawn["labelled"] & ~drawn["outlier"]).sum() == 2
    assert "Hollow (2 of 6" in figure.texts[-1].get_text()


def test_mean_spectra_draw_a_line_a_layer_and_name_the_outliers():
    figure, drawn = built("mean spectra paper")
    for ax in figure.axes[:2]:
        assert len(ax.lines) == 16
        assert set(texts(ax)) == {"T=10", "T=5", "T=2.5", "T=2"}
        assert len({to_hex(line.get_color()) for line in ax.lines}) == 16
        assert [child.get_xlabel() for child in ax.child_axes] == ["period"]
        assert {"10", "2.5"} <= {label.get_text() for label in ax.child_axes[0].get_xticklabels()}
    assert figure.axes[2].get_ylabel() == "layer"
    assert sorted(drawn["layer"].unique()) == list(range(32, 48))
    last = drawn[(drawn["panel"] == "b") & (drawn["layer"] == 47)]
    np.testing.assert_allclose(figure.axes[1].lines[-1].get_ydata(), last["magnitude"])
    assert sorted(drawn.loc[drawn["labelled"], "component"].unique()) == [52, 104, 208, 260]


def test_mean_spectra_label_by_majority_or_by_any_layer():
    table = spectra(periods=(5,))
    lone = (table["component"] == 10) & (table["layer"] == 2) & (table["module"] == "mlp")
    table.loc[lone, ["outlier", "magnitude"]] = [True, 9.0]
    majority, _ = plot_mean_spectra(table, modules=["mlp"])
    anywhere, _ = plot_mean_spectra(table, modules=["mlp"], outlier_rule="any")
    assert texts(majority.axes[0]) == ["T=5"]
    assert set(texts(anywhere.axes[0])) == {"T=5", "T=10"}


def test_mean_spectra_cut_and_count():
    figure, drawn = plot_mean_spectra(spectra(521), modules=["mlp"], max_component=110, max_labels=1)
    assert drawn["component"].max() == 110
    assert "and 1 more outliers" in texts(figure.axes[0])
    assert len([text for text in texts(figure.axes[0]) if text.startswith("T=")]) == 1


def test_a_spectrum_without_outliers_says_so():
    for figure, _ in (
        plot_mean_spectra(spectra(periods=()), modules=["attention"]),
        plot_embedding_spectra(embeddings(["scratch"], periods=())),
    ):
        assert texts(figure.axes[0])[0].replace("\n", " ") == NOTHING


def test_runs_have_a_row_of_panels_each():
    figure, drawn = built("two runs")
    titles = [ax.get_title().replace("\n", " ") for ax in figure.axes if ax.get_title()]
    long = "with a long name that says how it was trained"
    assert titles == [f"MLP, {long}", f"attention, {long}", "MLP, from scratch", "attention, from scratch"]
    assert drawn.groupby("panel")["run"].first().tolist() == ["a", "a", "b", "b"]


@pytest.mark.parametrize("first", [9.0, 8.9])
def test_labels_stand_in_the_order_of_their_peaks(first):
    # Two peaks of one height beside the axis, where the label of the first has no room on its left.
    table = spectra(layers=1, periods=())
    table.loc[table["component"] <= 2, ["magnitude", "outlier"]] = [9.0, True]
    table.loc[table["component"] == 1, "magnitude"] = first
    figure, _ = plot_mean_spectra(table, modules=["mlp"])
    figure.canvas.draw()
    centre = {
        text.get_text(): text.get_window_extent().x0 + text.get_window_extent().x1
        for text in figure.axes[0].texts
    }
    assert centre["T=100"] < centre["T=50"]


def test_labels_in_a_crowd_stay_apart_and_inside():
    table = spectra(521, 1, periods=[520 / k for k in (100, 101, 103, 104, 107, 108, 110, 258, 259, 260)])
    figure, _ = plot_spectrum(table, panels=[("mlp", 0)], top=10, tau=50)
    ax = figure.axes[0]
    found = boxes(ax)
    assert len(found) == 10
    assert_apart(found)
    frame = ax.get_window_extent()
    assert all(box.y1 <= frame.y1 + 2 and box.x0 >= frame.x0 - 2 and box.x1 <= frame.x1 + 2 for box in found)


def test_heatmaps_show_the_window_around_the_answer():
    table = logits(521, 48, 108)
    figure, drawn = plot_logit_heatmaps(table, answer=108, window=12, layers=16)
    assert [ax.get_title() for ax in figure.axes[:2]] == ["MLP", "attention"]
    image = figure.axes[1].images[0]
    own = table[(table["module"] == "attention") & table["number"].between(96, 120) & (table["layer"] >= 32)]
    cells = own.pivot(index="number", columns="layer", values="logit").to_numpy()
    np.testing.assert_allclose(image.get_array(), cells)
    assert image.norm.vmin == -image.norm.vmax == -np.abs(cells).max()
    assert [line.get_ydata()[0] for line in figure.axes[1].lines] == [107.5, 108.5]
    assert "108" in [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert drawn["number"].min() == 96 and drawn["number"].max() == 120
    assert figure.axes[2].get_ylabel() == "logit"


def test_heatmaps_share_a_scale_and_leave_gaps_grey():
    table = logits()
    table = table[~((table["module"] == "mlp") & (table["layer"] == 1) & (table["number"] == 60))]
    figure, _ = plot_logit_heatmaps(table, answer=58, window=5, shared_scale=True)
    mlp, attention = (figure.axes[i].images[0] for i in (0, 1))
    assert mlp.norm.vmax == attention.norm.vmax
    assert len(figure.axes) == 3
    assert mlp.get_array().mask.sum() == 1
    # Numbers that do not exist are not drawn.
    _, edge = plot_logit_heatmaps(logits(), answer=98, window=5)
    assert edge["number"].max() == 100


def test_waves_and_their_sum():
    table = wave_table()
    figure, drawn = built("waves")
    waves, total = figure.axes
    assert [label.get_text() for label in waves.get_yticklabels()] == ["T=2", "T=2.5", "T=5", "T=10", "T=100"]
    largest = [1, 10, 20, 40, 50]
    assert sorted(drawn.loc[drawn["panel"] == "a", "component"].unique()) == largest
    expected = table[table["component"].isin(largest)].groupby("number")["value"].sum()
    np.testing.assert_allclose(drawn.loc[drawn["panel"] == "b", "value"], expected)
    np.testing.assert_allclose(total.lines[0].get_ydata(), expected)
    assert texts(total) == ["largest at 58 (the answer)"]
    # The waves are shifted apart in the panel, not in the table.
    level = waves.get_yticks()[-1]
    slow = next(
        line for line in waves.lines if len(line.get_xdata()) == 100 and line.get_ydata().mean() > level - 1
    )
    np.testing.assert_allclose(
        slow.get_ydata() - level, table.loc[table["component"] == 1, "value"], atol=1e-12
    )


def test_the_sum_says_when_it_misses_the_answer():
    figure, _ = plot_waves_and_sum(wave_table().assign(answer=41), window=30)
    assert texts(figure.axes[1]) == ["largest at 58 (answer 41)"]


def test_waves_by_band_and_the_longest():
    figure, drawn = plot_waves_by_band(wave_table(521, 108), cut=50, top=3, window=40)
    assert drawn.loc[drawn["panel"] == "a", "component"].max() < 50
    assert drawn.loc[drawn["panel"] == "b", "component"].min() >= 50
    assert drawn.groupby("panel")["component"].nunique().tolist() == [3, 3]
    assert drawn["number"].between(68, 148).all()
    assert figure.axes[1].get_title() == "3 largest components, k ≥ 50"
    figure, drawn = plot_longest_wave(wave_table())
    assert drawn["component"].unique().tolist() == [1] and len(drawn) == 100
    assert figure.axes[0].get_title() == "component 1, T=100"
    _, nothing = plot_waves_by_band(wave_table(), cut=60)
    assert set(nothing["panel"]) == {"a"}


def test_embeddings_have_a_panel_each():
    table = embeddings(["one", "two", "three"], 521)
    figure, drawn = plot_embedding_spectra(table, names={"two": "RoBERTa"})
    assert [ax.get_title() for ax in figure.axes] == ["one", "RoBERTa", "three"]
    assert set(texts(figure.axes[2])) == {"T=10", "T=5", "T=2.5", "T=2"}
    assert len(drawn) == len(table)
    assert drawn.loc[drawn["labelled"], "period"].nunique() == 4
    figure, _ = plot_embedding_spectra(table[table["name"] == "one"], height="prominence")
    dashed = [line.get_ydata()[0] for line in figure.axes[0].lines if line.get_linestyle() == "--"]
    assert dashed == [1.8]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["what shuffled numbers reach"]


@pytest.mark.parametrize("size", [101, 521])
def test_clusters_label_multiples_of_ten_first(size):
    table = number_plane(size)
    figure, drawn = built(f"clusters {size}")
    ax = figure.axes[0]
    assert sum(len(points.get_offsets()) for points in ax.collections) == size
    shapes = {to_hex(points.get_facecolor()[0]) for points in ax.collections}
    assert len(shapes) == 10
    written = sorted(int(text) for text in texts(ax))
    assert written == sorted(drawn.loc[drawn["labelled"], "number"])
    tens = drawn[drawn["number"] % 10 == 0]
    assert tens["labelled"].mean() > 0.75
    assert_apart(boxes(ax))
    np.testing.assert_allclose(drawn[["x", "y"]], table[["x", "y"]])


def test_training_shows_mean_and_deviation_over_seeds():
    table = histories(seeds=3)
    figure, drawn = built("training")
    ax = figure.axes[0]
    assert ax.lines[0].get_label() == "fine-tuned model (3 seeds)"
    last = table[(table["arm"] == "from scratch") & (table["epoch"] == 20)]["accuracy"]
    row = drawn[(drawn["arm"] == "from scratch") & (drawn["epoch"] == 20)].iloc[0]
    assert row["mean"] == pytest.approx(last.mean()) and row["deviation"] == pytest.approx(last.std())
    assert ax.lines[1].get_ydata()[-1] == pytest.approx(100 * last.mean())
    assert [to_hex(line.get_color()) for line in ax.lines] == [theme.ARM_COLOURS[arm] for arm in ARMS]
    assert drawn["high"].max() <= 1


def test_one_seed_has_no_band():
    figure, drawn = plot_training(histories(["alone"], seeds=1))
    assert drawn["deviation"].isna().all() and drawn["low"].isna().all()
    assert not figure.axes[0].collections[0].get_paths()
    assert figure.axes[0].lines[0].get_label() == "alone (1 seed)"


def test_the_legend_says_when_the_validation_loss_was_smallest():
    table = histories(["late", "early"], seeds=2)
    rises = (table["epoch"] - 8).abs().where(table["arm"] == "early", 30 - table["epoch"])
    # The second seed of the arm is best later.
    table["validation_loss"] = rises.where(
        (table["arm"] == "late") | (table["seed"] == 0), 20 - table["epoch"]
    )
    figure, drawn = plot_training(table)
    assert [line.get_label() for line in figure.axes[0].lines] == [
        "late (2 seeds)",
        "early (2 seeds, smallest loss at epochs 8 to 20)",
    ]
    # What is drawn stays the same table.
    pd.testing.assert_frame_equal(drawn, plot_training(table.drop(columns="validation_loss"))[1])


def test_final_accuracy_has_a_dot_and_interval_for_each_seed():
    table = histories().query("epoch == 20").assign(low=0.1, high=0.95)
    figure, drawn = plot_final_accuracy(table)
    ax = figure.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == list(ARMS)
    dots = np.concatenate([line.get_xdata() for line in ax.lines if line.get_marker() == "o"])
    np.testing.assert_allclose(dots, 100 * table["accuracy"])
    assert all(np.allclose(segment[:, 0], [10, 95]) for c in ax.collections for segment in c.get_segments())
    assert drawn.groupby("arm")["mean"].nunique().eq(1).all()


def test_logits_mark_the_answer_and_the_largest():
    table = logits()
    figure, drawn = plot_logits(table, panels=[("mlp", 2), ("attention", 1)], answer=57)
    curve, line, dot = figure.axes[0].lines
    own = table[(table["module"] == "mlp") & (table["layer"] == 2)]
    np.testing.assert_allclose(curve.get_ydata(), own["logit"])
    assert list(line.get_xdata()) == [57, 57]
    best = int(own.loc[own["logit"].idxmax(), "number"])
    assert list(dot.get_xdata()) == [best]
    assert texts(figure.axes[0]) == [f"largest at {best} (answer 57)"]
    assert drawn.loc[drawn["largest"] & (drawn["panel"] == "a"), "number"].tolist() == [best]


def test_errors_leave_out_right_answers_and_write_the_facts():
    given = facts(("high from attention", "accuracy", 0.7836), ("high from attention", "errors below 6", 1.0))
    figure, drawn = errors.plot_errors(error_table(), facts=given)
    bars = drawn[drawn["error"].notna()]
    assert 0 not in set(bars["error"])
    wide, narrow = figure.axes
    assert [patch.get_height() for patch in narrow.patches] == [5, 50, 60]
    assert [patch.get_x() + patch.get_width() / 2 for patch in narrow.patches] == pytest.approx([-2, -1, 1])
    assert texts(narrow) == ["accuracy: 78.4 %\nerrors below 6: 100.0 %"]
    assert drawn.loc[drawn["fact"] == "accuracy", "value"].tolist() == [0.7836]
    tens = bars[bars["highlighted"].eq(True)]
    assert set(tens["error"]) == {-120, -10, 10, 20}
    # A wide range is drawn with lines; those of the multiples have their own colour.
    heights = sorted(segment[1, 1] for segment in wide.collections[1].get_segments())
    assert heights == [2, 20, 30, 40]


def test_errors_beyond_the_limit_are_counted():
    figure, drawn = errors.plot_errors(error_table()[:6], limit=30, scale="log")
    assert texts(figure.axes[0]) == ["2 beyond ±30"]
    assert figure.axes[0].get_yscale() == "log"
    assert drawn["error"].abs().max() == 20


def test_errors_say_when_there_are_none():
    right = pd.DataFrame({"label": ["fine-tuned"], "error": [0], "count": [300]})
    figure, drawn = errors.plot_errors(right, facts=facts(("fine-tuned", "accuracy", 1.0)))
    assert texts(figure.axes[0]) == ["accuracy: 100.0 %", "every prediction is right"]
    assert drawn["count"].isna().all()


def test_single_components_show_predictions_against_answers():
    table = kept_table()
    given = facts((2.0, "parity agrees", 0.9959))
    figure, drawn = plot_single_component(table, size=101, facts=given, periods=[2, 100, 3])
    assert [ax.get_title() for ax in figure.axes[:3]] == ["only T=2 kept", "only T=100 kept", "only T=3 kept"]
    points = figure.axes[1].collections[0].get_offsets()
    assert {tuple(point) for point in points} == {(n, min(100, n + 2)) for n in range(101)}
    assert texts(figure.axes[0]) == ["parity agrees: 99.6 %"]
    assert texts(figure.axes[2]) == ["no prediction to show"]
    assert drawn["fact"].dropna().tolist() == ["parity agrees"]
    assert drawn["count"].sum() == table["count"].sum()


def test_single_components_find_a_period_written_short():
    table = kept_table().assign(kept_period=10 / 3)
    _, drawn = plot_single_component(table.iloc[:101], size=101, periods=[3.33])
    assert len(drawn) == 101


def test_table1_has_a_dot_and_a_control_in_each_row():
    given = filter_table().assign(reference=0.5, sweep="not drawn")
    figure, drawn = table1.plot_table1(given, reference="paper")
    ax = figure.axes[0]
    names = [label.get_text() for label in ax.get_yticklabels()]
    assert names[0] == "nothing removed" and names[3] == "low from MLP"
    dots = [line for line in ax.lines if line.get_marker() == "o"]
    assert [line.get_xdata()[0] for line in dots] == pytest.approx(list(100 * filter_table()["accuracy"]))
    assert [line.get_ydata()[0] for line in dots] == list(range(7))
    bands = [path.get_extents() for path in controls(ax)]
    assert len(bands) == 6
    assert bands[0].y0 < 1 < bands[0].y1
    assert (bands[0].x0, bands[0].x1) == pytest.approx((85, 92))
    assert texts(ax) == [f"{100 * a:.1f}" for a in filter_table()["accuracy"]]
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "accuracy and interval",
        "random directions, same rank",
        "paper",
    ]
    assert set(drawn.columns) >= {"control_low", "reference"} and "sweep" not in drawn.columns
    pd.testing.assert_series_equal(drawn["accuracy"], filter_table()["accuracy"])


def test_without_controls_no_band_is_promised():
    figure, drawn = table1.plot_table1(filter_table(control=False))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == ["accuracy and interval"]
    assert not controls(figure.axes[0])
    assert not {"control_low", "reference"} & set(drawn.columns)


def test_digit_ranges_stand_side_by_side():
    figure, drawn = built("digit ranges")
    assert [ax.get_title() for ax in figure.axes] == ["one digit", "10-99", "100-260"]
    assert not any(label.get_text() for label in figure.axes[1].get_yticklabels())
    assert len(drawn) == 21 and set(drawn["digit_range"]) == {"0-9", "10-99", "100-260"}


def test_tau_has_a_panel_for_each_band_and_module():
    figure, drawn = built("tau")
    titles = [ax.get_title() for ax in figure.axes]
    assert (
        titles[:2] == ["low from MLP", "low from attention"] and titles[-1] == "high from attention and MLP"
    )
    ax = figure.axes[0]
    curve = next(line for line in ax.lines if line.get_marker() == "o")
    own = tau_table().query("module == 'mlp' and band == 'low'")
    np.testing.assert_allclose(curve.get_ydata(), 100 * own["accuracy"])
    band = ax.collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((60, 80))
    assert len(drawn) == len(tau_table())


def test_layer_bands_show_and_write_accuracies():
    figure, drawn = built("layer bands")
    image = figure.axes[0].images[0]
    np.testing.assert_allclose(image.get_array(), [[100, 200 / 3, 100 / 3]] * 2)
    assert texts(figure.axes[0]) == ["100", "67", "33"] * 2
    assert [label.get_text() for label in figure.axes[0].get_yticklabels()] == ["low frequencies", "high"]
    assert len(drawn) == len(layer_table())
    many, _ = sweeps.plot_layer_bands(layer_table(48))
    assert not texts(many.axes[0])


def test_single_periods_by_name_or_by_component():
    few, drawn = built("periods")
    assert [label.get_text() for label in few.axes[0].get_xticklabels()] == ["100", "10", "5", "2.5", "2"]
    assert len(drawn) == 10
    band = controls(few.axes[0])[1].get_extents()
    assert band.x0 < 1 < band.x1 and (band.y0, band.y1) == pytest.approx((90, 100))
    many, _ = built("periods paper")
    dots = next(line for line in many.axes[0].lines if line.get_marker() == "o")
    assert list(dots.get_xdata()) == list(range(1, 261))
    assert many.axes[0].child_axes


def test_probes_by_layer_and_by_row():
    figure, drawn = built("probes")
    assert [ax.get_title() for ax in figure.axes] == ["model", "from scratch"]
    own = probe_table(layers=4).query("name == 'fine-tuned' and modulus == 5")
    np.testing.assert_allclose(figure.axes[0].lines[1].get_ydata(), own["kappa"])
    band = figure.axes[0].collections[0].get_paths()[0].get_extents()
    assert (band.y0, band.y1) == pytest.approx((-0.05, 0.08))
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        "n mod 2",
        "n mod 5",
        "n mod 10",
        "shuffled numbers",
    ]
    assert len(drawn) == 24
    rows, _ = probes.plot_probes(probe_table(layers=1))
    ax = rows.axes[0]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["fine-tuned", "from scratch"]
    marks = [line.get_xdata()[0] for line in ax.lines if line.get_marker() in "os^"]
    assert marks == pytest.approx([0.02, 0.05, 0.1] * 2)


NOTHING_TO_SHOW = {
    "lens": lambda: plot_lens(lens_table().iloc[:0]),
    "heatmaps": lambda: plot_logit_heatmaps(logits().iloc[:0], answer=58),
    "waves": lambda: plot_waves_and_sum(wave_table().iloc[:0]),
    "longest wave": lambda: plot_longest_wave(wave_table().iloc[:0]),
    "embeddings": lambda: plot_embedding_spectra(embeddings(["a"]).iloc[:0]),
    "clusters": lambda: plot_clusters(number_plane().iloc[:0]),
    "training": lambda: plot_training(histories().iloc[:0]),
    "errors": lambda: errors.plot_errors(error_table().iloc[:0]),
    "single component": lambda: plot_single_component(kept_table().iloc[:0], size=101),
    "table 1": lambda: table1.plot_table1(filter_table().iloc[:0]),
    "digit ranges": lambda: table1.plot_digit_ranges(filter_table().assign(digit_range="a").iloc[:0]),
    "tau": lambda: sweeps.plot_tau(tau_table().iloc[:0]),
    "layer bands": lambda: sweeps.plot_layer_bands(layer_table().iloc[:0]),
    "periods": lambda: sweeps.plot_single_periods(period_table().iloc[:0]),
    "probes": lambda: probes.plot_probes(probe_table().iloc[:0]),
}


@pytest.mark.parametrize("name", NOTHING_TO_SHOW)
def test_an_empty_table_gives_a_panel_that_says_so(name):
    figure, drawn = NOTHING_TO_SHOW[name]()
    assert len(drawn) == 0 and "panel" in drawn.columns
    for ax in figure.axes:
        assert any(text.startswith(("no ", "not ")) for text in texts(ax))
