"""Training: the optimizer's schedule, starts, resume to the last bit, and one sentence for faults."""

import json
import math
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from fourier_addition.corpus import SENTENCES, corpus, numeral_tokenizer, packed
from fourier_addition.errors import UserError
from fourier_addition.models import wrap
from fourier_addition.models.miniature import miniature
from fourier_addition.starts import donor_embedding, fourier_number_embedding, start_model
from fourier_addition.tasks import TEMPLATES, Task, dataset
from fourier_addition.training import (
    LengthBuckets,
    TrainingSettings,
    evaluate,
    fit,
    fit_text,
    line_loss,
    lines_of,
)

NUMBERS = 21
SHAPE = {"positions": 24, "width": 32, "layers": 2, "heads": 2, "inner": 48, "dropout": 0.0}


def tiny(seed=0, dropout=0.0):
    tokenizer = numeral_tokenizer(NUMBERS)
    return wrap(miniature({**SHAPE, "dropout": dropout}, tokenizer, seed), tokenizer)


@pytest.fixture(scope="module")
def examples():
    return dataset(Task("sums", "addition", (0, 10), templates=TEMPLATES["addition"]))


@pytest.fixture(scope="module")
def directory(tmp_path_factory):
    path = tmp_path_factory.mktemp("model")
    tiny().save(path)
    return path


def number_ids(view):
    return np.array([view.tokenizer.convert_tokens_to_ids(str(n)) for n in range(NUMBERS)])


def trained(examples, settings, view=None, **more):
    view = view or tiny()
    lines = [lines_of(view, examples, split) for split in ("train", "validation")]
    return view, fit(view, *lines, number_ids(view), settings, **more)


def test_training_learns_and_reports(examples):
    settings = TrainingSettings(epochs=25, learning_rate=3e-3, batch_size=8)
    _, history = trained(examples, settings)
    assert history["epoch"].tolist() == list(range(26))
    assert history["train_loss"].iloc[-1] < 0.7 * history["train_loss"].iloc[1]
    assert (history["accuracy"] <= history["within_2"]).all()
    assert history["learning_rate"].iloc[-1] == 0 and history["learning_rate"].is_monotonic_decreasing


def test_no_epochs_leave_the_start_as_it_is(examples):
    view, history = trained(examples, TrainingSettings(epochs=0, learning_rate=1e-3))
    assert len(history) == 1
    for ours, theirs in zip(view.model.parameters(), tiny().model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_same_seed_same_weights_other_seed_other(examples):
    settings = TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=8)
    first, second = (trained(examples, settings)[0].model.state_dict() for _ in range(2))
    assert all(torch.equal(first[name], second[name]) for name in first)
    other = trained(examples, TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=8, seed=1))[0]
    assert not torch.equal(first["transformer.wte.weight"], other.embedding_parameter())


def test_batches_have_one_length_and_hold_every_line_once(examples):
    view = tiny()
    buckets = LengthBuckets(lines_of(view, examples, "train"), view.device)
    batches = list(buckets.batches(8, np.random.default_rng(0)))
    assert len(batches) == buckets.steps(8)
    assert sum(len(answers) for _, _, answers in batches) == (examples["split"] == "train").sum()
    again = list(buckets.batches(8, np.random.default_rng(0)))
    assert all(torch.equal(a[1], b[1]) for a, b in zip(batches, again, strict=True))


def test_the_answers_loss_is_that_of_the_full_model(examples):
    view = tiny()
    buckets = LengthBuckets(lines_of(view, examples, "train"), view.device)
    position, ids, answers = next(buckets.batches(8, None))
    tokens = torch.as_tensor(number_ids(view))
    full = view.model(input_ids=ids).logits[:, -1]
    for over, logits, target in (
        ("numbers", full[:, tokens], answers),
        ("vocabulary", full, tokens[answers]),
    ):
        settings = TrainingSettings(epochs=1, learning_rate=1, loss_over=over)
        loss = line_loss(view, ids, position, answers, tokens, settings)
        assert loss.item() == pytest.approx(
            torch.nn.functional.cross_entropy(logits, target).item(), rel=1e-5
        )


def test_a_loss_on_the_line_counts_every_token(examples):
    view = tiny()
    position, ids, answers = next(
        LengthBuckets(lines_of(view, examples, "train"), view.device).batches(8, None)
    )
    tokens = torch.as_tensor(number_ids(view))
    settings = TrainingSettings(epochs=1, learning_rate=1, loss_on="line", loss_over="vocabulary")
    line = torch.cat([ids, tokens[answers][:, None]], dim=1)
    expected = view.model(input_ids=line, labels=line).loss.item()
    loss = line_loss(view, ids, position, answers, tokens, settings)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_evaluation_counts_errors(examples):
    view = tiny()
    found = evaluate(view, LengthBuckets(lines_of(view, examples, "test"), view.device), number_ids(view))
    rows = examples[examples["split"] == "test"]
    right = 0
    for prompt, answer in zip(rows["prompt"], rows["answer"], strict=True):
        (encoded,) = view.encode([prompt])
        logits = view.model(input_ids=torch.tensor([encoded.ids])).logits[0, -1][number_ids(view)]
        right += int(logits.argmax()) == answer
    assert found["accuracy"] == pytest.approx(right / len(rows)) and found["examples"] == len(rows)


RESUME = """
    import sys, json, os, signal
    from pathlib import Path
    sys.path[:0] = {paths}
    import torch, test_training as t
    from fourier_addition.training import TrainingSettings
    torch.use_deterministic_algorithms(True)
    settings = TrainingSettings(epochs=6, learning_rate=2e-3, batch_size=8, save_seconds=0)
    examples = t.dataset(t.Task("sums", "addition", (0, 10), templates=t.TEMPLATES["addition"]))
    def on_epoch(row):
        if row["epoch"] == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
    view, history = t.trained(examples, settings, t.tiny(dropout=0.1), state_file=Path(sys.argv[1]),
                              identity={{"run": 1}}, on_epoch=on_epoch)
    total = sum(float(p.double().abs().sum()) for p in view.model.parameters())
    print(json.dumps([total, history["train_loss"].iloc[1:].tolist()]))
"""


def test_a_killed_run_resumes_to_the_same_bits(tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "workflow" / "scripts")]
    code = textwrap.dedent(RESUME).format(paths=paths)

    def run(state, kill_at):
        return subprocess.run(
            [sys.executable, "-c", code, str(state), str(kill_at)],
            capture_output=True,
            text=True,
            timeout=120,
        )

    whole = run(tmp_path / "whole.state", -1)
    assert whole.returncode == 0, whole.stderr
    killed = run(tmp_path / "killed.state", 4)
    assert killed.returncode == -signal.SIGKILL and (tmp_path / "killed.state").exists()
    started = time.monotonic()
    resumed = run(tmp_path / "killed.state", -1)
    assert resumed.returncode == 0, resumed.stderr
    assert json.loads(resumed.stdout) == json.loads(whole.stdout)
    assert time.monotonic() - started < 120


def test_a_state_of_another_run_is_not_used(examples, tmp_path):
    state = tmp_path / "run.state"
    settings = TrainingSettings(epochs=3, learning_rate=1e-3, batch_size=8, save_seconds=0)
    trained(examples, settings, state_file=state, identity={"data": "a"})
    assert state.exists()
    fresh = trained(examples, settings)[0].model.state_dict()
    other = trained(examples, settings, state_file=state, identity={"data": "b"})[0].model.state_dict()
    assert all(torch.equal(fresh[name], other[name]) for name in fresh)
    state.write_bytes(state.read_bytes()[:100])
    damaged = trained(examples, settings, state_file=state, identity={"data": "a"})[0].model.state_dict()
    assert all(torch.equal(fresh[name], damaged[name]) for name in fresh)


def test_a_loss_that_explodes_is_named(examples):
    with pytest.raises(UserError, match=r"training loss is (nan|inf).*`learning_rate`"):
        trained(examples, TrainingSettings(epochs=3, learning_rate=1e30, batch_size=8, clip=0))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"loss_on": "word"}, "`loss_on` must be one of"),
        ({"loss_over": "digits"}, "`loss_over` must be one of"),
        ({"loss_on": "line"}, "needs `loss_over: vocabulary`"),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        TrainingSettings(epochs=1, learning_rate=1e-3, **settings)


def test_impossible_batch_size_is_refused(examples):
    with pytest.raises(UserError, match="Batch size 0"):
        trained(examples, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=0))


def start(directory, **changes):
    wanted = {"start": "scratch", "embedding": None, "frozen": False, "form": "bare", "numbers": NUMBERS}
    return start_model(directory, **{**wanted, "seed": 3, "device": "cpu", **changes})


def test_starts(directory):
    donor, _ = start(directory, start="pretrained")
    scratch, space = start(directory)
    assert space.ids.tolist() == number_ids(donor).tolist()
    assert torch.equal(donor.embedding_parameter(), tiny().embedding_parameter())
    assert not torch.equal(scratch.embedding_parameter(), donor.embedding_parameter())
    given, _ = start(directory, embedding="pretrained", frozen=True)
    assert torch.equal(given.embedding_parameter(), donor.embedding_parameter())
    assert not given.embedding_parameter().requires_grad and given.tied
    body = "transformer.h.0.mlp.c_fc.weight"
    assert torch.equal(given.model.state_dict()[body], scratch.model.state_dict()[body])
    with pytest.raises(UserError, match="run from scratch only"):
        start(directory, start="pretrained", embedding="random")
    with pytest.raises(UserError, match="Start 'warm'"):
        start(directory, start="warm")
    with pytest.raises(UserError, match=f"Number {NUMBERS} is not one token"):
        start(directory, numbers=50)


def test_a_frozen_embedding_does_not_move(directory, examples):
    view, _ = start(directory, embedding="pretrained", frozen=True)
    before = view.embedding_parameter().detach().clone()
    body = view.model.state_dict()["transformer.h.0.mlp.c_fc.weight"].clone()
    trained(examples, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=8), view)
    assert torch.equal(view.embedding_parameter(), before)
    assert not torch.equal(view.model.state_dict()["transformer.h.0.mlp.c_fc.weight"], body)


def test_embeddings_that_are_given():
    generator = torch.Generator().manual_seed(0)
    pretrained, scratch = (torch.randn(30, 16, generator=generator) for _ in range(2))
    ids = np.arange(5, 26)
    random = donor_embedding("random", pretrained, ids, scratch, seed=1)
    assert torch.allclose(random.norm(dim=1), pretrained.norm(dim=1), rtol=1e-5)
    assert not torch.allclose(random, pretrained)
    shuffled = donor_embedding("shuffled", pretrained, ids, scratch, seed=1)
    assert torch.equal(shuffled[:5], pretrained[:5]) and torch.equal(shuffled[26:], pretrained[26:])
    assert not torch.equal(shuffled[5:26], pretrained[5:26])
    assert torch.equal(shuffled[5:26].sort(dim=0).values, pretrained[5:26].sort(dim=0).values)
    fourier = donor_embedding("fourier", pretrained, ids, scratch, seed=1)
    assert torch.equal(fourier[:5], scratch[:5])
    number = fourier[5:26].norm(dim=1).mean()
    assert number == pytest.approx(pretrained[5:26].norm(dim=1).mean().item(), rel=1e-5)
    with pytest.raises(UserError, match="'learned' is not known"):
        donor_embedding("learned", pretrained, ids, scratch, seed=1)


def test_the_fourier_number_embedding_has_its_periods():
    rows = fourier_number_embedding(30, 8, (10, 100))
    assert np.allclose(rows[3, :2], rows[13, :2], atol=1e-6)
    assert np.allclose(rows[7, :2], [math.cos(1.4 * math.pi), math.sin(1.4 * math.pi)], atol=1e-6)
    assert not rows[:, 4:].any()
    with pytest.raises(UserError, match="width of at least 6"):
        fourier_number_embedding(30, 4)


def test_the_corpus_never_holds_a_sum():
    lines = list(corpus(3000, 101, dict.fromkeys(SENTENCES, 1), (1, 2, 5, 10), seed=0))
    words = {word for line in lines for word in line.split()}
    assert not words & {"+", "sum", "Total", "Calculate", "plus", "="}
    tokenizer = numeral_tokenizer(101)
    assert tokenizer.unk_token_id not in np.concatenate(tokenizer(lines)["input_ids"])


def test_every_sentence_of_the_corpus_is_true():
    for line in corpus(2000, 101, dict.fromkeys(SENTENCES, 1), (1, 2, 5, 10), seed=1):
        words = line.removesuffix(" .").split()
        numbers = [int(word) for word in words if word.isdigit()]
        if "<" in words or ">" in words:
            assert (numbers[0] < numbers[1]) == ("<" in words)
        elif words[1:2] == ["is"]:
            assert (numbers[0] % 2 == 1) == (words[2] == "odd")
        elif "ends" in words:
            assert numbers[0] % 10 == numbers[1]
        elif "has" in words:
            assert numbers[0] // 10 == numbers[1]
        elif "end" in words:
            assert {n % 10 for n in numbers[:-1]} == {numbers[-1]} and len(numbers) > 2
        elif "have" in words:
            assert {n // 10 for n in numbers[:-1]} == {numbers[-1]}
        elif "are" in words:
            assert {n % 2 for n in numbers} == {int(words[-1] == "odd")} and len(numbers) == 6
        else:
            assert len(set(np.diff(numbers))) == 1 and len(numbers) == 6


def test_the_tokenizer_keeps_the_tasks_words():
    tokenizer = numeral_tokenizer(101)
    words = "Put together 15 and 93 . Answer:"
    assert " ".join(tokenizer.tokenize("Put together 15 and 93. Answer: ")) == words
    assert tokenizer.tokenize("15,93+") == ["15", ",", "93", "+"]


def test_pretraining_lowers_its_loss():
    view = tiny()
    text = corpus(2000, NUMBERS, dict.fromkeys(SENTENCES, 1), (1, 2), seed=0)
    lines = packed(text, view.tokenizer, 12, 640)
    assert lines.shape == (640, 12)
    history = fit_text(view, lines, TrainingSettings(epochs=1, learning_rate=5e-3, batch_size=16))
    assert len(history) == 40 and history["loss"].iloc[-5:].mean() < 0.85 * history["loss"].iloc[:5].mean()
    with pytest.raises(UserError, match="do not fill one batch"):
        fit_text(view, lines[:3], TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=16))
