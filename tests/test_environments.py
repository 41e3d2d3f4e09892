"""Every rule's conda environment holds what its script imports, at the versions of the lock."""

import ast
import re
import sys
from pathlib import Path

import pytest
import yaml
from fourier_addition.digest import SCRIPTS, reachable
from fourier_addition.figures import FAMILIES
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parents[1]
PACKAGE_OF = {"sklearn": "scikit-learn", "yaml": "pyyaml", "matplotlib": "matplotlib"}
ALIASES = {"matplotlib-base": "matplotlib"}
OPTIONAL = {"snakemake"}
"""Only for running a script by hand, where the workflow's own environment is at work."""


def rule_environments() -> list[tuple[str, str]]:
    """(script, environment file) of every rule."""
    found = []
    for file in sorted((ROOT / "workflow" / "rules").glob("*.smk")):
        for rule in re.split(r"^\s*rule\b", file.read_text(), flags=re.M)[1:]:
            environment = re.search(r"conda:\s*\"(.*?)\"", rule).group(1)
            script = re.search(r"script:\s*(?:#.*\s*)*\"(.*?)\"", rule).group(1)
            for family in sorted(set(FAMILIES.values())) if "{" in script else [""]:
                name = script.replace("{params.family}", family)
                found.append((Path(name).name, Path(environment).name))
    return found


def requirements(environment: str) -> dict[str, Requirement]:
    """Packages of an environment file, by their name on PyPI."""
    found = {}
    for entry in yaml.safe_load((ROOT / "envs" / environment).read_text())["dependencies"]:
        for line in entry["pip"] if isinstance(entry, dict) else [entry]:
            requirement = Requirement(re.sub(r" =(?=\d)", " ==", line).replace("==3.11", "==3.11.*"))
            found[ALIASES.get(requirement.name, requirement.name).lower()] = requirement
    return found


def imported(path: Path) -> set[str]:
    """Top-level packages that one file imports, anywhere in it."""
    names = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            names.add(node.module.split(".")[0])
    return names


def imports(script: str) -> set[str]:
    """Third-party packages that a script and all local code it reaches import."""
    names = set().union(*(imported(path) for path in reachable(SCRIPTS / script)))
    own = {"fourier_addition"} | {path.stem for path in SCRIPTS.glob("*.py")}
    return {PACKAGE_OF.get(n, n) for n in names - set(sys.stdlib_module_names) - own} - OPTIONAL


def test_there_are_rules():
    assert len(rule_environments()) > 20


@pytest.mark.parametrize(("script", "environment"), rule_environments())
def test_environments_hold_what_scripts_import(script, environment):
    missing = imports(script) - set(requirements(environment))
    # Guarded imports: torch where a device is picked, transformers and tokenizers for type hints.
    if environment in ("analysis.yaml", "figures.yaml", "download.yaml"):
        missing -= {"torch"}
    assert missing == set()


@pytest.mark.parametrize("environment", sorted(path.name for path in (ROOT / "envs").glob("*.yaml")))
def test_environments_admit_the_locked_versions(environment):
    locked = dict(
        line.lower().split("==")
        for line in (ROOT / "requirements.lock").read_text().splitlines()
        if "==" in line
    )
    locked["torch"] = "2.13.0"
    for name, requirement in requirements(environment).items():
        if name not in ("python", "pip"):
            assert requirement.specifier.contains(locked[name]), (name, locked[name])


def test_light_scripts_do_not_load_torch():
    # Importing torch takes seconds; these jobs are many.
    for script, environment in rule_environments():
        if environment != "torch.yaml":
            code = [path for path in reachable(SCRIPTS / script) if path.name != "job.py"]
            assert not {"torch", "transformers"} & set().union(*(imported(path) for path in code)), script
