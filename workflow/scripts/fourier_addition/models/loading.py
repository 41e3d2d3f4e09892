"""From a Hugging Face directory to a view."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForMaskedLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
)
from transformers.models.auto.tokenization_auto import get_tokenizer_config

from fourier_addition.errors import UserError
from fourier_addition.files.weights import require_plain_weights
from fourier_addition.models.checking import check_loaded
from fourier_addition.models.families import family_of
from fourier_addition.models.quiet import quiet
from fourier_addition.models.view import ModelView

DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}
DEVICE_MAPS = ("auto", "balanced", "sequential")
GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}


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
    config, auto = _config(directory)
    require_plain_weights(directory)
    if dtype not in DTYPES:
        raise UserError(f"dtype {dtype!r} is not known; allowed are {', '.join(DTYPES)}.")
    placed = {} if device_map is None else {"device_map": _device_map(device_map, device)}
    tokenizer = _tokenizer(directory)

    # Read the weights; the seed draws those that the file lacks.
    with _seeded(seed), quiet():
        try:
            model, info = auto.from_pretrained(
                directory,
                config=config,
                dtype=DTYPES[dtype],
                use_safetensors=True,
                output_loading_info=True,
                # Read all the same, so that the difference can be named.
                ignore_mismatched_sizes=True,
                **placed,
                **LOCAL,
            )
        except (MemoryError, torch.OutOfMemoryError):
            raise
        except Exception as error:  # Hugging Face fails in many ways; none of them is the user's to read
            raise UserError(f"The model in {directory} cannot be loaded: {_one_line(error)}.") from error

    # The file's tensors are the model's, all of them; only the head of a masked model may be missing.
    check_loaded(directory, model, info)
    missing = sorted(info["missing_keys"])
    body = [name for name in missing if name.startswith(f"{model.base_model_prefix}.")]
    if body or (missing and not family_of(config).masked):
        raise UserError(f"The weights in {directory} lack {(body or missing)[0]}.")

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
    config, auto = _config(directory)
    tokenizer = _tokenizer(directory)
    with _seeded(seed), quiet():
        model = auto.from_config(config, dtype=torch.float32)
    return ModelView(model.eval().to(device), tokenizer)


def wrap(model: nn.Module, tokenizer: Any) -> ModelView:
    """View of a model and tokenizer in memory. Raises UserError for an unknown family."""
    return ModelView(model, tokenizer)


def _config(directory: str | Path) -> tuple[Any, Any]:
    """A directory's configuration and the class that makes its model."""
    if not (Path(directory) / "config.json").is_file():
        raise UserError(f"{directory} holds no config.json.")
    try:
        with quiet():
            config = AutoConfig.from_pretrained(directory, **LOCAL)
    except Exception as error:  # strict types, activations and rope types fail in classes of their own
        raise UserError(f"{directory}/config.json cannot be used: {_one_line(error)}.") from error
    # What a file asks to be returned beside the logits would be kept for every layer, and cannot be saved.
    config.output_attentions = config.output_hidden_states = False
    # Kernels that this machine may lack; without a choice, transformers takes PyTorch's own attention.
    if str(getattr(config, "_attn_implementation", None) or "").startswith("flash"):
        config._attn_implementation = None
    return config, AutoModelForMaskedLM if family_of(config).masked else AutoModelForCausalLM


SPECIAL_TOKENS = ("unk", "bos", "eos", "pad", "cls", "sep", "mask")


def _tokenizer(directory: str | Path) -> Any:
    """The tokenizer of a directory: what its tokenizer.json says, wherever there is one.

    Hugging Face rebuilds some tokenizers from the name of their class, with the class's own splitting rules
    in place of the file's; numbers are then written as other tokens. The class gives the special tokens only.
    """
    file = Path(directory) / "tokenizer.json"
    own = None
    if file.is_file():
        try:
            own = Tokenizer.from_file(str(file))
        except Exception as error:  # the library raises plain Exception
            raise UserError(f"The tokenizer {file} cannot be loaded: {_one_line(error)}.") from error
    try:
        with quiet():
            settings: dict[str, Any] = get_tokenizer_config(directory, **LOCAL)
            if own is not None and settings.get("tokenizer_class") in GENERIC_TOKENIZERS:
                return PreTrainedTokenizerFast.from_pretrained(directory, **LOCAL)
            found = AutoTokenizer.from_pretrained(directory, **LOCAL)
    except Exception as error:  # a file that is cut off, foreign, or needs a package that is not there
        raise UserError(f"The tokenizer in {directory} cannot be loaded: {_one_line(error)}.") from error
    if own is None:
        return found
    named = {f"{name}_token": getattr(found, f"{name}_token", None) for name in SPECIAL_TOKENS}
    named = {name: token for name, token in named.items() if token is not None}
    build: Any = PreTrainedTokenizerFast
    return build(tokenizer_object=own, **named)


def _one_line(error: Exception) -> str:
    """An error of a library as the end of a sentence; a missing key is no more than its name."""
    text = " ".join(str(error).split()).rstrip(".")
    return f"{text} is not known" if isinstance(error, KeyError) else text or type(error).__name__


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    # weights are drawn on the CPU, so only its generator is set and put back
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        yield
