"""The tokenizer of a GGUF file, built with the package tokenizers.

A GGUF file has the tokens and the merges of a tokenizer, and a name for the way in which text is split
before merges apply. transformers' own reader knows some of these names, falls back to GPT-2's way for all
others, and adds the special tokens of its classes. Numbers are then written as other tokens. Here a name that
is not known is a refusal, and there is no token that the file does not list.
"""

from __future__ import annotations

from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, normalizers, pre_tokenizers, processors
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast
from transformers.integrations.gguf.gguf_tokenizer_mapping import GGUF_PRE_TOKENIZER_SPLITS
from transformers.tokenization_utils_base import generate_merges

from fourier_addition.errors import UserError
from fourier_addition.files.gguf_header import GgufHeader

GPT2_SPLIT = ("gpt-2", "gpt2", "mpt", "olmo", "jais")
"""Names of GPT-2's own way: it keeps the digits of a number together before merges apply."""
DIGITS_THEN_GPT2 = ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b")
"""Every digit alone, then GPT-2's way."""
WHOLE_WORDS_FIRST = ("llama3", "llama-v3", "llama-bpe", "falcon3", "falcon-h1", "pixtral", "midm-2.0", "lfm2")
"""A piece that is itself a token is that token, whatever the merges say; llama.cpp puts a first token before
a line where the file does not say."""
KINDS = ("gpt2", "llama")
"""`tokenizer.ggml.model` of byte-level BPE and of SentencePiece's BPE."""

_SPECIAL = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
_CONTROL, _USER_DEFINED = 3, 4
"""Kinds of token, as `tokenizer.ggml.token_type` numbers them."""


def gguf_tokenizer(header: GgufHeader, shown: str) -> PreTrainedTokenizerFast:
    """The tokenizer that a GGUF file describes.

    shown: the file, for messages. The first token of a line and the chat template are those that the file
    names. Raises UserError for a tokenizer whose kind or splitting is not known, and for one that comes out
    with other tokens than the file lists, or that does not give numbers back as they were.
    """
    metadata = header.metadata
    kind, pre = metadata.get("tokenizer.ggml.model"), metadata.get("tokenizer.ggml.pre")
    tokens = metadata.get("tokenizer.ggml.tokens") or []
    if kind not in KINDS or not tokens:
        raise UserError(
            f"{shown} has a tokenizer of kind {kind!r}, which cannot be read from GGUF;"
            f" {', '.join(KINDS)} can."
        )
    if kind == "gpt2" and pre not in (*GGUF_PRE_TOKENIZER_SPLITS, *GPT2_SPLIT, *DIGITS_THEN_GPT2):
        raise UserError(
            f"{shown} splits text in the way {pre!r} (tokenizer.ggml.pre), which is not known here, so"
            " numbers might become other tokens: use the model's safetensors with its own tokenizer.json."
        )

    # Tokens, merges and splitting.
    try:
        if kind == "gpt2":
            backend = _byte_level(tokens, metadata.get("tokenizer.ggml.merges") or [], str(pre))
        else:
            backend = _sentencepiece(header)
    except Exception as error:  # the library raises plain Exception
        raise UserError(f"{shown} has a tokenizer that cannot be built: {error}.") from error
    _keep_whole(backend, tokens, metadata.get("tokenizer.ggml.token_type") or [])

    # Special tokens by their ids; the first token of every line.
    named = {}
    for name, key in _SPECIAL.items():
        index = metadata.get(f"tokenizer.ggml.{key}_token_id")
        if index is not None:
            if not 0 <= index < len(tokens):
                raise UserError(f"{shown} names token {index} as {key}, but has {len(tokens)} tokens.")
            named[f"{name}_token"] = tokens[index]
    first = metadata.get("tokenizer.ggml.add_bos_token", kind == "llama" or pre in WHOLE_WORDS_FIRST)
    _put_around(backend, named, first=first, last=metadata.get("tokenizer.ggml.add_eos_token", False))

    build: Any = PreTrainedTokenizerFast
    template = metadata.get("tokenizer.chat_template")
    tokenizer: PreTrainedTokenizerFast = build(
        tokenizer_object=backend,
        clean_up_tokenization_spaces=False,
        **named,
        **({"chat_template": template} if isinstance(template, str) else {}),
    )
    _check(tokenizer, tokens, shown)
    return tokenizer


def _byte_level(tokens: list[str], merges: list[str], pre: str) -> Tokenizer:
    """Byte-level BPE, with the splitting that `pre` names."""
    pairs = [(left, right) for left, _, right in (merge.partition(" ") for merge in merges)]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    backend = Tokenizer(BPE(vocabulary, pairs, ignore_merges=pre in WHOLE_WORDS_FIRST))
    gpt2 = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    if pre in GPT2_SPLIT:
        backend.pre_tokenizer = gpt2
    elif pre in DIGITS_THEN_GPT2:
        digits = pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated")
        backend.pre_tokenizer = pre_tokenizers.Sequence([digits, gpt2])
    else:
        pieces = pre_tokenizers.Split(Regex(GGUF_PRE_TOKENIZER_SPLITS[pre]), behavior="isolated")
        bytes_alone = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
        backend.pre_tokenizer = pre_tokenizers.Sequence([pieces, bytes_alone])
    backend.decoder = decoders.ByteLevel()
    return backend


def _sentencepiece(header: GgufHeader) -> Tokenizer:
    """SentencePiece's BPE: a space is a visible character, and unknown characters are bytes.

    Merges are recovered from the vocabulary: by score, or by position in Gemma's, whose scores do not order
    them. Gemma's files write runs of spaces as they are.
    """
    metadata, tokens = header.metadata, list(header.metadata["tokenizer.ggml.tokens"])
    gemma = header.architecture.startswith("gemma")
    if gemma:
        tokens = ["\u2581" * len(token) if not token.strip(" ") else token for token in tokens]
    vocabulary = {token: index for index, token in enumerate(tokens)}
    scores = metadata.get("tokenizer.ggml.scores") or []
    order = [-index for index in range(len(tokens))] if gemma or not scores else scores
    merges = generate_merges(vocabulary, dict(zip(tokens, order, strict=True)))
    unknown = metadata.get("tokenizer.ggml.unknown_token_id")
    backend = Tokenizer(
        BPE(
            vocabulary,
            merges,
            byte_fallback=True,
            fuse_unk=True,
            unk_token=None if unknown is None else tokens[unknown],
        )
    )

    # The space before a text, which Gemma's tokenizer does not have.
    spaces: list[Any] = [normalizers.Replace(" ", "\u2581")]
    undone: list[Any] = [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse()]
    if not gemma and metadata.get("tokenizer.ggml.add_space_prefix", True):
        spaces.insert(0, normalizers.Prepend("\u2581"))
        undone.append(decoders.Strip(content=" ", left=1))
    backend.normalizer = normalizers.Sequence(spaces)
    backend.decoder = decoders.Sequence(undone)
    return backend


def _keep_whole(backend: Tokenizer, tokens: list[str], types: list[int]) -> None:
    """Let control tokens and tokens added later stand whole in a text; only control tokens are special."""
    for number, special in ((_CONTROL, True), (_USER_DEFINED, False)):
        added = [
            AddedToken(token, normalized=False, special=special)
            for token, kind in zip(tokens, types, strict=False)
            if kind == number and token in backend.get_vocab()
        ]
        backend.add_special_tokens(added) if special else backend.add_tokens(added)


def _put_around(backend: Tokenizer, named: dict[str, str], *, first: bool, last: bool) -> None:
    """Let the tokenizer put its first and last special token around a line, and nothing else."""
    opening = [named["bos_token"]] if first and "bos_token" in named else []
    closing = [named["eos_token"]] if last and "eos_token" in named else []
    special = [(token, backend.token_to_id(token)) for token in dict.fromkeys(opening + closing)]
    backend.post_processor = processors.TemplateProcessing(
        single=[*opening, "$A", *closing],
        pair=[*opening, "$A", *closing, *opening, "$B:1", *closing],
        special_tokens=special,
    )


def _check(tokenizer: PreTrainedTokenizerFast, tokens: list[str], shown: str) -> None:
    """Raise UserError unless the tokens are as many as the file's, and numbers come back as they were."""
    vocabulary = tokenizer.get_vocab()
    if len(vocabulary) != len(set(tokens)) or max(vocabulary.values()) >= len(tokens):
        raise UserError(f"{shown} lists {len(tokens)} tokens, but its tokenizer has {len(vocabulary)}.")
    for number in (*range(0, 1000, 7), 12345):
        text = f"Answer: {number}\n"
        ids = tokenizer.encode(text, add_special_tokens=False)
        if tokenizer.decode(ids) != text:
            raise UserError(f"{shown} has a tokenizer that gives {text!r} back as {tokenizer.decode(ids)!r}.")
