"""Copies of the workflow in a folder of their own, and Snakemake calls in them, shared by the tests."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path

import warm
from fourier_addition.pipeline.source_facts import KEPT

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
    # What `make lint` learned of the modules by their content; without the file a study learns it itself.
    if (ROOT / KEPT).is_file():
        (folder / KEPT).parent.mkdir()
        shutil.copy2(ROOT / KEPT, folder / KEPT)
    return folder


def benchmark(script: str, *arguments: object, cwd: Path) -> str:
    """What a script of `bench/` prints; it must end well."""
    command = [sys.executable, str(ROOT / "bench" / script), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=cwd)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout


def snakemake(
    folder: Path, *arguments: str, expect: int = 0, environment: Mapping[str, str] | None = None
) -> str:
    """Output of a Snakemake call in `folder`.

    Calls and their jobs are forks of a process that has imported Snakemake and the science; with an
    `environment` they are processes of their own.
    """
    # Forks of another server would be the same thing twice; tests/test_forks.py has those of the product.
    env = {**os.environ, "OMP_NUM_THREADS": "1", "FOURIER_ADDITION_FORKS": "0", **(environment or {})}
    if environment is None:
        status, output, errors = warm.call("snakemake", [*arguments], folder, env)
    else:
        command = [*SNAKEMAKE, *arguments]
        ran = subprocess.run(command, cwd=folder, capture_output=True, text=True, env=env)
        status, output, errors = ran.returncode, ran.stdout, ran.stderr
    output += errors
    assert status == expect, output[-6000:]
    return output


@cache
def finished(base: Path, config: str = "micro") -> Path:
    """A finished study, made once for a session: a copy for this process, whose tests leave it as it is.

    base: folder of the session's temporary files, of this worker if there are several.
    """
    everyones = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base
    made, folder = everyones / f"finished-{config}", base / f"own-{config}"
    with (everyones / f"finished-{config}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            making = everyones / f"making-{config}"
            making.mkdir()
            snakemake(copy_of_the_tree(making, config), "--cores", "2")
            making.rename(made)
    shutil.copytree(made, folder, symlinks=True)
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
