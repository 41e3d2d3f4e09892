"""Copies of the workflow in a folder of their own, and Snakemake calls in them, shared by the tests."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SNAKEMAKE = [sys.executable, "-m", "snakemake"]
COPIED = ("Snakefile", "workflow", "config", "envs", "profiles")


def copy_of_the_tree(folder: Path, config: str = "tiny") -> Path:
    """The workflow's own files, without results; `tests/configs/{config}.yaml` is its default study."""
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, folder / name)
    shutil.copy2(ROOT / f"tests/configs/{config}.yaml", folder / "config/config.yaml")
    return folder


def snakemake(
    folder: Path, *arguments: str, expect: int = 0, environment: Mapping[str, str] | None = None
) -> str:
    """Output of a Snakemake call in `folder`."""
    ran = subprocess.run(
        [*SNAKEMAKE, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        timeout=900,
    )
    output = ran.stdout + ran.stderr
    assert ran.returncode == expect, output[-6000:]
    return output


@cache
def finished(base: Path, config: str = "micro") -> Path:
    """A finished study below `base`, made once for all tests of a session, which must leave it as it is."""
    folder = base / f"finished-{config}"
    folder.mkdir()
    snakemake(copy_of_the_tree(folder, config), "--cores", "2")
    return folder


def planned(folder: Path, *arguments: str) -> set[str]:
    """Rules that a dry run would execute."""
    output = snakemake(folder, "-n", "--cores", "2", *arguments)
    if "Nothing to be done" in output:
        return set()
    table = output.split("Job stats:")[1].split("total")[0]
    return {line.split()[0] for line in table.splitlines() if re.match(r"^\w+\s+\d+$", line)} - {"all"}


def replace(path: Path, old: str, new: str) -> None:
    """Change the first occurrence of `old`, which must be there."""
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
