"""From a Hugging Face directory to a view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import nn

from fourier_addition.errors import UserError
from fourier_addition.files.weights import require_plain_weights
from fourier_addition.models.checking import check_loaded
from fourier_addition.models.configuration import LOCAL, generation_of, in_own_words, read_configuration
from fourier_addition.models.families import family_of
from fourier_addition.models.quiet import quiet
from fourier_addition.models.tokenizer import load_tokenizer
from fourier_addition.models.view import ModelView

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
DEVICE_MAPS = ("auto", "balanced", "sequential")


def load_model(
    directory: str | Path,
    *,
    device: str | torch.device = "cpu",
    dtype: str = "float32",
    device_map: str | None = None,
    seed: int = 0,
) -> ModelView:
    """Load configuration, safetensors weights and tokenizer from a directory; evaluation mode.

    dtype: "float32", "float16" or "bfloat16", the type of the weights in memory.
    device_map: spreads the model over the visible GPUs as accelerate does ("auto", "balanced",
        "sequential"); `device` is then where the embedding lies. None: all of it on `device`.
    seed: draws the head of a masked model whose file holds none (an encoder saved alone);
        the view names such parameters in `fresh_parameters`.
    Nothing is fetched and no code of the directory is run. Raises UserError when the
    directory, its files, the family or the dtype will not do, when weights of the model's body
    are missing, and when a spread model does not fit on the GPUs.
    """
    # Refuse what will not do before gigabytes are read.
    config, auto = read_configuration(directory)
    require_plain_weights(directory)
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not known; allowed are {', '.join(DTYPES)}.")
    placed = {} if device_map is None else {"device_map": _device_map(device_map, device)}
    tokenizer = load_tokenizer(directory)

    # Read the weights; the seed draws those that the file lacks.
    with in_own_words(f"The model in {directory} cannot be loaded"), _seeded(seed), quiet():
        model, info = auto.from_pretrained(
            directory,
            config=config,
            generation_config=generation_of(directory, config),
            dtype=DTYPES[dtype],
            use_safetensors=True,
            output_loading_info=True,
            # Read all the same, so that the difference can be named.
            ignore_mismatched_sizes=True,
            **placed,
            **LOCAL,
        )

    # The file's tensors are the model's, all of them; only the head of a masked model may be missing.
    check_loaded(directory, model, info)
    missing = sorted(info["missing_keys"])
    body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
    if body or (missing and not family_of(config).masked):
        raise UserError(
            f"The weights in {directory} lack {(body or missing)[0]}: a file is missing, or "
            "configuration, index and weights are of different models."
        )

    if placed:
        _check_placed(model, directory, device)
    else:
        model = model.to(device)
    return ModelView(model.eval(), tokenizer, fresh_parameters=missing)


def _device_map(name: str, device: str | torch.device) -> str:
    """What transformers is asked for; refuses an unknown map and an installation without accelerate."""
    if name not in DEVICE_MAPS:
        raise UserError(f"device_map {name!r} is not known; allowed are {', '.join(DEVICE_MAPS)}.")
    if find_spec("accelerate") is None:
        raise UserError(
            "`device_map` spreads a model over GPUs with the package accelerate, which is not installed."
        )
    # without a GPU there is nothing to spread over
    return name if torch.device(device).type == "cuda" else "cpu"


def _check_placed(model: Any, directory: str | Path, device: str | torch.device) -> None:
    """Refuse a spread model of which a part lies outside the GPUs."""
    places = {str(place) for place in getattr(model, "hf_device_map", {}).values()}
    if torch.device(device).type == "cuda" and places & {"cpu", "disk", "meta"}:
        raise UserError(
            f"The model in {directory} does not fit on the GPUs of this job: use more of them, or a "
            "`precision` of bfloat16 or float16."
        )


def scratch_model(directory: str | Path, *, seed: int, device: str | torch.device = "cpu") -> ModelView:
    """Configuration and tokenizer of a directory, random float32 weights from the seed.

    The initialisation is that of the Hugging Face class; weights in the directory are
    neither needed nor read. The global random state is left as it was.
    """
    config, auto = read_configuration(directory)
    tokenizer = load_tokenizer(directory)
    with in_own_words(f"No model can be made of {directory}/config.json"), _seeded(seed), quiet():
        model = auto.from_config(config, dtype=torch.float32)
    return ModelView(model.eval().to(device), tokenizer)


def wrap(model: nn.Module, tokenizer: Any) -> ModelView:
    """View of a model and tokenizer in memory. Raises UserError for an unknown family."""
    return ModelView(model, tokenizer)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # weights are drawn on the CPU, so only its generator is set and put back
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
