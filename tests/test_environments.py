"""Every rule's conda environment holds what its script imports, at the versions of the lock."""

import ast
import re
import shutil
import sys
import tomllib
from functools import cache
from importlib import metadata
from pathlib import Path

import pytest
import yaml
from fourier_addition.pipeline.code_digest import SCRIPTS, code_digest, reachable
from fourier_addition.pipeline.figures import FAMILIES
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
PACKAGE_OF = {"sklearn": "scikit-learn", "yaml": "pyyaml", "matplotlib": "matplotlib"}
ALIASES = {"matplotlib-base": "matplotlib"}
ENVIRONMENTS = sorted(path.name for path in (ROOT / "envs").glob("*.yaml"))
SCIENCE = {"numpy", "pandas", "scipy", "sklearn", "xarray", "zarr", "torch", "transformers", "matplotlib"}
NEEDED_BY_CALL = {
    "read_parquet": "pyarrow",
    "to_parquet": "pyarrow",
    "open_zarr": "zarr",
    "to_zarr": "zarr",
    "to_markdown": "tabulate",
    "to_latex": "jinja2",
    "read_excel": "openpyxl",
}
"""Packages that a call needs and no import names."""
OF_EVERY_JOB = ("job.py", "device.py", "parquet.py")
"""Modules that every job imports; they import torch, Snakemake and pyarrow inside functions alone."""
PYTHONS = ("3.11", "3.12", "3.13", "3.14")
OPTIONAL = {"snakemake", "psutil"}
"""Only for running a script by hand, and in Snakemake's own process. Snakemake itself needs psutil."""


def rule_environments() -> list[tuple[str, str]]:
    """(script, environment file) of every rule."""
    found = []
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^\s*rule\b", file.read_text(), flags=re.M)[1:]:
            environment = re.search(r"conda:\s*\"(.*?)\"", rule).group(1)
            script = re.search(r"script:\s*(?:#.*\s*)*\"(.*?)\"", rule).group(1)
            for family in FAMILIES if "{" in script else [""]:
                name = script.replace("{params.family}", family)
                found.append((Path(name).name, Path(environment).name))
    return found


def requirements(environment: str) -> dict[str, Requirement]:
    """Packages of an environment file, by their name on PyPI."""
    found = {}
    for entry in yaml.safe_load((ROOT / "envs" / environment).read_text())["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            requirement = Requirement(re.sub(r" =(?=\d)", " ==", line))
            found[ALIASES.get(requirement.name, requirement.name).lower()] = requirement
    return found


def sections() -> dict[str, dict[str, str]]:
    """Sections of the lock, as workflow/set-up.sh takes them: section -> package -> version."""
    found: dict[str, dict[str, str]] = {}
    for line in (ROOT / "requirements.lock").read_text().lower().splitlines():
        if heading := re.match(r"# \[(\w+)\]", line):
            found[heading[1]] = {}
        elif "==" in line:
            name, version = line.split(";")[0].split("==")
            assert not any(name in section for section in found.values()), f"{name} is locked twice"
            [*found.values()][-1][name] = version.strip()
    return found


def locked() -> dict[str, str]:
    """Version of every package of the lock."""
    return {name: version for section in sections().values() for name, version in section.items()}


@cache
def imported(path: Path) -> set[str]:
    """Top-level packages that one file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


@cache
def called(path: Path) -> set[str]:
    """Names of the functions and methods that one file calls."""
    calls = (node.func for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call))
    return {getattr(function, "attr", getattr(function, "id", "")) for function in calls}


def imports(script: str) -> set[str]:
    """Third-party packages that a script and all local code it reaches import."""
    names = set().union(*(imported(path) for path in reachable(SCRIPTS / script)))
    if names & {"pandas", "xarray"}:
        calls = set().union(*(called(path) for path in reachable(SCRIPTS / script)))
        names |= {NEEDED_BY_CALL[call] for call in calls & set(NEEDED_BY_CALL)}
    own = {"fourier_addition"} | {path.stem for path in SCRIPTS.glob("*.py")}
    return {PACKAGE_OF.get(n, n) for n in names - set(sys.stdlib_module_names) - own} - OPTIONAL


def test_there_are_rules():
    assert len(rule_environments()) > 20


def test_every_environment_is_used():
    assert {environment for _, environment in rule_environments()} == set(ENVIRONMENTS)


@pytest.mark.parametrize(("script", "environment"), rule_environments())
def test_environments_hold_what_scripts_import(script, environment):
    missing = imports(script) - set(requirements(environment))
    # Imported inside functions that these jobs do not call: `device.pick_device`, and the check of a
    # Parquet input in `storage`, of which a download has none.
    missing -= {"torch.yaml": set(), "download.yaml": {"torch", "pyarrow"}}.get(environment, {"torch"})
    assert missing == set()


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments_hold_nothing_that_no_script_imports(environment):
    used = set().union(*(imports(script) for script, where in rule_environments() if where == environment))
    # pip fetches wheels and installs torch; transformers reads weights with safetensors and places the
    # parts of a model with accelerate.
    assert set(requirements(environment)) - used <= {"python", "pip", "accelerate", "safetensors"}


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_environments_admit_the_locked_versions(environment):
    versions = locked()
    for name, requirement in requirements(environment).items():
        if name not in ("python", "pip"):
            assert requirement.specifier, f"{name} has no range"
            assert requirement.specifier.contains(versions[name]), (name, versions[name])
    for version in PYTHONS:
        assert requirements(environment)["python"].specifier.contains(f"{version}.9")
    assert not requirements(environment)["python"].specifier.contains("3.10.9")


@pytest.mark.parametrize("environment", ENVIRONMENTS)
def test_no_environment_chooses_between_cpu_and_gpu_builds(environment):
    """One file serves machines with and without a GPU: no build is named, torch comes through pip."""
    parsed = yaml.safe_load((ROOT / "envs" / environment).read_text())
    entries = [entry for entry in parsed["dependencies"] if isinstance(entry, str)]
    through_pip = [
        line for entry in parsed["dependencies"] if isinstance(entry, dict) for line in entry["pip"]
    ]
    assert parsed["channels"] == ["conda-forge", "nodefaults"]
    for entry in entries:
        # A third field, or a second "=", is a build string; a conda torch takes the host's kind.
        assert re.fullmatch(r"[a-z0-9_.-]+( [<>=0-9.,]+)?", entry), entry
        assert not re.match(r"(py)?torch|cuda|cudatoolkit|cpuonly|nvidia|libtorch|jax|tensorflow", entry), (
            entry
        )
    for line in through_pip:
        assert not line.startswith("-") and "+" not in line and "@" not in line and "nvidia" not in line, line
    # Beside a pin file Snakemake leaves the pip section out.
    assert not list((ROOT / "envs").glob("*.pin.txt"))


def test_light_scripts_do_not_load_torch():
    # Importing torch takes seconds; these jobs are many.
    for script, environment in rule_environments():
        if environment != "torch.yaml":
            code = [path for path in reachable(SCRIPTS / script) if path.name not in OF_EVERY_JOB]
            assert not {"torch", "transformers"} & set().union(*(imported(path) for path in code)), script


def test_a_download_reaches_no_science():
    files = [path for path in reachable(SCRIPTS / "fetch_model.py") if path.name not in OF_EVERY_JOB]
    # The library's names lie in `__init__.py` of the package; what they stand for is imported when asked for.
    names_alone = {SCRIPTS / "fourier_addition/library" / name for name in ("__init__.py", "names.py")}
    files = [path for path in files if path not in names_alone]
    names = {path.relative_to(SCRIPTS).parts[1] for path in files if path.parent != SCRIPTS}
    assert names <= {"__init__.py", "errors.py", "files", "pipeline", "sources"}
    at_the_top = {
        name for path in files for node in ast.parse(path.read_text()).body for name in _imported_by(node)
    }
    assert not at_the_top & SCIENCE
    assert set(requirements("download.yaml")) == {"python", "pip", "huggingface_hub", "tqdm"}


def _imported_by(node: ast.stmt) -> set[str]:
    if isinstance(node, ast.Import):
        return {alias.name.split(".")[0] for alias in node.names}
    return {node.module.split(".")[0]} if isinstance(node, ast.ImportFrom) else set()


def test_edits_of_the_science_fetch_no_model_again(tmp_path):
    before = code_digest("fetch_model.py")
    root = Path(shutil.copytree(SCRIPTS, tmp_path / "scripts", ignore=shutil.ignore_patterns("__pycache__")))
    reached = {path.relative_to(SCRIPTS) for path in reachable(SCRIPTS / "fetch_model.py")}
    edited = [path for path in root.rglob("*.py") if path.relative_to(root) not in reached]
    assert len(edited) > 50
    for path in edited:
        path.write_text(path.read_text() + "\nEDITED = 1\n")
    assert code_digest("fetch_model.py", root) == before
    # And the test can fail: an edit of what it does reach changes it.
    again = Path(shutil.copytree(root, tmp_path / "again"))
    with (again / "fourier_addition/sources/wheel.py").open("a") as file:
        file.write("\nEDITED = 1\n")
    assert code_digest("fetch_model.py", again) != before


PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = PROJECT["optional-dependencies"]
SECTIONS = {
    "run": [*PROJECT["dependencies"], *EXTRAS["workflow"]],
    "cluster": EXTRAS["cluster"],
    "test": EXTRAS["dev"],
    "site": EXTRAS["site"],
}
"""Section of the lock -> what pyproject.toml asks for."""


def needed(wanted: list[str]) -> set[str]:
    """Installed packages that requirements lead to, on this Python and machine, themselves included."""
    found: set[str] = set()
    waiting = [Requirement(line) for line in wanted]
    while waiting:
        asked = waiting.pop()
        name = canonicalize_name(asked.name)
        extras = [*asked.extras, ""]
        if name in found and extras == [""]:
            continue
        found.add(name)
        for line in metadata.requires(asked.name) or []:
            further = Requirement(line)
            if further.marker is None or any(further.marker.evaluate({"extra": extra}) for extra in extras):
                waiting.append(further)
    return found


@pytest.mark.parametrize("section", SECTIONS)
def test_a_section_of_the_lock_holds_what_its_part_of_the_project_asks_for(section):
    held = {canonicalize_name(name): version for name, version in sections()[section].items()}
    for line in SECTIONS[section]:
        asked = Requirement(line)
        assert asked.specifier.contains(held[canonicalize_name(asked.name)]), line


def test_every_section_has_what_its_packages_need_and_nothing_else():
    wanted: list[str] = []
    before: set[str] = set()
    # A build of torch brings its own libraries, which torch pins itself.
    brought = {"setuptools", "triton"}
    for section, asked in SECTIONS.items():
        held = {canonicalize_name(name) for name in sections()[section]}
        wanted += asked
        reached = {name for name in needed(wanted) if not name.startswith(("nvidia-", "cuda-"))}
        assert held - brought == reached - before - brought, section
        before = reached


def test_make_installs_nothing_of_tests_clusters_and_storage():
    held = sections()["run"]
    for name in ("flask", "moto", "openai", "hypothesis", "boto3", "pytest", "ruff", "mypy"):
        assert name not in held and name in locked()


def test_every_place_names_the_same_pythons():
    fits = SpecifierSet(PROJECT["requires-python"])
    assert [minor for minor in range(30) if fits.contains(f"3.{minor}")] == [11, 12, 13, 14]
    script = (ROOT / "workflow/set-up.sh").read_text()
    assert "(3, 11) <= sys.version_info[:2] <= (3, 14)" in script
    assert all(f"python{version}" in script for version in PYTHONS)
    for page in ("README.md",):
        assert "Python 3.11 to 3.14" in (ROOT / page).read_text()


def test_the_benchmarks_have_the_torch_of_the_lock():
    named = set(re.findall(r"torch==(\S+)", (ROOT / "Makefile").read_text()))
    assert named == {locked()["torch"]}
