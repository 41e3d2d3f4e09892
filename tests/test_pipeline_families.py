"""Every architecture through the whole pipeline at a small random size; the analyses agree on one model."""

import numpy as np
import pytest
import torch
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.statistics import summary_with_controls
from fourier_addition.ablation.study import study_conditions, study_predictions
from fourier_addition.analysis.lens import lens_accuracy, predictions
from fourier_addition.analysis.module_spectra import example_spectra, final_waves, module_spectra
from fourier_addition.analysis.prompted import answer_summary, answer_table, prompted_examples
from fourier_addition.answers import written_number
from fourier_addition.capture.dataset import open_capture, read_number_rows
from fourier_addition.capture.example import running_example
from fourier_addition.capture.number_rows import write_number_rows
from fourier_addition.capture.record import capture
from fourier_addition.fourier import fourier_basis, spectrum
from fourier_addition.models import FAMILIES, greedy_texts
from fourier_addition.tasks import Task, dataset
from tiny import number_ids, tiny_model

LARGEST = 20
ANALYSIS = {
    "basis": "paper",
    "norm": "raw",
    "average": "mean",
    "seed": 0,
    "null_draws": 20,
    "null_level": 0.95,
    "null_window": 3,
    "null_examples": 16,
}
SETTINGS = {
    "draws": 2,
    "periods": [2],
    "taus": [],
    "period_tolerance": 0.05,
    "bands": ["low"],
    "layers": True,
}


@pytest.fixture(scope="module")
def examples():
    """Prompts with two solved examples before each."""
    plain = dataset(Task("sums", "addition", (0, 10), templates=("{a} + {b} =", "Put {a} and {b}.")))
    table, _ = prompted_examples(plain, shots=2, seed=0, form="bare", separator=" # ")
    return table[table["split"] == "test"]


@pytest.fixture(scope="module", params=sorted(FAMILIES))
def pipeline(request, examples, tmp_path_factory):
    """A model of one family as a directory on disk, and what the analyses make of it."""
    folder = tmp_path_factory.mktemp(request.param)
    view = tiny_model(request.param, folder / "model", largest=LARGEST, layers=3)
    ids = number_ids(view.tokenizer, LARGEST)
    prompts = examples["prompt"].tolist()
    capture(
        view,
        prompts,
        examples[["a", "b", "answer"]],
        ids,
        folder / "capture",
        batch_size=4,
        block=8,
        shared_prefix=1,
    )
    write_number_rows(view, ids, folder / "number-rows")
    return (
        view,
        ids,
        prompts,
        open_capture(folder / "capture").load(),
        read_number_rows(folder / "number-rows"),
    )


def own_logits(view, prompts):
    """Hugging Face's own logits at the reading position, prompt by prompt: (example, token)."""
    rows = []
    for ids, position in view.encode(prompts):
        with torch.no_grad():
            rows.append(view.model(input_ids=torch.tensor([ids])).logits[0, position].float().numpy())
    return np.array(rows)


def test_captured_logits_are_the_models_own(pipeline, examples):
    view, ids, prompts, captured, _ = pipeline
    logits = own_logits(view, prompts)
    np.testing.assert_allclose(captured["final_logits"].values, logits[:, ids], rtol=2e-4, atol=2e-4)
    assert (captured["vocabulary_prediction"].values == logits.argmax(axis=1)).all()
    found = predictions(captured)
    assert (found["prediction"].to_numpy() == logits[:, ids].argmax(axis=1)).all()
    last = lens_accuracy(captured).query("norm == 'final'").iloc[-1]
    assert last["layer"] == view.n_layers and last["exact"] == (found["error"] == 0).mean()


def test_spectra_are_those_of_the_module_logits(pipeline):
    view, _, _, captured, number_rows = pipeline
    table = module_spectra(captured, number_rows, ANALYSIS)
    basis = fourier_basis(LARGEST + 1, "paper")
    assert len(table) == 2 * view.n_layers * basis.n_components
    outputs = captured["module_output"].sel(module="mlp", layer=1).values.astype(np.float64)
    expected = spectrum(outputs @ number_rows["unembedding"].values.T.astype(np.float64), basis).mean(axis=0)
    rows = table[(table["module"] == "mlp") & (table["layer"] == 1)]
    np.testing.assert_allclose(rows["magnitude"], expected, rtol=1e-6)


def test_the_running_example_agrees_with_the_capture(pipeline):
    view, ids, prompts, captured, _ = pipeline
    example = running_example(view, prompts[0], ids)
    final = example[example["module"] == "final"].sort_values("number")["logit"]
    np.testing.assert_allclose(final, captured["final_logits"].values[0], rtol=2e-4, atol=2e-4)
    assert len(example_spectra(example, ANALYSIS)) == (2 * view.n_layers + view.n_layers + 2) * 10
    assert final_waves(example.assign(answer=3), ANALYSIS)["number"].max() == LARGEST


def test_filters_start_from_the_captured_predictions_and_change_logits(pipeline, examples):
    view, ids, prompts, captured, number_rows = pipeline
    basis = fourier_basis(LARGEST + 1, "paper")
    conditions = study_conditions(
        FilterBank(number_rows["unembedding"].values, basis),
        view.n_layers,
        SETTINGS,
        tau=4,
        cut="component",
        seed=0,
    )
    outcomes = run_conditions(
        view,
        view.encode(prompts),
        ids,
        conditions,
        answers=examples["answer"].to_numpy(),
        batch_size=8,
        positions="last",
        prediction="numbers",
    )
    summary = summary_with_controls(outcomes, seed=0, resamples=50)
    table = summary[summary["kind"] == "table"]
    assert len(table) == 7 and np.isfinite(summary["loss"]).all()
    made = study_predictions(outcomes, examples)
    none = made[made["condition"] == table["condition"].iloc[0]]["prediction"].to_numpy()
    assert (none == captured["final_logits"].values.argmax(axis=1)).all()
    assert (table["loss"].iloc[1:] - table["loss"].iloc[0]).abs().min() > 1e-6


def test_generated_answers_begin_with_the_captured_token(pipeline, examples):
    view, _, prompts, captured, _ = pipeline
    texts = greedy_texts(view, prompts, tokens=1, batch_size=4)
    tokens = captured["vocabulary_prediction"].values
    expected = [view.tokenizer.decode([token], skip_special_tokens=False) for token in tokens]
    end = view.tokenizer.eos_token_id
    assert texts == ["" if token == end else text for token, text in zip(tokens, expected, strict=True)]
    table = answer_table(examples, texts)
    summary = answer_summary(table)
    assert summary["accuracy"]["of"] == len(prompts)
    assert summary["unparsed"]["count"] == sum(written_number(text, "beginning") is None for text in texts)
