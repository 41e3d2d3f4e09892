"""Wrong results without a word: models, tokenizers, answers and names that would not give what was asked."""

import copy
import json
import logging
import os
import re
import shutil
import subprocess
import sys
import warnings
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import yaml
from fourier_addition.ablation.conditions import FilterBank, table1_conditions
from fourier_addition.ablation.outcomes import read_outcomes, write_outcomes
from fourier_addition.ablation.run import run_conditions
from fourier_addition.capture.dataset import read_number_rows
from fourier_addition.capture.number_rows import write_number_rows
from fourier_addition.errors import UserError
from fourier_addition.files.checks import require_whole
from fourier_addition.files.manifests import write_manifest
from fourier_addition.fourier import fourier_basis
from fourier_addition.models import FAMILIES, greedy_texts, load_model
from fourier_addition.models.generation import answer_text
from fourier_addition.numbers import LEAD, number_space, tokenizer_number_space
from fourier_addition.pipeline import verify
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.lock import stay_alone
from fourier_addition.sources import fetch
from fourier_addition.tables.writing import latex, markdown
from safetensors.torch import load_file, save_file
from study import ROOT, copy_of_the_tree, finished, planned, snakemake
from tiny import MASKED, number_ids, tiny_config, tiny_model
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer, PreTrainedTokenizerFast

# Weights that are not read as they are


def edit_config(folder, **keys):
    path = folder / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def edit_weights(folder, change):
    tensors = load_file(folder / "model.safetensors")
    change(tensors)
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def scaled(dtype, suffix, largest):
    def change(tensors):
        for name in [name for name in tensors if "proj.weight" in name]:
            scale = tensors[name].abs().max() / largest
            tensors[name] = (tensors[name] / scale).to(dtype)
            tensors[name + suffix] = scale.reshape(1)

    return change


def with_tensor(name, value):
    return lambda folder: edit_weights(folder, lambda tensors: tensors.update({name: value}))


UP = "model.layers.0.mlp.up_proj.weight"
QUANTISED = "float32, float16 or bfloat16 weights"
SPOILT = {
    "int8": (lambda f: edit_weights(f, scaled(torch.int8, "_scale", 100)), f"as I8.*{QUANTISED}"),
    "fp8": (
        lambda f: edit_weights(f, scaled(torch.float8_e4m3fn, "_scale_inv", 400)),
        f"F8_E4M3.*{QUANTISED}",
    ),
    "scales beside floats": (
        with_tensor("lm_head.weight_scale", torch.ones(1)),
        f"lm_head.weight_scale, a part of a quantisation.*{QUANTISED}",
    ),
    **{
        method: (
            lambda f, method=method: edit_config(f, quantization_config={"quant_method": method}),
            f"config.json names a quantisation .*method {method}.*{QUANTISED}",
        )
        for method in ("bitsandbytes", "gptq", "awq", "compressed-tensors", "fp8", "unheard-of")
    },
    "a quantisation without a method": (
        lambda f: edit_config(f, quantization_config={"load_in_8bit": True}),
        rf"names a quantisation \(`quantization_config`\): .*{QUANTISED}",
    ),
    "fewer layers in the config": (
        lambda f: edit_config(f, num_hidden_layers=1),
        r"hold model\.layers\.1\.\S+, for which the model of config.json has no place",
    ),
    "more layers in the config": (lambda f: edit_config(f, num_hidden_layers=3), r"lack model\.layers\.2"),
    "another width": (
        with_tensor(UP, torch.ones(3, 3)),
        r"shape \(3, 3\), but config.json asks for \(96, 48\)",
    ),
    "an adapter's tensors inside": (
        with_tensor("base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight", torch.ones(2, 48)),
        "a part of an adapter.*merge the adapter",
    ),
    "an adapter beside": (
        lambda f: (f / "adapter_config.json").write_text("{}"),
        "adapter_config.json belongs to an adapter",
    ),
    "not finite": (
        with_tensor(UP, torch.full((96, 48), torch.nan)),
        rf"{UP} with values that are not finite as float32: get the file again",
    ),
    "a type that is none": (lambda f: edit_config(f, num_hidden_layers="two"), "config.json cannot be used"),
    "an activation that is none": (lambda f: edit_config(f, hidden_act="zzz"), "'zzz' is not known"),
    "a rope type that is none": (
        lambda f: edit_config(f, rope_parameters={"rope_type": "zzz", "rope_theta": 1e4}),
        "rope type 'zzz' in rope_parameters is not known",
    ),
    "a list for a config": (lambda f: (f / "config.json").write_text("[]"), r"config\.json"),
    "a header that is none": (
        lambda f: (f / "model.safetensors").write_bytes(b"\xff" * 64),
        "model.safetensors cannot be loaded",
    ),
    **{
        f"tokenizer: {text[:12]!r}": (
            lambda f, text=text: (f / "tokenizer.json").write_text(text),
            "tokenizer",
        )
        for text in ("", "{", "[]", '{"model": {"type": "Unheard", "vocab": {}}}', '{"model": []}')
    },
}


@pytest.mark.parametrize("case", SPOILT)
def test_weights_that_would_be_another_model_get_a_sentence(case, tmp_path):
    spoil, sentence = SPOILT[case]
    tiny_model("llama", tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=sentence) as caught:
        load_model(tmp_path)
    assert str(caught.value).endswith(".") and "\n" not in str(caught.value)


HARMLESS = {
    "flash attention": lambda f: edit_config(f, _attn_implementation="flash_attention_2"),
    "attentions asked for": lambda f: edit_config(f, output_attentions=True, output_hidden_states=True),
    "rotary frequencies": with_tensor("model.layers.0.self_attn.rotary_emb.inv_freq", torch.ones(3)),
    "a value head": with_tensor("v_head.summary.weight", torch.ones(1, 48)),
}


@pytest.mark.parametrize("case", HARMLESS)
def test_what_no_logit_depends_on_is_passed_over_and_can_be_saved(case, tmp_path):
    before = tiny_model("llama", tmp_path / "model")
    HARMLESS[case](tmp_path / "model")
    view = load_model(tmp_path / "model")
    view.save(tmp_path / "copy")
    for other in (view, load_model(tmp_path / "copy")):
        for name, parameter in before.model.named_parameters():
            assert torch.equal(parameter, other.model.get_parameter(name)), name


def test_two_matrices_under_a_tied_config_stay_two(tmp_path):
    view = tiny_model("llama", tmp_path)
    edit_config(tmp_path, tie_word_embeddings=True)
    found = load_model(tmp_path)
    assert not found.tied
    assert torch.equal(found.unembedding_parameter(), view.unembedding_parameter())
    assert torch.equal(found.embedding_parameter(), view.embedding_parameter())


# Numbers


def test_a_missing_number_ends_the_number_space():
    words = ["[UNK]", *(str(n) for n in range(100) if n != 57)]
    tokenizer = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]")
    space = tokenizer_number_space(fast, "bare")
    assert space.size == 57
    with pytest.raises(UserError, match="Number 57 is not one token"):
        space.first(100)


def byte_level(prefix_space=False, split_digits=False):
    """A byte-level BPE over 0..99, with and without a space before them."""
    ids = {"<unk>": 0, "</s>": 1}
    for character in sorted(pre_tokenizers.ByteLevel.alphabet()):
        ids[character] = len(ids)
    merges = [(str(a), str(b)) for a in range(1, 10) for b in range(10)]
    merges += [("Ġ", str(n)) for n in range(100)]
    for first, second in merges:
        ids.setdefault(first + second, len(ids))
    # `Ġ1` + `2` is not merged: ` 12` comes from `Ġ` + `12`.
    tokenizer = Tokenizer(models.BPE(vocab=ids, merges=merges, unk_token="<unk>"))
    byte = pre_tokenizers.ByteLevel(add_prefix_space=prefix_space, use_regex=True)
    digits = [pre_tokenizers.Digits(individual_digits=True)] if split_digits else []
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*digits, byte])
    tokenizer.decoder = decoders.ByteLevel()
    return tokenizer


def word_piece():
    words = ["[UNK]", "</s>", *(str(n) for n in range(41)), "a", ":", "answer", "+", "=", "?"]
    tokenizer = Tokenizer(models.WordPiece({word: i for i, word in enumerate(words)}, unk_token="[UNK]"))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.decoder = decoders.WordPiece()
    return tokenizer


def metaspace_digits(scheme="always"):
    """As Llama 2 writes: a space piece in front of every text, and digit by digit."""
    words = ["<unk>", "</s>", *"0123456789", "▁", *"Answer:+=?ab", "▁Answer"]
    tokenizer = Tokenizer(
        models.BPE({w: i for i, w in enumerate(dict.fromkeys(words))}, [], unk_token="<unk>")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme=scheme)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme=scheme)
    return tokenizer


def characters():
    symbols = ["<unk>", "</s>", *"0123456789", *" +-=?.\n:", *"Answerb"]
    ids = {symbol: index for index, symbol in enumerate(dict.fromkeys(symbols))}
    tokenizer = Tokenizer(models.WordLevel(ids, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), "isolated")
    return tokenizer


def added_later(raw, *numbers, special=()):
    """A tokenizer to which numbers were added after its training, some of them as special tokens."""
    raw.add_tokens([AddedToken(str(n), normalized=False) for n in numbers if n not in special])
    raw.add_special_tokens([str(n) for n in special])
    return raw


KINDS = {
    "byte-level": (byte_level, 100),
    "byte-level, space in front": (lambda: byte_level(prefix_space=True), 100),
    "byte-level, digits apart": (lambda: byte_level(split_digits=True), 10),
    "word pieces": (word_piece, 41),
    "digits after a space piece": (metaspace_digits, 10),
    "digits, first piece only": (lambda: metaspace_digits("first"), 10),
    "characters": (characters, 10),
    "byte-level, more numbers added": (lambda: added_later(byte_level(), *range(100, 111)), 111),
    "digits apart, some numbers added": (lambda: added_later(byte_level(split_digits=True), 10, 12), 11),
    "characters, all numbers added": (lambda: added_later(characters(), *range(31)), 31),
    "characters, digits made special": (lambda: added_later(characters(), 10, special=range(10)), 11),
}
CLASSES = (
    "PreTrainedTokenizerFast",
    "GPT2Tokenizer",
    "GPTNeoXTokenizer",
    "GemmaTokenizer",
    "CodeGenTokenizer",
)
"""Names under which a directory may announce its tokenizer; the file is what counts."""


def without_tokenizer_json(folder, raw):
    """The tokenizer in the files that came before tokenizer.json, and the class that reads them."""
    raw.model.save(str(folder))
    added = {
        token.content: id_
        for id_, token in raw.get_added_tokens_decoder().items()
        if token.content.isdecimal()
    }
    if added:
        (folder / "added_tokens.json").write_text(json.dumps(added))
    return "GPT2Tokenizer" if (folder / "merges.txt").exists() else "BertTokenizer"


def directory_of(folder, kind, family, class_name, layout):
    """A model's directory as people have them, its model, and the file's own tokenizer."""
    raw = KINDS[kind][0]()
    special = {"unk_token": raw.id_to_token(0), "eos_token": "</s>"}
    if family in MASKED:
        raw.add_special_tokens(["[MASK]"])
        special["mask_token"] = "[MASK]"
    if "older" in layout:
        class_name = without_tokenizer_json(folder, raw)
    else:
        raw.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": class_name, **special}))
    # The class of older files adds tokens of its own.
    rows = max(raw.get_vocab_size(), len(AutoTokenizer.from_pretrained(folder)) if "older" in layout else 0)
    torch.manual_seed(0)
    auto = AutoModelForMaskedLM if family in MASKED else AutoModelForCausalLM
    model = auto.from_config(tiny_config(family, rows, 2, 48), dtype=torch.float32).eval()
    model.save_pretrained(folder, max_shard_size="20KB" if "shards" in layout else "1GB")
    assert (folder / "model.safetensors.index.json").exists() == ("shards" in layout)
    return model, raw


OLDER = ("byte-level", "word pieces", "byte-level, more numbers added")
"""Kinds that were also written as vocab.json with merges.txt, or as vocab.txt; numbers in added_tokens.json.

`tokenizer.model` needs the package sentencepiece, which is not installed: tests/test_model_files.py.
"""
SWEEP = [
    (family, kind, CLASSES[(row + column) % len(CLASSES)], ("one file", "shards")[(row + column) % 2])
    for row, family in enumerate(FAMILIES)
    for column, kind in enumerate(KINDS)
] + [
    (family, kind, "the class of the files", ("older files", "older files, shards")[(row + column) % 2])
    for row, family in enumerate(FAMILIES)
    for column, kind in enumerate(OLDER)
]


def quick(one):
    """Whether a combination is of the quick tier: later tokens and older files are for three families."""
    family, kind, _, layout = one
    return family in ("gpt2", "qwen2", "bert") or not (
        "older" in layout or "added" in kind or "special" in kind
    )


def written_by(model, encoded):
    """The tokens that plain `generate` writes after a prompt, before its end."""
    ids = torch.tensor([encoded.ids])
    mask = torch.ones_like(ids)
    new = model.generate(ids, attention_mask=mask, do_sample=False, max_new_tokens=4, pad_token_id=0)
    new = new[0, ids.shape[1] :].tolist()
    return new[: new.index(1)] if 1 in new else new


def filled_by(model, encoded):
    """The likeliest token of a masked model at the mask."""
    with torch.no_grad():
        return [int(model(input_ids=torch.tensor([encoded.ids])).logits[0, encoded.position].argmax())]


@pytest.mark.parametrize(
    ("family", "kind", "class_name", "layout"),
    [pytest.param(*one, id="-".join(one), marks=() if quick(one) else pytest.mark.system) for one in SWEEP],
)
def test_numbers_logits_and_answers_are_those_of_plain_libraries(family, kind, class_name, layout, tmp_path):
    model, raw = directory_of(tmp_path, kind, family, class_name, layout)
    view = load_model(tmp_path)
    auto = AutoModelForMaskedLM if family in MASKED else AutoModelForCausalLM
    plain = auto.from_pretrained(tmp_path, dtype=torch.float32).eval()
    reader = view.tokenizer if "older" in layout else raw
    # Number space: the tokens that `tokenizers` itself gives to a number in the middle of a line.
    lead = raw.encode(LEAD, add_special_tokens=False).ids
    for form, between in (("bare", ""), ("space", " ")):
        own = [raw.encode(f"{LEAD}{between}{n}", add_special_tokens=False).ids for n in range(120)]
        tails = [ids[len(lead) :] for ids in own]
        count = next((n for n, tail in enumerate(tails) if len(tail) != 1 or tail[0] == 0), 120)
        if count:
            space = tokenizer_number_space(view.tokenizer, form)
            assert space.ids.tolist() == [tail[0] for tail in tails[:count]]
            assert form == "space" or space.size == KINDS[kind][1]
        else:
            with pytest.raises(UserError, match="Number 0 is not one token"):
                tokenizer_number_space(view.tokenizer, form)
    # Logits, against the model that was written.
    prompts = ["a + b = ?", "Answer: 12 + 7"]
    ids = tokenizer_number_space(view.tokenizer, "bare").ids
    for found in view.encode(prompts):
        batch = torch.tensor([found.ids])
        with torch.no_grad():
            expected = model(input_ids=batch).logits[0, found.position, ids]
            assert torch.equal(expected, plain(input_ids=batch).logits[0, found.position, ids])
            logits = view.number_logits(view.final_hidden(batch, found.position), ids)[0]
        torch.testing.assert_close(logits, expected, rtol=0, atol=2e-5)
    # Answers: what plain `generate` writes, or what the model itself has in place of its mask.
    texts = greedy_texts(view, prompts, tokens=4, batch_size=1)
    for found, text in zip(view.encode(prompts), texts, strict=True):
        new = written_by(plain, found) if view.causal else filled_by(plain, found)
        assert text == answer_text(view.tokenizer, new)
        own = reader.decode(new, skip_special_tokens=False)
        assert "".join(text.split()) == "".join(own.split())


@pytest.mark.parametrize(
    ("kind", "class_name", "said"),
    [
        (
            "byte-level, digits apart",
            "GPT2Tokenizer",
            r"GPT2Tokenizer would write '12' as \['12'\]; .*\['1', '2'\]",
        ),
        ("byte-level", "GPT2Tokenizer", None),
        ("byte-level, digits apart", "PreTrainedTokenizerFast", None),
    ],
)
def test_numbers_that_the_class_would_write_otherwise_are_said(kind, class_name, said, tmp_path, caplog):
    directory_of(tmp_path, kind, "gpt2", class_name, "one file")
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load_model(tmp_path)
    if said is None:
        assert caplog.text == ""
    else:
        assert len(caplog.records) == 1 and re.search(said, caplog.text)


def test_padding_that_a_file_asks_for_is_no_difference(tmp_path, caplog):
    directory_of(tmp_path, "byte-level", "gpt2", "GPT2Tokenizer", "one file")
    raw = Tokenizer.from_file(str(tmp_path / "tokenizer.json"))
    raw.enable_padding(length=128)
    raw.enable_truncation(max_length=128)
    raw.save(str(tmp_path / "tokenizer.json"))
    caplog.clear()
    with caplog.at_level(logging.WARNING):
        load_model(tmp_path)
    assert caplog.text == ""


def test_the_sweep_is_wide():
    assert len(set(SWEEP)) == len(SWEEP) == len(FAMILIES) * (len(KINDS) + len(OLDER)) == 182
    assert {layout for *_, layout in SWEEP} == {"one file", "shards", "older files", "older files, shards"}
    assert {name for _, _, name, layout in SWEEP if "older" not in layout} == set(CLASSES)


def test_bare_and_space_are_two_things_where_every_text_gets_a_space():
    fast = PreTrainedTokenizerFast(tokenizer_object=byte_level(prefix_space=True), unk_token="<unk>")
    bare, space = (tokenizer_number_space(fast, form).ids for form in ("bare", "space"))
    assert not set(bare) & set(space)
    assert fast.convert_ids_to_tokens(int(bare[12])) == "12"
    assert fast.convert_ids_to_tokens(int(space[12])) == "Ġ12"


def test_word_pieces_share_both_forms():
    fast = PreTrainedTokenizerFast(tokenizer_object=word_piece(), unk_token="[UNK]")
    assert np.array_equal(*(tokenizer_number_space(fast, form).ids for form in ("bare", "space")))


def test_a_number_space_without_a_decoder_is_as_before():
    ids = {LEAD: [0], **{f"{LEAD}{n}": [0, n + 1] for n in range(7)}}
    assert number_space(lambda text: ids.get(text, [0, 0]), "bare").ids.tolist() == [1, 2, 3, 4, 5, 6, 7]


# Answers


def fast_of(tokenizer, **special):
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token=tokenizer.id_to_token(0), **special)


def ids_of(tokenizer, pieces):
    return [tokenizer.convert_tokens_to_ids(piece) for piece in pieces]


def test_a_decoder_that_parts_digits_does_not_shorten_a_number():
    fast = fast_of(characters())
    ids = ids_of(fast, "196")
    assert fast.decode(ids) == "1 9 6"
    assert answer_text(fast, ids) == "196"


def test_digits_that_are_special_tokens_stay():
    fast = fast_of(characters(), additional_special_tokens=["1", "9"])
    assert answer_text(fast, ids_of(fast, "196")) == "196"


def test_an_unknown_token_parts_numbers():
    fast = fast_of(characters())
    assert re.fullmatch(
        r"1\D+2", answer_text(fast, [fast.convert_tokens_to_ids("1"), 0, ids_of(fast, "2")[0]])
    )


def test_two_numbers_are_not_joined():
    view = tiny_model("gpt2", largest=20)
    ten, eight = number_ids(view.tokenizer, 20)[10], number_ids(view.tokenizer, 20)[8]
    assert answer_text(view.tokenizer, [ten, eight]) == "10 8"


@pytest.mark.parametrize("kind", KINDS)
def test_every_number_is_read_as_it_is_written(kind):
    fast = fast_of(KINDS[kind][0]())
    largest = 40 if kind == "word pieces" else 99
    for number in range(0, largest + 1, 3):
        ids = fast.encode(f"{LEAD} {number}", add_special_tokens=False)
        ids = ids[len(fast.encode(LEAD, add_special_tokens=False)) :]
        assert answer_text(fast, ids).strip() == str(number)


# Tokens and positions that the model lacks


def test_tokens_that_were_added_without_resizing_are_named(tmp_path):
    view = tiny_model("gpt2", tmp_path, largest=20)
    tokens = view.vocab_size
    view.tokenizer.add_tokens(["21"])
    view.tokenizer.save_pretrained(tmp_path)
    grown = load_model(tmp_path)
    sentence = rf"token '21' with id {tokens}, but the model's embedding has {tokens} rows"
    with pytest.raises(UserError, match=sentence):
        grown.encode(["Total of 3 and 21 Answer"])
    with pytest.raises(UserError, match=sentence):
        grown.unembedding(tokenizer_number_space(grown.tokenizer, "bare").ids)
    # What the model has is read as before.
    assert grown.encode(["Total of 3 and 4 Answer"]) == view.encode(["Total of 3 and 4 Answer"])


def test_a_prompt_that_fits_where_its_answer_does_not():
    view = tiny_model("gpt2", n_positions=8)
    (found,) = view.encode(["Total of 3 and 4 Answer"])
    room = 8 - len(found.ids)
    assert greedy_texts(view, ["Total of 3 and 4 Answer"], tokens=room + 1, batch_size=1)
    with pytest.raises(UserError, match=r"the model has 8 positions: use fewer `shots`"):
        greedy_texts(view, ["Total of 3 and 4 Answer"], tokens=room + 2, batch_size=1)


# Values that are not finite


@pytest.fixture()
def overflowing(tmp_path):
    """A model whose logits overflow in float16 and not in float32."""
    view = tiny_model("gpt2", tmp_path)
    with torch.no_grad():
        for layer in range(view.n_layers):
            view.mlp_module(layer).c_proj.weight.mul_(3e4)
    view.save(tmp_path)
    return tmp_path


def test_logits_that_are_not_finite_get_a_sentence_that_names_the_precision(overflowing):
    prompts, answers = ["Total of 3 and 4 Answer", "Total of 5 and 6 Answer"], [7, 11]
    greedy_texts(load_model(overflowing), prompts, tokens=1, batch_size=2)
    view = load_model(overflowing, dtype="float16")
    sentence = r"logits are not finite as float16; set the model's `precision` to float32\."
    with pytest.raises(UserError, match=sentence):
        greedy_texts(view, prompts, tokens=1, batch_size=2)
    ids = number_ids(view.tokenizer, 20)
    bank = FilterBank(view.unembedding(ids).numpy(), fourier_basis(21, "paper"))
    rows = table1_conditions(bank, view.n_layers, 2)
    for method in ("plain", "engine"):
        for prediction in ("numbers", "vocabulary"):
            with pytest.raises(UserError, match=sentence):
                run_conditions(
                    view,
                    view.encode(prompts),
                    ids,
                    rows,
                    answers=answers,
                    batch_size=2,
                    method=method,
                    prediction=prediction,
                )


# Names


@pytest.fixture()
def config():
    return yaml.safe_load((ROOT / "tests/configs/micro.yaml").read_text())


def renamed(config, section, old, new):
    config = copy.deepcopy(config)
    config[section] = {new if name == old else name: entry for name, entry in config[section].items()}
    return config


BAD_NAMES = (
    "../../../escaped",
    "a/b",
    "EleutherAI/pythia-70m",
    "",
    ".hidden",
    "-dash",
    "two words",
    "quo'te",
    'quo"te',
    "$HOME",
    "{}",
    "{run}",
    "<>",
    "a|b",
    "back\\slash",
    "ünicode",
    "数",
    "line\nbreak",
    "x" * 30,
    "ab" * 25,
    "x" * 101,
    "x" * 300,
    1,
    2.5,
    True,
)


@pytest.mark.parametrize("name", BAD_NAMES, ids=repr)
@pytest.mark.parametrize("section", ["models", "tasks", "runs", "figures", "tables"])
def test_a_name_that_cannot_be_a_file_gets_a_sentence(config, section, name):
    old = next(iter(config[section]))
    with pytest.raises(UserError, match=rf"Config key `{section}\..*name"):
        validated(renamed(config, section, old, name))


@pytest.mark.parametrize("label", ["_hidden", "", " "])
def test_a_label_that_no_legend_shows_gets_a_sentence(config, label):
    next(iter(config["runs"].values()))["label"] = label
    with pytest.raises(
        UserError, match=r"`runs\.\S+\.label` is '.*': a label is not empty and does not begin"
    ):
        validated(config)


def test_names_that_differ_in_capitals_alone_meet(config):
    config["tasks"]["ADDITION-8"] = config["tasks"]["addition-8"]
    with pytest.raises(UserError, match=r"`tasks\.ADDITION-8`.*'addition-8' only in capitals"):
        validated(config)


@pytest.mark.parametrize(
    ("ranges", "sentence"),
    [
        ({"Small!": [0, 4], "small?": [5, 8]}, r"digit_ranges\.small\?`.*named 'small'.*'Small!'"),
        ({"All": [0, 4]}, r"digit_ranges\.All`.*named 'all'"),
        ({"!?": [0, 4]}, "letters and digits"),
        ({3: [0, 4]}, "write it in quotes"),
        ({"x" * 300: [0, 4]}, "letters and digits"),
        ({"x" * 30: [0, 4]}, "repeats its end"),
    ],
)
def test_digit_ranges_whose_files_would_meet(config, ranges, sentence):
    config["ablations"]["digit_ranges"] = ranges
    with pytest.raises(UserError, match=sentence):
        validated(config)


def test_a_run_called_like_an_embedding(config):
    config["embeddings"] = {"mini": {"numbers": 17}}
    config = renamed(config, "runs", "mini.scratch", "mini")
    config["tables"]["accuracy"]["runs"] = ["mini.finetuned", "mini"]
    with pytest.raises(UserError, match=r"`embeddings\.mini`: a run has the same name"):
        validated(config)


def test_stacked_runs_whose_rules_would_meet(config):
    run = next(iter(config["runs"].values()))
    config["runs"] |= {name: run | {"seeds": [0, 1], "stack_seeds": True} for name in ("a.b", "a-b")}
    with pytest.raises(UserError, match=r"`runs\.a-b`.*'a\.b'"):
        validated(config)


def test_the_shipped_names_are_fine():
    for path in (ROOT / "config").glob("*.yaml"):
        if path.name != "schema.yaml":
            validated(yaml.safe_load(path.read_text()))


# Cells


def test_cells_of_any_text_stay_in_their_column():
    cells = [["a|b", r"50% of $x_1$ & \alpha {~^#}"]]
    text = markdown(["run", "what"], cells, 2)
    assert text.splitlines()[-1] == "| a\\|b | 50% of $x_1$ & \\alpha {~^#} |"
    row = next(line for line in latex(["run", "what"], cells, 2).splitlines() if "50" in line)
    assert row.startswith("a|b & ") and row.endswith(r" \\")
    for special in (r"\%", r"\$x\_1\$", r"\&", r"\textbackslash{}alpha", r"\{\textasciitilde{}"):
        assert special in row
    assert all(before == "\\" for before, after in pairwise(row) if after in "%$#")


# Files as people have them


def fetched(tmp_path, name="own"):
    """What the source `path` makes of the folder `own`."""
    directory = tmp_path / "fetched"
    facts = fetch(name, {"sources": [{"path": str(tmp_path / "own")}]}, directory)
    return directory, facts


@pytest.fixture()
def sharded(tmp_path):
    """A folder `own` with a sharded model, and the model."""
    view = tiny_model("llama")
    view.model.save_pretrained(tmp_path / "own", max_shard_size="20KB")
    view.tokenizer.save_pretrained(tmp_path / "own")
    return tmp_path / "own", view


def rename_shards(folder, rename):
    index = folder / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    for number, shard in enumerate(sorted(set(content["weight_map"].values()))):
        (folder / shard).rename(folder / rename(number))
        content["weight_map"] = {
            tensor: rename(number) if where == shard else where
            for tensor, where in content["weight_map"].items()
        }
    index.write_text(json.dumps(content))


@pytest.mark.parametrize(
    "rename", [lambda n: f"weights-{n}.safetensors", lambda n: f"model-{n:05d}.safetensors"]
)
def test_shards_with_other_names_and_a_right_index(sharded, tmp_path, rename):
    folder, view = sharded
    rename_shards(folder, rename)
    # An old set of shards beside the valid one is not the model's.
    save_file({"old": torch.ones(1)}, folder / "model-00001-of-00099.safetensors")
    directory, _ = fetched(tmp_path)
    assert not (directory / "model-00001-of-00099.safetensors").exists()
    for name, parameter in load_model(directory).model.named_parameters():
        assert torch.equal(parameter, view.model.get_parameter(name)), name


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (
            lambda f: f.joinpath("adapter_model.safetensors").write_bytes(b""),
            "adapter_model.safetensors, a part",
        ),
        (
            lambda f: next(f.glob("model-*")).unlink(),
            r"lacks model-\S+ of \d+ shards that \S+index\.json names",
        ),
        (
            lambda f: f.joinpath("model.safetensors.index.json").write_text('{"weight_map": ["a"]}'),
            "has no weight_map",
        ),
        (
            lambda f: f.joinpath("model.safetensors.index.json").write_text('{"weight_map": {"a": "../b"}}'),
            "names '../b', which is no safetensors file beside it",
        ),
        (
            lambda f: f.joinpath("model.safetensors.index.json").write_text('{"weight_map": {"a": ["b"]}}'),
            "which is no safetensors file beside it",
        ),
        (lambda f: edit_config(f, quantization_config={"quant_method": "awq"}), "names a quantisation"),
        (
            lambda f: (f / "model.safetensors").symlink_to(f / "gone"),
            "model.safetensors is a link to .*gone, which is not there",
        ),
    ],
)
def test_folders_that_are_no_model_are_refused_as_they_are_fetched(sharded, tmp_path, spoil, sentence):
    folder, _ = sharded
    spoil(folder)
    with pytest.raises(UserError, match=sentence):
        fetched(tmp_path)
    assert not (tmp_path / "fetched").exists()


def test_a_user_who_is_not_there(tmp_path):
    with pytest.raises(UserError, match="there is no such user"):
        fetch("own", {"sources": [{"path": "~nosuchuser/model"}]}, tmp_path / "fetched")


# A model that is replaced under its path


@pytest.mark.workflow
def test_another_model_under_the_same_path_is_fetched_anew(tmp_path):
    own = tmp_path / "own model"
    tiny_model("gpt2", own)
    (tmp_path / "study").mkdir()
    study = copy_of_the_tree(tmp_path / "study", "micro")
    path = study / "config/config.yaml"
    config = yaml.safe_load(path.read_text())
    config["models"]["own"] = {"sources": [{"path": str(own)}]}
    config["embeddings"] = {"own": {"numbers": 21}}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    target = "results/embeddings/own/number-rows.json"
    snakemake(study, target, "--cores", "1")
    assert planned(study, target) == set()
    for file in own.iterdir():
        file.touch()
    assert planned(study, target) == set()
    tiny_model("gpt2", own, seed=1)
    assert planned(study, target) == {"fetch_model", "number_rows_of_model"}
    before = json.loads(Path(study / target).read_text())["digest"]
    snakemake(study, target, "--cores", "1")
    assert json.loads(Path(study / target).read_text())["digest"] != before
    # A folder that is not there takes nothing away; another path that is not there is named.
    own.rename(tmp_path / "elsewhere")
    said = snakemake(study, target, "--cores", "1")
    assert "models.own: its folder is not there; the copy that was made of it is used." in said
    assert "Nothing to be done" in said
    config["models"]["own"] = {"sources": [{"path": str(tmp_path / "nowhere")}]}
    path.write_text(yaml.safe_dump(config, sort_keys=False))
    said = snakemake(study, target, "--cores", "1", expect=1)
    assert "nowhere: there is no such directory" in said


# What other readers open


def test_outcomes_are_read_by_xarray_without_a_warning(tmp_path):
    view = tiny_model("gpt2")
    ids = number_ids(view.tokenizer, 20)
    bank = FilterBank(view.unembedding(ids).numpy(), fourier_basis(21, "paper"))
    rows = table1_conditions(bank, view.n_layers, 2)
    prompts = ["Total of 3 and 4 Answer", "Total of 5 and 6 Answer"]
    outcomes = run_conditions(view, view.encode(prompts), ids, rows, answers=[7, 11], batch_size=2)
    examples = pd.DataFrame({"a": [3, 5], "b": [4, 6], "template": [0, 0]})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_outcomes(outcomes, examples, tmp_path / "outcomes.zarr")
        found = xr.open_zarr(tmp_path / "outcomes.zarr").load()
        again = read_outcomes([tmp_path / "outcomes.zarr"], 2)
    assert found["condition"].values.tolist() == outcomes["condition"].values.tolist()
    # Zarr 3 specifies one type of text.
    stored = json.loads((tmp_path / "outcomes.zarr" / "condition" / "zarr.json").read_text())
    assert stored["data_type"] == "string"
    assert again["prediction"].equals(outcomes["prediction"])


LEFT_BEHIND = (".DS_Store", "._zarr.json", ".nfs0001", ".zarr.json.swp", "zarr.json~", "Thumbs.db", "c/0/._0")


def test_files_that_systems_leave_behind_are_foreign_and_no_damage(tmp_path, capsys, monkeypatch):
    view = tiny_model("gpt2")
    ids = number_ids(view.tokenizer, 20)
    store = tmp_path / "results" / "number-rows.zarr"
    manifest = tmp_path / "results" / "number-rows.json"
    arrays = write_number_rows(view, ids, store)
    write_manifest(manifest, store, provenance={}, arrays=arrays)
    before = read_number_rows(store)
    for folder in (store, store / "unembedding"):
        for name in LEFT_BEHIND:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b"\0")
    (tmp_path / "results" / "._number-rows.json").write_bytes(b"\0\xff")
    require_whole(manifest)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_number_rows(store).equals(before)
    assert verify.verify(tmp_path / "results") == (1, [])
    monkeypatch.setattr(sys, "argv", ["verify", str(tmp_path / "results")])
    assert verify.main() == 0
    said = capsys.readouterr().out
    assert said.count("is foreign") == 2 * len(LEFT_BEHIND) + 1 and "1 manifests checked, 0 problems." in said
    # What a job might have written is still damage.
    (store / "unembedding" / "c" / "9").write_bytes(b"chunk")
    with pytest.raises(UserError, match="was not written by its job"):
        read_number_rows(store)


# Where Snakemake is started


@pytest.mark.workflow
def test_a_python_in_a_folder_with_a_space_is_named(tmp_path):
    spaced = tmp_path / "a folder's" / "bin"
    spaced.mkdir(parents=True)
    (spaced / "python").symlink_to(sys.executable)
    study = tmp_path / "study"
    study.mkdir()
    copy_of_the_tree(study, "micro")
    ran = subprocess.run(
        [str(spaced / "python"), "-m", "snakemake", "-n", "--cores", "1"],
        cwd=study,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(path for path in sys.path if path)},
    )
    said = ran.stdout + ran.stderr
    assert ran.returncode == 1 and "Traceback" not in said
    assert re.search(
        r"Snakemake's Python is .*a folder's/bin/python, whose path has a space or a quote", said
    )


@pytest.mark.system
@pytest.mark.workflow
def test_a_study_in_a_folder_with_a_space_and_a_quote(tmp_path):
    study = tmp_path / "a folder's"
    study.mkdir()
    copy_of_the_tree(study, "micro")
    snakemake(study, "--cores", "1", "results/datasets/addition-8.parquet")
    assert len(pd.read_parquet(study / "results/datasets/addition-8.parquet"))


def test_a_folder_that_is_not_there_has_no_problems_to_count(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["verify", str(tmp_path / "gone")])
    assert verify.main() == 1
    assert "There is no folder" in capsys.readouterr().out


def test_records_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match=r"cannot be written to .*; nothing was started\."):
        stay_alone(tmp_path / "file" / "running.lock")


# What would rerun


@pytest.mark.workflow
class TestWhy:
    """`make why` knows what the command line changes, and says what it cannot know."""

    @staticmethod
    def why(folder, *arguments):
        ran = subprocess.run(
            [sys.executable, "-m", "fourier_addition.pipeline.why", *arguments],
            cwd=folder,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONPATH": "workflow/scripts"},
        )
        assert ran.returncode == 0, ran.stderr
        return ran.stdout

    def test_values_of_the_command_line(self, tmp_path_factory):
        study = finished(tmp_path_factory.getbasetemp())
        assert self.why(study) == "Nothing would rerun.\n"
        # Values come beside those of the file, also in its mappings, and are the schema's numbers.
        run = "{epochs: 3.0, learning_rate: 1e-5, betas: [9e-1, 1e-3]}"
        nested = ("models={mini: {precision: bfloat16}}", f"runs={{mini.finetuned: {run}}}")
        said = self.why(study, "--config", "capture={dtype: float16}", *nested)
        assert "the configuration value `epochs` changed from 2 to 3" in said
        assert re.search(r"value `learning_rate` changed from \S+ to 1e-05", said)
        assert re.search(r"value `betas.*` changed from .* to .*0\.001", said)
        for value in ("float16", "bfloat16"):
            assert f"the configuration value `dtype` changed from float32 to {value}" in said

    def test_results_without_a_record(self, tmp_path_factory, tmp_path):
        study = finished(tmp_path_factory.getbasetemp())
        copy_ = tmp_path / "copy"
        shutil.copytree(study, copy_, ignore=shutil.ignore_patterns(".snakemake"))
        assert re.search(r"Of \d+ finished jobs Snakemake has no record", self.why(copy_))
        # `make` itself, where nothing is to do and a value has changed
        said = snakemake(copy_, "--cores", "1", "--config", "capture={dtype: float16}")
        assert (
            re.search(r"Of \d+ finished jobs Snakemake has no record", said) and "Nothing to be done" in said
        )
        assert re.search(r"0\.json: the configuration value `capture\.dtype` changed from float32", said)
