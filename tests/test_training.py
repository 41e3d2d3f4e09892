"""Training: the optimizer's schedule, starts, resume to the last bit, and one sentence for faults."""

import json
import shutil
import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from fourier_addition.errors import UserError
from fourier_addition.files.manifests import read_manifest
from fourier_addition.models import load_model, wrap
from fourier_addition.models.miniature import miniature
from fourier_addition.numbers import tokenizer_number_space
from fourier_addition.tasks import TEMPLATES, Task, dataset
from fourier_addition.training.batches import LengthBuckets, lines_of
from fourier_addition.training.evaluation import evaluate
from fourier_addition.training.history import best_epoch, best_in_words
from fourier_addition.training.launch import launch
from fourier_addition.training.learners import GPT2Learner, HuggingFaceLearner, learner_for
from fourier_addition.training.loop import fit
from fourier_addition.training.number_text import SENTENCES, corpus, numeral_tokenizer, packed
from fourier_addition.training.pretraining import fit_text
from fourier_addition.training.run import SeedFiles, TrainingJob, train_run
from fourier_addition.training.settings import TrainingSettings
from fourier_addition.training.start import (
    Start,
    projection,
    set_dropout,
    start_model,
)
from safetensors.torch import load_file
from tiny import tiny_model

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
    return view, fit([view], *lines, number_ids(view), settings, **more)[0]


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
    other = trained(examples, settings, seeds=[1])[0]
    assert not torch.equal(first["transformer.wte.weight"], other.embedding_parameter())


def test_batches_have_one_length_and_hold_every_line_once(examples):
    view = tiny()
    buckets = LengthBuckets(lines_of(view, examples, "train"), view.device)
    plan = buckets.plan(8, [0, 1], 3)
    assert len(plan) == buckets.steps(8)
    for seed in (0, 1):
        rows = {(group, int(row)) for group, batch in plan for row in batch[seed]}
        assert len(rows) == (examples["split"] == "train").sum()
    alone = buckets.plan(8, [1], 3)
    assert all(g == h and (a[1] == b[0]).all() for (g, a), (h, b) in zip(plan, alone, strict=True))
    assert any((a[0] != a[1]).any() for _, a in plan)


def batch_of(view, examples, size=40, share=True):
    """The first batch of the largest group of lines."""
    buckets = LengthBuckets(lines_of(view, examples, "train"), view.device, share=share)
    group = int(np.argmax([len(ids) for ids in buckets.ids]))
    return buckets.batch(group, np.arange(min(size, len(buckets.ids[group])))[None])


def test_lines_that_start_alike_are_computed_once(examples):
    batch = batch_of(tiny(), examples)
    ids = batch.ids[0]
    distinct = {tuple(line[: end + 1].tolist()) for line in ids for end in range(ids.shape[1])}
    assert len(batch.shared.first) == len(distinct) < 0.9 * ids.numel()


@pytest.mark.parametrize("loss_on", ["answer", "line"])
@pytest.mark.parametrize("loss_over", ["numbers", "vocabulary"])
@pytest.mark.parametrize("share", [False, True])
@pytest.mark.parametrize("used", [False, True])
def test_losses_and_gradients_are_hugging_faces(examples, loss_on, loss_over, share, used):
    if (loss_on == "line" and loss_over == "numbers") or (used and loss_over != "numbers"):
        pytest.skip("not a loss that is offered")
    ours, theirs = tiny(), tiny()
    ids, batch = number_ids(ours), batch_of(ours, examples, share=share)
    tokens = torch.as_tensor(ids)
    line = torch.cat([batch.ids[0], tokens[batch.answers[0]][:, None]], dim=1)
    if loss_on == "line":
        expected = theirs.model(input_ids=line, labels=line).loss
    else:
        logits = theirs.model(input_ids=batch.ids[0]).logits[:, -1]
        numbers = loss_over == "numbers"
        target = batch.answers[0] if numbers else line[:, -1]
        expected = torch.nn.functional.cross_entropy(logits[:, tokens] if numbers else logits, target)
    expected.backward()
    rows = np.unique(np.concatenate([batch.ids.numpy().ravel(), ids])) if used else None
    for kind in (GPT2Learner, HuggingFaceLearner):
        ours = tiny()
        learner = kind([ours], ids, loss_on, loss_over, rows)
        loss = learner(batch)
        loss.sum().backward()
        assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
        found = {name: parameter.grad for name, parameter in ours.model.named_parameters()}
        for name, parameter in theirs.model.named_parameters():
            wanted = parameter.grad[rows] if used and name == "transformer.wte.weight" else parameter.grad
            assert torch.allclose(found[name].to_dense(), wanted, rtol=1e-4, atol=1e-6), (kind, name)


def test_training_on_used_rows_ends_with_the_weights_of_all_rows(examples, monkeypatch):
    settings = TrainingSettings(epochs=3, learning_rate=1e-3, batch_size=8)
    rows = trained(examples, settings)[0].model.state_dict()
    monkeypatch.setattr(
        "fourier_addition.training.loop.learner_for",
        lambda views, ids, on, over, used: learner_for(views, ids, on, over),
    )
    whole = trained(examples, settings)[0].model.state_dict()
    start = tiny().model.state_dict()
    for name, weight in whole.items():
        assert torch.allclose(rows[name], weight, rtol=1e-4, atol=1e-5), name
    unused = (whole["transformer.wte.weight"] == start["transformer.wte.weight"]).all(dim=1)
    assert 0 < unused.sum() < len(unused)
    assert torch.equal(rows["transformer.wte.weight"][unused], start["transformer.wte.weight"][unused])


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_other_families_train_through_their_own_forward_pass(family):
    view = tiny_model(family, largest=20)
    task = Task("sums", "addition", (0, 10), templates=TEMPLATES["addition"])
    lines = [lines_of(view, dataset(task), split) for split in ("train", "validation")]
    settings = TrainingSettings(epochs=6, learning_rate=3e-3, batch_size=8)
    shape = view.embedding_parameter().shape
    (history,) = fit([view], *lines, tokenizer_number_space(view.tokenizer, "bare").first(21).ids, settings)
    assert history["train_loss"].iloc[-1] < history["train_loss"].iloc[1]
    assert view.embedding_parameter().shape == shape and view.unembedding_parameter().shape == shape


@pytest.mark.parametrize(
    "changes", [{"loss_over": "vocabulary"}, {"loss_on": "line", "loss_over": "vocabulary"}, {}]
)
def test_stacked_seeds_are_the_seeds_on_their_own(examples, changes):
    settings = TrainingSettings(epochs=3, learning_rate=1e-3, batch_size=8, weight_decay=0.01, **changes)
    together = [tiny(seed) for seed in (4, 5, 6)]
    lines = [lines_of(together[0], examples, split) for split in ("train", "validation")]
    histories = fit(together, *lines, number_ids(together[0]), settings, seeds=[4, 5, 6])
    for view, seed, history in zip(together, (4, 5, 6), histories, strict=True):
        alone, alone_history = trained(examples, settings, tiny(seed), seeds=[seed])
        assert np.allclose(history["train_loss"][1:], alone_history["train_loss"][1:], rtol=1e-4)
        assert np.allclose(history["accuracy"], alone_history["accuracy"], atol=0.1)
        for name, weight in alone.model.state_dict().items():
            assert torch.allclose(view.model.state_dict()[name], weight, atol=2e-4), name


def test_only_gpt2_shapes_are_stacked(examples):
    views = [tiny_model("llama", largest=20) for _ in range(2)]
    with pytest.raises(UserError, match="`stack_seeds` trains models of the family gpt2, not of llama"):
        learner_for(views, np.arange(5), "answer", "numbers")


def test_a_batch_in_parts_gives_the_step_of_the_whole(examples):
    settings = {"epochs": 2, "learning_rate": 1e-3, "batch_size": 7}
    whole = trained(examples, TrainingSettings(**settings))
    split = trained(examples, TrainingSettings(**settings, accumulate=3))
    assert np.allclose(whole[1]["train_loss"][1:], split[1]["train_loss"][1:], rtol=1e-4)
    for name, weight in whole[0].model.state_dict().items():
        assert torch.allclose(weight, split[0].model.state_dict()[name], atol=1e-4), name


def test_bfloat16_trains_almost_as_float32(examples):
    settings = {"epochs": 3, "learning_rate": 1e-3, "batch_size": 8}
    full = trained(examples, TrainingSettings(**settings))[1]
    view, mixed = trained(examples, TrainingSettings(**settings, mixed_precision="bf16"))
    assert np.allclose(full["train_loss"][1:], mixed["train_loss"][1:], rtol=0.02)
    assert not np.array_equal(full["train_loss"][1:], mixed["train_loss"][1:])
    assert view.dtype == torch.float32


@pytest.mark.skipif(shutil.which("g++") is None, reason="torch.compile needs a C++ compiler")
@pytest.mark.system
def test_compiled_steps_are_the_same_steps(examples):
    tokenizer = numeral_tokenizer(NUMBERS)
    view = wrap(miniature({**SHAPE, "layers": 1}, tokenizer, 0), tokenizer)
    batch = batch_of(view, examples, share=False)
    learner = learner_for([view], number_ids(view), "answer", "numbers")
    gradients = []
    for module in (learner, torch.compile(learner, dynamic=False)):
        view.model.zero_grad(set_to_none=True)
        module(batch).sum().backward()
        gradients.append([parameter.grad.clone() for parameter in view.model.parameters()])
    for eager, compiled in zip(*gradients, strict=True):
        assert torch.allclose(eager, compiled, rtol=1e-4, atol=1e-6)


def test_validation_every_few_epochs(examples):
    settings = TrainingSettings(epochs=5, learning_rate=1e-3, batch_size=16, evaluate_every=2)
    assert trained(examples, settings)[1]["epoch"].tolist() == [0, 2, 4, 5]


def test_evaluation_counts_errors(examples):
    view = tiny()
    found = evaluate(view, lines_of(view, examples, "test"), number_ids(view))
    rows = examples[examples["split"] == "test"]
    right = 0
    for prompt, answer in zip(rows["prompt"], rows["answer"], strict=True):
        (encoded,) = view.encode([prompt])
        logits = view.model(input_ids=torch.tensor([encoded.ids])).logits[0, -1][number_ids(view)]
        right += int(logits.argmax()) == answer
    assert found["accuracy"] == pytest.approx(right / len(rows)) and found["examples"] == len(rows)


RESUME = """
    import sys, hashlib, json
    from pathlib import Path
    sys.path[:0] = {paths}
    import torch, test_training as t
    from fourier_addition.training.settings import TrainingSettings
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    settings = TrainingSettings(epochs=15, learning_rate=2e-3, batch_size=8, save_seconds=0.02)
    examples = t.dataset(t.Task("sums", "addition", (0, 10), templates=t.TEMPLATES["addition"]))
    views = [t.tiny(seed, dropout=0.1) for seed in range({seeds})]
    lines = [t.lines_of(views[0], examples, split) for split in ("train", "validation")]
    print("ready", flush=True)
    histories = t.fit(views, *lines, t.number_ids(views[0]), settings, seeds=range({seeds}),
                      state_file=Path(sys.argv[1]), identity={{"run": 1}},
                      on_step=lambda step, steps: print(step, flush=True))
    total = hashlib.sha256()
    for view in views:
        for parameter in view.model.parameters():
            total.update(parameter.detach().numpy().tobytes())
    print(json.dumps([total.hexdigest(), [history["train_loss"][1:].tolist() for history in histories]]))
"""


@pytest.mark.system
@pytest.mark.parametrize("seeds", [1, 2])
def test_a_run_killed_at_random_steps_resumes_to_the_same_bits(tmp_path, seeds):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "workflow" / "scripts")]
    code = textwrap.dedent(RESUME).format(paths=paths, seeds=seeds)
    generator = np.random.default_rng(seeds)

    def run(state, kill_after=None):
        """Last line, and steps done; killed after so many steps of this process."""
        command = [sys.executable, "-c", code, str(state)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            steps = []
            for line in process.stdout:
                last = line
                if line.strip().isdigit():
                    steps.append(int(line))
                    if len(steps) == kill_after:
                        process.send_signal(signal.SIGKILL)
        return process.returncode, last, steps

    code_whole, whole, steps = run(tmp_path / "whole.state")
    assert code_whole == 0
    firsts = []
    for kill_after in generator.integers(10, len(steps) // 4, 3):
        returned, _, done = run(tmp_path / "killed.state", kill_after)
        assert returned == -signal.SIGKILL
        firsts.append(done[0])
    returned, resumed, done = run(tmp_path / "killed.state")
    assert returned == 0 and json.loads(resumed) == json.loads(whole)
    # Every process went on from where the one before had saved, mostly within an epoch.
    assert 1 == firsts[0] < firsts[1] < firsts[2] < done[0]


def job_in(folder, model, examples):
    """A job that trains a model's seed 0 for two epochs and writes into a folder."""
    files = SeedFiles(
        name="sums.seed0",
        seed=0,
        checkpoint=str(folder / "checkpoint"),
        manifest=str(folder / "checkpoint.json"),
        history=str(folder / "history.parquet"),
        accuracy=str(folder / "accuracy.json"),
    )
    return TrainingJob(
        start=Start(model=str(model), start="pretrained", form="bare", numbers=NUMBERS),
        settings=TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=7),
        seeds=(files,),
        dataset=str(examples),
        device="cpu",
        facts={"params": {}, "inputs": {}, "device": "cpu"},
    )


def test_a_job_comes_back_from_its_text(tmp_path):
    job = job_in(tmp_path, "model", "examples.parquet")
    other = replace(
        job,
        start=Start("m", "scratch", "space", 9, embedding="random", donor="d", frozen=True, tied=False),
        settings=TrainingSettings(3, 1e-4, betas=(0.8, 0.95), save_seconds=5.0, compile=True),
        seeds=(*job.seeds, replace(job.seeds[0], name="sums.seed1", seed=1)),
    )
    for each in (job, other):
        assert TrainingJob.from_json(each.to_json()) == each
    assert TrainingJob.from_json(job.to_json()) != other


@pytest.mark.system
def test_several_processes_train_one_run(directory, examples, tmp_path):
    examples.to_parquet(tmp_path / "examples.parquet")
    ends = {}
    for processes in (1, 2):
        folder = tmp_path / str(processes)
        folder.mkdir()
        job = job_in(folder, directory, tmp_path / "examples.parquet")
        train_run(job) if processes == 1 else launch(job, processes)
        ends[processes] = load_model(folder / "checkpoint").model.state_dict()
        assert read_manifest(folder / "checkpoint.json")["provenance"]["seed"] == 0
        assert not list(folder.glob("*.state"))
    for name, weight in ends[1].items():
        assert torch.allclose(weight, ends[2][name], atol=1e-4), name
    too_large = replace(job, settings=replace(job.settings, batch_size=10_000))
    with pytest.raises(UserError, match="`batch_size` must be from 1 to the"):
        launch(too_large, 2)


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


def test_a_loss_that_explodes_is_named_and_the_last_good_state_kept(examples, tmp_path):
    state = tmp_path / "run.state"
    settings = TrainingSettings(epochs=4, learning_rate=1e-3, batch_size=8, save_seconds=0)

    view = tiny()
    poisoned_at = 27

    def on_step(step, steps):
        if step == poisoned_at:
            with torch.no_grad():
                view.model.transformer.h[0].mlp.c_fc.bias.fill_(float("nan"))

    with pytest.raises(UserError, match=r"loss is no longer finite at step 2\d.*`learning_rate`"):
        trained(examples, settings, view, state_file=state, on_step=on_step)
    kept = torch.load(state, weights_only=True)
    assert all(torch.isfinite(weight).all() for weight in kept["model"].values())
    last_good = kept["progress"]["done"] + kept["progress"]["epoch"] * trained_steps(examples)
    assert last_good == poisoned_at - 1


def trained_steps(examples):
    view = tiny()
    return LengthBuckets(lines_of(view, examples, "train"), view.device).steps(8)


FULL = """
    import sys, resource, signal
    from pathlib import Path
    sys.path[:0] = {paths}
    import test_training as t
    from fourier_addition.training.settings import TrainingSettings
    examples = t.dataset(t.Task("sums", "addition", (0, 10), templates=t.TEMPLATES["addition"]))
    state = Path(sys.argv[1])
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    def on_step(step, steps):
        if step == 5:
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    t.trained(examples, TrainingSettings(epochs=2, learning_rate=1e-3, batch_size=8, save_seconds=0),
              state_file=state, on_step=on_step)
"""


@pytest.mark.system
def test_a_full_disk_keeps_the_last_state(tmp_path):
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "workflow" / "scripts")]
    state = tmp_path / "run.state"
    code = textwrap.dedent(FULL).format(paths=paths)
    ran = subprocess.run([sys.executable, "-c", code, str(state)], capture_output=True, text=True)
    assert ran.returncode != 0 and ("OSError" in ran.stderr or "UserError" in ran.stderr), ran.stderr
    assert torch.load(state, weights_only=True)["progress"]["done"] == 4
    assert [path.name for path in tmp_path.iterdir()] == ["run.state"]


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


@pytest.mark.parametrize("size", [0, 10_000])
def test_impossible_batch_sizes_are_refused(examples, size):
    lines = (examples["split"] == "train").sum()
    with pytest.raises(UserError, match=f"`batch_size` must be from 1 to the {lines} training lines, not"):
        trained(examples, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=size))


def test_a_batch_beyond_the_memory_is_named(examples, monkeypatch):
    def forward(self, batch):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(GPT2Learner, "forward", forward)
    with pytest.raises(UserError, match="A batch of 8 lines does not fit into the memory of cpu: lower"):
        trained(examples, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=8))


def start(directory, **changes):
    wanted = {"start": "scratch", "embedding": None, "frozen": False, "form": "bare", "numbers": NUMBERS}
    return start_model(Start(str(directory), **{**wanted, **changes}), seed=3, device="cpu")


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


@pytest.mark.parametrize("family", ["gpt2", "gptj", "phi", "gpt_neox", "llama", "gemma2", "bert", "roberta"])
def test_dropout_of_every_family(family):
    """0 makes training's forward pass the one of evaluation, also where attention holds its own number."""
    model = tiny_model(family).model
    ids = torch.arange(5, 15)[None]
    with torch.no_grad():
        expected = model.eval()(input_ids=ids).logits
        set_dropout(model, 0.5)
        assert not torch.equal(model.train()(input_ids=ids).logits, expected)
        set_dropout(model, 0.0)
        assert torch.allclose(model.train()(input_ids=ids).logits, expected, atol=1e-6)
    assert not [k for k, v in vars(model.config).items() if ("drop" in k) and isinstance(v, float) and v]


def test_dropout_is_a_key_of_the_start(directory):
    changed, _ = start(directory, dropout=0.3)
    assert changed.model.config.resid_pdrop == changed.model.transformer.h[0].mlp.dropout.p == 0.3
    assert start(directory)[0].model.config.resid_pdrop == 0.0


def test_an_untied_unembedding_trains_beside_a_frozen_embedding(directory, examples, tmp_path):
    view, space = start(directory, embedding="pretrained", frozen=True, tied=False)
    assert not view.tied
    before, head = view.embedding_parameter().clone(), view.unembedding_parameter().detach().clone()
    trained(examples, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=8), view)
    assert torch.equal(view.embedding_parameter(), before)
    moved = (view.unembedding_parameter() != head).any(dim=1)
    assert moved[torch.as_tensor(space.ids)].all() and not moved.all()
    view.save(tmp_path / "untied")
    again = load_model(tmp_path / "untied")
    assert not again.tied and torch.equal(again.unembedding_parameter(), view.unembedding_parameter())
    copied, _ = start(directory, start="pretrained", tied=False)
    assert not copied.tied and torch.equal(copied.unembedding_parameter(), copied.embedding_parameter())
    with pytest.raises(UserError, match="cannot tie a model"):
        start(tmp_path / "untied", start="pretrained", tied=True)


@pytest.mark.parametrize("width", [64, 16, 32])
def test_another_models_numbers_are_the_donor(directory, tmp_path, width):
    other = tiny_model("bert", largest=NUMBERS - 1, width=width)
    other.save(tmp_path / "donor")
    given, space = start(directory, embedding="pretrained", donor=tmp_path / "donor", frozen=True)
    own, _ = start(directory, start="pretrained")
    rows = other.input_embedding(tokenizer_number_space(other.tokenizer, "bare").first(NUMBERS).ids)
    expected = rows if width == 32 else rows @ torch.from_numpy(projection(width, 32))
    ids = torch.as_tensor(space.ids)
    found = given.embedding_parameter().detach()[ids]
    cosine = torch.nn.functional.cosine_similarity(found, expected)
    assert torch.allclose(cosine, torch.ones(NUMBERS), atol=1e-5)
    assert found.norm(dim=1).mean() == pytest.approx(
        own.embedding_parameter()[ids].norm(dim=1).mean().item(), rel=1e-5
    )
    scratch, _ = start(directory)
    rest = torch.ones(given.vocab_size, dtype=torch.bool)
    rest[ids] = False
    assert torch.equal(given.embedding_parameter()[rest], scratch.embedding_parameter()[rest])
    if width == 16:
        assert torch.allclose(expected @ expected.T, rows @ rows.T, atol=1e-4)


def test_a_frozen_embedding_does_not_move(directory, examples):
    view, _ = start(directory, embedding="pretrained", frozen=True)
    before = view.embedding_parameter().detach().clone()
    body = view.model.state_dict()["transformer.h.0.mlp.c_fc.weight"].clone()
    trained(examples, TrainingSettings(epochs=1, learning_rate=1e-3, batch_size=8), view)
    assert torch.equal(view.embedding_parameter(), before)
    assert not torch.equal(view.model.state_dict()["transformer.h.0.mlp.c_fc.weight"], body)


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
    settings = {"epochs": 1, "loss_on": "line", "loss_over": "vocabulary", "batch_size": 16}
    history = fit_text(view, lines, TrainingSettings(**settings, learning_rate=5e-3))
    assert len(history) == 40 and history["loss"].iloc[-5:].mean() < 0.85 * history["loss"].iloc[:5].mean()
    with pytest.raises(UserError, match="do not fill one batch"):
        fit_text(view, lines[:3], TrainingSettings(**settings, learning_rate=1e-3))


def keeping(job, folder, epochs):
    """The same job, which keeps its weights at some epochs."""
    kept = {"kept": str(folder / "kept"), "kept_manifest": str(folder / "kept.json")}
    return replace(job, seeds=tuple(replace(files, **kept) for files in job.seeds), keep=epochs)


def weights_in(folder):
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("loss_over", ["numbers", "vocabulary"])
def test_kept_weights_are_those_of_shorter_runs_and_change_nothing(directory, examples, tmp_path, loss_over):
    examples.to_parquet(tmp_path / "examples.parquet")
    plain, kept = tmp_path / "plain", tmp_path / "kept"
    for folder in (plain, kept):
        folder.mkdir()
    job = job_in(plain, directory, tmp_path / "examples.parquet")
    job = replace(job, settings=replace(job.settings, loss_over=loss_over))
    train_run(job)
    same = replace(job_in(kept, directory, tmp_path / "examples.parquet"), settings=job.settings)
    train_run(keeping(same, kept, (0, 1, 2)))

    # Keeping weights moves none of them; the start and the end are among them.
    checkpoint = (plain / "checkpoint/model.safetensors").read_bytes()
    assert (kept / "checkpoint/model.safetensors").read_bytes() == checkpoint
    assert (kept / "history.parquet").read_bytes() == (plain / "history.parquet").read_bytes()
    assert sorted(path.name for path in (kept / "kept").iterdir()) == ["epoch-0", "epoch-1", "epoch-2"]
    assert (kept / "kept/epoch-2/model.safetensors").read_bytes() == checkpoint
    start = load_model(directory).model.state_dict()
    for name, weight in load_model(kept / "kept/epoch-0").model.state_dict().items():
        assert torch.equal(weight, start[name]), name
    middle = load_model(kept / "kept/epoch-1")
    assert middle.vocab_size == load_model(directory).vocab_size
    assert not torch.equal(middle.embedding_parameter(), start["transformer.wte.weight"])
    assert "epoch-1/model.safetensors" in read_manifest(kept / "kept.json")["files"]
    assert not list(kept.glob("*.kept")) and not list(kept.glob("*.state"))


def test_stacked_seeds_keep_the_weights_of_each(directory, examples, tmp_path):
    examples.to_parquet(tmp_path / "examples.parquet")
    job = job_in(tmp_path, directory, tmp_path / "examples.parquet")
    files = [
        SeedFiles(
            f"sums.seed{seed}",
            seed,
            *(str(tmp_path / f"{seed}-{name}") for name in ("checkpoint", "manifest", "history", "accuracy")),
            *(str(tmp_path / f"{seed}-{name}") for name in ("kept", "kept.json")),
        )
        for seed in (0, 1)
    ]
    train_run(replace(job, seeds=tuple(files), keep=(1, 2)))
    for seed in (0, 1):
        last = weights_in(tmp_path / f"{seed}-checkpoint")
        kept = [weights_in(tmp_path / f"{seed}-kept/epoch-{epoch}") for epoch in (1, 2)]
        assert all(torch.equal(kept[1][name], last[name]) for name in last)
        assert not all(torch.equal(kept[0][name], last[name]) for name in last)


# The weights that a run ends with

OVERFIT = TrainingSettings(epochs=30, learning_rate=2e-2, batch_size=8)
"""A rate so high that the validation loss rises again before the end."""


def test_a_run_ends_with_the_best_epochs_weights_where_asked(examples):
    view, history = trained(examples, replace(OVERFIT, keep="best"))
    best = best_epoch(history)
    assert best is not None and best < 30
    losses = history.set_index("epoch")["validation_loss"]
    assert losses[best] == losses.min() < losses[30]
    found = evaluate(view, lines_of(view, examples, "validation"), number_ids(view))
    assert found["loss"] == pytest.approx(losses[best], abs=1e-6)
    # And the history is the same as that of the run that keeps its last weights.
    other, plain = trained(examples, OVERFIT)
    pd.testing.assert_frame_equal(history, plain)
    last = evaluate(other, lines_of(other, examples, "validation"), number_ids(other))
    assert last["loss"] == pytest.approx(losses[30], abs=1e-6)


def test_stacked_seeds_keep_each_its_own_best_epoch(examples):
    views = [tiny(seed) for seed in (0, 1)]
    lines = [lines_of(views[0], examples, split) for split in ("train", "validation")]
    settings = replace(OVERFIT, keep="best")
    histories = fit(views, *lines, number_ids(views[0]), settings, seeds=(0, 1))
    best = [best_epoch(history) for history in histories]
    assert best[0] != best[1]
    for view, history in zip(views, histories, strict=True):
        found = evaluate(view, lines[1], number_ids(view))
        assert found["loss"] == pytest.approx(history["validation_loss"].min(), abs=1e-5)


def test_a_killed_run_resumes_to_the_same_best_weights(examples, tmp_path):
    settings = replace(OVERFIT, keep="best", save_seconds=0.0)
    whole, history = trained(examples, settings)
    state = tmp_path / "run.state"
    steps = LengthBuckets(lines_of(whole, examples, "train"), whole.device).steps(8)
    # Late enough that the best epoch is over, and not at an epoch's end.
    stop = (best_epoch(history) + 3) * steps + 2

    class Killed(Exception):
        pass

    def kill(step, _):
        if step == stop:
            raise Killed

    with pytest.raises(Killed):
        trained(examples, settings, state_file=state, on_step=kill)
    again, resumed = trained(examples, settings, state_file=state)
    pd.testing.assert_frame_equal(resumed, history)
    for ours, theirs in zip(again.model.parameters(), whole.model.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_the_log_says_when_the_validation_loss_was_smallest():
    history = pd.DataFrame({"epoch": [0, 1, 2, 3], "validation_loss": [4.0, 2.0, 2.0, 36.0]})
    assert best_epoch(history) == 1
    assert best_in_words(history, "last") == (
        "the validation loss was smallest, 2.0000, at epoch 1 of 3 (at the end 36.0000); "
        "the weights of epoch 3 are kept"
    )
    assert best_in_words(history, "best").endswith("; the weights of epoch 1 are kept")
    history["validation_loss"] = float("nan")
    assert best_epoch(history) is None
    assert "no validation loss is finite" in best_in_words(history, "best")


def test_an_unknown_word_for_the_weights_is_refused():
    with pytest.raises(UserError, match="`keep` must be one of last, best, not 'first'"):
        TrainingSettings(epochs=1, learning_rate=1.0, keep="first")
