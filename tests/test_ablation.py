"""Ablation: conditions, the plain forward pass with hooks, and the engine held to it."""

import itertools

import numpy as np
import pytest
import torch
from fourier_addition.ablation.conditions import (
    Condition,
    control_conditions,
    layers_label,
    table1_conditions,
)
from fourier_addition.ablation.engine.blocks import Blocks
from fourier_addition.ablation.engine.inputs import earlier_keys, last_token_stream
from fourier_addition.ablation.engine.plan import plans
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.plain import filtered
from fourier_addition.ablation.run import run_conditions
from fourier_addition.ablation.sweeps import keep_only_conditions, layer_sweep, period_sweep, tau_sweep
from fourier_addition.ablation.torch_filters import TorchFilters
from fourier_addition.errors import UserError
from fourier_addition.filters import Filter
from fourier_addition.fourier import fourier_basis
from fourier_addition.interventions import (
    number_angles,
    planes_of,
    random_angles,
    random_planes,
    replace,
    scale,
    turn,
    turn_along,
)
from fourier_addition.models import FAMILIES, Encoded, first_tensor
from fourier_addition.models.prefixes import beginnings, cut_points, prefix_nodes
from tiny import number_ids, tiny_model

LARGEST = 20
TAU = 4
LAYERS = 3
EXAMPLES = 12
CAUSAL = [name for name, family in FAMILIES.items() if not family.masked]


def make(family="gpt2", **changes):
    view = tiny_model(family, layers=LAYERS, largest=LARGEST, **changes)
    ids = number_ids(view.tokenizer, LARGEST)
    return view, ids, FilterBank(view.unembedding(ids).numpy(), fourier_basis(LARGEST + 1))


def examples(view):
    """Prompts of three lengths in mixed order, many of which begin alike."""
    templates = ("Total of {a} and {b}. Answer:", "Add {a} and {b} Answer", "{a}, {b}+")
    prompts = [t.format(a=a, b=b) for b in (3, 20) for t in templates for a in (0, 11)]
    return view.encode(prompts), np.arange(len(prompts)) % (LARGEST + 1)


def intervened(bank, n_layers):
    """Every intervention, at module outputs and in the residual stream, at one layer and at several."""
    low, high = (planes_of(bank.unembedding, bank.basis, k) for k in ([1, 2, 3], [4, 7]))
    source = np.roll(np.arange(EXAMPLES), 5)
    random = random_planes(low, np.random.default_rng(1))
    turned, stream = turn(low, number_angles(low, 3)), turn(random, number_angles(low, 3))
    pattern = np.random.default_rng(3).standard_normal(low.rows.T.shape)
    along = turn_along(low, pattern, number_angles(low, 3))
    swapped = replace(high, source, angles=random_angles(high, np.random.default_rng(2)))
    return [
        Condition("turn-mlp", "turn", "x", "mlp", (0, 1), filter=turned),
        Condition("turn-residual", "turn", "x", "residual", (1,), filter=turned),
        Condition("turn-random", "turn", "x", "residual", (1,), filter=stream),
        Condition("turn-along", "turn", "x", "residual", (0, 2), filter=along),
        Condition("remove-residual", "x", "x", "residual", (0, 2), filter=bank.removing([2, 3])),
        Condition("scale-both", "x", "x", "both", (1,), filter=scale(low, 2.5)),
        Condition("replace-attention", "x", "x", "attention", (0, 2), filter=replace(low, source)),
        Condition("replace-residual", "x", "x", "residual", (1, n_layers - 1), filter=replace(low, source)),
        Condition("replace-both", "x", "x", "both", (1,), filter=swapped),
    ]


def many_conditions(bank, n_layers=LAYERS):
    rows = table1_conditions(bank, n_layers, TAU)
    partial = table1_conditions(bank, n_layers, TAU, layers=[0, 2])[1:3]
    return [
        *rows,
        *control_conditions(rows[2:5], bank, 1, seed=0),
        *control_conditions(rows[1:2], bank, 1, seed=0, kind="components"),
        *layer_sweep(bank, n_layers, ["low"], TAU, layers=[1, 2]),
        *keep_only_conditions(bank, n_layers, [LARGEST]),
        *intervened(bank, n_layers),
        *(Condition(f"{c.name}-0-2", "x", c.band, c.modules, c.layers, filter=c.filter) for c in partial),
    ]


def loss_of(view, ids, encoded, answers, conditions, **arguments):
    arguments = {"batch_size": 8, "answers": answers, **arguments}
    return run_conditions(view, encoded, ids, conditions, **arguments)


def assert_same(one, other):
    assert np.array_equal(one.prediction, other.prediction)
    # Relative to the size of a loss, which here is several nats; a loss near 0 is a difference of logits.
    np.testing.assert_allclose(one.loss, other.loss, rtol=1e-5, atol=1e-5)


VARIANTS = {
    "gpt_neox-sequential": ("gpt_neox", {"use_parallel_residual": False}),
    "gpt2-scaled-by-layer": ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    "gpt2-gelu": ("gpt2", {"activation_function": "gelu"}),
    "gemma2-window": ("gemma2", {"sliding_window": 4}),
    "gemma3-window": (
        "gemma3",
        {"sliding_window": 4, "layer_types": ["sliding_attention", "full_attention", "sliding_attention"]},
    ),
    "mistral-window": ("mistral", {"sliding_window": 4}),
    "llama-one-key-head": ("llama", {"num_key_value_heads": 1}),
    "phi-partial-rotary": ("phi", {"partial_rotary_factor": 0.5}),
    "gptj-partial-rotary": ("gptj", {"rotary_dim": 4}),
}


class TestEngine:
    @pytest.mark.parametrize("name", [*CAUSAL, *VARIANTS])
    def test_equals_the_plain_pass(self, name):
        family, changes = VARIANTS.get(name, (name, {}))
        view, ids, bank = make(family, **changes)
        encoded, answers = examples(view)
        conditions = many_conditions(bank)
        plain = loss_of(view, ids, encoded, answers, conditions, method="plain")
        engine = loss_of(view, ids, encoded, answers, conditions, method="engine", rows=100)
        assert_same(engine, plain)
        # The comparison is not of things that are all alike.
        assert (plain.loss.std("condition") > 0.05).all()
        assert np.unique(plain.loss.sel(condition="both-low")).size == len(encoded)

    @pytest.mark.parametrize("name", [*CAUSAL, *VARIANTS])
    def test_equals_the_plain_pass_at_all_positions(self, name):
        family, changes = VARIANTS.get(name, (name, {}))
        view, ids, bank = make(family, **changes)
        encoded, answers = examples(view)
        conditions = [c for c in many_conditions(bank) if getattr(c.filter, "source", None) is None]
        plain, engine = (
            loss_of(view, ids, encoded, answers, conditions, method=method, positions="all")
            for method in ("plain", "engine")
        )
        assert_same(engine, plain)
        last = loss_of(view, ids, encoded, answers, conditions)
        assert (abs(last.loss - plain.loss).max("example")[1:] > 1e-3).sum() > len(conditions) / 2

    @pytest.mark.parametrize(
        ("family", "changes"),
        [
            ("gemma2", {"sliding_window": 4}),
            ("gemma3", {"sliding_window": 4}),
            ("mistral", {"sliding_window": 4}),
            ("gemma2", {"attn_logit_softcapping": 0.5}),
        ],
    )
    def test_window_and_cap_matter_to_the_engine(self, family, changes):
        """The variants above would not see a window or a cap that changes nothing."""
        wide = {"sliding_window": 64} | ({"attn_logit_softcapping": 50.0} if family == "gemma2" else {})
        losses = []
        for keys in (wide, wide | changes):
            view, ids, bank = make(family, **keys)
            encoded, answers = examples(view)
            rows = table1_conditions(bank, LAYERS, TAU)[:2]
            losses.append(loss_of(view, ids, encoded, answers, rows, method="engine").loss)
        assert float(abs(losses[0] - losses[1]).max()) > 1e-3

    def test_does_not_depend_on_batches_chunks_or_order(self):
        view, ids, bank = make()
        encoded, answers = examples(view)
        conditions = many_conditions(bank)
        whole = loss_of(view, ids, encoded, answers, conditions, batch_size=100, rows=10_000)
        for batch_size, rows in ((1, 1), (3, 30)):
            parts = loss_of(view, ids, encoded, answers, conditions, batch_size=batch_size, rows=rows)
            assert_same(parts, whole)
        # Sources are numbers of examples, which another order of the examples would make others.
        filtering = [c for c in conditions if getattr(c.filter, "source", None) is None]
        whole = whole.sel(condition=[c.name for c in filtering])
        turned = loss_of(view, ids, encoded[::-1], answers[::-1].copy(), filtering[::-1])
        assert_same(turned.isel(condition=slice(None, None, -1), example=slice(None, None, -1)), whole)

    def test_prompts_of_one_token(self):
        for family in ("gpt2", "llama", "gptj"):
            view, ids, bank = make(family)
            encoded = [Encoded([token], 0) for token in ids[:3]]
            rows = table1_conditions(bank, LAYERS, TAU)
            for positions in ("last", "all"):
                plain, engine = (
                    loss_of(view, ids, encoded, [1, 2, 3], rows, method=method, positions=positions)
                    for method in ("plain", "engine")
                )
                assert_same(engine, plain)

    def test_leaves_the_model_as_it_was(self):
        view, ids, bank = make()
        encoded, answers = examples(view)
        before = {name: dict(module.__dict__) for name, module in view.model.named_modules()}
        implementation = view.model.config._attn_implementation
        loss_of(view, ids, encoded, answers, table1_conditions(bank, LAYERS, TAU))
        assert view.model.config._attn_implementation == implementation
        for name, module in view.model.named_modules():
            assert module.__dict__.keys() == before[name].keys()
            assert not module._forward_hooks and not module._forward_pre_hooks

    def test_faster_gelu_is_the_same_function(self):
        view, _, _ = make()
        encoded, _ = examples(view)
        ids = torch.tensor([encoded[0].ids])
        with torch.no_grad():
            before, blocks = view.final_hidden(ids, -1), Blocks(view)
            with blocks.faster():
                faster = view.final_hidden(ids, -1)
            assert not torch.equal(faster, before)
            torch.testing.assert_close(faster, before, rtol=1e-5, atol=5e-6)
            assert torch.equal(view.final_hidden(ids, -1), before)

    def test_is_refused_where_it_cannot_be(self):
        view, ids, bank = make("bert")
        encoded, answers = examples(view)
        rows = table1_conditions(bank, LAYERS, TAU)
        with pytest.raises(UserError, match="bert"):
            loss_of(view, ids, encoded, answers, rows, method="engine")

    def test_computes_a_shared_beginning_once_at_all_positions(self):
        view, ids, bank = make()
        encoded = view.encode([f"Total of {a} and {b}. Answer:" for a in (0, 5) for b in (3, 4, 11)])
        conditions = table1_conditions(bank, LAYERS, TAU)[1:2]
        rows = {}
        for method in ("plain", "engine"):
            seen = []
            handle = view.block(0).mlp.register_forward_hook(
                lambda module, arguments, output, seen=seen: seen.append(output.shape[:-1].numel())
            )
            loss_of(view, ids, encoded, range(6), conditions, method=method, positions="all")
            handle.remove()
            rows[method] = sum(seen)
        assert rows["plain"] == sum(len(each.ids) for each in encoded)
        assert rows["engine"] < 0.8 * rows["plain"]

    def test_runs_each_module_once_for_each_distinct_state(self):
        view, ids, bank = make()
        encoded = view.encode([f"Total of {a} and 3. Answer:" for a in (0, 5, 11)])
        conditions = layer_sweep(bank, LAYERS, ["low", "high"], TAU)
        rows = []
        handle = view.block(LAYERS - 1).mlp.register_forward_hook(
            lambda module, arguments, output: rows.append(output.shape[:-1].numel())
        )
        loss_of(view, ids, encoded, [1, 2, 3], conditions, rows=10_000)
        handle.remove()
        # Below the last layer: two layers, three ways of filtering, two bands. At the last layer the
        # conditions that filter the attention and both are one, and those that filter the MLP alone
        # are still the unfiltered one.
        assert max(rows) == (2 * 3 * 2 + 2 + 1) * len(encoded)


class TestPlain:
    @pytest.mark.parametrize("family", [*FAMILIES])
    def test_unfiltered_loss_is_hugging_faces(self, family):
        view, ids, bank = make(family)
        encoded, answers = examples(view)
        rows = table1_conditions(bank, LAYERS, TAU)[:1]
        found = loss_of(view, ids, encoded, answers, rows)
        everything = loss_of(view, ids, encoded, answers, rows, prediction="vocabulary")
        for number, (tokens, position) in enumerate(encoded):
            with torch.no_grad():
                logits = view.model(torch.tensor([tokens])).logits[0, position]
            numbers = logits[ids]
            assert int(found.prediction[0, number]) == int(numbers.argmax())
            loss = torch.logsumexp(numbers, 0) - numbers[answers[number]]
            assert float(found.loss[0, number]) == pytest.approx(float(loss), rel=1e-5)
            loss = torch.logsumexp(logits, 0) - numbers[answers[number]]
            assert float(everything.loss[0, number]) == pytest.approx(float(loss), rel=1e-5)
            token = int(logits.argmax())
            expected = ids.index(token) if token in ids else -1
            assert int(everything.prediction[0, number]) == expected

    @pytest.mark.parametrize("family", ["gpt2", "gptj", "llama", "gemma2", "bert", "roberta"])
    @pytest.mark.parametrize("positions", ["last", "all"])
    def test_outputs_are_projected_where_and_only_where_asked(self, family, positions):
        view, _, bank = make(family)
        encoded, _ = examples(view)
        tokens, position = encoded[0]
        condition = table1_conditions(bank, LAYERS, TAU, layers=[1])[2]
        assert condition.name == "attention-low"
        filters = TorchFilters(view.device, view.dtype)

        def outputs(*contexts):
            seen = {}
            for context in contexts:
                context.__enter__()
            handles = [
                module(layer).register_forward_hook(
                    lambda m, a, out, key=(name, layer): seen.__setitem__(key, first_tensor(out).clone())
                )
                for layer in range(LAYERS)
                for name, module in (("attention", view.attention_module), ("mlp", view.mlp_module))
            ]
            with torch.no_grad():
                view.run(torch.tensor([tokens]))
            for handle in handles:
                handle.remove()
            for context in contexts:
                context.__exit__(None, None, None)
            return seen

        before = outputs()
        after = outputs(filtered(view, condition, position if positions == "last" else None, filters))
        where = slice(position, position + 1) if positions == "last" else slice(None)
        wanted = before["attention", 1].clone()
        wanted[:, where] = torch.from_numpy(condition.filter(wanted[:, where].double().numpy())).float()
        assert torch.allclose(after["attention", 1], wanted, atol=1e-5)
        assert not torch.allclose(after["attention", 1], before["attention", 1], atol=1e-2)
        assert torch.equal(after["attention", 0], before["attention", 0])
        assert torch.equal(after["mlp", 0], before["mlp", 0])
        # The MLP below the filter in the stream sees it, unless it reads the same state.
        assert torch.equal(after["mlp", 1], before["mlp", 1]) == view.parallel
        assert not torch.equal(after["mlp", 2], before["mlp", 2])

    @pytest.mark.parametrize("family", ["gpt2", "bert"])
    def test_all_positions_are_more_than_the_last(self, family):
        view, ids, bank = make(family)
        encoded, answers = examples(view)
        rows = table1_conditions(bank, LAYERS, TAU)
        last, everywhere = (
            loss_of(view, ids, encoded, answers, rows, positions=positions) for positions in ("last", "all")
        )
        assert_same(last.isel(condition=[0]), everywhere.isel(condition=[0]))
        difference = abs(last.loss - everywhere.loss).isel(condition=slice(1, None)).max("example")
        assert (difference > 1e-3).all()

    def test_vocabulary_readings_agree(self):
        view, ids, bank = make()
        with torch.no_grad():
            # Numbers are a fifth of the tokens: without help none of them is ever the likeliest.
            view.unembedding_parameter()[ids] *= 1.5
        encoded, answers = examples(view)
        conditions = many_conditions(bank)
        plain, engine = (
            loss_of(view, ids, encoded, answers, conditions, method=method, prediction="vocabulary")
            for method in ("plain", "engine")
        )
        assert_same(engine, plain)
        assert (plain.prediction == -1).any() and (plain.prediction >= 0).any()


class TestRunConditions:
    def test_dataset_says_what_it_holds(self):
        view, ids, bank = make()
        encoded, answers = examples(view)
        rows = table1_conditions(bank, LAYERS, TAU)
        found = loss_of(view, ids, encoded, answers, rows)
        assert found.prediction.dims == ("condition", "example")
        assert found.prediction.dtype == np.int32 and found.loss.dtype == np.float32
        assert found["module"].values.tolist() == ["none", *["both", "attention", "mlp"] * 2]
        assert found["rank"].values.tolist() == [0, 6, 6, 6, 13, 13, 13]
        assert found["layers"].values.tolist() == ["0-2"] * 7
        assert np.array_equal(found["answer"], answers)
        assert found.loss.attrs["units"] == "nat"

    def test_progress_counts_every_pair(self):
        view, ids, bank = make()
        encoded, answers = examples(view)
        rows = table1_conditions(bank, LAYERS, TAU)
        for method in ("plain", "engine"):
            seen = []
            loss_of(
                view,
                ids,
                encoded,
                answers,
                rows,
                method=method,
                progress=lambda *pair, s=seen: s.append(pair),
            )
            assert seen[-1] == (7 * len(encoded), 7 * len(encoded))
            assert [done for done, _ in seen] == sorted({done for done, _ in seen})

    def test_bad_input_is_refused_in_one_sentence(self):
        view, ids, bank = make()
        encoded, answers = examples(view)
        rows = table1_conditions(bank, LAYERS, TAU)
        other = Filter.random(view.d_model + 1, 2, np.random.default_rng(0))
        cases = [
            (dict(method="quick"), "`method` must be one of"),
            (dict(positions="first"), "`positions` must be one of"),
            (dict(prediction="digits"), "`prediction` must be one of"),
            (dict(answers=answers + LARGEST), "outside the number space"),
            (dict(answers=answers[:-1]), "answers of shape"),
            (dict(conditions=[]), "no condition"),
            (dict(conditions=[*rows, rows[0]]), "Two conditions are named 'unfiltered'"),
            (dict(conditions=[Condition("x", "table", "low", "both", (0,), filter=other)]), "'x' filters 49"),
            (
                dict(conditions=[Condition("x", "table", "low", "heads", (0,), filter=rows[1].filter)]),
                "'heads'",
            ),
            (
                dict(conditions=[Condition("x", "table", "low", "mlp", (3,), filter=rows[1].filter)]),
                "Layer 3",
            ),
            (dict(rows=0), "`rows`"),
        ]
        for changes, words in cases:
            arguments = {"conditions": rows, "answers": answers, "batch_size": 8} | changes
            with pytest.raises(UserError, match=words):
                run_conditions(view, encoded, ids, **arguments)


class TestConditions:
    bank = FilterBank(np.random.default_rng(0).standard_normal((101, 256)), fourier_basis(101))

    def test_table1_has_the_papers_rows(self):
        rows = table1_conditions(self.bank, 4, 10)
        assert [(c.modules, c.band) for c in rows] == [
            ("none", "none"),
            ("both", "low"),
            ("attention", "low"),
            ("mlp", "low"),
            ("both", "high"),
            ("attention", "high"),
            ("mlp", "high"),
        ]
        assert rows[1].components == tuple(range(1, 10)) and rows[4].components == tuple(range(10, 51))
        assert [c.rank for c in rows] == [0, 18, 18, 18, 81, 81, 81]
        assert rows[1].filter is rows[2].filter is rows[3].filter
        assert rows[1].filters_at(2) == (rows[1].filter, rows[1].filter, None)
        assert rows[2].filters_at(2) == (rows[2].filter, None, None)
        assert rows[3].filters_at(2) == (None, rows[3].filter, None)
        assert table1_conditions(self.bank, 4, 10, layers=[1])[3].filters_at(2) == (None, None, None)

    def test_tau_and_layers_beyond_the_model_are_refused(self):
        with pytest.raises(UserError, match="tau = 51"):
            table1_conditions(self.bank, 4, 51)
        for layers in ([4], [-1], []):
            with pytest.raises(UserError, match=r"[Ll]ayer"):
                table1_conditions(self.bank, 4, 10, layers=layers)
        narrow = FilterBank(self.bank.unembedding[:, :60], self.bank.basis)
        with pytest.raises(UserError, match="leave no dimension"):
            table1_conditions(narrow, 4, 10)

    def test_subspace_controls_match_in_rank_place_and_are_shared_by_rank(self):
        rows = table1_conditions(self.bank, 4, 10)
        controls = control_conditions(rows, self.bank, 20, seed=3)
        assert len(controls) == 6 * 20 and len({c.name for c in controls}) == 120
        by_name = {row.name: row for row in rows}
        for control in controls:
            row = by_name[control.control_of]
            assert (control.rank, control.modules, control.layers) == (row.rank, row.modules, row.layers)
            assert control.filter is not row.filter and control.kind == "subspace"
        assert len({id(c.filter) for c in controls}) == 2 * 20
        matrices = [c.filter(np.eye(256)) for c in controls[:20]]
        assert all(np.linalg.norm(a - b) > 1 for a, b in itertools.combinations(matrices, 2))

    def test_draws_depend_on_seed_rank_and_number_only(self):
        rows = table1_conditions(self.bank, 4, 10)
        fresh = FilterBank(self.bank.unembedding, self.bank.basis)
        few = control_conditions(rows[-1:], fresh, 2, seed=3)
        many = control_conditions(rows, self.bank, 5, seed=3)
        other = control_conditions(rows[-1:], fresh, 2, seed=4)
        matching = [c for c in many if c.control_of == rows[-1].name]
        assert all(
            np.array_equal(a.filter.basis, b.filter.basis) for a, b in zip(few, matching[:2], strict=True)
        )
        assert not np.allclose(few[0].filter.basis, other[0].filter.basis)

    def test_component_controls_match_in_size(self):
        rows = table1_conditions(self.bank, 4, 10)
        controls = control_conditions(rows, self.bank, 3, seed=0, kind="components")
        sizes = {row.name: len(row.components) for row in rows}
        assert all(len(set(c.components)) == sizes[c.control_of] for c in controls)
        drawn = [c.components for c in controls if c.control_of == "both-low"]
        assert len(set(drawn)) == 3 and 0 not in set(itertools.chain(*drawn))
        with pytest.raises(UserError, match="removes no components"):
            control_conditions(control_conditions(rows, self.bank, 1, 0), self.bank, 1, 0, "components")

    def test_bad_controls_are_refused(self):
        rows = table1_conditions(self.bank, 4, 10)
        with pytest.raises(UserError, match="at least 1 draw"):
            control_conditions(rows, self.bank, 0, seed=0)
        with pytest.raises(UserError, match="Control 'noise'"):
            control_conditions(rows, self.bank, 1, seed=0, kind="noise")

    def test_sweeps(self):
        taus = tau_sweep(self.bank, 4, [5, 10], modules=["both"])
        assert [(c.value, c.band, len(c.components)) for c in taus] == [
            (5, "low", 4),
            (5, "high", 46),
            (10, "low", 9),
            (10, "high", 41),
        ]
        periods = period_sweep(self.bank, 4, [2, 2.5, 3.3, 5, 10, 20, 50, 100])
        assert [c.components for c in periods] == [(50,), (40,), (30,), (20,), (10,), (5,), (2,), (1,)]
        with pytest.raises(UserError, match="period 70"):
            period_sweep(self.bank, 4, [70])
        only = keep_only_conditions(self.bank, 4, [2, 100])
        assert only[0].components == tuple(range(1, 50)) and only[1].components == tuple(range(2, 51))
        layers = layer_sweep(self.bank, 4, ["low", "high", {"periods": [10]}], 10)
        assert len(layers) == 3 * 4 * 3 and all(c.layers == (c.value,) for c in layers)
        assert len({c.name for c in layers}) == 36

    def test_layers_in_words(self):
        assert layers_label((0, 1, 2)) == "0-2"
        assert layers_label((3,)) == "3"
        assert layers_label((0, 2, 5)) == "0, 2, 5"


class TestPlan:
    @pytest.mark.parametrize("parallel", [False, True])
    @pytest.mark.parametrize("states", [1, 5, 1000])
    def test_every_condition_goes_through_its_own_filters(self, parallel, states):
        """Follow a plan with histories in place of numbers."""
        basis = TestConditions.bank
        conditions = many_conditions(basis, 3)
        found = {}
        for plan in plans(conditions, 3, parallel, states):
            assert plan.most_states <= states
            histories = [()]
            for split in plan.splits:
                if split.parents is not None:
                    histories = [histories[parent] for parent in split.parents]
                assert len(set(histories)) == len(histories) or split.parents is not None
                for output in split.parts:
                    applied = [None] * len(histories)
                    for filter, start, stop in output:
                        assert start < stop
                        applied[start:stop] = [filter] * (stop - start)
                    histories = [(*past, now) for past, now in zip(histories, applied, strict=True)]
                assert len(set(histories)) == len(histories), "two states with one history"
            found |= {n: histories[state] for n, state in zip(plan.numbers, plan.final, strict=True)}
        assert len(found) == len(conditions)
        for number, condition in enumerate(conditions):
            wanted = tuple(filter for layer in range(3) for filter in condition.filters_at(layer))
            assert found[number] == wanted

    def test_states_that_share_a_filter_stand_together(self):
        rows = table1_conditions(TestConditions.bank, 3, 10)
        for parallel in (False, True):
            (plan,) = plans(rows, 3, parallel, 100)
            for split in plan.splits:
                outputs = split.parts[: 2 if parallel else 1]
                assert not any(split.parts[len(outputs) :])
                for output in outputs:
                    assert len(output) == len({filter for filter, _, _ in output}) == 2


class TestPrefix:
    def test_nodes_are_the_distinct_beginnings_in_lexicographic_order(self):
        ids = np.random.default_rng(0).integers(0, 3, (40, 5))
        nodes = prefix_nodes(ids)
        for length in range(1, 6):
            first, beginning = beginnings(nodes, length)
            distinct, wanted, inverse = np.unique(
                ids[:, :length], axis=0, return_index=True, return_inverse=True
            )
            assert np.array_equal(first, wanted) and np.array_equal(beginning, inverse.reshape(-1))
            assert np.array_equal(ids[first, :length][beginning], ids[:, :length])
            assert len(first) == len(distinct)
        assert len(np.unique(nodes)) == sum(len(beginnings(nodes, length)[0]) for length in range(1, 6))

    def test_cuts_cost_least(self):
        rng = np.random.default_rng(0)
        for _ in range(20):
            ids = rng.integers(0, 3, (10, 6))
            ids[:, : rng.integers(0, 5)] = 0
            distinct = [len({tuple(row[:end]) for row in ids}) for end in range(1, 7)]

            def cost(ends, distinct=distinct):
                starts = [0, *ends[:-1]]
                return sum(distinct[e - 1] * (e - s) + 2.5 for s, e in zip(starts, ends, strict=True))

            options = [[*inner, 6] for n in range(6) for inner in itertools.combinations(range(1, 6), n)]
            assert cost(cut_points(prefix_nodes(ids), 2.5)) == pytest.approx(min(map(cost, options)))

    def test_common_beginning_is_cut_off(self):
        ids = np.zeros((64, 40), np.int64)
        ids[:, 30:] = np.random.default_rng(0).integers(0, 1000, (64, 10))
        assert cut_points(prefix_nodes(ids)) == [30, 40]

    @pytest.mark.parametrize("family", ["gpt2", "llama", "gemma2"])
    def test_keys_are_those_of_the_whole_prompt(self, family, monkeypatch):
        view, _, _ = make(family, **({"sliding_window": 4} if family == "gemma2" else {}))
        monkeypatch.setattr(
            "fourier_addition.models.prefix_cache.cut_points", lambda nodes: [2, 3, nodes.shape[1]]
        )
        prompts = [f"Total of {a} and {b} Answer" for a in (1, 2) for b in (1, 2, 3)]
        ids = torch.tensor([e.ids for e in view.encode(prompts)])
        with torch.no_grad():
            shared = earlier_keys(view, ids[:, :-1])
            cache = view.model(ids[:, :-1], use_cache=True).past_key_values
            for (keys, values), layer in zip(shared, cache.layers, strict=True):
                assert torch.allclose(keys, layer.keys, atol=1e-5)
                assert torch.allclose(values, layer.values, atol=1e-5)

    @pytest.mark.parametrize("family", ["gpt2", "gemma3", "gpt_neox"])
    def test_stream_starts_where_the_model_does(self, family):
        view, _, _ = make(family)
        encoded, _ = examples(view)
        ids = torch.tensor([encoded[0].ids, encoded[1].ids])
        seen = []
        handle = view.block(0).register_forward_pre_hook(lambda module, arguments: seen.append(arguments[0]))
        with torch.no_grad():
            view.run(ids)
            handle.remove()
            assert torch.equal(last_token_stream(view, ids), seen[0][:, -1])
