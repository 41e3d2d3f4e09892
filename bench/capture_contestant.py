"""One contestant of bench_capture.py, in a process of its own.

Reads the task that the parent wrote, then answers `run` lines on standard input with a line of JSON, and
`stop` with its peak memory. Every contestant but the bare pass leaves the same arrays on disk.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
import time
from pathlib import Path

import numpy as np
import torch
from ablation_contestant import peak_memory, reset_peak

ARRAYS = ("module_output", "residual", "final_logits")
"""What every contestant but the bare pass writes, as (..., example, feature or number)."""


class Task:
    """Prompts and numbers, as the parent wrote them."""

    def __init__(self, workspace: Path, name: str) -> None:
        arrays = np.load(workspace / f"{name}.npz")
        self.ids, self.number_ids = arrays["ids"], arrays["number_ids"]
        described = json.loads((workspace / f"{name}.json").read_text())
        self.batch_size, self.block = described["batch_size"], described["block"]

    def batches(self) -> list[slice]:
        """Which prompts are run together."""
        return [slice(n, n + self.batch_size) for n in range(0, len(self.ids), self.batch_size)]


class Bare:
    """The Hugging Face forward pass alone: no hooks, nothing kept or written, logits of the last token."""

    def __init__(self, task: Task, model: torch.nn.Module, workspace: Path) -> None:
        self.task, self.model, self.workspace = task, model, workspace
        self.device = next(model.parameters()).device
        self.layers = len(model.transformer.h)

    @torch.inference_mode()
    def run(self, target: Path) -> None:
        """Pass every prompt once."""
        for batch in self.task.batches():
            self.model(torch.from_numpy(self.task.ids[batch]).to(self.device), logits_to_keep=1)


class Peer(Bare):
    """A peer: its own way to the arrays, which are then saved with numpy, one file an array and batch."""

    def recorded(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Module outputs (module, layer, batch, d_model) and residual (state, batch, d_model) at the end."""
        raise NotImplementedError

    @torch.inference_mode()
    def run(self, target: Path) -> None:
        """Record and write every prompt."""
        rows = self.model.lm_head.weight[torch.from_numpy(self.task.number_ids).to(self.device)]
        for number, batch in enumerate(self.task.batches()):
            outputs, residual = self.recorded(torch.from_numpy(self.task.ids[batch]).to(self.device))
            logits = self.model.transformer.ln_f(residual[-1]) @ rows.T
            for name, values in zip(ARRAYS, (outputs, residual, logits), strict=True):
                np.save(target / f"{name}-{number:06d}.npy", values.float().cpu().numpy())


class TransformerLens(Peer):
    """TransformerLens: run_with_cache on its bridge, of the hooks that are kept."""

    def __init__(self, task: Task, model: torch.nn.Module, workspace: Path) -> None:
        from transformer_lens.model_bridge import TransformerBridge
        from transformers import AutoTokenizer

        super().__init__(task, model, workspace)
        tokenizer = AutoTokenizer.from_pretrained(workspace / "model")
        self.bridge = TransformerBridge.boot_transformers(
            "gpt2", hf_model=model, tokenizer=tokenizer, device=str(self.device)
        )
        blocks = [f"blocks.{layer}." for layer in range(self.layers)]
        self.outputs = [[f"{block}hook_{name}_out" for block in blocks] for name in ("attn", "mlp")]
        self.states = ["blocks.0.hook_resid_pre", *(f"{block}hook_resid_post" for block in blocks)]

    def recorded(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Peer.recorded`."""
        names = [*self.outputs[0], *self.outputs[1], *self.states]
        _, cache = self.bridge.run_with_cache(ids, names_filter=names, logits_to_keep=1)
        outputs = torch.stack(
            [torch.stack([cache[name][:, -1] for name in module]) for module in self.outputs]
        )
        return outputs, torch.stack([cache[name][:, -1] for name in self.states])


class Nnsight(Peer):
    """nnsight: a trace of the model's body, without vocabulary logits."""

    def __init__(self, task: Task, model: torch.nn.Module, workspace: Path) -> None:
        from nnsight import NNsight

        super().__init__(task, model, workspace)
        self.traced = NNsight(model.transformer)

    def recorded(self, ids: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """See `Peer.recorded`."""
        traced, depth = self.traced, self.layers
        attention, mlp, states = [], [], []
        with traced.trace(ids):
            states.append(traced.h[0].input[:, -1].save())
            for layer in range(depth):
                attention.append(traced.h[layer].attn.output[0][:, -1].save())
                mlp.append(traced.h[layer].mlp.output[:, -1].save())
                state = traced.h[layer].output
                states.append((state[0] if isinstance(state, tuple) else state)[:, -1].save())
        return torch.stack([torch.stack(attention), torch.stack(mlp)]), torch.stack(states)


class Ours(Bare):
    """This package: tokenizing, the pass, lens and vocabulary summary, and writing Zarr."""

    def __init__(self, task: Task, model: torch.nn.Module, workspace: Path) -> None:
        super().__init__(task, model, workspace)
        sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))
        import pandas as pd
        from fourier_addition.capture.record import capture
        from fourier_addition.models import wrap
        from transformers import AutoTokenizer

        self.capture = capture
        self.view = wrap(model, AutoTokenizer.from_pretrained(workspace / "model"))
        self.prompts = [" ".join(map(str, row)) for row in task.ids]
        self.examples = pd.DataFrame({"answer": np.arange(len(task.ids))})
        # As the rule does: what all prompts begin with is passed once where they have solved examples.
        self.shared = int(task.ids.shape[1] > 12)

    def run(self, target: Path) -> None:
        """Capture every prompt."""
        self.capture(
            self.view,
            self.prompts,
            self.examples,
            self.task.number_ids,
            target / "capture.zarr",
            batch_size=self.task.batch_size,
            block=self.task.block,
            shared_prefix=self.shared,
        )


CONTESTANTS = {"ours": Ours, "bare": Bare, "transformer-lens": TransformerLens, "nnsight": Nnsight}


def written_arrays(target: Path) -> dict[str, np.ndarray]:
    """The arrays that a contestant left, examples second to last; none of the bare pass."""
    if (target / "capture.zarr").exists():
        import zarr

        group = zarr.open_group(target / "capture.zarr", mode="r")
        return {name: np.asarray(group[name]) for name in ARRAYS}
    return {
        name: np.concatenate([np.load(path) for path in sorted(target.glob(f"{name}-*.npy"))], axis=-2)
        for name in ARRAYS
        if list(target.glob(f"{name}-*.npy"))
    }


def synchronised(device: torch.device) -> None:
    """Wait until everything that was asked of a GPU is done."""
    if device.type == "cuda":
        torch.cuda.synchronize()


def main() -> None:
    """Answer the parent's lines until it says stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("contestant", choices=CONTESTANTS)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("task")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    # Libraries print notices; the parent's channel must hold nothing else.
    channel = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    torch.set_num_threads(given.threads)
    from transformers import AutoModelForCausalLM

    task = Task(given.workspace, given.task)
    model = AutoModelForCausalLM.from_pretrained(given.workspace / "model", local_files_only=True).eval()
    runner = CONTESTANTS[given.contestant](task, model.to(given.device), given.workspace)
    target = given.workspace / f"{given.task}-{given.contestant}"
    print(json.dumps({"ready": True}), file=channel)
    reset_peak()
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        synchronised(runner.device)
        wall, cpu = time.perf_counter(), time.process_time()
        runner.run(target)
        synchronised(runner.device)
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        size = sum(path.stat().st_size for path in target.rglob("*") if path.is_file())
        print(json.dumps({"wall": wall, "cpu": cpu, "bytes": size}), file=channel)
    found = {"peak": peak_memory()}
    if runner.device.type == "cuda":
        found["gpu_peak"] = torch.cuda.max_memory_allocated()
    print(json.dumps(found), file=channel)


if __name__ == "__main__":
    main()
