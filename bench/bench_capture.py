"""Capture benchmark: our capture against the bare forward pass, TransformerLens and nnsight.

Every contestant gets the same random-weight model, prompts and batch, and runs in a process of its own.
The bare pass is Hugging Face's, with logits of the last token only: no hooks, nothing kept, nothing written.
All others leave on disk what both modules of every layer add, every residual state, and the numbers'
logits, at the last token. Repeats take turns, so that a drifting machine hits all alike; speeds are given as
ratios to the bare pass of the same repeat. Our capture runs once more on four times the prompts, which must
not take more memory. The last lines are the verdict against the bars; nothing else passes or fails.

    python bench/bench_capture.py --peers-python .venv-peers/bin/python
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).parent))
sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from bench_ablation import FIRST_NUMBER, NUMBERS, prompts
from capture_contestant import CONTESTANTS, written_arrays
from contestant import Contestant
from fourier_addition.files.whole import write_json

BARS = {"plain": 0.97, "shots": 1.2}
"""Task -> the least speed of our capture, as a share of the bare pass's."""
MEMORY_BAR = 1.05
"""Largest peak memory with four times the prompts, as a share of that with the prompts."""
TOKENS = {"plain": 12, "shots": 60}
"""Task -> tokens of a prompt; with 4 solved examples of 12 tokens in front, which all prompts share."""


def write_task(workspace: Path, name: str, tokens: int, count: int, given: argparse.Namespace) -> None:
    """Write one task's prompts."""
    ids = prompts(count, tokens, np.random.default_rng(tokens))
    np.savez(workspace / f"{name}.npz", ids=ids, number_ids=np.arange(FIRST_NUMBER, FIRST_NUMBER + NUMBERS))
    (workspace / f"{name}.json").write_text(
        json.dumps({"batch_size": given.batch_size, "block": given.block})
    )


def started(name: str, workspace: Path, task: str, given: argparse.Namespace) -> Contestant:
    """One contestant of a task, started."""
    python = sys.executable if name in ("ours", "bare") else str(given.peers_python)
    script = str(Path(__file__).with_name("capture_contestant.py"))
    command = [python, script, name, str(workspace), task, "--device", given.device]
    return Contestant(name, command, given.threads)


def measure(workspace: Path, task: str, given: argparse.Namespace, names: list[str]) -> dict[str, dict]:
    """Seconds of every repeat, bytes written and peak memory of every contestant; repeats take turns."""
    running = [started(name, workspace, task, given) for name in names]
    results: dict[str, dict] = {one.name: {"wall": [], "cpu": []} for one in running}
    for repeat in range(given.repeats + 1):
        for one in running:
            if not one.alive:
                continue
            timed = one.say("run")
            if timed is None:
                one.alive = False
            # The first repeat warms up.
            elif repeat:
                results[one.name]["wall"].append(timed["wall"])
                results[one.name]["cpu"].append(timed["cpu"])
                results[one.name]["bytes"] = timed["bytes"]
    for one in running:
        if one.alive:
            results[one.name] |= one.say("stop")
            one.process.wait()
        else:
            results[one.name] = {"failed": one.last_words()}

    # Peers must have found the same values.
    ours = written_arrays(workspace / f"{task}-ours")
    for name, found in results.items():
        arrays = written_arrays(workspace / f"{task}-{name}")
        if arrays and name != "ours" and "failed" not in found:
            found["difference"] = max(
                float(np.abs(arrays[key] - ours[key]).max() / np.abs(ours[key]).max()) for key in ours
            )
    return results


def ratios(results: dict[str, dict], name: str, clock: str = "wall") -> np.ndarray:
    """Speed of a contestant as a share of the bare pass's, (repeat,)."""
    return np.array(results["bare"][clock]) / np.array(results[name][clock])


def spread(values: np.ndarray) -> str:
    """A median with the range."""
    return f"{np.median(values):.2f} ({values.min():.2f} to {values.max():.2f})"


def report(task: str, count: int, results: dict[str, dict]) -> str:
    """One task's results as a Markdown table."""
    lines = [
        f"### {task}: {TOKENS[task]} tokens, {count} prompts\n",
        "| contestant | prompts/s | speed, of the bare pass (wall) | (CPU time) | MB written a second "
        "| peak memory | largest difference, of the largest value |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, found in results.items():
        if "failed" in found:
            lines.append(f"| {name} | did not run: {found['failed']} | | | | | |")
            continue
        wall = np.array(found["wall"])
        different = f"{found['difference']:.1e}" if "difference" in found else ""
        lines.append(
            f"| {name} | {count / np.median(wall):.1f} | {spread(ratios(results, name))} "
            f"| {spread(ratios(results, name, 'cpu'))} | {found['bytes'] / np.median(wall) / 1e6:.1f} "
            f"| {found.get('gpu_peak', found['peak']) / 2**20:.0f} MiB | {different} |"
        )
    return "\n".join(lines) + "\n"


def verdict(results: dict[str, dict[str, dict]], peaks: tuple[int, int] | None) -> list[str]:
    """Lines that say of every bar whether it is met."""
    lines = []
    for task, found in results.items():
        if "failed" in found["ours"]:
            lines.append(f"NOT MEASURED {task}: {found['ours']['failed']}")
            continue
        speed = float(np.median(ratios(found, "ours")))
        met = "MET" if speed >= BARS[task] else "NOT MET"
        lines.append(f"{met} {task}: {speed:.2f} of the bare forward pass; the bar is {BARS[task]}")
    if peaks is not None:
        share = peaks[1] / peaks[0]
        met = "MET" if share <= MEMORY_BAR else "NOT MET"
        lines.append(f"{met} memory: {share:.2f} times with four times the prompts; the bar is {MEMORY_BAR}")
    return lines


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers-python", type=Path, default=Path(".venv-peers/bin/python"))
    parser.add_argument("--contestants", nargs="+", choices=tuple(CONTESTANTS), default=tuple(CONTESTANTS))
    parser.add_argument("--tasks", nargs="+", choices=tuple(TOKENS), default=tuple(TOKENS))
    parser.add_argument("--prompts", type=int, default=1024)
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--block", type=int, default=1024, help="examples of our capture that are in memory")
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--output", type=Path, help="JSON file for every figure")
    return parser.parse_args()


def write_model(workspace: Path, layers: int, width: int) -> None:
    """Write a random-weight GPT-2 and a tokenizer that writes token n as the word `n`."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    torch.manual_seed(0)
    config = GPT2Config(n_layer=layers, n_embd=width, n_head=max(1, width // 64))
    GPT2LMHeadModel(config).eval().save_pretrained(workspace / "model")
    words = {str(token): token for token in range(config.vocab_size - 1)}
    words["<unk>"] = config.vocab_size - 1
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>", eos_token="<unk>").save_pretrained(
        workspace / "model"
    )


def main() -> None:
    """Measure every task, print a table for each and the verdict."""
    given = arguments()
    names = [name for name in given.contestants if name in ("ours", "bare")]
    if given.peers_python.exists():
        names = list(given.contestants)
    elif len(names) < len(given.contestants):
        print(f"{given.peers_python} does not exist: peers are left out.\n")
    if not {"ours", "bare"} <= set(names):
        raise SystemExit(
            "The contestants `ours` and `bare` are needed: all speeds are shares of the bare pass's."
        )
    cores, load = os.cpu_count(), os.getloadavg()
    where = torch.cuda.get_device_name() if given.device.startswith("cuda") else f"{cores} cores"
    print(f"torch {torch.__version__}, {given.threads} threads, {where}, load {load[0]:.2f}\n")

    everything = {"threads": given.threads, "repeats": given.repeats, "load_before": load, "device": where}
    with tempfile.TemporaryDirectory() as directory:
        workspace = Path(directory)
        write_model(workspace, given.layers, given.width)
        found = {}
        for task in given.tasks:
            write_task(workspace, task, TOKENS[task], given.prompts, given)
            found[task] = measure(workspace, task, given, names)
            print(report(task, given.prompts, found[task]))

        # Our capture alone: blocks of the same size, four times as many
        peaks = None
        if "plain" in found and "peak" in found["plain"]["ours"]:
            few = max(given.prompts, given.block)
            sizes = []
            once = argparse.Namespace(**{**vars(given), "repeats": 1})
            for name, count in (("few", few), ("many", 4 * few)):
                write_task(workspace, name, TOKENS["plain"], count, given)
                sizes.append(measure(workspace, name, once, ["ours"])["ours"]["peak"])
            peaks = (sizes[0], sizes[1])
    lines = verdict(found, peaks)
    print("\n".join(lines))
    if given.output:
        write_json(everything | {"tasks": found, "peaks": peaks, "verdict": lines}, given.output)


if __name__ == "__main__":
    main()
