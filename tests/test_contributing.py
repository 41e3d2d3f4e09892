"""CONTRIBUTING.md speaks of code that exists, and a reader of one flow has few files to open."""

import ast
import re
from pathlib import Path

import pytest
from fourier_addition.pipeline.code_digest import SCRIPTS, reachable
from study import ROOT

PACKAGE = SCRIPTS / "fourier_addition"
TEXT = (ROOT / "CONTRIBUTING.md").read_text()
NAMED = re.findall(r"^\| [^|]+ \| `([\w/]+\.py)` \| (`.+`) \|$", TEXT, flags=re.M)


def defined(file: Path) -> set[str]:
    """Names that a module defines at its top, and `Class.method`."""
    names: set[str] = set()
    for node in ast.parse(file.read_text()).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            names.add(node.name)
        if isinstance(node, ast.ClassDef):
            names |= {
                f"{node.name}.{inner.name}" for inner in node.body if isinstance(inner, ast.FunctionDef)
            }
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        names |= {target.id for target in targets if isinstance(target, ast.Name)}
    return names


def test_the_table_of_the_paper_is_long():
    assert len(NAMED) >= 25


@pytest.mark.parametrize(("file", "names"), NAMED)
def test_every_name_of_the_table_exists(file, names):
    for name in re.findall(r"`([\w.]+)`", names):
        assert name in defined(PACKAGE / file), f"{file} has no {name}"


@pytest.mark.parametrize("file", sorted(set(re.findall(r"`([\w/]+\.(?:py|md|yaml))`", TEXT))))
def test_every_file_that_is_named_exists(file):
    assert (PACKAGE / file).is_file() or (ROOT / file).is_file()


PLUMBING = ("errors.py", "files", "models", "modules.py", "pipeline")
"""What every flow shares: files written whole, the view of a model, two names, and what knows Snakemake."""
ASIDE = (
    *("ablation/engine/", "training/launch.py", "training/parallel.py"),
    *("interventions.py", "ablation/sources.py"),
)
"""What a reader may leave closed: faster ways of `ablation/plain.py`, training in several processes, and
interventions that table 1 does not have."""
LOOK = ("theme.py", "frame.py", "columns.py", "labels.py", "marks.py", "facts.py", "panels.py")
"""What every figure shares."""
FLOWS = {
    "run to checkpoint": ("train.py",),
    "capture to figure 3": ("capture.py", "spectra.py", "figure_spectrum.py"),
    "condition to table 1": (
        "ablate.py",
        "fourier_addition/ablation/table1.py",
        "fourier_addition/tables/writing.py",
    ),
}


def opened(*scripts: str) -> list[str]:
    """Files of a flow that its results depend on, the shared plumbing left out."""
    found = {path for script in scripts for path in reachable(SCRIPTS / script, needed=True)}
    names = []
    for path in sorted(found):
        parts = path.relative_to(SCRIPTS).parts
        inside = parts[1:] if parts[0] == "fourier_addition" else parts
        if inside[0] not in PLUMBING and inside[-1] not in (*LOOK, "__init__.py"):
            names.append("/".join(inside))
    return [name for name in names if not name.startswith(ASIDE)]


@pytest.mark.parametrize("flow", FLOWS)
def test_a_flow_is_read_in_few_files(flow):
    files = opened(*FLOWS[flow])
    assert 3 <= len(files) <= 18, files
