# Configuration check and helpers that every rule file uses.
import gc
import os
import re
import sys
from contextlib import contextmanager
from pathlib import Path

from snakemake.exceptions import WorkflowError

# The scripts lie beside this file, also where another workflow uses this one as a module.
RULES = Path(workflow.current_basedir.get_path_or_uri(secret_free=True)).resolve()
SCRIPTS = RULES.parent / "scripts"
if not SCRIPTS.is_dir():
    raise WorkflowError(
        f"The scripts beside {RULES} cannot be imported: use this workflow from a local folder, "
        "cloned or deployed, not from an address."
    )
if re.search(r"[\s'\"\\$]", sys.executable):
    # Snakemake hands this path to a shell as it stands, so every job would die in an error of the shell.
    raise WorkflowError(
        f"Snakemake's Python is {sys.executable}, whose path has a space or a quote in it: no job can be started "
        "with it. Make the environment in another folder (make VENV=/path/of/your/choice), or rename the folder."
    )
sys.path.insert(0, str(SCRIPTS))

from fourier_addition.pipeline import paths, shards
from fourier_addition.pipeline.claim_inputs import (
    claim_labels,
    claim_models,
    claim_runs,
)
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.processor import choose_instructions, has_avx2
from fourier_addition.pipeline.names import (
    digit_ranges,
    instance,
    instances,
    prompted,
    task_of,
    tau_of,
)
from fourier_addition.pipeline.config_files import require_distinct_keys
from fourier_addition.pipeline.code_digest import code_digest
from fourier_addition.errors import UserError
from fourier_addition.explorer.page import page_digest
from fourier_addition.pipeline.explorer_files import (
    STORES,
    explorer_facts,
    explorer_inputs,
    explorer_runs,
)
from fourier_addition.pipeline.figures import views
from fourier_addition.pipeline.own_files import is_kept_copy, own_files
from fourier_addition.sources import is_gguf
from fourier_addition.pipeline.snakemake_private import (
    configuration_files,
    configuration_is_given,
    is_main_process,
    remember_signatures,
    require_profile,
    results_lie_in_storage,
)
from fourier_addition.pipeline.tables import table_files, table_names
from fourier_addition.pipeline.why_records import remember_code

# A plan of thousands of jobs is millions of objects that stay. Python's default is to look through all of them
# for garbage again and again, a tenth of the time of a dry run.
gc.set_threshold(200_000, 50, 100)
remember_signatures()


@contextmanager
def in_one_sentence():
    """Let Snakemake end with the one sentence of a UserError, without a traceback."""
    try:
        yield
    except UserError as error:
        raise WorkflowError(str(error)) from None


# Every job inherits this environment, also one that is submitted: it reads this file itself.
with in_one_sentence():
    choose_instructions(os.environ, available=has_avx2())

# The default configuration, in this folder or, where Snakemake was started elsewhere, beside the Snakefile.
DEFAULT = Path("config/config.yaml")
if not DEFAULT.is_file():
    DEFAULT = RULES.parent.parent / DEFAULT

# Snakemake itself passes over a profile that is not there.
with in_one_sentence():
    if is_main_process(workflow):
        require_profile(workflow, sys.argv)

# A file that is given replaces the default one; single values of `--config` change the default one.
with in_one_sentence():
    IS_GIVEN = configuration_is_given(workflow)

if not IS_GIVEN:

    configfile: str(DEFAULT)


with in_one_sentence():
    for file in configuration_files(workflow):
        require_distinct_keys(file)
    config = validated(config)
    VIEWS = views(config)

INSTANCES = instances(config)
PROMPTED = [
    name for name, (run, _) in INSTANCES.items() if prompted(config["runs"][run])
]
TRAINED = [name for name in INSTANCES if name not in PROMPTED]
STACKED = [name for name, run in config["runs"].items() if run.get("stack_seeds")]
KEEPING = [
    name
    for name, (run, _) in INSTANCES.items()
    if config["runs"][run].get("keep_checkpoints")
]
PRETRAINED_MODELS = [
    name
    for name, entry in config["models"].items()
    if "pretrain" in entry["sources"][0]
]
GGUF_MODELS = [name for name, entry in config["models"].items() if is_gguf(entry)]
FETCHED_MODELS = [
    name for name in config["models"] if name not in (*PRETRAINED_MODELS, *GGUF_MODELS)
]
# A disk that is not mounted takes nothing away from a finished study.
KEPT_COPIES = [
    name
    for name, entry in config["models"].items()
    if is_kept_copy(
        entry,
        f"{(paths.gguf if name in GGUF_MODELS else paths.model)(name)}.json",
    )
]
CLAIMS = [name for name, table in config["tables"].items() if table["kind"] == "claims"]
CAPTURE_SPLIT = config["capture"]["split"]


def alternatives(names):
    """A pattern that matches exactly these names; one that matches nothing where there are none."""
    return "|".join(map(re.escape, names)) or "(?!)"


def without_copies(names):
    """Names of models that are fetched; a copy whose folder is not there is used as it is."""
    return [name for name in names if name not in KEPT_COPIES]


def digest(script):
    """Digest of a script and all local code that it reaches, the rule's `code` parameter."""
    with in_one_sentence():
        # Every job reads this file too. Many jobs at a time must not write the same record.
        if is_main_process(workflow):
            remember_code(script, SCRIPTS)
        return code_digest(script, SCRIPTS)


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
    """Every figure and table of the configuration, and the explorer."""
    files = [
        paths.figure(name, suffix) for name in VIEWS for suffix in ("pdf", "png", "csv")
    ]
    files += [
        paths.table(name, suffix)
        for name in config["tables"]
        for suffix in ("csv", "md", "tex")
    ]
    if config["explorer"]["page"] and explorer_runs(config):
        files.append(paths.explorer())
    return files


def number_params(wildcards):
    """Numbers and answer form of a run's task."""
    task = task_of(config, run_of(wildcards)["task"])
    return {"numbers": task.numbers, "answer": task.answer}


def own_inputs(wildcards):
    """A model in a folder of the user's: another one put there is fetched anew.

    The folder is on this machine, wherever results lie and whatever prefix a module gives them.
    """
    return [local(file) for file in own_files(config["models"][wildcards.model])]


def source_keys(wildcards):
    """What decides which weights are fetched: other keys of a model must not fetch it again."""
    entry = config["models"][wildcards.model]
    return {key: entry[key] for key in ("sources", "sha256") if key in entry}


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


# With `--default-storage-provider` results lie in storage, and Snakemake brings a job only its inputs. So
# a rule there has the directory as an input beside the directory's manifest. On a local disk the manifest
# alone is the input: it was written after the directory was complete.
with in_one_sentence():
    IN_STORAGE = results_lie_in_storage(workflow)


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


def pretraining_of(wildcards):
    """Keys of a miniature model's pre-training."""
    source = config["models"][wildcards.model]["sources"][0]
    return config["pretraining"][source["pretrain"]]


def training_inputs(run):
    """What training a run reads: of a miniature from scratch, no more than its shape and tokenizer."""
    weightless = run["start"] == "scratch" and "embedding" not in run
    blank = weightless and run["model"] in PRETRAINED_MODELS
    model = (paths.blank if blank else paths.model)(run["model"])
    donors = [paths.model(run["embedding_from"])] if "embedding_from" in run else []
    return {
        "model": f"{model}.json",
        "dataset": paths.dataset(run["task"]),
        **{"donor": f"{donor}.json" for donor in donors},
        "weights": stored(*dict.fromkeys([model, *donors])),
    }


def training_keys(run):
    """What decides a run's weights: not what a figure calls it, nor its other seeds."""
    return {key: value for key, value in run.items() if key not in ("label", "seeds")}


def of_every_seed(run, file):
    """One file of each seed of a run."""
    return [
        paths.run(instance(run, seed), file) for seed in config["runs"][run]["seeds"]
    ]


# Name of a digit range in paths -> [smallest, largest] operand; None of the range of all examples.
RANGES = digit_ranges(config)


ABLATION_STATISTICS = (
    "unharmed",
    "harmed",
    "grid",
    "runs",
    "seed",
    "digit_ranges",
    "shard",
)


def kept_by_every_seed(run):
    """Outputs of a stacked run that keeps its weights at chosen epochs; none of another run."""
    if not config["runs"][run].get("keep_checkpoints"):
        return {}
    return {
        "kept_manifest": of_every_seed(run, "kept.json"),
        "kept": [directory(path) for path in of_every_seed(run, "kept")],
    }


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
        "untested": config["tables"][wildcards.table]["untested"],
    }


def explorer_files(wildcards):
    """Inputs of the explorer, with the stores beside their manifests where results lie in storage."""
    inputs = explorer_inputs(config)
    stores = [
        file.removesuffix(".json") + ".zarr"
        for what in STORES
        for file in inputs.get(what, [])
    ]
    return {**inputs, "stores": stored(*stores)}


def views_of(family):
    """Names of the figures that the script of one family draws."""
    return [name for name, view in VIEWS.items() if view.family == family]


wildcard_constraints:
    run=alternatives(INSTANCES),
    model=alternatives(config["models"]),
    task=alternatives(config["tasks"]),
    figure=alternatives(VIEWS),
    shard=r"\d+",
