# What is checked before jobs start, and never in a dry run.
from fourier_addition.pipeline.lock import require_writable, stay_alone


def alone_from_the_start():
    """Take the lock before the files are looked at: what was seen beside another run is out of date.

    The profiles switch Snakemake's own lock off (`nolock`), which a killed run leaves behind, and which
    would be taken too late: no hook of Snakemake's comes before it reads the times of all files.
    """
    build = getattr(workflow, "_build_dag", None)
    if build is None:
        return  # Another version of Snakemake: `onstart` takes the lock.

    def build_alone():
        # Without an executor nothing is made: a report, a list, a check.
        if workflow.executor_plugin is not None and not workflow.dryrun:
            try:
                stay_alone(".snakemake/running.lock")
            except UserError as error:
                raise WorkflowError(str(error)) from None
        build()

    workflow._build_dag = build_alone


if workflow.is_main_process and workflow.modifier.is_main_snakefile():
    alone_from_the_start()


onstart:
    try:
        stay_alone(".snakemake/running.lock")
        require_writable(
            file
            for job in workflow.dag.needrun_jobs()
            for file in (*job.output, *job.log)
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None
