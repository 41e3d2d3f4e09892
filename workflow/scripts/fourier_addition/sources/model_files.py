"""The files of a model, as Hugging Face lays them out or as GGUF: which are kept, and are they undamaged?"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path, PurePosixPath
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.files.gguf_header import SUFFIX, read_header, refuse_split
from fourier_addition.files.manifests import sha256_file
from fourier_addition.files.model_texts import mapping, not_greedy, require_usable_texts
from fourier_addition.files.weights import require_plain_weights, stored_types

CONFIG = "config.json"
SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
GENERATION = "generation_config.json"
SHARD = re.compile(r"model-(\d{5})-of-(\d{5})\.safetensors")
PICKLES = re.compile(r".*\.(bin|pt|pth|pkl|ckpt|h5|msgpack)")
VOCABULARIES = (
    "tokenizer.json",
    "vocab.json",
    "vocab.txt",
    "tokenizer.model",
    "spiece.model",
    "sentencepiece.bpe.model",
)
"""Files of which any single one is enough to build a tokenizer."""
SMALL_FILES = (
    CONFIG,
    GENERATION,
    INDEX,
    *VOCABULARIES,
    "merges.txt",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
)

logger = logging.getLogger(__name__)


def has_model(names: Collection[str]) -> bool:
    """Whether a listing of files has a configuration and weights as safetensors."""
    return CONFIG in names and (SINGLE in names or INDEX in names)


def check_file(where: str, source: Mapping[str, Any]) -> None:
    """Raise UserError unless a source's `file`, where it has one, is the name of a GGUF file."""
    name = source.get("file")
    if name is None:
        return
    if not isinstance(name, str) or PurePosixPath(name).name != name or not name.endswith(SUFFIX):
        raise UserError(f"{where}.file must be the name of a GGUF file, as model{SUFFIX}, not {name!r}.")
    refuse_split(f"{where}.file", name)


def select(
    where: str, names: Collection[str], index: Path | None = None, file: str | None = None
) -> list[str]:
    """The files of a model that are kept, sorted by name.

    where: what is listed, for messages. names: of the files in the model's directory, not below it.
    index: the index of shards, where it can be read; it says which shards belong to the model. Without it
    the shards' own numbers must say so. file: the name of a GGUF file, which is then the only one that is
    kept.
    Code (*.py), pickles and files of other frameworks are never kept. Raises UserError when the listing
    lacks a configuration, weights as safetensors or a tokenizer, or the GGUF file that was asked for.
    """
    names = set(names)
    gguf = sorted(name for name in names if name.endswith(SUFFIX) and "/" not in name)
    if file is not None:
        if file not in names:
            raise UserError(f"{where} has no {file} (key file); it has {_listed(gguf)}.")
        return [file]

    # An adapter would change the model, and is not applied here.
    adapters = sorted(name for name in names if name.startswith("adapter_"))
    if adapters:
        raise UserError(
            f"{where} holds {adapters[0]}, a part of an adapter, which is not applied here: merge the "
            "adapter into the model, or remove the adapter's files to study the model without it."
        )

    # Weights: one file of safetensors, or an index and all its shards.
    pickles = sorted(name for name in names if PICKLES.fullmatch(name))
    if SINGLE in names:
        weights = [SINGLE]
    elif INDEX in names:
        weights = [INDEX, *(_shards(where, names) if index is None else _indexed(where, names, index))]
    elif gguf:
        raise UserError(
            f"{where} has no safetensors, but {_listed(gguf)}: name the file with the source's key `file`."
        )
    elif pickles:
        raise UserError(
            f"{where} has its weights only as pickles ({pickles[0]}), which can run code when they are"
            f" loaded; only safetensors are accepted: use a revision or a copy that has {SINGLE}."
        )
    else:
        raise UserError(f"{where} has neither {SINGLE} nor {INDEX}.")

    # A configuration and a tokenizer.
    if CONFIG not in names:
        raise UserError(f"{where} has no {CONFIG}.")
    if "merges.txt" in names and not names.intersection(VOCABULARIES):
        raise UserError(
            f"{where} has merges.txt but neither vocab.json, which belongs to it, nor tokenizer.json."
        )
    if not names.intersection(VOCABULARIES):
        raise UserError(f"{where} has no tokenizer: none of {', '.join(VOCABULARIES)}.")
    small = [name for name in SMALL_FILES if name in names and name != INDEX]
    return sorted({*small, *weights})


def _listed(names: Collection[str]) -> str:
    """Names of GGUF files, for a message; the first ones of many."""
    shown = ", ".join(sorted(names)[:4])
    return f"{shown}, ..." if len(names) > 4 else shown or f"no *{SUFFIX}"


def shard_names(where: str, index: Path) -> list[str]:
    """Files that an index of shards names, sorted.

    Raises UserError for an index that is none, and for a shard that lies in another folder.
    """
    named = mapping(index, f"{where}: {INDEX}").get("weight_map")
    if not isinstance(named, dict) or not named:
        raise UserError(f"{where}: {INDEX} has no weight_map.")
    shards = {str(shard) for shard in named.values()}
    for shard in sorted(shards):
        if Path(shard).name != shard or not shard.endswith(".safetensors"):
            raise UserError(f"{where}: {INDEX} names {shard!r}, which is no safetensors file beside it.")
    return sorted(shards)


def require_one_model(where: str, single: Path, index: Path) -> None:
    """Refuse a folder whose single file of weights and whose index of shards name different tensors.

    Where they name the same, the single file is the model, as it is for Hugging Face; a warning says so.
    """
    check_safetensors(where, single)
    content = mapping(index, f"{where}: {INDEX}").get("weight_map")
    indexed = set(content) if isinstance(content, dict) else set()
    differing = sorted(indexed.symmetric_difference(stored_types(single)))
    if differing:
        raise UserError(
            f"{where} holds {SINGLE} and {INDEX}, which are of different models (only one of them has "
            f"{differing[0]}): remove the one that does not belong there."
        )
    logger.warning("%s holds %s and %s; the single file is taken.", where, SINGLE, INDEX)


def _indexed(where: str, names: Collection[str], index: Path) -> list[str]:
    """Names of the shards that an index names, sorted. Raises UserError where one is missing."""
    shards = shard_names(where, index)
    missing = [shard for shard in shards if shard not in names]
    if missing:
        raise UserError(f"{where} lacks {missing[0]} of {len(shards)} shards that {INDEX} names.")
    return shards


def _shards(where: str, names: Collection[str]) -> list[str]:
    """Names of all shards of a model, sorted. Raises UserError where one is missing."""
    matches = [match for name in names if (match := SHARD.fullmatch(name))]
    totals = {match[2] for match in matches}
    if len(totals) != 1:
        raise UserError(f"{where} has {INDEX} but not one set of shards model-00001-of-0000N.safetensors.")
    (total,) = totals
    wanted = {f"model-{number:05d}-of-{total}.safetensors" for number in range(1, int(total) + 1)}
    missing = sorted(wanted.difference(names))
    if missing:
        raise UserError(f"{where} lacks {missing[0]} of {total} shards.")
    return sorted(wanted)


def place(files: Mapping[str, Path], directory: Path, *, link: bool) -> None:
    """Put the files of a model into a new directory.

    files: name -> where the file lies; symbolic links are followed. link: make hard links where the file
    system allows them; copies are made otherwise.
    """
    directory.mkdir(parents=True)
    for name, origin in files.items():
        target, origin = directory / name, Path(origin).resolve(strict=True)
        if link:
            try:
                os.link(origin, target)
                continue
            except OSError:
                logger.debug("%s cannot be linked, copied instead", origin)
        shutil.copyfile(origin, target)


def check_model(where: str, directory: Path) -> tuple[dict[str, str], str]:
    """Check that the files of a model are complete and undamaged.

    where: the model, for messages. directory: with the files that `select` keeps. Returns (weights file
    -> SHA-256, SHA-256 of the weights as `combined_sha256`). Raises UserError for a configuration without
    a model type, for truncated weights, and for an index that names a file which is not there.
    """
    # The configuration, and the small files that make the tokenizer.
    config = mapping(directory / CONFIG, f"{where}: {CONFIG}")
    if not isinstance(config.get("model_type"), str):
        raise UserError(f"{where}: {CONFIG} names no model_type.")
    require_usable_texts(directory, where)
    _say_what_is_not_applied(where, directory)
    if "auto_map" in config:
        logger.info(
            "%s: %s points to code of its own (auto_map), which is neither fetched nor run", where, CONFIG
        )

    # The index, where the weights are in shards.
    if (directory / INDEX).exists():
        for shard in shard_names(where, directory / INDEX):
            if not (directory / shard).is_file():
                raise UserError(f"{where}: {INDEX} names {shard}, which is not there.")
    weights = sorted(directory.glob("*.safetensors"))
    for file in weights:
        check_safetensors(where, file)
    require_plain_weights(directory, where)
    hashes = {file.name: sha256_file(file) for file in weights}
    return hashes, combined_sha256(hashes.items())


def _say_what_is_not_applied(where: str, directory: Path) -> None:
    """Warn of settings of generation that would make a model write other tokens than its likeliest."""
    file = directory / GENERATION
    if file.exists() and (keys := not_greedy(mapping(file, f"{where}: {GENERATION}"))):
        logger.warning(
            "%s: %s sets %s, which is not applied: answers here are a model's likeliest tokens.",
            where,
            GENERATION,
            ", ".join(keys),
        )


def check_gguf(where: str, file: Path) -> tuple[dict[str, str], str]:
    """Check that a GGUF file is whole, from its header; returns what `check_model` returns.

    where: the model, for messages. The SHA-256 of the weights is that of the file. Raises UserError as
    `read_header` does.
    """
    read_header(file, where)
    sha256 = sha256_file(file)
    return {file.name: sha256}, sha256


def check_safetensors(where: str, file: Path) -> None:
    """Raise UserError unless a safetensors file has a readable header and the length that it states."""
    size = file.stat().st_size
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if size < 8 or length > size - 8:
            raise UserError(f"{where}: {file.name} is truncated: {size} bytes are less than its own header.")
        try:
            header = json.loads(stream.read(length))
            ends = [int(tensor["data_offsets"][1]) for key, tensor in header.items() if key != "__metadata__"]
        except (ValueError, KeyError, IndexError, TypeError, AttributeError) as error:
            raise UserError(f"{where}: {file.name} is not a safetensors file: bad header.") from error
    expected = 8 + length + max(ends, default=0)
    if size != expected:
        state = "truncated" if size < expected else "damaged"
        raise UserError(f"{where}: {file.name} is {state}: {size} bytes, its header says {expected}.")


def combined_sha256(hashes: Iterable[tuple[str, str]]) -> str:
    """One SHA-256 for all files of weights.

    hashes: (file name, SHA-256) of each file. The SHA-256 of a single file is its own. The SHA-256 of
    shards is that of their listing: what `sha256sum` prints for the shards in the order of their names.
    """
    ordered = sorted(hashes)
    if len(ordered) == 1:
        return ordered[0][1]
    listing = "".join(f"{sha256}  {name}\n" for name, sha256 in ordered)
    return hashlib.sha256(listing.encode()).hexdigest()
