"""Tokens and money: before a request from its text, after it from what the server counted."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

# The server's tokenizer is not known here. English with numbers takes three to four bytes a token, and a
# chat template a few tokens a message. No tokenizer makes more tokens than bytes, and no common template
# adds more than the last line: these are for the upper bound.
BYTES_A_TOKEN = 3
TOKENS_A_MESSAGE = 4
LARGEST_TEMPLATE = 64
LIMITS = ("max_completion_tokens", "max_tokens")


@dataclass(frozen=True)
class Prices:
    """Prices in `currency` for a million tokens."""

    prompt: float = 0.0
    completion: float = 0.0
    currency: str = "USD"

    def cost(self, prompt_tokens: int, completion_tokens: int) -> float:
        """Price of so many tokens, in `currency`."""
        return (prompt_tokens * self.prompt + completion_tokens * self.completion) / 1e6


def _texts(body: Mapping[str, Any]) -> Iterator[str]:
    if "prompt" in body:
        yield body["prompt"]
    for message in body.get("messages", ()):
        yield message["content"]


def token_limit(body: Mapping[str, Any]) -> int:
    """Most tokens that a reply may have; 0 where the body sets no limit."""
    return next((body[key] for key in LIMITS if key in body), 0)


def estimated_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Likely tokens of the prompt, and those of a reply of full length."""
    texts = list(_texts(body))
    messages = TOKENS_A_MESSAGE * len(texts) if "messages" in body else 0
    prompt = sum(math.ceil(len(text.encode()) / BYTES_A_TOKEN) for text in texts)
    return prompt + messages, token_limit(body)


def largest_tokens(body: Mapping[str, Any]) -> tuple[int, int]:
    """Most tokens that prompt and reply can take: the budget is guarded with these."""
    return sum(len(text.encode()) for text in _texts(body)) + LARGEST_TEMPLATE, token_limit(body)


def counted_tokens(response: Mapping[str, Any]) -> tuple[int, int] | None:
    """Tokens of prompt and reply from the response's `usage`; None where the server does not count."""
    usage = response.get("usage")
    if not isinstance(usage, Mapping) or not isinstance(usage.get("prompt_tokens"), int):
        return None
    return usage["prompt_tokens"], int(usage.get("completion_tokens") or 0)
