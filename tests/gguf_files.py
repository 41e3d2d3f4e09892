"""GGUF files of tiny models, written with the package gguf as llama.cpp's converter writes them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tiny import tiny_config
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

ARCHITECTURE = {
    "llama": "llama",
    "qwen2": "qwen2",
    "qwen3": "qwen3",
    "gemma2": "gemma2",
    "gemma3": "gemma3",
    "gpt2": "gpt2",
}
TEXT = [
    "Calculate 15 + 93. Answer: 108\n",
    "What is the sum of 7 and 12? Answer: 19\n",
    "Total of 260 and 260. Answer: 520\n",
    "Add 3 and 4. The answer is  7.\n",
]
SPECIAL = ["<|end|>", "<|begin|>"]


def byte_level_tokenizer(*, digits: bool = True) -> PreTrainedTokenizerFast:
    """A small byte-level BPE. digits: every digit is a piece of its own, as SmolLM's tokenizer has it."""
    tokenizer = Tokenizer(models.BPE())
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    first = [pre_tokenizers.Digits(individual_digits=True)] if digits else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*first, bytes_])
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXT * 4, trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        eos_token="<|end|>",
        bos_token="<|begin|>",
        clean_up_tokenization_spaces=False,
    )


def merges_of(tokenizer: PreTrainedTokenizerFast) -> list[str]:
    """Merges as a GGUF file lists them: two pieces with a space between."""
    import json

    found = json.loads(tokenizer.backend_tokenizer.to_str())["model"]["merges"]
    return [pair if isinstance(pair, str) else " ".join(pair) for pair in found]


def tiny_causal(family: str, vocabulary: int, seed: int = 0, **changes: Any) -> Any:
    """A model of a family with random weights, gains and biases, width 64."""
    config = tiny_config(family, vocabulary, 2, 64, **changes)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        with torch.no_grad():
            for parameter in model.parameters():
                if parameter.dim() == 1:
                    parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def write_gguf(
    file: Path,
    family: str,
    model: Any,
    tokenizer: PreTrainedTokenizerFast | None = None,
    *,
    quantisation: str = "F32",
    pre: str = "smollm",
    more: dict[str, Any] | None = None,
    tensors: dict[str, np.ndarray] | None = None,
    without: tuple[str, ...] = (),
) -> dict[str, torch.Tensor]:
    """Write a model as GGUF; returns its state dict as the file holds it, dequantised.

    quantisation: type of all matrices; vectors are F32. more: further metadata, which replace ours. tensors:
    further tensors. without: keys of the metadata, or names of tensors, that are left out.
    """
    arch = ARCHITECTURE[family]
    writer = gguf.GGUFWriter(file, arch)
    config = model.config
    for key, value in {**_metadata(arch, config, tokenizer, pre), **(more or {})}.items():
        if key not in without:
            _add(writer, key, value)

    # Tensors: Hugging Face's name becomes llama.cpp's, and some layouts change.
    index = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == arch)
    names = gguf.get_tensor_name_map(index, config.num_hidden_layers)
    kind = gguf.GGMLQuantizationType[quantisation]
    held: dict[str, torch.Tensor] = {}
    for name, value in model.state_dict().items():
        if name == "lm_head.weight" and config.tie_word_embeddings:
            continue
        there = names.get_name(name, try_suffixes=(".weight", ".bias"))
        assert there is not None, name
        values = _to_gguf(arch, there, value.numpy(), config)
        stored_as = kind if values.ndim > 1 else gguf.GGMLQuantizationType.F32
        data = gguf.quantize(np.ascontiguousarray(values), stored_as)
        back = gguf.dequantize(data, stored_as) if quantisation != "F16" else data.astype(np.float32)
        held[name] = torch.from_numpy(_from_gguf(arch, there, back.reshape(values.shape), config))
        if there not in without:
            writer.add_tensor(there, data, raw_dtype=stored_as)
    for there, values in (tensors or {}).items():
        writer.add_tensor(there, values)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    if config.tie_word_embeddings:
        held["lm_head.weight"] = next(
            v for n, v in held.items() if n.endswith(("embed_tokens.weight", "wte.weight"))
        )
    return held


def _metadata(arch: str, config: Any, tokenizer: PreTrainedTokenizerFast | None, pre: str) -> dict[str, Any]:
    found: dict[str, Any] = {
        f"{arch}.block_count": config.num_hidden_layers,
        f"{arch}.context_length": config.max_position_embeddings,
        f"{arch}.embedding_length": config.hidden_size,
        f"{arch}.feed_forward_length": getattr(config, "intermediate_size", 4 * config.hidden_size),
        f"{arch}.attention.head_count": config.num_attention_heads,
    }
    if arch == "gpt2":
        found[f"{arch}.attention.layer_norm_epsilon"] = config.layer_norm_epsilon
    else:
        theta = config.rope_parameters
        theta = theta.get("full_attention", theta)["rope_theta"]
        found |= {
            f"{arch}.attention.head_count_kv": config.num_key_value_heads,
            f"{arch}.attention.layer_norm_rms_epsilon": config.rms_norm_eps,
            f"{arch}.rope.freq_base": float(theta),
        }
    if arch in ("qwen3", "gemma2", "gemma3"):
        found |= {
            f"{arch}.attention.key_length": config.head_dim,
            f"{arch}.attention.value_length": config.head_dim,
        }
    if arch in ("gemma2", "gemma3"):
        found[f"{arch}.attention.sliding_window"] = config.sliding_window
    if arch == "gemma2":
        found |= {
            "gemma2.attn_logit_softcapping": config.attn_logit_softcapping,
            "gemma2.final_logit_softcapping": config.final_logit_softcapping,
        }
    if arch == "llama":
        found |= {"llama.rope.dimension_count": config.head_dim, "llama.vocab_size": config.vocab_size}
    if tokenizer is not None:
        tokens = tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
        found |= {
            "tokenizer.ggml.model": "gpt2",
            "tokenizer.ggml.pre": pre,
            "tokenizer.ggml.tokens": tokens,
            "tokenizer.ggml.token_type": [3 if token in SPECIAL else 1 for token in tokens],
            "tokenizer.ggml.merges": merges_of(tokenizer),
            "tokenizer.ggml.bos_token_id": tokens.index("<|begin|>"),
            "tokenizer.ggml.eos_token_id": tokens.index("<|end|>"),
            "tokenizer.ggml.add_bos_token": False,
        }
    return found


def _add(writer: gguf.GGUFWriter, key: str, value: Any) -> None:
    if isinstance(value, bool):
        writer.add_bool(key, value)
    elif isinstance(value, int):
        writer.add_uint32(key, value)
    elif isinstance(value, float):
        writer.add_float32(key, value)
    elif isinstance(value, str):
        writer.add_string(key, value)
    else:
        writer.add_array(key, value)


def _heads(name: str, config: Any) -> int | None:
    """Heads whose rows llama.cpp reorders in a tensor, or None."""
    if ".attn_q." in name:
        return int(config.num_attention_heads)
    return int(config.num_key_value_heads) if ".attn_k." in name else None


def _to_gguf(arch: str, name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """What llama.cpp's converter does to a tensor."""
    heads = _heads(name, config) if arch == "llama" else None
    if heads:
        halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
        return halves.swapaxes(1, 2).reshape(values.shape)
    if arch in ("gemma2", "gemma3") and name.endswith("norm.weight"):
        return values + 1
    if arch == "gpt2" and values.ndim == 2 and any(p in name for p in ("attn_qkv", "ffn_", "attn_output")):
        return np.ascontiguousarray(values.T)
    return values


def _from_gguf(arch: str, name: str, values: np.ndarray, config: Any) -> np.ndarray:
    """The way back, written down once more and not read off the code that is tested."""
    heads = _heads(name, config) if arch == "llama" else None
    if heads:
        pairs = values.reshape(heads, values.shape[0] // heads // 2, 2, *values.shape[1:])
        return np.ascontiguousarray(pairs.swapaxes(1, 2).reshape(values.shape))
    if arch in ("gemma2", "gemma3") and name.endswith("norm.weight"):
        return values - 1
    if arch == "gpt2" and values.ndim == 2 and any(p in name for p in ("attn_qkv", "ffn_", "attn_output")):
        return np.ascontiguousarray(values.T)
    return values
