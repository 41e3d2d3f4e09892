"""Benchmark of interventions: the engine against plain hooks, TransformerLens and nnsight.

Four tasks: `table1` and `layers` remove bands, `turn` turns phases and `exchange` brings coefficients of
another prompt, both with the controls and at the places of the workflow. Every contestant gets the same
random-weight model, prompts, conditions and filters, and runs in a process of its own. Repeats take
turns, so that a drifting machine hits all alike; speeds are pairs of condition and prompt per second,
given as ratios to the engine's of the same repeat. The engine takes every condition; the contestants
that run the model once for each take every `--stride`-th of them (the time of each is the same), and
outputs are compared where both ran. Peak memory is that of the runs, loading left out. Nothing here
passes or fails. `floor` is no contestant but the work that no engine can leave out: one token's forward
pass for each condition and prompt, without earlier tokens, filters and logits. The engine's speed is given
as a share of it. Where conditions share layers, as those at single layers do, the engine may exceed it.

    python bench/bench_ablation.py --peers-python .venv-peers/bin/python
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

sys.path.insert(0, str(Path(__file__).parents[1] / "workflow" / "scripts"))

from contestant import Contestant
from fourier_addition.ablation.conditions import Condition, control_conditions, table1_conditions
from fourier_addition.ablation.exchange import exchange_conditions
from fourier_addition.ablation.filter_bank import FilterBank
from fourier_addition.ablation.places import Chosen
from fourier_addition.ablation.steering import steering_conditions
from fourier_addition.ablation.sweeps import layer_sweep
from fourier_addition.files.whole import write_json
from fourier_addition.filters import Filter
from fourier_addition.fourier import fourier_basis

CONTESTANTS = ("engine", "floor", "plain", "transformer-lens", "nnsight")
OWN = ("engine", "floor", "plain")
"""Contestants that run in this environment."""
TASKS = ("table1", "layers", "turn", "exchange")
NUMBERS = 521
FIRST_NUMBER = 2000
AIM = 0.8
"""Share of the floor's speed that the engine is meant to reach with table 1."""
TIMES = 10
"""How many times faster than every other way the engine is meant to be."""
TAU = 50


def prompts(count: int, tokens: int, rng: np.random.Generator) -> np.ndarray:
    """Token ids of `count` addition prompts: (example, token) int64.

    Shaped like the task's: shots that all prompts share, one of five templates of a few words around
    two operands, and an ending of the template's.
    """
    templates = rng.integers(0, FIRST_NUMBER, (5, 10))
    shots = rng.integers(0, FIRST_NUMBER, tokens - 12)
    rows = []
    for template, (a, b) in zip(
        rng.integers(5, size=count), FIRST_NUMBER + rng.integers(261, size=(count, 2)), strict=True
    ):
        words = templates[template]
        rows.append([*shots, *words[:2], a, *words[2:4], b, *words[4:10]])
    return np.array(rows, np.int64)


def conditions_of(name: str, unembedding: np.ndarray, given: argparse.Namespace) -> list[Condition]:
    """The conditions of a task, as the rules make them. unembedding: (number, d_model)."""
    basis = fourier_basis(NUMBERS)
    if name in ("table1", "layers"):
        bank = FilterBank(unembedding, basis)
        if name == "layers":
            return layer_sweep(bank, given.layers, ["low", "high"], TAU)
        rows = table1_conditions(bank, given.layers, TAU)
        return rows + control_conditions(rows, bank, given.draws, seed=0)
    periods = {"periods": [10, 5, 2.5, 2], "unused_periods": [3, 7, 9, 11], "period_tolerance": 0.02}
    chosen = Chosen.of(unembedding, basis, periods)
    drawn = {"layers": given.places, "draws": 1, "phase_draws": 2, "seed": 0}
    if name == "turn":
        return steering_conditions(chosen, given.layers, deltas=range(-4, 5), **drawn)
    # Each prompt is given what the next one has.
    source = np.roll(np.arange(given.prompts), -1)
    return exchange_conditions(chosen, given.layers, source, tau=TAU, cut="component", **drawn)


def write_task(
    workspace: Path, kind: str, tokens: int, given: argparse.Namespace, model: torch.nn.Module
) -> int:
    """Write one task's prompts, conditions and filters; returns how many conditions it has."""
    name = f"{kind}-{tokens}-tokens"
    number_ids = np.arange(FIRST_NUMBER, FIRST_NUMBER + NUMBERS)
    unembedding = model.lm_head.weight[number_ids].detach().numpy()
    conditions = conditions_of(kind, unembedding, given)
    filters = list(dict.fromkeys(c.filter for c in conditions if c.filter is not None))
    modules = {
        **{"none": [], "attention": ["attn"], "mlp": ["mlp"], "both": ["attn", "mlp"]},
        "residual": ["block"],
    }
    described = {
        "batch_size": given.batch_size,
        "keeps": [isinstance(f, Filter) and f.keeps for f in filters],
        "conditions": [
            {
                "modules": modules[c.modules],
                "layers": list(c.layers),
                "filter": filters.index(c.filter) if c.filter is not None else -1,
            }
            for c in conditions
        ],
    }
    ids = prompts(given.prompts, tokens, np.random.default_rng(tokens))
    answers = np.arange(given.prompts) % NUMBERS
    arrays = {}
    for n, applied in enumerate(filters):
        arrays[f"filter-{n}"] = applied.basis
        if not isinstance(applied, Filter):
            arrays |= {
                f"{part}-{n}": getattr(applied, part)
                for part in ("own", "given", "source")
                if getattr(applied, part) is not None
            }
    np.savez(workspace / f"{name}.npz", ids=ids, answers=answers, number_ids=number_ids, **arrays)
    (workspace / f"{name}.json").write_text(json.dumps(described))
    return len(conditions)


def started(name: str, workspace: Path, task: str, given: argparse.Namespace) -> Contestant:
    """One contestant of a task, started."""
    python = sys.executable if name in OWN else str(given.peers_python)
    stride = 1 if name in ("engine", "floor") else given.stride
    script = str(Path(__file__).with_name("ablation_contestant.py"))
    command = [python, script, name, str(workspace), task, "--stride", str(stride)]
    return Contestant(name, command, given.threads)


def measure(workspace: Path, task: str, given: argparse.Namespace) -> dict[str, dict]:
    """Run a task with every contestant by turns; per contestant its speeds, memory and agreement."""
    results: dict[str, dict] = {}
    running = []
    for name in given.contestants:
        contestant = started(name, workspace, task, given)
        if contestant.alive:
            running.append(contestant)
            results[name] = {"wall": [], "cpu": []}
        else:
            results[name] = {"failed": contestant.last_words()}
    for repeat in range(given.repeats + 1):
        for contestant in running:
            timed = contestant.say("run")
            if timed is None:
                results[contestant.name] = {"failed": contestant.last_words()}
                continue
            # The first turn warms caches and is not counted.
            if repeat > 0:
                for clock in ("wall", "cpu"):
                    results[contestant.name][clock].append(timed["pairs"] / timed[clock])
        running = [contestant for contestant in running if "failed" not in results[contestant.name]]
    for contestant in running:
        results[contestant.name] |= contestant.say("stop")
        contestant.process.wait()
    for contestant in running:
        if contestant.name not in ("plain", "floor") and "peak" in results.get("plain", {}):
            results[contestant.name] |= agreement(workspace, task, contestant.name)
    return results


def agreement(workspace: Path, task: str, name: str) -> dict[str, float]:
    """Largest relative difference of losses from the plain pass, and the share of equal predictions."""
    plain, other = (np.load(workspace / f"{task}-{who}.npz") for who in ("plain", name))
    _, left, right = np.intersect1d(plain["numbers"], other["numbers"], return_indices=True)
    difference = np.abs(plain["loss"][left] - other["loss"][right]) / np.abs(plain["loss"][left])
    same = plain["prediction"][left] == other["prediction"][right]
    return {"loss_difference": float(difference.max()), "same_predictions": float(same.mean())}


def report(task: str, conditions: int, results: dict[str, dict], given: argparse.Namespace) -> str:
    """One task's results as a Markdown table."""
    lines = [
        f"### {task}: {conditions} conditions, {given.prompts} prompts\n",
        "| contestant | pairs/s | engine is faster by (wall) | by (CPU time) "
        "| largest relative loss difference | same predictions | peak memory | of plain |",
        "|---|---|---|---|---|---|---|---|",
    ]
    plain_peak = results.get("plain", {}).get("peak")
    for name, found in results.items():
        if name == "floor":
            continue
        if "failed" in found:
            lines.append(f"| {name} | did not run: {found['failed']} | | | | | | |")
            continue
        ratios = []
        for clock in ("wall", "cpu"):
            ratio = np.array(results["engine"].get(clock, [np.nan])) / np.array(found[clock])
            ratios.append(f"{np.median(ratio):.2f} ({ratio.min():.2f} to {ratio.max():.2f})")
        difference = f"{found['loss_difference']:.1e}" if "loss_difference" in found else "reference"
        same = f"{found['same_predictions']:.2%}" if "same_predictions" in found else ""
        of_plain = f"{found['peak'] / plain_peak:.2f}" if plain_peak else ""
        lines.append(
            f"| {name} | {np.median(found['wall']):.1f} | {ratios[0]} | {ratios[1]} | {difference} | {same} "
            f"| {found['peak'] / 2**20:.0f} MiB | {of_plain} |"
        )
    floor, engine = results.get("floor", {}), results.get("engine", {})
    if floor.get("wall") and engine.get("wall"):
        share, cpu = (np.array(engine[clock]) / np.array(floor[clock]) for clock in ("wall", "cpu"))
        lines.append(
            f"\nFloor: {np.median(floor['wall']):.1f} pairs/s. The engine has {np.median(share):.2f} of it "
            f"({share.min():.2f} to {share.max():.2f}), in CPU time {np.median(cpu):.2f}; "
            f"the aim with table 1 is {AIM}."
        )
    return "\n".join(lines) + "\n"


def verdict(tasks: dict[str, dict[str, dict]]) -> list[str]:
    """A line for every bar: the speed beside every other way, and for table 1 the share of the floor.

    tasks: task -> what `measure` returned. The slowest gain over another way decides, by the median of the
    wall time.
    """
    lines = []
    for task, results in tasks.items():
        engine = results.get("engine", {})
        if not engine.get("wall"):
            lines.append(f"NOT MEASURED {task}: {engine.get('failed', 'the engine did not run')}")
            continue
        gains = {
            name: float(np.median(np.array(engine["wall"]) / np.array(found["wall"])))
            for name, found in results.items()
            if name != "engine" and found.get("wall")
        }
        floor = gains.pop("floor", None)
        if gains:
            name, least = min(gains.items(), key=lambda item: item[1])
            met = "MET" if least >= TIMES else "NOT MET"
            lines.append(f"{met} {task}: {least:.1f} times {name}; the bar is {TIMES}")
        if floor is not None and task.startswith("table1"):
            met = "MET" if floor >= AIM else "NOT MET"
            lines.append(f"{met} {task}: {floor:.2f} of the unavoidable work's speed; the bar is {AIM}")
    return lines


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers-python", type=Path, default=Path(".venv-peers/bin/python"))
    parser.add_argument("--contestants", nargs="+", choices=CONTESTANTS, default=CONTESTANTS)
    parser.add_argument("--tasks", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--tokens", nargs="+", type=int, default=(12, 48))
    parser.add_argument("--prompts", type=int, default=32)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--draws", type=int, default=20)
    parser.add_argument(
        "--places", type=int, default=4, help="blocks at which phases are turned, one at a time"
    )
    parser.add_argument("--layers", type=int, default=12)
    parser.add_argument("--width", type=int, default=768)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--stride", type=int, default=9, help="the engine runs every condition all the same")
    parser.add_argument("--output", type=Path, help="JSON file for every figure")
    return parser.parse_args()


def main() -> None:
    """Measure every task and print a table for each."""
    from tokenizers import Tokenizer, models
    from transformers import GPT2Config, GPT2LMHeadModel, PreTrainedTokenizerFast
    from transformers.utils.logging import disable_progress_bar

    disable_progress_bar()
    given = arguments()
    if not given.peers_python.exists():
        given.contestants = [name for name in given.contestants if name in OWN]
        print(f"{given.peers_python} does not exist: peers are left out.\n")
    cores, load = os.cpu_count(), os.getloadavg()
    print(f"torch {torch.__version__}, {given.threads} threads of {cores} cores, load {load[0]:.2f}\n")
    torch.manual_seed(0)
    config = GPT2Config(n_layer=given.layers, n_embd=given.width, n_head=given.width // 64)
    model = GPT2LMHeadModel(config).eval()
    everything = {"threads": given.threads, "repeats": given.repeats, "load_before": load, "tasks": {}}
    with tempfile.TemporaryDirectory() as directory:
        workspace = Path(directory)
        model.save_pretrained(workspace / "model")
        # TransformerLens asks for a tokenizer, though prompts are token ids.
        words = Tokenizer(models.WordLevel({"<unk>": 0, "<end>": 1}, unk_token="<unk>"))
        PreTrainedTokenizerFast(
            tokenizer_object=words, bos_token="<end>", eos_token="<end>", pad_token="<end>"
        ).save_pretrained(workspace / "model")
        for tokens in given.tokens:
            for task in given.tasks:
                name = f"{task}-{tokens}-tokens"
                conditions = write_task(workspace, task, tokens, given, model)
                results = measure(workspace, name, given)
                print(report(name, conditions, results, given), flush=True)
                everything["tasks"][name] = {"conditions": conditions, "contestants": results}
    everything["load_after"] = os.getloadavg()
    print(f"load {everything['load_after'][0]:.2f} at the end")
    everything["verdict"] = verdict({name: task["contestants"] for name, task in everything["tasks"].items()})
    print("\n".join(everything["verdict"]))
    if given.output is not None:
        write_json(everything, given.output)


if __name__ == "__main__":
    main()
