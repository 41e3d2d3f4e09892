"""The one view of thirteen families against Hugging Face's own outputs."""

from __future__ import annotations

import copy
import json

import numpy as np
import pytest
import torch
from fourier_addition.errors import UserError
from fourier_addition.models import (
    FAMILIES,
    MODULES,
    Recorder,
    first_tensor,
    load_model,
    scratch_model,
    wrap,
)
from safetensors.torch import load_file, save_file
from tiny import number_ids, tiny_config, tiny_model, tiny_tokenizer
from tokenizers.processors import TemplateProcessing
from transformers import BertModel

LARGEST = 20
PROMPTS = [
    "Put together 15 and 3. Answer:",
    "Calculate 7 + 8. Answer:",
    "Put together 1 and 14. Answer:",
    "What is the sum of 9 and 2? Answer:",
]
EVERY = list(FAMILIES)
CAUSAL = [name for name in EVERY if name not in ("bert", "roberta")]


@pytest.fixture(scope="module")
def views():
    made = {}

    def get(family: str):
        if family not in made:
            made[family] = tiny_model(family, layers=3, largest=LARGEST)
        return made[family]

    return get


def batch_of(view, prompts=PROMPTS[::2]):
    return next(view.buckets(view.encode(prompts), len(prompts)))


def record(view, bucket, **options):
    with Recorder(view, len(bucket.ids)) as recorder:
        recorded = recorder.run(bucket.ids, bucket.position, **options)
        return recorded.module_output.clone(), recorded.residual.clone()


def forward_number_logits(view, bucket, ids):
    """The model's logits of the numbers at the reading position, (batch, number)."""
    return view.number_logits(view.final_hidden(bucket.ids, bucket.position), ids)


def own_outputs(view, bucket):
    """Logits, hidden states and inputs to the first block from one plain Hugging Face pass."""
    inputs = []
    handle = view.block(0).register_forward_pre_hook(
        lambda module, arguments, keywords: inputs.append(
            arguments[0] if arguments else keywords["hidden_states"]
        ),
        with_kwargs=True,
    )
    with torch.no_grad():
        # GPT-J rounds differently when it keeps keys and values, which the recorder never does
        output = view.model(input_ids=bucket.ids, output_hidden_states=True, use_cache=False)
    handle.remove()
    return output.logits, output.hidden_states, inputs[0]


def test_all_families_are_there():
    assert set(EVERY) == {
        *("gpt2", "gptj", "phi", "gpt_neox", "llama", "mistral", "qwen2", "qwen3"),
        *("gemma2", "gemma3", "olmo2", "bert", "roberta"),
    }


@pytest.mark.parametrize("family", EVERY)
def test_shape_of_a_view(views, family):
    view = views(family)
    assert (view.family, view.n_layers, view.d_model) == (family, 3, 48)
    assert view.vocab_size == len(view.tokenizer)
    assert view.causal is view.reusable_cache is (family in CAUSAL)
    assert view.post_norm is (family not in CAUSAL)
    assert view.parallel is (family in ("gptj", "phi", "gpt_neox"))
    assert view.tied is (family in ("gpt2", "gemma2", "gemma3", "bert", "roberta"))
    assert view.dtype == torch.float32 and view.device.type == "cpu"


@pytest.mark.parametrize("family", EVERY)
def test_encoding(views, family):
    view = views(family)
    tokens = view.tokenizer
    for prompt, (ids, position) in zip(PROMPTS, view.encode(PROMPTS), strict=True):
        if view.causal:
            assert ids == tokens(prompt).input_ids
            assert position == len(ids) - 1
            assert tokens.decode(ids[position]) == ":"
        else:
            plain = tokens(prompt, add_special_tokens=False).input_ids
            assert ids == [tokens.cls_token_id, *plain, tokens.mask_token_id, tokens.sep_token_id]
            assert ids[position] == tokens.mask_token_id
        assert (ids[0] == tokens.bos_token_id) is (family in ("llama", "mistral", "gemma2", "gemma3"))


def test_a_closing_special_token_is_not_read(views):
    tokenizer = tiny_tokenizer(LARGEST, "llama")
    ends = [("<bos>", tokenizer.bos_token_id), ("<eos>", tokenizer.eos_token_id)]
    tokenizer.backend_tokenizer.post_processor = TemplateProcessing(
        single="<bos> $A <eos>", special_tokens=ends
    )
    assert tokenizer(PROMPTS[0]).input_ids[-1] == tokenizer.eos_token_id
    assert wrap(views("llama").model, tokenizer).encode(PROMPTS) == views("llama").encode(PROMPTS)


def test_a_masked_model_needs_a_mask_token(views):
    with pytest.raises(UserError, match="mask token"):
        wrap(views("bert").model, tiny_tokenizer(LARGEST, "gpt2")).encode(PROMPTS)


def test_buckets_keep_every_prompt_once_without_padding(views):
    view = views("gpt2")
    encoded = view.encode([*PROMPTS, *PROMPTS, *PROMPTS])
    buckets = list(view.buckets(encoded, 4))
    assert sorted(np.concatenate([bucket.index for bucket in buckets])) == list(range(len(encoded)))
    lengths = [bucket.ids.shape[1] for bucket in buckets]
    assert lengths == sorted(lengths, reverse=True)
    assert max(len(bucket.ids) for bucket in buckets) == 4
    for bucket in buckets:
        assert bucket.ids.tolist() == [encoded[row].ids for row in bucket.index]
        assert bucket.position == bucket.ids.shape[1] - 1
    with pytest.raises(UserError, match="batch_size"):
        list(view.buckets(encoded, 0))


def test_buckets_split_equal_lengths_with_unequal_positions(views):
    encoded = [entry for entry in views("gpt2").encode(PROMPTS[:1])]
    moved = encoded[0]._replace(position=2)
    buckets = list(views("gpt2").buckets([*encoded, moved], 8))
    assert [bucket.position for bucket in buckets] == [encoded[0].position, 2]


def test_prompts_that_do_not_fit_are_refused(views):
    with pytest.raises(UserError, match="64 positions"):
        views("gpt2").encode(["1 " * 65])
    with pytest.raises(UserError, match="no tokens"):
        views("gpt2").encode([""])
    with pytest.raises(UserError, match="no tokens"):
        views("llama").encode([""])


@pytest.mark.parametrize(("family", "extra"), [("bert", 3), ("roberta", 3 + 2)])
def test_the_longest_prompt_of_a_masked_model(views, family, extra):
    view = views(family)
    (encoded,) = view.encode(["1 " * (64 - extra)])
    with torch.no_grad():
        assert torch.isfinite(view.final_hidden(torch.tensor([encoded.ids]), encoded.position)).all()
    with pytest.raises(UserError, match="positions"):
        view.encode(["1 " * (65 - extra)])


@pytest.mark.parametrize("family", EVERY)
def test_recorded_values_are_hugging_faces_own_to_the_last_bit(views, family):
    view = views(family)
    bucket = batch_of(view)
    direct: dict[tuple[int, int], torch.Tensor] = {}
    handles = [
        view.module(name, layer).register_forward_hook(
            lambda module, arguments, output, key=(kind, layer): direct.update({key: first_tensor(output)})
        )
        for kind, name in enumerate(MODULES)
        for layer in range(view.n_layers)
    ]
    _, hidden_states, entry = own_outputs(view, bucket)
    for handle in handles:
        handle.remove()
    module_output, residual = record(view, bucket)
    for (kind, layer), output in direct.items():
        assert torch.equal(module_output[kind, layer], output[:, bucket.position])
    assert torch.equal(residual[0], entry[:, bucket.position])
    # causal families' last hidden state has passed the final norm; compare it after that norm
    last = view.n_layers if view.post_norm else view.n_layers - 1
    for state in range(last + 1):
        assert torch.equal(residual[state], hidden_states[state][:, bucket.position])
    if not view.post_norm:
        with torch.no_grad():
            normed = view.normed(residual[-1])
        torch.testing.assert_close(normed, hidden_states[-1][:, bucket.position], rtol=0, atol=2e-6)


@pytest.mark.parametrize("family", CAUSAL)
def test_embedding_and_module_outputs_sum_to_the_residual_stream(views, family):
    view = views(family)
    module_output, residual = record(view, batch_of(view))
    sums = residual[0] + module_output.sum(dim=0).cumsum(dim=0)
    torch.testing.assert_close(sums, residual[1:], rtol=1e-5, atol=1e-5)
    assert module_output.std() > 0.05  # modules that add nothing would sum up too


@pytest.mark.parametrize("family", ["bert", "roberta"])
def test_post_norm_families_follow_their_layer_equation(views, family):
    view = views(family)
    (attention, mlp), residual = record(view, batch_of(view))
    with torch.no_grad():
        for layer in range(view.n_layers):
            after_attention, after_mlp = view.block_norms(layer)
            middle = after_attention(residual[layer] + attention[layer])
            torch.testing.assert_close(after_mlp(middle + mlp[layer]), residual[layer + 1])
    assert not torch.allclose(residual[0] + attention[0] + mlp[0], residual[1], atol=0.1)


def test_only_post_norm_families_have_block_norms(views):
    with pytest.raises(UserError, match="llama"):
        views("llama").block_norms(0)


@pytest.mark.parametrize("parallel", [True, False])
def test_what_the_mlp_reads_tells_parallel_from_sequential(parallel):
    view = tiny_model("gpt_neox", use_parallel_residual=parallel)
    assert view.parallel is parallel
    bucket = batch_of(view)
    attention_off = view.attention_module(0).register_forward_hook(
        lambda module, arguments, output: (torch.zeros_like(output[0]), *output[1:])
    )
    changed, _ = record(view, bucket)
    attention_off.remove()
    kept, _ = record(view, bucket)
    assert torch.equal(changed[1, 0], kept[1, 0]) is parallel


@pytest.mark.parametrize("family", EVERY)
def test_number_logits_are_the_rows_of_the_full_logits(views, family):
    view = views(family)
    ids = number_ids(view.tokenizer, LARGEST)
    bucket = batch_of(view)
    logits, _, _ = own_outputs(view, bucket)
    rows = logits[:, bucket.position]
    with torch.no_grad():
        numbers = forward_number_logits(view, bucket, ids)
        token, total = view.vocabulary_summary(view.final_hidden(bucket.ids, bucket.position), rows_at_once=7)
    assert numbers.dtype == torch.float32
    torch.testing.assert_close(numbers, rows[:, ids], rtol=1e-5, atol=3e-6)
    assert torch.equal(token, rows.argmax(dim=-1))
    torch.testing.assert_close(total, rows.logsumexp(dim=-1), rtol=1e-5, atol=3e-6)
    assert rows.std() > 0.3


@pytest.mark.parametrize("family", EVERY)
def test_number_rows_rebuild_the_number_logits(views, family):
    view = views(family)
    ids = np.array(number_ids(view.tokenizer, LARGEST))
    _, residual = record(view, batch_of(view))
    weights, bias = view.unembedding(ids), view.unembedding_bias(ids)
    assert weights.shape == (LARGEST + 1, view.d_model) and not weights.requires_grad
    assert (bias is not None) is (family in ("gptj", "phi", "bert", "roberta"))
    with torch.no_grad():
        expected = view.normed(residual) @ weights.T + (0 if bias is None else bias)
        if family == "gemma2":
            expected = 5 * torch.tanh(expected / 5)
        torch.testing.assert_close(view.number_logits(residual, ids), expected, rtol=1e-5, atol=1e-5)
        plain = residual[1] @ weights.T + (0 if bias is None else bias)
        if family == "gemma2":
            plain = 5 * torch.tanh(plain / 5)
        torch.testing.assert_close(
            view.number_logits(residual[1], ids, norm=False), plain, rtol=1e-5, atol=1e-5
        )
    embedding = view.input_embedding(ids)
    assert torch.equal(embedding, view.embedding_parameter()[ids])
    assert torch.equal(embedding, weights) is view.tied


@pytest.mark.parametrize("family", EVERY)
def test_final_norm_gain(views, family):
    view = views(family)
    gain = view.final_norm_gain()
    if view.post_norm:
        assert not view.final_norm_gain_defined
        assert torch.equal(gain, torch.ones(view.d_model))
        return
    state = torch.randn(5, view.d_model, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        shift = view.final_norm(torch.zeros(1, view.d_model))
        normed = view.final_norm(state) - shift
    centred = state - state.mean(dim=-1, keepdim=True) if hasattr(view.final_norm, "bias") else state
    expected = gain * centred / centred.pow(2).mean(dim=-1, keepdim=True).sqrt()
    torch.testing.assert_close(normed, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("family", EVERY)
def test_the_folded_unembedding_is_the_linear_part_of_the_head(views, family):
    """Along directions that the norm neither centres nor rescales, logits move by it, up to a factor."""
    view = views(family)
    ids = number_ids(view.tokenizer, LARGEST)
    generator = torch.Generator().manual_seed(2)
    state, moved = torch.randn(2, view.d_model, generator=generator, dtype=torch.float64)
    head = copy.deepcopy(view.final_norm).double()
    inside, through = torch.eye(view.d_model, dtype=torch.float64), head
    if view.post_norm:
        inside = head.dense.weight.detach()
        through = torch.nn.Sequential(head.dense, head.LayerNorm if family == "bert" else head.layer_norm)
    inner = inside @ state
    if view.post_norm:
        state = state - torch.linalg.solve(inside, head.dense.bias.detach())
    fixed = torch.linalg.qr(torch.stack([torch.ones_like(inner), inner], dim=1)).Q
    direction = torch.linalg.solve(inside, moved - fixed @ (fixed.T @ moved))
    jacobian = torch.autograd.functional.jacobian(through, state)
    exact = view.unembedding(ids).double() @ jacobian @ direction
    folded = view.folded_unembedding(ids).double() @ direction
    assert torch.nn.functional.cosine_similarity(exact, folded, dim=0) > 1 - 1e-6


@pytest.mark.parametrize("family", EVERY)
def test_gradients_flow_through_number_logits(family):
    view = tiny_model(family, largest=LARGEST)
    bucket = batch_of(view)
    ids = number_ids(view.tokenizer, LARGEST)
    targets = torch.tensor([18, 15])
    loss = torch.nn.functional.cross_entropy(forward_number_logits(view, bucket, ids), targets)
    loss.backward()
    parameters = [
        view.embedding_parameter(),
        view.unembedding_parameter(),
        *view.final_norm.parameters(),
        *view.attention_module(0).parameters(),
        *view.mlp_module(1).parameters(),
    ]
    for parameter in parameters:
        assert parameter.grad is not None and parameter.grad.abs().max() > 0


@pytest.mark.parametrize("family", EVERY)
def test_save_and_load_give_the_same_model(views, family, tmp_path):
    view = views(family)
    view.save(tmp_path)
    again = load_model(tmp_path)
    assert again.family == family and again.tied is view.tied and again.fresh_parameters == ()
    assert not again.model.training
    assert again.encode(PROMPTS) == view.encode(PROMPTS)
    ids = number_ids(view.tokenizer, LARGEST)
    bucket = batch_of(view)
    with torch.no_grad():
        assert torch.equal(
            forward_number_logits(again, bucket, ids),
            forward_number_logits(view, bucket, ids),
        )


@pytest.mark.parametrize("family", EVERY)
def test_half_precision_projects_in_float32(family, tmp_path):
    tiny_model(family, largest=LARGEST).save(tmp_path)
    view = load_model(tmp_path, dtype="bfloat16")
    assert view.dtype == torch.bfloat16
    ids = number_ids(view.tokenizer, LARGEST)
    bucket = batch_of(view)
    _, residual = record(view, bucket)
    with torch.no_grad():
        logits = forward_number_logits(view, bucket, ids)
        exact = view.final_norm(residual[-1]).double() @ view.unembedding(ids).double().T
        if view.unembedding_bias(ids) is not None:
            exact += view.unembedding_bias(ids)
        if family == "gemma2":
            exact = 5 * torch.tanh(exact / 5)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits.double(), exact, rtol=1e-5, atol=1e-5)
    # the same product in bfloat16 is a thousand times further off
    assert (logits.bfloat16().double() - exact).abs().max() > 1e-3


@pytest.mark.parametrize("family", CAUSAL)
def test_a_shared_prefix_gives_the_same_values(family):
    # In float64, where what is left is no rounding that differs from one processor to the next. (GPT-J
    # rotates with sines in float32.)
    view = tiny_model(family, layers=3, largest=LARGEST)
    view.model.double()
    bucket = batch_of(view)
    leading = (bucket.ids == bucket.ids[:1]).all(dim=0).int().cumprod(dim=0).sum().item()
    assert 1 < leading < bucket.position
    plain, shared = record(view, bucket), record(view, bucket, shared=leading)
    for one, other in zip(plain, shared, strict=True):
        assert one.dtype == torch.float64
        torch.testing.assert_close(one, other, rtol=0, atol=1e-6)


def test_a_prefix_that_cannot_be_shared_is_refused(views):
    bucket = batch_of(views("bert"))
    with pytest.raises(UserError, match="bert"):
        record(views("bert"), bucket, shared=2)
    bucket = batch_of(views("gpt2"))
    with pytest.raises(UserError, match="cannot be shared"):
        record(views("gpt2"), bucket, shared=bucket.position + 1)


def test_hooks_are_gone_after_recording():
    view = tiny_model("gpt2")

    def hooks():
        return sum(
            len(module._forward_hooks) + len(module._forward_pre_hooks) for module in view.model.modules()
        )

    with Recorder(view, 2):
        assert hooks() == 1 + 3 * view.n_layers
    assert hooks() == 0
    with pytest.raises(RuntimeError, match="stop"), Recorder(view, 2):
        raise RuntimeError("stop")
    assert hooks() == 0


def test_scratch_model_depends_on_the_seed_alone(tmp_path):
    trained = tiny_model("gpt2", tmp_path)
    (tmp_path / "model.safetensors").unlink()
    state = torch.random.get_rng_state()
    one, same, other = (scratch_model(tmp_path, seed=seed) for seed in (3, 3, 4))
    assert torch.equal(torch.random.get_rng_state(), state)
    name = "transformer.h.0.mlp.c_fc.weight"
    weights = [view.model.state_dict()[name] for view in (one, same, other, trained)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert not torch.equal(weights[0], weights[3])
    assert one.tied and not one.model.training and one.dtype == torch.float32
    assert one.encode(PROMPTS) == trained.encode(PROMPTS)


def test_an_encoder_without_a_head_gets_one_from_the_seed(tmp_path):
    tokenizer = tiny_tokenizer(LARGEST, "bert")
    torch.manual_seed(0)
    encoder = BertModel(tiny_config("bert", len(tokenizer), layers=2, width=48))
    encoder.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    one, same, other = (load_model(tmp_path, seed=seed) for seed in (0, 0, 1))
    assert any("cls.predictions.transform" in name for name in one.fresh_parameters)
    assert not any(name.startswith("bert.") for name in one.fresh_parameters)
    assert one.tied
    assert torch.equal(one.embedding_parameter(), encoder.embeddings.word_embeddings.weight)
    heads = [view.model.cls.predictions.transform.dense.weight for view in (one, same, other)]
    assert torch.equal(heads[0], heads[1]) and not torch.equal(heads[0], heads[2])


def test_missing_weights_of_the_body_are_named(tmp_path):
    tiny_model("llama", tmp_path)
    file = tmp_path / "model.safetensors"
    weights = load_file(file)
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(tmp_path)


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "holds no config.json"),
        (lambda folder: (folder / "model.safetensors").unlink(), "cannot be loaded"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"x" * 64), "cannot be loaded"),
        (lambda folder: (folder / "tokenizer.json").unlink(), "tokenizer"),
        (lambda folder: change(folder / "config.json", model_type="mamba"), "'mamba' is not supported"),
        (lambda folder: change(folder / "config.json", vocab_size=999), "cannot be loaded"),
    ],
)
def test_directories_that_cannot_be_loaded(tmp_path, spoil, message):
    tiny_model("gpt2", tmp_path)
    spoil(tmp_path)
    with pytest.raises(UserError, match=message):
        load_model(tmp_path)


def change(path, **keys):
    path.write_text(json.dumps(json.loads(path.read_text()) | keys))


def test_unknown_dtype_is_refused(tmp_path):
    tiny_model("gpt2", tmp_path)
    with pytest.raises(UserError, match="float64"):
        load_model(tmp_path, dtype="float64")


def test_unsupported_model_is_refused():
    class Config:
        model_type = "t5"

    class Model:
        config = Config()

    with pytest.raises(UserError, match="t5"):
        wrap(Model(), None)


@pytest.mark.parametrize("shape", [(3, 5, 7), (1, 33_000), (70_001,), (0,)])
def test_gelu_in_pieces_is_transformers_own_to_the_last_bit(shape):
    from fourier_addition.models.gelu import gelu_in_pieces
    from transformers.activations import NewGELUActivation

    x = 3 * torch.randn(shape, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        for values in (x, x.half(), x.bfloat16()):
            assert torch.equal(gelu_in_pieces(values), NewGELUActivation()(values))
        if x.dim() > 1:
            turned = x.transpose(0, 1)
            assert torch.equal(gelu_in_pieces(turned), NewGELUActivation()(turned))
    y = x.clone().requires_grad_()
    gelu_in_pieces(y).sum().backward()
    assert y.grad.isfinite().all()
