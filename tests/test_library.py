"""The public interface: light to import, right on models in memory, and whole in an installed wheel."""

import ast
import importlib.util
import inspect
import re
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from types import SimpleNamespace

import fourier_addition
import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from fourier_addition.ablation.conditions import Condition, removal
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.run import run_conditions
from fourier_addition.analysis import module_spectra as of_captures
from fourier_addition.analysis.embeddings import embedding_table
from fourier_addition.capture.dataset import open_capture
from fourier_addition.capture.record import capture
from fourier_addition.errors import UserError
from fourier_addition.filters import Filter, components_of
from fourier_addition.fourier import fourier_basis
from fourier_addition.interventions import number_angles, planes_of, replace, turn
from fourier_addition.library import miniature
from fourier_addition.library.names import MODULES, PUBLIC
from fourier_addition.pipeline.code_digest import PUBLIC_NAMES, SCRIPTS, reachable
from fourier_addition.pipeline.config import schema, validated
from fourier_addition.pipeline.names import tau_of
from fourier_addition.tasks import Task, dataset
from matplotlib.figure import Figure
from study import ROOT
from tiny import number_ids, tiny_model

LARGEST = 30
PROMPTS = ["1 + 3 =", "Calculate 2 + 4 .", "2 + 4 =", "What is the sum of 5 and 6 ?"]
ANALYSIS = {
    key: rule.get("default") for key, rule in schema()["properties"]["analysis"]["properties"].items()
}


@pytest.fixture(scope="module")
def view():
    return tiny_model("gpt2", layers=2, largest=LARGEST)


def test_importing_the_package_loads_nothing_else():
    code = (
        "import sys, fourier_addition; heavy = {'torch', 'numpy', 'pandas', 'transformers', 'matplotlib'};"
        "print(sorted(heavy & {name.split('.')[0] for name in sys.modules}), fourier_addition.__version__)"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code],
        env={"PYTHONPATH": str(SCRIPTS), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
    )
    assert (ran.stdout.split(), ran.stderr) == (["[]", fourier_addition.__version__], "")


@pytest.mark.parametrize("name", PUBLIC)
def test_every_public_name_is_there_and_described(name):
    found = getattr(fourier_addition, name)
    assert found.__doc__ and found.__module__ == f"fourier_addition.{PUBLIC[name]}"
    assert name in dir(fourier_addition)


def test_another_name_is_an_attribute_error():
    assert fourier_addition.interventions.turn.__doc__
    with pytest.raises(AttributeError, match="no attribute 'number_spectra'"):
        fourier_addition.number_spectra  # noqa: B018
    with pytest.raises(ImportError):
        from fourier_addition import nothing  # noqa: F401


def test_type_checkers_see_the_same_names():
    stub = ast.parse((SCRIPTS / "fourier_addition/__init__.pyi").read_text())
    found = {
        alias.asname: node.module
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    expected = {name: f"fourier_addition.{module}" for name, module in PUBLIC.items()}
    assert found == expected | dict.fromkeys(MODULES, "fourier_addition")
    assert (SCRIPTS / "fourier_addition/py.typed").is_file()


def test_the_page_names_every_public_name():
    page = (ROOT / "docs/library.md").read_text()
    rows = re.findall(r"^\| (`.+?) \|", page, flags=re.M)
    assert set(re.findall(r"`(\w+)`", " ".join(rows))) == {*PUBLIC, *MODULES}


def test_no_job_loads_the_public_names():
    scripts = sorted(SCRIPTS.glob("*.py"))
    reached = {path for script in scripts for path in reachable(script, needed=True)}
    assert len(reached) > 100
    own = {path for path in reached if path.parent.name == "library"}
    assert own == set() and PUBLIC_NAMES.is_file()


# Number embeddings


def test_the_number_spectrum_is_that_of_the_workflow(view):
    table = fourier_addition.number_spectrum(view.model, view.tokenizer)
    rows = view.embedding_parameter()[number_ids(view.tokenizer, LARGEST)].detach().numpy()
    pd.testing.assert_frame_equal(table, embedding_table(rows, ANALYSIS))
    assert table.columns.tolist()[:4] == ["component", "period", "magnitude", "ratio"]


def test_a_period_that_is_put_in_stands_out(view):
    numbers = np.arange(LARGEST + 1)
    rows = np.random.default_rng(0).normal(size=(LARGEST + 1, 16)) * 0.1
    rows[:, :2] += np.stack([np.cos(np.pi * numbers / 5), np.sin(np.pi * numbers / 5)], axis=1)
    table = fourier_addition.number_spectrum(embedding_of(view, rows), view.tokenizer)
    assert table.loc[table["outlier"], "period"].tolist() == [10]


def embedding_of(view, rows):
    """A model of no known family: all that is asked of it is a token embedding."""
    weight = torch.zeros(len(view.tokenizer), rows.shape[1])
    weight[number_ids(view.tokenizer, len(rows) - 1)] = torch.as_tensor(rows, dtype=torch.float32)
    return SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(weight=weight))


def test_fewer_numbers_are_the_first_ones_and_more_are_refused(view):
    rows = fourier_addition.number_rows(view.model, view.tokenizer, numbers=11)
    assert rows.shape == (11, view.d_model) and rows.dtype == np.float32
    np.testing.assert_array_equal(rows, fourier_addition.number_rows(view.model, view.tokenizer)[:11])
    with pytest.raises(UserError, match=f"Number {LARGEST + 1} is not one token"):
        fourier_addition.number_rows(view.model, view.tokenizer, numbers=500)


def test_an_embedding_that_lacks_tokens_is_one_sentence(view):
    short = SimpleNamespace(get_input_embeddings=lambda: SimpleNamespace(weight=torch.zeros(50, 4)))
    with pytest.raises(UserError, match=r"^Number \d+ is token \d+ and the token embedding has 50 rows"):
        fourier_addition.number_rows(short, view.tokenizer)


# Modules


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_module_outputs_are_those_of_a_capture(family, tmp_path):
    view = tiny_model(family, layers=2, largest=LARGEST)
    found = fourier_addition.module_outputs(view.model, view.tokenizer, PROMPTS, batch_size=2)
    ids, table = number_ids(view.tokenizer, LARGEST), pd.DataFrame({"a": range(len(PROMPTS))})
    capture(view, PROMPTS, table, ids, tmp_path / "c.zarr", batch_size=2, block=4)
    stored = open_capture(tmp_path / "c.zarr")
    for name in ("module_output", "residual"):
        assert found[name].dims == stored[name].dims
        np.testing.assert_allclose(found[name], stored[name], atol=1e-6)
    assert found["prompt"].values.tolist() == PROMPTS


def test_module_spectra_are_those_of_the_workflow(view):
    outputs = fourier_addition.module_outputs(view.model, view.tokenizer, PROMPTS)
    table = fourier_addition.module_spectra(outputs, view.model, view.tokenizer)
    ids = number_ids(view.tokenizer, LARGEST)
    rows = {"unembedding": (("number", "feature"), view.unembedding(ids).numpy())}
    pd.testing.assert_frame_equal(table, of_captures.module_spectra(outputs, xr.Dataset(rows), ANALYSIS))
    folded = fourier_addition.module_spectra(outputs, view.model, view.tokenizer, norm="folded", draws=5)
    assert not np.allclose(folded["magnitude"], table["magnitude"])


# Interventions


def the_answers(view, **given):
    logits = fourier_addition.number_logits(view.model, view.tokenizer, PROMPTS, **given)
    return logits.argmax("number").values


@pytest.mark.parametrize("family", ["gpt2", "llama", "bert"])
def test_logits_are_those_of_the_model_itself(family):
    view = tiny_model(family, layers=2, largest=LARGEST)
    ids = number_ids(view.tokenizer, LARGEST)
    found = fourier_addition.number_logits(view.model, view.tokenizer, PROMPTS, batch_size=2)
    assert found.dims == ("example", "number") and found["prompt"].values.tolist() == PROMPTS
    for row, (tokens, position) in zip(found.values, view.encode(PROMPTS), strict=True):
        with torch.inference_mode():
            own = view.model(input_ids=torch.tensor([tokens])).logits[0, position, ids]
        np.testing.assert_allclose(row, own, atol=1e-5)


@pytest.mark.parametrize("modules", ["attention", "mlp", "both", "residual"])
@pytest.mark.parametrize("layers", [None, [0]])
def test_a_change_does_what_the_workflows_conditions_do(modules, layers):
    view = tiny_model("gpt2", layers=2, largest=LARGEST, width=64)
    ids = np.array(number_ids(view.tokenizer, LARGEST))
    rows, basis = view.unembedding(ids).numpy(), fourier_basis(len(ids), "paper")
    tau = tau_of({"analysis": {"tau": "paper", "cut": "component"}}, len(ids))
    over = components_of("low", basis, tau)
    at = tuple(range(2)) if layers is None else tuple(layers)
    planes = planes_of(rows, fourier_basis(len(ids), "orthonormal"), [3, 6])
    turned = turn(planes, number_angles(planes, 2))
    conditions = [
        removal("low", "table", "low", modules, at, over, FilterBank(rows, basis)),
        Condition("turned", "turn", "periods", modules, at, filter=turned),
    ]
    encoded, answers = view.encode(PROMPTS), np.zeros(len(PROMPTS), int)
    expected = run_conditions(view, encoded, ids, conditions, answers=answers, batch_size=2)["prediction"]

    low = fourier_addition.number_filter(view.model, view.tokenizer, "low")
    assert low.rank == conditions[0].rank
    own = fourier_addition.number_planes(view.model, view.tokenizer, [10, 5])
    np.testing.assert_allclose(own.rows, planes.rows)
    for change, predicted in zip((low, turn(own, number_angles(own, 2))), expected.values, strict=True):
        assert the_answers(view, change=change, modules=modules, layers=layers).tolist() == predicted.tolist()
    # And the changes do something.
    logits = [
        fourier_addition.number_logits(view.model, view.tokenizer, PROMPTS, change=change, modules=modules)
        for change in (None, low)
    ]
    assert not np.allclose(*logits)


def test_changes_that_cannot_be_made_are_one_sentence(view):
    other = Filter.removing(np.eye(12)[:, :2])
    with pytest.raises(UserError, match="of 12 does not fit a model of 48"):
        the_answers(view, change=other)
    with pytest.raises(UserError, match="Module 'head' is not known"):
        the_answers(view, modules="head")
    with pytest.raises(UserError, match="Layer 2 does not exist"):
        the_answers(view, layers=[2])
    planes = fourier_addition.number_planes(view.model, view.tokenizer, [10])
    with pytest.raises(UserError, match="has no source"):
        the_answers(view, change=replace(planes, np.zeros(4, int)))
    with pytest.raises(UserError, match="No Fourier component has period 7"):
        fourier_addition.number_planes(view.model, view.tokenizer, [7])


# The miniature, and weights from elsewhere


def test_the_miniature_is_that_of_the_default():
    given = validated(yaml.safe_load((ROOT / "config/config.yaml").read_text()))
    text, shape = given["pretraining"]["numerals"], given["models"]["mini"]["architecture"]
    assert {key: shape[key] for key in miniature.ARCHITECTURE} == miniature.ARCHITECTURE
    assert text["mixture"] == miniature.MIXTURE and text["line"] == miniature.LINE
    assert text["counting_steps"] == list(miniature.COUNTING_STEPS)
    for function, values in (
        (miniature.pretrain_miniature, text),
        (miniature.finetune, given["runs"]["mini.finetuned"]),
    ):
        defaults = inspect.signature(function).parameters
        for key in {"numbers", "steps", "batch_size", "learning_rate", "epochs"} & set(defaults):
            assert defaults[key].default == values[key], key
    task = given["tasks"]["addition-50"]
    examples = fourier_addition.examples_of("addition", operands=tuple(task["operands"]), seed=task["seed"])
    pd.testing.assert_frame_equal(examples, dataset(Task.from_config("addition-50", task)))


def test_a_miniature_is_made_and_learns():
    small = {"layers": 1, "width": 32, "heads": 2, "inner": 32}
    model, tokenizer = fourier_addition.pretrain_miniature(numbers=11, steps=3, architecture=small)
    again, _ = fourier_addition.pretrain_miniature(numbers=11, steps=3, architecture=small)
    weights = [each.get_input_embeddings().weight for each in (model, again)]
    assert torch.equal(*weights) and len(weights[0]) == len(tokenizer)
    examples = fourier_addition.examples_of("addition", operands=(0, 5))
    history = fourier_addition.finetune(
        model, tokenizer, examples, epochs=60, batch_size=8, learning_rate=0.01
    )
    assert history["epoch"].tolist() == list(range(61)) and not model.training
    assert history["train_loss"].iloc[-1] < 0.5 * history["train_loss"].iloc[1]
    right = fourier_addition.accuracy_of(model, tokenizer, examples, split="train")
    found = fourier_addition.number_logits(
        model, tokenizer, examples.loc[examples["split"] == "train", "prompt"].tolist()
    ).argmax("number")
    own = (found.values == examples.loc[examples["split"] == "train", "answer"]).mean()
    assert right == pytest.approx(own)
    with pytest.raises(UserError, match="Operation 'sum' is not known"):
        fourier_addition.examples_of("sum")


def test_a_model_is_fetched_once(view, tmp_path):
    view.save(tmp_path / "source")
    folder = fourier_addition.fetch_model({"path": str(tmp_path / "source")}, tmp_path / "mine")
    assert fourier_addition.load_model(folder).d_model == view.d_model
    # The folder is there: nothing is asked for, so a source that is gone does not matter.
    assert fourier_addition.fetch_model({"path": "gone"}, folder) == folder
    with pytest.raises(UserError, match=r"models\.other could not be fetched"):
        fourier_addition.fetch_model({"path": "gone"}, tmp_path / "other")
    with pytest.raises(UserError, match="sha256"):
        fourier_addition.fetch_model({"path": str(tmp_path / "source")}, tmp_path / "b", sha256="0" * 64)


def test_plots_return_a_figure(view, tmp_path):
    table = fourier_addition.number_spectrum(view.model, view.tokenizer, draws=5)
    figure = fourier_addition.plot_number_spectrum(table, name="a tiny model")
    assert isinstance(figure, Figure) and figure.axes[0].get_title() == "a tiny model"
    outputs = fourier_addition.module_outputs(view.model, view.tokenizer, PROMPTS)
    spectra = fourier_addition.module_spectra(outputs, view.model, view.tokenizer, draws=5)
    figure = fourier_addition.plot_module_spectra(spectra, layers=1)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


def test_a_notebook_shows_the_whole_figure(view):
    """Notebooks cut figures to their tight box: the legend below must be inside."""
    table = fourier_addition.number_spectrum(view.model, view.tokenizer, draws=5)
    figure = fourier_addition.plot_number_spectrum(table, height="prominence")
    (legend,) = figure.legends
    renderer = figure.canvas.get_renderer()
    box, inside = figure.get_tightbbox(renderer), legend.get_window_extent(renderer)
    assert box.y0 * figure.dpi <= inside.y0 + 1


# The wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A Python whose only `fourier_addition` is that of the wheel, built from this checkout."""
    # Found, not imported: setuptools cannot be imported after the standard library's distutils.
    if importlib.util.find_spec("setuptools") is None:
        pytest.skip("setuptools builds the wheel")
    folder = tmp_path_factory.mktemp("wheel")

    # From a copy, as the build leaves folders behind.
    tree = folder / "tree"
    for name in ("config", "workflow"):
        shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "*.egg-info"))
    for name in ("pyproject.toml", "setup.py", "MANIFEST.in", "README.md", "LICENSE"):
        shutil.copy2(ROOT / name, tree / name)
    build = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        str(tree),
        "--no-deps",
        "--no-build-isolation",
        "--no-index",
    ]
    ran = subprocess.run([*build, "--wheel-dir", str(folder)], cwd=folder, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr
    (wheel,) = folder.glob("*.whl")
    venv.create(folder / "bare", with_pip=False, symlinks=True)
    version = f"python{sys.version_info.major}.{sys.version_info.minor}"
    packages = folder / "bare/lib" / version / "site-packages"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(packages)
    # Third-party packages come from this environment, as no registry is asked.
    (packages / "shared.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return folder / "bare/bin/python"


def run(python, code, folder):
    ran = subprocess.run(
        [python, "-c", code], cwd=folder, capture_output=True, text=True, env={"PATH": "/usr/bin:/bin"}
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout.strip()


@pytest.mark.system
def test_the_wheel_has_the_schema_the_types_and_the_report(installed, tmp_path):
    code = (
        "import fourier_addition, pathlib; from fourier_addition.pipeline.config import SCHEMA, schema;"
        "home = pathlib.Path(fourier_addition.__file__).parent;"
        "print(home.parent.name, (home / 'py.typed').is_file(), (home / '__init__.pyi').is_file(),"
        "home in SCHEMA.parents, 'models' in schema()['properties'])"
    )
    assert run(installed, code, tmp_path) == "site-packages True True True True"
    code = (
        "from fourier_addition.pipeline.report.asked import CAPTIONS as at; print(*at.glob('*.rst'), sep='|')"
    )
    shipped = run(installed, code, tmp_path).split("|")
    assert len(shipped) == len(list((ROOT / "workflow/report").glob("*.rst")))
    code = "from fourier_addition.pipeline.report.command import main; raise SystemExit(main(['results']))"
    assert "report.html shows 0 figures" in run(installed, code, tmp_path)


@pytest.mark.system
def test_five_lines_give_a_models_number_spectrum(installed, view, tmp_path):
    view.save(tmp_path / "model")
    code = """
import fourier_addition
from transformers import AutoModelForCausalLM, AutoTokenizer
model, tokenizer = AutoModelForCausalLM.from_pretrained("model"), AutoTokenizer.from_pretrained("model")
table = fourier_addition.number_spectrum(model, tokenizer)
fourier_addition.plot_number_spectrum(table).savefig("spectrum.png")
print(len(table))
"""
    assert run(installed, code, tmp_path) == str(LARGEST // 2)
    assert (tmp_path / "spectrum.png").is_file()
