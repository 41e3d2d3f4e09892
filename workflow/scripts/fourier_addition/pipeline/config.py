"""Reading and checking a configuration: every fault is one sentence, before any job starts."""

from __future__ import annotations

import copy
import difflib
import math
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match

from fourier_addition.errors import UserError
from fourier_addition.filters import components_of
from fourier_addition.fourier import fourier_basis
from fourier_addition.tasks import Task, split_sizes

SCHEMA = Path(__file__).resolve().parents[4] / "config" / "schema.yaml"
PAPER_TAU, PAPER_PERIOD = 50, 520


@cache
def schema() -> dict[str, Any]:
    """The configuration schema, config/schema.yaml."""
    return yaml.safe_load(SCHEMA.read_text())


def _key(path: list[Any]) -> str:
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else (f".{part}" if text else str(part))
    return text or "the configuration"


def _did_you_mean(word: str, allowed: list[str]) -> str:
    close = difflib.get_close_matches(word, allowed, n=1)
    return f"; did you mean `{close[0]}`?" if close else ""


def _sentence(error: ValidationError) -> str:
    """One sentence for one schema violation: the key and what is allowed."""
    path, rule, value = list(error.absolute_path), error.validator, error.instance
    where = f"Config key `{_key(path)}`"
    if rule == "additionalProperties":
        allowed = list(error.schema.get("properties", {}))
        unknown = next(key for key in value if key not in allowed)
        return f"Config key `{_key([*path, unknown])}` is not known; allowed there: {', '.join(allowed)}" + (
            _did_you_mean(str(unknown), allowed) or "."
        )
    if rule == "required":
        missing = next(key for key in error.validator_value if key not in value)
        return f"Config key `{_key([*path, missing])}` is missing."
    if rule == "enum":
        return f"{where} must be one of {', '.join(map(str, error.validator_value))}, not {value!r}."
    if rule == "type":
        kind = {"object": "a mapping", "array": "a list", "integer": "a whole number"}.get(
            error.validator_value, f"a {error.validator_value}"
        )
        return f"{where} must be {kind}, not {value!r}."
    limits = {
        "minimum": "at least",
        "exclusiveMinimum": "greater than",
        "maximum": "at most",
        "exclusiveMaximum": "less than",
    }
    if rule in limits:
        return f"{where} must be {limits[rule]} {error.validator_value}, not {value!r}."
    if rule in ("minItems", "maxItems"):
        bound = "at least" if rule == "minItems" else "at most"
        return f"{where} must have {bound} {error.validator_value} entries, not {len(value)}."
    described = error.schema.get("description", error.message)
    if path[-1:] == ["key_variable"]:
        # Not shown: it may be the key itself.
        return f"{where} must be the name of an environment variable in capitals, never a key."
    return f"{where} is {value!r}, which does not fit: {described}"


def _fill_defaults(value: Any, rules: Mapping[str, Any]) -> Any:
    """Defaults of the schema, filled in at every depth, and the schema's keys in the schema's order.

    Snakemake compares parameters as text, so neither the order in which a file has them nor a
    default that it states may show.
    """
    if isinstance(value, dict):
        properties = rules.get("properties", {})
        free = {key: item for key, item in value.items() if key not in properties}
        known = {
            key: value[key] if key in value else copy.deepcopy(rule["default"])
            for key, rule in properties.items()
            if key in value or "default" in rule
        }
        value.clear()
        value.update({**known, **free})
        extra = rules.get("additionalProperties")
        for key, item in value.items():
            rule = properties.get(key, extra if isinstance(extra, dict) else {})
            _fill_defaults(item, rule)
    elif isinstance(value, list) and isinstance(rules.get("items"), dict):
        for item in value:
            _fill_defaults(item, rules["items"])
    return value


def validated(raw: Mapping[str, Any]) -> dict[str, Any]:
    """A checked copy of a configuration with every default filled in.

    Raises UserError with one sentence that names the key at fault and what is allowed.
    """
    config = copy.deepcopy(dict(raw))
    error = best_match(Draft202012Validator(schema()).iter_errors(config))
    if error is not None:
        raise UserError(_sentence(error))
    _check_prompted(config)
    _fill_defaults(config, schema())
    _check_models(config)
    _check_tasks(config)
    _check_runs(config)
    _check_apis(config)
    _check_views(config)
    return config


PROMPTED_ONLY = {"shot_seed": 0, "separator": "\n", "answer_tokens": None}
"""Keys of prompted runs beside `shots`, and what they are where left out."""
OF_EVERY_RUN = ("model", "task", "seeds", "label")


def prompted(run: Mapping[str, Any]) -> bool:
    """Whether a run asks the model as it comes, with solved examples before every prompt."""
    return "shots" in run


def _check_prompted(config: dict[str, Any]) -> None:
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


def check_trained(config: Mapping[str, Any], run: str, where: str) -> None:
    """Raise UserError where a key asks for the training of a run that is not trained."""
    if prompted(config["runs"][run]):
        raise UserError(f"Config key `{where}` shows training, but run '{run}' is prompted, not trained.")


def check_number_tokens(config: Mapping[str, Any], run: str, where: str) -> None:
    """Raise UserError where a key needs logits over numbers that the run's model writes as several tokens.

    Only prompted runs come so far with such a task; what is asked of them without logits over the
    numbers is how they answer.
    """
    entry = config["runs"][run]
    needed, known = task_of(config, entry["task"]).numbers, known_numbers(config, entry["model"])
    if known is not None and needed > known:
        raise UserError(
            f"Config key `{where}`: run '{run}' needs the numbers 0..{needed - 1} as one token each, but "
            f"number {known} is not one token of model '{entry['model']}'; its answers, written token by "
            "token, are in a table of kind `prompted` and a figure of kind `prompted-errors`."
        )


def _known(name: str, where: str, allowed: Mapping[str, Any], what: str) -> None:
    if name not in allowed:
        names = ", ".join(allowed) or "none"
        raise UserError(
            f"Config key `{where}` names the {what} '{name}', which is not in the configuration; "
            f"there are: {names}" + (_did_you_mean(name, list(allowed)) or ".")
        )


def _check_models(config: Mapping[str, Any]) -> None:
    for name, model in config["models"].items():
        for index, source in enumerate(model["sources"]):
            where = f"models.{name}.sources[{index}]"
            kinds = [kind for kind in ("wheel", "hub", "path", "pretrain") if kind in source]
            if len(kinds) != 1:
                raise UserError(f"Config key `{where}` must have one of the keys wheel, hub, path, pretrain.")
            if kinds == ["hub"] and not _is_revision(source.get("revision", "")):
                raise UserError(
                    f"Config key `{where}.revision` must be the 40 hexadecimal digits of a commit of "
                    f"{source['hub']}, so that everyone gets the same weights."
                )
            if kinds == ["pretrain"]:
                _known(source["pretrain"], f"{where}.pretrain", config["pretraining"], "pre-training")
                if len(model["sources"]) > 1:
                    raise UserError(f"Config key `models.{name}.sources`: `pretrain` stands alone.")
                if "architecture" not in model:
                    raise UserError(
                        f"Config key `models.{name}.architecture` is missing: it is trained here."
                    )
                shape = model["architecture"]
                if shape["width"] % shape["heads"]:
                    raise UserError(
                        f"Config key `models.{name}.architecture.heads`: {shape['heads']} heads "
                        f"do not divide the width {shape['width']}."
                    )


def _is_revision(text: str) -> bool:
    return len(text) == 40 and set(text) <= set("0123456789abcdef")


def known_numbers(config: Mapping[str, Any], model: str) -> int | None:
    """p of a model where the configuration tells it: declared, or that of its pre-training."""
    entry = config["models"][model]
    for source in entry["sources"]:
        if "pretrain" in source:
            return config["pretraining"][source["pretrain"]]["numbers"]
    return entry.get("numbers")


def task_of(config: Mapping[str, Any], name: str) -> Task:
    """The task of a checked configuration."""
    return Task.from_config(name, config["tasks"][name])


def _check_tasks(config: Mapping[str, Any]) -> None:
    for name, entry in config["tasks"].items():
        task = task_of(config, name)
        for index, template in enumerate(task.templates):
            if "{a}" not in template or "{b}" not in template:
                raise UserError(f"Config key `tasks.{name}.templates[{index}]` must hold {{a}} and {{b}}.")
        if sum(task.fractions) >= 1:
            raise UserError(f"Config key `tasks.{name}.fractions` must sum to less than 1: test is the rest.")
        span = task.operands[1] - task.operands[0] + 1
        if min(split_sizes(span * (span + 1) // 2, task.fractions)) < 1:
            raise UserError(f"Config key `tasks.{name}.operands` has too few pairs for three splits.")
        low, high = task.operands
        a, b = entry["running_example"]
        if not (low <= a <= high and low <= b <= high):
            raise UserError(
                f"Config key `tasks.{name}.running_example` is {[a, b]}, outside the operands {[low, high]}."
            )


def _check_runs(config: Mapping[str, Any]) -> None:
    for name, run in config["runs"].items():
        where = f"runs.{name}"
        if "/" in name or ".seed" in name:
            raise UserError(f"Config key `{where}`: a run's name has no '/' and no '.seed' in it.")
        _known(run["model"], f"{where}.model", config["models"], "model")
        _known(run["task"], f"{where}.task", config["tasks"], "task")
        if "embedding" in run and run["start"] != "scratch":
            raise UserError(
                f"Config key `{where}.embedding` needs `start: scratch`: it replaces random rows."
            )
        if "embedding_from" in run:
            _known(run["embedding_from"], f"{where}.embedding_from", config["models"], "model")
            if "embedding" not in run:
                raise UserError(f"Config key `{where}.embedding_from` needs `embedding`, what is made of it.")
        if run["stack_seeds"] and (run["processes"] > 1 or run["accumulate"] > 1 or len(run["seeds"]) < 2):
            raise UserError(
                f"Config key `{where}.stack_seeds` needs two seeds or more, and neither `processes` nor "
                "`accumulate`."
            )
        if run["loss_on"] == "line" and run["loss_over"] != "vocabulary":
            raise UserError(f"Config key `{where}.loss_over` must be vocabulary for `loss_on: line`.")
        needed, known = task_of(config, run["task"]).numbers, known_numbers(config, run["model"])
        # A prompted run writes its answer token by token and needs no number to be one token.
        if known is not None and needed > known and not prompted(run):
            raise UserError(
                f"Config key `{where}.task`: task '{run['task']}' needs the numbers 0..{needed - 1}, but "
                f"number {known} is not one token of model '{run['model']}', which has 0..{known - 1}; "
                "use a task with smaller operands, or `shots` to ask the model without training."
            )


def _check_apis(config: Mapping[str, Any]) -> None:
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
        if "/" in name:
            raise UserError(f"Config key `{where}`: the name of an API run has no '/' in it.")
        _known(run["api"], f"{where}.api", config["apis"], "API")
        _known(run["task"], f"{where}.task", config["tasks"], "task")
        if run["system"] and config["apis"][run["api"]]["endpoint"] != "chat":
            raise UserError(f"Config key `{where}.system` needs an API whose endpoint is chat.")


def _check_views(config: Mapping[str, Any]) -> None:
    for name, entry in config["embeddings"].items():
        _known(name, f"embeddings.{name}", config["models"], "model")
        known = known_numbers(config, name)
        if known is not None and entry["numbers"] > known:
            raise UserError(
                f"Config key `embeddings.{name}.numbers` is {entry['numbers']}, but number {known} is "
                f"not one token of model '{name}', which has 0..{known - 1}."
            )
    _check_ablations(config)
    for name, table in config["tables"].items():
        where = f"tables.{name}"
        if name == "table-1":
            table["kind"] = "ablation"
        if "kind" not in table:
            raise UserError(f"Config key `{where}.kind` is missing: only `table-1` has one of its own.")
        if table["kind"] == "claims":
            _check_roles(config, table, where)
            continue
        key = "runs" if table["kind"] in ("accuracy", "arms", "prompted", "api") else "run"
        if key not in table:
            raise UserError(
                f"Config key `{where}.{key}` is missing: a table of kind {table['kind']} needs it."
            )
        if table["kind"] == "api":
            for run in table["runs"]:
                _known(run, f"{where}.runs", config["api_runs"], "API run")
            continue
        for run in table["runs"] if key == "runs" else [table["run"]]:
            _known(run, f"{where}.{key}", config["runs"], "run")
            if key == "run":
                _check_seed(config, run, table["seed"], f"{where}.seed")
                check_number_tokens(config, run, f"{where}.run")
            if table["kind"] == "arms":
                check_trained(config, run, f"{where}.runs")
            if table["kind"] == "prompted" and not prompted(config["runs"][run]):
                raise UserError(
                    f"Config key `{where}.runs`: run '{run}' is trained; a table of kind prompted is of "
                    "prompted runs, which have `shots`."
                )
    for name, figure in config["figures"].items():
        where = f"figures.{name}"
        runs = [("run", figure["run"])] if "run" in figure else []
        runs += [(f"runs[{index}]", run) for index, run in enumerate(figure.get("runs", []))]
        for key, run in runs:
            _known(run, f"{where}.{key}", config["runs"], "run")
            _check_seed(config, run, figure["seed"], f"{where}.seed")
        for index, embedding in enumerate(figure.get("embeddings", [])):
            allowed = {**config["embeddings"], **config["runs"]}
            _known(embedding, f"{where}.embeddings[{index}]", allowed, "embedding")
    for run in {run["task"]: run for run in config["runs"].values() if not prompted(run)}.values():
        tau_of(config, task_of(config, run["task"]).numbers)


def _check_roles(config: Mapping[str, Any], table: Mapping[str, Any], where: str) -> None:
    """The runs that stand for the paper's in a table of claims."""
    if "roles" not in table:
        raise UserError(f"Config key `{where}.roles` is missing: a table of kind claims needs it.")
    for role, names in table["roles"].items():
        key = f"{where}.roles.{role}"
        for name in [names] if isinstance(names, str) else names:
            if role == "closed":
                _known(name, key, config["api_runs"], "API run")
                continue
            if role == "embeddings" and name not in config["runs"]:
                _known(name, key, {**config["embeddings"], **config["runs"]}, "embedding")
                continue
            _known(name, key, config["runs"], "run")
            check_number_tokens(config, name, key)
            if role == "prompted" and not prompted(config["runs"][name]):
                raise UserError(f"Config key `{key}`: run '{name}' is trained, not prompted.")
            if role not in ("prompted", "embeddings"):
                check_trained(config, name, key)


def _check_ablations(config: Mapping[str, Any]) -> None:
    ablations, analysis = config["ablations"], config["analysis"]
    for index, run in enumerate(ablations["runs"]):
        where = f"ablations.runs[{index}]"
        _known(run, where, config["runs"], "run")
        _check_seed(config, run, ablations["seed"], "ablations.seed")
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


def _check_seed(config: Mapping[str, Any], run: str, seed: int, where: str) -> None:
    seeds = config["runs"][run]["seeds"]
    if seed not in seeds:
        raise UserError(f"Config key `{where}` is {seed}, but run '{run}' has the seeds {seeds}.")


def tau_of(config: Mapping[str, Any], numbers: int) -> int:
    """The cut for a number space of p = `numbers`.

    `paper` scales 50 components of base period 520 to the base period p - 1, rounded up: the
    cut stays just below the component of period 10. Raises UserError when a given tau does not
    divide the components.
    """
    tau = config["analysis"]["tau"]
    components = (numbers - 1) // 2
    if tau == "paper":
        return max(2, math.ceil(PAPER_TAU / PAPER_PERIOD * (numbers - 1)))
    limit = components if config["analysis"]["cut"] == "component" else 2 * components
    if tau > limit:
        raise UserError(
            f"Config key `analysis.tau` is {tau}, beyond the {limit} {config['analysis']['cut']}s "
            f"of the number space 0..{numbers - 1}."
        )
    return tau


def instance(run: str, seed: int) -> str:
    """Name of one run with one seed, as in paths: `mini.finetuned.seed0`."""
    return f"{run}.seed{seed}"


def instances(config: Mapping[str, Any]) -> dict[str, tuple[str, int]]:
    """Every run with every seed: instance name -> (run, seed)."""
    return {
        instance(name, seed): (name, seed) for name, run in config["runs"].items() for seed in run["seeds"]
    }


def label_of(config: Mapping[str, Any], name: str) -> str:
    """What figures and tables call a run, a model under `embeddings` or a run of an API."""
    sections = (config["runs"], config["embeddings"], config["api_runs"])
    entry = next((section[name] for section in sections if name in section), {})
    return entry.get("label", name)
