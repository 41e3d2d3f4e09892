"""A directory's config.json: what it asks for must exist, and what no logit depends on is left out."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, GenerationConfig
from transformers.activations import ACT2FN
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from fourier_addition.errors import UserError
from fourier_addition.files.model_texts import mapping
from fourier_addition.models.families import family_of
from fourier_addition.models.quiet import quiet

LOCAL: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
ATTENTION = ("eager", "sdpa")
"""Ways of computing attention that PyTorch has on every machine."""
ACTIVATIONS = ("hidden_act", "hidden_activation", "activation_function")
_STRICT = re.compile(r"Field '(\w+)' expected (\w+), got \w+ \(value: (.+?)\)")


def read_configuration(directory: str | Path) -> tuple[Any, Any]:
    """A directory's configuration and the Hugging Face class that makes its model.

    Raises UserError that names config.json and the key: where there is none, for a family that is not
    supported, and for a type, an activation or a rope type that does not exist.
    """
    file = Path(directory) / "config.json"
    if not file.is_file():
        raise UserError(f"{directory} holds no config.json.")

    # What Hugging Face would refuse late, or in words that name neither the file nor the key
    stated = mapping(file, str(file))
    try:
        family_of(SimpleNamespace(model_type=stated.get("model_type")))
    except UserError as error:
        raise UserError(f"{file}: {error}") from error
    for fault in _faults(stated):
        raise UserError(f"{file}: {fault}.")
    with in_own_words(f"{file} cannot be used"), quiet():
        config = AutoConfig.from_pretrained(directory, **LOCAL)

    # What a file asks to be returned beside the logits would be kept for every layer, and cannot be saved.
    config.output_attentions = config.output_hidden_states = False
    # Kernels that this machine may lack; without a choice, transformers takes PyTorch's own attention.
    if getattr(config, "_attn_implementation", None) not in ATTENTION:
        config._attn_implementation = None
    return config, AutoModelForMaskedLM if family_of(config).masked else AutoModelForCausalLM


def generation_of(directory: str | Path, config: Any) -> Any:
    """Settings of generation for a model that is only ever asked for its likeliest token.

    Of generation_config.json, only the tokens that end a text are taken: the file's other settings would
    change answers, and some of them cannot be loaded or saved.
    """
    settings = GenerationConfig.from_model_config(config)
    file = Path(directory) / "generation_config.json"
    if file.is_file():
        end = mapping(file, str(file)).get("eos_token_id")
        settings.eos_token_id = settings.eos_token_id if end is None else end
    return settings


def _faults(stated: Mapping[str, Any]) -> Iterator[str]:
    """What a configuration asks for that does not exist, as clauses."""
    for key in ACTIVATIONS:
        name = stated.get(key)
        if isinstance(name, str) and name not in ACT2FN:
            yield f"{key} {name!r} is not known; allowed are {', '.join(sorted(ACT2FN))}"
    for key in ("rope_parameters", "rope_scaling"):
        yield from _rope_faults(key, stated.get(key))
    for key in ("dtype", "torch_dtype"):
        name = stated.get(key)
        if isinstance(name, str) and not isinstance(getattr(torch, name, None), torch.dtype):
            yield f"{key} {name!r} is no type of torch, such as float32 or bfloat16"
    tokens, padding = stated.get("vocab_size"), stated.get("pad_token_id")
    if isinstance(tokens, int) and isinstance(padding, int) and padding >= tokens:
        yield f"pad_token_id {padding} is beyond the {tokens} tokens of vocab_size"


def _rope_faults(key: str, rope: Any) -> Iterator[str]:
    if not isinstance(rope, dict):
        return
    # One mapping, or one for each kind of layer
    inner = [each for each in rope.values() if isinstance(each, dict)]
    for each in inner or [rope]:
        name = each.get("rope_type", each.get("type"))
        if name is not None and name != "default" and name not in ROPE_INIT_FUNCTIONS:
            allowed = ", ".join(sorted({"default", *ROPE_INIT_FUNCTIONS}))
            yield f"rope type {name!r} in {key} is not known; allowed are {allowed}"


@contextmanager
def in_own_words(what: str) -> Iterator[None]:
    """Let what Hugging Face refuses end in one sentence: `what`, and the first sentence of its reason.

    A lack of memory stays what it is.
    """
    try:
        yield
    except (UserError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # Hugging Face fails in many ways; none of them is the user's to read
        raise UserError(f"{what}: {_reason(error)}.") from error


def _reason(error: Exception) -> str:
    text = " ".join(str(error).split())
    if strict := _STRICT.search(text):
        key, wanted, value = strict.groups()
        return f"`{key}` must be of type {wanted}, not {value}"
    text = re.sub(r"^.*\w+Error: ", "", text)
    first = re.split(r"(?<=[a-z\"'`)])\. ", text)[0].rstrip(".")
    return f"transformers says: {first or type(error).__name__}"
