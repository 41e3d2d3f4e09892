"""Say in plain words what would rerun, and why.

    python -m fourier_addition.pipeline.why [snakemake's arguments: targets, --configfile, --profile]

asks Snakemake for the plan of a dry run with the same arguments and profile, and explains it.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from fourier_addition.pipeline.snakemake_private import SeenJob, dry_run
from fourier_addition.pipeline.unrecorded import unrecorded_sentences
from fourier_addition.pipeline.why_causes import NEVER_RUN, Planned, causes
from fourier_addition.pipeline.why_records import RECORDS


def explanation(jobs: Sequence[Planned], records: Path = RECORDS) -> str:
    """One sentence for each cause, and how many jobs come after those that it touches.

    jobs: every job that would run. A job that only follows others has no sentence of its own.
    """
    if not jobs:
        return "Nothing would rerun."

    # Jobs that rerun for the same causes share one sentence.
    own = {job.name: causes(job, records) for job in jobs}
    groups: dict[tuple[str, ...], list[str]] = {}
    for name, found in own.items():
        if found:
            groups.setdefault(tuple(found), []).append(name)

    # Each sentence counts the jobs that only follow its own.
    lines = [f"{_count(len(jobs), 'job')} would run."]
    followers = _followers(jobs)
    for reasons, names in groups.items():
        later = {name for start in names for name in followers[start] if not own[name]}
        sentence = f"{named(names)} would "
        if reasons == (NEVER_RUN,):
            sentence += "run for the first time"
        else:
            sentence += f"rerun because {'; and because '.join(reasons)}"
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
    """Jobs of a dry run in the working directory with these arguments of `snakemake`, in its order."""
    return planned_jobs(dry_run(arguments).jobs)


def planned_jobs(seen: Sequence[SeenJob]) -> list[Planned]:
    """What there is to explain about the jobs of a dry run, in an order that does not change."""
    names = [job_name(job.rule, job.wildcards) for job in seen]
    # Jobs of one level may run in any order; their names make the order of the sentences fixed.
    order = sorted(range(len(seen)), key=lambda place: (seen[place].level, names[place]))
    return [_planned(seen[place], names, place) for place in order]


def _planned(job: SeenJob, names: Sequence[str], place: int) -> Planned:
    """What there is to explain about one job. names: of all jobs; place: of this one among them."""
    missing = job.missing
    if job.params_before is None and not missing:
        # Snakemake does not look at what comes after a job that runs anyway.
        missing = sorted(path for path in job.outputs if not Path(path).exists())
    environment = job.environment
    if environment == "":
        environment = "it was last run inside another one"
    return Planned(
        name=names[place],
        before=job.params_before,
        now=job.params,
        inputs_before=job.inputs_before or [],
        inputs_now=job.inputs,
        missing=missing,
        updated=job.updated,
        environment=environment,
        interrupted=job.interrupted,
        after=[names[other] for other in job.after],
    )


def main() -> int:
    """Explain the plan for the arguments of the command line; exit status 1 where there is none."""
    try:
        seen = dry_run(sys.argv[1:])
        text = explanation(planned_jobs(seen.jobs))
    except Exception as error:
        # A faulty configuration or a target that no rule makes; Snakemake says which.
        print(f"There is no plan: {error}", file=sys.stderr)
        return 1
    print(text)
    for line in unrecorded_sentences(seen.unrecorded):
        print(line)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
