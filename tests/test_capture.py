"""Captured stores against direct passes, their layout, and the torch-free readers."""

from __future__ import annotations

import gc
import subprocess
import sys
import tracemalloc
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
import xarray as xr
import zarr
from fourier_addition import models
from fourier_addition.capture import dataset
from fourier_addition.capture import store as layout
from fourier_addition.capture.dataset import open_capture, read_number_rows
from fourier_addition.capture.example import running_example
from fourier_addition.capture.number_rows import write_number_rows
from fourier_addition.capture.record import capture
from fourier_addition.errors import UserError
from fourier_addition.files.manifests import content_digest, content_files
from fourier_addition.models import prefix_cache
from tiny import number_ids, tiny_model

LARGEST = 20
TEMPLATES = [
    "Put together {a} and {b}. Answer:",
    "Calculate {a} + {b}. Answer:",
    "What is the sum of {a} and {b}? Answer:",
]


def make_examples(count: int, seed: int = 0) -> tuple[pd.DataFrame, list[str]]:
    random = np.random.default_rng(seed)
    a, b = random.integers(0, 11, (2, count))
    template = random.choice(TEMPLATES, count)
    table = pd.DataFrame({"a": a, "b": b, "answer": a + b, "template": template, "swapped": a > b})
    return table, [text.format(a=x, b=y) for text, x, y in zip(template, a, b, strict=True)]


def run_capture(view, count, path, **options):
    table, prompts = make_examples(count)
    options = {"batch_size": 4, "block": 8} | options
    ids = number_ids(view.tokenizer, LARGEST)
    return capture(view, prompts, table, ids, path, **options), table, prompts


@pytest.fixture(scope="module")
def view():
    return tiny_model("gpt2", layers=3, largest=LARGEST)


@pytest.fixture(scope="module")
def store(view, tmp_path_factory):
    """21 examples in blocks of 7 (8 at most, evened out), one prompt a pass."""
    path = tmp_path_factory.mktemp("capture") / "test.zarr"
    arrays, table, prompts = run_capture(view, 21, path, batch_size=1, attributes={"run": "tiny"})
    return path, arrays, table, prompts


@pytest.mark.parametrize("family", ["gpt2", "phi", "gemma2", "bert"])
def test_every_example_holds_hugging_faces_own_values(family, tmp_path):
    view = tiny_model(family, largest=LARGEST)
    ids = number_ids(view.tokenizer, LARGEST)
    _, _, prompts = run_capture(view, 13, tmp_path / "c.zarr", batch_size=1)
    data = open_capture(tmp_path / "c.zarr").load()
    assert data.sizes["example"] == 13
    for row, (tokens, position) in enumerate(view.encode(prompts)):
        kept: dict[tuple[str, int], torch.Tensor] = {}
        handles = [
            view.module(name, layer).register_forward_hook(
                lambda module, inputs, output, kept=kept, key=(name, layer): kept.update({key: output})
            )
            for name in models.MODULES
            for layer in range(view.n_layers)
        ]
        with torch.no_grad():
            output = view.model(input_ids=torch.tensor([tokens]), output_hidden_states=True, use_cache=False)
        for handle in handles:
            handle.remove()
        for (name, layer), value in kept.items():
            value = value[0] if isinstance(value, tuple) else value
            stored = data.module_output.sel(module=name, layer=layer).values[row]
            assert np.array_equal(stored, value[0, position].numpy())
        for state in range(view.n_layers + view.post_norm):
            stored = data.residual.sel(state=state).values[row]
            assert np.array_equal(stored, output.hidden_states[state][0, position].numpy())
        logits = output.logits[0, position]
        np.testing.assert_allclose(data.final_logits[row], logits[ids], rtol=1e-5, atol=3e-6)
        assert data.vocabulary_prediction[row] == logits.argmax()
        np.testing.assert_allclose(data.vocabulary_logsumexp[row], logits.logsumexp(0), rtol=1e-6)


def test_batches_and_blocks_change_nothing_but_rounding(view, store, tmp_path):
    alone = open_capture(store[0]).load()
    run_capture(view, 21, tmp_path / "c.zarr", batch_size=5, block=100)
    together = open_capture(tmp_path / "c.zarr").load()
    for name in ("module_output", "residual", "final_logits", "vocabulary_logsumexp"):
        np.testing.assert_allclose(alone[name], together[name], rtol=1e-4, atol=5e-6)
    for name in ("vocabulary_prediction", "lens_prediction", "a", "b", "template"):
        assert np.array_equal(alone[name], together[name])


def test_lens_prediction_reads_each_state_by_the_unembedding(view, store):
    data = open_capture(store[0])
    ids = number_ids(view.tokenizer, LARGEST)
    states = torch.from_numpy(data.residual.values)
    weights = view.unembedding(ids)
    with torch.no_grad():
        plain = (states @ weights.T).argmax(-1).numpy()
        normed = (view.final_norm(states) @ weights.T).argmax(-1).numpy()
    assert np.array_equal(data.lens_prediction.sel(norm="none"), plain)
    assert np.array_equal(data.lens_prediction.sel(norm="final"), normed)
    assert np.array_equal(normed[-1], data.final_logits.values.argmax(-1))
    assert not np.array_equal(plain, normed)


def test_opens_in_xarray_without_warnings(store):
    path, arrays, table, _ = store
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = xr.open_zarr(path)
        ours = open_capture(path)
        assert np.array_equal(data.residual.values, ours.residual.values)
    sizes = {"module": 2, "layer": 3, "state": 4, "norm": 2, "example": 21, "feature": 48, "number": 21}
    assert dict(data.sizes) == sizes
    assert data.module_output.dims == ("module", "layer", "example", "feature")
    assert data.residual.dims == ("state", "example", "feature")
    assert data.final_logits.dims == ("example", "number")
    assert data.vocabulary_prediction.dims == data.vocabulary_logsumexp.dims == ("example",)
    assert data.lens_prediction.dims == ("norm", "state", "example")
    for name in ("module_output", "residual", "final_logits", "vocabulary_logsumexp"):
        assert data[name].dtype == np.float32
    assert data.vocabulary_prediction.dtype == data.lens_prediction.dtype == np.int32
    for variable in data.data_vars.values():
        assert {"long_name", "definition", "units"} <= set(variable.attrs)
    assert data.attrs["family"] == "gpt2" and data.attrs["run"] == "tiny"
    assert arrays == {
        name: {"dims": list(value.dims), "shape": list(value.shape), "dtype": str(value.dtype)}
        for name, value in data.data_vars.items()
    }
    for opened in (data, ours):
        assert set(opened.coords) == {
            *("module", "layer", "state", "norm", "number", "token_id"),
            *table.columns,
        }
        for column in table.columns:
            assert opened[column].dims == ("example",)
            assert opened[column].values.tolist() == table[column].tolist()
    assert data.attrs == ours.attrs
    assert ours.module_output.sel(module="mlp", layer=2).shape == (21, 48)
    assert ours.template.dtype.kind == "U"


def test_a_shard_is_one_file_for_a_block_and_layers_are_its_chunks(store):
    group = zarr.open_group(store[0], mode="r")
    assert group["module_output"].chunks == (1, 1, 7, 48)
    assert group["module_output"].shards == (2, 3, 7, 48)
    assert group["residual"].chunks == (1, 7, 48)
    assert group["residual"].shards == (4, 7, 48)
    for name in ("module_output", "residual", "final_logits"):
        assert len([file for file in (store[0] / name / "c").rglob("*") if file.is_file()]) == 3


@pytest.mark.parametrize(
    ("count", "block", "expected"), [(21, 8, 7), (21, 100, 21), (3419, 1024, 855), (1, 1, 1)]
)
def test_blocks_are_evened_out(count, block, expected):
    assert layout.even_block(count, block) == expected


def test_memory_does_not_grow_with_the_number_of_examples(tmp_path):
    # So wide that an example's activations (14 kB) outweigh its tokens, which are kept (1 kB).
    view = tiny_model("gpt2", layers=2, width=512, largest=LARGEST)
    ids = number_ids(view.tokenizer, LARGEST)

    def peak(count):
        table, prompts = make_examples(count)
        gc.collect()
        # Garbage in cycles is collected at once, or the peak would depend on when.
        usual = gc.get_threshold()
        gc.set_threshold(100, 1, 1)
        tracemalloc.start()
        capture(view, prompts, table, ids, tmp_path / f"{count}.zarr", batch_size=16, block=32)
        _, most = tracemalloc.get_traced_memory()
        tracemalloc.stop()
        gc.set_threshold(*usual)
        return most

    peak(32)  # first use fills caches
    block_bytes = 32 * 512 * 4 * (2 * 2 + 3)
    few, many = peak(64), peak(320)
    assert many < few + block_bytes
    assert few + block_bytes < 10 * block_bytes  # ten blocks would be more


def test_recorder_buffers_hold_one_position_of_one_batch(view):
    recorder = models.Recorder(view, 5)
    (bucket,) = view.buckets(view.encode([TEMPLATES[0].format(a=1, b=2)] * 3), 5)
    with recorder:
        recorded = recorder.run(bucket.ids, bucket.position)
        again = recorder.run(bucket.ids, bucket.position)
    assert recorded.module_output.untyped_storage().nbytes() == 2 * 3 * 5 * 48 * 4
    assert recorded.residual.untyped_storage().nbytes() == 4 * 5 * 48 * 4
    assert recorded.residual.data_ptr() == again.residual.data_ptr()


def test_equal_arguments_give_equal_bytes(view, tmp_path):
    digests = set()
    for name in ("one", "two"):
        run_capture(view, 21, tmp_path / name / "c.zarr")
        digests.add(content_digest(content_files(tmp_path / name / "c.zarr")))
    assert len(digests) == 1
    run_capture(view, 20, tmp_path / "three" / "c.zarr")
    assert content_digest(content_files(tmp_path / "three" / "c.zarr")) not in digests


def test_float16_stores_rounded_values(view, store, tmp_path):
    arrays, _, _ = run_capture(view, 21, tmp_path / "c.zarr", batch_size=1, dtype="float16")
    half, full = open_capture(tmp_path / "c.zarr"), open_capture(store[0])
    assert arrays["module_output"]["dtype"] == "float16"
    for name in ("module_output", "residual"):
        assert np.array_equal(half[name].values, full[name].values.astype(np.float16))
    assert half.final_logits.dtype == np.float32
    assert np.array_equal(half.final_logits, full.final_logits)


def test_float16_overflow_is_refused_and_leaves_nothing(tmp_path):
    view = tiny_model("gpt2", largest=LARGEST)
    with torch.no_grad():
        view.model.transformer.h[1].mlp.c_proj.bias[5] = 1e5
    with pytest.raises(UserError, match=r"module_output .* float16; set the dtype"):
        run_capture(view, 9, tmp_path / "c.zarr", dtype="float16")
    assert list(tmp_path.iterdir()) == []
    run_capture(view, 9, tmp_path / "c.zarr")
    assert open_capture(tmp_path / "c.zarr").residual.values.max() > 9e4


def test_values_that_are_not_finite_are_refused(tmp_path):
    view = tiny_model("gpt2", largest=LARGEST)
    with torch.no_grad():
        view.model.transformer.h[0].attn.c_proj.bias[0] = torch.nan
    with pytest.raises(UserError, match="not finite as float32"):
        run_capture(view, 3, tmp_path / "c.zarr")


def test_half_precision_weights(tmp_path):
    tiny_model("gpt2", tmp_path / "model", largest=LARGEST)
    view = models.load_model(tmp_path / "model", dtype="bfloat16")
    run_capture(view, 9, tmp_path / "c.zarr")
    data = open_capture(tmp_path / "c.zarr").load()
    assert data.attrs["weights_dtype"] == "bfloat16"
    ids = number_ids(view.tokenizer, LARGEST)
    residual = torch.from_numpy(data.residual.values)
    assert torch.equal(residual, residual.bfloat16().float())
    with torch.no_grad():
        exact = view.final_norm(residual[-1].bfloat16()).double() @ view.unembedding(ids).double().T
    np.testing.assert_allclose(data.final_logits, exact, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("family", ["gpt2", "gemma2", "bert"])
def test_shared_prefixes(family, tmp_path, monkeypatch):
    view = tiny_model(family, largest=LARGEST)
    run_capture(view, 30, tmp_path / "plain.zarr", block=30)
    shared: list[int] = []
    cache_of = prefix_cache.cache_of
    monkeypatch.setattr(
        prefix_cache,
        "cache_of",
        lambda view, ids: (shared.append(ids.shape[1]), cache_of(view, ids))[1],
    )
    run_capture(view, 30, tmp_path / "shared.zarr", block=30, shared_prefix=3)
    assert (len(shared) > 0) is view.reusable_cache
    assert all(length >= 3 for length in shared)
    plain, other = open_capture(tmp_path / "plain.zarr"), open_capture(tmp_path / "shared.zarr")
    for name in ("module_output", "residual", "final_logits", "vocabulary_logsumexp"):
        np.testing.assert_allclose(plain[name], other[name], rtol=1e-4, atol=1e-5)
    assert np.array_equal(plain.answer, other.answer)


def test_identical_prompts_share_all_but_the_position_read(view, tmp_path):
    table, _ = make_examples(6)
    prompts = [TEMPLATES[0].format(a=1, b=2)] * 6
    ids = number_ids(view.tokenizer, LARGEST)
    for name, shared in (("plain", 0), ("shared", 1)):
        path = tmp_path / f"{name}.zarr"
        capture(view, prompts, table, ids, path, batch_size=3, block=6, shared_prefix=shared)
    one, other = (open_capture(tmp_path / f"{name}.zarr") for name in ("plain", "shared"))
    np.testing.assert_allclose(one.residual, other.residual, rtol=1e-5, atol=1e-6)


def test_progress_sees_every_example_once(view, tmp_path):
    seen = []

    def progress(items, *, total):
        for item in items:
            seen.append((int(item), total))
            yield item

    run_capture(view, 21, tmp_path / "c.zarr", progress=progress)
    assert len(seen) == 21 and {total for _, total in seen} == {21}


def test_model_is_left_as_it_was(tmp_path):
    view = tiny_model("gpt2", largest=LARGEST, resid_pdrop=0.5)
    view.model.train()
    run_capture(view, 9, tmp_path / "train.zarr")
    assert view.model.training
    view.model.eval()
    run_capture(view, 9, tmp_path / "eval.zarr")
    assert not view.model.training
    assert np.array_equal(
        open_capture(tmp_path / "train.zarr").residual, open_capture(tmp_path / "eval.zarr").residual
    )
    assert not any(module._forward_hooks for module in view.model.modules())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "bfloat16"}, "bfloat16"),
        ({"batch_size": 0}, "batch_size"),
        ({"block": 0}, "block"),
    ],
)
def test_options_that_will_not_do(view, tmp_path, options, message):
    with pytest.raises(UserError, match=message):
        run_capture(view, 5, tmp_path / "c.zarr", **options)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ({"layer": [1, 2, 3]}, "'layer'"),
        ({"residual": [1, 2, 3]}, "'residual'"),
        ({"shots": ["x", None, "y"]}, "'shots' .* missing"),
        ({"pair": [(1, 2), (3, 4), (5, 6)]}, "'pair'"),
    ],
)
def test_columns_that_cannot_be_stored(view, tmp_path, column, message):
    table, prompts = make_examples(3)
    ids = number_ids(view.tokenizer, LARGEST)
    with pytest.raises(UserError, match=message):
        capture(view, prompts, table.assign(**column), ids, tmp_path / "c.zarr", batch_size=1, block=1)
    with pytest.raises(UserError, match="2 prompts and 3 rows"):
        capture(view, prompts[:2], table, ids, tmp_path / "c.zarr", batch_size=1, block=1)


def test_categories_and_numbers_of_other_types_are_kept(view, tmp_path):
    table, prompts = make_examples(3)
    table = table.assign(
        kind=pd.Categorical(["x", "y", "x"]), share=[0.5, 1.0, 2.0], small=np.array([1, 2, 3], np.uint8)
    )
    ids = number_ids(view.tokenizer, LARGEST)
    capture(view, prompts, table, ids, tmp_path / "c.zarr", batch_size=1, block=2)
    data = open_capture(tmp_path / "c.zarr")
    assert data.kind.values.tolist() == ["x", "y", "x"]
    assert data.share.values.tolist() == [0.5, 1.0, 2.0]
    assert data.small.values.tolist() == [1, 2, 3]


@pytest.fixture(scope="module")
def shards(view, store, tmp_path_factory):
    """The examples of `store` in three stores of 5, 9 and 7."""
    folder = tmp_path_factory.mktemp("shards")
    _, _, table, prompts = store
    ids = number_ids(view.tokenizer, LARGEST)
    paths = []
    for number, part in enumerate((slice(0, 5), slice(5, 14), slice(14, 21))):
        paths.append(folder / f"{number}.zarr")
        capture(
            view,
            prompts[part],
            table[part],
            ids,
            paths[-1],
            batch_size=1,
            block=4,
            attributes={"run": "tiny"},
        )
    return paths


def test_shards_read_as_one_dataset(store, shards):
    xr.testing.assert_identical(open_capture(shards).load(), open_capture(store[0]).load())


@pytest.mark.parametrize(
    "index",
    [
        {"example": 6},
        {"example": -1},
        {"example": slice(3, 16)},
        {"example": slice(19, 2, -3)},
        {"example": slice(4, 4)},
        {"example": [20, 0, 7, 7, 5]},
        {"example": np.arange(21) % 2 == 0},
        {"example": slice(5, 14), "layer": 1, "module": 0},
        {"example": [13, 14], "layer": [2, 0], "feature": slice(None, None, 7)},
        {"example": 14, "layer": 2, "module": 1, "feature": 3},
        {"layer": slice(None, None, -1)},
    ],
)
def test_indexing_across_shards(store, shards, index):
    values = open_capture(store[0]).module_output.values
    selected = open_capture(shards).module_output.isel(index)
    expected = xr.DataArray(values, dims=["module", "layer", "example", "feature"]).isel(index)
    assert selected.dims == expected.dims
    assert np.array_equal(selected.values, expected.values)


def test_shards_are_read_when_asked_for_and_not_before(shards, monkeypatch):
    reads = []
    part = dataset._Concatenated._part
    monkeypatch.setattr(
        dataset._Concatenated,
        "_part",
        lambda self, number, key, along: (reads.append((number, key)), part(self, number, key, along))[1],
    )
    data = open_capture(shards)
    layer = data.module_output.sel(module="mlp", layer=2).isel(example=slice(0, 6))
    assert reads == []
    assert layer.values.shape == (6, 48)
    assert [number for number, _ in reads] == [0, 1]
    assert all(key[:2] == (1, 2) for _, key in reads)


def test_stores_that_do_not_belong_together(view, store, tmp_path):
    run_capture(view, 5, tmp_path / "other.zarr", dtype="float16", attributes={"run": "tiny"})
    with pytest.raises(UserError, match=r"module_output in .*other\.zarr"):
        open_capture([store[0], tmp_path / "other.zarr"])
    run_capture(view, 5, tmp_path / "run.zarr", attributes={"run": "big"})
    with pytest.raises(UserError, match="same settings"):
        open_capture([store[0], tmp_path / "run.zarr"])
    with pytest.raises(UserError, match=r"absent\.zarr is not a Zarr store"):
        open_capture(tmp_path / "absent.zarr")
    with pytest.raises(UserError, match="no captures"):
        open_capture([])


@pytest.mark.parametrize("norm", ["raw", "folded"])
def test_running_example_splits_the_logits_into_parts(view, norm):
    ids = number_ids(view.tokenizer, LARGEST)
    prompt = TEMPLATES[0].format(a=5, b=9)
    table = running_example(view, prompt, ids, norm=norm)
    assert list(table.columns) == ["module", "layer", "number", "logit"]
    assert len(table) == (2 * 3 + 4 + 1) * (LARGEST + 1)
    assert table.index.is_unique
    wide = table.pivot(index=["module", "layer"], columns="number", values="logit")
    modules = wide.loc[["attention", "mlp"]].sum()
    np.testing.assert_allclose(
        wide.loc["residual", 0] + modules, wide.loc["residual", 3], rtol=1e-4, atol=1e-4
    )
    (tokens,) = view.encode([prompt])
    with torch.no_grad():
        logits = view.model(torch.tensor([tokens.ids])).logits[0, -1, ids]
        last = view.final_hidden(torch.tensor([tokens.ids]), tokens.position)[0]
    np.testing.assert_allclose(wide.loc["final", -1], logits, rtol=1e-4, atol=1e-5)
    if norm == "folded":
        # the final norm divides by the deviation of the centred state and adds its bias
        norm_module = view.final_norm
        shift = (norm_module.bias - last.mean() * norm_module.weight / last.std(correction=0)).detach()
        scaled = wide.loc["residual", 3] / last.std(correction=0).item()
        np.testing.assert_allclose(
            scaled + (view.unembedding(ids) @ shift).numpy(), logits, rtol=1e-3, atol=1e-3
        )
    else:
        np.testing.assert_allclose(
            wide.loc["residual", 3], view.unembedding(ids) @ last, rtol=1e-4, atol=1e-5
        )


def test_running_example_of_a_masked_model():
    view = tiny_model("bert", largest=LARGEST)
    ids = number_ids(view.tokenizer, LARGEST)
    table = running_example(view, TEMPLATES[0].format(a=5, b=9), ids)
    (tokens,) = view.encode([TEMPLATES[0].format(a=5, b=9)])
    with torch.no_grad():
        logits = view.model(torch.tensor([tokens.ids])).logits[0, tokens.position, ids]
    final = table[table.module == "final"]
    np.testing.assert_allclose(final.logit, logits, rtol=1e-4, atol=1e-5)
    folded = running_example(view, TEMPLATES[0].format(a=5, b=9), ids, norm="folded")
    assert np.array_equal(folded[folded.module == "final"].logit, final.logit)
    states = folded[(folded.module == "residual") & (folded.layer == view.n_layers)].logit
    with torch.no_grad():
        last = view.final_hidden(torch.tensor([tokens.ids]), tokens.position)[0]
    np.testing.assert_allclose(states, view.folded_unembedding(ids) @ last, rtol=1e-4, atol=1e-5)
    with pytest.raises(UserError, match="'full'"):
        running_example(view, "1", ids, norm="full")


@pytest.mark.parametrize("family", ["gpt2", "phi", "gemma3", "bert"])
def test_readout_round_trip(family, tmp_path):
    view = tiny_model(family, largest=LARGEST)
    ids = number_ids(view.tokenizer, LARGEST)
    arrays = write_number_rows(view, ids, tmp_path / "r.zarr", attributes={"run": "tiny"})
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        data = read_number_rows(tmp_path / "r.zarr")
    assert np.array_equal(data.unembedding, view.unembedding(ids))
    assert np.array_equal(data.input_embedding, view.input_embedding(ids))
    assert np.array_equal(data.folded_unembedding, view.folded_unembedding(ids))
    bias = view.unembedding_bias(ids)
    assert np.array_equal(data.unembedding_bias, np.zeros(LARGEST + 1) if bias is None else bias)
    assert data.attrs["has_bias"] is (bias is not None) is (family in ("phi", "bert"))
    assert data.token_id.values.tolist() == ids
    assert data.number.values.tolist() == list(range(LARGEST + 1))
    expected = {"family": family, "tied": view.tied, "d_model": 48, "n_layers": 2, "run": "tiny"}
    expected |= {"post_norm": family == "bert", "parallel": family == "phi"}
    assert {name: data.attrs[name] for name in expected} == expected
    assert all(value.dtype == np.float32 for value in data.data_vars.values())
    assert arrays["unembedding"] == {
        "dims": ["number", "feature"],
        "shape": [LARGEST + 1, 48],
        "dtype": "float32",
    }


def test_paths_that_are_no_readout(store, tmp_path):
    with pytest.raises(UserError, match=r"absent\.zarr"):
        read_number_rows(tmp_path / "absent.zarr")
    with pytest.raises(UserError, match="has no unembedding"):
        read_number_rows(store[0])


def test_module_names_are_those_of_the_models():
    assert layout.MODULES is models.MODULES


def test_readers_do_without_torch():
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); "
        "import fourier_addition.capture.dataset, fourier_addition.capture.number_rows; "
        "sys.exit(int('torch' in sys.modules))"
    )
    root = str(Path(dataset.__file__).parents[2])
    assert subprocess.run([sys.executable, "-c", code, root], check=False).returncode == 0
