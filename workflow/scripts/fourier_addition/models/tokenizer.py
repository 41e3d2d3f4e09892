"""The tokenizer of a model's directory."""

from __future__ import annotations

import logging
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from tokenizers import Tokenizer
from transformers import AutoTokenizer, PreTrainedTokenizerFast
from transformers.models.auto.tokenization_auto import get_tokenizer_config, tokenizer_class_from_name

from fourier_addition.errors import UserError
from fourier_addition.files.model_texts import (
    SAVE_IT,
    SENTENCEPIECE,
    SPECIAL_TOKENS,
    require_usable_texts,
)
from fourier_addition.models.configuration import LOCAL, in_own_words
from fourier_addition.models.quiet import quiet
from fourier_addition.numbers import ANSWER_FORMS, LEAD, encode_after

VOCABULARIES = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt", *SENTENCEPIECE)
GENERIC_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
COMPARED = (0, 7, 12, 57, 100, 360, 1234)
"""Numbers of one to four digits, on which another splitting rule shows."""

logger = logging.getLogger(__name__)


def load_tokenizer(directory: str | Path) -> Any:
    """The tokenizer of a directory: what its tokenizer.json says, wherever there is one.

    Hugging Face rebuilds some tokenizers from the name of their class, with the class's own splitting rules
    in place of the file's; numbers are then written as other tokens. The class gives the special tokens only,
    and a warning says where it would write a number otherwise.
    Without a tokenizer.json, the class that the directory names reads the older files.
    Raises UserError that names the file at fault and what to do.
    """
    require_usable_texts(directory)
    file = Path(directory) / "tokenizer.json"
    own = None
    if file.is_file():
        with in_own_words(f"The tokenizer {file} cannot be loaded"):
            own = Tokenizer.from_file(str(file))

    made_of = ", ".join(name for name in VOCABULARIES if (Path(directory) / name).is_file())
    with in_own_words(f"The tokenizer in {directory} ({made_of}) cannot be loaded"), quiet():
        settings: dict[str, Any] = get_tokenizer_config(directory, **LOCAL)
        # A class that only code of the directory defines is not needed beside a tokenizer.json.
        foreign = "auto_map" in settings or _is_unknown(settings)
        if own is None:
            _require_readable(Path(directory), settings, foreign)
        if own is not None and (settings.get("tokenizer_class") in GENERIC_TOKENIZERS or foreign):
            found = PreTrainedTokenizerFast.from_pretrained(directory, **LOCAL)
            own = None
        elif own is None and (named := _named_class(settings)) is not None:
            # AutoTokenizer takes the class of the model's type for some types, and other numbers with it.
            found = named.from_pretrained(directory, **LOCAL)
        else:
            found = AutoTokenizer.from_pretrained(directory, **LOCAL)

    # The file itself, under the names that the class gives its special tokens
    if own is not None:
        # A class that fails at a text is not asked for one later.
        with suppress(Exception):
            _say_what_the_class_writes(file, found, own)
        named = {f"{name}_token": getattr(found, f"{name}_token", None) for name in SPECIAL_TOKENS}
        named = {name: token for name, token in named.items() if token is not None}
        build: Any = PreTrainedTokenizerFast
        found = build(tokenizer_object=own, **named)

    # Some tokenizers load, and fail at the first text.
    with in_own_words(f"The tokenizer in {directory} cannot tokenize"):
        found([f"{LEAD} 0"])
    return found


def _say_what_the_class_writes(file: Path, found: Any, own: Tokenizer) -> None:
    """Warn of the first number for which the class of transformers has other tokens than the file."""
    # A file may ask for padding or a length, which transformers sets for each call.
    own = Tokenizer.from_str(own.to_str())
    own.no_padding()
    own.no_truncation()
    for form in ANSWER_FORMS.values():
        for number in COMPARED:
            text = form.format(number=number)
            ids = encode_after(lambda line: own.encode(line, add_special_tokens=False).ids, text)
            other = encode_after(lambda line: found.encode(line, add_special_tokens=False), text)
            if ids != other:
                logger.warning(
                    "%s: transformers' %s would write %r as %s; the file says %s, and is followed.",
                    file,
                    type(found).__name__,
                    text,
                    found.convert_ids_to_tokens(other),
                    [own.id_to_token(id_) for id_ in ids],
                )
                return


def _named_class(settings: dict[str, Any]) -> Any:
    """The class that a directory names, unless the name stands for a tokenizer.json; else None."""
    name = settings.get("tokenizer_class")
    return None if name is None or name in GENERIC_TOKENIZERS else tokenizer_class_from_name(name)


def _is_unknown(settings: dict[str, Any]) -> bool:
    name = settings.get("tokenizer_class")
    return name is not None and tokenizer_class_from_name(name) is None


def _require_readable(folder: Path, settings: dict[str, Any], foreign: bool) -> None:
    """Refuse what cannot be read without a tokenizer.json: a class of its own, and foreign formats."""
    if foreign:
        raise UserError(
            f"{folder / 'tokenizer_config.json'} names the tokenizer {settings.get('tokenizer_class')!r}, "
            f"which transformers does not have, and no code of a model is run here: {SAVE_IT}."
        )
    packed = [name for name in SENTENCEPIECE if (folder / name).is_file()]
    plain = any((folder / name).is_file() for name in ("vocab.json", "vocab.txt"))
    if packed and not plain and not (find_spec("sentencepiece") and find_spec("google")):
        raise UserError(
            f"{folder / packed[0]} needs the packages sentencepiece and protobuf, which are not installed, "
            f"and there is no tokenizer.json: {SAVE_IT}."
        )
