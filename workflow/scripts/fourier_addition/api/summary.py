"""Predictions, accuracy and the table of models behind an API (claims 13 and 14 of the paper)."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd

from fourier_addition.analysis.accuracy import wilson_interval
from fourier_addition.api.parsing import parse_number
from fourier_addition.api.pricing import Prices, estimated_tokens, largest_tokens
from fourier_addition.api.request import Request, reply_of


def plan(requests: Iterable[Request], answers: Mapping[str, Any], prices: Prices) -> dict[str, Any]:
    """What sending would mean: requests, how many are answered already, tokens and cost of the others.

    requests: one an example; equal ones count once. Tokens and cost are estimates with replies of full
    length; at_most is what no reply can exceed.
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


def predictions_table(
    examples: pd.DataFrame, requests: Sequence[Request], answers: Mapping[str, Any], reading: str
) -> pd.DataFrame:
    """One row an example that was answered.

    examples: columns example, a, b, answer; requests: theirs, in the same order; answers: the journal's.
    Columns: example, a, b, answer, reply, prediction (missing where the reply states no integer),
    correct, prompt_tokens, completion_tokens, finish_reason, digest.
    """
    rows = []
    for row, request in zip(examples.itertuples(), requests, strict=True):
        line = answers.get(request.digest)
        if line is None:
            continue
        reply, finish = reply_of(line["response"])
        prediction = parse_number(reply, reading)
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
    types = {
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
    return pd.DataFrame(rows, columns=list(types)).astype(types)


def _share(count: int, examples: int) -> dict[str, Any]:
    if not examples:
        return {"share": None, "low": None, "high": None, "count": 0, "examples": 0}
    low, high = wilson_interval(count / examples, examples)
    return {"share": count / examples, "low": low, "high": high, "count": count, "examples": examples}


def accuracy_of(predictions: pd.DataFrame) -> dict[str, Any]:
    """Shares with Wilson intervals (95 %), each {share, low, high, count, examples}.

    accuracy: right answers of all; a reply without an integer is wrong. parsed: replies with an integer.
    multiples_of_10: of the wrong integers, those whose distance from the answer is a multiple of 10
    (claim 13). Shares of nothing are None.
    """
    parsed = predictions["prediction"].notna()
    wrong = predictions[parsed & ~predictions["correct"]]
    error = wrong["prediction"].astype("int64") - wrong["answer"]
    return {
        "accuracy": _share(int(predictions["correct"].sum()), len(predictions)),
        "parsed": _share(int(parsed.sum()), len(predictions)),
        "multiples_of_10": _share(int((error % 10 == 0).sum()), len(wrong)),
    }


def bill(requests: Iterable[Request], answers: Mapping[str, Any], currency: str) -> dict[str, Any]:
    """What the answers cost, whenever they were paid: tokens, uncounted answers, cost, and who served.

    Tokens are the server's counts; `uncounted` answers came without and are booked at their upper bound.
    """
    lines = {each.digest: answers[each.digest] for each in requests if each.digest in answers}.values()
    served = {(line["response"].get("model"), line["response"].get("system_fingerprint")) for line in lines}
    received = sorted(line["received"] for line in lines)
    return {
        "prompt_tokens": sum(line["prompt_tokens"] or 0 for line in lines),
        "completion_tokens": sum(line["completion_tokens"] or 0 for line in lines),
        "uncounted": sum(line["prompt_tokens"] is None for line in lines),
        "cost": sum(line["cost"] for line in lines),
        "currency": currency,
        "served": [list(each) for each in sorted(served, key=str)],
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

    results: run -> its accuracy JSON. A run that was not sent shows what sending would mean.
    """
    rows, cells = [], []
    for run, found in results.items():
        shares, planned, paid = found["shares"], found["plan"], found["bill"]
        complete = found["complete"]
        numbers = paid if complete else planned
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
        for name, share in shares.items():
            row |= {name if key == "share" else f"{name}_{key}": value for key, value in share.items()}
        row |= {
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
        rows.append(row)
        about = "" if complete else "about "
        tokens = numbers["prompt_tokens"] + numbers["completion_tokens"]
        exact = shares["accuracy"] if complete else _share(0, 0)
        cells.append(
            [
                found["label"],
                str(found["shots"]),
                str(found["examples"]),
                _percent(exact["share"]),
                "-" if exact["share"] is None else f"{exact['low']:.1%} to {exact['high']:.1%}",
                _percent(shares["parsed"]["share"] if complete else None),
                _percent(shares["multiples_of_10"]["share"] if complete else None),
                str(planned["requests"]) if complete else f"{planned['to_send']} not sent",
                f"{about}{tokens:,}",
                f"{about}{numbers['cost']:.4f} {numbers['currency']}",
            ]
        )
    return pd.DataFrame(rows), cells


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.1%}"
