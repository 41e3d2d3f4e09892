"""Prompted runs: solved examples, generated answers and their errors, and the figures drawn from them."""

import matplotlib.pyplot as plt
import numpy as np
import pytest
import torch
import yaml
from fourier_addition.analysis.mistakes import error_counts, error_facts
from fourier_addition.analysis.prompted import (
    accuracy_entry,
    answer_summary,
    answer_table,
    prompted_examples,
)
from fourier_addition.answers import number_complete, written_number
from fourier_addition.capture.dataset import open_capture
from fourier_addition.capture.record import capture
from fourier_addition.errors import UserError
from fourier_addition.models import ModelView, greedy_texts
from fourier_addition.models.encoding import encode_causal
from fourier_addition.models.prefixes import common_length
from fourier_addition.numbers import BOUNDARY, tokenizer_number_space
from fourier_addition.pipeline.config import validated
from fourier_addition.pipeline.figures import views
from fourier_addition.plots.errors import plot_errors
from fourier_addition.tasks import Task, answer_tokens, dataset
from study import ROOT
from tiny import number_ids, tiny_model
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel, Metaspace
from tokenizers.trainers import BpeTrainer
from transformers import PreTrainedTokenizerFast

LARGEST = 20


@pytest.fixture(scope="module")
def examples():
    return dataset(Task("sums", "addition", (0, 10), templates=("{a} + {b} =",)))


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("108", 108),
        (" 108\nWhat", 108),
        ("\n 7.", 7),
        ("-3 ", -3),
        ("1,024 is", 1024),
        ("12,5", 12),
        ("007", 7),
        ("The sum is 5", None),
        ("", None),
        ("- 5", None),
        ("9" * 30, None),
    ],
)
def test_answers_are_read_as_numbers(text, number):
    assert written_number(text, "beginning") == number


@pytest.mark.parametrize("text", ["108\n", " 12 ", "The", "-x", "5."])
def test_a_finished_number_cannot_change(text):
    assert number_complete(text)
    read = written_number(text, "beginning")
    assert all(written_number(text + more, "beginning") == read for more in ("1", ",000", " 5", "\n"))


@pytest.mark.parametrize("text", ["", " ", "1", "10", "-", "1,02"])
def test_an_unfinished_number_can(text):
    assert not number_complete(text)


def test_solved_examples_stand_before_every_prompt(examples):
    table, facts = prompted_examples(examples, shots=4, seed=3, form="bare", separator=" # ")
    assert table["prompt"].str.startswith(facts["prefix"]).all()
    assert (table["prompt"].str.removeprefix(facts["prefix"]) == examples["prompt"]).all()
    chosen = examples.set_index("example").loc[facts["examples"]]
    assert set(chosen["split"]) == {"train"} and len(set(facts["examples"])) == 4
    solved = facts["prefix"].split(" # ")[:-1]
    assert solved == [f"{row.prompt}{BOUNDARY}{row.answer}" for row in chosen.itertuples()]
    _, spaced = prompted_examples(examples, shots=4, seed=3, form="space", separator=" # ")
    assert spaced["prefix"] == facts["prefix"].replace(BOUNDARY, " ")
    assert prompted_examples(examples, shots=4, seed=3, form="bare", separator=" # ")[1] == facts
    assert prompted_examples(examples, shots=4, seed=4, form="bare", separator=" # ")[1] != facts
    bare, none = prompted_examples(examples, shots=0, seed=3, form="bare", separator="\n")
    assert none["prefix"] == "" and bare.equals(examples)
    with pytest.raises(UserError, match=r"5000 shots were asked for, but the train split has only"):
        prompted_examples(examples, shots=5000, seed=0, form="bare", separator="\n")


def test_the_summary_counts_errors_and_unread_answers(examples):
    rows = examples.iloc[:8]
    answers = rows["answer"].to_numpy()
    texts = [str(n) for n in (answers[0], answers[1] + 10, answers[2] - 20, answers[3] + 3)]
    texts += ["nothing", str(answers[5]), str(answers[6] + 2), str(answers[7] + 30)]
    table = answer_table(rows, texts)
    summary = answer_summary(table)
    assert [summary[name]["count"] for name in ("accuracy", "unparsed")] == [2, 1]
    assert summary["accuracy"]["of"] == 8
    assert (summary["multiples_of_10"]["count"], summary["multiples_of_10"]["of"]) == (3, 5)
    assert (summary["below_6"]["count"], summary["even"]["count"]) == (2, 4)
    assert summary["multiples_of_10"]["low"] < 3 / 5 < summary["multiples_of_10"]["high"]
    assert accuracy_entry(table) == {
        "examples": 8,
        "accuracy": 2 / 8,
        "within_2": 3 / 8,
        "within_10": 5 / 8,
    }
    counts = error_counts(table, "x").set_index("error")["count"]
    assert counts.to_dict() == {-20: 1, 0: 2, 2: 1, 3: 1, 10: 1, 30: 1}
    facts = error_facts(table, "x").set_index("name")["value"]
    assert facts["answers that are no number"] == 1 / 8
    assert facts["errors that are multiples of 10"] == 3 / 5
    huge = error_counts(answer_table(rows.iloc[:2], ["123456789012345", "1"]), "x")
    figure, drawn = plot_errors(huge, limit=21)
    assert drawn["error"].abs().max() <= 21
    plt.close(figure)
    right = answer_summary(answer_table(rows, [str(n) for n in answers]))
    assert right["accuracy"]["share"] == 1 and right["multiples_of_10"]["share"] is None
    with pytest.raises(UserError, match="1 answers to 8 examples"):
        answer_table(rows, ["5"])


def greedy_by_hand(view, prompt, tokens):
    """Greedy tokens from Hugging Face's own logits, without any cache."""
    ids = list(view.encode([prompt])[0].ids)
    written = []
    for _ in range(tokens):
        with torch.no_grad():
            logits = view.model(input_ids=torch.tensor([ids + written]), use_cache=False).logits
        written.append(int(logits[0, -1].argmax()))
        if written[-1] == view.tokenizer.eos_token_id:
            return written[:-1]
    return written


@pytest.mark.parametrize("family", ["gpt2", "gptj", "phi", "gemma2", "qwen3"])
def test_greedy_answers_are_hugging_faces_own(family):
    view = tiny_model(family, largest=LARGEST, layers=2)
    prompts = [
        f"{shots}Calculate {a} + {b} . Answer:" for shots in ["1 + 2 = 3 # "] for a in (1, 5) for b in (2, 9)
    ]
    prompts.append("1 + 2 = 3 # 7")
    found = greedy_texts(view, prompts, tokens=5, batch_size=3)
    expected = [
        view.tokenizer.decode(
            greedy_by_hand(view, prompt, 5), skip_special_tokens=False, clean_up_tokenization_spaces=False
        )
        for prompt in prompts
    ]
    assert found == expected


def test_a_masked_model_fills_its_mask():
    view = tiny_model("bert", largest=LARGEST)
    (text,) = greedy_texts(view, ["1 + 2 ="], tokens=4, batch_size=2)
    ids, position = view.encode(["1 + 2 ="])[0]
    with torch.no_grad():
        token = view.model(input_ids=torch.tensor([ids])).logits[0, position].argmax()
    assert text == view.tokenizer.decode([token], skip_special_tokens=True)


def test_batches_stop_when_every_answer_is_read(monkeypatch):
    view = tiny_model("gpt2", largest=LARGEST)
    passes = []
    monkeypatch.setattr(
        view, "final_hidden", lambda *a, **k: (passes.append(1), ModelView.final_hidden(view, *a, **k))[1]
    )
    greedy_texts(view, ["1 + 2 ="], tokens=6, batch_size=2, finished=lambda text: True)
    assert len(passes) == 1
    with pytest.raises(UserError, match="At least 1 token"):
        greedy_texts(view, ["1 + 2 ="], tokens=0, batch_size=2)


def test_answers_of_any_length_fit():
    assert answer_tokens(520) == 5 and answer_tokens(9) == 3


def byte_level_tokenizer():
    """A tokenizer of GPT-2's kind, which joins the space before a number with it."""
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    numbers = [str(number) for number in range(21)]
    lines = [text for number in numbers for text in (f"+ {number} {number}", number)] * 20
    trainer = BpeTrainer(vocab_size=500, initial_alphabet=ByteLevel.alphabet(), show_progress=False)
    tokenizer.train_from_iterator(lines, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer)


def test_solved_answers_are_the_tokens_that_are_asked_for(examples):
    tokenizer = byte_level_tokenizer()
    space = tokenizer_number_space(tokenizer, "bare").first(LARGEST + 1)
    table, facts = prompted_examples(examples, shots=3, seed=0, form="bare", separator="\n")
    answers = examples.set_index("example").loc[facts["examples"], "answer"].tolist()
    ((ids, position),) = encode_causal(tokenizer, table["prompt"].iloc[:1])
    assert position == len(ids) - 1
    assert tokenizer.decode(ids) == table["prompt"].iloc[0].replace(BOUNDARY, "")
    cue = tokenizer.encode(": ")
    after = [ids[i + len(cue)] for i in range(len(ids) - len(cue)) if ids[i : i + len(cue)] == cue]
    assert after == space.ids[answers].tolist()
    # Without the cut, space and number are one token, which is never asked for.
    assert tokenizer.encode(f": {answers[0]}") != [*cue, space.ids[answers[0]]]


def test_solved_examples_have_the_numbers_own_tokens_where_every_text_gets_a_space():
    tokenizer = Tokenizer(BPE())
    tokenizer.pre_tokenizer = Metaspace(prepend_scheme="always")
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    trainer = BpeTrainer(initial_alphabet=[*"0123456789"], show_progress=False, vocab_size=60)
    tokenizer.train_from_iterator(["Answer: 1 2 3 4", "5 6 7 8 9 0 +="], trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer)
    text = f"1 + 2 = {BOUNDARY}3 4 + 1 ="
    ((ids, _),) = encode_causal(fast, [text])
    # No second space stands before the answer, and the answer is the token that answers are scored on.
    assert fast.decode(ids) == fast.decode(fast.encode(text.replace(BOUNDARY, ""), add_special_tokens=False))
    asked = encode_causal(fast, ["1 + 2 = "])[0].ids
    answer = int(tokenizer_number_space(fast, "bare").ids[3])
    assert ids[: len(asked) + 1] == [*asked, answer]


@pytest.mark.parametrize("family", ["gpt2", "phi", "gemma2", "llama"])
def test_the_solved_examples_pass_once_and_change_nothing(family, tmp_path, monkeypatch, examples):
    view = (
        tiny_model(family, largest=LARGEST, max_position_embeddings=128)
        if family != "gpt2"
        else tiny_model(family, largest=LARGEST, n_positions=128)
    )
    table, facts = prompted_examples(examples, shots=4, seed=0, form="bare", separator=" # ")
    rows = table[table["split"] == "test"].iloc[:12]
    prompts = rows["prompt"].tolist()
    stem = common_length(view.encode(prompts))
    assert stem >= len(view.encode([facts["prefix"]])[0].ids)
    passed = []
    run = ModelView.run
    monkeypatch.setattr(
        ModelView, "run", lambda self, ids, **k: (passed.append(tuple(ids.shape)), run(self, ids, **k))[1]
    )
    ids = number_ids(view.tokenizer, LARGEST)
    stores = {}
    for name, shared in (("plain", 0), ("shared", 1)):
        passed.clear()
        capture(
            view,
            prompts,
            rows[["a", "b", "answer"]],
            ids,
            tmp_path / name,
            batch_size=3,
            block=6,
            shared_prefix=shared,
        )
        stores[name] = open_capture(tmp_path / name).load()
        whole = [shape for shape in passed if shape[1] >= stem]
        assert len(whole) == (4 if name == "plain" else 1), passed
    for name in ("module_output", "residual", "final_logits"):
        np.testing.assert_allclose(
            stores["plain"][name].values, stores["shared"][name].values, rtol=2e-4, atol=2e-4
        )
    assert (stores["plain"]["vocabulary_prediction"] == stores["shared"]["vocabulary_prediction"]).all()


@pytest.fixture()
def study_config():
    config = yaml.safe_load((ROOT / "tests/configs/micro.yaml").read_text())
    config["models"]["mini"]["architecture"]["positions"] = 64
    config["runs"]["mini.2shot"] = {"model": "mini", "task": "addition-8", "shots": 2}
    config["tasks"]["addition-20"] = {"operation": "addition", "operands": [0, 20], "running_example": [3, 5]}
    config["runs"]["mini.beyond"] = {"model": "mini", "task": "addition-20", "shots": 1}
    return config


@pytest.mark.parametrize(
    ("where", "value", "sentence"),
    [
        (["runs", "mini.2shot", "epochs"], 3, r"`runs.mini.2shot.epochs` is of training"),
        (
            ["runs", "mini.finetuned", "separator"],
            ";",
            r"`runs.mini.finetuned.separator` is of prompted runs",
        ),
        (["runs", "mini.2shot", "shots"], -1, r"`runs.mini.2shot.shots` must be at least 0"),
        (["runs", "mini.finetuned", "task"], "addition-20", r"number 17 is not one token.*or `shots`"),
        (
            ["figures", "figure-9"],
            {"run": "mini.beyond"},
            r"figures.figure-9.run.*number 17 is not one token",
        ),
        (["figures", "figure-8"], {"runs": ["mini.beyond"]}, r"figure-8.runs.*`prompted-errors`"),
        (["figures", "figure-15"], {"embeddings": ["mini.beyond"]}, r"figure-15.embeddings.*number 17"),
        (["tables", "table-1"], {"run": "mini.beyond"}, r"tables.table-1.run.*number 17"),
        (["ablations", "runs"], ["mini.beyond"], r"ablations.runs.*number 17"),
        (
            ["figures", "x"],
            {"kind": "training", "runs": ["mini.2shot"]},
            r"'mini.2shot' is prompted, not trained",
        ),
        (["figures", "x"], {"kind": "prompted-errors", "run": "mini.scratch"}, r"'mini.scratch' is trained"),
        (["tables", "x"], {"kind": "prompted", "runs": ["mini.scratch"]}, r"'mini.scratch' is trained"),
    ],
)
def test_what_a_prompted_run_cannot_show_gets_one_sentence(study_config, where, value, sentence):
    views(validated(study_config))
    inner = study_config
    for key in where[:-1]:
        inner = inner[key]
    inner[where[-1]] = value
    with pytest.raises(UserError, match=sentence) as raised:
        views(validated(study_config))
    assert "\n" not in str(raised.value) and str(raised.value).endswith(".")


def test_prompting_changes_no_trained_run(study_config):
    run = validated(study_config)["runs"]["mini.finetuned"]
    assert not {"shots", "shot_seed", "separator", "answer_tokens"} & set(run)
