"""Which rules an edit makes rerun, on one finished study: exactly those that it invalidates."""

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml
from fourier_addition.pipeline.code_digest import SCRIPTS
from fourier_addition.pipeline.figures import FAMILIES
from study import ROOT, finished, planned, replace, snakemake

FIGURES = {"figure_spectrum", "figure_waves", "figure_errors"}
SPECTRA = {"spectra", "figure_spectrum", "figure_waves"}
ABLATION = {"ablate", "figure_errors", "table"}
AFTER_TRAINING = {"capture", "number_rows_of_run", *SPECTRA, *ABLATION}
TRAINING = {"train", *AFTER_TRAINING}
PRETRAINING = {"pretrain_model", *TRAINING}
EVERYTHING = {"blank_model", "dataset", *PRETRAINING}


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return finished(tmp_path_factory.getbasetemp())


@pytest.fixture()
def editing(study):
    """The study's folder, whose workflow and configuration are put back afterwards."""
    names = ("workflow", "config", "profiles")
    before = {p: p.read_bytes() for name in names for p in (study / name).rglob("*") if p.is_file()}
    yield study
    for path, text in before.items():
        if not path.is_file() or path.read_bytes() != text:
            path.write_bytes(text)


def set_value(folder: Path, keys: tuple[str, ...], value: object) -> None:
    """Set one value of the study's configuration."""
    path = folder / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    entry = config
    for key in keys[:-1]:
        entry = entry.setdefault(key, {})
    entry[keys[-1]] = value
    path.write_text(yaml.safe_dump(config, sort_keys=False))


def planned_jobs(folder: Path) -> set[str]:
    """Jobs that a dry run would execute, as `rule wildcards`."""
    output = snakemake(folder, "-n", "--cores", "2")
    found = re.findall(r"rule (\w+):\n(?: +(?!rule ).*\n)*? +wildcards: (.*)\n", output)
    return {f"{rule} {wildcards}" for rule, wildcards in found}


def latest_first(folder: Path) -> None:
    """Touch every file, the earliest made last, so that every input is newer than what was made of it."""
    files = sorted((p for p in folder.rglob("*") if p.is_file()), key=lambda p: p.stat().st_mtime)
    latest = files[-1].stat().st_mtime
    for age, path in enumerate(files):
        os.utime(path, (latest + len(files) - age,) * 2)


@pytest.mark.workflow
class TestNothing:
    """What changes no result reruns nothing."""

    def test_comments_docstrings_and_layout(self, editing):
        package = editing / "workflow/scripts/fourier_addition"
        replace(package / "fourier.py", '"""Fourier analysis', '# A comment.\n"""Fourier\'s analysis')
        for path in [*package.rglob("*.py"), *(editing / "workflow/scripts").glob("*.py")]:
            path.write_text(path.read_text() + "\n\n# A last word.\n")
        assert planned(editing) == set()

    def test_the_order_of_keys_comments_and_stated_defaults(self, editing):
        path = editing / "config/config.yaml"
        config = yaml.safe_load(path.read_text())
        run = config["runs"]["mini.finetuned"]
        config["runs"]["mini.finetuned"] = {"start": "pretrained", "seeds": [0], **dict(sorted(run.items()))}
        config["analysis"] |= {"basis": "paper"}
        config = dict(sorted(config.items()))
        path.write_text("# The same study.\n" + yaml.safe_dump(config))
        assert planned(editing) == set()

    def test_code_that_only_reads_configuration_or_reports(self, editing):
        for name in (
            "config.py",
            "paths.py",
            "shards.py",
            "config_checks.py",
            "names.py",
            "inputs.py",
            "run_checks.py",
            "figures.py",
            "tables.py",
            "claim_inputs.py",
            "job.py",
            "code_digest.py",
            "verify.py",
        ):
            path = editing / "workflow/scripts/fourier_addition/pipeline" / name
            path.write_text(path.read_text() + "\n\nNEW = 1\n")
        assert planned(editing) == set()

    def test_the_log_s_format(self, editing):
        job = editing / "workflow/scripts/fourier_addition/pipeline/job.py"
        replace(job, "%(asctime)s %(levelname)s %(message)s", "%(levelname)s %(asctime)s %(message)s")
        assert planned(editing) == set()

    def test_a_reworded_check(self, editing):
        package = editing / "workflow/scripts/fourier_addition"
        replace(package / "files/checks.py", "which makes it anew", "which makes it again")
        replace(package / "files/manifests.py", "is not valid JSON", "cannot be read as JSON")
        replace(
            package / "training/settings.py", "A loss on the whole line", "A loss on every token of the line"
        )
        replace(package / "capture/store.py", "There are no examples to capture.", "There is no example.")
        assert planned(editing) == set()

    @pytest.mark.parametrize("options", ["-r", "-a"])
    def test_a_copy_of_the_tree(self, study, tmp_path, options):
        subprocess.run(["cp", options, str(study), str(tmp_path / "copy")], check=True)
        assert planned(tmp_path / "copy") == set()

    def test_touched_files(self, study, tmp_path):
        # A copy file by file may come out in any order; this is the worst one.
        copy = shutil.copytree(study, tmp_path / "copy")
        latest_first(copy)
        assert planned(copy) == set()

    def test_a_branch_and_back(self, study, tmp_path):
        copy = shutil.copytree(study, tmp_path / "copy")

        def git(*arguments):
            who = ("-c", "user.name=a", "-c", "user.email=a@example.org")
            subprocess.run(["git", *who, *arguments], cwd=copy, check=True, capture_output=True)

        (copy / ".gitignore").write_text("results/\n.snakemake/\nlogs/\n__pycache__/\n")
        git("init", "--initial-branch=main")
        git("add", ".")
        git("commit", "-m", "As it was")
        git("checkout", "-b", "other")
        path = copy / "workflow/scripts/fourier_addition/plots/waves.py"
        path.write_text(path.read_text() + "\n\nNEW = 1\n")
        set_value(copy, ("capture", "dtype"), "float16")
        git("commit", "-am", "Another figure and another type")
        assert planned(copy) == {"capture", *SPECTRA}
        git("checkout", "main")
        assert planned(copy) == set()


CODE = {
    "plots/waves.py": {"figure_waves"},
    "plots/errors.py": {"figure_errors"},
    "plots/spectrum.py": {"figure_spectrum"},
    "plots/theme.py": FIGURES,
    "plots/frame.py": FIGURES,
    "plots/columns.py": FIGURES,
    "plots/kinds/waves.py": {"figure_waves"},
    "analysis/mistakes.py": {"figure_errors"},
    "filters.py": ABLATION,
    "ablation/conditions.py": ABLATION,
    "tables/writing.py": {"table"},
    "tables/cells.py": {"table"},
    "analysis/module_spectra.py": SPECTRA,
    "capture/record.py": {"capture", *SPECTRA},
    "capture/example.py": {"number_rows_of_run", *SPECTRA},
    "capture/store.py": {"capture", "number_rows_of_run", *SPECTRA},
    "capture/dataset.py": SPECTRA,
    "models/recording.py": {"capture", "number_rows_of_run", *SPECTRA, *ABLATION},
    "models/prefix_cache.py": {"capture", "number_rows_of_run", *SPECTRA, *ABLATION},
    "training/start.py": TRAINING,
    "training/arms.py": TRAINING,
    "pipeline/device.py": PRETRAINING,
    "files/whole.py": EVERYTHING,
    "files/checks.py": set(),
}
"""Module -> rules that an edit in it reruns, with what follows them."""


@pytest.mark.workflow
@pytest.mark.parametrize("module", CODE)
def test_code_reruns_what_reaches_it(editing, module):
    path = editing / "workflow/scripts/fourier_addition" / module
    path.write_text(path.read_text() + "\n\nNEW = 1\n")
    assert planned(editing) == CODE[module]


@pytest.mark.workflow
def test_a_template_in_the_code(editing):
    # Also the pre-training's: the words of the templates are tokens of the miniature's tokenizer.
    tasks = editing / "workflow/scripts/fourier_addition/tasks.py"
    replace(tasks, "Calculate {a} + {b}.", "Calculate {a} plus {b}.")
    assert planned(editing) == EVERYTHING


FINETUNED, SCRATCH = ("runs", "mini.finetuned"), ("runs", "mini.scratch")
VALUES = [
    (("tasks", "addition-8", "templates"), ["Calculate {a} + {b}."], {"dataset", *TRAINING}),
    (("tasks", "addition-8", "seed"), 1, {"dataset", *TRAINING}),
    (("tasks", "addition-8", "running_example"), [2, 5], {"number_rows_of_run", *SPECTRA}),
    (("pretraining", "numerals", "steps"), 21, PRETRAINING),
    (("pretraining", "numerals", "numbers"), 18, EVERYTHING - {"dataset"}),
    (("models", "mini", "architecture", "inner"), 32, EVERYTHING - {"dataset"}),
    ((*FINETUNED, "epochs"), 3, TRAINING),
    ((*SCRATCH, "epochs"), 3, {"train", "table"}),
    ((*FINETUNED, "label"), "tuned", FIGURES),
    (("note",), "another note", FIGURES),
    (("capture", "dtype"), "float16", {"capture", *SPECTRA}),
    (("analysis", "tau"), 3, ABLATION),
    (("analysis", "null_draws"), 21, SPECTRA),
    (("analysis", "average"), "rms", SPECTRA),
    (("analysis", "norm"), "folded", {"number_rows_of_run", *SPECTRA, *ABLATION}),
    (("analysis", "clusters"), 5, set()),
    (("ablations", "draws"), 4, ABLATION),
    (("ablations", "unharmed"), 0.1, set()),
    (("figures", "figure-3", "layers"), 1, {"figure_spectrum"}),
    (("figures", "figure-4", "window"), 3, {"figure_waves"}),
]
"""Key, new value, rules that it reruns. `clusters` and `unharmed` concern figures that this study lacks."""


@pytest.mark.workflow
@pytest.mark.parametrize(("keys", "value", "rules"), VALUES, ids=[".".join(keys) for keys, _, _ in VALUES])
def test_a_value_reruns_its_rules(editing, keys, value, rules):
    set_value(editing, keys, value)
    assert planned(editing) == rules


@pytest.mark.workflow
def test_pretraining_leaves_runs_from_scratch_alone(editing):
    set_value(editing, ("pretraining", "numerals", "learning_rate"), 0.0005)
    trained = {job for job in planned_jobs(editing) if job.startswith("train ")}
    assert trained == {"train run=mini.finetuned.seed0"}


@pytest.mark.workflow
class TestOnlyWhatIsNew:
    """Additions run the new jobs alone, and the table that lists them."""

    def test_a_run(self, editing):
        config = yaml.safe_load((editing / "config/config.yaml").read_text())
        set_value(editing, ("runs", "mini.slow"), config["runs"]["mini.scratch"] | {"learning_rate": 0.0005})
        assert planned_jobs(editing) == set()
        set_value(editing, ("tables", "accuracy", "runs"), ["mini.finetuned", "mini.scratch", "mini.slow"])
        assert planned_jobs(editing) == {"train run=mini.slow.seed0", "table table=accuracy"}

    def test_a_figure(self, editing):
        set_value(editing, ("figures", "figure-20"), {"run": "mini.finetuned"})
        assert planned_jobs(editing) == {"figure_logits figure=figure-20"}

    def test_a_seed(self, editing):
        set_value(editing, ("runs", "mini.scratch", "seeds"), [0, 1])
        assert planned_jobs(editing) == {"train run=mini.scratch.seed1", "table table=accuracy"}
        set_value(editing, ("runs", "mini.scratch", "seeds"), [0])
        assert planned_jobs(editing) == set()


@pytest.mark.workflow
def test_the_study_is_as_it_was(study):
    """Last: the tests above put back what they edited."""
    assert planned(study) == set()


RULES = [
    (file.name, text)
    for file in sorted((ROOT / "workflow/rules").glob("*.smk"))
    for text in re.split(r"^ *(?:rule|checkpoint)\b[^\n]*:$", file.read_text(), flags=re.M)[1:]
]


def test_there_are_rules():
    assert len(RULES) >= 14


@pytest.mark.parametrize(("file", "text"), RULES, ids=[f"{n}-{file}" for n, (file, _) in enumerate(RULES)])
def test_every_rule_has_the_digest_of_its_script(file, text):
    # The code of `shell` and `run` is in no digest.
    assert not re.search(r"^ +(shell|run|notebook|wrapper|cwl):", text, flags=re.M)
    script = re.search(r"^ +script:\n(?: +#.*\n)* +\"\.\./scripts/(.*?)\"", text, flags=re.M).group(1)
    digested = re.search(r"^ +code=digest\(f?\"(.*?)\"\)", text, flags=re.M).group(1)
    assert script.replace("params.family", "family") == digested
    for name in [script] if "{" not in script else {f"figure_{family}.py" for family in FAMILIES}:
        assert (SCRIPTS / name).is_file()


@pytest.mark.parametrize("profile", sorted(path.parent.name for path in ROOT.glob("profiles/*/config.yaml")))
def test_every_profile_has_the_triggers(profile):
    settings = yaml.safe_load((ROOT / "profiles" / profile / "config.yaml").read_text())
    assert settings["rerun-triggers"] == ["mtime", "params", "input", "software-env"]
    # Newer inputs with the same content must be recognised at every size.
    assert settings["max-checksum-file-size"] >= 10**12
