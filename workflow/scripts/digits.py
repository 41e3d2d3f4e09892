"""Answers of several tokens: teacher forcing, and logits over the numbers from one tree of their tokens."""

import pandas as pd
from fourier_addition.analysis.digits import (
    digit_accuracy,
    digit_lens,
    digit_summary,
    number_predictions,
    number_spectrum,
)
from fourier_addition.files.manifests import read_json
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import write_json
from fourier_addition.numbers import tokenizer_number_tokens
from fourier_addition.pipeline.device import pick_device
from fourier_addition.pipeline.job import job, progress
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import directory_of, provenance
from fourier_addition.tasks import of_split

if "snakemake" not in globals():
    snakemake = mock_snakemake("digits", run="gpt2.4shot.seed0")

with job(snakemake) as log:
    from fourier_addition.capture.digits import forced_digits
    from fourier_addition.models import load_model
    from fourier_addition.models.number_tree import ending_of, number_log_probabilities, number_tree

    # The prompts of the split, and the tokens of every number as the tokenizer writes them there
    device = pick_device(snakemake.resources.get("gpu"), snakemake.threads)
    params, settings = snakemake.params, snakemake.params.digits
    examples = of_split(pd.read_parquet(snakemake.input.prompts), settings["split"])
    examples = examples.iloc[: settings["examples"]].reset_index(drop=True)
    prompts, answers = examples["prompt"].tolist(), examples["answer"].tolist()
    view = load_model(directory_of(snakemake.input.checkpoint), device=device, **params.weights)
    numbers = tokenizer_number_tokens(view.tokenizer, params.answer, params.numbers)
    shots = read_json(snakemake.input.shots)
    ending, continuing = ending_of(view, settings["answer_end"], shots["separator"])

    # The true answer token by token, and the log-probability of every number
    tokens, lens = forced_digits(
        view, prompts, answers, numbers, continuing, batch_size=params.batch_size, progress=progress
    )
    logits = number_log_probabilities(
        view, prompts, number_tree(numbers), ending, batch_size=params.batch_size, progress=progress
    )
    predictions = number_predictions(examples, logits)
    tokens = tokens.assign(example=examples["example"].to_numpy()[tokens["example"]])

    # What they say
    summary = digit_summary(tokens, predictions)
    log.info("%s", summary)
    write_parquet(tokens, snakemake.output.tokens)
    write_parquet(digit_accuracy(tokens), snakemake.output.accuracy)
    write_parquet(digit_lens(lens), snakemake.output.lens)
    write_parquet(predictions, snakemake.output.predictions)
    write_parquet(number_spectrum(logits, view.n_layers, params.analysis), snakemake.output.spectrum)
    write_json(
        {
            "run": snakemake.wildcards.run,
            **{key: settings[key] for key in ("split", "answer_end")},
            "examples": len(examples),
            "shots": shots,
            "summary": summary,
            "provenance": provenance(snakemake, device=device),
        },
        snakemake.output.summary,
    )
