"""Snakemake's undocumented parts: each is there, or one sentence says which release has it no more."""

import contextlib
import io
import re
import sys
from importlib import metadata
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from fourier_addition.errors import UserError
from fourier_addition.pipeline import snakemake_private as private
from study import ROOT

SNAKEFILE = """
rule all:
    input:
        "made.txt",


rule make:
    output:
        "made.txt",
    log:
        "made.log",
    params:
        times=3,
    shell:
        "touch {output}"
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("small")
    (folder / "Snakefile").write_text(SNAKEFILE)
    return folder


@pytest.fixture(scope="module")
def workflow(folder):
    """The workflow object of the installed Snakemake, with its plan."""
    from snakemake.api import SnakemakeApi
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import DAGSettings, OutputSettings, ResourceSettings

    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        read = api.workflow(ResourceSettings(cores=1), snakefile=folder / "Snakefile", workdir=folder)
        with contextlib.redirect_stdout(io.StringIO()):
            read.dag(DAGSettings()).summary()
        yield read._workflow


ASKED = [
    (private.is_main_process, (), True),
    (private.is_used_as_module, (), False),
    (private.is_submitted, (), False),
    (private.submits_jobs, (), False),
    (private.configuration_is_given, (), False),
    (private.configuration_files, (), []),
    (private.require_profile, (["snakemake", "--workflow-profile=none"],), None),
    (private.results_lie_in_storage, (), False),
    (private.resource_limit, ("gpu",), None),
    (private.set_resource_limit, ("gpu", 2), None),
    (private.resource_limit, ("gpu",), 2),
    (private.count_as_group, ("views-a", "views"), None),
    (private.files_to_make, (), ["made.txt", "made.log"]),
    (private.before_planning, (print,), None),
    (private.after_planning, (print,), None),
]


@pytest.mark.parametrize(("function", "arguments", "answer"), ASKED)
def test_the_installed_snakemake_has_every_part(workflow, function, arguments, answer):
    assert function(workflow, *arguments) == answer


def test_the_groups_family_is_what_snakemake_looks_up(workflow):
    private.count_as_group(workflow, "views-b", "views")
    assert workflow.parent_groupids["views-b"] == "views"


@pytest.mark.parametrize(
    ("executor", "dryrun", "checked"),
    [(None, False, []), (object(), True, ["planned"]), (object(), False, ["checked", "planned"])],
)
def test_the_check_comes_before_the_plan_of_a_run_that_makes_files(executor, dryrun, checked):
    done = []
    fake = SimpleNamespace(executor_plugin=executor, dryrun=dryrun, _build_dag=lambda: done.append("planned"))
    private.before_planning(fake, lambda: done.append("checked"))
    fake._build_dag()
    assert done == (checked or ["planned"])


@pytest.mark.parametrize(
    ("executor", "dryrun", "told"),
    [(None, False, False), (object(), True, False), (object(), False, True)],
)
def test_what_is_told_comes_after_the_plan_of_a_run_that_makes_files(executor, dryrun, told):
    done = []
    fake = SimpleNamespace(executor_plugin=executor, dryrun=dryrun, _build_dag=lambda: done.append("planned"))
    private.after_planning(fake, lambda: done.append("told"))
    fake._build_dag()
    assert done == ["planned", "told"][: 1 + told]


@pytest.mark.parametrize(("function", "arguments", "answer"), ASKED)
def test_a_part_that_is_gone_ends_in_one_sentence(function, arguments, answer):
    with pytest.raises(UserError) as caught:
        function(SimpleNamespace(), *arguments)
    said, installed = str(caught.value), metadata.version("snakemake")
    assert re.match(rf"Snakemake {installed} has no `SimpleNamespace\.\w+(\.\w+)*`, which this", said)
    assert private.CHECKED_ON in said


@pytest.mark.parametrize("written", [["--workflow-profile", "{}"], ["--workflow-profile={}"]])
def test_a_profile_that_is_not_there_is_named(workflow, folder, written, tmp_path):
    def require(profile):
        private.require_profile(workflow, ["snakemake", *(word.format(profile) for word in written), "-n"])

    (folder / "profiles/slurm").mkdir(parents=True, exist_ok=True)
    (tmp_path / "mine").mkdir()
    for profile in ("slurm", tmp_path / "mine", "none"):
        require(profile)
    for profile in ("profiles/none", tmp_path / "gone"):
        with pytest.raises(UserError, match=rf"^There is no profile {profile} in .*{folder}/profiles/slurm$"):
            require(profile)


def test_a_fault_of_a_snakefile_is_not_called_a_part_that_is_gone():
    class Api:
        @property
        def _workflow(self):
            return Path().no_such_method()

    with pytest.raises(AttributeError, match="no_such_method"):
        private.part(Api(), "_workflow")


def test_an_import_that_is_gone_ends_in_one_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "snakemake.cli", ModuleType("snakemake.cli"))
    with pytest.raises(UserError, match=rf"has no `snakemake.cli`.*parse_args.*{private.CHECKED_ON}"):
        private.dry_run()
    monkeypatch.setitem(sys.modules, "snakemake.script", None)
    with pytest.raises(UserError, match=rf"has no `snakemake.script`.*{private.CHECKED_ON}"):
        private.script_object(Path("Snakefile"), [], "make", {})


def test_a_script_s_object(folder, monkeypatch):
    monkeypatch.chdir(folder)
    made = private.script_object(folder / "Snakefile", [], "make", {})
    assert (made.rule, [*made.output], [*made.log], made.params.times) == (
        "make",
        ["made.txt"],
        ["made.log"],
        3,
    )


def test_the_jobs_of_a_dry_run(folder, monkeypatch):
    monkeypatch.chdir(folder)
    (job,) = private.dry_run(["--cores", "1"]).jobs
    assert (job.rule, job.outputs, job.missing, dict(job.params)) == (
        "make",
        ["made.txt"],
        ["made.txt"],
        {"times": 3},
    )
    assert (job.params_before, job.environment, job.interrupted, job.after) == (None, None, False, [])


def test_only_one_module_and_no_rule_names_an_undocumented_part():
    private_file = ROOT / "workflow/scripts/fourier_addition/pipeline/snakemake_private.py"
    files = [*ROOT.glob("workflow/**/*.py"), *ROOT.glob("workflow/**/*.smk"), ROOT / "Snakefile"]
    # Of the `workflow` object, a Snakefile may use `current_basedir` and `source_path`.
    undocumented = re.compile(
        r"\b_workflow\b|\b_build_dag\b|parent_groupids|\bworkflow\.(?!current_basedir|source_path)[a-z_]\w*"
        r"|^\s*(from|import) snakemake\.(?!utils|exceptions)",
        re.M,
    )
    found = {
        f"{file.relative_to(ROOT)}: {match[0].strip()}"
        for file in files
        if file != private_file
        for match in undocumented.finditer(re.sub(r"(?m)#.*$|\"[^\"\n]*\"", "", file.read_text()))
    }
    assert found == set()


def test_signatures_are_looked_at_once_and_answered_as_before(monkeypatch):
    from snakemake import common, rules

    looked = []

    def inspected(function):
        looked.append(function)
        return {"wildcards": None, "of": function}

    class Resource:
        def evaluate(self, wildcards):
            return wildcards

    for module in (common, rules):
        monkeypatch.setattr(module, "get_function_params", inspected)
    private.remember_signatures()
    remembered = rules.get_function_params
    assert remembered is common.get_function_params is not inspected
    private.remember_signatures()
    assert rules.get_function_params is remembered
    function = lambda wildcards: None  # noqa: E731
    for _ in range(3):
        assert remembered(function)["of"] is function
        # Every bound method is a new object of the same function.
        assert "wildcards" in remembered(Resource().evaluate)
    assert "of" in remembered(Resource.evaluate) and len(looked) == 3

    # A release without the part is only slower.
    monkeypatch.delattr(common, "get_function_params")
    private.remember_signatures()
