"""What jobs with a model take.

Counts are for a transformer of P parameters, L layers, width d, V words and w bytes a weight, lines of T
tokens, n examples, p numbers, c conditions and batches of B lines:

    floating point operations   2 P a token forward, 6 P a token with the backward pass
    optimizer (AdamW)           P w weights + P w gradients + 8 P moments, without what is frozen
    pass of a batch             16 B T d w (one block at a time) + 4 B V logits at the reading position
    kept for the backward pass  34 B T L d w / 2, and B T V logits with their gradient, 4 bytes each
    captured example            (3 L + 1) d values of the capture's type + p logits of 4 bytes
    filters                     one basis of d x rank, 4 bytes an entry, for each distinct filter

A job takes its processes' base memory (measured, `BASES`) and what the docstring of its function lists.
Its minutes are those of the start, of reading the weights once, and of the slower one of computing
(operations / speed) and moving bytes (bytes / bandwidth).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from fourier_addition.pipeline.names import task_of
from fourier_addition.pipeline.sizing.machine import (
    ASSUMED,
    GPU_CONTEXT,
    MB,
    Estimate,
    Machine,
)
from fourier_addition.pipeline.sizing.shapes import (
    PRECISIONS,
    Shape,
    condition_counts,
    examples_of,
    intervention_counts,
    shape_of,
    tokens_of,
)
from fourier_addition.tasks import answer_tokens

SMALL = 100_000_000
"""Models of fewer parameters are given the CPU's time: they may well run without a GPU."""


def _minutes(
    shape: Shape,
    machine: Machine,
    operations: float,
    *,
    moved: float = 0.0,
    loads: bool = True,
) -> float:
    """Minutes of a job of so many operations that moves so many bytes through the GPU's memory."""
    # Models spread over several GPUs run one after the other: more GPUs are more memory, not more speed.
    on_gpu = max(operations / machine.gpu_flops, moved / machine.gpu_bandwidth) if machine.gpu else 0.0
    needs_cpu = shape.parameters < SMALL or not machine.gpu
    on_cpu = operations / machine.cpu_flops if needs_cpu else 0.0
    reading = shape.weights / machine.disk if loads else 0.0
    return machine.startup + (reading + max(on_gpu, on_cpu)) / 60


def model_job(
    shape: Shape,
    machine: Machine,
    operations: float,
    *,
    host: float,
    gpu: float,
    moved: float,
    written: float,
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
        host=machine.torch_host + (computing + host) / MB,
        minutes=_minutes(shape, machine, operations, moved=moved, loads=loads),
        gpu_memory=GPU_CONTEXT * gpus + on_gpu / MB,
        gpus=gpus,
        written=written,
    )


def pass_bytes(shape: Shape, batch: int, tokens: int) -> float:
    """Bytes of a forward pass of a batch, beside the weights."""
    return batch * (16 * tokens * shape.width * shape.weight_bytes + 4 * shape.vocabulary)


def _training_bytes(shape: Shape, batch: int, tokens: int, trained: float, positions: int) -> float:
    """Gradients and moments of the trained parameters, and what the backward pass needs.

    positions: tokens of each line whose logits are needed.
    """
    kept = 17 * batch * tokens * shape.layers * shape.width * shape.weight_bytes
    return (shape.weight_bytes + 8) * trained + kept + 8 * batch * positions * shape.vocabulary


def training_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Training of one run with one seed (paper section 2; equations at the top).

    GPU: weights, gradients, moments, what the backward pass keeps, logits of one position (loss on the
    answer) or all (on the line). Host: a second copy of weights and moments, which is what is
    saved to resume from. Operations: 6 P T n for every epoch and 2 P T for each validation line; bytes
    moved: weights, gradients and moments twice a step. Written: the checkpoint.
    """
    entry = config["runs"][run]
    # Models train in float32 unless the run says otherwise, whatever they are captured in.
    shape = shape_of(config, entry["model"], entry.get("precision", "float32"))
    tokens, batch, epochs = tokens_of(config, run), entry["batch_size"], entry["epochs"]
    train, validation = (examples_of(config, entry["task"], s) for s in ("train", "validation"))

    # Memory: a run of no epochs is only scored.
    frozen = shape.vocabulary * shape.width if entry["frozen_embedding"] else 0
    trained = max(0, shape.parameters - frozen) if epochs else 0
    state = _training_bytes(shape, batch, tokens, trained, tokens if entry["loss_on"] == "line" else 1)

    # Time: every epoch with its validation, and the scores at the end, of twice as many lines.
    operations = epochs * tokens * shape.parameters * (6 * train + 2 * validation)
    operations += 2 * shape.parameters * tokens * 2 * validation
    steps = epochs * math.ceil(train / batch)
    moved = steps * 2 * (shape.weights + (shape.weight_bytes + 8) * trained)
    return model_job(
        shape,
        machine,
        operations,
        # The best epoch's weights are kept aside in main memory.
        host=shape.weights + 8 * trained + (shape.weights if entry["keep"] == "best" else 0),
        gpu=state if epochs else pass_bytes(shape, batch, tokens),
        moved=moved,
        written=4 * shape.parameters,
    )


def pretraining_estimate(config: Mapping[str, Any], model: str, machine: Machine = ASSUMED) -> Estimate:
    """Pre-training of a small model: as `training_estimate`, on lines of `line` tokens, all of them read."""
    shape = shape_of(config, model)
    text = config["pretraining"][config["models"][model]["sources"][0]["pretrain"]]
    batch, tokens = text["batch_size"], text["line"]
    state = _training_bytes(shape, batch, tokens, shape.parameters, tokens)
    return model_job(
        shape,
        machine,
        6 * shape.parameters * batch * tokens * text["steps"],
        # Sentences are drawn before they are packed into lines: about 100 bytes for 4 tokens.
        host=12 * shape.parameters + 33 * batch * tokens * text["steps"],
        gpu=state,
        moved=text["steps"] * 2 * 16 * shape.parameters,
        written=4 * shape.parameters,
        loads=False,
    )


def captured_bytes(config: Mapping[str, Any], run: str) -> float:
    """Bytes of one captured example: (3 L + 1) d values and p logits."""
    entry = config["runs"][run]
    shape = shape_of(config, entry["model"], entry.get("precision"))
    value = PRECISIONS[config["capture"]["dtype"]]
    return (3 * shape.layers + 1) * shape.width * value + 4 * task_of(config, entry["task"]).numbers


def capture_estimate(
    config: Mapping[str, Any], run: str, examples: int, machine: Machine = ASSUMED
) -> Estimate:
    """Capture of `examples` examples: 2 P T n operations, the weights moved once a batch.

    GPU: weights and a pass. Host: a block of captured examples three times (as computed, as typed, as
    written). Written: every captured example.
    """
    entry, settings = config["runs"][run], config["capture"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    block = min(settings["block"], examples) * captured_bytes(config, run)
    return model_job(
        shape,
        machine,
        2 * shape.parameters * tokens * examples,
        host=3 * block,
        gpu=pass_bytes(shape, settings["batch_size"], tokens),
        moved=shape.weights * math.ceil(examples / settings["batch_size"]),
        written=examples * captured_bytes(config, run),
    )


def positions_estimate(
    config: Mapping[str, Any], run: str, examples: int, machine: Machine = ASSUMED
) -> Estimate:
    """Capture of `examples` examples at k named positions: two operands and the answer's tokens.

    k is 2 and as many as the largest answer has digits, which no tokenizer exceeds. Of each position the
    L + 1 states, with modules 2 L outputs more. Else as `capture_estimate`, on lines with their answer.
    """
    entry, settings = config["runs"][run], config["capture"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    digits = len(str(task_of(config, entry["task"]).largest_answer))
    vectors = shape.layers + 1 + (2 * shape.layers if settings["position_modules"] else 0)
    value = PRECISIONS[settings["dtype"]]
    one = (2 + digits) * vectors * shape.width * value
    batch = min(settings["batch_size"], examples)
    return model_job(
        shape,
        machine,
        2 * shape.parameters * (tokens + digits) * examples,
        host=2 * min(settings["block"], examples) * one + 3 * batch * one * 4 / value,
        gpu=pass_bytes(shape, settings["batch_size"], tokens + digits)
        + batch * (2 + digits) * (vectors * shape.width * 4 + 4 * 8192),
        moved=shape.weights * math.ceil(examples / settings["batch_size"]),
        written=examples * one,
    )


def prompt_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Answers of t tokens to n test prompts: 2 P (T + t) n operations.

    The weights are moved once a token and batch. GPU: weights, a pass, and the keys and values of a batch
    (2 T L d w B).
    """
    entry = config["runs"][run]
    shape, tokens = shape_of(config, entry["model"]), tokens_of(config, run)
    answer = entry.get("answer_tokens") or answer_tokens(task_of(config, entry["task"]).largest_answer)
    count, batch = examples_of(config, entry["task"], "test"), config["capture"]["batch_size"]
    cache = 2 * (tokens + answer) * shape.layers * shape.width * shape.weight_bytes * batch
    return model_job(
        shape,
        machine,
        2 * shape.parameters * (tokens + answer) * count,
        host=0,
        gpu=cache + pass_bytes(shape, batch, tokens),
        moved=shape.weights * math.ceil(count / batch) * answer,
        written=500 * count,
    )


def digits_estimate(config: Mapping[str, Any], run: str, machine: Machine = ASSUMED) -> Estimate:
    """Answers of t tokens read token by token, and p numbers after each of n prompts: 2 P ((t + 1) T + p) n.

    GPU: weights, a pass, and the keys and values of a batch (2 T L d w B) at each of t tokens of the tree and
    once more. Host: n p logits, three times.
    """
    entry, settings = config["runs"][run], config["digits"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    task = task_of(config, entry["task"])
    answer = answer_tokens(task.largest_answer)
    count = min(settings["examples"], examples_of(config, entry["task"], settings["split"]))
    batch = config["capture"]["batch_size"]
    cache = 2 * (tokens + answer) * shape.layers * shape.width * shape.weight_bytes * batch
    passes = count * ((answer + 1) * tokens + task.numbers)
    return model_job(
        shape,
        machine,
        2 * shape.parameters * passes,
        host=3 * 8 * count * task.numbers,
        gpu=(answer + 1) * cache + pass_bytes(shape, batch, tokens),
        moved=shape.weights * (math.ceil(count * task.numbers / batch) + count),
        written=count * (answer + 1) * (100 + 20 * shape.layers),
    )


def number_rows_estimate(
    config: Mapping[str, Any], model: str, numbers: int, machine: Machine = ASSUMED
) -> Estimate:
    """Number rows of the embeddings: the weights, 2 p d values and one pass of one line."""
    shape = shape_of(config, model)
    rows = 8 * numbers * shape.width
    return model_job(
        shape, machine, 0, host=3 * rows, gpu=pass_bytes(shape, 1, 64), moved=shape.weights, written=rows
    )


def ablation_estimate(
    config: Mapping[str, Any], run: str, examples: int, machine: Machine = ASSUMED, *, readings: int = 0
) -> Estimate:
    """Filters on `examples` examples under c conditions of f distinct filters (table 1 of the paper).

    Operations, filters at the last position: 2 P (T + c) n, every condition one more token, its two
    projections 4 d^2 L at most. At all positions: 2 P T c n. GPU: weights, the keys and values of a
    batch (2 T L d w B), 1024 states of the last token in the MLP (8 d), and the bases. Host: the bases in
    float64 and as the GPU has them, and prediction and loss, 8 bytes of every pair, three times.
    readings: tables of table 1 that are computed instead of the study's conditions (`sensitivity`),
    half of which filter all positions. Written: 8 bytes a pair.
    """
    entry, settings = config["runs"][run], config["ablations"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)

    # How many tokens pass through the model for each example.
    conditions, filters = condition_counts(config, shape.layers)
    passes = tokens * conditions if settings["positions"] == "all" else tokens + conditions
    if readings:
        conditions, filters = 7 * readings, 2 * readings
        passes = readings // 2 * (tokens + 7) + (readings + 1) // 2 * 7 * tokens
    operations = examples * passes * (2 * shape.parameters + 4 * shape.width**2 * shape.layers)

    # What lies in memory beside the weights.
    bases = filters * shape.width * min(shape.width, task_of(config, entry["task"]).numbers)
    batch, pairs = settings["batch_size"], conditions * examples
    cache = 2 * tokens * shape.layers * shape.width * shape.weight_bytes * batch
    batches = math.ceil(examples / batch) * max(1, passes / tokens)
    return model_job(
        shape,
        machine,
        operations,
        host=12 * bases + 24 * pairs,
        gpu=cache + 4 * bases + pass_bytes(shape, batch, tokens) + 1024 * 16 * shape.width * 4,
        moved=shape.weights * batches,
        written=8 * pairs,
    )


def intervention_estimate(
    config: Mapping[str, Any], run: str, rule: str, machine: Machine = ASSUMED
) -> Estimate:
    """Turns (`steer`) or exchanges (`exchange`) at every place: c conditions on n examples.

    Operations: 2 P (T + c) n, every condition one more token at most. GPU: weights, the keys and values of a
    batch (2 T L d w B), 1024 states of the last token in the MLP (8 d), and the bases. Host: a basis of
    d x p for every condition, which none exceeds, the states of n sources at every place, and prediction and
    loss, 8 bytes of every pair, three times. Written: 8 bytes a pair.
    """
    entry, settings = config["runs"][run], config["interventions"]
    shape, tokens = shape_of(config, entry["model"], entry.get("precision")), tokens_of(config, run)
    examples = examples_of(config, entry["task"], settings["split"])
    examples = min(examples, settings["examples"] or examples)
    conditions = intervention_counts(config, shape.layers)[rule]

    # Every distinct turn or exchange has a basis, whatever the places.
    distinct = conditions // (2 * min(shape.layers, settings["layers"]) + 3)
    bases = distinct * shape.width * min(shape.width, task_of(config, entry["task"]).numbers)
    sources = 4 * examples * shape.width * (3 * shape.layers if rule == "exchange" else 0)
    batch, pairs = settings["batch_size"], conditions * examples
    cache = 2 * tokens * shape.layers * shape.width * shape.weight_bytes * batch
    batches = math.ceil(examples / batch) * (1 + conditions * batch / 1024)
    return model_job(
        shape,
        machine,
        2 * shape.parameters * (tokens + conditions) * examples,
        host=12 * bases + sources + 24 * pairs,
        gpu=cache + 4 * bases + pass_bytes(shape, batch, tokens) + 1024 * 16 * shape.width * 4,
        moved=shape.weights * batches,
        written=8 * pairs,
    )
