"""Predictions, accuracy and the table of models behind an API (claims 13 and 14 of the paper)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fourier_addition.answers import Place, written_number
from fourier_addition.api.pricing import Prices, estimated_tokens, largest_tokens
from fourier_addition.api.request import Request, reply_of
from fourier_addition.intervals import share_of


def plan(requests: Iterable[Request], answers: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    """What sending the requests that have no answer yet would mean.

    requests: one an example; equal ones count once. answers: the journal's, by request digest. Returns
    requests (distinct ones), from_cache (answered already), to_send, and of those to be sent
    prompt_tokens, completion_tokens and cost (estimates with replies of full length), at_most (a cost
    that no reply can exceed) and currency.
    """
    unique = {request.digest: request for request in requests}
    missing = [request for digest, request in unique.items() if digest not in answers]
    tokens = [estimated_tokens(request.body) for request in missing]
    prompt, completion = (sum(column) for column in zip(*tokens, strict=True)) if tokens else (0, 0)
    return {
        "requests": len(unique),
        "from_cache": len(unique) - len(missing),
        "to_send": len(missing),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "cost": prices.cost(prompt, completion),
        "at_most": sum(prices.cost(*largest_tokens(request.body)) for request in missing),
        "currency": prices.currency,
    }


TYPES = {
    "example": "int64",
    "a": "int64",
    "b": "int64",
    "answer": "int64",
    "reply": "str",
    "prediction": "Int64",
    "correct": "bool",
    "prompt_tokens": "Int64",
    "completion_tokens": "Int64",
    "finish_reason": "str",
    "digest": "str",
}
"""Columns of a table of predictions, and their types."""


def predictions_table(
    examples: pd.DataFrame, requests: Sequence[Request], answers: Mapping[str, Any], place: Place
) -> pd.DataFrame:
    """The replies and the numbers that they state, one row for each example that was answered.

    examples: columns example, a, b, answer. requests: one for each example, in the same order. answers:
    the journal's, by request digest. place: which number of a reply counts, as for `written_number`.
    Columns: `TYPES`; prediction is missing where the reply states no whole number.
    """
    rows = []
    for row, request in zip(examples.itertuples(), requests, strict=True):
        line = answers.get(request.digest)
        if line is None:
            continue
        reply, finish = reply_of(line["response"])
        prediction = written_number(reply, place)
        rows.append(
            {
                "example": row.example,
                "a": row.a,
                "b": row.b,
                "answer": row.answer,
                "reply": reply,
                "prediction": prediction,
                "correct": prediction == row.answer,
                "prompt_tokens": line["prompt_tokens"],
                "completion_tokens": line["completion_tokens"],
                "finish_reason": finish,
                "digest": request.digest,
            }
        )
    return pd.DataFrame(rows, columns=list(TYPES)).astype(TYPES)


def accuracy_of(predictions: pd.DataFrame) -> dict[str, dict[str, float | None]]:
    """Shares of replies, each as `Share.as_dict`: {count, of, share, low, high}.

    predictions: what `predictions_table` returns. accuracy: right answers, of all replies; a reply
    without a number is wrong. parsed: replies with a number, of all. multiples_of_10: errors that are
    multiples of 10, of the wrong numbers (claim 13).
    """
    parsed = predictions["prediction"].notna()
    wrong = predictions[parsed & ~predictions["correct"]]
    error = wrong["prediction"].astype("int64") - wrong["answer"]
    shares = {
        "accuracy": share_of(int(predictions["correct"].sum()), len(predictions)),
        "parsed": share_of(int(parsed.sum()), len(predictions)),
        "multiples_of_10": share_of(int((error % 10 == 0).sum()), len(wrong)),
    }
    return {name: share.as_dict() for name, share in shares.items()}


def bill(requests: Iterable[Request], answers: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """What the answers to the requests cost, no matter when they were paid, and which models gave them.

    answers: the journal's, by request digest. Tokens are the server's counts. `uncounted` is the number of
    answers that came without counts; such an answer costs its upper bound.
    """
    distinct = dict.fromkeys(request.digest for request in requests)
    lines = [answers[digest] for digest in distinct if digest in answers]
    served = {(line["response"].get("model"), line["response"].get("system_fingerprint")) for line in lines}
    received = sorted(line["received"] for line in lines)
    return {
        "prompt_tokens": sum(line["prompt_tokens"] or 0 for line in lines),
        "completion_tokens": sum(line["completion_tokens"] or 0 for line in lines),
        "uncounted": sum(line["prompt_tokens"] is None for line in lines),
        "cost": sum(line["cost"] for line in lines),
        "currency": currency,
        "served": [list(pair) for pair in sorted(served, key=str)],
        "first_received": received[0] if received else None,
        "last_received": received[-1] if received else None,
    }


HEADINGS = [
    "Model",
    "Shots",
    "Examples",
    "Exact",
    "95 %",
    "Read",
    "Off by 10s",
    "Requests",
    "Tokens",
    "Cost",
]


def api_table(results: Mapping[str, Mapping[str, Any]]) -> tuple[pd.DataFrame, list[list[str]]]:
    """The table of models behind an API: all columns, and the cells under `HEADINGS`.

    results: run -> what `query_api.py` wrote as accuracy.json. A run whose requests were not all
    answered shows what sending them would mean. Of every share the columns are, for the accuracy:
    accuracy, accuracy_low, accuracy_high, accuracy_count and accuracy_of.
    """
    table = pd.DataFrame([_row(run, found) for run, found in results.items()])
    return table, [_cells(found) for found in results.values()]


def _row(run: str, found: Mapping[str, Any]) -> dict[str, Any]:
    planned, complete = found["plan"], found["complete"]
    numbers = found["bill"] if complete else planned
    row = {
        "run": run,
        "label": found["label"],
        "api": found["api"],
        "model": found["model"],
        "base_url": found["base_url"],
        "shots": found["shots"],
        "split": found["split"],
        "complete": complete,
        "examples": found["examples"],
    }
    for name, share in found["shares"].items():
        row[name] = share["share"]
        row |= {f"{name}_{key}": share[key] for key in ("low", "high", "count", "of")}
    return row | {
        "requests": planned["requests"],
        "from_cache": planned["from_cache"],
        "sent_now": found["sent_now"],
        "lost_now": found["lost_now"],
        "to_send": 0 if complete else planned["to_send"],
        "prompt_tokens": numbers["prompt_tokens"],
        "completion_tokens": numbers["completion_tokens"],
        "cost": numbers["cost"],
        "currency": numbers["currency"],
        "estimated": not complete,
    }


def _cells(found: Mapping[str, Any]) -> list[str]:
    shares, planned, complete = found["shares"], found["plan"], found["complete"]
    numbers = found["bill"] if complete else planned
    about = "" if complete else "about "
    tokens = numbers["prompt_tokens"] + numbers["completion_tokens"]
    # Shares of some of the examples would be read as shares of all.
    exact, parsed, tens = (
        shares[name] if complete else share_of(0, 0).as_dict()
        for name in ("accuracy", "parsed", "multiples_of_10")
    )
    return [
        found["label"],
        str(found["shots"]),
        str(found["examples"]),
        _percent(exact["share"]),
        "-" if exact["share"] is None else f"{exact['low']:.1%} to {exact['high']:.1%}",
        _percent(parsed["share"]),
        _percent(tens["share"]),
        str(planned["requests"]) if complete else f"{planned['to_send']} not sent",
        f"{about}{tokens:,}",
        f"{about}{numbers['cost']:.4f} {numbers['currency']}",
    ]


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
