"""Every command of the pages is run: in a copy of the tree, with a small study in place of a named one.

A command that no record of `RUNS` or `EXCUSED` has fails a test, and so does a record of no command.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import warm
import yaml
from s3_server import s3_server
from study import ROOT, copy_of_the_tree, finished
from test_silent import characters
from tiny import tiny_config, tiny_model
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

pytestmark = pytest.mark.workflow

PAGES = (
    *("README.md", "CONTRIBUTING.md", "config/README.md"),
    *sorted(str(page.relative_to(ROOT)) for page in (ROOT / "docs").rglob("*.md")),
)
SHELLS = ("sh", "bash", "shell", "console")
PROGRAMS = (
    *("make", "snakemake", "python", "python3", "pip", "git", "sh", "bash", "source", ".", "export", "ln"),
    *("cp", "rm", "mv", "mkdir", "cd", "curl", "wget", "tmux", "tar", "unzip", "env", "apt", "apt-get"),
    *("sbatch", "srun", "squeue", "sinfo", "scontrol", "sacct", "pre-commit", "pytest", "ruff", "mypy"),
    *("snakefmt", "conda", "mamba", "docker", ".ci/run"),
)
"""First words of commands. A name that is also a word of a page, such as `run`, is none."""
NEITHER = (".", "cd", "env", "pip", "git", "ruff", "mypy", "pytest", "python", "snakemake", "conda", "docker")
"""Programs that a page may name without calling them."""

# Finding the commands


def pieces(page: str) -> Iterator[tuple[str, str]]:
    """Blocks of a page with their language, and the text between them with the language `text`."""
    language, lines = "text", []
    for line in (ROOT / page).read_text().splitlines():
        if line.lstrip().startswith("```"):
            yield language, "\n".join(lines)
            language, lines = (line.strip("` ") or "none") if language == "text" else "text", []
        else:
            lines.append(line)
    assert language == "text", f"{page} has a block without an end"
    yield language, "\n".join(lines)


def program_of(command: str) -> str:
    """The first word of a command, after variables and without the folder of the environment."""
    words = re.sub(r"^(?:[A-Z_]+=\S* +)+(?=\S)", "", command.strip()).split()
    return words[0].removeprefix(".venv/bin/") if words else ""


def in_prose(text: str) -> Iterator[str]:
    """The commands in backticks of a text."""
    for found in re.findall(r"`([^`\n]+)`", text):
        program = program_of(found)
        if program in PROGRAMS and not (found == program and program in NEITHER):
            yield found


@cache
def commands() -> dict[str, tuple[str, ...]]:
    """Every command of the pages, without comments, and the pages that have it.

    Exports of a block stand before each later command of the block, as in the reader's shell.
    """
    found: dict[str, dict[str, None]] = {}
    for page in PAGES:
        for language, text in pieces(page):
            if language == "text":
                for command in in_prose(text):
                    found.setdefault(command, {})[page] = None
            elif language in SHELLS:
                exports = ""
                for line in text.replace("\\\n", " ").splitlines():
                    command, _, comment = (part.strip() for part in line.removeprefix("$ ").partition(" #"))
                    command = re.sub(r"\s+", " ", command)
                    if command.startswith("export "):
                        exports += f"{command}; "
                    elif command and not command.startswith("#"):
                        found.setdefault(exports + command, {})[page] = None
                    for command in in_prose(comment):
                        found.setdefault(command, {})[page] = None
    return {command: tuple(pages) for command, pages in found.items()}


# How they are run


@dataclass(frozen=True)
class Run:
    """How a test runs a command: as it stands, or as `command` where the command itself is too large.

    said: pattern that the output must have
    made: files that must be newly there afterwards
    before: what a reader has done before, in the shell
    small: named configuration that is replaced by a small one
    table: table of `TABLES` that the study has beside its own
    fresh: the folder has no results
    quick: the run takes a second or two, and is of the quick tier
    """

    said: str = ""
    made: tuple[str, ...] = ()
    before: str = ""
    command: str = ""
    small: str = ""
    table: str = ""
    fresh: bool = False
    quick: bool = False


@dataclass(frozen=True)
class Excuse:
    """Why a command is not run, the test that runs it, and what is run in its place."""

    because: str
    test: str = ""
    instead: str = ""


ROWS = "results/runs/mini.finetuned.seed0/number-rows.json"
CAPTURED = "results/runs/mini.finetuned.seed0/activations/test/0.json"
ACCURACY = "results/tables/accuracy.csv"
GONE = f"rm {ACCURACY}"
TINY_BENCH = (
    "--device cpu --mixed-precision none --layers 1 --width 64 --vocabulary 1000 --steps 8 --repeats 1"
)
TABLES = {
    "units": {"kind": "units", "run": "mini.finetuned"},
    "claims": {"kind": "claims", "roles": {"finetuned": "mini.finetuned"}},
}
S3 = (
    "export SNAKEMAKE_STORAGE_S3_ACCESS_KEY=...; export SNAKEMAKE_STORAGE_S3_SECRET_KEY=...; "
    "export SNAKEMAKE_STORAGE_S3_ENDPOINT_URL=...; snakemake --cores all --configfile config/config.yaml "
    "--default-storage-provider s3 --default-storage-prefix s3://my-bucket/my-study"
)
SIZING = "PYTHONPATH=workflow/scripts python -m fourier_addition.pipeline.sizing --configfile config/"
ON_GPU = "--device cuda --mixed-precision bf16 --compile "
BENCH = f"PYTHONPATH=workflow/scripts python bench/bench_training.py {ON_GPU}"

RUNS = {
    # Results
    "make": Run(quick=True, before=GONE, made=(ACCURACY,)),
    "make CONFIG=path/to/file.yaml": Run(before=GONE, made=(ACCURACY,)),
    "make CONFIG=path/to/mine.yaml": Run(fresh=True, made=(ACCURACY, "results/figures/figure-3.pdf")),
    "snakemake --cores all --configfile path/to/file.yaml": Run(before=GONE, made=(ACCURACY,)),
    "make CONFIG=config/arms.yaml": Run(small="arms", fresh=True, made=("results/tables/arms.md",)),
    "make CONFIG=config/trainings.yaml": Run(
        small="trainings", fresh=True, made=("results/tables/steering-5.md", "results/tables/exchange-5.md")
    ),
    "make CONFIG=config/smollm2.yaml": Run(small="smollm2", fresh=True, made=("results/tables/claims.md",)),
    "make CONFIG=config/gpt2.yaml": Run(small="gpt2", fresh=True, made=(ACCURACY,)),
    "ln -s /path/to/model my-model": Run(
        command="ln -s given/model my-model && test -f my-model/config.json", made=("my-model",)
    ),
    "make CONFIG=config/local.yaml": Run(
        before="ln -s given/model my-model",
        fresh=True,
        made=(ACCURACY, "results/figures/embedding-probes.pdf"),
    ),
    "make TARGETS=results/tables/units.md": Run(table="units", made=("results/tables/units.md",)),
    f"make TARGETS={ROWS}": Run(before=f"rm {ROWS}", made=(ROWS,)),
    "make TARGETS=results/…/0.json": Run(
        quick=True, command=f"make TARGETS={CAPTURED}", before=f"rm {CAPTURED}", made=(CAPTURED,)
    ),
    "snakemake --cores all --forcerun RULE": Run(
        command="snakemake --cores all --forcerun table", said="rule table:", made=(ACCURACY,)
    ),
    "make clean-results": Run(quick=True, command="make clean-results && test ! -e results/tables"),
    # Looking
    "make why": Run(quick=True, said="Nothing would rerun"),
    "make why CONFIG=path/to/mine.yaml": Run(said="Nothing would rerun"),
    f"make why CONFIG=config/gpt2.yaml TARGETS={ACCURACY}": Run(said=r"\d+ jobs would run"),
    "make verify": Run(quick=True, said=r"[1-9]\d* manifests checked, 0 problems"),
    "make report": Run(quick=True, made=("report.html", "report.zip")),
    "PYTHONPATH=workflow/scripts .venv/bin/python -m fourier_addition.pipeline.report results "
    "--configfile config/config.yaml --output report.html": Run(made=("report.html", "report.zip")),
    "snakemake --report stock.html": Run(made=("stock.html",)),
    "snakemake -n --configfile path/to/mine.yaml": Run(said="Nothing to be done"),
    ".venv/bin/snakemake -n --configfile config/gpt2.yaml": Run(said=r"fetch_model +1\n"),
    "snakemake --lint": Run(said="Congratulations"),
    "snakemake --unlock": Run(said="Unlocked"),
    f"{SIZING}minilm.yaml": Run(said="hours"),
    f"{SIZING}paper.yaml": Run(said="hours"),
    # The environment and keys
    ". .venv/bin/activate": Run(
        command=". .venv/bin/activate && command -v snakemake && command -v python",
        said="study/.venv/bin/python",
    ),
    "make cluster": Run(quick=True, command="make cluster && test -e .venv/.set-up-cluster"),
    "export OPENAI_API_KEY=...": Run(quick=True),
    S3: Run(command=f"{S3} -n", said=r"s3://my-bucket/my-study/results/figures/figure-3\.csv"),
    # Pages and checks
    "make docs": Run(
        command="make docs && cmp config/README.md README.was && cmp docs/sizing.md sizing.was",
        before="cp config/README.md README.was; cp docs/sizing.md sizing.was",
    ),
    "make gallery": Run(
        before="make TARGETS=results/tables/claims.csv",
        table="claims",
        made=("docs/gallery/index.md", "README.md"),
    ),
    "make site": Run(made=("build/site/docs/index.html",)),
    "make test": Run(command="make -o lint test PYTEST=tests/test_intervals.py", said=" passed"),
    "make test-system": Run(
        command="make test-system PYTEST='tests/test_interrupts.py --collect-only'",
        said="test_interrupts.py::",
    ),
    ".venv/bin/python -m pytest tests/test_fourier.py": Run(said=" passed"),
    '.venv/bin/python -m pytest -m "not workflow and not system"': Run(
        command='.venv/bin/python -m pytest -m "not workflow and not system" --collect-only',
        said="test_fourier.py::",
    ),
    f"{BENCH}--layers 12 --width 768 --steps 500 --parts answer stacked projected": Run(
        command=f"{BENCH.replace('--compile ', '')}--parts answer stacked projected {TINY_BENCH}",
        said=r"\d steps/s",
    ),
    f"{BENCH}--layers 48 --width 1600 --steps 500 --parts projected": Run(
        command=f"{BENCH.replace('--compile ', '')}--parts projected {TINY_BENCH}",
        said=r"\d steps/s",
    ),
}

EXCUSED = {
    "make lint": Excuse("`make test` runs it before any test", instead="make -n lint"),
    "apt-get install chromium chromium-driver": Excuse("changes the system; .ci/run does so"),
    "make notebooks": Excuse(
        "executes the notebooks in place, in minutes",
        "tests/test_notebooks.py::test_a_notebook_runs_from_its_first_cell_to_its_last",
        "make -n notebooks",
    ),
    "make PROFILE=profiles/slurm": Excuse(
        "submits jobs to a cluster",
        "tests/test_slurm.py::test_figures_and_tables_have_the_bytes_of_a_local_run",
        "make -n PROFILE=profiles/slurm",
    ),
    "snakemake --workflow-profile profiles/slurm": Excuse(
        "submits jobs to a cluster",
        "tests/test_slurm.py::test_figures_and_tables_have_the_bytes_of_a_local_run",
        "snakemake --workflow-profile profiles/slurm -n",
    ),
    **{
        command: Excuse(
            "needs conda and the internet; its arguments are parsed",
            "tests/test_docs.py::test_every_command_is_understood",
        )
        for command in (
            "snakemake --workflow-profile profiles/slurm --sdm conda --conda-create-envs-only",
            "snakemake --workflow-profile profiles/slurm --sdm conda",
        )
    },
    "python -m pip install .": Excuse(
        "installs into the environment of the tests",
        "tests/test_library.py::test_the_wheel_has_the_schema_the_types_and_the_report",
        "python -m pip install --help",
    ),
    "make bench-training": Excuse(
        "takes hours; its script runs at a small size, with the options of docs/training.md",
        instead="make -n bench-training",
    ),
    **{
        f"make {name}": Excuse(
            "takes minutes of a machine that does nothing else; its script runs at a small size",
            test,
            f"make -n {name}",
        )
        for name, test in (
            (
                "growth",
                "tests/test_bench_growth.py"
                "::test_curves_are_measured_beside_what_sizing_expects_and_put_into_a_page",
            ),
            (
                "bench-planning",
                "tests/test_bench_growth.py::test_planning_counts_the_jobs_and_says_whether_the_bar_is_met",
            ),
            (
                "bench-default",
                "tests/test_bench_default.py::test_a_study_is_made_and_its_rules_are_listed",
            ),
            (
                "bench-ablation",
                "tests/test_bench_ablation.py::test_it_runs_at_a_small_size_and_every_bar_has_a_verdict",
            ),
            (
                "bench-capture",
                "tests/test_bench_capture.py"
                "::test_the_benchmark_runs_end_to_end_and_says_of_every_bar_whether_it_is_met",
            ),
        )
    },
    ".ci/run": Excuse("runs all tests, this one too", instead="bash -n .ci/run"),
    "pre-commit install": Excuse(
        "pre-commit is the reader's own",
        instead="test -x .venv/bin/snakefmt && test -f .pre-commit-config.yaml",
    ),
    "tmux": Excuse("a terminal of the reader's own"),
    **{
        command: Excuse(
            "asks a cluster",
            "tests/test_slurm.py::test_the_queue_shows_rule_and_wildcards_and_jobs_get_what_they_ask",
        )
        for command in (
            "sinfo",
            "squeue",
            "sacct",
            'squeue --me --format "%.10i %.9P %.9T %.10M %k"',
            "scontrol show partition",
            "scontrol show node",
            "scontrol show config | grep MinJobAge",
        )
    },
    **{
        command: Excuse("half a command, with no paths", "tests/test_reruns.py::test_a_copy_of_the_tree")
        for command in ("cp -r", "cp -a")
    },
}


# Where they are run

STAMPS = (".set-up", ".set-up-cluster", ".set-up-test", ".set-up-site")


def environment_in(folder: Path) -> None:
    """An environment .venv that is set up: links to the programs of this one, and no pip."""
    programs = folder / ".venv/bin"
    programs.mkdir(parents=True)
    for program in Path(sys.executable).parent.iterdir():
        if not program.name.startswith(("pip", "python", "snakemake", "activate")):
            (programs / program.name).symlink_to(program)
    for name, run in (("python", "module"), ("snakemake", "snakemake")):
        # As forks of `warm`, but for modules of other people.
        warm.write_client(programs / name, run, warm.server())
    activate = (Path(sys.executable).parent / "activate").read_text()
    own = re.sub(r"VIRTUAL_ENV=.*/.*", f"VIRTUAL_ENV='{folder / '.venv'}'", activate)
    (programs / "activate").write_text(own)
    for stamp in STAMPS:
        (folder / ".venv" / stamp).touch()


def small(name: str, model: Path, digits: Path) -> dict[str, Any]:
    """A shipped configuration with other sources of weights, fewer numbers, steps and seeds."""
    config = yaml.safe_load((ROOT / f"config/{name}.yaml").read_text())
    for entry in config["models"].values():
        source = entry["sources"][0]
        if "pretrain" in source:
            entry["architecture"] |= {"layers": 2, "width": 48, "inner": 64}
        else:
            writes_digits = entry.pop("numbers", None) == 10
            entry.clear()
            entry |= {"sources": [{"path": str(digits if writes_digits else model)}]}
            entry |= {"numbers": 10} if writes_digits else {}
    for entry in config.get("pretraining", {}).values():
        entry |= {"steps": 20, "numbers": 41}
    for entry in config["tasks"].values():
        low = min(entry["operands"][0], 10)
        entry |= {"operands": [low, 20], "running_example": [15, 12], "fractions": [0.6, 0.2]}
    for entry in config["runs"].values():
        entry |= {"epochs": 1} if "epochs" in entry else {}
        entry |= {"seeds": [0]} if "seeds" in entry else {}
    for entry in config.get("embeddings", {}).values():
        entry["numbers"] = 41
    config.setdefault("ablations", {}).update(draws=3, bootstrap=100)
    if config["ablations"].get("digit_ranges"):
        config["ablations"]["digit_ranges"] = {"one digit": [0, 9], "two digits": [10, 20]}
    config["capture"] = {**config.get("capture", {}), "position_examples": 60}
    config.setdefault("analysis", {}).update(null_draws=20, perplexity=5, clusters=4)
    # A list names states of the real model, and the small one has 3 layers.
    if isinstance(config["analysis"].get("probe_states"), list):
        config["analysis"]["probe_states"] = [0, 3]
    return config


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Models of the reader: one that writes numbers to 100, and one that writes digits."""
    folder = tmp_path_factory.mktemp("given")
    tiny_model("gpt2", folder / "model", largest=100, n_positions=128)
    raw = characters()
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, unk_token="<unk>", eos_token="</s>")
    config = tiny_config("llama", raw.get_vocab_size(), 3, 48, max_position_embeddings=512)
    AutoModelForCausalLM.from_config(config).save_pretrained(folder / "digits")
    tokenizer.save_pretrained(folder / "digits")
    return folder / "model", folder / "digits"


@pytest.fixture()
def folder(given, tmp_path, tmp_path_factory, request) -> Path:
    """A copy of the repository with a finished micro study, or with none, and an environment."""
    run = request.getfixturevalue("run")
    copy = tmp_path / "study"
    if run.fresh:
        copy.mkdir()
        copy_of_the_tree(copy, "micro")
    else:
        shutil.copytree(finished(tmp_path_factory.getbasetemp()), copy, symlinks=True)
    (copy / "results").mkdir(exist_ok=True)
    for name in subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if not (copy / name).exists() and (ROOT / name).is_file():
            (copy / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, copy / name)
    # Stamps must be newer than what they stand for.
    for name in ("requirements.lock", "workflow/set-up.sh"):
        os.utime(copy / name, (1, 1))
    # A table of the pages that the micro study lacks, and files that a reader has.
    path = copy / "config/config.yaml"
    for name in ("path/to/file.yaml", "path/to/mine.yaml"):
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(path, copy / name)
    if run.table:
        config = yaml.safe_load(path.read_text())
        config["tables"][run.table] = TABLES[run.table]
        path.write_text(yaml.safe_dump(config, sort_keys=False))
    if run.small:
        config = small(run.small, *given)
        (copy / f"config/{run.small}.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    (copy / "given").symlink_to(given[0].parent)
    environment_in(copy)
    return copy


def called(command: str, folder: Path) -> str:
    """What a command says in a shell whose path begins with the environment; it must end well."""
    outer = {"PYTHON", "CONFIG", "TARGETS", "VENV", "PROFILE", "CORES", "PYTHONPATH", "SNAKEMAKE_PROFILE"}
    kept = {
        name: value
        for name, value in os.environ.items()
        if name not in outer and not name.startswith(("MAKE", "MFLAGS", "PYTEST"))
    }
    path = f"{folder / '.venv/bin'}{os.pathsep}{os.environ['PATH']}"
    ran = subprocess.run(
        ["sh", "-c", command],
        cwd=folder,
        env={**kept, "PATH": path, "OMP_NUM_THREADS": "1", "MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")},
        capture_output=True,
        text=True,
    )
    assert ran.returncode == 0, f"{command}\n{ran.stdout[-3000:]}{ran.stderr[-3000:]}"
    return ran.stdout + ran.stderr


def marked(runs: dict[str, Run]) -> list[Any]:
    """The runs as parameters; long ones are of the system tier."""
    return [
        pytest.param(command, run, marks=() if run.quick else pytest.mark.system, id=command)
        for command, run in runs.items()
    ]


# The tests


def test_every_command_is_run_or_excused():
    found = commands()
    assert len(found) >= 55
    for command, pages in found.items():
        assert command in RUNS or command in EXCUSED, f"{pages[0]} has a command that no test runs: {command}"


def test_every_record_is_of_a_command():
    assert not set(RUNS) & set(EXCUSED)
    assert {*RUNS, *EXCUSED} <= set(commands())


@pytest.mark.parametrize("command", EXCUSED)
def test_an_excuse_names_a_test_that_exists(command):
    excuse = EXCUSED[command]
    assert excuse.because
    if excuse.test:
        path, _, name = excuse.test.partition("::")
        assert re.search(rf"^ *def {name}\(", (ROOT / path).read_text(), flags=re.M), excuse.test


@pytest.mark.parametrize(("command", "run"), marked(RUNS))
def test_a_command_does_what_its_page_says(command, run, folder):
    if run.before:
        called(run.before, folder)
    stood = {name: (folder / name).stat().st_mtime_ns for name in run.made if (folder / name).exists()}
    if command == S3:
        with s3_server() as address:
            said = called(run.command.replace("ENDPOINT_URL=...", f"ENDPOINT_URL={address}"), folder)
    else:
        said = called(run.command or command, folder)
    assert re.search(run.said, said), said[-3000:]
    for name in run.made:
        assert (folder / name).exists(), name
        assert (folder / name).stat().st_mtime_ns > stood.get(name, 0), f"{name} was not made anew"


@pytest.mark.parametrize(
    ("command", "run"),
    marked({c: Run(command=e.instead) for c, e in EXCUSED.items() if e.instead}),
)
def test_what_is_not_run_is_at_least_understood(command, run, folder):
    called(run.command, folder)
