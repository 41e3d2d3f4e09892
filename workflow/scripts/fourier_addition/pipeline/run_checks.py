"""What must hold of a run or a number embedding so that a figure, a table or an ablation can show it.

Every check takes a configuration, the name of the run or the embedding, and `where`, the configuration
key that asks for it. A check raises UserError that names `where`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fourier_addition.ablation.places import fitting_components
from fourier_addition.errors import UserError
from fourier_addition.filters import components_of
from fourier_addition.fourier import fourier_basis
from fourier_addition.pipeline.names import known_numbers, prompted, task_of, tau_of

Check = Callable[[Mapping[str, Any], str, str], None]


def check_trained(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a prompted run where training is shown."""
    if prompted(config["runs"][run]):
        raise UserError(f"Config key `{where}` shows training, but run '{run}' is prompted, not trained.")


def check_kept(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a run that keeps no weights where epochs of training are shown."""
    if not config["runs"][run].get("keep_checkpoints"):
        raise UserError(
            f"Config key `{where}` shows epochs of training, but run '{run}' keeps no weights: give it "
            "`keep_checkpoints`, the epochs to look at."
        )


def check_asked(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a trained run where the written answers of a prompted run are shown."""
    if not prompted(config["runs"][run]):
        raise UserError(
            f"Config key `{where}`: run '{run}' is trained, not prompted; prompted runs have the key `shots`."
        )


def check_modules_captured(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse contributions of modules whose outputs are not captured at named positions."""
    if not config["capture"]["position_modules"]:
        raise UserError(
            f"Config key `{where}` shows contributions of module outputs, which are captured only with "
            "`capture.position_modules: true`."
        )


def check_sums(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a run whose answers are no sums: only sums have carries."""
    task = config["runs"][run]["task"]
    operation = config["tasks"][task]["operation"]
    if operation == "multiplication":
        raise UserError(
            f"Config key `{where}`: task '{task}' of run '{run}' multiplies, and only sums carry."
        )


def has_number_tokens(config: Mapping[str, Any], run: str) -> bool:
    """Whether a run's model has a token for each number of its task, as far as the configuration tells."""
    entry = config["runs"][run]
    known = known_numbers(config, entry["model"])
    return known is None or task_of(config, entry["task"]).numbers <= known


def check_number_tokens(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a run whose model writes numbers of its task as several tokens: it has no logits over them.

    A prompted run may have such a task. Its written answers can still be shown.
    """
    entry = config["runs"][run]
    needed, known = task_of(config, entry["task"]).numbers, known_numbers(config, entry["model"])
    if not has_number_tokens(config, run):
        raise UserError(
            f"Config key `{where}`: run '{run}' needs the numbers 0..{needed - 1} as one token each, but "
            f"number {known} is not one token of model '{entry['model']}'; a prompted run has its written "
            "answers in a table of kind `prompted` and a figure of kind `prompted-errors`, and its answers "
            "token by token in a table of kind `digits` and figures of kinds `digit-lens`, `number-spectrum` "
            "and `number-errors`."
        )


def check_interventions(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a run whose numbers have none of the periods that are turned, or not every residue."""
    settings = config["interventions"]
    numbers = task_of(config, config["runs"][run]["task"]).numbers
    if numbers < settings["modulus"]:
        raise UserError(
            f"Config key `interventions.modulus` is {settings['modulus']}, but run '{run}' (`{where}`) has "
            f"the numbers 0..{numbers - 1} alone."
        )
    basis = fourier_basis(numbers, settings["basis"])
    if not fitting_components(settings["periods"], basis, settings["period_tolerance"]):
        periods = ", ".join(f"{period:g}" for period in settings["periods"])
        raise UserError(
            f"Config key `interventions.periods`: no Fourier component of the numbers 0..{numbers - 1} of "
            f"run '{run}' (`{where}`) has any of the periods {periods}."
        )


def check_units(config: Mapping[str, Any], run: str, where: str) -> None:
    """Refuse a run without logits over its numbers, or whose number space lacks a band of `units.bands`."""
    check_number_tokens(config, run, where)
    numbers, analysis = task_of(config, config["runs"][run]["task"]).numbers, config["analysis"]
    basis, tau = fourier_basis(numbers, analysis["basis"]), tau_of(config, numbers)
    for place, band in enumerate(config["units"]["bands"]):
        try:
            components_of(band, basis, tau, analysis["cut"])
        except UserError as error:
            raise UserError(
                f"Config key `units.bands[{place}]`, for `{where}` of run '{run}': {error}"
            ) from None


def check_seed(config: Mapping[str, Any], run: str, seed: int, where: str) -> None:
    """Refuse a seed that the run does not have."""
    seeds = config["runs"][run]["seeds"]
    if seed not in seeds:
        raise UserError(f"Config key `{where}` is {seed}, but run '{run}' has the seeds {seeds}.")


def check_embedding(config: Mapping[str, Any], name: str, where: str) -> None:
    """Refuse the number embedding of a run whose model writes numbers of its task as several tokens."""
    if name in config["runs"]:
        check_number_tokens(config, name, where)


def check_map(config: Mapping[str, Any], name: str, where: str) -> None:
    """Refuse a map of a number embedding that has too few numbers for one."""
    if name in config["embeddings"]:
        count = config["embeddings"][name]["numbers"]
    else:
        count = task_of(config, config["runs"][name]["task"]).numbers
    least = max(config["analysis"]["clusters"], config["analysis"]["perplexity"])
    if count <= least:
        raise UserError(
            f"Config key `{where}`: '{name}' has {count} numbers, too few for a map with `analysis.clusters` "
            f"and `analysis.perplexity` of up to {least:g}; show its spectrum (kind `embedding`) and its "
            "probes (kind `probes`)."
        )
