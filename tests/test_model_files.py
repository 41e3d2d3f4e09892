"""Files of a model as people have them: the right answer, or a sentence with the file and what to do."""

import json
import logging
import shutil
from pathlib import Path

import pytest
import torch
from fourier_addition.errors import UserError
from fourier_addition.files.model_texts import NOT_GREEDY, not_greedy
from fourier_addition.models import greedy_texts, load_model, scratch_model
from fourier_addition.models.tokenizer import load_tokenizer
from fourier_addition.sources import fetch
from safetensors.torch import load_file, save_file
from tiny import tiny_model
from transformers import AutoTokenizer, GenerationConfig

PROMPTS = ["a + b = ?", "Total of 3 and 4 Answer"]
VOCABULARY = json.dumps({"<unk>": 0, "a": 1, "1": 2, "12": 3})


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A model's directory with nothing wrong, and its answers."""
    folder = tmp_path_factory.mktemp("whole") / "own"
    view = tiny_model("llama", folder)
    return folder, greedy_texts(view, PROMPTS, tokens=3, batch_size=2)


@pytest.fixture()
def own(whole, tmp_path):
    return Path(shutil.copytree(whole[0], tmp_path / "own"))


def put(name, text):
    """Write a file of the model: text, bytes, or keys that are added to its JSON."""

    def change(folder):
        file = folder / name
        if isinstance(text, dict):
            file.write_text(json.dumps((json.loads(file.read_text()) if file.exists() else {}) | text))
        else:
            file.write_bytes(text if isinstance(text, bytes) else text.encode())

    return change


def without(*names):
    return lambda folder: [(folder / name).unlink(missing_ok=True) for name in names]


def both(*changes):
    return lambda folder: [change(folder) for change in changes]


def older(*changes, tokenizer_class=None):
    """A directory without tokenizer.json, and of files that came before it."""
    return both(
        without("tokenizer.json"),
        put("tokenizer_config.json", {"tokenizer_class": tokenizer_class}),
        *changes,
    )


def weights(change):
    def apply(folder):
        file = folder / "model.safetensors"
        save_file(change(load_file(file)), file, metadata={"format": "pt"})

    return apply


NO_TEXT = b"\xff\xfe\x00"
AGAIN = "get the file again from where the model came from"
SAVE = r"make a tokenizer\.json with transformers"
MAPPINGS = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "generation_config.json",
    "config.json",
)
REFUSED = {
    # Any JSON that is none, or none of this kind
    **{
        f"{name}, {label}": (put(name, text), rf"{name} {said}: {AGAIN}")
        for name in MAPPINGS
        for label, text, said in (
            ("cut off", "{", r"cannot be read as JSON \(line 1, column 2\)"),
            ("empty", "", "is empty"),
            ("no text", NO_TEXT, r"cannot be read as JSON \(it is no text in UTF-8\)"),
            ("a list", "[]", "holds a list where a mapping belongs"),
            ("a word", '"a"', "holds text where a mapping belongs"),
            ("deep", "[" * 100_000, r"cannot be read as JSON \(.*\)"),
        )
    },
    # Files that are not all there
    **{
        f"only {name}": (
            older(put(name, b"\n\x10\n\x05<unk>"), tokenizer_class=tokenizer_class),
            rf"{name} needs the packages sentencepiece and protobuf.*{SAVE}",
        )
        for name, tokenizer_class in (
            ("tokenizer.model", "LlamaTokenizer"),
            ("tokenizer.model", None),
            ("spiece.model", "T5Tokenizer"),
            ("sentencepiece.bpe.model", "XLMRobertaTokenizer"),
        )
    },
    "no merges": (older(put("vocab.json", VOCABULARY)), r"vocab\.json has no merges\.txt beside it"),
    "no vocabulary": (
        older(put("merges.txt", "#version: 0.2\n1 2\n")),
        r"has merges\.txt but neither vocab\.json",
    ),
    "no tokenizer": (without("tokenizer.json"), "has no tokenizer: none of"),
    # Content that does not fit
    "a vocabulary without ids": (
        older(put("vocab.json", '{"a": "b"}'), put("merges.txt", "a b\n")),
        r"vocab\.json gives the token 'a' the id 'b'",
    ),
    "merges of other tokens": (
        older(put("vocab.json", VOCABULARY), put("merges.txt", "q r\n"), tokenizer_class="GPT2Tokenizer"),
        r"\(vocab\.json, merges\.txt\) cannot be loaded: transformers says: .*`q` out of vocabulary",
    ),
    "an empty vocabulary": (
        older(put("vocab.txt", ""), tokenizer_class="BertTokenizer"),
        r"vocab\.txt is empty",
    ),
    "a vocabulary that is no text": (
        older(put("vocab.txt", NO_TEXT), tokenizer_class="BertTokenizer"),
        r"vocab\.txt is no text in UTF-8",
    ),
    "a vocabulary without the unknown word": (
        older(put("vocab.txt", "a\nb\n"), tokenizer_class="BertTokenizer"),
        r"cannot tokenize: transformers says: .*Missing \[UNK\]",
    ),
    "a class of nobody": (
        older(
            put("vocab.json", VOCABULARY),
            put("merges.txt", "1 2\n"),
            tokenizer_class="NobodysTokenizer",
        ),
        rf"names the tokenizer 'NobodysTokenizer', which transformers does not have.*{SAVE}",
    ),
    "a kind of tokenizer that is none": (
        put("tokenizer.json", '{"model": {"type": "Unheard", "vocab": {}}}'),
        r"tokenizer\.json is of the kind 'Unheard', which is none of BPE",
    ),
    "a tokenizer without a model": (
        put("tokenizer.json", '{"model": []}'),
        r"holds a list under `model`",
    ),
    "a tokenizer without tokens": (
        put("tokenizer.json", '{"model": {"type": "BPE", "vocab": {}}}'),
        r"has no vocabulary under `model\.vocab`",
    ),
    "a tokenizer of another form": (
        put("tokenizer.json", '{"model": {"type": "BPE", "vocab": {"a": 0}, "merges": 3}}'),
        r"tokenizer\.json cannot be loaded: transformers says",
    ),
    **{
        f"setting {key} {value!r}": (put("tokenizer_config.json", {key: value}), rf"config\.json .*`{key}`")
        for key, value in (
            ("tokenizer_class", 5),
            ("model_max_length", "many"),
            ("added_tokens_decoder", []),
            ("added_tokens_decoder", {"x": {"content": "a"}}),
            ("eos_token", 5),
            ("eos_token", ["</s>"]),
            ("pad_token", {"lstrip": True}),
            ("chat_template", [1]),
            ("chat_template", 3),
        )
    },
    "a special token that is a list": (
        put("special_tokens_map.json", '{"eos_token": ["a"]}'),
        r"special_tokens_map\.json gives \['a'\] as `eos_token`",
    ),
    "an added token without an id": (
        put("added_tokens.json", '{"x": "y"}'),
        r"added_tokens\.json gives the token 'x' the id 'y'",
    ),
    "an end that is text": (
        put("generation_config.json", {"eos_token_id": "a"}),
        r"generation_config\.json gives 'a' as `eos_token_id`",
    ),
    # The configuration
    **{
        f"config {key} {value!r}": (put("config.json", {key: value}), rf"config\.json.*{said}")
        for key, value, said in (
            ("model_type", None, "names no model_type"),
            ("model_type", "nobody", "model_type 'nobody' is not supported; allowed are"),
            ("model_type", "opt", "model_type 'opt' is not supported; allowed are"),
            ("hidden_size", "48", "`hidden_size` must be of type int, not '48'"),
            ("num_hidden_layers", 2.0, "`num_hidden_layers` must be of type int, not 2.0"),
            ("rms_norm_eps", "1e-5", "`rms_norm_eps` must be of type float"),
            ("num_attention_heads", 5, r"not a multiple of the number of attention heads \(5\)"),
            ("num_attention_heads", 0, "cannot be used"),
            ("hidden_act", "zzz", "hidden_act 'zzz' is not known; allowed are"),
            ("hidden_act", None, "`hidden_act` must be of type str"),
            ("rope_scaling", {"type": "zzz", "factor": 2.0}, "rope type 'zzz' in rope_scaling is not known"),
            (
                "rope_parameters",
                {"rope_type": "zzz", "rope_theta": 1e4},
                "rope type 'zzz' in rope_parameters",
            ),
            ("rope_scaling", [1], "must be of type dict"),
            ("dtype", "float99", "dtype 'float99' is no type of torch"),
            ("pad_token_id", 10**6, "pad_token_id 1000000 is beyond the 89 tokens"),
            ("layer_types", ["full_attention"], r"must be equal to the number of `layer_types`"),
            ("id2label", ["a"], "cannot be used"),
        )
    },
    "weights under other names": (
        weights(lambda tensors: {f"wrapped.{name}": tensor for name, tensor in tensors.items()}),
        r"hold wrapped\.\S+, for which the model of config\.json has no place",
    ),
    "weights without the head": (
        weights(lambda tensors: {n: t for n, t in tensors.items() if n != "lm_head.weight"}),
        r"lack lm_head\.weight: a file is missing, or configuration, index and weights",
    ),
}


def used(folder, into):
    """Answers of a folder's model: fetched, loaded, made from scratch, saved and loaded again."""
    directory = into / "fetched"
    fetch("own", {"sources": [{"path": str(folder)}]}, directory)
    view = load_model(directory)
    texts = greedy_texts(view, PROMPTS, tokens=3, batch_size=2)
    scratch_model(directory, seed=0)
    view.save(into / "copy")
    assert greedy_texts(load_model(into / "copy"), PROMPTS, tokens=3, batch_size=2) == texts
    return texts


@pytest.mark.parametrize("case", REFUSED)
def test_a_file_that_will_not_do_is_named_in_one_sentence(case, own, tmp_path):
    spoil, sentence = REFUSED[case]
    spoil(own)
    with pytest.raises(UserError, match=sentence) as caught:
        used(own, tmp_path)
    said = str(caught.value)
    assert said.endswith(".") and "\n" not in said and ".partial" not in said
    assert "pip install" not in said and "trust_remote_code" not in said


@pytest.mark.parametrize("case", [case for case in REFUSED if case.startswith(("config ", "setting "))])
def test_a_model_from_scratch_needs_the_same_files(case, own):
    spoil, _ = REFUSED[case]
    spoil(own)
    with pytest.raises(UserError):
        scratch_model(own, seed=0)


GREEDY = {
    "a penalty": {"repetition_penalty": 5.0},
    "beams": {"num_beams": 4},
    "sampling": {"do_sample": True, "temperature": 2.0, "top_k": 3},
    "suppressed tokens": {"suppress_tokens": [3, 4], "bad_words_ids": [[3]]},
    "a forced token": {"forced_bos_token_id": 4, "suppress_tokens": [4]},
    "no room for an answer": {"max_new_tokens": -5, "num_beams": "x"},
    "out of range": {"temperature": -1, "do_sample": True, "top_p": 7},
    "temperature without sampling": {"do_sample": False, "temperature": 0.6},
    "a key of nobody": {"zzz": 3},
}
UNCHANGED = {
    **{f"generation: {name}": put("generation_config.json", keys) for name, keys in GREEDY.items()},
    "no generation settings": without("generation_config.json"),
    "a chat template that is none": put("chat_template.json", "{"),
    "a class of nobody beside tokenizer.json": put("tokenizer_config.json", {"tokenizer_class": "Nobody"}),
    "code of its own beside tokenizer.json": put(
        "tokenizer_config.json",
        {"tokenizer_class": "X", "auto_map": {"AutoTokenizer": ["x.Y", None]}},
    ),
    "code of its own in the configuration": put("config.json", {"auto_map": {"AutoConfig": "x.Y"}}),
    "flash attention": put("config.json", {"_attn_implementation": "flash_attention_2"}),
    "an attention of nobody": put("config.json", {"_attn_implementation": "zzz"}),
    "stored type": put("config.json", {"torch_dtype": "float16"}),
    "attentions asked for": put("config.json", {"output_attentions": True, "use_cache": False}),
    "an adapter in a subfolder": lambda folder: (folder / "lora").mkdir(),
    "double precision": weights(lambda tensors: {name: t.double() for name, t in tensors.items()}),
    "weights of the body's own names": weights(
        lambda tensors: {name.removeprefix("model."): t for name, t in tensors.items()}
    ),
}


@pytest.mark.parametrize("case", UNCHANGED)
def test_what_decides_no_answer_changes_none(case, own, whole, tmp_path):
    UNCHANGED[case](own)
    assert used(own, tmp_path) == whole[1]


def test_settings_that_are_not_applied_are_said(own, tmp_path, caplog):
    put("generation_config.json", {"repetition_penalty": 1.1, "num_beams": 1, "temperature": 0.7})(own)
    with caplog.at_level(logging.WARNING):
        fetch("own", {"sources": [{"path": str(own)}]}, tmp_path / "fetched")
    assert "generation_config.json sets repetition_penalty, which is not applied" in caplog.text
    assert not not_greedy(GenerationConfig().to_dict())
    assert set(NOT_GREEDY) <= set(GenerationConfig().to_dict())


def test_answers_are_those_of_plain_generation(own):
    view = load_model(own)
    for prompt, text in zip(PROMPTS, greedy_texts(view, PROMPTS, tokens=6, batch_size=1), strict=True):
        ids = torch.tensor([view.encode([prompt])[0].ids])
        written = view.model.generate(ids, do_sample=False, max_new_tokens=6)[0, ids.shape[1] :].tolist()
        ended = [each for each in written if each not in view.end_ids]
        assert text == view.tokenizer.decode(ended) or text.split() == view.tokenizer.decode(ended).split()


def test_a_text_ends_with_any_token_that_the_model_says_ends_it(own):
    view = load_model(own)
    free = greedy_texts(view, PROMPTS, tokens=3, batch_size=1)
    first, second = (view.tokenizer.convert_tokens_to_ids(word) for word in free[0].split()[:2])
    assert first != second
    put("generation_config.json", {"eos_token_id": [10**6, second]})(own)
    again = load_model(own)
    assert again.end_ids == {view.tokenizer.eos_token_id, 10**6, second}
    assert greedy_texts(again, PROMPTS, tokens=3, batch_size=1)[0] == free[0].split()[0]


# One file of weights beside an index


@pytest.fixture()
def sharded(tmp_path, whole):
    view = load_model(whole[0])
    view.model.save_pretrained(tmp_path / "own", max_shard_size="20KB")
    view.tokenizer.save_pretrained(tmp_path / "own")
    return tmp_path / "own"


def test_a_single_file_beside_an_index_of_the_same_tensors_is_taken(sharded, whole, tmp_path, caplog):
    tensors = {name: tensor + 1 for name, tensor in load_file(whole[0] / "model.safetensors").items()}
    save_file(tensors, sharded / "model.safetensors", metadata={"format": "pt"})
    with caplog.at_level(logging.WARNING):
        fetch("own", {"sources": [{"path": str(sharded)}]}, tmp_path / "fetched")
    assert "the single file is taken" in caplog.text
    found = load_model(tmp_path / "fetched")
    for name, tensor in tensors.items():
        assert torch.equal(found.model.get_parameter(name), tensor), name


def test_a_stray_file_of_other_tensors_beside_an_index_is_named(sharded, whole, tmp_path):
    tensors = load_file(whole[0] / "model.safetensors")
    tensors.pop("lm_head.weight")
    save_file(tensors, sharded / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"are of different models \(only one of them has lm_head\.weight\)"):
        fetch("own", {"sources": [{"path": str(sharded)}]}, tmp_path / "fetched")


@pytest.mark.parametrize("tensor", ["lm_head.weight"])
def test_an_index_that_sends_a_tensor_to_another_shard_is_named(sharded, tmp_path, tensor):
    index = sharded / "model.safetensors.index.json"
    content = json.loads(index.read_text())
    content["weight_map"][tensor] = next(
        shard for name, shard in content["weight_map"].items() if shard != content["weight_map"][tensor]
    )
    index.write_text(json.dumps(content))
    fetch("own", {"sources": [{"path": str(sharded)}]}, tmp_path / "fetched")
    # The shard that holds it is no longer named by the index.
    with pytest.raises(UserError, match=rf"lack {tensor}|has no place"):
        load_model(tmp_path / "fetched")


def test_a_tokenizer_of_older_files_is_that_of_plain_transformers(own):
    words = ["[UNK]", "[CLS]", "[SEP]", "[MASK]", "[PAD]", *map(str, range(12)), "answer", ":"]
    older(put("vocab.txt", "\n".join(words)), tokenizer_class="BertTokenizer")(own)
    found = load_tokenizer(own)
    assert found("Answer: 7").input_ids == AutoTokenizer.from_pretrained(own)("Answer: 7").input_ids
    assert found.convert_ids_to_tokens(found("Answer: 7").input_ids) == ["[CLS]", "answer", ":", "7", "[SEP]"]
