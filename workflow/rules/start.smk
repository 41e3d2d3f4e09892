# What is checked when jobs are about to start, and never in a dry run.
from fourier_addition.alone import require_writable, stay_alone


onstart:
    # The profiles switch Snakemake's own lock off (`nolock`), which a killed run leaves behind.
    try:
        stay_alone(".snakemake/running.lock")
        require_writable(
            file
            for job in workflow.dag.needrun_jobs()
            for file in (*job.output, *job.log)
        )
    except UserError as error:
        raise WorkflowError(str(error)) from None
