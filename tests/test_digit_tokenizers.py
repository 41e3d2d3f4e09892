"""Models whose tokenizer splits numbers into digits: what they get, and one sentence for what they do not."""

import numpy as np
import pytest
import torch
import yaml
from fourier_addition.analysis.embeddings import embedding_table, enough_for_map
from fourier_addition.analysis.probes import probe_table
from fourier_addition.analysis.prompted import answer_summary, answer_table
from fourier_addition.answers import number_complete
from fourier_addition.errors import UserError
from fourier_addition.models import greedy_texts, wrap
from fourier_addition.numbers import tokenizer_number_space
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.figures import views
from fourier_addition.tasks import Task, answer_tokens, dataset
from study import ROOT
from tiny import tiny_config
from tokenizers import Regex, Tokenizer, decoders
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Split
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast


def digit_tokenizer():
    """A tokenizer that writes every character as a token of its own, as Qwen's and Gemma's do digits."""
    symbols = ["[UNK]", "<eos>", *"0123456789", *"+-=?. \n", *"Answer:"]
    tokenizer = Tokenizer(
        WordLevel({symbol: index for index, symbol in enumerate(symbols)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = Split(Regex(r"[\s\S]"), "isolated")
    tokenizer.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="[UNK]", eos_token="<eos>")


@pytest.fixture(scope="module")
def examples():
    task = Task("sums", "addition", (94, 98), templates=("{a}+{b}=",), operand_order="ascending")
    return dataset(task).iloc[:6]


@pytest.fixture(scope="module")
def adder(examples):
    """A small qwen2 that knows six sums of three digits by heart, each followed by a line break."""
    tokenizer = digit_tokenizer()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = tiny_config("qwen2", len(tokenizer), 2, 48)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    view = wrap(model, tokenizer)
    lines = [f"{row.prompt}{row.answer}\n" for row in examples.itertuples()]
    ids = torch.tensor([ids for ids, _ in view.encode(lines)])
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    for _ in range(120):
        loss = model(input_ids=ids, labels=ids).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    model.eval()
    return view


def test_the_number_space_is_the_ten_digits(adder):
    space = tokenizer_number_space(adder.tokenizer, "bare")
    assert space.size == 10
    with pytest.raises(UserError, match=r"Number 10 is not one token.*0\.\.9, and 196 is needed.*`shots`"):
        space.first(197)


def test_answers_of_several_tokens_are_generated_and_read(adder, examples):
    prompts = examples["prompt"].tolist()
    tokens = answer_tokens(196)
    texts = greedy_texts(adder, prompts, tokens=tokens, batch_size=4, finished=number_complete)
    summary = answer_summary(answer_table(examples, texts))
    assert summary["accuracy"]["share"] == 1, texts
    short = answer_table(examples, greedy_texts(adder, prompts, tokens=2, batch_size=4))
    assert (short["prediction"] == examples["answer"].to_numpy() // 10).all()


def test_digits_have_a_spectrum_and_a_parity_probe(adder):
    rows = adder.input_embedding(tokenizer_number_space(adder.tokenizer, "bare").ids).numpy()
    analysis = {"basis": "paper", "null_draws": 20, "null_level": 0.95, "null_window": 5, "seed": 0}
    assert len(embedding_table(rows, analysis)) == 4
    # Parity written into the rows is read; a modulus with fewer than 5 digits a residue is left out.
    rows = rows.copy()
    rows[:, 0] = 5.0 * (np.arange(10) % 2)
    rows[:, 1:] *= 0.01
    settings = {"shuffles": 20, "folds": 5, "penalties": [0.01, 0.1, 1.0], "seed": 0}
    probes = probe_table(rows, np.arange(10), [2, 5, 10], **settings)
    assert list(probes["modulus"]) == [2]
    assert not enough_for_map(10, clusters=10, perplexity=5)


@pytest.fixture()
def config():
    config = yaml.safe_load((ROOT / "tests/configs/micro.yaml").read_text())
    config["models"]["digits"] = {"sources": [{"path": "somewhere"}], "numbers": 10}
    config["runs"]["digits.4shot"] = {"model": "digits", "task": "addition-8", "shots": 4}
    config["embeddings"] = {"digits": {"numbers": 10}}
    config["figures"]["answers"] = {"kind": "prompted-errors", "run": "digits.4shot"}
    config["figures"]["probes"] = {"kind": "probes", "embeddings": ["digits"]}
    config["tables"]["answers"] = {"kind": "prompted", "runs": ["digits.4shot"]}
    return config


def test_what_makes_sense_for_digits_is_allowed(config):
    found = views(validated(config))
    (answers,) = found["answers"].inputs["predictions"]
    assert answers.endswith("digits.4shot.seed0/answers.parquet")


@pytest.mark.parametrize(
    ("section", "name", "entry", "sentence"),
    [
        (
            "runs",
            "digits.trained",
            {"model": "digits", "task": "addition-8"},
            r"but number 10 .*`shots`",
        ),
        ("figures", "figure-9", {"run": "digits.4shot"}, r"figure-9.run.*number 10.*kind `prompted`"),
        ("figures", "figure-5", {"embeddings": ["digits"]}, r"10 numbers, too few for a map.*`probes`"),
        ("tables", "table-1", {"run": "digits.4shot"}, r"table-1.run.*number 10"),
        ("embeddings", "digits", {"numbers": 11}, r"number 10 is not one token of model 'digits'"),
    ],
)
def test_what_does_not_gets_one_sentence(config, section, name, entry, sentence):
    config[section][name] = entry
    config.setdefault("analysis", {})["clusters"] = 10
    with pytest.raises(UserError, match=sentence) as raised:
        views(validated(config))
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")
