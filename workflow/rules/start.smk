# What is checked before jobs start, and never in a dry run.
from fourier_addition.pipeline.forks import forks_are_wanted, start_forks
from fourier_addition.pipeline.lock import require_writable, stay_alone
from fourier_addition.pipeline.snakemake_private import (
    after_planning,
    before_planning,
    end_jobs_when_interrupted,
    files_to_make,
    is_used_as_module,
    kept_without_record,
    submits_jobs,
    take_python_from,
)
from fourier_addition.pipeline.unrecorded import unrecorded_sentences


def take_the_lock():
    """Hold this folder's lock until Snakemake ends.

    The profiles switch Snakemake's own lock off (`nolock`): a killed Snakemake leaves it behind.
    """
    with in_one_sentence():
        stay_alone(".snakemake/running.lock")


# The client of the process that has begun to import, where there is one.
BEGUN = []


def make_ready():
    """Hold the lock, and, where many figures are missing, begin the jobs' imports while Snakemake plans."""
    take_the_lock()
    figures = (Path(paths.figure(name, "pdf")) for name in VIEWS)
    missing = sum(not figure.exists() for figure in figures)
    here = not IN_STORAGE and not submits_jobs(workflow)
    if here and forks_are_wanted(missing):
        BEGUN.append(start_forks(SCRIPTS))


def python_of_jobs(jobs):
    """What runs the scripts of so many jobs on this machine; None for Python itself."""
    if BEGUN:
        return BEGUN[0]
    return start_forks(SCRIPTS) if forks_are_wanted(jobs) else None


def say_what_has_no_record():
    """Snakemake takes results without a record for up to date; this says so, also where nothing is to do."""
    for line in unrecorded_sentences(kept_without_record(workflow)):
        print(line, file=sys.stderr)
    for name in KEPT_COPIES:
        print(
            f"models.{name}: its folder is not there; the copy that was made of it is used.",
            file=sys.stderr,
        )


# The lock must be held before Snakemake looks at the files. What it saw while another Snakemake was at
# work would be out of date.
with in_one_sentence():
    if is_main_process(workflow) and not is_used_as_module(workflow):
        before_planning(workflow, make_ready)
        after_planning(workflow, say_what_has_no_record)


onstart:
    # This Snakemake holds the lock already, unless its release plans in another way.
    take_the_lock()
    with in_one_sentence():
        require_writable(files_to_make(workflow))
        end_jobs_when_interrupted(workflow)
        take_python_from(workflow, python_of_jobs)
