"""From the metadata of a GGUF file to the configuration of the model.

A key that says something about the model and has no place here is a refusal: passed over, it would make the
model another one without a word.
"""

from __future__ import annotations

from transformers import AutoConfig, PretrainedConfig

from fourier_addition.errors import UserError
from fourier_addition.files.gguf_header import GgufHeader

_COMMON = {
    "block_count": "num_hidden_layers",
    "context_length": "max_position_embeddings",
    "embedding_length": "hidden_size",
    "feed_forward_length": "intermediate_size",
    "attention.head_count": "num_attention_heads",
    "attention.head_count_kv": "num_key_value_heads",
    "attention.layer_norm_rms_epsilon": "rms_norm_eps",
    "rope.freq_base": "rope_theta",
    "vocab_size": "vocab_size",
}
_HEAD = {"attention.key_length": "head_dim"}
_WINDOW = {"attention.sliding_window": "sliding_window"}
_CAPS = {
    "attn_logit_softcapping": "attn_logit_softcapping",
    "final_logit_softcapping": "final_logit_softcapping",
}

ARCHITECTURES: dict[str, tuple[str, dict[str, str]]] = {
    "llama": ("llama", {**_COMMON, **_HEAD}),
    "qwen2": ("qwen2", _COMMON),
    "qwen3": ("qwen3", {**_COMMON, **_HEAD}),
    "gemma2": ("gemma2", {**_COMMON, **_HEAD, **_WINDOW, **_CAPS}),
    "gemma3": ("gemma3_text", {**_COMMON, **_HEAD, **_WINDOW}),
    "gpt2": (
        "gpt2",
        {
            "block_count": "n_layer",
            "context_length": "n_positions",
            "embedding_length": "n_embd",
            "feed_forward_length": "n_inner",
            "attention.head_count": "n_head",
            "attention.layer_norm_epsilon": "layer_norm_epsilon",
            "vocab_size": "vocab_size",
        },
    ),
}
"""Architecture of a GGUF file -> Hugging Face's name for it, and metadata key -> key of the configuration."""

_TOKENS = {
    "bos_token_id": "bos_token_id",
    "eos_token_id": "eos_token_id",
    "padding_token_id": "pad_token_id",
}


def gguf_config(header: GgufHeader, shown: str) -> PretrainedConfig:
    """The configuration that a GGUF file's metadata describes.

    shown: the file, for messages. Raises UserError for an architecture that cannot be read, for a key of the
    model that is missing, and for one that is not applied.
    """
    architecture, metadata = header.architecture, header.metadata
    if architecture not in ARCHITECTURES:
        raise UserError(
            f"{shown} holds a model of architecture '{architecture}', which cannot be read from GGUF; "
            f"{', '.join(ARCHITECTURES)} can: use the model's safetensors."
        )
    model_type, names = ARCHITECTURES[architecture]
    prefix = f"{architecture}."
    stated = {key.removeprefix(prefix): value for key, value in metadata.items() if key.startswith(prefix)}

    # What the file states, under the configuration's names.
    settings = {names[key]: value for key, value in stated.items() if key in names}
    for key in ("block_count", "embedding_length", "attention.head_count"):
        if key not in stated:
            raise UserError(f"{shown} does not state {prefix}{key}.")
    tensors = {tensor.name: tensor for tensor in header.tensors}
    tokens = metadata.get("tokenizer.ggml.tokens") or []
    settings.setdefault("vocab_size", len(tokens))
    settings |= {name: metadata.get(f"tokenizer.ggml.{key}") for key, name in _TOKENS.items()}
    settings["tie_word_embeddings"] = "output.weight" not in tensors
    width = stated["embedding_length"] // stated["attention.head_count"]
    head = stated.get("attention.key_length", stated.get("rope.dimension_count", width))
    if architecture != "gpt2":
        settings["head_dim"] = head
        settings.setdefault("num_key_value_heads", stated["attention.head_count"])
    if architecture.startswith("gemma"):
        # llama.cpp divides scores by the width of a head, but for the models of 27 billion weights.
        largest = {"gemma2": 46, "gemma3": 62}[architecture]
        settings["query_pre_attn_scalar"] = width if stated["block_count"] == largest else head

    # What it states and is not applied must say what holds in any case.
    harmless = {
        "rope.dimension_count": head,
        "attention.key_length": head,
        "attention.value_length": head,
        "rope.scaling.type": "none",
        "attention.causal": True,
        "expert_count": 0,
        "expert_used_count": 0,
    }
    for key, value in stated.items():
        if key not in names and (key not in harmless or value != harmless[key]):
            raise UserError(
                f"{shown} states {prefix}{key} = {value!r}, which is not applied here, so the model would be"
                " another one: use the model's safetensors."
            )
    return AutoConfig.for_model(model_type, **settings)
