"""The public interface: light to import, right on models in memory, and whole in an installed wheel."""

import ast
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
from fourier_addition.analysis import module_spectra as of_captures
from fourier_addition.analysis.embeddings import embedding_table
from fourier_addition.capture.dataset import open_capture
from fourier_addition.capture.record import capture
from fourier_addition.errors import UserError
from fourier_addition.library.names import MODULES, PUBLIC
from fourier_addition.pipeline.code_digest import PUBLIC_NAMES, SCRIPTS, reachable
from fourier_addition.pipeline.config import schema
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


def test_plots_return_a_figure(view, tmp_path):
    table = fourier_addition.number_spectrum(view.model, view.tokenizer, draws=5)
    figure = fourier_addition.plot_number_spectrum(table, name="a tiny model")
    assert isinstance(figure, Figure) and figure.axes[0].get_title() == "a tiny model"
    outputs = fourier_addition.module_outputs(view.model, view.tokenizer, PROMPTS)
    spectra = fourier_addition.module_spectra(outputs, view.model, view.tokenizer, draws=5)
    figure = fourier_addition.plot_module_spectra(spectra, layers=1)
    figure.savefig(tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 1000


# The wheel


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A Python whose only `fourier_addition` is that of the wheel, built from this checkout."""
    pytest.importorskip("setuptools", reason="setuptools builds the wheel")
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
