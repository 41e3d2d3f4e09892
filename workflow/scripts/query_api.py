"""Ask a model behind an API the examples of a task, or say what asking would cost."""

from dataclasses import fields

import pandas as pd
from fourier_addition.api.client import Tally, Transport, query
from fourier_addition.api.journal import Journal, journal_path
from fourier_addition.api.key import key_from_environment
from fourier_addition.api.pricing import Prices
from fourier_addition.api.request import api_prompts, api_request
from fourier_addition.api.summary import accuracy_of, bill, plan, predictions_table
from fourier_addition.files.parquet import write_parquet
from fourier_addition.files.whole import write_json
from fourier_addition.pipeline.job import job
from fourier_addition.pipeline.mock import mock_snakemake
from fourier_addition.pipeline.provenance import provenance

if "snakemake" not in globals():
    snakemake = mock_snakemake("query_api", api_run="closed")

with job(snakemake) as log:
    api, run = dict(snakemake.params.api), dict(snakemake.params.run)
    examples = api_prompts(
        pd.read_parquet(snakemake.input.dataset),
        split=run["split"],
        limit=run["examples"],
        shots=run["shots"],
        seed=run["seed"],
        form=snakemake.params.answer,
        separator=run["separator"],
        ending=run["ending"],
    )

    # One request for each example.
    requests = [
        api_request(
            prompt,
            base_url=api["base_url"],
            model=api["model"],
            endpoint=api["endpoint"],
            system=run["system"],
            max_tokens=run["max_tokens"],
            seed=run["seed"],
            parameters=api["parameters"],
        )
        for prompt in examples["prompt"]
    ]

    # What sending would cost, beside the answers that earlier calls paid for.
    prices = Prices(**api["prices"])
    journal = Journal(journal_path(api["cache"], api["base_url"], api["model"]))
    planned = plan(requests, journal.answers, prices)
    log.info("plan: %s", planned)

    tally = Tally()
    if planned["to_send"] and not api["send"]:
        log.warning(
            "nothing sent: %(to_send)d requests, about %(cost).4f %(currency)s; set `send: true` to send",
            planned,
        )
    elif planned["to_send"]:
        key = key_from_environment(api.get("key_variable"))
        names = {field.name for field in fields(Transport)}
        with journal:
            tally = query(
                requests,
                journal,
                key=key,
                key_variable=api.get("key_variable"),
                prices=prices,
                budget=api.get("budget"),
                transport=Transport(**{name: value for name, value in api.items() if name in names}),
            )

    # The numbers that the replies state, and what they cost.
    predictions = predictions_table(examples, requests, journal.answers, place=run["read"])
    complete = len(predictions) == len(examples)
    result = {
        "api": run["api"],
        "label": run.get("label", snakemake.wildcards.api_run),
        "base_url": api["base_url"],
        "model": api["model"],
        "task": run["task"],
        "split": run["split"],
        "shots": run["shots"],
        "examples": len(examples),
        "complete": complete,
        "shares": accuracy_of(predictions),
        "plan": planned,
        "sent_now": tally.answered,
        "retried_now": tally.retried,
        "lost_now": tally.lost,
        "bill": bill(requests, journal.answers, prices.currency),
        "provenance": provenance(snakemake),
    }
    write_parquet(predictions, snakemake.output.predictions)
    write_json(result, snakemake.output.accuracy)
