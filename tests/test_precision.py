"""Half precision and spread models change no conclusion on a small model."""

import numpy as np
import pandas as pd
import pytest
import torch
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.statistics import summary_with_controls
from fourier_addition.ablation.study import study_conditions
from fourier_addition.analysis.module_spectra import module_spectra
from fourier_addition.capture.dataset import open_capture, read_number_rows
from fourier_addition.capture.number_rows import write_number_rows
from fourier_addition.capture.record import capture
from fourier_addition.errors import UserError
from fourier_addition.fourier import fourier_basis
from fourier_addition.models import greedy_texts, load_model
from fourier_addition.models.loading import DEVICE_MAPS, DTYPES
from fourier_addition.pipeline.config import schema
from fourier_addition.tasks import Task, dataset
from tiny import number_ids, tiny_model

LARGEST = 40
ANALYSIS = {
    "basis": "paper",
    "norm": "raw",
    "average": "mean",
    "seed": 0,
    "null_draws": 40,
    "null_level": 0.95,
    "null_window": 5,
    "null_examples": 64,
}
SETTINGS = {
    "draws": 2,
    "periods": [],
    "taus": [],
    "period_tolerance": 0.05,
    "bands": [],
    "layers": False,
}


@pytest.fixture(scope="module")
def examples():
    return dataset(Task("sums", "addition", (0, 20), templates=("{a} + {b} =",)))


@pytest.fixture(scope="module")
def directory(tmp_path_factory, examples):
    """A small GPT-2 that learned to add, with period-10 structure in its number embedding."""
    folder = tmp_path_factory.mktemp("model") / "model"
    view = tiny_model("gpt2", largest=LARGEST, layers=2, width=64)
    ids = torch.tensor(number_ids(view.tokenizer, LARGEST))
    n = torch.arange(LARGEST + 1)[:, None]
    angle = 2 * np.pi * n / torch.tensor([2.0, 5.0, 10.0, 40.0])
    with torch.no_grad():
        rows = torch.cat([angle.cos(), angle.sin()], dim=1)
        view.embedding_parameter()[ids, :8] = 2 * rows
    view.model.train()
    optimizer = torch.optim.AdamW(view.model.parameters(), lr=2e-3)
    rows = examples[examples["split"] == "train"]
    encoded = view.encode(rows["prompt"].tolist())
    (bucket,) = view.buckets(encoded, len(encoded))
    answers = torch.tensor(rows["answer"].to_numpy()[bucket.index])
    generator = torch.Generator().manual_seed(0)
    for _ in range(250):
        some = torch.randperm(len(answers), generator=generator)[:64]
        logits = view.number_logits(view.final_hidden(bucket.ids[some], bucket.position), ids)
        loss = torch.nn.functional.cross_entropy(logits, answers[some])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    view.model.eval()
    view.save(folder)
    return folder


def study(directory, examples, folder, **weights):
    """Predictions, outlier set and table 1's loss of a model in one type of weights."""
    view = load_model(directory, **weights)
    ids = number_ids(view.tokenizer, LARGEST)
    rows = examples[examples["split"] != "validation"]
    capture(
        view, rows["prompt"].tolist(), rows[["a", "b", "answer"]], ids, folder / "c", batch_size=32, block=512
    )
    write_number_rows(view, ids, folder / "r")
    captured = open_capture(folder / "c")
    spectra = module_spectra(captured, read_number_rows(folder / "r"), ANALYSIS)
    bank = FilterBank(view.unembedding(ids).numpy(), fourier_basis(LARGEST + 1, "paper"))
    conditions = study_conditions(bank, view.n_layers, SETTINGS, tau=5, cut="component", seed=0)
    outcomes = run_conditions(
        view,
        view.encode(rows["prompt"].tolist()),
        ids,
        conditions,
        answers=rows["answer"].to_numpy(),
        batch_size=64,
        positions="last",
        prediction="numbers",
    )
    summary = summary_with_controls(outcomes, seed=0, resamples=100)
    table = summary[summary["kind"] == "table"].set_index("condition")
    return {
        "dtype": view.dtype,
        "predictions": captured["final_logits"].values.argmax(axis=1),
        "answers": rows["answer"].to_numpy(),
        "outliers": set(
            zip(*(spectra[spectra["outlier"]][c] for c in ("module", "layer", "component")), strict=True)
        ),
        "prominence": spectra.set_index(["module", "layer", "component"])["prominence"],
        "threshold": spectra.set_index(["module", "layer", "component"])["threshold"],
        "table": table,
        "texts": greedy_texts(view, rows["prompt"].tolist(), tokens=2, batch_size=64),
    }


@pytest.fixture(scope="module")
def full(directory, examples, tmp_path_factory):
    return study(directory, examples, tmp_path_factory.mktemp("full"))


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.system
def test_half_precision_changes_no_conclusion(directory, examples, full, tmp_path, dtype):
    half = study(directory, examples, tmp_path, dtype=dtype)
    assert half["dtype"] == DTYPES[dtype] and full["dtype"] == torch.float32
    # The model knows something, so that agreement is no accident.
    assert (full["predictions"] == full["answers"]).mean() > 0.5
    assert (half["predictions"] == full["predictions"]).mean() > 0.97
    assert np.mean([one == other for one, other in zip(half["texts"], full["texts"], strict=True)]) > 0.97
    assert len(full["outliers"]) > 3
    # A component on the very edge of being an outlier may fall on either side; no other may.
    margin = (full["prominence"] / full["threshold"] - 1).abs()
    assert all(margin[where] < 0.03 for where in half["outliers"] ^ full["outliers"])
    assert len(half["outliers"] & full["outliers"]) / len(half["outliers"] | full["outliers"]) > 0.8
    loss = pd.DataFrame({"full": full["table"]["loss"], "half": half["table"]["loss"]}).sort_values("full")
    steps, gaps = loss["half"].diff().dropna(), loss["full"].diff().dropna()
    assert (steps[gaps > 0.02 * loss["full"].max()] > 0).all(), loss
    assert loss["full"].iloc[-1] > 2 * loss["full"].iloc[0]


@pytest.mark.system
def test_a_spread_model_gives_the_same_values(directory, examples, full):
    view = load_model(directory, device_map="auto")
    assert view.devices == {"cpu"} and not view.model.training
    prompts = examples["prompt"].tolist()[:20]
    assert greedy_texts(view, prompts, tokens=2, batch_size=8) == greedy_texts(
        load_model(directory), prompts, tokens=2, batch_size=8
    )
    view.on_one_device("Filters")


def test_faults_of_a_spread_model_get_one_sentence(directory, monkeypatch):
    with pytest.raises(UserError, match=r"device_map 'everywhere' is not known; allowed are auto"):
        load_model(directory, device_map="everywhere")
    monkeypatch.setattr("fourier_addition.models.loading.find_spec", lambda name: None)
    with pytest.raises(UserError, match="accelerate, which is not installed"):
        load_model(directory, device_map="auto")
    view = tiny_model("gpt2")
    view.model.lm_head = view.model.lm_head.to("meta")
    with pytest.raises(UserError, match=r"Filters need a model on one device"):
        view.on_one_device("Filters")


def test_the_schema_allows_what_loading_knows():
    model = schema()["properties"]["models"]["additionalProperties"]["properties"]
    assert set(model["precision"]["enum"]) == set(DTYPES)
    assert tuple(model["device_map"]["enum"]) == DEVICE_MAPS
