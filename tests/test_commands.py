"""Every command of the README and the docs is run, on a small study in place of the default one.

A command is run as it stands, with a shell, in a folder like a clone that is set up. What needs a cluster, a
GPU, a hub or a study of hours is planned instead, or named with the test that runs it.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
from study import ROOT, finished
from test_docs import commands
from tiny import tiny_model

pytestmark = pytest.mark.workflow

LINES = sorted({line.split("  #")[0].strip() for _, line in commands()})
"""Command lines without their comments, each once."""

RUN = {
    "make": "Nothing to be done",
    "make CONFIG=path/to/file.yaml": "Nothing to be done",
    "make CONFIG=path/to/mine.yaml": "Nothing to be done",
    "make TARGETS=results/runs/mini.finetuned.seed0/number-rows.json": "Nothing to be done",
    "make why": "Nothing would rerun",
    "make why CONFIG=path/to/mine.yaml": "Nothing would rerun",
    "make verify": "0 problems",
    "make report": "report.html",
    "PYTHONPATH=workflow/scripts .venv/bin/python -m fourier_addition.pipeline.report results "
    "--configfile config/config.yaml --output report.html": "report.html",
    "snakemake --report stock.html": "Report created",
    "snakemake --unlock": "",
    "snakemake -n --configfile path/to/mine.yaml": "Nothing to be done",
    "snakemake --cores all --configfile path/to/file.yaml": "Nothing to be done",
    "make clean-results": "",
    "ln -s /path/to/model my-model": "",
    "export SNAKEMAKE_STORAGE_S3_ACCESS_KEY=...": "",
    "export SNAKEMAKE_STORAGE_S3_SECRET_KEY=...": "",
    "export SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=...": "",
}
"""Commands that are run as they stand -> what they must say. The default configuration is the micro study."""

PLANNED = {
    "make CONFIG=config/local.yaml": "figure_probes",
    "make CONFIG=config/arms.yaml": "train",
    "make CONFIG=config/gpt2.yaml": "fetch_model",
    "make CONFIG=config/smollm2.yaml": "read_gguf",
    "make TARGETS=results/tables/units.md": "units",
    ".venv/bin/snakemake -n --configfile config/gpt2.yaml": "fetch_model",
    "make why CONFIG=config/gpt2.yaml TARGETS=results/tables/accuracy.csv": "fetch_model",
    "snakemake --cores all --forcerun RULE": "table",
    "snakemake --workflow-profile profiles/slurm": "total",
}
"""Commands whose study would take hours, a hub or a cluster: planned on the shipped configurations."""

SIZING = "PYTHONPATH=workflow/scripts python -m fourier_addition.pipeline.sizing"
SYSTEM = {
    "make docs": "",
    f"{SIZING} --configfile config/minilm.yaml": "MB",
    f"{SIZING} --configfile config/paper.yaml": "MB",
    ".venv/bin/python -m pytest tests/test_fourier.py": "100%",
}
"""Commands that are run as they stand, and take longer."""

ELSEWHERE = {
    "make test": "this run is it",
    "make test-system": ".ci/run runs it",
    "make lint": "`make test` runs it first",
    "make site": "tests/test_site.py::test_every_page_is_on_the_site_and_loads_nothing_from_elsewhere",
    "make cluster": "tests/test_set_up.py::test_every_target_installs_what_it_needs",
    "make gallery": "tests/test_gallery.py",
    "make notebooks": "tests/test_notebooks.py",
    "make bench-training": "it takes an hour; its arguments are checked below",
    "make TARGETS=results/…/0.json": "the path is cut short for reading",
    "python -m pip install .": "tests/test_library.py::"
    "test_the_wheel_has_the_schema_the_types_and_the_report",
    "make bench-capture": "tests/test_bench_capture.py",
    "make CONFIG=...": "the words stand for any configuration",
    "make TARGETS=results/...": "the path is cut short for reading",
    "snakemake --lint": "`make lint` runs it",
    '.venv/bin/python -m pytest -m "not workflow and not system"': ".ci/run runs it on the second Python",
    "snakemake --workflow-profile profiles/slurm --sdm conda": "no conda here: tests/test_environments.py",
    "snakemake --workflow-profile profiles/slurm --sdm conda --conda-create-envs-only": "no conda here: "
    "tests/test_environments.py::test_environments_admit_the_locked_versions",
    "snakemake --cores all --configfile config/config.yaml      "
    "--default-storage-provider s3 --default-storage-prefix s3://my-bucket/my-study": "tests/test_s3.py::"
    "test_a_figure_has_the_bytes_of_a_local_run",
}
"""Commands that no test runs as they stand -> why, or the test that does."""
NEED_A_GPU = re.compile(r"PYTHONPATH=workflow/scripts python bench/bench_training.py --device cuda ")


def test_every_command_has_its_place():
    known = [*RUN, *PLANNED, *SYSTEM, *ELSEWHERE]
    assert len(known) == len(set(known))
    left = [line for line in LINES if line not in known and not NEED_A_GPU.match(line)]
    assert not left, "commands of the documents that no test runs"
    assert not set(known) - set(LINES) - {"make gallery"}, "no document has these any more"


@pytest.mark.parametrize("reason", [why for why in ELSEWHERE.values() if "tests/" in why])
def test_the_test_that_is_named_is_there(reason):
    path, _, name = reason[reason.index("tests/") :].partition("::")
    assert (ROOT / path).is_file() and f"def {name}" in (ROOT / path).read_text()


@pytest.mark.parametrize("line", [line for line in LINES if NEED_A_GPU.match(line)])
def test_benchmarks_for_a_gpu_have_the_arguments(line, monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "bench")
    import bench_training

    words = line.split()
    monkeypatch.setattr(sys, "argv", words[words.index("bench/bench_training.py") :])
    assert bench_training.arguments().device == "cuda"


def set_up(folder: Path) -> Path:
    """Make a copy of the tree like a clone after `make setup`, whose environment is that of the tests."""
    own, environment = Path(sys.prefix), folder / ".venv"
    for name in ("Makefile", "requirements.lock", "README.md", "pyproject.toml"):
        shutil.copy2(ROOT / name, folder / name)
    environment.mkdir()
    shutil.copy2(own / "pyvenv.cfg", environment / "pyvenv.cfg")
    for name in ("bin", "lib"):
        (environment / name).symlink_to(own / name)
    for section in ("", "-cluster", "-test", "-site"):
        (environment / f".set-up{section}").touch()
    return folder


@cache
def small(base: Path) -> Path:
    """The finished micro study as a clone, with a configuration of the user's own beside it."""
    folder = set_up(Path(shutil.copytree(finished(base), base / "commands", symlinks=True)))
    (folder / "path/to").mkdir(parents=True)
    for name in ("mine", "file"):
        shutil.copy2(folder / "config/config.yaml", folder / f"path/to/{name}.yaml")
    return folder


@cache
def shipped(base: Path) -> Path:
    """A clone without results, with the shipped configurations and a model of the user's own."""
    folder = base / "shipped"
    folder.mkdir()
    for name in ("Snakefile", "workflow", "config", "envs", "profiles", "docs", "tests"):
        copy = shutil.copytree if (ROOT / name).is_dir() else shutil.copy2
        copy(ROOT / name, folder / name)
    tiny_model("gpt2", folder / "my-model", largest=100)
    return set_up(folder)


def ran(line: str, folder: Path) -> str:
    """What a command line says, run by a shell in a folder that is set up."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MFLAGS", "VIRTUAL_ENV", "PYTHONPATH"}
    environment = {name: value for name, value in os.environ.items() if name not in outer}
    environment |= {
        "PATH": f"{folder}/.venv/bin:{environment['PATH']}",
        "OMP_NUM_THREADS": "1",
        "SLURM_CONF": "/dev/null",
    }
    done = subprocess.run(["sh", "-c", line], cwd=folder, env=environment, capture_output=True, text=True)
    said = done.stdout + done.stderr
    assert done.returncode == 0, f"{line}\n{said[-4000:]}"
    assert "Traceback" not in said
    return said


@pytest.mark.system
@pytest.mark.parametrize(("line", "says"), RUN.items())
def test_a_command_does_what_it_says(line, says, tmp_path_factory, tmp_path):
    folder = small(tmp_path_factory.getbasetemp())
    if line.startswith(("make clean", "ln ")):
        # What it leaves behind is not for the others.
        folder = Path(shutil.copytree(folder, tmp_path / "copy", symlinks=True))
    said = ran(line, folder)
    assert says in said, said[-3000:]
    if line == "make clean-results":
        assert [path.name for path in (folder / "results").iterdir()] in ([], [".gitignore"])


@pytest.mark.system
@pytest.mark.parametrize(("line", "says"), PLANNED.items())
def test_a_large_command_is_planned(line, says, tmp_path_factory):
    line = line.replace("RULE", "table")
    if line.startswith("make") and " why" not in line:
        line += " CORES='all -n'"
    elif line.startswith("snakemake"):
        line += " -n"
    said = ran(line, shipped(tmp_path_factory.getbasetemp()))
    assert says in said, said[-3000:]


@pytest.mark.system
@pytest.mark.parametrize(("line", "says"), SYSTEM.items())
def test_a_command_that_takes_longer_does_what_it_says(line, says, tmp_path_factory):
    assert says in ran(line, shipped(tmp_path_factory.getbasetemp()))
