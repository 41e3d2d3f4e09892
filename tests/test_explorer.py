"""The explorer: planted results as they are packed, the page, the files it reads, the page in a browser."""

import json
import re

import browser
import numpy as np
import pandas as pd
import pytest
import xarray as xr
import yaml
from fourier_addition.errors import UserError
from fourier_addition.explorer.circles import circles_part
from fourier_addition.explorer.document import POLICY
from fourier_addition.explorer.examples import chosen_keys, positions, renumbered
from fourier_addition.explorer.filtered import condition_words, filtered_part
from fourier_addition.explorer.module_logits import logits_part
from fourier_addition.explorer.outcomes import Outcomes, joined
from fourier_addition.explorer.packing import packed_integers, packed_rows, unpacked
from fourier_addition.explorer.page import SCRIPTS, page, page_digest
from fourier_addition.explorer.spectra import module_spectra_part, null_limit, spectrum_part
from fourier_addition.explorer.steered import place_words, steered_part
from fourier_addition.explorer.waves import top_waves
from fourier_addition.fourier import fourier_basis, spectrum, waves
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.explorer_files import (
    PARTS,
    asked_files,
    explorer_facts,
    explorer_inputs,
    explorer_runs,
)
from study import ROOT, finished, planned, snakemake

NUMBERS, EXAMPLES = 31, 4
OPERANDS = [(3, 9, 0), (4, 4, 1), (2, 11, 0), (10, 5, 2)]
ANSWERS = np.array([a + b for a, b, _ in OPERANDS])
MADE = {
    "rule": "explorer",
    "params": {"code": "0123456789abcdef"},
    "inputs": {"results/runs/planted.seed0/spectra.parquet": {"sha256": "ab" * 32}},
    "packages": {"numpy": "2.0"},
    "weights": {"planted.seed0": "cd" * 32},
}


# Packing


def test_packed_rows_come_back_within_half_a_step():
    values = np.random.default_rng(0).normal(size=(3, 5, 40)) * np.array([1e-6, 1, 1e6])[:, None, None]
    back = unpacked(packed_rows(values))
    assert back.shape == values.shape
    most = np.abs(values).max(axis=-1, keepdims=True)
    assert (np.abs(back - values) <= most / 65_000).all() and np.abs(back - values).max() > 0


@pytest.mark.parametrize("seed", range(20))
def test_the_largest_value_of_a_row_fits_whatever_its_step_is_rounded_to(seed):
    values = np.random.default_rng(seed).lognormal(0, 5, size=(200, 2))
    assert np.allclose(unpacked(packed_rows(values)).max(axis=1), values.max(axis=1), rtol=1e-4)


def test_rows_of_zeros_and_whole_numbers_come_back_exactly():
    assert (unpacked(packed_rows(np.zeros((2, 3)))) == 0).all()
    whole = np.array([[-1, 0], [32767, -32767]])
    assert (unpacked(packed_integers(whole)) == whole).all()


def test_what_cannot_be_packed_is_refused_in_a_sentence():
    with pytest.raises(UserError, match="40000"):
        packed_integers(np.array([40000]))
    with pytest.raises(UserError, match="not finite"):
        packed_rows(np.array([[1.0, np.nan]]))


# Waves and spectra


@pytest.mark.parametrize("kind", ["paper", "orthonormal"])
@pytest.mark.parametrize("size", [30, 31])
def test_waves_are_those_of_the_basis(kind, size):
    signal = np.random.default_rng(1).normal(size=size)
    basis = fourier_basis(size, kind)
    top = top_waves(signal, basis, basis.n_components)
    numbers = np.arange(basis.points)
    angle = 2 * np.pi * top.component[:, None] * numbers / basis.base_period - top.phase[:, None]
    drawn = top.amplitude[:, None] * np.cos(angle)
    assert np.allclose(drawn, waves(signal, basis)[top.component - 1], atol=1e-9)


def test_the_largest_waves_come_first():
    basis = fourier_basis(NUMBERS)
    numbers = np.arange(NUMBERS)
    signal = 3 * np.cos(2 * np.pi * (numbers - 4) / 10) + np.cos(2 * np.pi * numbers / 5)
    top = top_waves(signal[None], basis, 2)
    assert top.component.tolist() == [[3, 6]]
    assert top.amplitude[0, 0] == pytest.approx(3, rel=0.1)
    assert top.phase[0, 0] == pytest.approx(2 * np.pi * 4 / 10, abs=0.1)


def test_the_limit_is_where_the_prominence_reaches_its_threshold():
    table = pd.DataFrame(
        {"magnitude": [6.0, 1.0], "prominence": [3.0, 0.5], "threshold": [1.5, 1.5], "component": [1, 2]}
    ).assign(outlier=[True, False])
    assert null_limit(table).tolist() == [3.0, 3.0]
    part = spectrum_part(table.iloc[::-1])
    assert unpacked(part["outlier"]).tolist() == [1]
    assert unpacked(part["magnitude"]) == pytest.approx([6, 1], rel=1e-4)


# Examples


def test_examples_that_most_results_have_come_first():
    a, b, c, d = (1, 1, 0), (2, 2, 0), (3, 3, 0), (4, 4, 0)
    assert chosen_keys([[d, a, b], [c, b]], 2) == [b, c, d]
    assert chosen_keys([[d, a, b], [c, b]], 1) == [b]
    assert chosen_keys([], 3) == []


def test_rows_of_examples_are_found_and_counted_anew():
    source = [(2, 2, 0), (1, 1, 0), (3, 3, 0)]
    places = positions([(3, 3, 0), (9, 9, 9), (1, 1, 0)], source)
    assert places == [2, -1, 1]
    assert renumbered(places) == ([2, 1], [0, -1, 1])


# Outcomes


def outcomes(conditions, prediction):
    """conditions: (kind, band, module, layers, draw, control of, value) each."""
    names = ("kind", "band", "module", "layers", "draw", "control_of", "value")
    table = pd.DataFrame(dict(zip(names, zip(*conditions, strict=True), strict=True)))
    labels = [f"c{index}" for index in range(len(table))]
    store = xr.Dataset(
        {"prediction": (("condition", "example"), np.array(prediction, np.int32))},
        {name: ("condition", table[name].to_numpy()) for name in names}
        | {"condition": labels, "answer": ("example", ANSWERS)}
        | {
            name: ("example", [key[axis] for key in OPERANDS])
            for axis, name in enumerate(("a", "b", "template"))
        },
    )
    return Outcomes.of(store)


@pytest.fixture()
def filtered():
    nan = float("nan")
    return outcomes(
        [
            ("table", "none", "none", "0-1", -1, "", nan),
            ("table", "low", "mlp", "0-1", -1, "", nan),
            ("subspace", "random", "mlp", "0-1", 0, "c1", nan),
            ("subspace", "random", "mlp", "0-1", 1, "c1", nan),
            ("components", "random", "mlp", "0-1", 0, "c1", nan),
            ("layer", "high", "both", "1", -1, "", 1.0),
            ("period", "period 3.33333", "attention", "0-1", -1, "", 10 / 3),
            ("tau", "low", "both", "0-1", -1, "", 5.0),
        ],
        [
            ANSWERS,
            ANSWERS + 10,
            ANSWERS,
            ANSWERS + np.array([0, 1, 0, 0]),
            ANSWERS + 3,
            ANSWERS - 1,
            ANSWERS,
            ANSWERS,
        ],
    )


@pytest.fixture()
def steered():
    """A model that adds with phases: turns move the answer, controls do not."""
    conditions = [("none", "none", "none", "0", -1, "", float("nan"))]
    prediction = [ANSWERS]
    for module, layers in (("residual", "0"), ("both", "0-1")):
        for delta in (-2, -1, 1, 2):
            arms = [("turn", -1), ("subspace", 0), ("subspace", 1), ("unused", -1), ("phases", 0)]
            for arm, draw in arms:
                value = float("nan") if arm == "phases" else float(delta)
                conditions.append((arm, "periods", module, layers, draw, "", value))
                prediction.append(ANSWERS + delta * (arm == "turn"))
    doses = pd.DataFrame(
        [
            {"module": module, "layers": layers, "arm": arm, "delta": d, "moved": moved, "examples": 4}
            for module, layers in (("residual", "0"), ("both", "0-1"))
            for arm, moved in (("turn", 0.75), ("subspace", 0.125), ("unused", 0.0))
            for d in (-2, -1, 1, 2)
        ]
    )
    places = pd.DataFrame({"module": ["residual", "both"], "layers": ["0", "0-1"], "chosen": [False, True]})
    return steered_part(outcomes(conditions, prediction), doses, places, [1, 3], 10)


def test_filters_are_shown_without_their_controls_but_counted_against_them(filtered):
    part = filtered_part(filtered, [1, 2])
    assert [each["kind"] for each in part["conditions"]] == ["table", "table", "layer", "period", "tau"]
    assert list(part["kinds"]) == ["table", "layer", "period", "tau"]
    assert unpacked(part["prediction"])[1].tolist() == (ANSWERS[[1, 2]] + 10).tolist()
    assert part["conditions"][1]["draws"] == 2 and part["conditions"][0]["draws"] == 0
    assert unpacked(part["same"])[1].tolist() == [1, 2]
    json.dumps(part, allow_nan=False)


def test_conditions_are_said_in_words(filtered):
    words = [condition_words(row) for _, row in filtered.conditions.iterrows()]
    assert words[0] == "unfiltered"
    assert words[1] == "without low components of MLP"
    assert words[5] == "without high components of both modules at layer 1"
    assert words[6] == "without period 3.33 of attention"
    assert words[7] == "without low components (cut at 5) of both modules"


def test_ranges_of_one_ablation_are_joined(filtered):
    both = joined([filtered, filtered])
    assert both.prediction.shape == (8, 2 * EXAMPLES) and len(both.keys) == 2 * EXAMPLES
    other = Outcomes(filtered.conditions.iloc[:3], filtered.examples, filtered.prediction[:3])
    assert joined([filtered, other]).prediction.shape == (8, EXAMPLES)


def test_every_turn_has_the_answer_of_the_chosen_examples(steered):
    assert steered["deltas"] == [-2, -1, 1, 2]
    turn = unpacked(steered["arms"]["turn"])
    assert turn.shape == (1, 2, 4, 2)
    assert (turn[0, 0] == ANSWERS[[1, 3]] + np.array([[-2], [-1], [1], [2]])).all()
    assert unpacked(steered["arms"]["subspace"]).shape == (2, 2, 4, 2)
    assert (unpacked(steered["arms"]["unused"]) == ANSWERS[[1, 3]]).all()
    assert unpacked(steered["own"]).tolist() == ANSWERS[[1, 3]].tolist()
    assert [place["best"] for place in steered["places"]] == [False, True]
    assert steered["moved"]["turn"][0] == [0.75] * 4
    assert steered["places"][0]["words"] == place_words("residual", "0") == "residual stream after block 0"


# Logits and probes


def planted_capture():
    """Features are numbers. Attention writes a wave of period 10 at the answer, the MLP one of period 5.

    The embedding has the longest wave, so that the states are largest at the answer alone.
    """
    far = np.arange(NUMBERS) - ANSWERS[:, None]
    wave = {period: np.cos(2 * np.pi * far / period) for period in (30, 10, 5)}
    outputs = np.stack([np.stack([wave[10]] * 2), np.stack([2 * wave[5]] * 2)])
    residual = np.concatenate([wave[30][None], wave[30] + outputs.sum(axis=0).cumsum(axis=0)])
    return xr.Dataset(
        {
            "module_output": (("module", "layer", "example", "feature"), outputs.astype(np.float32)),
            "residual": (("state", "example", "feature"), residual.astype(np.float32)),
            "final_logits": (("example", "number"), (residual[-1] + 7).astype(np.float32)),
            "lens_prediction": (
                ("norm", "state", "example"),
                np.stack([np.stack([ANSWERS * 0, ANSWERS, ANSWERS]), np.zeros((3, EXAMPLES), int)]),
            ),
        },
        {"norm": ["final", "none"], "module": ["attention", "mlp"]},
    )


def test_logits_of_modules_states_and_waves():
    part = logits_part(planted_capture(), np.eye(NUMBERS), [2, 0], fourier_basis(NUMBERS), "final")
    module, component = unpacked(part["module"]), unpacked(part["wave_component"])
    assert module.shape == (2, 2, 2, NUMBERS) and part["layers"] == 2
    assert np.allclose(module.mean(axis=-1), 0, atol=1e-4)
    # Largest waves: period 10 is component 3, period 5 component 6; of both together the taller one.
    assert component[:, 0, 0, 0].tolist() == [3, 6, 6] and set(component[2, 0, 0, :2]) == {3, 6}
    assert unpacked(part["state"])[2].argmax(axis=-1).tolist() == ANSWERS[[2, 0]].tolist()
    assert unpacked(part["final"]).argmax(axis=-1).tolist() == ANSWERS[[2, 0]].tolist()
    assert unpacked(part["lens"])[1].tolist() == ANSWERS[[2, 0]].tolist()


def planted_probes():
    grid = [(p, t, s, T) for p, t in (("a", "a"), ("answer 1", "sum")) for s in (0, 2) for T in (2.0, 10.0)]
    table = pd.DataFrame(grid, columns=["position", "target", "layer", "period"])
    r2 = np.where(table["layer"] == 2, 0.9, -0.1)
    return table.assign(r2=r2, r2_low=r2 - 0.05, null_high=0.1, examples=4)


def test_probes_are_grids_of_layers_and_periods():
    first, second = circles_part(planted_probes())
    assert (first["target"], second["target"]) == ("a", "sum")
    assert second["layers"] == [0, 2] and second["periods"] == [2.0, 10.0]
    assert unpacked(second["r2"]) == pytest.approx(np.array([[-0.1, -0.1], [0.9, 0.9]]), rel=1e-3)
    assert unpacked(second["beyond"]).tolist() == [[0, 0], [1, 1]]


# The page


@pytest.fixture()
def runs(filtered, steered):
    """One run with everything, and one that shows a sentence in every view."""
    basis = fourier_basis(NUMBERS)
    logits = logits_part(planted_capture(), np.eye(NUMBERS), [1, 3], basis, "final")
    signal = np.cos(2 * np.pi * np.arange(NUMBERS) / 10)
    table = pd.DataFrame({"component": basis.components, "magnitude": spectrum(signal, basis)})
    table = table.assign(prominence=table["magnitude"], threshold=1.5, outlier=basis.components == 3)
    layered = pd.concat([table.assign(module=m, layer=n) for m in ("attention", "mlp") for n in (0, 1)])
    keys = [OPERANDS[1], OPERANDS[3]]
    at = {"at": [0, 1]}
    about = {
        "model": "planted",
        "task": "addition",
        "numbers": NUMBERS,
        "note": "planted, not </script> learned",
    }
    full = {
        **{"name": "planted.seed0", "label": "planted", "missing": {}, **about},
        "examples": {
            "a": [key[0] for key in keys],
            "b": [key[1] for key in keys],
            "answer": ANSWERS[[1, 3]].tolist(),
            "prompt": ["What is 4 + 4?", "What is 10 + 5?"],
        },
        "logits": {**at, **logits, "norm": "raw", "base_period": basis.base_period},
        "modules": module_spectra_part(layered),
        "rows": spectrum_part(table),
        "filters": {**at, **filtered_part(filtered, [1, 3])},
        "steering": {**at, **steered},
        "circles": circles_part(planted_probes()),
    }
    empty = {
        **{"name": "bare.seed0", "label": "bare", **about},
        "missing": {part.name: f"Nothing of {part.name} here." for part in PARTS},
        "examples": {"a": [], "b": [], "answer": [], "prompt": []},
    }
    return [full, empty]


def test_the_page_needs_nothing_from_elsewhere(runs):
    text = page(runs, MADE)
    assert POLICY in text and "default-src 'none'" in POLICY
    addresses = set(re.findall(r"\w+://[^\s\"'`)<]+", text))
    assert addresses == {"http://www.w3.org/2000/svg"}
    assert not re.search(r"""\b(src|href)=["'](?!#|data:)""", text)
    for word in ("fetch(", "XMLHttpRequest", "import(", "WebSocket", "sendBeacon"):
        assert word not in text


def test_no_text_of_a_study_ends_the_data(runs):
    text = page(runs, MADE)
    assert text.count("</script>") == 2
    data = re.search(r'<script id="data" type="application/json">(.*?)</script>', text, re.S).group(1)
    assert json.loads(data)["runs"][0]["note"] == "planted, not </script> learned"


def test_the_page_is_the_same_for_the_same_results_and_names_what_it_is_of(runs):
    text = page(runs, MADE)
    assert text == page(json.loads(json.dumps(runs)), MADE)
    for said in ("ab" * 32, "cd" * 32, "0123456789abcdef", "numpy"):
        assert said in text


def test_every_control_has_a_label_and_every_view_a_heading(runs):
    text = page(runs, MADE)
    controls = re.findall(r'<(?:select|input) id="(\w+)"', text)
    assert len(controls) == 9
    for control in controls:
        assert re.search(rf'<label for="{control}"', text), control
    for section in re.findall(r'<section id="(\w+)"', text):
        assert f'id="{section}-title"' in text
    assert 'aria-live="polite"' in text and 'role="status"' in text


def test_the_look_of_the_page_is_in_its_digest(monkeypatch, tmp_path):
    from fourier_addition.explorer import page as module

    for file in module.PARTS.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    before = page_digest()
    monkeypatch.setattr(module, "PARTS", tmp_path)
    assert page_digest() == before
    (tmp_path / SCRIPTS[-1]).write_text("// another\n")
    assert page_digest() != before


# Which results are read


@pytest.fixture(scope="module")
def default():
    return validated(yaml.safe_load((ROOT / "config/config.yaml").read_text()))


def test_the_default_page_has_every_view_of_the_finetuned_run(default):
    facts = {run["name"]: run for run in explorer_facts(default)}
    assert facts["mini.finetuned.seed0"]["missing"] == {}
    assert "miniature" in facts["mini.finetuned.seed0"]["note"]
    assert set(facts["mini.polish.seed0"]["missing"]) == {"rows", "filters", "steering", "circles"}
    assert "figure of kind `steering`" in facts["mini.polish.seed0"]["missing"]["steering"]
    assert "several tokens" in facts["smollm2.4shot.seed0"]["missing"]["logits"]
    # A seed of which figures need the accuracy alone is not offered.
    assert "mini.finetuned.seed1" not in facts


def test_the_explorer_asks_for_no_result_that_figures_and_tables_do_not_need(default):
    """Files of the same jobs; stores and data sets are what those are made of."""
    asked = asked_files(default)
    folders = {path.rsplit("/", 1)[0] for path in asked}
    for what, files in explorer_inputs(default).items():
        for file in files:
            made_of = what in ("captures", "number_rows", "dataset")
            assert made_of or file.rsplit("/", 1)[0] in folders, file


def test_files_of_runs_lie_where_their_facts_say(default):
    inputs = explorer_inputs(default)
    for run in explorer_facts(default):
        for what, (start, stop) in run["files"].items():
            assert inputs[what][start:stop] == explorer_runs(default)[run["name"]][what]


@pytest.mark.parametrize(
    ("changed", "shown"), [({}, True), ({"epochs": 2}, False), ({"start": "scratch"}, False)]
)
def test_a_run_that_leaves_its_model_as_it_comes_shows_the_models_embedding(changed, shown):
    raw = yaml.safe_load((ROOT / "config/local.yaml").read_text())
    raw["runs"]["mine.as-it-comes"] |= changed
    files = explorer_runs(validated(raw))["mine.as-it-comes.seed0"]
    assert files.get("embedding") == (["results/embeddings/mine/spectrum.parquet"] if shown else None)


def test_a_study_without_anything_to_look_at_has_no_runs():
    raw = yaml.safe_load((ROOT / "tests/configs/micro.yaml").read_text())
    raw["figures"], raw["tables"] = {}, {"accuracy": raw["tables"]["accuracy"]}
    assert explorer_runs(validated(raw)) == {}


@pytest.mark.workflow
def test_the_page_of_a_study(tmp_path_factory):
    """Made by the default target, the same bytes each time, made anew for another number of examples."""
    folder = finished(tmp_path_factory.getbasetemp())
    assert planned(folder) == set()
    asked = ["--config", 'explorer={"page": true}']
    assert planned(folder, *asked) == {"explorer"}
    snakemake(folder, "--cores", "1", *asked)
    made = folder / "results/explorer.html"
    first = made.read_bytes()
    assert len(first) < 2**20
    text = first.decode()
    assert "test-sized model: shows that the workflow runs" in text
    assert "figure of kind `steering` with `run: mini.finetuned`" in text
    assert planned(folder, *asked) == set()
    snakemake(folder, "--cores", "1", "--forcerun", "explorer", *asked)
    assert made.read_bytes() == first
    fewer = ["--config", 'explorer={"page": true, "examples": 2}']
    assert planned(folder, *fewer) == {"explorer"}
    made.unlink()


# In a browser


@pytest.mark.system
@pytest.mark.skipif(bool(browser.missing()), reason=f"NOT SEEN IN A BROWSER: {browser.missing()}")
def test_the_page_has_nothing_to_object_to_and_is_reached_by_keys(runs, tmp_path):
    file = tmp_path / "explorer.html"
    file.write_text(page(runs, MADE), encoding="utf-8")
    with browser.browser() as driver:
        for width in browser.WIDTHS:
            for dark in (False, True):
                assert browser.objections(driver, file, width=width, dark=dark) == [], (width, dark)
        assert browser.unreached(driver) == []


@pytest.mark.system
@pytest.mark.skipif(bool(browser.missing()), reason=f"NOT SEEN IN A BROWSER: {browser.missing()}")
def test_an_address_opens_the_page_at_a_view_of_a_run(runs, tmp_path):
    file = tmp_path / "explorer.html"
    file.write_text(page(runs, MADE), encoding="utf-8")
    with browser.browser() as driver:
        window = browser.Window(driver)
        browser.opened(driver, file)
        assert "planted" in window.text("#said")
        for run, label in (("bare.seed0", "bare"), ("planted.seed0", "planted"), ("none", "planted")):
            window.run("location.hash = arguments[0]", f"#steering/{run}")
            browser.opened(driver, file)  # the same address without its end, so that the next one is new
            driver.get(f"{file.as_uri()}#steering/{run}")
            assert window.text("#said").startswith(label)
            top = window.run("return document.getElementById('steering').getBoundingClientRect().top")
            assert 0 <= top < 400


@pytest.mark.system
@pytest.mark.skipif(bool(browser.missing()), reason=f"NOT SEEN IN A BROWSER: {browser.missing()}")
@pytest.mark.parametrize("width", browser.WIDTHS)
def test_the_page_in_a_browser(runs, tmp_path, width):
    file = tmp_path / "explorer.html"
    file.write_text(page(runs, MADE), encoding="utf-8")
    with browser.browser() as driver:
        window = browser.Window(driver)
        looked = browser.opened(driver, file, width=width, height=900)
        assert looked.elsewhere(file) == [] and looked.errors == []
        # Again, so that the last line sees every message of the console from the start.
        driver.get(file.as_uri())
        assert "planted" in window.text("#said")
        assert window.run("return document.querySelectorAll('.notice').length") == 0
        described = "[...document.querySelectorAll('#views svg[role=img] desc')].map(d => d.textContent)"
        drawings = window.run(f"return {described}")
        assert len(drawings) >= 8 and all(drawings)
        assert window.run("return document.documentElement.scrollWidth <= innerWidth")

        # Keys on the slider turn the phases, and the answer moves.
        own = int(re.search(r"answers (\d+)\.", window.text("#answer")).group(1))
        window.press("#turn", "right")
        assert f"Turned by +1, the model answers {own + 1} instead of {own}" in window.text("#answer")
        window.press("#turn", "left", "left", "left")
        assert f"answers {own - 2} instead of {own}" in window.text("#answer")
        assert "75 %" in window.text("#steering .words")

        # Another module, layer, example and kind of filter
        before = window.text("#waves .words")
        window.press("#module", "both")
        window.press("#layer", "0")
        assert window.text("#waves .words") != before and "attention and MLP" in window.text("#said")
        window.press("#example", "home")
        assert "answers 8" in window.text("#said")
        window.press("#kind", "One period")
        assert "No filter of this kind" in window.text("#filters .content")
        window.press("#module", "attention")
        assert "Removed from attention" in window.text("#filters .content")
        window.press("#count", "right")
        assert window.text("#count-value") == "6"

        # The same values as a table, by the keyboard
        window.run("document.querySelector('#lens summary').click()")
        assert window.run("return document.querySelectorAll('#lens tbody tr').length") == NUMBERS

        # A run without these results says which key adds them.
        window.press("#run", "bare")
        notices = window.run("return [...document.querySelectorAll('.notice')].map(n => n.textContent)")
        assert {f"Nothing of {part.name} here." for part in PARTS} <= set(notices)
        window.press("#run", "home")
        assert "planted" in window.text("#said")
        assert window.complaints() == []
