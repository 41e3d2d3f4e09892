# Configuration check and helpers that every rule file uses.
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

from snakemake.exceptions import WorkflowError

# Beside this file, also where another workflow uses this one as a module.
RULES = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve()
SCRIPTS = RULES.parent / "scripts"
if not SCRIPTS.is_dir():
    raise WorkflowError(
        f"The scripts beside {RULES} cannot be imported: use this workflow from a local folder, "
        "cloned or deployed, not from an address."
    )
sys.path.insert(0, str(SCRIPTS))

from fourier_addition.pipeline import paths, shards
from fourier_addition.pipeline.claim_inputs import claim_labels, claim_runs
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.names import (
    instance,
    instances,
    prompted,
    task_of,
    tau_of,
)
from fourier_addition.pipeline.config_files import require_distinct_keys
from fourier_addition.pipeline.code_digest import code_digest
from fourier_addition.errors import UserError
from fourier_addition.pipeline.figures import views
from fourier_addition.pipeline.own_files import own_files
from fourier_addition.pipeline.sizing import Machine, estimate
from fourier_addition.pipeline.tables import table_files, table_names
from fourier_addition.pipeline.why_records import remember_code

try:
    for file in workflow.configfiles:
        require_distinct_keys(file)
    config = validated(config)
    VIEWS = views(config)
except UserError as error:
    raise WorkflowError(str(error)) from None

INSTANCES = instances(config)
PROMPTED = [
    name for name, (run, _) in INSTANCES.items() if prompted(config["runs"][run])
]
TRAINED = [name for name in INSTANCES if name not in PROMPTED]
STACKED = [name for name, run in config["runs"].items() if run.get("stack_seeds")]
PRETRAINED_MODELS = [
    name
    for name, entry in config["models"].items()
    if "pretrain" in entry["sources"][0]
]
FETCHED_MODELS = [name for name in config["models"] if name not in PRETRAINED_MODELS]
CLAIMS = [name for name, table in config["tables"].items() if table["kind"] == "claims"]
CAPTURE_SPLIT = config["capture"]["split"]


def alternatives(names):
    """A pattern that matches exactly these names; one that matches nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def digest(script):
    """Digest of a script and all local code that it reaches, the rule's `code` parameter."""
    try:
        # The main process alone: jobs read the workflow too, many at a time.
        if workflow.is_main_process:
            remember_code(script, SCRIPTS)
        return code_digest(script, SCRIPTS)
    except UserError as error:
        raise WorkflowError(str(error)) from None


def visible_gpus():
    """GPUs of this machine, without importing torch."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len(
            [
                device
                for device in visible.split(",")
                if device.strip() not in ("", "-1")
            ]
        )
    if shutil.which("nvidia-smi") is None:
        return 0
    listed = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True)
    return sum(line.startswith("GPU ") for line in listed.stdout.splitlines())


# Torch rules ask for a GPU. Where the jobs run on this machine, the limit is what it has: 0 lets
# them run on the CPU side by side, 1 lets one at a time have the GPU. A cluster hands GPUs out
# itself: there a limit set here would take them from the jobs. `--resources gpu=N` always wins.
# (The executor is not known yet, but only one that submits jobs counts them in nodes.)
submits_jobs = workflow.remote_exec or workflow.resource_settings.nodes is not None
if not submits_jobs and "gpu" not in workflow.global_resources:
    workflow.register_resource("gpu", visible_gpus())

# A submitted job reads the workflow again, without the limits that its Snakemake was given: it must
# not ask for GPUs that it was not granted, and draws two views of its group at a time.
GPU_LIMIT = "FOURIER_ADDITION_GPU_LIMIT"
if workflow.remote_exec and GPU_LIMIT in os.environ:
    workflow.register_resource("gpu", int(os.environ[GPU_LIMIT]))
elif submits_jobs and "gpu" in workflow.global_resources:
    os.environ[GPU_LIMIT] = str(workflow.global_resources["gpu"].value)
if submits_jobs and "view" not in workflow.global_resources:
    workflow.register_resource("view", 2)


def run_of(wildcards):
    """Configuration of the run that a `run` wildcard names."""
    return config["runs"][INSTANCES[wildcards.run][0]]


def example_keys(task):
    """What decides a task's examples: all its keys but the example that figures show."""
    return {
        key: value
        for key, value in config["tasks"][task].items()
        if key != "running_example"
    }


def task_numbers(wildcards):
    """p of the task of a run."""
    return task_of(config, run_of(wildcards)["task"]).numbers


def final_output():
    """Every figure and table of the configuration."""
    files = [
        paths.figure(name, suffix) for name in VIEWS for suffix in ("pdf", "png", "csv")
    ]
    files += [
        paths.table(name, suffix)
        for name in config["tables"]
        for suffix in ("csv", "md", "tex")
    ]
    return files


def number_params(wildcards):
    """Numbers and answer form of a run's task."""
    task = task_of(config, run_of(wildcards)["task"])
    return {"numbers": task.numbers, "answer": task.answer}


def weights_of(wildcards):
    """Type and placement of a run's or a model's weights, where it is not trained."""
    name = wildcards.get("model") or run_of(wildcards)["model"]
    entry = config["models"][name]
    return {"dtype": entry["precision"], "device_map": entry.get("device_map")}


def prompts_of(wildcards):
    """Prompts of a run: its task's, with solved examples before them where the run is prompted."""
    if wildcards.run in PROMPTED:
        return paths.run(wildcards.run, "prompts.parquet")
    return paths.dataset(run_of(wildcards)["task"])


def shots_params(wildcards):
    """Number, seed and separator of a prompted run's solved examples; None of a trained run."""
    if wildcards.run not in PROMPTED:
        return None
    run, seed = run_of(wildcards), INSTANCES[wildcards.run][1]
    return {
        "shots": run["shots"],
        "seed": run["shot_seed"] + seed,
        "separator": run["separator"],
    }


def shots_of(wildcards):
    """What stands before every prompt of a prompted run; no input of a trained one."""
    if wildcards.run in PROMPTED:
        return {"shots": paths.run(wildcards.run, "shots.json")}
    return {}


# With `--default-storage-provider` results lie in storage, and a job is given only its inputs: there
# a directory is an input beside its manifest. Locally the manifest, written last, is proof enough.
IN_STORAGE = workflow.storage_settings.default_storage_provider is not None


def stored(*directories):
    """Directories that a job reads beside their manifests, where results lie in storage."""
    return list(directories) if IN_STORAGE else []


def checkpoint_of(wildcards):
    """Directory of a run's weights as a stored input; a prompted run's is the model's own."""
    if wildcards.run in PROMPTED:
        return stored(paths.model(run_of(wildcards)["model"]))
    return stored(paths.run(wildcards.run, "checkpoint"))


def run_captures(suffix):
    """Input function: a run's captured activations."""

    def files(wildcards):
        return shards.captures(config, *INSTANCES[wildcards.run], suffix)

    return files


def number_rows_of(wildcards):
    """Manifest of the number rows of a model under `embeddings`, or of a run."""
    if wildcards.name in INSTANCES:
        return paths.run(wildcards.name, "number-rows.json")
    return paths.embedding(wildcards.name, "number-rows.json")


# MB of Snakemake's own two processes beside the script in a job on a cluster (measured: 185 each).
WRAPPING = 400 if submits_jobs else 0


def growing(mem_mb):
    """Memory of a job, doubled each time that it is submitted again.

    mem_mb: MB of the script at the first attempt, a number or a function of the wildcards.
    """

    def memory(wildcards, attempt):
        first = mem_mb(wildcards) if callable(mem_mb) else mem_mb
        return (first + WRAPPING) * 2 ** (attempt - 1)

    return memory


def views_group(files):
    """Group of a figure or table that reads these files: views of one run share submissions.

    So a run that fails holds back its own figures only. Nothing may depend on a figure or a table:
    their groups would wait for themselves.
    """
    owners = {
        Path(path).parts[2]
        for value in files
        for path in ([value] if isinstance(value, str) else value)
    }
    group = "views-" + (owners.pop() if len(owners) == 1 else "of-several")
    # How many share a submission is `group-components: views=N` of the profile for all these groups.
    workflow.parent_groupids[group] = "views"
    return group


# Without a GPU in reach a job needs no memory for CUDA, and its host's memory holds everything.
MACHINE = Machine(gpu=submits_jobs or bool(workflow.global_resources.get("gpu").value))


def sized(rule, what):
    """Input function of a resource: what a job of a rule takes, by the sizes in the configuration."""

    def amount(wildcards):
        return estimate(config, rule, dict(wildcards.items()), MACHINE).resources()[
            what
        ]

    return amount


def training_inputs(run):
    """What training a run reads."""
    inputs = {
        "model": paths.model(run["model"]) + ".json",
        "dataset": paths.dataset(run["task"]),
    }
    if "embedding_from" in run:
        inputs["donor"] = paths.model(run["embedding_from"]) + ".json"
    models = [run[key] for key in ("model", "embedding_from") if key in run]
    inputs["weights"] = stored(*map(paths.model, dict.fromkeys(models)))
    return inputs


def training_keys(run):
    """What decides a run's weights: not what a figure calls it, nor its other seeds."""
    return {key: value for key, value in run.items() if key not in ("label", "seeds")}


def of_every_seed(run, file):
    """One file of each seed of a run."""
    return [
        paths.run(instance(run, seed), file) for seed in config["runs"][run]["seeds"]
    ]


def stacked_size(run, what):
    """What a job that trains all seeds of a run takes: that of one seed, for each."""
    seeds = config["runs"][run]["seeds"]
    one = estimate(config, "train", {"run": instance(run, seeds[0])}, MACHINE)
    return one.resources()[what] * len(seeds)


RANGES = {"all": None} | {
    paths.slug(name): span
    for name, span in config["ablations"]["digit_ranges"].items()
    if paths.slug(name) != "all"
}


ABLATION_STATISTICS = (
    "unharmed",
    "harmed",
    "grid",
    "runs",
    "seed",
    "digit_ranges",
    "shard",
)


def ablation_shards(wildcards):
    """Jobs that one ablation of a run is shared out to."""
    return shards.of_ablation(
        config, run_of(wildcards)["task"], RANGES[wildcards.range]
    )


def run_tau(wildcards):
    """The cut of a run's number space."""
    return tau_of(config, task_numbers(wildcards))


def table_inputs(wildcards):
    """What a table reads, by its kind."""
    return table_files(config, wildcards.table)


def claim_settings(wildcards):
    """What decides a verdict beside the results."""
    ablations, analysis = config["ablations"], config["analysis"]
    finetuned = config["tables"][wildcards.table]["roles"].get("finetuned")
    numbers = finetuned and task_of(config, config["runs"][finetuned]["task"]).numbers
    return {
        **config["claims"],
        **{key: ablations[key] for key in ("unharmed", "harmed")},
        **{key: analysis[key] for key in ("lens_norm", "null_level", "seed")},
        "tau": numbers and tau_of(config, numbers),
    }


def views_of(family):
    """Names of the figures that the script of one family draws."""
    return [name for name, view in VIEWS.items() if view.family == family]


wildcard_constraints:
    run=alternatives(INSTANCES),
    model=alternatives(config["models"]),
    task=alternatives(config["tasks"]),
    figure=alternatives(VIEWS),
    shard=r"\d+",
