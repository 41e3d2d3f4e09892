"""One contestant of bench_ablation.py, in a process of its own.

Reads the task that the parent wrote, then answers `run` lines on standard input with a line of
JSON, and `stop` by writing its outputs and its peak memory.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch


class Task:
    """What every contestant computes: prompts, conditions and filters, as the parent wrote them."""

    def __init__(self, workspace: Path, name: str, stride: int) -> None:
        arrays = np.load(workspace / f"{name}.npz")
        self.ids = arrays["ids"]
        self.answers = arrays["answers"]
        self.number_ids = arrays["number_ids"]
        described = json.loads((workspace / f"{name}.json").read_text())
        self.batch_size = described["batch_size"]
        self.filters = [(arrays[f"filter-{n}"], keeps) for n, keeps in enumerate(described["keeps"])]
        # Of filters that are no projectors: see `fourier_addition.interventions.Intervention`.
        self.own, self.given, self.source = (
            {n: arrays[f"{part}-{n}"] for n in range(len(self.filters)) if f"{part}-{n}" in arrays}
            for part in ("own", "given", "source")
        )
        self.numbers = list(range(0, len(described["conditions"]), stride))
        self.conditions = [described["conditions"][n] for n in self.numbers]

    def batches(self) -> list[slice]:
        """Which prompts are run together."""
        return [slice(n, n + self.batch_size) for n in range(0, len(self.ids), self.batch_size)]


class Hooked:
    """A peer: the full forward pass with its own hooks, a condition and a batch at a time."""

    def __init__(self, task: Task, model: torch.nn.Module) -> None:
        self.task = task
        self.model = model
        self.bases = [(torch.from_numpy(basis).float(), keeps) for basis, keeps in task.filters]
        self.final_norm = model.transformer.ln_f
        self.rows = model.lm_head.weight[torch.from_numpy(task.number_ids)].detach()
        self.own, self.given = (
            {n: torch.from_numpy(matrix).float() for n, matrix in part.items()}
            for part in (task.own, task.given)
        )
        self.rows_now = slice(0, 0)
        self.states: dict[tuple[str, int], torch.Tensor] = {}

    def apply(self, filter: int, x: torch.Tensor, place: tuple[str, int]) -> torch.Tensor:
        """The filtered output at the last token of a module or block of a layer."""
        basis, keeps = self.bases[filter]
        if filter in self.own:
            change = (x @ basis) @ self.own[filter].T
            if filter in self.given:
                source = self.states[place][self.task.source[filter][self.rows_now]]
                change = change + (source @ basis) @ self.given[filter].T
            return x + change @ basis.T
        inside = (x @ basis) @ basis.T
        return inside if keeps else x - inside

    def recorded(self, ids: torch.Tensor) -> dict[tuple[str, int], torch.Tensor]:
        """What each module and block has at the last token, of the model as it is."""
        found = {}
        blocks, hooks = self.model.transformer.h, []
        for layer, block in enumerate(blocks):
            for name, module in (("attn", block.attn), ("mlp", block.mlp), ("block", block)):

                def keep(
                    module: object, inputs: object, output: object, place: object = (name, layer)
                ) -> None:
                    found[place] = (output[0] if isinstance(output, tuple) else output)[:, -1].clone()

                hooks.append(module.register_forward_hook(keep))
        self.model.transformer(ids)
        for hook in hooks:
            hook.remove()
        return found

    def hidden(self, ids: torch.Tensor, condition: dict) -> torch.Tensor:
        """Residual stream after the last block at the last token, under a condition."""
        raise NotImplementedError

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and losses, (condition, example)."""
        shape = len(self.task.conditions), len(self.task.ids)
        predictions, losses = np.empty(shape, np.int64), np.empty(shape, np.float32)
        answers = torch.from_numpy(self.task.answers)
        with torch.inference_mode():
            if self.given:
                parts = [self.recorded(torch.from_numpy(self.task.ids[b])) for b in self.task.batches()]
                self.states = {place: torch.cat([part[place] for part in parts]) for place in parts[0]}
            for batch in self.task.batches():
                self.rows_now = batch
                ids = torch.from_numpy(self.task.ids[batch])
                for number, condition in enumerate(self.task.conditions):
                    logits = self.final_norm(self.hidden(ids, condition)) @ self.rows.T
                    loss = torch.nn.functional.cross_entropy(logits, answers[batch], reduction="none")
                    predictions[number, batch] = logits.argmax(1).numpy()
                    losses[number, batch] = loss.numpy()
        return predictions, losses


class TransformerLens(Hooked):
    """TransformerLens: run_with_hooks on its bridge; logits of the last token only."""

    def __init__(self, task: Task, model: torch.nn.Module, workspace: Path) -> None:
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer

        super().__init__(task, model)
        self.layers = len(model.transformer.h)
        tokenizer = AutoTokenizer.from_pretrained(workspace / "model")
        self.bridge = TransformerBridge.boot_transformers(
            "gpt2", hf_model=model, tokenizer=tokenizer, device="cpu"
        )

    def hidden(self, ids: torch.Tensor, condition: dict) -> torch.Tensor:
        def at(place: tuple[str, int]) -> object:
            def filtered(x: torch.Tensor, hook: object) -> torch.Tensor:
                x[:, -1] = self.apply(condition["filter"], x[:, -1], place)
                return x

            return filtered

        found = []
        names = {"attn": "hook_attn_out", "mlp": "hook_mlp_out", "block": "hook_resid_post"}
        hooks = [
            (f"blocks.{layer}.{names[name]}", at((name, layer)))
            for layer in condition["layers"]
            for name in condition["modules"]
        ]
        hooks.append(
            (f"blocks.{self.layers - 1}.hook_resid_post", lambda x, hook: found.append(x[:, -1].clone()))
        )
        self.bridge.run_with_hooks(ids, fwd_hooks=hooks, logits_to_keep=1)
        return found[0]


class Nnsight(Hooked):
    """nnsight: a trace of the model's body, without vocabulary logits."""

    def __init__(self, task: Task, model: torch.nn.Module) -> None:
        from nnsight import NNsight

        super().__init__(task, model)
        self.traced = NNsight(model.transformer)
        # Whether a block gives a tuple, which releases of transformers answer differently.
        seen: list[bool] = []
        hook = model.transformer.h[0].register_forward_hook(
            lambda module, inputs, output: seen.append(isinstance(output, tuple))
        )
        model.transformer(torch.zeros(1, 1, dtype=torch.long))
        hook.remove()
        (self.tuples,) = seen

    def hidden(self, ids: torch.Tensor, condition: dict) -> torch.Tensor:
        traced, layers, filter = self.traced, set(condition["layers"]), condition["filter"]
        attention, mlp, block = (name in condition["modules"] for name in ("attn", "mlp", "block"))
        apply, depth = self.apply, len(self.model.transformer.h)
        with traced.trace(ids):
            for layer in range(depth):
                if layer in layers and attention:
                    output = traced.h[layer].attn.output[0]
                    output[:, -1] = apply(filter, output[:, -1], ("attn", layer))
                if layer in layers and mlp:
                    output = traced.h[layer].mlp.output
                    output[:, -1] = apply(filter, output[:, -1], ("mlp", layer))
                if layer in layers and block:
                    output = traced.h[layer].output
                    output = output[0] if self.tuples else output
                    output[:, -1] = apply(filter, output[:, -1], ("block", layer))
            state = traced.ln_f.input[:, -1].save()
        return state


class Ours:
    """This package: `engine`, or `plain`, the forward pass with PyTorch hooks."""

    def __init__(self, task: Task, model: torch.nn.Module, method: str) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
        from fourier_addition.ablation.conditions import Condition
        from fourier_addition.ablation.run import run_conditions
        from fourier_addition.filters import Filter
        from fourier_addition.interventions import Intervention
        from fourier_addition.models import Encoded, wrap

        self.run_conditions, self.task, self.method = run_conditions, task, method
        self.view = wrap(model, None)
        self.encoded = [Encoded([int(token) for token in row], len(row) - 1) for row in task.ids]
        filters = [
            Intervention(basis, task.own[n], task.given.get(n), task.source.get(n))
            if n in task.own
            else Filter(basis, keeps)
            for n, (basis, keeps) in enumerate(task.filters)
        ]
        modules = {
            **{(): "none", ("attn",): "attention", ("mlp",): "mlp", ("attn", "mlp"): "both"},
            ("block",): "residual",
        }
        self.conditions = [
            Condition(
                str(number),
                "benchmark",
                "",
                modules[tuple(condition["modules"])],
                tuple(condition["layers"]),
                filter=filters[condition["filter"]] if condition["modules"] else None,
            )
            for number, condition in zip(task.numbers, task.conditions, strict=True)
        ]

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and losses, (condition, example)."""
        found = self.run_conditions(
            self.view,
            self.encoded,
            self.task.number_ids,
            self.conditions,
            answers=self.task.answers,
            batch_size=self.task.batch_size,
            method=self.method,
        )
        return found.prediction.to_numpy(), found.loss.to_numpy()


class Floor:
    """What no engine can leave out: one token's forward pass for each condition and prompt.

    No earlier tokens, no filters, no logits: the model's own body on one token, as many rows at a time as the
    engine carries, with PyTorch's own tanh GELU as the engine has it.
    """

    ROWS = 1024

    def __init__(self, task: Task, model: torch.nn.Module) -> None:
        from transformers.activations import NewGELUActivation

        self.task, self.body = task, model.transformer
        for module in model.modules():
            if isinstance(module, NewGELUActivation):
                module.forward = partial(torch.nn.functional.gelu, approximate="tanh")

    def run(self) -> tuple[None, np.ndarray]:
        """Nothing, and an array of as many entries as there are conditions and prompts."""
        pairs = len(self.task.conditions) * len(self.task.ids)
        ids = torch.from_numpy(np.resize(self.task.ids[:, -1], (self.ROWS, 1)))
        with torch.inference_mode():
            for start in range(0, pairs, self.ROWS):
                self.body(ids[: min(self.ROWS, pairs - start)], use_cache=False)
        return None, np.empty(pairs)


def reset_peak() -> None:
    """Forget the peak of loading the model, where the system can."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def peak_memory() -> int:
    """Largest resident memory of this process in bytes."""
    status = Path("/proc/self/status")
    if status.exists():
        # getrusage would count the parent's memory at the fork.
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Answer the parent's lines until it says stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant", choices=("engine", "floor", "plain", "transformer-lens", "nnsight"))
    parser.add_argument("workspace", type=Path)
    parser.add_argument("task")
    parser.add_argument("--stride", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    # Libraries print notices; the parent's channel must hold nothing else.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(given.threads)
    from transformers import AutoModelForCausalLM

    task = Task(given.workspace, given.task, given.stride)
    model = AutoModelForCausalLM.from_pretrained(given.workspace / "model", local_files_only=True).eval()
    if given.contestant == "transformer-lens":
        runner = TransformerLens(task, model, given.workspace)
    elif given.contestant == "nnsight":
        runner = Nnsight(task, model)
    elif given.contestant == "floor":
        runner = Floor(task, model)
    else:
        runner = Ours(task, model, given.contestant)
    print(json.dumps({"ready": True}), file=channel)
    reset_peak()
    outputs = None
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        wall, cpu = time.perf_counter(), time.process_time()
        outputs = runner.run()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        print(json.dumps({"wall": wall, "cpu": cpu, "pairs": outputs[1].size}), file=channel)
    peak = peak_memory()
    if given.contestant != "floor":
        np.savez(
            given.workspace / f"{given.task}-{given.contestant}.npz",
            numbers=task.numbers,
            prediction=outputs[0],
            loss=outputs[1],
        )
    print(json.dumps({"peak": peak}), file=channel)


if __name__ == "__main__":
    main()
