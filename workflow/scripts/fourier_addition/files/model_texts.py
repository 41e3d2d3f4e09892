"""The small files beside a model's weights: are they what Hugging Face writes, and is none missing?

Only refuses, and is free of torch and of Hugging Face's libraries, so that a download can look too.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from fourier_addition.errors import UserError

SPECIAL_TOKENS = ("unk", "bos", "eos", "pad", "cls", "sep", "mask")
TOKENIZER_MODELS = ("BPE", "Unigram", "WordLevel", "WordPiece")
"""Kinds of model that a tokenizer.json may hold."""
SENTENCEPIECE = ("tokenizer.model", "spiece.model", "sentencepiece.bpe.model")
ANOTHER_COPY = "get the file again from where the model came from"
SAVE_IT = (
    "make a tokenizer.json with transformers, where it can read this tokenizer: "
    "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)"
)
NOT_GREEDY: Mapping[str, Any] = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "no_repeat_ngram_size": 0,
    "encoder_no_repeat_ngram_size": 0,
    "num_beams": 1,
    "min_length": 0,
    "min_new_tokens": 0,
    "guidance_scale": 1.0,
    "do_sample": False,
    **dict.fromkeys(
        (
            "penalty_alpha",
            "suppress_tokens",
            "begin_suppress_tokens",
            "bad_words_ids",
            "sequence_bias",
            "forced_bos_token_id",
            "forced_eos_token_id",
            "exponential_decay_length_penalty",
        )
    ),
}
"""Settings under which Hugging Face does not write the likeliest token, and their values at rest."""


def require_usable_texts(directory: str | Path, where: str = "") -> None:
    """Refuse a model's directory whose small files are cut off, of another form, or not all there.

    where: the model, for messages; the path of the file where it is left out.
    Raises UserError that names the file, what is wrong with it and what to do.
    """
    folder = Path(directory)

    def shown(name: str) -> str:
        return f"{where}: {name}" if where else str(folder / name)

    for name, check in CHECKS.items():
        if (folder / name).exists():
            for fault in check(mapping(folder / name, shown(name))):
                raise UserError(f"{shown(name)} {fault}: {ANOTHER_COPY}.")
    if not (folder / "tokenizer.json").exists():
        _require_vocabulary(folder, shown)


def mapping(file: Path, shown: str) -> dict[str, Any]:
    """The mapping that a JSON file holds. Raises UserError where it holds none.

    shown: the file, in messages.
    """
    try:
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        reason = "is empty" if _is_empty(file) else f"cannot be read as JSON ({_reason(error)})"
        raise UserError(f"{shown} {reason}: {ANOTHER_COPY}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{shown} holds {_kind(content)} where a mapping belongs: {ANOTHER_COPY}.")
    return content


def not_greedy(generation: Mapping[str, Any]) -> list[str]:
    """Settings of a generation_config.json that make Hugging Face write other than the likeliest tokens."""
    return sorted(
        key
        for key, at_rest in NOT_GREEDY.items()
        if generation.get(key) is not None and generation[key] != at_rest
    )


def _tokenizer(content: Mapping[str, Any]) -> Iterator[str]:
    model = content.get("model")
    if not isinstance(model, dict):
        yield f"holds {_kind(model)} under `model`, where a mapping belongs"
    elif model.get("type", "BPE") not in TOKENIZER_MODELS:
        yield f"is of the kind {model['type']!r}, which is none of {', '.join(TOKENIZER_MODELS)}"
    elif not isinstance(model.get("vocab"), dict | list) or not model["vocab"]:
        yield "has no vocabulary under `model.vocab`"


def _settings(content: Mapping[str, Any]) -> Iterator[str]:
    name = content.get("tokenizer_class")
    if not isinstance(name, str | None):
        yield f"gives {name!r} as `tokenizer_class`, where a name belongs"
    length = content.get("model_max_length")
    if isinstance(length, bool) or not isinstance(length, int | float | None):
        yield f"gives {length!r} as `model_max_length`, where a number belongs"
    added = content.get("added_tokens_decoder", {})
    if not isinstance(added, dict) or not all(
        key.isdecimal() and isinstance(token, dict) and isinstance(token.get("content"), str)
        for key, token in added.items()
    ):
        yield "has an `added_tokens_decoder` that is not a mapping of ids to tokens"
    templates = content.get("chat_template")
    if isinstance(templates, list):
        if not all(isinstance(each, dict) and {"name", "template"} <= each.keys() for each in templates):
            yield "has a list of `chat_template` whose entries have no name and template"
    elif not isinstance(templates, str | dict | None):
        yield f"gives {_kind(templates)} as `chat_template`, where text belongs"
    yield from _special(content)


def _special(content: Mapping[str, Any]) -> Iterator[str]:
    for key in (f"{name}_token" for name in SPECIAL_TOKENS):
        token = content.get(key)
        text = token.get("content") if isinstance(token, dict) else token
        if not isinstance(text, str | None) or (isinstance(token, dict) and text is None):
            yield f"gives {token!r} as `{key}`, where the token's text belongs"


def _ids(content: Mapping[str, Any]) -> Iterator[str]:
    for token, index in content.items():
        if isinstance(index, bool) or not isinstance(index, int) or index < 0:
            yield f"gives the token {token!r} the id {index!r}, where a whole number belongs"


def _generation(content: Mapping[str, Any]) -> Iterator[str]:
    end = content.get("eos_token_id")
    ids = end if isinstance(end, list) else [] if end is None else [end]
    if not all(isinstance(each, int) and not isinstance(each, bool) for each in ids):
        yield f"gives {end!r} as `eos_token_id`, where a whole number or a list of them belongs"


CHECKS: dict[str, Callable[[Mapping[str, Any]], Iterator[str]]] = {
    "tokenizer.json": _tokenizer,
    "tokenizer_config.json": _settings,
    "special_tokens_map.json": _special,
    "added_tokens.json": _ids,
    "vocab.json": _ids,
    "generation_config.json": _generation,
}
"""File -> faults of its content, each the end of a sentence that begins with the file's name."""


def _require_vocabulary(folder: Path, shown: Callable[[str], str]) -> None:
    """Refuse a directory without tokenizer.json whose older files do not make a tokenizer."""

    def has(name: str) -> bool:
        return (folder / name).exists()

    if has("vocab.json") != has("merges.txt") and not has("vocab.txt"):
        there, lacking = ("vocab.json", "merges.txt") if has("vocab.json") else ("merges.txt", "vocab.json")
        raise UserError(
            f"{shown(there)} has no {lacking} beside it, and there is no tokenizer.json: get {lacking} from "
            "where the model came from."
        )
    for name in ("vocab.txt", "merges.txt"):
        if has(name):
            try:
                text = (folder / name).read_text(encoding="utf-8")
            except ValueError as error:
                raise UserError(f"{shown(name)} is no text in UTF-8: {ANOTHER_COPY}.") from error
            if not text.strip():
                raise UserError(f"{shown(name)} is empty: {ANOTHER_COPY}.")


def _is_empty(file: Path) -> bool:
    return file.is_file() and not file.stat().st_size


def _reason(error: Exception) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"line {error.lineno}, column {error.colno}"
    return "it is no text in UTF-8" if isinstance(error, UnicodeDecodeError) else type(error).__name__


def _kind(value: Any) -> str:
    names = {list: "a list", dict: "a mapping", str: "text", bool: "true or false", type(None): "nothing"}
    return names.get(type(value), "a number")
