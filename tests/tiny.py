"""Tiny tokenizers and models with random weights, shared by the tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from fourier_addition.models import ModelView, load_model, wrap
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from tokenizers.processors import TemplateProcessing
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedTokenizerFast

MASKED = ("bert", "roberta")
WITH_BOS = ("llama", "mistral", "gemma2", "gemma3")
TEXT = """
    Total of Add together Calculate What is the sum Put and Answer product Find multiplied by times equals
    what Multiplication with plus minus count up down from in steps even odd last digit next after before
    number numbers tens ones a b c The A Q . , : ; ? ! + - * = / ( ) # | .: ?: ).:
"""
WORDS = TEXT.split()


def tiny_tokenizer(largest: int = 20, family: str = "gpt2") -> PreTrainedTokenizerFast:
    """A word-level tokenizer that writes each of 0..largest as one token.

    Splits at white space and between word characters and punctuation, so a number is
    the same token with and without a space before it. Special tokens are those of the
    family: [CLS] and [SEP] around masked models' input and [MASK]; <bos> in front for
    llama, mistral and gemma; none for the others. [UNK] and [PAD] always exist.
    """
    special = ["[UNK]", "[PAD]"]
    if family in MASKED:
        special += ["[CLS]", "[SEP]", "[MASK]"]
    elif family in WITH_BOS:
        special += ["<bos>", "<eos>"]
    vocabulary = [*special, *WORDS, *(str(number) for number in range(largest + 1))]
    ids = {token: index for index, token in enumerate(vocabulary)}
    tokenizer = Tokenizer(WordLevel(ids, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = Whitespace()
    names = {"unk_token": "[UNK]", "pad_token": "[PAD]"}
    if family in MASKED:
        around = [("[CLS]", ids["[CLS]"]), ("[SEP]", ids["[SEP]"])]
        tokenizer.post_processor = TemplateProcessing(single="[CLS] $A [SEP]", special_tokens=around)
        names |= {"cls_token": "[CLS]", "sep_token": "[SEP]", "mask_token": "[MASK]"}
    elif family in WITH_BOS:
        tokenizer.post_processor = TemplateProcessing(
            single="<bos> $A", special_tokens=[("<bos>", ids["<bos>"])]
        )
        names |= {"bos_token": "<bos>", "eos_token": "<eos>"}
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names)


def number_ids(tokenizer: PreTrainedTokenizerFast, largest: int) -> list[int]:
    """Token ids of the numbers 0..largest; entry n is the id of number n."""
    return [tokenizer.convert_tokens_to_ids(str(number)) for number in range(largest + 1)]


def tiny_config(family: str, vocabulary: int, layers: int, width: int, **changes: Any) -> Any:
    """Configuration of a tiny model of `family`; `changes` override single keys."""
    heads = 4
    head = width // heads
    if family in ("gpt2", "gptj"):
        keys = {"n_embd": width, "n_layer": layers, "n_head": heads, "n_positions": 64}
        keys |= {
            "resid_pdrop": 0.0,
            "embd_pdrop": 0.0,
            "attn_pdrop": 0.0,
            "bos_token_id": 1,
            "eos_token_id": 1,
        }
        keys |= {"rotary_dim": head - head % 2} if family == "gptj" else {}
    else:
        keys = {"hidden_size": width, "num_hidden_layers": layers, "num_attention_heads": heads}
        keys |= {"intermediate_size": 2 * width, "max_position_embeddings": 64, "pad_token_id": 1}
        keys |= {"bos_token_id": 1, "eos_token_id": 1}
        if family in MASKED:
            keys |= {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
        if family in ("llama", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "olmo2"):
            keys |= {"num_key_value_heads": heads // 2}
        if family in ("qwen3", "gemma2", "gemma3", "mistral"):
            keys |= {"head_dim": head}
        if family in ("gemma2", "gemma3"):
            keys |= {"query_pre_attn_scalar": head, "sliding_window": 32}
        if family == "gemma2":
            keys |= {"final_logit_softcapping": 5.0, "attn_logit_softcapping": 5.0}
    keys |= {"vocab_size": vocabulary, "initializer_range": 0.15}
    name = {"gemma3": "gemma3_text"}.get(family, family)
    return CONFIG_MAPPING[name](**(keys | changes))


def tiny_model(
    family: str = "gpt2",
    directory: str | Path | None = None,
    seed: int = 0,
    *,
    layers: int = 2,
    width: int = 48,
    largest: int = 20,
    **changes: Any,
) -> ModelView:
    """A model of `family` with random weights that writes 0..largest as single tokens.

    Norm gains and biases are random too, so that a forgotten one shows. With a
    directory, the model is saved there and loaded again through `load_model`.
    """
    tokenizer = tiny_tokenizer(largest, family)
    config = tiny_config(family, len(tokenizer), layers, width, **changes)
    auto = AutoModelForMaskedLM if family in MASKED else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = auto.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
    view = wrap(model.eval(), tokenizer)
    if directory is None:
        return view
    view.save(directory)
    return load_model(directory)
