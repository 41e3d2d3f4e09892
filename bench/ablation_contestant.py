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

    def apply(self, filter: int, x: torch.Tensor) -> torch.Tensor:
        """The filtered output at the last token."""
        basis, keeps = self.bases[filter]
        inside = (x @ basis) @ basis.T
        return inside if keeps else x - inside

    def hidden(self, ids: torch.Tensor, condition: dict) -> torch.Tensor:
        """Residual stream after the last block at the last token, under a condition."""
        raise NotImplementedError

    def run(self) -> tuple[np.ndarray, np.ndarray]:
        """Predictions and losses, (condition, example)."""
        shape = len(self.task.conditions), len(self.task.ids)
        predictions, losses = np.empty(shape, np.int64), np.empty(shape, np.float32)
        answers = torch.from_numpy(self.task.answers)
        with torch.inference_mode():
            for batch in self.task.batches():
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
        def filtered(x: torch.Tensor, hook: object) -> torch.Tensor:
            x[:, -1] = self.apply(condition["filter"], x[:, -1])
            return x

        found = []
        hooks = [
            (f"blocks.{layer}.hook_{name}_out", filtered)
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

    def hidden(self, ids: torch.Tensor, condition: dict) -> torch.Tensor:
        traced, layers, filter = self.traced, set(condition["layers"]), condition["filter"]
        attention, mlp = "attn" in condition["modules"], "mlp" in condition["modules"]
        apply, depth = self.apply, len(self.model.transformer.h)
        with traced.trace(ids):
            for layer in range(depth):
                if layer in layers and attention:
                    output = traced.h[layer].attn.output[0]
                    output[:, -1] = apply(filter, output[:, -1])
                if layer in layers and mlp:
                    output = traced.h[layer].mlp.output
                    output[:, -1] = apply(filter, output[:, -1])
            state = traced.ln_f.input[:, -1].save()
        return state


class Ours:
    """This package: `engine`, or `plain`, the forward pass with PyTorch hooks."""

    def __init__(self, task: Task, model: torch.nn.Module, method: str) -> None:
        sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
        from fourier_addition.ablation.conditions import Condition
        from fourier_addition.ablation.run import run_conditions
        from fourier_addition.filters import Filter
        from fourier_addition.models import Encoded, wrap

        self.run_conditions, self.task, self.method = run_conditions, task, method
        self.view = wrap(model, None)
        self.encoded = [Encoded([int(token) for token in row], len(row) - 1) for row in task.ids]
        filters = [Filter(basis, keeps) for basis, keeps in task.filters]
        modules = {(): "none", ("attn",): "attention", ("mlp",): "mlp", ("attn", "mlp"): "both"}
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
    parser.add_argument("contestant", choices=("engine", "plain", "transformer-lens", "nnsight"))
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
    np.savez(
        given.workspace / f"{given.task}-{given.contestant}.npz",
        numbers=task.numbers,
        prediction=outputs[0],
        loss=outputs[1],
    )
    print(json.dumps({"peak": peak}), file=channel)


if __name__ == "__main__":
    main()
