"""What each job needs: host memory, GPU memory, GPUs and minutes, from the sizes in a configuration.

Counts are for a transformer of P parameters, L layers, width d and w bytes a weight, lines of T tokens,
n examples, p numbers, c conditions and batches of B lines:

    floating point operations   2 P a token forward, 6 P a token with the backward pass
    optimizer (AdamW)           P w weights + P w gradients + 8 P moments, without what is frozen
    pass of a batch             16 B T d w (one block at a time) + 4 B V logits at the reading position
    kept for the backward pass  34 B T L d w / 2, and B T V logits with their gradient, 4 bytes each
    captured example            (3 L + 1) d values of the capture's type + p logits of 4 bytes
    filters                     one basis of d x rank, 4 bytes an entry, for each distinct filter

A job takes its processes' base memory (measured, `BASES`) and what is listed in its own function's
docstring; its minutes are startup, reading the weights once, and the larger of operations / speed and
bytes moved / bandwidth. `Machine` holds the speeds. Nothing here changes a result.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from fourier_addition.errors import UserError
from fourier_addition.pipeline.names import task_of
from fourier_addition.pipeline.paths import slug
from fourier_addition.tasks import CUES, answer_tokens

MB = 10**6
BASES = {"table": 200, "figure": 260, "torch": 510}
"""Peak resident MB of the smallest study's jobs by what they import: measured with getrusage."""

GPU_CONTEXT, GPU_HOST = 700, 2500
"""MB that a CUDA context takes on the GPU, and CUDA's libraries on the host: assumed, not measured."""

NO_PARAMETERS = 500_000_000
"""Assumed of a model that neither declares `parameters` nor is pre-trained here."""

SMALL = 100_000_000
"""Models of fewer parameters are given the CPU's time: they may well run without a GPU."""

VOCABULARY = 50_257
WORDS = 39
"""GPT-2's vocabulary, taken for every model from outside; words beside the numbers of the generated text."""

PRECISIONS = {"float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class Machine:
    """Speeds of what jobs run on, all meant to be exceeded.

    gpu_flops: sustained floating point operations a second of a GPU. gpu_bandwidth: bytes a second of
    its memory. gpu_memory: MB of one GPU. cpu_flops: a second, of one thread. disk: bytes a second.
    startup: minutes until a job computes, imports included. gpu: whether there is any GPU.
    """

    gpu_flops: float = 8e12
    gpu_bandwidth: float = 6e11
    gpu_memory: int = 80_000
    cpu_flops: float = 4e10
    disk: float = 2e8
    startup: float = 1.0
    gpu: bool = True


@dataclass(frozen=True)
class Shape:
    """A model's size: parameters, layers, width of the residual stream, vocabulary, bytes a weight."""

    parameters: int
    layers: int
    width: int
    vocabulary: int
    weight_bytes: int

    @property
    def weights(self) -> float:
        """Bytes of the weights in memory."""
        return self.parameters * self.weight_bytes


@dataclass(frozen=True)
class Estimate:
    """What a job is expected to take: MB of host and GPU memory, GPUs, minutes, bytes written."""

    host: float
    minutes: float
    gpu_memory: float = 0.0
    gpus: int = 0
    written: float = 0.0

    def resources(self) -> dict[str, int]:
        """What to ask a scheduler for: a quarter more memory than expected, twice the minutes.

        mem_mb (a multiple of 100), gpu, gpu_mem_mb (of all its GPUs) and runtime (minutes, a multiple
        of 10, so that no job is ended for being slow at starting).
        """
        return {
            "mem_mb": 100 * math.ceil(1.25 * self.host / 100),
            "gpu": self.gpus,
            "gpu_mem_mb": 100 * math.ceil(1.25 * self.gpu_memory / 100),
            "runtime": 10 * math.ceil(2 * self.minutes / 10),
        }


def gpt2_parameters(architecture: Mapping[str, Any], numbers: int) -> int:
    """Parameters of a GPT-2 that is pre-trained here on 0..numbers-1, as `miniature` builds it."""
    d, layers = architecture["width"], architecture["layers"]
    inner = architecture["inner"] or 4 * d
    block = 4 * d * d + 4 * d + 2 * d * inner + inner + d + 4 * d
    return (numbers + WORDS + architecture["positions"]) * d + layers * block + 2 * d


def shape_of(config: Mapping[str, Any], model: str, precision: str | None = None) -> Shape:
    """Shape of a model of a checked configuration.

    From its `architecture` where it is pre-trained here, else from its keys `parameters`, `layers` and
    `width`; where layers or width is left out, both follow from P = 12 L d^2 at d = 64 L, which lies
    between GPT-2-XL (d = 33 L) and models of 70 billion parameters (d = 102 L). precision: of the weights
    in memory; the model's own `precision`, else float32. Raises UserError for one that is not known.
    """
    entry = config["models"][model]
    precision = precision or entry.get("precision") or "float32"
    if precision not in PRECISIONS:
        raise UserError(
            f"Precision '{precision}' of model '{model}' is not known; it is one of {', '.join(PRECISIONS)}."
        )
    weight_bytes, source = PRECISIONS[precision], entry["sources"][0]
    if "pretrain" in source:
        architecture, numbers = entry["architecture"], config["pretraining"][source["pretrain"]]["numbers"]
        parameters = gpt2_parameters(architecture, numbers)
        size = architecture["layers"], architecture["width"]
        return Shape(parameters, *size, numbers + WORDS, weight_bytes)
    parameters = entry.get("parameters", NO_PARAMETERS)
    layers = max(1, round((parameters / (12 * 64**2)) ** (1 / 3)))
    if "layers" in entry and "width" in entry:
        return Shape(parameters, entry["layers"], entry["width"], VOCABULARY, weight_bytes)
    return Shape(parameters, layers, 64 * layers, VOCABULARY, weight_bytes)


def examples_of(config: Mapping[str, Any], task: str, split: str) -> int:
    """Examples of a split, at most: pairs that `max_answer` leaves out are counted."""
    low, high = config["tasks"][task]["operands"]
    count = (high - low + 1) * (high - low + 2) // 2
    train, validation = config["tasks"][task]["fractions"]
    share = {"train": train, "validation": validation, "test": 1 - train - validation, "held-out": 1 - train}
    return math.ceil(count * share[split])


def tokens_of(config: Mapping[str, Any], run: str) -> int:
    """Tokens of a run's longest line: one for three characters, once more for every shot."""
    entry = config["runs"][run]
    task = task_of(config, entry["task"])
    high = task.operands[1]
    asked = max(len(template.format(a=high, b=high)) for template in task.templates)
    line = asked + len(CUES[task.operation]) + 1 + len(str(task.largest_answer))
    return math.ceil(line / 3) * (1 + entry.get("shots", 0))


def condition_counts(config: Mapping[str, Any], layers: int) -> tuple[int, int]:
    """Conditions and distinct filters of one ablation, at most.

    Table 1 has 7 rows, 6 of them filtering with 2 bands; each has `draws` of two controls; two kept
    periods; six conditions a cut, three a period; and a band, module choice and layer each in the sweep.
    """
    settings = config["ablations"]
    draws, taus, periods = settings["draws"], len(settings["taus"]), len(settings["periods"])
    bands = len(settings["bands"]) if settings["layers"] else 0
    conditions = 7 + 12 * draws + 2 + 6 * taus + 3 * periods + 3 * bands * layers
    return conditions, 2 + 4 * draws + 2 + 2 * taus + periods + bands


def _minutes(
    shape: Shape,
    machine: Machine,
    operations: float,
    *,
    moved: float = 0.0,
    gpus: int = 1,
    threads: int = 1,
    loads: bool = True,
) -> float:
    """Minutes of a job of so many operations that moves so many bytes through the GPU's memory."""
    # Models spread over several GPUs run one after the other: more GPUs are more memory, not more speed.
    on_gpu = max(operations / machine.gpu_flops, moved / machine.gpu_bandwidth) if machine.gpu else 0.0
    needs_cpu = shape.parameters < SMALL or not machine.gpu
    on_cpu = operations / (machine.cpu_flops * threads) if needs_cpu else 0.0
    reading = shape.weights / machine.disk if loads else 0.0
    return machine.startup + (reading + max(on_gpu, on_cpu)) / 60


def _torch(
    shape: Shape,
    machine: Machine,
    operations: float,
    *,
    host: float,
    gpu: float,
    moved: float,
    written: float,
    threads: int = 1,
    loads: bool = True,
) -> Estimate:
    """A job with a model: weights pass through the host, whose memory suffices to compute there too.

    host, gpu: bytes beside the weights. A job of a small model that finds no GPU takes on the host what
    it would have taken there; a large one is held there only until it is on the GPU.
    """
    on_gpu = shape.weights + gpu
    gpus = max(1, math.ceil((GPU_CONTEXT * MB + 1.25 * on_gpu) / MB / machine.gpu_memory))
    computing = on_gpu if shape.parameters < SMALL or not machine.gpu else shape.weights
    return Estimate(
        host=BASES["torch"] + GPU_HOST * machine.gpu + (computing + host) / MB,
        minutes=_minutes(shape, machine, operations, moved=moved, threads=threads, loads=loads),
        gpu_memory=GPU_CONTEXT * gpus + on_gpu / MB,
        gpus=gpus,
        written=written,
    )


def _pass_bytes(shape: Shape, batch: int, tokens: int) -> float:
    return batch * (16 * tokens * shape.width * shape.weight_bytes + 4 * shape.vocabulary)


def _training_bytes(shape: Shape, batch: int, tokens: int, trained: float, positions: int) -> float:
    """Gradients and moments of the trained parameters, and what the backward pass needs.

    positions: tokens of each line whose logits are needed.
    """
    kept = 17 * batch * tokens * shape.layers * shape.width * shape.weight_bytes
    return (shape.weight_bytes + 8) * trained + kept + 8 * batch * positions * shape.vocabulary


def training_estimate(config: Mapping[str, Any], run: str, machine: Machine | None = None) -> Estimate:
    """Training of one run with one seed (paper section 2; equations at the top).

    GPU: weights, gradients, moments, what the backward pass keeps, logits of one position (loss on the
    answer) or all (on the line). Host: a second copy of weights and moments, which is what is
    saved to resume from. Operations: 6 P T n for every epoch and 2 P T for each validation line; bytes
    moved: weights, gradients and moments twice a step. Written: the checkpoint.
    """
    machine, entry = machine or Machine(), config["runs"][run]
    # Models train in float32 unless the run says otherwise, whatever they are captured in.
    shape = shape_of(config, entry["model"], entry.get("precision", "float32"))
    tokens, batch, epochs = tokens_of(config, run), entry["batch_size"], entry["epochs"]
    train, validation = (examples_of(config, entry["task"], s) for s in ("train", "validation"))
    frozen = shape.vocabulary * shape.width if entry["frozen_embedding"] else 0
    trained = max(0, shape.parameters - frozen) if epochs else 0
    state = _training_bytes(shape, batch, tokens, trained, tokens if entry["loss_on"] == "line" else 1)
    operations = epochs * tokens * shape.parameters * (6 * train + 2 * validation)
    operations += 2 * shape.parameters * tokens * 2 * validation
    steps = epochs * math.ceil(train / batch)
    moved = steps * 2 * (shape.weights + (shape.weight_bytes + 8) * trained)
    return _torch(
        shape,
        machine,
        operations,
        host=shape.weights + 8 * trained,
        gpu=state if epochs else _pass_bytes(shape, batch, tokens),
        moved=moved,
        written=4 * shape.parameters,
    )


def pretraining_estimate(config: Mapping[str, Any], model: str, machine: Machine | None = None) -> Estimate:
    """Pre-training of a small model: as `training_estimate`, on lines of `line` tokens, all of them read."""
    machine, shape = machine or Machine(), shape_of(config, model)
    text = config["pretraining"][config["models"][model]["sources"][0]["pretrain"]]
    batch, tokens = text["batch_size"], text["line"]
    state = _training_bytes(shape, batch, tokens, shape.parameters, tokens)
    return _torch(
        shape,
        machine,
        6 * shape.parameters * batch * tokens * text["steps"],
        # Sentences are drawn before they are packed into lines: about 100 bytes for 4 tokens.
        host=12 * shape.parameters + 33 * batch * tokens * text["steps"],
        gpu=state,
        moved=text["steps"] * 2 * 16 * shape.parameters,
        written=4 * shape.parameters,
        threads=2,
        loads=False,
    )


def captured_bytes(config: Mapping[str, Any], run: str) -> float:
    """Bytes of one captured example: (3 L + 1) d values and p logits."""
    entry = config["runs"][run]
    shape = shape_of(config, entry["model"], entry.get("precision"))
    value = PRECISIONS[config["capture"]["dtype"]]
    return (3 * shape.layers + 1) * shape.width * value + 4 * task_of(config, entry["task"]).numbers


def capture_estimate(
    config: Mapping[str, Any], run: str, examples: int, machine: Machine | None = None
) -> Estimate:
    """Capture of `examples` examples: 2 P T n operations, the weights moved once a batch.

    GPU: weights and a pass. Host: a block of captured examples three times (as computed, as typed, as
    written). Written: every captured example.
    """
    machine, entry, settings = machine or Machine(), config["runs"][run], config["capture"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    block = min(settings["block"], examples) * captured_bytes(config, run)
    return _torch(
        shape,
        machine,
        2 * shape.parameters * tokens * examples,
        host=3 * block,
        gpu=_pass_bytes(shape, settings["batch_size"], tokens),
        moved=shape.weights * math.ceil(examples / settings["batch_size"]),
        written=examples * captured_bytes(config, run),
    )


def prompt_estimate(config: Mapping[str, Any], run: str, machine: Machine | None = None) -> Estimate:
    """Answers of t tokens to n test prompts: 2 P (T + t) n operations, the weights moved once a token and
    batch.

    GPU: weights, a pass, and the keys and values of a batch (2 T L d w B).
    """
    machine, entry = machine or Machine(), config["runs"][run]
    shape, tokens = shape_of(config, entry["model"]), tokens_of(config, run)
    answer = entry.get("answer_tokens") or answer_tokens(task_of(config, entry["task"]).largest_answer)
    count, batch = examples_of(config, entry["task"], "test"), config["capture"]["batch_size"]
    cache = 2 * (tokens + answer) * shape.layers * shape.width * shape.weight_bytes * batch
    return _torch(
        shape,
        machine,
        2 * shape.parameters * (tokens + answer) * count,
        host=0,
        gpu=cache + _pass_bytes(shape, batch, tokens),
        moved=shape.weights * math.ceil(count / batch) * answer,
        written=500 * count,
    )


def number_rows_estimate(
    config: Mapping[str, Any], model: str, numbers: int, machine: Machine | None = None
) -> Estimate:
    """Number rows of the embeddings: the weights, 2 p d values and one pass of one line."""
    machine, shape = machine or Machine(), shape_of(config, model)
    rows = 8 * numbers * shape.width
    return _torch(
        shape, machine, 0, host=3 * rows, gpu=_pass_bytes(shape, 1, 64), moved=shape.weights, written=rows
    )


def ablation_estimate(
    config: Mapping[str, Any], run: str, examples: int, machine: Machine | None = None, *, readings: int = 0
) -> Estimate:
    """Filters on `examples` examples under c conditions of f distinct filters (paper section 4.2).

    Operations, filters at the last position: 2 P (T + c) n, every condition one more token, its two
    projections 4 d^2 L at most. At all positions: 2 P T c n. GPU: weights, the keys and values of a
    batch (2 T L d w B), 1024 states of the last token in the MLP (8 d), and the bases. Host: the bases in
    float64 and as the GPU has them, and prediction and loss, 8 bytes of every pair, three times.
    readings: tables of table 1 that are computed instead of the study's conditions (`sensitivity`),
    half of which filter all positions. Written: 8 bytes a pair.
    """
    machine, entry, settings = machine or Machine(), config["runs"][run], config["ablations"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    conditions, filters = condition_counts(config, shape.layers)
    everywhere = settings["positions"] == "all"
    passes = tokens * conditions if everywhere else tokens + conditions
    if readings:
        conditions, filters = 7 * readings, 2 * readings
        passes = readings // 2 * (tokens + 7) + (readings + 1) // 2 * 7 * tokens
    operations = examples * passes * (2 * shape.parameters + 4 * shape.width**2 * shape.layers)
    bases = filters * shape.width * min(shape.width, task_of(config, entry["task"]).numbers)
    batch, pairs = settings["batch_size"], conditions * examples
    cache = 2 * tokens * shape.layers * shape.width * shape.weight_bytes * batch
    batches = math.ceil(examples / batch) * max(1, passes / tokens)
    return _torch(
        shape,
        machine,
        operations,
        host=12 * bases + 24 * pairs,
        gpu=cache + 4 * bases + _pass_bytes(shape, batch, tokens) + 1024 * 16 * shape.width * 4,
        moved=shape.weights * batches,
        written=8 * pairs,
    )


def spectra_estimate(config: Mapping[str, Any], run: str, machine: Machine | None = None) -> Estimate:
    """Spectra and lens of a run's captures: one layer of one module at a time.

    Host: n (d + 2 p) values of 8 bytes. Operations, on one thread in float64 (a quarter of the speed):
    2 n p (d + p) a layer and module, and `null_draws` products of null_examples p^2.
    """
    machine, entry, analysis = machine or Machine(), config["runs"][run], config["analysis"]
    shape = shape_of(config, entry["model"])
    p = task_of(config, entry["task"]).numbers
    n = examples_of(config, entry["task"], config["capture"]["split"])
    shuffled = analysis["null_draws"] * min(n, analysis["null_examples"]) * p * p * 2
    operations = 2 * shape.layers * (2 * n * p * (shape.width + p) + shuffled)
    return Estimate(
        host=BASES["table"] + 8 * n * (shape.width + 2 * p) / MB,
        minutes=machine.startup + 4 * operations / machine.cpu_flops / 60,
        written=2 * shape.layers * p * 40,
    )


def probes_estimate(config: Mapping[str, Any], run: str, machine: Machine | None = None) -> Estimate:
    """Probes of a run's residual stream, one state at a time.

    Host: n (3 d + 4 n + 3 c T) values of 8 bytes, c labellings (one and its shuffles), T the largest
    modulus. Operations, in float64 (a quarter of the speed), for each of L + 1 states: 2 n^2 d for the
    kernel, 2 n^3 for each fold's inverse, and 2 n^2 c T for each modulus.
    """
    machine, entry, analysis = machine or Machine(), config["runs"][run], config["analysis"]
    shape = shape_of(config, entry["model"])
    n = examples_of(config, entry["task"], config["capture"]["split"])
    cases, moduli = 1 + analysis["probe_shuffles"], analysis["probe_moduli"]
    state = 2 * n**2 * (shape.width + n * analysis["probe_folds"] + cases * sum(moduli))
    return Estimate(
        host=BASES["table"] + 8 * n * (3 * shape.width + 4 * n + 3 * cases * max(moduli)) / MB,
        minutes=machine.startup + 4 * (shape.layers + 1) * state / machine.cpu_flops / 60,
        written=(shape.layers + 1) * len(moduli) * 50,
    )


def embedding_estimate(
    config: Mapping[str, Any], model: str, numbers: int, machine: Machine | None = None
) -> Estimate:
    """Spectrum, map and probes of p rows of width d: p (d + 2 p) values; t-SNE takes a second a number."""
    machine, shape = machine or Machine(), shape_of(config, model)
    products = (config["analysis"]["null_draws"] + 100) * 2 * numbers**2 * shape.width
    return Estimate(
        host=BASES["figure"] + 24 * numbers * (shape.width + 2 * numbers) / MB,
        minutes=machine.startup + (4 * products / machine.cpu_flops + 0.1 * numbers) / 60,
        written=100 * numbers,
    )


def table_estimate(rows: int = 0, machine: Machine | None = None) -> Estimate:
    """A job that reads and writes tables of so many rows, 500 bytes each in memory."""
    machine = machine or Machine()
    return Estimate(
        host=BASES["table"] + 500 * rows / MB, minutes=machine.startup + rows / 6e6, written=30 * rows
    )


def figure_estimate(rows: int = 0, machine: Machine | None = None) -> Estimate:
    """A figure of a table of so many rows, 500 bytes each in memory."""
    machine = machine or Machine()
    minutes = machine.startup + 0.2 + rows / 6e6
    return Estimate(host=BASES["figure"] + 500 * rows / MB, minutes=minutes, written=3e5)


def fetch_estimate(config: Mapping[str, Any], model: str, machine: Machine | None = None) -> Estimate:
    """Download of a model: its weights on disk at the disk's speed, hashed as they come."""
    machine, shape = machine or Machine(), shape_of(config, model)
    return Estimate(
        host=BASES["table"] + 100,
        minutes=machine.startup + 4 * shape.weights / machine.disk / 60,
        written=shape.weights,
    )


def _pairs_inside(config: Mapping[str, Any], task: str, span: tuple[int, int] | None) -> float:
    """Share of a task's pairs whose operands both lie in a range."""
    low, high = config["tasks"][task]["operands"]
    if span is None:
        return 1.0
    inside = max(0, min(high, span[1]) - max(low, span[0]) + 1)
    return inside * (inside + 1) / ((high - low + 1) * (high - low + 2))


def _largest_table(config: Mapping[str, Any], run: str) -> int:
    """Rows of the largest table that a figure of a run reads: logits, waves or predictions."""
    shape = shape_of(config, config["runs"][run]["model"])
    task = config["runs"][run]["task"]
    p, split = task_of(config, task).numbers, config["ablations"]["split"]
    return max((2 * shape.layers + 1) * p, p * p // 2, 9 * examples_of(config, task, split))


def estimate(
    config: Mapping[str, Any], rule: str, wildcards: Mapping[str, str], machine: Machine | None = None
) -> Estimate:
    """What one job of a rule takes, by the rule's name and the job's wildcards.

    config: a checked configuration. Raises UserError for a rule that is not known here.
    """
    run = wildcards["run"].rsplit(".seed", 1)[0] if "run" in wildcards else ""
    entry = config["runs"].get(run, {})
    if rule == "dataset":
        split = config["tasks"][wildcards["task"]]["fractions"][0]
        return table_estimate(math.ceil(examples_of(config, wildcards["task"], "train") / split), machine)
    if rule == "fetch_model":
        return fetch_estimate(config, wildcards["model"], machine)
    if rule == "pretrain_model":
        return pretraining_estimate(config, wildcards["model"], machine)
    if rule == "train":
        return training_estimate(config, run, machine)
    if rule == "capture":
        count = examples_of(config, entry["task"], config["capture"]["split"])
        return capture_estimate(config, run, min(count, config["capture"]["shard"]), machine)
    if rule == "prompt":
        return prompt_estimate(config, run, machine)
    if rule == "solved_examples":
        split = config["tasks"][entry["task"]]["fractions"][0]
        return table_estimate(math.ceil(examples_of(config, entry["task"], "train") / split), machine)
    if rule == "adopt_model":
        return table_estimate(0, machine)
    if rule == "number_rows_of_run":
        return number_rows_estimate(config, entry["model"], task_of(config, entry["task"]).numbers, machine)
    if rule == "number_rows_of_model":
        model = wildcards["model"]
        return number_rows_estimate(config, model, config["embeddings"][model]["numbers"], machine)
    if rule == "lens":
        layers = shape_of(config, entry["model"]).layers
        count = examples_of(config, entry["task"], config["capture"]["split"])
        return table_estimate(2 * (layers + 1) * count // 10, machine)
    if rule == "probes":
        return probes_estimate(config, run, machine)
    if rule == "spectra":
        return spectra_estimate(config, run, machine)
    if rule == "embedding":
        name = wildcards["name"].rsplit(".seed", 1)[0]
        if name in config["runs"]:
            entry = config["runs"][name]
            return embedding_estimate(config, entry["model"], task_of(config, entry["task"]).numbers, machine)
        return embedding_estimate(config, name, config["embeddings"][name]["numbers"], machine)
    if rule in ("ablate", "ablate_shard", "join_ablation"):
        label = wildcards["range"]
        spans = {slug(name): span for name, span in config["ablations"]["digit_ranges"].items()}
        count = examples_of(config, entry["task"], config["ablations"]["split"])
        count = math.ceil(count * _pairs_inside(config, entry["task"], spans.get(label)))
        if rule == "ablate_shard":
            count = min(count, max(config["ablations"]["shard"], config["ablations"]["batch_size"]))
        if rule != "join_ablation":
            return ablation_estimate(config, run, count, machine)
        pairs = count * condition_counts(config, shape_of(config, entry["model"]).layers)[0]
        return replace(table_estimate(0, machine), host=BASES["table"] + 24 * pairs / MB, written=8 * pairs)
    if rule == "sensitivity":
        count = examples_of(config, entry["task"], config["ablations"]["split"])
        readings = math.prod(max(1, len(values)) for values in config["ablations"]["grid"].values())
        return ablation_estimate(config, run, count, machine, readings=readings)
    if rule in ("table", "claims"):
        return table_estimate(0, machine)
    if rule.startswith("figure_"):
        figure = config["figures"][wildcards["figure"]]
        runs = [*([figure["run"]] if "run" in figure else []), *figure.get("runs", [])]
        return figure_estimate(max((_largest_table(config, each) for each in runs), default=10_000), machine)
    raise UserError(f"Rule '{rule}' has no estimate of what its jobs take.")


if __name__ == "__main__":
    from fourier_addition.pipeline.sizing_report import main

    raise SystemExit(main())
