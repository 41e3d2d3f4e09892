# What jobs ask for: GPUs, memory, minutes, and the groups in which figures and tables share a job.
import os
import shutil
import subprocess
from functools import cache

from fourier_addition.pipeline.sizing.machine import Machine, is_cuda_build
from fourier_addition.pipeline.sizing.rules import estimate
from fourier_addition.pipeline.snakemake_private import (
    count_as_group,
    is_submitted,
    resource_limit,
    set_resource_limit,
    submits_jobs,
)


def visible_gpus():
    """GPUs of this machine, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        named = [device.strip() for device in visible.split(",")]
        return sum(device not in ("", "-1") for device in named)
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


# Rules with torch ask for a GPU. On this machine the limit is the number of its GPUs: without a GPU these
# jobs run side by side on the processor, with one GPU they run one after the other. A cluster hands out
# its GPUs itself, so this file sets no limit there. `--resources gpu=N` always wins.
#
# A submitted job reads this file again, without the limits that its Snakemake was given. The submitting
# Snakemake hands its limit on in an environment variable, so that a job never asks for GPUs that it was
# not granted.
GPU_LIMIT = "FOURIER_ADDITION_GPU_LIMIT"

with in_one_sentence():
    ON_A_CLUSTER = submits_jobs(workflow)
    granted = resource_limit(workflow, "gpu")
    if not ON_A_CLUSTER:
        if granted is None:
            set_resource_limit(workflow, "gpu", visible_gpus())
    elif is_submitted(workflow) and GPU_LIMIT in os.environ:
        set_resource_limit(workflow, "gpu", int(os.environ[GPU_LIMIT]))
    elif granted is not None:
        os.environ[GPU_LIMIT] = str(granted)

    # Figures and tables that share a submission are drawn two at a time.
    if ON_A_CLUSTER and resource_limit(workflow, "view") is None:
        set_resource_limit(workflow, "view", 2)

    # A machine without a GPU needs no memory for CUDA, and the host's memory holds what the GPU would.
    MACHINE = Machine(
        gpu=ON_A_CLUSTER or bool(resource_limit(workflow, "gpu")),
        cuda_build=is_cuda_build(),
    )


# MB of the two Snakemake processes that run beside the script of a job on a cluster; 185 each, measured.
WRAPPING = 400 if ON_A_CLUSTER else 0


def growing(mem_mb):
    """Memory of a job, doubled each time that Snakemake submits the job again.

    mem_mb: MB of the script at the first attempt, a number or a function of the wildcards.
    """

    def memory(wildcards, attempt):
        first = mem_mb(wildcards) if callable(mem_mb) else mem_mb
        return (first + WRAPPING) * 2 ** (attempt - 1)

    return memory


@cache
def resources_of(rule, wildcards):
    """What a job takes, by the sizes in the configuration; wildcards: (name, value) of each."""
    return estimate(config, rule, dict(wildcards), MACHINE).resources()


def sized(rule, what):
    """Input function of a resource: what a job takes of it."""

    def amount(wildcards):
        return resources_of(rule, tuple(wildcards.items()))[what]

    return amount


def stacked_size(run, what):
    """What a job that trains all seeds of a run takes: that of one seed, for each seed."""
    seeds = config["runs"][run]["seeds"]
    one = estimate(config, "train", {"run": instance(run, seeds[0])}, MACHINE)
    return one.resources()[what] * len(seeds)


def views_group(files):
    """Group of a figure or table that reads these files: views of one run share submissions.

    So a run that fails holds back only its own figures. No job may read a figure or a table, because a
    group would then wait for itself.
    """
    owners = {
        paths.owner(str(path))
        for value in files
        for path in ([value] if isinstance(value, str) else value)
    }
    group = "views-" + (owners.pop() if len(owners) == 1 else "of-several")
    # A profile says for all these groups together how many views share a submission: `views=N`.
    count_as_group(workflow, group, "views")
    return group
