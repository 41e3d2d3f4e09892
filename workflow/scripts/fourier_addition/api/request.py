"""What is sent to an API: prompts of a task's examples, bodies of requests, and their digests."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd

from fourier_addition.errors import UserError
from fourier_addition.tasks import few_shot_prefix, of_split

PATHS = {"chat": "chat/completions", "completions": "completions"}


class MalformedResponse(ValueError):
    """A response of status 200 that holds no reply."""


@dataclass(frozen=True)
class Request:
    """One request. digest: SHA-256 of URL and body, by which the journal knows the request."""

    url: str
    body: Mapping[str, Any]
    digest: str


def api_prompts(
    examples: pd.DataFrame,
    *,
    split: str,
    limit: int,
    shots: int,
    seed: int,
    form: str,
    separator: str,
    ending: str,
) -> pd.DataFrame:
    """The examples that are asked, with the prompts as they are sent (claim 14 of the paper: 0 shots).

    examples: a task's dataset. split: whose examples are asked. limit: how many of them, from the first;
    a split is in random order; 0 takes all. shots: solved training examples before every prompt, drawn
    with `seed`, each followed by `separator`. form: the task's answer form. ending: `stripped` cuts the
    white space at the prompt's end, `exact` leaves it. Returns rows of the dataset with `prompt`
    replaced. Raises UserError when the train split has too few examples for the shots.
    """
    prefix, _ = few_shot_prefix(examples, shots, seed, form, separator)
    chosen = of_split(examples, split)
    chosen = chosen.head(limit) if limit else chosen
    prompts = prefix + chosen["prompt"]
    return chosen.assign(prompt=prompts.str.rstrip() if ending == "stripped" else prompts)


def api_request(
    prompt: str,
    *,
    base_url: str,
    model: str,
    endpoint: str,
    system: str = "",
    max_tokens: int = 16,
    seed: int = 0,
    parameters: Mapping[str, Any] | None = None,
) -> Request:
    """The request for one prompt, greedy: temperature 0 and a fixed seed.

    base_url: the API's, before the endpoint's path. endpoint: `chat` (one user message, after a system
    message where `system` is not empty) or `completions`. max_tokens: of the reply. parameters: further
    fields of the body; a field that is None here is left out. Raises UserError for another endpoint.
    """
    if endpoint not in PATHS:
        raise UserError(f"The endpoint must be one of {', '.join(PATHS)}, not '{endpoint}'.")
    body: dict[str, Any] = {"model": model}
    if endpoint == "chat":
        messages = [{"role": "system", "content": system}] if system else []
        body["messages"] = [*messages, {"role": "user", "content": prompt}]
    else:
        body["prompt"] = prompt
    body |= {"temperature": 0, "max_tokens": max_tokens, "seed": seed} | dict(parameters or {})
    body = {key: value for key, value in body.items() if value is not None}
    url = f"{base_url.rstrip('/')}/{PATHS[endpoint]}"
    text = json.dumps([url, body], sort_keys=True, ensure_ascii=False)
    return Request(url, body, hashlib.sha256(text.encode()).hexdigest())


def reply_of(response: Any) -> tuple[str, str | None]:
    """Text and finish reason of the first choice in a response.

    response: of the endpoint `chat` or `completions`. The text of a reply that has none is empty (a
    refusal, a filter, a limit reached in hidden tokens). Raises MalformedResponse when the response holds
    no choice.
    """
    choices = response.get("choices") if isinstance(response, Mapping) else None
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise MalformedResponse("the response holds no choices")
    choice = choices[0]
    message = choice.get("message")
    text = message.get("content") if isinstance(message, Mapping) else choice.get("text")
    if isinstance(text, list):
        text = "".join(str(part.get("text", "")) for part in text if isinstance(part, Mapping))
    return text or "", choice.get("finish_reason")
