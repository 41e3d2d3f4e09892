"""Everything that this workflow takes from Snakemake's undocumented parts.

Snakemake may move these parts in any release. So each function says why no documented way serves, and
each ends with one sentence that names the release when its part is gone. Jobs import this module, so it
imports Snakemake inside functions only.
"""

from __future__ import annotations

import contextlib
import ctypes
import io
import os
import re
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError

CHECKED_ON = "9.27.1"
"""The release of Snakemake on which every function of this module was checked."""


def _gone(what: str) -> UserError:
    return UserError(
        f"Snakemake {metadata.version('snakemake')} has no {what}, which this workflow needs: install "
        f"Snakemake {CHECKED_ON}, the release that the workflow was checked on."
    )


def part(owner: Any, *names: str) -> Any:
    """The attribute `owner.a.b` of one of Snakemake's objects, for the names a and b.

    Raises UserError that names the attribute and the release when Snakemake has it no more.
    """
    found = owner
    for name in names:
        try:
            found = getattr(found, name)
        except AttributeError:
            if hasattr(type(found), name):
                # The attribute is there, and what computes it failed: Snakemake reads the Snakefile so.
                raise
            raise _gone(f"`{type(owner).__name__}.{'.'.join(names)}`") from None
    return found


@contextlib.contextmanager
def _imports() -> Iterator[None]:
    """Turn a failed import from Snakemake into the sentence that names the release."""
    try:
        yield
    except ImportError as error:
        raise _gone(f"`{error.name}` with what is imported from it ({error.msg})") from None


# What the rules ask of the `workflow` object.


def is_main_process(workflow: Any) -> bool:
    """Whether this is the Snakemake that the user started, and not one that it started for a job.

    Private: every job's Snakemake reads the Snakefile too, and no documented name tells them apart.
    """
    return bool(part(workflow, "is_main_process"))


def is_used_as_module(workflow: Any) -> bool:
    """Whether another workflow uses this one with `module`.

    Private: a Snakefile has no documented way to know who reads it.
    """
    return not part(workflow, "modifier", "is_main_snakefile")()


def is_submitted(workflow: Any) -> bool:
    """Whether this Snakemake runs inside a job that another Snakemake submitted to a cluster.

    Private: a Snakefile has no documented way to know how it is executed.
    """
    return bool(part(workflow, "remote_exec"))


def submits_jobs(workflow: Any) -> bool:
    """Whether jobs run on a cluster, seen from the Snakemake that submits them or from inside a job.

    Private: the executor is not known when the Snakefile is read. Only an executor that submits jobs
    limits their number by nodes, so that the limit tells it.
    """
    return is_submitted(workflow) or part(workflow, "resource_settings", "nodes") is not None


def resource_limit(workflow: Any, resource: str) -> int | None:
    """The limit of a resource over all jobs (`--resources`), or None where there is no limit.

    Private: the documented `resources` directive belongs to one rule, and knows no limit.
    """
    limits = part(workflow, "global_resources")
    return part(limits.get(resource), "value") if resource in limits else None


def set_resource_limit(workflow: Any, resource: str, limit: int) -> None:
    """Limit a resource over all jobs, as `--resources` does.

    Private: the documented ways are the command line and a profile. Neither knows the GPUs of a machine.
    """
    part(workflow, "register_resource")(resource, limit)


def configuration_is_given(workflow: Any) -> bool:
    """Whether `--configfile` names a configuration, which then replaces the default one.

    Private: the documented `configfile` directive would merge the default into the one that is given.
    """
    return bool(part(workflow, "overwrite_configfiles"))


def configuration_files(workflow: Any) -> list[str]:
    """Files that the configuration was read from.

    Private: the documented `config` is what is left after Snakemake has read and merged them.
    """
    return [str(file) for file in part(workflow, "configfiles")]


def require_profile(workflow: Any, arguments: Sequence[str]) -> None:
    """Raise UserError where the command line names a workflow profile that Snakemake did not find.

    arguments: of the command line. Private: Snakemake takes a path from the folder where it was started,
    passes over one that is not there, and runs without the profile's settings.
    """
    started, snakefile = part(workflow, "_rundir"), part(workflow, "main_snakefile")
    named = [
        following if argument == "--workflow-profile" else argument.partition("=")[2]
        for argument, following in zip(arguments, [*arguments[1:], ""], strict=True)
        if re.match(r"--workflow-profile(=|$)", argument)
    ]
    for profile in named:
        beside = Path(snakefile).parent / "profiles"
        places = [Path(started) / profile, Path(started) / "profiles" / profile, beside / profile]
        if profile != "none" and not any(place.exists() for place in places):
            raise UserError(
                f"There is no profile {profile} in {started}, nor {profile} in {beside}: give the path of "
                f"its folder, as in --workflow-profile {beside / 'slurm'}"
            )


def results_lie_in_storage(workflow: Any) -> bool:
    """Whether `--default-storage-provider` is given, so that results are objects in storage.

    Private: rules are read without a documented way to ask for command line options.
    """
    return part(workflow, "storage_settings", "default_storage_provider") is not None


def count_as_group(workflow: Any, group: str, family: str) -> None:
    """Let `group-components: family=N` hold for a group whose name a function made.

    Private: Snakemake does the same for a group that is written as a pattern with wildcards. A pattern
    cannot say which run a figure reads.
    """
    part(workflow, "parent_groupids")[group] = family


def remember_signatures() -> None:
    """Let Snakemake look at the parameters of every input function once, not at each call.

    Private: no documented setting does so, and looking is a twentieth of a large dry run. Nothing else
    depends on it: a release without this part is only slower.
    """
    try:
        from snakemake import common, rules

        inspected = common.get_function_params
        seen: dict[Any, Any] = {}
    except (ImportError, AttributeError):
        return
    if hasattr(inspected, "remembers"):
        return

    def remembered(function: Any) -> Any:
        # A bound method is a new object at each call.
        key = (getattr(function, "__func__", function), hasattr(function, "__self__"))
        try:
            if key not in seen:
                seen[key] = inspected(function)
            return seen[key]
        except TypeError:
            return inspected(function)

    vars(remembered)["remembers"] = True
    for module in (common, rules):
        if getattr(module, "get_function_params", None) is inspected:
            module.get_function_params = remembered


def files_to_make(workflow: Any) -> list[str]:
    """Outputs and logs of all jobs that are about to run.

    Private: the documented hook `onstart` is given the log file alone.
    """
    jobs = part(workflow, "dag", "needrun_jobs")()
    return [str(file) for job in jobs for file in (*part(job, "output"), *part(job, "log"))]


def take_python_from(workflow: Any, client: Callable[[int], str | None]) -> None:
    """Run the scripts of this machine's jobs by the program `client(jobs)`, given the number of jobs to run.

    client: returns None where Python itself is to run them. Private: no documented setting names the
    Python of a script. Snakemake takes its own at the start of each job; jobs of a cluster and of a conda
    environment have theirs.
    """
    if submits_jobs(workflow):
        return
    if (program := client(len(list(part(workflow, "dag", "needrun_jobs")())))) is not None:
        sys.executable = program


def before_planning(workflow: Any, check: Callable[[], None]) -> None:
    """Call `check` before Snakemake plans a run that will make files; not before a dry run.

    Private: the documented hook `onstart` comes after the plan. Then Snakemake has already read the times
    of all files, which another Snakemake may have been writing.
    """
    plan = part(workflow, "_build_dag")
    for name in ("executor_plugin", "dryrun"):
        part(workflow, name)

    def check_and_plan() -> None:
        # Without an executor Snakemake makes nothing: it reports, lists or lints.
        if workflow.executor_plugin is not None and not workflow.dryrun:
            check()
        plan()

    workflow._build_dag = check_and_plan


def after_planning(workflow: Any, tell: Callable[[], None]) -> None:
    """Call `tell` once Snakemake has planned a run that may make files; not after a dry run.

    Private: the documented hook `onstart` is left out where there is nothing to do.
    """
    plan = part(workflow, "_build_dag")
    for name in ("executor_plugin", "dryrun"):
        part(workflow, name)

    def plan_and_tell() -> None:
        plan()
        if workflow.executor_plugin is not None and not workflow.dryrun:
            tell()

    workflow._build_dag = plan_and_tell


@dataclass(frozen=True)
class KeptJob:
    """A job that will not run and of which Snakemake has no record.

    rule, outputs, params: of the job now.
    """

    rule: str
    outputs: Sequence[str]
    params: Mapping[str, Any]


def kept_without_record(workflow: Any) -> list[KeptJob]:
    """Planned jobs that will not run, whose outputs are there and of which Snakemake has no record.

    Private: Snakemake itself says nothing of a missing record, and takes such results for up to date.
    """
    dag, recorded = part(workflow, "dag"), part(workflow, "persistence", "metadata")
    needrun = part(dag, "needrun")
    kept = [job for job in part(dag, "jobs") if not needrun(job) and job.output]
    return [
        KeptJob(job.rule.name, [str(path) for path in job.output], dict(job.params.items()))
        for job in kept
        if all(recorded(output) is None for output in job.output)
    ]


def end_jobs_when_interrupted(workflow: Any) -> None:
    """Let an interrupt (SIGINT) end the jobs of this machine too, as Ctrl-C in a terminal does.

    An interrupt that reaches Snakemake alone would leave its jobs at work: Snakemake waits until they end,
    records nothing, and its next run makes them anew. A job that is ended goes on from its saved state.
    Private: no documented hook is called at an interrupt. Jobs of a cluster are the cluster's to end.
    """
    if submits_jobs(workflow):
        return

    def end(number: int, frame: Any) -> None:
        for child in psutil.Process().children():
            with contextlib.suppress(psutil.Error):
                child.terminate()
        raise KeyboardInterrupt

    with _imports():
        import psutil
    # Only the main thread may; Snakemake inside another program is that program's to interrupt.
    with contextlib.suppress(ValueError):
        signal.signal(signal.SIGINT, end)


# What a job knows of the Snakemake that started it.


def end_with_snakemake() -> None:
    """Let the kernel kill this job when the Snakemake that started it is killed (Linux).

    Else the job would go on and write beside the job that the next Snakemake starts. Private: a killed
    Snakemake tells its jobs nothing, and a script is given no name of the process that started it. So
    this function looks for Snakemake's name in the command line of the parent process.
    """
    parent = os.getppid()
    try:
        name = Path(f"/proc/{parent}/cmdline").read_bytes()
        if b"snakemake" not in name:
            # The system adopted a script whose Snakemake died while the script started.
            if ".snakemake/scripts/" in sys.argv[0] and (parent == 1 or b"systemd" in name):
                os.kill(os.getpid(), signal.SIGKILL)
            return
        set_parent_death_signal = 1
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    except (OSError, AttributeError):
        return
    if os.getppid() != parent:
        # Snakemake died before the kernel was told.
        os.kill(os.getpid(), signal.SIGKILL)


# What the commands ask of Snakemake.


def script_object(
    snakefile: Path, configfiles: Iterable[str], rule: str, wildcards: Mapping[str, str]
) -> Any:
    """The object `snakemake` that the script of a rule would be given for these wildcards.

    Private: Snakemake makes this object only as it starts a script.
    """
    with _imports():
        from snakemake.api import SnakemakeApi
        from snakemake.dag import DAG
        from snakemake.jobs import Job
        from snakemake.script import Snakemake
        from snakemake.settings.enums import Quietness
        from snakemake.settings.types import ConfigSettings, DAGSettings, OutputSettings, ResourceSettings
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        read = api.workflow(
            ResourceSettings(cores=os.cpu_count()),
            config_settings=ConfigSettings(configfiles=[Path(path) for path in configfiles]),
            snakefile=snakefile,
        )
        workflow = part(read, "_workflow")
        workflow.dag_settings = DAGSettings()
        found = part(workflow, "get_rule")(rule)
        job = Job(found, DAG(workflow, rules=[found]), wildcards)
    given = [part(job, name) for name in ("input", "output", "params", "wildcards", "threads", "resources")]
    return Snakemake(*given, part(job, "log"), part(workflow, "config"), rule, None)


@dataclass(frozen=True)
class SeenJob:
    """One job of a dry run, as Snakemake sees it, in plain values.

    rule, wildcards, params, inputs, outputs: of the job now. params_before, inputs_before: what Snakemake
    recorded when the job last ran, or None where it has no record; parameters are recorded as text.
    missing, updated: outputs that are not there, and inputs that are newer and differ. environment: the
    file of a software environment that changed since, `""` where it has no file, None where none changed.
    interrupted: the job's last run did not end, or the user forces the job. after: places in the list of
    the jobs that this one comes after directly. level: how many jobs at least must end before.
    """

    rule: str
    wildcards: Mapping[str, str]
    params: Mapping[str, Any]
    inputs: Sequence[str]
    outputs: Sequence[str]
    params_before: Sequence[str] | None
    inputs_before: Sequence[str] | None
    missing: Sequence[str]
    updated: Sequence[str]
    environment: str | None
    interrupted: bool
    after: Sequence[int]
    level: int


@dataclass(frozen=True)
class DryRun:
    """What a dry run would do.

    jobs: the jobs that would run, `rule all` left out. unrecorded: jobs that would stay and of which
    Snakemake has no record; a changed value or changed code would not show.
    """

    jobs: list[SeenJob]
    unrecorded: list[KeptJob]


def dry_run(arguments: Sequence[str] = ()) -> DryRun:
    """What a dry run with these arguments of `snakemake` would do.

    Private: the printed plan names the kind of a reason (`Params have changed`) and not what changed. The
    graph of jobs and Snakemake's record of each output hold that.
    """
    with _imports():
        from snakemake.api import SnakemakeApi
        from snakemake.cli import parse_args, parse_config
        from snakemake.settings.enums import Quietness
        from snakemake.settings.types import (
            ConfigSettings,
            DAGSettings,
            DeploymentSettings,
            OutputSettings,
            ResourceSettings,
            WorkflowSettings,
        )

    # The command line's own reader reads the profile; the API does not. It says so each time.
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            _, given = parse_args(["--dry-run", *arguments])
    except SystemExit:
        print(said.getvalue(), file=sys.stderr)
        raise

    # Plan as the command line would.
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        read = api.workflow(
            ResourceSettings(cores=1),
            config_settings=ConfigSettings(
                config=parse_config(given.config),
                configfiles=given.configfile or [],
                config_args=given.config,
            ),
            deployment_settings=DeploymentSettings(
                deployment_method=given.software_deployment_method, conda_prefix=given.conda_prefix
            ),
            workflow_settings=WorkflowSettings(persistence_backend=given.persistence_backend),
            snakefile=given.snakefile,
            workdir=given.directory,
        )
        planned = read.dag(
            DAGSettings(
                targets=given.targets,
                force_incomplete=given.rerun_incomplete,
                rerun_triggers=given.rerun_triggers,
                max_checksum_file_size=given.max_checksum_file_size,
            )
        )
        planned.execute_workflow(executor="dryrun")
        return _dry_run_of(part(read, "_workflow"))


def _dry_run_of(workflow: Any) -> DryRun:
    """The jobs of a planned workflow that would run and make files, and how many results have no record."""
    dag, memory = part(workflow, "dag"), part(workflow, "persistence")
    needrun, dependencies = part(dag, "needrun"), part(dag, "dependencies")
    level_of = {job: place for place, level in enumerate(part(dag, "toposorted")()) for job in level}
    needed = [job for job in level_of if needrun(job) and job.output]
    place_of = {job: place for place, job in enumerate(needed)}
    jobs = [
        _seen(
            job,
            part(dag, "reason")(job),
            memory,
            [place_of[other] for other in dependencies[job] if other in place_of],
            level_of[job],
        )
        for job in needed
    ]
    return DryRun(jobs, kept_without_record(workflow))


def _seen(job: Any, reason: Any, memory: Any, after: Sequence[int], level: int) -> SeenJob:
    """One job in plain values. memory: Snakemake's record of outputs."""
    recorded = part(memory, "metadata")
    record = next((found for found in map(recorded, job.output) if found is not None), None)
    newer = set(map(str, part(reason, "updated_input"))) - set(map(str, part(reason, "updated_input_run")))
    changed = record is not None and any(part(memory, "software_stack_changed")(job))
    return SeenJob(
        rule=part(job, "rule", "name"),
        wildcards=dict(job.wildcards.items()),
        params=dict(job.params.items()),
        inputs=[str(path) for path in job.input],
        outputs=[str(path) for path in job.output],
        params_before=None if record is None else part(record, "params") or [],
        inputs_before=None if record is None else part(record, "input") or [],
        missing=sorted(map(str, part(reason, "missing_output"))),
        updated=sorted(newer),
        environment=_environment_file(job) if changed else None,
        interrupted=part(reason, "forced") or bool(part(reason, "incomplete_output")),
        after=after,
        level=level,
    )


def _environment_file(job: Any) -> str:
    """The file of a job's software environment below `envs/`, or `""` where it has no file."""
    file = getattr(part(job, "conda_env"), "file", None)
    path = getattr(file, "get_path_or_uri", lambda: file)() if file is not None else None
    return "" if path is None else re.sub(r"^.*/(?=envs/)", "", str(path))
