"""Say in plain words what would rerun, and why.

    python -m fourier_addition.pipeline.why [snakemake's arguments: targets, --configfile, --profile]

asks Snakemake for the plan of a dry run with the same arguments and profile, and explains it.
"""

from __future__ import annotations

import contextlib
import io
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from fourier_addition.pipeline.why_causes import NEVER_RUN, Planned, causes
from fourier_addition.pipeline.why_records import RECORDS


def explanation(jobs: Sequence[Planned], records: Path = RECORDS) -> str:
    """One sentence for each cause, and how many jobs come after those that it touches.

    jobs: every job that would run. A job that only follows others has no sentence of its own.
    """
    if not jobs:
        return "Nothing would rerun."
    own = {job.name: causes(job, records) for job in jobs}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, found in own.items():
        if found:
            groups.setdefault(tuple(found), []).append(name)
    lines = [f"{_count(len(jobs), 'job')} would run."]
    followers = _followers(jobs)
    for found, names in groups.items():
        later = {name for start in names for name in followers[start] if not own[name]}
        new = found == (NEVER_RUN,)
        sentence = f"{named(names)} would "
        sentence += "run for the first time" if new else f"rerun because {'; and because '.join(found)}"
        if later:
            sentence += f", and {_count(len(later), 'job')} after {'it' if len(names) == 1 else 'them'}"
        lines.append(sentence + ".")
    return "\n".join(lines)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"


def _followers(jobs: Iterable[Planned]) -> dict[str, set[str]]:
    """For each job, the jobs that come after it, directly or not."""
    next_of: dict[str, list[str]] = {job.name: [] for job in jobs}
    for job in jobs:
        for earlier in job.after:
            if earlier in next_of:
                next_of[earlier].append(job.name)
    found = {}
    for start in next_of:
        todo, seen = list(next_of[start]), set()
        while todo:
            current = todo.pop()
            if current not in seen:
                seen.add(current)
                todo += next_of[current]
        found[start] = seen
    return found


def named(names: Sequence[str], most: int = 6) -> str:
    """Jobs in words, those of one rule together: `train of a.seed0 and b.seed0; table of table-1`."""
    rules: dict[str, list[str]] = {}
    for name in names:
        rule, _, rest = name.partition(" of ")
        rules.setdefault(rule, []).append(rest)
    parts = []
    for rule, wildcards in rules.items():
        given = [each for each in wildcards if each]
        if len(given) > most + 1:
            given = [*given[:most], f"{len(given) - most} more"]
        listed = " and ".join([", ".join(given[:-1]), given[-1]]) if len(given) > 1 else "".join(given)
        parts.append(f"{rule} of {listed}" if listed else rule)
    return "; ".join(parts)


def job_name(rule: str, wildcards: Mapping[str, str]) -> str:
    """A job in words: its rule, its first wildcard, and the others by name."""
    first, *others = [*wildcards.items()] or [("", "")]
    words = [first[1], *(f"{key} {value}" for key, value in others)]
    return f"{rule} of {' '.join(words)}" if first[1] else rule


def plan(arguments: Sequence[str] = ()) -> list[Planned]:
    """Jobs of a dry run in the working directory with these arguments of `snakemake`, in its order.

    Reads the DAG that Snakemake's API builds, and its record of each output.
    """
    from snakemake.api import SnakemakeApi
    from snakemake.cli import parse_args
    from snakemake.settings.enums import Quietness
    from snakemake.settings.types import (
        ConfigSettings,
        DAGSettings,
        DeploymentSettings,
        OutputSettings,
        ResourceSettings,
        WorkflowSettings,
    )

    # The profile is read where the command line is, not by the API; it says so each time.
    said = io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            _, given = parse_args(["--dry-run", *arguments])
    except SystemExit:
        print(said.getvalue(), file=sys.stderr)
        raise
    with SnakemakeApi(OutputSettings(quiet={Quietness.ALL})) as api:
        workflow_api = api.workflow(
            ResourceSettings(cores=1),
            config_settings=ConfigSettings(configfiles=given.configfile or []),
            deployment_settings=DeploymentSettings(
                deployment_method=given.software_deployment_method, conda_prefix=given.conda_prefix
            ),
            workflow_settings=WorkflowSettings(persistence_backend=given.persistence_backend),
            snakefile=given.snakefile,
            workdir=given.directory,
        )
        dag_api = workflow_api.dag(
            DAGSettings(
                targets=given.targets,
                force_incomplete=given.rerun_incomplete,
                rerun_triggers=given.rerun_triggers,
                max_checksum_file_size=given.max_checksum_file_size,
            )
        )
        dag_api.execute_workflow(executor="dryrun")
        workflow = workflow_api._workflow
        dag, memory = workflow.dag, workflow.persistence
        level_of = {job: place for place, level in enumerate(dag.toposorted()) for job in level}
        needed = [job for job in level_of if dag.needrun(job) and job.output]
        names = {job: job_name(job.rule.name, dict(job.wildcards.items())) for job in needed}
        # A level of the graph has no order of its own.
        needed.sort(key=lambda job: (level_of[job], names[job]))
        return [
            _planned(job, dag.reason(job), memory, names[job], [names.get(d) for d in dag.dependencies[job]])
            for job in needed
        ]


def _planned(job: Any, reason: Any, memory: Any, name: str, after: Iterable[str | None]) -> Planned:
    record = next((found for found in map(memory.metadata, job.output) if found is not None), None)
    missing = reason.missing_output
    if record is None and not missing:
        # Snakemake does not look at what comes after a job that runs anyway.
        missing = [path for path in job.output if not Path(path).exists()]
    return Planned(
        name=name,
        before=None if record is None else record.params or [],
        now=dict(job.params.items()),
        inputs_before=[] if record is None else record.input or [],
        inputs_now=[str(path) for path in job.input],
        missing=sorted(map(str, missing)),
        updated=sorted(set(map(str, reason.updated_input)) - set(map(str, reason.updated_input_run))),
        environment=_environment(job) if record and any(memory.software_stack_changed(job)) else None,
        interrupted=reason.forced or bool(reason.incomplete_output),
        after=[each for each in after if each],
    )


def _environment(job: Any) -> str:
    file = getattr(job.conda_env, "file", None)
    path = getattr(file, "get_path_or_uri", lambda: file)() if file is not None else None
    if path is None:
        return "it was last run inside another one"
    return re.sub(r"^.*/(?=envs/)", "", str(path))


def main() -> int:
    """Explain the plan for the arguments of the command line; exit status 1 where there is none."""
    try:
        text = explanation(plan(sys.argv[1:]))
    except Exception as error:
        # A faulty configuration or a target that no rule makes; Snakemake says which.
        print(f"There is no plan: {error}", file=sys.stderr)
        return 1
    print(text)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
